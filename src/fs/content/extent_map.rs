//! The content of a file that is open for writing: an ordered list of segments, each naming where its bytes are.
//!
//! ```text
//!          0  Base 0..50 GiB             bytes of the committed blob, not touched
//!     50 GiB  Buffer 1 MiB               bytes in memory
//!     …       Base 50 GiB+1 MiB..        the rest of the committed blob, where it was
//!    100 GiB  Staged id, 8 MiB           a block on its way to the service, or there, not yet committed
//!     …       Zero 1 GiB                 a gap, or what truncate added
//!     …       Remote 0, 0..6 GiB         bytes of another blob, which the service is to copy
//! ```
//!
//! Segments are kept by the offset at which they begin: whatever changes, nothing behind it moves. Every change is a
//! splice: it cuts what it covers out of the extent map and puts a segment in its place. What joins its neighbour
//! becomes one segment with it.
//!
//! A staged block is used as a whole or not at all, because the service reads no part of it before it is committed. A
//! change that would cut one is answered with [`Cut`] and has changed nothing: the caller commits, which makes all of
//! it Base, and repeats.
//!
//! The extent map knows nothing of requests; `plan.rs` turns it into blocks. What a copy from another file puts here is a
//! range of a version of that file, and costs no request before the commit (`remote.rs`).

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

pub(crate) use buffer::Buffer;

use crate::store::{BlockId, Payload};

mod buffer;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    /// A range of the committed blob.
    Base(Range<u64>),
    /// A block and its size in bytes.
    Staged {
        id: BlockId,
        len: u64,
    },
    Buffer(Buffer),
    /// So many zeros.
    Zero(u64),
    /// A range of another blob, bytes, which the service is to copy; `source` is its number among those of the draft.
    Remote {
        source: usize,
        range: Range<u64>,
    },
}

impl Segment {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Base(range) | Self::Remote { range, .. } => range.end - range.start,
            Self::Staged { len, .. } | Self::Zero(len) => *len,
            Self::Buffer(buffer) => buffer.len() as u64,
        }
    }
}

/// The place of a piece of the content, for a reader.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A range of the committed blob.
    Base(Range<u64>),
    Bytes(Bytes),
    Zero(u64),
    /// In the service, but part of the file, and readable, only after a commit.
    Staged,
}

/// The change would cut a staged block: commit first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cut;

/// A Buffer takes in one that follows it only up to this size: a file that is written backwards must not move what it
/// has with every write.
const JOINED_FROM_BEHIND: u64 = 256 * 1024;

#[derive(Debug, Default)]
pub(crate) struct ExtentMap {
    segments: BTreeMap<u64, Segment>,
    /// Bytes in all Buffers.
    buffered: u64,
    staged: usize,
    /// The start of the Buffer that was written to last.
    last: u64,
}

impl ExtentMap {
    /// The whole committed blob of `size` bytes.
    pub(crate) fn of_base(size: u64) -> Self {
        let mut extents = Self::default();
        extents.put(0, Segment::Base(0..size));
        extents
    }

    /// Bytes.
    pub(crate) fn len(&self) -> u64 {
        self.segments.last_key_value().map_or(0, |(start, segment)| start + segment.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Offsets and segments, in order and without gaps.
    pub(crate) fn segments(&self) -> impl Iterator<Item = (u64, &Segment)> {
        self.segments.iter().map(|(start, segment)| (*start, segment))
    }

    /// Something of it is in the committed blob.
    pub(crate) fn has_base(&self) -> bool {
        self.segments.values().any(|segment| matches!(segment, Segment::Base(_)))
    }

    /// Nothing but zeros, or nothing at all.
    pub(crate) fn is_zeros(&self) -> bool {
        self.segments.values().all(|segment| matches!(segment, Segment::Zero(_)))
    }

    /// What the service is to copy: where it goes, the number of the source, and the range of that.
    pub(crate) fn remotes(&self) -> impl Iterator<Item = (u64, usize, Range<u64>)> {
        self.segments().filter_map(|(start, segment)| match segment {
            Segment::Remote { source, range } => Some((start, *source, range.clone())),
            _ => None,
        })
    }

    /// The source of which all this is the first so many bytes, and nothing else.
    pub(crate) fn only_remote(&self) -> Option<(usize, u64)> {
        match self.segments.iter().next()? {
            (0, Segment::Remote { source, range }) if range.start == 0 && self.segments.len() == 1 => {
                Some((*source, range.end))
            }
            _ => None,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.segments.len()
    }

    /// Bytes in memory.
    pub(crate) fn buffered(&self) -> u64 {
        self.buffered
    }

    pub(crate) fn staged_blocks(&self) -> usize {
        self.staged
    }

    /// Puts `data` at `offset`; a gap before it becomes zeros.
    pub(crate) fn write(&mut self, offset: u64, data: &Bytes) -> Result<(), Cut> {
        if data.is_empty() {
            return Ok(());
        }
        let end = offset + data.len() as u64;
        self.check(end)?;
        match self.buffer_at(offset) {
            Some(start) => {
                let behind = start + self.segments[&start].len();
                if end > behind {
                    self.clear(behind..end);
                }
                if let Some(Segment::Buffer(buffer)) = self.segments.get_mut(&start) {
                    let before = buffer.len();
                    // A Buffer fits in memory, so offsets in it fit in usize.
                    buffer.write((offset - start) as usize, data);
                    self.buffered += (buffer.len() - before) as u64;
                }
                self.last = start;
            }
            None => {
                self.check(offset)?;
                self.extend(offset);
                self.clear(offset..end);
                self.put(offset, Segment::Buffer(data.clone().into()));
                self.last = offset;
            }
        }
        self.join_from_behind(self.last);
        Ok(())
    }

    /// Puts a segment at `offset`; a gap before it becomes zeros.
    pub(crate) fn splice(&mut self, offset: u64, segment: Segment) -> Result<(), Cut> {
        let end = offset + segment.len();
        self.may_replace(offset..end)?;
        self.extend(offset);
        self.clear(offset..end);
        self.put(offset, segment);
        self.join(end);
        self.join(offset);
        Ok(())
    }

    /// Whether a splice of that range would go through.
    pub(crate) fn may_replace(&self, range: Range<u64>) -> Result<(), Cut> {
        self.check(range.start)?;
        self.check(range.end)
    }

    /// Cuts to `len`, or adds zeros up to it.
    pub(crate) fn truncate(&mut self, len: u64) -> Result<(), Cut> {
        self.check(len)?;
        self.extend(len);
        self.clear(len..u64::MAX);
        Ok(())
    }

    /// The first `most` bytes of the Buffer at `start`, and how many of them [`ExtentMap::stage`] would take, of `len`.
    pub(crate) fn begin(&self, start: u64, most: u64, len: u64) -> (Payload, u64) {
        let Some(Segment::Buffer(buffer)) = self.segments.get(&start) else { return Default::default() };
        let len = len.min(buffer.len() as u64);
        // What is buffered fits in memory and so in usize.
        (buffer.slice(0..len.min(most) as usize).collect(), len)
    }

    /// Makes the first `len` bytes of the Buffer at `start` the block `id`: these bytes.
    pub(crate) fn stage(&mut self, start: u64, id: BlockId, len: u64) -> Payload {
        let Some(Segment::Buffer(mut block)) = self.take(start) else { return Payload::default() };
        // What is buffered fits in memory and so in usize.
        let rest = block.split_off(block.len().min(len as usize));
        let len = block.len() as u64;
        self.put(start, Segment::Staged { id, len });
        self.put(start + len, Segment::Buffer(rest));
        self.last = start + len;
        block.into_pieces().collect()
    }

    /// The Buffer that was written to last, if it holds more than `len` bytes.
    pub(crate) fn full(&self, len: u64) -> Option<u64> {
        match self.segments.get(&self.last) {
            Some(Segment::Buffer(buffer)) if buffer.len() as u64 > len => Some(self.last),
            _ => None,
        }
    }

    /// Where Buffers begin.
    pub(crate) fn buffers(&self) -> Vec<u64> {
        let of_buffers = self.segments().filter(|(_, segment)| matches!(segment, Segment::Buffer(_)));
        of_buffers.map(|(start, _)| start).collect()
    }

    /// All of the content, if no byte of it is in the service only.
    pub(crate) fn bytes(&self) -> Option<Payload> {
        let mut all = Vec::new();
        for segment in self.segments.values() {
            match segment {
                Segment::Buffer(buffer) => all.extend(buffer.slice(0..buffer.len())),
                Segment::Zero(len) => all.push(BytesMut::zeroed(usize::try_from(*len).ok()?).freeze()),
                Segment::Base(_) | Segment::Staged { .. } | Segment::Remote { .. } => return None,
            }
        }
        Some(all.into_iter().collect())
    }

    /// The places of the bytes of `range`, clipped at the end.
    pub(crate) fn read(&self, range: Range<u64>) -> Vec<Piece> {
        let first = self.segments.range(..=range.start).next_back().map_or(0, |(start, _)| *start);
        let mut pieces = Vec::new();
        for (start, segment) in self.segments.range(first..range.end.max(first)) {
            let from = range.start.max(*start) - start;
            let to = range.end.min(start + segment.len()).saturating_sub(*start);
            if from >= to {
                continue;
            }
            pieces.push(match segment {
                Segment::Base(base) => Piece::Base(base.start + from..base.start + to),
                Segment::Staged { .. } | Segment::Remote { .. } => Piece::Staged,
                Segment::Buffer(buffer) => {
                    pieces.extend(buffer.slice(from as usize..to as usize).map(Piece::Bytes));
                    continue;
                }
                Segment::Zero(_) => Piece::Zero(to - from),
            });
        }
        pieces
    }

    /// The first offset from `offset` on that is, or is not, in a run of zeros; `None` at or behind the end.
    pub(crate) fn seek(&self, offset: u64, zeros: bool) -> Option<u64> {
        let first = self.segments.range(..=offset).next_back().map_or(0, |(start, _)| *start);
        let mut rest = self.segments.range(first..).filter(|(start, segment)| offset < *start + segment.len());
        rest.find(|(_, segment)| matches!(segment, Segment::Zero(_)) == zeros).map(|(start, _)| offset.max(*start))
    }

    /// Nothing that is staged lies across `at`.
    fn check(&self, at: u64) -> Result<(), Cut> {
        match self.segments.range(..at).next_back() {
            Some((start, Segment::Staged { len, .. })) if at < start + len => Err(Cut),
            _ => Ok(()),
        }
    }

    /// The Buffer that holds `offset` or ends there.
    fn buffer_at(&self, offset: u64) -> Option<u64> {
        // One that ends there may be followed by a segment that begins there.
        let mut near = self.segments.range(..=offset).rev().take(2);
        near.find(|(start, segment)| matches!(segment, Segment::Buffer(_)) && offset <= *start + segment.len())
            .map(|(start, _)| *start)
    }

    /// Adds zeros up to `len`.
    fn extend(&mut self, len: u64) {
        let end = self.len();
        if len > end {
            self.put(end, Segment::Zero(len - end));
            self.join(end);
        }
    }

    /// Takes out what is in `range`. The caller has checked that nothing staged is cut.
    fn clear(&mut self, range: Range<u64>) {
        self.split(range.start);
        self.split(range.end);
        while let Some((start, _)) = self.segments.range(range.clone()).next() {
            let start = *start;
            self.take(start);
        }
    }

    /// Makes `at` a boundary between segments.
    fn split(&mut self, at: u64) {
        let Some(start) = self.segments.range(..at).next_back().map(|(start, _)| *start) else { return };
        if at >= start + self.segments[&start].len() {
            return;
        }
        let Some(segment) = self.take(start) else { return };
        let before = at - start;
        let (left, right) = match segment {
            Segment::Base(range) => {
                let middle = range.start + before;
                (Segment::Base(range.start..middle), Segment::Base(middle..range.end))
            }
            Segment::Remote { source, range } => {
                let middle = range.start + before;
                let (left, right) = (range.start..middle, middle..range.end);
                (Segment::Remote { source, range: left }, Segment::Remote { source, range: right })
            }
            Segment::Zero(len) => (Segment::Zero(before), Segment::Zero(len - before)),
            Segment::Buffer(mut buffer) => {
                let right = buffer.split_off(before as usize);
                (Segment::Buffer(buffer), Segment::Buffer(right))
            }
            // Checked before; and if not, better too much than a block that is not what the list says.
            staged @ Segment::Staged { .. } => (staged, Segment::Zero(0)),
        };
        self.put(start, left);
        self.put(at, right);
    }

    /// Makes one segment of the two that meet at `at`, if they can be one.
    fn join(&mut self, at: u64) {
        let Some(second) = self.segments.get(&at) else { return };
        let Some((start, first)) = self.segments.range(..at).next_back() else { return };
        let joined = match (first, second) {
            (Segment::Zero(a), Segment::Zero(b)) => Segment::Zero(a + b),
            (Segment::Base(a), Segment::Base(b)) if a.end == b.start => Segment::Base(a.start..b.end),
            (Segment::Remote { source, range: a }, Segment::Remote { source: other, range: b })
                if source == other && a.end == b.start =>
            {
                Segment::Remote { source: *source, range: a.start..b.end }
            }
            _ => return,
        };
        let start = *start;
        self.take(start);
        self.take(at);
        self.put(start, joined);
    }

    /// Lets the Buffer at `start` take in a short one that follows it.
    fn join_from_behind(&mut self, start: u64) {
        let behind = start + self.segments[&start].len();
        let short =
            matches!(self.segments.get(&behind), Some(next @ Segment::Buffer(_)) if next.len() <= JOINED_FROM_BEHIND);
        if !short {
            return;
        }
        if let (Some(Segment::Buffer(mut buffer)), Some(Segment::Buffer(next))) = (self.take(start), self.take(behind))
        {
            buffer.join(next);
            self.put(start, Segment::Buffer(buffer));
        }
    }

    fn put(&mut self, start: u64, segment: Segment) {
        match &segment {
            segment if segment.len() == 0 => return,
            Segment::Buffer(buffer) => self.buffered += buffer.len() as u64,
            Segment::Staged { .. } => self.staged += 1,
            Segment::Base(_) | Segment::Zero(_) | Segment::Remote { .. } => {}
        }
        self.segments.insert(start, segment);
    }

    fn take(&mut self, start: u64) -> Option<Segment> {
        let segment = self.segments.remove(&start)?;
        match &segment {
            Segment::Buffer(buffer) => self.buffered -= buffer.len() as u64,
            Segment::Staged { .. } => self.staged -= 1,
            Segment::Base(_) | Segment::Zero(_) | Segment::Remote { .. } => {}
        }
        Some(segment)
    }
}

#[cfg(test)]
mod tests;
