//! The synchronous operations that read a URL: Put Blob, Put Block, Append Block and Put Page From URL (§13.8–13.11).
//!
//! The source is a blob of this server, so "reading" it means sharing its content; ranges of any size cost nothing
//! unless a checksum was sent along, which is then really computed. What another account's blob would take to be read is
//! only waited for, before the answer and at the rate of the policy.

use std::ops::Range;
use std::time::Duration;

use hyper::StatusCode;

use super::address::Service;
use super::answers::{
    CodeOfArchivedSource, CodeOfModifiedSource, MetadataBesideProperties, MetadataWithoutProperties, RangeBeyondEnd,
};
use super::blob::commit;
use super::blocks;
use super::checksum::{SourceHash, check_source_hash};
use super::condition::{Conditions, Reader, on_target};
use super::config::CopyRate;
use super::content::Content;
use super::error::{Code, ServiceError, cannot_verify};
use super::headers::{copies_tags, parse_range, sent_metadata, sent_properties, sent_tags, sent_tier};
use super::model::{Blob, Kind, Metadata, Properties};
use super::page;
use super::reply::{Outcome, Reply};
use super::request::Call;
use super::server::Server;
use super::source::CopySource;

/// Put Blob From URL (§13.8): no block list, no copy state.
pub(super) fn put_blob(server: &Server, call: &Call) -> Outcome {
    match call.header("x-ms-blob-type") {
        Some("BlockBlob") => {}
        other => {
            return Err(ServiceError::invalid_header("x-ms-blob-type", other.unwrap_or("")));
        }
    }
    let (original, pace) = read(server, call, Reader::Blob)?;
    let takes = pace.time_of(original.content.len());
    if original.content.len() > server.limits.put_blob_from_url_bytes {
        return Err(cannot_verify(ServiceError::from(Code::RequestBodyTooLarge).with_status(StatusCode::CONFLICT)));
    }
    // S45
    let hashes = check_source_hash(call, &original.content)?.with_crc64(&original.content);
    let inherits = call.header("x-ms-copy-source-blob-properties") != Some("false");
    let mut blob = Blob::new(Kind::unlisted(), original.content, 0, call.now);
    let properties = sent_properties(call);
    let metadata_comes_along = match (&properties, inherits) {
        (_, false) => call.answers.metadata_without_properties == MetadataWithoutProperties::Source,
        (Some(_), true) => call.answers.metadata_beside_properties == MetadataBesideProperties::Source,
        (None, true) => true,
    };
    blob.metadata = match sent_metadata(call, server.limits.metadata_bytes)? {
        Some(sent) => sent,
        None if metadata_comes_along => original.metadata,
        None => Metadata::new(),
    };
    blob.properties = match properties {
        Some(sent) if inherits => sent.or(original.properties),
        Some(sent) => sent,
        None if inherits => original.properties,
        None => Properties::default(),
    };
    blob.tags = if copies_tags(call)? { original.tags } else { sent_tags(call)? };
    blob.tier = sent_tier(call)?;
    let mut reply = commit(server, call, blob).map_err(|error| on_target(error, call, false))?;
    hashes.write(&mut reply);
    Ok(Reply { takes, ..reply })
}

/// Put Block From URL (§13.9).
pub(super) fn put_block(server: &Server, call: &Call) -> Outcome {
    let names_condition = call.answers.modified_source == CodeOfModifiedSource::Condition;
    let (content, hashes, takes) =
        read_range(server, call, server.limits.block_bytes, Reader::Block { names_condition })?;
    if content.len() == 0 {
        return Err(ServiceError::invalid_header("x-ms-source-range", ""));
    }
    blocks::stage(server, call, content)?;
    let mut reply = Reply::new(StatusCode::CREATED).header("x-ms-request-server-encrypted", "true");
    hashes.write(&mut reply);
    Ok(Reply { takes, ..reply })
}

/// Append Block From URL (§13.10).
pub(super) fn append_block(server: &Server, call: &Call) -> Outcome {
    let (content, hashes, takes) = read_range(server, call, server.limits.append_block_bytes, Reader::Part)?;
    let mut reply = blocks::append_content(server, call, content)?;
    hashes.write(&mut reply);
    Ok(Reply { takes, ..reply })
}

/// Put Page From URL (§13.11).
pub(super) fn put_page(server: &Server, call: &Call) -> Outcome {
    let (content, hashes, takes) = read_range(server, call, server.limits.page_write_bytes, Reader::Part)?;
    let mut reply = page::write(server, call, content)?;
    hashes.write(&mut reply);
    Ok(Reply { takes, ..reply })
}

/// The source as it is, admitted by credentials and conditions, and how fast it is read.
fn read(server: &Server, call: &Call, reader: Reader) -> Result<(Blob, CopyRate), ServiceError> {
    let source = CopySource::of(server, call, false)?;
    let conditions = Conditions::of_source(call)?;
    let own = source.name.service == Service::Blob && source.name.address.account == call.account;
    let mut state = server.state(call.now);
    let pace = if own { CopyRate::Immediate } else { state.policy.from_url_cross_account };
    let blob = source.read(&mut state)?;
    conditions.check_read_source(blob, reader)?;
    blob.check_online().map_err(|error| match call.answers.archived_source {
        CodeOfArchivedSource::Unverified => cannot_verify(error),
        CodeOfArchivedSource::Archived => error,
        CodeOfArchivedSource::Modified => ServiceError::from(Code::CannotVerifyCopySource)
            .with_status(StatusCode::CONFLICT)
            .with_message("Copy source blob has been modified."),
    })?;
    Ok((blob.clone(), pace))
}

/// The bytes of a range, their hash, and how long it takes to read them.
fn read_range(
    server: &Server,
    call: &Call,
    limit: u64,
    reader: Reader,
) -> Result<(Content, SourceHash, Duration), ServiceError> {
    let range = call.header("x-ms-source-range");
    let range = range
        .map(|text| parse_range(text).ok_or_else(|| ServiceError::invalid_header("x-ms-source-range", text)))
        .transpose()?;
    let (blob, pace) = read(server, call, reader)?;
    let content = match range {
        None => blob.content,
        Some((start, end)) => {
            let size = blob.content.len();
            let Range { start, end } = start..end.map_or(size, |end| end.saturating_add(1));
            // A range beyond the end means the client has the wrong size; cutting it would hide that.
            let cut = call.answers.range_beyond_end == RangeBeyondEnd::Cut;
            if start >= size || (end > size && !cut) {
                return Err(cannot_verify(Code::InvalidRange.into()));
            }
            blob.content.slice(start..end.min(size))
        }
    };
    if content.len() > limit {
        return Err(ServiceError::from(Code::RequestBodyTooLarge).with_detail("MaxLimit", limit.to_string()));
    }
    let hashes = check_source_hash(call, &content)?;
    let takes = pace.time_of(content.len());
    Ok((content, hashes, takes))
}
