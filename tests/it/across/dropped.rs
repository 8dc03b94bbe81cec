//! Blocks of copies onto new names that come to nothing.

use blobcp::devstore::{Config, Immutability};

use super::*;

/// A mount that copies in blocks, of accounts with a hierarchical namespace or without.
fn in_blocks_of(hns: bool) -> World {
    let setup = Setup { copy_method: CopyMethod::Blocks, keep_on_abort: true, ..Setup::default() };
    World::with(Setup { devstore: Config { hns, ..setup.devstore.clone() }, ..setup })
}

/// Blocks that were staged under a name of `two/box` that has no blob.
fn staged(world: &World, name: &str) -> usize {
    world.block_on(world.client(TWO).blob(&path(name)).block_blob().staged_alone()).unwrap().len()
}

/// The second block is refused.
fn refuse_a_block(world: &World) {
    let (status, code) = (Some(403), Some("AuthorizationFailure".to_owned()));
    world.store.add_fault(Fault { skip: 1, status, code, ..Fault::on("PutBlockFromURL") });
}

#[test]
fn blocks_of_a_new_name_go_with_the_copy() {
    for hns in [false, true] {
        let world = in_blocks_of(hns);
        world.put("a", pattern(9 * MIB as usize));
        world.ok("mkdir ../../two/box/d");
        world.reset_stats();
        refuse_a_block(&world);
        let ran = world.sh(&format!("{BLOBCP} cp a ../../two/box/d/refused"));
        assert_eq!(ran.code, Some(1), "{ran:?}");
        // It is there already, and its answer does not come.
        let block = world.stop_answer(Fault { skip: 1, ..Fault::on("PutBlockFromURL") });
        let cp = world.start(&format!("exec {BLOBCP} cp a ../../two/box/d/aborted"));
        block.reached();
        assert_eq!(staged(&world, "d/aborted"), 2);
        world.ok(&format!("{BLOBCP} abort ../../two/box/d/aborted"));
        assert_eq!(cp.wait().code, Some(1));
        for name in ["d/refused", "d/aborted"] {
            assert_eq!((world.properties(TWO, name), staged(&world, name)), (None, 0), "{name}");
        }
        let stats = world.stats();
        assert_eq!((stats.requests("PutBlob"), stats.requests("DeleteBlob")), (2, 2), "{stats:?}");
        block.let_go();
        world.ok("rmdir ../../two/box/d");
    }
}

#[test]
fn what_is_replaced_is_kept_where_no_snapshots_are() {
    let world = in_blocks_of(true);
    world.put("a", pattern(9 * MIB as usize));
    world.store.put_blob(TWO, BOX, "b", "old".into(), "text/plain").unwrap();
    refuse_a_block(&world);
    assert_eq!(world.sh("cp a ../../two/box/b").code, Some(1));
    assert_eq!(content(&world, "b"), b"old");
    world.ok("cp a ../../two/box/b");
    assert_eq!(content(&world, "b"), pattern(9 * MIB as usize));
    assert_eq!(world.stats().requests("SnapshotBlob"), 0);
}

/// To drop them takes an empty blob, which would stay.
#[test]
fn blocks_stay_in_a_container_that_keeps_what_is_made() {
    let world = in_blocks_of(false);
    world.put("a", pattern(9 * MIB as usize));
    let rules = Immutability { days: Some(7), locked: false, legal_hold: false, appends: false, versions: false };
    world.store.keep(TWO, BOX, rules).unwrap();
    refuse_a_block(&world);
    let ran = world.sh(&format!("{BLOBCP} cp a ../../two/box/b"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!((world.properties(TWO, "b"), staged(&world, "b"), world.stats().requests("PutBlob")), (None, 1, 0));
}

#[test]
fn where_directories_are_blocks_of_a_mount_that_was_killed_are_told_and_dropped() {
    let world = in_blocks_of(true);
    world.put("a", pattern(9 * MIB as usize));
    let mut mount = MountProcess::new(&world.store, &[ONE, TWO], &["--copy-method", "blocks", ONE, TWO]);
    let block = world.stop_answer(Fault { skip: 1, ..Fault::on("PutBlockFromURL") });
    let cp = mount.start(&format!("exec {BLOBCP} cp one/box/a two/box/b"));
    block.reached();
    mount.kill();
    assert_ne!(cp.wait().code, Some(0));
    world.store.clear_faults();
    mount.start_again();
    let told = mount.start(&format!("{BLOBCP} status --leftovers two/box")).wait();
    assert!(told.code == Some(1) && told.stdout.contains("b: uncommitted blocks,"), "{told:?}");
    let ended = mount.start(&format!("{BLOBCP} clean two/box")).wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!((world.properties(TWO, "b"), staged(&world, "b")), (None, 0));
}
