//! A devstore with two accounts, both mounted, and ordinary programs run on the mount.
//!
//! Everything is in the test's own process, so that a test reads the service's counters and steers its copies directly; what acts on the
//! mount are real programs in processes of their own. A program that hangs is killed, and the mount is detached whatever happens.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use blobcp::devstore::{self, AccountConfig, Choice, Devstore, PolicyChange, Stats};
use blobcp::fs::{self, Account, CopyMethod, Defaults, Fs, Identities, LeaseSource, Permissions, Place};
use blobcp::fuse::{self, make_first_copy};
use blobcp::store::{self, Client, Http, Secret};
use bytes::Bytes;
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub mod answers;
pub mod azurite;
pub mod entra;
pub mod flip;
mod gate;
pub use gate::{Gated, Stopped, python};
mod held;
pub use held::Held;
pub mod liar;
mod log;
pub use log::{assert_logged, logged, logged_with, times_logged};
pub mod outage;
mod process;
pub use process::{MountProcess, state_directory};
pub mod raw;
pub mod web;

/// Longest that a program may take: one that reads 100 000 names needs a while in a build that is not optimized, on a machine with much
/// else to do.
const PATIENCE: Duration = Duration::from_secs(240);

pub const ONE: &str = "one";
pub const TWO: &str = "two";
/// The container of each account that is there from the start.
pub const BOX: &str = "box";

/// As long as a mount believes what it was told unless it is told otherwise; for tests of what is seen when that time
/// is up.
pub const USUAL_TTL: Duration = Duration::from_secs(1);

/// What a test wants different.
pub struct Setup {
    pub devstore: devstore::Config,
    pub attr_ttl: Duration,
    pub copy_wait: bool,
    pub copy_method: CopyMethod,
    pub lease_source: LeaseSource,
    pub keep_on_abort: bool,
    pub permissions: Permissions,
    /// Mode of directories that have none.
    pub dir_mode: u32,
    pub delete_snapshots: bool,
    pub content_md5: bool,
    /// What closes and mknod leave to be stored later is, after that time.
    pub store_within: Duration,
    pub recognise_copies: bool,
    pub memory_limit: u64,
    /// What the root of the mount is; a directory for each account unless said otherwise.
    pub root: Place,
    pub http: store::Options,
    /// Other users are let in, as modes allow.
    pub allow_other: bool,
    pub read_only: bool,
    /// Owners of the service are shown, as these users and groups.
    pub shown: Option<Identities>,
    /// Version of the service's interface, of accounts that are asked with their keys.
    pub api_version: Option<&'static str>,
    /// These accounts are asked with an identity and not with their keys.
    pub identity: Option<(store::Identity, &'static [&'static str])>,
}

impl Default for Setup {
    fn default() -> Self {
        let accounts = [ONE, TWO].map(AccountConfig::named).to_vec();
        Self {
            devstore: devstore::Config { accounts, answers: answers::of_this_run(), ..Default::default() },
            // For long, so that neither what is asked nor how often depends on how busy this machine is.
            attr_ttl: Duration::from_secs(600),
            copy_wait: true,
            copy_method: CopyMethod::default(),
            lease_source: LeaseSource::default(),
            keep_on_abort: false,
            permissions: Permissions::Keep,
            dir_mode: 0o755,
            delete_snapshots: false,
            content_md5: false,
            store_within: fs::STORE_WITHIN,
            recognise_copies: true,
            memory_limit: 512 << 20,
            root: Place::Accounts,
            // Faults are retried at once, not after the seconds that a real service needs. What stands still at a gate is not given up.
            http: store::Options {
                tries: 3,
                first_delay: Duration::from_millis(20),
                timeout: Duration::from_secs(240),
                ..Default::default()
            },
            allow_other: false,
            read_only: false,
            shown: None,
            api_version: None,
            identity: None,
        }
    }
}

impl Setup {
    /// The filesystem that this asks for, with a directory per account.
    pub fn config(&self, accounts: Vec<Account>) -> fs::Config {
        // SAFETY: both only read the process's credentials.
        let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
        fs::Config {
            accounts,
            root: self.root.clone(),
            attr_ttl: self.attr_ttl,
            permissions: self.permissions,
            defaults: Defaults {
                file_mode: 0o644,
                dir_mode: self.dir_mode,
                uid,
                gid,
                shown: self.shown.clone().map(Arc::new),
            },
            copy_wait: self.copy_wait,
            copy_method: self.copy_method,
            lease_source: self.lease_source,
            keep_on_abort: self.keep_on_abort,
            delete_snapshots: self.delete_snapshots,
            content_md5: self.content_md5,
            store_within: self.store_within,
            recognise_copies: self.recognise_copies,
            memory_limit: self.memory_limit,
        }
    }
}

/// A mount of both accounts: `one/box/…` and `two/box/…` below its root.
pub struct World {
    pub store: Devstore,
    mount: Mount,
    /// For clients of the test's own: to make one reads all certificates of this machine.
    http: Http,
    runtime: Runtime,
}

impl World {
    pub fn new() -> Self {
        Self::with(Setup::default())
    }

    /// With a service that answers so what nobody knows.
    pub fn answering(choices: impl IntoIterator<Item = Choice>) -> Self {
        let mut setup = Setup::default();
        setup.devstore.answers = choices.into_iter().collect();
        Self::with(setup)
    }

    pub fn with(setup: Setup) -> Self {
        let runtime = runtime();
        let store = runtime.block_on(Devstore::start(setup.devstore.clone())).unwrap();
        for account in [ONE, TWO] {
            store.create_container(account, BOX).unwrap();
        }
        let http = Http::new(setup.http.clone());
        let tokens = setup.identity.clone().map(|(identity, of)| (store::Tokens::new(identity, http.clone()), of));
        let accounts = [ONE, TWO].map(|name| {
            let client = match &tokens {
                Some((tokens, of)) if of.contains(&name) => with_tokens(&store, name, tokens, &http),
                _ => client_of(&store, name, &http, setup.api_version),
            };
            Account { client, only: None }
        });
        let acl = if setup.allow_other { fuser::SessionACL::All } else { fuser::SessionACL::Owner };
        let mount = Mount::with(setup.config(accounts.into()), &runtime, acl, setup.read_only);
        let world = Self { store, mount, http: Http::new(store::Options::default()), runtime };
        world.store.reset_stats();
        world
    }

    pub fn root(&self) -> &Path {
        self.mount.root()
    }

    /// `one/box`, where programs run.
    pub fn here(&self) -> PathBuf {
        self.root().join(ONE).join(BOX)
    }

    /// What the world itself mounts.
    pub fn mount(&self) -> &Mount {
        &self.mount
    }

    /// Another mount of both accounts, as on another machine.
    pub fn mounted_elsewhere(&self, setup: &Setup) -> Mount {
        let http = Http::new(setup.http.clone());
        let accounts = [ONE, TWO].map(|name| Account { client: client(&self.store, name, &http), only: None });
        Mount::new(setup.config(accounts.into()), &self.runtime)
    }

    /// Another mount of both accounts, which reaches them at that port of this machine.
    pub fn mounted_through(&self, port: u16, setup: &Setup) -> Mount {
        let http = Http::new(setup.http.clone());
        let accounts = [ONE, TWO].map(|name| {
            let endpoint = self.store.endpoint(name);
            let (_, path) = endpoint.trim_start_matches("http://").split_once('/').unwrap();
            let key = Some(Secret::new(self.store.account_key(name).unwrap()));
            let endpoint = Some(format!("http://127.0.0.1:{port}/{path}"));
            let account = store::AccountConfig { endpoint, key, ..Default::default() }.resolve().unwrap();
            Account { client: Client::new(account, http.clone()), only: None }
        });
        Mount::new(setup.config(accounts.into()), &self.runtime)
    }

    /// Another mount of both accounts, to which the second one seems to be on another machine.
    pub fn mounted_beyond(&self) -> Mount {
        let setup = Setup::default();
        let http = Http::new(setup.http.clone());
        let endpoint = self.store.endpoint(TWO);
        assert!(endpoint.contains("//127.0.0.1:"), "{endpoint}");
        let key = Some(Secret::new(self.store.account_key(TWO).unwrap()));
        // This machine, by a name that does not say so.
        let endpoint = Some(endpoint.replace("//127.0.0.1:", "//0.0.0.0:"));
        let beyond = store::AccountConfig { endpoint, key, ..Default::default() }.resolve().unwrap();
        let clients = [client(&self.store, ONE, &http), Client::new(beyond, http.clone())];
        let accounts = clients.map(|client| Account { client, only: None });
        Mount::new(setup.config(accounts.into()), &self.runtime)
    }

    /// `two/box`.
    pub fn there(&self) -> PathBuf {
        self.root().join(TWO).join(BOX)
    }

    /// Puts a blob into `one/box`, behind the mount's back.
    pub fn put(&self, name: &str, content: impl Into<Bytes>) {
        self.store.put_blob(ONE, BOX, name, content.into(), "text/plain").unwrap();
    }

    pub fn put_sparse(&self, name: &str, size: u64) {
        self.store.put_sparse(ONE, BOX, name, size).unwrap();
    }

    /// A blob's content in the service.
    pub fn stored(&self, name: &str) -> Bytes {
        self.store.content(ONE, BOX, name).unwrap()
    }

    pub fn is_stored(&self, name: &str) -> bool {
        self.properties(ONE, name).is_some()
    }

    /// What the service says of a blob in the container `box`, by a client of its own.
    pub fn properties(&self, account: &str, name: &str) -> Option<store::BlobProperties> {
        let client = self.client(account);
        match self.runtime.block_on(client.blob(&path(name)).properties()) {
            Ok(properties) => Some(properties),
            Err(error) if error.is_not_found() => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// A client of the test's own.
    pub fn client(&self, account: &str) -> Client {
        client(&self.store, account, &self.http)
    }

    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
        self.runtime.spawn(work)
    }

    /// Ends the time for which the mount and the kernel believe what they were told, of these names in `one/box` and of
    /// all that is not open.
    pub fn expire(&self, names: &[&str]) {
        self.mount.expire(&self.here(), names, &[]);
    }

    pub fn stats(&self) -> Stats {
        self.store.stats()
    }

    pub fn reset_stats(&self) {
        self.store.reset_stats();
    }

    /// New copies stay pending at 0 bytes until released.
    pub fn hold_copies(&self) {
        self.store.change_policy(PolicyChange { hold_new_copies: Some(true), ..Default::default() });
    }

    /// Runs a shell command in `one/box`.
    pub fn sh(&self, command: &str) -> Ran {
        self.start(command).wait()
    }

    /// Runs a shell command that must succeed; what it printed.
    pub fn ok(&self, command: &str) -> String {
        let ran = self.sh(command);
        assert_eq!(ran.code, Some(0), "{command}\n{}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    pub fn start(&self, command: &str) -> Running {
        let here = self.here();
        start_in(if here.is_dir() { &here } else { self.root() }, command)
    }
}

/// A filesystem of this process, mounted; detached in the end, whatever happens.
pub struct Mount {
    dir: TempDir,
    session: Option<fuser::BackgroundSession>,
    pub fs: Arc<Fs>,
}

impl Mount {
    pub fn new(config: fs::Config, runtime: &Runtime) -> Self {
        Self::with(config, runtime, fuser::SessionACL::Owner, false)
    }

    fn with(config: fs::Config, runtime: &Runtime, acl: fuser::SessionACL, read_only: bool) -> Self {
        let dir = tempfile::Builder::new().prefix("blobcp-test-").tempdir().unwrap();
        let fs = Fs::new(config);
        // As a mount does, so that no test counts the question.
        runtime.block_on(fs.ask_namespaces());
        let mut options = fuser::Config::default();
        options.mount_options = vec![
            fuser::MountOption::FSName("blobcp-test".into()),
            // Not as `Subtype`, which fuser keeps from the kernel: the commands know a mount of ours by it.
            fuser::MountOption::CUSTOM("subtype=blobcp".into()),
        ];
        options.mount_options.extend(fs.modes_bind().then_some(fuser::MountOption::DefaultPermissions));
        options.acl = acl;
        options.mount_options.extend(read_only.then_some(fuser::MountOption::RO));
        options.n_threads = Some(2);
        options.clone_fd = true;
        let session = fuse::mount(fs.clone(), runtime.handle().clone(), read_only, dir.path(), &options).unwrap();
        log::show_if_asked();
        make_first_copy(dir.path()).unwrap();
        Self { dir, session: Some(session), fs }
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// `one/box`.
    pub fn here(&self) -> PathBuf {
        self.root().join(ONE).join(BOX)
    }

    /// Ends the time for which the mount, and the kernel for names in a directory and for open files, believes what it was told.
    pub fn expire(&self, dir: &Path, names: &[&str], open: &[u64]) {
        let notifier = self.session.as_ref().unwrap().notifier();
        let dir = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(dir).unwrap());
        self.fs.tree().invalidate_all();
        for name in names {
            // Not every name is cached.
            let _ = notifier.inval_entry(fuser::INodeNo(dir), std::ffi::OsStr::new(name));
        }
        for ino in open {
            // Attributes only.
            let _ = notifier.inval_inode(fuser::INodeNo(*ino), -1, 0);
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let path = CString::new(self.dir.path().as_os_str().as_bytes()).unwrap();
        // SAFETY: a path that lives as long as the call.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        if let Some(session) = self.session.take() {
            // Joining could wait for a handler that waits for the runtime below.
            std::thread::spawn(move || drop(session));
        }
    }
}

pub fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .thread_stack_size(8 << 20)
        .enable_all()
        .build()
        .unwrap();
    log::is_of_this_test(&runtime);
    runtime
}

/// Runs a shell command in a directory.
pub fn start_in(dir: &Path, command: &str) -> Running {
    // Tests that were started in the background of a script ignore Ctrl-C, and what they start would, too. To change
    // that in the new process would take a fork of this one, with all of its memory.
    static HEED_INTERRUPTS: Once = Once::new();
    HEED_INTERRUPTS.call_once(|| {
        // SAFETY: the default is no handler of ours.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
    });
    // By its path, for a program that is looked for in another PATH than ours would be started by fork, too.
    let mut shell = Command::new("/bin/bash");
    shell.args(["-c", command]).current_dir(dir).env("LC_ALL", "C").env("PATH", search_path());
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own, so that a signal reaches what the shell started and nothing else.
    std::os::unix::process::CommandExt::process_group(&mut shell, 0);
    Running { child: Some(shell.spawn().unwrap()), command: command.to_owned() }
}

/// Where programs are looked for: the Python that scripts/test has installed comes first. Another may be a script that
/// looks for the real one, and takes longer for that than most tests need Python.
fn search_path() -> std::ffi::OsString {
    let mut path = std::ffi::OsString::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/python/bin:"));
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path
}

/// A client of one account of the devstore.
fn client(store: &Devstore, account: &str, http: &Http) -> Client {
    client_of(store, account, http, None)
}

fn client_of(store: &Devstore, account: &str, http: &Http, api_version: Option<&str>) -> Client {
    let config = store::AccountConfig {
        connection_string: store.connection_string(account).map(Secret::new),
        api_version: api_version.map(str::to_owned),
        ..Default::default()
    };
    Client::new(config.resolve().unwrap(), http.clone())
}

/// A client of one account of the devstore that proves itself by tokens.
fn with_tokens(store: &Devstore, account: &str, tokens: &store::Tokens, http: &Http) -> Client {
    let config = store::AccountConfig {
        endpoint: Some(store.endpoint(account)),
        tokens: Some(tokens.clone()),
        ..Default::default()
    };
    Client::new(config.resolve().unwrap(), http.clone())
}

/// A blob of the container `box`.
pub fn path(name: &str) -> blobcp::path::BlobPath {
    use blobcp::path::{BlobName, BlobPath, ContainerName};
    BlobPath::new(ContainerName::parse(BOX).unwrap(), BlobName::parse(name).unwrap())
}

/// A program that was started.
pub struct Running {
    child: Option<Child>,
    command: String,
}

/// A program that ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Running {
    pub fn pid(&self) -> i32 {
        self.child.as_ref().unwrap().id() as i32
    }

    /// Sends a signal to the program and what it started.
    pub fn signal(&self, signal: i32) {
        // SAFETY: kill(2) takes numbers only; the group is the child's own.
        unsafe { libc::kill(-self.pid(), signal) };
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Ended, or waiting in one of these system calls.
    pub fn has_ended_or_is_in(&mut self, calls: &[libc::c_long]) -> bool {
        let call = std::fs::read_to_string(format!("/proc/{}/syscall", self.pid())).unwrap_or_default();
        let number = call.split(' ').next().and_then(|number| number.parse().ok());
        self.has_ended() || number.is_some_and(|number| calls.contains(&number))
    }

    pub fn wait(mut self) -> Ran {
        let began = Instant::now();
        while !self.has_ended() {
            if began.elapsed() > PATIENCE {
                self.signal(libc::SIGKILL);
                panic!("{} did not end in {PATIENCE:?}", self.command);
            }
            look_again();
        }
        let took = began.elapsed();
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran { code: output.status.code(), signal, stdout: text(output.stdout), stderr: text(output.stderr), took }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child
            && child.try_wait().is_ok_and(|status| status.is_none())
        {
            self.signal(libc::SIGKILL);
        }
    }
}

/// Waits until `condition` holds; for what happens in other processes.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "{what} did not happen in {PATIENCE:?}");
        look_again();
    }
}

/// The pause between two looks at something that other threads or processes bring about.
const PAUSE: Duration = Duration::from_millis(5);

pub fn look_again() {
    std::thread::sleep(PAUSE);
}

/// Asks until there is an answer; for tests that are tasks.
pub async fn answer<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "{what} did not come in {PATIENCE:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Bytes that do not repeat and are the same every time.
pub fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// The service saw no blob content in either direction.
#[track_caller]
pub fn assert_no_payload(stats: &Stats) {
    assert_eq!((stats.body_bytes_in, stats.body_bytes_out), (0, 0), "{stats:?}");
}

/// `user.blob.NAME` of a file, as getfattr prints it; `None` if there is none.
pub fn attribute(file: &Path, name: &str) -> Option<String> {
    let output = Command::new("getfattr")
        .args(["--absolute-names", "--only-values", "-n", &format!("user.blob.{name}")])
        .arg(file)
        .output()
        .unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// Where a process's descriptor of `file` stands, if it has one.
pub fn position(pid: i32, file: &Path) -> Option<u64> {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let fd = descriptors.flatten().find(|fd| std::fs::read_link(fd.path()).is_ok_and(|target| target == file))?;
    let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", fd.file_name().to_str()?)).ok()?;
    info.lines().find_map(|line| line.strip_prefix("pos:"))?.trim().parse().ok()
}

/// Copies between the accounts run at that many bytes per second.
pub fn cross_account(rate: u64) -> Setup {
    let mut setup = Setup::default();
    setup.devstore.copy_cross_account = devstore::CopyRate::BytesPerSecond(rate);
    setup
}

/// Status of the last copy onto a blob of `one/box`, as the service has it.
pub fn status(world: &World, name: &str) -> Option<store::CopyStatus> {
    world.properties(ONE, name)?.copy.map(|copy| copy.status)
}

/// How many snapshots a blob of `one/box` has.
pub fn snapshots(world: &World, name: &str) -> usize {
    let list = store::ListBlobs { prefix: name, snapshots: true, ..Default::default() };
    let container = blobcp::path::ContainerName::parse(BOX).unwrap();
    let page = world.block_on(world.client(ONE).container(&container).list_blobs(&list)).unwrap();
    page.items.iter().filter(|item| item.name.as_str() == name && item.revision.is_some()).count()
}

/// Waits until a copy onto the blob is pending.
pub fn pending(world: &World, name: &str) {
    eventually("a pending copy", || status(world, name) == Some(store::CopyStatus::Pending));
}

/// Ends, holds, releases … the copy that was started last.
pub fn steer(world: &World, action: devstore::CopyAction) {
    let copies = world.store.copies();
    let id = &copies.iter().find(|copy| copy.status == "pending").expect("a pending copy").id;
    world.store.steer_copy(id, action).unwrap();
}

pub fn fail(status: u16, code: &str) -> devstore::CopyAction {
    devstore::CopyAction::Fail { status, code: code.to_owned() }
}

/// A fault in the JSON form of the control interface.
pub fn fault(json: &str) -> devstore::Fault {
    serde_json::from_str(json).unwrap()
}
