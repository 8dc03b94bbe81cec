//! External sources: files of Azure Files, and what any other URL names (C19, §13.13).
//!
//! The service takes any URL that it can read, with whatever token is in it. A file of Azure Files in one of our
//! accounts gets a SAS for exactly that file, made like a blob's from the account's key. Copy Blob begins with HEAD,
//! which not every server answers and which a URL that is signed for GET does not allow; then
//! [`crate::store::BlockBlobClient::upload_from_url`] or blocks do it, and for these the size has to be known:
//! [`Client::source_properties`] asks for one byte.
//!
//! Only the URL itself ever goes to a foreign host. It is asked over https, no redirect is followed, and no credential
//! of ours is sent.

use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use reqwest::header::{HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, Url};
use tokio::time::timeout;

use crate::error::{Error, Result};
use crate::path::{self, NameError};
use crate::store::client::Client;
use crate::store::connections::Outgoing;
use crate::store::credential::Credential;
use crate::store::endpoint::is_loopback;
use crate::store::headers;
use crate::store::payload::Payload;
use crate::store::sas::{self, Validity};
use crate::store::spelling::Names;
use crate::store::types::*;

/// Characters that no header can carry, or that mean something else there. What is encoded already stays as it is.
const ILLEGAL: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// Properties of an external source, as its server tells them.
#[derive(Debug, Clone)]
pub struct SourceProperties {
    /// Bytes.
    pub size: u64,
    /// Version of the content; `None` if the server has none that means the very same bytes.
    pub etag: Option<ETag>,
    /// Content headers.
    pub headers: ContentHeaders,
    /// Metadata, where the server has any.
    pub metadata: Metadata,
}

/// A file of Azure Files. The path is decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedFile {
    /// Name of the share.
    pub share: String,
    /// Path in the share, decoded.
    pub path: String,
}

impl CopySource {
    /// An external source by its URL, as somebody typed it. EINVAL for what is no http(s) URL, says who asks before the
    /// host, or has a path that the service may take for another one (S203, S204), ENAMETOOLONG for what the service
    /// does not take.
    pub fn external(text: &str) -> Result<Self> {
        let url = utf8_percent_encode(text, ILLEGAL).to_string();
        let wrong = |what: &str| Error::fs(libc::EINVAL, format!("{}: {what}", redact(text)));
        let parsed = Url::parse(&url).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(wrong("neither an http nor an https URL"));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(Error::fs(libc::EINVAL, "a copy source cannot have a user or a password before its host"));
        }
        let url = url.split('#').next().unwrap_or(&url);
        if path::is_folded_in_url(url) {
            return Err(NameError::Folded(redact(text)).into());
        }
        if url.len() > MAX_SOURCE_URL {
            let what = format!("{}: too long for a copy source", redact(text));
            return Err(Error::fs(libc::ENAMETOOLONG, what));
        }
        Ok(Self::new(url))
    }

    /// Azure Storage answers there, and Copy Blob would say what it answers: no other way to read it is worth a try.
    pub fn is_azure_storage(&self) -> bool {
        let host = host_of(self.expose());
        [".blob.", ".file.", ".dfs."].iter().any(|service| host.contains(service))
    }

    /// A file of Azure Files.
    pub fn is_shared_file(&self) -> bool {
        host_of(self.expose()).contains(".file.")
    }
}

fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default()
}

impl Client {
    /// The file of this account that `url` names; `None` if it names something else, or has a credential of its own.
    pub fn file_at(&self, url: &str) -> Option<SharedFile> {
        let rest = url.strip_prefix(&self.pipeline().endpoint().file_service(self.account())?)?.strip_prefix('/')?;
        if rest.contains(['?', '#']) {
            return None;
        }
        let (share, path) = rest.split_once('/')?;
        let decode = |text: &str| percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned());
        let file = SharedFile { share: decode(share)?, path: decode(path)? };
        (!file.share.is_empty() && !file.path.is_empty()).then_some(file)
    }

    /// A copy source for a file of this account, which needs a SAS even within the account (§13.13). Without a key or a
    /// SAS that is good for files there is none, and the service will say so.
    pub fn file_source(&self, url: &str, file: &SharedFile, lifetime: Duration) -> Result<CopySource> {
        let token = match &*self.pipeline().credential.current() {
            Credential::SharedKey(key) => {
                let validity = Validity::for_the_next(lifetime);
                let version = self.pipeline().api_version();
                Some(sas::read_file(key, self.account(), &file.share, &file.path, &validity, version))
            }
            Credential::Sas(token) => token.is_for_files().then(|| token.clone()),
            Credential::Anonymous | Credential::Entra(_) => None,
        };
        match token {
            Some(token) => CopySource::external(&format!("{url}?{}", token.expose())),
            None => CopySource::external(url),
        }
    }

    /// Properties of an external source, whose server is asked for one byte of it. Plain http is for emulators on this
    /// machine only.
    pub async fn source_properties(&self, source: &CopySource) -> Result<SourceProperties> {
        let failed = |detail: String, timed_out| Error::Transport {
            operation: "GET",
            target: source.to_string(),
            detail,
            timed_out,
        };
        let url = Url::parse(source.expose()).map_err(|error| failed(error.to_string(), false))?;
        let local = url.host_str().is_some_and(is_loopback);
        if url.scheme() != "https" && !(local && self.pipeline().endpoint().is_loopback()) {
            return Err(failed("only https is asked".into(), false));
        }
        let http = &self.pipeline().http;
        let connections = http.connections(local).map_err(|detail| failed(detail, false))?;
        let outgoing = Outgoing {
            method: Method::GET,
            url: url.as_str(),
            headers: HeaderMap::from_iter([(RANGE, HeaderValue::from_static("bytes=0-0"))]),
            names: &Names::default(),
            body: Payload::default().as_body(),
            written: &Arc::default(),
        };
        let answer = match timeout(http.options().timeout / 2, connections.send(outgoing)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(broken)) => return Err(failed(broken.detail, broken.timed_out)),
            Err(_) => return Err(failed("no answer in time".into(), true)),
        };
        let (status, headers) = (answer.status, &answer.headers);
        let size = match status {
            // One that does not know ranges sends all of it, which nobody reads.
            200 => headers::text(headers, "content-length").and_then(headers::size),
            206 => headers::text(headers, "content-range")
                .and_then(headers::content_range)
                .filter(|(range, _)| *range == (0..1))
                .map(|(_, total)| total),
            // An empty one has no first byte.
            416 => headers::total_of_range(headers),
            _ => return Err(failed(format!("the source answers {status}"), false)),
        };
        let size = size.ok_or_else(|| failed("the source does not tell its size".into(), false))?;
        let strong = headers::text(headers, "etag").filter(|etag| !etag.starts_with("W/"));
        Ok(SourceProperties {
            size,
            etag: strong.map(ETag::new),
            // No hash but that of the whole: that of the byte, if there is one, goes by the common name.
            headers: ContentHeaders::read("x-ms-blob-content-md5", |name| headers::owned(headers, name)),
            metadata: headers::metadata(headers),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{AccountConfig, Http, Options};
    use rstest::rstest;

    fn client(endpoint: &str) -> Client {
        let endpoint = Some(endpoint.to_owned());
        let config = AccountConfig { endpoint, key: Some("a2V5".into()), ..Default::default() };
        Client::new(config.resolve().unwrap(), Http::new(Options::default()))
    }

    #[rstest]
    #[case("https://acct.blob.core.windows.net", "https://acct.file.core.windows.net/s/d/a%20b", true)]
    #[case("https://acct.z12.blob.storage.azure.net", "https://acct.z12.file.storage.azure.net/s/d/a%20b", true)]
    #[case("http://127.0.0.1:10000/acct", "http://acct.file.localhost:10000/s/d/a%20b", true)]
    // Somebody else's, or with a credential of its own.
    #[case("https://acct.blob.core.windows.net", "https://other.file.core.windows.net/s/d/a%20b", false)]
    #[case("https://acct.blob.core.windows.net", "https://acct.file.core.windows.net.evil.com/s/d/a%20b", false)]
    #[case("https://acct.blob.core.windows.net", "https://acct.file.core.windows.net@evil.com/s/d/a%20b", false)]
    #[case("https://acct.blob.core.windows.net", "http://acct.file.core.windows.net/s/d/a%20b", false)]
    #[case("https://acct.blob.core.windows.net", "https://acct.file.core.windows.net/s/d/a%20b?sv=1&sig=x", false)]
    #[case("https://acct.blob.core.windows.net", "https://acct.file.core.windows.net/s", false)]
    // A domain of its own says nothing of where files are.
    #[case("https://acct.example.com/acct", "https://acct.file.example.com/s/d/a%20b", false)]
    fn files_of_an_account_are_known_by_their_host(#[case] endpoint: &str, #[case] url: &str, #[case] known: bool) {
        let file = SharedFile { share: "s".into(), path: "d/a b".into() };
        assert_eq!(client(endpoint).file_at(url), known.then_some(file));
    }

    #[test]
    fn a_file_gets_a_sas_of_its_own() {
        let client = client("https://acct.blob.core.windows.net");
        let url = "https://acct.file.core.windows.net/s/f";
        let file = client.file_at(url).unwrap();
        let source = client.file_source(url, &file, Duration::from_secs(60)).unwrap();
        assert!(source.expose().starts_with(&format!("{url}?sv=2025-11-05&sr=f&st=")), "{source}");
        assert!(source.expose().contains("&sp=r&sig="));
        assert!(source.is_shared_file() && source.is_azure_storage());
    }

    #[test]
    fn what_is_typed_becomes_a_header() {
        let source = CopySource::external("https://a.example/ä b?x=1%20&sig=y#end").unwrap();
        assert_eq!(source.expose(), "https://a.example/%C3%A4%20b?x=1%20&sig=y");
        for wrong in ["ftp://a/b", "https://", "https://user:secret@a.example/b"] {
            let error = CopySource::external(wrong).unwrap_err();
            assert_eq!(error.errno(), libc::EINVAL, "{wrong}");
            assert!(!error.to_string().contains("secret"));
        }
        // S203, S204
        let error = CopySource::external("https://a.blob.core.windows.net/c/a\\b?sig=secret").unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL);
        assert!(error.to_string().contains("means another blob") && !error.to_string().contains("secret"), "{error}");
        let long = format!("https://a.example/{}", "x".repeat(2048));
        assert_eq!(CopySource::external(&long).unwrap_err().errno(), libc::ENAMETOOLONG);
    }

    #[tokio::test]
    async fn nobody_is_asked_over_plain_http() {
        let client = client("https://acct.blob.core.windows.net");
        for url in ["http://169.254.169.254/metadata", "http://127.0.0.1:1/x"] {
            let error = client.source_properties(&CopySource::new(url)).await.unwrap_err();
            assert!(error.to_string().ends_with("only https is asked"), "{error}");
        }
    }
}
