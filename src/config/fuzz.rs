//! The parsers of what a user configures, for fuzzing ([`crate::fuzz`]).

use std::path::Path;

use crate::config::command::words;
use crate::config::source::MountSource;
use crate::config::{Environment, File, KnownAccounts};

/// The configuration file. Its errors are one line each.
pub(crate) fn file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let file = match File::parse(Path::new("/config.toml"), text) {
        Ok(file) => file,
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "{error}");
            return;
        }
    };
    let environment = Environment::default();
    let _ = KnownAccounts::new(&environment, &file).map(drop);
}

/// SOURCE of a mount. What is said of one shows no signature.
pub(crate) fn source(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (environment, file) = (Environment::default(), File::default());
    let Ok(known) = KnownAccounts::new(&environment, &file) else { return };
    let shown = match MountSource::parse(text, &known) {
        Ok(source) => {
            assert!(source.prefix.is_empty() || source.prefix.ends_with('/'));
            source.label
        }
        Err(error) => crate::secrets::scrubbed(&error.to_string()).into_owned(),
    };
    let shown = shown.to_ascii_lowercase();
    // Not in a path: a blob may have any name.
    let query = shown.split_once('?').map_or("", |(_, query)| query);
    assert!(!query.contains("sig="), "{text:?} shows as {shown:?}");
}

/// Words of `credential_command`.
pub(crate) fn command(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(words) = words(text) {
        assert!(words.first().is_some_and(|program| !program.is_empty()));
    }
}
