//! The memory that content takes: one budget for all files.
//!
//! ```text
//!   arriving   on its way from the service to a reader          at most 7/16; whoever wants more waits
//!   unsent     written here and not yet in the service          at most 7/16; whoever wants more sends, then waits
//!   kept       small files that are open                        at most an eighth; what is more is only cached
//!   cached     chunks that arrived, or were written past the    all that is left; what was used least recently goes first
//!              kernel's cache, and may be read again
//! ```
//!
//! None of them can starve another, so nobody waits for somebody who waits for the first: what arrives ends up in the
//! cache, from where it can be dropped at any time, and what is unsent ends up in the service.
//!
//! The cache is keyed by inode, version and chunk, so that a file that is opened again finds what it left, and another
//! version of it finds nothing. What a sequential reader has left behind is dropped at once: the kernel has it.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use lru::LruCache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::fs::allocator;
use crate::fs::names::attr::Ino;
use crate::store::ETag;
use crate::sync::{MutexGuard, lock};

/// Memory of the process besides content, bytes: itself, buffers of connections, requests of the kernel that are being
/// decoded, answers that are being sent. Measured with 64 readers or 64 writers at once, each with a request of a
/// mebibyte under way.
const OVERHEAD: u64 = 176 << 20;
/// The budget is kept in units of so many bytes: semaphores count in 32 bits.
const UNIT: u64 = 4096;
/// Longest that a writer waits for others to send. Whoever is still here then goes on, over the budget: a request that
/// waits for ever could not be killed.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time without new content after which what is free goes back to the kernel: long beside the pauses of programs that
/// work, for which it would have to be cleared anew.
const QUIET: Duration = Duration::from_secs(2);

/// Bytes beyond the budget that are taken from those who cannot wait: two rounds of what the kernel writes back at once
/// (`fuse`).
const MOST_OVERDRAWN: u64 = 64 << 20;

/// Files that went last and are remembered: more than have requests under way.
const MOST_GONE: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Bytes of a chunk: the largest request of the kernel, which is answered from one chunk without joining anything.
pub(crate) const CHUNK: u64 = 1024 * 1024;

/// Names a chunk of a version of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ChunkKey {
    pub ino: Ino,
    pub version: ETag,
    pub chunk: u64,
}

pub(crate) struct Memory {
    /// Bytes of content in all.
    limit: u64,
    arriving: Arc<Semaphore>,
    unsent: Arc<Semaphore>,
    kept: Arc<Semaphore>,
    state: Mutex<BudgetState>,
    /// Somebody waits for [`QUIET`].
    resting: AtomicBool,
}

struct BudgetState {
    /// Reservations so far.
    begun: u64,
    /// Bytes of permits of either kind that are out, and of what is beyond the budget.
    held: u64,
    overdrawn: u64,
    chunks: LruCache<ChunkKey, Bytes>,
    /// The same, file by file.
    keys: BTreeSet<ChunkKey>,
    /// Files that went last: what is still on its way for one of them comes too late.
    gone: LruCache<Ino, ()>,
    /// Bytes of chunks.
    cached: u64,
    /// Sequential readers.
    streams: u64,
}

impl Memory {
    /// `limit`: resident memory of the process that content may bring it to, bytes.
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        let limit = limit.saturating_sub(OVERHEAD).max(limit / 4);
        let share = |share| Arc::new(Semaphore::new(units(share) as usize));
        Arc::new(Self {
            limit,
            arriving: share(most_in_flight(limit)),
            unsent: share(most_in_flight(limit)),
            kept: share(limit / 8),
            resting: AtomicBool::new(false),
            state: Mutex::new(BudgetState {
                begun: 0,
                held: 0,
                overdrawn: 0,
                chunks: LruCache::unbounded(),
                keys: BTreeSet::new(),
                gone: LruCache::new(MOST_GONE),
                cached: 0,
                streams: 0,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, BudgetState> {
        // No operation below leaves the state half changed when it panics.
        lock(&self.state)
    }

    /// Bytes of content in all, at most.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes of content that are on their way, in either direction, and bytes that are kept to be read again.
    pub(crate) fn in_use(&self) -> (u64, u64) {
        let state = self.state();
        (state.held, state.cached)
    }

    /// Room for so many bytes from the service, now or not at all.
    pub(crate) fn try_reserve_read(self: &Arc<Self>, len: u64) -> Option<Reservation> {
        let permit = self.arriving.clone().try_acquire_many_owned(self.clamped(len)).ok()?;
        Some(self.reserve(permit))
    }

    /// Room for so many bytes from the service. Waits for readers that are being served, whose requests are bounded.
    pub(crate) async fn reserve_read(self: &Arc<Self>, len: u64) -> Reservation {
        let permit = self.arriving.clone().acquire_many_owned(self.clamped(len)).await;
        // The semaphore is never closed.
        self.reserve(permit.ok())
    }

    /// Room for so many bytes that somebody writes, now or not at all.
    pub(crate) fn try_reserve_write(self: &Arc<Self>, len: u64) -> Option<Reservation> {
        match self.unsent.clone().try_acquire_many_owned(self.clamped(len)) {
            Ok(permit) => Some(self.reserve(permit)),
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => None,
        }
    }

    /// Room for so many bytes that somebody writes. Waits for uploads to end, but not for ever.
    pub(crate) async fn reserve_write(self: &Arc<Self>, len: u64) -> Reservation {
        let waiting = self.unsent.clone().acquire_many_owned(self.clamped(len));
        let permit = tokio::time::timeout(PATIENCE, waiting).await;
        self.reserve(permit.ok().and_then(Result::ok))
    }

    /// Room for so many bytes that are in memory already, wherever they are counted: beyond the budget if it is full.
    /// `None` if too much is there.
    pub(crate) fn overdraw(self: &Arc<Self>, len: u64) -> Option<Reservation> {
        if let Some(room) = self.try_reserve_write(len) {
            return Some(room);
        }
        let overdrawn = units(len) * UNIT;
        let mut state = self.state();
        if state.overdrawn + overdrawn > MOST_OVERDRAWN {
            return None;
        }
        state.overdrawn += overdrawn;
        state.held += overdrawn;
        state.make_room(self.limit);
        drop(state);
        Some(Reservation { memory: self.clone(), permit: None, overdrawn })
    }

    /// Bytes that may still be taken beyond the budget.
    pub(crate) fn overdraft(&self) -> u64 {
        MOST_OVERDRAWN.saturating_sub(self.state().overdrawn)
    }

    /// Room for so many bytes of a small file that is open, now or not at all.
    pub(crate) fn try_reserve_small(self: &Arc<Self>, len: u64) -> Option<Reservation> {
        let permit = self.kept.clone().try_acquire_many_owned(u32::try_from(units(len)).ok()?).ok()?;
        Some(self.reserve(permit))
    }

    /// A request for more than there is at all takes all there is.
    fn clamped(&self, len: u64) -> u32 {
        units(len).min(units(most_in_flight(self.limit))) as u32
    }

    fn reserve(self: &Arc<Self>, permit: impl Into<Option<OwnedSemaphorePermit>>) -> Reservation {
        let held = Reservation { memory: self.clone(), permit: permit.into(), overdrawn: 0 };
        let mut state = self.state();
        state.begun += 1;
        state.held += held.len();
        state.make_room(self.limit);
        drop(state);
        held
    }

    pub(crate) fn cached(&self, key: &ChunkKey) -> Option<Bytes> {
        self.state().chunks.get(key).cloned()
    }

    /// [`Memory::cached`] for somebody who does not read it: it does not stay longer for that.
    pub(crate) fn peek(&self, key: &ChunkKey) -> Option<Bytes> {
        self.state().chunks.peek(key).cloned()
    }

    pub(crate) fn contains(&self, key: &ChunkKey) -> bool {
        self.state().chunks.contains(key)
    }

    /// Keeps a chunk as long as there is room.
    pub(crate) fn insert(&self, key: ChunkKey, bytes: Bytes) {
        let mut state = self.state();
        if state.gone.contains(&key.ino) {
            return;
        }
        state.cached += bytes.len() as u64;
        state.keys.insert(key.clone());
        if let Some((_, old)) = state.chunks.push(key, bytes) {
            state.cached -= old.len() as u64;
        }
        state.make_room(self.limit);
    }

    /// The chunk is not needed any more.
    pub(crate) fn remove(&self, key: &ChunkKey) {
        self.state().remove(key);
    }

    /// The file is gone, and nothing will ask for a chunk of it again.
    pub(crate) fn remove_file(self: &Arc<Self>, ino: Ino) {
        let mut state = self.state();
        let first = ChunkKey { ino, version: ETag::new(""), chunk: 0 };
        let before = state.cached;
        state.gone.push(ino, ());
        while let Some(key) = state.keys.range(&first..).next().filter(|key| key.ino == ino).cloned() {
            state.remove(&key);
        }
        let freed = state.cached < before;
        drop(state);
        if freed {
            self.rest();
        }
    }

    /// Something was freed: once nothing new comes, the allocator gives it back.
    fn rest(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.resting.swap(true, Ordering::Relaxed) {
            return;
        }
        let memory = self.clone();
        runtime.spawn(async move {
            let mut begun = memory.state().begun;
            loop {
                tokio::time::sleep(QUIET).await;
                let now = memory.state().begun;
                if std::mem::replace(&mut begun, now) == now {
                    break;
                }
            }
            // What is freed from here on is for the next one.
            memory.resting.store(false, Ordering::Relaxed);
            tokio::task::spawn_blocking(allocator::give_back);
        });
    }

    /// Another sequential reader, as long as the token lives.
    pub(crate) fn stream(self: &Arc<Self>) -> StreamToken {
        self.state().streams += 1;
        StreamToken(self.clone())
    }

    /// Bytes that each sequential reader may have fetched ahead.
    pub(crate) fn share_of_a_stream(&self) -> u64 {
        most_in_flight(self.limit) / self.state().streams.max(1)
    }

    #[cfg(test)]
    pub(in crate::fs) fn used(&self) -> u64 {
        let state = self.state();
        state.held + state.cached
    }
}

impl BudgetState {
    /// Drops chunks until all is within the limit.
    fn make_room(&mut self, limit: u64) {
        while self.held + self.cached > limit
            && let Some((key, bytes)) = self.chunks.pop_lru()
        {
            self.keys.remove(&key);
            self.cached -= bytes.len() as u64;
        }
    }

    fn remove(&mut self, key: &ChunkKey) {
        self.keys.remove(key);
        if let Some(bytes) = self.chunks.pop(key) {
            self.cached -= bytes.len() as u64;
        }
    }
}

/// Bytes on their way in one direction, of a limit for all.
fn most_in_flight(limit: u64) -> u64 {
    limit / 16 * 7
}

fn units(bytes: u64) -> u64 {
    bytes.div_ceil(UNIT)
}

/// Room in the budget, given back when dropped.
pub(crate) struct Reservation {
    memory: Arc<Memory>,
    permit: Option<OwnedSemaphorePermit>,
    /// Bytes beyond the budget.
    overdrawn: u64,
}

impl Reservation {
    /// Bytes.
    pub(crate) fn len(&self) -> u64 {
        self.permit.as_ref().map_or(0, |permit| permit.num_permits() as u64 * UNIT) + self.overdrawn
    }

    /// So many bytes of it, as far as they are there, for somebody else: first what is beyond the budget.
    pub(crate) fn split(&mut self, len: u64) -> Self {
        let overdrawn = self.overdrawn.min(units(len) * UNIT);
        self.overdrawn -= overdrawn;
        let rest = units(len) - units(overdrawn);
        let permit = self.permit.as_mut().and_then(|permit| permit.split(permit.num_permits().min(rest as usize)));
        Self { memory: self.memory.clone(), permit, overdrawn }
    }

    /// Gives back what is more than so many bytes.
    pub(crate) fn shrink(&mut self, len: u64) {
        let more = self.len().saturating_sub(units(len) * UNIT);
        drop(self.split(more));
    }

    pub(crate) fn merge(&mut self, mut other: Self) {
        self.overdrawn += std::mem::take(&mut other.overdrawn);
        match (&mut self.permit, other.permit.take()) {
            (Some(permit), Some(more)) => permit.merge(more),
            (permit @ None, more) => *permit = more,
            (Some(_), None) => {}
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.memory.state();
        state.held -= self.len();
        state.overdrawn -= self.overdrawn;
        let is_last = state.held == 0 && (self.permit.is_some() || self.overdrawn > 0);
        drop(state);
        if is_last {
            self.memory.rest();
        }
    }
}

/// A sequential reader, in the count of those who share.
pub(crate) struct StreamToken(Arc<Memory>);

impl Drop for StreamToken {
    fn drop(&mut self) {
        self.0.state().streams -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn key(chunk: u64) -> ChunkKey {
        ChunkKey { ino: Ino(5), version: ETag::new("e"), chunk }
    }

    fn chunk() -> Bytes {
        vec![0; MIB as usize].into()
    }

    #[test]
    fn what_was_used_least_recently_makes_room() {
        let memory = Memory::new(OVERHEAD + 8 * MIB);
        let limit = memory.limit / MIB;
        for number in 0..limit {
            memory.insert(key(number), chunk());
        }
        assert!(memory.cached(&key(0)).is_some());
        memory.insert(key(limit), chunk());
        assert!(memory.contains(&key(0)) && !memory.contains(&key(1)));
        let held = memory.try_reserve_read(3 * MIB).unwrap();
        assert_eq!(memory.used(), memory.limit);
        assert!(memory.contains(&key(limit)));
        drop(held);
        memory.remove(&key(limit));
        assert_eq!(memory.used(), memory.limit - 4 * MIB);
    }

    #[test]
    fn of_a_file_that_is_gone_nothing_is_kept() {
        let memory = Memory::new(512 * MIB);
        let of = |ino: u64, version: &str, chunk| ChunkKey { ino: Ino(ino), version: ETag::new(version), chunk };
        let keys = [of(4, "z", 9), of(5, "a", 0), of(5, "a", 1), of(5, "b", 7), of(6, "", 0)];
        keys.iter().for_each(|key| memory.insert(key.clone(), chunk()));
        memory.remove_file(Ino(5));
        let kept = keys.each_ref().map(|key| memory.contains(key));
        assert_eq!((kept, memory.used()), ([true, false, false, false, true], 2 * MIB));
        memory.remove_file(Ino(5));
        // What was on its way meanwhile.
        memory.insert(of(5, "b", 8), chunk());
        assert_eq!(memory.used(), 2 * MIB);
    }

    #[test]
    fn readers_writers_and_open_files_take_no_more_than_their_shares() {
        let memory = Memory::new(512 * MIB);
        let share = most_in_flight(memory.limit);
        let reading = memory.try_reserve_read(share).unwrap();
        assert!(memory.try_reserve_read(1).is_none());
        let writing = memory.try_reserve_write(share).unwrap();
        assert!(memory.try_reserve_write(1).is_none());
        let kept = memory.try_reserve_small(memory.limit / 8).unwrap();
        assert!(memory.try_reserve_small(1).is_none());
        assert!(memory.used() <= memory.limit);
        drop((reading, writing, kept));
        assert!(
            memory.try_reserve_read(1).is_some()
                && memory.try_reserve_write(1).is_some()
                && memory.try_reserve_small(1).is_some()
        );
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn held_memory_can_be_split_shrunk_and_merged() {
        let memory = Memory::new(512 * MIB);
        let mut held = memory.try_reserve_write(10 * MIB).unwrap();
        let part = held.split(4 * MIB);
        assert_eq!((held.len(), part.len(), memory.used()), (6 * MIB, 4 * MIB, 10 * MIB));
        held.shrink(MIB);
        assert_eq!((held.len(), memory.used()), (MIB, 5 * MIB));
        held.merge(part);
        assert_eq!((held.len(), memory.used()), (5 * MIB, 5 * MIB));
        drop(held);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn what_is_taken_beyond_the_budget_is_bounded_and_given_back_first() {
        let memory = Memory::new(512 * MIB);
        let mut held = memory.try_reserve_write(most_in_flight(memory.limit)).unwrap();
        let full = held.len();
        assert!(memory.try_reserve_write(1).is_none());
        let over = memory.overdraw(MOST_OVERDRAWN - MIB).unwrap();
        assert_eq!((over.len(), memory.overdraft()), (MOST_OVERDRAWN - MIB, MIB));
        assert!(memory.overdraw(MIB + 1).is_none());
        held.merge(over);
        assert_eq!((held.len(), memory.used()), (full + MOST_OVERDRAWN - MIB, full + MOST_OVERDRAWN - MIB));
        let block = held.split(MOST_OVERDRAWN);
        assert_eq!((block.len(), held.len()), (MOST_OVERDRAWN, full - MIB));
        drop(block);
        assert_eq!((memory.overdraft(), memory.used()), (MOST_OVERDRAWN, full - MIB));
        // What fits is none.
        let fits = memory.overdraw(MIB).unwrap();
        assert_eq!(memory.overdraft(), MOST_OVERDRAWN);
        drop((held, fits));
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn streams_share() {
        let memory = Memory::new(512 * MIB);
        let all = memory.share_of_a_stream();
        let streams: Vec<_> = (0..4).map(|_| memory.stream()).collect();
        assert_eq!(memory.share_of_a_stream(), all / 4);
        drop(streams);
        assert_eq!(memory.share_of_a_stream(), all);
    }
}
