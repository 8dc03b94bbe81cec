//! Whole copies between accounts in blocks (§13.9).
//!
//! The service fetches the source range by range, many at a time, each pinned to the version that is copied; one Put
//! Block List then makes the destination what Copy Blob would have made of it: content headers, metadata, tags and tier.
//! Until that, the destination is what it was. A block that is staged and never committed is gone after a week (§9), so
//! that whoever stops has nothing to undo.
//!
//! The service keeps no state of such a copy. Its [`CopyJob`] is all there is of it, and this mount the authority:
//! [`Jobs::own_state`] is what attributes and commands show of it, an abort is a word to the job, and what became of
//! it is known here as long as the blob is the one that it left ([`Jobs::ended`]).
//!
//! What the destination has to say against blocks it says to the first of them, before the copy counts as started
//! ([`BlockCopy::admit`]): then it is a Copy Blob, or the service refuses that in its own words.
//!
//! [`Jobs::own_state`]: crate::fs::copies::jobs::Jobs::own_state
//! [`Jobs::ended`]: crate::fs::copies::jobs::Jobs::ended

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::{debug, info};

use crate::error::{CopyFailure, Error, OptionalExtension, Result};
use crate::fs::block_ids::BlockIds;
use crate::fs::copies::job::{CopyJob, Progress, failure};
use crate::fs::copies::method::{Measure, Method, Pair, Rates};
use crate::fs::copies::run::{BLOCKS_AT_ONCE as AT_ONCE, Copies};
use crate::fs::copies::spec::CopyOptions;
use crate::fs::names::attr;
use crate::fs::names::tree::Blob;
use crate::fs::service::Service;
use crate::store::{
    BlobProperties, BlobSettings, BlobType, BlockId, BlockRef, CopyRequest, ETag, LARGEST_BLOCK_FROM_URL, Precondition,
    SourceRange, WriteOptions,
};

/// Bytes of the first blocks, as many as are under way at once: small enough to be measured after a second, and large
/// enough that the request is not most of it.
const FIRST: u64 = 8 << 20;

/// Bytes of all others, a second or two each: an abort waits for none of them, and few are enough for any blob.
const BLOCK: u64 = 64 << 20;

/// Blocks of a blob are at most 50 000 (§15); some fewer, for the first ones are small.
const MOST: u64 = 49_000;

/// Longest that a caller waits for the first block. What takes longer is slow, and nobody can be killed meanwhile.
const ADMISSION: Duration = Duration::from_secs(5);

/// Between two looks at how fast blocks are.
const LOOK: Duration = Duration::from_millis(500);

/// The ranges of a source that become a block each.
fn ranges(size: u64) -> Vec<Range<u64>> {
    let block = BLOCK.max(size.div_ceil(MOST)).min(LARGEST_BLOCK_FROM_URL);
    let mut ranges = Vec::new();
    let mut start = 0;
    while start < size {
        let len = if ranges.len() < AT_ONCE { FIRST } else { block };
        let end = size.min(start + len);
        ranges.push(start..end);
        start = end;
    }
    ranges
}

/// A copy that can go in blocks.
pub(in crate::fs) struct BlockCopy {
    service: Arc<Service>,
    rates: Arc<Rates>,
    slots: Arc<Semaphore>,
    pub(crate) pair: Pair,
    pub(crate) destination: Blob,
    pub(crate) request: CopyRequest,
    pub(crate) source: Arc<BlobProperties>,
}

/// A copy whose first block is there.
pub(in crate::fs) struct Admitted {
    ids: BlockIds,
    first: BlockId,
    /// The blob that is replaced.
    there: Option<BlobProperties>,
    precondition: Precondition,
}

impl Admitted {
    /// The version that is replaced.
    pub(crate) fn replaces(&self) -> Option<ETag> {
        self.there.as_ref().map(|there| there.etag.clone())
    }
}

/// What staging has come to.
enum Staged {
    All(Vec<BlockRef>),
    /// By an abort.
    Stopped,
    /// Copy Blob would have been faster.
    Behind,
}

/// Of a copy that failed at its source.
const UNREADABLE: &str = "the source was changed, or cannot be read any more";

/// The source was changed or cannot be read any more: the copy fails as a Copy Blob does then (X8).
fn failed_at_source(job: &CopyJob, error: Error) -> Error {
    if !error.is_about_the_source() {
        return error;
    }
    let status = match &error {
        _ if error.is_of_another_source() => 412,
        Error::Service(refusal) => refusal.copy_source.as_ref().map_or(refusal.status, |(status, _)| *status),
        _ => 0,
    };
    // In the service's form: by the status the caller hears why.
    let description = format!("{status} {UNREADABLE}: {error}");
    failure(&job.destination, CopyFailure::Failed { id: job.id.to_string(), description })
}

/// Another client has written to the destination meanwhile: its blocks are gone (S169), or it is another version.
fn failed_at_destination(job: &CopyJob, error: Error) -> Error {
    match error.is_precondition_failed() || error.is_not_found() || error.code() == "InvalidBlockList" {
        true => failure(&job.destination, CopyFailure::Replaced { id: job.id.to_string() }),
        false => error,
    }
}

impl BlockCopy {
    /// That copy in blocks; `None` if it is not for that: within an account Copy Blob is done at once, only a block blob
    /// is made of blocks, and what is archived cannot be read.
    pub(crate) fn of(
        copies: &Copies,
        destination: &Blob,
        request: &CopyRequest,
        version: Option<&Arc<BlobProperties>>,
        options: &CopyOptions,
    ) -> Option<Self> {
        let (from, source) = (options.from?, version?);
        let is_for_blocks = from != destination.account
            && source.blob_type == BlobType::Block
            && !source.is_archived()
            && (1..=MOST * LARGEST_BLOCK_FROM_URL).contains(&source.size);
        is_for_blocks.then(|| Self {
            service: copies.service.clone(),
            rates: copies.rates.clone(),
            slots: copies.block_slots.clone(),
            pair: (from, destination.account),
            destination: destination.clone(),
            request: request.clone(),
            source: source.clone(),
        })
    }

    /// The way in which the copy begins, where the setting leaves that open.
    pub(crate) fn better(&self) -> Method {
        self.rates.first(self.pair, self.source.size, Instant::now())
    }

    pub(crate) fn is_overtaken(&self, seen: Measure) -> bool {
        self.rates.is_overtaken(self.pair, seen, Instant::now())
    }

    pub(crate) fn note(&self, method: Method, seen: Measure) {
        self.rates.note(self.pair, method, seen, Instant::now());
    }

    /// The same copy of another version of the destination.
    pub(crate) fn onto(&self, etag: ETag) -> Self {
        let request = CopyRequest { precondition: Precondition::IfMatch(etag), ..self.request.clone() };
        Self {
            service: self.service.clone(),
            rates: self.rates.clone(),
            slots: self.slots.clone(),
            destination: self.destination.clone(),
            source: self.source.clone(),
            request,
            ..*self
        }
    }

    /// Stages the first block. `None` if the destination is not what the request wants, or anybody has something against
    /// it: that is then for Copy Blob to hear.
    pub(crate) async fn admit(&self) -> Option<Admitted> {
        let destination = &self.destination.path;
        match tokio::time::timeout(ADMISSION, self.try_admit()).await {
            Ok(Ok(admitted)) => admitted,
            Ok(Err(error)) => {
                debug!(%destination, %error, "not copied in blocks");
                None
            }
            Err(_) => {
                debug!(%destination, "not copied in blocks: the first one takes too long");
                None
            }
        }
    }

    async fn try_admit(&self) -> Result<Option<Admitted>> {
        let client = self.service.blob(&self.destination);
        let there = client.properties().await.optional()?;
        let precondition = match (&self.request.precondition, &there) {
            (Precondition::None | Precondition::IfAbsent, None) => Precondition::IfAbsent,
            (Precondition::None, Some(there)) => Precondition::IfMatch(there.etag.clone()),
            (Precondition::IfMatch(etag), Some(there)) if *etag == there.etag => Precondition::IfMatch(etag.clone()),
            (Precondition::IfMatch(_) | Precondition::IfAbsent, _) => return Ok(None),
        };
        let blocks = match &there {
            Some(there) if there.blob_type != BlobType::Block || there.is_pending() || there.is_archived() => {
                return Ok(None);
            }
            Some(_) => client.block_blob().block_list().await?.0,
            None => Vec::new(),
        };
        let ids = BlockIds::beside(&blocks);
        let first = ids.next()?;
        self.stage_one(&first, 0..FIRST.min(self.source.size)).await?;
        Ok(Some(Admitted { ids, first, there, precondition }))
    }

    async fn stage_one(&self, id: &BlockId, range: Range<u64>) -> Result<()> {
        let part = SourceRange { source: &self.request.source, range, if_match: Some(&self.source.etag) };
        let client = self.service.blob(&self.destination).block_blob();
        client.stage_block_from_url(id, &part, self.request.lease.as_ref()).await
    }

    /// The copy to its end; `None` if it turns out to be slower than the Copy Blob that was given up for it, of which
    /// only a `trial` asks.
    pub(crate) async fn run(&self, job: &CopyJob, admitted: &Admitted, trial: bool) -> Option<Progress> {
        let (destination, id) = (&self.destination.path, &job.id);
        info!(%destination, source = %self.request.source, %id, "copied in blocks");
        let began = Instant::now();
        let staged = match self.stage(job, admitted, trial).await {
            Ok(Staged::All(blocks)) => self.commit(job, admitted, &blocks).await,
            Ok(Staged::Stopped) => Err(failure(&job.destination, CopyFailure::Aborted { id: id.to_string() })),
            Ok(Staged::Behind) => {
                info!(%destination, %id, "slower in blocks than by Copy Blob");
                return None;
            }
            Err(error) => Err(failed_at_source(job, error)),
        };
        Some(match staged {
            Ok(properties) => {
                let (total, elapsed) = (self.source.size, began.elapsed());
                self.note(Method::Blocks, Measure { total, copied: total, elapsed });
                info!(%destination, %id, "copy done");
                Progress::Success(properties)
            }
            Err(error) => Progress::Failed(error),
        })
    }

    async fn stage(&self, job: &CopyJob, admitted: &Admitted, trial: bool) -> Result<Staged> {
        let ranges = ranges(self.source.size);
        let underway: u64 = ranges.iter().take(AT_ONCE).map(|range| range.end - range.start).sum();
        let first = FIRST.min(self.source.size);
        let (copied, began) = (AtomicU64::new(first), Instant::now());
        job.publish(Progress::Pending(first));
        let copied = &copied;
        let work = ranges.into_iter().enumerate().skip(1).map(|(number, range)| {
            let id = admitted.ids.next();
            async move {
                let (id, len) = (id?, range.end - range.start);
                let slot = self.slots.acquire().await;
                self.stage_one(&id, range).await?;
                drop(slot);
                let now = copied.fetch_add(len, Ordering::Relaxed) + len;
                job.publish(Progress::Pending(now));
                Ok::<_, Error>((number, BlockRef::Uncommitted(id)))
            }
        });
        let all = futures_util::stream::iter(work).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>();
        let falls_behind = async {
            loop {
                tokio::time::sleep(LOOK).await;
                // Of the first block the time is not known.
                let copied = copied.load(Ordering::Relaxed) - first;
                let seen = Measure { total: self.source.size, copied, elapsed: began.elapsed() };
                if trial && self.rates.is_behind(self.pair, seen, underway, Instant::now()) {
                    self.note(Method::Blocks, seen);
                    return;
                }
            }
        };
        let mut blocks = tokio::select! {
            blocks = all => blocks?,
            () = job.stopped.cancelled() => return Ok(Staged::Stopped),
            () = falls_behind => return Ok(Staged::Behind),
        };
        blocks.push((0, BlockRef::Uncommitted(admitted.first.clone())));
        blocks.sort_by_key(|(number, _)| *number);
        Ok(Staged::All(blocks.into_iter().map(|(_, block)| block).collect()))
    }

    /// Put Block List: from here on it is too late for an abort.
    async fn commit(&self, job: &CopyJob, admitted: &Admitted, blocks: &[BlockRef]) -> Result<Arc<BlobProperties>> {
        let Admitted { there, precondition, .. } = admitted;
        let metadata = self.request.metadata.as_ref().unwrap_or(&self.source.metadata).clone();
        // What was chosen for the destination stays (S103).
        let chosen = there.as_ref().and_then(BlobProperties::chosen_tier);
        let settings = BlobSettings {
            headers: self.source.headers.clone(),
            metadata,
            tier: self.request.tier.clone().or(chosen),
            tags: self.request.tags.clone(),
        };
        let options = WriteOptions { precondition: precondition.clone(), lease: self.request.lease.clone() };
        let client = self.service.blob(&self.destination).block_blob();
        let written = client.commit_block_list(blocks, &settings, &options).await;
        let written = written.map_err(|error| failed_at_destination(job, error))?;
        let mut properties = attr::just_written(self.source.size, settings, written);
        match there {
            Some(there) => {
                properties.creation_time = there.creation_time;
                properties.lease = there.lease.clone();
                if properties.tier.is_none() {
                    (properties.tier, properties.tier_inferred) = (there.tier.clone(), there.tier_inferred);
                }
            }
            None => properties.tier_inferred = properties.tier.is_none(),
        }
        Ok(Arc::new(properties))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_the_source_and_are_few_enough() {
        for size in [1, FIRST, FIRST + 1, AT_ONCE as u64 * FIRST + 1, 4 << 30, 1 << 40, MOST * LARGEST_BLOCK_FROM_URL] {
            let ranges = ranges(size);
            assert!(ranges.len() <= 50_000, "{size}: {}", ranges.len());
            assert!(ranges.iter().all(|range| (1..=LARGEST_BLOCK_FROM_URL).contains(&(range.end - range.start))));
            assert!(ranges.windows(2).all(|two| two[0].end == two[1].start));
            assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, size));
        }
        let count = |size| ranges(size).len();
        assert_eq!((count(FIRST), count(FIRST + 1), count(4 << 30)), (1, 2, AT_ONCE + 60));
    }
}
