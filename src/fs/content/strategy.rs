//! Changes that the type of a blob allows, and the way of new content into it.

use std::ops::Range;

use crate::fs::content::page::WriteGuard;
use crate::fs::content::tail::{Aim, Tail};
use crate::store::{BlobType, LARGEST_PAGE_BLOB, PAGE};

/// The way of new content into a blob.
#[derive(Debug)]
pub(crate) enum WriteStrategy {
    /// As a list of blocks. What is created here is such a blob.
    Blocks,
    /// At the end and nowhere else.
    Tail(Tail),
    /// In place.
    Pages(WriteGuard),
}

/// A change that is asked for, as far as the type of the blob has a say in it. Bytes.
#[derive(Debug)]
pub(crate) enum Change {
    Write { range: Range<u64>, aim: Aim },
    Resize(u64),
    Zeros(Range<u64>),
}

impl WriteStrategy {
    pub(crate) fn of(blob_type: BlobType) -> Self {
        match blob_type {
            BlobType::Block => Self::Blocks,
            BlobType::Append => Self::Tail(Tail::new()),
            BlobType::Page => Self::Pages(WriteGuard::Version),
        }
    }

    /// A blob of the one form and a blob of the other are of one type.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Whether a blob of `size` bytes takes the change; the errno and why, if not.
    pub(in crate::fs) fn admit(&mut self, change: &Change, size: u64) -> std::result::Result<(), (i32, &'static str)> {
        match (self, change) {
            (Self::Blocks, _) => Ok(()),
            (Self::Tail(tail), Change::Write { range, aim }) if range.start == size => {
                // One byte that must be where it is binds all that wait with it.
                if *aim == Aim::Position {
                    tail.aim = Aim::Position;
                }
                Ok(())
            }
            (Self::Tail(_), Change::Resize(to)) if [0, size].contains(to) => Ok(()),
            (Self::Tail(_), _) => Err((libc::EOPNOTSUPP, "an AppendBlob takes bytes at its end only, or is emptied")),
            (Self::Pages(_), Change::Resize(to)) if !to.is_multiple_of(PAGE) => {
                Err((libc::EINVAL, "the size of a PageBlob is a multiple of 512 bytes"))
            }
            (Self::Pages(_), Change::Zeros(range)) if range.end > size && !range.end.is_multiple_of(PAGE) => {
                Err((libc::EINVAL, "the size of a PageBlob is a multiple of 512 bytes"))
            }
            (
                Self::Pages(_),
                Change::Resize(end) | Change::Zeros(Range { end, .. }) | Change::Write { range: Range { end, .. }, .. },
            ) if *end > LARGEST_PAGE_BLOB => Err((libc::EFBIG, "larger than a PageBlob")),
            (Self::Pages(_), _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn write(range: Range<u64>) -> Change {
        Change::Write { range, aim: Aim::Position }
    }

    #[rstest]
    #[case(BlobType::Append, write(1000..1001), Ok(()))]
    #[case(BlobType::Append, write(999..1000), Err(libc::EOPNOTSUPP))]
    #[case(BlobType::Append, write(1001..1002), Err(libc::EOPNOTSUPP))]
    #[case(BlobType::Append, Change::Resize(0), Ok(()))]
    #[case(BlobType::Append, Change::Resize(1000), Ok(()))]
    #[case(BlobType::Append, Change::Resize(999), Err(libc::EOPNOTSUPP))]
    #[case(BlobType::Append, Change::Resize(1001), Err(libc::EOPNOTSUPP))]
    #[case(BlobType::Append, Change::Zeros(0..10), Err(libc::EOPNOTSUPP))]
    #[case(BlobType::Page, write(3..5000), Ok(()))]
    #[case(BlobType::Page, write(0..LARGEST_PAGE_BLOB + 1), Err(libc::EFBIG))]
    #[case(BlobType::Page, Change::Resize(512), Ok(()))]
    #[case(BlobType::Page, Change::Resize(513), Err(libc::EINVAL))]
    #[case(BlobType::Page, Change::Resize(LARGEST_PAGE_BLOB + 512), Err(libc::EFBIG))]
    #[case(BlobType::Page, Change::Zeros(3..900), Ok(()))]
    #[case(BlobType::Page, Change::Zeros(3..1001), Err(libc::EINVAL))]
    #[case(BlobType::Page, Change::Zeros(3..1024), Ok(()))]
    #[case(BlobType::Block, write(1..2), Ok(()))]
    fn changes_that_a_type_takes(
        #[case] blob_type: BlobType,
        #[case] change: Change,
        #[case] expected: std::result::Result<(), i32>,
    ) {
        assert_eq!(WriteStrategy::of(blob_type).admit(&change, 1000).map_err(|(errno, _)| errno), expected);
    }
}
