//! Taking a mount out of the tree of files: by system call as root, through the setuid `fusermount3` as a user.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::mount::UnmountFlags;

/// Unmounts if nothing is open there; EBUSY if something is.
pub fn politely(mountpoint: &Path) -> io::Result<()> {
    unmount(mountpoint, UnmountFlags::empty(), &["-u"])
}

/// Detaches at once; what is open stays until it is closed.
pub fn lazily(mountpoint: &Path) -> io::Result<()> {
    unmount(mountpoint, UnmountFlags::DETACH, &["-u", "-z"])
}

fn unmount(mountpoint: &Path, flags: UnmountFlags, arguments: &[&str]) -> io::Result<()> {
    let mut missing = match rustix::mount::unmount(mountpoint, flags | UnmountFlags::NOFOLLOW) {
        Ok(()) => return Ok(()),
        Err(Errno::PERM) => Errno::PERM.into(),
        Err(error) => return Err(error.into()),
    };
    for program in ["fusermount3", "fusermount"] {
        let run = Command::new(program).args(arguments).arg("--").arg(mountpoint).stdin(Stdio::null()).output();
        match run {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
                let busy = said.contains("busy");
                return Err(if busy { io::Error::from_raw_os_error(libc::EBUSY) } else { io::Error::other(said) });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing = io::Error::other("fusermount3 is missing: install the package fuse3");
            }
            Err(error) => return Err(error),
        }
    }
    Err(missing)
}
