//! Room for what is remembered of a listing that has to be known as a whole.
//!
//! A rename of a directory in a flat namespace, and a copy of a tree onto what is there, hold every blob below a
//! directory in memory. How many there are is for the server to say, and one that always has another page would take
//! all the memory of the machine. The bound is far beyond what anybody waits for: a rename of so many blobs takes
//! hours.

use crate::error::{Error, Result};
use crate::store::BlobProperties;

/// Memory for listings, as a multiple of what content may take: with the default of 512 MiB some two million blobs.
const TIMES: u64 = 4;

/// Bytes of a row beside its texts, and what an allocator adds to each of those.
const OF_A_ROW: usize = 256 + size_of::<BlobProperties>();

/// What is left of the memory for one listing.
pub(in crate::fs) struct Room {
    left: u64,
    limit: u64,
}

impl Room {
    /// `memory_limit`: what content may take, bytes.
    pub(in crate::fs) fn new(memory_limit: u64) -> Self {
        let limit = memory_limit.saturating_mul(TIMES);
        Self { left: limit, limit }
    }

    /// Takes what a blob of that name needs, of a listing of `dir`. ENOMEM if there is no room for it.
    pub(in crate::fs) fn take(&mut self, dir: &str, name: &str, properties: &BlobProperties) -> Result<()> {
        let metadata: usize = properties.metadata.iter().map(|(name, value)| 64 + name.len() + value.len()).sum();
        // The name is held as that of the source, of the destination, and beside them.
        let bytes = OF_A_ROW + 3 * name.len() + metadata;
        match self.left.checked_sub(bytes as u64) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                let limit = bytesize::ByteSize(self.limit).display().iec();
                let what =
                    format!("{dir}: what is listed below it takes more than {limit}, {TIMES} times --memory-limit");
                Err(Error::fs(libc::ENOMEM, what))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_has_room_up_to_a_bound() {
        let of = |metadata: &[(&str, &str)]| {
            let settings =
                crate::store::BlobSettings { metadata: metadata.iter().copied().collect(), ..Default::default() };
            let written =
                crate::store::Written { etag: crate::store::ETag::new("1"), last_modified: std::time::UNIX_EPOCH };
            crate::fs::names::attr::just_written(1, settings, written)
        };
        let count = |properties: &BlobProperties| {
            let mut room = Room::new(1 << 20);
            (0..).find(|number| room.take("dir/", &format!("dir/{number:08}"), properties).is_err()).unwrap()
        };
        let plain = count(&of(&[]));
        assert!((1_000..16_000).contains(&plain), "{plain}");
        assert!(count(&of(&[("color", &"x".repeat(8000))])) < plain / 5);
        let error = Room::new(0).take("dir/", "dir/a", &of(&[])).unwrap_err();
        assert_eq!(error.errno(), libc::ENOMEM);
    }
}
