//! Content: what a program writes is in the service when close returns, what it reads is one version, and neither costs more
//! requests or bytes than it must.

use std::io::Write;
use std::sync::{Mutex, Once};
use std::time::Duration;

use blobcp::devstore::{Fault, Reset};
use blobcp::store::{BlobSettings, ContentHeaders, Precondition};

mod common;
use common::*;

const MIB: usize = 1 << 20;
const GIB: u64 = 1 << 30;
/// Bytes of a block and of the largest blob that one Put Blob writes.
const BLOCK: u64 = 8 << 20;
/// Bytes that a sequential reader fetches at a time.
const PART: u64 = 4 << 20;

/// What the filesystem has logged in this process, in all tests of this file.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        if std::env::var_os("BLOBCP_TEST_LOG").is_some() {
            std::io::stderr().write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A world whose log is read.
fn logged() -> World {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt().with_ansi(false).with_writer(|| Log).with_max_level(tracing::Level::INFO).init();
    });
    World::new()
}

/// The log has a line with all of `words`.
#[track_caller]
fn assert_logged(words: &[&str]) {
    let log = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
    assert!(log.lines().any(|line| words.iter().all(|word| line.contains(word))), "no line with {words:?} in\n{log}");
}

/// Runs a Python program in `one/box` that must succeed. `os` is imported.
fn python(world: &World, program: &str) -> String {
    world.ok(&format!("python3 - <<'END'\nimport os, errno\n{program}\nEND"))
}

/// A blob with metadata and properties of its own, written by somebody else.
fn put_adorned(world: &World, name: &str, content: &[u8]) {
    let headers = ContentHeaders {
        content_type: Some("text/x-log".into()),
        cache_control: Some("no-store".into()),
        content_language: Some("de".into()),
        content_disposition: Some("inline".into()),
        content_encoding: Some("identity".into()),
        content_md5: Some("kAFQmDzST7DWlj99KOF/cg==".into()),
    };
    let metadata = [("color", "blue"), ("owner_team", "x y")].into_iter().collect();
    let settings = BlobSettings { headers, metadata, ..Default::default() };
    let body = content.to_vec();
    let client = world.client(ONE);
    world.block_on(client.put_blob(&path(name), body, &settings, &Precondition::None)).unwrap();
}

/// Metadata and properties are those of [`put_adorned`], but for the hash of the old content.
#[track_caller]
fn assert_adorned(world: &World, name: &str) {
    let now = world.properties(ONE, name).unwrap();
    assert_eq!(now.headers.content_type.as_deref(), Some("text/x-log"));
    assert_eq!(now.headers.cache_control.as_deref(), Some("no-store"));
    assert_eq!(now.headers.content_language.as_deref(), Some("de"));
    assert_eq!(now.headers.content_disposition.as_deref(), Some("inline"));
    assert_eq!(now.headers.content_encoding.as_deref(), Some("identity"));
    assert_ne!(now.headers.content_md5.as_deref(), Some("kAFQmDzST7DWlj99KOF/cg=="));
    assert_eq!((now.metadata.get("color"), now.metadata.get("owner_team")), (Some("blue"), Some("x y")));
}

fn fault(operation: &str) -> Fault {
    Fault::on(operation)
}

/// As many as there are tries, and more.
fn persistent(operation: &str) -> Fault {
    Fault { count: 1000, status: Some(500), ..Fault::on(operation) }
}

// Writing

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
    let (blocks, _) = world.block_on(world.client(ONE).block_list(&path("f"))).unwrap();
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
    world.ok("stat f > /dev/null");
    world.reset_stats();
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
    world.ok("stat f > /dev/null");
    world.reset_stats();
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
    world.ok("stat f > /dev/null");
    world.reset_stats();
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
    world.ok("stat f > /dev/null");
    world.reset_stats();
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

// Reading

#[test]
fn a_sequential_reader_gets_every_part_once() {
    let world = World::new();
    let size = 64 * MIB;
    world.put("f", pattern(size));
    let sum = world.ok("sha256sum < f");
    let stats = world.stats();
    assert_eq!(stats.requests("GetBlob"), (size as u64).div_ceil(PART), "{stats:?}");
    assert_eq!(stats.body_bytes_out, size as u64);
    let local = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(local.path(), pattern(size)).unwrap();
    assert_eq!(sum, world.ok(&format!("sha256sum < {}", local.path().display())));
}

#[test]
fn what_has_not_changed_is_read_from_memory_the_second_time() {
    let world = World::new();
    world.put("f", pattern(5 * MIB));
    world.ok("cat f > /dev/null");
    world.reset_stats();
    world.ok("cat f > /dev/null");
    assert_eq!(world.stats().body_bytes_out, 0);
}

#[test]
fn a_file_changed_elsewhere_within_the_same_second_and_of_the_same_size_is_read_anew() {
    let world = World::with(Setup { attr_ttl: Duration::from_millis(50), ..Default::default() });
    for round in 0..5 {
        let text = format!("round {round}");
        world.put("f", text.clone());
        std::thread::sleep(Duration::from_millis(60));
        // The first stat learns of the change, before open does.
        assert_eq!(world.ok("stat -c %s f; cat f"), format!("{}\n{text}", text.len()));
    }
}

#[test]
fn random_reads_fetch_what_they_ask_for() {
    let world = World::new();
    world.put_sparse("f", 10 * GIB);
    python(
        &world,
        "import mmap
fd = os.open('f', os.O_RDONLY | os.O_DIRECT)
buffer = mmap.mmap(-1, 4096)
for offset in [5 << 30, 3 << 20, 9 << 30, 100 << 20]:
    assert os.preadv(fd, [buffer], offset) == 4096",
    );
    let stats = world.stats();
    assert_eq!((stats.requests("GetBlob"), stats.body_bytes_out), (4, 4 * 4096), "{stats:?}");
}

#[test]
fn two_readers_at_different_places_do_not_get_in_each_others_way() {
    let world = World::new();
    let size = 160 * MIB;
    world.put("f", pattern(size));
    python(
        &world,
        "a, b = (os.open('f', os.O_RDONLY) for _ in 'ab')
half = 80 << 20
os.posix_fadvise(a, 0, 0, os.POSIX_FADV_SEQUENTIAL)
at = 0
while at < half:
    assert len(os.pread(a, 1 << 20, at)) == 1 << 20
    assert len(os.pread(b, 1 << 20, half + at)) == 1 << 20
    at += 1 << 20",
    );
    let stats = world.stats();
    let parts = (size as u64).div_ceil(PART);
    // The second begins in the middle: its first reads are a jump, answered by themselves. At the end the first has fetched ahead
    // what the second has long left behind.
    assert!(stats.requests("GetBlob") <= parts + 20, "{stats:?}");
    assert!(stats.body_bytes_out <= size as u64 + 10 * PART + (2 << 20), "{stats:?}");
}

#[test]
fn reading_at_and_past_the_end_gives_nothing_and_asks_nothing() {
    let world = World::new();
    world.put("f", "0123456789");
    world.put("empty", "");
    let program = "fd = os.open('f', os.O_RDONLY)
assert os.pread(fd, 100, 0) == b'0123456789'
assert os.pread(fd, 100, 10) == b'' and os.pread(fd, 100, 5000) == b''
assert os.pread(fd, 100, 8) == b'89'
assert open('empty', 'rb').read() == b''";
    python(&world, program);
    assert_eq!(world.stats().requests("GetBlob"), 1, "{:#?}", world.store.requests());
}

#[test]
fn a_blob_that_changes_under_a_reader_is_estale_and_never_a_mix() {
    let world = World::new();
    world.put("f", vec![b'a'; 64 * MIB]);
    let reader = world.start(
        "python3 - <<'END'
import os, errno, time
fd = os.open('f', os.O_RDONLY)
assert os.pread(fd, 1, 0) == b'a'
open('../../two/box/ready', 'w').close()
while not os.path.exists('../../two/box/go'): time.sleep(0.05)
try:
    data = os.pread(fd, 4096, 50 << 20)
    print('read', data[:1])
except OSError as e:
    print(errno.errorcode[e.errno])
END",
    );
    eventually("the first read", || world.properties(TWO, "ready").is_some());
    world.put("f", vec![b'b'; 64 * MIB]);
    world.store.put_blob(TWO, BOX, "go", "".into(), "text/plain").unwrap();
    let ran = reader.wait();
    assert_eq!(ran.stdout, "ESTALE\n", "{}", ran.stderr);
}

// Writers and readers of one file

#[test]
fn a_second_descriptor_reads_what_was_written_before_close() {
    let world = World::new();
    world.put("old", pattern(MIB));
    python(
        &world,
        "w = open('f', 'wb', buffering=0)
w.write(b'hello')
assert open('f', 'rb').read() == b'hello'
assert os.stat('f').st_size == 5
w.write(b' world')
assert open('f', 'rb').read() == b'hello world'
a = open('old', 'ab', buffering=0)
a.write(b'tail')
data = open('old', 'rb').read()
assert len(data) == (1 << 20) + 4 and data.endswith(b'tail')",
    );
    assert_eq!(world.stored("f"), "hello world");
}

#[test]
fn what_is_already_on_its_way_can_be_read_before_close() {
    let world = World::new();
    python(
        &world,
        "w = open('f', 'wb', buffering=0)
for i in range(20): w.write(bytes([i]) * (1 << 20))
r = os.open('f', os.O_RDONLY)
for i in [0, 7, 8, 15, 19]: assert os.pread(r, 3, i << 20) == bytes([i]) * 3, i
w.write(b'end')
assert os.pread(r, 10, 20 << 20) == b'end'",
    );
    assert_eq!(world.stored("f").len(), 20 * MIB + 3);
}

#[test]
fn a_writer_that_meets_another_writer_gets_estale_and_destroys_nothing() {
    let world = World::new();
    for (name, mode, size) in [("small", "wb", 10), ("grown", "ab", 10), ("large", "wb", 20 << 20)] {
        world.put(name, "before");
        let ready = format!("ready-{name}");
        let go = format!("go-{name}");
        let writer = world.start(&format!(
            "python3 - <<'END'
import os, errno, time
f = open('{name}', '{mode}', buffering=0)
for i in range(0, {size}, 10 << 20): f.write(b'm' * min({size}, 10 << 20))
open('../../two/box/{ready}', 'w').close()
while not os.path.exists('../../two/box/{go}'): time.sleep(0.05)
try:
    f.close()
    print('closed')
except OSError as e:
    print(errno.errorcode[e.errno])
END"
        ));
        eventually("the write", || world.properties(TWO, &ready).is_some());
        world.put(name, "theirs");
        world.store.put_blob(TWO, BOX, &go, "".into(), "text/plain").unwrap();
        let ran = writer.wait();
        assert_eq!(ran.stdout, "ESTALE\n", "{name}: {}", ran.stderr);
        assert_eq!(world.stored(name), "theirs", "{name}");
    }
}

#[test]
fn a_name_that_somebody_else_made_meanwhile_is_not_overwritten() {
    let world = World::new();
    let program = |wait: &str| {
        format!(
            "python3 - <<'END'
import os, errno, time
f = open('f', 'wb', buffering=0)
f.write(b'mine')
open('../../two/box/ready', 'w').close()
{wait}
try:
    f.close()
    print('closed')
except OSError as e:
    print(errno.errorcode[e.errno])
END"
        )
    };
    let writer = world.start(&program("while not os.path.exists('../../two/box/go'): time.sleep(0.05)"));
    eventually("the write", || world.properties(TWO, "ready").is_some());
    world.put("f", "theirs");
    world.store.put_blob(TWO, BOX, "go", "".into(), "text/plain").unwrap();
    let ran = writer.wait();
    assert_eq!(ran.stdout, "EEXIST\n", "{}", ran.stderr);
    assert_eq!(world.stored("f"), "theirs");
}

#[test]
fn a_file_opened_again_after_a_change_elsewhere_shows_it_also_while_a_writer_has_it_open() {
    let world = World::with(Setup { attr_ttl: Duration::from_millis(50), ..Default::default() });
    let writer = world.start(
        "python3 - <<'END'
import os, errno, time
f = open('f', 'wb', buffering=0)
f.write(b'mine')
os.fsync(f.fileno())
open('../../two/box/ready', 'w').close()
while not os.path.exists('../../two/box/go'): time.sleep(0.05)
print(open('f').read())
try:
    os.write(f.fileno(), b' and more')
    os.fsync(f.fileno())
    print('written')
except OSError as e:
    print(errno.errorcode[e.errno])
END",
    );
    eventually("the write", || world.properties(TWO, "ready").is_some());
    world.put("f", "theirs");
    std::thread::sleep(Duration::from_millis(60));
    world.store.put_blob(TWO, BOX, "go", "".into(), "text/plain").unwrap();
    let ran = writer.wait();
    assert_eq!(ran.stdout, "theirs\nESTALE\n", "{}", ran.stderr);
    assert_eq!(world.stored("f"), "theirs");
}

#[test]
fn a_file_unlinked_while_open_does_not_come_back() {
    let world = World::new();
    world.put("old", "old");
    python(
        &world,
        "f = open('new', 'w+b', buffering=0)
f.write(b'hello')
g = open('old', 'ab', buffering=0)
g.write(b'more')
os.unlink('new'); os.unlink('old')
f.write(b' world')
os.close(os.dup(f.fileno()))
f.seek(0)
assert f.read() == b'hello world'
os.fsync(f.fileno())
f.close(); g.close()
assert not os.path.exists('new') and not os.path.exists('old')",
    );
    assert!(!world.is_stored("new") && !world.is_stored("old"));
    assert_eq!(world.ok("ls -A"), "");
}

#[test]
fn a_file_unlinked_while_its_close_is_under_way_does_not_come_back() {
    let world = World::new();
    world.store.add_fault(Fault { delay_ms: 1000, ..fault("PutBlob") });
    let writer = world.start("echo hello > f");
    eventually("the request", || world.stats().requests("PutBlob") == 1 || world.ok("ls") == "f\n");
    std::thread::sleep(Duration::from_millis(300));
    world.ok("rm f");
    writer.wait();
    assert!(!world.is_stored("f"));
    assert_eq!(world.ok("ls"), "");
}

#[test]
fn a_file_renamed_while_open_for_writing_is_written_under_its_new_name() {
    let world = World::new();
    python(
        &world,
        "f = open('a', 'wb', buffering=0)
f.write(b'hello')
os.rename('a', 'b')
f.write(b' world')
f.close()
assert not os.path.exists('a')
assert open('b').read() == 'hello world'",
    );
    assert_eq!(world.stored("b"), "hello world");
    assert!(!world.is_stored("a"));
}

#[test]
fn a_log_that_is_renamed_while_it_is_appended_to_goes_on() {
    let world = World::new();
    world.store.put_sparse_blocks(ONE, BOX, "log", 40 << 20, 4 << 20).unwrap();
    python(
        &world,
        "f = open('log', 'ab', buffering=0)
f.write(b'one '); os.fsync(f.fileno())
os.rename('log', 'log.1')
f.write(b'two '); os.fsync(f.fileno())
f.write(b'three'); f.close()",
    );
    assert_eq!(world.stored("log.1").slice(40 << 20..), "one two three");
    assert!(!world.is_stored("log"));
}

#[test]
fn two_writers_of_one_file_on_this_mount_see_each_other() {
    let world = World::new();
    python(
        &world,
        "a = open('f', 'ab', buffering=0); b = open('f', 'ab', buffering=0)
for i in range(10):
    a.write(b'a'); b.write(b'b')
a.close(); b.close()",
    );
    assert_eq!(world.stored("f"), "ab".repeat(10));
}

// What goes wrong

#[test]
fn a_busy_service_is_asked_again() {
    let world = World::new();
    for operation in ["PutBlob", "PutBlock", "PutBlockList", "GetBlob"] {
        world.store.add_fault(Fault { status: Some(503), count: 2, ..fault(operation) });
    }
    world.ok("echo small > small");
    world.ok(&format!("head -c {} /dev/zero > large; cmp large <(head -c {} /dev/zero)", 3 * BLOCK, 3 * BLOCK));
    assert_eq!(world.stored("small"), "small\n");
    assert_eq!(world.stored("large").len() as u64, 3 * BLOCK);
}

#[test]
fn close_says_what_could_not_be_stored() {
    let world = logged();
    for (name, operation, size) in [("put-blob", "PutBlob", 10), ("block-list", "PutBlockList", 20 << 20)] {
        world.store.clear_faults();
        world.store.add_fault(persistent(operation));
        let program = format!(
            "f = open('{name}', 'wb', buffering=0)
for i in range(0, {size}, 1 << 20): f.write(b'x' * min({size}, 1 << 20))
try:
    f.close()
    print('closed')
except OSError as e:
    print(errno.errorcode[e.errno])"
        );
        assert_eq!(python(&world, &program), "EIO\n", "{name}");
        assert!(!world.is_stored(name), "{name}");
        assert_logged(&["flush", "InternalError", name]);
    }
}

#[test]
fn a_block_that_cannot_be_stored_is_an_error_of_write_or_close() {
    let world = logged();
    world.store.add_fault(persistent("PutBlock"));
    let program = format!(
        "f = open('blocks', 'wb', buffering=0)
errors = []
for i in range(0, {}, 1 << 20):
    try: f.write(b'x' * (1 << 20))
    except OSError as e: errors.append(errno.errorcode[e.errno])
try: f.close()
except OSError as e: errors.append(errno.errorcode[e.errno])
print(sorted(set(errors)))",
        20 << 20
    );
    assert_eq!(python(&world, &program), "['EIO']\n");
    assert!(!world.is_stored("blocks"));
    assert_logged(&["InternalError", "blocks"]);
}

#[test]
fn fsync_tries_again_what_it_could_not_store_before() {
    let world = World::new();
    world.store.add_fault(persistent("PutBlock"));
    let writer = world.start(
        "python3 - <<'END'
import os, time
f = open('f', 'wb', buffering=0)
n = 0
for i in range(12):
    try: n += f.write(bytes([i]) * (1 << 20))
    except OSError: pass
try:
    os.fsync(f.fileno())
    print('no error')
except OSError: pass
open('../../two/box/ready', 'w').close()
while not os.path.exists('../../two/box/go'): time.sleep(0.05)
os.fsync(f.fileno())
f.close()
print(n)
END",
    );
    eventually("the error", || world.properties(TWO, "ready").is_some());
    world.store.clear_faults();
    world.store.put_blob(TWO, BOX, "go", "".into(), "text/plain").unwrap();
    let ran = writer.wait();
    let written: usize = ran.stdout.trim().parse().unwrap_or_else(|_| panic!("{ran:?}"));
    assert!(written >= 8 * MIB);
    let expected: Vec<u8> = (0..12).flat_map(|i| vec![i; MIB]).take(written).collect();
    assert!(world.stored("f") == expected);
}

#[test]
fn a_failed_append_can_be_closed_again_without_losing_or_doubling_anything() {
    let world = World::new();
    world.store.put_sparse_blocks(ONE, BOX, "f", 40 << 20, 4 << 20).unwrap();
    world.store.add_fault(persistent("GetBlockList"));
    let writer = world.start(
        "python3 - <<'END'
import os, time
f = open('f', 'ab', buffering=0)
f.write(b'tail')
try:
    os.fsync(f.fileno())
    print('no error')
except OSError: pass
open('../../two/box/ready', 'w').close()
while not os.path.exists('../../two/box/go'): time.sleep(0.05)
f.write(b' end')
f.close()
END",
    );
    eventually("the error", || world.properties(TWO, "ready").is_some());
    world.store.clear_faults();
    world.store.put_blob(TWO, BOX, "go", "".into(), "text/plain").unwrap();
    let ran = writer.wait();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{}", ran.stderr);
    assert_eq!(world.stored("f").slice(40 << 20..), "tail end");
}

#[test]
fn lost_answers_neither_double_nor_fail() {
    let world = World::new();
    for operation in ["PutBlob", "PutBlock", "PutBlockList", "PutBlockFromURL"] {
        world.store.add_fault(Fault { reset: Some(Reset::After), ..fault(operation) });
    }
    world.ok("echo small > small");
    world.ok("echo more >> small");
    world.ok(&format!("head -c {} /dev/zero > large", 2 * BLOCK + 5));
    assert_eq!(world.stored("small"), "small\nmore\n");
    assert_eq!(world.stored("large").len() as u64, 2 * BLOCK + 5);
}

#[test]
fn a_body_that_breaks_off_is_fetched_again() {
    let world = World::new();
    world.put("f", pattern(9 * MIB));
    world.store.add_fault(Fault { truncate_body: Some(1000), count: 2, ..fault("GetBlob") });
    let local = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(local.path(), pattern(9 * MIB)).unwrap();
    world.ok(&format!("cmp f {}", local.path().display()));
}

#[test]
fn a_read_that_failed_can_be_tried_again() {
    let world = World::new();
    world.put("f", pattern(MIB));
    world.store.add_fault(Fault { count: 3, status: Some(500), ..fault("GetBlob") });
    python(
        &world,
        "fd = os.open('f', os.O_RDONLY)
for attempt in range(5):
    try:
        assert len(os.pread(fd, 1 << 20, 0)) == 1 << 20
        break
    except OSError as e:
        assert e.errno == errno.EIO
else:
    raise Exception('never')",
    );
}

#[test]
fn a_file_without_a_name_holds_what_memory_holds_and_no_more() {
    let world = logged();
    let program = "f = open('nameless', 'w+b', buffering=0); os.unlink('nameless')
n = 0
try:
    for i in range(128): n += f.write(b'x' * (1 << 20))
except OSError as e: print(errno.errorcode[e.errno])
f.seek(0); assert len(f.read(1 << 20)) == 1 << 20
f.close()";
    assert_eq!(python(&world, program), "ENOSPC\n");
    assert!(!world.is_stored("nameless"));
    assert_logged(&["nameless", "without a name"]);
}

// Everything together

/// Does as the seed says, in the current directory, and prints what came of each step.
const RANDOM_STEPS: &str = r#"
import os, sys, random, errno, hashlib, shutil, stat, mmap, ctypes
r = random.Random(int(sys.argv[1]))
kept = []
def name():
    return r.choice(['', '', 'a/', 'b/', 'a/c/']) + r.choice(['f', 'g', 'h', 'a', 'b'])
def data():
    n = r.choice([0, 1, 10, 1000, 70000, 1 << 20, 9 << 20] if r.random() < .2 else [0, 1, 10, 1000])
    return r.randbytes(min(n, 1 << 16)) * max(1, n >> 16)
def at(): return r.choice([0, 0, r.randrange(20), r.randrange(2000), r.randrange(1 << 20), r.randrange(12 << 20)])
def digest(path):
    with open(path, 'rb') as f: return hashlib.md5(f.read()).hexdigest()
def write(p, d):
    with open(p, 'wb') as f: f.write(d)
def append(p, d):
    with open(p, 'ab') as f: f.write(d)
def keep(p, d):
    f = open(p, 'ab', buffering=0)
    kept.append(f)
    f.write(d)
def kept_write(d):
    if kept: r.choice(kept).write(d[:1000])
def kept_sync():
    if kept: os.fsync(r.choice(kept).fileno())
def kept_close():
    if kept: kept.pop(r.randrange(len(kept))).close()
def copy(p, q):
    with open(p, 'rb') as i, open(q, 'wb') as o:
        n = os.fstat(i.fileno()).st_size
        while n > 0: n -= os.copy_file_range(i.fileno(), o.fileno(), n)
def inside(p, at, d, close):
    f = open(p, 'r+b', buffering=0)
    os.pwrite(f.fileno(), d, at)
    if close: f.close()
    else: kept.append(f)
    return digest(p)
def allocate(p, at, n, mode):
    with open(p, 'r+b', buffering=0) as f:
        if mode is None: os.posix_fallocate(f.fileno(), at, n)
        elif ctypes.CDLL(None, use_errno=True).fallocate(f.fileno(), mode, ctypes.c_long(at), ctypes.c_long(n)): return 'errno'
    return digest(p)
def copy_range(p, q, a, b, n):
    with open(p, 'rb') as i, open(q, 'r+b') as o:
        n = min(n, max(os.fstat(i.fileno()).st_size - a, 0))
        while n > 0:
            m = os.copy_file_range(i.fileno(), o.fileno(), n, a, b)
            n -= m; a += m; b += m
    return digest(q)
def mapped(p, at, d):
    with open(p, 'r+b') as f:
        if not os.fstat(f.fileno()).st_size: return
        m = mmap.mmap(f.fileno(), 0)
        at = min(at, len(m) - 1); d = d[:len(m) - at]
        m[at:at + len(d)] = d
        m.close()
    return digest(p)
def look(p):
    s = os.lstat(p)
    return stat.S_IFMT(s.st_mode), (stat.S_IMODE(s.st_mode), s.st_size) if not stat.S_ISDIR(s.st_mode) else 0
def listing(p): return sorted((e.name, e.is_dir(follow_symlinks=False), e.is_symlink()) for e in os.scandir(p))
def touch(p):
    os.utime(p, (5, r.randrange(10**9))); return os.stat(p).st_mtime_ns if os.path.isfile(p) else 0
def read_while_open(p, d):
    with open(p, 'ab', buffering=0) as f:
        f.write(d); return digest(p), os.stat(p).st_size
def replace(p, d):
    write('tmp', d); os.replace('tmp', p); return digest(p)
def tree():
    for top, dirs, files in os.walk('.'):
        for n in sorted(dirs + files):
            p = os.path.join(top, n)
            print(p, look(p), os.readlink(p) if os.path.islink(p) else digest(p) if os.path.isfile(p) else '')
        dirs.sort()
steps = [(write, name, data), (append, name, data), (keep, name, data), (kept_write, data), (kept_write, data), (kept_sync,),
    (kept_close,), (copy, name, name), (os.rename, name, name), (os.rename, name, name), (os.unlink, name), (os.mkdir, name),
    (os.mkdir, lambda: r.choice(['a', 'b', 'a/c'])), (os.rmdir, name), (look, name), (look, name), (digest, name), (touch, name),
    (listing, lambda: r.choice(['.', 'a', 'b', 'a/c'])), (os.chmod, name, lambda: r.choice([0o600, 0o644, 0o755])),
    (os.truncate, name, at), (os.truncate, name, at), (inside, name, at, data, lambda: r.random() < .5), (inside, name, at, data, lambda: True),
    (allocate, name, at, lambda: r.randrange(1, 100000), lambda: r.choice([None, 1, 3, 16, 17])), (mapped, name, at, data),
    (copy_range, name, name, at, at, at), (copy_range, name, name, at, at, at), (read_while_open, name, data), (os.symlink, lambda: r.choice(['f', 'nowhere']), name),
    (replace, name, data)]
for i in range(int(sys.argv[2])):
    step, *arguments = r.choice(steps)
    arguments = [a() for a in arguments]
    try: came = step(*arguments)
    except OSError as e: came = errno.errorcode[e.errno]
    shown = [a if len(a) < 20 else len(a) for a in arguments if isinstance(a, (str, bytes))]
    print(i, step.__name__, shown, came if came != 'EEXIST' else 'ENOTEMPTY')
for f in kept: f.close()
tree()
"#;

#[test]
fn random_steps_come_out_as_on_a_disk() {
    let program = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(program.path(), RANDOM_STEPS).unwrap();
    let program = program.path().display();
    let seeds = std::env::var("BLOBCP_TEST_SEEDS").unwrap_or_else(|_| "1 2 3 4".into());
    for (i, seed) in seeds.split_whitespace().enumerate() {
        let ttl = Duration::from_millis(if i % 2 == 0 { 1000 } else { 1 });
        let world = World::with(Setup { attr_ttl: ttl, ..Default::default() });
        let disk = tempfile::tempdir().unwrap();
        let command = format!("python3 {program} {seed} 300");
        let expected = world.ok(&format!("cd {} && {command}", disk.path().display()));
        let ran = world.sh(&command);
        for (expected, line) in expected.lines().zip(ran.stdout.lines()) {
            assert_eq!(line, expected, "seed {seed}: here and on a disk\n{}", ran.stderr);
        }
        assert_eq!((ran.code, ran.stdout.lines().count()), (Some(0), expected.lines().count()), "{}", ran.stderr);
    }
}
