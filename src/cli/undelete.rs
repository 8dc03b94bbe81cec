//! `blobcp undelete`: a rename out of `.deleted`, which the mount takes for that.

use std::path::{Path, PathBuf};

use super::failure::{Failure, about, each};
use super::on_mount::MountPath;

/// The hidden directory that shows what was deleted.
const DELETED: &str = ".deleted";

const MORE: &str = "\
The account must keep what is deleted (soft delete). 'ls .deleted' shows what
can be brought back of a directory. In a hierarchical namespace directories
come back with all that was in them, and of a name that was deleted more than
once what was deleted last.

Examples:
  blobcp undelete report.csv
  ls -l .deleted
  mv .deleted/report.csv .";

/// Bring back files that were deleted
#[derive(clap::Args)]
#[command(after_help = MORE)]
pub(super) struct Arguments {
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        each("undelete", &self.paths, undelete)
    }
}

fn undelete(path: &Path) -> Result<(), Failure> {
    let nameless = || Failure::new(format!("{}: names no file", path.display()));
    let (name, parent) = (path.file_name().ok_or_else(nameless)?, path.parent().ok_or_else(nameless)?);
    // As it was called, or where it is shown now.
    let directory = match parent.file_name() {
        Some(shown) if shown == DELETED => parent.parent().unwrap_or(Path::new("")),
        _ => parent,
    };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    MountPath::of(directory)?;
    let (from, to) = (directory.join(DELETED).join(name), directory.join(name));
    // The mount refuses it as well, but a plain rename says nothing of what is there.
    let flags = rustix::fs::RenameFlags::NOREPLACE;
    let moved = rustix::fs::renameat_with(rustix::fs::CWD, &from, rustix::fs::CWD, &to, flags);
    moved.map_err(|error| about(path, &error.into()))
}
