//! Accounts with a hierarchical namespace: mv is one rename by the service, atomic, of a directory as well (X26, M4).

use std::time::Duration;

use blobcp::devstore::answers::{RenameStamp, ReplacedLease};
use blobcp::devstore::{Answers, Config, Devstore, Fault, PolicyChange};
use blobcp::path::{BlobName, BlobPath, ContainerName};
use blobcp::store::sas::{self, Validity};
use blobcp::store::{
    AccountConfig, AccountKey, Client, DeleteOptions, ETag, Http, LeaseOptions, Namespace, Options, Precondition,
    RenameOptions, Secret, Written,
};

use crate::common::raw;
use crate::common::*;

/// rename(2), once: mv makes a second try of its own when the first has failed.
fn rename(from: &str, to: &str) -> String {
    format!("python3 -I -c \"import os; os.rename('{from}', '{to}')\"")
}

/// renameat2(2) with RENAME_NOREPLACE; prints what it says.
const NO_REPLACE: &str = "python3 -I -c 'import ctypes, os\n\
     r = ctypes.CDLL(None, use_errno=True).renameat2(-100, b\"a\", -100, b\"b\", 1)\n\
     print(r, os.strerror(ctypes.get_errno()))'";

/// A mount of two such accounts that believes for long what it has heard: how fast the machine is changes no count.
fn world() -> World {
    believing(Duration::from_secs(600))
}

/// The same where nobody knows the answers, and these are given.
fn answering(answers: Answers) -> World {
    let setup = Setup::default();
    let devstore = Config { hns: true, answers, ..setup.devstore.clone() };
    World::with(Setup { devstore, attr_ttl: Duration::from_secs(600), ..setup })
}

fn believing(attr_ttl: Duration) -> World {
    let setup = Setup::default();
    World::with(Setup { devstore: Config { hns: true, ..setup.devstore.clone() }, attr_ttl, ..setup })
}

#[track_caller]
fn assert_cost(world: &World, expected: &[(&'static str, u64)]) {
    assert_eq!(world.stats().requests, expected.iter().copied().collect(), "{:#?}", world.store.requests());
    assert_no_payload(&world.stats());
}

/// A directory of `count` files, one of them deeper.
fn tree(world: &World, count: usize) {
    for i in 1..count {
        world.put(&format!("d/{i}"), format!("content {i}"));
    }
    world.put("d/sub/x", "deep");
}

#[test]
fn mv_of_a_file_is_one_request() {
    // X26, M4
    let world = world();
    world.put("a", pattern(1 << 20));
    world.ok("setfattr -n user.blob.meta.color -v blue a");
    let born = world.properties(ONE, "a").unwrap().creation_time;
    world.ok("ls -l");
    world.reset_stats();
    world.ok("mv a b");
    assert_cost(&world, &[("RenamePath", 1)]);
    assert_eq!(world.ok("ls; stat -c %s b; getfattr --only-values -n user.blob.meta.color b"), "b\n1048576\nblue");
    assert_eq!(world.stored("b"), pattern(1 << 20));
    let renamed = world.properties(ONE, "b").unwrap();
    assert_eq!((renamed.creation_time, renamed.metadata.get("color")), (born, Some("blue")));
    assert!(!world.is_stored("a"));
    // The ETag that the mount has of it is the right one: appending is conditional on it.
    world.ok("echo end >> b; tail -c 4 b | grep -q end");
    assert_eq!(world.stored("b").len(), (1 << 20) + 4);
}

#[test]
fn mv_of_a_directory_of_a_thousand_files_is_one_request() {
    // X26, M4
    let world = world();
    tree(&world, 1000);
    world.ok("ls -l . d d/sub");
    world.reset_stats();
    world.ok("mv d e");
    // And a look at it, for a listing tells nothing of a directory: by what it is, it is known if the answer is lost (S124).
    assert_cost(&world, &[("GetBlobProperties", 1), ("RenamePath", 1)]);
    world.reset_stats();
    world.ok("mv e d; mv d e");
    assert_cost(&world, &[("RenamePath", 2)]);
    world.reset_stats();
    // What was known of the files is known of them still.
    assert_eq!(world.ok("stat -c %s e/7 e/sub/x; test ! -e d"), "9\n4\n");
    assert_eq!(world.stats().total, 0, "{:#?}", world.store.requests());
    assert_eq!(world.ok("ls; ls e | wc -l; cat e/7 e/sub/x"), "e\n1000\ncontent 7deep");
    assert_eq!((world.stored("e/999"), world.is_stored("d/999")), ("content 999".into(), false));
}

#[test]
fn a_directory_that_the_service_moves_in_parts_takes_a_request_for_each() {
    // X26
    let world = world();
    tree(&world, 1000);
    world.store.change_policy(PolicyChange { rename_part: Some(100), ..Default::default() });
    world.ok("ls -l");
    world.reset_stats();
    world.ok("mv d e");
    // A thousand files and a directory of one of them.
    assert_cost(&world, &[("GetBlobProperties", 1), ("RenamePath", 11)]);
    assert_eq!((world.stored("e/sub/x"), world.stored("e/500")), ("deep".into(), "content 500".into()));
    assert!(!world.is_stored("d") && !world.is_stored("d/500"));
}

#[test]
fn mv_to_another_container_is_one_request() {
    // M4
    let world = world();
    world.store.create_container(ONE, "other").unwrap();
    tree(&world, 3);
    world.put("a", "a");
    world.ok("ls -l . .. ../other");
    world.reset_stats();
    world.ok("mv a ../other/b; mv d ../other/e");
    assert_cost(&world, &[("GetBlobProperties", 1), ("RenamePath", 2)]);
    assert_eq!(world.ok("ls . ../other; cat ../other/b ../other/e/sub/x"), ".:\n\n../other:\nb\ne\nadeep");
    // Between accounts mv copies and removes.
    world.ok(&format!("mv ../other/b {}/c", world.there().display()));
    assert_eq!(world.store.content(TWO, BOX, "c").unwrap(), "a");
}

#[test]
fn nothing_is_replaced_that_must_not_be() {
    // M4
    let world = world();
    world.put("a", "mine");
    world.ok("ls -l");
    // Another client makes the name after we looked: If-None-Match answers.
    world.put("b", "theirs");
    world.reset_stats();
    assert_eq!(world.ok(NO_REPLACE).trim(), "-1 File exists");
    assert_cost(&world, &[("RenamePath", 1)]);
    world.ok("mv -n a b");
    assert_eq!((world.stored("a"), world.stored("b")), ("mine".into(), "theirs".into()));
}

#[test]
fn mv_over_a_file_is_one_request() {
    // M4: nothing has to be kept, for there is no time in between.
    let world = world();
    world.put("a", "new");
    world.put("b", "old");
    world.ok("ls -l");
    world.reset_stats();
    world.ok(&rename("a", "b"));
    assert_cost(&world, &[("RenamePath", 1)]);
    assert_eq!((world.stored("b"), world.ok("ls; cat b")), ("new".into(), "b\nnew".to_owned()));
    // One that is leased, too: the service breaks the lease.
    world.put("c", "newer");
    world.block_on(world.client(ONE).blob(&path("b")).acquire_lease(&LeaseOptions::default())).unwrap();
    world.ok("ls; mv c b");
    assert_eq!(world.stored("b"), "newer");
}

#[test]
fn directories_are_replaced_only_by_directories_and_if_they_are_empty() {
    let world = world();
    tree(&world, 2);
    world.put("full/x", "x");
    world.put("file", "x");
    world.ok("mkdir empty; ls");
    let says = |from: &str, to: &str| world.sh(&rename(from, to)).stderr;
    assert!(says("d", "full").contains("Directory not empty"));
    assert!(says("d", "d/sub/y").contains("Invalid argument"));
    assert!(says("d", "file").contains("Not a directory"));
    assert!(says("file", "empty").contains("Is a directory"));
    assert_eq!(world.stats().requests("RenamePath"), 0);
    // Only the service knows what another client has put there.
    world.put("made/x", "x");
    assert!(says("file", "made").contains("Is a directory"));
    world.put("made2", "x");
    assert!(says("d", "made2").contains("Not a directory"));
    world.put("empty/x", "x");
    assert!(says("d", "empty").contains("Directory not empty"));
    world.ok("ls empty; rm empty/x");
    assert_eq!(says("d", "empty"), "");
    assert_eq!((world.stored("empty/1"), world.stored("file")), ("content 1".into(), "x".into()));
    assert_eq!(world.ok("ls"), "empty\nfile\nfull\nmade\nmade2\n");
}

#[test]
fn a_lost_answer_is_no_failure() {
    // X26: the new name has what was there, and the old one is free.
    for reset in ["before", "after"] {
        for known in ["ls -l", "true", "echo written by the mount > a"] {
            let world = world();
            world.put("a", "precious");
            world.put("b", "old");
            tree(&world, 20);
            world.ok(known);
            for (from, to) in [("a", "b"), ("d", "e")] {
                world.store.add_fault(fault(&format!(r#"{{"operation":"RenamePath","reset":"{reset}"}}"#)));
                world.ok(&rename(from, to));
            }
            let content = if known.starts_with("echo") { "written by the mount\n" } else { "precious" };
            assert_eq!(
                (world.stored("b"), world.stored("e/sub/x")),
                (content.into(), "deep".into()),
                "{reset} {known}"
            );
            assert_eq!(world.ok("ls; cat b"), format!("b\ne\n{content}"), "{reset} {known}");
            assert!(!world.is_stored("a") && !world.is_stored("d/1"));
        }
    }
}

#[test]
fn what_another_client_did_is_not_taken_for_a_lost_answer() {
    let world = world();
    world.put("a", "mine");
    world.put("b", "their old");
    world.ok("ls -l");
    world.store.add_fault(fault(r#"{"operation":"RenamePath","reset":"before"}"#));
    let second = world.stop(Fault::on("RenamePath"));
    let mv = world.start(&rename("a", "b"));
    second.reached();
    world.put("b", "theirs, and longer");
    world.block_on(world.client(ONE).blob(&path("a")).delete(&DeleteOptions::default())).unwrap();
    second.let_go();
    let ran = mv.wait();
    assert!(ran.code == Some(1) && ran.stderr.contains("No such file"), "{ran:?}");
    assert_eq!((world.stored("b"), world.ok("ls")), ("theirs, and longer".into(), "b\n".to_owned()));
}

#[test]
fn a_failure_leaves_both_names() {
    let refusals = [
        (403, "AuthorizationPermissionMismatch", "Permission denied"),
        (409, "DestinationPathIsBeingDeleted", "busy"),
        (409, "SourcePathIsBeingDeleted", "busy"),
        (412, "LeaseIdMissing", "busy"),
        // S127, S128
        (412, "LeaseIdMismatch", "busy"),
        (412, "LeaseNotPresent", "No locks available"),
        (500, "InternalError", "Input/output error"),
    ];
    let world = world();
    world.put("a", "new");
    world.put("b", "old");
    tree(&world, 3);
    world.ok("mkdir e");
    for (status, code, says) in refusals {
        for (from, to) in [("a", "b"), ("d", "e")] {
            let order = format!(r#"{{"operation":"RenamePath","status":{status},"code":"{code}","count":3}}"#);
            world.store.add_fault(fault(&order));
            let ran = world.sh(&rename(from, to));
            world.store.clear_faults();
            assert!(ran.code == Some(1) && ran.stderr.to_lowercase().contains(&says.to_lowercase()), "{code} {ran:?}");
        }
        assert_eq!((world.stored("a"), world.stored("b")), ("new".into(), "old".into()), "{code}");
        assert_eq!(world.ok("ls; cat a b d/1; ls e"), "a\nb\nd\ne\nnewoldcontent 1", "{code}");
    }
    world.ok(&format!("{}; {}", rename("a", "b"), rename("d", "e")));
    assert_eq!(world.stored("e/1"), "content 1");
}

#[test]
fn a_leased_source_is_not_moved() {
    let world = world();
    world.put("a", "a");
    world.block_on(world.client(ONE).blob(&path("a")).acquire_lease(&LeaseOptions::default())).unwrap();
    let ran = world.sh("mv a b");
    assert!(ran.code == Some(1) && ran.stderr.contains("busy"), "{ran:?}");
    assert!(world.is_stored("a") && !world.is_stored("b"));
}

#[test]
fn a_source_that_another_client_has_changed_is_moved_as_it_is() {
    let world = world();
    world.put("a", "old");
    world.ok("ls -l; cat a");
    world.put("a", "changed");
    world.ok("mv a b");
    assert_eq!((world.stored("b"), world.ok("cat b")), ("changed".into(), "changed".to_owned()));
}

#[test]
fn there_are_no_snapshots_and_that_is_said() {
    // S192
    let world = world();
    world.put("a", "text");
    let command = env!("CARGO_BIN_EXE_blobcp");
    let ran = world.sh(&format!("{command} snapshot a"));
    assert!(ran.code == Some(1) && ran.stderr.contains("Operation not supported"), "{ran:?}");
    assert_eq!(world.ok("ls .snapshots"), "");
    assert!(world.sh("ls .snapshots/a").stderr.contains("No such file"));
    // What cannot be kept is not replaced.
    world.put("b", "old");
    let cp = world.sh(&format!("{command} cp --keep-on-abort a b"));
    assert!(cp.code == Some(1) && cp.stderr.contains("Operation not supported"), "{cp:?}");
    world.put("t/b", "new");
    let bulk = world.sh(&format!("{command} cp -r --keep-on-abort t/. ."));
    assert!(bulk.code == Some(1) && bulk.stderr.contains("there are no snapshots"), "{bulk:?}");
    assert_eq!((world.stored("b"), world.stats().requests("CopyBlob")), ("old".into(), 0));
    world.ok(&format!("{command} cp --keep-on-abort a new && {command} cp a b"));
    assert_eq!((world.stored("b"), world.stored("new")), ("text".into(), "text".into()));
}

#[test]
fn cp_that_is_to_keep_what_it_replaces_is_refused() {
    // S192: and nobody moves the content instead.
    let setup = Setup::default();
    let devstore = Config { hns: true, ..setup.devstore.clone() };
    let world = World::with(Setup { devstore, keep_on_abort: true, ..setup });
    world.put("a", pattern(100_000));
    world.put("b", "old");
    world.reset_stats();
    let cp = world.sh("cp a b");
    assert!(cp.code == Some(1) && cp.stderr.contains("Operation not supported"), "{cp:?}");
    assert_eq!(world.stored("b"), "old");
    assert_no_payload(&world.stats());
    world.ok("cp a new && cmp a new");
}

#[test]
fn a_directory_never_goes_inside_another() {
    // S118 to S120, S196
    let world = believing(Duration::ZERO);
    world.put("s2/f1", "new");
    world.ok("mkdir tgt; ls -l");
    world.ok(&rename("s2", "tgt"));
    assert_eq!(world.ok("find tgt | sort; cat tgt/f1"), "tgt\ntgt/f1\nnew");
    assert_eq!(world.stored("tgt/f1"), "new");
    // One in which there is something by now, which the mount does not know.
    let world = self::world();
    world.put("s2/f1", "new");
    world.ok("mkdir tgt; ls -l . tgt");
    world.put("tgt/theirs", "theirs");
    let ran = world.sh(&rename("s2", "tgt"));
    assert!(ran.stderr.contains("Directory not empty"), "{ran:?}");
    assert_eq!((world.stored("s2/f1"), world.stored("tgt/theirs")), ("new".into(), "theirs".into()));
    assert!(!world.is_stored("tgt/s2/f1"));
}

#[test]
fn a_rename_keeps_time_and_version_whatever_the_answer_says() {
    // S116, S117
    for rename_stamp in [RenameStamp::ByVersion, RenameStamp::Never] {
        let world = answering(Answers { rename_stamp, ..Answers::default() });
        world.put("a", "one\n");
        tree(&world, 2);
        let before = world.properties(ONE, "a").unwrap();
        let times = |file: &str, dir: &str| world.ok(&format!("stat -c %y {file} {dir}"));
        let shown = times("a", "d");
        world.ok("cat a; mv a b; mv d e");
        let after = world.properties(ONE, "b").unwrap();
        assert_eq!((after.etag, after.last_modified), (before.etag, before.last_modified));
        assert_eq!(times("b", "e"), shown, "{rename_stamp:?}");
        // What the mount has of it is right: what follows is conditional on it.
        world.ok("echo two >> b; chmod 600 e; cat b; mv e f");
        assert_eq!((world.stored("b"), world.ok("stat -c %a f")), ("one\ntwo\n".into(), "600\n".to_owned()));
    }
}

#[test]
fn what_is_being_deleted_is_busy_and_nothing_else_is_lost() {
    // S199
    let world = world();
    tree(&world, 5);
    world.put("f", "file");
    world.ok("ls -l . d d/sub");
    world.store.change_policy(PolicyChange { delete_part: Some(2), ..Default::default() });
    assert!(raw::delete_path(&world, "d").head.contains("x-ms-continuation"));
    for (from, to) in [("d", "e"), ("d/4", "four"), ("f", "d/f"), ("f", "d/4")] {
        let ran = world.sh(&rename(from, to));
        assert!(ran.code == Some(1) && ran.stderr.contains("busy"), "{from} {to}: {ran:?}");
    }
    assert_eq!((world.stored("f"), world.stored("d/4")), ("file".into(), "content 4".into()));
    assert!(!world.is_stored("e") && !world.is_stored("four") && !world.is_stored("d/f"));
    for _ in 0..3 {
        raw::delete_path(&world, "d");
    }
    world.expire(&["d"]);
    world.ok("mkdir d; mv f d/f");
    assert_eq!(world.stored("d/f"), "file");
}

#[test]
fn a_lease_on_what_is_replaced_ends_or_keeps_it() {
    for (replaced_lease, kept) in [(ReplacedLease::Broken, false), (ReplacedLease::Refuses, true)] {
        let world = answering(Answers { replaced_lease, ..Answers::default() });
        world.put("new", "new");
        world.put("old", "old");
        world.ok("ls -l");
        let headers = ["x-ms-lease-action: acquire", "x-ms-lease-duration: -1"];
        let url = format!("{}&comp=lease", raw::url(&world, "old"));
        assert_eq!(raw::exchange("PUT", &url, &headers, b"").status, 201);
        let ran = world.sh(&rename("new", "old"));
        assert_eq!(ran.stderr.contains("busy"), kept, "{ran:?}");
        let now = if kept { ("old", true) } else { ("new", false) };
        assert_eq!((world.stored("old"), world.is_stored("new")), (now.0.into(), now.1));
        assert_eq!(world.ok("cat old"), now.0);
    }
}

#[test]
fn a_directory_is_recognised_also_where_nothing_was_known_of_it() {
    // S124: known by nothing but its name in a listing, and stored by another.
    for after in [r#""reset":"after""#, r#""status":500,"code":"OperationTimedOut","after":true"#] {
        let world = world();
        tree(&world, 20);
        world.ok("ls");
        world.store.add_fault(fault(&format!(r#"{{"operation":"RenamePath",{after}}}"#)));
        world.ok(&rename("d", "e"));
        assert_eq!(world.ok("ls; cat e/sub/x"), "e\ndeep", "{after}");
        assert!(!world.is_stored("d"));
    }
}

#[test]
fn what_a_copy_is_pending_onto_is_not_moved() {
    let world = believing(Duration::from_secs(1));
    world.put("x", pattern(1 << 20));
    world.put("b", "old");
    world.ok("mkdir d");
    world.hold_copies();
    for (onto, from, to) in [("a", "a", "c"), ("d/a", "d", "e"), ("b", "x", "b")] {
        let cp = world.start(&format!("exec cp x {onto}"));
        eventually("a pending copy", || {
            let copy = world.properties(ONE, onto).and_then(|found| found.copy);
            copy.is_some_and(|copy| copy.status == blobcp::store::CopyStatus::Pending)
        });
        let ran = world.sh(&rename(from, to));
        assert!(ran.code == Some(1) && ran.stderr.contains("busy"), "{onto}: {ran:?}");
        assert_eq!(world.stats().requests("RenamePath"), 0, "{onto}");
        cp.signal(libc::SIGINT);
        cp.wait();
    }
    world.ok("mv d e; mv a c; mv x b");
    assert_eq!(world.stored("b"), pattern(1 << 20));
}

#[test]
fn open_files_follow_their_name() {
    let world = believing(Duration::from_secs(1));
    world.put("a", "one\n");
    world.ok("exec 3>>a; echo two >&3; mv a b; echo three >&3; exec 3>&-; test ! -e a");
    assert_eq!(world.stored("b"), "one\ntwo\nthree\n");
    world.put("d/x", "1");
    world
        .ok("exec 3>>d/x; echo 2 >&3; exec 4>d/y; echo y >&4; mv d e; echo 3 >&3; echo z >&4; exec 3>&- 4>&-; cat e/x");
    assert_eq!((world.stored("e/x"), world.stored("e/y")), ("12\n3\n".into(), "y\nz\n".into()));
    assert!(!world.is_stored("a") && !world.is_stored("d/x") && !world.is_stored("d"));
    // Editors and git rename over the same name all the time.
    for i in 0..5 {
        world.ok(&format!("echo {i} > f.lock && mv f.lock f"));
        assert_eq!(world.stored("f"), format!("{i}\n"));
    }
}

#[test]
fn what_is_made_in_a_directory_while_it_is_renamed_comes_along() {
    // Before the service has done it, and between that and its answer: then the old directory is there again.
    for after in [false, true] {
        let world = world();
        tree(&world, 3);
        world.ok("ls -l d");
        let stop = if after { World::stop_answer } else { World::stop };
        let rename = stop(&world, Fault::on("RenamePath"));
        let mut mv = world.start("mv d e");
        rename.reached();
        assert_eq!(world.is_stored("e/1"), after);
        let d = world.here().join("d");
        std::fs::write(d.join("late"), "late").unwrap();
        std::fs::create_dir(d.join("new")).unwrap();
        std::fs::write(d.join("new/deep"), "deep").unwrap();
        assert!(!mv.has_ended());
        rename.let_go();
        assert_eq!(mv.wait().code, Some(0));
        assert_eq!((world.stored("e/late"), world.stored("e/new/deep")), ("late".into(), "deep".into()), "{after}");
        assert_eq!(world.ok("ls; ls e; cat e/late e/new/deep e/1"), "e\n1\n2\nlate\nnew\nsub\nlatedeepcontent 1");
        assert!(!world.is_stored("d") && !world.is_stored("d/new") && !world.is_stored("d/late"), "{after}");
    }
}

#[test]
fn directories_exist_by_themselves() {
    let world = believing(Duration::ZERO);
    world.put("d/sub/x", "x");
    assert_eq!(world.ok("ls -p; ls -p d; rm d/sub/x; ls -p d; rmdir d/sub; ls -p"), "d/\nsub/\nsub/\nd/\n");
    world.ok("mkdir m; chmod 700 m; echo 1 > m/f; mv m n; test $(stat -c %a n) = 700; rm -r n; rmdir d");
    assert_eq!(world.ok("ls"), "");
    let refused = world.sh("mkdir q; echo > q/f; rmdir q");
    assert!(refused.stderr.contains("Directory not empty"), "{refused:?}");
    // A listing in pages of two names each once, whatever sorts between a directory and what is in it.
    for name in ["q-file", "q/g", "r/s", "empty-1"] {
        world.put(name, "");
    }
    world.ok("mkdir empty");
    world.store.change_policy(PolicyChange { list_page: Some(2), ..Default::default() });
    assert_eq!(world.ok("ls -p | sort"), world.ok("printf '%s\\n' empty/ empty-1 q/ q-file r/ | sort"));
}

/// A server with one account, and a client of it.
async fn server(hns: bool) -> (Devstore, Client) {
    let accounts = vec![blobcp::devstore::AccountConfig::named(ONE)];
    let server = Devstore::start(Config { accounts, hns, ..Default::default() }).await.unwrap();
    server.create_container(ONE, BOX).unwrap();
    let client = client(AccountConfig {
        connection_string: server.connection_string(ONE).map(Secret::new),
        ..Default::default()
    });
    (server, client)
}

fn client(config: AccountConfig) -> Client {
    let options = Options { tries: 2, first_delay: Duration::from_millis(5), ..Options::default() };
    Client::new(config.resolve().unwrap(), Http::new(options))
}

async fn move_path(client: &Client, from: &BlobPath, to: &BlobPath) -> blobcp::error::Result<Option<Written>> {
    client.blob(from).rename(to, &RenameOptions::default()).await
}

#[tokio::test]
async fn an_account_is_asked_once_for_its_kind() {
    let (server, client) = server(true).await;
    let container = ContainerName::parse(BOX).unwrap();
    for _ in 0..3 {
        assert!(client.container(&container).is_hierarchical().await.unwrap());
    }
    assert_eq!(server.stats().total, 1);
    // A refusal is an answer: it is not told, and is not asked there again (S148). Silence is none.
    let other = self::client(AccountConfig {
        connection_string: server.connection_string(ONE).map(Secret::new),
        ..Default::default()
    });
    server.add_fault(fault(r#"{"operation":"GetAccountInformation","status":500,"count":2}"#));
    assert!(other.namespace().await.is_err());
    server.add_fault(fault(r#"{"operation":"GetAccountInformation","status":403,"code":"AuthorizationFailure"}"#));
    assert_eq!([other.namespace().await.unwrap(), other.namespace().await.unwrap()], [Namespace::Untold; 2]);
    assert_eq!(other.container(&container).namespace().await.unwrap(), Namespace::Hierarchical);
    assert_eq!(other.namespace().await.unwrap(), Namespace::Hierarchical);
    // And what the user says need not be asked.
    server.reset_stats();
    for said in [true, false] {
        let told = self::client(AccountConfig {
            connection_string: server.connection_string(ONE).map(Secret::new),
            hierarchical: Some(said),
            ..Default::default()
        });
        assert_eq!(told.is_hierarchical().await.unwrap(), said);
    }
    assert_eq!(server.stats().total, 0);
    let (_flat, client) = self::server(false).await;
    assert!(!client.is_hierarchical().await.unwrap());
}

#[tokio::test]
async fn a_sas_renames_with_itself_for_the_source() {
    let (server, _) = server(true).await;
    let key = AccountKey::parse(&server.account_key(ONE).unwrap()).unwrap();
    let name = blobcp::path::AccountName::parse(ONE).unwrap();
    let validity = Validity::for_the_next(Duration::from_secs(600));
    for (letters, may) in [("racwdxlm", true), ("rl", false)] {
        server.put_blob(ONE, BOX, "dir/a b+%", "x".into(), "text/plain").unwrap();
        let sas = sas::account(&key, &name, letters, "sco", &validity, "2025-11-05");
        let client =
            client(AccountConfig { endpoint: Some(server.endpoint(ONE)), sas: Some(sas), ..Default::default() });
        assert!(client.is_hierarchical().await.unwrap());
        let renamed = move_path(&client, &path("dir/a b+%"), &path("dir/ü&?#")).await;
        assert_eq!(renamed.is_ok(), may, "{renamed:?}");
        if let Err(error) = renamed {
            assert!(error.errno() == libc::EACCES && !format!("{error} {error:?}").contains("sig="), "{error}");
        }
    }
    assert_eq!(server.content(ONE, BOX, "dir/ü&?#").unwrap(), "x");
    assert!(
        server
            .requests()
            .iter()
            .all(|request| !format!("{request:?}").contains("sig=") || request.query.contains("sig=***"))
    );
}

#[tokio::test]
async fn the_service_refuses_with_codes_of_its_own() {
    let (server, client) = server(true).await;
    for name in ["file", "full/x", "d/sub/x"] {
        server.put_blob(ONE, BOX, name, "x".into(), "text/plain").unwrap();
    }
    let nowhere = BlobPath::new(ContainerName::parse("nowhere").unwrap(), BlobName::parse("x").unwrap());
    let cases = [
        (path("missing"), path("to"), 404, "SourcePathNotFound", libc::ENOENT),
        (path("file"), path("missing/to"), 404, "RenameDestinationParentPathNotFound", libc::ENOENT),
        (path("file"), nowhere, 404, "FilesystemNotFound", libc::ENOENT),
        (path("file"), path("file"), 409, "InvalidRenameSourcePath", libc::EINVAL),
        (path("d"), path("d/sub/y"), 409, "InvalidRenameSourcePath", libc::EINVAL),
        (path("full/x"), path("file/x"), 409, "PathConflict", libc::ENOTDIR),
        (path("d"), path("full"), 409, "DirectoryNotEmpty", libc::ENOTEMPTY),
        (path("d"), path("file"), 409, "InvalidSourceOrDestinationResourceType", libc::ENOTDIR),
    ];
    for (from, to, status, code, errno) in cases {
        let error = move_path(&client, &from, &to).await.unwrap_err();
        assert_eq!((error.status(), error.code(), error.errno()), (status, code, errno), "{error}");
        // The message is in a body of JSON.
        assert!(error.to_string().contains("The "), "{error}");
    }
    let (from, to) = (&path("file"), &path("full/x"));
    for (precondition, version, code) in [
        (Precondition::IfAbsent, None, "PathAlreadyExists"),
        (Precondition::None, Some(ETag::new("0x1")), "SourceConditionNotMet"),
        (Precondition::IfMatch(ETag::new("0x1")), None, "ConditionNotMet"),
    ] {
        let source_if_match = version.as_ref();
        let options = RenameOptions { source_if_match, precondition, ..RenameOptions::default() };
        assert_eq!(client.blob(from).rename(to, &options).await.unwrap_err().code(), code);
    }
    assert_eq!(server.content(ONE, BOX, "file").unwrap(), "x");
    // A flat account has no such thing.
    let (flat, client) = self::server(false).await;
    flat.put_blob(ONE, BOX, "file", "x".into(), "text/plain").unwrap();
    assert_eq!(move_path(&client, &path("file"), &path("to")).await.unwrap_err().errno(), libc::EOPNOTSUPP);
}
