//! An entry of a directory, as it is handed out.

use std::sync::Arc;

use crate::fs::names::attr::{FileKind, Ino};

/// An entry for readdir; `offset` is where the next one is found.
pub struct DirEntry {
    pub ino: Ino,
    pub kind: FileKind,
    pub name: Arc<str>,
    pub offset: u64,
}
