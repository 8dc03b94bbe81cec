//! Open files that their users let go of.

use std::sync::Arc;

use tracing::error;

use crate::fs::content::commit::commit_finally;
use crate::fs::content::deferred::wait_for_content;
use crate::fs::content::files::Files;
use crate::fs::content::handle::{Content, Locked, OpenFile};

impl Files {
    /// Gives back what [`Files::acquire`] took. The last to leave stores what nobody has stored; nobody hears of an
    /// error any more but the log. All leave under the state lock, so that of two who leave together one is the last.
    pub(crate) async fn release(self: &Arc<Self>, mut locked: Locked) {
        let ino = locked.ino();
        if self.handles.is_last(ino)
            && let Some(time) = locked.time_to_fill(self.config.store_within)
            && self.tree.place(ino).is_ok()
            && let Some(file) = self.handles.of_ino(ino)
        {
            return wait_for_content(self, file, time);
        }
        self.leave(&mut locked).await;
        drop(locked);
        self.tree.kernel().closed(ino);
    }

    async fn leave(&self, locked: &mut Locked) {
        let ino = locked.ino();
        if self.handles.is_last(ino) {
            if let Err(error) = commit_finally(self, locked).await {
                let name = self.tree.view(ino).map(|view| view.name).unwrap_or_default();
                error!(%name, %error, "what was written last is lost: it could not be stored");
                // The kernel's cache has what was written, and the version that it was to replace is still there: whoever
                // opens the name next looks it up anew, and reads what the service has.
                self.tree.detach(ino);
            }
            if let Some(error) = locked.lost.take() {
                let name = self.tree.view(ino).map(|view| view.name).unwrap_or_default();
                error!(%name, %error, "something that was written or set is lost, and nobody has heard of it");
            }
            // Also of a file that was removed meanwhile.
            if let Content::Draft(draft) = &mut locked.content {
                self.uploads.abandon(draft).await;
            }
            self.loans.repay(ino);
        }
        self.handles.done(ino);
    }

    /// Whoever closes the file meanwhile does not take himself for the last, and leaves to us what that one does.
    pub(crate) async fn release_later(self: Arc<Self>, file: Arc<OpenFile>) {
        self.leave(&mut file.lock().await).await;
    }
}
