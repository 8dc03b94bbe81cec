//! What is read is what was written, or an error: whatever happens to it on its way.

use blobcp::store::{ContentHeaders, WriteOptions};

use crate::common::flip::Flipper;
use crate::common::*;

const BLOBCP: &str = env!("CARGO_BIN_EXE_blobcp");
const MIB: usize = 1 << 20;

/// Bytes that are different everywhere.
fn content(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        bytes.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// Sizes of one part, of a few, and of enough for reading ahead by large ones.
const SIZES: [usize; 6] = [1500, 70_003, MIB + 1, 4 * MIB, 9 * MIB + 77, 33 * MIB];

fn through(world: &World, seed: u64) -> (Flipper, Mount) {
    let service = world.store.endpoint(ONE);
    let service = service.trim_start_matches("http://").split('/').next().unwrap();
    let flipper = Flipper::start(service, seed);
    let setup = Setup::default();
    let mount = world.mounted_through(flipper.port, &setup);
    (flipper, mount)
}

#[test]
fn no_program_reads_a_bit_that_was_turned_on_the_way() {
    let world = World::new();
    for (number, size) in SIZES.into_iter().enumerate() {
        world.put(&format!("f{number}"), content(number as u64, size));
    }
    let copy = tempfile::NamedTempFile::new().unwrap();
    let (mut whole, mut flipped) = (0, 0);
    for seed in 1..=6 {
        let (flipper, mount) = through(&world, seed);
        flipper.damage_one_of(4);
        for (number, size) in SIZES.into_iter().enumerate() {
            let command = format!("cat f{number} > {}", copy.path().display());
            let ran = start_in(&mount.here(), &command).wait();
            let (read, right) = (std::fs::read(copy.path()).unwrap(), content(number as u64, size));
            assert!(right.starts_with(&read), "seed {seed}: a wrong byte of {size}");
            assert!(ran.code != Some(0) || read.len() == size, "seed {seed}: {} of {size} bytes", read.len());
            whole += usize::from(ran.code == Some(0));
        }
        flipped += flipper.flipped();
    }
    // Most of it is asked for again, and comes.
    assert!(flipped > 20 && whole > 12, "{flipped} bits were turned, {whole} files were read");
}

#[test]
fn no_bit_that_was_turned_on_the_way_is_stored() {
    let world = World::new();
    let source = tempfile::NamedTempFile::new().unwrap();
    let (mut whole, mut flipped) = (0, 0);
    for seed in 1..=4 {
        let (flipper, mount) = through(&world, seed);
        flipper.damage_one_of(6);
        for (number, size) in SIZES.into_iter().enumerate() {
            let right = content(seed * 100 + number as u64, size);
            std::fs::write(source.path(), &right).unwrap();
            let name = format!("f{seed}-{number}");
            let ran = start_in(&mount.here(), &format!("cat {} > {name}", source.path().display())).wait();
            if ran.code == Some(0) {
                assert!(world.stored(&name) == right, "seed {seed}: {size} bytes were not stored as they were written");
                whole += 1;
            } else if world.is_stored(&name) {
                let stored = world.stored(&name);
                assert!(stored.is_empty() || stored == right, "seed {seed}: {} of {size} bytes", stored.len());
            }
            if ran.code != Some(0) {
                continue;
            }
            // What is added changes nothing of what is there.
            let add = format!("printf 0123456789abcdef | dd of={name} oflag=append conv=notrunc,fsync status=none");
            let added = start_in(&mount.here(), &add).wait();
            let (stored, more) = (world.stored(&name), [&right[..], b"0123456789abcdef"].concat());
            let is_whole = stored == more || added.code != Some(0) && stored == right;
            assert!(is_whole, "seed {seed}: {size} bytes are {} after an append: {added:?}", stored.len());
        }
        flipped += flipper.flipped();
    }
    assert!(flipped > 10 && whole > 8, "{flipped} bits were turned, {whole} files were written");
}

#[test]
fn without_checksums_a_turned_bit_would_be_read() {
    // That the proxy does what the tests above rest on, and that the setting is heeded.
    let world = World::new();
    let right = content(1, 4 * MIB);
    world.put("f", right.clone());
    let (flipper, _mount) = through(&world, 3);
    let mut setup = Setup::default();
    setup.http.check_reads = false;
    let mount = world.mounted_through(flipper.port, &setup);
    start_in(&mount.here(), "stat f").wait();
    flipper.damage_one_of(1);
    let copy = tempfile::NamedTempFile::new().unwrap();
    let ran = start_in(&mount.here(), &format!("cat f > {}", copy.path().display())).wait();
    let read = std::fs::read(copy.path()).unwrap();
    assert_eq!((ran.code, read.len()), (Some(0), right.len()));
    assert!(read != right);
}

fn md5_of(world: &World, name: &str) -> Option<String> {
    world.properties(ONE, name).unwrap().headers.content_md5
}

/// What `md5sum` says of standard input, as a header has it.
fn md5_by_program(world: &World, command: &str) -> String {
    let sum = format!(
        "{command} | python3 -c 'import sys,hashlib,base64; \
        print(base64.b64encode(hashlib.md5(sys.stdin.buffer.read()).digest()).decode())'"
    );
    world.ok(&sum).trim().to_owned()
}

#[test]
fn files_that_are_written_in_one_pass_have_a_hash_if_that_is_wanted() {
    let world = World::with(Setup { content_md5: true, ..Default::default() });
    world.ok("head -c 20M /dev/urandom > blocks; head -c 1000 /dev/urandom > small");
    for name in ["blocks", "small"] {
        assert_eq!(md5_of(&world, name), Some(md5_by_program(&world, &format!("cat {name}"))), "{name}");
    }
    // Of what was written in the middle, it would not be true.
    world.ok("printf changed | dd of=blocks bs=1 seek=7000000 conv=notrunc status=none");
    assert_eq!(md5_of(&world, "blocks"), None);
    world.ok("{ head -c 9M /dev/urandom; head -c 3M /dev/zero; } > again; truncate -s 30M again");
    assert_eq!(md5_of(&world, "again"), None);
    let plain = World::new();
    plain.ok("head -c 20M /dev/urandom > blocks");
    assert_eq!(md5_of(&plain, "blocks"), None);
}

#[test]
fn verify_tells_what_is_as_it_was_written() {
    let world = World::new();
    world.ok("mkdir d d/below; echo good > d/good; echo bad > d/bad; head -c 20M /dev/urandom > d/below/blocks; ln -s good d/link");
    let stored = world.properties(ONE, "d/bad").unwrap().headers;
    let headers = ContentHeaders { content_md5: Some("1B2M2Y8AsgTpgAmY7PhCfg==".into()), ..stored };
    let client = world.client(ONE);
    world.block_on(client.blob(&path("d/bad")).set_properties(&headers, &WriteOptions::default())).unwrap();
    world.expire(&["d"]);
    let ran = world.sh(&format!("{BLOBCP} verify d"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(
        lines,
        ["d/good: as it was written", "d/below/blocks: readable; there is no hash to compare it with"],
        "{ran:?}"
    );
    let md5 = md5_by_program(&world, "echo bad");
    assert_eq!(
        ran.stderr,
        format!(
            "blobcp: verify: d/bad: it is not what was written: its MD5 is {md5}, and not 1B2M2Y8AsgTpgAmY7PhCfg==\n"
        )
    );
    // That there is no hash is no failure, unless somebody wants one.
    for (arguments, code, said) in [
        ("d/below", 0, ""),
        ("--require-hash d/good", 0, ""),
        ("--require-hash d/good d/below", 3, "blobcp: verify: one file has no hash to be compared with\n"),
    ] {
        let ran = world.sh(&format!("{BLOBCP} verify {arguments}"));
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(code), said), "{arguments}: {ran:?}");
    }
    let ran = world.sh(&format!("{BLOBCP} verify --require-hash d"));
    assert!(ran.code == Some(1) && ran.stderr.contains("d/bad: it is not what was written"), "{ran:?}");
    let ran = world.sh(&format!("{BLOBCP} verify d/good d/none /etc/hostname"));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "d/good: as it was written\n"), "{ran:?}");
    assert_eq!(ran.stderr.lines().count(), 2, "{ran:?}");
}

#[test]
fn verify_goes_on_where_something_cannot_be_looked_at() {
    let world = World::with(Setup { allow_other: true, ..Setup::default() });
    world.ok("mkdir -p d/a/below d/b d/shut; echo 1 > d/a/below/1; echo 2 > d/b/2; echo 3 > d/shut/3; echo 4 > d/4");
    world.ok("chmod 700 d/shut; ln -s 4 d/file; ln -s b d/dir; ln -s nowhere d/broken; mkfifo d/pipe");
    // Its program is where only root looks.
    let program = world.ok(&format!(
        "dir=$(mktemp -d /tmp/blobcp-verify-XXXXXX); chmod 755 $dir; install -m 755 {BLOBCP} $dir; echo $dir"
    ));
    let dir = program.trim();
    let as_nobody = format!("setpriv --reuid 10003 --regid 10003 --clear-groups {dir}/blobcp verify");
    let below = world.sh(&format!("{as_nobody} d"));
    let links = world.sh(&format!("{as_nobody} d/file d/broken d/pipe d/dir d/4"));
    world.ok(&format!("rm -r {dir}"));
    let found: Vec<&str> = below.stdout.lines().collect();
    let good = ["d/4: as it was written", "d/a/below/1: as it was written", "d/b/2: as it was written"];
    assert_eq!((below.code, &found[..]), (Some(1), &good[..]), "{below:?}");
    assert_eq!(below.stderr, "blobcp: verify: d/shut: Permission denied\n");
    let found: Vec<&str> = links.stdout.lines().collect();
    let good = ["d/file: as it was written", "d/dir/2: as it was written", "d/4: as it was written"];
    assert_eq!((links.code, &found[..]), (Some(1), &good[..]), "{links:?}");
    let said = "blobcp: verify: d/broken: No such file or directory\n\
                blobcp: verify: d/pipe: is neither a file nor a directory\n";
    assert_eq!(links.stderr, said);
}
