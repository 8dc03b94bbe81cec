//! Listings of what was: snapshots and versions of the blobs of a directory.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::names::attr::{self, FileKind};
use crate::fs::names::tree::{Blob, BlobDir, NodeProperties, RevisionDir, RevisionPlace, deleted};
use crate::path::BlobPath;
use crate::store::{BlobItem, BlobProperties, Client, DeletedBlob, ListBlobs, Progress, Revision};

/// Pages that a listing of one name may have: of a few rows for a name's snapshots, of 5000 for its deletions.
pub(crate) const MOST_PAGES_OF_A_NAME: usize = 100;

/// Rows of a page, and where the next one begins.
type Rows = (Vec<BlobItem>, Option<String>);

/// A page of the rows that a hidden directory shows, and where the next one begins.
pub(crate) async fn fetch(client: &Client, place: &RevisionPlace, marker: Option<&str>) -> Result<Rows> {
    match place {
        RevisionPlace::Names(RevisionDir::Deleted, dir) => {
            let page = client.container(&dir.container).list_deleted(&dir.prefix, marker).await?;
            // A name may go on in the next page, of which nothing of that name is shown any more.
            let is_cut = page.next.is_some() && page.items.last().is_some_and(|item| item.deletion.is_some());
            let cut = page.items.last().filter(|_| is_cut).map(|item| item.name.clone());
            let items = page.items.into_iter();
            let items = items.map(|found| BlobItem { name: found.name, revision: None, properties: found.properties });
            let mut items: Vec<_> = items.filter(|item| name_in(dir, item).is_some()).collect();
            // What was deleted last of a name is what comes back.
            items.reverse();
            items.dedup_by(|older, newer| older.name == newer.name);
            items.reverse();
            if let Some(last) = items.last_mut().filter(|last| Some(&last.name) == cut.as_ref()) {
                let blob = Blob { account: dir.account, path: BlobPath::new(dir.container.clone(), last.name.clone()) };
                if let Some(newest) = deleted_blob(client, &blob).await? {
                    last.properties = newest.properties;
                }
            }
            Ok((items, page.next))
        }
        RevisionPlace::Names(revisions, dir) => {
            let page = client.container(&dir.container).list_blobs(&listing(*revisions, &dir.prefix, marker)).await?;
            let mut items = page.items;
            items.retain(|item| is_of(*revisions, item) && name_in(dir, item).is_some());
            Ok((items, page.next))
        }
        RevisionPlace::Moments(revisions, blob) => moments(client, *revisions, blob, marker, None).await,
        RevisionPlace::File(..) => Err(not_a_directory()),
        RevisionPlace::Deleted(blob) => Err(deleted(blob)),
    }
}

/// The entry that a row stands for.
pub(crate) fn entry_of(place: &RevisionPlace, item: BlobItem) -> Option<(Arc<str>, FileKind, NodeProperties)> {
    match place {
        RevisionPlace::Names(RevisionDir::Deleted, dir) => {
            let name = name_in(dir, &item)?.into();
            Some((name, kind_of_deleted(&item.properties), NodeProperties::Blob(Arc::new(item.properties))))
        }
        RevisionPlace::Names(_, dir) => {
            Some((name_in(dir, &item)?.into(), FileKind::Directory, NodeProperties::Nothing))
        }
        RevisionPlace::Moments(..) => {
            let name = item.revision?.moment().as_str().into();
            Some((name, kind_of(&item.properties), NodeProperties::Blob(Arc::new(item.properties))))
        }
        RevisionPlace::File(..) | RevisionPlace::Deleted(_) => None,
    }
}

/// What was deleted last under a name, if it can be brought back.
pub(crate) async fn deleted_blob(client: &Client, blob: &Blob) -> Result<Option<DeletedBlob>> {
    let name = &blob.path.name;
    let mut marker: Option<String> = None;
    let mut last = None;
    let mut progress = Progress::default();
    for _ in 0..MOST_PAGES_OF_A_NAME {
        let page = client.container(&blob.path.container).list_deleted_of(name, marker.as_deref()).await?;
        progress.note(page.items.iter().map(|item| item.name.as_str()), [].into_iter(), page.next.as_deref())?;
        // A flat namespace has one row for a name.
        if let Some(item) = page.items.iter().find(|item| item.name == *name && item.deletion.is_none()) {
            return Ok(Some(item.clone()));
        }
        last = page.items.into_iter().rfind(|item| item.name == *name).or(last);
        marker = page.next;
        if marker.is_none() {
            return Ok(last);
        }
    }
    Err(endless(blob))
}

/// EIO: a server that always has another page for one name.
pub(crate) fn endless(blob: &Blob) -> Error {
    Error::fs(libc::EIO, format!("{}: more than {MOST_PAGES_OF_A_NAME} pages are listed of this name", blob.path))
}

/// The moments of one blob on a page of the listing that begins with its name; no next page once that has come past it.
pub(crate) async fn moments(
    client: &Client,
    revisions: RevisionDir,
    blob: &Blob,
    marker: Option<&str>,
    max_results: Option<u32>,
) -> Result<Rows> {
    let name = &blob.path.name;
    let list = ListBlobs { max_results, ..listing(revisions, name.as_str(), marker) };
    let page = client.container(&blob.path.container).list_blobs(&list).await?;
    let is_past_it = page.items.last().is_some_and(|item| item.name != *name);
    let mut items = page.items;
    items.retain(|item| item.name == *name && is_of(revisions, item));
    Ok((items, page.next.filter(|_| !is_past_it)))
}

pub(crate) fn is_of(revisions: RevisionDir, item: &BlobItem) -> bool {
    item.revision.as_ref().is_some_and(|revision| revisions.shows(revision))
}

/// The name in the directory itself that a row is about.
pub(crate) fn name_in<'a>(dir: &BlobDir, item: &'a BlobItem) -> Option<&'a str> {
    let name = item.name.as_str().strip_prefix(&dir.prefix)?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

pub(crate) fn not_a_directory() -> Error {
    Error::fs(libc::ENOTDIR, "a snapshot or version is no directory")
}

pub(crate) fn listing<'a>(revisions: RevisionDir, prefix: &'a str, marker: Option<&'a str>) -> ListBlobs<'a> {
    let (snapshots, versions) = (revisions == RevisionDir::Snapshots, revisions == RevisionDir::Versions);
    ListBlobs { prefix, marker, snapshots, versions, ..Default::default() }
}

/// These are not the properties of the version that was asked for.
pub(crate) fn is_another(properties: &BlobProperties, revision: &Revision) -> bool {
    match revision {
        Revision::Snapshot(_) => false,
        Revision::Version(moment) => properties.version_id.as_deref() != Some(moment.as_str()),
    }
}

/// Where directories exist by themselves, they are deleted as such; elsewhere a marker was a blob like any other.
pub(crate) fn kind_of_deleted(properties: &BlobProperties) -> FileKind {
    match &properties.path {
        Some(path) if path.is_directory => FileKind::Directory,
        _ => kind_of(properties),
    }
}

/// A marker was a blob like any other; a snapshot of it has no entries.
pub(crate) fn kind_of(properties: &BlobProperties) -> FileKind {
    match attr::kind_of(properties) {
        FileKind::Directory => FileKind::File,
        kind => kind,
    }
}
