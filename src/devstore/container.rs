//! Containers: making and deleting them, their metadata, public access and lease (§6).

use hyper::StatusCode;

use super::clock::rfc1123;
use super::error::{Code, ServiceError};
use super::headers::{lease_action, lease_id, sent_metadata};
use super::immutable::check_deletion;
use super::lease::Holder;
use super::model::ETag;
use super::reply::{Outcome, Reply, lease_reply};
use super::request::{Call, Upload};
use super::server::Server;
use super::soft_delete::bin_container;
use super::state::{Access, Container, WEB};
use super::xml::{self, Writer};

/// Create Container.
pub(super) fn create(server: &Server, call: &Call) -> Outcome {
    let metadata = sent_metadata(call, server.limits.metadata_bytes)?.unwrap_or_default();
    let access = Access::parse(call.header("x-ms-blob-public-access"))?;
    let mut state = server.state(call.now);
    let etag = ETag::from_ticks(state.ticks.next());
    let name = call.container()?;
    if state.deleting.remove(&(call.account.clone(), name.to_owned())) {
        return Err(Code::ContainerBeingDeleted.into());
    }
    let containers = state.containers(&call.account)?;
    // `$web` is there without being made (S150).
    if containers.contains_key(name) || name == WEB {
        return Err(Code::ContainerAlreadyExists.into());
    }
    let container = Container { metadata, access, ..Container::new(etag, call.now) };
    let reply = stamp(Reply::new(StatusCode::CREATED), &container);
    containers.insert(name.to_owned(), container);
    Ok(reply)
}

/// Delete Container. Leases and pending copies inside do not matter. The real service takes half a minute until the name
/// is free; here one Create Container is told so (S154).
pub(super) fn delete(server: &Server, call: &Call) -> Outcome {
    let given = lease_id(call)?;
    let mut state = server.state(call.now);
    let name = (call.account.clone(), call.container()?.to_owned());
    if state.deleting.contains(&name) {
        return Ok(Reply::new(StatusCode::ACCEPTED));
    }
    let container = state.container(&call.account, call.container()?)?;
    container.lease.at(call.now).check_write(given, Holder::Container).map_err(refused)?;
    check_dates(call, container)?;
    check_deletion(&container.rules, !container.blobs.is_empty())?;
    if let Some(container) = state.containers(&call.account)?.remove(call.container()?) {
        bin_container(&mut state, call, call.container()?, container);
    }
    state.deleting.insert(name);
    Ok(Reply::new(StatusCode::ACCEPTED))
}

/// The refusal of a lease id.
fn refused(code: Code) -> ServiceError {
    match code {
        // S98
        Code::LeaseLost => ServiceError::from(code)
            .with_message("A lease ID was specified, but the lease for the container has expired."),
        code => code.into(),
    }
}

/// The only conditions containers know are those on dates.
fn check_dates(call: &Call, container: &Container) -> Result<(), ServiceError> {
    let date = |name: &str| call.header(name).and_then(|text| httpdate::parse_http_date(text).ok());
    let modified = super::clock::whole_seconds(container.last_modified);
    let unmet = date("if-modified-since").is_some_and(|since| modified <= since)
        || date("if-unmodified-since").is_some_and(|since| modified > since);
    if unmet { Err(Code::ConditionNotMet.into()) } else { Ok(()) }
}

/// Get Container Properties and Get Container Metadata; also what the endpoint of hierarchical namespaces says of it.
pub(super) fn properties(server: &Server, call: &Call) -> Outcome {
    let given = lease_id(call)?;
    let mut state = server.state(call.now);
    let container = state.container(&call.account, call.container()?)?;
    let lease = container.lease.at(call.now);
    lease.check_read(given, Holder::Container).map_err(refused)?;
    let mut reply = stamp(Reply::new(StatusCode::OK).metadata(&container.metadata), container)
        .header("x-ms-lease-state", lease.state())
        .header("x-ms-lease-status", lease.status())
        .header("x-ms-has-immutability-policy", flag(container.rules.has_policy()))
        .header("x-ms-has-legal-hold", flag(container.rules.legal_hold))
        .header("x-ms-immutable-storage-with-versioning-enabled", flag(container.rules.versions));
    reply.set_optional("x-ms-lease-duration", lease.duration());
    reply.set_optional("x-ms-blob-public-access", container.access.name());
    Ok(reply)
}

/// Set Container Metadata.
pub(super) fn set_metadata(server: &Server, call: &Call) -> Outcome {
    let metadata = sent_metadata(call, server.limits.metadata_bytes)?.unwrap_or_default();
    change(server, call, |container| container.metadata = metadata)
}

/// Set Container ACL: public access only. Stored access policies are refused, since a SAS could not refer to them.
pub(super) fn set_acl(server: &Server, call: &Call, upload: Upload) -> Outcome {
    let body = &upload.bytes;
    if !body.is_empty() && !xml::read_leaves(body, "SignedIdentifiers")?.is_empty() {
        return Err(Code::NotImplemented.into());
    }
    let access = Access::parse(call.header("x-ms-blob-public-access"))?;
    change(server, call, |container| container.access = access)
}

fn change(server: &Server, call: &Call, apply: impl FnOnce(&mut Container)) -> Outcome {
    let given = lease_id(call)?;
    let mut state = server.state(call.now);
    let etag = ETag::from_ticks(state.ticks.next());
    let container = state.container(&call.account, call.container()?)?;
    container.lease.at(call.now).check_read(given, Holder::Container).map_err(refused)?;
    check_dates(call, container)?;
    apply(container);
    container.etag = etag;
    container.last_modified = call.now;
    Ok(stamp(Reply::new(StatusCode::OK), container))
}

/// Get Container ACL.
pub(super) fn acl(server: &Server, call: &Call) -> Outcome {
    let mut state = server.state(call.now);
    let container = state.container(&call.account, call.container()?)?;
    let mut document = Writer::new();
    document.element("SignedIdentifiers", "");
    let mut reply = stamp(Reply::xml(document.finish()), container);
    reply.set_optional("x-ms-blob-public-access", container.access.name());
    Ok(reply)
}

/// Lease Container: guards the container's deletion only.
pub(super) fn lease(server: &Server, call: &Call) -> Outcome {
    let action = lease_action(call)?;
    let mut state = server.state(call.now);
    let container = state.container(&call.account, call.container()?)?;
    container.lease = container.lease.apply(action, call.now)?;
    Ok(stamp(lease_reply(action, container.lease, call), container))
}

/// How the service spells a truth value.
pub(super) fn flag(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

fn stamp(mut reply: Reply, container: &Container) -> Reply {
    reply.set("etag", &container.etag.quoted());
    reply.set("last-modified", &rfc1123(container.last_modified));
    reply
}
