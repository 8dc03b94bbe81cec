//! Blob Batch (S155): many deletes, or many changes of tier, in one request.
//!
//! The body is `multipart/mixed`, and so is the answer. Each part holds one request with credentials of its own, which
//! is judged and carried out as if it had come alone; the whole is 202 whatever becomes of its parts. What is no batch
//! at all is refused as a whole.

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode};
use uuid::Uuid;

use super::address::{Target, redact};
use super::clock::iso;
use super::error::{Code, ServiceError};
use super::operation::Operation;
use super::reply::{Outcome, Payload, Reply, refuse};
use super::request::{Call, Upload};
use super::server::Server;
use super::stats::RequestRecord;

/// Most requests in a batch.
const MOST_PARTS: usize = 256;
/// Longest body of a batch, bytes.
const LONGEST: usize = 4 << 20;

/// One request of a batch as it was sent.
struct Part {
    /// `Content-ID`, which the answer repeats.
    id: Option<String>,
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
}

/// Carries out a batch. `perform` carries out one admitted request of it.
pub(super) fn submit(
    server: &Server,
    call: &Call,
    upload: &Upload,
    perform: impl Fn(&Server, &Call, Operation, Upload) -> Outcome,
) -> Outcome {
    if upload.bytes.len() > LONGEST {
        return Err(ServiceError::from(Code::RequestBodyTooLarge).with_detail("MaxLimit", LONGEST.to_string()));
    }
    let parts = parts(call, &upload.bytes).ok_or(Code::InvalidInput)?;
    if parts.is_empty() {
        return Err(Code::InvalidInput.into());
    }
    if parts.len() > MOST_PARTS {
        return Err(Code::ExceedsMaxBatchRequestCount.into());
    }
    let mut calls = Vec::new();
    for part in parts {
        let (id, query) = (part.id.clone(), redact(&part.query));
        let (part, operation) = named(server, call, part)?;
        calls.push((id, query, part, operation));
    }
    let boundary = format!("batchresponse_{}", Uuid::new_v4());
    let mut body = String::new();
    for (id, query, part, operation) in calls {
        body += &format!("--{boundary}\r\nContent-Type: application/http\r\n");
        if let Some(id) = id {
            body += &format!("Content-ID: {id}\r\n");
        }
        body += "\r\n";
        let (record, answer) = answer(server, part, operation, &perform);
        server.statistics.record(RequestRecord { query, ..record });
        body += &answer;
        body += "\r\n";
    }
    body += &format!("--{boundary}--\r\n");
    let mut reply = Reply::new(StatusCode::ACCEPTED);
    reply.set(CONTENT_TYPE.as_str(), &format!("multipart/mixed; boundary={boundary}"));
    reply.body = Payload::Document(body.into());
    Ok(reply)
}

/// The part as a call, if it is one of those that a batch can hold, for a blob that the batch is about.
fn named(server: &Server, batch: &Call, part: Part) -> Result<(Call, Operation), ServiceError> {
    let mut headers = part.headers;
    // What is addressed is addressed as the batch is; the version is its, too, and is no part of what is signed.
    if let Some(host) = batch.headers.get(HOST) {
        headers.insert(HOST, host.clone());
    }
    let has_token = headers.get(AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"Bearer "));
    if let Some(version) = batch.headers.get("x-ms-version").filter(|_| has_token) {
        headers.insert("x-ms-version", version.clone());
    }
    let known = |account: &str| server.key(account).is_some();
    let call = Call::parse(part.method, &part.path, &part.query, headers, server.namespace, known)?;
    let operation = Operation::of(&call)?;
    let same_container = match &batch.target {
        Target::Container { container } => call.container()? == container,
        _ => true,
    };
    match operation {
        Operation::DeleteBlob | Operation::SetBlobTier if call.account == batch.account && same_container => {
            Ok((call, operation))
        }
        _ => Err(Code::InvalidInput.into()),
    }
}

/// What a part is answered: a status line, headers and perhaps a document. And the record of it, without its query.
fn answer(
    server: &Server,
    mut call: Call,
    operation: Operation,
    perform: impl Fn(&Server, &Call, Operation, Upload) -> Outcome,
) -> (RequestRecord, String) {
    let (path, method) = (call.raw_path.clone(), call.method.to_string());
    let fault = server.faults.hit(operation.name(), &call);
    let outcome = match fault.error() {
        Some(error) => Err(error),
        None => server.admit(&mut call, operation).and_then(|()| perform(server, &call, operation, Upload::default())),
    };
    let id = Uuid::new_v4().to_string();
    let (reply, reason) = match outcome {
        Ok(reply) => {
            let reason = reply.status.canonical_reason().unwrap_or_default().to_owned();
            (reply, reason)
        }
        Err(error) => {
            let reason = error.message.lines().next().unwrap_or_default().to_owned();
            (refuse(error, &id, &iso(call.now), false), reason)
        }
    };
    let status = reply.status.as_u16();
    let record =
        RequestRecord { operation: operation.name(), method, path, query: String::new(), status, sent: 0, answered: 0 };
    let mut text = format!("HTTP/1.1 {status} {reason}\r\nx-ms-request-id: {id}\r\n");
    for (name, value) in &reply.headers {
        text += &format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes()));
    }
    match &reply.body {
        Payload::Document(document) => {
            text += &format!("content-length: {}\r\n\r\n", document.len());
            text += &String::from_utf8_lossy(document);
        }
        _ => text += "\r\n",
    }
    (record, text)
}

/// The parts of a batch's body; `None` if it is none.
fn parts(call: &Call, body: &[u8]) -> Option<Vec<Part>> {
    let kind = call.header(CONTENT_TYPE.as_str())?;
    let (kind, parameters) = kind.split_once(';')?;
    let boundary = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then_some(value.trim())
    })?;
    if !kind.trim().eq_ignore_ascii_case("multipart/mixed") {
        return None;
    }
    let body = std::str::from_utf8(body).ok()?.replace("\r\n", "\n");
    let delimiter = format!("--{}", boundary.trim_matches('"'));
    let mut parts = Vec::new();
    for text in body.split(&delimiter).skip(1) {
        if text.starts_with("--") {
            return Some(parts);
        }
        parts.push(part(text.strip_prefix('\n')?)?);
    }
    // The last delimiter never came.
    None
}

fn part(text: &str) -> Option<Part> {
    let (envelope, request) = text.split_once("\n\n")?;
    let id = envelope.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-id").then(|| value.trim().to_owned())
    });
    let mut lines = request.lines();
    let mut line = lines.next()?.split(' ');
    let (method, target) = (line.next()?.parse().ok()?, line.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = HeaderMap::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        headers.insert(HeaderName::try_from(name.trim()).ok()?, HeaderValue::try_from(value.trim()).ok()?);
    }
    Some(Part { id, method, path: path.to_owned(), query: query.to_owned(), headers })
}
