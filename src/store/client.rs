//! The client of one account, as the operations see it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::HeaderMap;
use tokio::sync::OnceCell;

use crate::path::{AccountName, BlobName, BlobPath, ContainerName};
use crate::store::account::Account;
use crate::store::concurrency::{ConcurrencyLimit, Pass};
use crate::store::credential::Credential;
use crate::store::delegation::Delegation;
use crate::store::endpoint::{Endpoint, Place, encode_query};
use crate::store::headers;
use crate::store::http::Http;
use crate::store::types::*;

/// How many copies are remembered as started: more than run at once, and each only matters for the seconds in which
/// `Last-Modified` cannot tell two of them apart.
const REMEMBERED_COPIES: usize = 256;

/// Client of one account. Cheap to clone; all clients of a process share one HTTP connection pool.
///
/// The operations are in the files named after them; each method names its REST operation in its errors.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    account: Account,
    http: Http,
    /// Copies whose start was answered: these ids are not the one that a lost answer would have told.
    known_copies: Mutex<VecDeque<CopyId>>,
    /// Leases that writes are sent with unless they name one, by the encoded path of the blob.
    leases: Mutex<HashMap<String, LeaseId>>,
    pace: ConcurrencyLimit,
    delegation: Delegation,
    /// What the account said, or was said of it, when it was asked whether its namespace is hierarchical.
    hierarchical: OnceCell<bool>,
    /// A refusal proved it to be hierarchical, whatever was said before.
    proved_hierarchical: AtomicBool,
    /// An answer said so.
    is_azurite: AtomicBool,
}

impl Client {
    pub fn new(account: Account, http: Http) -> Self {
        Self(Arc::new(Inner {
            hierarchical: OnceCell::new_with(account.hierarchical),
            proved_hierarchical: AtomicBool::new(false),
            account,
            http,
            known_copies: Mutex::default(),
            leases: Mutex::default(),
            pace: ConcurrencyLimit::default(),
            delegation: Delegation::default(),
            is_azurite: AtomicBool::new(false),
        }))
    }

    pub fn account(&self) -> &AccountName {
        &self.0.account.name
    }

    /// Display form of the blob's URL: no SAS.
    pub fn url(&self, blob: &BlobPath) -> String {
        let endpoint = self.endpoint();
        endpoint.url(&endpoint.path(Place::Blob(blob)))
    }

    /// [`Client::url`] of the blob as it is or was.
    pub fn url_at(&self, blob: &BlobPath, revision: Option<&Revision>) -> String {
        let query = revision.map(|revision| format!("?{}", encode_query(&[revision.parameter()])));
        self.url(blob) + query.as_deref().unwrap_or_default()
    }

    /// The blob of this account that `url` names, as it is or was; `None` if it names something else, or carries more than that in its
    /// query: then it has a credential of its own.
    pub fn blob_at(&self, url: &str) -> Option<(BlobPath, Option<Revision>)> {
        let path = url.strip_prefix(&format!("{}/", self.endpoint()))?;
        if path.contains('#') {
            return None;
        }
        let decode = |text| percent_encoding::percent_decode_str(text).decode_utf8().ok();
        let (path, revision) = match path.split_once('?') {
            None => (path, None),
            Some((path, query)) => {
                let (name, moment) = query.split_once('=')?;
                let moment = Moment::parse(&decode(moment)?)?;
                let revision = match name {
                    "snapshot" => Revision::Snapshot(moment),
                    "versionid" => Revision::Version(moment),
                    _ => return None,
                };
                (path, Some(revision))
            }
        };
        let (container, name) = path.split_once('/')?;
        let blob = BlobPath::new(ContainerName::parse(container).ok()?, BlobName::parse(&decode(name)?).ok()?);
        Some((blob, revision))
    }

    /// Leave to work on one of many blobs, which comes the later the busier the service is.
    pub async fn pass(&self) -> Pass<'_> {
        self.0.pace.pass().await
    }

    /// How many requests at once the service bears; `None` if it never said that it was busy.
    pub fn bears(&self) -> Option<usize> {
        self.0.pace.limit()
    }

    /// The service was too busy for a request.
    pub(super) fn was_refused(&self) {
        self.0.pace.refused();
    }

    /// What an answer says of who gave it.
    pub(super) fn was_answered(&self, headers: &HeaderMap) {
        if headers::text(headers, "server").is_some_and(|server| server.starts_with("Azurite")) {
            self.0.is_azurite.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn is_azurite(&self) -> bool {
        self.0.is_azurite.load(Ordering::Relaxed)
    }

    pub(super) fn delegation(&self) -> &Delegation {
        &self.0.delegation
    }

    pub(super) fn hierarchical(&self) -> &OnceCell<bool> {
        &self.0.hierarchical
    }

    pub(super) fn is_proved_hierarchical(&self) -> bool {
        self.0.proved_hierarchical.load(Ordering::Relaxed)
    }

    /// True the first time.
    pub(super) fn prove_hierarchical(&self) -> bool {
        !self.0.proved_hierarchical.swap(true, Ordering::Relaxed)
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.0.account.endpoint
    }

    pub(super) fn credential(&self) -> &Credential {
        &self.0.account.credential
    }

    pub(super) fn api_version(&self) -> &str {
        &self.0.account.api_version
    }

    pub(super) fn http(&self) -> &Http {
        &self.0.http
    }

    /// From now on writes to the blob are sent with this lease, unless they name another or turn out not to need it.
    pub fn use_lease(&self, blob: &BlobPath, id: LeaseId) {
        let path = self.endpoint().path(Place::Blob(blob));
        self.0.leases.lock().unwrap_or_else(PoisonError::into_inner).insert(path, id);
    }

    /// The lease has ended.
    pub fn disuse_lease(&self, blob: &BlobPath) {
        let path = self.endpoint().path(Place::Blob(blob));
        self.0.leases.lock().unwrap_or_else(PoisonError::into_inner).remove(&path);
    }

    pub(super) fn lease_in_use(&self, path: &str) -> Option<LeaseId> {
        self.0.leases.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }

    /// The service does not know that lease any more.
    pub(super) fn lease_is_lost(&self, path: &str, id: &LeaseId) {
        let mut leases = self.0.leases.lock().unwrap_or_else(PoisonError::into_inner);
        if leases.get(path) == Some(id) {
            leases.remove(path);
        }
    }

    pub(super) fn knows_copy(&self, id: &CopyId) -> bool {
        self.0.known_copies.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    pub(super) fn remember_copy(&self, id: &CopyId) {
        let mut known = self.0.known_copies.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() == REMEMBERED_COPIES {
            known.pop_front();
        }
        known.push_back(id.clone());
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.account())
    }
}
