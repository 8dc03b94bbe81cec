//! Append blobs (§9): content that only grows.
//!
//! A block is appended at a position or not at all (`x-ms-blob-condition-appendpos`). So an answer that was lost never
//! makes a block that is there twice: the second try is refused, and what is at the position then tells whether the
//! first one was executed.

use bytes::Bytes;
use reqwest::Method;

use crate::error::Result;
use crate::store::blob::BlobClient;
use crate::store::headers;
use crate::store::options::WriteOptions;
use crate::store::request::{Request, Response};
use crate::store::resolve::modified_since;
use crate::store::types::*;

/// Bytes of the largest block that can be appended, by the version of the protocol (§15).
const LARGEST_BLOCK: u64 = 100 << 20;
const LARGEST_BLOCK_BEFORE: u64 = 4 << 20;
/// The version that brought the larger one. Versions are dates and compare as text.
const LARGER_SINCE: &str = "2022-11-02";

/// An append blob after a block was added to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// ETag and time after the block.
    pub written: Written,
    /// Bytes. Larger than position and block if others have appended since, which is known only when an answer was
    /// lost.
    pub size: u64,
    /// Number of its blocks.
    pub blocks: Option<u32>,
}

/// Client of one append blob.
#[derive(Clone, Copy)]
pub struct AppendBlobClient<'a>(BlobClient<'a>);

impl<'a> BlobClient<'a> {
    /// Client of the blob as an append blob.
    pub fn append_blob(self) -> AppendBlobClient<'a> {
        AppendBlobClient(self)
    }
}

impl AppendBlobClient<'_> {
    /// Bytes of the largest block that this account's version of the protocol appends.
    pub fn largest_block(self) -> u64 {
        if self.0.pipeline.api_version() >= LARGER_SINCE { LARGEST_BLOCK } else { LARGEST_BLOCK_BEFORE }
    }

    /// Put Blob: an append blob without content, with these properties and metadata and no others. Of tiers it knows
    /// none.
    pub async fn create(self, settings: &BlobSettings, options: &WriteOptions) -> Result<Written> {
        let settings = BlobSettings { tier: None, ..settings.clone() };
        let request = self
            .0
            .request("PutBlob", Method::PUT)
            .header("x-ms-blob-type", BlobType::Append.as_str())
            .settings(&settings)
            .write_options(options);
        let is_ours = |found: &BlobProperties| {
            found.blob_type == BlobType::Append && found.size == 0 && found.metadata == settings.metadata
        };
        self.0.write(&request, options.is_guarded(), is_ours).await
    }

    /// Append Block at `position`, which must be the end of the blob: 412 AppendPositionConditionNotMet if it is not.
    ///
    /// After a lost answer the block is ours if its bytes are at `position`: nothing was there when we began.
    pub async fn append_block(self, position: u64, body: Bytes, options: &WriteOptions) -> Result<Appended> {
        let request = self.append_request("AppendBlock", position, options).body(body.clone());
        let sent = self.0.pipeline.send_tracked(&request).await;
        let end = position + body.len() as u64;
        let look = async {
            let found = self.0.download(position..end).await.ok()?;
            (found.bytes == body).then(|| Appended::as_found(&found.properties))
        };
        sent.or_found(|response| appended(&request, response, end), look).await
    }

    /// Append Block From URL (§13.10): the service fetches the source.
    ///
    /// After a lost answer the block is ours if the blob has grown by it and no more since we began. Its bytes are not
    /// looked at: that would move them here.
    pub async fn append_block_from_url(
        self,
        position: u64,
        source: &SourceRange<'_>,
        options: &WriteOptions,
    ) -> Result<Appended> {
        let length = source.range.end.saturating_sub(source.range.start);
        let request = self.append_request("AppendBlockFromURL", position, options).source_range(source);
        let sent = self.0.pipeline.send_tracked(&request).await;
        let began = sent.began;
        let end = position + length;
        let look = async {
            let (response, found) = self.0.head(None).await.ok()?;
            let ours = found.size == end && modified_since(began, response.date(), found.last_modified);
            ours.then(|| Appended::as_found(&found))
        };
        sent.or_found(|response| appended(&request, response, end), look).await
    }

    fn append_request(self, operation: &'static str, position: u64, options: &WriteOptions) -> Request {
        self.0
            .component(operation, Method::PUT, "appendblock")
            .header("x-ms-blob-condition-appendpos", &position.to_string())
            .write_options(options)
    }
}

impl Appended {
    /// A blob that was found to have the block already.
    pub fn as_found(found: &BlobProperties) -> Self {
        Self { written: found.written(), size: found.size, blocks: found.committed_block_count }
    }
}

fn appended(request: &Request, response: &Response, size: u64) -> Result<Appended> {
    let written = response.written(request)?;
    let blocks = headers::text(&response.headers, "x-ms-blob-committed-block-count").and_then(|n| n.parse().ok());
    Ok(Appended { written, size, blocks })
}
