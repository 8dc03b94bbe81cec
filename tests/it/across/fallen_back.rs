//! Copies that nobody has ordered in blocks and that blocks cannot make: the service makes them by Copy Blob, or what is left is
//! told and can be ended.

use super::overtaken::{SIZE, assert_emptied, assert_whole, count, hurry, slow};
use super::*;

/// A request is refused, whoever asks.
fn forbidden(operation: &str) -> Fault {
    Fault { status: Some(403), code: Some("AuthorizationFailure".to_owned()), ..Fault::on(operation) }
}

/// The second block is refused when it is let go.
fn forbid_a_block(world: &World) -> Stopped<'_> {
    world.stop(Fault { skip: 1, ..forbidden("PutBlockFromURL") })
}

#[test]
fn a_block_list_that_is_refused_is_a_reason_to_take_the_copy_blob_up_again() {
    let world = slow();
    let list = world.stop(forbidden("PutBlockList"));
    let cp = world.start(&format!("exec {BLOBCP} cp a ../../two/box/b"));
    list.reached();
    assert_emptied(&world, "b");
    hurry(&world);
    list.let_go();
    let ran = cp.wait();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(count(&world, "CopyBlob"), 2);
    assert_whole(&world, "b");
}

#[test]
fn a_service_that_is_away_when_the_copy_blob_is_taken_up_again_is_waited_for() {
    let world = slow();
    let block = forbid_a_block(&world);
    let cp = world.start(&format!("exec {BLOBCP} cp a ../../two/box/b"));
    block.reached();
    assert_emptied(&world, "b");
    hurry(&world);
    // As often as one request is repeated, and once more.
    world.store.add_fault(Fault { status: Some(500), count: 1000, ..Fault::on("CopyBlob") });
    world.reset_stats();
    block.let_go();
    eventually("another request", || count(&world, "CopyBlob") > 5);
    world.store.clear_faults();
    let ran = cp.wait();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_whole(&world, "b");
}

#[test]
fn a_file_that_is_left_empty_is_told_by_the_mount_that_has_left_it_and_can_be_filled() {
    let world = slow();
    let mount = MountProcess::new(&world.store, &[ONE, TWO], &[ONE, TWO]);
    let blobcp = |words: &str| mount.start(&format!("{BLOBCP} {words} two/box")).wait();
    let block = forbid_a_block(&world);
    let cp = mount.start(&format!("exec {BLOBCP} cp one/box/a two/box/b"));
    block.reached();
    world.store.add_fault(forbidden("CopyBlob"));
    block.let_go();
    let ran = cp.wait();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_emptied(&world, "b");
    hurry(&world);
    let told = blobcp("status --leftovers");
    assert!(told.code == Some(1) && told.stdout.contains("b: unfinished copy,"), "{told:?}");
    let ended = blobcp("clean");
    assert!(ended.code == Some(0) && ended.stdout.contains("begins it anew"), "{ended:?}");
    eventually("the copy", || world.properties(TWO, "b").is_some_and(|found| found.size == SIZE));
    assert_whole(&world, "b");
    assert_eq!(blobcp("status --leftovers").code, Some(0));
}

/// Nobody has asked for blocks.
#[test]
fn a_copy_that_begins_in_blocks_unasked_is_a_copy_blob_where_they_are_refused() {
    for replaces in [false, true] {
        let world = slow();
        world.ok(&format!("{BLOBCP} cp a ../../two/box/measured"));
        if replaces {
            world.store.put_blob(TWO, BOX, "b", "old".into(), "text/plain").unwrap();
        }
        hurry(&world);
        world.reset_stats();
        world.store.add_fault(Fault { skip: 1, ..forbidden("PutBlockFromURL") });
        world.ok(&format!("{BLOBCP} cp --keep-on-abort a ../../two/box/b"));
        assert_whole(&world, "b");
        let made = ["CopyBlob", "SnapshotBlob", "PutBlockList"].map(|operation| count(&world, operation));
        assert_eq!(made, [1, u64::from(replaces), 0]);
        assert!(count(&world, "PutBlockFromURL") > 1, "it began in blocks");
        assert_eq!(shown(&world, "b", "status").as_deref(), Some("success"));
        world.ok(&format!("{BLOBCP} cp --copy-method blob a ../../two/box/c && cmp ../../two/box/b ../../two/box/c"));
    }
}

/// There was nothing to take a snapshot of, so that nothing but the journal tells of it.
#[test]
fn an_empty_file_that_was_to_be_kept_is_told_when_the_mount_is_killed() {
    let world = slow();
    world.store.put_blob(TWO, BOX, "b", "".into(), "text/plain").unwrap();
    let mut mount = MountProcess::new(&world.store, &[ONE, TWO], &["--keep-on-abort", ONE, TWO]);
    let block = stop_a_block(&world);
    let cp = mount.start("exec cp one/box/a two/box/b");
    block.reached();
    mount.kill();
    assert_ne!(cp.wait().code, Some(0));
    world.store.clear_faults();
    mount.start_again();
    hurry(&world);
    let ended = mount.start(&format!("{BLOBCP} clean two/box")).wait();
    assert!(ended.code == Some(0) && ended.stdout.contains("begins it anew"), "{ended:?}");
    eventually("the copy", || world.properties(TWO, "b").is_some_and(|found| found.size == SIZE));
    assert_whole(&world, "b");
}
