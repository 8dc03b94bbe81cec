//! What the threads of a transfer share: what is to be done, and how far it is.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use zerocopy::FromZeros;

use super::super::failure::reason;
use super::super::naming::Habits;
use super::super::on_mount::FileProgress;
use crate::ioctl::{self, ReportFlags};
use crate::sync::lock;

/// The time between two looks at how far it is.
pub(super) const LOOK: Duration = Duration::from_millis(200);

/// Pending files that are told of: more than are shown.
const TOLD: usize = 16;

/// A file or symlink to copy.
pub(super) struct Item {
    pub from: PathBuf,
    pub to: PathBuf,
    pub size: u64,
}

/// What became of a file, and its source.
pub(super) struct Event {
    pub from: PathBuf,
    pub file: FileProgress,
}

/// A number of files, and their bytes.
#[derive(Default)]
pub(super) struct Count {
    pub files: AtomicU64,
    pub bytes: AtomicU64,
}

impl Count {
    pub(super) fn add(&self, bytes: u64) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> (u64, u64) {
        (self.files.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// A file that is being copied.
pub(super) struct Pending {
    pub path: PathBuf,
    pub total: u64,
    pub copied: AtomicU64,
}

/// How far it is.
#[derive(Default)]
pub(super) struct Progress {
    pub stop: AtomicBool,
    pub listed: AtomicBool,
    pub found: Count,
    pub copied: Count,
    pub skipped: Count,
    pub failed: Count,
    pub aborted: Count,
    /// In the order in which they were begun.
    pub pending: Mutex<Vec<Arc<Pending>>>,
    /// Files of which was told what became of them.
    pub settled: Mutex<u64>,
    pub one_more: Condvar,
}

/// What the threads share. When the last one has ended there are no more events.
pub(super) struct Work {
    pub habits: Habits,
    /// What is there is never taken for a copy.
    pub anew: bool,
    pub dry_run: bool,
    /// The destination is not on a mount: modes come from a container, which others may write to.
    pub download: bool,
    pub umask: u32,
    /// The destination as it was typed.
    pub typed: PathBuf,
    pub progress: Arc<Progress>,
    pub events: UnboundedSender<Event>,
}

impl Work {
    pub(super) fn is_stopped(&self) -> bool {
        self.progress.stop.load(Ordering::Relaxed)
    }

    /// Whether a symlink at a path of the destination is followed: one that was typed, and outside trees any, as by
    /// cp(1). Below a tree one would lead out of it.
    pub(super) fn follows(&self, to: &Path) -> bool {
        !self.habits.recursive || to == self.typed
    }

    /// Tells what became of a file.
    pub(super) fn tell(&self, from: &Path, to: &Path, status: u32, bytes: u64, why: Option<(i32, String)>) {
        let progress = &self.progress;
        let count = match status {
            ioctl::SUCCESS | ioctl::DUE => &progress.copied,
            ioctl::EXISTS | ioctl::SAME => &progress.skipped,
            ioctl::ABORTED => &progress.aborted,
            _ => &progress.failed,
        };
        count.add(bytes);
        let (errno, reason) = why.unwrap_or_default();
        let path = to.to_string_lossy().into_owned();
        let file = FileProgress { status, path, copied: bytes, total: bytes, errno, id: String::new(), reason };
        // Nobody listens any more after a second Ctrl-C.
        let _ = self.events.send(Event { from: from.to_path_buf(), file });
        *progress.settled.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        progress.one_more.notify_all();
    }

    /// Tells of a file that could not be copied; `path` is the one that is to blame.
    pub(super) fn fail(&self, from: &Path, path: &Path, bytes: u64, error: &std::io::Error) {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        self.tell(from, path, ioctl::FAILED, bytes, Some((errno, reason(error))));
    }

    /// The same of what was not even looked at before.
    pub(super) fn refuse(&self, source: &Path, errno: i32, why: impl Into<String>) {
        self.progress.found.add(0);
        self.tell(source, source, ioctl::FAILED, 0, Some((errno, why.into())));
    }
}

impl Progress {
    /// Waits until it is known of all that was found what became of it, or Ctrl-C came.
    pub(super) fn wait_until_settled(&self) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        while *settled < self.found.files.load(Ordering::Relaxed) && !self.stop.load(Ordering::Relaxed) {
            let waited = self.one_more.wait_timeout(settled, LOOK);
            settled = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The same as a mount tells it of copies inside the service.
    pub(super) fn news(&self) -> ioctl::News {
        let mut news = ioctl::News::new_zeroed();
        (news.found_files, news.found_bytes) = self.found.get();
        (news.copied_files, news.copied_bytes) = self.copied.get();
        (news.skipped_files, news.skipped_bytes) = self.skipped.get();
        (news.failed_files, news.failed_bytes) = self.failed.get();
        (news.aborted_files, news.aborted_bytes) = self.aborted.get();
        let pending = lock(&self.pending);
        news.pending_files = pending.len() as u64;
        news.pending_bytes = pending.iter().map(|file| file.copied.load(Ordering::Relaxed)).sum();
        news.flags.set(ReportFlags::LISTED, self.listed.load(Ordering::Relaxed));
        news
    }

    /// Files that have been pending longest.
    pub(super) fn slowest(&self) -> Vec<FileProgress> {
        let shown = |file: &Arc<Pending>| FileProgress {
            status: ioctl::PENDING,
            path: file.path.to_string_lossy().into_owned(),
            copied: file.copied.load(Ordering::Relaxed),
            total: file.total,
            errno: 0,
            id: String::new(),
            reason: String::new(),
        };
        lock(&self.pending).iter().take(TOLD).map(shown).collect()
    }
}
