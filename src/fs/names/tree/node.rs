//! Views of nodes of the tree, as they are shown to whoever asks.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::error::{Error, Result};
use crate::fs::names::attr::{FileKind, Ino};
use crate::fs::names::tree::packed::Packed;
use crate::store::{BlobProperties, ContainerItem, CopyStatus};

/// The tie of a node to its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    Named,
    /// Removed or replaced by an operation of this mount: what is still written to it has nowhere to go, as on a disk.
    Removed,
    /// Not in the service any more, or replaced there, and not by our doing: what is still written to it would be lost.
    Vanished,
}

/// Properties of the blob of a node.
#[derive(Debug, Clone)]
pub enum NodeProperties {
    Blob(Arc<BlobProperties>),
    /// Those of a container.
    Container(Arc<ContainerItem>),
    /// There is none: an implicit directory, an account, a file not yet committed.
    Nothing,
}

#[derive(Debug, Clone)]
pub struct Observation {
    pub properties: NodeProperties,
    pub at: Instant,
}

impl Observation {
    pub fn age(&self) -> Duration {
        self.at.elapsed()
    }
}

/// A copy of what the table holds of a node.
#[derive(Debug, Clone)]
pub struct NodeView {
    pub ino: Ino,
    pub parent: Ino,
    pub name: Arc<str>,
    pub kind: FileKind,
    pub observed: Observation,
    pub link: Link,
    /// When this mount last made or removed an entry of the directory. Nobody keeps that in the service.
    pub touched: Option<SystemTime>,
}

impl NodeView {
    pub fn properties(&self) -> Option<&Arc<BlobProperties>> {
        match &self.observed.properties {
            NodeProperties::Blob(properties) => Some(properties),
            NodeProperties::Container(_) | NodeProperties::Nothing => None,
        }
    }

    /// A copy onto it is under way, whoever started it.
    pub(in crate::fs) fn is_pending(&self) -> bool {
        self.properties().is_some_and(|properties| properties.is_pending())
    }

    /// A copy onto it is pending, or has left it empty and may be begun anew: its size is not for the kernel to remember,
    /// which would go on reading nothing when the content is there.
    pub(in crate::fs) fn is_between_contents(&self) -> bool {
        let left_empty = |properties: &BlobProperties| {
            let copy = properties.copy.as_ref().map(|copy| copy.status);
            properties.size == 0 && matches!(copy, Some(CopyStatus::Aborted | CopyStatus::Failed))
        };
        self.is_pending() || self.properties().is_some_and(|properties| left_empty(properties))
    }
}

/// An entry of a listed directory. The inode number is reserved when the entry is listed.
#[derive(Debug, Clone)]
pub struct Entry {
    pub ino: Ino,
    pub name: Arc<str>,
    pub kind: FileKind,
    pub(super) packed: Packed,
    /// When the service was asked for it: the pages of a long listing are of different ages.
    pub(super) at: Instant,
}

/// An entry that is just being listed.
pub struct Row {
    pub name: Arc<str>,
    pub kind: FileKind,
    pub observed: Observation,
}

/// The answer of a remembered listing about a name.
#[derive(Debug, Clone)]
pub enum Listed {
    Present(Entry),
    /// Since when it is known: what came into being here since is there.
    Absent(Instant),
    /// There is no fresh listing.
    Unknown,
}

impl NodeView {
    pub(in crate::fs) fn refuse_writing(&self) -> Result<()> {
        let Some(properties) = self.properties() else { return Ok(()) };
        if self.is_pending() {
            return Err(Error::copy_pending(&self.name));
        }
        // Who ignores errors of close would lose what it writes.
        if properties.is_archived() {
            return Err(Error::fs(libc::ENODATA, format!("{}: it is archived", self.name)));
        }
        if properties.sealed {
            return Err(Error::fs(libc::EPERM, format!("{}: the AppendBlob is sealed for good", self.name)));
        }
        Ok(())
    }
}
