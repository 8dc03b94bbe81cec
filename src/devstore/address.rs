//! The parts of a URL: which account, container and blob it names, in which state, and what else its query holds.
//!
//! The same rules read a request's own line, the source of a copy and that of a rename.

use percent_encoding::percent_decode_str;

use super::error::{Code, ServiceError};

/// Longest blob name in UTF-16 units (S205).
const BLOB_NAME_UNITS: usize = 1024;

/// The kind of an account's namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Namespace {
    #[default]
    Flat,
    /// Directories exist by themselves (§14).
    Hierarchical,
}

impl Namespace {
    /// Most path segments in a name (S205, S195).
    fn segments(self) -> usize {
        match self {
            Namespace::Flat => 255,
            Namespace::Hierarchical => 61,
        }
    }
}

/// Marks the host of a hierarchical namespace, as `.blob.` marks a blob's.
const DFS_HOST: &str = ".dfs.";

/// The place of a blob. The order is that of a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BlobAddress {
    pub account: String,
    pub container: String,
    pub blob: String,
}

impl BlobAddress {
    pub(super) fn new(account: &str, container: &str, blob: &str) -> BlobAddress {
        BlobAddress { account: account.to_owned(), container: container.to_owned(), blob: blob.to_owned() }
    }

    /// It is that path, or below it.
    pub(super) fn is_in(&self, above: &BlobAddress) -> bool {
        let rest = self.blob.strip_prefix(&above.blob);
        (&above.account, &above.container) == (&self.account, &self.container)
            && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl std::fmt::Display for BlobAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.account, self.container, self.blob)
    }
}

/// The thing inside an account that a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Account,
    Container { container: String },
    Blob(BlobAddress),
}

/// The service of an account that a request came to. In path style they share one address, and the request tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Blob,
    /// The endpoint of hierarchical namespaces.
    Dfs,
    Either,
}

impl Endpoint {
    pub(super) fn of(host: &str) -> Endpoint {
        match (host.contains(".blob."), host.contains(DFS_HOST)) {
            (true, _) => Endpoint::Blob,
            (false, true) => Endpoint::Dfs,
            (false, false) => Endpoint::Either,
        }
    }
}

/// Decoded query parameters in the order sent, names in lower case.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(raw: &str) -> Query {
        let pairs = raw.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            (decode(name).to_lowercase(), decode(value))
        });
        Query(pairs.collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The same, with an empty value read as absent.
    pub(super) fn nonempty(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }
}

/// The state of a blob that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Revision {
    Current,
    /// `snapshot=`
    Snapshot(String),
    /// `versionid=`; also the current version has one.
    Version(String),
}

impl Revision {
    /// The state that the `snapshot` or `versionid` parameter names.
    pub(super) fn of(query: &Query) -> Revision {
        let named = |name: &str| query.nonempty(name).map(str::to_owned);
        match (named("snapshot"), named("versionid")) {
            (Some(id), _) => Revision::Snapshot(id),
            (None, Some(id)) => Revision::Version(id),
            (None, None) => Revision::Current,
        }
    }
}

/// The service a signed URL belongs to. Files are copy sources only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Blob,
    File,
    /// Another server's URL, on which nothing is signed.
    Web,
}

impl Service {
    pub(super) fn name(self) -> &'static str {
        match self {
            Service::Blob => "blob",
            Service::File => "file",
            Service::Web => "",
        }
    }

    /// Its letter in `ss`.
    pub(super) fn letter(self) -> char {
        match self {
            Service::Blob => 'b',
            Service::File => 'f',
            Service::Web => ' ',
        }
    }
}

/// Replaces the value of every `sig` parameter (X24).
pub(super) fn redact(url_or_query: &str) -> String {
    let mut clean = String::with_capacity(url_or_query.len());
    for part in url_or_query.split_inclusive(['?', '&']) {
        let is_signature = part.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("sig="));
        if is_signature {
            clean.push_str("sig=***");
            clean.push_str(if part.ends_with('&') { "&" } else { "" });
        } else {
            clean.push_str(part);
        }
    }
    clean
}

/// A URL without its `sig` parameter (S6).
pub(super) fn without_signature(url: &str) -> String {
    let Some((path, query)) = url.split_once('?') else { return url.to_owned() };
    let is_signature = |pair: &&str| pair.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("sig="));
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_signature(pair)).collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

/// Splits `HOST` and path into the account and the rest of the path without its leading slash, still encoded.
pub(super) fn split_account<'a>(host: &str, raw_path: &'a str) -> Result<(String, &'a str), ServiceError> {
    let path = raw_path.strip_prefix('/').unwrap_or(raw_path);
    if let Some((account, _)) = host.split_once(".blob.").or_else(|| host.split_once(DFS_HOST)) {
        return Ok((account.to_owned(), path));
    }
    let (account, rest) = path.split_once('/').unwrap_or((path, ""));
    Ok((decode(account)?, rest))
}

/// The target of an encoded path without its account. A lone segment is a container when the query says so, else a blob
/// in `$root` (§1.1). A backslash is a slash (S203); what else is not told apart is [`folded`] away.
pub(super) fn target(
    namespace: Namespace,
    account: &str,
    rest: &str,
    restype: Option<&str>,
    comp: Option<&str>,
) -> Result<Target, ServiceError> {
    if rest.is_empty() {
        return Ok(Target::Account);
    }
    let rest = &rest.replace("%5C", "/").replace("%5c", "/").replace('\\', "/");
    let (container, blob) = match rest.split_once('/') {
        Some((container, blob)) if !blob.is_empty() => (decode(container)?, decode(blob)?),
        Some((container, _)) => (decode(container)?, String::new()),
        None if matches!(restype, Some("container" | "account")) || comp == Some("list") => {
            (decode(rest)?, String::new())
        }
        None => (String::from("$root"), decode(rest)?),
    };
    check_container_name(&container)?;
    if blob.is_empty() {
        return Ok(Target::Container { container });
    }
    let blob = folded(namespace, &blob);
    check_blob_name(namespace, &blob)?;
    Ok(Target::Blob(BlobAddress { account: account.to_owned(), container, blob }))
}

/// The name that the service makes of one: no segment ends in a dot (S204; of several, all are taken for dropped). A
/// hierarchical namespace has no empty segments either (S195).
fn folded(namespace: Namespace, name: &str) -> String {
    let segments = name.split('/').map(|segment| segment.trim_end_matches('.'));
    let kept: Vec<&str> = match namespace {
        Namespace::Flat => segments.collect(),
        Namespace::Hierarchical => segments.filter(|segment| !segment.is_empty()).collect(),
    };
    kept.join("/")
}

/// §1.3: 3–63 of `[a-z0-9-]`, no dash at either end or doubled; `$root`, `$web` and `$logs` besides.
pub(super) fn check_container_name(name: &str) -> Result<(), ServiceError> {
    if matches!(name, "$root" | "$web" | "$logs") {
        return Ok(());
    }
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.chars().all(legal) || name.starts_with('-') || name.ends_with('-') || name.contains("--") {
        return Err(Code::InvalidResourceName.into());
    }
    if !(3..=63).contains(&name.len()) {
        let text = "The specified resource name length is not within the permissible limits.";
        return Err(ServiceError::from(Code::OutOfRangeInput).with_message(text));
    }
    Ok(())
}

/// Length, depth, and the characters the service refuses (§1.3, S205). Which codes it has for that is not known.
pub(super) fn check_blob_name(namespace: Namespace, name: &str) -> Result<(), ServiceError> {
    if name.is_empty() || name.chars().any(|c| c < ' ' || matches!(c, '\u{7F}' | '\u{81}' | '\u{E000}')) {
        return Err(Code::InvalidUri.into());
    }
    if name.encode_utf16().count() > BLOB_NAME_UNITS || name.split('/').count() > namespace.segments() {
        return Err(Code::OutOfRangeInput.into());
    }
    Ok(())
}

fn decode(text: &str) -> Result<String, ServiceError> {
    percent_decode_str(text).decode_utf8().map(|text| text.into_owned()).map_err(|_| Code::InvalidUri.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_redacted() {
        assert_eq!(redact("sv=1&sig=abc&se=2"), "sv=1&sig=***&se=2");
        assert_eq!(redact("http://h/a?sig=abc"), "http://h/a?sig=***");
        assert_eq!(redact("signed=yes"), "signed=yes");
    }

    #[test]
    fn signatures_are_left_out() {
        assert_eq!(without_signature("http://h/a?sv=1&sig=abc&se=2"), "http://h/a?sv=1&se=2");
        assert_eq!(without_signature("http://h/a?Sig=abc"), "http://h/a");
        assert_eq!(without_signature("http://h/sig=a"), "http://h/sig=a");
    }
}
