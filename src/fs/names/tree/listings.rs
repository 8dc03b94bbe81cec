//! Names in directories, as listings have them.
//!
//! Every page of a listing is remembered as it comes, so that its names are known while the listing still goes on; once
//! it has come to its end, names that it did not have are known to be absent. Listings of one directory, one after the
//! other or at once, go into one memory, in which every name has its own age.
//!
//! All directories together have a bounded number of names here: first the directories listed longest ago are
//! forgotten, then of the present one all but the last pages. What is too old to be believed goes when it is swept up,
//! also on a mount on which nothing happens any more: whoever remembers a page sees to it that [`Listings::sweep`] is
//! called later (`names/dir/list.rs`).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::fs::names::attr::{FileKind, Ino};
use crate::fs::names::tree::packed::Packed;

/// Names remembered of all listings together, at some 250 bytes each.
const MOST: usize = 200_000;

/// Pages that are kept of a listing that is too long to be kept: programs list up to 10 000 names before they look at
/// them (fts(3)).
const LAST_PAGES: usize = 4;

/// Directories whose names were dropped that are told from each other.
const MOST_DROPPED: usize = 10_000;

/// A listed entry whose name has no node, or another one.
#[derive(Debug, Clone)]
pub(in crate::fs) struct UnenteredRow {
    pub(crate) ino: Ino,
    pub(crate) kind: FileKind,
    pub(crate) packed: Packed,
    /// When the service was asked.
    pub(crate) at: Instant,
}

/// Nothing: the node of that name says it.
type RowOrNode = Option<Box<UnenteredRow>>;

struct Listing {
    /// Nothing that was listed since then is missing.
    since: Instant,
    /// When the last page was asked for, and those before it.
    pages: VecDeque<Instant>,
    /// All names were known as of that moment.
    complete: Option<Instant>,
    names: BTreeMap<Arc<str>, RowOrNode>,
}

pub(in crate::fs) enum Answer<'a> {
    /// The node of that name knows.
    Node,
    Row(&'a UnenteredRow),
    Absent,
    Unknown,
}

#[derive(Default)]
pub(in crate::fs) struct Listings {
    of: HashMap<Ino, Listing>,
    /// Names in all of them.
    names: usize,
    /// Pages, oldest first: of which directory, and when they were asked for.
    order: VecDeque<(Ino, Instant)>,
    /// Directories of which nothing was known when a node in them was dropped, and when that node was last heard of: a
    /// listing whose first page is still on its way may not have its name.
    dropped: HashMap<Ino, Instant>,
    /// The latest of those that were too many to be kept one by one.
    dropped_anywhere: Option<Instant>,
}

impl Listings {
    /// The answer about a name, if it is not older than `ttl`.
    pub(crate) fn answer(&self, dir: Ino, name: &str, ttl: Duration) -> Answer<'_> {
        let Some(listing) = self.of.get(&dir) else { return Answer::Unknown };
        match listing.names.get(name) {
            Some(None) => Answer::Node,
            Some(Some(row)) if row.at.elapsed() < ttl => Answer::Row(row),
            Some(Some(_)) => Answer::Unknown,
            None if listing.complete.is_some_and(|at| at.elapsed() < ttl) => Answer::Absent,
            None => Answer::Unknown,
        }
    }

    /// When a listing had all names of the directory, but not this one.
    pub(crate) fn absent_since(&self, dir: Ino, name: &str) -> Option<Instant> {
        self.of.get(&dir).filter(|listing| !listing.names.contains_key(name))?.complete
    }

    pub(crate) fn row(&self, dir: Ino, name: &str) -> Option<&UnenteredRow> {
        self.of.get(&dir)?.names.get(name)?.as_deref()
    }

    pub(crate) fn knows(&self, dir: Ino) -> bool {
        self.of.contains_key(&dir)
    }

    pub(crate) fn has_other_than(&self, dir: Ino, name: &str) -> bool {
        self.of.get(&dir).is_some_and(|listing| listing.names.keys().any(|known| &**known != name))
    }

    /// A page that was asked for at `asked`.
    pub(crate) fn add_page(&mut self, dir: Ino, asked: Instant, rows: Vec<(Arc<str>, RowOrNode)>) {
        let listing = self.of.entry(dir).or_insert_with(|| Listing {
            since: asked,
            pages: VecDeque::new(),
            complete: None,
            names: BTreeMap::new(),
        });
        let before = listing.names.len();
        for (name, said) in rows {
            let newer =
                |known: &RowOrNode| known.as_ref().is_some_and(|known| said.as_ref().is_some_and(|s| known.at > s.at));
            if !listing.names.get(&name).is_some_and(newer) {
                listing.names.insert(name, said);
            }
        }
        self.names += listing.names.len() - before;
        listing.pages.push_front(asked);
        listing.pages.truncate(LAST_PAGES);
        self.order.push_back((dir, asked));
        self.bound(dir);
    }

    fn bound(&mut self, present: Ino) {
        while self.names > MOST
            && let Some((dir, asked)) = self.order.pop_front()
        {
            if dir != present && self.of.get(&dir).is_some_and(|listing| listing.pages.front() == Some(&asked)) {
                self.forget(dir);
            }
        }
        if self.names > MOST
            && let Some(listing) = self.of.get_mut(&present)
        {
            let oldest = listing.pages.back().copied();
            self.names -= listing.thin(|row| oldest.is_some_and(|oldest| row.at >= oldest));
        }
    }

    /// A listing that began at `began` has come to its end: names that it did not have are not there.
    pub(crate) fn end(&mut self, dir: Ino, began: Instant) {
        let late = self.dropped.get(&dir).copied().max(self.dropped_anywhere).is_some_and(|heard| heard >= began);
        let Some(listing) = self.of.get_mut(&dir).filter(|listing| listing.since <= began && !late) else { return };
        let before = listing.names.len();
        listing.names.retain(|_, said| said.as_ref().is_none_or(|row| row.at >= began));
        self.names -= before - listing.names.len();
        listing.complete = listing.complete.max(Some(began));
    }

    /// A name that is there, of which was heard at `heard`, is forgotten in a directory of which nothing is known.
    pub(crate) fn drop_unlisted(&mut self, dir: Ino, heard: Instant) {
        if self.dropped.len() >= MOST_DROPPED {
            self.dropped_anywhere = self.dropped.drain().map(|(_, heard)| heard).chain(self.dropped_anywhere).max();
        }
        let latest = self.dropped.entry(dir).or_insert(heard);
        *latest = heard.max(*latest);
    }

    /// Enters a name of a directory of which anything is known.
    pub(crate) fn insert(&mut self, dir: Ino, name: &Arc<str>, said: RowOrNode) {
        if let Some(listing) = self.of.get_mut(&dir)
            && listing.names.insert(name.clone(), said).is_none()
        {
            self.names += 1;
        }
    }

    /// The name is not there any more.
    pub(crate) fn remove(&mut self, dir: Ino, name: &str) {
        if let Some(listing) = self.of.get_mut(&dir)
            && listing.names.remove(name).is_some()
        {
            self.names -= 1;
        }
    }

    pub(crate) fn forget(&mut self, dir: Ino) {
        if let Some(listing) = self.of.remove(&dir) {
            self.names -= listing.names.len();
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        // What is being listed now may lack what came in the meantime.
        *self = Self { dropped_anywhere: Some(Instant::now()), ..Self::default() };
    }

    /// Forgets what is older than `ttl`; true if something is left that will be.
    pub(crate) fn sweep(&mut self, ttl: Duration) -> bool {
        let mut dropped = 0;
        let old = |at: &Instant| at.elapsed() >= ttl;
        self.of.retain(|_, listing| {
            if !listing.complete.as_ref().is_none_or(old) {
                return true;
            }
            let before = listing.names.len();
            if listing.pages.front().is_none_or(old) {
                dropped += before;
                return false;
            }
            // One that still goes on. What nodes say is no older than they are.
            listing.names.retain(|_, said| said.as_ref().is_none_or(|row| !old(&row.at)));
            if listing.names.len() < before {
                listing.lost_some();
            }
            dropped += before - listing.names.len();
            true
        });
        self.names -= dropped;
        while self.order.front().is_some_and(|(dir, _)| !self.of.contains_key(dir)) {
            self.order.pop_front();
        }
        if self.of.is_empty() {
            let (dropped, dropped_anywhere) = (std::mem::take(&mut self.dropped), self.dropped_anywhere);
            *self = Self { dropped, dropped_anywhere, ..Self::default() };
        }
        !self.of.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.names, self.of.values().map(|listing| listing.names.len()).sum::<usize>());
        self.names
    }
}

impl Listing {
    /// Drops the rows that are not wanted; how many. What nodes say is known without a listing.
    fn thin(&mut self, wanted: impl Fn(&UnenteredRow) -> bool) -> usize {
        let before = self.names.len();
        self.names.retain(|_, said| said.as_deref().is_some_and(&wanted));
        self.lost_some();
        before - self.names.len()
    }

    fn lost_some(&mut self) {
        self.since = Instant::now();
        self.complete = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIR: Ino = Ino(7);
    const LONG: Duration = Duration::from_secs(600);

    fn page(asked: Instant, names: impl IntoIterator<Item = usize>) -> Vec<(Arc<str>, RowOrNode)> {
        let row =
            |n| UnenteredRow { ino: Ino(100 + n as u64), kind: FileKind::File, packed: Packed::Nothing, at: asked };
        names.into_iter().map(|n| (format!("name{n:08}").into(), Some(Box::new(row(n))))).collect()
    }

    fn knows(listings: &Listings, dir: Ino, n: usize) -> bool {
        matches!(listings.answer(dir, &format!("name{n:08}"), LONG), Answer::Row(_))
    }

    fn absent(listings: &Listings, dir: Ino, n: usize) -> bool {
        matches!(listings.answer(dir, &format!("name{n:08}"), LONG), Answer::Absent)
    }

    #[test]
    fn names_are_known_from_their_page_on_and_their_absence_from_the_end_on() {
        let mut listings = Listings::default();
        let began = Instant::now();
        listings.add_page(DIR, began, page(began, 0..10));
        assert!(knows(&listings, DIR, 9) && !absent(&listings, DIR, 10));
        listings.add_page(DIR, Instant::now(), page(Instant::now(), 10..20));
        listings.end(DIR, began);
        assert!(knows(&listings, DIR, 19) && absent(&listings, DIR, 20));
        // A second listing, in which the first name is missing.
        let again = Instant::now();
        listings.add_page(DIR, again, page(again, 1..20));
        assert!(knows(&listings, DIR, 0) && absent(&listings, DIR, 20));
        listings.end(DIR, again);
        assert!(absent(&listings, DIR, 0) && knows(&listings, DIR, 1));
        assert_eq!(listings.len(), 19);
    }

    #[test]
    fn a_listing_that_was_forgotten_half_way_says_nothing_of_what_is_absent() {
        let mut listings = Listings::default();
        let began = Instant::now();
        listings.add_page(DIR, began, page(began, 0..10));
        listings.forget(DIR);
        std::thread::sleep(Duration::from_millis(1));
        listings.add_page(DIR, Instant::now(), page(Instant::now(), 10..20));
        listings.end(DIR, began);
        assert!(!absent(&listings, DIR, 0) && knows(&listings, DIR, 10));
    }

    #[test]
    fn all_directories_together_are_bounded() {
        let mut listings = Listings::default();
        for dir in 0..1000 {
            let asked = Instant::now();
            listings.add_page(Ino(dir), asked, page(asked, 0..1000));
            listings.end(Ino(dir), asked);
            assert!(listings.len() <= MOST);
        }
        assert!(knows(&listings, Ino(999), 0) && absent(&listings, Ino(900), 1000) && !knows(&listings, Ino(0), 0));
    }

    #[test]
    fn of_a_directory_too_large_the_last_pages_are_known() {
        let mut listings = Listings::default();
        let began = Instant::now();
        for n in 0..200 {
            let asked = Instant::now();
            listings.add_page(DIR, asked, page(asked, n * 5000..(n + 1) * 5000));
            assert!(listings.len() <= MOST);
            assert!(n < 2 || knows(&listings, DIR, (n - 1) * 5000));
        }
        listings.end(DIR, began);
        assert!(!absent(&listings, DIR, 1_000_000));
    }

    #[test]
    fn what_is_too_old_is_swept_up_to_nothing() {
        let mut listings = Listings::default();
        let asked = Instant::now();
        listings.add_page(DIR, asked, page(asked, 0..1000));
        listings.end(DIR, asked);
        assert!(listings.sweep(LONG));
        assert_eq!(listings.len(), 1000);
        assert!(!listings.sweep(Duration::ZERO));
        assert_eq!((listings.len(), listings.of.capacity(), listings.order.capacity()), (0, 0, 0));
    }

    #[test]
    fn a_name_that_came_and_was_dropped_while_a_first_page_was_on_its_way_is_not_denied() {
        let ttl = Duration::from_secs(60);
        for dirs in [1, MOST_DROPPED as u64 + 1] {
            let mut listings = Listings::default();
            let before = Instant::now();
            std::thread::sleep(Duration::from_millis(1));
            let began = Instant::now();
            // Others that are dropped do not matter, if they are not too many to tell; nor one that was there before.
            listings.drop_unlisted(DIR, before);
            listings.add_page(DIR, began, page(began, 0..10));
            listings.end(DIR, began);
            assert!(matches!(listings.answer(DIR, "new", ttl), Answer::Absent));
            listings.forget(DIR);
            for dir in 0..dirs {
                listings.drop_unlisted(Ino(DIR.0 + dir), Instant::now());
            }
            listings.add_page(DIR, began, page(began, 0..10));
            listings.end(DIR, began);
            assert!(matches!(listings.answer(DIR, "new", ttl), Answer::Unknown));
            // The next listing has it, or it is gone.
            let began = Instant::now();
            listings.add_page(DIR, began, page(began, 0..10));
            listings.end(DIR, began);
            assert!(matches!(listings.answer(DIR, "new", ttl), Answer::Absent));
        }
    }
}
