//! Listings of what was: snapshots and versions of the blobs of a directory.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::names::attr::{self, FileKind};
use crate::fs::names::tree::{Blob, BlobDir, NodeProperties, Past, PastPlace};
use crate::store::{BlobItem, BlobProperties, Client, ListBlobs, Revision};

/// A page of the rows that a hidden directory shows, and where the next one begins.
pub(in crate::fs) async fn fetch(
    client: &Client,
    place: &PastPlace,
    marker: Option<&str>,
) -> Result<(Vec<BlobItem>, Option<String>)> {
    match place {
        PastPlace::Names(past, dir) => {
            let page = client.container(&dir.container).list_blobs(&listing(*past, &dir.prefix, marker)).await?;
            let mut items = page.items;
            items.retain(|item| is_of(*past, item) && name_in(dir, item).is_some());
            Ok((items, page.next))
        }
        PastPlace::Moments(past, blob) => moments(client, *past, blob, marker, None).await,
        PastPlace::File(..) => Err(not_a_directory()),
    }
}

/// The entry that a row stands for.
pub(in crate::fs) fn entry_of(place: &PastPlace, item: BlobItem) -> Option<(Arc<str>, FileKind, NodeProperties)> {
    match place {
        PastPlace::Names(_, dir) => Some((name_in(dir, &item)?.into(), FileKind::Directory, NodeProperties::Nothing)),
        PastPlace::Moments(..) => {
            let name = item.revision?.moment().as_str().into();
            Some((name, kind_of(&item.properties), NodeProperties::Blob(Arc::new(item.properties))))
        }
        PastPlace::File(..) => None,
    }
}

/// The moments of one blob on a page of the listing that begins with its name; no next page once that has come past it.
pub(in crate::fs) async fn moments(
    client: &Client,
    past: Past,
    blob: &Blob,
    marker: Option<&str>,
    max_results: Option<u32>,
) -> Result<(Vec<BlobItem>, Option<String>)> {
    let name = &blob.path.name;
    let list = ListBlobs { max_results, ..listing(past, name.as_str(), marker) };
    let page = client.container(&blob.path.container).list_blobs(&list).await?;
    let is_past_it = page.items.last().is_some_and(|item| item.name != *name);
    let mut items = page.items;
    items.retain(|item| item.name == *name && is_of(past, item));
    Ok((items, page.next.filter(|_| !is_past_it)))
}

pub(in crate::fs) fn is_of(past: Past, item: &BlobItem) -> bool {
    item.revision.as_ref().is_some_and(|revision| past.shows(revision))
}

/// The name in the directory itself that a row is about.
pub(in crate::fs) fn name_in<'a>(dir: &BlobDir, item: &'a BlobItem) -> Option<&'a str> {
    let name = item.name.as_str().strip_prefix(&dir.prefix)?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

pub(in crate::fs) fn not_a_directory() -> Error {
    Error::fs(libc::ENOTDIR, "a snapshot or version is no directory")
}

pub(in crate::fs) fn listing<'a>(past: Past, prefix: &'a str, marker: Option<&'a str>) -> ListBlobs<'a> {
    let (snapshots, versions) = (past == Past::Snapshots, past == Past::Versions);
    ListBlobs { prefix, marker, snapshots, versions, ..Default::default() }
}

/// These are not the properties of the version that was asked for.
pub(in crate::fs) fn is_another(properties: &BlobProperties, revision: &Revision) -> bool {
    match revision {
        Revision::Snapshot(_) => false,
        Revision::Version(moment) => properties.version_id.as_deref() != Some(moment.as_str()),
    }
}

/// A marker was a blob like any other; a snapshot of it has no entries.
pub(in crate::fs) fn kind_of(properties: &BlobProperties) -> FileKind {
    match attr::kind_of(properties) {
        FileKind::Directory => FileKind::File,
        kind => kind,
    }
}
