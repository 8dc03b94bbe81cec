//! The position of a reader of a directory, and the pages around it.
//!
//! A directory may have any number of entries, and the stream of a reader holds only those of the pages around its
//! position. Of every page that was listed it keeps where that began, so that a reader who goes back (seekdir) gets it
//! listed again: exactly the names between the same two names, whatever was made or removed meanwhile.
//!
//! An offset names the entry before it: its page, its place in that, and a fingerprint of its name. So it means the
//! same after its page has been listed anew, although other names there may have come or gone. Offsets 0, 1 and 2 are
//! the beginning and the two dots.
//!
//! A blob and a directory may have the same name: `a` and `a/`. They are one entry, but between the two there is room
//! for `a-1` and any number of others, so what is undecided is carried from page to page. All names that can be
//! undecided at a time begin each other, so that there are never more than a name has characters.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::fs::names::dir::cursor::{Carry, Cookie, Cursor, PageStart};
use crate::fs::names::dir::pages::Fetched;
use crate::fs::names::tree::{Entry, NodeView, Row};
use crate::store::Progress;

/// Entries kept behind the position: what the kernel could not hand out is asked for again from a little further back.
const BEHIND: usize = 5000;

/// Most bytes of beginnings of pages that one reader may have: of fifty million entries with names of a usual length, and of
/// ten million with the longest.
const MOST_CURSORS: usize = 32 << 20;

/// A page that is fetched before it is asked for.
struct Ahead {
    marker: String,
    task: JoinHandle<Result<Fetched>>,
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A reader of a directory.
pub(crate) struct DirStream {
    /// The beginnings of all pages listed so far, and of the next.
    cursors: Vec<Cursor>,
    /// Bytes that they take.
    held: usize,
    /// Pages in memory, one after the other.
    window: VecDeque<Vec<Entry>>,
    /// Number of the first page in `window`.
    first: usize,
    ahead: Option<Ahead>,
    /// How far the listing has come.
    pub(super) progress: Progress,
    /// When the listing began.
    pub(super) began: Instant,
    /// Names that existed only on this mount when the listing began.
    pub(super) only_here: Vec<Arc<str>>,
    /// Those of them, and of what came later, that have been listed all the same.
    pub(super) listed: HashSet<Arc<str>>,
}

impl Default for DirStream {
    fn default() -> Self {
        Self {
            cursors: vec![Cursor { start: PageStart::First, carry: Carry::default(), after: None }],
            held: 0,
            window: VecDeque::new(),
            first: 0,
            ahead: None,
            progress: Progress::default(),
            began: Instant::now(),
            only_here: Vec::new(),
            listed: HashSet::new(),
        }
    }
}

/// A page that has to be listed before the reader can go on.
pub(crate) struct Wanted {
    pub page: usize,
    pub cursor: Cursor,
    /// Its end when it was listed before.
    pub until: Option<Cursor>,
}

impl DirStream {
    /// Nothing was read yet.
    pub(crate) fn is_new(&self) -> bool {
        self.cursors.len() == 1
    }

    /// The page to be listed for an entry at `page` to be in memory; none if it is, or if there is no such page.
    pub(crate) fn wants(&self, page: usize) -> Option<Wanted> {
        // A page that was never listed is reached through those before it.
        let page = page.min(self.cursors.len() - 1);
        let cursor = self.cursors.get(page)?.clone();
        if self.has(page) || cursor.start == PageStart::End {
            return None;
        }
        Some(Wanted { page, cursor, until: self.cursors.get(page + 1).cloned() })
    }

    /// The listing begins; `unstored` are the files that exist only on this mount so far.
    pub(crate) fn begin(&mut self, asked: Instant, unstored: Vec<NodeView>) {
        self.began = asked;
        self.only_here = unstored.into_iter().map(|view| view.name).collect();
    }

    /// Rows of a page; `unstored` is what exists only here at this moment.
    pub(crate) fn mark_listed(&mut self, rows: &[Row], unstored: Vec<NodeView>) {
        let ours: HashSet<Arc<str>> =
            unstored.into_iter().map(|view| view.name).chain(self.only_here.iter().cloned()).collect();
        if !ours.is_empty() {
            self.listed.extend(rows.iter().map(|row| row.name.clone()).filter(|name| ours.contains(name)));
        }
    }

    /// The page is in memory.
    pub(crate) fn has(&self, page: usize) -> bool {
        self.page(page).is_some()
    }

    /// The page, and what follows on it where that was not known yet. EIO for a directory that is too large for anybody to
    /// come to its end.
    pub(crate) fn put(&mut self, page: usize, entries: Vec<Entry>, next: Cursor) -> Result<()> {
        if page + 1 == self.cursors.len() {
            let held = self.held + next.size();
            if held > MOST_CURSORS {
                let what = format!("a listing goes on without an end: {} pages so far", self.cursors.len());
                return Err(Error::fs(libc::EIO, what));
            }
            self.held = held;
            self.cursors.push(next);
        }
        if page != self.first + self.window.len() {
            self.window.clear();
            self.first = page;
        }
        self.window.push_back(entries);
        Ok(())
    }

    /// The last name that was listed before a page, with the path to it.
    pub(crate) fn last_before(&self, page: usize) -> Option<&str> {
        self.cursors.iter().take(page + 1).rev().find_map(|cursor| cursor.after.as_deref())
    }

    /// Everything that the service has of the directory has been listed.
    pub(crate) fn is_whole(&self) -> bool {
        self.cursors.last().is_some_and(|next| matches!(next.start, PageStart::OnlyHere | PageStart::End))
    }

    fn page(&self, page: usize) -> Option<&Vec<Entry>> {
        self.window.get(page.checked_sub(self.first)?)
    }

    /// The place of the entry behind an offset, once its page is in memory.
    pub(crate) fn behind(&self, cookie: Cookie) -> (usize, usize) {
        let Cookie { page, index, print } = cookie;
        let Some(entries) = self.page(page) else { return (page, 0) };
        let is_it = |at: usize| entries.get(at).is_some_and(|e| Cookie::of(page, at, &e.name).print == print);
        let found = (0..entries.len().max(index + 1))
            .flat_map(|far| [index.checked_sub(far), Some(index + far)])
            .flatten()
            .find(|at| is_it(*at));
        // It was removed, and its page listed anew since: rather names twice than not at all.
        (page, found.map_or(0, |at| at + 1))
    }

    /// At most `most` entries from a place on, with their offsets: none if that is the end of what is in memory.
    pub(crate) fn entries(&self, page: usize, index: usize, most: usize) -> Vec<(u64, Entry)> {
        let pages = self.window.iter().zip(self.first..).filter(|(_, number)| *number >= page);
        let all = pages.flat_map(|(entries, number)| {
            let skip = if number == page { index } else { 0 };
            entries.iter().enumerate().skip(skip).map(move |(at, entry)| (number, at, entry))
        });
        all.take(most).map(|(number, at, e)| (Cookie::of(number, at, &e.name).offset(), e.clone())).collect()
    }

    /// Drops the pages that are far behind the reader.
    pub(crate) fn slide(&mut self, page: usize, index: usize) {
        while self.first < page {
            let between: usize = self.window.iter().take(page - self.first).skip(1).map(Vec::len).sum();
            if between + index < BEHIND {
                return;
            }
            self.window.pop_front();
            self.first += 1;
        }
    }

    /// The marker of the page to fetch ahead of a reader who has come to that place: the next one, once it is sure that
    /// it reads on.
    pub(crate) fn to_fetch(&self, page: usize, index: usize) -> Option<String> {
        match &self.cursors.last()?.start {
            PageStart::Marker(marker)
                if self.ahead.is_none() && page + 2 == self.cursors.len() && (page, index) != (0, 0) =>
            {
                Some(marker.clone())
            }
            _ => None,
        }
    }

    pub(crate) fn fetch_ahead(&mut self, marker: String, work: impl Future<Output = Result<Fetched>> + Send + 'static) {
        self.ahead = Some(Ahead { marker, task: tokio::spawn(work) });
    }

    /// The page that was fetched ahead, if it is that one.
    pub(crate) async fn fetched(&mut self, marker: &str) -> Option<Result<Fetched>> {
        let mut ahead = self.ahead.take()?;
        if ahead.marker != marker {
            return None;
        }
        let ended = (&mut ahead.task).await;
        Some(ended.unwrap_or_else(|error| Err(Error::fs(libc::EIO, format!("a listing ended early: {error}")))))
    }

    /// Entries in memory.
    pub(crate) fn len(&self) -> usize {
        self.window.iter().map(Vec::len).sum()
    }
}

/// The listing that came to `last` may still come to a directory of that name.
pub(crate) fn may_follow(name: &str, last: Option<&str>) -> bool {
    // Until then everything begins with the name, and goes on with a character before the slash.
    last.is_none_or(|last| {
        last.strip_prefix(name).is_some_and(|rest| rest.bytes().next().is_none_or(|byte| byte < b'/'))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fs::names::attr::{FileKind, Ino};
    use crate::fs::names::tree::{AccountId, NodeProperties, Observation, Place, Tree};

    fn entries(tree: &Tree, names: impl Iterator<Item = String>) -> Vec<Entry> {
        let asked = Instant::now();
        let row = |name: String| Row {
            name: name.as_str().into(),
            kind: FileKind::File,
            observed: Observation { properties: NodeProperties::Nothing, at: asked },
        };
        tree.listings().add_page(Ino::ROOT, asked, names.map(row).collect())
    }

    fn tree() -> Tree {
        Tree::new(Place::Account(AccountId(0)), Duration::from_secs(60))
    }

    fn marker(page: usize) -> Cursor {
        Cursor { start: PageStart::Marker(page.to_string()), carry: Carry::default(), after: Some(format!("{page}")) }
    }

    #[test]
    fn a_reader_of_a_million_entries_holds_those_around_him() {
        let tree = tree();
        let mut stream = DirStream::default();
        let mut offset = 0;
        let mut read = 0;
        for page in 0..200 {
            assert_eq!(stream.wants(page).unwrap().page, page);
            stream.put(page, entries(&tree, (0..5000).map(|n| format!("{page:03}-{n:04}"))), marker(page)).unwrap();
            loop {
                let (page, index) = Cookie::parse(offset).map_or((0, 0), |cookie| stream.behind(cookie));
                stream.slide(page, index);
                assert!(stream.len() <= BEHIND + 2 * 5000, "{}", stream.len());
                let next = stream.entries(page, index, 300);
                let Some((last, _)) = next.last() else { break };
                offset = *last;
                read += next.len();
            }
        }
        assert_eq!(read, 1_000_000);
        // Far back: that page is wanted again, and ends where it ended.
        let wanted = stream.wants(3).unwrap();
        assert_eq!((wanted.page, wanted.until.unwrap().after), (3, marker(3).after));
    }

    #[test]
    fn what_a_reader_keeps_of_pages_has_a_bound() {
        let mut stream = DirStream::default();
        let long = |page: usize| {
            let start = PageStart::Marker(format!("{page:08192}"));
            Cursor { start, carry: Carry::default(), after: Some("n".repeat(1024)) }
        };
        let (page, error) =
            (0..).find_map(|page| Some((page, stream.put(page, Vec::new(), long(page)).err()?))).unwrap();
        assert_eq!(error.errno(), libc::EIO);
        assert!((3000..4096).contains(&page), "{page} pages of the longest markers");
        // A page that was listed before costs nothing more, and the end is refused again.
        let held = stream.held;
        stream.put(7, Vec::new(), long(7)).unwrap();
        assert_eq!(stream.held, held);
        assert!(stream.put(page, Vec::new(), long(page)).is_err());
    }

    #[test]
    fn an_offset_names_its_entry_whatever_became_of_its_page() {
        let tree = tree();
        let names =
            |without: &'static [usize]| (0..100).filter(move |n| !without.contains(n)).map(|n| format!("name{n:03}"));
        let mut stream = DirStream::default();
        stream.put(0, entries(&tree, names(&[])), marker(0)).unwrap();
        let offset = stream.entries(0, 50, 1)[0].0;
        let after = |stream: &DirStream| {
            let (page, index) = stream.behind(Cookie::parse(offset).unwrap());
            stream.entries(page, index, 1)[0].1.name.to_string()
        };
        assert_eq!(after(&stream), "name051");
        for (without, next) in [(&[3, 4, 5][..], "name051"), (&[51, 60], "name052"), (&[50], "name000")] {
            let mut again = DirStream::default();
            again.put(0, entries(&tree, names(without)), marker(0)).unwrap();
            assert_eq!(after(&again), next, "{without:?}");
        }
        let more = std::iter::once("earlier".to_owned()).chain(names(&[]));
        let mut again = DirStream::default();
        again.put(0, entries(&tree, more), marker(0)).unwrap();
        assert_eq!(after(&again), "name051");
    }

    #[test]
    fn offsets_are_those_of_a_directory_and_never_those_of_the_dots() {
        for (page, index) in [(0, 0), (0, 4999), (1 << 22, (1 << 20) - 1)] {
            let cookie = Cookie::of(page, index, "name");
            assert_eq!(Cookie::parse(cookie.offset()), Some(cookie));
            assert!((3..1 << 63).contains(&cookie.offset()));
        }
        assert_eq!([0, 1, 2].map(Cookie::parse), [None, None, None]);
    }

    #[test]
    fn between_a_blob_and_a_directory_of_its_name_there_is_room() {
        for (last, open) in [("a", true), ("a-1", true), ("a.", true), ("a/", false), ("a0", false), ("b", false)] {
            assert_eq!(may_follow("a", Some(last)), open, "{last}");
        }
        assert!(may_follow("a", None));
    }

    #[tokio::test]
    async fn one_page_is_fetched_ahead_and_none_before_the_reader_goes_on() {
        let tree = tree();
        let mut stream = DirStream::default();
        stream.put(0, entries(&tree, ["a".to_owned(), "b".to_owned()].into_iter()), marker(0)).unwrap();
        assert_eq!(stream.to_fetch(0, 0), None);
        let marker = stream.to_fetch(0, 1).unwrap();
        stream.fetch_ahead(marker.clone(), std::future::pending());
        assert_eq!(stream.to_fetch(0, 1), None);
        assert!(stream.fetched("another").await.is_none());
        assert_eq!(stream.to_fetch(0, 2), Some(marker));
    }
}
