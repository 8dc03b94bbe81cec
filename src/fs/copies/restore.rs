//! Backups of what a copy replaces, and restoring them (C52).
//!
//! A pending copy takes the content of its destination at the start (X14), so what may have to come back is kept
//! before. That is a snapshot of the destination, or nothing but its properties if it has no content. There are three
//! ways on from a [`Backup`]:
//!
//! - [`Copies::delete_backup`]: the copy is a success. The snapshot is deleted, for a blob that has one can be neither
//!   deleted nor renamed.
//! - [`Copies::restore`]: the copy failed, was aborted, or is not wanted any more. What is pending is aborted, the
//!   snapshot is copied over its blob (C22), with the tags, tier and time that a copy leaves behind, and then deleted.
//! - Neither, because this process ended: the snapshot is in `.snapshots` and says what it is (`mark`), so that it is
//!   found and done away with (`leftovers`). Copying it over its file brings the old content back.
//!
//! Nothing is brought back over what somebody else has written meanwhile: then the snapshot stays, and the log says
//! where.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tracing::{debug, error, info, warn};

use crate::error::{Error, Result};
use crate::fs::copies::backup::{Backup, BackupKind, OwnWrite};
use crate::fs::copies::mark::Mark;
use crate::fs::copies::run::Copies;
use crate::fs::copies::spec::{CopyOptions, CopySpec};
use crate::fs::journal::Intent;
use crate::fs::names::attr::{self, Ino};
use crate::fs::names::tree::{Blob, NodeProperties, Origin};
use crate::store::{
    AbortOptions, BlobProperties, BlobSettings, BlobType, CopyId, CopyStatus, DeleteOptions, ETag, LeaseId,
    Precondition, WriteOptions,
};

/// Longest that a caller waits for the old content. Mostly it is there at once; otherwise it comes back without the
/// caller.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks at the destination: a copy may end while it is aborted.
const LOOKS: u32 = 3;

impl Copies {
    /// Keeps what a copy is about to replace, which is to be on condition of this version. One request, none for what
    /// is empty. Where the service takes no snapshot it is an error, and nothing has happened yet: EOPNOTSUPP where it
    /// never does (S192).
    pub(crate) async fn back_up(
        &self,
        (blob, ino): (&Blob, Option<Ino>),
        before: &Arc<BlobProperties>,
        lease: Option<LeaseId>,
    ) -> Result<Backup> {
        self.try_back_up((blob, ino), before, lease).await.map_err(|error| {
            if error.is_of_a_hierarchical_namespace() {
                let what = "there are no snapshots where the namespace is hierarchical, so what is replaced could not be brought back";
                return Error::unsupported(format!("{}: {what}", blob.path));
            }
            warn!(blob = %blob.path, %error,
                  "no snapshot can be taken of what is to be replaced, so it is not: it could not be brought back");
            error
        })
    }

    /// [`Copies::back_up`] for whoever knows another way: the service's refusal as it is.
    pub(crate) async fn try_back_up(
        &self,
        (blob, ino): (&Blob, Option<Ino>),
        before: &Arc<BlobProperties>,
        lease: Option<LeaseId>,
    ) -> Result<Backup> {
        let is_empty = before.blob_type == BlobType::Block && before.size == 0 && before.tag_count == 0;
        let how = match is_empty {
            true => BackupKind::Properties,
            false => self.keep_by_snapshot(blob, before).await?,
        };
        let name = ino.and_then(|ino| self.tree.view(ino).ok()).map(|view| (view.parent, view.name));
        Ok(Backup { blob: blob.clone(), ino, name, before: before.clone(), kind: how, lease })
    }

    /// Snapshot Blob, marked. If the service does not take the mark, as where there are too many metadata already, it is
    /// one like any other.
    async fn keep_by_snapshot(&self, blob: &Blob, before: &BlobProperties) -> Result<BackupKind> {
        let entry = Arc::new(self.service.journal.begin(Intent::Backup { of: self.service.named(blob) }));
        // With metadata of its own, the snapshot's time is that of the request.
        let metadata = attr::for_rename(before).unwrap_or_else(|| before.metadata.clone());
        let metadata = Mark::new(&entry, blob, &before.etag).beside(&metadata);
        let client = self.service.blob(blob);
        let (taken, marked) = match client.snapshots().create_unique(&metadata).await {
            Err(error) if error.status() == 400 => {
                debug!(blob = %blob.path, %error, "its snapshot is not marked");
                (client.create_snapshot().await, false)
            }
            taken => (taken, true),
        };
        match taken {
            Ok(revision) => Ok(BackupKind::Snapshot { revision, marked, entry }),
            Err(error) => {
                // Without an answer it may be there.
                match error.status() {
                    0 => entry.give_up(),
                    _ => entry.end(),
                }
                Err(error)
            }
        }
    }

    /// The backup is not needed any more.
    pub(crate) async fn delete_backup(&self, backup: &Backup) {
        let BackupKind::Snapshot { revision, entry, .. } = &backup.kind else { return };
        match self.service.blob(&backup.blob).at(revision).delete(&DeleteOptions::default()).await {
            Err(error) if !error.is_not_found() => {
                warn!(snapshot = backup.place(), %error, "a snapshot that is not needed any more could not be deleted");
                entry.give_up();
            }
            _ => entry.end(),
        }
    }

    /// A copy was not started, for that reason.
    pub(crate) async fn never_started(self: &Arc<Self>, backup: &Backup, error: &Error) {
        match error {
            Error::Transport { .. } => self.restore(backup.clone(), OwnWrite::Unknown).await,
            // The service may have begun before it stumbled.
            Error::Service(refusal) if refusal.status >= 500 => self.restore(backup.clone(), OwnWrite::Unknown).await,
            // A refusal is an answer: nothing has happened.
            _ => self.delete_backup(backup).await,
        }
    }

    /// Puts back what was there before, if the destination still shows `write`. The caller waits for it, but not for
    /// ever, and it is done also when the caller goes.
    pub(crate) async fn restore(self: &Arc<Self>, backup: Backup, write: OwnWrite) {
        let copies = self.clone();
        let work = self.background.spawn(async move {
            match copies.try_restore(&backup, &write).await {
                Ok(()) => copies.delete_backup(&backup).await,
                Err(error) => {
                    error!(blob = %backup.blob.path, %error, backup = backup.place(), "what a copy replaced was not brought back");
                }
            }
        });
        let _ = tokio::time::timeout(PATIENCE, work).await;
    }

    async fn try_restore(&self, backup: &Backup, write: &OwnWrite) -> Result<()> {
        let Backup { blob, before, lease, .. } = backup;
        let id = match write {
            OwnWrite::Copy(id) => Some(id),
            OwnWrite::Version(_) | OwnWrite::Unknown => None,
        };
        let found = self.await_or_abort(blob, id, lease.as_ref()).await?;
        if found.etag == before.etag {
            return Ok(());
        }
        let is_ours = match write {
            OwnWrite::Copy(id) => found.copy.as_ref().is_some_and(|copy| copy.id == *id),
            OwnWrite::Version(etag) => found.etag == *etag,
            OwnWrite::Unknown => false,
        };
        if !is_ours {
            let what = format!("{}: another client has written to it since, which stays", blob.path);
            return Err(Error::stale(what));
        }
        self.restore_from(backup, &found).await
    }

    /// The blob as it is when the copy of that id is not pending onto it any more: if it is, it is aborted first. EBUSY
    /// if it does not end.
    pub(crate) async fn await_or_abort(
        &self,
        blob: &Blob,
        id: Option<&CopyId>,
        lease: Option<&LeaseId>,
    ) -> Result<BlobProperties> {
        let client = self.service.blob(blob);
        for _ in 0..LOOKS {
            let found = client.properties().await?;
            match &found.copy {
                Some(copy) if Some(&copy.id) == id && copy.status == CopyStatus::Pending => {
                    // It may end before the abort arrives; the next look tells.
                    match client.abort_copy(&copy.id, &AbortOptions { lease }).await {
                        Ok(()) => info!(destination = %blob.path, id = %copy.id, "copy has been aborted"),
                        Err(error) => debug!(destination = %blob.path, id = %copy.id, %error, "cannot abort a copy"),
                    }
                }
                _ => return Ok(found),
            }
        }
        Err(Error::fs(libc::EBUSY, format!("{}: a copy onto it does not end", blob.path)))
    }

    async fn restore_from(&self, backup: &Backup, found: &BlobProperties) -> Result<()> {
        let Backup { blob, before, kind: how, lease, .. } = backup;
        let precondition = Precondition::IfMatch(found.etag.clone());
        // The copy may have brought a tier of its own, which would stay.
        let tier = if found.tier_inferred { before.chosen_tier() } else { before.tier.clone() };
        let metadata = attr::for_rename(before);
        let properties = match how {
            BackupKind::Properties => {
                let settings = BlobSettings {
                    headers: before.headers.clone(),
                    metadata: metadata.unwrap_or_else(|| before.metadata.clone()),
                    tier,
                    ..Default::default()
                };
                let options = WriteOptions { precondition, lease: lease.clone() };
                let written = self.service.blob(blob).block_blob().upload(Bytes::new(), &settings, &options).await?;
                Arc::new(attr::just_written(0, settings, written))
            }
            BackupKind::Snapshot { revision, marked, .. } => {
                let origin = Origin { blob: blob.clone(), revision: Some(revision.clone()) };
                let start = CopySpec {
                    source: self.service.source_url(blob, Some(revision), blob).await?,
                    version: None,
                    destination: blob.clone(),
                    precondition,
                    metadata: metadata.or_else(|| marked.then(|| before.metadata.clone())),
                    tier,
                    tags: self.service.tags_of_origin(&origin, before).await?,
                    seal: before.seal_of_copy(before.sealed),
                    options: CopyOptions { lease: lease.clone(), ..CopyOptions::default() },
                };
                // A finite lease forbids it (X5), also one of our own.
                self.leases.release(blob).await;
                let copied = self.run_copy(start).await;
                if let Err(error) = &copied {
                    self.explain_lease(blob, error).await;
                }
                copied?
            }
        };
        info!(blob = %blob.path, "what a copy replaced is back");
        if let Some(ino) = backup.ino {
            self.update_restored(ino, &before.etag, properties);
        }
        if let Some((parent, name)) = &backup.name
            && let Some(now) = self.tree.child(*parent, name)
            && Some(now.ino) != backup.ino
        {
            // The one that was seen while the copy was pending.
            self.tree.invalidate_name(*parent, name);
        }
        Ok(())
    }

    /// The content is what it was: whoever has it open may go on.
    fn update_restored(&self, ino: Ino, stood_on: &ETag, properties: Arc<BlobProperties>) {
        // A caller who waits for us may hold the file: then it is asked for anew.
        match self.open.of_ino(ino) {
            Some(file) if file.record_restored(stood_on, &properties, &self.tree) => {}
            Some(_) => self.tree.invalidate(ino),
            None => self.tree.update(ino, NodeProperties::Blob(properties)),
        }
    }

    /// Leaves nothing of a copy onto a new name, whatever has become of it: one that is pending is aborted first. A
    /// destination that shows another id is somebody else's by now.
    pub(crate) async fn rollback(&self, destination: &Blob, id: &CopyId) {
        match self.await_or_abort(destination, Some(id), None).await {
            Ok(found) if found.copy.as_ref().is_some_and(|copy| copy.id == *id) => {
                self.delete_copy(destination, &found.etag).await;
            }
            Ok(_) => warn!(destination = %destination.path, %id, "left as it is after a failed rename"),
            Err(error) if error.is_not_found() => {}
            Err(error) => warn!(destination = %destination.path, %id, %error, "left as it is after a failed rename"),
        }
    }

    /// Deletes a copy that is of no use any more.
    pub(crate) async fn delete_copy(&self, copy: &Blob, etag: &ETag) {
        let precondition = Precondition::IfMatch(etag.clone());
        if let Err(error) = self.service.blob(copy).delete(&DeleteOptions { precondition, ..Default::default() }).await
        {
            warn!(blob = %copy.path, %error, "a copy made for a failed rename could not be removed");
        }
    }
}
