//! The way by which `blobcp umount` learns that the serving process has stored everything and is gone.
//!
//! The process has a file in the directory of its user ([`runtime_dir`]), named after the number of
//! its superblock, and holds a lock on it as long as it lives: the kernel takes the lock away, however the process
//! ends. Before that it writes how the mount ended. `umount` opens the file before it unmounts and waits for the lock,
//! for a time that is bounded. There is nothing to connect to and no name that others could take, so nobody else can
//! keep an `umount` waiting or have it return too early. Where the file cannot be found (another mount namespace, a
//! user's directory that only that user knows), `umount` works as well and only does not wait.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::IntoRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::mount::runtime_dir;
use crate::mount::table::Mount;

/// The time between two looks whether a process has ended.
const POLL: Duration = Duration::from_millis(20);

/// Longest report that is read, in bytes: it is a line.
const LONGEST: u64 = 4096;

fn name((major, minor): (u32, u32)) -> String {
    format!("{major}:{minor}")
}

/// The serving side.
pub(crate) struct ExitReporter(Option<(File, PathBuf)>);

impl ExitReporter {
    /// Says from now on that this process lives. If that is not possible, nobody will wait.
    ///
    /// The kernel gives the number of a superblock away again as soon as it is unmounted, and the process that served
    /// that may live still: its file is replaced, and whoever waits for it has it open.
    pub(crate) fn begin(device: (u32, u32)) -> Self {
        let begun = || {
            let dir = runtime_dir::make()?;
            Self::in_dir(&dir, device).inspect_err(|error| tracing::debug!(%error, "nobody will wait for the end")).ok()
        };
        Self(begun())
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

    /// Tells whoever waits: nothing if all went well, or what did not.
    pub(crate) fn send(self, text: &str) {
        let Some((mut file, path)) = self.0 else { return };
        let _ = file.write_all(text.as_bytes());
        // Whoever wants to wait has opened it, and the next mount of that number may have its own there.
        let is_own = |found: fs::Metadata| file.metadata().is_ok_and(|own| own.ino() == found.ino());
        if fs::symlink_metadata(&path).is_ok_and(is_own) {
            let _ = fs::remove_file(&path);
        }
        // Left open: it is the end of the process that ends the waiting.
        let _ = file.into_raw_fd();
    }
}

/// The asking side, before it unmounts.
pub(crate) struct Waiter(File);

impl Waiter {
    /// `None` if nothing is known of a process that serves this mount.
    pub(crate) fn of(mount: &Mount) -> Option<Self> {
        let user = mount.user?;
        runtime_dir::of(user).find_map(|dir| Self::in_dir(&dir, mount.device, user))
    }

    fn in_dir(dir: &Path, device: (u32, u32), user: u32) -> Option<Self> {
        let path = dir.join(name(device));
        // Root may look into the directory of somebody who means no good.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
        let is_report = file.metadata().is_ok_and(|found| found.is_file() && found.uid() == user);
        (is_report && !has_ended(&file).ok()?).then_some(Self(file))
    }

    /// Waits for the end of the process. Returns what it said, or an error after that long.
    pub(crate) fn wait(mut self, bound: Duration) -> io::Result<String> {
        let began = Instant::now();
        while !has_ended(&self.0)? {
            if began.elapsed() > bound {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(POLL);
        }
        let mut text = Vec::new();
        self.0.rewind()?;
        (&self.0).take(LONGEST).read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
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

    #[test]
    fn who_waits_hears_how_it_ended_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Waiter::in_dir(dir.path(), DEVICE, user()).is_none());
        let (mut file, path) = ExitReporter::in_dir(dir.path(), DEVICE).unwrap();
        let waiter = || Waiter::in_dir(dir.path(), DEVICE, user()).unwrap();
        let (early, late) = (waiter(), waiter());
        assert_eq!(early.wait(Duration::ZERO).unwrap_err().kind(), io::ErrorKind::TimedOut);
        // The next mount has the same number before this process is gone.
        let next = ExitReporter::in_dir(dir.path(), DEVICE).unwrap();
        file.write_all(b"one file could not be stored").unwrap();
        drop(file);
        assert_eq!(late.wait(Duration::ZERO).unwrap(), "one file could not be stored");
        assert_eq!(waiter().wait(Duration::ZERO).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(next);
        assert!(path.exists() && Waiter::in_dir(dir.path(), DEVICE, user()).is_none(), "a process that was killed");
    }

    #[test]
    fn what_somebody_else_has_put_there_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name(DEVICE));
        let (_file, _) = ExitReporter::in_dir(dir.path(), DEVICE).unwrap();
        assert!(Waiter::in_dir(dir.path(), DEVICE, user() + 1).is_none(), "another user's");
        fs::rename(&path, dir.path().join("other")).unwrap();
        std::os::unix::fs::symlink("other", &path).unwrap();
        assert!(Waiter::in_dir(dir.path(), DEVICE, user()).is_none(), "a link");
    }
}
