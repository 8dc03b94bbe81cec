//! The places of configuration files.
//!
//! A user has a file of one's own, and the machine has one for mounts that are nobody's, as those of fstab are. Which
//! of them is meant is decided here and nowhere else: a mount that is made by hand and one that is made at boot, where
//! there is no `HOME`, must not mean different ones by the same line of fstab.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

/// The machine's file.
pub(crate) const OF_THE_MACHINE: &str = "/etc/blobcp/config.toml";

/// A variable that names a directory, if it is set to something.
pub(crate) fn set(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The home of this user: `HOME`, and where that is not set what the machine's list of users says. Root has none then:
/// that is how it is at boot, and what is done then is for the machine.
pub(crate) fn home() -> Option<PathBuf> {
    set("HOME").or_else(|| if geteuid().is_root() { None } else { home_of(geteuid().as_raw()) })
}

/// The home of a user by the machine's list of users; `None` if it is not there.
pub(crate) fn home_of(user: u32) -> Option<PathBuf> {
    let mut entry = std::mem::MaybeUninit::<libc::passwd>::uninit();
    let mut texts = vec![0; 16 << 10];
    let mut found = std::ptr::null_mut();
    // SAFETY: all pointers are to memory of this function, and the length is that of `texts`.
    let error = unsafe { libc::getpwuid_r(user, entry.as_mut_ptr(), texts.as_mut_ptr(), texts.len(), &raw mut found) };
    if error != 0 || found.is_null() {
        return None;
    }
    // SAFETY: the call has filled `entry`, whose texts are in `texts` and end with a zero byte.
    let dir = unsafe { CStr::from_ptr(entry.assume_init().pw_dir) };
    let path = PathBuf::from(OsStr::from_bytes(dir.to_bytes()));
    path.is_dir().then_some(path)
}

/// `$XDG_CONFIG_HOME/blobcp/config.toml`, by default under `~/.config`; `None` without a home.
pub(crate) fn own() -> Option<PathBuf> {
    let base = set("XDG_CONFIG_HOME").or_else(|| Some(home()?.join(".config")))?;
    Some(base.join("blobcp/config.toml"))
}

/// The file that is read if none is named: one's own, and the machine's where there is no home or no such file.
pub(super) fn usual() -> PathBuf {
    let of_the_machine = PathBuf::from(OF_THE_MACHINE);
    match own() {
        Some(own) if own.exists() || !of_the_machine.exists() => own,
        _ => of_the_machine,
    }
}

/// The file for what mount(8) asks for, if none is named: for root the machine's, where there is one, whatever `HOME`
/// says. `None` for the usual one.
pub(crate) fn of_fstab() -> Option<PathBuf> {
    let machines = Path::new(OF_THE_MACHINE);
    (geteuid().is_root() && machines.exists()).then(|| machines.to_path_buf())
}

/// The file that a new account is written to, if none is named: one's own, for root the machine's, which fstab and units
/// read.
pub(crate) fn to_write() -> PathBuf {
    match own() {
        Some(own) if !geteuid().is_root() => own,
        _ => OF_THE_MACHINE.into(),
    }
}

/// Root's two files, where both are there: the one that commands read, and the machine's. A line that names both, for
/// whoever looks at one and means the other.
pub(crate) fn both_of_root() -> Option<String> {
    let own = own().filter(|own| geteuid().is_root() && own.exists() && Path::new(OF_THE_MACHINE).exists())?;
    let own = own.display();
    Some(format!(
        "fstab and units read {OF_THE_MACHINE}; commands of root's read {own}, unless --config says otherwise"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_home_without_the_variable() {
        assert_eq!(home_of(0), Some("/root".into()));
        assert_eq!(home_of(4_000_000_001), None);
    }
}
