//! The content of a file that is open for writing, as an ordered list of segments, each naming where its bytes are.
//!
//! ```text
//!   Base 0..100 GiB            bytes of the committed blob, not touched
//!   Staged id, 8 MiB           a block on its way to the service, or there, not yet committed
//!   Buffer 3 MiB               bytes in memory
//! ```
//!
//! A write puts a Buffer, appending adds at the end, a full Buffer becomes a Staged block. The commit (`commit.rs`) turns the
//! rope into the cheapest requests. The rope itself knows nothing of requests: it is a data structure, tested as one.
//!
//! So far bytes can change only where they are in memory: a write into a Base or Staged segment is refused with EOPNOTSUPP,
//! never imitated by moving the file through this machine.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::error::{Error, Result};
use crate::store::BlockId;

#[derive(Debug)]
enum Segment {
    Base(Range<u64>),
    Staged { id: BlockId, len: u64 },
    Buffer(BytesMut),
}

impl Segment {
    fn len(&self) -> u64 {
        match self {
            Self::Base(range) => range.end - range.start,
            Self::Staged { len, .. } => *len,
            Self::Buffer(bytes) => bytes.len() as u64,
        }
    }
}

/// Where a piece of the content is, for a reader.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// That range of the committed blob.
    Base(Range<u64>),
    Bytes(Bytes),
    /// In the service, but readable only after a commit.
    Staged,
}

/// What the commit makes of a segment.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    Base(Range<u64>),
    /// A block and its size in bytes.
    Staged(&'a BlockId, u64),
    Buffer(&'a [u8]),
}

#[derive(Debug, Default)]
pub struct Rope {
    segments: Vec<Segment>,
    len: u64,
}

impl Rope {
    /// The whole committed blob of `size` bytes.
    pub fn of_base(size: u64) -> Self {
        let segments = if size == 0 { Vec::new() } else { vec![Segment::Base(0..size)] };
        Self { segments, len: size }
    }

    /// Bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Every byte is in memory.
    pub fn in_memory(&self) -> bool {
        self.segments.iter().all(|segment| matches!(segment, Segment::Buffer(_)))
    }

    /// Puts `data` at `offset`. EOPNOTSUPP where bytes would change that are not in memory, or where a gap would arise.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        let tail = match self.segments.last() {
            Some(Segment::Buffer(bytes)) => self.len - bytes.len() as u64,
            _ => self.len,
        };
        if offset > self.len {
            return Err(unsupported("leaving a gap before a write"));
        }
        if offset < tail {
            return Err(unsupported("writing in the middle of a file"));
        }
        if !matches!(self.segments.last(), Some(Segment::Buffer(_))) {
            self.segments.push(Segment::Buffer(BytesMut::new()));
        }
        let Some(Segment::Buffer(bytes)) = self.segments.last_mut() else { return Ok(()) };
        // Below the block size, so it fits in memory and in usize.
        let at = (offset - tail) as usize;
        let over = data.len().min(bytes.len() - at);
        bytes[at..at + over].copy_from_slice(&data[..over]);
        bytes.extend_from_slice(&data[over..]);
        self.len = self.len.max(offset + data.len() as u64);
        Ok(())
    }

    /// Cuts to nothing, or, where all is in memory, to any shorter length.
    pub fn truncate(&mut self, len: u64) -> Result<()> {
        if len == self.len {
            return Ok(());
        }
        if len == 0 {
            *self = Self::default();
            return Ok(());
        }
        match self.segments.as_mut_slice() {
            [Segment::Buffer(bytes)] if len < self.len => {
                bytes.truncate(len as usize);
                self.len = len;
                Ok(())
            }
            _ => Err(unsupported("truncating to another length than zero")),
        }
    }

    /// Length of the tail that is in memory and could be staged, bytes.
    pub fn buffered(&self) -> u64 {
        match self.segments.last() {
            Some(Segment::Buffer(bytes)) => bytes.len() as u64,
            _ => 0,
        }
    }

    /// Makes the first `len` bytes of the buffered tail (all of it, if it is shorter) the block `id`: these bytes.
    pub fn stage(&mut self, id: BlockId, len: u64) -> Bytes {
        let Some(Segment::Buffer(mut tail)) = self.segments.pop_if(|last| matches!(last, Segment::Buffer(_))) else {
            return Bytes::new();
        };
        // What is buffered fits in memory and so in usize.
        let block = tail.split_to(tail.len().min(len as usize)).freeze();
        if !block.is_empty() {
            self.segments.push(Segment::Staged { id, len: block.len() as u64 });
        }
        if !tail.is_empty() {
            self.segments.push(Segment::Buffer(tail));
        }
        block
    }

    pub fn staged_blocks(&self) -> usize {
        self.segments.iter().filter(|segment| matches!(segment, Segment::Staged { .. })).count()
    }

    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        self.segments.iter().map(|segment| match segment {
            Segment::Base(range) => Part::Base(range.clone()),
            Segment::Staged { id, len } => Part::Staged(id, *len),
            Segment::Buffer(bytes) => Part::Buffer(bytes),
        })
    }

    /// All of the content, if it is in memory.
    pub fn bytes(&self) -> Option<Bytes> {
        match self.segments.as_slice() {
            [] => Some(Bytes::new()),
            [Segment::Buffer(bytes)] => Some(Bytes::copy_from_slice(bytes)),
            _ => None,
        }
    }

    /// Where the bytes of `range` are, clipped at the end.
    pub fn read(&self, range: Range<u64>) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut start = 0;
        for segment in &self.segments {
            let end = start + segment.len();
            let from = range.start.max(start);
            let to = range.end.min(end);
            if from < to {
                pieces.push(match segment {
                    Segment::Base(base) => Piece::Base(base.start + (from - start)..base.start + (to - start)),
                    Segment::Staged { .. } => Piece::Staged,
                    Segment::Buffer(bytes) => {
                        Piece::Bytes(Bytes::copy_from_slice(&bytes[(from - start) as usize..(to - start) as usize]))
                    }
                });
            }
            start = end;
        }
        pieces
    }
}

fn unsupported(what: &str) -> Error {
    Error::fs(libc::EOPNOTSUPP, format!("{what} is not supported yet"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Op {
        Append(Vec<u8>),
        Write(u64, Vec<u8>),
        Truncate(u64),
        Stage,
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let data = || prop::collection::vec(any::<u8>(), 0..40);
        let op = prop_oneof![
            4 => data().prop_map(Op::Append),
            2 => (0u64..100, data()).prop_map(|(at, data)| Op::Write(at, data)),
            1 => (0u64..100).prop_map(Op::Truncate),
            2 => Just(Op::Stage),
        ];
        prop::collection::vec(op, 0..30)
    }

    /// What a reader sees, given the committed blob and the staged blocks.
    fn content(rope: &Rope, base: &[u8], staged: &[(BlockId, Bytes)]) -> Vec<u8> {
        let mut content = Vec::new();
        for part in rope.parts() {
            match part {
                Part::Base(range) => content.extend_from_slice(&base[range.start as usize..range.end as usize]),
                Part::Staged(id, _) => content.extend_from_slice(&staged.iter().find(|(i, _)| i == id).unwrap().1),
                Part::Buffer(bytes) => content.extend_from_slice(bytes),
            }
        }
        content
    }

    proptest! {
        #[test]
        fn a_rope_is_a_vector_of_bytes(base in prop::collection::vec(any::<u8>(), 0..50), ops in ops()) {
            let mut rope = Rope::of_base(base.len() as u64);
            let mut model = base.clone();
            let mut staged: Vec<(BlockId, Bytes)> = Vec::new();
            for op in ops {
                match op {
                    Op::Append(data) => {
                        rope.write(model.len() as u64, &data).unwrap();
                        model.extend_from_slice(&data);
                    }
                    Op::Write(at, data) => {
                        // Refused as a whole or done as a whole.
                        if rope.write(at, &data).is_ok() {
                            let at = at as usize;
                            let over = data.len().min(model.len() - at);
                            model[at..at + over].copy_from_slice(&data[..over]);
                            model.extend_from_slice(&data[over..]);
                        }
                    }
                    Op::Truncate(len) => {
                        if rope.truncate(len).is_ok() {
                            prop_assert!(len <= model.len() as u64);
                            model.truncate(len as usize);
                        }
                    }
                    Op::Stage => {
                        let id = BlockId::new(&format!("{:04}", staged.len()));
                        let bytes = rope.stage(id.clone(), 16);
                        staged.push((id, bytes));
                    }
                }
                prop_assert_eq!(rope.len(), model.len() as u64);
                prop_assert_eq!(content(&rope, &base, &staged), model.clone());
            }
            let middle = model.len() as u64 / 3..model.len() as u64 + 5;
            let read: u64 = rope.read(middle.clone()).iter().map(|piece| match piece {
                Piece::Base(range) => range.end - range.start,
                Piece::Bytes(bytes) => bytes.len() as u64,
                Piece::Staged => 0,
            }).sum();
            prop_assert!(read <= model.len() as u64 - middle.start);
        }
    }

    #[test]
    fn what_is_not_in_memory_does_not_change() {
        let mut rope = Rope::of_base(10);
        assert_eq!(rope.write(5, b"x").unwrap_err().errno(), libc::EOPNOTSUPP);
        assert_eq!(rope.write(11, b"x").unwrap_err().errno(), libc::EOPNOTSUPP);
        assert_eq!(rope.truncate(5).unwrap_err().errno(), libc::EOPNOTSUPP);
        rope.write(10, b"abc").unwrap();
        rope.write(11, b"XYZ").unwrap();
        assert_eq!(rope.read(9..20), [Piece::Base(9..10), Piece::Bytes(Bytes::from_static(b"aXYZ"))]);
    }

    #[test]
    fn a_buffer_is_staged_from_its_front() {
        let mut rope = Rope::default();
        rope.write(0, &[7; 25]).unwrap();
        assert_eq!(rope.stage(BlockId::new("a"), 10).len(), 10);
        assert_eq!(rope.stage(BlockId::new("b"), 10).len(), 10);
        assert_eq!((rope.buffered(), rope.len()), (5, 25));
        assert_eq!(rope.read(0..25), [Piece::Staged, Piece::Staged, Piece::Bytes(Bytes::from_static(&[7; 5]))]);
        assert_eq!(rope.stage(BlockId::new("c"), 10).len(), 5);
        assert_eq!((rope.staged_blocks(), rope.buffered()), (3, 0));
        assert_eq!(rope.stage(BlockId::new("d"), 10).len(), 0);
        assert_eq!(rope.staged_blocks(), 3);
        assert!(rope.bytes().is_none());
    }
}
