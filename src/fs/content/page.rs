//! Writes to page blobs: steps on the way, and what is known of the pages that hold data.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::Result;
use crate::fs::content::block_ids::UPLOADS;
use crate::fs::content::page::ranges::PageRanges;
use crate::fs::copies::lease::Lease;
use crate::fs::names::tree::{Blob, stale};
use crate::store::{
    BlobProperties, Client, ContentHeaders, CopySource, ETag, Guard, LARGEST_PAGE_WRITE, Metadata, Precondition,
    Written,
};

pub(in crate::fs) mod plan;
pub(in crate::fs) mod ranges;

/// Bytes of a draft before it is committed. All of it is copied once more then, to be sent.
pub(crate) const MOST_BUFFERED: u64 = UPLOADS as u64 / 2 * LARGEST_PAGE_WRITE;

/// What keeps others from having written since.
#[derive(Debug, Clone)]
pub enum WriteGuard {
    /// The ETag of the version, if it is still that.
    Version,
    /// That, or what this request has made of it: its answer was lost.
    Unsure(Arc<Step>),
    /// The lease of a commit that failed, if it can be renewed. The ETag is whatever its writes have made of it.
    Lease(Arc<Lease>),
}

/// A request of a commit.
#[derive(Debug)]
pub enum Step {
    /// A new size, with the headers that the blob is to have.
    Resize(u64, ContentHeaders),
    Put(u64, Bytes),
    Clear(Range<u64>),
    /// A range of a source to that offset.
    Copy {
        at: u64,
        source: CopySource,
        range: Range<u64>,
        etag: Option<ETag>,
    },
    Describe(Metadata),
}

impl Step {
    pub(in crate::fs) async fn send(&self, client: &Client, blob: &Blob, guard: &Guard) -> Result<Written> {
        let path = &blob.path;
        match self {
            Self::Resize(size, headers) => client.resize_pages(path, *size, headers, guard).await,
            Self::Put(at, bytes) => client.put_pages(path, *at, bytes.clone(), guard).await,
            Self::Clear(range) => client.clear_pages(path, range.clone(), guard).await,
            Self::Copy { at, source, range, etag } => {
                client.put_pages_from_url(path, *at, source, range.clone(), etag.as_ref(), guard).await
            }
            Self::Describe(metadata) => match guard {
                Guard::Version(etag) => {
                    client.set_metadata(path, metadata, &Precondition::IfMatch(etag.clone()), None).await
                }
                Guard::Lease(id) => client.set_metadata(path, metadata, &Precondition::None, Some(id)).await,
            },
        }
    }

    /// The blob, which is `now` this, shows that the step was taken. A copy does not show itself.
    pub(in crate::fs) async fn is_taken(&self, client: &Client, blob: &Blob, now: &BlobProperties) -> Result<bool> {
        Ok(match self {
            Self::Resize(size, headers) => now.size == *size && now.headers == *headers,
            Self::Put(at, bytes) => {
                let range = *at..*at + bytes.len() as u64;
                client.get_blob(&blob.path, None, Some(range), Some(&now.etag)).await?.bytes == *bytes
            }
            Self::Clear(range) => ask_ranges(client, blob, &now.etag).await?.within(range).is_empty(),
            Self::Copy { .. } => false,
            Self::Describe(metadata) => now.metadata == *metadata,
        })
    }

    /// May go out beside others of its kind.
    pub(in crate::fs) fn is_write(&self) -> bool {
        matches!(self, Self::Put(..) | Self::Clear(_) | Self::Copy { .. })
    }

    pub(in crate::fs) fn apply(&self, properties: &mut BlobProperties, ranges: &mut Option<PageRanges>) {
        let mut ranges = ranges.as_mut();
        match self {
            Self::Resize(size, headers) => {
                (properties.size, properties.headers, properties.copy) = (*size, headers.clone(), None);
                if let Some(ranges) = &mut ranges {
                    ranges.clear(*size..u64::MAX);
                }
            }
            Self::Put(at, bytes) => ranges.into_iter().for_each(|ranges| ranges.write(*at..at + bytes.len() as u64)),
            Self::Copy { at, range, .. } => {
                ranges.into_iter().for_each(|ranges| ranges.write(*at..at + range.end - range.start));
            }
            Self::Clear(range) => ranges.into_iter().for_each(|ranges| ranges.clear(range.clone())),
            Self::Describe(metadata) => (properties.metadata, properties.copy) = (metadata.clone(), None),
        }
    }
}

pub(in crate::fs) async fn ask_ranges(client: &Client, blob: &Blob, etag: &ETag) -> Result<PageRanges> {
    let ranges = client.page_ranges(&blob.path, etag).await.map_err(|error| stale(error, &blob.path))?;
    Ok(PageRanges::of(ranges))
}
