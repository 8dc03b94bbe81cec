//! Owners and modes, which metadata keep: who may change them otherwise than by chown(2) and chmod(2).

use blobcp::devstore::Immutability;
use blobcp::fs::Permissions;
use blobcp::store::{BlobSettings, WriteOptions};

use super::*;

/// `name=value` pairs of metadata that say something of owner, mode, time or kind.
const TELLING: [(&str, &str); 11] = [
    ("owner", "10003"),
    ("OWNER", "10003"),
    ("group", "10003"),
    ("permissions", "04777"),
    ("Permissions", "0777"),
    ("mtime", "2001-01-01T00:00:00Z"),
    ("posix_atime", "5"),
    ("is_symlink", "true"),
    ("hdi_isfolder", "true"),
    ("is_block_dev", "true"),
    ("posix_rdev", "5"),
];

#[test]
fn who_may_write_does_not_own() {
    let world = open_to_all();
    world.ok("for f in full empty kept; do : > $f; done; echo text > full; chmod 666 full empty; chmod 4766 kept");
    let before = ["full", "empty", "kept"].map(|name| world.properties(ONE, name).unwrap());
    let program = format!(
        "for name in ['full', 'empty']:
    for key, value in {TELLING:?}:
        print(key, errno_of(os.setxattr, name, 'user.blob.meta.' + key, value.encode()))
print(errno_of(os.removexattr, 'kept', 'user.blob.meta.permissions'))"
    );
    let said = as_user(&world, STRANGER, &program);
    assert_eq!(said.lines().count(), 2 * TELLING.len() + 1);
    assert!(said.lines().all(|line| line.ends_with("EPERM")), "{said}");
    assert_eq!(["full", "empty", "kept"].map(|name| world.properties(ONE, name).unwrap()), before);
    // What says nothing of these is as free as content.
    as_user(&world, STRANGER, "os.setxattr('full', 'user.blob.meta.color', b'blue')");
    assert_eq!(metadata(&world, "full", "color").as_deref(), Some("blue"));
    assert_eq!(world.ok("stat -c '%u %a %F' full empty"), "0 666 regular file\n0 666 regular empty file\n");
}

#[test]
fn an_owner_says_by_metadata_what_chmod_and_chgrp_would_do() {
    let world = open_to_all();
    world.ok("echo text > f; chown 10001:10001 f; chmod 644 f");
    let set = |user, key: &str, value: &str| {
        as_user(&world, user, &format!("print(errno_of(os.setxattr, 'f', 'user.blob.meta.{key}', b'{value}'))"))
            .trim()
            .to_owned()
    };
    for (key, value, errno) in [
        ("permissions", "0600", "-"),
        ("group", "10050", "-"),
        ("group", "10077", "EPERM"),
        ("owner", "10001", "-"),
        ("owner", "10002", "EPERM"),
        ("owner", "root", "EPERM"),
        ("mtime", "2001-01-01T00:00:00Z", "-"),
        ("posix_rdev", "5", "EPERM"),
    ] {
        assert_eq!(set(OWNER, key, value), errno, "{key}={value}");
    }
    // The kernel is told at once, by a thread of its own.
    eventually("what was set", || world.ok("stat -c '%u:%g %a %Y' f") == "10001:10050 600 978307200\n");
    assert_eq!(set(ROOT, "owner", "12"), "-");
    eventually("another owner", || world.ok("stat -c %u f") == "12\n");
}

/// Files with the set-user-ID bit, one of them with metadata besides, and a directory for everybody.
fn with_programs() -> World {
    let world = open_to_all();
    world.ok("mkdir -m 1777 d; mkdir src; for f in prog src/prog; do echo text > $f; chmod 6755 $f; done");
    world.ok("setfattr -n user.blob.meta.color -v blue src/prog; echo old > d/roots; chmod 4666 d/roots; chown 0:10077 d/roots");
    world.ok("mkdir d/trees; chmod 1777 d/trees");
    world
}

#[test]
fn copies_belong_to_whoever_makes_them_and_have_no_special_bits() {
    let world = with_programs();
    let program = "ioctl.copy('/one/box/prog', 'd', 'copy', 0)
print([record[0] for record in ioctl.tree('/one/box/prog', 'd', 'tree')])
print([record[0] for record in ioctl.tree('/one/box/src', 'd/trees', 'src')])
print([record[0] for record in ioctl.tree('/one/box/src', 'd/trees', 'src')])";
    world.reset_stats();
    let said = as_user(&world, STRANGER, program);
    assert_eq!(said, "['success']\n['success']\n['same']\n", "a second run has nothing to do");
    assert_eq!(world.stats().requests("SetBlobMetadata"), 0, "{:?}", world.stats());
    let owned = "10003:10003 755\n".repeat(4);
    assert_eq!(world.ok("stat -c '%u:%g %a' d/copy d/tree d/trees/src d/trees/src/prog"), owned);
    assert_eq!(metadata(&world, "d/trees/src/prog", "color").as_deref(), Some("blue"));
    // Root's are what they were.
    as_user(
        &world,
        ROOT,
        "ioctl.copy('/one/box/prog', 'd', 'copied', 0); list(ioctl.tree('/one/box/src', 'd', 'all'))",
    );
    assert_eq!(world.ok("stat -c '%u:%g %a' d/copied d/all/prog"), "0:0 6755\n0:0 6755\n");
}

#[test]
fn what_somebody_elses_copy_replaces_stays_its_owners() {
    let world = with_programs();
    as_user(&world, STRANGER, "ioctl.copy('/one/box/prog', 'd', 'roots', 0)");
    assert_eq!(world.ok("cat d/roots; stat -c '%u:%g %a' d/roots"), "text\n0:10077 666\n");
    world.ok("chmod 4666 d/roots; echo more > src/roots");
    let said = as_user(&world, STRANGER, "print([r[0] for r in ioctl.tree('/one/box/src/roots', 'd', 'roots')])");
    assert_eq!(said, "['success']\n");
    assert_eq!(world.ok("cat d/roots; stat -c '%u:%g %a' d/roots"), "more\n0:10077 666\n");
    // Nor does it become a link that its owner would follow.
    world.ok("ln -s /etc/passwd l");
    let link = "print(errno_of(ioctl.copy, '/one/box/l', 'd', 'roots', 0))";
    assert_eq!(as_user(&world, STRANGER, link), "EPERM\n");
    assert_eq!(world.ok("cat d/roots"), "more\n");
}

#[test]
fn metadata_of_a_copy_are_for_whom_the_same_is_allowed_afterwards() {
    let world = with_programs();
    let copy = |user, name: &str, metadata: &str| {
        let program = format!("print(errno_of(ioctl.copy, '/one/box/prog', 'd', '{name}', 0, '', {metadata}))");
        as_user(&world, user, &program).trim().to_owned()
    };
    for (metadata, errno) in [
        ("{'owner': '0'}", "EPERM"),
        ("{'Owner': '10001'}", "EPERM"),
        ("{'group': '0', 'color': 'red'}", "EPERM"),
        ("{'is_symlink': 'true'}", "EPERM"),
        ("{'is_char_dev': 'true', 'posix_rdev': '259'}", "EPERM"),
        ("{'permissions': '04755', 'color': 'red'}", "-"),
    ] {
        assert_eq!(copy(STRANGER, "new", metadata), errno, "{metadata}");
    }
    assert_eq!(world.ok("stat -c '%u:%g %a' d/new"), "10003:10003 4755\n", "as after chmod u+s by its owner");
    assert_eq!(metadata(&world, "d/new", "color").as_deref(), Some("red"));
    assert_eq!(copy(STRANGER, "roots", "{'permissions': '04777'}"), "EPERM");
    assert_eq!(copy(STRANGER, "roots", "{'mtime': '2001-01-01T00:00:00Z'}"), "EPERM");
    assert_eq!(world.stored("d/roots"), "old\n");
    assert_eq!(copy(ROOT, "given", "{'owner': '10001', 'permissions': '04755'}"), "-");
    assert_eq!(world.ok("stat -c '%u %a' d/given"), "10001 4755\n");
}

#[test]
fn what_comes_from_elsewhere_says_nothing_of_owners_here() {
    let world = with_programs();
    let told = [("owner", "0"), ("permissions", "06777"), ("is_symlink", "true")].into_iter().collect();
    let settings = BlobSettings { metadata: told, ..BlobSettings::default() };
    let (client, name, write) = (world.client(TWO), path("theirs"), WriteOptions::default());
    world.block_on(client.blob(&name).block_blob().upload("#!/bin/sh", &settings, &write)).unwrap();
    let url = format!("{}/{BOX}/theirs?{}", world.store.endpoint(TWO), signature(&world, TWO, "theirs"));
    as_user(&world, STRANGER, &format!("ioctl.copy('{url}', 'd', 'copy', 0)"));
    assert_eq!(world.ok("stat -c '%u:%g %a %F' d/copy; cat d/copy"), "10003:10003 644 regular file\n#!/bin/sh");
}

#[test]
fn where_modes_are_not_kept_nothing_of_a_copy_says_what_it_is_either() {
    // All that could be said of the copy is of owner and mode, and that is not said here: then nothing is left, which the
    // service takes for "as the source has it".
    let setup = Setup { allow_other: true, permissions: Permissions::Fixed, dir_mode: 0o777, ..Setup::default() };
    let world = World::with(setup);
    world.ok("mkdir d; echo text > prog; setfattr -n user.blob.meta.color -v blue prog");
    let device = [("is_char_dev", "true"), ("posix_rdev", "259"), ("permissions", "06777"), ("owner", "0")];
    let settings = BlobSettings { metadata: device.into_iter().collect(), ..BlobSettings::default() };
    let (client, name, write) = (world.client(TWO), path("theirs"), WriteOptions::default());
    world.block_on(client.blob(&name).block_blob().upload("text", &settings, &write)).unwrap();
    let url = format!("{}/{BOX}/theirs?{}", world.store.endpoint(TWO), signature(&world, TWO, "theirs"));
    let asked = "'/one/box/prog', 'd', 'told', 0, '', {'permissions': '0600'}";
    for (arguments, copy) in [(format!("'{url}', 'd', 'copy', 0"), "d/copy"), (asked.to_owned(), "d/told")] {
        assert_eq!(as_user(&world, STRANGER, &format!("print(errno_of(ioctl.copy, {arguments}))")), "-\n", "{copy}");
        assert_eq!(world.stored(copy).trim_ascii_end(), b"text");
        let names = ["is_char_dev", "posix_rdev", "permissions", "owner", "color"];
        assert_eq!(names.map(|name| metadata(&world, copy, name)), [const { None }; 5], "{copy}");
    }
}

#[test]
fn who_may_write_locks_nothing_for_good_and_archives_nothing_of_others() {
    let world = open_to_all();
    world.ok("echo text > f; chmod 666 f; chown 10001:10001 f");
    let versions = Immutability { days: None, locked: false, legal_hold: false, appends: false, versions: true };
    world.store.keep(ONE, BOX, versions).unwrap();
    let kept = || world.properties(ONE, "f").unwrap().protection;
    let before = kept();
    let set = |user, name: &str, value: &str| {
        as_user(&world, user, &format!("print(errno_of(os.setxattr, 'f', 'user.blob.{name}', b'{value}'))"))
    };
    for user in [OWNER, STRANGER] {
        for (name, value) in
            [("legal_hold", "true"), ("immutability_until", "2040-01-01T00:00:00Z"), ("immutability_mode", "locked")]
        {
            assert_eq!(set(user, name, value), "EPERM\n", "{user:?} {name}");
        }
        for name in ["legal_hold", "immutability_until"] {
            let said = as_user(&world, user, &format!("print(errno_of(os.removexattr, 'f', 'user.blob.{name}'))"));
            assert_eq!(said, "EPERM\n", "{user:?} {name}");
        }
    }
    assert_eq!(kept(), before);
    assert_eq!(set(STRANGER, "tier", "Archive"), "EPERM\n");
    assert_eq!(world.properties(ONE, "f").unwrap().tier.as_deref(), Some("Hot"));
    // What it has already may be written back, as copying programs do.
    assert_eq!(set(STRANGER, "tier", "Hot"), "-\n");
    assert_eq!(set(OWNER, "tier", "Cool"), "-\n");
    assert_eq!(world.properties(ONE, "f").unwrap().tier.as_deref(), Some("Cool"));
    assert_eq!(set(ROOT, "legal_hold", "true"), "-\n");
    assert_eq!(kept().legal_hold, Some(true));
}
