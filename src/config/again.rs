//! The configuration, read again while a mount lives on: for the credential that it has for an account by then.
//!
//! All that was said when the mount was made is said again, in the same order of precedence, and only files may say
//! something else by now: that of the configuration, and one that has a SOURCE with a SAS (`@FILE`). Nothing but the credential is taken from it. An account whose endpoint is another now is not
//! asked there with a credential that may be meant for the other: that takes a new mount.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::config::accounts::{KnownAccounts, Resolved, TokensInUse};
use crate::config::environment::Environment;
use crate::config::file::File;
use crate::config::{MountSource, Result, Settings, SourceText, command};
use crate::store::{Account, Credential, CredentialSource, Found, ReadCredential};

/// Longest wait for the file. It may be where nobody answers, and even on the mount that waits for it.
const BOUND: Duration = Duration::from_secs(5);

/// The account of a source, which gets its credential from the configuration again when it needs another. `alone`: all
/// sources of the mount are of this account.
pub(crate) fn living(
    source: &MountSource,
    settings: &Settings,
    alone: bool,
    known: &KnownAccounts<'_>,
) -> Result<Account> {
    let Resolved { account, command } = known.resolve(source, settings, alone)?;
    // What the SOURCE itself says will not change, unless it stands in a file.
    if known.is_embedded(&account.name) || source.sas.is_some() && source.file.is_none() {
        return Ok(account);
    }
    let place = Configuration {
        environment: known.environment().clone(),
        file: known.file().given.clone(),
        settings: settings.clone(),
        source: if source.file.is_some() { source.without_sas() } else { source.clone() },
        alone,
        endpoint: account.endpoint.to_string(),
        tokens: known.tokens(),
    };
    let place = Place(Arc::new(place));
    let Account { name, credential, .. } = account;
    let known = command.is_none().then_some(credential);
    let source = CredentialSource::new(name.clone(), known, place);
    // The source has the only one: what is replaced there is to be nowhere else.
    Ok(Account { name, credential: Credential::Anonymous, source: Some(source), ..account })
}

/// The place that an account's credential was read from.
struct Place(Arc<Configuration>);

/// All that the credential follows from.
struct Configuration {
    environment: Environment,
    /// The file that was named; the one at its usual place when `None`.
    file: Option<PathBuf>,
    settings: Settings,
    source: MountSource,
    alone: bool,
    /// Endpoint of the account that the mount sends to.
    endpoint: String,
    tokens: TokensInUse,
}

/// What the configuration says of a credential: itself, or the words of a command that prints it.
enum Said {
    Credential(Credential),
    Command(Vec<String>),
}

impl Configuration {
    fn said(&self) -> std::result::Result<Said, String> {
        let file = File::load(self.file.as_deref()).map_err(|error| error.to_string())?;
        let known = KnownAccounts::new(&self.environment, &file).map_err(|error| error.to_string())?;
        let known = known.with_tokens(self.tokens.clone());
        let name = &self.source.account;
        let again = self.source.file.as_deref().map(|path| source_of(path, &known)).transpose()?;
        let source = again.as_ref().unwrap_or(&self.source);
        if source.account != *name {
            return Err(format!("account {name}: its file names {} by now, which takes a new mount", source.account));
        }
        let found = known.resolve(source, &self.settings, self.alone).map_err(|error| error.to_string())?;
        let endpoint = found.account.endpoint.to_string();
        if endpoint != self.endpoint {
            return Err(format!("account {name}: its endpoint is {endpoint} by now, which takes a new mount"));
        }
        Ok(match found.command {
            Some(command) => Said::Command(command),
            None => Said::Credential(found.account.credential),
        })
    }
}

/// The SOURCE that stands in a file.
fn source_of(path: &Path, known: &KnownAccounts<'_>) -> std::result::Result<MountSource, String> {
    let said = SourceText::of_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
    MountSource::of(&said, known).map_err(|error| error.to_string())
}

impl ReadCredential for Place {
    fn read(&self) -> BoxFuture<'_, Found> {
        async move {
            let configuration = self.0.clone();
            let said = match timeout(BOUND, spawn_blocking(move || configuration.said())).await {
                Ok(said) => said.unwrap_or_else(|error| Err(error.to_string())),
                Err(_) => Err(format!("the configuration could not be read within {} s", BOUND.as_secs())),
            };
            match said {
                Ok(Said::Credential(credential)) => Found { credential: Ok(credential), made: false },
                Ok(Said::Command(words)) => Found { credential: command::ask(&words).await, made: true },
                Err(what) => Found { credential: Err(what), made: false },
            }
        }
        .boxed()
    }
}
