//! Who writes through a mapping does not wait for a service that takes nothing: the kernel writes it back in the name of
//! nobody, and whoever has it mapped waits for that without being able to end.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

/// More than the memory of the mount and what it takes beyond that.
const MUCH: usize = 128 << 20;
/// More than its memory.
const LITTLE: usize = 24 << 20;

/// A mount with little memory over a line, and a program that maps a file of it.
struct Mapped {
    world: World,
    line: Outage,
    mount: MountProcess,
    dir: TempDir,
    program: Gated,
}

impl Mapped {
    /// The program makes all pages dirty when it is told to, and goes on with `then`.
    fn new(len: usize, then: &str) -> Self {
        let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
        let line = Outage::of(&world);
        let source = format!("{ONE}/{BOX}");
        let options = ["--memory-limit", "64MiB", "--timeout", "20s", &source];
        let mount = MountProcess::over(&line, &world.store, &[ONE], &options);
        let program = format!(
            "import mmap
f = open('mapped', 'w+b', buffering=0)
f.truncate({len})
m = mmap.mmap(f.fileno(), {len})
open('{here}/mapped', 'w').close()
while not os.path.exists('{here}/go'): time.sleep(0.01)
for i in range(0, {len}, 4096): m[i] = 1
{then}",
            here = dir.path().display()
        );
        let program = Gated::start_in(&mount.path(), &program);
        eventually("the mapping", || dir.path().join("mapped").exists());
        Self { world, line, mount, dir, program }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Nothing is answered, and the program goes on.
    fn goes_on_in_silence(&self) {
        self.line.becomes(Line::Silent);
        std::fs::write(self.path("go"), "").unwrap();
    }
}

/// Each page of the file in the service begins with this.
fn assert_stored(world: &World, len: usize, byte: u8) {
    let stored = world.stored("mapped");
    assert_eq!(stored.len(), len);
    assert!(stored.iter().step_by(4096).all(|first| *first == byte));
}

/// The state of a process, as ps(1) writes it.
fn state(pid: i32) -> String {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
    stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next()).unwrap_or_default().to_owned()
}

#[test]
fn who_is_killed_with_much_to_write_back_is_gone_soon() {
    let mapped = Mapped::new(MUCH, "time.sleep(1000)");
    mapped.goes_on_in_silence();
    let is_sending = || mapped.line.seen().lines.iter().any(|line| line.starts_with("PUT "));
    eventually("a block, and who waits for it", || is_sending() && state(mapped.program.pid()) == "D");
    mapped.program.signal(libc::SIGKILL);
    assert_ends_by(libc::SIGKILL, mapped.program, "a mapping");
}

/// The service takes nothing, and somebody goes on writing: nobody is kept waiting, and what cost a page is told.
#[test]
fn what_could_not_be_written_back_is_the_error_of_the_next_msync() {
    let then = "gate()
try:
    m.flush()
    print('stored too early')
except OSError as e: print(errno.errorcode[e.errno])
again = True
while again:
    try:
        m.flush()
        again = False
    except OSError: time.sleep(0.01)
for i in range(0, len(m), 4096): m[i] = 2
m.flush()
m.close()
f.close()
print('stored')";
    let mut mapped = Mapped::new(MUCH, then);
    mapped.goes_on_in_silence();
    mapped.program.reached();
    mapped.line.becomes(Line::Whole);
    mapped.program.let_go();
    let Mapped { world, line: _line, mount, program, .. } = mapped;
    let ran = program.wait();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "EIO\nstored\n"), "{ran:?}");
    assert!(mount.logged().contains("is refused"), "{}", mount.logged());
    assert_stored(&world, MUCH, 2);
}

/// As long as what is written fits, an outage costs no page: the kernel is told that it is taken, and it is.
#[test]
fn what_is_written_back_in_a_short_outage_is_stored_after_it() {
    let then = "import ctypes
start, length = ctypes.c_int64(0), ctypes.c_int64(len(m))
# Writes all back and waits for that, and asks the mount for nothing else.
assert ctypes.CDLL(None).sync_file_range(f.fileno(), start, length, 7) == 0
gate()
m.flush()
print('stored')";
    let mut mapped = Mapped::new(LITTLE, then);
    mapped.goes_on_in_silence();
    mapped.program.reached();
    mapped.line.becomes(Line::Whole);
    mapped.program.let_go();
    let Mapped { world, line: _line, mount: _mount, program, .. } = mapped;
    let ran = program.wait();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "stored\n"), "{ran:?}");
    assert_stored(&world, LITTLE, 1);
}
