//! A copy of a whole tree: what was ordered, how far it is, and what stops it.

pub(in crate::fs) mod progress;
pub(in crate::fs) mod proof;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tracing::warn;

pub(crate) use progress::Totals;
pub use progress::{Event, Outcome, Skip};

use crate::fs::copies::bulk::progress::Inbox;
use crate::fs::copies::job::CopyJob;
use crate::fs::copies::lease::LeaseSource;
use crate::fs::copies::method::CopyMethod;
use crate::fs::names::access::Credentials;
use crate::fs::names::attr::{FileKind, Ino};
use crate::fs::names::tree::Blob;
use crate::store::{BlobProperties, Metadata};
pub(in crate::fs) use crate::sync::lock;

/// Most copies at once that can be asked for: as many connections are kept.
pub(in crate::fs) const MOST_JOBS: u32 = 256;

/// News that wait for the caller.
pub(in crate::fs) const EVENT_QUEUE: usize = 4096;

/// An order to copy a tree.
pub struct TreeOrder {
    /// Path from the root of the mount: a file or a directory.
    pub source: String,
    /// Its name in the open directory; empty if what is in the source goes there itself.
    pub name: String,
    /// Directories are copied, with all that is in them.
    pub recursive: bool,
    /// Blobs that are there stay as they are.
    pub no_replace: bool,
    /// So do those that are not older than their source.
    pub update: bool,
    /// A copy is done when the service has accepted it.
    pub no_wait: bool,
    /// Say what would be done.
    pub dry_run: bool,
    /// Whether what is replaced is restored if the copy is no success (C52).
    pub keep: bool,
    /// When sources are leased; as the mount does otherwise.
    pub lease_source: Option<LeaseSource>,
    /// The way that copies from another account go; as the mount does otherwise.
    pub method: Option<CopyMethod>,
    /// Copies at once, for all sources of the directory; the first order's counts.
    pub jobs: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(in crate::fs) enum Cancellation {
    Running,
    /// Nothing new is begun, what is pending is aborted.
    Cancelled,
    /// The same, and nobody hears of it.
    Detached,
}

/// The copies of trees into one open directory.
pub(crate) struct Bulk {
    pub(in crate::fs) into: Ino,
    slots: Arc<Semaphore>,
    cancellation: watch::Sender<Cancellation>,
    /// Sources that are not listed, and not done.
    pub(in crate::fs) unlisted: watch::Sender<usize>,
    pub(in crate::fs) unfinished: watch::Sender<usize>,
    pub(in crate::fs) totals: Mutex<Totals>,
    events: mpsc::Sender<Event>,
    pub(in crate::fs) inbox: tokio::sync::Mutex<Inbox>,
    /// By the order in which they were started.
    pub(in crate::fs) pending: Mutex<BTreeMap<u64, PendingItem>>,
    pub(in crate::fs) started: AtomicU64,
}

pub(in crate::fs) struct PendingItem {
    pub(crate) path: Arc<str>,
    pub(crate) job: Arc<CopyJob>,
    pub(crate) since: SystemTime,
}

/// A blob to copy.
pub(in crate::fs) struct BulkItem {
    pub(crate) from: Blob,
    pub(crate) to: Blob,
    pub(crate) version: Arc<BlobProperties>,
    /// The blob that is replaced.
    pub(crate) replaced: Option<Arc<BlobProperties>>,
    /// What the copy is told of metadata; `None`: those of its source.
    pub(crate) metadata: Option<Metadata>,
    /// From the open directory.
    pub(crate) path: Arc<str>,
    pub(crate) kind: FileKind,
    pub(crate) who: Arc<Credentials>,
}

impl BulkItem {
    /// It marks a directory.
    pub(crate) fn is_marker(&self) -> bool {
        self.kind == FileKind::Directory
    }
}

/// Options for the blobs of one source.
#[derive(Clone, Copy)]
pub(in crate::fs) struct BulkOptions {
    pub(crate) no_replace: bool,
    pub(crate) update: bool,
    pub(crate) no_wait: bool,
    pub(crate) dry_run: bool,
    pub(crate) keep: bool,
    pub(crate) lease_source: Option<LeaseSource>,
    pub(crate) method: Option<CopyMethod>,
}

impl Bulk {
    pub(in crate::fs) fn new(into: Ino, jobs: u32) -> Self {
        let (news, events) = mpsc::channel(EVENT_QUEUE);
        Self {
            into,
            slots: Arc::new(Semaphore::new(jobs.clamp(1, MOST_JOBS) as usize)),
            cancellation: watch::Sender::new(Cancellation::Running),
            unlisted: watch::Sender::new(0),
            unfinished: watch::Sender::new(0),
            totals: Mutex::default(),
            events: news,
            inbox: tokio::sync::Mutex::new(Inbox { events, deferred: None }),
            pending: Mutex::default(),
            started: AtomicU64::new(0),
        }
    }

    pub(in crate::fs) fn cancel(&self, how: Cancellation) {
        self.cancellation.send_if_modified(|stop| {
            let later = how > *stop;
            *stop = if later { how } else { *stop };
            later
        });
    }

    /// Nobody listens any more.
    pub(in crate::fs) fn detach(&self) {
        self.cancel(Cancellation::Detached);
    }

    pub(in crate::fs) fn is_cancelled(&self) -> bool {
        *self.cancellation.borrow() != Cancellation::Running
    }

    /// Returns when the copies are to end, as `how` or worse.
    pub(in crate::fs) async fn cancelled(&self, how: Cancellation) {
        // The sender is ours and so not gone.
        let _ = self.cancellation.subscribe().wait_for(|stop| *stop >= how).await;
    }

    /// Leave to work on one blob; `None` when nothing is to be begun any more.
    pub(in crate::fs) async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            biased;
            () = self.cancelled(Cancellation::Cancelled) => None,
            slot = self.slots.clone().acquire_owned() => slot.ok(),
        }
    }

    /// Counts what became of a blob, and tells it.
    pub(in crate::fs) async fn report(&self, path: Arc<str>, bytes: u64, marker: bool, outcome: Outcome) {
        let failed = matches!(outcome, Outcome::Failed(..));
        if !marker || failed {
            let mut totals = lock(&self.totals);
            if marker {
                totals.found.add(0);
            }
            match &outcome {
                Outcome::Copied(_) | Outcome::Accepted(_) | Outcome::Due => totals.copied.add(bytes),
                Outcome::Skipped(_) => totals.skipped.add(bytes),
                Outcome::Failed(..) => totals.failed.add(bytes),
                Outcome::Aborted(_) => totals.aborted.add(bytes),
            }
        }
        if let Outcome::Failed(errno, reason) = &outcome {
            warn!(path = &*path, errno, "not copied: {reason}");
        }
        if marker && !failed {
            return;
        }
        tokio::select! {
            biased;
            () = self.cancelled(Cancellation::Detached) => {}
            // The receiver is ours and so not closed.
            _ = self.events.send(Event { path, bytes, outcome }) => {}
        }
    }
}

pub(in crate::fs) enum Decision {
    /// Over this, if there is something, and with these metadata, if they are not the source's.
    Copy(Option<Arc<BlobProperties>>, Option<Metadata>),
    Settled(Outcome),
}

impl Decision {
    pub(crate) fn refused(errno: i32, what: &str) -> Self {
        Self::Settled(Outcome::Failed(errno, what.to_owned()))
    }
}

/// A source is being listed; not any more when this is dropped.
pub(in crate::fs) struct ListingGuard<'a>(pub(in crate::fs) &'a Arc<Bulk>);

impl Drop for ListingGuard<'_> {
    fn drop(&mut self) {
        self.0.unlisted.send_modify(|count| *count -= 1);
    }
}
