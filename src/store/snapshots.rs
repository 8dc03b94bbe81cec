//! Snapshots of a blob (§11), and those that are taken twice.
//!
//! Nothing tells a snapshot from another one of the same version. So if an answer is lost and the request sent again, there
//! are two, and as long as a blob has one it cannot be deleted. Whoever wants to have just one gives it metadata that no
//! other has.

use reqwest::Method;
use tracing::{debug, warn};

use crate::error::Result;
use crate::store::blob::{BlobClient, explain};
use crate::store::container::ContainerClient;
use crate::store::headers;
use crate::store::options::{DeleteOptions, ListBlobs};
use crate::store::request::{Request, Response, in_time, may_be_ours};
use crate::store::types::*;

/// Client of the snapshots of one blob.
#[derive(Clone, Copy)]
pub struct Snapshots<'a>(pub(super) BlobClient<'a>);

impl<'a> BlobClient<'a> {
    /// Snapshot Blob: the blob as it is now, for keeps. Where the namespace is hierarchical there is no such thing, and
    /// that is heeded from then on: [`crate::store::Client::namespace`].
    pub async fn create_snapshot(self) -> Result<Revision> {
        self.snapshots().create(&Metadata::default()).await
    }

    /// Its snapshots.
    pub fn snapshots(self) -> Snapshots<'a> {
        Snapshots(self)
    }
}

impl Snapshots<'_> {
    /// Snapshot Blob, with these metadata in place of the blob's, if there are any.
    pub async fn create(self, metadata: &Metadata) -> Result<Revision> {
        self.answer(metadata, self.0.pipeline.send(&self.request(metadata)).await).await
    }

    /// The same, with metadata that no other snapshot of the blob has: by them it is found when its answer was lost, and
    /// one that a try without an answer has taken besides is deleted.
    pub async fn create_unique(self, metadata: &Metadata) -> Result<Revision> {
        let sent = self.0.pipeline.send_tracked(&self.request(metadata)).await;
        let (lost, look) = (sent.lost, sent.look);
        let taken = self.answer(metadata, sent.result).await;
        let unanswered = taken.as_ref().is_err_and(|error| !may_be_ours(error));
        if !lost || unanswered {
            return taken;
        }
        let found = in_time(look, async { self.with(metadata).await.ok() }).await;
        let Some(mut found) = found else {
            warn!(blob = %self.0.path, "an answer was lost, so there may be a snapshot of it that nobody needs");
            return taken;
        };
        // The newest is as good as the one that was answered.
        let wanted = taken.or_else(|error| found.pop().ok_or(error))?;
        for twin in found.into_iter().filter(|found| *found != wanted) {
            match self.0.at(&twin).delete(&DeleteOptions::default()).await {
                Err(error) if !error.is_not_found() => {
                    warn!(blob = %self.0.path, %error, "a snapshot that was taken twice stays");
                }
                _ => debug!(blob = %self.0.path, "a snapshot whose answer was lost is deleted"),
            }
        }
        Ok(wanted)
    }

    fn request(self, metadata: &Metadata) -> Request {
        self.0.component("SnapshotBlob", Method::PUT, "snapshot").metadata(metadata)
    }

    async fn answer(self, metadata: &Metadata, answer: Result<Response>) -> Result<Revision> {
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                self.0.pipeline.heed_refusal(&error);
                return Err(explain(self.0, error).await);
            }
        };
        let taken = headers::text(&response.headers, "x-ms-snapshot").and_then(Moment::parse);
        response.required(&self.request(metadata), "x-ms-snapshot", taken.map(Revision::Snapshot))
    }

    /// The snapshots of the blob that have these metadata, the newest last.
    async fn with(self, metadata: &Metadata) -> Result<Vec<Revision>> {
        let container = ContainerClient { pipeline: self.0.pipeline, name: &self.0.path.container };
        let name = &self.0.path.name;
        let mut pages = container.pages(ListBlobs { prefix: name.as_str(), snapshots: true, ..ListBlobs::default() });
        let mut found = Vec::new();
        while let Some(page) = pages.next().await? {
            // A blob comes before those whose names are longer.
            let further = page.items.last().is_some_and(|last| last.name != *name);
            let ours = |item: &BlobItem| item.name == *name && item.properties.metadata == *metadata;
            found.extend(page.items.into_iter().filter(ours).filter_map(|item| item.revision));
            if further {
                break;
            }
        }
        Ok(found)
    }
}
