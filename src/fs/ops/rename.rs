//! Rename: copy, proof, delete (M3, §13.14).
//!
//! A flat account has no rename. A file is copied by the service, the copy is proven (our id, status `success`, the source's ETag as
//! the condition on both requests), and only then is the source deleted. Whatever ends otherwise leaves both names as they were, and is
//! reported: a copy under a new name is taken away again, and what a copy replaced is brought back. For that it is kept before
//! (`copies/restore.rs`): a pending copy takes the old content at its start, and a delete of the source may be refused for reasons that only
//! the service knows. That is two requests, one to take a snapshot and one to delete it, where a look for what would be in the way
//! of the delete took one and proved less.
//!
//! A directory is every blob below it (`rename/tree.rs`).
//!
//! All that is for flat accounts. A hierarchical namespace renames by itself (`rename/hierarchical.rs`). Some accounts do not say that
//! they have one; but they take no snapshot, and whatever would have needed one is begun anew.

use std::sync::Arc;
use std::time::Duration;

use tracing::{error, warn};

use crate::error::{Error, OptionalExtension, Result};
use crate::fs::Fs;
use crate::fs::caller::Caller;
use crate::fs::content::handle::{Content, Handles, Locked};
use crate::fs::copies::backup::{Backup, OwnWrite};
use crate::fs::copies::spec::{CopyOptions, CopySpec};
use crate::fs::names::attr::{self, FileKind, Ino};
use crate::fs::names::tree::{Blob, NodeProperties, NodeView, Place};
use crate::store::{BlobProperties, DeleteOptions, DeleteSnapshots, ETag, Precondition};

/// A rename on its way.
pub(in crate::fs) struct Renaming<'a> {
    pub(in crate::fs) fs: &'a Fs,
}

mod hierarchical;
mod tree;

/// Longest wait for a file that turned up in a directory while that was renamed.
const LATE: Duration = Duration::from_secs(1);

/// What renameat2(2) was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenameMode {
    Replace,
    /// EEXIST if the new name exists.
    NoReplace,
}

/// A name in a directory.
pub(crate) type EntryName<'a> = (Ino, &'a str);

/// A file that nobody writes, opens or closes while it gets another name.
pub(in crate::fs) struct LockedFile<'a> {
    handles: &'a Handles,
    locked: Locked,
}

/// To the kernel, ESTALE means that its names are old: it would look them up and rename once more. Once something was sent, that is a copy
/// once more.
fn never_stale(error: Error) -> Error {
    if error.is_stale() { Error::fs(libc::EBUSY, error.to_string()) } else { error }
}

/// It would take hours, and end in another tier (X21).
fn refuse_archived(source: &Blob, version: &BlobProperties) -> Result<()> {
    if version.is_archived() {
        let what = format!("{}: it is archived, and cannot be copied before it is brought back", source.path);
        return Err(Error::fs(libc::ENODATA, what));
    }
    Ok(())
}

fn exists(name: &str) -> Error {
    Error::fs(libc::EEXIST, format!("{name} exists"))
}

/// How the delete of a source ended.
pub(in crate::fs) enum Deletion {
    Deleted,
    /// The service refused, and the source is still there: the copy may be taken back.
    Refused(Error),
    /// The source may be gone, and then the copy is all there is.
    Unknown(Error),
}

impl Drop for LockedFile<'_> {
    fn drop(&mut self) {
        // Under the lock, as all who leave.
        self.handles.done(self.locked.ino());
    }
}

impl Fs {
    /// rename(2). EXDEV between accounts, so that mv copies and removes.
    pub async fn rename(&self, from: EntryName<'_>, to: EntryName<'_>, mode: RenameMode, caller: Caller) -> Result<()> {
        Renaming { fs: self }.run(from, to, mode, caller).await
    }
}

impl<'f> Renaming<'f> {
    /// See [`Fs::rename`].
    async fn run(&self, from: EntryName<'_>, to: EntryName<'_>, mode: RenameMode, caller: Caller) -> Result<()> {
        let source = self.fs.directories.resolve(from.0, from.1).await?;
        let target = self.fs.directories.resolve(to.0, to.1).await.optional()?;
        if mode == RenameMode::NoReplace && target.as_ref().is_some_and(|target| target.ino != source.ino) {
            return Err(exists(to.1));
        }
        if target.as_ref().is_some_and(|target| target.ino == source.ino) {
            return Ok(());
        }
        for ino in [from.0, to.0, source.ino].into_iter().chain(target.iter().map(|target| target.ino)) {
            self.fs.tree.refuse_revision(ino)?;
        }
        let across = |what: &str| Error::fs(libc::EXDEV, format!("{what} cannot be renamed, only copied"));
        let (Place::Directory(old_dir), Ok(Place::Directory(new_dir))) =
            (self.fs.tree.place(from.0)?, self.fs.tree.place(to.0))
        else {
            return Err(across("containers and accounts"));
        };
        if old_dir.account != new_dir.account {
            return Err(across("files between accounts"));
        }
        if let Some(file) = self.fs.handles.of_ino(source.ino) {
            self.fs.destinations.settle_own(&file, caller).await?;
        }
        match (source.kind, target.as_ref().map(|target| target.kind)) {
            (FileKind::Directory, None | Some(FileKind::Directory)) => {}
            (FileKind::Directory, Some(_)) => return Err(Error::fs(libc::ENOTDIR, format!("{} is a file", to.1))),
            (_, Some(FileKind::Directory)) => return Err(Error::fs(libc::EISDIR, format!("{} is a directory", to.1))),
            _ => {}
        }
        // Refused before anything is stored or moved for it.
        new_dir.blob(to.1)?;
        let hierarchical =
            self.fs.service.client(new_dir.account).container(&new_dir.container).is_hierarchical().await?;
        let by_copy = match (hierarchical, source.kind) {
            (true, _) => None,
            (_, FileKind::Directory) => {
                Some(self.rename_dir(from, &source, to, &new_dir, target.as_ref(), caller).await)
            }
            _ => Some(self.rename_file(from, &source, to, target.clone(), mode, caller).await),
        };
        match by_copy {
            // What was to be replaced cannot be kept, which was tried first: nothing has happened yet.
            Some(Err(error)) if !error.is_of_a_hierarchical_namespace() => return Err(never_stale(error)),
            None | Some(Err(_)) => {
                self.rename_path(from, &source, to, &new_dir, target.as_ref(), mode).await.map_err(never_stale)?;
            }
            Some(Ok(())) => self.fs.directories.keep_alive(from.0, from.1).await,
        }
        self.fs.tree.touch(from.0);
        self.fs.tree.touch(to.0);
        Ok(())
    }

    async fn rename_file(
        &self,
        from: EntryName<'_>,
        source: &NodeView,
        to: EntryName<'_>,
        target: Option<NodeView>,
        mode: RenameMode,
        caller: Caller,
    ) -> Result<()> {
        let destination = self.fs.tree.directory(to.0)?.blob(to.1)?;
        let mut held = Vec::new();
        self.lock_files(&mut held, vec![source.ino]).await?;
        let mut target = target;
        // Once more if somebody was faster: names have no handle that could be stale.
        for last_try in [false, true] {
            let source = self.fs.directories.resolve(from.0, from.1).await?;
            if held.iter().all(|held| held.locked.ino() != source.ino) {
                // Another client has replaced it meanwhile: that is another file.
                self.lock_files(&mut held, vec![source.ino]).await?;
            }
            // Until the name is the new one here as well, that the old one is gone is no news.
            let storing: Vec<_> = held.iter().map(|held| held.locked.file().storing()).collect();
            let moved = self.move_blob(&source, destination.clone(), target.as_ref(), mode, caller).await;
            match moved {
                Ok(properties) => {
                    self.fs.tree.rename(from.0, from.1, to.0, to.1);
                    drop(storing);
                    let stood_on =
                        source.properties().map_or_else(|| properties.etag.clone(), |moved| moved.etag.clone());
                    self.record_properties(&mut held, source.ino, &stood_on, properties);
                    return Ok(());
                }
                Err(error) if error.code() == "BlobAlreadyExists" && mode == RenameMode::NoReplace => {
                    return Err(exists(to.1));
                }
                Err(error) if error.is_precondition_failed() && !last_try => {
                    drop(storing);
                    self.fs.tree.invalidate(source.ino);
                    target = match self.fs.directories.resolve(to.0, to.1).await.optional()? {
                        Some(_) if mode == RenameMode::NoReplace => return Err(exists(to.1)),
                        Some(target) => {
                            self.fs.tree.invalidate(target.ino);
                            Some(self.fs.directories.resolve(to.0, to.1).await?)
                        }
                        None => None,
                    };
                }
                Err(error) if error.is_precondition_failed() => {
                    return Err(Error::fs(libc::EBUSY, format!("{}: changed while it was renamed: {error}", from.1)));
                }
                Err(error) if error.is_of_no_source() => {
                    let etag = source.properties().map(|properties| &properties.etag);
                    self.fs.tree.invalidate_version(source.ino, etag, true);
                    return Err(error);
                }
                Err(error) if error.code() == "InvalidBlobType" => {
                    return Err(Error::fs(libc::EXDEV, format!("{error}: the new name is a blob of another type")));
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::fs(libc::EBUSY, format!("{}: changed while it was renamed", from.1)))
    }

    /// What was written to files goes to their present name before they get another, and nobody writes, opens or closes them until `held`
    /// is dropped: a block that is staged under the old name could not be committed under the new one.
    pub(in crate::fs) async fn lock_files(&self, held: &mut Vec<LockedFile<'f>>, mut files: Vec<Ino>) -> Result<()> {
        let first = held.len();
        files.sort_unstable_by_key(|ino| ino.0);
        for ino in files {
            let file = self.fs.handles.acquire(ino);
            let locked = match file.try_lock() {
                Some(locked) => Some(locked),
                // In one order, so that two renames do not wait for each other; what comes on top may not wait for long.
                None if first == 0 => Some(file.lock().await),
                None => tokio::time::timeout(LATE, file.lock()).await.ok(),
            };
            match locked {
                Some(locked) => held.push(LockedFile { handles: &self.fs.handles, locked }),
                None => {
                    tokio::spawn(self.fs.files.clone().release_later(file));
                    return Err(Error::fs(libc::EBUSY, "a file was in use while its directory was renamed"));
                }
            }
        }
        if held[first..].iter().any(|held| matches!(held.locked.content, Content::Copying(_))) {
            return Err(Error::copy_pending("the file"));
        }
        for LockedFile { locked, .. } in &mut held[first..] {
            self.fs.files.commit(locked).await?;
        }
        Ok(())
    }

    /// The blob of a node has a new name and so new properties; whoever has it open learns them.
    pub(in crate::fs) fn record_properties(
        &self,
        held: &mut [LockedFile<'_>],
        ino: Ino,
        stood_on: &ETag,
        properties: Arc<BlobProperties>,
    ) {
        match held.iter_mut().find(|held| held.locked.ino() == ino) {
            Some(LockedFile { locked, .. }) => self.fs.files.record_version_on(locked, stood_on, properties),
            None => self.fs.tree.update(ino, NodeProperties::Blob(properties)),
        }
    }

    /// Copies a blob to its new name, proves the copy, deletes the source.
    async fn move_blob(
        &self,
        source: &NodeView,
        destination: Blob,
        target: Option<&NodeView>,
        mode: RenameMode,
        caller: Caller,
    ) -> Result<Arc<BlobProperties>> {
        let Some(properties) = source.properties().cloned() else {
            return Err(Error::fs(libc::EBUSY, format!("{} is not in the service yet", source.name)));
        };
        if source.is_pending() || target.is_some_and(NodeView::is_pending) {
            return Err(Error::copy_pending(&source.name));
        }
        let blob = self.fs.tree.blob(source.ino)?;
        refuse_archived(&blob, &properties)?;
        let replaces = target.and_then(|target| Some((target.ino, target.properties()?)));
        let (precondition, backup) = match (mode, replaces) {
            (RenameMode::Replace, Some((ino, replaced))) => {
                let backup = self.fs.copies.try_back_up((&destination, Some(ino)), replaced, None).await?;
                (Precondition::IfMatch(replaced.etag.clone()), Some(backup))
            }
            // Whatever is believed of the target: the service decides.
            (RenameMode::NoReplace, _) | (_, None) => (Precondition::IfAbsent, None),
        };
        let copy = self.copy_and_prove(&blob, &properties, &destination, precondition, backup.as_ref(), caller).await?;
        let error = match self.delete_moved(&blob, &properties.etag, self.fs.config.snapshots_on_delete()).await {
            Deletion::Deleted => {
                if let Some(backup) = &backup {
                    self.fs.copies.delete_backup(backup).await;
                }
                return Ok(copy);
            }
            Deletion::Refused(error) => {
                match backup {
                    None => self.fs.copies.delete_copy(&destination, &copy.etag).await,
                    Some(backup) => self.fs.copies.restore(backup, OwnWrite::Version(copy.etag.clone())).await,
                }
                error
            }
            Deletion::Unknown(error) => {
                error!(source = %blob.path, destination = %destination.path, %error,
                       backup = backup.map_or_else(String::new, |backup| backup.place()),
                       "copied, but whether the source was deleted is not known: the copy stays");
                self.fs.tree.invalidate(source.ino);
                return Err(error);
            }
        };
        if error.code() == "SnapshotsPresent" {
            warn!(blob = %blob.path, "it has snapshots, which would be lost: mount with --delete-snapshots to allow that");
        }
        if error.is_precondition_failed() {
            return Err(Error::fs(libc::EBUSY, format!("{} was changed while it was renamed", blob.path)));
        }
        Err(error)
    }

    /// The proven copy. When it ends otherwise, nothing of it is left: its backup comes back.
    pub(in crate::fs) async fn copy_and_prove(
        &self,
        source: &Blob,
        version: &Arc<BlobProperties>,
        destination: &Blob,
        precondition: Precondition,
        backup: Option<&Backup>,
        caller: Caller,
    ) -> Result<Arc<BlobProperties>> {
        let start = async {
            let start = CopySpec {
                source: self.fs.service.source_url(source, None, destination).await?,
                version: Some(version.clone()),
                destination: destination.clone(),
                precondition,
                // The name changes, the blob does not: what a copy leaves behind is given to it (X4, §13.2.7), the time of its content
                // too.
                metadata: attr::for_rename(version),
                tier: version.chosen_tier(),
                tags: self.fs.service.tags_to_keep(source, version).await?,
                seal: version.seal_of_copy(version.sealed),
                options: CopyOptions { source: Some(source.clone()), caller: Some(caller), ..CopyOptions::default() },
            };
            self.fs.copies.start_copy(start).await
        };
        let job = match start.await {
            Ok(job) => job,
            Err(error) => {
                if let Some(backup) = backup {
                    self.fs.copies.never_started(backup, &error).await;
                }
                return Err(error);
            }
        };
        let ended = self.fs.copies.wait_for_copy(&job, caller).await;
        let failed = match ended {
            Ok(copy) if copy.size == version.size => return Ok(copy),
            Ok(copy) => Error::fs(
                libc::EIO,
                format!("{}: the copy has {} bytes, the source {}", destination.path, copy.size, version.size),
            ),
            Err(error) => error,
        };
        if job.is_local() {
            self.fs.copies.stop_fetching(&job).await;
        }
        match backup {
            None => self.fs.copies.rollback(destination, &job.id).await,
            Some(backup) => self.fs.copies.restore(backup.clone(), OwnWrite::Copy(job.id.clone())).await,
        }
        job.finished().await;
        Err(failed)
    }

    /// Deletes the source of a proven copy.
    pub(in crate::fs) async fn delete_moved(&self, source: &Blob, etag: &ETag, snapshots: DeleteSnapshots) -> Deletion {
        let client = self.fs.service.blob(source);
        let precondition = Precondition::IfMatch(etag.clone());
        let error = match client.delete(&DeleteOptions { snapshots, precondition }).await {
            Ok(()) => return Deletion::Deleted,
            // Somebody else deleted it, which is what was wanted.
            Err(error) if error.is_not_found() => return Deletion::Deleted,
            // Another version is there, and no try before was lost: the client would have said so.
            Err(error) if error.is_precondition_failed() => return Deletion::Refused(error),
            Err(error) => error,
        };
        // After a time-out or a 5xx it may be gone all the same, now or in a moment. A refusal may follow a try that was not answered.
        let refused = (400..500).contains(&error.status()) && error.status() != 408;
        match client.properties().await {
            Err(look) if look.is_not_found() => Deletion::Deleted,
            Ok(found) if refused && found.etag == *etag => Deletion::Refused(error),
            _ => Deletion::Unknown(error),
        }
    }
}
