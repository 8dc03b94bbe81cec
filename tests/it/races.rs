//! Two who do not know of each other: other processes, other clients, answers that come late. Nothing is lost in silence.

use std::time::Duration;

use blobcp::devstore::Fault;
use blobcp::path::{BlobName, BlobPath, ContainerName};
use blobcp::store::{BlockId, DeleteOptions, Metadata, WriteOptions};

use crate::common::*;

/// Scans a large directory; in the middle of it `zlog`, which is listed but not delivered yet, is renamed.
const SLOW_SCAN: &str = "entries = os.scandir(\".\")\n\
    first = next(entries).name\n\
    os.stat(first)\n\
    os.rename(\"zlog\", \"zlog.1\")\n\
    for i, entry in enumerate(entries):\n \
     if i % 50 == 0: os.stat(entry.name)\n";

fn large_directory(world: &World) {
    for i in 0..3000 {
        world.put(&format!("a-file-with-a-long-name-{i:05}"), "x");
    }
    world.put("zlog", "1\n");
}

#[test]
fn a_listing_that_comes_late_gives_no_file_a_second_name() {
    let world = World::with(Setup { attr_ttl: Duration::from_secs(5), ..Default::default() });
    large_directory(&world);
    let printed =
        python(&world, &format!("os.stat('zlog')\n{SLOW_SCAN}\ntry: os.unlink('zlog')\nexcept OSError as e: print(e)"));
    assert!(printed.contains("No such file"), "{printed}");
    assert_eq!(world.stored("zlog.1"), "1\n");
}

#[test]
fn a_listing_that_comes_late_does_not_cut_an_open_file_off() {
    let world = World::new();
    large_directory(&world);
    let writer = Gated::between(
        &world,
        &format!("f = open('zlog', 'ab', buffering=0)\n{SLOW_SCAN}"),
        "assert not os.path.exists('zlog')\nf.write(b'2\\n')\nos.fsync(f.fileno())\nf.close()",
    );
    world.expire(&["zlog", "zlog.1"]);
    writer.finish();
    assert_eq!(world.stored("zlog.1"), "1\n2\n");
}

#[test]
fn a_handle_that_missed_another_clients_version_does_not_overwrite_it_after_setfattr() {
    let world = World::new();
    let mut writer = Gated::start(
        &world,
        "f = open('f', 'wb', buffering=0)\nf.write(b'old')\nos.fsync(f.fileno())\ngate()\nf.write(b'more')\nf.close()",
    );
    writer.reached();
    world.put("f", "another client wrote this");
    world.expire(&["f"]);
    world.ok("setfattr -n user.blob.meta.color -v blue f");
    let ran = writer.open();
    assert!(ran.stderr.contains("Stale file handle"), "{ran:?}");
    assert_eq!(world.stored("f"), "another client wrote this");
}

#[test]
fn a_file_that_another_client_deleted_is_not_written_to_in_silence() {
    let world = World::new();
    world.put("log", "1\n");
    let mut writer =
        Gated::start(&world, "f = open('log', 'ab', buffering=0)\ngate()\nf.write(b'2\\n')\nos.fsync(f.fileno())");
    writer.reached();
    let client = world.client(ONE);
    world.block_on(client.blob(&path("log")).delete(&DeleteOptions::default())).unwrap();
    world.expire(&["log"]);
    assert!(world.sh("stat log").stderr.contains("No such file"));
    let ran = writer.open();
    assert!(ran.stderr.contains("Stale file handle"), "{ran:?}");
}

#[test]
fn a_line_that_was_appended_is_not_reported_as_lost() {
    // O_APPEND goes to the end of whatever is there, so close says what happened: it is stored.
    let world = World::new();
    world.put("log", "1\n");
    let mut writer = Gated::start(&world, "f = open('log', 'ab', buffering=0)\ngate()\nf.write(b'2\\n')\nf.close()");
    writer.reached();
    world.put("log", "other\n");
    world.expire(&["log"]);
    world.ok("cat log");
    let ran = writer.open();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(world.stored("log"), "other\n2\n");
}

#[test]
fn a_copy_onto_a_file_that_somebody_has_open_is_still_the_services() {
    let world = World::new();
    world.put("a", pattern(1 << 20));
    let mut holder =
        Gated::start(&world, "f = open('b', 'wb', buffering=0)\nf.write(b'x')\nos.fsync(f.fileno())\ngate()");
    holder.reached();
    world.reset_stats();
    world.ok("cp a b");
    assert_eq!(world.stats().requests("CopyBlob"), 1, "{:?}", world.stats());
    assert_no_payload(&world.stats());
    holder.open();
    assert_eq!(world.stored("b"), world.stored("a"));
}

#[test]
fn a_refusal_of_one_operation_does_not_switch_it_off() {
    // The kernel takes ENOSYS from flush for "never call it again": every later close would succeed.
    let world = World::new();
    let write = |name: &str| world.sh(&format!("python3 -c \"f = open('{name}', 'wb'); f.write(b'x'); f.close()\""));
    world.store.add_fault(fault(r#"{"operation":"PutBlob","status":405,"code":"UnsupportedHttpVerb","count":2}"#));
    assert!(write("a").stderr.contains("not supported"));
    world.store.clear_faults();
    world.store.add_fault(fault(r#"{"operation":"PutBlob","status":403,"code":"AuthorizationFailure","count":100}"#));
    assert!(write("b").stderr.contains("Permission denied"));
}

#[test]
fn a_container_with_anything_in_it_is_not_removed() {
    let world = World::new();
    world.ok("mkdir ../upload");
    let blob = BlobPath::new(ContainerName::parse("upload").unwrap(), BlobName::parse("big").unwrap());
    let client = world.client(ONE);
    world.block_on(client.blob(&blob).block_blob().stage_block(&BlockId::new("MDAw"), vec![1; 1000])).unwrap();
    let ran = world.sh("rmdir ../upload");
    assert!(ran.stderr.contains("Directory not empty"), "{ran:?}");
    assert_eq!(world.stats().requests("DeleteContainer"), 0);
}

#[test]
fn a_blob_with_content_is_no_directory_whatever_its_metadata_say() {
    let world = World::new();
    world.put("m", "content that matters");
    world.ok("setfattr -n user.blob.meta.hdi_isfolder -v true m");
    world.expire(&["m"]);
    world.ok("test -f m");
    assert!(world.sh("rmdir m").stderr.contains("Not a directory"));
    assert_eq!(world.ok("cat m"), "content that matters");
}

#[test]
fn metadata_that_make_no_sense_spoil_no_listing() {
    let world = World::new();
    world.put("a", "x");
    let metadata: Metadata =
        [("mtime", "18446744073709551615"), ("permissions", "77777777777"), ("owner", "-1")].into_iter().collect();
    world.block_on(world.client(ONE).blob(&path("a")).set_metadata(&metadata, &WriteOptions::default())).unwrap();
    assert!(world.ok("ls -l").contains(" a\n"));
}

#[test]
fn what_happened_is_not_called_a_failure() {
    // A directory that only its entries made gets a marker when the last one goes: a courtesy that may fail.
    let world = World::new();
    world.put("d/x", "1");
    world.put("e/x", "1");
    world.ok("cat d/x e/x");
    world.store.add_fault(fault(r#"{"operation":"PutBlob","status":403,"code":"AuthorizationFailure","count":100}"#));
    world.ok("rm d/x; mv e/x y");
    assert!(!world.is_stored("d/x") && !world.is_stored("e/x") && world.is_stored("y"));
}

#[test]
fn attributes_that_one_process_changes_while_another_closes_the_file_are_both_kept() {
    // Whichever of the two comes first, neither hears of a version that it does not know.
    let world = World::with(Setup { attr_ttl: Duration::from_secs(600), ..Default::default() });
    for (operation, change) in [
        ("SetBlobMetadata", "chmod 600 f"),
        ("PutBlockList", "chmod 600 f"),
        ("SetBlobMetadata", "setfattr -n user.blob.meta.color -v blue f"),
        ("PutBlockList", "setfattr -n user.blob.meta.color -v blue f"),
        ("SetBlobProperties", "setfattr -n user.blob.content_type -v image/png f"),
    ] {
        world.ok("rm -f f; echo old > f");
        let mut writer = Gated::start(&world, "f = open('f', 'r+b')\nf.write(b'new')\ngate()\nf.close()");
        writer.reached();
        // The request of the first stops, and the other begins meanwhile.
        let first = world.stop(Fault::on(operation));
        let change = if operation == "PutBlockList" {
            writer.let_go();
            first.reached();
            let mut change = world.start(change);
            eventually("the change", || change.has_ended_or_is_in(&[libc::SYS_fchmodat, libc::SYS_setxattr]));
            change
        } else {
            let change = world.start(change);
            first.reached();
            writer.let_go();
            eventually("the close", || writer.has_ended_or_is_in(&[libc::SYS_write, libc::SYS_close]));
            change
        };
        first.let_go();
        let ran = writer.wait();
        assert_eq!((ran.code, change.wait().code), (Some(0), Some(0)), "{operation}: {ran:?}");
        assert_eq!(world.stored("f"), "new\n");
        let now = world.properties(ONE, "f").unwrap();
        let kept = [now.metadata.get("permissions"), now.metadata.get("color"), now.headers.content_type.as_deref()];
        assert!(kept.iter().flatten().any(|value| ["0600", "blue", "image/png"].contains(value)), "{kept:?}");
    }
}
