//! 64 processes on one mount while one request in a hundred goes wrong: no byte is to be wrong, nothing to be lost, and in the end the mount
//! is to hold what it held at the start.
//!
//! The mount is a process of its own, so that its memory and descriptors are its own. What the processes do and how they know a wrong
//! byte is in `tests/python/stress.py`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use blobcp::devstore::{AccountConfig, Config, Devstore, Fault, Reset};
use blobcp::path::ContainerName;
use blobcp::store::ListBlobs;
use serde::Deserialize;

use crate::common::*;

const PROCESSES: usize = 64;
/// Memory that an allocator keeps of what it once had, and that caches of names and connections may have at the end.
const MARGIN: u64 = 160 << 20;
/// Content that is cached under names which the kernel has forgotten before they were removed. It goes as others come.
const KEPT: u64 = 64 << 20;
/// Inodes, for the kernel forgets names when it likes.
const INODES: u64 = 200;

#[derive(Deserialize)]
struct Report {
    done: BTreeMap<String, u64>,
    failed: BTreeMap<String, u64>,
    wrong: Vec<String>,
}

/// What the mount holds.
#[derive(Debug)]
struct Held {
    /// Bytes.
    resident: u64,
    descriptors: usize,
    inodes: u64,
    open: u64,
    /// Bytes of the memory budget.
    budget: u64,
    /// Bytes of what was read, kept to be read again.
    kept: u64,
}

impl Held {
    fn by(mount: &MountProcess) -> Self {
        let text = attribute(&mount.path(), "usage").unwrap();
        let number = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().parse::<u64>().unwrap()
        };
        Self {
            resident: mount.resident(),
            descriptors: mount.descriptors(),
            inodes: number("inodes"),
            open: number("open"),
            budget: number("held"),
            kept: number("kept"),
        }
    }
}

/// One request in a hundred, of each kind some.
fn one_percent(store: &Devstore, seed: u64) {
    let refused = |status: u16, code: &str, after: bool| Fault {
        status: Some(status),
        code: Some(code.to_owned()),
        after,
        ..Fault::on("*")
    };
    let broken = |reset: Reset| Fault { reset: Some(reset), ..Fault::on("*") };
    let kinds = [
        refused(503, "ServerBusy", false),
        refused(500, "InternalError", false),
        refused(500, "OperationTimedOut", true),
        broken(Reset::Before),
        broken(Reset::After),
    ];
    for (number, kind) in kinds.into_iter().enumerate() {
        store.add_fault(Fault { count: u64::MAX, one_of: 500, seed: seed + number as u64, ..kind });
    }
}

/// Starts one of the processes. Elsewhere and isolated: Python looks for files of its own in the current directory.
fn start(directory: &Path, number: usize, seed: u64, seconds: u64) -> Child {
    Command::new("/usr/bin/env")
        .args(["python3", "-I", "-B", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/stress.py")])
        .arg(directory)
        .args([number as u64, PROCESSES as u64, seed, seconds].map(|number| number.to_string()))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn stress(seconds: u64, seed: u64) {
    let runtime = runtime();
    let config = Config { accounts: vec![AccountConfig::named(ONE)], ..Config::default() };
    let store = runtime.block_on(Devstore::start(config)).unwrap();
    store.create_container(ONE, BOX).unwrap();
    let mut mount = MountProcess::new(&store, &[ONE], &["one/box"]);
    let top = mount.path();
    // Once without faults, so that what a mount sets up at its first use is not counted.
    let warm = |number: usize, seconds| start(&top, number, seed, seconds).wait_with_output().unwrap();
    assert!(warm(0, 2).status.success());
    let before = Held::by(&mount);
    store.reset_stats();
    one_percent(&store, seed);
    let began = Instant::now();
    let processes: Vec<Child> = (0..PROCESSES).map(|number| start(&top, number, seed, seconds)).collect();
    let (mut done, mut failed) = (BTreeMap::<String, u64>::new(), BTreeMap::<String, u64>::new());
    let mut wrong = Vec::new();
    for (number, process) in processes.into_iter().enumerate() {
        let output = process.wait_with_output().unwrap();
        let Ok(report) = serde_json::from_slice::<Report>(&output.stdout) else {
            wrong.push(format!("process {number} ended with {:?}", output.status));
            continue;
        };
        for (sum, of) in [(&mut done, report.done), (&mut failed, report.failed)] {
            of.into_iter().for_each(|(what, count)| *sum.entry(what).or_default() += count);
        }
        wrong.extend(report.wrong);
    }
    let took = began.elapsed();
    let (requests, fired) = (store.stats().total, store.faults_fired());
    store.clear_faults();
    let calls: u64 = done.values().sum();
    println!(
        "{PROCESSES} processes, {} s, seed {seed}: {calls} calls, {} of which failed, {requests} requests, {fired} of which went wrong",
        took.as_secs(),
        failed.values().sum::<u64>(),
    );
    println!("calls {done:?}\nfailed {failed:?}\nbefore {before:?}\nright after {:?}", Held::by(&mount));
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    let client = {
        let text = store.connection_string(ONE).unwrap();
        let config = blobcp::store::AccountConfig {
            connection_string: Some(blobcp::store::Secret::new(text)),
            ..Default::default()
        };
        let http = blobcp::store::Http::new(blobcp::store::Options::default());
        blobcp::store::Client::new(config.resolve().unwrap(), http)
    };
    // Leases that could not be given back, and what goes on behind calls, come to their end.
    let (mut after, waited) = (Held::by(&mount), Instant::now());
    let is_back = |after: &Held| {
        after.open <= before.open
            && after.budget <= before.budget
            && after.kept <= before.kept + KEPT
            && after.inodes <= before.inodes + INODES
            // The allocator gives back what is freed, a while later.
            && after.resident <= before.resident + MARGIN
    };
    while !is_back(&after) && waited.elapsed() < Duration::from_secs(60) {
        look_again();
        after = Held::by(&mount);
    }
    let container = ContainerName::parse(BOX).unwrap();
    let list = ListBlobs { snapshots: true, ..Default::default() };
    let listed = runtime.block_on(client.container(&container).list_blobs(&list)).unwrap();
    let leased = listed.items.iter().filter(|item| item.properties.lease.state.as_deref() == Some("leased")).count();
    let left: Vec<String> = listed.items.iter().map(|item| format!("{} {:?}", item.name, item.revision)).collect();
    println!("after {:?}: {after:?}\nleft {left:?}, {leased} leased", waited.elapsed());
    assert!(fired * 250 > requests, "{fired} of {requests} requests went wrong");
    assert!(calls > 64 * seconds / 4, "{calls} calls");
    // Connections to the service are kept for a while.
    assert!(after.descriptors <= before.descriptors + 80, "{before:?} {after:?}");
    assert!(is_back(&after), "{before:?} {after:?}");
    assert_eq!(leased, 0, "{left:?}");
    assert_eq!(left, [""; 0]);
    mount.terminate();
}

#[test]
fn a_minute_of_64_processes_while_requests_go_wrong() {
    stress(60, 1);
}

#[test]
#[ignore = "takes ten minutes"]
fn ten_minutes_of_64_processes_while_requests_go_wrong() {
    stress(600, 2);
}
