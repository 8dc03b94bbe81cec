//! Copies started with what belongs to them: a lease of the source, and what comes back if the copy is no success.
//!
//! Before the end of a job is told to anybody, what belongs to it is settled: its part in the lease of the source
//! (`lease`), and what it replaced, which comes back or is let go (`restore`). The copy itself is [`Copies::begin`] and
//! what follows (`run`), or goes in blocks (`blocks`), from its start or when a Copy Blob is too slow (`method`).

use std::sync::{Arc, Mutex};

use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::error::{CopyFailure, Error, Result};
use crate::fs::copies::backup::OwnWrite;
use crate::fs::copies::blocks::{Admitted, BlockCopy};
use crate::fs::copies::job::{CopyJob, Progress, failure};
use crate::fs::copies::lease::{LeaseSource, LeasedCopy, SourceLease};
use crate::fs::copies::method::{CopyMethod, Measure, Method};
use crate::fs::copies::run::{Begun, Copies, total_of};
use crate::fs::copies::spec::{CopyOptions, CopySpec};
use crate::fs::names::tree::Blob;
use crate::store::{AbortOptions, BlobProperties, BlobType, CopyId, CopyRequest, CopyState, CopyStatus, ETag};
use crate::sync::lock;

impl Copies {
    /// Starts a copy, with a lease of its source and what is to come back if it is no success. The job is done at once
    /// when the service says so, and followed otherwise.
    pub(crate) async fn start_copy(self: &Arc<Self>, spec: CopySpec) -> Result<Arc<CopyJob>> {
        let backup = spec.options.backup.clone();
        let started = self.start_leased(spec).await;
        if let (Err(error), Some(backup)) = (&started, backup) {
            self.never_started(&backup, error).await;
        }
        started
    }

    /// The copy in blocks, if it may be one, and whether it begins as one.
    fn in_blocks(
        &self,
        destination: &Blob,
        request: &CopyRequest,
        version: Option<&Arc<BlobProperties>>,
        options: &CopyOptions,
    ) -> (Option<BlockCopy>, Method) {
        let copy = || BlockCopy::of(self, destination, request, version, options);
        match options.method.unwrap_or(self.config.copy_method) {
            CopyMethod::Blob => (None, Method::Blob),
            CopyMethod::Blocks => (copy(), Method::Blocks),
            CopyMethod::Auto => {
                let copy = copy();
                let first = copy.as_ref().map_or(Method::Blob, BlockCopy::better);
                (copy, first)
            }
        }
    }

    async fn start_leased(self: &Arc<Self>, spec: CopySpec) -> Result<Arc<CopyJob>> {
        let (destination, version) = (spec.destination.clone(), spec.version.clone());
        let (request, options) = spec.into_request();
        // A finite lease forbids it (X5), also one of our own.
        self.leases.release(&destination).await;
        let policy = options.lease_source.unwrap_or(self.config.lease_source);
        let early = match policy {
            LeaseSource::Always => self.lease_source(&options, version.as_deref(), &destination, None).await,
            LeaseSource::Pending | LeaseSource::Never => None,
        };
        let (mut blocks, first) = self.in_blocks(&destination, &request, version.as_ref(), &options);
        if let Some(copy) = blocks.take_if(|_| first == Method::Blocks)
            && let Some(admitted) = copy.admit().await
        {
            return Ok(self.start_blocks(copy, admitted, options, early));
        }
        let started = Instant::now();
        let begun = match self.begin(&destination, &request, version.as_deref(), &options).await {
            Ok(begun) => begun,
            Err(error) => {
                if let Some(lease) = early {
                    lease.release().await;
                }
                self.explain_lease(&destination, &error).await;
                return Err(error);
            }
        };
        let Begun::Accepted(id, progress) = begun else {
            return self.copy_synchronously(destination, request, version, options, early).await;
        };
        let job = Arc::new(CopyJob {
            lease: options.lease.clone(),
            restores: options.backup.is_some(),
            backup: Mutex::new(options.backup.clone()),
            source: Some(request.source.to_string()),
            ..CopyJob::new(destination, id, total_of(version.as_deref(), &progress), progress.clone())
        });
        if !matches!(progress, Progress::Pending(_)) {
            self.finish(&job, early, &progress).await;
            return Ok(job);
        }
        self.jobs.add(&job);
        let (copies, followed) = (self.clone(), job.clone());
        tokio::spawn(async move {
            let lease = match early {
                None if policy == LeaseSource::Pending => {
                    copies.lease_source(&options, version.as_deref(), &followed.destination, Some(&followed.id)).await
                }
                early => early,
            };
            copies.poll_and_finish(&followed, lease, blocks.map(|copy| (copy, started))).await;
        });
        Ok(job)
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
                self.overtake(job, copy, &mut left).await
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
            self.record(job, &ended, left);
            job.publish(ended);
        }
    }

    /// Remembers the end of a copy of which the service knows nothing; `left`: the version that is there if it was no
    /// success.
    fn record(&self, job: &CopyJob, ended: &Progress, left: Option<ETag>) {
        if job.is_known_here() {
            let etag = match ended {
                Progress::Success(properties) => Some(properties.etag.clone()),
                Progress::Pending(_) | Progress::Failed(_) => left,
            };
            self.jobs.record(&job.destination, etag, job.state(ended));
        }
    }

    /// A copy that is in blocks from its start. What it is to replace stays until its end.
    fn start_blocks(
        self: &Arc<Self>,
        copy: BlockCopy,
        admitted: Admitted,
        options: CopyOptions,
        early: Option<SourceLease>,
    ) -> Arc<CopyJob> {
        let id = CopyId::new(&uuid::Uuid::new_v4().to_string());
        let job = Arc::new(CopyJob {
            lease: options.lease.clone(),
            restores: options.backup.is_some(),
            backup: Mutex::new(options.backup.clone()),
            source: Some(copy.request.source.to_string()),
            by_copy_blob: false,
            makes_name: admitted.replaces().is_none(),
            in_blocks: true.into(),
            ..CopyJob::new(copy.destination.clone(), id, copy.source.size, Progress::Pending(0))
        });
        self.jobs.add(&job);
        let (copies, followed) = (self.clone(), job.clone());
        tokio::spawn(async move {
            let policy = options.lease_source.unwrap_or(copies.config.lease_source);
            let lease = match early {
                None if policy == LeaseSource::Pending => {
                    copies.lease_source(&options, Some(&copy.source), &copy.destination, Some(&followed.id)).await
                }
                early => early,
            };
            if let Some(ended) = copy.run(&followed, &admitted, false).await {
                copies.finish(&followed, lease, &ended).await;
                copies.record(&followed, &ended, admitted.replaces());
                followed.publish(ended);
            }
        });
        job
    }

    /// Gives a Copy Blob up for blocks, and takes it up again if those turn out to be slower. `left` becomes the version
    /// that the destination has until the blocks are committed.
    async fn overtake(&self, job: &Arc<CopyJob>, copy: &BlockCopy, left: &mut Option<ETag>) -> Option<Progress> {
        let client = self.service.blob(&job.destination);
        info!(destination = %job.destination.path, id = %job.id, "a slow copy goes on in blocks");
        job.set_in_blocks(true);
        let aborted = client.abort_copy(&job.id, &AbortOptions { lease: job.lease.as_ref() }).await;
        if let Err(error) = aborted {
            // Mostly it has ended (X12).
            debug!(destination = %job.destination.path, id = %job.id, %error, "a slow copy cannot be aborted");
            job.set_in_blocks(false);
            return self.poll_to_the_end(job, |_| false).await;
        }
        let there = match client.properties().await {
            Ok(there) => there,
            Err(error) => return Some(Progress::Failed(error)),
        };
        if there.copy.as_ref().is_none_or(|shown| shown.id != job.id) {
            return Some(Progress::Failed(failure(&job.destination, CopyFailure::Replaced { id: job.id.to_string() })));
        }
        *left = Some(there.etag.clone());
        let copy = copy.onto(there.etag);
        if let Some(admitted) = copy.admit().await
            && let Some(ended) = copy.run(job, &admitted, true).await
        {
            return Some(ended);
        }
        self.begin_anew(job, &copy).await
    }

    /// Takes the Copy Blob up again that blocks were to be faster than.
    async fn begin_anew(&self, job: &Arc<CopyJob>, copy: &BlockCopy) -> Option<Progress> {
        if job.stopped.is_cancelled() {
            return Some(Progress::Failed(failure(&job.destination, CopyFailure::Aborted { id: job.id.to_string() })));
        }
        match self.begin(&job.destination, &copy.request, Some(&copy.source), &CopyOptions::default()).await {
            Ok(Begun::Accepted(id, progress)) => {
                *lock(&job.begun_anew) = Some(id);
                job.set_in_blocks(false);
                match progress {
                    Progress::Pending(_) => self.poll_to_the_end(job, |_| false).await,
                    ended => Some(ended),
                }
            }
            Ok(Begun::Unreadable) => Some(Progress::Failed(Error::fs(libc::EIO, "the source cannot be read any more"))),
            Err(error) => Some(Progress::Failed(error)),
        }
    }

    /// Copies by the operations that read any URL. `version` is the source as the caller saw it, if it is one of our
    /// blobs; `lease` its lease, if it has been taken already. A copy that ends with less than the whole leaves the
    /// destination as it was.
    async fn copy_synchronously(
        self: &Arc<Self>,
        destination: Blob,
        request: CopyRequest,
        version: Option<Arc<BlobProperties>>,
        options: CopyOptions,
        lease: Option<SourceLease>,
    ) -> Result<Arc<CopyJob>> {
        if let Some(version) = version.as_ref().filter(|version| version.blob_type != BlobType::Block) {
            // What is fetched becomes a block blob, whatever it was.
            let (kind, source) = (version.blob_type.as_str(), &request.source);
            let what = format!("{source} is a {kind}, which the service can only read for a copy by a SAS");
            if let Some(lease) = lease {
                lease.release().await;
            }
            return Err(Error::OtherType { what });
        }
        let total = version.as_ref().map_or(0, |version| version.size);
        let job = Arc::new(CopyJob {
            lease: options.lease,
            backup: Mutex::new(options.backup),
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
