//! Soft delete: what is deleted in an account that keeps such things for some days, and how it comes back (S86, S89,
//! S178, S179).
//!
//! A blob goes with its snapshots into the [`bin`](super::bin) of its name, where listings show it on request. In an
//! account with versions a deleted blob is an earlier version, and nothing is needed but that. A container goes away
//! whole. Days pass by the clock of retention.
//!
//! Where the namespace is hierarchical each deletion has an id (S130), and Undelete Blob says by it what is to come back:
//! a name may have been deleted more than once. A directory goes and comes with all that is below it.

use hyper::StatusCode;
use percent_encoding::percent_decode_str;

use super::address::{BlobAddress, Revision};
use super::answers::UndeleteOnto;
use super::bin::Deleted;
use super::clock::rfc1123;
use super::error::{Code, ServiceError};
use super::model::{ETag, Entry};
use super::reply::{Outcome, Reply};
use super::request::Call;
use super::server::Server;
use super::state::{Container, DeletedContainer, State, retention_clock};
use super::xml::Writer;

/// 1970, as ids of deletions count: in units of 100 ns since 1601.
const TICKS_BEFORE_1970: u64 = 116_444_736_000_000_000;

/// Takes a path away with all that is below it, in an account that keeps such things; the id of the deletion. `None` in
/// others, where nothing is done.
pub(super) fn delete_path(state: &mut State, call: &Call) -> Result<Option<u64>, ServiceError> {
    let address = call.blob()?;
    let Some(days) = state.soft_delete.get(&call.account).copied() else { return Ok(None) };
    let (at, id) = (retention_clock(state, call.now), state.ticks.next() + TICKS_BEFORE_1970);
    let mut what = vec![(String::new(), take(state, address, &address.blob)?)];
    for name in state.below(address, usize::MAX)? {
        let entry = take(state, address, &name)?;
        what.push((name[address.blob.len()..].to_owned(), entry));
    }
    let container = state.container(&address.account, &address.container)?;
    container.deleted_paths.insert(address.blob.clone(), id, Deleted { what, at, days });
    Ok(Some(id))
}

/// An entry with nothing but what is committed.
fn take(state: &mut State, address: &BlobAddress, name: &str) -> Result<Entry, ServiceError> {
    let blobs = &mut state.container(&address.account, &address.container)?.blobs;
    let base = blobs.remove(name).and_then(|entry| entry.base);
    Ok(Entry { base, ..Entry::default() })
}

/// Takes the blob of an entry away with its snapshots. Whether it can be brought back.
pub(super) fn delete_entry(state: &mut State, call: &Call) -> Result<bool, ServiceError> {
    if state.is_hierarchical() && delete_path(state, call)?.is_some() {
        return Ok(true);
    }
    let (days, at) = (state.soft_delete.get(&call.account).copied(), retention_clock(state, call.now));
    let entry = state.entry_or_new(call.blob()?)?;
    let has_versions = entry.versioned;
    if let Some(days) = days.filter(|_| !has_versions) {
        if let Some(what) = entry.base.take() {
            entry.bin.blob = Some(Deleted { what, at, days });
        }
        bin_snapshots(entry, at, days);
    }
    entry.delete();
    Ok(days.is_some() || has_versions)
}

/// Takes all snapshots away.
pub(super) fn delete_snapshots(state: &mut State, call: &Call) -> Result<bool, ServiceError> {
    let (days, at) = (state.soft_delete.get(&call.account).copied(), retention_clock(state, call.now));
    let entry = state.entry_or_new(call.blob()?)?;
    if let Some(days) = days {
        bin_snapshots(entry, at, days);
    }
    entry.snapshots.clear();
    Ok(days.is_some())
}

fn bin_snapshots(entry: &mut Entry, at: std::time::SystemTime, days: u32) {
    for (id, what) in std::mem::take(&mut entry.snapshots) {
        entry.bin.snapshots.insert(id, Deleted { what, at, days });
    }
}

/// Takes one snapshot away.
pub(super) fn delete_snapshot(state: &mut State, call: &Call, id: &str) -> Result<bool, ServiceError> {
    let (days, at) = (state.soft_delete.get(&call.account).copied(), retention_clock(state, call.now));
    let entry = state.entry(call.blob()?)?;
    let what = entry.snapshots.remove(id).ok_or(Code::BlobNotFound)?;
    if let Some(days) = days {
        entry.bin.snapshots.insert(id.to_owned(), Deleted { what, at, days });
    }
    Ok(days.is_some())
}

/// The 404 for what is not there says so if it was a snapshot that was deleted (S89).
pub(super) fn mark_missing(state: &mut State, call: &Call, error: ServiceError) -> ServiceError {
    let now = retention_clock(state, call.now);
    let is_deleted = match (call.blob(), call.revision()) {
        (Ok(address), Revision::Snapshot(id)) => {
            let entry = state.find(address).ok().flatten();
            entry.and_then(|entry| entry.bin.snapshots.get(&id)).is_some_and(|deleted| deleted.is_kept(now))
        }
        _ => false,
    };
    match is_deleted && error.status == StatusCode::NOT_FOUND {
        true => error.with_header("x-ms-is-soft-deleted", "true"),
        false => error,
    }
}

/// Undelete Blob: what was deleted under the name is there again as it was (S89).
pub(super) fn undelete(server: &Server, call: &Call) -> Outcome {
    call.refuse_revision()?;
    let mut state = server.state(call.now);
    if state.is_hierarchical() {
        return undelete_path(&mut state, call);
    }
    let now = retention_clock(&state, call.now);
    let entry = state.find(call.blob()?)?.ok_or(Code::BlobNotFound)?;
    entry.bin.expire(now);
    if entry.base.is_none() && entry.bin.is_empty() {
        return Err(Code::BlobNotFound.into());
    }
    if let Some(deleted) = entry.bin.blob.take()
        && entry.base.is_none()
    {
        entry.base = Some(deleted.what);
    }
    for (id, deleted) in std::mem::take(&mut entry.bin.snapshots) {
        entry.snapshots.insert(id, deleted.what);
    }
    Ok(Reply::new(StatusCode::OK))
}

/// Undelete Blob where the namespace is hierarchical (S206). Without `x-ms-undelete-source` nothing is meant, and what is
/// there stays.
fn undelete_path(state: &mut State, call: &Call) -> Outcome {
    let (to, now) = (call.blob()?, retention_clock(state, call.now));
    let Some(source) = call.header("x-ms-undelete-source") else {
        return state.entry(to).map(|_| Reply::new(StatusCode::OK));
    };
    let invalid = || ServiceError::invalid_header("x-ms-undelete-source", source);
    let (path, id) = source.split_once("?deletionid=").ok_or_else(invalid)?;
    let path = percent_decode_str(path).decode_utf8().map_err(|_| invalid())?;
    let id: u64 = id.parse().map_err(|_| invalid())?;
    let below = state.below(to, usize::MAX)?;
    let container = state.container(&to.account, &to.container)?;
    container.deleted_paths.find(&path, id, now).ok_or(Code::BlobNotFound)?;
    // That it is an error is documented, and not which.
    if let Some((parent, _)) = to.blob.rsplit_once('/')
        && !container.blobs.get(parent).is_some_and(Entry::is_directory)
    {
        return Err(Code::BlobNotFound.into());
    }
    if container.blobs.get(&to.blob).is_some_and(|entry| entry.base.is_some()) {
        if call.answers.undelete_onto == UndeleteOnto::Refused {
            return Err(Code::BlobAlreadyExists.into());
        }
        below.iter().for_each(|name| drop(container.blobs.remove(name)));
    }
    let deleted = container.deleted_paths.remove(&path, id).ok_or(Code::BlobNotFound)?;
    let mut reply = Reply::new(StatusCode::OK);
    for (rest, entry) in deleted.what {
        if let Some(base) = entry.base.as_ref().filter(|_| rest.is_empty()) {
            reply.set("x-ms-creation-time", &rfc1123(base.created));
            reply.set("x-ms-resource-type", base.resource_type());
        }
        container.blobs.insert(format!("{}{rest}", to.blob), entry);
    }
    Ok(reply)
}

/// Puts a container that was deleted away, if the account keeps such things.
pub(super) fn bin_container(state: &mut State, call: &Call, name: &str, container: Container) {
    let Some(days) = state.soft_delete.get(&call.account).copied() else { return };
    let (at, version) = (retention_clock(state, call.now), format!("{:016X}", state.ticks.next()));
    let (account, name) = (call.account.clone(), name.to_owned());
    state.deleted_containers.push(DeletedContainer {
        account,
        name,
        version,
        deleted: Deleted { what: container, at, days },
    });
}

/// A row of List Containers (S178); nobody took the lease.
pub(super) fn write_deleted_container(document: &mut Writer, container: &DeletedContainer, now: std::time::SystemTime) {
    document.element("Name", &container.name);
    document.element("Deleted", "true");
    document.element("Version", &container.version);
    document.nest("Properties", |document| {
        document.element("Last-Modified", rfc1123(container.deleted.what.last_modified));
        document.element("Etag", container.deleted.what.etag.quoted());
        document.element("LeaseStatus", "locked");
        document.element("LeaseState", "leased");
        document.element("LeaseDuration", "fixed");
        document.element("DeletedTime", rfc1123(container.deleted.at));
        document.element("RemainingRetentionDays", container.deleted.days_left(now).to_string());
    });
}

/// Restore Container: under its own name, with a new ETag; its blobs keep theirs (S179).
pub(super) fn restore_container(server: &Server, call: &Call) -> Outcome {
    let wanted = call.required("x-ms-deleted-container-name")?;
    let version = call.required("x-ms-deleted-container-version")?;
    let name = call.container()?;
    if wanted != name {
        return Err(ServiceError::invalid_header("x-ms-deleted-container-name", wanted));
    }
    let mut state = server.state(call.now);
    let now = retention_clock(&state, call.now);
    if state.containers(&call.account)?.contains_key(name) {
        return Err(Code::ContainerAlreadyExists.into());
    }
    let found = state.deleted_containers.iter().position(|container| {
        container.account == call.account
            && container.name == name
            && container.version == version
            && container.deleted.is_kept(now)
    });
    let found = found.ok_or(Code::ContainerNotFound)?;
    let mut container = state.deleted_containers.remove(found).deleted.what;
    container.etag = ETag::from_ticks(state.ticks.next());
    container.last_modified = call.now;
    let reply = Reply::new(StatusCode::CREATED)
        .header("etag", container.etag.quoted())
        .header("last-modified", rfc1123(container.last_modified));
    state.containers(&call.account)?.insert(name.to_owned(), container);
    Ok(reply)
}
