//! The process behind a request, as `/proc` tells.
//!
//! A process inside a FUSE request cannot be killed before we reply (fuser answers FUSE_INTERRUPT with ENOSYS), so
//! whoever answers looks for pending signals: the adapter to the kernel does for all requests, and a handler that waits
//! for a copy does, too, because the copy is to be aborted then. More questions are asked about a FLUSH. Is it the
//! last one? Shells duplicate descriptors and close the original at once, and the flush of that says nothing about the
//! file being done. Does the process close the file because it is done with it, or is it being killed, so that the
//! kernel closes what it had open? A third one: does the process go on writing by a duplicate (`content/deferred`)?
//!
//! Where the process cannot be seen (another PID namespace) the answers are the harmless ones: not interrupted, not
//! killed, no other descriptor.
//!
//! Some files of `/proc/PID` cannot be read while that process is in exec, and it stays there until we have answered
//! the FLUSH of what it closes (design, kernel fact 21): `stat`, `maps`, the links `root` and `fd/N`. So these are read
//! only of a process that has no memory any more, and so is not in exec, or with a bound ([`Caller::goes_on_with`]).
//! `status`, `fdinfo` and `mountinfo` can be read at any time.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::fs::names::attr::Ino;

/// Signals by which somebody wants a process to end.
const FATAL: [i32; 5] = [libc::SIGKILL, libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// Signals that end a process and leave a core. The kernel does not turn them into SIGKILL, as it does with all others
/// that end one (kernel fact 22). A process that catches them goes on: they are errors, or timers, of its own.
const DUMPS_CORE: [i32; 9] = [
    libc::SIGABRT,
    libc::SIGXCPU,
    libc::SIGXFSZ,
    libc::SIGTRAP,
    libc::SIGSYS,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
];

fn mask(signals: &[i32]) -> u64 {
    signals.iter().fold(0, |mask, signal| mask | 1 << (signal - 1))
}

/// Longest time for a look at a process that may not let itself be looked at.
const LONGEST_LOOK: Duration = Duration::from_millis(500);

/// The same for its descriptors, which wait for nobody but those of an epoll: that waits for what it watches, which may be
/// files of a filesystem that does not answer. A busy machine takes long for them, too.
const LONGEST_LOOK_AT_DESCRIPTORS: Duration = Duration::from_secs(3);

/// Of who has more descriptors, they are not looked through: a commit takes less time.
const MOST_DESCRIPTORS: usize = 1024;

/// Who waits for the work of a request.
pub(crate) trait Waiter: Send + Sync {
    /// The caller is to end, and the request is or will soon be answered with EINTR: nobody waits any more.
    fn is_let_go(&self) -> bool;

    /// The same, and what was asked for was refused.
    fn is_refused(&self) -> bool {
        false
    }
}

tokio::task_local! {
    /// Who waits for the work that the task does.
    static WAITER: Arc<dyn Waiter>;
}

/// Does work for which `waiter` waits: a caller who was let go is taken for interrupted in it, also when the process is
/// gone and nothing can be seen of its signals any more.
pub(crate) async fn waited_for<W: Future>(waiter: Arc<dyn Waiter>, work: W) -> W::Output {
    WAITER.scope(waiter, work).await
}

/// The work that this task does is one for which nobody waits any more.
pub(crate) fn is_let_go() -> bool {
    WAITER.try_with(|waiter| waiter.is_let_go()).unwrap_or(false)
}

/// [`is_let_go`], and nothing needs to come of it: it was refused.
pub(crate) fn is_refused() -> bool {
    WAITER.try_with(|waiter| waiter.is_refused()).unwrap_or(false)
}

/// What a caller's signals say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Nobody wants it to end.
    Here,
    /// A signal is pending for its process. If another thread takes that, it is gone at the next look.
    Perhaps,
    /// It is being killed, or a signal is pending for this thread.
    Gone,
}

/// The device number of a filesystem, as mountinfo writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device(String);

impl Device {
    /// The same as `/proc/PID/maps` writes it, in hexadecimal.
    fn is_in_maps(&self, text: &str) -> bool {
        let number = |text: &str, radix| {
            let (major, minor) = text.split_once(':')?;
            Some((u32::from_str_radix(major, radix).ok()?, u32::from_str_radix(minor, radix).ok()?))
        };
        number(&self.0, 10).is_some_and(|own| number(text, 16) == Some(own))
    }

    /// The device number of what is mounted there.
    pub fn mounted_at(mountpoint: &Path) -> Option<Self> {
        let mountpoint = fs::canonicalize(mountpoint.parent()?).ok()?.join(mountpoint.file_name()?);
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        // The last one is on top. Blanks are written as octal numbers.
        let wanted = mountpoint.to_str()?.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011");
        let mount = mounts.lines().rev().find(|line| line.split(' ').nth(4) == Some(&wanted))?;
        Some(Self(mount.split(' ').nth(2)?.to_owned()))
    }
}

impl Device {
    /// Nobody may write to it by any of these mounts.
    fn is_read_only_in(&self, mounts: &str) -> bool {
        let mut own = mounts.lines().filter_map(Mounted::of_line).filter(|mount| mount.device == self.0).peekable();
        own.peek().is_some() && own.all(|mount| mount.read_only)
    }
}

/// A line of mountinfo: a mount as a process sees it.
#[derive(Debug, Clone, Copy)]
struct Mounted<'a> {
    /// One of the machine, whoever sees it.
    id: &'a str,
    device: &'a str,
    kind: &'a str,
    /// The mount is, or its superblock with all others.
    read_only: bool,
}

impl<'a> Mounted<'a> {
    /// The sixth field has the options of the mount, the last one those of the superblock; the type stands after a lone
    /// dash.
    fn of_line(line: &'a str) -> Option<Self> {
        let fields: Vec<&str> = line.split(' ').collect();
        let is_set = |options: &str| options.split(',').any(|option| option == "ro");
        let (own, all) = (fields.get(5)?, fields.last()?);
        let dash = fields.iter().skip(6).position(|field| *field == "-")? + 6;
        let (id, device, kind) = (*fields.first()?, *fields.get(2)?, *fields.get(dash + 1)?);
        Some(Self { id, device, kind, read_only: is_set(own) || is_set(all) })
    }

    /// Of the filesystem that is `device`, or by FUSE where that is not known.
    fn is_of(&self, device: Option<&Device>) -> bool {
        device.map_or_else(|| self.kind.starts_with("fuse"), |device| device.0 == self.device)
    }
}

/// A descriptor of a process, by its fdinfo.
struct Descriptor {
    /// Id of the mount in which it is open.
    mount: String,
    /// Those of open(2), as the kernel keeps them.
    flags: i32,
}

impl Descriptor {
    /// What is written to it arrives here, and so does its close: not that of a path alone.
    fn writes(&self) -> bool {
        self.flags & libc::O_PATH == 0 && self.flags & libc::O_ACCMODE != libc::O_RDONLY
    }
}

/// `PF_SIGNALED` of the kernel: a signal ends the thread.
const PF_SIGNALED: u64 = 0x400;

/// A process, known also when the thread that a request came from has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process(u32);

/// A user of this machine, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct User(u32);

impl User {
    /// The user of a request; `None` where the kernel says that it is nobody's.
    pub fn of_request(uid: u32) -> Option<Self> {
        (uid != u32::MAX).then_some(Self(uid))
    }

    /// The user of that number.
    #[cfg(test)]
    pub(in crate::fs) const fn of_number(uid: u32) -> Self {
        Self(uid)
    }
}

/// The thread that made a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Thread id; 0 for the kernel itself.
    pub pid: u32,
}

impl Caller {
    /// A signal is pending by which somebody wants the process to end, or was when the caller was let go: only then may
    /// EINTR be answered, and a copy be given up. Timers, children and Ctrl-Z do not count.
    pub fn interrupted(self) -> bool {
        is_let_go() || self.status().is_some_and(|status| status.pending() != Wanted::Here)
    }

    /// Whether somebody wants the thread to end. Only files are read that can be read at any time.
    pub fn wanted_gone(self) -> Wanted {
        match self.status() {
            Some(status) if status.pending() != Wanted::Here => status.pending(),
            Some(status) if status.has_no_memory() && self.ends_by_signal() => Wanted::Gone,
            _ => Wanted::Here,
        }
    }

    /// The process is being ended by a signal: what it closes now it does not close by itself.
    pub fn is_being_killed(self) -> bool {
        // It has given up its memory by then.
        self.status().is_some_and(|status| status.has_no_memory()) && self.ends_by_signal()
    }

    /// To be asked of a process without memory only: of one in exec this may take until we have answered.
    fn ends_by_signal(self) -> bool {
        fs::read_to_string(self.proc("stat")).is_ok_and(|stat| ends_by_signal(&stat, || self.is_open_to_us()))
    }

    fn status(self) -> Option<Status> {
        fs::read_to_string(self.proc("status")).ok().map(Status)
    }

    /// Whether what `/proc` keeps from strangers can be read.
    fn is_open_to_us(self) -> bool {
        fs::read_link(self.proc("root")).is_ok()
    }

    /// Both threads belong to one process.
    pub fn same_process(self, other: Self) -> bool {
        self == other || self.group().is_some_and(|process| other.group() == Some(process))
    }

    /// The process that the thread belongs to; where it cannot be seen, the thread is taken for one.
    pub fn process(self) -> Process {
        Process(self.group().unwrap_or(self.pid))
    }

    /// Whether one of `users` has the file open, or, if `mapped`, in its memory. A look at a process that is in exec
    /// may take until we have answered it: one that takes too long is given up, and then the answer is `unknown`.
    pub async fn goes_on_with(users: Vec<Self>, ino: Ino, device: Option<Device>, mapped: bool, unknown: bool) -> bool {
        let look = tokio::task::spawn_blocking(move || {
            users.iter().any(|user| user.holds_open(ino, device.as_ref()) || mapped && user.maps(ino, device.as_ref()))
        });
        let longest = if mapped { LONGEST_LOOK } else { LONGEST_LOOK_AT_DESCRIPTORS };
        match tokio::time::timeout(longest, look).await {
            Ok(Ok(goes_on)) => goes_on,
            Ok(Err(_)) | Err(_) => unknown,
        }
    }

    /// The process has another descriptor open on that inode (`ino:` in fdinfo, Linux 5.14) of the filesystem that is
    /// `device`, or of any FUSE mount where that is not known.
    fn holds_open(self, ino: Ino, device: Option<&Device>) -> bool {
        self.mounts_of(ino).any(|mount| self.is_of(&mount, device))
    }

    /// Whether the process has another descriptor that writes to an inode of the filesystem that is `device`. False
    /// where that cannot be seen, or not soon.
    pub async fn goes_on_writing(self, ino: Ino, device: Device) -> bool {
        let look = tokio::task::spawn_blocking(move || {
            let are_few = fs::read_dir(self.proc("fdinfo"))
                .is_ok_and(|all| all.take(MOST_DESCRIPTORS + 1).count() <= MOST_DESCRIPTORS);
            are_few && self.descriptors_of(ino).any(|open| open.writes() && self.is_of(&open.mount, Some(&device)))
        });
        matches!(tokio::time::timeout(LONGEST_LOOK_AT_DESCRIPTORS, look).await, Ok(Ok(true)))
    }

    /// What the process has open is kept from us: it is another user's, or in another PID namespace.
    pub fn is_hidden(self) -> bool {
        self.pid == 0
            || fs::read_dir(self.proc("fdinfo")).is_err_and(|error| error.raw_os_error() == Some(libc::EACCES))
    }

    /// The process has that inode of the filesystem in its memory: a mapping goes on when the descriptor is closed.
    fn maps(self, ino: Ino, device: Option<&Device>) -> bool {
        let wanted = ino.0.to_string();
        fs::read_to_string(self.proc("maps")).is_ok_and(|maps| {
            maps.lines().any(|line| {
                // Addresses, permissions, offset, device, inode.
                let mut fields = line.split_ascii_whitespace().skip(3);
                let (at, inode) = (fields.next(), fields.next());
                inode == Some(&wanted) && at.is_some_and(|at| device.is_none_or(|device| device.is_in_maps(at)))
            })
        })
    }

    /// Ids of the mounts in which the process has an inode of that number open. Small numbers are in use everywhere:
    /// that of `/dev/null` may be 4, and another mount of ours counts its inodes in the same way.
    fn mounts_of(self, ino: Ino) -> impl Iterator<Item = String> {
        self.descriptors_of(ino).map(|open| open.mount)
    }

    /// The descriptors of the process that are of an inode of that number.
    fn descriptors_of(self, ino: Ino) -> impl Iterator<Item = Descriptor> {
        let wanted = ino.0.to_string();
        fs::read_dir(self.proc("fdinfo")).into_iter().flatten().flatten().filter_map(move |entry| {
            let info = fs::read_to_string(entry.path()).ok()?;
            let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            if field("ino:")? != wanted {
                return None;
            }
            Some(Descriptor {
                mount: field("mnt_id:")?.to_owned(),
                flags: i32::from_str_radix(field("flags:")?, 8).ok()?,
            })
        })
    }

    fn is_of(self, mount: &str, device: Option<&Device>) -> bool {
        let Ok(mounts) = fs::read_to_string(self.proc("mountinfo")) else { return false };
        mounts.lines().filter_map(Mounted::of_line).any(|found| found.id == mount && found.is_of(device))
    }

    /// Whether the caller of an ioctl may write by way of the mount in which it has the inode open. The kernel does not
    /// ask: a mount that was made read-only since, and a read-only bind mount of it, as containers get, let every ioctl
    /// through. `ours`: it is an ordinary user's process, and so is this one.
    pub async fn may_write_through(self, ino: Ino, device: Option<Device>, ours: bool) -> bool {
        let look = tokio::task::spawn_blocking(move || self.finds_writable(ino, device.as_ref(), ours));
        // Reads what can be read at any time, so there is an answer.
        look.await.unwrap_or(false)
    }

    fn finds_writable(self, ino: Ino, device: Option<&Device>, ours: bool) -> bool {
        let mounts = |of: Self| fs::read_to_string(of.proc("mountinfo")).unwrap_or_default();
        let own = mounts(Self { pid: std::process::id() });
        if self.is_hidden() {
            // Who may see what the process does may not hide it. Of others nothing is known but what we see ourselves.
            let hides = ours && self.pid != 0;
            return !hides && !device.is_some_and(|device| device.is_read_only_in(&own));
        }
        let theirs = mounts(self);
        let open: Vec<String> = self.mounts_of(ino).collect();
        if open.is_empty() && !tells_inodes() {
            return !device.is_some_and(|device| device.is_read_only_in(&theirs));
        }
        is_writable(&open, &[&theirs, &own], device)
    }

    fn group(self) -> Option<u32> {
        self.status()?.field("Tgid")?.parse().ok()
    }

    fn proc(self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.pid))
    }
}

/// Whether fdinfo says what inode a descriptor is of (Linux 5.14).
fn tells_inodes() -> bool {
    let mut infos = fs::read_dir("/proc/self/fdinfo").into_iter().flatten().flatten();
    infos.find_map(|entry| fs::read_to_string(entry.path()).ok()).is_some_and(|info| info.contains("\nino:"))
}

/// Whether one of the mounts in which an inode of that number is `open` lets write to `device`. What is in none of the
/// lists is seen by nobody who is asked, as a mount that was taken out of the tree, and is none. Where the device is not
/// known, another filesystem may have that number as well: then each of them has to be writable.
fn is_writable(open: &[String], lists: &[&str], device: Option<&Device>) -> bool {
    let find =
        |id: &String| lists.iter().flat_map(|list| list.lines()).filter_map(Mounted::of_line).find(|m| m.id == id);
    let mut found =
        open.iter().filter_map(find).filter(|mount| mount.is_of(device)).map(|mount| !mount.read_only).peekable();
    match device {
        Some(_) => found.any(|writable| writable),
        None => found.peek().is_some() && found.all(|writable| writable),
    }
}

/// The text of `/proc/PID/status`.
struct Status(String);

impl Status {
    fn field(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    /// The signals that are pending and wanted to end the thread: [`Wanted::Gone`] if they are its own, as SIGKILL and
    /// whatever else ends the process always are. One that the process catches is any thread's to take.
    fn pending(&self) -> Wanted {
        let set = |name| self.field(name).and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0);
        let counts = (mask(&FATAL) | mask(&DUMPS_CORE) & !set("SigCgt")) & !set("SigBlk") & !set("SigIgn");
        match (set("SigPnd") & counts, set("ShdPnd") & counts) {
            (0, 0) => Wanted::Here,
            (0, _) => Wanted::Perhaps,
            _ => Wanted::Gone,
        }
    }

    /// The thread has given up its memory: it has ended, but for what is left to be closed.
    fn has_no_memory(&self) -> bool {
        self.field("VmSize").is_none()
    }
}

/// The content of a line of `/proc/PID/stat`. When a process ends by itself its other threads are ended by a signal,
/// too, so the flag alone is no proof: the exit code tells how the process ends. It is 0 for strangers, whom the flag
/// has to be enough.
fn ends_by_signal(stat: &str, is_open_to_us: impl Fn() -> bool) -> bool {
    // The name, which may hold anything, ends with the last parenthesis; the state behind it is field 3.
    let Some((_, fields)) = stat.rsplit_once(')') else { return false };
    let field = |number: usize| fields.split_whitespace().nth(number - 3).and_then(|field| field.parse::<u64>().ok());
    let (flags, exit_code) = (field(9).unwrap_or(0), field(52).unwrap_or(0));
    flags & PF_SIGNALED != 0 && (exit_code & 0x7f != 0 || exit_code == 0 && !is_open_to_us())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn me() -> Caller {
        Caller { pid: std::process::id() }
    }

    fn this_thread() -> Caller {
        Caller { pid: rustix::thread::gettid().as_raw_pid() as u32 }
    }

    #[test]
    fn an_open_file_is_seen_among_the_descriptors_with_its_mount() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let ino = Ino(file.as_file().metadata().unwrap().ino());
        assert_eq!(me().mounts_of(ino).count(), 1);
        // It is not on a FUSE mount, so its number says nothing (the data tests hold files open on one).
        assert!(!me().holds_open(ino, None));
        drop(file);
        assert_eq!(me().mounts_of(ino).count(), 0);
    }

    #[tokio::test]
    async fn who_writes_to_a_file_is_told_from_who_reads_it_or_knows_its_path() {
        use std::os::unix::fs::OpenOptionsExt;
        let file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
        let stat = file.as_file().metadata().unwrap();
        let (ino, device) =
            (Ino(stat.ino()), Device(format!("{}:{}", libc::major(stat.dev()), libc::minor(stat.dev()))));
        let writes = || me().goes_on_writing(ino, device.clone());
        assert!(writes().await && !me().goes_on_writing(ino, Device("999:999".into())).await);
        let path = file.into_temp_path();
        assert!(!writes().await);
        let _reads = fs::File::open(&path).unwrap();
        let _knows = fs::File::options().read(true).custom_flags(libc::O_PATH).open(&path).unwrap();
        assert_eq!(me().descriptors_of(ino).count(), 2);
        assert!(!writes().await);
        let _appends = fs::File::options().append(true).open(&path).unwrap();
        assert!(writes().await);
    }

    #[test]
    fn an_inode_of_another_filesystem_is_another_file() {
        let file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
        let stat = file.as_file().metadata().unwrap();
        let (major, minor) = (libc::major(stat.dev()), libc::minor(stat.dev()));
        let (device, other) = (Device(format!("{major}:{minor}")), Device("999:999".into()));
        assert!(me().holds_open(Ino(stat.ino()), Some(&device)));
        assert!(!me().holds_open(Ino(stat.ino()), Some(&other)));
        assert!(Device::mounted_at(Path::new("/proc")).is_some_and(|proc| proc != device));
    }

    #[test]
    fn a_mount_is_read_only_if_its_superblock_is_or_each_of_its_mounts() {
        let device = Device("0:60".into());
        let line = |own: &str, all: &str| {
            format!("90 27 0:60 / /mnt {own},nodev shared:7 - fuse.blobcp a/c {all},user_id=0\n")
        };
        let other = "91 27 0:61 / /ro ro - tmpfs x ro\n";
        for (mounts, expected) in [
            (line("rw", "rw"), false),
            (line("rw", "ro"), true),
            (line("ro", "rw"), true),
            (line("ro", "rw") + &line("rw", "rw"), false),
            (String::new(), false),
        ] {
            assert_eq!(device.is_read_only_in(&(mounts.clone() + other)), expected, "{mounts}");
        }
    }

    #[test]
    fn an_ioctl_writes_where_the_descriptor_that_it_is_made_on_does() {
        let device = Device("0:60".into());
        let line = |id: u32, device: &str, kind: &str, own: &str, all: &str| {
            format!("{id} 27 {device} / /mnt {own},nodev shared:7 - {kind} a/c {all},user_id=0\n")
        };
        let theirs = line(90, "0:60", "fuse.blobcp", "ro", "rw")
            + &line(91, "0:60", "fuse.blobcp", "rw", "rw")
            + &line(92, "0:5", "devtmpfs", "rw", "rw")
            + &line(93, "0:70", "fuse.other", "rw", "rw");
        // A process that has another root does not see it.
        let own = line(94, "0:60", "fuse.blobcp", "rw", "rw");
        for (open, known, unknown) in [
            (&["90"][..], false, false),
            (&["91"], true, true),
            (&["90", "91"], true, false),
            (&["92"], false, false),
            (&["90", "92"], false, false),
            (&["90", "93"], false, false),
            (&["93"], false, true),
            (&["94"], true, true),
            (&["95"], false, false),
            (&[], false, false),
        ] {
            let ids: Vec<String> = open.iter().map(|id| (*id).to_owned()).collect();
            assert_eq!(is_writable(&ids, &[&theirs, &own], Some(&device)), known, "{open:?}");
            assert_eq!(is_writable(&ids, &[&theirs, &own], None), unknown, "{open:?}");
        }
        assert!(tells_inodes() || me().mounts_of(Ino(1)).next().is_none());
    }

    #[test]
    fn threads_of_one_process_are_the_same_caller() {
        let thread = std::thread::spawn(this_thread).join().unwrap();
        // Who joins it may be faster than the kernel takes it away.
        while Path::new(&format!("/proc/{}", thread.pid)).exists() {
            std::thread::yield_now();
        }
        // The thread has ended: nothing is known of it any more.
        assert!(!me().same_process(thread));
        assert!(me().same_process(me()));
        assert!(!me().same_process(Caller { pid: 1 }));
    }

    #[test]
    fn a_process_outlives_its_threads() {
        let (here, there) = std::thread::spawn(|| {
            let thread = this_thread();
            (thread, thread.process())
        })
        .join()
        .unwrap();
        assert_eq!(there, me().process());
        assert_ne!(here.process(), me().process());
        assert_ne!(Caller { pid: 1 }.process(), me().process());
    }

    #[test]
    fn who_is_killed_is_told_from_who_ends() {
        let stat = |flags: u32, exit_code: u32| {
            let zeros = "0 ".repeat(42);
            format!("7 (a) R (b) X 1 7 7 0 -1 {flags} {zeros}{exit_code}\n")
        };
        // PF_EXITING beside it.
        assert!(ends_by_signal(&stat(0x404, 9), || true) && ends_by_signal(&stat(0x404, 0x8b), || true));
        // A thread of a process that called exit(0), exit(1); the same seen by a stranger.
        assert!(!ends_by_signal(&stat(0x404, 0), || true) && !ends_by_signal(&stat(0x404, 0x100), || true));
        assert!(ends_by_signal(&stat(0x404, 0), || false));
        assert!(!ends_by_signal(&stat(0x4, 0), || false) && !ends_by_signal("", || false));
        assert!(!me().is_being_killed());
    }

    #[test]
    fn a_pending_signal_is_an_interrupt_unless_blocked() {
        // Blocked in this thread and sent to it: pending, but not deliverable. SAFETY: a set of signals may be all
        // zeros before it is emptied, and the thread changes nothing but its own mask.
        let blocked = std::thread::spawn(|| unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGUSR1);
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            libc::pthread_kill(libc::pthread_self(), libc::SIGUSR1);
            this_thread().interrupted()
        });
        assert!(!blocked.join().unwrap());
        assert!(!Caller { pid: u32::MAX }.interrupted());
    }

    #[test]
    fn signals_of_the_thread_count_at_once_and_those_of_the_process_if_they_stay() {
        let pending_in = |own: u64, shared: u64, blocked: u64, ignored: u64, caught: u64| {
            let signals = format!("SigPnd:\t{own:016x}\nShdPnd:\t{shared:016x}\n");
            let what_of_them = format!("SigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n");
            Status(signals + &what_of_them).pending()
        };
        let pending = |own, shared, blocked, ignored| pending_in(own, shared, blocked, ignored, 0);
        let bit = |signal: i32| 1 << (signal - 1);
        let (interrupt, kill, child) = (bit(libc::SIGINT), bit(libc::SIGKILL), bit(libc::SIGCHLD));
        assert_eq!(pending(0, 0, 0, 0), Wanted::Here);
        assert_eq!(pending(kill, interrupt, 0, 0), Wanted::Gone);
        assert_eq!(pending(0, interrupt, 0, 0), Wanted::Perhaps);
        assert_eq!(pending(interrupt, interrupt, interrupt, 0), Wanted::Here);
        assert_eq!(pending(0, interrupt, 0, interrupt), Wanted::Here);
        assert_eq!(pending(child, child, 0, 0), Wanted::Here);
        for signal in DUMPS_CORE.map(bit) {
            assert_eq!((pending(signal, 0, 0, 0), pending(0, signal, 0, 0)), (Wanted::Gone, Wanted::Perhaps));
            assert_eq!((pending(signal, 0, signal, 0), pending(0, signal, 0, signal)), (Wanted::Here, Wanted::Here));
            assert_eq!(pending_in(signal, signal, 0, 0, signal), Wanted::Here, "a handler of its own");
        }
        assert_eq!(
            pending_in(0, interrupt, 0, 0, interrupt),
            Wanted::Perhaps,
            "whoever catches Ctrl-C is to hear of it"
        );
    }

    #[test]
    fn a_process_that_is_killed_is_seen_after_it_gave_up_its_memory() {
        use std::os::unix::process::ExitStatusExt;
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let caller = Caller { pid: child.id() };
        assert!(!caller.is_being_killed() && caller.wanted_gone() == Wanted::Here);
        child.kill().unwrap();
        // A zombie until somebody waits for it.
        while !caller.is_being_killed() {
            std::thread::yield_now();
        }
        assert_ne!(caller.wanted_gone(), Wanted::Here);
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    }

    #[tokio::test]
    async fn who_was_let_go_is_interrupted_whatever_its_process_shows() {
        struct LetGo(bool);
        impl Waiter for LetGo {
            fn is_let_go(&self) -> bool {
                self.0
            }
        }
        let gone = Caller { pid: u32::MAX };
        assert!(waited_for(Arc::new(LetGo(true)), async { gone.interrupted() }).await);
        assert!(!waited_for(Arc::new(LetGo(false)), async { gone.interrupted() }).await);
        assert!(!gone.interrupted());
    }
}
