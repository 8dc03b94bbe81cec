//! Places of revisions: the hidden directories `.snapshots` and `.versions`.
//!
//! Every directory of blobs has both. `DIR/.snapshots/NAME/MOMENT` is the blob `DIR/NAME` as it was at that moment.
//! Such a file has a place of its own kind, not that of a blob, so that whatever changes blobs finds none there; what
//! only reads takes an [`Origin`], which says blob and revision together.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::names::tree::place::{AccountId, Blob, BlobDir, RevisionDir, RevisionPlace};
use crate::store::{Moment, Revision};

impl RevisionDir {
    /// The hidden directory of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Snapshots, Self::Versions, Self::Deleted].into_iter().find(|revisions| revisions.directory() == name)
    }

    pub fn directory(self) -> &'static str {
        match self {
            Self::Snapshots => ".snapshots",
            Self::Versions => ".versions",
            Self::Deleted => ".deleted",
        }
    }

    /// The revision that a file's name in it stands for, if it can be one.
    pub fn revision(self, name: &str) -> Option<Revision> {
        let moment = Moment::parse(name)?;
        Some(match self {
            Self::Snapshots => Revision::Snapshot(moment),
            Self::Versions => Revision::Version(moment),
            Self::Deleted => return None,
        })
    }

    pub fn shows(self, revision: &Revision) -> bool {
        match self {
            Self::Snapshots => matches!(revision, Revision::Snapshot(_)),
            Self::Versions => matches!(revision, Revision::Version(_)),
            Self::Deleted => false,
        }
    }
}

impl RevisionPlace {
    pub fn account(&self) -> AccountId {
        match self {
            Self::Names(_, dir) => dir.account,
            Self::Moments(_, blob) | Self::File(blob, _) | Self::Deleted(blob) => blob.account,
        }
    }

    /// The place below a hidden directory of `dir` that `names` lead to, the innermost first.
    pub(in crate::fs) fn at(revisions: RevisionDir, dir: BlobDir, names: &[Arc<str>]) -> Result<Self> {
        match names {
            [] => Ok(Self::Names(revisions, dir)),
            [name] if revisions == RevisionDir::Deleted => Ok(Self::Deleted(dir.blob(name)?)),
            [name] => Ok(Self::Moments(revisions, dir.blob(name)?)),
            [moment, name] => match revisions.revision(moment) {
                Some(revision) => Ok(Self::File(dir.blob(name)?, revision)),
                None => Err(Error::not_found(format!("{moment} is no moment"))),
            },
            _ => Err(Error::fs(libc::ENOTDIR, "a snapshot or version is no directory")),
        }
    }
}

/// The origin of content that is read or copied: a blob as it is, or as it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    pub blob: Blob,
    pub revision: Option<Revision>,
}

impl Origin {
    /// The blob, if it is meant as it is now.
    pub fn current(&self) -> Option<Blob> {
        self.revision.is_none().then(|| self.blob.clone())
    }
}

impl From<Blob> for Origin {
    fn from(blob: Blob) -> Self {
        Self { blob, revision: None }
    }
}

/// ENODATA: the service keeps what was deleted, and gives nobody its content.
pub(crate) fn deleted(blob: &Blob) -> Error {
    let what = format!("{}: it was deleted, and can be read when it is brought back: blobcp undelete", blob.path);
    Error::fs(libc::ENODATA, what)
}

/// EROFS: nothing can be written, made or renamed where only what was is shown (X19).
pub(crate) fn read_only() -> Error {
    Error::fs(libc::EROFS, "snapshots and versions cannot be changed, only read, copied and removed")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::fs::names::attr::FileKind;
    use crate::fs::names::attr::Ino;
    use crate::fs::names::tree::Listed;
    use crate::fs::names::tree::NodeProperties;
    use crate::fs::names::tree::Observation;
    use crate::fs::names::tree::Place;
    use crate::fs::names::tree::Tree;
    use crate::path::ContainerName;

    fn enter(tree: &Tree, parent: Ino, name: &str, kind: FileKind) -> Ino {
        let known = Observation { properties: NodeProperties::Nothing, at: Instant::now() };
        let ino = tree.enter(parent, name, kind, known, None).unwrap().ino;
        assert!(tree.kernel().looked_up(ino));
        ino
    }

    /// `d/a` and its snapshot `T`: the tree, `d`, `d/.snapshots` and the snapshot.
    fn tree() -> (Tree, Ino, Ino, Ino) {
        let container = ContainerName::parse("box").unwrap();
        let root = BlobDir { account: AccountId(0), container, prefix: String::new() };
        let tree = Tree::new(Place::Directory(root), Duration::from_secs(60));
        let d = enter(&tree, Ino::ROOT, "d", FileKind::Directory);
        let began = Instant::now();
        tree.listings().add_page(d, began, Vec::new());
        tree.listings().end_listing(d, began);
        let hidden = tree.enter_revision_dir(d, RevisionDir::Snapshots).unwrap().ino;
        assert!(tree.kernel().looked_up(hidden));
        let a = enter(&tree, hidden, "a", FileKind::Directory);
        let file = enter(&tree, a, "2026-11-22T10:26:38.5720000Z", FileKind::File);
        (tree, d, hidden, file)
    }

    #[test]
    fn a_snapshot_is_a_source_and_never_a_blob_to_change() {
        let (tree, _, hidden, file) = tree();
        let origin = tree.origin(file).unwrap();
        assert_eq!(origin.blob.path.name.as_str(), "d/a");
        assert_eq!(origin.revision.unwrap().parameter(), ("snapshot", "2026-11-22T10:26:38.5720000Z"));
        assert_eq!(tree.blob(file).unwrap_err().errno(), libc::EROFS);
        assert_eq!(tree.directory(hidden).unwrap_err().errno(), libc::EROFS);
        assert_eq!(tree.refuse_revision(file).unwrap_err().errno(), libc::EROFS);
    }

    #[test]
    fn its_place_follows_its_directory() {
        let (tree, d, _, file) = tree();
        tree.rename(Ino::ROOT, "d", Ino::ROOT, "e");
        assert_eq!(tree.origin(file).unwrap().blob.path.name.as_str(), "e/a");
        assert!(tree.refuse_revision(d).is_ok());
    }

    #[test]
    fn no_listing_shows_a_hidden_directory() {
        let (tree, d, hidden, _) = tree();
        assert!(matches!(tree.listings().listed(d, ".snapshots"), Listed::Absent(_)));
        assert!(!tree.listings().has_sibling(d, "a"));
        // A real directory of that name is another node.
        assert_ne!(enter(&tree, d, ".snapshots", FileKind::Directory), hidden);
        assert!(matches!(tree.listings().listed(d, ".snapshots"), Listed::Present(_)));
        assert!(tree.listings().has_sibling(d, "a"));
    }

    #[test]
    fn names_are_moments_or_nothing() {
        assert_eq!(RevisionDir::named(".versions"), Some(RevisionDir::Versions));
        assert_eq!(RevisionDir::named("versions"), None);
        assert!(RevisionDir::Versions.revision("2026-11-22T10:26:38.5720000Z").is_some());
        for nothing in ["", "a", "2026 11", "2026&versionid=", "é"] {
            assert_eq!(RevisionDir::Snapshots.revision(nothing), None, "{nothing:?}");
        }
    }
}
