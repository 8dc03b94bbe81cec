//! Hidden directories: snapshots and versions as files.
//!
//! `DIR/.snapshots/NAME/MOMENT` and `DIR/.versions/NAME/MOMENT` are `DIR/NAME` as it was at that moment. No listing of
//! `DIR` shows the two, so that `find` and `rm -r` do not come there by themselves; looked up by name they are in every
//! directory of blobs. A blob or directory that really has one of these names wins, because otherwise nothing could
//! reach it; then its directory has no past to show, which the log says once.
//!
//! Such a file is read like any other and is a source of copies: copied over its own name it brings that state back
//! (C22), to another name it becomes an ordinary blob (C23), each by one Copy Blob. It can be removed, which deletes
//! that snapshot or version and nothing else. All else is EROFS, and no request that writes ever carries a `snapshot`
//! or `versionid`, because there are servers that then change the blob itself (X19).
//!
//! `DIR/.deleted/NAME` is a blob that was deleted softly (S81): its size and times, but not its content, which the
//! service gives nobody before the blob is brought back. That is a rename to `DIR/NAME`, done by Undelete Blob. Where the
//! namespace is hierarchical, a directory was deleted with all that was in it, which is not shown, and a name may have
//! been deleted more than once: what was deleted last is shown and brought back, and then what was deleted before (S206).
//!
//! Listing is by List Blobs with `include=snapshots` or `versions`. The service refuses that with a delimiter, so
//! `DIR/.snapshots` lists all that is below `DIR`, one request per 5000 rows; a blob's own moments are the first rows
//! with its name as prefix. They need not have a blob any more, and the current version is not among them: it is
//! `DIR/NAME`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tracing::warn;

use crate::error::{Error, Result};
use crate::fs::names::attr::{FileKind, Ino};
use crate::fs::names::lookup::{Directories, Heard};
use crate::fs::names::revisions::{
    MOST_PAGES_OF_A_NAME, deleted_blob, endless, is_another, kind_of, kind_of_deleted, moments, not_a_directory,
};
use crate::fs::names::tree::{Blob, NodeProperties, NodeView, Place, RevisionDir, RevisionPlace, deleted, read_only};
use crate::store::{DeleteOptions, Progress, Revision};

/// Rows asked for to learn whether a blob has a past: with the blob itself two would do, but a page may be short.
const A_FEW: u32 = 8;

/// The service calls the moment none. It is asked by a HEAD, whose refusal need not tell a code (S72).
fn is_no_moment(error: &Error) -> bool {
    error.status() == 400 && ["", "InvalidQueryParameterValue"].contains(&error.code())
}

impl Directories {
    /// The hidden directory that a name in a directory of blobs stands for if nothing else has that name.
    pub(crate) fn revision_dir_in(&self, parent: Ino, name: &str) -> Result<Option<RevisionDir>> {
        match RevisionDir::named(name) {
            Some(revisions) if matches!(self.tree.place(parent)?, Place::Directory(_)) => Ok(Some(revisions)),
            _ => Ok(None),
        }
    }

    /// Something real was found under a name: if it takes the place of a hidden directory, the log says so.
    pub(crate) fn note_real(&self, parent: Ino, name: &str) -> Result<()> {
        if self.revision_dir_in(parent, name)?.is_some() && !self.warned_hidden_dir.swap(true, Ordering::Relaxed) {
            warn!(name, "a blob or directory has this name: what was in its directory cannot be shown there");
        }
        Ok(())
    }

    /// Asks the service what a name in a hidden directory is.
    pub(crate) async fn ask_revision(&self, place: &RevisionPlace, name: &str) -> Result<Option<Heard>> {
        match place {
            RevisionPlace::Names(revisions, dir) => {
                let Ok(blob) = dir.blob(name) else { return Ok(None) };
                if *revisions == RevisionDir::Deleted {
                    let found = deleted_blob(self.service.client(blob.account), &blob).await?;
                    let found = found.map(|found| found.properties);
                    return Ok(found.map(|found| (kind_of_deleted(&found), NodeProperties::Blob(Arc::new(found)))));
                }
                let has_any = self.has_moments(*revisions, &blob).await?;
                Ok(has_any.then_some((FileKind::Directory, NodeProperties::Nothing)))
            }
            RevisionPlace::Moments(revisions, blob) => {
                let Some(revision) = revisions.revision(name) else { return Ok(None) };
                match self.service.blob(blob).at(&revision).properties().await {
                    // A server that does not know versions answers with the blob itself.
                    Ok(properties) if is_another(&properties, &revision) => Ok(None),
                    Ok(properties) => Ok(Some((kind_of(&properties), NodeProperties::Blob(Arc::new(properties))))),
                    Err(error) if error.code() == "ContainerNotFound" => Err(error),
                    Err(error) if error.is_not_found() || is_no_moment(&error) => Ok(None),
                    Err(error) => Err(error),
                }
            }
            RevisionPlace::File(..) => Err(not_a_directory()),
            RevisionPlace::Deleted(blob) => Err(deleted(blob)),
        }
    }

    pub(crate) async fn has_moments(&self, revisions: RevisionDir, blob: &Blob) -> Result<bool> {
        let client = self.service.client(blob.account);
        let mut marker = None;
        let mut progress = Progress::default();
        for _ in 0..MOST_PAGES_OF_A_NAME {
            let (found, next) = moments(client, revisions, blob, marker.as_deref(), Some(A_FEW)).await?;
            progress.note(found.iter().map(|item| item.name.as_str()), [].into_iter(), next.as_deref())?;
            marker = next;
            if !found.is_empty() || marker.is_none() {
                return Ok(!found.is_empty());
            }
        }
        Err(endless(blob))
    }

    /// unlink(2) of a snapshot or version: Delete Blob of that and nothing else. The current version is the blob, and
    /// is removed as such.
    pub(crate) async fn remove_revision(&self, view: &NodeView, blob: &Blob, revision: &Revision) -> Result<()> {
        let properties = view.properties().ok_or_else(|| Error::not_found("nothing is known of it"))?;
        // What is not current never becomes it again: bringing it back makes a new version. So what was heard at any
        // time is true.
        if properties.is_current_version || is_another(properties, revision) {
            return Err(Error::fs(
                libc::EPERM,
                format!("{}: this is its current version; remove the file itself", blob.path),
            ));
        }
        let deleted = self.service.blob(blob).at(revision).delete(&DeleteOptions::default()).await;
        if deleted.as_ref().err().is_none_or(Error::is_not_found) {
            self.tree.unlink(view.parent, &view.name);
        }
        deleted
    }

    /// rmdir(2): `NAME` below a hidden directory goes with its last moment. The hidden directories themselves stay.
    pub(crate) async fn remove_revision_dir(&self, parent: Ino, name: &str, place: &RevisionPlace) -> Result<()> {
        let RevisionPlace::Moments(revisions, blob) = place else { return Err(read_only()) };
        if self.has_moments(*revisions, blob).await? {
            return Err(Error::fs(libc::ENOTEMPTY, format!("{} has snapshots or versions", blob.path)));
        }
        self.tree.unlink(parent, name);
        Ok(())
    }
}
