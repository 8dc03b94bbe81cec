//! Listings, page by page, and what shows that one leads nowhere.
//!
//! A listing is over when a page names no next one, which is for the server to say; so a server that repeats itself, or
//! one that a proxy in between answers for, could keep whoever lists busy for ever. [`Progress`] looks at the pages as they
//! come: a marker that was there before, names that go back, and many pages that bring nothing new are an end, with EIO.
//! Nothing is said of the order within a page, and of that of pages only what all orders have in common that servers were
//! seen to list in.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use crate::error::{Error, Result};
use crate::store::container::ContainerClient;
use crate::store::options::ListBlobs;
use crate::store::types::{BlobItem, Page};

/// Pages in succession that may bring nothing new. A page may be empty and yet have a successor (§7), where much was
/// deleted that can be brought back; each has looked through thousands of rows then.
const MOST_IDLE: usize = 10_000;

/// How far a listing has come.
#[derive(Debug, Default)]
pub struct Progress {
    /// Markers of the pages so far, shortened: there is one for each page.
    markers: HashSet<u64>,
    /// The last blob, by its bytes.
    last_blob: Option<String>,
    /// The last name of all.
    last: Option<String>,
    idle: usize,
}

impl Progress {
    /// Takes note of the next page: names of its blobs and of its prefixes, and the marker of the page behind it. EIO if
    /// that page is not worth asking for, because the listing does not come forward.
    pub fn note<'n>(
        &mut self,
        blobs: impl Iterator<Item = &'n str>,
        prefixes: impl Iterator<Item = &'n str>,
        next: Option<&str>,
    ) -> Result<()> {
        let repeats = |what: &str| Error::fs(libc::EIO, format!("a listing repeats itself: {what}"));
        let mut last_blob: Option<&str> = None;
        for name in blobs {
            if self.last_blob.as_deref().is_some_and(|last| name != last && !may_follow(name, last)) {
                return Err(repeats("its names go back"));
            }
            last_blob = last_blob.max(Some(name));
        }
        let last = prefixes.max().max(last_blob);
        let is_new = last.is_some_and(|name| self.last.as_deref().is_none_or(|last| may_follow(name, last)));
        self.idle = if is_new { 0 } else { self.idle + 1 };
        if last.is_some() {
            self.last = self.last.take().max(last.map(str::to_owned));
        }
        if last_blob.is_some() {
            self.last_blob = self.last_blob.take().max(last_blob.map(str::to_owned));
        }
        let Some(next) = next else { return Ok(()) };
        if !self.markers.insert(BuildHasherDefault::<DefaultHasher>::default().hash_one(next)) {
            return Err(repeats("it goes on where it was"));
        }
        match self.idle {
            ..=MOST_IDLE => Ok(()),
            _ => Err(repeats(&format!("{MOST_IDLE} pages brought nothing new"))),
        }
    }
}

/// Whether a name may come behind another one in a listing: in the order of bytes or in that of UTF-16, since nobody says
/// which of them the service's is; or in that of paths, where the slash comes before all other characters, as
/// hierarchical namespaces list.
pub fn may_follow(name: &str, last: &str) -> bool {
    let path = |name: &str| name.replace('/', "\0");
    name > last || name.encode_utf16().gt(last.encode_utf16()) || path(name) > path(last)
}

/// The pages of one listing.
pub struct Pages<'a> {
    container: ContainerClient<'a>,
    list: ListBlobs<'a>,
    /// Marker of the next page; none of the first.
    marker: Option<String>,
    is_over: bool,
    progress: Progress,
}

impl<'a> ContainerClient<'a> {
    /// List Blobs: all pages, one after the other. The marker of `list` is not heeded.
    pub fn pages(self, list: ListBlobs<'a>) -> Pages<'a> {
        Pages { container: self, list, marker: None, is_over: false, progress: Progress::default() }
    }
}

impl Pages<'_> {
    /// The next page; `None` behind the last. EIO from a listing that repeats itself.
    pub async fn next(&mut self) -> Result<Option<Page<BlobItem>>> {
        if self.is_over {
            return Ok(None);
        }
        let list = ListBlobs { marker: self.marker.as_deref(), ..self.list.clone() };
        let page = self.container.list_blobs(&list).await?;
        self.progress.note(
            page.items.iter().map(|item| item.name.as_str()),
            page.prefixes.iter().map(String::as_str),
            page.next.as_deref(),
        )?;
        self.marker.clone_from(&page.next);
        self.is_over = page.next.is_none();
        Ok(Some(page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(progress: &mut Progress, blobs: &[&str], prefixes: &[&str], next: &str) -> Result<()> {
        progress.note(blobs.iter().copied(), prefixes.iter().copied(), Some(next))
    }

    #[test]
    fn a_listing_comes_forward_in_whatever_order() {
        let mut progress = Progress::default();
        note(&mut progress, &["a", "b"], &[], "1").unwrap();
        // Nothing, a prefix that was there before (S83), more snapshots of the last blob.
        note(&mut progress, &[], &[], "2").unwrap();
        note(&mut progress, &["b"], &["a/"], "3").unwrap();
        // The order of UTF-16 puts what is outside of the first plane before U+FFFE.
        note(&mut progress, &["😀"], &[], "4").unwrap();
        note(&mut progress, &["\u{fffe}"], &[], "5").unwrap();
        // That of paths puts `job/x` before `job-1`.
        let mut progress = Progress::default();
        note(&mut progress, &["job/x"], &[], "1").unwrap();
        note(&mut progress, &["job-1"], &[], "2").unwrap();
        progress.note(["z"].into_iter(), [].into_iter(), None).unwrap();
    }

    #[test]
    fn a_listing_that_repeats_itself_is_an_error() {
        let mut progress = Progress::default();
        note(&mut progress, &["a"], &[], "1").unwrap();
        note(&mut progress, &["b"], &[], "2").unwrap();
        let error = note(&mut progress, &["c"], &[], "1").unwrap_err();
        assert!(error.errno() == libc::EIO && error.to_string().contains("where it was"), "{error}");
        let mut progress = Progress::default();
        note(&mut progress, &["a", "b"], &[], "1").unwrap();
        let error = note(&mut progress, &["a", "b"], &[], "2").unwrap_err();
        assert!(error.errno() == libc::EIO && error.to_string().contains("go back"), "{error}");
        let mut progress = Progress::default();
        let ended = (0..).find_map(|page: usize| note(&mut progress, &[], &["a/"], &page.to_string()).err());
        assert_eq!(ended.map(|error| error.errno()), Some(libc::EIO));
    }
}
