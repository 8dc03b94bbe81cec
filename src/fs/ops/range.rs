//! Changes of a range of a file: copies, holes, zeros.
//!
//! A range that is copied from another file is staged at once: the service makes a block of it by Put Block From URL, pinned to the
//! version of the source that the caller saw. So the source may be changed or removed as soon as the call returns, and an error is the
//! call's own. A call takes one block; what is left the caller asks for again, as `copy_file_range` allows.
//!
//! Within one file nothing has to be copied: the range is put into the extent map a second time, from wherever it is.
//!
//! Zeros are a segment of the extent map as well, so that allocating and punching holes is cheap until the commit, and cheap then (`content/plan.rs`).

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::caller::Caller;
use crate::fs::content::draft::{Draft, refuse_too_large};
use crate::fs::content::extent_map::{Cut, Piece, Segment};
use crate::fs::content::handle::{Content, Fh, Handle, OpenFile, State};
use crate::fs::content::read::Version;
use crate::fs::content::source::Source;
use crate::fs::content::strategy::{Change, WriteStrategy};
use crate::fs::copies::job::SLICE;
use crate::fs::names::tree::Blob;
use crate::fs::ops::commit::draft_of;
use crate::store::BlobType;

impl Fs {
    /// Puts the range of a clean source into the destination at `offset`; how many bytes of it, at least one. `within`: the source is
    /// the destination itself.
    pub(in crate::fs) async fn copy_range(
        &self,
        source: Source<'_>,
        within: bool,
        output: &OpenFile,
        state: &mut State,
        offset: u64,
        caller: Caller,
    ) -> Result<u64> {
        let _storing = output.storing();
        self.make_room(output, state).await?;
        match draft_of(state)?.strategy {
            WriteStrategy::Blocks => {}
            WriteStrategy::Tail(_) => return self.copy_to_tail(&source, output, state, offset).await,
            WriteStrategy::Pages(_) => return self.copy_to_pages(&source, output, state, offset, within).await,
        }
        let to = self.tree.blob(output.ino)?;
        let end = offset.saturating_add(source.block().end - source.range.start);
        refuse_too_large(draft_of(state)?, end)?;
        if draft_of(state)?.extents.may_replace(offset..end).is_err() {
            self.commit(output, state).await?;
        }
        let base = state.version.clone();
        if let Some(len) = self.splice_block(&to, draft_of(state)?, base.as_deref(), &source, offset, caller).await? {
            output.show(state);
            return Ok(len);
        }
        let bytes = self.read_source(&source).await?;
        let len = bytes.len() as u64;
        let room = self.room_to_write(output, state, len).await?;
        draft_of(state)?.take_room(room);
        self.edit(output, state, offset.saturating_add(len), |draft| draft.write(offset, &bytes)).await?;
        Ok(len)
    }

    /// Has the service make a block of the source, and puts it into the extent map, where nothing that is staged may be cut. The draft is
    /// borrowed all the while: there is no commit in between, which would drop the block. How many bytes it takes; `None` if the server
    /// cannot make it.
    async fn splice_block(
        &self,
        to: &Blob,
        draft: &mut Draft,
        base: Option<&Version>,
        source: &Source<'_>,
        offset: u64,
        caller: Caller,
    ) -> Result<Option<u64>> {
        let id = self.block_id(to, draft, base).await?;
        let made = tokio::select! {
            made = self.block_from(to, &id, source) => made?,
            // The block, if there is to be one, belongs to nobody.
            error = interrupted(caller) => return Err(error),
        };
        let Some(len) = made else { return Ok(None) };
        let spliced = draft.splice(offset, Segment::Staged { id, len });
        // Nobody else makes it shorter than it was to be.
        spliced.map_err(|Cut| Error::fs(libc::EIO, "a block does not fit where it was to go"))?;
        draft.give_back_room();
        Ok(Some(len))
    }

    /// `copy_file_range` within one file. The kernel has refused ranges that overlap.
    pub(in crate::fs) async fn copy_within(
        self: &Arc<Self>,
        handle: &Handle,
        from: u64,
        to: u64,
        len: u64,
        caller: Caller,
    ) -> Result<u64> {
        let file = &handle.file;
        let mut state = self.settled(file, caller).await?;
        handle.version(&state)?;
        self.make_room(file, &mut state).await?;
        let range = from..from.saturating_add(len);
        if !matches!(draft_of(&mut state)?.strategy, WriteStrategy::Blocks) {
            self.refuse_nameless(file)?;
            self.commit(file, &mut state).await?;
            let Some(version) = handle.version(&state)? else { return Ok(0) };
            let range = from..range.end.min(version.properties.size);
            if range.is_empty() {
                return Ok(0);
            }
            let from = self.tree.origin(file.ino)?;
            let source = Source::of(&from, &version.properties.etag, range);
            return self.copy_range(source, true, file, &mut state, to, caller).await;
        }
        if draft_of(&mut state)?.extents.read(range.clone()).contains(&Piece::Staged) {
            self.commit(file, &mut state).await?;
        }
        let pieces = draft_of(&mut state)?.extents.read(range);
        let mut at = to;
        for piece in pieces {
            let segment = match piece {
                Piece::Base(range) => Segment::Base(range),
                Piece::Zero(len) => Segment::Zero(len),
                Piece::Bytes(bytes) => Segment::Buffer(bytes.into()),
                Piece::Staged => return Err(nameless()),
            };
            let end = at.saturating_add(segment.len());
            // A commit here would make what the other pieces name something else.
            if draft_of(&mut state)?.extents.may_replace(at..end).is_err() {
                if at > to {
                    break;
                }
                self.commit(file, &mut state).await?;
                if draft_of(&mut state)?.extents.may_replace(at..end).is_err() {
                    return Err(nameless());
                }
                drop(state);
                return Box::pin(self.copy_within(handle, from, to, len, caller)).await;
            }
            self.edit(file, &mut state, end, |draft| draft.splice(at, segment.clone())).await?;
            at = end;
        }
        Ok(at - to)
    }

    /// The service copies from a blob and into a blob.
    pub(in crate::fs) fn refuse_nameless(&self, file: &OpenFile) -> Result<()> {
        if self.tree.place(file.ino).is_err_and(|error| error.is_not_found()) { Err(nameless()) } else { Ok(()) }
    }

    /// fallocate(2): allocating is adding zeros up to there, unless the size is to be kept; zeroing and punching holes put zeros.
    pub async fn fallocate(self: &Arc<Self>, fh: Fh, offset: u64, len: u64, mode: i32, caller: Caller) -> Result<()> {
        let keep_size = mode & libc::FALLOC_FL_KEEP_SIZE != 0;
        let zero = match mode & !libc::FALLOC_FL_KEEP_SIZE {
            0 => false,
            libc::FALLOC_FL_ZERO_RANGE => true,
            libc::FALLOC_FL_PUNCH_HOLE if keep_size => true,
            _ => return Err(Error::fs(libc::EOPNOTSUPP, "ranges of a file cannot be moved")),
        };
        let handle = self.handles.get(fh)?;
        let file = &handle.file;
        let mut state = self.settled(file, caller).await?;
        self.tree.refuse_replaced(file.ino)?;
        handle.version(&state)?;
        self.make_room(file, &mut state).await?;
        let size = draft_of(&mut state)?.extents.len();
        let mut end = offset.saturating_add(len);
        if keep_size {
            end = end.min(size);
        }
        if zero && end > offset {
            self.admit(file, &mut state, Change::Zeros(offset..end))?;
            self.edit(file, &mut state, end, |draft| draft.splice(offset, Segment::Zero(end - offset))).await
        } else if end > size {
            self.admit(file, &mut state, Change::Resize(end))?;
            self.edit(file, &mut state, end, |draft| draft.truncate(end)).await
        } else {
            Ok(())
        }
    }

    /// lseek(2) with SEEK_DATA or SEEK_HOLE. Holes are the zeros of a draft and what of a page blob was never written; what is committed
    /// to other blobs is data.
    pub async fn seek(&self, fh: Fh, offset: i64, whence: i32) -> Result<i64> {
        let beyond = || Error::fs(libc::ENXIO, "behind the end, or behind the last data");
        let handle = self.handles.get(fh)?;
        let state = handle.file.state.lock().await;
        let offset = u64::try_from(offset).map_err(|_| beyond())?;
        let size = match &state.content {
            Content::Draft(draft) => draft.extents.len(),
            Content::Copying(copying) => copying.granted,
            Content::Clean => state.version.as_ref().map_or(0, |version| version.properties.size),
        };
        if offset >= size {
            return Err(beyond());
        }
        if ![libc::SEEK_DATA, libc::SEEK_HOLE].contains(&whence) {
            return Err(Error::fs(libc::EINVAL, "no such whence"));
        }
        if !matches!(state.content, Content::Copying(_))
            && let Some(version) = handle.version(&state)?
            && version.properties.blob_type == BlobType::Page
        {
            let found = self.seek_pages(&handle.file, &state, &version, offset, whence == libc::SEEK_DATA).await?;
            return found.and_then(|found| i64::try_from(found).ok()).ok_or_else(beyond);
        }
        let found = match (&state.content, whence) {
            (Content::Draft(draft), libc::SEEK_DATA) => draft.extents.seek(offset, false),
            // The end is a hole.
            (Content::Draft(draft), libc::SEEK_HOLE) => Some(draft.extents.seek(offset, true).unwrap_or(size)),
            (_, libc::SEEK_DATA) => Some(offset),
            _ => Some(size),
        };
        found.and_then(|found| i64::try_from(found).ok()).ok_or_else(beyond)
    }
}

/// What has no name is in no blob. That is no failure of the copy: the kernel reads and writes instead, and whoever asked has what can be
/// reached.
fn nameless() -> Error {
    Error::fs(libc::EOPNOTSUPP, "a file without a name cannot be copied in the service")
}

/// Ends when the caller has a signal to look at.
pub(in crate::fs) async fn interrupted(caller: Caller) -> Error {
    loop {
        tokio::time::sleep(SLICE).await;
        if caller.interrupted() {
            return Error::fs(libc::EINTR, "interrupted while a range was copied");
        }
    }
}
