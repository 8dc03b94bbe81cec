//! What was deleted softly, under one name: the blob and its snapshots, for as long as the account keeps such things
//! (S86, S89).

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Something that was deleted and is kept for a while.
#[derive(Debug, Clone)]
pub(super) struct Deleted<T> {
    pub what: T,
    /// By the clock of retention, as all times here.
    pub at: SystemTime,
    pub days: u32,
}

impl<T> Deleted<T> {
    pub(super) fn is_kept(&self, now: SystemTime) -> bool {
        now < self.at + DAY * self.days
    }

    /// `RemainingRetentionDays`: the days that are left, begun ones too.
    pub(super) fn days_left(&self, now: SystemTime) -> u64 {
        let end = self.at + DAY * self.days;
        end.duration_since(now).unwrap_or_default().as_secs().div_ceil(DAY.as_secs())
    }
}

/// What was deleted of one name.
#[derive(Debug)]
pub(super) struct Bin<T> {
    pub blob: Option<Deleted<T>>,
    /// By snapshot id.
    pub snapshots: BTreeMap<String, Deleted<T>>,
}

impl<T> Default for Bin<T> {
    fn default() -> Bin<T> {
        Bin { blob: None, snapshots: BTreeMap::new() }
    }
}

impl<T> Bin<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.blob.is_none() && self.snapshots.is_empty()
    }

    /// Drops what is kept no longer.
    pub(super) fn expire(&mut self, now: SystemTime) {
        self.blob.take_if(|deleted| !deleted.is_kept(now));
        self.snapshots.retain(|_, deleted| deleted.is_kept(now));
    }
}
