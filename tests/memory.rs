//! `--memory-limit` holds for the resident memory of the process, with 64 files open at once, for readers and for writers; and what was read
//! and written meanwhile is right.
//!
//! The mount is a process of its own, so that its memory is told from that of the service, which holds all content.
//!
//! A program of its own beside `tests/it`: the descriptors of a process that starts programs are flushed by them between fork and exec, and
//! what is flushed need not be held in memory any more.

// Tests end where something is not as they expect, and their modules are nobody else's.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use blobcp::devstore::{AccountConfig, Config, Devstore};
use blobcp::mount::{table, unmount};
use bytes::Bytes;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const ACCOUNT: &str = "one";
const BOX: &str = "box";
const MIB: usize = 1 << 20;
const FILES: usize = 64;
const LIMIT: usize = 256 * MIB;

/// A mount in a process of its own, ended with the test.
struct Mounted {
    home: TempDir,
    store: Devstore,
    process: Child,
    _runtime: Runtime,
}

impl Mounted {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let config = Config { accounts: vec![AccountConfig::named(ACCOUNT)], ..Config::default() };
        let store = runtime.block_on(Devstore::start(config)).unwrap();
        store.create_container(ACCOUNT, BOX).unwrap();
        let home = tempfile::Builder::new().prefix("blobcp-memory-").tempdir().unwrap();
        let (endpoint, key) = (store.endpoint(ACCOUNT), store.account_key(ACCOUNT).unwrap());
        let file = home.path().join("config.toml");
        fs::write(&file, format!("[account.{ACCOUNT}]\nendpoint = '{endpoint}'\nkey = '{key}'\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        fs::create_dir(home.path().join("m")).unwrap();
        let limit = format!("{}MiB", LIMIT / MIB);
        let process = Command::new(env!("CARGO_BIN_EXE_blobcp"))
            .args(["mount", "-f", "--config", "config.toml", "--memory-limit", &limit, "one/box", "m"])
            .current_dir(home.path())
            .env("HOME", home.path())
            .env("STATE_DIRECTORY", home.path().join("blobcp"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mounted = Self { home, store, process, _runtime: runtime };
        let began = Instant::now();
        while !mounted.is_mounted() {
            assert!(began.elapsed() < Duration::from_secs(60), "it does not mount");
            std::thread::sleep(Duration::from_millis(10));
        }
        mounted
    }

    fn is_mounted(&self) -> bool {
        table::read().unwrap().at(&self.dir()).is_some()
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join("m").canonicalize().unwrap_or_else(|_| self.home.path().join("m"))
    }

    fn path(&self, number: usize) -> PathBuf {
        self.dir().join(format!("file{number}"))
    }

    /// The most memory that was resident so far, bytes.
    fn most_resident(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = unmount::lazily(&self.dir());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A mebibyte that differs from file to file and from place to place.
fn piece(file: usize, place: usize) -> Vec<u8> {
    let word = ((file << 32 | place) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    word.repeat(MIB / word.len())
}

/// In every file's thread; all begin at the same time.
fn for_all_files(work: impl Fn(usize, &Barrier) + Sync) {
    let together = Barrier::new(FILES);
    std::thread::scope(|scope| {
        for number in 0..FILES {
            let (work, together) = (&work, &together);
            scope.spawn(move || work(number, together));
        }
    });
}

const PLACES: usize = 12;

#[test]
fn with_64_readers() {
    let mounted = Mounted::new();
    for number in 0..FILES {
        let content: Vec<u8> = (0..PLACES).flat_map(|place| piece(number, place)).collect();
        mounted.store.put_blob(ACCOUNT, BOX, &format!("file{number}"), Bytes::from(content), "text/plain").unwrap();
    }
    mounted.store.reset_stats();
    for_all_files(|number, together| {
        let file = File::open(mounted.path(number)).unwrap();
        together.wait();
        let mut read = vec![0; MIB];
        for place in 0..PLACES {
            file.read_exact_at(&mut read, (place * MIB) as u64).unwrap();
            assert!(read == piece(number, place), "file {number}, MiB {place}");
        }
    });
    let most = mounted.most_resident();
    println!("{} MiB were resident at most", most / MIB);
    assert!(most <= LIMIT, "{} MiB were resident", most / MIB);
    let (sent, wanted) = (mounted.store.stats().body_bytes_out as usize, FILES * PLACES * MIB);
    // Nothing is fetched over and over; what the kernel itself takes back before it is read, it asks for again.
    assert!(sent <= wanted + wanted / 2, "{} MiB were fetched for {} MiB", sent / MIB, wanted / MIB);
}

#[test]
fn with_64_writers() {
    let mounted = Mounted::new();
    for_all_files(|number, together| {
        let mut file = File::create(mounted.path(number)).unwrap();
        for place in 0..PLACES {
            together.wait();
            file.write_all(&piece(number, place)).unwrap();
        }
        // All are open, and none is stored whole.
        together.wait();
        file.sync_all().unwrap();
    });
    let most = mounted.most_resident();
    println!("{} MiB were resident at most", most / MIB);
    assert!(most <= LIMIT, "{} MiB were resident", most / MIB);
    for number in 0..FILES {
        let stored = mounted.store.content(ACCOUNT, BOX, &format!("file{number}")).unwrap();
        let expected: Vec<u8> = (0..PLACES).flat_map(|place| piece(number, place)).collect();
        assert!(stored == expected, "file {number}");
    }
}
