//! Pages are written where they are, holes are holes, and what failed half-way is finished or given up, never mixed with what others wrote.

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
    let of = world.block_on(world.client(ONE).blob(&path("disk")).properties()).unwrap();
    assert_eq!(world.block_on(world.client(ONE).blob(&path("disk")).page_blob().page_ranges(&of)).unwrap(), []);
    assert_eq!(of.size, TIB);
}

#[test]
fn another_clients_write_is_stale_and_ones_own_are_not() {
    let world = World::new();
    put_page(&world, "disk", MIB);
    let halves = Gated::between(
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
    halves.finish();
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
        let halves = Gated::between(&world, &first, "os.fsync(f)\nos.pwrite(f, b'z' * 512, 51 << 20)\nos.close(f)");
        // Half of it is there, and nobody else may write until it is all there.
        assert_eq!(world.properties(ONE, "disk").unwrap().lease.state.as_deref(), Some("leased"));
        world.store.clear_faults();
        halves.finish();
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
    let halves = Gated::between(&world, &first, second);
    world.store.clear_faults();
    world.block_on(world.client(ONE).blob(&path("disk")).break_lease()).unwrap();
    write_pages(&world, "disk", 0, vec![9; 512]);
    halves.finish();
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
            assert_eq!(world.properties(ONE, "disk").unwrap().size, if operation == "PutPage" { 2048 } else { 4096 });
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
        let halves = Gated::between(
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
        halves.finish();
        assert_eq!(range(&world, "disk", 511..514), b"\0yy"[..], "{when}");
        assert_eq!(range(&world, "disk", 8191..8194), b"\0zz"[..]);
    }
}

#[test]
fn a_leased_disk_is_busy() {
    let world = World::new();
    put_page(&world, "disk", MIB);
    let id = world.block_on(world.client(ONE).blob(&path("disk")).acquire_lease(&LeaseOptions::default())).unwrap();
    let ran = world.sh("printf x | dd of=disk bs=512 conv=notrunc,fsync");
    assert!(ran.stderr.contains("Device or resource busy"), "{ran:?}");
    world.block_on(world.client(ONE).blob(&path("disk")).release_lease(&id)).unwrap();
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
