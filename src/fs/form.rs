//! Where the three types of blobs meet: how each takes new content, and which changes it refuses.
//!
//! | type | new content | room |
//! |---|---|---|
//! | block blob | a new list of blocks, all at once | `plan`, `stage`, `commit` |
//! | append blob | blocks at the end | `append` |
//! | page blob | pages, where they are | `page` |
//!
//! All of them are read and changed here as a rope; they differ in what a commit makes of it. A blob keeps its type for life: the service
//! changes it as little as a truncation here does.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::append::{Aim, Tail, tail_block};
use crate::fs::attr::{self, AttrChange, FileKind};
use crate::fs::commit::draft_of;
use crate::fs::handle::{Content, OpenFile, State};
use crate::fs::page::{Hold, MOST_BUFFERED};
use crate::store::{BlobProperties, BlobType, LARGEST_PAGE_BLOB, Metadata, PAGE};

/// Bytes that a file without a name may hold in memory: there is nowhere to send them.
const MOST_NAMELESS: u64 = 64 << 20;

/// How new content gets into a blob.
#[derive(Debug)]
pub enum Form {
    /// As a list of blocks. What is created here is such a blob.
    Blocks,
    /// At the end and nowhere else.
    Tail(Tail),
    /// In place.
    Pages(Hold),
}

/// A change that is asked for, as far as the type of the blob has a say in it. Bytes.
#[derive(Debug)]
pub enum Change {
    Write { range: Range<u64>, aim: Aim },
    Resize(u64),
    Zeros(Range<u64>),
}

impl Form {
    pub fn of(blob_type: BlobType) -> Self {
        match blob_type {
            BlobType::Block => Self::Blocks,
            BlobType::Append => Self::Tail(Tail::new()),
            BlobType::Page => Self::Pages(Hold::Version),
        }
    }

    /// A blob of the one form and a blob of the other are of one type.
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Whether a blob of `size` bytes takes the change; the errno and why, if not.
    fn admit(&mut self, change: &Change, size: u64) -> std::result::Result<(), (i32, &'static str)> {
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

impl Fs {
    /// The blob's type allows the change.
    pub(super) fn admit(&self, file: &OpenFile, state: &mut State, change: Change) -> Result<()> {
        let draft = draft_of(state)?;
        let size = draft.rope.len();
        let admitted = draft.form.admit(&change, size);
        if admitted.is_err() {
            // What is not written needs no memory.
            draft.give_back_room();
        }
        admitted.map_err(|(errno, why)| {
            let name = self.tree.view(file.ino).map(|view| view.name).unwrap_or_default();
            Error::fs(errno, format!("{name}: {why}"))
        })
    }

    /// [`Fs::make_room`] where new content goes into the blob itself: whoever fills the memory of a file sends what is in it.
    pub(super) async fn make_room_in_place(&self, file: &OpenFile, state: &mut State) -> Result<()> {
        let Content::Draft(draft) = &state.content else { return Ok(()) };
        let block = tail_block(state);
        let full = match draft.form {
            Form::Blocks => false,
            Form::Tail(_) => draft.rope.buffered() >= block,
            Form::Pages(_) => draft.rope.buffered() >= MOST_BUFFERED || draft.is_scattered(),
        };
        if !full {
            return Ok(());
        }
        match self.tree.blob(file.ino) {
            Err(error) if error.is_not_found() && draft.rope.buffered() < MOST_NAMELESS => return Ok(()),
            Err(error) if error.is_not_found() => {
                let what = format!("{error}: without a name it has only memory, and that is full");
                return Err(Error::fs(libc::ENOSPC, what));
            }
            other => drop(other?),
        }
        match draft.form {
            Form::Tail(_) => self.send_tail(file, state, block).await,
            Form::Blocks | Form::Pages(_) => self.commit(file, state).await,
        }
    }

    /// The metadata of a blob whose content was changed in place, if they have to be others: a time that is stored there would be a
    /// lie, and mode, owner and time may have been asked for.
    pub(super) fn metadata_after(&self, properties: &BlobProperties, change: &AttrChange) -> Option<Metadata> {
        let mut metadata = properties.metadata.clone();
        attr::forget_time(&mut metadata);
        change.apply(FileKind::File, &mut metadata, &self.config.defaults);
        (metadata != properties.metadata).then_some(metadata)
    }

    /// The server does not know the operation by which a range would be copied: it has to be moved. Said once.
    pub(super) fn must_move(&self, error: &Error) -> bool {
        let unknown = error.errno() == libc::EOPNOTSUPP && error.status() >= 500;
        if unknown && !self.said_moving_data.swap(true, std::sync::atomic::Ordering::Relaxed) {
            tracing::warn!(%error, "this server cannot copy ranges of blobs: reading and writing them instead");
        }
        unknown
    }
}

/// What a failed condition on the blob itself means to whoever has it open.
pub(super) fn stale(error: Error, path: &crate::path::BlobPath) -> Error {
    let moved = error.is_precondition_failed() || error.code() == "AppendPositionConditionNotMet";
    if moved || error.is_not_found() {
        Error::fs(libc::ESTALE, format!("{path} was changed by another writer meanwhile: {error}"))
    } else {
        error
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
        assert_eq!(Form::of(blob_type).admit(&change, 1000).map_err(|(errno, _)| errno), expected);
    }
}
