//! The memory budget: nobody gets more than there is, and whoever waits gets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::time::{Duration, Instant};

use super::Thread;
use crate::fs::attr::Ino;
use crate::fs::content::memory::{ChunkKey, Memory, Reservation};
use crate::store::ETag;
use crate::sync::interleaved::{at_once, interleave, step};

/// Less than the process itself needs: a quarter of it is for content all the same.
const LIMIT: u64 = 1 << 20;
const BUDGET: u64 = LIMIT / 4;
/// What is on its way in one direction, and what is kept of small files that are open.
const SHARE: u64 = BUDGET / 16 * 7;
const KEPT: u64 = BUDGET / 8;
/// The least that can be had.
const UNIT: u64 = 4096;

fn key(chunk: u64) -> ChunkKey {
    ChunkKey { ino: Ino(5), version: ETag::new("e"), chunk }
}

fn chunk(number: u64) -> Bytes {
    vec![number as u8; 1 << 14].into()
}

fn check(memory: &Memory) {
    let used = memory.used();
    assert!(used <= BUDGET, "{used} of {BUDGET} bytes are used");
}

#[test]
fn content_never_takes_more_than_its_budget() {
    interleave(|| {
        let memory = Memory::new(LIMIT);
        let of = |take: fn(&Arc<Memory>, u64) -> Option<Reservation>, len: u64| {
            let memory = memory.clone();
            Box::new(move || {
                for number in 0..2 {
                    let Some(mut held) = take(&memory, len) else { continue };
                    check(&memory);
                    memory.insert(key(number), chunk(number));
                    let part = held.split(len / 2);
                    drop(held);
                    check(&memory);
                    if let Some(bytes) = memory.cached(&key(number)) {
                        assert_eq!(bytes, chunk(number));
                    }
                    drop(part);
                    check(&memory);
                }
            }) as Thread<()>
        };
        at_once(vec![
            of(Memory::try_reserve_read, SHARE),
            of(Memory::try_reserve_write, SHARE),
            of(Memory::try_reserve_write, SHARE),
            of(Memory::try_reserve_small, KEPT),
        ]);
        (0..2).for_each(|number| memory.remove(&key(number)));
        assert_eq!(memory.used(), 0, "all was given back");
        let all = [memory.try_reserve_read(SHARE), memory.try_reserve_write(SHARE), memory.try_reserve_small(KEPT)];
        assert!(all.iter().all(Option::is_some), "and can be had again");
    });
}

#[test]
fn every_reader_that_waits_is_served_and_no_two_have_the_same_room() {
    interleave(|| {
        let memory = Memory::new(LIMIT);
        let out = Arc::new(AtomicU64::new(0));
        let reader = |len: u64| {
            let (memory, out) = (memory.clone(), out.clone());
            Box::new(move || {
                let mut held = shuttle::future::block_on(memory.reserve_read(len));
                assert_eq!(held.len(), len);
                assert!(out.fetch_add(len, Ordering::Relaxed) + len <= SHARE);
                step();
                out.fetch_sub(len / 2, Ordering::Relaxed);
                held.shrink(len / 2);
                step();
                out.fetch_sub(len / 2, Ordering::Relaxed);
            }) as Thread<()>
        };
        at_once(vec![reader(SHARE), reader(SHARE / 2), reader(SHARE), reader(SHARE / 2)]);
        assert_eq!(memory.used(), 0);
    });
}

#[test]
fn readers_in_sequence_share_what_there_is_for_as_long_as_they_read() {
    interleave(|| {
        let memory = Memory::new(LIMIT);
        let reader = || {
            let memory = memory.clone();
            Box::new(move || {
                let token = memory.stream();
                let share = memory.share_of_a_stream();
                assert!((1..=3).any(|streams| share == SHARE / streams), "a share of {share} bytes");
                drop(token);
            }) as Thread<()>
        };
        at_once(vec![reader(), reader(), reader()]);
        assert_eq!(memory.share_of_a_stream(), SHARE);
    });
}

/// Whoever waits longest is served first, and no smaller request is let past.
#[tokio::test(start_paused = true)]
async fn writers_wait_in_line_for_what_is_sent_and_not_for_ever() {
    let memory = Memory::new(LIMIT);
    let second = Duration::from_secs(1);
    let began = Instant::now();
    let all = memory.try_reserve_write(SHARE).unwrap();
    let writer = |len: u64| {
        let memory = memory.clone();
        async move {
            let held = memory.reserve_write(len).await;
            let waited = began.elapsed().as_secs();
            tokio::time::sleep(3 * second).await;
            (waited, held.len())
        }
    };
    let ends = async {
        tokio::time::sleep(second).await;
        assert!(memory.try_reserve_write(UNIT).is_none(), "those who wait come first");
        drop(all);
    };
    let (first, second_writer, third, ()) = tokio::join!(writer(SHARE), writer(UNIT), writer(SHARE), ends);
    assert_eq!([first, second_writer, third], [(1, SHARE), (4, UNIT), (7, SHARE)]);
    assert_eq!(memory.used(), 0);
    let held = memory.try_reserve_write(SHARE).unwrap();
    let began = Instant::now();
    let over_budget = memory.reserve_write(UNIT).await;
    assert_eq!((began.elapsed(), over_budget.len()), (20 * second, 0), "a request must end");
    drop(held);
    assert!(memory.try_reserve_write(SHARE).is_some(), "one who went on without is not in line any more");
}

#[tokio::test(start_paused = true)]
async fn a_request_for_more_than_there_is_waits_for_all_of_it() {
    let memory = Memory::new(LIMIT);
    let one = memory.try_reserve_read(UNIT).unwrap();
    let (held, ()) = tokio::join!(memory.reserve_read(u64::MAX / 2), async {
        tokio::time::sleep(Duration::from_secs(100)).await;
        drop(one);
    });
    assert_eq!(held.len(), SHARE);
    // A reader who is gone before its turn is not waited for.
    let waits = tokio::time::timeout(Duration::from_secs(1), memory.reserve_read(SHARE)).await;
    assert!(waits.is_err());
    drop(held);
    assert!(memory.try_reserve_read(SHARE).is_some());
}
