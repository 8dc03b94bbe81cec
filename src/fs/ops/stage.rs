//! Blocks on their way to the service: those that fill up while a file is written, and those that a commit still needs.
//!
//! A Buffer that has grown past the block size is sent in the background while the writer goes on, at most [`UPLOADS`] at once over
//! all files. When the memory for what is unsent is short, whoever writes sends what he has, however little, and then what others have
//! who are not at work. A block that could not be sent is kept and sent again before anything else
//! is, so that a failure costs an error and no data.
//!
//! Blocks that the service makes by Put Block From URL cost no payload. A server that does not know the operation says 501;
//! then the range is read and sent, and the log says so once.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tracing::debug;

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::content::block_ids::{BlockIds, UPLOADS, Unsent};
use crate::fs::content::draft::{BLOCK, Draft};
use crate::fs::content::extent_map::{ExtentMap, Piece};
use crate::fs::content::handle::{Content, OpenFile, State};
use crate::fs::content::memory::Reservation;
use crate::fs::content::plan;
use crate::fs::content::read::Version;
use crate::fs::content::source::Source;
use crate::fs::content::strategy::WriteStrategy;
use crate::fs::names::tree::Blob;
use crate::store::{Block, BlockId, BlockRef, CopySource, Payload, ReadOptions, SourceRange};

/// Bytes that are worth a block of their own when memory is short.
const WORTH_A_BLOCK: u64 = 256 * 1024;

/// A SAS for the service to read a range of a blob into another, or into its own next version: only as long as the request may take.
const RANGE_READ: Duration = Duration::from_secs(3600);

/// Blocks that are in the service, as a block list names them, with their sizes.
type Made = Vec<(BlockRef, Block)>;

impl Fs {
    /// Makes room for what comes next: no Buffer holds more than a block afterwards, and all together no more than fits. Waits for
    /// a free upload slot, which a finished or failed request gives back. On failure nothing of the draft is lost, but it should
    /// not take more.
    ///
    /// A block is staged when there is more than that, so that a file of exactly one block is still one Put Blob.
    pub(in crate::fs) async fn make_room(&self, file: &OpenFile, state: &mut State) -> Result<()> {
        match self.send_what_is_full(file, state).await {
            Ok(()) => Ok(()),
            Err(error) => {
                self.mend(file, state, error).await?;
                let sent = self.send_what_is_full(file, state).await;
                sent.map_err(|error| self.not_stored(file, state, error))
            }
        }
    }

    async fn send_what_is_full(&self, file: &OpenFile, state: &mut State) -> Result<()> {
        let Content::Draft(draft) = &mut state.content else { return Ok(()) };
        if !matches!(draft.strategy, WriteStrategy::Blocks) {
            return self.make_room_in_place(file, state).await;
        }
        draft.reap(false).await?;
        while draft.full().is_some() || !draft.unsent.is_empty() {
            let blob = match self.tree.blob(file.ino) {
                Ok(blob) => blob,
                Err(error) if error.is_not_found() && !draft.is_scattered() => return Ok(()),
                Err(error) if error.is_not_found() => {
                    let what = format!("{error}: without a name it has only memory, and that is full");
                    return Err(Error::fs(libc::ENOSPC, what));
                }
                Err(error) => return Err(error),
            };
            self.send_again(&blob, draft).await?;
            if let Some(start) = draft.full() {
                self.stage(&blob, draft, state.version.as_deref(), start).await?;
            }
        }
        if draft.is_scattered() {
            self.commit(file, state).await?;
        }
        Ok(())
    }

    /// Room in the budget for so many bytes that are to be written into a file.
    pub(in crate::fs) async fn room_to_write(
        &self,
        file: &OpenFile,
        state: &mut State,
        len: u64,
    ) -> Result<Reservation> {
        if let Some(room) = self.memory.try_unsent(len) {
            return Ok(room);
        }
        if let Err(error) = self.send_buffers(file, state).await {
            return Err(self.not_stored(file, state, error));
        }
        for other in self.handles.open_files() {
            if let Some(room) = self.memory.try_unsent(len) {
                return Ok(room);
            }
            // Whoever holds the lock is at work on the file, and sends what it has when he needs room.
            if let Ok(mut state) = other.state.try_lock()
                && let Err(error) = self.send_buffers(&other, &mut state).await
            {
                debug!(%error, "another file's bytes could not be sent to make room");
            }
        }
        Ok(self.memory.unsent(len).await)
    }

    /// Sends what is in Buffers, so that it leaves the memory: the one that is written to as a block, many short ones with a commit.
    async fn send_buffers(&self, file: &OpenFile, state: &mut State) -> Result<()> {
        let Content::Draft(draft) = &mut state.content else { return Ok(()) };
        // What has no name has nowhere to go.
        let Ok(blob) = self.tree.blob(file.ino) else { return Ok(()) };
        if matches!(draft.strategy, WriteStrategy::Blocks)
            && let Some(start) = draft.extents.full(WORTH_A_BLOCK)
        {
            self.stage(&blob, draft, state.version.as_deref(), start).await?;
        }
        if draft.dirty && draft.extents.buffered() > WORTH_A_BLOCK {
            self.commit(file, state).await?;
        }
        Ok(())
    }

    pub(in crate::fs) async fn send_again(&self, blob: &Blob, draft: &mut Draft) -> Result<()> {
        while let Some(Unsent { id, bytes, .. }) = draft.unsent.last() {
            self.blob(blob).block_blob().stage_block(id, bytes.clone()).await?;
            draft.unsent.pop();
        }
        Ok(())
    }

    /// Sends a block from the Buffer at `start`, in the background.
    async fn stage(&self, blob: &Blob, draft: &mut Draft, base: Option<&Version>, start: u64) -> Result<()> {
        // All that can fail comes before the bytes leave the buffer.
        let id = self.block_ids(blob, draft, base).await?.next()?;
        let slot = self.upload_slot().await?;
        let len = draft.block_size();
        let bytes = draft.extents.stage(start, id.clone(), len);
        let room = draft.room.as_mut().map(|room| room.split(bytes.len() as u64));
        let client = self.client(blob.account).clone();
        let path = blob.path.clone();
        draft.uploads.push(tokio::spawn(async move {
            let done = client.blob(&path).block_blob().stage_block(&id, bytes.clone()).await;
            drop(slot);
            done.map_err(|error| (Unsent { id, bytes, _room: room }, error))
        }));
        Ok(())
    }

    pub(in crate::fs) async fn upload_slot(&self) -> Result<OwnedSemaphorePermit> {
        self.upload_slots.clone().acquire_owned().await.map_err(|_| Error::fs(libc::EIO, "shutting down"))
    }

    /// The id maker of the draft. A blob that exists is asked for its blocks first: our ids must have their length.
    pub(in crate::fs) async fn block_ids<'a>(
        &self,
        blob: &Blob,
        draft: &'a mut Draft,
        base: Option<&Version>,
    ) -> Result<&'a BlockIds> {
        if draft.base_blocks.is_none() {
            draft.base_blocks = Some(match base {
                Some(base) => {
                    let (blocks, etag) = self.blob(blob).block_blob().block_list().await?;
                    if etag.is_some_and(|etag| etag != base.properties.etag) {
                        return Err(Error::fs(libc::ESTALE, format!("{} was changed by another writer", blob.path)));
                    }
                    blocks
                }
                None => Vec::new(),
            });
        }
        let existing = draft.base_blocks.as_deref().unwrap_or(&[]);
        Ok(draft.ids.get_or_insert_with(|| BlockIds::beside(existing)))
    }

    /// Sees to it that all blocks of a plan are in the service; their list.
    pub(in crate::fs) async fn make_blocks(
        &self,
        blob: &Blob,
        extents: &ExtentMap,
        ids: &BlockIds,
        base: Option<&Version>,
        plan: Vec<plan::Block>,
    ) -> Result<Made> {
        let mut zeros: HashMap<u64, BlockId> = HashMap::new();
        let mut work: Vec<BoxFuture<'_, Result<Made>>> = Vec::with_capacity(plan.len());
        for block in plan {
            work.push(match block {
                plan::Block::Keep(id, range) => {
                    let block = Block { id: id.clone(), size: range.end - range.start };
                    async move { Ok(vec![(BlockRef::Committed(id), block)]) }.boxed()
                }
                plan::Block::Staged(id, size) => async move { Ok(vec![uncommitted(Block { id, size })]) }.boxed(),
                plan::Block::Base(range) => self.blocks_of_itself(blob, base, ids, range).boxed(),
                plan::Block::Send(range) => async move {
                    let slot = self.upload_slot().await?;
                    let bytes = self.bytes_of(blob, extents, base, range).await?;
                    let block = Block { id: ids.next()?, size: bytes.len() as u64 };
                    self.blob(blob).block_blob().stage_block(&block.id, bytes).await?;
                    drop(slot);
                    Ok(vec![uncommitted(block)])
                }
                .boxed(),
                plan::Block::Zeros { len, count } => {
                    let known = zeros.get(&len).cloned();
                    let id = known.clone().map_or_else(|| ids.next(), Ok)?;
                    zeros.insert(len, id.clone());
                    async move {
                        if known.is_none() {
                            let slot = self.upload_slot().await?;
                            // At most a few blocks' worth, so it fits in usize.
                            let bytes = BytesMut::zeroed(len as usize).freeze();
                            self.blob(blob).block_blob().stage_block(&id, bytes).await?;
                            drop(slot);
                        }
                        Ok(vec![uncommitted(Block { id, size: len }); count as usize])
                    }
                    .boxed()
                }
            });
        }
        let done: Vec<_> = futures_util::stream::iter(work).buffered(UPLOADS).try_collect().await?;
        Ok(done.into_iter().flatten().collect())
    }

    /// The bytes of a range of the extent map, with what of the committed blob lies between them.
    async fn bytes_of(
        &self,
        blob: &Blob,
        extents: &ExtentMap,
        base: Option<&Version>,
        range: Range<u64>,
    ) -> Result<Payload> {
        let mut pieces = Vec::new();
        for piece in extents.read(range) {
            match (piece, base) {
                (Piece::Bytes(bytes), _) => pieces.push(bytes),
                (Piece::Zero(len), _) => pieces.push(BytesMut::zeroed(len as usize).freeze()),
                (Piece::Base(range), Some(base)) => {
                    let etag = Some(&base.properties.etag);
                    pieces.push(
                        self.blob(blob).download(ReadOptions { range: Some(range), if_match: etag }).await?.bytes,
                    );
                }
                (Piece::Base(_) | Piece::Staged, _) => return Err(Error::fs(libc::EIO, "a block cannot be read")),
            }
        }
        Ok(pieces.into_iter().collect())
    }

    /// Blocks that hold `range` of the committed blob itself.
    async fn blocks_of_itself(
        &self,
        blob: &Blob,
        base: Option<&Version>,
        ids: &BlockIds,
        range: Range<u64>,
    ) -> Result<Made> {
        let Some(base) = base else { return Err(Error::fs(libc::EIO, "nothing is committed yet")) };
        let mut made = Vec::new();
        let mut start = range.start;
        while start < range.end {
            let id = ids.next()?;
            let source = Source { blob, revision: None, etag: &base.properties.etag, range: start..range.end };
            let size = match self.block_from(blob, &id, &source).await? {
                Some(size) => size,
                None => {
                    let slot = self.upload_slot().await?;
                    let _room = self.memory.arriving(BLOCK).await;
                    let bytes = self.read_source(&source).await?;
                    let size = bytes.len() as u64;
                    self.blob(blob).block_blob().stage_block(&id, bytes).await?;
                    drop(slot);
                    size
                }
            };
            made.push(uncommitted(Block { id, size }));
            start += size;
        }
        Ok(made)
    }

    /// Put Block From URL of as much of the source as one block takes: how much that was, bytes. `None`: the server cannot do it.
    pub(in crate::fs) async fn block_from(
        &self,
        blob: &Blob,
        id: &BlockId,
        source: &Source<'_>,
    ) -> Result<Option<u64>> {
        let url = self.range_url(source, blob).await?;
        let range = source.block();
        let len = range.end - range.start;
        let part = SourceRange { source: &url, range, if_match: Some(source.etag) };
        match self.blob(blob).block_blob().stage_block_from_url(id, &part).await {
            Ok(()) => Ok(Some(len)),
            Err(error) if self.must_move(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A URL by which the service can read the source, for one request.
    pub(in crate::fs) async fn range_url(&self, source: &Source<'_>, to: &Blob) -> Result<CopySource> {
        let reader = self.client(to.account);
        self.blob(source.blob).at(source.revision).block_source(reader, RANGE_READ).await
    }

    /// The first bytes of a source, at most a block.
    pub(in crate::fs) async fn read_source(&self, source: &Source<'_>) -> Result<Bytes> {
        let start = source.range.start;
        let range = start..source.range.end.min(start + BLOCK);
        let len = range.end - start;
        let wanted = ReadOptions { range: Some(range), if_match: Some(source.etag) };
        let read = self.blob(source.blob).at(source.revision).download(wanted).await;
        let bytes = read.map_err(Error::of_a_source)?.bytes;
        if bytes.len() as u64 != len {
            return Err(Error::fs(libc::EIO, format!("{}: the service sent too few bytes", source.blob.path)));
        }
        Ok(bytes)
    }

    /// An id for a block of this draft that is made outside a commit.
    pub(in crate::fs) async fn block_id(
        &self,
        blob: &Blob,
        draft: &mut Draft,
        base: Option<&Version>,
    ) -> Result<BlockId> {
        self.block_ids(blob, draft, base).await?.next()
    }
}

fn uncommitted(block: Block) -> (BlockRef, Block) {
    (BlockRef::Uncommitted(block.id.clone()), block)
}
