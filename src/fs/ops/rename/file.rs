//! One file renamed: copied, proven, deleted.

use std::sync::Arc;

use tracing::{error, warn};

use crate::error::{Error, OptionalExtension, Result};
use crate::fs::copies::backup::OwnWrite;
use crate::fs::journal::{Entry, Intent};
use crate::fs::names::tree::{Blob, NodeView};
use crate::fs::ops::rename::prove::{Deletion, refuse_archived};
use crate::fs::ops::rename::{RenameMode, Renaming, exists};
use crate::store::{BlobProperties, Precondition};

impl Renaming<'_> {
    pub(super) async fn rename_file(&self, source: &NodeView, mut target: Option<NodeView>) -> Result<()> {
        let Self { from, to, mode, .. } = *self;
        let destination = self.fs.tree.directory(to.0)?.blob(to.1)?;
        let mut held = Vec::new();
        self.lock_files(&mut held, vec![source.ino]).await?;
        // Once more if somebody was faster: names have no handle that could be stale.
        for last_try in [false, true] {
            let source = self.fs.directories.resolve(from.0, from.1).await?;
            if held.iter().all(|held| held.locked.ino() != source.ino) {
                // Another client has replaced it meanwhile: that is another file.
                self.lock_files(&mut held, vec![source.ino]).await?;
            }
            // Until the name is the new one here as well, that the old one is gone is no news.
            let storing: Vec<_> = held.iter().map(|held| held.locked.file().storing()).collect();
            let moved = self.move_blob(&source, &destination, target.as_ref()).await;
            match moved {
                Ok(properties) => {
                    self.fs.tree.rename(from.0, from.1, to.0, to.1);
                    drop(storing);
                    let stood_on =
                        source.properties().map_or_else(|| properties.etag.clone(), |moved| moved.etag.clone());
                    self.record_properties(&mut held, source.ino, &stood_on, properties);
                    return Ok(());
                }
                Err(error) if error.code() == "BlobAlreadyExists" && mode == RenameMode::NoReplace => {
                    return Err(exists(to.1));
                }
                Err(error) if error.is_precondition_failed() && !last_try => {
                    drop(storing);
                    self.fs.tree.invalidate(source.ino);
                    target = match self.fs.directories.resolve(to.0, to.1).await.optional()? {
                        Some(_) if mode == RenameMode::NoReplace => return Err(exists(to.1)),
                        Some(target) => {
                            self.fs.tree.invalidate(target.ino);
                            Some(self.fs.directories.resolve(to.0, to.1).await?)
                        }
                        None => None,
                    };
                }
                Err(error) if error.is_precondition_failed() => {
                    return Err(Error::fs(libc::EBUSY, format!("{}: changed while it was renamed: {error}", from.1)));
                }
                Err(error) if error.is_of_no_source() => {
                    let etag = source.properties().map(|properties| &properties.etag);
                    self.fs.tree.invalidate_version(source.ino, etag, true);
                    return Err(error);
                }
                Err(error) if error.code() == "InvalidBlobType" => {
                    return Err(Error::fs(libc::EXDEV, format!("{error}: the new name is a blob of another type")));
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::fs(libc::EBUSY, format!("{}: changed while it was renamed", from.1)))
    }

    /// Copies a blob to its new name, proves the copy, deletes the source.
    async fn move_blob(&self, source: &NodeView, to: &Blob, target: Option<&NodeView>) -> Result<Arc<BlobProperties>> {
        let service = &self.fs.service;
        let (from, etag) = (self.fs.tree.blob(source.ino)?, source.properties().map(|found| found.etag.to_string()));
        let intent = Intent::Move { from: service.named(&from), to: service.named(to), etag: etag.unwrap_or_default() };
        let entry = service.journal.begin(intent);
        let moved = self.copy_and_delete(source, to, target, &entry).await;
        entry.end();
        moved
    }

    async fn copy_and_delete(
        &self,
        source: &NodeView,
        to: &Blob,
        target: Option<&NodeView>,
        entry: &Entry,
    ) -> Result<Arc<BlobProperties>> {
        let Some(properties) = source.properties().cloned() else {
            return Err(Error::fs(libc::EBUSY, format!("{} is not in the service yet", source.name)));
        };
        if source.is_pending() || target.is_some_and(NodeView::is_pending) {
            return Err(Error::copy_pending(&source.name));
        }
        let blob = self.fs.tree.blob(source.ino)?;
        self.fs.copies.jobs.refuse_copied_to(&blob)?;
        self.fs.copies.jobs.refuse_copied_to(to)?;
        refuse_archived(&blob, &properties)?;
        let replaces = target.and_then(|target| Some((target.ino, target.properties()?)));
        let (precondition, backup) = match (self.mode, replaces) {
            (RenameMode::Replace, Some((ino, replaced))) => {
                let backup = self.fs.copies.try_back_up((to, Some(ino)), replaced, None).await?;
                (Precondition::IfMatch(replaced.etag.clone()), Some(backup))
            }
            // Whatever is believed of the target: the service decides.
            (RenameMode::NoReplace, _) | (_, None) => (Precondition::IfAbsent, None),
        };
        let copy = self.copy_and_prove(&blob, &properties, to, precondition, backup.as_ref()).await?;
        entry.note(copy.etag.as_str());
        let error = match self.delete_moved(&blob, &properties.etag, self.fs.config.snapshots_on_delete()).await {
            Deletion::Deleted => {
                if let Some(backup) = &backup {
                    self.fs.copies.delete_backup(backup).await;
                }
                return Ok(copy);
            }
            Deletion::Refused(error) => {
                self.fs.names.note_refusal(source.ino, &error);
                match backup {
                    None => self.fs.copies.delete_copy(to, &copy.etag).await,
                    Some(backup) => self.fs.copies.restore(backup, OwnWrite::Version(copy.etag.clone())).await,
                }
                error
            }
            Deletion::Unknown(error) => {
                entry.leave();
                error!(source = %blob.path, destination = %to.path, %error,
                       backup = backup.map_or_else(String::new, |backup| backup.place()),
                       "copied, but whether the source was deleted is not known: the copy stays");
                self.fs.tree.invalidate(source.ino);
                return Err(error);
            }
        };
        if error.code() == "SnapshotsPresent" {
            warn!(blob = %blob.path, "it has snapshots, which would be lost: mount with --delete-snapshots to allow that, or see `blobcp status --leftovers` for those of a mount that was killed");
        }
        if error.is_precondition_failed() {
            return Err(Error::fs(libc::EBUSY, format!("{} was changed while it was renamed", blob.path)));
        }
        Err(error)
    }
}
