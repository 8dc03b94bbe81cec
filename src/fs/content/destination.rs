//! Open files that a whole copy goes to, from the first slice that is granted to its end.
//!
//! A pending copy is answered in slices ([`CopyDestinations::grant`]); whoever else wants the file waits outside its
//! lock until the copy is settled ([`CopyDestinations::settled`]). What becomes of a copy of which not all was asked
//! for is told in `granted`.

use std::sync::Arc;
use std::time::SystemTime;

use tracing::{debug, warn};

use crate::error::{CopyFailure, Error, Result};
use crate::fs::caller::Caller;
use crate::fs::content::files::Files;
use crate::fs::content::handle::{Content, Copying, FileState, Handle, Locked, OpenFile};
use crate::fs::content::loans::Changed;
use crate::fs::content::read::Version;
use crate::fs::content::recall::recall_if_possible;
use crate::fs::copies::job::{CopyJob, Progress, failure, types_differ};
use crate::fs::copies::run::Copies;
use crate::fs::copies::spec::{CopyOptions, CopySpec, Kept};
use crate::fs::names::attr::{self, AttrChange, FileKind};
use crate::fs::names::tree::{Origin, is_grown};
use crate::store::{BlobProperties, BlobType, Metadata, Precondition};

/// Open files that a whole copy goes to.
pub(in crate::fs) struct CopyDestinations {
    pub(crate) files: Arc<Files>,
    pub(crate) copies: Arc<Copies>,
}

impl CopyDestinations {
    pub(crate) fn new(files: Arc<Files>, copies: Arc<Copies>) -> Self {
        Self { files, copies }
    }

    /// More of the whole copy that goes on, if that is what is asked for: the same source, from where the last call
    /// ended.
    pub(crate) async fn continue_copy(
        &self,
        input: &Handle,
        output: &Arc<OpenFile>,
        offset: u64,
        len: u64,
        caller: Caller,
    ) -> Result<Option<u64>> {
        let goes_on = |copying: &Copying| {
            copying.source.ino == input.file.ino && copying.granted == offset && !copying.complete()
        };
        let copied = {
            let mut state = output.lock().await;
            match &state.content {
                Content::Copying(copying) if goes_on(copying) => match copying.job.progress() {
                    Progress::Success(_) => copying.source.version.clone(),
                    // Should the source change meanwhile, the copy fails (X8).
                    _ => return self.grant(&mut state, len, caller).await.map(Some),
                },
                _ => return Ok(None),
            }
        };
        // One file's lock at a time: another process may be copying the other way.
        {
            let state = input.file.lock().await;
            let unchanged = match (&state.content, input.version(&state)) {
                (Content::Draft(draft), _) if draft.dirty => false,
                (_, Ok(Some(now))) => now.properties.etag == copied.etag || is_grown(&copied, &now.properties),
                // Another client's, which is not what the handle reads.
                _ => true,
            };
            if !unchanged {
                return Ok(None);
            }
        }
        let mut state = output.lock().await;
        match &state.content {
            Content::Copying(copying) if goes_on(copying) => self.grant(&mut state, len, caller).await.map(Some),
            _ => Ok(None),
        }
    }

    /// The version that a copy reads, and where it is: what was written here is committed first.
    pub(crate) async fn clean_version(&self, input: &Handle, caller: Caller) -> Result<(Origin, Arc<Version>)> {
        self.settle_own(&input.file, caller).await?;
        let mut state = input.file.lock().await;
        if let Content::Copying(_) = state.content {
            return Err(Error::fs(libc::EBUSY, "the source is still being copied itself"));
        }
        self.files.commit(&mut state).await?;
        let version = input.version(&state)?;
        let version = version.ok_or_else(|| Error::fs(libc::EBUSY, "the source has no content in the service yet"))?;
        version.refuse_pending()?;
        let origin = self.files.tree.origin(input.file.ino)?;
        if let Some(blob) = origin.current() {
            self.copies.jobs.refuse_emptied(&blob)?;
        }
        Ok((origin, version))
    }

    pub(crate) async fn copy_onto(
        &self,
        from: &Origin,
        source: &Arc<BlobProperties>,
        locked: &Locked,
        caller: Caller,
    ) -> Result<(Arc<CopyJob>, CopySpec)> {
        let (output, state) = locked.view();
        let _changing = Box::pin(recall_if_possible(&self.files, Changed::One(output.ino))).await;
        let to = self.files.tree.blob(output.ino)?;
        if let Some(there) = &state.version {
            let (is, comes) = (there.properties.blob_type, source.blob_type);
            if is != comes {
                return Err(types_differ(&to, is, &from.blob.path, Some(comes)));
            }
        }
        let mut own = state.version.as_ref().map_or_else(Metadata::default, |v| v.properties.metadata.clone());
        state.change.apply(FileKind::File, &mut own, &self.files.config.defaults);
        let metadata = attr::for_copy(&source.metadata, &own);
        let precondition = match &state.version {
            Some(version) => Precondition::IfMatch(version.properties.etag.clone()),
            None => Precondition::IfAbsent,
        };
        let is_new = state.version.is_none();
        let url = self.files.service.source_url(&from.blob, from.revision.as_ref(), &to).await?;
        let tags = self.files.service.tags_of_origin(from, source).await?;
        let kept = state.version.as_ref().filter(|_| self.files.config.keep_on_abort);
        let kept = kept.map(|there| Kept { ino: Some(output.ino), before: there.properties.clone() });
        let start = CopySpec {
            source: url,
            version: Some(source.clone()),
            destination: to,
            precondition,
            metadata: attr::told_to_a_copy(metadata, Some(&source.metadata)),
            tier: state
                .chosen
                .as_ref()
                .filter(|_| is_new && source.blob_type == BlobType::Block)
                .and_then(|chosen| chosen.tier.clone()),
            tags,
            // What is copied can be appended to (X23).
            seal: source.seal_of_copy(false),
            options: CopyOptions {
                source: from.current(),
                from: Some(from.blob.account),
                replaced: state.version.as_ref().map(|version| version.properties.clone()),
                kept,
                awaited: self.files.config.copy_wait,
                caller: Some(caller),
                ..CopyOptions::default()
            },
        };
        Ok((self.copies.start_copy(start.clone()).await?, start))
    }

    /// One slice of a copy: the bytes to report, at least 1.
    pub(crate) async fn grant(&self, locked: &mut Locked, len: u64, caller: Caller) -> Result<u64> {
        let Content::Copying(copying) = &mut locked.content else { return Ok(0) };
        copying.copier = caller.process();
        let progress = if self.files.config.copy_wait { copying.job.slice().await } else { copying.job.progress() };
        let (granted, total) = (copying.granted, copying.job.total);
        let may = match progress {
            Progress::Success(properties) => {
                copying.granted = granted + len.min(total - granted);
                let reply = copying.granted - granted;
                copying.granted_at = SystemTime::now();
                if copying.complete() {
                    locked.content = Content::Clean;
                    self.files.record_version(locked, properties);
                }
                return Ok(reply);
            }
            Progress::Failed(error) => {
                self.detach(locked).await;
                return Err(error);
            }
            Progress::Pending(_) if !self.files.config.copy_wait => total,
            // The last byte stays until it is the only one left: then flush waits, outside the inode lock.
            Progress::Pending(copied) => copied.min(total - 1).max(granted + 1),
        };
        copying.granted = may.min(granted + len).max(granted + 1);
        copying.granted_at = SystemTime::now();
        let reply = copying.granted - granted;
        Ok(reply)
    }

    /// The state of a file once no copy onto it is pending, so that it can be written, read or copied on. The wait is
    /// outside the lock: others may look, abort, open and read meanwhile.
    ///
    /// A copy of which only a part was granted is cut to that: at once for its copier, who has turned to something
    /// else, or else when it has ended.
    pub(crate) async fn settled(&self, file: &Arc<OpenFile>, caller: Caller) -> Result<Locked> {
        loop {
            let mut state = file.lock().await;
            let Content::Copying(copying) = &state.content else { return Ok(state) };
            let (job, complete) = (copying.job.clone(), copying.complete());
            match job.progress() {
                Progress::Success(properties) if complete => {
                    state.content = Content::Clean;
                    self.files.record_version(&mut state, properties);
                    return Ok(state);
                }
                Progress::Success(properties) => {
                    self.cut_to_granted(&mut state, properties, caller).await?;
                    return Ok(state);
                }
                Progress::Failed(error) => {
                    self.detach(&mut state).await;
                    return Err(error);
                }
                // What is only here cannot be stopped so that it is known what has become of it.
                Progress::Pending(_) if !complete && copying.copier == caller.process() && !job.is_local() => {
                    self.stop_at_granted(&mut state, caller).await?;
                    continue;
                }
                Progress::Pending(_) => drop(state),
            }
            // How it ended is looked at under the lock.
            if let Err(error @ Error::Interrupted { .. }) = self.copies.wait_for_copy(&job, caller).await {
                return Err(error);
            }
        }
    }

    /// [`CopyDestinations::settled`] for the process that copies onto the file itself; others find the copy as it is.
    pub(crate) async fn settle_own(&self, file: &Arc<OpenFile>, caller: Caller) -> Result<()> {
        let own = match &file.lock().await.content {
            Content::Copying(copying) => copying.copier == caller.process(),
            _ => false,
        };
        if own { self.settled(file, caller).await.map(drop) } else { Ok(()) }
    }

    /// [`CopyDestinations::settled`] for who changes what a file has beside its content, which no copy takes while it is
    /// under way: where all of it is granted and the copy has ended, and for the copier with its end.
    pub(crate) async fn settle_granted(&self, file: &Arc<OpenFile>, caller: Caller) -> Result<()> {
        let settles = match &file.lock().await.content {
            Content::Copying(copying) if copying.complete() => {
                let waits = self.files.config.copy_wait && copying.copier == caller.process();
                waits || !matches!(copying.job.progress(), Progress::Pending(_))
            }
            _ => false,
        };
        if settles { self.settled(file, caller).await.map(drop) } else { Ok(()) }
    }

    /// The copy ended otherwise than well, or goes on without us: what the destination is now has to be asked.
    pub(crate) async fn detach(&self, locked: &mut Locked) {
        let (file, state) = locked.parts();
        let job = match std::mem::replace(&mut state.content, Content::Clean) {
            Content::Copying(copying) => Some(copying.job),
            _ => None,
        };
        if let (Some(job), Ok(view)) = (&job, self.files.tree.view(file.ino)) {
            job.goes_to(view.parent, &view.name);
        }
        let now = async {
            let blob = self.files.tree.blob(file.ino)?;
            self.files.service.blob(&blob).properties().await
        };
        match now.await {
            Ok(properties) => {
                let ours = |job: Arc<CopyJob>| properties.copy.as_ref().is_some_and(|copy| copy.id == job.service_id());
                // Blocks that are not committed leave it as it was.
                let is_as_it_was =
                    state.version.as_ref().is_some_and(|before| before.properties.etag == properties.etag);
                if is_as_it_was || job.is_some_and(ours) {
                    return self.files.record_version(locked, Arc::new(properties));
                }
                // Another client's: that is another file.
                self.files.tree.detach(file.ino);
                state.version = None;
            }
            Err(error) => {
                state.version = None;
                debug!(%error, "nothing is known of the destination of a copy that did not succeed");
                self.files.tree.invalidate(file.ino);
            }
        }
    }

    /// Flush of a file that a copy goes to. `Ok(true)` when the copy is settled, `Ok(false)` when it is not this
    /// flush's to wait for.
    pub(crate) async fn flush_copy(&self, file: &Arc<OpenFile>, caller: Caller) -> Result<bool> {
        // Who waits for the lock may be let go, and what becomes of its process then tells nothing any more.
        let (mut killed, free) = (false, file.try_lock());
        let state = match free {
            Some(state) => state,
            None => {
                killed = caller.is_being_killed();
                file.lock().await
            }
        };
        let (job, complete, copier) = {
            let Content::Copying(copying) = &state.content else { return Ok(true) };
            (copying.job.clone(), copying.complete(), copying.copier)
        };
        drop(state);
        if !complete {
            if caller.process() != copier {
                // Another process closes its duplicate of the descriptor; the copier is still at work.
                return Ok(false);
            }
            if killed || caller.is_being_killed() {
                self.cancel(file).await;
                return Err(failure(&job.destination, CopyFailure::Aborted { id: job.id.to_string() }));
            }
            self.store_granted(file, caller).await?;
            return Ok(true);
        }
        // What only we do ends with us.
        if !self.files.config.copy_wait && !job.is_local() {
            let mut state = file.lock().await;
            self.restart(&mut state).await?;
            self.detach(&mut state).await;
            return Ok(true);
        }
        self.settle_or_cancel(file, caller).await.map(|()| true)
    }

    /// [`CopyDestinations::settled`] for a flush: who is interrupted then does not want the copy any more.
    pub(crate) async fn settle_or_cancel(&self, file: &Arc<OpenFile>, caller: Caller) -> Result<()> {
        let settled = self.settled(file, caller).await.map(drop);
        if let Err(Error::Interrupted { .. }) = settled {
            self.cancel(file).await;
        }
        settled
    }

    /// `cp -p` sets times, owner and mode when the copy has been accepted, and where nobody waits for its end it is
    /// mostly pending then: nothing can be stored (C9). But it has hardly begun, so it is aborted and begun anew with
    /// all of them (X3). What it replaced is not there any more in any case.
    async fn restart(&self, state: &mut FileState) -> Result<()> {
        let Content::Copying(Copying { job, again: Some(again), .. }) = &mut state.content else { return Ok(()) };
        if state.change.is_empty() || job.has_backup() || !matches!(job.progress(), Progress::Pending(_)) {
            return Ok(());
        }
        match self.copies.abort_copy(&job.destination, Some(&job.id)).await {
            Ok(()) => job.finished().await,
            // It has ended, and what is to be stored can be.
            Err(Error::NoPendingCopy { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        let now = self.files.service.blob(&job.destination).properties().await?;
        if now.copy.as_ref().is_none_or(|copy| copy.id != job.service_id()) {
            return Err(failure(&job.destination, CopyFailure::Replaced { id: job.id.to_string() }));
        }
        let of_the_source = again.version.as_ref().map(|version| version.metadata.clone()).unwrap_or_default();
        let mut metadata = again.metadata.clone().unwrap_or_else(|| of_the_source.clone());
        state.change.apply(FileKind::File, &mut metadata, &self.files.config.defaults);
        let metadata = attr::told_to_a_copy(metadata, Some(&of_the_source));
        let start = CopySpec { metadata, precondition: Precondition::IfMatch(now.etag), ..(**again).clone() };
        *job = self.copies.start_copy(start).await?;
        state.change = AttrChange::default();
        Ok(())
    }

    /// Nobody wants the copy any more: abort it. The destination is then the service's empty blob with status
    /// `aborted`.
    pub(crate) async fn cancel(&self, file: &Arc<OpenFile>) {
        let mut state = file.lock().await;
        let Content::Copying(copying) = &state.content else { return };
        let job = copying.job.clone();
        if job.is_fetched() {
            self.copies.stop_fetching(&job).await;
        } else {
            match self.copies.abort_copy(&job.destination, Some(&job.id)).await {
                Ok(()) => {}
                // It ended before we came.
                Err(Error::NoPendingCopy { .. }) => {}
                Err(error) => warn!(destination = %job.destination.path, id = %job.id, %error, "cannot abort a copy"),
            }
        }
        self.detach(&mut state).await;
    }
}
