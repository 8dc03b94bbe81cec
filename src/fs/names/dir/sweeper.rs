//! When a directory is listed for the sake of the lookups in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::fs::names::tree::Tree;

/// Sweeps are not more frequent than this, however short what was heard is believed.
pub(in crate::fs) const SHORTEST_SWEEP: Duration = Duration::from_millis(100);

/// Forgets old listings, as long as there are some.
#[derive(Default)]
pub(crate) struct Sweeper(Arc<AtomicBool>);

impl Sweeper {
    /// Something was remembered.
    pub(in crate::fs) fn wake(&self, tree: &Arc<Tree>, ttl: Duration) {
        if self.0.swap(true, Ordering::AcqRel) {
            return;
        }
        let (awake, tree) = (self.0.clone(), Arc::downgrade(tree));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(ttl.max(SHORTEST_SWEEP)).await;
                // The mount has ended if the tree has.
                let Some(tree) = tree.upgrade() else { return };
                if tree.listings().sweep() {
                    continue;
                }
                awake.store(false, Ordering::Release);
                // What came in that moment has found us awake.
                if !tree.listings().sweep() || awake.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
        });
    }
}
