//! The parsers of words that others put together, for fuzzing ([`crate::fuzz`]).

use std::ffi::OsString;

use crate::cli::mount_helper::translate;
use crate::cli::mount_options::MountOptions;
use crate::secrets;

/// `-o` options, as mount(8) hands them on, one list a line.
pub(crate) fn options(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lists: Vec<String> = text.lines().map(str::to_owned).collect();
    if let Err(what) = MountOptions::parse(&lists) {
        assert!(!what.is_empty());
    }
    let words = || text.split_whitespace().map(OsString::from);
    let commands = ["mount".to_owned(), "cp".to_owned()];
    let _ = translate(["/sbin/mount.fuse.blobcp".into()].into_iter().chain(words()).collect(), &commands);
    let _ = translate(["blobcp".into()].into_iter().chain(words()).collect(), &commands);
}

/// Words of a command line: what is shown of one has no secret in it any more.
pub(crate) fn words(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for word in text.split_whitespace() {
        if let Some(shown) = secrets::cut(word) {
            assert_eq!(secrets::cut(&shown), None, "{word:?} shows as {shown:?}");
        }
    }
    let shown = secrets::scrubbed(text);
    assert_eq!(secrets::scrubbed(&shown), shown, "{text:?}");
}
