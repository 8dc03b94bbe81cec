//! The configuration file.
//!
//! ```toml
//! [account.photos2026]
//! key = "…"                       # or sas, or connection_string, or auth = "cli" and other words of --auth,
//!                                 # or credential_command = "PROGRAM ARGUMENT…", which prints a key or a SAS
//! endpoint = "https://…"          # only where it is not https://NAME.blob.core.windows.net
//! hns = true                      # only where the account may not be asked whether its namespace is hierarchical
//!
//! [mount]                         # the names of the flags of `blobcp mount`
//! attr-ttl = "5s"
//!
//! [ids]                           # for --show-owners: users and groups by the service's names for them
//! "11111111-2222-3333-4444-555555555555" = 1000
//! ```
//!
//! What cannot be understood is an error at its line, unknown keys included: a misspelt key that is silently ignored
//! costs an evening. Values are not shown in errors, because they may be secrets.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use zeroize::Zeroizing;

use crate::config::mount_table::MountTable;
use crate::config::{Auth, Error, Result, Settings, places};
use crate::secrets::cut;
use crate::store::Secret;

/// The content of the file, and its path.
#[derive(Debug, Default)]
pub(crate) struct File {
    /// The path that was read, or that could have been.
    pub(crate) path: PathBuf,
    pub(crate) accounts: BTreeMap<String, AccountTable>,
    pub(crate) mount: Settings,
    /// Mounts by their names.
    pub(crate) mounts: BTreeMap<String, MountTable>,
    /// Users and groups of this machine by the names and GUIDs that the service has for them.
    pub(crate) ids: BTreeMap<String, u32>,
    /// Others than the owner may read it, and there are secrets in it.
    pub(crate) exposed: bool,
    /// Others than the user and root may write it: what it says to run is not run.
    pub(super) foreign: bool,
    /// The path that was asked for, absolute; none if its usual place was meant.
    pub(crate) given: Option<PathBuf>,
    /// The machine's file, which would have been read if this user could; what it is, for a message.
    pub(super) hidden: Option<String>,
}

/// An `[account.NAME]` table.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AccountTable {
    pub(crate) endpoint: Option<String>,
    pub(crate) key: Option<Secret>,
    pub(crate) sas: Option<Secret>,
    pub(crate) connection_string: Option<Secret>,
    /// A program that prints a key or a SAS, and its arguments.
    pub(crate) credential_command: Option<String>,
    pub(crate) auth: Option<Auth>,
    /// Tenant of an Entra ID identity; the next three are parts of it, too.
    pub(crate) tenant_id: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) client_secret: Option<Secret>,
    pub(crate) federated_token_file: Option<String>,
    /// Whether the namespace is hierarchical.
    pub(crate) hns: Option<bool>,
}

impl AccountTable {
    /// A credential stands in the table itself.
    pub(super) fn has_own(&self) -> bool {
        self.key.is_some() || self.sas.is_some() || self.connection_string.is_some()
    }

    /// Something that nobody else should read: a credential, which may also stand in the endpoint.
    fn has_secret(&self) -> bool {
        self.has_credential() || self.endpoint.as_deref().is_some_and(|endpoint| cut(endpoint).is_some())
    }

    pub(super) fn has_credential(&self) -> bool {
        self.has_own() || self.credential_command.is_some() || self.has_identity()
    }

    pub(super) fn has_identity(&self) -> bool {
        self.auth.is_some() || self.client_secret.is_some() || self.federated_token_file.is_some()
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Document {
    account: BTreeMap<String, AccountTable>,
    mount: BTreeMap<Spanned<String>, toml::Value>,
    ids: BTreeMap<String, u32>,
}

impl File {
    /// Reads `given`, which must exist then, or else the file at its usual place, which need not.
    pub(crate) fn load(given: Option<&Path>) -> Result<Self> {
        let path = given.map_or_else(places::usual, Path::to_path_buf);
        match std::fs::read_to_string(&path).map(Zeroizing::new) {
            Ok(text) => {
                let mut file = Self::parse(&path, &text)?;
                let (mode, owner) = std::fs::metadata(&path).map_or((0o777, 0), |found| (found.mode(), found.uid()));
                let trusted = [0, rustix::process::geteuid().as_raw()].contains(&owner);
                file.foreign = !trusted || mode & 0o022 != 0;
                let secret = file.accounts.values().any(AccountTable::has_secret)
                    || file.mounts.values().flat_map(|mount| &mount.sources).any(|source| cut(source).is_some());
                file.exposed = mode & 0o077 != 0 && secret;
                // A process in the background has another directory than whoever typed the path.
                file.given = given.map(|given| std::path::absolute(given).unwrap_or_else(|_| given.to_path_buf()));
                Ok(file)
            }
            Err(source) if given.is_none() && source.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self { path, ..Self::default() })
            }
            Err(source) if source.kind() == std::io::ErrorKind::PermissionDenied => {
                let hidden = whose(&path);
                // What is root's is no mistake of this user, who may need nothing of it.
                match places::own().filter(|_| given.is_none() && path == Path::new(places::OF_THE_MACHINE)) {
                    Some(own) => Ok(Self { path: own, hidden: Some(hidden), ..Self::default() }),
                    None => Err(Error::Hidden(hidden)),
                }
            }
            Err(source) => Err(Error::Unreadable { path, source }),
        }
    }

    /// What `text` says as the content of the file at `path`, which is not looked at.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self> {
        let wrong = |start: usize, what: &str| {
            let line = text.get(..start).unwrap_or(text).matches('\n').count() + 1;
            Error::File { path: path.to_path_buf(), line, what: one_line(what) }
        };
        let document: Document =
            toml::from_str(text).map_err(|error| wrong(error.span().map_or(0, |span| span.start), error.message()))?;
        let Document { account: accounts, mount, ids } = document;
        let mut file = Self { path: path.to_path_buf(), accounts, ids, ..Self::default() };
        // A key at a time, because a table among them is a mount, and a mistake is to be told with its line.
        for (key, value) in mount {
            let (start, name) = (key.span().start, key.into_inner());
            if let toml::Value::Table(table) = value {
                let table = MountTable::read(&name, table);
                let table = table.map_err(|what| wrong(start, &format!("[mount.{name}]: {what}")))?;
                file.mounts.insert(name, table);
            } else {
                let one = toml::Value::Table([(name, value)].into_iter().collect());
                let one: Settings = one.try_into().map_err(|error: toml::de::Error| wrong(start, error.message()))?;
                file.mount = one.or(file.mount);
            }
        }
        Ok(file)
    }

    /// What is to be added to a complaint that something is not in the file; empty if there is nothing.
    pub(crate) fn note(&self) -> String {
        self.hidden.as_ref().map_or_else(String::new, |hidden| format!(" ({hidden})"))
    }
}

/// Whose a file is that cannot be read, and its mode, as far as that can be seen.
fn whose(path: &Path) -> String {
    let what = match std::fs::metadata(path) {
        Ok(found) if found.uid() == 0 => format!("root's, mode {:o}", found.mode() & 0o7777),
        Ok(found) => format!("of user {}, mode {:o}", found.uid(), found.mode() & 0o7777),
        Err(_) => "in a directory that is closed to you".into(),
    };
    format!("{} cannot be read by you: it is {what}", path.display())
}

/// A message of the TOML reader without line breaks.
fn one_line(message: &str) -> String {
    message.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(": ")
}
