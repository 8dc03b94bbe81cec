//! What stat says of a file: its kind, its owner, its times, its links. What is to be kept is in the blob's metadata, and costs no
//! request of its own.

use std::os::unix::fs::MetadataExt;

use blobcp::store::{BlobSettings, WriteOptions};
use bytes::Bytes;

use crate::common::*;

/// Runs as nobody, who is in no group but his own.
const NOBODY: &str = "setpriv --reuid 65534 --regid 65534 --clear-groups";

fn is_root() -> bool {
    // SAFETY: it only reads the process's credentials.
    unsafe { libc::geteuid() == 0 }
}

fn metadata(world: &World, name: &str, key: &str) -> Option<String> {
    world.properties(ONE, name).unwrap().metadata.get(key).map(str::to_owned)
}

// Kinds

#[test]
fn fifos_and_sockets_are_blobs_that_say_so() {
    let world = World::new();
    world.ok("ls -a");
    world.reset_stats();
    world.ok("mkfifo -m 640 f");
    assert_eq!((world.stats().requests("PutBlob"), world.stats().total), (1, 1), "{:?}", world.stats());
    world.ok("python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('s')\"");
    assert_eq!(world.ok("stat -c '%n %F %a %s' f"), "f fifo 640 0\n");
    assert_eq!(world.ok("stat -c '%n %F %s' s; find . -type p -o -type s | sort"), "s socket 0\n./f\n./s\n");
    assert_eq!(metadata(&world, "f", "is_fifo").as_deref(), Some("true"));
    assert_eq!(metadata(&world, "s", "is_socket").as_deref(), Some("true"));
    // What goes through it is the kernel's business, and no request of ours.
    world.reset_stats();
    assert_eq!(world.ok("ls -l > /dev/null; echo through > f & cat f; wait"), "through\n");
    assert_no_payload(&world.stats());
    // It is a name like others.
    world.ok("chmod 600 f; mkdir d; mv f d/g; mv d e; test -p e/g");
    assert_eq!(world.ok("stat -c %a e/g"), "600\n");
    assert!(metadata(&world, "e/g", "is_fifo").is_some());
    world.ok("cp -a e copy; test -p copy/g; rm e/g s");
    assert!(!world.is_stored("e/g") && !world.is_stored("s"));
}

#[test]
fn kinds_that_other_tools_wrote_are_shown_and_content_is_never_hidden_by_them() {
    let world = World::new();
    let settings = BlobSettings { metadata: [("is_fifo", "true")].into_iter().collect(), ..Default::default() };
    for (name, content) in [("fifo", ""), ("file", "content")] {
        let put = world.block_on(world.client(ONE).blob(&path(name)).block_blob().upload(
            Bytes::from(content),
            &settings,
            &WriteOptions::default(),
        ));
        put.unwrap();
    }
    world.ok("test -p fifo; test -f file");
    assert_eq!(world.ok("cat file; ls -l | cut -c 1 | tail -n 2"), "contentp\n-\n");
}

#[test]
fn devices_are_kept_and_stay_shut() {
    if !is_root() {
        return;
    }
    let world = World::new();
    world.ok("mknod c c 1 3; mknod b b 259 70000");
    assert_eq!(world.ok("stat -c '%F %Hr:%Lr' c b"), "character special file 1:3\nblock special file 259:70000\n");
    assert_eq!(metadata(&world, "c", "posix_rdev").as_deref(), Some("259"));
    assert!(metadata(&world, "b", "is_block_dev").is_some());
    // Mounts of FUSE are nodev.
    assert!(world.sh("cat c").stderr.contains("Permission denied"));
    world.ok("tar -cf t.tar c b; rm c b; tar -xf t.tar; test -c c; test -b b");
}

// Owners

#[test]
fn what_is_made_belongs_to_whoever_makes_it() {
    if !is_root() {
        return;
    }
    let world = World::with(Setup { allow_other: true, ..Default::default() });
    world.ok("mkdir -m 1777 d; ls -a d");
    world.reset_stats();
    world.ok(&format!("cd d; {NOBODY} sh -c 'echo x > f; mkdir s; ln -s f l; mkfifo p'"));
    assert_eq!(world.stats().requests("PutBlob"), 4, "{:?}", world.stats());
    assert_eq!(world.stats().requests("SetBlobMetadata"), 0, "{:?}", world.stats());
    assert_eq!(world.ok("stat -c %u:%g d/f d/s d/l d/p"), "65534:65534\n".repeat(4));
    assert_eq!(
        (metadata(&world, "d/f", "owner"), metadata(&world, "d/f", "group")),
        (Some("65534".into()), Some("65534".into()))
    );
    // A sticky directory keeps others' files.
    world.ok("echo mine > d/mine; chmod 666 d/mine");
    assert!(world.sh(&format!("{NOBODY} rm -f d/mine")).stderr.contains("Operation not permitted"));
    world.ok(&format!("{NOBODY} rm d/f"));
    assert!(world.is_stored("d/mine") && !world.is_stored("d/f"));
}

#[test]
fn a_program_that_others_write_to_loses_its_special_bits() {
    if !is_root() {
        return;
    }
    let world = World::with(Setup { allow_other: true, ..Default::default() });
    for (mode, left) in [("6777", "777"), ("2767", "2767"), ("4766", "766"), ("1777", "1777")] {
        world.ok(&format!("echo x > f; chmod {mode} f"));
        world.ok("echo y >> f");
        assert_eq!(world.ok("stat -c %a f"), format!("{mode}\n"), "root may");
        for command in ["echo z >> f", "echo z 1<> f"] {
            world.ok(&format!("chmod {mode} f; {NOBODY} sh -c '{command}'"));
            assert_eq!(world.ok("stat -c %a f"), format!("{left}\n"), "{command}");
        }
        assert!(metadata(&world, "f", "permissions").is_some_and(|kept| kept.ends_with(left)), "{mode}");
    }
}

#[test]
fn a_directory_with_the_setgid_bit_hands_down_its_group() {
    if !is_root() {
        return;
    }
    let world = World::new();
    world.ok("mkdir d; chgrp 100 d; chmod 2775 d; echo x > d/f; mkdir -m 755 d/s; echo x > d/s/g");
    assert_eq!(world.ok("stat -c '%g %a' d/f d/s d/s/g"), "100 644\n100 2755\n100 644\n");
    assert_eq!(metadata(&world, "d/f", "group").as_deref(), Some("100"));
}

#[test]
fn containers_keep_mode_owner_and_time_in_their_metadata() {
    let world = World::new();
    let container = blobcp::path::ContainerName::parse(BOX).unwrap();
    let kept = || world.block_on(world.client(ONE).container(&container).properties()).unwrap().metadata;
    let purpose = [("purpose", "test")].into_iter().collect();
    world.block_on(world.client(ONE).container(&container).set_metadata(&purpose)).unwrap();
    world.ok("stat .");
    world.reset_stats();
    world.ok("chmod 1770 .; touch -d '2001-01-01 UTC' .");
    assert_eq!(world.stats().requests("SetContainerMetadata"), 2, "{:?}", world.stats());
    assert_eq!(world.ok("stat -c '%a %Y' ."), "1770 978307200\n");
    assert_eq!((kept().get("permissions"), kept().get("purpose")), (Some("01770"), Some("test")));
    // One that is made says so with its first request, and one that is listed is known.
    world.reset_stats();
    world.ok("cd ..; mkdir -m 700 made; stat -c %a made | grep -x 700");
    assert_eq!(world.stats().requests("SetContainerMetadata"), 0, "{:?}", world.stats());
    // Another mount finds it so, also where the container is the root.
    let root = blobcp::fs::Place::Directory(blobcp::fs::BlobDir {
        account: blobcp::fs::AccountId(0),
        container: container.clone(),
        prefix: String::new(),
    });
    let account = || blobcp::fs::Account { client: world.client(ONE), only: None };
    let runtime = runtime();
    let within = Mount::new(Setup { root, ..Default::default() }.config(vec![account()]), &runtime);
    assert_eq!(within.root().metadata().unwrap().mode() & 0o7777, 0o1770);
    let other = Mount::new(Setup::default().config(vec![account()]), &runtime);
    let shown = start_in(other.root(), "stat -c '%a %Y' one/box; ls -ld one/made | cut -c 1-10").wait();
    assert_eq!(shown.stdout, "1770 978307200\ndrwx------\n");
}

#[test]
fn modes_and_owners_that_are_fixed_or_ignored_are_not_kept_of_new_files_either() {
    for permissions in [blobcp::fs::Permissions::Fixed, blobcp::fs::Permissions::Ignore] {
        let world = World::with(Setup { permissions, ..Default::default() });
        world.ok("umask 077; echo x > f; mkdir d; mkfifo p");
        assert_eq!(world.ok("stat -c %a f d p"), "644\n755\n644\n");
        assert_eq!(metadata(&world, "f", "permissions"), None);
    }
}

#[test]
fn a_file_created_for_reading_is_stored_when_it_is_closed() {
    let world = World::new();
    let python = "import os
for i in range(50):
    name = f'f{i}'
    os.close(os.open(name, os.O_CREAT | os.O_RDONLY, 0o644))
    os.chmod(name, 0o600)";
    world.ok(&format!("python3 - <<'END'\n{python}\nEND"));
    for i in 0..50 {
        assert_eq!(metadata(&world, &format!("f{i}"), "permissions").as_deref(), Some("0600"));
    }
}

// Times

#[test]
fn a_change_of_mode_is_none_of_the_content() {
    let world = World::new();
    world.put("a", "x");
    let before = world.properties(ONE, "a").unwrap().last_modified;
    let shown = world.ok("stat -c %Y a");
    world.reset_stats();
    world.ok("chmod 600 a");
    assert_eq!(world.stats().requests("SetBlobMetadata"), 1);
    let kept: jiff::Timestamp = metadata(&world, "a", "mtime").unwrap().parse().unwrap();
    assert_eq!(std::time::SystemTime::try_from(kept).unwrap(), before);
    assert_eq!(world.ok("stat -c %Y a"), shown);
    // New content has a new time.
    world.ok("echo y > a");
    assert_eq!(metadata(&world, "a", "mtime"), None);
}

#[test]
fn a_renamed_file_keeps_its_time() {
    let world = World::new();
    world.put("a", "x");
    world.put("d/b", "y");
    let foreign = BlobSettings { metadata: [("Color", "blue")].into_iter().collect(), ..Default::default() };
    let (client, name) = (world.client(ONE), path("foreign"));
    world
        .block_on(client.blob(&name).block_blob().upload(Bytes::from("z"), &foreign, &WriteOptions::default()))
        .unwrap();
    let before = world.properties(ONE, "a").unwrap().last_modified;
    let foreign_before = world.properties(ONE, "foreign").unwrap().last_modified;
    let below = world.properties(ONE, "d/b").unwrap().last_modified;
    world.ok("ls; ls d");
    world.reset_stats();
    world.ok("mv a c; mv d e; mv foreign g");
    let stats = world.stats();
    assert_eq!((stats.requests("CopyBlob"), stats.requests("SetBlobMetadata")), (3, 0), "{stats:?}");
    for (name, time) in [("c", before), ("e/b", below), ("g", foreign_before)] {
        let kept: jiff::Timestamp = metadata(&world, name, "mtime").unwrap().parse().unwrap();
        assert_eq!(std::time::SystemTime::try_from(kept).unwrap(), time, "{name}");
    }
    assert_eq!((world.stored("c"), world.stored("e/b")), ("x".into(), "y".into()));
    // Others' metadata come along as they are.
    assert_eq!(metadata(&world, "g", "color").as_deref(), Some("blue"));
}

#[test]
fn access_times_are_kept_when_they_are_set_and_not_when_they_happen() {
    let world = World::new();
    world.ok("echo x > f; touch -d '2001-01-01 UTC' f");
    assert_eq!(metadata(&world, "f", "posix_atime"), None, "it is that of the change");
    world.ok("touch -a -d '2002-02-02 02:02:02.123456789 UTC' f");
    assert_eq!(world.ok("stat -c '%.9X %.9Y' f"), "1012615322.123456789 978307200.000000000\n");
    assert_eq!(metadata(&world, "f", "posix_atime").as_deref(), Some("1012615322123456789"));
    world.ok("touch -m -d '2003-03-03 UTC' f; cat f; chmod 600 f");
    assert_eq!(world.ok("stat -c '%X %Y' f"), "1012615322 1046649600\n");
    // Both at once are one request, and now is now.
    world.reset_stats();
    world.ok("touch f");
    assert_eq!(world.stats().requests("SetBlobMetadata"), 1);
    let found = world.properties(ONE, "f").unwrap().metadata;
    assert_eq!((found.get("mtime"), found.get("posix_atime")), (None, None));
}

#[test]
fn times_of_directories_follow_their_entries_without_a_request() {
    let world = World::new();
    world.ok("mkdir d; ls -a d");
    let time = || world.ok("stat -c %.9Y d").trim().to_owned();
    let mut last = time();
    for change in ["echo x > d/f", "mkdir d/s", "ln -s f d/l", "mkfifo d/p", "mv d/f d/g", "rm d/g", "rmdir d/s"] {
        world.reset_stats();
        world.ok(change);
        let stats = world.stats();
        assert_eq!(stats.requests("SetBlobMetadata"), 0, "{change}: {stats:?}");
        let now = time();
        assert!(now > last, "{change}: {last} {now}");
        last = now;
    }
    // Content is none of the directory's.
    world.ok("echo x > d/h");
    last = time();
    world.ok("echo y >> d/h");
    assert_eq!(time(), last);
    // A time that is set is what it is.
    world.ok("touch -d '2001-01-01 UTC' d");
    assert_eq!(time(), "978307200.000000000");
    world.ok("chmod 700 d");
    assert_eq!(time(), "978307200.000000000");
    world.ok("rm d/h");
    assert!(time() > last);
}

// Links

#[test]
fn a_file_has_one_link_and_none_once_it_is_removed() {
    let world = World::new();
    world.ok("echo x > f");
    assert_eq!(world.ok("stat -c %h f; exec 3< f; rm f; stat -L -c %h /proc/self/fd/3"), "1\n0\n");
    let file = std::fs::File::create(world.here().join("g")).unwrap();
    world.ok("rm g");
    assert_eq!(file.metadata().unwrap().nlink(), 0);
}
