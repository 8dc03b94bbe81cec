//! Files that were written over DFS, as Spark and AzCopy do: they take no blocks (S131), and are written as any other.

use std::time::Duration;

use blobcp::devstore::{Config, Fault};
use blobcp::store::{AccessControl, ListBlobs, Precondition};

use crate::common::*;

const MIB: usize = 1 << 20;

/// A mount of two accounts with hierarchical namespaces, and the file `f` in it that was written over DFS.
fn world(content: Vec<u8>) -> World {
    let setup = Setup::default();
    let devstore = Config { hns: true, ..setup.devstore.clone() };
    let world = logged_with(Setup { devstore, attr_ttl: Duration::from_secs(600), ..setup });
    write_over_dfs(&world, content);
    world.ok("ls -l");
    world.reset_stats();
    world
}

fn write_over_dfs(world: &World, content: Vec<u8>) {
    world.store.put_over_dfs(ONE, BOX, "f", content.into()).unwrap();
}

#[track_caller]
fn assert_cost(world: &World, expected: &[(&'static str, u64)]) {
    assert_eq!(world.stats().requests, expected.iter().copied().collect(), "{:#?}", world.store.requests());
}

/// The names of all blobs, hidden or not.
fn names(world: &World) -> Vec<String> {
    let (client, path) = (world.client(ONE), path("f"));
    let page = world.block_on(client.container(&path.container).list_blobs(&ListBlobs::default())).unwrap();
    page.items.iter().map(|item| item.name.to_string()).collect()
}

/// What a file written beside it costs after its blocks, and nothing is left of that.
const IN_ITS_PLACE: [(&str, u64); 4] =
    [("PutBlockList", 1), ("GetPathProperties", 1), ("SetAccessControl", 1), ("RenamePath", 1)];

#[test]
fn a_line_is_added_to_a_small_file() {
    // S131: once refused, it is read and written as a whole.
    let world = world(b"one\n".to_vec());
    world.ok("echo two >> f");
    assert_cost(&world, &[("GetBlockList", 1), ("PutBlockFromURL", 1), ("GetBlob", 1), ("PutBlob", 1)]);
    assert_eq!(world.stored("f"), "one\ntwo\n");
    // From then on it is a file like any other.
    world.ok("for i in 3 4; do echo $i >> f; done; cat f");
    assert_eq!((world.stored("f"), names(&world)), ("one\ntwo\n3\n4\n".into(), vec!["f".to_owned()]));
    // What is written as a whole is not refused at all.
    write_over_dfs(&world, b"again".to_vec());
    world.expire(&["f"]);
    world.ok("ls -l; cat f");
    world.reset_stats();
    world.ok("echo new > f");
    assert_cost(&world, &[("PutBlob", 1)]);
}

#[test]
fn a_line_is_added_to_a_large_file_and_its_content_is_not_moved() {
    // S131
    let world = world(pattern(40 * MIB));
    world.ok("echo end >> f");
    assert_cost(&world, &[&[("GetBlockList", 1), ("PutBlockFromURL", 2), ("PutBlock", 1)][..], &IN_ITS_PLACE].concat());
    assert_eq!((world.stats().body_bytes_in, world.stats().body_bytes_out), (4, 0));
    let stored = world.stored("f");
    assert!(stored.len() == 40 * MIB + 4 && stored[..40 * MIB] == pattern(40 * MIB)[..] && stored.ends_with(b"end\n"));
    assert_eq!(names(&world), ["f"]);
    world.reset_stats();
    world.ok("echo more >> f; tail -c 9 f");
    assert_eq!(world.stats().requests("RenamePath"), 0);
    assert!(world.stored("f").ends_with(b"end\nmore\n"));
}

#[test]
fn a_part_of_a_large_file_is_changed_in_place() {
    // S131
    let world = world(pattern(40 * MIB));
    world.ok("printf changed | dd of=f bs=1 seek=20000000 conv=notrunc status=none");
    assert_cost(&world, &[&[("GetBlockList", 1), ("PutBlockFromURL", 3), ("PutBlock", 1)][..], &IN_ITS_PLACE].concat());
    assert_eq!(world.stats().body_bytes_out, 0);
    let mut expected = pattern(40 * MIB).to_vec();
    expected[20_000_000..20_000_007].copy_from_slice(b"changed");
    assert_eq!((world.stored("f").to_vec() == expected, names(&world)), (true, vec!["f".to_owned()]));
}

#[test]
fn a_large_file_is_copied_over_one() {
    // S131: one block is sent in vain.
    let world = world(pattern(40 * MIB));
    let local = tempfile::NamedTempFile::new().unwrap();
    let content: Vec<u8> = pattern(40 * MIB).iter().rev().copied().collect();
    std::fs::write(local.path(), &content).unwrap();
    world.ok(&format!("cp {} f", local.path().display()));
    assert_cost(&world, &[&[("GetBlockList", 1), ("PutBlock", 6)][..], &IN_ITS_PLACE].concat());
    assert_eq!((world.stored("f") == content, names(&world)), (true, vec!["f".to_owned()]));
    world.ok(&format!("cmp {} f", local.path().display()));
}

#[test]
fn a_file_is_truncated() {
    // S131
    let world = world(pattern(40 * MIB));
    world.ok("truncate -s 20000000 f");
    assert_cost(&world, &[&[("GetBlockList", 1), ("PutBlockFromURL", 2)][..], &IN_ITS_PLACE].concat());
    assert_eq!((world.stored("f") == pattern(40 * MIB)[..20_000_000], world.stats().body_bytes_out), (true, 0));
    write_over_dfs(&world, b"0123456789".to_vec());
    world.expire(&["f"]);
    world.ok("truncate -s 4 f; truncate -s 6 f");
    assert_eq!(world.stored("f"), &b"0123\0\0"[..]);
    world.ok("truncate -s 0 f");
    assert_eq!((world.stored("f"), names(&world)), ("".into(), vec!["f".to_owned()]));
}

#[test]
fn the_file_keeps_its_owner_and_its_list() {
    // S131, S134
    let world = world(pattern(40 * MIB));
    let list = "user::rwx,user:ann:r--,group::r--,mask::r--,other::---";
    let (client, path) = (world.client(ONE), path("f"));
    let given = AccessControl { owner: Some("bob".into()), acl: Some(list.into()), ..Default::default() };
    world.block_on(client.blob(&path).set_access_control(&given, &Precondition::None)).unwrap();
    let before = world.block_on(client.blob(&path).access_control()).unwrap();
    assert_eq!((before.owner.as_deref(), before.permissions.as_deref()), (Some("bob"), Some("rwxr-----+")));
    world.ok("chmod 600 f; setfattr -n user.blob.meta.k -v v f; echo end >> f");
    assert_eq!(world.block_on(client.blob(&path).access_control()).unwrap(), before);
    assert_eq!(world.ok("stat -c %a f; getfattr --only-values -n user.blob.meta.k f"), "600\nv");
}

#[test]
fn what_cannot_be_stored_leaves_the_file_as_it_was() {
    // S131: nothing of it is shown meanwhile, and nothing stays.
    let world = world(pattern(40 * MIB));
    world
        .store
        .add_fault(fault(r#"{"operation":"RenamePath","status":403,"code":"AuthorizationFailure","count":100}"#));
    let failed = world.sh("printf changed | dd of=f bs=1 seek=20000000 conv=notrunc status=none");
    assert!(failed.stderr.contains("Permission denied"), "{failed:?}");
    eventually("nothing is left", || names(&world) == ["f"]);
    assert!(world.stored("f") == pattern(40 * MIB));
    world.store.clear_faults();
    // Where one try fails, the next one is good, with what is there already.
    let program = "import os\nf = os.open('f', os.O_WRONLY)\nos.pwrite(f, b'x' * 20000000, 1000000)\n\
                   try: os.fsync(f); raise SystemExit('stored')\nexcept PermissionError: pass\nos.fsync(f); os.close(f)";
    world.store.add_fault(fault(r#"{"operation":"RenamePath","status":403,"code":"AuthorizationFailure"}"#));
    let held = world.stop_answer(Fault::on("PutBlockList"));
    let program = world.start(&format!("python3 -I -c \"{program}\""));
    held.reached();
    assert_eq!((names(&world).len(), world.ok("ls -a | grep -v '^[.]*$'")), (2, "f\n".to_owned()));
    held.let_go();
    assert_eq!(program.wait().code, Some(0));
    let mut expected = pattern(40 * MIB).to_vec();
    expected[1_000_000..21_000_000].fill(b'x');
    assert!(world.stored("f").to_vec() == expected && names(&world) == ["f"]);
}

#[test]
fn what_is_written_after_a_rename_that_failed_is_stored_as_well() {
    // S131
    let world = world(pattern(40 * MIB));
    let program = "import os\nf = os.open('f', os.O_WRONLY)\nos.pwrite(f, b'x' * 20000000, 1000000)\n\
                   try: os.fsync(f); raise SystemExit('stored')\nexcept PermissionError: pass\n\
                   os.pwrite(f, b'y' * 20000000, 25000000)\nos.fsync(f); os.close(f)";
    world.store.add_fault(fault(r#"{"operation":"RenamePath","status":403,"code":"AuthorizationFailure"}"#));
    world.ok(&format!("python3 -I -c \"{program}\""));
    let mut expected = pattern(45_000_000).to_vec();
    expected[1_000_000..21_000_000].fill(b'x');
    expected[25_000_000..].fill(b'y');
    let stored = world.stored("f");
    assert_eq!(stored.len(), expected.len());
    assert!(stored[..21_000_000] == expected[..21_000_000] && stored[25_000_000..] == expected[25_000_000..]);
    assert_eq!(names(&world), ["f"]);
}

#[test]
fn a_file_whose_list_cannot_be_kept_is_not_replaced() {
    // S131, S134
    let world = world(pattern(40 * MIB));
    let (client, path) = (world.client(ONE), path("f"));
    let given = AccessControl { acl: Some("user::rw-,group::---,other::---".into()), ..Default::default() };
    world.block_on(client.blob(&path).set_access_control(&given, &Precondition::None)).unwrap();
    for operation in ["SetAccessControl", "GetPathProperties"] {
        let refusal =
            format!(r#"{{"operation":"{operation}","status":403,"code":"AuthorizationPermissionMismatch","count":9}}"#);
        world.store.add_fault(fault(&refusal));
        let failed = world.sh("printf changed | dd of=f bs=1 seek=20000000 conv=notrunc status=none");
        assert!(failed.stderr.contains("Permission denied"), "{operation}: {failed:?}");
        eventually("nothing is left", || names(&world) == ["f"]);
        assert!(world.stored("f") == pattern(40 * MIB));
        world.store.clear_faults();
    }
}

/// Requests about the hidden name, from the first that makes something under it.
fn since_it_is_there(world: &World) -> Vec<String> {
    let requests = world.store.requests();
    let first = requests.iter().position(|request| request.operation == "PutBlockList").unwrap();
    requests[first..].iter().map(|request| request.operation.to_string()).collect()
}

#[test]
fn its_list_is_set_at_once() {
    // S134: what is under the hidden name has the list of new files until then.
    let world = world(pattern(40 * MIB));
    world.ok("echo end >> f");
    assert_eq!(since_it_is_there(&world), ["PutBlockList", "SetAccessControl", "RenamePath"]);
}

#[test]
fn a_commit_whose_answer_is_lost_for_good_is_an_error_and_leaves_nothing() {
    // S131: it has taken place, and whether it has cannot be seen.
    let lose = |world: &World, count: u32| {
        for operation in ["PutBlockList", "GetBlockList"] {
            let rule = r#""reset":"after","blob_prefix":".blobcp-write-""#;
            world.store.add_fault(fault(&format!(r#"{{"operation":"{operation}",{rule},"count":{count}}}"#)));
        }
    };
    let world = world(pattern(40 * MIB));
    // Of the second try as well, which is made when nobody has it open any more.
    lose(&world, 1000);
    let failed = world.sh("printf changed | dd of=f bs=1 seek=20000000 conv=notrunc status=none");
    assert!(failed.stderr.contains("Input/output error"), "{failed:?}");
    eventually("nothing is left", || names(&world) == ["f"]);
    assert!(world.stored("f") == pattern(40 * MIB));
    world.store.clear_faults();
    // Who tries again stores it, with what was written since.
    let program = "import os\nf = os.open('f', os.O_WRONLY)\nos.pwrite(f, b'x' * 20000000, 1000000)\n\
                   try: os.fsync(f); raise SystemExit('stored')\nexcept OSError as error: print(error)\n\
                   os.pwrite(f, b'y' * 20000000, 25000000)\nos.fsync(f); os.close(f)";
    lose(&world, 3);
    let ran = world.ok(&format!("python3 -I -c \"{program}\""));
    assert!(ran.contains("Input/output error"), "{ran}");
    let mut expected = pattern(45_000_000).to_vec();
    expected[1_000_000..21_000_000].fill(b'x');
    expected[25_000_000..].fill(b'y');
    assert!(world.stored("f") == expected);
    assert_eq!(names(&world), ["f"]);
}

#[test]
fn what_another_client_writes_meanwhile_is_not_overwritten() {
    let world = world(pattern(40 * MIB));
    let held = world.stop(Fault::on("RenamePath"));
    let dd = world.start("printf changed | dd of=f bs=1 seek=20000000 conv=notrunc status=none");
    held.reached();
    write_over_dfs(&world, b"theirs".to_vec());
    held.let_go();
    let dd = dd.wait();
    assert!(dd.stderr.contains("Stale file handle"), "{dd:?}");
    assert_eq!(world.stored("f"), "theirs");
    eventually("nothing is left", || names(&world) == ["f"]);
}

#[test]
fn a_lost_answer_to_the_last_request_is_no_failure() {
    // S116, S124, S131
    for after in
        [r#""reset":"after""#, r#""reset":"before""#, r#""status":500,"code":"OperationTimedOut","after":true"#]
    {
        let world = world(pattern(40 * MIB));
        world.store.add_fault(fault(&format!(r#"{{"operation":"RenamePath",{after}}}"#)));
        world.ok("echo end >> f; echo more >> f");
        assert!(world.stored("f").ends_with(b"end\nmore\n"), "{after}");
        assert_eq!(names(&world), ["f"]);
    }
}
