//! A copy that the service runs: what was last seen of it, and how its end is waited for.
//!
//! A job is of one id to all who ask. Where blocks take the place of a Copy Blob, and where that is begun anew because
//! they were no faster, the service knows it by another id or not at all; then the job says how it is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::{CopyFailure, Error};
use crate::fs::caller::Caller;
use crate::fs::copies::backup::Backup;
use crate::fs::names::tree::Blob;
use crate::store::{BlobProperties, BlobType, CopyId, CopyState, CopyStatus, LeaseId};
use crate::sync::lock;

/// Longest wait inside one `copy_file_range`, and between two looks for a pending signal.
pub(crate) const SLICE: Duration = Duration::from_millis(200);

pub(in crate::fs) const LONGEST_POLL: Duration = Duration::from_secs(2);

/// Longest wait for the sight of an end that is known.
pub(in crate::fs) const SEEN: Duration = Duration::from_secs(2);

/// The progress that a poll saw last.
#[derive(Debug, Clone)]
pub enum Progress {
    /// Bytes copied.
    Pending(u64),
    Success(Arc<BlobProperties>),
    Failed(Error),
}

/// A copy that the service runs, started by this mount.
pub struct CopyJob {
    pub destination: Blob,
    pub id: CopyId,
    /// Size of the source, bytes.
    pub total: u64,
    pub(in crate::fs) progress: watch::Sender<Progress>,
    /// Somebody waited at this moment.
    pub(in crate::fs) waited: Mutex<Instant>,
    /// Somebody waits again: the next poll need not be so far off.
    pub(in crate::fs) poll_now: Notify,
    /// Started by somebody else: it is polled only as long as somebody here waits for it.
    pub(in crate::fs) foreign: bool,
    /// The task that fetches it, where the service keeps no state of a copy.
    pub(in crate::fs) work: OnceLock<AbortHandle>,
    /// The lease of the destination, as the caller gave it: an abort needs it, too (X5).
    pub(in crate::fs) lease: Option<LeaseId>,
    /// The backup that is restored if the copy is no success (C52), unless somebody takes it out before.
    pub(in crate::fs) backup: Mutex<Option<Backup>>,
    /// URL of the source, without its signature.
    pub(in crate::fs) source: Option<String>,
    /// The service has given it its id.
    pub(in crate::fs) by_copy_blob: bool,
    /// There is no blob of that name before it is done.
    pub(in crate::fs) makes_name: bool,
    /// It has had a backup from the start.
    pub(in crate::fs) restores: bool,
    /// Its id at the service, once that is another one.
    pub(in crate::fs) begun_anew: Mutex<Option<CopyId>>,
    /// It is made in blocks.
    pub(in crate::fs) in_blocks: AtomicBool,
    /// It is made in blocks no further.
    pub(in crate::fs) stopped: CancellationToken,
}

impl CopyJob {
    pub(in crate::fs) fn new(destination: Blob, id: CopyId, total: u64, progress: Progress) -> Self {
        Self {
            destination,
            id,
            total,
            progress: watch::Sender::new(progress),
            waited: Mutex::new(Instant::now()),
            poll_now: Notify::new(),
            foreign: false,
            work: OnceLock::new(),
            lease: None,
            backup: Mutex::default(),
            source: None,
            by_copy_blob: true,
            makes_name: false,
            restores: false,
            begun_anew: Mutex::default(),
            in_blocks: AtomicBool::new(false),
            stopped: CancellationToken::new(),
        }
    }

    /// Its id at the service.
    pub(in crate::fs) fn service_id(&self) -> CopyId {
        lock(&self.begun_anew).clone().unwrap_or_else(|| self.id.clone())
    }

    /// This mount makes it in blocks, of which the service keeps no state.
    pub(in crate::fs) fn is_in_blocks(&self) -> bool {
        self.in_blocks.load(Ordering::Acquire)
    }

    pub(in crate::fs) fn set_in_blocks(&self, in_blocks: bool) {
        self.in_blocks.store(in_blocks, Ordering::Release);
    }

    /// It was begun by Copy Blob, which has emptied the destination.
    pub(in crate::fs) fn was_by_copy_blob(&self) -> bool {
        self.by_copy_blob
    }

    /// What it replaced comes back if it is no success.
    pub(in crate::fs) fn restores(&self) -> bool {
        self.restores
    }

    /// What the service shows is not how it is.
    pub(in crate::fs) fn is_known_here(&self) -> bool {
        self.is_in_blocks() || lock(&self.begun_anew).is_some()
    }

    /// Its state with that progress, as a blob would show it.
    pub(in crate::fs) fn state(&self, progress: &Progress) -> CopyState {
        let seen = match self.progress() {
            Progress::Pending(copied) => copied,
            Progress::Success(_) | Progress::Failed(_) => 0,
        };
        let (status, bytes_copied, description) = match progress {
            Progress::Pending(copied) => (CopyStatus::Pending, *copied, None),
            Progress::Success(_) => (CopyStatus::Success, self.total, None),
            Progress::Failed(Error::Copy { failure: CopyFailure::Aborted { .. }, .. }) => {
                (CopyStatus::Aborted, seen, None)
            }
            Progress::Failed(Error::Copy { failure: CopyFailure::Failed { description, .. }, .. }) => {
                (CopyStatus::Failed, seen, Some(description.clone()))
            }
            Progress::Failed(error) => (CopyStatus::Failed, seen, Some(error.to_string())),
        };
        CopyState {
            id: self.id.clone(),
            status,
            source: self.source.clone(),
            bytes_copied,
            total_bytes: self.total,
            completion_time: (status != CopyStatus::Pending).then(SystemTime::now),
            description,
            in_blocks: self.is_in_blocks(),
        }
    }

    pub(in crate::fs) fn set_work(&self, work: AbortHandle) {
        // It is said once.
        let _ = self.work.set(work);
    }

    /// It is fetched by operations that leave nothing to be stopped.
    pub(in crate::fs) fn is_fetched(&self) -> bool {
        self.work.get().is_some()
    }

    /// The service keeps no state of it: it can only be waited for here.
    pub(in crate::fs) fn is_local(&self) -> bool {
        self.is_fetched() || self.is_in_blocks()
    }

    /// Stops a copy that is only here: it has ended for all who wait.
    pub(in crate::fs) fn stop(&self) {
        let Some(work) = self.work.get() else { return };
        work.abort();
        self.publish(Progress::Failed(failure(&self.destination, CopyFailure::Aborted { id: self.id.to_string() })));
    }

    /// Tells all who wait. An end stays what it is: a copy that was stopped is no success any more.
    pub(in crate::fs) fn publish(&self, progress: Progress) {
        self.progress.send_if_modified(|last| {
            let pending = matches!(last, Progress::Pending(_));
            if pending {
                *last = progress;
            }
            pending
        });
    }

    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Waits for news, at most one slice.
    pub(in crate::fs) async fn slice(&self) -> Progress {
        if !self.somebody_waits() {
            self.poll_now.notify_one();
        }
        *lock(&self.waited) = Instant::now();
        let mut progress = self.progress.subscribe();
        if matches!(*progress.borrow_and_update(), Progress::Pending(_)) {
            let _ = tokio::time::timeout(SLICE, progress.changed()).await;
        }
        self.progress()
    }

    /// Somebody knows that it has ended, or will in a moment: it is looked at now.
    pub(in crate::fs) fn poll_now(&self) {
        *lock(&self.waited) = Instant::now();
        self.poll_now.notify_one();
    }

    pub(in crate::fs) fn has_backup(&self) -> bool {
        lock(&self.backup).is_some()
    }

    /// Sets the backup to be restored after all, if the copy is no success.
    pub(in crate::fs) fn set_backup(&self, backup: Option<Backup>) {
        *lock(&self.backup) = backup;
    }

    /// Takes the backup: whoever deletes the destination needs nothing restored.
    pub(in crate::fs) fn take_backup(&self) -> Option<Backup> {
        lock(&self.backup).take()
    }

    /// Returns when the copy has ended, however it did.
    pub async fn ended(&self) {
        while matches!(self.slice().await, Progress::Pending(_)) {}
    }

    /// The copy has been put an end to: returns when that is seen, and the source not leased any more.
    pub(in crate::fs) async fn finished(&self) {
        self.poll_now();
        let _ = tokio::time::timeout(SEEN, self.ended()).await;
    }

    pub(in crate::fs) fn somebody_waits(&self) -> bool {
        lock(&self.waited).elapsed() < LONGEST_POLL
    }
}

/// The progress of our copy by the destination's properties (X16).
pub(crate) fn look(destination: &Blob, id: &CopyId, properties: BlobProperties) -> Progress {
    match &properties.copy {
        Some(state) if state.id == *id => match state.status {
            CopyStatus::Pending => Progress::Pending(state.bytes_copied),
            CopyStatus::Success => Progress::Success(Arc::new(properties)),
            CopyStatus::Aborted => Progress::Failed(failure(destination, CopyFailure::Aborted { id: id.to_string() })),
            CopyStatus::Failed => {
                let description = state.description.clone().unwrap_or_default();
                Progress::Failed(failure(destination, CopyFailure::Failed { id: id.to_string(), description }))
            }
        },
        _ => Progress::Failed(failure(destination, CopyFailure::Replaced { id: id.to_string() })),
    }
}

/// A copy cannot change the type of a blob (C7, C21). What the source is may be known to the service alone.
pub(crate) fn types_differ(to: &Blob, is: BlobType, from: &impl std::fmt::Display, comes: Option<BlobType>) -> Error {
    let (to, is, comes) = (&to.path, is.as_str(), comes.map_or("blob of another type", BlobType::as_str));
    Error::OtherType { what: format!("{to} is a {is} and {from} gives a {comes}: a copy cannot change the type") }
}

pub(crate) fn failure(destination: &Blob, failure: CopyFailure) -> Error {
    Error::Copy { target: destination.path.to_string(), failure }
}

/// Ends when the caller has a signal to look at.
pub(crate) async fn interrupted(caller: Caller) -> Error {
    loop {
        tokio::time::sleep(SLICE).await;
        if caller.interrupted() {
            return Error::Interrupted { during: "a range was copied" };
        }
    }
}
