//! The end of a mount whose service does not answer: in bounded time, and what could not be stored is named.

use std::process::Command;

use blobcp::devstore::Reset;

use super::*;

/// Longest end of a mount. It is promised within 5 s; the rest is for machines with much else to do.
const SHORT: Duration = Duration::from_secs(10);

fn mounted(world: &World) -> MountProcess {
    MountProcess::new(&world.store, &[ONE], &[&format!("{ONE}/{BOX}")])
}

/// From now on nothing is answered.
fn silence(world: &World) {
    let silent = Fault { operation: "*".into(), count: u64::MAX, delay_ms: 3_600_000, ..Fault::default() };
    world.store.add_fault(silent);
}

/// From now on connections end without a byte.
fn away(world: &World) {
    let away = Fault { operation: "*".into(), count: u64::MAX, reset: Some(Reset::Before), ..Fault::default() };
    world.store.add_fault(away);
}

/// A program has two files open with something to store in them.
fn writer(mount: &MountProcess) -> Gated {
    let program = "files = [open(name, 'wb', buffering=0) for name in ('first', 'second')]
for file in files: file.write(b'text')
gate()
time.sleep(1000)";
    let mut writer = Gated::start_in(&mount.path(), program);
    writer.reached();
    writer
}

fn terminated_while(state: fn(&World)) {
    let world = World::new();
    let mut mount = mounted(&world);
    let writer = writer(&mount);
    state(&world);
    let began = Instant::now();
    mount.signal(libc::SIGTERM);
    let (code, said) = mount.wait();
    assert!(began.elapsed() < SHORT, "{:?}", began.elapsed());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("2 files could not be stored: box/first, box/second"), "{said}");
    for name in ["box/first", "box/second"] {
        let logged = said.lines().any(|line| line.contains("ERROR") && line.contains(&format!("name={name}")));
        assert!(logged, "{name}: {said}");
    }
    writer.signal(libc::SIGKILL);
    writer.wait();
}

#[test]
fn sigterm_ends_the_mount_of_a_silent_service() {
    terminated_while(silence);
}

#[test]
fn sigterm_ends_the_mount_of_a_service_that_is_away() {
    terminated_while(away);
}

#[test]
fn sigterm_ends_a_mount_while_programs_wait_in_it() {
    let world = World::new();
    world.put("a", "text");
    let mut mount = mounted(&world);
    // The rename holds the directory in the kernel, and the others want it.
    let stopped = world.stop(Fault::on("CopyBlob"));
    let m = mount.path();
    let start = |command: String| start_in(std::path::Path::new("/"), &command);
    let renaming = start(format!("exec mv {0}/a {0}/b", m.display()));
    stopped.reached();
    silence(&world);
    let mut waiting =
        [renaming, start(format!("exec ls {}", m.display())), start(format!("exec cat {}/a", m.display()))];
    let began = Instant::now();
    mount.signal(libc::SIGTERM);
    let (_, said) = mount.wait();
    assert!(began.elapsed() < SHORT, "{:?}: {said}", began.elapsed());
    // Nobody is left behind in the kernel.
    eventually("the end of all who waited", || waiting.iter_mut().all(Running::has_ended));
}

fn umount(mount: &MountProcess, lazy: bool) -> (Option<i32>, String, Duration) {
    loop {
        let began = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_blobcp"));
        command.arg("umount").args(lazy.then_some("--lazy")).arg(mount.path());
        let ran = command.output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        // What another test starts has the open files of this process until it runs.
        if !said.contains(": in use;") {
            return (ran.status.code(), said, began.elapsed());
        }
        look_again();
    }
}

#[test]
fn umount_lazy_names_what_a_silent_service_did_not_take() {
    let world = World::new();
    let mut mount = mounted(&world);
    let writer = writer(&mount);
    silence(&world);
    // What it closes in its end is on its way behind it.
    writer.signal(libc::SIGKILL);
    assert_ends_by(libc::SIGKILL, writer, "the writer");
    let (code, said, took) = umount(&mount, true);
    assert!(took < SHORT, "{took:?}");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("unmounted, but 2 files could not be stored: box/first, box/second"), "{said}");
    let (code, log) = mount.wait();
    assert_eq!(code, Some(1), "{log}");
}

#[test]
fn umount_of_an_idle_mount_does_not_wait_for_a_silent_service() {
    for lazy in [false, true] {
        let world = World::new();
        let mut mount = mounted(&world);
        silence(&world);
        let (code, said, took) = umount(&mount, lazy);
        assert_eq!((code, said.as_str()), (Some(0), ""));
        assert!(took < SHORT, "{took:?}");
        assert_eq!(mount.wait().0, Some(0));
    }
}

/// A program writes so many bytes into `f` and keeps it open.
fn writer_of(mount: &MountProcess, bytes: usize) -> Gated {
    let program = format!(
        "f = open('f', 'wb', buffering=0)
for i in range(0, {bytes}, 1 << 20): f.write(b'x' * min({bytes}, 1 << 20))
gate()
f.close()"
    );
    let mut writer = Gated::start_in(&mount.path(), &program);
    writer.reached();
    writer
}

fn over(line: &Outage, world: &World) -> MountProcess {
    MountProcess::over(line, &world.store, &[ONE], &[&format!("{ONE}/{BOX}")])
}

/// What goes out to a service that reads all and answers nothing is not stored, however long it goes on.
#[test]
fn sigterm_ends_the_mount_of_a_service_that_reads_and_never_answers() {
    let world = World::new();
    let line = Outage::of(&world);
    let mut mount = over(&line, &world);
    // Less than a block, so that nothing of it is sent before; more than the buffers of a connection hold.
    let writer = writer_of(&mount, 7 << 20);
    line.becomes(Line::Sipping);
    let began = Instant::now();
    mount.signal(libc::SIGTERM);
    let (code, said) = mount.wait();
    assert!(began.elapsed() < SHORT, "{:?}", began.elapsed());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("one file could not be stored: box/f"), "{said}");
    writer.signal(libc::SIGKILL);
    writer.wait();
}

/// Unmounts behind the back of the process, as `umount -i` and `fusermount3 -u` do.
fn unmounted_from_outside(mount: &MountProcess) {
    eventually("the unmounting", || Command::new("umount").arg("-i").arg(mount.path()).status().unwrap().success());
    eventually("that it is noticed", || mount.logged().contains("unmounted from outside"));
}

/// A mount that was unmounted while the close of a program that is gone is on its way.
fn unmounted_while_storing(world: &World) -> (MountProcess, Stopped<'_>) {
    let mount = MountProcess::new(&world.store, &[ONE], &["--log", "info", &format!("{ONE}/{BOX}")]);
    let writer = writer_of(&mount, 300_000);
    let stopped = world.stop(Fault::on("PutBlob"));
    writer.let_go();
    stopped.reached();
    writer.signal(libc::SIGKILL);
    assert_ends_by(libc::SIGKILL, writer, "the writer");
    unmounted_from_outside(&mount);
    (mount, stopped)
}

#[test]
fn one_sigterm_after_an_unmount_does_not_give_up_what_is_being_stored() {
    let world = World::new();
    let (mut mount, stopped) = unmounted_while_storing(&world);
    mount.signal(libc::SIGTERM);
    eventually("that the signal is heard", || mount.logged().contains("SIGTERM"));
    stopped.let_go();
    let (code, said) = mount.wait();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(world.stored("f").len(), 300_000);
}

#[test]
fn who_ends_a_mount_at_once_is_told_what_that_costs() {
    let world = World::new();
    let (mut mount, _stopped) = unmounted_while_storing(&world);
    mount.signal(libc::SIGTERM);
    eventually("that the signal is heard", || mount.logged().contains("SIGTERM"));
    mount.signal(libc::SIGTERM);
    let (code, said) = mount.wait();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("SIGTERM again"), "{said}");
    assert!(said.lines().any(|line| line.contains("ERROR") && line.contains("name=box/f")), "{said}");
    assert!(said.contains("one file could not be stored: box/f"), "{said}");
}
