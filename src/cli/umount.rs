//! `blobcp umount`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::failure::{Failure, about, complain};
use super::umount_hints::{below, elsewhere, refused, step_out};
use crate::mount::exit_report::{self, Server};
use crate::mount::table::{self, Mount, Table};
use crate::mount::unmount::{lazily, politely};

/// The serving process bounds its own end to about that long, if what it stores moves.
const PATIENCE: Duration = Duration::from_secs(75);

/// Its end where nothing moves.
const LAZY_PATIENCE: Duration = Duration::from_millis(4400);

/// Longest time for a look at who uses a mount: a program that waits for the service may not let itself be looked at.
const LONGEST_LOOK: Duration = Duration::from_secs(3);

/// The same where the whole is to take less than 5 s.
const LONGEST_LAZY_LOOK: Duration = Duration::from_millis(400);

/// Symbolic links to a mount point that are followed.
const MOST_LINKS: usize = 40;

/// Programs named when a mount is busy.
const MOST_NAMED: usize = 5;

/// Unmount, and wait until everything is stored
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    mountpoint: Option<PathBuf>,
    /// Every mount of blobcp: for root everybody's, for others their own.
    #[arg(short, long)]
    all: bool,
    /// Detach at once, even if files are open there; they end when they are closed.
    #[arg(short, long)]
    lazy: bool,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        if let Some(path) = &self.mountpoint {
            let mount = find(path)?;
            step_out();
            return unmount(&mount, self.lazy);
        }
        step_out();
        let mut good = true;
        for mount in own_mounts()? {
            if let Err(failure) = unmount(&mount, self.lazy) {
                failure.complain("umount");
                good = false;
            }
        }
        Failure::unless(good)
    }
}

fn unmount(mount: &Mount, lazy: bool) -> Result<(), Failure> {
    let point = mount.point.display();
    let server = Server::of(mount);
    if lazy {
        let users = users_of(&mount.point, LONGEST_LAZY_LOOK);
        lazily(&mount.point).map_err(|error| refused(mount, &error))?;
        // What is open there keeps the process going, and that is meant so.
        if !users.is_empty() {
            return Ok(());
        }
        return wait_for(server, mount, LAZY_PATIENCE).or_else(|late| match late {
            End::Late(said) => {
                let why =
                    if said.is_empty() { "it may be in use, and its log names what it cannot store" } else { &said };
                complain("umount", format_args!("{point}: unmounted; its process goes on: {why}"));
                Ok(())
            }
            End::Bad(failure) => Err(failure),
        });
    }
    match politely(&mount.point) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
            if let Some(failure) = below(mount) {
                return Err(failure);
            }
            let users = users_of(&mount.point, LONGEST_LOOK);
            let by = if users.is_empty() { String::new() } else { format!(" by {}", users.join(", ")) };
            let say = format!("{point}: in use{by}; --lazy detaches it now and unmounts it when that ends");
            return Err(Failure::new(say));
        }
        Err(error) => return Err(refused(mount, &error)),
    }
    wait_for(server, mount, PATIENCE).map_err(|end| match end {
        End::Late(said) => {
            let said = if said.is_empty() { said } else { format!(": {said}") };
            Failure::new(format!("{point}: unmounted, but its process has not ended yet{said}"))
        }
        End::Bad(failure) => failure,
    })
}

/// How a process ended otherwise than well.
enum End {
    /// It has not; what it has said so far.
    Late(String),
    Bad(Failure),
}

/// Waits until the process behind a mount that is unmounted has stored everything and ended.
fn wait_for(server: Server, mount: &Mount, patience: Duration) -> Result<(), End> {
    // A bind mount elsewhere keeps the process going, and that is meant so.
    if table::read().is_ok_and(|table| table.has_device(mount.device)) {
        return Ok(());
    }
    let point = mount.point.display();
    let waiter = match server {
        Server::Lives(waiter) => waiter,
        Server::Ended => return Ok(()),
        Server::Unknown => {
            let what = "its process cannot be found from here, so this did not wait until everything is stored";
            complain("umount", format_args!("{point}: unmounted; {what}"));
            return Ok(());
        }
    };
    match waiter.wait(patience) {
        Ok(said) if said.is_empty() => Ok(()),
        Ok(said) => match exit_report::noted(&said) {
            Some(note) => {
                // It is unmounted, whether or not anybody reads that.
                let _ = writeln!(io::stdout(), "{point}: {note}");
                Ok(())
            }
            None => Err(End::Bad(Failure::new(format!("{point}: unmounted, but {said}")))),
        },
        Err(_) => Err(End::Late(waiter.said().unwrap_or_default())),
    }
}

/// Mounts of ours that this user may unmount, those within others first.
fn own_mounts() -> Result<Vec<Mount>, Failure> {
    let table = table::read().map_err(|error| about("/proc/self/mountinfo", &error))?;
    let user = rustix::process::geteuid();
    let own = |mount: &&Mount| mount.is_ours() && (user.is_root() || mount.user == Some(user.as_raw()));
    Ok(table.iter().rev().filter(own).cloned().collect())
}

fn find(path: &Path) -> Result<Mount, Failure> {
    let table = table::read().map_err(|error| about("/proc/self/mountinfo", &error))?;
    if let Some(mount) = mounted_at(path, &table) {
        return Ok(mount);
    }
    let resolved = path.canonicalize().map_err(|error| about(path, &error))?;
    // `.` and `..` have no name to be looked for.
    match table.at(&resolved).filter(|mount| mount.is_ours()) {
        Some(mount) => Ok(mount.clone()),
        None => Err(elsewhere(path, &resolved, &table)),
    }
}

/// The mount of ours at `path`. What is mounted is not asked for anything: it may not answer.
fn mounted_at(path: &Path, table: &Table) -> Option<Mount> {
    let mut path = std::path::absolute(path).ok()?;
    for _ in 0..MOST_LINKS {
        let (parent, name) = (path.parent()?, path.file_name()?);
        let here = parent.canonicalize().ok()?.join(name);
        if let Some(mount) = table.at(&here) {
            return mount.is_ours().then(|| mount.clone());
        }
        path = here.parent()?.join(here.read_link().ok()?);
    }
    None
}

/// The mount point at `path` if it is one of ours whose process is gone, so that the path itself cannot be asked.
pub(super) fn dead_mount(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let resolved = path.parent()?.canonicalize().ok()?.join(path.file_name()?);
    table::read().ok()?.at(&resolved)?.is_ours().then_some(resolved)
}

/// Programs with a file or their working directory below `point`, of those that this user may look at; as many as are
/// found in the time for it.
fn users_of(point: &Path, bound: Duration) -> Vec<String> {
    let (found, users) = mpsc::channel();
    let point = point.to_owned();
    // Left where it is stuck: it ends with this command.
    thread::spawn(move || look_for_users(&point, &found));
    let until = Instant::now() + bound;
    let next = || users.recv_timeout(until.saturating_duration_since(Instant::now())).ok();
    let mut users: Vec<String> = std::iter::from_fn(next).collect();
    let more = users.len().saturating_sub(MOST_NAMED);
    users.truncate(MOST_NAMED);
    if more > 0 {
        users.push(format!("{more} more"));
    }
    users
}

fn look_for_users(point: &Path, found: &mpsc::Sender<String>) {
    for process in entries(Path::new("/proc")) {
        let Some(pid) = process.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()) else { continue };
        // Whoever asks stands there no more.
        if pid == std::process::id() {
            continue;
        }
        let links =
            ["cwd", "root", "exe"].map(|name| process.join(name)).into_iter().chain(entries(&process.join("fd")));
        if links.into_iter().any(|link| std::fs::read_link(link).is_ok_and(|target| target.starts_with(point))) {
            let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
            // Nobody waits for the rest any more.
            if found.send(format!("{} ({pid})", name.trim())).is_err() {
                return;
            }
        }
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let read =
        || -> io::Result<Vec<PathBuf>> { std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect() };
    read().unwrap_or_default()
}
