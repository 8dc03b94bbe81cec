//! The versions of the protocol, which are dates and compare as text.

/// The version assumed when a request names none.
pub(super) const DEFAULT: &str = "2025-11-05";

/// Since this one anonymous requests and malformed tokens get 401 (S143, S201). In which of the versions after
/// 2018-11-09 that began is not known.
pub(super) const UNAUTHORIZED: &str = "2019-02-02";

/// Since this one a source that cannot be read is told by headers of its own (S17, S18).
pub(super) const SOURCE_ERRORS: &str = "2024-08-04";

/// Since this one the answer to a rename has `ETag` and `Last-Modified` (S117). In which of the versions after 2020-02-10
/// and until 2021-08-06 that began is not known.
pub(super) const RENAME_STAMPS: &str = "2020-04-08";

/// The last one in which Delete Blob of a directory with `x-ms-delete-snapshots` was seen to end in a 500 (S133).
pub(super) const DIRECTORY_DELETE_FAILS: &str = "2018-11-09";

/// All that there are, oldest first; those of the DFS endpoint too.
const ALL: [&str; 52] = [
    "2009-07-17",
    "2009-09-19",
    "2011-08-18",
    "2012-02-12",
    "2013-08-15",
    "2014-02-14",
    "2015-02-21",
    "2015-04-05",
    "2015-07-08",
    "2015-12-11",
    "2016-05-31",
    "2017-04-17",
    "2017-07-29",
    "2017-11-09",
    "2018-03-28",
    "2018-06-17",
    "2018-11-09",
    "2019-02-02",
    "2019-07-07",
    "2019-10-10",
    "2019-10-31",
    "2019-12-12",
    "2020-02-10",
    "2020-04-08",
    "2020-06-12",
    "2020-08-04",
    "2020-10-02",
    "2020-12-06",
    "2021-02-12",
    "2021-04-10",
    "2021-06-08",
    "2021-08-06",
    "2021-10-04",
    "2021-12-02",
    "2022-11-02",
    "2023-01-03",
    "2023-05-03",
    "2023-08-03",
    "2023-11-03",
    "2024-02-04",
    "2024-05-04",
    "2024-08-04",
    "2024-11-04",
    "2025-01-05",
    "2025-05-05",
    "2025-07-05",
    "2025-11-05",
    "2026-02-06",
    "2026-04-06",
    "2026-06-06",
    "2026-10-06",
    "2026-12-06",
];

/// Whether there is such a version (S151).
pub(super) fn exists(version: &str) -> bool {
    ALL.contains(&version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_known_and_in_order() {
        assert!(ALL.is_sorted());
        let named = [DEFAULT, UNAUTHORIZED, SOURCE_ERRORS, RENAME_STAMPS, DIRECTORY_DELETE_FAILS];
        assert!(named.iter().all(|version| ALL.contains(version)));
        for wrong in ["", "1999-01-01", "2025-11-06", "2099-01-01", "2025-11-05 "] {
            assert!(!exists(wrong), "{wrong:?}");
        }
    }
}
