//! The smallest client that can talk to the devstore: it signs what it is told to send and shows what came back.
//!
//! Signing is written out here once more, independently of both the server and blobcp's client.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blobcp::devstore::{AccountConfig, Config, Devstore};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::HeaderMap;
use sha2::Sha256;

pub const ONE: &str = "one";
pub const TWO: &str = "two";

/// Headers to send with a request; names in lower case.
pub type Headers<'a> = &'a [(&'a str, &'a str)];

/// A server with two accounts and the container `box` in each.
pub async fn server(config: Config) -> Devstore {
    let accounts = vec![AccountConfig::named("one"), AccountConfig::named("two")];
    let server = Devstore::start(Config { accounts, ..config }).await.unwrap();
    for account in [ONE, TWO] {
        server.create_container(account, "box").unwrap();
    }
    server
}

/// A response read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status and error code in one, as the tests state them.
    pub fn outcome(&self) -> String {
        match self.header("x-ms-error-code") {
            "" => self.status.to_string(),
            code => format!("{} {code}", self.status),
        }
    }

    /// The body without the byte order mark that documents begin with.
    pub fn text(&self) -> String {
        let text = String::from_utf8(self.body.to_vec()).unwrap();
        text.strip_prefix('\u{FEFF}').map(str::to_owned).unwrap_or(text)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The texts of all elements of a name.
    pub fn elements(&self, name: &str) -> Vec<String> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let text = self.text();
        text.split(&open).skip(1).map(|rest| rest.split(&close).next().unwrap().to_owned()).collect()
    }
}

/// A signing client for one account.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    pub account: String,
    key: Vec<u8>,
    root: String,
    control_token: String,
}

impl Client {
    pub fn new(server: &Devstore, account: &str) -> Client {
        Client {
            http: reqwest::Client::new(),
            account: account.to_owned(),
            key: STANDARD.decode(server.account_key(account).unwrap()).unwrap(),
            root: format!("http://{}", server.address()),
            control_token: server.control_token().to_owned(),
        }
    }

    /// The URL of a path below the account, `box/blob?query`.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{}/{path}", self.root, self.account)
    }

    /// The URL of `box/BLOB` with a read SAS that ends after `life`.
    pub fn shared_url(&self, blob: &str, life: Duration) -> String {
        let path = format!("box/{blob}");
        format!("{}?{}", self.url(&path), self.signature(blob, "r", life))
    }

    /// The query of a SAS for `box/BLOB`.
    pub fn signature(&self, blob: &str, letters: &str, life: Duration) -> String {
        self.signature_between(blob, letters, None, SystemTime::now() + life)
    }

    /// The same with times of its own.
    pub fn signature_between(
        &self,
        blob: &str,
        letters: &str,
        start: Option<SystemTime>,
        expiry: SystemTime,
    ) -> String {
        let (start, expiry, account) = (start.map(iso).unwrap_or_default(), iso(expiry), &self.account);
        let resource = format!("/blob/{account}/box/{blob}");
        let text = format!("{letters}\n{start}\n{expiry}\n{resource}\n\n\n\n2025-11-05\nb\n\n\n\n\n\n\n");
        let signature = encode(&self.sign(&text));
        let start = if start.is_empty() { start } else { format!("&st={}", encode(&start)) };
        format!("sv=2025-11-05&sr=b{start}&se={}&sp={letters}&sig={signature}", encode(&expiry))
    }

    /// The query of a SAS for reading `box/BLOB` that sets headers of the answer: Cache-Control, Content-Disposition,
    /// Content-Encoding, Content-Language, Content-Type.
    pub fn signature_with_headers(&self, blob: &str, values: [&str; 5]) -> String {
        let (expiry, account) = (iso(SystemTime::now() + Duration::from_secs(3600)), &self.account);
        let resource = format!("/blob/{account}/box/{blob}");
        let text = format!("r\n\n{expiry}\n{resource}\n\n\n\n2025-11-05\nb\n\n\n{}", values.join("\n"));
        let signature = encode(&self.sign(&text));
        let names = ["rscc", "rscd", "rsce", "rscl", "rsct"];
        let set: String = names.iter().zip(values).map(|(name, value)| format!("&{name}={}", encode(value))).collect();
        format!("sv=2025-11-05&sr=b&se={}&sp=r{set}&sig={signature}", encode(&expiry))
    }

    /// The query of a SAS for the container `box` for an hour.
    pub fn container_signature(&self, letters: &str) -> String {
        let (expiry, account) = (iso(SystemTime::now() + Duration::from_secs(3600)), &self.account);
        let text = format!("{letters}\n\n{expiry}\n/blob/{account}/box\n\n\n\n2025-11-05\nc\n\n\n\n\n\n\n");
        let signature = encode(&self.sign(&text));
        format!("sv=2025-11-05&sr=c&se={}&sp={letters}&sig={signature}", encode(&expiry))
    }

    /// The query of an account SAS for an hour.
    pub fn account_signature(&self, services: &str, types: &str, letters: &str) -> String {
        let (expiry, account) = (iso(SystemTime::now() + Duration::from_secs(3600)), &self.account);
        let text = format!("{account}\n{letters}\n{services}\n{types}\n\n{expiry}\n\n\n2025-11-05\n\n");
        let signature = encode(&self.sign(&text));
        format!("sv=2025-11-05&ss={services}&srt={types}&se={}&sp={letters}&sig={signature}", encode(&expiry))
    }

    /// The query of a read SAS for a file of Azure Files, whose string to sign is an older one.
    pub fn file_signature(&self, share: &str, path: &str, life: Duration) -> String {
        let (expiry, account) = (iso(SystemTime::now() + life), &self.account);
        let text = format!("r\n\n{expiry}\n/file/{account}/{share}/{path}\n\n\n\n2025-11-05\n\n\n\n\n");
        let signature = encode(&self.sign(&text));
        format!("sv=2025-11-05&sr=f&se={}&sp=r&sig={signature}", encode(&expiry))
    }

    fn sign(&self, text: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).unwrap();
        mac.update(text.as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    }

    /// Signs with another's key from now on.
    pub fn take_key_of(&mut self, other: &Client) {
        self.key.clone_from(&other.key);
    }

    /// The headers of a request of a batch: those given, its date and its signature.
    pub fn signed(&self, method: &str, path: &str, headers: Headers<'_>) -> Vec<(String, String)> {
        let date = httpdate::fmt_http_date(SystemTime::now());
        let mut sent = vec![("x-ms-date", date.as_str())];
        sent.extend(headers);
        let authorization = self.authorization(method, path, &sent, 0);
        let sent = sent.into_iter().chain([("authorization", authorization.as_str())]);
        sent.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn authorization(&self, method: &str, path: &str, sent: &[(&str, &str)], length: usize) -> String {
        let length = if length == 0 { String::new() } else { length.to_string() };
        let header = |name: &str| sent.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value);
        let mut text = [
            method,
            "",
            "",
            &length,
            header("content-md5"),
            header("content-type"),
            "",
            header("if-modified-since"),
            header("if-match"),
            header("if-none-match"),
            header("if-unmodified-since"),
            header("range"),
        ]
        .join("\n");
        let mut canonical: Vec<_> = sent.iter().filter(|(name, _)| name.starts_with("x-ms-")).collect();
        canonical.sort();
        for (name, value) in canonical {
            text.push_str(&format!("\n{name}:{value}"));
        }
        let (path_only, query) = path.split_once('?').unwrap_or((path, ""));
        text.push_str(&format!("\n/{0}/{0}/{path_only}", self.account));
        let mut pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
        pairs.sort();
        for pair in pairs {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_encoding::percent_decode_str(value).decode_utf8().unwrap();
            text.push_str(&format!("\n{name}:{value}"));
        }
        format!("SharedKey {}:{}", self.account, self.sign(&text))
    }

    /// Sends a signed request; the error is a connection that broke.
    pub async fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: Headers<'_>,
        body: impl Into<Bytes>,
    ) -> Result<Answer, reqwest::Error> {
        let body = body.into();
        let date = httpdate::fmt_http_date(SystemTime::now());
        let mut sent = vec![("x-ms-date", date.as_str())];
        if !headers.iter().any(|(name, _)| *name == "x-ms-version") {
            sent.push(("x-ms-version", "2025-11-05"));
        }
        sent.extend(headers);
        let mut request = self
            .http
            .request(method.parse().unwrap(), self.url(path))
            .header("authorization", self.authorization(method, path, &sent, body.len()));
        for (name, value) in sent {
            request = request.header(name, value);
        }
        if matches!(method, "PUT" | "PATCH") {
            request = request.header("content-length", body.len());
        }
        read(request.body(body)).await
    }

    pub async fn send(&self, method: &str, path: &str, headers: Headers<'_>, body: impl Into<Bytes>) -> Answer {
        self.try_send(method, path, headers, body).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    pub async fn head(&self, path: &str) -> Answer {
        self.send("HEAD", path, &[], "").await
    }

    /// HEAD, as soon as no copy is pending any more.
    pub async fn copied(&self, path: &str) -> Answer {
        let ended = async || Some(self.head(path).await).filter(|head| head.header("x-ms-copy-status") != "pending");
        crate::common::answer("the end of the copy", ended).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], "").await
    }

    /// PUT without a body.
    pub async fn put(&self, path: &str, headers: Headers<'_>) -> Answer {
        self.send("PUT", path, headers, "").await
    }

    /// Put Blob of a block blob.
    pub async fn upload(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.send("PUT", path, &[("x-ms-blob-type", "BlockBlob")], body).await
    }

    /// Copy Blob; the source is a URL.
    pub async fn copy(&self, path: &str, source: &str) -> Answer {
        self.put(path, &[("x-ms-copy-source", source)]).await
    }

    /// A request without credentials of its own.
    pub async fn unsigned(&self, method: &str, path: &str, headers: Headers<'_>) -> Answer {
        self.unsigned_with(method, path, headers, "").await
    }

    /// The same with a body.
    pub async fn unsigned_with(
        &self,
        method: &str,
        path: &str,
        headers: Headers<'_>,
        body: impl Into<Bytes>,
    ) -> Answer {
        let body = body.into();
        let mut request = self.http.request(method.parse().unwrap(), self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if method == "PUT" {
            request = request.header("content-length", body.len());
        }
        read(request.body(body)).await.unwrap()
    }

    /// A request to the control interface, with the token that it asks for.
    pub async fn control(&self, method: &str, path: &str, body: &str) -> Answer {
        let authorization = format!("Bearer {}", self.control_token);
        self.control_as(method, path, body, &[("authorization", &authorization)]).await
    }

    /// The same with these headers.
    pub async fn control_as(&self, method: &str, path: &str, body: &str, headers: Headers<'_>) -> Answer {
        let url = format!("{}{path}", self.root);
        let request = self.http.request(method.parse().unwrap(), url).body(body.to_owned());
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        read(request).await.unwrap()
    }
}

/// HTTP dates are the only ones at hand; their parts make the ISO form.
pub fn iso(time: SystemTime) -> String {
    let text = httpdate::fmt_http_date(time);
    let parts: Vec<&str> = text.split(' ').collect();
    let month = "JanFebMarAprMayJunJulAugSepOctNovDec".find(parts[2]).unwrap() / 3 + 1;
    format!("{}-{month:02}-{}T{}Z", parts[3], parts[1], parts[4])
}

fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

async fn read(request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Answer { status, headers, body: response.bytes().await? })
}

/// As much as headers tell of a time: by so much a test puts the clock of a server ahead (`Devstore::advance_clock`) to
/// see whether a time stays.
pub const SECOND: Duration = Duration::from_secs(1);
