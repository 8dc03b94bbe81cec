//! Copies inside the service (§13): start, abort, and the URLs that sources are named by.

use std::time::{Duration, Instant};

use reqwest::Method;
use tracing::{debug, info};

use crate::error::{Error, Result};
use crate::store::blob::BlobClient;
use crate::store::client::Client;
use crate::store::credential::Credential;
use crate::store::headers;
use crate::store::options::AbortOptions;
use crate::store::request::{Request, Response, in_time};
use crate::store::resolve::{modified_since, same_source};
use crate::store::retry::Failure;
use crate::store::source_signer::SourceSigner;
use crate::store::types::*;

/// The copy that the destination shows, if it is the one whose answer was lost: from our source, with an id that no
/// earlier answer told, on a blob modified since we began.
async fn adopted(blob: BlobClient<'_>, source: &CopySource, began: Instant) -> Option<CopyStarted> {
    let (response, found) = match blob.head(None).await {
        Ok(found) => found,
        Err(error) => {
            debug!("no copy to adopt: {error}");
            return None;
        }
    };
    let copy = found.copy.clone()?;
    let ours = copy.source.as_deref().is_some_and(|shown| same_source(shown, source.expose()))
        && !blob.pipeline.knows_copy(&copy.id)
        && modified_since(began, response.date(), found.last_modified);
    if !ours {
        return None;
    }
    info!(id = %copy.id, on = %blob.path, "the answer to a copy was lost; it is running or done");
    blob.pipeline.remember_copy(&copy.id);
    Some(CopyStarted {
        id: copy.id,
        status: copy.status,
        etag: found.etag.clone(),
        last_modified: found.last_modified,
        found: Some(Box::new(found)),
    })
}

impl BlobClient<'_> {
    /// Copy Blob. A lost answer is resolved here (§13.14): the copy is adopted if the destination shows it to be ours,
    /// or asked for again.
    pub async fn start_copy(self, copy: &CopyRequest) -> Result<CopyStarted> {
        let mut request = self
            .request("CopyBlob", Method::PUT)
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
                let what = format!("{}/{}: a copy cannot clear metadata", self.pipeline.account(), self.path);
                return Err(Error::fs(libc::EINVAL, what));
            }
            request = request.metadata(metadata);
        }
        let began = Instant::now();
        let mut tries = self.pipeline.tries(&request);
        let mut lost = false;
        loop {
            let failure = match self.pipeline.attempt(&request, &mut tries).await {
                Ok(response) => return self.started(&request, &response),
                Err(failure) => failure,
            };
            let unclear = failure.may_have_happened();
            let delay = tries.after(&failure);
            if let Some(delay) = delay {
                self.pipeline.pause(&request, &failure, &tries, delay).await;
            }
            // A repetition that is refused may have met the copy that the lost try started.
            let refused_again =
                lost && matches!(&failure, Failure::Refused { error, .. } if [409, 412].contains(&error.status));
            lost |= unclear;
            if (unclear || (refused_again && delay.is_none()))
                && let Some(started) = in_time(tries.time_to_look(), adopted(self, &copy.source, began)).await
            {
                return Ok(started);
            }
            if delay.is_none() {
                return Err(request.fail(failure));
            }
        }
    }

    fn started(self, request: &Request, response: &Response) -> Result<CopyStarted> {
        let text = |name| headers::text(&response.headers, name);
        let written = response.written(request)?;
        let status = text("x-ms-copy-status").and_then(CopyStatus::parse);
        let started = CopyStarted {
            id: response.required(request, "x-ms-copy-id", text("x-ms-copy-id").map(CopyId::new))?,
            status: response.required(request, "x-ms-copy-status", status)?,
            etag: written.etag,
            last_modified: written.last_modified,
            found: None,
        };
        self.pipeline.remember_copy(&started.id);
        Ok(started)
    }

    /// Abort Copy Blob. 409 NoPendingCopyOperation when it has ended, 409 CopyIdMismatch when another one is pending.
    pub async fn abort_copy(self, id: &CopyId, options: &AbortOptions<'_>) -> Result<()> {
        let request = self
            .component("AbortCopyBlob", Method::PUT, "copy")
            .query("copyid", id.as_str())
            .header("x-ms-copy-action", "abort")
            .lease(options.lease);
        let sent = self.pipeline.send_tracked(&request).await;
        let error = match sent.result {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        if sent.lost && error.code() == "NoPendingCopyOperation" {
            let copy = self.properties().await.ok().and_then(|found| found.copy);
            if copy.is_some_and(|copy| copy.id == *id && copy.status == CopyStatus::Aborted) {
                return Ok(());
            }
        }
        Err(error)
    }

    /// A source URL for Copy Blob onto `reader`'s account: plain within one account under Shared Key, otherwise with a
    /// SAS that lives for `lifetime`, or the SAS that this client was given. Anonymous access is passed on as it is:
    /// the source is public or the copy is refused. An identity signs by a key that it borrows; where it may not, its
    /// token is all there is, and then the source is not for Copy Blob. A URL that is too long for the header (§13.2)
    /// is ENAMETOOLONG.
    pub async fn copy_source(self, reader: &Client, lifetime: Duration) -> Result<CopySource> {
        let credential = self.pipeline.credential.for_a_request().await?;
        let owned = reader.account() == self.pipeline.account();
        match &*credential {
            Credential::SharedKey(_) | Credential::Entra(_) if owned => {
                SourceSigner::of(self, self.url(), lifetime, credential).owned().sign()
            }
            _ => self.block_source(reader, lifetime).await,
        }
    }

    /// A source URL for the From-URL operations, which need a SAS even within one account (§13.13).
    pub async fn block_source(self, reader: &Client, lifetime: Duration) -> Result<CopySource> {
        let pipeline = self.pipeline;
        let credential = pipeline.credential.for_a_request().await?;
        if !matches!(*credential, Credential::Entra(_)) {
            return SourceSigner::of(self, self.url(), lifetime, credential).sign();
        }
        match pipeline.delegated_sas(self.path, self.revision, lifetime).await? {
            Some(token) => self.source_url(Some(token.expose())),
            None => pipeline.source_by_token(self.source_url(None)?, reader.pipeline()).await,
        }
    }

    fn source_url(self, token: Option<&str>) -> Result<CopySource> {
        let mut url = self.url();
        if let Some(token) = token {
            url.push(if self.revision.is_some() { '&' } else { '?' });
            url.push_str(token);
        }
        if url.len() > MAX_SOURCE_URL {
            let what = format!("{}/{}: its URL is too long for a copy source", self.pipeline.account(), self.path);
            return Err(Error::fs(libc::ENAMETOOLONG, what));
        }
        Ok(CopySource::new(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::{BlobName, BlobPath, ContainerName};
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
        let source = client.blob(&blob("copy of a")).at(revision.as_ref()).copy_source(&reader(name), lifetime).await;
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
            with_key().blob(&blob("copy of a")).block_source(&reader("other"), Duration::from_secs(60)).await.unwrap();
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
        assert_eq!(with_key().blob(&blob("b")).start_copy(&request).await.unwrap_err().errno(), libc::EINVAL);
    }

    #[tokio::test]
    async fn a_url_that_is_too_long_is_refused_here() {
        let name = "ü".repeat(500);
        let error = with_key().blob(&blob(&name)).copy_source(&reader("acct"), Duration::ZERO).await.unwrap_err();
        assert_eq!(error.errno(), libc::ENAMETOOLONG);
    }

    #[test]
    fn the_url_for_display_has_no_sas() {
        let with_sas = client(AccountConfig { sas: Some("sv=1&sig=x".into()), ..Default::default() });
        assert_eq!(with_sas.blob(&blob("copy of a")).url(), URL);
    }
}
