//! Programs that wait in poll(2) for the end of a copy.
//!
//! The kernel asks once whether a file is ready, and if it is not, wants to be notified when it asks again with
//! success. One task per open file waits for that; it ends with the copy or with the file. It notifies long after the
//! request was answered, never from within one, which could block both sides.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use fuser::PollNotifier;
use tokio::task::AbortHandle;
use tracing::debug;

use crate::fs::CopyJob;
use crate::fs::handle::Fh;
use crate::sync::lock;

#[derive(Default)]
pub(super) struct Watchers(Mutex<HashMap<Fh, AbortHandle>>);

impl Watchers {
    /// Notifies the kernel when the copy has ended; an earlier promise for the same open file is replaced.
    pub(super) fn watch(&self, fh: Fh, job: Arc<CopyJob>, notifier: PollNotifier) {
        let task = tokio::spawn(async move {
            job.ended().await;
            // The call may block for a moment.
            let told = tokio::task::spawn_blocking(move || notifier.notify()).await;
            if let Ok(Err(error)) = told {
                debug!(%error, "nobody polls any more");
            }
        });
        let mut watchers = lock(&self.0);
        if let Some(old) = watchers.insert(fh, task.abort_handle()) {
            old.abort();
        }
    }

    /// The file was closed.
    pub(super) fn forget(&self, fh: Fh) {
        if let Some(task) = lock(&self.0).remove(&fh) {
            task.abort();
        }
    }
}
