//! What `stat` says of a file, and how it is changed: getattr, setattr, statfs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tracing::debug;

use crate::error::Result;
use crate::fs::caller::Caller;
use crate::fs::content::handle::Fh;
use crate::fs::names::attr::{self, Attr, AttrChange, Creation, FileKind, Ino, Permissions};
use crate::fs::names::tree::{Heard, Link, NodeView, Origin, Place};
use crate::fs::{Fs, MAX_NAME, Statistics};
use crate::path::{self, MAX_BLOB_NAME, MAX_CONTAINER_NAME};

impl Fs {
    /// What `stat` says of a node, from what is known of it: no request is sent.
    pub(in crate::fs) fn attr_of(&self, view: &NodeView) -> Attr {
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
    pub(in crate::fs) fn attributes_of_new(&self, dir: Ino, kind: FileKind, creation: Creation) -> Result<AttrChange> {
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
    pub(in crate::fs) fn trust(&self, kind: FileKind) -> Duration {
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
        let looked_up = self.tree.is_just_looked_up(ino, crate::fs::ops::coherence::LOOKED_UP);
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
    pub(in crate::fs) async fn fresh(&self, ino: Ino) -> Result<NodeView> {
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
        match self.blob(&blob).at(revision.as_ref()).properties().await {
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
    pub(in crate::fs) fn is_new(&self, ino: Ino) -> bool {
        self.handles.of_ino(ino).is_some()
            && self.tree.view(ino).is_ok_and(|view| matches!(view.known.heard, Heard::Nothing))
    }

    /// A copy onto the file is under way here.
    pub(in crate::fs) fn is_copied_to(&self, ino: Ino) -> bool {
        self.handles.of_ino(ino).is_some_and(|file| file.is_copied_to())
    }

    /// chmod, chown, utimens and truncate; `size` in bytes. `writer` is the open file that a truncation came through, if any: then it
    /// is stored with the next commit, otherwise at once.
    pub async fn setattr(
        self: &Arc<Self>,
        ino: Ino,
        size: Option<u64>,
        change: AttrChange,
        writer: Option<Fh>,
        caller: Caller,
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
            let asked = match container {
                Some(container) => account.client.container(container).is_hierarchical().await,
                None => account.client.is_hierarchical().await,
            };
            if let Err(error) = asked {
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
