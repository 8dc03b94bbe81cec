//! The client of one account: what is asked of the account itself, and the way to its containers and blobs.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, Url};

use crate::error::Result;
use crate::path::{self, AccountName, BlobName, BlobPath, ContainerName};
use crate::store::account::Account;
use crate::store::blob::{BlobClient, LARGEST_HASHED_RANGE};
use crate::store::body::MOST_OF_A_LISTING;
use crate::store::concurrency::Permit;
use crate::store::container::ContainerClient;
use crate::store::endpoint::{Endpoint, Resource};
use crate::store::http::Http;
use crate::store::listing;
use crate::store::options::ListContainers;
use crate::store::pipeline::{Checksums, Pipeline};
use crate::store::request::{Answer, Probe};
use crate::store::types::*;

/// Client of one account. Cheap to clone; all clients of a process share one HTTP connection pool.
#[derive(Clone)]
pub struct Client(Arc<Pipeline>);

impl Client {
    /// Sends nothing yet.
    pub fn new(account: Account, http: Http) -> Self {
        Self(Arc::new(Pipeline::new(account, http)))
    }

    pub(super) fn pipeline(&self) -> &Pipeline {
        &self.0
    }

    /// The account's name.
    pub fn account(&self) -> &AccountName {
        self.0.account()
    }

    /// Where the account is asked.
    pub fn endpoint(&self) -> &Endpoint {
        self.0.endpoint()
    }

    /// A lease of that blob is in use here.
    pub fn holds_lease(&self, blob: &BlobPath) -> bool {
        self.0.leases().contains_key(&self.0.endpoint().path(Resource::Blob(blob)))
    }

    /// What is to be said of it, in lines: that its service is away, that its credential ends soon or is over. Without
    /// secrets.
    pub fn notice(&self) -> Option<String> {
        let said = [self.0.breaker.notice(), self.0.credential.notice()];
        let lines: Vec<String> = said.into_iter().flatten().collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// Whether the service answers anything within `bound`.
    pub async fn is_answered(&self, bound: Duration) -> bool {
        self.0.breaker.is_answered(bound).await
    }

    /// Whether the service at `other` may be told a secret of this account that nobody asked to be told: both are Azure's,
    /// of one cloud, or both on this machine.
    pub(crate) fn may_share_secrets_with(&self, other: &Self) -> bool {
        self.endpoint().may_share_secrets_with(other.endpoint())
    }

    /// Client of a container, which need not exist.
    pub fn container<'a>(&'a self, name: &'a ContainerName) -> ContainerClient<'a> {
        ContainerClient { pipeline: &self.0, name }
    }

    /// Client of a blob, which need not exist.
    pub fn blob<'a>(&'a self, path: &'a BlobPath) -> BlobClient<'a> {
        BlobClient { pipeline: &self.0, path, revision: None }
    }

    /// The blob of this account that `url` names by any of the account's names, as it is or was; `None` if it names
    /// something else, or carries more than that in its query: then it may have a credential of its own.
    pub fn blob_at(&self, url: &str) -> Option<(BlobPath, Option<Revision>)> {
        // What is parsed below is resolved first, which is not what the service does.
        if path::is_folded_in_url(url) {
            return None;
        }
        let url = Url::parse(url).ok()?;
        let mut revision = None;
        for (name, moment) in url.query_pairs() {
            let moment = Moment::parse(&moment)?;
            let said = match &*name.to_ascii_lowercase() {
                "snapshot" => Revision::Snapshot(moment),
                "versionid" => Revision::Version(moment),
                _ => return None,
            };
            if revision.replace(said).is_some() {
                return None;
            }
        }
        let (container, name) = self.0.endpoint().path_in(self.account(), &url)?.split_once('/')?;
        let decode = |text| percent_encoding::percent_decode_str(text).decode_utf8().ok();
        let container = ContainerName::parse(&decode(container)?).ok()?;
        Some((BlobPath::new(container, BlobName::parse(&decode(name)?).ok()?), revision))
    }

    /// List Containers: one page.
    pub async fn list_containers(&self, list: &ListContainers<'_>) -> Result<Page<ContainerItem>> {
        let request = self
            .0
            .request("ListContainers", Method::GET, Resource::Account)
            .takes(MOST_OF_A_LISTING)
            .query("comp", "list")
            .query("include", "metadata")
            .optional_query("marker", list.marker);
        let response = self.0.send(&request).await?;
        listing::containers(&response.xml(&request)?).map_err(|detail| request.misunderstood(detail))
    }

    /// Sends a request as it is. Every answer is one, also a refusal.
    pub async fn probe(&self, probe: &Probe) -> Result<Answer> {
        self.0.probe(probe).await
    }

    /// Longest range that is read of a blob at once, bytes, if nothing is to be handed on that was damaged on its way. TLS
    /// sees to that for any length; without it a checksum does, and there is none of longer ranges.
    pub fn longest_read(&self) -> Option<u64> {
        let checks = self.0.http.options().check_reads && !self.0.endpoint().is_encrypted();
        (checks && self.0.checksums() == Checksums::Crc64).then_some(LARGEST_HASHED_RANGE)
    }

    /// A permit to work on one of many blobs, which comes the later the busier the service is.
    pub async fn permit(&self) -> Permit<'_> {
        self.0.concurrency.permit().await
    }

    /// The number of requests that the service bears at once; `None` if it never said that it was busy.
    pub fn concurrency_limit(&self) -> Option<usize> {
        self.0.concurrency.limit()
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.account())
    }
}
