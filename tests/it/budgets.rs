//! Requests: what each operation may cost at the service, row by row of the table in design §9. What a shell or `ls` needed before is
//! not counted: the counters are reset when everything is known that a user would know.

use std::fs::File;
use std::ops::Deref;
use std::time::Duration;

use blobcp::devstore::{Fault, Stats};

use crate::common::*;

/// Bytes that a sequential reader fetches at a time.
const PART: usize = 4 << 20;

/// A mount that believes for long what it has heard, and whose container the kernel cannot forget when memory is short:
/// how busy the machine is changes no count.
struct Remembering {
    /// Closed before the mount ends.
    _here: File,
    world: World,
}

impl Deref for Remembering {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

fn world() -> Remembering {
    let world = World::with(Setup { attr_ttl: Duration::from_secs(600), ..Default::default() });
    Remembering { _here: File::open(world.here()).unwrap(), world }
}

/// What a command costs after `known` was run.
fn cost(world: &World, known: &str, command: &str) -> Stats {
    world.ok(known);
    world.reset_stats();
    world.ok(command);
    world.stats()
}

/// Exactly these requests and no others.
#[track_caller]
fn assert_cost(world: &World, stats: &Stats, expected: &[(&'static str, u64)]) {
    let expected = expected.iter().copied().filter(|(_, count)| *count > 0).collect();
    assert_eq!(stats.requests, expected, "{:#?}", world.store.requests());
}

#[test]
fn cp_of_names_that_nobody_has_looked_at() {
    let world = world();
    world.put("a", pattern(1 << 20));
    let stats = cost(&world, "stat . >/dev/null", "cp a b");
    assert_cost(&world, &stats, &[("GetBlobProperties", 2), ("ListBlobs", 2), ("CopyBlob", 1)]);
    assert_no_payload(&stats);
}

#[test]
fn cp_of_a_name_that_was_just_listed() {
    let world = world();
    world.put("a", pattern(1 << 20));
    let stats = cost(&world, "ls -l", "cp a b");
    assert_cost(&world, &stats, &[("CopyBlob", 1)]);
    assert_no_payload(&stats);
}

#[test]
fn cp_a() {
    // It reads all attributes of the source, and writes to the copy what that has already or will have with its time and mode.
    let world = world();
    world.put("a", pattern(1 << 20));
    let stats = cost(&world, "touch -d 2001-02-03 a; ls -l", "cp -a a b");
    assert_cost(&world, &stats, &[("CopyBlob", 1), ("GetBlobProperties", 1), ("SetBlobMetadata", 1)]);
    assert_no_payload(&stats);
}

#[test]
fn a_part_of_a_file() {
    // As much as the kernel asks for at a time, and less than there is: a Copy Blob, cut.
    let world = world();
    world.store.put_sparse_blocks(ONE, BOX, "a", 6 << 30, 128 << 20).unwrap();
    world.store.put_sparse(ONE, BOX, "whole", 6 << 30).unwrap();
    for (name, blocks) in [("a", 1), ("whole", 2)] {
        world.ok("ls -l");
        world.reset_stats();
        python(
            &world,
            &format!(
                "i, o, n = os.open('{name}', os.O_RDONLY), os.open('{name}2', os.O_WRONLY | os.O_CREAT), 0xfffff000
assert os.copy_file_range(i, o, n) == n"
            ),
        );
        let stats = world.stats();
        let cut = [("CopyBlob", 1), ("GetBlockList", 1), ("PutBlockFromURL", blocks), ("PutBlockList", 1)];
        assert_cost(&world, &stats, &cut);
        assert_no_payload(&stats);
    }
}

#[test]
fn mv_of_a_file() {
    let world = world();
    world.put("a", pattern(1 << 20));
    let stats = cost(&world, "ls -l", "mv a b");
    assert_cost(&world, &stats, &[("CopyBlob", 1), ("DeleteBlob", 1)]);
    assert_no_payload(&stats);
}

#[test]
fn mv_over_a_name() {
    // What is there is kept until the source is deleted: a snapshot, taken and deleted.
    let world = world();
    world.put("a", pattern(1 << 20));
    world.put("b", "old");
    let stats = cost(&world, "ls -l", "mv a b");
    assert_cost(&world, &stats, &[("SnapshotBlob", 1), ("CopyBlob", 1), ("DeleteBlob", 2)]);
    assert_no_payload(&stats);
}

#[test]
fn mv_of_a_directory_is_a_list_for_5000_and_two_requests_for_each_blob_32_at_a_time() {
    const COUNT: u64 = 10_001;
    let world = world();
    for i in 0..COUNT {
        world.put_sparse(&format!("d/sub{}/f{i}", i % 7), 4096);
    }
    world.ok("ls -l");
    world.reset_stats();
    // The first of each kind are slow, so that as many are under way as are allowed to be.
    for operation in ["CopyBlob", "DeleteBlob"] {
        world.store.add_fault(Fault { count: 64, delay_ms: 500, ..Fault::on(operation) });
    }
    let mut mv = std::process::Command::new("timeout");
    assert!(mv.args(["600", "mv", "d", "e"]).current_dir(world.here()).status().unwrap().success());
    let stats = world.stats();
    assert_cost(&world, &stats, &[("ListBlobs", 3), ("CopyBlob", COUNT), ("DeleteBlob", COUNT)]);
    assert_no_payload(&stats);
    assert!(stats.at_once("CopyBlob") >= 32 && stats.at_once("DeleteBlob") >= 32, "{:?}", stats.most_at_once);
    assert!(world.is_stored("e/sub0/f0") && world.is_stored("e/sub4/f10000"));
    assert!(!world.is_stored("d/sub0/f0"));
}

#[test]
fn creating_a_file() {
    let world = world();
    let stats = cost(&world, "stat . >/dev/null", "head -c 100000 /dev/zero > f");
    assert_cost(&world, &stats, &[("GetBlobProperties", 1), ("ListBlobs", 1), ("PutBlob", 1)]);
    assert_eq!((stats.body_bytes_in, stats.body_bytes_out), (100_000, 0));
}

#[test]
fn creating_a_thousand_files_in_a_directory_that_was_listed() {
    let world = world();
    let stats = cost(&world, "mkdir d; ls d", "for i in {1..1000}; do echo $i > d/$i; done");
    assert_cost(&world, &stats, &[("PutBlob", 1000)]);
    // They are known now, and what was written is still here.
    let stats = cost(&world, "true", "cat d/* >/dev/null; ls -l d >/dev/null; ! stat d/0 2>/dev/null");
    assert_cost(&world, &stats, &[("ListBlobs", 2)]);
}

/// Unknown names of a directory that are asked for before it is listed.
const ASKED: u64 = 8;

#[test]
fn creating_a_thousand_files_in_a_directory_that_nobody_listed() {
    let world = world();
    world.put("d/there", "x");
    let stats = cost(&world, "stat d >/dev/null", "for i in {1..1000}; do echo $i > d/$i; done");
    let lookups = [("GetBlobProperties", ASKED), ("ListBlobs", ASKED + 1)];
    assert_cost(&world, &stats, &[lookups.as_slice(), &[("PutBlob", 1000)]].concat());
}

#[test]
fn copying_a_directory_of_a_thousand_files() {
    let world = world();
    for i in 0..1000 {
        world.put(&format!("d/{i}"), "x");
    }
    // Whether there is anything under the new name, and the listing of the old one. Nothing is in a directory that was just made.
    let stats = cost(&world, "ls -l", "cp -r d e");
    assert_cost(&world, &stats, &[("ListBlobs", 1), ("PutBlob", 1), ("CopyBlob", 1000)]);
    assert_no_payload(&stats);
}

#[test]
fn creating_files_in_directories_that_are_just_made() {
    let world = world();
    let stats = cost(&world, "ls -l", "for i in {1..20}; do mkdir $i; for j in {1..5}; do echo > $i/$j; done; done");
    assert_cost(&world, &stats, &[("PutBlob", 120)]);
}

#[test]
fn opening_files_whose_names_stand_elsewhere() {
    let world = world();
    for i in 0..500 {
        world.put(&format!("d/{i}"), "x");
    }
    let stats = cost(&world, "stat d >/dev/null", "for i in {0..499}; do read -N1 x < d/$i; done");
    assert_cost(&world, &stats, &[("GetBlobProperties", ASKED), ("ListBlobs", ASKED + 1), ("GetBlob", 500)]);
}

#[test]
fn looking_up_names_in_a_directory_too_large_to_be_listed_for_that() {
    let world = world();
    for i in 0..5001 {
        world.put_sparse(&format!("d/f{i}"), 1);
    }
    let stats = cost(&world, "stat d >/dev/null", "for i in {1..40}; do ! test -e d/new$i || exit 1; done");
    assert_cost(&world, &stats, &[("GetBlobProperties", 40), ("ListBlobs", 41)]);
}

#[test]
fn a_listing_for_lookups_that_takes_long_is_not_waited_for() {
    let world = World::with(Setup { attr_ttl: Duration::from_secs(2), ..Default::default() });
    world.put("d/there", "x");
    world.ok("stat d >/dev/null");
    world.store.add_fault(Fault { skip: ASKED, stall_body_ms: Some(20_000), ..Fault::on("ListBlobs") });
    world.reset_stats();
    world.ok("for i in {1..12}; do timeout 10 test -e d/new$i; [ $? = 1 ] || exit 1; done");
    assert_cost(&world, &world.stats(), &[("GetBlobProperties", 12), ("ListBlobs", 13)]);
}

#[test]
fn appending() {
    let world = world();
    world.store.put_sparse_blocks(ONE, BOX, "blocks", 40 << 20, 4 << 20).unwrap();
    world.put("plain", pattern(1 << 20));
    for name in ["blocks", "plain"] {
        let stats = cost(&world, "ls -l", &format!("echo -n tail >> {name}"));
        assert!(stats.total <= 4, "{name}: {:#?}", world.store.requests());
        assert_eq!((stats.body_bytes_in, stats.body_bytes_out), (4, 0), "{name}");
    }
}

#[test]
fn reading_from_front_to_back() {
    let world = world();
    world.put("f", pattern(5 * PART / 2));
    let stats = cost(&world, "ls -l", "cat f >/dev/null");
    assert_cost(&world, &stats, &[("GetBlob", 3)]);
    assert_eq!((stats.body_bytes_in, stats.body_bytes_out), (0, 5 * PART as u64 / 2));
}

#[test]
fn ls_l() {
    let world = world();
    for i in 0..5001 {
        world.put_sparse(&format!("d/f{i}"), 1);
    }
    let stats = cost(&world, "stat d >/dev/null", "ls -l d >/dev/null");
    assert_cost(&world, &stats, &[("ListBlobs", 2)]);
}

#[test]
fn stat_of_a_missing_name_in_a_directory_that_was_listed() {
    let world = world();
    world.put("a", "x");
    let stats = cost(&world, "ls -l", "! stat missing 2>/dev/null; ! stat missing/deeper 2>/dev/null");
    assert_cost(&world, &stats, &[]);
}

#[test]
fn getfattr_of_copy_state() {
    let world = world();
    world.put("a", "x");
    let stats = cost(&world, "cp a b; ls -l", "getfattr -n user.blob.copy.status b");
    assert_cost(&world, &stats, &[("GetBlobProperties", 1)]);
    assert_no_payload(&stats);
}

#[test]
fn cat_of_files_into_one() {
    // cp and cat look alike at the first call, so the first file is a Copy Blob. What it became is asked for once, to be appended to.
    let world = world();
    world.put("a", pattern(3 << 20));
    world.put("b", pattern(2 << 20));
    world.store.put_sparse_blocks(ONE, BOX, "blocks", 40 << 20, 4 << 20).unwrap();
    let stats = cost(&world, "ls -l", "cat blocks b > c");
    let blocks = [("CopyBlob", 1), ("PutBlockFromURL", 1), ("GetBlockList", 1), ("PutBlockList", 1)];
    assert_cost(&world, &stats, &blocks);
    assert_no_payload(&stats);
    // A blob that has no blocks becomes one.
    let stats = cost(&world, "ls -l", "cat a b > d");
    let plain = [("CopyBlob", 1), ("PutBlockFromURL", 2), ("GetBlockList", 1), ("PutBlockList", 1)];
    assert_cost(&world, &stats, &plain);
    assert_no_payload(&stats);
}
