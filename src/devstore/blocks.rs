//! Blocks: staging, committing and listing them, and appending to append blobs (§9).
//!
//! A staged block is content under an id; a commit concatenates contents without touching bytes, so a block list of
//! 50 000 entries costs a vector and not a copy.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;

use super::address::Revision;
use super::answers::ChosenTier;
use super::checksum::{crc64_header, tell_checksums};
use super::condition::Conditions;
use super::content::Content;
use super::encryption;
use super::error::{Code, ServiceError};
use super::headers::{lease_id, sent_metadata, sent_properties, sent_tags, sent_tier};
use super::holds::sent_protection;
use super::lease::Holder;
use super::model::{Blob, Block, Entry, Kind};
use super::reply::{Outcome, Reply};
use super::request::{Call, Upload};
use super::server::Server;
use super::xml::{self, Listed, Writer};

/// Longest block id before encoding, in bytes (§1.3).
const BLOCK_ID_BYTES: usize = 64;

/// Put Block (§9).
pub(super) fn put(server: &Server, call: &Call, upload: Upload) -> Outcome {
    refuse_empty(&upload)?;
    stage(server, call, Content::from(upload.bytes.clone()))?;
    let mut reply = Reply::new(StatusCode::CREATED).header("x-ms-request-server-encrypted", "true");
    tell_checksums(&mut reply, call, &upload);
    Ok(reply)
}

/// A block has at least one byte (S62; taken for true of append blobs as well).
fn refuse_empty(upload: &Upload) -> Result<(), ServiceError> {
    match upload.bytes.is_empty() {
        true => Err(ServiceError::invalid_header("Content-Length", "0")),
        false => Ok(()),
    }
}

/// Adds an uncommitted block, also for Put Block From URL.
pub(super) fn stage(server: &Server, call: &Call, content: Content) -> Result<(), ServiceError> {
    let id = block_id(call)?;
    let mut state = server.state(call.now);
    state.admit_unconditionally(call)?;
    let entry = state.entry_or_new(call.blob()?)?;
    let admitted = admit_block(entry, &id, server.limits.uncommitted_blocks);
    if admitted.is_ok() {
        entry.staged.insert(id, content);
    }
    admitted
}

fn admit_block(entry: &Entry, id: &str, limit: usize) -> Result<(), ServiceError> {
    if let Some(base) = &entry.base {
        base.check_replaced_by(false)?;
        base.check_blocks()?;
        base.check_online()?;
        if !matches!(base.kind, Kind::Block { .. }) {
            return Err(Code::InvalidBlobType.into());
        }
    }
    // Those that are committed do not matter.
    if entry.staged.keys().next().is_some_and(|other| decoded_length(other) != decoded_length(id)) {
        return Err(Code::InvalidBlobOrBlock.into());
    }
    if entry.staged.len() >= limit {
        return Err(Code::BlockCountExceedsLimit.into());
    }
    Ok(())
}

/// Bytes of a block id; all that are staged must have as many (S168).
fn decoded_length(id: &str) -> usize {
    id.trim_end_matches('=').len() * 3 / 4
}

fn block_id(call: &Call) -> Result<String, ServiceError> {
    let id = call.query.nonempty("blockid").ok_or(Code::MissingRequiredQueryParameter)?;
    match STANDARD.decode(id) {
        Ok(bytes) if bytes.len() <= BLOCK_ID_BYTES => Ok(id.to_owned()),
        Ok(_) => Err(Code::OutOfRangeInput.into()),
        Err(_) => Err(ServiceError::invalid_query("blockid", id)),
    }
}

/// Put Block List (§9): sets the whole blob; what is not sent is cleared, copy state included.
pub(super) fn commit(server: &Server, call: &Call, upload: Upload) -> Outcome {
    let list = xml::read_block_list(&upload.bytes)?;
    if list.len() > server.limits.committed_blocks {
        return Err(Code::BlockListTooLong.into());
    }
    let properties = sent_properties(call).unwrap_or_default();
    let metadata = sent_metadata(call, server.limits.metadata_bytes)?.unwrap_or_default();
    let tags = sent_tags(call)?;
    let tier = sent_tier(call)?;

    let mut state = server.state(call.now);
    state.admit_replacing(call)?;
    let protection = sent_protection(&mut state, call)?;
    let ticks = state.ticks.next();
    let always = state.answers.chosen_tier == ChosenTier::Always;
    let address = call.blob()?;
    let nothing = Entry::default();
    let entry = state.find(address)?.map_or(&nothing, |entry| &*entry);
    if let Some(base) = &entry.base {
        base.check_replaced_by(false)?;
        base.check_blocks()?;
        base.check_online()?;
        encryption::check(base, call)?;
    }
    let blocks = chosen_blocks(entry, list)?;
    let content = Content::concat(blocks.iter().map(|block| &block.content));
    let created = entry.base.as_ref().map(|base| base.created);
    let old_tier = entry.base.as_ref().and_then(|base| base.tier).filter(|_| always);
    let old_access = entry.base.as_ref().map(|base| base.access.clone());
    let mut blob = call.made(Blob::new(Kind::Block { blocks }, content, ticks, call.now));
    blob.access = old_access.unwrap_or(blob.access);
    blob.created = created.unwrap_or(call.now);
    blob.properties = properties;
    blob.metadata = metadata;
    blob.tags = tags;
    blob.encryption = encryption::sent(call)?;
    blob.tier = tier.or(old_tier);
    blob.tier_changed = blob.tier.map(|_| call.now);
    blob.protection = protection;
    let blob = state.entry_or_new(address)?.replace(blob);
    let mut reply = Reply::new(StatusCode::CREATED).stamp(blob).header("x-ms-request-server-encrypted", "true");
    reply.set_optional("x-ms-content-crc64", upload.crc64.map(crc64_header).as_deref());
    Ok(reply)
}

fn chosen_blocks(entry: &Entry, list: Vec<(Listed, String)>) -> Result<Arc<[Block]>, ServiceError> {
    let committed: HashMap<&str, &Content> = match entry.base.as_ref().map(|base| &base.kind) {
        Some(Kind::Block { blocks }) => blocks.iter().map(|block| (block.id.as_str(), &block.content)).collect(),
        Some(_) => return Err(Code::InvalidBlobType.into()),
        None => HashMap::new(),
    };
    list.into_iter()
        .map(|(listed, id)| {
            let uncommitted = || entry.staged.get(&id);
            let committed = || committed.get(id.as_str()).copied();
            let content = match listed {
                Listed::Latest => uncommitted().or_else(committed),
                Listed::Uncommitted => uncommitted(),
                Listed::Committed => committed(),
            };
            let content = content.cloned().ok_or(Code::InvalidBlockList)?;
            Ok(Block { id, content })
        })
        .collect()
}

/// Get Block List (§9).
pub(super) fn list(server: &Server, call: &Call) -> Outcome {
    let wanted = call.query.nonempty("blocklisttype").unwrap_or("committed").to_lowercase();
    if !matches!(wanted.as_str(), "committed" | "uncommitted" | "all") {
        return Err(ServiceError::invalid_query("blocklisttype", &wanted));
    }
    let mut state = server.state(call.now);
    let entry = state.find(call.blob()?)?.ok_or(Code::BlobNotFound)?;
    if let Some(base) = &entry.base {
        call.check_settled(base)?;
    }
    let lease = entry.lease.at(call.now);
    lease.check_read(lease_id(call)?, Holder::Blob)?;
    if let Some(blob) = entry.at(&call.revision()) {
        Conditions::of_tags(call)?.check_read(blob)?;
    }
    let current = call.revision() == Revision::Current;
    let blob = entry.at(&call.revision());
    if blob.is_none() && (!current || entry.staged.is_empty()) {
        return Err(Code::BlobNotFound.into());
    }
    let none: Arc<[Block]> = Arc::default();
    let committed = match blob.map(|blob| &blob.kind) {
        Some(Kind::Block { blocks }) => blocks,
        Some(_) => return Err(Code::InvalidBlobType.into()),
        None => &none,
    };
    let mut document = Writer::new();
    document.open("BlockList", &[]);
    if wanted != "uncommitted" {
        let blocks = committed.iter().map(|block| (block.id.as_str(), block.content.len()));
        write_blocks(&mut document, "CommittedBlocks", blocks);
    }
    if wanted != "committed" && current {
        let blocks = entry.staged.iter().map(|(id, content)| (id.as_str(), content.len()));
        write_blocks(&mut document, "UncommittedBlocks", blocks);
    }
    document.close("BlockList");
    let reply = Reply::xml(document.finish());
    Ok(match blob {
        Some(blob) => reply.stamp(blob).header("x-ms-blob-content-length", blob.content.len().to_string()),
        // S65
        None => reply,
    })
}

fn write_blocks<'a>(document: &mut Writer, name: &str, blocks: impl Iterator<Item = (&'a str, u64)>) {
    document.nest(name, |document| {
        for (id, size) in blocks {
            document.nest("Block", |document| {
                document.element("Name", id);
                document.element("Size", size.to_string());
            });
        }
    });
}

/// Append Block (§9).
pub(super) fn append(server: &Server, call: &Call, upload: Upload) -> Outcome {
    refuse_empty(&upload)?;
    let mut reply = append_content(server, call, Content::from(upload.bytes.clone()))?;
    tell_checksums(&mut reply, call, &upload);
    Ok(reply)
}

/// Appends a block, also for Append Block From URL.
pub(super) fn append_content(server: &Server, call: &Call, content: Content) -> Outcome {
    let position = call.number("x-ms-blob-condition-appendpos")?;
    let max_size = call.number("x-ms-blob-condition-maxsize")?;
    let mut state = server.state(call.now);
    let ticks = state.ticks.next();
    let blob = state.writable(call)?;
    let offset = blob.content.len();
    let Kind::Append { blocks, sealed } = &mut blob.kind else {
        return Err(Code::InvalidBlobType.into());
    };
    if *sealed {
        return Err(Code::BlobIsSealed.into());
    }
    if position.is_some_and(|position| position != offset) {
        return Err(Code::AppendPositionConditionNotMet.into());
    }
    if max_size.is_some_and(|limit| offset + content.len() > limit) {
        return Err(Code::MaxBlobSizeConditionNotMet.into());
    }
    if *blocks >= server.limits.committed_blocks as u64 {
        return Err(Code::BlockCountExceedsLimit.into());
    }
    *blocks += 1;
    let count = blocks.to_string();
    blob.content = Content::concat([&blob.content, &content]);
    blob.copy = None;
    blob.touch(ticks, call.now);
    Ok(Reply::new(StatusCode::CREATED)
        .stamp(blob)
        .header("x-ms-blob-append-offset", offset.to_string())
        .header("x-ms-blob-committed-block-count", count)
        .header("x-ms-request-server-encrypted", "true"))
}

/// Append Blob Seal (§9): leaves the ETag alone, and one that is sealed as it is.
pub(super) fn seal(server: &Server, call: &Call) -> Outcome {
    let mut state = server.state(call.now);
    let blob = state.writable(call)?;
    let Kind::Append { sealed, .. } = &mut blob.kind else {
        return Err(Code::InvalidBlobType.into());
    };
    *sealed = true;
    Ok(Reply::new(StatusCode::OK).stamp(blob).header("x-ms-blob-sealed", "true"))
}
