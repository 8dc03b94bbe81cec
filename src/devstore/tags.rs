//! Index tags: limits and the `x-ms-tags` header. What is asked about them is a [`predicate`](super::predicate).

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::error::{Code, ServiceError};

/// Index tags of one blob.
pub(super) type Tags = BTreeMap<String, String>;

/// §1.3: how many tags a blob may have, and how long their parts may be.
pub(super) const TAGS: usize = 10;
pub(super) const KEY_CHARACTERS: usize = 128;
pub(super) const VALUE_CHARACTERS: usize = 256;

/// Whether keys and values can hold all characters of a text.
pub(super) fn is_legal(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || " +-./:=_".contains(c))
}

/// Checks number, length and characters of tags.
pub(super) fn check(tags: Tags) -> Result<Tags, ServiceError> {
    if tags.len() > TAGS {
        return Err(Code::TagsTooLarge.into());
    }
    for (key, value) in &tags {
        let lengths = (1..=KEY_CHARACTERS).contains(&key.len()) && value.len() <= VALUE_CHARACTERS;
        if !lengths || !is_legal(key) || !is_legal(value) {
            return Err(ServiceError::from(Code::InvalidInput).with_message("The tags specified are invalid."));
        }
    }
    Ok(tags)
}

/// Reads the `x-ms-tags` header: `k=v&k2=v2`, URL-encoded.
pub(super) fn from_header(text: &str) -> Result<Tags, ServiceError> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key), decode(value))
    });
    check(pairs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let eleven: Tags = (0..11).map(|n| (format!("k{n}"), String::new())).collect();
        assert_eq!(check(eleven).unwrap_err().code, "TagsTooLarge");
        assert_eq!(from_header("a=b%20c&d=").unwrap()["a"], "b c");
        let quoted = from_header("stage=final&count=07&owner=it%27s").unwrap_err();
        assert_eq!(quoted.code, "InvalidInput", "a quote is no tag character");
    }
}
