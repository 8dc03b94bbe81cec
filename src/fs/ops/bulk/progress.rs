//! The progress of a bulk copy: totals at any moment, and each blob once, when it has come to its end.

use tokio::time::{Instant, sleep_until};

use crate::error::Result;
use crate::fs::content::handle::Fh;
use crate::fs::copies::bulk::lock;
use crate::fs::copies::bulk::progress::{BulkProgress, EVENTS_TOGETHER, Event, PendingCopy};
use crate::fs::copies::job::{Progress, SLICE};
use crate::fs::names::tree::Place;
use crate::fs::ops::bulk::decision::TreeCopies;

impl TreeCopies {
    /// Returns what has happened, after a slice at most. `take` is given one event after the other until it has no
    /// room; the first that it refuses comes again.
    pub async fn progress(&self, fh: Fh, mut take: impl FnMut(&Event) -> bool) -> Result<BulkProgress> {
        let bulk = self.of(fh)?;
        let mut inbox = bulk.inbox.lock().await;
        let mut until = Instant::now() + SLICE;
        let mut undone = bulk.unfinished.subscribe();
        loop {
            let event = match inbox.deferred.take() {
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
                inbox.deferred = Some(event);
                break;
            }
            until = until.min(Instant::now() + EVENTS_TOGETHER);
        }
        let done = *bulk.unfinished.borrow() == 0 && inbox.deferred.is_none() && inbox.events.is_empty();
        drop(inbox);
        let (pending, underway_bytes, slowest) = {
            let pending = lock(&bulk.pending);
            let views = pending.values().map(|pending| PendingCopy {
                path: pending.path.clone(),
                id: pending.job.id.clone(),
                copied: match pending.job.progress() {
                    Progress::Pending(copied) => copied,
                    _ => pending.job.total,
                },
                total: pending.job.total,
                since: pending.since,
            });
            let views: Vec<PendingCopy> = views.collect();
            (views.len(), views.iter().map(|view| view.copied).sum(), views)
        };
        let bears = match self.fs.tree.place(bulk.into) {
            Ok(Place::Directory(dir)) => self.fs.service.client(dir.account).concurrency_limit(),
            Ok(Place::Account(account)) => self.fs.service.client(account).concurrency_limit(),
            _ => None,
        };
        let totals = *lock(&bulk.totals);
        Ok(BulkProgress {
            totals,
            underway_bytes,
            pending,
            slowest,
            limit: bears,
            listed: *bulk.unlisted.borrow() == 0,
            done,
        })
    }
}
