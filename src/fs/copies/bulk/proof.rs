//! When a blob needs no copy, because what is there is one already.
//!
//! A copy that was interrupted is simply begun again, and skips what it had done. Equal sizes and times prove nothing;
//! two things do:
//!
//! 1. *The service's own record.* The last copy onto the destination is from this very source, it ended with `success`,
//!    and it ended after the source was last modified: so it copied the version that is there now. The destination was
//!    not modified since, which would have cleared the record for a block blob, and shows in its time for the other
//!    types. Of a copy in blocks there is none: this mount remembers which version of the source it copied.
//! 2. *The MD5 of the content*, if both have one and they are equal.
//!
//! Either way, type, size, content headers and metadata must be equal as well: what somebody changed at the source
//! without changing its content is copied again. Where the record's times are too close to tell, the blob is copied
//! again.

use std::time::{Duration, SystemTime};

use crate::store::{BlobProperties, CopyStatus, ETag, same_source};

/// The largest difference between the clocks of two accounts.
const CLOCKS: Duration = Duration::from_secs(10);

/// What there is to compare the last copy onto a blob with.
pub(crate) struct Record<'a> {
    /// URL of the source.
    pub url: &'a str,
    /// Source and destination are in one account.
    pub one_account: bool,
    /// The version of its source that the destination was copied from in blocks, if this mount has done that.
    pub copied: Option<&'a ETag>,
}

/// Whether the destination is a copy of that version of `source`.
pub(crate) fn is_copy(destination: &BlobProperties, source: &BlobProperties, record: &Record<'_>) -> bool {
    let same_face = destination.blob_type == source.blob_type
        && destination.size == source.size
        && destination.headers == source.headers
        && destination.metadata == source.metadata
        && destination.tag_count == source.tag_count;
    let is_that_version = record.copied.is_some_and(|copied| *copied == source.etag);
    same_face
        && (has_same_md5(destination, source)
            || is_recorded(destination, source, record.url, record.one_account)
            || is_that_version && shows_source(destination, record.url))
}

/// Whether the content of the destination is provably that of `source`, whatever else it was given: the last copy onto it
/// was from that URL, in the same account, and ended with success; and the source was modified before, or has the same
/// MD5.
pub(crate) fn is_copied_from(destination: &BlobProperties, source: &BlobProperties, url: &str) -> bool {
    shows_source(destination, url)
        && destination.blob_type == source.blob_type
        && destination.size == source.size
        && (has_same_md5(destination, source) || is_recorded(destination, source, url, true))
}

/// Whether the last copy onto the destination was from that URL, and ended with success.
pub(crate) fn shows_source(destination: &BlobProperties, url: &str) -> bool {
    destination.copy.as_ref().is_some_and(|copy| {
        copy.status == CopyStatus::Success && copy.source.as_deref().is_some_and(|shown| same_source(shown, url))
    })
}

fn has_same_md5(destination: &BlobProperties, source: &BlobProperties) -> bool {
    // That of an append or page blob is whatever was set once.
    destination.blob_type == crate::store::BlobType::Block
        && destination.headers.content_md5.is_some()
        && destination.headers.content_md5 == source.headers.content_md5
}

fn is_recorded(destination: &BlobProperties, source: &BlobProperties, url: &str, one_account: bool) -> bool {
    let Some(copy) = &destination.copy else { return false };
    // The blocks may have been read long before the end.
    let Some(ended) = copy.completion_time.filter(|_| !copy.in_blocks) else { return false };
    // Times count in seconds: within the second of the end, the source may have been changed before or after.
    let margin = if one_account { Duration::ZERO } else { CLOCKS };
    copy.status == CopyStatus::Success
        && copy.source.as_deref().is_some_and(|shown| same_source(shown, url))
        && seconds(source.last_modified + margin) < seconds(ended)
        && seconds(destination.last_modified) <= seconds(ended)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::{is_copy as is_copy_by, *};
    use crate::fs::names::attr::just_written;
    use crate::store::{BlobSettings, CopyId, CopyState, Metadata, Written};

    const URL: &str = "https://a.blob.core.windows.net/c/b%20b";

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second)
    }

    fn blob(second: u64) -> BlobProperties {
        just_written(5, BlobSettings::default(), Written { etag: ETag::new("e"), last_modified: at(second) })
    }

    fn is_copy(destination: &BlobProperties, source: &BlobProperties, url: &str, one_account: bool) -> bool {
        is_copy_by(destination, source, &Record { url, one_account, copied: None })
    }

    /// A copy of `URL` that ended in that second.
    fn copy(second: u64) -> BlobProperties {
        let state = CopyState {
            id: CopyId::new("i"),
            status: CopyStatus::Success,
            source: Some("https://a.blob.core.windows.net/c/b b?sv=1&sr=b".into()),
            bytes_copied: 5,
            total_bytes: 5,
            completion_time: Some(at(second)),
            description: None,
            in_blocks: false,
        };
        BlobProperties { copy: Some(state), ..blob(second) }
    }

    #[test]
    fn a_finished_copy_of_what_is_there_still_is_proof() {
        assert!(is_copy(&copy(20), &blob(10), URL, true));
        assert!(!is_copy(&copy(20), &blob(21), URL, true), "the source was changed since");
        assert!(!is_copy(&copy(20), &blob(20), URL, true), "in the same second: before or after?");
        assert!(!is_copy(&copy(20), &blob(12), URL, false), "two clocks");
        assert!(is_copy(&copy(30), &blob(12), URL, false));
        assert!(!is_copy(&copy(20), &blob(10), "https://a.blob.core.windows.net/c/other", true));
        assert!(!is_copy(&blob(20), &blob(10), URL, true), "no record: it was written otherwise");
    }

    /// The blocks of a copy are read before its end, so that its time proves nothing.
    #[test]
    fn a_copy_in_blocks_is_proof_of_the_version_that_was_copied() {
        let mut made = copy(60);
        made.copy.as_mut().unwrap().in_blocks = true;
        let (same, other) = (ETag::new("e"), ETag::new("other"));
        let by = |copied, url| is_copy_by(&made, &blob(10), &Record { url, one_account: false, copied });
        assert!(by(Some(&same), URL));
        assert!(!by(Some(&same), "https://a.blob.core.windows.net/c/other"));
        assert!(!by(Some(&other), URL) && !by(None, URL));
    }

    #[test]
    fn whatever_differs_is_copied_again() {
        let source = blob(10);
        assert!(!is_copy(&BlobProperties { size: 6, ..copy(20) }, &source, URL, true));
        assert!(!is_copy(&BlobProperties { last_modified: at(21), ..copy(20) }, &source, URL, true));
        let metadata: Metadata = [("a", "b")].into_iter().collect();
        assert!(!is_copy(&copy(20), &BlobProperties { metadata, ..blob(10) }, URL, true));
        for status in [CopyStatus::Pending, CopyStatus::Failed, CopyStatus::Aborted] {
            let mut destination = copy(20);
            destination.copy.as_mut().unwrap().status = status;
            assert!(!is_copy(&destination, &source, URL, true));
        }
    }

    #[test]
    fn equal_md5_is_proof_if_both_have_it() {
        let with = |md5: &str, second| {
            let mut blob = blob(second);
            blob.headers.content_md5 = Some(md5.into());
            blob
        };
        assert!(is_copy(&with("x", 5), &with("x", 10), URL, true));
        assert!(!is_copy(&with("y", 5), &with("x", 10), URL, true));
        assert!(!is_copy(&blob(5), &blob(10), URL, true));
    }
}
