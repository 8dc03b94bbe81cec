//! The record of copies: those that were admitted, how far they are, and how they ended. What makes them go on is the
//! [`engine`](super::engine).

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use uuid::Uuid;

use super::address::{BlobAddress, Revision, Service, redact};
use super::config::CopyRate;
use super::model::{Blob, ETag};

/// The number of concluded copies that `GET /-/copies` remembers.
const REMEMBERED: usize = 10_000;

/// A copy as the control interface shows it.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct CopySummary {
    /// The copy id.
    pub id: String,
    /// Source URL, signature redacted.
    pub source: String,
    /// `ACCOUNT/CONTAINER/BLOB`.
    pub destination: String,
    /// `pending`, `success`, `aborted` or `failed`; `vanished` when the destination's container was deleted.
    pub status: &'static str,
    /// Bytes copied so far.
    pub bytes_copied: u64,
    /// Length of the source.
    pub total_bytes: u64,
}

/// The source of a copy: a blob as it is or was, or a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SourceName {
    pub service: Service,
    /// Its place. Of a file: share and path.
    pub address: BlobAddress,
    pub revision: Revision,
}

/// A copy that was admitted and is to begin.
#[derive(Debug)]
pub(super) struct NewCopy {
    pub destination: BlobAddress,
    pub source: SourceName,
    pub source_url: String,
    pub source_etag: ETag,
    /// When the source URL's signature ends.
    pub source_expiry: Option<SystemTime>,
    /// The destination as it will be when the copy has succeeded, without copy state.
    pub finished: Blob,
    pub timing: Timing,
}

/// The rule for when a copy is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timing {
    /// The policy's rate for its kind.
    AtRate,
    /// Done with the request: the synchronous operations.
    Immediately,
    /// Pending until the control interface releases it: an archived source takes hours to come back.
    WhenReleased,
}

/// The progress of a copy, by arithmetic.
#[derive(Debug, Clone, Copy)]
pub(super) enum Progress {
    Held {
        bytes: u64,
    },
    Running {
        bytes: u64,
        since: SystemTime,
        rate: u64,
    },
    /// Done when it has been looked at that often.
    Unseen {
        looks: u32,
    },
}

impl Progress {
    /// Goes on from `bytes` at a rate.
    pub(super) fn running(bytes: u64, since: SystemTime, rate: CopyRate) -> Progress {
        match rate {
            CopyRate::BytesPerSecond(rate) => Progress::Running { bytes, since, rate },
            CopyRate::Looks(looks) => Progress::Unseen { looks },
            CopyRate::Immediate => Progress::Unseen { looks: 0 },
        }
    }

    /// Somebody has seen the destination.
    pub(super) fn seen(&mut self) {
        if let Progress::Unseen { looks } = self {
            *looks = looks.saturating_sub(1);
        }
    }

    /// Bytes copied at `now`, unbounded by the length of the source.
    pub(super) fn bytes(self, now: SystemTime) -> u64 {
        match self {
            Progress::Held { bytes } => bytes,
            Progress::Unseen { looks: 0 } => u64::MAX,
            Progress::Unseen { .. } => 0,
            Progress::Running { bytes, since, rate } => {
                let elapsed = now.duration_since(since).unwrap_or_default();
                bytes.saturating_add((elapsed.as_secs_f64() * rate as f64) as u64)
            }
        }
    }
}

/// A pending copy.
#[derive(Debug)]
pub(super) struct Transfer {
    pub copy: NewCopy,
    pub rate: CopyRate,
    pub progress: Progress,
    pub started: SystemTime,
}

impl Transfer {
    /// Bytes copied at `now`: all of the source at the most.
    pub(super) fn bytes(&self, now: SystemTime) -> u64 {
        self.progress.bytes(now).min(self.copy.finished.content.len())
    }
}

impl NewCopy {
    pub(super) fn summary(&self, id: Uuid, status: &'static str, bytes_copied: u64) -> CopySummary {
        CopySummary {
            id: id.to_string(),
            source: redact(&self.source_url),
            destination: self.destination.to_string(),
            status,
            bytes_copied,
            total_bytes: self.finished.content.len(),
        }
    }
}

/// All copies, pending and concluded.
#[derive(Debug)]
pub(super) struct Copies {
    pub pending: BTreeMap<Uuid, Transfer>,
    pub concluded: VecDeque<CopySummary>,
    /// Longest time that a copy may be pending (X9).
    pub age_limit: Duration,
}

impl Copies {
    pub(super) fn new(age_limit: Duration) -> Copies {
        Copies { pending: BTreeMap::new(), concluded: VecDeque::new(), age_limit }
    }

    /// Somebody has seen the state of a copy onto this blob.
    pub(super) fn seen(&mut self, destination: &BlobAddress) {
        let onto_it = self.pending.values_mut().filter(|transfer| transfer.copy.destination == *destination);
        onto_it.for_each(|transfer| transfer.progress.seen());
    }

    /// Somebody has seen the state of all copies onto names that begin so.
    pub(super) fn seen_below(&mut self, account: &str, container: &str, prefix: &str) {
        let is_listed =
            |to: &BlobAddress| to.account == account && to.container == container && to.blob.starts_with(prefix);
        let listed = self.pending.values_mut().filter(|transfer| is_listed(&transfer.copy.destination));
        listed.for_each(|transfer| transfer.progress.seen());
    }

    pub(super) fn remember(&mut self, summary: CopySummary) {
        if self.concluded.len() == REMEMBERED {
            self.concluded.pop_front();
        }
        self.concluded.push_back(summary);
    }
}
