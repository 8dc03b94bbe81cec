//! Owner, group, mode, times and kind of a file where metadata say them: who may change those.
//!
//! The kernel asks of chown(2), chmod(2), utimensat(2) and mknod(2) who calls, but metadata can be set by whoever may
//! write to a file, and come along with a copy. So a name that this mount reads a meaning from (`attr`) is set by whom
//! the kernel would have let do the same, and a copy belongs to whoever makes it: if the source belonged to somebody
//! else, without the set-user-ID and set-group-ID bits. Where a file is replaced that is another user's, it stays that
//! user's, and its mode is as after a write.
//!
//! Whom modes do not bind (`Credentials`) this does not either.

use crate::error::{Error, Result};
use crate::fs::names::access::Credentials;
use crate::fs::names::attr::{self, Attr, AttrChange, Defaults, FileKind, Meaning, Permissions};
use crate::store::{BlobProperties, Metadata};

const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;

fn not_permitted(name: &str, what: &str) -> Error {
    Error::fs(libc::EPERM, format!("metadata {name} is {what}"))
}

/// EPERM unless the caller may give the metadata `name` of the file with `attr` this value, or remove it.
pub(in crate::fs) fn check_metadata(
    who: &Credentials,
    attr: &Attr,
    (name, value): (&str, Option<&str>),
    permissions: Permissions,
    defaults: &Defaults,
) -> Result<()> {
    let Some(meaning) = attr::meaning_of(name) else { return Ok(()) };
    // Blanks around it do not reach the service.
    let value = value.map(str::trim);
    if who.is_unbound() {
        return Ok(());
    }
    if permissions == Permissions::Fixed && matches!(meaning, Meaning::Owner | Meaning::Group | Meaning::Mode) {
        return Err(not_permitted(name, "the mode or owner of a file, which are fixed on this mount"));
    }
    let number = |default| value.and_then(|value| value.parse().ok()).unwrap_or(default);
    let is_own = who.uid == attr.uid;
    let may = match meaning {
        Meaning::Owner => who.may_chown() || is_own && number(defaults.uid) == attr.uid,
        Meaning::Group => {
            let group = number(defaults.gid);
            who.may_chown() || is_own && (group == attr.gid || who.is_in(group))
        }
        Meaning::Mode => {
            let mode = value.and_then(attr::parse_mode).unwrap_or(0);
            who.may_chmod(attr) && (mode & SET_GROUP_ID == 0 || who.may_chown() || who.is_in(attr.gid))
        }
        Meaning::Time | Meaning::Kind => who.may_chmod(attr),
        Meaning::Device => who.may_make_devices(),
    };
    if may { Ok(()) } else { Err(not_permitted(name, "an attribute of the file that this caller may not change")) }
}

/// A copy that somebody makes.
pub(in crate::fs) struct CopyBy<'a> {
    pub who: &'a Credentials,
    /// What is replaced.
    pub target: Option<&'a Attr>,
    /// The directory, which may hand down its group; `None` if it is not known.
    pub dir: Option<&'a Attr>,
    pub permissions: Permissions,
    pub defaults: &'a Defaults,
}

impl CopyBy<'_> {
    /// Whoever the file belongs to then.
    fn owner(&self) -> u32 {
        self.target.map_or(self.who.uid, |target| target.uid)
    }

    fn is_own(&self) -> bool {
        self.owner() == self.who.uid
    }

    /// Metadata that were asked for instead of those of the source, as far as these are known. EPERM if the caller may
    /// not ask for that.
    pub(in crate::fs) fn with(&self, asked: &Metadata, source: Option<&BlobProperties>) -> Result<Metadata> {
        if self.who.is_unbound() || self.who.may_chown() {
            return Ok(asked.clone());
        }
        let own = self.is_own();
        for (name, value) in asked.iter() {
            let may = match attr::meaning_of(name) {
                None => true,
                // It is what its source is.
                Some(Meaning::Kind | Meaning::Device) => {
                    source.is_some_and(|source| source.metadata.get(name) == Some(value))
                }
                Some(Meaning::Owner) => value.parse::<u32>() == Ok(self.owner()),
                Some(Meaning::Group) => value.parse::<u32>().is_ok_and(|group| own && self.who.is_in(group)),
                Some(Meaning::Mode | Meaning::Time) => own,
            };
            if !may {
                return Err(not_permitted(name, "an attribute of the copy that this caller may not set"));
            }
        }
        self.of(asked, attr::kind_in(asked, source.map_or(0, |source| source.size)), true)
    }

    /// The metadata of a copy that is to have those of its source. EPERM where the caller may not make such a file.
    pub(in crate::fs) fn of_source(&self, source: &Metadata, kind: FileKind) -> Result<Metadata> {
        if self.who.is_unbound() || self.who.may_chown() {
            return Ok(source.clone());
        }
        self.of(source, kind, false)
    }

    fn of(&self, wanted: &Metadata, kind: FileKind, asked: bool) -> Result<Metadata> {
        let (who, own, owner) = (self.who, self.is_own(), self.owner());
        if kind.is_device() && !who.may_make_devices() {
            return Err(Error::fs(libc::EPERM, "devices are made by root"));
        }
        if let Some(target) = self.target.filter(|target| !own && target.kind != kind) {
            let what = format!("user {} may not make a {:?} of another kind, {kind:?}", who.uid, target.kind);
            return Err(Error::fs(libc::EPERM, what));
        }
        let mut metadata = wanted.clone();
        if self.permissions != Permissions::Keep {
            attr::forget_ownership(&mut metadata);
            return Ok(metadata);
        }
        let described = attr::told_by(kind, wanted, self.defaults);
        let was_theirs = asked || described.uid == owner;
        let handed_down = self.dir.filter(|dir| dir.mode & SET_GROUP_ID != 0).map_or(who.gid, |dir| dir.gid);
        let group = match self.target {
            Some(target) if !own => target.gid,
            _ if was_theirs && who.is_in(described.gid) => described.gid,
            target => target.map_or(handed_down, |target| target.gid),
        };
        let mode = match self.target {
            Some(target) if !own => target.mode & !(SET_USER_ID | SET_GROUP_ID),
            _ if !was_theirs => described.mode & !(SET_USER_ID | SET_GROUP_ID),
            _ if !who.is_in(group) => described.mode & !SET_GROUP_ID,
            _ => described.mode,
        };
        if !own {
            attr::forget_times(&mut metadata);
        }
        let mode = (kind != FileKind::Symlink).then_some(mode);
        let change = AttrChange { mode, uid: Some(owner), gid: Some(group), ..AttrChange::default() };
        change.apply(kind, &mut metadata, self.defaults);
        Ok(metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::names::attr::Ino;
    use rstest::rstest;

    const DEFAULTS: Defaults = Defaults { file_mode: 0o644, dir_mode: 0o755, uid: 0, gid: 0, shown: None };
    const ROOT: &str = "CapEff:\t000001ffffffffff\n";

    fn user(uid: u32, gid: u32) -> Credentials {
        Credentials::known(uid, gid, if uid == 0 { ROOT } else { "Groups:\t50\nCapEff:\t0\n" })
    }

    fn file(mode: u32, uid: u32, gid: u32) -> Attr {
        let attr = attr::of_nothing(Ino(5), FileKind::File, 0, std::time::SystemTime::UNIX_EPOCH, &DEFAULTS);
        Attr { mode, uid, gid, ..attr }
    }

    fn metadata(pairs: &[(&str, &str)]) -> Metadata {
        pairs.iter().copied().collect()
    }

    fn may(who: &Credentials, attr: &Attr, name: &str, value: Option<&str>) -> bool {
        let checked = check_metadata(who, attr, (name, value), Permissions::Keep, &DEFAULTS);
        assert!(checked.as_ref().err().is_none_or(|error| error.errno() == libc::EPERM));
        checked.is_ok()
    }

    #[rstest]
    //                 value       root  owner  other
    #[case("owner", Some("7"), [true, true, false])]
    #[case("OWNER", Some("8"), [true, false, false])]
    #[case("owner", Some("nobody"), [true, false, false])]
    #[case("owner", None, [true, false, false])]
    #[case("group", Some("50"), [true, true, false])]
    #[case("group", Some("51"), [true, false, false])]
    #[case("permissions", Some("0777"), [true, true, false])]
    #[case("Permissions", Some("04777"), [true, true, false])]
    #[case("permissions", Some("02777"), [true, false, false])]
    #[case("permissions", Some(" 02777"), [true, false, false])]
    #[case("permissions", None, [true, true, false])]
    #[case("mtime", Some("2020-01-01T00:00:00Z"), [true, true, false])]
    #[case("posix_atime", Some("5"), [true, true, false])]
    #[case("is_symlink", Some("true"), [true, true, false])]
    #[case("hdi_isfolder", Some("true"), [true, true, false])]
    #[case("is_block_dev", Some("true"), [true, false, false])]
    #[case("posix_rdev", Some("5"), [true, false, false])]
    #[case("color", Some("blue"), [true, true, true])]
    fn who_may_set_what(#[case] name: &str, #[case] value: Option<&str>, #[case] expected: [bool; 3]) {
        let attr = file(0o666, 7, 99);
        let found = [user(0, 0), user(7, 7), user(8, 8)].map(|who| may(&who, &attr, name, value));
        assert_eq!(found, expected);
    }

    #[test]
    fn fixed_modes_and_owners_are_fixed() {
        let (root, attr) = (user(0, 0), file(0o666, 7, 7));
        let change = |name| check_metadata(&root, &attr, (name, Some("5")), Permissions::Fixed, &DEFAULTS);
        assert!(change("owner").is_err() && change("permissions").is_err());
        assert!(change("mtime").is_ok() && change("color").is_ok());
    }

    fn by<'a>(who: &'a Credentials, target: Option<&'a Attr>) -> CopyBy<'a> {
        CopyBy { who, target, dir: None, permissions: Permissions::Keep, defaults: &DEFAULTS }
    }

    #[test]
    fn a_copy_belongs_to_whoever_makes_it() {
        let source = metadata(&[("color", "blue"), ("mtime", "2020-01-01T00:00:00Z"), ("permissions", "06755")]);
        let other = user(8, 8);
        let made = by(&other, None).of_source(&source, FileKind::File).unwrap();
        let expected = [("group", "8"), ("owner", "8"), ("permissions", "0755")];
        for (name, value) in expected {
            assert_eq!(made.get(name), Some(value), "{name}");
        }
        assert_eq!((made.get("color"), made.get("mtime")), (Some("blue"), Some("2020-01-01T00:00:00Z")));
        assert_eq!(by(&user(0, 0), None).of_source(&source, FileKind::File).unwrap(), source, "root takes all along");
        let theirs = metadata(&[("owner", "8"), ("group", "50"), ("permissions", "06755")]);
        assert_eq!(by(&other, None).of_source(&theirs, FileKind::File).unwrap(), theirs);
    }

    #[test]
    fn what_is_replaced_stays_its_owners() {
        let (other, target) = (user(8, 8), file(0o4666, 7, 9));
        let source = metadata(&[("owner", "8"), ("permissions", "04755"), ("mtime", "2020-01-01T00:00:00Z")]);
        let made = by(&other, Some(&target)).of_source(&source, FileKind::File).unwrap();
        let kept = [made.get("owner"), made.get("group"), made.get("permissions"), made.get("mtime")];
        assert_eq!(kept, [Some("7"), Some("9"), Some("0666"), None]);
        let symlink = metadata(&[("is_symlink", "true")]);
        assert_eq!(by(&other, Some(&target)).of_source(&symlink, FileKind::Symlink).unwrap_err().errno(), libc::EPERM);
    }

    #[rstest]
    #[case(&[("owner", "0")], false)]
    #[case(&[("owner", "8"), ("permissions", "04755")], true)]
    #[case(&[("group", "0")], false)]
    #[case(&[("Group", "50")], true)]
    #[case(&[("is_symlink", "true")], false)]
    #[case(&[("is_char_dev", "true"), ("posix_rdev", "259")], false)]
    #[case(&[("color", "blue")], true)]
    fn who_may_ask_for_what(#[case] asked: &[(&str, &str)], #[case] allowed: bool) {
        let other = user(8, 8);
        let made = by(&other, None).with(&metadata(asked), None);
        assert_eq!(made.is_ok(), allowed);
        assert!(made.is_ok_and(|made| made.get("owner") == Some("8")) == allowed);
        assert!(by(&user(0, 0), None).with(&metadata(asked), None).is_ok());
    }
}
