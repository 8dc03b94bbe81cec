//! What mounts that were killed have left: shown by `blobcp status --leftovers`, ended by `blobcp clean`.

use std::io;
use std::path::{Path, PathBuf};

use super::failure::{Failure, about, each};
use super::format;
use super::on_mount::{self, Leftover};

const MORE: &str = "\
A mount that is killed, or a machine that fails, may leave something at the
service: a snapshot that kept what a copy was to replace, a file under its old
name and its new one, a lease. What is proven to be of no use any more is
removed, what a failed copy has replaced comes back, and what is in doubt stays,
with the reason. Each is a line; the exit status is 1 if something stays.

Examples:
  blobcp status --leftovers ~/mnt
  blobcp clean --dry-run ~/mnt/photos
  blobcp clean ~/mnt";

/// End what mounts that were killed have left
#[derive(clap::Args)]
#[command(after_help = MORE)]
pub(super) struct Arguments {
    /// A directory of a mount: what is below it.
    #[arg(value_name = "DIR", required = true)]
    dirs: Vec<PathBuf>,
    /// Only show what would be done.
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        let look = Look { clean: !self.dry_run, json: self.json };
        each("clean", &self.dirs, |dir| Failure::unless(look.show(dir)?.stays == 0))
    }
}

/// `blobcp status --leftovers`: fails if there is something that does not end by itself.
pub(super) fn show(dirs: &[PathBuf], json: bool) -> Result<(), Failure> {
    let look = Look { clean: false, json };
    each("status", dirs, |dir| {
        let count = look.show(dir)?;
        Failure::unless(count.stays + count.ends == 0)
    })
}

/// Lines that were printed.
#[derive(Default)]
struct Count {
    /// Of what can be ended, or was.
    ends: usize,
    /// Of what stays.
    stays: usize,
    passing: usize,
}

struct Look {
    clean: bool,
    json: bool,
}

impl Look {
    fn show(&self, dir: &Path) -> Result<Count, Failure> {
        let mut count = Count::default();
        self.search(dir, &mut count)?;
        if !self.json && count.ends + count.stays + count.passing == 0 {
            println!("{}: nothing is left", dir.display());
        }
        Ok(count)
    }

    fn search(&self, dir: &Path, count: &mut Count) -> Result<(), Failure> {
        let open = on_mount::open(dir)?;
        let mut again = true;
        loop {
            let (found, done) = match on_mount::leftovers(&open, again, self.clean) {
                // An account: its containers are searched one by one.
                Err(error) if error.raw_os_error() == Some(libc::EXDEV) => {
                    let read =
                        || -> io::Result<Vec<PathBuf>> { dir.read_dir()?.map(|entry| Ok(entry?.path())).collect() };
                    let mut below = read().map_err(|error| about(dir, &error))?;
                    below.sort_unstable();
                    return below.iter().try_for_each(|path| self.search(path, count));
                }
                answer => answer.map_err(|error| about(dir, &error))?,
            };
            for left in found {
                self.print(&dir.join(&left.path), &left, count);
            }
            if done {
                return Ok(());
            }
            again = false;
        }
    }

    fn print(&self, path: &Path, left: &Leftover, count: &mut Count) {
        let fate = match left.errno {
            0 if self.clean => "ended",
            0 => "can be ended",
            libc::EBUSY => "stays",
            libc::EAGAIN => "ends by itself",
            _ => "could not be ended",
        };
        match left.errno {
            0 => count.ends += 1,
            libc::EAGAIN => count.passing += 1,
            _ => count.stays += 1,
        }
        let Leftover { kind, bytes, since, what, .. } = left;
        if self.json {
            let row = serde_json::json!({
                "path": path.display().to_string(), "kind": kind, "bytes": bytes, "since": since, "fate": fate, "what": what,
            });
            println!("{row}");
        } else {
            // Of blocks alone nobody knows.
            let age = if *since > 0 { format!("{} old, ", format::age(*since)) } else { String::new() };
            println!("{}: {kind}, {age}{fate}: {what}", path.display());
        }
    }
}
