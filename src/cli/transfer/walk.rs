//! The list of what is to be copied, and the directories for it.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;

use super::super::resume::own_name;
use super::content::set_attributes;
use super::work::{Item, Work};

/// A directory that was made or found, and its source, for what is set when it is full.
struct Filled {
    to: PathBuf,
    source: Metadata,
}

/// Lists the sources, each to be copied to the path beside it.
pub(super) fn list(work: &Work, pairs: Vec<(PathBuf, PathBuf)>, items: SyncSender<Item>) {
    let (mut filled, mut named) = (Vec::new(), BTreeSet::new());
    for (from, to) in pairs {
        if !named.insert(to.clone()) && !own_name(&from).is_empty() {
            work.refuse(&from, libc::EEXIST, format!("would replace {}, just copied", to.display()));
            continue;
        }
        let follow = !work.habits.recursive || from.as_os_str().as_encoded_bytes().ends_with(b"/");
        match if follow { from.metadata() } else { from.symlink_metadata() } {
            Err(error) => {
                work.progress.found.add(0);
                work.fail(&from, &from, 0, &error);
            }
            Ok(found) if found.is_dir() && !work.habits.recursive => {
                work.refuse(&from, libc::EISDIR, "is a directory; -r copies it with all that is in it");
            }
            Ok(found) if found.is_dir() && is_below(&to, &from) => {
                work.refuse(&from, libc::EINVAL, "cannot be copied into itself");
            }
            Ok(found) => below(work, from, to, &found, &items, &mut filled),
        }
    }
    work.progress.listed.store(true, Ordering::Relaxed);
    drop(items);
    // The time of a directory is that of its source as soon as nothing is made in it any more; owners and modes bind
    // only then, too.
    if work.habits.keeps_owner() && !work.dry_run {
        work.progress.wait_until_settled();
        for dir in filled.iter().rev() {
            // It is full, and that is what was asked for.
            let nofollow = if work.follows(&dir.to) { 0 } else { libc::O_NOFOLLOW };
            let opened = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | nofollow).open(&dir.to);
            let _ = opened.map(|file| set_attributes(work, &file, &dir.source, None));
        }
    }
}

fn is_below(to: &Path, from: &Path) -> bool {
    let Ok(from) = from.canonicalize() else { return false };
    let existing = to.ancestors().find_map(|ancestor| ancestor.canonicalize().ok());
    existing.is_some_and(|existing| existing.starts_with(&from))
}

/// One thing, with all that is in it.
fn below(
    work: &Work,
    from: PathBuf,
    to: PathBuf,
    found: &Metadata,
    items: &SyncSender<Item>,
    filled: &mut Vec<Filled>,
) {
    if work.is_stopped() {
        return;
    }
    if !found.is_dir() {
        work.progress.found.add(found.len());
        // Who copies has ended only if all has.
        let _ = items.send(Item { from, to, size: found.len() });
        return;
    }
    if !work.dry_run {
        if let Err(error) = make(work, &to, found) {
            work.progress.found.add(0);
            return work.fail(&from, &to, 0, &error);
        }
        filled.push(Filled { to: to.clone(), source: found.clone() });
    }
    let entries = fs::read_dir(&from).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => {
            work.progress.found.add(0);
            return work.fail(&from, &from, 0, &error);
        }
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match from.symlink_metadata() {
            Ok(found) => below(work, from, to, &found, items, filled),
            Err(error) => {
                work.progress.found.add(0);
                work.fail(&from, &from, 0, &error);
            }
        }
    }
}

/// Makes a directory with the mode of its source, which may be written until it is full. One that is there is taken,
/// but no symlink to one.
fn make(work: &Work, to: &Path, source: &Metadata) -> io::Result<()> {
    let mode = source.permissions().mode() & 0o777 | 0o700;
    let is_there = || to.symlink_metadata().is_ok_and(|there| there.is_dir()) || work.follows(to) && to.is_dir();
    match DirBuilder::new().mode(mode).create(to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_there() => Ok(()),
        made => made,
    }
}
