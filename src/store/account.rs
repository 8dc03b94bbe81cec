//! From loose settings to one validated account.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::error::{Error, Result, ServiceError};
use crate::path::AccountName;
use crate::store::connection_string;
use crate::store::credential::{Credential, CredentialSource, Nearing, Want, notice};
use crate::store::endpoint::Endpoint;
use crate::store::entra::Tokens;
use crate::store::secret::{AccountKey, Secret};
use crate::store::types::redact;

/// The newest version that all known servers accept and that has every feature used here (§16).
pub const DEFAULT_API_VERSION: &str = "2025-11-05";

/// Settings of an account, by flags, environment, a file or a connection string. What is given beside a
/// connection string wins over what the string says.
#[derive(Clone, Default)]
pub struct AccountConfig {
    /// Name of the account; read from the endpoint when absent.
    pub name: Option<AccountName>,
    /// URL of the Blob service; it may carry a SAS. The public cloud's when absent.
    pub endpoint: Option<String>,
    /// Base64 of the shared key.
    pub key: Option<Secret>,
    /// SAS with or without a leading `?`. Used instead of the key when both are given.
    pub sas: Option<Secret>,
    /// Connection string, whose parts are used where nothing else is given.
    pub connection_string: Option<Secret>,
    /// Tokens of an Entra ID identity. Used where there is neither a key nor a SAS.
    pub tokens: Option<Tokens>,
    /// True if there is no credential, and that is meant so.
    pub anonymous: bool,
    /// `x-ms-version`; [`DEFAULT_API_VERSION`] when absent.
    pub api_version: Option<String>,
    /// Kind of its namespace, true if hierarchical; the account is asked when absent.
    pub hierarchical: Option<bool>,
}

/// An account that requests can be sent to.
#[derive(Debug, Clone)]
pub struct Account {
    /// Name of the account.
    pub name: AccountName,
    /// Base of its URLs.
    pub endpoint: Endpoint,
    /// Proof that its requests carry, unless its source knows of another.
    pub credential: Credential,
    /// Where the credential comes from and may be asked for again.
    pub source: Option<CredentialSource>,
    /// `x-ms-version` of every request.
    pub api_version: String,
    /// Kind of its namespace, true if hierarchical; `None` if nobody has said so, and it has to be asked.
    pub hierarchical: Option<bool>,
}

impl AccountConfig {
    /// One account out of these settings. Errors (EINVAL) say in one line what is wrong with which field and show no
    /// secret.
    pub fn resolve(self) -> Result<Account> {
        let label = self.name.as_ref().map_or_else(|| "account".to_owned(), |name| format!("account {name}"));
        self.resolve_inner().map_err(|what| Error::fs(libc::EINVAL, format!("{label}: {what}")))
    }

    fn resolve_inner(mut self) -> std::result::Result<Account, String> {
        if let Some(text) = self.connection_string.take() {
            self.absorb(text.expose()).map_err(|e| format!("connection string: {e}"))?;
        }
        let endpoint = match (self.endpoint.take(), &self.name) {
            (Some(endpoint), _) => endpoint,
            (None, Some(name)) => format!("https://{name}.blob.core.windows.net"),
            (None, None) => return Err("neither a name nor an endpoint is given".into()),
        };
        let parsed = Endpoint::parse(&endpoint, self.name.as_ref()).map_err(|e| format!("endpoint: {e}"))?;
        let sas = self.sas.or(parsed.sas);
        let credential = match (&sas, &self.key, self.tokens) {
            (None, None, None) if self.anonymous => Credential::Anonymous,
            (None, None, None) => {
                return Err("no key, SAS or connection string is given; say so if access is anonymous".into());
            }
            _ if self.anonymous => return Err("anonymous access and a credential exclude each other".into()),
            (Some(token), ..) => Credential::sas(token).ok_or("SAS: there is no signature in it")?,
            (None, Some(key), _) => {
                Credential::SharedKey(AccountKey::parse(key.expose()).ok_or("key: it is not valid Base64")?)
            }
            // Whoever sees a token can use it, for all that it is good for.
            (None, None, Some(_)) if !parsed.endpoint.is_confidential() => {
                return Err("endpoint: a token is not sent over plain http".into());
            }
            (None, None, Some(tokens)) => Credential::Entra(tokens),
        };
        let api_version = self.api_version.unwrap_or_else(|| DEFAULT_API_VERSION.to_owned());
        if !is_date(&api_version) {
            return Err(format!("API version: {api_version:?} is not of the form YYYY-MM-DD"));
        }
        Ok(Account {
            name: parsed.account,
            endpoint: parsed.endpoint,
            credential,
            source: None,
            api_version,
            hierarchical: self.hierarchical,
        })
    }

    /// Takes from a connection string what is not set yet.
    fn absorb(&mut self, text: &str) -> std::result::Result<(), String> {
        let parts = connection_string::parse(text)?;
        if let Some(name) = parts.name {
            let name = AccountName::parse(&name).map_err(|e| e.to_string())?;
            match &self.name {
                Some(given) if *given != name => return Err(format!("it is for account {name}")),
                _ => self.name = Some(name),
            }
        }
        self.endpoint = self.endpoint.take().or(parts.endpoint);
        if self.key.is_none() && self.sas.is_none() {
            (self.key, self.sas) = (parts.key, parts.sas);
        }
        Ok(())
    }
}

/// The credential of an account at any moment. Cheap to clone.
#[derive(Clone)]
pub(super) struct CredentialInUse {
    account: AccountName,
    /// Without a source, or before that knows one.
    known: Arc<Credential>,
    source: Option<CredentialSource>,
}

impl CredentialInUse {
    pub(super) fn of(account: &Account) -> Self {
        let (known, source) = (Arc::new(account.credential.clone()), account.source.clone());
        Self { account: account.name.clone(), known, source }
    }

    /// For what is made of it beside a request.
    pub(super) fn current(&self) -> Arc<Credential> {
        let found = self.source.as_ref().and_then(CredentialSource::current);
        found.unwrap_or_else(|| self.known.clone())
    }

    /// For the next request. It may have to be asked for.
    pub(super) async fn for_a_request(&self) -> Result<Arc<Credential>> {
        match &self.source {
            Some(source) => source.for_a_request().await,
            None => Ok(self.known.clone()),
        }
    }

    /// Another one, if a request was refused for `refused` and there is one.
    pub(super) async fn after(&self, refused: &Arc<Credential>, error: &ServiceError) -> Option<Arc<Credential>> {
        self.another_than(refused, Want::after(error)?).await
    }

    /// Another one than that, if there is one.
    pub(super) async fn another_than(&self, refused: &Arc<Credential>, want: Want) -> Option<Arc<Credential>> {
        self.source.as_ref()?.another_than(refused, want).await
    }

    /// What is to be said of its end.
    pub(super) fn notice(&self) -> Option<String> {
        self.nearing().map(|(_, text)| text)
    }

    fn nearing(&self) -> Option<(Nearing, String)> {
        let now = SystemTime::now();
        match &self.source {
            Some(source) => source.notice(now),
            None => notice(&self.account, &self.known, false, now),
        }
    }
}

impl Account {
    /// The proof that is in use at this moment.
    pub fn credential_in_use(&self) -> Arc<Credential> {
        CredentialInUse::of(self).current()
    }

    /// The account with the credential that its source has now, and without the source.
    pub async fn settled(mut self) -> Result<Self> {
        if let Some(source) = self.source.take() {
            self.credential = source.ready().await?.as_ref().clone();
        }
        Ok(self)
    }

    /// What is to be said at this moment of the end of the credential in use, and how near that is.
    pub fn notice(&self) -> Option<(Nearing, String)> {
        CredentialInUse::of(self).nearing()
    }
}

/// An endpoint may carry a SAS, so it is shown without the signature.
impl fmt::Debug for AccountConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountConfig")
            .field("name", &self.name)
            .field("endpoint", &self.endpoint.as_deref().map(redact))
            .field("key", &self.key)
            .field("sas", &self.sas)
            .field("connection_string", &self.connection_string)
            .field("tokens", &self.tokens)
            .field("anonymous", &self.anonymous)
            .field("api_version", &self.api_version)
            .field("hierarchical", &self.hierarchical)
            .finish()
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(i, b)| if matches!(i, 4 | 7) { b == b'-' } else { b.is_ascii_digit() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn name(name: &str) -> Option<AccountName> {
        Some(AccountName::parse(name).unwrap())
    }

    fn connected(text: &str) -> AccountConfig {
        AccountConfig { connection_string: Some(text.into()), ..Default::default() }
    }

    #[test]
    fn a_name_and_a_key_are_enough() {
        let account =
            AccountConfig { name: name("acct"), key: Some("a2V5".into()), ..Default::default() }.resolve().unwrap();
        assert_eq!(account.endpoint.to_string(), "https://acct.blob.core.windows.net");
        assert_eq!(account.api_version, DEFAULT_API_VERSION);
        assert!(matches!(account.credential, Credential::SharedKey(_)));
    }

    #[test]
    fn development_storage_is_an_account() {
        let account = connected("UseDevelopmentStorage=true").resolve().unwrap();
        assert_eq!(account.name.as_str(), "devstoreaccount1");
        assert_eq!(account.endpoint.to_string(), "http://127.0.0.1:10000/devstoreaccount1");
        assert!(account.endpoint.is_loopback());
    }

    #[test]
    fn an_endpoint_may_carry_the_sas() {
        let account = connected("BlobEndpoint=https://acct.blob.core.windows.net?sv=1&sig=x%3D").resolve().unwrap();
        assert!(!format!("{account:?}").contains("x%3D"));
        assert_eq!(account.name.as_str(), "acct");
        assert!(matches!(account.credential, Credential::Sas(sas) if sas.expose() == "sv=1&sig=x%3D"));
    }

    #[test]
    fn no_setting_shows_a_secret() {
        let config = AccountConfig {
            endpoint: Some("https://acct.blob.core.windows.net?sv=1&sig=SeCrEt".into()),
            key: Some("SeCrEt".into()),
            sas: Some("sig=SeCrEt".into()),
            connection_string: Some("AccountKey=SeCrEt".into()),
            ..Default::default()
        };
        assert!(!format!("{config:?}").contains("SeCrEt"), "{config:?}");
    }

    #[test]
    fn what_is_given_beside_a_connection_string_wins() {
        let config = AccountConfig {
            sas: Some("?sig=mine".into()),
            endpoint: Some("http://127.0.0.1:1/acct".into()),
            ..connected("AccountName=acct;AccountKey=a2V5")
        };
        let account = config.resolve().unwrap();
        assert!(matches!(account.credential, Credential::Sas(sas) if sas.expose() == "sig=mine"));
        assert_eq!(account.endpoint.to_string(), "http://127.0.0.1:1/acct");
    }

    #[test]
    fn anonymous_access_must_be_meant() {
        let config = AccountConfig { name: name("acct"), ..Default::default() };
        assert!(config.clone().resolve().is_err());
        let anonymous = AccountConfig { anonymous: true, ..config }.resolve().unwrap();
        assert!(matches!(anonymous.credential, Credential::Anonymous));
    }

    #[rstest]
    #[case(AccountConfig::default(), "account: neither a name nor an endpoint is given")]
    #[case(
        AccountConfig { name: name("acct"), key: Some("SeCrEt!".into()), ..Default::default() },
        "account acct: key: it is not valid Base64"
    )]
    #[case(
        AccountConfig { name: name("acct"), sas: Some("sv=SeCrEt".into()), ..Default::default() },
        "account acct: SAS: there is no signature in it"
    )]
    #[case(
        AccountConfig { name: name("acct"), endpoint: Some("SeCrEt".into()), ..Default::default() },
        "account acct: endpoint: not a URL: it has to begin with https://"
    )]
    #[case(
        AccountConfig { name: name("other"), ..connected("AccountName=acct;AccountKey=SeCrEt") },
        "account other: connection string: it is for account acct"
    )]
    #[case(connected("AccountName=acct;SeCrEt"), "account: connection string: part 2 has no '='")]
    #[case(
        AccountConfig { name: name("acct"), key: Some("a2V5".into()), anonymous: true, ..Default::default() },
        "account acct: anonymous access and a credential exclude each other"
    )]
    #[case(
        AccountConfig { name: name("acct"), key: Some("a2V5".into()), api_version: Some("latest".into()), ..Default::default() },
        "account acct: API version: \"latest\" is not of the form YYYY-MM-DD"
    )]
    fn errors_name_the_field_and_no_secret(#[case] config: AccountConfig, #[case] expected: &str) {
        let error = config.resolve().unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(crate::secrets::scrubbed(expected), expected);
        assert!(!error.to_string().contains("SeCrEt"));
        assert_eq!(error.errno(), libc::EINVAL);
    }
}
