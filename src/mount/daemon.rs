//! Into the background, and back with one answer.
//!
//! `blobcp mount` returns when the mount works, so it forks: the child mounts and serves, the parent waits at a pipe for
//! `+` and a text for the user, or `-` and the reason, and becomes its exit status. This happens first of all, because a process with
//! threads cannot be forked. The child stays in the session and process group of the terminal until the mount works, so that
//! Ctrl-C ends both; then it leaves them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Which of the two processes this is.
pub enum Side {
    /// The child has answered: what to tell the user, or why it failed.
    Parent(Result<String, String>),
    Child(Reporter),
}

/// Forks. The parent returns when the child has answered or ended.
///
/// Must be called while the process has one thread.
pub fn detach() -> io::Result<Side> {
    let mut ends = [0; 2];
    // SAFETY: the pointer is to room for two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: pipe2 made these two descriptors, and nobody else knows them.
    let (reader, writer) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
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
                None => Err(how_it_ended(child)),
            }))
        }
    }
}

fn how_it_ended(child: libc::pid_t) -> String {
    let mut status = 0;
    // SAFETY: the pointer is to an integer that outlives the call.
    if unsafe { libc::waitpid(child, &raw mut status, 0) } == child && libc::WIFSIGNALED(status) {
        return format!("ended by signal {} before it was mounted", libc::WTERMSIG(status));
    }
    "ended without an answer before it was mounted".into()
}

/// The child's end of the pipe.
pub struct Reporter(File);

impl Reporter {
    /// The mount works: lets go of the parent, its terminal and its working directory.
    pub fn ready(mut self, text: &str) {
        if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
            for standard in 0..=2 {
                // SAFETY: both descriptors are open; the standard ones are used by nobody at this moment.
                unsafe { libc::dup2(null.as_raw_fd(), standard) };
            }
        }
        let _ = std::env::set_current_dir("/");
        // SAFETY: no arguments; it fails only for the leader of a process group, and a forked child is none.
        unsafe { libc::setsid() };
        // The parent may have been killed meanwhile; the mount is there nevertheless.
        let _ = self.0.write_all(format!("+{text}").as_bytes());
    }

    pub fn failed(mut self, reason: &str) {
        let _ = self.0.write_all(format!("-{reason}").as_bytes());
    }
}
