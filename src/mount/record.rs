//! What a process of ours says of its mount to `blobcp mount --list`.
//!
//! The kernel's table has the mount point and a name; who serves it, and where the log is, only the process knows. It
//! leaves that in its user's directory ([`runtime_dir`]), in a file named after the number of the superblock, and
//! takes it away at the end. Whether the process lives is not told by it, but by the lock of
//! [`exit_report`](crate::mount::exit_report).

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::mount::runtime_dir;
use crate::mount::table::Mount;

/// Longest record that is read, bytes.
const LONGEST: u64 = 64 << 10;

/// Of a mount that lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The process that serves it.
    pub(crate) pid: u32,
    /// What is mounted, without tokens.
    pub(crate) sources: Vec<String>,
    /// None if it logs to its terminal.
    pub(crate) log: Option<PathBuf>,
}

fn name((major, minor): (u32, u32)) -> String {
    format!("{major}:{minor}.mount")
}

impl Record {
    /// Leaves it for whoever asks, as long as what is returned lives. Where that is not possible, less is listed.
    pub(crate) fn keep(&self, device: (u32, u32)) -> Kept {
        Kept(runtime_dir::make().filter_map(|dir| self.keep_in(&dir, device)).collect())
    }

    fn keep_in(&self, dir: &Path, device: (u32, u32)) -> Option<(PathBuf, u64)> {
        let (path, new) = (dir.join(name(device)), dir.join(format!(".{}.{}", name(device), std::process::id())));
        let _ = fs::remove_file(&new);
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&new).ok()?;
        serde_json::to_writer(&mut file, self).ok()?;
        fs::rename(&new, &path).ok()?;
        Some((path, file.metadata().ok()?.ino()))
    }

    /// Of a mount of this user's, or for root of anybody's. Its process may have been killed, and the mount be left.
    pub(crate) fn of(mount: &Mount) -> Option<Self> {
        let user = mount.user?;
        runtime_dir::of(user).find_map(|dir| Self::in_dir(&dir, mount.device, user))
    }

    fn in_dir(dir: &Path, device: (u32, u32), user: u32) -> Option<Self> {
        // Root may look into the directory of somebody who means no good.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = File::options().read(true).custom_flags(flags).open(dir.join(name(device))).ok()?;
        let own = file.metadata().is_ok_and(|found| found.is_file() && found.uid() == user);
        let mut text = Vec::new();
        file.take(LONGEST).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok().filter(|_| own)
    }
}

/// A record that is left, until this is dropped.
pub(crate) struct Kept(Vec<(PathBuf, u64)>);

impl Drop for Kept {
    fn drop(&mut self) {
        for (path, inode) in &self.0 {
            // The next mount may have the same number, and its own record there.
            if fs::symlink_metadata(path).is_ok_and(|found| found.ino() == *inode) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_there_as_long_as_its_mount() {
        let dir = tempfile::tempdir().unwrap();
        let user = rustix::process::geteuid().as_raw();
        let record = |pid| Record { pid, sources: vec!["acct".into()], log: Some("/log".into()) };
        let own = record(std::process::id());
        let kept = Kept(own.keep_in(dir.path(), (0, 7)).into_iter().collect());
        assert_eq!(Record::in_dir(dir.path(), (0, 7), user), Some(own.clone()));
        assert_eq!(Record::in_dir(dir.path(), (0, 7), user + 1), None, "another user's");
        assert_eq!(Record::in_dir(dir.path(), (0, 8), user), None);
        // A number is given again before the first one has ended.
        let next = Kept(own.keep_in(dir.path(), (0, 7)).into_iter().collect());
        drop(kept);
        assert_eq!(Record::in_dir(dir.path(), (0, 7), user), Some(own));
        drop(next);
        assert_eq!(Record::in_dir(dir.path(), (0, 7), user), None);
    }
}
