//! Reading, and looking for data and holes.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::caller::User;
use crate::fs::content::draft::Basis;
use crate::fs::content::extent_map::Piece;
use crate::fs::content::handle::{Content, Fh};
use crate::fs::content::page::write::PageBlobs;
use crate::fs::names::coherence::refutes_cache;
use crate::fs::names::tree::replaced;
use crate::store::BlobType;

impl Fs {
    /// Up to `size` bytes from `offset`; fewer only at the end. `reader`: who is handed them, if that is known.
    pub async fn read(&self, fh: Fh, offset: u64, size: u32, reader: Option<User>) -> Result<Bytes> {
        let handle = self.handles.get(fh)?;
        handle.check()?;
        let range = offset..offset.saturating_add(u64::from(size));
        let file = &handle.file;
        // Only a draft is read under the lock; committed content is read by as many as like.
        let version = {
            let mut state = file.lock().await;
            if let Content::Copying(_) = state.content {
                drop(state);
                self.destinations.settle_own(file, handle.opener).await?;
                state = file.lock().await;
            }
            self.files.follow(&mut state);
            if let Content::Copying(_) = state.content {
                return Err(Error::fs(libc::EBUSY, "its content is still being copied"));
            }
            if let Content::Draft(draft) = &state.content {
                if draft.extents.read(range.clone()).contains(&Piece::Staged) {
                    self.files.commit(&mut state).await?;
                }
                let read = self.files.read_draft(&handle, &state, range, reader).await;
                return read.map_err(|error| match &state.content {
                    // It can be stored all the same, when nobody reads it.
                    Content::Draft(draft) if draft.dirty && draft.basis != Basis::Version && refutes_cache(&error) => {
                        replaced(&error.to_string())
                    }
                    _ => self.files.not_stored(&state, error),
                });
            }
            handle.version(&state)?
        };
        // A copy was to make it, and has come to nothing.
        let Some(mut version) = version else {
            return Err(Error::stale("nothing is there: what was to make it has come to nothing"));
        };
        // To say that it is empty would be a lie about the content to come (C39).
        if version.properties.size == 0 && self.tree.blob(file.ino).is_ok_and(|blob| self.copies.jobs.is_emptied(&blob))
        {
            return Err(Error::fs(libc::EBUSY, "its content is still being copied"));
        }
        // Opened on the way, and seen by nobody since.
        if self.copies.jobs.is_given_up(&version.properties) {
            return Err(Error::stale("it was open before its content was copied: open it again"));
        }
        let mut origin = self.tree.origin(file.ino).ok();
        loop {
            let account = origin.as_ref().map(|origin| origin.blob.account);
            match self.files.read_version(&handle, &version, range.clone(), account, reader).await {
                // This mount may have made it another version while the answer was on its way.
                Err(error) if refutes_cache(&error) => {
                    let state = file.lock().await;
                    // Or a directory above it was renamed.
                    let now_at = self.tree.origin(file.ino).ok();
                    let is_elsewhere = now_at.is_some() && now_at != origin;
                    origin = now_at;
                    match handle.version(&state)? {
                        Some(now) if is_elsewhere || !Arc::ptr_eq(&now, &version) => version = now,
                        _ => {
                            return Err(self.names.invalidate_refused(file.ino, Some(&version.properties.etag), error));
                        }
                    }
                }
                other => return other,
            }
        }
    }

    /// lseek(2) with SEEK_DATA or SEEK_HOLE. Holes are the zeros of a draft and what of a page blob was never written;
    /// what is committed to other blobs is data.
    pub async fn seek(&self, fh: Fh, offset: i64, whence: i32) -> Result<i64> {
        let beyond = || Error::fs(libc::ENXIO, "behind the end, or behind the last data");
        let handle = self.handles.get(fh)?;
        let state = handle.file.lock().await;
        let offset = u64::try_from(offset).map_err(|_| beyond())?;
        let size = match &state.content {
            Content::Draft(draft) => draft.extents.len(),
            Content::Copying(copying) => copying.granted,
            Content::Clean => state.version.as_ref().map_or(0, |version| version.properties.size),
        };
        if offset >= size {
            return Err(beyond());
        }
        if ![libc::SEEK_DATA, libc::SEEK_HOLE].contains(&whence) {
            return Err(Error::fs(libc::EINVAL, "no such whence"));
        }
        if !matches!(state.content, Content::Copying(_))
            && let Some(version) = handle.version(&state)?
            && version.properties.blob_type == BlobType::Page
        {
            let found = PageBlobs { files: &self.files }
                .seek_pages(&state, &version, offset, whence == libc::SEEK_DATA)
                .await?;
            return found.and_then(|found| i64::try_from(found).ok()).ok_or_else(beyond);
        }
        let found = match (&state.content, whence) {
            (Content::Draft(draft), libc::SEEK_DATA) => draft.extents.seek(offset, false),
            // The end is a hole.
            (Content::Draft(draft), libc::SEEK_HOLE) => Some(draft.extents.seek(offset, true).unwrap_or(size)),
            (_, libc::SEEK_DATA) => Some(offset),
            _ => Some(size),
        };
        found.and_then(|found| i64::try_from(found).ok()).ok_or_else(beyond)
    }
}
