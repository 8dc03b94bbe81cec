//! Headers of a request that more than one operation reads: properties, metadata, tags, ranges and leases.

use super::error::{Code, ServiceError};
use super::lease::Action;
use super::model::{Metadata, Properties, Tier};
use super::request::Call;
use super::spelling::PREFIX;
use super::tags::{self, Tags};

/// The `x-ms-blob-*` properties of a request, `None` if it sends none of them.
pub(super) fn sent_properties(call: &Call) -> Option<Properties> {
    let text = |name: &str| call.header(name).filter(|value| !value.is_empty()).map(str::to_owned);
    let names = [
        "x-ms-blob-content-type",
        "x-ms-blob-content-encoding",
        "x-ms-blob-content-language",
        "x-ms-blob-content-md5",
        "x-ms-blob-content-disposition",
        "x-ms-blob-cache-control",
    ];
    if !names.iter().any(|name| call.headers.contains_key(*name)) {
        return None;
    }
    let [content_type, encoding, language, md5, disposition, cache_control] = names.map(text);
    Some(Properties { content_type, encoding, language, md5, disposition, cache_control })
}

/// The properties of a Put Blob, where the standard headers serve when the `x-ms-blob-*` ones are missing.
pub(super) fn put_properties(call: &Call) -> Properties {
    let text = |name: &str| call.header(name).filter(|value| !value.is_empty()).map(str::to_owned);
    sent_properties(call).unwrap_or_default().or(Properties {
        content_type: text("content-type"),
        encoding: text("content-encoding"),
        language: text("content-language"),
        cache_control: text("cache-control"),
        ..Properties::default()
    })
}

/// Reads `x-ms-meta-*`; `None` when the request sends none, which some operations treat differently from "empty".
pub(super) fn sent_metadata(call: &Call, limit: usize) -> Result<Option<Metadata>, ServiceError> {
    let mut metadata = Metadata::new();
    let mut size = 0;
    for (name, value) in &call.headers {
        let Some(name) = name.as_str().strip_prefix(PREFIX) else {
            continue;
        };
        let name = call.names.iter().find(|sent| sent.eq_ignore_ascii_case(name)).map_or(name, String::as_str);
        let value = String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
        check_metadata_name(name)?;
        size += name.len() + value.len();
        if metadata.insert(name, value).is_some() {
            return Err(Code::InvalidMetadata.into());
        }
    }
    if size > limit {
        return Err(Code::MetadataTooLarge.into());
    }
    Ok((!metadata.is_empty()).then_some(metadata))
}

/// §1.3: an identifier.
fn check_metadata_name(name: &str) -> Result<(), ServiceError> {
    let mut characters = name.chars();
    match characters.next() {
        None => Err(Code::EmptyMetadataKey.into()),
        Some(first) if !(first.is_alphabetic() || first == '_') => Err(Code::InvalidMetadata.into()),
        Some(_) if characters.all(|c| c.is_alphanumeric() || c == '_') => Ok(()),
        Some(_) => Err(Code::InvalidMetadata.into()),
    }
}

/// `x-ms-tags`; a request that sends none gives a blob without any.
pub(super) fn sent_tags(call: &Call) -> Result<Tags, ServiceError> {
    call.header("x-ms-tags").map(tags::from_header).transpose().map(Option::unwrap_or_default)
}

/// `x-ms-access-tier`.
pub(super) fn sent_tier(call: &Call) -> Result<Option<Tier>, ServiceError> {
    call.header("x-ms-access-tier").map(Tier::parse).transpose()
}

/// `x-ms-copy-source-tag-option`, which excludes tags of the request's own.
pub(super) fn copies_tags(call: &Call) -> Result<bool, ServiceError> {
    match call.header("x-ms-copy-source-tag-option") {
        Some("COPY") if call.headers.contains_key("x-ms-tags") => {
            Err(Code::BothUserTagsAndSourceTagsCopyPresentException.into())
        }
        Some("COPY") => Ok(true),
        Some("REPLACE") | None => Ok(false),
        Some(other) => Err(ServiceError::invalid_header("x-ms-copy-source-tag-option", other)),
    }
}

/// `bytes=a-b` or `bytes=a-`, the end inclusive.
pub(super) fn parse_range(header: &str) -> Option<(u64, Option<u64>)> {
    let (start, end) = header.strip_prefix("bytes=")?.split_once('-')?;
    let start = start.parse().ok()?;
    let end = if end.is_empty() { None } else { Some(end.parse().ok()?) };
    end.is_none_or(|end| end >= start).then_some((start, end))
}

/// The lease id a request carries.
pub(super) fn lease_id(call: &Call) -> Result<Option<uuid::Uuid>, ServiceError> {
    uuid_header(call, "x-ms-lease-id")
}

/// An empty one is none: the vendor's Python client sends it so for a source that is not leased.
pub(super) fn uuid_header(call: &Call, name: &str) -> Result<Option<uuid::Uuid>, ServiceError> {
    call.header(name)
        .filter(|text| !text.is_empty())
        .map(|text| text.parse().map_err(|_| ServiceError::invalid_header(name, text)))
        .transpose()
}

/// Reads the headers of a lease request.
pub(super) fn lease_action(call: &Call) -> Result<Action, ServiceError> {
    let id = lease_id(call)?;
    let id = || id.ok_or_else(|| ServiceError::missing_header("x-ms-lease-id"));
    let proposed = uuid_header(call, "x-ms-proposed-lease-id")?;
    match call.required("x-ms-lease-action")? {
        "acquire" => {
            let duration = call.required("x-ms-lease-duration")?;
            let seconds = match duration.parse::<i64>() {
                Ok(-1) => None,
                Ok(seconds @ 15..=60) => Some(seconds as u64),
                _ => return Err(ServiceError::invalid_header("x-ms-lease-duration", duration)),
            };
            Ok(Action::Acquire { seconds, proposed })
        }
        "renew" => Ok(Action::Renew { id: id()? }),
        "change" => {
            let proposed = proposed.ok_or_else(|| ServiceError::missing_header("x-ms-proposed-lease-id"))?;
            Ok(Action::Change { id: id()?, proposed })
        }
        "release" => Ok(Action::Release { id: id()? }),
        "break" => {
            let period = call.number("x-ms-lease-break-period")?;
            match period {
                Some(61..) => Err(ServiceError::invalid_header("x-ms-lease-break-period", "over 60")),
                _ => Ok(Action::Break { period }),
            }
        }
        other => Err(ServiceError::invalid_header("x-ms-lease-action", other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(parse_range("bytes=0-4"), Some((0, Some(4))));
        assert_eq!(parse_range("bytes=7-"), Some((7, None)));
        for ignored in ["bytes=-3", "bytes=4-3", "bytes=0-1,3-4", "pages=0-1", ""] {
            assert_eq!(parse_range(ignored), None, "{ignored}");
        }
    }
}
