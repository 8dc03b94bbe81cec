//! Pages of a listing, as they come from the service.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::error::{Error, OptionalExtension, Result};
use crate::fs::names::dir::cursor::{Cursor, PageStart};
use crate::fs::names::hidden;
use crate::fs::names::revisions;
use crate::fs::names::tree::{BlobDir, RevisionPlace};
use crate::path::{BlobName, BlobPath};
use crate::store::{BlobItem, Client, ContainerItem, ListBlobs, ListContainers, Page, Progress, may_follow};

/// Questions about the entries of a page at once.
const AT_ONCE: usize = 32;

/// The source of a listing.
pub(crate) enum ListingSource {
    Accounts(Vec<String>),
    Containers(Client),
    /// With the owners of what is there, or without.
    Blobs(Client, BlobDir, bool),
    /// The kind of revisions that a hidden directory shows.
    Revisions(Client, RevisionPlace),
    Nothing(BlobPath),
}

/// A page, or several that are taken for one.
pub(crate) struct Fetched {
    pub asked: Instant,
    pub items: Vec<BlobItem>,
    /// Directories, with the path to them and a slash at the end.
    pub prefixes: Vec<String>,
    /// Properties of directories that are containers.
    pub containers: HashMap<String, Arc<ContainerItem>>,
    /// The last name, with the path to it.
    pub last: Option<String>,
    pub next: Option<String>,
}

impl ListingSource {
    /// The page that begins at `marker`.
    pub(crate) async fn fetch(self, marker: Option<String>) -> Result<Fetched> {
        let asked = Instant::now();
        let mut containers = HashMap::new();
        let (items, prefixes, next) = match self {
            Self::Accounts(names) => (Vec::new(), names.iter().map(|name| format!("{name}/")).collect(), None),
            Self::Containers(client) => {
                let page = client.list_containers(&ListContainers { marker: marker.as_deref() }).await?;
                let names = page.items.iter().map(|item| format!("{}/", item.name)).collect();
                containers.extend(page.items.into_iter().map(|item| (item.name.to_string(), Arc::new(item))));
                (Vec::new(), names, page.next)
            }
            Self::Blobs(client, dir, owners) => {
                let marker = marker.as_deref();
                let list = ListBlobs { prefix: &dir.prefix, hierarchical: true, marker, owners, ..Default::default() };
                let Page { mut items, prefixes, next, .. } = client.container(&dir.container).list_blobs(&list).await?;
                items.retain(|item| !hidden::is_hidden(item));
                if owners && client.has_directories() {
                    ask_owners(&client, &dir, &mut items, &prefixes).await?;
                }
                (items, prefixes, next)
            }
            Self::Revisions(client, place) => {
                let (items, next) = revisions::fetch(&client, &place, marker.as_deref()).await?;
                (items, Vec::new(), next)
            }
            Self::Nothing(blob) => return Err(Error::fs(libc::ENOTDIR, format!("{blob} is not a directory"))),
        };
        let names = items.iter().map(|item| item.name.as_str()).chain(prefixes.iter().map(String::as_str));
        let last = names.max().map(str::to_owned);
        Ok(Fetched { asked, items, prefixes, containers, last, next })
    }
}

/// Asks for the owners that a page does not tell: of its directories it tells nothing.
async fn ask_owners(client: &Client, dir: &BlobDir, items: &mut Vec<BlobItem>, prefixes: &[String]) -> Result<()> {
    let told = |item: &BlobItem| item.properties.path.as_ref().is_some_and(|path| path.owner.is_some());
    let mut untold: Vec<BlobName> = items.extract_if(.., |item| !told(item)).map(|item| item.name).collect();
    untold.extend(prefixes.iter().filter_map(|prefix| BlobName::parse(prefix.trim_end_matches('/')).ok()));
    let mut asked = Vec::with_capacity(untold.len());
    for name in untold {
        asked.push(owner_of(client, BlobPath::new(dir.container.clone(), name)));
    }
    let asked: Vec<_> = stream::iter(asked).buffer_unordered(AT_ONCE).try_collect().await?;
    items.extend(asked.into_iter().flatten());
    Ok(())
}

/// A blob as it is now, if it is there still.
async fn owner_of(client: &Client, path: BlobPath) -> Result<Option<BlobItem>> {
    let found = client.blob(&path).properties().await.optional()?;
    Ok(found.map(|properties| BlobItem { name: path.name, revision: None, properties }))
}

impl Fetched {
    /// A page that was listed before is the same stretch of names again, in however many pages that comes now: where to
    /// go on if the end of it is not reached.
    pub(crate) fn lacks(&self, until: &Cursor) -> Option<String> {
        match (&until.start, &until.after) {
            (PageStart::Marker(_), Some(after)) if self.last.as_ref().is_none_or(|last| last < after) => {
                self.next.clone()
            }
            (PageStart::Marker(_), _) => None,
            _ => self.next.clone(),
        }
    }

    /// Takes note of the page in the progress of its listing: EIO if that leads nowhere.
    pub(crate) fn note_in(&self, progress: &mut Progress) -> Result<()> {
        // Directories whose owner was asked for are among the items, and come in the order of prefixes.
        let directories: HashSet<&str> = self.prefixes.iter().filter_map(|prefix| prefix.strip_suffix('/')).collect();
        let blobs = self.items.iter().map(|item| item.name.as_str()).filter(|name| !directories.contains(name));
        progress.note(blobs, self.prefixes.iter().map(String::as_str), self.next.as_deref())
    }

    pub(crate) fn append(&mut self, more: Self) {
        self.items.extend(more.items);
        self.prefixes.extend(more.prefixes);
        self.containers.extend(more.containers);
        self.last = more.last.or(self.last.take());
        self.next = more.next;
    }

    /// Drops the directories that a page before had already, whose last name was `after`: the service may list one
    /// again, in any later page (S83).
    pub(crate) fn drop_repeated(&mut self, after: &str) {
        self.prefixes.retain(|prefix| may_follow(prefix, after));
        // Of blobs there is no such habit: what goes back further is an error.
        self.items.retain(|item| item.name.as_str() != after);
        // A page of nothing else leaves the listing where it was.
        self.last = self.last.take().max(Some(after.to_owned()));
    }

    /// Drops what is behind the end of the stretch, and goes on where that was left the first time.
    pub(crate) fn cut(&mut self, until: &Cursor) {
        let PageStart::Marker(next) = &until.start else { return };
        let is_within = |name: &str| until.after.as_deref().is_some_and(|after| name <= after);
        self.items.retain(|item| is_within(item.name.as_str()));
        self.prefixes.retain(|prefix| is_within(prefix));
        self.last = until.after.clone();
        self.next = Some(next.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(prefixes: &[&str]) -> Fetched {
        Fetched {
            asked: Instant::now(),
            items: Vec::new(),
            prefixes: prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(),
            containers: HashMap::new(),
            last: prefixes.iter().max().map(|last| (*last).to_owned()),
            next: None,
        }
    }

    /// S83; the order of a hierarchical namespace puts `job/` before `job-1/`, that of a flat one behind it.
    #[test]
    fn only_what_was_there_before_is_dropped_whatever_the_order() {
        for (last, prefixes, left) in [
            ("job/", &["job-5000/", "job-5001/"][..], &["job-5000/", "job-5001/"][..]),
            ("d/", &["d/", "e/"], &["e/"]),
            ("job-4999/", &["job-5000/", "job/"], &["job-5000/", "job/"]),
        ] {
            let mut page = page(prefixes);
            page.drop_repeated(last);
            assert_eq!(page.prefixes, left, "{last}");
        }
    }
}
