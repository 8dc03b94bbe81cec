//! Copies started with what belongs to them: a lease of the source, and what comes back if the copy is no success.
//!
//! Before the end of a job is told to anybody, what belongs to it is settled: its part in the lease of the source
//! (`lease`), and what it replaced, which comes back or is let go (`restore`). The copy itself is [`Copies::begin`] and
//! what follows (`run`).

use std::sync::{Arc, Mutex};

use tracing::{debug, warn};

use crate::error::{Error, Result};
use crate::fs::copies::backup::OwnWrite;
use crate::fs::copies::job::{CopyJob, Progress};
use crate::fs::copies::lease::{LeaseSource, LeasedCopy, SourceLease};
use crate::fs::copies::run::{Begun, Copies, total_of};
use crate::fs::copies::spec::{CopyOptions, CopySpec};
use crate::fs::names::tree::Blob;
use crate::store::{BlobProperties, BlobType, CopyId, CopyRequest, CopyState, CopyStatus};

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
            backup: Mutex::new(options.backup.clone()),
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
            copies.poll_and_finish(&followed, lease).await;
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
            (Some(backup), _) => self.restore(backup, OwnWrite::Copy(job.id.clone())).await,
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
        tokio::spawn(async move { copies.poll_and_finish(&followed, None).await });
        Some(job)
    }

    /// Follows a copy for all who wait, to its end and what is left to do then.
    async fn poll_and_finish(self: &Arc<Self>, job: &Arc<CopyJob>, lease: Option<SourceLease>) {
        if let Some(ended) = self.poll_to_the_end(job).await {
            self.finish(job, lease, &ended).await;
            job.publish(ended);
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
