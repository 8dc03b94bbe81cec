//! A range of a blob that the service is to copy from.

use std::ops::Range;
use std::time::Duration;

use crate::error::Error;
use crate::fs::content::draft::BLOCK;
use crate::fs::content::plan;
use crate::fs::names::tree::{Blob, Origin};
use crate::store::{ETag, Revision};

/// A SAS for the service to read a range of a blob into another, or into its own next version: only as long as the
/// request may take.
pub(in crate::fs) const RANGE_READ: Duration = Duration::from_secs(3600);

/// A range that the service copies into a block.
pub(crate) struct RangeSource<'a> {
    pub blob: &'a Blob,
    /// `None`: the blob as it is.
    pub revision: Option<&'a Revision>,
    /// The version that is copied, and no other.
    pub etag: &'a ETag,
    pub range: Range<u64>,
}

impl<'a> RangeSource<'a> {
    pub(crate) fn of(origin: &'a Origin, etag: &'a ETag, range: Range<u64>) -> Self {
        Self { blob: &origin.blob, revision: origin.revision.as_ref(), etag, range }
    }

    /// As much of it as one block takes that the service makes.
    pub(crate) fn block(&self) -> Range<u64> {
        let start = self.range.start;
        start..self.range.end.min(start + plan::Limits::of_service(BLOCK).remote)
    }
}

/// What has no name is in no blob. That is no failure of the copy: the kernel reads and writes instead, and whoever
/// asked has what can be reached.
pub(crate) fn nameless() -> Error {
    Error::unsupported("a file without a name cannot be copied in the service")
}
