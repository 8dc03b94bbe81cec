//! Attributes for `stat`, and how they are kept in a blob.
//!
//! A blob has a size, a Last-Modified time and metadata; everything else that a file has lives in metadata, under names
//! that other tools read: `mtime` as rclone writes it, `permissions` (octal), `owner` and `group` as Azure Managed
//! Lustre and AzCopy write them, `posix_atime` (nanoseconds since the epoch) as AzCopy does. A value equal to the
//! mount's default is not stored, so an ordinary file carries no extra metadata. Nor is an access time that is the time
//! of the last change: reading does not set it.
//!
//! What kind of file a blob is, is metadata too: `hdi_isfolder` and `is_symlink` as blobfuse2 and Hadoop have them, and
//! on empty blobs `is_fifo`, `is_socket`, `is_block_dev` and `is_char_dev` with `posix_rdev`, as AzCopy has them. What
//! such a file does is the kernel's business; all there is to keep is that it is one.
//!
//! [`AttrChange`] is what chmod, chown and utimens ask for. It travels with an open file until the commit, so that it
//! costs no request of its own there.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::{Error, Result};
use crate::fs::names::identities::{self, Identities};
use crate::store::{BlobProperties, BlobSettings, BlobType, ContainerItem, ETag, LeaseProperties, Metadata, Written};

/// RFC 3339, rclone's convention.
const MTIME: &str = "mtime";
/// Of a snapshot that keeps what a copy replaces (`copies/mark.rs`), and of nothing that a copy of it may be.
pub(in crate::fs) const BACKUP: &str = "blobcp_backup";
const PERMISSIONS: &str = "permissions";
const OWNER: &str = "owner";
const GROUP: &str = "group";
/// AzCopy's convention: nanoseconds since the epoch.
const ATIME: &str = "posix_atime";
/// The names of this module: a copy onto another name does not take them along, they belong to the name (M1).
const OWN_NAMES: [&str; 5] = [MTIME, ATIME, PERMISSIONS, OWNER, GROUP];
/// Times are of the content, and a copy is new content.
const TIMES: [&str; 2] = [MTIME, ATIME];

const FOLDER: &str = "hdi_isfolder";
const SYMLINK: &str = "is_symlink";
/// Files that are only a name for something of the kernel's.
const SPECIAL: [(&str, FileKind); 4] = [
    ("is_fifo", FileKind::Fifo),
    ("is_socket", FileKind::Socket),
    ("is_block_dev", FileKind::BlockDevice),
    ("is_char_dev", FileKind::CharDevice),
];
/// The number of a device, decimal.
const DEVICE: &str = "posix_rdev";

/// What this mount reads from metadata of a certain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Owner,
    Group,
    Mode,
    Time,
    /// That it is something else than a file.
    Kind,
    /// That it is a device, and which.
    Device,
}

/// The meaning that metadata of that name have here, if they have one.
pub(crate) fn meaning_of(name: &str) -> Option<Meaning> {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    let special = SPECIAL.iter().find(|(known, _)| is(known)).map(|(_, kind)| *kind);
    match special {
        Some(kind) if kind.is_device() => Some(Meaning::Device),
        Some(_) => Some(Meaning::Kind),
        None if is(OWNER) => Some(Meaning::Owner),
        None if is(GROUP) => Some(Meaning::Group),
        None if is(PERMISSIONS) => Some(Meaning::Mode),
        None if is(DEVICE) => Some(Meaning::Device),
        None if is(FOLDER) || is(SYMLINK) => Some(Meaning::Kind),
        None => TIMES.iter().any(|known| is(known)).then_some(Meaning::Time),
    }
}

/// Permission bits, setuid, setgid and sticky.
const MODE_BITS: u32 = 0o7777;

/// Inode number. 1 is the root of the mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ino(pub u64);

impl Ino {
    /// The root of the mount.
    pub const ROOT: Self = Self(1);
}

/// The type of a file, as `S_IFMT` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the types of POSIX")]
pub enum FileKind {
    Directory,
    File,
    Symlink,
    Fifo,
    Socket,
    BlockDevice,
    CharDevice,
}

impl FileKind {
    pub(crate) fn is_device(self) -> bool {
        matches!(self, Self::BlockDevice | Self::CharDevice)
    }
}

/// The answer to `stat`. Sizes in bytes, `blocks` in units of 512 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attr {
    pub ino: Ino,
    pub kind: FileKind,
    pub size: u64,
    pub blocks: u64,
    pub atime: SystemTime,
    pub mtime: SystemTime,
    pub ctime: SystemTime,
    pub crtime: SystemTime,
    pub mode: u32,
    /// Names that it has: none once it was removed.
    pub links: u32,
    pub uid: u32,
    pub gid: u32,
    /// The device number, if it is a device.
    pub device: u32,
}

/// The maker of a file, and the mode.
#[derive(Debug, Clone, Copy)]
pub struct Creation {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

impl Creation {
    /// The attributes of a new file of that kind in a directory: a directory with the setgid bit hands down its group,
    /// and to directories the bit.
    pub fn within(self, dir: &Attr, kind: FileKind) -> AttrChange {
        const SETGID: u32 = 0o2000;
        let handed_down = dir.mode & SETGID != 0;
        let bit = if handed_down && kind == FileKind::Directory { SETGID } else { 0 };
        AttrChange {
            // A symlink has no mode to speak of.
            mode: (kind != FileKind::Symlink).then_some(self.mode & MODE_BITS | bit),
            uid: Some(self.uid),
            gid: Some(if handed_down { dir.gid } else { self.gid }),
            ..Default::default()
        }
    }
}

impl Attr {
    /// An entry of the directory came or went.
    pub fn touch(&mut self, time: SystemTime) {
        if self.atime == self.mtime {
            self.atime = self.atime.max(time);
        }
        self.mtime = self.mtime.max(time);
        self.ctime = self.ctime.max(time);
    }

    /// GNU cp asks for `copy_file_range` only if the blocks cover the size, so this is never less (design, kernel fact
    /// 1).
    pub fn blocks(size: u64) -> u64 {
        size.div_ceil(512)
    }
}

/// The effect of chmod and chown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Permissions {
    /// Keep mode, owner and group in the blob's metadata.
    #[default]
    Keep,
    /// Refuse changes with EPERM: every file has the mount's mode and owner.
    Fixed,
    /// Accept changes and forget them.
    Ignore,
}

/// Modes and owner of everything that states none itself.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// Permission bits of files.
    pub file_mode: u32,
    /// Permission bits of directories.
    pub dir_mode: u32,
    /// User id of the owner.
    pub uid: u32,
    /// Group id of the owner.
    pub gid: u32,
    /// Owners and modes of paths are shown as the service has them, if it tells.
    pub shown: Option<Arc<Identities>>,
}

impl Defaults {
    fn mode(&self, kind: FileKind) -> u32 {
        match kind {
            FileKind::Directory => self.dir_mode,
            FileKind::Symlink => 0o777,
            _ => self.file_mode,
        }
    }
}

/// A time to set: the clock's, at the moment of the commit, or a given one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetTime {
    Now,
    At(SystemTime),
}

/// Mode, owner, group and times that were asked for and are not in the service yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttrChange {
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub atime: Option<SetTime>,
    pub mtime: Option<SetTime>,
}

impl AttrChange {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `later` wins where both say something.
    pub fn merge(&mut self, later: Self) {
        self.mode = later.mode.or(self.mode);
        self.uid = later.uid.or(self.uid);
        self.gid = later.gid.or(self.gid);
        self.atime = later.atime.or(self.atime);
        self.mtime = later.mtime.or(self.mtime);
    }

    /// Reduced to what differs from `now` and allowed by `permissions`; EPERM where it is not.
    pub fn admit(mut self, now: &Attr, permissions: Permissions) -> Result<Self> {
        let differs = |asked: Option<u32>, is: u32| asked.filter(|asked| *asked != is);
        self.mode = differs(self.mode.map(|mode| mode & MODE_BITS), now.mode);
        self.uid = differs(self.uid, now.uid);
        self.gid = differs(self.gid, now.gid);
        if self.mtime == Some(SetTime::At(now.mtime)) {
            self.mtime = None;
        }
        if self.atime == Some(SetTime::At(now.atime)) {
            self.atime = None;
        }
        if (self.mode, self.uid, self.gid) != (None, None, None) {
            match permissions {
                Permissions::Keep => {}
                Permissions::Fixed => {
                    return Err(Error::fs(
                        libc::EPERM,
                        "mode and owner are fixed on this mount (--permissions fixed or --show-owners)",
                    ));
                }
                Permissions::Ignore => (self.mode, self.uid, self.gid) = (None, None, None),
            }
        }
        Ok(self)
    }

    /// Writes the change into `metadata` of a file of that kind whose content is new, or that is new itself.
    pub fn apply(&self, kind: FileKind, metadata: &mut Metadata, defaults: &Defaults) {
        let mut keep = |name: &str, value: Option<u32>, default: u32, text: String| match value {
            Some(value) if value == default => {
                metadata.remove(name);
            }
            Some(_) => metadata.set(name, text),
            None => {}
        };
        keep(PERMISSIONS, self.mode, defaults.mode(kind), format!("0{:03o}", self.mode.unwrap_or(0)));
        keep(OWNER, self.uid, defaults.uid, self.uid.unwrap_or(0).to_string());
        keep(GROUP, self.gid, defaults.gid, self.gid.unwrap_or(0).to_string());
        match self.mtime {
            // Last-Modified says it.
            Some(SetTime::Now) => {
                metadata.remove(MTIME);
            }
            Some(SetTime::At(time)) => metadata.set(MTIME, format_time(time)),
            None => {}
        }
        match self.atime {
            // One time for both is said once.
            Some(same) if self.mtime == Some(same) => {
                metadata.remove(ATIME);
            }
            Some(SetTime::Now) => metadata.set(ATIME, format_nanoseconds(SystemTime::now())),
            Some(SetTime::At(time)) => metadata.set(ATIME, format_nanoseconds(time)),
            None => {}
        }
    }

    /// [`AttrChange::apply`] to a file that stays what it is. The request that stores it gives the blob a new
    /// Last-Modified, so the times that it had (`now`) are written down, unless they are.
    pub fn apply_to(&self, now: &Attr, metadata: &mut Metadata, defaults: &Defaults) {
        if self.mtime.is_none() && metadata.get(MTIME).is_none_or(|_| now.kind == FileKind::Directory) {
            metadata.set(MTIME, format_time(now.mtime));
        }
        if self.mtime.is_some() && self.atime.is_none() && metadata.get(ATIME).is_none() {
            metadata.set(ATIME, format_nanoseconds(now.atime));
        }
        self.apply(now.kind, metadata, defaults);
    }

    /// Changes `attr` to what it is once this is stored.
    pub fn preview(&self, attr: &mut Attr) {
        attr.mode = self.mode.unwrap_or(attr.mode);
        attr.uid = self.uid.unwrap_or(attr.uid);
        attr.gid = self.gid.unwrap_or(attr.gid);
        for (time, set) in [(&mut attr.mtime, self.mtime), (&mut attr.atime, self.atime)] {
            match set {
                Some(SetTime::Now) => *time = SystemTime::now(),
                Some(SetTime::At(at)) => *time = at,
                None => {}
            }
        }
    }
}

/// The metadata of that name is the time of the content.
pub(crate) fn is_mtime(name: &str) -> bool {
    name.eq_ignore_ascii_case(MTIME)
}

/// The attributes of a blob, or of the marker of a directory.
pub(crate) fn of_blob(ino: Ino, kind: FileKind, blob: &BlobProperties, defaults: &Defaults) -> Attr {
    let size = if kind == FileKind::Directory { 0 } else { blob.size };
    let attr = described(ino, kind, size, blob.last_modified, &blob.metadata, defaults);
    let mut attr = Attr { crtime: blob.creation_time.unwrap_or(blob.last_modified), ..attr };
    if let (Some(identities), Some(path)) = (&defaults.shown, &blob.path) {
        attr.uid = path.owner.as_deref().map_or(attr.uid, |name| identities.id_of(name));
        attr.gid = path.group.as_deref().map_or(attr.gid, |name| identities.id_of(name));
        attr.mode = path.permissions.as_deref().and_then(identities::mode_of).unwrap_or(attr.mode);
    }
    attr
}

/// The attributes of a container, which keeps them in its metadata as a blob does.
pub(crate) fn of_container(ino: Ino, container: &ContainerItem, defaults: &Defaults) -> Attr {
    described(ino, FileKind::Directory, 0, container.last_modified, &container.metadata, defaults)
}

fn described(ino: Ino, kind: FileKind, size: u64, time: SystemTime, metadata: &Metadata, defaults: &Defaults) -> Attr {
    let number = |name: &str, default: u32| metadata.get(name).and_then(|v| v.parse().ok()).unwrap_or(default);
    let mtime = metadata.get(MTIME).and_then(parse_time).unwrap_or(time);
    Attr {
        ino,
        kind,
        size,
        blocks: Attr::blocks(size),
        atime: metadata.get(ATIME).and_then(parse_nanoseconds).unwrap_or(mtime),
        mtime,
        ctime: time,
        crtime: time,
        mode: metadata.get(PERMISSIONS).and_then(parse_mode).unwrap_or_else(|| defaults.mode(kind)),
        links: 1,
        uid: number(OWNER, defaults.uid),
        gid: number(GROUP, defaults.gid),
        device: if kind.is_device() { number(DEVICE, 0) } else { 0 },
    }
}

/// The attributes of something that no blob describes: an implicit directory, a file not yet committed.
pub(crate) fn of_nothing(ino: Ino, kind: FileKind, size: u64, time: SystemTime, defaults: &Defaults) -> Attr {
    described(ino, kind, size, time, &Metadata::default(), defaults)
}

/// The attributes that metadata give a file of that kind; its size and the times that they do not tell are nothing.
pub(crate) fn told_by(kind: FileKind, metadata: &Metadata, defaults: &Defaults) -> Attr {
    described(Ino::ROOT, kind, 0, SystemTime::UNIX_EPOCH, metadata, defaults)
}

/// The kind of file that a blob is (§19).
pub(crate) fn kind_of(blob: &BlobProperties) -> FileKind {
    // Where directories exist by themselves, they are told apart (S134, S172).
    match blob.path.as_ref().is_some_and(|path| path.is_directory) {
        true => FileKind::Directory,
        false => kind_in(&blob.metadata, blob.size),
    }
}

/// The kind of file that a blob of `size` bytes is by its metadata.
///
/// A blob with content is a file, whatever its metadata say: as a directory it could be removed, and its content lost.
pub(crate) fn kind_in(metadata: &Metadata, size: u64) -> FileKind {
    let empty = size == 0;
    if empty && metadata.flag(FOLDER) {
        FileKind::Directory
    } else if metadata.flag(SYMLINK) {
        FileKind::Symlink
    } else {
        SPECIAL.iter().find(|(name, _)| empty && metadata.flag(name)).map_or(FileKind::File, |(_, kind)| *kind)
    }
}

/// Metadata that make a blob something else than a file. `device` is the number of a device.
pub(crate) fn kind_metadata(kind: FileKind, device: u32) -> Metadata {
    let mut metadata = Metadata::default();
    match kind {
        FileKind::File => {}
        FileKind::Directory => metadata.set(FOLDER, "true"),
        FileKind::Symlink => metadata.set(SYMLINK, "true"),
        special => {
            SPECIAL.iter().filter(|(_, kind)| *kind == special).for_each(|(name, _)| metadata.set(name, "true"));
            if special.is_device() {
                metadata.set(DEVICE, device.to_string());
            }
        }
    }
    metadata
}

/// New content has a new time: the stored one would be a lie. When it was last read is true as before.
pub(crate) fn forget_time(metadata: &mut Metadata) {
    metadata.remove(MTIME);
}

/// Nothing is said of owner, group and mode any more.
pub(crate) fn forget_ownership(metadata: &mut Metadata) {
    for name in [OWNER, GROUP, PERMISSIONS] {
        metadata.remove(name);
    }
}

/// Nothing is said of times any more.
pub(crate) fn forget_times(metadata: &mut Metadata) {
    for name in TIMES {
        metadata.remove(name);
    }
}

/// The metadata that a copy of a blob with `source` gets under a name whose own attributes are those of `own` (M1):
/// everything of the source except mode, owner and time, and of those what `own` has.
pub(crate) fn for_copy(source: &Metadata, own: &Metadata) -> Metadata {
    let mut metadata = source.clone();
    for name in OWN_NAMES {
        metadata.remove(name);
        if !TIMES.contains(&name)
            && let Some(value) = own.get(name)
        {
            metadata.set(name, value);
        }
    }
    metadata
}

/// What a copy of a blob with `source` has to be told so that it gets exactly `metadata` (X3): nothing if those are the
/// source's, for they come along. That it gets none at all cannot be said, by whatever operation (S45); so it gets one
/// that is true anyway. Without `source` nobody here knows what would come along.
pub(crate) fn told_to_a_copy(mut metadata: Metadata, source: Option<&Metadata>) -> Option<Metadata> {
    metadata.remove(BACKUP);
    if metadata.is_empty() && source.is_none_or(|source| !source.is_empty()) {
        metadata.set(MTIME, format_time(SystemTime::now()));
    }
    (Some(&metadata) != source).then_some(metadata)
}

/// The metadata that a copy under another name must be given to be the same blob: none if it brings along what is
/// needed. The copy's Last-Modified is not the blob's, so that is written down.
pub(crate) fn for_rename(blob: &BlobProperties) -> Option<Metadata> {
    if blob.metadata.get(MTIME).is_some() {
        return None;
    }
    let mut metadata = blob.metadata.clone();
    metadata.set(MTIME, format_time(blob.last_modified));
    Some(metadata)
}

/// The properties of a block blob that was just written: no request is needed to know them.
pub(crate) fn just_written(size: u64, settings: BlobSettings, written: Written) -> BlobProperties {
    BlobProperties {
        size,
        etag: written.etag,
        last_modified: written.last_modified,
        creation_time: Some(written.last_modified),
        blob_type: BlobType::Block,
        headers: settings.headers,
        metadata: settings.metadata,
        tier: settings.tier,
        tier_inferred: false,
        archive_status: None,
        rehydrate_priority: None,
        lease: LeaseProperties::default(),
        copy: None,
        tag_count: settings.tags.len() as u32,
        sequence_number: None,
        committed_block_count: None,
        sealed: false,
        version_id: None,
        is_current_version: false,
        path: None,
        protection: Default::default(),
    }
}

/// Properties of a block blob that there is not yet.
pub(crate) fn unborn(size: u64) -> BlobProperties {
    let nothing = Written { etag: ETag::new(""), last_modified: SystemTime::now() };
    just_written(size, BlobSettings::default(), nothing)
}

/// A time as it stands in metadata.
pub(crate) fn parse_time(text: &str) -> Option<SystemTime> {
    // rclone writes the offset of its own time zone, others write seconds since the epoch.
    if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
        return SystemTime::try_from(stamp).ok();
    }
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(text.parse().ok()?))
}

fn format_time(time: SystemTime) -> String {
    // A time that jiff cannot hold (beyond the year 9999) has no RFC 3339 form; the epoch says "unknown".
    let stamp = jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{stamp:.9}")
}

fn parse_nanoseconds(text: &str) -> Option<SystemTime> {
    SystemTime::try_from(jiff::Timestamp::from_nanosecond(text.parse().ok()?).ok()?).ok()
}

fn format_nanoseconds(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH).as_nanosecond().to_string()
}

/// Octal with a leading zero (Managed Lustre), or the whole `st_mode` in decimal (AzCopy).
pub(crate) fn parse_mode(text: &str) -> Option<u32> {
    let mode = if text.starts_with('0') { u32::from_str_radix(text, 8).ok() } else { text.parse::<u32>().ok() };
    mode.map(|mode| mode & MODE_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ETag;

    const DEFAULTS: Defaults = Defaults { file_mode: 0o644, dir_mode: 0o755, uid: 7, gid: 8, shown: None };

    fn blob(metadata: Metadata) -> BlobProperties {
        let last_modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let settings = BlobSettings { metadata, ..Default::default() };
        just_written(1025, settings, Written { etag: ETag::new("e"), last_modified })
    }

    #[test]
    fn blocks_cover_the_size() {
        assert_eq!([0, 1, 512, 513].map(Attr::blocks), [0, 1, 1, 2]);
    }

    #[test]
    fn a_change_survives_the_way_through_metadata() {
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_600_000_000, 123_456_789);
        let read = time + Duration::from_nanos(1);
        let change = AttrChange {
            mode: Some(0o4750),
            uid: Some(1),
            gid: Some(8),
            atime: Some(SetTime::At(read)),
            mtime: Some(SetTime::At(time)),
        };
        let mut metadata = Metadata::default();
        change.apply(FileKind::File, &mut metadata, &DEFAULTS);
        // The group is the default and so not stored.
        assert_eq!(
            metadata.iter().collect::<Vec<_>>(),
            [
                ("mtime", "2020-09-13T12:26:40.123456789Z"),
                ("owner", "1"),
                ("permissions", "04750"),
                ("posix_atime", "1600000000123456790")
            ]
        );
        let attr = of_blob(Ino(5), FileKind::File, &blob(metadata), &DEFAULTS);
        assert_eq!((attr.mode, attr.uid, attr.gid, attr.mtime, attr.atime), (0o4750, 1, 8, time, read));
    }

    #[test]
    fn one_time_for_both_is_said_once() {
        let time = Some(SetTime::At(SystemTime::UNIX_EPOCH));
        let mut metadata: Metadata = [("posix_atime", "5")].into_iter().collect();
        AttrChange { atime: time, mtime: time, ..Default::default() }.apply(FileKind::File, &mut metadata, &DEFAULTS);
        assert_eq!(metadata.iter().collect::<Vec<_>>(), [("mtime", "1970-01-01T00:00:00.000000000Z")]);
        let touched = AttrChange { atime: Some(SetTime::Now), mtime: Some(SetTime::Now), ..Default::default() };
        touched.apply(FileKind::File, &mut metadata, &DEFAULTS);
        assert!(metadata.is_empty());
    }

    #[test]
    fn what_is_stored_without_content_leaves_the_times_as_they_are() {
        let before = of_blob(Ino(5), FileKind::File, &blob(Metadata::default()), &DEFAULTS);
        let mut metadata = Metadata::default();
        AttrChange { mode: Some(0o600), ..Default::default() }.apply_to(&before, &mut metadata, &DEFAULTS);
        let mut later = blob(metadata);
        later.last_modified += Duration::from_secs(100);
        let after = of_blob(Ino(5), FileKind::File, &later, &DEFAULTS);
        assert_eq!((after.mode, after.mtime, after.atime), (0o600, before.mtime, before.atime));
        assert!(after.ctime > before.ctime);
    }

    #[test]
    fn a_directory_hands_down_its_group_if_it_is_to() {
        let mut dir = of_nothing(Ino(5), FileKind::Directory, 0, SystemTime::now(), &DEFAULTS);
        let creation = Creation { mode: 0o640, uid: 1, gid: 2 };
        assert_eq!(creation.within(&dir, FileKind::File).gid, Some(2));
        dir.mode |= 0o2000;
        let file = creation.within(&dir, FileKind::File);
        assert_eq!((file.mode, file.uid, file.gid), (Some(0o640), Some(1), Some(8)));
        assert_eq!(creation.within(&dir, FileKind::Directory).mode, Some(0o2640));
        assert_eq!(creation.within(&dir, FileKind::Symlink).mode, None);
    }

    #[test]
    fn modes_of_other_tools_are_understood() {
        assert_eq!(parse_mode("0755"), Some(0o755));
        assert_eq!(parse_mode("33261"), Some(0o755));
        assert_eq!(parse_mode("rwx"), None);
    }

    #[test]
    fn times_of_other_tools_are_understood() {
        let time = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000));
        assert_eq!(parse_time("2020-09-13T14:26:40.000000000+02:00"), time);
        assert_eq!(parse_time("1600000000"), time);
        assert_eq!(parse_time("yesterday"), None);
        assert_eq!(parse_time("18446744073709551615"), None);
    }

    #[test]
    fn changes_that_change_nothing_are_admitted_everywhere() {
        let attr = of_blob(Ino(5), FileKind::File, &blob(Metadata::default()), &DEFAULTS);
        let same = AttrChange {
            mode: Some(0o100644),
            uid: Some(7),
            gid: Some(8),
            atime: Some(SetTime::At(attr.atime)),
            mtime: Some(SetTime::At(attr.mtime)),
        };
        assert!(same.admit(&attr, Permissions::Fixed).unwrap().is_empty());
        let other = AttrChange { mode: Some(0o600), ..Default::default() };
        assert_eq!(other.clone().admit(&attr, Permissions::Fixed).unwrap_err().errno(), libc::EPERM);
        assert!(other.clone().admit(&attr, Permissions::Ignore).unwrap().is_empty());
        assert_eq!(other.clone().admit(&attr, Permissions::Keep).unwrap(), other);
    }

    #[test]
    fn a_copy_takes_all_but_the_attributes_of_the_name() {
        let source: Metadata =
            [("color", "blue"), ("mtime", "2020-01-01T00:00:00Z"), ("permissions", "0700")].into_iter().collect();
        let own: Metadata = [("color", "red"), ("permissions", "0600")].into_iter().collect();
        let copy = for_copy(&source, &own);
        assert_eq!(copy.iter().collect::<Vec<_>>(), [("color", "blue"), ("permissions", "0600")]);
        let dated: Metadata = [("mtime", "2020-01-01T00:00:00Z")].into_iter().collect();
        let told = |source: &Metadata, own: &Metadata| told_to_a_copy(for_copy(source, own), Some(source));
        let time = told(&dated, &Metadata::default()).unwrap().get("mtime").and_then(parse_time).unwrap();
        assert!(time.elapsed().unwrap() < Duration::from_secs(60));
        assert!(for_copy(&Metadata::default(), &Metadata::default()).is_empty());
    }

    #[test]
    fn kinds_are_told_by_metadata() {
        let special = SPECIAL.map(|(_, kind)| kind);
        for kind in [FileKind::Directory, FileKind::Symlink, FileKind::File].into_iter().chain(special) {
            let mut marker = blob(kind_metadata(kind, 259));
            marker.size = 0;
            assert_eq!(kind_of(&marker), kind);
            assert_eq!(of_blob(Ino(5), kind, &marker, &DEFAULTS).device, if kind.is_device() { 259 } else { 0 });
        }
        // What has content is no mere name, whatever its metadata say.
        for (kind, expected) in special.map(|kind| (kind, FileKind::File)) {
            assert_eq!(kind_of(&blob(kind_metadata(kind, 0))), expected);
        }
    }
}
