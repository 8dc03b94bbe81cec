//! The built program, as a person or mount(8) calls it, against an embedded service in the test's process.
//!
//! Every test has a home of its own, so that nobody's configuration and environment matter, and mounts below it. Whatever happens, its
//! mounts are detached and its processes end when the test does.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use blobcp::devstore::{AccountConfig, Config, CopyRate, Devstore, Fault, PolicyChange, Reset};
use blobcp::ioctl::{self, OrderFlags, ReportFlags};
use blobcp::mount::{table, unmount};
use bytes::Bytes;
use rstest::rstest;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::common::{eventually, look_again, state_directory};

mod configuring;
mod copying;
mod credentials;
mod fstab;
mod mistakes;
mod mounting;
mod mounts;
mod replacing;
mod resuming;
mod screen;
mod secrets;
mod settings;
mod transfers;
mod unmounting;

const BLOBCP: &str = env!("CARGO_BIN_EXE_blobcp");
const ONE: &str = "accountone";
const TWO: &str = "accounttwo";

/// Longest that a command may take. The limits that users are promised are asserted where they are promised.
const PATIENCE: Duration = Duration::from_secs(40);

struct Desk {
    home: TempDir,
    store: Devstore,
    _runtime: Runtime,
}

/// How a command ended.
#[derive(Debug)]
struct Ended {
    status: i32,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let config = Config {
            accounts: [ONE, TWO].map(AccountConfig::named).to_vec(),
            copy_cross_account: CopyRate::BytesPerSecond(4 << 20),
            ..Config::default()
        };
        let store = runtime.block_on(Devstore::start(config)).unwrap();
        store.put_blob(ONE, "box", "hello.txt", Bytes::from_static(b"hello"), "text/plain").unwrap();
        store.put_blob(ONE, "box", "dir/deep.txt", Bytes::from_static(b"deep"), "text/plain").unwrap();
        store.put_sparse(ONE, "box", "big.img", 1 << 30).unwrap();
        store.create_container(ONE, "other").unwrap();
        store.create_container(TWO, "backup").unwrap();
        let home = tempfile::Builder::new().prefix("blobcp-cli-").tempdir().unwrap();
        fs::create_dir(home.path().join("m")).unwrap();
        Self { home, store, _runtime: runtime }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The mount point.
    fn m(&self) -> PathBuf {
        self.path("m")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BLOBCP);
        command.args(args).current_dir(self.home.path()).env_clear();
        command.env("STATE_DIRECTORY", state_directory(self.home.path()));
        command.env("HOME", self.home.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("AZURE_STORAGE_CONNECTION_STRING", self.store.connection_string(ONE).unwrap());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        finish(self.command(args).spawn().unwrap())
    }

    /// `umount m`. What another test starts has the open files of this process until it runs, and with them a mount in
    /// use.
    fn umount(&self) -> Ended {
        let mut ended = None;
        eventually("a mount that nobody else uses", || {
            let run = self.run(&["umount", "m"]);
            let in_use = run.err.contains(": in use;");
            ended = Some(run);
            !in_use
        });
        ended.unwrap()
    }

    /// A configuration file of both accounts.
    fn configure(&self, more: &str) -> String {
        let table = |account| {
            let (endpoint, key) = (self.store.endpoint(account), self.store.account_key(account).unwrap());
            format!("[account.{account}]\nendpoint = '{endpoint}'\nkey = '{key}'\n")
        };
        let path = self.path("config.toml");
        fs::write(&path, format!("{}{}{more}", table(ONE), table(TWO))).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Both accounts mounted in the background.
    fn mount_both(&self) {
        let config = self.configure("");
        let ended = self.run(&["mount", "--config", &config, ONE, TWO, "m"]);
        assert_eq!(ended.status, 0, "{ended:?}");
    }

    fn is_mounted(&self) -> bool {
        table::read().unwrap().at(&self.m().canonicalize().unwrap_or(self.m())).is_some()
    }

    /// Processes of the program that were given something below this home.
    fn processes(&self) -> Vec<i32> {
        let home = self.home.path().to_str().unwrap();
        let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        let ours = |pid: &i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            exe == Path::new(BLOBCP) && String::from_utf8_lossy(&environment).contains(home)
        };
        all.filter(ours).collect()
    }

    fn wait_for_no_process(&self) {
        eventually("the end of all processes", || self.processes().is_empty());
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if self.is_mounted() {
            let _ = unmount::lazily(&self.m());
        }
        for pid in self.processes() {
            send(pid, libc::SIGKILL);
        }
    }
}

fn send(pid: i32, signal: i32) {
    // SAFETY: a system call without pointers.
    unsafe { libc::kill(pid, signal) };
}

fn finish(mut child: Child) -> Ended {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("the command did not end: {:?}", child.wait_with_output());
        }
        look_again();
    }
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let status = output.status.code().unwrap_or_else(|| -output.status.signal().unwrap_or(0));
    Ended { status, out: text(output.stdout), err: text(output.stderr) }
}

/// Starts a mount in the foreground and waits until it works.
fn in_front(desk: &Desk, args: &[&str]) -> Child {
    let mut child = desk.command(&[&["mount", "-f"], args].concat()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("is mounted on"), "{line:?} {:?}", child.try_wait());
    child
}
