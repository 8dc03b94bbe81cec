//! `blobcp snapshot`.

use std::path::{Path, PathBuf};

use super::failure::{Failure, about, each};
use super::on_mount;

const MORE: &str = "\
A snapshot keeps a file as it is now. It is a file itself, which can be read
and copied; copied over its own name it brings that state back.

Examples:
  blobcp snapshot report.csv
  ls .snapshots/report.csv
  cp .snapshots/report.csv/2026-11-22T10:26:38.5720000Z report.csv
  rm .snapshots/report.csv/2026-11-22T10:26:38.5720000Z";

/// Take snapshots of files, and print where they are
#[derive(clap::Args)]
#[command(after_help = MORE)]
pub(super) struct Arguments {
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        each("snapshot", &self.paths, |path| {
            println!("{}", snapshot(path)?.display());
            Ok(())
        })
    }
}

/// Takes a snapshot of the file at `path`; the snapshot's own path.
fn snapshot(path: &Path) -> Result<PathBuf, Failure> {
    let file = on_mount::open(path)?;
    // The snapshot stands beside the file itself, not beside a symlink to it.
    let file_path =
        if path.is_symlink() { path.canonicalize().map_err(|error| about(path, &error))? } else { path.into() };
    let moment = on_mount::snapshot(&file).map_err(|error| about(path, &error))?;
    let name = file_path.file_name().unwrap_or_default();
    Ok(file_path.with_file_name(".snapshots").join(name).join(moment))
}
