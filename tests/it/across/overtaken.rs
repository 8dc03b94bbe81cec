//! Copies that a slow Copy Blob has begun and that go on in blocks: whatever ends them, nothing is lost that would not be lost with the
//! Copy Blob, and what is is told.

use blobcp::devstore::{AccountConfig, Config, Immutability};
use blobcp::fs::LeaseSource;

use super::*;

/// Of the source of each copy: enough to be measured, and few blocks.
pub(super) const SIZE: u64 = 64 * MIB;

/// Bytes a second of a Copy Blob: it is overtaken also by a machine that does not look before some seconds are over.
pub(super) const SLOW: CopyRate = CopyRate::BytesPerSecond(MIB / 8);

/// A mount as it is by default, of a service whose asynchronous copies are slow; with a source that says what it is at its end.
pub(super) fn slow() -> World {
    slow_with(Setup::default())
}

pub(super) fn slow_with(setup: Setup) -> World {
    let devstore = Config { copy_cross_account: SLOW, from_url_cross_account: CopyRate::Immediate, ..setup.devstore };
    let world = World::with(Setup { devstore, ..setup });
    put_source(&world);
    world
}

fn put_source(world: &World) {
    world.put_sparse("a", SIZE - 4);
    world.ok("printf 'end.' >> a; setfattr -n user.blob.meta.color -v blue a; setfattr -n user.blob.tag.team -v x a");
    world.reset_stats();
}

/// From now on copies between accounts are done when they are looked at.
pub(super) fn hurry(world: &World) {
    let at_once = PolicyChange { copy_cross_account: Some(CopyRate::Looks(1)), ..PolicyChange::default() };
    world.store.change_policy(at_once);
}

pub(super) fn count(world: &World, operation: &str) -> u64 {
    world.stats().requests(operation)
}

/// The blob is a whole copy of the source.
#[track_caller]
pub(super) fn assert_whole(world: &World, name: &str) {
    let found = world.properties(TWO, name).unwrap();
    assert_eq!((found.size, found.metadata.get("color"), found.tag_count), (SIZE, Some("blue"), 1), "{name}");
    assert!(content(world, name).ends_with(b"end."), "{name}");
}

/// The blob is what an abort leaves.
#[track_caller]
pub(super) fn assert_emptied(world: &World, name: &str) {
    let found = world.properties(TWO, name).unwrap();
    assert_eq!((found.size, found.copy.map(|copy| copy.status)), (0, Some(CopyStatus::Aborted)), "{name}");
}

#[test]
fn a_copy_that_nobody_waits_for_stays_the_services() {
    let world = slow_with(Setup { copy_wait: false, ..Setup::default() });
    world.put_sparse("t/a", SIZE);
    world.ok(&format!("{BLOBCP} cp --no-wait a ../../two/box/before"));
    // As long as it takes until another one is overtaken, and both rates are known.
    world.ok(&format!("{BLOBCP} cp a ../../two/box/b"));
    world.ok(&format!("{BLOBCP} cp a ../../two/box/c"));
    let made = ["CopyBlob", "AbortCopyBlob", "PutBlockList"].map(|operation| count(&world, operation));
    assert_eq!(made, [2, 1, 2], "one begins in blocks");
    world.reset_stats();
    world.ok(&format!("{BLOBCP} cp --no-wait a ../../two/box/d"));
    world.ok("cp a ../../two/box/e");
    world.ok(&format!("{BLOBCP} cp -r --no-wait t ../../two/box"));
    assert_eq!((count(&world, "CopyBlob"), count(&world, "PutBlockFromURL")), (3, 0));
    for name in ["before", "d", "e", "t/a"] {
        assert_eq!(world.properties(TWO, name).unwrap().copy.unwrap().status, CopyStatus::Pending, "{name}");
        assert_eq!(shown(&world, name, "method").as_deref(), Some("blob"), "{name}");
    }
    // What is archived from its start takes no second try.
    let cp = world.start(&format!("exec {BLOBCP} cp --tier Archive a ../../two/box/cold"));
    eventually("its start", || shown(&world, "cold", "method").as_deref() == Some("blob"));
    world.ok(&format!("{BLOBCP} abort ../../two/box/cold"));
    assert_eq!((cp.wait().code, count(&world, "CopyBlob"), count(&world, "PutBlockFromURL")), (Some(1), 4, 0));
    // Who says what is to be done is heeded.
    world.ok(&format!("{BLOBCP} cp --no-wait --copy-method blocks a ../../two/box/f && {BLOBCP} wait ../../two/box/f"));
    assert_whole(&world, "f");
    assert_eq!(count(&world, "CopyBlob"), 4);
}

/// M9.
#[test]
fn a_mount_that_ends_gives_the_copy_back_to_the_service() {
    let world = slow();
    let mut mount = MountProcess::new(&world.store, &[ONE, TWO], &[ONE, TWO]);
    let block = stop_a_block(&world);
    let cp = mount.start(&format!("exec {BLOBCP} cp one/box/a two/box/b"));
    block.reached();
    assert_emptied(&world, "b");
    hurry(&world);
    mount.terminate();
    // Whoever waits may have heard of the end yet.
    cp.wait();
    world.store.clear_faults();
    eventually("the copy", || world.properties(TWO, "b").is_some_and(|found| found.size == SIZE));
    assert_whole(&world, "b");
    assert_eq!((count(&world, "CopyBlob"), count(&world, "PutBlockList")), (2, 0));
    mount.start_again();
    assert!(!mount.said().contains("left unfinished"), "{}", mount.said());
}

#[test]
fn a_mount_that_is_killed_tells_of_it_and_the_copy_can_be_begun_anew() {
    for changed in [false, true] {
        let world = slow();
        let mut mount = MountProcess::new(&world.store, &[ONE, TWO], &[ONE, TWO]);
        let block = stop_a_block(&world);
        let cp = mount.start("exec cp one/box/a two/box/b");
        block.reached();
        mount.kill();
        assert_ne!(cp.wait().code, Some(0), "whoever waits is told");
        world.store.clear_faults();
        assert_emptied(&world, "b");
        mount.start_again();
        eventually("its line", || mount.said().contains("left unfinished"));
        hurry(&world);
        let blobcp = |words: &str| mount.start(&format!("{BLOBCP} {words} two/box")).wait();
        if changed {
            world.put("a", "other");
            let told = blobcp("clean");
            assert!(told.code == Some(1) && told.stdout.contains("b: unfinished copy,"), "{told:?}");
            assert!(told.stdout.contains("stays") && told.stdout.contains("not what it was"), "{told:?}");
            assert_emptied(&world, "b");
            continue;
        }
        let told = blobcp("status --leftovers");
        assert!(told.code == Some(1) && told.stdout.contains("b: unfinished copy,"), "{told:?}");
        assert_emptied(&world, "b");
        let ended = blobcp("clean");
        assert!(ended.code == Some(0) && ended.stdout.contains("begins it anew"), "{ended:?}");
        eventually("the copy", || world.properties(TWO, "b").is_some_and(|found| found.size == SIZE));
        assert_whole(&world, "b");
        assert_eq!(blobcp("status --leftovers").code, Some(0));
    }
}

/// Wherever it is killed, the service goes on, or is done, or can be told to begin anew.
#[test]
fn a_mount_that_is_killed_at_any_request_loses_nothing_for_good() {
    let world = slow();
    let mut mount = MountProcess::new(&world.store, &[ONE, TWO], &[ONE, TWO]);
    for (number, operation) in ["AbortCopyBlob", "AbortCopyBlob", "PutBlockList", "PutBlockList"].iter().enumerate() {
        let name = format!("b{number}");
        let is_there = || world.properties(TWO, &name).is_some_and(|found| found.size == SIZE);
        let slowly = PolicyChange { copy_cross_account: Some(SLOW), ..PolicyChange::default() };
        world.store.change_policy(slowly);
        let stopped = match number % 2 {
            0 => world.stop(Fault::on(operation)),
            _ => world.stop_answer(Fault::on(operation)),
        };
        let cp = mount.start(&format!("exec cp one/box/a two/box/{name}"));
        stopped.reached();
        mount.kill();
        assert_ne!(cp.wait().code, Some(0));
        world.store.clear_faults();
        hurry(&world);
        mount.start_again();
        let ended = mount.start(&format!("{BLOBCP} clean two/box one/box")).wait();
        assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
        if number == 0 {
            // It never was aborted, and goes on.
            assert!(world.properties(TWO, &name).unwrap().is_pending(), "{ended:?}");
            continue;
        }
        eventually(&format!("{name} is whole, after {}", ended.stdout), is_there);
        assert_whole(&world, &name);
    }
}

/// With a snapshot of what was there, that is what comes back.
#[test]
fn a_mount_that_is_killed_leaves_the_snapshot_of_what_was_replaced() {
    let world = slow();
    world.store.put_blob(TWO, BOX, "b", "old".into(), "text/plain").unwrap();
    let mut mount = MountProcess::new(&world.store, &[ONE, TWO], &["--keep-on-abort", ONE, TWO]);
    let block = stop_a_block(&world);
    let cp = mount.start("exec cp one/box/a two/box/b");
    block.reached();
    mount.kill();
    assert_ne!(cp.wait().code, Some(0));
    world.store.clear_faults();
    mount.start_again();
    let ended = mount.start(&format!("{BLOBCP} clean two/box")).wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(content(&world, "b"), b"old");
    assert!(!ended.stdout.contains("unfinished copy"), "{ended:?}");
}

/// It would keep the empty blob that the abort leaves.
#[test]
fn where_a_container_keeps_what_is_made_a_copy_blob_stays_one() {
    let world = slow();
    let rules = Immutability { days: Some(7), locked: false, legal_hold: false, appends: false, versions: false };
    world.store.keep(TWO, BOX, rules).unwrap();
    let cp = world.start(&format!("exec {BLOBCP} cp a ../../two/box/b"));
    eventually("the copy", || shown(&world, "b", "method").as_deref() == Some("blob"));
    world.reset_stats();
    eventually("a question", || count(&world, "GetContainerProperties") > 0);
    steer(&world, fail(404, "BlobNotFound"));
    assert_eq!(cp.wait().code, Some(1));
    assert_eq!((count(&world, "AbortCopyBlob"), count(&world, "PutBlockFromURL")), (0, 0));
}

/// As of a copy that is pending, whoever runs it.
#[test]
fn what_is_being_copied_to_is_no_source_and_no_destination() {
    let world = slow();
    world.put("small", "text");
    world.ok("mkdir ../../two/box/d t; echo text > t/b; echo other > ../../two/box/d/other");
    let url = shown_url(&world, "d/other").replace("d/other", "d/b");
    let block = stop_a_block(&world);
    let cp = world.start(&format!("exec {BLOBCP} cp a ../../two/box/d/b"));
    block.reached();
    assert_emptied(&world, "d/b");
    world.reset_stats();
    for command in [
        "cp ../../two/box/d/b one".to_owned(),
        format!("{BLOBCP} cp ../../two/box/d/b two"),
        format!("{BLOBCP} cp {url} three"),
        format!("{BLOBCP} cp --copy-method blob ../../two/box/d/b four"),
        format!("{BLOBCP} cp -r ../../two/box/d five"),
        "mv ../../two/box/d/b ../../two/box/d/c".to_owned(),
        "mv ../../two/box/d ../../two/box/e".to_owned(),
        "mv ../../two/box/d/b six".to_owned(),
        format!("{BLOBCP} cp small ../../two/box/d/b"),
        format!("{BLOBCP} cp -r -T t ../../two/box/d"),
        format!("{BLOBCP} snapshot ../../two/box/d/b"),
        "cp small ../../two/box/d/b".to_owned(),
        "mv ../../two/box/d/other ../../two/box/d/b".to_owned(),
        "truncate -s 0 ../../two/box/d/b".to_owned(),
        "setfattr -n user.blob.meta.color -v red ../../two/box/d/b".to_owned(),
    ] {
        let ran = world.sh(&command);
        let said = ["busy", "still being copied", "is pending"].iter().any(|word| ran.stderr.contains(word));
        assert!(ran.code == Some(1) && said, "{command}: {ran:?}");
    }
    assert!(["two", "three", "four", "five/b"].iter().all(|name| !world.is_stored(name)));
    assert_eq!(count(&world, "DeleteBlob"), 0);
    block.let_go();
    assert_eq!(cp.wait().code, Some(0));
    assert_whole(&world, "d/b");
    world.ok(&format!("{BLOBCP} cp -r ../../two/box/d seven; mv ../../two/box/d ../../two/box/e"));
    assert_eq!(world.properties(ONE, "seven/b").unwrap().size, SIZE);
    assert_whole(&world, "e/b");
}

/// URL of a file of `two/box`.
fn shown_url(world: &World, name: &str) -> String {
    attribute(&there(world, name), "url").unwrap()
}

/// The directory of what a copy in blocks replaces keeps its name: the old content would go along, and the new one nowhere.
#[test]
fn a_directory_that_blocks_go_to_is_not_renamed() {
    for hns in [false, true] {
        let setup = Setup { copy_method: CopyMethod::Blocks, ..Setup::default() };
        let devstore = Config { hns, ..setup.devstore.clone() };
        refuse_renames_of_what_is_copied_to(&World::with(Setup { devstore, ..setup }));
    }
}

fn refuse_renames_of_what_is_copied_to(world: &World) {
    world.put("t/a", pattern(9 * MIB as usize));
    world.store.put_blob(TWO, BOX, "d/t/a", "old".into(), "text/plain").unwrap();
    world.ok("mkdir ../../two/box/e");
    for into in ["d", "e"] {
        let block = stop_a_block(world);
        let cp = world.start(&format!("exec {BLOBCP} cp -r -T t ../../two/box/{into}/t"));
        block.reached();
        let ran = world.sh(&format!("mv ../../two/box/{into} ../../two/box/f"));
        assert!(ran.code == Some(1) && ran.stderr.contains("busy"), "{ran:?}");
        assert_eq!(world.sh(&format!("rmdir ../../two/box/{into}")).code, Some(1));
        block.let_go();
        assert_eq!(cp.wait().code, Some(0));
        assert_eq!(content(world, &format!("{into}/t/a")), pattern(9 * MIB as usize));
        world.ok(&format!("mv ../../two/box/{into} ../../two/box/{into}2"));
    }
}

#[test]
fn an_abort_while_the_copy_blob_is_taken_up_again_ends_it() {
    let world = slow();
    let never = PolicyChange { from_url_cross_account: Some(CopyRate::BytesPerSecond(1)), ..PolicyChange::default() };
    world.store.change_policy(never);
    let again = world.stop(Fault { skip: 1, ..Fault::on("CopyBlob") });
    let cp = world.start(&format!("exec {BLOBCP} cp a ../../two/box/b"));
    again.reached();
    let mut abort = world.start(&format!("exec {BLOBCP} abort ../../two/box/b"));
    eventually("an abort", || abort.has_ended_or_is_in(&[libc::SYS_ioctl]));
    again.let_go();
    let (aborted, ran) = (abort.wait(), cp.wait());
    assert_eq!((aborted.code, ran.code), (Some(0), Some(1)), "{aborted:?} {ran:?}");
    assert_emptied(&world, "b");
}

/// What blocks cannot do, the service does after all.
#[test]
fn a_block_that_is_refused_is_a_reason_to_take_the_copy_blob_up_again() {
    let world = slow();
    let (status, code) = (Some(403), Some("AuthorizationFailure".to_owned()));
    let block = world.stop(Fault { skip: 1, status, code, ..Fault::on("PutBlockFromURL") });
    let cp = world.start("exec cp a ../../two/box/b");
    block.reached();
    hurry(&world);
    block.let_go();
    let ran = cp.wait();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!((count(&world, "CopyBlob"), count(&world, "PutBlockList")), (2, 0));
    assert_whole(&world, "b");
}

/// Nobody has said whether the Copy Blob was aborted, and it was: that is no abort of the copy.
#[test]
fn an_abort_without_an_answer_loses_nothing() {
    let world = slow();
    world.store.add_fault(Fault { after: true, status: Some(500), count: 10, ..Fault::on("AbortCopyBlob") });
    world.ok("cp a ../../two/box/b");
    assert_whole(&world, "b");
    assert_eq!((count(&world, "CopyBlob"), count(&world, "PutBlockList")), (1, 1));
}

#[test]
fn ctrl_c_leaves_what_an_aborted_copy_blob_leaves() {
    for (flags, keeps, left) in [
        ("", false, "an empty file is left there"),
        ("--keep-on-abort", false, "what was there before is there again"),
        ("", true, "what was there before is there again"),
    ] {
        let world = slow_with(Setup { keep_on_abort: keeps, ..Setup::default() });
        world.store.put_blob(TWO, BOX, "b", "old".into(), "text/plain").unwrap();
        let block = stop_a_block(&world);
        let cp = world.start(&format!("exec {BLOBCP} cp {flags} a ../../two/box/b"));
        block.reached();
        cp.signal(libc::SIGINT);
        let ran = cp.wait();
        assert!(ran.code == Some(130) && ran.stderr.contains(left), "{ran:?}");
        block.let_go();
        match left.starts_with("an") {
            true => assert_emptied(&world, "b"),
            false => assert_eq!(content(&world, "b"), b"old"),
        }
        assert_eq!(count(&world, "PutBlockList"), 0);
        assert_eq!(snapshots_there(&world, "b"), 0);
        if left.starts_with("an") {
            assert_eq!(shown(&world, "b", "status").as_deref(), Some("aborted"));
            assert_eq!(shown(&world, "b", "method").as_deref(), Some("blob"), "as the service has it");
        }
    }
}

/// How many snapshots a blob of `two/box` has.
fn snapshots_there(world: &World, name: &str) -> u64 {
    let (taken, deleted) = (count(world, "SnapshotBlob"), count(world, "DeleteBlob"));
    assert!(world.properties(TWO, name).is_some());
    taken - deleted
}

/// X8, X16, and rm: what others do meanwhile is not undone.
#[test]
fn what_becomes_of_source_and_destination_meanwhile_counts() {
    let world = slow_with(Setup { lease_source: LeaseSource::Never, ..Setup::default() });
    let overtaken = |name: &str| {
        let block = stop_a_block(&world);
        // Known rates would have it begin in blocks.
        let cp = world.start(&format!("exec {BLOBCP} cp a ../../two/box/{name}"));
        block.reached();
        (block, cp)
    };
    let (block, cp) = overtaken("removed");
    world.ok("rm ../../two/box/removed");
    block.let_go();
    assert_eq!(cp.wait().code, Some(1));
    assert_eq!(world.properties(TWO, "removed"), None);

    let (block, cp) = overtaken("written");
    write_elsewhere(&world, "written", "theirs");
    block.let_go();
    let ran = cp.wait();
    assert!(ran.code == Some(1) && !ran.stderr.is_empty(), "{ran:?}");
    assert_eq!(content(&world, "written"), b"theirs");

    let (block, cp) = overtaken("changed");
    world.put_sparse("a", SIZE);
    block.let_go();
    let ran = cp.wait();
    assert!(ran.code == Some(1) && ran.stderr.contains("failed"), "{ran:?}");
    assert_eq!(shown(&world, "changed", "status").as_deref(), Some("failed"));
    assert_emptied(&world, "changed");
    assert_eq!(
        (count(&world, "CopyBlob"), count(&world, "PutBlockList")),
        (3, 1),
        "one is refused, for what is written"
    );
}

/// X5, and what was chosen for the destination.
#[test]
fn what_goes_on_in_blocks_becomes_what_copy_blob_makes() {
    for versioned in [false, true] {
        let mut setup = Setup::default();
        if versioned {
            setup.devstore.accounts = [ONE, TWO].map(AccountConfig::versioned).to_vec();
        }
        let world = slow_with(setup);
        world.ok("setfattr -n user.blob.cache_control -v no-store a");
        for name in ["blob", "auto"] {
            world.store.put_blob(TWO, BOX, name, "something else".into(), "text/html").unwrap();
            let dress = "setfattr -n user.blob.tier -v Cold $f; setfattr -n user.blob.meta.old -v 1 $f; setfattr -n user.blob.tag.old -v 1 $f";
            world.ok(&format!("f=../../two/box/{name}; {dress}"));
        }
        let leased = |name: &str| {
            world.block_on(world.client(TWO).blob(&path(name)).acquire_lease(&LeaseOptions::default())).unwrap()
        };
        let lease = leased("auto");
        world.reset_stats();
        world.ok(&format!("{BLOBCP} cp --lease-id {} a ../../two/box/auto", lease.as_str()));
        assert_eq!((count(&world, "AbortCopyBlob"), count(&world, "PutBlockList")), (1, 1));
        hurry(&world);
        world.ok(&format!("{BLOBCP} cp --copy-method blob a ../../two/box/blob"));
        assert_eq!(carried(&world, "auto"), carried(&world, "blob"));
        assert_whole(&world, "auto");
        let found = world.properties(TWO, "auto").unwrap();
        assert!(found.lease.is_held() && found.tier.as_deref() == Some("Cold"), "{found:?}");
        assert_no_payload(&world.stats());
    }
}

/// What programs set besides content is set when the copy has ended, either way.
#[test]
fn what_cp_and_mv_set_besides_comes_along() {
    let world = slow();
    world.ok("setfattr -n user.blob.tier -v Cool a; chmod 640 a; touch -d '2020-02-02 02:02:02 UTC' a");
    world.ok("cp -a a keep; cp -a a ../../two/box/auto");
    assert_eq!((count(&world, "AbortCopyBlob"), count(&world, "PutBlockList")), (1, 1));
    // From its start.
    world.ok("mv a ../../two/box/moved");
    assert_eq!((count(&world, "AbortCopyBlob"), count(&world, "PutBlockList")), (1, 2));
    assert!(!world.is_stored("a"));
    for name in ["auto", "moved"] {
        let shown = world.ok(&format!("stat -c '%a %Y' ../../two/box/{name} keep | sort -u"));
        assert_eq!(shown.lines().count(), 1, "{name}: {shown}");
        assert_whole(&world, name);
        assert_eq!(world.properties(TWO, name).unwrap().chosen_tier().as_deref(), Some("Cool"), "{name}");
    }
}

/// What was seen of it on the way is not believed when it has ended.
#[test]
fn what_was_empty_on_the_way_is_not_taken_for_empty_afterwards() {
    let world = slow();
    world.store.put_blob(TWO, BOX, "c", "".into(), "text/plain").unwrap();
    let block = stop_a_block(&world);
    let cp = world.start(&format!("exec {BLOBCP} cp a ../../two/box/b"));
    block.reached();
    assert_eq!(world.ok("stat -c %s ../../two/box/b; ls -l ../../two/box > /dev/null"), "0\n");
    block.let_go();
    assert_eq!(cp.wait().code, Some(0));
    assert_eq!(world.ok("cat ../../two/box/b | tail -c 4"), "end.");
    // Where nothing was emptied, but what was there was empty.
    let block = stop_a_block(&world);
    let cp = world.start(&format!("exec {BLOBCP} cp --copy-method blocks a ../../two/box/c"));
    block.reached();
    assert_eq!(world.ok("stat -c %s ../../two/box/c"), "0\n");
    block.let_go();
    assert_eq!(cp.wait().code, Some(0));
    assert_eq!(world.ok("cat ../../two/box/c | tail -c 4"), "end.");
}

#[test]
fn a_tree_that_goes_on_in_blocks_ends_with_ctrl_c() {
    let world = slow();
    for name in ["new", "old"] {
        world.put_sparse(&format!("{name}/a"), SIZE);
        if name == "old" {
            world.store.put_blob(TWO, BOX, "old/a", "old".into(), "text/plain").unwrap();
        }
        let block = stop_a_block(&world);
        let cp = world.start(&format!("exec {BLOBCP} cp -r {name} ../../two/box"));
        block.reached();
        let path = format!("{name}/a");
        assert_emptied(&world, &path);
        cp.signal(libc::SIGINT);
        let ran = cp.wait();
        assert_eq!(ran.code, Some(130), "{ran:?}");
        block.let_go();
        match name {
            "new" => assert_eq!(world.properties(TWO, &path), None, "nothing was there"),
            _ => assert_emptied(&world, &path),
        }
        assert_eq!(ran.stderr.contains("an empty file is left"), name == "old", "{ran:?}");
    }
    assert_eq!(count(&world, "PutBlockList"), 0);
}
