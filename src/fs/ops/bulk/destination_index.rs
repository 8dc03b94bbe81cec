//! The blobs at the destination of a tree, and which of them are in the way.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::error::Result;
use crate::fs::copies::bulk::progress::Outcome;
use crate::fs::names::access::{Credentials, SEARCH, WRITE};
use crate::fs::names::attr::{self, Attr, FileKind, Ino};
use crate::fs::names::cache::Names;
use crate::fs::names::room::Room;
use crate::fs::names::tree::BlobDir;
use crate::fs::names::walk::{Found, Walk};

/// The blobs and directories at the destination.
#[derive(Default)]
pub(in crate::fs) struct DestinationIndex {
    /// By their paths from the top.
    pub blobs: HashMap<Arc<str>, Found>,
    /// Directories that are there, whether they have a marker or not.
    pub directories: HashSet<String>,
    /// Those of them that the caller may not enter. What is in them is not known here.
    closed: HashSet<String>,
    top: Option<(Attr, Credentials)>,
}

impl DestinationIndex {
    pub(super) async fn list(&mut self, names: &Names, dir: &BlobDir, top: Attr, who: &Credentials) -> Result<()> {
        let mut walk = Walk::new(dir.clone(), who.clone());
        let mut room = Room::new(names.config.memory_limit);
        while let Some(found) = walk.next(names).await? {
            room.take(&dir.prefix, &found.path, &found.properties)?;
            let path = found.path.trim_end_matches('/');
            for (end, _) in path.match_indices('/') {
                if !self.directories.contains(&path[..end]) {
                    self.directories.insert(path[..end].to_owned());
                }
            }
            if found.kind == FileKind::Directory {
                self.directories.insert(path.to_owned());
            }
            self.blobs.insert(found.path.clone(), found);
        }
        self.closed = walk.closed().map(str::to_owned).collect();
        self.directories.extend(self.closed.iter().cloned());
        self.top = Some((top, who.clone()));
        Ok(())
    }

    /// The reason why a blob cannot be put at `path`.
    pub(super) fn obstacle(&self, names: &Names, path: &str, kind: FileKind) -> Option<Outcome> {
        let no = |errno, what: &str| Some(Outcome::Failed(errno, what.to_owned()));
        let (top, who) = self.top.as_ref()?;
        let path = path.trim_end_matches('/');
        let is_file = |path: &str| self.blobs.get(path).is_some_and(|found| found.kind != FileKind::Directory);
        // The mode of the last directory that is there decides about what is made in it.
        let (mut holder, mut holder_name) = (top.clone(), "the destination");
        for (end, _) in path.match_indices('/') {
            let above = &path[..end];
            if self.closed.contains(above) {
                return no(libc::EACCES, "its directory may not be entered");
            }
            if !self.directories.contains(above) {
                if is_file(above) {
                    return no(libc::ENOTDIR, "there is a file where a directory would have to be");
                }
                continue;
            }
            if let Err(error) = who.check(&holder, SEARCH, holder_name) {
                return no(libc::EACCES, &error.to_string());
            }
            let defaults = &names.config.defaults;
            holder_name = above;
            holder = match self.blobs.get(above) {
                Some(found) if found.kind == FileKind::Directory => {
                    attr::of_blob(Ino::ROOT, FileKind::Directory, &found.properties, defaults)
                }
                _ => attr::of_nothing(Ino::ROOT, FileKind::Directory, 0, names.started, defaults),
            };
        }
        match kind {
            FileKind::Directory if is_file(path) => {
                return no(libc::ENOTDIR, "a file cannot be replaced by a directory");
            }
            FileKind::File | FileKind::Symlink if self.directories.contains(path) => {
                return no(libc::EISDIR, "a directory cannot be replaced by a file");
            }
            _ => {}
        }
        let checked = match self.blobs.get(path) {
            Some(found) if kind != FileKind::Directory => {
                let there = found.attr(&names.config.defaults);
                who.check(&there, WRITE, path)
            }
            Some(_) => Ok(()),
            None => who.check(&holder, WRITE | SEARCH, holder_name),
        };
        checked.err().and_then(|error| no(libc::EACCES, &error.to_string()))
    }
}
