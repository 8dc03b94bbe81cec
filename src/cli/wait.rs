//! `blobcp wait`: returns when copies have ended.
//!
//! Files are waited for by poll(2) on the mount, which looks at each copy once for all who wait. Trees are listed again
//! and again, one request per 5000 files.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use super::failure::{Failure, about, complain};
use super::on_mount::{self, CopyState, MountPath, Paths, Selection, Status};

/// The time between two listings of a tree.
const INTERVAL: Duration = Duration::from_secs(1);
/// The longest time between two looks at a file that comes back from the archive.
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);
/// Descriptors that are open at once.
const AT_ONCE: usize = 256;

const MORE: &str = "\
The exit status is 0 only if the last copy onto every PATH was successful;
with --rehydrated, if none of them is archived any more.
Ctrl-C ends the waiting, not the copies.

Examples:
  blobcp cp --no-wait disk.img backup/ && blobcp wait backup/disk.img
  blobcp wait -r backup || blobcp status -r backup
  setfattr -n user.blob.tier -v Hot old.img && blobcp wait --rehydrated old.img";

/// Wait for the end of copies onto files
#[derive(clap::Args)]
#[command(after_help = MORE)]
pub(super) struct Arguments {
    #[command(flatten)]
    of: Paths,
    /// Until archived files are back, which takes hours.
    #[arg(long)]
    rehydrated: bool,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        if self.rehydrated {
            return Failure::unless(self.wait_for_the_archive());
        }
        let (trees, files): (Vec<PathBuf>, Vec<PathBuf>) =
            self.of.paths.iter().cloned().partition(|path| path.is_dir());
        let mut good = true;
        for chunk in files.chunks(AT_ONCE) {
            good &= wait_for_files(chunk)?;
        }
        good &= self.wait_for_trees(&trees);
        Failure::unless(good)
    }

    /// Asks about each file until it is back, from time to time. A file that nobody brings back is no success.
    fn wait_for_the_archive(&self) -> bool {
        let mut good = true;
        let mut waiting: Vec<PathBuf> = Vec::new();
        for path in &self.of.paths {
            let found = MountPath::of(path).and_then(|_| files_below(path, self.of.recursive, &mut waiting));
            if let Err(failure) = found {
                failure.complain("wait");
                good = false;
            }
        }
        let mut pause = INTERVAL;
        loop {
            waiting.retain(|path| match on_mount::archive_now(path) {
                Ok(None) => false,
                Ok(Some(archive)) if archive.status.is_some() => true,
                Ok(Some(_)) => {
                    let path = path.display();
                    complain("wait", format_args!("{path}: it is archived, and nobody brings it back: set its tier"));
                    good = false;
                    false
                }
                Err(error) => {
                    about(path, &error).complain("wait");
                    good = false;
                    false
                }
            });
            if waiting.is_empty() {
                return good;
            }
            sleep(pause);
            pause = LONGEST_INTERVAL.min(pause * 2);
        }
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

/// The file at a path, or all below it that are files.
fn files_below(path: &Path, recursive: bool, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| about(path, &error);
    let metadata = path.symlink_metadata().map_err(failed)?;
    if metadata.is_dir() && !recursive {
        return Err(Failure::new(format!("{}: is a directory; -r takes the files in it", path.display())));
    }
    if !metadata.is_dir() {
        found.push(path.to_path_buf());
        return Ok(());
    }
    for entry in path.read_dir().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            files_below(&entry.path(), true, found)?;
        } else if entry.file_type().map_err(failed)?.is_file() {
            found.push(entry.path());
        }
    }
    Ok(())
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
            let (path, file) = &mut pending[index];
            match on_mount::state_at(path, file) {
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
