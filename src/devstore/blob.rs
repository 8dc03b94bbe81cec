//! Whole blobs: put, read, delete, and what hangs on a blob without being its content: metadata, properties, tier,
//! tags, snapshots and the lease (§8–§12).

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use md5::{Digest, Md5};

use super::address::{Namespace, Revision};
use super::answers::{
    ArchivedChanges, ChosenTier, CodeOfMarkedMetadata, CopyStateAfterMetadata, OtherType, TierAgain, TiersOfPaths,
};
use super::checksum::crc64_header;
use super::condition::Conditions;
use super::content::Content;
use super::encryption;
use super::error::{Code, ServiceError};
use super::headers::{
    lease_action, lease_id, parse_range, put_properties, sent_metadata, sent_properties, sent_tags, sent_tier,
};
use super::holds::sent_protection;
use super::lease::Holder;
use super::model::{Blob, Kind, PageTier, Properties, Rehydration, Tier, is_marked};
use super::protection::Protection;
use super::reply::{Outcome, Payload, Reply, lease_reply};
use super::request::{Call, Upload};
use super::server::Server;
use super::soft_delete::{delete_entry, delete_snapshot, delete_snapshots, mark_missing};
use super::state::{State, check_kept, check_lease, keeps_chosen_tier};
use super::tags;
use super::versions::DIRECTORY_DELETE_FAILS;
use super::xml::{self, Writer, write_tag_set};

/// Longest range whose MD5 or CRC64 is computed on request (§8).
const HASHED_RANGE: u64 = 4 << 20;

/// Put Blob (§9).
pub(super) fn put(server: &Server, call: &Call, upload: Upload) -> Outcome {
    let kind = match call.required("x-ms-blob-type")? {
        "BlockBlob" => Kind::unlisted(),
        "AppendBlob" => Kind::Append { blocks: 0, sealed: false },
        "PageBlob" => Kind::Page { sequence: call.number("x-ms-blob-sequence-number")?.unwrap_or(0) },
        other => return Err(ServiceError::invalid_header("x-ms-blob-type", other)),
    };
    let block_blob = matches!(kind, Kind::Block { .. });
    if !block_blob && !upload.bytes.is_empty() {
        return Err(Code::InvalidHeaderValue.into());
    }
    if !block_blob && call.header("x-ms-access-tier").is_some() {
        return Err(Code::AccessTierNotSupportedForBlobType.into());
    }
    let content = match kind {
        Kind::Page { .. } => {
            let size = call.number("x-ms-blob-content-length")?;
            let size = size.ok_or_else(|| ServiceError::missing_header("x-ms-blob-content-length"))?;
            // S68
            if size % 512 != 0 || size > server.limits.page_blob_bytes {
                return Err(ServiceError::invalid_header("x-ms-blob-content-length", &size.to_string()));
            }
            Content::zeros(size)
        }
        _ => Content::from(upload.bytes),
    };
    let mut blob = Blob::new(kind, content, 0, call.now);
    blob.properties = put_properties(call);
    let md5 = upload.md5.filter(|_| block_blob).map(|digest| STANDARD.encode(digest));
    blob.properties.md5 = blob.properties.md5.or_else(|| md5.clone());
    blob.metadata = sent_metadata(call, server.limits.metadata_bytes)?.unwrap_or_default();
    blob.tags = sent_tags(call)?;
    blob.tier = sent_tier(call)?;
    blob.tier_changed = blob.tier.map(|_| call.now);
    blob.protection = sent_protection(&mut server.state(call.now), call)?;
    let blob = call.made(blob);
    if server.namespace == Namespace::Hierarchical {
        refuse_unknown_to_paths(call, &blob)?;
    }

    let mut reply = commit(server, call, blob)?;
    reply.set_optional("content-md5", md5.as_deref());
    reply.set_optional("x-ms-content-crc64", upload.crc64.map(crc64_header).as_deref());
    Ok(reply)
}

/// What a Put Blob may say of a blob in a flat account and not where there are directories. Which code the service has
/// for a tier is not known (S140).
fn refuse_unknown_to_paths(call: &Call, blob: &Blob) -> Result<(), ServiceError> {
    match call.header("x-ms-access-tier") {
        _ if !blob.tags.is_empty() => Err(Code::FeatureNotYetSupportedForHierarchicalNamespaceAccounts.into()),
        Some(tier) if blob.directory => Err(ServiceError::invalid_header("x-ms-access-tier", tier)),
        _ => Ok(()),
    }
}

/// Installs a blob that was prepared without the lock; 201 with its stamp.
pub(super) fn commit(server: &Server, call: &Call, mut blob: Blob) -> Outcome {
    let address = call.blob()?;
    let put_blob = !call.headers.contains_key("x-ms-copy-source");
    blob.encryption = encryption::sent(call)?;
    let mut state = server.state(call.now);
    state.admit_whole(call)?;
    blob.touch(state.ticks.next(), call.now);
    let stays =
        keeps_chosen_tier(&state, &call.account) && (put_blob || call.answers.chosen_tier == ChosenTier::Always);
    let entry = state.entry_or_new(address)?;
    if let Some(old) = &entry.base {
        old.check_replaced_by(blob.directory)?;
        // The service lets nobody change the type of a blob that is there.
        if !old.kind.is_same(&blob.kind) && call.answers.other_type == OtherType::Refused {
            return Err(Code::InvalidBlobType.into());
        }
        old.check_online()?;
        if stays && blob.tier.is_none() && old.kind.is_same(&blob.kind) && old.tier.is_some() {
            // What was chosen stays chosen (S102).
            (blob.tier, blob.tier_changed) = (old.tier, Some(call.now));
        }
    }
    let blob = entry.replace(blob);
    let mut reply = Reply::new(StatusCode::CREATED).stamp(blob).header("x-ms-request-server-encrypted", "true");
    reply.tell_encryption(&blob.encryption);
    Ok(reply)
}

/// Get Blob (§8).
pub(super) fn get(server: &Server, call: &Call) -> Outcome {
    let mut state = server.state(call.now);
    let (entry, blob) = state.readable(call)?;
    encryption::check(blob, call)?;
    blob.check_online()?;
    let size = blob.content.len();
    let md5 = blob.properties.md5.as_deref();
    let Some(range) = requested_range(call, size)? else {
        let mut reply = overridden(Reply::new(StatusCode::OK).describe(call, entry, blob), call);
        reply.set_optional("content-md5", md5);
        reply.body = Payload::Content(blob.content.clone());
        state.copies.seen(call.blob()?);
        return Ok(reply);
    };
    let mut reply = overridden(Reply::new(StatusCode::PARTIAL_CONTENT).describe(call, entry, blob), call);
    reply.set("content-range", &format!("bytes {}-{}/{size}", range.start, range.end - 1));
    reply.set_optional("x-ms-blob-content-md5", md5);
    let content = blob.content.slice(range);
    state.copies.seen(call.blob()?);
    drop(state);
    hash_range(call, &content, &mut reply)?;
    reply.body = Payload::Content(content);
    Ok(reply)
}

/// With the headers that a SAS for a blob or container sets in place of the blob's own (§3.3).
fn overridden(mut reply: Reply, call: &Call) -> Reply {
    if call.sas.is_some() && call.query.get("sr").is_some() {
        reply.set_optional("cache-control", call.query.nonempty("rscc"));
        reply.set_optional("content-disposition", call.query.nonempty("rscd"));
        reply.set_optional("content-encoding", call.query.nonempty("rsce"));
        reply.set_optional("content-language", call.query.nonempty("rscl"));
        reply.set_optional("content-type", call.query.nonempty("rsct"));
    }
    reply
}

fn hash_range(call: &Call, content: &Content, reply: &mut Reply) -> Result<(), ServiceError> {
    let (md5, crc) = (call.flag("x-ms-range-get-content-md5"), call.flag("x-ms-range-get-content-crc64"));
    if (md5 || crc) && content.len() > HASHED_RANGE {
        return Err(Code::OutOfRangeInput.into());
    }
    if md5 {
        let digest = content.chunks().fold(Md5::new(), |hash, chunk| hash.chain_update(chunk));
        reply.set("content-md5", &STANDARD.encode(digest.finalize()));
    }
    if crc {
        let mut digest = crc64fast_nvme::Digest::new();
        content.chunks().for_each(|chunk| digest.write(&chunk));
        reply.set("x-ms-content-crc64", &crc64_header(digest.sum64()));
    }
    Ok(())
}

/// The range a read asks for, cut at the end; 416 when it starts there or later. Other forms than `bytes=a-[b]` are
/// ignored, as HTTP wants it.
fn requested_range(call: &Call, size: u64) -> Result<Option<Range<u64>>, ServiceError> {
    let header = call.header("x-ms-range").or_else(|| call.header("range"));
    let Some((start, end)) = header.and_then(parse_range) else {
        return Ok(None);
    };
    if start >= size {
        return Err(ServiceError::from(Code::InvalidRange).with_header("content-range", format!("bytes */{size}")));
    }
    Ok(Some(start..end.map_or(size, |end| size.min(end.saturating_add(1)))))
}

/// Get Blob Properties (§8): the headers of Get Blob without reading, so archived blobs answer too.
pub(super) fn properties(server: &Server, call: &Call) -> Outcome {
    let mut state = server.state(call.now);
    if let Err(error) = state.readable(call).map(drop) {
        return Err(mark_missing(&mut state, call, error));
    }
    let (entry, blob) = state.readable(call)?;
    encryption::check(blob, call)?;
    let mut reply = overridden(Reply::new(StatusCode::OK).describe(call, entry, blob), call);
    reply.set_optional("content-md5", blob.properties.md5.as_deref());
    reply.set("content-length", &blob.content.len().to_string());
    state.copies.seen(call.blob()?);
    Ok(reply)
}

/// Get Blob Metadata (§8).
pub(super) fn metadata(server: &Server, call: &Call) -> Outcome {
    let mut state = server.state(call.now);
    let (_, blob) = state.readable(call)?;
    encryption::check(blob, call)?;
    Ok(Reply::new(StatusCode::OK).stamp(blob).metadata(&blob.shown_metadata()))
}

/// Set Blob Metadata (§10). Removes copy state (X15) unless told otherwise, and is a version of its own. A directory is
/// one whatever they say, and they must not say it (S136, S137); which code the service has for that is not known.
pub(super) fn set_metadata(server: &Server, call: &Call) -> Outcome {
    let metadata = sent_metadata(call, server.limits.metadata_bytes)?.unwrap_or_default();
    let mut state = server.state(call.now);
    let ticks = state.ticks.next();
    let before = state.writable(call)?;
    if before.directory && is_marked(&metadata) {
        return Err(match server.answers.marked_metadata {
            CodeOfMarkedMetadata::Invalid => Code::InvalidMetadata.into(),
            CodeOfMarkedMetadata::Unknown => ServiceError::from(Code::InvalidMetadata).with_unknown_code(),
        });
    }
    check_online(before, server)?;
    let mut changed = Blob { metadata, protection: Protection::default(), ..before.clone() };
    if server.answers.copy_state == CopyStateAfterMetadata::Removed {
        changed.copy = None;
    }
    changed.touch(ticks, call.now);
    let blob = state.entry(call.blob()?)?.supersede(changed);
    Ok(Reply::new(StatusCode::OK).stamp(blob).header("x-ms-request-server-encrypted", "true"))
}

/// Set Blob Properties (§10): clears those not sent, unless what is sent only resizes or renumbers a page blob. Removes
/// copy state.
pub(super) fn set_properties(server: &Server, call: &Call) -> Outcome {
    let size = call.number("x-ms-blob-content-length")?;
    let mut state = server.state(call.now);
    let ticks = state.ticks.next();
    let blob = state.writable(call)?;
    if let Kind::Page { sequence } = &mut blob.kind {
        match (call.header("x-ms-sequence-number-action"), call.number("x-ms-blob-sequence-number")?) {
            (Some("update"), Some(number)) => *sequence = number,
            (Some("max"), Some(number)) => *sequence = number.max(*sequence),
            (Some("increment"), None) => *sequence += 1,
            (None, _) => {}
            (Some(action), _) => {
                return Err(ServiceError::invalid_header("x-ms-sequence-number-action", action));
            }
        }
        if let Some(size) = size.filter(|size| size % 512 == 0) {
            blob.content = blob.content.resize(size);
        }
    }
    let about_pages = ["x-ms-blob-content-length", "x-ms-sequence-number-action"];
    match sent_properties(call) {
        Some(sent) => blob.properties = sent,
        None if about_pages.iter().any(|name| call.headers.contains_key(*name)) => {}
        None => blob.properties = Properties::default(),
    }
    blob.copy = None;
    blob.touch(ticks, call.now);
    Ok(Reply::new(StatusCode::OK).stamp(blob))
}

/// Set Blob Tier (§10): leaves the ETag alone.
pub(super) fn set_tier(server: &Server, call: &Call) -> Outcome {
    let asked = call.required("x-ms-access-tier")?;
    let high = match call.header("x-ms-rehydrate-priority") {
        None | Some("Standard") => false,
        Some("High") => true,
        Some(other) => return Err(ServiceError::invalid_header("x-ms-rehydrate-priority", other)),
    };
    if server.namespace == Namespace::Hierarchical && server.answers.tiers_of_paths == TiersOfPaths::Unknown {
        return Err(ServiceError::invalid_query("comp", "tier"));
    }
    let mut state = server.state(call.now);
    let again = state.answers.tier_again;
    let (_, blob) = state.readable(call)?;
    call.check_settled(blob)?;
    check_kept(&mut state, call)?;
    // Also of a version or snapshot alone (S176).
    let found = state.entry(call.blob()?)?.at_mut(&call.revision());
    let blob = found.ok_or(Code::BlobNotFound)?;
    match blob.kind {
        Kind::Block { .. } => {}
        Kind::Page { .. } => return set_page_tier(blob, asked),
        Kind::Append { .. } => return Err(Code::AccessTierNotSupportedForBlobType.into()),
    }
    let tier = Tier::parse(asked)?;
    match blob.rehydrating {
        Some(under_way) => {
            let raises = tier == under_way.to && high && !under_way.high;
            if again == TierAgain::Refused || again == TierAgain::Priority && !raises {
                return Err(Code::BlobBeingRehydrated.into());
            }
        }
        None if blob.tier == Some(Tier::Archive) && tier != Tier::Archive => {}
        None => {
            blob.tier = Some(tier);
            blob.tier_changed = Some(call.now);
            return Ok(Reply::new(StatusCode::OK));
        }
    }
    // The content takes hours to come back, and until then the tier stays what it is (S99).
    blob.rehydrating = Some(Rehydration { to: tier, high });
    blob.tier_changed = Some(call.now);
    Ok(Reply::new(StatusCode::ACCEPTED))
}

/// Tiers of page blobs are sizes, and only grow (S184).
fn set_page_tier(blob: &mut Blob, asked: &str) -> Outcome {
    let tier = PageTier::parse(asked).ok_or(Code::InvalidBlobTier)?;
    if tier.size() < blob.content.len() {
        return Err(Code::BlobTierInadequateForContentLength.into());
    }
    if blob.page_tier.is_some_and(|before| before > tier) {
        return Err(Code::CannotChangeToLowerTier.into());
    }
    blob.page_tier = Some(tier);
    Ok(Reply::new(StatusCode::OK))
}

/// Tags there are none over Blob where the namespace is hierarchical (S193).
fn refuse_tags_of_paths(server: &Server) -> Result<(), ServiceError> {
    match server.namespace {
        Namespace::Hierarchical => Err(ServiceError::invalid_query("comp", "tags")),
        Namespace::Flat => Ok(()),
    }
}

/// Get Blob Tags (§10).
pub(super) fn tags(server: &Server, call: &Call) -> Outcome {
    refuse_tags_of_paths(server)?;
    let mut state = server.state(call.now);
    let (_, blob) = state.readable(call)?;
    let mut document = Writer::new();
    document.nest("Tags", |document| write_tag_set(document, &blob.tags));
    Ok(Reply::xml(document.finish()))
}

/// Set Blob Tags (§10), also of a version or snapshot alone: leaves the ETag alone.
pub(super) fn set_tags(server: &Server, call: &Call, upload: Upload) -> Outcome {
    refuse_tags_of_paths(server)?;
    let tags = tags::check(xml::read_tags(&upload.bytes)?)?;
    let mut state = server.state(call.now);
    let (_, blob) = state.readable(call)?;
    call.check_settled(blob)?;
    check_kept(&mut state, call)?;
    if call.revision() == Revision::Current {
        // S97
        check_lease(state.find(call.blob()?)?, call)?;
    }
    let found = state.entry(call.blob()?)?.at_mut(&call.revision());
    found.ok_or(Code::BlobNotFound)?.tags = tags;
    Ok(Reply::new(StatusCode::NO_CONTENT))
}

/// Snapshot Blob (§11): own metadata if any is sent. The base keeps its ETag; no lease id is needed. Not where the
/// namespace is hierarchical (S192).
pub(super) fn snapshot(server: &Server, call: &Call) -> Outcome {
    if server.namespace == Namespace::Hierarchical {
        return Err(Code::FeatureNotYetSupportedForHierarchicalNamespaceAccounts.into());
    }
    let metadata = sent_metadata(call, server.limits.metadata_bytes)?;
    call.refuse_revision()?;
    let mut state = server.state(call.now);
    check_kept(&mut state, call)?;
    let ticks = state.ticks.next();
    let entry = state.entry(call.blob()?)?;
    entry.lease.at(call.now).check_read(lease_id(call)?, Holder::Blob)?;
    let base = entry.base.clone().ok_or(Code::BlobNotFound)?;
    Conditions::of_target(call)?.check_write(Some(&base))?;
    encryption::check(&base, call)?;
    if base.is_pending() {
        return Err(Code::PendingCopyOperation.into());
    }
    check_online(&base, server)?;
    // What keeps the blob does not keep its snapshot.
    let mut taken = Blob { version: None, protection: Protection::default(), ..base.clone() };
    if let Some(metadata) = metadata {
        taken.metadata = metadata;
        taken.touch(ticks, call.now);
    }
    let mut reply = Reply::new(StatusCode::CREATED).stamp(&taken);
    let id = entry.add_snapshot(taken, ticks);
    if base.version.is_some() {
        // The base is a version anew (S85).
        let current = entry.supersede_as(id.clone(), base);
        reply.set_optional("x-ms-version-id", current.version.as_deref());
    }
    Ok(reply.header("x-ms-snapshot", id))
}

/// Refuses for an archived blob what changes it beside its content. By which code nobody knows (S106).
fn check_online(blob: &Blob, server: &Server) -> Result<(), ServiceError> {
    match server.answers.archived_changes {
        ArchivedChanges::Unknown if blob.tier == Some(Tier::Archive) => {
            Err(ServiceError::from(Code::BlobArchived).with_unknown_code())
        }
        _ => blob.check_online(),
    }
}

/// Delete Blob (§11). A pending destination must be aborted first (X13).
pub(super) fn delete(server: &Server, call: &Call) -> Outcome {
    let address = call.blob()?;
    let mut state = server.state(call.now);
    check_kept(&mut state, call)?;
    let is_kept = match call.revision() {
        Revision::Snapshot(id) => delete_snapshot(&mut state, call, &id)?,
        Revision::Version(id) => {
            state.entry(address)?.delete_version(&id)?;
            false
        }
        Revision::Current => delete_current(&mut state, call)?,
    };
    let container = state.container(&address.account, &address.container)?;
    if container.blobs.get(&address.blob).is_some_and(|entry| entry.is_vacant()) {
        container.blobs.remove(&address.blob);
    }
    // S86, S87
    Ok(Reply::new(StatusCode::ACCEPTED).header("x-ms-delete-type-permanent", if is_kept { "false" } else { "true" }))
}

/// Deletes the blob itself. With versioning it becomes an earlier version. Whether it can be brought back.
fn delete_current(state: &mut State, call: &Call) -> Result<bool, ServiceError> {
    let address = call.blob()?;
    if state.find(address)?.is_none_or(|entry| entry.base.is_none() && entry.staged.is_empty()) {
        return Err(Code::BlobNotFound.into());
    }
    state.admit_delete(call)?;
    if state.is_hierarchical() {
        let directory = state.find(address)?.is_some_and(|entry| entry.is_directory());
        if directory && call.header("x-ms-delete-snapshots").is_some() {
            // S133
            return Err(match call.version() <= DIRECTORY_DELETE_FAILS {
                true => Code::InternalError.into(),
                false => Code::OperationNotSupportedOnDirectory.into(),
            });
        }
        if state.has_below(address)? {
            // S132
            return Err(Code::DirectoryIsNotEmpty.into());
        }
    }
    let has_snapshots = !state.entry_or_new(address)?.snapshots.is_empty();
    match call.header("x-ms-delete-snapshots") {
        Some("only") => delete_snapshots(state, call),
        None if has_snapshots => Err(Code::SnapshotsPresent.into()),
        Some("include") | None => delete_entry(state, call),
        Some(other) => Err(ServiceError::invalid_header("x-ms-delete-snapshots", other)),
    }
}

/// Lease Blob (§12). Every action on a pending destination is refused.
pub(super) fn lease(server: &Server, call: &Call) -> Outcome {
    let action = lease_action(call)?;
    call.refuse_revision()?;
    let mut state = server.state(call.now);
    check_kept(&mut state, call)?;
    let entry = state.entry(call.blob()?)?;
    let blob = entry.base.as_ref().ok_or(Code::BlobNotFound)?;
    call.check_settled(blob)?;
    Conditions::of_target(call)?.check_write(Some(blob))?;
    entry.lease = entry.lease.apply(action, call.now)?;
    Ok(lease_reply(action, entry.lease, call).stamp(blob))
}
