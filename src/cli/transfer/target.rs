//! Where the content of a copy goes until it is whole.
//!
//! What nobody has yet is made under its own name. What replaces a file is written beside it, under a name that nobody
//! has, and takes its place by rename(2) when it is whole and stored: until then the old one is there, whatever happens.
//! Devices and pipes of a shell are written to as they are. What was made for a copy that came to no end is removed.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::IntoRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, fsetxattr, getxattr, listxattr};

use super::work::Work;

/// Bytes of a value or of all names: more than that no attributes have.
const ATTRIBUTE: usize = 1 << 16;

/// Attributes that are the file's own, where others only tell what a service knows of one version of it.
const KEPT_OF_BLOBS: [&str; 7] = [
    "user.blob.meta.",
    "user.blob.tag.",
    "user.blob.content_type",
    "user.blob.content_encoding",
    "user.blob.content_language",
    "user.blob.content_disposition",
    "user.blob.cache_control",
];

/// What chmod, chown and utimens say, each of which is done by itself. As attributes they would have an empty blob
/// stored before the content, which then has no tags.
const SAID_OTHERWISE: [&str; 5] = ["mtime", "permissions", "owner", "group", "posix_atime"];

/// A name that was made, and is removed again unless it has become what was wanted.
struct Made {
    path: PathBuf,
    /// Device and inode: what somebody else has put there meanwhile stays.
    identity: Option<(u64, u64)>,
}

impl Made {
    /// It is what was wanted.
    fn keep(mut self) {
        self.path = PathBuf::new();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let identity = |there: Metadata| (there.dev(), there.ino());
        let is_ours = || self.identity.is_none() || self.path.symlink_metadata().ok().map(identity) == self.identity;
        if !self.path.as_os_str().is_empty() && is_ours() {
            // That it cannot be removed is less than what went wrong before.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A file that is being written. What was made for it goes before it is closed, so that no mount stores the half.
pub(super) struct Target {
    made: Option<Made>,
    pub file: File,
    /// The file whose place it takes.
    place: Option<PathBuf>,
}

impl Target {
    /// Opens what a copy is written to. `there` is what is at `to`, if anything.
    pub(super) fn open(work: &Work, to: &Path, source: &Metadata, there: Option<&Metadata>) -> io::Result<Self> {
        let Some(there) = there else {
            let file = create(to, source)?;
            let identity = Some(file.metadata().map(|found| (found.dev(), found.ino()))?);
            return Ok(Self { made: Some(Made { path: to.to_path_buf(), identity }), file, place: None });
        };
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(libc::O_NOCTTY | if work.follows(to) { 0 } else { libc::O_NOFOLLOW });
        if !there.is_file() {
            return Ok(Self { made: None, file: options.open(to)?, place: None });
        }
        // Who may not write to it may not replace it, and a mount says here what keeps it: a lease, a policy, a copy.
        match options.open(to) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && work.habits.force => {}
            opened => drop(opened?),
        }
        // A symlink that was typed stays one.
        let place = if work.follows(to) { to.canonicalize()? } else { to.to_path_buf() };
        let path = beside(&place);
        let file = create(&path, source)?;
        let target = Self { made: Some(Made { path, identity: None }), file, place: Some(place) };
        target.take_attributes(there, work.habits.keeps_owner());
        Ok(target)
    }

    /// What is lost with the old file, and no content: whose it is, and what its attributes say. As far as they can be
    /// set, for without them it is as after cp(1) where nothing was.
    fn take_attributes(&self, there: &Metadata, owner_is_given: bool) {
        let Some(place) = &self.place else { return };
        let is_anothers = |own: Metadata| (own.uid(), own.gid()) != (there.uid(), there.gid());
        if !owner_is_given && self.file.metadata().is_ok_and(is_anothers) {
            let _ = fchown(&self.file, Some(there.uid()), Some(there.gid()));
        }
        let mut names = vec![0_u8; ATTRIBUTE];
        let Ok(count) = listxattr(place, &mut names[..]) else { return };
        let mut value = vec![0_u8; ATTRIBUTE];
        for name in names[..count].split(|byte| *byte == 0).filter_map(|name| str::from_utf8(name).ok()) {
            if is_own(name)
                && let Ok(size) = getxattr(place, name, &mut value[..])
            {
                let _ = fsetxattr(&self.file, name, &value[..size], XattrFlags::empty());
            }
        }
    }

    /// Whether it is a file, and not what is only written to.
    pub(super) fn has_attributes(&self) -> bool {
        self.made.is_some()
    }

    /// Closes what is whole, and gives it its name.
    pub(super) fn finish(self) -> io::Result<()> {
        let Self { made, file, place } = self;
        close(file)?;
        if let (Some(made), Some(place)) = (&made, place) {
            fs::rename(&made.path, place)?;
        }
        made.into_iter().for_each(Made::keep);
        Ok(())
    }
}

/// Whether an attribute goes with a file to its next content.
fn is_own(name: &str) -> bool {
    if name.strip_prefix("user.blob.meta.").is_some_and(|key| SAID_OTHERWISE.contains(&key)) {
        return false;
    }
    match name.strip_prefix("user.") {
        Some(short) if short.starts_with("blob.") => KEPT_OF_BLOBS.iter().any(|kept| name.starts_with(kept)),
        Some(_) => true,
        None => name == "system.posix_acl_access",
    }
}

/// Makes a file where nothing is, also no symlink.
fn create(path: &Path, source: &Metadata) -> io::Result<File> {
    // Nobody else reads what is not there yet in whole.
    let mode = source.permissions().mode() & 0o700 | 0o600;
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// A name in the directory of a path that nobody has.
fn beside(path: &Path) -> PathBuf {
    path.with_file_name(format!(".blobcp-cp-{}", uuid::Uuid::new_v4().simple()))
}

/// Makes a symlink; what is there is replaced by it at once.
pub(super) fn put_symlink(leads_to: &Path, path: &Path, replaces: bool) -> io::Result<()> {
    if !replaces {
        return symlink(leads_to, path);
    }
    let made = Made { path: beside(path), identity: None };
    symlink(leads_to, &made.path)?;
    fs::rename(&made.path, path)?;
    made.keep();
    Ok(())
}

/// What nothing is copied to or from, for reading or writing it may wait for ever.
pub(super) fn is_pipe(found: &Metadata) -> bool {
    found.file_type().is_fifo() || found.file_type().is_socket()
}

/// Closes a file. A mount stores it then, and says now if that failed.
fn close(file: File) -> io::Result<()> {
    // SAFETY: the descriptor is this file's own, and is not used again.
    match unsafe { libc::close(file.into_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
