//! What is appended goes to the end, once, whoever appends with us; nothing else is done to an append blob.

use blobcp::devstore::{Fault, Limits};
use blobcp::fs::Ino;

use super::*;

#[test]
fn appending_a_kibibyte_to_a_gibibyte_sends_a_kibibyte() {
    let world = World::new();
    world.put_sparse("zeros", GIB);
    put_append(&world, "log", "");
    let client = world.client(ONE);
    let zeros = world.block_on(client.blob(&path("zeros")).block_source(&client, Duration::from_secs(600))).unwrap();
    for start in (0..GIB).step_by(64 * MIB as usize) {
        let (log, range) = (path("log"), start..start + 64 * MIB);
        let part = SourceRange { source: &zeros, range, if_match: None };
        let log = client.blob(&log).append_blob();
        world.block_on(log.append_block_from_url(start, &part, &WriteOptions::default())).unwrap();
    }
    world.reset_stats();
    world.ok("head -c 1024 /dev/zero | tr '\\0' x >> log");
    let stats = world.stats();
    assert!(stats.total <= 4, "{:#?}", world.store.requests());
    assert_eq!((stats.body_bytes_in, stats.body_bytes_out), (KIB, 0), "{stats:?}");
    assert_eq!(assert_kept(&world, "log", BlobType::Append).size, GIB + KIB);
    assert_eq!(range(&world, "log", GIB - 1..GIB + 2), b"\0xx"[..]);
}

#[test]
fn programs_that_log_append_one_block_for_each_flush() {
    let world = World::new();
    put_append(&world, "log", "one\n");
    world.ok("echo two >> log; echo three | tee -a log; printf four >> log");
    python(
        &world,
        "
import logging
logging.basicConfig(filename='log', format='%(message)s', level=logging.INFO)
for word in ['', 'five', 'six']: logging.info(word)
",
    );
    assert_eq!(world.stored("log"), "one\ntwo\nthree\nfour\nfive\nsix\n");
    assert_eq!(world.ok("cat log; stat -c %s log"), "one\ntwo\nthree\nfour\nfive\nsix\n28\n");
    assert_eq!(assert_kept(&world, "log", BlobType::Append).committed_block_count, Some(5));
    // Without O_APPEND, but at the end: as dd does it.
    world.ok("printf 'seven\\n' | dd of=log bs=1 seek=28 conv=notrunc 2>&1");
    assert_eq!(range(&world, "log", 24..34), "six\nseven\n");
}

#[test]
fn a_log_that_was_stored_to_be_renamed_is_not_taken_for_unsaved_while_that_goes_on() {
    let world = World::new();
    put_append(&world, "log", "one\n");
    let mut writer = Gated::start(&world, "f = open('log', 'ab', buffering=0)\nf.write(b'two\\n')\ngate()");
    writer.reached();
    let ino = Ino(world.ok("stat -c %i log").trim().parse().unwrap());
    let names = world.mount().fs.names();
    assert_eq!(names.ttl(ino), Duration::ZERO);
    let copy = world.stop(Fault::on("CopyBlob"));
    let mv = world.start("mv log other");
    copy.reached();
    assert_eq!(world.stored("log"), "one\ntwo\n");
    assert!(names.ttl(ino) > Duration::ZERO);
    copy.let_go();
    assert_eq!(mv.wait().code, Some(0));
    writer.open();
}

#[test]
fn large_writes_are_blocks_of_some_size_in_order() {
    let world = World::new();
    put_append(&world, "log", "");
    let content = pattern(20 * MIB as usize + 5);
    std::fs::write(world.root().join(ONE).join(BOX).join("copy"), &content).unwrap();
    world.reset_stats();
    world.ok("cat copy | cat >> log");
    assert_eq!(world.stored("log"), content);
    let stats = world.stats();
    assert_eq!((stats.requests("AppendBlock"), stats.body_bytes_in), (3, content.len() as u64), "{stats:?}");
}

#[test]
fn what_is_written_can_be_read_before_it_is_stored() {
    let world = World::new();
    put_append(&world, "log", "old ");
    python(
        &world,
        "
f = os.open('log', os.O_RDWR | os.O_APPEND)
os.write(f, b'new')
assert os.pread(f, 100, 0) == b'old new', os.pread(f, 100, 0)
assert os.stat('log').st_size == 7
g = os.open('log', os.O_RDONLY)
assert os.pread(g, 100, 2) == b'd new'
os.fsync(f)
os.write(f, b'er')
os.close(f)
assert os.pread(g, 100, 0) == b'old newer'
",
    );
    assert_eq!(world.stored("log"), "old newer");
}

#[test]
fn other_changes_are_refused_and_change_nothing() {
    let world = World::new();
    put_append(&world, "log", "0123456789");
    let before = world.properties(ONE, "log").unwrap();
    for change in [
        "printf x | dd of=log bs=1 seek=3 conv=notrunc",
        "printf x | dd of=log bs=1 seek=11 conv=notrunc",
        "truncate -s 3 log",
        "truncate -s 12 log",
        "fallocate -l 20 log",
        "fallocate -p -o 2 -l 3 log",
    ] {
        let ran = world.sh(change);
        assert!(ran.code != Some(0), "{change}: {ran:?}");
        // fallocate has words of its own for that number.
        let says = |words: &str| ran.stderr.contains(words);
        assert!(says("Operation not supported") || says("mode is unsupported"), "{change}: {ran:?}");
    }
    // A truncation to the size that it has does nothing.
    world.reset_stats();
    world.ok("truncate -s 10 log");
    assert_eq!(world.stats().requests("PutBlob"), 0);
    assert_eq!(world.properties(ONE, "log").unwrap(), before);
    assert_eq!(world.ok("cat log"), "0123456789");
}

#[test]
fn a_truncation_to_nothing_is_a_new_append_blob_with_all_that_the_old_one_had() {
    let world = World::new();
    put_append(&world, "log", "old");
    world.ok("echo new > log");
    assert_eq!(world.stored("log"), "new\n");
    assert_eq!(assert_kept(&world, "log", BlobType::Append).committed_block_count, Some(1));
    world.ok("truncate -s 0 log");
    assert_eq!(assert_kept(&world, "log", BlobType::Append).size, 0);
    world.ok("echo again >> log; : > log; echo last | tee log");
    assert_eq!(world.stored("log"), "last\n");
    assert_kept(&world, "log", BlobType::Append);
}

#[test]
fn a_sealed_blob_is_not_written() {
    let world = World::new();
    put_append(&world, "log", "old");
    raw_put(&world, "log", "comp=seal");
    for change in ["echo x >> log", "echo x > log", "truncate -s 0 log"] {
        let ran = world.sh(change);
        assert!(ran.stderr.contains("Operation not permitted"), "{change}: {ran:?}");
    }
    assert_eq!(world.ok("cat log"), "old");
    world.ok("rm log");
    // Sealed while it is open here.
    put_append(&world, "later", "old");
    let halves = Gated::between(
        &world,
        "f = os.open('later', os.O_WRONLY | os.O_APPEND); os.write(f, b'new')",
        "
try: os.close(f)
except OSError as e: assert e.errno == errno.EPERM, e
else: raise Exception('closed')
",
    );
    raw_put(&world, "later", "comp=seal");
    halves.finish();
    assert_eq!(world.stored("later"), "old");
}

#[test]
fn a_blob_that_has_all_its_blocks_takes_no_more() {
    let mut setup = Setup::default();
    setup.devstore.limits = Limits { committed_blocks: 3, ..Default::default() };
    let world = World::with(setup);
    put_append(&world, "log", "1");
    world.ok("printf 2 >> log; printf 3 >> log");
    let ran = world.sh("python3 -c \"
f = open('log', 'ab', buffering=0); f.write(b'4'); f.close()\"");
    assert!(ran.stderr.contains("File too large"), "{ran:?}");
    assert_eq!(world.stored("log"), "123");
}

#[test]
fn two_writers_append_one_after_the_other() {
    let world = World::new();
    put_append(&world, "log", "start\n");
    let halves =
        Gated::between(&world, "f = os.open('log', os.O_WRONLY | os.O_APPEND); os.write(f, b'mine\\n')", "os.close(f)");
    append(&world, "log", "theirs\n");
    append(&world, "log", "theirs again\n");
    halves.finish();
    assert_eq!(world.stored("log"), "start\ntheirs\ntheirs again\nmine\n");
    assert_eq!(world.ok("cat log"), "start\ntheirs\ntheirs again\nmine\n");
    // Who means a position hears that it is taken.
    let halves = Gated::between(
        &world,
        "f = os.open('log', os.O_WRONLY); os.pwrite(f, b'mine', os.stat('log').st_size)",
        "
try: os.fsync(f)
except OSError as e: assert e.errno == errno.ESTALE, e
else: raise Exception('stored')
",
    );
    append(&world, "log", "taken\n");
    halves.finish();
    assert_eq!(world.stored("log"), "start\ntheirs\ntheirs again\nmine\ntaken\n");
}

#[test]
fn a_lost_answer_is_never_a_doubled_block() {
    for reset in ["before", "after"] {
        let world = World::new();
        put_append(&world, "log", "one\n");
        world.store.add_fault(fault(&format!(r#"{{"operation": "AppendBlock", "reset": "{reset}", "count": 2}}"#)));
        world.ok("echo two >> log; echo three >> log");
        assert_eq!(world.stored("log"), "one\ntwo\nthree\n", "{reset}");
        assert_eq!(world.ok("cat log"), "one\ntwo\nthree\n");
    }
}

#[test]
fn a_block_of_which_nothing_was_heard_is_not_appended_twice() {
    for (when, landed) in [("before", false), ("after", true)] {
        let world = World::new();
        put_append(&world, "log", "one\n");
        world.store.add_fault(fault(&format!(r#"{{"operation": "AppendBlock", "reset": "{when}", "count": 100}}"#)));
        world.store.add_fault(fault(r#"{"operation": "GetBlob", "status": 500, "count": 100}"#));
        let halves = Gated::between(
            &world,
            "
f = os.open('log', os.O_WRONLY | os.O_APPEND)
os.write(f, b'two\\n')
try: os.fsync(f)
except OSError as e: assert e.errno == errno.EIO, e
else: raise Exception('stored')
os.write(f, b'three\\n')
",
            "os.close(f)",
        );
        assert_eq!(world.stored("log").len(), if landed { 8 } else { 4 });
        world.store.clear_faults();
        append(&world, "log", "other\n");
        halves.finish();
        let expected = if landed { "one\ntwo\nother\nthree\n" } else { "one\nother\ntwo\nthree\n" };
        assert_eq!(world.stored("log"), expected);
    }
}

#[test]
fn what_could_not_be_appended_is_appended_by_the_next_flush() {
    let world = World::new();
    put_append(&world, "log", "one\n");
    world.store.add_fault(Fault { status: Some(403), count: 1, ..Fault::on("AppendBlock") });
    python(
        &world,
        "
f = os.open('log', os.O_WRONLY | os.O_APPEND)
os.write(f, b'two\\n')
try: os.fsync(f)
except OSError as e: assert e.errno == errno.EACCES, e
else: raise Exception('stored')
os.write(f, b'three\\n')
os.fsync(f)
",
    );
    assert_eq!(world.stored("log"), "one\ntwo\nthree\n");
}

#[test]
fn tail_follows_what_others_append() {
    let world = World::with(Setup { attr_ttl: Duration::from_millis(50), ..Default::default() });
    put_append(&world, "log", "one\n");
    let out = tempfile::NamedTempFile::new().unwrap();
    let shown = || std::fs::read_to_string(out.path()).unwrap();
    let tail = world.start(&format!("exec tail -f -s 0.05 -n +1 log > {}", out.path().display()));
    eventually("the first line", || shown() == "one\n");
    append(&world, "log", "two\n");
    eventually("what another client appended", || shown() == "one\ntwo\n");
    world.ok("echo three >> log");
    eventually("what was appended here", || shown() == "one\ntwo\nthree\n");
    append(&world, "log", "four\n");
    eventually("another client's again", || shown() == "one\ntwo\nthree\nfour\n");
    tail.signal(libc::SIGTERM);
    assert_eq!(tail.wait().stderr, "");
}

#[test]
fn a_range_is_copied_to_the_end_by_the_service() {
    let world = World::new();
    let content = pattern(3 * MIB as usize);
    world.put("source", content.clone());
    put_append(&world, "log", "start");
    world.ok("stat source log");
    world.reset_stats();
    python(
        &world,
        "
i = os.open('source', os.O_RDONLY); o = os.open('log', os.O_WRONLY)
assert os.copy_file_range(i, o, 1000, 5, 5) == 1000
assert os.copy_file_range(i, o, 3 << 20, 0, 1005) == 3 << 20
# Of itself, too.
o2 = os.open('log', os.O_RDWR)
assert os.copy_file_range(o2, o2, 5, 0, 1005 + (3 << 20)) == 5
os.close(o2)
for at in [3, 2 << 30]:
    try: os.copy_file_range(i, o, 1000, 5, at)
    except OSError as e: assert e.errno == errno.EOPNOTSUPP, e
    else: raise Exception(f'copied to {at}')
",
    );
    let stats = world.stats();
    assert_eq!((stats.requests("AppendBlockFromURL"), stats.body_bytes_in), (3, 0), "{stats:?}");
    assert_eq!(world.stored("log"), [b"start", &content[5..1005], &content[..], b"start"].concat());
    assert_kept(&world, "log", BlobType::Append);
}

#[test]
fn a_lost_answer_to_a_copied_range_is_resolved() {
    let world = World::new();
    world.put("source", "0123456789");
    put_append(&world, "log", "start");
    world.store.add_fault(fault(r#"{"operation": "AppendBlockFromURL", "reset": "after"}"#));
    python(
        &world,
        "
i = os.open('source', os.O_RDONLY); o = os.open('log', os.O_WRONLY)
assert os.copy_file_range(i, o, 4, 2, 5) == 4
os.write(o, b'') and None
assert os.pwrite(o, b'!', 9) == 1
",
    );
    assert_eq!(world.stored("log"), "start2345!");
}

#[test]
fn names_and_attributes_change_while_it_is_open() {
    let world = World::new();
    put_append(&world, "log", "one\n");
    world.ok("exec 5>>log; echo two >&5; chmod 600 log; mv log moved; echo three >&5; exec 5>&-");
    assert_eq!(world.stored("moved"), "one\ntwo\nthree\n");
    assert!(!world.is_stored("log"));
    assert_eq!(world.ok("stat -c %a moved"), "600\n");
    assert_kept(&world, "moved", BlobType::Append);
    world.ok("exec 5>>moved; echo four >&5; rm moved; echo five >&5; exec 5>&-");
    assert!(!world.is_stored("moved"));
}

#[test]
fn a_time_that_was_stored_does_not_outlive_what_is_appended() {
    let world = World::new();
    put_append(&world, "log", "one\n");
    world.ok("touch -d 2001-01-01 log");
    assert_eq!(world.ok("stat -c %y log | cut -c1-10"), "2001-01-01\n");
    world.ok("echo two >> log");
    assert_eq!(assert_kept(&world, "log", BlobType::Append).metadata.get("mtime"), None);
    assert!(!world.ok("stat -c %y log").starts_with("2001"));
    // A time that is set with the content is kept.
    world.ok("exec 5>>log; echo three >&5; touch -d 2002-02-02 log; exec 5>&-");
    assert_eq!(world.ok("stat -c %y log | cut -c1-10"), "2002-02-02\n");
    assert_eq!(world.stored("log"), "one\ntwo\nthree\n");
}
