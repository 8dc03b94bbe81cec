//! Bearer tokens and what is derived from them (§3.4): as if there were an Entra ID behind the accounts.
//!
//! Nobody here issues tokens. A test says by [`Devstore::admit_token`](super::Devstore::admit_token) which one is good,
//! for whom and for which accounts, and its own token endpoint hands that out. A token may be withdrawn, and then
//! answers 401 like one that never was.
//!
//! A user delegation key belongs to an identity and a time. It is derived from the account's key and these, so nothing
//! has to be remembered to verify a signature made with it: the SAS carries all of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use super::clock::parse_iso;
use super::error::{Code, ServiceError};
use super::versions::UNAUTHORIZED;

/// Longest life of a user delegation key (§15).
pub(super) const LONGEST_DELEGATION: Duration = Duration::from_secs(7 * 24 * 3600);

/// First version that knows bearer tokens.
const SINCE: &str = "2017-11-09";

/// Whom a token stands for, and what it is good for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The accounts that it opens; all when empty.
    #[serde(default)]
    pub accounts: Vec<String>,
    /// The containers for which it has a role; all when empty.
    #[serde(default)]
    pub containers: Vec<String>,
    /// `oid` of the identity.
    #[serde(default)]
    pub object_id: String,
    /// `tid` of its tenant.
    #[serde(default)]
    pub tenant_id: String,
    /// Whether it may get user delegation keys.
    #[serde(default = "yes")]
    pub delegates: bool,
}

fn yes() -> bool {
    true
}

impl Default for Grant {
    fn default() -> Grant {
        let (object_id, tenant_id) = ("00000000-0000-0000-0000-0000000000aa", "00000000-0000-0000-0000-0000000000bb");
        Grant {
            accounts: Vec::new(),
            containers: Vec::new(),
            object_id: object_id.into(),
            tenant_id: tenant_id.into(),
            delegates: true,
        }
    }
}

impl Grant {
    /// 403 for what lies in a container without a role, whether that is there or not (S200).
    pub(super) fn check(&self, container: Option<&str>) -> Result<(), ServiceError> {
        let has_role =
            self.containers.is_empty() || self.containers.iter().any(|name| Some(name.as_str()) == container);
        if has_role { Ok(()) } else { Err(Code::AuthorizationPermissionMismatch.into()) }
    }
}

/// The tokens that are good. Debug output does not show them.
#[derive(Default)]
pub(super) struct Tokens(Mutex<BTreeMap<String, Grant>>);

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(***)")
    }
}

impl Tokens {
    pub(super) fn admit(&self, token: &str, grant: Grant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(token.to_owned(), grant);
    }

    pub(super) fn withdraw_all(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The rights of an `Authorization: Bearer …` of that value in `account`.
    pub(super) fn verify(
        &self,
        authorization: &str,
        account: &str,
        version: Option<&str>,
    ) -> Result<Grant, ServiceError> {
        let refused = || {
            let error = ServiceError::from(Code::InvalidAuthenticationInfo);
            if version.is_some_and(|version| version < UNAUTHORIZED) {
                // S144, S201
                return error;
            }
            error.with_status(hyper::StatusCode::UNAUTHORIZED).with_challenge()
        };
        let token = authorization.strip_prefix("Bearer ").ok_or_else(refused)?;
        if version.is_none_or(|version| version < SINCE) {
            return Err(refused());
        }
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let grant = tokens.get(token).ok_or_else(refused)?;
        if !grant.accounts.is_empty() && !grant.accounts.iter().any(|name| name == account) {
            return Err(Code::AuthorizationPermissionMismatch.into());
        }
        Ok(grant.clone())
    }
}

/// The subject of a user delegation key, as the SAS repeats it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delegation<'a> {
    pub object_id: &'a str,
    pub tenant_id: &'a str,
    pub start: &'a str,
    pub expiry: &'a str,
    pub service: &'a str,
    pub version: &'a str,
}

impl Delegation<'_> {
    /// The key itself.
    pub(super) fn key(&self, account_key: &[u8]) -> Vec<u8> {
        let Delegation { object_id, tenant_id, start, expiry, service, version } = self;
        let text = [object_id, tenant_id, start, expiry, service, version].map(|text| *text).join("\n");
        // HMAC takes keys of any length, so this fails for none.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(account_key) else { return Vec::new() };
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }

    /// In force at a moment, and not for longer than a key may live.
    pub(super) fn is_in_force(&self, now: SystemTime) -> bool {
        let (Some(start), Some(expiry)) = (parse_iso(self.start), parse_iso(self.expiry)) else { return false };
        now >= start && now < expiry && expiry.duration_since(start).is_ok_and(|life| life <= LONGEST_DELEGATION)
    }
}
