//! What is still to be done at the service when the caller has had his answer: old content to be brought back, leases to be given up.
//! Unmounting waits for it.

use std::time::Duration;

use tokio::sync::watch;

/// How many are under way.
#[derive(Debug, Clone)]
pub struct Chores(watch::Sender<usize>);

impl Default for Chores {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Chores {
    /// One more, until what is returned is dropped.
    pub fn begin(&self) -> Chore {
        self.0.send_modify(|count| *count += 1);
        Chore(self.0.clone())
    }

    /// Waits until none is under way; false if that takes longer.
    pub async fn done(&self, bound: Duration) -> bool {
        let mut count = self.0.subscribe();
        tokio::time::timeout(bound, count.wait_for(|count| *count == 0)).await.is_ok()
    }
}

pub struct Chore(watch::Sender<usize>);

impl Drop for Chore {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
