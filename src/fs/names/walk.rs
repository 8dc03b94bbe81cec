//! A whole tree as one listing: where a walk through it is.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::error::Result;
use crate::fs::names::access::{Credentials, READ, SEARCH};
use crate::fs::names::attr::{self, Attr, Defaults, FileKind, Ino};
use crate::fs::names::cache::Names;
use crate::fs::names::hidden;
use crate::fs::names::tree::{Blob, BlobDir};
use crate::store::{BlobProperties, ListBlobs, Progress};

/// A blob of a tree.
#[derive(Clone)]
pub struct Found {
    /// From the top of the tree, without a slash at its beginning.
    pub path: Arc<str>,
    pub kind: FileKind,
    pub properties: Arc<BlobProperties>,
    /// A directory that the caller may not enter.
    pub closed: bool,
}

impl Found {
    /// Its attributes, but for the number of an inode that it may not have.
    pub(in crate::fs) fn attr(&self, defaults: &Defaults) -> Attr {
        attr::of_blob(Ino::ROOT, self.kind, &self.properties, defaults)
    }
}

/// The position of a listing of a tree.
pub(crate) struct Walk {
    pub(in crate::fs) dir: BlobDir,
    pub(in crate::fs) next: NextPage,
    progress: Progress,
    pub(in crate::fs) page: VecDeque<Found>,
    pub(in crate::fs) who: Credentials,
    /// Whether the caller may enter a directory, by its path.
    pub(in crate::fs) open: HashMap<String, bool>,
    /// What is not in the service's listing was added.
    extended: bool,
}

pub(in crate::fs) enum NextPage {
    Page(Option<String>),
    Done,
}

impl Walk {
    /// A walk of what is below `dir`, which the caller may read.
    pub(crate) fn new(dir: BlobDir, who: Credentials) -> Self {
        Self {
            dir,
            next: NextPage::Page(None),
            progress: Progress::default(),
            page: VecDeque::new(),
            who,
            open: HashMap::new(),
            extended: false,
        }
    }

    /// The next blob; `None` at the end.
    pub(crate) async fn next(&mut self, names: &Names) -> Result<Option<Found>> {
        loop {
            if let Some(found) = self.page.pop_front() {
                if self.admit(names, &found) {
                    return Ok(Some(found));
                }
                if found.kind == FileKind::Directory && self.above_is_open(names, &found.path) {
                    return Ok(Some(Found { closed: true, ..found }));
                }
                continue;
            }
            let NextPage::Page(marker) = &self.next else { return Ok(None) };
            let list = ListBlobs { prefix: &self.dir.prefix, marker: marker.as_deref(), ..Default::default() };
            let page = names.service.client(self.dir.account).container(&self.dir.container).list_blobs(&list).await?;
            let names_of = page.items.iter().map(|item| item.name.as_str());
            self.progress.note(names_of, std::iter::empty(), page.next.as_deref())?;
            self.next = page.next.map_or(NextPage::Done, |marker| NextPage::Page(Some(marker)));
            let prefix = &self.dir.prefix;
            self.page = page
                .items
                .into_iter()
                .filter(|item| !hidden::is_hidden(item))
                .filter_map(|item| {
                    // A marker `dir/` of the top itself is nothing below it.
                    let path = item.name.as_str().strip_prefix(prefix).filter(|path| !path.is_empty())?;
                    let mut kind = attr::kind_of(&item.properties);
                    if path.ends_with('/') && item.properties.size == 0 {
                        kind = FileKind::Directory;
                    }
                    let path = path.into();
                    Some(Found { path, kind, properties: Arc::new(item.properties), closed: false })
                })
                .collect();
        }
    }

    /// Directories that were met and that the caller may not enter, by their paths; also those that have no marker, which
    /// are not found otherwise.
    pub(crate) fn closed(&self) -> impl Iterator<Item = &str> {
        self.open.iter().filter(|(_, open)| !**open).map(|(path, _)| path.as_str())
    }

    /// Adds, once, what is below the directory and not in the service's listing.
    pub(in crate::fs) fn extend(&mut self, more: impl FnOnce(&BlobDir) -> Vec<Found>) -> bool {
        let is_first = !std::mem::replace(&mut self.extended, true);
        if is_first {
            self.page.extend(more(&self.dir));
        }
        is_first
    }

    /// The blob that was found; none for a name that a path cannot have.
    pub(in crate::fs) fn blob(&self, found: &Found) -> Option<Blob> {
        self.dir.blob(&found.path).ok()
    }

    /// Puts back what was taken last.
    pub(crate) fn put_back(&mut self, found: Found) {
        self.page.push_front(found);
    }

    /// The caller may see it.
    fn admit(&mut self, names: &Names, found: &Found) -> bool {
        if found.kind == FileKind::Directory {
            let attr = found.attr(&names.config.defaults);
            let may = self.who.may(&attr, READ | SEARCH);
            // A second marker `dir/` does not open what the first has closed.
            let open = self.open.entry(found.path.trim_end_matches('/').to_owned()).or_insert(true);
            *open &= may;
            if !*open {
                return false;
            }
        }
        self.above_is_open(names, &found.path)
    }

    /// Every directory on the way may be entered.
    fn above_is_open(&mut self, names: &Names, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        path.match_indices('/').all(|(end, _)| {
            let above = &path[..end];
            if let Some(open) = self.open.get(above) {
                return *open;
            }
            // It has no marker, or it would have come before: then it has the mount's default.
            let defaults = &names.config.defaults;
            let attr = attr::of_nothing(Ino::ROOT, FileKind::Directory, 0, names.started, defaults);
            let may = self.who.may(&attr, READ | SEARCH);
            self.open.insert(above.to_owned(), may);
            may
        })
    }
}
