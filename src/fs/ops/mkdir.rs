//! Directories made and removed.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::names::attr::{Attr, Creation, FileKind, Ino};
use crate::fs::names::cache::observed_now;
use crate::fs::names::tree::{BlobDir, NodeProperties, Place, read_only};
use crate::path::ContainerName;
use crate::store::{ContainerItem, Keeping, Metadata, Precondition, Written};

impl Fs {
    /// mkdir(2): a marker blob, or at an account's root a container.
    pub async fn make_dir(&self, parent: Ino, name: &str, creation: Creation) -> Result<Attr> {
        let empty_since = self.tree.listings().absent_since(parent, name);
        let (heard, anchor) = match self.tree.place(parent)? {
            Place::Accounts => return Err(Error::fs(libc::EPERM, "accounts cannot be made here")),
            Place::Account(account) => {
                let container = ContainerName::parse(name)?;
                let mut metadata = Metadata::default();
                let change = self.names.attributes_of_new(parent, FileKind::Directory, creation)?;
                change.apply(FileKind::Directory, &mut metadata, &self.config.defaults);
                let Written { etag, last_modified } =
                    self.service.client(account).container(&container).create(&metadata).await?;
                let keeping = Keeping::Nothing;
                let item = ContainerItem { name: container.clone(), last_modified, etag, metadata, keeping };
                let place = Place::Directory(BlobDir { account, container, prefix: String::new() });
                (NodeProperties::Container(Arc::new(item)), Some(place))
            }
            Place::Directory(dir) => {
                let change = self.names.attributes_of_new(parent, FileKind::Directory, creation)?;
                let marker = self.directories.put_marker(&dir.blob(name)?, &change, &Precondition::IfAbsent).await?;
                (NodeProperties::Blob(marker), None)
            }
            Place::Blob(_) => return Err(Error::fs(libc::ENOTDIR, "not a directory")),
            Place::Revision(_) => return Err(read_only()),
        };
        let view = self.tree.enter(parent, name, FileKind::Directory, observed_now(heard), anchor)?;
        self.tree.touch(parent);
        // Nobody knows the new node yet, so it is there.
        let _ = self.tree.kernel().looked_up(view.ino);
        if let Some(since) = empty_since {
            self.directories.listed_empty(view.ino, since);
        }
        Ok(self.names.attr_of(&view))
    }

    /// rmdir(2) of an empty directory, or of an empty container.
    pub async fn remove_dir(&self, parent: Ino, name: &str) -> Result<()> {
        let view = self.directories.resolve(parent, name).await?;
        if view.kind != FileKind::Directory {
            return Err(Error::fs(libc::ENOTDIR, format!("{name} is not a directory")));
        }
        let dir = match self.tree.place(view.ino)? {
            Place::Directory(dir) => dir,
            Place::Revision(place) => return self.directories.remove_revision_dir(parent, name, &place).await,
            _ => return Err(Error::fs(libc::EPERM, "accounts cannot be removed here")),
        };
        if !self.copies.jobs.known_here(|blob| dir.holds(blob)).is_empty() {
            return Err(Error::fs(libc::ENOTEMPTY, format!("{name}: something is being copied into it")));
        }
        let slash = self.directories.slash_marker_if_empty(&view, &dir).await?;
        let client = self.service.client(dir.account);
        match dir.marker() {
            None => client.container(&dir.container).delete().await?,
            Some(marker) => {
                self.directories.delete_marker(&marker?, &view).await?;
                if let Some(slash) = slash {
                    self.directories.delete_version(&dir.blob("")?, &slash).await?;
                }
            }
        }
        self.tree.unlink(parent, name);
        self.tree.touch(parent);
        self.directories.keep_alive(parent, name).await;
        Ok(())
    }
}
