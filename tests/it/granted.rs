//! Who copies a part of a file has that part and no more, however the service made it.
//!
//! The kernel makes every request of `copy_file_range` at most 0xfffff000 bytes long, so that the first one of a large file looks the same
//! whether all of the file is wanted or only its beginning (kernel fact 15).

use std::time::Duration;

use blobcp::devstore::{CopyAction, Fault, PolicyChange};
use blobcp::store::{BlobSettings, BlobType, CopyStatus, Precondition, SourceRange, WriteOptions};
use bytes::Bytes;

use crate::common::*;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const CLAMP: u64 = 0xffff_f000;

/// `copy(i, o, n)` copies n bytes by the descriptors' own positions, as programs do that know no better.
const COPY: &str = "
def copy(i, o, n):
    while n > 0:
        m = os.copy_file_range(i, o, n)
        assert m > 0
        n -= m
";

fn python(world: &World, program: &str) -> String {
    crate::common::python(world, &format!("{COPY}{program}"))
}

/// A blob of `size` bytes with metadata and a type of its own, whose bytes around `mark` can be told from others.
fn put_marked(world: &World, name: &str, size: u64, mark: u64) {
    world.store.put_sparse_blocks(ONE, BOX, name, size, 128 * MIB).unwrap();
    world
        .ok(&format!("setfattr -n user.blob.meta.color -v blue {name}; setfattr -n user.blob.tag.team -v ours {name}"));
    world.ok(&format!("setfattr -n user.blob.content_type -v text/x-log {name}"));
    let marks = name.repeat(16);
    let seek = mark - 2;
    world.ok(&format!("printf {marks} | dd of={name} bs=16 seek={seek} conv=notrunc oflag=seek_bytes 2>&1"));
}

fn part(world: &World, name: &str, range: std::ops::Range<u64>) -> Bytes {
    world.block_on(world.client(ONE).blob(&path(name)).download(range)).unwrap().bytes
}

fn hold_copies(world: &World, held: bool) {
    world.store.change_policy(PolicyChange { hold_new_copies: Some(held), ..Default::default() });
}

#[track_caller]
fn assert_size(world: &World, name: &str, size: u64) {
    assert_eq!(world.properties(ONE, name).unwrap().size, size);
    assert_eq!(world.ok(&format!("stat -c %s {name}")), format!("{size}\n"));
}

#[test]
fn five_of_nine_gib_are_five() {
    let world = World::with(Setup { attr_ttl: Duration::from_secs(600), ..Default::default() });
    let wanted = 5 * GIB - 1;
    put_marked(&world, "a", 9 * GIB, wanted);
    world.ok("ls -l");
    world.reset_stats();
    python(
        &world,
        &format!(
            "i, o = os.open('a', os.O_RDONLY), os.open('b', os.O_WRONLY | os.O_CREAT)\ncopy(i, o, {wanted})\nos.close(o)"
        ),
    );
    let stats = world.stats();
    assert_no_payload(&stats);
    let requests = ["CopyBlob", "PutBlockFromURL", "PutBlockList"].map(|operation| stats.requests(operation));
    assert_eq!(requests, [1, 1, 1], "{:#?}", world.store.requests());
    assert_size(&world, "b", wanted);
    assert_eq!(part(&world, "b", wanted - 2..wanted + 2), "aa");
    let (a, b) = (world.properties(ONE, "a").unwrap(), world.properties(ONE, "b").unwrap());
    assert_eq!((b.metadata.get("color"), b.headers, b.tag_count), (Some("blue"), a.headers, 1));
    // And whoever wants all of it has it by one request, as ever.
    world.reset_stats();
    world.ok("cp a c; cat a > d");
    let stats = world.stats();
    assert_eq!((stats.requests("CopyBlob"), stats.requests("PutBlockList")), (2, 0), "{stats:?}");
    assert_no_payload(&stats);
    assert_size(&world, "c", 9 * GIB);
}

#[test]
fn a_request_of_the_clamps_length_proves_nothing() {
    let world = World::new();
    put_marked(&world, "a", 6 * GIB, CLAMP);
    world.put("old", "what was there");
    for name in ["b", "old"] {
        let program = format!(
            "i, o = os.open('a', os.O_RDONLY), os.open('{name}', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
assert os.copy_file_range(i, o, {CLAMP}) == {CLAMP}
assert os.fstat(o).st_size == {CLAMP}
os.close(o)"
        );
        python(&world, &program);
        assert_size(&world, name, CLAMP);
        assert_eq!(part(&world, name, CLAMP - 2..CLAMP + 2), "aa");
    }
}

#[test]
fn what_comes_after_a_part_is_done_to_the_part() {
    let world = World::new();
    put_marked(&world, "a", 6 * GIB, CLAMP);
    put_marked(&world, "z", 6 * GIB, CLAMP);
    let after = [
        ("write", "os.write(o, b'more')", CLAMP + 4, &b"aamore"[..]),
        ("write behind", "os.pwrite(o, b'more', n + 2)", CLAMP + 6, b"aa\0\0more"),
        ("the end", "os.lseek(o, 0, os.SEEK_END); os.write(o, b'end')", CLAMP + 3, b"aaend"),
        ("data", "assert os.lseek(o, 5, os.SEEK_DATA) == 5 and os.lseek(o, 5, os.SEEK_HOLE) == n", CLAMP, b"aa"),
        ("truncate", "os.ftruncate(o, n - 1)", CLAMP - 1, b"a"),
        ("truncate by name", "os.truncate('b', n + 1)", CLAMP + 1, b"aa\0"),
        ("allocate", "os.posix_fallocate(o, n, 3)", CLAMP + 3, b"aa\0\0\0"),
        ("fsync", "os.fsync(o); assert os.stat('b').st_size == n; os._exit(0)", CLAMP, b"aa"),
        ("read", "assert os.pread(o, 9, n - 2) == b'aa'", CLAMP, b"aa"),
        ("mode", "os.fchmod(o, 0o600)", CLAMP, b"aa"),
        ("another source", "copy(os.open('z', os.O_RDONLY), o, 5)", CLAMP + 5, b"aa\0\0\0\0\0"),
        // The same offsets as those of a copy that goes on.
        (
            "the rest of another",
            "z = os.open('z', os.O_RDONLY); os.lseek(z, n, 0); copy(z, o, 9)",
            CLAMP + 9,
            b"aazzzzzzzzz",
        ),
        ("a range of itself", "assert os.copy_file_range(o, o, 2, n - 2, n) == 2", CLAMP + 2, b"aaaa"),
        ("another name", "os.rename('b', 'c'); os.write(o, b'c'); os.rename('c', 'b')", CLAMP + 1, b"aac"),
        ("the end of the process", "os._exit(0)", CLAMP, b"aa"),
    ];
    for (what, then, size, end) in after {
        let program = format!(
            "i, o = os.open('a', os.O_RDONLY), os.open('b', os.O_RDWR | os.O_CREAT | os.O_TRUNC); n = {CLAMP}
assert os.copy_file_range(i, o, n) == n
{then}
os.close(o)"
        );
        world.reset_stats();
        python(&world, &program);
        assert_eq!(world.properties(ONE, "b").unwrap().size, size, "{what}");
        assert_eq!(part(&world, "b", CLAMP - 2..CLAMP + 20), end, "{what}");
        assert!(world.stats().body_bytes_in < 100, "{what}: {:?}", world.stats());
        world.ok("rm b");
    }
}

#[test]
fn a_source_that_changes_between_two_requests_gives_the_rest_as_it_is_then() {
    let world = World::new();
    put_marked(&world, "a", 6 * GIB, CLAMP);
    let program = format!(
        "i, o, n = os.open('a', os.O_RDWR), os.open('b', os.O_WRONLY | os.O_CREAT), {CLAMP}
assert os.copy_file_range(i, o, n) == n
os.pwrite(i, b'new', n)
copy(i, o, 5)
os.close(o)"
    );
    python(&world, &program);
    assert_size(&world, "b", CLAMP + 5);
    assert_eq!(part(&world, "b", CLAMP - 2..CLAMP + 9), "aanewaa");
}

#[test]
fn the_rest_of_a_source_that_is_gone_is_there_already() {
    let world = World::new();
    put_marked(&world, "a", 6 * GIB, CLAMP);
    let program = format!(
        "i, o, n = os.open('a', os.O_RDONLY), os.open('b', os.O_WRONLY | os.O_CREAT), {CLAMP}
assert os.copy_file_range(i, o, n) == n
os.unlink('a')
copy(i, o, 9)
os.close(o)"
    );
    python(&world, &program);
    assert_size(&world, "b", CLAMP + 9);
    assert_eq!(part(&world, "b", CLAMP - 2..CLAMP + 20), "aaaaaaaaaaa");
}

/// A copy that the service does not go on with is granted byte by byte, one for each call.
const THREE_BYTES: &str = "
i, o = os.open('a', os.O_RDONLY), os.open('b', os.O_RDWR | os.O_CREAT)
for _ in range(3): assert os.copy_file_range(i, o, 1 << 40) == 1
";

#[test]
fn a_pending_copy_ends_with_what_was_granted() {
    let world = World::new();
    put_marked(&world, "a", 9 * GIB, 2);
    world.hold_copies();
    let after = [
        ("close", "os.close(o)", &b"aaa"[..]),
        ("write", "os.write(o, b'more')", b"aaamore"),
        ("read", "assert os.pread(o, 9, 0) == b'aaa'", b"aaa"),
        ("size", "assert os.lseek(o, 0, os.SEEK_END) == 3", b"aaa"),
        ("fsync", "os.fsync(o); assert os.stat('b').st_size == 3; os._exit(0)", b"aaa"),
        ("no close", "os._exit(0)", b"aaa"),
        (
            "another thread",
            "import threading; t = threading.Thread(target=os.copy_file_range, args=(i, o, 1 << 40)); t.start(); t.join(); os.close(o)",
            b"aaaa",
        ),
        (
            "other threads",
            "import threading; [threading.Thread(target=time.sleep, args=(9,), daemon=True).start() for _ in range(3)]; os._exit(0)",
            b"aaa",
        ),
        (
            "child",
            "os.waitpid(os.fork() or os._exit(0), 0); assert os.copy_file_range(i, o, 1 << 40) == 1; os.close(o)",
            b"aaaa",
        ),
    ];
    for (what, then, expected) in after {
        world.reset_stats();
        python(&world, &format!("{THREE_BYTES}{then}"));
        assert_eq!(world.stored("b"), expected, "{what}");
        let b = world.properties(ONE, "b").unwrap();
        assert_eq!(
            (b.metadata.get("color"), b.headers.content_type.as_deref(), b.tag_count),
            (Some("blue"), Some("text/x-log"), 1)
        );
        let stats = world.stats();
        assert_eq!((stats.requests("CopyBlob"), stats.requests("AbortCopyBlob")), (1, 1), "{what}: {stats:?}");
        assert!(stats.body_bytes_in < 10, "{what}: {stats:?}");
        world.ok("rm b");
    }
}

#[test]
fn who_is_killed_leaves_no_part() {
    // By itself, and with other threads.
    let world = World::new();
    world.put("a", pattern(4 * MIB as usize));
    world.hold_copies();
    for threads in [0, 3] {
        for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGSEGV] {
            world.reset_stats();
            let program = format!(
                "import threading, resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
for _ in range({threads}): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
{THREE_BYTES}
os.kill(os.getpid(), {signal}); time.sleep(60)"
            );
            let ran = world.sh(&format!("dir=$PWD; cd /; python3 -I - \"$dir\" <<'END'\nimport os, sys, time\nos.chdir(sys.argv[1])\n{program}\nEND"));
            assert_eq!(ran.code, Some(128 + signal), "{ran:?}");
            eventually("the abort", || status(&world, "b") == Some(CopyStatus::Aborted));
            assert_eq!(world.properties(ONE, "b").unwrap().size, 0);
            let stats = world.stats();
            assert_eq!((stats.requests("PutBlockFromURL"), stats.requests("PutBlockList")), (0, 0), "{stats:?}");
            world.ok("rm b");
        }
    }
}

#[test]
fn ctrl_c_gets_through_while_close_waits_for_the_part() {
    // Python is told of Ctrl-C when close has returned, and cannot say so before.
    let closes = "gate()\ntry: os.close(o)\nexcept OSError as e: print(errno.errorcode[e.errno])";
    let world = World::new();
    put_marked(&world, "a", 6 * GIB, CLAMP);
    let done = format!(
        "i, o = os.open('a', os.O_RDONLY), os.open('b', os.O_WRONLY | os.O_CREAT); os.copy_file_range(i, o, {CLAMP})\n"
    );
    let cases = [(true, THREE_BYTES, "PutBlockFromURL"), (false, &done, "PutBlockList")];
    for (held, copies, last) in cases {
        hold_copies(&world, held);
        let last = world.stop(Fault::on(last));
        let mut gated = Gated::start(
            &world,
            &format!("import signal; signal.signal(signal.SIGINT, lambda *_: None)\n{copies}{closes}"),
        );
        gated.reached();
        gated.let_go();
        last.reached();
        gated.signal(libc::SIGINT);
        let ran = gated.wait();
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "EINTR\n"), "{ran:?}");
        last.let_go();
        // What is not begun any more; and what is done all the same.
        let end = || world.properties(ONE, "b").map(|b| (b.copy.map(|copy| copy.status), b.size));
        let expected = if held { (Some(CopyStatus::Aborted), 0) } else { (None, CLAMP) };
        eventually("the end", || end() == Some(expected));
        world.store.clear_faults();
        world.ok("rm b");
    }
}

#[test]
fn what_cannot_be_had_of_a_source_that_changed_is_an_error_of_close() {
    let world = World::new();
    world.put("a", "old content");
    world.hold_copies();
    let program = format!(
        "{THREE_BYTES}gate()\ntry: os.close(o); print('closed')\nexcept OSError as e: print(errno.errorcode[e.errno])"
    );
    let ran = Gated::run(&world, &program, || world.put("a", "new content"));
    assert_eq!(ran.stdout, "ESTALE\n", "{ran:?}");
    assert!(world.stored("b").is_empty());
    assert_no_payload(&world.stats());
}

#[test]
fn a_part_goes_along_to_another_name() {
    let world = World::new();
    world.put("a", "content");
    world.hold_copies();
    let program = format!("{THREE_BYTES}gate()\nos.rename('b', 'c'); os.write(o, b'!'); os.close(o)");
    // Renaming is a copy, too.
    let ran = Gated::run(&world, &program, || hold_copies(&world, false));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(world.stored("c"), "con!");
    assert!(!world.is_stored("b"));
}

#[test]
fn a_server_that_makes_no_blocks_gets_the_bytes() {
    let world = World::with(cross_account(4 * MIB));
    let content = pattern(40 * MIB as usize);
    world.put("a", content.clone());
    world.hold_copies();
    let refusal =
        Fault { status: Some(501), code: Some("NotImplemented".into()), count: 1000, ..Fault::on("PutBlockFromURL") };
    world.store.add_fault(refusal);
    let program = "
i, o = os.open('a', os.O_RDONLY), os.open('../../two/box/b', os.O_RDWR | os.O_CREAT)
n = os.copy_file_range(i, o, 1 << 30)
gate()
while n < 17 << 20: n += os.copy_file_range(i, o, 1 << 30)
os.close(o)
print(n)";
    let ran = Gated::run(&world, program, || Held::default().go_on_a_little(&world.store, 18 * MIB));
    let granted: usize = ran.stdout.trim().parse().unwrap_or_else(|_| panic!("{ran:?}"));
    assert!(world.store.content(TWO, BOX, "b").unwrap() == content[..granted]);
}

#[test]
fn a_part_between_accounts() {
    let world = World::with(cross_account(MIB));
    let content = pattern(24 * MIB as usize);
    world.put("a", content.clone());
    let program = "
i, o = os.open('a', os.O_RDONLY), os.open('../../two/box/b', os.O_WRONLY | os.O_CREAT)
n = sum(os.copy_file_range(i, o, 1 << 30) for _ in range(4))
os.close(o)
print(n)";
    let granted: usize = python(&world, program).trim().parse().unwrap();
    assert!(granted < content.len());
    assert!(world.store.content(TWO, BOX, "b").unwrap() == content[..granted]);
    assert_no_payload(&world.stats());
}

#[test]
fn what_is_kept_of_an_old_file_goes_when_the_part_is_there_and_comes_back_when_not() {
    // C52
    let world = World::with(Setup { keep_on_abort: true, ..Default::default() });
    world.put("a", "content");
    world.put("b", "old");
    world.hold_copies();
    let program = THREE_BYTES.replace("os.O_CREAT", "os.O_TRUNC");
    python(&world, &format!("{program}os.close(o)"));
    assert_eq!((world.stored("b"), snapshots(&world, "b")), ("con".into(), 0));
    let refusal = Fault {
        status: Some(403),
        code: Some("AuthorizationFailure".into()),
        count: 100,
        ..Fault::on("PutBlockFromURL")
    };
    world.store.add_fault(refusal);
    hold_copies(&world, true);
    let program = format!(
        "{program}
world = 'b'
try: os.close(o); print('closed')
except OSError as e: print(errno.errorcode[e.errno])"
    );
    let mut gated = Gated::start(&world, &program.replace("world = 'b'", "gate()"));
    gated.reached();
    // The copy that brings it back is not held.
    hold_copies(&world, false);
    assert_eq!(gated.open().stdout, "EACCES\n");
    eventually("the old content", || world.stored("b") == "con");
    assert_eq!(snapshots(&world, "b"), 0);
}

#[test]
fn a_part_where_nobody_waits_for_the_end_of_copies() {
    let world = World::with(Setup { copy_wait: false, ..Default::default() });
    put_marked(&world, "a", 6 * GIB, CLAMP);
    world.hold_copies();
    python(
        &world,
        &format!(
            "i, o = os.open('a', os.O_RDONLY), os.open('b', os.O_WRONLY | os.O_CREAT)\ncopy(i, o, {CLAMP})\nos.close(o)"
        ),
    );
    assert_size(&world, "b", CLAMP);
    assert_eq!(part(&world, "b", CLAMP - 2..CLAMP + 2), "aa");
}

#[test]
fn rm_of_what_is_being_copied_ends_the_copy_and_moves_nothing() {
    let world = World::new();
    world.put("a", pattern(4 * MIB as usize));
    world.hold_copies();
    let cp = world.start("cp a b");
    pending(&world, "b");
    world.ok("rm b");
    let ran = cp.wait();
    assert!(ran.code == Some(1) && ran.stderr.contains("Operation canceled"), "{ran:?}");
    assert!(!world.is_stored("b"));
    assert_no_payload(&world.stats());
}

#[test]
fn who_has_the_destination_open_besides_does_not_end_the_copy() {
    let world = World::new();
    let content = pattern(4 * MIB as usize);
    world.put("a", content.clone());
    world.put("b", "");
    let mut gated = Gated::start(&world, "o = os.open('b', os.O_WRONLY)\ngate()\nos.close(o)");
    gated.reached();
    world.hold_copies();
    let mut cp = world.start("exec cp a b");
    pending(&world, "b");
    gated.finish();
    // The kernel tells of the last close when it likes; cp asks again and again meanwhile.
    let far = |pid| position(pid, &world.here().join("b"));
    let then = far(cp.pid());
    eventually("cp to go on", || cp.has_ended() || far(cp.pid()) > then.map(|at| at + 3));
    assert_eq!(status(&world, "b"), Some(CopyStatus::Pending));
    steer(&world, CopyAction::Release);
    assert_eq!(cp.wait().code, Some(0));
    assert!(world.stored("b") == content);
    assert_eq!(world.stats().requests("AbortCopyBlob"), 0);
}

#[test]
fn a_part_of_a_disk_and_of_a_log() {
    let world = World::new();
    let client = world.client(ONE);
    let settings = BlobSettings { metadata: [("color", "blue")].into_iter().collect(), ..Default::default() };
    world
        .block_on(client.blob(&path("disk")).page_blob().create(6 * GIB, &settings, &WriteOptions::default()))
        .unwrap();
    let etag = world.properties(ONE, "disk").unwrap().etag;
    let at = CLAMP - 512;
    world
        .block_on(client.blob(&path("disk")).page_blob().upload_pages(
            at,
            Bytes::from(vec![b'a'; 1024]),
            &Precondition::IfMatch(etag).into(),
        ))
        .unwrap();
    world.put_sparse("zeros", 5 * GIB);
    world.block_on(client.blob(&path("log")).append_blob().create(&settings, &WriteOptions::default())).unwrap();
    let zeros = world.block_on(client.blob(&path("zeros")).block_source(&client, Duration::from_secs(600))).unwrap();
    for start in (0..CLAMP).step_by(100 * MIB as usize) {
        let range = start..CLAMP.min(start + 100 * MIB);
        world
            .block_on(client.blob(&path("log")).append_blob().append_block_from_url(
                start,
                &SourceRange { source: &zeros, range, if_match: None },
                &WriteOptions::default(),
            ))
            .unwrap();
    }
    world
        .block_on(client.blob(&path("log")).append_blob().append_block(
            CLAMP,
            Bytes::from_static(b"aaaa"),
            &WriteOptions::default(),
        ))
        .unwrap();
    for (name, blob_type) in [("disk", BlobType::Page), ("log", BlobType::Append)] {
        for (wanted, held) in [(CLAMP, false), (3, true)] {
            let copy = format!("{name}{wanted}");
            hold_copies(&world, held);
            world.reset_stats();
            let program = format!(
                "i, o = os.open('{name}', os.O_RDONLY), os.open('{copy}', os.O_WRONLY | os.O_CREAT); n = {wanted}
while n > 0: n -= os.copy_file_range(i, o, {CLAMP} if n > 3 else 1 << 40)
os.close(o)"
            );
            python(&world, &program);
            let found = world.properties(ONE, &copy).unwrap();
            // A disk ends with a page.
            let size = if blob_type == BlobType::Page { wanted.next_multiple_of(512) } else { wanted };
            assert_eq!(
                (found.blob_type, found.size, found.metadata.get("color")),
                (blob_type, size, Some("blue")),
                "{copy}"
            );
            if !held {
                let end = if blob_type == BlobType::Page { "aa" } else { "\0\0" };
                assert_eq!(part(&world, &copy, CLAMP - 2..CLAMP + 2), end, "{copy}");
            }
            assert!(world.stats().body_bytes_in <= 512, "{copy}: {:?}", world.stats());
        }
    }
}
