//! Tasks that are left at the service when the caller has had its answer: old content to be restored, leases to be
//! released. Unmounting waits for it.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// The tasks under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct BackgroundTasks(TaskTracker);

impl BackgroundTasks {
    /// One more, which is done whether or not anybody waits for what is returned.
    pub(crate) fn spawn<T: Send + 'static>(&self, chore: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.0.spawn(chore)
    }

    /// Waits until none is under way; false if that takes longer.
    pub(crate) async fn done(&self, bound: Duration) -> bool {
        // The tracker waits for tasks that are still to come until it is told of the end. It takes more even then.
        self.0.close();
        tokio::time::timeout(bound, self.0.wait()).await.is_ok()
    }
}
