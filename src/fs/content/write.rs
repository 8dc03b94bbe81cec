//! Room for what is written: when a draft sends some of what it holds before anybody asks for that.
//!
//! The three types of blobs differ in how they take new content, and in which changes they refuse:
//!
//! | type | new content | file |
//! |---|---|---|
//! | block blob | a new list of blocks, all at once | `plan`, `upload`, `commit` |
//! | append blob | blocks at the end | `append` |
//! | page blob | pages, where they are | `page` |
//!
//! All of them are read and changed as an extent map; they differ in what a commit makes of it. A blob keeps its type
//! for life: the service changes it as little as a truncation here does.
//!
//! A Buffer that has grown past the block size is sent in the background while the writer goes on. When the memory for
//! what is unsent is short, whoever writes sends what it has, however little, and then what others have who are not at
//! work.

use std::sync::Arc;
use std::time::Duration;

use tracing::debug;

use crate::error::{Error, Result};
use crate::fs::caller::{is_let_go, is_refused};
use crate::fs::content::append::tail_block;
use crate::fs::content::draft::{Draft, refuse_too_large};
use crate::fs::content::extent_map::Cut;
use crate::fs::content::files::Files;
use crate::fs::content::handle::{Content, Locked};
use crate::fs::content::loans::Changed;
use crate::fs::content::memory::{Memory, Reservation};
use crate::fs::content::page::MOST_BUFFERED;
use crate::fs::content::recall::recall_if_possible;
use crate::fs::content::strategy::{Change, WriteStrategy};
use crate::fs::content::upload::Target;
use crate::fs::names::attr::Ino;
use crate::fs::names::tree::{Blob, Tree};

/// Bytes that a file without a name may hold in memory: there is nowhere to send them.
const MOST_NAMELESS: u64 = 64 << 20;

/// Bytes that are worth a block of their own when memory is short.
const WORTH_A_BLOCK: u64 = 256 * 1024;

/// The time between two looks whether whoever waits for room does so still.
const LOOK: Duration = Duration::from_millis(50);

/// The blob that the content of a file goes to. `None` for a file without a name as long as its content `fits` into
/// memory, then ENOSPC.
fn blob_to_fill(tree: &Tree, ino: Ino, fits: bool) -> Result<Option<Blob>> {
    match tree.blob(ino) {
        Err(error) if error.is_not_found() && fits => Ok(None),
        Err(error) if error.is_not_found() => {
            let what = format!("{error}: without a name it has only memory, and that is full");
            Err(Error::fs(libc::ENOSPC, what))
        }
        blob => blob.map(Some),
    }
}

/// Room for what somebody writes who has been let go: to wait for it would only keep it where it is.
async fn room_for_nobody(memory: &Arc<Memory>, len: u64) -> Reservation {
    loop {
        tokio::time::sleep(LOOK).await;
        if is_let_go()
            && let Some(room) = memory.overdraw(len)
        {
            return room;
        }
    }
}

/// Room for what the kernel writes back of a mapping: nothing is sent or waited for if that was answered already. EIO
/// if it was refused and there is none.
pub(in crate::fs) async fn room_to_write_back(files: &Files, locked: &mut Locked, len: u64) -> Result<Reservation> {
    if is_let_go() {
        if let Some(room) = files.memory.overdraw(len) {
            return Ok(room);
        }
        if is_refused() {
            return Err(Error::fs(libc::EIO, "the memory is full, and the service takes nothing"));
        }
    }
    files.make_room(locked).await?;
    files.room_to_write(locked, len).await
}

impl Files {
    /// The blob's type allows the change.
    pub(crate) fn admit(&self, locked: &mut Locked, change: Change) -> Result<()> {
        let (file, state) = locked.parts();
        let draft = state.draft()?;
        let size = draft.extents.len();
        let admitted = draft.strategy.admit(&change, size);
        if admitted.is_err() {
            // What is not written needs no memory.
            draft.release_room();
        }
        admitted.map_err(|(errno, why)| {
            let name = self.tree.view(file.ino).map(|view| view.name).unwrap_or_default();
            Error::fs(errno, format!("{name}: {why}"))
        })
    }

    /// [`Files::make_room`] where new content goes into the blob itself: whoever fills the memory of a file sends what
    /// is in it.
    pub(crate) async fn make_room_in_place(&self, locked: &mut Locked) -> Result<()> {
        let (file, state) = locked.parts();
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
        if blob_to_fill(&self.tree, file.ino, draft.extents.buffered() < MOST_NAMELESS)?.is_none() {
            return Ok(());
        }
        match draft.strategy {
            WriteStrategy::Tail(_) => {
                let _changing = Box::pin(recall_if_possible(self, Changed::One(locked.ino()))).await;
                self.send_tail(locked, block).await
            }
            WriteStrategy::Blocks | WriteStrategy::Pages(_) => self.commit(locked).await,
        }
    }

    /// Makes room for what comes next: no Buffer holds more than a block afterwards, and all together no more than
    /// fits. Waits for a free upload slot, which a finished or failed request gives back. On failure nothing of the
    /// draft is lost, but it should not take more.
    ///
    /// A block is staged when there is more than that, so that a file of exactly one block is still one Put Blob.
    pub(crate) async fn make_room(&self, locked: &mut Locked) -> Result<()> {
        match self.send_what_is_full(locked).await {
            Ok(()) => Ok(()),
            Err(error) => {
                self.recover(locked, error).await?;
                let sent = self.send_what_is_full(locked).await;
                sent.map_err(|error| self.not_stored(locked, error))
            }
        }
    }

    async fn send_what_is_full(&self, locked: &mut Locked) -> Result<()> {
        let (file, state) = locked.parts();
        let is_unborn = state.is_unborn();
        let Content::Draft(draft) = &mut state.content else { return Ok(()) };
        if !matches!(draft.strategy, WriteStrategy::Blocks) {
            return self.make_room_in_place(locked).await;
        }
        draft.reap(false).await?;
        while draft.full().is_some() || !draft.unsent.is_empty() {
            let Some(blob) = blob_to_fill(&self.tree, file.ino, !draft.is_scattered())? else { return Ok(()) };
            self.uploads.send_again(&blob, draft).await?;
            if let Some(start) = draft.full() {
                let to = Target { blob: &blob, base: state.version.as_deref() };
                self.uploads.stage(to, draft, start).await?;
            }
        }
        match (draft.is_scattered(), self.tree.blob(file.ino)) {
            (true, Ok(blob)) if is_unborn => self.uploads.stage_all(&blob, draft).await,
            (true, _) => self.commit(locked).await,
            (false, _) => Ok(()),
        }
    }

    /// Room in the budget for so many bytes that are to be written into a file.
    pub(crate) async fn room_to_write(&self, locked: &mut Locked, len: u64) -> Result<Reservation> {
        if let Some(room) = self.memory.try_reserve_write(len) {
            return Ok(room);
        }
        if let Err(error) = self.send_buffers(locked).await {
            return Err(self.not_stored(locked, error));
        }
        for other in self.handles.open_files() {
            if let Some(room) = self.memory.try_reserve_write(len) {
                return Ok(room);
            }
            // Whoever holds the lock is at work on the file, and sends what it has when it needs room.
            if let Some(mut state) = other.try_lock()
                && let Err(error) = self.send_buffers(&mut state).await
            {
                debug!(%error, "another file's bytes could not be sent to make room");
            }
        }
        tokio::select! {
            room = self.memory.reserve_write(len) => Ok(room),
            room = room_for_nobody(&self.memory, len) => Ok(room),
        }
    }

    /// Sends what is in Buffers, so that it leaves the memory: the one that is written to as a block, many short ones
    /// with a commit.
    async fn send_buffers(&self, locked: &mut Locked) -> Result<()> {
        let (file, state) = locked.parts();
        let is_unborn = state.is_unborn();
        let Content::Draft(draft) = &mut state.content else { return Ok(()) };
        // What has no name has nowhere to go.
        let Ok(blob) = self.tree.blob(file.ino) else { return Ok(()) };
        if matches!(draft.strategy, WriteStrategy::Blocks)
            && let Some(start) = draft.extents.full(WORTH_A_BLOCK)
        {
            let to = Target { blob: &blob, base: state.version.as_deref() };
            self.uploads.stage(to, draft, start).await?;
        }
        if draft.dirty && draft.extents.buffered() > WORTH_A_BLOCK {
            match is_unborn {
                true => self.uploads.stage_all(&blob, draft).await?,
                false => self.commit(locked).await?,
            }
        }
        Ok(())
    }

    /// Changes the content, up to `end`; where that would cut a staged block, what there is is committed first. So it
    /// is not for a change that brings a block of its own, which that commit would drop ([`Files::copy_range`]).
    pub(crate) async fn edit<T>(
        &self,
        locked: &mut Locked,
        end: u64,
        change: impl Fn(&mut Draft) -> std::result::Result<T, Cut>,
    ) -> Result<T> {
        let draft = locked.draft()?;
        refuse_too_large(draft, end)?;
        if let Ok(done) = change(draft) {
            draft.release_room();
            locked.publish();
            return Ok(done);
        }
        self.commit(locked).await?;
        let draft = locked.draft()?;
        let done = change(draft);
        draft.release_room();
        locked.publish();
        // What is committed can be cut; only a file that is deleted was not.
        done.map_err(|Cut| Error::fs(libc::EIO, "a deleted file's content cannot be read back from the service"))
    }
}
