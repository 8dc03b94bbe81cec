//! New content of a file on its way to the service.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use md5::{Digest, Md5};
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::fs::block_ids::BlockIds;
use crate::fs::content::copied_from::CopiedFrom;
use crate::fs::content::extent_map::{Cut, ExtentMap, Piece, Segment};
use crate::fs::content::memory::Reservation;
use crate::fs::content::plan;
use crate::fs::content::recent::Author;
use crate::fs::content::strategy::WriteStrategy;
use crate::fs::journal::Entry;
use crate::fs::names::tree::Blob;
use crate::store::{Block, BlockId, Payload};

/// Bytes of the first blocks of a file, and the largest blob that one Put Blob writes.
pub(crate) const BLOCK: u64 = 8 * 1024 * 1024;

/// The block size doubles after this many blocks, so that the service's 50 000 suffice for terabytes.
pub(in crate::fs) const BLOCKS_PER_SIZE: usize = 5_000;

/// The largest block: [`crate::fs::block_ids::UPLOADS`] of them are in memory at once.
pub(in crate::fs) const LARGEST_BLOCK: u64 = 64 * 1024 * 1024;

/// Bytes that a draft holds in memory, in Buffers that are too short to be sent one by one, before it is committed.
pub(in crate::fs) const MOST_BUFFERED: u64 = 64 * 1024 * 1024;

/// Segments of a draft before it is committed: each is a request or an entry of the block list.
pub(in crate::fs) const MOST_SEGMENTS: usize = 20_000;

/// The largest blob (§15), bytes.
pub(in crate::fs) const LARGEST_FILE: u64 = 190 << 40;

/// The need of the changes since the last commit of the version that they were made to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Basis {
    /// They need that version, and no other.
    Version,
    /// Nothing: the file was truncated to nothing, or made by a call that would have truncated it.
    Nothing,
    /// That they come at the end, wherever it is by now. It was there, bytes.
    End(u64),
}

/// A block that did not reach the service.
pub(crate) struct Unsent {
    pub id: BlockId,
    pub bytes: Payload,
    /// In the memory, as long as the bytes are.
    pub _room: Option<Reservation>,
}

/// Another blob that the blocks of a draft go to, under a name that nobody else has.
pub(in crate::fs) struct Detour {
    pub blob: Blob,
    /// Its blocks were committed, or that was tried: it may be there.
    pub begun: bool,
    /// Says so to whoever comes after this process.
    pub entry: Entry,
}

/// Where blocks are staged of what is to become a new blob.
pub(in crate::fs) struct Staged {
    pub blob: Blob,
    /// Says so to whoever comes after this process.
    pub entry: Entry,
}

/// New content on its way to the service.
pub(crate) struct Draft {
    pub extents: ExtentMap,
    /// The way by which it gets into the blob.
    pub strategy: WriteStrategy,
    /// Whether it differs from what the service has.
    pub dirty: bool,
    /// Something was written into it. A file that was only created or truncated is committed late: a copy may follow.
    pub touched: bool,
    /// Its need of the version that it stands on.
    pub basis: Basis,
    /// Who has written what is in Buffers.
    pub(in crate::fs) author: Author,
    /// Bytes of blocks that the service has made of what was read, and that are not committed yet.
    pub(in crate::fs) spared: Arc<AtomicU64>,
    /// Time of the last change.
    pub written: SystemTime,
    /// Room in the budget for what is in Buffers.
    pub(in crate::fs) room: Option<Reservation>,
    pub(in crate::fs) uploads: Vec<JoinHandle<std::result::Result<(), (Unsent, Error)>>>,
    /// Staged blocks that could not be sent. They are sent again before anything else is.
    pub(in crate::fs) unsent: Vec<Unsent>,
    /// Committed blocks of the version that the draft stands on, once they had to be asked for.
    pub(in crate::fs) base_blocks: Option<Vec<Block>>,
    pub(in crate::fs) ids: Option<BlockIds>,
    /// The blob has refused a block, as one that was written over DFS.
    pub(in crate::fs) refuses_blocks: bool,
    /// Where blocks go then.
    pub(in crate::fs) detour: Option<Detour>,
    /// Blocks that were sent and have no blob yet, where they are not to be left.
    pub(in crate::fs) staged: Option<Staged>,
    /// What it is committed to is kept by its container (`once`).
    pub(in crate::fs) once: bool,
    /// Other files of which it has ranges that the service is to copy.
    pub(in crate::fs) sources: Vec<CopiedFrom>,
    /// Hash of all that the file holds, as long as it is written in one pass and somebody wants it.
    hash: Option<WholeHash>,
}

/// MD5 of a file from its beginning, and its bytes so far.
#[derive(Clone, Default)]
struct WholeHash {
    md5: Md5,
    len: u64,
}

impl WholeHash {
    /// With what follows; `None` if that goes somewhere else.
    fn with(mut self, offset: u64, data: &Bytes) -> Option<Self> {
        if self.len != offset {
            return None;
        }
        self.md5.update(data);
        self.len += data.len() as u64;
        Some(self)
    }
}

impl Draft {
    /// Stands on what `extents` says; not dirty before something is done to it.
    pub(crate) fn new(extents: ExtentMap) -> Self {
        Self {
            extents,
            strategy: WriteStrategy::Blocks,
            dirty: false,
            touched: false,
            basis: Basis::Version,
            author: Author::Nobody,
            spared: Arc::default(),
            written: SystemTime::now(),
            room: None,
            uploads: Vec::new(),
            unsent: Vec::new(),
            base_blocks: None,
            ids: None,
            refuses_blocks: false,
            detour: None,
            staged: None,
            once: false,
            sources: Vec::new(),
            hash: None,
        }
    }

    /// Hashes what is written from here on, if that is all of the file.
    pub(crate) fn hash_whole(&mut self) {
        if self.hash.is_none() && self.extents.is_empty() {
            self.hash = Some(WholeHash::default());
        }
    }

    /// MD5 of the whole content, Base64, if it was written in one pass from beginning to end.
    pub(crate) fn whole_md5(&self) -> Option<String> {
        let hash = self.hash.as_ref().filter(|hash| hash.len == self.extents.len())?;
        Some(BASE64_STANDARD.encode(hash.md5.clone().finalize()))
    }

    /// A file that comes into being, empty.
    pub(crate) fn empty(basis: Basis) -> Self {
        Self { dirty: true, basis, ..Self::new(ExtentMap::default()) }
    }

    /// Nothing but emptiness, or zeros that nobody wrote, and no more than `size` bytes: a whole copy of so many may
    /// take its place (design §4).
    pub(crate) fn is_void(&self, size: u64) -> bool {
        self.extents.is_zeros() && self.extents.len() <= size && !self.touched
    }

    /// Nothing but emptiness: what comes next may be a copy.
    pub(crate) fn is_blank(&self) -> bool {
        self.extents.is_empty() && !self.touched
    }

    pub(crate) fn write(&mut self, offset: u64, data: &Bytes) -> std::result::Result<(), Cut> {
        self.extents.write(offset, data)?;
        self.hash = self.hash.take().and_then(|hash| hash.with(offset, data));
        self.changed();
        self.needs_its_version();
        Ok(())
    }

    /// Adds to the end, as O_APPEND means it.
    pub(crate) fn append(&mut self, data: &Bytes) -> std::result::Result<(), Cut> {
        let end = self.extents.len();
        self.extents.write(end, data)?;
        self.hash = self.hash.take().and_then(|hash| hash.with(end, data));
        if self.basis == Basis::Version && !self.dirty {
            self.basis = Basis::End(end);
        }
        self.changed();
        Ok(())
    }

    pub(in crate::fs) fn needs_its_version(&mut self) {
        if let Basis::End(_) = self.basis {
            self.basis = Basis::Version;
        }
    }

    /// The version that it stands on ends at `to` and not at `from` as it did: what was added goes there. False if that
    /// cannot be done, because something of it is staged.
    pub(in crate::fs) fn move_end(&mut self, from: u64, to: u64) -> bool {
        let mut added = Vec::new();
        for piece in self.extents.read(from..u64::MAX) {
            match piece {
                Piece::Bytes(bytes) => added.push(bytes),
                Piece::Base(_) | Piece::Zero(_) | Piece::Staged => return false,
            }
        }
        self.extents = ExtentMap::of_base(to);
        self.hash = None;
        let mut end = to;
        for bytes in added {
            // Nothing is staged, so nothing is cut.
            let _ = self.extents.write(end, &bytes);
            end += bytes.len() as u64;
        }
        true
    }

    /// Forgets the blocks of the version that it stood on. Ids of blocks that are staged stay.
    pub(in crate::fs) fn forget_blocks(&mut self) {
        self.base_blocks = None;
        if self.extents.staged_blocks() == 0 {
            self.ids = None;
        } else {
            self.base_blocks = Some(Vec::new());
        }
    }

    pub(crate) fn splice(&mut self, offset: u64, segment: Segment) -> std::result::Result<(), Cut> {
        self.extents.splice(offset, segment)?;
        self.hash = None;
        self.changed();
        self.needs_its_version();
        Ok(())
    }

    /// Puts a range of another file at `offset`, which the service is to copy.
    pub(in crate::fs) fn borrow(
        &mut self,
        from: &CopiedFrom,
        range: Range<u64>,
        offset: u64,
    ) -> std::result::Result<(), Cut> {
        let known = self.sources.iter().position(|source| source.is(from));
        let source = known.unwrap_or_else(|| {
            self.sources.push(from.clone());
            self.sources.len() - 1
        });
        self.splice(offset, Segment::Remote { source, range })
    }

    /// Something of it is still to be copied by the service.
    pub(in crate::fs) fn has_borrowed(&self) -> bool {
        self.extents.remotes().next().is_some()
    }

    /// The file of which this is all, and nothing else.
    pub(in crate::fs) fn only_source(&self) -> Option<&CopiedFrom> {
        let (number, len) = self.extents.only_remote()?;
        self.sources.get(number).filter(|source| source.version.size == len)
    }

    /// Blocks on their way are of no use any more.
    pub(in crate::fs) fn discard_uploads(&mut self) {
        self.uploads.drain(..).for_each(|upload| upload.abort());
        self.unsent.clear();
    }

    /// Takes the room for what is to be written.
    pub(in crate::fs) fn take_room(&mut self, room: Reservation) {
        match &mut self.room {
            Some(held) => held.merge(room),
            held => *held = Some(room),
        }
    }

    /// Gives back the room for what is not in Buffers any more.
    pub(in crate::fs) fn release_room(&mut self) {
        if let Some(room) = &mut self.room {
            room.shrink(self.extents.buffered());
        }
    }

    pub(in crate::fs) fn changed(&mut self) {
        (self.dirty, self.touched, self.written) = (true, true, SystemTime::now());
    }

    pub(crate) fn truncate(&mut self, len: u64) -> std::result::Result<(), Cut> {
        // Another client may have filled what was empty: whoever says that it is to be empty means what is there now.
        if len != self.extents.len() || len == 0 {
            self.extents.truncate(len)?;
            self.hash = None;
            (self.dirty, self.written) = (true, SystemTime::now());
            self.needs_its_version();
        }
        if len == 0 {
            self.basis = Basis::Nothing;
        }
        if self.extents.is_empty() {
            self.discard_uploads();
            self.spared = Arc::default();
            self.sources.clear();
        }
        Ok(())
    }

    /// A Buffer that holds more than a block.
    pub(in crate::fs) fn full(&self) -> Option<u64> {
        self.extents.full(self.block_size())
    }

    /// Whether it holds too much in too many places to go on without a commit.
    pub(in crate::fs) fn is_scattered(&self) -> bool {
        self.dirty
            && (self.extents.buffered() > MOST_BUFFERED.max(2 * self.block_size())
                || self.extents.count() > MOST_SEGMENTS)
    }

    /// Learns how uploads ended: those that have, or after waiting all of them. An error is told once; the block is
    /// kept.
    pub(in crate::fs) async fn reap(&mut self, wait: bool) -> Result<()> {
        let mut failed = None;
        for upload in std::mem::take(&mut self.uploads) {
            if !wait && !upload.is_finished() {
                self.uploads.push(upload);
                continue;
            }
            match upload.await {
                Ok(Ok(())) => {}
                Ok(Err((unsent, error))) => {
                    self.unsent.push(unsent);
                    // It is sent elsewhere.
                    match error.is_written_over_dfs() {
                        true => self.refuses_blocks = true,
                        false => drop(failed.get_or_insert(error)),
                    }
                }
                // Its block is missing for good, and Put Block List will be refused.
                Err(_) => {
                    failed.get_or_insert(Error::fs(libc::EIO, "an upload was cut off"));
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    pub(in crate::fs) fn block_size(&self) -> u64 {
        block_size_after(self.extents.staged_blocks() + self.base_blocks.as_ref().map_or(0, Vec::len))
    }
}

/// Bytes of the next block of a blob that has so many.
pub(crate) fn block_size_after(blocks: usize) -> u64 {
    let doublings = blocks / BLOCKS_PER_SIZE;
    BLOCK.checked_shl(doublings.min(16) as u32).map_or(LARGEST_BLOCK, |size| size.min(LARGEST_BLOCK))
}

/// EFBIG for more than a blob holds, or for a gap so long that its zeros would take all of its blocks.
pub(crate) fn refuse_too_large(draft: &Draft, end: u64) -> Result<()> {
    let gap = end.saturating_sub(draft.extents.len());
    if end > LARGEST_FILE || gap > plan::LARGEST_ZEROS && matches!(draft.strategy, WriteStrategy::Blocks) {
        return Err(Error::fs(libc::EFBIG, "larger than a blob, or a gap of more than 2 TiB"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::BlockId;

    #[test]
    fn blocks_grow_with_the_file() {
        let mut draft = Draft::new(ExtentMap::default());
        assert_eq!(draft.block_size(), BLOCK);
        for i in 0..BLOCKS_PER_SIZE {
            draft.extents.write(i as u64, &Bytes::from_static(b"x")).unwrap();
            draft.extents.stage(i as u64, BlockId::new(&i.to_string()), BLOCK);
        }
        assert_eq!(draft.block_size(), 2 * BLOCK);
    }

    #[test]
    fn a_draft_that_is_written_in_one_pass_knows_its_hash() {
        let (one, two) = (Bytes::from_static(b"hello "), Bytes::from_static(b"world"));
        let begun = || {
            let mut draft = Draft::empty(Basis::Version);
            draft.hash_whole();
            draft.write(0, &one).unwrap();
            draft
        };
        let mut draft = begun();
        draft.append(&two).unwrap();
        assert_eq!(draft.whole_md5().as_deref(), Some("XrY7u+Ae7tCTyyK7j1rNww=="));
        draft.truncate(11).unwrap();
        assert!(draft.whole_md5().is_some());
        type Change = fn(&mut Draft, &Bytes);
        let others: [Change; 4] = [
            |draft, two| draft.write(7, two).unwrap(),
            |draft, two| draft.write(1, two).unwrap(),
            |draft, _| draft.truncate(3).unwrap(),
            |draft, _| draft.splice(0, Segment::Zero(6)).unwrap(),
        ];
        for change in others {
            let mut draft = begun();
            change(&mut draft, &two);
            // Nor is it begun in the middle.
            draft.hash_whole();
            draft.append(&two).unwrap();
            assert_eq!(draft.whole_md5(), None);
            draft.truncate(0).unwrap();
            draft.hash_whole();
            draft.write(0, &two).unwrap();
            assert_eq!(draft.whole_md5().as_deref(), Some("fXkwN6B2AYZXSwKC8vQ15w=="));
        }
        assert_eq!(Draft::empty(Basis::Version).whole_md5(), None);
    }

    #[test]
    fn only_an_untouched_empty_draft_is_blank() {
        let mut draft = Draft::empty(Basis::Version);
        assert!(draft.is_blank() && draft.dirty);
        draft.write(0, &Bytes::from_static(b"x")).unwrap();
        draft.truncate(0).unwrap();
        assert!(!draft.is_blank());
    }

    #[test]
    fn a_draft_in_many_places_is_scattered() {
        let mut draft = Draft::new(ExtentMap::of_base(1 << 40));
        for i in 0..MOST_SEGMENTS as u64 / 2 + 1 {
            draft.write(i << 20, &Bytes::from_static(b"x")).unwrap();
        }
        assert!(draft.is_scattered());
    }
}
