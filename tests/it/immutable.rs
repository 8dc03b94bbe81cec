//! Containers that keep their blobs as they were made: by a time-based policy, a legal hold, or each version for itself.

use std::time::Duration;

use blobcp::devstore::{AccountConfig, Choice, Immutability};

use crate::common::*;

const POLICY: Immutability =
    Immutability { days: Some(7), locked: false, legal_hold: false, appends: false, versions: false };
const HOLD: Immutability = Immutability { days: None, legal_hold: true, ..POLICY };
const VERSIONS: Immutability = Immutability { days: None, versions: true, ..POLICY };

/// A world whose `one/box` holds what `files` say and keeps it from then on.
fn keeping(rules: Immutability, files: &[(&str, &str)]) -> World {
    keeping_in(World::new(), rules, files)
}

fn keeping_in(world: World, rules: Immutability, files: &[(&str, &str)]) -> World {
    for (name, content) in files {
        world.put(name, (*content).to_owned());
    }
    world.store.keep(ONE, BOX, rules).unwrap();
    world.reset_stats();
    world
}

/// The root of the mount is a directory of the container.
fn of_a_directory() -> Setup {
    let container = blobcp::path::ContainerName::parse(BOX).unwrap();
    let (account, prefix) = (blobcp::fs::AccountId(0), "d/".to_owned());
    let root = blobcp::fs::Place::Directory(blobcp::fs::BlobDir { account, container, prefix });
    Setup { root, ..Setup::default() }
}

/// How often the service was asked for an operation.
fn count(world: &World, operation: &str) -> u64 {
    world.stats().requests.get(operation).copied().unwrap_or(0)
}

/// Writes of content or attributes, which commit something.
fn commits(world: &World) -> u64 {
    ["PutBlob", "PutBlockList", "CopyBlob", "SetBlobMetadata", "SetBlobProperties"]
        .iter()
        .map(|name| count(world, name))
        .sum()
}

#[track_caller]
fn refused(world: &World, command: &str) {
    let ran = world.sh(command);
    assert!(ran.code != Some(0) && ran.stderr.contains("Operation not permitted"), "{command}: {ran:?}");
}

// S109, S111, S188
#[test]
fn cat_of_two_files_is_one_commit_of_both() {
    for rules in [POLICY, HOLD] {
        let world = keeping(rules, &[("n1", "first\n"), ("n2", "second\n")]);
        world.ok("cat n1 n2 > new");
        assert_eq!(world.stored("new"), "first\nsecond\n");
        assert_eq!(commits(&world), 1);
        assert_no_payload(&world.stats());
    }
}

// S109
#[test]
fn several_writers_of_one_redirection_are_one_commit() {
    let world = keeping(POLICY, &[]);
    world.ok("(echo a; /bin/echo b; /bin/sh -c 'echo c') > f");
    assert_eq!(world.stored("f"), "a\nb\nc\n");
    world.ok("{ /bin/echo a; /bin/echo b; } > g 2>&1");
    assert_eq!(world.stored("g"), "a\nb\n");
    world.ok("exec 3> h; echo a >&3; /bin/echo b >&3; exec 3>&-; cat h");
    assert_eq!(world.stored("h"), "a\nb\n");
    assert_eq!(commits(&world), 3);
}

// S109: the last that hears of an error has closed it, so it is stored.
#[test]
fn who_goes_on_writing_when_its_opener_has_closed_it_is_refused() {
    let world = keeping(POLICY, &[]);
    let gate = tempfile::tempdir().unwrap();
    let here = gate.path().display();
    std::fs::write(
        gate.path().join("later"),
        format!("until [ -e {here}/open ]; do :; done; /bin/echo later; echo $?"),
    )
    .unwrap();
    let command = format!("exec 3> f; echo first >&3; sh {here}/later >&3 2> {here}/said & exec 3>&-; wait");
    let running = world.start(&command);
    eventually("the first part", || world.is_stored("f"));
    std::fs::write(gate.path().join("open"), "").unwrap();
    running.wait();
    assert!(std::fs::read_to_string(gate.path().join("said")).unwrap().contains("Operation not permitted"));
    assert_eq!((world.stored("f"), commits(&world)), ("first\n".into(), 1));
    // Where it is the last to close, all of it is stored.
    world
        .ok("(echo first; sh -c 'echo later' & wait) > g; exec 3> h; echo first >&3; echo later >&3 & wait; exec 3>&-");
    assert_eq!((world.stored("g"), world.stored("h")), ("first\nlater\n".into(), "first\nlater\n".into()));
}

// S109
#[test]
fn what_is_mapped_is_stored_when_it_is_not_mapped_any_more() {
    let world = keeping(POLICY, &[]);
    world.ok("python3 -I -c \"import mmap, os
f = os.open('f', os.O_RDWR | os.O_CREAT)
os.ftruncate(f, 5)
m = mmap.mmap(f, 5)
os.close(f)
m[:] = b'later'
m.close()\"");
    eventually("the file", || world.is_stored("f"));
    assert_eq!((world.stored("f"), commits(&world)), ("later".into(), 1));
}

// S109
#[test]
fn nothing_is_begun_where_it_is_not_known_what_the_container_keeps() {
    let world = World::with(of_a_directory());
    world.put("d/x", "content");
    world
        .store
        .add_fault(fault(r#"{"operation":"GetContainerProperties","status":500,"code":"InternalError","count":9}"#));
    let root = world.root().to_owned();
    let ran = start_in(&root, "mv x z").wait();
    assert!(ran.code == Some(1) && ran.stderr.contains("Input/output error"), "{ran:?}");
    assert_eq!(count(&world, "CopyBlob"), 0);
}

// S109
#[test]
fn cp_p_stores_mode_and_time_with_the_content() {
    let world = keeping(POLICY, &[]);
    let outside = tempfile::tempdir().unwrap();
    let source = outside.path().join("source");
    std::fs::write(&source, "content").unwrap();
    world.ok(&format!("chmod 640 {0}; touch -d 2001-02-03T04:05:06Z {0}; cp -p {0} f", source.display()));
    assert_eq!(world.ok("stat -c '%a %Y' f"), "640 981173106\n");
    assert_eq!(commits(&world), 1);
    // And of a file that is there already, without moving it.
    world.reset_stats();
    world.ok("cp -p f g");
    assert_eq!(world.ok("stat -c '%a %Y' g; cat g"), "640 981173106\ncontent");
    assert_eq!((commits(&world), count(&world, "PutBlockFromURL")), (1, 1));
}

#[test]
fn cp_brings_along_what_a_copy_by_the_service_would() {
    let world = World::new();
    world.put("a", "text");
    world.ok("setfattr -n user.blob.meta.color -v blue a; setfattr -n user.blob.tag.team -v red a");
    world.ok("setfattr -n user.blob.content_type -v text/html a");
    let world = keeping_in(world, POLICY, &[]);
    world.mount().fs.tree().invalidate_all();
    let elsewhere = world.mounted_elsewhere(&Setup::default());
    let there = elsewhere.here();
    start_in(&there, "cp a b; cp -a a c").wait();
    for name in ["b", "c"] {
        assert_eq!(world.stored(name), "text");
        let file = there.join(name);
        assert_eq!(attribute(&file, "meta.color").as_deref(), Some("blue"), "{name}");
        assert_eq!(attribute(&file, "tag.team").as_deref(), Some("red"), "{name}");
        assert_eq!(attribute(&file, "content_type").as_deref(), Some("text/html"), "{name}");
    }
}

// S109, S110
#[test]
fn mv_is_refused_before_anything_is_copied() {
    for rules in [POLICY, HOLD] {
        let world = keeping(rules, &[("x", "content"), ("d/e", "below"), ("old", "old")]);
        for command in ["mv x y", "mv -f x old", "mv d e"] {
            refused(&world, command);
        }
        assert_eq!((count(&world, "CopyBlob"), count(&world, "SnapshotBlob"), count(&world, "DeleteBlob")), (0, 0, 0));
        assert_eq!(world.ok("ls"), "d\nold\nx\n");
        assert_eq!(world.stored("old"), "old");
    }
}

#[test]
fn mv_into_a_container_that_keeps_copies_once_and_removes() {
    let world = keeping(POLICY, &[]);
    world.store.put_blob(ONE, "free", "x", "content".into(), "text/plain").unwrap();
    world.ok("touch -d 2001-02-03 ../free/x; mv ../free/x x");
    assert_eq!(world.stored("x"), "content");
    assert_eq!(world.ok("stat -c %y x | cut -c1-10; ls ../free"), "2001-02-03\n");
}

// S113
#[test]
fn a_container_that_keeps_something_is_not_removed() {
    let locked = Immutability { locked: true, ..POLICY };
    for rules in [locked, HOLD, VERSIONS] {
        let world = World::new();
        world.store.create_container(ONE, "kept").unwrap();
        world.store.keep(ONE, "kept", rules).unwrap();
        world.ok("ls -l .. ../kept");
        world.reset_stats();
        if rules.versions {
            refused(&world, "rmdir ../kept");
        } else {
            // There is something in it by now, which the mount has not seen.
            let held = world.stop(blobcp::devstore::Fault::on("DeleteContainer"));
            let rmdir = world.start("rmdir ../kept");
            held.reached();
            world.store.put_blob(ONE, "kept", "theirs", "content".into(), "text/plain").unwrap();
            held.let_go();
            let rmdir = rmdir.wait();
            assert!(rmdir.stderr.contains("Operation not permitted"), "{rmdir:?}");
            assert_eq!(world.store.content(ONE, "kept", "theirs").unwrap(), "content");
            world.mount().fs.tree().invalidate_all();
            world.reset_stats();
            let rmdir = world.sh("rmdir ../kept");
            assert!(rmdir.stderr.contains("Directory not empty"), "{rmdir:?}");
            assert_eq!(count(&world, "DeleteContainer"), 0);
        }
        assert_eq!(count(&world, "DeleteBlob"), 0);
        assert_eq!(world.ok("ls .."), "box\nkept\n");
    }
}

// S109, S188
#[test]
fn what_is_there_is_neither_written_nor_removed() {
    for rules in [POLICY, HOLD] {
        let world = keeping(rules, &[("x", "content")]);
        world.ok("mkdir d");
        for command in [
            "echo more >> x",
            "echo other > x",
            "truncate -s 3 x",
            "chmod 600 x",
            "touch x",
            "rm -f x",
            "rmdir d",
            "cp --remove-destination d/../x d/../x2 && cp x2 x",
            "dd if=/dev/zero of=x bs=1 count=1 conv=notrunc status=none",
            "setfattr -n user.blob.meta.a -v b x",
        ] {
            refused(&world, command);
        }
        assert_eq!(world.stored("x"), "content");
    }
}

// S189
#[test]
fn what_has_run_out_can_be_removed_and_made_anew() {
    let world = keeping(POLICY, &[("x", "content")]);
    world.ok("mkdir d");
    world.store.age_retention(Duration::from_secs(8 * 24 * 3600));
    refused(&world, "echo other > x");
    refused(&world, "chmod 600 x");
    world.ok("rm x; rmdir d; echo other > x");
    assert_eq!(world.stored("x"), "other\n");
}

// S111
#[test]
fn what_is_made_empty_can_still_be_filled() {
    let world = keeping(POLICY, &[]);
    world.ok("touch f; echo x > f");
    assert_eq!(world.stored("f"), "x\n");
    world.ok(": > g; echo y >> g; touch -d 2001-02-03 h; chmod 600 h; echo z >> h");
    assert_eq!((world.stored("g"), world.stored("h")), ("y\n".into(), "z\n".into()));
    assert_eq!(world.ok("stat -c %a h"), "600\n");
    assert_eq!(commits(&world), 3);
    // An empty file is stored when somebody wants that, or at the end.
    python(&world, "f = os.open('synced', os.O_WRONLY | os.O_CREAT); os.fsync(f); os.close(f)");
    assert!(world.is_stored("synced"));
    world.ok("touch empty; ls empty; rm -f gone; touch gone; rm gone");
    assert!(!world.is_stored("empty"));
    assert_eq!(world.block_on(world.mount().fs.ending().flush_all()), [""; 0]);
    assert!(world.is_stored("empty") && !world.is_stored("gone"));
}

// S109
#[test]
fn after_fsync_nothing_can_be_added() {
    let world = keeping(POLICY, &[]);
    python(
        &world,
        "f = os.open('f', os.O_WRONLY | os.O_CREAT)
os.write(f, b'first')
os.fchmod(f, 0o600)
os.fsync(f)
for change in (lambda: os.write(f, b'second'), lambda: os.ftruncate(f, 1), lambda: os.fchmod(f, 0o644)):
    try: change()
    except PermissionError as error: assert error.errno == errno.EPERM
    else: raise Exception('it was taken')
os.close(f)",
    );
    assert_eq!(world.stored("f"), "first");
    assert_eq!(world.ok("stat -c %a f"), "600\n");
}

#[test]
fn a_file_of_many_blocks_is_staged_and_committed_once() {
    let world = keeping(POLICY, &[]);
    let content = pattern(20 << 20);
    python(
        &world,
        "f = os.open('f', os.O_RDWR | os.O_CREAT)
for i in range(20): os.write(f, b'%c' % (65 + i) * (1 << 20))
try: os.pwrite(f, b'x', 0)
except OSError as error: assert error.errno == errno.EBUSY, error
else: raise Exception('what is staged was changed')
os.close(f)",
    );
    assert_eq!(world.stored("f").len(), content.len());
    assert_eq!((count(&world, "PutBlockList"), commits(&world)), (1, 1));
}

#[test]
fn little_memory_is_no_reason_to_commit() {
    let world = keeping_in(World::with(Setup { memory_limit: 96 << 20, ..Default::default() }), POLICY, &[]);
    // In many places, so that no block fills up by itself.
    python(
        &world,
        "f = os.open('f', os.O_WRONLY | os.O_CREAT)
for i in range(160): os.pwrite(f, b'%c' % (65 + i % 20) * (1 << 20), i * (2 << 20))
os.close(f)",
    );
    assert_eq!(commits(&world), 1);
    let stored = world.stored("f");
    assert_eq!(stored.len(), (159 << 21) + (1 << 20));
    for i in 0..160 {
        assert!(stored[i << 21..(i << 21) + (1 << 20)].iter().all(|byte| usize::from(*byte) == 65 + i % 20), "{i}");
    }
}

#[test]
fn tar_stores_each_file_once() {
    let world = keeping(POLICY, &[]);
    let outside = tempfile::tempdir().unwrap();
    let archive = "echo one > 1; echo two > 2; : > 3; touch -d 2001-02-03 1 2 3; tar cf t.tar 1 2 3";
    start_in(outside.path(), archive).wait();
    world.ok(&format!("tar xf {}/t.tar", outside.path().display()));
    assert_eq!((world.stored("1"), world.stored("2")), ("one\n".into(), "two\n".into()));
    assert_eq!(world.ok("stat -c %y 1 3 | cut -c1-10"), "2001-02-03\n2001-02-03\n");
    assert_eq!(commits(&world), 2);
}

/// README says by which flags; rsync sets modes and times by name, after it has closed what it has written.
#[test]
fn rsync_stores_each_file_once_with_the_flags_that_are_documented() {
    let ignoring = Setup { permissions: blobcp::fs::Permissions::Ignore, ..Default::default() };
    for (setup, flags) in [(Setup::default(), "-r --inplace --chmod=F600"), (ignoring, "-r --inplace")] {
        let world = keeping_in(World::with(setup), POLICY, &[]);
        let outside = tempfile::tempdir().unwrap();
        start_in(
            outside.path(),
            "umask 022; mkdir d; echo one > 1; echo two > d/2; chmod 751 d; touch -d 2001-02-03 1",
        )
        .wait();
        world.ok(&format!("rsync {flags} {}/ r/", outside.path().display()));
        assert_eq!((world.stored("r/1"), world.stored("r/d/2")), ("one\n".into(), "two\n".into()), "{flags}");
        // Each directory and each file.
        assert_eq!(commits(&world), 4, "{flags}: {:?}", world.stats().requests);
        // What is there already is skipped, and nothing is refused.
        world.ok(&format!("rsync {flags} --size-only {}/ r/", outside.path().display()));
        assert_eq!(commits(&world), 4, "{flags}");
        // Others say so, and what they have stored is whole.
        let ran = world.sh(&format!("rsync -rt --inplace {}/1 t", outside.path().display()));
        assert!(ran.code == Some(23) && ran.stderr.contains("Operation not permitted"), "{ran:?}");
        assert_eq!(world.stored("t"), "one\n");
    }
}

#[test]
fn a_reader_meanwhile_is_told_to_wait() {
    let world = keeping(POLICY, &[]);
    world.ok("exec 3> f; head -c 20000000 /dev/zero >&3; cat f 2>/dev/null && exit 1; exec 3>&-; cmp -n 20000000 f /dev/zero");
    assert_eq!(commits(&world), 1);
}

/// A world whose service answers so, and keeps `one/box` from then on.
fn answering(choices: &[&str], rules: Immutability, files: &[(&str, &str)]) -> World {
    keeping_in(World::answering(choices.iter().map(|choice| choice.parse::<Choice>().unwrap())), rules, files)
}

// S110
#[test]
fn a_service_that_makes_no_copies_and_sets_no_attributes_there_is_no_harm() {
    let refusing = ["copy-into-immutable=refused", "attributes-of-immutable=refused"];
    let world = answering(&refusing, POLICY, &[("n1", "first\n"), ("n2", "second\n")]);
    world.ok("cat n1 n2 > new; cp -p n1 copy; (echo a; echo b) > f");
    assert_eq!((world.stored("new"), world.stored("copy")), ("first\nsecond\n".into(), "first\n".into()));
    refused(&world, "setfattr -n user.blob.tier -v Cool n1");
    refused(&world, "setfattr -n user.blob.tag.team -v red n1");
    // Copy Blob is what this asks for, and it is not made in another way.
    refused(&world, &format!("{} cp n1 ordered", env!("CARGO_BIN_EXE_blobcp")));
    assert!(!world.is_stored("ordered"));
    // Where the service allows it, it is one request.
    let world = answering(&[], POLICY, &[("n1", "first\n")]);
    world.ok(&format!("{} cp n1 ordered; setfattr -n user.blob.tier -v Cool n1", env!("CARGO_BIN_EXE_blobcp")));
    assert_eq!((world.stored("ordered"), commits(&world)), ("first\n".into(), 1));
}

// S188
#[test]
fn append_blobs_grow_where_the_policy_allows_it() {
    for (appends, grows) in [(true, true), (false, false)] {
        let world = World::new();
        world
            .block_on(
                world.client(ONE).blob(&path("log")).append_blob().create(&Default::default(), &Default::default()),
            )
            .unwrap();
        let world = keeping_in(world, Immutability { appends, ..POLICY }, &[]);
        let ran = world.sh("echo line | dd of=log oflag=append conv=notrunc status=none");
        assert_eq!(ran.code == Some(0), grows, "{ran:?}");
        assert_eq!(world.stored("log"), if grows { "line\n" } else { "" });
    }
}

#[test]
fn the_answer_to_the_one_commit_may_be_lost() {
    // S109: when it is sent again, the service says that what is there cannot be changed.
    let world = keeping(POLICY, &[]);
    world.store.add_fault(fault(r#"{"operation":"PutBlob","reset":"after"}"#));
    world.ok("echo x > f");
    assert_eq!(world.stored("f"), "x\n");
}

#[test]
fn a_hold_that_comes_later_is_learnt_by_its_refusals() {
    let world = World::new();
    world.put("x", "content");
    world.ok("ls -l; echo a > free");
    world.store.keep(ONE, BOX, HOLD).unwrap();
    refused(&world, "rm -f x");
    world.reset_stats();
    refused(&world, "mv x y");
    assert_eq!(count(&world, "CopyBlob"), 0);
    world.ok("cat x free > joined");
    assert_eq!(world.stored("joined"), "contenta\n");
}

#[test]
fn a_mounted_directory_asks_its_container_once() {
    let world = World::with(of_a_directory());
    world.store.keep(ONE, BOX, POLICY).unwrap();
    let root = world.root().to_owned();
    let ran = start_in(&root, "echo a > f; echo b > g; cat f g > h; mv f i").wait();
    assert!(ran.stderr.contains("Operation not permitted"), "{ran:?}");
    assert_eq!(world.stored("d/h"), "a\nb\n");
    assert_eq!(count(&world, "GetContainerProperties"), 1);
}

/// A world whose account keeps versions, and whose container keeps each for itself.
fn with_versions() -> World {
    let mut setup = Setup::default();
    setup.devstore.accounts = vec![AccountConfig::versioned(ONE), AccountConfig::named(TWO)];
    keeping_in(World::with(setup), VERSIONS, &[("x", "content"), ("d/y", "below")])
}

// S114, S185, S186
#[test]
fn policy_and_hold_of_a_version_are_attributes() {
    let world = with_versions();
    let file = world.here().join("x");
    assert_eq!((attribute(&file, "legal_hold"), attribute(&file, "immutability_until")), (None, None));
    world.ok("setfattr -n user.blob.legal_hold -v true x; setfattr -n user.blob.immutability_until -v 2099-01-02T03:04:05Z x");
    assert_eq!(attribute(&file, "legal_hold").as_deref(), Some("true"));
    assert_eq!(attribute(&file, "immutability_until").as_deref(), Some("Fri, 02 Jan 2099 03:04:05 GMT"));
    assert_eq!(attribute(&file, "immutability_mode").as_deref(), Some("unlocked"));
    // A copy of all attributes takes neither along.
    assert!(!world.ok("getfattr x").contains("legal_hold"));
    world.ok("cp -a x w; rm w");
    // Where the attributes are shown, a value can be written back.
    world.ok("setfattr -n user.blob.immutability_until -v 'Fri, 02 Jan 2099 03:04:05 GMT' x");
    refused(&world, "rm -f x");
    refused(&world, "mv x z");
    world.ok("setfattr -n user.blob.legal_hold -v false x; setfattr -x user.blob.immutability_until x");
    assert_eq!(attribute(&file, "immutability_until"), None);
    world.ok("mv x z; rm z");
}

// S187, S190
#[test]
fn where_versions_are_kept_files_are_written_as_ever() {
    let world = with_versions();
    world.ok("setfattr -n user.blob.legal_hold -v true x; echo more >> x; echo other > d/y; chmod 600 d/y");
    assert_eq!((world.stored("x"), world.stored("d/y")), ("contentmore\n".into(), "other\n".into()));
    world.ok("setfattr -n user.blob.legal_hold -v true d/y");
    world.reset_stats();
    refused(&world, "mv d e");
    assert_eq!(count(&world, "CopyBlob"), 0);
}

// S190
#[test]
fn metadata_of_a_held_version_are_set_or_refused() {
    for (answer, is_refused) in [("allowed", false), ("refused", true)] {
        let mut setup = Setup::default();
        setup.devstore.accounts = vec![AccountConfig::versioned(ONE), AccountConfig::named(TWO)];
        let choice: Choice = format!("metadata-of-protected-version={answer}").parse().unwrap();
        setup.devstore.answers = [choice].into_iter().collect();
        let world = keeping_in(World::with(setup), VERSIONS, &[("x", "content")]);
        world.ok("setfattr -n user.blob.legal_hold -v true x");
        let ran = world.sh("chmod 600 x");
        assert_eq!(ran.stderr.contains("Operation not permitted"), is_refused, "{ran:?}");
        // Content is another version in any case.
        world.ok("echo other > x");
        assert_eq!(world.stored("x"), "other\n");
    }
}

#[test]
fn attributes_of_immutability_are_set_where_versions_are_kept_and_nowhere_else() {
    let world = World::new();
    world.put("x", "content");
    let ran = world.sh("setfattr -n user.blob.legal_hold -v true x");
    assert!(ran.stderr.contains("Operation not supported"), "{ran:?}");
    for wrong in ["-n user.blob.legal_hold -v maybe", "-n user.blob.immutability_until -v tomorrow"] {
        assert!(world.sh(&format!("setfattr {wrong} x")).stderr.contains("Invalid argument"), "{wrong}");
    }
}
