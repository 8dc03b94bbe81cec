//! `blobcp cp` of trees and of many files: what it does in the service, what it says, how it ends.

use std::collections::BTreeMap;
use std::fs::File;

use blobcp::devstore::{CopyAction, Fault};
use blobcp::fs::{Account, Fs};
use blobcp::fs::{Caller, CopyOrder, Credentials, Event, Fh, FileKind, Ino, Outcome, Skip, TreeOrder};
use blobcp::ioctl::{self, OrderFlags};
use blobcp::store::{BlobSettings, CopyStatus, Metadata, WriteOptions};
use rstest::rstest;
use serde_json::Value;
use zerocopy::FromZeros;

use crate::common::*;

const BLOBCP: &str = env!("CARGO_BIN_EXE_blobcp");

/// `blobcp ARGS` run in `one/box`.
fn blobcp(world: &World, args: &str) -> Ran {
    world.sh(&format!("{BLOBCP} {args}"))
}

/// The lines of `--json`: what became of each path, and the summary.
fn events(ran: &Ran) -> (BTreeMap<String, Value>, Value) {
    let mut events = BTreeMap::new();
    let mut summary = Value::Null;
    for line in ran.stdout.lines() {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        if value["event"] == "summary" {
            summary = value;
        } else {
            events.insert(value["path"].as_str().unwrap().to_owned(), value);
        }
    }
    (events, summary)
}

/// `src` with files at several depths, an empty directory, a symlink, and metadata.
fn tree(world: &World, files: usize) {
    for number in 0..files {
        world.put(&format!("src/{}/deep/{number:03}", number % 3), format!("content {number}"));
    }
    world.ok("mkdir src/empty && ln -s 0/deep/000 src/link");
    world.ok("setfattr -n user.blob.meta.colour -v blue src/0/deep/000 && chmod 600 src/0/deep/003");
    world.reset_stats();
}

#[test]
fn a_tree_costs_one_request_for_each_blob_and_a_listing() {
    // C1, C8, C14, C15, C28
    let world = World::new();
    tree(&world, 120);
    let ran = blobcp(&world, "cp -r src dst");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    assert!(ran.stdout.starts_with("121 files copied ("), "{ran:?}");
    let stats = world.stats();
    // The marker of the empty directory and the symlink are blobs as well.
    assert_eq!(stats.requests("CopyBlob"), 122, "{stats:?}");
    assert_no_payload(&stats);
    // The tree itself is one listing; the rest are lookups of `src` and `dst`.
    assert!(stats.requests("ListBlobs") <= 4 && stats.requests("GetBlobProperties") <= 4, "{stats:?}");
    assert_eq!(
        stats.total,
        stats.requests("CopyBlob") + stats.requests("ListBlobs") + stats.requests("GetBlobProperties")
    );
    world.ok("diff -r --no-dereference src dst && test -d dst/empty && test \"$(readlink dst/link)\" = 0/deep/000");
    assert_eq!(world.ok("stat -c %a dst/0/deep/003"), "600\n");
    assert_eq!(attribute(&world.here().join("dst/0/deep/000"), "meta.colour").as_deref(), Some("blue"));
}

#[test]
fn what_is_copied_already_is_skipped_and_what_changed_is_copied_again() {
    let world = World::new();
    for number in 0..20 {
        world.put(&format!("src/{number:02}"), format!("content {number}"));
    }
    assert_eq!(blobcp(&world, "cp -r src/. dst").code, Some(0));
    world.put("src/05", "changed, and longer");
    // Equal size, other metadata.
    world.ok("setfattr -n user.blob.meta.a -v b src/06 && rm dst/07");
    world.reset_stats();
    let ran = blobcp(&world, "cp -r --json src/. dst");
    let (events, summary) = events(&ran);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!((&summary["copied"], &summary["skipped"], &summary["failed"]), (&3.into(), &17.into(), &0.into()));
    for (name, event) in [("04", "same"), ("05", "copied"), ("06", "copied"), ("07", "copied")] {
        assert_eq!(events[&format!("dst/{name}")]["event"], event, "{name}");
    }
    assert_eq!(world.stats().requests("CopyBlob"), 3);
    assert_eq!(world.stored("dst/05"), "changed, and longer");
    world.reset_stats();
    assert_eq!(blobcp(&world, "cp -r src/. dst").code, Some(0));
    let stats = world.stats();
    assert_eq!(stats.requests("CopyBlob"), 0, "{stats:?}");
    // Source and destination, and the lookups of both.
    assert!(stats.total <= 8, "{stats:?}");
    assert_no_payload(&stats);
}

#[test]
fn nothing_is_replaced_and_nothing_is_done_if_so_ordered() {
    let world = World::new();
    for name in ["src/a", "src/b", "src/c"] {
        world.put(name, "new");
    }
    world.put("dst/src/b", "old");
    world.reset_stats();
    let ran = blobcp(&world, "cp -r --dry-run src dst");
    assert_eq!((ran.code, ran.stdout.lines().count()), (Some(0), 4), "{ran:?}");
    assert!(ran.stdout.starts_with("dst/src/a\ndst/src/b\ndst/src/c\n3 files to be copied (9 B) in "), "{ran:?}");
    assert_eq!(world.stats().requests("CopyBlob"), 0);
    let ran = blobcp(&world, "cp -r --no-clobber --json src dst");
    let (events, summary) = events(&ran);
    assert_eq!((ran.code, &summary["copied"], &summary["skipped"]), (Some(0), &2.into(), &1.into()));
    assert_eq!(events["dst/src/b"]["event"], "exists");
    assert_eq!((world.stored("dst/src/a"), world.stored("dst/src/b")), ("new".into(), "old".into()));
}

#[test]
fn names_are_those_that_cp_gives() {
    let world = World::new();
    for name in ["d/x", "e/y", "f", "g"] {
        world.put(name, name);
    }
    let is = |name: &str, content: &str| assert_eq!(world.stored(name), content.to_owned(), "{name}");
    // A directory that is not there takes the source's place; one that is there takes it in.
    assert_eq!(blobcp(&world, "cp -r d new").code, Some(0));
    is("new/x", "d/x");
    assert_eq!(blobcp(&world, "cp -r d/ new/").code, Some(0));
    is("new/d/x", "d/x");
    assert_eq!(blobcp(&world, "cp -r e/. new").code, Some(0));
    is("new/y", "e/y");
    assert_eq!(blobcp(&world, "cp -r d e f g new").code, Some(0));
    is("new/e/y", "e/y");
    is("new/g", "g");
    assert_eq!(blobcp(&world, "cp -r d slash/").code, Some(0));
    is("slash/x", "d/x");
    world.reset_stats();
    let refused = |args: &str, expected: &str| {
        let ran = blobcp(&world, args);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), format!("blobcp: cp: {expected}\n").as_str()), "{args}");
    };
    refused("cp f g nowhere", "nowhere: No such file or directory; blobcp mkdir -p makes one");
    refused("cp f g e/y", "e/y: Not a directory");
    refused("cp -r f nowhere/", "nowhere/: No such file or directory; blobcp mkdir -p makes one");
    refused("cp f d new", "d: it is a directory, and -r was not given");
    refused("cp -r d d", "d: the destination is in it");
    refused("cp -r d d/sub", "d: the destination is in it");
    refused("cp -r d f", "d: a file cannot be replaced by a directory");
    refused("cp -r f nosuch new", "nosuch: No such file or directory");
    refused("cp -r f ../box/f new", "../box/f: would replace new/f, just copied");
    assert_eq!(world.stats().requests("CopyBlob"), 0, "all that could be copied was there");
    assert!(!world.is_stored("d/sub/x") && !world.is_stored("d/d/x"));
}

#[test]
fn files_and_directories_are_not_taken_for_each_other() {
    let world = World::new();
    for name in ["src/a/x", "src/b", "src/c"] {
        world.put(name, "new");
    }
    world.put("dst/src/a", "a file");
    world.put("dst/src/b/deep", "in a directory");
    let ran = blobcp(&world, "cp -r --json src dst");
    let (events, summary) = events(&ran);
    assert_eq!((ran.code, &summary["copied"], &summary["failed"]), (Some(1), &1.into(), &2.into()), "{ran:?}");
    assert_eq!(events["dst/src/a/x"]["errno"], libc::ENOTDIR);
    assert_eq!(events["dst/src/b"]["errno"], libc::EISDIR);
    assert_eq!(events["dst/src/c"]["event"], "copied");
    assert!(!world.is_stored("dst/src/a/x") && !world.is_stored("dst/src/b"));
}

#[test]
fn a_snapshot_is_copied_alone() {
    let world = World::new();
    world.put("a", "old");
    world.block_on(world.client(ONE).blob(&path("a")).create_snapshot()).unwrap();
    world.put("a", "new");
    world.ok("mkdir d");
    let ran = blobcp(&world, "cp a .snapshots/a/* d");
    assert!(ran.code == Some(1) && ran.stderr.contains("is copied alone, or by cp"), "{ran:?}");
    assert_eq!(world.ok("ls d && cat d/a"), "a\nnew");
    assert_eq!(blobcp(&world, "cp .snapshots/a/* d/old").code, Some(0));
    world.ok("cp a .snapshots/a/* d");
    assert_eq!(world.ok("cat d/a d/old; cat d/20*"), "newoldold");
}

#[test]
fn failures_are_counted_named_and_have_reasons() {
    // C30, C58
    let world = World::new();
    for number in 0..30 {
        world.put(&format!("src/{number:02}"), "x");
    }
    world.store.add_fault(fault(
        r#"{"operation":"CopyBlob","blob_prefix":"dst/1","status":403,"code":"AuthorizationFailure","count":99}"#,
    ));
    let ran = blobcp(&world, "cp -r src dst");
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("20 files copied (20 B), 10 failed in "), "{ran:?}");
    assert_eq!(ran.stderr.lines().filter(|line| line.starts_with("blobcp: cp: dst/1")).count(), 10, "{ran:?}");
    assert!(ran.stderr.contains("Permission denied: CopyBlob one/box/dst/1"), "{ran:?}");
    let (events, summary) = events(&blobcp(&world, "cp -r --json src/. dst"));
    assert_eq!((&summary["copied"], &summary["skipped"], &summary["failed"]), (&0.into(), &20.into(), &10.into()));
    assert_eq!(events["dst/10"]["errno"], libc::EACCES);
    assert!(events["dst/10"]["reason"].as_str().unwrap().contains("AuthorizationFailure"));
    world.store.clear_faults();
    let (_, summary) = self::events(&blobcp(&world, "cp -r --json src/. dst"));
    assert_eq!((&summary["copied"], &summary["skipped"]), (&10.into(), &20.into()), "the rest is made up for");
}

#[rstest]
#[case::many_at_once("")]
// One blob meets all refusals: more than one request is repeated, and fewer than a blob is given.
#[case::one_by_one("--jobs 1")]
fn a_busy_service_is_given_time(#[case] jobs: &str) {
    let world = World::new();
    for number in 0..60 {
        world.put(&format!("src/{number:02}"), "x");
    }
    world.reset_stats();
    world.store.add_fault(Fault { count: 50, status: Some(503), ..Fault::on("CopyBlob") });
    let ran = blobcp(&world, &format!("cp -r {jobs} src dst"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.starts_with("60 files copied"), "{ran:?}");
    assert!(ran.stderr.contains("the service is busy: going on with "), "{ran:?}");
    assert_eq!(world.stats().requests("CopyBlob"), 110);
    assert_no_payload(&world.stats());
}

#[test]
fn copies_between_accounts_are_followed_to_their_end() {
    // C2, C10, C11, X2
    let world = World::with(cross_account(1 << 20));
    for number in 0..10 {
        world.put(&format!("src/{number}"), pattern(100_000));
    }
    let ran = blobcp(&world, "cp -r -j 4 src ../../two/box/");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    for number in 0..10 {
        let state = world.properties(TWO, &format!("src/{number}")).unwrap().copy.unwrap();
        assert_eq!(state.status, CopyStatus::Success);
        assert_eq!(world.store.content(TWO, BOX, &format!("src/{number}")).unwrap(), pattern(100_000));
    }
    assert_no_payload(&world.stats());
}

#[test]
fn no_more_than_the_jobs_are_pending_and_no_wait_leaves_all_pending() {
    let world = World::new();
    for number in 0..12 {
        world.put(&format!("src/{number:02}"), "x");
    }
    world.hold_copies();
    let mut running = world.start(&format!("exec {BLOBCP} cp -r -j 3 src dst"));
    let pending = || world.store.copies().iter().filter(|copy| copy.status == "pending").count();
    eventually("three copies", || pending() == 3);
    // One is let go, one comes after it.
    steer(&world, CopyAction::Release);
    eventually("the next copy", || world.store.copies().len() == 4);
    assert_eq!(pending(), 3);
    running.signal(libc::SIGTERM);
    eventually("the end", || running.has_ended());
    assert_eq!(running.wait().code, Some(130));
    let ran = blobcp(&world, "cp -r --no-wait --json src other");
    let (events, summary) = events(&ran);
    assert_eq!((ran.code, &summary["copied"]), (Some(0), &12.into()), "{ran:?}");
    assert!(events.values().all(|event| event["event"] == "accepted" && event["id"].is_string()));
    assert_eq!(pending(), 12);
}

#[test]
fn ctrl_c_aborts_what_is_pending_and_says_so() {
    // C49, C53
    let world = World::new();
    for number in 0..8 {
        world.put(&format!("src/{number}"), "new");
    }
    world.put("dst/0", "old");
    world.hold_copies();
    let running = world.start(&format!("exec {BLOBCP} cp -r -j 4 src/. dst"));
    eventually("four copies", || world.store.copies().len() == 4);
    running.signal(libc::SIGINT);
    let ran = running.wait();
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(ran.stderr.contains("aborting what is pending; Ctrl-C again leaves at once"), "{ran:?}");
    assert!(ran.stderr.contains("dst/0: aborted; an empty file is left"), "{ran:?}");
    assert!(ran.stdout.contains("0 files copied (0 B), 4 aborted, 4 not begun in "), "{ran:?}");
    assert!(world.store.copies().iter().all(|copy| copy.status == "aborted"), "{:?}", world.store.copies());
    // What was there is lost, as with any copy that is aborted (X14); what was not there is not there.
    assert_eq!(status(&world, "dst/0"), Some(CopyStatus::Aborted));
    assert!((1..8).all(|number| !world.is_stored(&format!("dst/{number}"))));
    // The rest of an aborted copy is nothing that has to be kept.
    world.store.change_policy(blobcp::devstore::PolicyChange { hold_new_copies: Some(false), ..Default::default() });
    let ran = blobcp(&world, "cp -r --no-clobber src/. dst");
    assert!(ran.stdout.starts_with("8 files copied"), "{ran:?}");
    assert_eq!(world.stored("dst/0"), "new");
}

#[test]
fn a_killed_cp_leaves_nothing_pending() {
    let world = World::new();
    for number in 0..8 {
        world.put(&format!("src/{number}"), "new");
    }
    world.hold_copies();
    let running = world.start(&format!("exec {BLOBCP} cp -r -j 4 src dst"));
    eventually("four copies", || world.store.copies().len() == 4);
    running.signal(libc::SIGKILL);
    eventually("the aborts", || world.store.copies().iter().all(|copy| copy.status == "aborted"));
    running.wait();
    eventually("nothing left", || (0..8).all(|number| !world.is_stored(&format!("dst/{number}"))));
    assert_eq!(world.store.copies().len(), 4, "nothing new was begun");
}

#[test]
fn what_is_being_written_is_stored_first_or_refused() {
    let world = World::new();
    world.put("src/a", "old");
    world.put("dst/a", "old");
    let ran = world.sh(&format!("exec 3>src/a; echo new >&3; {BLOBCP} cp -r src/. other && cat other/a"));
    assert!(ran.stdout.ends_with("new\n"), "{ran:?}");
    let ran = world.sh(&format!("exec 3>>dst/a; echo more >&3; {BLOBCP} cp -r src/. dst"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("dst/a: it is open for writing"), "{ran:?}");
    assert_eq!(world.stored("dst/a"), "oldmore\n");
}

#[test]
fn what_changes_meanwhile_is_copied_as_it_is_then() {
    let world = World::new();
    world.put("src/a", "first");
    world.put("dst/a", "there");
    // The condition of the copy is the listed version: the first try meets another one.
    world.store.add_fault(fault(r#"{"operation":"CopyBlob","status":412,"code":"SourceConditionNotMet"}"#));
    world.reset_stats();
    let ran = blobcp(&world, "cp -r src/. dst");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(world.stored("dst/a"), "first");
    assert_eq!(world.stats().requests("CopyBlob"), 2);
}

#[test]
fn containers_are_made_and_an_account_is_refused() {
    let world = World::new();
    world.put("x/y", "deep");
    let ran = blobcp(&world, "cp -r ../box ../copy");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    assert_eq!(world.store.content(ONE, "copy", "x/y").unwrap(), "deep");
    let ran = blobcp(&world, "cp -r ../../one ../../two/box/");
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("an account is not copied as a whole"), "{ran:?}");
}

/// A filesystem without a mount, so that others than the user of the test can ask.
struct Asked {
    fs: std::sync::Arc<Fs>,
    box_: Ino,
}

impl Asked {
    fn new(world: &World) -> Self {
        Self::with(world, &Setup::default())
    }

    fn with(world: &World, setup: &Setup) -> Self {
        let accounts = [ONE, TWO].map(|name| Account { client: world.client(name), only: None });
        let fs = Fs::new(setup.config(accounts.into()));
        let box_ = world.block_on(async {
            let one = fs.lookup(Ino::ROOT, ONE).await.unwrap();
            fs.lookup(one.ino, BOX).await.unwrap().ino
        });
        Self { fs, box_ }
    }

    /// What user 4242 gets from COPY.
    fn copy(&self, world: &World, source: &str, name: &str) -> Result<(), i32> {
        let order = CopyOrder {
            source,
            at: self.box_,
            name,
            no_replace: false,
            no_wait: false,
            followed: false,
            tier: None,
            metadata: "",
            keep: false,
            lease_source: None,
            method: None,
            lease: None,
        };
        let who = Credentials::new(4242, 4242, 0);
        let caller = Caller { pid: std::process::id() };
        let done = world.block_on(self.fs.control().copy(order, &who, caller));
        done.map(drop).map_err(|error| error.errno())
    }

    /// What becomes of a tree that user 4242 copies.
    fn tree(&self, world: &World, source: &str, name: &str) -> BTreeMap<String, Outcome> {
        world.block_on(async {
            let fh: Fh = self.fs.readdir().open(self.box_).unwrap();
            let order = TreeOrder {
                source: source.into(),
                name: name.into(),
                recursive: true,
                no_replace: false,
                update: false,
                no_wait: false,
                dry_run: false,
                keep: false,
                lease_source: None,
                method: None,
                jobs: 4,
            };
            self.fs.tree_copies().start(fh, order, Credentials::new(4242, 4242, 0)).unwrap();
            let mut outcomes = BTreeMap::new();
            while !self
                .fs
                .tree_copies()
                .progress(fh, |Event { path, outcome, .. }| {
                    outcomes.insert(path.to_string(), outcome.clone()).is_none()
                })
                .await
                .unwrap()
                .done
            {}
            self.fs.readdir().release(fh);
            outcomes
        })
    }
}

fn errno(outcome: Option<&Outcome>) -> Option<i32> {
    match outcome {
        Some(Outcome::Failed(errno, _)) => Some(*errno),
        _ => None,
    }
}

/// Puts a blob with metadata, as `chmod` and `chown` here keep them.
fn put_with(world: &World, name: &str, content: &'static str, metadata: &[(&str, &str)]) {
    let settings = BlobSettings { metadata: metadata.iter().copied().collect::<Metadata>(), ..Default::default() };
    let (client, path) = (world.client(ONE), path(name));
    world.block_on(client.blob(&path).block_blob().upload(content, &settings, &WriteOptions::default())).unwrap();
}

#[test]
fn ioctls_ask_for_no_more_than_the_modes_allow() {
    let world = World::new();
    let mine = [("owner", "4242"), ("permissions", "0600")];
    put_with(&world, "open", "a", &[]);
    put_with(&world, "closed", "a", &[("permissions", "0600")]);
    put_with(&world, "mine", "a", &mine);
    put_with(&world, "shared", "", &[("hdi_isfolder", "true"), ("permissions", "0777")]);
    let asked = Asked::new(&world);
    // The box itself is 0755 and somebody else's.
    assert_eq!(asked.copy(&world, "one/box/open", "new"), Err(libc::EACCES));
    assert_eq!(asked.copy(&world, "one/box/open", "mine"), Ok(()));
    assert_eq!(asked.copy(&world, "one/box/closed", "mine"), Err(libc::EACCES));
    assert_eq!(asked.copy(&world, "one/box/mine", "open"), Err(libc::EACCES));
    let url = format!("{}/box/closed", world.store.endpoint(ONE));
    assert_eq!(asked.copy(&world, &url, "mine"), Err(libc::EACCES), "a URL does not lead around the modes");
    assert!(!world.is_stored("new"));
    let closed = world.block_on(asked.fs.lookup(asked.box_, "closed")).unwrap().ino;
    let abort = world.block_on(asked.fs.control().abort_as(closed, None, &Credentials::new(4242, 4242, 0)));
    assert_eq!(abort.unwrap_err().errno(), libc::EACCES);
}

#[test]
fn trees_are_copied_as_far_as_the_modes_allow() {
    let world = World::new();
    let closed = [("permissions", "0600")];
    let folder = |mode| [("hdi_isfolder", "true"), ("permissions", mode)];
    put_with(&world, "src/a", "a", &[]);
    put_with(&world, "src/secret", "a", &closed);
    put_with(&world, "src/private", "", &folder("0700"));
    put_with(&world, "src/private/x", "a", &[]);
    put_with(&world, "dst", "", &folder("0777"));
    put_with(&world, "dst/sub", "", &folder("0755"));
    put_with(&world, "src/sub/new", "a", &[]);
    put_with(&world, "src/held", "a", &[]);
    put_with(&world, "dst/held", "old", &[]);
    let asked = Asked::new(&world);
    let refused = asked.tree(&world, "one/box/src", "copy");
    assert_eq!(errno(refused.get("copy")), Some(libc::EACCES), "{refused:?}");
    // Into a directory that everybody may write to.
    let dst = world.block_on(asked.fs.lookup(asked.box_, "dst")).unwrap().ino;
    let outcomes = Asked { fs: asked.fs.clone(), box_: dst }.tree(&world, "one/box/src", "");
    assert!(matches!(outcomes["a"], Outcome::Copied(_)), "{outcomes:?}");
    for name in ["secret", "private", "sub/new", "held"] {
        assert_eq!(errno(outcomes.get(name)), Some(libc::EACCES), "{name}: {outcomes:?}");
    }
    assert!(!outcomes.contains_key("private/x"), "what is in it is not even named");
    assert!(world.is_stored("dst/a") && !world.is_stored("dst/private/x") && !world.is_stored("dst/sub/new"));
    assert_eq!(world.stored("dst/held"), "old");
    // Once more: it is all there that may be.
    let outcomes = Asked { fs: asked.fs, box_: dst }.tree(&world, "one/box/src", "");
    assert!(matches!(outcomes["a"], Outcome::Skipped(Skip::Same)), "{outcomes:?}");
}

#[test]
fn a_directory_without_a_marker_is_as_closed_as_the_mount_makes_it() {
    let world = World::new();
    let folder = [("hdi_isfolder", "true"), ("permissions", "0777")];
    put_with(&world, "src", "", &folder);
    put_with(&world, "src/sub/new", "a", &[]);
    put_with(&world, "src/a", "a", &[]);
    put_with(&world, "dst", "", &folder);
    put_with(&world, "dst/sub/old", "a", &[]);
    // Others may go through it, and no more.
    let asked = Asked::with(&world, &Setup { dir_mode: 0o711, ..Setup::default() });
    let dst = world.block_on(asked.fs.lookup(asked.box_, "dst")).unwrap().ino;
    put_with(&world, "src/sub", "", &folder);
    let outcomes = Asked { fs: asked.fs, box_: dst }.tree(&world, "one/box/src", "");
    assert!(matches!(outcomes["a"], Outcome::Copied(_)), "{outcomes:?}");
    assert_eq!(errno(outcomes.get("sub/new")), Some(libc::EACCES), "{outcomes:?}");
    assert!(!world.is_stored("dst/sub/new"));
}

#[test]
fn the_interface_refuses_what_it_does_not_know() {
    let world = World::new();
    world.put("d/a", "x");
    let call = |path: &str, flags: u32, source: &str, name: &str| {
        let mut tree = ioctl::Tree::new_zeroed();
        (tree.flags, tree.jobs) = (OrderFlags::from_bits_retain(flags), 4);
        ioctl::set_text(&mut tree.source, source);
        ioctl::set_text(&mut tree.destination, name);
        let directory = File::open(world.here().join(path)).unwrap();
        // SAFETY: the descriptor is open, and `tree` is what this command takes.
        let code = unsafe {
            let fd = std::os::fd::AsRawFd::as_raw_fd(&directory);
            libc::ioctl(fd, libc::c_ulong::from(ioctl::TREE), std::ptr::from_mut(&mut tree))
        };
        if code == 0 { Ok(directory) } else { Err(std::io::Error::last_os_error().raw_os_error().unwrap()) }
    };
    assert_eq!(call(".", 0x1000, "one/box/d", "x").err(), Some(libc::EINVAL));
    assert_eq!(call(".", 0, "one/box/d", "x/y").err(), Some(libc::EINVAL));
    assert_eq!(call(".", 0, "one/box/d", "..").err(), Some(libc::EINVAL));
    assert_eq!(call("d/a", 0, "one/box/d", "x").err(), Some(libc::EBADF), "not a directory");
    assert!(call(".", OrderFlags::RECURSIVE.bits(), "one/box/d", "copy").is_ok());
    let kind = world.here().join("d").metadata().unwrap().is_dir().then_some(FileKind::Directory);
    assert_eq!(kind, Some(FileKind::Directory));
}
