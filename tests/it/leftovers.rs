//! What mounts that were killed have left: told, ended where it is proven to be of no use, and kept where it is not.

use std::path::Path;
use std::process::Command;

use blobcp::devstore::{Config, Fault};
use blobcp::store::{BlobSettings, BlockId, BlockRef, CopyStatus, Metadata, WriteOptions};
use sha2::{Digest, Sha256};

use crate::common::*;

/// A mount of `one/box` in a process of its own.
fn mounted(world: &World) -> MountProcess {
    MountProcess::new(&world.store, &[ONE], &[&format!("{ONE}/{BOX}")])
}

/// A command of blobcp: exit code, and what it printed.
fn blobcp(words: &[&str], dir: &Path) -> (Option<i32>, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_blobcp")).args(words).arg(dir).output().unwrap();
    (ran.status.code(), String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr))
}

/// Runs a command on the mount that does not come to its end, because the mount is killed when that request is answered.
fn killed_after(world: &World, mount: &mut MountProcess, request: Fault, command: &str) {
    killed(world, mount, world.stop_answer(request), command);
}

/// Runs a command on the mount, which is killed when that request stands still.
fn killed(world: &World, mount: &mut MountProcess, stopped: Stopped<'_>, command: &str) {
    let program = mount.start(command);
    stopped.reached();
    mount.kill();
    assert_ne!(program.wait().code, Some(0));
    world.store.clear_faults();
    mount.start_again();
}

#[test]
fn a_snapshot_that_somebody_took_is_nobodys_leftover() {
    let world = logged();
    world.put("a", "text");
    world.block_on(world.client(ONE).blob(&path("a")).create_snapshot()).unwrap();
    let (code, told) = blobcp(&["status", "--leftovers"], &world.here());
    assert!(code == Some(0) && told.contains("nothing is left"), "{told}");
    let (code, told) = blobcp(&["clean"], &world.here());
    assert!(code == Some(0) && told.contains("nothing is left"), "{told}");
    assert_eq!(world.sh("rm a").code, Some(1));
    assert_eq!(snapshots(&world, "a"), 1);
    assert_logged(&["blobcp status --leftovers"]);
}

#[test]
fn what_may_be_of_a_mount_that_lives_stays() {
    let world = World::new();
    world.put("a", "text");
    let etag = world.properties(ONE, "a").unwrap().etag;
    let of: String = Sha256::digest("box/a").iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let mark: Metadata = [("blobcp_backup", format!("1 00 1 {of} {etag}"))].into_iter().collect();
    world.block_on(world.client(ONE).blob(&path("a")).snapshots().create(&mark)).unwrap();
    for command in [&["status", "--leftovers"][..], &["clean"]] {
        let (code, told) = blobcp(command, &world.here());
        assert!(code == Some(1) && told.contains("a: snapshot,") && told.contains("stays: of a mount"), "{told}");
    }
    assert_eq!(snapshots(&world, "a"), 1);
    assert_eq!(world.sh("rm a").code, Some(1));
}

#[test]
fn a_copy_that_goes_on_is_told_and_ends_by_itself() {
    let world = World::new();
    world.put("a", "new");
    let mut mount = mounted(&world);
    world.hold_copies();
    let cp = mount.start("exec cp a b");
    pending(&world, "b");
    mount.kill();
    assert_ne!(cp.wait().code, Some(0));
    mount.start_again();
    // Whatever it held on the source can be ended at once; it may have been killed before it asked for a lease.
    let (code, told) = blobcp(&["clean"], &mount.path());
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = blobcp(&["status", "--leftovers"], &mount.path());
    assert!(code == Some(0) && told.contains("b: pending copy,") && told.contains("ends by itself"), "{told}");
    assert!(!told.contains("a: lease,"), "{told}");
    steer(&world, blobcp::devstore::CopyAction::Release);
    eventually("the copy", || world.stored("b") == "new");
}

#[test]
fn what_a_copy_was_to_replace_comes_back_if_the_copy_comes_to_nothing() {
    let world = World::new();
    world.put("a", "new");
    world.put("b", "old");
    world.ok("setfattr -n user.blob.meta.color -v red b");
    let mut mount = mounted(&world);
    world.hold_copies();
    let program = env!("CARGO_BIN_EXE_blobcp");
    let cp = mount.start(&format!("exec {program} cp --keep-on-abort a b"));
    pending(&world, "b");
    mount.kill();
    assert_ne!(cp.wait().code, Some(0));
    mount.start_again();
    eventually("its line", || mount.said().contains("left unfinished"));
    // As long as nobody knows how it ends, nothing is touched.
    let (code, told) = blobcp(&["clean"], &mount.path());
    assert!(code == Some(1) && told.contains("b: snapshot,") && told.contains("stays: a copy onto"), "{told}");
    steer(&world, fail(404, "BlobNotFound"));
    assert_eq!(world.stored("b"), "");
    let (code, told) = blobcp(&["status", "--leftovers"], &mount.path());
    assert!(code == Some(1) && told.contains("what was there comes back"), "{told}");
    assert_eq!((snapshots(&world, "b"), world.stored("b").len()), (1, 0), "looking changes nothing");
    world.store.change_policy(blobcp::devstore::PolicyChange { hold_new_copies: Some(false), ..Default::default() });
    let (code, told) = blobcp(&["clean"], &mount.path());
    assert!(code == Some(0) && told.contains("ended"), "{told}");
    assert_eq!(world.stored("b"), "old");
    let metadata = world.properties(ONE, "b").unwrap().metadata;
    assert_eq!((metadata.get("color"), metadata.get("blobcp_backup")), (Some("red"), None));
    assert_eq!(snapshots(&world, "b"), 0);
    assert_eq!(blobcp(&["status", "--leftovers"], &mount.path()).0, Some(0));
}

#[test]
fn what_was_written_since_is_not_undone() {
    let world = World::new();
    world.put("a", "new");
    world.put("b", "old");
    let mut mount = mounted(&world);
    killed_after(&world, &mut mount, Fault::on("SnapshotBlob"), "exec mv a b");
    std::fs::write(mount.path().join("b"), "another").unwrap();
    let (code, told) = blobcp(&["clean"], &mount.path());
    assert!(
        code == Some(1) && told.contains("b: snapshot,") && told.contains("stays: the file was written since"),
        "{told}"
    );
    assert_eq!((world.stored("b"), snapshots(&world, "b")), ("another".into(), 1));
    // As it says.
    let moment = std::fs::read_dir(mount.path().join(".snapshots/b")).unwrap().next().unwrap().unwrap();
    std::fs::remove_file(moment.path()).unwrap();
    assert_eq!(blobcp(&["clean"], &mount.path()).0, Some(0));
}

#[test]
fn rm_takes_along_the_snapshot_that_a_killed_mount_has_left() {
    let world = World::new();
    world.put("a", "new");
    world.put("b", "old");
    let mut mount = mounted(&world);
    killed_after(&world, &mut mount, Fault::on("CopyBlob"), "exec mv a b");
    assert_eq!(snapshots(&world, "b"), 1);
    std::fs::remove_file(mount.path().join("b")).unwrap();
    assert!(!world.is_stored("b"));
    assert_eq!(world.stored("a"), "new");
    // The copy under the new name is gone, so the old name stays.
    assert_eq!(blobcp(&["clean"], &mount.path()).0, Some(0));
    assert_eq!(world.stored("a"), "new");
}

#[test]
fn a_snapshot_that_could_not_be_deleted_is_in_nobodys_way() {
    for command in ["rm b", "mv b c"] {
        let world = World::new();
        world.put("a", "new");
        world.put("b", "old");
        // The second one is that of the snapshot.
        let lasting = Fault { skip: 1, count: u64::MAX, status: Some(500), ..Fault::on("DeleteBlob") };
        world.store.add_fault(lasting);
        world.ok("mv a b");
        world.store.clear_faults();
        assert_eq!((snapshots(&world, "b"), world.stored("b")), (1, "new".into()));
        let (code, told) = blobcp(&["status", "--leftovers"], &world.here());
        assert!(code == Some(1) && told.contains("b: snapshot,") && told.contains("can be ended"), "{told}");
        world.ok(command);
        assert!(!world.is_stored("b") && snapshots(&world, "b") == 0, "{command}");
    }
}

#[test]
fn where_directories_are_blocks_of_a_file_that_is_removed_go_with_it() {
    let world = World::with(Setup { devstore: Config { hns: true, ..Setup::default().devstore }, ..Setup::default() });
    world.ok("mkdir d; exec 3>d/a; head -c 20M /dev/zero >&3; rm d/a; exec 3>&-");
    eventually("the directory can be removed", || world.sh("rmdir d").code == Some(0));
}

#[test]
fn blocks_that_somebody_else_sends_stay() {
    let world = World::with(Setup { devstore: Config { hns: true, ..Setup::default().devstore }, ..Setup::default() });
    let mut mount = mounted(&world);
    killed_after(&world, &mut mount, Fault::on("PutBlock"), "exec dd if=/dev/zero of=a bs=1M count=20 status=none");
    let id = BlockId::new("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let client = world.client(ONE);
    let path = path("a");
    world.block_on(client.blob(&path).block_blob().stage_block(&id, bytes::Bytes::from_static(b"text"))).unwrap();
    let (code, told) = blobcp(&["clean"], &mount.path());
    assert!(code == Some(1) && told.contains("a: uncommitted blocks,") && told.contains("stays"), "{told}");
    let options = WriteOptions::default();
    let list = [BlockRef::Uncommitted(id)];
    world
        .block_on(client.blob(&path).block_blob().commit_block_list(&list, &BlobSettings::default(), &options))
        .unwrap();
    assert_eq!(world.stored("a"), "text");
    let (code, told) = blobcp(&["clean"], &mount.path());
    assert_eq!(code, Some(0), "{told}");
}

#[test]
fn a_lease_of_a_killed_mount_is_given_back() {
    let world = World::new();
    world.put("a", "text");
    let mut mount = mounted(&world);
    world.hold_copies();
    let cp = mount.start("exec cp a b");
    let leased = || world.properties(ONE, "a").unwrap().lease.state.as_deref() == Some("leased");
    eventually("the lease", leased);
    mount.kill();
    assert_ne!(cp.wait().code, Some(0));
    mount.start_again();
    let append = || mount.start("printf more >> a").wait().code;
    assert_eq!(append(), Some(1), "it is leased");
    let (code, told) = blobcp(&["status", "--leftovers"], &mount.path());
    assert!(code == Some(1) && told.contains("a: lease,"), "{told}");
    assert!(leased());
    let (_, told) = blobcp(&["clean"], &mount.path());
    assert!(told.contains("a: lease,") && !leased(), "{told}");
    assert_eq!(append(), Some(0));
    assert_eq!(world.stored("a"), "textmore");
    // The source was changed, which ends a copy (X8).
    assert_eq!(status(&world, "b"), Some(CopyStatus::Failed));
}

#[test]
fn a_directory_is_renamed_back_or_to_the_end() {
    for (last, expected) in [("CopyBlob", ["d/1", "d/2", "d/3"]), ("DeleteBlob", ["e/1", "e/2", "e/3"])] {
        let world = World::new();
        for i in 1..=3 {
            world.put(&format!("d/{i}"), format!("content {i}"));
        }
        let mut mount = mounted(&world);
        // Of the deletes that are sent together one at least is not done.
        let stopped = if last == "DeleteBlob" { World::stop } else { World::stop_answer };
        killed(&world, &mut mount, stopped(&world, Fault { skip: 1, ..Fault::on(last) }), "exec mv d e");
        let (code, told) = blobcp(&["status", "--leftovers"], &mount.path());
        assert!(code == Some(1) && told.contains("d: renamed directory,"), "{told}");
        let (code, told) = blobcp(&["clean"], &mount.path());
        assert_eq!(code, Some(0), "{told}");
        for (i, name) in expected.iter().enumerate() {
            assert_eq!(world.stored(name), format!("content {}", i + 1), "{told}");
            let other = name.replace(['d', 'e'], if name.starts_with('d') { "e" } else { "d" });
            assert!(!world.is_stored(&other), "{other}: {told}");
        }
        assert_eq!(blobcp(&["status", "--leftovers"], &mount.path()).0, Some(0));
    }
}

#[test]
fn a_mount_that_ends_in_order_leaves_no_journal() {
    let world = World::new();
    world.put("a", "text");
    let mut mount = mounted(&world);
    let journals = mount.path().parent().unwrap().join(".local/state/blobcp/journal");
    assert_eq!(std::fs::read_dir(&journals).unwrap().count(), 1);
    assert_eq!(mount.start("mv a b").wait().code, Some(0));
    mount.terminate();
    assert_eq!(std::fs::read_dir(&journals).unwrap().count(), 0);
}

#[test]
fn nothing_is_ended_on_a_mount_that_is_read_only() {
    let world = World::new();
    world.put("a", "new");
    world.put("b", "old");
    let mut mount = mounted(&world);
    killed_after(&world, &mut mount, Fault::on("CopyBlob"), "exec mv a b");
    mount.kill();
    let dir = mount.path();
    mount.start_again_with("--read-only");
    let (code, told) = blobcp(&["clean"], &dir);
    assert!(code == Some(1) && told.contains("Read-only"), "{told}");
    assert_eq!(blobcp(&["status", "--leftovers"], &dir).0, Some(1));
    assert_eq!(snapshots(&world, "b"), 1);
}

#[test]
fn the_lease_of_a_page_blob_that_was_being_written_is_given_back() {
    let world = World::new();
    let (settings, options) = (BlobSettings::default(), WriteOptions::default());
    world.block_on(world.client(ONE).blob(&path("disk")).page_blob().create(8 << 20, &settings, &options)).unwrap();
    let mut mount = mounted(&world);
    let program = "exec python3 -I -c \"f = open('disk', 'r+b', buffering=0)
for i in range(4): f.seek(i * 2097152); f.write(b'x' * 512)
f.close()\"";
    killed_after(&world, &mut mount, Fault::on("PutPage"), program);
    let lease = || world.properties(ONE, "disk").unwrap().lease.state;
    assert_eq!(lease().as_deref(), Some("leased"));
    let (code, told) = blobcp(&["clean"], &mount.path());
    assert!(code == Some(0) && told.contains("disk: lease,"), "{told}");
    assert_eq!(lease().as_deref(), Some("available"));
}
