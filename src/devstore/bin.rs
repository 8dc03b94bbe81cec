//! What was deleted softly, for as long as the account keeps such things: under one name the blob and its snapshots (S86,
//! S89), and where the namespace is hierarchical each path that was deleted, with all that was below it (S130).

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
        now < self.ends()
    }

    /// `RemainingRetentionDays`: the days that are left, begun ones too.
    pub(super) fn days_left(&self, now: SystemTime) -> u64 {
        self.ends().duration_since(now).unwrap_or_default().as_secs().div_ceil(DAY.as_secs())
    }

    /// The same of a path of a hierarchical namespace: the days that are whole (S81; two of two days are not, a minute
    /// after the delete).
    pub(super) fn whole_days_left(&self, now: SystemTime) -> u64 {
        self.ends().duration_since(now).unwrap_or_default().as_secs() / DAY.as_secs()
    }

    /// The moment from which it is kept no longer.
    pub(super) fn ends(&self) -> SystemTime {
        self.at + DAY * self.days
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

/// A path that was deleted, by its end, and what was below it; the path itself has an empty one.
pub(super) type DeletedPath<T> = Deleted<Vec<(String, T)>>;

/// The paths of a container that were deleted: one name more than once, each time under an id of its own.
#[derive(Debug)]
pub(super) struct DeletedPaths<T>(BTreeMap<(String, u64), DeletedPath<T>>);

impl<T> Default for DeletedPaths<T> {
    fn default() -> DeletedPaths<T> {
        DeletedPaths(BTreeMap::new())
    }
}

impl<T> DeletedPaths<T> {
    pub(super) fn insert(&mut self, path: String, id: u64, deleted: DeletedPath<T>) {
        self.0.insert((path, id), deleted);
    }

    /// Name, id and what was deleted, in the order of names and of time.
    pub(super) fn kept(&self, now: SystemTime) -> impl Iterator<Item = (&str, u64, &DeletedPath<T>)> {
        let kept = self.0.iter().filter(move |(_, deleted)| deleted.is_kept(now));
        kept.map(|((path, id), deleted)| (path.as_str(), *id, deleted))
    }

    /// What was deleted under the id, if that can be brought back.
    pub(super) fn find(&self, path: &str, id: u64, now: SystemTime) -> Option<&DeletedPath<T>> {
        self.0.get(&(path.to_owned(), id)).filter(|deleted| deleted.is_kept(now))
    }

    pub(super) fn remove(&mut self, path: &str, id: u64) -> Option<DeletedPath<T>> {
        self.0.remove(&(path.to_owned(), id))
    }
}
