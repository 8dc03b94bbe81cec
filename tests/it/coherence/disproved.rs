//! An answer that disproves what is remembered ends it: the next call goes right, and what needs nothing of what was there goes right at
//! once.
//!
//! The mounts believe for a day what they were told, so nothing here is mended by waiting.

use super::*;

const MIB: usize = 1 << 20;

/// The mount and the kernel know all about these files for a day.
fn known(names: &[&str]) -> World {
    let world = trusting();
    for name in names {
        world.rest_put(name, "one\n");
        world.ok(&format!("cat {name}; stat {name} > /dev/null"));
    }
    world.reset_stats();
    world
}

#[test]
fn a_truncating_open_of_a_file_that_another_client_deleted_makes_it_anew() {
    let world = known(&["ini"]);
    world.rest_delete("ini");
    world.ok("echo two > ini");
    assert_eq!(world.stored("ini"), "two\n");
    assert_eq!(world.ok("cat ini"), "two\n");
}

/// It was empty already, as far as is known here.
#[test]
fn truncating_a_file_that_another_client_has_filled_empties_it() {
    for call in [": > v", "truncate -s 0 v", "exec 5>>v; truncate -s 0 v"] {
        let world = trusting();
        world.rest_put("v", "");
        world.ok("stat v > /dev/null; cat v");
        world.rest_put("v", "theirs\n");
        world.ok(call);
        assert_eq!((world.stored("v").len(), world.ok("cat v").len()), (0, 0), "{call}");
    }
}

#[test]
fn a_truncating_open_of_a_file_that_another_client_changed_replaces_it_and_keeps_its_metadata() {
    let world = known(&["ini"]);
    let client = world.client(ONE);
    world.rest_put("ini", "theirs\n");
    let metadata = [("owner_of_it", "them")].into_iter().collect();
    world.block_on(client.blob(&path("ini")).set_metadata(&metadata, &WriteOptions::default())).unwrap();
    world.ok("echo two > ini");
    assert_eq!(world.stored("ini"), "two\n");
    assert_eq!(world.properties(ONE, "ini").unwrap().metadata.get("owner_of_it"), Some("them"));
}

/// More than a block: what is written is staged while the file is open.
#[test]
fn a_long_file_written_over_one_that_another_client_changed_is_stored_too() {
    for deleted in [false, true] {
        let world = known(&["v"]);
        if deleted {
            world.rest_delete("v")
        } else {
            world.rest_put("v", "theirs\n")
        }
        world.ok("head -c 20M /dev/zero > v");
        assert_eq!(world.stored("v").len(), 20 << 20);
    }
}

#[test]
fn what_is_appended_comes_behind_what_another_client_wrote() {
    let world = known(&["log"]);
    world.rest_put("log", "one\ntheir line\n");
    world.ok("echo two >> log");
    assert_eq!(world.stored("log"), "one\ntheir line\ntwo\n");
    assert_eq!(world.ok("cat log"), "one\ntheir line\ntwo\n");
}

/// What was added is a line more of a file that is gone: it is said, and the next one makes the file.
#[test]
fn what_is_appended_to_a_file_that_is_gone_is_refused_once() {
    let world = known(&["log"]);
    world.rest_delete("log");
    let program = "fd = os.open('log', os.O_WRONLY | os.O_APPEND)\nos.write(fd, b'two\\n')\n\
        try: os.close(fd)\nexcept OSError as e: print(errno.errorcode[e.errno])";
    assert_eq!(python(&world, program), "ESTALE\n");
    assert!(!world.is_stored("log"));
    world.ok("echo three >> log");
    assert_eq!(world.stored("log"), "three\n");
}

/// Two who make one file without asking to be alone go over each other or behind each other, as on a disk; who asks is told.
#[test]
fn a_file_that_another_client_made_meanwhile_is_written_over_or_added_to_or_refused() {
    let world = trusting();
    let expected = [
        ("os.O_CREAT | os.O_TRUNC", "", "ours"),
        ("os.O_CREAT | os.O_APPEND", "", "theirs ours"),
        ("os.O_CREAT | os.O_EXCL", "EEXIST\n", "theirs "),
        ("os.O_CREAT", "EEXIST\n", "theirs "),
    ];
    for (at, (flags, printed, stored)) in expected.into_iter().enumerate() {
        let name = format!("new{at}");
        let program = format!(
            "fd = os.open('{name}', os.O_WRONLY | {flags})\ngate()\nos.write(fd, b'ours')\n\
             try: os.close(fd)\nexcept OSError as e: print(errno.errorcode[e.errno])"
        );
        let ran = Gated::run(&world, &program, || world.rest_put(&name, "theirs "));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), printed), "{flags}: {ran:?}");
        assert_eq!(world.stored(&name), stored, "{flags}");
        eventually("the name that was refused", || world.sh(&format!("cat {name}")).stdout == stored);
    }
}

/// Calls that come by a path are repeated by the kernel: the program notices nothing.
#[test]
fn calls_by_a_path_go_right_at_once_when_another_client_has_changed_the_file() {
    let calls = [
        "chmod 600 v",
        "touch -d @5 v",
        "setfattr -n user.blob.meta.color -v blue v",
        "perl -e 'truncate(\"v\", 3) or die $!'",
        "touch v",
    ];
    for call in calls {
        let world = known(&["v"]);
        world.rest_put("v", "theirs\n");
        world.ok(call);
        let stored = if call.starts_with("perl") { "the" } else { "theirs\n" };
        assert_eq!(world.stored("v"), stored, "{call}");
        assert_eq!(world.ok("cat v"), stored, "{call}");
    }
}

#[test]
fn calls_by_a_path_say_that_a_file_is_gone_and_the_name_is_free_then() {
    let calls = [
        "chmod 600 v",
        "setfattr -n user.blob.meta.color -v blue v",
        "perl -e 'truncate(\"v\", 3) or die $!'",
        "getfattr -n user.blob.copy.id v",
    ];
    for call in calls {
        let world = known(&["v"]);
        world.rest_delete("v");
        let ran = world.sh(call);
        assert!(ran.stderr.contains("No such file"), "{call}: {ran:?}");
        eventually("a directory in its place", || world.sh("mkdir v").code == Some(0));
    }
}

/// Who has written to it sees it under its name and may remove it; who has not hears that it is gone, and what he writes later is refused.
#[test]
fn a_file_that_another_client_deleted_is_removed_where_it_has_been_written_to() {
    let told = "def told(call):\n try: print(call())\n except OSError as e: print(errno.errorcode[e.errno])\n";
    let (write, unlink) = ("told(lambda: os.pwrite(fd, b'mine', 0))", "told(lambda: os.unlink('v'))");
    let written = format!("{write}\ngate()\n{unlink}");
    let unwritten = format!("gate()\n{unlink}\n{write}");
    for (calls, said) in [(written, "4\nNone\nNone\n"), (unwritten, "ENOENT\nESTALE\nNone\n")] {
        let world = known(&["v"]);
        let program = format!("{told}fd = os.open('v', os.O_RDWR)\n{calls}\ntold(lambda: os.close(fd))");
        let ran = Gated::run(&world, &program, || world.rest_delete("v"));
        assert_eq!(ran.stdout, said, "{ran:?}");
        assert!(!world.is_stored("v"));
    }
}

/// The service says of a range that it should copy only that the source is not there (S17), which is the file itself, or another one.
#[test]
fn ranges_of_a_file_that_another_client_deleted_or_changed_are_copied_from_no_more() {
    let told = "def told(call):\n try: print(call())\n except OSError as e: print(errno.errorcode[e.errno])\n";
    let opens = "i, o = os.open('from', os.O_RDONLY), os.open('v', os.O_RDWR)";
    let (copies, closes) = ("told(lambda: os.copy_file_range(i, o, 3, 1, 600000))", "told(lambda: os.close(o))");
    for gone in ["v", "from"] {
        for deleted in [true, false] {
            let world = trusting();
            for name in ["v", "from"] {
                world.rest_put(name, vec![b'o'; MIB]);
            }
            // What is copied into the middle of `v` needs the rest of it when it is stored.
            let calls = match gone {
                "v" => format!("{copies}\ngate()\n{closes}"),
                _ => format!("gate()\n{copies}\n{closes}"),
            };
            let said = "3\nESTALE\n";
            let ran = Gated::run(&world, &format!("{told}{opens}\n{calls}"), || match deleted {
                true => world.rest_delete(gone),
                false => world.rest_put(gone, "theirs\n"),
            });
            assert_eq!(ran.stdout, said, "{gone}, {deleted}: {ran:?}");
            match deleted {
                true => assert!(world.sh(&format!("cat {gone}")).stderr.contains("No such file"), "{gone}"),
                false => assert_eq!(world.ok(&format!("cat {gone}")), "theirs\n"),
            }
        }
    }
}

#[test]
fn a_read_that_finds_the_file_gone_frees_its_name() {
    let makes = ["mkdir v && rmdir v", "ln -s a v", "mkfifo v", "mv other v", "touch v"];
    for make in makes {
        let world = known(&["other"]);
        world.rest_put("v", vec![b'x'; 9 << 20]);
        world.ok("stat v > /dev/null");
        world.rest_delete("v");
        assert!(world.sh("cat v").stderr.contains("Stale file handle"), "{make}");
        eventually(make, || world.sh(make).code == Some(0));
    }
}

/// The second try of whatever failed goes right; before, it failed for as long as the mount believed what was disproved.
#[test]
fn a_copy_from_or_onto_a_file_that_another_client_changed() {
    let world = known(&["from", "onto"]);
    world.rest_put("onto", "theirs\n");
    world.ok("cp from onto");
    assert_eq!(world.stored("onto"), "one\n");
    world.rest_delete("onto");
    world.ok("cp from onto");
    assert_eq!(world.stored("onto"), "one\n");
    world.rest_put("from", "theirs\n");
    let ran = world.sh("cp from onto");
    assert!(ran.code == Some(0) || ran.stderr.contains("Stale file handle"), "{ran:?}");
    world.ok("cp from onto");
    assert_eq!(world.stored("onto"), "theirs\n");
    world.rest_delete("from");
    let ran = world.sh("cp from onto");
    assert_ne!(ran.code, Some(0));
    assert!(world.sh("cp from onto").stderr.contains("No such file"));
    let stats = world.stats();
    assert_eq!(stats.body_bytes_out, 0, "{stats:?}");
}

#[test]
fn a_rename_of_or_onto_a_file_that_another_client_changed() {
    let world = known(&["a", "b"]);
    world.rest_put("a", "their a\n");
    world.ok("mv a c");
    assert_eq!((world.stored("c").as_ref(), world.ok("cat c").as_str()), (b"their a\n".as_ref(), "their a\n"));
    world.rest_put("b", "their b\n");
    world.ok("mv c b");
    assert_eq!((world.stored("b").as_ref(), world.ok("cat b").as_str()), (b"their a\n".as_ref(), "their a\n"));
    world.rest_delete("b");
    assert!(world.sh("mv b d").stderr.contains("No such file"));
    eventually("the old name is gone", || !world.here().join("b").exists());
}
