//! The SOURCE of a mount: `ACCOUNT[/CONTAINER[/PREFIX]]`, or a URL of the same.

use std::path::{Path, PathBuf};
use std::{fs, io};

use percent_encoding::percent_decode_str;
use reqwest::Url;
use zeroize::Zeroizing;

use crate::config::accounts::KnownAccounts;
use crate::config::{Error, Result};
use crate::path::{AccountName, BlobName, ContainerName, NameError};
use crate::secrets::{self, without_user};
use crate::store::{AZURE, Secret};

/// A SOURCE as it was said. It may hold a SAS.
#[derive(Debug, Clone)]
pub(crate) struct SourceText {
    pub(crate) text: Secret,
    /// The word by which it was said, if that does not show it.
    word: Option<String>,
    /// The file that it was read from, and can be read from again.
    file: Option<PathBuf>,
}

impl From<&str> for SourceText {
    fn from(text: &str) -> Self {
        Self { text: Secret::new(text), word: None, file: None }
    }
}

impl SourceText {
    /// What was read for `word`.
    pub(crate) fn hidden(word: &str, text: &str) -> Self {
        Self { word: Some(word.to_owned()), ..text.into() }
    }

    /// Without what may be secret. What does not stand in the words is not to be seen at all before it is known to be a
    /// SOURCE: it may be anything.
    pub(crate) fn shown(&self) -> String {
        let text = self.text.expose();
        let place = || text.split(['?', '#']).next().unwrap_or_default().to_owned();
        self.word.clone().unwrap_or_else(|| secrets::cut(text).unwrap_or_else(place))
    }

    /// The first line of a file. A pipe has it once.
    pub(crate) fn of_file(path: &Path) -> io::Result<Self> {
        let again = fs::metadata(path)?.is_file();
        let text = Zeroizing::new(fs::read_to_string(path)?);
        let line = Secret::new(text.lines().next().unwrap_or_default().trim());
        // A process in the background has another directory than whoever typed the path.
        let file = again.then(|| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()));
        Ok(Self { text: line, word: Some(format!("@{}", path.display())), file })
    }
}

/// One SOURCE of a mount.
#[derive(Debug, Clone)]
pub(crate) struct MountSource {
    /// The text that the user gave, without the query of a URL.
    pub(crate) label: String,
    pub(crate) account: AccountName,
    /// Base URL of the account, when the source is a URL.
    pub(crate) endpoint: Option<String>,
    /// The query of a URL.
    pub(crate) sas: Option<Secret>,
    /// The word that was typed in its place.
    pub(super) word: Option<String>,
    /// The file that has the query, and may have another one later.
    pub(super) file: Option<PathBuf>,
    pub(crate) container: Option<ContainerName>,
    /// Empty, or ends with `/`.
    pub(crate) prefix: String,
}

impl MountSource {
    pub(super) fn of(said: &SourceText, known: &KnownAccounts<'_>) -> Result<Self> {
        let parsed = Self::parse(said.text.expose(), known);
        let source = parsed.map_err(|error| match &said.word {
            Some(word) => hidden(word, &error),
            None => error,
        })?;
        let file = said.file.clone().filter(|_| source.sas.is_some());
        Ok(Self { file, word: said.word.clone(), ..source })
    }

    /// The same without what it proves, as long as nobody has read that again.
    pub(super) fn without_sas(&self) -> Self {
        Self { sas: None, ..self.clone() }
    }

    pub(super) fn parse(text: &str, known: &KnownAccounts<'_>) -> Result<Self> {
        if secrets::is_url(text) {
            let (scheme, rest) = text.split_once("://").unwrap_or_default();
            return Self::of_url(&format!("{}://{rest}", scheme.to_ascii_lowercase()), known);
        }
        if let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| OTHER_SCHEMES.contains(scheme)) {
            return Self::parse(&in_our_words(scheme, rest, known)?, known);
        }
        let host = text.split(['/', '?']).next().unwrap_or_default();
        if AZURE.iter().any(|suffix| host.ends_with(suffix)) {
            return Self::of_url(&format!("https://{text}"), known);
        }
        if let Some((scheme, _)) = text.split_once("://") {
            let place = text.split('?').next().unwrap_or(scheme);
            let shown = without_user(place).unwrap_or_else(|| place.to_owned());
            return Err(Error::Url(
                shown,
                "a SOURCE is an account, ACCOUNT/CONTAINER, or a URL that begins with https://",
            ));
        }
        // What is wrong with it must not be shown.
        if let Some(shown) = secrets::cut(text) {
            return Err(Error::Url(shown, "a SOURCE is an account or a URL, which begins with https://"));
        }
        let (account, rest) = text.split_once('/').unwrap_or((text, ""));
        if account.contains('.') {
            return Err(Error::Url(text.to_owned(), "a host is named by a URL, which begins with https://"));
        }
        let account = AccountName::parse(account).map_err(|e| Error::Source(text.to_owned(), e))?;
        let (container, prefix) = inside(text, rest)?;
        let label = text.trim_end_matches('/').to_owned();
        Ok(Self { label, account, endpoint: None, sas: None, word: None, file: None, container, prefix })
    }

    fn of_url(text: &str, known: &KnownAccounts<'_>) -> Result<Self> {
        let label = text.split(['?', '#']).next().unwrap_or(text).trim_end_matches('/').to_owned();
        let wrong = |what| Error::Url(without_user(&label).unwrap_or_else(|| label.clone()), what);
        let url = Url::parse(text).map_err(|_| wrong("not a URL"))?;
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(wrong("must not hold a user, a password or a fragment"));
        }
        // What a URL library makes of these is not what was typed.
        if label.contains('\\') || label.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(wrong("must not hold a backslash or a segment of dots"));
        }
        let sas = url.query().filter(|query| !query.is_empty()).map(Secret::new);
        // An account whose endpoint is said somewhere settles what its URL alone leaves open, such as a domain of its
        // own.
        let (account, endpoint, rest) = match known.account_at(&label) {
            Some((account, endpoint)) => {
                let rest = label[endpoint.len()..].to_owned();
                (account, endpoint, rest)
            }
            None => {
                let (account, endpoint, rest) = split(&url).ok_or_else(|| wrong("names no account"))?;
                let account = AccountName::parse(&account).map_err(|e| Error::Source(label.clone(), e))?;
                (account, endpoint, rest)
            }
        };
        let rest = percent_decode_str(rest.trim_start_matches('/')).decode_utf8().map_err(|_| wrong("not UTF-8"))?;
        let (container, prefix) = inside(&label, &rest)?;
        Ok(Self { label, account, endpoint: Some(endpoint), sas, word: None, file: None, container, prefix })
    }
}

/// What is wrong with a SOURCE that is said by `word`, without anything of what is in it.
pub(super) fn hidden(word: &str, error: &Error) -> Error {
    let what = match error {
        Error::Url(_, what) => what,
        Error::Source(_, NameError::Container(_)) => {
            "the name of the container in it must be 3 to 63 characters from a-z, 0-9 and single dashes, starting and ending with a letter or digit"
        }
        Error::Source(_, NameError::TooLong | NameError::Folded(_) | NameError::Unrepresentable(_)) => {
            "the service has no directory of the name in it"
        }
        _ => "a SOURCE is expected in it, an account or a URL, not a key or a token alone",
    };
    Error::Url(word.to_owned(), what)
}

/// Schemes by which programs of others name what is in an account.
const OTHER_SCHEMES: [&str; 7] = ["az", "azure", "abfs", "abfss", "wasb", "wasbs", "adl"];

/// A SOURCE in the spelling of others, in ours: `az://CONTAINER/PATH`, in an account that is said elsewhere,
/// `az://ACCOUNT/CONTAINER/PATH`, `az://HOST/CONTAINER/PATH` and `abfss://CONTAINER@HOST/PATH`.
fn in_our_words(scheme: &str, rest: &str, known: &KnownAccounts<'_>) -> Result<String> {
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (container, host) = place.split_once('@').map_or((None, place), |(container, host)| (Some(container), host));
    if host.contains('.') {
        let host = host.replacen(".dfs.", ".blob.", 1);
        let container = container.map_or_else(String::new, |container| format!("{container}/"));
        return Ok(format!("https://{host}/{container}{path}"));
    }
    let text = rest.split('?').next().unwrap_or_default();
    if container.is_some() || text.len() < rest.len() {
        return Err(Error::Url(format!("{scheme}://{text}"), "must name a host, or a container and a path alone"));
    }
    if known.is_known(host) {
        return Ok(text.to_owned());
    }
    let account = known.usual().ok_or_else(|| {
        let what = "names no account: write ACCOUNT/CONTAINER, or set AZURE_STORAGE_ACCOUNT";
        Error::Url(format!("{scheme}://{text}"), what)
    })?;
    Ok(format!("{account}/{text}"))
}

/// Account, base URL and the rest of the path, by the rule of §1.1: hosts that are an address or have no dot name the
/// account in the path.
fn split(url: &Url) -> Option<(String, String, String)> {
    let host = url.host_str()?;
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    let origin = format!("{}://{host}{port}", url.scheme());
    let is_address = !matches!(url.host(), Some(url::Host::Domain(_)));
    if is_address || !host.contains('.') {
        let path = url.path().trim_start_matches('/');
        let (account, rest) = path.split_once('/').unwrap_or((path, ""));
        let endpoint = format!("{origin}/{account}");
        return (!account.is_empty()).then(|| (account.to_owned(), endpoint, rest.to_owned()));
    }
    let account = host.split('.').next()?;
    Some((account.to_owned(), origin, url.path().to_owned()))
}

/// `CONTAINER[/PREFIX]`.
fn inside(label: &str, path: &str) -> Result<(Option<ContainerName>, String)> {
    let (container, prefix) = path.split_once('/').unwrap_or((path, ""));
    if container.is_empty() && prefix.is_empty() {
        return Ok((None, String::new()));
    }
    let wrong = |e| Error::Source(label.to_owned(), e);
    let container = ContainerName::parse(container).map_err(wrong)?;
    let prefix = prefix.trim_end_matches('/');
    if prefix.is_empty() {
        return Ok((Some(container), String::new()));
    }
    let prefix = BlobName::parse(prefix).map_err(wrong)?;
    Ok((Some(container), format!("{prefix}/")))
}
