//! From an extent map to the page writes that make the blob what it says.
//!
//! | segment | write |
//! |---|---|
//! | Base | none: it is there |
//! | Buffer | Put Page of all pages that it touches, neighbours together |
//! | Zero | clearing of the pages that it covers; nothing behind the old end, where the service has zeros already |
//!
//! No page is in two writes, so they may go out in any order. Base that shares a page with a Buffer is read and written
//! again, and so is a short gap between two Buffers: one request takes the place of two.

use std::ops::Range;

use crate::fs::content::extent_map::{ExtentMap, Segment};
use crate::store::{LARGEST_PAGE_WRITE, PAGE};

/// A gap of so many bytes is read and written with what is around it, as long as all of it is no longer than
/// [`JOINED`].
const SHORT_GAP: u64 = 16 * 1024;
const JOINED: u64 = 64 * 1024;
/// Zeros between two Buffers are sent with them up to this size, bytes.
const FEW_ZEROS: u64 = 64 * 1024;

/// A write of whole pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PlannedWrite {
    /// The extent map's bytes there, at most [`LARGEST_PAGE_WRITE`] bytes.
    Put(Range<u64>),
    Clear(Range<u64>),
}

/// The writes that a blob of `old` bytes needs. The extent map's length is a multiple of [`PAGE`], and Base is where it
/// was.
pub(crate) fn writes(extents: &ExtentMap, old: u64) -> Vec<PlannedWrite> {
    let mut writes: Vec<PlannedWrite> = Vec::new();
    let segments: Vec<_> = extents.segments().collect();
    let is_buffer = |index: usize| matches!(segments.get(index), Some((_, Segment::Buffer(_))));
    for (index, (start, segment)) in segments.iter().enumerate() {
        let range = *start..start + segment.len();
        match segment {
            Segment::Base(_) => {}
            Segment::Buffer(_) => put(&mut writes, range),
            Segment::Zero(_) => {
                let between = index > 0 && is_buffer(index - 1) && is_buffer(index + 1);
                let range = range.start..range.end.min(old);
                let inner = range.start.next_multiple_of(PAGE)..range.end - range.end % PAGE;
                if range.is_empty() {
                } else if inner.is_empty() || between && segment.len() <= FEW_ZEROS {
                    put(&mut writes, range);
                } else {
                    put(&mut writes, range.start..inner.start);
                    writes.push(PlannedWrite::Clear(inner.clone()));
                    put(&mut writes, inner.end..range.end);
                }
            }
            // Blocks are staged for block blobs only.
            Segment::Staged { .. } | Segment::Remote { .. } => {}
        }
    }
    writes.into_iter().flat_map(in_pieces).collect()
}

/// Adds the pages that `range` touches.
fn put(writes: &mut Vec<PlannedWrite>, range: Range<u64>) {
    if range.is_empty() {
        return;
    }
    let mut pages = range.start - range.start % PAGE..range.end.next_multiple_of(PAGE);
    if let Some(PlannedWrite::Put(last)) = writes.last_mut() {
        let touches = pages.start <= last.end;
        let near = pages.start <= last.end + SHORT_GAP && pages.end - last.start <= JOINED;
        if touches || near {
            last.end = last.end.max(pages.end);
            return;
        }
        pages.start = pages.start.max(last.end);
    }
    writes.push(PlannedWrite::Put(pages));
}

fn in_pieces(write: PlannedWrite) -> Vec<PlannedWrite> {
    match write {
        PlannedWrite::Put(range) => {
            let starts = range.clone().step_by(LARGEST_PAGE_WRITE as usize);
            starts.map(|start| PlannedWrite::Put(start..range.end.min(start + LARGEST_PAGE_WRITE))).collect()
        }
        clear => vec![clear],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::content::extent_map::Piece;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;
    const TIB: u64 = 1 << 40;

    #[test]
    fn a_write_in_the_middle_is_its_own_pages() {
        let mut extents = ExtentMap::of_base(TIB);
        extents.write(TIB / 2, &vec![1; 4096].into()).unwrap();
        assert_eq!(writes(&extents, TIB), [PlannedWrite::Put(TIB / 2..TIB / 2 + 4096)]);
        extents.write(TIB / 2 + 4096, &"x".into()).unwrap();
        assert_eq!(writes(&extents, TIB), [PlannedWrite::Put(TIB / 2..TIB / 2 + 4096 + 512)]);
    }

    #[test]
    fn zeros_are_cleared_and_new_ones_cost_nothing() {
        let mut extents = ExtentMap::of_base(TIB);
        extents.splice(100, Segment::Zero(TIB / 2)).unwrap();
        extents.truncate(2 * TIB).unwrap();
        let end = 100 + TIB / 2;
        assert_eq!(
            writes(&extents, TIB),
            [
                PlannedWrite::Put(0..512),
                PlannedWrite::Clear(512..end - end % 512),
                PlannedWrite::Put(end - end % 512..end - end % 512 + 512)
            ]
        );
        // Cut and grown again: what was there must not come back.
        let mut extents = ExtentMap::of_base(8192);
        extents.truncate(512).unwrap();
        extents.truncate(16384).unwrap();
        assert_eq!(writes(&extents, 8192), [PlannedWrite::Clear(512..8192)]);
    }

    #[test]
    fn long_writes_are_cut_and_near_ones_joined() {
        let mut extents = ExtentMap::of_base(TIB);
        extents.write(0, &vec![1; 9 * MIB as usize].into()).unwrap();
        let piece = |i: u64| PlannedWrite::Put(i * 4 * MIB..(9 * MIB).min((i + 1) * 4 * MIB));
        assert_eq!(writes(&extents, TIB), [piece(0), piece(1), piece(2)]);
        let mut extents = ExtentMap::of_base(TIB);
        for at in [0, 8192, MIB] {
            extents.write(at, &"x".into()).unwrap();
        }
        assert_eq!(writes(&extents, TIB), [PlannedWrite::Put(0..8704), PlannedWrite::Put(MIB..MIB + 512)]);
    }

    /// A change of an extent map and of the bytes that it stands for.
    #[derive(Debug, Clone)]
    enum Op {
        Write(u64, usize),
        Zero(u64, u64),
        Truncate(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        // Large enough that gaps are sometimes too long to be joined.
        prop_oneof![
            (0u64..60_000, 1usize..3000).prop_map(|(at, len)| Op::Write(at, len)),
            (0u64..60_000, 1u64..30_000).prop_map(|(at, len)| Op::Zero(at, len)),
            (0u64..120).prop_map(|pages| Op::Truncate(pages * PAGE)),
        ]
    }

    proptest! {
        #[test]
        fn the_writes_make_the_blob_what_the_rope_says(old in 0u64..120, ops in prop::collection::vec(op(), 0..12)) {
            let old = old * PAGE;
            let base: Vec<u8> = (0..old).map(|at| (at % 251) as u8 + 1).collect();
            let mut model = base.clone();
            let mut extents = ExtentMap::of_base(old);
            for (number, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Write(at, len) => {
                        let bytes = vec![number as u8 + 1; len];
                        extents.write(at, &bytes.clone().into()).unwrap();
                        model.resize(model.len().max(at as usize + len), 0);
                        model[at as usize..at as usize + len].copy_from_slice(&bytes);
                    }
                    Op::Zero(at, len) => {
                        extents.splice(at, Segment::Zero(len)).unwrap();
                        model.resize(model.len().max((at + len) as usize), 0);
                        model[at as usize..(at + len) as usize].fill(0);
                    }
                    Op::Truncate(len) => {
                        extents.truncate(len).unwrap();
                        model.resize(len as usize, 0);
                    }
                }
            }
            let size = extents.len().next_multiple_of(PAGE);
            extents.truncate(size).unwrap();
            model.resize(size as usize, 0);

            // The service: a resize, then the writes, here from the last to the first.
            let mut blob = base.clone();
            blob.resize(size as usize, 0);
            let mut touched = vec![0; size as usize];
            for write in writes(&extents, old).into_iter().rev() {
                let (range, bytes) = match write {
                    PlannedWrite::Clear(range) => (range.clone(), vec![0; (range.end - range.start) as usize]),
                    PlannedWrite::Put(range) => {
                        prop_assert!(range.end - range.start <= LARGEST_PAGE_WRITE);
                        let mut bytes = Vec::new();
                        for piece in extents.read(range.clone()) {
                            match piece {
                                Piece::Bytes(data) => bytes.extend_from_slice(&data),
                                Piece::Zero(len) => bytes.resize(bytes.len() + len as usize, 0),
                                Piece::Base(range) => bytes.extend_from_slice(&base[range.start as usize..range.end as usize]),
                                Piece::Staged => prop_assert!(false),
                            }
                        }
                        (range, bytes)
                    }
                };
                prop_assert!(range.start % PAGE == 0 && range.end % PAGE == 0 && !range.is_empty());
                prop_assert!(range.end <= size, "{range:?} of {size}");
                let range = range.start as usize..range.end as usize;
                touched[range.clone()].iter_mut().for_each(|times| *times += 1);
                blob[range].copy_from_slice(&bytes);
            }
            prop_assert!(touched.iter().all(|times| *times <= 1));
            prop_assert!(blob == model);
        }
    }
}
