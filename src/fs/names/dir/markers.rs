//! Marker blobs: what makes an empty directory stay, with its mode and times.

use std::sync::Arc;

use tracing::warn;

use crate::error::{Error, OptionalExtension, Result};
use crate::fs::names::attr::{self, AttrChange, FileKind, Ino};
use crate::fs::names::lookup::{Directories, Unseen};
use crate::fs::names::tree::{Blob, BlobDir, NodeProperties, NodeView, Place};
use crate::store::{BlobProperties, BlobSettings, DeleteOptions, ETag, Precondition};

impl Directories {
    pub(crate) async fn put_marker(
        &self,
        marker: &Blob,
        change: &AttrChange,
        precondition: &Precondition,
    ) -> Result<Arc<BlobProperties>> {
        let mut metadata = attr::kind_metadata(FileKind::Directory, 0);
        change.apply(FileKind::Directory, &mut metadata, &self.config.defaults);
        let settings = BlobSettings { metadata, ..Default::default() };
        let made = self.service.blob(marker).block_blob().upload("", &settings, &precondition.clone().into()).await;
        let written = match made {
            Err(error) if error.is_of_another_type() => {
                return Err(self.service.of_another_type(marker, FileKind::Directory, error).await);
            }
            made => made?,
        };
        Ok(Arc::new(attr::just_written(0, settings, written)))
    }

    /// The properties of a directory: of its marker, if it has one that is known, or of the directory itself, which exists
    /// where the namespace is hierarchical although a listing tells but its name.
    pub(crate) async fn properties_of_directory(&self, view: &NodeView) -> Result<Option<Arc<BlobProperties>>> {
        let known = view.properties().cloned();
        let Some(path) = self.tree.place(view.ino)?.blob_or_marker().filter(|_| known.is_none()) else {
            return Ok(known);
        };
        let path = path?;
        if !self.service.client(path.account).has_directories() {
            return Ok(known);
        }
        Ok(Some(Arc::new(self.service.blob(&path).properties().await?)))
    }

    /// chmod, chown and utimens of a directory without a marker: it gets one to keep them.
    pub(crate) async fn attribute_directory(&self, view: &NodeView, change: AttrChange) -> Result<()> {
        self.tree.refuse_revision(view.ino)?;
        let Place::Directory(dir) = self.tree.place(view.ino)? else {
            return Err(Error::fs(libc::EPERM, "accounts have no mode, owner or time to set"));
        };
        let Some(marker) = dir.marker() else { return self.attribute_container(view, &dir, change).await };
        let properties = self.put_marker(&marker?, &change, &Precondition::IfAbsent).await?;
        self.tree.update(view.ino, NodeProperties::Blob(properties));
        Ok(())
    }

    /// The same of a container, in its metadata. The service knows no condition for that but a time, so they are asked
    /// for right before.
    async fn attribute_container(&self, view: &NodeView, dir: &BlobDir, change: AttrChange) -> Result<()> {
        let client = self.service.client(dir.account);
        let mut item = client.container(&dir.container).properties().await?;
        let mut now = attr::of_container(view.ino, &item, &self.config.defaults);
        if let Some(touched) = view.touched {
            now.touch(touched);
        }
        change.apply_to(&now, &mut item.metadata, &self.config.defaults);
        let written = client.container(&dir.container).set_metadata(&item.metadata).await?;
        (item.etag, item.last_modified) = (written.etag, written.last_modified);
        self.tree.update(view.ino, NodeProperties::Container(Arc::new(item)));
        Ok(())
    }

    /// ENOTEMPTY unless nothing but a marker is in the directory.
    pub(crate) async fn refuse_unless_empty(&self, view: &NodeView, dir: &BlobDir) -> Result<()> {
        self.slash_marker_if_empty(view, dir).await.map(drop)
    }

    /// The marker with a slash at its end, if there is one: all that may be in an empty directory. Such a blob with
    /// content is no marker, and must not be lost.
    pub(crate) async fn slash_marker_if_empty(&self, view: &NodeView, dir: &BlobDir) -> Result<Option<ETag>> {
        let not_empty = || Error::fs(libc::ENOTEMPTY, format!("{} is not empty", dir.prefix));
        if self.tree.children(view.ino).iter().any(|child| self.names.is_new(child.ino)) {
            return Err(not_empty());
        }
        // With a container everything in it would go, also what no directory shows: uploads under way, names that no
        // path can carry.
        let unseen = if dir.prefix.is_empty() { Unseen::Included } else { Unseen::Ignored };
        let mut below = self.first_below(dir, 2, unseen).await?;
        match (below.count(), below.items.pop()) {
            (0, _) => Ok(None),
            (1, Some(item)) if item.name.as_str() == dir.prefix && item.properties.size == 0 => {
                Ok(Some(item.properties.etag))
            }
            _ => Err(not_empty()),
        }
    }

    pub(crate) async fn delete_marker(&self, marker: &Blob, view: &NodeView) -> Result<()> {
        // Only what is known to be a marker: a plain blob of that name is hidden by the directory and must not be lost.
        let known = match view.properties() {
            Some(properties) => Some(properties.clone()),
            None => {
                let found = self.service.blob(marker).properties().await.optional()?;
                found.filter(|properties| attr::kind_of(properties) == FileKind::Directory).map(Arc::new)
            }
        };
        match known {
            Some(known) => self.delete_version(marker, &known.etag).await,
            None => Ok(()),
        }
    }

    /// Deletes a blob if it is that version still, or there at all.
    pub(crate) async fn delete_version(&self, blob: &Blob, etag: &ETag) -> Result<()> {
        let precondition = Precondition::IfMatch(etag.clone());
        let deleted = self.service.blob(blob).delete(&DeleteOptions { precondition, ..Default::default() }).await;
        deleted.optional().map(drop)
    }

    /// A directory that only its entries made does not vanish with the last of them: it gets a marker.
    /// What took the last entry away has happened, so nothing here makes it fail.
    pub(crate) async fn keep_alive(&self, dir: Ino, without: &str) {
        if let Err(error) = self.mark_if_empty(dir, without).await {
            warn!(%error, "a directory that became empty could not be marked, and is gone");
        }
    }

    async fn mark_if_empty(&self, dir: Ino, without: &str) -> Result<()> {
        let Ok(Place::Directory(place)) = self.tree.place(dir) else { return Ok(()) };
        let implicit = matches!(self.tree.view(dir)?.observed.properties, NodeProperties::Nothing);
        let Some(marker) = place.marker() else { return Ok(()) };
        // The root of a mount of a prefix is there because it is mounted.
        if dir == Ino::ROOT || !implicit || self.tree.listings().has_sibling(dir, without) {
            return Ok(());
        }
        if self.first_below(&place, 1, Unseen::Ignored).await?.count() > 0 {
            return Ok(());
        }
        match self.put_marker(&marker?, &AttrChange::default(), &Precondition::IfAbsent).await {
            Ok(properties) => {
                self.tree.update(dir, NodeProperties::Blob(properties));
                Ok(())
            }
            Err(error) if error.is_precondition_failed() => Ok(()),
            Err(error) => Err(error),
        }
    }
}
