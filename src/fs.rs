//! The filesystem: containers are directories, blobs are files, and what the service can do itself is left to it.
//!
//! Nothing here knows FUSE. An operation is an async method of [`Fs`] that takes owned types (inode numbers, names, byte
//! offsets) and answers with owned types or an [`Error`]; the adapter in `fuse.rs` decodes, calls and replies.
//!
//! The rooms, each standing on those below it:
//!
//! | room | what it holds |
//! |---|---|
//! | `ops` | the operations: whatever takes a whole [`Fs`] |
//! | `content` | open files: what was read of them, what was written and is not stored yet, in which form it gets into a blob |
//! | `copies` | copies that the service runs: what was ordered, how far they are, what they replace, leases of their sources |
//! | `names` | inodes, what is known of the blobs behind them, places in listings, who may do what |
//! | `caller`, `chores` | what `/proc` tells about the process behind a request; what is done after the answer, for unmounting to wait for |
//!
//! The operations:
//!
//! | file | what it does |
//! |---|---|
//! | `attributes` | getattr, setattr, statfs |
//! | `coherence` | what the service says against what is remembered: other clients' doings, told in one place |
//! | `dir` | lookup, listing, making and removing names |
//! | `file` | open, read, write, truncate, flush, release |
//! | `stage`, `commit` | the requests that store a draft in a block blob |
//! | `form`, `append`, `page` | what the type of a blob allows; content added to append blobs and put into page blobs |
//! | `range` | copies of ranges, holes, zeros |
//! | `copy` | whole copies run by the service, in slices, and what becomes of those of which a part is wanted |
//! | `backup`, `lease` | what a copy replaces, brought back if it fails; leases shown and broken |
//! | `rename` | copy, proof, delete; or one request where the namespace is hierarchical |
//! | `snapshot` | what was: `.snapshots` and `.versions` |
//! | `xattr` | properties, metadata, tags and copy state as attributes; `abort` |
//! | `control` | what the ioctls ask for: copy by path or URL, status, abort, snapshot |
//! | `bulk`, `walk`, `watch` | copies of whole trees, many at a time; a whole tree as one listing; waiting for the end of copies |
//! | `access` | who may do what, where the kernel does not ask |
//!
//! Locks, in the order in which they are taken: an open file's state (async, held across requests for that file), then the inode
//! table (a mutex, never held across a request).

pub mod caller;
mod chores;
mod content;
mod copies;
#[cfg(test)]
#[path = "../tests/machines/mod.rs"]
mod machines;
mod names;
mod ops;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use tokio::sync::{OnceCell, Semaphore};

pub use content::handle;
pub use copies::{bulk, job::CopyJob, lease};
pub use names::dir::entry::DirEntry;
pub use names::{access, attr, tree, walk};
pub use ops::control;
pub use ops::file::{Opened, WriteMode};
pub use ops::rename::RenameMode;

use crate::error::Error;
use crate::fs::content::block_ids::UPLOADS;
use crate::fs::content::handle::Handles;
use crate::fs::content::memory::Memory;
use crate::fs::copies::jobs::Jobs;
use crate::fs::copies::lease::{LeaseSource, SourceLeases};
use crate::fs::names::attr::{Defaults, Permissions};
use crate::fs::names::dir::lookups::Lookups;
use crate::fs::names::dir::sweeper::Sweeper;
use crate::fs::names::tree::{AccountId, Blob, Place, Tree};
use crate::fs::names::xattr_reads::Reads;
use crate::path::ContainerName;
use crate::store::{BlobClient, Client};

/// An account of the mount.
pub struct Account {
    pub client: Client,
    /// Only these containers are shown; all when `None`.
    pub only: Option<Vec<ContainerName>>,
}

/// What a filesystem is made of.
pub struct Config {
    pub accounts: Vec<Account>,
    /// What the root of the mount stands for.
    pub root: Place,
    /// How long what was heard of a blob is believed.
    pub attr_ttl: Duration,
    pub permissions: Permissions,
    pub defaults: Defaults,
    /// Callers of a copy wait for its end; otherwise they are done when it is accepted.
    pub copy_wait: bool,
    /// When the source of a copy is leased.
    pub lease_source: LeaseSource,
    /// What a copy replaces comes back when the copy fails or is aborted.
    pub keep_on_abort: bool,
    /// Deleting or renaming a blob takes its snapshots along instead of being refused.
    pub delete_snapshots: bool,
    /// Resident memory of the process that content may bring it to, bytes.
    pub memory_limit: u64,
}

/// The longest name of a directory entry where the service does not say, as everywhere on Linux.
const MAX_NAME: usize = 255;

/// A mounted filesystem. Shared by all requests as an `Arc`.
pub struct Fs {
    config: Config,
    tree: Arc<Tree>,
    handles: Handles,
    jobs: Jobs,
    leases: SourceLeases,
    chores: chores::Chores,
    memory: Arc<Memory>,
    upload_slots: Arc<Semaphore>,
    said_moving_data: AtomicBool,
    root_asked: OnceCell<()>,
    device: OnceLock<caller::Device>,
    /// See [`Fs::write_directly`].
    direct_writes: AtomicBool,
    said_no_past: AtomicBool,
    xattr_reads: Reads,
    sweeper: Sweeper,
    lookups: Lookups,
    /// The time of everything that has none of its own.
    started: SystemTime,
}

/// What `statfs` says, in units of `block_size` bytes. The service has no limit that a file could meet.
pub struct Statistics {
    pub block_size: u32,
    pub blocks: u64,
    pub files: u64,
    /// UTF-16 units that a name in the directory asked about may have.
    pub longest_name: u32,
}

impl Fs {
    pub fn new(config: Config) -> Arc<Self> {
        let tree = Arc::new(Tree::new(config.root.clone(), config.attr_ttl));
        let chores = chores::Chores::default();
        Arc::new(Self {
            tree,
            memory: Memory::new(config.memory_limit),
            handles: Handles::default(),
            jobs: Jobs::default(),
            leases: SourceLeases::new(&chores),
            chores,
            upload_slots: Arc::new(Semaphore::new(UPLOADS)),
            said_moving_data: AtomicBool::new(false),
            root_asked: OnceCell::new(),
            device: OnceLock::new(),
            direct_writes: AtomicBool::new(false),
            said_no_past: AtomicBool::new(false),
            xattr_reads: Reads::default(),
            sweeper: Sweeper::default(),
            lookups: Lookups::new(config.attr_ttl),
            config,
            started: SystemTime::now(),
        })
    }

    /// From now on, handles that only write do so past the kernel's cache. To be called before anything is opened, and only where the
    /// kernel drops from the cache what such a write replaces.
    pub fn write_directly(&self) {
        self.direct_writes.store(true, Ordering::Relaxed);
    }

    /// What the filesystem is mounted as. To be said once.
    pub fn mounted_as(&self, device: caller::Device) {
        let _ = self.device.set(device);
    }

    fn client(&self, account: AccountId) -> &Client {
        // An AccountId is only ever made from an index into this vector.
        &self.config.accounts[account.0].client
    }

    /// The store's client of a blob.
    fn blob<'a>(&'a self, blob: &'a Blob) -> BlobClient<'a> {
        self.client(blob.account).blob(&blob.path)
    }

    /// The errno for a caller. A mount of one container that is gone is a device that is gone (§4.2).
    pub fn errno(&self, error: &Error) -> i32 {
        match error.code() {
            "ContainerNotFound" | "FilesystemNotFound" if matches!(self.config.root, Place::Directory(_)) => {
                libc::ENODEV
            }
            _ => error.errno(),
        }
    }
}
