//! The interface of names to files that are open here, which may be ahead of the service.

use std::sync::Arc;

use crate::fs::names::attr::{Attr, Ino};
use crate::fs::names::tree::Tree;
use crate::store::{BlobProperties, CopyId, ETag};

/// A file that is open.
pub(in crate::fs) trait OpenNode: Send + Sync {
    /// `attr` as the service has it becomes what a program here should see.
    fn overlay(&self, attr: &mut Attr);

    /// There is something here to be stored, content or attributes. To be told without waiting for whoever works on the
    /// file.
    fn is_unsaved(&self) -> bool;

    /// The service may not have yet, or have without our knowing, what the file is here.
    fn is_ahead(&self) -> bool;

    /// The copy onto it that is not settled yet.
    fn copying(&self) -> Option<CopyId>;

    /// Whether all who have it open append to it, wherever its end is, and see nothing of it.
    fn is_only_appended_to(&self) -> bool;

    /// Records here and in the tree that the blob is again what it was as version `before`. False, and nothing is
    /// recorded, if somebody is at work on the file, who may have to ask.
    fn record_restored(&self, before: &ETag, properties: &Arc<BlobProperties>, tree: &Tree) -> bool;
}

/// The files that are open.
pub(in crate::fs) trait OpenNodes: Send + Sync {
    fn of_ino(&self, ino: Ino) -> Option<Arc<dyn OpenNode>>;

    fn open_inos(&self) -> Vec<Ino>;
}
