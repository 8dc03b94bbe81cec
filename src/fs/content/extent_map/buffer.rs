//! Bytes in memory, in pieces as they were written.
//!
//! A large piece is taken as it comes and is never copied again: it goes to the socket from where it is. Small ones are
//! gathered at the end in a tail, so that a program that writes line by line does not leave a piece for each line.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// Pieces from this size on are kept as they come, bytes; the tail grows to this size.
const LARGE: usize = 256 * 1024;

#[derive(Debug, Clone, Default)]
pub(crate) struct Buffer {
    pieces: VecDeque<Bytes>,
    tail: BytesMut,
    /// Bytes in all of it.
    len: usize,
}

impl From<Bytes> for Buffer {
    fn from(bytes: Bytes) -> Self {
        let mut buffer = Self::default();
        buffer.append(&bytes);
        buffer
    }
}

/// By what they hold, however it is cut.
impl PartialEq for Buffer {
    fn eq(&self, other: &Self) -> bool {
        self.slice(0..self.len).flatten().eq(other.slice(0..other.len).flatten())
    }
}

impl Eq for Buffer {}

impl Buffer {
    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn append(&mut self, data: &Bytes) {
        self.len += data.len();
        if data.len() >= LARGE {
            self.end_tail();
            self.pieces.push_back(data.clone());
        } else {
            if self.tail.len() + data.len() > LARGE {
                self.end_tail();
                self.tail.reserve(LARGE);
            }
            self.tail.extend_from_slice(data);
        }
    }

    /// Puts `data` over what is there from `at` on, and the rest of it behind the end. `at` is at most the length.
    pub(crate) fn write(&mut self, at: usize, data: &Bytes) {
        let over = data.len().min(self.len - at);
        let mut left = &data[..over];
        let mut start = 0;
        let mut at = at;
        for piece in &mut self.pieces {
            let end = start + piece.len();
            if at < end && !left.is_empty() {
                let (now, later) = left.split_at(left.len().min(end - at));
                // Nobody else holds it, unless it was cut or is being sent.
                let mut bytes = std::mem::take(piece).try_into_mut().unwrap_or_else(|piece| BytesMut::from(&piece[..]));
                bytes[at - start..at - start + now.len()].copy_from_slice(now);
                *piece = bytes.freeze();
                (at, left) = (at + now.len(), later);
            }
            start = end;
        }
        if !left.is_empty() {
            self.tail[at - start..at - start + left.len()].copy_from_slice(left);
        }
        if over < data.len() {
            self.append(&data.slice(over..));
        }
    }

    /// Cuts at `at`; what is behind it.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        self.end_tail();
        let mut behind = Self { len: self.len - at, ..Self::default() };
        while let Some(mut piece) = self.pieces.pop_back() {
            let start = self.len - piece.len();
            if start >= at {
                self.len = start;
                behind.pieces.push_front(piece);
                continue;
            }
            if self.len > at {
                behind.pieces.push_front(piece.split_off(at - start));
            }
            self.pieces.push_back(piece);
            break;
        }
        self.len = at;
        behind
    }

    /// Takes in what follows.
    pub(crate) fn join(&mut self, mut next: Self) {
        self.end_tail();
        self.pieces.append(&mut next.pieces);
        self.tail = next.tail;
        self.len += next.len;
    }

    /// The bytes of a range, which is within the length.
    pub(crate) fn slice(&self, range: Range<usize>) -> impl Iterator<Item = Bytes> {
        let (from, to) = within(&range, self.len - self.tail.len(), self.tail.len());
        let tail = (from < to).then(|| Bytes::copy_from_slice(&self.tail[from..to]));
        let mut start = 0;
        let pieces = self.pieces.iter().filter_map(move |piece| {
            let (from, to) = within(&range, start, piece.len());
            start += piece.len();
            (from < to).then(|| piece.slice(from..to))
        });
        pieces.chain(tail)
    }

    pub(crate) fn into_pieces(mut self) -> impl Iterator<Item = Bytes> {
        self.end_tail();
        self.pieces.into_iter()
    }

    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_back(std::mem::take(&mut self.tail).freeze());
        }
    }
}

/// The part of `range` in a piece that begins at `start`, counted from there.
fn within(range: &Range<usize>, start: usize, len: usize) -> (usize, usize) {
    (range.start.saturating_sub(start), range.end.saturating_sub(start).min(len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn content(buffer: &Buffer) -> Vec<u8> {
        buffer.slice(0..buffer.len()).flatten().collect()
    }

    #[test]
    fn a_large_piece_is_not_copied() {
        let piece = Bytes::from(vec![1; LARGE]);
        let mut buffer = Buffer::from(Bytes::from_static(b"head"));
        buffer.append(&piece);
        let kept: Vec<_> = buffer.into_pieces().collect();
        assert_eq!(kept[1].as_ptr(), piece.as_ptr());
    }

    #[test]
    fn small_pieces_are_gathered() {
        let mut buffer = Buffer::default();
        for _ in 0..10_000 {
            buffer.append(&Bytes::from_static(&[7; 100]));
        }
        assert_eq!(
            buffer.into_pieces().map(|piece| piece.len()).collect::<Vec<_>>(),
            [262_100, 262_100, 262_100, 213_700]
        );
    }

    proptest! {
        #[test]
        fn behaves_like_a_vector(
            ops in prop::collection::vec((0usize..4, 0usize..LARGE * 3, prop_oneof![0usize..300, LARGE - 2..LARGE + 2]), 0..12),
        ) {
            let mut buffer = Buffer::default();
            let mut model: Vec<u8> = Vec::new();
            for (number, (op, at, len)) in ops.into_iter().enumerate() {
                let data = Bytes::from(vec![number as u8 + 1; len]);
                let at = at.min(model.len());
                match op {
                    0 => {
                        buffer.append(&data);
                        model.extend_from_slice(&data);
                    }
                    1 => {
                        buffer.write(at, &data);
                        let over = len.min(model.len() - at);
                        model.splice(at..at + over, data.iter().copied());
                    }
                    2 => {
                        let behind = buffer.split_off(at);
                        prop_assert_eq!(content(&behind), &model[at..]);
                        prop_assert_eq!(content(&buffer), &model[..at]);
                        buffer.join(behind);
                    }
                    _ => {
                        buffer.split_off(at);
                        model.truncate(at);
                    }
                }
                prop_assert_eq!(buffer.len(), model.len());
                let middle = model.len() / 3..model.len() * 2 / 3;
                let slice: Vec<u8> = buffer.slice(middle.clone()).flatten().collect();
                prop_assert_eq!(slice, &model[middle]);
            }
            prop_assert_eq!(content(&buffer), model);
        }
    }
}
