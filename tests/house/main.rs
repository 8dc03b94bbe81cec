//! What is read and not run: the source, the pages about it, and whether they hold what they promise. Links nothing of the crate, and is
//! therefore built in a moment.

// Tests end where something is not as they expect, and their modules are nobody else's.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod book;
mod checklist;
mod joined;
mod layers;
mod security;

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files of Rust below a directory of the repository, in the order of their names.
pub fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let (mut found, mut dirs) = (Vec::new(), vec![root().join(dir)]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "{} has code", dir.display());
    found.sort();
    found
}
