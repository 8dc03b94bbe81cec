//! A copy of a tree: not more at once than were ordered, nothing is begun after the end, all that was told is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Thread;
use crate::fs::attr::Ino;
use crate::fs::bulk::{Bulk, Outcome};
use crate::fs::copies::bulk::{Cancellation, ListingGuard, lock};
use crate::store::CopyId;
use crate::sync::interleaved::{at_once, interleave, step};

const JOBS: usize = 2;

#[test]
fn what_is_begun_is_told_and_no_more_at_once_than_were_ordered() {
    interleave(|| {
        let bulk = Arc::new(Bulk::new(Ino(5), JOBS as u32));
        let out = Arc::new(AtomicUsize::new(0));
        let worker = |bytes: u64, outcome: Outcome| {
            let (bulk, out) = (bulk.clone(), out.clone());
            Box::new(move || {
                shuttle::future::block_on(async {
                    let Some(slot) = bulk.slot().await else { return 0 };
                    assert!(out.fetch_add(1, Ordering::Relaxed) < JOBS, "more at once than were ordered");
                    step();
                    bulk.report("x".into(), bytes, false, outcome).await;
                    out.fetch_sub(1, Ordering::Relaxed);
                    drop(slot);
                    bytes
                })
            }) as Thread<u64>
        };
        let ender = {
            let bulk = bulk.clone();
            Box::new(move || {
                bulk.cancel(Cancellation::Cancelled);
                assert!(shuttle::future::block_on(bulk.slot()).is_none(), "nothing is begun any more");
                0
            })
        };
        let copied = || Outcome::Copied(CopyId::new("i"));
        let aborted = || Outcome::Aborted(false);
        let begun = at_once(vec![worker(1, copied()), worker(2, copied()), worker(4, aborted()), ender]);
        let totals = *lock(&bulk.totals);
        assert_eq!(totals.copied.bytes + totals.aborted.bytes, begun.iter().sum::<u64>());
        let mut inbox = bulk.inbox.try_lock().unwrap();
        let told = std::iter::from_fn(|| inbox.events.try_recv().ok()).count();
        assert_eq!(told, begun.iter().filter(|bytes| **bytes > 0).count(), "each is told once");
    });
}

#[test]
fn an_end_does_not_become_milder_and_all_who_wait_for_it_hear_of_it() {
    interleave(|| {
        let bulk = Arc::new(Bulk::new(Ino(5), 1));
        let ends = |how: Cancellation| {
            let bulk = bulk.clone();
            Box::new(move || bulk.cancel(how)) as Thread<()>
        };
        let waits = |how: Cancellation| {
            let bulk = bulk.clone();
            Box::new(move || shuttle::future::block_on(bulk.cancelled(how))) as Thread<()>
        };
        at_once(vec![
            ends(Cancellation::Detached),
            waits(Cancellation::Cancelled),
            waits(Cancellation::Detached),
            ends(Cancellation::Cancelled),
        ]);
        assert!(futures_util::FutureExt::now_or_never(bulk.cancelled(Cancellation::Detached)).is_some());
    });
}

#[test]
fn a_tree_is_listed_when_all_of_its_sources_are() {
    interleave(|| {
        let bulk = Arc::new(Bulk::new(Ino(5), 1));
        bulk.unlisted.send_modify(|count| *count += 2);
        let lists = || {
            let bulk = bulk.clone();
            Box::new(move || {
                let listing = ListingGuard(&bulk);
                assert!(*bulk.unlisted.borrow() > 0);
                drop(listing);
            }) as Thread<()>
        };
        at_once(vec![lists(), lists()]);
        assert_eq!(*bulk.unlisted.borrow(), 0);
    });
}
