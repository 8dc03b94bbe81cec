//! The fault matrix: every operation of the client × every kind of fault × every call that uses the operation.
//!
//! It is generated. Each call of `calls.rs` is made once without a fault, and the service tells which operations that took, how
//! often, and which of them had bodies. The cells are these, with each kind of `kinds.rs`. A cell proves that its fault fired
//! and that its call was answered; that the service then has the old or the new and never a mix, with nothing lost, held or left over; that
//! the errno is one that the kind allows, and none at all where a second try is enough; and that the mount then shows what the service has
//! and goes on.
//!
//! One cell of each operation and kind is run always, all of them with `--long`. `BLOBCP_TEST_CELLS=FILE` gets a line for each cell that is
//! wrong as soon as it is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use blobcp::devstore::{AccountConfig, CopyRate, Immutability};
use blobcp::store;
use serde_json::json;

use crate::common::*;

mod calls;
mod door;
mod kinds;
mod state;
mod worker;

use calls::{CALLS, Call, Lane};
use door::Door;
use kinds::{KINDS, Kind, Needs, OUTAGE, Way};
use worker::{Answer, Worker};

/// No call takes that long, whatever goes wrong: all tries of all of its requests together, on a machine with much else to do.
const BOUND: Duration = Duration::from_secs(100);
/// Operations that no call of a program leads to.
const ELSEWHERE: &[(&str, &str)] = &[
    ("GetAccountInformation", "asked once, when the mount begins"),
    ("GetFilesystemProperties", "asked once, when the mount begins"),
    ("GetContainerProperties", "asked once of each container"),
    ("GetUserDelegationKey", "asked once in hours, by an identity: tests/it/entra.rs"),
    ("PutBlobFromURL", "for sources that Copy Blob cannot read: tests/it/sources.rs"),
];
/// Errnos that the kind does not name: operation, kind, errno.
const EXCEPTIONS: &[(&str, &str, i32)] = &[
    // What is there can be told from what another client may have written only by reading all of it and of its source.
    ("PutPageFromURL", "answer lost, once", libc::ESTALE),
    ("PutPageFromURL", "500 after the effect, once", libc::ESTALE),
    // The service says that there is none, and then refuses to make it because there is one.
    ("GetBlobProperties", "404", libc::EEXIST),
    ("GetBlobProperties", "404, once", libc::EEXIST),
    ("GetBlobProperties", "404, once", libc::EBUSY),
    ("ListBlobs", "404, once", libc::EEXIST),
];
/// More than can be read at once.
const MOST_SHOWN: usize = 60;

/// An operation as a call uses it.
#[derive(Debug, Clone, Default)]
struct Use {
    times: u64,
    sends: bool,
    /// Of each time in turn, whether the answer has a body.
    answers: Vec<bool>,
}

/// A cell of the matrix.
#[derive(Clone, Copy)]
struct Cell {
    call: &'static Call,
    operation: &'static str,
    kind: &'static Kind,
    /// Requests of the operation that pass before one is hit.
    skip: u64,
    /// The call sends a body with it.
    sends: bool,
}

impl Cell {
    fn name(&self) -> String {
        let nth = if self.skip > 0 { format!(" number {}", self.skip + 1) } else { String::new() };
        format!("{} × {}{nth} × {}", self.call.name, self.operation, self.kind.name)
    }
}

/// A mount with a process that makes calls on it.
struct Stage {
    world: World,
    worker: Worker,
    lane: Lane,
    /// A mount by a way that can be shut, if calls are made on that one.
    through: Option<(Door, Mount)>,
    made: usize,
}

/// What came of a call.
struct Made {
    answer: Answer,
    fired: u64,
    uses: BTreeMap<&'static str, Use>,
    /// What the service had right before.
    before: state::State,
    directory: String,
    container: String,
}

fn order(worker: &mut Worker, root: &std::path::Path, program: &str, directory: &str, container: &str) {
    let (here, there) = (root.join(ONE).join(BOX).join(directory), root.join(TWO).join(BOX).join(directory));
    worker.order(&json!({"do": program, "d": here, "e": there, "root": root, "c": directory, "box": container}));
}

impl Stage {
    fn new(lane: Lane, way: Way) -> Self {
        let mut setup = Setup::default();
        let devstore = &mut setup.devstore;
        match lane {
            Lane::Flat | Lane::Immutable => {}
            Lane::Held => devstore.copy_cross_account = CopyRate::BytesPerSecond(1),
            Lane::Hns => devstore.hns = true,
            Lane::Kept => devstore.accounts[0] = AccountConfig::keeping_deleted(ONE, 7),
            Lane::Versioned => devstore.accounts[0] = AccountConfig::versioned(ONE),
        }
        setup.http = store::Options {
            tries: 3,
            first_delay: Duration::from_millis(5),
            max_delay: Duration::from_millis(20),
            // Where nothing is silent, being patient costs nothing.
            // A try has half of it.
            timeout: Duration::from_secs(if way == Way::Silence { 4 } else { 40 }),
            ..Default::default()
        };
        let again = Setup { http: setup.http.clone(), ..Setup::default() };
        let world = World::with(setup);
        if lane == Lane::Immutable {
            let rules = Immutability { days: None, locked: false, legal_hold: false, appends: false, versions: true };
            world.store.keep(ONE, BOX, rules).unwrap();
        }
        let through = (way == Way::Outage).then(|| {
            let door = Door::open(&world.store.address().to_string());
            let mount = world.mounted_through(door.port, &again);
            (door, mount)
        });
        Self { world, worker: Worker::start(), lane, through, made: 0 }
    }

    fn mount(&self) -> &Mount {
        self.through.as_ref().map_or(self.world.mount(), |(_, mount)| mount)
    }

    fn run(&mut self, program: &str, made: &Made) -> Result<Answer, String> {
        self.order(program, &made.directory, &made.container);
        self.answer()
    }

    fn order(&mut self, program: &str, directory: &str, container: &str) {
        let root = self.mount().root().to_owned();
        order(&mut self.worker, &root, program, directory, container);
    }

    fn answer(&self) -> Result<Answer, String> {
        self.worker.answer(BOUND).ok_or_else(|| format!("no answer within {BOUND:?}"))
    }

    /// Makes a call in a directory of its own, with a fault or without.
    fn make(&mut self, call: &'static Call, fault: Option<&Cell>) -> Result<Made, String> {
        self.made += 1;
        let (directory, container) = (format!("c{}", self.made), format!("container{}", self.made));
        state::put(&self.world, &directory, call.before);
        // What was put there was put behind its back.
        self.mount().fs.tree().invalidate_all();
        self.order(&format!("os.stat(d)\n{}", call.prepare), &directory, &container);
        let prepared = self.answer()?;
        if prepared.errno != 0 || !prepared.wrong.is_empty() {
            return Err(format!("what is done before it: {prepared:?}"));
        }
        let before = self.look(call, &directory, &container, false).state;
        let store = &self.world.store;
        store.clear_faults();
        store.reset_stats();
        let answer = match fault {
            Some(cell) if cell.kind.way == Way::Outage => {
                let root = self.mount().root().to_owned();
                let (door, _) = self.through.as_ref().ok_or("no door")?;
                let stopped = self.world.stop(cell.kind.of(cell.operation, cell.skip));
                order(&mut self.worker, &root, call.call, &directory, &container);
                stopped.reached();
                door.shut();
                stopped.let_go();
                let answer = self.answer();
                self.leave();
                door.open_again();
                answer
            }
            _ => {
                if let Some(cell) = fault {
                    store.add_fault(cell.kind.of(cell.operation, cell.skip));
                }
                self.order(call.call, &directory, &container);
                let answer = self.answer();
                self.leave();
                answer
            }
        };
        let store = &self.world.store;
        // Some of what a call leads to is done behind it, as a lease is given back.
        let waited = Instant::now();
        while fault.is_some() && store.faults_fired() == 0 && waited.elapsed() < Duration::from_secs(5) {
            look_again();
        }
        let fired = store.faults_fired();
        let mut uses: BTreeMap<&'static str, Use> = BTreeMap::new();
        for record in store.requests() {
            let used = uses.entry(record.operation).or_default();
            used.times += 1;
            used.sends |= record.sent > 0;
            used.answers.push(record.answered > 0 && record.method != "HEAD");
        }
        store.clear_faults();
        Ok(Made { answer: answer?, fired, uses, before, directory, container })
    }

    /// Waits until nothing is open on the mount: what close could not store is tried once more when the last has left.
    fn leave(&self) {
        // A copy that is held has its destination open.
        if self.lane != Lane::Held {
            eventually("the end of what is open", || self.mount().fs.xattrs().usage().contains("open 0\n"));
        }
    }

    /// What the service has; what is on its way comes to its end first.
    fn look(&self, call: &Call, directory: &str, container: &str, lasting: bool) -> state::Seen {
        let began = Instant::now();
        let mut seen = loop {
            let seen = state::look(&self.world, call, directory, self.lane == Lane::Hns);
            if self.lane == Lane::Held || seen.leased.is_empty() && seen.pending.is_empty() {
                break seen;
            }
            match began.elapsed() {
                // What could not be given back ends by itself, for it was finite and nobody renews it.
                elapsed if lasting && elapsed > Duration::from_secs(1) => {
                    self.world.store.age_leases(Duration::from_secs(60));
                    break state::look(&self.world, call, directory, self.lane == Lane::Hns);
                }
                elapsed if elapsed > Duration::from_secs(20) => break seen,
                _ => look_again(),
            }
        };
        if call.call.contains("{box}") {
            state::container(&self.world, container).map(|color| seen.state.insert("box".to_owned(), color));
        }
        seen
    }

    /// The cell's call with its fault, and all that has to hold then. What does not, in words.
    fn judge(&mut self, cell: &Cell) -> Result<bool, String> {
        let made = self.make(cell.call, Some(cell))?;
        let Answer { errno, wrong, out } = &made.answer;
        if made.fired == 0 {
            return Err(format!("its fault did not fire: {:?}", made.uses));
        }
        if !wrong.is_empty() {
            return Err(format!("a call lied: {wrong}"));
        }
        // What is stored has all of its time for one try: a body is not sent twice because nobody has answered yet.
        let is_timed_out = cell.sends && cell.kind.name == "silence, once" && *errno == libc::ETIMEDOUT;
        let is_exception = EXCEPTIONS.contains(&(cell.operation, cell.kind.name, *errno));
        let must_succeed = cell.kind.must_succeed() && !is_timed_out;
        let lasting = !must_succeed;
        // Nobody can tell whose a snapshot is that a program asked for: one whose answer is lost is taken once more, and the
        // first one stays.
        let may_leave = lasting || cell.operation == "SnapshotBlob" && cell.call.call.contains("snapshot(");
        let seen = self.look(cell.call, &made.directory, &made.container, lasting);
        // Who is told that what was to be deleted is not there has nothing left to do.
        let is_told_gone = cell.operation.starts_with("Delete") && cell.kind.name.starts_with("404");
        let name = |errno: i32| std::io::Error::from_raw_os_error(errno).to_string();
        match *errno {
            0 if is_told_gone => state::is_whole(&seen.state, &made.before, cell.call)?,
            0 => state::is_done(&seen.state, cell.call, may_leave).map_err(|why| format!("it succeeded, and {why}"))?,
            errno if must_succeed && !is_exception => {
                return Err(format!("it failed although a second try is enough: {} ({out})", name(errno)));
            }
            errno if lasting && !cell.kind.says.contains(&errno) && !is_timed_out && !is_exception => {
                return Err(format!("the errno is {} ({out})", name(errno)));
            }
            errno => {
                state::is_whole(&seen.state, &made.before, cell.call)
                    .map_err(|why| format!("{}, and {why}", name(errno)))?;
            }
        }
        if self.lane != Lane::Held && !(seen.leased.is_empty() && seen.pending.is_empty()) {
            return Err(format!("leases {:?} and copies {:?} are left", seen.leased, seen.pending));
        }
        self.goes_on(&made, (!is_told_gone).then_some(&seen))?;
        Ok(*errno == 0)
    }

    /// The next calls work, and show what the service has.
    fn goes_on(&mut self, made: &Made, seen: Option<&state::Seen>) -> Result<(), String> {
        let view = if self.lane == Lane::Held { "{}" } else { "view(d)" };
        let program = format!(
            "write(d+'/probe', b'probe'); read(d+'/probe', b'probe'); os.unlink(d+'/probe')\n\
             found = {view}; found.pop('keep', 0); out = json.dumps(found)"
        );
        let mut answer = self.run(&program, made)?;
        // A service that was away is asked once a second whether it is there again.
        for _ in 0..1000 {
            if self.through.is_none() || answer.errno != libc::EIO {
                break;
            }
            look_again();
            answer = self.run(&program, made)?;
        }
        if answer.errno != 0 || !answer.wrong.is_empty() {
            return Err(format!("the next call fails: {answer:?}"));
        }
        let view: BTreeMap<String, String> = serde_json::from_str(&answer.out).unwrap();
        // What a pending copy has is not shown.
        match seen {
            Some(seen) if self.lane != Lane::Held && view != seen.view => {
                Err(format!("the mount shows {view:?} and the service has {:?}", seen.view))
            }
            _ => Ok(()),
        }
    }
}

/// All calls without a fault: what they use.
fn measure() -> Vec<(&'static Call, BTreeMap<&'static str, Use>)> {
    let mut stages: BTreeMap<Lane, Stage> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut measured = Vec::new();
    for call in CALLS {
        let stage = stages.entry(call.lane).or_insert_with(|| Stage::new(call.lane, Way::Rule));
        let made = stage.make(call, None).and_then(|made| {
            if made.answer.errno != 0 || !made.answer.wrong.is_empty() {
                return Err(format!("{:?}", made.answer));
            }
            let seen = stage.look(call, &made.directory, &made.container, false);
            state::is_done(&seen.state, call, false)?;
            stage.goes_on(&made, Some(&seen))?;
            Ok(made)
        });
        match made {
            Ok(made) => measured.push((call, made.uses)),
            Err(why) => wrong.push(format!("{}: {why}", call.name)),
        }
    }
    assert!(wrong.is_empty(), "without any fault:\n{}", wrong.join("\n"));
    measured
}

/// Operations that the client can send, by its source.
fn operations_of_the_client() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut dirs = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/store"))];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let parts: Vec<&str> = text.split('"').collect();
            for pair in parts.windows(2) {
                let called = pair[1].trim_start().starts_with(", Method::");
                if called && pair[0].chars().all(|c| c.is_ascii_alphanumeric()) && !pair[0].is_empty() {
                    found.insert(pair[0].to_owned());
                }
            }
        }
    }
    assert!(found.len() > 25, "{found:?}");
    found
}

fn cells(measured: &[(&'static Call, BTreeMap<&'static str, Use>)], whole: bool) -> Vec<Cell> {
    let mut cells = Vec::new();
    // How often a call was taken: of several that do, the least used one is.
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    let operations: BTreeSet<&'static str> = measured.iter().flat_map(|(_, uses)| uses.keys().copied()).collect();
    for operation in operations {
        for kind in KINDS.iter().chain([&OUTAGE]) {
            let fits = |used: &Use| match kind.needs {
                Needs::Nothing => true,
                Needs::Sends => used.sends,
                Needs::Answers => used.answers.contains(&true),
            };
            // Copies that are held do not end by the door, which they do not use.
            let there = |call: &Call| kind.way != Way::Outage || call.lane == Lane::Flat;
            let fitting = measured.iter().filter_map(|(call, uses)| Some((*call, uses.get(operation)?)));
            let mut fitting: Vec<_> = fitting.filter(|(call, used)| fits(used) && there(call)).collect();
            if !whole {
                fitting.sort_by_key(|(call, _)| taken.get(call.name).copied().unwrap_or(0));
                fitting.truncate(1);
            }
            for (call, used) in fitting {
                *taken.entry(call.name).or_default() += 1;
                let last = if whole && !kind.all && kind.way == Way::Rule { 3 } else { 1 };
                // What is not there cannot be damaged.
                let has_body = |skip: &u64| kind.needs != Needs::Answers || used.answers[*skip as usize];
                let skips = (0..used.times).filter(has_body).take(last);
                cells.extend(skips.map(|skip| Cell { call, operation, kind, skip, sends: used.sends }));
            }
        }
    }
    cells
}

/// Adds what is wrong with a cell to the file that `BLOBCP_TEST_CELLS` names, when it is known.
fn note(line: &str) {
    if let Some(file) = std::env::var_os("BLOBCP_TEST_CELLS") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
        std::io::Write::write_all(&mut file, line.as_bytes()).unwrap();
    }
}

/// Runs cells on as many mounts as are worth it; what is wrong, and how many calls succeeded.
fn run(cells: Vec<Cell>) -> (Vec<String>, usize) {
    let mut queues: BTreeMap<(Lane, u8), VecDeque<Cell>> = BTreeMap::new();
    for cell in cells {
        queues.entry((cell.call.lane, cell.kind.way as u8)).or_default().push_back(cell);
    }
    let (wrong, succeeded) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
    let mut threads = Vec::new();
    for ((lane, _), queue) in queues {
        let way = queue[0].kind.way;
        let waits = way != Way::Rule;
        // Those that wait have nothing to do meanwhile.
        let at_once = if waits { (queue.len() / 3).clamp(1, 16) } else { (queue.len() / 80).clamp(1, 4) };
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..at_once {
            let (queue, wrong, succeeded) = (queue.clone(), wrong.clone(), succeeded.clone());
            threads.push(std::thread::spawn(move || {
                let mut stage = Stage::new(lane, way);
                loop {
                    let next = queue.lock().unwrap().pop_front();
                    let Some(cell) = next else { return };
                    match stage.judge(&cell) {
                        Ok(done) => *succeeded.lock().unwrap() += usize::from(done),
                        Err(why) => {
                            note(&format!("{}: {why}\n", cell.name()));
                            wrong.lock().unwrap().push(format!("{}: {why}", cell.name()));
                            // Nothing of it shall make another cell fail.
                            stage = Stage::new(lane, way);
                        }
                    }
                }
            }));
        }
    }
    for thread in threads {
        thread.join().unwrap();
    }
    let mut wrong = std::mem::take(&mut *wrong.lock().unwrap());
    wrong.sort();
    let succeeded = *succeeded.lock().unwrap();
    (wrong, succeeded)
}

fn matrix(whole: bool) {
    let measured = measure();
    let used: BTreeSet<&str> = measured.iter().flat_map(|(_, uses)| uses.keys().copied()).collect();
    for operation in operations_of_the_client() {
        let elsewhere = ELSEWHERE.iter().any(|(name, _)| *name == operation);
        assert!(elsewhere || used.contains(&*operation), "no call uses {operation}");
    }
    let mut cells = cells(&measured, whole);
    // To look at some again.
    if let Ok(wanted) = std::env::var("BLOBCP_TEST_ONLY_CELLS") {
        cells.retain(|cell| wanted.split(';').any(|name| cell.name().contains(name)));
    }
    let names = |of: fn(&Cell) -> &str| cells.iter().map(of).collect::<BTreeSet<_>>().len();
    let (operations, kinds, calls) =
        (names(|cell| cell.operation), names(|cell| cell.kind.name), names(|cell| cell.call.name));
    let (count, began) = (cells.len(), Instant::now());
    let (wrong, succeeded) = run(cells);
    println!(
        "{count} cells: {operations} operations × {kinds} faults × {calls} calls; {succeeded} calls succeeded, {} failed as they may, {} are wrong; {} s",
        count - succeeded - wrong.len(),
        wrong.len(),
        began.elapsed().as_secs()
    );
    assert!(wrong.is_empty(), "{} of {count} cells:\n{}", wrong.len(), wrong[..wrong.len().min(MOST_SHOWN)].join("\n"));
}

#[test]
fn each_operation_with_each_fault_leaves_the_old_or_the_new() {
    matrix(false);
}

#[test]
#[ignore = "takes minutes"]
fn each_operation_with_each_fault_leaves_the_old_or_the_new_in_every_call() {
    matrix(true);
}
