//! What there is to tell of a bulk copy: totals at any moment, and each blob once, when it has come to its end.

use tokio::time::{Instant, sleep_until};

use crate::error::Result;
use crate::fs::content::handle::Fh;
use crate::fs::copies::bulk::lock;
use crate::fs::copies::bulk::news::{Event, News, TOGETHER, Underway};
use crate::fs::copies::job::{Progress, SLICE};
use crate::fs::names::tree::Place;
use crate::fs::ops::bulk::verdict::TreeCopies;

impl TreeCopies {
    /// What has happened: waits for it a slice at most. `take` is given one event after the other until it has no room; the
    /// first that it refuses comes again.
    pub async fn news(&self, fh: Fh, mut take: impl FnMut(&Event) -> bool) -> Result<News> {
        let bulk = self.of(fh)?;
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
        let bears = match self.fs.tree.place(bulk.into) {
            Ok(Place::Directory(dir)) => self.fs.service.client(dir.account).concurrency_limit(),
            Ok(Place::Account(account)) => self.fs.service.client(account).concurrency_limit(),
            _ => None,
        };
        let totals = *lock(&bulk.totals);
        Ok(News { totals, underway_bytes, pending, slowest, bears, listed: *bulk.unlisted.borrow() == 0, done })
    }
}
