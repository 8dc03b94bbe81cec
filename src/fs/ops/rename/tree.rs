//! Rename of a directory: every blob below it and its markers.
//!
//! All are copied, many at a time, and all copies are proven before the first source is deleted, so that a failure on
//! the way leaves the tree whole. What this mount makes below the directory meanwhile comes along. It is not atomic for
//! onlookers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use futures_util::{StreamExt, stream};
use tracing::{error, warn};

use crate::error::{Error, Result};
use crate::fs::copies::backup::{Backup, OwnWrite};
use crate::fs::journal::{COPIED, Entry, Intent};
use crate::fs::names::attr::{FileKind, Ino};
use crate::fs::names::room::Room;
use crate::fs::names::tree::{Blob, BlobDir, NodeProperties, NodeView, Place};
use crate::fs::ops::rename::Renaming;
use crate::fs::ops::rename::hold::LockedFile;
use crate::fs::ops::rename::kept::refuse_protected;
use crate::fs::ops::rename::prove::{Deletion, refuse_archived};
use crate::path::BlobName;
use crate::store::{BlobItem, BlobProperties, ETag, ListBlobs, Precondition};

/// Copies and deletes at once.
const AT_ONCE: usize = 32;

/// A blob of a directory that is renamed.
struct Move {
    from: Blob,
    to: Blob,
    properties: Arc<BlobProperties>,
    precondition: Precondition,
    /// The marker of an empty directory that is the target.
    replaces: Option<(Ino, Arc<BlobProperties>)>,
    backup: OnceLock<Backup>,
}

impl Move {
    /// The move of a blob below `old` to its place below `new`, where nothing is; `None` for what is not below it.
    fn below(name: &BlobName, old: &BlobDir, new: &BlobDir, version: Arc<BlobProperties>) -> Result<Option<Arc<Self>>> {
        let Some(rest) = name.as_str().strip_prefix(&old.prefix) else { return Ok(None) };
        let (from, to, properties) = (old.blob(rest)?, new.blob(rest)?, version);
        let (precondition, backup) = (Precondition::IfAbsent, OnceLock::new());
        Ok(Some(Arc::new(Self { from, to, properties, precondition, replaces: None, backup })))
    }
}

/// EBUSY for a move that another client was faster than.
fn changed(error: Error) -> Error {
    match error.is_precondition_failed() {
        true => Error::fs(libc::EBUSY, format!("changed while it was renamed: {error}")),
        false => error,
    }
}

impl<'f> Renaming<'f> {
    pub(super) async fn rename_dir(&self, source: &NodeView, into: &BlobDir, target: Option<&NodeView>) -> Result<()> {
        let to = self.to;
        let old = match self.fs.tree.place(source.ino)? {
            Place::Directory(dir) => dir,
            _ => return Err(Error::fs(libc::EXDEV, "accounts cannot be renamed")),
        };
        let new = into.subdirectory(to.1);
        let mut held = Vec::new();
        self.lock_dir(source.ino, &old, &new, target, &mut held).await?;
        let intent = Intent::MoveTree {
            from: self.fs.service.named_dir(&old),
            to: self.fs.service.named_dir(&new),
            replaces: target.is_some_and(|target| target.properties().is_some()),
        };
        let entry = self.fs.service.journal.begin(intent);
        let moved = self.move_tree(source, (&old, &new), target, held, &entry).await;
        if moved.is_err() && entry.is_noted() {
            entry.leave();
        }
        entry.end();
        moved
    }

    /// All that is below a directory, which is locked.
    async fn move_tree(
        &self,
        source: &NodeView,
        (old, new): (&BlobDir, &BlobDir),
        target: Option<&NodeView>,
        mut held: Vec<LockedFile<'f>>,
        entry: &Entry,
    ) -> Result<()> {
        let (from, to) = (self.from, self.to);
        let began = Instant::now();
        let mut moves = self.moves(old, source, new, target).await?;
        let mut copies = self.copy_all(&moves).await?;
        // What came into being meanwhile comes along. From the last look to the new name nothing is waited for, so
        // nothing can slip through.
        loop {
            let late = async {
                let files = self.not_locked(source.ino, &held);
                let none = files.is_empty();
                // One that has begun since.
                self.fs.copies.jobs.refuse_copied_below(old)?;
                self.lock_files(&mut held, files).await?;
                let late = self.late_moves(source.ino, old, new, &moves, began)?;
                if none && late.is_empty() {
                    return Ok(None);
                }
                let copied = self.copy_all(&late).await?;
                Ok(Some((late, copied)))
            };
            match late.await {
                Ok(None) => break,
                Ok(Some((late, copied))) => {
                    moves.extend(late);
                    copies.extend(copied);
                }
                Err(error) => {
                    self.rollback_all(&moves, &copies).await;
                    return Err(error);
                }
            }
        }
        entry.note(COPIED);
        // The copies are what counts from here on. A source that cannot be deleted stays beside its copy.
        self.fs.tree.rename(from.0, from.1, to.0, to.1);
        self.update_moved(source.ino, &mut held, &moves, copies);
        drop(held);
        for backup in moves.iter().filter_map(|step| step.backup.get()) {
            self.fs.copies.delete_backup(backup).await;
        }
        self.delete_all(&moves).await
    }

    /// What this mount has made below a directory since `began`, and `moves` has not. EBUSY if something that was
    /// copied has changed.
    fn late_moves(
        &self,
        dir: Ino,
        old: &BlobDir,
        new: &BlobDir,
        moves: &[Arc<Move>],
        began: Instant,
    ) -> Result<Vec<Arc<Move>>> {
        let moved: HashMap<&BlobName, &ETag> = moves.iter().map(|m| (&m.from.path.name, &m.properties.etag)).collect();
        let mut late = Vec::new();
        for node in self.fs.tree.descendants(dir) {
            let Some(properties) = node.properties().filter(|_| node.observed.at >= began) else { continue };
            let Some(from) = self.fs.tree.place(node.ino).ok().and_then(Place::blob_or_marker) else { continue };
            let from = from?;
            match moved.get(&from.path.name) {
                Some(etag) if **etag == properties.etag => {}
                Some(_) => {
                    return Err(Error::fs(libc::EBUSY, format!("{} was changed while it was renamed", from.path)));
                }
                None => late.extend(Move::below(&from.path.name, old, new, properties.clone())?),
            }
        }
        Ok(late)
    }

    /// Every blob of a directory with its new name. Refused as a whole if one of them cannot be moved.
    async fn moves(
        &self,
        old: &BlobDir,
        node: &NodeView,
        new: &BlobDir,
        target: Option<&NodeView>,
    ) -> Result<Vec<Arc<Move>>> {
        let client = self.fs.service.client(old.account);
        let protection = self.is_protection_asked().await?;
        let mut moves = Vec::new();
        let list = ListBlobs { prefix: &old.prefix, snapshots: true, protection, ..Default::default() };
        let mut pages = client.container(&old.container).pages(list);
        let mut room = Room::new(self.fs.config.memory_limit);
        while let Some(page) = pages.next().await? {
            if page.left_out > 0 {
                let what = format!("{}: below it are blobs with names that no path can have", old.prefix);
                return Err(Error::fs(libc::EINVAL, what));
            }
            for item in page.items {
                room.take(&old.prefix, item.name.as_str(), &item.properties)?;
                moves.extend(self.move_of(item, old, new)?);
            }
        }
        if let (Some(properties), Some(from), Some(to)) = (node.properties(), old.marker(), new.marker()) {
            // The target is an empty directory: its marker is replaced by the source's.
            let replaces = target.and_then(|target| Some((target.ino, target.properties()?.clone())));
            let precondition = match &replaces {
                Some((_, marker)) => Precondition::IfMatch(marker.etag.clone()),
                None => Precondition::IfAbsent,
            };
            let (properties, backup) = (properties.clone(), OnceLock::new());
            moves.push(Arc::new(Move { from: from?, to: to?, properties, precondition, replaces, backup }));
        }
        Ok(moves)
    }

    fn move_of(&self, item: BlobItem, old: &BlobDir, new: &BlobDir) -> Result<Option<Arc<Move>>> {
        if item.revision.is_some() {
            if self.fs.config.delete_snapshots {
                return Ok(None);
            }
            warn!(blob = %item.name, "it has snapshots, which would be lost: mount with --delete-snapshots to allow that");
            return Err(Error::fs(libc::EBUSY, format!("{} has snapshots", item.name)));
        }
        if item.properties.is_pending() {
            return Err(Error::copy_pending(&item.name));
        }
        refuse_protected(item.name.as_str(), &item.properties)?;
        Move::below(&item.name, old, new, Arc::new(item.properties))
    }

    /// All copies, proven; or none, and the reason.
    async fn copy_all(&self, moves: &[Arc<Move>]) -> Result<HashMap<BlobName, Arc<BlobProperties>>> {
        // After the first failure nothing new is begun; what is under way comes to its end.
        let stop = &AtomicBool::new(false);
        let results: Vec<_> = stream::iter(moves.iter().cloned())
            .take_while(|_| std::future::ready(!stop.load(Ordering::Relaxed)))
            .map(|step| async move {
                let precondition = step.precondition.clone();
                let permit = self.fs.service.client(step.to.account).permit().await;
                let copy = async {
                    refuse_archived(&step.from, &step.properties)?;
                    if let Some((ino, replaced)) = &step.replaces {
                        // Nobody else sets it: each step is taken once.
                        let _ = step.backup.set(self.fs.copies.back_up((&step.to, Some(*ino)), replaced, None).await?);
                    }
                    let (from, to, backup) = (&step.from, &step.to, step.backup.get());
                    self.copy_and_prove(from, &step.properties, to, precondition, backup).await
                };
                let copy = copy.await;
                if copy.is_ok() {
                    permit.succeeded();
                } else {
                    stop.store(true, Ordering::Relaxed);
                }
                (step, copy)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut copies = HashMap::new();
        let mut failed = None;
        for (step, copy) in results {
            match copy {
                Ok(copy) => {
                    copies.insert(step.to.path.name.clone(), copy);
                }
                Err(error) => {
                    warn!(source = %step.from.path, destination = %step.to.path, %error, "cannot move a blob of a directory");
                    failed.get_or_insert(error);
                }
            }
        }
        let Some(error) = failed else { return Ok(copies) };
        self.rollback_all(moves, &copies).await;
        Err(changed(error))
    }

    /// Deletes the copies, and brings back what they replaced.
    async fn rollback_all(&self, moves: &[Arc<Move>], copies: &HashMap<BlobName, Arc<BlobProperties>>) {
        let of_no_use: Vec<(Arc<Move>, Arc<BlobProperties>)> =
            moves.iter().filter_map(|step| Some((step.clone(), copies.get(&step.to.path.name)?.clone()))).collect();
        stream::iter(of_no_use)
            .for_each_concurrent(AT_ONCE, |(step, copy)| async move {
                match step.backup.get() {
                    None => self.fs.copies.delete_copy(&step.to, &copy.etag).await,
                    Some(backup) => self.fs.copies.restore(backup.clone(), OwnWrite::Version(copy.etag.clone())).await,
                }
            })
            .await;
    }

    /// Deletes all sources. What cannot be deleted stays beside its copy, and is reported.
    async fn delete_all(&self, moves: &[Arc<Move>]) -> Result<()> {
        let snapshots = self.fs.config.snapshots_on_delete();
        let failures: Vec<Error> = stream::iter(moves.iter().cloned())
            .map(|step| async move {
                let _permit = self.fs.service.client(step.from.account).permit().await;
                let deleted = self.delete_moved(&step.from, &step.properties.etag, snapshots).await;
                let error = match deleted {
                    Deletion::Deleted => return None,
                    Deletion::Refused(error) | Deletion::Unknown(error) => error,
                };
                error!(source = %step.from.path, copy = %step.to.path, %error, "copied, but the source could not be deleted");
                Some(error)
            })
            .buffer_unordered(AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await;
        failures.into_iter().next().map_or(Ok(()), |error| Err(changed(error)))
    }

    /// Everything below a renamed directory has new blobs, whose properties are known.
    fn update_moved(
        &self,
        dir: Ino,
        held: &mut [LockedFile<'_>],
        moves: &[Arc<Move>],
        copies: HashMap<BlobName, Arc<BlobProperties>>,
    ) {
        let name = |ino| Some(self.fs.tree.place(ino).ok()?.blob_or_marker()?.ok()?.path.name);
        if let Some(copy) = name(dir).and_then(|name| copies.get(&name)) {
            self.fs.tree.update(dir, NodeProperties::Blob(copy.clone()));
        }
        let moved: HashMap<&BlobName, &ETag> =
            moves.iter().map(|step| (&step.to.path.name, &step.properties.etag)).collect();
        let index: HashMap<u64, usize> = held.iter().enumerate().map(|(i, held)| (held.locked.ino().0, i)).collect();
        for node in self.fs.tree.descendants(dir) {
            match name(node.ino).and_then(|name| Some((copies.get(&name)?, name))) {
                Some((copy, name)) => match index.get(&node.ino.0) {
                    Some(&i) => {
                        let stood_on = moved.get(&name).copied().unwrap_or(&copy.etag);
                        self.record_properties(&mut held[i..=i], node.ino, stood_on, copy.clone());
                    }
                    None => self.fs.tree.update(node.ino, NodeProperties::Blob(copy.clone())),
                },
                None if node.kind != FileKind::Directory && node.properties().is_some() => {
                    self.fs.tree.invalidate(node.ino)
                }
                None => {}
            }
        }
    }
}
