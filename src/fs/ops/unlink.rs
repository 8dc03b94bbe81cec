//! Files removed.

use std::time::Instant;

use tracing::warn;

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::content::loans::Changed;
use crate::fs::content::recall::recall;
use crate::fs::copies::leftovers::Leftovers;
use crate::fs::names::attr::{FileKind, Ino};
use crate::fs::names::open::OpenNode;
use crate::fs::names::tree::{Place, RevisionPlace};

impl Fs {
    /// unlink(2): Delete Blob. EBUSY for a blob with snapshots, unless the mount was told to take them along.
    pub async fn unlink(&self, parent: Ino, name: &str) -> Result<()> {
        let view = self.directories.resolve(parent, name).await?;
        if view.kind == FileKind::Directory {
            return Err(Error::fs(libc::EISDIR, format!("{name} is a directory")));
        }
        if let Place::Revision(RevisionPlace::File(blob, revision)) = self.tree.place(view.ino)? {
            return self.directories.remove_revision(&view, &blob, &revision).await;
        }
        // A commit under way ends first, and one that comes later finds the name gone: it would bring the file back.
        let file = self.handles.of_ino(view.ino);
        let _state = match &file {
            Some(file) => Some(file.lock().await),
            None => None,
        };
        if self.names.is_new(view.ino) && !self.names.is_copied_to(view.ino) {
            self.tree.unlink(parent, name);
            self.tree.touch(parent);
            return Ok(());
        }
        let _changing = recall(&self.files, Changed::One(view.ino)).await?;
        let blob = self.tree.blob(view.ino)?;
        // Nobody waits for the end of the copy, so whoever moves by copying removes the source before it (mv between accounts).
        if !self.config.copy_wait
            && let Some(holder) = self.copies.leases.holder(&blob)
        {
            return Err(Error::fs(libc::EBUSY, format!("{name}: it is leased by {holder}")));
        }
        let is_unsaved = file.as_ref().is_some_and(|file| file.is_unsaved());
        // Until the name is gone here as well, that it is gone there is no news.
        let _storing = file.as_ref().map(|file| file.storing());
        let asked = Instant::now();
        let mut deleted = self.copies.delete_pending_or_not(&blob).await;
        if deleted.as_ref().is_err_and(|error| error.code() == "SnapshotsPresent")
            && Leftovers(self.copies.clone()).delete_dead_backups(&blob).await.unwrap_or(false)
        {
            // All that it had were those of a mount that was killed.
            deleted = self.copies.delete_pending_or_not(&blob).await;
        }
        match deleted {
            Ok(()) => {}
            // What another client deleted is there for whoever has written to it here, and ends with this call.
            Err(error) if error.is_not_found() && is_unsaved => {}
            Err(error) if error.is_not_found() => return Err(self.names.remove_missing(&view, &blob, asked)),
            Err(error) => {
                if error.code() == "SnapshotsPresent" {
                    warn!(blob = %blob.path, "it has snapshots, which would be lost with it: mount with --delete-snapshots to allow that, or see `blobcp status --leftovers` for those of a mount that was killed");
                }
                self.names.note_refusal(view.ino, &error);
                return Err(error);
            }
        }
        self.tree.unlink(parent, name);
        self.tree.touch(parent);
        self.directories.keep_alive(parent, name).await;
        Ok(())
    }
}
