//! Requests as somebody else would send them, and their answers as they came: for asking how a server answers.
//!
//! The operations of the other files say what they mean and turn answers into types. Who checks the facts that they
//! rest on must see status, headers and body themselves, also of a refusal, and must be able to send what blobcp would
//! never send. Signing, connections and what is added to every request are those of all other requests.

use std::sync::LazyLock;

use bytes::Bytes;
use percent_encoding::utf8_percent_encode;
use reqwest::Method;
use reqwest::header::HeaderMap;
use tokio::time::timeout_at;

use crate::error::{Error, Result};
use crate::path::PATH;
use crate::store::body::{Gathered, MOST_OF_A_LISTING, Sink};
use crate::store::endpoint::Resource;
use crate::store::pipeline::Pipeline;
use crate::store::retry::{Failure, Tries};

use super::refusal::service_error;
use super::{PROBE, PerAttempt, Request};

static NOTHING: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);

/// A request to be sent as it is.
#[derive(Debug, Clone)]
pub struct Probe {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    headers: Vec<(String, String)>,
    body: Bytes,
    hierarchical: bool,
}

impl Probe {
    /// A request for `path`, which is `CONTAINER/BLOB`, `CONTAINER` or nothing, of any characters.
    pub fn new(method: Method, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Bytes::new(),
            hierarchical: false,
        }
    }

    /// With a parameter.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sent to the endpoint of the hierarchical namespace (§14).
    #[must_use]
    pub fn over_dfs(mut self) -> Self {
        self.hierarchical = true;
        self
    }
}

/// An answer as it came, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Box<HeaderMap>,
    body: Bytes,
}

impl Answer {
    /// HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A header's value, if there is one.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The service's error code, by the header or by the body; empty if there is none.
    pub fn code(&self) -> String {
        service_error("", "", self.status, &self.headers, self.text()).code
    }

    /// The service's error code, if the body says it.
    pub fn code_in_body(&self) -> String {
        service_error("", "", self.status, &NOTHING, self.text()).code
    }

    /// Status and code of the copy source's own answer, by headers or body.
    pub fn copy_source(&self) -> Option<(u16, String)> {
        service_error("", "", self.status, &self.headers, self.text()).copy_source
    }

    /// The body without a byte order mark (S152).
    fn text(&self) -> &[u8] {
        self.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.body)
    }
}

impl Pipeline {
    /// Sends `probe` until it is answered. A server that is busy (S202) or does not answer is asked again as often as
    /// other requests are; every other answer is one.
    pub(in crate::store) async fn probe(&self, probe: &Probe) -> Result<Answer> {
        let request = request_of(self, probe)?;
        let mut tries = self.tries(&request);
        loop {
            let failure = match answer(self, &request, &mut tries).await {
                Ok(answer) if !matches!(answer.status, 429 | 503) => return Ok(answer),
                Ok(Answer { status, headers, body }) => {
                    let error = service_error(request.operation, &request.target, status, &headers, &body);
                    Failure::Refused { error: Box::new(error), retry_after: None }
                }
                Err(failure) => failure,
            };
            let Some(delay) = tries.after(&failure) else { return Err(request.fail(failure)) };
            self.pause(&request, &failure, &tries, delay).await;
        }
    }
}

fn request_of(pipeline: &Pipeline, probe: &Probe) -> Result<Request> {
    let mut request = pipeline.request(PROBE, probe.method.clone(), Resource::Account);
    request.path += &utf8_percent_encode(&probe.path, PATH).to_string();
    request.target = format!("{}/{}", pipeline.account(), probe.path);
    request.query.clone_from(&probe.query);
    for (name, value) in &probe.headers {
        request = request.header(name, value);
    }
    if probe.hierarchical {
        let dfs = pipeline.endpoint().dfs_service(pipeline.account());
        let what = || format!("{}: its DFS endpoint is not known", pipeline.account());
        request = request.at(dfs.ok_or_else(|| Error::fs(libc::EINVAL, what()))?);
    }
    match request.invalid.take() {
        Some(error) => Err(error),
        None => Ok(request.takes(MOST_OF_A_LISTING).body(probe.body.clone())),
    }
}

/// Sends once.
async fn answer(pipeline: &Pipeline, request: &Request, tries: &mut Tries) -> std::result::Result<Answer, Failure> {
    let with = PerAttempt::new(pipeline, None, None, tries).await?;
    let mut answer = pipeline.begin(request, &with, tries).await?;
    let headers = Box::new(HeaderMap::clone(&answer.headers));
    pipeline.was_answered(&headers);
    let status = answer.status;
    let mut body = Gathered::of_at_most(MOST_OF_A_LISTING);
    loop {
        match timeout_at(tries.deadline.try_ends(), answer.part()).await {
            Ok(Ok(Some(part))) => {
                tries.deadline.received(part.len() as u64);
                body.part(part).map_err(|detail| Failure::Untrue { detail })?;
            }
            Ok(Ok(None)) => return Ok(Answer { status, headers, body: body.freeze() }),
            Ok(Err(broken)) => return Err(broken.into()),
            Err(_) => return Err(Failure::Lost { detail: tries.deadline.stalled(), timed_out: true }),
        }
    }
}
