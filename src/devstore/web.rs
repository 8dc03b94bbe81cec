//! Copy sources that are not of this server: any URL on this machine (§13.13).
//!
//! The service reads such a source over HTTP, and what it sends there decides what a source can be: Copy Blob looks
//! with HEAD first, so a URL that is signed for GET alone is refused, while the From-URL operations begin with GET.
//! Redirects are not followed, and nothing but the URL says who asks. Only loopback hosts and plain HTTP are read,
//! which is all that a test needs; everything else is as unreachable as a host behind a firewall is for the service.

use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use hyper::StatusCode;
use reqwest::header::HeaderMap;
use reqwest::{Client, Response, redirect};

use super::content::Content;
use super::error::{Code, ServiceError, cannot_verify};
use super::model::{Blob, Kind, Properties};
use super::operation::Operation;
use super::request::Call;
use super::server::Server;
use super::source::is_here;

/// Longest wait for a source: the service gives up, too.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest source that is read, in bytes: it is held in memory.
const LONGEST: u64 = 256 << 20;

/// Reads the source of a copy if it is a URL of another server, and leaves it in `call`. What cannot be reached is left
/// to be refused as a source that does not exist.
pub(super) async fn fetch(server: &Server, call: &mut Call, operation: Operation) -> Result<(), ServiceError> {
    let Some(url) = call.header("x-ms-copy-source").map(str::to_owned) else { return Ok(()) };
    let Some((authority, _)) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')) else {
        return Ok(());
    };
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let loopback = matches!(host, "127.0.0.1" | "localhost" | "[::1]") || host.ends_with(".localhost");
    if !loopback || is_here(server, call, authority) {
        return Ok(());
    }
    let client = Client::builder().no_proxy().redirect(redirect::Policy::none()).timeout(PATIENCE).build();
    let Ok(client) = client else { return Ok(()) };
    if matches!(operation, Operation::CopyBlob | Operation::CopyBlobFromURL) {
        let Ok(head) = client.head(&url).send().await else { return Ok(()) };
        accept(&head)?;
    }
    let Ok(mut answer) = client.get(&url).send().await else { return Ok(()) };
    accept(&answer)?;
    if let Some(wanted) = call.headers.remove("x-ms-source-if-match") {
        let found = answer.headers().get("etag");
        if found.is_none_or(|found| found.as_bytes() != wanted.as_bytes()) {
            return Err(Code::SourceConditionNotMet.into());
        }
    }
    let properties = properties(answer.headers());
    let mut bytes = BytesMut::new();
    loop {
        match answer.chunk().await {
            Ok(Some(part)) if bytes.len() as u64 + part.len() as u64 <= LONGEST => bytes.extend_from_slice(&part),
            Ok(None) => break,
            // It broke off, or it is more than this server holds.
            _ => return Err(cannot_verify(ServiceError::from(Code::InvalidInput))),
        }
    }
    let mut blob = Blob::new(Kind::unlisted(), Content::from(bytes.freeze()), 0, SystemTime::now());
    blob.properties = properties;
    call.fetched = Some(blob);
    Ok(())
}

/// A source has to answer with success and with its length.
fn accept(answer: &Response) -> Result<(), ServiceError> {
    let text = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let status = StatusCode::from_u16(answer.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    if !status.is_success() {
        // A redirect is no answer to pass on.
        let status = if status.is_redirection() { StatusCode::BAD_REQUEST } else { status };
        let mut error = ServiceError::from(Code::ResourceNotFound).with_status(status);
        error.code = text("x-ms-error-code").unwrap_or_default().to_owned().into();
        return Err(cannot_verify(error));
    }
    if text("content-length").is_none() {
        return Err(cannot_verify(ServiceError::from(Code::InvalidInput).with_status(StatusCode::CONFLICT)));
    }
    Ok(())
}

fn properties(headers: &HeaderMap) -> Properties {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Properties {
        content_type: text("content-type"),
        encoding: text("content-encoding"),
        language: text("content-language"),
        md5: text("content-md5"),
        disposition: text("content-disposition"),
        cache_control: text("cache-control"),
    }
}
