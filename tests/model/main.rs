//! Random steps on two mounts and by a client without one, judged by the [`Oracle`].
//!
//! A program of its own beside `tests/it`: a process that starts programs has its descriptors flushed by them between fork and exec.
//!
//! The mounts believe for a day what they were told; the test itself ends that where a step says so, and no step waits for anything. All
//! calls are made by this process, one after the other, so that what each of them may and must do is exact. The seeds are printed;
//! `BLOBCP_TEST_SEEDS` sets them, `BLOBCP_TEST_STEPS` the number of steps for each.

// Tests end where something is not as they expect, and their modules are nobody else's.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use blobcp::store::{BlobSettings, DeleteOptions, Metadata, WriteOptions};
use bytes::Bytes;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports)]
mod common;
use common::*;

mod oracle;
mod steps;
use oracle::{Change, Id, Oracle, Stored, Verdict};
use steps::{How, Step, step};

/// Longer than any test.
const A_DAY: Duration = Duration::from_secs(86_400);

const FILES: usize = 3;
/// Steps on one set of files.
const STEPS: usize = 40;
/// Longest that a sequence may take: then the test ends, for a call of this process that hangs cannot be ended otherwise.
const PATIENCE: Duration = Duration::from_secs(600);

/// Bytes that are nowhere else: each time from another place of one long row.
fn bytes(len: usize) -> Bytes {
    const ALL: usize = 32 << 20;
    static ROW: LazyLock<Bytes> = LazyLock::new(|| pattern(ALL).into());
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let start = NEXT.fetch_add(7_654_321, Ordering::Relaxed) % (ALL - 10_000_000);
    ROW.slice(start..start + len)
}

/// close(2), with what it says.
fn close(file: File) -> io::Result<()> {
    // SAFETY: the descriptor is ours and is used no more.
    match unsafe { libc::close(file.into_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

struct Mapping {
    start: *mut c_void,
    len: usize,
}

impl Mapping {
    fn of(file: &File, len: usize) -> Option<Self> {
        // SAFETY: a new mapping of a descriptor that is open, at an address that the kernel chooses.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        (start != libc::MAP_FAILED).then_some(Self { start, len })
    }

    /// Reads by the kernel's hand, which says EFAULT where touching it would be SIGBUS.
    fn read(&self, at: usize, len: usize) -> Option<Vec<u8>> {
        let mut read = vec![0u8; len.min(self.len.saturating_sub(at))];
        let to = libc::iovec { iov_base: read.as_mut_ptr().cast(), iov_len: read.len() };
        let from = libc::iovec { iov_base: self.start.wrapping_byte_add(at), iov_len: read.len() };
        // SAFETY: both vectors lie in memory that lives as long as the call; only `read` is written to.
        let got = unsafe { libc::process_vm_readv(libc::getpid(), &to, 1, &from, 1, 0) };
        (got == read.len() as isize).then_some(read)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: what was mapped, as it was mapped.
        unsafe { libc::munmap(self.start, self.len) };
    }
}

struct Opened {
    file: File,
    id: Id,
    how: How,
    map: Option<Mapping>,
    /// No write was refused that a mapping may show.
    is_mapped_truly: bool,
    /// A copy between types was refused: the mount lets nothing through any more.
    spoiled: bool,
}

impl Opened {
    fn reads(&self) -> bool {
        !matches!(self.how, How::Truncate | How::Append)
    }

    fn writes(&self) -> bool {
        self.how != How::Read
    }
}

struct Run<'a> {
    world: &'a World,
    mounts: [&'a Mount; 2],
    dir: String,
    open: Vec<Opened>,
    oracle: Oracle,
}

impl Run<'_> {
    fn name(&self, file: usize) -> String {
        format!("{}/f{file}", self.dir)
    }

    fn path(&self, mount: usize, file: usize) -> PathBuf {
        self.mounts[mount].here().join(self.name(file))
    }

    /// What the service has.
    fn stored(&self) -> Vec<Option<Bytes>> {
        (0..FILES).map(|file| self.world.store.content(ONE, BOX, &self.name(file)).ok()).collect()
    }

    /// After a step of a mount: whatever has changed in the service was acknowledged.
    fn explain(&mut self, mount: usize) -> Verdict {
        let now = self.stored();
        self.oracle.explain(mount, &now)
    }

    fn fd(&self, fd: usize) -> Option<usize> {
        (!self.open.is_empty()).then(|| fd % self.open.len())
    }

    /// Somebody else of this process has the inode open.
    fn others(&self, fd: usize) -> bool {
        self.open.iter().enumerate().any(|(other, opened)| other != fd && opened.id == self.open[fd].id)
    }

    fn readers(&self, id: Id) -> bool {
        self.open.iter().any(|opened| opened.id == id && (opened.reads() || opened.map.is_some()))
    }

    /// Who has the inode open only appends to it: it may be another blob of the name by now.
    fn is_whatever_is_there(&self, id: Id) -> bool {
        self.open.iter().any(|opened| opened.id == id)
            && self.open.iter().filter(|opened| opened.id == id).all(|opened| opened.how == How::Append)
    }

    fn failed(&self, what: &str, fd: usize, error: &io::Error) -> Verdict {
        let opened = &self.open[fd];
        match self.oracle.may_fail(opened.id) || opened.spoiled {
            true => Ok(()),
            false => Err(format!("{what} of {:?}: {error}, and nobody else was at it", opened.id)),
        }
    }

    fn run(&mut self, step: &Step) -> Verdict {
        match *step {
            Step::Open { mount, file, how } => self.open(mount, file, how),
            Step::Close { fd } => self.fd(fd).map_or(Ok(()), |fd| self.close(fd)),
            Step::Read { fd, at, len } => self.fd(fd).map_or(Ok(()), |fd| self.read(fd, at, len)),
            Step::Mapped { fd, at, len } => self.fd(fd).map_or(Ok(()), |fd| self.mapped(fd, at, len)),
            Step::Write { fd, at, len } => self.fd(fd).map_or(Ok(()), |fd| self.write(fd, at, len)),
            Step::Resize { fd, to } => self.fd(fd).map_or(Ok(()), |fd| self.resize(fd, to)),
            Step::Sync { fd } => self.fd(fd).map_or(Ok(()), |fd| self.sync(fd)),
            Step::Copy { from, to, at, to_at, len } => match (self.fd(from), self.fd(to)) {
                (Some(from), Some(to)) => self.copy((from, at), (to, to_at), len),
                _ => Ok(()),
            },
            Step::Truncate { mount, file, to } => self.truncate(mount, file, to),
            Step::Rename { mount, from, to } => self.rename(mount, from, to),
            Step::Unlink { mount, file } => self.unlink(mount, file),
            Step::Expire { mount } => {
                self.expire(mount);
                (0..FILES).try_for_each(|file| self.see_the_truth(mount, file))
            }
            _ => self.by_another_client(step),
        }
    }

    fn by_another_client(&mut self, step: &Step) -> Verdict {
        let client = self.world.client(ONE);
        let (Step::Put { file, .. }
        | Step::PutAppendBlob { file, .. }
        | Step::AppendBlock { file, .. }
        | Step::Describe { file }
        | Step::Delete { file }) = *step
        else {
            return Ok(());
        };
        let (name, was) = (path(&self.name(file)), self.oracle.stored[file].clone());
        let (always, plain) = (WriteOptions::default(), BlobSettings::default());
        match (step, was) {
            (Step::Put { len, .. }, was) if was.as_ref().is_none_or(|was| !was.append_blob) => {
                let content = bytes(*len);
                let put = client.blob(&name).block_blob().upload(content.clone(), &plain, &always);
                self.world.block_on(put).map_err(|error| error.to_string())?;
                self.oracle.foreign(file, Some(Stored { content, append_blob: false }), false);
            }
            (Step::PutAppendBlob { len, .. }, was) if was.as_ref().is_none_or(|was| was.append_blob) => {
                let content = bytes(*len);
                let put = async {
                    client.blob(&name).append_blob().create(&plain, &always).await?;
                    if content.is_empty() {
                        return Ok(());
                    }
                    client.blob(&name).append_blob().append_block(0, content.clone(), &always).await.map(drop)
                };
                self.world.block_on(put).map_err(|error: blobcp::error::Error| error.to_string())?;
                self.oracle.foreign(file, Some(Stored { content, append_blob: true }), false);
            }
            (Step::AppendBlock { len, .. }, Some(was)) if was.append_blob && *len > 0 => {
                let more = bytes(*len);
                let append =
                    client.blob(&name).append_blob().append_block(was.content.len() as u64, more.clone(), &always);
                self.world.block_on(append).map_err(|error| error.to_string())?;
                let content = [&was.content[..], &more].concat().into();
                self.oracle.foreign(file, Some(Stored { content, append_blob: true }), true);
            }
            // Other metadata; whether the content is proven equal is the mount's business.
            (Step::Describe { .. }, Some(was)) => {
                let metadata: Metadata = [("note", "another client's")].into_iter().collect();
                let described = client.blob(&name).set_metadata(&metadata, &always);
                self.world.block_on(described).map_err(|error| error.to_string())?;
                self.oracle.foreign(file, Some(was), true);
            }
            (Step::Delete { .. }, Some(_)) => {
                let always = DeleteOptions::default();
                self.world.block_on(client.blob(&name).delete(&always)).map_err(|error| error.to_string())?;
                self.oracle.foreign(file, None, false);
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, mount: usize, file: usize, how: How) -> Verdict {
        if self.open.len() >= 8 {
            return Ok(());
        }
        let mut options = OpenOptions::new();
        match how {
            How::Read => options.read(true),
            How::ReadWrite => options.read(true).write(true),
            How::ReadWriteCreate => options.read(true).write(true).create(true).truncate(false),
            How::Truncate => options.write(true).create(true).truncate(true),
            How::Append => options.append(true).create(true),
            How::Exclusive => options.read(true).write(true).create_new(true),
        };
        options.custom_flags(libc::O_CLOEXEC);
        let opened = match options.open(self.path(mount, file)) {
            Ok(opened) => opened,
            // It is there or not, or is not what it was: nothing was promised.
            Err(error) => {
                return match error.raw_os_error() {
                    Some(libc::ENOENT | libc::EEXIST | libc::ESTALE) => self.explain(mount),
                    _ => Err(format!("open {how:?} of {file}: {error}")),
                };
            }
        };
        // As shells do: a duplicate is kept, and the first descriptor closed.
        let first = opened;
        let opened = first.try_clone().map_err(|error| format!("dup: {error}"))?;
        let stat = opened.metadata().map_err(|error| format!("fstat: {error}"))?;
        let id = (mount, stat.ino());
        let creating = !matches!(how, How::Read | How::ReadWrite);
        if self.is_whatever_is_there(id) {
            self.oracle.adopted(id, Some(stat.size() as usize));
        }
        self.open.push(Opened { file: opened, id, how, map: None, is_mapped_truly: true, spoiled: false });
        self.oracle.opened(id, file, stat.size() as usize, how == How::Truncate, creating);
        // A flush like any other, though of a file that stays open.
        let closed = close(first);
        self.explain(mount)?;
        match closed {
            Ok(()) if how != How::Read => self.oracle.stored(id, true),
            Ok(()) => Ok(()),
            Err(error) => {
                self.failed("flush", self.open.len() - 1, &error)?;
                self.oracle.not_stored(id, self.readers(id)).map_err(|why| format!("{why}: {error}"))
            }
        }
    }

    fn close(&mut self, fd: usize) -> Verdict {
        let (others, readers) = (self.others(fd), self.readers(self.open[fd].id));
        let Opened { file, id, how, map, spoiled, .. } = self.open.swap_remove(fd);
        drop(map);
        let closed = close(file);
        self.explain(id.0)?;
        match closed {
            Ok(()) if how != How::Read => self.oracle.stored(id, others)?,
            Ok(()) => {}
            Err(error) if self.oracle.may_fail(id) || spoiled => {
                if !spoiled {
                    self.oracle.not_stored(id, readers).map_err(|why| format!("{why}: {error}"))?;
                }
            }
            Err(error) => return Err(format!("close of {id:?}: {error}, and nobody else was at it")),
        }
        if self.open.iter().all(|opened| opened.id != id) {
            self.oracle.inodes.remove(&id);
        }
        Ok(())
    }

    fn read(&mut self, fd: usize, at: usize, len: usize) -> Verdict {
        let Opened { file, id, .. } = &self.open[fd];
        if !self.open[fd].reads() {
            return Ok(());
        }
        let id = *id;
        let mut buffer = vec![0; len];
        let mut got = 0;
        let outcome = loop {
            match file.read_at(&mut buffer[got..], (at + got) as u64) {
                Ok(0) => break Ok(()),
                Ok(more) => got += more,
                Err(error) => break Err(error),
            }
        };
        self.explain(id.0)?;
        match outcome {
            Ok(()) => self.oracle.read(id, at, len, &buffer[..got]),
            Err(error) => {
                // What came before the error is of the version, too.
                self.oracle.read(id, at, got, &buffer[..got])?;
                self.failed("read", fd, &error)
            }
        }
    }

    fn mapped(&mut self, fd: usize, at: usize, len: usize) -> Verdict {
        if !self.open[fd].reads() {
            return Ok(());
        }
        let id = self.open[fd].id;
        if self.open[fd].map.is_none() {
            let size = self.open[fd].file.metadata().map_or(0, |stat| stat.size() as usize);
            if size == 0 {
                return Ok(());
            }
            self.open[fd].map = Mapping::of(&self.open[fd].file, size);
        }
        let Some(map) = &self.open[fd].map else { return Ok(()) };
        let read = map.read(at, len);
        self.explain(id.0)?;
        if !self.open[fd].is_mapped_truly {
            return Ok(());
        }
        match read {
            // Where the file has become shorter, or its page was cut off, there is nothing to compare.
            Some(read) if !read.is_empty() => {
                let Some(inode) = self.oracle.inodes.get(&id) else { return Ok(()) };
                if inode.candidates.iter().any(|content| content.len() < at + read.len()) {
                    return Ok(());
                }
                self.oracle.read(id, at, read.len(), &read)
            }
            _ => Ok(()),
        }
    }

    fn write(&mut self, fd: usize, at: usize, len: usize) -> Verdict {
        let opened = &self.open[fd];
        if !opened.writes() || len == 0 {
            return Ok(());
        }
        let (id, append, data) = (opened.id, opened.how == How::Append, bytes(len));
        let mut sent = 0;
        let outcome = loop {
            if sent == len {
                break Ok(());
            }
            match opened.file.write_at(&data[sent..], (at + sent) as u64) {
                Ok(more) => sent += more,
                Err(error) => break Err(error),
            }
        };
        if sent > 0 {
            if self.is_whatever_is_there(id) {
                self.oracle.adopted(id, None);
            }
            let data = data.slice(..sent);
            let change = if append { Change::Append(data) } else { Change::Write(at, vec![data]) };
            self.oracle.changed(id, change)?;
        }
        if outcome.is_err() {
            // Its bytes were in the kernel's pages before it was refused, and whoever has mapped them keeps them.
            self.open.iter_mut().filter(|opened| opened.id == id).for_each(|opened| opened.is_mapped_truly = false);
        }
        self.explain(id.0)?;
        outcome.or_else(|error| self.failed("write", fd, &error))
    }

    fn resize(&mut self, fd: usize, to: usize) -> Verdict {
        let opened = &self.open[fd];
        if !opened.writes() {
            return Ok(());
        }
        let (id, outcome) = (opened.id, opened.file.set_len(to as u64));
        if outcome.is_ok() {
            if self.is_whatever_is_there(id) {
                self.oracle.adopted(id, None);
            }
            self.oracle.changed(id, Change::Resize(to))?;
        }
        self.explain(id.0)?;
        outcome.or_else(|error| self.failed("ftruncate", fd, &error))
    }

    fn sync(&mut self, fd: usize) -> Verdict {
        let opened = &self.open[fd];
        if !opened.writes() {
            return Ok(());
        }
        let (id, outcome) = (opened.id, opened.file.sync_all());
        let readers = self.readers(id);
        self.explain(id.0)?;
        match outcome {
            Ok(()) => self.oracle.stored(id, false),
            Err(error) => {
                self.failed("fsync", fd, &error)?;
                match self.open[fd].spoiled {
                    true => Ok(()),
                    false => self.oracle.not_stored(id, readers).map_err(|why| format!("{why}: {error}")),
                }
            }
        }
    }

    fn copy(&mut self, (from, at): (usize, usize), (to, to_at): (usize, usize), len: usize) -> Verdict {
        let (source, target) = (&self.open[from], &self.open[to]);
        let apart = source.id != target.id || at + len <= to_at || to_at + len <= at;
        let fits = source.id.0 == target.id.0 && source.reads() && target.writes() && target.how != How::Append;
        if !fits || !apart || len == 0 {
            return Ok(());
        }
        let (source_id, target_id) = (source.id, target.id);
        // What nobody has read may be many things, and a copy of it many more.
        if self.oracle.inodes.get(&source_id).is_none_or(|inode| inode.candidates.len() > 4) {
            return Ok(());
        }
        let (mut at, mut to_at, end) = (at as i64, to_at as i64, at + len);
        let outcome = loop {
            if at as usize == end {
                break Ok(());
            }
            let (before, to_before) = (at as usize, to_at as usize);
            // SAFETY: descriptors that are open, and offsets that live as long as the call.
            let copied = unsafe {
                let (from, to) = (source.file.as_raw_fd(), target.file.as_raw_fd());
                libc::copy_file_range(from, &mut at, to, &mut to_at, end - at as usize, 0)
            };
            match copied {
                0 => break Ok(()),
                1.. => {
                    let options = self.oracle.ranges(source_id, before, copied as usize);
                    if options.is_empty() {
                        break Err(Err(format!(
                            "{copied} bytes were copied from {source_id:?}, where no version has so many"
                        )));
                    }
                    self.oracle.changed(target_id, Change::Write(to_before, options))?;
                }
                _ => break Err(Ok(io::Error::last_os_error())),
            }
        };
        self.explain(source_id.0)?;
        match outcome {
            Ok(()) => Ok(()),
            Err(Err(violation)) => Err(violation),
            Err(Ok(error)) => {
                let append_blob = |id: &Id| self.oracle.inodes.get(id).is_some_and(|inode| inode.append_blob);
                if append_blob(&source_id) != append_blob(&target_id) {
                    self.open[from].spoiled = true;
                    self.open[to].spoiled = true;
                    for opened in &mut self.open {
                        opened.spoiled |= opened.id == target_id;
                    }
                }
                self.failed("copy from", from, &error).or_else(|_| self.failed("copy to", to, &error))
            }
        }
    }

    fn truncate(&mut self, mount: usize, file: usize, to: usize) -> Verdict {
        let path = std::ffi::CString::new(self.path(mount, file).into_os_string().into_encoded_bytes()).unwrap();
        // SAFETY: a path that lives as long as the call.
        let outcome = unsafe { libc::truncate(path.as_ptr(), to as libc::off_t) };
        let now = self.stored();
        if outcome != 0 {
            // It may show in what could not be stored.
            self.oracle.may_have_changed(mount, file, Change::Resize(to));
            return self.explain(mount);
        }
        // Of an inode that is open here, or of one that nobody has open.
        let was = self.oracle.stored[file].as_ref().map(|was| was.content.clone());
        let ids: Vec<Id> = self.oracle.inodes.keys().copied().collect();
        for id in ids {
            let inode = self.oracle.inodes.get(&id).cloned();
            // One that was of an old version and has nothing to be stored is not what the name stands for.
            let stands = |inode: &oracle::Inode| !inode.disturbed || !inode.pending.is_empty();
            let is_it = |inode: &oracle::Inode| inode.file == Some(file) && id.0 == mount && stands(inode);
            let Some(inode) = inode.filter(is_it) else { continue };
            let mut pending = inode.pending.clone();
            pending.push(Change::Resize(to));
            if oracle::apply(&pending, was.as_ref()).contains(&now[file]) {
                self.oracle.changed(id, Change::Resize(to))?;
                return self.explain(mount);
            }
        }
        let after = oracle::apply(&[Change::Resize(to)], was.as_ref());
        if !after.contains(&now[file]) {
            return Err(format!("truncate of file {file} to {to}: {:?}", now[file].as_ref().map(Bytes::len)));
        }
        // The kernel may have come back with it, after an inode that is not what the name stands for had been cut and refused.
        self.oracle.may_have_changed(mount, file, Change::Resize(to));
        let stored = now[file].clone().zip(self.oracle.stored[file].clone());
        let stored = stored.map(|(content, was)| Stored { content, append_blob: was.append_blob });
        self.oracle.foreign(file, stored, false);
        Ok(())
    }

    fn rename(&mut self, mount: usize, from: usize, to: usize) -> Verdict {
        if from == to {
            return Ok(());
        }
        // What is pending is stored under the old name before.
        let before = self.stored();
        let renamed = std::fs::rename(self.path(mount, from), self.path(mount, to));
        let now = self.stored();
        match renamed {
            Ok(()) => {
                let mut committed = before.clone();
                committed[from] = now[to].clone();
                // The target's own changes have nowhere to go.
                self.oracle.explain(mount, &committed)?;
                self.oracle.renamed(mount, from, to, &now)
            }
            Err(_) => self.explain(mount),
        }
    }

    fn unlink(&mut self, mount: usize, file: usize) -> Verdict {
        let outcome = std::fs::remove_file(self.path(mount, file));
        let now = self.stored();
        match outcome {
            Ok(()) if now[file].is_none() => {
                self.oracle.unlinked(mount, file);
                Ok(())
            }
            // What was unlinked existed here only, and another client's blob has the name.
            Ok(()) if self.oracle.unlinked_here_only(mount, file) => self.explain(mount),
            Ok(()) => Err(format!("file {file} was unlinked and is there")),
            Err(_) => self.explain(mount),
        }
    }

    fn expire(&self, mount: usize) {
        let names: Vec<String> = (0..FILES).map(|file| format!("f{file}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let open: Vec<u64> = self.open.iter().filter(|opened| opened.id.0 == mount).map(|opened| opened.id.1).collect();
        self.mounts[mount].expire(&self.mounts[mount].here().join(&self.dir), &names, &open);
    }

    /// Nothing is believed any longer: what the name shows is what is in the service, or is not stored yet.
    fn see_the_truth(&mut self, mount: usize, file: usize) -> Verdict {
        let stored = self.oracle.stored[file].as_ref().map(|stored| stored.content.clone());
        let opened = match File::open(self.path(mount, file)) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound && stored.is_none() => return Ok(()),
            Err(error) => return Err(format!("mount {mount} cannot open file {file}: {error}")),
        };
        let ino = opened.metadata().map_err(|error| format!("fstat: {error}"))?.ino();
        let mut content = Vec::new();
        let read = io::Read::read_to_end(&mut &opened, &mut content);
        drop(opened);
        let id = (mount, ino);
        self.explain(mount)?;
        // A read may have had to store what it reads.
        let stored = self.oracle.stored[file].as_ref().map(|stored| stored.content.clone());
        if self.is_whatever_is_there(id) {
            self.oracle.adopted(id, Some(content.len()));
        }
        let unsaved = self.oracle.inodes.get(&id).is_some_and(|inode| !inode.pending.is_empty());
        match read {
            Err(error) if unsaved => self.oracle.may_fail(id).then_some(()).ok_or(format!("read: {error}")),
            Err(error) => Err(format!("mount {mount} cannot read file {file}: {error}")),
            Ok(_) if unsaved => self.oracle.read(id, 0, usize::MAX >> 1, &content),
            Ok(_) if Some(&content[..]) == stored.as_deref() => Ok(()),
            Ok(_) => Err(format!(
                "mount {mount} shows {} bytes as file {file}, inode {ino}, which has {:?} others",
                content.len(),
                stored.map(|stored| stored.len())
            )),
        }
    }
}

fn run(world: &World, other: &Mount, steps: &[Step]) -> Verdict {
    static CASE: AtomicU64 = AtomicU64::new(0);
    let dir = format!("case-{}", CASE.fetch_add(1, Ordering::Relaxed));
    world.put(&format!("{dir}/keep"), "");
    // They may have listed where it is.
    [world.mount(), other].iter().for_each(|mount| mount.fs.tree().invalidate_all());
    let mut run = Run { world, mounts: [world.mount(), other], dir, open: Vec::new(), oracle: Oracle::new(FILES) };
    let verdict = steps
        .iter()
        .enumerate()
        .try_for_each(|(at, step)| run.run(step).map_err(|why| format!("step {at}, {step:?}: {why}")));
    let close_all = |run: &mut Run<'_>| -> Verdict {
        while !run.open.is_empty() {
            run.close(run.open.len() - 1)?;
        }
        for mount in 0..2 {
            run.expire(mount);
            (0..FILES).try_for_each(|file| run.see_the_truth(mount, file))?;
        }
        Ok(())
    };
    verdict.and_then(|()| close_all(&mut run).map_err(|why| format!("at the end: {why}")))
}

/// Ends the process if a sequence does not end. (A process that is killed while it has files of its own mounts open does not go away
/// before these mounts are aborted in `/sys/fs/fuse/connections`.)
fn watch_over<T>(work: impl FnOnce() -> T) -> T {
    let (done, watched) = std::sync::mpsc::channel::<()>();
    let watcher = std::thread::spawn(move || {
        if watched.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            eprintln!("a sequence of steps does not end");
            std::process::abort();
        }
    });
    let result = work();
    drop(done);
    watcher.join().unwrap();
    result
}

fn random(seeds: &str, steps: usize) {
    let seeds = std::env::var("BLOBCP_TEST_SEEDS").unwrap_or_else(|_| seeds.to_owned());
    let steps = std::env::var("BLOBCP_TEST_STEPS").ok().and_then(|steps| steps.parse().ok()).unwrap_or(steps);
    for seed in seeds.split_whitespace() {
        println!("seed {seed}: {steps} steps");
        let setup = || Setup { attr_ttl: A_DAY, ..Default::default() };
        let world = World::with(setup());
        let other = world.mounted_elsewhere(&setup());
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.parse::<u64>().unwrap().to_le_bytes());
        let config = Config {
            cases: steps.div_ceil(STEPS) as u32,
            failure_persistence: None,
            max_shrink_iters: 300,
            ..Default::default()
        };
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
        let sequences = proptest::collection::vec(step(), STEPS);
        let outcome =
            runner.run(&sequences, |steps| watch_over(|| run(&world, &other, &steps)).map_err(TestCaseError::fail));
        if let Err(TestError::Fail(why, steps)) = outcome {
            let steps: Vec<String> = steps.iter().map(|step| format!("  {step:?}")).collect();
            panic!("seed {seed}: {why}\n{}", steps.join("\n"));
        }
    }
}

#[test]
fn each_descriptor_shows_one_version_and_each_write_is_stored_or_refused() {
    random("1", 300);
}

#[test]
#[ignore = "takes long"]
fn each_descriptor_shows_one_version_in_many_random_sequences() {
    random("11 12 13", 20_000);
}
