//! New files that a copy in blocks goes to, from its start to its end.
//!
//! The service has no blob of that name before the last block is committed. Here it is a file all the same: it has the
//! name, shows the copy in its attributes, and nobody writes to it or takes the name.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tracing::debug;

use crate::error::Result;
use crate::fs::caller::Caller;
use crate::fs::content::copied_from::CopiedFrom;
use crate::fs::content::handle::{Content, Copying};
use crate::fs::copies::job::{CopyJob, Progress};
use crate::fs::names::attr::{self, FileKind, Ino};
use crate::fs::names::tree::{BlobDir, NodeProperties, Observation, Origin};
use crate::fs::names::walk::Found;
use crate::fs::ops::control::Control;
use crate::store::{BlobProperties, CopyState};

impl Control<'_> {
    /// What copies in blocks are making below a directory, with the state of each.
    pub(in crate::fs) fn made_below(&self, dir: &BlobDir) -> Vec<Found> {
        let made = self.fs.copies.jobs.known_here(|blob| dir.holds(blob)).into_iter().filter(|job| job.makes_name);
        made.map(|job| {
            let copy = Some(job.state(&job.progress()));
            let properties = Arc::new(BlobProperties { copy, ..attr::unborn(0) });
            let path = job.destination.path.name.as_str()[dir.prefix.len()..].into();
            Found { path, kind: FileKind::File, properties, closed: false }
        })
        .collect()
    }

    /// A blob as the service has it, and the state of the last copy onto it where only this mount knows that.
    pub(in crate::fs) async fn look_at(&self, origin: &Origin) -> (Result<BlobProperties>, Option<CopyState>) {
        let Origin { blob, revision } = origin;
        let (jobs, is_current) = (&self.fs.copies.jobs, revision.is_none());
        loop {
            let was_pending = is_current && jobs.is_known_here(blob);
            let found = self.fs.service.blob(blob).at(revision.as_ref()).properties().await;
            let own = match &found {
                _ if !is_current => None,
                Ok(found) => jobs.own_state(blob, Some(&found.etag)),
                Err(error) if error.is_not_found() => jobs.own_state(blob, None),
                Err(_) => return (found, None),
            };
            // Otherwise it has ended in between, and what was seen may be from before.
            if own.is_some() || !was_pending {
                return (found, own);
            }
        }
    }

    /// Shows the file that is being made by a copy in blocks, until it has ended.
    pub(in crate::fs) async fn show_copied_to(&self, parent: Ino, name: &str, job: &Arc<CopyJob>) -> Result<()> {
        if !job.is_in_blocks() || !matches!(job.progress(), Progress::Pending(_)) {
            return Ok(());
        }
        let known = Observation { properties: NodeProperties::Nothing, at: Instant::now() };
        let view = self.fs.tree.enter(parent, name, FileKind::File, known, None)?;
        self.fs.tree.touch(parent);
        let file = self.fs.files.acquire(&view).await;
        let mut state = file.lock().await;
        // All of it is wanted, and nobody will ask for more of it.
        state.content = Content::Copying(Copying {
            job: job.clone(),
            granted: job.total,
            granted_at: SystemTime::now(),
            copier: Caller { pid: 0 }.process(),
            source: CopiedFrom {
                ino: view.ino,
                origin: job.destination.clone().into(),
                version: Arc::new(attr::unborn(job.total)),
            },
            again: None,
        });
        drop(state);
        let (files, destinations, tree) = (self.fs.files.clone(), self.fs.destinations.clone(), self.fs.tree.clone());
        let (job, name) = (job.clone(), name.to_owned());
        self.fs.copies.background.spawn(async move {
            job.ended().await;
            let settled = destinations.settled(&file, Caller { pid: 0 }).await.map(drop);
            if let Err(error) = settled {
                debug!(destination = %job.destination.path, %error, "a file that was being copied to is none");
                tree.remove_absent(parent, &name, Instant::now());
            }
            let state = file.lock().await;
            files.release(state).await;
        });
        Ok(())
    }
}
