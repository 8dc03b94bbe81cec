//! Each kind of call, ended by Ctrl-C and by SIGKILL while its request stands still in the service.

use blobcp::store::LeaseOptions;

use super::*;

/// A call of a program.
struct Call {
    name: &'static str,
    /// What the program does before, for which requests are answered.
    before: &'static str,
    call: &'static str,
    /// A shell command that succeeds when the request has gone on and nobody waited for it.
    after: &'static str,
}

const fn call(name: &'static str, before: &'static str, call: &'static str, after: &'static str) -> Call {
    Call { name, before, call, after }
}

/// Names in the directory are known, so that the call itself is what asks.
const CALLS: [Call; 24] = [
    call("stat", "", "os.stat('unlisted/a')", "stat unlisted/a"),
    call("access", "", "os.access('unlisted/a', os.R_OK)", "test -r unlisted/a"),
    call("open", "fd = os.open('leased', os.O_PATH)", "os.open(f'/proc/self/fd/{fd}', os.O_WRONLY)", "cat leased"),
    call("open and create", "", "os.open('unlisted/new', os.O_CREAT | os.O_WRONLY)", "! test -e unlisted/new"),
    call("mknod", "os.listdir()", "os.mkfifo('made')", "test -p made && ls | grep -qx made"),
    call("read", "fd = os.open('a', os.O_RDONLY)", "os.pread(fd, 4, 0)", "test $(cat a) = text"),
    call(
        "mapped read",
        "import mmap\nm = mmap.mmap(os.open('a', os.O_RDONLY), 4, prot=mmap.PROT_READ)",
        "m[0]",
        "cat a",
    ),
    call("write", STAGED, "os.pwrite(fd, b'y', 100)", "test $(stat -c %s staged) = 17825792"),
    call("fsync", WRITTEN, "os.fsync(fd)", "test $(cat written) = news"),
    call("close", WRITTEN, "os.close(fd)", "test $(cat written) = news"),
    call("truncate", "os.stat('a')", "os.truncate('a', 2)", "test $(cat a) = te"),
    call("chmod", "os.stat('a')", "os.chmod('a', 0o600)", "test $(stat -c %a a) = 600"),
    call("readdir", "", "os.listdir('unlisted')", "test $(ls unlisted) = a"),
    call("mkdir", "os.listdir()", "os.mkdir('dir')", "test -d dir && ls | grep -qx dir"),
    call("rmdir", "os.listdir()", "os.rmdir('empty')", "! test -e empty && ! ls | grep -x empty"),
    call("unlink", "os.stat('a')", "os.unlink('a')", "! test -e a && ! ls | grep -x a"),
    call("rename", "os.listdir()", "os.rename('a', 'b')", "! test -e a && test $(cat b) = text"),
    call("symlink", "os.listdir()", "os.symlink('a', 'link')", "test $(readlink link) = a"),
    call("readlink", "os.listdir()", "os.readlink('there')", "test $(readlink there) = a"),
    call("getxattr", "os.stat('a')", "os.getxattr('a', 'user.blob.copy.status')", "getfattr a"),
    call("setxattr", "os.stat('a')", "os.setxattr('a', 'user.blob.meta.k', b'v')", "getfattr -n user.blob.meta.k a"),
    call("removexattr", "os.stat('m')", "os.removexattr('m', 'user.blob.meta.k')", "! getfattr -n user.blob.meta.k m"),
    call("copy_file_range", COPIED, "os.copy_file_range(i, o, 4)", "test \"$(cat o)\" = text"),
    call("ioctl", "import fcntl\nfd = os.open('a', os.O_RDONLY)", SNAPSHOT, "cat a"),
];
/// Two blocks are at the service and not committed. To change what is in one of them, it has to be.
const STAGED: &str = "fd = os.open('staged', os.O_CREAT | os.O_RDWR)
for i in range(17): os.write(fd, bytes([i]) * 1048576)
while not os.path.exists(staged): time.sleep(0.01)";
const WRITTEN: &str = "fd = os.open('written', os.O_CREAT | os.O_WRONLY)\nos.write(fd, b'news')";
const COPIED: &str = "i, o = os.open('a', os.O_RDONLY), os.open('o', os.O_CREAT | os.O_WRONLY)";
const SNAPSHOT: &str = "fcntl.ioctl(fd, snapshot, bytearray(snapshot >> 16 & 0x3fff))";

/// All names in `one/box` that the calls know.
const NAMES: [&str; 13] =
    ["a", "leased", "unlisted", "made", "there", "m", "staged", "written", "dir", "empty", "b", "link", "o"];

/// Handles that the kernel has, and nodes that it refers to when it has forgotten all these names.
fn held(world: &World) -> (usize, usize) {
    world.expire(&NAMES);
    let fs = &world.mount().fs;
    (fs.ending().open_handles(), fs.tree().kernel().referenced())
}

fn interrupt(call: &Call, signal: i32) {
    let what = format!("{} and signal {signal}", call.name);
    let world = World::new();
    let nothing = held(&world);
    for name in ["a", "leased", "unlisted/a"] {
        world.put(name, "text");
    }
    world.ok("mkdir empty && ln -s a there && echo x > m && setfattr -n user.blob.meta.k -v v m");
    let (another, leased) = (world.client(ONE), path("leased"));
    let lease = world.block_on(another.blob(&leased).acquire_lease(&LeaseOptions::default())).unwrap();
    world.expire(&NAMES);

    let flag = tempfile::tempdir().unwrap();
    let flag = flag.path().join("staged");
    let known = format!(
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_DFL)\nsnapshot = {}\nstaged = {flag:?}\n",
        blobcp::ioctl::SNAPSHOT
    );
    let mut program = Gated::start(&world, &format!("{known}{}\ngate()\n{}", call.before, call.call));
    if call.name == "write" {
        // Blocks are sent behind the answers to the writes.
        eventually("two blocks", || world.stats().requests("PutBlock") >= 2);
        std::fs::write(&flag, "").unwrap();
    }
    program.reached();
    let stopped = world.stop(Fault::on("*"));
    program.let_go();
    stopped.reached();
    program.signal(signal);
    assert_ends_by(signal, program, &what);
    // It is gone, and its request is still where it was. What it asks there is answered so that it can be opened.
    world.block_on(another.blob(&leased).release_lease(&lease)).unwrap();
    stopped.let_go();
    let after = || world.sh(call.after);
    assert!(comes(|| after().code == Some(0)), "what nobody waited for: {what}: {:?}", after());
    if call.name == "ioctl" {
        // Not looked for on the mount, where that would be nodes of its own.
        assert!(comes(|| snapshots(&world, "a") == 1), "{what}");
    }
    assert!(comes(|| held(&world) == nothing), "left of {what}: {:?}, and before {nothing:?}", held(&world));
}

/// Whether something comes about in a time in which it usually does many times.
fn comes(condition: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(30) {
        if condition() {
            return true;
        }
        look_again();
    }
    condition()
}

/// Tries all calls, also if one does not do what it should.
fn interrupt_all(signal: i32) {
    let tried = CALLS.iter().filter(|call| {
        let tried = std::panic::catch_unwind(|| interrupt(call, signal));
        tried.is_err()
    });
    let failed: Vec<&str> = tried.map(|call| call.name).collect();
    assert_eq!(failed, [""; 0], "with signal {signal}");
}

#[test]
fn ctrl_c_ends_who_waits_for_the_service_in_any_call() {
    interrupt_all(libc::SIGINT);
}

#[test]
fn sigkill_ends_who_waits_for_the_service_in_any_call() {
    interrupt_all(libc::SIGKILL);
}

#[test]
fn a_program_that_catches_ctrl_c_hears_of_it() {
    let world = World::new();
    world.put("a", "text");
    // The directory is known when the program comes there.
    world.ok("true");
    let stopped = world.stop(Fault::on("*"));
    let program = "try: os.stat('a')\nexcept KeyboardInterrupt: print('interrupted')";
    let program = Gated::between(&world, "", program);
    program.let_go();
    stopped.reached();
    program.signal(libc::SIGINT);
    let sent = Instant::now();
    let ran = program.wait();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "interrupted\n"), "{ran:?}");
    assert!(sent.elapsed() < SOON);
    stopped.let_go();
    assert_eq!(world.ok("cat a"), "text");
}

/// A signal that ends a process otherwise becomes SIGKILL in the kernel (kernel fact 22); those that leave a core do not.
#[test]
fn signals_that_dump_core_end_who_waits() {
    let world = World::new();
    let before = "import resource, signal
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)";
    let dumping = [
        libc::SIGABRT,
        libc::SIGQUIT,
        libc::SIGXCPU,
        libc::SIGXFSZ,
        libc::SIGTRAP,
        libc::SIGSYS,
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
    ];
    // A directory for each, of which nothing is known yet.
    dumping.iter().for_each(|signal| world.put(&format!("{signal}/a"), "text"));
    world.ok("true");
    for signal in dumping {
        let stopped = world.stop(Fault::on("*"));
        let program = Gated::between(&world, before, &format!("os.stat('{signal}/a')"));
        program.let_go();
        stopped.reached();
        program.signal(signal);
        assert_ends_by(signal, program, &format!("signal {signal}"));
        stopped.let_go();
    }
}

#[test]
fn a_program_that_catches_what_would_dump_core_goes_on() {
    let world = World::new();
    world.put("a", "text");
    world.ok("true");
    let stopped = world.stop(Fault::on("*"));
    let before = "import signal
signal.signal(signal.SIGABRT, lambda *_: print('caught', flush=True))";
    let program = Gated::between(&world, before, "print(os.stat('a').st_size)");
    program.let_go();
    stopped.reached();
    program.signal(libc::SIGABRT);
    // Somebody who began to wait later is let go meanwhile, so it was looked at.
    let also_stopped = world.stop(Fault::on("*"));
    let other = Gated::between(&world, "import signal\nsignal.signal(2, signal.SIG_DFL)", "os.stat('b')");
    other.let_go();
    also_stopped.reached();
    other.signal(libc::SIGINT);
    assert_ends_by(libc::SIGINT, other, "the other");
    also_stopped.let_go();
    stopped.let_go();
    let ran = program.wait();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "caught\n4\n"), "{ran:?}");
}

#[test]
fn other_signals_and_ignored_ones_interrupt_nobody() {
    let world = World::new();
    world.put("a", "text");
    world.ok("true");
    let stopped = world.stop(Fault::on("*"));
    let before = "import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
signal.signal(signal.SIGALRM, lambda *_: print('alarm', flush=True))";
    let program = Gated::between(&world, before, "print(os.stat('a').st_size)");
    program.let_go();
    stopped.reached();
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGALRM] {
        program.signal(signal);
    }
    // Somebody who began to wait later is let go meanwhile, so they were looked at.
    let also_stopped = world.stop(Fault::on("*"));
    let other = Gated::between(&world, "import signal\nsignal.signal(2, signal.SIG_DFL)", "os.stat('b')");
    other.let_go();
    also_stopped.reached();
    other.signal(libc::SIGINT);
    assert_ends_by(libc::SIGINT, other, "the other");
    also_stopped.let_go();
    stopped.let_go();
    let ran = program.wait();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "alarm\n4\n"), "{ran:?}");
}

#[test]
fn threads_that_wait_for_the_inode_end_with_who_holds_it() {
    let world = World::new();
    world.put("a", "text");
    world.ok("cat a");
    // A truncation holds the inode in the kernel.
    let program = "import threading
def truncate(): os.truncate('a', 2)
threads = [threading.Thread(target=truncate) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()";
    let stopped = world.stop(Fault::on("*"));
    let program = Gated::between(&world, "import signal\nsignal.signal(2, signal.SIG_DFL)", program);
    program.let_go();
    stopped.reached();
    program.signal(libc::SIGKILL);
    assert_ends_by(libc::SIGKILL, program, "six threads");
    stopped.let_go();
    eventually("the truncation", || world.stored("a") == "te");
}

#[test]
fn who_is_killed_with_many_files_to_store_is_gone_soon_and_they_are_stored() {
    let world = World::new();
    let program = "files = [open(f'f{i}', 'wb', buffering=0) for i in range(8)]
for file in files: file.write(b'text')";
    let program = Gated::between(&world, program, "time.sleep(1000)");
    // Each is so late that all of them together would take 12 s.
    world.store.add_fault(Fault { operation: "PutBlob".into(), count: 8, delay_ms: 1500, ..Fault::default() });
    program.signal(libc::SIGKILL);
    assert_ends_by(libc::SIGKILL, program, "eight files");
    eventually("all files", || (0..8).all(|i| world.is_stored(&format!("f{i}"))));
    eventually("no handle", || world.mount().fs.ending().open_handles() == 0);
}
