//! Ranges of a file that the service copies.
//!
//! A range that is copied from another file waits for the commit where it can (`remote`). Where it cannot, it is staged at
//! once: the service makes a block of it by Put Block From URL, pinned to the version of the source that the caller saw.
//! So the source may be changed or removed as soon as the call returns, and an error is the call's own. A call takes one
//! block; what is left the caller asks for again, as `copy_file_range` allows.

use crate::error::Result;
use crate::fs::caller::Caller;
use crate::fs::content::draft::refuse_too_large;
use crate::fs::content::files::Files;
use crate::fs::content::handle::Locked;
use crate::fs::content::loans::Changed;
use crate::fs::content::page::write::PageBlobs;
use crate::fs::content::recall::recall_if_possible;
use crate::fs::content::source::RangeSource;
use crate::fs::content::strategy::WriteStrategy;
use crate::fs::content::upload::Target;

impl Files {
    /// Puts the range of a clean source into the destination at `offset`; how many bytes of it, at least one. `within`:
    /// the source is the destination itself.
    pub(crate) async fn copy_range(
        &self,
        source: RangeSource<'_>,
        within: bool,
        locked: &mut Locked,
        offset: u64,
        caller: Caller,
    ) -> Result<u64> {
        let _storing = locked.file().storing();
        self.make_room(locked).await?;
        // New blocks change nothing before the commit, which recalls by itself.
        let _changing = match locked.draft()?.strategy {
            WriteStrategy::Blocks => None,
            _ => Some(Box::pin(recall_if_possible(self, Changed::One(locked.ino()))).await),
        };
        match locked.draft()?.strategy {
            WriteStrategy::Blocks => {}
            WriteStrategy::Tail(_) => return self.copy_to_tail(&source, locked, offset).await,
            WriteStrategy::Pages(_) => {
                return PageBlobs { files: self }.copy_to_pages(&source, locked, offset, within).await;
            }
        }
        let to = self.tree.blob(locked.ino())?;
        let end = offset.saturating_add(source.block().end - source.range.start);
        refuse_too_large(locked.draft()?, end)?;
        if locked.draft()?.extents.may_replace(offset..end).is_err() {
            self.commit(locked).await?;
        }
        let base = locked.version.clone();
        let target = Target { blob: &to, base: base.as_deref() };
        if let Some(len) = self.uploads.splice_block(target, locked.draft()?, &source, offset, caller).await? {
            locked.publish();
            return Ok(len);
        }
        let bytes = self.uploads.read_source(&source).await?;
        let len = bytes.len() as u64;
        let room = self.room_to_write(locked, len).await?;
        locked.draft()?.take_room(room);
        self.edit(locked, offset.saturating_add(len), |draft| draft.write(offset, &bytes)).await?;
        Ok(len)
    }
}
