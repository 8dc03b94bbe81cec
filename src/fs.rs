//! The filesystem: containers are directories, blobs are files, and what the service can do itself is left to it.
//!
//! Nothing here knows FUSE. An operation is an async method of [`Fs`] that takes owned types (inode numbers, names, byte
//! offsets) and answers with owned types or an [`Error`]; the adapter in `fuse.rs` decodes, calls and replies.
//!
//! The rooms, from the name to the bytes:
//!
//! | room | what it holds |
//! |---|---|
//! | `tree` | inodes: identities with a parent and a name, and what was last heard of their blobs |
//! | `coherence` | what the service says against what is remembered: other clients' doings, told in one place |
//! | `dir` | lookup, listing, making and removing names |
//! | `attr` | what `stat` says and how it is kept in metadata |
//! | `handle` | open files and directories |
//! | `file` | open, read, write, truncate, flush, release |
//! | `rope`, `plan` | new content as segments, and the blocks that they become |
//! | `stage`, `commit` | the requests that store it in a block blob |
//! | `form`, `append`, `page` | what the type of a blob allows; content added to append blobs and put into page blobs |
//! | `range` | copies of ranges, holes, zeros |
//! | `read` | committed content, fetched ahead of sequential readers |
//! | `memory` | the budget for content in memory, and what of it is kept |
//! | `copy` | whole copies run by the service, in slices, and what becomes of those of which a part is wanted |
//! | `keep` | what a copy replaces, to be brought back if it fails |
//! | `lease` | the sources of pending copies, leased |
//! | `rename` | copy, proof, delete; or one request where the namespace is hierarchical |
//! | `snapshot` | what was: `.snapshots` and `.versions` |
//! | `xattr` | properties, metadata, tags and copy state as attributes; `abort` |
//! | `control` | what the ioctls ask for: copy by path or URL, status, abort, snapshot |
//! | `bulk` | copies of whole trees, many at a time |
//! | `walk` | a whole tree as one listing |
//! | `watch` | waiting for the end of copies |
//! | `access` | who may do what, where the kernel does not ask |
//! | `caller` | what `/proc` tells about the process behind a request |
//! | `chores` | what is done after the answer, for unmounting to wait for |
//!
//! Locks, in the order in which they are taken: an open file's state (async, held across requests for that file), then the inode
//! table (a mutex, never held across a request).

pub mod access;
mod append;
pub mod attr;
pub mod bulk;
pub mod caller;
mod chores;
mod coherence;
mod commit;
pub mod control;
mod copy;
mod dir;
mod file;
mod form;
pub mod handle;
mod keep;
pub mod lease;
mod memory;
mod page;
mod plan;
mod range;
mod read;
mod rename;
mod rope;
mod snapshot;
mod stage;
pub mod tree;
pub mod walk;
mod watch;
mod xattr;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::join_all;
use tokio::sync::{OnceCell, Semaphore};
use tracing::debug;

pub use copy::CopyJob;
pub use dir::DirEntry;
pub use file::{Opened, WriteMode};
pub use rename::RenameMode;

use crate::error::{Error, Result};
use crate::fs::attr::{Attr, AttrChange, Creation, Defaults, FileKind, Ino, Permissions};
use crate::fs::handle::Handles;
use crate::fs::memory::Memory;
use crate::fs::tree::{AccountId, Heard, Link, NodeView, Origin, Place, Tree};
use crate::path::{self, ContainerName, MAX_BLOB_NAME, MAX_CONTAINER_NAME};
use crate::store::Client;

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
    pub lease_source: lease::LeaseSource,
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
    jobs: watch::Jobs,
    leases: lease::SourceLeases,
    chores: chores::Chores,
    memory: Arc<Memory>,
    upload_slots: Arc<Semaphore>,
    said_moving_data: AtomicBool,
    root_asked: OnceCell<()>,
    device: OnceLock<caller::Device>,
    /// See [`Fs::write_directly`].
    direct_writes: AtomicBool,
    said_no_past: AtomicBool,
    xattr_reads: xattr::Reads,
    sweeper: dir::Sweeper,
    lookups: dir::Lookups,
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
            jobs: watch::Jobs::default(),
            leases: lease::SourceLeases::new(&chores),
            chores,
            upload_slots: Arc::new(Semaphore::new(stage::UPLOADS)),
            said_moving_data: AtomicBool::new(false),
            root_asked: OnceCell::new(),
            device: OnceLock::new(),
            direct_writes: AtomicBool::new(false),
            said_no_past: AtomicBool::new(false),
            xattr_reads: xattr::Reads::default(),
            sweeper: dir::Sweeper::default(),
            lookups: dir::Lookups::new(config.attr_ttl),
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

    /// The errno for a caller. A mount of one container that is gone is a device that is gone (§4.2).
    pub fn errno(&self, error: &Error) -> i32 {
        match error.code() {
            "ContainerNotFound" | "FilesystemNotFound" if matches!(self.config.root, Place::Directory(_)) => {
                libc::ENODEV
            }
            _ => error.errno(),
        }
    }

    /// What `stat` says of a node, from what is known of it: no request is sent.
    fn attr_of(&self, view: &NodeView) -> Attr {
        let defaults = &self.config.defaults;
        let mut attr = match &view.known.heard {
            Heard::Blob(properties) => attr::of_blob(view.ino, view.kind, properties, defaults),
            Heard::Container(item) => attr::of_container(view.ino, item, defaults),
            Heard::Nothing => attr::of_nothing(view.ino, view.kind, 0, self.started, defaults),
        };
        if let Some(touched) = view.touched {
            attr.touch(touched);
        }
        if view.link != Link::Named {
            attr.links = 0;
        }
        if let Some(file) = self.handles.of_ino(view.ino) {
            file.overlay(&mut attr);
        }
        attr
    }

    /// What a new file of that kind gets, if this mount keeps such things.
    fn attributes_of_new(&self, dir: Ino, kind: FileKind, creation: Creation) -> Result<AttrChange> {
        match self.config.permissions {
            Permissions::Keep => Ok(creation.within(&self.attr_of(&self.tree.view(dir)?), kind)),
            Permissions::Fixed | Permissions::Ignore => Ok(AttrChange::default()),
        }
    }

    /// How long the kernel may believe what it is told now of a node: as long as we would. What is not stored yet gets other times when
    /// it is.
    pub fn ttl(&self, ino: Ino) -> Duration {
        let Ok(view) = self.tree.view(ino) else { return Duration::ZERO };
        if self.handles.of_ino(ino).is_some_and(|file| file.is_unsaved()) {
            return Duration::ZERO;
        }
        self.trust(view.kind).saturating_sub(view.known.age()).min(self.config.attr_ttl)
    }

    /// How long the kernel may believe what a listing says of a node, from the moment when the reader gets to it. Counted from the moment
    /// when the page was asked for, the last entries of a large page would be too old for a reader who is slow, and asking for each of
    /// them would make him slower still. Whoever opens the file asks anew all the same.
    pub fn ttl_of_listed(&self, ino: Ino) -> Duration {
        if self.handles.of_ino(ino).is_some() { self.ttl(ino) } else { self.config.attr_ttl }
    }

    /// How long what was heard is believed. That a directory is there is believed longer: nothing is read from the memory of it but
    /// that names can be looked up in it, and every path walks through several.
    fn trust(&self, kind: FileKind) -> Duration {
        match kind {
            FileKind::Directory => self.config.attr_ttl * 30,
            _ => self.config.attr_ttl,
        }
    }

    pub async fn getattr(&self, ino: Ino) -> Result<Attr> {
        if ino == Ino::ROOT {
            self.root_asked.get_or_init(|| self.ask_root()).await;
        }
        // The kernel asks for the mode before an open: an answer about another file than it has just looked up would never let it open one
        // that is written all the time.
        let looked_up = self.tree.is_just_looked_up(ino, coherence::LOOKED_UP);
        let view = if looked_up { self.tree.view(ino)? } else { self.fresh(ino).await? };
        // Who has the old file open sees what that was: an error would make pages that the kernel has of it unreachable. All others came
        // by the name.
        if self.handles.of_ino(ino).is_none() {
            Self::named(&view)?;
        }
        Ok(self.attr_of(&view))
    }

    /// What is known of a node, asked anew if that is too old. A node without a name keeps what was last known; the answer may be that it
    /// has lost its name ([`Fs::named`]).
    async fn fresh(&self, ino: Ino) -> Result<NodeView> {
        let view = self.tree.view(ino)?;
        if view.kind == FileKind::Directory
            || view.link != Link::Named
            || view.known.age() < self.trust(view.kind)
            || self.is_ahead(ino)
        {
            return Ok(view);
        }
        let Ok(Origin { blob, revision }) = self.tree.origin(ino) else { return Ok(view) };
        let asked = Instant::now();
        match self.client(blob.account).blob_properties(&blob.path, revision.as_ref()).await {
            Ok(properties) => self.heard(ino, properties, asked),
            Err(error) if error.is_not_found() && (self.is_ahead(ino) || self.is_copied_to(ino)) => self.tree.view(ino),
            Err(error) if error.is_not_found() => {
                self.tree.vanish(view.parent, &view.name, asked);
                self.tree.view(ino).map_err(|_| error)
            }
            Err(error) => Err(error),
        }
    }

    /// The file exists here only so far.
    fn is_new(&self, ino: Ino) -> bool {
        self.handles.of_ino(ino).is_some()
            && self.tree.view(ino).is_ok_and(|view| matches!(view.known.heard, Heard::Nothing))
    }

    /// A copy onto the file is under way here.
    fn is_copied_to(&self, ino: Ino) -> bool {
        self.handles.of_ino(ino).is_some_and(|file| file.is_copied_to())
    }

    /// chmod, chown, utimens and truncate; `size` in bytes. `writer` is the open file that a truncation came through, if any: then it
    /// is stored with the next commit, otherwise at once.
    pub async fn setattr(
        self: &Arc<Self>,
        ino: Ino,
        size: Option<u64>,
        change: AttrChange,
        writer: Option<handle::Fh>,
        caller: caller::Caller,
    ) -> Result<Attr> {
        if let Some(size) = size {
            self.truncate(ino, size, writer, caller).await?;
        }
        if !change.is_empty() {
            let view = self.fresh(ino).await?;
            Self::named(&view)?;
            let change = change.admit(&self.attr_of(&view), self.config.permissions)?;
            if !change.is_empty() {
                self.change_attributes(&view, change, caller).await?;
            }
        }
        Ok(self.attr_of(&self.tree.view(ino)?))
    }

    /// Asks the accounts whether their namespaces are hierarchical, so that the first rename need not. It is of no consequence if they do
    /// not answer now.
    pub async fn ask_namespaces(&self) {
        let asked = self.config.accounts.iter().map(|account| async {
            let container = match (&account.only, &self.config.root) {
                (Some(only), _) => only.first(),
                (None, Place::Directory(dir)) => Some(&dir.container),
                (None, _) => None,
            };
            if let Err(error) = account.client.is_hierarchical(container).await {
                debug!(account = %account.client.account(), %error, "whether its namespace is hierarchical is not known yet");
            }
        });
        join_all(asked).await;
    }

    pub fn forget(&self, ino: Ino, count: u64) {
        self.tree.forget(ino, count);
    }

    pub fn statfs(&self, ino: Ino) -> Statistics {
        const TIB: u64 = 1 << 40;
        let longest_name = match self.tree.place(ino) {
            // The path to it is part of a blob's name.
            Ok(Place::Directory(dir)) => MAX_BLOB_NAME.saturating_sub(path::length(&dir.prefix)),
            Ok(Place::Account(_)) => MAX_CONTAINER_NAME,
            _ => MAX_NAME,
        };
        // A pebibyte free: df shows something sensible and no program believes that it does not fit.
        Statistics { block_size: 4096, blocks: 1024 * TIB / 4096, files: 1 << 40, longest_name: longest_name as u32 }
    }
}
