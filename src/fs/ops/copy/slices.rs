//! `copy_file_range`: how cp asks for a copy.
//!
//! A process inside that call cannot be killed and the destination's inode is locked, so a pending copy is answered in slices: each
//! call waits at most [`SLICE`](crate::fs::copies::job::SLICE) and grants the bytes that the service reports as copied. So Ctrl-C works between slices,
//! other processes get at the file, and progress tools, which watch the file position, tell the truth. The last byte is granted before
//! the copy is known to have succeeded; the wait for that is in flush, which locks nothing and can report a failure.
//!
//! The kernel makes every request at most [`KERNEL_CLAMP`] bytes long, and cp asks for more than there is. So the first request of a large
//! file may be all that is wanted or only its beginning, and a Copy Blob is started for either. Who turns to something else before all is
//! granted has what was granted and no more ([`Fs::settled`]): that is what `granted` does.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::MutexGuard;
use tracing::{debug, warn};

use crate::error::{CopyFailure, Error, Result};
use crate::fs::Fs;
use crate::fs::caller::Caller;
use crate::fs::content::handle::{Content, CopiedFrom, Copying, Fh, Handle, OpenFile, State};
use crate::fs::content::read::Version;
use crate::fs::content::source::Source;
use crate::fs::copies::job::{CopyJob, Progress, failure, types_differ};
use crate::fs::copies::spec::{CopyOptions, CopySpec};
use crate::fs::names::attr::{self, AttrChange, FileKind};
use crate::fs::names::tree::{Origin, is_grown};
use crate::store::{Metadata, Precondition};

/// The kernel shortens `copy_file_range` to this many bytes (FUSE's `UINT_MAX & PAGE_MASK`, with pages of 4 KiB).
const KERNEL_CLAMP: u64 = 0xffff_f000;

impl Fs {
    /// `copy_file_range`: bytes copied, or to be copied by the time that flush returns.
    pub async fn copy_file_range(
        self: &Arc<Self>,
        (fh_in, offset_in): (Fh, u64),
        (fh_out, offset_out): (Fh, u64),
        len: u64,
        caller: Caller,
    ) -> Result<u64> {
        let input = self.handles.get(fh_in)?;
        let output = self.handles.get(fh_out)?;
        if Arc::ptr_eq(&input.file, &output.file) {
            return self.copy_within(&output, offset_in, offset_out, len, caller).await;
        }
        if offset_in == offset_out
            && let Some(granted) = self.go_on(&input, &output.file, offset_out, len, caller).await?
        {
            return Ok(granted);
        }
        self.refuse_nameless(&input.file)?;
        self.refuse_nameless(&output.file)?;
        drop(self.settled(&output.file, caller).await?);
        let (from, source) = self.clean_version(&input, caller).await?;
        let mut state = output.file.state.lock().await;
        let size = source.properties.size;
        if offset_in >= size {
            return Ok(0);
        }
        let reaches_end = len >= size || len >= KERNEL_CLAMP;
        let blank = match &state.content {
            Content::Draft(draft) => draft.is_blank(),
            Content::Clean => state.version.as_ref().is_none_or(|version| version.properties.size == 0),
            Content::Copying(_) => false,
        };
        if offset_in != 0 || offset_out != 0 || !reaches_end || !blank {
            output.version(&state)?;
            let range = offset_in..size.min(offset_in.saturating_add(len));
            let range = Source::of(&from, &source.properties.etag, range);
            let copied = self.copy_range(range, false, &output.file, &mut state, offset_out, caller).await;
            return copied.map_err(|error| match error.is_about_the_source() {
                true => self.source_disproved(&input.file, &from, &source, error),
                false => self.not_stored(&output.file, &state, error),
            });
        }
        let storing = output.file.storing();
        let mut started = self.copy_onto(&from, &source, &output.file, &state, caller).await;
        if let Err(error) = started {
            started = match error.is_about_the_source() {
                true => Err(self.source_disproved(&input.file, &from, &source, error)),
                // A destination that was truncated needs nothing of what was there.
                false => match self.mend(&output.file, &mut state, error).await {
                    Ok(()) => self.copy_onto(&from, &source, &output.file, &state, caller).await,
                    Err(error) => Err(error),
                },
            };
        }
        let (job, start) = match started {
            Err(error) if is_of_another_type(&error) => {
                // C7: what was to be overwritten stays, and nobody moves the content instead.
                if state.version.is_some() {
                    state.content = Content::Clean;
                    output.file.show(&state);
                }
                input.refuse(&error);
                output.refuse(&error);
                return Err(error);
            }
            job => job?,
        };
        // Mode and owner went along with the copy.
        state.change = AttrChange::default();
        state.content = Content::Copying(Copying {
            job,
            granted: 0,
            granted_at: SystemTime::now(),
            copier: caller.process(),
            source: CopiedFrom { ino: input.file.ino, origin: from, version: source.properties.clone() },
            again: (!self.config.copy_wait).then(|| Box::new(start)),
        });
        output.file.show(&state);
        drop(storing);
        self.grant(&output.file, &mut state, len, caller).await
    }

    /// The service has refused to copy that version of the source: what is remembered of it, unless it is as it was, is forgotten.
    fn source_disproved(&self, input: &OpenFile, from: &Origin, source: &Version, error: Error) -> Error {
        match from.revision {
            None => self.disproved(input.ino, Some(&source.properties.etag), error),
            Some(_) => error,
        }
    }

    /// More of the whole copy that goes on, if that is what is asked for: the same source, from where the last call ended.
    async fn go_on(
        &self,
        input: &Handle,
        output: &OpenFile,
        offset: u64,
        len: u64,
        caller: Caller,
    ) -> Result<Option<u64>> {
        let goes_on = |copying: &Copying| {
            copying.source.ino == input.file.ino && copying.granted == offset && !copying.complete()
        };
        let copied = {
            let mut state = output.state.lock().await;
            match &state.content {
                Content::Copying(copying) if goes_on(copying) => match copying.job.progress() {
                    Progress::Success(_) => copying.source.version.clone(),
                    // Should the source change meanwhile, the copy fails (X8).
                    _ => return self.grant(output, &mut state, len, caller).await.map(Some),
                },
                _ => return Ok(None),
            }
        };
        // One file's lock at a time: another process may be copying the other way.
        {
            let state = input.file.state.lock().await;
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
        let mut state = output.state.lock().await;
        match &state.content {
            Content::Copying(copying) if goes_on(copying) => {
                self.grant(output, &mut state, len, caller).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The version that a copy reads, and where it is: what was written here is committed first.
    async fn clean_version(self: &Arc<Self>, input: &Handle, caller: Caller) -> Result<(Origin, Arc<Version>)> {
        self.settle_own(&input.file, caller).await?;
        let mut state = input.file.state.lock().await;
        if let Content::Copying(_) = state.content {
            return Err(Error::fs(libc::EBUSY, "the source is still being copied itself"));
        }
        self.commit(&input.file, &mut state).await?;
        let version = input.version(&state)?;
        let version = version.ok_or_else(|| Error::fs(libc::EBUSY, "the source has no content in the service yet"))?;
        version.refuse_pending()?;
        Ok((self.tree.origin(input.file.ino)?, version))
    }

    async fn copy_onto(
        self: &Arc<Self>,
        from: &Origin,
        source: &Version,
        output: &OpenFile,
        state: &State,
        caller: Caller,
    ) -> Result<(Arc<CopyJob>, CopySpec)> {
        let to = self.tree.blob(output.ino)?;
        if let Some(there) = &state.version {
            let (is, comes) = (there.properties.blob_type, source.properties.blob_type);
            if is != comes {
                return Err(types_differ(&to, is, &from.blob.path, Some(comes)));
            }
        }
        let mut own = state.version.as_ref().map_or_else(Metadata::default, |v| v.properties.metadata.clone());
        state.change.apply(FileKind::File, &mut own, &self.config.defaults);
        let metadata = attr::for_copy(&source.properties.metadata, &own);
        let precondition = match &state.version {
            Some(version) => Precondition::IfMatch(version.properties.etag.clone()),
            None => Precondition::IfAbsent,
        };
        let url = self.source_url(&from.blob, from.revision.as_ref(), &to).await?;
        let tags = self.tags_of_origin(from, &source.properties).await?;
        let backup = match &state.version {
            Some(there) if self.config.keep_on_abort => {
                Some(self.back_up((&to, Some(output.ino)), &there.properties, None).await?)
            }
            _ => None,
        };
        let start = CopySpec {
            source: url,
            version: Some(source.properties.clone()),
            destination: to,
            precondition,
            // X3: none sent takes the source's, which are these; any sent must be all.
            metadata: (metadata != source.properties.metadata).then_some(metadata),
            tier: None,
            tags,
            // What is copied can be appended to (X23).
            seal: source.properties.seal_of_copy(false),
            care: CopyOptions {
                source: from.current(),
                there: state.version.as_ref().map(|version| version.properties.clone()),
                backup,
                caller: Some(caller),
                ..CopyOptions::default()
            },
        };
        Ok((self.start_copy(start.clone()).await?, start))
    }

    /// One slice of a copy: the bytes to report, at least 1.
    async fn grant(&self, file: &OpenFile, state: &mut State, len: u64, caller: Caller) -> Result<u64> {
        let Content::Copying(copying) = &mut state.content else { return Ok(0) };
        copying.copier = caller.process();
        let progress = if self.config.copy_wait { copying.job.slice().await } else { copying.job.progress() };
        let (granted, total) = (copying.granted, copying.job.total);
        let may = match progress {
            Progress::Success(properties) => {
                copying.granted = granted + len.min(total - granted);
                let reply = copying.granted - granted;
                copying.granted_at = SystemTime::now();
                if copying.complete() {
                    state.content = Content::Clean;
                    self.settle(file, state, properties);
                }
                file.show(state);
                return Ok(reply);
            }
            Progress::Failed(error) => {
                self.give_up_copy(file, state).await;
                return Err(error);
            }
            Progress::Pending(_) if !self.config.copy_wait => total,
            // The last byte stays until it is the only one left: then flush waits, outside the inode lock.
            Progress::Pending(copied) => copied.min(total - 1).max(granted + 1),
        };
        copying.granted = may.min(granted + len).max(granted + 1);
        copying.granted_at = SystemTime::now();
        let reply = copying.granted - granted;
        file.show(state);
        Ok(reply)
    }

    /// The state of a file once no copy onto it is pending, so that it can be written, read or copied on. The wait is outside the
    /// lock: others may look, abort, open and read meanwhile.
    ///
    /// A copy of which only a part was granted is cut to that: at once for its copier, who has turned to something else, or else when it
    /// has ended.
    pub(in crate::fs) async fn settled<'a>(
        self: &Arc<Self>,
        file: &'a OpenFile,
        caller: Caller,
    ) -> Result<MutexGuard<'a, State>> {
        loop {
            let mut state = file.state.lock().await;
            let Content::Copying(copying) = &state.content else { return Ok(state) };
            let (job, complete) = (copying.job.clone(), copying.complete());
            match job.progress() {
                Progress::Success(properties) if complete => {
                    state.content = Content::Clean;
                    self.settle(file, &mut state, properties);
                    return Ok(state);
                }
                Progress::Success(properties) => {
                    self.cut_to_granted(file, &mut state, properties, caller).await?;
                    return Ok(state);
                }
                Progress::Failed(error) => {
                    self.give_up_copy(file, &mut state).await;
                    return Err(error);
                }
                // What is only here cannot be stopped so that it is known what has become of it.
                Progress::Pending(_) if !complete && copying.copier == caller.process() && !job.is_only_here() => {
                    self.stop_at_granted(file, &mut state, caller).await?;
                    continue;
                }
                Progress::Pending(_) => drop(state),
            }
            match self.wait_for_copy(&job, caller).await {
                Err(error) if error.errno() == libc::EINTR => return Err(error),
                // How it ended is looked at under the lock.
                _ => {}
            }
        }
    }

    /// [`Fs::settled`] for the process that copies onto the file itself; others find the copy as it is.
    pub(in crate::fs) async fn settle_own(self: &Arc<Self>, file: &OpenFile, caller: Caller) -> Result<()> {
        let own = match &file.state.lock().await.content {
            Content::Copying(copying) => copying.copier == caller.process(),
            _ => false,
        };
        if own { self.settled(file, caller).await.map(drop) } else { Ok(()) }
    }

    /// The copy ended otherwise than well, or goes on without us: what the destination is now has to be asked.
    pub(in crate::fs) async fn give_up_copy(&self, file: &OpenFile, state: &mut State) {
        let job = match std::mem::replace(&mut state.content, Content::Clean) {
            Content::Copying(copying) => Some(copying.job),
            _ => None,
        };
        let now = async {
            let blob = self.tree.blob(file.ino)?;
            self.blob(&blob).properties().await
        };
        match now.await {
            Ok(properties) => {
                let ours = |job: Arc<CopyJob>| properties.copy.as_ref().is_some_and(|copy| copy.id == job.id);
                if job.is_some_and(ours) {
                    return self.settle(file, state, Arc::new(properties));
                }
                // Another client's: that is another file.
                self.tree.cut_off(file.ino);
                state.version = None;
                file.show(state);
            }
            Err(error) => {
                state.version = None;
                debug!(%error, "nothing is known of the destination of a copy that did not succeed");
                self.tree.doubt(file.ino);
                file.show(state);
            }
        }
    }

    /// Flush of a file that a copy goes to. `Ok(true)` when the copy is settled, `Ok(false)` when it is not this flush's to wait for.
    pub(in crate::fs) async fn flush_copy(self: &Arc<Self>, file: &Arc<OpenFile>, caller: Caller) -> Result<bool> {
        let (job, complete, copier) = {
            let state = file.state.lock().await;
            let Content::Copying(copying) = &state.content else { return Ok(true) };
            (copying.job.clone(), copying.complete(), copying.copier)
        };
        if !complete {
            if caller.process() != copier {
                // Another process closes its duplicate of the descriptor; the copier is still at work.
                return Ok(false);
            }
            if caller.is_being_killed() {
                self.abandon(file).await;
                return Err(failure(&job.destination, CopyFailure::Aborted { id: job.id.to_string() }));
            }
            self.store_granted(file, caller).await?;
            return Ok(true);
        }
        // What only we do ends with us.
        if !self.config.copy_wait && !job.is_only_here() {
            let mut state = file.state.lock().await;
            self.start_anew(&mut state).await?;
            self.give_up_copy(file, &mut state).await;
            return Ok(true);
        }
        match self.settled(file, caller).await {
            Ok(_) => Ok(true),
            Err(error) => {
                if error.errno() == libc::EINTR {
                    self.abandon(file).await;
                }
                Err(error)
            }
        }
    }

    /// `cp -p` sets times, owner and mode when the copy has been accepted, and where nobody waits for its end it is mostly pending then:
    /// nothing can be stored (C9). But it has hardly begun, so it is aborted and begun anew with all of them (X3). What it replaced is not
    /// there any more in any case.
    async fn start_anew(self: &Arc<Self>, state: &mut State) -> Result<()> {
        let Content::Copying(Copying { job, again: Some(again), .. }) = &mut state.content else { return Ok(()) };
        if state.change.is_empty() || job.has_backup() || !matches!(job.progress(), Progress::Pending(_)) {
            return Ok(());
        }
        match self.abort_copy(&job.destination, Some(&job.id)).await {
            Ok(()) => job.over().await,
            // It has ended, and what is to be stored can be.
            Err(error) if error.errno() == libc::ENODATA => return Ok(()),
            Err(error) => return Err(error),
        }
        let now = self.blob(&job.destination).properties().await?;
        if now.copy.as_ref().is_none_or(|copy| copy.id != job.id) {
            return Err(failure(&job.destination, CopyFailure::Replaced { id: job.id.to_string() }));
        }
        let of_the_source = again.version.as_ref().map(|version| version.metadata.clone());
        let mut metadata = again.metadata.clone().or(of_the_source).unwrap_or_default();
        state.change.apply(FileKind::File, &mut metadata, &self.config.defaults);
        let metadata = (!metadata.is_empty()).then_some(metadata);
        let start = CopySpec { metadata, precondition: Precondition::IfMatch(now.etag), ..(**again).clone() };
        *job = self.start_copy(start).await?;
        state.change = AttrChange::default();
        Ok(())
    }

    /// Nobody wants the copy any more: abort it. The destination is then the service's empty blob with status `aborted`.
    pub(in crate::fs) async fn abandon(self: &Arc<Self>, file: &OpenFile) {
        let mut state = file.state.lock().await;
        let Content::Copying(copying) = &state.content else { return };
        let job = copying.job.clone();
        if job.is_only_here() {
            self.stop_fetching(&job).await;
        } else {
            match self.abort_copy(&job.destination, Some(&job.id)).await {
                Ok(()) => {}
                // It ended before we came.
                Err(error) if error.errno() == libc::ENODATA => {}
                Err(error) => warn!(destination = %job.destination.path, id = %job.id, %error, "cannot abort a copy"),
            }
        }
        self.give_up_copy(file, &mut state).await;
    }
}

/// The copy was refused for the types of its blobs (C7), here or by the service.
fn is_of_another_type(error: &Error) -> bool {
    error.code() == "InvalidBlobType" || matches!(error, Error::Fs { errno: libc::EOPNOTSUPP, .. })
}
