//! The least that a mount can do: files of a given size whose content is there already, and that keep nothing of what is written.
//!
//! `fuse_limit MOUNTPOINT SIZE` mounts a directory in which every name is a regular file of SIZE bytes, until SIGTERM.
//! The kernel is given the same limits as by blobcp. `scripts/bench` runs the same programs on it as on blobcp: what they take here, the
//! kernel takes of every FUSE mount, and no client of a service can be faster than this and plain HTTP together.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Config, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig,
    LockOwner, OpenFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request,
    TimeOrNow, WriteFlags,
};

const TTL: Duration = Duration::from_secs(3600);
/// As blobcp's `LARGEST_WRITE` and `BACKGROUND`.
const LARGEST_WRITE: u32 = 1024 * 1024;
const BACKGROUND: u16 = 64;
const DISPATCH_THREADS: usize = 2;
const READ_AHEAD_KIB: &str = "4096";
/// Longer than a processor's caches, as content that has just come in is.
const CONTENT: usize = 64 * 1024 * 1024;

struct Limit {
    size: u64,
    content: Vec<u8>,
}

impl Limit {
    fn attr(&self, ino: u64) -> FileAttr {
        let dir = ino == 1;
        let size = if dir { 0 } else { self.size };
        FileAttr {
            ino: INodeNo(ino),
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if dir { FileType::Directory } else { FileType::RegularFile },
            perm: if dir { 0o755 } else { 0o644 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

/// As in blobcp: who only writes does so past the kernel's cache.
fn fopen_flags(flags: i32) -> FopenFlags {
    match flags & libc::O_ACCMODE {
        libc::O_WRONLY => FopenFlags::FOPEN_DIRECT_IO,
        _ => FopenFlags::empty(),
    }
}

/// Every name is a file of its own: a hash of it is its number.
fn number(name: &OsStr) -> u64 {
    name.as_encoded_bytes().iter().fold(2, |hash, &byte| hash * 31 % 1_000_003 + u64::from(byte) + 2)
}

impl Filesystem for Limit {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let _ = config.add_capabilities(InitFlags::FUSE_ATOMIC_O_TRUNC);
        let _ = config.set_max_write(LARGEST_WRITE);
        let _ = config.set_max_background(BACKGROUND);
        Ok(())
    }

    fn lookup(&self, _request: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        reply.entry(&TTL, &self.attr(number(name)), Generation(0));
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &self.attr(ino.0));
    }

    fn setattr(
        &self,
        _request: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        _size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<std::time::SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<std::time::SystemTime>,
        _chgtime: Option<std::time::SystemTime>,
        _bkuptime: Option<std::time::SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        reply.attr(&TTL, &self.attr(ino.0));
    }

    fn create(
        &self,
        _request: &Request,
        _parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        reply.created(&TTL, &self.attr(number(name)), Generation(0), FileHandle(0), fopen_flags(flags));
    }

    fn open(&self, _request: &Request, _ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), fopen_flags(flags.0));
    }

    fn read(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let size = u64::from(size).min(self.size.saturating_sub(offset)) as usize;
        let start = (offset % (CONTENT - LARGEST_WRITE as usize) as u64) as usize;
        reply.data(&self.content[start..start + size]);
    }

    fn write(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        reply.written(data.len() as u32);
    }

    fn flush(&self, _request: &Request, _ino: INodeNo, _fh: FileHandle, _lock_owner: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(point), Some(size)) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        return Err("usage: fuse_limit MOUNTPOINT SIZE".into());
    };
    let size = size.to_str().and_then(|size| size.parse().ok()).ok_or("SIZE is a number of bytes")?;
    let mut config = Config::default();
    config.n_threads = Some(DISPATCH_THREADS);
    config.clone_fd = true;
    let session = fuser::Session::new(Limit { size, content: vec![7; CONTENT] }, &point, &config)?.spawn()?;
    let device = std::os::unix::fs::MetadataExt::dev(&std::fs::metadata(&point)?);
    let _ = std::fs::write(
        format!("/sys/class/bdi/{}:{}/read_ahead_kb", libc::major(device), libc::minor(device)),
        READ_AHEAD_KIB,
    );
    while !session.guard.is_finished() {
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
