//! `blobcp lease`.

use std::path::{Path, PathBuf};

use super::failure::{Failure, each};
use super::on_mount;
use crate::ioctl;

const MORE: &str = "\
Who has a lease keeps all others from writing to a file. A mount leases the
source of a pending copy; such a lease ends with the copy, or within a minute
if the mount is killed. Others may be without end: 'break' ends them at once.

Examples:
  blobcp lease show disk.img
  blobcp lease break disk.img";

/// Show the lease of a file, or break one that was left behind
#[derive(clap::Args)]
#[command(after_help = MORE)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Print state and holder
    Show(Paths),
    /// End it at once, whoever holds it
    Break(Paths),
}

#[derive(clap::Args)]
struct Paths {
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (paths, action) = match self.action {
            Action::Show(Paths { paths }) => (paths, ioctl::SHOW),
            Action::Break(Paths { paths }) => (paths, ioctl::BREAK),
        };
        each("lease", &paths, |path| {
            println!("{}: {}", path.display(), lease(path, action)?);
            Ok(())
        })
    }
}

fn lease(path: &Path, action: u32) -> Result<on_mount::Lease, Failure> {
    let file = on_mount::open(path)?;
    on_mount::lease(&file, action).map_err(|error| match error.raw_os_error() {
        Some(libc::ENODATA) => Failure::new(format!("{}: it is not leased", path.display())),
        _ => on_mount::refused(path, &file, &error),
    })
}
