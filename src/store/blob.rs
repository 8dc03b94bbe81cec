//! Whole blobs: read, write, describe, delete, snapshot (§8 to §11).

use std::ops::Range;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderMap;

use crate::error::{Error, Result};
use crate::path::BlobPath;
use crate::store::client::Client;
use crate::store::endpoint::Place;
use crate::store::headers;
use crate::store::payload::Payload;
use crate::store::request::{Request, Response, Sent, Sink};
use crate::store::resolve::modified_since;
use crate::store::types::*;

/// Of a blob whose writer named none.
pub(super) const DEFAULT_CONTENT_TYPE: &str = "application/octet-stream";

impl Client {
    /// Get Blob Properties, of the blob as it is or was.
    pub async fn blob_properties(&self, blob: &BlobPath, revision: Option<&Revision>) -> Result<BlobProperties> {
        Ok(self.head_blob(blob, revision, None).await?.1)
    }

    pub(super) async fn head_blob(
        &self,
        blob: &BlobPath,
        revision: Option<&Revision>,
        if_match: Option<&ETag>,
    ) -> Result<(Response, BlobProperties)> {
        let request = self
            .request("GetBlobProperties", Method::HEAD, Place::Blob(blob))
            .revision(revision)
            .optional("if-match", if_match.map(ETag::quoted).as_deref());
        let response = self.send(&request).await?;
        let properties = headers::blob_properties(&response.headers);
        let properties = response.required(&request, "the properties of a blob", properties)?;
        Ok((response, properties))
    }

    /// Get Blob: a byte range (`None`: all of it), clipped at the end of the blob.
    ///
    /// A range at or past the end gives no bytes and the blob's properties, by a HEAD with the same condition: the service's
    /// 416 is the end of a file, not an error. A range that is empty by itself is never sent either.
    pub async fn get_blob(
        &self,
        blob: &BlobPath,
        revision: Option<&Revision>,
        range: Option<Range<u64>>,
        if_match: Option<&ETag>,
    ) -> Result<Download> {
        if range.as_ref().is_some_and(Range::is_empty) {
            return self.nothing_of(blob, revision, if_match).await;
        }
        let request = self.get_request(blob, revision, range.as_ref(), if_match);
        let response = match self.send(&request).await {
            Err(error) if error.status() == 416 && range.is_some() => {
                return self.nothing_of(blob, revision, if_match).await;
            }
            other => other?,
        };
        let properties = headers::blob_properties(&response.headers);
        let properties = response.required(&request, "the properties of a blob", properties)?;
        let wanted =
            range.map_or(0..properties.size, |range| range.start.min(properties.size)..range.end.min(properties.size));
        let bytes = match response.status {
            206 => response.body,
            // A server that does not know ranges sends everything.
            _ => response.body.slice(clip(&wanted, response.body.len())),
        };
        if bytes.len() as u64 != wanted.end - wanted.start {
            return Err(request.misunderstood(format!("{} bytes came for {wanted:?}", bytes.len())));
        }
        Ok(Download { bytes, properties })
    }

    /// Get Blob of a range that lies within the version `if_match`, handed on as it comes: offset in the blob, and bytes there. When an
    /// answer breaks off, the next one brings the same bytes again from the beginning. An error if not all came in the end.
    pub async fn get_blob_into(
        &self,
        blob: &BlobPath,
        revision: Option<&Revision>,
        range: Range<u64>,
        if_match: &ETag,
        receive: impl FnMut(u64, &[u8]) + Send,
    ) -> Result<()> {
        let request = self.get_request(blob, revision, Some(&range), Some(if_match));
        let mut within = Within { range: range.clone(), at: range.start, receive };
        self.receive(&request, &mut within).await?;
        if within.at < range.end {
            return Err(request.misunderstood(format!("too few bytes came for {range:?}")));
        }
        Ok(())
    }

    fn get_request(
        &self,
        blob: &BlobPath,
        revision: Option<&Revision>,
        range: Option<&Range<u64>>,
        if_match: Option<&ETag>,
    ) -> Request {
        let request = self
            .request("GetBlob", Method::GET, Place::Blob(blob))
            .revision(revision)
            .optional("if-match", if_match.map(ETag::quoted).as_deref());
        match range {
            Some(range) => request.header("x-ms-range", &format!("bytes={}-{}", range.start, range.end - 1)),
            None => request,
        }
    }

    async fn nothing_of(
        &self,
        blob: &BlobPath,
        revision: Option<&Revision>,
        if_match: Option<&ETag>,
    ) -> Result<Download> {
        let (_, properties) = self.head_blob(blob, revision, if_match).await?;
        Ok(Download { bytes: Bytes::new(), properties })
    }

    /// Put Blob: a block blob with this content, these properties and metadata and no others.
    pub async fn put_blob(
        &self,
        blob: &BlobPath,
        body: impl Into<Payload>,
        settings: &BlobSettings,
        precondition: &Precondition,
    ) -> Result<Written> {
        let body = body.into();
        let mut request = self
            .request("PutBlob", Method::PUT, Place::Blob(blob))
            .header("x-ms-blob-type", BlobType::Block.as_str())
            .settings(settings)
            .precondition(precondition)
            .body(body.clone());
        let guarded = *precondition != Precondition::None;
        // Only a guarded write has to recognise itself, so only there is the hash worth its time.
        let md5 = guarded.then(|| body.md5());
        if let Some(md5) = &md5 {
            request = request.header("content-md5", md5);
        }
        let stored_md5 = settings.headers.content_md5.as_ref().or(md5.as_ref());
        let sent = self.persist(&request).await;
        self.written_or_recognised(blob, &request, sent, guarded, |found| {
            found.size == body.len() as u64 && found.headers.content_md5.as_ref() == stored_md5
        })
        .await
    }

    /// Delete Blob, or one snapshot or version of it. A condition that fails after a try whose answer was lost does not tell whether that try
    /// deleted and somebody wrote the name anew: it is reported as a lost answer.
    pub async fn delete_blob(
        &self,
        blob: &BlobPath,
        revision: Option<&Revision>,
        snapshots: DeleteSnapshots,
        precondition: &Precondition,
        lease: Option<&LeaseId>,
    ) -> Result<()> {
        let include = matches!((revision, snapshots), (None, DeleteSnapshots::Include)).then_some("include");
        let request = self
            .request("DeleteBlob", Method::DELETE, Place::Blob(blob))
            .revision(revision)
            .optional("x-ms-delete-snapshots", include)
            .precondition(precondition)
            .lease(lease);
        let sent = self.persist(&request).await;
        match sent.result {
            Err(error) if sent.lost && error.is_not_found() => Ok(()),
            Err(error) if sent.lost && error.is_precondition_failed() => Err(Error::Transport {
                operation: "DeleteBlob",
                target: format!("{}/{blob}", self.account()),
                detail: format!("no answer, and when asked again: {error}"),
                timed_out: false,
            }),
            result => result.map(drop),
        }
    }

    /// Set Blob Metadata: exactly these.
    pub async fn set_metadata(
        &self,
        blob: &BlobPath,
        metadata: &Metadata,
        precondition: &Precondition,
        lease: Option<&LeaseId>,
    ) -> Result<Written> {
        let request = self
            .request("SetBlobMetadata", Method::PUT, Place::Blob(blob))
            .query("comp", "metadata")
            .metadata(metadata)
            .precondition(precondition)
            .lease(lease);
        let sent = self.persist(&request).await;
        let guarded = *precondition != Precondition::None;
        self.written_or_recognised(blob, &request, sent, guarded, |found| found.metadata == *metadata).await
    }

    /// Set Blob Properties: the HTTP headers; those not given are cleared.
    pub async fn set_properties(
        &self,
        blob: &BlobPath,
        headers: &ContentHeaders,
        precondition: &Precondition,
        lease: Option<&LeaseId>,
    ) -> Result<Written> {
        let mut request = self
            .request("SetBlobProperties", Method::PUT, Place::Blob(blob))
            .query("comp", "properties")
            .content_headers(headers)
            .precondition(precondition)
            .lease(lease);
        if headers.content_type.is_none() {
            // What the service would fill in. It must be said, because without any of these headers nothing is cleared.
            request = request.header("x-ms-blob-content-type", DEFAULT_CONTENT_TYPE);
        }
        let sent = self.persist(&request).await;
        let guarded = *precondition != Precondition::None;
        self.written_or_recognised(blob, &request, sent, guarded, |found| {
            let content_type = headers.content_type.as_deref().unwrap_or(DEFAULT_CONTENT_TYPE);
            found.headers == ContentHeaders { content_type: Some(content_type.to_owned()), ..headers.clone() }
        })
        .await
    }

    /// Set Blob Tier. From the archive this only starts the rehydration.
    pub async fn set_tier(&self, blob: &BlobPath, tier: &str, lease: Option<&LeaseId>) -> Result<()> {
        let request = self
            .request("SetBlobTier", Method::PUT, Place::Blob(blob))
            .query("comp", "tier")
            .header("x-ms-access-tier", tier)
            .lease(lease);
        self.send(&request).await.map(drop)
    }

    /// Snapshot Blob: the blob as it is now, for keeps. Where the namespace is hierarchical there is no such thing, and that is heeded from
    /// then on: [`Client::is_hierarchical`].
    pub async fn snapshot_blob(&self, blob: &BlobPath) -> Result<Revision> {
        let request = self.request("SnapshotBlob", Method::PUT, Place::Blob(blob)).query("comp", "snapshot");
        let response = self.send(&request).await.inspect_err(|error| self.heed_refusal(error))?;
        let taken = headers::text(&response.headers, "x-ms-snapshot").and_then(Moment::parse);
        response.required(&request, "x-ms-snapshot", taken.map(Revision::Snapshot))
    }

    /// The answer to a write; or, when a guarded one failed after a try was lost, the blob if `is_ours` recognises it.
    pub(super) async fn written_or_recognised(
        &self,
        blob: &BlobPath,
        request: &Request,
        sent: Sent,
        guarded: bool,
        is_ours: impl Fn(&BlobProperties) -> bool,
    ) -> Result<Written> {
        let began = sent.began;
        let look = async {
            if !guarded {
                return None;
            }
            let (response, found) = self.head_blob(blob, None, None).await.ok()?;
            let ours = is_ours(&found) && modified_since(began, response.date(), found.last_modified);
            ours.then(|| Written { etag: found.etag.clone(), last_modified: found.last_modified })
        };
        sent.or_found(|response| response.required(request, "ETag", headers::written(&response.headers)), look).await
    }
}

/// Hands on what is in the range.
struct Within<F> {
    range: Range<u64>,
    /// Where in the blob the next byte of the answer belongs.
    at: u64,
    receive: F,
}

impl<F: FnMut(u64, &[u8]) + Send> Sink for Within<F> {
    fn begin(&mut self, status: u16, _: &HeaderMap) {
        // A server that does not know ranges sends everything.
        self.at = if status == 206 { self.range.start } else { 0 };
    }

    fn part(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len() as u64;
        let (from, to) = (self.range.start.clamp(self.at, end), self.range.end.clamp(self.at, end));
        if from < to {
            // Both are within `bytes`.
            (self.receive)(from, &bytes[(from - self.at) as usize..(to - self.at) as usize]);
        }
        self.at = end;
    }
}

fn clip(range: &Range<u64>, len: usize) -> Range<usize> {
    let clip = |at: u64| usize::try_from(at).unwrap_or(len).min(len);
    clip(range.start)..clip(range.end)
}
