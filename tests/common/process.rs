//! A mount in a process of its own, as users have it.

use super::*;

/// `blobcp mount -f` of a test's devstore.
pub struct MountProcess {
    process: Child,
    dir: TempDir,
    sources: Vec<String>,
}

impl MountProcess {
    /// `sources` as they are typed; accounts are known by the environment or by the configuration file.
    pub fn new(store: &Devstore, accounts: &[&str], sources: &[&str]) -> Self {
        Self::reaching(store, accounts, sources, |connection| connection)
    }

    /// The same with a devstore that is reached over `line`.
    pub fn over(line: &outage::Outage, store: &Devstore, accounts: &[&str], sources: &[&str]) -> Self {
        let own = store.address().to_string();
        Self::reaching(store, accounts, sources, |to| to.replace(&own, &format!("127.0.0.1:{}", line.port)))
    }

    fn reaching(store: &Devstore, accounts: &[&str], sources: &[&str], way: impl Fn(String) -> String) -> Self {
        let dir = tempfile::Builder::new().prefix("blobcp-process-").tempdir().unwrap();
        let (config, place) = (dir.path().join("config.toml"), dir.path().join("m"));
        let mut text = String::new();
        for account in accounts {
            let connection = way(store.connection_string(account).unwrap());
            text += &format!("[account.{account}]\nconnection_string = '{connection}'\n");
        }
        std::fs::write(&config, text).unwrap();
        std::fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::create_dir(&place).unwrap();
        let sources: Vec<String> = sources.iter().map(|&source| source.to_owned()).collect();
        let process = started(dir.path(), &sources);
        let mut mount = Self { process, dir, sources };
        mount.await_mounted();
        mount
    }

    fn await_mounted(&mut self) {
        eventually("the mount", || {
            assert_eq!(self.process.try_wait().unwrap(), None, "it does not mount");
            // It says so when the mount works, which is later than there is one.
            self.said().contains("mounted on") && self.is_mounted()
        });
    }

    /// Ends the process as a crash does, and takes away what is left of the mount.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.detach();
    }

    /// Mounts once more, as the same user, after [`MountProcess::kill`].
    pub fn start_again(&mut self) {
        self.process = started(self.dir.path(), &self.sources);
        self.await_mounted();
    }

    /// The same with an option more.
    pub fn start_again_with(&mut self, option: &str) {
        self.sources.insert(0, option.to_owned());
        self.start_again();
    }

    /// What it has said on its standard output since it was started.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("out")).unwrap()
    }

    /// What it has logged since it was started.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    fn detach(&self) {
        let path = CString::new(self.path().as_os_str().as_bytes()).unwrap();
        // SAFETY: a path that lives as long as the call.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("m")
    }

    fn is_mounted(&self) -> bool {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        mounts.lines().any(|line| line.split(' ').nth(4) == self.path().to_str())
    }

    /// Starts a shell command in the mount.
    pub fn start(&self, command: &str) -> Running {
        start_in(&self.path(), command)
    }

    /// The most memory that was resident so far, bytes.
    pub fn most_resident(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// The memory that is resident, bytes.
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// How many descriptors the process has.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }

    fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Sends the process a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: kill(2) takes numbers only.
        unsafe { libc::kill(self.process.id() as i32, signal) };
    }

    /// Waits for the end of the process: its exit code, and what it said.
    pub fn wait(&mut self) -> (Option<i32>, String) {
        eventually("the end of the mount", || self.process.try_wait().unwrap().is_some());
        let said = self.logged();
        (self.process.wait().unwrap().code(), said)
    }

    /// Asks the process to end, and sees that it does with exit code 0 and leaves no mount.
    pub fn terminate(&mut self) {
        self.signal(libc::SIGTERM);
        eventually("the end of the mount", || self.process.try_wait().unwrap().is_some());
        assert_eq!(self.process.wait().unwrap().code(), Some(0));
        assert!(!self.is_mounted());
        // A zombie would answer ENOTCONN.
        assert_eq!(std::fs::read_dir(self.path()).unwrap().count(), 0);
    }
}

/// What `STATE_DIRECTORY` is for a mount whose home that is: root's writes down in the machine's directory, otherwise,
/// what it has under way.
pub fn state_directory(home: &Path) -> PathBuf {
    home.join(".local/state/blobcp")
}

/// `blobcp mount -f` in the foreground, with a home of its own.
fn started(dir: &Path, sources: &[String]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_blobcp"))
        .args(["mount", "-f", "--config"])
        .arg(dir.join("config.toml"))
        .args(sources)
        .arg(dir.join("m"))
        .env("HOME", dir)
        .env("STATE_DIRECTORY", state_directory(dir))
        .env_remove("XDG_STATE_HOME")
        .stdout(std::fs::File::create(dir.join("out")).unwrap())
        .stderr(std::fs::File::create(dir.join("log")).unwrap())
        .spawn()
        .unwrap()
}

impl Drop for MountProcess {
    fn drop(&mut self) {
        self.detach();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
