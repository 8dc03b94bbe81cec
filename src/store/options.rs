//! What an operation may be told besides what it must be told. The default of all of them is to say nothing.

use std::ops::{Range, RangeFull};

use crate::store::types::{DeleteSnapshots, ETag, LeaseId, Precondition};

/// What of a blob to read, and of which version of it.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions<'a> {
    /// Bytes; all of them when `None`.
    pub range: Option<Range<u64>>,
    /// `If-Match`: only this version, otherwise 412 ConditionNotMet.
    pub if_match: Option<&'a ETag>,
}

impl From<Range<u64>> for ReadOptions<'_> {
    fn from(range: Range<u64>) -> Self {
        Self { range: Some(range), if_match: None }
    }
}

impl From<RangeFull> for ReadOptions<'_> {
    fn from(_: RangeFull) -> Self {
        Self::default()
    }
}

/// Under which condition, and with which lease, a blob is written to.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// On the blob as it is before the write.
    pub precondition: Precondition,
    /// Its lease, where the client is not told by [`crate::store::BlobClient::use_lease`].
    pub lease: Option<LeaseId>,
}

impl WriteOptions {
    /// A try whose answer was lost makes the condition fail when it is repeated.
    pub(super) fn is_guarded(&self) -> bool {
        self.precondition != Precondition::None
    }
}

impl From<Precondition> for WriteOptions {
    fn from(precondition: Precondition) -> Self {
        Self { precondition, lease: None }
    }
}

/// What of a blob to delete, and under which condition.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// Its snapshots.
    pub snapshots: DeleteSnapshots,
    /// On the blob.
    pub precondition: Precondition,
}

/// With which lease of the destination a copy is aborted.
#[derive(Debug, Clone, Copy, Default)]
pub struct AbortOptions<'a> {
    /// The one that the copy was started with.
    pub lease: Option<&'a LeaseId>,
}

/// What lease to acquire.
#[derive(Debug, Clone, Default)]
pub struct LeaseOptions {
    /// 15 to 60 seconds; `None` is without end.
    pub duration: Option<std::time::Duration>,
    /// Of a version: who has the lease knows that the blob stays that version but for what they do.
    pub precondition: Precondition,
}

/// Which containers to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct ListContainers<'a> {
    /// The previous page's `next`.
    pub marker: Option<&'a str>,
}

/// What to list of a container (§7). `copy` and `metadata` are always included.
#[derive(Debug, Clone, Default)]
pub struct ListBlobs<'a> {
    /// What the names begin with.
    pub prefix: &'a str,
    /// `/` as delimiter: one level, with prefixes. Otherwise flat.
    pub hierarchical: bool,
    /// The previous page's `next`.
    pub marker: Option<&'a str>,
    /// At most this many rows; the service's own maximum (5000) when `None`.
    pub max_results: Option<u32>,
    /// Snapshots, too.
    pub snapshots: bool,
    /// Earlier versions, also of blobs that are deleted. Not to be combined with `snapshots`.
    pub versions: bool,
    /// Blobs of which there are only blocks, too.
    pub uncommitted: bool,
}
