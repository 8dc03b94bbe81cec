//! Blobs deleted although a copy onto them may be pending (X13).

use tracing::warn;

use crate::error::{Error, Result};
use crate::fs::copies::run::Copies;
use crate::fs::names::tree::Blob;
use crate::store::DeleteOptions;

impl Copies {
    /// Delete Blob. A pending copy onto it is aborted first (X13); what the copy would have brought back otherwise
    /// goes, too.
    pub(crate) async fn delete_pending_or_not(&self, blob: &Blob) -> Result<()> {
        let delete = async || {
            let snapshots = self.config.snapshots_on_delete();
            self.service.blob(blob).delete(&DeleteOptions { snapshots, ..Default::default() }).await
        };
        // What the service does not know of it could not refuse.
        if let Some(job) = self.jobs.pending(blob).filter(|job| job.is_in_blocks()) {
            if let Some(backup) = job.take_backup() {
                self.delete_backup(&backup).await;
            }
            return match (self.abort_copy(blob, Some(&job.id)).await, delete().await) {
                // A new name was only here.
                (Ok(()), Err(error)) if error.is_not_found() => Ok(()),
                (_, deleted) => deleted,
            };
        }
        let pending = match delete().await {
            Err(error) if error.code() == "PendingCopyOperation" => error,
            // Perhaps it is the snapshot of a copy of ours that keeps it: nobody knows which of the two the service names.
            Err(error) if error.code() == "SnapshotsPresent" && self.jobs.of(blob).is_some() => error,
            done => return done,
        };
        let job = self.jobs.of(blob);
        if let Some(backup) = job.as_ref().and_then(|job| job.take_backup()) {
            self.delete_backup(&backup).await;
        }
        match self.abort_copy(blob, None).await {
            // It has ended by itself (X12).
            Err(Error::NoPendingCopy { .. }) => {}
            Err(error) => {
                warn!(blob = %blob.path, %error, "the copy onto it cannot be aborted, so it is not deleted");
                return Err(pending);
            }
            Ok(()) => {}
        }
        // Whoever waits for it hears that it was aborted, and not that the blob is gone.
        if let Some(job) = job {
            job.finished().await;
        }
        delete().await
    }
}
