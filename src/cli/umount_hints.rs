//! What to do when `blobcp umount` cannot: where the mount is that was meant, and who may unmount it.

use std::ffi::CStr;
use std::path::{Path, PathBuf};

use super::failure::{Failure, about, reason};
use crate::mount::table::{self, Mount, Table, path_inside};

/// Leaves the directory in which the command was started: if that is in the mount, it would itself keep it in use. All
/// paths have to be absolute by then.
pub(super) fn step_out() {
    // The root is always there; if not, the mount is in use as before.
    let _ = std::env::set_current_dir("/");
}

/// Why a mount cannot be unmounted by this user.
pub(super) fn refused(mount: &Mount, error: &std::io::Error) -> Failure {
    let point = mount.point.display();
    let own = rustix::process::geteuid();
    if own.is_root() {
        return about(&mount.point, error);
    }
    if mount.root != Path::new("/") {
        let what = format!("{point}: a bind mount, which only root may unmount: sudo umount {point}");
        return Failure::new(what);
    }
    match mount.user.filter(|user| *user != own.as_raw()) {
        Some(user) => {
            Failure::new(format!("{point}: {} has mounted it; only that user and root may unmount it", name(user)))
        }
        None => Failure::new(format!("{point}: {}", reason(error))),
    }
}

/// A mount is in use because others are mounted in it.
pub(super) fn below(mount: &Mount) -> Option<Failure> {
    let table = table::read().ok()?;
    let in_it = |other: &&Mount| other.point != mount.point && other.point.starts_with(&mount.point);
    let points: Vec<String> = table.iter().filter(in_it).map(|other| other.point.display().to_string()).collect();
    let (first, is_one) = (points.first()?, points.len() == 1);
    let what = if is_one { first.clone() } else { format!("{first} and {} more", points.len() - 1) };
    let verb = if is_one { "is" } else { "are" };
    Some(Failure::new(format!(
        "{}: in use: {what} {verb} mounted in it, to be unmounted before",
        mount.point.display()
    )))
}

/// Nothing of ours is mounted at `path`, which is `resolved` without symlinks: what is there, or where it is.
pub(super) fn elsewhere(path: &Path, resolved: &Path, table: &Table) -> Failure {
    let path = path.display();
    if let Some(other) = table.at(resolved) {
        return Failure::new(format!("{path}: a mount of {}, not of blobcp: umount {path}", other.kind));
    }
    if let Some(mount) = table.of(resolved).filter(|mount| mount.is_ours()) {
        let point = mount.point.display();
        return Failure::new(format!("{path}: not a mount point, but in the mount at {point}: blobcp umount {point}"));
    }
    if let Some(point) = behind_a_bind(resolved, table) {
        let point = point.display();
        return Failure::new(format!("{path}: nothing is mounted by this path, but at {point}: blobcp umount {point}"));
    }
    Failure::new(format!("{path}: not a mount point of blobcp; blobcp mount --list shows those that there are"))
}

/// The mount point that a directory is by another path: where one directory has two paths by a bind mount, what is
/// mounted on it may be seen by one of them only.
fn behind_a_bind(path: &Path, table: &Table) -> Option<PathBuf> {
    let place = |path: &Path| {
        let around = table.of(path)?;
        Some((around.device, path_inside(around, path)?))
    };
    let wanted = place(path)?;
    let covered = |mount: &&Mount| {
        let around = mount.point.parent().and_then(|parent| table.of(parent));
        around.and_then(|around| Some((around.device, path_inside(around, &mount.point)?))) == Some(wanted.clone())
    };
    table.ours().find(covered).map(|mount| mount.point.clone())
}

/// The name of a user, or the number where there is none.
fn name(user: u32) -> String {
    // SAFETY: the command has one thread that asks for names, and what is returned is copied at once.
    let found = unsafe {
        let entry = libc::getpwuid(user);
        entry.as_ref().map(|entry| CStr::from_ptr(entry.pw_name).to_string_lossy().into_owned())
    };
    found.unwrap_or_else(|| format!("user {user}"))
}
