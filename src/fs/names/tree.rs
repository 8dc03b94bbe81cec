//! The inode table: what the kernel holds references to, and what is remembered of the service.
//!
//! An inode is an identity, not a path. A node knows its parent and its own name; where its blob is follows from the
//! chain of parents, so that renaming a directory moves everything below it, open files included, by changing one node.
//! A node that lost its name (unlinked, replaced) stays until the kernel forgets it, but has no place in the service
//! any more.
//!
//! A name whose blob somebody else has replaced stands for another file and gets another node ([`identity`]); the old
//! one has lost its name ([`Link::Vanished`]). Where the kernel knew it by that name, it is told ([`Expired`]).
//!
//! Each node remembers what was last heard of its blob and when ([`CachedProperties`]), packed small ([`packed`]). What
//! directories were listed to hold is remembered as well ([`listings`]) and answers lookups of their names, also of
//! those that do not exist, for as long as it is fresh. What this mount itself creates, deletes and renames is entered
//! in both at once, so that a program sees its own doings.
//!
//! One mutex guards the table. It is held for a few map operations at a time and never across a request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

mod identity;
mod kernel;
mod listed;
mod listings;
mod node;
mod packed;
mod place;
mod revision_place;
mod stale;
mod table;

pub(crate) use identity::{continues, is_grown};
pub(crate) use kernel::KernelView;
pub(crate) use listed::ListedNames;
use listings::Listings;
use lru::LruCache;
pub(crate) use node::{Entry, Link, Listed, NodeProperties, NodeView, Observation, Row};
use packed::{Packed, Shapes};
pub use place::{AccountId, BlobDir, Place};
pub(crate) use place::{Blob, RevisionDir, RevisionPlace};
pub(crate) use revision_place::{Origin, deleted, read_only};
pub(crate) use stale::replaced;
pub(in crate::fs) use stale::stale;
pub(crate) use table::Expired;
use table::{Anchor, CachedProperties, Evidence, MOST_RECENT, Node, Table, long_ago};

use crate::error::{Error, Result};
use crate::fs::names::attr::{FileKind, Ino};
use crate::store::ETag;
use crate::sync::{MutexGuard, lock};

pub struct Tree {
    table: Mutex<Table>,
    shapes: Mutex<Shapes>,
    ttl: Duration,
}

impl Tree {
    /// `ttl`: how long a listing answers for the service.
    pub fn new(root: Place, ttl: Duration) -> Self {
        let known = CachedProperties { packed: Packed::Nothing, at: Instant::now() };
        let mut node = Node::new(Ino::ROOT, "".into(), FileKind::Directory, Some(Anchor::Place(root)), known);
        node.lookups = 1;
        let nodes = HashMap::from([(Ino::ROOT, Box::new(node))]);
        let table = Table {
            nodes,
            next: 2,
            listings: Listings::default(),
            expired: None,
            gone: None,
            recent: LruCache::new(MOST_RECENT),
        };
        Self { table: Mutex::new(table), shapes: Mutex::default(), ttl }
    }

    /// The kernel's part of the tree.
    pub fn kernel(&self) -> KernelView<'_> {
        KernelView { tree: self }
    }

    /// The answers of listings.
    pub fn listings(&self) -> ListedNames<'_> {
        ListedNames { tree: self }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // No operation below leaves the table half changed when it panics.
        lock(&self.table)
    }

    /// Files and directories that the kernel holds on to.
    pub(in crate::fs) fn known(&self) -> usize {
        self.lock().nodes.len()
    }

    fn pack(&self, heard: &NodeProperties) -> Packed {
        match heard {
            NodeProperties::Blob(properties) => Packed::Blob(lock(&self.shapes).pack(properties)),
            NodeProperties::Container(item) => Packed::Container(item.clone()),
            NodeProperties::Nothing => Packed::Nothing,
        }
    }

    fn cached(&self, known: &Observation) -> CachedProperties {
        CachedProperties { packed: self.pack(&known.properties), at: known.at }
    }

    pub fn view(&self, ino: Ino) -> Result<NodeView> {
        let table = self.lock();
        let node = table.node(ino)?;
        Ok(node.view(ino))
    }

    /// The place of the node's content. ENOENT once it has lost its name.
    pub fn place(&self, ino: Ino) -> Result<Place> {
        self.lock().place(ino)
    }

    /// The place of a directory of blobs; anything else cannot hold files.
    pub fn directory(&self, ino: Ino) -> Result<BlobDir> {
        match self.place(ino)? {
            Place::Directory(dir) => Ok(dir),
            Place::Blob(blob) => Err(Error::fs(libc::ENOTDIR, format!("{} is not a directory", blob.path))),
            Place::Revision(_) => Err(read_only()),
            Place::Accounts | Place::Account(_) => {
                Err(Error::fs(libc::EPERM, "only containers can be made here, not files"))
            }
        }
    }

    /// The blob of a file or symlink, to be changed. EROFS where there is only a past to be read.
    pub fn blob(&self, ino: Ino) -> Result<Blob> {
        match self.place(ino)? {
            Place::Blob(blob) => Ok(blob),
            Place::Revision(_) => Err(read_only()),
            _ => Err(Error::fs(libc::EISDIR, "is a directory")),
        }
    }

    /// The origin from which the content of a file or symlink is read.
    pub fn origin(&self, ino: Ino) -> Result<Origin> {
        match self.place(ino)? {
            Place::Blob(blob) => Ok(blob.into()),
            Place::Revision(RevisionPlace::File(blob, revision)) => Ok(Origin { blob, revision: Some(revision) }),
            Place::Revision(RevisionPlace::Deleted(blob)) => Err(deleted(&blob)),
            _ => Err(Error::fs(libc::EISDIR, "is a directory")),
        }
    }

    /// EROFS for what is in a hidden directory, or is one.
    pub fn refuse_revision(&self, ino: Ino) -> Result<()> {
        match self.place(ino) {
            Ok(Place::Revision(_)) => Err(read_only()),
            _ => Ok(()),
        }
    }

    pub fn child(&self, parent: Ino, name: &str) -> Option<NodeView> {
        let table = self.lock();
        let ino = table.child(parent, name)?;
        Some(table.nodes.get(&ino)?.view(ino))
    }

    /// Every node below a directory, parents first.
    pub fn descendants(&self, dir: Ino) -> Vec<NodeView> {
        let table = self.lock();
        let mut found: Vec<NodeView> = Vec::new();
        let mut next = 0;
        let mut within = dir;
        loop {
            let children = table.nodes.get(&within).into_iter().flat_map(|node| node.children());
            found.extend(children.filter_map(|ino| Some(table.nodes.get(&ino)?.view(ino))));
            match found.get(next) {
                Some(node) => within = node.ino,
                None => return found,
            }
            next += 1;
        }
    }

    /// Enters what was heard of a name; the node keeps its identity unless it is another file by now ([`identity`]).
    /// `anchor` is for accounts and containers, whose place does not follow from their parent's.
    pub fn enter(
        &self,
        parent: Ino,
        name: &str,
        kind: FileKind,
        known: Observation,
        anchor: Option<Place>,
    ) -> Result<NodeView> {
        let known = self.cached(&known);
        let mut table = self.lock();
        table.node(parent)?;
        let ino = table.reserve(parent, name, kind, &known, Evidence::Direct);
        table.enter(ino, parent, name.into(), kind, known, anchor.map(Anchor::Place))
    }

    /// Enters a hidden directory, which no listing shows.
    pub fn enter_revision_dir(&self, parent: Ino, revisions: RevisionDir) -> Result<NodeView> {
        self.lock().enter_revision_dir(parent, revisions)
    }

    /// Enters a listed entry under the inode number that was reserved for it.
    pub fn enter_listed(&self, parent: Ino, entry: &Entry, anchor: Option<Place>) -> Result<NodeView> {
        self.lock().enter_listed(parent, entry, anchor)
    }

    /// [`Tree::enter_listed`] for an entry that the kernel gets at once: the node is referred to before anybody can
    /// drop it.
    pub fn enter_sent(&self, parent: Ino, entry: &Entry, anchor: Option<Place>) -> Result<NodeView> {
        let mut table = self.lock();
        let view = table.enter_listed(parent, entry, anchor)?;
        if let Some(node) = table.nodes.get_mut(&view.ino) {
            node.lookups += 1;
        }
        Ok(view)
    }

    /// Takes in what an operation on the node itself has just made of its blob.
    pub fn update(&self, ino: Ino, heard: NodeProperties) {
        let packed = self.pack(&heard);
        self.lock().update(ino, CachedProperties { packed, at: Instant::now() });
    }

    /// Takes in what the service says of the node's blob. It was asked at `asked`, and what was learnt since is not
    /// forgotten over it. If it is another file by now, the node loses its name.
    pub fn update_if_newer(&self, ino: Ino, heard: NodeProperties, asked: Instant) {
        let heard = CachedProperties { packed: self.pack(&heard), at: asked };
        let mut table = self.lock();
        let Some(node) = table.nodes.get(&ino).filter(|node| node.accepts(asked)) else { return };
        let (parent, name, kind) = (node.parent, node.name.clone(), node.kind);
        let has_its_name = ino != Ino::ROOT && table.child(parent, &name) == Some(ino);
        if !has_its_name || table.reserve(parent, &name, kind, &heard, Evidence::Direct) == ino {
            table.update(ino, heard);
        }
    }

    /// Takes in what the service, asked at `asked`, says of the node's blob, which is this file whatever it is. What
    /// the kernel caches of another content it is told to drop.
    pub fn update_same_file(&self, ino: Ino, heard: NodeProperties, asked: Instant) {
        let heard = CachedProperties { packed: self.pack(&heard), at: asked };
        let mut table = self.lock();
        let Some(node) = table.nodes.get(&ino).filter(|node| node.accepts(asked)) else { return };
        let is_another = !identity::is_same(&node.cached_properties.packed, &heard.packed);
        table.update(ino, heard);
        if is_another {
            table.expire(Expired::File(ino));
        }
    }

    /// The service has refused to take the node's blob for version `etag`, or (`None`) for one that is not there: if
    /// that is what is known of it still, the name stands for something else, or (`gone`) for nothing.
    pub fn invalidate_version(&self, ino: Ino, etag: Option<&ETag>, gone: bool) {
        let mut table = self.lock();
        let Some(node) = table.nodes.get(&ino) else { return };
        let known = match node.cached_properties.heard() {
            NodeProperties::Blob(properties) => etag == Some(&properties.etag),
            NodeProperties::Container(_) => false,
            NodeProperties::Nothing => etag.is_none(),
        };
        if !known || node.link != Link::Named || node.kind == FileKind::Directory {
            return;
        }
        let (parent, name) = (node.parent, node.name.clone());
        if gone {
            table.unlink(parent, &name, Link::Vanished, Instant::now());
        } else {
            table.detach_name(parent, &name);
        }
    }

    /// Forgets what the name stands for, which has to be asked for anew, by the kernel as well.
    pub fn invalidate_name(&self, parent: Ino, name: &str) {
        self.lock().detach_name(parent, name);
    }

    /// ESTALE for a file whose name stands for another one, or for none, by somebody else's doing.
    pub fn refuse_replaced(&self, ino: Ino) -> Result<()> {
        let table = self.lock();
        let node = table.node(ino)?;
        if node.link == Link::Vanished { Err(replaced(&node.name)) } else { Ok(()) }
    }

    /// The node of a file loses its name, which stands for something that is not known yet.
    pub fn detach(&self, ino: Ino) {
        let mut table = self.lock();
        if let Some(node) = table.nodes.get(&ino).filter(|node| node.link == Link::Named) {
            let (parent, name) = (node.parent, node.name.clone());
            table.detach_name(parent, &name);
        }
    }

    /// Nothing that was heard is believed any longer.
    pub fn invalidate_all(&self) {
        let mut table = self.lock();
        for node in table.nodes.values_mut() {
            node.cached_properties.at = long_ago().unwrap_or(node.cached_properties.at);
            if let Some(names) = &mut node.names {
                names.absent.clear();
            }
        }
        table.listings.clear();
    }

    /// Doubts what is known of the node, which may be wrong: it is asked for next time.
    pub fn invalidate(&self, ino: Ino) {
        let mut table = self.lock();
        let Some(node) = table.nodes.get_mut(&ino) else { return };
        node.cached_properties.at = long_ago().unwrap_or(node.cached_properties.at);
        let parent = node.parent;
        table.listings.forget(parent);
    }

    /// A blob was put at a path below the directory, and no node knows of it: what is remembered of the names on the
    /// way is forgotten.
    pub fn invalidate_path(&self, dir: Ino, path: &str) {
        let mut table = self.lock();
        let mut parent = dir;
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            let Some(node) = table.nodes.get_mut(&parent) else { return };
            node.names().absent.remove(name);
            let child = node.child(name);
            if child.is_none() || names.peek().is_none() {
                table.listings.forget(parent);
            }
            let Some(child) = child else { return };
            parent = child;
        }
        let Some(node) = table.nodes.get_mut(&parent) else { return };
        node.cached_properties.at = long_ago().unwrap_or(node.cached_properties.at);
        if node.kind != FileKind::Directory {
            // The kernel would go on showing what was there before.
            let expired = Expired::Name { parent: node.parent, name: node.name.clone(), old: parent };
            table.expire(expired);
        }
    }

    /// The node at a path below the directory, if all on the way are entered.
    pub fn below(&self, dir: Ino, path: &str) -> Option<Ino> {
        let table = self.lock();
        path.split('/').try_fold(dir, |parent, name| table.nodes.get(&parent)?.child(name))
    }

    /// The name was removed here: from the directory, its listing, and from the node that had it.
    pub fn unlink(&self, parent: Ino, name: &str) {
        self.lock().unlink(parent, name, Link::Removed, Instant::now());
    }

    /// The service, asked at `asked`, has nothing under the name any more.
    pub fn remove_absent(&self, parent: Ino, name: &str, asked: Instant) {
        self.lock().remove_absent(parent, name, asked);
    }

    /// The node at the old name gets the new one; a node that had the new name loses it.
    pub fn rename(&self, parent: Ino, name: &str, new_parent: Ino, new_name: &str) {
        let mut table = self.lock();
        if (parent, name) == (new_parent, new_name) {
            return;
        }
        table.unlink(new_parent, new_name, Link::Removed, Instant::now());
        let ino = table.child(parent, name);
        table.depart(parent, name, Instant::now());
        let Some(ino) = ino else {
            // Who renamed it was let go, and with that the kernel's last reference to the node: that the new name is
            // not there, as a listing said, is not true any more.
            table.listings.forget(new_parent);
            return;
        };
        if let Some(node) = table.nodes.get_mut(&parent) {
            node.names().children.remove(name);
        }
        let new_name: Arc<str> = new_name.into();
        if let Some(node) = table.nodes.get_mut(&new_parent) {
            node.names().insert(new_name.clone(), ino);
        }
        table.listings.insert(new_parent, &new_name, None);
        if let Some(node) = table.nodes.get_mut(&ino) {
            node.parent = new_parent;
            node.name = new_name.clone();
            if node.kind != FileKind::Directory {
                // What was heard of the new name until now is of the file that had it.
                node.cached_properties.at = Instant::now();
            }
            if node.lookups == 0 {
                // The kernel has moved the file that the old name stood for before.
                table.expire(Expired::Name { parent: new_parent, name: new_name, old: ino });
            }
        }
        table.collect(parent);
    }

    /// Nodes of the directory that are entered and have a name.
    pub fn children(&self, dir: Ino) -> Vec<NodeView> {
        let table = self.lock();
        let Some(node) = table.nodes.get(&dir) else { return Vec::new() };
        node.children().filter_map(|ino| Some(table.nodes.get(&ino)?.view(ino))).collect()
    }

    /// An entry of the directory came or went by an operation of this mount.
    pub fn touch(&self, dir: Ino) {
        if let Some(node) = self.lock().nodes.get_mut(&dir) {
            node.touched = Some(SystemTime::now());
        }
    }

    /// The directory's time is what was set, not when its entries changed.
    pub fn forget_touch(&self, dir: Ino) {
        if let Some(node) = self.lock().nodes.get_mut(&dir) {
            node.touched = None;
        }
    }
}

#[cfg(test)]
mod tests;
