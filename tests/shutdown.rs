//! SIGTERM while the mount is at work: a clean unmount, no zombie mount point, nothing acknowledged is lost.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use blobcp::devstore::{CopyAction, Devstore, PolicyChange};
use blobcp::store::CopyStatus;

mod common;
use common::*;

const MIB: usize = 1 << 20;

/// `blobcp mount -f` of the container `one/box` of a test's devstore, as a process of its own.
struct Mount {
    process: Child,
    dir: tempfile::TempDir,
}

impl Mount {
    fn new(store: &Devstore) -> Self {
        let dir = tempfile::Builder::new().prefix("blobcp-shutdown-").tempdir().unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_blobcp"))
            .args(["mount", "-f", &format!("{ONE}/{BOX}")])
            .arg(dir.path())
            .env("AZURE_STORAGE_CONNECTION_STRING", store.connection_string(ONE).unwrap())
            .env("HOME", dir.path().parent().unwrap())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mount = Self { process, dir };
        eventually("the mount", || is_mounted(mount.path()));
        mount
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Runs a shell command in the mount; its standard output can be read.
    fn start(&self, command: &str) -> Child {
        let mut shell = Command::new("bash");
        shell.args(["-c", command]).current_dir(self.path()).stdout(Stdio::piped()).stderr(Stdio::null());
        shell.spawn().unwrap()
    }

    /// Asks the process to end, and sees that it does with exit code 0 and leaves no mount.
    fn terminate(&mut self) {
        // SAFETY: kill(2) takes numbers only.
        unsafe { libc::kill(self.process.id() as i32, libc::SIGTERM) };
        eventually("the end of the mount", || self.process.try_wait().unwrap().is_some());
        assert_eq!(self.process.wait().unwrap().code(), Some(0));
        assert!(!is_mounted(self.path()));
        // A zombie would answer ENOTCONN.
        assert_eq!(std::fs::read_dir(self.path()).unwrap().count(), 0);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).stderr(Stdio::null()).status();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_mounted(path: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts.lines().any(|line| line.split(' ').nth(4) == path.to_str())
}

/// Waits for a program that lost its mount. It must not hang, and must not believe that it succeeded.
fn assert_fails(mut program: Child) {
    eventually("the end of the program", || program.try_wait().unwrap().is_some());
    assert_ne!(program.wait().unwrap().code(), Some(0));
}

#[test]
fn during_a_copy() {
    // M9: the service goes on; nothing is aborted, nothing is deleted.
    let world = World::new();
    world.put("a", pattern(4 * MIB));
    let mut mount = Mount::new(&world.store);
    world.store.change_policy(PolicyChange { hold_new_copies: Some(true), ..Default::default() });
    let cp = mount.start("exec cp a b");
    pending(&world, "b");
    let mv = mount.start("exec mv a c");
    pending(&world, "c");
    mount.terminate();
    assert_fails(cp);
    assert_fails(mv);
    assert_eq!(world.stored("a"), pattern(4 * MIB));
    assert_eq!(status(&world, "b"), Some(CopyStatus::Pending));
    steer(&world, CopyAction::Release);
    steer(&world, CopyAction::Release);
    assert_eq!(world.stored("b"), pattern(4 * MIB));
    assert!(world.is_stored("a"));
}

#[test]
fn during_an_upload() {
    let world = World::new();
    let mut mount = Mount::new(&world.store);
    let mut writer = mount.start(
        "exec python3 -c 'import sys, time\n\
         f = open(\"big\", \"wb\", buffering=0)\n\
         for i in range(30): assert f.write(bytes([i]) * 1048576) == 1048576\n\
         print(\"written\", flush=True)\n\
         time.sleep(60)'",
    );
    let mut line = String::new();
    BufReader::new(writer.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "written\n");
    assert!(!world.is_stored("big"));
    mount.terminate();
    // Every write that was answered is in the service.
    let expected: Vec<u8> = (0..30).flat_map(|i| vec![i; MIB]).collect();
    assert_eq!(world.stored("big"), expected);
    writer.kill().unwrap();
    writer.wait().unwrap();
}

#[test]
fn during_a_read() {
    let world = World::new();
    world.put_sparse("big", 1 << 40);
    let mut mount = Mount::new(&world.store);
    let cat = mount.start("exec cat big > /dev/null");
    eventually("some reading", || world.stats().body_bytes_out > 64 * MIB as u64);
    mount.terminate();
    assert_fails(cat);
}

#[test]
fn with_files_open_and_nothing_to_do() {
    let world = World::new();
    world.put("a", "text");
    let mut mount = Mount::new(&world.store);
    let held = std::fs::File::open(mount.file("a")).unwrap();
    mount.terminate();
    assert!(held.metadata().is_err());
}
