//! Copies of whole trees, many at a time.
//!
//! A [`Bulk`] belongs to an open directory, the destination's, and lives as long as that is open: whoever opened it
//! adds sources ([`TreeCopies::start`]), hears what becomes of each blob ([`TreeCopies::progress`]), and by closing it
//! or by [`TreeCopies::cancel`] ends it. All the work is done here, so that a blob costs one request and no round trip
//! to the caller:
//!
//! ```text
//!   lister     one listing of the source, one of the destination if that is there: 5000 names a request (walk)
//!      │       what needs no copy is skipped (proof), what cannot be copied is reported
//!   starter    as many at once as the caller wants (slots) and the service bears (store's pace)
//!      │
//!   copy       one Copy Blob, on condition that source and destination are what was listed; a pending one is followed to its end
//! ```
//!
//! Names are not looked up one by one, and the inode table holds none of them: it only hears what may have changed.
//! Nothing waits for the caller but what it has to be told: it is told in the order in which things end, and when it
//! does not listen, the copies stop after a while and hold no memory.
//!
//! What is at the destination is held in memory while a source is copied, some hundred bytes for each blob that is
//! there; of the source only what is listed ahead.
//!
//! A tree goes along as it is: directory markers and symlinks are blobs and are copied like all others, with their
//! metadata, and so with mode, owner and time. What is open for writing in the source is stored first.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;

use crate::error::{Error, OptionalExtension, Result};
use crate::fs::Fs;
use crate::fs::content::handle::{Content, Fh};
use crate::fs::copies::bulk::progress::Outcome;
use crate::fs::copies::bulk::{
    Bulk, BulkItem, BulkOptions, Cancellation, Decision, ListingGuard, PendingItem, TreeOrder, lock,
};
use crate::fs::copies::job::{CopyJob, Progress, look};
use crate::fs::copies::spec::{CopyOptions, CopySpec, Kept};
use crate::fs::names::access::{Credentials, READ, SEARCH, WRITE};
use crate::fs::names::attr::{self, Creation, FileKind, Ino};
use crate::fs::names::open::OpenNode;
use crate::fs::names::tree::{BlobDir, NodeView, Place};
use crate::fs::names::walk::Found;
use crate::fs::ops::bulk::decision::{Candidate, failed};
use crate::fs::ops::bulk::destination_index::DestinationIndex;
use crate::fs::ops::bulk::lister::Lister;
use crate::store::Precondition;

mod decision;
mod destination_index;
mod lister;
mod progress;

pub(crate) use decision::TreeCopies;

/// Blobs that are listed ahead of the copies, so that totals are known early.
const AHEAD: usize = 20_000;

/// Attempts for a blob for which the service was too busy, apart from the client's own repetitions.
const BUSY_TRIES: u32 = 20;

/// Somebody was faster: at the source or at the destination.
fn is_change(error: &Error) -> bool {
    error.is_precondition_failed() || error.code() == "BlobAlreadyExists"
}

impl Fs {
    /// Copies of trees into open directories.
    pub fn tree_copies(self: &Arc<Self>) -> TreeCopies {
        TreeCopies { fs: self.clone() }
    }
}

impl TreeCopies {
    /// Begins to copy a file or a tree into the open directory, or adds it to what is being copied there.
    pub fn start(&self, fh: Fh, order: TreeOrder, who: Credentials) -> Result<()> {
        let handle = self.fs.handles.dir(fh)?;
        if order.name.contains('/') || [".", ".."].contains(&order.name.as_str()) {
            return Err(Error::fs(libc::EINVAL, format!("{:?} is not a name in the directory", order.name)));
        }
        let bulk = lock(&handle.bulk).get_or_insert_with(|| Arc::new(Bulk::new(handle.ino, order.jobs))).clone();
        if bulk.is_cancelled() {
            return Err(Error::fs(libc::ECANCELED, "the copies into this directory were cancelled"));
        }
        bulk.unlisted.send_modify(|count| *count += 1);
        bulk.unfinished.send_modify(|count| *count += 1);
        let (fs, who) = (self.clone(), Arc::new(who.asked_now()));
        tokio::spawn(async move {
            if let Err(error) = fs.copy_source(&bulk, &order, &who).await {
                let path = if order.name.is_empty() { "." } else { &order.name };
                lock(&bulk.totals).found.add(0);
                bulk.report(path.into(), 0, false, failed(&fs.fs, &error)).await;
            }
            bulk.unfinished.send_modify(|count| *count -= 1);
        });
        Ok(())
    }

    /// Nothing new is begun, and what is pending is aborted.
    pub fn cancel(&self, fh: Fh) -> Result<()> {
        self.of(fh)?.cancel(Cancellation::Cancelled);
        Ok(())
    }

    pub(in crate::fs) fn of(&self, fh: Fh) -> Result<Arc<Bulk>> {
        let bulk = lock(&self.fs.handles.dir(fh)?.bulk).clone();
        bulk.ok_or_else(|| Error::fs(libc::ENODATA, "nothing is being copied into this directory"))
    }

    async fn copy_source(&self, bulk: &Arc<Bulk>, order: &TreeOrder, who: &Arc<Credentials>) -> Result<()> {
        let listing = ListingGuard(bulk);
        let options = BulkOptions {
            no_replace: order.no_replace,
            update: order.update,
            no_wait: order.no_wait,
            dry_run: order.dry_run,
            keep: order.keep || self.fs.config.keep_on_abort,
            lease_source: order.lease_source,
            method: order.method,
        };
        // Many single sources are looked up no faster than they are copied.
        let Some(slot) = bulk.slot().await else { return Ok(()) };
        let source = self.fs.directories.walk_as(&order.source, who).await?;
        let ino = source.ino;
        let done = async {
            if source.kind != FileKind::Directory {
                return self.copy_file(order, options, source, who, listing, slot).await;
            }
            drop(slot);
            if !order.recursive {
                return Err(Error::fs(libc::EISDIR, "it is a directory, and -r was not given"));
            }
            self.copy_directory(bulk, order, options, source, who, listing).await
        }
        .await;
        self.fs.tree.kernel().collect(ino);
        done
    }

    async fn copy_file(
        &self,
        order: &TreeOrder,
        options: BulkOptions,
        source: NodeView,
        who: &Arc<Credentials>,
        listing: ListingGuard<'_>,
        slot: OwnedSemaphorePermit,
    ) -> Result<()> {
        let bulk = listing.0;
        if order.name.is_empty() {
            return Err(Error::fs(libc::EISDIR, "a file needs a name in the directory"));
        }
        self.fs.names.check_access(&source, READ, who)?;
        if let Some(file) = self.fs.handles.of_ino(source.ino) {
            let mut state = file.lock().await;
            self.fs.files.commit(&mut state).await?;
        }
        let source = self.fs.names.fresh(source.ino).await?;
        self.fs.names.check_access(&source, READ, who)?;
        if source.is_pending() {
            return Err(Error::fs(libc::EBUSY, "its content is still being copied"));
        }
        let missing = || Error::not_in_the_service(&source.name);
        let version = source.properties().cloned().ok_or_else(missing)?;
        if matches!(self.fs.tree.place(source.ino), Ok(Place::Revision(_))) {
            return Err(Error::unsupported("a snapshot or version is copied alone, or by cp"));
        }
        let from = self.fs.tree.blob(source.ino)?;
        let to = self.fs.tree.directory(bulk.into)?.blob(&order.name)?;
        let target = self.fs.directories.resolve(bulk.into, &order.name).await.optional()?;
        self.fs.names.check_target(bulk.into, target.as_ref(), who)?;
        let replaced = target.as_ref().and_then(|target| {
            let properties = target.properties().cloned()?;
            Some(Found { path: order.name.as_str().into(), kind: target.kind, properties, closed: false })
        });
        if target.as_ref().is_some_and(|target| target.kind == FileKind::Directory) {
            return Err(Error::fs(libc::EISDIR, "a directory cannot be replaced by a file"));
        }
        let path: Arc<str> = order.name.as_str().into();
        let bytes = version.size;
        lock(&bulk.totals).found.add(bytes);
        drop(listing);
        let (kind, existing) = (source.kind, replaced.as_ref());
        let candidate = Candidate { from: &from, to: &to, version: &version, kind, existing };
        match self.decide(&candidate, options, who).unwrap_or_else(|error| Decision::Settled(failed(&self.fs, &error)))
        {
            Decision::Settled(outcome) => bulk.report(path, bytes, false, outcome).await,
            Decision::Copy(replaced, metadata) => {
                let item = BulkItem { from, to, version, replaced, metadata, path, kind, who: who.clone() };
                self.clone().carry_out(bulk.clone(), item, options, slot).await;
            }
        }
        Ok(())
    }

    async fn copy_directory(
        &self,
        bulk: &Arc<Bulk>,
        order: &TreeOrder,
        options: BulkOptions,
        source: NodeView,
        who: &Arc<Credentials>,
        listing: ListingGuard<'_>,
    ) -> Result<()> {
        self.fs.names.check_access(&source, READ | SEARCH, who)?;
        let Place::Directory(old) = self.fs.tree.place(source.ino)? else {
            return Err(Error::fs(libc::EINVAL, "an account is not copied as a whole: copy its containers"));
        };
        let (new, top) = self.destination(bulk, order, &old, options, who).await?;
        self.store_below(&old).await?;
        let mut destination = DestinationIndex::default();
        if let Some(top) = &top {
            destination.list(&self.fs.names, &new, self.fs.names.attr_of(top), who).await?;
        }
        let prefix = if order.name.is_empty() { String::new() } else { format!("{}/", order.name) };
        let (items, mut to_copy) = mpsc::channel::<BulkItem>(AHEAD);
        let lister = Lister {
            bulk: bulk.clone(),
            items,
            old,
            new,
            prefix,
            destination,
            options,
            is_new: top.is_none(),
            who: who.clone(),
        };
        let starter = async {
            let mut copies = JoinSet::new();
            while let Some(item) = to_copy.recv().await {
                let Some(slot) = bulk.slot().await else { break };
                copies.spawn(self.clone().carry_out(bulk.clone(), item, options, slot));
                while copies.try_join_next().is_some() {}
            }
            // The lister is not kept waiting by a channel that nobody reads.
            drop(to_copy);
            while copies.join_next().await.is_some() {}
        };
        // Reading a page takes a while in which the starter has work to do: another thread.
        let listed = tokio::spawn(lister.run(self.clone(), source));
        let listed = async {
            let listed = listed.await;
            drop(listing);
            listed.unwrap_or_else(|error| Err(Error::fs(libc::EIO, format!("listing the source: {error}"))))
        };
        tokio::join!(listed, starter).0
    }

    /// The directory that a tree goes to, and its node if it is there.
    async fn destination(
        &self,
        bulk: &Bulk,
        order: &TreeOrder,
        old: &BlobDir,
        options: BulkOptions,
        who: &Credentials,
    ) -> Result<(BlobDir, Option<NodeView>)> {
        let into = self.fs.tree.view(bulk.into)?;
        self.fs.names.check_access(&into, SEARCH, who)?;
        let mut top = if order.name.is_empty() {
            Some(into.clone())
        } else {
            self.fs.directories.resolve(bulk.into, &order.name).await.optional()?
        };
        if top.as_ref().is_some_and(|top| top.kind != FileKind::Directory) {
            return Err(Error::fs(libc::ENOTDIR, "a file cannot be replaced by a directory"));
        }
        if top.is_none() {
            self.fs.names.check_access(&into, WRITE | SEARCH, who)?;
        }
        let new = match (self.fs.tree.place(bulk.into)?, &top) {
            (Place::Account(account), None) => {
                let container = crate::path::ContainerName::parse(&order.name)?;
                if !options.dry_run {
                    let owned = Creation { mode: 0o755, uid: who.uid, gid: who.gid };
                    let made = self.fs.make_dir(bulk.into, &order.name, owned).await?;
                    self.fs.tree.kernel().forget(made.ino, 1);
                    top = Some(self.fs.directories.resolve(bulk.into, &order.name).await?);
                }
                BlobDir { account, container, prefix: String::new() }
            }
            (_, Some(top)) => self.fs.tree.directory(top.ino)?,
            (_, None) => self.fs.tree.directory(bulk.into)?.subdirectory(&order.name),
        };
        if new.account == old.account && new.container == old.container && new.prefix.starts_with(&old.prefix) {
            let what = if new.prefix == old.prefix { "it is the destination" } else { "the destination is in it" };
            return Err(Error::fs(libc::EINVAL, what));
        }
        Ok((new, top))
    }

    /// Stores what was written below a directory and is not stored yet, so that the listing shows it.
    async fn store_below(&self, dir: &BlobDir) -> Result<()> {
        for file in self.fs.handles.open_files() {
            let below = self.fs.tree.blob(file.ino).is_ok_and(|blob| dir.holds(&blob));
            if below && file.is_unsaved() {
                let mut state = file.lock().await;
                self.fs.files.commit(&mut state).await?;
            }
        }
        Ok(())
    }

    /// Copies a blob, to the end unless nobody wants to wait for that, and tells of it.
    async fn carry_out(self, bulk: Arc<Bulk>, item: BulkItem, options: BulkOptions, slot: OwnedSemaphorePermit) {
        let (path, bytes, marker) = (item.path.clone(), item.version.size, item.is_marker());
        let outcome = self.copy_blob(&bulk, item, options).await;
        if let Some(outcome) = outcome {
            bulk.report(path, bytes, marker, outcome).await;
        }
        drop(slot);
    }

    /// `None`: it was not begun.
    async fn copy_blob(&self, bulk: &Bulk, mut item: BulkItem, options: BulkOptions) -> Option<Outcome> {
        if let Err(error) = self.refuse_open_target(bulk.into, &item.path).await {
            return Some(failed(&self.fs, &error));
        }
        let client = self.fs.service.client(item.to.account);
        let mut looked_again = false;
        let mut busy = 0;
        loop {
            let permit = tokio::select! {
                biased;
                () = bulk.cancelled(Cancellation::Cancelled) => return None,
                permit = client.permit() => permit,
            };
            let job = match self.start_item(&item, options).await {
                Ok(job) => job,
                Err(error) if matches!(error.status(), 429 | 503) && busy < BUSY_TRIES => {
                    busy += 1;
                    continue;
                }
                Err(error) if is_change(&error) && !looked_again => {
                    looked_again = true;
                    match self.look_once_more(&mut item, options).await {
                        Ok(None) => continue,
                        Ok(Some(outcome)) => return Some(outcome),
                        Err(error) => return Some(failed(&self.fs, &error)),
                    }
                }
                Err(error) => return Some(failed(&self.fs, &error)),
            };
            permit.succeeded();
            job.goes_to(bulk.into, &item.path);
            self.fs.tree.invalidate_path(bulk.into, &item.path);
            return Some(match job.progress() {
                Progress::Success(_) => Outcome::Copied(job.id.clone()),
                Progress::Failed(error) => failed(&self.fs, &error),
                Progress::Pending(_) if options.no_wait && !job.is_fetched() => Outcome::Accepted(job.id.clone()),
                Progress::Pending(_) => self.wait_out(bulk, &item, job).await,
            });
        }
    }

    async fn start_item(&self, item: &BulkItem, options: BulkOptions) -> Result<Arc<CopyJob>> {
        let source = self.fs.service.source_url(&item.from, None, &item.to).await?;
        let tags = self.fs.service.tags_to_keep(&item.from, &item.version).await?;
        let replaced = item.replaced.as_ref().filter(|_| options.keep);
        let kept = replaced.map(|replaced| Kept { ino: None, before: replaced.clone() });
        let start = CopySpec {
            source,
            // What is copied can be appended to (X23).
            seal: item.version.seal_of_copy(false),
            version: Some(item.version.clone()),
            destination: item.to.clone(),
            precondition: match &item.replaced {
                None => Precondition::IfAbsent,
                Some(replaced) => Precondition::IfMatch(replaced.etag.clone()),
            },
            metadata: item.metadata.clone(),
            tier: None,
            tags,
            options: CopyOptions {
                source: Some(item.from.clone()),
                from: Some(item.from.account),
                method: options.method,
                lease_source: options.lease_source,
                kept,
                awaited: !options.no_wait,
                ..CopyOptions::default()
            },
        };
        self.fs.copies.start_copy(start).await
    }

    /// Source or destination is not what was listed any more: once, it is taken as it is now. What that makes of the
    /// item, if it is not to be copied.
    async fn look_once_more(&self, item: &mut BulkItem, options: BulkOptions) -> Result<Option<Outcome>> {
        let defaults = &self.fs.config.defaults;
        item.version = Arc::new(self.fs.service.blob(&item.from).properties().await?);
        let existing = self.fs.service.blob(&item.to).properties().await.optional()?.map(|found| Found {
            path: item.path.clone(),
            kind: attr::kind_of(&found),
            properties: Arc::new(found),
            closed: false,
        });
        // By now it may have content, and both may be closed to the caller.
        if !item.is_marker() || item.version.size > 0 {
            item.kind = attr::kind_of(&item.version);
        }
        let attr = |kind, properties| attr::of_blob(Ino::ROOT, kind, properties, defaults);
        if item.kind == FileKind::File {
            item.who.check(&attr(item.kind, &item.version), READ, &item.path)?;
        }
        if let Some(Found { kind, properties, .. }) = existing.as_ref().filter(|_| !item.is_marker()) {
            item.who.check(&attr(*kind, properties), WRITE, &item.path)?;
        }
        let BulkItem { from, to, version, kind, .. } = &*item;
        let candidate = Candidate { from, to, version, kind: *kind, existing: existing.as_ref() };
        Ok(match self.decide(&candidate, options, &item.who)? {
            Decision::Copy(replaced, metadata) => {
                (item.replaced, item.metadata) = (replaced, metadata);
                None
            }
            Decision::Settled(outcome) => Some(outcome),
        })
    }

    /// Follows a pending copy to its end, or ends it.
    async fn wait_out(&self, bulk: &Bulk, item: &BulkItem, job: Arc<CopyJob>) -> Outcome {
        let number = bulk.started.fetch_add(1, Ordering::Relaxed);
        let pending = PendingItem { path: item.path.clone(), job: job.clone(), since: SystemTime::now() };
        lock(&bulk.pending).insert(number, pending);
        let outcome = loop {
            let progress = tokio::select! {
                biased;
                () = bulk.cancelled(Cancellation::Cancelled) => break self.abort_item(item, &job).await,
                progress = job.slice() => progress,
            };
            match progress {
                Progress::Pending(_) => {}
                Progress::Success(_) => break Outcome::Copied(job.id.clone()),
                Progress::Failed(error) => break failed(&self.fs, &error),
            }
        };
        lock(&bulk.pending).remove(&number);
        self.fs.tree.invalidate_path(bulk.into, &item.path);
        outcome
    }

    async fn abort_item(&self, item: &BulkItem, job: &CopyJob) -> Outcome {
        if job.is_fetched() {
            self.fs.copies.stop_fetching(job).await;
            return Outcome::Aborted(false);
        }
        if job.is_in_blocks() {
            return self.abort_blocks(item, job).await;
        }
        if item.replaced.is_none() {
            // Nothing was there before, and nothing is left.
            self.fs.copies.rollback(&item.to, &job.service_id()).await;
            job.finished().await;
            return Outcome::Aborted(false);
        }
        let empty_is_left = !job.has_backup();
        let error = match self.fs.copies.abort_copy(&item.to, Some(&job.id)).await {
            Ok(()) => return Outcome::Aborted(empty_is_left),
            Err(error) => error,
        };
        // It may have ended by itself (X12), which the job has not seen yet.
        match self.fs.service.blob(&item.to).properties().await {
            Ok(found) => match look(&item.to, &job.service_id(), found) {
                Progress::Success(_) => Outcome::Copied(job.id.clone()),
                Progress::Failed(error) => failed(&self.fs, &error),
                Progress::Pending(_) => failed(&self.fs, &error),
            },
            Err(_) => failed(&self.fs, &error),
        }
    }

    /// [`TreeCopies::abort_item`] of one in blocks. What it was to replace is there still, but where it took the place of
    /// a Copy Blob, which had emptied it.
    async fn abort_blocks(&self, item: &BulkItem, job: &CopyJob) -> Outcome {
        if let Err(error) = self.fs.copies.abort_copy(&item.to, Some(&job.id)).await {
            return match job.progress() {
                Progress::Success(_) => Outcome::Copied(job.id.clone()),
                Progress::Failed(error) => failed(&self.fs, &error),
                Progress::Pending(_) => failed(&self.fs, &error),
            };
        }
        match (job.was_by_copy_blob(), &item.replaced) {
            (true, None) => {
                self.fs.copies.rollback(&item.to, &job.service_id()).await;
                Outcome::Aborted(false)
            }
            (true, Some(_)) => Outcome::Aborted(!job.restores()),
            (false, _) => Outcome::Aborted(false),
        }
    }

    /// EBUSY if somebody writes to the file that is to be replaced.
    async fn refuse_open_target(&self, dir: Ino, path: &str) -> Result<()> {
        let Some(file) = self.fs.tree.below(dir, path).and_then(|ino| self.fs.handles.of_ino(ino)) else {
            return Ok(());
        };
        match file.lock().await.content {
            Content::Clean => Ok(()),
            _ => Err(Error::fs(libc::EBUSY, "it is open for writing")),
        }
    }
}
