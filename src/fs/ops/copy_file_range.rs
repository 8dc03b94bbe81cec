//! `copy_file_range`: how cp asks for a copy.
//!
//! A process inside that call cannot be killed and the destination's inode is locked, so a pending copy is answered in
//! slices: each call waits at most [`SLICE`](crate::fs::copies::job::SLICE) and grants the bytes that the service
//! reports as copied. So Ctrl-C works between slices, other processes get at the file, and progress tools, which watch
//! the file position, tell the truth. The last byte is granted before the copy is known to have succeeded; the wait for
//! that is in flush, which locks nothing and can report a failure.
//!
//! The kernel makes every request at most [`KERNEL_CLAMP`] bytes long, and cp asks for more than there is. So the first
//! request of a large file may be all that is wanted or only its beginning, and a Copy Blob is started for either. Who
//! turns to something else before all is granted has what was granted and no more.

use std::sync::Arc;

use crate::error::Result;
use crate::fs::Fs;
use crate::fs::caller::Caller;
use crate::fs::content::copied_from::CopiedFrom;
use crate::fs::content::handle::{Content, Fh};
use crate::fs::content::source::RangeSource;

/// The kernel shortens `copy_file_range` to this many bytes (FUSE's `UINT_MAX & PAGE_MASK`, with pages of 4 KiB).
const KERNEL_CLAMP: u64 = 0xffff_f000;

impl Fs {
    /// `copy_file_range`: bytes copied, or to be copied by the time that flush returns.
    pub async fn copy_file_range(
        &self,
        (fh_in, offset_in): (Fh, u64),
        (fh_out, offset_out): (Fh, u64),
        len: u64,
        caller: Caller,
    ) -> Result<u64> {
        let input = self.handles.get(fh_in)?;
        let output = self.handles.get(fh_out)?;
        if Arc::ptr_eq(&input.file, &output.file) {
            return self.destinations.copy_within(&output, offset_in, offset_out, len, caller).await;
        }
        if offset_in == offset_out
            && let Some(granted) =
                self.destinations.continue_copy(&input, &output.file, offset_out, len, caller).await?
        {
            return Ok(granted);
        }
        self.files.refuse_nameless(&input.file)?;
        self.files.refuse_nameless(&output.file)?;
        drop(self.destinations.settled(&output.file, caller).await?);
        let (from, source) = self.destinations.clean_version(&input, caller).await?;
        let mut state = output.file.lock().await;
        let size = source.properties.size;
        if offset_in >= size {
            return Ok(0);
        }
        let reaches_end = len >= size || len >= KERNEL_CLAMP;
        let whole = offset_in == 0 && offset_out == 0 && reaches_end && state.is_void(size);
        let copied_from = CopiedFrom { ino: input.file.ino, origin: from.clone(), version: source.properties.clone() };
        let by_copy_blob = whole
            && !state.is_unborn()
            && self.destinations.brings_what_was_chosen(&mut state, &from, &source.properties).await?;
        if !by_copy_blob {
            output.version(&state)?;
            let range = offset_in..size.min(offset_in.saturating_add(len));
            if self.destinations.borrow(&copied_from, range.clone(), &mut state, offset_out).await? {
                self.destinations.copy_what_is_whole(&mut state, caller).await?;
                return Ok(range.end - range.start);
            }
            let range = RangeSource::of(&from, &source.properties.etag, range);
            let copied = self.files.copy_range(range, false, &mut state, offset_out, caller).await;
            if whole && state.is_unborn() && copied.is_ok() {
                let tags = self.service.tags_of_origin(&from, &source.properties).await?;
                state.take_after(&source.properties, tags);
            }
            return copied.map_err(|error| match error.is_about_the_source() {
                true => self.names.invalidate_refused_source(input.file.ino, &from, &source.properties.etag, error),
                false => self.files.not_stored(&state, error),
            });
        }
        let storing = output.file.storing();
        let mut started = self.destinations.copy_onto(&from, &source.properties, &state, caller).await;
        if let Err(error) = started {
            started = match error.is_about_the_source() {
                true => {
                    Err(self.names.invalidate_refused_source(input.file.ino, &from, &source.properties.etag, error))
                }
                // A destination that was truncated needs nothing of what was there.
                false => match self.files.recover(&mut state, error).await {
                    Ok(()) => self.destinations.copy_onto(&from, &source.properties, &state, caller).await,
                    Err(error) => Err(error),
                },
            };
        }
        let begun = match started {
            Err(error) if error.is_refused_for_good() => {
                // C7: what was to be overwritten stays, and nobody moves the content instead.
                if state.version.is_some() {
                    state.content = Content::Clean;
                }
                input.refuse(&error);
                output.refuse(&error);
                return Err(error);
            }
            job => job?,
        };
        self.destinations.begin_copying(&mut state, begun, copied_from, 0, caller);
        drop(storing);
        self.destinations.grant(&mut state, len, caller).await
    }
}
