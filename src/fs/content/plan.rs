//! From an extent map to the blocks of the next version: which are there already, which the service makes, which are
//! sent.
//!
//! | segment | block |
//! |---|---|
//! | Base, covering a committed block exactly | that block again, by its id: no request |
//! | other Base | Put Block From URL of the blob itself, for each 4000 MiB: no payload |
//! | Staged | it is there |
//! | Buffer, and few zeros | Put Block, neighbours together up to the block size |
//! | Remote | Put Block From URL of the other blob, for each 4000 MiB: no payload |
//! | many zeros | one block of zeros, sent once and listed as often as it takes: Put Block List may name a block repeatedly |
//!
//! A short piece of Base between two that are sent is read and sent with them: one request takes the place of two.
//!
//! A blob has at most 50 000 blocks. When there would be more, committed neighbours are made one block by the service,
//! those runs first in which most blocks disappear; if that does not suffice, neighbours that are short are read and
//! sent as one. Both go a little further than they must, so that not every following commit has to do it again.

use std::ops::Range;

use crate::fs::content::extent_map::{ExtentMap, Segment};
use crate::store::{self, BlockId};

const MIB: u64 = 1024 * 1024;

/// Limits of the service and of this machine's memory.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Bytes of a block that is sent.
    pub block: u64,
    /// Bytes of a block that the service makes.
    pub remote: u64,
    pub blocks: usize,
}

impl Limits {
    /// §15, with blocks of `block` bytes.
    pub(crate) fn of_service(block: u64) -> Self {
        Self { block, remote: 4000 * MIB, blocks: 50_000 }
    }
}

/// Base between two pieces that are sent is read up to this size, bytes: reading so little takes no longer than any
/// request.
const SHORT_GAP: u64 = 64 * 1024;
/// Zeros are sent like other bytes up to this size.
const FEW_ZEROS: u64 = MIB;
/// A run of zeros takes about so many blocks of zeros; they grow with it up to [`LARGEST_ZERO_BLOCK`].
const ZERO_BLOCKS: u64 = 8192;
const LARGEST_ZERO_BLOCK: u64 = 64 * MIB;
/// Longest run of zeros: more would take most of the 50 000 blocks for nothing.
pub(crate) const LARGEST_ZEROS: u64 = 2 * 1024 * 1024 * MIB;
/// Neighbours become a block of at most so many bytes when there are too many; what the service copies within a few
/// seconds.
const MERGED: u64 = 256 * MIB;

/// A block of the next version, or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Block {
    /// The committed block that holds that range.
    Keep(BlockId, Range<u64>),
    /// A range of the committed blob.
    Base(Range<u64>),
    /// A range of another blob, by its number among the sources of the draft.
    Remote(usize, Range<u64>),
    Staged(BlockId, u64),
    /// The bytes of that range of the extent map; parts of it may have to be read.
    Send(Range<u64>),
    /// `count` times one block of `len` zeros.
    Zeros {
        len: u64,
        count: u64,
    },
}

impl Block {
    fn count(&self) -> usize {
        match self {
            Self::Zeros { count, .. } => *count as usize,
            _ => 1,
        }
    }

    fn base(&self) -> Option<&Range<u64>> {
        match self {
            Self::Keep(_, range) | Self::Base(range) => Some(range),
            _ => None,
        }
    }
}

/// A block and the range of the extent map that it holds.
type Placed = (Range<u64>, Block);

/// The blocks that make the blob what the extent map says, in order. `committed` are those of the blob that it stands
/// on. `None`: there is no way to do it with so few blocks.
pub(crate) fn blocks(extents: &ExtentMap, committed: &[store::Block], limits: &Limits) -> Option<Vec<Block>> {
    let mut plan = each_segment(extents, committed, limits);
    plan = with_gaps_read(plan, limits);
    if count(&plan) > limits.blocks {
        let wanted = limits.blocks - limits.blocks / 10;
        plan = merged(plan, wanted, MERGED.min(limits.remote), next_of_base);
        plan = merged(plan, wanted, limits.block, next_to_send);
    }
    (count(&plan) <= limits.blocks).then(|| plan.into_iter().map(|(_, block)| block).collect())
}

fn count(plan: &[Placed]) -> usize {
    plan.iter().map(|(_, block)| block.count()).sum()
}

fn each_segment(extents: &ExtentMap, committed: &[store::Block], limits: &Limits) -> Vec<Placed> {
    let mut ends = Vec::with_capacity(committed.len());
    let mut end = 0;
    for block in committed {
        end += block.size;
        ends.push(end);
    }
    let mut plan: Vec<Placed> = Vec::new();
    for (start, segment) in extents.segments() {
        let whole = start..start + segment.len();
        match segment {
            Segment::Base(range) => {
                for block in of_base(range, committed, &ends, limits) {
                    let at = plan.last().map_or(0, |(range, _)| range.end);
                    let len = block.base().map_or(0, |range| range.end - range.start);
                    plan.push((at..at + len, block));
                }
            }
            Segment::Staged { id, len } => plan.push((whole, Block::Staged(id.clone(), *len))),
            Segment::Remote { source, range } => {
                for (at, part) in parts(start, range, limits.remote) {
                    plan.push((at, Block::Remote(*source, part)));
                }
            }
            Segment::Buffer(_) => send(&mut plan, whole, limits),
            Segment::Zero(_) => zeros(&mut plan, whole, limits),
        }
    }
    plan
}

/// A range in parts of at most `longest` bytes: where each goes, and which it is.
fn parts(to: u64, range: &Range<u64>, longest: u64) -> impl Iterator<Item = (Range<u64>, Range<u64>)> {
    let starts = (0..(range.end - range.start).div_ceil(longest)).map(move |number| number * longest);
    starts.map(move |from| {
        let end = (from + longest).min(range.end - range.start);
        (to + from..to + end, range.start + from..range.start + end)
    })
}

/// A range of the committed blob by its own blocks, the ends that are not whole blocks by copies.
fn of_base(range: &Range<u64>, committed: &[store::Block], ends: &[u64], limits: &Limits) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut start = range.start;
    while start < range.end {
        let index = ends.partition_point(|end| *end <= start);
        let found = committed.get(index).map(|block| (block, ends[index] - block.size..ends[index]));
        let block = match found {
            Some((block, at)) if at.start == start && at.end <= range.end => Block::Keep(block.id.clone(), at),
            found => {
                let end = found.map_or(range.end, |(_, at)| at.end.min(range.end));
                Block::Base(start..end.min(start + limits.remote))
            }
        };
        start = block.base().map_or(range.end, |range| range.end);
        blocks.push(block);
    }
    blocks
}

/// Adds a range to send, to the one before it if there is room.
fn send(plan: &mut Vec<Placed>, mut range: Range<u64>, limits: &Limits) {
    while !range.is_empty() {
        let taken = match plan.last_mut() {
            Some((at, Block::Send(last))) if last.end == range.start && last.end - last.start < limits.block => {
                let end = range.end.min(last.start + limits.block);
                (at.end, last.end) = (end, end);
                end
            }
            _ => {
                let end = range.end.min(range.start + limits.block);
                plan.push((range.start..end, Block::Send(range.start..end)));
                end
            }
        };
        range.start = taken;
    }
}

/// Adds zeros: many of one block, what is left of smaller ones, the rest like other bytes.
fn zeros(plan: &mut Vec<Placed>, mut range: Range<u64>, limits: &Limits) {
    while range.end - range.start > FEW_ZEROS {
        let length = range.end - range.start;
        let len = length.div_ceil(ZERO_BLOCKS).next_multiple_of(MIB).min(LARGEST_ZERO_BLOCK);
        let count = length / len;
        let end = range.start + len * count;
        plan.push((range.start..end, Block::Zeros { len, count }));
        range.start = end;
    }
    send(plan, range, limits);
}

fn with_gaps_read(plan: Vec<Placed>, limits: &Limits) -> Vec<Placed> {
    let mut joined: Vec<Placed> = Vec::with_capacity(plan.len());
    for (range, block) in plan {
        if let Block::Send(_) = block
            && let [.., (before, Block::Send(_)), (gap, Block::Base(_))] = joined.as_mut_slice()
            && gap.end - gap.start <= SHORT_GAP
            && range.end - before.start <= limits.block
        {
            let whole = before.start..range.end;
            joined.truncate(joined.len() - 2);
            joined.push((whole.clone(), Block::Send(whole)));
            continue;
        }
        joined.push((range, block));
    }
    joined
}

/// The block that `run` and `next` can be together.
type Joined = fn(run: &Placed, next: &Placed) -> Option<Placed>;

fn next_of_base((at, run): &Placed, (behind, next): &Placed) -> Option<Placed> {
    let (first, second) = (run.base()?, next.base()?);
    (first.end == second.start).then_some((at.start..behind.end, Block::Base(first.start..second.end)))
}

fn next_to_send((at, run): &Placed, (behind, next): &Placed) -> Option<Placed> {
    let can = |block: &Block| matches!(block, Block::Keep(..) | Block::Base(_) | Block::Send(_));
    let whole = at.start..behind.end;
    (can(run) && can(next)).then(|| (whole.clone(), Block::Send(whole)))
}

/// Merges runs of blocks, none longer than `longest` bytes, those of most blocks first, until `wanted` or fewer are
/// left.
fn merged(plan: Vec<Placed>, wanted: usize, longest: u64, together: Joined) -> Vec<Placed> {
    let mut left = count(&plan);
    let mut runs: Vec<(Placed, Vec<Placed>)> = Vec::new();
    for placed in plan {
        if let Some((run, parts)) = runs.last_mut()
            && placed.0.end - run.0.start <= longest
            && let Some(whole) = together(run, &placed)
        {
            *run = whole;
            parts.push(placed);
        } else {
            runs.push((placed.clone(), vec![placed]));
        }
    }
    let mut by_length: Vec<usize> = (0..runs.len()).filter(|index| runs[*index].1.len() > 1).collect();
    by_length.sort_by_key(|index| std::cmp::Reverse(runs[*index].1.len()));
    let mut chosen = vec![false; runs.len()];
    for index in by_length {
        if left <= wanted {
            break;
        }
        left -= runs[index].1.len() - 1;
        chosen[index] = true;
    }
    let pick = |((run, parts), chosen)| if chosen { vec![run] } else { parts };
    runs.into_iter().zip(chosen).flat_map(pick).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { block: 8 * MIB, remote: 4000 * MIB, blocks: 50_000 };
    const GIB: u64 = 1024 * MIB;

    fn committed(count: u64, size: u64) -> Vec<store::Block> {
        (0..count).map(|i| store::Block { id: BlockId::new(&format!("{i:04}")), size }).collect()
    }

    fn keep(i: u64, size: u64) -> Block {
        Block::Keep(BlockId::new(&format!("{i:04}")), i * size..(i + 1) * size)
    }

    #[test]
    fn a_write_in_the_middle_of_a_block_keeps_all_others() {
        let size = 128 * MIB;
        let mut extents = ExtentMap::of_base(800 * size);
        extents.write(400 * size + MIB, &Bytes::from_static(&[1; 1000])).unwrap();
        let plan = blocks(&extents, &committed(800, size), &LIMITS).unwrap();
        let at = 400 * size + MIB;
        let mut expected: Vec<Block> = (0..400).map(|i| keep(i, size)).collect();
        expected.extend([Block::Base(400 * size..at), Block::Send(at..at + 1000), Block::Base(at + 1000..401 * size)]);
        expected.extend((401..800).map(|i| keep(i, size)));
        assert_eq!(plan, expected);
    }

    #[test]
    fn a_blob_without_blocks_becomes_blocks_of_itself() {
        let mut extents = ExtentMap::of_base(5 * GIB);
        extents.truncate(5 * GIB - 1).unwrap();
        let plan = blocks(&extents, &[], &LIMITS).unwrap();
        assert_eq!(plan, [Block::Base(0..4000 * MIB), Block::Base(4000 * MIB..5 * GIB - 1)]);
    }

    #[test]
    fn neighbours_in_memory_are_sent_together_and_long_zeros_once() {
        let mut extents = ExtentMap::default();
        extents.write(100, &Bytes::from_static(b"x")).unwrap();
        extents.write(10 * GIB, &Bytes::from_static(b"y")).unwrap();
        let size = 2 * MIB;
        let plan = blocks(&extents, &[], &LIMITS).unwrap();
        let zeros = (10 * GIB - 101) / size;
        assert_eq!(
            plan,
            [
                Block::Send(0..101),
                Block::Zeros { len: size, count: zeros },
                Block::Zeros { len: MIB, count: 1 },
                Block::Send(101 + zeros * size + MIB..10 * GIB + 1)
            ]
        );
        extents.truncate(101 + MIB).unwrap();
        assert_eq!(blocks(&extents, &[], &LIMITS).unwrap(), [Block::Send(0..101 + MIB)]);
    }

    #[test]
    fn a_range_of_another_blob_is_as_few_blocks_as_the_service_makes() {
        let mut extents = ExtentMap::default();
        for mib in 0..5000 {
            let range = (mib + 7) * MIB..(mib + 8) * MIB;
            extents.splice(mib * MIB, Segment::Remote { source: 3, range }).unwrap();
        }
        extents.splice(5000 * MIB, Segment::Remote { source: 1, range: 5007 * MIB..5008 * MIB }).unwrap();
        let plan = blocks(&extents, &[], &LIMITS).unwrap();
        let expected = [
            Block::Remote(3, 7 * MIB..4007 * MIB),
            Block::Remote(3, 4007 * MIB..5007 * MIB),
            Block::Remote(1, 5007 * MIB..5008 * MIB),
        ];
        assert_eq!(plan, expected);
    }

    #[test]
    fn a_short_gap_between_two_writes_is_read() {
        let mut extents = ExtentMap::of_base(GIB);
        for at in [MIB, MIB + 4096, MIB + 20 * 4096] {
            extents.write(at, &Bytes::from_static(b"x")).unwrap();
        }
        let plan = blocks(&extents, &[], &LIMITS).unwrap();
        let last = MIB + 20 * 4096;
        assert_eq!(
            plan,
            [
                Block::Base(0..MIB),
                Block::Send(MIB..MIB + 4097),
                Block::Base(MIB + 4097..last),
                Block::Send(last..last + 1),
                Block::Base(last + 1..GIB),
            ]
        );
    }

    #[test]
    fn appending_to_a_blob_of_50_000_blocks_merges_some_and_not_all() {
        let size = 4 * MIB;
        let mut extents = ExtentMap::of_base(50_000 * size);
        extents.write(50_000 * size, &Bytes::from_static(b"x")).unwrap();
        let plan = blocks(&extents, &committed(50_000, size), &LIMITS).unwrap();
        assert!(plan.len() <= 50_000, "{}", plan.len());
        let made = plan.iter().filter(|block| matches!(block, Block::Base(_))).count();
        // 64 blocks become one: 5000 disappear with 80 requests.
        assert_eq!(made, 80);
    }

    proptest! {
        #[test]
        fn a_plan_holds_every_byte_once_and_no_more_blocks_than_allowed(
            sizes in prop::collection::vec(1u64..40, 0..12),
            writes in prop::collection::vec((0u64..600, 0usize..30), 0..8),
            cut in 0u64..700,
            limit in 4usize..40,
        ) {
            let committed: Vec<_> =
                sizes.iter().enumerate().map(|(i, size)| store::Block { id: BlockId::new(&i.to_string()), size: *size }).collect();
            let base: u64 = sizes.iter().sum();
            let mut extents = ExtentMap::of_base(base);
            for (at, len) in writes {
                extents.write(at, &vec![1; len].into()).unwrap();
            }
            extents.truncate(cut).unwrap();
            let limits = Limits { block: 64, remote: 100, blocks: limit };
            let Some(plan) = blocks(&extents, &committed, &limits) else { return Ok(()) };
            prop_assert!(plan.iter().map(Block::count).sum::<usize>() <= limit);
            let mut at = 0;
            for block in plan {
                let len = match &block {
                    Block::Keep(_, range) | Block::Base(range) => {
                        // The extent map has that base there, and nothing else.
                        let mut base = Vec::new();
                        for piece in extents.read(at..at + range.end - range.start) {
                            prop_assert!(matches!(piece, crate::fs::content::extent_map::Piece::Base(_)));
                            if let crate::fs::content::extent_map::Piece::Base(range) = piece { base.extend(range) }
                        }
                        prop_assert_eq!(base, range.clone().collect::<Vec<_>>());
                        range.end - range.start
                    }
                    Block::Send(range) => {
                        prop_assert_eq!(range.start, at);
                        prop_assert!(range.end - range.start <= limits.block);
                        range.end - range.start
                    }
                    Block::Remote(..) => return Err(TestCaseError::fail("there is no other blob")),
                    Block::Zeros { len, count } => len * count,
                    Block::Staged(_, len) => *len,
                };
                prop_assert!(len > 0);
                at += len;
            }
            prop_assert_eq!(at, extents.len());
        }
    }
}
