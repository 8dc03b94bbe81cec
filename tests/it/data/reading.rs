//! What a program reads is one version, and nothing of it is fetched twice.

use super::*;

#[test]
fn a_sequential_reader_gets_every_part_once() {
    let world = World::new();
    let size = 64 * MIB;
    world.put("f", pattern(size));
    let sum = world.ok("sha256sum < f");
    let stats = world.stats();
    // Without TLS in parts of 4 MiB, each of which comes with its checksum.
    assert!((16..=18).contains(&stats.requests("GetBlob")), "{stats:?}");
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
    let world = World::new();
    for round in 0..5 {
        let text = format!("round {round}");
        world.put("f", text.clone());
        world.expire(&["f"]);
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
    assert!(stats.body_bytes_out <= size as u64 + 18 * PART + (2 << 20), "{stats:?}");
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
    let mut reader = Gated::start(
        &world,
        "fd = os.open('f', os.O_RDONLY)
assert os.pread(fd, 1, 0) == b'a'
gate()
try:
    data = os.pread(fd, 4096, 50 << 20)
    print('read', data[:1])
except OSError as e:
    print(errno.errorcode[e.errno])",
    );
    reader.reached();
    world.put("f", vec![b'b'; 64 * MIB]);
    let ran = reader.open();
    assert_eq!(ran.stdout, "ESTALE\n", "{}", ran.stderr);
}
