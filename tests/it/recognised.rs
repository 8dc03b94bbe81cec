//! What programs read and write again is not sent: the service makes the blocks of what it has. And everything that may
//! go wrong with that ends with the content being sent, and the file being what was written.

use blobcp::devstore::{Fault, Stats};

use crate::common::entra::Entra;
use crate::common::*;

const MIB: usize = 1 << 20;
/// Two blocks and a bit, which is no multiple of anything.
const SIZE: usize = 20 * MIB + 12_345;

/// What a copy of `a` to `b` cost the service, which must have the same content then.
#[derive(Debug, PartialEq, Eq)]
struct Moved {
    fetched: u64,
    sent: u64,
    made: u64,
}

impl Moved {
    fn of(stats: &Stats) -> Self {
        let made = stats.requests("PutBlockFromURL");
        Self { fetched: stats.body_bytes_out, sent: stats.body_bytes_in, made }
    }
}

/// Programs that read and write in their ways, from `a` to `$T/b`.
const PROGRAMS: [(&str, &str); 14] = [
    ("dd", "dd if=a of=$T/b bs=1M status=none"),
    ("dd in other pieces", "dd if=a of=$T/b bs=77777 status=none"),
    ("busybox cp", "busybox cp a $T/b"),
    ("busybox dd", "busybox dd if=a of=$T/b bs=64k 2>/dev/null"),
    ("rsync", "rsync a $T/b"),
    ("rsync --inplace", "rsync --inplace --whole-file a $T/b"),
    ("tar | tar", "tar cf - a | tar xf - -C $T --transform s/a/b/"),
    ("cat | cat", "cat a | cat > $T/b"),
    ("GNU cp that does not ask", "cp --reflink=never --sparse=always a $T/b"),
    ("Perl", "perl -MFile::Copy -e 'copy($ARGV[0], $ARGV[1]) or die' a $T/b"),
    // With sendfile, as far as its Python has it.
    ("shutil.copy", "in_python 'shutil.copy(a, b)'"),
    ("shutil.copyfileobj", "in_python 'shutil.copyfileobj(open(a, \"rb\"), open(b, \"wb\"))'"),
    // As uutils from 0.12 on and GLib do.
    (
        "splice",
        "in_python 'i, o = open(a, \"rb\", 0), open(b, \"wb\", 0); r, w = os.pipe()
while n := os.splice(i.fileno(), w, 1 << 16):
    while n: n -= os.splice(r, o.fileno(), n)'",
    ),
    ("gio copy", "gio copy a $T/b"),
];

const SHELL: &str =
    "in_python() { (cd /; python3 -I -c \"import os, shutil, sys; a, b = sys.argv[1:]; $1\" $S/a $T/b); }";

fn copy(world: &World, to: &std::path::Path, command: &str) {
    world.ok(&format!("set -e -o pipefail; S=$PWD T={}; {SHELL}\n{command}", to.display()));
}

#[test]
fn programs_that_read_and_write_send_nothing() {
    for (program, command) in PROGRAMS {
        for account in [ONE, TWO] {
            let world = World::new();
            world.put("a", pattern(SIZE));
            world.ok("stat . ../../two/box > /dev/null");
            world.reset_stats();
            copy(&world, &if account == ONE { world.here() } else { world.there() }, command);
            let moved = Moved::of(&world.stats());
            assert_eq!(moved, Moved { fetched: SIZE as u64, sent: 0, made: 3 }, "{program} to {account}");
            assert!(world.store.content(account, BOX, "b").unwrap() == pattern(SIZE), "{program} to {account}");
        }
    }
}

#[test]
fn a_file_of_one_block_is_recognised_as_well() {
    for (size, made) in [(3 * MIB + 7, 1), (MIB, 1), (MIB - 1, 0)] {
        let world = World::new();
        world.put("a", pattern(size));
        world.ok("cat a | cat > b");
        let moved = Moved::of(&world.stats());
        let sent = if made > 0 { 0 } else { size as u64 };
        assert_eq!(moved, Moved { fetched: size as u64, sent, made });
        assert_eq!(world.stored("b"), pattern(size));
        // What describes the file is its own: bytes were copied, and nothing else.
        let headers = world.properties(ONE, "b").unwrap().headers;
        assert_eq!(headers.content_type.as_deref(), Some("application/octet-stream"));
    }
}

#[test]
fn a_part_of_a_file_and_parts_of_several_are_recognised() {
    let world = World::new();
    world.put("a", pattern(SIZE));
    // Both begin in the same way.
    let mut other = pattern(SIZE);
    other[MIB..].reverse();
    world.put("c", other.clone());
    python(
        &world,
        "o, a, c = (open(*what, 0) for what in [('b', 'wb'), ('a', 'rb'), ('c', 'rb')])
def passed(i, n):
    while n: n -= o.write(i.read(min(n, 1 << 20)))
passed(a, 16 << 20)
passed(c, 16 << 20)
o.write(b'x' * (8 << 20))
o.close()",
    );
    let moved = Moved::of(&world.stats());
    assert_eq!((moved.sent, moved.made), (8 << 20, 4));
    let expected = [&pattern(16 * MIB)[..], &other[..16 * MIB], &[b'x'; 8 * MIB]].concat();
    assert!(world.stored("b") == expected);
}

#[test]
fn over_a_file_that_is_there_and_in_the_middle_of_one() {
    let world = World::new();
    world.put("a", pattern(SIZE));
    world.put("b", vec![1; 30 * MIB]);
    world.ok("dd if=a of=b bs=1M conv=notrunc status=none");
    let stats = world.stats();
    assert_eq!(stats.body_bytes_in, 0, "{stats:?}");
    let mut expected = vec![1; 30 * MIB];
    expected[..SIZE].copy_from_slice(&pattern(SIZE));
    assert!(world.stored("b") == expected);
    // From a file into itself.
    world.reset_stats();
    world.ok("dd if=b of=b bs=1M skip=20 seek=2 count=8 conv=notrunc status=none");
    let at = 20 * MIB..28 * MIB;
    let moved = expected[at].to_vec();
    expected[2 * MIB..10 * MIB].copy_from_slice(&moved);
    assert!(world.stored("b") == expected);
}

#[test]
fn where_it_is_off_all_is_sent() {
    let world = World::with(Setup { recognise_copies: false, ..Setup::default() });
    world.put("a", pattern(SIZE));
    world.ok("cat a | cat > b");
    assert_eq!(Moved::of(&world.stats()), Moved { fetched: SIZE as u64, sent: SIZE as u64, made: 0 });
    assert_eq!(world.stored("b"), pattern(SIZE));
}

#[test]
fn what_was_not_read_is_sent_without_a_question() {
    let world = World::new();
    world.put("a", pattern(SIZE));
    world.put("c", vec![5; SIZE]);
    // Read, and something else written.
    world.ok("exec 3> b; cat a c > /dev/null; head -c 9M /dev/urandom >&3");
    let moved = Moved::of(&world.stats());
    assert_eq!((moved.sent, moved.made), (9 << 20, 0));
}

/// Reads `a` and then writes it to `b`; what `meanwhile` does comes between.
fn read_then_written(world: &World, meanwhile: impl FnOnce()) -> Moved {
    const PROGRAM: &str = "o, i = open('b', 'wb', 0), open('a', 'rb', 0)
read = b''.join(iter(lambda: i.read(1 << 20), b''))
gate()
o.write(read)
o.close()";
    let ran = Gated::run(world, PROGRAM, || {
        world.reset_stats();
        meanwhile();
    });
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(world.stored("b") == pattern(SIZE), "another content");
    Moved::of(&world.stats())
}

const NOTHING_SENT: Moved = Moved { fetched: 0, sent: 0, made: 3 };

#[test]
fn what_was_read_at_once_is_recognised_when_it_is_written() {
    let world = World::new();
    world.put("a", pattern(SIZE));
    assert_eq!(read_then_written(&world, || {}), NOTHING_SENT);
}

/// A service whose `a` was read, and that cannot or does not want to make blocks of it then.
fn sent_because(meanwhile: impl FnOnce(&World)) {
    let world = World::new();
    world.put("a", pattern(SIZE));
    let moved = read_then_written(&world, || meanwhile(&world));
    // Some bytes are of what happened meanwhile.
    assert!((SIZE as u64..SIZE as u64 + 10).contains(&moved.sent), "{moved:?}");
    assert!((1..=9).contains(&moved.made), "{moved:?}");
}

#[test]
fn a_source_that_was_replaced_meanwhile_is_not_taken() {
    sent_because(|world| world.put("a", vec![9; SIZE]));
}

#[test]
fn a_source_that_was_deleted_meanwhile_is_not_taken() {
    sent_because(|world| world.block_on(world.client(ONE).blob(&path("a")).delete(&Default::default())).unwrap());
}

#[test]
fn a_source_that_this_mount_has_removed_or_changed_is_not_taken() {
    for change in ["rm a", "mv a e", "printf other > a", "truncate -s 3 a"] {
        let world = World::new();
        world.put("a", pattern(SIZE));
        let moved = read_then_written(&world, || drop(world.ok(change)));
        assert!(moved.sent >= SIZE as u64, "{change}: {moved:?}");
    }
}

#[test]
fn a_source_that_has_got_a_customers_key_is_not_taken() {
    use base64::Engine;
    use sha2::Digest;
    sent_because(|world| {
        let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let (key, hash) = (encode(&[1; 32]), encode(&sha2::Sha256::digest([1; 32])));
        let url = raw::url(world, "a");
        let headers = [
            &format!("x-ms-encryption-key: {key}"),
            &format!("x-ms-encryption-key-sha256: {hash}"),
            "x-ms-encryption-algorithm: AES256",
        ];
        // What has none cannot get one.
        world.block_on(world.client(ONE).blob(&path("a")).delete(&Default::default())).unwrap();
        let block = format!("{url}&comp=block&blockid=QQ%3D%3D");
        assert_eq!(raw::exchange("PUT", &block, &headers, b"text").status, 201);
        let list = b"<BlockList><Latest>QQ==</Latest></BlockList>";
        assert_eq!(raw::exchange("PUT", &format!("{url}&comp=blocklist"), &headers, list).status, 201);
    });
}

#[test]
fn a_service_that_cannot_or_does_not_answer_is_sent_the_content() {
    let refusals = [
        r#"{"operation":"PutBlockFromURL","count":1000,"status":501,"code":"NotImplemented"}"#,
        r#"{"operation":"PutBlockFromURL","count":1000,"status":403,"code":"AuthorizationFailure","of_source":true}"#,
        r#"{"operation":"PutBlockFromURL","count":1000,"status":401,"code":"NoAuthenticationInformation","of_source":true}"#,
        r#"{"operation":"PutBlockFromURL","count":1000,"status":409,"code":"BlobUsesCustomerSpecifiedEncryption","of_source":true}"#,
        r#"{"operation":"PutBlockFromURL","count":1000,"status":503}"#,
        r#"{"operation":"PutBlockFromURL","count":1000,"reset":"before"}"#,
        r#"{"operation":"PutBlockFromURL","count":1000,"status":400,"code":"Crc64Mismatch"}"#,
    ];
    for refusal in refusals {
        sent_because(|world| world.store.add_fault(fault(refusal)));
    }
}

#[test]
fn an_answer_that_is_lost_costs_nothing_but_a_question() {
    let world = World::new();
    world.put("a", pattern(SIZE));
    let lost = Fault { reset: Some(blobcp::devstore::Reset::After), ..Fault::on("PutBlockFromURL") };
    let moved = read_then_written(&world, || world.store.add_fault(lost));
    assert_eq!(moved, Moved { made: 4, ..NOTHING_SENT });
}

#[test]
fn an_account_that_may_not_read_another_one_is_asked_once_in_a_while() {
    let world = World::new();
    for name in ["a", "c", "d"] {
        world.put(name, pattern(SIZE));
    }
    let refused =
        r#"{"operation":"PutBlockFromURL","count":1000,"status":403,"code":"AuthorizationFailure","of_source":true}"#;
    world.store.add_fault(fault(refused));
    world.ok("busybox cp a ../../two/box/b");
    // Blocks that were on their way together.
    let made = world.stats().requests("PutBlockFromURL");
    assert!((1..=3).contains(&made), "{made}");
    world.ok("cat c | cat > ../../two/box/c; dd if=d of=../../two/box/d bs=1M status=none");
    assert_eq!(world.stats().requests("PutBlockFromURL"), made);
    for name in ["b", "c", "d"] {
        assert!(world.store.content(TWO, BOX, name).unwrap() == pattern(SIZE), "{name}");
    }
    // Others may.
    world.store.clear_faults();
    world.put("e", pattern(SIZE));
    world.reset_stats();
    world.ok("busybox cp e f");
    assert_eq!(world.stats().body_bytes_in, 0);
}

#[test]
fn with_an_identity_that_may_sign_nothing_the_token_opens_the_source() {
    let entra = Entra::start();
    let world = World::with(Setup { identity: Some((entra.application(), &[TWO])), ..Setup::default() });
    entra.is_known_to(&world.store);
    entra.grant(r#"{"delegates":false}"#);
    world.store.put_blob(TWO, BOX, "a", pattern(SIZE).into(), "text/x").unwrap();
    world.ok("busybox cp ../../two/box/a b");
    assert!(world.stored("b") == pattern(SIZE));
    assert_eq!(world.stats().body_bytes_in, 0);
}

#[test]
fn what_another_user_has_read_is_sent() {
    let world = World::with(Setup { allow_other: true, ..Setup::default() });
    world.put("a", pattern(SIZE));
    world.ok("mkdir d; chmod 777 d");
    world.reset_stats();
    let as_user = |user| format!("setpriv --reuid {user} --regid {user} --clear-groups");
    world.ok(&format!("cat a | {} dd of=d/b bs=1M iflag=fullblock status=none", as_user(10_001)));
    assert_eq!(Moved::of(&world.stats()), Moved { fetched: SIZE as u64, sent: SIZE as u64, made: 0 });
    assert!(world.stored("d/b") == pattern(SIZE));
    // Two who write into one file: nobody knows whose a block is.
    world.put("c", pattern(SIZE));
    world.ok(": > d/e; chmod 666 d/e");
    world.reset_stats();
    world.ok(&format!("exec 3>> d/e; {} sh -c 'printf x >> d/e'; cat c | cat >&3", as_user(10_001)));
    assert_eq!(world.stored("d/e").len(), SIZE + 1);
    assert_eq!(world.stats().requests("PutBlockFromURL"), 0);
    // Whoever reads and writes is recognised, whoever that is.
    world.put("g", pattern(SIZE));
    world.reset_stats();
    world.ok(&format!("{} dd if=g of=d/f bs=1M status=none", as_user(10_001)));
    assert_eq!(Moved::of(&world.stats()), Moved { fetched: SIZE as u64, sent: 0, made: 3 });
}

/// A CRC64 as the service computes it.
fn crc64(bytes: &[u8]) -> u64 {
    let mut digest = crc64fast_nvme::Digest::new();
    digest.write(bytes);
    digest.sum64()
}

/// `forged`, whose last eight bytes are such that it has the checksum of `right`.
fn of_the_same_checksum(right: &[u8], forged: &mut [u8]) {
    let end = right.len() - 8;
    let differ = (crc64(&right[..end]) ^ crc64(&forged[..end])).to_le_bytes();
    for (at, differs) in differ.into_iter().enumerate() {
        forged[end + at] = right[end + at] ^ differs;
    }
    assert_eq!(crc64(right), crc64(forged));
}

#[test]
fn content_of_the_same_checksum_is_not_taken_for_what_was_read() {
    let world = World::new();
    let right = pattern(16 * MIB);
    // Each beginning of a chunk, each chunk and each block has the checksum of the other.
    let mut forged = right.clone();
    for chunk in 0..16 {
        let at = chunk * MIB;
        forged[at + 5] ^= 1;
        of_the_same_checksum(&right[at..at + 4096], &mut forged[at..at + 4096]);
    }
    assert!(forged != right && crc64(&forged[..8 * MIB]) == crc64(&right[..8 * MIB]));
    world.put("a", right);
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(outside.path(), &forged).unwrap();
    world.ok(&format!("exec 3> b; cat a > /dev/null; cat {} >&3", outside.path().display()));
    assert!(world.stored("b") == forged);
    assert_eq!(Moved::of(&world.stats()), Moved { fetched: 16 << 20, sent: 16 << 20, made: 0 });
}

#[test]
fn what_was_read_wrongly_is_stored_as_it_was_written() {
    // The service compares: its own bytes are not those that the program was handed.
    let world = World::new();
    world.put("a", pattern(SIZE));
    let mut setup = Setup::default();
    setup.http.check_reads = false;
    let mount = world.mounted_elsewhere(&setup);
    world.store.add_fault(Fault { corrupt_body: Some(1000), ..Fault::on("GetBlob") });
    world.reset_stats();
    start_in(&mount.here(), "cat a | cat > b").wait();
    let (stored, right) = (world.stored("b"), pattern(SIZE));
    let differ: Vec<usize> = (0..SIZE).filter(|at| stored[*at] != right[*at]).collect();
    assert_eq!((stored.len(), differ.len()), (SIZE, 1), "{differ:?}");
    // One block was sent, and what else the note of the version was given up for.
    let stats = world.stats();
    assert!(stats.body_bytes_in >= 8 << 20, "{stats:?}");
}

#[test]
fn what_is_not_remembered_any_more_is_sent() {
    let world = World::new();
    world.put("a", pattern(SIZE));
    // More than is noted.
    world.put_sparse("c", 100 << 20);
    let moved = read_then_written(&world, || drop(world.ok("cat c > /dev/null")));
    assert_eq!((moved.sent, moved.made), (SIZE as u64, 0));
}

#[test]
fn in_little_memory_a_copy_is_whole_all_the_same() {
    let world = World::with(Setup { memory_limit: 64 << 20, ..Setup::default() });
    world.put("a", pattern(SIZE));
    world.ok("busybox cp a b; cat a | cat > c");
    assert!(world.stored("b") == pattern(SIZE) && world.stored("c") == pattern(SIZE));
}

/// Asks for a copy of `../../one/box/a` once, as PHP's copy() and Java's streams do, and reads and writes the rest.
const ONCE: &str = "i, o = open('../../one/box/a', 'rb', 0), open('b', 'wb', 0)
n = os.copy_file_range(i.fileno(), o.fileno(), 1 << 62)
print(n)
while data := i.read(8192):
    o.write(data)
gate()
o.close()";

#[test]
fn who_asks_for_a_copy_once_and_writes_the_rest_has_the_copy() {
    let world = World::with(cross_account(1 << 30));
    world.put("a", pattern(SIZE));
    world.hold_copies();
    world.ok("ls -l . ../../two/box");
    world.reset_stats();
    let mut copier = Gated::start_in(&world.there(), ONCE);
    copier.reached();
    // All of it was read, a byte was granted, and the copy goes on.
    let copying = || world.properties(TWO, "b").unwrap().copy.unwrap().status;
    assert_eq!(copying(), blobcp::store::CopyStatus::Pending);
    assert_eq!(world.ok("stat -c %s ../../two/box/b").trim(), SIZE.to_string());
    copier.let_go();
    steer(&world, blobcp::devstore::CopyAction::Release);
    let ran = copier.wait();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "1\n"), "{ran:?}");
    assert!(world.store.content(TWO, BOX, "b").unwrap() == pattern(SIZE));
    let stats = world.stats();
    assert_eq!(Moved::of(&stats), Moved { fetched: SIZE as u64, sent: 0, made: 0 }, "{stats:?}");
    assert_eq!((stats.requests("CopyBlob"), stats.requests("AbortCopyBlob")), (1, 0));
}

#[test]
fn who_writes_something_else_onto_a_copy_has_what_was_written() {
    let world = World::with(cross_account(1 << 30));
    world.put("a", pattern(SIZE));
    world.hold_copies();
    world.ok("ls -l . ../../two/box");
    // What differs comes after a while, and what is behind it is the same again.
    let other = ONCE.replace(
        "    o.write(data)",
        "    at = i.tell() - len(data)
    o.write(data[:9] + b'other' + data[14:] if at <= 5 << 20 < at + len(data) else data)",
    );
    let mut copier = Gated::start_in(&world.there(), &other);
    copier.reached();
    let ran = copier.open();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let (stored, right) = (world.store.content(TWO, BOX, "b").unwrap(), pattern(SIZE));
    let differ: Vec<usize> = (0..SIZE).filter(|at| stored[*at] != right[*at]).collect();
    assert!(stored.len() == SIZE && differ.len() <= 5 && !differ.is_empty(), "{differ:?}");
    let at = differ[0] / 8192 * 8192;
    assert!(at <= 5 << 20 && differ[differ.len() - 1] < at + 8192 * 2, "{differ:?}");
    // What is behind a change is blocks, of what the service has where it is on no other place.
    assert!(world.stats().body_bytes_in < 9 << 20, "{:?}", world.stats());
}

#[test]
fn what_was_not_sent_is_told_when_it_is_unmounted() {
    let world = World::new();
    world.put("a", pattern(SIZE));
    let mount = MountProcess::new(&world.store, &[ONE], &[&format!("{ONE}/{BOX}")]);
    let umount = |mount: &MountProcess| {
        start_in("/".as_ref(), &format!("{} umount {}", env!("CARGO_BIN_EXE_blobcp"), mount.path().display())).wait()
    };
    assert_eq!(mount.start("busybox cp a b").wait().code, Some(0));
    let ran = umount(&mount);
    let told = "20.0 MiB that programs had read and wrote were copied by the service and not sent\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(ran.stdout, format!("{}: {told}", mount.path().display()));
    let mount = MountProcess::new(&world.store, &[ONE], &["--recognise-copies", "off", &format!("{ONE}/{BOX}")]);
    assert_eq!(mount.start("busybox cp a c").wait().code, Some(0));
    let ran = umount(&mount);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
    assert!(world.stored("b") == pattern(SIZE) && world.stored("c") == pattern(SIZE));
}
