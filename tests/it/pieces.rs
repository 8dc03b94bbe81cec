//! Copies that programs ask for in pieces: no piece costs a request, and all of a file is one Copy Blob.

use blobcp::devstore::{CopyAction, Fault, Stats};
use blobcp::store::CopyStatus;
use bytes::Bytes;

use crate::common::*;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What the Python programs here have in common. `pieces(i, o, size, piece)` copies so many bytes in pieces, `failing(call)`
/// prints the name of the error that a call ends with.
const PRELUDE: &str = "
def pieces(i, o, size, piece, start=0):
    at = start
    while at < size:
        n = os.copy_file_range(i, o, min(piece, size - at), at, at)
        assert n > 0
        at += n
def source(name):
    return os.open(name, os.O_RDONLY)
def made(name, flags=os.O_TRUNC):
    return os.open(name, os.O_RDWR | os.O_CREAT | flags)
def failing(call, *args):
    try:
        call(*args)
        print('no error')
    except OSError as error:
        print(errno.errorcode[error.errno])
";

/// Runs a Python program in `one/box` that must succeed.
fn python(world: &World, program: &str) -> String {
    crate::common::python(world, &format!("{PRELUDE}\n{program}"))
}

/// A program that has done its first part. Not files of this process: what is open in it is flushed whenever another
/// test starts a program.
#[track_caller]
fn between(world: &World, first: &str, second: &str) -> Gated {
    Gated::between(world, &format!("{PRELUDE}\n{first}"), second)
}

/// A mount whose `a` of `size` bytes has metadata, a type, and tags; the mount knows of it and of `b`, if that is there.
fn world_with(size: u64) -> World {
    let world = World::with(Setup { attr_ttl: std::time::Duration::from_secs(600), ..Default::default() });
    world.store.put_sparse_blocks(ONE, BOX, "a", size, 128 * MIB).unwrap();
    world.ok("setfattr -n user.blob.meta.color -v blue a; setfattr -n user.blob.content_type -v text/x-log a");
    world.ok("setfattr -n user.blob.tag.team -v ours a; ls -l");
    world.reset_stats();
    world
}

fn content(world: &World, name: &str, range: std::ops::Range<u64>) -> Bytes {
    world.block_on(world.client(ONE).blob(&path(name)).download(range)).unwrap().bytes
}

#[track_caller]
fn assert_requests(world: &World, expected: &[(&'static str, u64)]) -> Stats {
    let stats = world.stats();
    let lookups = ["GetBlobProperties", "ListBlobs", "GetBlobTags"];
    let others: Vec<_> =
        stats.requests.iter().filter(|(name, _)| !lookups.contains(name)).map(|(n, c)| (*n, *c)).collect();
    assert_eq!(others, expected, "{:#?}", world.store.requests());
    stats
}

/// Everything that `cp` keeps.
#[track_caller]
fn assert_like_cp(world: &World, name: &str, size: u64) {
    let now = world.properties(ONE, name).unwrap();
    assert_eq!(now.size, size);
    assert_eq!(now.headers.content_type.as_deref(), Some("text/x-log"));
    assert_eq!(now.metadata.get("color"), Some("blue"));
    assert_eq!(world.ok(&format!("getfattr --only-values -n user.blob.tag.team {name}")), "ours");
    assert_eq!(world.ok(&format!("getfattr --only-values -n user.blob.copy.status {name}")), "success");
}

/// How each program asks: what it does to the new file before, and the size of its pieces.
const PROGRAMS: [(&str, &str, u64); 8] = [
    ("KDE", "", 512 * 1024),
    ("xcp", "os.ftruncate(o, size)", MIB),
    ("Samba", "", MIB),
    ("qemu-img", "os.ftruncate(o, size); os.pwrite(o, b'x' * 4096, 0)", 2 * MIB),
    ("Go", "", 2_147_479_552),
    ("Rust", "", GIB),
    ("Java", "os.posix_fadvise(o, 0, 0, os.POSIX_FADV_NORMAL)", 2_147_479_552),
    ("Bun", "os.posix_fallocate(o, 0, size)", 4 * GIB),
];

#[test]
fn six_gibibytes_are_one_copy_blob_however_a_program_asks() {
    const SIZE: u64 = 6 * GIB;
    let world = world_with(SIZE);
    for (program, before, piece) in PROGRAMS {
        let name = format!("of-{program}");
        world.reset_stats();
        let copied = format!(
            "size = {SIZE}; i, o = source('a'), made('{name}')\n{before}\npieces(i, o, size, {piece})\nos.close(o)"
        );
        python(&world, &copied);
        let stats = assert_requests(&world, &[("CopyBlob", 1)]);
        assert_no_payload(&stats);
        assert_like_cp(&world, &name, SIZE);
    }
}

#[test]
fn pieces_may_come_in_any_order_and_more_than_once() {
    const SIZE: u64 = 8 * MIB + 5;
    let world = world_with(SIZE);
    python(
        &world,
        &format!(
            "i, o = source('a'), made('b')
for at in [4 << 20, 0, 6 << 20, 2 << 20, 0]:
    assert os.copy_file_range(i, o, 2 << 20, at, at) == 2 << 20
pieces(i, o, {SIZE}, 1, 8 << 20)
os.close(o)"
        ),
    );
    let stats = assert_requests(&world, &[("CopyBlob", 1)]);
    assert_no_payload(&stats);
    assert_like_cp(&world, "b", SIZE);
}

#[test]
fn what_is_not_all_of_one_file_is_blocks_that_the_service_makes() {
    let world = world_with(6 * GIB);
    world.put("small", pattern(3 * MIB as usize));
    world.ok("ls -l");
    world.reset_stats();
    // The end of a large file, all of a small one, some bytes, and a hole.
    python(
        &world,
        "i, s, o = source('a'), source('small'), made('b')
for n in range(1024):
    assert os.copy_file_range(i, o, 1 << 20, (5 << 30) + (n << 20), n << 20) == 1 << 20
assert os.copy_file_range(s, o, 3 << 20, 0, 1 << 30) == 3 << 20
os.pwrite(o, b'middle', 1000)
os.ftruncate(o, (1 << 30) + (4 << 20))
os.close(o)",
    );
    let stats = assert_requests(&world, &[("PutBlock", 2), ("PutBlockFromURL", 3), ("PutBlockList", 1)]);
    // What is written, and a block of zeros.
    assert_eq!((stats.body_bytes_in, stats.body_bytes_out), (MIB + 6, 0), "{stats:?}");
    assert_eq!(content(&world, "b", 998..1008), b"\0\0middle\0\0"[..]);
    assert_eq!(content(&world, "b", GIB..GIB + 3 * MIB), pattern(3 * MIB as usize)[..]);
    assert_eq!(world.properties(ONE, "b").unwrap().size, GIB + 4 * MIB);
}

#[test]
fn a_piece_that_is_read_before_it_is_stored_is_there() {
    let world = World::new();
    world.put("a", pattern(5 << 20));
    python(
        &world,
        "i, o = source('a'), made('b')
assert os.copy_file_range(i, o, 2 << 20, 1 << 20, 0) == 2 << 20
assert os.pread(o, 1000, 500000) == os.pread(i, 1000, (1 << 20) + 500000)
assert os.fstat(o).st_size == 2 << 20
os.close(o)",
    );
    assert_eq!(world.stored("b"), pattern(5 << 20)[1 << 20..3 << 20]);
}

/// A change of the source by this mount, after half of it was put into `b` and before `b` is closed.
const CHANGES: [(&str, &str); 8] = [
    ("written", "w = os.open('a', os.O_WRONLY); os.pwrite(w, b'other', 10); os.close(w)"),
    ("appended to", "w = os.open('a', os.O_WRONLY | os.O_APPEND); os.write(w, b'other'); os.close(w)"),
    ("truncated", "os.truncate('a', 3)"),
    ("emptied by a copy", "w, e = made('a'), source('e'); os.copy_file_range(e, w, 1 << 20, 0, 0); os.close(w)"),
    ("removed", "os.unlink('a')"),
    ("renamed", "os.rename('a', 'elsewhere')"),
    ("renamed over", "os.rename('e', 'a')"),
    ("described", "os.setxattr('a', 'user.blob.meta.color', b'green'); os.chmod('a', 0o600); os.utime('a', (1, 1))"),
];

#[test]
fn what_this_mount_does_to_a_source_comes_after_what_was_copied_of_it() {
    let size = 4 << 20;
    for (what, change) in CHANGES {
        for whole in [false, true] {
            let world = World::new();
            world.put("a", pattern(size));
            world.put("e", "something else");
            world.ok("ls -l");
            world.reset_stats();
            let rest = if whole { "os.copy_file_range(i, o, 2 << 20, 2 << 20, 2 << 20)" } else { "pass" };
            python(
                &world,
                &format!(
                    "i, o = source('a'), made('b')
assert os.copy_file_range(i, o, 2 << 20, 0, 0) == 2 << 20
{rest}
{change}
os.close(o)"
                ),
            );
            let copied = if whole { size } else { size / 2 };
            assert_eq!(world.stored("b"), pattern(size)[..copied], "{what}, whole: {whole}");
            assert_eq!(world.stats().requests("GetBlob"), 0, "{what}");
        }
    }
}

#[test]
fn a_directory_with_a_source_is_renamed_after_what_was_copied_of_it() {
    let world = World::new();
    world.put("d/a", pattern(3 << 20));
    world.put("d/c", "c");
    python(
        &world,
        "i, o = source('d/a'), made('b')
assert os.copy_file_range(i, o, 1 << 20, 1 << 20, 0) == 1 << 20
os.rename('d', 'e')
os.close(o)",
    );
    assert_eq!(world.stored("b"), pattern(3 << 20)[1 << 20..2 << 20]);
    assert_eq!(world.stored("e/a"), pattern(3 << 20));
    // Also where the copy goes to moves with it.
    python(
        &world,
        "i, o = source('b'), made('e/n')
assert os.copy_file_range(i, o, 1 << 19, 0, 0) == 1 << 19
os.rename('e', 'f')
os.close(o)",
    );
    assert_eq!(world.stored("f/n"), pattern(3 << 20)[1 << 20..3 << 19]);
}

/// Half of a file of 4 MiB is put into a new one.
fn half(from: &str, to: &str) -> String {
    format!("i, o = source('{from}'), made('{to}')\nassert os.copy_file_range(i, o, 2 << 20, 0, 0) == 2 << 20")
}

#[test]
fn what_another_client_does_to_a_source_is_the_error_of_who_stores_the_copy() {
    let world = World::new();
    world.put("a", pattern(4 << 20));
    world.put("b", "old");
    world.ok("ls -l");
    let copier = between(&world, &half("a", "b"), "failing(os.fsync, o)");
    world.put("a", "another");
    assert_eq!(copier.open().stdout, "ESTALE\n");
    assert_eq!(world.stored("b"), b"old"[..]);
}

#[test]
fn a_source_is_stored_although_who_has_borrowed_of_it_cannot_be_and_is_not_removed() {
    let world = World::new();
    world.put("a", pattern(4 << 20));
    world.put("c", pattern(4 << 20));
    world.ok("ls -l");
    let refused = Fault {
        status: Some(403),
        code: Some("AuthorizationFailure".into()),
        count: 1000,
        ..Fault::on("PutBlockFromURL")
    };
    world.store.add_fault(refused);
    let copier = between(&world, &half("a", "b"), "failing(os.fsync, o)");
    world.ok("printf other > a; setfattr -n user.blob.meta.color -v red a");
    assert_eq!(world.stored("a"), "other");
    assert_eq!(copier.open().stdout, "EACCES\n");
    // To remove it would be the end of what is nowhere else.
    let copier = between(&world, &half("c", "d"), "os.fsync(o)");
    assert_ne!(world.sh("rm c").code, Some(0));
    assert_ne!(world.sh("mv a c").code, Some(0));
    world.store.clear_faults();
    copier.finish();
    assert_eq!(world.stored("d"), pattern(4 << 20)[..2 << 20]);
    world.ok("rm c");
}

#[test]
fn a_copy_in_pieces_that_the_service_takes_time_for_is_waited_for_by_the_close() {
    let world = World::with(Setup { attr_ttl: std::time::Duration::from_secs(600), ..cross_account(1 << 30) });
    world.put("a", pattern(4 << 20));
    world.ok("ls -l");
    world.hold_copies();
    let first = "i, o = source('a'), made('../../two/box/b')\npieces(i, o, 4 << 20, 1 << 20)";
    let mut copier = between(&world, first, "os.fsync(o)");
    let state = || world.properties(TWO, "b").and_then(|now| Some(now.copy?.status));
    eventually("the copy", || state() == Some(CopyStatus::Pending));
    // From here on nobody asks but who waits.
    world.reset_stats();
    copier.let_go();
    eventually("fsync waits", || world.stats().requests("GetBlobProperties") > 3);
    assert!(!copier.has_ended());
    steer(&world, CopyAction::Release);
    let ran = copier.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(state(), Some(CopyStatus::Success));
}

#[test]
fn where_a_whole_copy_is_refused_pieces_are_copied_as_blocks() {
    let world = world_with(GIB);
    world.store.add_fault(Fault {
        status: Some(409),
        code: Some("FeatureNotSupportedByThisAccount".into()),
        count: 9,
        ..Fault::on("CopyBlob")
    });
    python(&world, &format!("i, o = source('a'), made('b'); pieces(i, o, {GIB}, 256 << 20); os.close(o)"));
    let stats = world.stats();
    assert_eq!((stats.requests("PutBlockFromURL"), stats.requests("PutBlockList")), (1, 1), "{stats:?}");
    assert_no_payload(&stats);
    assert_eq!(world.properties(ONE, "b").unwrap().size, GIB);
}

#[test]
fn two_files_that_copy_of_each_other_get_what_was_there() {
    let world = World::new();
    let (one, two) = (pattern(2 << 20), vec![7; 2 << 20]);
    world.put("a", one.clone());
    world.put("b", two.clone());
    python(
        &world,
        "a, b = made('a', 0), made('b', 0)
ra, rb = source('a'), source('b')
assert os.copy_file_range(ra, b, 1 << 20, 0, 1 << 20) == 1 << 20
assert os.copy_file_range(rb, a, 1 << 20, 0, 0) == 1 << 20
os.close(a); os.close(b)",
    );
    assert_eq!(world.stored("b"), [&two[..1 << 20], &one[..1 << 20]].concat());
    assert_eq!(world.stored("a"), [&two[..1 << 20], &one[1 << 20..]].concat());
}
