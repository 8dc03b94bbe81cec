//! Names of blobs that this program makes for a moment, to be renamed over another one.
//!
//! Nobody is shown them while they are young. One that has been there for an hour is of a program that ended meanwhile:
//! it is shown, so that it can be removed, and the log says so. Nobody removes it unasked: it may be all that is left of
//! what somebody wrote.

use std::time::{Duration, SystemTime};

use tracing::warn;

use crate::path::{BlobName, BlobPath};
use crate::store::BlobItem;

const START: &str = ".blobcp-write-";

/// Digits behind that.
const DIGITS: usize = 32;

/// Longer than any program may take for the two requests between which such a blob is there.
const MOMENT: Duration = Duration::from_secs(3600);

/// A name of that kind in the directory of `path`, that nobody else has.
pub(in crate::fs) fn beside(path: &BlobPath) -> Option<BlobPath> {
    let directory = path.name.as_str().rfind('/').map_or("", |slash| &path.name.as_str()[..=slash]);
    let name = BlobName::parse(&format!("{directory}{START}{}", uuid::Uuid::new_v4().simple())).ok()?;
    Some(BlobPath::new(path.container.clone(), name))
}

/// True for a blob of that kind that may still be wanted.
pub(in crate::fs) fn is_hidden(item: &BlobItem) -> bool {
    let Some(age) = age_if_ours(item) else { return false };
    if age >= MOMENT {
        warn!(blob = %item.name, "left by a program that ended before it was a file: it can be removed");
    }
    age < MOMENT
}

/// What is there so long that nobody wants it any more.
pub(in crate::fs) fn is_left(item: &BlobItem) -> bool {
    age_if_ours(item).is_some_and(|age| age >= MOMENT)
}

/// The time since a blob of that kind was made.
fn age_if_ours(item: &BlobItem) -> Option<Duration> {
    let name = item.name.as_str().rsplit('/').next().unwrap_or_default();
    let digits = name.strip_prefix(START)?;
    let ours = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit());
    ours.then(|| SystemTime::now().duration_since(item.properties.last_modified).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::names::attr;
    use crate::path::ContainerName;
    use crate::store::{BlobSettings, ETag, Written};

    #[test]
    fn what_is_made_for_a_moment_is_hidden_for_an_hour() {
        let path = |name: &str| BlobPath::new(ContainerName::parse("con").unwrap(), BlobName::parse(name).unwrap());
        for name in ["a", "d/sub/a"] {
            let made = beside(&path(name)).unwrap();
            assert_eq!(
                made.name.as_str().rsplit_once('/').map(|(dir, _)| dir),
                name.rsplit_once('/').map(|(dir, _)| dir)
            );
            let item = |name: &BlobName, age| {
                let written = Written { etag: ETag::new("e"), last_modified: SystemTime::now() - age };
                let properties = attr::just_written(1, BlobSettings::default(), written);
                BlobItem { name: name.clone(), revision: None, properties }
            };
            assert!(is_hidden(&item(&made.name, Duration::ZERO)) && !is_hidden(&item(&made.name, MOMENT)));
            assert!(age_if_ours(&item(&made.name, MOMENT)).is_some_and(|age| age >= MOMENT));
            assert!(!is_hidden(&item(&path(name).name, Duration::ZERO)));
            assert!(age_if_ours(&item(&path(name).name, MOMENT)).is_none());
        }
        assert_ne!(beside(&path("a")), beside(&path("a")));
        let long = path(&format!("d/{}", "x".repeat(1020)));
        assert!(beside(&long).is_some());
    }
}
