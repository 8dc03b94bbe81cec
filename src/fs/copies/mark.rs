//! The mark by which a snapshot is known for one that keeps what a copy replaces: a name of its metadata.
//!
//! A snapshot has metadata of its own if any are sent with it (§11), so the mark costs no request; the rest of them are
//! the blob's. The value says which process took it and when it did so, of which blob and of which version. A copy of such a snapshot that
//! other programs made brings the mark along under another name; then the blob is not the one that it names.

use sha2::{Digest, Sha256};

use crate::fs::journal::Entry;
use crate::fs::names::attr::BACKUP;
use crate::fs::names::tree::Blob;
use crate::store::{ETag, Metadata};

/// Form of the value.
const FORM: &str = "1";

/// What the mark of a snapshot says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Id of the journal of the process that took it.
    pub journal: String,
    /// What is under way there by that number, which no other snapshot has.
    pub serial: u64,
    of: String,
    /// The version that was to be replaced.
    pub etag: ETag,
}

impl Mark {
    /// Of what is begun by that entry of a journal.
    pub(crate) fn new(entry: &Entry, blob: &Blob, etag: &ETag) -> Self {
        let (journal, serial) = (entry.journal().to_owned(), entry.serial());
        Self { journal, serial, of: short(blob), etag: etag.clone() }
    }

    /// The mark among the metadata of a snapshot of that blob.
    pub(crate) fn of(blob: &Blob, metadata: &Metadata) -> Option<Self> {
        let mut parts = metadata.get(BACKUP)?.split(' ');
        let (form, journal, serial) = (parts.next()?, parts.next()?.to_owned(), parts.next()?.parse().ok()?);
        let mark = Self { journal, serial, of: parts.next()?.to_owned(), etag: ETag::new(parts.next()?) };
        (form == FORM && parts.next().is_none() && mark.of == short(blob)).then_some(mark)
    }

    /// The metadata of a snapshot of what has these.
    pub(crate) fn beside(&self, metadata: &Metadata) -> Metadata {
        let mut marked = metadata.clone();
        marked.set(BACKUP, format!("{FORM} {} {} {} {}", self.journal, self.serial, self.of, self.etag));
        marked
    }
}

/// Tells a blob from others, in few letters.
fn short(blob: &Blob) -> String {
    let digest = Sha256::digest(format!("{}/{}", blob.path.container, blob.path.name.as_str()));
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fs::journal::{Intent, Journal, Named};
    use crate::fs::names::tree::{AccountId, BlobDir};
    use crate::path::ContainerName;

    #[test]
    fn a_mark_is_read_of_its_own_blob_only() {
        let dir =
            BlobDir { account: AccountId(0), container: ContainerName::parse("con").unwrap(), prefix: "d/".into() };
        let (blob, other) = (dir.blob("a").unwrap(), dir.blob("b").unwrap());
        let entry = |of: &Blob| {
            let of = Named { account: "http://a".into(), container: "con".into(), name: of.path.name.as_str().into() };
            Arc::new(Journal::default()).begin(Intent::Backup { of })
        };
        let mark = Mark::new(&entry(&blob), &blob, &ETag::new("\"0x8D\""));
        let own: Metadata = [("Who", "me")].into_iter().collect();
        let marked = mark.beside(&own);
        assert_eq!(marked.get("Who"), Some("me"));
        assert_eq!(Mark::of(&blob, &marked), Some(mark));
        assert_eq!((Mark::of(&other, &marked), Mark::of(&blob, &own)), (None, None));
        for wrong in ["", "1", "1 a 1 b", "2 0123 1 x 0x8D", "1 0123 one x 0x8D", "1 0123 1 x 0x8D more"] {
            let metadata: Metadata = [(BACKUP, wrong)].into_iter().collect();
            assert_eq!(Mark::of(&blob, &metadata), None, "{wrong}");
        }
    }
}
