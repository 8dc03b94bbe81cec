//! From what a user says in several places to one validated mount.
//!
//! Settings are said on the command line, in the environment and in a file, in this order of precedence. All of them
//! have one set of names, [`Settings`]: a flag `--attr-ttl`, an option `-o attr_ttl=` of mount(8) and a key `attr-ttl`
//! in the file's `[mount]` table are the same field. [`Settings::or`] lays one layer over the next.
//!
//! Accounts are found apart from that. A [`MountSource`] names one; `accounts` asks the URL itself, then the environment's
//! names of the Azure command line and SDKs, then the file's `[account.NAME]` tables for its endpoint and credentials.
//! Credentials are taken as a whole from the first place that has any, so that a key from here is never sent with a SAS
//! from there.
//!
//! [`plan`] puts both together into a [`Plan`]: an [`fs::Config`], the name that the mount shows, and what to ask the
//! service before mounting. Nothing here sends a request or starts a thread. Every error is one line that says where
//! the mistake is.

mod accounts;
mod again;
mod command;
mod environment;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod identity;
mod mount_table;
mod owner;
pub(crate) mod places;
mod setting;
mod source;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{getgid, getuid};
use serde::Deserialize;

pub(crate) use accounts::KnownAccounts;
pub(crate) use again::living;
pub(crate) use environment::Environment;
pub(crate) use file::File;
pub(crate) use identity::Auth;
pub(crate) use mount_table::split as split_sources;
pub(crate) use setting::{Mode, Switch, duration};
pub(crate) use source::{MountSource, SourceText};

use crate::fs;
use crate::fs::attr::{Defaults, Permissions};
use crate::fs::lease::LeaseSource;
use crate::fs::method::CopyMethod;
use crate::fs::tree::{AccountId, BlobDir, Place};
use crate::path::{ContainerName, NameError};
use crate::store::{Account, Client, Http, Options};

/// Close to what a local program expects, and yet one HEAD answers a burst of `stat`.
const DEFAULT_ATTR_TTL: Duration = Duration::from_secs(1);
const DEFAULT_MEMORY_LIMIT: u64 = 512 << 20;

/// A mistake in what the user said.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{}: {}", path.display(), system_words(source))]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{0}; --config names another, and what is not named is read from ~/.config/blobcp/config.toml first")]
    Hidden(String),
    #[error("{}:{line}: {what}", path.display())]
    File { path: PathBuf, line: usize, what: String },
    #[error("{0}: {1}")]
    Environment(&'static str, String),
    #[error("{0}: {1}")]
    Source(String, NameError),
    #[error("{0}: {1}")]
    Url(String, &'static str),
    #[error("{0}: a directory in a container can only be mounted alone, not beside another SOURCE")]
    PrefixAmongMany(String),
    #[error("{0} is named twice")]
    Twice(String),
    #[error("account {0} is named with two endpoints, {1} and {2}")]
    TwoEndpoints(String, String, String),
    #[error(
        "account {account}: no credential{known}: set AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY, or write [account.{account}] in {}, or say --auth{note}",
        file.display()
    )]
    NoCredential { account: String, known: String, file: PathBuf, note: String },
    #[error("account {account}: {auth} needs {variable}, or {key} in its table of the configuration file")]
    Identity { account: String, auth: String, variable: &'static str, key: &'static str },
    #[error(
        "{0}: a credential from the environment or of an identity is not sent to a host that is not Azure's; write its endpoint in the configuration file to allow that"
    )]
    Stranger(String),
    #[error("{0}: http:// is for servers on this machine; use https://, or say --allow-http")]
    PlainHttp(String),
    #[error("account {0}: credential_command: {1}")]
    Command(String, String),
    #[error("{0}")]
    Account(crate::error::Error),
    #[error("no SOURCE is given: ACCOUNT, ACCOUNT/CONTAINER or a URL; or --dev")]
    NoSource,
}

/// The system's words for an error, without Rust's "(os error 2)".
fn system_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Settings of a mount, on the command line, in `-o` options and in the file.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Refuse all changes.
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes")]
    pub(crate) read_only: Option<Switch>,
    /// Let other users in, as the modes allow.
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes")]
    pub(crate) allow_other: Option<Switch>,
    /// How long what was heard of a blob is believed [default: 1s].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    #[serde(deserialize_with = "setting::duration_field")]
    pub(crate) attr_ttl: Option<Duration>,
    /// Do cp and friends wait for the end of a copy [default: yes].
    #[arg(long, value_name = "yes|no")]
    pub(crate) copy_wait: Option<Switch>,
    /// How copies between accounts go: by Copy Blob, in blocks, or the way that is faster [default: auto].
    #[arg(long, value_name = "auto|blob|blocks", hide_possible_values = true)]
    #[serde(deserialize_with = "setting::copy_method_field")]
    pub(crate) copy_method: Option<CopyMethod>,
    /// Lease the source of a copy, so that nobody changes it meanwhile [default: pending].
    #[arg(long, value_name = "never|pending|always", hide_possible_values = true)]
    #[serde(deserialize_with = "setting::lease_source_field")]
    pub(crate) lease_source: Option<LeaseSource>,
    /// Bring back what a copy replaced if it fails or is aborted; costs two requests.
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes")]
    pub(crate) keep_on_abort: Option<Switch>,
    /// What chmod and chown do [default: keep].
    #[arg(long, value_name = "keep|fixed|ignore", hide_possible_values = true)]
    #[serde(deserialize_with = "setting::permissions_field")]
    pub(crate) permissions: Option<Permissions>,
    /// Show owners and modes as the service has them, where its namespace is hierarchical; they bind nobody here.
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes")]
    pub(crate) show_owners: Option<Switch>,
    /// The same as --permissions ignore.
    #[arg(long, conflicts_with = "permissions", hide = true)]
    pub(crate) ignore_permissions: bool,
    /// Let rm and mv take a blob's snapshots along.
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes")]
    pub(crate) delete_snapshots: Option<Switch>,
    /// Ask for checksums of what is read, and hand nothing on that they belie [default: yes].
    #[arg(long, value_name = "yes|no")]
    pub(crate) check_reads: Option<Switch>,
    /// Store the MD5 of files that are written in one pass, which 'blobcp verify' compares them with.
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes")]
    pub(crate) content_md5: Option<Switch>,
    /// Have the service copy what a program reads and writes again, as rsync, tar and dd do, instead of sending it
    /// [default: on].
    #[arg(long, value_name = "on|off")]
    pub(crate) recognise_copies: Option<Switch>,
    /// How long a request may take, with all its repetitions; content half of it without any movement [default: 60s].
    #[arg(long, value_name = "TIME", value_parser = setting::timeout)]
    #[serde(deserialize_with = "setting::timeout_field")]
    pub(crate) timeout: Option<Duration>,
    /// Most memory that content may take the process to [default: 512MiB].
    #[arg(long, value_name = "SIZE", value_parser = setting::memory)]
    #[serde(deserialize_with = "setting::memory_field")]
    pub(crate) memory_limit: Option<u64>,
    /// Owner of files that name none, by number or name [default: yours].
    #[arg(long, value_name = "USER", value_parser = owner::user)]
    #[serde(deserialize_with = "owner::user_field")]
    pub(crate) uid: Option<u32>,
    /// Group of files that name none, by number or name [default: yours].
    #[arg(long, value_name = "GROUP", value_parser = owner::group)]
    #[serde(deserialize_with = "owner::group_field")]
    pub(crate) gid: Option<u32>,
    /// Mode of files that have none of their own [default: 644].
    #[arg(long, value_name = "MODE")]
    pub(crate) file_mode: Option<Mode>,
    /// Mode of directories that have none of their own [default: 755].
    #[arg(long, value_name = "MODE")]
    pub(crate) dir_mode: Option<Mode>,
    /// x-ms-version of all requests.
    #[arg(long, value_name = "DATE")]
    pub(crate) api_version: Option<String>,
    /// How to ask where the file has no credential of the account: client-secret, workload-identity, managed-identity
    /// or cli (Entra ID), or anonymous.
    #[arg(long, value_name = "KIND", hide_possible_values = true)]
    pub(crate) auth: Option<Auth>,
    /// Ask without credentials where none are known: public containers.
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes")]
    pub(crate) anonymous: Option<Switch>,
    /// Talk plain http to endpoints that are not on this machine, where everybody on the way can read and change it.
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes")]
    pub(crate) allow_http: Option<Switch>,
    /// How long a service that cannot be reached is asked again before a mount is given up [default: 60s in a line
    /// of fstab with _netdev, else 0s].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    #[serde(deserialize_with = "setting::duration_field")]
    pub(crate) network_wait: Option<Duration>,
    /// Write the log there.
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
    /// error, warn, info, debug or trace [default: warn].
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log: Option<String>,
}

impl Settings {
    /// These, and where they say nothing, `below`.
    #[must_use]
    pub(crate) fn or(self, below: Self) -> Self {
        /// Names every field but those of the permissions, which the compiler sees to.
        macro_rules! laid_over {
            ($($field:ident)*) => {
                Self {
                    // One spelling from here on, so that a flag of either beats a line in the file of the other.
                    permissions: self.chosen_permissions().or(below.chosen_permissions()),
                    ignore_permissions: false,
                    $($field: self.$field.or(below.$field),)*
                }
            };
        }
        laid_over! {
            read_only allow_other attr_ttl copy_wait copy_method lease_source keep_on_abort delete_snapshots memory_limit
            check_reads content_md5 recognise_copies timeout
            show_owners uid gid file_mode dir_mode api_version auth anonymous allow_http network_wait log_file log
        }
    }

    fn chosen_permissions(&self) -> Option<Permissions> {
        self.permissions.or(self.ignore_permissions.then_some(Permissions::Ignore))
    }
}

/// A question to the service before mounting: can this be listed?
pub(crate) struct Probe {
    /// The SOURCE as the user gave it, without its query.
    pub(crate) label: String,
    pub(crate) account: Account,
    pub(crate) container: Option<ContainerName>,
    /// Empty, or ends with `/`.
    pub(crate) prefix: String,
}

/// A validated mount.
pub(crate) struct Plan {
    pub(crate) fs: fs::Config,
    pub(crate) probes: Vec<Probe>,
    /// The accounts, for what becomes of their credentials.
    pub(crate) accounts: Vec<Account>,
    /// No credential allows to change anything.
    pub(crate) read_only: bool,
    /// The device as `mount` and `df` show it: the sources as fstab has them, so that `mount -a` knows it again.
    pub(crate) name: String,
}

/// The mount of `sources` under `settings`, in which flags, options and the file are already merged.
pub(crate) fn plan(sources: &[SourceText], settings: &Settings, known: &KnownAccounts<'_>) -> Result<Plan> {
    let sources: Vec<MountSource> = sources.iter().map(|said| MountSource::of(said, known)).collect::<Result<_>>()?;
    let place = |source: &MountSource| (source.account.clone(), source.container.clone(), source.prefix.clone());
    let named_before =
        |(at, source): &(usize, &MountSource)| sources[..*at].iter().any(|one| place(one) == place(source));
    if let Some((_, twice)) = sources.iter().enumerate().find(named_before) {
        return Err(Error::Twice(twice.label.clone()));
    }
    let alone = sources.len() == 1;
    if !alone && let Some(source) = sources.iter().find(|source| !source.prefix.is_empty()) {
        return Err(Error::PrefixAmongMany(source.label.clone()));
    }
    let mut found: Vec<FoundAccount> = Vec::new();
    let mut places = Vec::new();
    for source in &sources {
        let index = match found.iter().position(|account| account.account.name == source.account) {
            Some(index) => {
                let first = &found[index].account.endpoint;
                if let Some(endpoint) = &source.endpoint
                    && *endpoint != first.to_string()
                {
                    let name = source.account.to_string();
                    return Err(Error::TwoEndpoints(name, first.to_string(), endpoint.clone()));
                }
                index
            }
            None => {
                let one_account = sources.iter().all(|other| other.account == source.account);
                let account = living(source, settings, one_account, known)?;
                found.push(FoundAccount { account, only: Some(Vec::new()) });
                found.len() - 1
            }
        };
        found[index].show(source.container.as_ref());
        places.push(index);
    }
    let root = root_of(&sources)?;
    let probes = sources.iter().zip(places).map(|(source, index)| Probe {
        label: source.label.clone(),
        account: found[index].account.clone(),
        container: source.container.clone(),
        prefix: source.prefix.clone(),
    });
    let probes = probes.collect();
    let name = sources.iter().map(|source| source.label.as_str()).collect::<Vec<_>>().join(",");
    let http = http(settings);
    let named = found.iter().map(|found| found.account.clone()).collect();
    let accounts = found
        .into_iter()
        .map(|found| fs::Account { client: Client::new(found.account, http.clone()), only: found.only });
    let shows_owners = settings.show_owners.is_some_and(Switch::is_on);
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    let fs = fs::Config {
        accounts: accounts.collect(),
        root,
        attr_ttl: settings.attr_ttl.unwrap_or(DEFAULT_ATTR_TTL),
        // A mode that is kept in metadata would not be the one that is shown.
        permissions: match settings.chosen_permissions().unwrap_or_default() {
            Permissions::Keep if shows_owners => Permissions::Fixed,
            chosen => chosen,
        },
        defaults: Defaults {
            file_mode: settings.file_mode.map_or(0o644, |mode| mode.0),
            dir_mode: settings.dir_mode.map_or(0o755, |mode| mode.0),
            uid: settings.uid.unwrap_or(uid),
            gid: settings.gid.unwrap_or(gid),
            shown: shows_owners.then(|| Arc::new(known.identities())),
        },
        copy_wait: settings.copy_wait.is_none_or(Switch::is_on),
        copy_method: settings.copy_method.unwrap_or_default(),
        lease_source: settings.lease_source.unwrap_or_default(),
        keep_on_abort: settings.keep_on_abort.is_some_and(Switch::is_on),
        delete_snapshots: settings.delete_snapshots.is_some_and(Switch::is_on),
        content_md5: settings.content_md5.is_some_and(Switch::is_on),
        store_within: fs::STORE_WITHIN,
        recognise_copies: settings.recognise_copies.is_none_or(Switch::is_on),
        memory_limit: settings.memory_limit.unwrap_or(DEFAULT_MEMORY_LIMIT),
    };
    Ok(Plan { fs, probes, accounts: named, read_only: false, name })
}

/// The connections of a mount.
fn http(settings: &Settings) -> Http {
    let usual = Options::default();
    let check_reads = settings.check_reads.is_none_or(Switch::is_on);
    Http::new(Options { check_reads, timeout: settings.timeout.unwrap_or(usual.timeout), ..usual })
}

/// What the top of a mount of them is.
fn root_of(sources: &[MountSource]) -> Result<Place> {
    Ok(match sources {
        [] => return Err(Error::NoSource),
        [MountSource { container: None, .. }] => Place::Account(AccountId(0)),
        [MountSource { container: Some(container), prefix, .. }] => {
            Place::Directory(BlobDir { account: AccountId(0), container: container.clone(), prefix: prefix.clone() })
        }
        _ => Place::Accounts,
    })
}

/// The one account that `source` names, and what it names in it. `alone` as for a mount: no other account is named, so
/// that a key without an account's name can only be meant for this one.
pub(crate) fn account(
    source: &SourceText,
    alone: bool,
    settings: &Settings,
    known: &KnownAccounts<'_>,
) -> Result<(MountSource, Account)> {
    let source = MountSource::of(source, known)?;
    let account = living(&source, settings, alone, known)?;
    Ok((source, account))
}

/// An account that sources name, and which of its containers they name.
struct FoundAccount {
    account: Account,
    /// All when `None`.
    only: Option<Vec<ContainerName>>,
}

impl FoundAccount {
    fn show(&mut self, container: Option<&ContainerName>) {
        match (container, &mut self.only) {
            (None, only) => *only = None,
            (Some(container), Some(only)) if !only.contains(container) => only.push(container.clone()),
            (Some(_), _) => {}
        }
    }
}
