//! A blob that somebody else replaced is another file.

use std::os::unix::fs::MetadataExt;

use super::*;

const MIB: usize = 1 << 20;

/// What a name is on the mount.
fn ino(world: &World, name: &str) -> u64 {
    std::fs::metadata(world.here().join(name)).unwrap().ino()
}

/// Nothing is believed any longer of these names.
fn expire(world: &World, names: &[&str]) {
    world.mount().expire(&world.here(), names, &[]);
}

/// Opens `v`, reads a mebibyte, and reads on when another client has replaced it and another process has read that. Prints how much
/// came that is not of the first version.
const READ_ON: &str = "fd = os.open('v', FLAGS)\nfirst = os.read(fd, 1 << 20)\ngate()\nfirst += b''\ntry:\n \
    while True:\n  more = os.read(fd, 1 << 16)\n  if not more: break\n  first += more\nexcept OSError as e: print(errno.errorcode[e.errno])\n\
    print(len(first), first.count(b'N'))";

fn read_on(size: usize, flags: &str, replace: impl Fn(&World, &Mount)) -> String {
    let setup = || Setup { attr_ttl: A_DAY, ..Default::default() };
    let world = World::with(setup());
    let other = world.mounted_elsewhere(&setup());
    world.rest_put("v", vec![b'O'; size]);
    let ran = Gated::run(&world, &READ_ON.replace("FLAGS", flags), || {
        replace(&world, &other);
        expire(&world, &["v"]);
        assert_eq!(world.ok("cat v | tr -d N | wc -c").trim(), "0");
    });
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.stdout
}

/// By an upload, a rename and a copy on another mount.
#[test]
fn a_descriptor_shows_no_byte_of_the_version_that_replaced_its_own() {
    let upload: fn(&World, &Mount) = |_, other| {
        let size = std::fs::metadata(other.here().join("v")).unwrap().len() as usize;
        std::fs::write(other.here().join("v"), vec![b'N'; size]).unwrap();
    };
    let moved: fn(&World, &Mount) = |_, other| {
        let size = std::fs::metadata(other.here().join("v")).unwrap().len() as usize;
        std::fs::write(other.here().join("w"), vec![b'N'; size]).unwrap();
        std::fs::rename(other.here().join("w"), other.here().join("v")).unwrap();
    };
    let copied: fn(&World, &Mount) = |_, other| {
        let size = std::fs::metadata(other.here().join("v")).unwrap().len() as usize;
        std::fs::write(other.here().join("w"), vec![b'N'; size]).unwrap();
        std::fs::copy(other.here().join("w"), other.here().join("v")).unwrap();
    };
    for (how, replace) in [("upload", upload), ("rename", moved), ("copy", copied)] {
        for flags in ["os.O_RDONLY", "os.O_RDWR"] {
            for size in [64 << 10, 4 * MIB, 40 * MIB] {
                let printed = read_on(size, flags, replace);
                assert!(printed.ends_with(" 0\n"), "{how}, {flags}, {size}: {printed}");
                // A file of one part is read to its end; of a larger one what is not cached is gone.
                let whole = format!("{size} 0\n");
                assert!(
                    if size > 4 * MIB { printed.starts_with("ESTALE\n") } else { printed == whole },
                    "{how} {size}: {printed}"
                );
            }
        }
    }
}

#[test]
fn a_mapping_of_a_small_file_comes_to_its_end_when_the_blob_is_replaced_or_deleted() {
    for deleted in [false, true] {
        let world = trusting();
        world.rest_put("v", vec![b'O'; 3 * MIB]);
        let program = "import mmap\nfd = os.open('v', os.O_RDONLY)\nm = mmap.mmap(fd, 0, prot=mmap.PROT_READ)\n\
            assert m[2 << 20] == ord('O')\ngate()\nassert m.find(b'N') == -1 and len(m[:]) == 3 << 20\nprint('whole')";
        let ran = Gated::run(&world, program, || {
            if deleted {
                world.rest_delete("v")
            } else {
                world.rest_put("v", vec![b'N'; 3 * MIB])
            }
            expire(&world, &["v"]);
            world.sh("cat v > /dev/null");
        });
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "whole\n"), "{ran:?}");
    }
}

#[test]
fn a_name_whose_blob_was_replaced_has_a_new_inode_and_the_old_one_its_attributes_and_no_links() {
    let world = trusting();
    world.rest_put("v", "first");
    let before = ino(&world, "v");
    let program = "fd = os.open('v', os.O_RDONLY)\nassert os.read(fd, 9) == b'first'\ngate()\n\
        old, new = os.fstat(fd), os.stat('v')\nprint(old.st_size, old.st_nlink, new.st_size, new.st_nlink, old.st_ino == new.st_ino)";
    let ran = Gated::run(&world, program, || {
        world.rest_put("v", "the second");
        world.mount().expire(&world.here(), &["v"], &[before]);
    });
    assert_eq!(ran.stdout, "5 0 10 1 False\n", "{ran:?}");
    assert_ne!(ino(&world, "v"), before);
}

/// The kernel knows the name for a day, the mount finds at the open that it stands for another file: the kernel looks again by itself.
#[test]
fn an_open_that_finds_another_version_gets_that_and_its_size() {
    for ttl in [A_DAY, Duration::ZERO] {
        let world = World::with(Setup { attr_ttl: ttl, ..Default::default() });
        world.rest_put("v", "one\n");
        let before = ino(&world, "v");
        for content in ["the second one\n", "3\n"] {
            world.rest_put("v", content);
            // Only the mount's own memory ends; the kernel comes by the old inode.
            world.mount().fs.tree().invalidate_all();
            assert_eq!(world.ok("cat v"), content);
        }
        assert_ne!(ino(&world, "v"), before);
    }
}

/// A busy name at a time of nothing to be believed: the lookup that the kernel makes for an open is what the open goes by.
#[test]
fn an_open_trusts_the_lookup_that_was_made_for_it() {
    let world = World::with(Setup { attr_ttl: Duration::ZERO, ..Default::default() });
    world.rest_put("v", "0");
    world.ok("cat v");
    // Each request finds the version that the one before it left.
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut count = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                count += 1;
                world.put("v", count.to_string());
            }
        });
        let mut opened = 0;
        for _ in 0..300 {
            opened += i32::from(std::fs::File::open(world.here().join("v")).is_ok());
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(opened, 300);
    });
}

/// What another client appended to the file is not lost over a change made here on what was there before.
#[test]
fn a_change_in_place_does_not_drop_what_another_client_wrote() {
    let world = trusting();
    world.rest_put("v", "aaaa\nbbbb\n");
    world.ok("cat v");
    world.rest_put("v", "aaaa\nbbbb\nanother client's line\n");
    world.mount().fs.tree().invalidate_all();
    let program =
        "fd = os.open('v', os.O_RDWR)\nold = os.read(fd, 100)\nos.pwrite(fd, b'AAAA', 0)\nos.fsync(fd)\nos.close(fd)";
    python(&world, program);
    assert_eq!(world.stored("v"), "AAAA\nbbbb\nanother client's line\n");
    // And where it comes after the open, the change is refused.
    world.ok("cat v");
    let program = "fd = os.open('v', os.O_RDWR)\nos.read(fd, 100)\ngate()\nos.pwrite(fd, b'XXXX', 0)\n\
        try: os.fsync(fd)\nexcept OSError as e: print(errno.errorcode[e.errno])";
    let ran = Gated::run(&world, program, || world.rest_put("v", "theirs"));
    assert_eq!((ran.stdout.as_str(), world.stored("v").as_ref()), ("ESTALE\n", b"theirs".as_ref()), "{ran:?}");
}

#[test]
fn tail_follows_a_name_that_another_machine_writes_anew() {
    let world = World::with(Setup { attr_ttl: Duration::from_millis(100), ..Default::default() });
    world.rest_put("log", "1\n");
    let out = tempfile::NamedTempFile::new().unwrap();
    let printed = || std::fs::read_to_string(out.path()).unwrap();
    let tail = world.start(&format!("exec tail -s 0.1 -n +1 -F log > {} 2>/dev/null", out.path().display()));
    eventually("the first line", || printed() == "1\n");
    world.rest_put("log", "1\n2\n");
    // It is another file by then, which tail reads from its beginning.
    eventually("the second line", || printed() == "1\n1\n2\n");
    tail.signal(libc::SIGTERM);
    tail.wait();
}

#[test]
fn an_append_blob_that_grew_keeps_its_inode_and_one_that_was_copied_onto_does_not() {
    let world = trusting();
    let client = world.client(ONE);
    let always = WriteOptions::default();
    let make = |name: &str, content: &'static str| {
        let name = path(name);
        world.block_on(client.blob(&name).append_blob().create(&BlobSettings::default(), &always)).unwrap();
        world.block_on(client.blob(&name).append_blob().append_block(0, content.into(), &always)).unwrap();
    };
    make("log", "one\n");
    make("other", "one\nbut another's\n");
    let before = ino(&world, "log");
    // As long as somebody has it open, the kernel knows the file.
    let _open = std::fs::File::open(world.here().join("log")).unwrap();
    world.block_on(client.blob(&path("log")).append_blob().append_block(4, "two\n".into(), &always)).unwrap();
    expire(&world, &["log"]);
    assert_eq!((ino(&world, "log"), world.ok("cat log").as_str()), (before, "one\ntwo\n"));
    // S29: the copy keeps the creation time; its id tells.
    let elsewhere = world.mounted_elsewhere(&Setup::default());
    std::fs::copy(elsewhere.here().join("other"), elsewhere.here().join("log")).unwrap();
    expire(&world, &["log"]);
    assert_eq!(world.ok("cat log"), "one\nbut another's\n");
    assert_ne!(ino(&world, "log"), before);
}

#[test]
fn other_metadata_keep_the_inode_where_the_hash_proves_the_content_equal() {
    let world = trusting();
    let client = world.client(ONE);
    let always = WriteOptions::default();
    for (name, md5) in [("proven", true), ("not", false)] {
        world.rest_put(name, "content");
        let content_md5 = md5.then(|| "mgNkuembtIDdJeHwKEyFVQ==".to_owned());
        let headers = blobcp::store::ContentHeaders { content_md5, ..Default::default() };
        world.block_on(client.blob(&path(name)).set_properties(&headers, &always)).unwrap();
        let before = ino(&world, name);
        // As long as somebody has it open, the kernel knows the file.
        let _open = std::fs::File::open(world.here().join(name)).unwrap();
        let metadata = [("color", "blue")].into_iter().collect();
        world.block_on(client.blob(&path(name)).set_metadata(&metadata, &always)).unwrap();
        expire(&world, &[name]);
        assert_eq!(attribute(&world.here().join(name), "meta.color").as_deref(), Some("blue"));
        assert_eq!(ino(&world, name) == before, md5, "{name}");
    }
    // A tier and tags come without a new ETag, and directories have no content.
    world.ok("mkdir d");
    let (file, dir) = (ino(&world, "not"), ino(&world, "d"));
    let _open = ["not", "d"].map(|name| std::fs::File::open(world.here().join(name)).unwrap());
    world.block_on(client.blob(&path("not")).set_tier("Cool", None)).unwrap();
    let metadata = [("hdi_isfolder", "true"), ("color", "blue")].into_iter().collect();
    world.block_on(client.blob(&path("d")).set_metadata(&metadata, &always)).unwrap();
    expire(&world, &["not", "d"]);
    assert_eq!((ino(&world, "not"), ino(&world, "d")), (file, dir));
}

#[test]
fn what_this_mount_writes_renames_and_copies_keeps_its_inode() {
    let world = World::with(Setup { attr_ttl: Duration::ZERO, ..Default::default() });
    world.rest_put("a", "one\n");
    world.rest_put("src", "source\n");
    let before = ino(&world, "a");
    let steps = [
        "echo two >> a",
        "echo three > a",
        "touch -d @5 a",
        "chmod 600 a",
        "setfattr -n user.blob.meta.color -v blue a",
        "setfattr -n user.blob.content_type -v image/png a",
        "setfattr -n user.blob.tier -v Cool a",
        "truncate -s 3 a",
        "cp src a",
        "mv a b; mv b a",
        "ls -l > /dev/null",
    ];
    for step in steps {
        world.ok(step);
        assert_eq!(ino(&world, "a"), before, "{step}");
    }
}

/// Ends what a mount believes of everything below a directory.
fn expire_tree(mount: &Mount, dir: &std::path::Path) {
    let names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let names: Vec<&str> = names.iter().filter_map(|name| name.to_str()).collect();
    mount.expire(dir, &names, &[]);
    for name in names {
        let below = dir.join(name);
        if below.is_dir() {
            expire_tree(mount, &below);
        }
    }
}

/// As when two machines use one repository by turns: git opens, maps and renames over its index, references and packs.
#[test]
fn git_goes_on_in_a_repository_that_another_mount_works_in() {
    let setup = || Setup { attr_ttl: A_DAY, ..Default::default() };
    let world = World::with(setup());
    let other = world.mounted_elsewhere(&setup());
    let git = "export HOME=$(mktemp -d) GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b; \
               trap 'rm -rf $HOME' EXIT; git config --global safe.directory '*'; set -e;";
    world.ok(&format!("{git} git init -q repo; cd repo; echo 1 > f; git add f; git commit -qm first"));
    let repo = |mount: &Mount| mount.here().join("repo");
    for round in 0..4 {
        for (mount, name) in [(&other, "theirs"), (world.mount(), "ours")] {
            expire_tree(mount, &repo(mount));
            let commands = format!(
                "{git} test -z \"$(git status --porcelain)\"; echo {round} > {name}; git add -A; git commit -qm '{name} {round}'; \
                 git gc -q; git fsck --no-progress"
            );
            let ran = start_in(&repo(mount), &commands).wait();
            assert_eq!((ran.code, ran.signal), (Some(0), None), "{name} {round}: {ran:?}");
        }
    }
    assert_eq!(world.ok(&format!("{git} cd repo; git log --oneline | wc -l")).trim(), "9");
}

/// `blobcp cp` is not a call on the file: what is there then is another file, too.
#[test]
fn what_a_copy_by_command_replaced_is_not_shown_any_more() {
    let world = trusting();
    world.rest_put("one/a", "the new and longer content\n");
    let blobcp = env!("CARGO_BIN_EXE_blobcp");
    for (name, copy) in [("b", "cp one/a b"), ("two/a", "cp -r one/. two")] {
        world.rest_put(name, "old\n");
        assert_eq!(world.ok(&format!("cat {name}")), "old\n");
        world.ok(&format!("{blobcp} {copy}"));
        eventually(copy, || world.ok(&format!("cat {name}")) == "the new and longer content\n");
    }
}
