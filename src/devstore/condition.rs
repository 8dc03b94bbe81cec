//! Conditional headers (§5).
//!
//! The same four headers (and a predicate over tags) mean slightly different things on a read, on a write and on the
//! source of a copy: which combinations are legal, and whether an unmet one is 304, 409 or 412. [`Conditions`] reads
//! them once; the three `check_*` methods know the difference.

use std::time::SystemTime;

use hyper::StatusCode;

use super::clock::whole_seconds;
use super::error::{Code, ServiceError};
use super::model::{Blob, ETag};
use super::predicate::Predicate;
use super::request::Call;

/// An `If-Match` or `If-None-Match` value: several ETags have commas between them.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tag {
    Any,
    OneOf(Vec<String>),
}

impl Tag {
    fn parse(text: &str) -> Tag {
        let tags: Vec<_> = text.split(',').map(|tag| tag.trim().trim_matches('"').to_owned()).collect();
        if tags.iter().any(|tag| tag == "*") { Tag::Any } else { Tag::OneOf(tags) }
    }

    fn matches(&self, etag: ETag) -> bool {
        match self {
            Tag::Any => true,
            Tag::OneOf(tags) => tags.contains(&etag.to_string()),
        }
    }
}

/// The operations that read a source, as far as they differ in what they say of conditions that are not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// Put Blob and Copy Blob From URL.
    Blob,
    /// Put Block From URL. It is not known whether it names an unmet `x-ms-source-if-unmodified-since` a condition.
    Block { names_condition: bool },
    /// Append Block and Put Page From URL.
    Part,
}

/// The refusal of an operation with a source whose destination does not meet the request's conditions. They are named
/// the target's, but for those on dates if the operation is done when it is answered (S12, S42, S162).
pub(super) fn on_target(error: ServiceError, call: &Call, asynchronous: bool) -> ServiceError {
    let by_etag = || ["if-match", "if-none-match"].iter().any(|name| call.headers.contains_key(*name));
    match error.code == "ConditionNotMet" && (asynchronous || by_etag()) {
        true => Code::TargetConditionNotMet.into(),
        false => error,
    }
}

/// The conditions of one request, for its target or for its copy source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    matches: Option<Tag>,
    none_matches: Option<Tag>,
    modified_since: Option<SystemTime>,
    unmodified_since: Option<SystemTime>,
    tags: Option<Predicate>,
}

impl Conditions {
    /// The conditions on what the request line names.
    pub(super) fn of_target(call: &Call) -> Result<Conditions, ServiceError> {
        Conditions::read(
            call,
            ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "x-ms-if-tags"],
        )
    }

    /// The conditions on a copy source.
    pub(super) fn of_source(call: &Call) -> Result<Conditions, ServiceError> {
        Conditions::read(
            call,
            [
                "x-ms-source-if-match",
                "x-ms-source-if-none-match",
                "x-ms-source-if-modified-since",
                "x-ms-source-if-unmodified-since",
                "x-ms-source-if-tags",
            ],
        )
    }

    /// The only condition of Get Block List: that on tags.
    pub(super) fn of_tags(call: &Call) -> Result<Conditions, ServiceError> {
        Ok(Conditions { tags: Conditions::of_target(call)?.tags, ..Conditions::default() })
    }

    fn read(call: &Call, names: [&str; 5]) -> Result<Conditions, ServiceError> {
        let [matches, none_matches, modified, unmodified, tags] = names;
        let date = |name: &str| {
            call.header(name)
                .map(|text| httpdate::parse_http_date(text).map_err(|_| ServiceError::invalid_header(name, text)))
                .transpose()
        };
        Ok(Conditions {
            matches: call.header(matches).map(Tag::parse),
            none_matches: call.header(none_matches).map(Tag::parse),
            modified_since: date(modified)?,
            unmodified_since: date(unmodified)?,
            tags: call.header(tags).map(|text| Predicate::of_condition(tags, text)).transpose()?,
        })
    }

    /// On a read any combination is legal; `If-None-Match` and `If-Modified-Since` are met if either is.
    pub(super) fn check_read(&self, blob: &Blob) -> Result<(), ServiceError> {
        if self.none_matches == Some(Tag::Any) {
            return Err(Code::UnsatisfiableCondition.into());
        }
        if !self.required_hold(blob) {
            return Err(Code::ConditionNotMet.into());
        }
        let changed = [
            self.none_matches.as_ref().map(|tag| !tag.matches(blob.etag)),
            self.modified_since.map(|since| whole_seconds(blob.last_modified) > since),
        ];
        if changed.iter().flatten().any(|met| *met) || changed.iter().all(Option::is_none) {
            return Ok(());
        }
        Err(ServiceError::from(Code::ConditionNotMet).with_status(StatusCode::NOT_MODIFIED))
    }

    /// On a write, `blob` being absent when the name is free.
    pub(super) fn check_write(&self, blob: Option<&Blob>) -> Result<(), ServiceError> {
        let (etags, dates) = (
            (self.matches.is_some(), self.none_matches.is_some()),
            (self.modified_since.is_some(), self.unmodified_since.is_some()),
        );
        // Allowed besides a single condition: If-None-Match + If-Modified-Since, If-Match + If-Unmodified-Since.
        let conflict = etags == (true, true) || dates == (true, true) || (etags.0 && dates.0) || (etags.1 && dates.1);
        if conflict {
            return Err(Code::MultipleConditionHeadersNotSupported.into());
        }
        let Some(blob) = blob else {
            let needs_blob = self.matches.is_some() || self.unmodified_since.is_some() || self.tags.is_some();
            return if needs_blob { Err(Code::ConditionNotMet.into()) } else { Ok(()) };
        };
        if self.none_matches == Some(Tag::Any) {
            return Err(Code::BlobAlreadyExists.into());
        }
        if self.all_hold(blob) { Ok(()) } else { Err(Code::ConditionNotMet.into()) }
    }

    /// Drops the condition that there is no blob.
    pub(super) fn allow_existing(&mut self) {
        self.none_matches.take_if(|tag| *tag == Tag::Any);
    }

    /// On the source of a copy or rename that is not read when it is answered: every unmet condition is 412 (S15).
    pub(super) fn check_source(&self, blob: &Blob) -> Result<(), ServiceError> {
        if self.all_hold(blob) { Ok(()) } else { Err(Code::SourceConditionNotMet.into()) }
    }

    /// On a source that the operation reads, which makes an answer of its own of what the source says.
    pub(super) fn check_read_source(&self, blob: &Blob, reader: Reader) -> Result<(), ServiceError> {
        let unverified = |status| Err(ServiceError::from(Code::CannotVerifyCopySource).with_status(status));
        if self.is_changed(blob) == Some(false) {
            // S37, S38, S40, S159, S160
            return unverified(StatusCode::NOT_MODIFIED);
        }
        if self.required_hold(blob) {
            return Ok(());
        }
        let by_match = self.matches.as_ref().is_some_and(|tag| !tag.matches(blob.etag));
        match reader {
            // S36
            Reader::Part => unverified(StatusCode::PRECONDITION_FAILED),
            // S41, S158, S161
            _ if by_match || self.tags.is_some() => Err(Code::SourceConditionNotMet.into()),
            Reader::Block { names_condition: true } => Err(Code::SourceConditionNotMet.into()),
            // S160
            Reader::Block { .. } | Reader::Blob => unverified(StatusCode::PRECONDITION_FAILED),
        }
    }

    fn all_hold(&self, blob: &Blob) -> bool {
        self.required_hold(blob) && self.is_changed(blob) != Some(false)
    }

    /// Whether all that asks for a change is met; `None` if nothing does.
    fn is_changed(&self, blob: &Blob) -> Option<bool> {
        let other = self.none_matches.as_ref().map(|tag| !tag.matches(blob.etag));
        let later = self.modified_since.map(|since| whole_seconds(blob.last_modified) > since);
        [other, later].into_iter().flatten().reduce(|other, later| other && later)
    }

    fn required_hold(&self, blob: &Blob) -> bool {
        let value_of = |key: &str| blob.tags.get(key).map(String::as_str);
        self.matches.as_ref().is_none_or(|tag| tag.matches(blob.etag))
            && self.unmodified_since.is_none_or(|since| whole_seconds(blob.last_modified) <= since)
            && self.tags.as_ref().is_none_or(|predicate| predicate.holds(value_of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn blob() -> Blob {
        Blob::sample(7, SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_500))
    }

    fn tag(etag: u64) -> Option<Tag> {
        Some(Tag::parse(&format!("\"{}\"", ETag::from_ticks(etag))))
    }

    fn either(etag: u64, other: u64) -> Option<Tag> {
        Some(Tag::parse(&format!("\"{}\", {}", ETag::from_ticks(etag), ETag::from_ticks(other))))
    }

    fn at(seconds: u64) -> Option<SystemTime> {
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    #[test]
    fn reads_answer_304_or_412() {
        let none = Conditions::default();
        let rows = [
            (none.clone(), 200),
            (Conditions { matches: tag(7), ..none.clone() }, 200),
            (Conditions { matches: tag(8), ..none.clone() }, 412),
            (Conditions { matches: either(8, 7), ..none.clone() }, 200),
            (Conditions { matches: either(8, 9), ..none.clone() }, 412),
            (Conditions { matches: Some(Tag::parse("*,other")), ..none.clone() }, 200),
            (Conditions { none_matches: either(8, 7), ..none.clone() }, 304),
            (Conditions { none_matches: either(8, 9), ..none.clone() }, 200),
            (Conditions { none_matches: tag(7), ..none.clone() }, 304),
            (Conditions { none_matches: tag(8), ..none.clone() }, 200),
            (Conditions { modified_since: at(1000), ..none.clone() }, 304),
            (Conditions { modified_since: at(999), ..none.clone() }, 200),
            (Conditions { unmodified_since: at(1000), ..none.clone() }, 200),
            (Conditions { unmodified_since: at(999), ..none.clone() }, 412),
            (Conditions { none_matches: tag(7), modified_since: at(999), ..none.clone() }, 200),
            (Conditions { none_matches: Some(Tag::Any), ..none.clone() }, 400),
            (Conditions { tags: Predicate::of_condition("x-ms-if-tags", "a = 'b'").ok(), ..none }, 412),
        ];
        for (conditions, status) in rows {
            let got = conditions.check_read(&blob()).map_or_else(|error| error.status.as_u16(), |()| 200);
            assert_eq!(got, status, "{conditions:?}");
        }
    }

    #[test]
    fn writes_answer_409_or_412() {
        let none = Conditions::default();
        let rows = [
            (Conditions { none_matches: Some(Tag::Any), ..none.clone() }, Some("BlobAlreadyExists"), None),
            (Conditions { matches: Some(Tag::Any), ..none.clone() }, None, Some("ConditionNotMet")),
            (Conditions { matches: tag(8), ..none.clone() }, Some("ConditionNotMet"), Some("ConditionNotMet")),
            (Conditions { none_matches: tag(7), ..none.clone() }, Some("ConditionNotMet"), None),
            (Conditions { matches: tag(7), unmodified_since: at(1000), ..none.clone() }, None, Some("ConditionNotMet")),
            (
                Conditions { matches: tag(7), none_matches: tag(8), ..none },
                Some("MultipleConditionHeadersNotSupported"),
                Some("MultipleConditionHeadersNotSupported"),
            ),
        ];
        let blob = blob();
        for (conditions, existing, missing) in rows {
            let code = |blob| conditions.check_write(blob).err().map(|error| error.code.into_owned());
            assert_eq!(code(Some(&blob)).as_deref(), existing, "{conditions:?}");
            assert_eq!(code(None).as_deref(), missing, "{conditions:?}");
        }
    }

    #[test]
    fn sources_always_answer_412() {
        let conditions = Conditions { none_matches: tag(7), ..Conditions::default() };
        assert_eq!(conditions.check_source(&blob()).unwrap_err().code, "SourceConditionNotMet");
    }
}
