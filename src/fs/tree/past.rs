//! What was: the hidden directories `.snapshots` and `.versions`.
//!
//! Every directory of blobs has both. `DIR/.snapshots/NAME/MOMENT` is the blob `DIR/NAME` as it was at that moment. Such a file has a
//! place of its own kind, not that of a blob, so that whatever changes blobs finds none there; what only reads takes an [`Origin`],
//! which says blob and revision together.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::tree::{Blob, BlobDir};
use crate::store::{Moment, Revision};

/// What a hidden directory shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    Snapshots,
    Versions,
}

impl Past {
    /// The hidden directory of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Snapshots, Self::Versions].into_iter().find(|past| past.directory() == name)
    }

    pub fn directory(self) -> &'static str {
        match self {
            Self::Snapshots => ".snapshots",
            Self::Versions => ".versions",
        }
    }

    /// The revision that a file's name in it stands for, if it can be one.
    pub fn revision(self, name: &str) -> Option<Revision> {
        let moment = Moment::parse(name)?;
        Some(match self {
            Self::Snapshots => Revision::Snapshot(moment),
            Self::Versions => Revision::Version(moment),
        })
    }

    pub fn shows(self, revision: &Revision) -> bool {
        match self {
            Self::Snapshots => matches!(revision, Revision::Snapshot(_)),
            Self::Versions => matches!(revision, Revision::Version(_)),
        }
    }
}

/// What a node in a hidden directory stands for, or that directory itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PastPlace {
    /// `DIR/.snapshots`: names of blobs that have any.
    Names(Past, BlobDir),
    /// `DIR/.snapshots/NAME`: the moments of one blob.
    Moments(Past, Blob),
    /// `DIR/.snapshots/NAME/MOMENT`: a file.
    File(Blob, Revision),
}

impl PastPlace {
    /// The place below a hidden directory of `dir` that `names` lead to, the innermost first.
    pub(super) fn at(past: Past, dir: BlobDir, names: &[Arc<str>]) -> Result<Self> {
        match names {
            [] => Ok(Self::Names(past, dir)),
            [name] => Ok(Self::Moments(past, dir.blob(name)?)),
            [moment, name] => match past.revision(moment) {
                Some(revision) => Ok(Self::File(dir.blob(name)?, revision)),
                None => Err(Error::fs(libc::ENOENT, format!("{moment} is no moment"))),
            },
            _ => Err(Error::fs(libc::ENOTDIR, "a snapshot or version is no directory")),
        }
    }
}

/// Where content is read from or copied from: a blob as it is, or as it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    pub blob: Blob,
    pub revision: Option<Revision>,
}

impl From<Blob> for Origin {
    fn from(blob: Blob) -> Self {
        Self { blob, revision: None }
    }
}

/// EROFS: nothing can be written, made or renamed where only what was is shown (X19).
pub fn read_only() -> Error {
    Error::fs(libc::EROFS, "snapshots and versions cannot be changed, only read, copied and removed")
}
