//! What `blobcp cp -r SRC DST` has begun, for when it is typed again.
//!
//! Like cp(1) it makes DST a copy of SRC where there is none, and copies into DST where it is a directory. So after an
//! interruption the same words would mean something else: `DST/SRC`. Which trees were begun like that and did not come
//! to their end is written down below the user's state directory, so that the same words go on with the same.
//!
//! A path proves nothing, for DST may be another directory by now, and what is in it may be all that there is of it. So
//! the record holds for a day, and for the directory that was there when the copy was interrupted, where that can be
//! known again: what a mount shows has neither a time of birth nor, after another mount, the same number. And nothing
//! at DST may be anything but what a copy of SRC leaves there, so that whoever goes on replaces nothing of others.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::failure::{Failure, INTERRUPTED};
use super::on_mount::attribute;
use crate::mount::runtime_dir::state_home;
use crate::store::same_source;

/// How long somebody is taken to mean the copy that was interrupted: until the next morning.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A tree that is being copied to what was not there.
pub(super) struct Resumable {
    /// The record, and what it is of.
    begun: Option<(PathBuf, PathBuf)>,
}

impl Resumable {
    /// Writes down that a tree is begun, if its name is one of its own and nothing or a part of it is there. Where that
    /// cannot be written down, it is copied all the same.
    pub(super) fn begin(sources: &[PathBuf], named: Option<&Path>) -> Self {
        let begun = match (sources, named) {
            ([source], Some(named)) if source.is_dir() => record_of(source, named)
                .filter(|record| write(record, named).is_some())
                .map(|record| (record, named.to_path_buf())),
            _ => None,
        };
        Self { begun }
    }

    /// What says by -t or -T what it means leaves no record, and what was begun otherwise is not gone on with after it.
    pub(super) fn without_record(sources: &[PathBuf], path_of: impl Fn(&Path) -> PathBuf) -> Self {
        for record in sources.iter().filter_map(|source| record_of(source, &path_of(source))) {
            // There is none, as a rule.
            let _ = fs::remove_file(record);
        }
        Self { begun: None }
    }

    /// The copy has ended. What failed by itself was told, and would fail again: only what somebody or something has
    /// stopped half-way is gone on with.
    pub(super) fn ended(self, how: &Result<(), Failure>) {
        let Some((record, named)) = self.begun else { return };
        let is_stopped = |failure: &Failure| failure.status == INTERRUPTED || failure.message.is_some();
        if how.as_ref().is_err_and(is_stopped) {
            // Without it the tree is known by what is in it alone.
            let _ = write(&record, &named);
        } else {
            // It would be taken for unfinished for a day, if it is not changed.
            let _ = fs::remove_file(record);
        }
    }
}

/// Writes the record of the tree `named`, of which nothing may be there yet.
fn write(record: &Path, named: &Path) -> Option<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(record.parent()?).ok()?;
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(record).ok()?;
    let identity = identity(named).map_or_else(String::new, |identity| format!("{identity}\n"));
    file.write_all(format!("blobcp cp -r\n{identity}").as_bytes()).ok()
}

/// What no other directory has, not even one that is made in its place: a number is given again, a time of birth is not.
/// `None` where there is none.
fn identity(directory: &Path) -> Option<String> {
    let found = directory.metadata().ok()?;
    let born = found.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("{} {} {}", found.dev(), found.ino(), born.as_nanos()))
}

/// What a destination that is a directory has to do with a copy that was begun.
pub(super) enum Begun {
    /// Nothing: it is copied into.
    Nothing,
    /// It is an unfinished copy of the source itself.
    Unfinished,
    /// It was one, or another was in its place: this is no copy of what is in the source.
    Other(PathBuf),
}

impl Begun {
    pub(super) fn of(sources: &[PathBuf], destination: &Path) -> Self {
        let [source] = sources else { return Self::Nothing };
        let Some(record) = record_of(source, destination) else { return Self::Nothing };
        // A time that is still to come is that of another clock.
        let age = record.metadata().and_then(|found| found.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_none_or(|age| age > LONGEST) || !destination.is_dir() || own_name(source).is_empty() {
            return Self::Nothing;
        }
        // Somebody has copied into it since.
        if destination.join(own_name(source)).symlink_metadata().is_ok() {
            return Self::Nothing;
        }
        let Ok(text) = fs::read_to_string(&record) else { return Self::Nothing };
        if let Some(noted) = text.lines().nth(1)
            && identity(destination).is_none_or(|found| found != noted)
        {
            return Self::Other(destination.to_path_buf());
        }
        foreign_in(source, destination).map_or(Self::Unfinished, Self::Other)
    }
}

/// Something in `directory` that is not there because `source` was copied as it.
fn foreign_in(source: &Path, directory: &Path) -> Option<PathBuf> {
    let Ok(mut entries) = fs::read_dir(directory) else { return Some(directory.to_path_buf()) };
    entries.find_map(|entry| match entry {
        Ok(entry) => foreign(&source.join(entry.file_name()), &entry.path()),
        Err(_) => Some(directory.to_path_buf()),
    })
}

fn foreign(source: &Path, path: &Path) -> Option<PathBuf> {
    let of_copy = match (source.symlink_metadata(), path.symlink_metadata()) {
        (Ok(from), Ok(there)) if from.is_dir() && there.is_dir() => return foreign_in(source, path),
        (Ok(from), Ok(there)) if from.is_symlink() && there.is_symlink() => {
            fs::read_link(source).is_ok_and(|target| fs::read_link(path).is_ok_and(|found| found == target))
        }
        (Ok(from), Ok(there)) if from.is_file() && there.is_file() => {
            is_same(&from, &there) || is_copied(source, path) || is_rest(&there, path)
        }
        (_, Ok(there)) => is_rest(&there, path),
        _ => false,
    };
    (!of_copy).then(|| path.to_path_buf())
}

/// What is copied through this machine keeps size and time. Not every filesystem keeps parts of seconds.
fn is_same(from: &Metadata, there: &Metadata) -> bool {
    let parts = (from.mtime_nsec(), there.mtime_nsec());
    let same_time = from.mtime() == there.mtime() && (parts.0 == parts.1 || parts.0 == 0 || parts.1 == 0);
    from.len() == there.len() && same_time
}

/// The service copied it from there, whatever the source is by now, or it has the same content.
fn is_copied(source: &Path, path: &Path) -> bool {
    let equal = |name: &str, other: &str, is_equal: fn(&str, &str) -> bool| {
        // What is not on a mount has none.
        let of = |path, name| attribute(path, name).ok().flatten();
        of(path, name).is_some_and(|value| of(source, other).is_some_and(|other| is_equal(&value, &other)))
    };
    equal("copy.source", "url", same_source) || equal("content_md5", "content_md5", |one, other| one == other)
}

/// The empty file that a copy without success leaves behind is nothing that anybody keeps.
fn is_rest(there: &Metadata, path: &Path) -> bool {
    let status = || attribute(path, "copy.status").ok().flatten();
    there.is_file() && there.len() == 0 && status().is_some_and(|status| ["aborted", "failed"].contains(&&*status))
}

/// The record of a copy of `source` as `destination`, which need not be there.
fn record_of(source: &Path, destination: &Path) -> Option<PathBuf> {
    let source = source.canonicalize().ok()?;
    let parent = destination.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let destination = parent.canonicalize().ok()?.join(destination.file_name()?);
    let mut hash = Sha256::new();
    for path in [&source, &destination] {
        hash.update(path.as_os_str().as_bytes());
        hash.update([0]);
    }
    let name: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    Some(state_home()?.join("blobcp/unfinished").join(name))
}

/// The name of a source in the directory that it is copied into. Empty if it ends in `.` or `..`: then what is in it
/// goes there.
pub(super) fn own_name(source: &Path) -> String {
    let text = source.as_os_str().to_string_lossy();
    let last = text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if matches!(last, "." | "..") { String::new() } else { last.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_keeps_its_name_unless_it_ends_in_dots() {
        for (source, name) in
            [("a", "a"), ("a/b", "b"), ("a/b/", "b"), ("a/.", ""), (".", ""), ("a/..", ""), ("..", ""), ("./a//", "a")]
        {
            assert_eq!(own_name(Path::new(source)), name, "{source}");
        }
    }
}
