//! Who may do what: by calls that the kernel asks nobody about, ioctls and attributes, and by those that it does.
//!
//! Programs run as users that no file of this machine names, with `docs/ioctl.py` for the ioctls.

use crate::common::*;

mod attributes;
mod everybody;
mod urls;

const IOCTL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");

/// A user of this machine, by the options of setpriv.
#[derive(Debug, Clone, Copy)]
pub struct User(&'static str);

const ROOT: User = User("--reuid 0 --regid 0 --clear-groups");
const OWNER: User = User("--reuid 10001 --regid 10001 --groups 10050");
/// In a group of the owner's.
const FRIEND: User = User("--reuid 10002 --regid 10002 --groups 10050");
const STRANGER: User = User("--reuid 10003 --regid 10003 --clear-groups");

/// What every program begins with: `errno_of` makes a call and names how it failed, `-` if it did not.
const PRELUDE: &str = "import os, sys, errno
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[2])
import ioctl
os.chdir(sys.argv[1])
def errno_of(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return '-'
";

/// The shell command that runs a program as that user in the current directory.
fn command(user: User, program: &str) -> String {
    let User(user) = user;
    // Debian's own Python, for another one may be where only root looks.
    let python = "/usr/bin/python3 -I -";
    format!("dir=$PWD; cd /; exec setpriv {user} {python} \"$dir\" {IOCTL} <<'END'\n{PRELUDE}\n{program}\nEND")
}

/// What a program prints that runs as that user in `one/box`.
fn as_user(world: &World, user: User, program: &str) -> String {
    world.ok(&command(user, program))
}

/// A mount that lets other users in.
fn open_to_all() -> World {
    World::with(Setup { allow_other: true, ..Setup::default() })
}

/// Metadata of a blob in `one/box`.
fn metadata(world: &World, name: &str, key: &str) -> Option<String> {
    world.properties(ONE, name).unwrap().metadata.get(key).map(str::to_owned)
}

/// The query of a SAS by which somebody may read a blob of `box`.
fn signature(world: &World, account: &str, name: &str) -> String {
    use blobcp::store::AccountKey;
    use blobcp::store::sas::{self, Validity};
    let key = AccountKey::parse(&world.store.account_key(account).unwrap()).unwrap();
    let validity = Validity::for_the_next(std::time::Duration::from_secs(3600));
    sas::read_blob(&key, world.client(account).account(), &path(name), None, &validity, "2025-11-05")
        .expose()
        .to_owned()
}
