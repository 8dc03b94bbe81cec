//! The copies of this mount that are pending, by their destination; and how those ended of which the service knows nothing.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, Weak};

use lru::LruCache;

use crate::error::{Error, Result};
use crate::fs::copies::job::{CopyJob, Progress};
use crate::fs::names::tree::{Blob, BlobDir};
use crate::store::{BlobProperties, CopyId, CopyState, CopyStatus, ETag};
use crate::sync::lock;

/// The copies that are followed, by their destinations.
pub(crate) struct Jobs {
    all: Mutex<HashMap<Blob, Weak<CopyJob>>>,
    ended: Mutex<LruCache<Blob, EndedCopy>>,
    /// Ids of the copies that were given up for others, which bring or have brought what they were to bring.
    given_up: Mutex<LruCache<CopyId, ()>>,
}

/// A copy that ended and of which the service knows nothing, or not all.
struct EndedCopy {
    /// The version that it left, if it left anything.
    etag: Option<ETag>,
    /// The version of the source that it is a copy of.
    copied: Option<ETag>,
    state: CopyState,
}

impl Default for Jobs {
    fn default() -> Self {
        let most = NonZeroUsize::new(MANY).unwrap_or(NonZeroUsize::MIN);
        let (ended, given_up) = (Mutex::new(LruCache::new(most)), Mutex::new(LruCache::new(most)));
        Self { all: Mutex::default(), ended, given_up }
    }
}

/// Entries at which those that have ended are looked for, and most of those that have ended.
pub(in crate::fs) const MANY: usize = 1024;

impl Jobs {
    pub(crate) fn add(&self, job: &Arc<CopyJob>) {
        let mut jobs = lock(&self.all);
        if jobs.len() >= MANY {
            jobs.retain(|_, job| job.strong_count() > 0);
        }
        jobs.insert(job.destination.clone(), Arc::downgrade(job));
    }

    pub(crate) fn pending(&self, blob: &Blob) -> Option<Arc<CopyJob>> {
        self.of(blob).filter(|job| matches!(job.progress(), Progress::Pending(_)))
    }

    /// The copy onto a blob that was followed last.
    pub(crate) fn of(&self, blob: &Blob) -> Option<Arc<CopyJob>> {
        lock(&self.all).get(blob)?.upgrade()
    }

    /// Remembers how a copy of that version of its source ended, as long as the destination is the version that it left.
    pub(crate) fn record(&self, destination: &Blob, etag: Option<ETag>, copied: Option<ETag>, state: CopyState) {
        lock(&self.ended).put(destination.clone(), EndedCopy { etag, copied, state });
    }

    /// The version of its source that a blob of that version was copied from, where this mount alone knows it.
    pub(crate) fn copied(&self, destination: &Blob, etag: &ETag) -> Option<ETag> {
        let mut ended = lock(&self.ended);
        let last = ended.get(destination)?;
        (last.state.status == CopyStatus::Success && last.etag.as_ref() == Some(etag)).then(|| last.copied.clone())?
    }

    /// How the last copy onto a blob of that version ended; none if it is of another version by now.
    pub(crate) fn ended(&self, destination: &Blob, etag: Option<&ETag>) -> Option<CopyState> {
        let mut ended = lock(&self.ended);
        let last = ended.get(destination)?;
        (last.etag.as_ref() == etag).then(|| last.state.clone())
    }

    /// The state of the last copy onto a blob, where this mount knows it and the service does not. `etag`: of what is
    /// there, if anything is.
    pub(crate) fn own_state(&self, blob: &Blob, etag: Option<&ETag>) -> Option<CopyState> {
        match self.pending(blob) {
            Some(job) => job.is_known_here().then(|| job.state(&job.progress())),
            None => self.ended(blob, etag),
        }
    }

    /// A copy goes to the blob of which the service knows nothing.
    pub(crate) fn is_known_here(&self, blob: &Blob) -> bool {
        self.pending(blob).is_some_and(|job| job.is_known_here())
    }

    /// EBUSY while a copy in blocks goes to the blob. The service would take whatever is written meanwhile, and the copy
    /// would fail.
    pub(crate) fn refuse_copied_to(&self, blob: &Blob) -> Result<()> {
        match self.pending(blob) {
            Some(job) if job.is_in_blocks() => Err(Error::copy_pending(blob.path.name.as_str())),
            _ => Ok(()),
        }
    }

    /// The blob is empty because a Copy Blob took its content, and blocks go on with what that was to bring.
    pub(crate) fn is_emptied(&self, blob: &Blob) -> bool {
        self.pending(blob).is_some_and(|job| job.is_in_blocks() && job.was_by_copy_blob())
    }

    /// Remembers that the empty version that the abort of a copy of that id leaves is none to be read, for another copy
    /// brings the content.
    pub(crate) fn give_up(&self, id: &CopyId) {
        lock(&self.given_up).put(id.clone(), ());
    }

    /// Nothing has come of that other copy: the empty version is what there is.
    pub(crate) fn came_to_nothing(&self, id: &CopyId) {
        lock(&self.given_up).pop(id);
    }

    /// The version is empty because its copy was given up for another one, which brings or has brought the content.
    pub(crate) fn is_given_up(&self, version: &BlobProperties) -> bool {
        let id = version.copy.as_ref().filter(|copy| version.size == 0 && copy.status == CopyStatus::Aborted);
        id.is_some_and(|copy| lock(&self.given_up).contains(&copy.id))
    }

    /// EBUSY for who would take such a blob for an empty one.
    pub(crate) fn refuse_emptied(&self, blob: &Blob) -> Result<()> {
        match self.is_emptied(blob) {
            true => Err(Error::fs(libc::EBUSY, format!("{}: its content is still being copied", blob.path))),
            false => Ok(()),
        }
    }

    /// Those that are pending to blobs that are meant, and not known to the service.
    pub(crate) fn known_here(&self, is_meant: impl Fn(&Blob) -> bool) -> Vec<Arc<CopyJob>> {
        let jobs = lock(&self.all);
        let meant = jobs.iter().filter(|(destination, _)| is_meant(destination));
        let pending = |job: &Arc<CopyJob>| job.is_in_blocks() && matches!(job.progress(), Progress::Pending(_));
        meant.filter_map(|(_, job)| job.upgrade()).filter(pending).collect()
    }

    /// EBUSY while a copy in blocks goes to a blob in that directory: under another name they could not be committed.
    pub(crate) fn refuse_copied_below(&self, dir: &BlobDir) -> Result<()> {
        match self.known_here(|blob| dir.holds(blob)).first() {
            Some(job) => Err(Error::copy_pending(job.destination.path.name.as_str())),
            None => Ok(()),
        }
    }
}
