//! Copies that are asked for in pieces.
//!
//! GNU cp asks for all of a file with its first call; most other programs ask for pieces of 512 KiB to 2 GiB. A piece
//! costs no request: the file has a range of a version of the source then ([`Segment::Remote`]), and neighbours are one
//! range. What is asked of the service is decided when all is known that can be:
//!
//! | the file holds | requests | when |
//! |---|---|---|
//! | all of one source, and nothing else | one Copy Blob, with metadata, properties, tags and tier | with the call that completes it |
//! | ranges, and whatever else | Put Block From URL of each, then one Put Block List | when it is stored |
//!
//! Until then the ranges are pinned to the version that was there when they were asked for. What this mount changes of a
//! source is copied before ([`Files::recall`]); if another client changes it, whoever closes the file, or calls fsync,
//! hears ESTALE, and nothing is stored.
//!
//! [`Segment::Remote`]: crate::fs::content::extent_map::Segment::Remote

use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use tracing::{debug, warn};

use crate::error::{Error, Result};
use crate::fs::caller::Caller;
use crate::fs::content::copied_from::CopiedFrom;
use crate::fs::content::destination::CopyDestinations;
use crate::fs::content::draft::{Basis, Draft, refuse_too_large};
use crate::fs::content::files::Files;
use crate::fs::content::handle::{Content, Copying, Locked, OpenFile};
use crate::fs::content::loans::{Changed, Changing};
use crate::fs::content::source::RangeSource;
use crate::fs::content::strategy::WriteStrategy;
use crate::fs::content::upload::Target;
use crate::fs::copies::job::{CopyJob, Progress};
use crate::fs::copies::spec::CopySpec;
use crate::fs::names::attr::{AttrChange, Ino};
use crate::fs::names::coherence::refutes_cache;

impl CopyDestinations {
    /// Puts a range of a clean source into the file, bytes, at `offset`: the service is to copy it. False if that has to
    /// be done at once.
    pub(crate) async fn borrow(
        &self,
        source: &CopiedFrom,
        range: Range<u64>,
        locked: &mut Locked,
        offset: u64,
    ) -> Result<bool> {
        self.files.make_room(locked).await?;
        if locked.is_unborn() || !matches!(locked.draft()?.strategy, WriteStrategy::Blocks) {
            return Ok(false);
        }
        let to = offset..offset.saturating_add(range.end - range.start);
        refuse_too_large(locked.draft()?, to.end)?;
        if locked.draft()?.extents.may_replace(to).is_err() {
            self.files.commit(locked).await?;
        }
        if !self.files.loans.lend(source.ino, locked.ino()) {
            return Ok(false);
        }
        let borrowed = locked.draft()?.borrow(source, range, offset);
        borrowed.map_err(|_| Error::fs(libc::EIO, "a range does not fit where it was to go"))?;
        locked.publish();
        Ok(true)
    }

    /// A file that has become all of another one, and nothing else, is a Copy Blob of that. An error that is about the
    /// source is the caller's; for any other it stays as it is, and is stored block by block.
    pub(crate) async fn copy_what_is_whole(&self, locked: &mut Locked, caller: Caller) -> Result<()> {
        let Content::Draft(draft) = &locked.content else { return Ok(()) };
        let Some(source) = draft.only_source().cloned() else { return Ok(()) };
        // A blob keeps its type.
        if locked.version.as_ref().is_some_and(|there| there.properties.blob_type != source.version.blob_type) {
            return Ok(());
        }
        let origin = self.files.tree.origin(source.ino).unwrap_or_else(|_| source.origin.clone());
        let _storing = locked.file().storing();
        match self.copy_onto(&origin, &source.version, locked, caller).await {
            Ok((job, start)) => {
                let granted = job.total;
                self.begin_copying(locked, (job, start), source, granted, caller);
            }
            Err(error) if error.is_about_the_source() => return Err(self.files.refused_by(&source, error)),
            Err(error) => {
                debug!(source = %origin.blob.path, %error, "copied in blocks, because it is not as a whole");
                return Ok(());
            }
        }
        let Content::Copying(copying) = &locked.content else { return Ok(()) };
        match copying.job.progress() {
            Progress::Success(properties) => {
                locked.content = Content::Clean;
                self.files.record_version(locked, properties);
                Ok(())
            }
            Progress::Failed(error) => {
                self.detach(locked).await;
                Err(error)
            }
            Progress::Pending(_) => Ok(()),
        }
    }

    /// The file is the destination of a whole copy now, of which so many bytes are granted.
    pub(crate) fn begin_copying(
        &self,
        locked: &mut Locked,
        (job, start): (Arc<CopyJob>, CopySpec),
        source: CopiedFrom,
        granted: u64,
        caller: Caller,
    ) {
        if let Content::Draft(draft) = &mut locked.content {
            draft.discard_uploads();
        }
        self.files.loans.repay(locked.ino());
        // Mode and owner went along with the copy.
        locked.change = AttrChange::default();
        locked.content = Content::Copying(Copying {
            job,
            granted,
            granted_at: SystemTime::now(),
            copier: caller.process(),
            source,
            again: (!self.files.config.copy_wait).then(|| Box::new(start)),
        });
        locked.publish();
    }
}

impl Files {
    /// `Names::invalidate_refused_source` for a source that was borrowed from.
    pub(crate) fn refused_by(&self, source: &CopiedFrom, error: Error) -> Error {
        self.names.invalidate_refused_source(source.ino, &source.origin, &source.version.etag, error)
    }

    /// What a file has borrowed may have another name by now.
    pub(crate) fn locate_sources(&self, locked: &mut Locked) {
        let Content::Draft(draft) = &mut locked.content else { return };
        for source in &mut draft.sources {
            if let Ok(origin) = self.tree.origin(source.ino) {
                source.origin = origin;
            }
        }
    }

    /// [`Files::refused_by`] where it is not told which source it is. What was to be copied is nowhere any more, so the
    /// file is what the service has, or empty; whoever hears the error knows that nothing was stored.
    pub(crate) fn sources_refused(&self, locked: &mut Locked, error: Error) -> Error {
        let (file, state) = locked.parts();
        let Content::Draft(draft) = &mut state.content else { return error };
        draft.discard_uploads();
        let mut told = error.clone();
        for source in &draft.sources {
            told = self.refused_by(source, error.clone());
        }
        state.content = match &state.version {
            Some(_) => Content::Clean,
            None => Content::Draft(Box::new(Draft::empty(Basis::Version))),
        };
        self.loans.repay(file.ino);
        told
    }

    /// Before this mount changes a file, or many: the service copies what was lent of it, and nothing more is lent
    /// until what this returns is dropped. Not to be called under the lock of a file that may have borrowed.
    pub(crate) async fn recall(&self, what: Changed) -> Result<Changing> {
        let (changing, borrowers) = self.loans.change(what);
        for to in borrowers {
            let Some(file) = self.handles.of_ino(to) else {
                self.loans.repay(to);
                continue;
            };
            self.settle_loans(&file, what).await?;
        }
        Ok(changing)
    }

    async fn settle_loans(&self, file: &Arc<OpenFile>, what: Changed) -> Result<()> {
        let source = match what {
            Changed::One(ino) => Some(ino),
            Changed::Many => None,
        };
        loop {
            let repaid = self.loans.repaid.notified();
            tokio::pin!(repaid);
            repaid.as_mut().enable();
            if !self.loans.owes(file.ino) {
                return Ok(());
            }
            // Whoever has the lock may be the one who waits for us: a rename, which has recalled what it changes itself.
            tokio::select! {
                mut locked = file.lock() => return self.stage_borrowed(&mut locked, source).await,
                () = repaid => {}
            }
        }
    }

    /// Has the service make blocks of what the file has borrowed from `source`, or from all. What has been changed by
    /// another client is left: the error is that of whoever stores the file.
    async fn stage_borrowed(&self, locked: &mut Locked, source: Option<Ino>) -> Result<()> {
        let (file, state) = locked.parts();
        let base = state.version.clone();
        let Content::Draft(draft) = &mut state.content else {
            self.loans.repay(file.ino);
            return Ok(());
        };
        let Ok(to) = self.tree.blob(file.ino) else { return Ok(()) };
        let target = Target { blob: &to, base: base.as_deref() };
        let borrowed: Vec<_> = draft.extents.remotes().collect();
        for (start, number, range) in borrowed {
            let Some(from) = draft.sources.get(number).cloned() else { continue };
            if source.is_some_and(|ino| ino != from.ino) {
                continue;
            }
            let mut done = 0;
            while range.start + done < range.end {
                let rest = range.start + done..range.end;
                let part = RangeSource::of(&from.origin, &from.version.etag, rest.clone());
                let made = match self.uploads.splice_block(target, draft, &part, start + done, Caller { pid: 0 }).await
                {
                    Ok(Some(len)) => len,
                    // What the service cannot copy is read and sent.
                    Ok(None) => return self.commit(locked).await,
                    // Source or destination are another client's by now: whoever stores the file hears of it.
                    Err(error) if error.is_about_the_source() || refutes_cache(&error) => {
                        warn!(source = %from.origin.blob.path, destination = %to.path, %error, "not copied any more");
                        break;
                    }
                    Err(error) => return Err(error),
                };
                done += made;
            }
        }
        if draft.extents.remotes().next().is_none() {
            draft.sources.clear();
            self.loans.repay(file.ino);
        }
        locked.publish();
        Ok(())
    }
}
