//! The nodes themselves, and the steps on them that have to be taken under one lock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::fs::attr::{FileKind, Ino};
use crate::fs::tree::{Entry, Heard, Known, NodeView, Past, PastPlace, Place};
use crate::store::ETag;

/// Longer than an answer of the service, or a page of a listing, is on its way or waits to be used.
const LATE: Duration = Duration::from_secs(600);
/// Departures remembered in one directory before the old ones are looked for.
const MANY_GONE: usize = 4096;

/// What ties a node to its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    Named,
    /// Removed or replaced by an operation of this mount: what is still written to it has nowhere to go, as on a disk.
    Removed,
    /// Not in the service any more, and not by our doing: what is still written to it would be lost.
    Vanished,
}

/// Where the place of a node begins that does not follow from its parent's.
#[derive(Debug, Clone)]
pub(super) enum Anchor {
    /// The root, an account, a container.
    Place(Place),
    /// A hidden directory of the parent.
    Past(Past),
}

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
    pub(super) anchor: Option<Anchor>,
    pub(super) known: Known,
    /// The version of the blob that the kernel's page cache stands for.
    pub(super) cached: Option<ETag>,
    pub(super) listing: Option<Listing>,
    pub(super) children: HashMap<Arc<str>, Ino>,
    /// Names that were asked for and not there, and when.
    pub(super) absent: HashMap<Arc<str>, Instant>,
    /// Names that left this directory, and when: what was heard of them before is too late.
    pub(super) gone: HashMap<Arc<str>, Instant>,
    /// How often a name was removed from this directory here: a listing that was being taken meanwhile is not remembered.
    pub(super) removals: u64,
    /// References of the kernel: entries replied and not yet forgotten.
    pub(super) lookups: u64,
    /// Open handles.
    pub(super) opens: u32,
    pub(super) link: Link,
}

pub(super) struct Table {
    pub(super) nodes: HashMap<Ino, Node>,
    pub(super) next: u64,
    /// Listings that are remembered, oldest first: of which directory, and when they were taken.
    pub(super) listed: VecDeque<(Ino, Instant)>,
}

impl Node {
    /// No listing of its parent shows it.
    pub(super) fn is_hidden(&self) -> bool {
        matches!(self.anchor, Some(Anchor::Past(_)))
    }

    pub(super) fn view(&self, ino: Ino) -> NodeView {
        NodeView {
            ino,
            parent: self.parent,
            name: self.name.clone(),
            kind: self.kind,
            known: self.known.clone(),
            link: self.link,
        }
    }
}

impl Table {
    pub(super) fn node(&self, ino: Ino) -> Result<&Node> {
        self.nodes.get(&ino).ok_or_else(|| Error::fs(libc::ESTALE, format!("inode {} is forgotten", ino.0)))
    }

    pub(super) fn place(&self, ino: Ino) -> Result<Place> {
        let mut names = Vec::new();
        let mut past = None;
        let mut node = self.node(ino)?;
        let kind = node.kind;
        if node.link == Link::Removed {
            return Err(Error::fs(libc::ENOENT, format!("{:?} was deleted or replaced", node.name)));
        }
        let anchor = loop {
            if node.link != Link::Named {
                return Err(Error::fs(libc::ESTALE, format!("{:?} was deleted by another client", node.name)));
            }
            match &node.anchor {
                Some(Anchor::Place(place)) => break place.clone(),
                Some(Anchor::Past(shown)) => past = Some((*shown, std::mem::take(&mut names))),
                None => names.push(node.name.clone()),
            }
            node = self.node(node.parent)?;
        };
        let Place::Directory(mut dir) = anchor else { return Ok(anchor) };
        if let Some((past, below)) = past {
            let dir = names.iter().rev().fold(dir, |dir, name| dir.subdirectory(name));
            return PastPlace::at(past, dir, &below).map(Place::Past);
        }
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
        let (parent, name, kind, link) = (node.parent, node.name.clone(), node.kind, node.link);
        let listed = !node.is_hidden();
        if link == Link::Named
            && listed
            && let Some(listing) = self.nodes.get_mut(&parent).and_then(|node| node.listing.as_mut())
        {
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
        self.next_ino()
    }

    fn next_ino(&mut self) -> Ino {
        let ino = Ino(self.next);
        self.next += 1;
        ino
    }

    /// An open file is at or below the node.
    fn is_in_use(&self, ino: Ino) -> bool {
        self.nodes
            .get(&ino)
            .is_some_and(|node| node.opens > 0 || node.children.values().any(|child| self.is_in_use(*child)))
    }

    /// The service has nothing under the name, as of `asked`. What came into being here since stays, and so does a directory in which
    /// files are open: they make it exist when they are committed.
    pub(super) fn vanish(&mut self, parent: Ino, name: &str, asked: Instant) -> bool {
        let child = self.nodes.get(&parent).and_then(|node| node.children.get(name)).copied();
        let stays = child.is_some_and(|ino| {
            self.nodes
                .get(&ino)
                .is_some_and(|node| node.known.at > asked || (node.kind == FileKind::Directory && self.is_in_use(ino)))
        });
        if !stays {
            self.unlink(parent, name, Link::Vanished);
        }
        !stays
    }

    pub(super) fn enter_listed(&mut self, parent: Ino, entry: &Entry, anchor: Option<Place>) -> Result<NodeView> {
        let known = Known { heard: entry.heard.clone(), at: entry.at };
        let ino = match self.node(parent)?.children.get(&entry.name) {
            Some(ino) if self.nodes.get(ino).is_some_and(|node| node.kind == entry.kind) => *ino,
            _ => entry.ino,
        };
        self.enter(ino, parent, entry.name.clone(), entry.kind, known, anchor.map(Anchor::Place))
    }

    /// ENOENT when the name left the directory after that was heard of it.
    pub(super) fn enter(
        &mut self,
        ino: Ino,
        parent: Ino,
        name: Arc<str>,
        kind: FileKind,
        known: Known,
        anchor: Option<Anchor>,
    ) -> Result<NodeView> {
        let gone = self.node(parent)?.gone.get(&name);
        if gone.is_some_and(|gone| known.at < *gone) {
            return Err(Error::fs(libc::ENOENT, format!("{name:?} was deleted or renamed meanwhile")));
        }
        // A number that was reserved for the name may belong to a node that has another name by now, or none.
        let hidden = matches!(anchor, Some(Anchor::Past(_)));
        let is_other = |node: &Node| {
            node.link != Link::Named || node.parent != parent || node.name != name || node.is_hidden() != hidden
        };
        let ino = if self.nodes.get(&ino).is_some_and(is_other) { self.next_ino() } else { ino };
        let current = self.nodes.get(&parent).and_then(|node| node.children.get(&name)).copied();
        if current.is_some_and(|current| current != ino) {
            self.unlink(parent, &name, Link::Vanished);
        }
        if let Some(node) = self.nodes.get_mut(&parent) {
            node.absent.remove(&name);
            node.gone.remove(&name);
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
            gone: HashMap::new(),
            lookups: 0,
            opens: 0,
            link: Link::Named,
        });
        // A listing that was taken before something newer was heard does not turn the clock back.
        if known.at >= node.known.at {
            node.known = known;
        }
        let view = node.view(ino);
        if !hidden && let Some(listing) = self.nodes.get_mut(&parent).and_then(|node| node.listing.as_mut()) {
            let Known { heard, at } = view.known.clone();
            listing.entries.insert(view.name.clone(), Entry { ino, name: view.name.clone(), kind, heard, at });
        }
        Ok(view)
    }

    /// The name leaves the directory; what was heard of it before now does not bring it back.
    pub(super) fn depart(&mut self, parent: Ino, name: &str) {
        let Some(node) = self.nodes.get_mut(&parent) else { return };
        node.removals += 1;
        if node.gone.len() >= MANY_GONE {
            node.gone.retain(|_, gone| gone.elapsed() < LATE);
        }
        node.gone.insert(name.into(), Instant::now());
    }

    /// The name is gone, and so is its node's: `link` says how.
    pub(super) fn unlink(&mut self, parent: Ino, name: &str, link: Link) {
        self.depart(parent, name);
        let Some(node) = self.nodes.get_mut(&parent) else { return };
        if let Some(listing) = node.listing.as_mut() {
            listing.entries.remove(name);
        }
        if let Some(ino) = node.children.remove(name) {
            if let Some(child) = self.nodes.get_mut(&ino) {
                child.link = link;
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
            let (parent, name, link) = (node.parent, node.name.clone(), node.link);
            self.nodes.remove(&ino);
            if link == Link::Named
                && let Some(node) = self.nodes.get_mut(&parent)
                && node.children.get(&name) == Some(&ino)
            {
                node.children.remove(&name);
            }
            ino = parent;
        }
    }
}
