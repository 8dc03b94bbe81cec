//! The ground that all clients of an account stand on: what is known of the account, and the way to it.
//!
//! Sending is in [`crate::store::request`], keys for signing in an identity's name in [`crate::store::delegation`].

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::header::HeaderMap;

use crate::path::AccountName;
use crate::store::account::{Account, CredentialInUse};
use crate::store::breaker::Breaker;
use crate::store::concurrency::ConcurrencyLimit;
use crate::store::delegation::Delegation;
use crate::store::endpoint::Endpoint;
use crate::store::headers;
use crate::store::http::Http;
use crate::store::namespace::Knowledge;
use crate::store::types::*;
use crate::sync::{MutexGuard, lock};

/// Number of copies that are remembered as started: more than run at once, and each only matters for the seconds in
/// which `Last-Modified` cannot tell two of them apart.
const REMEMBERED_COPIES: usize = 256;

/// An account, the connections to it, and what was learnt of it on the way.
pub(super) struct Pipeline {
    account: Account,
    pub(super) credential: CredentialInUse,
    pub(super) http: Http,
    pub(super) breaker: Breaker,
    /// Copies whose start was answered: these ids are not the one that a lost answer would have told.
    known_copies: Mutex<VecDeque<CopyId>>,
    /// Leases that writes are sent with unless they name one, by the encoded path of the blob.
    leases: Mutex<HashMap<String, LeaseId>>,
    pub(super) concurrency: ConcurrencyLimit,
    pub(super) delegation: Delegation,
    pub(super) namespace: Knowledge,
    /// True once an answer has said so.
    is_azurite: AtomicBool,
    /// True once a checksum that was asked for was refused.
    pub(super) without_crc64: AtomicBool,
}

/// The checksums that a server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checksums {
    /// CRC64 of bodies, and of ranges that are read.
    Crc64,
    /// None but MD5.
    Md5,
    /// Any of bodies, none of ranges.
    OfAzurite,
}

/// First version that knows CRC64. Versions are dates and compare as text.
const CRC64_SINCE: &str = "2019-02-02";

impl Pipeline {
    pub(super) fn new(account: Account, http: Http) -> Self {
        Self {
            namespace: Knowledge::of_settings(account.hierarchical),
            credential: CredentialInUse::of(&account),
            breaker: http.breaker(&account.endpoint),
            account,
            http,
            known_copies: Mutex::default(),
            leases: Mutex::default(),
            concurrency: ConcurrencyLimit::default(),
            delegation: Delegation::default(),
            is_azurite: AtomicBool::new(false),
            without_crc64: AtomicBool::new(false),
        }
    }

    pub(super) fn account(&self) -> &AccountName {
        &self.account.name
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.account.endpoint
    }

    pub(super) fn api_version(&self) -> &str {
        &self.account.api_version
    }

    /// Notes which server an answer is from.
    pub(super) fn was_answered(&self, headers: &HeaderMap) {
        if headers::text(headers, "server").is_some_and(|server| server.starts_with("Azurite")) {
            self.is_azurite.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn is_azurite(&self) -> bool {
        self.is_azurite.load(Ordering::Relaxed)
    }

    /// What this server is sent and asked for, as far as it is known.
    pub(super) fn checksums(&self) -> Checksums {
        if self.is_azurite() {
            return Checksums::OfAzurite;
        }
        match self.api_version() < CRC64_SINCE || self.without_crc64.load(Ordering::Relaxed) {
            true => Checksums::Md5,
            false => Checksums::Crc64,
        }
    }

    /// The leases of blobs that this process holds, by the encoded paths of the blobs.
    pub(super) fn leases(&self) -> MutexGuard<'_, HashMap<String, LeaseId>> {
        lock(&self.leases)
    }

    /// The service does not know that lease any more.
    pub(super) fn lease_is_lost(&self, path: &str, id: &LeaseId) {
        let mut leases = self.leases();
        if leases.get(path) == Some(id) {
            leases.remove(path);
        }
    }

    pub(super) fn knows_copy(&self, id: &CopyId) -> bool {
        lock(&self.known_copies).contains(id)
    }

    pub(super) fn remember_copy(&self, id: &CopyId) {
        let mut known = lock(&self.known_copies);
        if known.len() == REMEMBERED_COPIES {
            known.pop_front();
        }
        known.push_back(id.clone());
    }
}
