//! Asking a mount about its files, by ioctl.
//!
//! A path leads to a mount through `/proc/self/mountinfo`; only if that says `fuse.blobcp` is anything asked, because
//! our numbers may mean something else to the file of another driver.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::failure::{Failure, about, explained};
use crate::fs::lease::LeaseSource;
use crate::fs::method::CopyMethod;
use crate::ioctl::{self, OrderFlags, ReportFlags, set_text, text};
use crate::mount::table::{self, Mount};

/// A path in a mount of ours.
pub(super) struct MountPath {
    pub mount: Mount,
    /// The path as the mount itself names it, from its root.
    pub inside: PathBuf,
}

impl MountPath {
    /// Finds the mount of `path`, which exists, after all symlinks.
    pub(super) fn of(path: &Path) -> Result<Self, Failure> {
        let resolved = path.canonicalize().map_err(|error| about(path, &error))?;
        let table = table::read().map_err(|error| about("/proc/self/mountinfo", &error))?;
        let mount = table.of(&resolved).filter(|mount| mount.is_ours()).cloned();
        let located = mount.and_then(|mount| Some(Self { inside: table::path_inside(&mount, &resolved)?, mount }));
        located.ok_or_else(|| Failure::new(format!("{}: not on a mount of blobcp", path.display())))
    }

    /// The path of `source`, which is at this place, as an ioctl on a file of `other`'s mount names it. `hint` says what
    /// to do if that is another mount.
    pub(super) fn beside(self, other: &Self, source: &Path, hint: &str) -> Result<String, Failure> {
        let shown = source.display();
        if self.mount.device != other.mount.device {
            return Err(Failure::new(format!("{shown}: not on the same mount as the destination{hint}")));
        }
        self.inside.into_os_string().into_string().map_err(|_| Failure::new(format!("{shown}: not UTF-8")))
    }
}

/// A file or directory to ask about. Reading it is not meant, so that nothing is fetched.
pub(super) fn open(path: &Path) -> Result<File, Failure> {
    MountPath::of(path)?;
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    options.open(path).map_err(|error| about(path, &error))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Pending,
    Success,
    Aborted,
    Failed,
}

impl Status {
    /// Every one, with its number in an ioctl and its name.
    const TABLE: [(Self, u32, &'static str); 4] = [
        (Self::Pending, ioctl::PENDING, "pending"),
        (Self::Success, ioctl::SUCCESS, "success"),
        (Self::Aborted, ioctl::ABORTED, "aborted"),
        (Self::Failed, ioctl::FAILED, "failed"),
    ];

    fn of(number: u32) -> io::Result<Self> {
        let row = Self::TABLE.into_iter().find(|(_, known, _)| *known == number);
        row.map(|(status, ..)| status).ok_or_else(|| {
            io::Error::other(format!("the mount answers with copy status {number}; is it of another version?"))
        })
    }

    pub(super) fn name(self) -> &'static str {
        Self::TABLE[self as usize].2
    }
}

/// The last copy onto a file. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CopyState {
    pub status: Status,
    pub copied: u64,
    pub total: u64,
    /// Seconds since the epoch; `None` while pending.
    pub completed: Option<i64>,
    pub id: String,
    /// URL, without a signature.
    pub source: String,
    /// The reason why it failed or takes long; mostly empty.
    pub description: String,
    /// The mount makes it in blocks.
    pub in_blocks: bool,
}

/// The state of the last copy onto a file, from the service. `None`: nothing was ever copied onto it.
pub(super) fn state(file: &File) -> io::Result<Option<CopyState>> {
    let mut status = ioctl::Status::new_zeroed();
    match call(file, ioctl::STATUS, &mut status) {
        Err(error) if error.raw_os_error() == Some(libc::ENODATA) => return Ok(None),
        result => result?,
    }
    let ioctl::Status { status: number, bytes_copied, total_bytes, completion_time, .. } = status;
    let texts = [&status.id[..], &status.source, &status.description].map(|field| text(field).unwrap_or_default());
    let state = CopyState::read((number, status.method), (bytes_copied, total_bytes), completion_time, texts)?;
    Ok(Some(state))
}

/// [`state`] of the file at a path, which `file` was opened by: what a copy has made of it may be another file, and is
/// opened instead.
pub(super) fn state_at(path: &Path, file: &mut File) -> io::Result<Option<CopyState>> {
    match state(file) {
        Err(error) if error.raw_os_error() == Some(libc::ESTALE) => {
            *file = open(path).map_err(|_| error)?;
            state(file)
        }
        state => state,
    }
}

impl CopyState {
    /// A state by its number and that of its method, bytes copied and of the source, end, and id, source and description.
    fn read(
        (number, method): (u32, u32),
        bytes: (u64, u64),
        ended: i64,
        [id, source, description]: [&str; 3],
    ) -> io::Result<Self> {
        Ok(Self {
            status: Status::of(number)?,
            copied: bytes.0,
            total: bytes.1,
            completed: (ended != 0).then_some(ended),
            id: id.to_owned(),
            source: source.to_owned(),
            description: description.to_owned(),
            in_blocks: method == ioctl::BLOCKS_METHOD,
        })
    }
}

/// Properties that a copy gets instead of its source's.
#[derive(clap::Args, Default)]
pub(super) struct CopyProperties {
    /// Access tier of the copy; an archived SRC needs one.
    #[arg(long, value_name = "TIER", value_parser = tier)]
    pub tier: Option<String>,
    /// Metadata of the copy, instead of all of SRC's.
    #[arg(long = "meta", value_name = "NAME=VALUE", value_parser = metadata)]
    pub metadata: Vec<String>,
    /// Id of the lease that DST has; it must be an infinite one.
    #[arg(long, value_name = "ID")]
    pub lease_id: Option<String>,
}

/// A tier as the service spells it, however it was typed. One that is not known here is for the service to judge.
fn tier(text: &str) -> Result<String, String> {
    const NAMES: [&str; 5] = ["Hot", "Cool", "Cold", "Archive", "Premium"];
    let of_page_blobs = || {
        let digits = text.strip_prefix(['p', 'P'])?;
        (!digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())).then(|| format!("P{digits}"))
    };
    let known = NAMES.into_iter().find(|name| name.eq_ignore_ascii_case(text)).map(str::to_owned);
    Ok(known.or_else(of_page_blobs).unwrap_or_else(|| text.to_owned()))
}

fn metadata(text: &str) -> Result<String, &'static str> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err("must be NAME=VALUE, such as --meta project=apollo"),
    }
}

/// The way that a copy goes, and the protection of its source and of what it replaces.
#[derive(clap::Args, Default, Clone, Copy)]
pub(super) struct Protection {
    /// Bring back what was at DST if the copy fails or is aborted.
    #[arg(long)]
    pub keep_on_abort: bool,
    /// Lease SRC, so that nobody changes it meanwhile: never, pending (while the copy is), always [default: as the
    /// mount does].
    #[arg(long, value_name = "WHEN", hide_possible_values = true)]
    pub lease_source: Option<LeaseSource>,
    /// From another account: blob (one Copy Blob), blocks (many requests at once; what is at DST stays until the end), auto
    /// (the faster one) [default: as the mount does].
    #[arg(long, value_name = "METHOD", hide_possible_values = true)]
    pub copy_method: Option<CopyMethod>,
}

impl Protection {
    /// Flags of [`ioctl::Copy`] and [`ioctl::Tree`].
    pub(super) fn flags(self) -> OrderFlags {
        let mut flags = match self.lease_source {
            None => OrderFlags::empty(),
            Some(LeaseSource::Never) => OrderFlags::NO_LEASE,
            Some(LeaseSource::Pending) => OrderFlags::LEASE_SOURCE,
            Some(LeaseSource::Always) => OrderFlags::LEASE_SOURCE | OrderFlags::LEASE_EARLY,
        };
        flags.set(OrderFlags::SNAPSHOT_FIRST, self.keep_on_abort);
        flags
            | match self.copy_method {
                None => OrderFlags::empty(),
                Some(CopyMethod::Auto) => OrderFlags::BY_COPY_BLOB | OrderFlags::BY_BLOCKS,
                Some(CopyMethod::Blob) => OrderFlags::BY_COPY_BLOB,
                Some(CopyMethod::Blocks) => OrderFlags::BY_BLOCKS,
            }
    }
}

impl CopyProperties {
    pub(super) fn is_set(&self) -> bool {
        self.tier.is_some() || !self.metadata.is_empty() || self.lease_id.is_some()
    }
}

/// Starts a copy of `source`, a path from the mount's root or a URL, onto `name` in `directory`, with these flags of
/// [`ioctl::Copy`]. Returns as soon as it is accepted: its id, and whether it is done already.
pub(super) fn start(
    directory: &File,
    source: &str,
    name: &str,
    flags: OrderFlags,
    properties: &CopyProperties,
) -> io::Result<(String, Status)> {
    let mut copy = ioctl::Copy::new_zeroed();
    if !set_text(&mut copy.tier, properties.tier.as_deref().unwrap_or_default())
        || !set_text(&mut copy.metadata, &properties.metadata.join("\n"))
    {
        return Err(io::Error::from_raw_os_error(libc::E2BIG));
    }
    copy.flags = OrderFlags::NO_WAIT | flags;
    if let Some(lease) = &properties.lease_id {
        copy.flags |= OrderFlags::LEASE_ID;
        if !set_text(&mut copy.id, lease) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
    }
    if !set_text(&mut copy.source, source) || !set_text(&mut copy.destination, name) {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    call(directory, ioctl::COPY, &mut copy)?;
    Ok((text(&copy.id).unwrap_or_default().to_owned(), Status::of(copy.status)?))
}

/// Aborts the pending copy onto a file; only that one, if an id is given. ENODATA if none is pending.
pub(super) fn abort(file: &File, id: Option<&str>) -> io::Result<()> {
    let mut abort = ioctl::Abort::new_zeroed();
    set_text(&mut abort.id, id.unwrap_or_default());
    call(file, ioctl::ABORT, &mut abort)
}

/// What this thread was refused last on the mount of an open file, if the errno of that is the one of `error`. A mount of
/// another version does not know.
pub(super) fn refusal(file: &File, error: &io::Error) -> Option<Refusal> {
    let mut reason = ioctl::Reason::new_zeroed();
    call(file, ioctl::REASON, &mut reason).ok()?;
    let said = text(&reason.text).filter(|said| !said.is_empty())?;
    let of_the_source = reason.about == ioctl::OF_THE_SOURCE;
    (error.raw_os_error() == Some(reason.error)).then(|| Refusal { of_the_source, text: said.to_owned() })
}

/// A failure of a call on an open file, with the mount's words.
pub(super) fn refused(path: &Path, file: &File, error: &io::Error) -> Failure {
    let known = refusal(file, error).map(|refusal| refusal.text).unwrap_or_default();
    Failure::new(explained(path.display(), error, &known))
}

/// The words for a refusal.
pub(super) struct Refusal {
    /// It is about the source of a copy.
    pub of_the_source: bool,
    pub text: String,
}

/// Takes a snapshot of a file; the moment by which it is found.
pub(super) fn snapshot(file: &File) -> io::Result<String> {
    let mut snapshot = ioctl::Snapshot::new_zeroed();
    call(file, ioctl::SNAPSHOT, &mut snapshot)?;
    Ok(text(&snapshot.moment).unwrap_or_default().to_owned())
}

/// The lease of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    pub state: String,
    /// Empty while it is not leased.
    pub duration: String,
    /// Empty if nobody holds it.
    pub holder: String,
}

impl Lease {
    pub(super) fn is_held(&self) -> bool {
        ["leased", "breaking"].contains(&self.state.as_str())
    }
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.state)?;
        match self.duration.as_str() {
            "" => {}
            "infinite" => f.write_str(" without end")?,
            "fixed" => f.write_str(" for a minute at most, unless it is renewed")?,
            other => write!(f, ", {other}")?,
        }
        if !self.holder.is_empty() {
            write!(f, ", by {}", self.holder)?;
        }
        Ok(())
    }
}

/// The lease of a file as it is, or as it is after `action`, one of [`ioctl::SHOW`] and [`ioctl::BREAK`].
pub(super) fn lease(file: &File, action: u32) -> io::Result<Lease> {
    let mut lease = ioctl::Lease::new_zeroed();
    lease.action = action;
    call(file, ioctl::LEASE, &mut lease)?;
    let owned = |field: &[u8]| text(field).unwrap_or_default().to_owned();
    Ok(Lease { state: owned(&lease.state), duration: owned(&lease.duration), holder: owned(&lease.holder) })
}

/// Something that a mount which was killed has left.
pub(super) struct Leftover {
    /// Path from the directory that was searched.
    pub path: String,
    pub kind: &'static str,
    pub bytes: u64,
    /// Seconds since the epoch.
    pub since: i64,
    /// As in [`ioctl::Leftovers::records`].
    pub errno: i32,
    pub what: String,
}

/// Kinds of what is left, with their numbers.
const KINDS: [(u32, &str); 8] = [
    (ioctl::BACKUP, "snapshot"),
    (ioctl::HIDDEN, "hidden file"),
    (ioctl::LEASED, "lease"),
    (ioctl::MOVE, "renamed file"),
    (ioctl::MOVE_TREE, "renamed directory"),
    (ioctl::PENDING_COPY, "pending copy"),
    (ioctl::BLOCKS, "uncommitted blocks"),
    (ioctl::GIVEN_UP, "unfinished copy"),
];

/// Some of what is left below an open directory; with `clean`, after it was ended as far as that can be. True at the end.
pub(super) fn leftovers(directory: &File, again: bool, clean: bool) -> io::Result<(Vec<Leftover>, bool)> {
    let mut leftovers = Box::new(ioctl::Leftovers::new_zeroed());
    leftovers.flags.set(ReportFlags::AGAIN, again);
    leftovers.flags.set(ReportFlags::CLEAN, clean);
    call(directory, ioctl::LEFTOVERS, &mut *leftovers)?;
    let found = ioctl::records(leftovers.count, &leftovers.records).map(|(entry, [path, _, _, what])| Leftover {
        path: path.to_owned(),
        kind: KINDS.iter().find(|(number, _)| *number == entry.status).map_or("something", |(_, kind)| kind),
        bytes: entry.total_bytes,
        since: entry.modified,
        errno: entry.error,
        what: what.to_owned(),
    });
    let found = found.collect();
    Ok((found, leftovers.flags.contains(ReportFlags::DONE)))
}

fn call<T: FromBytes + IntoBytes>(file: &File, command: u32, payload: &mut T) -> io::Result<()> {
    // SAFETY: the command's number says how many bytes the kernel reads and writes there, and a test of `ioctl`
    // compares that with the structure's size; any bytes written are a value of it.
    match unsafe { libc::ioctl(file.as_raw_fd(), command as _, std::ptr::from_mut(payload)) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Adds a source to what is being copied into an open directory: `name` is what it is called there. `flags` are those
/// of [`ioctl::Tree`].
pub(super) fn add_tree(directory: &File, source: &str, name: &str, flags: OrderFlags, jobs: u32) -> io::Result<()> {
    let mut tree = ioctl::Tree::new_zeroed();
    (tree.flags, tree.jobs) = (flags, jobs);
    if !set_text(&mut tree.source, source) || !set_text(&mut tree.destination, name) {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    call(directory, ioctl::TREE, &mut tree)
}

/// Progress of one file, or the outcome of its copy.
pub(super) struct FileProgress {
    /// One of the numbers for [`ioctl::Entry::status`].
    pub status: u32,
    /// Path from the open directory.
    pub path: String,
    pub copied: u64,
    pub total: u64,
    pub errno: i32,
    pub id: String,
    pub reason: String,
}

/// The outcome of copies into an open directory. Waits for something to tell, a fifth of a second at most.
pub(super) fn progress(directory: &File) -> io::Result<(Box<ioctl::News>, Vec<FileProgress>)> {
    let mut news = Box::new(ioctl::News::new_zeroed());
    call(directory, ioctl::NEWS, &mut *news)?;
    let entries = ioctl::records(news.count, &news.records).map(|(entry, [path, id, _, reason])| FileProgress {
        status: entry.status,
        path: path.to_owned(),
        copied: entry.bytes_copied,
        total: entry.total_bytes,
        errno: entry.error,
        id: id.to_owned(),
        reason: reason.to_owned(),
    });
    let entries = entries.collect();
    Ok((news, entries))
}

/// Where an archived file is on its way back, in the service's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Archive {
    /// `rehydrate-pending-to-hot` and the like; `None` if nobody brings it back.
    pub status: Option<String>,
    /// `Standard`, `High`.
    pub priority: Option<String>,
}

/// The value of an attribute of a file; `None` if it has none.
pub(super) fn attribute(path: &Path, name: &str) -> io::Result<Option<String>> {
    // A URL has up to twelve characters for each of the 1024 of a blob's name, and more before them.
    let mut value = [0_u8; 16 << 10];
    match rustix::fs::getxattr(path, format!("user.blob.{name}"), &mut value[..]) {
        Ok(length) => Ok(Some(String::from_utf8_lossy(&value[..length]).into_owned())),
        Err(Errno::NODATA) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What the mount of a path has to say of itself, in lines.
pub(super) fn warnings(path: &Path) -> io::Result<Vec<String>> {
    let mut value = [0_u8; 4096];
    match rustix::fs::getxattr(path, "user.blob.warnings", &mut value[..]) {
        Ok(length) => Ok(String::from_utf8_lossy(&value[..length]).lines().map(str::to_owned).collect()),
        // One of another version has nothing to say.
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Whether a file is archived, as far as the mount knows; if so, the service is asked whether it comes back.
fn archive(path: &Path) -> io::Result<Option<Archive>> {
    match attribute(path, "tier")?.as_deref() {
        Some("Archive") => archive_now(path),
        _ => Ok(None),
    }
}

/// Whether a file is archived, by asking the service.
pub(super) fn archive_now(path: &Path) -> io::Result<Option<Archive>> {
    // This one is asked for each time, and the others are then as new.
    let status = attribute(path, "archive_status")?;
    let archived = status.is_some() || attribute(path, "tier")?.as_deref() == Some("Archive");
    let priority = if status.is_some() { attribute(path, "rehydrate_priority")? } else { None };
    Ok(archived.then_some(Archive { status, priority }))
}

/// A file, and the last copy onto it if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub path: PathBuf,
    pub state: Option<CopyState>,
    /// When a pending copy was started: seconds since the epoch.
    pub started: Option<i64>,
    /// Of a file that was named, if it is archived.
    pub archive: Option<Archive>,
}

impl Row {
    /// The copy, while it is pending.
    pub(super) fn pending(&self) -> Option<&CopyState> {
        self.state.as_ref().filter(|state| state.status == Status::Pending)
    }
}

/// The files that a command is about.
#[derive(clap::Args)]
pub(super) struct Paths {
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// All files below directories, too.
    #[arg(short, long)]
    pub recursive: bool,
}

/// The files of a tree that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selection {
    All,
    /// Those whose last copy is pending or ended without success.
    Unfinished,
    /// And those whose copy ended at that time or later: seconds since the epoch.
    UnfinishedOrSince(i64),
}

/// The service's answer about the copies onto `paths`, and onto all files below those that are directories if
/// `recursive`: of those as `selection` says. A tree is one request per 5000 files. What cannot be asked is complained
/// about, unless it is not there and `quiet` says that it need not be; the second value tells whether that happened.
pub(super) fn rows(
    command: &str,
    paths: &[PathBuf],
    recursive: bool,
    selection: Selection,
    quiet: bool,
) -> (Vec<Row>, bool) {
    let mut found = Vec::new();
    let mut complete = true;
    for path in paths {
        let asked = match path.metadata() {
            Ok(metadata) if metadata.is_dir() && !recursive => {
                Err(Failure::new(format!("{}: is a directory; -r takes the files in it", path.display())))
            }
            Ok(metadata) if metadata.is_dir() => tree(path, selection, &mut found),
            Ok(metadata) => one(path, &metadata).map(|row| found.push(row)),
            Err(error) if quiet && error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(about(path, &error)),
        };
        if let Err(failure) = asked {
            failure.complain(command);
            complete = false;
        }
    }
    (found, complete)
}

fn one(path: &Path, metadata: &std::fs::Metadata) -> Result<Row, Failure> {
    let state = state(&open(path)?).map_err(|error| about(path, &error))?;
    let archive = archive(path).map_err(|error| about(path, &error))?;
    Ok(Row { path: path.to_path_buf(), state, started: Some(metadata.mtime()), archive })
}

fn tree(top: &Path, selection: Selection, found: &mut Vec<Row>) -> Result<(), Failure> {
    let directory = open(top)?;
    let mut copies = Box::new(ioctl::Copies::new_zeroed());
    let mut again = ReportFlags::AGAIN;
    loop {
        (copies.flags, copies.since) = match selection {
            Selection::All => (again, 0),
            Selection::Unfinished => (again | ReportFlags::UNFINISHED, 0),
            Selection::UnfinishedOrSince(since) => (again | ReportFlags::UNFINISHED, since),
        };
        match call(&directory, ioctl::COPIES, &mut *copies) {
            // An account: its containers are listed one by one.
            Err(error) if error.raw_os_error() == Some(libc::EXDEV) => {
                let read = || -> io::Result<Vec<PathBuf>> { top.read_dir()?.map(|entry| Ok(entry?.path())).collect() };
                let mut below = read().map_err(|error| about(top, &error))?;
                below.sort_unstable();
                return below.iter().try_for_each(|path| tree(path, selection, found));
            }
            asked => asked.map_err(|error| about(top, &error))?,
        }
        for (entry, [path, id, source, description]) in ioctl::records(copies.count, &copies.records) {
            let bytes = (entry.bytes_copied, entry.total_bytes);
            let numbers = (entry.status, entry.method);
            let read = || CopyState::read(numbers, bytes, entry.completion_time, [id, source, description]);
            let state = (entry.status != 0).then(read).transpose().map_err(|error| about(top, &error))?;
            found.push(Row { path: top.join(path), state, started: Some(entry.modified), archive: None });
        }
        if copies.flags.contains(ReportFlags::DONE) {
            return Ok(());
        }
        again = ReportFlags::empty();
    }
}

/// Waits until the copies onto some of the files have ended: which of them. Empty after `timeout`, or when a signal
/// came.
pub(super) fn ended(files: &[&File], timeout: std::time::Duration) -> io::Result<Vec<usize>> {
    let mut polled: Vec<PollFd<'_>> = files.iter().map(|file| PollFd::new(file, PollFlags::IN)).collect();
    // What is longer than the kernel can count is without end.
    let timeout = Timespec::try_from(timeout).ok();
    match poll(&mut polled, timeout.as_ref()) {
        Err(Errno::INTR) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
        Ok(_) => Ok((0..polled.len()).filter(|index| !polled[*index].revents().is_empty()).collect()),
    }
}
