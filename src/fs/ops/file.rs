//! Open, read, write, truncate, flush and release.
//!
//! A file that is written to is a [`Draft`] on top of the version that was opened. `flush` commits it, so that `close` can report what
//! went wrong; `fsync` does the same. Shells open a file for redirection, duplicate the descriptor and close the first: the flush
//! of that comes before anything was written. A draft that is only empty is therefore not committed while the same process holds
//! another descriptor of it; what comes next may be a whole copy, which replaces it, or the last close.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use tokio::sync::MutexGuard;
use tracing::error;

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::caller::Caller;
use crate::fs::content::draft::{Basis, Draft};
use crate::fs::content::extent_map::Piece;
use crate::fs::content::handle::{Access, Content, Fh, Handle, OpenFile, State};
use crate::fs::content::read::{Reading, Receive, Version};
use crate::fs::content::strategy::Change;
use crate::fs::content::tail::Aim;
use crate::fs::names::attr::{Attr, AttrChange, Creation, FileKind, Ino};
use crate::fs::names::tree::{Heard, Known, Link, NodeView, Origin, continues, is_grown, replaced};
use crate::fs::ops::coherence::disproves;
use crate::fs::ops::commit::draft_of;
use crate::fs::ops::{append, page};
use crate::store::{BlobType, Client};

/// An opened file.
pub struct Opened {
    pub fh: Fh,
    /// What the kernel has cached of it is still true.
    pub keep_cache: bool,
    /// Reads and writes come here past the kernel's cache.
    pub direct: bool,
}

/// How a write comes.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriteMode {
    /// From a mapping: it goes where it is, not to the end.
    pub mapped: bool,
    /// The file loses its set-user-ID and set-group-ID bits.
    pub drop_setid: bool,
}

impl Fs {
    /// open(2) of a file that exists. `flags` are those of the call.
    pub async fn open(&self, ino: Ino, flags: i32, caller: Caller) -> Result<Opened> {
        let access = Access::of_flags(flags);
        let view = self.to_be_opened(ino).await?;
        if access.write {
            self.tree.refuse_past(ino)?;
            self.refuse_writing(&view)?;
        }
        let file = self.acquire(&view).await;
        if access.write && flags & libc::O_TRUNC != 0 {
            let mut state = file.state.lock().await;
            if let Err(error) = self.edit(&file, &mut state, 0, |draft| draft.truncate(0)).await {
                self.let_go(&file, state).await;
                return Err(error);
            }
        }
        let state = file.state.lock().await;
        // What is being copied is of another size than the kernel believes.
        let direct = view.is_pending() || self.goes_past_the_cache(&file, access);
        let handle = Handle::new(file.clone(), access, direct, caller);
        let version = handle.version(&state)?;
        let keep_cache = version.is_some_and(|version| self.tree.caches(ino, &version.properties.etag));
        let fh = self.handles.insert(handle);
        drop(state);
        Ok(Opened { fh, keep_cache, direct })
    }

    /// Who only writes has nothing of the kernel's cache, which costs a page and a copy for each page that is written. But as long as one
    /// goes past it, all do: a reader who had the last page before something was appended would see zeros in its place. To be asked
    /// under the state lock, together with the registration of the handle.
    fn goes_past_the_cache(&self, file: &OpenFile, access: Access) -> bool {
        match access.read {
            true => file.is_written_directly(),
            false => self.direct_writes.load(Ordering::Relaxed) && !file.is_cached(),
        }
    }

    fn refuse_writing(&self, view: &NodeView) -> Result<()> {
        let Some(properties) = view.properties() else { return Ok(()) };
        if view.is_pending() {
            return Err(Error::fs(libc::EBUSY, format!("{}: a copy onto it is pending", view.name)));
        }
        if properties.sealed {
            return Err(Error::fs(libc::EPERM, format!("{}: the AppendBlob is sealed for good", view.name)));
        }
        Ok(())
    }

    /// The shared state of a file, which learns the version that is current now.
    pub(in crate::fs) async fn acquire(&self, view: &NodeView) -> Arc<OpenFile> {
        let file = self.handles.acquire(view.ino);
        self.tree.opened(view.ino);
        let mut state = file.state.lock().await;
        let unsaved = match &state.content {
            Content::Clean => false,
            Content::Draft(draft) => draft.dirty,
            Content::Copying(_) => true,
        };
        // It may have been committed here since `view` was taken.
        let now = self.tree.view(view.ino);
        if let (false, Some(properties)) = (unsaved, now.as_ref().unwrap_or(view).properties()) {
            state.version = match state.version.clone() {
                Some(version) if version.properties == *properties => Some(version),
                // Tier and tags change without a new ETag.
                Some(version) if version.properties.etag == properties.etag => {
                    Some(version.with_the_same_content(properties.clone()))
                }
                Some(version) if is_grown(&version.properties, properties) => {
                    state.content = Content::Clean;
                    Some(version.with(properties.clone()))
                }
                Some(version) if continues(&version.properties, properties) => {
                    state.content = Content::Clean;
                    Some(version.with_the_same_content(properties.clone()))
                }
                // Handles that are open on the old version end with ESTALE.
                _ => {
                    state.content = Content::Clean;
                    Some(Version::new(properties.clone()))
                }
            };
            file.show(&state);
        }
        drop(state);
        file
    }

    /// Gives back what [`Fs::acquire`] took. The last to leave stores what nobody has stored; nobody hears of an error any more but
    /// the log. All leave under the state lock, so that of two who leave together one is the last.
    pub(in crate::fs) async fn let_go(&self, file: &OpenFile, mut state: MutexGuard<'_, State>) {
        if self.handles.is_last(file.ino)
            && let Err(error) = self.commit(file, &mut state).await
        {
            let name = self.tree.view(file.ino).map(|view| view.name).unwrap_or_default();
            error!(%name, %error, "what was written last is lost: it could not be stored");
        }
        self.handles.done(file.ino);
        drop(state);
        self.tree.closed(file.ino);
    }

    /// Creates and opens a file. It comes into being with its first commit.
    pub async fn create(
        &self,
        parent: Ino,
        name: &str,
        creation: Creation,
        flags: i32,
        caller: Caller,
    ) -> Result<(Attr, Opened)> {
        let dir = self.tree.directory(parent)?;
        dir.blob(name)?;
        if let Some(view) = self.tree.child(parent, name) {
            if flags & libc::O_EXCL != 0 {
                return Err(Error::fs(libc::EEXIST, format!("{name} exists")));
            }
            if view.kind == FileKind::Directory {
                return Err(Error::fs(libc::EISDIR, format!("{name} is a directory")));
            }
            let opened = self.open(view.ino, flags, caller).await?;
            // It is open, and so cannot be gone.
            let _ = self.tree.looked_up(view.ino);
            return Ok((self.attr_of(&self.tree.view(view.ino)?), opened));
        }
        let asked = self.attributes_of_new(parent, FileKind::File, creation)?;
        let known = Known { heard: Heard::Nothing, at: std::time::Instant::now() };
        let view = self.tree.enter(parent, name, FileKind::File, known, None)?;
        self.tree.touch(parent);
        let file = self.acquire(&view).await;
        let mut state = file.state.lock().await;
        // Two who make one file at the same moment are told of each other only where they ask for that.
        let basis = match flags {
            flags if flags & libc::O_EXCL != 0 => Basis::Version,
            flags if flags & libc::O_TRUNC != 0 => Basis::Nothing,
            flags if flags & libc::O_APPEND != 0 => Basis::End(0),
            _ => Basis::Version,
        };
        state.content = Content::Draft(Box::new(Draft::empty(basis)));
        // A mode that cannot be kept is no reason to refuse a file.
        state.change = asked.admit(&self.attr_of(&view), self.config.permissions).unwrap_or_default();
        file.show(&state);
        let access = Access { create: true, ..Access::of_flags(flags) };
        let direct = self.goes_past_the_cache(&file, access);
        let fh = self.handles.insert(Handle::new(file.clone(), access, direct, caller));
        drop(state);
        let _ = self.tree.looked_up(view.ino);
        let attr = self.attr_of(&view);
        Ok((attr, Opened { fh, keep_cache: false, direct }))
    }

    /// mknod(2) of a regular file: created and committed.
    pub async fn make_file(
        self: &Arc<Self>,
        parent: Ino,
        name: &str,
        creation: Creation,
        caller: Caller,
    ) -> Result<Attr> {
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;
        let (attr, opened) = self.create(parent, name, creation, flags, caller).await?;
        let done = self.fsync(opened.fh, caller).await;
        self.release(opened.fh).await;
        match done {
            Ok(()) => Ok(Attr { ino: attr.ino, ..self.attr_of(&self.tree.view(attr.ino)?) }),
            Err(error) => {
                self.tree.unlink(parent, name);
                Err(error)
            }
        }
    }

    /// Up to `size` bytes from `offset`; fewer only at the end.
    pub async fn read(self: &Arc<Self>, fh: Fh, offset: u64, size: u32) -> Result<Bytes> {
        let handle = self.handles.get(fh)?;
        handle.check()?;
        let range = offset..offset.saturating_add(u64::from(size));
        let file = &handle.file;
        // Only a draft is read under the lock; committed content is read by as many as like.
        let version = {
            let mut state = file.state.lock().await;
            if let Content::Copying(_) = state.content {
                drop(state);
                self.settle_own(file, handle.opener).await?;
                state = file.state.lock().await;
            }
            self.follow(file, &mut state);
            if let Content::Copying(_) = state.content {
                return Err(Error::fs(libc::EBUSY, "its content is still being copied"));
            }
            if let Content::Draft(draft) = &state.content {
                if draft.extents.read(range.clone()).contains(&Piece::Staged) {
                    self.commit(file, &mut state).await?;
                }
                let read = self.read_draft(&handle, &state, range).await;
                return read.map_err(|error| match &state.content {
                    // It can be stored all the same, when nobody reads it.
                    Content::Draft(draft) if draft.dirty && draft.basis != Basis::Version && disproves(&error) => {
                        replaced(&error.to_string())
                    }
                    _ => self.not_stored(file, &state, error),
                });
            }
            handle.version(&state)?
        };
        let Some(mut version) = version else { return Ok(Bytes::new()) };
        let mut origin = self.tree.origin(file.ino).ok();
        loop {
            match self.read_version(&handle, &version, range.clone()).await {
                // This mount may have made it another version while the answer was on its way.
                Err(error) if disproves(&error) => {
                    let state = file.state.lock().await;
                    // Or a directory above it was renamed.
                    let now_at = self.tree.origin(file.ino).ok();
                    let is_elsewhere = now_at.is_some() && now_at != origin;
                    origin = now_at;
                    match handle.version(&state)? {
                        Some(now) if is_elsewhere || !Arc::ptr_eq(&now, &version) => version = now,
                        _ => return Err(self.disproved(file.ino, Some(&version.properties.etag), error)),
                    }
                }
                other => return other,
            }
        }
    }

    async fn read_draft(&self, handle: &Handle, state: &State, range: Range<u64>) -> Result<Bytes> {
        let Content::Draft(draft) = &state.content else { return Ok(Bytes::new()) };
        let mut joined = BytesMut::new();
        for piece in draft.extents.read(range) {
            match piece {
                Piece::Bytes(bytes) => joined.extend_from_slice(&bytes),
                Piece::Base(range) => {
                    let Some(version) = &state.version else { return Err(Error::fs(libc::EIO, "no base to read")) };
                    joined.extend_from_slice(&self.read_version(handle, version, range).await?);
                }
                Piece::Zero(len) => joined.resize(joined.len() + len as usize, 0),
                // Committed before, unless there is nothing to commit it to.
                Piece::Staged => {
                    return Err(Error::fs(libc::EIO, "a deleted file's content cannot be read back from the service"));
                }
            }
        }
        Ok(joined.freeze())
    }

    async fn read_version(&self, handle: &Handle, version: &Arc<Version>, range: Range<u64>) -> Result<Bytes> {
        let ino = handle.file.ino;
        let fetcher = |range, receive| match self.tree.origin(ino) {
            Ok(origin) => {
                fetch(self.client(origin.blob.account).clone(), origin, version.clone(), range, receive).boxed()
            }
            Err(error) => async { Err(error) }.boxed(),
        };
        let reading = Reading { ino, memory: &self.memory, stream: &handle.stream, fetcher: &fetcher };
        version.read(range, reading).await
    }

    /// Writes all of `data` at `offset`, or at the end of a file opened with O_APPEND. Where it went, if what the kernel has cached of that
    /// and of the attributes has to go before the writer goes on: the write went past it, and others may have mapped the file, or it has
    /// lost a bit of its mode.
    pub async fn write(
        self: &Arc<Self>,
        fh: Fh,
        offset: u64,
        data: &Bytes,
        mode: WriteMode,
        caller: Caller,
    ) -> Result<Option<Range<u64>>> {
        let handle = self.handles.get(fh)?;
        handle.check()?;
        let file = &handle.file;
        let mut state = self.settled(file, caller).await?;
        // What could not be stored any more is better refused at once.
        self.tree.refuse_replaced(file.ino)?;
        // Whoever appends does so wherever the end is now; others would write into what they have never seen.
        let append = handle.access.append && !mode.mapped;
        if !append {
            handle.version(&state)?;
        }
        self.make_room(file, &mut state).await?;
        let room = self.room_to_write(file, &mut state, data.len() as u64).await?;
        draft_of(&mut state)?.take_room(room);
        let offset = if append { draft_of(&mut state)?.extents.len() } else { offset };
        let end = offset.saturating_add(data.len() as u64);
        let aim = if append { Aim::End } else { Aim::Position };
        self.admit(file, &mut state, Change::Write { range: offset..end, aim })?;
        let write = |draft: &mut Draft| if append { draft.append(data) } else { draft.write(offset, data) };
        self.edit(file, &mut state, end, write).await?;
        let mode_changed = mode.drop_setid && self.drop_setid(file, &mut state);
        // The data is taken; what cannot be sent now is kept, and is the error of the next call.
        let _ = self.make_room(file, &mut state).await;
        // What comes from a mapping is in the cache, which cannot drop it before it is answered.
        let past_the_cache = handle.direct && !mode.mapped;
        Ok((mode_changed || past_the_cache && file.is_read()).then_some(offset..end))
    }

    /// False if there was nothing to drop.
    fn drop_setid(&self, file: &OpenFile, state: &mut State) -> bool {
        let Ok(view) = self.tree.view(file.ino) else { return false };
        let attr = self.attr_of(&view);
        // Without the right to execute, the bit of the group meant locks once.
        let group = if attr.mode & libc::S_IXGRP != 0 { libc::S_ISGID } else { 0 };
        let change = AttrChange { mode: Some(attr.mode & !(libc::S_ISUID | group)), ..AttrChange::default() };
        // A mode that is not kept was not set.
        let Ok(change) = change.admit(&attr, self.config.permissions) else { return false };
        let changes = !change.is_empty();
        state.change.merge(change);
        file.show(state);
        changes
    }

    /// truncate(2) and ftruncate(2).
    pub(in crate::fs) async fn truncate(
        self: &Arc<Self>,
        ino: Ino,
        size: u64,
        writer: Option<Fh>,
        caller: Caller,
    ) -> Result<()> {
        if let Some(handle) = writer.and_then(|fh| self.handles.get(fh).ok()) {
            let mut state = self.settled(&handle.file, caller).await?;
            self.tree.refuse_replaced(ino)?;
            handle.version(&state)?;
            self.admit(&handle.file, &mut state, Change::Resize(size))?;
            return self.edit(&handle.file, &mut state, size, |draft| draft.truncate(size)).await;
        }
        if let Some(file) = self.handles.of_ino(ino) {
            self.settle_own(&file, caller).await?;
        }
        let view = self.fresh(ino).await?;
        if view.kind == FileKind::Directory {
            return Err(Error::fs(libc::EISDIR, "is a directory"));
        }
        Self::named(&view)?;
        self.tree.refuse_past(ino)?;
        self.refuse_writing(&view)?;
        let file = self.acquire(&view).await;
        let done = async {
            let mut state = self.settled(&file, caller).await?;
            self.admit(&file, &mut state, Change::Resize(size))?;
            let was_stored = !matches!(&state.content, Content::Draft(draft) if draft.dirty);
            self.edit(&file, &mut state, size, |draft| draft.truncate(size)).await?;
            let stored = self.commit(&file, &mut state).await;
            if was_stored && stored.is_err() {
                // Nothing has happened, to nobody who has it open either.
                state.content = Content::Clean;
                file.show(&state);
            }
            stored
        }
        .await;
        let state = file.state.lock().await;
        self.let_go(&file, state).await;
        done
    }

    /// chmod, chown and utimens that change something. A process that has the file open for writing gets it stored with its next
    /// flush, together with everything else; otherwise it is stored at once. (FUSE does not say which of the two calls it was.) What
    /// has no name any more keeps it only as long as it is open.
    pub(in crate::fs) async fn change_attributes(
        &self,
        view: &NodeView,
        change: AttrChange,
        caller: Caller,
    ) -> Result<()> {
        if view.kind == FileKind::Directory {
            let dated = change.mtime.is_some();
            match view.properties() {
                Some(properties) => {
                    let properties = self.store_attributes(view.ino, properties, &change).await?;
                    self.tree.learn(view.ino, Heard::Blob(properties));
                }
                None => self.attribute_directory(view, change).await?,
            }
            if dated {
                self.tree.forget_touch(view.ino);
            }
            return Ok(());
        }
        let file = self.acquire(view).await;
        let mut state = file.state.lock().await;
        let done = self.store_or_keep(&file, &mut state, change, caller).await;
        self.let_go(&file, state).await;
        done
    }

    /// From the look at what is there to the word of what has become of it, nobody else stores the file.
    async fn store_or_keep(
        &self,
        file: &OpenFile,
        state: &mut State,
        change: AttrChange,
        caller: Caller,
    ) -> Result<()> {
        let view = self.tree.view(file.ino)?;
        let stored_later = match &state.content {
            Content::Clean => false,
            Content::Draft(draft) => draft.dirty,
            Content::Copying(_) => true,
        };
        let nameless = view.link != Link::Named && !self.handles.is_last(file.ino);
        if stored_later || file.is_written_by(caller) || nameless {
            state.change.merge(change);
            file.show(state);
            return Ok(());
        }
        let blob = self.tree.blob(file.ino)?;
        let missing = || Error::fs(libc::ENOENT, format!("{} is not in the service", blob.path));
        let properties = view.properties().ok_or_else(missing)?;
        let _storing = file.storing();
        let changed = self.store_attributes(file.ino, properties, &change).await;
        let changed = changed.map_err(|error| self.disproved(file.ino, Some(&properties.etag), error))?;
        self.settle_on(file, state, &properties.etag, changed);
        Ok(())
    }

    /// Called for every close(2) of a descriptor; what it returns is what close returns.
    pub async fn flush(self: &Arc<Self>, fh: Fh, caller: Caller) -> Result<()> {
        let handle = self.handles.get(fh)?;
        let file = &handle.file;
        if !handle.access.write {
            let mut state = file.state.lock().await;
            // What is only empty is stored late; the last to leave stores it, also if he may only read it, and so does who made it.
            let is_left = matches!(&state.content, Content::Draft(draft) if draft.dirty && draft.is_blank())
                && !caller.holds_open(file.ino, self.device.get());
            return if handle.access.create || is_left { self.commit(file, &mut state).await } else { Ok(()) };
        }
        if !self.flush_copy(file, caller).await? {
            return Ok(());
        }
        let mut state = file.state.lock().await;
        if let Content::Draft(draft) = &state.content
            && draft.dirty
            && draft.is_blank()
            && caller.holds_open(file.ino, self.device.get())
        {
            return Ok(());
        }
        self.commit(file, &mut state).await?;
        handle.version(&state).map(drop)
    }

    /// fsync(2): what was written is in the service.
    pub async fn fsync(self: &Arc<Self>, fh: Fh, caller: Caller) -> Result<()> {
        let handle = self.handles.get(fh)?;
        let file = &handle.file;
        let mut state = self.settled(file, caller).await?;
        self.commit(file, &mut state).await?;
        handle.version(&state).map(drop)
    }

    /// The last descriptor is gone. Nobody hears of errors any more: they go to the log.
    pub async fn release(self: &Arc<Self>, fh: Fh) {
        let Some(handle) = self.handles.remove(fh) else { return };
        let file = &handle.file;
        // Whoever copies onto it has it open for writing, and may have more to ask for.
        let deserted = handle.access.write && !file.is_written();
        if deserted {
            self.keep_granted(file, handle.opener).await;
        }
        let mut state = file.state.lock().await;
        if deserted && matches!(state.content, Content::Copying(_)) {
            // The process died between its last call and close: the service goes on without it.
            self.give_up_copy(file, &mut state).await;
        }
        self.let_go(file, state).await;
    }

    /// Everything that is not in the service yet is stored, for unmounting, all files at once: one that takes long keeps no other
    /// from being stored. A file that a rename or a copy holds, and that has nothing to store, is not waited for. The number of files for which that failed.
    pub async fn flush_all(&self) -> usize {
        let unsaved = self.handles.open_files().into_iter().filter(|file| file.is_unsaved());
        let flushes = unsaved.map(|file| async move {
            let done = self.commit(&file, &mut *file.state.lock().await).await;
            if let Err(error) = &done {
                let name = self.tree.view(file.ino).map(|view| view.name).unwrap_or_default();
                error!(%name, %error, "cannot store a file that is open for writing");
            }
            usize::from(done.is_err())
        });
        futures_util::future::join_all(flushes).await.into_iter().sum()
    }
}

/// A ranged GET of that version of a blob.
async fn fetch(
    client: Client,
    origin: Origin,
    version: Arc<Version>,
    range: Range<u64>,
    receive: Receive,
) -> Result<()> {
    let Origin { blob, revision } = origin;
    let properties = &version.properties;
    let etag = &properties.etag;
    match properties.blob_type {
        // What a blob was does not grow, whatever its type.
        _ if revision.is_some() => {
            client.blob(&blob.path).at(revision.as_ref()).download_into(range, etag, receive).await
        }
        BlobType::Block => client.blob(&blob.path).download_into(range, etag, receive).await,
        BlobType::Append => append::fetch(&client, &blob, properties, range, receive).await,
        BlobType::Page => page::fetch(&client, &blob, &version, range, receive).await,
    }
}
