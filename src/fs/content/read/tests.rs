//! Sequential and random readers against a service that counts what is fetched, and what the memory keeps of it.

use std::time::SystemTime;

use futures_util::FutureExt;

use crate::fs::content::read::*;
use crate::fs::names::attr;
use crate::store::{BlobSettings, ETag, Written};

const MIB: u64 = 1024 * 1024;
const INO: Ino = Ino(7);

fn version(size: u64) -> Arc<Version> {
    let written = Written { etag: ETag::new("e"), last_modified: SystemTime::UNIX_EPOCH };
    Version::new(Arc::new(attr::just_written(size, BlobSettings::default(), written)))
}

/// What the blob has from `offset` on: bytes that repeat with a period that fits no boundary.
fn content(range: Range<u64>) -> Vec<u8> {
    const PERIOD: usize = 251;
    let cycle: Vec<u8> = (0..=250).collect();
    let from = (range.start % PERIOD as u64) as usize;
    let len = (range.end - range.start) as usize;
    let mut bytes = cycle.repeat((from + len).div_ceil(PERIOD));
    bytes.drain(..from);
    bytes.truncate(len);
    bytes
}

type Asked = Arc<Mutex<Vec<Range<u64>>>>;

/// A fetcher that notes what it was asked for, and brings it in pieces that fit nothing.
fn source() -> (Asked, Box<Fetcher<'static>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let fetcher: Box<Fetcher<'static>> = Box::new(move |range: Range<u64>, mut receive: Receive| {
        log.lock().unwrap().push(range.clone());
        async move {
            let bytes = content(range.clone());
            for (number, piece) in bytes.chunks(300_001).enumerate() {
                receive(range.start + number as u64 * 300_001, piece);
            }
            Ok(())
        }
        .boxed()
    });
    (asked, fetcher)
}

fn bytes_asked(asked: &Asked) -> u64 {
    asked.lock().unwrap().iter().map(|range| range.end - range.start).sum()
}

fn memory() -> Arc<Memory> {
    Memory::new(512 * MIB)
}

/// Reads and looks at every byte.
async fn check(version: &Arc<Version>, range: Range<u64>, reading: Reading<'_>) {
    let bytes = version.read(range.clone(), reading).await.unwrap();
    assert!(bytes == content(range.start..range.end.min(version.properties.size)), "at {}", range.start);
}

#[tokio::test]
async fn whole_chunks_that_a_jump_brings_are_kept_for_a_writer() {
    use crate::fs::caller::User;
    use crate::store::Payload;
    let (_, fetcher) = source();
    let (version, memory, stream) = (version(40 * MIB + 77), memory(), Stream::default());
    let (reads, user) = (RecentReads::new(memory.clone()), User::of_number(7));
    let noting = Some((&*reads, user));
    let reading = Reading { ino: INO, memory: &memory, stream: &stream, fetcher: &*fetcher, longest: u64::MAX, noting };
    let found = |at: u64, len: u64| reads.find(&Payload::from(content(at..at + len)), at, user).is_some();
    check(&version, 20 * MIB..22 * MIB, reading).await;
    assert!(!found(20 * MIB, MIB), "nobody can write it");
    let writer = reads.writer();
    check(&version, 30 * MIB - 5..32 * MIB + 5, reading).await;
    assert!(found(30 * MIB, 2 * MIB) && !found(29 * MIB, MIB) && !found(30 * MIB, 2 * MIB + 5));
    check(&version, 10 * MIB..10 * MIB + 100, reading).await;
    check(&version, 40 * MIB - 3..40 * MIB + 77, reading).await;
    assert!(found(40 * MIB, 77) && !found(10 * MIB, 100));
    drop(writer);
    assert!(!memory.contains(&version.key(INO, 30)) && !memory.contains(&version.key(INO, 40)));
}

#[tokio::test]
async fn a_sequential_reader_gets_every_part_once() {
    let size = 20 * PART + 77;
    let (asked, fetcher) = source();
    let (version, memory, stream) = (version(size), memory(), Stream::default());
    let reading =
        Reading { ino: INO, memory: &memory, stream: &stream, fetcher: &*fetcher, longest: u64::MAX, noting: None };
    let step = MIB - 13;
    for offset in (0..size).step_by(step as usize) {
        check(&version, offset..(offset + step).min(size), reading).await;
    }
    let mut asked = asked.lock().unwrap().clone();
    asked.sort_by_key(|range| range.start);
    // On their grid, and larger ones once the reader has gone on for a while.
    let ends = (1..=2).map(|part| part * PART).chain((2..=11).map(|part| (part * LARGE_PART).min(size)));
    let grid: Vec<_> = std::iter::once(0).chain(ends.clone()).zip(ends).map(|(start, end)| start..end).collect();
    assert_eq!(asked, grid);
    // What lies far behind is not kept.
    assert!(memory.used() <= JITTER.end + 3 * MIB, "{}", memory.used());
}

#[tokio::test]
async fn requests_of_the_kernels_read_ahead_may_come_in_any_order() {
    let size = 16 * PART;
    let (asked, fetcher) = source();
    let (version, memory, stream) = (version(size), memory(), Stream::default());
    let reading =
        Reading { ino: INO, memory: &memory, stream: &stream, fetcher: &*fetcher, longest: u64::MAX, noting: None };
    for four in (0..size).step_by(4 * MIB as usize) {
        for number in [2, 0, 3, 1] {
            check(&version, four + number * MIB..four + (number + 1) * MIB, reading).await;
        }
    }
    assert_eq!(bytes_asked(&asked), size);
    assert_eq!(asked.lock().unwrap().len(), 9);
}

#[tokio::test]
async fn readers_far_apart_keep_their_parts_and_readers_together_share_them() {
    let size = 80 * PART;
    let (asked, fetcher) = source();
    let (version, memory) = (version(size), memory());
    let streams: [Stream; 4] = Default::default();
    let (step, length) = (PART / 4, 10 * PART);
    for at in (0..length).step_by(step as usize) {
        for (stream, start) in streams.iter().zip([0, 0, 40 * PART, 40 * PART]) {
            let reading =
                Reading { ino: INO, memory: &memory, stream, fetcher: &*fetcher, longest: u64::MAX, noting: None };
            check(&version, start + at..start + at + step, reading).await;
        }
    }
    let asked = asked.lock().unwrap();
    let read = |from: u64| asked.iter().filter(move |range| (from..from + length).contains(&range.start));
    let bytes = |from| read(from).map(|range| range.end - range.start).sum::<u64>();
    // The two that begin in the middle jump there, each by itself, and so they read once more.
    assert_eq!((bytes(0), bytes(40 * PART)), (length, length + 2 * step));
}

#[tokio::test]
async fn a_reader_that_goes_over_to_a_newer_version_leaves_the_chunks_of_the_old_one() {
    let (_, fetcher) = source();
    let (old, memory, stream) = (version(10), memory(), Stream::default());
    let reading =
        Reading { ino: INO, memory: &memory, stream: &stream, fetcher: &*fetcher, longest: u64::MAX, noting: None };
    assert_eq!(old.read(0..100, reading).await.unwrap().len(), 10);
    let mut properties = (*old.properties).clone();
    (properties.size, properties.etag) = (20, ETag::new("f"));
    let new = old.with(Arc::new(properties));
    assert_eq!(new.read(10..100, reading).await.unwrap().len(), 10);
}

#[tokio::test]
async fn a_file_that_is_opened_again_finds_what_it_left() {
    let (asked, fetcher) = source();
    let memory = memory();
    for _ in 0..2 {
        // The same version, found anew.
        let (version, stream) = (version(3 * MIB), Stream::default());
        let reading =
            Reading { ino: INO, memory: &memory, stream: &stream, fetcher: &*fetcher, longest: u64::MAX, noting: None };
        check(&version, 0..3 * MIB, reading).await;
    }
    assert_eq!(bytes_asked(&asked), 3 * MIB);
}

#[tokio::test]
async fn a_jumping_reader_gets_what_it_asked_for_and_no_more() {
    let (asked, fetcher) = source();
    let (version, memory, stream) = (version(100 * PART), memory(), Stream::default());
    let reading =
        Reading { ino: INO, memory: &memory, stream: &stream, fetcher: &*fetcher, longest: u64::MAX, noting: None };
    // The last two are near each other: for reads so long, a megabyte is no distance.
    for offset in [50 * PART, 7 * PART, 90 * PART, 90 * PART + 2 * MIB] {
        check(&version, offset..offset + MIB, reading).await;
    }
    assert_eq!(bytes_asked(&asked), 4 * MIB);
    assert_eq!(memory.used(), 0);
}

#[tokio::test]
async fn sixty_four_readers_stay_within_a_small_memory_and_fetch_nothing_twice() {
    let size = 3 * PART;
    let (asked, fetcher) = source();
    let memory = Memory::new(256 * MIB);
    let readers: Vec<_> = (0..64).map(|ino| (Ino(ino), version(size), Stream::default())).collect();
    for at in (0..size).step_by(MIB as usize) {
        for (ino, version, stream) in &readers {
            let reading =
                Reading { ino: *ino, memory: &memory, stream, fetcher: &*fetcher, longest: u64::MAX, noting: None };
            assert_eq!(version.read(at..at + MIB, reading).await.unwrap().len() as u64, MIB);
            assert!(memory.used() <= 128 * MIB, "{}", memory.used());
        }
    }
    // Before there were so many they each had fetched a part, some of which had to go again.
    let (fetched, wanted) = (bytes_asked(&asked), 64 * size);
    assert!(fetched <= wanted + wanted / 5, "{fetched} of {wanted}");
}

#[tokio::test]
async fn reading_past_the_end_asks_nothing() {
    let (asked, fetcher) = source();
    let (memory, stream) = (memory(), Stream::default());
    let reading =
        Reading { ino: INO, memory: &memory, stream: &stream, fetcher: &*fetcher, longest: u64::MAX, noting: None };
    let bytes = version(10).read(10..20, reading).await.unwrap();
    assert!(bytes.is_empty() && asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_chunk_that_could_not_be_fetched_is_asked_for_again() {
    let (version, memory, stream) = (version(2 * PART), memory(), Stream::default());
    // The first chunk comes, the second breaks off.
    let failing: Box<Fetcher<'static>> = Box::new(|range, mut receive| {
        receive(range.start, &vec![0; MIB as usize + 5]);
        async { Err(Error::fs(libc::EIO, "down")) }.boxed()
    });
    let reading =
        Reading { ino: INO, memory: &memory, stream: &stream, fetcher: &*failing, longest: u64::MAX, noting: None };
    assert_eq!(version.read(0..10, reading).await.unwrap().len(), 10);
    assert_eq!(version.read(MIB..MIB + 10, reading).await.unwrap_err().errno(), libc::EIO);
    let (asked, fetcher) = source();
    check(&version, MIB..MIB + 10, Reading { fetcher: &*fetcher, ..reading }).await;
    assert_eq!(asked.lock().unwrap().first(), Some(&(MIB..MIB + 10)));
}

#[test]
fn what_comes_twice_is_taken_once() {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let log = taken.clone();
    let mut receive = filling(10..20, [14, 20].into(), move |end, bytes| log.lock().unwrap().push((end, bytes)));
    receive(10, b"abcdef");
    receive(10, b"abc");
    receive(13, b"defgh");
    receive(18, b"ij");
    let expected = [(14, Bytes::from_static(b"abcd")), (20, Bytes::from_static(b"efghij"))];
    assert_eq!(*taken.lock().unwrap(), expected);
}
