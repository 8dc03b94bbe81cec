//! What was: snapshots and versions as files.
//!
//! `DIR/.snapshots/NAME/MOMENT` and `DIR/.versions/NAME/MOMENT` are `DIR/NAME` as it was at that moment. No listing of `DIR` shows the
//! two, so that `find` and `rm -r` do not come there by themselves; looked up by name they are in every directory of blobs. A blob or
//! directory that really has one of these names wins, because otherwise nothing could reach it; then its directory has no past to
//! show, which the log says once.
//!
//! Such a file is read like any other and is a source of copies: copied over its own name it brings that state back (C22), to another
//! name it becomes an ordinary blob (C23), each by one Copy Blob. It can be removed, which deletes that snapshot or version and nothing
//! else. All else is EROFS, and no request that writes ever carries a `snapshot` or `versionid`, because there are servers that then
//! change the blob itself (X19).
//!
//! Listing is by List Blobs with `include=snapshots` or `versions`. The service refuses that with a delimiter, so `DIR/.snapshots` lists
//! all that is below `DIR`, one request per 5000 rows; a blob's own moments are the first rows with its name as prefix. They need not
//! have a blob any more, and the current version is not among them: it is `DIR/NAME`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tracing::{info, warn};

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::access::{Credentials, WRITE};
use crate::fs::attr::{self, FileKind, Ino};
use crate::fs::handle::Content;
use crate::fs::tree::{Blob, BlobDir, Heard, NodeView, Past, PastPlace, Place, read_only};
use crate::store::{BlobItem, BlobProperties, Client, DeleteSnapshots, ListBlobs, Moment, Precondition, Revision};

/// Rows asked for to learn whether a blob has a past: with the blob itself two would do, but a page may be short.
const A_FEW: u32 = 8;

impl Fs {
    /// The hidden directory that a name in a directory of blobs stands for if nothing else has that name.
    pub(super) fn past_in(&self, parent: Ino, name: &str) -> Result<Option<Past>> {
        match Past::named(name) {
            Some(past) if matches!(self.tree.place(parent)?, Place::Directory(_)) => Ok(Some(past)),
            _ => Ok(None),
        }
    }

    /// Something real was found under a name: if it takes the place of a hidden directory, the log says so.
    pub(super) fn note_real(&self, parent: Ino, name: &str) -> Result<()> {
        if self.past_in(parent, name)?.is_some() && !self.said_no_past.swap(true, Ordering::Relaxed) {
            warn!(name, "a blob or directory has this name: what was in its directory cannot be shown there");
        }
        Ok(())
    }

    /// Asks the service what a name in a hidden directory is.
    pub(super) async fn ask_past(&self, place: &PastPlace, name: &str) -> Result<Option<(FileKind, Heard)>> {
        match place {
            PastPlace::Names(past, dir) => {
                let Ok(blob) = dir.blob(name) else { return Ok(None) };
                let has_any = self.has_moments(*past, &blob).await?;
                Ok(has_any.then_some((FileKind::Directory, Heard::Nothing)))
            }
            PastPlace::Moments(past, blob) => {
                let Some(revision) = past.revision(name) else { return Ok(None) };
                match self.client(blob.account).blob_properties(&blob.path, Some(&revision)).await {
                    // A server that does not know versions answers with the blob itself.
                    Ok(properties) if is_another(&properties, &revision) => Ok(None),
                    Ok(properties) => Ok(Some((kind_of(&properties), Heard::Blob(Arc::new(properties))))),
                    Err(error) if error.code() == "ContainerNotFound" => Err(error),
                    Err(error) if error.is_not_found() || error.code() == "InvalidQueryParameterValue" => Ok(None),
                    Err(error) => Err(error),
                }
            }
            PastPlace::File(..) => Err(not_a_directory()),
        }
    }

    async fn has_moments(&self, past: Past, blob: &Blob) -> Result<bool> {
        let client = self.client(blob.account);
        let mut marker = None;
        loop {
            let (found, next) = moments(client, past, blob, marker.as_deref(), Some(A_FEW)).await?;
            marker = next;
            if !found.is_empty() || marker.is_none() {
                return Ok(!found.is_empty());
            }
        }
    }

    /// unlink(2) of a snapshot or version: Delete Blob of that and nothing else. The current version is the blob, and is removed as such.
    pub(super) async fn remove_revision(&self, view: &NodeView, blob: &Blob, revision: &Revision) -> Result<()> {
        let properties = view.properties().ok_or_else(|| Error::fs(libc::ENOENT, "nothing is known of it"))?;
        // What is not current never becomes it again: bringing it back makes a new version. So what was heard at any time is true.
        if properties.is_current_version || is_another(properties, revision) {
            return Err(Error::fs(
                libc::EPERM,
                format!("{}: this is its current version; remove the file itself", blob.path),
            ));
        }
        let client = self.client(blob.account);
        let (refuse, always) = (DeleteSnapshots::Refuse, Precondition::None);
        let deleted = client.delete_blob(&blob.path, Some(revision), refuse, &always, None).await;
        if deleted.as_ref().err().is_none_or(Error::is_not_found) {
            self.tree.unlink(view.parent, &view.name);
        }
        deleted
    }

    /// rmdir(2): `NAME` below a hidden directory goes with its last moment. The hidden directories themselves stay.
    pub(super) async fn remove_past_dir(&self, parent: Ino, name: &str, place: &PastPlace) -> Result<()> {
        let PastPlace::Moments(past, blob) = place else { return Err(read_only()) };
        if self.has_moments(*past, blob).await? {
            return Err(Error::fs(libc::ENOTEMPTY, format!("{} has snapshots or versions", blob.path)));
        }
        self.tree.unlink(parent, name);
        Ok(())
    }

    /// Snapshot Blob. What was written here and is not stored yet is stored first, so that it is in the snapshot.
    pub async fn take_snapshot(&self, ino: Ino, who: &Credentials) -> Result<Moment> {
        let view = self.tree.view(ino)?;
        self.check_access(&view, WRITE, who)?;
        if view.kind == FileKind::Directory {
            return Err(Error::fs(libc::EISDIR, format!("{}: snapshots are of single blobs", view.name)));
        }
        let blob = self.tree.blob(ino)?;
        let file = self.handles.of_ino(ino);
        let _state = match &file {
            Some(file) => {
                let mut state = file.state.lock().await;
                if matches!(state.content, Content::Copying(_)) {
                    return Err(Error::fs(libc::EBUSY, format!("{}: a copy onto it is pending", blob.path)));
                }
                self.commit(file, &mut state).await?;
                Some(state)
            }
            None => None,
        };
        let taken = self.client(blob.account).snapshot_blob(&blob.path).await?;
        info!(blob = %blob.path, moment = %taken.moment(), "snapshot taken");
        // It is there for whoever looks next, also if they have just looked.
        if let Some(names) = self.tree.child(view.parent, Past::Snapshots.directory()) {
            self.tree.unlist(names.ino);
            if let Some(moments) = self.tree.child(names.ino, &view.name) {
                self.tree.unlist(moments.ino);
            }
        }
        Ok(taken.moment().clone())
    }
}

/// A page of the rows that a hidden directory shows, and where the next one begins.
pub(super) async fn fetch(
    client: &Client,
    place: &PastPlace,
    marker: Option<&str>,
) -> Result<(Vec<BlobItem>, Option<String>)> {
    match place {
        PastPlace::Names(past, dir) => {
            let page = client.list_blobs(&dir.container, &listing(*past, &dir.prefix, marker)).await?;
            let mut items = page.items;
            items.retain(|item| is_of(*past, item) && name_in(dir, item).is_some());
            Ok((items, page.next))
        }
        PastPlace::Moments(past, blob) => moments(client, *past, blob, marker, None).await,
        PastPlace::File(..) => Err(not_a_directory()),
    }
}

/// The entry that a row stands for.
pub(super) fn entry_of(place: &PastPlace, item: BlobItem) -> Option<(Arc<str>, FileKind, Heard)> {
    match place {
        PastPlace::Names(_, dir) => Some((name_in(dir, &item)?.into(), FileKind::Directory, Heard::Nothing)),
        PastPlace::Moments(..) => {
            let name = item.revision?.moment().as_str().into();
            Some((name, kind_of(&item.properties), Heard::Blob(Arc::new(item.properties))))
        }
        PastPlace::File(..) => None,
    }
}

/// The moments of one blob on a page of the listing that begins with its name; no next page once that has come past it.
async fn moments(
    client: &Client,
    past: Past,
    blob: &Blob,
    marker: Option<&str>,
    max_results: Option<u32>,
) -> Result<(Vec<BlobItem>, Option<String>)> {
    let name = &blob.path.name;
    let list = ListBlobs { max_results, ..listing(past, name.as_str(), marker) };
    let page = client.list_blobs(&blob.path.container, &list).await?;
    let is_past_it = page.items.last().is_some_and(|item| item.name != *name);
    let mut items = page.items;
    items.retain(|item| item.name == *name && is_of(past, item));
    Ok((items, page.next.filter(|_| !is_past_it)))
}

fn is_of(past: Past, item: &BlobItem) -> bool {
    item.revision.as_ref().is_some_and(|revision| past.shows(revision))
}

/// The name in the directory itself that a row is about.
fn name_in<'a>(dir: &BlobDir, item: &'a BlobItem) -> Option<&'a str> {
    let name = item.name.as_str().strip_prefix(&dir.prefix)?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

fn not_a_directory() -> Error {
    Error::fs(libc::ENOTDIR, "a snapshot or version is no directory")
}

fn listing<'a>(past: Past, prefix: &'a str, marker: Option<&'a str>) -> ListBlobs<'a> {
    let (snapshots, versions) = (past == Past::Snapshots, past == Past::Versions);
    ListBlobs { prefix, marker, snapshots, versions, ..Default::default() }
}

/// These are not the properties of the version that was asked for.
fn is_another(properties: &BlobProperties, revision: &Revision) -> bool {
    match revision {
        Revision::Snapshot(_) => false,
        Revision::Version(moment) => properties.version_id.as_deref() != Some(moment.as_str()),
    }
}

/// A marker was a blob like any other; a snapshot of it has no entries.
fn kind_of(properties: &BlobProperties) -> FileKind {
    match attr::kind_of(properties) {
        FileKind::Directory => FileKind::File,
        kind => kind,
    }
}
