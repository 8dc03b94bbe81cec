//! `blobcp cp`: what `cp` does on a mount, for sources that are URLs too, many at a time, and with bars.
//!
//! A single copy is ordered by ioctl and accepted at once; then its state is asked for until it has ended. So nothing
//! here keeps a request waiting, Ctrl-C is noticed at once, and it aborts the copy instead of leaving it running.
//! Directories and several files are copied by the mount in one go ([`bulk`]).

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;

use super::bulk;
use super::failure::{Failure, INTERRUPTED, about, complain};
use super::format::ByteBar;
use super::naming::{Habits, is_newer, no_directory, without_query};
use super::on_mount::{self, CopyState, MountPath, Protection, Status};
use super::refused::RefusedCopy;
use super::screen;
use super::signals::{self, Signals};
use super::transfer::Transfer;
use crate::ioctl::OrderFlags;
use crate::mount::table::{self, Mount};
use crate::path::{self, NameError};
use crate::secrets::is_url;

/// First pause between questions; it doubles. Many copies between accounts in one region end within a second.
const FIRST_POLL: Duration = Duration::from_millis(50);
/// Longest pause: a bar that moves twice a second looks alive.
const LONGEST_POLL: Duration = Duration::from_millis(500);

/// Copies at once unless said otherwise: what a connection pool and a service that does other things as well bear
/// easily.
const JOBS: u32 = 32;

/// Files at once that go through this machine unless said otherwise: more of them are not faster, and each holds memory
/// here and in the mount.
const TRANSFERS: u32 = 8;

const MORE: &str = "\
SRC is a file or, with -r, a directory, or one URL that the service can read: a
blob, a file of Azure Files, or any other. DST is a name or a directory. Where
both are on one mount, the service copies, and nothing is moved. Where one of
them is not on a mount, what is copied is uploaded or downloaded. What is copied
keeps mode and time, in the service also its owner. Ctrl-C aborts what is
pending; a second one leaves at once. A file that an upload or download is to
replace stays until the new one is whole, and keeps its mode without -p.

Of many files, those are skipped that are at DST already as a copy of the same:
by the service's record of the last copy onto it, which ended after the source
was last modified, or by equal MD5; with equal size, type, headers and metadata.
What is uploaded or downloaded is the same if size and time are. So a copy that
was interrupted goes on where it was when it is typed again, also if there was
no DST before: within a day, and unless something else is there by then, which
-T copies over. The exit status is 0 if all is copied or skipped, 1 if something
failed, 130 after Ctrl-C.
Copied onto itself, a file gets a new time, and the tier or metadata given.

Flags of cp(1) mean what they mean there: -a, -R, -p, -f, -v, -T, -t, -n, -u, -d
and -P.

Examples:
  blobcp cp disk.img backup/
  blobcp cp -r photos backup/
  blobcp cp -a ~/photos /mnt/acct/photos
  blobcp cp 'https://other.blob.core.windows.net/c/b?sv=…&sig=…' here.img
  blobcp cp --tier Cool disk.img disk.img
  blobcp cp --no-wait disk.img backup/ && blobcp status --watch backup/disk.img";

/// Copy inside the service, or to and from it, with a progress bar
#[derive(clap::Args)]
#[command(after_help = MORE, override_usage = "blobcp cp [OPTIONS] SRC... DST\n       blobcp cp [OPTIONS] -t DIRECTORY SRC...")]
pub(super) struct Arguments {
    #[arg(value_name = "SRC... DST", hide = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    command: CopyCommand,
}

/// All but what is to be copied.
#[derive(clap::Args)]
struct CopyCommand {
    /// Return when the copy is accepted.
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    properties: on_mount::CopyProperties,
    #[command(flatten)]
    protection: on_mount::Protection,
    #[command(flatten)]
    habits: Habits,
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

/// Who moves the content of a source.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The service: source and destination are there.
    Inside,
    /// This machine: one of them is not on a mount.
    Across,
}

/// The way of a source to its destination.
fn way(source: &Path, destination: &Path, habits: &Habits) -> Result<Way, Failure> {
    let to_mount = is_on_mount(destination);
    let shown = destination.display();
    if let Some(url) = source.to_str().filter(|text| is_url(text)) {
        let what = "not on a mount of blobcp, and the service copies a URL to nowhere else";
        let wrong = || Failure::new(format!("{shown}: {what}: {}", without_query(url)));
        return if to_mount { Ok(Way::Inside) } else { Err(wrong()) };
    }
    let Ok(found) = source.symlink_metadata() else {
        // Whoever copies the others says so.
        return Ok(if to_mount { Way::Inside } else { Way::Across });
    };
    // A symlink in a tree is copied as it is.
    let from_mount = match source.parent().filter(|_| found.is_symlink() && habits.recursive) {
        Some(parent) => is_on_mount(if parent.as_os_str().is_empty() { Path::new(".") } else { parent }),
        None => is_on_mount(source),
    };
    match (from_mount, to_mount) {
        (true, true) => Ok(Way::Inside),
        (false, false) => {
            let what = "neither it nor the destination is on a mount of blobcp; cp copies what is not";
            Err(Failure::new(format!("{}: {what}", source.display())))
        }
        _ => Ok(Way::Across),
    }
}

/// Whether a path is on a mount of ours, or would be if it were there.
fn is_on_mount(path: &Path) -> bool {
    let existing = path.ancestors().find_map(|ancestor| match ancestor.as_os_str().is_empty() {
        true => Path::new(".").canonicalize().ok(),
        false => ancestor.canonicalize().ok(),
    });
    let Some(existing) = existing else { return false };
    table::read().is_ok_and(|table| table.of(&existing).is_some_and(Mount::is_ours))
}

/// A copy to order.
struct SingleCopy {
    /// Path from the mount's root, or URL.
    source: String,
    /// As it was typed.
    shown: String,
    directory: PathBuf,
    name: String,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { paths: mut sources, mut command } = self;
        command.habits.recursive |= command.habits.archive;
        let directory = command.habits.target_directory.clone();
        if let Some(directory) = directory.as_deref().filter(|directory| !directory.is_dir()) {
            let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
            return Err(match directory.metadata() {
                Err(error) if missing(&error) => no_directory(directory),
                Err(error) => about(directory, &error),
                Ok(_) => about(directory, &io::Error::from_raw_os_error(libc::ENOTDIR)),
            });
        }
        let destination = directory.or_else(|| sources.pop());
        let Some(destination) = destination.filter(|_| !sources.is_empty()) else {
            return Err(Failure::usage("SRC or DST is missing (see blobcp cp --help)"));
        };
        command.run(&sources, &destination)
    }
}

impl CopyCommand {
    fn run(&self, sources: &[PathBuf], destination: &Path) -> Result<(), Failure> {
        let ways =
            sources.iter().map(|source| way(source, destination, &self.habits)).collect::<Result<Vec<_>, _>>()?;
        let of = |wanted: Way| {
            let all = sources.iter().zip(&ways).filter(move |(_, way)| **way == wanted);
            all.map(|(source, _)| source.clone()).collect::<Vec<PathBuf>>()
        };
        let (inside, across) = (of(Way::Inside), of(Way::Across));
        let by_service = if inside.is_empty() { Ok(()) } else { self.inside(&inside, destination, sources.len()) };
        if across.is_empty() || by_service.as_ref().is_err_and(|failure| failure.status != 1) {
            return by_service;
        }
        if let Err(failure) = &by_service
            && let Some(message) = &failure.message
        {
            complain("cp", message);
        }
        self.across(&across, destination, sources.len())?;
        Failure::unless(by_service.is_ok())
    }

    /// Nothing was said that takes more than one file.
    fn is_plain(&self, count: usize) -> bool {
        count == 1 && !self.habits.recursive && !self.dry_run && !self.json && self.jobs.is_none()
    }

    /// Copies by the service, of `count` sources in all.
    fn inside(&self, sources: &[PathBuf], destination: &Path, count: usize) -> Result<(), Failure> {
        match sources {
            [source] if self.is_plain(count) => self.single(source, destination),
            _ => self.many(sources, destination),
        }
    }

    /// Uploads and downloads.
    fn across(&self, sources: &[PathBuf], destination: &Path, count: usize) -> Result<(), Failure> {
        let Protection { keep_on_abort, lease_source, copy_method } = self.protection;
        let of_the_service = keep_on_abort || lease_source.is_some() || copy_method.is_some() || self.no_wait;
        if self.properties.is_set() || of_the_service {
            let flags = "--tier, --meta, --lease-id, --keep-on-abort, --lease-source, --copy-method and --no-wait";
            let what = format!("{flags} are for copies by the service: {} is not one", sources[0].display());
            return Err(Failure::usage(what));
        }
        let plain = self.is_plain(count);
        let (jobs, json, dry_run) = (self.jobs.unwrap_or(TRANSFERS), self.json, self.dry_run);
        let download = !is_on_mount(destination);
        Transfer { sources, destination, habits: &self.habits, jobs, json, dry_run, download, plain }.run()
    }

    fn single(&self, source: &Path, destination: &Path) -> Result<(), Failure> {
        let order = SingleCopy::new(source, destination, self.habits.no_target_directory)?;
        let path = order.path();
        if self.is_skipped(source, &path)? {
            if self.habits.verbose {
                println!("skipped '{}'", path.display());
            }
            return Ok(());
        }
        signals::runtime()?.block_on(self.copy(&order))?;
        if self.habits.verbose && !self.no_wait {
            println!("'{}' -> '{}'", without_query(&order.shown), path.display());
        }
        Ok(())
    }

    /// Whether what is there stays, as -n and -u have it.
    fn is_skipped(&self, source: &Path, path: &Path) -> Result<bool, Failure> {
        let Habits { no_clobber, update, .. } = self.habits;
        let there = match path.symlink_metadata() {
            Ok(there) if no_clobber || update => there,
            _ => return Ok(false),
        };
        if no_clobber {
            return Ok(true);
        }
        if source.to_str().is_some_and(is_url) {
            return Err(Failure::usage("-u is for files: the time of a URL is not known"));
        }
        let new = source.metadata().map_err(|error| about(source, &error))?;
        Ok(!is_newer(&new, &there))
    }

    fn many(&self, sources: &[PathBuf], destination: &Path) -> Result<(), Failure> {
        if self.properties.is_set() {
            return Err(Failure::usage("--tier, --meta and --lease-id are for the copy of one file"));
        }
        let mut flags = self.protection.flags();
        flags.set(OrderFlags::NO_REPLACE, self.habits.no_clobber);
        flags.set(OrderFlags::UPDATE, self.habits.update);
        flags.set(OrderFlags::NO_WAIT, self.no_wait);
        flags.set(OrderFlags::RECURSIVE, self.habits.recursive);
        flags.set(OrderFlags::DRY_RUN, self.dry_run);
        let jobs = self.jobs.unwrap_or(JOBS);
        bulk::BulkCopy { sources, destination, habits: &self.habits, flags, jobs, json: self.json }.run()
    }

    async fn copy(&self, order: &SingleCopy) -> Result<(), Failure> {
        let path = order.path();
        let mut signals = Signals::listen()?;
        let directory = on_mount::open(&order.directory)?;
        let mut flags = self.protection.flags();
        flags.set(OrderFlags::NO_REPLACE, self.habits.no_clobber);
        flags.set(OrderFlags::FOLLOWED, !self.no_wait);
        let started = on_mount::start(&directory, &order.source, &order.name, flags, &self.properties);
        let (id, status) = started.map_err(|error| {
            let named_lease = self.properties.lease_id.is_some();
            let refused = RefusedCopy { source: &order.shown, destination: &path, directory: &directory, named_lease };
            refused.failure(&error)
        })?;
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
            // What a signal has ended is not what has become of the copy.
            biased;
            () = signals.next() => Err(Self::abandon(&path, &file, &id)),
            ended = follow(&path, &file, &id) => ended,
        }
    }
}

/// Waits for the end of the copy and shows how far it is.
async fn follow(path: &Path, file: &File, id: &str) -> Result<(), Failure> {
    let mut file = file.try_clone().map_err(|error| about(path, &error))?;
    let on_terminal = io::stderr().is_terminal();
    let mut bar: Option<ByteBar> = None;
    let mut pause = FIRST_POLL;
    loop {
        let state = match on_mount::state_at(path, &mut file) {
            // Whoever hears of the signal is asked first.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                sleep(FIRST_POLL).await;
                continue;
            }
            state => state.map_err(|error| about(path, &error))?,
        };
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
                bar.bar.finish_and_clear();
            }
            return end(path, &state);
        }
        if on_terminal {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let bar = bar.get_or_insert_with(|| ByteBar::new(&name, state.copied, state.total));
            screen::look(&bar.bar);
            bar.set(state.copied);
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

/// What an aborted copy of that id has left, as it is seen now.
fn left_by_abort(path: &Path, id: &str) -> &'static str {
    // What was open may be another file than has the name now.
    match on_mount::open(path).map(|file| on_mount::state(&file)) {
        Err(_) => "nothing is left there",
        Ok(state) => left_there(state, id),
    }
}

fn left_there(state: io::Result<Option<CopyState>>, id: &str) -> &'static str {
    match state {
        Ok(Some(state)) if state.in_blocks => "nothing has changed there",
        Ok(Some(state)) if state.id == id => "an empty file is left there",
        // Written, or copied from its snapshot, by the mount, which had kept it.
        Ok(_) => "what was there before is there again",
        Err(_) => "what is left there is not known",
    }
}

impl CopyCommand {
    /// Ctrl-C: ends the copy, unless it has ended by itself.
    fn abandon(path: &Path, file: &File, id: &str) -> Failure {
        let shown = path.display();
        let message = match on_mount::abort(file, Some(id)) {
            Ok(()) => format!("{shown}: aborted; {}", left_by_abort(path, id)),
            Err(error) if error.raw_os_error() == Some(libc::ENODATA) => {
                format!("{shown}: too late to abort, the copy has ended")
            }
            Err(error) => format!("{shown}: cannot abort, the copy goes on: {}", super::failure::reason(&error)),
        };
        Failure { message: Some(message), status: INTERRUPTED }
    }
}

impl SingleCopy {
    /// The path of the copy, without the directory where the command is run, which nobody typed.
    fn path(&self) -> PathBuf {
        if self.directory == Path::new(".") { PathBuf::from(&self.name) } else { self.directory.join(&self.name) }
    }

    /// `exactly`: the destination is the name of the copy, whatever is there.
    fn new(source: &Path, destination: &Path, exactly: bool) -> Result<Self, Failure> {
        let url = source.to_str().filter(|text| is_url(text));
        let into = destination.is_dir();
        if into && exactly {
            let (destination, source) = (destination.display(), source.display());
            return Err(Failure::new(format!("{destination}: is a directory, and {source} is none (-T)")));
        }
        let (directory, name) = if into {
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
                return Err(no_directory(destination));
            }
            let parent = destination.parent().filter(|parent| !parent.as_os_str().is_empty());
            (parent.unwrap_or(Path::new(".")).to_path_buf(), name.unwrap_or_default().to_owned())
        };
        let target = MountPath::of(&directory)?;
        // The mount would refuse them, but could not say why.
        if path::is_folded(&name) {
            return Err(Failure::new(NameError::Folded(name).to_string()));
        }
        let shown = source.display().to_string();
        let source = match url {
            Some(url) if path::is_folded_in_url(url) => {
                return Err(Failure::new(NameError::Folded(without_query(url).to_owned()).to_string()));
            }
            Some(url) => url.to_owned(),
            None => on_same_mount(source, &target)?,
        };
        Ok(Self { source, shown, directory, name })
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
