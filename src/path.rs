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

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What §1.4 leaves unencoded in a path: letters, digits, `-._~` and the separator.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Longest blob name, in characters (§1.3).
pub const MAX_BLOB_NAME: usize = 1024;
/// Longest container name (§1.3).
pub const MAX_CONTAINER_NAME: usize = 63;
/// Most path segments in a blob name (§1.3).
pub const MAX_SEGMENTS: usize = 254;

/// Why a name cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("account name {0:?} must be 3 to 24 characters from a-z and 0-9 (an emulator's may be longer)")]
    Account(String),
    #[error(
        "container name {0:?} must be 3 to 63 characters from a-z, 0-9 and single dashes, starting and ending with a letter or digit"
    )]
    Container(String),
    #[error("a blob name holds 1 to {MAX_BLOB_NAME} characters and at most {MAX_SEGMENTS} segments")]
    TooLong,
    #[error("blob name {0:?} has a character or segment that the service or a URL cannot carry")]
    Unrepresentable(String),
}

/// A storage account, `[a-z0-9]{3,24}`. Emulators allow more, so the length is only bounded loosely.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountName(Arc<str>);

impl AccountName {
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let legal =
            (3..=63).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        legal.then(|| Self(name.into())).ok_or_else(|| NameError::Account(name.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A container: 3 to 63 of `[a-z0-9-]`, no double dash, or one of `$root`, `$web`, `$logs`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerName(Arc<str>);

impl ContainerName {
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

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a blob inside its container: 1 to 1024 characters, `/` between segments.
///
/// Names with a `.` or `..` segment exist on the service but no URL can carry them (every HTTP stack resolves them), and
/// no path can either; control characters and U+FFFE/U+FFFF are refused by the service.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobName(Arc<str>);

impl BlobName {
    pub fn parse(name: &str) -> Result<Self, NameError> {
        if name.is_empty() || name.chars().count() > MAX_BLOB_NAME || name.split('/').count() > MAX_SEGMENTS {
            return Err(NameError::TooLong);
        }
        let bad_char =
            |c: char| c <= '\u{1f}' || c == '\u{81}' || c == '\u{e000}' || c == '\u{fffe}' || c == '\u{ffff}';
        if name.chars().any(bad_char) || name.split('/').any(|s| s == "." || s == "..") {
            return Err(NameError::Unrepresentable(name.to_owned()));
        }
        Ok(Self(name.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Percent-encoded as in a request line (§1.4).
    pub fn encoded(&self) -> String {
        utf8_percent_encode(&self.0, PATH).to_string()
    }
}

/// A blob within an account.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobPath {
    pub container: ContainerName,
    pub name: BlobName,
}

impl BlobPath {
    pub fn new(container: ContainerName, name: BlobName) -> Self {
        Self { container, name }
    }

    /// `CONTAINER/BLOB` for a name that stands beside this one, in the same container.
    pub fn sibling(&self, name: &str) -> Result<Self, NameError> {
        Ok(Self { container: self.container.clone(), name: BlobName::parse(name)? })
    }
}

/// Newtypes of text that show themselves as that text, quoted where it is for a programmer.
macro_rules! shown_as_text {
    ($($name:ident),*) => {$(
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

shown_as_text!(AccountName, ContainerName, BlobName);

impl fmt::Display for BlobPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.container, self.name)
    }
}

impl fmt::Debug for BlobPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn blob_names_count_characters_not_bytes() {
        assert!(BlobName::parse(&"ü".repeat(1024)).is_ok());
        assert_eq!(BlobName::parse(&"ü".repeat(1025)), Err(NameError::TooLong));
        assert_eq!(BlobName::parse(""), Err(NameError::TooLong));
        assert_eq!(BlobName::parse(&vec!["a"; 255].join("/")), Err(NameError::TooLong));
    }

    #[test]
    fn blob_names_that_no_url_carries_are_refused() {
        for bad in ["a/../b", ".", "a/.", "tab\there", "x\u{fffe}"] {
            assert!(matches!(BlobName::parse(bad), Err(NameError::Unrepresentable(_))), "{bad:?}");
        }
        for good in ["a//b", "dir/", "trail.", "q?x#y", "a\\b", "…", "..."] {
            assert!(BlobName::parse(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn encoding_is_that_of_a_request_line() {
        let name = BlobName::parse("copy of a/ü+#?%&~.txt").unwrap();
        assert_eq!(name.encoded(), "copy%20of%20a/%C3%BC%2B%23%3F%25%26~.txt");
    }
}
