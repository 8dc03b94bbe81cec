//! The ioctl interface of a mount: start a copy, ask for its state, abort it; take a snapshot.
//!
//! All take one fixed-size structure with the layout of C, `_IOWR`/`_IOR`/`_IOW` of type `0xBC`, on a descriptor of a file or
//! directory of the mount. Text fields hold UTF-8 and end with a zero byte. `docs/blobcp.h` says the same in C; a test keeps the two
//! equal.
//!
//! | command | on | in | out |
//! |---|---|---|---|
//! | [`COPY`] | the destination's directory with `destination` set, or the destination file itself | source, name, flags, tier, metadata | copy id, status |
//! | [`STATUS`] | a file | – | the state of the last copy onto it |
//! | [`ABORT`] | a file | an id, or none | – |
//! | [`SNAPSHOT`] | a file | – | the moment of its new snapshot |
//!
//! A [`COPY`] of a file onto itself is a Copy Blob like any other (C17): it discards blocks that others uploaded and never committed,
//! gives the blob a new ETag and time and, where they are set, another tier and other metadata.
//!
//! Errors: `ENOTTY` for a command that is none of these, `EINVAL` for one of these with another size or with a field that is not text,
//! otherwise what the operation itself fails with; `ENODATA` when there is no copy state, or nothing to abort.

/// `_IOC` type of all commands.
pub const TYPE: u8 = 0xBC;

/// Start a Copy Blob (M5). `_IOWR(0xBC, 1, struct blobcp_copy)`
pub const COPY: u32 = ioc(READ | WRITE, 1, size_of::<Copy>());
/// State of the last copy onto a file (M6), asked from the service. `_IOR(0xBC, 2, struct blobcp_status)`
pub const STATUS: u32 = ioc(READ, 2, size_of::<Status>());
/// Abort the pending copy onto a file (M7). `_IOW(0xBC, 3, struct blobcp_abort)`
pub const ABORT: u32 = ioc(WRITE, 3, size_of::<Abort>());

/// Take a snapshot of a file. `_IOR(0xBC, 7, struct blobcp_snapshot)`
pub const SNAPSHOT: u32 = ioc(READ, 7, size_of::<Snapshot>());

/// [`Copy::flags`]: fail with EEXIST if the destination exists.
pub const NO_REPLACE: u32 = 1;
/// [`Copy::flags`]: return when the copy is accepted instead of when it has ended.
pub const NO_WAIT: u32 = 2;
/// [`Copy::flags`]: snapshot the destination first, and promote the snapshot if the copy fails or is aborted (C52).
pub const SNAPSHOT_FIRST: u32 = 4;
/// [`Copy::flags`]: lease the source while the copy is pending (C40).
pub const LEASE_SOURCE: u32 = 8;

/// [`Status::status`] and [`Copy::status`].
pub const PENDING: u32 = 1;
pub const SUCCESS: u32 = 2;
pub const ABORTED: u32 = 3;
pub const FAILED: u32 = 4;

/// Longest path or URL, with its zero byte.
pub const PATH_SIZE: usize = 4096;
/// Longest copy id, with its zero byte.
pub const ID_SIZE: usize = 64;
/// Longest name of an access tier, with its zero byte.
pub const TIER_SIZE: usize = 32;
/// Most metadata, with their zero byte.
pub const METADATA_SIZE: usize = 4096;
/// Longest status description, with its zero byte.
pub const DESCRIPTION_SIZE: usize = 1024;

/// Argument of [`COPY`].
#[repr(C)]
#[derive(Clone)]
pub struct Copy {
    /// In: any of [`NO_REPLACE`], [`NO_WAIT`], [`SNAPSHOT_FIRST`], [`LEASE_SOURCE`].
    pub flags: u32,
    /// Out: [`PENDING`] or [`SUCCESS`].
    pub status: u32,
    /// In: a path from the mount's root (`/container/blob`), or an http(s) URL.
    pub source: [u8; PATH_SIZE],
    /// In: name in the directory that the call is made on; empty on a file, which is then the destination.
    pub destination: [u8; PATH_SIZE],
    /// Out: `x-ms-copy-id`.
    pub id: [u8; ID_SIZE],
    /// In: access tier of the destination (`Hot`, `Cool`, …); empty for what it would have anyway. An archived source needs one.
    pub tier: [u8; TIER_SIZE],
    /// In: metadata of the destination, `NAME=VALUE` lines, instead of all of the source's; empty for the source's.
    pub metadata: [u8; METADATA_SIZE],
}

/// Result of [`STATUS`]: the values of the `user.blob.copy.*` attributes at one moment.
#[repr(C)]
#[derive(Clone)]
pub struct Status {
    /// [`PENDING`], [`SUCCESS`], [`ABORTED`] or [`FAILED`].
    pub status: u32,
    pub reserved: u32,
    pub bytes_copied: u64,
    pub total_bytes: u64,
    /// Seconds since the epoch; 0 while pending.
    pub completion_time: i64,
    pub id: [u8; ID_SIZE],
    /// Source URL without its signature.
    pub source: [u8; PATH_SIZE],
    /// Why it failed, or why it takes long; empty if there is nothing to say.
    pub description: [u8; DESCRIPTION_SIZE],
}

/// Argument of [`ABORT`].
#[repr(C)]
#[derive(Clone)]
pub struct Abort {
    /// Only this copy; whichever is pending if empty.
    pub id: [u8; ID_SIZE],
}

/// Result of [`SNAPSHOT`].
#[repr(C)]
#[derive(Clone)]
pub struct Snapshot {
    /// The snapshot of `DIR/NAME` is the file `DIR/.snapshots/NAME/MOMENT`.
    pub moment: [u8; ID_SIZE],
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
    [COPY, STATUS, ABORT, SNAPSHOT]
        .iter()
        .any(|known| *known != command && apart_from_size(*known) == apart_from_size(command))
}

/// Structures of this interface: plain bytes without padding, in which any bit pattern is a value.
///
/// # Safety
/// Only for `repr(C)` structures of integers and byte arrays whose size is the sum of their fields'.
pub unsafe trait Payload: Clone {}

// SAFETY: integers and byte arrays, ordered so that no padding arises; `sizes` below checks the sums.
unsafe impl Payload for Copy {}
// SAFETY: as above.
unsafe impl Payload for Status {}
// SAFETY: as above.
unsafe impl Payload for Abort {}
// SAFETY: as above.
unsafe impl Payload for Snapshot {}

/// All fields zero.
pub fn zeroed<T: Payload>() -> T {
    // SAFETY: `Payload` promises that any bit pattern is a value.
    unsafe { std::mem::zeroed() }
}

/// The structure in `bytes`; `None` if the length is another.
pub fn decode<T: Payload>(bytes: &[u8]) -> Option<T> {
    if bytes.len() != size_of::<T>() {
        return None;
    }
    // SAFETY: the length was checked, and `Payload` promises that any bit pattern is a value; the read need not be aligned.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

pub fn encode<T: Payload>(value: &T) -> &[u8] {
    // SAFETY: `Payload` promises that there is no padding, so every byte is initialized.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size_of::<Copy>(), 4 + 4 + PATH_SIZE + PATH_SIZE + ID_SIZE + TIER_SIZE + METADATA_SIZE);
        assert_eq!(size_of::<Status>(), 4 + 4 + 8 + 8 + 8 + ID_SIZE + PATH_SIZE + DESCRIPTION_SIZE);
        assert_eq!(size_of::<Abort>(), ID_SIZE);
        assert_eq!(size_of::<Snapshot>(), ID_SIZE);
        // The size field of an ioctl number has 14 bits.
        assert!(size_of::<Copy>() < 1 << 14);
    }

    #[test]
    fn numbers_are_those_of_the_header() {
        assert_eq!([COPY, STATUS, ABORT, SNAPSHOT], [0xF068_BC01, 0x9460_BC02, 0x4040_BC03, 0x8040_BC07]);
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
    fn a_structure_survives_the_way_through_bytes() {
        let mut status: Status = zeroed();
        status.total_bytes = 5;
        set_text(&mut status.id, "id");
        let back: Status = decode(encode(&status)).unwrap();
        assert_eq!((back.total_bytes, text(&back.id)), (5, Some("id")));
        assert!(decode::<Abort>(encode(&status)).is_none());
    }
}
