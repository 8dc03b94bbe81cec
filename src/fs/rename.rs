//! Rename: copy, proof, delete (M3, §13.14).
//!
//! A flat account has no rename. A file is copied by the service, the copy is proven (our id, status `success`, the source's ETag as
//! the condition on both requests), and only then is the source deleted. Whatever ends otherwise leaves the source in place, takes the
//! copy away again where it did not replace anything, and is reported.
//!
//! A directory is every blob below it and its markers: all are copied, many at a time, and all copies are proven before the first
//! source is deleted, so that a failure on the way leaves the tree whole. It is not atomic for onlookers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use tokio::sync::OwnedMutexGuard;
use tracing::{debug, error, warn};

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::attr::{FileKind, Ino};
use crate::fs::caller::Caller;
use crate::fs::copy::Start;
use crate::fs::file::is_pending;
use crate::fs::handle::{Content, Handles, OpenFile, State};
use crate::fs::tree::{Blob, BlobDir, Heard, NodeView, Place};
use crate::path::BlobName;
use crate::store::{BlobItem, BlobProperties, CopyId, CopyStatus, DeleteSnapshots, ETag, ListBlobs, Precondition};

/// Copies and deletes at once in the rename of a directory.
const AT_ONCE: usize = 32;

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
pub type Name<'a> = (Ino, &'a str);

impl Fs {
    /// rename(2). EXDEV between accounts, so that mv copies and removes.
    pub async fn rename(
        self: &Arc<Self>,
        from: Name<'_>,
        to: Name<'_>,
        mode: RenameMode,
        caller: Caller,
    ) -> Result<()> {
        let source = self.resolve(from.0, from.1).await?;
        let target = match self.resolve(to.0, to.1).await {
            Ok(target) if mode == RenameMode::NoReplace && target.ino != source.ino => {
                return Err(exists(to.1));
            }
            Ok(target) => Some(target),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        if target.as_ref().is_some_and(|target| target.ino == source.ino) {
            return Ok(());
        }
        for ino in [from.0, to.0, source.ino].into_iter().chain(target.iter().map(|target| target.ino)) {
            self.tree.refuse_past(ino)?;
        }
        let across = |what: &str| Error::fs(libc::EXDEV, format!("{what} cannot be renamed, only copied"));
        let (Place::Directory(old_dir), Ok(Place::Directory(new_dir))) =
            (self.tree.place(from.0)?, self.tree.place(to.0))
        else {
            return Err(across("containers and accounts"));
        };
        if old_dir.account != new_dir.account {
            return Err(across("files between accounts"));
        }
        let target_kind = target.as_ref().map(|target| target.kind);
        match (source.kind, target_kind) {
            (FileKind::Directory, None | Some(FileKind::Directory)) => {
                self.rename_dir(from, &source, to, &new_dir, target.as_ref(), caller).await?;
            }
            (FileKind::Directory, Some(_)) => return Err(Error::fs(libc::ENOTDIR, format!("{} is a file", to.1))),
            (_, Some(FileKind::Directory)) => return Err(Error::fs(libc::EISDIR, format!("{} is a directory", to.1))),
            _ => self.rename_file(from, &source, to, &new_dir, target, mode, caller).await?,
        }
        self.keep_alive(from.0, from.1).await;
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    async fn rename_file(
        self: &Arc<Self>,
        from: Name<'_>,
        source: &NodeView,
        to: Name<'_>,
        new_dir: &BlobDir,
        target: Option<NodeView>,
        mode: RenameMode,
        caller: Caller,
    ) -> Result<()> {
        let mut held = Vec::new();
        self.hold(&mut held, vec![source.ino]).await?;
        let mut target = target;
        // Once more if somebody was faster: names have no handle that could be stale.
        for last_try in [false, true] {
            let source = self.resolve(from.0, from.1).await?;
            match self.move_blob(&source, new_dir.blob(to.1)?, target.as_ref(), mode, caller).await {
                Ok(properties) => {
                    self.tree.rename(from.0, from.1, to.0, to.1);
                    let stood_on =
                        source.properties().map_or_else(|| properties.etag.clone(), |moved| moved.etag.clone());
                    self.tell(&mut held, source.ino, &stood_on, properties);
                    return Ok(());
                }
                Err(error) if error.code() == "BlobAlreadyExists" && mode == RenameMode::NoReplace => {
                    return Err(exists(to.1));
                }
                Err(error) if error.is_precondition_failed() && !last_try => {
                    self.tree.doubt(source.ino);
                    target = match self.resolve(to.0, to.1).await {
                        Ok(_) if mode == RenameMode::NoReplace => return Err(exists(to.1)),
                        Ok(target) => {
                            self.tree.doubt(target.ino);
                            Some(self.resolve(to.0, to.1).await?)
                        }
                        Err(error) if error.is_not_found() => None,
                        Err(error) => return Err(error),
                    };
                }
                Err(error) if error.is_precondition_failed() => {
                    return Err(Error::fs(libc::EBUSY, format!("{}: changed while it was renamed: {error}", from.1)));
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
    async fn hold<'a>(self: &'a Arc<Self>, held: &mut Vec<Held<'a>>, mut files: Vec<Ino>) -> Result<()> {
        let first = held.len();
        files.sort_unstable_by_key(|ino| ino.0);
        for ino in files {
            let file = self.handles.acquire(ino);
            let state = match file.state.clone().try_lock_owned() {
                Ok(state) => Some(state),
                // In one order, so that two renames do not wait for each other; what comes on top may not wait for long.
                Err(_) if first == 0 => Some(file.state.clone().lock_owned().await),
                Err(_) => tokio::time::timeout(LATE, file.state.clone().lock_owned()).await.ok(),
            };
            match state {
                Some(state) => held.push(Held { handles: &self.handles, file, state }),
                None => {
                    tokio::spawn(self.clone().let_go_later(file));
                    return Err(Error::fs(libc::EBUSY, "a file was in use while its directory was renamed"));
                }
            }
        }
        if held[first..].iter().any(|held| matches!(held.state.content, Content::Copying(_))) {
            return Err(Error::fs(libc::EBUSY, "a copy onto it is pending"));
        }
        for Held { file, state, .. } in &mut held[first..] {
            self.commit(file, state).await?;
        }
        Ok(())
    }

    /// Whoever closes the file meanwhile does not take himself for the last, and leaves to us what that one does.
    async fn let_go_later(self: Arc<Self>, file: Arc<OpenFile>) {
        let mut state = file.state.lock().await;
        if self.handles.is_last(file.ino)
            && let Err(error) = self.commit(&file, &mut state).await
        {
            error!(%error, "what was written last could not be stored");
        }
        self.handles.done(file.ino);
    }

    /// The blob of a node has a new name and so new properties; whoever has it open learns them.
    fn tell(&self, held: &mut [Held<'_>], ino: Ino, stood_on: &ETag, properties: Arc<BlobProperties>) {
        match held.iter_mut().find(|held| held.file.ino == ino) {
            Some(Held { file, state, .. }) => self.settle_on(file, state, stood_on, properties),
            None => self.tree.learn(ino, Heard::Blob(properties)),
        }
    }

    /// Copies a blob to its new name, proves the copy, deletes the source.
    async fn move_blob(
        self: &Arc<Self>,
        source: &NodeView,
        destination: Blob,
        target: Option<&NodeView>,
        mode: RenameMode,
        caller: Caller,
    ) -> Result<Arc<BlobProperties>> {
        let Some(properties) = source.properties().cloned() else {
            return Err(Error::fs(libc::EBUSY, format!("{} is not in the service yet", source.name)));
        };
        if is_pending(source) || target.is_some_and(is_pending) {
            return Err(Error::fs(libc::EBUSY, format!("{}: a copy is pending", source.name)));
        }
        let blob = self.tree.blob(source.ino)?;
        let replaces = target.and_then(NodeView::properties);
        if replaces.is_some() {
            // What is replaced cannot be brought back, so a delete that would be refused must be known before.
            self.refuse_snapshots(&blob).await?;
        }
        let precondition = match (mode, replaces) {
            (RenameMode::Replace, Some(replaced)) => Precondition::IfMatch(replaced.etag.clone()),
            // Whatever is believed of the target: the service decides.
            (RenameMode::NoReplace, _) | (_, None) => Precondition::IfAbsent,
        };
        let undo = precondition == Precondition::IfAbsent;
        let copy = self.copy_and_prove(&blob, &properties, &destination, precondition, undo, caller).await?;
        let error = match self.delete_moved(&blob, &properties.etag, self.snapshots_on_delete()).await {
            Deletion::Deleted => return Ok(copy),
            Deletion::Refused(error) if undo => {
                self.take_back(&destination, &copy.etag).await;
                error
            }
            Deletion::Refused(error) => {
                error!(source = %blob.path, destination = %destination.path, %error,
                       "renamed onto an existing blob, but the source could not be deleted: both have the content");
                error
            }
            Deletion::Unknown(error) => {
                error!(source = %blob.path, destination = %destination.path, %error,
                       "copied, but whether the source was deleted is not known: the copy stays");
                self.tree.doubt(source.ino);
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

    async fn refuse_snapshots(&self, blob: &Blob) -> Result<()> {
        if self.config.delete_snapshots {
            return Ok(());
        }
        let client = self.client(blob.account);
        let mut marker: Option<String> = None;
        // The blob's own rows come first, but a page may be short or empty and yet not be the last (§7).
        loop {
            let list = ListBlobs {
                prefix: blob.path.name.as_str(),
                marker: marker.as_deref(),
                snapshots: true,
                max_results: Some(2),
                ..Default::default()
            };
            let page = client.list_blobs(&blob.path.container, &list).await?;
            let (own, others): (Vec<_>, Vec<_>) = page.items.iter().partition(|item| item.name == blob.path.name);
            if own.iter().any(|item| item.revision.is_some()) {
                warn!(blob = %blob.path, "it has snapshots, which would be lost: mount with --delete-snapshots to allow that");
                return Err(Error::fs(libc::EBUSY, format!("{} has snapshots", blob.path)));
            }
            marker = page.next;
            if marker.is_none() || !others.is_empty() {
                return Ok(());
            }
        }
    }

    /// The proven copy. When it ends otherwise and had `undo`, nothing of it is left.
    async fn copy_and_prove(
        self: &Arc<Self>,
        source: &Blob,
        version: &Arc<BlobProperties>,
        destination: &Blob,
        precondition: Precondition,
        undo: bool,
        caller: Caller,
    ) -> Result<Arc<BlobProperties>> {
        if version.is_archived() {
            // It would take hours, and end in another tier (X21).
            let what = format!("{}: it is archived, and cannot be copied before it is brought back", source.path);
            return Err(Error::fs(libc::ENODATA, what));
        }
        let start = Start {
            source: self.source_url(source, None, destination)?,
            version: Some(version.clone()),
            destination: destination.clone(),
            precondition,
            metadata: None,
            // The name changes, the blob does not: what a copy leaves behind is given to it (X4, §13.2.7).
            tier: version.chosen_tier(),
            tags: self.tags_to_keep(source, version).await?,
            seal: version.sealed,
        };
        let job = self.start_copy(start).await?;
        let ended = self.wait_for_copy(&job, caller).await;
        let failed = match ended {
            Ok(copy) if copy.size == version.size => return Ok(copy),
            Ok(copy) => Error::fs(
                libc::EIO,
                format!("{}: the copy has {} bytes, the source {}", destination.path, copy.size, version.size),
            ),
            Err(error) => error,
        };
        if undo {
            self.undo_copy(destination, &job.id).await;
        } else if failed.errno() == libc::EINTR
            && let Err(error) = self.abort_copy(destination, Some(&job.id)).await
        {
            debug!(destination = %destination.path, id = %job.id, %error, "no copy to abort");
        }
        Err(failed)
    }

    /// Leaves nothing of a copy onto a new name, whatever has become of it: one that is pending is aborted first. A destination that
    /// shows another id is somebody else's by now.
    async fn undo_copy(&self, destination: &Blob, id: &CopyId) {
        let client = self.client(destination.account);
        for aborted in [false, true] {
            let found = match client.blob_properties(&destination.path, None).await {
                Ok(found) => found,
                Err(error) if error.is_not_found() => return,
                Err(error) => {
                    warn!(destination = %destination.path, %id, %error, "cannot look at it after a failed rename");
                    return;
                }
            };
            match &found.copy {
                Some(copy) if copy.id == *id && copy.status != CopyStatus::Pending => {
                    return self.take_back(destination, &found.etag).await;
                }
                Some(copy) if copy.id == *id && !aborted => {
                    // It may end before the abort arrives; the second look tells.
                    if let Err(error) = client.abort_copy(&destination.path, id, None).await {
                        debug!(destination = %destination.path, %id, %error, "cannot abort a copy");
                    }
                }
                _ => break,
            }
        }
        warn!(destination = %destination.path, %id, "left as it is after a failed rename");
    }

    /// Deletes a copy that is of no use any more.
    async fn take_back(&self, copy: &Blob, etag: &ETag) {
        let precondition = Precondition::IfMatch(etag.clone());
        let client = self.client(copy.account);
        if let Err(error) = client.delete_blob(&copy.path, None, DeleteSnapshots::Refuse, &precondition, None).await {
            warn!(blob = %copy.path, %error, "a copy made for a failed rename could not be removed");
        }
    }

    /// Deletes the source of a proven copy.
    async fn delete_moved(&self, source: &Blob, etag: &ETag, snapshots: DeleteSnapshots) -> Deletion {
        let client = self.client(source.account);
        let precondition = Precondition::IfMatch(etag.clone());
        let error = match client.delete_blob(&source.path, None, snapshots, &precondition, None).await {
            Ok(()) => return Deletion::Deleted,
            // Somebody else deleted it, which is what was wanted.
            Err(error) if error.is_not_found() => return Deletion::Deleted,
            // Another version is there, and no try before was lost: the client would have said so.
            Err(error) if error.is_precondition_failed() => return Deletion::Refused(error),
            Err(error) => error,
        };
        // After a time-out or a 5xx it may be gone all the same, now or in a moment. A refusal may follow a try that was not answered.
        let refused = (400..500).contains(&error.status()) && error.status() != 408;
        match client.blob_properties(&source.path, None).await {
            Err(look) if look.is_not_found() => Deletion::Deleted,
            Ok(found) if refused && found.etag == *etag => Deletion::Refused(error),
            _ => Deletion::Unknown(error),
        }
    }

    async fn rename_dir(
        self: &Arc<Self>,
        from: Name<'_>,
        source: &NodeView,
        to: Name<'_>,
        new_parent: &BlobDir,
        target: Option<&NodeView>,
        caller: Caller,
    ) -> Result<()> {
        let old = match self.tree.place(source.ino)? {
            Place::Directory(dir) => dir,
            _ => return Err(Error::fs(libc::EXDEV, "accounts cannot be renamed")),
        };
        let new = new_parent.subdirectory(to.1);
        if new.container == old.container && new.prefix.starts_with(&old.prefix) {
            return Err(Error::fs(libc::EINVAL, format!("{} is below {}", new.prefix, old.prefix)));
        }
        if let Some(target) = target {
            self.refuse_unless_empty(target, &new).await?;
        }
        let mut held = Vec::new();
        let files = self.not_held(source.ino, &held);
        self.hold(&mut held, files).await?;
        let began = Instant::now();
        let mut moves = self.moves(&old, source, &new, target).await?;
        let mut copies = self.copy_all(&moves, caller).await?;
        // What came into being meanwhile comes along. From the last look to the new name nothing is waited for, so nothing can slip through.
        loop {
            let late = async {
                let files = self.not_held(source.ino, &held);
                let none = files.is_empty();
                self.hold(&mut held, files).await?;
                let late = self.late_moves(source.ino, &old, &new, &moves, began)?;
                if none && late.is_empty() {
                    return Ok(None);
                }
                let copied = self.copy_all(&late, caller).await?;
                Ok(Some((late, copied)))
            };
            match late.await {
                Ok(None) => break,
                Ok(Some((late, copied))) => {
                    moves.extend(late);
                    copies.extend(copied);
                }
                Err(error) => {
                    self.take_all_back(&moves, &copies).await;
                    return Err(error);
                }
            }
        }
        // The copies are what counts from here on. A source that cannot be deleted stays beside its copy.
        self.tree.rename(from.0, from.1, to.0, to.1);
        self.learn_moved(source.ino, &mut held, &moves, copies);
        drop(held);
        self.delete_all(&moves).await
    }

    /// Files below a directory that [`Fs::hold`] has not seen yet.
    fn not_held(&self, dir: Ino, held: &[Held<'_>]) -> Vec<Ino> {
        let known: HashSet<u64> = held.iter().map(|held| held.file.ino.0).collect();
        let below = self.tree.descendants(dir).into_iter();
        below.filter(|node| node.kind != FileKind::Directory && !known.contains(&node.ino.0)).map(|n| n.ino).collect()
    }

    /// What this mount has made below a directory since `began`, and `moves` has not. EBUSY if something that was copied has changed.
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
        for node in self.tree.descendants(dir) {
            let Some(properties) = node.properties().filter(|_| node.known.at >= began) else { continue };
            let from = match self.tree.place(node.ino) {
                Ok(Place::Blob(blob)) => blob,
                Ok(Place::Directory(place)) => match place.marker() {
                    Some(marker) => marker?,
                    None => continue,
                },
                _ => continue,
            };
            match moved.get(&from.path.name) {
                Some(etag) if **etag == properties.etag => {}
                Some(_) => {
                    return Err(Error::fs(libc::EBUSY, format!("{} was changed while it was renamed", from.path)));
                }
                None => {
                    let Some(rest) = from.path.name.as_str().strip_prefix(&old.prefix) else { continue };
                    let name = BlobName::parse(&format!("{}{rest}", new.prefix))?;
                    let path = crate::path::BlobPath::new(new.container.clone(), name);
                    late.push(Arc::new(Move {
                        to: Blob { account: new.account, path },
                        from,
                        properties: properties.clone(),
                        precondition: Precondition::IfAbsent,
                    }));
                }
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
        let client = self.client(old.account);
        let mut moves = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let list =
                ListBlobs { prefix: &old.prefix, marker: marker.as_deref(), snapshots: true, ..Default::default() };
            let page = client.list_blobs(&old.container, &list).await?;
            for item in page.items {
                moves.extend(self.move_of(item, old, new)?);
            }
            marker = page.next;
            if marker.is_none() {
                break;
            }
        }
        if let (Some(properties), Some(from), Some(to)) = (node.properties(), old.marker(), new.marker()) {
            // The target is an empty directory: its marker is replaced by the source's.
            let precondition = match target.and_then(NodeView::properties) {
                Some(marker) => Precondition::IfMatch(marker.etag.clone()),
                None => Precondition::IfAbsent,
            };
            moves.push(Arc::new(Move { from: from?, to: to?, properties: properties.clone(), precondition }));
        }
        Ok(moves)
    }

    fn move_of(&self, item: BlobItem, old: &BlobDir, new: &BlobDir) -> Result<Option<Arc<Move>>> {
        let blob = |dir: &BlobDir, name: BlobName| Blob {
            account: dir.account,
            path: crate::path::BlobPath::new(dir.container.clone(), name),
        };
        if item.revision.is_some() {
            if self.config.delete_snapshots {
                return Ok(None);
            }
            warn!(blob = %item.name, "it has snapshots, which would be lost: mount with --delete-snapshots to allow that");
            return Err(Error::fs(libc::EBUSY, format!("{} has snapshots", item.name)));
        }
        if item.properties.copy.as_ref().is_some_and(|copy| copy.status == CopyStatus::Pending) {
            return Err(Error::fs(libc::EBUSY, format!("{}: a copy onto it is pending", item.name)));
        }
        let Some(rest) = item.name.as_str().strip_prefix(&old.prefix) else { return Ok(None) };
        let name = BlobName::parse(&format!("{}{rest}", new.prefix))?;
        Ok(Some(Arc::new(Move {
            from: blob(old, item.name.clone()),
            to: blob(new, name),
            properties: Arc::new(item.properties),
            precondition: Precondition::IfAbsent,
        })))
    }

    /// All copies, proven; or none, and the reason.
    async fn copy_all(
        self: &Arc<Self>,
        moves: &[Arc<Move>],
        caller: Caller,
    ) -> Result<HashMap<BlobName, Arc<BlobProperties>>> {
        // After the first failure nothing new is begun; what is under way comes to its end.
        let stop = &AtomicBool::new(false);
        let results: Vec<_> = stream::iter(moves.iter().cloned())
            .take_while(|_| std::future::ready(!stop.load(Ordering::Relaxed)))
            .map(|step| async move {
                let undo = step.precondition == Precondition::IfAbsent;
                let precondition = step.precondition.clone();
                let copy =
                    self.copy_and_prove(&step.from, &step.properties, &step.to, precondition, undo, caller).await;
                if copy.is_err() {
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
        self.take_all_back(moves, &copies).await;
        Err(match error {
            error if error.is_precondition_failed() => {
                Error::fs(libc::EBUSY, format!("changed while it was renamed: {error}"))
            }
            error => error,
        })
    }

    /// Deletes the copies that replaced nothing.
    async fn take_all_back(&self, moves: &[Arc<Move>], copies: &HashMap<BlobName, Arc<BlobProperties>>) {
        let of_no_use: Vec<(Arc<Move>, Arc<BlobProperties>)> = moves
            .iter()
            .filter(|step| step.precondition == Precondition::IfAbsent)
            .filter_map(|step| Some((step.clone(), copies.get(&step.to.path.name)?.clone())))
            .collect();
        stream::iter(of_no_use)
            .for_each_concurrent(AT_ONCE, |(step, copy)| async move { self.take_back(&step.to, &copy.etag).await })
            .await;
    }

    /// Deletes all sources. What cannot be deleted stays beside its copy, and is reported.
    async fn delete_all(&self, moves: &[Arc<Move>]) -> Result<()> {
        let snapshots = self.snapshots_on_delete();
        let failures: Vec<Error> = stream::iter(moves.iter().cloned())
            .map(|step| async move {
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
        match failures.into_iter().next() {
            None => Ok(()),
            Some(error) if error.is_precondition_failed() => {
                Err(Error::fs(libc::EBUSY, format!("changed while it was renamed: {error}")))
            }
            Some(error) => Err(error),
        }
    }

    /// Everything below a renamed directory has new blobs, whose properties are known.
    fn learn_moved(
        &self,
        dir: Ino,
        held: &mut [Held<'_>],
        moves: &[Arc<Move>],
        copies: HashMap<BlobName, Arc<BlobProperties>>,
    ) {
        let marker = match self.tree.place(dir) {
            Ok(Place::Directory(place)) => place.marker().and_then(Result::ok),
            _ => None,
        };
        if let Some(copy) = marker.and_then(|marker| copies.get(&marker.path.name)) {
            self.tree.learn(dir, Heard::Blob(copy.clone()));
        }
        let moved: HashMap<&BlobName, &ETag> =
            moves.iter().map(|step| (&step.to.path.name, &step.properties.etag)).collect();
        let index: HashMap<u64, usize> = held.iter().enumerate().map(|(i, held)| (held.file.ino.0, i)).collect();
        for node in self.tree.descendants(dir) {
            let name = match self.tree.place(node.ino) {
                Ok(Place::Blob(blob)) => Some(blob.path.name),
                Ok(Place::Directory(place)) => place.marker().and_then(Result::ok).map(|marker| marker.path.name),
                _ => None,
            };
            match name.as_ref().and_then(|name| Some((name, copies.get(name)?))) {
                Some((name, copy)) => match index.get(&node.ino.0) {
                    Some(&i) => {
                        let stood_on = moved.get(name).copied().unwrap_or(&copy.etag);
                        self.tell(&mut held[i..=i], node.ino, stood_on, copy.clone());
                    }
                    None => self.tree.learn(node.ino, Heard::Blob(copy.clone())),
                },
                None if node.kind != FileKind::Directory && node.properties().is_some() => self.tree.doubt(node.ino),
                None => {}
            }
        }
    }
}

/// A file that nobody writes, opens or closes while it gets another name.
struct Held<'a> {
    handles: &'a Handles,
    file: Arc<OpenFile>,
    state: OwnedMutexGuard<State>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Under the lock, as all who leave.
        self.handles.done(self.file.ino);
    }
}

fn exists(name: &str) -> Error {
    Error::fs(libc::EEXIST, format!("{name} exists"))
}

/// How the delete of a source ended.
enum Deletion {
    Deleted,
    /// The service refused, and the source is still there: the copy may be taken back.
    Refused(Error),
    /// The source may be gone, and then the copy is all there is.
    Unknown(Error),
}

/// A blob of a directory that is renamed.
struct Move {
    from: Blob,
    to: Blob,
    properties: Arc<BlobProperties>,
    precondition: Precondition,
}
