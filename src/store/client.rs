//! Requests to one account.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

use crate::error::Result;
use crate::path::{AccountName, BlobName, BlobPath, ContainerName};
use crate::store::types::*;

/// Client of one account. Cheap to clone; all clients of a process share one HTTP connection pool.
#[derive(Clone)]
pub struct Client {}

#[allow(unused_variables, missing_docs)]
impl Client {
    pub fn account(&self) -> &AccountName {
        todo!()
    }
    /// Display form of the blob's URL: no SAS.
    pub fn url(&self, blob: &BlobPath) -> String {
        todo!()
    }
    pub async fn list_containers(&self, marker: Option<&str>) -> Result<Page<ContainerItem>> {
        todo!()
    }
    pub async fn container_properties(&self, container: &ContainerName) -> Result<ContainerItem> {
        todo!()
    }
    pub async fn create_container(&self, container: &ContainerName) -> Result<()> {
        todo!()
    }
    pub async fn delete_container(&self, container: &ContainerName) -> Result<()> {
        todo!()
    }
    pub async fn set_container_metadata(&self, container: &ContainerName, metadata: &Metadata) -> Result<()> {
        todo!()
    }
    pub async fn list_blobs(&self, container: &ContainerName, list: &ListBlobs<'_>) -> Result<Page<BlobItem>> {
        todo!()
    }
    /// HEAD. `snapshot` addresses a snapshot of the blob.
    pub async fn blob_properties(&self, blob: &BlobPath, snapshot: Option<&str>) -> Result<BlobProperties> {
        todo!()
    }
    /// GET of a byte range (`None`: all of it); the range is clipped at the end of the blob by the service.
    pub async fn get_blob(
        &self,
        blob: &BlobPath,
        snapshot: Option<&str>,
        range: Option<Range<u64>>,
        if_match: Option<&ETag>,
    ) -> Result<Download> {
        todo!()
    }
    pub async fn put_blob(
        &self,
        blob: &BlobPath,
        body: Bytes,
        settings: &BlobSettings,
        precondition: &Precondition,
    ) -> Result<Written> {
        todo!()
    }
    pub async fn put_block(&self, blob: &BlobPath, id: &BlockId, body: Bytes, lease: Option<&LeaseId>) -> Result<()> {
        todo!()
    }
    /// Put Block From URL (§13.9).
    pub async fn put_block_from_url(
        &self,
        blob: &BlobPath,
        id: &BlockId,
        source: &CopySource,
        range: Range<u64>,
        source_if_match: Option<&ETag>,
        lease: Option<&LeaseId>,
    ) -> Result<()> {
        todo!()
    }
    pub async fn put_block_list(
        &self,
        blob: &BlobPath,
        blocks: &[BlockRef],
        settings: &BlobSettings,
        precondition: &Precondition,
    ) -> Result<Written> {
        todo!()
    }
    /// Committed blocks in order, with the ETag of the blob they belong to.
    pub async fn block_list(&self, blob: &BlobPath) -> Result<(Vec<Block>, Option<ETag>)> {
        todo!()
    }
    pub async fn delete_blob(
        &self,
        blob: &BlobPath,
        snapshot: Option<&str>,
        snapshots: DeleteSnapshots,
        precondition: &Precondition,
        lease: Option<&LeaseId>,
    ) -> Result<()> {
        todo!()
    }
    pub async fn set_metadata(
        &self,
        blob: &BlobPath,
        metadata: &Metadata,
        precondition: &Precondition,
        lease: Option<&LeaseId>,
    ) -> Result<Written> {
        todo!()
    }
    pub async fn set_properties(
        &self,
        blob: &BlobPath,
        headers: &ContentHeaders,
        precondition: &Precondition,
        lease: Option<&LeaseId>,
    ) -> Result<Written> {
        todo!()
    }
    pub async fn set_tier(&self, blob: &BlobPath, tier: &str, lease: Option<&LeaseId>) -> Result<()> {
        todo!()
    }
    pub async fn tags(&self, blob: &BlobPath) -> Result<Vec<(String, String)>> {
        todo!()
    }
    pub async fn set_tags(&self, blob: &BlobPath, tags: &[(String, String)]) -> Result<()> {
        todo!()
    }
    /// Snapshot Blob; the snapshot's id.
    pub async fn snapshot_blob(&self, blob: &BlobPath) -> Result<String> {
        todo!()
    }
    /// Copy Blob. A lost response is resolved here (§13.14): the copy is adopted or asked for again.
    pub async fn copy_blob(&self, destination: &BlobPath, request: &CopyRequest) -> Result<CopyStarted> {
        todo!()
    }
    pub async fn abort_copy(&self, destination: &BlobPath, id: &CopyId, lease: Option<&LeaseId>) -> Result<()> {
        todo!()
    }
    /// `duration`: 15 to 60 seconds, `None`: infinite.
    pub async fn acquire_lease(&self, blob: &BlobPath, duration: Option<Duration>) -> Result<LeaseId> {
        todo!()
    }
    pub async fn renew_lease(&self, blob: &BlobPath, id: &LeaseId) -> Result<()> {
        todo!()
    }
    pub async fn release_lease(&self, blob: &BlobPath, id: &LeaseId) -> Result<()> {
        todo!()
    }
    /// Breaks any lease at once; the seconds that remain.
    pub async fn break_lease(&self, blob: &BlobPath) -> Result<u64> {
        todo!()
    }
    /// A source URL for Copy Blob onto `reader`'s account: plain within one account under Shared Key, otherwise with a SAS
    /// that lives for `lifetime`. Fails with EACCES when this client has nothing to grant access with.
    pub fn copy_source(
        &self,
        blob: &BlobPath,
        snapshot: Option<&str>,
        reader: &AccountName,
        lifetime: Duration,
    ) -> Result<CopySource> {
        todo!()
    }
    /// A source URL for the From-URL operations, which need a SAS even within one account (§13.13).
    pub fn block_source(&self, blob: &BlobPath, snapshot: Option<&str>, lifetime: Duration) -> Result<CopySource> {
        todo!()
    }
    #[doc(hidden)]
    pub fn _names(_: &BlobName) {}
}
