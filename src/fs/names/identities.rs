//! Owners of paths as the service has them, shown as users and groups of this machine.
//!
//! The service knows identities by GUIDs, and by names such as `$superuser`; which of them is who here, the configuration
//! says. What is shown binds nobody here: whoever has the account's key may do what a mode forbids, and whoever asks with
//! a token is refused by the service itself.

use std::collections::BTreeMap;

/// User and group of what belongs to somebody whom the configuration does not name: nobody, as Linux has it.
const NOBODY: u32 = 65534;

/// User and group ids by the identities of the service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identities(BTreeMap<String, u32>);

impl FromIterator<(String, u32)> for Identities {
    fn from_iter<I: IntoIterator<Item = (String, u32)>>(ids: I) -> Self {
        Self(ids.into_iter().map(|(name, id)| (name.to_ascii_lowercase(), id)).collect())
    }
}

impl Identities {
    /// The user or group of that name.
    pub(super) fn id_of(&self, name: &str) -> u32 {
        self.0.get(&name.to_ascii_lowercase()).copied().unwrap_or(NOBODY)
    }
}

/// `rwxr-x---`, with `t` for the last `x` where the sticky bit is set, `T` without it, and perhaps a plus.
pub(super) fn mode_of(permissions: &str) -> Option<u32> {
    let letters: Vec<char> = permissions.trim_end_matches('+').chars().collect();
    let bit = |(at, letter): (usize, &char)| match (letter, at % 3) {
        ('-', _) => Some(0),
        ('r', 0) | ('w', 1) | ('x', 2) => Some(1 << (8 - at)),
        ('t', 2) if at == 8 => Some(0o1001),
        ('T', 2) if at == 8 => Some(0o1000),
        _ => None,
    };
    let mut bits = letters.iter().enumerate().map(bit);
    (letters.len() == 9).then(|| bits.try_fold(0, |mode, bit| Some(mode | bit?))).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("rwxr-x---", Some(0o750))]
    #[case("rw-r-----+", Some(0o640))]
    #[case("rwxrwxrwt", Some(0o1777))]
    #[case("rwxrwxrwT", Some(0o1776))]
    #[case("--x--x--x", Some(0o111))]
    #[case("rwx", None)]
    #[case("rwxrwxrwz", None)]
    #[case("", None)]
    fn permissions_are_modes(#[case] permissions: &str, #[case] mode: Option<u32>) {
        assert_eq!(mode_of(permissions), mode);
    }
}
