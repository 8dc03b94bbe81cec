//! Listings as the kernel reads them: with attributes where it wants them.

use crate::error::Result;
use crate::fs::Fs;
use crate::fs::content::commit::commit_finally;
use crate::fs::content::handle::{DirHandle, Fh};
use crate::fs::names::attr::{Attr, FileKind, Ino};
use crate::fs::names::dir::entry::DirEntry;
use crate::fs::names::tree::Place;

/// Directories that are open to be listed.
pub struct Readdir<'a> {
    pub(in crate::fs) fs: &'a Fs,
}

/// Entries that are made for one answer: about what fits into the buffers that programs have.
const MOST: usize = 1024;

/// With attributes, of which more are sent.
const MOST_PLUS: usize = 256;

impl Fs {
    /// Directories that are open to be listed.
    pub fn readdir(&self) -> Readdir<'_> {
        Readdir { fs: self }
    }
}

impl Readdir<'_> {
    pub fn open(&self, ino: Ino) -> Result<Fh> {
        self.fs.tree.view(ino)?;
        self.fs.tree.kernel().opened(ino);
        Ok(self.fs.handles.insert_dir(DirHandle::new(ino)))
    }

    /// fsync(2) of a directory. Names are made, removed and changed in the service before the call that does so returns,
    /// but for those that mknod(2) made (D37): they are stored now.
    pub async fn synchronise(&self, dir: Ino) -> Result<()> {
        for file in self.fs.handles.open_files() {
            let is_here = self.fs.tree.view(file.ino).is_ok_and(|view| view.parent == dir);
            if is_here && !file.is_written() {
                let mut state = file.lock().await;
                commit_finally(&self.fs.files, &mut state).await?;
            }
        }
        Ok(())
    }

    pub fn release(&self, fh: Fh) {
        if let Some(handle) = self.fs.handles.remove_dir(fh) {
            handle.detach();
            self.fs.tree.kernel().closed(handle.ino);
        }
    }

    /// Entries from `offset` on: what is listed of them, at least one unless the directory ends there. Offset 0 lists
    /// anew.
    pub async fn read(&self, fh: Fh, offset: u64) -> Result<Vec<DirEntry>> {
        let handle = self.fs.handles.dir(fh)?;
        let mut answers = self.dots(&handle, offset)?;
        let listed = self.fs.directories.listed_from(handle.ino, &handle.stream, offset, MOST).await?;
        answers.extend(listed.into_iter().map(|(offset, entry)| DirEntry {
            ino: entry.ino,
            kind: entry.kind,
            name: entry.name,
            offset,
        }));
        Ok(answers)
    }

    /// [`Readdir::read`] with attributes. Every entry but the dots is answered by one [`Readdir::entry_sent`].
    pub async fn read_plus(&self, fh: Fh, offset: u64) -> Result<Vec<(DirEntry, Attr)>> {
        let handle = self.fs.handles.dir(fh)?;
        let mut answers = Vec::new();
        for dot in self.dots(&handle, offset)? {
            let attr = self.fs.names.attr_of(&self.fs.tree.view(dot.ino)?);
            answers.push((dot, attr));
        }
        let in_container = matches!(self.fs.tree.place(handle.ino)?, Place::Directory(_));
        let mut offset = offset;
        loop {
            let listed = self.fs.directories.listed_from(handle.ino, &handle.stream, offset, MOST_PLUS).await?;
            let Some((last, _)) = listed.last() else { return Ok(answers) };
            offset = *last;
            for (offset, entry) in listed {
                let anchor =
                    if in_container { None } else { self.fs.directories.anchor_of(handle.ino, &entry.name)? };
                // A name that was removed since it was listed is left out.
                let Ok(view) = self.fs.tree.enter_sent(handle.ino, &entry, anchor) else { continue };
                let attr = self.fs.names.attr_of(&view);
                answers.push((DirEntry { ino: view.ino, kind: view.kind, name: view.name, offset }, attr));
            }
            // An empty answer is the end of the directory: if all that was listed here has been removed since, there
            // may be more.
            if !answers.is_empty() {
                return Ok(answers);
            }
        }
    }

    /// The kernel has the entry, or (`false`) it did not fit any more.
    pub fn entry_sent(&self, ino: Ino, sent: bool) {
        if !sent {
            self.fs.tree.kernel().forget(ino, 1);
        }
    }

    fn dots(&self, handle: &DirHandle, offset: u64) -> Result<Vec<DirEntry>> {
        let dots = [(handle.ino, "."), (self.fs.tree.view(handle.ino)?.parent, "..")];
        let dots = dots.into_iter().zip(1..).skip(offset.min(2) as usize);
        let entry = |((ino, name), offset): ((Ino, &str), u64)| DirEntry {
            ino,
            kind: FileKind::Directory,
            name: name.into(),
            offset,
        };
        Ok(dots.map(entry).collect())
    }
}
