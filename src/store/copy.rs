//! Copies inside the service (§13): start, abort, and the URLs that sources are named by.

use std::time::{Duration, Instant};

use reqwest::Method;
use tracing::{debug, info};

use crate::error::{Error, Result};
use crate::path::BlobPath;
use crate::store::client::Client;
use crate::store::credential::Credential;
use crate::store::endpoint::{Place, encode_query};
use crate::store::headers;
use crate::store::request::{Request, Response};
use crate::store::resolve::{modified_since, same_source};
use crate::store::retry::{Failure, Tries};
use crate::store::sas::{self, Validity};
use crate::store::types::*;

/// Longest URL in `x-ms-copy-source` (§15).
pub(super) const MAX_SOURCE_URL: usize = 2048;

impl Client {
    /// Copy Blob. A lost answer is resolved here (§13.14): the copy is adopted if the destination shows it to be ours, or asked
    /// for again.
    pub async fn copy_blob(&self, destination: &BlobPath, copy: &CopyRequest) -> Result<CopyStarted> {
        let mut request = self
            .request("CopyBlob", Method::PUT, Place::Blob(destination))
            .source(&copy.source)
            .optional("x-ms-source-if-match", copy.source_if_match.as_ref().map(ETag::quoted).as_deref())
            .optional("x-ms-access-tier", copy.tier.as_deref())
            .optional("x-ms-seal-blob", copy.seal.map(|sealed| if sealed { "true" } else { "false" }))
            .tags(&copy.tags)
            .precondition(&copy.precondition)
            .lease(copy.lease.as_ref());
        if let Some(metadata) = &copy.metadata {
            if metadata.is_empty() {
                // No header would be sent, and that means the opposite: take the source's.
                let what = format!("{}/{destination}: a copy cannot clear metadata", self.account());
                return Err(Error::fs(libc::EINVAL, what));
            }
            request = request.metadata(metadata);
        }
        let began = Instant::now();
        let mut tries = Tries::new(self.http().policy());
        let mut lost = false;
        loop {
            let failure = match self.once(&request).await {
                Ok(response) => return self.started(&request, &response),
                Err(failure) => failure,
            };
            let unclear = failure.may_have_happened();
            let delay = tries.after(&failure);
            if let Some(delay) = delay {
                self.pause(&request, &failure, &tries, delay).await;
            }
            // A repetition that is refused may have met the copy that the lost try started.
            let refused_again =
                lost && matches!(&failure, Failure::Refused { error, .. } if [409, 412].contains(&error.status));
            lost |= unclear;
            if (unclear || (refused_again && delay.is_none()))
                && let Some(started) = self.adopted(destination, &copy.source, began).await
            {
                return Ok(started);
            }
            if delay.is_none() {
                return Err(request.fail(failure));
            }
        }
    }

    fn started(&self, request: &Request, response: &Response) -> Result<CopyStarted> {
        let text = |name| headers::text(&response.headers, name);
        let written = response.required(request, "ETag", headers::written(&response.headers))?;
        let status = text("x-ms-copy-status").and_then(headers::copy_status);
        let started = CopyStarted {
            id: response.required(request, "x-ms-copy-id", text("x-ms-copy-id").map(CopyId::new))?,
            status: response.required(request, "x-ms-copy-status", status)?,
            etag: written.etag,
            last_modified: written.last_modified,
            found: None,
        };
        self.remember_copy(&started.id);
        Ok(started)
    }

    /// The copy that the destination shows, if it is the one whose answer was lost: from our source, with an id that no
    /// earlier answer told, on a blob modified since we began.
    async fn adopted(&self, destination: &BlobPath, source: &CopySource, began: Instant) -> Option<CopyStarted> {
        let (response, found) = match self.head_blob(destination, None, None).await {
            Ok(found) => found,
            Err(error) => {
                debug!("no copy to adopt: {error}");
                return None;
            }
        };
        let copy = found.copy.clone()?;
        let ours = copy.source.as_deref().is_some_and(|shown| same_source(shown, source.expose()))
            && !self.knows_copy(&copy.id)
            && modified_since(began, response.date(), found.last_modified);
        if !ours {
            return None;
        }
        info!(id = %copy.id, on = %destination, "the answer to a copy was lost; it is running or done");
        self.remember_copy(&copy.id);
        Some(CopyStarted {
            id: copy.id,
            status: copy.status,
            etag: found.etag.clone(),
            last_modified: found.last_modified,
            found: Some(Box::new(found)),
        })
    }

    /// Abort Copy Blob. 409 NoPendingCopyOperation when it has ended, 409 CopyIdMismatch when another one is pending.
    pub async fn abort_copy(&self, destination: &BlobPath, id: &CopyId, lease: Option<&LeaseId>) -> Result<()> {
        let request = self
            .request("AbortCopyBlob", Method::PUT, Place::Blob(destination))
            .query("comp", "copy")
            .query("copyid", id.as_str())
            .header("x-ms-copy-action", "abort")
            .lease(lease);
        let sent = self.persist(&request).await;
        let error = match sent.result {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        if sent.lost && error.code() == "NoPendingCopyOperation" {
            let copy = self.blob_properties(destination, None).await.ok().and_then(|found| found.copy);
            if copy.is_some_and(|copy| copy.id == *id && copy.status == CopyStatus::Aborted) {
                return Ok(());
            }
        }
        Err(error)
    }

    /// A source URL for Copy Blob onto `reader`'s account: plain within one account under Shared Key, otherwise with a SAS
    /// that lives for `lifetime`, or the SAS that this client was given. Anonymous access is passed on as it is: the source
    /// is public or the copy is refused. An identity signs by a key that it borrows; where it may not, its token is all there is, and then
    /// the source is not for Copy Blob. A URL that is too long for the header (§13.2) is ENAMETOOLONG.
    pub async fn copy_source(
        &self,
        blob: &BlobPath,
        revision: Option<&Revision>,
        reader: &Client,
        lifetime: Duration,
    ) -> Result<CopySource> {
        match self.credential() {
            Credential::SharedKey(_) | Credential::Entra(_) if reader.account() == self.account() => {
                self.source_url(blob, revision, None)
            }
            _ => self.block_source(blob, revision, reader, lifetime).await,
        }
    }

    /// A source URL for the From-URL operations, which need a SAS even within one account (§13.13).
    pub async fn block_source(
        &self,
        blob: &BlobPath,
        revision: Option<&Revision>,
        reader: &Client,
        lifetime: Duration,
    ) -> Result<CopySource> {
        let token = match self.credential() {
            Credential::SharedKey(key) => {
                let validity = Validity::for_the_next(lifetime);
                Some(sas::read_blob(key, self.account(), blob, revision, &validity, self.api_version()))
            }
            Credential::Sas(token) => Some(token.clone()),
            Credential::Entra(_) => match self.delegated_sas(blob, revision, lifetime).await? {
                Some(token) => Some(token),
                None => return self.source_by_token(self.source_url(blob, revision, None)?, reader).await,
            },
            Credential::Anonymous => None,
        };
        self.source_url(blob, revision, token.as_ref().map(|token| token.expose()))
    }

    fn source_url(&self, blob: &BlobPath, revision: Option<&Revision>, token: Option<&str>) -> Result<CopySource> {
        let revision = revision.map(|revision| encode_query(&[revision.parameter()]));
        let query: Vec<&str> = revision.as_deref().into_iter().chain(token).collect();
        let mut url = self.url(blob);
        if !query.is_empty() {
            url.push('?');
            url.push_str(&query.join("&"));
        }
        if url.len() > MAX_SOURCE_URL {
            let what = format!("{}/{blob}: its URL is too long for a copy source", self.account());
            return Err(Error::fs(libc::ENAMETOOLONG, what));
        }
        Ok(CopySource::new(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::{BlobName, ContainerName};
    use crate::store::{AccountConfig, Http, Options};

    fn client(config: AccountConfig) -> Client {
        let endpoint = Some("https://acct.blob.core.windows.net".to_owned());
        Client::new(AccountConfig { endpoint, ..config }.resolve().unwrap(), Http::new(Options::default()))
    }

    fn with_key() -> Client {
        client(AccountConfig { key: Some("a2V5".into()), ..Default::default() })
    }

    fn blob(name: &str) -> BlobPath {
        BlobPath::new(ContainerName::parse("spec").unwrap(), BlobName::parse(name).unwrap())
    }

    fn reader(name: &str) -> Client {
        let endpoint = Some(format!("https://{name}.blob.core.windows.net"));
        let config = AccountConfig { endpoint, anonymous: true, ..Default::default() };
        Client::new(config.resolve().unwrap(), Http::new(Options::default()))
    }

    async fn source(client: &Client, revision: Option<Revision>, name: &str) -> String {
        let lifetime = Duration::from_secs(3600);
        let source = client.copy_source(&blob("copy of a"), revision.as_ref(), &reader(name), lifetime).await;
        source.unwrap().expose().to_owned()
    }

    const URL: &str = "https://acct.blob.core.windows.net/spec/copy%20of%20a";

    #[tokio::test]
    async fn within_one_account_a_key_needs_no_sas() {
        assert_eq!(source(&with_key(), None, "acct").await, URL);
        let moment = Moment::parse("2026-11-22T10:26").unwrap();
        let snapshot = Revision::Snapshot(moment.clone());
        assert_eq!(source(&with_key(), Some(snapshot), "acct").await, format!("{URL}?snapshot=2026-11-22T10%3A26"));
        let version = Revision::Version(moment);
        assert_eq!(source(&with_key(), Some(version), "acct").await, format!("{URL}?versionid=2026-11-22T10%3A26"));
    }

    #[tokio::test]
    async fn another_account_reads_by_a_sas_made_for_the_blob() {
        let url = source(&with_key(), None, "other").await;
        assert!(url.starts_with(&format!("{URL}?sv=2025-11-05&sr=b&st=")), "{url}");
        let moment = Moment::parse("T").unwrap();
        let url = source(&with_key(), Some(Revision::Snapshot(moment.clone())), "other").await;
        assert!(url.starts_with(&format!("{URL}?snapshot=T&sv=2025-11-05&sr=bs&st=")), "{url}");
        let url = source(&with_key(), Some(Revision::Version(moment)), "other").await;
        assert!(url.starts_with(&format!("{URL}?versionid=T&sv=2025-11-05&sr=bv&st=")), "{url}");
        let url =
            with_key().block_source(&blob("copy of a"), None, &reader("other"), Duration::from_secs(60)).await.unwrap();
        assert!(url.expose().contains("&sig="));
    }

    #[tokio::test]
    async fn a_configured_sas_is_passed_on_and_anonymous_access_stays_so() {
        let with_sas = client(AccountConfig { sas: Some("?sv=1&sig=x".into()), ..Default::default() });
        assert_eq!(source(&with_sas, None, "acct").await, format!("{URL}?sv=1&sig=x"));
        assert_eq!(source(&with_sas, None, "other").await, format!("{URL}?sv=1&sig=x"));
        let anonymous = client(AccountConfig { anonymous: true, ..Default::default() });
        assert_eq!(source(&anonymous, None, "other").await, URL);
    }

    #[tokio::test]
    async fn a_copy_that_would_clear_metadata_is_refused_here() {
        let request = CopyRequest {
            source: CopySource::new(URL),
            source_if_match: None,
            precondition: Precondition::None,
            metadata: Some(Metadata::default()),
            tier: None,
            tags: Tags::new(),
            seal: None,
            lease: None,
        };
        assert_eq!(with_key().copy_blob(&blob("b"), &request).await.unwrap_err().errno(), libc::EINVAL);
    }

    #[tokio::test]
    async fn a_url_that_is_too_long_is_refused_here() {
        let name = "ü".repeat(500);
        let error = with_key().copy_source(&blob(&name), None, &reader("acct"), Duration::ZERO).await.unwrap_err();
        assert_eq!(error.errno(), libc::ENAMETOOLONG);
    }

    #[test]
    fn the_url_for_display_has_no_sas() {
        let with_sas = client(AccountConfig { sas: Some("sv=1&sig=x".into()), ..Default::default() });
        assert_eq!(with_sas.url(&blob("copy of a")), URL);
    }
}
