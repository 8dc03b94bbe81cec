//! Events of a copy of a tree since its caller asked last.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use crate::store::CopyId;

/// News that come soon after the first are told together.
pub(in crate::fs) const EVENTS_TOGETHER: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub files: u64,
    pub bytes: u64,
}

impl Count {
    pub(in crate::fs) fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

/// Numbers of the files that were found, by outcome. Markers of directories are not counted, unless they fail.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    pub found: Count,
    /// Copied, or with `no_wait` accepted, or in a dry run to be copied.
    pub copied: Count,
    pub skipped: Count,
    pub failed: Count,
    pub aborted: Count,
}

/// The outcome for a blob.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Copied to the end.
    Copied(CopyId),
    /// Accepted, and nobody waits for its end.
    Accepted(CopyId),
    /// A dry run: it would be copied.
    Due,
    /// Left alone.
    Skipped(Skip),
    /// errno and reason.
    Failed(i32, String),
    /// True: an empty file was left, where there had been another one.
    Aborted(bool),
}

/// The reason why a blob was not copied that could have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// The destination exists, and nothing is to be replaced.
    Exists,
    /// The destination is a copy of it, provably.
    Same,
}

/// News of one blob.
#[derive(Debug, Clone)]
pub struct Event {
    /// Path of the copy, from the open directory.
    pub path: Arc<str>,
    /// Size of the source.
    pub bytes: u64,
    /// The end that it came to.
    pub outcome: Outcome,
}

/// A copy that the service has not ended yet.
pub struct PendingCopy {
    pub path: Arc<str>,
    pub id: CopyId,
    pub copied: u64,
    pub total: u64,
    pub since: SystemTime,
}

/// The progress at one moment.
pub struct BulkProgress {
    pub totals: Totals,
    /// Bytes of pending copies that are copied already.
    pub underway_bytes: u64,
    pub pending: usize,
    /// Those that have been pending longest.
    pub slowest: Vec<PendingCopy>,
    /// Copies at once that the service bears, if it was ever too busy.
    pub limit: Option<usize>,
    /// All sources are listed: the totals are final.
    pub listed: bool,
    /// All is done and told.
    pub done: bool,
}

pub(in crate::fs) struct Inbox {
    pub events: mpsc::Receiver<Event>,
    /// One that did not fit into the last answer.
    pub deferred: Option<Event>,
}
