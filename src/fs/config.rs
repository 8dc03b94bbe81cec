//! The configuration of a filesystem: its accounts, and how it is mounted.

use std::time::Duration;

use crate::fs::copies::lease::LeaseSource;
use crate::fs::copies::method::CopyMethod;
use crate::fs::names::attr::{Defaults, Permissions};
use crate::fs::names::tree::Place;
use crate::path::ContainerName;
use crate::store::{Client, DeleteSnapshots};

/// An account of the mount.
pub struct Account {
    /// The client that reaches it.
    pub client: Client,
    /// Only these containers are shown; all when `None`.
    pub only: Option<Vec<ContainerName>>,
}

/// That for which other mounts believe what they know of a file anyway, unless they were told otherwise (`--attr-ttl`).
pub const STORE_WITHIN: Duration = Duration::from_secs(1);

/// The configuration of a filesystem.
pub struct Config {
    /// The accounts of the mount, by [`AccountId`](crate::fs::AccountId).
    pub accounts: Vec<Account>,
    /// The place of the root.
    pub root: Place,
    /// The time for which an observation of a blob is believed.
    pub attr_ttl: Duration,
    /// The treatment of modes and owners.
    pub permissions: Permissions,
    /// Modes and owner of what states none.
    pub defaults: Defaults,
    /// Callers of a copy wait for its end; otherwise they are done when it is accepted.
    pub copy_wait: bool,
    /// The way that copies between accounts go.
    pub copy_method: CopyMethod,
    /// When the source of a copy is leased.
    pub lease_source: LeaseSource,
    /// Whether what a copy replaces is restored when the copy fails or is aborted.
    pub keep_on_abort: bool,
    /// Deleting or renaming a blob takes its snapshots along instead of being refused.
    pub delete_snapshots: bool,
    /// Files that are written in one pass get a hash of what they hold, as `Content-MD5`.
    pub content_md5: bool,
    /// Longest time from a close that is not a program's last, and from mknod(2), to the commit (D36, D37).
    pub store_within: Duration,
    /// Whether what a program writes is looked for among what it has read.
    pub recognise_copies: bool,
    /// Resident memory of the process that content may bring it to, bytes.
    pub memory_limit: u64,
}

impl Config {
    pub(in crate::fs) fn snapshots_on_delete(&self) -> DeleteSnapshots {
        if self.delete_snapshots { DeleteSnapshots::Include } else { DeleteSnapshots::Refuse }
    }
}
