//! The copy of one file or symlink.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, fchown};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Timespec, Timestamps, futimens};

use super::super::naming::is_newer;
use super::target::{Target, is_pipe, put_symlink};
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
        Ok(found) if found.is_symlink() && work.habits.recursive => return link(work, item, &found),
        _ => match from.metadata() {
            Ok(found) => found,
            Err(error) => return work.fail(from, from, *size, &error),
        },
    };
    let existing = match if_there(to.metadata()) {
        Ok(existing) => existing,
        Err(error) => return work.fail(from, to, *size, &error),
    };
    if let Some(status) = existing.as_ref().and_then(|there| skipped(work, &source, there)) {
        return work.tell(from, to, status, *size, None);
    }
    if let Some((path, errno, what)) = refused(work, item, &source, existing.as_ref()) {
        return work.tell(from, path, ioctl::FAILED, *size, Some((errno, what.to_owned())));
    }
    if work.dry_run {
        return work.tell(from, to, ioctl::DUE, *size, None);
    }
    let pending = Arc::new(Pending { path: to.clone(), total: source.len(), copied: AtomicU64::new(0) });
    lock(&work.progress.pending).push(pending.clone());
    let copied = copy(work, item, &source, existing.as_ref(), &pending.copied);
    lock(&work.progress.pending).retain(|other| !Arc::ptr_eq(other, &pending));
    match copied {
        Ok(Copied::Whole) => work.tell(from, to, ioctl::SUCCESS, *size, None),
        Ok(Copied::Stopped) => work.tell(from, to, ioctl::ABORTED, *size, None),
        // Somebody has made it since.
        Err((_, error)) if error.kind() == io::ErrorKind::AlreadyExists && work.habits.no_clobber => {
            work.tell(from, to, ioctl::EXISTS, *size, None);
        }
        Err((path, error)) => work.fail(from, path, *size, &error),
    }
}

/// What is at a path, if anything: that it cannot be seen does not mean that nothing is there.
fn if_there(found: io::Result<Metadata>) -> io::Result<Option<Metadata>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// The path that is to blame, the errno and the words for what is not copied.
fn refused<'a>(
    work: &Work,
    Item { from, to, .. }: &'a Item,
    source: &Metadata,
    existing: Option<&Metadata>,
) -> Option<(&'a Path, i32, &'static str)> {
    let kind = source.file_type();
    if is_pipe(source) || kind.is_block_device() || kind.is_char_device() {
        return Some((from, libc::EOPNOTSUPP, "is neither a file, a directory nor a symlink"));
    }
    let is_link = to.symlink_metadata().is_ok_and(|there| there.is_symlink());
    let Some(there) = existing else {
        return is_link.then_some((to, libc::ELOOP, "is a symlink to nothing, and not written through"));
    };
    if there.is_dir() {
        return Some((to, libc::EISDIR, "is a directory, and would be replaced by a file"));
    }
    if is_pipe(there) {
        return Some((to, libc::EOPNOTSUPP, "is a pipe or a socket, and no place for a copy"));
    }
    if (there.dev(), there.ino()) == (source.dev(), source.ino()) {
        return Some((from, libc::EINVAL, "source and destination are the same file"));
    }
    // It may lead anywhere, and may have come with this very copy.
    let leads_out = is_link && !work.follows(to);
    leads_out.then_some((to, libc::ELOOP, "is a symlink, and what is in a tree is not written through one"))
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
    let (parts, others) = (source.mtime_nsec(), there.mtime_nsec());
    let is_same_time = there.mtime() == source.mtime() && (parts == others || parts == 0 || others == 0);
    let is_same = there.is_file() && there.len() == source.len() && is_same_time;
    (is_same && !work.anew).then_some(ioctl::SAME)
}

/// Copies the content, and then mode and time. An error comes with the path that is to blame.
fn copy<'a>(
    work: &Work,
    item: &'a Item,
    source: &Metadata,
    existing: Option<&Metadata>,
    so_far: &AtomicU64,
) -> Result<Copied, (&'a Path, io::Error)> {
    let Item { from, to, .. } = item;
    let of_source = |error| (from.as_path(), error);
    let of_target = |error| (to.as_path(), error);
    let mut input = File::open(from).map_err(of_source)?;
    let mut output = Target::open(work, to, source, existing).map_err(of_target)?;
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
        output.file.write_all(&chunk[..count]).map_err(of_target)?;
        so_far.fetch_add(count as u64, Ordering::Relaxed);
    }
    if output.has_attributes() {
        set_attributes(work, &output.file, source, existing).map_err(of_target)?;
    }
    output.finish().map_err(of_target)?;
    Ok(Copied::Whole)
}

/// Gives a file or directory the time of another and its mode, or that of the file whose place it takes, and its owner
/// as far as that is asked for and this user may give it away.
pub(super) fn set_attributes(
    work: &Work,
    file: &File,
    source: &Metadata,
    replaced: Option<&Metadata>,
) -> io::Result<()> {
    let keeps = work.habits.keeps_owner();
    // Only root may, and for others the copy is theirs, as with cp.
    let is_given = keeps && fchown(file, Some(source.uid()), Some(source.gid())).is_ok();
    let mode = match replaced {
        Some(replaced) if !keeps => replaced.mode() & 0o777,
        _ => source.mode() & allowed(work, source, is_given),
    };
    match file.set_permissions(fs::Permissions::from_mode(mode)) {
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

/// The bits of a mode that a copy may have. What a program may do as somebody else is not for a container to say:
/// whoever writes there would have it done as who downloads. On directories the bit only tells the group.
fn allowed(work: &Work, source: &Metadata, owner_is_given: bool) -> u32 {
    match (work.habits.keeps_owner(), work.download) {
        (true, _) if !owner_is_given => 0o777,
        (true, true) if source.is_dir() => 0o3777,
        (true, true) => 0o1777,
        (true, false) => 0o7777,
        (false, true) => 0o777 & !work.umask,
        (false, false) => 0o777,
    }
}

/// Copies a symlink as it is.
fn link(work: &Work, Item { from, to, size }: &Item, source: &Metadata) {
    let target = match fs::read_link(from) {
        Ok(target) => target,
        Err(error) => return work.fail(from, from, *size, &error),
    };
    let existing = match if_there(to.symlink_metadata()) {
        Ok(existing) => existing,
        Err(error) => return work.fail(from, to, *size, &error),
    };
    if let Some(there) = &existing {
        if fs::read_link(to).is_ok_and(|other| other == target) {
            return work.tell(from, to, ioctl::SAME, *size, None);
        }
        if work.habits.no_clobber || work.habits.update && !is_newer(source, there) {
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
    match put_symlink(&target, to, existing.is_some()) {
        Ok(()) => work.tell(from, to, ioctl::SUCCESS, *size, None),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && work.habits.no_clobber => {
            work.tell(from, to, ioctl::EXISTS, *size, None);
        }
        Err(error) => work.fail(from, to, *size, &error),
    }
}
