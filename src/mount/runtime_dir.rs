//! The directory of a user where the processes behind mounts leave what `umount` looks for.
//!
//! Nobody else may write there, or even look: a name that others can take is a name by which they can keep an `umount`
//! waiting, or have it return too early. Root's is `/run/blobcp`. Others have two: one in `$XDG_RUNTIME_DIR`, usually
//! `/run/user/UID`, where root finds it, too; and one in the directory of the logs, because the first is removed when
//! the user logs out.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::config::places::{home, home_of, set};

/// Where root's programs keep what is to last: the same at boot, in a unit and by hand, whatever `HOME` says.
const STATE_OF_THE_MACHINE: &str = "/var/lib/blobcp";

/// Where programs of this user keep what is to last; `None` without a home, as at boot.
pub(crate) fn state_home() -> Option<PathBuf> {
    set("XDG_STATE_HOME").or_else(|| Some(home()?.join(".local/state")))
}

/// The places where mounts of this user write down what they have under way (`fs::journal`): the first that can be
/// written to is used, and what was left in the others is found, too.
///
/// Root's is the machine's. A mount that a line of fstab makes at boot has no home and one that root makes by hand has
/// one, and each is to find what the other has left.
pub(crate) fn journal_homes() -> Vec<PathBuf> {
    let own = state_home().map(|dir| dir.join("blobcp"));
    let user = geteuid();
    let mut places: Vec<PathBuf> = if user.is_root() {
        // As a mount of root's with a home had it once, and has where the machine's cannot be written.
        let former = own.or_else(|| Some(home_of(0)?.join(".local/state/blobcp")));
        [given().unwrap_or_else(|| STATE_OF_THE_MACHINE.into())].into_iter().chain(former).collect()
    } else {
        own.into_iter().collect()
    };
    // `HOME` may be somebody else's, as sudo leaves it: what is there is not this user's to believe.
    places.retain(|dir| fs::metadata(dir).map_or(true, |found| found.uid() == user.as_raw()));
    places.dedup();
    places.into_iter().map(|dir| dir.join("journal")).collect()
}

/// The directory that systemd has for what is to last of a unit of blobcp (`StateDirectory=`, see systemd.exec(5)). One
/// of another name is that of a service whose script mounts something.
fn given() -> Option<PathBuf> {
    set("STATE_DIRECTORY").filter(|dir| dir.is_absolute() && dir.ends_with("blobcp"))
}

/// Where it can be, the best place first. Those of another user's that only that user's environment tells are left out.
fn places(user: u32) -> Vec<PathBuf> {
    if user == 0 {
        return vec!["/run/blobcp".into()];
    }
    let usual = PathBuf::from(format!("/run/user/{user}/blobcp"));
    if geteuid().as_raw() != user {
        return vec![usual];
    }
    let own = set("XDG_RUNTIME_DIR").map(|dir| dir.join("blobcp"));
    own.into_iter().chain([usual]).chain(state_home().map(|dir| dir.join("blobcp/run"))).collect()
}

/// Only that user, and root, can have put something there.
fn is_private(dir: &Path, user: u32) -> bool {
    fs::symlink_metadata(dir).is_ok_and(|found| found.is_dir() && found.uid() == user && found.mode() & 0o077 == 0)
}

/// The directories of the user who runs this, made if need be: the first that there is a place for, and the one that
/// stays.
pub(super) fn make() -> impl Iterator<Item = PathBuf> {
    let user = geteuid().as_raw();
    let stays = |dir: &Path| dir.ends_with("blobcp/run");
    let is_made = move |dir: &Path| {
        // The directory above is the system's or the user's; that of the logs may have to be made, too.
        let _ = DirBuilder::new().mode(0o700).recursive(stays(dir)).create(dir);
        is_private(dir, user)
    };
    let mut has_usual = false;
    places(user).into_iter().filter(move |dir| {
        let wanted = stays(dir) || !has_usual;
        let made = wanted && is_made(dir);
        has_usual |= made;
        made
    })
}

/// The directories of a user that are there.
pub(super) fn of(user: u32) -> impl Iterator<Item = PathBuf> {
    places(user).into_iter().filter(move |dir| is_private(dir, user))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_directory_that_others_could_have_prepared_is_not_taken() {
        let top = tempfile::tempdir().unwrap();
        let user = geteuid().as_raw();
        let (dir, link) = (top.path().join("d"), top.path().join("l"));
        fs::create_dir(&dir).unwrap();
        symlink(&dir, &link).unwrap();
        for (mode, private) in [(0o700, true), (0o750, false), (0o701, false), (0o777, false)] {
            fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_private(&dir, user), private, "{mode:o}");
        }
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!is_private(&link, user) && !is_private(&dir, user + 1) && !is_private(&dir.join("none"), user));
    }

    #[test]
    fn another_users_is_where_everybody_knows_it() {
        let stranger = geteuid().as_raw() + 7;
        assert_eq!(places(stranger), [PathBuf::from(format!("/run/user/{stranger}/blobcp"))]);
        assert_eq!(places(0), [PathBuf::from("/run/blobcp")]);
    }
}
