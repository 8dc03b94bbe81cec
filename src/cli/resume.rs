//! What `blobcp cp -r SRC DST` has begun, for when it is typed again.
//!
//! Like cp(1) it makes DST a copy of SRC where there is none, and copies into DST where it is a directory. So after an
//! interruption the same words would mean something else: `DST/SRC`. Which trees were begun like that and did not come
//! to their end is written down below the user's state directory, so that the same words go on with the same.

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::mount::runtime_dir::state_home;

/// A tree that is being copied to what was not there.
pub(super) struct Resumable {
    record: Option<PathBuf>,
}

impl Resumable {
    /// Writes down that a tree is begun, if its name is one of its own and nothing or a part of it is there. Where that
    /// cannot be written down, it is copied all the same.
    pub(super) fn begin(sources: &[PathBuf], named: Option<&Path>) -> Self {
        let record = match (sources, named) {
            ([source], Some(named)) if source.is_dir() => {
                record_of(source, named).filter(|record| write(record).is_some())
            }
            _ => None,
        };
        Self { record }
    }

    /// All is there.
    pub(super) fn done(self) {
        if let Some(record) = self.record {
            // It would be taken for unfinished, and is skipped file by file then.
            let _ = fs::remove_file(record);
        }
    }
}

fn write(record: &Path) -> Option<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(record.parent()?).ok()?;
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(record).ok()?;
    file.write_all(b"blobcp cp -r\n").ok()
}

/// Whether a destination that is a directory is an unfinished copy of the source itself.
pub(super) fn is_unfinished(sources: &[PathBuf], destination: &Path) -> bool {
    let [source] = sources else { return false };
    // Somebody has copied into it since.
    let is_nested = || destination.join(own_name(source)).symlink_metadata().is_ok();
    let Some(record) = record_of(source, destination) else { return false };
    if !record.exists() {
        return false;
    }
    destination.is_dir() && !own_name(source).is_empty() && !is_nested()
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
