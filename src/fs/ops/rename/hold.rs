//! Files that are held while they get another name: nobody writes, opens or closes them meanwhile.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::content::handle::{Content, Handles, Locked};
use crate::fs::names::attr::{FileKind, Ino};
use crate::fs::names::tree::{BlobDir, NodeProperties, NodeView};
use crate::fs::ops::rename::{LATE, Renaming};
use crate::store::{BlobProperties, ETag};

/// A file that nobody writes, opens or closes while it gets another name.
pub(super) struct LockedFile<'a> {
    handles: &'a Handles,
    pub(super) locked: Locked,
}

impl Drop for LockedFile<'_> {
    fn drop(&mut self) {
        // Under the lock, as all who leave.
        self.handles.done(self.locked.ino());
    }
}

impl<'f> Renaming<'f> {
    /// Commits what was written to files to their present name before they get another, and nobody writes, opens or
    /// closes them until `held` is dropped: a block that is staged under the old name could not be committed under the
    /// new one.
    pub(super) async fn lock_files(&self, held: &mut Vec<LockedFile<'f>>, mut files: Vec<Ino>) -> Result<()> {
        let first = held.len();
        files.sort_unstable_by_key(|ino| ino.0);
        for ino in files {
            let file = self.fs.handles.acquire(ino);
            let locked = match file.try_lock() {
                Some(locked) => Some(locked),
                // In one order, so that two renames do not wait for each other; what comes on top may not wait for
                // long.
                None if first == 0 => Some(file.lock().await),
                None => tokio::time::timeout(LATE, file.lock()).await.ok(),
            };
            match locked {
                Some(locked) => held.push(LockedFile { handles: &self.fs.handles, locked }),
                None => {
                    tokio::spawn(self.fs.files.clone().release_later(file));
                    return Err(Error::fs(libc::EBUSY, "a file was in use while its directory was renamed"));
                }
            }
        }
        if held[first..].iter().any(|held| matches!(held.locked.content, Content::Copying(_))) {
            return Err(Error::copy_pending("the file"));
        }
        for LockedFile { locked, .. } in &mut held[first..] {
            self.fs.files.commit(locked).await?;
        }
        Ok(())
    }

    /// The blob of a node has a new name and so new properties; whoever has it open learns them.
    pub(super) fn record_properties(
        &self,
        held: &mut [LockedFile<'_>],
        ino: Ino,
        stood_on: &ETag,
        properties: Arc<BlobProperties>,
    ) {
        match held.iter_mut().find(|held| held.locked.ino() == ino) {
            Some(LockedFile { locked, .. }) => self.fs.files.record_version_on(locked, stood_on, properties),
            None => self.fs.tree.update(ino, NodeProperties::Blob(properties)),
        }
    }

    /// What every way to rename a directory begins with: refused below itself and over one that is not empty; all files
    /// below it are held.
    pub(super) async fn lock_dir(
        &self,
        dir: Ino,
        old: &BlobDir,
        new: &BlobDir,
        target: Option<&NodeView>,
        held: &mut Vec<LockedFile<'f>>,
    ) -> Result<()> {
        if new.container == old.container && new.prefix.starts_with(&old.prefix) {
            return Err(Error::fs(libc::EINVAL, format!("{} is below {}", new.prefix, old.prefix)));
        }
        if let Some(target) = target {
            self.fs.directories.refuse_unless_empty(target, new).await?;
        }
        let jobs = &self.fs.copies.jobs;
        jobs.refuse_copied_below(old)?;
        jobs.refuse_copied_below(new)?;
        let files = self.not_locked(dir, held);
        self.lock_files(held, files).await
    }

    /// Files below a directory that [`Renaming::lock_files`] has not seen yet.
    pub(super) fn not_locked(&self, dir: Ino, held: &[LockedFile<'_>]) -> Vec<Ino> {
        let known: HashSet<u64> = held.iter().map(|held| held.locked.ino().0).collect();
        let below = self.fs.tree.descendants(dir).into_iter();
        below.filter(|node| node.kind != FileKind::Directory && !known.contains(&node.ino.0)).map(|n| n.ino).collect()
    }
}
