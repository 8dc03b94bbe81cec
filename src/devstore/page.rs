//! Page blobs: writing, clearing and listing pages of 512 bytes (§9).
//!
//! A page blob's content is zeros except where something was written, so cleared pages and page ranges follow from the
//! content alone.

use std::ops::Range;

use hyper::StatusCode;

use super::checksum::tell_checksums;
use super::content::Content;
use super::error::{Code, ServiceError};
use super::headers::parse_range;
use super::model::Kind;
use super::reply::{Outcome, Reply};
use super::request::{Call, Upload};
use super::server::Server;
use super::xml::Writer;

/// Size of a page in bytes.
const PAGE: u64 = 512;

/// Put Page with a body, and its clearing form.
pub(super) fn put(server: &Server, call: &Call, upload: Upload) -> Outcome {
    match call.required("x-ms-page-write")?.to_lowercase().as_str() {
        "update" => {
            let mut reply = write(server, call, Content::from(upload.bytes.clone()))?;
            tell_checksums(&mut reply, call, &upload);
            Ok(reply)
        }
        "clear" if upload.bytes.is_empty() => {
            let range = page_range(call)?;
            write(server, call, Content::zeros(range.end - range.start))
        }
        other => Err(ServiceError::invalid_header("x-ms-page-write", other)),
    }
}

/// Replaces the pages of the request's range, which must be as long as `content`.
pub(super) fn write(server: &Server, call: &Call, content: Content) -> Outcome {
    let range = page_range(call)?;
    if range.end - range.start != content.len() {
        return Err(Code::InvalidPageRange.into());
    }
    let mut state = server.state(call.now);
    let ticks = state.ticks.next();
    let blob = state.writable(call)?;
    let Kind::Page { sequence } = blob.kind else {
        return Err(Code::InvalidBlobType.into());
    };
    check_sequence(call, sequence)?;
    if range.end > blob.content.len() {
        return Err(Code::InvalidPageRange.into());
    }
    blob.content = blob.content.overwrite(range.start, &content);
    blob.touch(ticks, call.now);
    Ok(Reply::new(StatusCode::CREATED)
        .stamp(blob)
        .header("x-ms-blob-sequence-number", sequence.to_string())
        .header("x-ms-request-server-encrypted", "true"))
}

fn page_range(call: &Call) -> Result<Range<u64>, ServiceError> {
    let header = call.header("x-ms-range").or_else(|| call.header("range"));
    let header = header.ok_or_else(|| ServiceError::missing_header("x-ms-range"))?;
    match parse_range(header) {
        Some((start, Some(end))) if start % PAGE == 0 && (end + 1) % PAGE == 0 => Ok(start..end + 1),
        _ => Err(Code::InvalidPageRange.into()),
    }
}

fn check_sequence(call: &Call, sequence: u64) -> Result<(), ServiceError> {
    let unmet = |name, met: fn(u64, u64) -> bool| {
        Ok::<_, ServiceError>(call.number(name)?.is_some_and(|limit| !met(sequence, limit)))
    };
    let refused = unmet("x-ms-if-sequence-number-le", |a, b| a <= b)?
        || unmet("x-ms-if-sequence-number-lt", |a, b| a < b)?
        || unmet("x-ms-if-sequence-number-eq", |a, b| a == b)?;
    if refused { Err(Code::SequenceNumberConditionNotMet.into()) } else { Ok(()) }
}

/// Get Page Ranges. Differences to a snapshot are not offered.
pub(super) fn ranges(server: &Server, call: &Call) -> Outcome {
    if call.query.get("prevsnapshot").is_some() {
        return Err(Code::NotImplemented.into());
    }
    let mut state = server.state(call.now);
    let (_, blob) = state.readable(call)?;
    if !matches!(blob.kind, Kind::Page { .. }) {
        return Err(Code::InvalidBlobType.into());
    }
    if blob.is_pending() {
        // S22
        return Err(Code::PendingCopyOperation.into());
    }
    let header = call.header("x-ms-range").or_else(|| call.header("range"));
    let (from, to) = header.and_then(parse_range).unwrap_or((0, None));
    let to = to.map_or(u64::MAX, |to| to.saturating_add(1));
    let mut document = Writer::new();
    document.nest("PageList", |document| {
        for range in blob.content.written() {
            let (start, end) = (range.start.max(from), range.end.min(to));
            if start < end {
                document.nest("PageRange", |document| {
                    document.element("Start", start.to_string());
                    document.element("End", (end - 1).to_string());
                });
            }
        }
    });
    let size = blob.content.len().to_string();
    Ok(Reply::xml(document.finish()).stamp(blob).header("x-ms-blob-content-length", size))
}
