//! SIGTERM while the mount is at work: a clean unmount, no zombie mount point, nothing acknowledged is lost.

use blobcp::devstore::{CopyAction, PolicyChange};
use blobcp::store::{BlobSettings, BlobType, CopyStatus, WriteOptions};

use crate::common::*;

const MIB: usize = 1 << 20;

/// The container `one/box` of a test's devstore.
fn mounted(world: &World) -> MountProcess {
    MountProcess::new(&world.store, &[ONE], &[&format!("{ONE}/{BOX}")])
}

/// Waits for a program that lost its mount. It must not hang, and must not believe that it succeeded.
fn assert_fails(program: Running) {
    let ran = program.wait();
    assert_ne!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn during_a_copy() {
    // M9: the service goes on; nothing is aborted, nothing is deleted.
    let world = World::new();
    world.put("a", pattern(4 * MIB));
    let mut mount = mounted(&world);
    world.store.change_policy(PolicyChange { hold_new_copies: Some(true), ..Default::default() });
    let cp = mount.start("exec cp a b");
    pending(&world, "b");
    let mv = mount.start("exec mv a c");
    pending(&world, "c");
    mount.terminate();
    assert_fails(cp);
    assert_fails(mv);
    assert_eq!(world.stored("a"), pattern(4 * MIB));
    assert_eq!(status(&world, "b"), Some(CopyStatus::Pending));
    steer(&world, CopyAction::Release);
    steer(&world, CopyAction::Release);
    assert_eq!(world.stored("b"), pattern(4 * MIB));
    assert!(world.is_stored("a"));
}

/// A program has written, and nothing of it is stored, when the mount is told to end.
fn terminate_with_unsaved_writes(world: &World, program: &str) {
    let mut mount = mounted(world);
    world.reset_stats();
    let mut writer = Gated::start_in(&mount.path(), &format!("{program}\ngate()"));
    writer.reached();
    let stored = ["PutBlockList", "AppendBlock", "PutPage"];
    assert!(stored.iter().all(|request| world.stats().requests(request) == 0), "{:?}", world.stats());
    mount.terminate();
}

#[test]
fn during_an_upload() {
    let world = World::new();
    let program = "f = open('big', 'wb', buffering=0)
for i in range(30): assert f.write(bytes([i]) * 1048576) == 1048576";
    terminate_with_unsaved_writes(&world, program);
    // Every write that was answered is in the service.
    let expected: Vec<u8> = (0..30).flat_map(|i| vec![i; MIB]).collect();
    assert!(world.stored("big") == expected);
}

#[test]
fn with_more_to_append_to_an_append_blob() {
    let world = World::new();
    let client = world.client(ONE);
    let settings = BlobSettings::default();
    world.block_on(client.blob(&path("log")).append_blob().create(&settings, &WriteOptions::default())).unwrap();
    world
        .block_on(client.blob(&path("log")).append_blob().append_block(0, "first\n".into(), &WriteOptions::default()))
        .unwrap();
    let program = "f = open('log', 'ab', buffering=0)
for i in range(1000): f.write(b'line %d\\n' % i)";
    terminate_with_unsaved_writes(&world, program);
    let lines: String = (0..1000).map(|i| format!("line {i}\n")).collect();
    assert_eq!(world.stored("log"), format!("first\n{lines}"));
    assert_eq!(world.properties(ONE, "log").unwrap().blob_type, BlobType::Append);
}

#[test]
fn with_pages_of_a_page_blob_to_store() {
    let world = World::new();
    world
        .block_on(world.client(ONE).blob(&path("disk")).page_blob().create(
            8 * MIB as u64,
            &BlobSettings::default(),
            &WriteOptions::default(),
        ))
        .unwrap();
    let program = "f = open('disk', 'r+b', buffering=0)
for i in range(4): f.seek(i * 2097152 + 1000); f.write(b'page %d' % i)
f.seek(4096); f.write(bytes(range(256)) * 4096)";
    terminate_with_unsaved_writes(&world, program);
    let mut expected = vec![0; 8 * MIB];
    for i in 0..4 {
        let at = i * 2 * MIB + 1000;
        expected[at..at + 6].copy_from_slice(format!("page {i}").as_bytes());
    }
    let ramp: Vec<u8> = (0..=255).collect();
    expected[4096..4096 + MIB].copy_from_slice(&ramp.repeat(4096));
    assert!(world.stored("disk") == expected);
    assert_eq!(world.properties(ONE, "disk").unwrap().blob_type, BlobType::Page);
}

#[test]
fn during_a_read() {
    let world = World::new();
    world.put_sparse("big", 1 << 40);
    let mut mount = mounted(&world);
    let cat = mount.start("exec cat big > /dev/null");
    eventually("some reading", || world.stats().body_bytes_out > 64 * MIB as u64);
    mount.terminate();
    assert_fails(cat);
}

#[test]
fn with_files_open_and_nothing_to_do() {
    let world = World::new();
    world.put("a", "text");
    let mut mount = mounted(&world);
    let held = std::fs::File::open(mount.path().join("a")).unwrap();
    mount.terminate();
    assert!(held.metadata().is_err());
}
