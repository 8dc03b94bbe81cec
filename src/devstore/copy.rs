//! Copy Blob, Copy Blob From URL and Abort Copy Blob (§13.2, §13.6, §13.7): what is checked before a copy begins and
//! what the destination inherits. How a copy then proceeds is the [`engine`](super::engine)'s affair.

use hyper::StatusCode;

use super::address::Revision;
use super::answers::{ArchivedToCold, CreationTimeOfOverwritten, OwnSource, PendingOrCondition};
use super::checksum::check_source_hash;
use super::condition::{Conditions, Reader, on_target};
use super::copies::{NewCopy, Timing};
use super::encryption;
use super::error::{Code, ServiceError, cannot_verify};
use super::headers::{copies_tags, lease_id, sent_metadata, sent_tags, sent_tier};
use super::holds::sent_protection;
use super::lease::Holder;
use super::model::{Blob, Encryption, Kind, Metadata, Tier};
use super::reply::{Outcome, Reply};
use super::request::Call;
use super::server::Server;
use super::source::CopySource;
use super::state::{State, keeps_chosen_tier};
use super::tags::Tags;

/// Copy Blob: asynchronous, any blob type (§13.2).
pub(super) fn start(server: &Server, call: &Call) -> Outcome {
    let source = CopySource::of(server, call, true)?;
    let settings = Settings::of(server, call)?;
    let mut state = server.state(call.now);
    let original = source.read(&mut state)?.clone();
    Conditions::of_source(call)?.check_source(&original)?;
    let timing = match original.tier {
        Some(Tier::Archive) => Timing::WhenReleased,
        _ => Timing::AtRate,
    };
    begin(&mut state, call, source, original, settings, timing)
}

/// Copy Blob From URL: a small block blob, done when answered (§13.7).
pub(super) fn synchronous(server: &Server, call: &Call) -> Outcome {
    let own = call.answers.own_source == OwnSource::Allowed;
    let source = CopySource::of(server, call, own)?;
    let mut settings = Settings::of(server, call)?;
    let original = source.read(&mut server.state(call.now))?.clone();
    Conditions::of_source(call)?.check_read_source(&original, Reader::Blob)?;
    if !matches!(original.kind, Kind::Block { .. }) {
        // S53; which status it has is not known.
        let only_blocks =
            ServiceError::from(Code::InvalidSourceBlobType).with_message("The copy source must be a block blob.");
        return Err(cannot_verify(only_blocks));
    }
    original.check_online()?;
    if original.content.len() > server.limits.sync_copy_bytes {
        let too_large = "The source blob is too large for a synchronous copy.";
        let error = ServiceError::from(Code::RequestBodyTooLarge).with_message(too_large);
        return Err(cannot_verify(error.with_status(StatusCode::CONFLICT)));
    }
    let hashes = check_source_hash(call, &original.content)?.with_crc64(&original.content);
    if copies_tags(call)? {
        settings.tags = original.tags.clone();
    }
    let mut state = server.state(call.now);
    let mut reply = begin(&mut state, call, source, original, settings, Timing::Immediately)?;
    // S54
    hashes.write(&mut reply);
    Ok(reply.header("x-ms-request-server-encrypted", "true"))
}

/// Properties that the request sets on the destination instead of inheriting it.
struct Settings {
    /// `None` copies the source's (X3).
    metadata: Option<Metadata>,
    /// Never inherited (X4).
    tags: Tags,
    tier: Option<Tier>,
    /// `None` takes over that of the source (S8).
    seal: Option<bool>,
    encryption: Encryption,
}

impl Settings {
    fn of(server: &Server, call: &Call) -> Result<Settings, ServiceError> {
        Ok(Settings {
            metadata: sent_metadata(call, server.limits.metadata_bytes)?,
            tags: sent_tags(call)?,
            tier: sent_tier(call)?,
            encryption: encryption::sent(call)?,
            seal: match call.header("x-ms-seal-blob") {
                None => None,
                Some("true") => Some(true),
                Some("false") => Some(false),
                Some(other) => return Err(ServiceError::invalid_header("x-ms-seal-blob", other)),
            },
        })
    }
}

fn begin(
    state: &mut State,
    call: &Call,
    source: CopySource,
    original: Blob,
    settings: Settings,
    timing: Timing,
) -> Outcome {
    let destination = call.blob()?.clone();
    match call.revision() {
        Revision::Current => {}
        Revision::Snapshot(id) => return Err(ServiceError::invalid_query("snapshot", &id)),
        Revision::Version(id) => return Err(ServiceError::invalid_query("versionid", &id)),
    }
    if original.tier == Some(Tier::Archive) && settings.tier.is_none() {
        return Err(Code::BlobArchived.into());
    }
    let to_cold = original.tier == Some(Tier::Archive) && settings.tier == Some(Tier::Cold);
    if to_cold && state.answers.archived_to_cold == ArchivedToCold::Refused {
        return Err(Code::InvalidInput.into());
    }
    let replaced = admit_destination(state, call, &original)
        .map_err(|error| on_target(error, call, timing != Timing::Immediately))?;
    let stays = keeps_chosen_tier(state, &call.account);
    let tier = replaced.as_ref().filter(|_| stays).and_then(|old| old.tier).filter(|tier| *tier != Tier::Archive);
    let created = match state.answers.creation_time {
        CreationTimeOfOverwritten::Kept if !matches!(original.kind, Kind::Block { .. }) => {
            replaced.map(|old| old.created)
        }
        _ => None,
    };
    let protection = sent_protection(state, call)?;
    let source_etag = original.etag;
    let kind = match original.kind {
        Kind::Append { blocks, sealed } => Kind::Append { blocks, sealed: settings.seal.unwrap_or(sealed) },
        other => other,
    };
    // A tier that was chosen for the destination stays chosen (S103).
    let tier = settings.tier.or(tier);
    let finished = Blob {
        kind,
        metadata: settings.metadata.unwrap_or(original.metadata),
        tags: settings.tags,
        encryption: settings.encryption,
        tier,
        tier_changed: tier.map(|_| call.now),
        created: created.unwrap_or(call.now),
        copy: None,
        over_dfs: false,
        protection,
        rehydrating: None,
        ..original
    };
    let finished = call.made(finished);
    let copy = NewCopy {
        destination,
        source: source.name,
        source_url: source.url,
        source_etag,
        source_expiry: source.expiry,
        finished,
        timing,
    };
    let begun = state.begin_copy(copy, call.now)?;
    let mut reply = Reply::new(StatusCode::ACCEPTED).stamp(&begun);
    reply.tell_encryption(&begun.encryption);
    if let Some(copy) = &begun.copy {
        reply.set("x-ms-copy-id", &copy.id.to_string());
        reply.set("x-ms-copy-status", copy.status.name());
    }
    Ok(reply)
}

/// The destination's part of §13.2: free of a pending copy (C10), of the source's type (C7), not archived, and if
/// leased then for ever (X5). Returns the blob that is overwritten.
fn admit_destination(state: &mut State, call: &Call, original: &Blob) -> Result<Option<Blob>, ServiceError> {
    if state.answers.pending_or_condition == PendingOrCondition::Condition {
        let base = state.find(call.blob()?)?.and_then(|entry| entry.base.as_ref());
        Conditions::of_target(call)?.check_write(base)?;
    }
    state.admit_replacing(call)?;
    let Some(entry) = state.find(call.blob()?)? else {
        return Ok(None);
    };
    if entry.lease.at(call.now).is_finite() {
        return Err(Code::InfiniteLeaseDurationRequired.into());
    }
    let Some(base) = &entry.base else {
        return Ok(None);
    };
    base.check_replaced_by(original.directory)?;
    if !base.kind.is_same(&original.kind) {
        return Err(Code::InvalidBlobType.into());
    }
    base.check_online()?;
    Ok(Some(base.clone()))
}

/// Abort Copy Blob (§13.6). Takes no conditions.
pub(super) fn abort(server: &Server, call: &Call) -> Outcome {
    match call.required("x-ms-copy-action")? {
        "abort" => {}
        other => return Err(ServiceError::invalid_header("x-ms-copy-action", other)),
    }
    let id = call.query.nonempty("copyid").ok_or(Code::MissingRequiredQueryParameter)?;
    let given = lease_id(call)?;
    let mut state = server.state(call.now);
    let entry = state.entry(call.blob()?)?;
    entry.lease.at(call.now).check_write(given, Holder::Blob)?;
    state.abort_copy(call.blob()?, id, call.now)?;
    Ok(Reply::new(StatusCode::NO_CONTENT))
}
