//! The ioctl interface of a mount: start a copy, ask for its state, abort it; take a snapshot, see to a lease.
//!
//! All take one fixed-size structure with the layout of C, `_IOWR`/`_IOR`/`_IOW` of type `0xBC`, on a descriptor of a
//! file or directory of the mount. Text fields hold UTF-8 and end with a zero byte. `docs/blobcp.h` says the same in C;
//! a test keeps the two equal.
//!
//! | command | on | in | out |
//! |---|---|---|---|
//! | [`COPY`] | the destination's directory with `destination` set, or the destination file itself | source, name, flags, tier, metadata | copy id, status |
//! | [`STATUS`] | a file | – | the state of the last copy onto it |
//! | [`ABORT`] | a file | an id, or none | – |
//! | [`TREE`] | an open directory | a file or directory to copy into it, name, flags | – |
//! | [`NEWS`] | the same open directory | – | how far that is, what became of each blob |
//! | [`COPIES`] | an open directory | – | every file below it with the state of the last copy onto it |
//! | [`SNAPSHOT`] | a file | – | the moment of its new snapshot |
//! | [`LEASE`] | a file | to show it or to break it | state of its lease, who holds it |
//! | [`LEFTOVERS`] | an open directory | to show or to end | what mounts that were killed have left below it |
//! | [`REASON`] | any file or directory | – | why the last request of the calling thread was refused, in words |
//!
//! [`TREE`] begins a copy of many files, or adds to it, and returns at once; [`NEWS`] is then called until it says
//! [`ReportFlags::DONE`]. It waits for news, a fifth of a second at most. [`ABORT`] on that directory ends it: nothing
//! new is begun, and what is pending is aborted. So does closing the descriptor. [`NEWS`], [`COPIES`] and
//! [`LEFTOVERS`] answer with records, see [`Entry`].
//!
//! Whoever asks must be allowed to do by open(2) and write(2) what is asked for: to read the source, and to write the
//! destination, or its directory if it is new. A URL is a path of the mount to everybody but who mounted and root, unless
//! it has a SAS. On a mount that is read-only, all but [`STATUS`] and [`COPIES`] fail.
//!
//! A [`COPY`] of a file onto itself is a Copy Blob like any other (C17): it discards blocks that others uploaded and
//! never committed, gives the blob a new ETag and time and, where they are set, another tier and other metadata.
//!
//! Errors: `ENOTTY` for a command that is none of these, `EINVAL` for one of these with another size or with a field
//! that is not text, `EACCES` and `EROFS` for what the caller or the mount may not do, otherwise what the operation
//! itself fails with; `ENODATA` when there is no copy state, nothing to abort, nothing being copied or no refusal known.
//!
//! The structures go to the kernel and back as bytes: the derives of `zerocopy` prove that they have no padding and
//! that any bytes are a value of them.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `_IOC` type of all commands.
pub const TYPE: u8 = 0xBC;

/// Start a Copy Blob (M5). `_IOWR(0xBC, 1, struct blobcp_copy)`
pub const COPY: u32 = ioc(READ | WRITE, 1, size_of::<Copy>());
/// State of the last copy onto a file (M6), asked from the service. `_IOR(0xBC, 2, struct blobcp_status)`
pub const STATUS: u32 = ioc(READ, 2, size_of::<Status>());
/// Abort the pending copy onto a file (M7). `_IOW(0xBC, 3, struct blobcp_abort)`
pub const ABORT: u32 = ioc(WRITE, 3, size_of::<Abort>());
/// Copy a file or a whole directory into an open directory. `_IOW(0xBC, 4, struct blobcp_tree)`
pub const TREE: u32 = ioc(WRITE, 4, size_of::<Tree>());
/// Progress of that, and what became of each blob. `_IOR(0xBC, 5, struct blobcp_news)`
pub const NEWS: u32 = ioc(READ, 5, size_of::<News>());
/// Copy states of a whole tree (M6). `_IOWR(0xBC, 6, struct blobcp_copies)`
pub const COPIES: u32 = ioc(READ | WRITE, 6, size_of::<Copies>());

/// Take a snapshot of a file. `_IOR(0xBC, 7, struct blobcp_snapshot)`
pub const SNAPSHOT: u32 = ioc(READ, 7, size_of::<Snapshot>());

/// Show the lease of a file, or break it. `_IOWR(0xBC, 8, struct blobcp_lease)`
pub const LEASE: u32 = ioc(READ | WRITE, 8, size_of::<Lease>());

/// What mounts that were killed have left below an open directory. `_IOWR(0xBC, 9, struct blobcp_leftovers)`
pub const LEFTOVERS: u32 = ioc(READ | WRITE, 9, size_of::<Leftovers>());

/// The words for the last refusal of the calling thread on this mount. `_IOR(0xBC, 10, struct blobcp_reason)`
pub const REASON: u32 = ioc(READ, 10, size_of::<Reason>());

/// [`Copy::flags`] and [`Tree::flags`]. Any bits are a value; which of them a command knows is for who reads it to say.
#[repr(transparent)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
pub struct OrderFlags(u32);

bitflags! {
    impl OrderFlags: u32 {
        /// [`Copy`]: fail with EEXIST if the destination exists. [`Tree`]: skip what exists.
        const NO_REPLACE = 1;
        /// [`Copy`]: return when the copy is accepted instead of when it has ended. [`Tree`]: a blob is done when its
        /// copy is accepted.
        const NO_WAIT = 2;
        /// Snapshot an existing destination first, and promote the snapshot if the copy fails or is aborted (C52); the
        /// snapshot is deleted in the end.
        const SNAPSHOT_FIRST = 4;
        /// Lease the source while the copy is pending (C40), whatever the mount does.
        const LEASE_SOURCE = 8;
        /// [`Tree`]: take directories, too.
        const RECURSIVE = 16;
        /// [`Tree`]: copy nothing, only say what would be copied.
        const DRY_RUN = 32;
        /// [`Copy`]: [`Copy::id`] holds the id of the lease that the destination has (X5).
        const LEASE_ID = 64;
        /// With [`LEASE_SOURCE`](Self::LEASE_SOURCE), lease it from before the start.
        const LEASE_EARLY = 128;
        /// Do not lease the source, whatever the mount does.
        const NO_LEASE = 256;
        /// From another account by Copy Blob, whatever the mount does; with [`BY_BLOCKS`](Self::BY_BLOCKS), the way
        /// that is faster.
        const BY_COPY_BLOB = 512;
        /// From another account in blocks, by Put Block From URL, where the blobs allow it.
        const BY_BLOCKS = 1024;
        /// [`Tree`]: skip what exists and is not older than its source.
        const UPDATE = 2048;
        /// [`Copy`], with [`NO_WAIT`](Self::NO_WAIT): the caller waits for the end by [`STATUS`], and aborts the copy if it is
        /// not wanted any more. So it may go on in blocks, which need the mount.
        const FOLLOWED = 4096;
    }
}

impl OrderFlags {
    /// Flags that [`COPY`] takes.
    pub const OF_COPY: Self = Self::all().difference(Self::RECURSIVE.union(Self::DRY_RUN).union(Self::UPDATE));
    /// Flags that [`TREE`] takes.
    pub const OF_TREE: Self = Self::all().difference(Self::LEASE_ID.union(Self::FOLLOWED));
}

/// [`Lease::action`].
pub const SHOW: u32 = 0;
/// [`Lease::action`]: end it at once, whoever holds it (C45, C48).
pub const BREAK: u32 = 1;

/// [`News::flags`], [`Copies::flags`] and [`Leftovers::flags`].
#[repr(transparent)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
pub struct ReportFlags(u32);

bitflags! {
    impl ReportFlags: u32 {
        /// [`Copies`], [`Leftovers`], in: begin anew.
        const AGAIN = 1;
        /// [`Copies`], in: only files whose last copy is pending, failed or aborted.
        const UNFINISHED = 2;
        /// [`Leftovers`], in: end what can be ended.
        const CLEAN = 4;
        /// Out: there is no more to tell.
        const DONE = 0x100;
        /// [`News`], out: everything to copy is known, the numbers of what was found are final.
        const LISTED = 0x200;
    }
}

/// Status of a copy that the service has not ended yet, in [`Status::status`] and [`Copy::status`].
pub const PENDING: u32 = 1;
/// Status of a copy that succeeded.
pub const SUCCESS: u32 = 2;
/// Status of a copy that was aborted.
pub const ABORTED: u32 = 3;
/// Status of a copy that the service gave up.
pub const FAILED: u32 = 4;
/// [`Entry::status`] in [`News`]: not copied, there is one already ([`OrderFlags::NO_REPLACE`], [`OrderFlags::UPDATE`]).
pub const EXISTS: u32 = 5;
/// [`Entry::status`] in [`News`]: not copied, what is there is provably a copy of the same.
pub const SAME: u32 = 6;
/// [`Entry::status`] in [`News`]: would be copied ([`OrderFlags::DRY_RUN`]).
pub const DUE: u32 = 7;
/// [`Entry::status`] in [`News`]: accepted, and its end is not waited for ([`OrderFlags::NO_WAIT`]).
pub const ACCEPTED: u32 = 8;

/// [`Entry::status`] in [`Leftovers`]: a snapshot that kept what a copy was to replace.
pub const BACKUP: u32 = 16;
/// [`Entry::status`] in [`Leftovers`]: a blob under a hidden name.
pub const HIDDEN: u32 = 17;
/// [`Entry::status`] in [`Leftovers`]: a lease.
pub const LEASED: u32 = 18;
/// [`Entry::status`] in [`Leftovers`]: a file that has its old name and its new one.
pub const MOVE: u32 = 19;
/// [`Entry::status`] in [`Leftovers`]: files of a directory that have their old names and their new ones.
pub const MOVE_TREE: u32 = 20;
/// [`Entry::status`] in [`Leftovers`]: a copy that is pending.
pub const PENDING_COPY: u32 = 21;
/// [`Entry::status`] in [`Leftovers`]: blocks of a file that was never stored.
pub const BLOCKS: u32 = 22;
/// [`Entry::status`] in [`Leftovers`]: an empty file, the copy onto which was given up on the way.
pub const GIVEN_UP: u32 = 23;

/// [`Status::method`]: Copy Blob, or another operation of the service.
pub const BLOB_METHOD: u32 = 1;
/// [`Status::method`]: in blocks, made by this mount; the service keeps no state of it.
pub const BLOCKS_METHOD: u32 = 2;

/// Longest path or URL, with its zero byte.
pub const PATH_SIZE: usize = 4096;
/// Longest copy id, with its zero byte.
pub const ID_SIZE: usize = 64;
/// Longest name of an access tier, with its zero byte.
pub const TIER_SIZE: usize = 32;
/// Most metadata, with their zero byte.
pub const METADATA_SIZE: usize = 4096;
/// Longest word of the service, with its zero byte.
pub const WORD_SIZE: usize = 32;
/// Longest status description, with its zero byte.
pub const DESCRIPTION_SIZE: usize = 1024;
/// Longest words for a refusal, with their zero byte.
pub const REASON_SIZE: usize = 2048;
/// Room for records: as much as fits into an ioctl.
pub const RECORDS_SIZE: usize = 16_000;

/// Argument of [`COPY`].
#[repr(C)]
#[derive(Clone, FromBytes, IntoBytes, Immutable)]
pub struct Copy {
    /// In: any of [`OrderFlags::OF_COPY`].
    pub flags: OrderFlags,
    /// Out: [`PENDING`] or [`SUCCESS`].
    pub status: u32,
    /// In: a path from the mount's root (`/container/blob`), or an http(s) URL.
    pub source: [u8; PATH_SIZE],
    /// In: name in the directory that the call is made on; empty on a file, which is then the destination.
    pub destination: [u8; PATH_SIZE],
    /// Out: `x-ms-copy-id`. In, with [`OrderFlags::LEASE_ID`]: the lease of the destination.
    pub id: [u8; ID_SIZE],
    /// In: access tier of the destination (`Hot`, `Cool`, …); empty for what it would have anyway. An archived source
    /// needs one.
    pub tier: [u8; TIER_SIZE],
    /// In: metadata of the destination, `NAME=VALUE` lines, instead of all of the source's; empty for the source's.
    pub metadata: [u8; METADATA_SIZE],
}

/// Result of [`STATUS`]: the values of the `user.blob.copy.*` attributes at one moment.
#[repr(C)]
#[derive(Clone, FromBytes, IntoBytes, Immutable)]
pub struct Status {
    /// [`PENDING`], [`SUCCESS`], [`ABORTED`] or [`FAILED`].
    pub status: u32,
    /// [`BLOB_METHOD`] or [`BLOCKS_METHOD`].
    pub method: u32,
    /// Bytes that are copied.
    pub bytes_copied: u64,
    /// Bytes of the source.
    pub total_bytes: u64,
    /// Seconds since the epoch; 0 while pending.
    pub completion_time: i64,
    /// `x-ms-copy-id`.
    pub id: [u8; ID_SIZE],
    /// Source URL without its token.
    pub source: [u8; PATH_SIZE],
    /// The reason why it failed or takes long; empty if there is nothing to say.
    pub description: [u8; DESCRIPTION_SIZE],
}

/// Argument of [`ABORT`].
#[repr(C)]
#[derive(Clone, FromBytes, IntoBytes, Immutable)]
pub struct Abort {
    /// Copy id: only this copy; whichever is pending if empty.
    pub id: [u8; ID_SIZE],
}

/// Argument of [`TREE`].
#[repr(C)]
#[derive(Clone, FromBytes, IntoBytes, Immutable)]
pub struct Tree {
    /// In: any of [`OrderFlags::OF_TREE`].
    pub flags: OrderFlags,
    /// In: copies at once, of all that is copied into this open directory. The first call's counts.
    pub jobs: u32,
    /// In: a path from the mount's root.
    pub source: [u8; PATH_SIZE],
    /// In: name in the open directory; empty if what is in the source directory goes there itself.
    pub destination: [u8; PATH_SIZE],
}

/// Result of [`NEWS`]. Files and bytes count from the beginning.
#[repr(C)]
#[derive(Clone, FromBytes, IntoBytes, Immutable)]
pub struct News {
    /// Out: any of [`ReportFlags::DONE`], [`ReportFlags::LISTED`].
    pub flags: ReportFlags,
    /// Records in `records`.
    pub count: u32,
    /// Files to copy that are known.
    pub found_files: u64,
    /// Bytes of these.
    pub found_bytes: u64,
    /// Copied; or accepted with [`OrderFlags::NO_WAIT`], or to be copied with [`OrderFlags::DRY_RUN`].
    pub copied_files: u64,
    /// Bytes of these.
    pub copied_bytes: u64,
    /// Not copied: [`EXISTS`] or [`SAME`].
    pub skipped_files: u64,
    /// Bytes of these.
    pub skipped_bytes: u64,
    /// Ended with an error.
    pub failed_files: u64,
    /// Bytes of these.
    pub failed_bytes: u64,
    /// Ended by an order.
    pub aborted_files: u64,
    /// Bytes of these.
    pub aborted_bytes: u64,
    /// Copies that are pending.
    pub pending_files: u64,
    /// Bytes of these that are copied.
    pub pending_bytes: u64,
    /// Copies at once that the service bears; 0 if it was never too busy.
    pub bears: u64,
    /// [`Entry`] by [`Entry`]: what came to its end since the last call, once each; then, with status [`PENDING`],
    /// those that have been pending longest.
    pub records: [u8; RECORDS_SIZE],
}

/// Argument of [`COPIES`]. Each call goes on where the last one on the same descriptor ended.
#[repr(C)]
#[derive(Clone, FromBytes, IntoBytes, Immutable)]
pub struct Copies {
    /// In: any of [`ReportFlags::AGAIN`], [`ReportFlags::UNFINISHED`]. Out: [`ReportFlags::DONE`].
    pub flags: ReportFlags,
    /// Out: records in `records`.
    pub count: u32,
    /// In, with [`ReportFlags::UNFINISHED`]: also copies that ended at that time or later, seconds since the epoch;
    /// none if 0.
    pub since: i64,
    /// Out: [`Entry`] by [`Entry`].
    pub records: [u8; RECORDS_SIZE],
}

/// Argument of [`LEFTOVERS`]. Each call goes on where the last one on the same descriptor ended. It answers after half a
/// second with what there is, also with nothing.
#[repr(C)]
#[derive(Clone, FromBytes, IntoBytes, Immutable)]
pub struct Leftovers {
    /// In: any of [`ReportFlags::AGAIN`], [`ReportFlags::CLEAN`]. Out: [`ReportFlags::DONE`].
    pub flags: ReportFlags,
    /// Out: records in `records`.
    pub count: u32,
    /// Out: [`Entry`] by [`Entry`]. [`Entry::error`] is 0 for what can be ended, or was with [`ReportFlags::CLEAN`];
    /// EBUSY for what stays because something is in doubt, EAGAIN for what ends by itself; otherwise why it could not be
    /// ended. [`Entry::modified`] tells since when it is there, the texts its path, nothing, nothing, and what is to be
    /// done or why it stays.
    pub records: [u8; RECORDS_SIZE],
}

/// The beginning of a record in [`News`] and [`Copies`]. Four texts follow, each with a zero byte at its end: path from
/// the open directory, copy id, source URL without its token, description or reason. Records begin at multiples of
/// 8 bytes.
#[repr(C)]
#[derive(Clone, FromBytes, IntoBytes, Immutable)]
pub struct Entry {
    /// Bytes of the whole record.
    pub length: u32,
    /// [`PENDING`] to [`FAILED`], or 0: nothing was ever copied onto it. In [`News`] also [`EXISTS`], [`SAME`],
    /// [`DUE`], [`ACCEPTED`]. In [`Leftovers`] [`BACKUP`] to [`GIVEN_UP`].
    pub status: u32,
    /// errno of a failure in [`News`] and [`Leftovers`], otherwise 0.
    pub error: i32,
    /// [`BLOB_METHOD`] or [`BLOCKS_METHOD`] in [`Copies`], otherwise 0.
    pub method: u32,
    /// Bytes that are copied.
    pub bytes_copied: u64,
    /// Bytes of the source.
    pub total_bytes: u64,
    /// Seconds since the epoch; 0 while pending.
    pub completion_time: i64,
    /// When a pending copy was started, otherwise when the file was last modified: seconds since the epoch.
    pub modified: i64,
}

/// Result of [`SNAPSHOT`].
#[repr(C)]
#[derive(Clone, FromBytes, IntoBytes, Immutable)]
pub struct Snapshot {
    /// The snapshot of `DIR/NAME` is the file `DIR/.snapshots/NAME/MOMENT`.
    pub moment: [u8; ID_SIZE],
}

/// Argument of [`LEASE`].
#[repr(C)]
#[derive(Clone, FromBytes, IntoBytes, Immutable)]
pub struct Lease {
    /// In: [`SHOW`] or [`BREAK`].
    pub action: u32,
    /// Zero.
    pub reserved: u32,
    /// Out: `available`, `leased`, `expired`, `breaking` or `broken`.
    pub state: [u8; WORD_SIZE],
    /// Out: `infinite` or `fixed`; empty while it is not leased.
    pub duration: [u8; WORD_SIZE],
    /// Out: who holds it, as far as this mount knows; for a lease of its own, which copy it is for.
    pub holder: [u8; DESCRIPTION_SIZE],
}

/// [`Reason::about`]: nothing more than the text says.
pub const OF_THE_REQUEST: u32 = 0;
/// [`Reason::about`]: the source of a copy. Of [`COPY`] all else is about the destination.
pub const OF_THE_SOURCE: u32 = 1;

/// Result of [`REASON`]. A system call answers with a number only, and the same number may mean either end of a copy.
#[repr(C)]
#[derive(Clone, FromBytes, IntoBytes, Immutable)]
pub struct Reason {
    /// Out: the errno that was answered.
    pub error: i32,
    /// Out: [`OF_THE_REQUEST`] or [`OF_THE_SOURCE`].
    pub about: u32,
    /// Out: the request as FUSE calls it: `ioctl`, `mkdir`.
    pub operation: [u8; WORD_SIZE],
    /// Out: what the mount's log has of it: whom the service refused what, in its own words.
    pub text: [u8; REASON_SIZE],
}

const READ: u32 = 2;
const WRITE: u32 = 1;

/// `_IOC` of `asm-generic/ioctl.h`.
const fn ioc(direction: u32, number: u32, size: usize) -> u32 {
    direction << 30 | (size as u32) << 16 | (TYPE as u32) << 8 | number
}

/// A command of this interface apart from its size: what a caller meant who got the structure wrong.
pub fn is_wrong_size(command: u32) -> bool {
    let apart_from_size = |command: u32| command & 0x0000_ffff;
    [COPY, STATUS, ABORT, TREE, NEWS, COPIES, SNAPSHOT, LEASE, LEFTOVERS, REASON]
        .iter()
        .any(|known| *known != command && apart_from_size(*known) == apart_from_size(command))
}

/// The text of a field up to its zero byte; `None` if it has none or is not UTF-8.
pub fn text(field: &[u8]) -> Option<&str> {
    let end = field.iter().position(|byte| *byte == 0)?;
    std::str::from_utf8(&field[..end]).ok()
}

/// Puts text into a field. False, and the field keeps as many whole characters as fit, if it is too long.
pub fn set_text(field: &mut [u8], text: &str) -> bool {
    let room = field.len() - 1;
    let end = (0..=text.len().min(room)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    field.fill(0);
    field[..end].copy_from_slice(&text.as_bytes()[..end]);
    end == text.len()
}

/// Records that are put together.
pub struct Records {
    bytes: Box<[u8; RECORDS_SIZE]>,
    used: usize,
    count: u32,
}

impl Default for Records {
    fn default() -> Self {
        Self { bytes: Box::new([0; RECORDS_SIZE]), used: 0, count: 0 }
    }
}

impl Records {
    /// Adds a record with its four texts. False, and nothing is added, if there is no room; texts that are longer than
    /// any record may be are cut.
    pub fn push(&mut self, mut entry: Entry, texts: [&str; 4]) -> bool {
        let [path, id, source, description] = texts;
        let texts = [
            cut(path, PATH_SIZE - 1),
            cut(id, ID_SIZE - 1),
            cut(source, PATH_SIZE - 1),
            cut(description, DESCRIPTION_SIZE - 1),
        ];
        let length = size_of::<Entry>() + texts.iter().map(|text| text.len() + 1).sum::<usize>();
        let length = length.next_multiple_of(8);
        let Some(record) = self.bytes.get_mut(self.used..self.used + length) else { return false };
        entry.length = length as u32;
        record[..size_of::<Entry>()].copy_from_slice(entry.as_bytes());
        let mut at = size_of::<Entry>();
        for text in texts {
            record[at..at + text.len()].copy_from_slice(text.as_bytes());
            at += text.len() + 1;
        }
        self.used += length;
        self.count += 1;
        true
    }

    /// The number of records, and their bytes.
    pub fn finish(&self) -> (u32, &[u8; RECORDS_SIZE]) {
        (self.count, &self.bytes)
    }
}

/// The records in the answer of [`NEWS`], [`COPIES`] or [`LEFTOVERS`], with their texts; what is not a record ends it.
pub fn records(count: u32, bytes: &[u8]) -> impl Iterator<Item = (Entry, [&str; 4])> {
    let mut rest = bytes;
    (0..count).map_while(move |_| {
        let (entry, _) = Entry::read_from_prefix(rest).ok()?;
        let record = rest.get(..entry.length as usize)?;
        rest = &rest[entry.length as usize..];
        let mut texts = [""; 4];
        let mut from = record.get(size_of::<Entry>()..)?;
        for field in &mut texts {
            *field = text(from)?;
            from = &from[field.len() + 1..];
        }
        Some((entry, texts))
    })
}

fn cut(text: &str, most: usize) -> &str {
    let end = (0..=text.len().min(most)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    // A zero byte inside would end it as well.
    text[..end].split('\0').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size_of::<Copy>(), 4 + 4 + PATH_SIZE + PATH_SIZE + ID_SIZE + TIER_SIZE + METADATA_SIZE);
        assert_eq!(size_of::<Status>(), 4 + 4 + 8 + 8 + 8 + ID_SIZE + PATH_SIZE + DESCRIPTION_SIZE);
        assert_eq!(size_of::<Abort>(), ID_SIZE);
        assert_eq!(size_of::<Tree>(), 4 + 4 + PATH_SIZE + PATH_SIZE);
        assert_eq!(size_of::<News>(), 4 + 4 + 13 * 8 + RECORDS_SIZE);
        assert_eq!(size_of::<Copies>(), 4 + 4 + 8 + RECORDS_SIZE);
        assert_eq!(size_of::<Leftovers>(), 4 + 4 + RECORDS_SIZE);
        assert_eq!(size_of::<Entry>(), 4 * 4 + 4 * 8);
        assert_eq!(size_of::<Snapshot>(), ID_SIZE);
        assert_eq!(size_of::<Lease>(), 4 + 4 + 2 * WORD_SIZE + DESCRIPTION_SIZE);
        assert_eq!(size_of::<Reason>(), 4 + 4 + WORD_SIZE + REASON_SIZE);
        // The size field of an ioctl number has 14 bits.
        for size in [size_of::<Copy>(), size_of::<Tree>(), size_of::<News>(), size_of::<Copies>()] {
            assert!(size < 1 << 14);
        }
        // The longest record fits.
        assert!(size_of::<Entry>() + 2 * PATH_SIZE + ID_SIZE + DESCRIPTION_SIZE <= RECORDS_SIZE);
    }

    #[test]
    fn numbers_are_those_of_the_header() {
        assert_eq!([COPY, STATUS, ABORT, SNAPSHOT], [0xF068_BC01, 0x9460_BC02, 0x4040_BC03, 0x8040_BC07]);
        assert_eq!([TREE, NEWS, COPIES], [0x6008_BC04, 0xBEF0_BC05, 0xFE90_BC06]);
        assert_eq!([LEASE, LEFTOVERS, REASON], [0xC448_BC08, 0xFE88_BC09, 0x8828_BC0A]);
    }

    #[test]
    fn a_wrong_size_is_told_from_an_unknown_command() {
        assert!(is_wrong_size(COPY & !0x3fff_0000 | 8 << 16));
        assert!(!is_wrong_size(COPY));
        assert!(!is_wrong_size(0x5401));
    }

    #[test]
    fn text_fields_end_with_a_zero_byte() {
        let mut field = [7; 6];
        assert!(set_text(&mut field, "abc"));
        assert_eq!(text(&field), Some("abc"));
        assert!(!set_text(&mut field, "abcdü"));
        assert_eq!(text(&field), Some("abcd"));
        assert_eq!(text(&[b'a'; 4]), None);
        assert_eq!(text(&[0xff, 0]), None);
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let mut list = Records::default();
        let mut entry = Entry::new_zeroed();
        entry.status = FAILED;
        entry.total_bytes = 7;
        assert!(list.push(entry.clone(), ["a/ü", "id", "http://x/y", "gone"]));
        assert!(list.push(entry.clone(), ["b", "", "", ""]));
        let long = "x".repeat(PATH_SIZE * 2);
        assert!(list.push(entry.clone(), [&long, &long, &long, &long]));
        assert!(!list.push(entry, [&long, "", &long, ""]), "no room");
        let (count, bytes) = list.finish();
        let back: Vec<(u32, u64, [&str; 4])> =
            records(count, bytes).map(|(entry, texts)| (entry.status, entry.total_bytes, texts)).collect();
        assert_eq!(back.len(), 3);
        assert_eq!(back[0], (FAILED, 7, ["a/ü", "id", "http://x/y", "gone"]));
        assert_eq!(back[1], (FAILED, 7, ["b", "", "", ""]));
        assert_eq!(back[2].2[0].len(), PATH_SIZE - 1);
        assert_eq!(records(5, &bytes[..100]).count(), 1, "what is cut off is no record");
    }

    #[test]
    fn a_structure_survives_the_way_through_bytes() {
        let mut status = Status::new_zeroed();
        status.total_bytes = 5;
        set_text(&mut status.id, "id");
        let back = Status::read_from_bytes(status.as_bytes()).unwrap();
        assert_eq!((back.total_bytes, text(&back.id)), (5, Some("id")));
        assert!(Abort::read_from_bytes(status.as_bytes()).is_err());
    }
}
