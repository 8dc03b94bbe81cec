//! The process behind a mount is killed at every request of an operation, before the service has done it and after, when
//! the answer is not sent yet: SIGKILL, as the machine does that has no memory left. Then another one mounts.
//!
//! What is asserted of each cell (an operation on a kind of container, killed at its Nth request): every file has its old
//! content or its new one, whole; each content that was to stay is under one of its names at least; what is left at the
//! service is told by `blobcp status --leftovers`, and ended by `blobcp clean`, after which nothing of ours is left and
//! everything can be removed. The requests are counted until the operation ends without another: so there is no boundary
//! that is not tried, and a cell is one only if its request was held and its process killed there.

mod operations;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use blobcp::devstore::{AccountConfig, Config, Fault};
use blobcp::path::ContainerName;
use blobcp::store::{BlobItem, BlobSettings, ListBlobs, WriteOptions};
use bytes::Bytes;
use tokio::sync::Barrier;

use crate::common::*;
use operations::{OPERATIONS, Operation};

/// Cells at the same time. Most of the time of each is that of processes that start and end.
const LANES: usize = 4;

/// Requests of an operation, at most.
const MOST: u64 = 200;

/// Requests that change nothing: being killed there is like being killed at the one before.
const LOOKS: [&str; 9] = [
    "GetBlob",
    "GetBlobProperties",
    "GetBlobTags",
    "ListBlobs",
    "ListContainers",
    "GetContainerProperties",
    "GetBlockList",
    "GetPageRanges",
    "GetPathProperties",
];

/// Blocks that were staged, and no blob.
fn is_blocks(row: &BlobItem) -> bool {
    row.properties.etag.as_str().is_empty()
}

/// A kind of container, or of blobs in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Kind {
    Block,
    Append,
    Page,
    Versioned,
    Hierarchical,
}

/// What is under each name, from the directory of the cell.
type Files = BTreeMap<String, Vec<u8>>;

/// When the request is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// It has come, and nothing was done.
    Before,
    /// It is done, and not answered.
    After,
}

impl Kind {
    fn setup(self) -> Setup {
        let mut setup = Setup::default();
        match self {
            Self::Versioned => setup.devstore.accounts = [ONE, TWO].map(AccountConfig::versioned).to_vec(),
            Self::Hierarchical => setup.devstore = Config { hns: true, ..setup.devstore },
            Self::Block | Self::Append | Self::Page => {}
        }
        setup
    }
}

/// A devstore, and a mount of it in a process of its own.
struct Lane {
    kind: Kind,
    world: World,
    mount: MountProcess,
    directories: usize,
}

impl Lane {
    fn new(kind: Kind) -> Self {
        let world = World::with(kind.setup());
        let mount = MountProcess::new(&world.store, &[ONE], &[&format!("{ONE}/{BOX}")]);
        Self { kind, world, mount, directories: 0 }
    }

    /// Puts a blob of the lane's kind.
    fn put(&self, name: &str, content: &[u8], operation: &Operation) {
        let content = Bytes::copy_from_slice(content);
        let (client, path) = (self.world.client(ONE), path(name));
        let blob = client.blob(&path);
        let (settings, options) = (BlobSettings::default(), WriteOptions::default());
        match self.kind {
            Kind::Append => self.world.block_on(async {
                blob.append_blob().create(&settings, &options).await.unwrap();
                blob.append_blob().append_block(0, content, &options).await.unwrap();
            }),
            Kind::Page => self.world.block_on(async {
                blob.page_blob().create(content.len() as u64, &settings, &options).await.unwrap();
                blob.page_blob().upload_pages(0, content, &options).await.unwrap();
            }),
            _ if operation.over_dfs => self.world.store.put_over_dfs(ONE, BOX, name, content).unwrap(),
            _ => self.world.put(name, content),
        }
    }

    /// Every row of the listing below a directory, also of blocks that were never committed.
    fn rows(&self, dir: &str) -> Vec<BlobItem> {
        let container = ContainerName::parse(BOX).unwrap();
        let prefix = format!("{dir}/");
        let snapshots = self.kind != Kind::Hierarchical;
        let list = ListBlobs { prefix: &prefix, snapshots, uncommitted: true, ..Default::default() };
        self.world.block_on(self.world.client(ONE).container(&container).list_blobs(&list)).unwrap().items
    }

    /// The files of a directory by what the service has, without what is hidden.
    fn files(&self, dir: &str) -> Files {
        let rows = self.rows(dir).into_iter().filter(|row| row.revision.is_none() && !is_blocks(row));
        let is_file = |row: &BlobItem| {
            let name = row.name.as_str();
            !row.properties.metadata.flag("hdi_isfolder") && !name.contains("/.blobcp-write-")
        };
        let content = |row: &BlobItem| self.world.stored(row.name.as_str()).to_vec();
        let rest = |row: &BlobItem| row.name.as_str()[dir.len() + 1..].to_owned();
        rows.filter(is_file).map(|row| (rest(&row), content(&row))).collect()
    }

    /// Snapshots, leases, hidden names and blocks below a directory.
    fn remains(&self, dir: &str) -> Vec<String> {
        let mut remains = Vec::new();
        for row in self.rows(dir) {
            let (name, lease) = (&row.name, &row.properties.lease);
            if row.revision.is_some() {
                remains.push(format!("snapshot of {name}"));
            } else if is_blocks(&row) {
                remains.push(format!("blocks of {name}"));
            } else if lease.state.as_deref() == Some("leased") {
                remains.push(format!("lease of {name}"));
            } else if name.as_str().contains("/.blobcp-write-") {
                remains.push(format!("hidden file {name}"));
            }
        }
        remains
    }

    /// Whether something that remains ends by itself: in a flat namespace blocks are in nobody's way.
    fn pass(&self, what: &str) -> bool {
        self.kind != Kind::Hierarchical && what.starts_with("blocks of")
    }

    /// A command of blobcp on a directory of the mount: exit code and what it printed.
    fn blobcp(&self, words: &[&str], dir: &str) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blobcp"));
        let ran = command.args(words).arg(self.mount.path().join(dir)).output().unwrap();
        let text = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        (ran.status.code(), text)
    }

    /// Runs the operation in a directory of its own and kills the mount at that request. `None` if it has fewer.
    fn cell(&mut self, operation: &Operation, (request, held): (u64, Held), all: bool) -> Option<()> {
        let what = format!("{:?} {} killed at request {request} ({held:?})", self.kind, operation.name);
        let dir = format!("d{}", self.directories);
        self.directories += 1;
        for (name, content) in &operation.before() {
            self.put(&format!("{dir}/{name}"), content, operation);
        }
        // What is copied was last modified in another second than that of the copy.
        self.world.store.advance_clock(Duration::from_secs(2));
        std::fs::metadata(self.mount.path().join(&dir)).unwrap();
        if !all {
            for look in LOOKS {
                self.world.store.add_fault(Fault { count: u64::MAX, ..Fault::on(look) });
            }
        }
        let gate = Arc::new(Barrier::new(2));
        let mut fault = Fault { skip: request, ..Fault::on("*") };
        match held {
            Held::Before => fault.gate = Some(gate.clone()),
            Held::After => fault.answer_gate = Some(gate.clone()),
        }
        self.world.store.add_fault(fault);
        let reached = Arc::new(AtomicBool::new(false));
        let (seen, at) = (reached.clone(), gate.clone());
        let waiting = self.world.spawn(async move {
            at.wait().await;
            seen.store(true, Ordering::Release);
        });
        let mut program = start_in(&self.mount.path().join(&dir), operation.command);
        eventually(&what, || reached.load(Ordering::Acquire) || program.has_ended());
        if !reached.load(Ordering::Acquire) {
            waiting.abort();
            self.world.store.clear_faults();
            let ran = program.wait();
            assert_eq!(ran.code, Some(0), "{what}: {ran:?}");
            assert_eq!(self.files(&dir), operation.after(), "{what}: it ends without");
            assert!(self.remains(&dir).is_empty(), "{what}: {:?}", self.remains(&dir));
            return None;
        }
        self.mount.kill();
        let ran = program.wait();
        self.world.store.clear_faults();
        if ran.code == Some(0) {
            assert_eq!(self.files(&dir), operation.after(), "{what}: it had said that it is done");
        }
        self.mount.start_again();
        operation.check(self.kind, &self.files(&dir), &format!("{what}, then"));
        self.judge_leftovers(operation, &dir, &what);
        let ran = start_in(&self.mount.path(), &format!("exec rm -r {dir}")).wait();
        assert_eq!(ran.code, Some(0), "{what}: {ran:?}");
        let left: Vec<String> = self.remains(&dir).into_iter().filter(|what| !self.pass(what)).collect();
        assert!(self.files(&dir).is_empty() && left.is_empty(), "{what}: {:?} {left:?}", self.files(&dir));
        Some(())
    }

    /// What is left is told and ended.
    fn judge_leftovers(&self, operation: &Operation, dir: &str, what: &str) {
        let remains = self.remains(dir);
        let (code, told) = self.blobcp(&["status", "--leftovers"], dir);
        let count = |word: &str, of: &[String]| of.iter().filter(|line| line.contains(word)).count();
        let lines: Vec<String> = told.lines().map(str::to_owned).collect();
        for (kind, word) in [
            ("snapshot of", ": snapshot,"),
            ("lease of", ": lease,"),
            ("hidden file", ": hidden file,"),
            ("blocks of", ": uncommitted blocks,"),
        ] {
            assert_eq!(count(kind, &remains), count(word, &lines), "{what}: left {remains:?}, told {told}");
        }
        let passing: Vec<String> = remains.iter().filter(|what| self.pass(what)).cloned().collect();
        assert!(remains.len() == passing.len() || code == Some(1), "{what}: {code:?} {told}");
        if remains.len() > passing.len() {
            eventually(&format!("{what}: the mount says it"), || self.mount.said().contains("left unfinished"));
        }
        // What two names had before is told, too, though it is nothing that is in anybody's way.
        let (dry, plan) = self.blobcp(&["clean", "--dry-run"], dir);
        assert_eq!((dry, self.remains(dir)), (Some(0), remains), "{what}: {plan}");
        let (code, done) = self.blobcp(&["clean"], dir);
        assert_eq!(code, Some(0), "{what}: {done}");
        let files = self.files(dir);
        operation.check(self.kind, &files, &format!("{what}, cleaned ({done}), then"));
        assert_eq!(self.remains(dir), passing, "{what}, cleaned ({done})");
        if operation.moves {
            let (old, new) = (operation.before(), operation.after());
            assert!(files == old || files == new, "{what}, cleaned ({done}): {files:?}");
        }
        let (code, rest) = self.blobcp(&["status", "--leftovers"], dir);
        assert_eq!(code, Some(0), "{what}, cleaned ({done}): {rest}");
        // What the mount shows is what the service has.
        for (name, content) in &files {
            let read = std::fs::read(self.mount.path().join(dir).join(name)).unwrap();
            assert!(read == *content, "{what}: {name} is read with other content");
        }
    }
}

/// The cells of an operation on a kind of container: how many, and what was wrong. After what is wrong it goes on with
/// another mount, so that one run shows all of it.
fn row(kind: Kind, operation: &'static Operation, all: bool) -> (usize, Vec<String>) {
    let (mut cells, mut wrong) = (0, Vec::new());
    let mut lane = Lane::new(kind);
    for held in [Held::Before, Held::After] {
        for request in 0..MOST {
            match catch_unwind(AssertUnwindSafe(|| lane.cell(operation, (request, held), all))) {
                Ok(Some(())) => cells += 1,
                Ok(None) => break,
                Err(panic) => {
                    wrong.push(told(panic.as_ref()));
                    lane = Lane::new(kind);
                }
            }
        }
    }
    if cells + wrong.len() < 2 {
        wrong.push(format!("{kind:?} {}: it sends nothing", operation.name));
    }
    (cells, wrong)
}

/// What a panic says.
fn told(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// All cells of these operations; how many of each, in their order.
fn matrix(operations: Vec<(Kind, &'static Operation)>, all: bool) {
    let (todo, done) = (Mutex::new(operations.into_iter()), Mutex::new(BTreeMap::<(Kind, &str), usize>::new()));
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                loop {
                    let Some((kind, operation)) = todo.lock().unwrap().next() else { return };
                    let (cells, found) = row(kind, operation, all);
                    wrong.lock().unwrap().extend(found);
                    done.lock().unwrap().insert((kind, operation.name), cells);
                }
            });
        }
    });
    let done = done.into_inner().unwrap();
    let cells: usize = done.values().sum();
    let each: Vec<String> = done.iter().map(|((kind, name), cells)| format!("{kind:?} {name} {cells}")).collect();
    println!("crash: {cells} cells, the mount was killed at each: {}", each.join(", "));
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn chosen(quick: bool) -> Vec<(Kind, &'static Operation)> {
    let kinds = [Kind::Block, Kind::Append, Kind::Page, Kind::Versioned, Kind::Hierarchical];
    let of =
        |kind| OPERATIONS.iter().filter(move |operation| operation.is_for(kind, quick)).map(move |one| (kind, one));
    kinds.into_iter().flat_map(of).collect()
}

#[test]
fn whatever_request_a_mount_is_killed_at_nothing_is_lost_and_what_is_left_is_told_and_ended() {
    matrix(chosen(true), false);
}

#[test]
#[ignore = "a thousand mounts that are killed take a minute or two"]
fn all_operations_on_all_kinds_of_containers_killed_at_all_requests() {
    matrix(chosen(false), true);
}
