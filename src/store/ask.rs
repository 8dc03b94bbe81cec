//! The kind of an account's namespace: how it is asked for, and by what it shows.
//!
//! An account with a hierarchical namespace has directories that exist by themselves, and must not be taken for a flat
//! one: there a directory is renamed by copying and deleting what is below it. But not everybody is told the kind. Get
//! Account Information is for keys, and for tokens at containers, if they have the role (S148, S149); a SAS of a
//! container is good for nothing outside of it. So the question goes
//!
//! 1. to the container, or where none is at hand, with a key, to the account;
//! 2. to the filesystem that the container is, at the other endpoint of the account;
//! 3. and whatever the answers were, what blobs and listings show counts: only a hierarchical namespace tells of owners
//!    and of directories (S134, S171), takes no snapshots (S192) and knows of files that were not written by blocks
//!    (S131); only in a flat one a prefix is a name and nothing else.
//!
//! A refusal is no answer: then the kind is not known, and whoever would have to know it does not act.

use reqwest::Method;
use tracing::{debug, info, warn};

use crate::error::{Error, Result};
use crate::path::ContainerName;
use crate::store::client::Client;
use crate::store::container::ContainerClient;
use crate::store::credential::Credential;
use crate::store::endpoint::Resource;
use crate::store::headers;
use crate::store::namespace::{Asked, Namespace};
use crate::store::pipeline::Pipeline;
use crate::sync::lock;

/// First version in which a listing tells what is a directory of a hierarchical namespace (S172).
const SHOWN_SINCE: &str = "2020-10-02";

impl Client {
    /// Kind of the account's namespace. The account is asked once, if its credential is good for that.
    pub async fn namespace(&self) -> Result<Namespace> {
        self.pipeline().namespace(None).await
    }

    /// True if the namespace is known to be hierarchical, without asking.
    pub fn has_directories(&self) -> bool {
        self.pipeline().has_directories()
    }

    /// True if the namespace is known to be hierarchical and can be asked to rename.
    pub async fn is_hierarchical(&self) -> Result<bool> {
        Ok(self.namespace().await? == Namespace::Hierarchical)
    }
}

impl ContainerClient<'_> {
    /// [`Client::namespace`], asked of a container that the credential is good for.
    pub async fn namespace(self) -> Result<Namespace> {
        self.pipeline.namespace(Some(self.name)).await
    }

    /// True if directories exist by themselves, wherever the account could be asked to rename.
    pub async fn has_directories(self) -> Result<bool> {
        Ok(matches!(self.namespace().await?, Namespace::Hierarchical | Namespace::Unreachable))
    }

    /// [`Client::is_hierarchical`], asked of a container that the credential is good for.
    pub async fn is_hierarchical(self) -> Result<bool> {
        Ok(self.namespace().await? == Namespace::Hierarchical)
    }
}

impl Pipeline {
    async fn namespace(&self, container: Option<&ContainerName>) -> Result<Namespace> {
        if let Some(known) = self.known_namespace() {
            return Ok(known);
        }
        let asking = if container.is_some() { Asked::Container } else { Asked::Account };
        let mut asked = self.namespace.asked.lock().await;
        if let Some(known) = self.known_namespace() {
            return Ok(known);
        }
        if *asked >= asking {
            return Ok(Namespace::Untold);
        }
        let told = match container {
            Some(container) => self.ask_container(container).await?,
            // The account itself tells nobody who has a token, and nobody who may see a part of it only.
            None if self.is_narrow() => None,
            None => self.ask_information(Resource::Account).await?,
        };
        *asked = asking;
        if let Some(hierarchical) = told {
            lock(&self.namespace.hierarchical).get_or_insert(hierarchical);
        } else if container.is_some() && self.namespace.once() {
            warn!(
                account = %self.account(),
                "whether its namespace is hierarchical is not told: directories are not renamed until it shows, or until \
                 `hns` says so in the configuration"
            );
        }
        Ok(self.known_namespace().unwrap_or(Namespace::Untold))
    }

    /// Without asking.
    fn known_namespace(&self) -> Option<Namespace> {
        let reachable = || self.endpoint().dfs_service(self.account()).is_some();
        self.namespace.get().map(|hierarchical| match hierarchical {
            false => Namespace::Flat,
            true if reachable() => Namespace::Hierarchical,
            true => {
                if self.namespace.once() {
                    warn!(endpoint = %self.endpoint(), "its hierarchical namespace cannot be reached from there: mv copies and deletes");
                }
                Namespace::Unreachable
            }
        })
    }

    /// Known to be hierarchical.
    pub(super) fn has_directories(&self) -> bool {
        self.namespace.get() == Some(true)
    }

    /// Something was shown that only a hierarchical namespace has.
    pub(super) fn shows_directories(&self, what: &str) {
        let before = lock(&self.namespace.hierarchical).replace(true);
        match before {
            Some(true) => {}
            None => info!(account = %self.account(), what, "its namespace is hierarchical, as is shown"),
            Some(false) => {
                warn!(account = %self.account(), what, "its namespace is hierarchical, which was not said when it was asked for");
            }
        }
    }

    /// A prefix was listed, with or without word of the directory that it is (S171).
    pub(super) fn listed_prefix(&self, is_directory: bool) {
        if is_directory {
            self.shows_directories("a directory in a listing");
        } else if self.api_version() >= SHOWN_SINCE {
            lock(&self.namespace.hierarchical).get_or_insert(false);
        }
    }

    /// A refusal may tell of what kind the account is.
    pub(super) fn heed_refusal(&self, error: &Error) {
        if error.is_of_a_hierarchical_namespace() || error.is_written_over_dfs() {
            self.shows_directories(error.code());
        }
    }

    fn is_narrow(&self) -> bool {
        match &*self.credential.current() {
            Credential::Sas(token) => !token.expose().contains("srt="),
            Credential::Entra(_) => true,
            _ => false,
        }
    }

    /// `None`: it is not told.
    async fn ask_container(&self, container: &ContainerName) -> Result<Option<bool>> {
        if let Some(told) = self.ask_information(Resource::Container(container)).await? {
            return Ok(Some(told));
        }
        let Some(endpoint) = self.endpoint().dfs_service(self.account()) else { return Ok(None) };
        let request = self
            .request("GetFilesystemProperties", Method::HEAD, Resource::Container(container))
            .at(endpoint)
            .query("resource", "filesystem");
        let response = told(self.send(&request).await)?;
        Ok(response.and_then(|response| flag(headers::text(&response.headers, "x-ms-namespace-enabled"))))
    }

    /// Get Account Information.
    async fn ask_information(&self, resource: Resource<'_>) -> Result<Option<bool>> {
        let request = self
            .request("GetAccountInformation", Method::GET, resource)
            .query("restype", "account")
            .query("comp", "properties");
        let response = told(self.send(&request).await)?;
        // A server that answers and has no such thing is older than they are.
        Ok(response.map(|response| flag(headers::text(&response.headers, "x-ms-is-hns-enabled")).unwrap_or(false)))
    }
}

fn flag(text: Option<&str>) -> Option<bool> {
    match text?.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// A refusal tells nothing; silence is an error.
fn told<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if (400..500).contains(&error.status()) || error.status() == 501 => {
            debug!(%error, "the kind of the namespace is not told");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
