//! The filesystem: containers are directories, blobs are files, and what the service can do itself is left to it.
//!
//! Nothing here knows FUSE. An operation is an async method of [`Fs`] that takes owned types (inode numbers, names,
//! byte offsets) and answers with owned types or an [`Error`]; the adapter in `fuse.rs` decodes, calls and replies.
//!
//! [`Fs`] is composed of parts, each of which owns its data; a method is on the part whose data it touches. The rooms,
//! each standing on those below it:
//!
//! | room | parts | what it holds |
//! |---|---|---|
//! | `ops` | [`Fs`], `Control`, `Readdir`, `TreeCopies`, `Xattrs` | the operations, a file each: whatever takes a whole [`Fs`] |
//! | `content` | [`Files`], `PageBlobs`, [`CopyDestinations`], `Uploads` | open files: what was read, what was written and is not stored yet, how it gets into a blob |
//! | `copies` | [`Copies`] | copies that the service runs: what was ordered, how far they are, what they replace, leases of their sources |
//! | `names` | [`Names`], [`Directories`], [`Tree`] | inodes, what is known of the blobs behind them, places in listings, who may do what |
//! | `service`, `config` | [`Service`], [`Config`] | the accounts and the clients that reach them; how the filesystem is mounted |
//! | `journal` | | what is under way here and would be left at the service by a process that is killed |
//! | `caller`, `background` | | what `/proc` tells about the process behind a request; what is done after the answer, for unmounting to wait for |
//!
//! Locks, in the order in which they are taken: an open file's state (async, held across requests for that file:
//! `Locked`), then the inode table (a mutex, never held across a request). Of several files at once, `ops/rename` locks
//! in the order of their inode numbers.

mod allocator;
mod background;
mod block_ids;
pub(crate) mod caller;
mod config;
mod content;
mod copies;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod journal;
#[cfg(test)]
#[path = "../tests/machines/mod.rs"]
mod machines;
mod names;
mod ops;
mod service;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

pub use caller::Caller;
pub use config::{Account, Config, STORE_WITHIN};
pub(crate) use content::handle;
pub use content::handle::Fh;
pub use copies::bulk::{Event, Outcome, Skip, TreeOrder};
pub use copies::lease::LeaseSource;
pub use copies::method::CopyMethod;
pub(crate) use copies::{bulk, job::CopyJob, lease, leftovers, method};
pub use names::access::Credentials;
pub use names::attr::{Defaults, FileKind, Ino, Permissions};
pub(crate) use names::dir::entry::DirEntry;
pub use names::identities::Identities;
pub use names::tree::{AccountId, BlobDir, Place};
pub(crate) use names::{access, attr, tree, walk};
pub(crate) use ops::control;
pub use ops::control::CopyOrder;
pub(crate) use ops::open::Opened;
pub(crate) use ops::rename::RenameMode;
pub(crate) use ops::write::{WriteMode, WrittenBack};

use crate::error::Error;
use crate::fs::content::destination::CopyDestinations;
use crate::fs::content::files::Files;
use crate::fs::content::handle::Handles;
use crate::fs::copies::run::Copies;
use crate::fs::names::cache::Names;
use crate::fs::names::lookup::Directories;
use crate::fs::names::tree::Tree;
use crate::fs::names::xattr_reads::Reads;
use crate::fs::service::Service;

/// A mounted filesystem. Shared by all requests as an `Arc`.
pub struct Fs {
    service: Arc<Service>,
    config: Arc<Config>,
    tree: Arc<Tree>,
    names: Arc<Names>,
    directories: Arc<Directories>,
    copies: Arc<Copies>,
    handles: Arc<Handles>,
    files: Arc<Files>,
    destinations: Arc<CopyDestinations>,
    device: OnceLock<caller::Device>,
    xattr_reads: Reads,
    ending: AtomicBool,
}

impl Fs {
    /// A filesystem on the accounts of `config`; no request is sent.
    pub fn new(config: Config) -> Arc<Self> {
        let config = Arc::new(config);
        let service = Arc::new(Service::new(config.clone()));
        let tree = Arc::new(Tree::new(config.root.clone(), config.attr_ttl));
        let handles = Arc::new(Handles::default());
        let names = Arc::new(Names::new(service.clone(), tree.clone(), handles.clone()));
        let copies = Arc::new(Copies::new(&names));
        let files = Arc::new(Files::new(names.clone(), handles.clone(), &copies));
        Arc::new(Self {
            directories: Arc::new(Directories::new(names.clone())),
            destinations: Arc::new(CopyDestinations::new(files.clone(), copies.clone())),
            service,
            config,
            tree,
            names,
            copies,
            handles,
            files,
            device: OnceLock::new(),
            xattr_reads: Reads::default(),
            ending: AtomicBool::new(false),
        })
    }

    /// From now on, handles that only write do so past the kernel's cache. To be called before anything is opened, and
    /// only where the kernel drops from the cache what such a write replaces.
    pub fn write_directly(&self) {
        self.handles.write_directly();
    }

    /// Sets what the filesystem is mounted as, once.
    pub fn mounted_as(&self, device: caller::Device) {
        let _ = self.device.set(device);
    }

    /// Whether modes and owners bind anybody: not those that the service has for itself.
    pub fn modes_bind(&self) -> bool {
        self.config.defaults.shown.is_none()
    }

    /// The knowledge about inodes, with how long the kernel may believe it.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The tree of inodes.
    pub fn tree(&self) -> &Tree {
        &self.tree
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
