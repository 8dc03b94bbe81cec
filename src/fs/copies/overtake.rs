//! A Copy Blob that is too slow, given up for blocks.
//!
//! It has taken what was there, so its abort leaves an empty blob, and the service takes no blocks before that (§13.3). From
//! the abort to the block list this mount is all that knows of the copy; so whatever comes in between leads back to a
//! Copy Blob: slow or refused blocks, and the end of the mount. The journal has it for the case that nobody is there any
//! more who could begin that (`leftovers/overtaken`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tracing::{debug, info};

use crate::error::{CopyFailure, Error};
use crate::fs::copies::blocks::BlockCopy;
use crate::fs::copies::job::{CopyJob, Progress, failure, is_abort};
use crate::fs::copies::run::{Begun, Copies};
use crate::fs::copies::spec::CopyOptions;
use crate::fs::names::tree::Blob;
use crate::store::{AbortOptions, ETag, Keeping};

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
        // What has a backup is known by that, and comes back.
        let entry = (!job.has_backup()).then(|| copies.service.journal.begin(copy.overtaken(job)));
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
            // At the end of the mount nobody is there who hears of a failure.
            match job.is_left() && !job.is_begun_anew() {
                true => entry.leave(),
                false => entry.end(),
            }
        }
        ended
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
        let there = match copies.service.blob(&job.destination).properties().await {
            Ok(there) => there,
            Err(error) => return Some(Progress::Failed(error)),
        };
        if there.copy.as_ref().is_none_or(|shown| shown.id != job.id) {
            return Some(Progress::Failed(failure(&job.destination, CopyFailure::Replaced { id: job.id.to_string() })));
        }
        *left = Some(there.etag.clone());
        copies.jobs.give_up(&job.id);
        let copy = copy.onto(there.etag);
        let admitted = tokio::select! {
            admitted = copy.admit() => {
                if admitted.is_none() {
                    copy.note_refusal();
                }
                admitted
            }
            () = job.stopped.cancelled() => None,
        };
        if let Some(admitted) = admitted
            && let Some(ended) = copy.run(job, admitted, true).await
        {
            return Some(ended);
        }
        self.begin_anew(&copy).await
    }

    /// Takes the Copy Blob up again that blocks were to be faster than.
    async fn begin_anew(&self, copy: &BlockCopy) -> Option<Progress> {
        let Self { copies, job, .. } = *self;
        if job.stopped.is_cancelled() && !job.is_left() {
            return Some(Progress::Failed(failure(&job.destination, CopyFailure::Aborted { id: job.id.to_string() })));
        }
        match copies.begin(&job.destination, &copy.request, Some(&copy.source), &CopyOptions::default()).await {
            Ok(Begun::Accepted(id, progress)) => {
                job.set_begun_anew(id);
                match progress {
                    Progress::Pending(_) => copies.poll_to_the_end(job, |_| false).await,
                    ended => Some(ended),
                }
            }
            Ok(Begun::Unreadable) => Some(Progress::Failed(Error::fs(libc::EIO, "the source cannot be read any more"))),
            Err(error) => Some(Progress::Failed(error)),
        }
    }
}
