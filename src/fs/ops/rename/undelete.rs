//! `mv .deleted/NAME .`: a blob that was deleted softly is brought back (S89).

use crate::error::{Error, Result};
use crate::fs::names::tree::{Blob, NodeView, Place, RevisionPlace};
use crate::fs::ops::rename::{Renaming, exists};
use crate::store::ProtectionClient;

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
        let client = self.fs.service.blob(&blob);
        ProtectionClient::from(client).undelete().await?;
        // It comes back with its ETag (S89). Where another client has made something of that name, it does not.
        let found = client.properties().await?;
        if source.properties().is_some_and(|was| was.etag != found.etag) {
            self.fs.tree.listings().invalidate_listing(self.to.0);
            return Err(exists(self.to.1));
        }
        self.fs.tree.rename(self.from.0, self.from.1, self.to.0, self.to.1);
        self.fs.tree.invalidate(source.ino);
        self.fs.tree.touch(self.to.0);
        Ok(true)
    }

    /// The blob of the new name.
    fn wanted(&self) -> Option<Blob> {
        self.fs.tree.directory(self.to.0).ok()?.blob(self.to.1).ok()
    }
}
