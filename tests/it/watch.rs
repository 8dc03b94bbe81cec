//! Waiting for the end of copies: poll(2), `blobcp wait`, `blobcp status` of trees.

use std::fs::File;
use std::os::fd::AsRawFd;

use blobcp::devstore::CopyAction;
use blobcp::store::{CopyRequest, CopySource, Precondition};
use serde_json::Value;

use crate::common::*;

const BLOBCP: &str = env!("CARGO_BIN_EXE_blobcp");

/// poll(2) for that many milliseconds: what is ready.
fn poll(file: &File, timeout: i32) -> i16 {
    let mut polled = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN | libc::POLLOUT, revents: 0 };
    // SAFETY: one structure, as it is said to be.
    unsafe { libc::poll(&mut polled, 1, timeout) };
    polled.revents
}

/// A copy of `a` that another client starts.
fn start_elsewhere(world: &World, name: &str) {
    let client = world.client(ONE);
    let request = CopyRequest {
        source: CopySource::new(client.blob(&path("a")).url()),
        source_if_match: None,
        precondition: Precondition::None,
        metadata: None,
        tier: None,
        tags: Vec::new(),
        lease: None,
        seal: None,
    };
    world.block_on(client.blob(&path(name)).start_copy(&request)).unwrap();
}

fn accept(world: &World, name: &str) {
    world.ok(&format!("{BLOBCP} cp --no-wait a {name}"));
}

#[test]
fn a_file_is_ready_when_no_copy_onto_it_is_pending() {
    let world = World::with(Setup { attr_ttl: std::time::Duration::from_secs(60), ..Setup::default() });
    world.put("a", "text");
    let a = File::open(world.here().join("a")).unwrap();
    world.reset_stats();
    assert_eq!(poll(&a, 0), libc::POLLIN | libc::POLLOUT);
    assert_eq!(world.stats().total, 0, "what was heard at open is enough");
    world.hold_copies();
    accept(&world, "b");
    let b = File::open(world.here().join("b")).unwrap();
    assert_eq!(poll(&b, 0), 0);
    assert_eq!(poll(&b, 50), 0);
    let waiting = std::thread::spawn(move || poll(&b, 60_000));
    steer(&world, CopyAction::Release);
    assert_eq!(waiting.join().unwrap(), libc::POLLIN | libc::POLLOUT);
    assert_eq!(world.stored("b"), "text");
}

#[test]
fn a_failed_copy_is_an_end_too_and_one_started_elsewhere_is_seen() {
    // C32, X16
    let world = World::new();
    world.put("a", "text");
    world.hold_copies();
    start_elsewhere(&world, "b");
    let b = File::open(world.here().join("b")).unwrap();
    let clone = b.try_clone().unwrap();
    assert_eq!(poll(&b, 0), 0);
    let waiting = std::thread::spawn(move || poll(&clone, 60_000));
    steer(&world, fail(403, "AuthenticationFailed"));
    assert_ne!(waiting.join().unwrap() & libc::POLLIN, 0);
    assert_ne!(poll(&b, 0) & libc::POLLIN, 0);
}

#[test]
fn epoll_and_select_of_python_work_as_well() {
    let world = World::new();
    world.put("a", "text");
    world.hold_copies();
    accept(&world, "b");
    let script = "import select,os,sys\n\
        fd = os.open('b', os.O_RDONLY)\n\
        assert select.select([fd], [], [], 0) == ([], [], [])\n\
        os.mkdir('waiting')\n\
        assert select.select([fd], [], [], 60) == ([fd], [], [])\n\
        print(os.getxattr('b', 'user.blob.copy.status').decode())";
    let running = world.start(&format!("exec python3 -c \"{script}\""));
    eventually("the second look", || world.is_stored("waiting"));
    steer(&world, CopyAction::Release);
    let ran = running.wait();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "success\n"), "{ran:?}");
}

#[test]
fn wait_returns_with_the_last_copy_and_its_status_is_theirs() {
    let world = World::new();
    world.put("a", "text");
    world.hold_copies();
    for name in ["b", "c"] {
        accept(&world, name);
    }
    let mut running = world.start(&format!("exec {BLOBCP} wait b c"));
    steer(&world, CopyAction::Release);
    assert!(!running.has_ended());
    steer(&world, CopyAction::Release);
    let ran = running.wait();
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""), "{ran:?}");
    accept(&world, "d");
    let running = world.start(&format!("exec {BLOBCP} wait d b"));
    steer(&world, fail(404, "BlobNotFound"));
    let ran = running.wait();
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.starts_with("blobcp: wait: d: the copy failed: 404 BlobNotFound"), "{ran:?}");
    let ran = world.sh(&format!("{BLOBCP} wait a nosuch ."));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("a: no copy was made onto this file\n"), "{ran:?}");
    assert!(ran.stderr.contains("nosuch: No such file or directory\n"), "{ran:?}");
    assert!(ran.stderr.contains(".: is a directory; -r takes the files in it\n"), "{ran:?}");
}

#[test]
fn a_tree_is_watched_by_one_listing_and_not_by_its_files() {
    // M6
    let world = World::new();
    world.put("a", "text");
    world.ok("mkdir -p t/deep");
    for number in 0..40 {
        world.put(&format!("t/deep/{number}"), "no copy");
    }
    world.hold_copies();
    // Copies of its own the mount looks at by itself.
    for name in ["t/x", "t/deep/y", "t/z"] {
        start_elsewhere(&world, name);
    }
    world.reset_stats();
    let json = world.ok(&format!("{BLOBCP} status -r --json t"));
    let stats = world.stats();
    assert!(stats.requests("ListBlobs") <= 2 && stats.requests("GetBlobProperties") <= 1, "{stats:?}");
    let rows: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 43);
    let pending: Vec<&str> =
        rows.iter().filter(|row| row["status"] == "pending").map(|row| row["path"].as_str().unwrap()).collect();
    assert_eq!(pending, ["t/deep/y", "t/x", "t/z"]);
    let shown = rows.iter().find(|row| row["path"] == "t/x").unwrap();
    assert!(shown["source"].as_str().unwrap().ends_with("/box/a"), "{shown}");
    world.reset_stats();
    // Watched, and waited for, until the last one ends.
    let watching = world.start(&format!("exec {BLOBCP} status -r --watch t"));
    let waiting = world.start(&format!("exec {BLOBCP} wait -r t"));
    eventually("the first look of both", || world.stats().requests("ListBlobs") >= 2);
    steer(&world, CopyAction::Release);
    steer(&world, CopyAction::Release);
    steer(&world, fail(500, "OperationCancelled"));
    let watched = watching.wait();
    assert_eq!(watched.code, Some(0), "{watched:?}");
    assert_eq!(watched.stdout.lines().filter(|line| line.contains("  failed   0 B of 4 B")).count(), 1, "{watched:?}");
    assert_eq!(watched.stdout.lines().filter(|line| line.contains("  success  4 B ")).count(), 2, "{watched:?}");
    assert!(!watched.stdout.contains("t/deep/7"), "only what is pending or failed: {watched:?}");
    let waited = waiting.wait();
    assert_eq!(waited.code, Some(1));
    assert_eq!(waited.stderr.lines().count(), 1, "{waited:?}");
    let aborted = world.ok(&format!("{BLOBCP} abort -r t"));
    assert_eq!(aborted, "");
}
