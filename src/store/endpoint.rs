//! Endpoints of accounts, and the URLs of the names in them.
//!
//! Two styles exist (§1.1): the account in the host, `https://ACCOUNT.blob.core.windows.net/CONTAINER/BLOB`, or in the
//! path, `http://127.0.0.1:10000/ACCOUNT/CONTAINER/BLOB`. The difference matters when signing, because the canonical
//! resource is the account followed by the path as sent, so that a path-style account stands there twice. An
//! [`Endpoint`] hides it: it turns a [`Resource`] into the one encoded path that the request line, the signature and a
//! copy source share.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;

use crate::path::{AccountName, BlobPath, ContainerName, debug_as_display};
use crate::store::secret::Secret;

mod alias;

/// Characters that are encoded in a query: all but the unreserved characters of RFC 3986.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Ends of the names of Azure Storage's hosts, in all clouds.
pub const AZURE: [&str; 4] =
    [".core.windows.net", ".core.usgovcloudapi.net", ".core.chinacloudapi.cn", ".storage.azure.net"];

/// The base of an account's URLs.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `http://127.0.0.1:10000`: scheme and authority.
    origin: Arc<str>,
    /// `/devstoreaccount1`, or empty in host style.
    prefix: Arc<str>,
    loopback: bool,
}

/// An endpoint with all that its text says.
#[derive(Debug)]
pub(super) struct ParsedEndpoint {
    pub endpoint: Endpoint,
    pub account: AccountName,
    /// The query, as in `https://a.blob.core.windows.net?sv=…&sig=…`.
    pub sas: Option<Secret>,
}

/// The target of a request, by its name.
#[derive(Clone, Copy)]
pub(super) enum Resource<'a> {
    Account,
    Container(&'a ContainerName),
    Blob(&'a BlobPath),
}

impl Endpoint {
    /// Reads `url`; `account` is its name when that is known already, which also settles custom domains and emulators
    /// whose URL was given without the account.
    pub(super) fn parse(url: &str, account: Option<&AccountName>) -> Result<ParsedEndpoint, String> {
        let parsed = Url::parse(url.trim()).map_err(|error| match error {
            url::ParseError::RelativeUrlWithoutBase => "not a URL: it has to begin with https://".to_owned(),
            other => format!("not a URL: {other}"),
        })?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err("must be an http or https URL".into());
        }
        if !parsed.username().is_empty() || parsed.password().is_some() || parsed.fragment().is_some() {
            return Err("must not hold a user, a password or a fragment".into());
        }
        let host = parsed.host_str().unwrap_or_default().to_owned();
        let bare = host.trim_matches(['[', ']']);
        let address = bare.parse::<IpAddr>().ok();
        let loopback = is_loopback(&host);
        let prefix = parsed.path().trim_end_matches('/');
        let first = prefix.trim_start_matches('/').split('/').next().unwrap_or_default();
        let path_style =
            address.is_some() || !host.contains('.') || account.is_some_and(|account| account.as_str() == first);

        let origin = match parsed.port() {
            Some(port) => format!("{}://{host}:{port}", parsed.scheme()),
            None => format!("{}://{host}", parsed.scheme()),
        };
        let (account, prefix) = match (path_style, account) {
            (false, Some(account)) => (account.clone(), prefix.to_owned()),
            (false, None) => {
                let label = host.split('.').next().unwrap_or_default();
                (AccountName::parse(label).map_err(|e| e.to_string())?, prefix.to_owned())
            }
            (true, Some(account)) if first.is_empty() => (account.clone(), format!("/{account}")),
            (true, Some(account)) if account.as_str() != first => {
                return Err(format!("names account {first:?}, not {account:?}"));
            }
            (true, Some(account)) => (account.clone(), prefix.to_owned()),
            (true, None) if first.is_empty() => {
                return Err(
                    "names no account: a URL of an IP address or of a host without dots needs it as path".into()
                );
            }
            (true, None) => (AccountName::parse(first).map_err(|e| e.to_string())?, prefix.to_owned()),
        };
        let endpoint = Endpoint { origin: origin.into(), prefix: prefix.into(), loopback };
        Ok(ParsedEndpoint { endpoint, account, sas: parsed.query().filter(|q| !q.is_empty()).map(Secret::new) })
    }

    /// True on this machine, where no proxy belongs in between.
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// True if nobody else reads what is sent there: https, or this machine.
    pub fn is_confidential(&self) -> bool {
        self.loopback || self.is_encrypted()
    }

    /// True if what is damaged on the way is noticed there.
    pub(super) fn is_encrypted(&self) -> bool {
        self.origin.starts_with("https://")
    }

    /// True if both are Azure's, of one cloud, or both are on this machine: a secret of the one may be told to the
    /// other.
    pub(super) fn may_share_secrets_with(&self, other: &Self) -> bool {
        let cloud = |endpoint: &Self| {
            let host = endpoint.origin.strip_prefix("https://")?.to_owned();
            AZURE.iter().find(|suffix| host.ends_with(*suffix)).copied()
        };
        (self.loopback && other.loopback) || cloud(self).is_some_and(|own| cloud(other) == Some(own))
    }

    /// URL of the account's Azure Files: the same host with the other service's name. `None` where that cannot be
    /// known, as behind a domain of one's own. Emulators are asked on a host that names the account.
    pub(super) fn file_service(&self, account: &AccountName) -> Option<String> {
        self.beside(account, "file").or_else(|| {
            let (scheme, authority) = self.origin.split_once("://").filter(|_| self.loopback)?;
            let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
            Some(format!("{scheme}://{account}.file.localhost:{port}"))
        })
    }

    /// Endpoint of the account's hierarchical namespace (§14): the same host with the other service's name. An emulator
    /// that has the account in its path tells by the request what is meant. `None` where it cannot be known, as behind
    /// a domain of one's own.
    pub(super) fn dfs_service(&self, account: &AccountName) -> Option<Self> {
        match self.beside(account, "dfs") {
            Some(origin) => Some(Self { origin: origin.into(), ..self.clone() }),
            None => (*self.prefix == *format!("/{account}")).then(|| self.clone()),
        }
    }

    /// Origin of another service of the account, where the host has the names of both account and service.
    fn beside(&self, account: &AccountName, service: &str) -> Option<String> {
        let (scheme, authority) = self.origin.split_once("://").filter(|_| self.prefix.is_empty())?;
        let (zone, rest) = authority.strip_prefix(&format!("{account}."))?.split_once("blob.")?;
        (zone.is_empty() || zone.ends_with('.')).then(|| format!("{scheme}://{account}.{zone}{service}.{rest}"))
    }

    /// The encoded path of `resource`, as it is sent and signed.
    pub(super) fn path(&self, resource: Resource<'_>) -> String {
        match resource {
            Resource::Account => format!("{}/", self.prefix),
            Resource::Container(container) => format!("{}/{container}", self.prefix),
            Resource::Blob(blob) => format!("{}/{}/{}", self.prefix, blob.container, blob.name.encoded()),
        }
    }

    /// Scheme, host and port, if it is not the scheme's own.
    pub(super) fn origin(&self) -> String {
        self.origin.to_string()
    }

    /// The URL of an encoded `path`.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.prefix)
    }
}

debug_as_display!(Endpoint);

/// A host on this machine.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    let address = bare.parse::<IpAddr>().ok();
    address.map_or(bare == "localhost" || bare.ends_with(".localhost"), |ip| ip.to_canonical().is_loopback())
}

/// `name=value&…`, percent-encoded; empty without pairs.
pub(super) fn encode_query<N: AsRef<str>, V: AsRef<str>>(pairs: &[(N, V)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", name.as_ref(), utf8_percent_encode(value.as_ref(), QUERY)))
        .collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::BlobName;
    use rstest::rstest;

    fn blob(name: &str) -> BlobPath {
        BlobPath::new(ContainerName::parse("spec").unwrap(), BlobName::parse(name).unwrap())
    }

    #[rstest]
    #[case("https://myaccount.blob.core.windows.net", "myaccount", "https://myaccount.blob.core.windows.net/spec/a")]
    #[case("https://myaccount.blob.core.windows.net/", "myaccount", "https://myaccount.blob.core.windows.net/spec/a")]
    #[case("https://acct.z12.blob.storage.azure.net", "acct", "https://acct.z12.blob.storage.azure.net/spec/a")]
    #[case("http://acct.blob.localhost:10000", "acct", "http://acct.blob.localhost:10000/spec/a")]
    #[case(
        "http://127.0.0.1:10000/devstoreaccount1",
        "devstoreaccount1",
        "http://127.0.0.1:10000/devstoreaccount1/spec/a"
    )]
    #[case("http://localhost:10000/acct/", "acct", "http://localhost:10000/acct/spec/a")]
    #[case("http://azurite:10000/acct", "acct", "http://azurite:10000/acct/spec/a")]
    #[case("http://[::1]:10000/acct", "acct", "http://[::1]:10000/acct/spec/a")]
    fn the_style_is_told_by_the_host(#[case] url: &str, #[case] account: &str, #[case] expected: &str) {
        let parsed = Endpoint::parse(url, None).unwrap();
        assert_eq!(parsed.account.as_str(), account);
        let endpoint = parsed.endpoint;
        assert_eq!(endpoint.url(&endpoint.path(Resource::Blob(&blob("a")))), expected);
    }

    #[rstest]
    // A custom domain: the name cannot be read off it.
    #[case("https://files.example.com", "https://files.example.com/spec/a")]
    // An emulator behind a host name with dots.
    #[case("http://azurite.test.svc:10000/acct", "http://azurite.test.svc:10000/acct/spec/a")]
    // The account left out.
    #[case("http://127.0.0.1:10000", "http://127.0.0.1:10000/acct/spec/a")]
    fn a_known_name_settles_what_the_url_leaves_open(#[case] url: &str, #[case] expected: &str) {
        let account = AccountName::parse("acct").unwrap();
        let parsed = Endpoint::parse(url, Some(&account)).unwrap();
        assert_eq!(parsed.account, account);
        assert_eq!(parsed.endpoint.url(&parsed.endpoint.path(Resource::Blob(&blob("a")))), expected);
    }

    #[rstest]
    #[case("ftp://acct.blob.core.windows.net", None)]
    #[case("acct", None)]
    #[case("http://127.0.0.1:10000", None)]
    #[case("http://user:pw@acct.blob.core.windows.net", None)]
    #[case("http://127.0.0.1:10000/other", Some("acct"))]
    fn what_is_no_endpoint_is_refused(#[case] url: &str, #[case] account: Option<&str>) {
        let account = account.map(|name| AccountName::parse(name).unwrap());
        assert!(Endpoint::parse(url, account.as_ref()).is_err());
    }

    #[test]
    fn a_sas_in_the_url_is_taken_off_it() {
        let parsed = Endpoint::parse("https://acct.blob.core.windows.net/?sv=1&sig=abc", None).unwrap();
        assert_eq!(parsed.sas.unwrap().expose(), "sv=1&sig=abc");
        assert_eq!(parsed.endpoint.to_string(), "https://acct.blob.core.windows.net");
    }

    #[rstest]
    #[case("https://a.blob.core.windows.net", "https://b.blob.core.windows.net", true)]
    #[case("http://127.0.0.1:1", "http://127.0.0.1:2", true)]
    #[case("https://a.blob.core.windows.net", "https://b.blob.core.chinacloudapi.cn", false)]
    #[case("https://a.blob.core.windows.net", "https://b.blob.core.windows.net.evil.com", false)]
    #[case("https://a.blob.core.windows.net", "http://b.blob.core.windows.net", false)]
    #[case("https://a.blob.core.windows.net", "http://127.0.0.1:1", false)]
    fn a_token_is_told_to_accounts_of_the_same_cloud(#[case] a: &str, #[case] b: &str, #[case] beside: bool) {
        let name = AccountName::parse("acct").unwrap();
        let endpoint = |url: &str| Endpoint::parse(url, Some(&name)).unwrap().endpoint;
        assert_eq!(
            (endpoint(a).may_share_secrets_with(&endpoint(b)), endpoint(b).may_share_secrets_with(&endpoint(a))),
            (beside, beside)
        );
    }

    #[rstest]
    #[case("https://acct.blob.core.windows.net", Some("https://acct.dfs.core.windows.net"))]
    #[case("https://acct.z12.blob.storage.azure.net", Some("https://acct.z12.dfs.storage.azure.net"))]
    #[case("http://acct.blob.localhost:10000", Some("http://acct.dfs.localhost:10000"))]
    #[case("http://127.0.0.1:10000/acct", Some("http://127.0.0.1:10000/acct"))]
    #[case("https://files.example.com", None)]
    #[case("https://blob.example.com", None)]
    fn the_hierarchical_namespace_is_beside_the_blobs(#[case] url: &str, #[case] expected: Option<&str>) {
        let name = AccountName::parse("acct").unwrap();
        let endpoint = Endpoint::parse(url, Some(&name)).unwrap().endpoint;
        assert_eq!(endpoint.dfs_service(&name).map(|endpoint| endpoint.to_string()).as_deref(), expected);
    }

    #[test]
    fn loopback_hosts() {
        for (url, loopback) in [
            ("http://127.0.0.1:1/acct", true),
            ("http://[::1]:1/acct", true),
            ("http://localhost/acct", true),
            ("http://acct.blob.localhost", true),
            ("http://10.0.0.1/acct", false),
            ("https://acct.blob.core.windows.net", false),
        ] {
            assert_eq!(Endpoint::parse(url, None).unwrap().endpoint.is_loopback(), loopback, "{url}");
        }
    }

    /// The signature covers the path as sent, so the HTTP stack must leave it alone.
    #[rstest]
    #[case("a//b")]
    #[case("/lead")]
    #[case("dir/")]
    #[case("q?x#y%z&a=b;c+d e'(f)*!,@:$[g]|^`{h}\"<i>")]
    #[case("ünï/…/😀")]
    #[case("a.b/..c")]
    #[case("x\u{fffe}\u{ffff}\u{85}")]
    fn the_http_stack_keeps_the_path_as_encoded(#[case] name: &str) {
        let endpoint = Endpoint::parse("http://127.0.0.1:10000/acct", None).unwrap().endpoint;
        let path = endpoint.path(Resource::Blob(&blob(name)));
        assert_eq!(Url::parse(&endpoint.url(&path)).unwrap().path(), path);
    }

    proptest::proptest! {
        #[test]
        fn no_name_is_changed_by_the_http_stack(name in "\\PC{1,40}") {
            if let Ok(name) = BlobName::parse(&name) {
                let blob = BlobPath::new(ContainerName::parse("spec").unwrap(), name);
                let endpoint = Endpoint::parse("http://127.0.0.1:10000/acct", None).unwrap().endpoint;
                let path = endpoint.path(Resource::Blob(&blob));
                let url = Url::parse(&endpoint.url(&path)).unwrap();
                proptest::prop_assert_eq!(url.path(), path);
            }
        }
    }

    #[test]
    fn the_http_stack_keeps_the_query_as_encoded() {
        let query = encode_query(&[("prefix", "a b/ü&='\"<>`+"), ("marker", "2!68!MDAw--")]);
        let url = Url::parse(&format!("http://127.0.0.1:10000/acct?{query}")).unwrap();
        assert_eq!(url.query(), Some(query.as_str()));
        assert_eq!(query, "prefix=a%20b%2F%C3%BC%26%3D%27%22%3C%3E%60%2B&marker=2%2168%21MDAw--");
    }
}
