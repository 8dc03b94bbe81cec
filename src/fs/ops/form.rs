//! Where the three types of blobs meet: how each takes new content, and which changes it refuses.
//!
//! | type | new content | room |
//! |---|---|---|
//! | block blob | a new list of blocks, all at once | `plan`, `stage`, `commit` |
//! | append blob | blocks at the end | `append` |
//! | page blob | pages, where they are | `page` |
//!
//! All of them are read and changed here as an extent map; they differ in what a commit makes of it. A blob keeps its type for life: the service
//! changes it as little as a truncation here does.

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::content::handle::{Content, OpenFile, State};
use crate::fs::content::page::MOST_BUFFERED;
use crate::fs::content::strategy::{Change, WriteStrategy};
use crate::fs::names::attr::{self, AttrChange, FileKind};
use crate::fs::ops::append::tail_block;
use crate::fs::ops::commit::draft_of;
use crate::store::{BlobProperties, Metadata};

/// Bytes that a file without a name may hold in memory: there is nowhere to send them.
const MOST_NAMELESS: u64 = 64 << 20;

impl Fs {
    /// The blob's type allows the change.
    pub(in crate::fs) fn admit(&self, file: &OpenFile, state: &mut State, change: Change) -> Result<()> {
        let draft = draft_of(state)?;
        let size = draft.extents.len();
        let admitted = draft.strategy.admit(&change, size);
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
    pub(in crate::fs) async fn make_room_in_place(&self, file: &OpenFile, state: &mut State) -> Result<()> {
        let Content::Draft(draft) = &state.content else { return Ok(()) };
        let block = tail_block(state);
        let full = match draft.strategy {
            WriteStrategy::Blocks => false,
            WriteStrategy::Tail(_) => draft.extents.buffered() >= block,
            WriteStrategy::Pages(_) => draft.extents.buffered() >= MOST_BUFFERED || draft.is_scattered(),
        };
        if !full {
            return Ok(());
        }
        match self.tree.blob(file.ino) {
            Err(error) if error.is_not_found() && draft.extents.buffered() < MOST_NAMELESS => return Ok(()),
            Err(error) if error.is_not_found() => {
                let what = format!("{error}: without a name it has only memory, and that is full");
                return Err(Error::fs(libc::ENOSPC, what));
            }
            other => drop(other?),
        }
        match draft.strategy {
            WriteStrategy::Tail(_) => self.send_tail(file, state, block).await,
            WriteStrategy::Blocks | WriteStrategy::Pages(_) => self.commit(file, state).await,
        }
    }

    /// The metadata of a blob whose content was changed in place, if they have to be others: a time that is stored there would be a
    /// lie, and mode, owner and time may have been asked for.
    pub(in crate::fs) fn metadata_after(&self, properties: &BlobProperties, change: &AttrChange) -> Option<Metadata> {
        let mut metadata = properties.metadata.clone();
        attr::forget_time(&mut metadata);
        change.apply(FileKind::File, &mut metadata, &self.config.defaults);
        (metadata != properties.metadata).then_some(metadata)
    }

    /// The server does not know the operation by which a range would be copied: it has to be moved. Said once.
    pub(in crate::fs) fn must_move(&self, error: &Error) -> bool {
        let unknown = error.errno() == libc::EOPNOTSUPP && error.status() >= 500;
        if unknown && !self.said_moving_data.swap(true, std::sync::atomic::Ordering::Relaxed) {
            tracing::warn!(%error, "this server cannot copy ranges of blobs: reading and writing them instead");
        }
        unknown
    }
}
