//! Taking a mount out of the tree of files: by system call as root, through the setuid `fusermount3` as a user.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Unmounts if nothing is open there; EBUSY if something is.
pub fn politely(mountpoint: &Path) -> io::Result<()> {
    unmount(mountpoint, 0, &["-u"])
}

/// Detaches at once; what is open stays until it is closed.
pub fn lazily(mountpoint: &Path) -> io::Result<()> {
    unmount(mountpoint, libc::MNT_DETACH, &["-u", "-z"])
}

fn unmount(mountpoint: &Path, flags: libc::c_int, arguments: &[&str]) -> io::Result<()> {
    let path = CString::new(mountpoint.as_os_str().as_bytes())?;
    // SAFETY: the pointer is to a string that ends with a zero byte and outlives the call.
    if unsafe { libc::umount2(path.as_ptr(), flags | libc::UMOUNT_NOFOLLOW) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() != Some(libc::EPERM) {
        return Err(error);
    }
    let mut missing = error;
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
