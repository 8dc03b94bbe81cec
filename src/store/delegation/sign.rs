//! Leave to read a source, for accounts that are asked with an identity (§3.3).
//!
//! There is no account key to sign with. The service lends a key for up to a week that signs in the identity's name, if
//! that may borrow one; it is kept and renewed when it would not last for what is to be signed. Where there is no such
//! key, a copy within one request can still be read by the identity's token itself, which then goes along to the
//! service of the destination: only to one that belongs to Azure as the source does, or to this machine as the source
//! does.

use std::time::{Duration, SystemTime};

use reqwest::Method;
use tracing::warn;

use crate::error::{Error, Result};
use crate::path::BlobPath;
use crate::store::credential::Credential;
use crate::store::endpoint::Resource;
use crate::store::pipeline::Pipeline;
use crate::store::sas::{self, DelegationKey, Validity, iso8601};
use crate::store::secret::{AccountKey, Secret};
use crate::store::types::*;

/// Longest life of a key (§15).
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// The clocks of two machines: that much before the end of a week nobody is refused for asking for more than a week.
const CLOCK_SKEW: Duration = Duration::from_secs(15 * 60);

impl Pipeline {
    /// A SAS for reading `blob` that lives for `lifetime`, signed in the name of the identity; `None` if it may not
    /// sign.
    pub(in crate::store) async fn delegated_sas(
        &self,
        blob: &BlobPath,
        revision: Option<&Revision>,
        lifetime: Duration,
    ) -> Result<Option<Secret>> {
        let Some((key, until)) = self.delegation_key(lifetime).await? else { return Ok(None) };
        let left = until.duration_since(SystemTime::now()).unwrap_or_default();
        let validity = Validity::for_the_next(lifetime.min(left));
        Ok(Some(sas::delegated_read_blob(&key, self.account(), blob, revision, &validity, self.api_version())))
    }

    /// A key that lasts for `lifetime`, or for as long as a key can, and when it ends.
    async fn delegation_key(&self, lifetime: Duration) -> Result<Option<(DelegationKey, SystemTime)>> {
        let state = &self.delegation;
        // A week is as long as there is: a key that was just got will do for a copy that wants one.
        let wanted = lifetime.min(LONGEST / 2);
        let mut current = state.current.lock().await;
        if let Some((key, until)) = current.as_ref()
            && until.duration_since(SystemTime::now()).is_ok_and(|left| left >= wanted)
        {
            return Ok(Some((key.clone(), *until)));
        }
        if state.is_refused() {
            return Ok(None);
        }
        let until = SystemTime::now() + LONGEST - CLOCK_SKEW;
        match self.get_user_delegation_key(until).await {
            Ok(key) => {
                *current = Some((key.clone(), until));
                Ok(Some((key, until)))
            }
            Err(error) if error.status() == 403 => {
                state.refuse();
                warn!(%error, "the identity may not sign for others; copies to other accounts are read by its token");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Get User Delegation Key.
    async fn get_user_delegation_key(&self, until: SystemTime) -> Result<DelegationKey> {
        // Begins a little ago, as everything that is signed with it.
        let (start, expiry) = (iso8601(SystemTime::now() - CLOCK_SKEW / 2), iso8601(until - CLOCK_SKEW / 2));
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><KeyInfo><Start>{start}</Start><Expiry>{expiry}</Expiry></KeyInfo>"
        );
        let request = self
            .request("GetUserDelegationKey", Method::POST, Resource::Account)
            .query("restype", "service")
            .query("comp", "userdelegationkey")
            .header("content-type", "application/xml")
            .body(body);
        let response = self.send(&request).await?;
        let root = response.xml(&request)?;
        let text = |name: &str| root.value(name).map(|value| value.into_owned()).filter(|value| !value.is_empty());
        let key = (|| {
            Some(DelegationKey {
                key: AccountKey::parse(&text("Value")?)?,
                object_id: text("SignedOid")?,
                tenant_id: text("SignedTid")?,
                start: text("SignedStart")?,
                expiry: text("SignedExpiry")?,
                service: text("SignedService")?,
                version: text("SignedVersion")?,
            })
        })();
        response.required(&request, "a user delegation key", key)
    }

    /// A source that the service at `reader` reads by this identity's token.
    pub(in crate::store) async fn source_by_token(&self, source: CopySource, reader: &Self) -> Result<CopySource> {
        let credential = self.credential.current();
        let Credential::Entra(tokens) = &*credential else { return Ok(source) };
        if !self.endpoint().may_share_secrets_with(reader.endpoint()) {
            let (own, reader) = (self.endpoint(), reader.endpoint());
            let what = format!("{own} has to be read by a token, and {reader} is not where that may be sent");
            return Err(Error::fs(libc::EACCES, what));
        }
        Ok(source.authorized(tokens.token().await?))
    }
}
