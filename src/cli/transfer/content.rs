//! The copy of one file or symlink.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::IntoRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Timespec, Timestamps, futimens};

use super::super::naming::is_newer;
use super::work::{Item, Pending, Work};
use crate::ioctl;
use crate::sync::lock;

/// Bytes that are read and written at once: the most that the kernel gives to a mount in one request.
const CHUNK: usize = 1 << 20;

/// The end of a copy that did not fail.
enum Copied {
    Whole,
    /// Ctrl-C came meanwhile.
    Stopped,
}

/// Copies one thing unless it is skipped, and tells what became of it.
pub(super) fn carry_out(work: &Work, item: &Item) {
    let Item { from, to, size } = item;
    let source = match from.symlink_metadata() {
        Ok(found) if found.is_symlink() && work.habits.recursive => return link(work, item),
        _ => match from.metadata() {
            Ok(found) => found,
            Err(error) => return work.fail(from, from, *size, &error),
        },
    };
    let existing = to.metadata().ok();
    if let Some(status) = existing.as_ref().and_then(|there| skipped(work, &source, there)) {
        return work.tell(from, to, status, *size, None);
    }
    let kind = source.file_type();
    let refuse = |path: &Path, errno: i32, what: &str| {
        work.tell(from, path, ioctl::FAILED, *size, Some((errno, what.to_owned())));
    };
    if kind.is_fifo() || kind.is_socket() || kind.is_block_device() || kind.is_char_device() {
        return refuse(from, libc::EOPNOTSUPP, "is neither a file, a directory nor a symlink");
    }
    if existing.as_ref().is_some_and(Metadata::is_dir) {
        return refuse(to, libc::EISDIR, "is a directory, and would be replaced by a file");
    }
    if existing.as_ref().is_some_and(|there| (there.dev(), there.ino()) == (source.dev(), source.ino())) {
        return refuse(from, libc::EINVAL, "source and destination are the same file");
    }
    if work.dry_run {
        return work.tell(from, to, ioctl::DUE, *size, None);
    }
    let pending = Arc::new(Pending { path: to.clone(), total: source.len(), copied: AtomicU64::new(0) });
    lock(&work.progress.pending).push(pending.clone());
    let copied = copy(work, item, &source, &pending.copied);
    lock(&work.progress.pending).retain(|other| !Arc::ptr_eq(other, &pending));
    match copied {
        Ok(Copied::Whole) => work.tell(from, to, ioctl::SUCCESS, *size, None),
        Ok(Copied::Stopped) => {
            remove_half(to);
            work.tell(from, to, ioctl::ABORTED, *size, None);
        }
        Err((path, error)) => {
            if existing.is_none() && path == to {
                remove_half(to);
            }
            work.fail(from, path, *size, &error);
        }
    }
}

/// Removes what is not whole: nobody is to take it for a copy. A device is none.
fn remove_half(to: &Path) {
    if to.symlink_metadata().is_ok_and(|there| there.is_file()) {
        // That it cannot be removed is less than what went wrong before.
        let _ = fs::remove_file(to);
    }
}

/// Whether what is there stays.
fn skipped(work: &Work, source: &Metadata, there: &Metadata) -> Option<u32> {
    if work.habits.no_clobber {
        return Some(ioctl::EXISTS);
    }
    if work.habits.update && !is_newer(source, there) {
        return Some(ioctl::EXISTS);
    }
    // Not every filesystem keeps parts of seconds.
    let is_same = there.is_file() && there.len() == source.len() && there.mtime() == source.mtime();
    (is_same && !work.anew).then_some(ioctl::SAME)
}

/// Copies the content, and then mode and time. An error comes with the path that is to blame.
fn copy<'a>(
    work: &Work,
    item: &'a Item,
    source: &Metadata,
    so_far: &AtomicU64,
) -> Result<Copied, (&'a Path, io::Error)> {
    let Item { from, to, .. } = item;
    let of_source = |error| (from.as_path(), error);
    let of_target = |error| (to.as_path(), error);
    let mut input = File::open(from).map_err(of_source)?;
    let mut output = create(work, to, source).map_err(of_target)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        if work.is_stopped() {
            return Ok(Copied::Stopped);
        }
        let count = match input.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(of_source(error)),
        };
        output.write_all(&chunk[..count]).map_err(of_target)?;
        so_far.fetch_add(count as u64, Ordering::Relaxed);
    }
    // What is written to a device is none of its attributes.
    if output.metadata().map_err(of_target)?.is_file() {
        set_attributes(&output, source, work.habits.keeps_owner()).map_err(of_target)?;
    }
    close(output).map_err(of_target)?;
    Ok(Copied::Whole)
}

fn create(work: &Work, to: &Path, source: &Metadata) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // Nobody else reads what is not there yet in whole.
    options.write(true).create(true).truncate(true).mode(source.permissions().mode() & 0o700 | 0o600);
    match options.open(to) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && work.habits.force => {
            fs::remove_file(to)?;
            options.open(to)
        }
        opened => opened,
    }
}

/// Gives a file or directory the mode and time of another, and its owner as far as this user may give it away.
pub(super) fn set_attributes(file: &File, source: &Metadata, owner: bool) -> io::Result<()> {
    if owner {
        // Only root may, and for others the copy is theirs, as with cp.
        let _ = fchown(file, Some(source.uid()), Some(source.gid()));
    }
    let bits = if owner { 0o7777 } else { 0o777 };
    match file.set_permissions(fs::Permissions::from_mode(source.permissions().mode() & bits)) {
        // A mount may show modes that cannot be changed.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EOPNOTSUPP)) => {}
        set => set?,
    }
    let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps {
        last_access: time(source.atime(), source.atime_nsec()),
        last_modification: time(source.mtime(), source.mtime_nsec()),
    };
    Ok(futimens(file, &times)?)
}

/// Closes a file. A mount stores it then, and says now if that failed.
fn close(file: File) -> io::Result<()> {
    // SAFETY: the descriptor is this file's own, and is not used again.
    match unsafe { libc::close(file.into_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Copies a symlink as it is.
fn link(work: &Work, Item { from, to, size }: &Item) {
    let target = match fs::read_link(from) {
        Ok(target) => target,
        Err(error) => return work.fail(from, from, *size, &error),
    };
    if let Ok(there) = to.symlink_metadata() {
        if fs::read_link(to).is_ok_and(|other| other == target) {
            return work.tell(from, to, ioctl::SAME, *size, None);
        }
        if work.habits.no_clobber {
            return work.tell(from, to, ioctl::EXISTS, *size, None);
        }
        if there.is_dir() {
            let what = "is a directory, and would be replaced by a symlink".to_owned();
            return work.tell(from, to, ioctl::FAILED, *size, Some((libc::EISDIR, what)));
        }
    }
    if work.dry_run {
        return work.tell(from, to, ioctl::DUE, *size, None);
    }
    let replaced = fs::remove_file(to);
    let made = match replaced {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => symlink(&target, to),
    };
    match made {
        Ok(()) => work.tell(from, to, ioctl::SUCCESS, *size, None),
        Err(error) => work.fail(from, to, *size, &error),
    }
}
