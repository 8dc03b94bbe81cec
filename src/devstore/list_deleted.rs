//! List Blobs with `showonly=deleted`: what was deleted softly in a hierarchical namespace, and nothing else (S81, S206).
//!
//! Each deletion is a row with its id; a name that was deleted more than once has more rows, oldest first. A directory is
//! one row, whatever was below it.

use hyper::Method;

use super::address::{Namespace, Target};
use super::bin::DeletedPath;
use super::clock::rfc1123;
use super::error::{Code, ServiceError};
use super::list::{Include, Show, page_size, write_metadata, write_name, write_properties};
use super::marker::Marker;
use super::model::Entry;
use super::reply::{Outcome, Reply};
use super::request::Call;
use super::server::Server;
use super::state::retention_clock;
use super::xml::Writer;

/// Whether a listing is one of these.
pub(super) fn is_meant(call: &Call) -> bool {
    let wanted = call.query.get("showonly").is_some_and(|only| only.split(',').any(|part| part == "deleted"));
    wanted && call.method == Method::GET && matches!(call.target, Target::Container { .. })
}

/// List Blobs of what was deleted. With a delimiter nobody has seen it, so that is not offered.
pub(super) fn blobs(server: &Server, call: &Call) -> Outcome {
    let include = Include::parse(call);
    let only = call.query.get("showonly").unwrap_or("");
    if server.namespace != Namespace::Hierarchical || only != "deleted" || include.deleted {
        return Err(ServiceError::invalid_query("showonly", only));
    }
    if call.query.nonempty("delimiter").is_some() {
        return Err(Code::NotImplemented.into());
    }
    let marker = call.query.nonempty("marker").map(Marker::decode).transpose()?;
    let from = marker.as_ref().map(Marker::place).unwrap_or_default();
    let prefix = call.query.get("prefix").unwrap_or("");
    let (endpoint, name) = (server.endpoint(&call.account), call.container()?);
    let mut state = server.state(call.now);
    let (limit, now) = (page_size(call, state.policy.list_page)?, retention_clock(&state, call.now));
    let container = state.container(&call.account, name)?;
    let rows = container.deleted_paths.kept(now);
    let mut rows = rows.filter(|(path, id, _)| path.starts_with(prefix) && (*path, *id) >= from);

    let mut document = Writer::new();
    document.open("EnumerationResults", &[("ServiceEndpoint", &format!("{endpoint}/")), ("ContainerName", name)]);
    document.element("Prefix", prefix);
    document.element("MaxResults", limit.to_string());
    document.nest("Blobs", |document| {
        for (path, id, deleted) in rows.by_ref().take(limit) {
            document.nest("Blob", |document| {
                write_name(document, path);
                document.element("DeletionId", id.to_string());
                document.element("Deleted", "true");
                write_path(document, call, deleted, include, deleted.whole_days_left(now));
            });
        }
    });
    let next = rows.next().map(|(path, id, _)| Marker::of_deletion(path, id).encode());
    document.element("NextMarker", next.unwrap_or_default());
    document.close("EnumerationResults");
    Ok(Reply::xml(document.finish()))
}

/// What is told of a path: no lease, not even an empty one.
fn write_path(document: &mut Writer, call: &Call, deleted: &DeletedPath<Entry>, include: Include, days: u64) {
    let Some(blob) = deleted.what.first().and_then(|(_, entry)| entry.base.as_ref()) else { return };
    document.nest("Properties", |document| {
        write_properties(document, blob, Show::past(None), include);
        document.element("Expiry-Time", rfc1123(deleted.ends()));
        if call.shows_paths() {
            document.element("ResourceType", blob.resource_type());
        }
        document.element("DeletedTime", rfc1123(deleted.at));
        document.element("RemainingRetentionDays", days.to_string());
    });
    if include.metadata {
        write_metadata(document, &blob.shown_metadata());
    }
}
