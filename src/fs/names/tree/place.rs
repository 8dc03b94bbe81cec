//! Places that names stand for: an account, a container, or a path in it.

use crate::error::{Error, Result};
use crate::path::{BlobName, BlobPath, ContainerName};
use crate::store::Revision;

/// Index into the mount's accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AccountId(pub usize);

/// A container or a directory in it: the names below it start with `prefix`, which is empty or ends with `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobDir {
    /// The account of the container.
    pub account: AccountId,
    /// The container.
    pub container: ContainerName,
    /// The path in it.
    pub prefix: String,
}

impl BlobDir {
    /// The blob of that name in this directory.
    pub fn blob(&self, name: &str) -> Result<Blob> {
        let name = BlobName::parse(&format!("{}{name}", self.prefix))?;
        Ok(Blob { account: self.account, path: BlobPath::new(self.container.clone(), name) })
    }

    /// The directory of that name in this directory.
    pub fn subdirectory(&self, name: &str) -> Self {
        Self { prefix: format!("{}{name}/", self.prefix), ..self.clone() }
    }

    /// Whether a blob is in this directory, or in one below it.
    pub fn holds(&self, blob: &Blob) -> bool {
        blob.account == self.account
            && blob.path.container == self.container
            && blob.path.name.as_str().starts_with(&self.prefix)
    }

    /// The blob that marks this directory; none marks a container.
    pub fn marker(&self) -> Option<Result<Blob>> {
        let name = BlobName::parse(self.prefix.strip_suffix('/')?).map_err(Error::from);
        Some(name.map(|name| Blob { account: self.account, path: BlobPath::new(self.container.clone(), name) }))
    }
}

/// A blob of one of the mount's accounts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Blob {
    pub account: AccountId,
    pub path: BlobPath,
}

/// The place of a node in the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The root of a mount of several accounts.
    Accounts,
    /// An account: its containers are the entries.
    Account(AccountId),
    /// A container or a directory of blobs.
    Directory(BlobDir),
    /// A file or symlink.
    Blob(Blob),
    /// In `.snapshots` or `.versions`: what can only be read.
    Revision(RevisionPlace),
}

impl Place {
    /// The blob at the place, or the one that marks the directory there: what keeps its attributes.
    pub fn blob_or_marker(self) -> Option<Result<Blob>> {
        match self {
            Self::Blob(blob) => Some(Ok(blob)),
            Self::Directory(dir) => dir.marker(),
            Self::Accounts | Self::Account(_) | Self::Revision(_) => None,
        }
    }
}

/// The place of a node in a hidden directory, or of that directory itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevisionPlace {
    /// `DIR/.snapshots`: names of blobs that have any.
    Names(RevisionDir, BlobDir),
    /// `DIR/.snapshots/NAME`: the moments of one blob.
    Moments(RevisionDir, Blob),
    /// `DIR/.snapshots/NAME/MOMENT`: a file.
    File(Blob, Revision),
    /// `DIR/.deleted/NAME`: a blob or directory that was deleted and can be brought back.
    Deleted(Blob),
}

/// The kind of revisions that a hidden directory shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevisionDir {
    Snapshots,
    Versions,
    /// What was deleted: shown by its name, and if that was deleted more than once, what was deleted last.
    Deleted,
}
