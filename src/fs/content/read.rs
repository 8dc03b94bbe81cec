//! Reading a committed version of a blob.
//!
//! A [`Version`] is one ETag's worth of a blob. Every GET carries `If-Match`, so a handle never sees a mix of two
//! versions: once the blob has changed, reads end with ESTALE. When this mount itself commits a newer version, that is
//! of the same [`Lineage`], and open handles go over.
//!
//! Sequential readers are served from *chunks* on a fixed grid. They are fetched ahead of the reader, several by one
//! ranged GET (a *part*) and several GETs at once, and each is there as soon as its own bytes are: the reader of the
//! first does not wait for the last of its part. The window doubles as long as the reading stays sequential, up to the
//! reader's share of the memory. A chunk on its way is known to the version, so that readers who go together fetch it
//! once; one that has arrived is kept by [`Memory`] until the reader has left it behind or its room is needed.
//!
//! A file of at most one part is fetched whole at the first read of it, and the version keeps it for as long as
//! somebody has the file open and the memory has room for it: so a reader or a mapping comes to its end although the
//! blob is replaced or deleted meanwhile.
//!
//! A reader that jumps in a larger one is answered with exactly the bytes that it asked for, so random access wastes
//! nothing. Of many jumps some happen to land near each other, so it takes two reads that follow on a jump for it to be
//! the start of sequential reading.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use tokio::sync::{OnceCell, oneshot, watch};

use crate::error::{Error, Result};
use crate::fs::caller::User;
use crate::fs::content::memory::{CHUNK, ChunkKey, Memory, Reservation, StreamToken};
use crate::fs::content::page::ranges::PageRanges;
use crate::fs::content::recent::RecentReads;
use crate::fs::names::attr::Ino;
use crate::store::BlobProperties;

/// Bytes of a part: large enough that the per-request latency disappears in its transfer time, small enough that a
/// reader of the beginning of a file does not fetch much that it never looks at.
pub(crate) const PART: u64 = 4 * 1024 * 1024;
/// Bytes of a part once the window has room for it: half as many requests, which are what the service bills.
const LARGE_PART: u64 = 8 * 1024 * 1024;
/// Most that is fetched ahead of one reader, bytes: what 10 Gbit/s bring in 50 ms, by eight connections, of which each
/// alone brings far less. It is also what a reader may leave unread.
const LARGEST_WINDOW: u64 = 64 * 1024 * 1024;
/// The kernel sends the requests of its own read-ahead in parallel and they arrive in any order. So the next one of a
/// sequential reader is off by some times its length, up to twice the read-ahead of a mount ([`crate::mount`]).
const JITTER: Range<u64> = 64 * 1024..8 * 1024 * 1024;

/// Takes bytes of a blob, with their offset in it. The same may come twice, when an answer broke off and came again.
pub(crate) type Receive = Box<dyn FnMut(u64, &[u8]) + Send>;

/// Fetches a byte range of the version; the caller binds blob, client and ETag.
pub(crate) type Fetcher<'a> = dyn Fn(Range<u64>, Receive) -> BoxFuture<'static, Result<()>> + Send + Sync + 'a;

/// A version that this mount found in the service, and those that it made of it, one after the other.
#[derive(Clone)]
pub(crate) struct Lineage(Arc<()>);

impl PartialEq for Lineage {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A version of a blob, shared by all handles that have it open.
pub(crate) struct Version {
    pub properties: Arc<BlobProperties>,
    pub lineage: Lineage,
    /// Written ranges of a page blob, once somebody asked for them.
    pub pages: OnceCell<PageRanges>,
    /// Chunks on their way, by number.
    arriving: Mutex<BTreeMap<u64, Arc<Arrival>>>,
    /// Chunks of a small file, by number.
    kept: Mutex<BTreeMap<u64, (Bytes, Reservation)>>,
}

/// A chunk on its way: `None` until it is there, or will not be.
type Arrival = watch::Sender<Option<Result<Bytes>>>;

/// The means of a read beside the version.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub ino: Ino,
    pub memory: &'a Arc<Memory>,
    /// The memory of the handle that reads.
    pub stream: &'a Stream,
    pub fetcher: &'a Fetcher<'a>,
    /// Longest range that one GET may bring, bytes.
    pub longest: u64,
    /// Where it is noted what is read, and by whom.
    pub noting: Option<(&'a RecentReads, User)>,
}

impl Version {
    /// A version found in the service.
    pub(crate) fn new(properties: Arc<BlobProperties>) -> Arc<Self> {
        Arc::new(Self::found(properties))
    }

    /// The same content under another ETag: what is kept of it is kept on.
    pub(crate) fn with_the_same_content(&self, properties: Arc<BlobProperties>) -> Arc<Self> {
        let same = self.with(properties);
        *same.kept() = std::mem::take(&mut *self.kept());
        same
    }

    /// A version that this mount made in place of one that is no more.
    pub(crate) fn anew(properties: Arc<BlobProperties>, lineage: Lineage) -> Arc<Self> {
        Arc::new(Self { lineage, ..Self::found(properties) })
    }

    fn found(properties: Arc<BlobProperties>) -> Self {
        Self {
            properties,
            lineage: Lineage(Arc::new(())),
            pages: OnceCell::new(),
            arriving: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// The version that this mount made of this one.
    pub(crate) fn with(&self, properties: Arc<BlobProperties>) -> Arc<Self> {
        Arc::new(Self { lineage: self.lineage.clone(), ..Self::found(properties) })
    }

    /// EBUSY while a copy onto the blob is pending. The service would show an empty blob (C39), and saying so would be
    /// a lie about the content to come.
    pub(crate) fn refuse_pending(&self) -> Result<()> {
        if self.properties.is_pending() {
            return Err(Error::fs(libc::EBUSY, "its content is still being copied"));
        }
        Ok(())
    }

    fn arriving(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Arrival>>> {
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, ino: Ino, chunk: u64) -> ChunkKey {
        ChunkKey { ino, version: self.properties.etag.clone(), chunk }
    }

    /// Reads `range`, clipped at the end of the blob.
    pub(crate) async fn read(self: &Arc<Self>, range: Range<u64>, reading: Reading<'_>) -> Result<Bytes> {
        self.refuse_pending()?;
        let size = self.properties.size;
        let range = range.start.min(size)..range.end.min(size);
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let chunks = range.start / CHUNK..range.end.div_ceil(CHUNK);
        match reading.stream.advance(&range, reading.memory) {
            AccessPattern::Sequential { window, share, left_behind } => {
                let behind = left_behind.end;
                for chunk in left_behind {
                    let key = self.key(reading.ino, chunk);
                    match reading.noting {
                        Some((reads, user)) => reads.leave(&key, user),
                        None => reading.memory.remove(&key),
                    }
                }
                self.fetch_ahead(&chunks, window, behind, share, reading);
            }
            AccessPattern::Jump if chunks.clone().all(|chunk| self.is_here_or_coming(chunk, reading)) => {}
            AccessPattern::Jump if self.is_small() => self.fetch_ahead(&chunks, PART, 0, PART, reading),
            AccessPattern::Jump => {
                let bytes = self.fetch_exactly(range.clone(), reading).await?;
                self.note_whole_chunks(&range, &bytes, reading);
                return Ok(bytes);
            }
        }
        let mut pieces = Vec::with_capacity((chunks.end - chunks.start) as usize);
        for chunk in chunks {
            let bytes = self.chunk(chunk, reading).await?;
            if let Some((reads, user)) = reading.noting {
                reads.note(self.key(reading.ino, chunk), user, &bytes);
            }
            let start = chunk * CHUNK;
            let from = range.start.saturating_sub(start) as usize;
            let to = (range.end - start).min(CHUNK) as usize;
            pieces.push(bytes.slice(from..to));
        }
        Ok(join(pieces))
    }

    /// Keeps the whole content, which the caller has at hand, as if it had been fetched, and nothing that it replaces.
    pub(crate) fn cache(self: &Arc<Self>, ino: Ino, content: &[Bytes], before: Option<&Self>, memory: &Arc<Memory>) {
        let size = self.properties.size;
        if let Some(before) = before {
            (0..size.div_ceil(CHUNK)).for_each(|chunk| memory.remove(&before.key(ino, chunk)));
        }
        let ends = (1..=size.div_ceil(CHUNK)).map(|chunks| (chunks * CHUNK).min(size)).collect();
        let (version, memory) = (self.clone(), memory.clone());
        let keep = move |end: u64, bytes| version.insert(ino, (end - 1) / CHUNK, bytes, &memory);
        let mut receive = filling(0..size, ends, keep);
        let mut offset = 0;
        for piece in content {
            receive(offset, piece);
            offset += piece.len() as u64;
        }
    }

    fn is_here_or_coming(&self, chunk: u64, reading: Reading<'_>) -> bool {
        // In this order: what has arrived is in the memory before it is no longer on its way.
        self.arriving().contains_key(&chunk)
            || reading.memory.contains(&self.key(reading.ino, chunk))
            || self.kept().contains_key(&chunk)
    }

    /// Fetched whole, and kept.
    fn is_small(&self) -> bool {
        self.properties.size <= PART
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<u64, (Bytes, Reservation)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A chunk that has arrived.
    fn insert(&self, ino: Ino, chunk: u64, bytes: Bytes, memory: &Arc<Memory>) {
        if self.is_small()
            && let Some(room) = memory.try_reserve_small(bytes.len() as u64)
        {
            self.kept().insert(chunk, (bytes.clone(), room));
        }
        memory.insert(self.key(ino, chunk), bytes);
    }

    /// Starts to fetch what is missing of `chunks` and of the window from their beginning, but not what is left
    /// `behind`: whole parts at a time, as far as there is room for it at once.
    fn fetch_ahead(self: &Arc<Self>, chunks: &Range<u64>, window: u64, behind: u64, share: u64, reading: Reading<'_>) {
        let in_all = self.properties.size.div_ceil(CHUNK);
        // Where there is no room for whole parts, a GET brings fewer chunks.
        let part = match window >= LARGE_PART && reading.longest >= LARGE_PART {
            true => LARGE_PART / CHUNK,
            false if share >= PART => PART / CHUNK,
            false => 1,
        };
        // Only with the chunk that is read: beside one that is here, some may have been left behind this very moment.
        let start = match self.is_here_or_coming(chunks.start, reading) {
            true => chunks.start,
            false => (chunks.start / part * part).max(behind).min(chunks.start),
        };
        let end = (chunks.start + window / CHUNK).max(chunks.end).next_multiple_of(part).min(in_all);
        let mut run: Option<Range<u64>> = None;
        for chunk in start..=end {
            let missing = chunk < end && !self.is_here_or_coming(chunk, reading);
            match &mut run {
                Some(run) if missing && chunk % part != 0 => run.end = chunk + 1,
                _ => {
                    if let Some(run) = run.take() {
                        let Some(room) = reading.memory.try_reserve_read((run.end - run.start) * CHUNK) else { return };
                        self.fetch(run, room, reading);
                    }
                    run = missing.then(|| chunk..chunk + 1);
                }
            }
        }
    }

    /// A chunk, fetched if it is not on its way already.
    async fn chunk(self: &Arc<Self>, chunk: u64, reading: Reading<'_>) -> Result<Bytes> {
        loop {
            let arrival = self.arriving().get(&chunk).cloned();
            if let Some(arrival) = arrival {
                let mut arrived = arrival.subscribe();
                // It does not end without a word: the task that fetches it speaks last.
                return match arrived.wait_for(Option::is_some).await.as_deref() {
                    Ok(Some(outcome)) => outcome.clone(),
                    _ => Err(Error::fs(libc::EIO, "a chunk did not arrive")),
                };
            }
            if let Some(bytes) = reading.memory.cached(&self.key(reading.ino, chunk)) {
                return Ok(bytes);
            }
            if let Some((bytes, _)) = self.kept().get(&chunk) {
                return Ok(bytes.clone());
            }
            let room = reading.memory.reserve_read(CHUNK).await;
            self.fetch(chunk..chunk + 1, room, reading);
        }
    }

    /// Fetches neighbouring chunks by one GET, but for those that somebody else has begun to: what follows on them is
    /// fetched when it is asked for.
    fn fetch(self: &Arc<Self>, run: Range<u64>, room: Reservation, reading: Reading<'_>) {
        let mut ours = BTreeMap::new();
        {
            let mut arriving = self.arriving();
            for chunk in run {
                if arriving.contains_key(&chunk) || reading.memory.contains(&self.key(reading.ino, chunk)) {
                    if ours.is_empty() { continue } else { break }
                }
                let arrival = Arc::new(Arrival::new(None));
                arriving.insert(chunk, arrival.clone());
                ours.insert(chunk, arrival);
            }
        }
        let size = self.properties.size;
        let ends: VecDeque<u64> = ours.keys().map(|chunk| ((chunk + 1) * CHUNK).min(size)).collect();
        let (Some((first, _)), Some(end)) = (ours.first_key_value(), ends.back()) else { return };
        let range = first * CHUNK..*end;
        let arrivals = Arc::new(Mutex::new(ours));
        let settle = {
            let (version, memory, arrivals) = (self.clone(), reading.memory.clone(), arrivals.clone());
            let (ino, mut room) = (reading.ino, room);
            move |end: u64, bytes: Bytes| {
                let chunk = (end - 1) / CHUNK;
                drop(room.split(bytes.len() as u64));
                version.insert(ino, chunk, bytes.clone(), &memory);
                let arrival = arrivals.lock().unwrap_or_else(PoisonError::into_inner).remove(&chunk);
                version.arriving().remove(&chunk);
                arrival.map(|arrival| arrival.send_replace(Some(Ok(bytes))));
            }
        };
        let fetching = (reading.fetcher)(range.clone(), filling(range, ends, settle));
        let version = self.clone();
        tokio::spawn(async move {
            let outcome = fetching.await;
            let left = std::mem::take(&mut *arrivals.lock().unwrap_or_else(PoisonError::into_inner));
            for (chunk, arrival) in left {
                // The next read asks again.
                version.arriving().remove(&chunk);
                let error = outcome.clone().err().unwrap_or_else(|| Error::fs(libc::EIO, "too few bytes came"));
                arrival.send_replace(Some(Err(error)));
            }
        });
    }

    /// What was fetched past the cache may be written as well: requests of a sequential reader look like jumps when they
    /// overtake each other. Its whole chunks are kept for as long as somebody may write.
    fn note_whole_chunks(&self, range: &Range<u64>, bytes: &Bytes, reading: Reading<'_>) {
        let Some((reads, user)) = reading.noting.filter(|(reads, _)| reads.has_writers()) else { return };
        let size = self.properties.size;
        let behind = if range.end == size { size.div_ceil(CHUNK) } else { range.end / CHUNK };
        for chunk in range.start.div_ceil(CHUNK)..behind {
            let from = (chunk * CHUNK - range.start) as usize;
            let to = ((chunk + 1) * CHUNK).min(size) - range.start;
            reads.note(self.key(reading.ino, chunk), user, &bytes.slice(from..to as usize));
        }
    }

    async fn fetch_exactly(&self, range: Range<u64>, reading: Reading<'_>) -> Result<Bytes> {
        let _room = reading.memory.reserve_read(range.end - range.start).await;
        let (sender, whole) = oneshot::channel();
        let mut sender = Some(sender);
        let settle = move |_, bytes| {
            sender.take().map(|sender| sender.send(bytes));
        };
        (reading.fetcher)(range.clone(), filling(range.clone(), [range.end].into(), settle)).await?;
        whole.await.map_err(|_| Error::fs(libc::EIO, "too few bytes came"))
    }
}

/// Puts the bytes of `range` together in buffers that end at `ends`; each is given to `settle` as soon as it is full,
/// with its end.
fn filling(range: Range<u64>, mut ends: VecDeque<u64>, mut settle: impl FnMut(u64, Bytes) + Send + 'static) -> Receive {
    let mut at = range.start;
    let mut buffer = BytesMut::new();
    Box::new(move |offset, bytes| {
        // What came before an answer broke off comes again.
        let mut bytes = bytes.get(at.saturating_sub(offset) as usize..).unwrap_or_default();
        while let Some(end) = ends.front().copied()
            && !bytes.is_empty()
        {
            if buffer.is_empty() {
                buffer = BytesMut::with_capacity((end - at) as usize);
            }
            let (now, later) = bytes.split_at(bytes.len().min((end - at) as usize));
            buffer.extend_from_slice(now);
            at += now.len() as u64;
            bytes = later;
            if at == end {
                ends.pop_front();
                settle(end, std::mem::take(&mut buffer).freeze());
            }
        }
    })
}

/// The memory of a handle about its reading: where a sequential reader would go on, and how far ahead to fetch.
#[derive(Default)]
pub(crate) struct Stream(Mutex<Position>);

#[derive(Default)]
struct Position {
    next: u64,
    /// Bytes.
    window: u64,
    /// Chunks before this one are left behind.
    behind: u64,
    /// The last read was a jump.
    jumped: bool,
    /// There while the reading is sequential.
    token: Option<StreamToken>,
}

/// The order of a read after those before it.
#[derive(Debug, PartialEq, Eq)]
enum AccessPattern {
    /// `window`: bytes to have from its beginning on; `share`: the most that there is memory for. The chunks
    /// `left_behind` will not be read again.
    Sequential {
        window: u64,
        share: u64,
        left_behind: Range<u64>,
    },
    Jump,
}

impl Stream {
    /// Notes a read.
    fn advance(&self, range: &Range<u64>, memory: &Arc<Memory>) -> AccessPattern {
        let mut position = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let jitter = ((range.end - range.start) * 8).clamp(JITTER.start, JITTER.end);
        let near = range.start.abs_diff(position.next) <= jitter;
        if !near || position.jumped {
            let next = if near { position.next.max(range.end) } else { range.end };
            *position = Position { next, behind: next / CHUNK, jumped: !near, ..Position::default() };
            return AccessPattern::Jump;
        }
        if range.end / PART > position.next / PART || position.window == 0 {
            position.window = if position.next == 0 { 0 } else { (position.window * 2).clamp(PART, LARGEST_WINDOW) };
        }
        position.token.get_or_insert_with(|| memory.stream());
        position.next = position.next.max(range.end);
        let behind = position.next.saturating_sub(JITTER.end) / CHUNK;
        let left_behind = position.behind..behind.max(position.behind);
        position.behind = left_behind.end;
        let share = memory.share_of_a_stream();
        AccessPattern::Sequential { window: position.window.min(share), share, left_behind }
    }
}

fn join(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() == 1 {
        return pieces.swap_remove(0);
    }
    let mut joined = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in pieces {
        joined.extend_from_slice(&piece);
    }
    joined.freeze()
}

#[cfg(test)]
mod tests;
