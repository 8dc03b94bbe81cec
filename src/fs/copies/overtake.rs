//! A Copy Blob that is too slow, given up for blocks.
//!
//! It has taken what was there, so its abort leaves an empty blob, and the service takes no blocks before that (§13.3). From
//! the abort to the block list this mount is all that knows of the copy; so whatever comes in between leads back to a
//! Copy Blob: slow or refused blocks, and the end of the mount. The journal has it for the case that nobody is there any
//! more who could begin that (`leftovers/overtaken`).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::{debug, info};

use crate::error::{CopyFailure, Error, Result};
use crate::fs::copies::blocks::{BlockCopy, Wish};
use crate::fs::copies::job::{CopyJob, Progress, failure, is_abort};
use crate::fs::copies::run::{Begun, Copies};
use crate::fs::copies::spec::CopyOptions;
use crate::fs::names::tree::Blob;
use crate::store::{AbortOptions, CopyId, ETag, Keeping};

/// Between two questions of a service that is away, first and at the longest: each question repeats itself already.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A Copy Blob that is given up for blocks.
pub(super) struct Overtaking<'a> {
    pub copies: &'a Copies,
    pub job: &'a Arc<CopyJob>,
    pub copy: &'a BlockCopy,
}

impl Overtaking<'_> {
    /// Gives a Copy Blob up for blocks, and takes it up again if those turn out to be slower or fail. `left` becomes the
    /// version that the destination has until the blocks are committed. `None`: it is left to the service.
    pub(super) async fn run(&self, left: &mut Option<ETag>) -> Option<Progress> {
        let Self { copies, job, copy } = *self;
        if !self.can_be_written_again().await {
            return copies.poll_to_the_end(job, |_| false).await;
        }
        job.set_in_blocks(true);
        // Seen by who ends the mount, or not begun any more.
        if copies.ending.load(Ordering::SeqCst) {
            job.set_in_blocks(false);
            return copies.poll_to_the_end(job, |_| false).await;
        }
        // A snapshot is known by its mark, and comes back.
        let entry = (!job.has_snapshot()).then(|| copies.service.journal.begin(copy.overtaken(job)));
        let client = copies.service.blob(&job.destination);
        info!(destination = %job.destination.path, id = %job.id, "a slow copy goes on in blocks");
        let aborted = client.abort_copy(&job.id, &AbortOptions { lease: job.lease.as_ref() }).await;
        let ended = match aborted {
            Ok(()) => self.go_on_in_blocks(left).await,
            Err(error) => {
                debug!(destination = %job.destination.path, id = %job.id, %error, "a slow copy cannot be aborted");
                // Mostly it has ended (X12). Where nobody answered, it may have been aborted all the same.
                let refused = (400..500).contains(&error.status());
                job.set_in_blocks(!refused);
                match copies.poll_to_the_end(job, |_| false).await {
                    Some(ended) if !refused && is_abort(&ended) && !job.stopped.is_cancelled() => {
                        self.go_on_in_blocks(left).await
                    }
                    ended => {
                        job.set_in_blocks(false);
                        ended
                    }
                }
            }
        };
        if !matches!(ended, Some(Progress::Success(_))) {
            copies.jobs.came_to_nothing(&job.id);
        }
        if let Some(entry) = entry {
            match self.leaves_empty(ended.as_ref()) {
                true => entry.leave(),
                false => entry.end(),
            }
        }
        ended
    }

    /// An empty file may be all that is there, and the service has no word of what was to fill it: `blobcp clean` can.
    fn leaves_empty(&self, ended: Option<&Progress>) -> bool {
        let job = self.job;
        match ended {
            // What an abort leaves was wanted, and what another client wrote is there.
            Some(ended) if is_abort(ended) => false,
            Some(Progress::Failed(Error::Copy { failure: CopyFailure::Replaced { .. }, .. })) => false,
            Some(Progress::Failed(_)) => !job.is_begun_anew(),
            // At the end of the mount nobody is there who hears of a failure.
            None => job.is_left() && !job.is_begun_anew(),
            Some(Progress::Success(_) | Progress::Pending(_)) => false,
        }
    }

    /// A container that keeps what is made would keep the empty blob (S109). So it is asked, and one that may not be asked
    /// is taken for such a one.
    async fn can_be_written_again(&self) -> bool {
        let Blob { account, path } = &self.job.destination;
        match self.copies.service.client(*account).container(&path.container).properties().await {
            Ok(container) => container.keeping == Keeping::Nothing,
            Err(error) => {
                debug!(destination = %path, %error, "whether its container keeps what is made is not known, so it stays a Copy Blob");
                false
            }
        }
    }

    /// [`Overtaking::run`], when the Copy Blob is aborted.
    async fn go_on_in_blocks(&self, left: &mut Option<ETag>) -> Option<Progress> {
        let Self { copies, job, copy } = *self;
        let mut pause = PAUSE;
        let there = loop {
            match copies.service.blob(&job.destination).properties().await {
                Ok(there) => break there,
                Err(error) if self.may_ask_again(&error, &mut pause).await => {}
                Err(error) => return Some(Progress::Failed(error)),
            }
        };
        if there.copy.as_ref().is_none_or(|shown| shown.id != job.id) {
            return Some(Progress::Failed(failure(&job.destination, CopyFailure::Replaced { id: job.id.to_string() })));
        }
        *left = Some(there.etag.clone());
        copies.jobs.give_up(&job.id);
        let copy = copy.onto(there.etag);
        let admitted = tokio::select! {
            admitted = copy.admit() => admitted,
            () = job.stopped.cancelled() => None,
        };
        if let Some(admitted) = admitted
            && let Some(ended) = copy.run(job, admitted, Wish::Trial).await
        {
            return Some(ended);
        }
        self.begin_anew(&copy).await
    }

    /// Takes the Copy Blob up again that blocks were to be faster than, or were to do. Nothing but that fills the file, so
    /// a service that is away is waited for.
    async fn begin_anew(&self, copy: &BlockCopy) -> Option<Progress> {
        let Self { copies, job, .. } = *self;
        let (mut pause, mut unclear) = (PAUSE, false);
        loop {
            if job.stopped.is_cancelled() && !job.is_left() {
                let aborted = failure(&job.destination, CopyFailure::Aborted { id: job.id.to_string() });
                return Some(Progress::Failed(aborted));
            }
            let error = match take_up(copies, job, copy).await {
                Ok(ended) => return ended,
                Err(error) => error,
            };
            if unclear
                && error.is_precondition_failed()
                && let Some(id) = self.begun_unheard(copy).await
            {
                job.set_begun_anew(id);
                return copies.poll_to_the_end(job, |_| false).await;
            }
            unclear |= is_away(&error);
            if !self.may_ask_again(&error, &mut pause).await {
                return Some(Progress::Failed(error));
            }
        }
    }

    /// The copy that a request without an answer has begun, by its source.
    async fn begun_unheard(&self, copy: &BlockCopy) -> Option<CopyId> {
        let there = self.copies.service.blob(&self.job.destination).properties().await.ok()?;
        let plain = |url: &str| url.split('?').next().unwrap_or_default().to_owned();
        let source = plain(&copy.request.source.to_string());
        let shown = there.copy.filter(|shown| shown.id != self.job.id)?;
        (shown.source.as_deref().map(plain) == Some(source)).then_some(shown.id)
    }

    /// The service was away, and after a pause it is asked once more: as long as anybody wants the copy, and once when the
    /// mount ends.
    async fn may_ask_again(&self, error: &Error, pause: &mut Duration) -> bool {
        let job = self.job;
        if !is_away(error) || job.stopped.is_cancelled() {
            return false;
        }
        debug!(destination = %job.destination.path, id = %job.id, %error, "the service is waited for");
        tokio::select! {
            () = tokio::time::sleep(*pause) => {}
            () = job.stopped.cancelled() => {}
        }
        *pause = LONGEST_PAUSE.min(*pause * 2);
        true
    }
}

/// Nobody has answered, or not with a refusal.
fn is_away(error: &Error) -> bool {
    matches!(error, Error::Transport { .. }) || error.status() >= 500 || error.status() == 429
}

/// Has the service do by Copy Blob what this mount was to do in blocks: to its end. Fails if it does not begin.
pub(super) async fn take_up(copies: &Copies, job: &Arc<CopyJob>, copy: &BlockCopy) -> Result<Option<Progress>> {
    match copies.begin(&job.destination, &copy.request, Some(&copy.source), &CopyOptions::default()).await? {
        Begun::Accepted(id, progress) => {
            job.set_begun_anew(id);
            Ok(match progress {
                Progress::Pending(_) => copies.poll_to_the_end(job, |_| false).await,
                ended => Some(ended),
            })
        }
        Begun::Unreadable => Err(Error::fs(libc::EIO, "the source cannot be read any more")),
    }
}
