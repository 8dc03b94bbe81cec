//! A request as the service sees it, before anybody has decided what it means.
//!
//! [`Call::parse`] keeps the request line exactly as it was sent, because that is what the client signed, and beside it
//! the decoded account, container and blob that everything else works with. Both addressing styles end in the same
//! [`Target`]: the account in the first label of a `NAME.blob.HOST` host, else in the first path segment.

use std::time::SystemTime;

use bytes::Bytes;
use hyper::header::HOST;
use hyper::{HeaderMap, Method};

use super::address::{BlobAddress, Endpoint, Namespace, Query, Revision, Target, split_account, target};
use super::answers::{Answers, PendingDestination};
use super::bearer::Grant;
use super::clock::parse_iso;
use super::error::{Code, ServiceError};
use super::model::Blob;

/// First version that tells files from directories (S172).
const PATHS_SHOWN_SINCE: &str = "2020-10-02";

/// One request without its body.
#[derive(Debug)]
pub(super) struct Call {
    pub method: Method,
    /// Path as sent, still percent-encoded.
    pub raw_path: String,
    pub query: Query,
    pub headers: HeaderMap,
    /// Names of metadata in the headers, as they were sent.
    pub names: Vec<String>,
    pub account: String,
    pub endpoint: Endpoint,
    /// The kind of the account's namespace.
    pub namespace: Namespace,
    pub target: Target,
    pub now: SystemTime,
    /// Letters of the SAS the request came with, for the cases where they matter beyond admission.
    pub sas: Option<String>,
    /// Whose bearer token it came with.
    pub bearer: Option<Grant>,
    /// What this server says where nobody knows.
    pub answers: Answers,
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
    pub(super) fn parse(
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
        let whole = endpoint == Endpoint::Dfs || query.get("resource") == Some("filesystem");
        let restype = if whole { Some("container") } else { query.get("restype") };
        let target = target(namespace, &account, rest, restype, query.get("comp"))?;
        Ok(Call {
            method,
            raw_path: raw_path.to_owned(),
            query,
            headers,
            names: Vec::new(),
            account,
            endpoint,
            namespace,
            target,
            now: SystemTime::now(),
            sas: None,
            bearer: None,
            answers: Answers::default(),
            fetched: None,
        })
    }

    /// A header's value when it is plain text; absent and empty stay different.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A header that must be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, ServiceError> {
        self.header(name).ok_or_else(|| ServiceError::missing_header(name))
    }

    /// Whether a header says `true`; some clients write `True`.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.header(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// A header read as a number.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, ServiceError> {
        self.header(name).map(|value| value.parse().map_err(|_| ServiceError::invalid_header(name, value))).transpose()
    }

    /// The blob the request names. Operations on blobs are only dispatched for a [`Target::Blob`].
    pub(super) fn blob(&self) -> Result<&BlobAddress, ServiceError> {
        match &self.target {
            Target::Blob(address) => Ok(address),
            _ => Err(Code::InvalidUri.into()),
        }
    }

    /// The container the request names, also that of a blob.
    pub(super) fn container(&self) -> Result<&str, ServiceError> {
        match &self.target {
            Target::Blob(address) => Ok(&address.container),
            Target::Container { container } => Ok(container),
            Target::Account => Err(Code::InvalidUri.into()),
        }
    }

    /// The version of the protocol that it speaks: that of its signature if it does not say.
    pub(super) fn version(&self) -> &str {
        self.header("x-ms-version").or_else(|| self.query.nonempty("sv")).unwrap_or(super::versions::DEFAULT)
    }

    /// The state of the blob that the request is about.
    pub(super) fn revision(&self) -> Revision {
        Revision::of(&self.query)
    }

    /// 400 for what can be no snapshot's id, before anything else is looked at (S72).
    pub(super) fn check_moment(&self) -> Result<(), ServiceError> {
        match self.revision() {
            Revision::Snapshot(id) if !id.contains('T') || parse_iso(&id).is_none() => {
                Err(ServiceError::invalid_query("snapshot", &id).early())
            }
            _ => Ok(()),
        }
    }

    /// 409 for what perhaps may not be done to a destination while a copy onto it is pending.
    pub(super) fn check_settled(&self, blob: &Blob) -> Result<(), ServiceError> {
        match blob.is_pending() && self.answers.pending_destination == PendingDestination::Refuses {
            true => Err(Code::PendingCopyOperation.into()),
            false => Ok(()),
        }
    }

    /// For all that only the blob itself can do, such as being written.
    pub(super) fn refuse_revision(&self) -> Result<(), ServiceError> {
        match self.revision() {
            Revision::Current => Ok(()),
            _ => Err(Code::InvalidOperation.into()),
        }
    }

    /// Whether it is of a version in which paths are shown to be files or directories (S172).
    pub(super) fn shows_paths(&self) -> bool {
        let version = self.header("x-ms-version");
        self.namespace == Namespace::Hierarchical && version.is_none_or(|version| version >= PATHS_SHOWN_SINCE)
    }

    /// A blob that this request makes: of whoever asks, and a directory if that is what it says.
    pub(super) fn made(&self, blob: Blob) -> Blob {
        let mut blob = blob.within(self.namespace);
        if let Some(grant) = &self.bearer {
            blob.access.owner.clone_from(&grant.object_id);
        }
        blob
    }

    /// Whether a SAS that may create but not overwrite was used.
    pub(super) fn may_only_create(&self) -> bool {
        self.sas.as_deref().is_some_and(|letters| !letters.contains('w'))
    }
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
}
