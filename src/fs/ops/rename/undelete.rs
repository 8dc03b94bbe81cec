//! `mv .deleted/NAME .`: what was deleted softly is brought back (S89, S206).

use crate::error::{Error, OptionalExtension, Result};
use crate::fs::names::revisions::deleted_blob;
use crate::fs::names::tree::{Blob, NodeView, Place, RevisionPlace};
use crate::fs::ops::rename::{Renaming, exists};
use crate::store::{DeletionId, ETag, ProtectionClient};

impl Renaming<'_> {
    /// Whether that is what is wanted, and then done. It comes back under its own name and nowhere else, and never over
    /// what is there: then the service would bring back its snapshots only.
    pub(super) async fn undelete(&self, source: &NodeView, target: Option<&NodeView>) -> Result<bool> {
        let Place::Revision(RevisionPlace::Deleted(blob)) = self.fs.tree.place(source.ino)? else { return Ok(false) };
        if self.wanted() != Some(blob.clone()) {
            let what = format!("{}: what was deleted comes back under its own name only", blob.path);
            return Err(Error::fs(libc::EPERM, what));
        }
        if target.is_some() {
            return Err(exists(self.to.1));
        }
        let (etag, deletion) = self.deleted(source, &blob).await?;
        let client = self.fs.service.blob(&blob);
        let undeleted = ProtectionClient::from(client).undelete(deletion.as_ref()).await;
        // It comes back with its ETag (S89), by which it is recognised also if the answer was lost. Where another client
        // has made something of that name, it does not.
        let found = client.properties().await;
        let is_it = found.as_ref().ok().zip(etag.as_ref()).map(|(found, etag)| found.etag == *etag);
        match (is_it, undeleted) {
            (Some(true), _) => {}
            (_, Err(error)) => return Err(error),
            (Some(false), Ok(())) => return Err(self.taken()),
            // Nothing was known of it, or nothing is.
            (None, Ok(())) => drop(found?),
        }
        self.fs.tree.rename(self.from.0, self.from.1, self.to.0, self.to.1);
        self.fs.tree.invalidate(source.ino);
        if deletion.is_some() {
            // There may be more of that name.
            self.fs.tree.listings().invalidate_listing(self.from.0);
        }
        self.fs.tree.touch(self.to.0);
        Ok(true)
    }

    /// Version and id of what is to come back. Where there are ids, nobody knows what the service does if something has
    /// the name already: that is looked for before.
    async fn deleted(&self, source: &NodeView, blob: &Blob) -> Result<(Option<ETag>, Option<DeletionId>)> {
        let client = self.fs.service.client(blob.account);
        let shown = source.properties().map(|properties| properties.etag.clone());
        if !client.container(&blob.path.container).has_directories().await? {
            return Ok((shown, None));
        }
        if client.blob(&blob.path).properties().await.optional()?.is_some() {
            return Err(self.taken());
        }
        let found = deleted_blob(client, blob).await?;
        let found = found.ok_or_else(|| Error::not_found(format!("{} cannot be brought back any more", blob.path)))?;
        Ok((Some(found.properties.etag), found.deletion))
    }

    /// EEXIST: another client has made something of the new name.
    fn taken(&self) -> Error {
        self.fs.tree.listings().invalidate_listing(self.to.0);
        exists(self.to.1)
    }

    /// The blob of the new name.
    fn wanted(&self) -> Option<Blob> {
        self.fs.tree.directory(self.to.0).ok()?.blob(self.to.1).ok()
    }
}
