//! The end of a mount: what is not stored yet, and what is left to do.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, warn};

use crate::fs::Fs;
use crate::fs::content::commit::commit_finally;
use crate::fs::content::handle::OpenFile;
use crate::fs::names::open::OpenNode;

/// What is to be known and done at the end.
pub struct Ending<'a> {
    fs: &'a Fs,
}

impl Fs {
    /// The end of the mount.
    pub fn ending(&self) -> Ending<'_> {
        Ending { fs: self }
    }
}

impl Ending<'_> {
    /// From now on nobody is to wait for an answer: the process behind the mount ends.
    pub fn end(&self) {
        self.fs.ending.store(true, Ordering::Release);
    }

    /// [`Ending::end`] was called.
    pub fn is_ended(&self) -> bool {
        self.fs.ending.load(Ordering::Acquire)
    }

    /// Everything that is not in the service yet is stored, for unmounting, all files at once: one that takes long
    /// keeps no other from being stored. A file that a rename or a copy holds, and that has nothing to store, is not
    /// waited for. The names of those for which that failed.
    pub async fn flush_all(&self) -> Vec<String> {
        let unsaved = self.fs.handles.open_files().into_iter().filter(|file| file.is_unsaved() || file.has_lost());
        let flushes = unsaved.map(|file| async move {
            let mut state = file.lock().await;
            let done = commit_finally(&self.fs.files, &mut state).await.and_then(|()| state.tell_what_is_lost());
            done.err().map(|error| {
                let name = self.name_of(&file);
                error!(%name, %error, "cannot store a file that is open for writing");
                name
            })
        });
        futures_util::future::join_all(flushes).await.into_iter().flatten().collect()
    }

    /// Bytes that programs have read and written and that the service has copied instead.
    pub fn recognised(&self) -> u64 {
        self.fs.files.uploads.recogniser.as_ref().map_or(0, |recogniser| recogniser.spared())
    }

    /// Files and directories that the kernel has open.
    pub fn open_handles(&self) -> usize {
        self.fs.handles.count()
    }

    /// The names of what is not in the service yet.
    pub fn unsaved(&self) -> Vec<String> {
        let unsaved = self.fs.handles.open_files().into_iter().filter(|file| file.is_unsaved() || file.has_lost());
        unsaved.map(|file| self.name_of(&file)).collect()
    }

    /// Whether one of the services answers a question within `bound`, whatever it says.
    pub async fn is_anybody_there(&self, bound: Duration) -> bool {
        let asked = self.fs.config.accounts.iter().map(|account| account.client.is_answered(bound));
        futures_util::future::join_all(asked).await.contains(&true)
    }

    /// `container/blob`, or the last part of it where nothing else is known any more.
    fn name_of(&self, file: &OpenFile) -> String {
        match self.fs.tree.blob(file.ino) {
            Ok(blob) => blob.path.to_string(),
            Err(_) => self.fs.tree.view(file.ino).map(|view| view.name.to_string()).unwrap_or_default(),
        }
    }

    /// At the end of the mount: what is still to be done at the service is done, as far as that takes no longer than
    /// `bound` in all, and no lease stays behind (M9). Copies that are pending go on without.
    pub async fn shut_down(&self, bound: Duration) {
        let until = Instant::now() + bound;
        // Nobody else would go on with them: what was the service's at first is so again, and what the others were to
        // replace is there still.
        self.fs.copies.ending.store(true, Ordering::SeqCst);
        let in_blocks = self.fs.copies.jobs.known_here(|_| true);
        let left = in_blocks.iter().map(|job| {
            let of = if job.was_by_copy_blob() { "goes on without" } else { "ends with" };
            warn!(destination = %job.destination.path, id = %job.id, "a copy in blocks {of} the mount");
            // Of the others nothing is lost.
            let bound = if job.was_by_copy_blob() { bound } else { bound / 2 };
            async move {
                if tokio::time::timeout(bound, job.leave()).await.is_err() {
                    warn!(destination = %job.destination.path, id = %job.id, "what has become of a copy is not known");
                }
            }
        });
        // Half of the time is for the leases.
        let background = self.fs.copies.background.done(bound / 2);
        if !tokio::join!(futures_util::future::join_all(left), background).1 {
            warn!("what was left to do at the service has taken too long");
        }
        if tokio::time::timeout_at(until, self.fs.copies.leases.release_all()).await.is_err() {
            warn!("leases were not given back in time; they end by themselves within a minute");
        }
    }
}
