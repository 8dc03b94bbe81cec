//! Ranges copied within one file: nothing has to be copied, the range is put into the extent map a second time, from
//! wherever it is.

use crate::error::Result;
use crate::fs::caller::Caller;
use crate::fs::content::destination::CopyDestinations;
use crate::fs::content::extent_map::{Piece, Segment};
use crate::fs::content::handle::Handle;
use crate::fs::content::source::{RangeSource, nameless};
use crate::fs::content::strategy::WriteStrategy;

impl CopyDestinations {
    /// `copy_file_range` within one file. The kernel has refused ranges that overlap.
    pub(crate) async fn copy_within(
        &self,
        handle: &Handle,
        from: u64,
        to: u64,
        len: u64,
        caller: Caller,
    ) -> Result<u64> {
        let file = &handle.file;
        let mut state = self.settled(file, caller).await?;
        handle.version(&state)?;
        self.files.make_room(&mut state).await?;
        let range = from..from.saturating_add(len);
        if !matches!(state.draft()?.strategy, WriteStrategy::Blocks) {
            self.files.refuse_nameless(file)?;
            self.files.commit(&mut state).await?;
            let Some(version) = handle.version(&state)? else { return Ok(0) };
            let range = from..range.end.min(version.properties.size);
            if range.is_empty() {
                return Ok(0);
            }
            let from = self.files.tree.origin(file.ino)?;
            let source = RangeSource::of(&from, &version.properties.etag, range);
            return self.files.copy_range(source, true, &mut state, to, caller).await;
        }
        if state.draft()?.extents.read(range.clone()).contains(&Piece::Staged) {
            self.files.commit(&mut state).await?;
        }
        let pieces = state.draft()?.extents.read(range);
        let mut at = to;
        for piece in pieces {
            let segment = match piece {
                Piece::Base(range) => Segment::Base(range),
                Piece::Zero(len) => Segment::Zero(len),
                Piece::Bytes(bytes) => Segment::Buffer(bytes.into()),
                Piece::Staged => return Err(nameless()),
            };
            let end = at.saturating_add(segment.len());
            // A commit here would make what the other pieces name something else.
            if state.draft()?.extents.may_replace(at..end).is_err() {
                if at > to {
                    break;
                }
                self.files.commit(&mut state).await?;
                if state.draft()?.extents.may_replace(at..end).is_err() {
                    return Err(nameless());
                }
                drop(state);
                return Box::pin(self.copy_within(handle, from, to, len, caller)).await;
            }
            self.files.edit(&mut state, end, |draft| draft.splice(at, segment.clone())).await?;
            at = end;
        }
        Ok(at - to)
    }
}
