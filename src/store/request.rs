//! Requests, from an operation to an answer: building, authorizing, sending, trying again.
//!
//! An operation fills a [`Request`], which stays the same through all tries; each try adds what belongs to it alone:
//! date, request id, signature. [`Pipeline::send`] is the ordinary way. [`Pipeline::send_tracked`] also tells whether
//! an answer was lost on the way, for operations whose repetition is not the same as one execution
//! ([`crate::store::resolve`]). [`Pipeline::receive`] hands on the body of a good answer as it comes, into a [`Sink`],
//! instead of gathering it. What of an answer is taken at all, [`crate::store::body`] says.

mod attempt;
mod headers;
mod probe;
pub(super) mod refusal;

pub use probe::{Answer, Probe};

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH};
use tokio::time::{timeout, timeout_at};
use tracing::{debug, warn};

use crate::error::{Error, Result, ServiceError};
use crate::store::body::{Gathered, MOST, MOST_OF_A_REFUSAL, Sink, crc64_text};
use crate::store::connections::{self, Broken, Outgoing};
use crate::store::credential::Credential;
use crate::store::deadline::{Bound, Deadline};
use crate::store::endpoint::{Endpoint, Resource, encode_query};
use crate::store::headers::{self as answer, AnswerHeaders};
use crate::store::payload::Payload;
use crate::store::pipeline::{Checksums, Pipeline};
use crate::store::request::attempt::{PerAttempt, SourceHeader, proof};
use crate::store::retry::{Failure, Tries, retry_after};
use crate::store::sign::{WhiteSpace, string_to_sign, white_space_matters};
use crate::store::spelling::Names;
use crate::store::traffic;
use crate::store::types::{LeaseId, Written};
use crate::store::xml::Element;

use refusal::service_error;

/// The name of requests that are sent as they are, whatever blobcp would send instead.
const PROBE: &str = "Probe";

const LEASE_ID: &str = "x-ms-lease-id";
const CONTENT_MD5: &str = "content-md5";
const CONTENT_CRC64: &str = "x-ms-content-crc64";

/// One operation, ready to be sent any number of times. Without `Debug`, because a copy source may hold a signature.
pub(super) struct Request {
    operation: &'static str,
    method: Method,
    /// Name for errors and the log: `account/container/blob`.
    target: String,
    /// Endpoint, if that is not the one of the account's blobs.
    endpoint: Option<Endpoint>,
    /// Encoded path, as sent and signed.
    path: String,
    /// Decoded parameters.
    query: Vec<(&'static str, String)>,
    headers: HeaderMap,
    /// Spelling of the names of metadata.
    names: Names,
    body: Payload,
    /// Bytes that the service moves before it answers.
    work: u64,
    /// Bytes that the body of a good answer has at most.
    most: usize,
    /// A checksum of the range that is read is wanted, if the server gives one.
    hashed: bool,
    /// Who asks can do without.
    hasty: bool,
    /// A source that can be signed anew.
    source: Option<SourceHeader>,
    /// The first thing that no header can carry.
    invalid: Option<Error>,
}

/// A 2xx answer with its whole body, unless a [`Sink`] has it.
#[derive(Debug)]
pub(super) struct Response {
    pub status: u16,
    pub headers: AnswerHeaders,
    pub body: Bytes,
}

/// Result of all tries together.
pub(super) struct Sent {
    pub result: Result<Response>,
    /// True if a try without a good answer may have taken effect.
    pub lost: bool,
    /// Start of the first try.
    pub began: Instant,
    /// Time for a look at what became of it.
    pub look: Duration,
}

impl Sent {
    /// Result of `answer` on the answer; or, if that may have got lost and the error may be the echo of our own
    /// success, what `look` finds of it in the service. It is not begun otherwise.
    pub(super) async fn or_found<T>(
        self,
        answer: impl FnOnce(&Response) -> Result<T>,
        look: impl Future<Output = Option<T>>,
    ) -> Result<T> {
        match self.result {
            Ok(response) => answer(&response),
            Err(error) if self.lost && may_be_ours(&error) => in_time(self.look, look).await.ok_or(error),
            Err(error) => Err(error),
        }
    }
}

/// What a look finds, if it does so in time: whoever asks has waited for all tries before.
pub(super) async fn in_time<T>(bound: Duration, look: impl Future<Output = Option<T>>) -> Option<T> {
    timeout(bound, look).await.ok().flatten()
}

/// True for an error that a repeated write meets when its first try was executed: a condition that no longer holds, or
/// silence once more.
pub(super) fn may_be_ours(error: &Error) -> bool {
    matches!(error, Error::Transport { .. }) || matches!(error.status(), 400 | 409 | 412 | 500..)
}

impl Request {
    pub(super) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// A header. A name or value that HTTP cannot carry fails the request when it is sent.
    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            // Bytes above ASCII would travel, but no two sides agree on what they mean.
            (Ok(name), Ok(mut value)) if value.to_str().is_ok() => {
                let may_be_signed = ["x-ms-copy-source", "x-ms-rename-source"];
                value.set_sensitive(may_be_signed.iter().any(|start| name.as_str().starts_with(start)));
                self.headers.insert(name, value);
            }
            _ => {
                let what = format!("{} {}: header {name} cannot hold this value", self.operation, self.target);
                self.invalid.get_or_insert_with(|| Error::fs(libc::EINVAL, what));
            }
        }
        self
    }

    pub(super) fn optional(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.header(name, value),
            None => self,
        }
    }

    pub(super) fn optional_query(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// Sent to another service of the account, in which the path is the same.
    pub(super) fn at(mut self, endpoint: Endpoint) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    pub(super) fn body(mut self, body: impl Into<Payload>) -> Self {
        self.body = body.into();
        self
    }

    /// The service moves this many bytes before it answers, which may take longer than an answer may take otherwise.
    pub(super) fn work(mut self, bytes: u64) -> Self {
        self.work = bytes;
        self
    }

    /// The body of a good answer may have so many bytes.
    pub(super) fn takes(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// Asks for a checksum of the range that is read, where the server gives one.
    pub(super) fn hashed(mut self, wanted: bool) -> Self {
        self.hashed = wanted;
        self
    }

    /// Tried once, and a second time if the connection was broken: whoever asks can do without.
    pub(super) fn hasty(mut self) -> Self {
        self.hasty = true;
        self
    }

    /// The error of an answer that succeeded but does not say what it must.
    pub(super) fn misunderstood(&self, detail: impl Into<String>) -> Error {
        Error::Transport {
            operation: self.operation,
            target: self.target.clone(),
            detail: detail.into(),
            timed_out: false,
        }
    }

    pub(super) fn fail(&self, failure: Failure) -> Error {
        failure.into_error(self.operation, &self.target)
    }

    fn needs_nothing_there(&self) -> bool {
        self.headers.get(IF_NONE_MATCH).is_some_and(|value| value == "*")
    }

    /// The header that says what the body is. One that has a hash of its own is checked by that, and a body is not given
    /// two; the other endpoint of an account knows no such header.
    fn checksum(&self, checksums: Checksums) -> Option<(&'static str, String)> {
        let has_own = self.headers.contains_key(CONTENT_MD5);
        if self.body.is_empty() || self.endpoint.is_some() || has_own || self.operation == PROBE {
            return None;
        }
        match checksums {
            Checksums::Crc64 => Some((CONTENT_CRC64, crc64_text(self.body.crc64()))),
            Checksums::Md5 => Some((CONTENT_MD5, self.body.md5())),
            // It takes 28 ms a MiB for a CRC64 of each block that has no MD5.
            Checksums::OfAzurite => (self.operation == "PutBlock").then(|| (CONTENT_MD5, self.body.md5())),
        }
    }

    /// What the server says that it got is what was sent.
    fn check_echo(&self, checksums: Checksums, headers: &HeaderMap) -> std::result::Result<(), String> {
        let sent = || self.checksum(checksums).filter(|(name, _)| *name == CONTENT_CRC64);
        match answer::text(headers, CONTENT_CRC64).filter(|_| checksums == Checksums::Crc64) {
            Some(told) if sent().is_some_and(|(_, sent)| sent != told) => {
                Err("it is about other bytes than were sent".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn bound(&self) -> Bound {
        match (self.operation, &self.method) {
            // Also a list of blocks: what it is about is stored with it.
            (_, &Method::PUT) if !self.body.is_empty() => Bound::Stored,
            ("GetBlob", _) => Bound::Fetched,
            _ if self.most > MOST => Bound::List,
            _ => Bound::Metadata,
        }
    }
}

impl Pipeline {
    pub(super) fn request(&self, operation: &'static str, method: Method, resource: Resource<'_>) -> Request {
        let account = self.account();
        let target = match resource {
            Resource::Account => account.to_string(),
            Resource::Container(container) => format!("{account}/{container}"),
            Resource::Blob(blob) => format!("{account}/{blob}"),
        };
        Request {
            operation,
            method,
            target,
            endpoint: None,
            path: self.endpoint().path(resource),
            query: Vec::new(),
            headers: HeaderMap::new(),
            names: Names::default(),
            body: Payload::default(),
            work: 0,
            most: MOST,
            hashed: false,
            hasty: false,
            source: None,
            invalid: None,
        }
    }

    /// Sends until there is an answer or no reason to go on.
    pub(super) async fn send(&self, request: &Request) -> Result<Response> {
        self.send_tracked(request).await.result
    }

    /// [`Pipeline::send`] with the body going to `sink` and not into the response.
    pub(super) async fn receive(&self, request: &Request, sink: &mut impl Sink) -> Result<Response> {
        self.send_tracked_into(request, sink).await.result
    }

    pub(super) async fn send_tracked(&self, request: &Request) -> Sent {
        let mut body = Gathered::of_at_most(request.most);
        let mut sent = self.send_tracked_into(request, &mut body).await;
        if let Ok(response) = &mut sent.result {
            response.body = body.freeze();
        }
        sent
    }

    async fn send_tracked_into(&self, request: &Request, sink: &mut impl Sink) -> Sent {
        let began = Instant::now();
        let mut tries = self.tries(request);
        let (mut lost, look) = (false, tries.time_to_look());
        loop {
            let failure = match self.attempt_into(request, &mut tries, sink).await {
                Ok(response) => return Sent { result: Ok(response), lost, began, look },
                Err(failure) => failure,
            };
            lost |= failure.may_have_happened();
            let Some(delay) = tries.after(&failure) else {
                return Sent { result: Err(request.fail(failure)), lost, began, look };
            };
            self.pause(request, &failure, &tries, delay).await;
        }
    }

    /// The tries of a request, whose time begins now.
    pub(super) fn tries(&self, request: &Request) -> Tries {
        let options = self.http.options();
        let bound = request.bound();
        let deadline = Deadline::new(options.timeout, bound, request.work);
        Tries::new(options, deadline, bound == Bound::Stored).hasty(request.hasty)
    }

    /// Says why a request is repeated, and waits.
    pub(super) async fn pause(&self, request: &Request, failure: &Failure, tries: &Tries, delay: Duration) {
        warn!(
            operation = request.operation,
            on = request.target,
            tries = tries.made(),
            ms = delay.as_millis() as u64,
            "trying again after: {}",
            failure.reason()
        );
        tokio::time::sleep(delay).await;
    }

    /// A single attempt.
    pub(super) async fn attempt(&self, request: &Request, tries: &mut Tries) -> std::result::Result<Response, Failure> {
        let mut body = Gathered::of_at_most(request.most);
        let response = self.attempt_into(request, tries, &mut body).await?;
        Ok(Response { body: body.freeze(), ..response })
    }

    async fn attempt_into(
        &self,
        request: &Request,
        tries: &mut Tries,
        sink: &mut impl Sink,
    ) -> std::result::Result<Response, Failure> {
        if let Some(error) = &request.invalid {
            return Err(Failure::Invalid(error.clone()));
        }
        let began = Instant::now();
        let mut with = PerAttempt::new(self, request.source.as_ref(), self.lease_of(request), tries).await?;
        let mut result = self.exchange_authorized(request, &mut with, tries, sink).await;
        // The credential of the request, and that of the source that it names, may both have been replaced.
        let mut renewed = 0;
        while renewed < 2
            && let Err(Failure::Refused { error, .. }) = &result
            && with.renew(self, request.source.as_ref(), error, tries).await?
        {
            result = self.exchange_authorized(request, &mut with, tries, sink).await;
            renewed += 1;
        }
        if matches!(&result, Err(Failure::Refused { error, .. }) if error.status == 412 && error.code.starts_with("Lease"))
        {
            // It ended, or began, while the request was on its way.
            if let Some(lease) = &with.lease {
                self.lease_is_lost(&request.path, lease);
            }
            let now = self.lease_of(request);
            if now != with.lease {
                with.lease = now;
                result = self.exchange(request, &with, tries, sink).await;
            }
        }
        let (status, request_id) = match &result {
            Ok(response) => (response.status, answer::text(&response.headers, "x-ms-request-id").unwrap_or_default()),
            Err(Failure::Refused { error, .. }) => (error.status, error.request_id.as_str()),
            Err(_) => (0, ""),
        };
        let ms = began.elapsed().as_millis() as u64;
        debug!(operation = request.operation, on = request.target, status, ms, request_id, "request");
        if matches!(status, 429 | 503) {
            self.concurrency.refused();
        }
        result
    }

    /// Sends once, and once more where a token is over, or a signature may be meant in another way.
    async fn exchange_authorized(
        &self,
        request: &Request,
        with: &mut PerAttempt,
        tries: &mut Tries,
        sink: &mut impl Sink,
    ) -> std::result::Result<Response, Failure> {
        with.white_space = WhiteSpace::Folded;
        let mut result = self.exchange(request, with, tries, sink).await;
        if let (Credential::Entra(tokens), Some(refused)) = (&*with.credential, &with.bearer)
            && matches!(&result, Err(Failure::Refused { error, .. }) if is_token_refused(error))
        {
            with.bearer = Some(proof(tries, tokens.replace(refused)).await?);
            result = self.exchange(request, with, tries, sink).await;
        }
        if request.hashed
            && with.checksums == Checksums::Crc64
            && matches!(&result, Err(Failure::Refused { error, .. }) if is_of_an_unknown_header(error))
        {
            self.without_crc64.store(true, Ordering::Relaxed);
            with.checksums = self.checksums();
            result = self.exchange(request, with, tries, sink).await;
        }
        let refused = matches!(&result, Err(Failure::Refused { error, .. }) if error.status == 403);
        if refused && matches!(*with.credential, Credential::SharedKey(_)) && white_space_matters(&request.headers) {
            with.white_space = WhiteSpace::Kept;
            result = self.exchange(request, with, tries, sink).await;
        }
        result
    }

    /// Sends once, to the beginning of the answer.
    async fn begin(
        &self,
        request: &Request,
        with: &PerAttempt,
        tries: &mut Tries,
    ) -> std::result::Result<connections::Answer, Failure> {
        let breaker = match &request.endpoint {
            Some(other) => self.http.breaker(other),
            None => self.breaker.clone(),
        };
        breaker.pass(tries.waits_until()).await?;
        let unsent = |detail| Failure::Unsent { detail, timed_out: false };
        let connections = self.http.connections(self.endpoint().is_loopback()).map_err(unsent)?;
        let written = Arc::<AtomicU64>::default();
        let url = self.request_url(request, with);
        let outgoing = Outgoing {
            method: request.method.clone(),
            url: &url,
            headers: self.authorized_headers(request, with),
            names: &request.names,
            body: request.body.as_body(),
            written: &written,
        };
        let deadline = &mut tries.deadline;
        deadline.begin_try();
        let mut sending = pin!(connections.send(outgoing));
        let mut seen = 0;
        let sent = loop {
            match timeout_at(deadline.next_look(), &mut sending).await {
                Ok(sent) => break sent,
                Err(_) => {
                    let now = written.load(Ordering::Relaxed);
                    deadline.sent(now - seen);
                    seen = now;
                    if tokio::time::Instant::now() >= deadline.try_ends() {
                        break Err(Broken::silent(seen));
                    }
                }
            }
        };
        match sent {
            Ok(answer) => {
                breaker.answered();
                deadline.answered();
                Ok(answer)
            }
            Err(Broken { detail, unsent: true, .. }) if detail.contains("certificate") => {
                // Who is not trusted now will not be in a second.
                Err(Failure::Invalid(request.misunderstood(detail)))
            }
            Err(broken) => {
                if broken.timed_out {
                    // Others may be as dead, and nobody would notice before the next try is over.
                    connections.forget(&url);
                }
                if broken.timed_out || broken.unsent {
                    breaker.failed();
                } else {
                    deadline.broken();
                }
                Err(broken.into())
            }
        }
    }

    async fn exchange(
        &self,
        request: &Request,
        with: &PerAttempt,
        tries: &mut Tries,
        sink: &mut impl Sink,
    ) -> std::result::Result<Response, Failure> {
        let mut answer = self.begin(request, with, tries).await?;
        let status = answer.status;
        let headers = std::mem::take(&mut answer.headers);
        self.was_answered(&headers);
        let untrue = |detail| Failure::Untrue { detail };
        let promised = match request.method {
            Method::HEAD => None,
            _ => answer::content_length(&headers).map_err(untrue)?,
        };
        let succeeded = (200..300).contains(&status);
        if succeeded {
            sink.begin(status, &headers).map_err(untrue)?;
            request.check_echo(with.checksums, &headers).map_err(untrue)?;
        }
        let mut refusal = Gathered::of_at_most(MOST_OF_A_REFUSAL);
        let mut received = 0;
        let deadline = &mut tries.deadline;
        loop {
            match timeout_at(deadline.try_ends(), answer.part()).await {
                Ok(Ok(Some(part))) => {
                    received += part.len() as u64;
                    deadline.received(part.len() as u64);
                    if succeeded {
                        sink.part(part).map_err(untrue)?;
                    } else if !refusal.take(&part) {
                        // Its status says enough.
                        break;
                    }
                }
                Ok(Ok(None)) => {
                    if let Some(promised) = promised.filter(|promised| *promised != received) {
                        let detail = format!("the answer has {received} of {promised} bytes");
                        return Err(Failure::Lost { detail, timed_out: false });
                    }
                    break;
                }
                Ok(Err(broken)) => return Err(broken.into()),
                Err(_) if succeeded => return Err(Failure::Lost { detail: deadline.stalled(), timed_out: true }),
                // Its status says enough here, too.
                Err(_) => break,
            }
        }
        if succeeded {
            sink.end().map_err(untrue)?;
            if request.bound() == Bound::Stored {
                traffic::stored();
            }
            return Ok(Response { status, headers, body: Bytes::new() });
        }
        let retry_after = retry_after(&headers, SystemTime::now());
        let error = service_error(request.operation, &request.target, status, &headers, &refusal.freeze());
        Err(Failure::Refused { error: Box::new(error), retry_after })
    }

    /// The lease that a write is sent with and does not name itself. Snapshots and old versions have none; a copy's
    /// destination needs an infinite one, which those are not. A write that must find nothing there names none, because
    /// with the lease's id the service overwrites what is there (S58).
    fn lease_of(&self, request: &Request) -> Option<LeaseId> {
        const WITHOUT: [&str; 3] = ["LeaseBlob", "SnapshotBlob", "CopyBlob"];
        let reads = [Method::GET, Method::HEAD].contains(&request.method);
        let of_the_past = request.query.iter().any(|(name, _)| ["snapshot", "versionid"].contains(name));
        let has_own = request.headers.contains_key(LEASE_ID);
        if reads || of_the_past || WITHOUT.contains(&request.operation) || has_own || request.needs_nothing_there() {
            return None;
        }
        self.leases().get(&request.path).cloned()
    }

    fn request_url(&self, request: &Request, with: &PerAttempt) -> String {
        let mut url = request.endpoint.as_ref().unwrap_or(self.endpoint()).url(&request.path);
        let mut separator = '?';
        let query = encode_query(&request.query);
        let sas = match &*with.credential {
            Credential::Sas(token) => token.expose(),
            _ => "",
        };
        for part in [query.as_str(), sas].into_iter().filter(|part| !part.is_empty()) {
            url.push(separator);
            url.push_str(part);
            separator = '&';
        }
        url
    }

    /// The request's headers with those that are new on each try.
    fn authorized_headers(&self, request: &Request, with: &PerAttempt) -> HeaderMap {
        let mut headers = request.headers.clone();
        if request.needs_nothing_there() && request.operation != PROBE {
            // S58, also of a lease that the caller names.
            headers.remove(LEASE_ID);
        }
        if let Some((name, value)) = with.signed_anew(request.source.as_ref()) {
            headers.insert(HeaderName::from_static(name), value);
        }
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        set("x-ms-version", self.api_version());
        set("x-ms-date", &httpdate::fmt_http_date(SystemTime::now()));
        set("x-ms-client-request-id", &uuid::Uuid::new_v4().to_string());
        if request.hashed && with.checksums == Checksums::Crc64 {
            set("x-ms-range-get-content-crc64", "true");
        }
        if let Some((name, value)) = request.checksum(with.checksums) {
            set(name, &value);
        }
        if let Some(lease) = &with.lease {
            set(LEASE_ID, lease.as_str());
        }
        if [Method::PUT, Method::PATCH].contains(&request.method) || !request.body.is_empty() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(request.body.len()));
        }
        let authorization = match (&*with.credential, &with.bearer) {
            (Credential::SharedKey(key), _) => {
                let account = self.account().as_str();
                let (method, white_space) = (&request.method, with.white_space);
                let text = string_to_sign(account, method, &request.path, &request.query, &headers, white_space);
                Some(format!("SharedKey {account}:{}", key.sign(&text)))
            }
            (_, bearer) => bearer.as_ref().map(|token| format!("Bearer {}", token.expose())),
        };
        if let Some(Ok(mut value)) = authorization.map(HeaderValue::try_from) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        headers
    }
}

/// The server does not know what was asked for by a header: Azurite does not give checksums of ranges.
fn is_of_an_unknown_header(error: &ServiceError) -> bool {
    matches!(error.code.as_str(), "FeatureNotSupported" | "UnsupportedHeader")
}

/// The token is over or was withdrawn; not: that of a copy's source.
fn is_token_refused(error: &ServiceError) -> bool {
    error.status == 401 && error.code != "CannotVerifyCopySource"
}

impl Response {
    /// A header that must be there.
    pub(super) fn required<T>(&self, request: &Request, what: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| request.misunderstood(format!("the answer ({}) lacks {what}", self.status)))
    }

    /// The blob or container after a write.
    pub(super) fn written(&self, request: &Request) -> Result<Written> {
        self.required(request, "ETag", answer::written(&self.headers))
    }

    /// The service's clock when it answered.
    pub(super) fn date(&self) -> Option<SystemTime> {
        answer::date(&self.headers, "date")
    }

    /// The body as XML.
    pub(super) fn xml(&self, request: &Request) -> Result<Element<'_>> {
        Element::parse(&self.body).map_err(|detail| request.misunderstood(detail))
    }
}
