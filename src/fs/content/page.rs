//! Writes to page blobs: requests on the way, and what is known of the pages that hold data.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::Result;
use crate::fs::block_ids::UPLOADS;
use crate::fs::content::page::ranges::PageRanges;
use crate::fs::content::read::Version;
use crate::fs::copies::lease::Lease;
use crate::fs::names::tree::{Blob, stale};
use crate::store::{
    BlobProperties, Client, ContentHeaders, CopySource, ETag, LARGEST_PAGE_WRITE, Metadata, ReadOptions, SourceRange,
    WriteOptions, Written,
};

pub(in crate::fs) mod plan;
pub(in crate::fs) mod ranges;
pub(in crate::fs) mod write;

/// Bytes of a draft before it is committed. All of it is copied once more then, to be sent.
pub(crate) const MOST_BUFFERED: u64 = UPLOADS as u64 / 2 * LARGEST_PAGE_WRITE;

/// A proof that nobody else has written since.
#[derive(Debug, Clone)]
pub(crate) enum WriteGuard {
    /// The ETag of the version, if it is still that.
    Version,
    /// That, or what this request has made of it: its answer was lost.
    Unsure(Arc<PageWrite>),
    /// The lease of a commit that failed, if it can be renewed. The ETag is whatever its writes have made of it.
    Lease(Arc<Lease>),
}

/// A request of a commit.
#[derive(Debug)]
pub(crate) enum PageWrite {
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

impl PageWrite {
    pub(in crate::fs) async fn send(&self, client: &Client, blob: &Blob, options: &WriteOptions) -> Result<Written> {
        let blob = client.blob(&blob.path);
        match self {
            Self::Resize(size, headers) => blob.page_blob().resize(*size, headers, options).await,
            Self::Put(at, bytes) => blob.page_blob().upload_pages(*at, bytes.clone(), options).await,
            Self::Clear(range) => blob.page_blob().clear_pages(range.clone(), options).await,
            Self::Copy { at, source, range, etag } => {
                let source = SourceRange { source, range: range.clone(), if_match: etag.as_ref() };
                blob.page_blob().upload_pages_from_url(*at, &source, options).await
            }
            Self::Describe(metadata) => blob.set_metadata(metadata, options).await,
        }
    }

    /// The blob, which is `now` this, shows that it was applied. A copy does not show itself.
    pub(in crate::fs) async fn is_applied(&self, client: &Client, blob: &Blob, now: &BlobProperties) -> Result<bool> {
        Ok(match self {
            Self::Resize(size, headers) => now.size == *size && now.headers == *headers,
            Self::Put(at, bytes) => {
                let range = *at..*at + bytes.len() as u64;
                let wanted = ReadOptions { range: Some(range), if_match: Some(&now.etag) };
                client.blob(&blob.path).download(wanted).await?.bytes == *bytes
            }
            Self::Clear(range) => ask_ranges(client, blob, now).await?.within(range).is_empty(),
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

pub(crate) async fn ask_ranges(client: &Client, blob: &Blob, of: &BlobProperties) -> Result<PageRanges> {
    let ranges = client.blob(&blob.path).page_blob().page_ranges(of).await.map_err(|error| stale(error, &blob.path))?;
    Ok(PageRanges::of(ranges))
}

pub(crate) async fn stored_ranges<'a>(client: &Client, blob: &Blob, version: &'a Version) -> Result<&'a PageRanges> {
    version.pages.get_or_try_init(|| ask_ranges(client, blob, &version.properties)).await
}
