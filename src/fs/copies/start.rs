//! Copies started with what belongs to them: a lease of the source, and what comes back if the copy is no success.
//!
//! Before the end of a job is told to anybody, what belongs to it is settled: its part in the lease of the source
//! (`lease`), and what it replaced, which comes back or is let go (`restore`). The copy itself is [`Copies::begin`] and
//! what follows (`run`), or goes in blocks (`blocks`), from its start or when a Copy Blob is too slow (`method`, `overtake`).

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Instant as StdInstant;

use tokio::time::Instant;
use tracing::{debug, warn};

use crate::error::{CopyFailure, Error, Result};
use crate::fs::copies::backup::{Backup, OwnWrite};
use crate::fs::copies::blocks::{Admitted, BlockCopy, Wish};
use crate::fs::copies::job::{CopyJob, Progress, failure, is_abort};
use crate::fs::copies::lease::{LeaseSource, LeasedCopy, SourceLease};
use crate::fs::copies::method::{CopyMethod, Measure, Method};
use crate::fs::copies::overtake::{Overtaking, take_up};
use crate::fs::copies::run::{Begun, Copies, total_of};
use crate::fs::copies::spec::{CopyOptions, CopySpec, Kept};
use crate::fs::names::attr::Ino;
use crate::fs::names::tree::{Blob, NodeProperties};
use crate::store::{BlobProperties, BlobType, CopyId, CopyRequest, CopyState, CopyStatus, ETag};

/// A copy that is being started.
struct Start {
    destination: Blob,
    request: CopyRequest,
    version: Option<Arc<BlobProperties>>,
    options: CopyOptions,
    /// The lease of its source, if it was to be taken before.
    lease: Option<SourceLease>,
}

impl Start {
    /// The copy in blocks, if it may be one, and whether it begins as one.
    fn in_blocks(&self, copies: &Copies) -> (Option<BlockCopy>, Method) {
        let Self { destination, request, version, options, .. } = self;
        let copy = || BlockCopy::of(copies, destination, request, version.as_ref(), options);
        match options.method.unwrap_or(copies.config.copy_method) {
            CopyMethod::Blob => (None, Method::Blob),
            CopyMethod::Blocks => (copy(), Method::Blocks),
            // Nobody would hear that it has ended with the mount.
            CopyMethod::Auto if !options.awaited => (None, Method::Blob),
            // What is archived takes neither blocks nor another Copy Blob (X21), and it is from the start.
            CopyMethod::Auto if request.tier.as_deref() == Some("Archive") => (None, Method::Blob),
            CopyMethod::Auto => {
                let copy = copy();
                let first = copy.as_ref().map_or(Method::Blob, BlockCopy::better);
                (copy, first)
            }
        }
    }

    /// It comes to nothing.
    async fn give_up(self) {
        if let Some(lease) = self.lease {
            lease.release().await;
        }
    }
}

/// The node of a destination that was seen on the way is the same file now that the content is there. False if what
/// is known of it is another version: whose it is has to be asked.
fn learn(copies: &Copies, ino: Ino, job: &CopyJob, left: Option<&ETag>, made: &Arc<BlobProperties>) -> bool {
    let Some(seen) = copies.tree.view(ino).ok().and_then(|view| view.properties().cloned()) else { return false };
    let is_ours = |copy: &CopyState| copy.id == job.id || copy.id == job.service_id();
    let is_on_the_way = seen.is_pending() && seen.copy.as_ref().is_some_and(is_ours);
    if !is_on_the_way && left != Some(&seen.etag) {
        return seen.etag == made.etag;
    }
    match copies.open.of_ino(ino) {
        // Whoever works on it asks anew.
        Some(file) if !file.record_restored(&seen.etag, made, &copies.tree) => return false,
        Some(_) => {}
        None => copies.tree.update_same_file(ino, NodeProperties::Blob(made.clone()), StdInstant::now()),
    }
    copies.tree.kernel().expire_file(ino);
    true
}

impl Copies {
    /// Starts a copy, with a lease of its source and what is to come back if it is no success. The job is done at once
    /// when the service says so, and followed otherwise.
    pub(crate) async fn start_copy(self: &Arc<Self>, spec: CopySpec) -> Result<Arc<CopyJob>> {
        let (destination, version) = (spec.destination.clone(), spec.version.clone());
        let (request, options) = spec.into_request();
        // A finite lease forbids it (X5), also one of our own.
        self.leases.release(&destination).await;
        let lease = match options.lease_source.unwrap_or(self.config.lease_source) {
            LeaseSource::Always => self.lease_source(&options, version.as_deref(), &destination, None).await,
            LeaseSource::Pending | LeaseSource::Never => None,
        };
        let start = Start { destination, request, version, options, lease };
        let (mut blocks, first) = start.in_blocks(self);
        if let Some(copy) = blocks.take_if(|_| first == Method::Blocks)
            && let Some(admitted) = copy.admit().await
        {
            let ordered = start.options.method.unwrap_or(self.config.copy_method) == CopyMethod::Blocks;
            let wish = if ordered { Wish::Ordered } else { Wish::Chosen };
            return Ok(self.start_blocks(copy, admitted, start, wish));
        }
        // It takes what is there at its start.
        let backup = match &start.options.kept {
            Some(Kept { ino, before }) => {
                match self.back_up((&start.destination, *ino), before, start.options.lease.clone()).await {
                    Ok(backup) => Some(backup),
                    Err(error) => {
                        start.give_up().await;
                        return Err(error);
                    }
                }
            }
            None => None,
        };
        let started = self.start_by_service(start, backup.clone(), blocks).await;
        if let (Err(error), Some(backup)) = (&started, backup) {
            self.never_started(&backup, error).await;
        }
        started
    }

    /// Copy Blob, or what can be done where that cannot read the source. `backup`: of what it replaces; `blocks`: it may
    /// be given up for those.
    async fn start_by_service(
        self: &Arc<Self>,
        start: Start,
        backup: Option<Backup>,
        blocks: Option<BlockCopy>,
    ) -> Result<Arc<CopyJob>> {
        let Start { destination, request, version, options, .. } = &start;
        let started = Instant::now();
        let begun = match self.begin(destination, request, version.as_deref(), options).await {
            Ok(begun) => begun,
            Err(error) => {
                let destination = destination.clone();
                start.give_up().await;
                self.explain_lease(&destination, &error).await;
                return Err(error);
            }
        };
        let Begun::Accepted(id, progress) = begun else { return self.copy_synchronously(start, backup).await };
        let Start { destination, request, version, options, lease } = start;
        let job = Arc::new(CopyJob {
            lease: options.lease.clone(),
            restores: backup.is_some(),
            backup: Mutex::new(backup),
            source: Some(request.source.to_string()),
            ..CopyJob::new(destination, id, total_of(version.as_deref(), &progress), progress.clone())
        });
        if !matches!(progress, Progress::Pending(_)) {
            self.finish(&job, lease, &progress).await;
            return Ok(job);
        }
        self.jobs.add(&job);
        let (copies, followed) = (self.clone(), job.clone());
        tokio::spawn(async move {
            let lease = copies.lease_pending(lease, &options, version.as_deref(), &followed).await;
            copies.poll_and_finish(&followed, lease, blocks.map(|copy| (copy, started))).await;
        });
        Ok(job)
    }

    /// The lease of the source of a copy that is pending, unless there is one already.
    async fn lease_pending(
        &self,
        early: Option<SourceLease>,
        options: &CopyOptions,
        version: Option<&BlobProperties>,
        job: &CopyJob,
    ) -> Option<SourceLease> {
        match options.lease_source.unwrap_or(self.config.lease_source) {
            LeaseSource::Pending if early.is_none() => {
                self.lease_source(options, version, &job.destination, Some(&job.id)).await
            }
            _ => early,
        }
    }

    /// C40 to C43.
    async fn lease_source(
        &self,
        options: &CopyOptions,
        version: Option<&BlobProperties>,
        destination: &Blob,
        id: Option<&CopyId>,
    ) -> Option<SourceLease> {
        let source = options.source.as_ref()?;
        let client = self.service.client(source.account);
        let etag = version.map(|version| &version.etag);
        let copy = LeasedCopy { destination: destination.clone(), id: id.cloned(), caller: options.caller };
        self.leases.acquire(client, source, etag, copy).await
    }

    /// Does what is left when a copy has ended, before anybody hears of it: whoever does may go on to delete the
    /// source.
    async fn finish(self: &Arc<Self>, job: &CopyJob, lease: Option<SourceLease>, progress: &Progress) {
        if let Some(lease) = lease {
            lease.release().await;
        }
        match (job.take_backup(), progress) {
            (Some(backup), Progress::Success(_)) => self.delete_backup(&backup).await,
            (Some(backup), _) => self.restore(backup, OwnWrite::Copy(job.service_id())).await,
            (None, _) => {}
        }
    }

    /// A job for a pending copy that was started elsewhere; `None` if it is over.
    pub(crate) fn follow_foreign(self: &Arc<Self>, destination: Blob, copy: &CopyState) -> Option<Arc<CopyJob>> {
        if copy.status != CopyStatus::Pending {
            return None;
        }
        let progress = Progress::Pending(copy.bytes_copied);
        let job = Arc::new(CopyJob {
            foreign: true,
            ..CopyJob::new(destination, copy.id.clone(), copy.total_bytes, progress)
        });
        self.jobs.add(&job);
        let (copies, followed) = (self.clone(), job.clone());
        tokio::spawn(async move { copies.poll_and_finish(&followed, None, None).await });
        Some(job)
    }

    /// Follows a copy for all who wait, to its end and what is left to do then. `blocks`: it may be given up for those;
    /// with the moment of its start.
    async fn poll_and_finish(
        self: &Arc<Self>,
        job: &Arc<CopyJob>,
        lease: Option<SourceLease>,
        blocks: Option<(BlockCopy, Instant)>,
    ) {
        let measure = |copied, started: Instant| Measure { total: job.total, copied, elapsed: started.elapsed() };
        let is_slow =
            |copied| blocks.as_ref().is_some_and(|(copy, started)| copy.is_overtaken(measure(copied, *started)));
        let mut left = None;
        let ended = match (self.poll_to_the_end(job, is_slow).await, &blocks) {
            (Some(Progress::Pending(copied)), Some((copy, started))) => {
                copy.note(Method::Blob, measure(copied, *started));
                Overtaking { copies: self, job, copy }.run(&mut left).await
            }
            (Some(ended), blocks) => {
                if let (Some((copy, started)), Progress::Success(_)) = (blocks, &ended) {
                    copy.note(Method::Blob, measure(job.total, *started));
                }
                Some(ended)
            }
            (None, _) => None,
        };
        if let Some(ended) = ended {
            self.finish(job, lease, &ended).await;
            let copied = blocks.as_ref().map(|(copy, _)| copy.source.etag.clone());
            self.record(job, &ended, left.clone(), copied);
            self.tell(job, left.as_ref(), ended);
        }
    }

    /// Tells all who wait how a job has ended; `left`: the version that its destination had without a copy that the service
    /// shows. What was heard of it meanwhile, such as that it is empty, is not believed afterwards, here and by the kernel.
    fn tell(&self, job: &CopyJob, left: Option<&ETag>, ended: Progress) {
        if let Some((dir, path)) = job.name.get() {
            let learnt = match (&ended, self.tree.below(*dir, path)) {
                (Progress::Success(made), Some(ino)) => learn(self, ino, job, left, made),
                _ => false,
            };
            if !learnt {
                self.tree.invalidate_path(*dir, path);
            }
        }
        job.publish(ended);
    }

    /// Remembers the end of a copy of which the service knows nothing, or not all; `left`: the version that is there if it
    /// was no success, `copied`: that of the source.
    fn record(&self, job: &CopyJob, ended: &Progress, left: Option<ETag>, copied: Option<ETag>) {
        // An abort, of blocks too, leaves what the service has of the Copy Blob that they took the place of.
        let is_shown = job.was_by_copy_blob() && !job.is_begun_anew() && is_abort(ended);
        if job.is_known_here() && !is_shown {
            let etag = match ended {
                Progress::Success(properties) => Some(properties.etag.clone()),
                Progress::Pending(_) | Progress::Failed(_) => left,
            };
            self.jobs.record(&job.destination, etag, copied, job.state(ended));
        }
    }

    /// A copy that is in blocks from its start. What it is to replace stays until its end.
    fn start_blocks(self: &Arc<Self>, copy: BlockCopy, admitted: Admitted, start: Start, wish: Wish) -> Arc<CopyJob> {
        let Start { options, lease, .. } = start;
        let id = CopyId::new(&uuid::Uuid::new_v4().to_string());
        let job = Arc::new(CopyJob {
            lease: options.lease.clone(),
            source: Some(copy.request.source.to_string()),
            by_copy_blob: false,
            makes_name: admitted.replaces().is_none(),
            in_blocks: true.into(),
            ..CopyJob::new(copy.destination.clone(), id, copy.source.size, Progress::Pending(0))
        });
        self.jobs.add(&job);
        let (copies, followed) = (self.clone(), job.clone());
        tokio::spawn(async move {
            let lease = copies.lease_pending(lease, &options, Some(&copy.source), &followed).await;
            let (replaces, copied) = (admitted.replaces(), copy.source.etag.clone());
            let ended = match copy.run(&followed, admitted, wish).await {
                Some(ended) => Some(ended),
                None => copies.copy_after_all(&followed, &copy, options.kept.as_ref()).await,
            };
            if let Some(ended) = ended {
                copies.finish(&followed, lease, &ended).await;
                copies.record(&followed, &ended, replaces, Some(copied));
                // Who has what it replaced open keeps that: it is another file.
                copies.tell(&followed, None, ended);
            }
        });
        job
    }

    /// Copy Blob of what cannot be had in blocks after all, which nobody has asked for. It takes what is there at its start.
    async fn copy_after_all(
        self: &Arc<Self>,
        job: &Arc<CopyJob>,
        copy: &BlockCopy,
        kept: Option<&Kept>,
    ) -> Option<Progress> {
        // Who ends the mount sees that, or is seen.
        job.hand_back();
        if job.stopped.is_cancelled() || self.ending.load(Ordering::SeqCst) {
            let aborted = failure(&job.destination, CopyFailure::Aborted { id: job.id.to_string() });
            return Some(Progress::Failed(aborted));
        }
        if let Some(Kept { ino, before }) = kept {
            match self.back_up((&job.destination, *ino), before, job.lease.clone()).await {
                Ok(backup) => job.set_backup(Some(backup)),
                Err(error) => return Some(Progress::Failed(error)),
            }
        }
        match take_up(self, job, copy).await {
            Ok(ended) => ended,
            Err(error) => {
                if let Some(backup) = job.take_backup() {
                    self.never_started(&backup, &error).await;
                }
                Some(Progress::Failed(error))
            }
        }
    }

    /// Copies by the operations that read any URL, if the source is none of our blobs or a block blob. A copy that ends
    /// with less than the whole leaves the destination as it was.
    async fn copy_synchronously(self: &Arc<Self>, start: Start, backup: Option<Backup>) -> Result<Arc<CopyJob>> {
        if let Some(version) = start.version.as_ref().filter(|version| version.blob_type != BlobType::Block) {
            // What is fetched becomes a block blob, whatever it was.
            let (kind, source) = (version.blob_type.as_str(), &start.request.source);
            let what = format!("{source} is a {kind}, which the service can only read for a copy by a SAS");
            start.give_up().await;
            return Err(Error::OtherType { what });
        }
        let Start { destination, request, version, options, lease } = start;
        let total = version.as_ref().map_or(0, |version| version.size);
        let job = Arc::new(CopyJob {
            lease: options.lease,
            backup: Mutex::new(backup),
            ..CopyJob::new(destination, CopyId::new(""), total, Progress::Pending(0))
        });
        let work = {
            let (copies, job) = (self.clone(), job.clone());
            tokio::spawn(async move {
                let ended = copies.fetch_whole(&job.destination, request, version).await;
                if let Some(lease) = lease {
                    lease.release().await;
                }
                let ended = match ended {
                    Ok(properties) => {
                        if let Some(backup) = job.take_backup() {
                            copies.delete_backup(&backup).await;
                        }
                        Progress::Success(properties)
                    }
                    Err(error) => {
                        warn!(%error, "copy ended without success");
                        if let Some(backup) = job.take_backup() {
                            copies.never_started(&backup, &error).await;
                        }
                        Progress::Failed(error)
                    }
                };
                job.publish(ended);
            })
        };
        job.set_work(work.abort_handle());
        Ok(job)
    }

    /// Gives up a copy that is only here. What it was to replace is still there, unless the service was done already.
    pub(crate) async fn stop_fetching(self: &Arc<Self>, job: &CopyJob) {
        job.stop();
        debug!(destination = %job.destination.path, "stopped");
        if let Some(backup) = job.take_backup() {
            self.restore(backup, OwnWrite::Unknown).await;
        }
    }
}
