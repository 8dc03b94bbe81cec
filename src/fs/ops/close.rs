//! Closing: flush, fsync, release.
//!
//! `flush` commits a draft, so that `close` can report what went wrong; `fsync` does the same. Shells open a file for
//! redirection, duplicate the descriptor and close the first: the flush of that comes before anything was written. A
//! draft that is only empty is therefore not committed while the same process holds another descriptor of it; what
//! comes next may be a whole copy, which replaces it, or the last close. What else waits for a close that comes yet is
//! said in [`deferred`](crate::fs::content::deferred).

use std::sync::atomic::Ordering;

use crate::error::Result;
use crate::fs::Fs;
use crate::fs::caller::{Caller, Device};
use crate::fs::content::commit::commit_finally;
use crate::fs::content::deferred::store_later;
use crate::fs::content::handle::{Content, Fh, Handle, OpenFile};
use crate::fs::content::once::store_deserted;

/// The caller has the same open file under another descriptor, whose close comes yet. To be asked under the lock of the
/// file: whoever opens it, or closes it for the last time, waits for that.
async fn is_closed_again(device: Option<&Device>, handle: &Handle, caller: Caller) -> bool {
    let Some(device) = device else { return false };
    // Who closes once is not looked at: that is what most do, and it would cost each of them a look at all it has open.
    handle.stored_by_close.load(Ordering::Relaxed)
        && !handle.file.has_several_writers()
        && caller.goes_on_writing(handle.file.ino, device.clone()).await
}

impl Fs {
    /// Called for every close(2) of a descriptor; what it returns is what close returns.
    pub async fn flush(&self, fh: Fh, caller: Caller) -> Result<()> {
        let handle = self.handles.get(fh)?;
        let file = &handle.file;
        if !handle.access.write {
            let mut state = file.lock().await;
            if state.is_unborn() {
                return Ok(());
            }
            // What is only empty is stored late; the last to leave stores it, also one that may only read it, and so
            // does who made it.
            let is_left = matches!(&state.content, Content::Draft(draft) if draft.dirty && draft.is_blank())
                && !self.is_held(file, vec![caller], false, false).await;
            return if handle.access.create || is_left { self.files.commit(&mut state).await } else { Ok(()) };
        }
        if !self.destinations.flush_copy(file, caller).await? {
            return Ok(());
        }
        let mut state = file.lock().await;
        state.tell_what_is_lost()?;
        if state.is_unborn() {
            // Whoever goes on writing could not store that any more (`content/once`).
            let users = [caller, handle.opener];
            // Of who cannot be looked at, only the close of who opened it is taken for the end.
            let unseen = || {
                users.iter().any(|who| who.is_hidden())
                    && (users.iter().any(|who| who.pid == 0) || !caller.same_process(handle.opener))
            };
            // If it is not known in time, the last one to leave stores it.
            if state.is_unfilled()
                || file.has_several_writers()
                || unseen()
                || self.is_held(file, users.into(), true, true).await
            {
                return Ok(());
            }
            commit_finally(&self.files, &mut state).await?;
            return state.tell_what_is_lost();
        }
        if let Content::Draft(draft) = &state.content
            && draft.dirty
            && draft.is_blank()
            && self.is_held(file, vec![caller], false, false).await
        {
            return Ok(());
        }
        if state.is_deferrable() && is_closed_again(self.device.get(), &handle, caller).await {
            store_later(&self.files, &mut state);
            return handle.version(&state).map(drop);
        }
        let stores = matches!(&state.content, Content::Draft(draft) if draft.dirty && draft.touched);
        if matches!(&state.content, Content::Draft(draft) if draft.has_borrowed()) {
            drop(state);
            self.destinations.store_behind(file, caller).await?;
            state = file.lock().await;
        } else {
            self.files.commit(&mut state).await?;
        }
        if stores {
            handle.stored_by_close.store(true, Ordering::Relaxed);
        }
        state.tell_what_is_lost()?;
        handle.version(&state).map(drop)
    }

    /// [`Caller::goes_on_with`] of a file.
    async fn is_held(&self, file: &OpenFile, users: Vec<Caller>, mapped: bool, unknown: bool) -> bool {
        Caller::goes_on_with(users, file.ino, self.device.get().cloned(), mapped, unknown).await
    }

    /// fsync(2): what was written is in the service.
    pub async fn fsync(&self, fh: Fh, caller: Caller) -> Result<()> {
        let handle = self.handles.get(fh)?;
        let file = &handle.file;
        let mut state = self.destinations.settled(file, caller).await?;
        state.tell_what_is_lost()?;
        if matches!(&state.content, Content::Draft(draft) if draft.has_borrowed()) && !state.is_unborn() {
            drop(state);
            self.destinations.store_behind(file, caller).await?;
            state = file.lock().await;
        } else {
            commit_finally(&self.files, &mut state).await?;
        }
        state.tell_what_is_lost()?;
        handle.version(&state).map(drop)
    }

    /// The last descriptor is gone. Nobody hears of errors any more: they go to the log.
    pub async fn release(&self, fh: Fh) {
        let Some(handle) = self.handles.remove(fh) else { return };
        let file = &handle.file;
        // Whoever copies onto it has it open for writing, and may have more to ask for.
        let deserted = handle.access.write && !file.is_written();
        if deserted {
            self.destinations.keep_granted(file, handle.opener).await;
        }
        let mut state = file.lock().await;
        if deserted && matches!(state.content, Content::Copying(_)) {
            // The process died between its last call and close: the service goes on without it.
            self.destinations.detach(&mut state).await;
        }
        if deserted {
            store_deserted(&self.files, &mut state).await;
        }
        self.files.release(state).await;
    }
}
