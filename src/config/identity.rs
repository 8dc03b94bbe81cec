//! The Entra ID identity that an account is asked with.
//!
//! `--auth`, `auth` in the file and, if nothing else is said, the environment choose the kind; the names of the Azure
//! SDKs or keys of the account's table fill it in, the table first.

use std::path::PathBuf;

use serde::Deserialize;

use crate::config::environment::Environment;
use crate::config::file::AccountTable;
use crate::config::{Error, Result};
use crate::store::{Authority, Identity, Secret};

/// The kind of access to an account without key and SAS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Auth {
    /// Public containers.
    Anonymous,
    ClientSecret,
    WorkloadIdentity,
    ManagedIdentity,
    Cli,
}

/// The places that may describe an identity.
struct IdentitySettings<'a> {
    account: &'a str,
    table: Option<&'a AccountTable>,
    environment: &'a Environment,
}

/// The identity of that kind; `None` for anonymous access.
pub(super) fn chosen(
    auth: Auth,
    account: &str,
    table: Option<&AccountTable>,
    environment: &Environment,
) -> Result<Option<Identity>> {
    let settings = IdentitySettings { account, table, environment };
    Ok(Some(match auth {
        Auth::Anonymous => return Ok(None),
        Auth::ClientSecret => Identity::ClientSecret {
            tenant: settings.required(auth, TENANT)?,
            client: settings.required(auth, CLIENT)?,
            secret: settings.secret().ok_or_else(|| settings.missing(auth, "AZURE_CLIENT_SECRET", "client_secret"))?,
            authority: authority(environment)?,
        },
        Auth::WorkloadIdentity => Identity::Workload {
            tenant: settings.required(auth, TENANT)?,
            client: settings.required(auth, CLIENT)?,
            token_file: PathBuf::from(settings.required(auth, TOKEN_FILE)?),
            authority: authority(environment)?,
        },
        Auth::ManagedIdentity => {
            Identity::Managed { client: settings.of(CLIENT), host: environment.metadata_host.clone() }
        }
        Auth::Cli => Identity::AzureCli { tenant: settings.of(TENANT) },
    }))
}

/// The identity that the environment describes in full, where nobody has said which to take.
pub(super) fn of_environment(environment: &Environment) -> Result<Option<Identity>> {
    let has = |value: &Option<String>| value.is_some();
    let application = has(&environment.tenant) && has(&environment.client);
    match (application, &environment.client_secret, &environment.token_file) {
        (true, Some(_), _) => chosen(Auth::ClientSecret, "", None, environment),
        (true, None, Some(_)) => chosen(Auth::WorkloadIdentity, "", None, environment),
        _ => Ok(None),
    }
}

fn authority(environment: &Environment) -> Result<Authority> {
    match &environment.authority {
        None => Ok(Authority::default()),
        Some(text) => Authority::parse(text).map_err(|what| Error::Environment("AZURE_AUTHORITY_HOST", what.into())),
    }
}

/// A value: its name in the environment, its key in a table, and where both keep it.
type Value = (&'static str, &'static str, fn(&Environment) -> &Option<String>, fn(&AccountTable) -> &Option<String>);

const TENANT: Value = ("AZURE_TENANT_ID", "tenant_id", |env| &env.tenant, |table| &table.tenant_id);
const CLIENT: Value = ("AZURE_CLIENT_ID", "client_id", |env| &env.client, |table| &table.client_id);
const TOKEN_FILE: Value =
    ("AZURE_FEDERATED_TOKEN_FILE", "federated_token_file", |env| &env.token_file, |table| &table.federated_token_file);

impl IdentitySettings<'_> {
    fn of(&self, (_, _, environment, table): Value) -> Option<String> {
        self.table.and_then(|own| table(own).clone()).or_else(|| environment(self.environment).clone())
    }

    fn required(&self, auth: Auth, value: Value) -> Result<String> {
        self.of(value).ok_or_else(|| self.missing(auth, value.0, value.1))
    }

    fn secret(&self) -> Option<Secret> {
        let table = self.table.and_then(|table| table.client_secret.clone());
        table.or_else(|| self.environment.client_secret.clone())
    }

    fn missing(&self, auth: Auth, variable: &'static str, key: &'static str) -> Error {
        let name = clap::ValueEnum::to_possible_value(&auth).map(|value| value.get_name().to_owned());
        Error::Identity { account: self.account.to_owned(), auth: name.unwrap_or_default(), variable, key }
    }
}
