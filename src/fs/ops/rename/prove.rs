//! A copy that is proven, and the delete of its source.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::copies::backup::{Backup, OwnWrite};
use crate::fs::copies::leftovers::Leftovers;
use crate::fs::copies::spec::{CopyOptions, CopySpec};
use crate::fs::names::attr;
use crate::fs::names::tree::Blob;
use crate::fs::ops::rename::Renaming;
use crate::store::{BlobProperties, DeleteOptions, DeleteSnapshots, ETag, Precondition};

/// It would take hours, and end in another tier (X21).
pub(super) fn refuse_archived(source: &Blob, version: &BlobProperties) -> Result<()> {
    if version.is_archived() {
        let what = format!("{}: it is archived, and cannot be copied before it is brought back", source.path);
        return Err(Error::fs(libc::ENODATA, what));
    }
    Ok(())
}

/// The end of the delete of a source.
pub(super) enum Deletion {
    Deleted,
    /// The service refused, and the source is still there: the copy may be taken back.
    Refused(Error),
    /// The source may be gone, and then the copy is all there is.
    Unknown(Error),
}

impl Renaming<'_> {
    /// The proven copy. When it ends otherwise, nothing of it is left: its backup comes back.
    pub(super) async fn copy_and_prove(
        &self,
        source: &Blob,
        version: &Arc<BlobProperties>,
        destination: &Blob,
        precondition: Precondition,
        backup: Option<&Backup>,
    ) -> Result<Arc<BlobProperties>> {
        let start = async {
            let start = CopySpec {
                source: self.fs.service.source_url(source, None, destination).await?,
                version: Some(version.clone()),
                destination: destination.clone(),
                precondition,
                // The name changes, the blob does not: what a copy leaves behind is given to it (X4, §13.2.7), the time
                // of its content too.
                metadata: attr::for_rename(version),
                tier: version.chosen_tier(),
                tags: self.fs.service.tags_to_keep(source, version).await?,
                seal: version.seal_of_copy(version.sealed),
                options: CopyOptions {
                    source: Some(source.clone()),
                    caller: Some(self.caller),
                    ..CopyOptions::default()
                },
            };
            self.fs.copies.start_copy(start).await
        };
        let job = match start.await {
            Ok(job) => job,
            Err(error) => {
                if let Some(backup) = backup {
                    self.fs.copies.never_started(backup, &error).await;
                }
                return Err(error);
            }
        };
        let ended = self.fs.copies.wait_for_copy(&job, self.caller).await;
        let failed = match ended {
            Ok(copy) if copy.size == version.size => return Ok(copy),
            Ok(copy) => Error::fs(
                libc::EIO,
                format!("{}: the copy has {} bytes, the source {}", destination.path, copy.size, version.size),
            ),
            Err(error) => error,
        };
        if job.is_fetched() {
            self.fs.copies.stop_fetching(&job).await;
        }
        match backup {
            None => self.fs.copies.rollback(destination, &job.id).await,
            Some(backup) => self.fs.copies.restore(backup.clone(), OwnWrite::Copy(job.id.clone())).await,
        }
        job.finished().await;
        Err(failed)
    }

    /// Deletes the source of a proven copy.
    pub(super) async fn delete_moved(&self, source: &Blob, etag: &ETag, snapshots: DeleteSnapshots) -> Deletion {
        let client = self.fs.service.blob(source);
        let precondition = Precondition::IfMatch(etag.clone());
        let options = DeleteOptions { snapshots, precondition };
        let mut deleted = client.delete(&options).await;
        if deleted.as_ref().is_err_and(|error| error.code() == "SnapshotsPresent")
            && Leftovers(self.fs.copies.clone()).delete_dead_backups(source).await.unwrap_or(false)
        {
            // As for rm: all that it had were of no use to anybody.
            deleted = client.delete(&options).await;
        }
        let error = match deleted {
            Ok(()) => return Deletion::Deleted,
            // Somebody else deleted it, which is what was wanted.
            Err(error) if error.is_not_found() => return Deletion::Deleted,
            // Another version is there, and no try before was lost: the client would have said so.
            Err(error) if error.is_precondition_failed() => return Deletion::Refused(error),
            Err(error) => error,
        };
        // After a time-out or a 5xx it may be gone all the same, now or in a moment. A refusal may follow a try that
        // was not answered.
        let refused = (400..500).contains(&error.status()) && error.status() != 408;
        match client.properties().await {
            Err(look) if look.is_not_found() => Deletion::Deleted,
            Ok(found) if refused && found.etag == *etag => Deletion::Refused(error),
            _ => Deletion::Unknown(error),
        }
    }
}
