//! The first `copy_file_range` of a mount, made by ourselves while nobody else can.
//!
//! Linux 6.18 asks by COPY_FILE_RANGE_64 first, which fuser does not know and answers with ENOSYS; then it asks the old
//! way. But it takes a second ENOSYS for a refusal of the old way as well, and so never again asks this mount for a
//! copy: when two programs make the first copies of a mount at the same time, all data moves through them from then on.
//! After one copy has been asked for, the kernel knows, and that cannot happen.
//!
//! The copy is within a file that exists for this only: no request goes to the service.
//!
//! Where nothing can be written there is no copy to make. Then another name is looked up, which says just that: who
//! serves what somebody else has mounted is told nothing of its options by the kernel.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use fuser::{FileAttr, FileType, INodeNo};
use rustix::fs::copy_file_range;
use rustix::process::{getgid, getuid};

/// A name that nobody gives a file; once the copy was asked for, it is one like any other.
const NAME: &str = ".blobcp-first-copy\u{1}";
/// The name by which who makes the first copy says that it cannot be made, because the mount is read-only.
const READ_ONLY_NAME: &str = ".blobcp-read-only\u{1}";
const INO: INodeNo = INodeNo(u64::MAX);
/// The file is two pages, so that one can be copied to the other.
const PAGE: u64 = 4096;
/// The time for which the kernel may believe the file's attributes: longer than the copy takes.
pub(super) const TTL: Duration = Duration::from_secs(1);

/// Whether the mount still waits for its first copy.
#[derive(Debug, Default)]
pub(super) struct FirstCopy {
    done: AtomicBool,
    read_only: AtomicBool,
}

impl FirstCopy {
    /// The file, if that is what is looked up.
    pub(super) fn lookup(&self, parent: INodeNo, name: &OsStr) -> Option<FileAttr> {
        (parent == INodeNo::ROOT && name == NAME && !self.done.load(Ordering::Relaxed)).then(attr)
    }

    pub(super) fn is(&self, ino: INodeNo) -> bool {
        ino == INO
    }

    /// Whether that is what is said, instead of a copy, by somebody who can have mounted it.
    pub(super) fn hears(&self, parent: INodeNo, name: &OsStr, user: u32) -> bool {
        let who_mounts = user == 0 || user == getuid().as_raw();
        if parent != INodeNo::ROOT || name != READ_ONLY_NAME || !who_mounts || self.done.swap(true, Ordering::Relaxed) {
            return false;
        }
        self.read_only.store(true, Ordering::Relaxed);
        true
    }

    /// The mount was read-only when its first copy was to be made.
    pub(super) fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Relaxed)
    }

    pub(super) fn asked(&self) {
        self.done.store(true, Ordering::Relaxed);
    }
}

pub(super) fn attr() -> FileAttr {
    let time = SystemTime::UNIX_EPOCH;
    FileAttr {
        ino: INO,
        size: 2 * PAGE,
        blocks: 16,
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: FileType::RegularFile,
        perm: 0o600,
        nlink: 1,
        uid: getuid().as_raw(),
        gid: getgid().as_raw(),
        rdev: 0,
        blksize: PAGE as u32,
        flags: 0,
    }
}

/// Makes the first copy on a mount that has just come up, or says that nothing can be written there. To be called before
/// anybody is told of it. Does nothing if a copy was made already. EACCES for a user whom the mount does not let in.
pub fn make_first_copy(mountpoint: &Path) -> io::Result<()> {
    let file = match OpenOptions::new().read(true).write(true).open(mountpoint.join(NAME)) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => {
            // To look it up is to say it; there is no such file.
            let _ = std::fs::symlink_metadata(mountpoint.join(READ_ONLY_NAME));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let (mut from, mut to) = (0, PAGE);
    copy_file_range(&file, Some(&mut from), &file, Some(&mut to), 1)?;
    Ok(())
}
