//! Listings: readdir, with attributes where the kernel wants them.
//!
//! A directory stream lists page by page as far as it is read. What it has listed keeps its place in the stream, whatever is made or
//! removed meanwhile; reading from the start again lists anew. A blob whose name a directory may have too is no entry before the
//! listing has come past where that directory would be.
//!
//! A listing that came to its end is remembered by the tree, and answers lookups of all names as long as it is fresh.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, warn};

use super::known_since;
use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::attr::{self, Attr, FileKind, Ino};
use crate::fs::handle::{DirHandle, Fh};
use crate::fs::tree::{BlobDir, Entry, Heard, Known, Place};
use crate::store::{BlobItem, ListBlobs, Page};

/// Entries that are made for one answer: about what fits into the kernel's largest buffer.
const MOST: usize = 512;

/// Entries of a directory as far as they are listed.
#[derive(Default)]
pub struct DirStream {
    entries: Vec<Entry>,
    seen: HashSet<Arc<str>>,
    /// Blobs that are not entries yet, because the listing has not come to where a directory of the same name would be.
    undecided: Vec<(BlobItem, Instant)>,
    next: Next,
    /// When the listing began, and how often names had been removed from the directory by then.
    began: Option<(Instant, u64)>,
}

#[derive(Default)]
enum Next {
    #[default]
    Start,
    Marker(String),
    Done,
}

/// An entry for readdir; `offset` is where the next one is found.
pub struct DirEntry {
    pub ino: Ino,
    pub kind: FileKind,
    pub name: Arc<str>,
    pub offset: u64,
}

impl Fs {
    pub fn open_dir(&self, ino: Ino) -> Result<Fh> {
        self.tree.view(ino)?;
        self.tree.opened(ino);
        Ok(self.handles.insert_dir(DirHandle { ino, stream: Default::default() }))
    }

    pub fn release_dir(&self, fh: Fh) {
        if let Some(handle) = self.handles.remove_dir(fh) {
            self.tree.closed(handle.ino);
        }
    }

    /// Entries from `offset` on: what is listed of them, at least one unless the directory ends there. Offset 0 lists anew.
    pub async fn read_dir(&self, fh: Fh, offset: u64) -> Result<Vec<DirEntry>> {
        let handle = self.handles.dir(fh)?;
        let mut stream = handle.stream.lock().await;
        if offset == 0 && !matches!(stream.next, Next::Start) {
            *stream = DirStream::default();
        }
        // Offsets 1 and 2 are the two dots.
        let index = offset.saturating_sub(2) as usize;
        while stream.entries.len() <= index && !matches!(stream.next, Next::Done) {
            self.list_more(handle.ino, &mut stream).await?;
        }
        let dots = [(handle.ino, "."), (self.tree.view(handle.ino)?.parent, "..")];
        let dots = dots.into_iter().zip(1..).map(|((ino, name), offset)| DirEntry {
            ino,
            kind: FileKind::Directory,
            name: name.into(),
            offset,
        });
        let listed = stream
            .entries
            .iter()
            .skip(index)
            .take(MOST)
            .zip(index as u64 + 3..)
            .map(|(entry, offset)| DirEntry { ino: entry.ino, kind: entry.kind, name: entry.name.clone(), offset });
        Ok(dots.skip(offset as usize).chain(listed).collect())
    }

    /// [`Fs::read_dir`] with attributes. Every entry but the dots is answered by one [`Fs::entry_sent`].
    pub async fn read_dir_plus(&self, fh: Fh, offset: u64) -> Result<Vec<(DirEntry, Attr)>> {
        let handle = self.handles.dir(fh)?;
        let mut entries = self.read_dir(fh, offset).await?;
        // An empty answer is the end of the directory: if all that was listed here has been removed since, there may be more.
        while let Some(last) = entries.last().map(|entry| entry.offset) {
            let answers = self.with_attributes(&handle, entries).await?;
            if !answers.is_empty() {
                return Ok(answers);
            }
            entries = self.read_dir(fh, last).await?;
        }
        Ok(Vec::new())
    }

    async fn with_attributes(&self, handle: &DirHandle, entries: Vec<DirEntry>) -> Result<Vec<(DirEntry, Attr)>> {
        let stream = handle.stream.lock().await;
        let mut answers = Vec::new();
        for entry in entries {
            let view = match (entry.offset as usize).checked_sub(3).and_then(|index| stream.entries.get(index)) {
                Some(listed) => {
                    let anchor = self.anchor_of(handle.ino, &listed.name)?;
                    // A name that was removed since it was listed is left out.
                    let Ok(view) = self.tree.enter_sent(handle.ino, listed, anchor) else { continue };
                    view
                }
                None => self.tree.view(entry.ino)?,
            };
            let attr = self.attr_of(&view);
            answers.push((DirEntry { ino: view.ino, ..entry }, attr));
        }
        Ok(answers)
    }

    /// The kernel has the entry, or (`false`) it did not fit any more.
    pub fn entry_sent(&self, ino: Ino, sent: bool) {
        if !sent {
            self.tree.forget(ino, 1);
        }
    }

    async fn list_more(&self, ino: Ino, stream: &mut DirStream) -> Result<()> {
        let marker = match &stream.next {
            Next::Start => None,
            Next::Marker(marker) => Some(marker.clone()),
            Next::Done => return Ok(()),
        };
        if stream.began.is_none() {
            stream.began = Some((Instant::now(), self.tree.removals(ino)));
        }
        let asked = Instant::now();
        let next = match self.tree.place(ino)? {
            Place::Accounts => {
                for account in &self.config.accounts {
                    let name = account.client.account().as_str();
                    self.add(ino, stream, name, FileKind::Directory, known_since(asked, Heard::Nothing));
                }
                None
            }
            Place::Account(id) => {
                let page = self.client(id).list_containers(marker.as_deref()).await?;
                for item in page.items {
                    if self.container_named(id, item.name.as_str()).is_ok() {
                        let known = known_since(asked, Heard::Nothing);
                        self.add(ino, stream, item.name.as_str(), FileKind::Directory, known);
                    }
                }
                page.next
            }
            Place::Directory(dir) => self.list_blobs_of(ino, &dir, marker.as_deref(), stream).await?,
            Place::Past(place) => {
                let page = self.list_past(&place, marker.as_deref()).await?;
                for (name, kind, heard) in page.entries {
                    self.add(ino, stream, &name, kind, known_since(asked, heard));
                }
                page.next
            }
            Place::Blob(blob) => return Err(Error::fs(libc::ENOTDIR, format!("{} is not a directory", blob.path))),
        };
        stream.next = match next {
            Some(marker) => Next::Marker(marker),
            None => {
                self.end_listing(ino, stream);
                Next::Done
            }
        };
        Ok(())
    }

    async fn list_blobs_of(
        &self,
        ino: Ino,
        dir: &BlobDir,
        marker: Option<&str>,
        stream: &mut DirStream,
    ) -> Result<Option<String>> {
        let list = ListBlobs { prefix: &dir.prefix, hierarchical: true, marker, ..Default::default() };
        let asked = Instant::now();
        let Page { items, prefixes, next, .. } = self.client(dir.account).list_blobs(&dir.container, &list).await?;
        let below = |name: &str| name.strip_prefix(&dir.prefix).map(str::to_owned);
        let directories: HashSet<String> =
            prefixes.iter().filter_map(|prefix| below(prefix.strip_suffix('/')?)).collect();
        let reached = items
            .iter()
            .map(|item| item.name.as_str())
            .chain(prefixes.iter().map(String::as_str))
            .max()
            .map(str::to_owned);
        // Names are in order, but between `dir` and `dir/` there is room for `dir-1`.
        let is_undecided =
            |name: &str| next.is_some() && reached.as_ref().is_none_or(|reached| format!("{name}/") > *reached);
        let fresh = items.into_iter().map(|item| (item, asked));
        for (item, asked) in std::mem::take(&mut stream.undecided).into_iter().chain(fresh) {
            // The directory's own `dir/` marker has no name here.
            let Some(name) = below(item.name.as_str()).filter(|name| !name.is_empty()) else { continue };
            let kind = attr::kind_of(&item.properties);
            if kind != FileKind::Directory && directories.contains(&name) {
                warn!(blob = %item.name, "a blob has the name of a directory: it is hidden by the directory");
                continue;
            }
            if kind != FileKind::Directory && is_undecided(item.name.as_str()) {
                stream.undecided.push((item, asked));
                continue;
            }
            self.add(ino, stream, &name, kind, known_since(asked, Heard::Blob(Arc::new(item.properties))));
        }
        for name in directories {
            if name.is_empty() {
                debug!(directory = %dir.prefix, "names with an empty segment cannot be shown");
                continue;
            }
            self.add(ino, stream, &name, FileKind::Directory, known_since(asked, Heard::Nothing));
        }
        Ok(next)
    }

    fn add(&self, dir: Ino, stream: &mut DirStream, name: &str, kind: FileKind, known: Known) {
        // `dir` and `dir/` are one entry, and may be pages apart.
        if name.contains('/') || !stream.seen.insert(name.into()) {
            return;
        }
        let Known { heard, at } = known;
        stream.entries.push(Entry { ino: self.tree.reserve(dir, name, kind), name: name.into(), kind, heard, at });
    }

    /// Adds what exists only here so far, and remembers the listing.
    fn end_listing(&self, ino: Ino, stream: &mut DirStream) {
        for child in self.tree.children(ino) {
            if self.is_new(child.ino) {
                self.add(ino, stream, &child.name, child.kind, child.known);
            }
        }
        if let Some((taken, removals)) = stream.began
            && removals == self.tree.removals(ino)
        {
            self.tree.remember_listing(ino, &stream.entries, taken);
        }
    }
}
