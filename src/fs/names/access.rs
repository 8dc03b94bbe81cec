//! Access rights: the identity of a caller, as far as the kernel does not ask itself.

use std::fs;
use std::sync::OnceLock;

use rustix::process::getuid;

use crate::error::{Error, Result};
use crate::fs::caller::Caller;
use crate::fs::names::attr::Attr;

/// The wish to read a file or directory; these are bits of a mode.
pub(crate) const READ: u32 = 4;

pub(crate) const WRITE: u32 = 2;

/// The wish to go through a directory.
pub(crate) const SEARCH: u32 = 1;

/// Read and search whatever the mode says.
pub(in crate::fs) const CAP_DAC_READ_SEARCH: u64 = 1 << 2;

/// The same, and write.
pub(in crate::fs) const CAP_DAC_OVERRIDE: u64 = 1 << 1;

/// Owner and group as it likes.
const CAP_CHOWN: u64 = 1;

/// What only the owner of a file may.
const CAP_FOWNER: u64 = 1 << 3;

const CAP_MKNOD: u64 = 1 << 27;

/// Root's, where they cannot be asked for.
const USUAL: u64 = CAP_CHOWN | CAP_DAC_OVERRIDE | CAP_FOWNER | CAP_MKNOD;

/// In whose name a request is made.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    pid: u32,
    /// Modes are shown and bind nobody.
    unbound: bool,
    /// The status of the process by `/proc`; read when it is needed.
    process: OnceLock<ProcessStatus>,
}

#[derive(Debug, Clone, Default)]
pub(in crate::fs) struct ProcessStatus {
    groups: Vec<u32>,
    capabilities: u64,
}

impl Credentials {
    /// `uid` and `gid` are those of the request: as the mount sees them, whatever the process calls itself in its own
    /// namespace.
    pub fn new(uid: u32, gid: u32, pid: u32) -> Self {
        Self { uid, gid, pid, unbound: false, process: OnceLock::new() }
    }

    /// The thread that made the request.
    pub(in crate::fs) fn caller(&self) -> Caller {
        Caller { pid: self.pid }
    }

    /// The same, of somebody whom modes do not bind where `bind` is false.
    pub fn where_modes_bind(self, bind: bool) -> Self {
        Self { unbound: !bind, ..self }
    }

    /// Whether the credentials of the accounts are the caller's own: of the user who mounted, or root.
    pub(in crate::fs) fn is_who_mounted(&self) -> bool {
        self.uid == 0 || self.uid == getuid().as_raw()
    }

    /// A process of the user who mounted, and not root's.
    pub(in crate::fs) fn is_user_of_mount(&self) -> bool {
        self.uid != 0 && self.uid == getuid().as_raw()
    }

    pub(in crate::fs) fn process(&self) -> &ProcessStatus {
        self.process.get_or_init(|| {
            match fs::read_to_string(format!("/proc/{}/status", self.pid)) {
                Ok(status) => ProcessStatus::parse(&status),
                // In another PID namespace: no more groups than the one that is known; root is taken for what it
                // usually is.
                Err(_) => ProcessStatus { groups: Vec::new(), capabilities: USUAL },
            }
        })
    }

    pub(in crate::fs) fn has(&self, capabilities: u64) -> bool {
        // Somebody may be root, with all capabilities, in another namespace; here only the user id counts.
        self.uid == 0 && self.process().capabilities & capabilities != 0
    }

    /// Whether modes and owners bind nobody.
    pub(in crate::fs) fn is_unbound(&self) -> bool {
        self.unbound
    }

    /// chown(2), to whomever.
    pub(in crate::fs) fn may_chown(&self) -> bool {
        self.has(CAP_CHOWN)
    }

    /// chmod(2) and utimensat(2) of that file.
    pub(in crate::fs) fn may_chmod(&self, attr: &Attr) -> bool {
        attr.uid == self.uid || self.has(CAP_FOWNER)
    }

    /// mknod(2) of devices.
    pub(in crate::fs) fn may_make_devices(&self) -> bool {
        self.has(CAP_MKNOD)
    }

    /// Whether the caller is in a group.
    pub(in crate::fs) fn is_in(&self, group: u32) -> bool {
        group == self.gid || self.process().groups.contains(&group)
    }

    /// The same, for work that may outlast the process: what is asked of it is asked now.
    pub(in crate::fs) fn asked_now(self) -> Self {
        self.process();
        self
    }

    /// Somebody whose process has that status.
    #[cfg(test)]
    pub(in crate::fs) fn known(uid: u32, gid: u32, status: &str) -> Self {
        let process = OnceLock::from(ProcessStatus::parse(status));
        Self { uid, gid, pid: 0, unbound: false, process }
    }

    /// Whether the mode of a file or directory allows all that is wanted.
    pub fn may(&self, attr: &Attr, want: u32) -> bool {
        let class = if attr.uid == self.uid {
            attr.mode >> 6
        } else if self.is_in(attr.gid) {
            attr.mode >> 3
        } else {
            attr.mode
        };
        let beyond = want & !(class & 7);
        self.unbound
            || beyond == 0
            || self.has(CAP_DAC_OVERRIDE)
            || (beyond & WRITE == 0 && self.has(CAP_DAC_READ_SEARCH))
    }

    /// EACCES unless [`Credentials::may`].
    pub fn check(&self, attr: &Attr, want: u32, name: &str) -> Result<()> {
        if self.may(attr, want) {
            return Ok(());
        }
        let wanted = [(READ, "read"), (WRITE, "write"), (SEARCH, "search")];
        let wanted: Vec<&str> = wanted.iter().filter(|(bit, _)| want & bit != 0).map(|(_, verb)| *verb).collect();
        let (uid, mode, verbs) = (self.uid, attr.mode, wanted.join(" and "));
        let (owner, group) = (attr.uid, attr.gid);
        let what =
            format!("user {uid} may not {verbs} {name:?}, which has mode {mode:04o}, owner {owner} and group {group}");
        Err(Error::fs(libc::EACCES, what))
    }
}

impl ProcessStatus {
    pub(crate) fn parse(status: &str) -> Self {
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        Self {
            groups: field("Groups:")
                .into_iter()
                .flat_map(str::split_whitespace)
                .filter_map(|g| g.parse().ok())
                .collect(),
            capabilities: field("CapEff:").and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::names::attr::{self, Defaults, FileKind, Ino};
    use rustix::process::getgid;

    fn file(mode: u32, uid: u32, gid: u32) -> Attr {
        let defaults = Defaults { file_mode: mode, dir_mode: mode, uid, gid, shown: None };
        attr::of_nothing(Ino(5), FileKind::File, 0, std::time::SystemTime::UNIX_EPOCH, &defaults)
    }

    fn somebody(uid: u32, gid: u32, status: &str) -> Credentials {
        Credentials::known(uid, gid, status)
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let attr = file(0o640, 10, 20);
        let plain = "Groups:\t \nCapEff:\t0000000000000000\n";
        assert!(somebody(10, 1, plain).may(&attr, READ | WRITE));
        assert!(somebody(11, 20, plain).may(&attr, READ));
        assert!(!somebody(11, 20, plain).may(&attr, WRITE));
        assert!(!somebody(11, 1, plain).may(&attr, READ));
        assert!(somebody(11, 1, "Groups:\t4 20 27 \n").may(&attr, READ));
        // The owner is not helped by what others may.
        assert!(!somebody(10, 20, plain).may(&file(0o077, 10, 20), READ));
    }

    #[test]
    fn root_may_what_its_capabilities_allow_and_nobody_else_has_any() {
        let (all, search) = ("CapEff:\t000001ffffffffff\n", "CapEff:\t0000000000000004\n");
        let attr = file(0, 10, 20);
        assert!(somebody(0, 0, all).may(&attr, READ | WRITE | SEARCH));
        assert!(somebody(0, 0, search).may(&attr, READ | SEARCH));
        assert!(!somebody(0, 0, search).may(&attr, WRITE));
        assert!(!somebody(0, 0, "CapEff:\t0\n").may(&attr, READ));
        assert!(!somebody(7, 0, all).may(&attr, READ));
        let error = somebody(7, 0, all).check(&attr, WRITE | SEARCH, "a").unwrap_err();
        assert_eq!(error.errno(), libc::EACCES);
        assert!(error.to_string().contains("user 7 may not write and search \"a\""), "{error}");
    }

    #[test]
    fn groups_are_those_of_the_process() {
        let (uid, gid, pid) = (getuid().as_raw(), getgid().as_raw(), std::process::id());
        let me = Credentials::new(uid, gid, pid);
        assert!(me.may(&file(0o700, uid, gid), READ | WRITE | SEARCH));
    }
}
