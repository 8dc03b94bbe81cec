//! Doors for fuzzing: the parsers of bytes that come from outside, each as a function of those bytes.
//!
//! There is no such module in the program: it is compiled for tests, which run the corpora in `tests/fuzz/corpus`, and
//! with `--cfg fuzzing` for `tests/fuzz`, which looks for more. A target panics where a parser does, and where what it
//! returns breaks what its callers stand on: a name that is not below what was listed, a gap in what is read, a secret
//! in what is shown.

use crate::{cli, config, fs, fuse, path, store};

/// A parser, or several of the same bytes.
pub type Target = fn(&[u8]);

/// All targets, by the names of their corpora.
pub const TARGETS: &[(&str, Target)] = &[
    ("listings", store::fuzz::listings),
    ("documents", documents),
    ("refusals", store::fuzz::refusals),
    ("headers", store::fuzz::headers),
    ("spelling", store::fuzz::spelling),
    ("credentials", store::fuzz::credentials),
    ("urls", store::fuzz::urls),
    ("config", config::fuzz::file),
    ("source", config::fuzz::source),
    ("command", config::fuzz::command),
    ("attributes", fs::fuzz::attributes),
    ("ioctls", fuse::fuzz::ioctls),
    ("options", cli::fuzz::options),
    ("words", cli::fuzz::words),
    ("names", names),
];

/// Block lists, with ids that are made beside them, and other documents.
fn documents(data: &[u8]) {
    if let Some(blocks) = store::fuzz::documents(data) {
        fs::fuzz::ids_beside(&blocks);
    }
}

/// Names of blobs and containers: what is taken for one comes back from its encoded form.
fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = (path::ContainerName::parse(text), path::AccountName::parse(text));
    let _ = (path::is_folded(text), path::is_folded_in_url(text));
    if let Ok(name) = path::BlobName::parse(text) {
        let encoded = name.encoded().to_string();
        assert!(encoded.is_ascii(), "{encoded}");
        let decoded = percent_encoding::percent_decode_str(&encoded).decode_utf8();
        assert_eq!(decoded.as_deref(), Ok(name.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_corpora_are_parsed() {
        let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
        let mut names: Vec<_> = fs::read_dir(&corpora).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        let mut known: Vec<_> = TARGETS.iter().map(|(name, _)| std::ffi::OsString::from(name)).collect();
        known.sort();
        assert_eq!(names, known, "each target has a corpus, and nothing else is there");
        for (name, target) in TARGETS {
            let files: Vec<_> = fs::read_dir(corpora.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(files.len() > 1, "{name} has examples");
            for file in files {
                let data = fs::read(&file).unwrap();
                assert!(data.len() <= 4096, "{} is small", file.display());
                target(&data);
                // And what is left of it when a part got lost.
                for end in 0..data.len() {
                    target(&data[..end]);
                }
            }
        }
    }
}
