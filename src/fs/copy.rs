//! Whole copies, run by the service.
//!
//! A copy is started by Copy Blob and is done when the destination shows *our* copy id with status `success` (X16); nothing else
//! counts as done. Usually the service answers `success` at once. Otherwise a [`CopyJob`] exists: one task polls the destination and
//! everybody who waits looks at what it last saw.
//!
//! Before the end of a job is told to anybody, what belongs to it is settled: its part in the lease of the source (`lease.rs`), and
//! what it replaced, which comes back or is let go (`keep.rs`).
//!
//! What Copy Blob cannot read is fetched by other operations (`synchronous`). How cp asks for a copy is in `slices`, and what becomes of a
//! copy of which not all was asked for in `granted`; what is not a whole copy is a copy of a range, and goes into the destination's rope
//! (`range.rs`).

mod granted;
mod slices;
mod synchronous;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tracing::{debug, info, warn};

use crate::error::{CopyFailure, Error, Result};
use crate::fs::Fs;
use crate::fs::caller::Caller;
use crate::fs::keep::{Kept, Mark};
use crate::fs::lease::{LeaseSource, SourceLease, Use};
use crate::fs::tree::Blob;
use crate::store::{
    BlobProperties, BlobType, CopyId, CopyRequest, CopySource, CopyStarted, CopyState, CopyStatus, LeaseId,
    LeaseProperties, Metadata, Precondition, Revision, Tags,
};

/// Longest wait inside one `copy_file_range`, and between two looks for a pending signal.
pub const SLICE: Duration = Duration::from_millis(200);
/// Polls of a pending copy: from the first wait to the longest, doubling.
const FIRST_POLL: Duration = Duration::from_millis(100);
const LONGEST_POLL: Duration = Duration::from_secs(2);
/// Between polls when nobody has waited for a while.
const IDLE_POLL: Duration = Duration::from_secs(10);
/// A job that cannot be polled for this long, the client's own retries aside, is given up: its end is unknown, which is not success.
const BLIND: Duration = Duration::from_secs(30);
/// Longest wait for the sight of an end that is known.
const SEEN: Duration = Duration::from_secs(2);
/// Longest that somebody who aborted a copy waits for what was there before.
const BROUGHT_BACK: Duration = Duration::from_secs(10);
/// How long the service may read another account's source: a pending copy reads it to its end.
pub(super) const SOURCE_SAS: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a poll saw last.
#[derive(Debug, Clone)]
pub enum Progress {
    /// Bytes copied.
    Pending(u64),
    Success(Arc<BlobProperties>),
    Failed(Error),
}

/// A copy that the service runs, started by this mount.
pub struct CopyJob {
    pub destination: Blob,
    pub id: CopyId,
    /// Size of the source, bytes.
    pub total: u64,
    progress: watch::Sender<Progress>,
    /// Somebody waited at this moment.
    waited: Mutex<Instant>,
    /// Somebody waits again: the next poll need not be so far off.
    wanted: Notify,
    /// Started by somebody else: it is polled only as long as somebody here waits for it.
    adopted: bool,
    /// What fetches it, where the service keeps no state of a copy.
    work: OnceLock<AbortHandle>,
    /// Of the destination, as the caller gave it: an abort needs it, too (X5).
    lease: Option<LeaseId>,
    /// What comes back if the copy is no success (C52), unless somebody takes it out before.
    kept: Mutex<Option<Kept>>,
}

impl CopyJob {
    fn new(destination: Blob, id: CopyId, total: u64, progress: Progress) -> Self {
        Self {
            destination,
            id,
            total,
            progress: watch::Sender::new(progress),
            waited: Mutex::new(Instant::now()),
            wanted: Notify::new(),
            adopted: false,
            work: OnceLock::new(),
            lease: None,
            kept: Mutex::default(),
        }
    }

    fn work_is(&self, work: AbortHandle) {
        // It is said once.
        let _ = self.work.set(work);
    }

    /// The service keeps no state of it: it can only be waited for here.
    pub(super) fn is_only_here(&self) -> bool {
        self.work.get().is_some()
    }

    /// Stops a copy that is only here: it has ended for all who wait.
    fn stop(&self) {
        let Some(work) = self.work.get() else { return };
        work.abort();
        let stopped = failure(&self.destination, CopyFailure::Aborted { id: self.id.to_string() });
        self.progress.send_if_modified(|progress| {
            let pending = matches!(progress, Progress::Pending(_));
            if pending {
                *progress = Progress::Failed(stopped);
            }
            pending
        });
    }

    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Waits for news, at most one slice.
    pub(super) async fn slice(&self) -> Progress {
        if !self.somebody_waits() {
            self.wanted.notify_one();
        }
        *self.waited.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let mut progress = self.progress.subscribe();
        if matches!(*progress.borrow_and_update(), Progress::Pending(_)) {
            let _ = tokio::time::timeout(SLICE, progress.changed()).await;
        }
        self.progress()
    }

    /// Somebody knows that it has ended, or will in a moment: it is looked at now.
    pub(super) fn hurry(&self) {
        *self.waited.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.wanted.notify_one();
    }

    pub(super) fn keeps(&self) -> bool {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// What is to come back after all, if the copy is no success.
    fn keep(&self, kept: Option<Kept>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }

    /// Whoever deletes the destination needs nothing brought back.
    pub(super) fn take_kept(&self) -> Option<Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Returns when the copy has ended, however it did.
    pub async fn ended(&self) {
        while matches!(self.slice().await, Progress::Pending(_)) {}
    }

    /// The copy has been put an end to: returns when that is seen, and the source not leased any more.
    pub(super) async fn over(&self) {
        self.hurry();
        let _ = tokio::time::timeout(SEEN, self.ended()).await;
    }

    fn somebody_waits(&self) -> bool {
        self.waited.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < LONGEST_POLL
    }
}

/// What is done about source and destination besides copying.
#[derive(Default, Clone)]
pub struct Care {
    /// The source, if it is a blob as it is now in one of the mount's accounts: it can be leased.
    pub source: Option<Blob>,
    /// When that is done; as the mount does otherwise.
    pub lease_source: Option<LeaseSource>,
    /// What is replaced, if the caller knows.
    pub there: Option<Arc<BlobProperties>>,
    /// The caller's lease of the destination (X5).
    pub lease: Option<LeaseId>,
    /// What comes back if the copy is no success, and is let go if it is.
    pub kept: Option<Kept>,
    pub caller: Option<Caller>,
}

/// A copy to start.
#[derive(Clone)]
pub struct Start {
    pub source: CopySource,
    /// The version of the source that the caller saw; unknown for a URL outside the mount.
    pub version: Option<Arc<BlobProperties>>,
    pub destination: Blob,
    pub precondition: Precondition,
    /// `None`: the source's.
    pub metadata: Option<Metadata>,
    pub tier: Option<String>,
    pub tags: Tags,
    /// Of an append blob; `None` for all others, and for what is not known.
    pub seal: Option<bool>,
    pub care: Care,
}

impl Fs {
    /// A URL by which `destination`'s account can read `source`, as it is or was.
    pub(super) async fn source_url(
        &self,
        source: &Blob,
        revision: Option<&Revision>,
        destination: &Blob,
    ) -> Result<CopySource> {
        let reader = self.client(destination.account);
        self.client(source.account).copy_source(&source.path, revision, reader, SOURCE_SAS).await
    }

    /// Copy Blob. The job is done at once when the service says so, and polled otherwise.
    pub(super) async fn start_copy(self: &Arc<Self>, start: Start) -> Result<Arc<CopyJob>> {
        let kept = start.care.kept.clone();
        match self.start_with_care(start).await {
            Ok(job) => Ok(job),
            Err(error) => {
                if let Some(kept) = kept {
                    self.never_started(&kept, &error).await;
                }
                Err(error)
            }
        }
    }

    async fn start_with_care(self: &Arc<Self>, start: Start) -> Result<Arc<CopyJob>> {
        let Start { source, version, destination, precondition, metadata, tier, tags, seal, care } = start;
        let client = self.client(destination.account);
        let request = CopyRequest {
            source,
            source_if_match: version.as_ref().map(|version| version.etag.clone()),
            precondition,
            metadata,
            tier,
            tags,
            seal,
            lease: care.lease.clone(),
        };
        // A finite lease forbids it (X5), also one of our own.
        self.leases.give_up(&destination).await;
        let policy = care.lease_source.unwrap_or(self.config.lease_source);
        let early = match policy {
            LeaseSource::Always => self.lease_source(&care, version.as_deref(), &destination, None).await,
            LeaseSource::Pending | LeaseSource::Never => None,
        };
        if request.source.is_read_by_token() {
            return self.copy_synchronously(destination, request, version, care, early).await;
        }
        let mut started = match client.copy_blob(&destination.path, &request).await {
            Ok(started) => started,
            Err(error) if synchronous::may_be_read_otherwise(&request.source, version.is_some(), &error) => {
                debug!(%error, "trying the operations that read any URL");
                return self.copy_synchronously(destination, request, version, care, early).await;
            }
            Err(error) => {
                if let Some(lease) = early {
                    lease.release().await;
                }
                self.explain_lease(&destination, &error).await;
                return Err(error);
            }
        };
        info!(destination = %destination.path, source = %request.source, id = %started.id,
              status = started.status.as_str(), "copy started");
        let progress = match (started.found.take(), &version, started.status) {
            // What the service was seen to have is worth more than what it should have.
            (Some(found), _, _) => look(&destination, &started.id, *found),
            (None, Some(source), CopyStatus::Success) => {
                let tier = tier_of_copy(source, &request, &care, &destination);
                Progress::Success(copied(source, &started, request, tier))
            }
            // All else is seen at the destination, also how long a source outside the mount is.
            (None, None, _) => match client.blob_properties(&destination.path, None).await {
                Ok(found) => look(&destination, &started.id, found),
                // It is under way all the same; whoever polls it looks again.
                Err(error) => {
                    debug!(destination = %destination.path, %error, "cannot see how a copy is doing");
                    Progress::Pending(0)
                }
            },
            (None, Some(_), _) => Progress::Pending(0),
        };
        let total = match (&version, &progress) {
            (Some(source), _) => source.size,
            (None, Progress::Success(properties)) => properties.size,
            (None, _) => 0,
        };
        let pending = matches!(progress, Progress::Pending(_));
        let job = Arc::new(CopyJob {
            lease: care.lease.clone(),
            kept: Mutex::new(care.kept.clone()),
            ..CopyJob::new(destination, started.id, total, progress.clone())
        });
        if pending {
            self.jobs.add(&job);
            let (fs, job) = (self.clone(), job.clone());
            tokio::spawn(async move {
                let lease = match early {
                    None if policy == LeaseSource::Pending => {
                        fs.lease_source(&care, version.as_deref(), &job.destination, Some(&job.id)).await
                    }
                    early => early,
                };
                fs.poll(job, lease).await;
            });
        } else {
            self.wind_up(&job, early, &progress).await;
        }
        Ok(job)
    }

    /// C40 to C43.
    async fn lease_source(
        &self,
        care: &Care,
        version: Option<&BlobProperties>,
        destination: &Blob,
        id: Option<&CopyId>,
    ) -> Option<SourceLease> {
        let source = care.source.as_ref()?;
        let client = self.client(source.account);
        let etag = version.map(|version| &version.etag);
        let copy = Use { destination: destination.clone(), id: id.cloned(), caller: care.caller };
        self.leases.take(client, source, etag, copy).await
    }

    /// What is left to do when a copy has ended, before anybody hears of it: whoever does may go on to delete the source.
    async fn wind_up(self: &Arc<Self>, job: &CopyJob, lease: Option<SourceLease>, progress: &Progress) {
        if let Some(lease) = lease {
            lease.release().await;
        }
        match (job.take_kept(), progress) {
            (Some(kept), Progress::Success(_)) => self.let_kept_go(&kept).await,
            (Some(kept), _) => self.bring_back(kept, Mark::Copy(job.id.clone())).await,
            (None, _) => {}
        }
    }

    /// A job for a pending copy that was started elsewhere; `None` if it is over.
    pub(super) fn adopt(self: &Arc<Self>, destination: Blob, copy: &CopyState) -> Option<Arc<CopyJob>> {
        if copy.status != CopyStatus::Pending {
            return None;
        }
        let progress = Progress::Pending(copy.bytes_copied);
        let job = Arc::new(CopyJob {
            adopted: true,
            ..CopyJob::new(destination, copy.id.clone(), copy.total_bytes, progress)
        });
        self.jobs.add(&job);
        tokio::spawn(self.clone().poll(job.clone(), None));
        Some(job)
    }

    /// Looks at the destination until our copy has ended, for all who wait.
    async fn poll(self: Arc<Self>, job: Arc<CopyJob>, lease: Option<SourceLease>) {
        let client = self.client(job.destination.account);
        let mut pause = FIRST_POLL;
        let mut blind_since = None;
        loop {
            let until_next = if job.somebody_waits() { pause } else { pause.max(IDLE_POLL.min(pause * 2)) };
            tokio::select! {
                () = tokio::time::sleep(until_next) => {}
                () = job.wanted.notified() => pause = FIRST_POLL,
            }
            if job.adopted && Arc::strong_count(&job) == 1 {
                return;
            }
            pause = if job.somebody_waits() { (pause * 2).min(LONGEST_POLL) } else { (pause * 2).min(IDLE_POLL) };
            let progress = match client.blob_properties(&job.destination.path, None).await {
                Ok(properties) => {
                    blind_since = None;
                    look(&job.destination, &job.id, properties)
                }
                Err(error) if error.is_not_found() => {
                    Progress::Failed(failure(&job.destination, CopyFailure::Replaced { id: job.id.to_string() }))
                }
                Err(error) => {
                    let since = *blind_since.get_or_insert_with(Instant::now);
                    warn!(destination = %job.destination.path, id = %job.id, %error, "cannot see how a copy is doing");
                    // A refusal stays one; an outage may pass.
                    let refused = (400..500).contains(&error.status());
                    if refused || since.elapsed() >= BLIND { Progress::Failed(error) } else { job.progress() }
                }
            };
            let ended = match &progress {
                Progress::Pending(_) => false,
                Progress::Success(_) => {
                    info!(destination = %job.destination.path, id = %job.id, "copy done");
                    true
                }
                Progress::Failed(error) => {
                    warn!(%error, "copy ended without success");
                    true
                }
            };
            if ended {
                self.wind_up(&job, lease, &progress).await;
                job.progress.send_replace(progress);
                return;
            }
            job.progress.send_replace(progress);
        }
    }

    /// Waits for the job's end. A caller with a pending signal is let go with EINTR; the copy goes on.
    pub(super) async fn wait_for_copy(&self, job: &CopyJob, caller: Caller) -> Result<Arc<BlobProperties>> {
        loop {
            match job.slice().await {
                Progress::Success(properties) => return Ok(properties),
                Progress::Failed(error) => return Err(error),
                Progress::Pending(_) if caller.interrupted() => {
                    return Err(Error::fs(libc::EINTR, "interrupted while a copy was pending"));
                }
                Progress::Pending(_) => {}
            }
        }
    }

    /// Aborts the pending copy onto `blob` (M7): whichever it is, or only `id`. ENODATA when none is pending, ESTALE when it is
    /// another one.
    pub(super) async fn abort_copy(&self, blob: &Blob, id: Option<&CopyId>) -> Result<()> {
        let client = self.client(blob.account);
        // C54: look first, and abort only what is pending. C55: with the id that is there, or the caller's.
        let state = client.blob_properties(&blob.path, None).await?.copy;
        let none = || Error::fs(libc::ENODATA, format!("{}: no copy is pending", blob.path));
        let Some(state) = state.filter(|state| state.status == CopyStatus::Pending) else { return Err(none()) };
        if id.is_some_and(|id| *id != state.id) {
            return Err(Error::fs(libc::ESTALE, format!("{}: another copy is pending: {}", blob.path, state.id)));
        }
        let job = self.jobs.of(blob).filter(|job| job.id == state.id);
        let lease = job.as_ref().and_then(|job| job.lease.as_ref());
        match client.abort_copy(&blob.path, &state.id, lease).await {
            Ok(()) => {
                info!(destination = %blob.path, id = %state.id, "copy has been aborted");
                if let Some(job) = job {
                    job.hurry();
                    if job.keeps() {
                        // What was there before is there again when the caller is told.
                        let _ = tokio::time::timeout(BROUGHT_BACK, job.ended()).await;
                    }
                }
                Ok(())
            }
            // X12: it ended while we asked.
            Err(error) if error.code() == "NoPendingCopyOperation" => {
                let now = client.blob_properties(&blob.path, None).await?.copy;
                match now {
                    Some(now) if now.id == state.id && now.status == CopyStatus::Aborted => Ok(()),
                    _ => Err(none()),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Says in the log who holds what, when a copy is refused for a lease of its destination (X5, X6).
    async fn explain_lease(&self, destination: &Blob, error: &Error) {
        if !error.code().contains("Lease") {
            return;
        }
        match self.lease_of(destination).await {
            Ok(lease) => warn!(destination = %destination.path, lease = %lease, "not copied onto it, for its lease"),
            Err(error) => debug!(destination = %destination.path, %error, "nothing is known of its lease"),
        }
    }
}

/// What the destination's properties say of our copy (X16).
pub(super) fn look(destination: &Blob, id: &CopyId, properties: BlobProperties) -> Progress {
    match &properties.copy {
        Some(state) if state.id == *id => match state.status {
            CopyStatus::Pending => Progress::Pending(state.bytes_copied),
            CopyStatus::Success => Progress::Success(Arc::new(properties)),
            CopyStatus::Aborted => Progress::Failed(failure(destination, CopyFailure::Aborted { id: id.to_string() })),
            CopyStatus::Failed => {
                let description = state.description.clone().unwrap_or_default();
                Progress::Failed(failure(destination, CopyFailure::Failed { id: id.to_string(), description }))
            }
        },
        _ => Progress::Failed(failure(destination, CopyFailure::Replaced { id: id.to_string() })),
    }
}

/// A copy cannot change the type of a blob (C7, C21). What the source is may be known to the service alone.
pub(super) fn types_differ(to: &Blob, is: BlobType, from: &impl std::fmt::Display, comes: Option<BlobType>) -> Error {
    let (to, is, comes) = (&to.path, is.as_str(), comes.map_or("blob of another type", BlobType::as_str));
    Error::fs(libc::EOPNOTSUPP, format!("{to} is a {is} and {from} gives a {comes}: a copy cannot change the type"))
}

fn failure(destination: &Blob, failure: CopyFailure) -> Error {
    Error::Copy { target: destination.path.to_string(), failure }
}

/// The tier of a finished copy, as far as it is known, and whether it is only the account's default. That of what is replaced stays, chosen
/// or not (S103); what is new gets the account's, which is what a blob of the account has for which nobody chose one.
fn tier_of_copy(
    source: &BlobProperties,
    request: &CopyRequest,
    care: &Care,
    destination: &Blob,
) -> (Option<String>, bool) {
    if request.tier.is_some() {
        return (request.tier.clone(), false);
    }
    let within_account = care.source.as_ref().is_some_and(|source| source.account == destination.account);
    match &care.there {
        Some(there) => (there.tier.clone(), there.tier_inferred),
        None if request.precondition == Precondition::IfAbsent && within_account && source.tier_inferred => {
            (source.tier.clone(), true)
        }
        None => (None, true),
    }
}

/// What the service would say of a finished copy of `source`: no request is needed to know it.
fn copied(
    source: &BlobProperties,
    started: &CopyStarted,
    request: CopyRequest,
    (tier, tier_inferred): (Option<String>, bool),
) -> Arc<BlobProperties> {
    Arc::new(BlobProperties {
        etag: started.etag.clone(),
        last_modified: started.last_modified,
        // Of others than block blobs it may be that of what was replaced (S29).
        creation_time: (source.blob_type == BlobType::Block).then_some(started.last_modified),
        metadata: request.metadata.unwrap_or_else(|| source.metadata.clone()),
        tier,
        tier_inferred,
        tag_count: request.tags.len() as u32,
        // None of these comes along (§13.2.4).
        archive_status: None,
        lease: LeaseProperties::default(),
        // By its id an append blob is known that another client copies onto later; nobody is shown it from here.
        copy: Some(CopyState {
            id: started.id.clone(),
            status: CopyStatus::Success,
            source: None,
            bytes_copied: source.size,
            total_bytes: source.size,
            completion_time: None,
            description: None,
        }),
        sealed: request.seal.unwrap_or(source.sealed),
        version_id: None,
        is_current_version: false,
        ..source.clone()
    })
}
