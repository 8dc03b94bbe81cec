//! Names as listings of directories have them, and those that were found absent.

use std::time::Instant;

use crate::fs::names::attr::Ino;
use crate::fs::names::tree::Tree;
use crate::fs::names::tree::node::{Entry, Listed, Row};
use crate::fs::names::tree::table::CachedProperties;

/// Names remembered as absent in one directory.
const MOST_ABSENT: usize = 4096;

/// The answers of listings, as far as they are believed still.
pub struct ListedNames<'a> {
    pub(super) tree: &'a Tree,
}

impl ListedNames<'_> {
    /// The answer of listings of the directory about a name, as far as they are fresh.
    pub fn listed(&self, parent: Ino, name: &str) -> Listed {
        let table = self.tree.lock();
        let absent = match table.listed(parent, name, self.tree.ttl) {
            Some(Some(entry)) => return Listed::Present(entry),
            Some(None) => table.listings.absent_since(parent, name),
            None => {
                let names = table.nodes.get(&parent).and_then(|node| node.names.as_ref());
                names.and_then(|names| names.absent.get(name)).filter(|asked| asked.elapsed() < self.tree.ttl).copied()
            }
        };
        absent.map_or(Listed::Unknown, Listed::Absent)
    }

    /// The latest moment, not longer ago than it is believed, at which there was nothing under a name, nor below it.
    pub fn absent_since(&self, parent: Ino, name: &str) -> Option<Instant> {
        let table = self.tree.lock();
        let names = table.nodes.get(&parent).and_then(|node| node.names.as_ref());
        let asked = names.and_then(|names| names.absent.get(name)).copied();
        asked.max(table.listings.absent_since(parent, name)).filter(|asked| asked.elapsed() < self.tree.ttl)
    }

    /// The service was asked for the name at `asked` and has nothing under it. What came into being here since stays.
    pub fn remember_absence(&self, parent: Ino, name: &str, asked: Instant) {
        let mut table = self.tree.lock();
        if !table.remove_absent(parent, name, asked) {
            return;
        }
        let Some(node) = table.nodes.get_mut(&parent) else { return };
        let absent = &mut node.names().absent;
        if absent.len() >= MOST_ABSENT {
            absent.retain(|_, asked| asked.elapsed() < self.tree.ttl);
        }
        if absent.len() < MOST_ABSENT {
            absent.insert(name.into(), asked);
        }
    }

    /// Forgets what is in the directory: it was changed from elsewhere.
    pub fn invalidate_listing(&self, dir: Ino) {
        let mut table = self.tree.lock();
        table.listings.forget(dir);
        if let Some(node) = table.nodes.get_mut(&dir) {
            node.names().absent.clear();
        }
    }

    /// Takes in a page of a listing of the directory, asked for at `asked`: its entries, each with the number that the
    /// name has or gets.
    pub fn add_page(&self, dir: Ino, asked: Instant, rows: Vec<Row>) -> Vec<Entry> {
        let pack = |Row { name, kind, observed: known }: Row| {
            let CachedProperties { packed, at } = self.tree.cached(&known);
            Entry { ino: Ino(0), name, kind, packed, at }
        };
        let mut entries: Vec<Entry> = rows.into_iter().map(pack).collect();
        self.tree.lock().add_page(dir, asked, &mut entries);
        entries
    }

    /// The listing of the directory that began at `began` has come to its end.
    pub fn end_listing(&self, dir: Ino, began: Instant) {
        self.tree.lock().listings.end(dir, began);
    }

    #[cfg(test)]
    pub fn names_remembered(&self) -> usize {
        self.tree.lock().listings.len()
    }

    /// Forgets what was listed too long ago; true if something is left to be forgotten later.
    pub fn sweep(&self) -> bool {
        self.tree.lock().listings.sweep(self.tree.ttl)
    }

    /// Another entry than `name` is known to be, or to have been, in the directory.
    pub fn has_sibling(&self, dir: Ino, name: &str) -> bool {
        let table = self.tree.lock();
        let names = table.nodes.get(&dir).and_then(|node| node.names.as_ref());
        let shown = |ino: &Ino| table.nodes.get(ino).is_none_or(|node| !node.is_hidden());
        names.is_some_and(|names| names.children.iter().any(|(child, ino)| &**child != name && shown(ino)))
            || table.listings.has_other_than(dir, name)
    }
}
