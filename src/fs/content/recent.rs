//! What was read lately and is still in memory: so that what a program writes is recognised as what it has read.
//!
//! Content is kept in chunks of [`CHUNK`] bytes on the grid of its source. Each that is handed to a reader is noted here,
//! by the CRC64 of its beginning and by who read it; the bytes stay in [`Memory`], where they may be dropped at any time.
//! A checksum only says where to look: content is found when every byte of it is compared with what is there
//! ([`RecentReads::find`]), so one that collides, or was made to, finds nothing. What one user has read is nothing to
//! another one, who is not to learn that somebody has such a file.
//!
//! What a sequential reader leaves behind is dropped otherwise. While somebody has a file open for writing it is kept on
//! as long as it is noted: a block of 8 MiB is written after its beginning was read. Notes are of a quarter of the memory
//! at most, and the oldest goes first.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use lru::LruCache;

use crate::fs::caller::User;
use crate::fs::content::memory::{CHUNK, ChunkKey, Memory};
use crate::fs::names::attr::Ino;
use crate::store::{ETag, Payload, crc64_of};
use crate::sync::lock;

/// Bytes of a chunk whose checksum is taken: enough to tell files apart, so few that a reader does not notice.
pub(crate) const HEAD: usize = 4096;

/// Chunks that are compared, of those at the same place and of those with the same beginning: in a file that repeats
/// itself, more are hardly better.
const MOST_COMPARED: usize = 4;

/// The same, where no checksum says which of them it can be: most of these differ in their first bytes.
const MOST_TRIED: usize = 16;

/// Chunks that are noted at most, whatever the memory.
const MOST_NOTED: usize = 1024;

/// Chunks that are noted at least: those of a block.
const LEAST_NOTED: usize = 8;

/// Who has written what is not stored yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::fs) enum Author {
    #[default]
    Nobody,
    One(User),
    /// More than one, or one who is not known.
    Several,
}

impl Author {
    /// With somebody who writes more of it; `None` if the kernel does not say who.
    pub(crate) fn and(self, user: Option<User>) -> Self {
        match (self, user) {
            (Self::Nobody, Some(user)) => Self::One(user),
            (Self::One(known), Some(user)) if known == user => self,
            _ => Self::Several,
        }
    }

    /// The one who has written all of it.
    pub(crate) fn alone(self) -> Option<User> {
        match self {
            Self::One(user) => Some(user),
            Self::Nobody | Self::Several => None,
        }
    }
}

/// A range of a version of a file, bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReadRange {
    pub ino: Ino,
    pub version: ETag,
    pub range: Range<u64>,
}

/// A chunk that somebody has read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Read {
    key: ChunkKey,
    user: User,
}

#[derive(Debug, Clone, Copy)]
struct Note {
    /// CRC64 of the first [`HEAD`] bytes, or of all if there are fewer.
    head: u64,
    /// Its reader has left it behind, and it is only kept for who writes.
    left: bool,
}

/// Chunks that were read lately.
pub(crate) struct RecentReads {
    memory: Arc<Memory>,
    notes: Mutex<LruCache<Read, Note>>,
    /// Handles that may write.
    writers: AtomicUsize,
}

impl RecentReads {
    /// Of what is in `memory`.
    pub(crate) fn new(memory: Arc<Memory>) -> Arc<Self> {
        let room = (memory.limit() / 4 / CHUNK) as usize;
        let most = NonZeroUsize::new(room.clamp(LEAST_NOTED, MOST_NOTED)).unwrap_or(NonZeroUsize::MIN);
        Arc::new(Self { memory, notes: Mutex::new(LruCache::new(most)), writers: AtomicUsize::new(0) })
    }

    /// Notes that `user` was handed some of a chunk, of which `bytes` is all. If somebody may write, it is in memory then:
    /// who reads in many places at once may have left it behind before it was handed on.
    pub(crate) fn note(&self, key: ChunkKey, user: User, bytes: &Bytes) {
        let read = Read { key, user };
        let mut notes = lock(&self.notes);
        let left = self.has_writers() && !self.memory.contains(&read.key);
        if left {
            self.memory.insert(read.key.clone(), bytes.clone());
        }
        if let Some(note) = notes.get_mut(&read) {
            note.left |= left;
            return;
        }
        let head = crc64_of(&[bytes.slice(..bytes.len().min(HEAD))]);
        if let Some((oldest, Note { left: true, .. })) = notes.push(read, Note { head, left }) {
            self.memory.remove(&oldest.key);
        }
    }

    /// A reader has left the chunk behind: it is dropped, now or when nobody can be about to write it any more.
    pub(crate) fn leave(&self, key: &ChunkKey, user: User) {
        let mut notes = lock(&self.notes);
        match notes.peek_mut(&Read { key: key.clone(), user }).filter(|_| self.has_writers()) {
            Some(note) => note.left = true,
            None => self.memory.remove(key),
        }
    }

    /// Somebody may write.
    pub(crate) fn has_writers(&self) -> bool {
        self.writers.load(Ordering::Acquire) > 0
    }

    /// Somebody may write as long as the token lives.
    pub(crate) fn writer(self: &Arc<Self>) -> WriterToken {
        self.writers.fetch_add(1, Ordering::AcqRel);
        WriterToken(self.clone())
    }

    /// The range that `user` has read and that has exactly these bytes, which are to be written at `at`; `None` if it is
    /// not known, or not all in memory any more.
    pub(crate) fn find(&self, content: &Payload, at: u64, user: User) -> Option<ReadRange> {
        let candidates = self.candidates(content, at, content.len() as u64, user);
        candidates.into_iter().find(|range| self.holds(range, content, user))
    }

    /// Ranges that `user` has begun to read and that may have the `len` bytes that are to be written at `at`, of which
    /// `content` is the beginning.
    pub(crate) fn candidates(&self, content: &Payload, at: u64, len: u64, user: User) -> Vec<ReadRange> {
        let notes = lock(&self.notes);
        if notes.is_empty() {
            return Vec::new();
        }
        let head = crc64_of(&content.first(HEAD));
        let begin = |key: &ChunkKey, start: u64| ReadRange {
            ino: key.ino,
            version: key.version.clone(),
            range: start..start + len,
        };
        let read_by_them = || notes.iter().filter(|(read, _)| read.user == user);
        // Within a chunk its checksum says nothing.
        let (is_begin, most) = if at.is_multiple_of(CHUNK) { (true, MOST_COMPARED) } else { (false, MOST_TRIED) };
        let there = read_by_them().filter(|(read, _)| read.key.chunk == at / CHUNK);
        let there = there.filter(|(_, note)| !is_begin || note.head == head);
        let elsewhere = read_by_them().filter(|(read, note)| note.head == head && read.key.chunk * CHUNK != at);
        let there = there.map(|(read, _)| begin(&read.key, at)).take(most);
        let elsewhere = elsewhere.map(|(read, _)| begin(&read.key, read.key.chunk * CHUNK)).take(MOST_COMPARED);
        there.chain(elsewhere).collect()
    }

    /// `user` has read that range, all of it is in memory, and every byte is that of `content`, which is as long.
    fn holds(&self, ReadRange { ino, version, range }: &ReadRange, content: &Payload, user: User) -> bool {
        let mut at = range.start;
        while at < range.end {
            let key = ChunkKey { ino: *ino, version: version.clone(), chunk: at / CHUNK };
            let read = Read { key, user };
            if !lock(&self.notes).contains(&read) {
                return false;
            }
            let Some(chunk) = self.memory.peek(&read.key) else { return false };
            let behind = chunk.get((at % CHUNK) as usize..).unwrap_or_default();
            let now = &behind[..behind.len().min((range.end - at) as usize)];
            // The last chunk of a file may end before it.
            if now.is_empty() || !content.has_at((at - range.start) as usize, now) {
                return false;
            }
            at += now.len() as u64;
            if at < range.end && at % CHUNK != 0 {
                return false;
            }
        }
        true
    }

    /// The version is not what it was taken for, or cannot be read by the service.
    pub(crate) fn forget(&self, ino: Ino, version: &ETag) {
        self.drop_notes(|read, _| read.key.ino == ino && read.key.version == *version);
    }

    fn drop_notes(&self, which: impl Fn(&Read, &Note) -> bool) {
        let mut notes = lock(&self.notes);
        let dropped: Vec<Read> =
            notes.iter().filter(|(read, note)| which(read, note)).map(|(read, _)| read.clone()).collect();
        for read in dropped {
            if let Some(Note { left: true, .. }) = notes.pop(&read) {
                self.memory.remove(&read.key);
            }
        }
    }
}

/// Somebody who may write.
pub(crate) struct WriterToken(Arc<RecentReads>);

impl Drop for WriterToken {
    fn drop(&mut self) {
        if self.0.writers.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Others who have one of these chunks before them fetch it again.
            self.0.drop_notes(|_, note| note.left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = CHUNK as usize;
    const ME: User = User::of_number(7);
    const OTHER: User = User::of_number(8);

    fn key(chunk: u64) -> ChunkKey {
        ChunkKey { ino: Ino(5), version: ETag::new("e"), chunk }
    }

    /// Bytes that differ everywhere, `seed` apart.
    fn content(len: usize, seed: u64) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15 ^ seed;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        std::iter::repeat_with(next).take(len.div_ceil(8)).flatten().take(len).collect()
    }

    /// Everything of a file was read, by this user.
    fn read(memory: &Memory, reads: &RecentReads, file: &[u8], user: User) {
        for (number, chunk) in file.chunks(MIB).enumerate() {
            let bytes = Bytes::copy_from_slice(chunk);
            memory.insert(key(number as u64), bytes.clone());
            reads.note(key(number as u64), user, &bytes);
        }
    }

    fn world(file: &[u8]) -> (Arc<Memory>, Arc<RecentReads>) {
        let memory = Memory::new(1 << 30);
        let reads = RecentReads::new(memory.clone());
        read(&memory, &reads, file, ME);
        (memory, reads)
    }

    /// In pieces that fit nothing.
    fn payload(bytes: &[u8]) -> Payload {
        bytes.chunks(300_001).map(Bytes::copy_from_slice).collect()
    }

    fn found(reads: &RecentReads, bytes: &[u8], at: u64) -> Option<Range<u64>> {
        let found = reads.find(&payload(bytes), at, ME)?;
        assert_eq!((found.ino, found.version), (Ino(5), ETag::new("e")));
        Some(found.range)
    }

    #[test]
    fn what_was_read_is_found_wherever_it_is_written() {
        let file = content(10 * MIB + 77_777, 1);
        let (_memory, reads) = world(&file);
        let end = file.len() as u64;
        assert_eq!(found(&reads, &file[..8 * MIB], 0), Some(0..8 << 20));
        assert_eq!(found(&reads, &file[8 * MIB..], 8 << 20), Some(8 << 20..end));
        assert_eq!(found(&reads, &file[2 * MIB..5 * MIB + 5], 3), Some(2 << 20..(5 << 20) + 5));
        assert_eq!(found(&reads, &file[10 * MIB..], 0), Some(10 << 20..end));
        // At the same place it need not begin where a chunk does.
        assert_eq!(found(&reads, &file[1..8 * MIB], 1), Some(1..8 << 20));
        assert_eq!(found(&reads, &file[10 * MIB + 5..], (10 << 20) + 5), Some((10 << 20) + 5..end));
        // More than there is, and elsewhere what does not begin where a chunk does.
        assert_eq!(found(&reads, &[&file[8 * MIB..], b"x"].concat(), 0), None);
        assert_eq!(found(&reads, &[&file[8 * MIB..], b"x"].concat(), 8 << 20), None);
        assert_eq!(found(&reads, &file[1..8 * MIB], 0), None);
    }

    #[test]
    fn one_byte_that_differs_anywhere_is_another_content() {
        let file = content(3 * MIB, 1);
        let (_memory, reads) = world(&file);
        for at in [0, HEAD, MIB - 1, MIB, 2 * MIB + 5, 3 * MIB - 1] {
            let mut other = file.clone();
            other[at] ^= 1;
            assert_eq!(found(&reads, &other, 0), None, "{at}");
        }
    }

    #[test]
    fn a_beginning_of_the_same_checksum_is_no_proof() {
        let file = content(2 * MIB, 1);
        let (_memory, reads) = world(&file);
        let mut forged = [&content(HEAD, 2)[..HEAD - 8], &file[HEAD - 8..]].concat();
        // The last eight bytes make up for all before them.
        let before = |bytes: &[u8]| crc64_of(&[Bytes::copy_from_slice(&bytes[..HEAD - 8])]);
        let differ = (before(&file) ^ before(&forged)).to_le_bytes();
        forged[HEAD - 8..HEAD].iter_mut().zip(differ).for_each(|(byte, differs)| *byte ^= differs);
        assert_eq!(crc64_of(&payload(&forged).first(HEAD)), crc64_of(&payload(&file).first(HEAD)));
        assert_ne!(forged[..HEAD], file[..HEAD]);
        assert_eq!(found(&reads, &forged, 0), None);
        assert!(found(&reads, &file, 0).is_some());
    }

    #[test]
    fn what_another_user_has_read_is_not_found() {
        let file = content(2 * MIB, 1);
        let (memory, reads) = world(&file);
        assert_eq!(reads.find(&payload(&file), 0, OTHER), None);
        // All of it must have been read by the one who writes.
        reads.note(key(0), OTHER, &memory.peek(&key(0)).unwrap());
        assert_eq!(reads.find(&payload(&file), 0, OTHER), None);
        assert!(reads.find(&payload(&file[..MIB]), 0, OTHER).is_some());
    }

    #[test]
    fn what_is_not_in_memory_any_more_is_not_found() {
        let file = content(3 * MIB, 1);
        let (memory, reads) = world(&file);
        memory.remove(&key(2));
        assert_eq!(found(&reads, &file, 0), None);
        assert!(found(&reads, &file[..2 * MIB], 0).is_some());
        reads.forget(Ino(5), &ETag::new("e"));
        assert_eq!(found(&reads, &file[..2 * MIB], 0), None);
    }

    #[test]
    fn in_a_file_that_repeats_itself_the_same_place_is_found() {
        let file = content(MIB, 1).repeat(16);
        let (_memory, reads) = world(&file);
        for at in 0..8 {
            assert_eq!(found(&reads, &file[..8 * MIB], at << 20), Some(at << 20..(at + 8) << 20));
        }
    }

    #[test]
    fn among_many_files_that_are_read_at_once_each_is_found() {
        let memory = Memory::new(1 << 30);
        let reads = RecentReads::new(memory.clone());
        let files: Vec<Vec<u8>> = (0..12).map(|seed| content(2 * MIB, seed)).collect();
        for chunk in 0..2 {
            for (number, file) in files.iter().enumerate() {
                let key = ChunkKey { ino: Ino(number as u64), ..key(chunk as u64) };
                let bytes = Bytes::copy_from_slice(&file[chunk * MIB..(chunk + 1) * MIB]);
                memory.insert(key.clone(), bytes.clone());
                reads.note(key, ME, &bytes);
            }
        }
        for (number, file) in files.iter().enumerate() {
            for (at, part) in [(0, &file[..]), (1 << 20, &file[MIB..]), (1, &file[1..])] {
                let found = reads.find(&payload(part), at, ME).map(|found| (found.ino, found.range.start));
                assert_eq!(found, Some((Ino(number as u64), at)), "at {at}");
            }
        }
    }

    #[test]
    fn what_a_reader_leaves_behind_is_kept_for_writers_and_only_as_long_as_it_is_noted() {
        let memory = Memory::new((176 << 20) + (64 << 20));
        let reads = RecentReads::new(memory.clone());
        let most = 64 / 4;
        read(&memory, &reads, &vec![0; (most + 4) * MIB], ME);
        let there = || (0..most as u64 + 4).filter(|chunk| memory.contains(&key(*chunk))).collect::<Vec<_>>();
        let writer = reads.writer();
        let another = reads.writer();
        for chunk in 4..8 {
            reads.leave(&key(chunk), ME);
        }
        assert_eq!(there().len(), most + 4);
        // Not noted any more, or never: nobody would find it.
        reads.leave(&key(0), ME);
        reads.leave(&key(9), OTHER);
        assert_eq!(there()[..4], [1, 2, 3, 4]);
        assert!(!memory.contains(&key(9)));
        reads.note(ChunkKey { ino: Ino(6), ..key(0) }, ME, &Bytes::from_static(b"newer"));
        assert!(!memory.contains(&key(4)) && memory.contains(&key(5)));
        drop(another);
        assert!(memory.contains(&key(5)));
        drop(writer);
        assert_eq!(there()[..5], [1, 2, 3, 8, 10]);
        reads.leave(&key(8), ME);
        assert!(!memory.contains(&key(8)));
    }

    #[test]
    fn what_was_left_behind_before_it_was_handed_on_is_there_for_a_writer() {
        let file = content(3 * MIB, 1);
        let (memory, reads) = world(&file);
        let bytes = memory.peek(&key(1)).unwrap();
        let writer = reads.writer();
        memory.remove(&key(1));
        assert_eq!(found(&reads, &file, 0), None);
        reads.note(key(1), ME, &bytes);
        assert!(found(&reads, &file, 0).is_some());
        drop(writer);
        assert!(!memory.contains(&key(1)) && memory.contains(&key(2)));
        reads.note(key(1), ME, &bytes);
        assert!(!memory.contains(&key(1)), "nobody writes");
    }

    #[test]
    fn an_author_is_one_who_has_written_all_of_it() {
        let nobody = Author::default();
        assert_eq!(nobody.alone(), None);
        let me = nobody.and(Some(ME)).and(Some(ME));
        assert_eq!(me.alone(), Some(ME));
        assert_eq!(me.and(Some(OTHER)).and(Some(ME)).alone(), None);
        assert_eq!(nobody.and(None).and(Some(ME)).alone(), None);
    }
}
