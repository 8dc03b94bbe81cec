//! Blob content that costs nothing to share, slice or leave empty.
//!
//! A [`Content`] is a list of extents, each either bytes somebody else may hold too or a run of zeros that exists only
//! as a number. Copies, snapshots and Put Block From URL therefore share memory, a 1 TiB blob of zeros takes 32 bytes,
//! and every operation here is proportional to the number of extents and never to the number of bytes. Content is
//! immutable: a write makes a new `Content` from slices of the old one.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

/// Zeros are streamed from this page. It is as long as a chunk, so that they go out as fast as data do.
static ZEROS: [u8; CHUNK as usize] = [0; CHUNK as usize];

/// Longest piece handed to the connection at once: large enough that the per-chunk cost vanishes, small enough that a
/// client that goes away early is noticed and is not charged for what it never got.
const CHUNK: u64 = 256 * 1024;

#[derive(Clone, Debug)]
enum Extent {
    Data(Bytes),
    Zeros(u64),
}

impl Extent {
    fn len(&self) -> u64 {
        match self {
            Extent::Data(bytes) => bytes.len() as u64,
            Extent::Zeros(len) => *len,
        }
    }

    fn slice(&self, range: Range<u64>) -> Extent {
        match self {
            Extent::Data(bytes) => Extent::Data(bytes.slice(range.start as usize..range.end as usize)),
            Extent::Zeros(_) => Extent::Zeros(range.end - range.start),
        }
    }
}

/// An immutable, cheaply cloned sequence of bytes, `len` bytes long.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    /// ExtentMap with the offset at which each starts, ascending and without gaps.
    extents: Arc<[(u64, Extent)]>,
    len: u64,
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Content {
        Content::collect([Extent::Data(bytes)])
    }
}

impl Content {
    /// `len` zero bytes that take no memory.
    pub(super) fn zeros(len: u64) -> Content {
        Content::collect([Extent::Zeros(len)])
    }

    /// Length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The bytes of `range`, shared with `self`. A range past the end is cut at the end.
    pub(super) fn slice(&self, range: Range<u64>) -> Content {
        Content::collect(self.pieces(range))
    }

    /// One content after the other.
    pub(super) fn concat<'a>(parts: impl IntoIterator<Item = &'a Content>) -> Content {
        Content::collect(parts.into_iter().flat_map(|part| part.extents.iter().map(|(_, extent)| extent.clone())))
    }

    /// `self` with the bytes from `offset` on replaced by `patch`, which must lie within `self`: a page write.
    pub(super) fn overwrite(&self, offset: u64, patch: &Content) -> Content {
        let before = self.slice(0..offset);
        let after = self.slice(offset + patch.len..self.len);
        Content::concat([&before, patch, &after])
    }

    /// `self` cut or extended with zeros to `len` bytes.
    pub(super) fn resize(&self, len: u64) -> Content {
        let kept = self.slice(0..len);
        let missing = Content::zeros(len - kept.len);
        Content::concat([&kept, &missing])
    }

    /// The ranges that hold written bytes, neighbours joined: the page ranges of a page blob.
    pub(super) fn written(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for (start, extent) in self.extents.iter() {
            if let Extent::Data(bytes) = extent {
                let end = start + bytes.len() as u64;
                match ranges.last_mut() {
                    Some(last) if last.end == *start => last.end = end,
                    _ => ranges.push(*start..end),
                }
            }
        }
        ranges
    }

    /// The content in order, in pieces of at most 256 KiB. Owns its share of the content.
    pub(super) fn chunks(&self) -> Chunks {
        Chunks { content: self.clone(), extent: 0, offset: 0 }
    }

    /// Everything in one buffer. Only for what is known to be small.
    pub(super) fn to_bytes(&self) -> Bytes {
        if let [(_, Extent::Data(bytes))] = &self.extents[..] {
            return bytes.clone();
        }
        let mut all = BytesMut::with_capacity(self.len as usize);
        self.chunks().for_each(|chunk| all.extend_from_slice(&chunk));
        all.freeze()
    }

    fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = Extent> {
        let end = range.end.min(self.len);
        let first = self.extents.partition_point(|(start, extent)| start + extent.len() <= range.start);
        self.extents[first..].iter().take_while(move |(start, _)| *start < end).map(move |(start, extent)| {
            let from = range.start.saturating_sub(*start);
            let to = extent.len().min(end - start);
            extent.slice(from.min(to)..to)
        })
    }

    /// Builds the offset table, dropping empty extents and joining neighbouring zeros.
    fn collect(extents: impl IntoIterator<Item = Extent>) -> Content {
        let mut placed: Vec<(u64, Extent)> = Vec::new();
        let mut len = 0;
        for extent in extents.into_iter().filter(|extent| extent.len() > 0) {
            let here = len;
            len += extent.len();
            match (placed.last_mut(), &extent) {
                (Some((_, Extent::Zeros(run))), Extent::Zeros(more)) => *run += more,
                _ => placed.push((here, extent)),
            }
        }
        Content { extents: placed.into(), len }
    }
}

/// Iterator over the pieces of a [`Content`]; see [`Content::chunks`].
#[derive(Debug)]
pub(super) struct Chunks {
    content: Content,
    extent: usize,
    offset: u64,
}

impl Iterator for Chunks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let (_, extent) = self.content.extents.get(self.extent)?;
        let from = self.offset;
        let to = extent.len().min(from + CHUNK);
        let chunk = match extent {
            Extent::Data(bytes) => bytes.slice(from as usize..to as usize),
            Extent::Zeros(_) => Bytes::from_static(&ZEROS[..(to - from) as usize]),
        };
        self.offset = to;
        if to == extent.len() {
            self.extent += 1;
            self.offset = 0;
        }
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIB: u64 = 1 << 40;

    #[test]
    fn a_tebibyte_of_zeros_is_a_number() {
        let huge = Content::zeros(TIB);
        assert_eq!(huge.len(), TIB);
        assert_eq!(huge.extents.len(), 1);
        assert_eq!(huge.slice(TIB - 5..TIB + 5).to_bytes(), vec![0; 5]);
        let patched = huge.overwrite(TIB / 2, &Content::from(Bytes::from_static(b"x")));
        assert_eq!(patched.len(), TIB);
        assert_eq!(patched.slice(TIB / 2 - 1..TIB / 2 + 2).to_bytes(), b"\0x\0"[..]);
        assert_eq!(patched.written(), vec![TIB / 2..TIB / 2 + 1]);
    }

    #[test]
    fn slices_share_the_bytes() {
        let bytes = Bytes::from(vec![7; 1000]);
        let slice = Content::from(bytes.clone()).slice(100..200).to_bytes();
        assert_eq!(slice.as_ptr(), bytes[100..].as_ptr());
    }

    #[test]
    fn chunks_are_bounded() {
        let content = Content::concat([&Content::zeros(CHUNK + 1), &Content::from(Bytes::from_static(b"end"))]);
        let lengths: Vec<usize> = content.chunks().map(|chunk| chunk.len()).collect();
        assert_eq!(lengths, [CHUNK as usize, 1, 3]);
    }

    #[test]
    fn resize_cuts_and_extends() {
        let content = Content::from(Bytes::from_static(b"abc"));
        assert_eq!(content.resize(2).to_bytes(), b"ab"[..]);
        assert_eq!(content.resize(5).to_bytes(), b"abc\0\0"[..]);
    }

    proptest! {
        #[test]
        fn behaves_like_a_vector(
            parts in prop::collection::vec((any::<bool>(), 0usize..20), 0..8),
            cut in (0u64..100, 0u64..100),
        ) {
            let mut model: Vec<u8> = Vec::new();
            let mut contents = Vec::new();
            for (number, (zeros, len)) in parts.into_iter().enumerate() {
                let bytes = vec![if zeros { 0 } else { number as u8 + 1 }; len];
                contents.push(if zeros { Content::zeros(len as u64) } else { Content::from(Bytes::from(bytes.clone())) });
                model.extend(bytes);
            }
            let content = Content::concat(&contents);
            prop_assert_eq!(content.to_bytes(), model.clone());
            let (from, to) = (cut.0.min(cut.1), cut.0.max(cut.1));
            let expected = &model[(from as usize).min(model.len())..(to as usize).min(model.len())];
            prop_assert_eq!(content.slice(from..to).to_bytes(), expected.to_vec());
        }
    }
}
