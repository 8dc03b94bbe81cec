//! The library's requests over our own connections.
//!
//! So there is one HTTP stack in the process, with one set of trust roots and proxies, and redirects are not followed
//! here either: what is posted is a secret.

use std::fmt;
use std::sync::{Arc, Mutex};

use azure_core::error::{Error, ErrorKind};
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use crate::store::body::MOST;
use crate::store::connections::{Broken, Outgoing};
use crate::store::endpoint::is_loopback;
use crate::store::http::Http;
use crate::store::payload::Payload;
use crate::store::spelling::Names;
use crate::sync::lock;

/// The metadata service of Azure's machines.
pub(super) const IMDS_HOST: &str = "169.254.169.254";

/// Characters of an answer that nobody understands.
const LONGEST_TEXT: usize = 200;

pub(super) struct Wire {
    pub http: Http,
    /// An authority on this machine that speaks plain http.
    pub plain: Option<Url>,
    /// Instead of [`IMDS_HOST`]: scheme, host and port.
    pub metadata_host: Option<String>,
    /// Last answer that was no token.
    pub refusal: Arc<Mutex<Option<Refusal>>>,
}

/// An answer that is no token.
pub(super) struct Refusal {
    pub status: u16,
    pub text: String,
}

impl Refusal {
    /// The library cannot read a description with escapes in it, which most have: line breaks.
    fn of(status: u16, body: &[u8]) -> Self {
        let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let field = |name: &str| json[name].as_str().map(str::to_owned);
        let text = field("error_description").or_else(|| field("error"));
        let raw = || String::from_utf8_lossy(body).chars().take(LONGEST_TEXT).collect();
        Self { status, text: text.unwrap_or_else(raw) }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("plain", &self.plain).field("metadata_host", &self.metadata_host).finish()
    }
}

impl Wire {
    fn target(&self, url: &Url) -> Result<Url, Error> {
        if let Some(plain) = &self.plain
            && (plain.host(), plain.port_or_known_default()) == (url.host(), url.port_or_known_default())
        {
            let mut url = url.clone();
            // Between the two schemes of the web this cannot fail.
            let _ = url.set_scheme("http");
            return Ok(url);
        }
        match &self.metadata_host {
            Some(host) if url.host_str() == Some(IMDS_HOST) => {
                let base = host.trim_end_matches('/');
                let text = format!("{base}{}?{}", url.path(), url.query().unwrap_or_default());
                Url::parse(&text).map_err(|error| Error::new(ErrorKind::Other, error))
            }
            _ => Ok(url.clone()),
        }
    }
}

#[async_trait::async_trait]
impl HttpClient for Wire {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let url = self.target(request.url())?;
        let local = url.host_str().is_some_and(|host| is_loopback(host) || host == IMDS_HOST);
        let connections = self.http.connections(local).map_err(|text| Error::with_message(ErrorKind::Other, text))?;
        let other = |error: Box<dyn std::error::Error + Send + Sync>| Error::new(ErrorKind::Other, error);
        let method = Method::from_bytes(request.method().as_ref().as_bytes()).map_err(|error| other(error.into()))?;
        let mut headers = HeaderMap::new();
        for (name, value) in request.headers().iter() {
            let name = HeaderName::from_bytes(name.as_str().as_bytes()).map_err(|error| other(error.into()))?;
            headers.insert(name, HeaderValue::from_str(value.as_str()).map_err(|error| other(error.into()))?);
        }
        let body = match request.body() {
            Body::Bytes(bytes) => Payload::from(bytes.clone()),
            _ => Payload::default(),
        };
        let failed = |broken: Broken| {
            let kind = if broken.unsent { ErrorKind::Connection } else { ErrorKind::Io };
            Error::with_message(kind, broken.detail)
        };
        let (url, names, written) = (url.as_str(), &Names::default(), &Arc::default());
        let answer = connections
            .send(Outgoing { method, url, headers, names, body: body.as_body(), written })
            .await
            .map_err(failed)?;
        let status = answer.status;
        let mut headers = Headers::new();
        for (name, value) in answer.headers.iter() {
            if let Ok(value) = value.to_str() {
                headers.insert(name.as_str().to_owned(), value.to_owned());
            }
        }
        let body = answer.whole(MOST).await.map_err(failed)?;
        if !(200..300).contains(&status) {
            let refusal = Refusal::of(status, &body);
            *lock(&self.refusal) = Some(refusal);
        }
        Ok(AsyncRawResponse::from_bytes(status.into(), headers, body))
    }
}
