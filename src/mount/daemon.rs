//! Into the background, and back with one answer.
//!
//! `blobcp mount` returns when the mount works, so it forks: the child mounts and serves, the parent waits at a pipe
//! for `+` and a text for the user, or `-` and the reason, and becomes its exit status. This happens first of all,
//! because a process with threads cannot be forked. The child stays in the session and process group of the terminal
//! until the mount works, so that Ctrl-C ends both; then it leaves them.

use std::fs::File;
use std::io::{self, Read, Write};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, setsid, waitpid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

/// The process that this is after the fork.
pub(crate) enum Side {
    /// The child has answered: what to tell the user, or why it failed.
    Parent(Result<String, String>),
    Child(Reporter),
}

/// Forks. The parent returns when the child has answered or ended.
///
/// Must be called while the process has one thread.
pub(crate) fn detach() -> io::Result<Side> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    // SAFETY: the process has one thread (see above), so the child's memory is whole and no lock is held in it.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Child(Reporter(writer.into()))),
        child => {
            drop(writer);
            let mut answer = Vec::new();
            File::from(reader).read_to_end(&mut answer)?;
            let text = String::from_utf8_lossy(answer.get(1..).unwrap_or_default()).into_owned();
            Ok(Side::Parent(match answer.first() {
                Some(b'+') => Ok(text),
                Some(_) => Err(text),
                None => Err(how_it_ended(Pid::from_raw(child))),
            }))
        }
    }
}

fn how_it_ended(child: Option<Pid>) -> String {
    match waitpid(child, WaitOptions::empty()).ok().flatten().and_then(|(_, status)| status.terminating_signal()) {
        Some(signal) => format!("ended by signal {signal} before it was mounted"),
        None => "ended without an answer before it was mounted".into(),
    }
}

/// The child's end of the pipe.
pub(crate) struct Reporter(File);

impl Reporter {
    /// The mount works: lets go of the parent, its terminal and its working directory.
    pub(crate) fn ready(mut self, text: &str) {
        if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
            // Where it fails, that one stays at the terminal; the mount is there nevertheless.
            let _ = (dup2_stdin(&null), dup2_stdout(&null), dup2_stderr(&null));
        }
        let _ = std::env::set_current_dir("/");
        // It fails only for the leader of a process group, and a forked child is none.
        let _ = setsid();
        // The parent may have been killed meanwhile; the mount is there nevertheless.
        let _ = self.0.write_all(format!("+{text}").as_bytes());
    }

    pub(crate) fn failed(mut self, reason: &str) {
        let _ = self.0.write_all(format!("-{reason}").as_bytes());
    }
}
