//! Names that cannot be given up, because a container keeps its blobs or single versions of them (S109, S187, S188).
//!
//! The copy would be made and the delete of the source refused; and then the copy could not be taken back either. So
//! what may end like that is not begun.

use crate::error::{Error, OptionalExtension, Result};
use crate::fs::names::attr::FileKind;
use crate::fs::names::containers::kept;
use crate::fs::names::tree::NodeView;
use crate::fs::ops::rename::Renaming;
use crate::store::{BlobProperties, Keeping};

/// EPERM for a version with a policy or a hold of its own. It may have run out, but then `cp` and `rm` do the same.
pub(super) fn refuse_protected(name: &str, properties: &BlobProperties) -> Result<()> {
    match properties.protection.is_any() {
        true => Err(Error::fs(libc::EPERM, format!("{name}: it has an immutability policy or a legal hold"))),
        false => Ok(()),
    }
}

impl Renaming<'_> {
    /// EPERM if the old name cannot be given up; EXDEV if the new one can be made only once, which takes one write of
    /// content and attributes: mv copies then, and removes.
    pub(super) async fn refuse_kept(&self, source: &NodeView) -> Result<()> {
        let names = &self.fs.names;
        match names.keeping(self.from.0).await? {
            Keeping::Blobs | Keeping::Versions { every: true } => return Err(kept(self.from.1)),
            Keeping::Versions { every: false } if source.kind != FileKind::Directory => {
                let blob = self.fs.tree.blob(source.ino)?;
                if let Some(found) = self.fs.service.blob(&blob).properties().await.optional()? {
                    refuse_protected(self.from.1, &found)?;
                }
            }
            Keeping::Versions { .. } | Keeping::Nothing => {}
        }
        match names.keeping(self.to.0).await? {
            Keeping::Blobs => {
                Err(Error::fs(libc::EXDEV, format!("{}: its container keeps what is made there", self.to.1)))
            }
            Keeping::Versions { .. } | Keeping::Nothing => Ok(()),
        }
    }

    /// Whether listings of what is renamed have to tell of policies and holds.
    pub(super) async fn is_protection_asked(&self) -> Result<bool> {
        Ok(matches!(self.fs.names.keeping(self.from.0).await?, Keeping::Versions { .. }))
    }
}
