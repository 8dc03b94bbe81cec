//! The server behind the connections: keys, state, counters, and who is let in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::address::Namespace;
use super::answers::Answers;
use super::auth::{self, Principal};
use super::bearer::Tokens;
use super::clock::{Clock, Ticks};
use super::config::{Config, Limits};
use super::copies::Copies;
use super::error::{Code, ServiceError};
use super::faults::Faults;
use super::operation::Operation;
use super::request::Call;
use super::signature::AccountKey;
use super::state::{Access, Policy, State};
use super::stats::Statistics;
use super::versions::UNAUTHORIZED;

/// Longest body of requests that carry no payload: a block list of 50 000 ids of 64 bytes fits twice.
const DOCUMENT_BYTES: u64 = 16 << 20;

/// The state that all handlers share.
#[derive(Debug)]
pub(super) struct Server {
    pub address: SocketAddr,
    pub limits: Limits,
    pub latency: Duration,
    pub clock: Clock,
    /// The kind of namespace of all accounts.
    pub namespace: Namespace,
    pub answers: Answers,
    pub faults: Faults,
    pub statistics: Statistics,
    /// Bearer tokens that are good.
    pub tokens: Tokens,
    /// The one that the control interface asks for.
    pub control_token: String,
    /// Decoded account keys. Accounts are fixed for the server's life; their keys may be replaced.
    keys: Mutex<BTreeMap<String, Arc<AccountKey>>>,
    check_clock_skew: bool,
    state: Mutex<State>,
}

impl Server {
    pub(super) fn new(
        config: &Config,
        address: SocketAddr,
        keys: BTreeMap<String, AccountKey>,
        control_token: String,
    ) -> Server {
        let namespace = if config.hns { Namespace::Hierarchical } else { Namespace::Flat };
        let soft_delete =
            config.accounts.iter().filter_map(|account| Some((account.name.clone(), account.soft_delete?)));
        let versioned = config.accounts.iter().filter(|account| account.versioning);
        let clock = Clock::default();
        let state = State {
            clock: clock.clone(),
            ticks: Ticks::default(),
            accounts: keys.keys().map(|name| (name.clone(), BTreeMap::new())).collect(),
            versioned: versioned.map(|account| account.name.clone()).collect(),
            deleting: BTreeSet::new(),
            deleting_paths: BTreeSet::new(),
            soft_delete: soft_delete.collect(),
            deleted_containers: Vec::new(),
            files: BTreeMap::new(),
            copies: Copies::new(config.limits.copy_age),
            namespace,
            answers: config.answers,
            policy: Policy {
                copy_same_account: config.copy_same_account,
                copy_cross_account: config.copy_cross_account,
                from_url_cross_account: config.from_url_cross_account,
                hold_new_copies: false,
                list_page: config.limits.list_page,
                empty_list_pages: false,
                rename_part: None,
                delete_part: None,
                firewall: false,
            },
            retention_ahead: Duration::ZERO,
        };
        Server {
            address,
            limits: config.limits.clone(),
            latency: config.latency,
            clock,
            namespace,
            answers: config.answers,
            faults: Faults::default(),
            statistics: Statistics::default(),
            tokens: Tokens::default(),
            control_token,
            keys: Mutex::new(keys.into_iter().map(|(name, key)| (name, Arc::new(key))).collect()),
            check_clock_skew: config.check_clock_skew,
            state: Mutex::new(state),
        }
    }

    /// The time by the server's clock.
    pub(super) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// The state as of `now`. Never held over an await.
    pub(super) fn state(&self, now: SystemTime) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.advance(now);
        state
    }

    /// Path-style endpoint of an account.
    pub(super) fn endpoint(&self, account: &str) -> String {
        format!("http://{}/{account}", self.address)
    }

    pub(super) fn key(&self, account: &str) -> Option<Arc<AccountKey>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(account).cloned()
    }

    /// From now on what was signed with the account's key before is refused.
    pub(super) fn replace_key(&self, account: &str, key: AccountKey) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = keys.get_mut(account) {
            *known = Arc::new(key);
        }
    }

    /// Checks credentials and permission; leaves the letters of a SAS in `call`.
    pub(super) fn admit(&self, call: &mut Call, operation: Operation) -> Result<(), ServiceError> {
        let key = self.key(&call.account).ok_or(Code::ResourceNotFound)?;
        if self.state(call.now).policy.firewall {
            return Err(Code::AuthorizationFailure.into());
        }
        let standing = match call.header("authorization") {
            Some(text) if text.starts_with("Bearer ") => {
                Principal::Bearer(self.tokens.verify(text, &call.account, call.header("x-ms-version"))?)
            }
            _ => auth::authenticate(call, operation, &key.0, self.check_clock_skew)?,
        };
        match standing {
            Principal::Owner => {}
            Principal::Bearer(grant) => {
                grant.check(call.container().ok())?;
                call.bearer = Some(grant);
            }
            Principal::Sas(letters) => call.sas = Some(letters),
            Principal::Anonymous => self.admit_anonymous(call, operation)?,
        }
        Ok(())
    }

    fn admit_anonymous(&self, call: &Call, operation: Operation) -> Result<(), ServiceError> {
        let access = match call.container() {
            Ok(container) => self.state(call.now).container(&call.account, container).map(|c| c.access).ok(),
            Err(_) => None,
        };
        if access.is_some_and(|access| is_public(operation, access)) {
            return Ok(());
        }
        if call.version() < UNAUTHORIZED {
            // S143
            return Err(ServiceError::from(Code::ResourceNotFound).early());
        }
        Err(ServiceError::from(Code::NoAuthenticationInformation).with_challenge())
    }

    /// Longest body the operation takes, in bytes.
    pub(super) fn body_limit(&self, operation: Operation) -> u64 {
        match operation {
            Operation::PutBlob => self.limits.put_blob_bytes,
            Operation::PutBlock | Operation::AppendPath => self.limits.block_bytes,
            Operation::AppendBlock => self.limits.append_block_bytes,
            Operation::PutPage => self.limits.page_write_bytes,
            _ => DOCUMENT_BYTES,
        }
    }
}

/// Whether a container's public access admits an operation without credentials (§3.5).
pub(super) fn is_public(operation: Operation, access: Access) -> bool {
    use Operation::*;
    match operation {
        GetBlob | GetBlobProperties | GetBlobMetadata | GetBlockList | GetPageRanges => access != Access::Private,
        ListBlobs | GetContainerProperties | GetContainerMetadata => access == Access::Container,
        _ => false,
    }
}
