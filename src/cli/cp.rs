//! `blobcp cp`: what `cp` does on a mount, for sources that are URLs too, many at a time, and with bars.
//!
//! A single copy is ordered by ioctl and accepted at once; then its state is asked for until it has ended. So nothing
//! here keeps a request waiting, Ctrl-C is noticed at once, and it aborts the copy instead of leaving it running.
//! Directories and several files are copied by the mount in one go ([`bulk`]).

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::ProgressBar;
use tokio::time::sleep;

use super::bulk::{self, INTERRUPTED};
use super::failure::{Failure, about};
use super::format;
use super::on_mount::{self, CopyState, MountPath, Status};
use super::signals::{self, Signals};
use crate::ioctl::{self, OrderFlags};
use crate::path::{self, NameError};
use crate::secrets::is_url;

/// First pause between questions; it doubles. Many copies between accounts in one region end within a second.
const FIRST_POLL: Duration = Duration::from_millis(50);
/// Longest pause: a bar that moves twice a second looks alive.
const LONGEST_POLL: Duration = Duration::from_millis(500);

/// Copies at once unless said otherwise: what a connection pool and a service that does other things as well bear
/// easily.
const JOBS: u32 = 32;

const MORE: &str = "\
SRC is a file or, with -r, a directory on the same mount as DST, or one URL that
the service can read: a blob, a file of Azure Files, or any other. DST is a name or a directory on the mount. What is copied
keeps mode, owner and time. Ctrl-C aborts what is pending; a second one leaves
at once.

Of many files, those are skipped that are at DST already as a copy of the same:
by the service's record of the last copy onto it, which ended after the source
was last modified, or by equal MD5; with equal size, type, headers and metadata.
So a copy that was interrupted goes on where it was. The exit status is 0 if all
is copied or skipped, 1 if something failed, 130 after Ctrl-C.
Copied onto itself, a file gets a new time, and the tier or metadata given.

Examples:
  blobcp cp disk.img backup/
  blobcp cp -r photos backup/
  blobcp cp 'https://other.blob.core.windows.net/c/b?sv=…&sig=…' here.img
  blobcp cp --tier Cool disk.img disk.img
  blobcp cp --no-wait disk.img backup/ && blobcp status --watch backup/disk.img";

/// Copy inside the service, with a progress bar
#[derive(clap::Args)]
#[command(after_help = MORE, override_usage = "blobcp cp [OPTIONS] SRC... DST")]
pub(super) struct Arguments {
    #[arg(value_name = "SRC... DST", hide = true)]
    paths: Vec<PathBuf>,
    /// Return when the copy is accepted.
    #[arg(long)]
    no_wait: bool,
    /// Replace nothing: of many files, skip those that exist.
    #[arg(short, long)]
    no_clobber: bool,
    #[command(flatten)]
    properties: on_mount::CopyProperties,
    #[command(flatten)]
    protection: on_mount::Protection,
    /// Directories with all that is in them.
    #[arg(short, long)]
    recursive: bool,
    /// Copies at once; fewer when the service is busy [default: 32].
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    jobs: Option<u32>,
    /// Print what would be copied.
    #[arg(long)]
    dry_run: bool,
    /// One JSON object per line: each file, and in the end a summary.
    #[arg(long)]
    json: bool,
}

/// A copy to order.
struct SingleCopy {
    /// Path from the mount's root, or URL.
    source: String,
    directory: PathBuf,
    name: String,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (destination, sources) = match self.paths.split_last() {
            Some((destination, sources)) if !sources.is_empty() => (destination, sources),
            _ => return Err(Failure::usage("SRC or DST is missing (see blobcp cp --help)")),
        };
        let source = match sources {
            [source] if !self.recursive && !self.dry_run && !self.json && self.jobs.is_none() => source,
            _ => return self.many(sources, destination),
        };
        let order = SingleCopy::new(source, destination)?;
        signals::runtime()?.block_on(self.copy(&order))
    }

    fn many(&self, sources: &[PathBuf], destination: &Path) -> Result<(), Failure> {
        if self.properties.is_set() {
            return Err(Failure::usage("--tier, --meta and --lease-id are for the copy of one file"));
        }
        let mut flags = self.protection.flags();
        flags.set(OrderFlags::NO_REPLACE, self.no_clobber);
        flags.set(OrderFlags::NO_WAIT, self.no_wait);
        flags.set(OrderFlags::RECURSIVE, self.recursive);
        flags.set(OrderFlags::DRY_RUN, self.dry_run);
        let (recursive, json) = (self.recursive, self.json);
        bulk::BulkCopy { sources, destination, recursive, flags, jobs: self.jobs.unwrap_or(JOBS), json }.run()
    }

    async fn copy(&self, order: &SingleCopy) -> Result<(), Failure> {
        let path = order.directory.join(&order.name);
        let mut signals = Signals::listen()?;
        let directory = on_mount::open(&order.directory)?;
        let mut flags = self.protection.flags();
        flags.set(OrderFlags::NO_REPLACE, self.no_clobber);
        let started = on_mount::start(&directory, &order.source, &order.name, flags, &self.properties);
        let (id, status) = started.map_err(|error| refused(&path, &error, self.properties.lease_id.is_some()))?;
        if self.no_wait {
            let id = if id.is_empty() { String::new() } else { format!(", copy id {id}") };
            println!("{}: {}{id}", path.display(), status.name());
            return Ok(());
        }
        if status == Status::Success {
            return Ok(());
        }
        let file = on_mount::open(&path)?;
        tokio::select! {
            ended = follow(&path, &file, &id) => ended,
            () = signals.next() => Err(self.abandon(&path, &file, &id)),
        }
    }
}

/// Waits for the end of the copy and shows how far it is.
async fn follow(path: &Path, file: &File, id: &str) -> Result<(), Failure> {
    let on_terminal = io::stderr().is_terminal();
    let mut bar: Option<ProgressBar> = None;
    let mut pause = FIRST_POLL;
    loop {
        let state = on_mount::state(file).map_err(|error| about(path, &error))?;
        let state = match state {
            Some(state) if state.id == id => state,
            // A copy of its own snapshot over it: by the mount, which had kept it.
            Some(other) if other.source.contains("snapshot=") => {
                let what =
                    "the copy was no success, and what was there before is there again; the mount's log says why";
                return Err(Failure::new(format!("{}: {what}", path.display())));
            }
            _ => return Err(Failure::new(format!("{}: replaced by another writer during the copy", path.display()))),
        };
        if state.status != Status::Pending {
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
            return end(path, &state);
        }
        if on_terminal {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            bar.get_or_insert_with(|| format::byte_bar(&name, state.copied, state.total)).set_position(state.copied);
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_POLL);
    }
}

fn end(path: &Path, state: &CopyState) -> Result<(), Failure> {
    let path = path.display();
    match state.status {
        Status::Success | Status::Pending => Ok(()),
        Status::Aborted => Err(Failure::new(format!("{path}: the copy was aborted"))),
        Status::Failed => Err(Failure::new(format!("{path}: the copy failed: {}", state.description))),
    }
}

/// The reason why a copy was not started. If the destination is leased, with the holder (X5), or that the lease id is
/// of no lease of it (X6).
fn refused(path: &Path, error: &io::Error, named_lease: bool) -> Failure {
    let about_leases = match error.raw_os_error() {
        Some(libc::EBUSY | libc::ENOLCK) => true,
        Some(libc::ESTALE) => named_lease,
        _ => false,
    };
    let lease = match about_leases {
        true => on_mount::open(path).ok().and_then(|file| on_mount::lease(&file, ioctl::SHOW).ok()),
        false => None,
    };
    let what = match lease {
        Some(lease) if lease.is_held() && named_lease => format!("not with that lease id: {lease}"),
        Some(lease) if lease.is_held() => {
            format!("{lease}; --lease-id names the id of an infinite lease, 'blobcp lease break' ends it")
        }
        Some(lease) if named_lease => format!("the lease id is of no lease of it: {lease}"),
        None if named_lease && about_leases => "a lease id was given, and there is no such file".to_owned(),
        _ => return about(path, error),
    };
    Failure::new(format!("{}: {}: {what}", path.display(), super::failure::reason(error)))
}

impl Arguments {
    /// Ctrl-C: ends the copy, unless it has ended by itself.
    fn abandon(&self, path: &Path, file: &File, id: &str) -> Failure {
        let path = path.display();
        let message = match on_mount::abort(file, Some(id)) {
            Ok(()) if on_mount::state(file).is_ok_and(|state| state.is_some_and(|state| state.in_blocks)) => {
                format!("{path}: aborted; nothing of it is left there")
            }
            Ok(()) if self.protection.keep_on_abort => format!("{path}: aborted; what was there before is there again"),
            Ok(()) => format!("{path}: aborted; an empty file is left there"),
            Err(error) if error.raw_os_error() == Some(libc::ENODATA) => {
                format!("{path}: too late to abort, the copy has ended")
            }
            Err(error) => format!("{path}: cannot abort, the copy goes on: {}", super::failure::reason(&error)),
        };
        Failure { message: Some(message), status: INTERRUPTED }
    }
}

impl SingleCopy {
    fn new(source: &Path, destination: &Path) -> Result<Self, Failure> {
        let url = source.to_str().filter(|text| is_url(text));
        let (directory, name) = if destination.is_dir() {
            let name = match url {
                Some(url) => name_in_url(url),
                None => source.file_name().and_then(|name| name.to_str()).map(str::to_owned),
            };
            let what = url.map_or_else(|| source.display().to_string(), |url| without_query(url).to_owned());
            let name = name.ok_or_else(|| Failure::new(format!("{what}: ends in no name to give to the copy")))?;
            (destination.to_path_buf(), name)
        } else {
            let name = destination.file_name().and_then(|name| name.to_str());
            if destination.as_os_str().as_encoded_bytes().ends_with(b"/") || name.is_none() {
                return Err(about(destination, &io::Error::from_raw_os_error(libc::ENOENT)));
            }
            let parent = destination.parent().filter(|parent| !parent.as_os_str().is_empty());
            (parent.unwrap_or(Path::new(".")).to_path_buf(), name.unwrap_or_default().to_owned())
        };
        let target = MountPath::of(&directory)?;
        // The mount would refuse them, but could not say why.
        if path::is_folded(&name) {
            return Err(Failure::new(NameError::Folded(name).to_string()));
        }
        let source = match url {
            Some(url) if path::is_folded_in_url(url) => {
                return Err(Failure::new(NameError::Folded(without_query(url).to_owned()).to_string()));
            }
            Some(url) => url.to_owned(),
            None => on_same_mount(source, &target)?,
        };
        Ok(Self { source, directory, name })
    }
}

/// The path of `source` from the root of the mount that `directory` is in.
fn on_same_mount(source: &Path, directory: &MountPath) -> Result<String, Failure> {
    if source.is_dir() {
        let shown = source.display();
        return Err(Failure::new(format!("{shown}: is a directory; -r copies it with all that is in it")));
    }
    MountPath::of(source)?.beside(directory, source, "; name it by its URL")
}

fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

/// The last part of a URL's path, decoded.
fn name_in_url(url: &str) -> Option<String> {
    let path = without_query(url).split_once("://")?.1.split_once('/')?.1;
    let name = path.rsplit('/').next().filter(|name| !name.is_empty())?;
    let name = percent_encoding::percent_decode_str(name).decode_utf8().ok()?;
    (!name.contains('/')).then(|| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_the_copy() {
        assert_eq!(name_in_url("https://a.b/c/d%20e.img?sig=x/y").as_deref(), Some("d e.img"));
        for nameless in ["https://a.b", "https://a.b/", "https://a.b/c/", "https://a.b/c/d%2Fe"] {
            assert_eq!(name_in_url(nameless), None, "{nameless}");
        }
    }
}
