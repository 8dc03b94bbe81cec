//! Reading a committed version of a blob.
//!
//! A [`Version`] is one ETag's worth of a blob. Every GET carries `If-Match`, so a handle never sees a mix of two versions: once
//! the blob has changed, reads end with ESTALE. When this mount itself commits a newer version, that is of the same [`Lineage`],
//! and open handles go over.
//!
//! Sequential readers are served from *parts* on a fixed grid, fetched ahead of the reader by parallel ranged GETs. The window of
//! parts doubles as long as the reading stays sequential. Each reader holds the parts around its own position and drops what it has
//! left behind; the version only knows which parts somebody holds, so that readers who go together fetch each part once and readers
//! who are far apart do not drive each other's parts out. A reader that jumps is answered with exactly the bytes that it asked for,
//! so random access wastes nothing.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::sync::OnceCell;

use crate::error::{Error, Result};
use crate::fs::page::PageRanges;
use crate::store::{BlobProperties, CopyStatus, ETag};

/// Size of a part, bytes: large enough that the per-request latency disappears in its transfer time, small enough that a reader
/// of the beginning of a file does not wait for what it never looks at.
pub const PART: u64 = 4 * 1024 * 1024;
/// Most parts that are fetched ahead of one reader.
const LARGEST_WINDOW: u64 = 8;
/// The kernel sends the requests of its own read-ahead in parallel and they arrive in any order: this far off is still sequential.
const JITTER: u64 = 1024 * 1024;

type Fetch = Shared<BoxFuture<'static, Result<Bytes>>>;
type Held = WeakShared<BoxFuture<'static, Result<Bytes>>>;

/// Fetches a byte range of the version; the caller binds blob, client and ETag.
pub type Fetcher = dyn Fn(Range<u64>) -> BoxFuture<'static, Result<Bytes>> + Send + Sync;

/// A version that this mount found in the service, and those that it made of it, one after the other.
#[derive(Clone)]
pub struct Lineage(Arc<()>);

impl PartialEq for Lineage {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A version of a blob, shared by all handles that have it open.
pub struct Version {
    pub properties: Arc<BlobProperties>,
    pub lineage: Lineage,
    /// Of a page blob: what has been written, once somebody asked for it.
    pub pages: Arc<OnceCell<PageRanges>>,
    /// Parts that some reader holds, by number.
    parts: Mutex<BTreeMap<u64, Held>>,
}

impl Version {
    /// A version found in the service.
    pub fn new(properties: Arc<BlobProperties>) -> Arc<Self> {
        Arc::new(Self { properties, lineage: Lineage(Arc::new(())), pages: Arc::default(), parts: Mutex::default() })
    }

    /// What this mount made of this version.
    pub fn with(&self, properties: Arc<BlobProperties>) -> Arc<Self> {
        Arc::new(Self { properties, lineage: self.lineage.clone(), pages: Arc::default(), parts: Mutex::default() })
    }

    /// EBUSY while a copy onto the blob is pending. The service would show an empty blob (C39), and saying so would be a lie about
    /// the content to come.
    pub fn refuse_pending(&self) -> Result<()> {
        if self.properties.copy.as_ref().is_some_and(|copy| copy.status == CopyStatus::Pending) {
            return Err(Error::fs(libc::EBUSY, "its content is still being copied"));
        }
        Ok(())
    }

    fn parts(&self) -> MutexGuard<'_, BTreeMap<u64, Held>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads `range`, clipped at the end of the blob. `stream` is the memory of the handle that reads.
    pub async fn read(&self, range: Range<u64>, stream: &Stream, fetcher: &Fetcher) -> Result<Bytes> {
        self.refuse_pending()?;
        let size = self.properties.size;
        let range = range.start.min(size)..range.end.min(size);
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let Some(wanted) = self.fetch_parts(&range, stream, fetcher) else {
            return fetcher(range).await;
        };
        let mut pieces = Vec::with_capacity(wanted.len());
        for (part, fetch) in wanted {
            let bytes = match fetch.await {
                Ok(bytes) => bytes,
                Err(error) => {
                    // The next read asks again.
                    self.parts().remove(&part);
                    stream.position().held.remove(&part);
                    return Err(error);
                }
            };
            let start = part * PART;
            let from = range.start.saturating_sub(start) as usize;
            let to = (range.end - start).min(PART) as usize;
            pieces.push(bytes.slice(from..to));
        }
        Ok(join(pieces))
    }

    /// The fetches of `range`; what is missing of them and of the window ahead is started. `None` for a reader that jumps.
    fn fetch_parts(&self, range: &Range<u64>, stream: &Stream, fetcher: &Fetcher) -> Option<Vec<(u64, Fetch)>> {
        let size = self.properties.size;
        let mut position = stream.position();
        let window = position.advance(range)?;
        if position.of.as_ref() != Some(&self.properties.etag) {
            position.of = Some(self.properties.etag.clone());
            position.held.clear();
        }
        let first = range.start / PART;
        let last = (range.end - 1) / PART;
        let ahead = (first + window).min((size - 1) / PART);
        let mut parts = self.parts();
        for part in first..=last.max(ahead) {
            position.held.entry(part).or_insert_with(|| {
                parts.get(&part).and_then(WeakShared::upgrade).unwrap_or_else(|| {
                    let fetch = fetcher(part * PART..((part + 1) * PART).min(size)).shared();
                    parts.extend(fetch.downgrade().map(|held| (part, held)));
                    // A shared future runs only while somebody polls it: this one is polled whether or not the reader is waiting.
                    tokio::spawn(fetch.clone().map(drop));
                    fetch
                })
            });
        }
        let wanted = (first..=last).filter_map(|part| Some((part, position.held.get(&part)?.clone()))).collect();
        // What the reader has left behind it does not need again, but for the jitter; nor what it had ahead before it jumped.
        position.held.retain(|part, _| (first.saturating_sub(1)..=last.max(first + LARGEST_WINDOW)).contains(part));
        parts.retain(|_, held| held.upgrade().is_some());
        Some(wanted)
    }
}

/// What a handle remembers of its reading: where a sequential reader would go on, how far ahead to fetch, and what was fetched.
#[derive(Default)]
pub struct Stream(Mutex<Position>);

#[derive(Default)]
struct Position {
    next: u64,
    window: u64,
    held: BTreeMap<u64, Fetch>,
    /// The version that `held` are parts of: the handle may go over to a newer one.
    of: Option<ETag>,
}

impl Stream {
    fn position(&self) -> MutexGuard<'_, Position> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Position {
    /// Notes a read; the parts to fetch ahead if it is sequential, `None` if it is a jump.
    fn advance(&mut self, range: &Range<u64>) -> Option<u64> {
        let sequential = range.start <= self.next + JITTER && range.start + JITTER >= self.next;
        if !sequential {
            *self = Self { next: range.end, ..Self::default() };
            return None;
        }
        if range.end / PART > self.next / PART || self.window == 0 {
            self.window = if self.next == 0 { 0 } else { (self.window * 2).clamp(1, LARGEST_WINDOW) };
        }
        self.next = self.next.max(range.end);
        Some(self.window)
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
mod tests {
    use super::*;
    use crate::fs::attr;
    use crate::store::{BlobSettings, Written};
    use std::time::SystemTime;

    fn version(size: u64) -> Arc<Version> {
        let written = Written { etag: ETag::new("e"), last_modified: SystemTime::UNIX_EPOCH };
        Version::new(Arc::new(attr::just_written(size, BlobSettings::default(), written)))
    }

    fn byte_at(offset: u64) -> u8 {
        (offset % 251) as u8
    }

    type Asked = Arc<Mutex<Vec<Range<u64>>>>;

    /// A fetcher that notes what it was asked for.
    fn source() -> (Asked, Box<Fetcher>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let fetcher: Box<Fetcher> = Box::new(move |range: Range<u64>| {
            log.lock().unwrap().push(range.clone());
            async move { Ok(range.map(byte_at).collect::<Vec<_>>().into()) }.boxed()
        });
        (asked, fetcher)
    }

    #[tokio::test]
    async fn a_sequential_reader_gets_every_part_once() {
        let size = 10 * PART + 77;
        let (asked, fetcher) = source();
        let version = version(size);
        let stream = Stream::default();
        let step = 1024 * 1024 - 13;
        let mut offset = 0;
        while offset < size {
            let bytes = version.read(offset..offset + step, &stream, &*fetcher).await.unwrap();
            assert!(bytes.iter().enumerate().all(|(i, b)| *b == byte_at(offset + i as u64)), "at {offset}");
            assert_eq!(bytes.len() as u64, step.min(size - offset));
            offset += step;
        }
        let mut asked = asked.lock().unwrap().clone();
        asked.sort_by_key(|range| range.start);
        let grid: Vec<_> = (0..=10).map(|part| part * PART..((part + 1) * PART).min(size)).collect();
        assert_eq!(asked, grid);
    }

    #[tokio::test]
    async fn readers_far_apart_keep_their_parts_and_readers_together_share_them() {
        let size = 40 * PART;
        let (asked, fetcher) = source();
        let version = version(size);
        let streams: [Stream; 4] = Default::default();
        let step = PART / 4;
        for at in (0..20 * PART).step_by(step as usize) {
            for (stream, start) in streams.iter().zip([0, 0, 20 * PART, 20 * PART]) {
                version.read(start + at..start + at + step, stream, &*fetcher).await.unwrap();
            }
        }
        let bytes: u64 = asked.lock().unwrap().iter().map(|range| range.end - range.start).sum();
        // The two that begin in the middle jump there, each by itself.
        assert_eq!(bytes, size + 2 * step);
        drop(streams);
        // Those that were fetched ahead end by themselves.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(version.parts().values().all(|held| held.upgrade().is_none()));
    }

    #[tokio::test]
    async fn a_reader_that_goes_over_to_a_newer_version_leaves_the_parts_of_the_old_one() {
        let (_, fetcher) = source();
        let old = version(10);
        let stream = Stream::default();
        assert_eq!(old.read(0..100, &stream, &*fetcher).await.unwrap().len(), 10);
        let mut properties = (*old.properties).clone();
        (properties.size, properties.etag) = (20, ETag::new("f"));
        let new = old.with(Arc::new(properties));
        assert_eq!(new.read(10..100, &stream, &*fetcher).await.unwrap().len(), 10);
    }

    #[tokio::test]
    async fn a_jumping_reader_gets_what_it_asked_for_and_no_more() {
        let (asked, fetcher) = source();
        let version = version(100 * PART);
        let stream = Stream::default();
        for offset in [50 * PART + 3, 7 * PART, 90 * PART] {
            let bytes = version.read(offset..offset + 4096, &stream, &*fetcher).await.unwrap();
            assert_eq!(bytes.len(), 4096);
        }
        let total: u64 = asked.lock().unwrap().iter().map(|range| range.end - range.start).sum();
        assert_eq!(total, 3 * 4096);
    }

    #[tokio::test]
    async fn reading_past_the_end_asks_nothing() {
        let (asked, fetcher) = source();
        let bytes = version(10).read(10..20, &Stream::default(), &*fetcher).await.unwrap();
        assert!(bytes.is_empty() && asked.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_part_that_could_not_be_fetched_is_asked_for_again() {
        let version = version(PART);
        let failing: Box<Fetcher> = Box::new(|_| async { Err(Error::fs(libc::EIO, "down")) }.boxed());
        let stream = Stream::default();
        assert_eq!(version.read(0..10, &stream, &*failing).await.unwrap_err().errno(), libc::EIO);
        let (_, fetcher) = source();
        assert_eq!(version.read(0..10, &stream, &*fetcher).await.unwrap().len(), 10);
    }
}
