//! The kernel's types and ours.

use std::ffi::OsStr;

use fuser::{FileAttr, FileType, FopenFlags, INodeNo, Request, TimeOrNow};

use crate::error::{Error, Result};
use crate::fs::Opened;
use crate::fs::attr::{Attr, Creation, FileKind, SetTime};
use crate::fs::caller::Caller;

/// A name as blobs can have it: UTF-8.
pub(super) fn text(name: &OsStr) -> Result<String> {
    let bad = || Error::fs(libc::EILSEQ, format!("{name:?} is not UTF-8, as blob names are"));
    name.to_str().map(str::to_owned).ok_or_else(bad)
}

pub(super) fn caller(request: &Request) -> Caller {
    Caller { pid: request.pid() }
}

pub(super) fn fopen_flags(opened: &Opened) -> FopenFlags {
    let mut flags = FopenFlags::empty();
    flags.set(FopenFlags::FOPEN_KEEP_CACHE, opened.keep_cache);
    flags.set(FopenFlags::FOPEN_DIRECT_IO, opened.direct);
    flags
}

pub(super) fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::Directory => FileType::Directory,
        FileKind::File => FileType::RegularFile,
        FileKind::Symlink => FileType::Symlink,
        FileKind::Fifo => FileType::NamedPipe,
        FileKind::Socket => FileType::Socket,
        FileKind::BlockDevice => FileType::BlockDevice,
        FileKind::CharDevice => FileType::CharDevice,
    }
}

/// The kind of file that mknod(2) is asked for; none for what is no kind of its own.
pub(super) fn kind_of_mode(mode: u32) -> Option<FileKind> {
    match mode & libc::S_IFMT {
        libc::S_IFREG => Some(FileKind::File),
        libc::S_IFIFO => Some(FileKind::Fifo),
        libc::S_IFSOCK => Some(FileKind::Socket),
        libc::S_IFBLK => Some(FileKind::BlockDevice),
        libc::S_IFCHR => Some(FileKind::CharDevice),
        _ => None,
    }
}

/// The mode of what is made, and who asks as its owner. The kernel has applied the umask.
pub(super) fn creation(request: &Request, mode: u32) -> Creation {
    Creation { mode, uid: request.uid(), gid: request.gid() }
}

pub(super) fn file_attr(attr: &Attr) -> FileAttr {
    FileAttr {
        ino: INodeNo(attr.ino.0),
        size: attr.size,
        blocks: attr.blocks,
        atime: attr.atime,
        mtime: attr.mtime,
        ctime: attr.ctime,
        crtime: attr.crtime,
        kind: file_type(attr.kind),
        perm: attr.mode as u16,
        // Directories have no count of subdirectories: 1 tells find and others not to rely on one.
        nlink: attr.links,
        uid: attr.uid,
        gid: attr.gid,
        rdev: attr.device,
        // What programs read and write at a time when they ask: 128 KiB is what cp uses anyway.
        blksize: 128 * 1024,
        flags: 0,
    }
}

pub(super) fn set_time(time: TimeOrNow) -> SetTime {
    match time {
        TimeOrNow::Now => SetTime::Now,
        TimeOrNow::SpecificTime(time) => SetTime::At(time),
    }
}
