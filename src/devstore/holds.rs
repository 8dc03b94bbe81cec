//! The policy and the hold of one version of a blob, where the container keeps versions (S185, S186).

use hyper::StatusCode;

use super::clock::rfc1123;
use super::error::{Code, ServiceError};
use super::immutable::sent;
use super::model::Blob;
use super::protection::{HOLD, Protection, UNTIL};
use super::reply::{Outcome, Reply};
use super::request::Call;
use super::server::Server;
use super::state::{State, retention_clock};

/// What a request wants of the blob that it makes. 501 where versions are not kept.
pub(super) fn sent_protection(state: &mut State, call: &Call) -> Result<Protection, ServiceError> {
    let sent = sent(call)?;
    let address = call.blob()?;
    let offered = state.container(&address.account, &address.container)?.rules.versions;
    if offered || sent == Protection::default() { Ok(sent) } else { Err(Code::NotImplemented.into()) }
}

/// The version that a request is about, whose own policy or hold it changes.
fn protected<'a>(state: &'a mut State, call: &Call) -> Result<&'a mut Blob, ServiceError> {
    let address = call.blob()?;
    state.readable(call)?;
    if !state.container(&address.account, &address.container)?.rules.versions {
        return Err(Code::NotImplemented.into());
    }
    state.entry(address)?.at_mut(&call.revision()).ok_or_else(|| Code::BlobNotFound.into())
}

/// Set Blob Immutability Policy (S185). A locked one can only be made longer.
pub(super) fn set_policy(server: &Server, call: &Call) -> Outcome {
    let until = sent(call)?.until.ok_or_else(|| ServiceError::missing_header(UNTIL))?;
    let mut state = server.state(call.now);
    let now = retention_clock(&state, call.now);
    let blob = protected(&mut state, call)?;
    if until.time <= now {
        return Err(ServiceError::invalid_header(UNTIL, &rfc1123(until.time)));
    }
    if blob.protection.until.is_some_and(|old| old.locked && (!until.locked || until.time < old.time)) {
        return Err(Code::BlobImmutableDueToPolicy.into());
    }
    blob.protection.until = Some(until);
    let shown = Protection { until: Some(until), hold: None };
    Ok(Reply::new(StatusCode::OK).protection(&shown))
}

/// Delete Blob Immutability Policy (S185).
pub(super) fn delete_policy(server: &Server, call: &Call) -> Outcome {
    let mut state = server.state(call.now);
    let blob = protected(&mut state, call)?;
    if blob.protection.until.is_some_and(|until| until.locked) {
        return Err(Code::BlobImmutableDueToPolicy.into());
    }
    blob.protection.until = None;
    Ok(Reply::new(StatusCode::OK))
}

/// Set Blob Legal Hold (S186).
pub(super) fn set_hold(server: &Server, call: &Call) -> Outcome {
    let hold = sent(call)?.hold.ok_or_else(|| ServiceError::missing_header(HOLD))?;
    let mut state = server.state(call.now);
    protected(&mut state, call)?.protection.hold = Some(hold);
    let shown = Protection { until: None, hold: Some(hold) };
    Ok(Reply::new(StatusCode::OK).protection(&shown))
}
