//! Symbolic links, FIFOs, sockets and devices: blobs that are whole with their first request.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::names::attr::{self, Attr, Creation, FileKind, Ino};
use crate::fs::names::cache::{Names, observed_now};
use crate::fs::names::tree::{NodeProperties, Origin};
use crate::store::{BlobSettings, Precondition, ReadOptions};

/// PATH_MAX: a longer target could not be followed.
const LONGEST_TARGET: u64 = 4096;

impl Fs {
    /// symlink(2): a blob whose content is the target (§19).
    pub async fn symlink(&self, parent: Ino, name: &str, target: &str, creation: Creation) -> Result<Attr> {
        self.make_blob(parent, name, FileKind::Symlink, 0, bytes::Bytes::copy_from_slice(target.as_bytes()), creation)
            .await
    }

    /// mknod(2) of a FIFO, a socket or a device: an empty blob whose metadata say so. `device` is the number of a
    /// device.
    pub async fn make_special(
        &self,
        parent: Ino,
        name: &str,
        kind: FileKind,
        device: u32,
        creation: Creation,
    ) -> Result<Attr> {
        self.make_blob(parent, name, kind, device, bytes::Bytes::new(), creation).await
    }

    /// A name that is whole with its first request.
    async fn make_blob(
        &self,
        parent: Ino,
        name: &str,
        kind: FileKind,
        device: u32,
        body: bytes::Bytes,
        creation: Creation,
    ) -> Result<Attr> {
        let blob = self.tree.directory(parent)?.blob(name)?;
        let mut metadata = attr::kind_metadata(kind, device);
        self.names.attributes_of_new(parent, kind, creation)?.apply(kind, &mut metadata, &self.config.defaults);
        let settings = BlobSettings { metadata, ..Default::default() };
        let size = body.len() as u64;
        let written =
            self.service.blob(&blob).block_blob().upload(body, &settings, &Precondition::IfAbsent.into()).await?;
        let heard = NodeProperties::Blob(Arc::new(attr::just_written(size, settings, written)));
        let view = self.tree.enter(parent, name, kind, observed_now(heard), None)?;
        self.tree.touch(parent);
        let _ = self.tree.kernel().looked_up(view.ino);
        Ok(self.names.attr_of(&view))
    }

    /// readlink(2).
    pub async fn read_link(&self, ino: Ino) -> Result<bytes::Bytes> {
        let view = self.names.fresh(ino).await?;
        Names::check_named(&view)?;
        let Origin { blob, revision } = self.tree.origin(ino)?;
        let range = Some(0..LONGEST_TARGET + 1);
        let etag = view.properties().map(|properties| &properties.etag);
        let target =
            self.service.blob(&blob).at(revision.as_ref()).download(ReadOptions { range, if_match: etag }).await;
        let target = target.map_err(|error| self.names.invalidate_refused(ino, etag, error))?.bytes;
        if target.len() as u64 > LONGEST_TARGET {
            return Err(Error::fs(
                libc::EIO,
                format!("{} says that it is a symlink, but is too long for one", blob.path),
            ));
        }
        Ok(target)
    }
}
