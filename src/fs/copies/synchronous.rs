//! Whole copies of what Copy Blob cannot read (§13.8, §13.9).
//!
//! Copy Blob looks at its source with HEAD before it promises anything, and there are sources that do not let it:
//! servers that know only GET, URLs that are signed for GET. The From-URL operations read them all the same, and are
//! done when they are answered. A source of up to 5000 MiB is one Put Blob From URL; a larger one is fetched in blocks,
//! side by side and pinned to one version of the source if it has an ETag, and appears with one Put Block List.
//!
//! To callers this is a copy like any other: a `CopyJob` that is pending until it is done. It has no copy id, though,
//! for the service keeps no state of it, and whoever gives it up has only to stop asking.

use std::ops::Range;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use tracing::{debug, info};

use crate::error::{Error, OptionalExtension, Result};
use crate::fs::block_ids::{BlockIds, UPLOADS};
use crate::fs::copies::job::types_differ;
use crate::fs::copies::run::Copies;
use crate::fs::names::tree::{Blob, Origin};
use crate::store::{
    BlobProperties, BlobSettings, BlobType, BlockRef, ContentHeaders, CopyRequest, CopySource, ETag,
    LARGEST_BLOB_FROM_URL, LARGEST_BLOCK_FROM_URL, Metadata, Precondition, SourceRange, WholeSource, WriteOptions,
};

/// Properties of a source before it is read.
struct Facts {
    size: u64,
    etag: Option<ETag>,
    headers: ContentHeaders,
    metadata: Metadata,
}

/// The ranges that one block each can hold.
fn pieces(size: u64) -> impl Iterator<Item = Range<u64>> {
    let starts = (0..size.div_ceil(LARGEST_BLOCK_FROM_URL)).map(|number| number * LARGEST_BLOCK_FROM_URL);
    starts.map(move |start| start..size.min(start + LARGEST_BLOCK_FROM_URL))
}

impl Copies {
    pub(crate) async fn fetch_whole(
        &self,
        destination: &Blob,
        request: CopyRequest,
        version: Option<Arc<BlobProperties>>,
    ) -> Result<Arc<BlobProperties>> {
        let blob = self.service.blob(destination);
        let origin = self.service.located(request.source.expose());
        let CopyRequest { source, mut precondition, metadata, tier, tags, lease, .. } = request;
        if precondition == Precondition::None {
            precondition = self.as_a_block_blob(destination, &source).await?;
        }
        let facts = match version {
            Some(version) => Some(Facts {
                size: version.size,
                etag: Some(version.etag.clone()),
                headers: version.headers.clone(),
                metadata: version.metadata.clone(),
            }),
            None => match self.service.client(destination.account).source_properties(&source).await {
                Ok(found) => {
                    let (size, etag) = (found.size, found.etag);
                    Some(Facts { size, etag, headers: found.headers, metadata: found.metadata })
                }
                Err(error) => {
                    // The service may reach what we do not.
                    debug!(%error, "nothing is known of a source");
                    None
                }
            },
        };
        let size = facts.as_ref().map(|facts| facts.size);
        let known = facts.as_ref().map(|facts| facts.metadata.clone()).unwrap_or_default();
        let options = WriteOptions { precondition, lease };
        let mut settings = BlobSettings { metadata: metadata.unwrap_or(known), tier, tags, ..BlobSettings::default() };
        match facts {
            Some(facts) if facts.size > LARGEST_BLOB_FROM_URL => {
                settings.headers = facts.headers;
                let blocks = self.fetch_blocks(destination, &source, facts.size, facts.etag.as_ref()).await?;
                blob.block_blob().commit_block_list(&blocks, &settings, &options).await?;
            }
            // The service has been seen to stumble over a source of no bytes (§13.7).
            Some(Facts { size: 0, headers, .. }) => {
                settings.headers = headers;
                blob.block_blob().upload(bytes::Bytes::new(), &settings, &options).await?;
            }
            facts => {
                let etag = facts.and_then(|facts| facts.etag);
                let source = WholeSource { source: &source, if_match: etag.as_ref(), size };
                match (blob.block_blob().upload_from_url(&source, &settings, &options).await, &origin) {
                    (Err(error), Some(Origin { blob, revision })) => {
                        return Err(self.service.explain_source(blob, revision.as_ref(), error).await);
                    }
                    (written, _) => written?,
                };
            }
        }
        let properties = blob.properties().await?;
        info!(destination = %destination.path, %source, bytes = properties.size, "copied by what reads any URL");
        if let Some(size) = size.filter(|size| *size != properties.size) {
            let what = format!("{}: it has {} bytes, its source {size}", destination.path, properties.size);
            return Err(Error::fs(libc::EIO, what));
        }
        Ok(Arc::new(properties))
    }

    /// What is there may be replaced if it is a block blob, for that is what it becomes (C7); and only as it is now.
    async fn as_a_block_blob(&self, destination: &Blob, source: &CopySource) -> Result<Precondition> {
        match self.service.blob(destination).properties().await.optional()? {
            Some(there) if there.blob_type == BlobType::Block => Ok(Precondition::IfMatch(there.etag)),
            Some(there) => Err(types_differ(destination, there.blob_type, source, Some(BlobType::Block))),
            None => Ok(Precondition::IfAbsent),
        }
    }

    /// Blocks with all of the source, not yet committed.
    async fn fetch_blocks(
        &self,
        destination: &Blob,
        source: &CopySource,
        size: u64,
        etag: Option<&ETag>,
    ) -> Result<Vec<BlockRef>> {
        let client = self.service.blob(destination);
        let there = client.block_blob().block_list().await.optional()?.map_or_else(Vec::new, |(blocks, _)| blocks);
        let ids = BlockIds::beside(&there);
        let fetched = pieces(size).map(|range| {
            let id = ids.next();
            async move {
                let id = id?;
                let part = SourceRange { source, range, if_match: etag };
                client.block_blob().stage_block_from_url(&id, &part, None).await?;
                Ok(BlockRef::Uncommitted(id))
            }
        });
        futures_util::stream::iter(fetched).buffered(UPLOADS).try_collect().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_as_large_as_they_may_be() {
        let cut: Vec<_> = pieces(2 * LARGEST_BLOCK_FROM_URL + 1).collect();
        let (one, two) = (LARGEST_BLOCK_FROM_URL, 2 * LARGEST_BLOCK_FROM_URL);
        assert_eq!(cut, [0..one, one..two, two..two + 1]);
        assert_eq!(pieces(one).count(), 1);
    }
}
