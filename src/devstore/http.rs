//! Connections and the common part of every exchange.
//!
//! One task per connection runs hyper's HTTP/1.1. For each request: parse, name the operation, ask the fault rules,
//! check credentials, read the body while hashing it, carry out, and decorate the answer with what every response has
//! (§2). hyper is used directly because faults need what a framework hides: a service that fails closes its connection
//! without a response byte, and a body that fails breaks the response off.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use md5::{Digest, Md5};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::checksum::{crc64_header, parse_md5, sent_crc64};
use super::clock::{iso, rfc1123};
use super::control;
use super::dispatch;
use super::error::{Code, ServiceError};
use super::faults::{Fault, Reset, pass};
use super::operation::Operation;
use super::reply::{Damage, Outcome, Reply, ReplyBody, announce, refuse, refuse_in_json};
use super::request::{Call, Upload};
use super::server::Server;
use super::spelling::{Spelling, Wire};
use super::stats::RequestRecord;
use super::timer;
use super::versions;

/// A refused upload is read to its end up to this size, so that the client is reading when the refusal arrives.
const DRAINED: u64 = 64 << 20;

/// Most memory reserved for a body on the word of its Content-Length; longer ones grow as they arrive.
const TRUSTED_LENGTH: u64 = 64 << 20;

/// Ends a connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("connection closed by a fault rule")]
struct HangUp;

/// Accepts connections until the task is dropped, which drops the connections too.
pub(super) async fn serve(listener: TcpListener, server: Arc<Server>) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(stream, Arc::clone(&server)))),
                Err(error) => {
                    // Out of descriptors, most likely; a closing connection will free one.
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, server: Arc<Server>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let spelling = Arc::new(Spelling::default());
    let wire = TokioIo::new(Wire::new(stream, Arc::clone(&spelling)));
    let service = service_fn(move |request| {
        let (server, spelling) = (Arc::clone(&server), Arc::clone(&spelling));
        async move {
            let (reply, damage, head) = exchange(&server, request, spelling.of_request()).await?;
            // S73; a refusal that does not come from the service proper (S72, S151) was not looked at.
            let chunked = head && !reply.status.is_success() && reply.status != StatusCode::NOT_MODIFIED;
            let chunked = chunked && reply.headers.contains_key("x-ms-error-code");
            spelling.answer(reply.names.clone(), chunked);
            Ok::<_, HangUp>(respond(&server, reply, damage, head))
        }
    });
    if let Err(error) = http1::Builder::new().serve_connection(wire, service).await {
        tracing::debug!(%error, "connection ended");
    }
}

/// Reply, what is done to it, and whether the request was a HEAD. `names`: those of the request's metadata, as they were sent.
async fn exchange(
    server: &Arc<Server>,
    request: Request<Incoming>,
    names: Vec<String>,
) -> Result<(Reply, Damage, bool), HangUp> {
    if request.uri().path().starts_with(control::PREFIX) {
        return Ok((control::answer(server, request).await, Damage::default(), false));
    }
    let id = Uuid::new_v4().to_string();
    let head = request.method() == Method::HEAD;
    let common = Common::of(&request, &id);
    let (parts, body) = request.into_parts();
    let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or("").to_owned());
    let mut record = RequestRecord {
        operation: "Unknown",
        method: parts.method.to_string(),
        path: path.clone(),
        query: super::address::redact(&query),
        status: 0,
        sent: 0,
        answered: 0,
    };
    let known = |account: &str| server.key(account).is_some();
    let call = Call::parse(parts.method, &path, &query, parts.headers, server.namespace, known);
    let named = call.map(|call| Call { answers: server.answers, names, now: server.now(), ..call });
    let named = named.and_then(|call| Ok((Operation::of(&call)?, call)));
    record.sent = body.size_hint().exact().unwrap_or(0);
    let mut body = Some(body);
    let mut damage = Damage::default();
    let mut of_dfs = false;
    let outcome = match named {
        Err(error) => Ok(Err(error)),
        Ok((operation, call)) => {
            (record.operation, of_dfs) = (operation.name(), operation.is_of_dfs());
            let _in_flight = server.statistics.begin(operation.name());
            let fault = server.faults.hit(operation.name(), &call);
            damage = fault.damage();
            run(server, call, operation, &mut body, &fault).await
        }
    };
    let Ok(outcome) = outcome else {
        server.statistics.record(record);
        return Err(HangUp);
    };
    if let Some(body) = body {
        drain(body).await;
    }
    let mut early = false;
    let mut reply = outcome.unwrap_or_else(|error| {
        tracing::debug!(operation = record.operation, path, code = %error.code, "refused");
        early = error.early;
        let error = error.in_version(&common.version);
        let now = iso(server.now());
        match of_dfs {
            true => refuse_in_json(error, &id, &now, head),
            false => refuse(error, &id, &now, head),
        }
    });
    common.decorate(&mut reply, early, server.now());
    if reply.headers.get("x-ms-error-code").is_some_and(|code| code == "AuthorizationServiceMismatch") {
        // S146
        reply.headers.remove("x-ms-version");
    }
    record.status = reply.status.as_u16();
    record.answered = reply.body.len();
    server.statistics.record(record);
    Ok((reply, damage, head))
}

/// Carries out a named operation, with whatever a fault rule does on the way. Takes `body` when it reads it.
async fn run(
    server: &Server,
    mut call: Call,
    operation: Operation,
    body: &mut Option<Incoming>,
    fault: &Fault,
) -> Result<Outcome, HangUp> {
    let delay = server.latency + Duration::from_millis(fault.delay_ms);
    if !delay.is_zero() {
        timer::sleep(delay).await;
        call.now = server.now();
    }
    pass(fault.gate.as_ref()).await;
    if fault.reset == Some(Reset::Before) {
        return Err(HangUp);
    }
    if fault.reset == Some(Reset::Within) {
        if let Some(mut body) = body.take() {
            // What it says does not matter: the connection ends here.
            let _ = body.frame().await;
        }
        return Err(HangUp);
    }
    let error = fault.error();
    if let (Some(error), false) = (&error, fault.after) {
        return Ok(Err(error.clone()));
    }
    let outcome = carry_out(server, call, operation, body).await;
    if let Ok(reply) = &outcome {
        timer::sleep(reply.takes).await;
    }
    if fault.answer_delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(fault.answer_delay_ms)).await;
    }
    pass(fault.answer_gate.as_ref()).await;
    if fault.reset == Some(Reset::After) {
        return Err(HangUp);
    }
    Ok(error.map_or(outcome, Err))
}

async fn carry_out(server: &Server, mut call: Call, operation: Operation, body: &mut Option<Incoming>) -> Outcome {
    check_version(&call)?;
    call.check_moment()?;
    server.admit(&mut call, operation)?;
    super::web::fetch(server, &mut call, operation).await?;
    let upload = match call.method {
        Method::PUT | Method::POST | Method::PATCH => receive(server, &call, operation, body).await?,
        _ => Upload::default(),
    };
    call.now = server.now();
    dispatch::perform(server, &call, operation, upload)
}

/// 400 for a version that there is not, before anything else is looked at (S151).
fn check_version(call: &Call) -> Result<(), ServiceError> {
    match call.header("x-ms-version") {
        Some(version) if !versions::exists(version) => {
            Err(ServiceError::invalid_header("x-ms-version", version).early())
        }
        _ => Ok(()),
    }
}

/// Reads a body, hashing as it comes, and checks the checksums sent with it.
async fn receive(
    server: &Server,
    call: &Call,
    operation: Operation,
    body: &mut Option<Incoming>,
) -> Result<Upload, ServiceError> {
    let length: u64 = call.number("content-length")?.ok_or(Code::MissingContentLengthHeader)?;
    let limit = server.body_limit(operation);
    if length > limit {
        return Err(ServiceError::from(Code::RequestBodyTooLarge).with_detail("MaxLimit", limit.to_string()));
    }
    // Of a whole block blob the hash to be stored is verified too, and then the other one is not looked at.
    let is_whole = operation == Operation::PutBlob && call.header("x-ms-blob-type") == Some("BlockBlob");
    let stored_md5 = call.header("x-ms-blob-content-md5").filter(|_| is_whole);
    let sent_md5 = stored_md5.or_else(|| call.header("content-md5")).map(parse_md5).transpose()?;
    let sent_crc64 = sent_crc64(call, "x-ms-content-crc64")?;
    if call.headers.contains_key("content-md5") && sent_crc64.is_some() {
        return Err(Code::BothCrc64AndMd5HeaderPresent.into());
    }
    // MD5 is slow, so only where the service stores it or the client asked; CRC64 costs next to nothing.
    let mut md5 = (sent_md5.is_some() || operation == Operation::PutBlob).then(Md5::new);
    let mut crc64 = crc64fast_nvme::Digest::new();
    let mut bytes = BytesMut::with_capacity(length.min(TRUSTED_LENGTH) as usize);
    if let Some(mut body) = body.take() {
        while let Some(frame) = body.frame().await {
            // The client broke off; nobody will read the answer.
            let frame = frame.map_err(|_| ServiceError::from(Code::InvalidInput))?;
            if let Ok(data) = frame.into_data() {
                if let Some(md5) = &mut md5 {
                    md5.update(&data);
                }
                crc64.write(&data);
                bytes.extend_from_slice(&data);
            }
        }
    }
    let md5: Option<[u8; 16]> = md5.map(|md5| md5.finalize().into());
    let crc64 = crc64.sum64();
    if sent_md5.is_some() && sent_md5 != md5 {
        return Err(Code::Md5Mismatch.into());
    }
    if sent_crc64.is_some_and(|sent| sent != crc64_header(crc64)) {
        return Err(Code::Crc64Mismatch.into());
    }
    if operation.carries_payload() {
        server.statistics.count_in(bytes.len() as u64);
    }
    Ok(Upload { bytes: bytes.freeze(), md5, crc64: Some(crc64) })
}

async fn drain(mut body: Incoming) {
    let mut seen = 0;
    while let Some(Ok(frame)) = body.frame().await {
        seen += frame.data_ref().map_or(0, |data: &Bytes| data.len() as u64);
        if seen > DRAINED {
            return;
        }
    }
}

/// Headers that every response repeats from its request (§2).
#[derive(Debug)]
struct Common {
    request_id: String,
    version: String,
    client_request_id: Option<String>,
}

impl Common {
    fn of(request: &Request<Incoming>, id: &str) -> Common {
        let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Common {
            request_id: id.to_owned(),
            version: text("x-ms-version").unwrap_or_else(|| versions::DEFAULT.to_owned()),
            client_request_id: text("x-ms-client-request-id"),
        }
    }

    fn decorate(&self, reply: &mut Reply, early: bool, now: SystemTime) {
        if !early {
            reply.set("x-ms-request-id", &self.request_id);
            reply.set("x-ms-version", &self.version);
            reply.set_optional("x-ms-client-request-id", self.client_request_id.as_deref());
        }
        reply.set("server", concat!("blobcp-devstore/", env!("CARGO_PKG_VERSION")));
        reply.set("date", &rfc1123(now));
    }
}

fn respond(server: &Server, reply: Reply, damage: Damage, head: bool) -> Response<ReplyBody> {
    let Reply { status, mut headers, body, names: _, takes: _ } = reply;
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    // A HEAD answer has its length set by its handler and an empty body. If it is a refusal, it has none, but says
    // that it is chunked, which hyper leaves to [`Wire`] (S73).
    let known = headers.contains_key("content-length") || bodiless || (head && !status.is_success());
    if !known {
        announce(&mut headers, body.len());
    }
    let damage = if damage.shows(body.len()) { damage } else { Damage::default() };
    if damage != Damage::default() {
        server.faults.count();
    }
    let body = match status {
        StatusCode::NOT_MODIFIED => {
            announce(&mut headers, 0);
            ReplyBody::announced_empty()
        }
        _ => ReplyBody::new(body, damage, &server.statistics.bytes_out),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
