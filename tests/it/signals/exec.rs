//! Programs that start others while the mount owes them an answer. Who closes descriptors in exec cannot be looked at
//! in all ways until it is answered (kernel fact 21): whoever looks must not be needed for the answer.

use blobcp::devstore::Immutability;

use super::*;

/// A thread waits in fsync, and meanwhile the program starts another, which closes the same file.
fn start_another_while_in_fsync(close_fds: &str) {
    let world = World::new();
    world.put("b", "other");
    let stopped = world.stop(Fault::on("PutBlob"));
    let before = "import subprocess, threading
fd = os.open('a', os.O_CREAT | os.O_WRONLY)
os.write(fd, b'text')
thread = threading.Thread(target=lambda: os.fsync(fd))
thread.start()";
    let then = format!(
        "subprocess.run(['/bin/true'], close_fds={close_fds}, check=True)\nthread.join()\nos.close(fd)\nprint('done')"
    );
    let program = Gated::between(&world, before, &then);
    stopped.reached();
    program.let_go();
    eventually("another process", || !children(&program).is_empty());
    // Everybody else goes on, and can be interrupted.
    for _ in 0..3 {
        assert_eq!(world.ok("cat b; stat -c %s b"), "other5\n");
    }
    let also_stopped = world.stop(Fault::on("GetBlobProperties"));
    let other = Gated::between(&world, "import signal\nsignal.signal(2, signal.SIG_DFL)", "os.stat('c')");
    other.let_go();
    also_stopped.reached();
    other.signal(libc::SIGINT);
    assert_ends_by(libc::SIGINT, other, "somebody else");
    also_stopped.let_go();
    stopped.let_go();
    let ran = program.wait();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "done\n"), "{ran:?}");
    assert_eq!(world.stored("a"), "text");
}

/// Processes that a program has started, by any of its threads.
fn children(program: &Gated) -> String {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", program.pid())).into_iter().flatten().flatten();
    tasks.map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default()).collect()
}

#[test]
fn a_child_that_closes_in_exec_while_a_thread_is_in_fsync_stops_nobody() {
    start_another_while_in_fsync("False");
}

#[test]
fn a_child_that_closes_before_exec_while_a_thread_is_in_fsync_stops_nobody() {
    start_another_while_in_fsync("True");
}

/// Whether the last one closes a file that is stored once is told by who has it open or mapped, and this is asked of
/// the very process that closes it in exec.
#[test]
fn a_child_that_closes_a_file_in_exec_which_is_stored_once_is_answered() {
    let rules = Immutability { days: Some(7), locked: false, legal_hold: false, appends: false, versions: false };
    let world = World::new();
    world.store.keep(ONE, BOX, rules).unwrap();
    let program = "import subprocess
fd = os.open('a', os.O_CREAT | os.O_WRONLY)
os.write(fd, b'first ')
subprocess.run(['/bin/true'], close_fds=False, check=True)
os.write(fd, b'second')
os.close(fd)
print('done')";
    assert_eq!(python(&world, program), "done\n");
    eventually("the file", || world.is_stored("a"));
    assert_eq!(world.stored("a"), "first second");
}

#[test]
fn the_one_who_waits_in_fsync_and_the_child_that_closes_in_exec_can_both_be_killed() {
    let world = World::new();
    let stopped = world.stop(Fault::on("PutBlob"));
    let before = "import subprocess, threading
fd = os.open('a', os.O_CREAT | os.O_WRONLY)
os.write(fd, b'text')
threading.Thread(target=lambda: os.fsync(fd)).start()";
    let program = Gated::between(&world, before, "subprocess.run(['/bin/sleep', '1000'], close_fds=False)");
    stopped.reached();
    program.let_go();
    eventually("another process", || !children(&program).is_empty());
    program.signal(libc::SIGKILL);
    assert_ends_by(libc::SIGKILL, program, "both");
    stopped.let_go();
    eventually("the file", || world.is_stored("a"));
    eventually("no handle", || world.mount().fs.ending().open_handles() == 0);
}
