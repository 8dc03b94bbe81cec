//! What a hierarchical namespace does and a flat one does not: give a path another name, and an owner (§14).
//!
//! Files and directories are renamed by Path Create with `x-ms-rename-source`, which is asked at another endpoint of
//! the account. It is atomic, takes the same time whatever is below a directory, and moves nothing. Owner, group and
//! access list of a path are shown and set there as well. Everything else goes on as with any other account.

use std::time::Duration;

use reqwest::Method;
use tracing::info;

use crate::error::{Error, Result};
use crate::path::BlobPath;
use crate::store::blob::BlobClient;
use crate::store::endpoint::Resource;
use crate::store::headers;
use crate::store::request::{Request, in_time};
use crate::store::source_signer::SourceSigner;
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

impl BlobClient<'_> {
    /// Path Create as a rename to `to`, which may be in another container; the directory that it is in must exist. What
    /// the path is then, as far as the service says so.
    pub async fn rename(self, to: &BlobPath, options: &RenameOptions<'_>) -> Result<Option<Written>> {
        let mut rest: Option<String> = None;
        let mut looked = false;
        for _ in 0..MOST_PARTS {
            let request = self.rename_request(to, options)?.optional_query("continuation", rest.clone());
            let sent = self.pipeline.send_tracked(&request).await;
            match sent.result {
                Ok(response) => match headers::text(&response.headers, "x-ms-continuation") {
                    Some(token) => rest = Some(token.to_owned()),
                    None => return Ok(headers::written(&response.headers)),
                },
                Err(error) if sent.lost && may_be_the_echo(&error) => {
                    let found = in_time(sent.look, self.found_renamed(to, options)).await;
                    return found.map(Some).ok_or(error);
                }
                // It may say so though the directory is there; who has looked at the source is not told so again (S123).
                Err(error) if error.code() == "RenameDestinationParentPathNotFound" && !looked => {
                    looked = true;
                    if self.head(None).await.is_err() {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(self.rename_request(to, options)?.misunderstood(format!("not done after {MOST_PARTS} requests")))
    }

    fn rename_request(self, to: &BlobPath, options: &RenameOptions<'_>) -> Result<Request> {
        let pipeline = self.pipeline;
        let source = format!("/{}/{}", self.path.container, self.path.name.encoded());
        // Its own URL says what it is read by, and so does that of the source.
        let source = SourceSigner::of(self, source, Duration::ZERO, pipeline.credential.current()).owned().sign()?;
        Ok(path_request(BlobClient { path: to, ..self }, "RenamePath", Method::PUT)?
            // As rename(2) has it: an empty directory is replaced. Otherwise a directory would go inside one of the new
            // name (S118, S119).
            .query("mode", "legacy")
            .named_source("x-ms-rename-source", &source)
            .optional("x-ms-source-if-match", options.source_if_match.map(ETag::quoted).as_deref())
            .precondition(&options.precondition))
    }

    /// Path Get Properties with `action=getAccessControl`: owner, group and access list, under names as the service has
    /// them: GUIDs, or what stands for the owner of the account.
    pub async fn access_control(self) -> Result<AccessControl> {
        let request = path_request(self, "GetPathProperties", Method::HEAD)?.query("action", "getAccessControl");
        let response = self.pipeline.send(&request).await?;
        let text = |name| headers::owned(&response.headers, name);
        Ok(AccessControl {
            owner: text("x-ms-owner"),
            group: text("x-ms-group"),
            permissions: text("x-ms-permissions"),
            acl: text("x-ms-acl"),
        })
    }

    /// Path Update with `action=setAccessControl`: what is given, and of permissions and list only one. Sending it
    /// twice is the same as once. What the path is then, as far as the service says so.
    pub async fn set_access_control(
        self,
        access: &AccessControl,
        precondition: &Precondition,
    ) -> Result<Option<Written>> {
        let request = path_request(self, "SetAccessControl", Method::PATCH)?
            .query("action", "setAccessControl")
            .optional("x-ms-owner", access.owner.as_deref())
            .optional("x-ms-group", access.group.as_deref())
            .optional("x-ms-permissions", access.permissions.as_deref())
            .optional("x-ms-acl", access.acl.as_deref())
            .precondition(precondition);
        let response = self.pipeline.send(&request).await?;
        Ok(headers::written(&response.headers))
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

/// A request at the endpoint of the namespace.
fn path_request(path: BlobClient<'_>, operation: &'static str, method: Method) -> Result<Request> {
    let pipeline = path.pipeline;
    match pipeline.endpoint().dfs_service(pipeline.account()) {
        Some(endpoint) => Ok(pipeline.request(operation, method, Resource::Blob(path.path)).at(endpoint)),
        None => {
            let what = format!("{}: where its hierarchical namespace is asked is not known", pipeline.endpoint());
            Err(Error::unsupported(what))
        }
    }
}

/// True for an error that a repeated rename meets when its first try was executed.
fn may_be_the_echo(error: &Error) -> bool {
    matches!(error, Error::Transport { .. }) || matches!(error.status(), 404 | 409 | 412 | 500..)
}
