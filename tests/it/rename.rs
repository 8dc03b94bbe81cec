//! mv deletes the source only when its copy is proven (tenet 1, M3).

use std::collections::BTreeSet;

use blobcp::devstore::{CopyAction, Fault, PolicyChange};
use blobcp::store::{
    AbortOptions, BlobProperties, BlobSettings, ContentHeaders, CopyStatus, LeaseOptions, WriteOptions,
};

use crate::common::*;

const MIB: usize = 1 << 20;

#[test]
fn mv_is_one_copy_blob_and_one_delete() {
    // M3, design §9
    let world = World::new();
    world.put("a", pattern(2 * MIB));
    world.ok("setfattr -n user.blob.meta.color -v blue a");
    world.reset_stats();
    world.ok("mv a b");
    let stats = world.stats();
    assert_eq!((stats.requests("CopyBlob"), stats.requests("DeleteBlob")), (1, 1), "{stats:?}");
    assert!(stats.total <= 6, "{:#?}", world.store.requests());
    assert_no_payload(&stats);
    assert_eq!(world.stored("b"), pattern(2 * MIB));
    assert_eq!(world.properties(ONE, "b").unwrap().metadata.get("color"), Some("blue"));
    assert!(!world.is_stored("a"));
}

#[test]
fn mv_replaces_and_mv_n_does_not() {
    // C8
    let world = World::new();
    world.put("a", "new");
    world.put("b", "old");
    world.ok("mv -n a b");
    assert_eq!((world.stored("a"), world.stored("b")), ("new".into(), "old".into()));
    world.ok("mv -f a b");
    assert_eq!(world.stored("b"), "new");
    assert!(!world.is_stored("a"));
}

#[test]
fn rename_noreplace_is_decided_by_the_service() {
    // Another client makes the name after we looked: If-None-Match answers.
    let world = World::with(Setup { attr_ttl: std::time::Duration::from_secs(60), ..Default::default() });
    world.put("a", "mine");
    world.ok("ls -l");
    world.put("b", "theirs");
    let ran = world.sh("python3 -c 'import ctypes, os\n\
         r = ctypes.CDLL(None, use_errno=True).renameat2(-100, b\"a\", -100, b\"b\", 1)\n\
         print(r, os.strerror(ctypes.get_errno()))'");
    assert_eq!(ran.stdout.trim(), "-1 File exists");
    assert_eq!((world.stored("a"), world.stored("b")), ("mine".into(), "theirs".into()));
}

#[test]
fn rename_noreplace_holds_in_its_second_try() {
    // The source changed, and while that was found out another client made the new name.
    let world = World::with(Setup { attr_ttl: std::time::Duration::from_millis(1), ..Default::default() });
    world.put("a", "mine");
    let copy = world.stop(fault(r#"{"operation":"CopyBlob","status":412,"code":"SourceConditionNotMet"}"#));
    let rename = world.start(
        "python3 -c 'import ctypes, os\n\
         r = ctypes.CDLL(None, use_errno=True).renameat2(-100, b\"a\", -100, b\"b\", 1)\n\
         print(r, os.strerror(ctypes.get_errno()))'",
    );
    // Nothing looks at `b` any more before the copy is answered.
    copy.reached();
    world.put("b", "theirs");
    copy.let_go();
    assert_eq!(rename.wait().stdout.trim(), "-1 File exists");
    assert_eq!((world.stored("a"), world.stored("b")), ("mine".into(), "theirs".into()));
}

#[test]
fn names_cannot_be_exchanged() {
    let world = World::new();
    world.put("a", "1");
    world.put("b", "2");
    let ran = world.sh("python3 -c 'import ctypes, os\n\
         r = ctypes.CDLL(None, use_errno=True).renameat2(-100, b\"a\", -100, b\"b\", 2)\n\
         print(r, os.strerror(ctypes.get_errno()))'");
    assert_eq!(ran.stdout.trim(), "-1 Invalid argument");
}

/// rename(2), once: mv makes a second try of its own when the first has failed.
const RENAME: &str = "python3 -I -c \"import os; os.rename('a', 'b')\"";

/// mv of `a` to `b` with a copy that is held; `end` makes it end. mv must fail, `a` must be what it was.
fn a_failed_move(end: impl FnOnce(&World)) -> World {
    let world = World::new();
    world.put("a", pattern(MIB));
    world.hold_copies();
    let mv = world.start(RENAME);
    pending(&world, "b");
    assert!(world.is_stored("a"));
    end(&world);
    let ran = mv.wait();
    world.store.clear_faults();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(world.stored("a"), pattern(MIB));
    assert_eq!(world.stats().requests("DeleteBlob"), u64::from(!world.is_stored("b")), "{:#?}", world.store.requests());
    world
}

#[test]
fn a_copy_that_fails_leaves_the_source() {
    // X8
    let world = a_failed_move(|world| steer(world, fail(404, "ResourceNotFound")));
    assert!(!world.is_stored("b"), "the empty destination is removed");
    assert_eq!(world.ok("ls"), "a\n");
}

#[test]
fn a_copy_that_is_aborted_leaves_the_source() {
    // C53
    let world = a_failed_move(|world| {
        let id = world.properties(ONE, "b").unwrap().copy.unwrap().id;
        world.block_on(world.client(ONE).blob(&path("b")).abort_copy(&id, &AbortOptions::default())).unwrap();
    });
    assert!(!world.is_stored("b"));
}

#[test]
fn a_copy_that_is_replaced_by_another_leaves_the_source_and_the_other() {
    // X16: success of another id is not ours.
    let world = a_failed_move(|world| {
        steer(world, CopyAction::Replace);
        steer(world, CopyAction::Release);
    });
    assert_eq!(status(&world, "b"), Some(CopyStatus::Success));
    // The kernel was not made to try again.
    assert_eq!(world.stats().requests("CopyBlob"), 1, "{:#?}", world.store.requests());
}

#[test]
fn a_copy_that_cannot_be_polled_leaves_the_source() {
    // The destination vanishes from sight: every look at it fails for longer than anybody waits; the copy itself would succeed.
    let world = a_failed_move(|world| {
        world.store.add_fault(fault(r#"{"operation":"GetBlobProperties","status":403,"code":"AuthorizationFailure","count":100000,"blob_prefix":"b"}"#));
        steer(world, CopyAction::Release);
    });
    assert!(world.is_stored("b"), "nothing is known of it, so nothing is deleted");
}

#[test]
fn ctrl_c_while_a_copy_is_pending_leaves_the_source() {
    let world = World::new();
    world.put("a", pattern(MIB));
    world.hold_copies();
    let mv = world.start("exec mv a b");
    pending(&world, "b");
    mv.signal(libc::SIGINT);
    let ran = mv.wait();
    assert_eq!(ran.signal, Some(libc::SIGINT));
    assert!(ran.took.as_secs() < 1, "{:?}", ran.took);
    assert!(world.is_stored("a") && !world.is_stored("b"));
}

#[test]
fn ctrl_c_at_the_moment_the_copy_ends_leaves_the_source_alone() {
    // X12, X13
    let world = World::new();
    world.put("a", pattern(MIB));
    world.hold_copies();
    let mv = world.start("exec mv a b");
    pending(&world, "b");
    // After some looks the mount waits for more than a second; the signal comes between the end and the next look.
    world.reset_stats();
    eventually("some looks", || world.stats().requests("GetBlobProperties") >= 4);
    steer(&world, CopyAction::Release);
    mv.signal(libc::SIGINT);
    assert_eq!(mv.wait().signal, Some(libc::SIGINT));
    assert_eq!(world.stored("a"), pattern(MIB));
    assert!(!world.is_stored("b"), "{:#?}", world.store.requests());
}

#[test]
fn a_pending_copy_that_could_not_be_polled_is_aborted() {
    let world = a_failed_move(|world| {
        world.store.add_fault(fault(
            r#"{"operation":"GetBlobProperties","status":403,"code":"AuthorizationFailure","blob_prefix":"b"}"#,
        ));
    });
    assert!(!world.is_stored("b"));
    assert_eq!(world.store.copies()[0].status, "aborted");
}

#[test]
fn a_held_copy_that_is_released_completes_the_move() {
    // X1
    let world = World::new();
    world.put("a", pattern(MIB));
    world.hold_copies();
    let mv = world.start("mv a b");
    pending(&world, "b");
    steer(&world, CopyAction::Release);
    assert_eq!(mv.wait().code, Some(0));
    assert!(!world.is_stored("a"));
    assert_eq!(world.stored("b"), pattern(MIB));
}

#[test]
fn lost_answers_leave_one_of_the_two_names_with_the_content() {
    for operation in ["CopyBlob", "DeleteBlob"] {
        for reset in ["before", "after"] {
            let world = World::new();
            world.put("a", pattern(MIB));
            world.store.add_fault(fault(&format!(r#"{{"operation":"{operation}","reset":"{reset}"}}"#)));
            world.ok("mv a b");
            assert_eq!(world.stored("b"), pattern(MIB), "{operation} {reset}");
            assert!(!world.is_stored("a"), "{operation} {reset}");
            assert_no_payload(&world.stats());
        }
    }
}

#[test]
fn a_delete_that_is_refused_leaves_both_names_as_they_were() {
    let world = World::new();
    world.put("a", pattern(MIB));
    world.store.add_fault(fault(
        r#"{"operation":"DeleteBlob","status":403,"code":"AuthorizationPermissionMismatch","blob_prefix":"a"}"#,
    ));
    let ran = world.sh("mv a b");
    assert!(ran.code == Some(1) && ran.stderr.contains("Permission denied"), "{ran:?}");
    assert_eq!(world.stored("a"), pattern(MIB));
    assert!(!world.is_stored("b"));
}

#[test]
fn a_delete_that_may_have_happened_leaves_the_copy() {
    // Answered 500 on every try, the last time after its effect.
    let world = World::new();
    world.put("a", "precious");
    world.store.add_fault(fault(r#"{"operation":"DeleteBlob","status":500,"count":2}"#));
    world.store.add_fault(fault(r#"{"operation":"DeleteBlob","status":500,"after":true}"#));
    world.ok("mv a b");
    assert_eq!(world.stored("b"), "precious");
    assert!(!world.is_stored("a"));
    // mv asks twice. The same, but nobody can look; and a delete without effect, which might still come.
    for (after, looks) in [(true, 500), (false, 500), (false, 200)] {
        let world = World::new();
        world.put("a", "precious");
        world.store.add_fault(fault(&format!(
            r#"{{"operation":"DeleteBlob","status":500,"after":{after},"count":100,"blob_prefix":"a"}}"#
        )));
        world.ok("ls -l");
        if looks == 500 {
            world
                .store
                .add_fault(fault(r#"{"operation":"GetBlobProperties","status":500,"count":100,"blob_prefix":"a"}"#));
        }
        let ran = world.sh("mv a b");
        world.store.clear_faults();
        assert_eq!(world.stored("b"), "precious", "{after} {looks} {ran:?}");
        assert!(looks == 500 && after || ran.code == Some(1), "{after} {looks} {ran:?}");
        assert_eq!(world.is_stored("a"), !after);
    }
}

#[test]
fn a_refusal_after_a_lost_answer_is_not_taken_for_the_whole_truth() {
    // The first try deletes and is not answered; then another client has the name.
    let world = World::new();
    world.put("a", "precious");
    world.store.add_fault(fault(r#"{"operation":"DeleteBlob","status":500,"after":true,"count":1}"#));
    let second = world.stop(fault(r#"{"operation":"DeleteBlob","status":412,"code":"ConditionNotMet"}"#));
    let mv = world.start(RENAME);
    second.reached();
    assert!(world.is_stored("b") && !world.is_stored("a"));
    world.put("a", "theirs");
    second.let_go();
    assert_eq!(mv.wait().code, Some(1));
    assert_eq!((world.stored("a"), world.stored("b")), ("theirs".into(), "precious".into()));
}

#[test]
fn a_leased_source_is_not_moved() {
    // C43: the delete is refused with 412 LeaseIdMissing.
    let world = World::new();
    world.put("a", pattern(MIB));
    world.block_on(world.client(ONE).blob(&path("a")).acquire_lease(&LeaseOptions::default())).unwrap();
    let ran = world.sh("mv a b");
    assert!(ran.code == Some(1) && ran.stderr.contains("busy"), "{ran:?}");
    assert!(world.is_stored("a") && !world.is_stored("b"));
}

#[test]
fn a_source_with_snapshots_is_not_moved_unless_allowed() {
    // Rivals destroy them silently.
    for (allowed, onto_existing) in [(false, false), (false, true), (true, false)] {
        let world = World::with(Setup { delete_snapshots: allowed, ..Default::default() });
        world.put("a", "content");
        if onto_existing {
            world.put("b", "old");
        }
        world.block_on(world.client(ONE).blob(&path("a")).create_snapshot()).unwrap();
        let ran = world.sh("mv a b");
        assert_eq!(ran.code, Some(if allowed { 0 } else { 1 }), "{ran:?}");
        assert_eq!(world.is_stored("a"), !allowed);
        if onto_existing {
            assert_eq!(world.stored("b"), "old");
        } else {
            assert_eq!(world.is_stored("b"), allowed);
        }
        if !allowed {
            assert!(ran.stderr.contains("busy"), "{ran:?}");
            assert!(world.sh("rm a").stderr.contains("busy"));
            assert!(world.is_stored("a"));
        }
    }
}

#[test]
fn a_source_that_changes_during_the_move_is_not_deleted() {
    let world = World::new();
    world.put("a", "old");
    // The copy is done; before the delete another client writes.
    let delete = world.stop(Fault::on("DeleteBlob"));
    let mv = world.start("mv a b");
    delete.reached();
    world.put("a", "newer");
    delete.let_go();
    let ran = mv.wait();
    assert!(ran.code == Some(1) && ran.stderr.contains("busy"), "{ran:?}");
    assert_eq!(world.stored("a"), "newer");
    assert!(!world.is_stored("b"), "{:#?}", world.store.requests());
}

#[test]
fn mv_across_accounts_copies_in_the_service_and_then_removes() {
    // Kernel fact 8: EXDEV, so that mv does cp + rm.
    let world = World::new();
    world.put("a", pattern(MIB));
    world.ok(&format!("mv a {}/b", world.there().display()));
    assert_eq!(world.store.content(TWO, BOX, "b").unwrap(), pattern(MIB));
    assert!(!world.is_stored("a"));
    assert_eq!(world.stats().requests("CopyBlob"), 1);
    assert_no_payload(&world.stats());
}

#[test]
fn mv_across_accounts_keeps_the_source_when_the_copy_fails() {
    let world = World::with(cross_account(MIB as u64 / 2));
    world.put("a", pattern(4 * MIB));
    let mv = world.start(&format!("mv a {}/b", world.there().display()));
    eventually("a pending copy", || world.store.copies().iter().any(|copy| copy.status == "pending"));
    steer(&world, fail(403, "AuthenticationFailed"));
    let ran = mv.wait();
    assert!(ran.code == Some(1) && ran.stderr.contains("Permission denied"), "{ran:?}");
    assert_eq!(world.stored("a"), pattern(4 * MIB));
}

/// A directory of `count` files and one subdirectory.
fn tree(world: &World, count: usize) {
    for i in 0..count {
        world.put(&format!("d/{i}"), format!("content {i}"));
    }
    world.put("d/sub/x", "deep");
    world.ok("mkdir d/marked");
}

#[test]
fn mv_of_a_directory_is_a_list_and_a_copy_and_a_delete_for_each_blob() {
    // Design §9: ⌈N/5000⌉ LIST, N Copy, N Delete.
    let world = World::new();
    tree(&world, 100);
    world.ok("ls -d .");
    world.reset_stats();
    world.ok("mv d e");
    let stats = world.stats();
    assert_eq!((stats.requests("CopyBlob"), stats.requests("DeleteBlob")), (102, 102), "{stats:?}");
    assert!(stats.requests("ListBlobs") <= 4, "{:#?}", world.store.requests());
    assert_no_payload(&stats);
    assert_eq!(world.stored("e/sub/x"), "deep");
    assert_eq!(world.stored("e/7"), "content 7");
    assert_eq!(
        world.ok("ls e | wc -l; test -d e/marked; test ! -e d; cat e/sub/x").split_whitespace().collect::<Vec<_>>(),
        ["102", "deep"]
    );
}

#[test]
fn a_directory_moves_as_a_whole_or_not_at_all() {
    // Defect 2 of the field: some copies refused, mv returns 0 and the tree is split.
    let world = World::new();
    tree(&world, 40);
    world.store.add_fault(fault(r#"{"operation":"CopyBlob","skip":20,"status":403,"code":"AuthorizationFailure"}"#));
    let ran = world.sh("mv d e");
    assert!(ran.code == Some(1) && ran.stderr.contains("Permission denied"), "{ran:?}");
    assert_eq!(world.ok("find d | wc -l").trim(), "44");
    assert!(!world.is_stored("e/0") && !world.is_stored("e/sub/x"));
    assert_eq!(world.ok("ls"), "d\n");
    assert_eq!(world.stored("d/7"), "content 7");
}

#[test]
fn all_copies_of_a_directory_are_proven_before_the_first_delete() {
    let world = World::new();
    tree(&world, 10);
    world.hold_copies();
    let mv = world.start("mv d e");
    let held = || world.store.copies().iter().filter(|copy| copy.status == "pending").count();
    eventually("all copies to be pending", || held() == 12);
    for _ in 0..11 {
        steer(&world, CopyAction::Release);
    }
    world.reset_stats();
    // All are looked at equally often until they have ended.
    eventually("two looks at what is pending", || {
        let mut seen = BTreeSet::new();
        !world.store.requests().into_iter().all(|request| seen.insert(request.path))
    });
    assert_eq!(world.stats().requests("DeleteBlob"), 0);
    steer(&world, fail(500, "OperationCancelled"));
    assert_eq!(mv.wait().code, Some(1));
    assert_eq!(world.stored("d/3"), "content 3");
    assert!(!world.is_stored("e/3"));
}

#[test]
fn a_directory_is_not_moved_onto_a_full_one_or_into_itself() {
    let world = World::new();
    tree(&world, 2);
    world.put("full/x", "x");
    world.ok("mkdir empty");
    let onto = |target: &str| world.sh(&format!("python3 -c 'import os; os.rename(\"d\", \"{target}\")'")).stderr;
    assert!(onto("full").contains("Directory not empty"));
    assert!(onto("d/sub/y").contains("Invalid argument"));
    world.put("file", "x");
    assert!(onto("file").contains("Not a directory"));
    assert_eq!(onto("empty"), "");
    assert_eq!(world.stored("empty/1"), "content 1");
}

#[test]
fn open_files_follow_their_name() {
    // Defect 4 of the field: what is appended goes to the old name.
    let world = World::new();
    world.put("a", "one\n");
    world.ok("exec 3>>a; echo two >&3; mv a b; echo three >&3; exec 3>&-; test ! -e a");
    assert_eq!(world.stored("b"), "one\ntwo\nthree\n");
    assert!(!world.is_stored("a"));
    world.put("d/x", "1");
    world.ok("exec 3>>d/x; echo 2 >&3; mv d e; echo 3 >&3; exec 3>&-; cat e/x");
    assert_eq!(world.stored("e/x"), "12\n3\n");
}

#[test]
fn blocks_that_are_written_during_a_rename_go_to_the_new_name() {
    for (name, from, to, renamed) in [("f", "f", "g", "g"), ("d/f", "d", "e", "e/f")] {
        let world = World::new();
        world.ok("mkdir d");
        let copy = world.stop(Fault::on("CopyBlob"));
        let mut writer = Gated::between(
            &world,
            &format!("f = open('{name}', 'wb', buffering=0)\nf.write(b'x' * 100)"),
            "for i in range(20): f.write(b'y' * (1 << 20))\nf.close()",
        );
        let mv = world.start(&format!("mv {from} {to}"));
        copy.reached();
        writer.let_go();
        eventually("a write", || writer.has_ended_or_is_in(&[libc::SYS_write]));
        copy.let_go();
        let (mv, writer) = (mv.wait(), writer.wait());
        assert_eq!((mv.code, writer.code), (Some(0), Some(0)), "{mv:?} {writer:?}");
        assert_eq!(world.stored(renamed).len(), 100 + (20 << 20));
        assert!(!world.is_stored(name));
    }
}

#[test]
fn what_is_made_in_a_directory_while_it_is_renamed_comes_along() {
    let world = World::new();
    tree(&world, 2);
    let copy = world.stop(Fault::on("CopyBlob"));
    let mut mv = world.start("mv d e");
    copy.reached();
    let d = world.here().join("d");
    std::fs::write(d.join("late"), "late").unwrap();
    assert!(!mv.has_ended());
    copy.let_go();
    assert_eq!(mv.wait().code, Some(0));
    assert_eq!(world.stored("e/late"), "late");
    assert!(!world.is_stored("d/late"));
    assert_eq!(world.ok("cat e/late e/1; ls"), "latecontent 1e\n");
}

#[test]
fn a_name_can_be_renamed_again_and_again() {
    // git and editors rename over the same name all the time.
    let world = World::new();
    for i in 0..5 {
        world.ok(&format!("echo {i} > f.lock && mv f.lock f"));
        assert_eq!(world.stored("f"), format!("{i}\n"));
    }
    assert_eq!(world.ok("ls"), "f\n");
}

#[test]
fn tags_and_tier_move_along() {
    // Defect 5 of the field: rename drops index tags. X4, §13.2.7
    let world = World::new();
    world.put("a", "text");
    world.ok("setfattr -n user.blob.tag.project -v x a; setfattr -n user.blob.tier -v Cool a; mv a b");
    let b = world.properties(ONE, "b").unwrap();
    assert_eq!((b.tag_count, b.chosen_tier().as_deref()), (1, Some("Cool")));
    world.put("d/a", "text");
    world.ok("setfattr -n user.blob.tag.project -v x d/a; mv d e");
    assert_eq!(world.properties(ONE, "e/a").unwrap().tag_count, 1);
    world.ok("echo new > b; echo more >> b");
    let b = world.properties(ONE, "b").unwrap();
    assert_eq!((b.tag_count, b.chosen_tier().as_deref()), (1, Some("Cool")));
}

/// `a` to be moved, and `b` with everything that a blob can have.
fn two_names(world: &World) {
    world.put("a", pattern(MIB));
    let settings = BlobSettings {
        headers: ContentHeaders {
            content_type: Some("text/x-old".into()),
            cache_control: Some("no-cache".into()),
            ..Default::default()
        },
        metadata: [("color", "blue"), ("mtime", "2001-02-03T04:05:06Z")].into_iter().collect(),
        tier: Some("Cool".into()),
        tags: vec![("project".into(), "x".into())],
    };
    world
        .block_on(world.client(ONE).blob(&path("b")).block_blob().upload(
            "old content",
            &settings,
            &WriteOptions::default(),
        ))
        .unwrap();
}

/// What of a blob must be as it was.
fn lasting(world: &World, name: &str) -> (u64, BlobProperties, Vec<(String, String)>) {
    let mut properties = world.properties(ONE, name).unwrap();
    let tags = world.block_on(world.client(ONE).blob(&path(name)).tags()).unwrap();
    // These say when and how it came to be what it is.
    let epoch = std::time::SystemTime::UNIX_EPOCH;
    (properties.etag, properties.last_modified) = (blobcp::store::ETag::new("any"), epoch);
    (properties.creation_time, properties.copy) = (None, None);
    properties.headers.content_md5 = None;
    let mut hash = std::hash::DefaultHasher::new();
    std::hash::Hash::hash(&world.stored(name), &mut hash);
    (std::hash::Hasher::finish(&hash), properties, tags)
}

#[test]
fn mv_over_a_name_keeps_what_was_there_for_the_time_being() {
    // C52: two requests more, of which nothing stays. Of what is empty everything is known.
    let world = World::with(Setup { attr_ttl: std::time::Duration::from_secs(600), ..Default::default() });
    two_names(&world);
    world.put("c", "third");
    world.put("empty", "");
    world.ok("ls -l");
    world.reset_stats();
    world.ok("mv a b");
    let expected = [("SnapshotBlob", 1), ("CopyBlob", 1), ("DeleteBlob", 2)];
    assert_eq!(world.stats().requests, expected.into_iter().collect(), "{:#?}", world.store.requests());
    assert_no_payload(&world.stats());
    assert_eq!(world.stored("b"), pattern(MIB));
    assert_eq!(snapshots(&world, "b"), 0);
    world.reset_stats();
    world.ok("mv c empty");
    let expected = [("CopyBlob", 1), ("DeleteBlob", 1)];
    assert_eq!(world.stats().requests, expected.into_iter().collect(), "{:#?}", world.store.requests());
    assert_eq!(world.stored("empty"), "third");
    // And it can be deleted, which a blob with snapshots could not.
    world.ok("rm b empty");
}

#[test]
fn a_move_that_does_not_succeed_leaves_both_names_as_they_were() {
    // C52, X14: content, metadata, headers, tags, tier; and no snapshot.
    type End = fn(&World, &Running);
    let ends: [(&str, End); 4] = [
        ("fails", |world, _| steer(world, fail(500, "OperationCancelled"))),
        ("is aborted by another client", |world, _| {
            let id = world.properties(ONE, "b").unwrap().copy.unwrap().id;
            world.block_on(world.client(ONE).blob(&path("b")).abort_copy(&id, &AbortOptions::default())).unwrap();
        }),
        ("is interrupted", |_, mv| mv.signal(libc::SIGINT)),
        ("is killed", |_, mv| mv.signal(libc::SIGKILL)),
    ];
    for (what, end) in ends {
        let world = World::new();
        two_names(&world);
        let before = (lasting(&world, "a"), lasting(&world, "b"));
        world.hold_copies();
        let mv = world.start(&format!("exec {RENAME}"));
        pending(&world, "b");
        assert_eq!(world.stored("b"), "", "{what}: the old content is gone by now");
        // The copy that brings it back is not held.
        world.store.change_policy(PolicyChange { hold_new_copies: Some(false), ..Default::default() });
        end(&world, &mv);
        let ran = mv.wait();
        assert_ne!(ran.code, Some(0), "{what}: {ran:?}");
        assert_eq!((lasting(&world, "a"), lasting(&world, "b")), before, "{what} {:#?}", world.store.requests());
        assert_eq!(snapshots(&world, "b"), 0, "{what}");
        assert_no_payload_but_small(&world);
        assert_eq!(world.ok("ls; cat b; stat -c %Y b"), "a\nb\nold content981173106\n", "{what}");
        world.ok("mv a b");
        assert_eq!(world.stored("b"), pattern(MIB), "{what}");
    }
}

/// Nothing of a megabyte went through the mount.
#[track_caller]
fn assert_no_payload_but_small(world: &World) {
    let stats = world.stats();
    assert!(stats.body_bytes_in + stats.body_bytes_out < 1000, "{stats:?}");
}

#[test]
fn a_delete_that_is_refused_brings_back_what_was_replaced() {
    // The source has snapshots or a lease, has changed, or the right is missing: what only the delete tells.
    type Refuse = fn(&World);
    let reasons: [(&str, Refuse); 3] = [
        ("snapshots", |world| drop(world.block_on(world.client(ONE).blob(&path("a")).create_snapshot()).unwrap())),
        ("a lease", |world| {
            drop(world.block_on(world.client(ONE).blob(&path("a")).acquire_lease(&LeaseOptions::default())).unwrap())
        }),
        ("the right", |world| {
            world.store.add_fault(fault(
                r#"{"operation":"DeleteBlob","status":403,"code":"AuthorizationPermissionMismatch","blob_prefix":"a"}"#,
            ));
        }),
    ];
    for (what, refuse) in reasons {
        let world = World::new();
        two_names(&world);
        refuse(&world);
        let before = (lasting(&world, "a"), lasting(&world, "b"));
        let ran = world.sh(RENAME);
        assert_eq!(ran.code, Some(1), "{what}: {ran:?}");
        assert_eq!((lasting(&world, "a"), lasting(&world, "b")), before, "{what}");
        assert_eq!(snapshots(&world, "b"), 0, "{what}");
    }
}

#[test]
fn what_cannot_be_kept_is_not_replaced() {
    // An account without snapshots, or a token without the right to take them.
    for (status, code, errno) in
        [(403, "AuthorizationPermissionMismatch", "PermissionError"), (409, "FeatureNotSupported", "OSError")]
    {
        let world = World::with(Setup { attr_ttl: std::time::Duration::ZERO, ..Default::default() });
        two_names(&world);
        let before = (world.properties(ONE, "a"), world.properties(ONE, "b"));
        world.store.add_fault(fault(&format!(
            r#"{{"operation":"SnapshotBlob","status":{status},"code":"{code}","count":1}}"#
        )));
        let ran = world.sh(RENAME);
        assert!(ran.code == Some(1) && ran.stderr.contains(errno), "{ran:?}");
        assert_eq!((world.properties(ONE, "a"), world.properties(ONE, "b")), before);
        assert_eq!(world.stats().requests("CopyBlob"), 0);
        // What is empty needs no snapshot.
        world.put("b", "");
        world.ok("mv a b");
    }
}

#[test]
fn nothing_is_brought_back_over_what_another_client_has_written() {
    // X16: and what was there is in the snapshot.
    let world = World::new();
    two_names(&world);
    world.hold_copies();
    let mv = world.start(RENAME);
    pending(&world, "b");
    steer(&world, CopyAction::Replace);
    steer(&world, CopyAction::Release);
    assert_eq!(mv.wait().code, Some(1));
    assert!(world.is_stored("a"));
    assert_eq!((status(&world, "b"), snapshots(&world, "b")), (Some(CopyStatus::Success), 1));
    assert_eq!(world.ok("cat .snapshots/b/*"), "old content");
}

#[test]
fn an_empty_directory_that_could_not_be_replaced_is_as_it_was() {
    let world = World::new();
    world.put("d/x", "x");
    world.ok("mkdir e; chmod 700 e; mkdir d; chmod 750 d; touch -d 2001-01-01 e");
    let before = world.properties(ONE, "e").unwrap().metadata;
    world.store.add_fault(fault(
        r#"{"operation":"CopyBlob","status":403,"code":"AuthorizationFailure","blob_prefix":"e/x","delay_ms":500}"#,
    ));
    let ran = world.sh("python3 -I -c \"import os; os.rename('d', 'e')\"");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(world.properties(ONE, "e").unwrap().metadata, before);
    assert_eq!(world.stats().requests("SnapshotBlob"), 0);
    world.ok("python3 -I -c \"import os; os.rename('d', 'e')\"; cat e/x");
}
