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
fn who_asks_for_a_copy_once_and_writes_the_rest_sends_nothing_and_has_it_whatever_becomes_of_the_copy() {
    let world = World::with(cross_account(1 << 30));
    world.put("a", pattern(SIZE));
    world.hold_copies();
    world.ok("ls -l . ../../two/box");
    world.reset_stats();
    let mut copier = Gated::start_in(&world.there(), ONCE);
    copier.reached();
    // A byte was granted, and all the rest is written: no copy is needed for it that might fail now.
    if world.store.copies().iter().any(|copy| copy.status == "pending") {
        steer(&world, fail(500, "InternalError"));
    }
    let ran = copier.open();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "1\n"), "{ran:?}");
    assert!(world.store.content(TWO, BOX, "b").unwrap() == pattern(SIZE));
    let stats = world.stats();
    assert_eq!(Moved::of(&stats), Moved { fetched: SIZE as u64, sent: 0, made: 4 }, "{stats:?}");
    assert_eq!((stats.requests("CopyBlob"), stats.requests("AbortCopyBlob")), (1, 1));
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
fn a_service_that_is_not_of_the_same_kind_is_told_no_credential_of_another() {
    let world = World::new();
    let beyond = world.mounted_beyond();
    for (from, to) in [(ONE, TWO), (TWO, ONE)] {
        for name in ["a", "d"] {
            world.store.put_blob(from, BOX, name, pattern(SIZE).into(), "text/x").unwrap();
        }
        world.reset_stats();
        let ran = start_in(beyond.root(), &format!("cat {from}/box/a | cat > {to}/box/b")).wait();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(world.store.content(to, BOX, "b").unwrap() == pattern(SIZE));
        assert_eq!(Moved::of(&world.stats()), Moved { fetched: SIZE as u64, sent: SIZE as u64, made: 0 });
        // An account is told how it is read itself.
        world.reset_stats();
        let ran = start_in(beyond.root(), &format!("cat {from}/box/d | cat > {from}/box/c")).wait();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(world.stats().body_bytes_in, 0);
    }
}

#[test]
fn whether_a_guess_of_what_lies_between_is_right_is_not_to_be_seen() {
    const GAP: usize = 60 * 1024;
    let asked = |right: bool| {
        let world = World::new();
        world.put("b", pattern(3 * MIB));
        let mut guess = pattern(3 * MIB);
        if !right {
            guess[MIB..MIB + GAP].reverse();
        }
        world.put("a", guess);
        python(
            &world,
            &format!(
                "o, i = os.open('b', os.O_WRONLY), open('a', 'rb', 0)
read = b''.join(iter(lambda: i.read(1 << 20), b''))
os.pwrite(o, read[:{MIB}], 0)
os.pwrite(o, read[{MIB} + {GAP}:2 * {MIB}], {MIB} + {GAP})
os.close(o)"
            ),
        );
        assert!(world.stored("b") == pattern(3 * MIB));
        let stats = world.stats();
        (stats.body_bytes_in, stats.requests("PutBlockFromURL"), stats.requests("PutBlock"))
    };
    let right = asked(true);
    assert_eq!(right, asked(false));
    assert_eq!(right.0, 2 << 20);
}

#[test]
fn a_service_that_makes_no_blocks_in_time_keeps_nobody_waiting() {
    let world = World::new();
    for number in 0..20 {
        world.put(&format!("a{number}"), pattern(MIB + number));
    }
    let hung = Fault { count: 1000, delay_ms: 3_600_000, ..Fault::on("PutBlockFromURL") };
    world.store.add_fault(hung);
    let copiers: Vec<_> = (0..20).map(|number| world.start(&format!("cat a{number} | cat > b{number}"))).collect();
    // Others are let through meanwhile.
    eventually("blocks that are asked for", || world.store.faults_fired() > 0);
    world.ok("head -c 20M /dev/urandom > c");
    let ended: Vec<_> = copiers.into_iter().map(|copier| copier.wait().code).collect();
    assert_eq!(ended, [Some(0); 20]);
    for number in 0..20 {
        assert!(world.stored(&format!("b{number}")) == pattern(MIB + number));
    }
    // No more than are asked for at once, and not one after the other.
    let asked = world.store.faults_fired();
    assert!((1..=8).contains(&asked), "{asked}");
}

#[test]
fn a_file_of_one_block_is_stored_where_no_list_is() {
    let refusals = [
        r#"{"operation":"PutBlockList","count":1000,"status":403,"code":"AuthorizationPermissionMismatch"}"#,
        r#"{"operation":"PutBlockList","count":1000,"status":400,"code":"InvalidBlockList"}"#,
        r#"{"operation":"PutBlock","count":1000,"status":403,"code":"AuthorizationPermissionMismatch"}"#,
        r#"{"operation":"GetBlockList","count":1000,"status":403,"code":"AuthorizationPermissionMismatch"}"#,
    ];
    for refusal in refusals {
        let world = World::new();
        world.put("a", pattern(3 * MIB));
        world.put("b", "before");
        world.store.add_fault(fault(refusal));
        if refusal.contains("PutBlock\"") {
            let no =
                r#"{"operation":"PutBlockFromURL","count":1000,"status":403,"code":"AuthorizationPermissionMismatch"}"#;
            world.store.add_fault(fault(no));
        }
        for name in ["b", "c"] {
            world.ok(&format!("cat a | cat > {name}"));
            assert!(world.stored(name) == pattern(3 * MIB), "{refusal}");
        }
        world.store.clear_faults();
        world.ok("printf more >> c");
        assert_eq!(world.stored("c").len(), 3 * MIB + 4);
    }
}

#[test]
fn a_file_of_one_block_has_the_hash_that_the_service_would_have_stored() {
    use base64::Engine;
    use md5::Digest;
    let world = World::new();
    world.put("a", pattern(3 * MIB));
    world.ok("cat a | cat > b");
    assert_eq!(world.stats().body_bytes_in, 0);
    let hash = base64::engine::general_purpose::STANDARD.encode(md5::Md5::digest(pattern(3 * MIB)));
    assert_eq!(world.properties(ONE, "b").unwrap().headers.content_md5, Some(hash));
    // It goes with the content that it is of.
    world.ok("printf more >> b");
    assert_eq!(world.properties(ONE, "b").unwrap().headers.content_md5, None);
}

#[test]
fn many_files_that_are_read_at_once_are_recognised() {
    let world = World::new();
    for number in 0..8 {
        world.put(&format!("a{number}"), [vec![number as u8; 2 * MIB], pattern(MIB)].concat());
    }
    world.reset_stats();
    python(
        &world,
        "ins = [open(f'a{n}', 'rb', 0) for n in range(8)]
outs = [open(f'b{n}', 'wb', 0) for n in range(8)]
read = [b''.join(iter(lambda: i.read(1 << 20), b'')) for i in ins]
for o, data in zip(outs, read): o.write(data)
for o in outs: o.close()",
    );
    assert_eq!(Moved::of(&world.stats()), Moved { fetched: 24 << 20, sent: 0, made: 8 });
}

#[test]
fn sources_that_are_not_there_any_more_are_not_asked_for_without_end() {
    let world = World::new();
    for number in 0..12 {
        world.put(&format!("a{number}"), [vec![number as u8; MIB], pattern(MIB)].concat());
    }
    let program = "outs = [open(f'b{n}', 'wb', 0) for n in range(12)]
read = [open(f'a{n}', 'rb').read() for n in range(12)]
gate()
for o, data in zip(outs, read):
    o.write(data)
    o.close()";
    let ran = Gated::run(&world, program, || {
        for number in 0..12 {
            let name = path(&format!("a{number}"));
            world.block_on(world.client(ONE).blob(&name).delete(&Default::default())).unwrap();
        }
        world.reset_stats();
    });
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let moved = Moved::of(&world.stats());
    assert_eq!((moved.sent, moved.made), (24 << 20, 4));
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
    // Blocks of what is given up before it is stored are not told of.
    let mount = MountProcess::new(&world.store, &[ONE], &[&format!("{ONE}/{BOX}")]);
    const GIVEN_UP: &str = "i, o = open('a', 'rb', 0), open('d', 'wb', 0)
o.write(b''.join(iter(lambda: i.read(1 << 20), b'')))
o.truncate(0)
o.write(b'x')
o.close()";
    assert_eq!(Gated::start_in(&mount.path(), GIVEN_UP).wait().code, Some(0));
    let ran = umount(&mount);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
    let mount = MountProcess::new(&world.store, &[ONE], &["--recognise-copies", "off", &format!("{ONE}/{BOX}")]);
    assert_eq!(mount.start("busybox cp a c").wait().code, Some(0));
    let ran = umount(&mount);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
    assert!(world.stored("b") == pattern(SIZE) && world.stored("c") == pattern(SIZE));
}
