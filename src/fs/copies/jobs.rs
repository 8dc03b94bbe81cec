//! The copies of this mount that are pending, by their destination.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use crate::fs::copies::job::{CopyJob, Progress};
use crate::fs::names::tree::Blob;
use crate::sync::lock;

/// The copies that are polled, by their destinations.
#[derive(Default)]
pub(crate) struct Jobs(Mutex<HashMap<Blob, Weak<CopyJob>>>);

/// Entries at which those that have ended are looked for.
pub(in crate::fs) const MANY: usize = 1024;

impl Jobs {
    pub(crate) fn add(&self, job: &Arc<CopyJob>) {
        let mut jobs = lock(&self.0);
        if jobs.len() >= MANY {
            jobs.retain(|_, job| job.strong_count() > 0);
        }
        jobs.insert(job.destination.clone(), Arc::downgrade(job));
    }

    pub(crate) fn pending(&self, blob: &Blob) -> Option<Arc<CopyJob>> {
        self.of(blob).filter(|job| matches!(job.progress(), Progress::Pending(_)))
    }

    /// The copy onto a blob that was followed last.
    pub(crate) fn of(&self, blob: &Blob) -> Option<Arc<CopyJob>> {
        lock(&self.0).get(blob)?.upgrade()
    }
}
