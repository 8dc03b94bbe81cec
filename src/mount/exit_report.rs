//! The way by which `blobcp umount` learns that the serving process has stored everything and is gone.
//!
//! The process has a file in the directory of its user ([`runtime_dir`]), named after the number of
//! its superblock, and holds a lock on it as long as it lives: the kernel takes the lock away, however the process
//! ends. Before that it writes how the mount ended. `umount` opens the file before it unmounts and waits for the lock,
//! for a time that is bounded. There is nothing to connect to and no name that others could take, so nobody else can
//! keep an `umount` waiting or have it return too early. A user has such a file in two places, because the usual one is
//! removed when the user logs out, and the mount stays. Where none can be found (another mount namespace, a
//! user's directory that only that user knows), `umount` works as well, does not wait, and says so.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::fd::IntoRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::mount::runtime_dir;
use crate::mount::table::Mount;

/// The time between two looks whether a process has ended.
const POLL: Duration = Duration::from_millis(20);

/// Longest report that is read, in bytes: it is a line.
const LONGEST: usize = 4096;

/// Begins a report of something that is not a failure.
const NOTE: &str = "note: ";

/// The report of an end that was good, and of which there is something to tell.
pub(crate) fn note(text: &str) -> String {
    format!("{NOTE}{text}")
}

/// What such a report tells; `None` if the end was not good.
pub(crate) fn noted(report: &str) -> Option<&str> {
    report.strip_prefix(NOTE)
}

fn name((major, minor): (u32, u32)) -> String {
    format!("{major}:{minor}")
}

/// Replaces what a report says.
fn put(file: &File, text: &str) {
    let put = file.set_len(0).and_then(|()| file.write_all_at(text.as_bytes(), 0));
    if let Err(error) = put {
        tracing::debug!(%error, "nobody will hear how the mount ended");
    }
}

/// The serving side.
pub(crate) struct ExitReporter(Vec<(File, PathBuf)>);

impl ExitReporter {
    /// Says from now on that this process lives. If that is not possible, nobody will wait.
    ///
    /// The kernel gives the number of a superblock away again as soon as it is unmounted, and the process that served
    /// that may live still: its file is replaced, and whoever waits for it has it open.
    pub(crate) fn begin(device: (u32, u32)) -> Self {
        let begin = |dir: PathBuf| Self::in_dir(&dir, device);
        let log = |error: &io::Error| tracing::debug!(%error, "nobody will wait for the end there");
        Self(runtime_dir::make().filter_map(|dir| begin(dir).inspect_err(log).ok()).collect())
    }

    fn in_dir(dir: &Path, device: (u32, u32)) -> io::Result<(File, PathBuf)> {
        let path = dir.join(name(device));
        // Under its own name only when it is locked: one that is not is that of a process that is gone.
        let new = dir.join(format!(".{}.{}", name(device), std::process::id()));
        let _ = fs::remove_file(&new);
        let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&new)?;
        file.try_lock().map_err(io::Error::from)?;
        fs::rename(&new, &path)?;
        Ok((file, path))
    }

    /// What whoever does not wait to the end is told; the same if the process is killed before it.
    pub(crate) fn note(&self, text: &str) {
        self.0.iter().for_each(|(file, _)| put(file, text));
    }

    /// Tells whoever waits: nothing if all went well, or a [`note`], or what did not.
    pub(crate) fn send(self, text: &str) {
        for (file, path) in self.0 {
            put(&file, text);
            // Whoever wants to wait has opened it, and the next mount of that number may have its own there.
            let is_own = |found: fs::Metadata| file.metadata().is_ok_and(|own| own.ino() == found.ino());
            if fs::symlink_metadata(&path).is_ok_and(is_own) {
                let _ = fs::remove_file(&path);
            }
            // Left open: it is the end of the process that ends the waiting.
            let _ = file.into_raw_fd();
        }
    }
}

/// The process behind a mount, as the asking side finds it before it unmounts.
pub(crate) enum Server {
    Lives(Waiter),
    Ended,
    /// It may live, but nothing of it can be found.
    Unknown,
}

impl Server {
    pub(crate) fn of(mount: &Mount) -> Self {
        let Some(user) = mount.user else { return Self::Unknown };
        let mut found = Self::Unknown;
        for dir in runtime_dir::of(user) {
            match Self::in_dir(&dir, mount.device, user) {
                Self::Lives(waiter) => return Self::Lives(waiter),
                Self::Ended => found = Self::Ended,
                Self::Unknown => {}
            }
        }
        found
    }

    fn in_dir(dir: &Path, device: (u32, u32), user: u32) -> Self {
        // Root may look into the directory of somebody who means no good.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = File::options().read(true).custom_flags(flags).open(dir.join(name(device)));
        let is_report = |file: &File| file.metadata().is_ok_and(|found| found.is_file() && found.uid() == user);
        match file {
            Ok(file) if is_report(&file) => match has_ended(&file) {
                Ok(false) => Self::Lives(Waiter(file)),
                Ok(true) => Self::Ended,
                Err(_) => Self::Unknown,
            },
            _ => Self::Unknown,
        }
    }
}

/// Waits for the end of a process.
pub(crate) struct Waiter(File);

impl Waiter {
    /// Waits for the end of the process. Returns what it said, or an error after that long.
    pub(crate) fn wait(&self, bound: Duration) -> io::Result<String> {
        let began = Instant::now();
        while !has_ended(&self.0)? {
            if began.elapsed() > bound {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(POLL);
        }
        self.said()
    }

    /// What the process has said so far.
    pub(crate) fn said(&self) -> io::Result<String> {
        let mut text = vec![0; LONGEST];
        let read = self.0.read_at(&mut text, 0)?;
        Ok(String::from_utf8_lossy(&text[..read]).into_owned())
    }
}

/// Nobody holds the lock any more. Several may look at once.
fn has_ended(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: (u32, u32) = (0, 77);

    fn user() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn waiter(dir: &Path) -> Option<Waiter> {
        match Server::in_dir(dir, DEVICE, user()) {
            Server::Lives(waiter) => Some(waiter),
            Server::Ended | Server::Unknown => None,
        }
    }

    #[test]
    fn who_waits_hears_how_it_ended_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Server::in_dir(dir.path(), DEVICE, user()), Server::Unknown));
        let (file, path) = ExitReporter::in_dir(dir.path(), DEVICE).unwrap();
        let (early, late) = (waiter(dir.path()).unwrap(), waiter(dir.path()).unwrap());
        assert_eq!(early.wait(Duration::ZERO).unwrap_err().kind(), io::ErrorKind::TimedOut);
        // The next mount has the same number before this process is gone.
        let next = ExitReporter::in_dir(dir.path(), DEVICE).unwrap();
        put(&file, "not stored yet: box/a, box/b, box/c");
        assert_eq!(late.said().unwrap(), "not stored yet: box/a, box/b, box/c");
        put(&file, "one file could not be stored");
        drop(file);
        assert_eq!(late.wait(Duration::ZERO).unwrap(), "one file could not be stored");
        assert_eq!(waiter(dir.path()).unwrap().wait(Duration::ZERO).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(next);
        assert!(path.exists(), "a process that was killed");
        assert!(matches!(Server::in_dir(dir.path(), DEVICE, user()), Server::Ended));
    }

    #[test]
    fn what_somebody_else_has_put_there_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name(DEVICE));
        let (_file, _) = ExitReporter::in_dir(dir.path(), DEVICE).unwrap();
        assert!(matches!(Server::in_dir(dir.path(), DEVICE, user() + 1), Server::Unknown), "another user's");
        fs::rename(&path, dir.path().join("other")).unwrap();
        std::os::unix::fs::symlink("other", &path).unwrap();
        assert!(waiter(dir.path()).is_none(), "a link");
    }

    #[test]
    fn one_place_that_is_gone_leaves_the_other() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let reporter = ExitReporter(dirs.iter().map(|dir| ExitReporter::in_dir(dir.path(), DEVICE).unwrap()).collect());
        let [runtime, state] = dirs;
        // The user logs out.
        drop(runtime);
        let waiter = waiter(state.path()).unwrap();
        reporter.send("one file could not be stored");
        assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
        // The process has not ended yet.
        assert_eq!(waiter.wait(Duration::ZERO).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
