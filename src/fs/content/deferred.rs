//! Closes that are answered before what was written is stored (D36).
//!
//! Some runtimes duplicate the descriptor of a file for each write, and close the duplicate when that is done (Deno does),
//! as shells do for each command that they run themselves. Each of these closes is a FLUSH, like the last one. To store
//! what there is with each is a commit per write, with two requests once the file has blocks.
//!
//! A commit may wait where all of this holds:
//!
//! - an earlier close of the same open file has stored something, and it is open still;
//! - whoever closes has it open for writing under another descriptor. It is the only one that is open for writing, so
//!   that descriptor is of the same open file, and its close is a FLUSH, too, which tells what went wrong;
//! - the blob is one of blocks. An append blob takes what is new with one request, and others follow it line by line.
//!
//! A regular file that mknod(2) has made is stored with what comes next, too: `tar --xattrs` makes each file so, sets its
//! attributes by its name, and then opens it to write (D37). Nobody closes it before, so an error that is found when the
//! time is up is in the log only.
//!
//! The wait has an end: within `store_within` everything is stored by the mount itself. If it cannot be, nothing is
//! deferred any more until a close or fsync, which tell their caller what is wrong, has stored it.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, warn};

use crate::fs::content::files::Files;
use crate::fs::content::handle::{Content, Deferral, FileState, Locked, OpenFile};
use crate::fs::content::once::UNFILLED;
use crate::fs::content::strategy::WriteStrategy;

impl FileState {
    /// What was written may be stored later, if its writer closes the file once more.
    pub(in crate::fs) fn is_deferrable(&self) -> bool {
        let can_wait = |content: &Content| match content {
            Content::Draft(draft) => {
                draft.dirty && draft.touched && matches!(draft.strategy, WriteStrategy::Blocks) && !draft.has_borrowed()
            }
            Content::Clean | Content::Copying(_) => false,
        };
        self.deferral != Deferral::Failed && !self.is_unborn() && can_wait(&self.content)
    }

    /// How long it stays here without a user, for somebody to write to it; `None` if its last one stores it.
    /// `within`: that of a file that mknod(2) has made.
    pub(in crate::fs) fn time_to_fill(&self, within: Duration) -> Option<Duration> {
        let is_blank = matches!(&self.content, Content::Draft(draft) if draft.is_blank());
        match self.deferral {
            _ if self.is_unfilled() => Some(UNFILLED),
            Deferral::Made => (is_blank && self.version.is_none()).then_some(within),
            _ => None,
        }
    }
}

/// Stores what the file holds within `store_within`, unless that is done before.
pub(in crate::fs) fn store_later(files: &Arc<Files>, locked: &mut Locked) {
    let Some(file) = files.handles.of_ino(locked.ino()) else { return };
    if locked.deferral == Deferral::Due {
        return;
    }
    locked.deferral = Deferral::Due;
    let files = files.clone();
    tokio::spawn(async move {
        tokio::time::sleep(files.config.store_within).await;
        let mut locked = file.lock().await;
        locked.deferral = Deferral::Nothing;
        // The last to leave has stored it, or said what is lost.
        if !file.is_written() {
            return;
        }
        if let Err(error) = files.commit(&mut locked).await {
            let name = files.tree.view(file.ino).map(|view| view.name).unwrap_or_default();
            warn!(%name, %error, "what was written is not stored yet; the next close tries again");
            locked.deferral = Deferral::Failed;
        }
    });
}

/// Keeps a file here that was made and not written to, until it is written to or its time is up. The caller is its last
/// user, and stays so. Who opens it meanwhile to read it does not keep it from being stored.
pub(in crate::fs) fn wait_for_content(files: &Arc<Files>, file: Arc<OpenFile>, time: Duration) {
    let files = files.clone();
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        let ino = file.ino;
        if !file.is_written() {
            let mut locked = file.lock().await;
            // Who leaves it last tries once more, and says what is lost.
            if locked.time_to_fill(time).is_some()
                && !locked.is_unfilled()
                && let Err(error) = files.commit(&mut locked).await
            {
                debug!(?ino, %error, "what mknod has made is not stored yet");
            }
        }
        files.clone().release_later(file).await;
        files.tree.kernel().closed(ino);
    });
}
