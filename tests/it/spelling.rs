//! Names of metadata in the case that somebody gave them: programs look them up exactly, and whatever is done through a mount leaves
//! them as they were. What is stored is read as it is on the wire.

use blobcp::devstore;

use crate::common::raw::{self, RawAnswer, url};
use crate::common::*;

fn get(world: &World, name: &str) -> RawAnswer {
    let answer = raw::exchange("GET", &url(world, name), &[], b"");
    assert_eq!(answer.status, 200, "{name}: {}", answer.head);
    answer
}

/// The names of a blob's metadata that are nobody's but the user's.
fn names(world: &World, name: &str) -> Vec<String> {
    let ours = ["mtime", "posix_atime", "owner", "group", "permissions", "hdi_isfolder"];
    let answer = get(world, name);
    let names = answer.metadata().into_iter().map(|(name, _)| name.to_owned());
    names.filter(|name| !ours.contains(&name.as_str())).collect()
}

fn put(world: &World, name: &str, kind: &str) {
    let kind = format!("x-ms-blob-type: {kind}");
    let length = "x-ms-blob-content-length: 512";
    let headers =
        [&kind, "x-ms-meta-sourceFile: orig.csv", "X-Ms-Meta-lower: l", "x-ms-meta-ABC_d: x-ms-meta-lower", length];
    let headers = if kind.ends_with("PageBlob") { &headers[..] } else { &headers[..4] };
    let body: &[u8] = if kind.ends_with("BlockBlob") { b"text\n" } else { b"" };
    assert_eq!(raw::exchange("PUT", &url(world, name), headers, body).status, 201);
}

const SPELLED: [&str; 3] = ["ABC_d", "lower", "sourceFile"];

#[test]
fn the_service_keeps_names_as_they_were_sent() {
    let world = World::new();
    put(&world, "a", "BlockBlob");
    assert_eq!(get(&world, "a").metadata(), [("ABC_d", "x-ms-meta-lower"), ("lower", "l"), ("sourceFile", "orig.csv")]);
    let listed = raw::exchange(
        "GET",
        &url(&world, "").replace("/?", "?restype=container&comp=list&include=metadata&"),
        &[],
        b"",
    );
    let text = String::from_utf8(listed.body).unwrap();
    assert!(text.contains("<sourceFile>orig.csv</sourceFile>"), "{text}");
    // Twice the same name, whatever its case.
    let twice = ["x-ms-blob-type: BlockBlob", "x-ms-meta-A: 1", "x-ms-meta-a: 2"];
    assert_eq!(raw::exchange("PUT", &url(&world, "b"), &twice, b"").status, 400);
}

#[test]
fn names_outlive_all_that_is_done_with_a_file() {
    let steps = [
        "echo more >> a",
        "chmod 600 a",
        "touch -d 2020-01-01 a",
        "setfattr -n user.blob.meta.sourcefile -v other a",
        "setfattr -n user.blob.content_type -v text/csv a",
        "setfattr -n user.blob.tag.T -v v a",
        "echo new > a",
        "printf x | dd of=a bs=1 seek=2 conv=notrunc 2> /dev/null",
        "truncate -s 100 a",
        "cp a b && mv b a",
        "cp -p a b && cat b > c && mv -f b a",
        "python3 -c 'import os; f = os.open(\"a\", os.O_RDWR); os.write(f, b\"y\"); os.fsync(f); os.write(f, b\"z\"); os.close(f)'",
        "mv a d && mkdir sub && mv d sub/e && mv sub/e a",
    ];
    for hns in [false, true] {
        let setup = Setup::default();
        let world = World::with(Setup { devstore: devstore::Config { hns, ..setup.devstore }, ..setup });
        put(&world, "a", "BlockBlob");
        // S193: there are no tags where the namespace is hierarchical.
        for step in steps.into_iter().filter(|step| !(hns && step.contains(".tag."))) {
            world.ok(step);
            assert_eq!(names(&world, "a"), SPELLED, "{step}, hierarchical: {hns}");
        }
        assert!(get(&world, "a").metadata().contains(&("sourceFile", "other")));
        // What a listing told is the same.
        world.expire(&["a"]);
        world.ok("ls -l > /dev/null && chmod 644 a");
        assert_eq!(names(&world, "a"), SPELLED);
    }
}

#[test]
fn blobs_of_all_types_keep_the_names_they_have() {
    let world = World::new();
    put(&world, "log", "AppendBlob");
    put(&world, "disk", "PageBlob");
    world.ok("echo line >> log; chmod 600 log; echo line >> log; cp log log2");
    world.ok("printf x | dd of=disk bs=512 seek=0 conv=notrunc,sync 2> /dev/null; chmod 600 disk; cp disk disk2");
    for name in ["log", "log2", "disk", "disk2"] {
        assert_eq!(names(&world, name), SPELLED, "{name}");
    }
    world.ok("cp log ../../two/box/; cp ../../two/box/log back");
    assert_eq!(names(&world, "back"), SPELLED);
}

#[test]
fn attributes_show_names_as_they_are_and_find_them_in_any_case() {
    let world = World::new();
    put(&world, "a", "BlockBlob");
    let shown = world.ok("getfattr -d -m user.blob.meta a");
    assert!(
        shown.contains("user.blob.meta.sourceFile=\"orig.csv\"") && shown.contains("user.blob.meta.ABC_d="),
        "{shown}"
    );
    assert_eq!(world.ok("getfattr --only-values -n user.blob.meta.SOURCEFILE a"), "orig.csv");
    // One that is there is changed and keeps its spelling, a new one is stored as it was typed.
    world.ok("setfattr -n user.blob.meta.SOURCEfile -v new a; setfattr -n user.blob.meta.Key -v k a");
    assert_eq!(names(&world, "a"), ["ABC_d", "Key", "lower", "sourceFile"]);
    assert!(get(&world, "a").metadata().contains(&("sourceFile", "new")));
    world.ok("setfattr -x user.blob.meta.abc_D a; setfattr -x user.blob.meta.sourceFILE a");
    assert_eq!(names(&world, "a"), ["Key", "lower"]);
    // Another mount, which knows nothing yet.
    let other = world.mounted_elsewhere(&Setup::default());
    start_in(&other.here(), "echo more >> a").wait();
    assert_eq!(names(&world, "a"), ["Key", "lower"]);
    // Names that are ours are as they always were.
    world.ok("echo text > own; chmod 640 own; touch -d 2020-01-01 own; mkdir sub");
    let own = get(&world, "own");
    assert!(own.metadata().iter().all(|(name, _)| *name == name.to_lowercase()), "{}", own.head);
}
