//! Options: what an operation may be told besides what it must be told. The default of all of them is to say nothing.

use std::ops::{Range, RangeFull};

use crate::store::types::{DeleteSnapshots, ETag, LeaseId, Precondition};

/// Options of a read: which bytes, of which version.
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

/// Options of a write: its condition, and the lease that it needs.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// Condition on the blob as it is before the write.
    pub precondition: Precondition,
    /// Lease of the blob, where the client is not told by [`crate::store::BlobClient::use_lease`].
    pub lease: Option<LeaseId>,
}

impl WriteOptions {
    /// True if a repetition after a lost answer fails by the condition.
    pub(super) fn is_guarded(&self) -> bool {
        self.precondition != Precondition::None
    }
}

impl From<Precondition> for WriteOptions {
    fn from(precondition: Precondition) -> Self {
        Self { precondition, lease: None }
    }
}

/// Options of a delete.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// Treatment of its snapshots.
    pub snapshots: DeleteSnapshots,
    /// Condition on the blob.
    pub precondition: Precondition,
}

/// Options of an abort.
#[derive(Debug, Clone, Copy, Default)]
pub struct AbortOptions<'a> {
    /// Lease of the destination that the copy was started with.
    pub lease: Option<&'a LeaseId>,
}

/// Options of a new lease.
#[derive(Debug, Clone, Default)]
pub struct LeaseOptions {
    /// Duration, 15 to 60 seconds; `None` is without end.
    pub duration: Option<std::time::Duration>,
    /// Id of the lease; a new one when `None`.
    pub id: Option<LeaseId>,
    /// Condition on the blob: who has a lease of a version knows that the blob stays that but for what they do.
    pub precondition: Precondition,
}

/// Options of a listing of containers.
#[derive(Debug, Clone, Copy, Default)]
pub struct ListContainers<'a> {
    /// Beginning of the page: the previous page's `next`.
    pub marker: Option<&'a str>,
}

/// Options of a listing of blobs (§7). `copy` and `metadata` are always included.
#[derive(Debug, Clone, Default)]
pub struct ListBlobs<'a> {
    /// Beginning of the names.
    pub prefix: &'a str,
    /// True for one level, with `/` as delimiter and with prefixes; otherwise flat.
    pub hierarchical: bool,
    /// Beginning of the page: the previous page's `next`.
    pub marker: Option<&'a str>,
    /// Most rows of a page; the service's own maximum (5000) when `None`.
    pub max_results: Option<u32>,
    /// True to list snapshots, too.
    pub snapshots: bool,
    /// True to list earlier versions, also of blobs that are deleted. Not to be combined with `snapshots`.
    pub versions: bool,
    /// True to list blobs of which there are only blocks, too.
    pub uncommitted: bool,
    /// True to be told of owners, where the namespace is hierarchical.
    pub owners: bool,
    /// With policy and hold of each version, which only some containers have.
    pub protection: bool,
}
