//! The one thing that a hierarchical namespace does and a flat one does not: give a path another name (§14).
//!
//! Files and directories are renamed by Path Create with `x-ms-rename-source`, which is asked at another endpoint of
//! the account. It is atomic, takes the same time whatever is below a directory, and moves nothing. Everything else
//! goes on as with any other account.

use reqwest::Method;
use tracing::{debug, info, warn};

use crate::error::{Error, Result};
use crate::path::{BlobPath, ContainerName};
use crate::store::blob::BlobClient;
use crate::store::client::Client;
use crate::store::container::ContainerClient;
use crate::store::credential::Credential;
use crate::store::endpoint::Resource;
use crate::store::headers;
use crate::store::pipeline::Pipeline;
use crate::store::request::Request;
use crate::store::types::*;

/// A rename that the service does not end within so many requests is given up: each moves many thousand paths.
const MOST_PARTS: usize = 10_000;

/// Options of a rename of a file, or of a directory with all that is below it.
#[derive(Debug, Clone, Default)]
pub struct RenameOptions<'a> {
    /// Properties of the source as they are known: by them, and by nothing else, it is recognised under its new name
    /// when an answer got lost.
    pub known: Option<&'a BlobProperties>,
    /// Version that is known to be under the new name, and is replaced.
    pub replaces: Option<&'a ETag>,
    /// The version that the source must have.
    pub source_if_match: Option<&'a ETag>,
    /// Condition on what is under the new name. It is replaced otherwise, a directory only if it is empty.
    pub precondition: Precondition,
}

impl Client {
    /// True if the account's namespace is hierarchical and can be asked to rename. The account is asked once; one that
    /// does not tell is taken for flat, until a refusal proves otherwise (S148, S192).
    pub async fn is_hierarchical(&self) -> Result<bool> {
        self.pipeline().is_hierarchical(None).await
    }
}

impl ContainerClient<'_> {
    /// [`Client::is_hierarchical`], asked of a container that the credential is good for.
    pub async fn is_hierarchical(self) -> Result<bool> {
        self.pipeline.is_hierarchical(Some(self.name)).await
    }
}

impl Pipeline {
    async fn is_hierarchical(&self, container: Option<&ContainerName>) -> Result<bool> {
        if self.is_proved_hierarchical() {
            return Ok(self.endpoint().dfs_service(self.account()).is_some());
        }
        self.hierarchical.get_or_try_init(|| self.ask_hierarchical(container)).await.copied()
    }

    /// A refusal may tell of what kind the account is.
    pub(super) fn heed_refusal(&self, error: &Error) {
        if error.is_of_a_hierarchical_namespace() && self.prove_hierarchical() {
            warn!(account = %self.account(), %error, "its namespace is hierarchical, which it did not say when it was asked");
        }
    }

    /// Get Account Information.
    async fn ask_hierarchical(&self, container: Option<&ContainerName>) -> Result<bool> {
        // A SAS of a container is good for nothing outside of it.
        let narrow = matches!(self.credential(), Credential::Sas(token) if !token.expose().contains("srt="));
        let resource = match container {
            Some(container) if narrow => Resource::Container(container),
            _ => Resource::Account,
        };
        let request = self
            .request("GetAccountInformation", Method::HEAD, resource)
            .query("restype", "account")
            .query("comp", "properties");
        let hierarchical = match self.send(&request).await {
            Ok(response) => headers::text(&response.headers, "x-ms-is-hns-enabled") == Some("true"),
            Err(error) if (400..500).contains(&error.status()) || error.status() == 501 => {
                debug!(%error, "the account does not tell of its namespace, which is taken for flat");
                false
            }
            Err(error) => return Err(error),
        };
        if hierarchical && self.endpoint().dfs_service(self.account()).is_none() {
            warn!(endpoint = %self.endpoint(), "its hierarchical namespace cannot be reached from there: mv copies and deletes");
            return Ok(false);
        }
        Ok(hierarchical)
    }
}

impl BlobClient<'_> {
    /// Path Create as a rename to `to`, which may be in another container; the directory that it is in must exist. What
    /// the path is then, as far as the service says so.
    pub async fn rename(self, to: &BlobPath, options: &RenameOptions<'_>) -> Result<Option<Written>> {
        let mut rest: Option<String> = None;
        for _ in 0..MOST_PARTS {
            let request = self.rename_request(to, options)?.optional_query("continuation", rest.take());
            let sent = self.pipeline.send_tracked(&request).await;
            match sent.result {
                Ok(response) => match headers::text(&response.headers, "x-ms-continuation") {
                    Some(token) => rest = Some(token.to_owned()),
                    None => return Ok(headers::written(&response.headers)),
                },
                Err(error) if sent.lost && may_be_the_echo(&error) => {
                    return self.found_renamed(to, options).await.map(Some).ok_or(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(self.rename_request(to, options)?.misunderstood(format!("not done after {MOST_PARTS} requests")))
    }

    fn rename_request(self, to: &BlobPath, options: &RenameOptions<'_>) -> Result<Request> {
        let pipeline = self.pipeline;
        let Some(endpoint) = pipeline.endpoint().dfs_service(pipeline.account()) else {
            let what = format!("{}: where its hierarchical namespace is asked is not known", pipeline.endpoint());
            return Err(Error::unsupported(what));
        };
        let mut source = format!("/{}/{}", self.path.container, self.path.name.encoded());
        if let Credential::Sas(token) = pipeline.credential() {
            source.push('?');
            source.push_str(token.expose());
        }
        Ok(pipeline
            .request("RenamePath", Method::PUT, Resource::Blob(to))
            .at(endpoint)
            // As rename(2) has it: an empty directory is replaced. Otherwise a directory would go inside one of the new
            // name (S118, S119).
            .query("mode", "legacy")
            .header("x-ms-rename-source", &source)
            .optional("x-ms-source-if-match", options.source_if_match.map(ETag::quoted).as_deref())
            .precondition(&options.precondition))
    }

    /// Version under the new name, if that is the source: its old name is free, and it is the version that the source
    /// was.
    async fn found_renamed(self, to: &BlobPath, options: &RenameOptions<'_>) -> Option<Written> {
        match self.head(None).await {
            Err(error) if error.is_not_found() => {}
            _ => return None,
        }
        let (_, found) = (BlobClient { path: to, ..self }).head(None).await.ok()?;
        // A rename leaves the ETag as it is (S116, S124). Times have seconds, within which another client may have made
        // something alike.
        let ours = options.known?.etag == found.etag;
        if !ours || options.replaces == Some(&found.etag) {
            return None;
        }
        info!(from = %self.path, %to, "the answer to a rename was lost; it has taken place");
        Some(found.written())
    }
}

/// True for an error that a repeated rename meets when its first try was executed.
fn may_be_the_echo(error: &Error) -> bool {
    matches!(error, Error::Transport { .. }) || matches!(error.status(), 404 | 409 | 412 | 500..)
}
