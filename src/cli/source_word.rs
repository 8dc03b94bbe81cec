//! The words by which a SOURCE is said without being shown, as `blobcp mount` and `blobcp config check` take them.

use std::io;

use super::failure::{Failure, about};
use super::handover;
use crate::config::Environment;

/// A SOURCE that is said elsewhere than on the command line, which others can read: `-` is a line of the standard input,
/// `@FILE` the first line of a file, `env:NAME` a variable.
pub(super) fn spelled_out(word: String) -> Result<String, Failure> {
    let first_line = |text: io::Result<String>, of: &str| match text {
        Ok(text) => Ok(text.lines().next().unwrap_or_default().trim().to_owned()),
        Err(error) => Err(about(of, &error)),
    };
    let text = match word.strip_prefix('@') {
        _ if word == "-" => {
            let mut line = String::new();
            first_line(io::stdin().read_line(&mut line).map(|_| line), "standard input")?
        }
        Some(path) => first_line(std::fs::read_to_string(path), path)?,
        None => match word.strip_prefix(handover::OF_VARIABLE) {
            Some(name) => {
                let value = Environment::secret(name);
                value.map(|value| value.expose().trim().to_owned()).unwrap_or_default()
            }
            None => return Ok(word),
        },
    };
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
    Ok(text)
}
