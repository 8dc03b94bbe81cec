//! Blob properties, metadata and copy state as they stand in the headers of an answer.

use std::ops::{Deref, Range};
use std::time::SystemTime;

use reqwest::header::HeaderMap;

use crate::store::spelling::{METADATA, Names};
use crate::store::types::*;

/// Headers of an answer, with the names of metadata as they were spelled.
#[derive(Debug, Clone, Default)]
pub(super) struct AnswerHeaders {
    all: HeaderMap,
    names: Names,
}

impl AnswerHeaders {
    pub(super) fn new(all: HeaderMap, names: Names) -> Self {
        Self { all, names }
    }
}

impl Deref for AnswerHeaders {
    type Target = HeaderMap;

    fn deref(&self) -> &HeaderMap {
        &self.all
    }
}

/// A header's value as text; absent and empty are the same. UTF-8 is let in, so that a value which cannot be sent back
/// is refused then, instead of being dropped without a word now.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok()).filter(|value| !value.is_empty())
}

pub(super) fn owned(headers: &HeaderMap, name: &str) -> Option<String> {
    text(headers, name).map(str::to_owned)
}

fn parsed<T: std::str::FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    text(headers, name)?.trim().parse().ok()
}

pub(super) fn date(headers: &HeaderMap, name: &str) -> Option<SystemTime> {
    text(headers, name).and_then(http_date)
}

/// RFC 1123, as in headers and listings.
pub(super) fn http_date(value: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(value.trim()).ok()
}

/// `ETag` and `Last-Modified`, which every answer about a blob or container has.
pub(super) fn written(headers: &HeaderMap) -> Option<Written> {
    Some(Written { etag: ETag::new(text(headers, "etag")?), last_modified: date(headers, "last-modified")? })
}

/// All `x-ms-meta-*`, spelled as they came.
pub(super) fn metadata(headers: &AnswerHeaders) -> Metadata {
    headers
        .iter()
        .filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix(METADATA)?;
            Some((headers.names.spell(name), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        })
        .collect()
}

/// What a container says that it keeps.
pub(super) fn keeping(headers: &HeaderMap) -> Keeping {
    let says = |name| text(headers, name) == Some("true");
    Keeping::of(
        says("x-ms-has-immutability-policy"),
        says("x-ms-has-legal-hold"),
        says("x-ms-immutable-storage-with-versioning-enabled"),
    )
}

/// A range as headers want it: the end is part of it.
pub(super) fn bytes(range: &Range<u64>) -> String {
    format!("bytes={}-{}", range.start, range.end.saturating_sub(1))
}

/// A number of bytes: digits, and no more than a file can have.
pub(super) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|size| plain && i64::try_from(*size).is_ok())
}

/// `Content-Length`, if there is one; an error if it is no length.
pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, String> {
    let told = |told: &str| size(told).ok_or_else(|| format!("a length of {told:?} bytes is none"));
    text(headers, "content-length").map(told).transpose()
}

/// `bytes 0-4/11`: the range, and the total that it is a part of.
pub(super) fn content_range(text: &str) -> Option<(Range<u64>, u64)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, total) = (size(first)?, size(last)?, size(total)?);
    (first <= last && last < total).then_some((first..last + 1, total))
}

/// `bytes 0-4/11`, or `bytes */11`: the total.
pub(super) fn total_of_range(headers: &HeaderMap) -> Option<u64> {
    size(text(headers, "content-range")?.rsplit_once('/')?.1)
}

/// `COPIED/TOTAL`. Some servers omit it for empty blobs (§13.4).
pub(super) fn copy_progress(progress: Option<&str>) -> (u64, u64) {
    let numbers = progress.and_then(|text| text.split_once('/'));
    numbers.map_or((0, 0), |(copied, total)| (size(copied).unwrap_or(0), size(total).unwrap_or(0)))
}

fn copy_state(headers: &HeaderMap) -> Option<CopyState> {
    let (bytes_copied, total_bytes) = copy_progress(text(headers, "x-ms-copy-progress"));
    Some(CopyState {
        id: CopyId::new(text(headers, "x-ms-copy-id")?),
        status: CopyStatus::parse(text(headers, "x-ms-copy-status")?)?,
        source: text(headers, "x-ms-copy-source").map(redact),
        bytes_copied,
        total_bytes,
        completion_time: date(headers, "x-ms-copy-completion-time"),
        description: owned(headers, "x-ms-copy-status-description"),
        in_blocks: false,
    })
}

/// The properties in the answer to Get Blob or Get Blob Properties; `None` when the headers that every blob has are
/// missing.
pub(super) fn blob_properties(headers: &AnswerHeaders) -> Option<BlobProperties> {
    let Written { etag, last_modified } = written(headers)?;
    // On a partial answer, `Content-Length` and `Content-MD5` are the part's.
    let partial = total_of_range(headers);
    let md5 = if partial.is_some() { "x-ms-blob-content-md5" } else { "content-md5" };
    Some(BlobProperties {
        size: partial.or_else(|| size(text(headers, "content-length")?))?,
        etag,
        last_modified,
        creation_time: date(headers, "x-ms-creation-time"),
        blob_type: text(headers, "x-ms-blob-type").and_then(BlobType::parse)?,
        headers: ContentHeaders::read(md5, |name| owned(headers, name)),
        metadata: metadata(headers),
        tier: owned(headers, "x-ms-access-tier"),
        tier_inferred: text(headers, "x-ms-access-tier-inferred") == Some("true"),
        archive_status: owned(headers, "x-ms-archive-status"),
        rehydrate_priority: owned(headers, "x-ms-rehydrate-priority"),
        lease: LeaseProperties {
            state: owned(headers, "x-ms-lease-state"),
            status: owned(headers, "x-ms-lease-status"),
            duration: owned(headers, "x-ms-lease-duration"),
        },
        copy: copy_state(headers),
        tag_count: parsed(headers, "x-ms-tag-count").unwrap_or(0),
        sequence_number: parsed(headers, "x-ms-blob-sequence-number"),
        committed_block_count: parsed(headers, "x-ms-blob-committed-block-count"),
        sealed: text(headers, "x-ms-blob-sealed") == Some("true"),
        version_id: owned(headers, "x-ms-version-id"),
        is_current_version: text(headers, "x-ms-is-current-version") == Some("true"),
        path: text(headers, "x-ms-resource-type").map(|kind| PathProperties {
            owner: owned(headers, "x-ms-owner"),
            group: owned(headers, "x-ms-group"),
            permissions: owned(headers, "x-ms-permissions"),
            ..PathProperties::of_type(kind)
        }),
        protection: Protection {
            until: date(headers, "x-ms-immutability-policy-until-date"),
            mode: owned(headers, "x-ms-immutability-policy-mode"),
            legal_hold: text(headers, "x-ms-legal-hold").map(|hold| hold == "true"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    const COMMON: &[(&str, &str)] = &[
        ("etag", "\"0x8D\""),
        ("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT"),
        ("x-ms-blob-type", "BlockBlob"),
        ("content-length", "11"),
    ];

    fn properties(pairs: &[(&'static str, &'static str)]) -> BlobProperties {
        let mut all = headers(COMMON);
        all.extend(headers(pairs));
        blob_properties(&AnswerHeaders::new(all, ["Color"].iter().collect())).unwrap()
    }

    #[test]
    fn properties_of_a_whole_blob() {
        let properties =
            properties(&[("content-md5", "bWQ1"), ("x-ms-meta-color", "blue"), ("x-ms-lease-state", "available")]);
        assert_eq!(properties.size, 11);
        assert_eq!(properties.etag.as_str(), "0x8D");
        assert_eq!(properties.headers.content_md5.as_deref(), Some("bWQ1"));
        assert_eq!(properties.metadata.iter().collect::<Vec<_>>(), [("Color", "blue")]);
        assert_eq!(properties.lease.state.as_deref(), Some("available"));
        assert_eq!(properties.copy, None);
    }

    #[test]
    fn size_and_md5_of_a_part_are_the_blobs() {
        let properties = properties(&[
            ("content-range", "bytes 3-13/4711"),
            ("content-md5", "b2YgdGhlIHBhcnQ="),
            ("x-ms-blob-content-md5", "bWQ1"),
        ]);
        assert_eq!(properties.size, 4711);
        assert_eq!(properties.headers.content_md5.as_deref(), Some("bWQ1"));
    }

    #[test]
    fn copy_state_hides_the_signature_and_survives_missing_progress() {
        let copy = properties(&[
            ("x-ms-copy-id", "id"),
            ("x-ms-copy-status", "success"),
            ("x-ms-copy-source", "http://h/a/c/b?sv=1&sig=SeCrEt"),
            ("x-ms-copy-completion-time", "Mon, 01 Jan 2024 00:00:00 GMT"),
        ])
        .copy
        .unwrap();
        assert_eq!(copy.source.as_deref(), Some("http://h/a/c/b"));
        assert_eq!((copy.status, copy.bytes_copied, copy.total_bytes), (CopyStatus::Success, 0, 0));
        assert!(copy.completion_time.is_some());
    }

    #[test]
    fn pending_copies_tell_their_progress() {
        let copy = properties(&[
            ("x-ms-copy-id", "id"),
            ("x-ms-copy-status", "pending"),
            ("x-ms-copy-progress", "3/11"),
            ("x-ms-copy-status-description", "502 BadGateway \"gone\""),
        ])
        .copy
        .unwrap();
        assert_eq!(copy.description.as_deref(), Some("502 BadGateway \"gone\""));
        assert_eq!((copy.bytes_copied, copy.total_bytes, copy.completion_time), (3, 11, None));
    }

    #[test]
    fn sizes_are_digits_that_a_file_can_have() {
        assert_eq!([" 7", "9223372036854775807"].map(size), [Some(7), Some(i64::MAX as u64)]);
        for wrong in ["", "-1", "+1", "0x10", "1e3", "1.5", "9223372036854775808", "18446744073709551616", "many"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
        assert_eq!(content_range("bytes 3-13/14"), Some((3..14, 14)));
        for wrong in ["", "bytes 3-13/*", "bytes 3-13/13", "bytes 4-3/9", "bytes -3/9", "items 3-13/14", "3-13/14"] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_answer_without_the_common_headers_is_none() {
        assert!(blob_properties(&AnswerHeaders::new(headers(&COMMON[1..]), Names::default())).is_none());
    }
}
