//! Blocks and pages on their way to the service: those that fill up while a file is written, and those that a commit
//! still needs.
//!
//! At most [`UPLOADS`] are under way over all files. A block that could not be sent is kept and sent again before
//! anything else is, so that a failure costs an error and no data.
//!
//! Blocks that the service makes by Put Block From URL cost no payload. A server that does not know the operation says
//! 501; then the range is read and sent, and the log says so once.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::debug;

use crate::error::{Error, Result};
use crate::fs::block_ids::{BlockIds, UPLOADS};
use crate::fs::caller::Caller;
use crate::fs::content::draft::{BLOCK, Draft, Unsent};
use crate::fs::content::extent_map::{Cut, ExtentMap, Piece, Segment};
use crate::fs::content::memory::Memory;
use crate::fs::content::plan;
use crate::fs::content::read::Version;
use crate::fs::content::recent::{HEAD, WriterToken};
use crate::fs::content::recognised::{Authored, Recogniser};
use crate::fs::content::source::{RANGE_READ, RangeSource};
use crate::fs::copies::job::interrupted;
use crate::fs::names::tree::{Blob, stale};
use crate::fs::service::Service;
use crate::store::{
    BlobSettings, Block, BlockId, BlockRef, CopySource, Payload, Precondition, ReadOptions, SourceRange, Written,
};

/// Requests that bring content into the service, and the budgets that bound them.
pub(in crate::fs) struct Uploads {
    pub(crate) service: Arc<Service>,
    pub(crate) memory: Arc<Memory>,
    /// Where what was read is found; none if it is not to be looked for.
    pub(crate) recogniser: Option<Arc<Recogniser>>,
    sender: Sender,
    warned_moving_data: AtomicBool,
}

/// A file of at most so many bytes stays in memory after a commit, and is one Put Blob again after the next change. A
/// longer one takes three requests then, but sends only what is new.
const SENT_AGAIN: u64 = 256 * 1024;

impl Uploads {
    pub(crate) fn new(service: Arc<Service>, memory: Arc<Memory>, recogniser: Option<Arc<Recogniser>>) -> Self {
        let slots = Arc::new(Semaphore::new(UPLOADS));
        let sender = Sender { service: service.clone(), recogniser: recogniser.clone(), slots };
        Self { service, memory, recogniser, sender, warned_moving_data: AtomicBool::new(false) }
    }
}

/// A blob that content goes to, and the version of it that the content stands on; none of a new one.
#[derive(Clone, Copy)]
pub(in crate::fs) struct Target<'a> {
    pub blob: &'a Blob,
    pub base: Option<&'a Version>,
}

/// Gaps in pages that are no further apart than this are read by one request, bytes.
const READ_AT_ONCE: u64 = 4 * 1024;

/// A whole file of so many bytes is made of what was read, if it can be, in two requests or three instead of one.
const WORTH_A_LIST: usize = 1024 * 1024;

/// The way by which a block gets into the service, once it is its turn.
enum Turn {
    /// Perhaps the service has it, and is asked for it.
    Ask(OwnedSemaphorePermit),
    Send(OwnedSemaphorePermit),
}

/// What takes blocks to the service.
#[derive(Clone)]
struct Sender {
    service: Arc<Service>,
    recogniser: Option<Arc<Recogniser>>,
    slots: Arc<Semaphore>,
}

impl Sender {
    async fn slot(&self) -> Result<OwnedSemaphorePermit> {
        self.slots.clone().acquire_owned().await.map_err(|_| Error::fs(libc::EIO, "shutting down"))
    }

    /// Waits for the turn of a block of so many bytes, of which `begin` is the beginning.
    async fn turn(&self, to: &Blob, begin: Authored<'_>, bytes: u64) -> Result<Turn> {
        if let Some(recogniser) = &self.recogniser
            && let Some(turn) = recogniser.turn(to, begin, bytes).await
        {
            return Ok(Turn::Ask(turn));
        }
        self.slot().await.map(Turn::Send)
    }

    /// Puts a block into the service: of what it has already if it can be, and otherwise the bytes. Those that were not
    /// sent are added to `spared`.
    async fn stage(
        &self,
        turn: Turn,
        to: &Blob,
        id: &BlockId,
        written: Authored<'_>,
        spared: &AtomicU64,
    ) -> Result<()> {
        let bytes = written.content.len() as u64;
        // Who was to be asked keeps its turn until the bytes are sent: so many are in memory at most.
        let (_asked, _slot) = match (turn, &self.recogniser) {
            (Turn::Ask(turn), Some(recogniser)) => {
                if recogniser.stage(to, id, written).await? {
                    spared.fetch_add(bytes, Ordering::Relaxed);
                    return Ok(());
                }
                (Some(turn), self.slot().await?)
            }
            (Turn::Ask(turn), None) => (Some(turn), self.slot().await?),
            (Turn::Send(slot), _) => (None, slot),
        };
        let began = Instant::now();
        let sent = self.service.blob(to).block_blob().stage_block(id, written.content.clone()).await;
        if let (Ok(()), Some(recogniser)) = (&sent, &self.recogniser) {
            recogniser.was_sent(to.account, bytes, began.elapsed());
        }
        sent
    }
}

/// Blocks that are in the service, as a block list names them, with their sizes.
type Made = Vec<(BlockRef, Block)>;

fn uncommitted(block: Block) -> (BlockRef, Block) {
    (BlockRef::Uncommitted(block.id.clone()), block)
}

impl Uploads {
    /// Counts who opens a file among those who may write, if so.
    pub(crate) fn writer(&self, may_write: bool) -> Option<WriterToken> {
        self.recogniser.as_ref().filter(|_| may_write).map(|recogniser| recogniser.reads.writer())
    }

    /// The blocks that are not there yet, and their list. A blob that takes none is written as a whole (`detour`).
    pub(crate) async fn commit_blocks(
        &self,
        to: Target<'_>,
        draft: &mut Draft,
        settings: &BlobSettings,
        precondition: &Precondition,
    ) -> Result<Written> {
        match self.put_blocks(to, draft, settings, precondition).await {
            Err(error) if error.is_written_over_dfs() && draft.fits_a_blob() => {
                draft.refuses_blocks = true;
                let whole = self.bytes_of(to, &draft.extents, 0..draft.extents.len()).await?;
                let options = precondition.clone().into();
                let written = self.service.blob(to.blob).block_blob().upload(whole, settings, &options).await?;
                (draft.extents, draft.base_blocks) = (ExtentMap::of_base(draft.extents.len()), Some(Vec::new()));
                Ok(written)
            }
            Err(error) if draft.make_detour(&self.service, to.blob, &error) => {
                self.put_blocks(to, draft, settings, precondition).await
            }
            done => done,
        }
    }

    async fn put_blocks(
        &self,
        to: Target<'_>,
        draft: &mut Draft,
        settings: &BlobSettings,
        precondition: &Precondition,
    ) -> Result<Written> {
        let blob = to.blob;
        self.send_again(blob, draft).await?;
        self.block_ids(to, draft).await?;
        draft.reap(true).await?;
        self.send_again(blob, draft).await?;
        let limits = plan::Limits::of_service(draft.block_size());
        let plan = plan::blocks(&draft.extents, draft.base_blocks.as_deref().unwrap_or(&[]), &limits);
        let plan =
            plan.ok_or_else(|| Error::fs(libc::EFBIG, format!("{}: it takes more than 50 000 blocks", blob.path)))?;
        let made = self.make_blocks(to, draft, plan).await?;
        let (list, blocks): (Vec<_>, Vec<_>) = made.into_iter().unzip();
        let written = match draft.detour {
            Some(_) => self.end_detour(to, draft, &list, settings, precondition).await?,
            None => {
                let client = self.service.blob(blob).block_blob();
                client.commit_block_list(&list, settings, &precondition.clone().into()).await?
            }
        };
        // What is committed now is the base of what comes next.
        draft.extents = ExtentMap::of_base(draft.extents.len());
        draft.sources.clear();
        draft.base_blocks = Some(blocks);
        Ok(written)
    }

    /// The server does not know the operation by which a range would be copied: it has to be moved. Said once.
    pub(crate) fn must_move(&self, error: &Error) -> bool {
        let unknown = error.is_of_an_unknown_operation();
        if unknown && !self.warned_moving_data.swap(true, std::sync::atomic::Ordering::Relaxed) {
            tracing::warn!(%error, "this server cannot copy ranges of blobs: reading and writing them instead");
        }
        unknown
    }

    /// Whole pages of the extent map. What of the blob lies between is read, unless it is known to be zeros.
    pub(crate) async fn pages_of(
        &self,
        blob: &Blob,
        extents: &ExtentMap,
        base: &Version,
        range: Range<u64>,
    ) -> Result<Bytes> {
        let pieces = extents.read(range.clone());
        let mut reads: Vec<Range<u64>> = Vec::new();
        for piece in &pieces {
            let Piece::Base(old) = piece else { continue };
            match reads.last_mut() {
                Some(last) if old.end - last.start <= READ_AT_ONCE => last.end = old.end,
                _ => reads.push(old.clone()),
            }
        }
        let mut asked = Vec::with_capacity(reads.len());
        for range in &reads {
            asked.push(self.pages_at(blob, base, range.clone()));
        }
        let read = futures_util::future::try_join_all(asked).await?;
        let mut joined = BytesMut::with_capacity((range.end - range.start) as usize);
        for piece in pieces {
            match piece {
                Piece::Bytes(bytes) => joined.extend_from_slice(&bytes),
                Piece::Zero(len) => joined.resize(joined.len() + len as usize, 0),
                Piece::Base(range) => {
                    let near =
                        reads.iter().zip(&read).find(|(read, _)| read.start <= range.start && range.end <= read.end);
                    let Some((from, bytes)) = near else { return Err(Error::fs(libc::EIO, "a page was not read")) };
                    joined.extend_from_slice(
                        &bytes[(range.start - from.start) as usize..(range.end - from.start) as usize],
                    );
                }
                Piece::Staged => return Err(Error::fs(libc::EIO, "a block in a page blob")),
            }
        }
        Ok(joined.freeze())
    }

    async fn pages_at(&self, blob: &Blob, base: &Version, range: Range<u64>) -> Result<Bytes> {
        let length = (range.end - range.start) as usize;
        if base.pages.get().is_some_and(|ranges| ranges.within(&range).is_empty()) {
            return Ok(BytesMut::zeroed(length).freeze());
        }
        let slot = self.upload_slot().await?;
        let etag = Some(&base.properties.etag);
        let found = self.service.blob(blob).download(ReadOptions { range: Some(range), if_match: etag }).await;
        drop(slot);
        let bytes = found.map_err(|error| stale(error, &blob.path))?.bytes;
        if bytes.len() != length {
            return Err(Error::fs(libc::EIO, format!("{}: the service sent too few bytes", blob.path)));
        }
        Ok(bytes)
    }

    /// One Put Blob, whose bytes are returned, or the blocks and their list.
    pub(crate) async fn send_content(
        &self,
        to: Target<'_>,
        draft: &mut Draft,
        settings: &BlobSettings,
        precondition: &Precondition,
    ) -> Result<(Written, Option<Payload>)> {
        let size = draft.extents.len();
        let small = if size <= BLOCK { draft.extents.bytes() } else { None };
        let Some(bytes) = small else {
            return Ok((self.commit_blocks(to, draft, settings, precondition).await?, None));
        };
        if let Some(written) = self.commit_known(to, draft, &bytes, settings, precondition).await? {
            return Ok((written, Some(bytes)));
        }
        let options = precondition.clone().into();
        let written = self.service.blob(to.blob).block_blob().upload(bytes.clone(), settings, &options).await?;
        // It has no block list now.
        draft.base_blocks = Some(Vec::new());
        if size > SENT_AGAIN {
            draft.extents = ExtentMap::of_base(size);
        }
        Ok((written, Some(bytes)))
    }

    /// A list of one block, where the service has all that a file is to hold, because its author has read it. `None` if
    /// it does not come to that: then one Put Blob is all it takes.
    async fn commit_known(
        &self,
        to: Target<'_>,
        draft: &mut Draft,
        content: &Payload,
        settings: &BlobSettings,
        precondition: &Precondition,
    ) -> Result<Option<Written>> {
        let Some(recogniser) = &self.recogniser else { return Ok(None) };
        let written = Authored { content, at: 0, by: draft.author.alone() };
        let takes_blocks = !draft.refuses_blocks && draft.detour.is_none();
        if content.len() < WORTH_A_LIST || !takes_blocks || !recogniser.knows(to.blob, written) {
            return Ok(None);
        }
        let size = content.len() as u64;
        let Some(_turn) = recogniser.turn(to.blob, written, size).await else { return Ok(None) };
        // What is refused here Put Blob is refused, too, or it is nothing to it.
        let Ok(id) = self.block_ids(to, draft).await.and_then(BlockIds::next) else { return Ok(None) };
        if !recogniser.stage(to.blob, &id, written).await.unwrap_or(false) {
            return Ok(None);
        }
        // The service stores one of its own with what comes in one request.
        let mut settings = settings.clone();
        settings.headers.content_md5.get_or_insert_with(|| content.md5());
        let list = [BlockRef::Uncommitted(id.clone())];
        let client = self.service.blob(to.blob).block_blob();
        match client.commit_block_list(&list, &settings, &precondition.clone().into()).await {
            Ok(written) => {
                draft.spared.fetch_add(size, Ordering::Relaxed);
                draft.extents = ExtentMap::of_base(size);
                draft.base_blocks = Some(vec![Block { id, size }]);
                Ok(Some(written))
            }
            // It is not known whether it was done.
            Err(error @ Error::Transport { .. }) => Err(error),
            Err(error) if error.is_precondition_failed() => Err(error),
            Err(error) => {
                debug!(%error, blob = %to.blob.path, "what was read and written is sent");
                Ok(None)
            }
        }
    }

    /// Has the service make a block of the source, and puts it into the extent map, where nothing that is staged may be
    /// cut. The draft is borrowed all the while: there is no commit in between, which would drop the block. How many
    /// bytes it takes; `None` if the server cannot make it.
    pub(crate) async fn splice_block(
        &self,
        to: Target<'_>,
        draft: &mut Draft,
        source: &RangeSource<'_>,
        offset: u64,
        caller: Caller,
    ) -> Result<Option<u64>> {
        let made = loop {
            let id = self.block_ids(to, draft).await?.next()?;
            let filled = draft.filled(to.blob);
            let made = tokio::select! {
                made = self.block_from(&filled, &id, source) => made,
                // The block, if there is to be one, belongs to nobody.
                error = interrupted(caller) => return Err(error),
            };
            match made {
                Err(error) if draft.make_detour(&self.service, to.blob, &error) => {}
                made => break made?.map(|len| (id, len)),
            }
        };
        let Some((id, len)) = made else { return Ok(None) };
        let spliced = draft.splice(offset, Segment::Staged { id, len });
        // Nobody else makes it shorter than it was to be.
        spliced.map_err(|Cut| Error::fs(libc::EIO, "a block does not fit where it was to go"))?;
        draft.release_room();
        Ok(Some(len))
    }

    pub(crate) async fn send_again(&self, blob: &Blob, draft: &mut Draft) -> Result<()> {
        if draft.refuses_blocks {
            draft.begin_detour(&self.service, blob);
        }
        while let Some(Unsent { id, bytes, .. }) = draft.unsent.last() {
            let sent = self.service.blob(&draft.filled(blob)).block_blob().stage_block(id, bytes.clone()).await;
            match sent {
                Ok(()) => drop(draft.unsent.pop()),
                Err(error) if draft.make_detour(&self.service, blob, &error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends a block from the Buffer at `start`, in the background.
    pub(crate) async fn stage(&self, to: Target<'_>, draft: &mut Draft, start: u64) -> Result<()> {
        // All that can fail comes before the bytes leave the buffer.
        let id = self.block_ids(to, draft).await?.next()?;
        let len = draft.block_size();
        let (filled, by) = (draft.filled(to.blob), draft.author.alone());
        let (begin, bytes) = draft.extents.begin(start, HEAD as u64, len);
        let turn = self.sender.turn(&filled, Authored { content: &begin, at: start, by }, bytes).await?;
        let bytes = draft.extents.stage(start, id.clone(), len);
        let room = draft.room.as_mut().map(|room| room.split(bytes.len() as u64));
        let (sender, spared) = (self.sender.clone(), draft.spared.clone());
        draft.uploads.push(tokio::spawn(async move {
            let written = Authored { content: &bytes, at: start, by };
            let done = sender.stage(turn, &filled, &id, written, &spared).await;
            done.map_err(|error| (Unsent { id, bytes, _room: room }, error))
        }));
        if self.may_refuse_blocks(to, draft) {
            draft.reap(true).await?;
        }
        Ok(())
    }

    /// Sends all Buffers of a new file: where a commit would have to wait.
    pub(crate) async fn stage_all(&self, blob: &Blob, draft: &mut Draft) -> Result<()> {
        for start in draft.extents.buffers() {
            self.stage(Target { blob, base: None }, draft, start).await?;
        }
        draft.release_room();
        Ok(())
    }

    pub(crate) async fn upload_slot(&self) -> Result<OwnedSemaphorePermit> {
        self.sender.slot().await
    }

    /// The id maker of the draft. A blob that exists is asked for its blocks first: our ids must have their length.
    async fn block_ids<'a>(&self, Target { blob, base }: Target<'_>, draft: &'a mut Draft) -> Result<&'a BlockIds> {
        if draft.base_blocks.is_none() {
            draft.base_blocks = Some(match base {
                Some(base) if draft.detour.is_none() => {
                    let (blocks, etag) = self.service.blob(blob).block_blob().block_list().await?;
                    if etag.is_some_and(|etag| etag != base.properties.etag) {
                        return Err(Error::stale(format!("{} was changed by another writer", blob.path)));
                    }
                    blocks
                }
                _ => Vec::new(),
            });
        }
        let existing = draft.base_blocks.as_deref().unwrap_or(&[]);
        draft.ids.get_or_insert_with(|| BlockIds::beside(existing));
        self.note_staged(Target { blob, base }, draft);
        draft.ids.as_ref().ok_or_else(|| Error::fs(libc::EIO, "no block ids"))
    }

    /// Sees to it that all blocks of a plan are in the service; their list.
    async fn make_blocks(&self, to: Target<'_>, draft: &Draft, plan: Vec<plan::Block>) -> Result<Made> {
        let Draft { ids: Some(ids), .. } = draft else { return Err(Error::fs(libc::EIO, "no block ids")) };
        let filled = &draft.filled(to.blob);
        let staged = |block: Block| match draft.detour.as_ref().is_some_and(|detour| detour.begun) {
            // It was committed there, by a try that did not come to its end, or staged there since.
            true => (BlockRef::Latest(block.id.clone()), block),
            false => uncommitted(block),
        };
        let mut zeros: HashMap<u64, BlockId> = HashMap::new();
        let mut work: Vec<BoxFuture<'_, Result<Made>>> = Vec::with_capacity(plan.len());
        for block in plan {
            work.push(match block {
                plan::Block::Keep(id, range) => {
                    let block = Block { id: id.clone(), size: range.end - range.start };
                    async move { Ok(vec![(BlockRef::Committed(id), block)]) }.boxed()
                }
                plan::Block::Staged(id, size) => {
                    let block = staged(Block { id, size });
                    async move { Ok(vec![block]) }.boxed()
                }
                plan::Block::Base(range) => {
                    let Some(base) = to.base else { return Err(Error::fs(libc::EIO, "nothing is committed yet")) };
                    let etag = &base.properties.etag;
                    let itself = RangeSource { blob: to.blob, revision: None, etag, range };
                    self.blocks_from(filled, ids, itself).boxed()
                }
                plan::Block::Remote(source, range) => {
                    let unknown = || Error::fs(libc::EIO, "nobody knows where it is to be copied from");
                    let from = draft.sources.get(source).ok_or_else(unknown)?;
                    let source = RangeSource::of(&from.origin, &from.version.etag, range);
                    self.blocks_from(filled, ids, source).boxed()
                }
                plan::Block::Send(range) => self.send_range(to, draft, filled, range).boxed(),
                plan::Block::Zeros { len, count } => {
                    let known = zeros.get(&len).cloned();
                    let id = known.clone().map_or_else(|| ids.next(), Ok)?;
                    zeros.insert(len, id.clone());
                    async move {
                        if known.is_none() {
                            let slot = self.upload_slot().await?;
                            // At most a few blocks' worth, so it fits in usize.
                            let bytes = BytesMut::zeroed(len as usize).freeze();
                            self.service.blob(filled).block_blob().stage_block(&id, bytes).await?;
                            drop(slot);
                        }
                        Ok(vec![uncommitted(Block { id, size: len }); count as usize])
                    }
                    .boxed()
                }
            });
        }
        let mut work = work.into_iter();
        let mut done = Vec::new();
        if self.may_refuse_blocks(to, draft)
            && let Some(first) = work.next()
        {
            done.push(first.await?);
        }
        let rest: Vec<_> = futures_util::stream::iter(work).buffered(UPLOADS).try_collect().await?;
        Ok(done.into_iter().chain(rest).flatten().collect())
    }

    /// A block of a range of the extent map. What of the blob lies between what was written, nobody has written: whether
    /// the two together are what somebody has read is not to be learnt from the way that they go.
    async fn send_range(&self, to: Target<'_>, draft: &Draft, filled: &Blob, range: Range<u64>) -> Result<Made> {
        let Draft { extents, ids: Some(ids), .. } = draft else { return Err(Error::fs(libc::EIO, "no block ids")) };
        let is_base = |piece: &Piece| matches!(piece, Piece::Base(_));
        let by = draft.author.alone().filter(|_| !extents.read(range.clone()).iter().any(is_base));
        let at = range.start;
        let (turn, bytes) = match by {
            None => {
                let slot = self.upload_slot().await?;
                (Turn::Send(slot), self.bytes_of(to, extents, range).await?)
            }
            // All of it is in memory.
            by => {
                let bytes = self.bytes_of(to, extents, range).await?;
                let written = Authored { content: &bytes, at, by };
                (self.sender.turn(filled, written, bytes.len() as u64).await?, bytes)
            }
        };
        let block = Block { id: ids.next()?, size: bytes.len() as u64 };
        let written = Authored { content: &bytes, at, by };
        self.sender.stage(turn, filled, &block.id, written, &draft.spared).await?;
        Ok(vec![uncommitted(block)])
    }

    /// The bytes of a range of the extent map, with what of the committed blob lies between them.
    async fn bytes_of(&self, to: Target<'_>, extents: &ExtentMap, range: Range<u64>) -> Result<Payload> {
        let mut pieces = Vec::new();
        for piece in extents.read(range) {
            match (piece, to.base) {
                (Piece::Bytes(bytes), _) => pieces.push(bytes),
                (Piece::Zero(len), _) => pieces.push(BytesMut::zeroed(len as usize).freeze()),
                (Piece::Base(range), Some(base)) => {
                    let len = range.end - range.start;
                    let wanted = ReadOptions { range: Some(range), if_match: Some(&base.properties.etag) };
                    let bytes = self.service.blob(to.blob).download(wanted).await?.bytes;
                    // What follows would move forward.
                    if bytes.len() as u64 != len {
                        return Err(Error::fs(libc::EIO, format!("{} of {len} bytes were read", bytes.len())));
                    }
                    pieces.push(bytes);
                }
                (Piece::Base(_) | Piece::Staged, _) => return Err(Error::fs(libc::EIO, "a block cannot be read")),
            }
        }
        Ok(pieces.into_iter().collect())
    }

    /// Blocks that hold all of a source, staged in `filled`.
    async fn blocks_from(&self, filled: &Blob, ids: &BlockIds, source: RangeSource<'_>) -> Result<Made> {
        let mut made = Vec::new();
        let Range { mut start, end } = source.range;
        while start < end {
            let id = ids.next()?;
            let source = RangeSource { range: start..end, ..source };
            let size = match self.block_from(filled, &id, &source).await? {
                Some(size) => size,
                None => {
                    let slot = self.upload_slot().await?;
                    let _room = self.memory.reserve_read(BLOCK).await;
                    let bytes = self.read_source(&source).await?;
                    let size = bytes.len() as u64;
                    self.service.blob(filled).block_blob().stage_block(&id, bytes).await?;
                    drop(slot);
                    size
                }
            };
            made.push(uncommitted(Block { id, size }));
            start += size;
        }
        Ok(made)
    }

    /// Put Block From URL of as much of the source as one block takes: how much that was, bytes. `None`: the server
    /// cannot do it.
    async fn block_from(&self, blob: &Blob, id: &BlockId, source: &RangeSource<'_>) -> Result<Option<u64>> {
        let url = self.range_url(source, blob).await?;
        let range = source.block();
        let len = range.end - range.start;
        let part = SourceRange { source: &url, range, if_match: Some(source.etag) };
        match self.service.blob(blob).block_blob().stage_block_from_url(id, &part, None).await {
            Ok(()) => Ok(Some(len)),
            Err(error) if self.must_move(&error) => Ok(None),
            Err(error) => Err(self.service.explain_source(source.blob, source.revision, error).await),
        }
    }

    /// A URL by which the service can read the source, for one request.
    pub(crate) async fn range_url(&self, source: &RangeSource<'_>, to: &Blob) -> Result<CopySource> {
        let reader = self.service.client(to.account);
        self.service.blob(source.blob).at(source.revision).block_source(reader, RANGE_READ).await
    }

    /// The first bytes of a source, at most a block.
    pub(crate) async fn read_source(&self, source: &RangeSource<'_>) -> Result<Bytes> {
        let start = source.range.start;
        let range = start..source.range.end.min(start + BLOCK);
        let len = range.end - start;
        let wanted = ReadOptions { range: Some(range), if_match: Some(source.etag) };
        let read = self.service.blob(source.blob).at(source.revision).download(wanted).await;
        let bytes = read.map_err(Error::of_a_source)?.bytes;
        if bytes.len() as u64 != len {
            return Err(Error::fs(libc::EIO, format!("{}: the service sent too few bytes", source.blob.path)));
        }
        Ok(bytes)
    }
}
