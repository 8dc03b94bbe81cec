//! The variables of the environment that say something of accounts.

use crate::store::Secret;

/// What the environment says, under the names of the Azure command line and SDKs. An empty variable is one not set.
#[derive(Debug, Default)]
pub struct Environment {
    /// `AZURE_STORAGE_CONNECTION_STRING`
    pub connection_string: Option<Secret>,
    /// `AZURE_STORAGE_ACCOUNT`
    pub account: Option<String>,
    /// `AZURE_STORAGE_KEY`
    pub key: Option<Secret>,
    /// `AZURE_STORAGE_SAS_TOKEN`
    pub sas: Option<Secret>,
    /// `AZURE_TENANT_ID`
    pub tenant: Option<String>,
    /// `AZURE_CLIENT_ID`
    pub client: Option<String>,
    /// `AZURE_CLIENT_SECRET`
    pub client_secret: Option<Secret>,
    /// `AZURE_FEDERATED_TOKEN_FILE`
    pub token_file: Option<String>,
    /// `AZURE_AUTHORITY_HOST`
    pub authority: Option<String>,
    /// `AZURE_POD_IDENTITY_AUTHORITY_HOST`: the metadata service, where it is another than Azure's.
    pub metadata_host: Option<String>,
}

impl Environment {
    pub fn of_process() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let secret = |name| variable(name).map(Secret::new);
        Self {
            connection_string: secret("AZURE_STORAGE_CONNECTION_STRING"),
            account: variable("AZURE_STORAGE_ACCOUNT"),
            key: secret("AZURE_STORAGE_KEY"),
            sas: secret("AZURE_STORAGE_SAS_TOKEN"),
            tenant: variable("AZURE_TENANT_ID"),
            client: variable("AZURE_CLIENT_ID"),
            client_secret: secret("AZURE_CLIENT_SECRET"),
            token_file: variable("AZURE_FEDERATED_TOKEN_FILE"),
            authority: variable("AZURE_AUTHORITY_HOST"),
            metadata_host: variable("AZURE_POD_IDENTITY_AUTHORITY_HOST"),
        }
    }
}
