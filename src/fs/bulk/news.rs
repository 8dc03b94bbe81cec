//! What there is to tell of a bulk copy: totals at any moment, and each blob once, when it has come to its end.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::bulk::{Bulk, Stop, lock};
use crate::fs::copy::{Progress, SLICE};
use crate::fs::handle::Fh;
use crate::fs::tree::Place;
use crate::store::CopyId;

/// News that come soon after the first are told together.
const TOGETHER: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub files: u64,
    pub bytes: u64,
}

impl Count {
    pub(super) fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

/// What has become of the files that were found. Markers of directories are not counted, unless they fail.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    pub found: Count,
    /// Copied, or with `no_wait` accepted, or in a dry run to be copied.
    pub copied: Count,
    pub skipped: Count,
    pub failed: Count,
    pub aborted: Count,
}

/// What became of a blob.
#[derive(Debug, Clone)]
pub enum Outcome {
    Copied(CopyId),
    /// Accepted, and nobody waits for its end.
    Accepted(CopyId),
    /// A dry run: it would be copied.
    Due,
    Skipped(Skip),
    /// errno and reason.
    Failed(i32, String),
    /// True: an empty file was left, where there had been another one.
    Aborted(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// It is there, and nothing is to be replaced.
    Exists,
    /// What is there is a copy of it, provably.
    Same,
}

/// News of one blob.
#[derive(Debug, Clone)]
pub struct Event {
    /// Of the copy, from the open directory.
    pub path: Arc<str>,
    pub bytes: u64,
    pub outcome: Outcome,
}

/// A copy that the service has not ended yet.
pub struct Underway {
    pub path: Arc<str>,
    pub id: CopyId,
    pub copied: u64,
    pub total: u64,
    pub since: SystemTime,
}

/// What there is to tell at one moment.
pub struct News {
    pub totals: Totals,
    /// Bytes of pending copies that are copied already.
    pub underway_bytes: u64,
    pub pending: usize,
    /// Those that have been pending longest.
    pub slowest: Vec<Underway>,
    /// How many copies at once the service bears, if it was ever too busy.
    pub bears: Option<usize>,
    /// All sources are listed: the totals are final.
    pub listed: bool,
    /// All is done and told.
    pub done: bool,
}

pub(super) struct Inbox {
    pub events: mpsc::Receiver<Event>,
    /// One that did not fit into the last answer.
    pub held: Option<Event>,
}

/// An error as news.
pub(super) fn failed(fs: &Fs, error: &Error) -> Outcome {
    Outcome::Failed(fs.errno(error), error.to_string())
}

impl Bulk {
    /// Counts what became of a blob, and tells it.
    pub(super) async fn tell(&self, path: Arc<str>, bytes: u64, marker: bool, outcome: Outcome) {
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
            () = self.stopped(Stop::Deserted) => {}
            // The receiver is ours and so not closed.
            _ = self.news.send(Event { path, bytes, outcome }) => {}
        }
    }
}

impl Fs {
    /// What has happened: waits for it a slice at most. `take` is given one event after the other until it has no room; the
    /// first that it refuses comes again.
    pub async fn news(&self, fh: Fh, mut take: impl FnMut(&Event) -> bool) -> Result<News> {
        let bulk = self.bulk(fh)?;
        let mut inbox = bulk.inbox.lock().await;
        let mut until = Instant::now() + SLICE;
        let mut undone = bulk.undone.subscribe();
        loop {
            let event = match inbox.held.take() {
                Some(event) => event,
                None => tokio::select! {
                    biased;
                    Some(event) = inbox.events.recv() => event,
                    _ = undone.wait_for(|count| *count == 0) => match inbox.events.try_recv() {
                        Ok(event) => event,
                        Err(_) => break,
                    },
                    () = sleep_until(until) => break,
                },
            };
            if !take(&event) {
                inbox.held = Some(event);
                break;
            }
            until = until.min(Instant::now() + TOGETHER);
        }
        let done = *bulk.undone.borrow() == 0 && inbox.held.is_none() && inbox.events.is_empty();
        drop(inbox);
        let (pending, underway_bytes, slowest) = {
            let pending = lock(&bulk.pending);
            let views = pending.values().map(|pending| Underway {
                path: pending.path.clone(),
                id: pending.job.id.clone(),
                copied: match pending.job.progress() {
                    Progress::Pending(copied) => copied,
                    _ => pending.job.total,
                },
                total: pending.job.total,
                since: pending.since,
            });
            let views: Vec<Underway> = views.collect();
            (views.len(), views.iter().map(|view| view.copied).sum(), views)
        };
        let bears = match self.tree.place(bulk.into) {
            Ok(Place::Directory(dir)) => self.client(dir.account).bears(),
            Ok(Place::Account(account)) => self.client(account).bears(),
            _ => None,
        };
        let totals = *lock(&bulk.totals);
        Ok(News { totals, underway_bytes, pending, slowest, bears, listed: *bulk.unlisted.borrow() == 0, done })
    }
}
