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
//! source is copied before ([`recall`](crate::fs::content::recall::recall)); if another client changes it, whoever closes the file, or calls fsync,
//! hears ESTALE, and nothing is stored.
//!
//! [`Segment::Remote`]: crate::fs::content::extent_map::Segment::Remote

use std::ops::Range;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tracing::debug;

use crate::error::{Error, Result};
use crate::fs::caller::Caller;
use crate::fs::content::copied_from::CopiedFrom;
use crate::fs::content::destination::CopyDestinations;
use crate::fs::content::draft::refuse_too_large;
use crate::fs::content::handle::{Content, Copying, Locked};
use crate::fs::content::recall::refused_by;
use crate::fs::content::strategy::WriteStrategy;
use crate::fs::copies::job::{CopyJob, Progress};
use crate::fs::copies::spec::CopySpec;
use crate::fs::names::attr::AttrChange;
use crate::fs::names::tree::Origin;
use crate::store::BlobProperties;

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
        // It may have been changed here since the caller has seen it, when nothing was lent yet: then it is copied now, or
        // refused, and what the file holds already is not at stake.
        let view = self.files.tree.view(source.ino).ok().filter(|_| self.files.tree.place(source.ino).is_ok());
        let now = view.as_ref().and_then(|view| view.properties()).map(|properties| &properties.etag);
        if now != Some(&source.version.etag) {
            if !locked.draft()?.has_borrowed() {
                self.files.loans.repay(locked.ino());
            }
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
        if !self.brings_what_was_chosen(locked, &origin, &source.version).await? {
            return Ok(());
        }
        let _storing = locked.file().storing();
        match self.copy_onto(&origin, &source.version, locked, caller).await {
            Ok((job, start)) => {
                let granted = job.total;
                self.begin_copying(locked, (job, start), source, granted, caller);
            }
            Err(error) if error.is_about_the_source() => return Err(refused_by(&self.files, &source, error)),
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

    /// A Copy Blob of all of a source makes the file what its writers want it to be.
    pub(crate) async fn brings_what_was_chosen(
        &self,
        locked: &mut Locked,
        from: &Origin,
        source: &BlobProperties,
    ) -> Result<bool> {
        if locked.chosen.is_none() || locked.version.is_some() {
            return Ok(true);
        }
        let tags = self.files.service.tags_of_origin(from, source).await?;
        let blob = self.files.tree.blob(locked.ino())?;
        let anew = self.files.settings(&blob, None, &AttrChange::default(), None);
        Ok(locked.comes_along(&anew, source, tags))
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
        (locked.change, locked.chosen) = (AttrChange::default(), None);
        locked.tags = Some((Instant::now(), start.tags.clone()));
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
