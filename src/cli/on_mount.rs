//! Asking a mount about its files, by ioctl.
//!
//! A path leads to a mount through `/proc/self/mountinfo`; only if that says `fuse.blobcp` is anything asked, because our numbers may
//! mean something else to the file of another driver.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Failure, about};
use crate::ioctl::{self, Payload, set_text, text, zeroed};
use crate::mount::table::{self, Mount};

/// A path in a mount of ours.
pub struct Located {
    pub mount: Mount,
    /// The path as the mount itself names it, from its root.
    pub inside: PathBuf,
}

impl Located {
    /// Where `path`, which exists, is after all symlinks.
    pub fn of(path: &Path) -> Result<Self, Failure> {
        let resolved = path.canonicalize().map_err(|error| about(path, &error))?;
        let table = table::read().map_err(|error| about("/proc/self/mountinfo", &error))?;
        let mount = table.of(&resolved).filter(|mount| mount.is_ours()).cloned();
        let located = mount.and_then(|mount| Some(Self { inside: table::path_inside(&mount, &resolved)?, mount }));
        located.ok_or_else(|| Failure::new(format!("{}: not on a mount of blobcp", path.display())))
    }
}

/// A file or directory to ask about. Reading it is not meant, so that nothing is fetched.
pub fn open(path: &Path) -> Result<File, Failure> {
    Located::of(path)?;
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    options.open(path).map_err(|error| about(path, &error))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Pending,
    Success,
    Aborted,
    Failed,
}

impl Status {
    fn of(number: u32) -> io::Result<Self> {
        match number {
            ioctl::PENDING => Ok(Self::Pending),
            ioctl::SUCCESS => Ok(Self::Success),
            ioctl::ABORTED => Ok(Self::Aborted),
            ioctl::FAILED => Ok(Self::Failed),
            _ => {
                Err(io::Error::other(format!("the mount answers with copy status {number}; is it of another version?")))
            }
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Aborted => "aborted",
            Self::Failed => "failed",
        }
    }
}

/// The last copy onto a file. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub status: Status,
    pub copied: u64,
    pub total: u64,
    /// Seconds since the epoch; `None` while pending.
    pub completed: Option<i64>,
    pub id: String,
    /// URL, without a signature.
    pub source: String,
    /// Why it failed, or why it takes long; mostly empty.
    pub description: String,
}

/// The state of the last copy onto a file, from the service. `None`: nothing was ever copied onto it.
pub fn state(file: &File) -> io::Result<Option<State>> {
    let mut status: ioctl::Status = zeroed();
    match call(file, ioctl::STATUS, &mut status) {
        Err(error) if error.raw_os_error() == Some(libc::ENODATA) => return Ok(None),
        result => result?,
    }
    let owned = |field: &[u8]| text(field).unwrap_or_default().to_owned();
    Ok(Some(State {
        status: Status::of(status.status)?,
        copied: status.bytes_copied,
        total: status.total_bytes,
        completed: (status.completion_time != 0).then_some(status.completion_time),
        id: owned(&status.id),
        source: owned(&status.source),
        description: owned(&status.description),
    }))
}

/// What a copy gets that its source has not.
#[derive(clap::Args, Default)]
pub struct Own {
    /// Access tier of the copy; an archived SRC needs one.
    #[arg(long, value_name = "TIER")]
    pub tier: Option<String>,
    /// Metadata of the copy, instead of all of SRC's.
    #[arg(long = "meta", value_name = "NAME=VALUE")]
    pub metadata: Vec<String>,
}

/// Starts a copy of `source`, a path from the mount's root or a URL, onto `name` in `directory`. Returns as soon as it is accepted: its
/// id, and whether it is done already.
pub fn start(directory: &File, source: &str, name: &str, no_replace: bool, own: &Own) -> io::Result<(String, Status)> {
    let mut copy: ioctl::Copy = zeroed();
    if !set_text(&mut copy.tier, own.tier.as_deref().unwrap_or_default())
        || !set_text(&mut copy.metadata, &own.metadata.join("\n"))
    {
        return Err(io::Error::from_raw_os_error(libc::E2BIG));
    }
    copy.flags = ioctl::NO_WAIT | if no_replace { ioctl::NO_REPLACE } else { 0 };
    if !set_text(&mut copy.source, source) || !set_text(&mut copy.destination, name) {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    call(directory, ioctl::COPY, &mut copy)?;
    Ok((text(&copy.id).unwrap_or_default().to_owned(), Status::of(copy.status)?))
}

/// Aborts the pending copy onto a file; only that one, if an id is given. ENODATA if none is pending.
pub fn abort(file: &File, id: Option<&str>) -> io::Result<()> {
    let mut abort: ioctl::Abort = zeroed();
    set_text(&mut abort.id, id.unwrap_or_default());
    call(file, ioctl::ABORT, &mut abort)
}

/// Takes a snapshot of a file; the moment by which it is found.
pub fn snapshot(file: &File) -> io::Result<String> {
    let mut snapshot: ioctl::Snapshot = zeroed();
    call(file, ioctl::SNAPSHOT, &mut snapshot)?;
    Ok(text(&snapshot.moment).unwrap_or_default().to_owned())
}

fn call<T: Payload>(file: &File, command: u32, payload: &mut T) -> io::Result<()> {
    // SAFETY: the command's number says how many bytes the kernel reads and writes there, and a test of `ioctl` compares that with the
    // structure's size; any bytes written are a value of it.
    match unsafe { libc::ioctl(file.as_raw_fd(), command as _, std::ptr::from_mut(payload)) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// The files below `paths` in the order of their names, or the paths themselves unless `recursive`. What cannot be read is complained
/// about; the second value tells whether that happened.
pub fn files(command: &str, paths: &[PathBuf], recursive: bool) -> (Vec<PathBuf>, bool) {
    let mut found = Vec::new();
    let mut complete = true;
    let mut rest: Vec<PathBuf> = paths.iter().rev().cloned().collect();
    while let Some(path) = rest.pop() {
        if !path.is_dir() {
            found.push(path);
        } else if !recursive {
            super::complain(command, format_args!("{}: is a directory; -r takes the files in it", path.display()));
            complete = false;
        } else {
            let read = || -> io::Result<Vec<PathBuf>> { path.read_dir()?.map(|entry| Ok(entry?.path())).collect() };
            match read() {
                Ok(mut entries) => {
                    entries.sort_unstable_by(|a, b| b.cmp(a));
                    rest.append(&mut entries);
                }
                Err(error) => {
                    super::complain(command, format_args!("{}: {}", path.display(), super::reason(&error)));
                    complete = false;
                }
            }
        }
    }
    (found, complete)
}
