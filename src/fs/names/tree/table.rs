//! The nodes themselves, and the steps on them that have to be taken under one lock.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime};

use lru::LruCache;

use crate::error::{Error, Result};
use crate::fs::names::attr::{FileKind, Ino};
use crate::fs::names::tree::identity::is_same;
use crate::fs::names::tree::listings::{Answer, Listings, UnenteredRow};
use crate::fs::names::tree::node::{Entry, Link, NodeProperties, NodeView, Observation};
use crate::fs::names::tree::packed::Packed;
use crate::fs::names::tree::place::{Place, RevisionDir, RevisionPlace};
use crate::fs::names::tree::stale::replaced;
use crate::store::ETag;

/// Longer than an answer of the service, or a page of a listing, is on its way or waits to be used.
const ANSWER_LIFETIME: Duration = Duration::from_secs(600);
/// Departures remembered in one directory before the old ones are looked for.
const MANY_REMOVED: usize = 4096;

/// A part of the kernel's cache that it should not believe any longer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Expired {
    /// The file under the name, if it is `old` for the kernel.
    Name { parent: Ino, name: Arc<str>, old: Ino },
    /// Content and attributes of the file.
    File(Ino),
}

/// The trust in an observation of a file that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fs) enum Evidence {
    /// The service was asked for it alone, and nothing was being stored from here meanwhile.
    Direct,
    /// A listing has it, which may have been made while something was being stored from here.
    Listed,
}

/// The beginning of a node's place that does not follow from its parent's.
#[derive(Debug, Clone)]
pub(in crate::fs) enum Anchor {
    /// The root, an account, a container.
    Place(Place),
    /// A hidden directory of the parent.
    Revisions(RevisionDir),
}

/// An observation of a blob, packed.
#[derive(Debug, Clone)]
pub(in crate::fs) struct CachedProperties {
    pub(crate) packed: Packed,
    pub(crate) at: Instant,
}

/// There is one for everything that the kernel holds on to, which may be millions: it is small, and what only some have
/// is boxed.
pub(in crate::fs) struct Node {
    pub(crate) parent: Ino,
    pub(crate) name: Arc<str>,
    pub(crate) kind: FileKind,
    pub(crate) anchor: Option<Box<Anchor>>,
    pub(crate) cached_properties: CachedProperties,
    /// The version of the blob that the kernel's page cache stands for.
    pub(crate) kernel_version: Option<ETag>,
    /// Nothing before there is something to say.
    pub(crate) names: Option<Box<DirNames>>,
    /// References of the kernel: entries replied and not yet forgotten.
    pub(crate) lookups: u64,
    /// Open handles.
    pub(crate) opens: u32,
    /// The kernel has looked it up since it was last opened.
    pub(crate) looked_up: bool,
    pub(crate) link: Link,
    /// When this mount last made or removed an entry of this directory.
    pub(crate) touched: Option<SystemTime>,
}

/// The names in a directory.
#[derive(Default)]
pub(in crate::fs) struct DirNames {
    pub(crate) children: HashMap<Arc<str>, Ino>,
    /// Names that were asked for and not there, and when.
    pub(crate) absent: HashMap<Arc<str>, Instant>,
    /// Names that left this directory, and when: what was heard of them before is too late.
    removed: HashMap<Arc<str>, Instant>,
    /// The number of them at which the old ones are looked for again.
    most_removed: usize,
}

pub(in crate::fs) struct Table {
    pub(crate) nodes: HashMap<Ino, Box<Node>>,
    pub(crate) next: u64,
    pub(crate) listings: Listings,
    /// The channel on which the kernel is told what it should not believe any longer, once there is one.
    pub(crate) expired: Option<mpsc::Sender<Expired>>,
    /// Hears of numbers that nothing will have again.
    pub(crate) gone: Option<Box<dyn Fn(Ino) + Send>>,
    /// Files that nobody refers to any more, the last ones: one that is looked up again as it was keeps its number, for
    /// programs compare the numbers of a name that they look at twice.
    pub(crate) recent: LruCache<(Ino, Arc<str>), (Ino, FileKind, Packed)>,
}

/// Files whose numbers are remembered when nobody refers to them.
pub(in crate::fs) const MOST_RECENT: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

impl Node {
    pub(crate) fn new(
        parent: Ino,
        name: Arc<str>,
        kind: FileKind,
        anchor: Option<Anchor>,
        known: CachedProperties,
    ) -> Self {
        let anchor = anchor.map(Box::new);
        Self {
            parent,
            name,
            kind,
            anchor,
            cached_properties: known,
            kernel_version: None,
            names: None,
            lookups: 0,
            opens: 0,
            looked_up: false,
            link: Link::Named,
            touched: None,
        }
    }

    /// No listing of its parent shows it.
    pub(crate) fn is_hidden(&self) -> bool {
        matches!(self.anchor.as_deref(), Some(Anchor::Revisions(_)))
    }

    pub(crate) fn child(&self, name: &str) -> Option<Ino> {
        self.names.as_ref()?.children.get(name).copied()
    }

    pub(crate) fn children(&self) -> impl Iterator<Item = Ino> + '_ {
        self.names.iter().flat_map(|names| names.children.values().copied())
    }

    /// Whether an answer to what was asked at `asked` counts: nothing newer is known, and the name is its own.
    pub(crate) fn accepts(&self, asked: Instant) -> bool {
        self.cached_properties.at <= asked && self.link == Link::Named
    }

    /// Takes in what was heard of it. What was asked for before something newer was heard does not turn the clock back,
    /// and what is of another file is not of this one.
    fn update_if_newer(&mut self, heard: CachedProperties) {
        if heard.at >= self.cached_properties.at
            && (self.kind == FileKind::Directory || is_same(&self.cached_properties.packed, &heard.packed))
        {
            self.cached_properties = heard;
        }
    }

    pub(crate) fn names(&mut self) -> &mut DirNames {
        self.names.get_or_insert_default()
    }

    pub(crate) fn view(&self, ino: Ino) -> NodeView {
        NodeView {
            ino,
            parent: self.parent,
            name: self.name.clone(),
            kind: self.kind,
            observed: self.cached_properties.unpack(),
            link: self.link,
            touched: self.touched,
        }
    }
}

impl CachedProperties {
    pub(crate) fn heard(&self) -> NodeProperties {
        match &self.packed {
            Packed::Blob(packed) => NodeProperties::Blob(Arc::new(packed.unpack())),
            Packed::Container(item) => NodeProperties::Container(item.clone()),
            Packed::Nothing => NodeProperties::Nothing,
        }
    }

    fn unpack(&self) -> Observation {
        Observation { properties: self.heard(), at: self.at }
    }
}

impl DirNames {
    /// The name is there again.
    pub(crate) fn insert(&mut self, name: Arc<str>, ino: Ino) {
        self.absent.remove(&name);
        self.removed.remove(&name);
        self.children.insert(name, ino);
    }

    fn remember_removal(&mut self, name: &str, at: Instant) {
        // Twice as many as were left the last time, so that removing many does not look through all of them each time.
        if self.removed.len() >= self.most_removed.max(MANY_REMOVED) {
            self.removed.retain(|_, gone| gone.elapsed() < ANSWER_LIFETIME);
            self.most_removed = self.removed.len() * 2;
        }
        let gone = self.removed.entry(name.into()).or_insert(at);
        *gone = at.max(*gone);
    }

    fn removed_after(&self, name: &str, at: Instant) -> bool {
        self.removed.get(name).is_some_and(|gone| at < *gone)
    }
}

impl Table {
    pub(crate) fn node(&self, ino: Ino) -> Result<&Node> {
        self.nodes.get(&ino).map(|node| &**node).ok_or_else(|| Error::stale(format!("inode {} is forgotten", ino.0)))
    }

    pub(crate) fn place(&self, ino: Ino) -> Result<Place> {
        let mut names = Vec::new();
        let mut revisions = None;
        let mut node = self.node(ino)?;
        let kind = node.kind;
        if node.link == Link::Removed {
            return Err(Error::not_found(format!("{:?} was deleted or replaced", node.name)));
        }
        let anchor = loop {
            if node.link != Link::Named {
                return Err(replaced(&node.name));
            }
            match node.anchor.as_deref() {
                Some(Anchor::Place(place)) => break place.clone(),
                Some(Anchor::Revisions(shown)) => revisions = Some((*shown, std::mem::take(&mut names))),
                None => names.push(node.name.clone()),
            }
            node = self.node(node.parent)?;
        };
        let Place::Directory(mut dir) = anchor else { return Ok(anchor) };
        if let Some((revisions, below)) = revisions {
            let dir = names.iter().rev().fold(dir, |dir, name| dir.subdirectory(name));
            return RevisionPlace::at(revisions, dir, &below).map(Place::Revision);
        }
        let Some(last) = names.first().cloned() else { return Ok(Place::Directory(dir)) };
        for name in names.iter().skip(1).rev() {
            dir = dir.subdirectory(name);
        }
        match kind {
            FileKind::Directory => Ok(Place::Directory(dir.subdirectory(&last))),
            _ => Ok(Place::Blob(dir.blob(&last)?)),
        }
    }

    pub(crate) fn child(&self, dir: Ino, name: &str) -> Option<Ino> {
        self.nodes.get(&dir)?.child(name)
    }

    pub(crate) fn update(&mut self, ino: Ino, known: CachedProperties) {
        let Some(node) = self.nodes.get_mut(&ino) else { return };
        node.cached_properties = known;
        if node.link == Link::Named && !node.is_hidden() {
            self.listings.insert(node.parent, &node.name, None);
        }
    }

    /// The inode number for what was heard of a name: the one that it has, unless that is another file by now
    /// ([`is_same`]). Then the node of that file loses the name.
    pub(crate) fn reserve(
        &mut self,
        parent: Ino,
        name: &str,
        kind: FileKind,
        heard: &CachedProperties,
        word: Evidence,
    ) -> Ino {
        let existing = self.child(parent, name);
        let existing = existing.filter(|ino| self.nodes.get(ino).is_none_or(|node| !node.is_hidden()));
        if let Some(ino) = existing
            && let Some(node) = self.nodes.get_mut(&ino).filter(|node| node.kind == kind)
        {
            let late = heard.at < node.cached_properties.at;
            if kind == FileKind::Directory || late || is_same(&node.cached_properties.packed, &heard.packed) {
                return ino;
            }
            if word == Evidence::Listed && node.opens > 0 {
                // Whoever looks next asks for it alone.
                node.cached_properties.at = long_ago().unwrap_or(node.cached_properties.at);
                return ino;
            }
            self.detach_name(parent, name);
            return self.next_ino();
        }
        if existing.is_none()
            && let Some(row) = self.listings.row(parent, name)
            && row.kind == kind
            && (kind == FileKind::Directory || heard.at < row.at || is_same(&row.packed, &heard.packed))
        {
            return row.ino;
        }
        match self.recent.pop(&(parent, name.into())) {
            Some((ino, was, packed)) if was == kind && existing.is_none() && is_same(&packed, &heard.packed) => ino,
            _ => self.next_ino(),
        }
    }

    /// The name stands for another file now, or nobody knows for what: its node loses it.
    pub(crate) fn detach_name(&mut self, parent: Ino, name: &str) {
        let Some(node) = self.nodes.get_mut(&parent) else { return };
        if let Some(ino) = node.names().children.remove(name) {
            self.detach(ino, Link::Vanished);
        }
    }

    /// The node has lost its name.
    fn detach(&mut self, ino: Ino, link: Link) {
        let Some(node) = self.nodes.get_mut(&ino) else { return };
        node.link = link;
        if link == Link::Vanished && node.lookups > 0 {
            let expired = Expired::Name { parent: node.parent, name: node.name.clone(), old: ino };
            self.expire(expired);
        }
        self.collect(ino);
    }

    pub(crate) fn expire(&self, expired: Expired) {
        if let Some(kernel) = &self.expired {
            // After an unmount nobody has to be told.
            let _ = kernel.send(expired);
        }
    }

    /// The entry of a name by listings and nodes, as fresh as `ttl` wants it.
    pub(crate) fn listed(&self, parent: Ino, name: &str, ttl: Duration) -> Option<Option<Entry>> {
        match self.listings.answer(parent, name, ttl) {
            Answer::Row(UnenteredRow { ino, kind, packed, at }) => {
                Some(Some(Entry { ino: *ino, name: name.into(), kind: *kind, packed: packed.clone(), at: *at }))
            }
            Answer::Node => {
                let ino = self.child(parent, name)?;
                let node = self.nodes.get(&ino).filter(|node| node.cached_properties.at.elapsed() < ttl)?;
                let CachedProperties { packed, at } = node.cached_properties.clone();
                Some(Some(Entry { ino, name: node.name.clone(), kind: node.kind, packed, at }))
            }
            Answer::Absent => Some(None),
            Answer::Unknown => None,
        }
    }

    /// Takes in a page of a listing; `rows` have no number yet.
    pub(crate) fn add_page(&mut self, dir: Ino, asked: Instant, rows: &mut [Entry]) {
        let mut remembered = Vec::with_capacity(rows.len());
        for row in rows {
            let heard = CachedProperties { packed: row.packed.clone(), at: row.at };
            row.ino = self.reserve(dir, &row.name, row.kind, &heard, Evidence::Listed);
            let names = self.nodes.get(&dir).and_then(|node| node.names.as_ref());
            if names.is_some_and(|names| names.removed_after(&row.name, row.at)) {
                continue;
            }
            let is_child = self.child(dir, &row.name) == Some(row.ino);
            let said = match self.nodes.get_mut(&row.ino) {
                Some(node) if is_child => {
                    node.update_if_newer(heard);
                    None
                }
                _ => Some(Box::new(UnenteredRow {
                    ino: row.ino,
                    kind: row.kind,
                    packed: row.packed.clone(),
                    at: row.at,
                })),
            };
            remembered.push((row.name.clone(), said));
        }
        self.listings.add_page(dir, asked, remembered);
    }

    fn next_ino(&mut self) -> Ino {
        let ino = Ino(self.next);
        self.next += 1;
        ino
    }

    /// An open file is at or below the node.
    fn is_in_use(&self, ino: Ino) -> bool {
        self.nodes.get(&ino).is_some_and(|node| node.opens > 0 || node.children().any(|child| self.is_in_use(child)))
    }

    /// The service has nothing under the name, as of `asked`. What came into being here since stays, and so does a
    /// directory in which files are open: they make it exist when they are committed.
    pub(crate) fn remove_absent(&mut self, parent: Ino, name: &str, asked: Instant) -> bool {
        let child = self.child(parent, name);
        let stays = child.is_some_and(|ino| {
            self.nodes.get(&ino).is_some_and(|node| {
                node.cached_properties.at > asked || (node.kind == FileKind::Directory && self.is_in_use(ino))
            })
        });
        if !stays {
            self.unlink(parent, name, Link::Vanished, asked);
        }
        !stays
    }

    pub(crate) fn enter_listed(&mut self, parent: Ino, entry: &Entry, anchor: Option<Place>) -> Result<NodeView> {
        let known = CachedProperties { packed: entry.packed.clone(), at: entry.at };
        let is_known =
            self.node(parent)?.child(&entry.name).is_some() || self.listings.row(parent, &entry.name).is_some();
        let ino = match is_known {
            true => self.reserve(parent, &entry.name, entry.kind, &known, Evidence::Listed),
            false => entry.ino,
        };
        self.enter(ino, parent, entry.name.clone(), entry.kind, known, anchor.map(Anchor::Place))
    }

    pub(crate) fn enter_revision_dir(&mut self, parent: Ino, revisions: RevisionDir) -> Result<NodeView> {
        let name = revisions.directory();
        let existing = self.node(parent)?.child(name);
        let hidden = existing.filter(|ino| self.nodes.get(ino).is_some_and(|node| node.is_hidden()));
        let ino = hidden.unwrap_or_else(|| self.next_ino());
        let known = CachedProperties { packed: Packed::Nothing, at: Instant::now() };
        self.enter(ino, parent, name.into(), FileKind::Directory, known, Some(Anchor::Revisions(revisions)))
    }

    /// ENOENT when the name left the directory after that was heard of it.
    pub(crate) fn enter(
        &mut self,
        ino: Ino,
        parent: Ino,
        name: Arc<str>,
        kind: FileKind,
        known: CachedProperties,
        anchor: Option<Anchor>,
    ) -> Result<NodeView> {
        if self.node(parent)?.names.as_ref().is_some_and(|names| names.removed_after(&name, known.at)) {
            return Err(Error::not_found(format!("{name:?} was deleted or renamed meanwhile")));
        }
        // A number that was reserved for the name may belong to a node that has another name by now, or none.
        let hidden = matches!(anchor, Some(Anchor::Revisions(_)));
        let is_other = |node: &Node| {
            node.link != Link::Named || node.parent != parent || node.name != name || node.is_hidden() != hidden
        };
        let ino = if self.nodes.get(&ino).is_some_and(|node| is_other(node)) { self.next_ino() } else { ino };
        if self.child(parent, &name).is_some_and(|current| current != ino) {
            self.detach_name(parent, &name);
        }
        if let Some(node) = self.nodes.get_mut(&parent) {
            node.names().insert(name.clone(), ino);
        }
        if !hidden {
            self.listings.insert(parent, &name, None);
        }
        let new = || Box::new(Node::new(parent, name, kind, anchor, known.clone()));
        let node = self.nodes.entry(ino).or_insert_with(new);
        node.update_if_newer(known);
        Ok(node.view(ino))
    }

    /// The name left the directory at `at`: what was heard of it before does not bring it back.
    pub(crate) fn depart(&mut self, parent: Ino, name: &str, at: Instant) {
        if let Some(node) = self.nodes.get_mut(&parent) {
            node.names().remember_removal(name, at);
        }
        self.listings.remove(parent, name);
    }

    /// The name is gone, and so is its node's: `link` says how.
    pub(crate) fn unlink(&mut self, parent: Ino, name: &str, link: Link, at: Instant) {
        self.depart(parent, name, at);
        let Some(node) = self.nodes.get_mut(&parent) else { return };
        if let Some(ino) = node.names().children.remove(name) {
            self.detach(ino, link);
        }
    }

    /// Drops a node that nobody refers to any more, and then its parent if that was the last reason to keep it.
    pub(crate) fn collect(&mut self, ino: Ino) {
        let mut ino = ino;
        while ino != Ino::ROOT {
            let Some(node) = self.nodes.get(&ino) else { return };
            if node.lookups > 0 || node.opens > 0 || node.children().next().is_some() {
                return;
            }
            let Some(node) = self.nodes.remove(&ino) else { return };
            self.listings.forget(ino);
            let hidden = node.is_hidden();
            let Node { parent, name, kind, cached_properties: CachedProperties { packed, at }, link, .. } = *node;
            if link == Link::Named && !hidden && kind != FileKind::Directory && matches!(packed, Packed::Blob(_)) {
                self.recent.push((parent, name.clone()), (ino, kind, packed.clone()));
            } else if let Some(hear) = &self.gone {
                hear(ino);
            }
            if link == Link::Named
                && let Some(names) = self.nodes.get_mut(&parent).and_then(|node| node.names.as_mut())
                && names.children.get(&name) == Some(&ino)
            {
                names.children.remove(&name);
                // The name is there all the same, unless nothing was ever stored under it.
                if hidden {
                    // No listing has it.
                } else if matches!(packed, Packed::Nothing) && kind != FileKind::Directory {
                    self.listings.remove(parent, &name);
                } else if self.listings.knows(parent) {
                    self.listings.insert(parent, &name, Some(Box::new(UnenteredRow { ino, kind, packed, at })));
                } else {
                    self.listings.drop_unlisted(parent, at);
                }
            }
            ino = parent;
        }
    }
}

/// A moment that is older than any TTL. A machine that booted less than that ago has none.
pub(in crate::fs) fn long_ago() -> Option<Instant> {
    Instant::now().checked_sub(Duration::from_secs(86_400))
}
