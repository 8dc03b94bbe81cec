//! What is read is what was written, or an error: whatever happens to it on its way.

use crate::common::flip::Flipper;
use crate::common::*;

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
