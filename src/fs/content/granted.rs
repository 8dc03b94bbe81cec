//! A whole copy of which only a part was granted.
//!
//! On a disk, whoever copies a part has that part. So when the copier closes the file, or writes to it, or copies
//! something else there, the file is cut to what was granted, which is of the version that the copy is pinned to.
//!
//! | the copy | the destination becomes | moved |
//! |---|---|---|
//! | is done | a draft of the copied blob, cut: it keeps its blocks | nothing |
//! | is done, of an append blob, which cannot be cut | an empty one, to which the service appends the range | nothing |
//! | is pending | the copy is aborted, and the service puts the range there by the From-URL operations | nothing |
//!
//! That may take the service as long as a copy does. So it is not done for a copier who is being killed: then the copy
//! is aborted, and the destination is the service's empty blob with status `aborted`.

use std::sync::Arc;

use tracing::{debug, info, warn};

use crate::error::{CopyFailure, Error, Result};
use crate::fs::caller::Caller;
use crate::fs::content::copied_from::CopiedFrom;
use crate::fs::content::destination::CopyDestinations;
use crate::fs::content::handle::{Content, Locked, OpenFile};
use crate::fs::content::source::RangeSource;
use crate::fs::copies::backup::OwnWrite;
use crate::fs::copies::job::{Progress, failure, interrupted};
use crate::store::{BlobProperties, BlobType};

impl CopyDestinations {
    /// Flush before all was granted: the file has what was, in the service. Who is interrupted while it is stored does
    /// not wait any more, but it is stored.
    pub(crate) async fn store_granted(&self, file: &Arc<OpenFile>, caller: Caller) -> Result<()> {
        self.settle_or_cancel(file, caller).await?;
        self.store_behind(file, caller).await
    }

    /// Stores a file of which much is to be copied by the service. Who is interrupted does not wait any more, but it is
    /// stored.
    pub(crate) async fn store_behind(&self, file: &Arc<OpenFile>, caller: Caller) -> Result<()> {
        let (files, file) = (self.files.clone(), file.clone());
        let storing = self.copies.background.spawn(async move {
            let mut state = file.lock().await;
            files.commit(&mut state).await
        });
        tokio::select! {
            stored = storing => stored.unwrap_or_else(|_| Err(Error::fs(libc::EIO, "a part of a copy was not stored"))),
            error = interrupted(caller) => Err(error),
        }
    }

    /// The last descriptor is gone, and nobody is known to have been killed: what was granted is kept.
    pub(crate) async fn keep_granted(&self, file: &Arc<OpenFile>, closer: Caller) {
        loop {
            let mut state = file.lock().await;
            let Content::Copying(copying) = &state.content else { return };
            let job = copying.job.clone();
            let done = match job.progress() {
                _ if copying.complete() => return,
                Progress::Success(properties) => self.cut_to_granted(&mut state, properties, closer).await,
                Progress::Pending(_) if job.is_local() => {
                    drop(state);
                    job.ended().await;
                    continue;
                }
                Progress::Pending(_) => self.stop_at_granted(&mut state, closer).await,
                Progress::Failed(error) => Err(error),
            };
            if let Err(error) = done {
                warn!(destination = %job.destination.path, %error, "what was granted of a copy is lost");
                self.detach(&mut state).await;
                return;
            }
        }
    }

    /// The copy is done, and only a part of it was granted.
    pub(crate) async fn cut_to_granted(
        &self,
        locked: &mut Locked,
        whole: Arc<BlobProperties>,
        caller: Caller,
    ) -> Result<()> {
        let Content::Copying(copying) = std::mem::replace(&mut locked.content, Content::Clean) else { return Ok(()) };
        debug!(destination = %copying.job.destination.path, granted = copying.granted, "a part of a copy is kept");
        let type_of_blob = whole.blob_type;
        self.files.record_version(locked, whole);
        if type_of_blob == BlobType::Append {
            return self.copy_part(locked, &copying.source, copying.granted, caller).await;
        }
        // Nothing is staged, so nothing is cut.
        let _ = locked.draft()?.truncate(copying.granted);
        locked.publish();
        Ok(())
    }

    /// The copy is pending, and only a part of it is wanted. If it turns out to have ended, nothing is done: what is to
    /// be done then has to be looked at.
    pub(crate) async fn stop_at_granted(&self, locked: &mut Locked, caller: Caller) -> Result<()> {
        let Content::Copying(copying) = &locked.content else { return Ok(()) };
        let (job, granted, source) = (copying.job.clone(), copying.granted, copying.source.clone());
        // Taken first: the end of the copy would bring it back.
        let backup = job.take_backup();
        match self.copies.abort_copy(&job.destination, Some(&job.id)).await {
            Ok(()) => job.finished().await,
            Err(Error::NoPendingCopy { .. }) => {
                job.finished().await;
                match (backup, job.progress()) {
                    (Some(backup), Progress::Success(_)) => self.copies.delete_backup(&backup).await,
                    (Some(backup), Progress::Failed(_)) => {
                        self.copies.restore(backup, OwnWrite::Copy(job.service_id())).await
                    }
                    (backup, _) => job.set_backup(backup),
                }
                return Ok(());
            }
            Err(error) => {
                job.set_backup(backup);
                return Err(error);
            }
        }
        let part = async {
            let now = self.files.service.blob(&job.destination).properties().await?;
            if now.copy.as_ref().is_none_or(|copy| copy.id != job.service_id()) {
                return Err(failure(&job.destination, CopyFailure::Replaced { id: job.id.to_string() }));
            }
            locked.content = Content::Clean;
            self.files.record_version(locked, Arc::new(now));
            self.copy_part(locked, &source, granted, caller).await?;
            if backup.is_some() { self.files.commit(locked).await } else { Ok(()) }
        };
        let done = part.await;
        match (&done, &locked.content) {
            (Ok(()), _) => {}
            (Err(_), Content::Copying(_)) => self.detach(locked).await,
            (Err(_), _) => locked.content = Content::Clean,
        }
        // What comes back may take a while.
        locked.publish();
        match (backup, &done) {
            (Some(backup), Ok(())) => self.copies.delete_backup(&backup).await,
            (Some(backup), Err(_)) => self.copies.restore(backup, OwnWrite::Copy(job.service_id())).await,
            (None, _) => {}
        }
        done
    }

    /// Empties the file and has the service put the first `granted` bytes of the source there: as blocks to be
    /// committed, or where they belong. If that fails the file is what is in the service by then.
    async fn copy_part(&self, locked: &mut Locked, source: &CopiedFrom, granted: u64, caller: Caller) -> Result<()> {
        // It may have another name by now.
        let origin = self.files.tree.origin(source.ino).unwrap_or_else(|_| source.origin.clone());
        info!(source = %origin.blob.path, granted, "the service copies a part of a blob");
        let part = async {
            locked.draft()?.truncate(0).map_err(|_| Error::fs(libc::EIO, "a block in a blob that was just copied"))?;
            let mut at = 0;
            while at < granted {
                if caller.interrupted() {
                    return Err(Error::Interrupted { during: "a part was copied" });
                }
                let range = RangeSource::of(&origin, &source.version.etag, at..granted);
                at += self.files.copy_range(range, false, locked, at, caller).await?;
            }
            Ok(())
        };
        let done = part.await;
        if done.is_err() {
            locked.content = Content::Clean;
        }
        locked.publish();
        done
    }
}
