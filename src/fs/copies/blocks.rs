//! Whole copies between accounts in blocks (§13.9).
//!
//! The service fetches the source range by range, many at a time, each pinned to the version that is copied; one Put
//! Block List then makes the destination what Copy Blob would have made of it: content headers, metadata, tags and tier.
//! Until that, the destination is what it was. Blocks that are staged and never committed are gone after a week (§9). Those
//! of a new name are dropped by whoever stops: nothing is there then, and with a hierarchical namespace they would keep
//! the directory from being removed, so there the journal has them, too.
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
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::error::{CopyFailure, Error, OptionalExtension, Result};
use crate::fs::block_ids::BlockIds;
use crate::fs::copies::job::{CopyJob, Progress, failure};
use crate::fs::copies::method::{Measure, Method, Pair, Rates};
use crate::fs::copies::run::{BLOCKS_AT_ONCE as AT_ONCE, Copies};
use crate::fs::copies::spec::CopyOptions;
use crate::fs::journal::{Entry, Intent};
use crate::fs::names::attr;
use crate::fs::names::tree::Blob;
use crate::fs::service::Service;
use crate::store::{
    BlobProperties, BlobSettings, BlobType, BlockId, BlockRef, CopyRequest, ETag, Keeping, LARGEST_BLOCK_FROM_URL,
    Precondition, SourceRange, WriteOptions,
};
use crate::sync::lock;

/// Bytes of the first blocks, as many as are under way at once: small enough to be measured after a second, and large
/// enough that the request is not most of it.
const FIRST: u64 = 8 << 20;

/// Bytes of all others, a second or two each: an abort waits for none of them, and few are enough for any blob.
const BLOCK: u64 = 64 << 20;

/// Blocks of a blob are at most 50 000 (§15); some fewer, for the first ones are small.
const MOST: u64 = 49_000;

/// Longest that a caller waits for the first block. What takes longer is slow, and nobody can be killed meanwhile.
const ADMISSION: Duration = Duration::from_secs(5);

/// Longest that requests on their way are waited for when nothing comes of them any more.
const LAST: Duration = Duration::from_secs(1);

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
    /// The source, if it is a blob as it is now.
    origin: Option<Blob>,
}

/// A copy whose first block is there.
pub(in crate::fs) struct Admitted {
    ids: BlockIds,
    first: BlockId,
    /// The blob that is replaced.
    there: Option<BlobProperties>,
    precondition: Precondition,
    /// Of blocks that would be in the way.
    entry: Option<Entry>,
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

/// The reason why no more blocks are staged.
enum Halt {
    Done,
    Failed,
    Stopped,
    Behind,
}

/// Whose wish it is that a copy goes in blocks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::fs) enum Wish {
    /// The user's: it goes in no other way.
    Ordered,
    /// Nobody's, for they are faster as it seems: what they cannot do is for Copy Blob.
    Chosen,
    /// Nobody's, and a Copy Blob that was given up for them is taken up again also if they are slower.
    Trial,
}

/// Copies between these accounts are refused in blocks, whatever their destination is.
fn is_of_the_pair(error: &Error) -> bool {
    error.is_about_the_source() && !error.is_of_another_source() || error.is_denied()
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
            origin: options.source.clone(),
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

    /// Copies between these accounts cannot be made in blocks, as it seems.
    fn note_refusal(&self) {
        self.rates.note_refusal(self.pair, Instant::now());
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
            origin: self.origin.clone(),
            request,
            ..*self
        }
    }

    /// What a journal has of the Copy Blob that is given up.
    pub(crate) fn overtaken(&self, job: &CopyJob) -> Intent {
        let (of, from) = (self.service.named(&self.destination), self.origin.as_ref());
        let from = from.map(|from| self.service.named(from));
        Intent::Overtaken { of, from, etag: self.source.etag.to_string(), id: job.id.to_string() }
    }

    /// Stages the first block. `None` if the destination is not what the request wants, or anybody has something against
    /// it: that is then for Copy Blob to hear.
    pub(crate) async fn admit(&self) -> Option<Admitted> {
        let destination = &self.destination.path;
        match tokio::time::timeout(ADMISSION, self.try_admit()).await {
            Ok(Ok(admitted)) => admitted,
            Ok(Err(error)) => {
                debug!(%destination, %error, "not copied in blocks");
                if is_of_the_pair(&error) {
                    self.note_refusal();
                }
                None
            }
            Err(_) => {
                debug!(%destination, "not copied in blocks: the first one takes too long");
                self.note_refusal();
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
        let is_in_the_way = there.is_none() && self.service.client(self.destination.account).has_directories();
        let intent = || Intent::Blocks { of: self.service.named(&self.destination), ids: ids.origin() };
        let entry = is_in_the_way.then(|| self.service.journal.begin(intent()));
        if let Err(error) = self.stage_one(&first, 0..FIRST.min(self.source.size)).await {
            // Without an answer it may be there.
            if let Some(entry) = entry.filter(|_| error.status() != 0) {
                entry.end();
            }
            return Err(error);
        }
        Ok(Some(Admitted { ids, first, there, precondition, entry }))
    }

    async fn stage_one(&self, id: &BlockId, range: Range<u64>) -> Result<()> {
        let part = SourceRange { source: &self.request.source, range, if_match: Some(&self.source.etag) };
        let client = self.service.blob(&self.destination).block_blob();
        client.stage_block_from_url(id, &part, self.request.lease.as_ref()).await
    }

    /// The copy to its end; `None` if it comes to none and is to be done by Copy Blob, unless it is `Ordered`: it cannot be
    /// made in blocks. A `Trial` also if it turns out to be slower, or is stopped.
    pub(crate) async fn run(&self, job: &CopyJob, admitted: Admitted, wish: Wish) -> Option<Progress> {
        let (destination, id) = (&self.destination.path, &job.id);
        info!(%destination, source = %self.request.source, %id, "copied in blocks");
        let (began, trial) = (Instant::now(), wish == Wish::Trial);
        let made = match self.stage(job, &admitted, trial).await {
            Ok(Staged::All(blocks)) => self.commit(job, &admitted, &blocks).await,
            Ok(Staged::Stopped) if trial => return None,
            Ok(Staged::Stopped) => Err(failure(&job.destination, CopyFailure::Aborted { id: id.to_string() })),
            Ok(Staged::Behind) => {
                info!(%destination, %id, "slower in blocks than by Copy Blob");
                return None;
            }
            Err(error) => Err(error),
        };
        let is_over = |error: &Error| {
            // The service would refuse Copy Blob for that, too.
            matches!(error, Error::Copy { .. }) || error.is_of_another_source() || error.code().contains("Lease")
        };
        let is_for_copy_blob = match &made {
            Err(error) if !is_over(error) => {
                warn!(%destination, %id, %error, "it cannot be copied in blocks");
                if is_of_the_pair(error) {
                    self.note_refusal();
                }
                wish != Wish::Ordered
            }
            _ => false,
        };
        match &made {
            Ok(_) => admitted.entry.iter().for_each(Entry::end),
            Err(_) if admitted.there.is_none() => self.drop_blocks(admitted).await,
            Err(_) => {}
        }
        if is_for_copy_blob {
            return None;
        }
        Some(match made {
            Ok(properties) => {
                let (total, elapsed) = (self.source.size, began.elapsed());
                self.note(Method::Blocks, Measure { total, copied: total, elapsed });
                info!(%destination, %id, "copy done");
                Progress::Success(properties)
            }
            Err(error) => Progress::Failed(failed_at_source(job, error)),
        })
    }

    /// Takes away the blocks of a name that has no blob, as [`drop_blocks`] does. Not where the container would keep the
    /// empty blob that this takes, or may not be asked whether it does: there they are gone after a week.
    ///
    /// [`drop_blocks`]: crate::store::BlockBlobClient::drop_blocks
    async fn drop_blocks(&self, Admitted { ids, entry, .. }: Admitted) {
        let Blob { account, path } = &self.destination;
        let dropped = async {
            let container = self.service.client(*account).container(&path.container);
            // Of a service that does not answer it is not even asked for long; what is begun is done to its end.
            let keeping = match tokio::time::timeout(ADMISSION, container.properties()).await {
                Ok(found) => found?.keeping,
                Err(_) => Keeping::Blobs,
            };
            if keeping != Keeping::Nothing {
                return Ok(false);
            }
            let origin = ids.origin();
            self.service.blob(&self.destination).block_blob().drop_blocks(|id| BlockIds::is_of(&origin, id)).await
        };
        match dropped.await {
            Ok(true) => entry.iter().for_each(Entry::end),
            Ok(false) => {
                debug!(blob = %path, "blocks of a copy that came to nothing stay: they are not alone, or the container keeps what is made")
            }
            Err(error) => debug!(blob = %path, %error, "blocks of a copy that came to nothing are left"),
        }
    }

    /// Stages all blocks but the first. Of a new name nothing is on its way when it returns, unless that takes too long.
    async fn stage(&self, job: &CopyJob, admitted: &Admitted, trial: bool) -> Result<Staged> {
        let ranges = ranges(self.source.size);
        let underway: u64 = ranges.iter().take(AT_ONCE).map(|range| range.end - range.start).sum();
        let first = FIRST.min(self.source.size);
        let (copied, began) = (&AtomicU64::new(first), Instant::now());
        job.publish(Progress::Pending(first));
        let (halt, failed) = (&CancellationToken::new(), &Mutex::new(None));
        let work = ranges.into_iter().enumerate().skip(1).map(|(number, range)| async move {
            let slot = tokio::select! {
                biased;
                () = halt.cancelled() => return None,
                slot = self.slots.acquire() => slot,
            };
            let len = range.end - range.start;
            let staged = async {
                let id = admitted.ids.next()?;
                self.stage_one(&id, range).await?;
                Ok::<_, Error>(id)
            };
            let staged = staged.await;
            drop(slot);
            match staged {
                Ok(id) => {
                    job.publish(Progress::Pending(copied.fetch_add(len, Ordering::Relaxed) + len));
                    Some((number, BlockRef::Uncommitted(id)))
                }
                Err(error) => {
                    lock(failed).get_or_insert(error);
                    halt.cancel();
                    None
                }
            }
        });
        let all = futures_util::stream::iter(work).buffer_unordered(AT_ONCE).collect::<Vec<_>>();
        let (mut all, mut staged) = (std::pin::pin!(all), Vec::new());
        let why = tokio::select! {
            blocks = &mut all => {
                staged = blocks;
                Halt::Done
            }
            () = halt.cancelled() => Halt::Failed,
            () = job.stopped.cancelled() => Halt::Stopped,
            () = self.falls_behind(copied, (first, underway), began), if trial => Halt::Behind,
        };
        if !matches!(why, Halt::Done) {
            halt.cancel();
            if admitted.there.is_none() {
                let _ = tokio::time::timeout(LAST, &mut all).await;
            }
        }
        match (lock(failed).take(), why) {
            (_, Halt::Stopped) => return Ok(Staged::Stopped),
            (_, Halt::Behind) => return Ok(Staged::Behind),
            (Some(error), _) => return Err(error),
            (None, Halt::Done) => {}
            (None, Halt::Failed) => return Err(Error::fs(libc::EIO, "not all blocks were made")),
        }
        let mut blocks: Vec<_> = staged.into_iter().flatten().collect();
        blocks.push((0, BlockRef::Uncommitted(admitted.first.clone())));
        blocks.sort_by_key(|(number, _)| *number);
        Ok(Staged::All(blocks.into_iter().map(|(_, block)| block).collect()))
    }

    /// Returns when Copy Blob is seen to have been faster. Of the `first` bytes the time is not known.
    async fn falls_behind(&self, copied: &AtomicU64, (first, underway): (u64, u64), began: Instant) {
        loop {
            tokio::time::sleep(LOOK).await;
            let copied = copied.load(Ordering::Relaxed) - first;
            let seen = Measure { total: self.source.size, copied, elapsed: began.elapsed() };
            if self.rates.is_behind(self.pair, seen, underway, Instant::now()) {
                self.note(Method::Blocks, seen);
                return;
            }
        }
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
