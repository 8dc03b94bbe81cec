//! The mounts that this process sees, from `/proc/self/mountinfo`, and which of them are ours.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The word behind `fuse.` in the type of our mounts.
pub const SUBTYPE: &str = "blobcp";

/// A line of mountinfo, see proc(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Major and minor number of the superblock.
    pub device: (u32, u32),
    /// The directory of the filesystem that is mounted: not `/` for a bind mount of a part.
    pub root: PathBuf,
    /// The directory that it is mounted on.
    pub point: PathBuf,
    /// `fuse.blobcp`.
    pub kind: String,
    /// The device as `mount` and `df` show it.
    pub source: OsString,
    /// Who mounted it, as FUSE has it; none for other filesystems.
    pub user: Option<u32>,
    /// Nothing can be changed there.
    pub read_only: bool,
    /// Others than who mounted it are let in.
    pub allow_other: bool,
}

impl Mount {
    /// Whether a process of blobcp serves it.
    pub fn is_ours(&self) -> bool {
        self.kind.strip_prefix("fuse.") == Some(SUBTYPE)
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let device = std::str::from_utf8(fields.nth(2)?).ok()?.split_once(':')?;
        let root = unescape(fields.next()?);
        let point = unescape(fields.next()?);
        let here = fields.next()?;
        // Any number of tags, up to a dash.
        let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
        let kind = String::from_utf8_lossy(rest.next()?).into_owned();
        let source = unescape(rest.next()?);
        let options = rest.next().unwrap_or_default();
        let user = options.split(|byte| *byte == b',').find_map(|option| option.strip_prefix(b"user_id="));
        let user = user.and_then(|user| std::str::from_utf8(user).ok()?.parse().ok());
        let says = |options: &[u8], wanted: &[u8]| options.split(|byte| *byte == b',').any(|option| option == wanted);
        let read_only = says(here, b"ro") || says(options, b"ro");
        let allow_other = says(options, b"allow_other");
        let device = (device.0.parse().ok()?, device.1.parse().ok()?);
        Some(Self { device, root: root.into(), point: point.into(), kind, source, user, read_only, allow_other })
    }
}

/// All mounts, in the order in which they were made.
#[derive(Debug)]
pub struct Table(Vec<Mount>);

/// Reads `/proc/self/mountinfo`.
pub fn read() -> io::Result<Table> {
    let text = std::fs::read("/proc/self/mountinfo")?;
    Ok(Table::parse(&text))
}

impl Table {
    fn parse(text: &[u8]) -> Self {
        Self(text.split(|byte| *byte == b'\n').filter_map(Mount::parse).collect())
    }

    /// All of them, those made first in front.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Mount> {
        self.0.iter()
    }

    /// The mount whose mount point is `path`: the topmost, if several are stacked there.
    pub fn at(&self, path: &Path) -> Option<&Mount> {
        self.0.iter().rev().find(|mount| mount.point == path)
    }

    /// Those that a process of blobcp serves.
    pub fn ours(&self) -> impl Iterator<Item = &Mount> {
        self.0.iter().filter(|mount| mount.is_ours())
    }

    /// The mount that the absolute `path` without symlinks is in.
    pub fn of(&self, path: &Path) -> Option<&Mount> {
        path.ancestors().find_map(|ancestor| self.at(ancestor))
    }

    /// Whether a mount of that superblock is left anywhere.
    pub fn has_device(&self, device: (u32, u32)) -> bool {
        self.0.iter().any(|mount| mount.device == device)
    }
}

/// `\040` and its like, which mountinfo writes for blanks, tabs, line ends and backslashes.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = (*first == b'\\').then(|| tail.get(..3)).flatten().and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        match octal {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(bytes)
}

/// `path` as the filesystem of `mount` names it, from its root.
pub fn path_inside(mount: &Mount, path: &Path) -> Option<PathBuf> {
    let below = path.strip_prefix(&mount.point).ok()?;
    Some(if below.as_os_str().as_bytes().is_empty() { mount.root.clone() } else { mount.root.join(below) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"22 27 0:21 / /proc rw,relatime - proc proc rw\n\
        90 27 0:60 / /mnt/two\\040words rw,nosuid,nodev shared:7 master:1 - fuse.blobcp acct/c rw,user_id=1000,group_id=0\n\
        91 27 0:60 /photos/2026 /bind rw - fuse.blobcp acct/c rw\n\
        92 27 0:61 / /bind rw - tmpfs x\\134y rw\n\
        93 27 0:62 / /mnt/ro ro,relatime - fuse.blobcp photos rw,user_id=0,group_id=0,default_permissions,allow_other\n";

    #[test]
    fn lines_are_read_as_the_kernel_writes_them() {
        let table = Table::parse(TEXT);
        let mount = table.of(Path::new("/mnt/two words/a/b")).unwrap();
        assert_eq!((mount.device, mount.is_ours(), mount.source.to_str()), ((0, 60), true, Some("acct/c")));
        assert_eq!((mount.user, table.at(Path::new("/proc")).unwrap().user), (Some(1000), None));
        let (photos, words) = (table.at(Path::new("/mnt/ro")).unwrap(), mount);
        assert_eq!((photos.read_only, photos.allow_other), (true, true));
        assert_eq!((words.read_only, words.allow_other), (false, false));
        assert_eq!(path_inside(mount, Path::new("/mnt/two words/a/b")), Some("/a/b".into()));
        assert_eq!(path_inside(mount, Path::new("/mnt/two words")), Some("/".into()));
        assert!(table.of(Path::new("/home")).is_none());
        assert!(!table.at(Path::new("/proc")).unwrap().is_ours());
    }

    #[test]
    fn the_topmost_of_stacked_mounts_counts() {
        let table = Table::parse(TEXT);
        assert_eq!(table.at(Path::new("/bind")).unwrap().source.to_str(), Some("x\\y"));
        assert!(table.has_device((0, 60)) && !table.has_device((0, 63)));
    }

    #[test]
    fn a_bind_mount_of_a_part_names_paths_from_the_root_of_the_whole() {
        let mount = Table::parse(TEXT).0[2].clone();
        assert_eq!(path_inside(&mount, Path::new("/bind/a")), Some("/photos/2026/a".into()));
    }
}
