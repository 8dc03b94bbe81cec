//! Owners and access lists of a hierarchical namespace (S134).
//!
//! They are kept, shown and changed as the service does it; nobody is refused anything for them, because who asks here
//! has a key, or a right that the list does not bind.

use super::error::{Code, ServiceError};

/// The owner of what is made with the account's key.
const SUPERUSER: &str = "$superuser";

/// The permissions that no new path has, unless the request says otherwise.
const UMASK: u16 = 0o027;

/// Owner, group and access list of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Access {
    pub owner: String,
    pub group: String,
    /// The nine bits of owner, owning group and others.
    mode: u16,
    /// Entries of the access list beside those three, as they were sent.
    named: Vec<String>,
}

impl Default for Access {
    fn default() -> Access {
        Access { owner: SUPERUSER.into(), group: SUPERUSER.into(), mode: 0o666 & !UMASK, named: Vec::new() }
    }
}

impl Access {
    pub(super) fn of_a_directory() -> Access {
        Access { mode: 0o777 & !UMASK, ..Access::default() }
    }

    /// `rwxr-x---`, and a `+` where the list has more than that.
    pub(super) fn permissions(&self) -> String {
        let more = if self.named.is_empty() { "" } else { "+" };
        format!("{}{}{}{more}", letters(self.mode >> 6), letters(self.mode >> 3), letters(self.mode))
    }

    /// `user::rwx,group::r-x,other::---` and what else there is.
    pub(super) fn list(&self) -> String {
        let Access { mode, named, .. } = self;
        let own = [("user", mode >> 6), ("group", mode >> 3), ("other", *mode)];
        let own = own.map(|(class, bits)| format!("{class}::{}", letters(bits)));
        own.iter().chain(named).map(String::as_str).collect::<Vec<_>>().join(",")
    }

    /// What the headers of a request make of these, by their names. Permissions and a list exclude each other.
    pub(super) fn changed<'a>(mut self, header: impl Fn(&str) -> Option<&'a str>) -> Result<Access, ServiceError> {
        let sent = |name: &str| header(name).filter(|value| !value.is_empty());
        self.owner = sent("x-ms-owner").unwrap_or(&self.owner).to_owned();
        self.group = sent("x-ms-group").unwrap_or(&self.group).to_owned();
        match (sent("x-ms-permissions"), sent("x-ms-acl")) {
            (Some(_), Some(_)) => return Err(Code::InvalidInput.into()),
            (Some(text), None) => {
                let invalid = || ServiceError::invalid_header("x-ms-permissions", text);
                self.mode = mode_of(text).ok_or_else(invalid)?;
            }
            (None, Some(text)) => {
                let invalid = || ServiceError::invalid_header("x-ms-acl", text);
                (self.mode, self.named) = entries_of(text).ok_or_else(invalid)?;
            }
            (None, None) => {}
        }
        Ok(self)
    }
}

fn letters(bits: u16) -> String {
    [(4, 'r'), (2, 'w'), (1, 'x')].map(|(bit, letter)| if bits & bit != 0 { letter } else { '-' }).iter().collect()
}

/// `rwx`, `r--` and the like.
fn bits_of(text: &str) -> Option<u16> {
    let one = |(letter, (known, bit))| match letter {
        '-' => Some(0),
        letter if letter == known => Some(bit),
        _ => None,
    };
    let mut bits = text.chars().zip([('r', 4), ('w', 2), ('x', 1)]).map(one);
    (text.len() == 3).then(|| bits.try_fold(0, |sum, bit| Some(sum | bit?))).flatten()
}

/// `rwxr-x---` or `0750`.
fn mode_of(text: &str) -> Option<u16> {
    if text.len() == 4 && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit)) {
        return u16::from_str_radix(text, 8).ok().map(|mode| mode & 0o777);
    }
    let class = |at: usize| bits_of(text.get(at..at + 3)?);
    let whole = text.len() == 9;
    whole.then(|| Some(class(0)? << 6 | class(3)? << 3 | class(6)?)).flatten()
}

/// Mode and other entries of `user::rwx,group::r-x,other::---,…`, of which the three must be there.
fn entries_of(text: &str) -> Option<(u16, Vec<String>)> {
    let (mut own, mut named) = ([None; 3], Vec::new());
    for entry in text.split(',') {
        let (_, bits) = entry.rsplit_once(':')?;
        let bits = bits_of(bits)?;
        match entry.split(':').collect::<Vec<_>>().as_slice() {
            ["user", "", _] => own[0] = Some(bits),
            ["group", "", _] => own[1] = Some(bits),
            ["other", "", _] => own[2] = Some(bits),
            ["user" | "group", _, _] | ["mask", "", _] => named.push(entry.to_owned()),
            ["default", "user" | "group" | "mask" | "other", _, _] => named.push(entry.to_owned()),
            _ => return None,
        }
    }
    let [user, group, other] = own;
    Some((user? << 6 | group? << 3 | other?, named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_and_lists_are_read_and_written() {
        assert_eq!(Access::default().permissions(), "rw-r-----");
        assert_eq!(Access::of_a_directory().list(), "user::rwx,group::r-x,other::---");
        assert_eq!((mode_of("0754"), mode_of("rwxr-xr--"), mode_of("rwxrwxrwxr")), (Some(0o754), Some(0o754), None));
        let list = "user::rw-,user:ann:r--,group::r--,mask::r--,other::---,default:user::rwx";
        let (mode, named) = entries_of(list).unwrap();
        let access = Access { mode, named, ..Access::default() };
        assert_eq!(access.permissions(), "rw-r-----+");
        assert!(access.list().ends_with("other::---,user:ann:r--,mask::r--,default:user::rwx"));
        for wrong in ["user::rwx", "user::rwx,group::r-x,other::q--", "x::rwx,group::rwx,other::rwx", "0999", ""] {
            assert_eq!((entries_of(wrong), mode_of(wrong)), (None, None), "{wrong}");
        }
    }
}
