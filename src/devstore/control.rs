//! The control interface: what a test may do to the server that no client of the real service could.
//!
//! Two doors lead to the same functions on [`Server`]: HTTP below `/-/`, a name no account can have, for tests in other
//! processes; and the methods of [`Devstore`](super::Devstore) for callers in this one.
//!
//! By HTTP, whoever asks proves it by a token that the server makes when it starts: `Authorization: Bearer TOKEN`. Others
//! on this machine do not know it. Nor do pages in somebody's browser, which are turned away besides: a `Host` that is
//! no name of this machine and no address is one that such a page has made to lead here, and `Origin` says whose page
//! asks.
//!
//! | request | effect |
//! |---|---|
//! | `GET /-/stats`, `POST /-/stats/reset` | counters |
//! | `GET /-/requests` | the log of requests |
//! | `GET /-/copies`, `POST /-/copies/ID/hold\|release\|fail\|trouble\|replace` | steer copies; `fail` and `trouble` take `?status=&code=` |
//! | `POST /-/policy` | change rates and limits, see [`PolicyChange`](super::PolicyChange) |
//! | `POST /-/sparse?account=&container=&blob=&size=[&block=]` | a blob of zeros, in blocks if `block` gives their size |
//! | `POST /-/file?account=&share=&path=` | a file of Azure Files with the body as content, at `http://ACCOUNT.file.localhost:PORT/SHARE/PATH` |
//! | `POST /-/tokens?token=`, `DELETE /-/tokens` | let a bearer token in for a [`Grant`], or none any more |
//! | `POST /-/immutability?account=&container=` | how a container keeps its blobs from now on, an [`Immutability`] |
//! | `POST /-/rehydrated?account=&container=&blob=` | an archived blob that was on its way back is there |
//! | `POST /-/retention?seconds=` | let time pass for whatever is kept for a while, and for nothing else |
//! | `POST /-/clock?seconds=` | put the server's clock ahead, for all that is done from now on |
//! | `POST /-/faults`, `DELETE /-/faults` | order a [`Fault`], or forget them all |

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::{Method, Request, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::address::{BlobAddress, Query, check_blob_name, check_container_name};
use super::bearer::Grant;
use super::content::Content;
use super::faults::Fault;
use super::model::{Blob, Block, ETag, Kind};
use super::protection::Immutability;
use super::reply::Reply;
use super::server::Server;
use super::state::{Container, State};

/// Paths that belong to the control interface.
pub(super) const PREFIX: &str = "/-/";

/// Longest control body in bytes; they are a few lines of JSON.
const BODY: usize = 1 << 20;

/// Most blocks made for one sparse blob.
const SPARSE_BLOCKS: u64 = 50_000;

/// The reason why a control request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The server has no such account.
    #[error("no account {0}")]
    UnknownAccount(String),
    /// No blob or container of that name.
    #[error("{0} does not exist")]
    NotFound(String),
    /// Whoever asks may not.
    #[error("{0}")]
    Forbidden(String),
    /// No pending copy of that id.
    #[error("no pending copy {0}")]
    UnknownCopy(String),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
}

impl Server {
    /// Puts a block blob of `size` zero bytes in place, in committed blocks of `block` bytes if given.
    pub(super) fn put_sparse(
        &self,
        account: &str,
        container: &str,
        blob: &str,
        size: u64,
        block: Option<u64>,
    ) -> Result<(), ControlError> {
        let blocks = match block {
            Some(block) if block == 0 || size.div_ceil(block) > SPARSE_BLOCKS => {
                return Err(ControlError::Invalid(format!("{size} bytes do not fit into blocks of {block}")));
            }
            Some(block) => (0..size.div_ceil(block))
                .map(|number| Block {
                    id: STANDARD.encode(format!("sparse{number:06}")),
                    content: Content::zeros(block.min(size - number * block)),
                })
                .collect(),
            None => Arc::default(),
        };
        let stored = Blob::new(Kind::Block { blocks }, Content::zeros(size), 0, self.now());
        self.put(account, container, blob, stored)
    }

    /// Puts a file in place for copies to read.
    pub(super) fn put_file(
        &self,
        account: &str,
        share: &str,
        path: &str,
        content: Content,
    ) -> Result<(), ControlError> {
        if self.key(account).is_none() {
            return Err(ControlError::UnknownAccount(account.to_owned()));
        }
        let now = self.now();
        let mut state = self.state(now);
        let file = Blob::new(Kind::unlisted(), content, state.ticks.next(), now);
        state.files.insert(BlobAddress::new(account, share, path), file);
        Ok(())
    }

    /// Puts a blob in place as if by a request, its container too; but under the very name that is given, so that one
    /// can be listed that the service would have taken for another.
    pub(super) fn put(&self, account: &str, container: &str, blob: &str, mut stored: Blob) -> Result<(), ControlError> {
        check_blob_name(self.namespace, blob)
            .map_err(|_| ControlError::Invalid(format!("{blob:?} is no blob name")))?;
        let now = self.now();
        let mut state = self.state(now);
        stored.touch(state.ticks.next(), now);
        make_container(&mut state, account, container, now)?;
        let address = BlobAddress::new(account, container, blob);
        // The container was made above.
        let entry = state.entry_or_new(&address).map_err(|_| ControlError::NotFound(address.to_string()))?;
        entry.replace(stored);
        Ok(())
    }

    /// Keeps the blobs of a container so from now on.
    pub(super) fn keep(&self, account: &str, container: &str, rules: Immutability) -> Result<(), ControlError> {
        let mut state = self.state(self.now());
        let found = state.container(account, container);
        found.map_err(|_| ControlError::NotFound(format!("{account}/{container}")))?.rules = rules;
        Ok(())
    }

    /// An archived blob that was on its way back is there. What becomes of its ETag is not known: it stays.
    pub(super) fn end_rehydration(&self, account: &str, container: &str, blob: &str) -> Result<(), ControlError> {
        let address = BlobAddress::new(account, container, blob);
        let mut state = self.state(self.now());
        let base = state.entry(&address).ok().and_then(|entry| entry.base.as_mut());
        let on_its_way = base.and_then(|base| base.rehydrating.take().map(|rehydration| (base, rehydration)));
        let (base, rehydration) = on_its_way.ok_or_else(|| ControlError::NotFound(address.to_string()))?;
        base.tier = Some(rehydration.to);
        Ok(())
    }

    /// Lets time pass for whatever is kept for a while.
    pub(super) fn age_retention(&self, by: Duration) {
        self.state(self.now()).retention_ahead += by;
    }

    /// The committed content of a blob in one piece.
    pub(super) fn content(&self, account: &str, container: &str, blob: &str) -> Result<Bytes, ControlError> {
        let address = BlobAddress::new(account, container, blob);
        let mut state = self.state(self.now());
        let base = state.entry(&address).ok().and_then(|entry| entry.base.as_ref());
        let content = base.map(|base| base.content.clone());
        drop(state);
        content.map(|content| content.to_bytes()).ok_or_else(|| ControlError::NotFound(address.to_string()))
    }

    /// Applies one of the actions of the table above to a pending copy; a replaced one answers with the new id.
    pub(super) fn steer_copy(&self, id: &str, action: CopyAction) -> Result<Option<String>, ControlError> {
        let unknown = || ControlError::UnknownCopy(id.to_owned());
        let copy: Uuid = id.parse().map_err(|_| unknown())?;
        let now = self.now();
        let mut state = self.state(now);
        let known = match action {
            CopyAction::Hold => state.hold_copy(copy, now),
            CopyAction::Release => state.release_copy(copy, now),
            CopyAction::Fail { status, code } => state.fail_copy(copy, status, &code, now),
            CopyAction::Trouble { status, code } => state.trouble_copy(copy, status, &code, now),
            CopyAction::Replace => {
                return state.replace_copy(copy, now).map(|new| Some(new.to_string())).ok_or_else(unknown);
            }
        };
        if known { Ok(None) } else { Err(unknown()) }
    }
}

/// An order about a pending copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyAction {
    /// Freeze its progress.
    Hold,
    /// Let it go on.
    Release,
    /// End it as failed to read the source with this status and code.
    Fail {
        /// Three digits.
        status: u16,
        /// Service error code.
        code: String,
    },
    /// Freeze it with the description of a retryable failure (X10).
    Trouble {
        /// Three digits.
        status: u16,
        /// Service error code.
        code: String,
    },
    /// Let another copy id be pending at the destination, as if another client had aborted and started anew.
    Replace,
}

/// The container, which is made unless it is there.
pub(super) fn make_container<'a>(
    state: &'a mut State,
    account: &str,
    container: &str,
    now: SystemTime,
) -> Result<&'a mut Container, ControlError> {
    check_container_name(container)
        .map_err(|_| ControlError::Invalid(format!("{container:?} is no container name")))?;
    let etag = ETag::from_ticks(state.ticks.next());
    state.deleting.remove(&(account.to_owned(), container.to_owned()));
    let containers = state.containers(account).map_err(|_| ControlError::UnknownAccount(account.to_owned()))?;
    Ok(containers.entry(container.to_owned()).or_insert_with(|| Container::new(etag, now)))
}

/// A token that nobody can guess.
pub(super) fn new_token() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// Lets in who has the token and is no page of a browser.
fn admit(server: &Server, headers: &HeaderMap) -> Result<(), ControlError> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(HOST);
    if let Some(host) = host.filter(|host| !is_of_this_machine(host)) {
        return Err(ControlError::Forbidden(format!("{host} is no name of this server")));
    }
    if let Some(origin) = text(ORIGIN).filter(|origin| origin.strip_prefix("http://") != host.or(Some(""))) {
        return Err(ControlError::Forbidden(format!("no page of {origin} may ask this")));
    }
    let token = text(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    // In a time that does not tell how much of it is right.
    let differs = token.bytes().zip(server.control_token.bytes()).fold(0, |all, (sent, own)| all | (sent ^ own));
    if token.len() != server.control_token.len() || differs != 0 {
        return Err(ControlError::Forbidden("the token that was printed at the start is missing".into()));
    }
    Ok(())
}

/// A host with or without a port. An address cannot be made to lead to another machine.
fn is_of_this_machine(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    is_address || name == "localhost" || name.ends_with(".localhost")
}

/// Answers a request below [`PREFIX`].
pub(super) async fn answer(server: &Server, request: Request<Incoming>) -> Reply {
    let (parts, body) = request.into_parts();
    if let Err(error) = admit(server, &parts.headers) {
        return refuse(error);
    }
    let body = match Limited::new(body, BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return refuse(ControlError::Invalid(error.to_string())),
    };
    let query = Query::parse(parts.uri.query().unwrap_or(""));
    let path = parts.uri.path().strip_prefix(PREFIX).unwrap_or("");
    route(server, &parts.method, path, &query, &body).unwrap_or_else(refuse)
}

fn route(server: &Server, method: &Method, path: &str, query: &Query, body: &[u8]) -> Result<Reply, ControlError> {
    let required =
        |name: &str| query.nonempty(name).ok_or_else(|| ControlError::Invalid(format!("parameter {name} is missing")));
    let now = server.now();
    match (method.as_str(), path.split('/').collect::<Vec<_>>().as_slice()) {
        ("GET", ["stats"]) => return Ok(json(&server.statistics.snapshot())),
        ("GET", ["requests"]) => return Ok(json(&server.statistics.log())),
        ("GET", ["copies"]) => return Ok(json(&server.state(now).copy_summaries(now))),
        ("POST", ["copies", id, action]) => {
            if let Some(id) = server.steer_copy(id, copy_action(action, query)?)? {
                return Ok(json(&serde_json::json!({ "id": id })));
            }
        }
        ("POST", ["stats", "reset"]) => server.statistics.reset(),
        ("POST", ["policy"]) => server.state(now).policy.change(parse(body)?),
        ("POST", ["sparse"]) => {
            let (account, container, blob) = (required("account")?, required("container")?, required("blob")?);
            let block = query.nonempty("block").map(number).transpose()?;
            server.put_sparse(account, container, blob, number(required("size")?)?, block)?;
        }
        ("POST", ["file"]) => {
            let (account, share, path) = (required("account")?, required("share")?, required("path")?);
            server.put_file(account, share, path, Content::from(Bytes::copy_from_slice(body)))?;
        }
        ("POST", ["immutability"]) => server.keep(required("account")?, required("container")?, parse(body)?)?,
        ("POST", ["rehydrated"]) => {
            server.end_rehydration(required("account")?, required("container")?, required("blob")?)?;
        }
        ("POST", ["retention"]) => server.age_retention(Duration::from_secs(number(required("seconds")?)?)),
        ("POST", ["clock"]) => server.clock.advance(Duration::from_secs(number(required("seconds")?)?)),
        ("POST", ["tokens"]) => {
            let grant = if body.is_empty() { Grant::default() } else { parse(body)? };
            server.tokens.admit(required("token")?, grant);
        }
        ("DELETE", ["tokens"]) => server.tokens.withdraw_all(),
        ("POST", ["faults"]) => server.faults.add(parse::<Fault>(body)?),
        ("DELETE", ["faults"]) => server.faults.clear(),
        (method, _) => return Err(ControlError::NotFound(format!("{method} {PREFIX}{path}"))),
    }
    Ok(Reply::new(StatusCode::NO_CONTENT))
}

fn copy_action(action: &str, query: &Query) -> Result<CopyAction, ControlError> {
    let failure = |default_status: u16, default_code: &str| {
        let status = query.nonempty("status").map(number::<u16>).transpose()?.unwrap_or(default_status);
        Ok((status, query.nonempty("code").unwrap_or(default_code).to_owned()))
    };
    Ok(match action {
        "hold" => CopyAction::Hold,
        "release" => CopyAction::Release,
        "replace" => CopyAction::Replace,
        "fail" => failure(404, "ResourceNotFound").map(|(status, code)| CopyAction::Fail { status, code })?,
        "trouble" => failure(502, "BadGateway").map(|(status, code)| CopyAction::Trouble { status, code })?,
        other => {
            return Err(ControlError::Invalid(format!("{other} is nothing that can be done to a copy")));
        }
    })
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, ControlError> {
    text.parse().map_err(|_| ControlError::Invalid(format!("{text} is not a number in range")))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ControlError> {
    serde_json::from_slice(body).map_err(|error| ControlError::Invalid(error.to_string()))
}

fn json(value: &impl Serialize) -> Reply {
    // Plain structs of strings and numbers always serialize.
    Reply::document("application/json", serde_json::to_string(value).unwrap_or_default())
}

fn refuse(error: ControlError) -> Reply {
    let mut reply = json(&serde_json::json!({ "error": error.to_string() }));
    reply.status = match error {
        ControlError::Invalid(_) => StatusCode::BAD_REQUEST,
        ControlError::Forbidden(_) => StatusCode::FORBIDDEN,
        _ => StatusCode::NOT_FOUND,
    };
    reply
}
