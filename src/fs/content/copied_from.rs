//! The file that a copy is made of, as it was when the copy was asked for.

use std::sync::Arc;

use crate::fs::names::attr::Ino;
use crate::fs::names::tree::Origin;
use crate::store::BlobProperties;

/// The version that a copy is made of, whole or in part.
#[derive(Clone)]
pub(crate) struct CopiedFrom {
    pub ino: Ino,
    /// Its place when the copy was asked for.
    pub origin: Origin,
    pub version: Arc<BlobProperties>,
}

impl CopiedFrom {
    /// The same version of the same file.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.ino == other.ino && self.version.etag == other.version.etag
    }
}
