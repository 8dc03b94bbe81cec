//! One blob of whatever type: read, describe, delete, snapshot (§8 to §11).

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use reqwest::Method;

use crate::error::{Error, Result};
use crate::path::BlobPath;
use crate::store::body::{AT_ONCE, Described, Expected, Part};
use crate::store::endpoint::{Resource, encode_query};
use crate::store::headers;
use crate::store::options::{DeleteOptions, ReadOptions, WriteOptions};
use crate::store::pipeline::Pipeline;
use crate::store::request::{Request, Response};
use crate::store::resolve::modified_since;
use crate::store::types::*;

/// Content type of a blob whose writer named none.
pub(super) const DEFAULT_CONTENT_TYPE: &str = "application/octet-stream";

/// Longest range that the service tells a checksum of, bytes (§15).
pub(super) const LARGEST_HASHED_RANGE: u64 = 4 << 20;

/// Metadata that make a directory of an empty blob; a hierarchical namespace shows them with each of its own (S135).
const FOLDER: &str = "hdi_isfolder";

/// Client of one blob: as it is or, after [`BlobClient::at`], as it was.
#[derive(Clone, Copy)]
pub struct BlobClient<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) path: &'a BlobPath,
    pub(super) revision: Option<&'a Revision>,
}

impl<'a> BlobClient<'a> {
    /// The blob as it was; as it is by `None`. All requests carry it: what can only be done to the blob as it is, the
    /// service refuses.
    pub fn at(self, revision: impl Into<Option<&'a Revision>>) -> Self {
        Self { revision: revision.into(), ..self }
    }

    /// Display form of the URL: no SAS.
    pub fn url(self) -> String {
        let endpoint = self.pipeline.endpoint();
        let mut url = endpoint.url(&endpoint.path(Resource::Blob(self.path)));
        if let Some(revision) = self.revision {
            url.push('?');
            url.push_str(&encode_query(&[revision.parameter()]));
        }
        url
    }

    pub(super) fn request(self, operation: &'static str, method: Method) -> Request {
        self.pipeline.request(operation, method, Resource::Blob(self.path)).revision(self.revision)
    }

    /// A request for a part of the blob beside its content, which `comp=` names.
    pub(super) fn component(self, operation: &'static str, method: Method, component: &'static str) -> Request {
        let request = self.pipeline.request(operation, method, Resource::Blob(self.path));
        request.query("comp", component).revision(self.revision)
    }

    /// Get Blob Properties.
    pub async fn properties(self) -> Result<BlobProperties> {
        Ok(self.head(None).await?.1)
    }

    pub(super) async fn head(self, if_match: Option<&ETag>) -> Result<(Response, BlobProperties)> {
        let request =
            self.request("GetBlobProperties", Method::HEAD).optional("if-match", if_match.map(ETag::quoted).as_deref());
        let response = self.pipeline.receive(&request, &mut Described(expected(self, if_match))).await?;
        let properties = headers::blob_properties(&response.headers);
        let properties = response.required(&request, "the properties of a blob", properties)?;
        if properties.path.is_some() && !self.pipeline.has_directories() {
            self.pipeline.shows_directories("the owner of a blob");
        }
        Ok((response, properties))
    }

    /// Get Blob: a byte range clipped at the end of the blob, or with `..` all of it.
    ///
    /// A range at or past the end gives no bytes and the blob's properties, by a HEAD with the same condition: the
    /// service's 416 is the end of a file, not an error. A range that is empty by itself is never sent either.
    pub async fn download(self, options: impl Into<ReadOptions<'_>>) -> Result<Download> {
        let options = options.into();
        if options.range.as_ref().is_some_and(Range::is_empty) {
            return self.empty_download(options.if_match).await;
        }
        let request = self.get_request(&options);
        let start = options.range.as_ref().map_or(0, |range| range.start);
        let wanted = options.range.as_ref().map_or(0, |range| range.end - range.start);
        let mut bytes = BytesMut::with_capacity(wanted.min(AT_ONCE) as usize);
        let gather = |at: u64, part: &[u8]| {
            // The same may come anew, when an answer broke off.
            bytes.truncate((at - start) as usize);
            bytes.extend_from_slice(part);
        };
        let mut part = Part::new(expected(self, options.if_match), options.range.clone(), gather);
        let response = match self.pipeline.receive(&request, &mut part).await {
            Err(error) if error.status() == 416 && options.range.is_some() => {
                let empty = self.empty_download(options.if_match).await?;
                let size = empty.properties.size;
                if size > start {
                    return Err(request.misunderstood(format!("a blob of {size} bytes is said to end before {start}")));
                }
                return Ok(empty);
            }
            other => other?,
        };
        let properties = headers::blob_properties(&response.headers);
        let properties = response.required(&request, "the properties of a blob", properties)?;
        Ok(Download { bytes: bytes.freeze(), properties })
    }

    /// Get Blob of a range that lies within the version that `of` describes, handed on as it comes: offset in the blob,
    /// and bytes there. When an answer breaks off, the next one brings the same bytes again from the beginning. An error
    /// if not all came in the end.
    pub async fn download_into(
        self,
        range: Range<u64>,
        of: &BlobProperties,
        receive: impl FnMut(u64, &[u8]) + Send,
    ) -> Result<()> {
        let request = self.get_request(&ReadOptions { range: Some(range.clone()), if_match: Some(&of.etag) });
        let expected = Expected { total: Some(of.size), ..expected(self, Some(&of.etag)) };
        self.pipeline.receive(&request, &mut Part::new(expected, Some(range), receive)).await.map(drop)
    }

    fn get_request(self, options: &ReadOptions<'_>) -> Request {
        let request =
            self.request("GetBlob", Method::GET).optional("if-match", options.if_match.map(ETag::quoted).as_deref());
        let Some(range) = &options.range else { return request };
        let hashed = self.pipeline.http.options().check_reads && range.end - range.start <= LARGEST_HASHED_RANGE;
        request.header("x-ms-range", &headers::bytes(range)).hashed(hashed)
    }

    async fn empty_download(self, if_match: Option<&ETag>) -> Result<Download> {
        let (_, properties) = self.head(if_match).await?;
        Ok(Download { bytes: Bytes::new(), properties })
    }

    /// Delete Blob, or one snapshot or version of it. A condition that fails after a try whose answer was lost does not
    /// tell whether that try deleted and somebody wrote the name anew: it is reported as a lost answer.
    pub async fn delete(self, options: &DeleteOptions) -> Result<()> {
        let include =
            matches!((self.revision, options.snapshots), (None, DeleteSnapshots::Include)).then_some("include");
        let request = self
            .request("DeleteBlob", Method::DELETE)
            .optional("x-ms-delete-snapshots", include)
            .precondition(&options.precondition);
        let sent = self.pipeline.send_tracked(&request).await;
        match sent.result {
            Err(error) if sent.lost && error.is_not_found() => Ok(()),
            Err(error) if sent.lost && error.is_precondition_failed() => {
                Err(request.misunderstood(format!("no answer, and when asked again: {error}")))
            }
            result => result.map(drop),
        }
    }

    /// Set Blob Metadata: exactly these. In a hierarchical namespace, that a directory is one is no matter of metadata: the
    /// service says so with them and does not take it (S136, S137).
    pub async fn set_metadata(self, metadata: &Metadata, options: &WriteOptions) -> Result<Written> {
        let apart = self.pipeline.has_directories();
        let told = |metadata: &Metadata| {
            let mut told = metadata.clone();
            if apart {
                told.remove(FOLDER);
            }
            told
        };
        let sent = told(metadata);
        let request = self.component("SetBlobMetadata", Method::PUT, "metadata").metadata(&sent).write_options(options);
        self.write(&request, options.is_guarded(), |found| told(&found.metadata) == sent).await
    }

    /// Set Blob Properties: the HTTP headers; those not given are cleared.
    pub async fn set_properties(self, headers: &ContentHeaders, options: &WriteOptions) -> Result<Written> {
        let mut request = self
            .component("SetBlobProperties", Method::PUT, "properties")
            .content_headers(headers)
            .write_options(options);
        if headers.content_type.is_none() {
            // What the service would fill in. It must be said, because without any of these headers nothing is cleared.
            request = request.header("x-ms-blob-content-type", DEFAULT_CONTENT_TYPE);
        }
        self.write(&request, options.is_guarded(), |found| {
            let content_type = headers.content_type.as_deref().unwrap_or(DEFAULT_CONTENT_TYPE);
            found.headers == ContentHeaders { content_type: Some(content_type.to_owned()), ..headers.clone() }
        })
        .await
    }

    /// Set Blob Tier. From the archive this only starts the rehydration, with that priority: `Standard` or `High`.
    pub async fn set_tier(self, tier: &str, priority: Option<&str>) -> Result<()> {
        let request = self
            .component("SetBlobTier", Method::PUT, "tier")
            .header("x-ms-access-tier", tier)
            .optional("x-ms-rehydrate-priority", priority);
        self.pipeline.send(&request).await.map(drop)
    }

    /// Sends a write. What its answer says; or, when a guarded one failed after a try was lost, the blob if `is_ours`
    /// recognises it.
    pub(super) async fn write(
        self,
        request: &Request,
        guarded: bool,
        is_ours: impl Fn(&BlobProperties) -> bool,
    ) -> Result<Written> {
        let sent = self.pipeline.send_tracked(request).await;
        let began = sent.began;
        let look = async {
            if !guarded {
                return None;
            }
            let (response, found) = self.head(None).await.ok()?;
            let ours = is_ours(&found) && modified_since(began, response.date(), found.last_modified);
            ours.then(|| found.written())
        };
        match sent.or_found(|response| response.written(request), look).await {
            Err(error) => Err(explain(self, error).await),
            written => written,
        }
    }
}

/// What an answer about a blob is to be about.
fn expected(blob: BlobClient<'_>, if_match: Option<&ETag>) -> Expected {
    Expected { etag: if_match.cloned(), revision: blob.revision.cloned(), total: None }
}

/// The error to report of a change that was refused by a code which tells nothing here: that of an archived blob, if
/// it is one (S106).
pub(super) async fn explain(blob: BlobClient<'_>, error: Error) -> Error {
    if error.may_be_of_an_archived_blob() && blob.properties().await.is_ok_and(|found| found.is_archived()) {
        return error.of_an_archived_blob();
    }
    error
}
