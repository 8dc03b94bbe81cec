//! Whether a blob is still the file that it was.
//!
//! The kernel keeps pages, size and name by inode, and a program that has a file open is promised one version of it. So
//! a blob that somebody else has replaced is another file: it gets an inode of its own, and the old inode stays what it
//! was for whoever has it open, as after a rename over a name on a local disk. What this mount does itself never comes
//! here: it is learnt, not heard.
//!
//! | what is heard | is |
//! |---|---|
//! | the same ETag | the same file: tier and tags change without a new one |
//! | an append blob, as old as it was, at least as long, with no copy onto it since | the same file, grown |
//! | the same length and the same Content-MD5 | the same content: its metadata or properties were changed |
//! | the end of a copy that was pending, by its id | the same file: nobody else can write to it meanwhile (C9) |
//! | anything else | another file |
//!
//! Directories have no content that could be another one.

use crate::fs::names::tree::packed::{Packed, PackedBlob};
use crate::store::{BlobProperties, BlobType, CopyState, CopyStatus};

/// Whether the properties now are of the file that `then` was of.
pub(in crate::fs) fn is_same(then: &Packed, now: &Packed) -> bool {
    match (then, now) {
        (Packed::Blob(then), Packed::Blob(now)) => then.has_etag_of(now) || continues_packed(then, now),
        (Packed::Container(_), _) | (_, Packed::Container(_)) => true,
        (Packed::Nothing, Packed::Nothing) => true,
        // What was made here and never stored is not what is there now, and what is not there is not what was.
        (Packed::Nothing, Packed::Blob(_)) | (Packed::Blob(_), Packed::Nothing) => false,
    }
}

fn continues_packed(then: &PackedBlob, now: &PackedBlob) -> bool {
    continues(&then.unpack(), &now.unpack())
}

/// `now`, with another ETag, has the content that `then` had, or more of it.
pub(crate) fn continues(then: &BlobProperties, now: &BlobProperties) -> bool {
    if then.blob_type != now.blob_type {
        return false;
    }
    let ends =
        |copy: &CopyState| copy.status == CopyStatus::Pending && now.copy.as_ref().is_some_and(|now| now.id == copy.id);
    is_grown(then, now) || has_equal_content(then, now) || then.copy.as_ref().is_some_and(ends)
}

/// `now` is the append blob that `then` was, with more at its end or nothing.
///
/// Copy Blob onto an append blob may keep its creation time (S29), but leaves its own copy id; what is written later
/// may only take the copy state away (S157). Each Append Block adds one block of at least a byte.
///
/// One that was made anew in the second in which the old one was made and last written, and has more blocks by now,
/// cannot be told from it: the service says no more of it.
pub(crate) fn is_grown(then: &BlobProperties, now: &BlobProperties) -> bool {
    let id = |blob: &BlobProperties| blob.copy.as_ref().map(|copy| copy.id.clone());
    let longer = now.size.saturating_sub(then.size);
    let may_have_added = |(then, now): (u32, u32)| match longer {
        0 => then == now,
        _ => then < now && u64::from(now - then) <= longer,
    };
    [then, now].iter().all(|blob| blob.blob_type == BlobType::Append)
        && then.creation_time.zip(now.creation_time).is_none_or(|(then, now)| then == now)
        && then.size <= now.size
        && then.committed_block_count.zip(now.committed_block_count).is_none_or(may_have_added)
        && (now.copy.is_none() || id(then) == id(now))
}

/// Length and Content-MD5 say that nothing but properties or metadata was changed. Put Page leaves the hash of a page
/// blob as it was, so there it proves nothing.
fn has_equal_content(then: &BlobProperties, now: &BlobProperties) -> bool {
    let hash = |blob: &BlobProperties| blob.headers.content_md5.clone();
    then.blob_type != BlobType::Page
        && ![then, now].iter().any(|blob| blob.is_pending())
        && then.size == now.size
        && hash(then).is_some_and(|then| Some(then) == hash(now))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::fs::names::attr;
    use crate::store::{BlobSettings, CopyId, ETag, Written};

    fn blob(blob_type: BlobType, etag: &str, size: u64, md5: Option<&str>) -> BlobProperties {
        let mut settings = BlobSettings::default();
        settings.headers.content_md5 = md5.map(str::to_owned);
        let written = Written { etag: ETag::new(etag), last_modified: SystemTime::UNIX_EPOCH };
        BlobProperties { blob_type, ..attr::just_written(size, settings, written) }
    }

    fn copied(id: &str, status: CopyStatus, to: BlobProperties) -> BlobProperties {
        let copy = CopyState {
            id: CopyId::new(id),
            status,
            source: None,
            bytes_copied: 0,
            total_bytes: 5,
            completion_time: None,
            description: None,
            in_blocks: false,
        };
        BlobProperties { copy: Some(copy), ..to }
    }

    fn append(size: u64, blocks: Option<u32>, created: u64) -> BlobProperties {
        let created = SystemTime::UNIX_EPOCH + Duration::from_secs(created);
        let mut blob = blob(BlobType::Append, &size.to_string(), size, None);
        (blob.committed_block_count, blob.creation_time) = (blocks, Some(created));
        blob
    }

    #[test]
    fn a_block_blob_of_another_etag_is_another_file_unless_its_hash_proves_the_content_equal() {
        let (one, md5) = (BlobType::Block, "1B2M2Y8AsgTpgAmY7PhCfg==");
        assert!(!continues(&blob(one, "a", 5, None), &blob(one, "b", 5, None)));
        assert!(!continues(&blob(one, "a", 5, Some(md5)), &blob(one, "b", 5, None)));
        assert!(!continues(&blob(one, "a", 5, Some(md5)), &blob(one, "b", 6, Some(md5))));
        assert!(continues(&blob(one, "a", 5, Some(md5)), &blob(one, "b", 5, Some(md5))));
        let pages = |etag| blob(BlobType::Page, etag, 512, Some(md5));
        assert!(!continues(&pages("a"), &pages("b")), "Put Page does not change the hash");
        assert!(!continues(&blob(BlobType::Block, "a", 512, Some(md5)), &pages("b")));
    }

    #[test]
    fn an_append_blob_that_was_made_anew_or_copied_onto_has_not_grown() {
        let then = append(10, Some(2), 1);
        for grown in [then.clone(), append(11, Some(3), 1), append(11, None, 1)] {
            assert!(is_grown(&then, &grown));
        }
        let shorter_or_later = [append(9, Some(2), 1), append(11, Some(3), 2)];
        let by_other_blocks =
            [(10, 1), (10, 3), (11, 1), (11, 2), (11, 4)].map(|(size, blocks)| append(size, Some(blocks), 1));
        for other in shorter_or_later.iter().chain(&by_other_blocks) {
            assert!(!is_grown(&then, other), "{other:?}");
        }
        // S29: the creation time is that of the blob that was overwritten.
        let copied_onto = |id| copied(id, CopyStatus::Success, append(11, Some(3), 1));
        assert!(!is_grown(&then, &copied_onto("x")) && !is_grown(&copied_onto("x"), &copied_onto("y")));
        assert!(is_grown(&copied_onto("x"), &copied_onto("x")));
        assert!(is_grown(&copied_onto("x"), &append(12, Some(4), 1)), "S157: a later write takes the copy state away");
    }

    #[test]
    fn the_end_of_a_pending_copy_is_known_by_its_id() {
        let one = |etag, size| blob(BlobType::Block, etag, size, None);
        let pending = copied("x", CopyStatus::Pending, one("a", 0));
        assert!(continues(&pending, &copied("x", CopyStatus::Success, one("b", 5))));
        assert!(continues(&pending, &copied("x", CopyStatus::Aborted, one("b", 0))));
        assert!(!continues(&pending, &copied("y", CopyStatus::Success, one("b", 5))));
        assert!(!continues(
            &copied("x", CopyStatus::Success, one("a", 5)),
            &copied("x", CopyStatus::Success, one("b", 5))
        ));
    }
}
