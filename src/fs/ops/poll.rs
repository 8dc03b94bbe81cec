//! Waiting for the end of copies, whoever started them.
//!
//! `poll(2)` on a file is answered from here: a file is ready, as regular files are, unless a copy onto it is pending;
//! then it becomes ready when that ends. A copy that this mount started has a [`CopyJob`] already, which one task polls
//! for all who wait. One that was started elsewhere gets a job when somebody waits for it, which ends with the copy or
//! when nobody waits any more.

use std::sync::Arc;
use std::time::Instant;

use crate::error::Result;
use crate::fs::Fs;
use crate::fs::copies::job::CopyJob;
use crate::fs::names::attr::{FileKind, Ino};
use crate::fs::names::cache::Names;

impl Fs {
    /// The pending copy onto a file; `None` if there is none, and for everything that is not a file.
    pub async fn pending_copy(&self, ino: Ino) -> Result<Option<Arc<CopyJob>>> {
        if self.tree.view(ino)?.kind != FileKind::File {
            return Ok(None);
        }
        let Ok(blob) = self.tree.blob(ino) else { return Ok(None) };
        if let Some(job) = self.copies.jobs.pending(&blob) {
            return Ok(Some(job));
        }
        if !self.names.fresh(ino).await?.is_pending() {
            return Ok(None);
        }
        // What was heard of it a moment ago may be over; and whose copy it is must be known as of now.
        let asked = Instant::now();
        let found = self.service.blob(&blob).properties().await?;
        let copy = found.copy.clone();
        // What becomes of a copy onto another file is nothing to this one.
        if Names::check_named(&self.names.update_if_newer(ino, found, asked)?).is_err() {
            return Ok(None);
        }
        Ok(match (self.copies.jobs.pending(&blob), copy) {
            (Some(job), _) => Some(job),
            (None, Some(copy)) => self.copies.follow_foreign(blob, &copy),
            (None, None) => None,
        })
    }
}
