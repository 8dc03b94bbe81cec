//! What others have written to find out whether a filesystem is one: fsx, fio, stress-ng and pjdfstest.
//!
//! | program | what it does | short | long |
//! |---|---|---|---|
//! | fsx | random changes of one file by every means of the kernel, each read judged against memory | 3000 operations | 200 000, three seeds |
//! | fio | blocks with checksums, written and read in many ways | 8 MiB | 64 MiB |
//! | stress-ng | ranges copied between two files that have lost their names | | 50 rounds |
//! | pjdfstest | what POSIX says of system calls, errors, modes and times | | all of it |
//!
//! `scripts/test` installs them: fsx and pjdfstest below `target/tools`, fio and stress-ng as Debian packages. The long tests are `#[ignore]`d and
//! run with `scripts/test --long`.
//!
//! What fio has written is also read from the service itself, past the mount, and judged by fio there.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::*;
use blobcp::devstore::Stats;

const MIB: u64 = 1 << 20;

/// A program that `scripts/test` has installed below `target/tools`.
fn tool(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin").join(name);
    assert!(path.exists(), "{name} is not installed: run scripts/test, or scripts/test --long");
    path
}

// fsx

/// Runs fsx on a file of at most `len` bytes with operations of at most `largest`, one process for each seed, side by side. What the
/// service counted.
fn fsx(seeds: std::ops::RangeInclusive<u32>, operations: u32, len: u64, largest: u64) -> Stats {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("fsx.toml");
    let settings = format!(
        "flen = {len}\nnomsyncafterwrite = true\n[opsize]\nmax = {largest}\n[weights]\nclose_open = 2\ntruncate = 4\n\
         write = 10\nread = 10\nmapwrite = 6\nmapread = 6\nfsync = 0.5\nfdatasync = 0.5\nposix_fallocate = 3\n\
         punch_hole = 3\nsendfile = 2\ncopy_file_range = 8\n"
    );
    std::fs::write(&config, settings).unwrap();
    let world = World::new();
    let runs: Vec<_> = seeds
        .map(|seed| {
            let file = world.here().join(format!("fsx{seed}"));
            let mut fsx = Command::new(tool("fsx"));
            fsx.args(["-N", &operations.to_string(), "-S", &seed.to_string(), "-f"]).arg(&config);
            fsx.arg("-P").arg(dir.path()).arg(file);
            (seed, fsx.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        })
        .collect();
    for (seed, run) in runs {
        let output = run.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "seed {seed}: {}", String::from_utf8_lossy(&text));
    }
    world.stats()
}

#[test]
fn fsx_finds_no_mismatch_soon() {
    let stats = fsx(1..=1, 3000, 4 * MIB, MIB / 4);
    // It went through the service, by all ways that there are.
    for operation in ["PutBlob", "PutBlock", "PutBlockFromURL", "PutBlockList", "GetBlob"] {
        assert!(stats.requests(operation) > 0, "{operation}: {stats:?}");
    }
}

/// In a file of 256 KiB, which stays in memory, and in one of 40 MB, where blocks go out while it is written.
#[test]
#[ignore = "takes minutes"]
fn fsx_finds_no_mismatch() {
    fsx(1..=3, 200_000, 256 << 10, 64 << 10);
    fsx(1..=3, 2_000, 40_000_000, 12_000_000);
}

// fio

/// How files are written, and in blocks of how many bytes.
const JOBS: [(&str, u64); 9] = [
    ("--rw=write", 4 << 10),
    ("--rw=write", 128 << 10),
    ("--rw=write --fsync=4", 1 << 20),
    ("--rw=randwrite", 4 << 10),
    ("--rw=randwrite", 7000),
    ("--rw=randrw", 16 << 10),
    ("--rw=randwrite --ioengine=mmap", 4 << 10),
    ("--rw=randwrite --direct=1 --ioengine=libaio --iodepth=8", 64 << 10),
    ("--rw=write --direct=1 --ioengine=libaio --iodepth=4", 1 << 20),
];

/// Files at once.
const FILES: u64 = 4;

/// Runs one of [`JOBS`] in a directory. `size` of a file in bytes.
fn fio(dir: &Path, (options, block): (&str, u64), size: u64, more: &[&str]) {
    let mut fio = Command::new("fio");
    fio.args(["--name=job", "--filename_format=job.$jobnum", "--thread", "--randseed=1", "--fallocate=none"]);
    fio.args(["--verify=crc32c", "--verify_fatal=1", "--end_fsync=1"]);
    fio.args([format!("--numjobs={FILES}"), format!("--bs={block}"), format!("--size={size}")]);
    let output = fio.args(options.split(' ')).args(more).current_dir(dir).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{options} {block} {more:?}: {}", String::from_utf8_lossy(&text));
}

/// Writes each of [`JOBS`], files side by side, and verifies it; then what the service has, and what another mount reads of it, in the
/// order of the job and from front to back. `total` bytes in all.
fn fio_all(total: u64) {
    for job in JOBS {
        let (options, block) = job;
        let size = total / FILES / block * block;
        let world = World::new();
        fio(&world.here(), job, size, &[]);
        let copy = tempfile::tempdir().unwrap();
        for file in (0..FILES).map(|number| format!("job.{number}")) {
            let stored = world.stored(&file);
            assert_eq!(stored.len() as u64, size, "{job:?}: {file}");
            std::fs::write(copy.path().join(file), stored).unwrap();
        }
        // Mapped or direct is how it was written; what counts is what is there.
        fio(copy.path(), job, size, &["--verify_only=1", "--ioengine=psync", "--direct=0"]);
        fio(&world.here(), job, size, &["--verify_only=1"]);
        // Another mount has none of it in memory.
        let runtime = runtime();
        let account = blobcp::fs::Account { client: world.client(ONE), only: None };
        let other = Mount::new(Setup::default().config(vec![account]), &runtime);
        let there = other.root().join(ONE).join(BOX);
        world.reset_stats();
        fio(&there, job, size, &["--verify_only=1"]);
        let mixed = options.contains("randrw");
        if !mixed {
            // That one reads what it has not written.
            fio(&there, job, size, &["--rw=read"]);
        }
        // Of a mixed job, about half are writes, and only these are verified.
        let read = FILES * size / if mixed { 4 } else { 1 };
        assert!(world.stats().body_bytes_out >= read, "{job:?}: it was not read from the service");
    }
}

#[test]
fn fio_finds_no_error_soon() {
    fio_all(8 * MIB);
}

#[test]
#[ignore = "takes minutes"]
fn fio_finds_no_error() {
    fio_all(64 * MIB);
}

// stress-ng

/// Both files are unlinked while they are open, and ranges of one are copied to the other, as on a local disk.
#[test]
#[ignore = "takes minutes"]
fn stress_ng_copies_between_files_without_names() {
    let world = World::new();
    let ran = world.sh("stress-ng --copy-file 1 --copy-file-ops 50 --verify --temp-path . 2>&1");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("successful run completed"), "{ran:?}");
}

// pjdfstest

const EXT4: &str = include_str!("../pjdfstest/ext4.txt");
const EXCLUSIONS: &str = include_str!("../pjdfstest/exclusions.txt");

/// The names of a list, each with the comment above it.
fn listed(text: &'static str) -> BTreeMap<&'static str, String> {
    let mut reason = String::new();
    let mut names = BTreeMap::new();
    for line in text.lines() {
        match line.strip_prefix('#') {
            Some(comment) => reason = format!("{reason}{comment}"),
            None if line.is_empty() => reason.clear(),
            None => drop(names.insert(line, reason.trim().to_owned())),
        }
    }
    names
}

/// How the tests with `pattern` in their names went, `ok`, `FAILED` or `skipped`, and all that was printed.
fn pjdfstest(world: &World, second: &Path, path: &str, pattern: &[&str]) -> (BTreeMap<String, String>, String) {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pjdfstest/config.toml");
    let mut run = Command::new(tool("pjdfstest"));
    run.arg("-c").arg(config).arg("-s").arg(second).arg("-p").arg(world.here()).args(pattern);
    let output = run.current_dir("/").env("PATH", path).env("NO_COLOR", "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let results = text.lines().filter_map(|line| {
        let (name, result) = line.split_once(' ')?;
        let result = result.trim();
        ["ok", "FAILED", "skipped"].contains(&result).then(|| (name.to_owned(), result.to_owned()))
    });
    (results.collect(), text)
}

#[test]
#[ignore = "takes minutes, and wants root"]
fn pjdfstest_passes_what_ext4_passes_less_the_exclusions() {
    let (ext4, exclusions) = (listed(EXT4), listed(EXCLUSIONS));
    let unexplained: Vec<_> = exclusions.iter().filter(|(_, reason)| reason.is_empty()).collect();
    assert!(unexplained.is_empty(), "no reason: {unexplained:?}");
    // SAFETY: it only reads the process's credentials.
    assert_eq!(unsafe { libc::geteuid() }, 0, "pjdfstest changes users, which takes root");

    let world = World::with(Setup { allow_other: true, ..Default::default() });
    let (second, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // It remounts with mount(8), which would call libfuse's helper, which would call a blobcp that is installed on the machine.
    let mount = bin.path().join("mount");
    std::fs::write(&mount, "#!/bin/sh\nPATH=${PATH#*:} exec mount -i \"$@\"\n").unwrap();
    std::fs::set_permissions(&mount, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap());

    let (mut results, text) = pjdfstest(&world, second.path(), &path, &[]);
    // Some of the others leave files open, so that nothing can be mounted read-only.
    let (read_only, read_only_text) = pjdfstest(&world, second.path(), &path, &["erofs"]);
    assert!(read_only.len() > 10, "{read_only_text}");
    results.extend(read_only);

    let passed: BTreeSet<&str> =
        results.iter().filter(|(_, how)| *how == "ok").map(|(name, _)| name.as_str()).collect();
    let lost: Vec<_> = ext4.keys().filter(|name| !passed.contains(*name) && !exclusions.contains_key(*name)).collect();
    let rotten: Vec<_> = exclusions.keys().filter(|name| passed.contains(*name) || !ext4.contains_key(*name)).collect();
    let unknown: Vec<_> = passed.iter().filter(|name| !ext4.contains_key(*name)).collect();
    println!("pjdfstest: {} of the {} that ext4 passes, {} excluded", passed.len(), ext4.len(), exclusions.len());
    assert!(lost.is_empty(), "these fail, and are not excluded: {lost:#?}\n{text}{read_only_text}");
    assert!(rotten.is_empty(), "these are excluded, and pass or do not exist: {rotten:#?}");
    assert!(unknown.is_empty(), "ext4.txt does not know these: {unknown:#?}");
}
