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
use crate::fs::copies::backup::{Backup, BackupKind};
use crate::fs::names::attr::Ino;
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
    /// The name of its destination here, if nobody has that open who sees to it: what is known of it is over with the copy.
    pub(in crate::fs) name: OnceLock<(Ino, Arc<str>)>,
    /// There is no blob of that name before it is done.
    pub(in crate::fs) makes_name: bool,
    /// It has had a backup from the start.
    pub(in crate::fs) restores: bool,
    /// Its id at the service, once that is another one.
    pub(in crate::fs) begun_anew: Mutex<Option<CopyId>>,
    /// It is made in blocks.
    pub(in crate::fs) in_blocks: AtomicBool,
    /// The service is about to be asked for what blocks could not make.
    pub(in crate::fs) handed_back: AtomicBool,
    /// It is made in blocks no further.
    pub(in crate::fs) stopped: CancellationToken,
    /// It is to be left to the service, which begins it anew.
    pub(in crate::fs) left: AtomicBool,
    /// It is: this mount does nothing for it any more.
    pub(in crate::fs) handed_over: CancellationToken,
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
            name: OnceLock::new(),
            makes_name: false,
            restores: false,
            begun_anew: Mutex::default(),
            in_blocks: AtomicBool::new(false),
            handed_back: AtomicBool::new(false),
            stopped: CancellationToken::new(),
            left: AtomicBool::new(false),
            handed_over: CancellationToken::new(),
        }
    }

    /// Its id at the service.
    pub(in crate::fs) fn service_id(&self) -> CopyId {
        lock(&self.begun_anew).clone().unwrap_or_else(|| self.id.clone())
    }

    /// It is a Copy Blob again, of that id.
    pub(in crate::fs) fn set_begun_anew(&self, id: CopyId) {
        *lock(&self.begun_anew) = Some(id);
        self.set_in_blocks(false);
    }

    /// Its id at the service is another one than it had at first.
    pub(in crate::fs) fn is_begun_anew(&self) -> bool {
        lock(&self.begun_anew).is_some()
    }

    /// This mount makes it in blocks, of which the service keeps no state.
    pub(in crate::fs) fn is_in_blocks(&self) -> bool {
        self.in_blocks.load(Ordering::SeqCst)
    }

    pub(in crate::fs) fn set_in_blocks(&self, in_blocks: bool) {
        // Against who ends the mount: one of the two sees the other (`Copies::ending`).
        self.in_blocks.store(in_blocks, Ordering::SeqCst);
    }

    /// The service is asked for it next, and goes on with it also if the mount ends meanwhile.
    pub(in crate::fs) fn hand_back(&self) {
        self.handed_back.store(true, Ordering::SeqCst);
    }

    /// It was begun by Copy Blob, which has emptied the destination.
    pub(in crate::fs) fn was_by_copy_blob(&self) -> bool {
        self.by_copy_blob
    }

    /// The mount ends. A copy that was the service's at first is so again, all others are made no further. Returns when
    /// that is done.
    pub(in crate::fs) async fn leave(&self) {
        let is_the_services = self.was_by_copy_blob() || self.handed_back.load(Ordering::SeqCst);
        if is_the_services && !self.stopped.is_cancelled() {
            self.left.store(true, Ordering::Release);
        }
        self.stopped.cancel();
        tokio::select! {
            () = self.ended() => {}
            () = self.handed_over.cancelled() => {}
        }
    }

    /// Nobody has aborted it: the service is to go on with it.
    pub(in crate::fs) fn is_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// What it replaced comes back if it is no success.
    pub(in crate::fs) fn restores(&self) -> bool {
        self.restores
    }

    /// What the service shows is not how it is.
    pub(in crate::fs) fn is_known_here(&self) -> bool {
        self.is_in_blocks() || self.is_begun_anew()
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
            failed if is_abort(failed) => (CopyStatus::Aborted, seen, None),
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
            completion_time: completed(progress),
            description,
            in_blocks: self.is_in_blocks(),
        }
    }

    /// What is heard of that name in a directory, or path from there, before the copy ends is not believed afterwards.
    pub(in crate::fs) fn goes_to(&self, dir: Ino, path: &str) {
        // It is said once.
        let _ = self.name.set((dir, path.into()));
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

    /// What is there to be brought back is a snapshot, which tells of itself.
    pub(in crate::fs) fn has_snapshot(&self) -> bool {
        let backup = lock(&self.backup);
        backup.as_ref().is_some_and(|backup| matches!(backup.kind, BackupKind::Snapshot { .. }))
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

/// The end of a copy, by the service's clock: that of the copy, or else of the version that it made. An end that is no
/// success is none there, and has the time of this machine.
fn completed(progress: &Progress) -> Option<SystemTime> {
    match progress {
        Progress::Pending(_) => None,
        Progress::Success(made) => {
            let told = made.copy.as_ref().and_then(|copy| copy.completion_time);
            Some(told.unwrap_or(made.last_modified))
        }
        Progress::Failed(_) => Some(SystemTime::now()),
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

/// It was aborted.
pub(in crate::fs) fn is_abort(progress: &Progress) -> bool {
    matches!(progress, Progress::Failed(Error::Copy { failure: CopyFailure::Aborted { .. }, .. }))
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
