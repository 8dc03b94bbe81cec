//! Snapshots and versions as files in `.snapshots` and `.versions`.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;

use blobcp::devstore::{AccountConfig, Devstore, PolicyChange, Stats};
use blobcp::ioctl;
use blobcp::store::{BlobSettings, CopyStatus, DeleteOptions, Revision, Tags, WriteOptions};
use bytes::Bytes;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::common::*;

/// Takes a snapshot behind the mount's back; its moment.
fn snapshot(world: &World, name: &str) -> String {
    let taken = world.block_on(world.client(ONE).blob(&path(name)).create_snapshot()).unwrap();
    taken.moment().to_string()
}

/// A world whose accounts keep versions.
fn versioned() -> World {
    let mut setup = Setup::default();
    setup.devstore.accounts = [ONE, TWO].map(AccountConfig::versioned).to_vec();
    World::with(setup)
}

fn call<T: FromBytes + IntoBytes>(file: &std::path::Path, command: u32, payload: &mut T) -> Result<(), i32> {
    let file = File::open(file).unwrap();
    // SAFETY: the payload is as large as the command says.
    match unsafe { libc::ioctl(file.as_raw_fd(), command as libc::c_ulong, std::ptr::from_mut(payload)) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().raw_os_error().unwrap()),
    }
}

/// Takes a snapshot through the mount; its moment, or the errno.
fn take(world: &World, name: &str) -> Result<String, i32> {
    let mut taken = ioctl::Snapshot::new_zeroed();
    call(&world.here().join(name), ioctl::SNAPSHOT, &mut taken)?;
    Ok(ioctl::text(&taken.moment).unwrap().to_owned())
}

/// Requests that change something at the service.
fn changes(stats: &Stats) -> u64 {
    let looks = ["GetBlob", "GetBlobProperties", "GetBlobTags", "ListBlobs", "GetContainerProperties"];
    stats.total - looks.iter().map(|look| stats.requests(look)).sum::<u64>()
}

/// X19: whatever was done, nothing but reading and deleting was ever asked of a snapshot or version.
fn assert_no_write_to_the_past(store: &Devstore) {
    for request in store.requests() {
        let past = request.query.contains("snapshot=") || request.query.contains("versionid=");
        assert!(!past || ["GET", "HEAD", "DELETE"].contains(&request.method.as_str()), "{request:?}");
    }
}

#[test]
fn they_are_reached_by_path_and_shown_by_no_listing() {
    let world = World::new();
    world.put("a", "first");
    world.put("d/e/b", "deep");
    world.put("d/c", "without a snapshot");
    let (a, b) = (snapshot(&world, "a"), snapshot(&world, "d/e/b"));
    let again = snapshot(&world, "a");
    assert_eq!(world.ok("ls -A"), "a\nd\n");
    assert_eq!(world.ok("ls .snapshots; ls .snapshots/a"), format!("a\n{a}\n{again}\n"));
    assert_eq!(world.ok("ls d/e/.snapshots; ls d/e/.snapshots/b"), format!("b\n{b}\n"));
    assert_eq!(world.ok("ls -A d/.snapshots"), "", "c has none, and b is deeper");
    assert_eq!(world.ok("find . | sort"), ".\n./a\n./d\n./d/c\n./d/e\n./d/e/b\n");
    assert_eq!(world.ok("du -ab --exclude=d . | sort -k2 | tail -1"), "5\t./a\n");
    for missing in [".snapshots/b", ".snapshots/a/2026", ".snapshots/a/nothing", "d/c/.snapshots", ".versions/a"] {
        let ran = world.sh(&format!("cat {missing}"));
        assert_eq!(ran.code, Some(1), "{missing}: {ran:?}");
        assert!(ran.stderr.contains("No such file") || ran.stderr.contains("Not a directory"), "{missing}: {ran:?}");
    }
    // S72: to a HEAD, the service says of what is no id that it is wrong, and no code.
    world.store.add_fault(fault(r#"{"operation":"GetBlobProperties","status":400,"code":""}"#));
    assert!(world.sh("stat .snapshots/a/something").stderr.contains("No such file"));
    // The same at the root of an account: there are no blobs there.
    assert!(world.sh("ls ../.snapshots").stderr.contains("No such file"));
}

#[test]
fn a_snapshot_is_what_the_file_was() {
    let world = World::new();
    let settings =
        BlobSettings { metadata: [("mtime", "2001-02-03T04:05:06Z")].into_iter().collect(), ..Default::default() };
    let put = |body: Vec<u8>, settings: &BlobSettings| {
        world
            .block_on(world.client(ONE).blob(&path("a")).block_blob().upload(body, settings, &WriteOptions::default()))
            .unwrap();
    };
    put(pattern(100_000), &settings);
    let taken = snapshot(&world, "a");
    put(b"now".to_vec(), &BlobSettings::default());
    assert_eq!(
        world.ok(&format!("TZ=UTC stat -c '%s %F %y' .snapshots/a/{taken}")),
        "100000 regular file 2001-02-03 04:05:06.000000000 +0000\n"
    );
    world.reset_stats();
    let local = tempfile::NamedTempFile::new().unwrap();
    world.ok(&format!("cat .snapshots/a/{taken} > {}", local.path().display()));
    assert_eq!(std::fs::read(local.path()).unwrap(), pattern(100_000));
    assert_eq!(world.stats().body_bytes_out, 100_000);
    assert_eq!(changes(&world.stats()), 0);
    assert_eq!(world.ok("cat a"), "now");
    let file = world.here().join(".snapshots/a").join(&taken);
    let url = attribute(&file, "url").unwrap();
    assert!(url.ends_with(&format!("/box/a?snapshot={}", taken.replace(':', "%3A"))), "{url}");
    assert_eq!(attribute(&file, "meta.mtime").as_deref(), Some("2001-02-03T04:05:06Z"));
    assert_eq!(attribute(&file, "type").as_deref(), Some("BlockBlob"));
    assert_eq!(attribute(&file, "lease_state"), None, "the lease is the blob's");
    assert_ne!(attribute(&file, "etag"), attribute(&world.here().join("a"), "etag"));
}

#[test]
fn listing_costs_a_list_for_each_page() {
    let world = World::new();
    for name in ["a", "a-b", "b", "c/d"] {
        world.put(name, "text");
    }
    let moments: Vec<String> = (0..7).map(|_| snapshot(&world, "a")).collect();
    snapshot(&world, "a-b");
    snapshot(&world, "c/d");
    // The directory is known, and what is in it: then a listing is a LIST and nothing more.
    world.ok("ls -d . && ls > /dev/null");
    world.reset_stats();
    assert_eq!(world.ok("ls -l .snapshots | wc -l"), "3\n");
    assert_eq!((world.stats().total, world.stats().requests("ListBlobs")), (1, 1), "{:#?}", world.store.requests());
    // One to know that there is such a name, one to list; attributes come along.
    world.reset_stats();
    assert_eq!(world.ok("ls .snapshots/a"), moments.join("\n") + "\n");
    assert!(world.stats().total <= 2, "{:#?}", world.store.requests());
    world.reset_stats();
    world.ok("ls -l .snapshots/a");
    assert!(world.stats().total <= 1, "{:#?}", world.store.requests());

    // However the pages fall.
    for page in 1..6 {
        let small = PolicyChange { list_page: Some(page), empty_list_pages: Some(page % 2 == 0), ..Default::default() };
        world.store.change_policy(small);
        assert_eq!(world.ok("ls .snapshots"), "a\na-b\n", "pages of {page}");
        assert_eq!(world.ok("ls .snapshots/a"), moments.join("\n") + "\n", "pages of {page}");
        world.reset_stats();
        world.ok("ls .snapshots/a-b");
        let rows_before_another_name = 2;
        assert!(world.stats().total <= 2 * 2 * (rows_before_another_name + 1), "{:#?}", world.store.requests());
    }
}

#[test]
fn tools_walk_the_snapshots_when_told_to() {
    let world = World::new();
    world.put("a", "first");
    let first = snapshot(&world, "a");
    world.put("a", "second");
    let second = snapshot(&world, "a");
    world.ok("ln -s a link");
    let link = snapshot(&world, "link");
    let found = world.ok("find .snapshots -type f -o -type l | sort");
    assert_eq!(found, format!(".snapshots/a/{first}\n.snapshots/a/{second}\n.snapshots/link/{link}\n"));
    assert_eq!(world.ok(&format!("readlink .snapshots/link/{link}")), "a\n");
    let local = tempfile::tempdir().unwrap();
    let local = local.path().display();
    world.ok(&format!("cp -r .snapshots {local}/copy && diff -r --no-dereference .snapshots {local}/copy"));
    world.ok(&format!("tar cf {local}/s.tar .snapshots && mkdir {local}/t && tar xf {local}/s.tar -C {local}/t"));
    world.ok(&format!("diff -r --no-dereference .snapshots {local}/t/.snapshots"));
    assert_eq!(world.sh(&format!("diff .snapshots/a/{first} a")).code, Some(1));
    assert_eq!(world.sh(&format!("diff .snapshots/a/{second} a")).code, Some(0));
    assert_eq!(
        world.ok("du -sb --apparent-size .snapshots/a | cut -f1; grep -rl first .snapshots"),
        format!("11\n.snapshots/a/{first}\n")
    );
}

#[test]
fn cp_over_its_own_file_brings_a_snapshot_back() {
    // C22: promotion, by one Copy Blob; the snapshot stays.
    let world = World::new();
    world.put("a", pattern(3 << 20));
    let taken = snapshot(&world, "a");
    world.put("a", "new");
    world.ok("ls");
    world.reset_stats();
    world.ok(&format!("cp .snapshots/a/{taken} a"));
    let stats = world.stats();
    assert_eq!((stats.requests("CopyBlob"), changes(&stats)), (1, 1), "{:#?}", world.store.requests());
    assert_no_payload(&stats);
    assert_eq!(world.stored("a"), pattern(3 << 20));
    assert_eq!(world.ok("ls .snapshots/a"), format!("{taken}\n"));
    let source = world.properties(ONE, "a").unwrap().copy.unwrap().source.unwrap();
    assert!(source.contains("?snapshot="), "{source}");
    assert_no_write_to_the_past(&world.store);
    assert_eq!(world.ok(&format!("cmp a .snapshots/a/{taken} && echo more >> a && tail -c 5 a")), "more\n");
}

#[test]
fn cp_to_another_name_makes_a_writable_blob() {
    // C23, C6; across accounts by a SAS for the snapshot.
    let world = World::new();
    let tags: Tags = vec![("k".into(), "v".into())];
    let metadata = [("color", "blue")].into_iter().collect();
    let settings = BlobSettings { metadata, tags, ..Default::default() };
    let body = Bytes::from(pattern(1 << 20));
    world
        .block_on(world.client(ONE).blob(&path("a")).block_blob().upload(body, &settings, &WriteOptions::default()))
        .unwrap();
    let taken = snapshot(&world, "a");
    world.put("a", "new");
    world.ok("ls");
    world.reset_stats();
    for (destination, account) in [("b", ONE), ("../../two/box/b", TWO)] {
        world.reset_stats();
        world.ok(&format!("cp .snapshots/a/{taken} {destination}"));
        let stats = world.stats();
        assert_eq!((stats.requests("CopyBlob"), changes(&stats)), (1, 1), "{:#?}", world.store.requests());
        assert_no_payload(&stats);
        assert_eq!(world.store.content(account, BOX, "b").unwrap(), pattern(1 << 20));
        let made = world.properties(account, "b").unwrap();
        assert_eq!((made.metadata.get("color"), made.tag_count), (Some("blue"), 1), "{account}");
        assert_eq!(world.ok(&format!("echo more >> {destination} && tail -c 5 {destination}")), "more\n");
    }
    assert_eq!(world.stored("a"), "new");
    // With all attributes.
    world.reset_stats();
    world.ok(&format!("cp -a .snapshots/a/{taken} c"));
    assert_no_payload(&world.stats());
    let made = world.properties(ONE, "c").unwrap();
    assert_eq!((made.metadata.get("color"), made.tag_count, made.size), (Some("blue"), 1, 1 << 20));
    assert_no_write_to_the_past(&world.store);
}

#[test]
fn other_ways_of_copying_a_snapshot_move_nothing_either() {
    let world = World::new();
    world.put("a", pattern(9 << 20));
    world.put("b", "and the rest");
    let taken = snapshot(&world, "a");
    world.put("a", "new");
    world.reset_stats();
    // A range, by Put Block From URL.
    world.ok(&format!("cat .snapshots/a/{taken} b > c"));
    assert_no_payload(&world.stats());
    assert_eq!(world.stored("c"), [pattern(9 << 20), b"and the rest".to_vec()].concat());
    // By ioctl: a path, and a URL of the mount's own account.
    let url = format!("{}/box/a?snapshot={}", world.store.endpoint(ONE), taken.replace(':', "%3A"));
    for (source, name) in [(format!("/one/box/.snapshots/a/{taken}"), "d"), (url, "e")] {
        let mut order = ioctl::Copy::new_zeroed();
        ioctl::set_text(&mut order.source, &source);
        ioctl::set_text(&mut order.destination, name);
        call(&world.there(), ioctl::COPY, &mut order).unwrap();
        assert_eq!(world.store.content(TWO, BOX, name).unwrap(), pattern(9 << 20), "{source}");
    }
    assert_no_payload(&world.stats());
    assert_no_write_to_the_past(&world.store);
}

#[test]
fn nothing_can_be_written_there() {
    // X19
    let world = World::new();
    world.put("a", "first");
    let taken = snapshot(&world, "a");
    world.put("a", "second");
    world.put("d/x", "x");
    world.ok("ls -lR .snapshots");
    world.reset_stats();
    let file = format!(".snapshots/a/{taken}");
    for command in [
        format!("echo x > {file}"),
        format!("echo x >> {file}"),
        format!("truncate -s 0 {file}"),
        format!("cp a {file}"),
        "cp --remove-destination a .snapshots/a/2026-01-01T00:00:00.0000000Z".to_owned(),
        format!("mv {file} b"),
        format!("mv a {file}"),
        "mv d/x .snapshots/".to_owned(),
        "mv .snapshots b".to_owned(),
        "mv .snapshots/a b".to_owned(),
        "mv -T d .snapshots".to_owned(),
        "echo x > .snapshots/x".to_owned(),
        "mkdir .snapshots/x".to_owned(),
        "ln -s a .snapshots/x".to_owned(),
        "mkfifo .snapshots/x; touch .snapshots/a/x".to_owned(),
        format!("chmod 600 {file}"),
        format!("touch -d 2001-01-01 {file}"),
        format!("setfattr -n user.blob.meta.k -v v {file}"),
        format!("setfattr -n user.blob.tier -v Cool {file}"),
        format!("setfattr -n user.blob.copy.status -v abort {file}"),
        "rmdir .snapshots".to_owned(),
        "chmod 700 .snapshots".to_owned(),
    ] {
        let ran = world.sh(&command);
        assert_ne!(ran.code, Some(0), "{command}: {ran:?}");
        assert!(ran.stderr.contains("Read-only file system"), "{command}: {ran:?}");
    }
    assert!(world.sh("mkdir .snapshots").stderr.contains("File exists"));
    let mut order = ioctl::Copy::new_zeroed();
    ioctl::set_text(&mut order.source, "/one/box/a");
    assert_eq!(call(&world.here().join(&file), ioctl::COPY, &mut order), Err(libc::EROFS));
    assert_eq!(take(&world, &file), Err(libc::EROFS));
    assert_eq!(changes(&world.stats()), 0, "{:#?}", world.store.requests());
    assert_eq!(world.ok(&format!("cat {file} a d/x")), "firstsecondx");
}

#[test]
fn rm_deletes_that_snapshot_and_nothing_else() {
    let world = World::new();
    world.put("a", "first");
    let first = snapshot(&world, "a");
    let second = snapshot(&world, "a");
    world.ok("ls -l .snapshots/a");
    world.reset_stats();
    world.ok(&format!("rm .snapshots/a/{first}"));
    assert_eq!(
        (world.stats().requests("DeleteBlob"), changes(&world.stats())),
        (1, 1),
        "{:#?}",
        world.store.requests()
    );
    assert_eq!(world.ok("ls .snapshots/a"), format!("{second}\n"));
    assert_eq!(world.ok("cat a"), "first");
    assert!(world.sh("rmdir .snapshots/a").stderr.contains("not empty"));
    // All of them at once, but never the blob; then it can be removed itself.
    snapshot(&world, "a");
    world.ok("rm -r .snapshots/a");
    assert_eq!(world.ok("ls .snapshots"), "");
    assert_eq!(world.stored("a"), "first");
    world.ok("rm a");
    assert!(!world.is_stored("a"));
    assert_no_write_to_the_past(&world.store);
}

#[test]
fn rm_r_of_a_directory_does_not_reach_into_its_past() {
    let world = World::new();
    world.put("d/a", "first");
    world.put("d/b", "other");
    let taken = snapshot(&world, "d/a");
    world.ok(&format!("cat d/.snapshots/a/{taken}"));
    let ran = world.sh("rm -r d");
    assert!(ran.stderr.contains("busy"), "{ran:?}");
    assert_eq!(world.ok("cat d/a && ls d d/.snapshots/a"), format!("firstd:\na\n\nd/.snapshots/a:\n{taken}\n"));
    // A directory whose last file goes stays a directory, also if somebody has looked at its past.
    world.ok(&format!("rm d/.snapshots/a/{taken} d/a"));
    assert_eq!(world.ok("ls -d d; rmdir d; ls"), "d\n");
}

#[test]
fn a_real_name_wins() {
    let world = World::new();
    world.put("a", "text");
    world.put("d/a", "text");
    let deep = snapshot(&world, "d/a");
    world.put(".snapshots/mine", "real");
    world.put("d/.versions", "a file");
    assert_eq!(
        world.ok("ls -A . .snapshots && cat .snapshots/mine d/.versions"),
        ".:\n.snapshots\na\nd\n\n.snapshots:\nmine\nreala file"
    );
    world.ok("echo more > .snapshots/other");
    assert_eq!(world.stored(".snapshots/other"), "more\n");
    // Other directories, and the other name, are not concerned.
    assert_eq!(world.ok("ls d/.snapshots/a"), format!("{deep}\n"));
    assert_eq!(world.ok("ls .versions"), "");
}

#[test]
fn the_past_follows_a_renamed_directory() {
    let mut setup = Setup { delete_snapshots: true, ..Default::default() };
    setup.attr_ttl = std::time::Duration::from_secs(60);
    let world = World::with(setup);
    world.put("d/a", "text");
    snapshot(&world, "d/a");
    world.ok("ls -lR d/.snapshots");
    world.ok("mv d e");
    let taken = take(&world, "e/a").unwrap();
    assert_eq!(world.ok("ls e/.snapshots/a; ls -A e"), format!("{taken}\na\n"), "the old ones went with the old name");
    assert_eq!(world.ok(&format!("cat e/.snapshots/a/{taken}")), "text");
}

#[test]
fn what_was_just_written_is_in_the_snapshot() {
    let world = World::new();
    world.put("a", "old");
    assert_eq!(world.ok("ls .snapshots"), "");
    // Not a file of this process: it is flushed whenever another test starts a program.
    let mut writer = Gated::between(
        &world,
        "f = os.open('a', os.O_WRONLY | os.O_APPEND); os.write(f, b' and new')",
        "os.write(f, b' and newer')\ngate()",
    );
    assert_eq!(world.stored("a"), "old");
    let taken = take(&world, "a").unwrap();
    assert_eq!(world.stored("a"), "old and new");
    // It is there at once, although the directory was listed a moment ago.
    assert_eq!(world.ok(&format!("ls .snapshots; cat .snapshots/a/{taken}")), "a\nold and new");
    writer.go_on();
    writer.finish();
    assert_eq!(world.ok(&format!("cat .snapshots/a/{taken} a")), "old and newold and new and newer");
    // A file that was never stored is, by that.
    let mut fresh = File::create(world.here().join("fresh")).unwrap();
    fresh.write_all(b"x").unwrap();
    let taken = take(&world, "fresh").unwrap();
    assert_eq!(world.ok(&format!("cat .snapshots/fresh/{taken}")), "x");
    assert_eq!(take(&world, "."), Err(libc::EISDIR));
}

#[test]
fn a_file_that_is_being_copied_onto_has_no_snapshot_yet() {
    // C9
    let world = World::with(cross_account(1 << 20));
    world.hold_copies();
    world.put("a", pattern(1 << 20));
    world.store.put_blob(TWO, BOX, "s", pattern(1 << 20).into(), "text/plain").unwrap();
    let cp = world.start("cp ../../two/box/s b");
    pending(&world, "b");
    assert_eq!(take(&world, "b"), Err(libc::EBUSY));
    steer(&world, blobcp::devstore::CopyAction::Release);
    assert_eq!(cp.wait().code, Some(0));
    assert!(take(&world, "b").is_ok());
}

#[test]
fn an_archived_version_says_what_an_archived_blob_says() {
    let world = versioned();
    world.put("a", "cold");
    let version = world.properties(ONE, "a").unwrap().version_id.unwrap();
    world.ok("setfattr -n user.blob.tier -v Archive a; rm a");
    let ran = world.sh(&format!("cat .versions/a/{version}"));
    assert!(ran.stderr.contains("No data available"), "{ran:?}");
    // X21: it can only be copied with a tier, and says so.
    world.reset_stats();
    let ran = world.sh(&format!("cp .versions/a/{version} b"));
    assert!(ran.code == Some(1) && ran.stderr.contains("No data available"), "{ran:?}");
    assert_no_payload(&world.stats());
}

#[test]
fn a_snapshot_makes_a_version_of_the_file() {
    // S85
    let world = versioned();
    world.put("a", "text");
    let shown = || attribute(&world.here().join("a"), "version_id").unwrap();
    let before = shown();
    assert_eq!(world.ok("ls .versions"), "");
    take(&world, "a").unwrap();
    assert_eq!(Some(shown()), world.properties(ONE, "a").unwrap().version_id);
    assert_eq!(world.ok("ls .versions/a"), format!("{before}\n"));
}

#[test]
fn versions_are_what_every_write_has_left_behind() {
    // X22
    let world = versioned();
    world.put("a", "first");
    let first = world.properties(ONE, "a").unwrap().version_id.unwrap();
    world.ok("echo second > a; printf '' > b");
    let second = world.properties(ONE, "a").unwrap().version_id.unwrap();
    world.ok("echo third > a");
    assert_eq!(world.ok("ls -A"), "a\nb\n");
    let names = world.ok("ls .versions/a");
    assert!(names.starts_with(&first) && names.contains(&second), "{names}");
    assert_eq!(world.ok(&format!("cat .versions/a/{first} .versions/a/{second} a")), "firstsecond\nthird\n");
    let current = world.properties(ONE, "a").unwrap().version_id.unwrap();
    assert!(!names.contains(&current), "the current version is the file itself: {names}");
    let file = world.here().join(".versions/a").join(&first);
    assert_eq!(attribute(&file, "version_id").as_deref(), Some(first.as_str()));
    let url = attribute(&file, "url").unwrap();
    assert!(url.ends_with(&format!("/box/a?versionid={}", first.replace(':', "%3A"))), "{url}");

    // Brought back, and copied elsewhere, each by one Copy Blob; another account reads it by a SAS for the version.
    for (destination, account, name) in [("a", ONE, "a"), ("c", ONE, "c"), ("../../two/box/c", TWO, "c")] {
        world.reset_stats();
        world.ok(&format!("cp .versions/a/{first} {destination}"));
        assert_eq!(world.stats().requests("CopyBlob"), 1);
        assert_eq!(changes(&world.stats()), 1, "{:#?}", world.store.requests());
        assert_no_payload(&world.stats());
        assert_eq!(world.store.content(account, BOX, name).unwrap(), "first");
    }
    assert!(world.ok("ls .versions/a").contains(&current), "what was replaced is a version now");
    assert!(world.sh(&format!("echo x > .versions/a/{first}")).stderr.contains("Read-only"));
    assert_no_write_to_the_past(&world.store);
}

#[test]
fn versions_outlive_their_blob() {
    let world = versioned();
    world.put("d/a", "kept");
    world.put("d/b", "other");
    world.ok("rm d/a");
    assert_eq!(world.ok("ls d d/.versions"), "d:\nb\n\nd/.versions:\na\n");
    let version = world.ok("ls d/.versions/a");
    world.ok(&format!("cp d/.versions/a/{} d/a", version.trim()));
    assert_eq!(world.stored("d/a"), "kept");
    // A directory that went with its last blob, not by our doing, has no path; made again it has its past.
    world.put("gone/a", "of old");
    world.block_on(world.client(ONE).blob(&path("gone/a")).delete(&DeleteOptions::default())).unwrap();
    assert!(world.sh("ls gone/.versions").stderr.contains("No such file"));
    assert_eq!(world.ok("mkdir gone && cat gone/.versions/a/*"), "of old");
}

#[test]
fn rm_of_a_version_deletes_that_version_and_never_the_current_one() {
    let world = versioned();
    world.put("a", "first");
    let first = world.properties(ONE, "a").unwrap().version_id.unwrap();
    world.put("a", "second");
    let current = world.properties(ONE, "a").unwrap().version_id.unwrap();
    world.reset_stats();
    let ran = world.sh(&format!("rm .versions/a/{current}"));
    assert!(ran.stderr.contains("Operation not permitted"), "{ran:?}");
    assert_eq!(changes(&world.stats()), 0, "{:#?}", world.store.requests());
    world.ok(&format!("rm .versions/a/{first}"));
    assert_eq!((world.stats().requests("DeleteBlob"), changes(&world.stats())), (1, 1));
    assert_eq!(world.ok("ls .versions; cat a"), "second");
    let version = Revision::Version(blobcp::store::Moment::parse(&first).unwrap());
    let gone = world.block_on(world.client(ONE).blob(&path("a")).at(&version).properties());
    assert!(gone.unwrap_err().is_not_found());
}

#[test]
fn an_interrupted_promotion_of_a_pending_copy_leaves_the_snapshot() {
    // C22 and X14: an asynchronous promotion takes the old content at its start; the snapshot is what is left to go back to.
    let world = World::new();
    world.put("a", pattern(1 << 20));
    let taken = snapshot(&world, "a");
    world.put("a", "new");
    world.hold_copies();
    let cp = world.start(&format!("cp .snapshots/a/{taken} a"));
    pending(&world, "a");
    cp.signal(libc::SIGINT);
    assert_ne!(cp.wait().code, Some(0));
    eventually("an abort", || status(&world, "a") == Some(CopyStatus::Aborted));
    world.store.change_policy(PolicyChange { hold_new_copies: Some(false), ..Default::default() });
    world.ok(&format!("cp .snapshots/a/{taken} a"));
    assert_eq!(world.stored("a"), pattern(1 << 20));
}
