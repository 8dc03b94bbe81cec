//! An answer on its way out.
//!
//! Handlers build a [`Reply`]; [`http`](super::http) adds what every response carries and streams the body. The body is
//! produced piece by piece from shared content, so a ranged read of a huge sparse blob allocates nothing, and it is
//! here that an injected fault cuts a response short or lets it stall.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LAST_MODIFIED};
use hyper::{HeaderMap, Method, StatusCode};
use tokio::time::Sleep;

use super::address::Revision;
use super::answers::{AccessTracking, TierOnGet};
use super::clock::rfc1123;
use super::content::{Chunks, Content};
use super::error::ServiceError;
use super::lease::{Action, Lease};
use super::model::{Blob, Encryption, Entry, Kind, Metadata, PageTier, Tier};
use super::protection::{HOLD, MODE, Protection, UNTIL};
use super::request::Call;
use super::spelling::PREFIX;

/// The answer of a handler.
pub(super) type Outcome = Result<Reply, ServiceError>;

/// Status, headers and body of an answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Names of metadata in the headers, as they are stored.
    pub names: Vec<String>,
    pub body: Payload,
    /// How long the service works before it answers so.
    pub takes: Duration,
}

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Payload {
    Empty,
    /// XML or JSON; not counted as blob payload.
    Document(Bytes),
    /// Blob payload.
    Content(Content),
}

impl Reply {
    pub(super) fn new(status: StatusCode) -> Reply {
        Reply { status, headers: HeaderMap::new(), names: Vec::new(), body: Payload::Empty, takes: Duration::ZERO }
    }

    pub(super) fn document(content_type: &'static str, text: String) -> Reply {
        let mut reply = Reply::new(StatusCode::OK).header("content-type", content_type);
        reply.body = Payload::Document(Bytes::from(text));
        reply
    }

    pub(super) fn xml(text: String) -> Reply {
        Reply::document("application/xml", text)
    }

    /// Adds a header. A value that HTTP cannot carry is dropped: it came in over HTTP, so there is none.
    pub(super) fn header(mut self, name: &'static str, value: impl AsRef<str>) -> Reply {
        self.set(name, value.as_ref());
        self
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_bytes())) {
            self.headers.insert(name, value);
        }
    }

    pub(super) fn set_optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    /// ETag and Last-Modified, and the version that they are of.
    pub(super) fn stamp(mut self, blob: &Blob) -> Reply {
        self.set_optional("x-ms-version-id", blob.version.as_deref());
        self.set(ETAG.as_str(), &blob.etag.quoted());
        self.set(LAST_MODIFIED.as_str(), &rfc1123(blob.last_modified));
        self
    }

    pub(super) fn metadata(mut self, metadata: &Metadata) -> Reply {
        for (name, value) in metadata.iter() {
            self.set(&format!("{PREFIX}{name}"), value);
            self.names.push(name.to_owned());
        }
        self
    }

    /// The customer's key or scope with which a blob is encrypted (S56).
    pub(super) fn tell_encryption(&mut self, encryption: &Encryption) {
        self.set_optional("x-ms-encryption-key-sha256", encryption.key.as_deref());
        self.set_optional("x-ms-encryption-scope", encryption.scope.as_deref());
    }

    /// What a path is, and whose (S134).
    pub(super) fn owned(self, blob: &Blob) -> Reply {
        self.header("x-ms-resource-type", blob.resource_type())
            .header("x-ms-owner", &blob.access.owner)
            .header("x-ms-group", &blob.access.group)
            .header("x-ms-permissions", blob.access.permissions())
    }

    /// How a version is kept, as GET and HEAD tell it (S114, S186).
    pub(super) fn protection(mut self, protection: &Protection) -> Reply {
        if let Some(until) = protection.until {
            self.set(MODE, until.mode());
            self.set(UNTIL, &rfc1123(until.time));
        }
        self.set_optional(HOLD, protection.hold.map(|hold| if hold { "true" } else { "false" }));
        self
    }

    /// All headers that Get Blob and Get Blob Properties say about a blob or snapshot (§8, §13.4).
    pub(super) fn describe(self, call: &Call, entry: &Entry, blob: &Blob) -> Reply {
        let mut reply = self.stamp(blob).metadata(&blob.shown_metadata()).header("accept-ranges", "bytes");
        reply.set("x-ms-creation-time", &rfc1123(blob.created));
        reply.set("x-ms-blob-type", blob.kind.name());
        reply.set("x-ms-server-encrypted", "true");
        for (header, _, value) in blob.properties.each() {
            reply.set_optional(header, value);
        }
        match &blob.kind {
            // Who gets the content is not told the tier (S69).
            Kind::Block { .. } if call.method == Method::GET && call.answers.tier_on_get == TierOnGet::Absent => {}
            Kind::Block { .. } => {
                reply.set("x-ms-access-tier", blob.tier.unwrap_or(Tier::Hot).name());
                match blob.tier_changed {
                    Some(changed) => reply.set("x-ms-access-tier-change-time", &rfc1123(changed)),
                    None => reply.set("x-ms-access-tier-inferred", "true"),
                }
                if let Some(rehydration) = blob.rehydrating {
                    reply.set("x-ms-archive-status", &rehydration.status());
                    // S99; versions are dates, and so in the order of texts.
                    let priority = call.header("x-ms-version").is_none_or(|version| version > "2018-11-09");
                    reply.set_optional("x-ms-rehydrate-priority", priority.then(|| rehydration.priority()));
                }
            }
            Kind::Append { blocks, sealed } => {
                reply.set("x-ms-blob-committed-block-count", &blocks.to_string());
                reply.set_optional("x-ms-blob-sealed", sealed.then_some("true"));
            }
            Kind::Page { sequence } => {
                reply.set("x-ms-blob-sequence-number", &sequence.to_string());
                reply.set_optional("x-ms-access-tier", blob.page_tier.map(PageTier::name));
            }
        }
        reply.tell_encryption(&blob.encryption);
        if !blob.tags.is_empty() {
            reply.set("x-ms-tag-count", &blob.tags.len().to_string());
        }
        if call.answers.access_tracking == AccessTracking::On {
            // The service looks once a day, and no blob here is that old.
            reply.set("x-ms-last-access-time", &rfc1123(blob.last_modified));
        }
        if call.shows_paths() {
            reply = reply.owned(blob);
        }
        if entry.is_current(blob) {
            reply.set("x-ms-is-current-version", "true");
        }
        if call.revision() == Revision::Current {
            let lease = entry.lease.at(call.now);
            reply.set("x-ms-lease-state", lease.state());
            reply.set("x-ms-lease-status", lease.status());
            reply.set_optional("x-ms-lease-duration", lease.duration());
        }
        reply = reply.protection(&blob.protection);
        if let Some(copy) = &blob.copy {
            reply.set("x-ms-copy-id", &copy.id.to_string());
            reply.set("x-ms-copy-status", copy.status.name());
            reply.set("x-ms-copy-source", &copy.source);
            reply.set("x-ms-copy-progress", &format!("{}/{}", copy.bytes, copy.total));
            reply.set_optional("x-ms-copy-completion-time", copy.completed.map(rfc1123).as_deref());
            reply.set_optional("x-ms-copy-status-description", copy.description.as_deref());
        }
        reply
    }
}

/// Status and headers of a lease action that was carried out.
pub(super) fn lease_reply(action: Action, lease: Lease, call: &Call) -> Reply {
    let mut reply = Reply::new(match action {
        Action::Acquire { .. } => StatusCode::CREATED,
        Action::Break { .. } => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    });
    if let Lease::Leased { id, .. } = lease {
        reply.set("x-ms-lease-id", &id.to_string());
    }
    if let Action::Break { .. } = action {
        reply.set("x-ms-lease-time", &lease.seconds_left(call.now).to_string());
    }
    reply
}

/// The error body of §4.1. `head` answers tell their code in the header only, 304 has no body either.
pub(super) fn refuse(error: ServiceError, request_id: &str, time: &str, head: bool) -> Reply {
    let mut document = super::xml::Writer::new();
    document.open("Error", &[]);
    document.element("Code", &error.code);
    document.element("Message", format!("{}\nRequestId:{request_id}\nTime:{time}", error.message));
    for (element, text) in &error.details {
        document.element(element, text);
    }
    document.close("Error");
    let mut reply = Reply::new(error.status);
    if error.status != StatusCode::NOT_MODIFIED && !head {
        reply.set(CONTENT_TYPE.as_str(), "application/xml");
        reply.body = Payload::Document(Bytes::from(document.finish()));
    }
    if !error.early {
        reply.set("x-ms-error-code", &error.code);
    }
    for (name, value) in &error.headers {
        reply.set(name, value);
    }
    reply
}

/// The error body of the endpoint of hierarchical namespaces (§4.1).
pub(super) fn refuse_in_json(error: ServiceError, request_id: &str, time: &str, head: bool) -> Reply {
    let message = format!("{}\nRequestId:{request_id}\nTime:{time}", error.message);
    let body = serde_json::json!({ "error": { "code": error.code, "message": message } });
    let mut reply = match head {
        true => Reply::new(error.status),
        false => Reply::document("application/json;charset=utf-8", body.to_string()),
    };
    reply.status = error.status;
    reply.set("x-ms-error-code", &error.code);
    for (name, value) in &error.headers {
        reply.set(name, value);
    }
    reply
}

/// The damage that a fault does to a response body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Damage {
    /// Close the connection after this many bytes.
    pub truncate: Option<u64>,
    /// Pause this long before the last byte.
    pub stall: Option<Duration>,
    /// Turn a bit of the byte at this offset.
    pub corrupt: Option<u64>,
}

impl Damage {
    /// Whether it does anything to a body of so many bytes.
    pub(super) fn shows(self, len: u64) -> bool {
        len > 0 && (self.stall.is_some() || [self.truncate, self.corrupt].iter().flatten().any(|at| *at < len))
    }
}

/// The streaming body. Counts blob payload as it is handed to the connection.
#[derive(Debug)]
pub(super) struct ReplyBody {
    source: BodySource,
    /// Bytes that are announced but not yet produced.
    left: u64,
    damage: Damage,
    wait: Option<Pin<Box<Sleep>>>,
    /// The counter of blob payload.
    counter: Option<Arc<AtomicU64>>,
    /// Nothing is sent, and that there is nothing is announced.
    announces_nothing: bool,
}

#[derive(Debug)]
enum BodySource {
    Nothing,
    Whole(Bytes),
    Chunks { chunks: Chunks, rest: Bytes },
}

/// A body that breaks off by order of a fault rule. Its text reaches nobody but the log.
#[derive(Debug, thiserror::Error)]
#[error("response cut short by a fault rule")]
pub(super) struct CutShort;

/// The time that a cut-off body waits before it breaks, so that what it has produced reaches the client first.
const FLUSH: Duration = Duration::from_millis(20);

impl ReplyBody {
    pub(super) fn new(payload: Payload, damage: Damage, counter: &Arc<AtomicU64>) -> ReplyBody {
        let (source, left, counter) = match payload {
            Payload::Empty => (BodySource::Nothing, 0, None),
            Payload::Document(bytes) => {
                let len = bytes.len() as u64;
                (BodySource::Whole(bytes), len, None)
            }
            Payload::Content(content) => {
                let source = BodySource::Chunks { chunks: content.chunks(), rest: Bytes::new() };
                (source, content.len(), Some(Arc::clone(counter)))
            }
        };
        ReplyBody { source, left, damage, wait: None, counter, announces_nothing: false }
    }

    /// No body, of which the answer says that it has no bytes, although it cannot have any (S71).
    pub(super) fn announced_empty() -> ReplyBody {
        let source = BodySource::Nothing;
        ReplyBody { source, left: 0, damage: Damage::default(), wait: None, counter: None, announces_nothing: true }
    }

    /// The next piece, at most `limit` bytes long.
    fn piece(&mut self, limit: u64) -> Option<Bytes> {
        let buffer = match &mut self.source {
            BodySource::Nothing => return None,
            BodySource::Whole(bytes) => bytes,
            BodySource::Chunks { chunks, rest } => {
                if rest.is_empty() {
                    *rest = chunks.next()?;
                }
                rest
            }
        };
        let piece = buffer.split_to(buffer.len().min(usize::try_from(limit).unwrap_or(usize::MAX)));
        (!piece.is_empty()).then_some(piece)
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        if let Some(wait) = &mut self.wait {
            std::task::ready!(wait.as_mut().poll(cx));
            self.wait = None;
            if self.damage.truncate == Some(0) {
                return Poll::Ready(Some(Err(CutShort)));
            }
        }
        let mut limit = self.left;
        if let Some(keep) = self.damage.truncate {
            if keep == 0 {
                self.wait = Some(Box::pin(tokio::time::sleep(FLUSH)));
                return self.poll_frame(cx);
            }
            limit = limit.min(keep);
        }
        if self.damage.stall.is_some() && self.left > 1 {
            limit = limit.min(self.left - 1);
        } else if let Some(pause) = self.damage.stall.take() {
            self.wait = Some(Box::pin(tokio::time::sleep(pause)));
            return self.poll_frame(cx);
        }
        let Some(piece) = self.piece(limit) else {
            return Poll::Ready(None);
        };
        let len = piece.len() as u64;
        self.left -= len;
        let piece = match &mut self.damage.corrupt {
            Some(at) if *at < len => {
                let mut turned = Vec::from(piece);
                turned[*at as usize] ^= 1;
                self.damage.corrupt = None;
                Bytes::from(turned)
            }
            Some(at) => {
                *at -= len;
                piece
            }
            None => piece,
        };
        if let Some(keep) = &mut self.damage.truncate {
            *keep -= len;
        }
        if let Some(counter) = &self.counter {
            counter.fetch_add(len, Ordering::Relaxed);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.damage == Damage::default() && !self.announces_nothing
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl Payload {
    pub(super) fn len(&self) -> u64 {
        match self {
            Payload::Empty => 0,
            Payload::Document(bytes) => bytes.len() as u64,
            Payload::Content(content) => content.len(),
        }
    }
}

/// Announces the length of a body that a HEAD answer does not send.
pub(super) fn announce(headers: &mut HeaderMap, len: u64) {
    headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
}
