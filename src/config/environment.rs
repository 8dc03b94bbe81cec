//! The variables of the environment that say something of accounts.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::store::Secret;

/// Variables that were handed over past the environment, which others can read.
static INHERITED: OnceLock<BTreeMap<String, Secret>> = OnceLock::new();

/// Variables of the environment, under the names of the Azure command line and SDKs. An empty variable is one not set.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    /// `AZURE_STORAGE_CONNECTION_STRING`
    pub(crate) connection_string: Option<Secret>,
    /// `AZURE_STORAGE_ACCOUNT`
    pub(crate) account: Option<String>,
    /// `AZURE_STORAGE_KEY`
    pub(crate) key: Option<Secret>,
    /// `AZURE_STORAGE_SAS_TOKEN`
    pub(crate) sas: Option<Secret>,
    /// `AZURE_TENANT_ID`
    pub(crate) tenant: Option<String>,
    /// `AZURE_CLIENT_ID`
    pub(crate) client: Option<String>,
    /// `AZURE_CLIENT_SECRET`
    pub(crate) client_secret: Option<Secret>,
    /// `AZURE_FEDERATED_TOKEN_FILE`
    pub(crate) token_file: Option<String>,
    /// `AZURE_AUTHORITY_HOST`
    pub(crate) authority: Option<String>,
    /// `AZURE_POD_IDENTITY_AUTHORITY_HOST`: the metadata service, where it is another than Azure's.
    pub(crate) metadata_host: Option<String>,
}

impl Environment {
    /// Variables that hold credentials of accounts.
    pub(crate) const OF_ACCOUNTS: [&'static str; 3] =
        ["AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN"];

    /// The secret of an identity, which is asked for tokens and not good for accounts by itself.
    pub(crate) const CLIENT_SECRET: &'static str = "AZURE_CLIENT_SECRET";

    /// Says where a process is handed what its environment had.
    pub(crate) const HANDOVER: &'static str = "BLOBCP_HANDOVER";

    /// Variables that are secrets.
    pub(crate) const SECRETS: [&'static str; 4] =
        [Self::OF_ACCOUNTS[0], Self::OF_ACCOUNTS[1], Self::OF_ACCOUNTS[2], Self::CLIENT_SECRET];

    /// Adds variables that the environment itself does not have any more. To be called once, before anything is asked
    /// for.
    pub(crate) fn inherit(variables: impl IntoIterator<Item = (String, Secret)>) {
        let _ = INHERITED.set(variables.into_iter().collect());
    }

    /// A variable that is a secret.
    pub(crate) fn secret(name: &str) -> Option<Secret> {
        let inherited = INHERITED.get().and_then(|inherited| inherited.get(name).cloned());
        let found = inherited.or_else(|| std::env::var(name).ok().map(Secret::new));
        found.filter(|value| !value.expose().is_empty())
    }

    pub(crate) fn of_process() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let secret = Self::secret;
        Self {
            connection_string: secret("AZURE_STORAGE_CONNECTION_STRING"),
            account: variable("AZURE_STORAGE_ACCOUNT"),
            key: secret("AZURE_STORAGE_KEY"),
            sas: secret("AZURE_STORAGE_SAS_TOKEN"),
            tenant: variable("AZURE_TENANT_ID"),
            client: variable("AZURE_CLIENT_ID"),
            client_secret: secret(Self::CLIENT_SECRET),
            token_file: variable("AZURE_FEDERATED_TOKEN_FILE"),
            authority: variable("AZURE_AUTHORITY_HOST"),
            metadata_host: variable("AZURE_POD_IDENTITY_AUTHORITY_HOST"),
        }
    }
}
