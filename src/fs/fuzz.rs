//! The parsers of what programs and metadata say of files, for fuzzing ([`crate::fuzz`]).

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::fs::block_ids::BlockIds;
use crate::fs::names::attr::{self, Defaults, FileKind};
use crate::fs::ops::control::metadata_of;
use crate::fs::ops::xattr;
use crate::store::{Block, Metadata};

/// `NAME=VALUE` lines, as names and values of attributes, as `--meta` of COPY, and as the metadata of a blob.
pub(crate) fn attributes(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let told = metadata_of(text).ok().flatten();
    let mut metadata = Metadata::default();
    for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
        let _ = xattr::is_kept(name);
        metadata.set(name, value);
    }
    for metadata in told.iter().chain([&metadata]) {
        let defaults = Defaults { file_mode: 0o644, dir_mode: 0o755, uid: 1, gid: 1, shown: None };
        for size in [0, 5] {
            let kind = attr::kind_in(metadata, size);
            let attr = attr::told_by(kind, metadata, &defaults);
            assert!(attr.mode <= 0o7777, "{:o}", attr.mode);
            // What is written down from it says the same of it.
            let change = attr::AttrChange {
                mode: (kind != FileKind::Symlink).then_some(attr.mode),
                uid: Some(attr.uid),
                gid: Some(attr.gid),
                ..attr::AttrChange::default()
            };
            let mut again = metadata.clone();
            change.apply(kind, &mut again, &defaults);
            let again = attr::told_by(kind, &again, &defaults);
            assert_eq!((again.mode, again.uid, again.gid), (attr.mode, attr.uid, attr.gid));
        }
        let _ = attr::told_to_a_copy(metadata.clone(), Some(&attr::for_copy(metadata, &Metadata::default())));
    }
}

/// Ids beside those that a service says there are differ from them, and have their length.
pub(crate) fn ids_beside(blocks: &[Block]) {
    let ids = BlockIds::beside(blocks);
    let mut met: HashSet<_> = blocks.iter().map(|block| block.id.clone()).collect();
    for _ in 0..3 {
        let Ok(id) = ids.next() else { return };
        let length = |id: &str| BASE64.decode(id).map(|id| id.len()).ok();
        let first = blocks.first().and_then(|block| length(block.id.as_str()));
        assert!(first.is_none_or(|first| length(id.as_str()) == Some(first)), "{id:?} beside {blocks:?}");
        assert!(met.insert(id));
    }
}
