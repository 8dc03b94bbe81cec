//! `blobcp first-copy`: for who mounts in place of a process that may not.
//!
//! A mount makes its first copy before anybody is told of it (design, kernel fact 17). A process that serves
//! `/dev/fd/N` does not know where that is mounted, and may not even see it. So it waits, and whoever mounted it makes
//! the copy.

use std::io;
use std::path::PathBuf;

use super::failure::{Failure, about};
use crate::mount::{make_first_copy, table};

/// Make the first copy of a mount that was made for a container
///
/// To be called by whoever has mounted a descriptor of /dev/fuse that 'blobcp mount SOURCE /dev/fd/N' serves, before
/// anybody else uses it: without it, two first copies at the same time can have the kernel move all data itself for as
/// long as the mount lives. Where the mount is read-only, who serves it is told so instead. It does nothing if a copy was
/// made already. Unless the mount has allow_other, it lets in only the user whom it was mounted for (user_id=), not even
/// root.
#[derive(clap::Args)]
pub(super) struct Arguments {
    mountpoint: PathBuf,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        let point = self.mountpoint.canonicalize().map_err(|error| about(&self.mountpoint, &error))?;
        let table = table::read().map_err(|error| about("/proc/self/mountinfo", &error))?;
        let Some(mount) = table.at(&point).filter(|mount| mount.kind.starts_with("fuse")) else {
            return Err(Failure::new(format!("{}: nothing is mounted there by FUSE", self.mountpoint.display())));
        };
        make_first_copy(&point).map_err(|error| {
            let Failure { message, status } = about(&self.mountpoint, &error);
            let user = mount.user.filter(|_| error.kind() == io::ErrorKind::PermissionDenied);
            let hint = user.map(|user| format!("; run it as user {user}, or mount with allow_other"));
            Failure { message: message.map(|message| message + &hint.unwrap_or_default()), status }
        })
    }
}
