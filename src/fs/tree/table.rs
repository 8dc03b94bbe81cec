//! The nodes themselves, and the steps on them that have to be taken under one lock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::fs::attr::{FileKind, Ino};
use crate::fs::tree::{Entry, Heard, Known, NodeView, Place};
use crate::store::ETag;

/// A complete listing of a directory.
pub(super) struct Listing {
    /// When its first page was asked for.
    pub(super) taken: Instant,
    pub(super) entries: HashMap<Arc<str>, Entry>,
}

pub(super) struct Node {
    pub(super) parent: Ino,
    pub(super) name: Arc<str>,
    pub(super) kind: FileKind,
    /// The place of a node that does not follow from its parent's: the root, an account, a container.
    pub(super) anchor: Option<Place>,
    pub(super) known: Known,
    /// The version of the blob that the kernel's page cache stands for.
    pub(super) cached: Option<ETag>,
    pub(super) listing: Option<Listing>,
    pub(super) children: HashMap<Arc<str>, Ino>,
    /// Names that were asked for and not there, and when.
    pub(super) absent: HashMap<Arc<str>, Instant>,
    /// How often a name was removed from this directory here: a listing that was being taken meanwhile is not remembered.
    pub(super) removals: u64,
    /// References of the kernel: entries replied and not yet forgotten.
    pub(super) lookups: u64,
    /// Open handles.
    pub(super) opens: u32,
    pub(super) linked: bool,
}

pub(super) struct Table {
    pub(super) nodes: HashMap<Ino, Node>,
    pub(super) next: u64,
    /// Directories with a listing, oldest first.
    pub(super) listed: VecDeque<Ino>,
}

impl Node {
    pub(super) fn view(&self, ino: Ino) -> NodeView {
        NodeView {
            ino,
            parent: self.parent,
            name: self.name.clone(),
            kind: self.kind,
            known: self.known.clone(),
            linked: self.linked,
        }
    }
}

impl Table {
    pub(super) fn node(&self, ino: Ino) -> Result<&Node> {
        self.nodes.get(&ino).ok_or_else(|| Error::fs(libc::ESTALE, format!("inode {} is forgotten", ino.0)))
    }

    pub(super) fn place(&self, ino: Ino) -> Result<Place> {
        let mut names = Vec::new();
        let mut node = self.node(ino)?;
        let kind = node.kind;
        let anchor = loop {
            if !node.linked {
                return Err(Error::fs(libc::ENOENT, format!("{:?} was deleted or replaced", node.name)));
            }
            if let Some(place) = &node.anchor {
                break place.clone();
            }
            names.push(node.name.clone());
            node = self.node(node.parent)?;
        };
        let Place::Directory(mut dir) = anchor else { return Ok(anchor) };
        let Some(last) = names.first().cloned() else { return Ok(Place::Directory(dir)) };
        for name in names.iter().skip(1).rev() {
            dir = dir.subdirectory(name);
        }
        match kind {
            FileKind::Directory => Ok(Place::Directory(dir.subdirectory(&last))),
            FileKind::File | FileKind::Symlink => Ok(Place::Blob(dir.blob(&last)?)),
        }
    }

    pub(super) fn learn(&mut self, ino: Ino, heard: Heard, at: Instant) {
        let Some(node) = self.nodes.get_mut(&ino) else { return };
        node.known = Known { heard: heard.clone(), at };
        let (parent, name, kind, linked) = (node.parent, node.name.clone(), node.kind, node.linked);
        if linked && let Some(listing) = self.nodes.get_mut(&parent).and_then(|node| node.listing.as_mut()) {
            listing.entries.insert(name.clone(), Entry { ino, name, kind, heard, at });
        }
    }

    pub(super) fn reserve(&mut self, parent: Ino, name: &str, kind: FileKind) -> Ino {
        let existing = self.nodes.get(&parent).and_then(|node| node.children.get(name)).copied();
        if let Some(ino) = existing
            && self.nodes.get(&ino).is_some_and(|node| node.kind == kind)
        {
            return ino;
        }
        let listed = self.nodes.get(&parent).and_then(|node| node.listing.as_ref()?.entries.get(name));
        if existing.is_none()
            && let Some(entry) = listed
            && entry.kind == kind
        {
            return entry.ino;
        }
        let ino = Ino(self.next);
        self.next += 1;
        ino
    }

    pub(super) fn enter(
        &mut self,
        ino: Ino,
        parent: Ino,
        name: Arc<str>,
        kind: FileKind,
        known: Known,
        anchor: Option<Place>,
    ) -> NodeView {
        let current = self.nodes.get(&parent).and_then(|node| node.children.get(&name)).copied();
        if current.is_some_and(|current| current != ino) {
            self.unlink(parent, &name);
        }
        if let Some(node) = self.nodes.get_mut(&parent) {
            node.absent.remove(&name);
            node.children.insert(name.clone(), ino);
        }
        let node = self.nodes.entry(ino).or_insert_with(|| Node {
            parent,
            name,
            kind,
            anchor,
            known: known.clone(),
            cached: None,
            listing: None,
            children: HashMap::new(),
            absent: HashMap::new(),
            removals: 0,
            lookups: 0,
            opens: 0,
            linked: true,
        });
        // A listing that was taken before something newer was heard does not turn the clock back.
        if known.at >= node.known.at {
            node.known = known;
        }
        let view = node.view(ino);
        if let Some(listing) = self.nodes.get_mut(&parent).and_then(|node| node.listing.as_mut()) {
            let Known { heard, at } = view.known.clone();
            listing.entries.insert(view.name.clone(), Entry { ino, name: view.name.clone(), kind, heard, at });
        }
        view
    }

    pub(super) fn unlink(&mut self, parent: Ino, name: &str) {
        let Some(node) = self.nodes.get_mut(&parent) else { return };
        node.removals += 1;
        if let Some(listing) = node.listing.as_mut() {
            listing.entries.remove(name);
        }
        if let Some(ino) = node.children.remove(name) {
            if let Some(child) = self.nodes.get_mut(&ino) {
                child.linked = false;
            }
            self.collect(ino);
        }
    }

    /// Drops a node that nobody refers to any more, and then its parent if that was the last reason to keep it.
    pub(super) fn collect(&mut self, ino: Ino) {
        let mut ino = ino;
        while ino != Ino::ROOT {
            let Some(node) = self.nodes.get(&ino) else { return };
            if node.lookups > 0 || node.opens > 0 || !node.children.is_empty() {
                return;
            }
            let (parent, name, linked) = (node.parent, node.name.clone(), node.linked);
            self.nodes.remove(&ino);
            if linked
                && let Some(node) = self.nodes.get_mut(&parent)
                && node.children.get(&name) == Some(&ino)
            {
                node.children.remove(&name);
            }
            ino = parent;
        }
    }
}
