//! A whole tree as one listing: where a walk through it is.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::fs::names::access::Credentials;
use crate::fs::names::attr::FileKind;
use crate::fs::names::tree::BlobDir;
use crate::store::BlobProperties;

/// A blob of a tree.
#[derive(Clone)]
pub struct Found {
    /// From the top of the tree, without a slash at its beginning.
    pub path: Arc<str>,
    pub kind: FileKind,
    pub properties: Arc<BlobProperties>,
    /// A directory that the caller may not enter.
    pub closed: bool,
}

/// Where a listing of a tree has come to.
pub struct Walk {
    pub(in crate::fs) dir: BlobDir,
    pub(in crate::fs) next: Next,
    pub(in crate::fs) page: VecDeque<Found>,
    pub(in crate::fs) who: Credentials,
    /// Whether the caller may enter a directory, by its path.
    pub(in crate::fs) open: HashMap<String, bool>,
}

pub(in crate::fs) enum Next {
    Page(Option<String>),
    Done,
}
