//! `blobcp wait`: returns when copies have ended.
//!
//! Files are waited for by poll(2) on the mount, which looks at each copy once for all who wait. Trees are listed again
//! and again, one request per 5000 files.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use super::failure::{Failure, about, complain};
use super::on_mount::{self, CopyState, Paths, Selection, Status};

/// The time between two listings of a tree.
const INTERVAL: Duration = Duration::from_secs(1);
/// Descriptors that are open at once.
const AT_ONCE: usize = 256;

const MORE: &str = "\
The exit status is 0 only if the last copy onto every PATH was successful.
Ctrl-C ends the waiting, not the copies.

Examples:
  blobcp cp --no-wait disk.img backup/ && blobcp wait backup/disk.img
  blobcp wait -r backup || blobcp status -r backup";

/// Wait for the end of copies onto files
#[derive(clap::Args)]
#[command(after_help = MORE)]
pub(super) struct Arguments {
    #[command(flatten)]
    of: Paths,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (trees, files): (Vec<PathBuf>, Vec<PathBuf>) =
            self.of.paths.iter().cloned().partition(|path| path.is_dir());
        let mut good = true;
        for chunk in files.chunks(AT_ONCE) {
            good &= wait_for_files(chunk)?;
        }
        good &= self.wait_for_trees(&trees);
        Failure::unless(good)
    }

    fn wait_for_trees(&self, trees: &[PathBuf]) -> bool {
        loop {
            let (rows, complete) = on_mount::rows("wait", trees, self.of.recursive, Selection::Unfinished, false);
            if !complete || !rows.iter().any(|row| row.pending().is_some()) {
                // What is listed still has failed. All are judged, so that each is named.
                let ends: Vec<bool> = rows.iter().map(|row| judge(&row.path, row.state.as_ref())).collect();
                return complete && ends.into_iter().all(|good| good);
            }
            sleep(INTERVAL);
        }
    }
}

fn wait_for_files(paths: &[PathBuf]) -> Result<bool, Failure> {
    let mut good = true;
    let mut pending: Vec<(&PathBuf, File)> = Vec::new();
    for path in paths {
        match on_mount::open(path) {
            Ok(file) => pending.push((path, file)),
            Err(failure) => {
                failure.complain("wait");
                good = false;
            }
        }
    }
    // The first look is at all: a file without a pending copy is always ready.
    let mut ready: Vec<usize> = (0..pending.len()).collect();
    loop {
        for index in ready.into_iter().rev() {
            let (path, file) = &pending[index];
            match on_mount::state(file) {
                Ok(Some(state)) if state.status == Status::Pending => continue,
                Ok(state) => good &= judge(path, state.as_ref()),
                Err(error) => {
                    about(path, &error).complain("wait");
                    good = false;
                }
            }
            pending.remove(index);
        }
        if pending.is_empty() {
            return Ok(good);
        }
        let files: Vec<&File> = pending.iter().map(|(_, file)| file).collect();
        let waited = std::time::Instant::now();
        ready = on_mount::ended(&files, Duration::from_secs(600)).map_err(|error| about("poll", &error))?;
        // Ready at once, and still pending: a mount that knows no better is not asked in a circle.
        if waited.elapsed() < Duration::from_millis(20) {
            sleep(Duration::from_millis(200));
        }
    }
}

/// Whether the copy was successful; says so if it was not.
fn judge(path: &Path, state: Option<&CopyState>) -> bool {
    let path = path.display();
    match state.map(|state| (state.status, &state.description)) {
        Some((Status::Success, _)) => return true,
        Some((Status::Pending, _)) => complain("wait", format_args!("{path}: the copy is still pending")),
        Some((Status::Aborted, _)) => complain("wait", format_args!("{path}: the copy was aborted")),
        Some((Status::Failed, why)) => complain("wait", format_args!("{path}: the copy failed: {why}")),
        None => complain("wait", format_args!("{path}: no copy was made onto this file")),
    }
    false
}
