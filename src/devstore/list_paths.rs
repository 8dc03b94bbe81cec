//! Path List, and what the endpoint of hierarchical namespaces says of a filesystem's root.
//!
//! A listing goes through the tree: a directory stands before what is in it. It is JSON, in which every value is a text.

use hyper::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::clock::rfc1123;
use super::error::{Code, ServiceError};
use super::model::Blob;
use super::reply::{Outcome, Reply};
use super::request::Call;
use super::server::Server;

/// Most paths of a page.
const PAGE: usize = 5000;

/// A path as it is sorted: by its segments.
fn order(name: &str) -> String {
    name.replace('/', "\0")
}

/// Path List: of a filesystem or of a directory in it, with or without all that is below.
pub(super) fn paths(server: &Server, call: &Call) -> Outcome {
    let recursive = match call.query.get("recursive") {
        Some(text) if text.eq_ignore_ascii_case("true") => true,
        Some(text) if text.eq_ignore_ascii_case("false") => false,
        Some(other) => return Err(ServiceError::invalid_query("recursive", other)),
        None => return Err(Code::MissingRequiredQueryParameter.into()),
    };
    let most = match call.query.nonempty("maxresults") {
        Some(text) => text.parse().map_err(|_| ServiceError::invalid_query("maxResults", text))?,
        None => PAGE,
    };
    let directory = call.query.nonempty("directory").unwrap_or("").trim_matches('/');
    let after =
        call.query.nonempty("continuation").map(|text| percent_decode_str(text).decode_utf8_lossy().into_owned());
    let mut state = server.state(call.now);
    if !state.is_hierarchical() {
        return Err(Code::NotImplemented.into());
    }
    let container = state.container(&call.account, call.container()?)?;
    if !directory.is_empty() {
        match container.blobs.get(directory).and_then(|entry| entry.base.as_ref()) {
            Some(found) => found.check_replaced_by(true)?,
            None => return Err(Code::PathNotFound.into()),
        }
    }
    let inside = |name: &str| {
        let rest = if directory.is_empty() { Some(name) } else { name.strip_prefix(directory)?.strip_prefix('/') };
        rest.filter(|rest| recursive || !rest.contains('/')).map(str::len)
    };
    let all = container.blobs.iter().filter_map(|(name, entry)| Some((name, entry.base.as_ref()?)));
    let mut found: Vec<(&String, &Blob)> = all.filter(|(name, _)| inside(name).is_some()).collect();
    found.sort_by_key(|(name, _)| order(name));
    if let Some(after) = &after {
        found.retain(|(name, _)| order(name) > order(after));
    }
    let most = most.clamp(1, PAGE);
    let last = (found.len() > most).then(|| found[most - 1].0.clone());
    found.truncate(most);
    let rows: Vec<Value> = found.into_iter().map(|(name, blob)| row(name, blob)).collect();
    let mut reply = Reply::document("application/json;charset=utf-8", json!({ "paths": rows }).to_string());
    if let Some(last) = last {
        reply.set("x-ms-continuation", &utf8_percent_encode(&last, NON_ALPHANUMERIC).to_string());
    }
    Ok(reply)
}

fn row(name: &str, blob: &Blob) -> Value {
    let mut row = Map::new();
    let mut set = |name: &str, value: String| drop(row.insert(name.to_owned(), Value::String(value)));
    set("name", name.to_owned());
    set("contentLength", blob.content.len().to_string());
    set("etag", blob.etag.to_string());
    set("lastModified", rfc1123(blob.last_modified));
    set("owner", blob.access.owner.clone());
    set("group", blob.access.group.clone());
    set("permissions", blob.access.permissions());
    if blob.directory {
        set("isDirectory", "true".to_owned());
    }
    Value::Object(row)
}

/// Path Get Properties of the root, by which clients learn whether there are directories at all.
pub(super) fn root(server: &Server, call: &Call) -> Outcome {
    let mut state = server.state(call.now);
    if !state.is_hierarchical() {
        return Err(Code::HierarchicalNamespaceNotEnabled.into());
    }
    let made = state.container(&call.account, call.container()?)?.last_modified;
    let root = Blob::directory(0, made);
    let reply = Reply::new(StatusCode::OK).stamp(&root).owned(&root).header("x-ms-acl", root.access.list());
    Ok(reply.header("content-length", "0"))
}
