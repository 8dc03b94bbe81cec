//! Lost answers.
//!
//! When a connection breaks after a request was sent, the service may have executed it. Sending it again is right for a
//! read or a plain overwrite. For the rest, the second execution meets the effect of the first: a guarded write finds
//! the blob it has just written and fails with 412, a delete finds nothing, a copy finds itself pending. So these
//! operations, when a try of theirs was lost, look at the service and recognise their own work (§13.14):
//!
//! | operation | ours, if |
//! |---|---|
//! | Copy Blob | the destination shows a copy from our source with an id new to us, and was modified since we began |
//! | Put Blob with a precondition | same MD5 and size, modified since we began |
//! | Put Block List | the committed ids are ours, modified since we began |
//! | Append Block | its bytes are at the position where nothing was when we began |
//! | Append Block From URL | the blob has grown by it and no more, modified since we began |
//! | Put Page of a version | the pages are what was written |
//! | Set Metadata or Properties with a precondition | the same values, modified since we began |
//! | Delete | it is gone |
//! | rename in a hierarchical namespace | the old name is gone, and the new one has what was there (`hierarchical.rs`) |
//! | Undelete | what is there has the ETag of what was to come back (`fs/ops/rename/undelete.rs`) |
//! | Abort Copy | that copy is `aborted` |
//! | Create Container | modified since we began |
//! | Release Lease | our id holds no lease |
//! | Snapshot Blob with metadata that no other has | a snapshot has them; of two, one is deleted (`snapshots.rs`) |
//!
//! What cannot be recognised stays the error it was: success is never guessed. Acquiring a lease needs none of this,
//! because the client proposes the id and may acquire it twice; any other snapshot that is taken twice is one too many.

use std::time::{Duration, Instant, SystemTime};

use percent_encoding::percent_decode_str;

/// `Last-Modified` and `Date` are cut to whole seconds.
const RESOLUTION: Duration = Duration::from_secs(1);

/// True if something modified at `last_modified` was modified after `began`. Both times are the service's: `date` is
/// its clock in the answer that told `last_modified`, so that a wrong clock here decides nothing.
pub(super) fn modified_since(began: Instant, date: Option<SystemTime>, last_modified: SystemTime) -> bool {
    let start = date.unwrap_or_else(SystemTime::now).checked_sub(began.elapsed());
    start.is_some_and(|start| last_modified + RESOLUTION >= start)
}

/// True if two source URLs name the same content: signatures differ or are stripped, and encodings may be normalised,
/// but the path and the snapshot or version stay.
pub fn same_source(a: &str, b: &str) -> bool {
    fn identity(url: &str) -> (Vec<u8>, Vec<Vec<u8>>) {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let decode = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
        let moments = query.split('&').filter(|pair| pair.starts_with("snapshot=") || pair.starts_with("versionid="));
        (decode(path), moments.map(decode).collect())
    }
    identity(a) == identity(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modified_since_is_judged_by_the_services_clock() {
        let Some(began) = Instant::now().checked_sub(Duration::from_secs(10)) else { return };
        // The service's clock is a year ahead; the request began ten seconds ago.
        let now = SystemTime::now() + Duration::from_secs(365 * 86_400);
        for (seconds_ago, since) in [(0, true), (5, true), (10, true), (13, false), (3_600, false)] {
            let modified = now - Duration::from_secs(seconds_ago);
            assert_eq!(modified_since(began, Some(now), modified), since, "{seconds_ago} s ago");
        }
    }

    #[test]
    fn sources_are_compared_without_their_signatures() {
        let url = "https://a.blob.core.windows.net/c/copy%20of";
        assert!(same_source(url, "https://a.blob.core.windows.net/c/copy of"));
        assert!(same_source(&format!("{url}?sv=1&sig=x"), url));
        assert!(same_source(
            &format!("{url}?snapshot=2026-11-22T10%3A26&sig=x"),
            &format!("{url}?sv=1&snapshot=2026-11-22T10:26")
        ));
        assert!(!same_source(&format!("{url}?snapshot=1"), url));
        assert!(!same_source(url, "https://b.blob.core.windows.net/c/copy%20of"));
    }
}
