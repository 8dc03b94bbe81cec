//! `blobcp abort`.

use std::io;
use std::path::{Path, PathBuf};

use super::{Failure, about, complain, on_mount};

const MORE: &str = "\
The service leaves an empty file where the copy would have been.

Examples:
  blobcp abort backup/disk.img
  blobcp abort -r backup";

/// Abort pending copies onto files
#[derive(clap::Args)]
#[command(after_help = MORE)]
pub struct Arguments {
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// All pending copies below directories.
    #[arg(short, long)]
    recursive: bool,
}

impl Arguments {
    pub fn run(self) -> Result<(), Failure> {
        super::end_quietly_without_readers();
        let (files, mut complete) = on_mount::files("abort", &self.paths, self.recursive);
        for path in &files {
            match abort(path) {
                Ok(true) => println!("{}: aborted", path.display()),
                // In a tree it is the rule that most files have nothing to abort.
                Ok(false) if self.recursive => {}
                Ok(false) => {
                    complain("abort", format_args!("{}: no copy onto it is pending", path.display()));
                    complete = false;
                }
                Err(failure) => {
                    complain("abort", failure.message.unwrap_or_default());
                    complete = false;
                }
            }
        }
        if complete { Ok(()) } else { Err(Failure::said()) }
    }
}

/// False: there was nothing to abort.
fn abort(path: &Path) -> Result<bool, Failure> {
    let file = on_mount::open(path)?;
    let nothing = |error: &io::Error| error.raw_os_error() == Some(libc::ENODATA);
    match on_mount::abort(&file, None) {
        Ok(()) => Ok(true),
        Err(error) if nothing(&error) => Ok(false),
        Err(error) => Err(about(path, &error)),
    }
}
