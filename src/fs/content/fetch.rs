//! Content of an open file as it is read: from its draft, or from the version in the service by ranged GETs.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;

use crate::error::{Error, Result};
use crate::fs::content::extent_map::Piece;
use crate::fs::content::files::Files;
use crate::fs::content::handle::{Content, FileState, Handle};
use crate::fs::content::read::{Reading, Receive, Version};
use crate::fs::content::{append, page};
use crate::fs::names::tree::Origin;
use crate::store::{BlobType, Client};

/// A ranged GET of that version of a blob.
async fn fetch(
    client: Client,
    origin: Origin,
    version: Arc<Version>,
    range: Range<u64>,
    receive: Receive,
) -> Result<()> {
    let Origin { blob, revision } = origin;
    let properties = &version.properties;
    let etag = &properties.etag;
    match properties.blob_type {
        // What a blob was does not grow, whatever its type.
        _ if revision.is_some() => {
            client.blob(&blob.path).at(revision.as_ref()).download_into(range, etag, receive).await
        }
        BlobType::Block => client.blob(&blob.path).download_into(range, etag, receive).await,
        BlobType::Append => append::fetch(&client, &blob, properties, range, receive).await,
        BlobType::Page => page::write::fetch(&client, &blob, &version, range, receive).await,
    }
}

impl Files {
    pub(in crate::fs) async fn read_draft(
        &self,
        handle: &Handle,
        state: &FileState,
        range: Range<u64>,
    ) -> Result<Bytes> {
        let Content::Draft(draft) = &state.content else { return Ok(Bytes::new()) };
        let mut joined = BytesMut::new();
        for piece in draft.extents.read(range) {
            match piece {
                Piece::Bytes(bytes) => joined.extend_from_slice(&bytes),
                Piece::Base(range) => {
                    let Some(version) = &state.version else { return Err(Error::fs(libc::EIO, "no base to read")) };
                    joined.extend_from_slice(&self.read_version(handle, version, range).await?);
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

    pub(in crate::fs) async fn read_version(
        &self,
        handle: &Handle,
        version: &Arc<Version>,
        range: Range<u64>,
    ) -> Result<Bytes> {
        let ino = handle.file.ino;
        let fetcher = |range, receive| match self.tree.origin(ino) {
            Ok(origin) => {
                fetch(self.service.client(origin.blob.account).clone(), origin, version.clone(), range, receive).boxed()
            }
            Err(error) => async { Err(error) }.boxed(),
        };
        let reading = Reading { ino, memory: &self.memory, stream: &handle.stream, fetcher: &fetcher };
        version.read(range, reading).await
    }
}
