//! The adapter between the kernel and the filesystem: the only code that knows fuser.
//!
//! Every handler is decode, spawn, answer. fuser calls handlers on its few dispatch threads; the work runs on the tokio
//! runtime, so that a request that waits for the service holds up nobody else, and the reply goes out from there. A
//! request that fails leaves one line in the log, with what was asked, by whom, and the service's own words; what is
//! part of ordinary life (a name that is not there, an attribute without a value) is logged at debug only.
//!
//! Whoever waits for a request can be ended by a signal: `underway` answers then, and the work goes on.

use std::ffi::OsStr;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    IoctlFlags, KernelConfig, LockOwner, OpenFlags, PollEvents, PollFlags, PollNotifier, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek,
    ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use futures_util::FutureExt;
use tokio::runtime::Handle;
use tracing::debug;

use crate::error::{Error, Result};
use crate::fs::access::Credentials;
use crate::fs::attr::{Attr, AttrChange, FileKind, Ino};
use crate::fs::caller::{Device, User, waited_for};
use crate::fs::handle::Fh;
use crate::fs::{DirEntry, Fs, Opened, RenameMode, WriteMode, WrittenBack};
use crate::fuse::cache::KernelCache;
use crate::fuse::call::{Call, Refuse, read_only};
use crate::fuse::first_copy::FirstCopy;
use crate::fuse::held::Held;
use crate::fuse::refusals::Refusals;
use crate::fuse::types::{caller, creation, file_attr, file_type, fopen_flags, kind_of_mode, set_time, text};
use crate::fuse::underway::{Underway, Waiting};
use crate::fuse::watchers::Watchers;

mod cache;
mod call;
mod first_copy;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod held;
mod ioctl;
mod refusals;
mod types;
mod underway;
mod watchers;

pub use first_copy::make_first_copy;

/// Largest write that the kernel sends, bytes. Larger ones cost fewer round trips; this is where the gain ends.
const LARGEST_WRITE: u32 = 1024 * 1024;
/// Requests that the kernel sends without waiting for the ones before: read-ahead of several files at once.
const BACKGROUND: u16 = 64;

/// A [`Fs`] as fuser wants it.
struct Adapter {
    fs: Arc<Fs>,
    runtime: Handle,
    first_copy: FirstCopy,
    watchers: Arc<Watchers>,
    cache: Arc<KernelCache>,
    underway: Underway,
    refusals: Arc<Refusals>,
    read_only: bool,
}

/// Mounts `fs`, whose work is done on `runtime`. `read_only`: nothing may be written, and the kernel was told.
pub fn mount(
    fs: Arc<Fs>,
    runtime: Handle,
    read_only: bool,
    mountpoint: &Path,
    config: &fuser::Config,
) -> io::Result<fuser::BackgroundSession> {
    let mount = |adapter| fuser::Session::new(adapter, mountpoint, config);
    begin(fs, runtime, read_only, Some(mountpoint), mount)
}

/// Serves `fs` on a descriptor of `/dev/fuse` that somebody else has mounted, who may have told the kernel something else than
/// `read_only`.
pub fn serve_device(
    fs: Arc<Fs>,
    runtime: Handle,
    read_only: bool,
    device: OwnedFd,
    config: fuser::Config,
) -> io::Result<fuser::BackgroundSession> {
    let acl = config.acl;
    begin(fs, runtime, read_only, None, |adapter| fuser::Session::from_fd(adapter, device, acl, config))
}

fn begin(
    fs: Arc<Fs>,
    runtime: Handle,
    read_only: bool,
    mountpoint: Option<&Path>,
    mount: impl FnOnce(Adapter) -> io::Result<fuser::Session<Adapter>>,
) -> io::Result<fuser::BackgroundSession> {
    let cache = Arc::new(KernelCache::default());
    let (first_copy, watchers) = (FirstCopy::default(), Arc::default());
    let (tell, expired) = std::sync::mpsc::channel();
    fs.tree().kernel().send_expired_to(tell);
    let mounted = fs.clone();
    let underway = Underway::watched(Arc::downgrade(&fs))?;
    let refusals = Arc::default();
    let adapter = Adapter { fs, runtime, first_copy, watchers, cache: cache.clone(), underway, refusals, read_only };
    let session = mount(adapter)?;
    if let Some(device) = mountpoint.and_then(Device::mounted_at) {
        mounted.mounted_as(device);
    }
    cache.reach_by(session.notifier());
    KernelCache::expire(session.notifier(), Arc::downgrade(&mounted), expired)?;
    session.spawn()
}

impl Adapter {
    /// Does the work of a request and answers it.
    fn run<R, T, W>(
        &self,
        call: Call,
        reply: R,
        work: impl FnOnce(Arc<Fs>) -> W,
        answer: impl FnOnce(&Fs, R, T) + Send + 'static,
    ) where
        R: Refuse + Send + 'static,
        T: Send + 'static,
        W: Future<Output = Result<T>> + Send + 'static,
    {
        self.run_held(call, reply, work, answer, |_| Held::default());
    }

    /// The same of a request whose answer gives the kernel something to hold.
    fn run_held<R, T, W>(
        &self,
        call: Call,
        reply: R,
        work: impl FnOnce(Arc<Fs>) -> W,
        answer: impl FnOnce(&Fs, R, T) + Send + 'static,
        held: fn(&T) -> Held,
    ) where
        R: Refuse + Send + 'static,
        T: Send + 'static,
        W: Future<Output = Result<T>> + Send + 'static,
    {
        let pid = call.pid();
        self.run_entering(call, reply, work, answer, held, |reply| self.underway.enter(pid, reply));
    }

    /// The same of a request that `enter` has watched over if it has to wait.
    fn run_entering<R, T, W>(
        &self,
        call: Call,
        reply: R,
        work: impl FnOnce(Arc<Fs>) -> W,
        answer: impl FnOnce(&Fs, R, T) + Send + 'static,
        held: fn(&T) -> Held,
        enter: impl FnOnce(R) -> Waiting<R>,
    ) where
        R: Refuse + Send + 'static,
        T: Send + 'static,
        W: Future<Output = Result<T>> + Send + 'static,
    {
        if self.fs.ending().is_ended() {
            // A copy that goes on without us would be given up by what programs do in their distress.
            return reply.refuse(Errno::ENOTCONN);
        }
        // The kernel refuses most of it where it was told. It was not where somebody else mounted.
        if call.is_write() && self.is_read_only() {
            return reply.refuse(call.failed(&self.fs, &read_only()));
        }
        let call = call.kept_in(&self.refusals);
        let (fs, work) = (self.fs.clone(), work(self.fs.clone()));
        if !call.is_polled_inline() {
            let waiting = enter(reply);
            self.runtime.spawn(answer_when_done(fs, call, waiting, work, answer, held));
            return;
        }
        let _inside = self.runtime.enter();
        let mut work = Box::pin(work);
        match work.as_mut().now_or_never() {
            Some(outcome) => answer_outcome(&fs, &call, reply, outcome, answer),
            None => {
                let waiting = enter(reply);
                self.runtime.spawn(answer_when_done(fs, call, waiting, work, answer, held));
            }
        }
    }

    /// Nothing may be changed: this was said when it was mounted, by us or by who did it in our place.
    fn is_read_only(&self) -> bool {
        self.read_only || self.first_copy.is_read_only()
    }

    fn credentials(&self, request: &Request) -> Credentials {
        let who = Credentials::new(request.uid(), request.gid(), request.pid());
        who.where_modes_bind(self.fs.modes_bind())
    }

    fn answer_attr(fs: &Fs, reply: ReplyAttr, attr: Attr) {
        reply.attr(&fs.names().ttl(attr.ino), &file_attr(&attr));
    }

    fn run_entry<W>(&self, call: Call, reply: ReplyEntry, work: impl FnOnce(Arc<Fs>) -> W)
    where
        W: Future<Output = Result<Attr>> + Send + 'static,
    {
        let answer = |fs: &Fs, reply: ReplyEntry, attr: Attr| {
            reply.entry(&fs.names().ttl(attr.ino), &file_attr(&attr), Generation(0));
        };
        self.run_held(call, reply, work, answer, |attr| Held::lookup(attr.ino));
    }
}

fn answer_outcome<R: Refuse, T>(
    fs: &Fs,
    call: &Call,
    reply: R,
    outcome: Result<T>,
    answer: impl FnOnce(&Fs, R, T) + Send + 'static,
) {
    match outcome {
        Ok(value) => answer(fs, reply, value),
        Err(error) => reply.refuse(call.failed(fs, &error)),
    }
}

/// Does the work that a request waits for, to its end also if its caller is let go before.
async fn answer_when_done<R: Refuse + Send + 'static, T>(
    fs: Arc<Fs>,
    call: Call,
    waiting: Waiting<R>,
    work: impl Future<Output = Result<T>> + Send + 'static,
    answer: impl FnOnce(&Fs, R, T) + Send + 'static,
    held: fn(&T) -> Held,
) {
    let outcome = waited_for(waiting.waiter(), work).await;
    match waiting.done() {
        Some(reply) => answer_outcome(&fs, &call, reply, outcome, answer),
        None => call.is_late(&fs, outcome.map(|value| held(&value))).await,
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let wanted = [
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_ATOMIC_O_TRUNC,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_HAS_IOCTL_DIR,
            InitFlags::FUSE_AUTO_INVAL_DATA,
            // Whoever opens a file that is being written past the cache may still map it.
            InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP,
        ];
        for flag in wanted {
            if config.add_capabilities(flag).is_err() {
                debug!(?flag, "this kernel does not know it");
            }
        }
        if config.kernel_abi() >= cache::DROPS_WHAT_IS_WRITTEN {
            self.fs.write_directly();
        }
        // The nearest value that it takes is as good.
        let _ = config.set_max_write(LARGEST_WRITE);
        let _ = config.set_max_background(BACKGROUND);
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if let Some(attr) = self.first_copy.lookup(parent, name) {
            return reply.entry(&first_copy::TTL, &attr, Generation(0));
        }
        if self.first_copy.hears(parent, name, request.uid()) {
            return reply.error(Errno::ENOENT);
        }
        let call = Call::new("lookup", request, parent).on(name);
        let name = text(name);
        let work = async move |fs: Arc<Fs>| fs.lookup(Ino(parent.0), &name?).await;
        self.run_entry(call.polled_inline(), reply, work);
    }

    fn forget(&self, _request: &Request, ino: INodeNo, count: u64) {
        self.fs.tree().kernel().forget(Ino(ino.0), count);
    }

    fn getattr(&self, request: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        if self.first_copy.is(ino) {
            return reply.attr(&first_copy::TTL, &first_copy::attr());
        }
        let call = Call::new("getattr", request, ino);
        self.run(call.polled_inline(), reply, async move |fs| fs.getattr(Ino(ino.0)).await, Self::answer_attr);
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let (call, caller) = (Call::new("setattr", request, ino).changes(ino).writes(), caller(request));
        let change = AttrChange { mode, uid, gid, atime: atime.map(set_time), mtime: mtime.map(set_time) };
        let fh = fh.map(|fh| Fh(fh.0));
        let work = async move |fs: Arc<Fs>| fs.setattr(Ino(ino.0), size, change, fh, caller).await;
        self.run(call, reply, work, Self::answer_attr);
    }

    fn readlink(&self, request: &Request, ino: INodeNo, reply: ReplyData) {
        let call = Call::new("readlink", request, ino);
        self.run(call, reply, async move |fs| fs.read_link(Ino(ino.0)).await, |_, reply, target| reply.data(&target));
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let creation = creation(request, mode);
        let (call, caller) = (Call::new("mknod", request, parent).on(name).writes(), caller(request));
        let name = text(name);
        let work = async move |fs: Arc<Fs>| match kind_of_mode(mode) {
            Some(FileKind::File) => fs.make_file(Ino(parent.0), &name?, creation, caller).await,
            Some(kind) => fs.make_special(Ino(parent.0), &name?, kind, rdev, creation).await,
            None => Err(Error::fs(libc::EINVAL, format!("{mode:o} is no kind of file"))),
        };
        self.run_entry(call, reply, work);
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, _umask: u32, reply: ReplyEntry) {
        let (call, creation) = (Call::new("mkdir", request, parent).on(name).writes(), creation(request, mode));
        let name = text(name);
        self.run_entry(call, reply, async move |fs| fs.make_dir(Ino(parent.0), &name?, creation).await);
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let call = Call::new("unlink", request, parent).on(name).writes().renames(parent, name);
        let name = text(name);
        self.run(call, reply, async move |fs| fs.unlink(Ino(parent.0), &name?).await, |_, reply, ()| reply.ok());
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let call = Call::new("rmdir", request, parent).on(name).writes().renames(parent, name);
        let name = text(name);
        self.run(call, reply, async move |fs| fs.remove_dir(Ino(parent.0), &name?).await, |_, reply, ()| reply.ok());
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let (call, creation) = (Call::new("symlink", request, parent).on(name).writes(), creation(request, 0));
        let (name, target) = (text(name), text(target.as_os_str()));
        let work = async move |fs: Arc<Fs>| fs.symlink(Ino(parent.0), &name?, &target?, creation).await;
        self.run_entry(call, reply, work);
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let call = Call::new("rename", request, parent).on(name).writes();
        let call = call.renames(parent, name).renames(new_parent, new_name);
        let caller = caller(request);
        let (name, new_name) = (text(name), text(new_name));
        let work = async move |fs: Arc<Fs>| {
            let mode = match flags {
                flags if flags.is_empty() => RenameMode::Replace,
                RenameFlags::RENAME_NOREPLACE => RenameMode::NoReplace,
                _ => return Err(Error::fs(libc::EINVAL, "names cannot be exchanged atomically")),
            };
            fs.rename((Ino(parent.0), &name?), (Ino(new_parent.0), &new_name?), mode, caller).await
        };
        self.run(call, reply, work, |_, reply, ()| reply.ok());
    }

    fn link(&self, _request: &Request, _ino: INodeNo, _parent: INodeNo, _name: &OsStr, reply: ReplyEntry) {
        // What link(2) says of a filesystem without hard links.
        reply.error(if self.is_read_only() { Errno::EROFS } else { Errno::EPERM });
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if self.first_copy.is(ino) {
            return reply.opened(FileHandle(0), FopenFlags::empty());
        }
        let writes = flags.0 & (libc::O_ACCMODE | libc::O_TRUNC) != libc::O_RDONLY;
        let (call, caller) = (Call::new("open", request, ino).writes_if(writes), caller(request));
        let work = async move |fs: Arc<Fs>| fs.open(Ino(ino.0), flags.0, caller).await;
        let answer = |_: &Fs, reply: ReplyOpen, opened: Opened| {
            reply.opened(FileHandle(opened.fh.0), fopen_flags(&opened));
        };
        self.run_held(call, reply, work, answer, |opened| Held { file: Some(opened.fh), ..Held::default() });
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let (call, caller) = (Call::new("create", request, parent).on(name).writes(), caller(request));
        let (name, creation) = (text(name), creation(request, mode));
        let work = async move |fs: Arc<Fs>| fs.create(Ino(parent.0), &name?, creation, flags, caller).await;
        let answer = |fs: &Fs, reply: ReplyCreate, (attr, opened): (Attr, Opened)| {
            let ttl = fs.names().ttl(attr.ino);
            let fh = FileHandle(opened.fh.0);
            reply.created(&ttl, &file_attr(&attr), Generation(0), fh, fopen_flags(&opened));
        };
        let held = |(attr, opened): &(Attr, Opened)| Held { file: Some(opened.fh), ..Held::lookup(attr.ino) };
        self.run_held(call, reply, work, answer, held);
    }

    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let (call, reader) = (Call::new("read", request, ino), User::of_request(request.uid()));
        let work = async move |fs: Arc<Fs>| fs.read(Fh(fh.0), offset, size, reader).await;
        self.run(call.polled_inline(), reply, work, |_, reply, bytes| reply.data(&bytes));
    }

    fn write(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let (call, caller) = (Call::new("write", request, ino).changes(ino).writes(), caller(request));
        let data = Bytes::copy_from_slice(data);
        let len = data.len() as u32;
        let mode = WriteMode {
            mapped: write_flags.contains(WriteFlags::FUSE_WRITE_CACHE),
            drop_setid: write_flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID),
            writer: User::of_request(request.uid()),
        };
        let cache = self.cache.clone();
        let work = async move |fs: Arc<Fs>| {
            if let Some(range) = fs.write(Fh(fh.0), offset, &data, mode, caller).await? {
                cache.drop_range(ino, range).await;
            }
            Ok(())
        };
        let (call, answer) = (call.polled_inline(), move |_: &Fs, reply: ReplyWrite, ()| reply.written(len));
        if !mode.mapped {
            return self.run(call, reply, work, answer);
        }
        let writers = || WrittenBack::of(&self.fs).writers(Fh(fh.0));
        let enter = |reply| self.underway.enter_write_back(writers(), len, reply, ReplyWrite::written);
        self.run_entering(call, reply, work, answer, |()| Held::default(), enter);
    }

    fn flush(&self, request: &Request, ino: INodeNo, fh: FileHandle, _lock_owner: LockOwner, reply: ReplyEmpty) {
        if self.first_copy.is(ino) {
            return reply.ok();
        }
        let (call, caller) = (Call::new("flush", request, ino), caller(request));
        self.run(call, reply, async move |fs| fs.flush(Fh(fh.0), caller).await, |_, reply, ()| reply.ok());
    }

    fn release(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.watchers.forget(Fh(fh.0));
        // Nobody waits for it, and after an unmount there is nobody to hear it.
        reply.ok();
        if self.fs.ending().is_ended() {
            return;
        }
        let fs = self.fs.clone();
        self.runtime.spawn(async move { fs.release(Fh(fh.0)).await });
    }

    fn fsync(&self, request: &Request, ino: INodeNo, fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        let (call, caller) = (Call::new("fsync", request, ino), caller(request));
        self.run(call, reply, async move |fs| fs.fsync(Fh(fh.0), caller).await, |_, reply, ()| reply.ok());
    }

    fn opendir(&self, request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let call = Call::new("opendir", request, ino);
        let work = async move |fs: Arc<Fs>| fs.readdir().open(Ino(ino.0));
        let answer = |_: &Fs, reply: ReplyOpen, fh: Fh| reply.opened(FileHandle(fh.0), FopenFlags::empty());
        self.run_held(call, reply, work, answer, |fh| Held { directory: Some(*fh), ..Held::default() });
    }

    fn readdir(&self, request: &Request, ino: INodeNo, fh: FileHandle, offset: u64, reply: ReplyDirectory) {
        let call = Call::new("readdir", request, ino).errno_of(errno_of_listing);
        let work = async move |fs: Arc<Fs>| fs.readdir().read(Fh(fh.0), offset).await;
        self.run(call, reply, work, |_, mut reply, entries| {
            for entry in entries {
                if reply.add(INodeNo(entry.ino.0), entry.offset, file_type(entry.kind), &*entry.name) {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn readdirplus(&self, request: &Request, ino: INodeNo, fh: FileHandle, offset: u64, reply: ReplyDirectoryPlus) {
        let call = Call::new("readdirplus", request, ino).errno_of(errno_of_listing);
        let fh = Fh(fh.0);
        let work = async move |fs: Arc<Fs>| fs.readdir().read_plus(fh, offset).await;
        let answer = |fs: &Fs, mut reply: ReplyDirectoryPlus, entries: Vec<(DirEntry, Attr)>| {
            let mut full = false;
            for (entry, attr) in entries {
                let (ino, attr, ttl) = (INodeNo(entry.ino.0), file_attr(&attr), fs.names().ttl_of_listed(entry.ino));
                full = full || reply.add(ino, entry.offset, &*entry.name, &ttl, &attr, Generation(0));
                // The dots carry no reference.
                if entry.offset > 2 {
                    fs.readdir().entry_sent(entry.ino, !full);
                }
            }
            reply.ok();
        };
        self.run_held(call, reply, work, answer, |entries| {
            let lookups = entries.iter().filter(|(entry, _)| entry.offset > 2).map(|(entry, _)| entry.ino);
            Held { lookups: lookups.collect(), ..Held::default() }
        });
    }

    fn releasedir(&self, _request: &Request, _ino: INodeNo, fh: FileHandle, _flags: OpenFlags, reply: ReplyEmpty) {
        self.fs.readdir().release(Fh(fh.0));
        reply.ok();
    }

    fn fsyncdir(&self, request: &Request, ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        let call = Call::new("fsyncdir", request, ino);
        self.run(call, reply, async move |fs| fs.readdir().synchronise(Ino(ino.0)).await, |_, reply, ()| reply.ok());
    }

    fn statfs(&self, _request: &Request, ino: INodeNo, reply: ReplyStatfs) {
        let s = self.fs.statfs(Ino(ino.0));
        reply.statfs(s.blocks, s.blocks, s.blocks, s.files, s.files, s.block_size, s.longest_name, s.block_size);
    }

    fn setxattr(
        &self,
        request: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let (call, who) = (Call::new("setxattr", request, ino).on(name).writes(), self.credentials(request));
        let (name, value) = (text(name), value.to_vec());
        let work = async move |fs: Arc<Fs>| fs.xattrs().set(Ino(ino.0), &name?, &value, flags, &who).await;
        self.run(call, reply, work, |_, reply, ()| reply.ok());
    }

    fn getxattr(&self, request: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let (call, caller) = (Call::new("getxattr", request, ino).on(name), caller(request));
        let name = text(name);
        let work = async move |fs: Arc<Fs>| fs.xattrs().get(Ino(ino.0), &name?, size == 0, caller).await;
        self.run(call, reply, work, move |_, reply, value| answer_xattr(reply, size, &value));
    }

    fn listxattr(&self, request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let (call, caller) = (Call::new("listxattr", request, ino), caller(request));
        let work = async move |fs: Arc<Fs>| fs.xattrs().list(Ino(ino.0), size == 0, caller).await;
        self.run(call, reply, work, move |_, reply, names| {
            let list: Vec<u8> = names.iter().flat_map(|name| name.bytes().chain([0])).collect();
            answer_xattr(reply, size, &list);
        });
    }

    fn removexattr(&self, request: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (call, who) = (Call::new("removexattr", request, ino).on(name).writes(), self.credentials(request));
        let name = text(name);
        let work = async move |fs: Arc<Fs>| fs.xattrs().remove(Ino(ino.0), &name?, &who).await;
        self.run(call, reply, work, |_, reply, ()| reply.ok());
    }

    fn ioctl(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _flags: IoctlFlags,
        command: u32,
        input: &[u8],
        _output_size: u32,
        reply: ReplyIoctl,
    ) {
        let call = Call::new("ioctl", request, ino);
        let asked = ioctl::Request {
            ino: Ino(ino.0),
            fh: Fh(fh.0),
            command,
            input: input.to_vec(),
            who: self.credentials(request),
            caller: caller(request),
            refusal: self.refusals.of(request.pid(), request.uid()),
            read_only: self.is_read_only(),
        };
        let work = async move |fs: Arc<Fs>| ioctl::answer(&fs, asked).await;
        self.run(call, reply, work, |_, reply, output| reply.ioctl(0, &output));
    }

    fn poll(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        notifier: PollNotifier,
        events: PollEvents,
        flags: PollFlags,
        reply: ReplyPoll,
    ) {
        // Errors and hang-ups are always asked for, and are not what is meant.
        let ready =
            events & (PollEvents::POLLIN | PollEvents::POLLRDNORM | PollEvents::POLLOUT | PollEvents::POLLWRNORM);
        if self.first_copy.is(ino) {
            return reply.poll(ready);
        }
        let call = Call::new("poll", request, ino);
        let watchers = self.watchers.clone();
        let wanted = flags.contains(PollFlags::FUSE_POLL_SCHEDULE_NOTIFY);
        let work = async move |fs: Arc<Fs>| {
            let job = fs.pending_copy(Ino(ino.0)).await?;
            if let Some(job) = job.as_ref().filter(|_| wanted).cloned() {
                watchers.watch(Fh(fh.0), job, notifier);
            }
            Ok(job.is_some())
        };
        self.run(call, reply, work, move |_, reply, pending| {
            reply.poll(if pending { PollEvents::empty() } else { ready });
        });
    }

    fn fallocate(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let (call, caller) = (Call::new("fallocate", request, ino).changes(ino).writes(), caller(request));
        let work = async move |fs: Arc<Fs>| fs.fallocate(Fh(fh.0), offset, length, mode, caller).await;
        self.run(call, reply, work, |_, reply, ()| reply.ok());
    }

    fn lseek(&self, request: &Request, ino: INodeNo, fh: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        let call = Call::new("lseek", request, ino);
        let work = async move |fs: Arc<Fs>| fs.seek(Fh(fh.0), offset, whence).await;
        self.run(call, reply, work, |_, reply, offset| reply.offset(offset));
    }

    fn copy_file_range(
        &self,
        request: &Request,
        ino_in: INodeNo,
        fh_in: FileHandle,
        offset_in: u64,
        ino_out: INodeNo,
        fh_out: FileHandle,
        offset_out: u64,
        len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        if self.first_copy.is(ino_in) {
            self.first_copy.asked();
            // It is done as asked: whoever makes it is to know an error from a copy.
            return reply.written(len.min(u64::from(u32::MAX)) as u32);
        }
        let call = Call::new("copy_file_range", request, ino_in).errno_of(|_, error| error.errno_of_copy());
        let call = call.changes(ino_out).writes();
        let caller = caller(request);
        let (from, to) = ((Fh(fh_in.0), offset_in), (Fh(fh_out.0), offset_out));
        let work = async move |fs: Arc<Fs>| fs.copy_file_range(from, to, len, caller).await;
        // The kernel asks for no more than fits.
        self.run(call, reply, work, |_, reply, copied| reply.written(copied.min(u64::from(u32::MAX)) as u32));
    }
}

/// To the C library, ENOENT from reading a directory is the end of it: a container that vanished would look empty.
fn errno_of_listing(fs: &Fs, error: &Error) -> i32 {
    match fs.errno(error) {
        libc::ENOENT => libc::ESTALE,
        errno => errno,
    }
}

fn answer_xattr(reply: ReplyXattr, size: u32, value: &[u8]) {
    match value.len() as u32 {
        len if size == 0 => reply.size(len),
        len if len <= size => reply.data(value),
        _ => reply.error(Errno::ERANGE),
    }
}
