//! Users and groups, by number or by the name that this machine has for them.

use std::ffi::CString;

use serde::Deserializer;
use serde::de::Error as _;

use crate::config::setting::scalar;

/// Bytes for an entry of the machine's tables, which names all members of a group: as much as any has.
const ENTRY: usize = 1 << 20;

/// The number of a user.
pub(super) fn user(text: &str) -> Result<u32, String> {
    number(text, "user", |name, buffer| {
        let mut entry = std::mem::MaybeUninit::uninit();
        let mut found = std::ptr::null_mut();
        // SAFETY: all pointers are valid for the call, and the length is the buffer's.
        unsafe {
            libc::getpwnam_r(name.as_ptr(), entry.as_mut_ptr(), buffer.as_mut_ptr().cast(), buffer.len(), &mut found);
            found.as_ref().map(|entry| entry.pw_uid)
        }
    })
}

/// The number of a group.
pub(super) fn group(text: &str) -> Result<u32, String> {
    number(text, "group", |name, buffer| {
        let mut entry = std::mem::MaybeUninit::uninit();
        let mut found = std::ptr::null_mut();
        // SAFETY: all pointers are valid for the call, and the length is the buffer's.
        unsafe {
            libc::getgrnam_r(name.as_ptr(), entry.as_mut_ptr(), buffer.as_mut_ptr().cast(), buffer.len(), &mut found);
            found.as_ref().map(|entry| entry.gr_gid)
        }
    })
}

fn number(text: &str, what: &str, look: impl Fn(&CString, &mut [u8]) -> Option<u32>) -> Result<u32, String> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let name = CString::new(text).ok().filter(|_| !text.is_empty());
    let found = name.and_then(|name| look(&name, &mut vec![0; ENTRY]));
    found.ok_or_else(|| format!("this machine knows no {what} of that name, and it is no number"))
}

pub(super) fn user_field<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    user(&scalar(from)?).map(Some).map_err(D::Error::custom)
}

pub(super) fn group_field<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    group(&scalar(from)?).map(Some).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_mean_the_same() {
        assert_eq!((user("root"), group("root"), user("4711"), group("0")), (Ok(0), Ok(0), Ok(4711), Ok(0)));
        for wrong in ["no such user", "", "-1", "a\0b"] {
            assert!(user(wrong).is_err() && group(wrong).is_err(), "{wrong:?}");
        }
    }
}
