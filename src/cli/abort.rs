//! `blobcp abort`.

use std::io;
use std::path::Path;

use super::failure::{Failure, complain};
use super::on_mount::{self, Paths, Selection};

const MORE: &str = "\
The service leaves an empty file where the copy would have been.

Examples:
  blobcp abort backup/disk.img
  blobcp abort -r backup";

/// Abort pending copies onto files
#[derive(clap::Args)]
#[command(after_help = MORE)]
pub(super) struct Arguments {
    #[command(flatten)]
    of: Paths,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        super::failure::end_quietly_without_readers();
        let (rows, mut complete) =
            on_mount::rows("abort", &self.of.paths, self.of.recursive, Selection::Unfinished, false);
        for row in &rows {
            match row.pending().map_or(Ok(false), |state| abort(&row.path, &state.id)) {
                Ok(true) => println!("{}: aborted", row.path.display()),
                // In a tree it is the rule that most files have nothing to abort.
                Ok(false) if self.of.recursive => {}
                Ok(false) => {
                    complain("abort", format_args!("{}: no copy onto it is pending", row.path.display()));
                    complete = false;
                }
                Err(failure) => {
                    failure.complain("abort");
                    complete = false;
                }
            }
        }
        Failure::unless(complete)
    }
}

/// False: it has ended by itself.
fn abort(path: &Path, id: &str) -> Result<bool, Failure> {
    let file = on_mount::open(path)?;
    let nothing = |error: &io::Error| error.raw_os_error() == Some(libc::ENODATA);
    match on_mount::abort(&file, Some(id)) {
        Ok(()) => Ok(true),
        Err(error) if nothing(&error) => Ok(false),
        Err(error) => Err(on_mount::refused(path, &file, &error)),
    }
}
