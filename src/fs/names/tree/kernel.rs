//! The kernel's part of the tree: references to nodes, their content in its cache, and what it has to be told.

use std::sync::mpsc;
use std::time::Duration;

use crate::fs::names::attr::Ino;
use crate::fs::names::tree::Tree;
use crate::fs::names::tree::table::Expired;
use crate::store::ETag;

/// The kernel's part of the tree. A node stays as long as the kernel has a reference to it or somebody has it open.
pub struct KernelView<'a> {
    pub(super) tree: &'a Tree,
}

impl KernelView<'_> {
    /// The kernel has not heard of what the name stands for now: what it caches under it is old.
    pub fn is_old_to_the_kernel(&self, expired: &Expired) -> bool {
        match expired {
            Expired::Name { parent, name, old } => {
                let table = self.tree.lock();
                let now = table.child(*parent, name).filter(|now| now != old).and_then(|now| table.nodes.get(&now));
                now.is_none_or(|node| node.lookups == 0)
            }
            Expired::File(_) => true,
        }
    }

    /// Sets the channel on which the kernel is told from now on what it should not believe any longer.
    pub fn send_expired_to(&self, kernel: mpsc::Sender<Expired>) {
        self.tree.lock().expired = Some(kernel);
    }

    /// Sets who hears from now on of numbers that no file will have again. Nobody is waited for there.
    pub fn send_gone_to(&self, hear: impl Fn(Ino) + Send + 'static) {
        self.tree.lock().gone = Some(Box::new(hear));
    }

    /// Expires what the kernel believes of a name, whatever that is.
    pub fn expire_name(&self, parent: Ino, name: &str) {
        let table = self.tree.lock();
        let old = table.child(parent, name).unwrap_or(parent);
        table.expire(Expired::Name { parent, name: name.into(), old });
    }

    /// Expires the kernel's cache of the content and attributes of the file, although it is the same file.
    pub fn expire_file(&self, ino: Ino) {
        self.tree.lock().expire(Expired::File(ino));
    }

    /// The node was looked up within `bound`, and not opened since: whoever asks now has asked for it already.
    pub fn is_just_looked_up(&self, ino: Ino, bound: Duration) -> bool {
        let table = self.tree.lock();
        table.nodes.get(&ino).is_some_and(|node| node.looked_up && node.cached_properties.at.elapsed() < bound)
    }

    /// [`KernelView::is_just_looked_up`], once.
    pub fn take_lookup(&self, ino: Ino, bound: Duration) -> bool {
        let mut table = self.tree.lock();
        let Some(node) = table.nodes.get_mut(&ino) else { return false };
        std::mem::take(&mut node.looked_up) && node.cached_properties.at.elapsed() < bound
    }

    /// The kernel gets an entry for the node; false if the node is gone, because the last reference was given back
    /// meanwhile.
    #[must_use]
    pub fn looked_up(&self, ino: Ino) -> bool {
        let mut table = self.tree.lock();
        let Some(node) = table.nodes.get_mut(&ino) else { return false };
        node.lookups += 1;
        node.looked_up = true;
        true
    }

    /// The kernel gave `count` references back.
    pub fn forget(&self, ino: Ino, count: u64) {
        let mut table = self.tree.lock();
        if let Some(node) = table.nodes.get_mut(&ino) {
            node.lookups = node.lookups.saturating_sub(count);
            table.collect(ino);
        }
    }

    /// Nodes that the kernel has references to.
    pub fn referenced(&self) -> usize {
        self.tree.lock().nodes.values().filter(|node| node.lookups > 0).count()
    }

    /// The node is opened in version `etag`, and what the kernel caches of it from now on is that. True if what it has
    /// cached so far is that too. (Last-Modified cannot tell: it counts in seconds.)
    pub fn caches(&self, ino: Ino, etag: &ETag) -> bool {
        let mut table = self.tree.lock();
        let Some(node) = table.nodes.get_mut(&ino) else { return false };
        node.kernel_version.replace(etag.clone()).is_some_and(|cached| cached == *etag)
    }

    /// The kernel's writes made version `now` of version `before`, or of nothing.
    pub fn rewritten(&self, ino: Ino, before: Option<&ETag>, now: &ETag) {
        if let Some(node) = self.tree.lock().nodes.get_mut(&ino)
            && node.kernel_version.as_ref() == before
        {
            node.kernel_version = Some(now.clone());
        }
    }

    /// Drops a node that was entered for an answer that did not go out.
    pub fn collect(&self, ino: Ino) {
        self.tree.lock().collect(ino);
    }

    pub fn opened(&self, ino: Ino) {
        if let Some(node) = self.tree.lock().nodes.get_mut(&ino) {
            node.opens += 1;
        }
    }

    pub fn closed(&self, ino: Ino) {
        let mut table = self.tree.lock();
        if let Some(node) = table.nodes.get_mut(&ino) {
            node.opens = node.opens.saturating_sub(1);
            table.collect(ino);
        }
    }
}
