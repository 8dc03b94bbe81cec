//! Any change of a file, whatever its size, sends only what is new; ranges are copied inside the service.

use std::time::Duration;

use blobcp::devstore::{Fault, Stats};
use blobcp::store::{BlobSettings, ContentHeaders, WriteOptions};

use crate::common::*;

const MIB: usize = 1 << 20;
const GIB: u64 = 1 << 30;
/// Bytes of a block of a blob that others wrote.
const LARGE_BLOCK: u64 = 128 << 20;

/// Runs a Python program in `one/box` that must succeed. `os` is imported, and `copy_range(from, to, at, to_at, n)` copies all of n bytes.
fn python(world: &World, program: &str) -> String {
    const PRELUDE: &str = "
def copy_range(i, o, a, b, n):
    while n > 0:
        m = os.copy_file_range(i, o, n, a, b)
        assert m > 0
        n -= m; a += m; b += m
";
    crate::common::python(world, &format!("{PRELUDE}\n{program}"))
}

/// 100 GiB of 800 blocks, and 4 GiB that one request wrote.
const LARGE: [(&str, u64); 2] = [("blocks", 100 * GIB), ("whole", 4 * GIB)];

/// A world with large blobs that have metadata and properties, which the mount knows of.
fn with_large_blobs() -> World {
    let world = World::with(Setup { attr_ttl: Duration::from_secs(60), ..Default::default() });
    world.store.put_sparse_blocks(ONE, BOX, "blocks", 100 * GIB, LARGE_BLOCK).unwrap();
    world.put_sparse("whole", 4 * GIB);
    world.ok("for f in blocks whole; do setfattr -n user.blob.meta.color -v blue $f; setfattr -n user.blob.cache_control -v no-store $f; done");
    world.ok("setfattr -n user.blob.content_type -v text/x-log blocks whole; stat blocks whole");
    world
}

#[track_caller]
fn assert_kept(world: &World, name: &str) {
    let now = world.properties(ONE, name).unwrap();
    assert_eq!(now.headers.content_type.as_deref(), Some("text/x-log"));
    assert_eq!(now.headers.cache_control.as_deref(), Some("no-store"));
    assert_eq!(now.metadata.get("color"), Some("blue"));
}

/// Does it to both large blobs and asserts the requests: at most `requests`, with `payload` bytes; then looks at what came of it.
#[track_caller]
fn on_large_blobs(requests: u64, payload: u64, change: impl Fn(&World, &str, u64), look: impl Fn(&World, &str, u64)) {
    let world = with_large_blobs();
    for (name, size) in LARGE {
        world.reset_stats();
        change(&world, name, size);
        let stats = world.stats();
        assert!(stats.total <= requests, "{name}: {:#?}", world.store.requests());
        assert_eq!((stats.body_bytes_in, stats.body_bytes_out), (payload, 0), "{name}: {stats:?}");
        look(&world, name, size);
        assert_kept(&world, name);
    }
}

fn read(world: &World, name: &str, range: std::ops::Range<u64>) -> bytes::Bytes {
    world.block_on(world.client(ONE).blob(&path(name)).download(range)).unwrap().bytes
}

#[test]
fn overwriting_a_mebibyte_in_the_middle_of_100_gib() {
    let middle = |size: u64| size / 2 + 12345;
    let overwrite = |world: &World, name: &str, size: u64| {
        let at = middle(size);
        let dd = format!("dd of={name} bs=1M iflag=fullblock oflag=seek_bytes seek={at} conv=notrunc 2>&1");
        world.ok(&format!("head -c 1M /dev/zero | tr '\\0' m | {dd}"));
    };
    on_large_blobs(6, MIB as u64, overwrite, |world, name, size| {
        let (at, end) = (middle(size), middle(size) + MIB as u64);
        assert_eq!(world.properties(ONE, name).unwrap().size, size);
        assert_eq!(read(world, name, at - 2..at + 2), b"\0\0mm"[..]);
        assert_eq!(read(world, name, end - 2..end + 2), b"mm\0\0"[..]);
    });
}

#[test]
fn appending_a_kibibyte_to_100_gib() {
    let append =
        |world: &World, name: &str, _| drop(world.ok(&format!("head -c 1024 /dev/zero | tr '\\0' x >> {name}")));
    on_large_blobs(6, 1024, append, |world, name, size| {
        assert_eq!(world.properties(ONE, name).unwrap().size, size + 1024);
        assert_eq!(read(world, name, size - 1..size + 1), b"\0x"[..]);
    });
}

#[test]
fn truncating_100_gib_by_a_byte() {
    let truncate = |world: &World, name: &str, _| drop(world.ok(&format!("truncate -s -1 {name}")));
    on_large_blobs(6, 0, truncate, |world, name, size| {
        assert_eq!(world.properties(ONE, name).unwrap().size, size - 1);
        assert_eq!(world.ok(&format!("stat -c %s {name}")), format!("{}\n", size - 1));
    });
}

#[test]
fn growing_by_100_gib_sends_a_block_of_zeros() {
    let world = World::new();
    world.put("f", "data");
    world.ok("stat f; truncate -s 100G f");
    let stats = world.stats();
    assert!(stats.body_bytes_in <= 16 << 20 && stats.total <= 10, "{stats:?}");
    assert_eq!(world.properties(ONE, "f").unwrap().size, 100 * GIB);
    assert_eq!(read(&world, "f", 0..8), b"data\0\0\0\0"[..]);
    assert_eq!(world.ok("tail -c 3 f | od -An -tx1"), " 00 00 00\n");
    // And again in the middle of what is zeros already.
    world.ok("printf x | dd of=f bs=1 seek=50G conv=notrunc 2>&1");
    assert_eq!(read(&world, "f", 50 * GIB - 1..50 * GIB + 2), b"\0x\0"[..]);
    let ran = world.sh("truncate -s 1P f");
    assert!(ran.stderr.contains("File too large"), "{ran:?}");
    assert_eq!(world.properties(ONE, "f").unwrap().size, 100 * GIB);
}

#[test]
fn small_changes_of_a_small_file() {
    let world = World::new();
    let headers = ContentHeaders { content_type: Some("text/x-log".into()), ..Default::default() };
    let settings = BlobSettings { headers, ..Default::default() };
    let put = |name: &str| {
        let client = world.client(ONE);
        world
            .block_on(client.blob(&path(name)).block_blob().upload("0123456789", &settings, &WriteOptions::default()))
            .unwrap();
    };
    let changes = [
        ("printf X | dd of=F bs=1 seek=5 conv=notrunc", &b"01234X6789"[..]),
        ("printf X | dd of=F bs=1 seek=12 conv=notrunc", b"0123456789\0\0X"),
        ("truncate -s 3 F", b"012"),
        ("truncate -s 12 F", b"0123456789\0\0"),
        ("truncate -s 3 F; truncate -s 5 F", b"012\0\0"),
        ("fallocate -l 12 F", b"0123456789\0\0"),
        ("fallocate -n -l 12 F", b"0123456789"),
        ("fallocate -p -o 2 -l 3 F", b"01\0\0\x0056789"),
        ("fallocate -z -o 8 -l 3 F", b"01234567\0\0\0"),
        ("fallocate -z -n -o 8 -l 3 F", b"01234567\0\0"),
    ];
    // What is put behind the mount's back it may not see at once, once it has looked.
    (0..changes.len()).for_each(|number| put(&format!("file{number}")));
    for (number, (command, expected)) in changes.into_iter().enumerate() {
        let name = format!("file{number}");
        world.ok(&command.replace('F', &name));
        assert_eq!(world.stored(&name), expected, "{command}");
        assert_eq!(
            world.properties(ONE, &name).unwrap().headers.content_type.as_deref(),
            Some("text/x-log"),
            "{command}"
        );
    }
    let collapse = world.sh("fallocate -c -o 0 -l 4096 file0");
    assert!(collapse.stderr.contains("not supported"), "{collapse:?}");
}

#[test]
fn cat_of_three_files_is_run_by_the_service() {
    let world = World::new();
    let parts: Vec<Vec<u8>> = (1..4).map(|i| pattern(i * MIB + i)).collect();
    for (name, part) in ["a", "b", "c"].iter().zip(&parts) {
        world.put(name, part.clone());
    }
    world.ok("ls -l");
    world.reset_stats();
    world.ok("cat a b c > d");
    assert_no_payload(&world.stats());
    assert!(world.stored("d") == parts.concat());
    let stats = world.stats();
    // One Copy Blob, as of any file that is copied first; b and c; what the copy is; the list.
    assert!(stats.total <= 6, "{:#?}", world.store.requests());
}

#[test]
fn ranges_are_copied_by_the_service() {
    // C12, M2: Copy Blob takes no range, so a part is copied by other means, and nothing is moved either.
    let world = World::new();
    let a = pattern(5 * MIB);
    world.put("a", a.clone());
    world.put("old", vec![b'o'; 100]);
    world.ok("ls -l");
    world.reset_stats();
    python(
        &world,
        "a = os.open('a', os.O_RDONLY)
for name, at in [('new', 0), ('gap', 1000), ('old', 50)]:
    o = os.open(name, os.O_RDWR | os.O_CREAT)
    copy_range(a, o, 1 << 20, at, 2 << 20)
    os.close(o)",
    );
    assert_no_payload(&Stats { body_bytes_in: 0, ..world.stats() });
    // The gap.
    assert!(world.stats().body_bytes_in <= 1000);
    assert_eq!(world.stats().requests("CopyBlob"), 0);
    let range = &a[MIB..3 * MIB];
    assert!(world.stored("new") == range);
    assert!(world.stored("gap") == [&[0; 1000], range].concat());
    assert!(world.stored("old") == [&[b'o'; 50], range].concat());
}

#[test]
fn a_range_of_more_than_one_block_takes_is_several() {
    let world = World::new();
    world.put_sparse("a", 9 * GIB);
    world.ok("stat a");
    world.reset_stats();
    python(
        &world,
        &format!(
            "a, o = os.open('a', os.O_RDONLY), os.open('b', os.O_WRONLY | os.O_CREAT)\ncopy_range(a, o, 1, 0, {})",
            8 * GIB
        ),
    );
    assert_no_payload(&world.stats());
    assert_eq!(world.properties(ONE, "b").unwrap().size, 8 * GIB);
    assert!(world.stats().requests("PutBlockFromURL") <= 4, "{:?}", world.stats());
}

#[test]
fn ranges_come_from_the_other_account_as_well() {
    let world = World::new();
    let a = pattern(3 * MIB);
    world.store.put_blob(TWO, BOX, "a", a.clone().into(), "text/plain").unwrap();
    python(
        &world,
        "a, o = os.open('../../two/box/a', os.O_RDONLY), os.open('b', os.O_WRONLY | os.O_CREAT)
copy_range(a, o, 7, 0, 1 << 20)",
    );
    assert_no_payload(&world.stats());
    assert!(world.stored("b") == a[7..MIB + 7]);
}

#[test]
fn a_range_of_the_file_itself_costs_no_payload() {
    let world = World::new();
    let content = pattern(40 * MIB);
    world.put("f", content.clone());
    world.ok("stat f");
    world.reset_stats();
    python(&world, "f = os.open('f', os.O_RDWR)\ncopy_range(f, f, 0, 30 << 20, 20 << 20)");
    assert_no_payload(&world.stats());
    assert!(world.stored("f") == [&content[..30 * MIB], &content[..20 * MIB]].concat());
    // Overlapping ranges are the syscall's to refuse.
    python(
        &world,
        "f = os.open('f', os.O_RDWR)
try: os.copy_file_range(f, f, 10, 0, 5); print('no')
except OSError as e: assert e.errno == errno.EINVAL",
    );
}

#[test]
fn a_copied_range_is_what_it_was_whatever_becomes_of_its_source() {
    let world = World::new();
    world.put("a", pattern(MIB));
    world.put("b", vec![b'b'; 10]);
    python(
        &world,
        "a, b = os.open('a', os.O_RDWR), os.open('b', os.O_RDWR)
copy_range(a, b, 0, 10, 1000)
os.pwrite(a, b'x' * 1000, 0); os.fsync(a)
os.unlink('a')
os.close(b)",
    );
    assert!(world.stored("b") == [&[b'b'; 10], &pattern(MIB)[..1000]].concat());
}

#[test]
fn a_source_that_was_just_written_is_committed_before_its_range_is_copied() {
    let world = World::new();
    python(
        &world,
        "a, b = os.open('a', os.O_RDWR | os.O_CREAT), os.open('b', os.O_RDWR | os.O_CREAT)
os.write(a, b'0123456789'); os.write(b, b'x')
copy_range(a, b, 2, 1, 5)
os.pwrite(b, b'Y', 2)
assert os.pread(b, 10, 0) == b'x2Y456'",
    );
    assert_eq!(world.stored("b"), "x2Y456");
}

#[test]
fn a_copied_range_survives_the_commit_that_it_makes_necessary() {
    // A block that is not committed is used as a whole or not at all, and a commit drops those that are not in its list.
    let world = World::new();
    let a = pattern(100);
    world.put("a", a.clone());
    let overlapping = "
a, b = os.open('a', os.O_RDONLY), os.open('b', os.O_RDWR | os.O_CREAT)
copy_range(a, b, 0, 0, 50)
copy_range(a, b, 0, 25, 50)
os.close(b)";
    python(&world, overlapping);
    assert!(world.stored("b") == [&a[..25], &a[..50]].concat());
    // Blocks of a file that is being written, from which the range takes the end of one and the beginning of the next.
    let large = pattern(20 * MIB);
    world.put("large", large.clone());
    let over_written = "
large, f = os.open('large', os.O_RDONLY), os.open('f', os.O_RDWR | os.O_CREAT)
for _ in range(20): os.write(f, b'w' * (1 << 20))
copy_range(large, f, 0, 3 << 20, 2 << 20)
copy_range(large, f, 5 << 20, 7 << 20, 2 << 20)
os.fsync(f)
copy_range(f, f, 7 << 20, 30 << 20, 2 << 20)
copy_range(large, f, 1, (31 << 20) - 7, 10)
os.close(f)";
    python(&world, over_written);
    let mut expected = vec![b'w'; 32 * MIB];
    expected[20 * MIB..30 * MIB].fill(0);
    expected[3 * MIB..5 * MIB].copy_from_slice(&large[..2 * MIB]);
    expected[7 * MIB..9 * MIB].copy_from_slice(&large[5 * MIB..7 * MIB]);
    expected[30 * MIB..].copy_from_slice(&large[5 * MIB..7 * MIB]);
    expected[31 * MIB - 7..31 * MIB + 3].copy_from_slice(&large[1..11]);
    assert!(world.stored("f") == expected);
}

#[test]
fn a_file_without_a_name_is_copied_as_far_as_it_can_be_reached() {
    // What the service was to copy into it is in no blob of its own and never will be.
    let world = World::new();
    world.put("a", pattern(100));
    let program = "
a, f = os.open('a', os.O_RDONLY), os.open('f', os.O_RDWR | os.O_CREAT)
os.write(f, b'0123456789'); copy_range(a, f, 0, 10, 50); os.unlink('f')
copy_range(f, f, 0, 8192, 10)
assert os.pread(f, 20, 8192) == b'0123456789'
for at, to in [(0, 20), (20, 200), (40, 300)]:
    try: os.copy_file_range(f, f, 10, at, to); print('copied')
    except OSError as e: print(errno.errorcode[e.errno])";
    assert_eq!(python(&world, program), "copied\ncopied\nEIO\n");
    assert!(!world.is_stored("f"));
}

#[test]
fn what_lost_its_name_while_it_was_open_is_read_and_written() {
    // The service copies blobs. EOPNOTSUPP makes the kernel do it (kernel fact 6), and programs see bytes.
    let world = World::new();
    world.put("stored", "in the service");
    python(
        &world,
        "
flags = os.O_RDWR | os.O_CREAT
def nameless(name):
    f = os.open(name, flags); os.unlink(name)
    return f
a, b, c = nameless('a'), nameless('b'), os.open('c', flags)
os.write(a, b'0123456789')
copy_range(a, b, 2, 4, 6)
assert os.pread(b, 100, 0) == b'\\0' * 4 + b'234567'
copy_range(b, c, 0, 0, 10)
os.fsync(c)
copy_range(os.open('stored', os.O_RDONLY), b, 0, 4, 14)
assert os.pread(b, 100, 0) == b'\\0' * 4 + b'in the service'
d = os.open('stored', os.O_RDONLY)
os.pread(d, 100, 0); os.unlink('stored')
copy_range(d, c, 0, 10, 14)
os.close(c)",
    );
    assert_eq!(world.stored("c"), b"\0\0\0\x00234567in the service"[..]);
    // What nobody has any more cannot be had.
    world.put("gone", "in the service");
    let program = "
gone, c = os.open('gone', os.O_RDONLY), os.open('c', os.O_RDWR)
os.unlink('gone')
try: os.copy_file_range(gone, c, 5, 0, 0); print('copied')
except OSError as e: print(errno.errorcode[e.errno])";
    assert_eq!(python(&world, program), "ENOENT\n");
}

#[test]
fn a_range_that_cannot_be_copied_is_an_error_of_the_close_and_moves_nothing() {
    let world = World::new();
    world.put("a", pattern(MIB));
    let fault = Fault {
        status: Some(403),
        code: Some("AuthorizationFailure".into()),
        count: 100,
        ..Fault::on("PutBlockFromURL")
    };
    world.store.add_fault(fault);
    let program = "a, b = os.open('a', os.O_RDONLY), os.open('b', os.O_RDWR | os.O_CREAT)
assert os.copy_file_range(a, b, 1000, 1, 0) == 1000
try: os.close(b)
except OSError as e: print(errno.errorcode[e.errno])";
    assert_eq!(python(&world, program), "EACCES\n");
    assert_no_payload(&world.stats());
}

#[test]
fn a_server_without_put_block_from_url_gets_the_bytes() {
    let world = World::new();
    let content = pattern(20 * MIB);
    world.put("a", content.clone());
    let fault =
        Fault { status: Some(501), code: Some("NotImplemented".into()), count: 1000, ..Fault::on("PutBlockFromURL") };
    world.store.add_fault(fault);
    python(
        &world,
        "a, b = os.open('a', os.O_RDWR), os.open('b', os.O_RDWR | os.O_CREAT)
copy_range(a, b, 1, 0, (20 << 20) - 1)
os.pwrite(a, b'X', 5)",
    );
    assert!(world.stored("b") == content[1..]);
    assert!(world.stored("a") == [&content[..5], b"X", &content[6..]].concat());
}

#[test]
fn two_handles_change_one_file() {
    let world = World::new();
    world.put("f", vec![b'.'; 20 * MIB]);
    python(
        &world,
        "a, b = os.open('f', os.O_RDWR), os.open('f', os.O_RDWR)
os.pwrite(a, b'a' * 10, 5 << 20); os.pwrite(b, b'b' * 5, (5 << 20) + 3)
assert os.pread(a, 12, (5 << 20) - 1) == b'.aaabbbbbaa.'
os.ftruncate(b, 6 << 20); os.pwrite(a, b'end', 7 << 20)
assert os.pread(b, 10, (7 << 20) - 1) == b'\\0end'
os.close(a)
os.pwrite(b, b'B', 0); os.close(b)",
    );
    let stored = world.stored("f");
    assert_eq!(stored.len(), 7 * MIB + 3);
    assert_eq!(stored.slice(5 * MIB - 1..5 * MIB + 11), ".aaabbbbbaa.");
    assert_eq!(
        (&stored[..2], &stored[6 * MIB - 1..6 * MIB + 1], &stored[7 * MIB..]),
        (&b"B."[..], &b".\0"[..], &b"end"[..])
    );
}

#[test]
fn random_writes_stay_within_memory_and_arrive() {
    // 20 MiB in pieces, a file with a hole, a block overwritten that is on its way.
    let world = World::new();
    python(
        &world,
        "import random
r = random.Random(5)
f = os.open('f', os.O_RDWR | os.O_CREAT)
model = bytearray(64 << 20)
os.ftruncate(f, len(model))
for i in range(2000):
    at, d = r.randrange(len(model) - 20000), r.randbytes(r.randrange(20000))
    os.pwrite(f, d, at); model[at:at + len(d)] = d
for i in range(24):
    d = bytes([i]) * (1 << 20)
    os.pwrite(f, d, i << 20); model[i << 20:i + 1 << 20] = d
os.pwrite(f, b'cut', 100); model[100:103] = b'cut'
os.close(f)
assert open('f', 'rb').read() == model
open('model', 'wb').write(model)",
    );
    assert!(world.stored("f") == world.stored("model"));
}

#[test]
fn holes_of_an_open_file_are_found() {
    let world = World::new();
    world.put("f", vec![b'.'; 1000]);
    let program = "f = os.open('f', os.O_RDWR)
assert os.lseek(f, 5, os.SEEK_DATA) == 5 and os.lseek(f, 5, os.SEEK_HOLE) == 1000
os.ftruncate(f, 5000); os.pwrite(f, b'x', 9000)
assert os.lseek(f, 5, os.SEEK_HOLE) == 1000 and os.lseek(f, 1000, os.SEEK_DATA) == 9000
assert os.lseek(f, 9000, os.SEEK_HOLE) == 9001
try: os.lseek(f, 9001, os.SEEK_DATA); print('no')
except OSError as e: assert e.errno == errno.ENXIO";
    python(&world, program);
}

#[test]
fn pages_of_a_mapping_are_written_where_they_are() {
    let world = World::new();
    world.put("f", pattern(MIB));
    python(
        &world,
        "import mmap
f = open('f', 'r+b'); m = mmap.mmap(f.fileno(), 0)
m[5000:5005] = b'hello'; m[900000:900002] = b'XY'
m.flush(); m[0:1] = b'0'; m.close(); f.close()",
    );
    let mut expected = pattern(MIB);
    expected[5000..5005].copy_from_slice(b"hello");
    expected[900_000..900_002].copy_from_slice(b"XY");
    expected[0] = b'0';
    assert!(world.stored("f") == expected);
}

#[test]
fn a_failed_commit_of_a_change_in_the_middle_can_be_repeated() {
    let world = World::new();
    world.put("f", pattern(3 * MIB));
    for operation in ["PutBlock", "PutBlockFromURL", "PutBlockList"] {
        world.store.add_fault(Fault { status: Some(500), count: 3, ..Fault::on(operation) });
        python(
            &world,
            "f = os.open('f', os.O_RDWR); os.pwrite(f, b'middle', 1 << 20)
try: os.fsync(f); print('no error')
except OSError as e: assert e.errno == errno.EIO
os.fsync(f)",
        );
        world.store.clear_faults();
    }
    let mut expected = pattern(3 * MIB);
    expected[MIB..MIB + 6].copy_from_slice(b"middle");
    assert!(world.stored("f") == expected);
}
