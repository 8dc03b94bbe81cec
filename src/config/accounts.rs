//! The sources of an account's endpoint and credentials.

use std::sync::{Arc, Mutex};

use reqwest::Url;

use crate::config::command;
use crate::config::environment::Environment;
use crate::config::file::{AccountTable, File};
use crate::config::{Auth, Error, MountSource, Result, Settings, Switch, identity};
use crate::fs::Identities;
use crate::path::{AccountName, meant};
use crate::store::{AZURE, Account, AccountConfig, Http, Identity, Options, Secret, Tokens, is_loopback};
use crate::sync::lock;

/// What is said where nothing is known of the account that a SOURCE elsewhere names.
const NO_CREDENTIAL: &str = "a SOURCE is expected in it, an account that has a credential or a URL that brings one";

/// Knowledge about accounts before a SOURCE is read.
pub(crate) struct KnownAccounts<'a> {
    environment: &'a Environment,
    file: &'a File,
    /// The account that the environment's connection string describes.
    connected: Option<Account>,
    /// Accounts of the embedded service.
    embedded: Vec<(Account, Secret)>,
    tokens: TokensInUse,
}

/// One for each identity, whatever accounts are asked with it.
pub(super) type TokensInUse = Arc<Mutex<Vec<Tokens>>>;

/// An account, and the words of the command that prints its credential, if that is where it comes from: without it,
/// the account is asked anonymously.
pub(super) struct Resolved {
    pub account: Account,
    pub command: Option<Vec<String>>,
}

impl<'a> KnownAccounts<'a> {
    pub(crate) fn new(environment: &'a Environment, file: &'a File) -> Result<Self> {
        let connected = match &environment.connection_string {
            Some(text) => Some(
                of_connection_string(text.clone())
                    .map_err(|error| Error::Environment("AZURE_STORAGE_CONNECTION_STRING", error.to_string()))?,
            ),
            None => None,
        };
        Ok(Self { environment, file, connected, embedded: Vec::new(), tokens: TokensInUse::default() })
    }

    /// With the tokens that are in use already.
    pub(super) fn with_tokens(self, tokens: TokensInUse) -> Self {
        Self { tokens, ..self }
    }

    /// The account that the environment describes or names.
    pub(crate) fn of_environment(&self) -> Option<&str> {
        let connected = self.connected.as_ref().map(|account| account.name.as_str());
        connected.or(self.environment.account.as_deref())
    }

    /// The account that is meant where none is named: the environment's, or the only one of the file.
    pub(super) fn usual(&self) -> Option<&str> {
        self.of_environment().or_else(|| match self.file.accounts.len() {
            1 => self.file.accounts.keys().next().map(String::as_str),
            _ => None,
        })
    }

    pub(super) fn is_known(&self, name: &str) -> bool {
        self.of_environment() == Some(name) || self.file.accounts.contains_key(name)
    }

    /// For a complaint that nothing is known of an account: of which something is, and where. Empty if of none.
    fn known_instead_of(&self, name: &str) -> String {
        let connected = self.connected.as_ref().map(|account| account.name.as_str());
        let named = self.environment.account.as_deref();
        let of_environment = [(connected, "AZURE_STORAGE_CONNECTION_STRING"), (named, "AZURE_STORAGE_ACCOUNT")];
        let mut said: Vec<String> = of_environment
            .into_iter()
            .filter_map(|(account, variable)| Some(format!("{variable} is for {}", account.filter(|a| *a != name)?)))
            .collect();
        if !self.file.accounts.is_empty() {
            let names: Vec<&str> = self.file.accounts.keys().map(String::as_str).collect();
            said.push(format!("{} has {}", self.file.path.display(), names.join(", ")));
        }
        let all = self.file.accounts.keys().map(String::as_str).chain(connected).chain(named);
        if let Some(meant) = meant(name, all.filter(|known| *known != name)) {
            said.push(format!("did you mean {meant}?"));
        }
        if said.is_empty() { String::new() } else { format!(" ({})", said.join("; ")) }
    }

    /// Users and groups of this machine by the service's names for them.
    pub(super) fn identities(&self) -> Identities {
        self.file.ids.clone().into_iter().collect()
    }

    /// Adds an account of the embedded service, by its connection string. It wins over everything else of that name.
    pub(crate) fn add_embedded(&mut self, connection_string: &str) -> Result<()> {
        let text = Secret::new(connection_string);
        let account = of_connection_string(text.clone()).map_err(Error::Account)?;
        self.embedded.push((account, text));
        Ok(())
    }

    /// The account with an endpoint said somewhere that `url` is below, and that endpoint.
    pub(super) fn account_at(&self, url: &str) -> Option<(AccountName, String)> {
        let below = |endpoint: &str| url.strip_prefix(endpoint).is_some_and(|r| r.is_empty() || r.starts_with('/'));
        let resolved = self.embedded.iter().map(|(account, _)| account).chain(&self.connected);
        let mut resolved = resolved.map(|account| (account.name.clone(), account.endpoint.to_string()));
        if let Some(found) = resolved.find(|(_, endpoint)| below(endpoint)) {
            return Some(found);
        }
        let tables = self.file.accounts.iter().filter_map(|(name, table)| {
            let endpoint = table.endpoint.as_deref()?.split('?').next()?.trim_end_matches('/');
            Some((AccountName::parse(name).ok()?, endpoint.to_owned()))
        });
        tables.into_iter().find(|(_, endpoint)| below(endpoint))
    }

    /// An account of the embedded service, which ends with the mount.
    pub(super) fn is_embedded(&self, name: &AccountName) -> bool {
        self.embedded.iter().any(|(known, _)| known.name == *name)
    }

    pub(super) fn environment(&self) -> &Environment {
        self.environment
    }

    pub(super) fn file(&self) -> &File {
        self.file
    }

    pub(super) fn tokens(&self) -> TokensInUse {
        self.tokens.clone()
    }

    /// The account of a source. `alone`: all sources of the mount are of this account, so that a key without an
    /// account's name can only be meant for it.
    pub(super) fn resolve(&self, source: &MountSource, settings: &Settings, alone: bool) -> Result<Resolved> {
        let name = &source.account;
        let table = self.file.accounts.get(name.as_str());
        let mut config = AccountConfig {
            name: Some(name.clone()),
            endpoint: source.endpoint.clone(),
            sas: source.sas.clone(),
            api_version: settings.api_version.clone(),
            hierarchical: table.and_then(|table| table.hns),
            ..AccountConfig::default()
        };
        let embedded = self.embedded.iter().find(|(account, _)| account.name == *name);
        if let (None, Some((_, text))) = (&config.sas, embedded) {
            config.connection_string = Some(text.clone());
            let account = config.resolve().map_err(Error::Account)?;
            return Ok(Resolved { account, command: None });
        }
        let mut command = None;
        let asked = settings.auth.filter(|_| !table.is_some_and(AccountTable::has_credential));
        if config.sas.is_some() {
            // The SOURCE brings its own.
        } else if let Some(auth) = asked {
            self.prove(&mut config, name, auth, table)?;
        } else if self.take_environment(&mut config, table, alone) {
            if config.sas.is_some() {
                self.refuse_strangers(source)?;
            }
        } else {
            match table {
                Some(table) if table.has_credential() => {
                    config.key.clone_from(&table.key);
                    config.sas.clone_from(&table.sas);
                    config.connection_string.clone_from(&table.connection_string);
                    let given = table.has_own();
                    let auth = table.auth.or(table.client_secret.as_ref().map(|_| Auth::ClientSecret));
                    match auth.or(table.federated_token_file.as_ref().map(|_| Auth::WorkloadIdentity)) {
                        _ if table.credential_command.is_some() => {
                            command = self.command_of(source, table)?;
                            config.anonymous = true;
                        }
                        // Both: refused below.
                        Some(Auth::Anonymous) => config.anonymous = true,
                        Some(auth) if !given => self.prove(&mut config, name, auth, Some(table))?,
                        _ => {}
                    }
                }
                // The endpoint itself may carry a SAS.
                Some(AccountTable { endpoint: Some(endpoint), .. }) if endpoint.contains('?') => {}
                _ if settings.anonymous.is_some_and(Switch::is_on) => config.anonymous = true,
                _ => match identity::of_environment(self.environment)? {
                    Some(identity) => config.tokens = Some(self.tokens_of(identity)),
                    None => {
                        let (file, note) = (self.file.path.clone(), self.file.note());
                        let known = self.known_instead_of(name.as_str());
                        // What passes for a name may be a token.
                        let hidden = source.word.as_ref().map(|word| Error::Url(word.clone(), NO_CREDENTIAL));
                        let shown = || Error::NoCredential { account: name.to_string(), known, file, note };
                        return Err(hidden.unwrap_or_else(shown));
                    }
                },
            }
        }
        if config.tokens.is_some() {
            self.refuse_strangers(source)?;
        }
        // The environment's connection string says the endpoint, too, and comes before the file.
        if !self.is_connected(name) {
            config.endpoint = config.endpoint.or_else(|| table?.endpoint.clone());
        }
        let account = config.resolve().map_err(Error::Account)?;
        if !account.endpoint.is_confidential() && !settings.allow_http.is_some_and(Switch::is_on) {
            return Err(Error::PlainHttp(account.endpoint.to_string()));
        }
        Ok(Resolved { account, command })
    }

    /// The words of the command that prints the credential, which is the only one then.
    fn command_of(&self, source: &MountSource, table: &AccountTable) -> Result<Option<Vec<String>>> {
        let Some(text) = &table.credential_command else { return Ok(None) };
        self.refuse_strangers(source)?;
        let wrong = |what: &str| Error::Command(source.account.to_string(), what.to_owned());
        if table.has_own() || table.has_identity() {
            return Err(wrong("it and another credential exclude each other"));
        }
        if self.file.foreign {
            return Err(wrong("it is not run, because others may write the file (chmod go-w)"));
        }
        command::words(text).map(Some).map_err(wrong)
    }

    fn prove(
        &self,
        config: &mut AccountConfig,
        name: &AccountName,
        auth: Auth,
        table: Option<&AccountTable>,
    ) -> Result<()> {
        match identity::chosen(auth, name.as_str(), table, self.environment)? {
            Some(identity) => config.tokens = Some(self.tokens_of(identity)),
            None => config.anonymous = true,
        }
        Ok(())
    }

    /// One place for all accounts that are asked with an identity.
    fn tokens_of(&self, identity: Identity) -> Tokens {
        let mut tokens = lock(&self.tokens);
        if let Some(known) = tokens.iter().find(|known| *known.identity() == identity) {
            return known.clone();
        }
        let new = Tokens::new(identity, Http::new(Options::default()));
        tokens.push(new.clone());
        new
    }

    /// A host that only the SOURCE itself names is given what is good for more than that host only if it is Azure's, or
    /// this machine.
    fn refuse_strangers(&self, source: &MountSource) -> Result<()> {
        let Some(endpoint) = &source.endpoint else { return Ok(()) };
        let host = Url::parse(endpoint).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        let of_azure = AZURE.iter().any(|suffix| host.ends_with(suffix));
        if of_azure || is_loopback(&host) || self.account_at(endpoint).is_some() {
            return Ok(());
        }
        Err(Error::Stranger(endpoint.clone()))
    }

    /// The environment's connection string is for this account.
    fn is_connected(&self, name: &AccountName) -> bool {
        self.connected.as_ref().is_some_and(|account| account.name == *name)
    }

    /// Takes the environment's credentials if they are for this account.
    fn take_environment(&self, config: &mut AccountConfig, table: Option<&AccountTable>, alone: bool) -> bool {
        let environment = self.environment;
        let connected = config.name.as_ref().is_some_and(|name| self.is_connected(name));
        let named = environment.account.is_some()
            && environment.account.as_deref() == config.name.as_ref().map(AccountName::as_str);
        let meant = environment.account.is_none()
            && self.connected.is_none()
            && alone
            && !table.is_some_and(AccountTable::has_credential);
        if connected {
            config.connection_string.clone_from(&environment.connection_string);
        }
        if named || meant {
            config.key.clone_from(&environment.key);
            config.sas.clone_from(&environment.sas);
        }
        connected || config.key.is_some() || config.sas.is_some()
    }
}

fn of_connection_string(text: Secret) -> crate::error::Result<Account> {
    AccountConfig { connection_string: Some(text), ..AccountConfig::default() }.resolve()
}
