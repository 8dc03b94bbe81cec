//! Content of an open file as it is read: from its draft, or from the version in the service by ranged GETs.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;

use crate::error::{Error, Result};
use crate::fs::caller::User;
use crate::fs::content::extent_map::Piece;
use crate::fs::content::files::Files;
use crate::fs::content::get::fetch;
use crate::fs::content::handle::{Content, FileState, Handle, Locked};
use crate::fs::content::read::{Reading, Version};
use crate::fs::names::tree::{AccountId, is_grown};
use crate::store::BlobType;

impl Files {
    pub(crate) async fn read_draft(
        &self,
        handle: &Handle,
        state: &FileState,
        range: Range<u64>,
        reader: Option<User>,
    ) -> Result<Bytes> {
        let Content::Draft(draft) = &state.content else { return Ok(Bytes::new()) };
        let mut joined = BytesMut::new();
        for piece in draft.extents.read(range) {
            match piece {
                Piece::Bytes(bytes) => joined.extend_from_slice(&bytes),
                Piece::Base(range) => {
                    let Some(version) = &state.version else { return Err(Error::fs(libc::EIO, "no base to read")) };
                    let account = self.tree.origin(handle.file.ino).ok().map(|origin| origin.blob.account);
                    joined.extend_from_slice(&self.read_version(handle, version, range, account, reader).await?);
                }
                Piece::Zero(len) => joined.resize(joined.len() + len as usize, 0),
                // Committed before, unless there is nothing to commit it to.
                Piece::Staged => {
                    return Err(Error::fs(libc::EIO, "a deleted file's content cannot be read back from the service"));
                }
            }
        }
        Ok(joined.freeze())
    }

    /// `account`: where the file is, if it is anywhere. Where exactly is looked at with each request, for directories
    /// are renamed.
    pub(crate) async fn read_version(
        &self,
        handle: &Handle,
        version: &Arc<Version>,
        range: Range<u64>,
        account: Option<AccountId>,
        reader: Option<User>,
    ) -> Result<Bytes> {
        let ino = handle.file.ino;
        let fetcher = |range, receive| match self.tree.origin(ino) {
            Ok(origin) => {
                fetch(self.service.client(origin.blob.account).clone(), origin, version.clone(), range, receive).boxed()
            }
            Err(error) => async { Err(error) }.boxed(),
        };
        let longest = account.and_then(|account| self.service.client(account).longest_read()).unwrap_or(u64::MAX);
        let noting = self.uploads.recogniser.as_ref().map(|recogniser| &*recogniser.reads).zip(reader);
        let reading = Reading { ino, memory: &self.memory, stream: &handle.stream, fetcher: &fetcher, longest, noting };
        version.read(range, reading).await
    }

    /// Others may have appended, and the mount have heard of it: that belongs to what the file's handles have open.
    pub(crate) fn follow(&self, locked: &mut Locked) {
        let (file, state) = locked.parts();
        let Some(version) = &state.version else { return };
        if !state.content.is_uncommitted()
            && version.properties.blob_type == BlobType::Append
            && let Ok(view) = self.tree.view(file.ino)
            && let Some(now) = view.properties()
            && now.size > version.properties.size
            && is_grown(&version.properties, now)
        {
            state.version = Some(version.with(now.clone()));
            state.content = Content::Clean;
        }
    }
}
