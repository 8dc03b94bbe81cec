//! The words by which a SOURCE is said without being shown, as `blobcp mount` and `blobcp config check` take them.

use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use super::failure::{Failure, about};
use super::handover;
use crate::config::{Environment, SourceText};

/// A SOURCE that is said elsewhere than on the command line, which others can read: `-` is a line of the standard input,
/// `@FILE` the first line of a file, `env:NAME` a variable.
pub(super) fn spelled_out(word: String) -> Result<SourceText, Failure> {
    let said = match word.strip_prefix('@') {
        _ if word == "-" => {
            let mut line = Zeroizing::new(String::new());
            io::stdin().read_line(&mut line).map_err(|error| about("standard input", &error))?;
            SourceText::hidden(&word, line.trim())
        }
        Some(path) => SourceText::of_file(Path::new(path)).map_err(|error| about(path, &error))?,
        None => match word.strip_prefix(handover::OF_VARIABLE) {
            Some(name) => {
                Environment::secret(name).map_or("".into(), |value| SourceText::hidden(&word, value.expose().trim()))
            }
            None => return Ok(word.as_str().into()),
        },
    };
    let text = said.text.expose();
    if text.is_empty() {
        return Err(Failure::usage(format!("{word}: there is no SOURCE in it")));
    }
    // A token alone, or a key: what is wrong with it must not be shown.
    let place = text.split('?').next().unwrap_or_default();
    if !place.contains("://") && (text.contains("sig=") || place.contains(['=', '+', '&'])) {
        return Err(Failure::usage(format!(
            "{word}: a SOURCE is expected in it, an account or a URL, not a key or a token alone"
        )));
    }
    Ok(said)
}
