//! What a program writes is in the service when close returns, for the fewest requests and bytes.

use super::*;

#[test]
fn creating_a_small_file_is_a_lookup_and_one_put_blob() {
    let world = World::new();
    world.ok("stat . >/dev/null");
    world.reset_stats();
    world.ok("printf hello > f");
    let stats = world.stats();
    assert_eq!(stats.requests("PutBlob"), 1, "{stats:?}");
    assert_eq!((stats.total, stats.body_bytes_in), (3, 5), "HEAD, LIST, Put Blob: {:#?}", world.store.requests());
    assert_eq!(world.stored("f"), "hello");
}

#[test]
fn a_file_of_one_block_is_one_put_blob() {
    let world = World::new();
    world.ok(&format!("head -c {BLOCK} /dev/zero > f"));
    let stats = world.stats();
    assert_eq!((stats.requests("PutBlob"), stats.requests("PutBlock")), (1, 0), "{stats:?}");
    assert_eq!(stats.body_bytes_in, BLOCK);
    assert_eq!(world.stored("f").len() as u64, BLOCK);
}

#[test]
fn an_empty_file_is_one_put_blob() {
    for command in [": > f", "touch f", "exec 3> f; exec 3>&-", "true > f", "cp /dev/null f"] {
        let world = World::new();
        world.ok(command);
        let stats = world.stats();
        assert_eq!(stats.requests("PutBlob"), 1, "{command}: {:#?}", world.store.requests());
        assert!(world.stored("f").is_empty());
    }
}

#[test]
fn a_redirection_sends_nothing_before_there_is_something_to_send() {
    // The shell closes a duplicate of the descriptor before cat has even begun (kernel fact 9).
    let world = World::new();
    world.put("a", pattern(3 * MIB));
    world.ok("cat a > b");
    let stats = world.stats();
    assert_eq!(stats.requests("CopyBlob") + stats.requests("PutBlob"), 1, "{stats:?}");
    world.ok("cat /dev/stdin > c <<< text");
    let stats = world.stats();
    assert_eq!(stats.requests("CopyBlob") + stats.requests("PutBlob"), 2, "{stats:?}");
    assert_eq!((world.stored("b"), world.stored("c")), (world.stored("a"), "text\n".into()));
}

#[test]
fn a_large_file_goes_out_in_blocks() {
    let world = World::new();
    let size = 100 * MIB;
    let content = pattern(size);
    let local = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(local.path(), &content).unwrap();
    world.ok(&format!("dd if={} of=f bs=1M 2>/dev/null", local.path().display()));
    let stats = world.stats();
    assert_eq!(stats.requests("PutBlock"), (size as u64).div_ceil(BLOCK), "{stats:?}");
    assert_eq!((stats.requests("PutBlockList"), stats.requests("PutBlob")), (1, 0), "{stats:?}");
    assert_eq!(stats.body_bytes_in, size as u64, "every byte once");
    assert!(world.stored("f") == content);
    let (blocks, _) = world.block_on(world.client(ONE).blob(&path("f")).block_blob().block_list()).unwrap();
    assert_eq!(blocks.len() as u64, (size as u64).div_ceil(BLOCK));
}

#[test]
fn blocks_go_out_side_by_side() {
    // Each takes a second and four of them less than four.
    let world = World::new();
    for _ in 0..5 {
        world.store.add_fault(Fault { delay_ms: 1000, ..fault("PutBlock") });
    }
    let ran = world.sh(&format!("head -c {} /dev/zero > f", 5 * BLOCK));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(world.stats().requests("PutBlock"), 5);
    assert!(ran.took >= Duration::from_secs(1));
    let (began, ended) = (0, world.store.requests());
    let lists: Vec<_> = ended.iter().skip(began).filter(|request| request.operation == "PutBlockList").collect();
    assert_eq!(lists.len(), 1);
    assert_eq!(world.stored("f").len() as u64, 5 * BLOCK);
}

#[test]
fn appending_to_a_blob_without_blocks_moves_only_what_is_appended() {
    let world = World::new();
    put_adorned(&world, "f", &pattern(3 * MIB));
    known(&world, "f");
    world.ok("printf 0123456789 >> f");
    let stats = world.stats();
    assert!(stats.total <= 4, "{:#?}", world.store.requests());
    assert_eq!((stats.body_bytes_in, stats.body_bytes_out), (10, 0), "{stats:?}");
    let mut expected = pattern(3 * MIB);
    expected.extend_from_slice(b"0123456789");
    assert!(world.stored("f") == expected);
    assert_adorned(&world, "f");
}

#[test]
fn appending_to_a_blob_of_blocks_reuses_them() {
    let world = World::new();
    world.store.put_sparse_blocks(ONE, BOX, "f", 40 << 20, 4 << 20).unwrap();
    known(&world, "f");
    world.ok("printf 0123456789 >> f");
    let stats = world.stats();
    assert!(stats.total <= 3, "{:#?}", world.store.requests());
    assert_eq!((stats.body_bytes_in, stats.body_bytes_out), (10, 0), "{stats:?}");
    assert_eq!(stats.requests("PutBlockFromURL"), 0);
    let stored = world.stored("f");
    assert_eq!(stored.len(), (40 << 20) + 10);
    assert_eq!(stored.slice(40 << 20..), "0123456789");
    // And once more, on the blob as this mount has written it.
    world.reset_stats();
    world.ok("printf abc >> f");
    let stats = world.stats();
    assert!(stats.total <= 3, "{:#?}", world.store.requests());
    assert_eq!(world.stored("f").slice(40 << 20..), "0123456789abc");
}

#[test]
fn appending_to_100_gib_costs_what_appending_to_nothing_costs() {
    let world = World::new();
    world.store.put_sparse_blocks(ONE, BOX, "f", 100 * GIB, 64 << 20).unwrap();
    known(&world, "f");
    world.ok("printf 0123456789 >> f");
    let stats = world.stats();
    assert!(stats.total <= 4, "{:#?}", world.store.requests());
    assert_eq!((stats.body_bytes_in, stats.body_bytes_out), (10, 0), "{stats:?}");
    assert_eq!(world.properties(ONE, "f").unwrap().size, 100 * GIB + 10);
    assert_eq!(world.ok("tail -c 12 f | od -An -c").trim(), r"\0  \0   0   1   2   3   4   5   6   7   8   9");
}

#[test]
fn a_log_that_is_synced_line_by_line_asks_for_its_blocks_once() {
    let world = World::new();
    world.store.put_sparse_blocks(ONE, BOX, "f", 40 << 20, 4 << 20).unwrap();
    python(&world, "f = open('f', 'ab', buffering=0)\nfor i in range(5):\n  f.write(b'line\\n'); os.fsync(f.fileno())");
    let stats = world.stats();
    assert_eq!(stats.requests("GetBlockList"), 1, "{:#?}", world.store.requests());
    assert_eq!((stats.requests("PutBlock"), stats.requests("PutBlockList")), (5, 5), "{stats:?}");
    assert_eq!(world.stored("f").slice(40 << 20..), "line\n".repeat(5));
}

#[test]
fn rewriting_keeps_metadata_and_properties_and_drops_the_old_hash() {
    let world = World::new();
    put_adorned(&world, "f", b"old");
    world.ok("echo new > f");
    assert_eq!(world.stored("f"), "new\n");
    assert_adorned(&world, "f");
    world.ok(&format!("head -c {} /dev/zero > f", BLOCK + 1));
    assert_eq!(world.stored("f").len() as u64, BLOCK + 1);
    assert_adorned(&world, "f");
    world.ok("chmod 600 f; : > f");
    assert!(world.stored("f").is_empty());
    assert_adorned(&world, "f");
    assert_eq!(world.ok("stat -c %a f"), "600\n");
}

#[test]
fn truncating_to_zero_is_one_put_blob() {
    let world = World::new();
    put_adorned(&world, "f", &pattern(20 * MIB));
    known(&world, "f");
    world.ok("truncate -s 0 f");
    assert_eq!(world.stats().total, 1, "{:#?}", world.store.requests());
    assert!(world.stored("f").is_empty());
    assert_adorned(&world, "f");
    assert_eq!(world.ok("stat -c %s f"), "0\n");
}

#[test]
fn what_is_still_in_memory_can_be_written_over() {
    let world = World::new();
    python(
        &world,
        "f = open('f', 'w+b', buffering=0)\nf.write(b'0123456789')\nos.pwrite(f.fileno(), b'XY', 3)\nf.truncate(8)",
    );
    assert_eq!(world.stored("f"), "012XY567");
    assert_eq!(world.stats().requests("PutBlob"), 1);
}

#[test]
fn what_was_just_written_is_read_from_memory() {
    let world = World::new();
    let local = tempfile::NamedTempFile::new().unwrap();
    for size in [1, 5000, MIB, 3 * MIB + 7, BLOCK as usize] {
        let content = pattern(size);
        std::fs::write(local.path(), &content).unwrap();
        world.reset_stats();
        // By a program: whatever this process starts meanwhile would flush the file half-way.
        let program = format!(
            "content = open('{}', 'rb').read()
with open('f', 'wb', buffering=0) as f: assert f.write(content) == len(content)
assert open('f', 'rb').read() == content",
            local.path().display()
        );
        python(&world, &program);
        assert_eq!(world.stats().requests("GetBlob"), 0, "{size}: {:?}", world.stats());
        // What somebody else makes of it is read anew.
        let other = content.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>();
        world.put("f", other.clone());
        world.expire(&["f"]);
        assert_eq!(std::fs::read(world.here().join("f")).unwrap(), other, "{size}");
    }
}
