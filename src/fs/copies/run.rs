//! Whole copies, run by the service.
//!
//! A copy is started by Copy Blob and is done when the destination shows *our* copy id with status `success` (X16);
//! nothing else counts as done. Usually the service answers `success` at once. Otherwise a [`CopyJob`] exists: one task
//! polls the destination and everybody who waits looks at what it last saw.
//!
//! Before the end of a job is told to anybody, what belongs to it is settled: its part in the lease of the source
//! (`lease`), and what it replaced, which comes back or is let go (`restore`). What Copy Blob cannot read is fetched by
//! other operations (`synchronous`).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::error::{CopyFailure, Error, Result};
use crate::fs::background::BackgroundTasks;
use crate::fs::caller::Caller;
use crate::fs::config::Config;
use crate::fs::copies::job::{CopyJob, LONGEST_POLL, Progress, failure, is_abort, look};
use crate::fs::copies::jobs::Jobs;
use crate::fs::copies::lease::{LeaseReport, SourceLeases};
use crate::fs::copies::method::Rates;
use crate::fs::copies::spec::{CopyOptions, CopySpec};
use crate::fs::names::attr::Ino;
use crate::fs::names::cache::Names;
use crate::fs::names::open::OpenNodes;
use crate::fs::names::tree::{Blob, Tree};
use crate::fs::service::Service;
use crate::store::{
    AbortOptions, BlobProperties, BlobType, Client, CopyId, CopyRequest, CopySource, CopyStarted, CopyState,
    CopyStatus, LeaseProperties, Precondition,
};

/// Copies that the service runs for this mount, with the leases of their sources and what they replace.
pub(in crate::fs) struct Copies {
    pub(crate) service: Arc<Service>,
    pub(crate) config: Arc<Config>,
    pub(crate) tree: Arc<Tree>,
    pub(crate) open: Arc<dyn OpenNodes>,
    pub(crate) jobs: Jobs,
    pub(crate) leases: Arc<SourceLeases>,
    pub(crate) background: BackgroundTasks,
    pub(crate) rates: Arc<Rates>,
    pub(crate) block_slots: Arc<Semaphore>,
    /// The mount ends: nothing is begun that needs it.
    pub(crate) ending: AtomicBool,
}

/// Requests at once for all copies in blocks. No byte of them comes here, so it is the service that bounds them: it
/// answers each at some 60 MiB/s, and what one account takes in is several GiB/s.
pub(in crate::fs) const BLOCKS_AT_ONCE: usize = 32;

impl Copies {
    pub(crate) fn new(names: &Names) -> Self {
        let (service, config, tree) = (names.service.clone(), names.config.clone(), names.tree.clone());
        let background = BackgroundTasks::default();
        let leases = Arc::new(SourceLeases::new(&background, Some(service.journal.clone())));
        let (rates, block_slots) = (Arc::default(), Arc::new(Semaphore::new(BLOCKS_AT_ONCE)));
        let (open, jobs) = (names.open.clone(), Jobs::default());
        let ending = AtomicBool::new(false);
        Self { service, config, tree, open, jobs, leases, background, rates, block_slots, ending }
    }
}

/// Polls of a pending copy: from the first wait to the longest, doubling.
const FIRST_POLL: Duration = Duration::from_millis(100);

/// Between polls when nobody has waited for a while.
const IDLE_POLL: Duration = Duration::from_secs(10);

/// A job that cannot be polled for this long, the client's own retries aside, is given up: its end is unknown, which is
/// not success.
const BLIND: Duration = Duration::from_secs(30);

/// Longest that somebody who aborted a copy waits for what was there before.
const BROUGHT_BACK: Duration = Duration::from_secs(10);

/// The result of a Copy Blob.
pub(in crate::fs) enum Begun {
    /// The service has accepted it.
    Accepted(CopyId, Progress),
    /// Copy Blob does not read this source; other operations may.
    Unreadable,
}

/// Bytes of the source, as far as they are known.
pub(crate) fn total_of(version: Option<&BlobProperties>, progress: &Progress) -> u64 {
    match (version, progress) {
        (Some(source), _) => source.size,
        (None, Progress::Success(properties)) => properties.size,
        (None, _) => 0,
    }
}

/// The tier of a finished copy, as far as it is known, and whether it is only the account's default. That of what is
/// replaced stays, chosen or not (S103); what is new gets the account's, which is what a blob of the account has for
/// which nobody chose one.
fn tier_of_copy(
    source: &BlobProperties,
    request: &CopyRequest,
    options: &CopyOptions,
    destination: &Blob,
) -> (Option<String>, bool) {
    if request.tier.is_some() {
        return (request.tier.clone(), false);
    }
    let within_account = options.source.as_ref().is_some_and(|source| source.account == destination.account);
    match &options.replaced {
        Some(replaced) => (replaced.tier.clone(), replaced.tier_inferred),
        None if request.precondition == Precondition::IfAbsent && within_account && source.tier_inferred => {
            (source.tier.clone(), true)
        }
        None => (None, true),
    }
}

/// The properties of a finished copy of `source`: no request is needed to know them.
fn copied(
    source: &BlobProperties,
    started: &CopyStarted,
    request: &CopyRequest,
    (tier, tier_inferred): (Option<String>, bool),
) -> Arc<BlobProperties> {
    Arc::new(BlobProperties {
        etag: started.etag.clone(),
        last_modified: started.last_modified,
        // Of others than block blobs it may be that of what was replaced (S29).
        creation_time: (source.blob_type == BlobType::Block).then_some(started.last_modified),
        metadata: request.metadata.as_ref().unwrap_or(&source.metadata).clone(),
        tier,
        tier_inferred,
        tag_count: request.tags.len() as u32,
        // None of these comes along (§13.2.4).
        archive_status: None,
        rehydrate_priority: None,
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
            in_blocks: false,
        }),
        sealed: request.seal.unwrap_or(source.sealed),
        version_id: None,
        is_current_version: false,
        path: None,
        protection: Default::default(),
        ..source.clone()
    })
}

/// Copy Blob could not read the source, and another operation may. For our `own` blobs we have given it the means, so
/// that its word counts.
fn may_be_read_otherwise(source: &CopySource, own: bool, error: &Error) -> bool {
    match error.code() {
        _ if own => false,
        "CannotVerifyCopySource" => !source.is_azure_storage(),
        "CopyAcrossAccountsNotSupported" => true,
        _ => false,
    }
}

/// The progress of a copy that was just accepted, `found` if the service was seen to have it.
async fn first_progress(
    client: &Client,
    destination: &Blob,
    request: &CopyRequest,
    (started, found): (&CopyStarted, Option<Box<BlobProperties>>),
    version: Option<&BlobProperties>,
    options: &CopyOptions,
) -> Progress {
    match (found, version, started.status) {
        // What the service was seen to have is worth more than what it should have.
        (Some(found), _, _) => look(destination, &started.id, *found),
        (None, Some(source), CopyStatus::Success) => {
            let tier = tier_of_copy(source, request, options, destination);
            Progress::Success(copied(source, started, request, tier))
        }
        // All else is seen at the destination, also how long a source outside the mount is.
        (None, None, _) => match client.blob(&destination.path).properties().await {
            Ok(found) => look(destination, &started.id, found),
            // It is under way all the same; whoever polls it looks again.
            Err(error) => {
                debug!(destination = %destination.path, %error, "cannot see how a copy is doing");
                Progress::Pending(0)
            }
        },
        (None, Some(_), _) => Progress::Pending(0),
    }
}

impl Copies {
    /// Aborts the pending copy onto a file (M7); only `id` if given.
    pub(crate) async fn abort(&self, ino: Ino, id: Option<&CopyId>) -> Result<()> {
        let blob = self.tree.blob(ino)?;
        self.abort_copy(&blob, id).await?;
        self.tree.invalidate(ino);
        Ok(())
    }

    /// A copy to its end, with neither lease nor backup: what brings a backup back stands on this.
    pub(crate) async fn run_copy(&self, spec: CopySpec) -> Result<Arc<BlobProperties>> {
        let (destination, version) = (spec.destination.clone(), spec.version.clone());
        let (request, options) = spec.into_request();
        let progress = match self.begin(&destination, &request, version.as_deref(), &options).await? {
            Begun::Unreadable => return self.fetch_whole(&destination, request, version).await,
            Begun::Accepted(id, progress @ Progress::Pending(_)) => {
                let total = total_of(version.as_deref(), &progress);
                let job = Arc::new(CopyJob { lease: options.lease, ..CopyJob::new(destination, id, total, progress) });
                self.jobs.add(&job);
                let followed = async {
                    if let Some(ended) = self.poll_to_the_end(&job, |_| false).await {
                        job.publish(ended);
                    }
                };
                tokio::join!(followed, job.ended());
                job.progress()
            }
            Begun::Accepted(_, progress) => progress,
        };
        match progress {
            Progress::Success(properties) => Ok(properties),
            Progress::Failed(error) => Err(error),
            Progress::Pending(_) => Err(Error::fs(libc::EIO, "a copy that has ended is pending")),
        }
    }

    /// Copy Blob, and what it has come to so far.
    pub(crate) async fn begin(
        &self,
        destination: &Blob,
        request: &CopyRequest,
        version: Option<&BlobProperties>,
        options: &CopyOptions,
    ) -> Result<Begun> {
        if request.source.is_read_by_token() {
            return Ok(Begun::Unreadable);
        }
        let client = self.service.client(destination.account);
        let mut started = match client.blob(&destination.path).start_copy(request).await {
            Ok(started) => started,
            Err(error) if may_be_read_otherwise(&request.source, version.is_some(), &error) => {
                debug!(%error, "trying the operations that read any URL");
                return Ok(Begun::Unreadable);
            }
            Err(error) => return Err(error),
        };
        info!(destination = %destination.path, source = %request.source, id = %started.id,
              status = started.status.as_str(), "copy started");
        let found = started.found.take();
        let progress = first_progress(client, destination, request, (&started, found), version, options).await;
        Ok(Begun::Accepted(started.id, progress))
    }

    /// Looks at the destination until our copy has ended: how. `None` when nobody waits any more for a copy that was
    /// started elsewhere, or one is left to the service. It is told as it is, pending, when `is_slow` says so of the bytes that are copied.
    pub(crate) async fn poll_to_the_end(
        &self,
        job: &Arc<CopyJob>,
        is_slow: impl Fn(u64) -> bool + Send,
    ) -> Option<Progress> {
        let mut pause = FIRST_POLL;
        let mut blind_since = None;
        let mut is_told = false;
        loop {
            let until_next = if job.somebody_waits() { pause } else { pause.max(IDLE_POLL.min(pause * 2)) };
            tokio::select! {
                () = tokio::time::sleep(until_next) => {}
                () = job.poll_now.notified() => pause = FIRST_POLL,
                // It was aborted while it was in blocks, and is not any more.
                () = job.stopped.cancelled(), if !is_told => {
                    if job.is_left() {
                        job.handed_over.cancel();
                        return None;
                    }
                    is_told = self.abort_at_service(job).await;
                    pause = FIRST_POLL;
                }
            }
            if job.foreign && Arc::strong_count(job) == 1 {
                return None;
            }
            pause = if job.somebody_waits() { (pause * 2).min(LONGEST_POLL) } else { (pause * 2).min(IDLE_POLL) };
            let progress = match self.service.blob(&job.destination).properties().await {
                Ok(properties) => {
                    blind_since = None;
                    look(&job.destination, &job.service_id(), properties)
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
            match &progress {
                Progress::Pending(copied) => {
                    let slow = is_slow(*copied);
                    job.publish(progress.clone());
                    if slow {
                        return Some(progress);
                    }
                }
                Progress::Success(_) => {
                    info!(destination = %job.destination.path, id = %job.id, "copy done");
                    return Some(progress);
                }
                Progress::Failed(error) => {
                    warn!(%error, "copy ended without success");
                    return Some(progress);
                }
            }
        }
    }

    /// Abort Copy Blob of a copy that nobody wants any more. False if it has to be tried again.
    async fn abort_at_service(&self, job: &CopyJob) -> bool {
        let options = AbortOptions { lease: job.lease.as_ref() };
        match self.service.blob(&job.destination).abort_copy(&job.service_id(), &options).await {
            Ok(()) => true,
            Err(error) => {
                debug!(destination = %job.destination.path, id = %job.id, %error, "cannot abort a copy");
                // A refusal is an answer, and how it has ended is seen next.
                let is_over = (400..500).contains(&error.status());
                if !is_over {
                    tokio::time::sleep(FIRST_POLL).await;
                }
                is_over
            }
        }
    }

    /// Waits for the job's end. A caller with a pending signal is let go with EINTR; the copy goes on.
    pub(crate) async fn wait_for_copy(&self, job: &CopyJob, caller: Caller) -> Result<Arc<BlobProperties>> {
        loop {
            match job.slice().await {
                Progress::Success(properties) => return Ok(properties),
                Progress::Failed(error) => return Err(error),
                Progress::Pending(_) if caller.interrupted() => {
                    return Err(Error::Interrupted { during: "a copy was pending" });
                }
                Progress::Pending(_) => {}
            }
        }
    }

    /// Aborts the pending copy onto `blob` (M7): whichever it is, or only `id`. ENODATA when none is pending, ESTALE
    /// when it is another one.
    pub(crate) async fn abort_copy(&self, blob: &Blob, id: Option<&CopyId>) -> Result<()> {
        if let Some(job) = self.jobs.pending(blob).filter(|job| job.is_in_blocks()) {
            return self.abort_blocks(&job, id).await;
        }
        let client = self.service.blob(blob);
        // C54: look first, and abort only what is pending. C55: with the id that is there, or the caller's.
        let state = client.properties().await?.copy;
        // Meanwhile it may have been given up for blocks, and goes on in them.
        let goes_on = || self.jobs.pending(blob).filter(|job| job.is_in_blocks());
        if let Some(job) = goes_on() {
            return self.abort_blocks(&job, id).await;
        }
        let none = || Error::NoPendingCopy { target: blob.path.to_string() };
        let Some(state) = state.filter(|state| state.status == CopyStatus::Pending) else { return Err(none()) };
        let job = self.jobs.of(blob).filter(|job| job.service_id() == state.id);
        if id.is_some_and(|id| *id != state.id && job.as_ref().is_none_or(|job| job.id != *id)) {
            return Err(Error::stale(format!("{}: another copy is pending: {}", blob.path, state.id)));
        }
        let lease = job.as_ref().and_then(|job| job.lease.as_ref());
        let aborted = client.abort_copy(&state.id, &AbortOptions { lease }).await;
        if let Some(job) = goes_on() {
            return self.abort_blocks(&job, id).await;
        }
        match aborted {
            Ok(()) => {
                info!(destination = %blob.path, id = %state.id, "copy has been aborted");
                if let Some(job) = job {
                    job.poll_now();
                    if job.has_backup() {
                        // What was there before is there again when the caller is told.
                        let _ = tokio::time::timeout(BROUGHT_BACK, job.ended()).await;
                    }
                }
                Ok(())
            }
            // X12: it ended while we asked.
            Err(error) if error.code() == "NoPendingCopyOperation" => {
                let now = client.properties().await?.copy;
                match now {
                    Some(now) if now.id == state.id && now.status == CopyStatus::Aborted => Ok(()),
                    _ => Err(none()),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// [`Copies::abort_copy`] of one in blocks: once they are being committed, it is too late.
    async fn abort_blocks(&self, job: &CopyJob, id: Option<&CopyId>) -> Result<()> {
        let path = &job.destination.path;
        if id.is_some_and(|id| *id != job.id) {
            return Err(Error::stale(format!("{path}: another copy is pending: {}", job.id)));
        }
        job.stopped.cancel();
        job.ended().await;
        match job.progress() {
            aborted if is_abort(&aborted) => {
                info!(destination = %path, id = %job.id, "copy has been aborted");
                Ok(())
            }
            _ => Err(Error::NoPendingCopy { target: path.to_string() }),
        }
    }

    /// Says in the log who holds what, when a copy is refused for a lease of its destination (X5, X6).
    pub(crate) async fn explain_lease(&self, destination: &Blob, error: &Error) {
        if !error.code().contains("Lease") {
            return;
        }
        match self.lease_of(destination).await {
            Ok(lease) => warn!(destination = %destination.path, lease = %lease, "not copied onto it, for its lease"),
            Err(error) => debug!(destination = %destination.path, %error, "nothing is known of its lease"),
        }
    }

    pub(crate) async fn lease_of(&self, blob: &Blob) -> Result<LeaseReport> {
        let lease = self.service.blob(blob).properties().await?.lease;
        let holder = match lease.state.as_deref() {
            Some("leased" | "breaking") => self.leases.holder(blob).unwrap_or_else(|| "another client".to_owned()),
            _ => String::new(),
        };
        Ok(LeaseReport {
            state: lease.state.unwrap_or_else(|| "available".to_owned()),
            duration: lease.duration.unwrap_or_default(),
            holder,
        })
    }
}
