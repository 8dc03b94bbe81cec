//! `blobcp umount`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::failure::{Failure, about};
use crate::mount::exit_report::Waiter;
use crate::mount::table::{self, Mount};
use crate::mount::unmount;

/// The serving process bounds its own end to about that long.
const PATIENCE: Duration = Duration::from_secs(75);

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
            return self.unmount(&find(path)?);
        }
        let mut good = true;
        for mount in own_mounts()? {
            if let Err(failure) = self.unmount(&mount) {
                failure.complain("umount");
                good = false;
            }
        }
        Failure::unless(good)
    }

    fn unmount(&self, mount: &Mount) -> Result<(), Failure> {
        let point = mount.point.display();
        let waiter = Waiter::of(mount);
        if self.lazy {
            return unmount::lazily(&mount.point).map_err(|error| about(&mount.point, &error));
        }
        match unmount::politely(&mount.point) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                let users = users_of(&mount.point);
                let by = if users.is_empty() { String::new() } else { format!(" by {}", users.join(", ")) };
                let say = format!("{point}: in use{by}; --lazy detaches it now and unmounts it when that ends");
                return Err(Failure::new(say));
            }
            Err(error) => return Err(about(&mount.point, &error)),
        }
        // A bind mount elsewhere keeps the process going, and that is meant so.
        let lives_on = table::read().is_ok_and(|table| table.has_device(mount.device));
        match waiter.filter(|_| !lives_on).map(|waiter| waiter.wait(PATIENCE)) {
            None => Ok(()),
            Some(Ok(said)) if said.is_empty() => Ok(()),
            Some(Ok(said)) => Err(Failure::new(format!("{point}: unmounted, but {said}"))),
            Some(Err(_)) => Err(Failure::new(format!("{point}: unmounted, but its process has not ended yet"))),
        }
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
    let resolved = match path.canonicalize() {
        Ok(resolved) => resolved,
        Err(error) => dead_mount(path).ok_or_else(|| about(path, &error))?,
    };
    let table = table::read().map_err(|error| about("/proc/self/mountinfo", &error))?;
    let mount = table.at(&resolved).filter(|mount| mount.is_ours());
    mount.cloned().ok_or_else(|| Failure::new(format!("{}: not a mount point of blobcp", path.display())))
}

/// The mount point at `path` if it is one of ours whose process is gone, so that the path itself cannot be asked.
pub(super) fn dead_mount(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let resolved = path.parent()?.canonicalize().ok()?.join(path.file_name()?);
    table::read().ok()?.at(&resolved)?.is_ours().then_some(resolved)
}

/// Programs with a file or their working directory below `point`, of those that this user may look at.
fn users_of(point: &Path) -> Vec<String> {
    let mut users = Vec::new();
    for process in entries(Path::new("/proc")) {
        let Some(pid) = process.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()) else { continue };
        let links =
            ["cwd", "root", "exe"].map(|name| process.join(name)).into_iter().chain(entries(&process.join("fd")));
        if links.into_iter().any(|link| std::fs::read_link(link).is_ok_and(|target| target.starts_with(point))) {
            let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
            users.push(format!("{} ({pid})", name.trim()));
        }
    }
    let more = users.len().saturating_sub(MOST_NAMED);
    users.truncate(MOST_NAMED);
    if more > 0 {
        users.push(format!("{more} more"));
    }
    users
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let read =
        || -> io::Result<Vec<PathBuf>> { std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect() };
    read().unwrap_or_default()
}
