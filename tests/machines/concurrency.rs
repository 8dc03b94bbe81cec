//! Passes for work on many blobs: no more than the service bears are out, and whoever waits for one gets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::sync::interleaved::{at_once, interleave, step};

type Thread = Box<dyn FnOnce() + Send>;

/// Works on two blobs, and asserts that no more than `most` are worked on at once.
fn worker(limit: &Arc<ConcurrencyLimit>, out: &Arc<AtomicUsize>, most: usize, succeeds: bool) -> Thread {
    let (limit, out) = (limit.clone(), out.clone());
    Box::new(move || {
        for _ in 0..2 {
            let pass = shuttle::future::block_on(limit.permit());
            assert!(out.fetch_add(1, Ordering::Relaxed) < most, "more than {most} at once");
            step();
            out.fetch_sub(1, Ordering::Relaxed);
            match succeeds {
                true => pass.succeeded(),
                false => drop(pass),
            }
        }
    })
}

fn refused_with_one_out() -> Arc<ConcurrencyLimit> {
    let limit = Arc::new(ConcurrencyLimit::default());
    let first = shuttle::future::block_on(limit.permit());
    limit.refused();
    assert_eq!(limit.limit(), Some(1));
    drop(first);
    limit
}

#[test]
fn everybody_gets_a_pass_and_one_at_a_time_where_the_service_bears_one() {
    interleave(|| {
        let (limit, out) = (refused_with_one_out(), Arc::default());
        at_once((0..3).map(|_| worker(&limit, &out, 1, false)).collect());
        assert_eq!(limit.limit(), Some(1));
        assert_eq!(limit.state().out, 0, "all passes are back");
    });
}

#[test]
fn a_limit_that_grows_lets_the_next_ones_in() {
    interleave(|| {
        let (limit, out) = (refused_with_one_out(), Arc::default());
        at_once((0..3).map(|_| worker(&limit, &out, 3, true)).collect());
        // 1, and for each of six that succeed what is one over the limit.
        assert_eq!(limit.limit(), Some(3));
        assert_eq!(limit.state().out, 0);
    });
}

#[tokio::test(start_paused = true)]
async fn refusals_half_a_second_apart_are_two_signs_and_a_minute_without_any_is_a_new_beginning() {
    let limit = ConcurrencyLimit::default();
    let mut passes = Vec::new();
    for _ in 0..32 {
        passes.push(limit.permit().await);
    }
    limit.refused();
    tokio::time::advance(ONE_SIGN - Duration::from_millis(1)).await;
    limit.refused();
    assert_eq!(limit.limit(), Some(16));
    tokio::time::advance(Duration::from_millis(1)).await;
    limit.refused();
    assert_eq!(limit.limit(), Some(8));
    tokio::time::advance(FORGOTTEN - Duration::from_millis(1)).await;
    assert_eq!(limit.limit(), Some(8));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(limit.limit(), None);
}

#[tokio::test(start_paused = true)]
async fn where_one_succeeded_two_go_on() {
    let limit = ConcurrencyLimit::default();
    let first = limit.permit().await;
    limit.refused();
    let both = async {
        let passes = tokio::join!(limit.permit(), limit.permit());
        assert_eq!(limit.state().out, 2);
        drop(passes);
    };
    let (both, ()) = tokio::join!(tokio::time::timeout(ONE_SIGN, both), async { first.succeeded() });
    assert!(both.is_ok(), "one waits although two are borne");
}
