//! The inode table: what the kernel holds references to, and what is remembered of the service.
//!
//! An inode is an identity, not a path. A node knows its parent and its own name; where its blob is follows from the chain of
//! parents, so that renaming a directory moves everything below it, open files included, by changing one node. A node that
//! lost its name (unlinked, replaced) stays until the kernel forgets it, but has no place in the service any more.
//!
//! Each node remembers what was last heard of its blob and when ([`Known`]); a directory may also remember a complete
//! listing ([`Listing`]), which answers lookups of its names, also of those that do not exist, for as long as it is fresh. What
//! this mount itself creates, deletes and renames is entered in both at once, so that a program sees its own doings.
//!
//! One mutex guards the table. It is held for a few map operations at a time and never across a request.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

mod past;
mod table;

pub use past::{Origin, Past, PastPlace, read_only};
pub use table::Link;
use table::{Anchor, Listing, Node, Table};

use crate::error::{Error, Result};
use crate::fs::attr::{FileKind, Ino};
use crate::path::{BlobName, BlobPath, ContainerName};
use crate::store::{BlobProperties, ETag};

/// A complete listing is not kept beyond this many entries: a node's worth of memory for each would outlive its use.
const LARGEST_KEPT_LISTING: usize = 200_000;

/// Names remembered as absent in one directory.
const MOST_ABSENT: usize = 4096;

/// Index into the mount's accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AccountId(pub usize);

/// A container or a directory in it: the names below it start with `prefix`, which is empty or ends with `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobDir {
    pub account: AccountId,
    pub container: ContainerName,
    pub prefix: String,
}

impl BlobDir {
    /// The blob of that name in this directory.
    pub fn blob(&self, name: &str) -> Result<Blob> {
        let name = BlobName::parse(&format!("{}{name}", self.prefix))?;
        Ok(Blob { account: self.account, path: BlobPath::new(self.container.clone(), name) })
    }

    pub fn subdirectory(&self, name: &str) -> Self {
        Self { prefix: format!("{}{name}/", self.prefix), ..self.clone() }
    }

    /// The blob that marks this directory; none marks a container.
    pub fn marker(&self) -> Option<Result<Blob>> {
        let name = self.prefix.strip_suffix('/')?;
        Some(
            BlobName::parse(name)
                .map_err(Error::from)
                .map(|name| Blob { account: self.account, path: BlobPath::new(self.container.clone(), name) }),
        )
    }
}

/// A blob of one of the mount's accounts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Blob {
    pub account: AccountId,
    pub path: BlobPath,
}

/// What a node stands for in the service.
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
    Past(PastPlace),
}

/// What was last heard of the blob of a node.
#[derive(Debug, Clone)]
pub enum Heard {
    Blob(Arc<BlobProperties>),
    /// There is none: an implicit directory, a container, a file not yet committed.
    Nothing,
}

#[derive(Debug, Clone)]
pub struct Known {
    pub heard: Heard,
    pub at: Instant,
}

impl Known {
    pub fn age(&self) -> Duration {
        self.at.elapsed()
    }
}

/// A copy of what the table holds of a node.
#[derive(Debug, Clone)]
pub struct NodeView {
    pub ino: Ino,
    pub parent: Ino,
    pub name: Arc<str>,
    pub kind: FileKind,
    pub known: Known,
    pub link: Link,
}

impl NodeView {
    pub fn properties(&self) -> Option<&Arc<BlobProperties>> {
        match &self.known.heard {
            Heard::Blob(properties) => Some(properties),
            Heard::Nothing => None,
        }
    }
}

/// An entry of a listed directory. The inode number is reserved when the entry is listed.
#[derive(Debug, Clone)]
pub struct Entry {
    pub ino: Ino,
    pub name: Arc<str>,
    pub kind: FileKind,
    pub heard: Heard,
    /// When the service was asked for it: the pages of a long listing are of different ages.
    pub at: Instant,
}

/// What a remembered listing says of a name.
#[derive(Debug, Clone)]
pub enum Listed {
    Present(Entry),
    Absent,
    /// There is no fresh listing.
    Unknown,
}

pub struct Tree {
    table: Mutex<Table>,
    ttl: Duration,
}

impl Tree {
    /// `ttl`: how long a listing answers for the service.
    pub fn new(root: Place, ttl: Duration) -> Self {
        let node = Node {
            parent: Ino::ROOT,
            name: "".into(),
            kind: FileKind::Directory,
            anchor: Some(Anchor::Place(root)),
            known: Known { heard: Heard::Nothing, at: Instant::now() },
            cached: None,
            listing: None,
            children: HashMap::new(),
            absent: HashMap::new(),
            gone: HashMap::new(),
            removals: 0,
            lookups: 1,
            opens: 0,
            link: Link::Named,
        };
        let table = Table { nodes: HashMap::from([(Ino::ROOT, node)]), next: 2, listed: VecDeque::new() };
        Self { table: Mutex::new(table), ttl }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // No operation below leaves the table half changed when it panics.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn view(&self, ino: Ino) -> Result<NodeView> {
        let table = self.lock();
        let node = table.node(ino)?;
        Ok(node.view(ino))
    }

    /// Where the node's content is. ENOENT once it has lost its name.
    pub fn place(&self, ino: Ino) -> Result<Place> {
        self.lock().place(ino)
    }

    /// The place of a directory of blobs; anything else cannot hold files.
    pub fn directory(&self, ino: Ino) -> Result<BlobDir> {
        match self.place(ino)? {
            Place::Directory(dir) => Ok(dir),
            Place::Blob(blob) => Err(Error::fs(libc::ENOTDIR, format!("{} is not a directory", blob.path))),
            Place::Past(_) => Err(read_only()),
            Place::Accounts | Place::Account(_) => {
                Err(Error::fs(libc::EPERM, "only containers can be made here, not files"))
            }
        }
    }

    /// The blob of a file or symlink, to be changed. EROFS where there is only a past to be read.
    pub fn blob(&self, ino: Ino) -> Result<Blob> {
        match self.place(ino)? {
            Place::Blob(blob) => Ok(blob),
            Place::Past(_) => Err(read_only()),
            _ => Err(Error::fs(libc::EISDIR, "is a directory")),
        }
    }

    /// Where the content of a file or symlink is read.
    pub fn origin(&self, ino: Ino) -> Result<Origin> {
        match self.place(ino)? {
            Place::Blob(blob) => Ok(blob.into()),
            Place::Past(PastPlace::File(blob, revision)) => Ok(Origin { blob, revision: Some(revision) }),
            _ => Err(Error::fs(libc::EISDIR, "is a directory")),
        }
    }

    /// EROFS for what is in a hidden directory, or is one.
    pub fn refuse_past(&self, ino: Ino) -> Result<()> {
        match self.place(ino) {
            Ok(Place::Past(_)) => Err(read_only()),
            _ => Ok(()),
        }
    }

    pub fn child(&self, parent: Ino, name: &str) -> Option<NodeView> {
        let table = self.lock();
        let ino = *table.nodes.get(&parent)?.children.get(name)?;
        Some(table.nodes.get(&ino)?.view(ino))
    }

    /// What the directory's listing says of a name, if it is fresh.
    pub fn listed(&self, parent: Ino, name: &str) -> Listed {
        let table = self.lock();
        let listing = table.nodes.get(&parent).and_then(|node| node.listing.as_ref());
        match listing {
            Some(listing) if listing.taken.elapsed() < self.ttl => match listing.entries.get(name) {
                Some(entry) => Listed::Present(entry.clone()),
                None => Listed::Absent,
            },
            _ => match table.nodes.get(&parent).and_then(|node| node.absent.get(name)) {
                Some(asked) if asked.elapsed() < self.ttl => Listed::Absent,
                _ => Listed::Unknown,
            },
        }
    }

    /// The service was asked for the name at `asked` and has nothing under it. What came into being here since stays.
    pub fn remember_absence(&self, parent: Ino, name: &str, asked: Instant) {
        let mut table = self.lock();
        if !table.vanish(parent, name, asked) {
            return;
        }
        let Some(node) = table.nodes.get_mut(&parent) else { return };
        if node.absent.len() >= MOST_ABSENT {
            node.absent.retain(|_, asked| asked.elapsed() < self.ttl);
        }
        if node.absent.len() < MOST_ABSENT {
            node.absent.insert(name.into(), asked);
        }
    }

    /// How often names were removed from the directory.
    pub fn removals(&self, dir: Ino) -> u64 {
        self.lock().nodes.get(&dir).map_or(0, |node| node.removals)
    }

    /// Every node below a directory, parents first.
    pub fn descendants(&self, dir: Ino) -> Vec<NodeView> {
        let table = self.lock();
        let mut found: Vec<NodeView> = Vec::new();
        let mut next = 0;
        let mut within = dir;
        loop {
            let children = table.nodes.get(&within).map(|node| node.children.values().copied()).into_iter().flatten();
            found.extend(children.filter_map(|ino| Some(table.nodes.get(&ino)?.view(ino))));
            match found.get(next) {
                Some(node) => within = node.ino,
                None => return found,
            }
            next += 1;
        }
    }

    /// Enters what was heard of a name; the node keeps its identity unless its kind changed. `anchor` is for accounts and
    /// containers, whose place does not follow from their parent's.
    pub fn enter(
        &self,
        parent: Ino,
        name: &str,
        kind: FileKind,
        known: Known,
        anchor: Option<Place>,
    ) -> Result<NodeView> {
        let mut table = self.lock();
        table.node(parent)?;
        let ino = table.reserve(parent, name, kind);
        table.enter(ino, parent, name.into(), kind, known, anchor.map(Anchor::Place))
    }

    /// Enters a hidden directory, which no listing shows.
    pub fn enter_past(&self, parent: Ino, past: Past) -> Result<NodeView> {
        let mut table = self.lock();
        table.node(parent)?;
        let (name, kind) = (past.directory(), FileKind::Directory);
        let ino = table.reserve(parent, name, kind);
        let known = Known { heard: Heard::Nothing, at: Instant::now() };
        table.enter(ino, parent, name.into(), kind, known, Some(Anchor::Past(past)))
    }

    /// What is in the directory has to be asked anew: it was changed from elsewhere.
    pub fn unlist(&self, dir: Ino) {
        if let Some(node) = self.lock().nodes.get_mut(&dir) {
            node.listing = None;
            node.absent.clear();
        }
    }

    /// Enters a listed entry under the inode number that was reserved for it.
    pub fn enter_listed(&self, parent: Ino, entry: &Entry, anchor: Option<Place>) -> Result<NodeView> {
        self.lock().enter_listed(parent, entry, anchor)
    }

    /// [`Tree::enter_listed`] for an entry that the kernel gets at once: the node is referred to before anybody can drop it.
    pub fn enter_sent(&self, parent: Ino, entry: &Entry, anchor: Option<Place>) -> Result<NodeView> {
        let mut table = self.lock();
        let view = table.enter_listed(parent, entry, anchor)?;
        if let Some(node) = table.nodes.get_mut(&view.ino) {
            node.lookups += 1;
        }
        Ok(view)
    }

    /// The inode number that a name has or would get.
    pub fn reserve(&self, parent: Ino, name: &str, kind: FileKind) -> Ino {
        self.lock().reserve(parent, name, kind)
    }

    /// What an operation on the node itself has just made of its blob.
    pub fn learn(&self, ino: Ino, heard: Heard) {
        self.lock().learn(ino, heard, Instant::now());
    }

    /// What the service says of the node's blob. It was asked at `asked`, and what was learnt since is not forgotten over it.
    pub fn hear(&self, ino: Ino, heard: Heard, asked: Instant) {
        let mut table = self.lock();
        if table.nodes.get(&ino).is_some_and(|node| node.known.at <= asked) {
            table.learn(ino, heard, asked);
        }
    }

    /// What is known of the node may be wrong: ask again next time.
    pub fn doubt(&self, ino: Ino) {
        let mut table = self.lock();
        let Some(node) = table.nodes.get_mut(&ino) else { return };
        // A moment that is older than any TTL; a machine that booted less than that ago has none, and asks all the same.
        node.known.at = Instant::now().checked_sub(Duration::from_secs(86_400)).unwrap_or(node.known.at);
        let parent = node.parent;
        if let Some(node) = table.nodes.get_mut(&parent) {
            node.listing = None;
        }
    }

    /// The name was removed here: from the directory, its listing, and from the node that had it.
    pub fn unlink(&self, parent: Ino, name: &str) {
        self.lock().unlink(parent, name, Link::Removed);
    }

    /// The service, asked at `asked`, has nothing under the name any more.
    pub fn vanish(&self, parent: Ino, name: &str, asked: Instant) {
        self.lock().vanish(parent, name, asked);
    }

    /// The node at the old name gets the new one; a node that had the new name loses it.
    pub fn rename(&self, parent: Ino, name: &str, new_parent: Ino, new_name: &str) {
        let mut table = self.lock();
        if (parent, name) == (new_parent, new_name) {
            return;
        }
        table.unlink(new_parent, new_name, Link::Removed);
        let entry = table
            .nodes
            .get_mut(&parent)
            .and_then(|node| node.listing.as_mut())
            .and_then(|listing| listing.entries.remove(name));
        let Some(ino) = table.nodes.get_mut(&parent).and_then(|node| node.children.remove(name)) else { return };
        let new_name: Arc<str> = new_name.into();
        table.depart(parent, name);
        if let Some(node) = table.nodes.get_mut(&new_parent) {
            node.absent.remove(&new_name);
            node.gone.remove(&new_name);
            node.children.insert(new_name.clone(), ino);
            if let (Some(listing), Some(entry)) = (node.listing.as_mut(), entry) {
                listing.entries.insert(new_name.clone(), Entry { name: new_name.clone(), ..entry });
            } else {
                node.listing = None;
            }
        }
        if let Some(node) = table.nodes.get_mut(&ino) {
            node.parent = new_parent;
            node.name = new_name;
        }
        table.collect(parent);
    }

    /// Remembers a complete listing that began to be taken at `taken`.
    pub fn remember_listing(&self, dir: Ino, entries: &[Entry], taken: Instant) {
        if entries.len() > LARGEST_KEPT_LISTING {
            return;
        }
        let entries = entries.iter().map(|entry| (entry.name.clone(), entry.clone())).collect();
        let mut table = self.lock();
        while let Some((oldest, at)) = table.listed.front().copied()
            && at.elapsed() >= self.ttl
        {
            table.listed.pop_front();
            // It may have been listed again since.
            if let Some(node) = table.nodes.get_mut(&oldest)
                && node.listing.as_ref().is_some_and(|listing| listing.taken == at)
            {
                node.listing = None;
            }
        }
        if let Some(node) = table.nodes.get_mut(&dir) {
            node.listing = Some(Listing { taken, entries });
            table.listed.push_back((dir, taken));
        }
    }

    /// Another entry than `name` is known to be, or to have been, in the directory.
    pub fn has_sibling(&self, dir: Ino, name: &str) -> bool {
        let table = self.lock();
        table.nodes.get(&dir).is_some_and(|node| {
            let shown = |ino: &Ino| table.nodes.get(ino).is_none_or(|node| !node.is_hidden());
            node.children.iter().any(|(child, ino)| &**child != name && shown(ino))
                || node.listing.as_ref().is_some_and(|listing| listing.entries.keys().any(|entry| &**entry != name))
        })
    }

    /// Nodes of the directory that are entered and have a name.
    pub fn children(&self, dir: Ino) -> Vec<NodeView> {
        let table = self.lock();
        let Some(node) = table.nodes.get(&dir) else { return Vec::new() };
        node.children.values().filter_map(|ino| Some(table.nodes.get(ino)?.view(*ino))).collect()
    }

    /// The kernel gets an entry for the node; false if the node is gone, because the last reference was given back meanwhile.
    #[must_use]
    pub fn looked_up(&self, ino: Ino) -> bool {
        let mut table = self.lock();
        let node = table.nodes.get_mut(&ino);
        node.map(|node| node.lookups += 1).is_some()
    }

    /// The kernel gave `count` references back.
    pub fn forget(&self, ino: Ino, count: u64) {
        let mut table = self.lock();
        if let Some(node) = table.nodes.get_mut(&ino) {
            node.lookups = node.lookups.saturating_sub(count);
            table.collect(ino);
        }
    }

    /// The node is opened in version `etag`, and what the kernel caches of it from now on is that. True if what it has cached so far
    /// is that too. (Last-Modified cannot tell: it counts in seconds.)
    pub fn caches(&self, ino: Ino, etag: &ETag) -> bool {
        let mut table = self.lock();
        let Some(node) = table.nodes.get_mut(&ino) else { return false };
        node.cached.replace(etag.clone()).is_some_and(|cached| cached == *etag)
    }

    /// The kernel's writes made version `now` of version `before`, or of nothing.
    pub fn rewritten(&self, ino: Ino, before: Option<&ETag>, now: &ETag) {
        if let Some(node) = self.lock().nodes.get_mut(&ino)
            && node.cached.as_ref() == before
        {
            node.cached = Some(now.clone());
        }
    }

    /// Drops a node that was entered for an answer that did not go out.
    pub fn collect(&self, ino: Ino) {
        self.lock().collect(ino);
    }

    pub fn opened(&self, ino: Ino) {
        if let Some(node) = self.lock().nodes.get_mut(&ino) {
            node.opens += 1;
        }
    }

    pub fn closed(&self, ino: Ino) {
        let mut table = self.lock();
        if let Some(node) = table.nodes.get_mut(&ino) {
            node.opens = node.opens.saturating_sub(1);
            table.collect(ino);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let root =
            BlobDir { account: AccountId(0), container: ContainerName::parse("box").unwrap(), prefix: String::new() };
        Tree::new(Place::Directory(root), Duration::from_secs(60))
    }

    fn enter(tree: &Tree, parent: Ino, name: &str, kind: FileKind) -> Ino {
        let known = Known { heard: Heard::Nothing, at: Instant::now() };
        let ino = tree.enter(parent, name, kind, known, None).unwrap().ino;
        assert!(tree.looked_up(ino));
        ino
    }

    fn name_of(tree: &Tree, ino: Ino) -> String {
        match tree.place(ino).unwrap() {
            Place::Blob(blob) => blob.path.name.to_string(),
            Place::Directory(dir) => dir.prefix,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn places_follow_the_chain_of_parents() {
        let tree = tree();
        let a = enter(&tree, Ino::ROOT, "a", FileKind::Directory);
        let b = enter(&tree, a, "b", FileKind::Directory);
        let file = enter(&tree, b, "f", FileKind::File);
        assert_eq!(name_of(&tree, file), "a/b/f");
        assert_eq!(name_of(&tree, b), "a/b/");
        tree.rename(a, "b", Ino::ROOT, "moved");
        assert_eq!(name_of(&tree, file), "moved/f");
    }

    #[test]
    fn an_inode_is_an_identity_that_survives_a_rename_but_not_an_unlink() {
        let tree = tree();
        let a = enter(&tree, Ino::ROOT, "a", FileKind::File);
        let b = enter(&tree, Ino::ROOT, "b", FileKind::File);
        tree.rename(Ino::ROOT, "a", Ino::ROOT, "b");
        assert_eq!(name_of(&tree, a), "b");
        assert_eq!(tree.place(b).unwrap_err().errno(), libc::ENOENT);
        assert!(tree.child(Ino::ROOT, "a").is_none());
        tree.unlink(Ino::ROOT, "b");
        assert_eq!(tree.place(a).unwrap_err().errno(), libc::ENOENT);
        // A new file of the same name is another file.
        assert_ne!(enter(&tree, Ino::ROOT, "b", FileKind::File), a);
    }

    #[test]
    fn nodes_go_when_nobody_refers_to_them() {
        let tree = tree();
        let dir = enter(&tree, Ino::ROOT, "d", FileKind::Directory);
        let file = enter(&tree, dir, "f", FileKind::File);
        tree.opened(file);
        tree.forget(dir, 1);
        tree.forget(file, 1);
        assert_eq!(name_of(&tree, file), "d/f");
        tree.closed(file);
        assert!(tree.view(file).is_err());
        assert!(tree.view(dir).is_err());
    }

    #[test]
    fn a_listing_answers_for_names_that_do_not_exist_and_learns_what_happens_here() {
        let tree = tree();
        let ino = tree.reserve(Ino::ROOT, "a", FileKind::File);
        let entry = Entry { ino, name: "a".into(), kind: FileKind::File, heard: Heard::Nothing, at: Instant::now() };
        assert!(matches!(tree.listed(Ino::ROOT, "a"), Listed::Unknown));
        tree.remember_listing(Ino::ROOT, &[entry], Instant::now());
        assert!(matches!(tree.listed(Ino::ROOT, "a"), Listed::Present(..)));
        assert!(matches!(tree.listed(Ino::ROOT, "b"), Listed::Absent));
        let b = enter(&tree, Ino::ROOT, "b", FileKind::File);
        assert!(matches!(tree.listed(Ino::ROOT, "b"), Listed::Present(entry) if entry.ino == b));
        tree.rename(Ino::ROOT, "b", Ino::ROOT, "c");
        assert!(matches!(tree.listed(Ino::ROOT, "b"), Listed::Absent));
        assert!(matches!(tree.listed(Ino::ROOT, "c"), Listed::Present(..)));
        tree.unlink(Ino::ROOT, "c");
        assert!(matches!(tree.listed(Ino::ROOT, "c"), Listed::Absent));
        assert!(tree.has_sibling(Ino::ROOT, "c"));
        assert!(!tree.has_sibling(Ino::ROOT, "a"));
    }

    #[test]
    fn a_name_whose_kind_changed_is_another_file() {
        let tree = tree();
        let file = enter(&tree, Ino::ROOT, "x", FileKind::File);
        let dir = enter(&tree, Ino::ROOT, "x", FileKind::Directory);
        assert_ne!(file, dir);
        assert!(tree.place(file).is_err());
        assert_eq!(name_of(&tree, dir), "x/");
    }
}
