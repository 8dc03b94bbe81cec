//! Names: looking them up, making and removing them; `list` lists them, page by page (`stream`).
//!
//! A directory exists because a blob's name goes through it (implicit), because a marker blob says so (`hdi_isfolder=true`, written
//! by mkdir here, by blobfuse2 and by Hadoop), or both; a blob `dir/` with a slash at its end is a marker of other tools. Where a
//! plain blob has the name of a directory, the directory wins and the blob cannot be reached through the mount.
//!
//! An unknown name costs a HEAD and a one-entry LIST, side by side. A listing in hand answers for all its names, also for those that
//! are not in it, as long as it is fresh; where many names are looked up, one is made for them (`lookups`).

use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, warn};

mod list;

use crate::error::{Error, OptionalExtension, Result};
use crate::fs::Fs;
use crate::fs::names::attr::{self, Attr, AttrChange, Creation, FileKind, Ino};
use crate::fs::names::tree::{Blob, BlobDir, Heard, Known, Listed, NodeView, Origin, PastPlace, Place, read_only};
use crate::fs::ops::coherence::disproves;
use crate::path::ContainerName;
use crate::store::{
    BlobItem, BlobProperties, BlobSettings, ContainerItem, DeleteOptions, DeleteSnapshots, ETag, ListBlobs, Metadata,
    Precondition, ReadOptions, Written,
};

/// PATH_MAX: a longer target could not be followed.
const LONGEST_TARGET: u64 = 4096;

impl Fs {
    /// Looks up a name and gives the kernel a reference to it.
    pub async fn lookup(&self, parent: Ino, name: &str) -> Result<Attr> {
        loop {
            let view = self.resolve(parent, name).await?;
            // The kernel may have given back its last reference to the node in this moment: then it is entered anew.
            if self.tree.looked_up(view.ino) {
                return Ok(self.attr_of(&view));
            }
        }
    }

    /// The node of a name, as fresh as a lookup has to be. ENOENT if there is none.
    pub(in crate::fs) async fn resolve(&self, parent: Ino, name: &str) -> Result<NodeView> {
        let known = self.tree.child(parent, name);
        if let Some(view) = &known
            && (view.known.age() < self.trust(view.kind) || self.is_ahead(view.ino))
        {
            return Ok(view.clone());
        }
        match self.listed(parent, name).await? {
            Listed::Present(entry) => {
                self.note_real(parent, name)?;
                let anchor = self.anchor_of(parent, name)?;
                return self.tree.enter_listed(parent, &entry, anchor);
            }
            Listed::Absent => {
                if let Some(past) = self.past_in(parent, name)? {
                    return self.tree.enter_past(parent, past);
                }
                self.tree.vanish(parent, name, Instant::now());
                return Err(self.not_there(parent, name));
            }
            Listed::Unknown => {}
        }
        let asked = Instant::now();
        let answer = match self.tree.place(parent)? {
            Place::Accounts => self.account_named(name).map(|_| (FileKind::Directory, Heard::Nothing)),
            Place::Account(id) => {
                let container = self.container_named(id, name)?;
                let item = self.client(id).container(&container).properties().await.optional()?;
                item.map(|item| (FileKind::Directory, Heard::Container(Arc::new(item))))
            }
            Place::Directory(dir) => self.ask(&dir, name, known.as_ref()).await?,
            Place::Past(place) => self.ask_past(&place, name).await?,
            Place::Blob(blob) => return Err(Error::fs(libc::ENOTDIR, format!("{} is not a directory", blob.path))),
        };
        if let Some(view) = self.tree.child(parent, name) {
            let taken_in = match &answer {
                Some((kind, Heard::Blob(properties))) if *kind == view.kind => {
                    self.is_taken_in_otherwise(view.ino, properties, asked)
                }
                // What was written here in the meantime is newer than the answer.
                _ => self.is_ahead(view.ino) || self.is_copied_to(view.ino),
            };
            if taken_in {
                return self.tree.view(view.ino);
            }
        }
        match answer {
            Some((kind, heard)) => {
                self.note_real(parent, name)?;
                let anchor = self.anchor_of(parent, name)?;
                self.tree.enter(parent, name, kind, Known { heard, at: asked }, anchor)
            }
            None => match self.past_in(parent, name)? {
                Some(past) => self.tree.enter_past(parent, past),
                None => {
                    self.tree.remember_absence(parent, name, asked);
                    Err(no_such(name))
                }
            },
        }
    }

    /// What is listed of a name. If too many names of the directory would have to be asked for, it is listed now.
    async fn listed(&self, parent: Ino, name: &str) -> Result<Listed> {
        let listed = self.tree.listed(parent, name);
        if !matches!(listed, Listed::Unknown) {
            self.lookups.answered(parent);
        } else if matches!(self.tree.place(parent)?, Place::Directory(_))
            && let Some(turn) = self.lookups.ask(parent)
        {
            self.list_for_lookups(parent, turn).await;
            return Ok(self.tree.listed(parent, name));
        }
        Ok(listed)
    }

    /// The error for a name that is not there, or that the service cannot hold.
    fn not_there(&self, parent: Ino, name: &str) -> Error {
        match self.tree.place(parent) {
            Ok(Place::Directory(dir)) => {
                dir.blob(name).map_or_else(|error| only_too_long(error, name), |_| no_such(name))
            }
            _ => no_such(name),
        }
    }

    fn account_named(&self, name: &str) -> Option<crate::fs::names::tree::AccountId> {
        let accounts = &self.config.accounts;
        accounts.iter().position(|a| a.client.account().as_str() == name).map(crate::fs::names::tree::AccountId)
    }

    fn container_named(&self, id: crate::fs::names::tree::AccountId, name: &str) -> Result<ContainerName> {
        // A name that no container can have is simply not there.
        let container = ContainerName::parse(name).map_err(|_| no_such(name))?;
        match &self.config.accounts[id.0].only {
            Some(only) if !only.contains(&container) => Err(no_such(name)),
            _ => Ok(container),
        }
    }

    /// The place of an account or container; everything else follows from its parent's.
    fn anchor_of(&self, parent: Ino, name: &str) -> Result<Option<Place>> {
        Ok(match self.tree.place(parent)? {
            Place::Accounts => self.account_named(name).map(Place::Account),
            Place::Account(account) => {
                let container = self.container_named(account, name)?;
                Some(Place::Directory(BlobDir { account, container, prefix: String::new() }))
            }
            _ => None,
        })
    }

    /// Asks the service what a name in a directory is.
    async fn ask(&self, dir: &BlobDir, name: &str, known: Option<&NodeView>) -> Result<Option<(FileKind, Heard)>> {
        let blob = dir.blob(name).map_err(|error| only_too_long(error, name))?;
        let head = async {
            match self.blob(&blob).properties().await {
                Err(error) if error.code() == "ContainerNotFound" => Err(error),
                found => found.optional(),
            }
        };
        let below =
            async { Ok::<_, Error>(self.first_below(&dir.subdirectory(name), 1, Unseen::Ignored).await?.count() > 0) };
        if known.is_some_and(|view| view.kind != FileKind::Directory) {
            // It was a file a moment ago, and almost always is one still.
            if let Some(properties) = head.await? {
                return Ok(Some((attr::kind_of(&properties), Heard::Blob(Arc::new(properties)))));
            }
            return Ok(below.await?.then_some((FileKind::Directory, Heard::Nothing)));
        }
        let (head, below) = tokio::try_join!(head, below)?;
        Ok(match (head, below) {
            (Some(properties), below) => {
                let kind = attr::kind_of(&properties);
                if below && kind != FileKind::Directory {
                    warn!(blob = %blob.path, "a blob has the name of a directory: it is hidden by the directory");
                    Some((FileKind::Directory, Heard::Nothing))
                } else {
                    Some((kind, Heard::Blob(Arc::new(properties))))
                }
            }
            (None, true) => Some((FileKind::Directory, Heard::Nothing)),
            (None, false) => None,
        })
    }

    /// The first `count` blobs below a directory.
    async fn first_below(&self, dir: &BlobDir, count: u32, unseen: Unseen) -> Result<Below> {
        let client = self.client(dir.account);
        let mut marker: Option<String> = None;
        let mut below = Below::default();
        loop {
            let list = ListBlobs {
                prefix: &dir.prefix,
                marker: marker.as_deref(),
                max_results: Some(count),
                snapshots: unseen == Unseen::Included,
                uncommitted: unseen == Unseen::Included,
                ..Default::default()
            };
            let page = client.container(&dir.container).list_blobs(&list).await?;
            below.items.extend(page.items);
            below.left_out += page.left_out;
            marker = page.next;
            if below.count() >= count as usize || marker.is_none() {
                return Ok(below);
            }
        }
    }

    /// mkdir(2): a marker blob, or at an account's root a container.
    pub async fn make_dir(&self, parent: Ino, name: &str, creation: Creation) -> Result<Attr> {
        let empty_since = self.tree.absent_since(parent, name);
        let (heard, anchor) = match self.tree.place(parent)? {
            Place::Accounts => return Err(Error::fs(libc::EPERM, "accounts cannot be made here")),
            Place::Account(account) => {
                let container = ContainerName::parse(name)?;
                let mut metadata = Metadata::default();
                let change = self.attributes_of_new(parent, FileKind::Directory, creation)?;
                change.apply(FileKind::Directory, &mut metadata, &self.config.defaults);
                let Written { etag, last_modified } =
                    self.client(account).container(&container).create(&metadata).await?;
                let item = ContainerItem { name: container.clone(), last_modified, etag, metadata };
                let place = Place::Directory(BlobDir { account, container, prefix: String::new() });
                (Heard::Container(Arc::new(item)), Some(place))
            }
            Place::Directory(dir) => {
                let change = self.attributes_of_new(parent, FileKind::Directory, creation)?;
                let marker = self.put_marker(&dir.blob(name)?, &change, &Precondition::IfAbsent).await?;
                (Heard::Blob(marker), None)
            }
            Place::Blob(_) => return Err(Error::fs(libc::ENOTDIR, "not a directory")),
            Place::Past(_) => return Err(read_only()),
        };
        let view = self.tree.enter(parent, name, FileKind::Directory, known(heard), anchor)?;
        self.tree.touch(parent);
        // Nobody knows the new node yet, so it is there.
        let _ = self.tree.looked_up(view.ino);
        if let Some(since) = empty_since {
            self.listed_empty(view.ino, since);
        }
        Ok(self.attr_of(&view))
    }

    pub(in crate::fs) async fn put_marker(
        &self,
        marker: &Blob,
        change: &AttrChange,
        precondition: &Precondition,
    ) -> Result<Arc<BlobProperties>> {
        let mut metadata = attr::kind_metadata(FileKind::Directory, 0);
        change.apply(FileKind::Directory, &mut metadata, &self.config.defaults);
        let settings = BlobSettings { metadata, ..Default::default() };
        let written = self.blob(marker).block_blob().upload("", &settings, &precondition.clone().into()).await?;
        Ok(Arc::new(attr::just_written(0, settings, written)))
    }

    /// chmod, chown and utimens of a directory without a marker: it gets one to keep them.
    pub(in crate::fs) async fn attribute_directory(&self, view: &NodeView, change: AttrChange) -> Result<()> {
        self.tree.refuse_past(view.ino)?;
        let Place::Directory(dir) = self.tree.place(view.ino)? else {
            return Err(Error::fs(libc::EPERM, "accounts have no mode, owner or time to set"));
        };
        let Some(marker) = dir.marker() else { return self.attribute_container(view, &dir, change).await };
        let properties = self.put_marker(&marker?, &change, &Precondition::IfAbsent).await?;
        self.tree.learn(view.ino, Heard::Blob(properties));
        Ok(())
    }

    /// The same of a container, in its metadata. The service knows no condition for that but a time, so they are asked for right before.
    async fn attribute_container(&self, view: &NodeView, dir: &BlobDir, change: AttrChange) -> Result<()> {
        let client = self.client(dir.account);
        let mut item = client.container(&dir.container).properties().await?;
        let mut now = attr::of_container(view.ino, &item, &self.config.defaults);
        if let Some(touched) = view.touched {
            now.touch(touched);
        }
        change.apply_to(&now, &mut item.metadata, &self.config.defaults);
        let written = client.container(&dir.container).set_metadata(&item.metadata).await?;
        (item.etag, item.last_modified) = (written.etag, written.last_modified);
        self.tree.learn(view.ino, Heard::Container(Arc::new(item)));
        Ok(())
    }

    /// What is kept of the directory that is mounted. Nobody looks it up, so it is asked for once; who may not ask is content with the
    /// mount's own modes.
    pub(in crate::fs) async fn ask_root(&self) {
        let Ok(Place::Directory(dir)) = self.tree.place(Ino::ROOT) else { return };
        let (client, asked) = (self.client(dir.account), Instant::now());
        let heard = match dir.marker() {
            None => client.container(&dir.container).properties().await.map(|item| Heard::Container(Arc::new(item))),
            Some(Ok(marker)) => match client.blob(&marker.path).properties().await {
                Ok(properties) if attr::kind_of(&properties) == FileKind::Directory => {
                    Ok(Heard::Blob(Arc::new(properties)))
                }
                Ok(_) => return,
                Err(error) => Err(error),
            },
            Some(Err(_)) => return,
        };
        match heard {
            Ok(heard) => self.tree.hear(Ino::ROOT, heard, asked),
            Err(error) => debug!(%error, "mode, owner and time of the mounted directory are not known"),
        }
    }

    /// rmdir(2) of an empty directory, or of an empty container.
    pub async fn remove_dir(&self, parent: Ino, name: &str) -> Result<()> {
        let view = self.resolve(parent, name).await?;
        if view.kind != FileKind::Directory {
            return Err(Error::fs(libc::ENOTDIR, format!("{name} is not a directory")));
        }
        let dir = match self.tree.place(view.ino)? {
            Place::Directory(dir) => dir,
            Place::Past(place) => return self.remove_past_dir(parent, name, &place).await,
            _ => return Err(Error::fs(libc::EPERM, "accounts cannot be removed here")),
        };
        let slash = self.slash_marker_if_empty(&view, &dir).await?;
        let client = self.client(dir.account);
        match dir.marker() {
            None => client.container(&dir.container).delete().await?,
            Some(marker) => {
                self.delete_marker(&marker?, &view).await?;
                if let Some(slash) = slash {
                    self.delete_version(&dir.blob("")?, &slash).await?;
                }
            }
        }
        self.tree.unlink(parent, name);
        self.tree.touch(parent);
        self.keep_alive(parent, name).await;
        Ok(())
    }

    /// ENOTEMPTY unless nothing but a marker is in the directory.
    pub(in crate::fs) async fn refuse_unless_empty(&self, view: &NodeView, dir: &BlobDir) -> Result<()> {
        self.slash_marker_if_empty(view, dir).await.map(drop)
    }

    /// The marker with a slash at its end, if there is one: all that may be in an empty directory. Such a blob with content is no
    /// marker, and must not be lost.
    async fn slash_marker_if_empty(&self, view: &NodeView, dir: &BlobDir) -> Result<Option<ETag>> {
        let not_empty = || Error::fs(libc::ENOTEMPTY, format!("{} is not empty", dir.prefix));
        if self.tree.children(view.ino).iter().any(|child| self.is_new(child.ino)) {
            return Err(not_empty());
        }
        // With a container everything in it would go, also what no directory shows: uploads under way, names that no path can carry.
        let unseen = if dir.prefix.is_empty() { Unseen::Included } else { Unseen::Ignored };
        let mut below = self.first_below(dir, 2, unseen).await?;
        match (below.count(), below.items.pop()) {
            (0, _) => Ok(None),
            (1, Some(item)) if item.name.as_str() == dir.prefix && item.properties.size == 0 => {
                Ok(Some(item.properties.etag))
            }
            _ => Err(not_empty()),
        }
    }

    async fn delete_marker(&self, marker: &Blob, view: &NodeView) -> Result<()> {
        // Only what is known to be a marker: a plain blob of that name is hidden by the directory and must not be lost.
        let known = match view.properties() {
            Some(properties) => Some(properties.clone()),
            None => {
                let found = self.blob(marker).properties().await.optional()?;
                found.filter(|properties| attr::kind_of(properties) == FileKind::Directory).map(Arc::new)
            }
        };
        match known {
            Some(known) => self.delete_version(marker, &known.etag).await,
            None => Ok(()),
        }
    }

    /// Deletes a blob if it is that version still, or there at all.
    async fn delete_version(&self, blob: &Blob, etag: &ETag) -> Result<()> {
        let precondition = Precondition::IfMatch(etag.clone());
        let deleted = self.blob(blob).delete(&DeleteOptions { precondition, ..Default::default() }).await;
        deleted.optional().map(drop)
    }

    /// A directory that only its entries made does not vanish with the last of them: it gets a marker.
    /// What took the last entry away has happened, so nothing here makes it fail.
    pub(in crate::fs) async fn keep_alive(&self, dir: Ino, without: &str) {
        if let Err(error) = self.mark_if_empty(dir, without).await {
            warn!(%error, "a directory that became empty could not be marked, and is gone");
        }
    }

    async fn mark_if_empty(&self, dir: Ino, without: &str) -> Result<()> {
        let Ok(Place::Directory(place)) = self.tree.place(dir) else { return Ok(()) };
        let implicit = matches!(self.tree.view(dir)?.known.heard, Heard::Nothing);
        let Some(marker) = place.marker() else { return Ok(()) };
        // The root of a mount of a prefix is there because it is mounted.
        if dir == Ino::ROOT || !implicit || self.tree.has_sibling(dir, without) {
            return Ok(());
        }
        if self.first_below(&place, 1, Unseen::Ignored).await?.count() > 0 {
            return Ok(());
        }
        match self.put_marker(&marker?, &AttrChange::default(), &Precondition::IfAbsent).await {
            Ok(properties) => {
                self.tree.learn(dir, Heard::Blob(properties));
                Ok(())
            }
            Err(error) if error.is_precondition_failed() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// unlink(2): Delete Blob. EBUSY for a blob with snapshots, unless the mount was told to take them along.
    pub async fn unlink(&self, parent: Ino, name: &str) -> Result<()> {
        let view = self.resolve(parent, name).await?;
        if view.kind == FileKind::Directory {
            return Err(Error::fs(libc::EISDIR, format!("{name} is a directory")));
        }
        if let Place::Past(PastPlace::File(blob, revision)) = self.tree.place(view.ino)? {
            return self.remove_revision(&view, &blob, &revision).await;
        }
        // A commit under way ends first, and one that comes later finds the name gone: it would bring the file back.
        let file = self.handles.of_ino(view.ino);
        let _state = match &file {
            Some(file) => Some(file.state.lock().await),
            None => None,
        };
        if self.is_new(view.ino) && !self.is_copied_to(view.ino) {
            self.tree.unlink(parent, name);
            self.tree.touch(parent);
            return Ok(());
        }
        let blob = self.tree.blob(view.ino)?;
        let is_unsaved = file.as_ref().is_some_and(|file| file.is_unsaved());
        // Until the name is gone here as well, that it is gone there is no news.
        let _storing = file.as_ref().map(|file| file.storing());
        let asked = Instant::now();
        let deleted = self.delete_pending_or_not(&blob).await;
        match deleted {
            Ok(()) => {}
            // What another client deleted is there for whoever has written to it here, and ends with this call.
            Err(error) if disproves(&error) && is_unsaved => {}
            Err(error) if disproves(&error) => return Err(self.gone(&view, &blob, asked)),
            Err(error) => {
                if error.code() == "SnapshotsPresent" {
                    warn!(blob = %blob.path, "it has snapshots, which would be lost with it: mount with --delete-snapshots to allow that");
                }
                return Err(error);
            }
        }
        self.tree.unlink(parent, name);
        self.tree.touch(parent);
        self.keep_alive(parent, name).await;
        Ok(())
    }

    /// Delete Blob. A pending copy onto it is aborted first (X13); what the copy would have brought back otherwise goes, too.
    async fn delete_pending_or_not(&self, blob: &Blob) -> Result<()> {
        let delete = async || {
            let snapshots = self.snapshots_on_delete();
            self.blob(blob).delete(&DeleteOptions { snapshots, ..Default::default() }).await
        };
        let pending = match delete().await {
            Err(error) if error.code() == "PendingCopyOperation" => error,
            done => return done,
        };
        let job = self.jobs.of(blob);
        if let Some(backup) = job.as_ref().and_then(|job| job.take_backup()) {
            self.delete_backup(&backup).await;
        }
        match self.abort_copy(blob, None).await {
            // It has ended by itself (X12).
            Err(error) if error.errno() == libc::ENODATA => {}
            Err(error) => {
                warn!(blob = %blob.path, %error, "the copy onto it cannot be aborted, so it is not deleted");
                return Err(pending);
            }
            Ok(()) => {}
        }
        // Whoever waits for it hears that it was aborted, and not that the blob is gone.
        if let Some(job) = job {
            job.over().await;
        }
        delete().await
    }

    pub(in crate::fs) fn snapshots_on_delete(&self) -> DeleteSnapshots {
        if self.config.delete_snapshots { DeleteSnapshots::Include } else { DeleteSnapshots::Refuse }
    }

    /// symlink(2): a blob whose content is the target (§19).
    pub async fn symlink(&self, parent: Ino, name: &str, target: &str, creation: Creation) -> Result<Attr> {
        self.make_blob(parent, name, FileKind::Symlink, 0, bytes::Bytes::copy_from_slice(target.as_bytes()), creation)
            .await
    }

    /// mknod(2) of a FIFO, a socket or a device: an empty blob whose metadata say so. `device` is the number of a device.
    pub async fn make_special(
        &self,
        parent: Ino,
        name: &str,
        kind: FileKind,
        device: u32,
        creation: Creation,
    ) -> Result<Attr> {
        self.make_blob(parent, name, kind, device, bytes::Bytes::new(), creation).await
    }

    /// A name that is whole with its first request.
    async fn make_blob(
        &self,
        parent: Ino,
        name: &str,
        kind: FileKind,
        device: u32,
        body: bytes::Bytes,
        creation: Creation,
    ) -> Result<Attr> {
        let blob = self.tree.directory(parent)?.blob(name)?;
        let mut metadata = attr::kind_metadata(kind, device);
        self.attributes_of_new(parent, kind, creation)?.apply(kind, &mut metadata, &self.config.defaults);
        let settings = BlobSettings { metadata, ..Default::default() };
        let size = body.len() as u64;
        let written = self.blob(&blob).block_blob().upload(body, &settings, &Precondition::IfAbsent.into()).await?;
        let heard = Heard::Blob(Arc::new(attr::just_written(size, settings, written)));
        let view = self.tree.enter(parent, name, kind, known(heard), None)?;
        self.tree.touch(parent);
        let _ = self.tree.looked_up(view.ino);
        Ok(self.attr_of(&view))
    }

    /// readlink(2).
    pub async fn read_link(&self, ino: Ino) -> Result<bytes::Bytes> {
        let view = self.fresh(ino).await?;
        Self::named(&view)?;
        let Origin { blob, revision } = self.tree.origin(ino)?;
        let range = Some(0..LONGEST_TARGET + 1);
        let etag = view.properties().map(|properties| &properties.etag);
        let target = self.blob(&blob).at(revision.as_ref()).download(ReadOptions { range, if_match: etag }).await;
        let target = target.map_err(|error| self.disproved(ino, etag, error))?.bytes;
        if target.len() as u64 > LONGEST_TARGET {
            return Err(Error::fs(
                libc::EIO,
                format!("{} says that it is a symlink, but is too long for one", blob.path),
            ));
        }
        Ok(target)
    }
}

/// What is below a directory that a listing of it does not show.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unseen {
    Ignored,
    /// Snapshots without a base, and blobs that were never committed.
    Included,
}

/// The first blobs below a directory.
#[derive(Default)]
struct Below {
    items: Vec<BlobItem>,
    /// Blobs whose names no path can carry.
    left_out: usize,
}

impl Below {
    fn count(&self) -> usize {
        self.items.len() + self.left_out
    }
}

fn known(heard: Heard) -> Known {
    Known { heard, at: Instant::now() }
}

/// What a lookup says of a name that no blob can have: only its length is not a way of not being there.
fn only_too_long(error: Error, name: &str) -> Error {
    match error {
        Error::Name(crate::path::NameError::TooLong) => error,
        _ => no_such(name),
    }
}

fn no_such(name: &str) -> Error {
    Error::fs(libc::ENOENT, format!("{name} does not exist"))
}
