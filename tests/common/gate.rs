//! Python programs on the mount; programs, and requests in the service, that stop half-way until the test lets them go
//! on.

use std::cell::Cell;

use blobcp::devstore::Fault;
use tempfile::TempDir;
use tokio::sync::Barrier;

use super::*;

/// Runs a Python program in `one/box` that must succeed. `os` and `errno` are imported.
pub fn python(world: &World, program: &str) -> String {
    world.ok(&script(program))
}

fn script(program: &str) -> String {
    // Started elsewhere and isolated: what starts Python, and Python itself, look for files in the current directory.
    format!(
        "dir=$PWD; cd /; exec python3 -I - \"$dir\" <<'END'\nimport os, errno, sys, time\nos.chdir(sys.argv[1])\n{program}\nEND"
    )
}

/// A Python program that stops wherever it calls `gate()`.
pub struct Gated {
    running: Running,
    /// Outside the mount, so that waiting is no request.
    gate: TempDir,
    /// So many gates are open.
    opened: Cell<usize>,
}

impl Gated {
    pub fn start(world: &World, program: &str) -> Self {
        Self::start_in(&world.here(), program)
    }

    pub fn start_in(dir: &Path, program: &str) -> Self {
        let gate = tempfile::tempdir().unwrap();
        let here = gate.path().display();
        let function = format!(
            "gates = iter(range(1000))\ndef gate():\n    number = next(gates)\n    open(f'{here}/reached{{number}}', 'w').close()\n    while not os.path.exists(f'{here}/open{{number}}'): time.sleep(0.01)"
        );
        let running = start_in(dir, &script(&format!("{function}\n{program}")));
        Self { running, gate, opened: Cell::new(0) }
    }

    /// Waits until the program is at the next gate.
    pub fn reached(&mut self) {
        let gate = self.gate.path().join(format!("reached{}", self.opened.get()));
        eventually("the gate", || gate.exists() || self.running.has_ended());
    }

    /// Opens the next gate.
    pub fn let_go(&self) {
        let number = self.opened.replace(self.opened.get() + 1);
        std::fs::write(self.gate.path().join(format!("open{number}")), "").unwrap();
    }

    /// Opens the gate, and waits until the program is at the one behind it.
    #[track_caller]
    pub fn go_on(&mut self) {
        self.let_go();
        self.reached();
        assert!(!self.has_ended());
    }

    pub fn has_ended(&mut self) -> bool {
        self.running.has_ended()
    }

    pub fn pid(&self) -> i32 {
        self.running.pid()
    }

    pub fn signal(&self, signal: i32) {
        self.running.signal(signal);
    }

    pub fn has_ended_or_is_in(&mut self, calls: &[libc::c_long]) -> bool {
        self.running.has_ended_or_is_in(calls)
    }

    pub fn wait(self) -> Ran {
        self.running.wait()
    }

    /// Opens the gate, and waits for the program's end.
    pub fn open(self) -> Ran {
        self.let_go();
        self.wait()
    }

    /// A program in two parts, of which the first is done.
    #[track_caller]
    pub fn between(world: &World, first: &str, second: &str) -> Self {
        let mut gated = Self::start(world, &format!("{first}\ngate()\n{second}"));
        gated.reached();
        assert!(!gated.running.has_ended(), "{:?}", gated.running.wait());
        gated
    }

    /// Opens the gate for a program that must succeed.
    #[track_caller]
    pub fn finish(self) {
        let ran = self.open();
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    }

    /// Starts the program and opens the gate when it has come there and `meanwhile` is done.
    pub fn run(world: &World, program: &str, meanwhile: impl FnOnce()) -> Ran {
        let mut gated = Self::start(world, program);
        gated.reached();
        meanwhile();
        gated.open()
    }
}

/// A request that stands still in the service.
pub struct Stopped<'a> {
    world: &'a World,
    operation: String,
    gate: Arc<Barrier>,
}

impl World {
    /// The next request of the rule's kind stops when it has come. What the rule says more becomes of it when it goes
    /// on.
    pub fn stop(&self, fault: Fault) -> Stopped<'_> {
        self.stop_at(fault, |fault| &mut fault.gate)
    }

    /// The next request of the rule's kind stops when it has been carried out, and before it is answered.
    pub fn stop_answer(&self, fault: Fault) -> Stopped<'_> {
        self.stop_at(fault, |fault| &mut fault.answer_gate)
    }

    fn stop_at(&self, mut fault: Fault, gate_of: fn(&mut Fault) -> &mut Option<Arc<Barrier>>) -> Stopped<'_> {
        let (operation, gate) = (fault.operation.clone(), Arc::new(Barrier::new(2)));
        *gate_of(&mut fault) = Some(gate.clone());
        self.store.add_fault(fault);
        Stopped { world: self, operation, gate }
    }
}

impl Stopped<'_> {
    /// Waits until the request has come.
    #[track_caller]
    pub fn reached(&self) {
        self.meet("did not come");
    }

    /// The request goes on.
    #[track_caller]
    pub fn let_go(self) {
        self.meet("does not stand still any more");
    }

    #[track_caller]
    fn meet(&self, or: &str) {
        // Less than the time after which the client takes an answer for lost, and asks again.
        let met = self.world.block_on(async { tokio::time::timeout(Duration::from_secs(50), self.gate.wait()).await });
        assert!(met.is_ok(), "{} {or}", self.operation);
    }
}
