//! A mount in a process of its own, as users have it.

use super::*;

/// `blobcp mount -f` of a test's devstore.
pub struct MountProcess {
    process: Child,
    dir: TempDir,
}

impl MountProcess {
    /// `sources` as they are typed; accounts are known by the environment or by the configuration file.
    pub fn new(store: &Devstore, accounts: &[&str], sources: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("blobcp-process-").tempdir().unwrap();
        let (config, place) = (dir.path().join("config.toml"), dir.path().join("m"));
        let mut text = String::new();
        for account in accounts {
            let connection = store.connection_string(account).unwrap();
            text += &format!("[account.{account}]\nconnection_string = '{connection}'\n");
        }
        std::fs::write(&config, text).unwrap();
        std::fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::create_dir(&place).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_blobcp"))
            .args(["mount", "-f", "--config"])
            .arg(&config)
            .args(sources)
            .arg(&place)
            .env("HOME", dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Whoever says much, as where many requests go wrong, is not to wait for somebody who reads it.
        let mut log = process.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let mut mount = Self { process, dir };
        eventually("the mount", || {
            assert_eq!(mount.process.try_wait().unwrap(), None, "it does not mount");
            mount.is_mounted()
        });
        mount
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

    /// Asks the process to end, and sees that it does with exit code 0 and leaves no mount.
    pub fn terminate(&mut self) {
        // SAFETY: kill(2) takes numbers only.
        unsafe { libc::kill(self.process.id() as i32, libc::SIGTERM) };
        eventually("the end of the mount", || self.process.try_wait().unwrap().is_some());
        assert_eq!(self.process.wait().unwrap().code(), Some(0));
        assert!(!self.is_mounted());
        // A zombie would answer ENOTCONN.
        assert_eq!(std::fs::read_dir(self.path()).unwrap().count(), 0);
    }
}

impl Drop for MountProcess {
    fn drop(&mut self) {
        let path = CString::new(self.path().as_os_str().as_bytes()).unwrap();
        // SAFETY: a path that lives as long as the call.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
