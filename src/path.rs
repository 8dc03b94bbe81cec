//! Names, parsed once and then trusted.
//!
//! A string from a command line, a directory entry or a listing becomes one of these types at the edge, where a precise
//! error can still be given; below that edge nothing takes a bare `&str` for a name. The rules are those of the service
//! (specification §1.3): what it would refuse is refused here, before a request is sent.
//!
//! [`BlobPath`] is a blob inside an account; which account is said by the client that it is given to. [`BlobName`] also
//! knows how it is written in a request line, in a string to sign and in a copy source, which must be the same bytes.

use std::fmt;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Characters that §1.4 leaves unencoded in a path: letters, digits, `-._~` and the separator.
pub(crate) const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Longest blob name, in UTF-16 units as the service counts (S205): see [`length`].
pub const MAX_BLOB_NAME: usize = 1024;
/// Longest container name (§1.3).
pub const MAX_CONTAINER_NAME: usize = 63;
/// Most path segments in a blob name, in a flat account (S205). A hierarchical one takes fewer (S195) and says so
/// itself.
pub const MAX_SEGMENTS: usize = 255;

/// A name that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// An account name that no service has.
    #[error("account name {0:?} must be 3 to 24 characters from a-z and 0-9 (an emulator's may be longer)")]
    Account(String),
    /// A container name against the rules of §1.3.
    #[error(
        "container name {0:?} must be 3 to 63 characters from a-z, 0-9 and single dashes, starting and ending with a letter or digit"
    )]
    Container(String),
    /// No bytes, or more than [`MAX_BLOB_NAME`] or [`MAX_SEGMENTS`].
    #[error("a blob name holds 1 to {MAX_BLOB_NAME} UTF-16 units and at most {MAX_SEGMENTS} segments")]
    TooLong,
    /// A name that the service takes for another one (S203, S204).
    #[error(
        "{0:?} means another blob: the service takes a backslash for a slash, and drops dots at the end of a path segment"
    )]
    Folded(String),
    /// A character that the service refuses (S205).
    #[error("blob name {0:?} has a character that the service does not take")]
    Unrepresentable(String),
}

/// A storage account, `[a-z0-9]{3,24}`. Emulators allow more, so the length is only bounded loosely.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountName(Arc<str>);

impl AccountName {
    /// Checks a name against the rules above.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let legal =
            (3..=63).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        legal.then(|| Self(name.into())).ok_or_else(|| NameError::Account(name.to_owned()))
    }
}

/// A container: 3 to 63 of `[a-z0-9-]`, no double dash, or one of `$root`, `$web`, `$logs`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerName(Arc<str>);

impl ContainerName {
    /// Checks a name against the rules above.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let ordinary = (3..=MAX_CONTAINER_NAME).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && edge(name.bytes().next())
            && edge(name.bytes().last())
            && !name.contains("--");
        if ordinary || ["$root", "$web", "$logs"].contains(&name) {
            Ok(Self(name.into()))
        } else {
            Err(NameError::Container(name.to_owned()))
        }
    }
}

/// The name of a blob inside its container: 1 to 1024 UTF-16 units, `/` between segments.
///
/// The service takes some names for others (S203, S204): `a\b` is `a/b` to it, and `a.` is `a`. Whoever sent such a
/// name would read, overwrite or delete a blob that he did not name, so there is no `BlobName` of it. That goes for `.`
/// and `..` as well, which no URL can carry, for every HTTP stack resolves them. Control characters are refused by the
/// service, and so are U+0081 and U+E000 (§1.3, S205).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobName(Arc<str>);

impl BlobName {
    /// Checks a name against the rules above.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        // Bytes are never fewer than units, and cost nothing to count.
        let too_long = name.len() > MAX_BLOB_NAME && length(name) > MAX_BLOB_NAME;
        if name.is_empty() || too_long || name.split('/').count() > MAX_SEGMENTS {
            return Err(NameError::TooLong);
        }
        if is_folded(name) {
            return Err(NameError::Folded(name.to_owned()));
        }
        if name.chars().any(|c| matches!(c, '\0'..='\u{1f}' | '\u{7f}' | '\u{81}' | '\u{e000}')) {
            return Err(NameError::Unrepresentable(name.to_owned()));
        }
        Ok(Self(name.into()))
    }

    /// Percent-encoded as in a request line (§1.4).
    pub fn encoded(&self) -> String {
        utf8_percent_encode(&self.0, PATH).to_string()
    }
}

/// The known word that was probably meant by one that is not known: with one slip of the fingers, or two in a longer
/// word. Case does not matter.
pub(crate) fn meant<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let slips = if typed.len() < 5 { 1 } else { 2 };
    let near = known.into_iter().map(|word| (slips_between(typed, word), word));
    near.filter(|(count, _)| *count <= slips).min_by_key(|(count, _)| *count).map(|(_, word)| word)
}

/// Letters that were left out, added, mistaken or exchanged with the next.
fn slips_between(one: &str, other: &str) -> usize {
    let letters = |text: &str| text.to_ascii_lowercase().chars().collect::<Vec<_>>();
    let (one, other) = (letters(one), letters(other));
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut now = vec![row + 1];
        for (column, wanted) in other.iter().enumerate() {
            let mistaken = last[column] + usize::from(letter != wanted);
            let mut least = mistaken.min(last[column + 1] + 1).min(now[column] + 1);
            if row > 0 && column > 0 && *letter == other[column - 1] && one[row - 1] == *wanted {
                least = least.min(before[column - 1] + 1);
            }
            now.push(least);
        }
        before = std::mem::replace(&mut last, now);
    }
    last[other.len()]
}

/// Length of a name as the service counts it, in UTF-16 units: what is outside of Unicode's first plane counts twice.
pub fn length(name: &str) -> usize {
    name.encode_utf16().count()
}

/// Whether the service would take this path for another one (S203, S204).
pub fn is_folded(path: &str) -> bool {
    path.contains('\\') || path.split('/').any(|segment| segment.ends_with('.'))
}

/// [`is_folded`] for the path of a URL.
pub fn is_folded_in_url(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.split_once('/').map_or("", |(_, path)| path).split(['?', '#']).next().unwrap_or_default();
    is_folded(&percent_decode_str(path).decode_utf8_lossy())
}

/// A blob within an account.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobPath {
    /// Where it is.
    pub container: ContainerName,
    /// Its name there.
    pub name: BlobName,
}

impl BlobPath {
    /// Joins the two.
    pub fn new(container: ContainerName, name: BlobName) -> Self {
        Self { container, name }
    }

    /// `CONTAINER/BLOB` for a name that stands beside this one, in the same container.
    pub fn sibling(&self, name: &str) -> Result<Self, NameError> {
        Ok(Self { container: self.container.clone(), name: BlobName::parse(name)? })
    }
}

/// Newtypes of text: that text for whoever asks, and shown as that text, quoted where it is for a programmer.
macro_rules! shown_as_text {
    ($($name:ident),*) => {$(
        impl $name {
            /// The text itself, as it was parsed.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    )*};
}
pub(crate) use shown_as_text;

/// Types that show a programmer what they show everybody.
macro_rules! debug_as_display {
    ($($name:ident),*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
    )*};
}
pub(crate) use debug_as_display;

shown_as_text!(AccountName, ContainerName, BlobName);
debug_as_display!(BlobPath);

impl fmt::Display for BlobPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.container, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_with_a_slip_of_the_fingers_is_known() {
        let known = ["AccountKey", "AccountName", "acct"];
        for (typed, expected) in [
            ("AccountKeyy", Some("AccountKey")),
            ("acountname", Some("AccountName")),
            ("AccuontName", Some("AccountName")),
            ("act", Some("acct")),
            ("other", None),
            ("ab", None),
        ] {
            assert_eq!(meant(typed, known), expected, "{typed}");
        }
    }

    #[test]
    fn container_names_follow_the_service() {
        for good in ["abc", "a-b-c", "123", "$root", "$web", &"x".repeat(63)] {
            assert!(ContainerName::parse(good).is_ok(), "{good}");
        }
        for bad in ["ab", "Abc", "a--b", "-ab", "ab-", "a_b", "$other", &"x".repeat(64)] {
            assert!(ContainerName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn blob_names_count_utf_16_units() {
        // S205
        assert!(BlobName::parse(&"ü".repeat(1024)).is_ok());
        assert_eq!(BlobName::parse(&"ü".repeat(1025)), Err(NameError::TooLong));
        assert!(BlobName::parse(&"😀".repeat(512)).is_ok());
        assert_eq!(BlobName::parse(&format!("{}x", "😀".repeat(512))), Err(NameError::TooLong));
        assert_eq!(BlobName::parse(""), Err(NameError::TooLong));
        assert!(BlobName::parse(&vec!["a"; 255].join("/")).is_ok());
        assert_eq!(BlobName::parse(&vec!["a"; 256].join("/")), Err(NameError::TooLong));
    }

    #[test]
    fn blob_names_that_the_service_refuses_are_refused() {
        // S205
        for bad in ["tab\there", "\u{1}", "del\u{7f}", "\u{81}", "x\u{e000}"] {
            assert!(matches!(BlobName::parse(bad), Err(NameError::Unrepresentable(_))), "{bad:?}");
        }
        for good in ["a//b", "dir/", "/lead", "q?x#y", "…", "\u{85}", "x\u{fffe}", "\u{ffff}x", " a ", "..x", "a.b"] {
            assert!(BlobName::parse(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn blob_names_that_mean_another_blob_are_refused() {
        // S203, S204
        for bad in
            ["a\\b", "\\", "a/b\\", "trail.", "trail..", "...", "seg./x", "a/seg../x", "dir./", "a/../b", ".", "a/."]
        {
            assert!(matches!(BlobName::parse(bad), Err(NameError::Folded(_))), "{bad:?}");
        }
    }

    #[test]
    fn urls_that_mean_another_blob_are_known() {
        for bad in
            ["a\\b", "a%5Cb", "a%5cb", "trail.", "trail%2E?sv=1", "seg./x", "seg../x#f", "../x", "a/./b", "%5c?x=1"]
        {
            assert!(is_folded_in_url(&format!("https://a.example/c/{bad}")), "{bad}");
        }
        for good in ["", "a%255Cb", "a?x=%5C&y=.", "a#.", ".lead/..x", "a.b"] {
            assert!(!is_folded_in_url(&format!("https://a.example./c/{good}")), "{good}");
        }
        assert!(!is_folded_in_url("https://a.example."));
    }

    #[test]
    fn encoding_is_that_of_a_request_line() {
        let name = BlobName::parse("copy of a/ü+#?%&~.txt").unwrap();
        assert_eq!(name.encoded(), "copy%20of%20a/%C3%BC%2B%23%3F%25%26~.txt");
    }
}
