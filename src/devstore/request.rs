//! A request as the service sees it, before anybody has decided what it means.
//!
//! [`Call::parse`] keeps the request line exactly as it was sent, because that is what the client signed, and beside it
//! the decoded account, container and blob that everything else works with. Both addressing styles end in the same
//! [`Target`]: the account in the first label of a `NAME.blob.HOST` host, else in the first path segment.

use std::time::SystemTime;

use bytes::Bytes;
use hyper::header::HOST;
use hyper::{HeaderMap, Method};
use percent_encoding::percent_decode_str;

use super::bearer::Grant;
use super::error::{Code, ServiceError};
use super::model::{Blob, Revision};
use super::operation::Operation;

/// Longest blob name in UTF-16 units (S205).
const BLOB_NAME_UNITS: usize = 1024;

/// How an account orders its names.
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

/// Where a blob lives. The order is that of a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BlobAddress {
    pub account: String,
    pub container: String,
    pub blob: String,
}

impl std::fmt::Display for BlobAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.account, self.container, self.blob)
    }
}

/// What a URL names inside an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Account,
    Container { container: String },
    Blob(BlobAddress),
}

/// Which service of an account a request came to. In path style they share one address, and the request tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Blob,
    /// That of hierarchical namespaces.
    Dfs,
    Either,
}

impl Endpoint {
    fn of(host: &str) -> Endpoint {
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
    pub fn parse(raw: &str) -> Query {
        let pairs = raw.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            (decode(name).to_lowercase(), decode(value))
        });
        Query(pairs.collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The same, with an empty value read as absent.
    pub fn nonempty(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }
}

impl Revision {
    /// What the `snapshot` or `versionid` parameter names.
    pub fn of(query: &Query) -> Revision {
        let named = |name: &str| query.nonempty(name).map(str::to_owned);
        match (named("snapshot"), named("versionid")) {
            (Some(id), _) => Revision::Snapshot(id),
            (None, Some(id)) => Revision::Version(id),
            (None, None) => Revision::Current,
        }
    }
}

/// One request without its body.
#[derive(Debug)]
pub(super) struct Call {
    pub method: Method,
    /// Path as sent, still percent-encoded.
    pub raw_path: String,
    pub query: Query,
    pub headers: HeaderMap,
    pub account: String,
    pub endpoint: Endpoint,
    pub target: Target,
    pub now: SystemTime,
    /// Letters of the SAS the request came with, for the cases where they matter beyond admission.
    pub sas: Option<String>,
    /// Whose bearer token it came with.
    pub bearer: Option<Grant>,
    /// The copy source, when that is another server's.
    pub fetched: Option<Blob>,
}

/// A request body together with what was computed while it arrived.
#[derive(Debug, Default)]
pub(super) struct Upload {
    pub bytes: Bytes,
    pub md5: Option<[u8; 16]>,
    pub crc64: Option<u64>,
}

impl Call {
    /// Splits a request line. `known` tells which accounts exist.
    pub fn parse(
        method: Method,
        raw_path: &str,
        raw_query: &str,
        headers: HeaderMap,
        namespace: Namespace,
        known: impl Fn(&str) -> bool,
    ) -> Result<Call, ServiceError> {
        let query = Query::parse(raw_query);
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
        let endpoint = Endpoint::of(host);
        let (account, rest) = split_account(host, raw_path)?;
        if !known(&account) {
            return Err(Code::ResourceNotFound.into());
        }
        let target = target(namespace, &account, rest, query.get("restype"), query.get("comp"))?;
        Ok(Call {
            method,
            raw_path: raw_path.to_owned(),
            query,
            headers,
            account,
            endpoint,
            target,
            now: SystemTime::now(),
            sas: None,
            bearer: None,
            fetched: None,
        })
    }

    /// A header's value when it is plain text; absent and empty stay different.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether a header says `true`; some clients write `True`.
    pub fn flag(&self, name: &str) -> bool {
        self.header(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// A header read as a number.
    pub fn number(&self, name: &str) -> Result<Option<u64>, ServiceError> {
        self.header(name).map(|value| value.parse().map_err(|_| ServiceError::invalid_header(name, value))).transpose()
    }

    /// The blob the request names. Operations on blobs are only dispatched for a [`Target::Blob`].
    pub fn blob(&self) -> Result<&BlobAddress, ServiceError> {
        match &self.target {
            Target::Blob(address) => Ok(address),
            _ => Err(Code::InvalidUri.into()),
        }
    }

    /// The container the request names, also that of a blob.
    pub fn container(&self) -> Result<&str, ServiceError> {
        match &self.target {
            Target::Blob(address) => Ok(&address.container),
            Target::Container { container } => Ok(container),
            Target::Account => Err(Code::InvalidUri.into()),
        }
    }

    /// Which state of the blob the request is about.
    pub fn revision(&self) -> Revision {
        Revision::of(&self.query)
    }

    /// For all that only the blob itself can do, such as being written.
    pub fn refuse_revision(&self) -> Result<(), ServiceError> {
        match self.revision() {
            Revision::Current => Ok(()),
            _ => Err(Code::InvalidOperation.into()),
        }
    }

    /// Whether a SAS that may create but not overwrite was used.
    pub fn may_only_create(&self) -> bool {
        self.sas.as_deref().is_some_and(|letters| !letters.contains('w'))
    }

    /// Names the operation.
    pub fn operation(&self) -> Result<Operation, ServiceError> {
        Operation::of(self)
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

/// Splits `HOST` and path into the account and the rest of the path without its leading slash, still encoded.
pub(super) fn split_account<'a>(host: &str, raw_path: &'a str) -> Result<(String, &'a str), ServiceError> {
    let path = raw_path.strip_prefix('/').unwrap_or(raw_path);
    if let Some((account, _)) = host.split_once(".blob.").or_else(|| host.split_once(DFS_HOST)) {
        return Ok((account.to_owned(), path));
    }
    let (account, rest) = path.split_once('/').unwrap_or((path, ""));
    Ok((decode(account)?, rest))
}

/// What an encoded path without its account names. A lone segment is a container when the query says so, else a blob in
/// `$root` (§1.1). A backslash is a slash (S203); what else is not told apart is [`folded`] away.
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
        None if restype == Some("container") || comp == Some("list") => (decode(rest)?, String::new()),
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

/// The name that the service makes of one: no segment ends in a dot (S204; of several, all are taken for dropped). A hierarchical
/// namespace has no empty segments either (S195).
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
        return Err(ServiceError::from(Code::OutOfRangeInput));
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

    fn parse(host: &str, path: &str, query: &str) -> Result<Call, ServiceError> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        Call::parse(Method::GET, path, query, headers, Namespace::Flat, |account| account == "acct")
    }

    fn blob(container: &str, blob: &str) -> Target {
        Target::Blob(BlobAddress { account: "acct".into(), container: container.into(), blob: blob.into() })
    }

    #[test]
    fn both_styles_name_the_same_blob() {
        let path_style = parse("127.0.0.1:1", "/acct/spec/a%20b//c%2F", "").unwrap();
        let host_style = parse("acct.blob.localhost:1", "/spec/a%20b//c%2F", "").unwrap();
        assert_eq!(path_style.target, blob("spec", "a b//c/"));
        assert_eq!(host_style.target, path_style.target);
        let dfs = parse("acct.dfs.localhost:1", "/spec/a%20b//c%2F", "").unwrap();
        assert_eq!((dfs.target, dfs.endpoint), (path_style.target, Endpoint::Dfs));
        let path_style = parse("127.0.0.1:1", "/acct/spec/a%20b//c%2F", "").unwrap();
        assert_eq!(path_style.raw_path, "/acct/spec/a%20b//c%2F");
    }

    #[test]
    fn a_lone_segment_is_a_container_or_a_root_blob() {
        let container = Target::Container { container: "spec".into() };
        assert_eq!(parse("h", "/acct/spec", "restype=container").unwrap().target, container);
        assert_eq!(parse("h", "/acct/spec", "").unwrap().target, blob("$root", "spec"));
        assert_eq!(parse("h", "/acct/", "comp=list").unwrap().target, Target::Account);
        assert_eq!(parse("h", "/other/spec", "").unwrap_err().code, "ResourceNotFound");
    }

    #[test]
    fn names_are_checked() {
        for (path, code) in [
            ("/acct/Spec/b", "InvalidResourceName"),
            ("/acct/sp/b", "OutOfRangeInput"),
            ("/acct/spec/a%01", "InvalidUri"),
            ("/acct/spec/%FF", "InvalidUri"),
        ] {
            assert_eq!(parse("h", path, "").unwrap_err().code, code, "{path}");
        }
        // S205
        let taken = ["a/".repeat(254) + "a", "a".repeat(1024), "%F0%9F%98%80".repeat(512), "%C2%85%EF%BF%BE".into()];
        let refused = ["a/".repeat(255) + "a", "a".repeat(1025), "%F0%9F%98%80".repeat(512) + "a"];
        for name in taken {
            assert!(parse("h", &format!("/acct/spec/{name}"), "").is_ok(), "{name}");
        }
        for name in refused {
            assert_eq!(parse("h", &format!("/acct/spec/{name}"), "").unwrap_err().code, "OutOfRangeInput", "{name}");
        }
        assert_eq!(parse("h", "/acct/spec/a%7F", "").unwrap_err().code, "InvalidUri");
    }

    #[test]
    fn names_are_folded() {
        // S203, S204
        for (path, name) in [
            ("a%5Cb", "a/b"),
            ("a%5cb%5C", "a/b/"),
            ("a\\b", "a/b"),
            ("a%255Cb", "a%5Cb"),
            ("trail.", "trail"),
            ("trail%2E.", "trail"),
            ("seg./x../y", "seg/x/y"),
            ("a.%5Cb", "a/b"),
            ("..x/a.b/%20", "..x/a.b/ "),
            ("a//b/", "a//b/"),
        ] {
            let call = parse("h", &format!("/acct/spec/{path}"), "").unwrap();
            assert_eq!(call.target, blob("spec", name), "{path}");
            assert_eq!(call.raw_path, format!("/acct/spec/{path}"));
        }
        let call = parse("h", "/acct/spec", "comp=list&prefix=a%5Cb.").unwrap();
        assert_eq!(call.query.get("prefix"), Some("a\\b."));
        assert_eq!(parse("h", "/acct/spec/...", "").unwrap_err().code, "InvalidUri");
        // S195
        let nested = |path: &str| target(Namespace::Hierarchical, "acct", path, None, None);
        assert_eq!(nested("spec//a//b/").unwrap(), blob("spec", "a/b"));
        assert!(nested(&format!("spec/{}a", "a/".repeat(60))).is_ok());
        assert_eq!(nested(&format!("spec/{}a", "a/".repeat(61))).unwrap_err().code, "OutOfRangeInput");
    }

    #[test]
    fn signatures_are_redacted() {
        assert_eq!(redact("sv=1&sig=abc&se=2"), "sv=1&sig=***&se=2");
        assert_eq!(redact("http://h/a?sig=abc"), "http://h/a?sig=***");
        assert_eq!(redact("signed=yes"), "signed=yes");
    }
}
