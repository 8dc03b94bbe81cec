//! Append and page blobs are written as what they are, and stay what they are.

use std::time::Duration;

use blobcp::devstore::{Fault, Limits};
use blobcp::store::sas::{self, Validity};
use blobcp::store::*;
use bytes::Bytes;
use tempfile::TempDir;

mod common;
use common::*;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// Properties and metadata that must outlive every change.
fn settings() -> BlobSettings {
    BlobSettings {
        headers: ContentHeaders {
            content_type: Some("text/x-log".into()),
            cache_control: Some("no-store".into()),
            ..Default::default()
        },
        metadata: [("color", "blue")].into_iter().collect(),
        tags: vec![("team".into(), "ours".into())],
        ..Default::default()
    }
}

#[track_caller]
fn assert_kept(world: &World, name: &str, blob_type: BlobType) -> BlobProperties {
    let now = world.properties(ONE, name).unwrap();
    assert_eq!(now.blob_type, blob_type);
    assert_eq!(now.headers.content_type.as_deref(), Some("text/x-log"));
    assert_eq!(now.headers.cache_control.as_deref(), Some("no-store"));
    assert_eq!(now.metadata.get("color"), Some("blue"));
    assert_eq!(world.block_on(world.client(ONE).tags(&path(name))).unwrap(), settings().tags);
    now
}

fn put_append(world: &World, name: &str, content: &'static str) {
    let client = world.client(ONE);
    world.block_on(client.put_append_blob(&path(name), &settings(), &Precondition::None)).unwrap();
    if !content.is_empty() {
        append(world, name, content);
    }
}

/// Another client appends.
fn append(world: &World, name: &str, content: &'static str) {
    let size = world.properties(ONE, name).unwrap().size;
    let body = Bytes::from_static(content.as_bytes());
    world.block_on(world.client(ONE).append_block(&path(name), size, body, &Precondition::None)).unwrap();
}

fn put_page(world: &World, name: &str, size: u64) {
    world.block_on(world.client(ONE).put_page_blob(&path(name), size, &settings(), &Precondition::None)).unwrap();
}

/// Another client writes whole pages.
fn write_pages(world: &World, name: &str, offset: u64, content: impl Into<Bytes>) {
    let etag = world.properties(ONE, name).unwrap().etag;
    let guard = Guard::Version(etag);
    world.block_on(world.client(ONE).put_pages(&path(name), offset, content.into(), &guard)).unwrap();
}

fn range(world: &World, name: &str, range: std::ops::Range<u64>) -> Bytes {
    world.block_on(world.client(ONE).get_blob(&path(name), None, Some(range), None)).unwrap().bytes
}

/// What no method of the client does, by another hand.
fn raw_put(world: &World, name: &str, query: &str) {
    let key = AccountKey::parse(&world.store.account_key(ONE).unwrap()).unwrap();
    let client = world.client(ONE);
    let validity = Validity::for_the_next(Duration::from_secs(600));
    let token = sas::account(&key, client.account(), "racwl", "co", &validity, DEFAULT_API_VERSION);
    let url = format!("{}?{query}&{}", client.url(&path(name)), token.expose());
    let request = reqwest::Client::new().put(url).header("content-length", 0);
    let answer = world.block_on(request.send()).unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
}

/// A program that does its first part, waits until told, and does the second.
struct Halves {
    dir: TempDir,
    program: Running,
}

impl Halves {
    fn start(world: &World, first: &str, second: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        let wait = format!(
            "open('{at}/half', 'w').close()\nimport time\nwhile not os.path.exists('{at}/go'): time.sleep(0.01)"
        );
        let mut program = world.start(&format!("python3 - <<'END'\nimport os, errno\n{first}\n{wait}\n{second}\nEND"));
        let mut ended = false;
        eventually("the first half", || {
            ended = program.has_ended();
            ended || dir.path().join("half").exists()
        });
        assert!(!ended, "{:?}", program.wait());
        Self { dir, program }
    }

    fn finish(self) -> Ran {
        std::fs::write(self.dir.path().join("go"), "").unwrap();
        self.program.wait()
    }

    #[track_caller]
    fn finish_well(self) {
        let ran = self.finish();
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    }
}

/// Runs a Python program in `one/box` that must succeed.
#[track_caller]
fn python(world: &World, program: &str) -> String {
    world.ok(&format!("python3 - <<'END'\nimport os, errno\n{program}\nEND"))
}

mod append_blobs {
    use super::*;

    #[test]
    fn appending_a_kibibyte_to_a_gibibyte_sends_a_kibibyte() {
        let world = World::new();
        world.put_sparse("zeros", GIB);
        put_append(&world, "log", "");
        let client = world.client(ONE);
        let zeros =
            world.block_on(client.block_source(&path("zeros"), None, &client, Duration::from_secs(600))).unwrap();
        for start in (0..GIB).step_by(64 * MIB as usize) {
            let (log, range) = (path("log"), start..start + 64 * MIB);
            let grown = client.append_block_from_url(&log, start, &zeros, range, None, &Precondition::None);
            world.block_on(grown).unwrap();
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
        let halves = Halves::start(
            &world,
            "f = os.open('later', os.O_WRONLY | os.O_APPEND); os.write(f, b'new')",
            "
try: os.close(f)
except OSError as e: assert e.errno == errno.EPERM, e
else: raise Exception('closed')
",
        );
        raw_put(&world, "later", "comp=seal");
        halves.finish_well();
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
        let halves = Halves::start(
            &world,
            "f = os.open('log', os.O_WRONLY | os.O_APPEND); os.write(f, b'mine\\n')",
            "os.close(f)",
        );
        append(&world, "log", "theirs\n");
        append(&world, "log", "theirs again\n");
        halves.finish_well();
        assert_eq!(world.stored("log"), "start\ntheirs\ntheirs again\nmine\n");
        assert_eq!(world.ok("cat log"), "start\ntheirs\ntheirs again\nmine\n");
        // Who means a position hears that it is taken.
        let halves = Halves::start(
            &world,
            "f = os.open('log', os.O_WRONLY); os.pwrite(f, b'mine', os.stat('log').st_size)",
            "
try: os.fsync(f)
except OSError as e: assert e.errno == errno.ESTALE, e
else: raise Exception('stored')
",
        );
        append(&world, "log", "taken\n");
        halves.finish_well();
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
            world
                .store
                .add_fault(fault(&format!(r#"{{"operation": "AppendBlock", "reset": "{when}", "count": 100}}"#)));
            world.store.add_fault(fault(r#"{"operation": "GetBlob", "status": 500, "count": 100}"#));
            let halves = Halves::start(
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
            halves.finish_well();
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
}

mod page_blobs {
    use super::*;

    #[test]
    fn four_kibibytes_in_the_middle_of_a_tebibyte() {
        for (shift, most) in [(0, 4 * KIB), (100, 4 * KIB + 512)] {
            let world = World::new();
            put_page(&world, "disk", TIB);
            world.reset_stats();
            let at = TIB / 2 + shift;
            world.ok(&format!(
                "head -c 4096 /dev/zero | tr '\\0' x | dd of=disk bs=4K oflag=seek_bytes seek={at} conv=notrunc iflag=fullblock 2>&1"
            ));
            let stats = world.stats();
            assert!(stats.total <= 6, "{:#?}", world.store.requests());
            assert_eq!(stats.body_bytes_in, most, "{stats:?}");
            assert!(stats.body_bytes_in + stats.body_bytes_out <= 8 * KIB, "{stats:?}");
            assert_eq!(stats.requests("PutPage"), 1);
            assert_eq!(assert_kept(&world, "disk", BlobType::Page).size, TIB);
            assert_eq!(range(&world, "disk", at - 1..at + 1), b"\0x"[..]);
            assert_eq!(range(&world, "disk", at + 4095..at + 4097), b"x\0"[..]);
        }
    }

    #[test]
    fn random_changes_are_those_of_an_array_of_bytes() {
        let world = World::new();
        put_page(&world, "disk", 0);
        python(
            &world,
            "
import random
for seed in range(4):
    r = random.Random(seed)
    f = os.open('disk', os.O_RDWR | os.O_TRUNC)
    model = bytearray()
    def size_up():
        model.extend(bytes(-len(model) % 512))
    def look(f):
        assert os.fstat(f).st_size == len(model), (os.fstat(f).st_size, len(model))
        a = r.randrange(len(model) + 1)
        got = os.pread(f, 60000, a)
        assert got == model[a:a + 60000], (seed, step, a, len(got))
    for step in range(150):
        what = r.randrange(8)
        at, n = r.randrange(200000), r.randrange(1, 20000)
        if what < 3:
            data = r.randbytes(n)
            model.extend(bytes(max(0, at + n - len(model))))
            model[at:at + n] = data
            assert os.pwrite(f, data, at) == n
        elif what == 3:
            to = r.randrange(400) * 512
            os.ftruncate(f, to)
            model = model[:to] + bytes(max(0, to - len(model)))
        elif what == 4:
            import ctypes
            libc = ctypes.CDLL(None, use_errno=True)
            end = min(len(model), at + n)
            if at < end:
                assert libc.fallocate(f, 3, ctypes.c_long(at), ctypes.c_long(n)) == 0
                model[at:end] = bytes(end - at)
        elif what == 5:
            os.fsync(f)
            size_up()
            look(f)
        elif what == 6:
            os.close(f)
            size_up()
            f = os.open('disk', os.O_RDWR)
        look(f)
    os.close(f)
    size_up()
    open('expected', 'wb').write(model)
    assert open('disk', 'rb').read() == model
",
        );
        assert_eq!(world.stored("disk"), world.stored("expected"));
        assert_kept(&world, "disk", BlobType::Page);
    }

    #[test]
    fn the_size_is_a_multiple_of_512() {
        let world = World::new();
        put_page(&world, "disk", 1024);
        for refused in ["truncate -s 100 disk", "truncate -s 1025 disk", "fallocate -l 2000 disk"] {
            let ran = world.sh(refused);
            assert!(ran.stderr.contains("Invalid argument"), "{refused}: {ran:?}");
        }
        assert_eq!(world.properties(ONE, "disk").unwrap().size, 1024);
        world.reset_stats();
        world.ok("truncate -s 1T disk");
        let stats = world.stats();
        assert_eq!((stats.requests("SetBlobProperties"), stats.body_bytes_in), (1, 0), "{stats:?}");
        assert_eq!(assert_kept(&world, "disk", BlobType::Page).size, TIB);
        world.ok("fallocate -l 8T disk; truncate -s 512 disk");
        assert_eq!(assert_kept(&world, "disk", BlobType::Page).size, 512);
        assert!(world.sh("truncate -s 9T disk").stderr.contains("File too large"));
        // What ends elsewhere gets zeros to the end of its page.
        world.ok("echo hello > disk");
        assert_eq!(world.ok("stat -c %s disk"), "512\n");
        let mut page = b"hello\n".to_vec();
        page.resize(512, 0);
        assert_eq!(world.stored("disk"), page);
        assert_kept(&world, "disk", BlobType::Page);
    }

    #[test]
    fn holes_are_found_and_not_read() {
        let world = World::new();
        put_page(&world, "disk", TIB);
        for at in [0, GIB, GIB + 4096] {
            write_pages(&world, "disk", at, vec![7; 4096]);
        }
        world.reset_stats();
        python(
            &world,
            "
f = os.open('disk', os.O_RDONLY)
G = 1 << 30
for offset, whence, found in [(0, os.SEEK_DATA, 0), (0, os.SEEK_HOLE, 4096), (4096, os.SEEK_DATA, G), (5000, os.SEEK_HOLE, 5000),
                              (G + 1, os.SEEK_HOLE, G + 8192), (G + 1, os.SEEK_DATA, G + 1)]:
    assert os.lseek(f, offset, whence) == found, (offset, whence)
try: os.lseek(f, G + 8192, os.SEEK_DATA)
except OSError as e: assert e.errno == errno.ENXIO, e
else: raise Exception('data behind the last data')
",
        );
        let stats = world.stats();
        assert_eq!((stats.requests("GetPageRanges"), stats.body_bytes_out), (1, 0), "{stats:?}");
        world.reset_stats();
        world.ok("dd if=disk bs=1M skip=2048 count=64 2>&1 | tail -n 1; cmp -n 8M -i 2G disk /dev/zero");
        assert_eq!(world.stats().body_bytes_out, 0, "{:?}", world.stats());
        world.ok("dd if=disk bs=1M skip=1020 count=8 iflag=fullblock 2>/dev/null | tr -d '\\0' | wc -c | grep -x 8192");
        assert_eq!(world.stats().body_bytes_out, 8192, "{:?}", world.stats());
        // What is written here is known without asking again.
        world.reset_stats();
        python(
            &world,
            "
f = os.open('disk', os.O_RDWR)
assert os.lseek(f, 4096, os.SEEK_DATA) == 1 << 30
os.pwrite(f, b'x' * 512, 1 << 20)
assert os.lseek(f, 4096, os.SEEK_DATA) == 1 << 20
os.fsync(f)
assert os.lseek(f, 4096, os.SEEK_DATA) == 1 << 20
assert os.lseek(f, 1 << 20, os.SEEK_HOLE) == (1 << 20) + 512
",
        );
        assert!(world.stats().requests("GetPageRanges") <= 1, "{:?}", world.stats());
        world.ok("fallocate -p -o 0 -l 2G disk");
        let etag = world.properties(ONE, "disk").unwrap().etag;
        assert_eq!(world.block_on(world.client(ONE).page_ranges(&path("disk"), &etag)).unwrap(), []);
        assert_eq!(world.properties(ONE, "disk").unwrap().size, TIB);
    }

    #[test]
    fn another_clients_write_is_stale_and_ones_own_are_not() {
        let world = World::new();
        put_page(&world, "disk", MIB);
        let halves = Halves::start(
            &world,
            "
f = os.open('disk', os.O_RDWR); g = os.open('disk', os.O_RDWR)
for i in range(5):
    os.pwrite(f, b'f' * 512, 1024 * i); os.fsync(f)
    os.pwrite(g, b'g' * 512, 1024 * i + 512); os.fsync(g)
    assert os.pread(f, 1024, 1024 * i) == b'f' * 512 + b'g' * 512
",
            "
os.pwrite(f, b'x' * 512, 0)
for h in f, g:
    try: os.fsync(h)
    except OSError as e: assert e.errno == errno.ESTALE, e
    else: raise Exception('overwrote')
",
        );
        write_pages(&world, "disk", 0, vec![9; 1024]);
        halves.finish_well();
        assert_eq!(range(&world, "disk", 0..1), [9u8][..]);
        assert_eq!(range(&world, "disk", 4096 + 511..4096 + 513), b"fg"[..]);
    }

    /// Writes in 40 places and stores them.
    const SCATTERED: &str = "
f = os.open('disk', os.O_RDWR)
for i in range(40): os.pwrite(f, bytes([i + 1]) * 700, i << 20)
";

    fn assert_scattered(world: &World) {
        for i in 0..40u64 {
            let mut expected = vec![i as u8 + 1; 700];
            expected.resize(1024, 0);
            assert_eq!(range(world, "disk", i << 20..(i << 20) + 1024), expected, "{i}");
        }
    }

    #[test]
    fn many_writes_go_out_under_a_lease_that_is_given_back() {
        let world = World::new();
        put_page(&world, "disk", 64 * MIB);
        world.ok("getfattr -d disk");
        world.reset_stats();
        python(&world, &format!("{SCATTERED}\nos.fsync(f)"));
        let stats = world.stats();
        assert_eq!((stats.requests("PutPage"), stats.requests("LeaseBlob")), (40, 2), "{stats:?}");
        assert_eq!(stats.body_bytes_in, 40 * 1024);
        assert_scattered(&world);
        assert_eq!(assert_kept(&world, "disk", BlobType::Page).lease.state.as_deref(), Some("available"));
    }

    #[test]
    fn a_commit_that_failed_halfway_is_finished_by_the_next() {
        for failure in [
            r#"{"operation": "PutPage", "skip": 20, "status": 403, "count": 100}"#,
            r#"{"operation": "PutPage", "skip": 20, "status": 500, "after": true, "count": 100}"#,
            r#"{"operation": "PutPage", "skip": 20, "reset": "after", "count": 100}"#,
        ] {
            let world = World::new();
            put_page(&world, "disk", 64 * MIB);
            world.store.add_fault(fault(failure));
            // The 40 ends of pages are read before; what would tell that a write has come through is not.
            world.store.add_fault(fault(r#"{"operation": "GetBlob", "skip": 40, "status": 500, "count": 1000}"#));
            let first = format!(
                "{SCATTERED}
try: os.fsync(f)
except OSError as e: assert e.errno in (errno.EACCES, errno.EIO), e
else: raise Exception('stored')
os.pwrite(f, b'y' * 700, 50 << 20)
"
            );
            let halves = Halves::start(&world, &first, "os.fsync(f)\nos.pwrite(f, b'z' * 512, 51 << 20)\nos.close(f)");
            // Half of it is there, and nobody else may write until it is all there.
            assert_eq!(world.properties(ONE, "disk").unwrap().lease.state.as_deref(), Some("leased"));
            world.store.clear_faults();
            halves.finish_well();
            assert_scattered(&world);
            assert_eq!(range(&world, "disk", (50 * MIB) + 699..(50 * MIB) + 701), b"y\0"[..]);
            assert_eq!(range(&world, "disk", 51 * MIB..51 * MIB + 1), b"z"[..]);
            assert_eq!(assert_kept(&world, "disk", BlobType::Page).lease.state.as_deref(), Some("available"));
        }
    }

    #[test]
    fn a_commit_that_failed_halfway_does_not_write_over_others() {
        let world = World::new();
        put_page(&world, "disk", 64 * MIB);
        world.store.add_fault(fault(r#"{"operation": "PutPage", "skip": 20, "status": 403, "count": 100}"#));
        let first = format!("{SCATTERED}\ntry: os.fsync(f)\nexcept OSError: pass");
        let second = "
try: os.fsync(f)
except OSError as e: assert e.errno == errno.ESTALE, e
else: raise Exception('overwrote')
";
        let halves = Halves::start(&world, &first, second);
        world.store.clear_faults();
        world.block_on(world.client(ONE).break_lease(&path("disk"))).unwrap();
        write_pages(&world, "disk", 0, vec![9; 512]);
        halves.finish_well();
        assert_eq!(range(&world, "disk", 0..1), [9u8][..]);
    }

    #[test]
    fn a_lost_answer_to_a_write_is_recognised() {
        for reset in ["before", "after"] {
            for (change, operation) in [
                ("os.pwrite(f, b'x' * 512, 512)", "PutPage"),
                ("os.ftruncate(f, 4096)", "SetBlobProperties"),
                (
                    "import ctypes; assert ctypes.CDLL(None).fallocate(f, 3, ctypes.c_long(0), ctypes.c_long(512)) == 0",
                    "PutPage",
                ),
            ] {
                let world = World::new();
                put_page(&world, "disk", 2048);
                write_pages(&world, "disk", 0, vec![9; 2048]);
                world.store.add_fault(fault(&format!(r#"{{"operation": "{operation}", "reset": "{reset}"}}"#)));
                python(
                    &world,
                    &format!(
                        "f = os.open('disk', os.O_RDWR)\n{change}\nos.fsync(f)\nos.pwrite(f, b'!', 1024)\nos.close(f)"
                    ),
                );
                assert_eq!(range(&world, "disk", 1023..1026)[1..], b"!\x09"[..], "{reset} {change}");
                assert_eq!(
                    world.properties(ONE, "disk").unwrap().size,
                    if operation == "PutPage" { 2048 } else { 4096 }
                );
            }
        }
    }

    #[test]
    fn a_write_of_which_nothing_was_heard_is_found_by_the_next() {
        for when in ["before", "after"] {
            let world = World::new();
            put_page(&world, "disk", MIB);
            world.store.add_fault(fault(&format!(r#"{{"operation": "PutPage", "reset": "{when}", "count": 100}}"#)));
            world.store.add_fault(fault(r#"{"operation": "GetBlob", "status": 500, "count": 100}"#));
            let halves = Halves::start(
                &world,
                "
f = os.open('disk', os.O_RDWR)
os.pwrite(f, b'x' * 512, 512)
try: os.fsync(f)
except OSError as e: assert e.errno == errno.EIO, e
else: raise Exception('stored')
os.pwrite(f, b'y' * 512, 512)
os.pwrite(f, b'z' * 512, 8192)
",
                "os.close(f)",
            );
            world.store.clear_faults();
            halves.finish_well();
            assert_eq!(range(&world, "disk", 511..514), b"\0yy"[..], "{when}");
            assert_eq!(range(&world, "disk", 8191..8194), b"\0zz"[..]);
        }
    }

    #[test]
    fn a_leased_disk_is_busy() {
        let world = World::new();
        put_page(&world, "disk", MIB);
        let id = world.block_on(world.client(ONE).acquire_lease(&path("disk"), None)).unwrap();
        let ran = world.sh("printf x | dd of=disk bs=512 conv=notrunc,fsync");
        assert!(ran.stderr.contains("Device or resource busy"), "{ran:?}");
        world.block_on(world.client(ONE).release_lease(&path("disk"), &id)).unwrap();
        world.ok("printf x | dd of=disk bs=512 conv=notrunc,fsync 2>&1");
        assert_eq!(range(&world, "disk", 0..2), b"x\0"[..]);
    }

    #[test]
    fn mapped_pages_are_stored() {
        let world = World::new();
        put_page(&world, "disk", MIB);
        python(
            &world,
            "
import mmap
f = os.open('disk', os.O_RDWR)
m = mmap.mmap(f, 1 << 20)
m[5000:5005] = b'hello'
m[-1:] = b'!'
m.flush()
m.close()
os.close(f)
",
        );
        assert_eq!(range(&world, "disk", 4999..5006), b"\0hello\0"[..]);
        assert_eq!(range(&world, "disk", MIB - 2..MIB), b"\0!"[..]);
        assert_kept(&world, "disk", BlobType::Page);
    }

    #[test]
    fn whole_pages_are_copied_by_the_service() {
        let world = World::new();
        let content = pattern(10 * MIB as usize + 100);
        world.put("source", content.clone());
        put_page(&world, "disk", MIB);
        write_pages(&world, "disk", 0, vec![5; MIB as usize]);
        world.ok("stat source disk");
        world.reset_stats();
        python(
            &world,
            "
i = os.open('source', os.O_RDONLY); o = os.open('disk', os.O_RDWR)
def all(i, o, n, a, b):
    while n:
        m = os.copy_file_range(i, o, n, a, b); assert m > 0; n -= m; a += m; b += m
all(i, o, 10 << 20, 0, 1 << 20)
all(o, o, 5 << 20, 1 << 20, 11 << 20)
",
        );
        let stats = world.stats();
        assert_eq!(stats.requests("PutPageFromURL"), 3 + 2, "{stats:?}");
        assert_no_payload(&stats);
        let whole = &content[..10 * MIB as usize];
        let start = vec![5; MIB as usize];
        assert!(world.stored("disk") == [&start[..], whole, &whole[..5 * MIB as usize]].concat());
        // Elsewhere, the bytes.
        python(
            &world,
            "
i = os.open('source', os.O_RDONLY); o = os.open('disk', os.O_RDWR)
assert os.copy_file_range(i, o, 1000, 5, 100) == 1000
assert os.copy_file_range(i, o, 100, 10 << 20, 512) == 100
",
        );
        let mut expected = start[..2000].to_vec();
        expected[100..1100].copy_from_slice(&content[5..1005]);
        expected[512..612].copy_from_slice(&content[10 * MIB as usize..]);
        assert_eq!(range(&world, "disk", 0..2000), expected);
        assert_kept(&world, "disk", BlobType::Page);
    }

    #[test]
    fn names_and_attributes_change_while_it_is_open() {
        let world = World::new();
        put_page(&world, "disk", 4096);
        world.ok("exec 5<>disk; printf abc >&5; chmod 600 disk; touch -d 2001-01-01 disk; mv disk moved; printf def >&5; exec 5>&-");
        assert_eq!(range(&world, "moved", 0..7), b"abcdef\0"[..]);
        assert!(!world.is_stored("disk"));
        assert_eq!(world.ok("stat -c '%a %s' moved"), "600 4096\n");
        assert_kept(&world, "moved", BlobType::Page);
        world.ok("exec 5<>moved; printf xyz >&5; rm moved; printf xyz >&5; exec 5>&-");
        assert!(!world.is_stored("moved"));
    }

    #[test]
    fn a_copy_of_a_disk_is_a_disk() {
        // C5, C16
        let world = World::new();
        put_page(&world, "disk", GIB);
        write_pages(&world, "disk", MIB, vec![7; 512]);
        put_page(&world, "other", 512);
        world.reset_stats();
        world.ok("cp disk copy; cp disk other");
        assert_no_payload(&world.stats());
        for name in ["copy", "other"] {
            let copy = world.properties(ONE, name).unwrap();
            assert_eq!((copy.blob_type, copy.size), (BlobType::Page, GIB));
            assert_eq!(range(&world, name, MIB..MIB + 1), [7u8][..]);
        }
    }
}

#[test]
fn a_copy_onto_another_type_is_refused_and_moves_nothing() {
    // C7
    let world = World::new();
    let put = |name: &str, kind: BlobType| match kind {
        BlobType::Block => world.put(name, "block"),
        BlobType::Append => put_append(&world, name, "append"),
        BlobType::Page => put_page(&world, name, 512),
    };
    let kinds = [BlobType::Block, BlobType::Append, BlobType::Page];
    for from in kinds {
        for to in kinds.into_iter().filter(|to| *to != from) {
            put("from", from);
            put("to", to);
            let before = world.properties(ONE, "to").unwrap();
            let content = world.stored("to");
            world.reset_stats();
            for command in ["cp from to", "cat from > to"] {
                let ran = world.sh(command);
                assert_eq!(ran.code, Some(1), "{command}: {ran:?}");
                assert!(ran.stderr.contains("Operation not supported"), "{from:?} {to:?} {command}: {ran:?}");
            }
            assert_no_payload(&world.stats());
            assert_eq!(world.properties(ONE, "to").unwrap(), before);
            assert_eq!(world.stored("to"), content);
            // Neither is broken by it.
            assert_eq!(world.ok("cat from | wc -c"), format!("{}\n", world.stored("from").len()));
            world.ok("echo more >> to; rm from to");
        }
    }
}
