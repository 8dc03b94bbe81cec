//! cp, cat and their relatives run inside the service.

use std::path::Path;

use blobcp::devstore::CopyAction;
use blobcp::store::{BlobProperties, ContentHeaders, CopyStatus, Metadata};

use crate::common::*;

const MIB: usize = 1 << 20;
const GIB: u64 = 1 << 30;

#[test]
fn cp_onto_a_new_name_is_one_copy_blob_and_no_payload() {
    // C1, C15
    let world = World::new();
    world.put("a", pattern(64 * MIB));
    world.ok("cp a b");
    let stats = world.stats();
    assert_eq!(stats.requests("CopyBlob"), 1, "{stats:?}");
    assert_no_payload(&stats);
    assert!(stats.total <= 6, "{:#?}", world.store.requests());
    assert_eq!(world.stored("b"), world.stored("a"));
    let (a, b) = (world.properties(ONE, "a").unwrap(), world.properties(ONE, "b").unwrap());
    assert_eq!((a.headers, a.metadata, a.size), (b.headers, b.metadata, b.size));
}

/// What a copy takes along of a blob of `one/box`: all but its time, which belongs to the name (M1).
fn carried(world: &World, name: &str) -> (ContentHeaders, Metadata, u64) {
    let BlobProperties { headers, mut metadata, size, .. } = world.properties(ONE, name).unwrap();
    metadata.remove("mtime");
    (headers, metadata, size)
}

#[test]
fn a_copy_carries_content_metadata_and_properties() {
    // C14, C16: onto a new name, and onto an existing one of another content and other metadata.
    let world = World::new();
    world.put("a", pattern(3 * MIB));
    world.put("old", "something else");
    for (name, value) in [("meta.color", "blue"), ("cache_control", "no-store"), ("content_language", "de")] {
        world.ok(&format!("setfattr -n user.blob.{name} -v {value} a"));
    }
    world.ok("setfattr -n user.blob.meta.shape -v round old");
    world.reset_stats();
    for destination in ["new", "old"] {
        world.ok(&format!("cp a {destination}"));
        let (a, b) = (carried(&world, "a"), carried(&world, destination));
        assert_eq!(a.1.get("color"), Some("blue"));
        assert_eq!(a, b, "{destination}");
        assert_eq!(world.stored(destination), world.stored("a"));
    }
    assert_eq!(world.stats().requests("CopyBlob"), 2);
    assert_no_payload(&world.stats());
}

#[test]
fn cp_of_5_gib_over_the_kernels_clamp_is_one_copy_blob() {
    // Kernel fact 2: the file arrives as two requests. The existing destination has another size and content.
    let world = World::new();
    world.put_sparse("a", 5 * GIB);
    world.ok("printf 'the end' >> a");
    world.ok("setfattr -n user.blob.meta.color -v blue a");
    world.put_sparse("existing", GIB);
    for destination in ["new", "existing"] {
        world.reset_stats();
        world.ok(&format!("cp a {destination}"));
        let stats = world.stats();
        assert_eq!(stats.requests("CopyBlob"), 1, "{stats:?}");
        assert!(stats.total <= 6, "{:#?}", world.store.requests());
        assert_no_payload(&stats);
        assert_eq!(world.properties(ONE, destination).unwrap().size, 5 * GIB + 7);
        assert_eq!(carried(&world, "a"), carried(&world, destination));
        // C13: the same blocks; and across the clamp and at the end the same bytes.
        let client = world.client(ONE);
        let blocks = |name: &str| world.block_on(client.blob(&path(name)).block_blob().block_list()).unwrap().0;
        assert_eq!(blocks("a"), blocks(destination));
        for range in [0xffff_f000 - 8..0xffff_f000 + 8, 5 * GIB - 8..5 * GIB + 7] {
            let read = |name: &str| world.block_on(client.blob(&path(name)).download(range.clone())).unwrap();
            assert_eq!(read("a").bytes, read(destination).bytes);
        }
        assert!(world.ok(&format!("tail -c 7 {destination}")) == "the end");
    }
}

#[test]
fn an_empty_file_is_one_put_blob() {
    // Kernel fact 2: the kernel never hands an empty source to copy_file_range.
    let world = World::new();
    world.put("a", "");
    world.ok("cp a b");
    let stats = world.stats();
    assert_eq!((stats.requests("PutBlob"), stats.requests("CopyBlob")), (1, 0), "{stats:?}");
    assert!(world.stored("b").is_empty());
}

#[test]
fn request_budget_of_a_copy() {
    // Design §9: names not cached: HEAD a (+LIST), HEAD+LIST b, 1 Copy Blob; a just listed: lookup of b, 1 Copy Blob.
    let world = World::new();
    world.put("a", "text");
    world.ok("ls -d .");
    world.reset_stats();
    world.ok("cp a b");
    let stats = world.stats();
    assert!(stats.requests("GetBlobProperties") <= 2 && stats.requests("ListBlobs") <= 2, "{stats:?}");
    assert_eq!((stats.requests("CopyBlob"), stats.total), (1, 5), "{:#?}", world.store.requests());

    let world = World::new();
    world.put("a", "text");
    world.reset_stats();
    world.ok("ls -l; cp a b");
    let stats = world.stats();
    // The listing answers for b as well: it is not there.
    assert_eq!((stats.requests("CopyBlob"), stats.requests("ListBlobs")), (1, 1), "{:#?}", world.store.requests());
    assert!(stats.total <= 4, "{:#?}", world.store.requests());
    assert_no_payload(&stats);
}

#[test]
fn other_programs_that_copy_do_it_in_the_service() {
    // Kernel fact 7.
    let world = World::new();
    world.put("a", pattern(2 * MIB));
    world.ok("mkdir d");
    let programs = [
        ("cp -r", "cp -r a b1"),
        ("cp -p", "cp -p a b2"),
        ("cp -a", "cp -a a b3"),
        ("cp -u", "cp -u a b4"),
        ("cp -t", "cp -t d a"),
        ("install", "install -m 644 a b5"),
        ("cat", "cat a > b6"),
        (
            "python",
            "python3 -c 'import os; i=os.open(\"a\",os.O_RDONLY); o=os.open(\"b7\",os.O_WRONLY|os.O_CREAT); \
                    n=os.fstat(i).st_size; assert os.copy_file_range(i,o,n)==n'",
        ),
    ];
    for (name, program) in programs {
        world.reset_stats();
        world.ok(program);
        let stats = world.stats();
        assert_eq!(stats.requests("CopyBlob"), 1, "{name}: {stats:?}");
        assert_no_payload(&stats);
    }
    for copy in ["b1", "b2", "b3", "b4", "b5", "b6", "b7", "d/a"] {
        assert_eq!(world.stored(copy), world.stored("a"), "{copy}");
    }
}

#[test]
fn a_source_that_was_just_written_is_committed_before_it_is_copied() {
    let world = World::new();
    world.ok("python3 -c 'import os\ni=os.open(\"a\",os.O_RDWR|os.O_CREAT); os.write(i,b\"fresh\")\no=os.open(\"b\",os.O_WRONLY|os.O_CREAT)\nassert os.copy_file_range(i,o,5,0)==5\n'");
    assert_eq!(world.stored("b"), "fresh");
    assert_eq!(world.stats().requests("CopyBlob"), 1);
}

#[test]
fn a_copy_across_accounts_shows_its_progress() {
    // C2, C32-C38: pending for seconds, N/M grows, cp's file position grows, success in the end.
    const SIZE: usize = 24 * MIB;
    let world = World::with(cross_account(4 * MIB as u64));
    world.put("a", pattern(SIZE));
    world.hold_copies();
    let mut cp = world.start(&format!("exec cp a {}/b", world.there().display()));
    let b = world.there().join("b");
    let mut held = Held::default();
    for _ in 0..3 {
        held.go_on_a_little(&world.store, MIB as u64);
        // Asked anew each time, so it is what the service has at this moment; cp learns of it when it asks next.
        assert_eq!(attribute(&b, "copy.status").unwrap(), "pending");
        assert_eq!(attribute(&b, "copy.progress").unwrap(), format!("{}/{SIZE}", held.at));
        assert_eq!(attribute(&b, "copy.bytes_copied").unwrap(), held.at.to_string());
        assert_eq!(attribute(&b, "copy.completion_time"), None);
        eventually("cp to be where the copy is", || cp.has_ended() || position(cp.pid(), &b) == Some(held.at));
        assert!(!cp.has_ended(), "{:?} at {}", cp.wait(), held.at);
    }
    steer(&world, CopyAction::Release);
    assert_eq!(cp.wait().code, Some(0));
    assert_eq!(attribute(&b, "copy.status").unwrap(), "success");
    assert_eq!(attribute(&b, "copy.progress").unwrap(), format!("{SIZE}/{SIZE}"));
    assert!(attribute(&b, "copy.completion_time").unwrap().ends_with("GMT"));
    assert!(!attribute(&b, "copy.source").unwrap().contains("sig="), "X24");
    assert!(world.store.content(TWO, BOX, "b").unwrap() == world.stored("a"));
    assert_no_payload(&world.stats());
}

#[test]
fn programs_that_show_progress_show_that_of_a_copy_in_the_service() {
    // Kernel fact 3: what cp's descriptors say is what the service has copied.
    const SIZE: usize = 24 * MIB;
    let world = World::with(cross_account(4 * MIB as u64));
    world.put("a", pattern(SIZE));
    world.hold_copies();
    let cp = world.start(&format!("exec cp a {}/b", world.there().display()));
    let pid = cp.pid();
    let b = world.there().join("b");
    eventually("the copy", || world.store.copies().len() == 1 && position(pid, &b).is_some());
    // Both are started outside the mount, for they look at their own files, too.
    let shown = tempfile::NamedTempFile::new().unwrap();
    let pv = start_in(Path::new("/"), &format!("exec pv -f -i 0.1 -w 200 -d {pid} 2> {}", shown.path().display()));
    let mut held = Held::default();
    for _ in 0..3 {
        held.go_on_a_little(&world.store, MIB as u64);
        eventually("cp to be where the copy is", || position(pid, &b) == Some(held.at));
        let progress = start_in(Path::new("/"), &format!("progress -q -p {pid}")).wait();
        let percent = format!("{:.1}%", held.at as f64 * 100.0 / SIZE as f64);
        assert!(progress.stdout.contains(&percent), "{percent} of the source: {progress:?}");
        // Source and destination; three digits of how much it is.
        let amount = held.at as f64 / MIB as f64;
        let amount = if amount < 10.0 { format!("{amount:.2}MiB") } else { format!("{amount:.1}MiB") };
        let lines = |file: &str| format!("{file}: {amount}");
        eventually("pv to show it", || {
            let shown = std::fs::read_to_string(shown.path()).unwrap();
            ["one/box/a", "two/box/b"].iter().all(|file| shown.contains(&lines(file)))
        });
    }
    steer(&world, CopyAction::Release);
    assert_eq!(cp.wait().code, Some(0));
    assert_eq!(pv.wait().code, Some(0));
    assert_no_payload(&world.stats());
}

#[test]
fn ctrl_c_ends_cp_at_once_and_aborts_the_copy() {
    let world = World::new();
    world.put("a", pattern(4 * MIB));
    world.hold_copies();
    let cp = world.start("exec cp a b");
    pending(&world, "b");
    cp.signal(libc::SIGINT);
    let ran = cp.wait();
    assert_eq!(ran.signal, Some(libc::SIGINT));
    assert!(ran.took.as_secs() < 1, "{:?}", ran.took);
    eventually("the abort", || status(&world, "b") == Some(CopyStatus::Aborted));
    assert_eq!(world.properties(ONE, "b").unwrap().size, 0);
    // C49: the file can be used again.
    world.ok("echo new > b && test $(cat b) = new");
}

#[test]
fn ctrl_c_while_flush_waits_for_the_last_byte() {
    let world = World::new();
    world.put("a", "x");
    world.hold_copies();
    // One byte is granted at once: cp is in close.
    let mut cp = world.start("exec cp a b");
    pending(&world, "b");
    eventually("cp to be in close", || cp.has_ended_or_is_in(&[libc::SYS_close]));
    cp.signal(libc::SIGINT);
    let ran = cp.wait();
    assert_eq!(ran.signal, Some(libc::SIGINT));
    eventually("the abort", || status(&world, "b") == Some(CopyStatus::Aborted));
}

#[test]
fn an_abort_by_another_process_gets_through_and_cp_fails() {
    // C49-C54, M7
    let world = World::new();
    world.put("a", pattern(4 * MIB));
    world.hold_copies();
    let cp = world.start("cp a b");
    pending(&world, "b");
    let abort = world.sh("setfattr -n user.blob.copy.status -v abort b");
    assert_eq!(abort.code, Some(0), "{}", abort.stderr);
    assert!(abort.took.as_secs() < 1, "{:?}", abort.took);
    let ran = cp.wait();
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("Operation canceled"), "{}", ran.stderr);
    assert_eq!(status(&world, "b"), Some(CopyStatus::Aborted));
    assert_eq!(world.ok("cat b; stat -c %s b").trim(), "0");
    // C57: nothing to abort any more.
    let again = world.sh("setfattr -n user.blob.copy.status -v abort b");
    assert!(again.stderr.contains("No such attribute") && again.code == Some(1), "{again:?}");
}

#[test]
fn a_copy_that_fails_makes_cp_fail_and_says_why() {
    // X8, §13.5
    let world = World::new();
    world.put("a", pattern(4 * MIB));
    world.hold_copies();
    let cp = world.start("cp a b");
    pending(&world, "b");
    steer(&world, fail(404, "ResourceNotFound"));
    let ran = cp.wait();
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("No such file"), "the description's number decides: {}", ran.stderr);
    assert_eq!(status(&world, "b"), Some(CopyStatus::Failed));
    let description = attribute(&world.here().join("b"), "copy.status_description").unwrap();
    assert!(description.starts_with("404 ResourceNotFound"), "{description}");
    assert!(world.is_stored("a"));
}

#[test]
fn mv_between_accounts_keeps_the_source_while_nobody_waits_for_the_copy() {
    let world = World::with(Setup { copy_wait: false, attr_ttl: USUAL_TTL, ..Default::default() });
    world.put("a", pattern(1 << 20));
    world.hold_copies();
    let ran = world.sh(&format!("mv a {}/b", world.there().display()));
    assert!(ran.code == Some(1) && ran.stderr.contains("Device or resource busy"), "{ran:?}");
    assert!(world.store.content(ONE, BOX, "a").unwrap() == pattern(1 << 20));
    steer(&world, CopyAction::Release);
    eventually("the copy", || world.store.content(TWO, BOX, "b").is_ok_and(|content| content == pattern(1 << 20)));
    eventually("its lease", || world.sh("rm a").code == Some(0));
}

#[test]
fn copy_wait_no_returns_when_the_copy_is_accepted() {
    let world = World::with(Setup { copy_wait: false, attr_ttl: USUAL_TTL, ..Default::default() });
    world.put("a", pattern(4 * MIB));
    world.hold_copies();
    world.ok("cp a b");
    assert_eq!(status(&world, "b"), Some(CopyStatus::Pending));
    assert_eq!(attribute(&world.here().join("b"), "copy.status").unwrap(), "pending");
    // M8: neither read nor written before it has ended.
    for refused in ["cat b", "echo x > b", "echo x >> b", "cp b c", "mv b c"] {
        let ran = world.sh(refused);
        assert!(ran.code != Some(0) && ran.stderr.contains("busy"), "{refused}: {ran:?}");
    }
    steer(&world, CopyAction::Release);
    eventually("the end of the copy", || world.sh("cmp a b").code == Some(0));
}

#[test]
fn cp_p_stores_the_times_although_nobody_waits() {
    // X3: the copy is begun anew with all metadata, for nothing can be stored while it is pending (C9).
    let world = World::with(Setup { copy_wait: false, attr_ttl: USUAL_TTL, ..Default::default() });
    world.put("a", pattern(MIB));
    world.ok("setfattr -n user.blob.meta.color -v blue a; touch -d 2001-02-03T04:05:06Z a; chmod 640 a");
    world.hold_copies();
    world.ok("cp -p a b");
    assert_eq!(status(&world, "b"), Some(CopyStatus::Pending));
    assert_eq!(world.ok("stat -c '%Y %a' b"), "981173106 640\n");
    // Plain cp has nothing to store, and starts one copy.
    world.reset_stats();
    world.ok("cp a c");
    assert_eq!((world.stats().requests("CopyBlob"), world.stats().requests("AbortCopyBlob")), (1, 0));
    for _ in 0..2 {
        steer(&world, CopyAction::Release);
    }
    eventually("the end of the copy", || world.sh("cmp a b").code == Some(0));
    let b = world.properties(ONE, "b").unwrap();
    assert_eq!(b.copy.unwrap().status, CopyStatus::Success);
    assert_eq!((b.metadata.get("color"), b.metadata.get("permissions")), (Some("blue"), Some("0640")));
    assert_no_payload_of(&world, MIB);
}

/// Nothing of that size went through the mount: `cmp` reads what it compares.
#[track_caller]
fn assert_no_payload_of(world: &World, size: usize) {
    assert!(world.stats().body_bytes_in < size as u64 / 2, "{:?}", world.stats());
}

#[test]
fn a_second_copy_onto_a_pending_destination_is_refused() {
    // C10: the first goes on.
    let world = World::new();
    world.put("a", "first");
    world.put("other", "second");
    world.hold_copies();
    let cp = world.start("cp a b");
    pending(&world, "b");
    let second = world.sh("cp other b");
    assert!(second.code == Some(1) && second.stderr.contains("busy"), "{second:?}");
    steer(&world, CopyAction::Release);
    assert_eq!(cp.wait().code, Some(0));
    assert_eq!(world.stored("b"), "first");
}

#[test]
fn one_source_feeds_many_destinations() {
    // C11
    let world = World::new();
    world.put("a", pattern(MIB));
    world.ok(
        "for i in 1 2 3 4 5 6 7 8; do cp a b$i & done; wait; for i in 1 2 3 4 5 6 7 8; do cmp a b$i || exit 1; done",
    );
    assert_eq!(world.stats().requests("CopyBlob"), 8);
}

#[test]
fn a_source_that_changed_since_it_was_opened_is_not_copied() {
    // X7: the version that cp saw, or none.
    let world = World::new();
    world.put("a", "old content");
    let copier = Gated::between(
        &world,
        "i, o = os.open('a', os.O_RDONLY), os.open('b', os.O_WRONLY | os.O_CREAT)",
        "os.copy_file_range(i, o, os.fstat(i).st_size)",
    );
    world.put("a", "new content");
    let ran = copier.open();
    assert!(ran.stderr.contains("Stale file handle"), "{ran:?}");
    assert_eq!(world.stats().requests("CopyBlob"), 1);
    assert_no_payload(&world.stats());
}

#[test]
fn a_lost_answer_to_copy_blob_is_neither_lost_nor_repeated() {
    // §13.14: the copy took place, its answer did not arrive.
    let world = World::new();
    world.put("a", pattern(MIB));
    world.store.add_fault(fault(r#"{"operation":"CopyBlob","reset":"after"}"#));
    world.ok("cp a b");
    assert_eq!(world.stored("b"), world.stored("a"));
    assert_eq!(world.stats().requests("CopyBlob"), 1, "{:#?}", world.store.requests());
    assert_no_payload(&world.stats());
}

#[test]
fn a_refused_copy_is_an_error_and_never_moves_data() {
    let world = World::new();
    world.put("a", pattern(MIB));
    for (status, code) in
        [(403, "AuthorizationPermissionMismatch"), (409, "BlobImmutableDueToPolicy"), (501, "NotImplemented")]
    {
        world.store.add_fault(fault(&format!(r#"{{"operation":"CopyBlob","status":{status},"code":"{code}"}}"#)));
        let ran = world.sh("cp a b");
        assert_eq!(ran.code, Some(1), "{code}: {ran:?}");
    }
    assert_no_payload(&world.stats());
}

#[test]
fn the_time_and_mode_of_a_name_do_not_travel_with_plain_cp() {
    // M1: what belongs to the name is sent, and then all metadata are (X3).
    let world = World::new();
    world.put("a", "text");
    world.ok(
        "touch -d 2020-01-01 a; cp a b; setfattr -n user.blob.meta.color -v blue a; chmod 755 a; cp a c; cp -p a d",
    );
    assert_ne!(world.ok("stat -c %Y b"), world.ok("stat -c %Y a"));
    assert_eq!(world.ok("stat -c %a c d"), "755\n755\n");
    assert_eq!(world.ok("stat -c %Y d"), world.ok("stat -c %Y a"));
    assert_eq!(world.properties(ONE, "c").unwrap().metadata.get("color"), Some("blue"));
    assert_eq!(world.stats().requests("CopyBlob"), 3);
    assert_no_payload(&world.stats());
}
