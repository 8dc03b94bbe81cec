//! Rules of the copy semantics (`docs/copy-rules.md`) as a user of a mount meets them, where no other file of tests is about them.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;

use blobcp::devstore::CopyAction;
use blobcp::ioctl;
use blobcp::store::sas::{self, Validity};
use blobcp::store::{
    AccountKey, BlobSettings, BlobType, Block, BlockId, BlockRef, CopyStatus, DEFAULT_API_VERSION, WriteOptions,
};
use zerocopy::FromZeros;

use crate::common::*;

/// A request of another program, signed by the account `one`; its status.
fn raw_put(world: &World, name: &str, query: &str, headers: &[(&str, &str)], body: &'static str) -> u16 {
    let key = AccountKey::parse(&world.store.account_key(ONE).unwrap()).unwrap();
    let validity = Validity::for_the_next(std::time::Duration::from_secs(600));
    let account = world.client(ONE).account().clone();
    let token = sas::account(&key, &account, "racwl", "co", &validity, DEFAULT_API_VERSION);
    let url = format!("{}?{query}{}", world.client(ONE).blob(&path(name)).url(), token.expose());
    let mut request = reqwest::Client::new().put(url).body(body).header("content-length", body.len());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world.block_on(request.send()).unwrap().status().as_u16()
}

fn put_append_blob(world: &World, name: &str, content: &'static str) {
    assert_eq!(raw_put(world, name, "", &[("x-ms-blob-type", "AppendBlob")], ""), 201);
    assert_eq!(raw_put(world, name, "comp=appendblock&", &[], content), 201);
}

/// A copy by ioctl into `one/box`: what it answered, or the errno.
fn order(world: &World, source: &str, name: &str, tier: &str, metadata: &str) -> Result<ioctl::Copy, i32> {
    let mut copy = ioctl::Copy::new_zeroed();
    copy.flags = ioctl::OrderFlags::NO_WAIT;
    ioctl::set_text(&mut copy.source, source);
    ioctl::set_text(&mut copy.destination, name);
    ioctl::set_text(&mut copy.tier, tier);
    ioctl::set_text(&mut copy.metadata, metadata);
    let directory = File::open(world.here()).unwrap();
    // SAFETY: the payload is the one of this command.
    match unsafe { libc::ioctl(directory.as_raw_fd(), ioctl::COPY as libc::c_ulong, std::ptr::from_mut(&mut copy)) } {
        0 => Ok(copy),
        _ => Err(std::io::Error::last_os_error().raw_os_error().unwrap()),
    }
}

#[test]
fn a_copy_onto_itself_is_one_copy_blob_that_drops_uncommitted_blocks() {
    // C17
    let world = World::new();
    let client = world.client(ONE);
    let settings = BlobSettings { metadata: [("old", "1")].into_iter().collect(), ..Default::default() };
    let block = |id: &str, body: &'static str| {
        let id = BlockId::new(id);
        world.block_on(client.blob(&path("a")).block_blob().stage_block(&id, body)).unwrap();
        BlockRef::Uncommitted(id)
    };
    let list = [block("MDE=", "committed")];
    world
        .block_on(client.blob(&path("a")).block_blob().commit_block_list(&list, &settings, &WriteOptions::default()))
        .unwrap();
    let forgotten = [block("MDI=", "never committed")];
    let before = world.properties(ONE, "a").unwrap();
    world.ok("stat a");
    world.reset_stats();
    let copied = order(&world, "/one/box/a", "a", "", "").unwrap();
    let stats = world.stats();
    assert_eq!((stats.requests("CopyBlob"), stats.requests("PutBlob")), (1, 0), "{:#?}", world.store.requests());
    assert_no_payload(&stats);
    assert_eq!(copied.status, ioctl::SUCCESS);
    let after = world.properties(ONE, "a").unwrap();
    assert_ne!(after.etag, before.etag);
    assert_eq!((&after.metadata, after.size), (&before.metadata, 9));
    let gone = world.block_on(client.blob(&path("a")).block_blob().commit_block_list(
        &forgotten,
        &settings,
        &WriteOptions::default(),
    ));
    assert_eq!(gone.unwrap_err().code(), "InvalidBlockList");
    let blocks: Vec<Block> = world.block_on(client.blob(&path("a")).block_blob().block_list()).unwrap().0;
    assert_eq!(blocks.iter().map(|block| block.id.as_str()).collect::<Vec<_>>(), ["MDE="]);
    // GNU cp itself refuses, and nothing is asked.
    assert!(world.sh("cp a a").stderr.contains("same file"));
}

#[test]
fn a_copy_onto_itself_gives_other_metadata_and_another_tier() {
    // C18, X3: what is given replaces all; whoever has the file open goes on reading.
    let world = World::new();
    let settings = BlobSettings { metadata: [("old", "1")].into_iter().collect(), ..Default::default() };
    let body = pattern(100_000);
    world
        .block_on(world.client(ONE).blob(&path("a")).block_blob().upload(
            body.clone(),
            &settings,
            &WriteOptions::default(),
        ))
        .unwrap();
    let mut reader = File::open(world.here().join("a")).unwrap();
    order(&world, "/one/box/a", "a", "Cool", "new=1\nother=two words").unwrap();
    let after = world.properties(ONE, "a").unwrap();
    assert_eq!(after.metadata.iter().collect::<Vec<_>>(), [("new", "1"), ("other", "two words")]);
    assert_eq!(after.tier.as_deref(), Some("Cool"));
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut read).unwrap();
    assert!(read == body);
    assert_eq!(attribute(&world.here().join("a"), "meta.new").as_deref(), Some("1"));
    assert_eq!(attribute(&world.here().join("a"), "meta.old"), None);
    for wrong in ["no equals sign", "1a=x", "a-b=x", "a=ü"] {
        assert_eq!(order(&world, "/one/box/a", "b", "", wrong).err(), Some(libc::EINVAL), "{wrong}");
    }
    assert_eq!(order(&world, "/one/box/a", "b", "Lukewarm", "").err(), Some(libc::EINVAL));
    assert!(!world.is_stored("b"));
}

#[test]
fn a_file_that_is_being_written_is_not_copied_onto_itself() {
    let world = World::new();
    world.put("a", "old");
    let mut writer = File::options().append(true).open(world.here().join("a")).unwrap();
    writer.write_all(b" and new").unwrap();
    assert_eq!(order(&world, "/one/box/a", "a", "", "").err(), Some(libc::EBUSY));
    assert_eq!(world.stats().requests("CopyBlob"), 0);
    writer.write_all(b" and newer").unwrap();
    drop(writer);
    assert_eq!(world.stored("a"), "old and new and newer");
}

#[test]
fn an_archived_source_is_brought_back_into_another_blob() {
    // X21
    let world = logged_with(Setup { attr_ttl: USUAL_TTL, ..Default::default() });
    world.put("cold", "archived text");
    world.ok("setfattr -n user.blob.tier -v Archive cold");
    let cp = world.sh("cp cold copy");
    assert!(cp.code == Some(1) && cp.stderr.contains("No data available"), "{cp:?}");
    assert_logged(&["CopyBlob", "BlobArchived", "one/box/copy"]);
    // C30: cp has made the name; nothing of the source is in it.
    assert!(world.properties(ONE, "copy").is_none_or(|copy| copy.size == 0));
    assert_eq!(order(&world, "/one/box/cold", "warm", "", "").err(), Some(libc::ENODATA));
    assert!(!world.is_stored("warm"));
    let started = order(&world, "/one/box/cold", "warm", "Hot", "").unwrap();
    assert_eq!(started.status, ioctl::PENDING);
    assert_eq!(attribute(&world.here().join("warm"), "copy.status").as_deref(), Some("pending"));
    steer(&world, CopyAction::Release);
    eventually("the end of the copy", || world.sh("grep -q archived warm").code == Some(0));
    assert_eq!(attribute(&world.here().join("warm"), "tier").as_deref(), Some("Hot"));
    assert_no_payload_in(&world);
}

#[test]
fn the_past_of_append_and_page_blobs_is_read_and_copied() {
    // C4, C5, C6
    let world = World::new();
    put_append_blob(&world, "log", "old\n");
    let page = [("x-ms-blob-type", "PageBlob"), ("x-ms-blob-content-length", "1024")];
    assert_eq!(raw_put(&world, "disk", "", &page, ""), 201);
    for name in ["log", "disk"] {
        world.block_on(world.client(ONE).blob(&path(name)).create_snapshot()).unwrap();
    }
    assert_eq!(raw_put(&world, "log", "comp=appendblock&", &[], "new\n"), 201);
    assert_eq!(world.ok("cat .snapshots/log/* log; wc -c < .snapshots/disk/*"), "old\nold\nnew\n1024\n");
    world.reset_stats();
    world.ok("cp .snapshots/log/* log2 && cp .snapshots/disk/* disk2 && echo more >> log2");
    assert_eq!((world.stats().requests("CopyBlob"), world.stats().body_bytes_out), (2, 0));
    assert_eq!(world.stored("log2"), "old\nmore\n");
    assert_eq!(world.properties(ONE, "disk2").unwrap().blob_type, BlobType::Page);
    for refused in ["echo x >> .snapshots/log/*", "dd if=/dev/zero of=$(echo .snapshots/disk/*) conv=notrunc count=1"] {
        assert!(world.sh(refused).stderr.contains("Read-only file system"), "{refused}");
    }
}

/// Nothing was uploaded.
#[track_caller]
fn assert_no_payload_in(world: &World) {
    assert_eq!(world.stats().body_bytes_in, 0, "{:?}", world.stats());
}

#[test]
fn an_archived_blob_is_neither_overwritten_nor_renamed() {
    // X21: the one has to be removed first, the other would take hours and end in another tier.
    let world = logged();
    world.put("cold", "archived text");
    world.put("a", "text");
    world.put("d/cold", "archived text");
    world.ok("setfattr -n user.blob.tier -v Archive cold d/cold");
    world.reset_stats();
    assert_eq!(order(&world, "/one/box/a", "cold", "", "").err(), Some(libc::ENODATA));
    for refused in ["cp a cold", "mv a cold", "mv cold b", "mv d e", "echo x | dd of=cold status=none conv=notrunc"] {
        let ran = world.sh(refused);
        assert!(ran.code == Some(1) && ran.stderr.contains("No data available"), "{refused}: {ran:?}");
    }
    let cold = world.properties(ONE, "cold").unwrap();
    assert_eq!((cold.size, cold.tier.as_deref(), cold.copy), (13, Some("Archive"), None));
    assert_eq!(world.ok("ls . d"), ".:\na\ncold\nd\n\nd:\ncold\n");
    assert_eq!(world.stored("a"), "text");
    assert_logged(&["it is archived, and cannot be copied"]);
    world.ok("rm cold && mv a cold && cat cold");
}

#[test]
fn a_copy_onto_another_type_is_refused_and_changes_nothing() {
    // C7: EOPNOTSUPP, and EXDEV from rename(2), so that mv(1) may decide.
    let world = World::new();
    put_append_blob(&world, "log", "line\n");
    world.put("a", "text");
    assert_eq!(order(&world, "/one/box/a", "log", "", "").err(), Some(libc::EOPNOTSUPP));
    assert_eq!(order(&world, "/one/box/log", "a", "", "").err(), Some(libc::EOPNOTSUPP));
    let errno = world.ok("python3 -c 'import os, errno\ntry: os.rename(\"a\", \"log\")\nexcept OSError as e: print(errno.errorcode[e.errno])'");
    assert_eq!(errno, "EXDEV\n");
    let kind = |name| world.properties(ONE, name).unwrap().blob_type;
    assert_eq!((kind("log"), kind("a")), (BlobType::Append, BlobType::Block));
    assert_eq!((world.stored("log"), world.stored("a")), ("line\n".into(), "text".into()));
}

#[test]
fn a_copy_overwrites_what_is_of_its_type() {
    // C5, C16: block, append and page.
    let world = World::new();
    for (name, content) in [("log", "new\n"), ("old log", "old\n")] {
        put_append_blob(&world, name, content);
    }
    for (name, size) in [("disk", "1024"), ("old disk", "512")] {
        let page =
            [("x-ms-blob-type", "PageBlob"), ("x-ms-blob-content-length", size), ("x-ms-blob-sequence-number", size)];
        assert_eq!(raw_put(&world, name, "", &page, ""), 201);
    }
    world.put("a", "new");
    world.put("old a", "old");
    world.reset_stats();
    for name in ["a", "log", "disk"] {
        let old = format!("old {name}");
        order(&world, &format!("/one/box/{name}"), &old, "", "").unwrap();
        assert_eq!(world.stored(&old), world.stored(name), "{name}");
        let (new, old) = (world.properties(ONE, name).unwrap(), world.properties(ONE, &old).unwrap());
        assert_eq!((new.blob_type, new.sequence_number), (old.blob_type, old.sequence_number), "{name}");
        assert_eq!(new.committed_block_count, old.committed_block_count, "{name}");
    }
    // By cp, to a new name.
    world.ok("cp disk disk2");
    let copy = world.properties(ONE, "disk2").unwrap();
    assert_eq!((copy.blob_type, copy.size, copy.sequence_number), (BlobType::Page, 1024, Some(1024)));
    assert_eq!(world.stats().requests("CopyBlob"), 4);
    assert_no_payload(&world.stats());
}

#[test]
fn a_real_name_that_hides_the_past_is_logged_once() {
    // Everything is asked anew each time.
    let world = logged_with(Setup { attr_ttl: std::time::Duration::ZERO, ..Default::default() });
    world.put(".snapshots", "a file of this name");
    world.put("d/.versions/x", "a directory of that");
    world.ok("cat .snapshots; ls d/.versions; cat .snapshots d/.versions/x");
    assert_eq!(times_logged("what was in its directory cannot be shown"), 1);
}

#[test]
fn append_blobs_keep_their_seal_with_their_name_and_not_in_copies() {
    // C4, X23, S8, S9
    let world = World::new();
    world.put("block", "text");
    put_append_blob(&world, "log", "line\n");
    assert_eq!(raw_put(&world, "log", "comp=seal&", &[], ""), 200);
    let command = env!("CARGO_BIN_EXE_blobcp");
    world.ok(&format!(
        "mkdir d; cp log copy; {command} cp log ordered; {command} cp log d/bulk1 && {command} cp -r log copy d"
    ));
    let there = world.there().display().to_string();
    world.ok(&format!("cp log {there}/abroad"));
    for name in ["copy", "ordered", "d/bulk1", "d/log"] {
        let copy = world.properties(ONE, name).unwrap();
        assert_eq!((copy.blob_type, copy.sealed), (BlobType::Append, false), "{name}");
        // What is remembered of it is so, too: without a look at the service it is appended to.
        world.ok(&format!("echo more >> {name}"));
        assert_eq!(world.stored(name), "line\nmore\n");
    }
    assert!(!world.properties(TWO, "abroad").unwrap().sealed);
    world.ok("mv log moved");
    assert!(world.properties(ONE, "moved").unwrap().sealed, "its name changes, it does not");
    let refused = world.sh("echo more >> moved");
    assert!(refused.stderr.contains("moved: Operation not permitted"), "it is known to be sealed: {refused:?}");
    assert_eq!(raw_put(&world, "moved", "comp=appendblock&", &[], "more"), 409);
    assert_eq!(attribute(&world.here().join("moved"), "sealed").as_deref(), Some("true"));
    assert_eq!(world.stored("moved"), "line\n");
    // And one that is not stays open.
    world.ok("mv copy renamed && echo end >> renamed");
    assert_eq!(world.stored("renamed"), "line\nmore\nend\n");
    // Onto itself it is still the same file.
    order(&world, "/one/box/moved", "moved", "", "new=1").unwrap();
    assert!(world.properties(ONE, "moved").unwrap().sealed);
    // What is no append blob is not told anything.
    world.ok("cp block another");
    assert_eq!(world.stored("another"), "text");
}

#[test]
fn a_sealed_blob_that_a_failed_copy_replaced_is_sealed_again() {
    // C52, X23, S10
    let world = World::with(Setup { keep_on_abort: true, ..Setup::default() });
    put_append_blob(&world, "old", "old\n");
    assert_eq!(raw_put(&world, "old", "comp=seal&", &[], ""), 200);
    put_append_blob(&world, "new", "new\n");
    world.hold_copies();
    order(&world, "/one/box/new", "old", "", "").unwrap();
    pending(&world, "old");
    world.store.change_policy(blobcp::devstore::PolicyChange { hold_new_copies: Some(false), ..Default::default() });
    steer(&world, fail(404, "ResourceNotFound"));
    eventually("the old content is back", || world.stored("old") == "old\n");
    assert!(world.properties(ONE, "old").unwrap().sealed);
}

#[test]
fn an_abort_is_logged_with_the_id_of_its_copy() {
    // C54 to C56
    let world = logged();
    world.put("a", pattern(1 << 20));
    world.hold_copies();
    let started = order(&world, "/one/box/a", "b", "", "").unwrap();
    let id = ioctl::text(&started.id).unwrap();
    world.reset_stats();
    world.ok("setfattr -n user.blob.copy.status -v abort b");
    assert_eq!((world.stats().requests("AbortCopyBlob"), status(&world, "b")), (1, Some(CopyStatus::Aborted)));
    assert_logged(&["copy has been aborted", id, "box/b"]);
}

#[test]
fn what_the_service_says_is_in_the_log() {
    // C58, C59: code, message and request id; what is not there is told from what could not be asked.
    let world = logged();
    world.put("a", "text");
    world.store.add_fault(fault(r#"{"operation":"CopyBlob","status":403,"code":"AuthorizationPermissionMismatch"}"#));
    let ran = world.sh("cp a refused");
    assert!(ran.stderr.contains("Permission denied"), "{ran:?}");
    assert_logged(&["CopyBlob one/box/refused: 403 AuthorizationPermissionMismatch", "[request id "]);
    assert_eq!(order(&world, "/one/box/nothing", "b", "", "").err(), Some(libc::ENOENT));
    world.store.add_fault(fault(r#"{"operation":"GetBlobProperties","reset":"before","count":1000}"#));
    let unreachable = world.sh("stat unheard-of");
    assert!(unreachable.stderr.contains("Input/output error"), "{unreachable:?}");
    world.store.clear_faults();
    assert!(world.sh("stat unheard-of").stderr.contains("No such file"));
}

#[test]
fn a_pending_destination_cannot_be_changed() {
    // C9, M8
    let world = World::new();
    world.put("a", pattern(1 << 20));
    world.put("other", "text");
    world.hold_copies();
    let id = order(&world, "/one/box/a", "b", "", "").unwrap().id;
    for refused in [
        "truncate -s 5 b",
        "setfattr -n user.blob.meta.k -v v b",
        "setfattr -n user.blob.content_type -v text/html b",
        "mv other b",
        "mv b c",
        "ln -sf other b",
        "touch -d 2001-01-01 b",
    ] {
        let ran = world.sh(refused);
        assert!(ran.code != Some(0) && ran.stderr.contains("busy"), "{refused}: {ran:?}");
    }
    assert_eq!(order(&world, "/one/box/other", "b", "", "").err(), Some(libc::EBUSY));
    let state = world.properties(ONE, "b").unwrap().copy.unwrap();
    assert_eq!((state.id.as_str(), state.status), (ioctl::text(&id).unwrap(), CopyStatus::Pending));
    assert_eq!(world.stored("other"), "text");
}
