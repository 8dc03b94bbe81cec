//! Copies between accounts, by Copy Blob and in blocks: what either leaves behind, what is to be seen of it on the way, and which of
//! them is chosen.

use std::path::PathBuf;

use blobcp::devstore::{CopyRate, Fault, PolicyChange, Reset};
use blobcp::fs::CopyMethod;
use blobcp::store::{BlobSettings, ContentHeaders, CopyStatus, LeaseOptions, Metadata, Tags, WriteOptions};
use serde_json::Value;

use crate::common::*;

mod dropped;
mod fallen_back;
mod looked_at;
mod overtaken;

const BLOBCP: &str = env!("CARGO_BIN_EXE_blobcp");
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A mount that copies between accounts in blocks.
fn in_blocks() -> World {
    World::with(Setup { copy_method: CopyMethod::Blocks, ..Setup::default() })
}

/// A file of `two/box`.
fn there(world: &World, name: &str) -> PathBuf {
    world.there().join(name)
}

fn content(world: &World, name: &str) -> Vec<u8> {
    world.store.content(TWO, BOX, name).unwrap().to_vec()
}

/// The second block stops on its way.
fn stop_a_block(world: &World) -> Stopped<'_> {
    world.stop(Fault { skip: 1, ..Fault::on("PutBlockFromURL") })
}

/// A copy attribute of a file in `two/box`.
fn shown(world: &World, name: &str, attribute: &str) -> Option<String> {
    crate::common::attribute(&there(world, name), &format!("copy.{attribute}"))
}

/// Another client writes to a blob of `two/box`.
fn write_elsewhere(world: &World, name: &str, text: &'static str) {
    let (settings, always) = (BlobSettings::default(), WriteOptions::default());
    world.block_on(world.client(TWO).blob(&path(name)).block_blob().upload(text, &settings, &always)).unwrap();
}

/// Everything that a copy carries.
#[derive(Debug, PartialEq)]
struct Carried {
    content: Vec<u8>,
    headers: ContentHeaders,
    metadata: Metadata,
    chosen_tier: Option<String>,
    tags: Tags,
}

/// Of a blob of `two/box`, as the service shows it.
fn carried(world: &World, name: &str) -> Carried {
    let found = world.properties(TWO, name).unwrap();
    let tags = world.block_on(world.client(TWO).blob(&path(name)).tags()).unwrap();
    let (chosen_tier, content) = (found.chosen_tier(), content(world, name));
    Carried { content, headers: found.headers, metadata: found.metadata, chosen_tier, tags }
}

#[test]
fn blocks_leave_behind_what_copy_blob_leaves_behind() {
    let world = World::new();
    world.put("a", pattern(9 * MIB as usize));
    for (name, value) in [
        ("meta.Color", "blue"),
        ("tag.team", "x"),
        ("cache_control", "no-store"),
        ("content_language", "de"),
        ("tier", "Cool"),
    ] {
        world.ok(&format!("setfattr -n user.blob.{name} -v {value} a"));
    }
    for name in ["old-blob", "old-blocks"] {
        world.store.put_blob(TWO, BOX, name, "something else".into(), "text/plain").unwrap();
        world.ok(&format!("setfattr -n user.blob.tier -v Cold ../../two/box/{name}"));
    }
    world.reset_stats();
    for kind in ["new", "old"] {
        for method in ["blob", "blocks"] {
            world.ok(&format!("{BLOBCP} cp --copy-method {method} a ../../two/box/{kind}-{method}"));
        }
        assert_eq!(carried(&world, &format!("{kind}-blob")), carried(&world, &format!("{kind}-blocks")));
    }
    world.ok(&format!("{BLOBCP} cp --copy-method blocks --tier Cold --meta x=y a ../../two/box/told"));
    let told = carried(&world, "told");
    assert_eq!((told.metadata.get("x"), told.metadata.get("Color")), (Some("y"), None));
    assert_eq!(told.chosen_tier.as_deref(), Some("Cold"));
    let stats = world.stats();
    let count = |operation| stats.requests(operation);
    // 9 MiB are two blocks.
    assert_eq!((count("CopyBlob"), count("PutBlockFromURL"), count("PutBlockList")), (2, 6, 3), "{stats:?}");
    assert_no_payload(&stats);
}

#[test]
fn cp_of_4_gib_is_many_blocks_at_once_and_one_block_list() {
    let world = in_blocks();
    world.put_sparse("a", 4 * GIB);
    world.ok("printf 'the end' >> a; setfattr -n user.blob.meta.color -v blue a");
    world.reset_stats();
    world.ok("cp a ../../two/box/b");
    let stats = world.stats();
    assert_eq!((stats.requests("CopyBlob"), stats.requests("PutBlockList")), (0, 1), "{stats:?}");
    assert_eq!(stats.requests("PutBlockFromURL"), 93, "{stats:?}");
    assert!((2..=32).contains(&stats.most_at_once["PutBlockFromURL"]), "{stats:?}");
    assert_no_payload(&stats);
    let b = world.properties(TWO, "b").unwrap();
    assert_eq!((b.size, b.metadata.get("color")), (4 * GIB + 7, Some("blue")));
    assert_eq!(world.ok("tail -c 7 ../../two/box/b"), "the end");
    // Within an account Copy Blob is done at once, whatever was said.
    world.reset_stats();
    world.ok("cp a c");
    assert_eq!((world.stats().requests("CopyBlob"), world.stats().requests("PutBlockFromURL")), (1, 0));
}

#[test]
fn what_is_no_block_blob_is_a_copy_blob() {
    let world = in_blocks();
    let (client, log, options) = (world.client(ONE), path("log"), WriteOptions::default());
    world.block_on(client.blob(&log).append_blob().create(&BlobSettings::default(), &options)).unwrap();
    world.block_on(client.blob(&log).append_blob().append_block(0, "text".into(), &options)).unwrap();
    world.ok("cp log ../../two/box/log");
    assert_eq!((world.stats().requests("CopyBlob"), world.stats().requests("PutBlockFromURL")), (1, 0));
    assert_eq!(content(&world, "log"), b"text");
    world
        .block_on(client.blob(&path("disk")).page_blob().create(64 << 10, &BlobSettings::default(), &options))
        .unwrap();
    world.ok("cp disk ../../two/box/disk");
    assert_eq!((world.stats().requests("CopyBlob"), world.stats().requests("PutBlockFromURL")), (2, 0));
    assert_eq!(content(&world, "disk"), vec![0; 64 << 10]);
}

/// M6: the mount knows of it, and nobody else.
#[test]
fn a_copy_in_blocks_is_seen_and_leaves_what_it_replaces_until_its_end() {
    let world = in_blocks();
    world.put("a", pattern(24 * MIB as usize));
    for name in ["b", "c"] {
        world.store.put_blob(TWO, BOX, name, "old".into(), "text/plain").unwrap();
    }
    for name in ["b", "new"] {
        let before = world.properties(TWO, name);
        let block = stop_a_block(&world);
        let id = world.ok(&format!("{BLOBCP} cp --no-wait a ../../two/box/{name}"));
        let id = id.trim().rsplit(' ').next().unwrap().to_owned();
        block.reached();
        eventually("the others", || shown(&world, name, "progress") == Some(format!("{}/{}", 16 * MIB, 24 * MIB)));
        for (attribute, value) in [("status", "pending"), ("method", "blocks"), ("id", &id)] {
            assert_eq!(shown(&world, name, attribute).as_deref(), Some(value), "{name}: {attribute}");
        }
        let source = shown(&world, name, "source").unwrap();
        assert!(source.ends_with("/box/a") || source.contains("/box/a?") && !source.contains("sig="), "{source}");
        let listed = world.ok(&format!("{BLOBCP} status -r --json ../../two/box"));
        let is_listed = |line: &str| {
            let found: Value = serde_json::from_str(line).unwrap();
            found["id"] == id.as_str() && found["status"] == "pending"
        };
        assert!(listed.lines().any(is_listed), "{listed}");
        assert_eq!(world.properties(TWO, name), before, "to others nothing has happened");
        assert_eq!(world.sh(&format!("echo more >> ../../two/box/{name}")).code, Some(1), "nobody writes to it");
        let told = world.ok(&format!("{BLOBCP} status ../../two/box/{name}"));
        assert!(told.contains("\n  method   blocks\n"), "{told}");
        assert!(listed.contains(r#""method":"blocks""#), "{listed}");
        block.let_go();
        world.ok(&format!("{BLOBCP} wait ../../two/box/{name}"));
        assert_eq!(content(&world, name), pattern(24 * MIB as usize));
        for (attribute, value) in [("status", "success"), ("method", "blocks"), ("id", &id)] {
            assert_eq!(shown(&world, name, attribute).as_deref(), Some(value), "{name}: {attribute}");
        }
        assert!(world.ok(&format!("cmp a ../../two/box/{name}; ls ../../two/box")).contains(name));
        // X15
        write_elsewhere(&world, name, "another");
        assert_eq!(shown(&world, name, "status"), None);
    }
    world.ok(&format!("{BLOBCP} cp --copy-method blob a ../../two/box/c"));
    assert_eq!(shown(&world, "c", "method").as_deref(), Some("blob"));
}

/// What ends a copy.
type End<'a> = &'a dyn Fn(&World, &Running);

/// M7: nothing was committed, so nothing has happened.
#[test]
fn an_aborted_copy_in_blocks_leaves_everything_as_it_was() {
    let world = in_blocks();
    world.put("a", pattern(20 * MIB as usize));
    world.store.put_blob(TWO, BOX, "b", "old".into(), "text/plain").unwrap();
    let before = world.properties(TWO, "b");
    let ends: [End<'_>; 2] =
        [&|world, _| drop(world.ok("setfattr -n user.blob.copy.status -v abort ../../two/box/b")), &|_, cp| {
            cp.signal(libc::SIGINT)
        }];
    for (number, end) in ends.iter().enumerate() {
        let block = stop_a_block(&world);
        let cp = world.start(&format!("exec {BLOBCP} cp a ../../two/box/b"));
        block.reached();
        eventually("the copy", || shown(&world, "b", "status").as_deref() == Some("pending"));
        end(&world, &cp);
        let ran = cp.wait();
        assert_eq!(ran.code, Some(if number == 0 { 1 } else { 130 }), "{ran:?}");
        assert!(ran.stderr.contains("aborted"), "{ran:?}");
        assert!(number == 0 || ran.stderr.contains("nothing has changed there"), "{ran:?}");
        assert_eq!(shown(&world, "b", "status").as_deref(), Some("aborted"));
        block.let_go();
        assert_eq!((world.properties(TWO, "b"), content(&world, "b")), (before.clone(), b"old".to_vec()));
        assert_eq!(world.stats().requests("PutBlockList"), 0);
    }
    // cp itself, which has truncated the file that it was to write.
    for name in ["b", "new"] {
        let block = stop_a_block(&world);
        let cp = world.start(&format!("exec cp a ../../two/box/{name}"));
        block.reached();
        cp.signal(libc::SIGINT);
        assert_eq!(cp.wait().signal, Some(libc::SIGINT));
        block.let_go();
        assert_eq!(world.properties(TWO, name).map(|found| found.size), (name == "b").then_some(3));
        assert_eq!(world.stats().requests("PutBlockList"), 0);
    }
    assert_eq!(world.sh("cat ../../two/box/new").code, Some(1), "there never was one");
    let block = stop_a_block(&world);
    world.ok(&format!("{BLOBCP} cp --no-wait a ../../two/box/gone"));
    block.reached();
    world.ok("rm ../../two/box/gone");
    block.let_go();
    assert_eq!((world.properties(TWO, "gone"), world.sh("ls ../../two/box/gone").code), (None, Some(2)));
}

#[test]
fn a_tree_is_copied_in_blocks_and_ends_with_ctrl_c() {
    let world = World::new();
    for name in ["t/a", "t/b", "t/c"] {
        world.put(name, pattern(9 * MIB as usize));
    }
    let copy = format!("{BLOBCP} cp -r --copy-method blocks t ../../two/box");
    let block = world.stop(Fault { skip: 1, blob_prefix: Some("t/b".into()), ..Fault::on("PutBlockFromURL") });
    let cp = world.start(&format!("exec {copy}"));
    block.reached();
    eventually("the others", || ["t/a", "t/c"].iter().all(|name| world.properties(TWO, name).is_some()));
    cp.signal(libc::SIGINT);
    let ran = cp.wait();
    assert_eq!(ran.code, Some(130), "{ran:?}");
    block.let_go();
    assert_eq!(world.properties(TWO, "t/b"), None);
    world.ok(&copy);
    assert_eq!(content(&world, "t/b"), pattern(9 * MIB as usize));
    assert_eq!(world.stats().requests("CopyBlob"), 0);
    assert_no_payload(&world.stats());
}

/// What was copied is known by the version of the source, at once and whatever the clocks say.
#[test]
fn a_tree_that_is_copied_again_is_skipped_as_far_as_it_is_the_same() {
    let world = World::new();
    for name in ["t/a", "t/b"] {
        world.put_sparse(name, 9 * MIB);
        assert_eq!(world.properties(ONE, name).unwrap().headers.content_md5, None, "it would be proof enough");
    }
    let copy = format!("{BLOBCP} cp -r --copy-method blocks t ../../two/box");
    let lists = || world.stats().requests("PutBlockList");
    world.ok(&copy);
    assert_eq!(lists(), 2);
    let made = httpdate::fmt_http_date(world.properties(TWO, "t/a").unwrap().last_modified);
    assert_eq!(shown(&world, "t/a", "completion_time"), Some(made), "the service's clock");
    world.ok(&copy);
    assert_eq!(lists(), 2);
    world.put_sparse("t/b", 9 * MIB);
    world.ok(&copy);
    assert_eq!(lists(), 3, "another version of the same face");
}

/// X8, X16: neither another source nor another writer is lost sight of.
#[test]
fn a_copy_in_blocks_fails_with_its_source_and_with_its_destination() {
    let world = World::with(Setup {
        copy_method: CopyMethod::Blocks,
        lease_source: blobcp::fs::LeaseSource::Never,
        ..Setup::default()
    });
    world.put("a", pattern(9 * MIB as usize));
    world.store.put_blob(TWO, BOX, "b", "old".into(), "text/plain").unwrap();
    let block = stop_a_block(&world);
    let cp = world.start(&format!("exec {BLOBCP} cp a ../../two/box/b"));
    block.reached();
    world.put("a", "changed");
    block.let_go();
    let ran = cp.wait();
    assert!(ran.code == Some(1) && ran.stderr.contains("failed"), "{ran:?}");
    assert_eq!(content(&world, "b"), b"old");
    assert_eq!(shown(&world, "b", "status").as_deref(), Some("failed"));
    let description = shown(&world, "b", "status_description").unwrap();
    assert!(description.starts_with("412 ") && description.contains("source"), "{description}");

    world.put("c", pattern(9 * MIB as usize));
    let block = stop_a_block(&world);
    let cp = world.start("exec cp c ../../two/box/b");
    block.reached();
    write_elsewhere(&world, "b", "theirs");
    block.let_go();
    let ran = cp.wait();
    assert!(ran.code == Some(1) && !ran.stderr.is_empty(), "{ran:?}");
    assert_eq!(content(&world, "b"), b"theirs");
    let stats = world.stats();
    assert_eq!((stats.requests("CopyBlob"), stats.body_bytes_in), (0, "theirs".len() as u64), "{stats:?}");
}

#[test]
fn a_block_list_whose_answer_is_lost_is_one_copy() {
    let world = in_blocks();
    world.put("a", pattern(9 * MIB as usize));
    world.store.add_fault(Fault { reset: Some(Reset::After), ..Fault::on("PutBlockList") });
    world.ok("cp a ../../two/box/b");
    assert_eq!(content(&world, "b"), pattern(9 * MIB as usize));
    assert_eq!(shown(&world, "b", "method").as_deref(), Some("blocks"));
}

/// C40 to C44, X5.
#[test]
fn leases_hold_for_copies_in_blocks() {
    let world = in_blocks();
    world.put("a", pattern(9 * MIB as usize));
    world.store.put_blob(TWO, BOX, "b", "old".into(), "text/plain").unwrap();
    let lease = world.block_on(world.client(TWO).blob(&path("b")).acquire_lease(&LeaseOptions::default())).unwrap();
    assert_eq!(world.sh(&format!("{BLOBCP} cp a ../../two/box/b")).code, Some(1));
    assert_eq!(content(&world, "b"), b"old");
    let block = stop_a_block(&world);
    let cp = world.start(&format!("exec {BLOBCP} cp --lease-id {} a ../../two/box/b", lease.as_str()));
    block.reached();
    eventually("the lease", || world.properties(ONE, "a").unwrap().lease.is_held());
    block.let_go();
    assert_eq!(cp.wait().code, Some(0));
    assert_eq!(content(&world, "b"), pattern(9 * MIB as usize));
    eventually("its end", || !world.properties(ONE, "a").unwrap().lease.is_held());
}

/// C52: what stays until the end needs not be brought back.
#[test]
fn keep_on_abort_holds_for_copies_in_blocks() {
    let world = World::with(Setup { copy_method: CopyMethod::Blocks, keep_on_abort: true, ..Setup::default() });
    world.put("a", pattern(9 * MIB as usize));
    world.store.put_blob(TWO, BOX, "b", "old".into(), "text/plain").unwrap();
    let block = stop_a_block(&world);
    let cp = world.start("exec cp a ../../two/box/b");
    block.reached();
    world.ok(&format!("{BLOBCP} abort ../../two/box/b"));
    block.let_go();
    assert_eq!(cp.wait().code, Some(1));
    assert_eq!(content(&world, "b"), b"old");
    world.ok("cp a ../../two/box/b");
    assert_eq!(content(&world, "b"), pattern(9 * MIB as usize));
    assert_eq!(world.stats().requests("SnapshotBlob"), 0, "none is needed");
    // A Copy Blob takes what is there at its start.
    world.ok(&format!("{BLOBCP} cp --copy-method blob a ../../two/box/b"));
    assert_eq!(world.stats().requests("SnapshotBlob"), 1);
    eventually("its end", || world.stats().requests("DeleteBlob") == 1);
}

#[test]
fn a_mount_that_ends_or_is_killed_leaves_what_a_copy_in_blocks_was_to_replace() {
    let world = World::new();
    world.put("a", pattern(9 * MIB as usize));
    world.store.put_blob(TWO, BOX, "b", "old".into(), "text/plain").unwrap();
    let mut mount = MountProcess::new(&world.store, &[ONE, TWO], &["--copy-method", "blocks", ONE, TWO]);
    for killed in [true, false] {
        let accept = |name| {
            let accepted = mount.start(&format!("{BLOBCP} cp --no-wait one/box/a two/box/{name}")).wait();
            assert_eq!(accepted.code, Some(0), "{accepted:?}");
        };
        let (block, list) = (stop_a_block(&world), world.stop(Fault::on("PutBlockList")));
        accept("b");
        block.reached();
        accept("new");
        list.reached();
        match killed {
            true => mount.kill(),
            false => mount.terminate(),
        }
        world.store.clear_faults();
        assert_eq!((content(&world, "b"), world.properties(TWO, "new")), (b"old".to_vec(), None));
        assert_eq!(world.stats().requests("CopyBlob"), 0);
        if killed {
            mount.start_again();
        }
    }
}

/// A mount that chooses, with a service whose asynchronous copies are slow.
fn slow_asynchronous(rate: CopyRate, from_url: CopyRate) -> World {
    let mut setup = Setup::default();
    (setup.devstore.copy_cross_account, setup.devstore.from_url_cross_account) = (rate, from_url);
    World::with(setup)
}

#[test]
fn a_slow_copy_blob_goes_on_in_blocks_and_the_next_copy_begins_so() {
    let world = slow_asynchronous(CopyRate::BytesPerSecond(MIB), CopyRate::Immediate);
    world.put_sparse("a", 512 * MIB);
    world.store.put_blob(TWO, BOX, "c", "old".into(), "text/plain").unwrap();
    let count = |operation| world.stats().requests(operation);
    for (name, by_blob) in [("b", 1), ("c", 0), ("d", 0)] {
        world.reset_stats();
        world.ok(&format!("cp a ../../two/box/{name}"));
        assert_eq!((count("CopyBlob"), count("AbortCopyBlob"), count("PutBlockList")), (by_blob, by_blob, 1), "{name}");
        assert_no_payload(&world.stats());
        assert_eq!(world.properties(TWO, name).unwrap().size, 512 * MIB);
        assert_eq!(shown(&world, name, "status").as_deref(), Some("success"));
        assert_eq!(shown(&world, name, "method").as_deref(), Some("blocks"));
    }
    // The other way nothing is known, and what is small is done before it is measured.
    world.reset_stats();
    world.store.put_blob(TWO, BOX, "small", "text".into(), "text/plain").unwrap();
    world.ok("cp ../../two/box/small back");
    assert_eq!((count("CopyBlob"), count("PutBlockList")), (1, 0));
}

#[test]
fn a_fast_copy_blob_stays_one() {
    let world = slow_asynchronous(CopyRate::BytesPerSecond(2 * GIB), CopyRate::Immediate);
    world.put_sparse("a", 4 * GIB);
    for name in ["b", "c"] {
        world.ok(&format!("cp a ../../two/box/{name}"));
        assert_eq!(world.properties(TWO, name).unwrap().copy.unwrap().status, CopyStatus::Success);
    }
    let stats = world.stats();
    assert_eq!(
        (stats.requests("CopyBlob"), stats.requests("AbortCopyBlob"), stats.requests("PutBlockFromURL")),
        (2, 0, 0)
    );
}

#[test]
fn blocks_that_are_slower_are_given_up_for_the_copy_blob_that_they_took_the_place_of() {
    let world = slow_asynchronous(CopyRate::BytesPerSecond(MIB), CopyRate::BytesPerSecond(1));
    world.put_sparse("a", 512 * MIB);
    let cp = world.start(&format!("exec {BLOBCP} cp a ../../two/box/b"));
    eventually("blocks", || world.stats().requests("AbortCopyBlob") == 1);
    let id = shown(&world, "b", "id").unwrap();
    let at_once = PolicyChange { copy_cross_account: Some(CopyRate::Looks(1)), ..PolicyChange::default() };
    world.store.change_policy(at_once);
    let ran = cp.wait();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let stats = world.stats();
    assert_eq!((stats.requests("CopyBlob"), stats.requests("PutBlockList")), (2, 0), "{stats:?}");
    assert_eq!(world.properties(TWO, "b").unwrap().copy.unwrap().status, CopyStatus::Success);
    assert_eq!((shown(&world, "b", "id"), shown(&world, "b", "method").as_deref()), (Some(id), Some("blob")));
}

/// A copy that goes on in blocks is the same copy to whoever watches it, and its abort brings back what it replaced.
#[test]
fn an_abort_of_what_goes_on_in_blocks_brings_back_what_was_there() {
    let world = slow_asynchronous(CopyRate::BytesPerSecond(MIB), CopyRate::Immediate);
    world.put_sparse("a", 512 * MIB);
    world.store.put_blob(TWO, BOX, "b", "old".into(), "text/plain").unwrap();
    let block = stop_a_block(&world);
    let cp = world.start(&format!("exec {BLOBCP} cp --keep-on-abort a ../../two/box/b"));
    eventually("the copy", || shown(&world, "b", "method").as_deref() == Some("blob"));
    let id = shown(&world, "b", "id");
    block.reached();
    assert_eq!((shown(&world, "b", "method").as_deref(), shown(&world, "b", "id")), (Some("blocks"), id));
    assert_eq!(shown(&world, "b", "status").as_deref(), Some("pending"));
    let read = world.sh("cat ../../two/box/b");
    assert!(read.code == Some(1) && read.stderr.contains("busy"), "it is not empty, it is on its way: {read:?}");
    world.ok(&format!("{BLOBCP} abort ../../two/box/b"));
    block.let_go();
    assert_eq!(cp.wait().code, Some(1));
    eventually("what was there", || world.store.content(TWO, BOX, "b").unwrap() == "old");
}
