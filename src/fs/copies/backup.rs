//! A blob as it was before a copy onto it (C52).

use std::sync::Arc;

use crate::fs::journal::Entry;
use crate::fs::names::attr::Ino;
use crate::fs::names::tree::Blob;
use crate::store::{BlobProperties, CopyId, ETag, LeaseId, Revision};

/// A blob as it was before a copy onto it.
#[derive(Debug, Clone)]
pub(crate) struct Backup {
    pub(in crate::fs) blob: Blob,
    pub(in crate::fs) ino: Option<Ino>,
    /// The name that it has on the mount: whoever looks while the copy is pending finds another file there.
    pub(in crate::fs) name: Option<(Ino, Arc<str>)>,
    pub(in crate::fs) before: Arc<BlobProperties>,
    pub(in crate::fs) kind: BackupKind,
    /// The caller's lease of the destination (X5).
    pub(in crate::fs) lease: Option<LeaseId>,
}

#[derive(Debug, Clone)]
pub(in crate::fs) enum BackupKind {
    /// A block blob without content: what is known of it is all there is.
    Properties,
    Snapshot {
        revision: Revision,
        /// It says what it is (`mark`), so its metadata are not the blob's alone.
        marked: bool,
        entry: Arc<Entry>,
    },
}

/// By what the destination shows that nobody else has written to it.
#[derive(Debug, Clone)]
pub(crate) enum OwnWrite {
    /// The copy's id, however it ended.
    Copy(CopyId),
    /// The version that the copy made.
    Version(ETag),
    /// No answer told whether a copy was started.
    Unknown,
}

impl Backup {
    /// The place of the old content if it has to be brought back by hand.
    pub(crate) fn place(&self) -> String {
        match &self.kind {
            BackupKind::Properties => "it had no content".to_owned(),
            BackupKind::Snapshot { revision, .. } => {
                let (dir, name) = match self.blob.path.name.as_str().rsplit_once('/') {
                    Some((dir, name)) => (format!("{dir}/"), name),
                    None => (String::new(), self.blob.path.name.as_str()),
                };
                format!("{}/{dir}.snapshots/{name}/{}", self.blob.path.container, revision.moment())
            }
        }
    }
}
