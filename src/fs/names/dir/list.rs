//! Pages of a directory: listed as far as it is read, the next one fetched while the reader is at this one: one page
//! ahead, and none before it is sure that the reader reads on. What is made or removed meanwhile neither hides nor
//! doubles another name.
//!
//! The tree remembers what the pages said, so that what was listed need not be asked for again, nor what was not in a
//! listing that came to its end. A [`Sweeper`](crate::fs::names::dir::sweeper::Sweeper) forgets this when it is too
//! old, also if nothing happens on the mount any more.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::error::{Error, Result};
use crate::fs::names::attr::{self, FileKind, Ino};
use crate::fs::names::dir::cursor::{Carry, Cookie, Cursor, PageStart};
use crate::fs::names::dir::lookups::Turn;
use crate::fs::names::dir::pages::{Fetched, ListingSource};
use crate::fs::names::dir::stream::{DirStream, Wanted, may_follow};
use crate::fs::names::lookup::Directories;
use crate::fs::names::tree::{Entry, Link, NodeProperties, NodeView, Observation, Place, RevisionPlace, Row};
use crate::store::Progress;

/// Pages that a stretch of a directory may be when it is listed again, which was one: all are in memory at once.
const MOST_AGAIN: usize = 64;

/// [`Directories::rows_of`] a hidden directory, in which names come in their order and again and again.
fn rows_of_revisions(place: &RevisionPlace, carry: Carry, fetched: Fetched) -> (Vec<Row>, Cursor) {
    let Fetched { asked, items, last, next, .. } = fetched;
    let mut entered = carry.entered;
    let mut rows = Vec::new();
    for item in items {
        let Some((name, kind, heard)) = crate::fs::names::revisions::entry_of(place, item) else { continue };
        if entered.last() != Some(&name) {
            entered = vec![name.clone()];
            rows.push(Row { name, kind, observed: Observation { properties: heard, at: asked } });
        }
    }
    let start = next.map_or(PageStart::OnlyHere, PageStart::Marker);
    (rows, Cursor { start, carry: Carry { undecided: Vec::new(), entered }, after: last })
}

impl Directories {
    /// Lists a directory of one page, so that its names are known and all others known to be absent.
    pub(crate) async fn list_for_lookups(&self, dir: Ino, turn: Turn<'_>) {
        let mut stream = DirStream::default();
        // What takes longer is hardly there before it is old.
        match timeout(self.config.attr_ttl / 2, self.bring(dir, &mut stream, 0)).await {
            Ok(Ok(_)) if stream.is_whole() => turn.done(stream.len()),
            Ok(Ok(_)) => debug!(?dir, "too many names to be listed for those who look them up"),
            // Whoever looked a name up asks for that alone, and hears what is wrong.
            Ok(Err(error)) => debug!(?dir, %error, "not listed for those who look up its names"),
            Err(_) => debug!(?dir, "too slow to be listed for those who look up its names"),
        }
    }

    /// Nothing was in the directory at `asked`: that is as good as a listing.
    pub(crate) fn listed_empty(&self, dir: Ino, asked: Instant) {
        self.tree.listings().add_page(dir, asked, Vec::new());
        self.tree.listings().end_listing(dir, asked);
        self.lookups.expect(dir);
        self.sweeper.wake(&self.tree, self.config.attr_ttl);
    }

    pub(crate) async fn listed_from(
        &self,
        dir: Ino,
        stream: &Mutex<DirStream>,
        offset: u64,
        most: usize,
    ) -> Result<Vec<(u64, Entry)>> {
        let mut stream = stream.lock().await;
        if offset == 0 && !stream.is_new() {
            *stream = DirStream::default();
        }
        let cookie = Cookie::parse(offset);
        let wanted = cookie.map_or(0, |cookie| cookie.page);
        self.bring(dir, &mut stream, wanted).await?;
        let (mut page, mut index) = cookie.map_or((0, 0), |cookie| stream.behind(cookie));
        loop {
            stream.slide(page, index);
            if let Some(marker) = stream.to_fetch(page, index)
                && let Ok(place) = self.tree.place(dir)
            {
                let work = self.fetch(&place, Some(marker.clone()));
                stream.fetch_ahead(marker, work);
            }
            let entries = stream.entries(page, index, most);
            if !entries.is_empty() {
                return Ok(entries);
            }
            (page, index) = (page + 1, 0);
            if !self.bring(dir, &mut stream, page).await? {
                return Ok(Vec::new());
            }
        }
    }

    /// Lists what is needed for that page to be in memory; false if the directory ends before it.
    async fn bring(&self, dir: Ino, stream: &mut DirStream, page: usize) -> Result<bool> {
        while let Some(wanted) = stream.wants(page) {
            self.list_page(dir, stream, wanted).await?;
        }
        Ok(stream.has(page))
    }

    async fn list_page(&self, dir: Ino, stream: &mut DirStream, wanted: Wanted) -> Result<()> {
        let Wanted { page, cursor, until } = wanted;
        let marker = match cursor.start {
            PageStart::First => None,
            PageStart::Marker(marker) => Some(marker),
            PageStart::OnlyHere | PageStart::End => {
                let entries = self.tree.listings().add_page(dir, Instant::now(), self.only_here(dir, stream));
                return stream.put(page, entries, Cursor::end());
            }
        };
        let place = self.tree.place(dir)?;
        let first_time = until.is_none();
        // Noted before the service is asked: what is stored meanwhile would be in neither.
        let unstored = (page == 0 && first_time).then(|| self.unstored(dir));
        let mut fetched = self.fetched(&place, stream, marker).await?;
        match &until {
            None => fetched.note_in(&mut stream.progress)?,
            Some(until) => {
                let mut progress = Progress::default();
                fetched.note_in(&mut progress)?;
                for _ in 0..MOST_AGAIN {
                    let Some(next) = fetched.lacks(until) else { break };
                    let more = self.fetched(&place, stream, Some(next)).await?;
                    more.note_in(&mut progress)?;
                    fetched.append(more);
                }
                if fetched.lacks(until).is_some() {
                    return Err(Error::fs(libc::EIO, "a stretch of a directory has grown too long to be listed again"));
                }
                fetched.cut(until);
            }
        }
        if let (Place::Directory(_), Some(after)) = (&place, stream.last_before(page)) {
            fetched.drop_repeated(after);
        }
        let asked = fetched.asked;
        if let Some(unstored) = unstored {
            stream.begin(asked, unstored);
        }
        let (rows, next) = match &place {
            Place::Revision(place) => rows_of_revisions(place, cursor.carry, fetched),
            _ => self.rows_of(&place, cursor.carry, fetched),
        };
        stream.mark_listed(&rows, self.unstored(dir));
        let ends = next.start == PageStart::OnlyHere;
        let entries = self.tree.listings().add_page(dir, asked, rows);
        stream.put(page, entries, next)?;
        if ends && first_time {
            self.tree.listings().end_listing(dir, stream.began);
        }
        self.sweeper.wake(&self.tree, self.config.attr_ttl);
        Ok(())
    }

    async fn fetched(&self, place: &Place, stream: &mut DirStream, marker: Option<String>) -> Result<Fetched> {
        if let Some(marker) = &marker
            && let Some(fetched) = stream.fetched(marker).await
        {
            return fetched;
        }
        self.fetch(place, marker).await
    }

    fn fetch(
        &self,
        place: &Place,
        marker: Option<String>,
    ) -> impl Future<Output = Result<Fetched>> + Send + use<> + 'static {
        let source = match place {
            Place::Accounts => ListingSource::Accounts(
                self.config.accounts.iter().map(|a| a.client.account().as_str().to_owned()).collect(),
            ),
            Place::Account(id) => ListingSource::Containers(self.service.client(*id).clone()),
            Place::Directory(dir) => {
                let owners = self.config.defaults.shown.is_some();
                ListingSource::Blobs(self.service.client(dir.account).clone(), dir.clone(), owners)
            }
            Place::Revision(place) => {
                ListingSource::Revisions(self.service.client(place.account()).clone(), place.clone())
            }
            Place::Blob(blob) => ListingSource::Nothing(blob.path.clone()),
        };
        source.fetch(marker)
    }

    /// The entries of a page, and where the next one begins.
    fn rows_of(&self, place: &Place, carry: Carry, fetched: Fetched) -> (Vec<Row>, Cursor) {
        let Fetched { asked, items, prefixes, containers, last, next } = fetched;
        let path = match place {
            Place::Directory(dir) => dir.prefix.as_str(),
            _ => "",
        };
        let below = |name: &str| name.strip_prefix(path).map(Arc::<str>::from);
        let is_shown = |name: &Arc<str>| match place {
            Place::Account(id) => self.service.container_named(*id, name).is_ok(),
            _ => true,
        };
        let directories: HashSet<Arc<str>> =
            prefixes.iter().filter_map(|prefix| below(prefix.strip_suffix('/')?)).filter(is_shown).collect();
        let may_follow = |name: &str| next.is_some() && may_follow(name, last.as_deref());
        let mut rows = Vec::with_capacity(items.len() + directories.len());
        let mut undecided = Vec::new();
        let mut entered: HashSet<Arc<str>> = carry.entered.into_iter().collect();
        let items = items.into_iter().map(|item| (item, asked));
        for (item, asked) in carry.undecided.into_iter().chain(items) {
            // The directory's own `dir/` marker has no name here.
            let named = below(item.name.as_str()).filter(|name| !name.is_empty() && !name.contains('/'));
            let Some(name) = named else { continue };
            let kind = attr::kind_of(&item.properties);
            if kind != FileKind::Directory && directories.contains(&name) {
                warn!(blob = %item.name, "a blob has the name of a directory: it is hidden by the directory");
            } else if kind != FileKind::Directory && may_follow(item.name.as_str()) {
                undecided.push((item, asked));
            } else if kind != FileKind::Directory || entered.insert(name.clone()) {
                rows.push(Row {
                    name,
                    kind,
                    observed: Observation { properties: NodeProperties::Blob(Arc::new(item.properties)), at: asked },
                });
            }
        }
        for name in directories {
            if name.is_empty() {
                debug!(directory = path, "names with an empty segment cannot be shown");
            } else if entered.insert(name.clone()) {
                let container = containers.get(&*name).cloned();
                let heard = container.map_or(NodeProperties::Nothing, NodeProperties::Container);
                rows.push(Row {
                    name,
                    kind: FileKind::Directory,
                    observed: Observation { properties: heard, at: asked },
                });
            }
        }
        rows.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        // A prefix may also be the last of one page and the first of the next.
        let is_last = |name: &str| last.as_deref().and_then(|last| last.strip_suffix('/')) == Some(name);
        let full = |name: &str| format!("{path}{name}");
        let entered = entered.into_iter().filter(|name| may_follow(&full(name)) || is_last(&full(name))).collect();
        let start = next.map_or(PageStart::OnlyHere, PageStart::Marker);
        (rows, Cursor { start, carry: Carry { undecided, entered }, after: last })
    }

    /// Files of the directory that are open here and not in the service yet.
    fn unstored(&self, dir: Ino) -> Vec<NodeView> {
        let open = self.names.open.open_inos().into_iter().filter_map(|ino| self.tree.view(ino).ok());
        open.filter(|view| view.parent == dir && view.link == Link::Named && self.names.is_new(view.ino)).collect()
    }

    /// Names that only this mount has, or had when the listing began, and the listing has not come across.
    fn only_here(&self, dir: Ino, stream: &DirStream) -> Vec<Row> {
        let was_here = stream.only_here.iter().filter_map(|name| self.tree.child(dir, name));
        let mut met = stream.listed.clone();
        let all = self.unstored(dir).into_iter().chain(was_here);
        let missed = all.filter(|view| met.insert(view.name.clone()));
        missed.map(|view| Row { name: view.name, kind: view.kind, observed: view.observed }).collect()
    }
}
