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

use blobcp::devstore::{AccountConfig, Config, CopyPace, Devstore};
use blobcp::ioctl;
use blobcp::mount::{table, unmount};
use bytes::Bytes;
use rstest::rstest;
use tempfile::TempDir;
use tokio::runtime::Runtime;

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
            copy_cross_account: CopyPace::BytesPerSecond(4 << 20),
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
        command.env("HOME", self.home.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("AZURE_STORAGE_CONNECTION_STRING", self.store.connection_string(ONE).unwrap());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        finish(self.command(args).spawn().unwrap())
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
        wait_until("no process is left", || self.processes().is_empty());
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
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let status = output.status.code().unwrap_or_else(|| -output.status.signal().unwrap_or(0));
    Ended { status, out: text(output.stdout), err: text(output.stderr) }
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Starts a mount in the foreground and waits until it works.
fn in_front(desk: &Desk, args: &[&str]) -> Child {
    let mut child = desk.command(&[&["mount", "-f"], args].concat()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("is mounted on"), "{line:?} {:?}", child.try_wait());
    child
}

#[test]
fn mount_returns_when_it_works_and_umount_when_everything_is_stored() {
    let desk = Desk::new();
    let ended = desk.run(&["mount", ONE, "m"]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    let log = desk.path(".local/state/blobcp");
    assert!(ended.out.starts_with(&format!(
        "{ONE} is mounted on {}\nThe log is {}",
        desk.m().display(),
        log.display()
    )));
    assert_eq!(fs::read_to_string(desk.m().join("box/hello.txt")).unwrap(), "hello");
    let mount = table::read().unwrap().at(&desk.m()).unwrap().clone();
    assert_eq!((mount.kind.as_str(), mount.source.to_str()), ("fuse.blobcp", Some(ONE)));

    let mut written = fs::File::create(desk.m().join("box/new.txt")).unwrap();
    written.write_all(b"news").unwrap();
    drop(written);
    let ended = desk.run(&["umount", "m"]);
    assert_eq!((ended.status, ended.out.as_str(), ended.err.as_str()), (0, "", ""));
    assert!(!desk.is_mounted());
    assert_eq!(&desk.store.content(ONE, "box", "new.txt").unwrap()[..], b"news");
    assert_eq!(desk.processes(), [0; 0]);
}

#[rstest]
#[case::container(&["accountone/nosuch", "m"], "accountone/nosuch: there is no such container (404 ContainerNotFound, request id ")]
#[case::credential(&["stranger", "m"], "account stranger: no credential: set AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY, or write [account.stranger] in ")]
#[case::no_directory(&[ONE, "nowhere"], "nowhere: No such file or directory")]
#[case::file(&[ONE, "file"], "HOME/file: Not a directory")]
#[case::name(&["No", "m"], "No: account name \"No\" must be 3 to 24 characters from a-z and 0-9 (an emulator's may be longer)")]
#[case::no_config(&["--config", "none.toml", ONE, "m"], "none.toml: No such file or directory (os error 2)")]
#[case::log(&["--log-file", "file/log", ONE, "m"], "HOME/file: File exists")]
fn what_is_wrong_is_one_line(#[case] args: &[&str], #[case] expected: &str) {
    let desk = Desk::new();
    fs::write(desk.path("file"), "").unwrap();
    let ended = desk.run(&[&["mount"], args].concat());
    let expected = format!("blobcp: mount: {}", expected.replace("HOME", desk.home.path().to_str().unwrap()));
    assert!(ended.err.starts_with(&expected), "{ended:?}");
    assert_eq!((ended.status, ended.out.as_str(), ended.err.lines().count()), (1, "", 1), "{ended:?}");
    assert!(!desk.is_mounted());
    desk.wait_for_no_process();
}

#[rstest]
#[case::flag(&["mount", "--wrong", ONE, "m"], "mount: unexpected argument '--wrong' found (see blobcp mount --help)")]
#[case::value(&["mount", "--uid", "me", ONE, "m"], "mount: invalid value 'me' for '--uid <UID>': invalid digit found in string (see blobcp mount --help)")]
#[case::option(&["mount", "-o", "rw,attrttl=1", ONE, "m"], "mount: -o attrttl: there is no such option")]
#[case::level(&["mount", "--log", "loud", ONE, "m"], "mount: --log \"loud\": must be error, warn, info, debug or trace")]
#[case::source(&["mount", "m"], "mount: SOURCE or MOUNTPOINT is missing (see blobcp mount --help)")]
#[case::command(&["mont", ONE, "m"], "unrecognized subcommand 'mont' (see blobcp --help)")]
#[case::cp(&["cp", "-r", "a"], "cp: SRC or DST is missing (see blobcp cp --help)")]
#[case::jobs(&["cp", "-j", "0", "a", "b"], "cp: invalid value '0' for '--jobs <N>': 0 is not in 1..=256 (see blobcp cp --help)")]
#[case::paths(&["status"], "status: the following required arguments were not provided: <PATH>... (see blobcp status --help)")]
fn mistakes_in_the_command_line_are_one_line(#[case] args: &[&str], #[case] expected: &str) {
    let ended = Desk::new().run(args);
    assert_eq!((ended.status, ended.out.as_str(), ended.err), (2, "", format!("blobcp: {expected}\n")));
}

#[test]
fn a_wrong_key_and_an_unknown_account_are_told_apart() {
    let desk = Desk::new();
    for (account, expected) in [
        (ONE, "the service does not accept the key (403 AuthenticationFailed, request id "),
        ("nobody", "there is no such account at "),
    ] {
        let url = desk.store.endpoint(account);
        let mut command = desk.command(&["mount", &url, "m"]);
        command.env_remove("AZURE_STORAGE_CONNECTION_STRING").env("AZURE_STORAGE_KEY", "a2V5");
        let ended = finish(command.spawn().unwrap());
        assert_eq!((ended.status, ended.err.lines().count()), (1, 1), "{ended:?}");
        assert!(ended.err.starts_with(&format!("blobcp: mount: {url}: {expected}")), "{ended:?}");
        assert!(!desk.is_mounted());
    }
}

#[test]
fn a_host_that_refuses_or_never_answers_is_said_within_fifteen_seconds() {
    let desk = Desk::new();
    // Accepts connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent_url = format!("http://{}/someone", silent.local_addr().unwrap());
    let closed_url = format!("http://{closed}/someone");
    for (url, expected) in [
        (&silent_url, format!("{silent_url} did not answer within 12 s")),
        (&closed_url, format!("cannot reach {closed_url}: Connection refused")),
    ] {
        let mut command = desk.command(&["mount", url, "m"]);
        command.env_remove("AZURE_STORAGE_CONNECTION_STRING").env("AZURE_STORAGE_KEY", "a2V5");
        let began = Instant::now();
        let ended = finish(command.spawn().unwrap());
        assert!(began.elapsed() < Duration::from_secs(15));
        assert_eq!((ended.status, ended.err), (1, format!("blobcp: mount: {url}: {expected}\n")));
        assert!(!desk.is_mounted());
    }
}

#[test]
fn a_mount_point_in_use_is_not_mounted_over() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["mount", ONE, "m"]).status, 0);
    let ended = desk.run(&["mount", ONE, "m"]);
    assert_eq!(
        (ended.status, ended.err),
        (1, format!("blobcp: mount: {}: {ONE} is mounted there already\n", desk.m().display()))
    );
    assert_eq!(desk.run(&["umount", "m"]).status, 0);
}

#[test]
fn a_directory_with_files_is_mounted_over_with_a_warning() {
    let desk = Desk::new();
    fs::write(desk.m().join("hidden"), "").unwrap();
    let ended = desk.run(&["mount", ONE, "m"]);
    let warning =
        format!("blobcp: mount: warning: {} is not empty; its files are hidden meanwhile\n", desk.m().display());
    assert_eq!((ended.status, ended.err), (0, warning));
    assert_eq!(desk.run(&["umount", "m"]).status, 0);
    assert!(desk.m().join("hidden").exists());
}

#[rstest]
#[case(libc::SIGTERM)]
#[case(libc::SIGINT)]
#[case(libc::SIGHUP)]
fn a_signal_stores_what_is_open_and_unmounts(#[case] signal: i32) {
    let desk = Desk::new();
    let child = in_front(&desk, &[ONE, "m"]);
    let mut open = fs::File::create(desk.m().join("box/open.txt")).unwrap();
    open.write_all(b"not closed").unwrap();
    let began = Instant::now();
    send(child.id() as i32, signal);
    let ended = finish(child);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(&desk.store.content(ONE, "box", "open.txt").unwrap()[..], b"not closed");
    assert!(!desk.is_mounted());
    assert!(fs::read_dir(desk.m()).unwrap().next().is_none(), "the directory below is itself again");
}

#[test]
fn a_second_signal_ends_at_once_and_leaves_no_mount() {
    let desk = Desk::new();
    let child = in_front(&desk, &[ONE, "m"]);
    let pid = child.id() as i32;
    let _open = fs::File::open(desk.m().join("box/hello.txt")).unwrap();
    send(pid, libc::SIGTERM);
    wait_until("it is detached", || !desk.is_mounted());
    let began = Instant::now();
    send(pid, libc::SIGTERM);
    finish(child);
    assert!(began.elapsed() < Duration::from_secs(3));
    assert!(!desk.is_mounted());
}

#[test]
fn an_unmount_from_outside_ends_the_process() {
    let desk = Desk::new();
    let child = in_front(&desk, &[ONE, "m"]);
    unmount::politely(&desk.m()).unwrap();
    let ended = finish(child);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""), "{ended:?}");
    assert!(!desk.is_mounted());
}

#[test]
fn a_busy_mount_names_who_uses_it_and_can_be_detached() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["mount", ONE, "m"]).status, 0);
    let open = fs::File::open(desk.m().join("box/hello.txt")).unwrap();
    let ended = desk.run(&["umount", "m"]);
    let (m, pid) = (desk.m(), std::process::id());
    assert!(ended.err.starts_with(&format!("blobcp: umount: {}: in use by ", m.display())), "{ended:?}");
    assert!(ended.err.contains(&format!(" ({pid})")) && ended.err.contains("; --lazy detaches it now"), "{ended:?}");
    assert_eq!((ended.status, ended.err.lines().count()), (1, 1));
    assert!(desk.is_mounted());

    assert_eq!(desk.run(&["umount", "--lazy", "m"]).status, 0);
    assert!(!desk.is_mounted());
    assert_eq!(std::io::read_to_string(&open).unwrap(), "hello", "what is open can still be read");
    drop(open);
    desk.wait_for_no_process();
}

#[test]
fn umount_of_something_else_is_refused() {
    let desk = Desk::new();
    let ended = desk.run(&["umount", "m"]);
    assert_eq!((ended.status, ended.err.as_str()), (1, "blobcp: umount: m: not a mount point of blobcp\n"));
    let ended = desk.run(&["umount", "nowhere"]);
    assert_eq!((ended.status, ended.err.as_str()), (1, "blobcp: umount: nowhere: No such file or directory\n"));
}

#[test]
fn what_a_killed_process_leaves_can_be_unmounted_and_mounted_over() {
    let desk = Desk::new();
    for command in ["umount", "mount"] {
        assert_eq!(desk.run(&["mount", ONE, "m"]).status, 0);
        for pid in desk.processes() {
            send(pid, libc::SIGKILL);
        }
        wait_until("the mount is dead", || {
            fs::metadata(desk.m()).is_err_and(|error| error.raw_os_error() == Some(libc::ENOTCONN))
        });
        if command == "umount" {
            assert_eq!(desk.run(&["umount", "m"]).status, 0);
            assert!(!desk.is_mounted());
        } else {
            let ended = desk.run(&["mount", ONE, "m"]);
            assert_eq!(ended.status, 0, "{ended:?}");
            assert!(ended.err.contains("unmounted what a killed process had left there"), "{ended:?}");
            assert!(desk.m().join("box/hello.txt").exists());
            assert_eq!(desk.run(&["umount", "m"]).status, 0);
        }
    }
}

#[test]
fn mount_8_and_fstab_can_call_it() {
    let desk = Desk::new();
    let helper = desk.path("mount.fuse.blobcp");
    symlink(BLOBCP, &helper).unwrap();
    let source = format!("{ONE}/box");
    let usual = "rw,noauto,user,noexec,nosuid,nodev,_netdev,x-systemd.automount,attr_ttl=5s,file_mode=600,uid=12";
    let as_helper: &[&str] = &[&source, "m", "-o", usual, "-t", "fuse.blobcp"];
    let through_libfuse: &[&str] = &[&source, "m", "-o", usual];
    for (program, args) in [(helper.to_str().unwrap(), as_helper), (BLOBCP, through_libfuse)] {
        let mut command = Command::new(program);
        command.args(args).current_dir(desk.home.path()).env_clear().env("HOME", desk.home.path());
        command.env("AZURE_STORAGE_CONNECTION_STRING", desk.store.connection_string(ONE).unwrap());
        let ended = finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        assert_eq!(ended.status, 0, "{ended:?}");
        let metadata = fs::metadata(desk.m().join("hello.txt")).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (0o600, 12));
        let info = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let line = info.lines().find(|line| line.contains(desk.m().to_str().unwrap())).unwrap();
        assert!(line.contains("noexec") && line.contains("nosuid") && line.contains("nodev"), "{line}");
        assert_eq!(desk.run(&["umount", "m"]).status, 0);
    }
}

#[test]
fn flags_come_before_options_and_these_before_the_file() {
    let desk = Desk::new();
    let config = desk.configure("[mount]\nuid = 1\ngid = 2\nfile-mode = '640'\nread-only = true\n");
    let args =
        ["mount", "--config", &config, "--uid", "3", "-o", "uid=4,gid=5", "--read-only=no", &format!("{ONE}/box"), "m"];
    let ended = desk.run(&args);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    let metadata = fs::metadata(desk.m().join("hello.txt")).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (3, 5, 0o640));
    fs::write(desk.m().join("written"), "x").unwrap();
    assert_eq!(desk.run(&["umount", "m"]).status, 0);

    assert_eq!(desk.run(&["mount", "--config", &config, ONE, "m"]).status, 0);
    let refused = fs::write(desk.m().join("box/written"), "x").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EROFS));
    assert_eq!(desk.run(&["umount", "m"]).status, 0);
}

#[test]
fn a_file_of_secrets_that_others_can_read_is_warned_about() {
    let desk = Desk::new();
    let config = desk.configure("");
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();
    let ended = desk.run(&["mount", "--config", &config, ONE, "m"]);
    assert_eq!(
        (ended.status, ended.err),
        (0, format!("blobcp: mount: warning: {config} holds secrets and others can read it\n"))
    );
}

#[test]
fn a_misspelt_key_is_named_with_its_line() {
    let desk = Desk::new();
    let path = desk.path(".config/blobcp/config.toml");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "[mount]\nuid = 1\nattr_ttl = '1s'\n").unwrap();
    let ended = desk.run(&["mount", ONE, "m"]);
    assert!(
        ended
            .err
            .starts_with(&format!("blobcp: mount: {}:3: unknown field `attr_ttl`, expected one of ", path.display()))
    );
    assert_eq!((ended.status, ended.err.lines().count()), (1, 1));
}

#[test]
fn several_sources_are_directories_and_one_is_the_root() {
    let desk = Desk::new();
    let names = |path: PathBuf| {
        let mut names: Vec<String> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let config = desk.configure("");
    assert_eq!(desk.run(&["mount", "--config", &config, &format!("{ONE}/box"), TWO, "m"]).status, 0);
    assert_eq!(names(desk.m()), [ONE, TWO]);
    assert_eq!(names(desk.m().join(ONE)), ["box"], "only the container that was named");
    assert_eq!(desk.run(&["umount", "m"]).status, 0);
    assert_eq!(desk.run(&["mount", &format!("{ONE}/box/dir"), "m"]).status, 0);
    assert_eq!(names(desk.m()), ["deep.txt"]);
    assert_eq!(desk.run(&["umount", "m"]).status, 0);
}

#[test]
fn dev_is_a_service_with_two_accounts_and_something_to_copy() {
    let desk = Desk::new();
    let ended = desk.run(&["mount", "--dev", "m"]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    assert!(ended.out.contains("AccountName=devstoreaccount1;") && ended.out.contains("AccountName=devstoreaccount2;"));
    let big = desk.m().join("devstoreaccount1/images/disk.img");
    assert_eq!(fs::metadata(&big).unwrap().len(), 6 << 30);
    let copied = Command::new("cp").arg(&big).arg(desk.m().join("devstoreaccount1/images/copy.img")).status().unwrap();
    assert!(copied.success());
    assert_eq!(fs::metadata(desk.m().join("devstoreaccount1/images/copy.img")).unwrap().len(), 6 << 30);
    assert_eq!(desk.run(&["umount", "m"]).status, 0);
    desk.wait_for_no_process();
}

#[test]
fn cp_shows_status_and_can_be_aborted_without_credentials() {
    let desk = Desk::new();
    desk.mount_both();
    let (source, target) = (format!("m/{ONE}/box/big.img"), format!("m/{TWO}/backup/big.img"));
    let none = desk.run(&["status", &source]);
    assert_eq!((none.status, none.out), (0, format!("{source}: no copy was made onto this file\n")));

    let ended = desk.run(&["cp", "--no-wait", &source, &format!("m/{TWO}/backup")]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    assert!(ended.out.starts_with(&format!("{target}: pending, copy id ")), "{ended:?}");
    let id = ended.out.trim().rsplit(' ').next().unwrap().to_owned();

    let json = desk.run(&["status", "--json", "-r", &format!("m/{TWO}")]).out;
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&value["status"], &value["id"]), (&"pending".into(), &id.clone().into()));
    assert_eq!(value["total_bytes"], 1 << 30);
    let table = desk.run(&["status", &source, &target]).out;
    assert!(table.starts_with("PATH ") && table.lines().nth(2).unwrap().contains("pending"), "{table}");

    let ended = desk.run(&["abort", "-r", &format!("m/{TWO}")]);
    assert_eq!((ended.status, ended.out), (0, format!("{target}: aborted\n")));
    assert!(desk.run(&["status", &target]).out.contains("aborted"));
    assert_eq!(desk.store.copies()[0].status, "aborted");
    let ended = desk.run(&["abort", &target]);
    assert_eq!((ended.status, ended.err), (1, format!("blobcp: abort: {target}: no copy onto it is pending\n")));
}

#[test]
fn cp_waits_for_the_end_and_watch_sees_it() {
    let desk = Desk::new();
    desk.store.put_sparse(ONE, "box", "some.img", 4 << 20).unwrap();
    desk.mount_both();
    let target = format!("m/{TWO}/backup/named.img");
    let child = desk.command(&["cp", &format!("m/{ONE}/box/some.img"), &target]).spawn().unwrap();
    wait_until("the copy is there", || Path::new(&desk.path(&target)).exists());
    let watched = desk.run(&["status", "--watch", &target]);
    assert_eq!(watched.status, 0, "{watched:?}");
    let last = watched.out.lines().last().unwrap();
    assert!(watched.out.starts_with("PATH") && last.contains("success  4.00 MiB"), "{watched:?}");
    let ended = finish(child);
    assert_eq!((ended.status, ended.out.as_str(), ended.err.as_str()), (0, "", ""));
    assert_eq!(desk.store.content(TWO, "backup", "named.img").unwrap().len(), 4 << 20);
    assert_eq!(desk.store.stats().requests("GetBlob"), 0, "nothing was downloaded");
}

#[test]
fn interrupting_cp_aborts_the_copy() {
    let desk = Desk::new();
    desk.mount_both();
    let target = format!("m/{TWO}/backup/big.img");
    let child = desk.command(&["cp", &format!("m/{ONE}/box/big.img"), &target]).spawn().unwrap();
    wait_until("the copy has begun", || !desk.store.copies().is_empty() && desk.path(&target).exists());
    // cp listens for signals before it orders the copy.
    send(child.id() as i32, libc::SIGINT);
    let ended = finish(child);
    assert_eq!(
        (ended.status, ended.err),
        (130, format!("blobcp: cp: {target}: aborted; an empty file is left there\n"))
    );
    assert_eq!(desk.store.copies()[0].status, "aborted");
}

#[test]
fn cp_takes_urls_and_refuses_what_it_cannot_do() {
    let desk = Desk::new();
    desk.mount_both();
    let inside = format!("m/{TWO}/backup/");
    let url = format!("{}/box/hello.txt", desk.store.endpoint(ONE));
    let ended = desk.run(&["cp", &url, &inside]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    assert_eq!(fs::read_to_string(desk.path(&inside).join("hello.txt")).unwrap(), "hello");
    let hello = format!("m/{ONE}/box/hello.txt");
    let target = format!("{inside}hello.txt");
    for (args, expected) in [
        (vec!["-n", &url, &inside], format!("{inside}hello.txt: File exists")),
        (vec!["/etc/hostname", &inside], "/etc/hostname: not on a mount of blobcp".into()),
        (vec![&hello, "."], ".: not on a mount of blobcp".into()),
        (vec!["nosuch", &inside], "nosuch: No such file or directory".into()),
        (vec!["--meta", "a-b=c", &target, &inside], format!("{target}: Invalid argument")),
        (vec![&hello, "m/new/"], "m/new/: No such file or directory".into()),
        (vec![&inside, "m"], format!("{inside}: is a directory; -r copies it with all that is in it")),
    ] {
        let ended = desk.run(&[vec!["cp"], args].concat());
        assert_eq!((ended.status, ended.err), (1, format!("blobcp: cp: {expected}\n")));
    }
}

#[test]
fn devstore_prints_how_to_reach_it_and_ends_on_a_signal() {
    let desk = Desk::new();
    let args = ["devstore", "--listen", "127.0.0.1:0", "--account", "first", "--account", "second:a2V5"];
    let mut child = desk.command(&args).spawn().unwrap();
    let lines: Vec<String> = {
        let reader = BufReader::new(child.stdout.as_mut().unwrap());
        reader.lines().map(Result::unwrap).take_while(|line| !line.starts_with("Ready")).collect()
    };
    let string = lines.iter().find(|line| line.contains("AccountKey=a2V5;")).unwrap();
    let string = string.split_whitespace().last().unwrap();
    let mut mount = desk.command(&["mount", "second", "m"]);
    mount.env("AZURE_STORAGE_CONNECTION_STRING", string);
    assert_eq!(finish(mount.spawn().unwrap()).status, 0);
    assert_eq!(desk.run(&["umount", "m"]).status, 0);
    send(child.id() as i32, libc::SIGTERM);
    assert_eq!(finish(child).status, 0);
}

#[rstest]
#[case(&["--help"])]
#[case(&["mount", "--help"])]
#[case(&["umount", "--help"])]
#[case(&["cp", "--help"])]
#[case(&["status", "--help"])]
#[case(&["wait", "--help"])]
#[case(&["abort", "--help"])]
#[case(&["snapshot", "--help"])]
#[case(&["lease", "--help"])]
#[case(&["lease", "break", "--help"])]
#[case(&["devstore", "--help"])]
fn help_fits_a_terminal(#[case] args: &[&str]) {
    let ended = finish(Desk::new().command(args).env("COLUMNS", "80").spawn().unwrap());
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    for line in ended.out.lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
}

#[test]
fn the_c_header_says_what_the_code_says() {
    let dir = tempfile::tempdir().unwrap();
    let source = r#"
        #include <stdio.h>
        #include <stddef.h>
        #include "blobcp.h"
        int main(void) {
            printf("%zu %zu %zu\n", sizeof(struct blobcp_copy), sizeof(struct blobcp_status), sizeof(struct blobcp_abort));
            printf("%zu %zu %zu %zu\n", sizeof(struct blobcp_tree), sizeof(struct blobcp_news), sizeof(struct blobcp_copies), sizeof(struct blobcp_entry));
            printf("%lu %lu %lu\n", (unsigned long)BLOBCP_IOC_COPY, (unsigned long)BLOBCP_IOC_STATUS, (unsigned long)BLOBCP_IOC_ABORT);
            printf("%lu %lu %lu\n", (unsigned long)BLOBCP_IOC_TREE, (unsigned long)BLOBCP_IOC_NEWS, (unsigned long)BLOBCP_IOC_COPIES);
            printf("%zu %zu %zu\n", offsetof(struct blobcp_news, records), offsetof(struct blobcp_copies, since), offsetof(struct blobcp_entry, modified));
            printf("%u %u %u %u %u %u\n", BLOBCP_RECURSIVE, BLOBCP_DRY_RUN, BLOBCP_AGAIN, BLOBCP_UNFINISHED, BLOBCP_DONE, BLOBCP_LISTED);
            printf("%u %u %u %u\n", BLOBCP_EXISTS, BLOBCP_SAME, BLOBCP_DUE, BLOBCP_ACCEPTED);
            printf("%lu %zu\n", (unsigned long)BLOBCP_IOC_SNAPSHOT, sizeof(struct blobcp_snapshot));
            printf("%zu %zu\n", offsetof(struct blobcp_copy, id), offsetof(struct blobcp_status, description));
            printf("%u %u %u %u\n", BLOBCP_NO_REPLACE, BLOBCP_NO_WAIT, BLOBCP_SNAPSHOT_FIRST, BLOBCP_LEASE_SOURCE);
            printf("%u %u %u %u %u\n", BLOBCP_LEASE_EARLY, BLOBCP_NO_LEASE, BLOBCP_LEASE_ID, BLOBCP_SHOW, BLOBCP_BREAK);
            printf("%lu %zu\n", (unsigned long)BLOBCP_IOC_LEASE, offsetof(struct blobcp_lease, holder));
            printf("%u %u %u %u\n", BLOBCP_PENDING, BLOBCP_SUCCESS, BLOBCP_ABORTED, BLOBCP_FAILED);
        }"#;
    let (file, program) = (dir.path().join("a.c"), dir.path().join("a.out"));
    fs::write(&file, source).unwrap();
    let docs = concat!("-I", env!("CARGO_MANIFEST_DIR"), "/docs");
    let compiled = Command::new("cc").args(["-Wall", "-Werror", docs, "-o"]).arg(&program).arg(&file).status().unwrap();
    assert!(compiled.success());
    let output = Command::new(&program).output().unwrap();
    let expected = [
        format!("{} {} {}", size_of::<ioctl::Copy>(), size_of::<ioctl::Status>(), size_of::<ioctl::Abort>()),
        format!(
            "{} {} {} {}",
            size_of::<ioctl::Tree>(),
            size_of::<ioctl::News>(),
            size_of::<ioctl::Copies>(),
            size_of::<ioctl::Entry>()
        ),
        format!("{} {} {}", ioctl::COPY, ioctl::STATUS, ioctl::ABORT),
        format!("{} {} {}", ioctl::TREE, ioctl::NEWS, ioctl::COPIES),
        format!(
            "{} {} {}",
            std::mem::offset_of!(ioctl::News, records),
            std::mem::offset_of!(ioctl::Copies, since),
            std::mem::offset_of!(ioctl::Entry, modified)
        ),
        format!(
            "{} {} {} {} {} {}",
            ioctl::RECURSIVE,
            ioctl::DRY_RUN,
            ioctl::AGAIN,
            ioctl::UNFINISHED,
            ioctl::DONE,
            ioctl::LISTED
        ),
        format!("{} {} {} {}", ioctl::EXISTS, ioctl::SAME, ioctl::DUE, ioctl::ACCEPTED),
        format!("{} {}", ioctl::SNAPSHOT, size_of::<ioctl::Snapshot>()),
        format!("{} {}", std::mem::offset_of!(ioctl::Copy, id), std::mem::offset_of!(ioctl::Status, description)),
        format!("{} {} {} {}", ioctl::NO_REPLACE, ioctl::NO_WAIT, ioctl::SNAPSHOT_FIRST, ioctl::LEASE_SOURCE),
        format!("{} {} {} {} {}", ioctl::LEASE_EARLY, ioctl::NO_LEASE, ioctl::LEASE_ID, ioctl::SHOW, ioctl::BREAK),
        format!("{} {}", ioctl::LEASE, std::mem::offset_of!(ioctl::Lease, holder)),
        format!("{} {} {} {}", ioctl::PENDING, ioctl::SUCCESS, ioctl::ABORTED, ioctl::FAILED),
    ];
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), expected.join("\n"));
}

#[test]
fn the_python_example_copies_asks_aborts_and_takes_snapshots() {
    let desk = Desk::new();
    desk.store.put_sparse(ONE, "box", "some.img", 2 << 20).unwrap();
    desk.mount_both();
    let python = |args: &[&str]| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ioctl.py");
        let mut command = Command::new("python3");
        command.arg(script).args(args).current_dir(desk.home.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().unwrap())
    };
    let ended = python(&["copy", &format!("/{ONE}/box/some.img"), &format!("m/{TWO}/backup"), "copy.img"]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    assert!(ended.out.contains(" of 2097152 bytes\n") && ended.out.ends_with(" success\n"), "{ended:?}");
    let ended = python(&["status", &format!("m/{TWO}/backup/copy.img")]);
    assert!(ended.out.starts_with("success 2097152 2097152 "), "{ended:?}");
    let ended = python(&["wait", &format!("m/{TWO}/backup/copy.img")]);
    assert!(ended.out.starts_with("success 2097152 2097152 "), "{ended:?}");
    let ended = python(&["tree", &format!("/{ONE}/box/dir"), &format!("m/{ONE}/other"), "tree"]);
    assert_eq!((ended.status, ended.out.as_str()), (0, "success tree/deep.txt 4 \n"), "{ended:?}");
    let ended = python(&["copies", &format!("m/{ONE}/other")]);
    assert_eq!((ended.status, ended.out.as_str()), (0, "success tree/deep.txt 4/4\n"), "{ended:?}");
    let ended = python(&["abort", &format!("m/{TWO}/backup/copy.img")]);
    assert!(ended.status != 0 && ended.err.contains("No data available"), "{ended:?}");
    let ended = python(&["lease", "show", &format!("m/{ONE}/box/some.img")]);
    assert_eq!((ended.status, ended.out.trim()), (0, "available"), "{ended:?}");
    let ended = python(&["snapshot", &format!("m/{ONE}/box/some.img")]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    let taken = desk.path(ended.out.trim());
    assert!(taken.starts_with(desk.m().join(ONE).join("box/.snapshots/some.img")), "{ended:?}");
    assert_eq!(fs::metadata(taken).unwrap().len(), 2 << 20);
}

#[test]
fn snapshot_prints_where_the_snapshots_are() {
    let desk = Desk::new();
    desk.store.put_blob(ONE, "box", "a b", "first".into(), "text/plain").unwrap();
    desk.store.put_blob(ONE, "box", "c", "other".into(), "text/plain").unwrap();
    desk.mount_both();
    let here = desk.m().join(ONE).join("box");
    fs::create_dir(here.join("d")).unwrap();
    std::os::unix::fs::symlink("../c", here.join("d/link")).unwrap();
    let run = |args: &[&str]| finish(desk.command(args).current_dir(&here).spawn().unwrap());
    let ended = run(&["snapshot", "a b", "d/link"]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    let [first, second] = ended.out.lines().collect::<Vec<_>>()[..] else { panic!("{ended:?}") };
    assert!(first.starts_with(".snapshots/a b/20"), "{first}");
    // A symlink is followed, so the snapshot stands beside what it leads to.
    let of_c = here.canonicalize().unwrap().join(".snapshots/c/");
    assert!(second.starts_with(of_c.to_str().unwrap()), "{second}");
    desk.store.put_blob(ONE, "box", "a b", "second".into(), "text/plain").unwrap();
    assert_eq!(fs::read_to_string(here.join(first)).unwrap(), "first");
    assert_eq!(fs::read_to_string(second).unwrap(), "other");
    for (path, why) in [("d", "Is a directory"), (first, "Read-only file system"), ("x", "No such file")] {
        let ended = run(&["snapshot", path]);
        assert!(ended.status == 1 && ended.err.contains(why), "{path}: {ended:?}");
    }
}
