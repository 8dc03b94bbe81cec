//! The endpoint of hierarchical namespaces (§14), but for rename, which is in [`path`]: files and
//! directories made, appended to, flushed and deleted, their owners and access lists, and what a filesystem says of
//! itself.
//!
//! What is appended waits beside the file until a flush says where it ends. From then on the file is one that was
//! written over DFS: the Blob endpoint reads it, and puts no blocks into it (S131).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;

use super::address::{BlobAddress, Namespace};
use super::answers::FilesystemProperties;
use super::condition::Conditions;
use super::content::Content;
use super::error::{Code, ServiceError};
use super::headers::lease_id;
use super::lease::Holder;
use super::model::{Blob, Kind, Metadata};
use super::reply::{Outcome, Reply};
use super::request::{Call, Upload};
use super::server::Server;
use super::state::State;
use super::{container, path, soft_delete};

/// Most paths that one request deletes before it answers with a continuation, unless the tests want fewer.
const MOST_AT_ONCE: usize = 5000;

/// What this endpoint says where the Blob endpoint would say something else.
pub(super) fn in_its_words(error: ServiceError) -> ServiceError {
    let code = match error.code.as_ref() {
        // S127, S128
        "LeaseNotPresentWithBlobOperation" => Code::LeaseNotPresent,
        "LeaseIdMismatchWithBlobOperation" => Code::LeaseIdMismatch,
        "BlobNotFound" => Code::PathNotFound,
        "ContainerNotFound" => Code::FilesystemNotFound,
        "BlobAlreadyExists" => Code::PathAlreadyExists,
        _ => return error,
    };
    ServiceError::from(code)
}

/// Filesystem Get Properties.
pub(super) fn filesystem(server: &Server, call: &Call) -> Outcome {
    if server.answers.filesystem_properties == FilesystemProperties::Forbidden {
        return Err(Code::AuthorizationPermissionMismatch.into());
    }
    let enabled = server.namespace == Namespace::Hierarchical;
    Ok(container::properties(server, call)?.header("x-ms-namespace-enabled", if enabled { "true" } else { "false" }))
}

/// Path Create of a file or a directory. Missing parents are made, and a file that is there gives way to a new one
/// (S139); a directory stays, with what is in it.
pub(super) fn create(server: &Server, call: &Call) -> Outcome {
    let directory = match call.query.get("resource") {
        Some("file") => false,
        Some("directory") => true,
        other => return Err(ServiceError::invalid_query("resource", other.unwrap_or(""))),
    };
    let address = call.blob()?;
    let mut state = hierarchical(server, call)?;
    state.admit_replacing(call)?;
    let ticks = state.ticks.next();
    let made = match directory {
        true => Blob::directory(ticks, call.now),
        false => Blob::new(Kind::unlisted(), Content::default(), ticks, call.now),
    };
    let mut made = call.made(made);
    made.metadata = sent_metadata(call)?;
    made.access = made.access.changed(|name| call.header(name))?;
    let entry = state.entry_or_new(address)?;
    if let Some(old) = &entry.base {
        old.check_replaced_by(directory)?;
        if directory {
            made.created = old.created;
        }
    }
    Ok(Reply::new(StatusCode::CREATED).stamp(entry.replace(made)))
}

/// Path Update, append: nobody sees it before the flush, which the same request may ask for.
pub(super) fn append(server: &Server, call: &Call, upload: Upload) -> Outcome {
    let position = position(call)?;
    let end = position + upload.bytes.len() as u64;
    let mut state = hierarchical(server, call)?;
    check_lease(&mut state, call)?;
    file(&mut state, call)?;
    state.entry(call.blob()?)?.appended.insert(position, Content::from(upload.bytes));
    if call.query.get("flush").is_some_and(|flush| flush.eq_ignore_ascii_case("true")) {
        flush_to(&mut state, call, end)?;
    }
    Ok(Reply::new(StatusCode::ACCEPTED).header("x-ms-request-server-encrypted", "true"))
}

/// Path Update, flush: the file is what it was and what was appended, up to a position that must be the end of it.
pub(super) fn flush(server: &Server, call: &Call) -> Outcome {
    let end = position(call)?;
    let mut state = hierarchical(server, call)?;
    check_lease(&mut state, call)?;
    Conditions::of_target(call)?.check_write(Some(file(&mut state, call)?))?;
    Ok(Reply::new(StatusCode::OK).stamp(flush_to(&mut state, call, end)?))
}

fn flush_to<'a>(state: &'a mut State, call: &Call, end: u64) -> Result<&'a Blob, ServiceError> {
    let ticks = state.ticks.next();
    let entry = state.entry(call.blob()?)?;
    let appended = std::mem::take(&mut entry.appended);
    let base = entry.base.as_mut().ok_or(Code::PathNotFound)?;
    let mut content = base.content.clone();
    for (position, bytes) in &appended {
        if *position == content.len() && *position < end {
            content = Content::concat([&content, bytes]);
        }
    }
    if content.len() != end {
        // S129
        entry.appended = appended;
        return Err(Code::InvalidFlushPosition.into());
    }
    (base.content, base.kind, base.over_dfs) = (content, Kind::unlisted(), true);
    (base.copy, base.properties.md5) = (None, None);
    base.touch(ticks, call.now);
    Ok(base)
}

/// Path Delete. A directory with something in it takes `recursive=true`.
pub(super) fn delete(server: &Server, call: &Call) -> Outcome {
    let address = call.blob()?;
    let mut state = hierarchical(server, call)?;
    if state.find(address)?.is_none_or(|entry| entry.base.is_none()) {
        return Err(Code::PathNotFound.into());
    }
    state.admit(call)?;
    let most = state.policy.delete_part.unwrap_or(MOST_AT_ONCE);
    let below = state.below(address, most)?;
    if !below.is_empty() && call.query.get("recursive") != Some("true") {
        return Err(Code::DirectoryNotEmpty.into());
    }
    if let Some(id) = soft_delete::delete_path(&mut state, call)? {
        // S130
        let reply = Reply::new(StatusCode::OK).header("x-ms-delete-type-permanent", "false");
        return Ok(reply.header("x-ms-deletion-id", id.to_string()));
    }
    let blobs = &mut state.container(&address.account, &address.container)?.blobs;
    // Deepest names first, so that no path is ever there without its directory.
    below.iter().rev().for_each(|name| drop(blobs.remove(name)));
    if below.len() == most {
        state.deleting_paths.insert(address.clone());
        return Ok(Reply::new(StatusCode::OK).header("x-ms-continuation", path::UNFINISHED));
    }
    blobs.remove(&address.blob);
    state.deleting_paths.remove(address);
    Ok(Reply::new(StatusCode::OK))
}

/// Path Get Properties, and with `action=getAccessControl` the access list as well.
pub(super) fn properties(server: &Server, call: &Call) -> Outcome {
    let mut state = hierarchical(server, call)?;
    let (entry, blob) = state.readable(call)?;
    let reply = match call.query.get("action") {
        Some("getAccessControl") => {
            Reply::new(StatusCode::OK).stamp(blob).owned(blob).header("x-ms-acl", blob.access.list())
        }
        Some("getStatus") => Reply::new(StatusCode::OK).stamp(blob).owned(blob),
        None => Reply::new(StatusCode::OK).describe(call, entry, blob).header("x-ms-acl", blob.access.list()),
        Some(other) => return Err(ServiceError::invalid_query("action", other)),
    };
    let length = if call.query.get("action").is_some() { 0 } else { blob.content.len() };
    Ok(reply.header("content-length", length.to_string()))
}

/// Path Update, setAccessControl: neither ETag nor times change.
pub(super) fn set_access(server: &Server, call: &Call) -> Outcome {
    let mut state = hierarchical(server, call)?;
    state.admit(call)?;
    let blob = state.entry(call.blob()?)?.base.as_mut().ok_or(Code::PathNotFound)?;
    blob.access = blob.access.clone().changed(|name| call.header(name))?;
    Ok(Reply::new(StatusCode::OK).stamp(blob))
}

/// The state, where there are such paths at all.
fn hierarchical<'a>(server: &'a Server, call: &Call) -> Result<std::sync::MutexGuard<'a, State>, ServiceError> {
    let state = server.state(call.now);
    if state.is_hierarchical() { Ok(state) } else { Err(Code::NotImplemented.into()) }
}

/// `x-ms-properties`: names and values in Base64.
fn sent_metadata(call: &Call) -> Result<Metadata, ServiceError> {
    let mut metadata = Metadata::new();
    let text = call.header("x-ms-properties").unwrap_or_default();
    for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
        let decoded = pair
            .trim()
            .split_once('=')
            .and_then(|(name, value)| Some((name.to_owned(), String::from_utf8(STANDARD.decode(value).ok()?).ok()?)));
        let (name, value) = decoded.ok_or_else(|| ServiceError::invalid_header("x-ms-properties", text))?;
        metadata.insert(name, value);
    }
    Ok(metadata)
}

fn position(call: &Call) -> Result<u64, ServiceError> {
    let text = call.query.nonempty("position").ok_or(Code::MissingRequiredQueryParameter)?;
    text.parse().map_err(|_| ServiceError::invalid_query("position", text))
}

fn check_lease(state: &mut State, call: &Call) -> Result<(), ServiceError> {
    let address: &BlobAddress = call.blob()?;
    let given = lease_id(call)?;
    let entry = state.find(address)?.ok_or(Code::PathNotFound)?;
    Ok(entry.lease.at(call.now).check_write(given, Holder::Blob)?)
}

/// A file to append to: nothing else.
fn file<'a>(state: &'a mut State, call: &Call) -> Result<&'a Blob, ServiceError> {
    let base = state.find(call.blob()?)?.and_then(|entry| entry.base.as_ref()).ok_or(Code::PathNotFound)?;
    base.check_replaced_by(false)?;
    match base.kind {
        _ if base.is_pending() => Err(Code::PendingCopyOperation.into()),
        Kind::Block { .. } => Ok(base),
        _ => Err(Code::InvalidBlobType.into()),
    }
}
