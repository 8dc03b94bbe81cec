//! `blobcp snapshot`.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::failure::{Failure, about, each, end_quietly_without_readers};
use super::on_mount::{self, Selection};
use crate::sync::lock;

/// Snapshots at once: each is one request, and what a connection pool bears easily.
const AT_ONCE: usize = 16;

const MORE: &str = "\
A snapshot keeps a file as it is now. It is a file itself, which can be read
and copied; copied over its own name it brings that state back. With -r each
file is kept as it is when its turn comes, not all as at one moment.

Examples:
  blobcp snapshot report.csv
  blobcp snapshot -r reports
  ls .snapshots/report.csv
  cp .snapshots/report.csv/2026-11-22T10:26:38.5720000Z report.csv
  rm .snapshots/report.csv/2026-11-22T10:26:38.5720000Z";

/// Take snapshots of files, and print where they are
#[derive(clap::Args)]
#[command(after_help = MORE)]
pub(super) struct Arguments {
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Of each file below directories.
    #[arg(short, long, visible_short_alias = 'R')]
    recursive: bool,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        if !self.recursive {
            return each("snapshot", &self.paths, |path| {
                println!("{}", snapshot(path)?.display());
                Ok(())
            });
        }
        end_quietly_without_readers();
        let mut good = true;
        for path in &self.paths {
            good &= if path.is_dir() { below(path) } else { all_of(std::slice::from_ref(path)) };
        }
        Failure::unless(good)
    }
}

/// Of all files below a directory. False if one of them failed.
fn below(directory: &Path) -> bool {
    let (rows, complete) = on_mount::rows("snapshot", &[directory.to_path_buf()], true, Selection::All, false);
    // What a symlink leads to is not below the directory because of that.
    let files: Vec<PathBuf> = rows.into_iter().map(|row| row.path).filter(|path| !path.is_symlink()).collect();
    complete & all_of(&files)
}

/// Takes a snapshot of each, several at a time.
fn all_of(files: &[PathBuf]) -> bool {
    let (next, good, out) = (AtomicUsize::new(0), AtomicBool::new(true), Mutex::new(()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(files.len()) {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let taken = snapshot(file);
                    let _one_line_at_a_time = lock(&out);
                    match taken {
                        Ok(path) => println!("{}", path.display()),
                        Err(failure) => {
                            failure.complain("snapshot");
                            good.store(false, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    good.into_inner()
}

/// Takes a snapshot of the file at `path`; the snapshot's own path.
fn snapshot(path: &Path) -> Result<PathBuf, Failure> {
    let file = on_mount::open(path)?;
    // The snapshot stands beside the file itself, not beside a symlink to it.
    let file_path =
        if path.is_symlink() { path.canonicalize().map_err(|error| about(path, &error))? } else { path.into() };
    let moment = on_mount::snapshot(&file).map_err(|error| match error.raw_os_error() {
        Some(libc::EISDIR) => {
            Failure::new(format!("{}: is a directory; -r takes one of each file in it", path.display()))
        }
        _ => on_mount::refused(path, &file, &error),
    })?;
    let name = file_path.file_name().unwrap_or_default();
    Ok(file_path.with_file_name(".snapshots").join(name).join(moment))
}
