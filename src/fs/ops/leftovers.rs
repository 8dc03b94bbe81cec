//! What mounts that were killed have left: shown to who may read there, ended for who may write there.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::error::{Error, OptionalExtension, Result};
use crate::fs::content::handle::Fh;
use crate::fs::copies::leftovers::{Fate, Leftover, Leftovers};
use crate::fs::names::access::{Credentials, READ, SEARCH, WRITE};
use crate::fs::names::tree::{Blob, NodeView, Place};
use crate::fs::ops::control::Control;

/// Time after which an answer is given with what there is.
const SLICE: Duration = Duration::from_millis(500);

/// Who removes an entry must own it or the directory.
const STICKY: u32 = 0o1000;

impl Control<'_> {
    /// What is under way from now on is written down in a file in the first of those directories that can be used, and
    /// what other processes have written to any of them is known. Before anything is mounted: it may be mounted over.
    pub fn keep_journal(&self, dirs: &[PathBuf]) -> io::Result<()> {
        self.fs.service.journal.keep_in(dirs)
    }

    /// How many things processes that were killed have left unfinished in accounts of this mount, as far as is known
    /// without asking the service. It reads files.
    pub fn left_behind(&self) -> usize {
        Leftovers(self.fs.copies.clone()).left_behind()
    }

    /// The mount is at its end: what is under way still is left to others.
    pub fn close_journal(&self) {
        self.fs.service.journal.close();
    }

    /// What was left below an open directory, and what is to become of it; with `clean`, what has become of it. In as
    /// many answers as it takes: each goes on where the last one ended, and `again` starts from the beginning. `take` is
    /// given one after the other until it has no room. True at the end. EXDEV for accounts, which are not one listing.
    pub async fn leftovers(
        &self,
        fh: Fh,
        (again, clean): (bool, bool),
        who: &Credentials,
        mut take: impl FnMut(&Leftover) -> bool + Send,
    ) -> Result<bool> {
        let handle = self.fs.handles.dir(fh)?;
        let mut search = handle.search.lock().await;
        if again || search.is_none() {
            self.fs.names.check_access(&self.fs.tree.view(handle.ino)?, READ | SEARCH, who)?;
            let Place::Directory(dir) = self.fs.tree.place(handle.ino)? else {
                return Err(Error::fs(libc::EXDEV, "an account's containers are listed one by one"));
            };
            *search = Some(Leftovers(self.fs.copies.clone()).search(dir, clean).await);
        }
        let Some(search) = search.as_mut() else { return Ok(true) };
        let began = Instant::now();
        while let Some(mut left) = Leftovers(self.fs.copies.clone()).next_leftover(search).await? {
            if !self.may_see(&left.blob, who).await {
                continue;
            }
            if clean && left.fate == Fate::Clean && !self.end_for(&mut left, who).await {
                search.put_back(left);
                return Ok(false);
            }
            if !take(&left) {
                search.put_back(left);
                return Ok(false);
            }
            if began.elapsed() > SLICE {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Ends something, or a part of it. True when there is no more to do.
    async fn end_for(&self, left: &mut Leftover, who: &Credentials) -> bool {
        let refused = match self.refuse_change(&left.blob, who).await {
            Ok(()) => match &left.other {
                Some(other) => self.refuse_change(other, who).await.err(),
                None => None,
            },
            Err(error) => Some(error),
        };
        if let Some(error) = refused {
            left.fate = Fate::Failed(error.errno());
            left.why = error.to_string();
            return true;
        }
        let done = Leftovers(self.fs.copies.clone()).end_leftover(left).await;
        self.fs.tree.invalidate_all();
        done
    }

    /// The directory of a blob, if the caller may go there.
    async fn above(&self, blob: &Blob, who: &Credentials) -> Result<NodeView> {
        let path = self.fs.directories.path_to(&blob.clone().into());
        let path = path.ok_or_else(|| Error::not_found(format!("{} is outside of what is mounted", blob.path)))?;
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        self.fs.directories.walk_as(above, who).await
    }

    async fn may_see(&self, blob: &Blob, who: &Credentials) -> bool {
        if who.is_who_mounted() {
            return true;
        }
        let seen = async { self.fs.names.check_access(&self.above(blob, who).await?, READ | SEARCH, who) };
        seen.await.is_ok()
    }

    /// EACCES, EPERM: the caller could neither write to the blob nor remove it.
    async fn refuse_change(&self, blob: &Blob, who: &Credentials) -> Result<()> {
        if who.is_who_mounted() {
            return Ok(());
        }
        let above = self.above(blob, who).await?;
        self.fs.names.check_access(&above, WRITE | SEARCH, who)?;
        let name = blob.path.name.as_str().rsplit('/').next().unwrap_or_default();
        let Some(file) = self.fs.directories.resolve(above.ino, name).await.optional()? else { return Ok(()) };
        self.fs.names.check_access(&file, WRITE, who)?;
        let (dir, attr) = (self.fs.names.attr_of(&above), self.fs.names.attr_of(&file));
        if dir.mode & STICKY != 0 && ![dir.uid, attr.uid].contains(&who.uid) {
            return Err(Error::fs(libc::EPERM, format!("{}: it is in a directory with the sticky bit", blob.path)));
        }
        Ok(())
    }
}
