//! Ranges of a page blob that have been written; all else is holes, which read as zeros and are not sent.

use std::collections::BTreeMap;
use std::ops::Range;

/// Ranges of data in bytes: start and end, apart from each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PageRanges(BTreeMap<u64, u64>);

impl PageRanges {
    pub(crate) fn of(ranges: impl IntoIterator<Item = Range<u64>>) -> Self {
        let mut all = Self::default();
        ranges.into_iter().for_each(|range| all.write(range));
        all
    }

    /// The data in `range`, in order.
    pub(crate) fn within(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let first = self.0.range(..=range.start).next_back().map_or(range.start, |(start, _)| *start);
        let near = self.0.range(first..range.end.max(first));
        near.map(|(start, end)| range.start.max(*start)..range.end.min(*end)).filter(|data| !data.is_empty()).collect()
    }

    /// The first offset from `offset` on that is data; `None` if there is none.
    pub(crate) fn data(&self, offset: u64) -> Option<u64> {
        self.within(&(offset..u64::MAX)).first().map(|data| data.start)
    }

    /// The first offset from `offset` on that is not data.
    pub(crate) fn hole(&self, offset: u64) -> u64 {
        match self.0.range(..=offset).next_back() {
            Some((_, end)) if *end > offset => *end,
            _ => offset,
        }
    }

    pub(crate) fn write(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        // Those that it touches become one with it.
        while let Some((other, other_end)) = self.0.range(..=end).next_back().map(|(start, end)| (*start, *end))
            && other_end >= start
        {
            self.0.remove(&other);
            (start, end) = (start.min(other), end.max(other_end));
        }
        self.0.insert(start, end);
    }

    pub(crate) fn clear(&mut self, range: Range<u64>) {
        for data in self.within(&range) {
            let Some((start, end)) = self.0.range(..=data.start).next_back().map(|(start, end)| (*start, *end)) else {
                continue;
            };
            self.0.remove(&start);
            if start < data.start {
                self.0.insert(start, data.start);
            }
            if data.end < end {
                self.0.insert(data.end, end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_are_what_a_row_of_bits_says(ops in prop::collection::vec((any::<bool>(), 0u64..60, 0u64..20), 0..20)) {
            let mut bits = [false; 80];
            let mut ranges = PageRanges::default();
            for (write, start, len) in ops {
                let range = start..start + len;
                bits[start as usize..(start + len) as usize].fill(write);
                if write { ranges.write(range) } else { ranges.clear(range) }
            }
            let all: Vec<u64> = ranges.within(&(0..80)).into_iter().flatten().collect();
            let expected: Vec<u64> = (0..80).filter(|at| bits[*at as usize]).collect();
            prop_assert_eq!(&all, &expected);
            // Neighbours are one.
            prop_assert!(ranges.0.iter().zip(ranges.0.keys().skip(1)).all(|((_, end), next)| end < next));
            for at in 0..80 {
                prop_assert_eq!(ranges.data(at), expected.iter().copied().find(|data| *data >= at));
                prop_assert_eq!(ranges.hole(at), (at..).find(|at| *at >= 80 || !bits[*at as usize]).unwrap());
                let near: Vec<u64> = ranges.within(&(at..at + 7)).into_iter().flatten().collect();
                prop_assert_eq!(near, expected.iter().copied().filter(|d| (at..at + 7).contains(d)).collect::<Vec<_>>());
            }
        }
    }
}
