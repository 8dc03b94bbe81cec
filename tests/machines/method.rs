//! The choice between Copy Blob and blocks, on a clock that stands still.

use std::time::Duration;

use tokio::time::{Instant, advance};

use crate::fs::copies::method::{Measure, Method, Rates};
use crate::fs::tree::AccountId;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const THERE: (AccountId, AccountId) = (AccountId(0), AccountId(1));
const BACK: (AccountId, AccountId) = (AccountId(1), AccountId(0));

/// A copy of 4 GiB at so many MiB a second, after some milliseconds.
fn at(rate: u64, millis: u64) -> Measure {
    Measure { total: 4 * GIB, copied: rate * MIB * millis / 1000, elapsed: Duration::from_millis(millis) }
}

#[tokio::test(start_paused = true)]
async fn a_slow_copy_blob_is_overtaken_once_it_is_measured() {
    let rates = Rates::default();
    assert_eq!(rates.first(THERE, 4 * GIB, Instant::now()), Method::Blob);
    assert!(!rates.is_overtaken(THERE, at(50, 900), Instant::now()), "it has hardly begun");
    assert!(rates.is_overtaken(THERE, at(50, 1500), Instant::now()));
    assert!(!rates.is_overtaken(THERE, at(300, 1500), Instant::now()), "it is fast");
    assert!(!rates.is_overtaken(THERE, at(0, 9000), Instant::now()), "it may only be waiting for its turn");
    assert!(rates.is_overtaken(THERE, at(0, 10_000), Instant::now()));
}

#[tokio::test(start_paused = true)]
async fn trying_blocks_costs_a_tenth_at_the_most() {
    let rates = Rates::default();
    // 4 GiB at 117 MiB/s take 35 s: the 1.5 s that it has had, and the 2 s of the trial, are a tenth of that.
    assert!(rates.is_overtaken(THERE, at(117, 1500), Instant::now()));
    assert!(!rates.is_overtaken(THERE, at(118, 1500), Instant::now()));
    let small = Measure { total: 63 * MIB, ..at(1, 2000) };
    assert!(!rates.is_overtaken(THERE, small, Instant::now()), "too small to tell");
}

#[tokio::test(start_paused = true)]
async fn the_next_copy_begins_the_better_way() {
    let rates = Rates::default();
    rates.note(THERE, Method::Blob, at(50, 1500), Instant::now());
    assert_eq!(rates.first(THERE, 4 * GIB, Instant::now()), Method::Blob, "nothing is known of blocks");
    rates.note(THERE, Method::Blocks, at(1000, 4000), Instant::now());
    assert_eq!(rates.first(THERE, 4 * GIB, Instant::now()), Method::Blocks);
    assert_eq!(rates.first(THERE, 50 * MIB, Instant::now()), Method::Blob, "what is done within a second");
    assert_eq!(rates.first(BACK, 4 * GIB, Instant::now()), Method::Blob, "another pair");
    // Blocks that became slower.
    rates.note(THERE, Method::Blocks, at(40, 4000), Instant::now());
    assert_eq!(rates.first(THERE, 4 * GIB, Instant::now()), Method::Blob);
}

#[tokio::test(start_paused = true)]
async fn a_copy_blob_goes_on_where_blocks_would_not_be_done_earlier() {
    let rates = Rates::default();
    rates.note(THERE, Method::Blocks, at(100, 4000), Instant::now());
    assert!(rates.is_overtaken(THERE, at(50, 1500), Instant::now()), "80 s are left, and blocks take 41");
    assert!(!rates.is_overtaken(THERE, at(50, 60_000), Instant::now()), "22 s are left");
    assert!(!rates.is_overtaken(THERE, at(90, 1500), Instant::now()), "hardly slower");
}

#[tokio::test(start_paused = true)]
async fn blocks_that_are_slower_than_copy_blob_was_are_given_up() {
    let rates = Rates::default();
    let behind = |seen, underway| rates.is_behind(THERE, seen, underway, Instant::now());
    assert!(!behind(at(1, 5000), 0), "nothing to compare with");
    rates.note(THERE, Method::Blob, at(50, 1500), Instant::now());
    assert!(!behind(at(1, 1900), 0), "not tried for long enough");
    assert!(behind(at(45, 2000), 0));
    assert!(!behind(at(60, 2000), 0));
    assert!(!behind(at(0, 2000), 256 * MIB), "they may all be there in a moment");
    assert!(behind(at(0, 6000), 256 * MIB));
}

#[tokio::test(start_paused = true)]
async fn blocks_that_were_refused_are_not_tried_with_each_copy() {
    let rates = Rates::default();
    assert!(rates.is_overtaken(THERE, at(50, 1500), Instant::now()));
    rates.note(THERE, Method::Blob, at(50, 1500), Instant::now());
    rates.note_refusal(THERE, Instant::now());
    assert!(!rates.is_overtaken(THERE, at(50, 1500), Instant::now()));
    assert!(!rates.is_overtaken(THERE, at(0, 20_000), Instant::now()), "not even one that stands still");
    assert_eq!(rates.first(THERE, 4 * GIB, Instant::now()), Method::Blob);
    advance(Duration::from_secs(3600)).await;
    assert!(rates.is_overtaken(THERE, at(50, 1500), Instant::now()));
}

#[tokio::test(start_paused = true)]
async fn what_was_measured_long_ago_is_forgotten() {
    let rates = Rates::default();
    rates.note(THERE, Method::Blob, at(50, 1500), Instant::now());
    rates.note(THERE, Method::Blocks, at(1000, 4000), Instant::now());
    advance(Duration::from_secs(3599)).await;
    assert_eq!(rates.first(THERE, 4 * GIB, Instant::now()), Method::Blocks);
    advance(Duration::from_secs(1)).await;
    assert_eq!(rates.first(THERE, 4 * GIB, Instant::now()), Method::Blob);
}

#[tokio::test(start_paused = true)]
async fn what_says_nothing_is_not_remembered() {
    let rates = Rates::default();
    let small = Measure { total: MIB, copied: MIB, elapsed: Duration::from_secs(1) };
    rates.note(THERE, Method::Blob, small, Instant::now());
    rates.note(THERE, Method::Blob, at(0, 1000), Instant::now());
    rates.note(THERE, Method::Blocks, at(1000, 4000), Instant::now());
    assert_eq!(rates.first(THERE, 4 * GIB, Instant::now()), Method::Blob);
    rates.note(THERE, Method::Blob, at(0, 10_000), Instant::now());
    assert_eq!(rates.first(THERE, 4 * GIB, Instant::now()), Method::Blocks, "one that did not move at all");
}
