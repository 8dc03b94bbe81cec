//! From a draft to the cheapest requests that make the service have it.
//!
//! | the rope is | requests |
//! |---|---|
//! | in memory and no larger than a block | one Put Blob |
//! | anything else | the blocks that are not there yet, then one Put Block List |
//!
//! Full buffers are staged in the background while the writer goes on, at most [`UPLOADS`] at once over all files. Bytes of the
//! committed blob are never read: its blocks are listed again by their ids, and a blob that has none (it was written by one
//! Put Blob) becomes a block of itself by Put Block From URL.
//!
//! Every commit is conditional on the version that the draft stands on, and sends all metadata and properties again, because the
//! service clears what is not sent. A file whose content is unchanged but whose mode or time is not costs one Set Metadata.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use tokio::task::JoinHandle;
use tracing::warn;

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::attr::{self, AttrChange, FileKind, SetTime};
use crate::fs::handle::{Content, OpenFile, State};
use crate::fs::read::Version;
use crate::fs::rope::{Part, Rope};
use crate::fs::tree::{Blob, Heard};
use crate::store::{
    BlobProperties, BlobSettings, Block, BlockId, BlockRef, ContentHeaders, Metadata, Precondition, Written,
};

/// Bytes of the first blocks of a file, and the largest blob that one Put Blob writes.
pub const BLOCK: u64 = 8 * 1024 * 1024;
/// The block size doubles after this many blocks, so that the service's 50 000 suffice for terabytes.
const BLOCKS_PER_SIZE: usize = 5_000;
/// The largest block: [`UPLOADS`] of them are in memory at once.
const LARGEST_BLOCK: u64 = 64 * 1024 * 1024;
/// Blocks on their way to the service at once, over all files.
pub const UPLOADS: usize = 16;
/// A range that Put Block From URL takes (§15).
const LARGEST_REMOTE_BLOCK: u64 = 4000 * 1024 * 1024;
/// A SAS for reading our own blob into its next version: only as long as the request may take.
const SELF_READ: Duration = Duration::from_secs(3600);
/// Length of a block id before Base64 in a blob that has none yet: a UUID and a counter.
const ID_LEN: usize = 24;

/// New content on its way to the service.
pub struct Draft {
    pub rope: Rope,
    /// It differs from what the service has.
    pub dirty: bool,
    /// Something was written into it. A file that was only created or truncated is committed late: a copy may follow.
    pub touched: bool,
    /// Time of the last change.
    pub written: SystemTime,
    uploads: Vec<JoinHandle<std::result::Result<(), Unsent>>>,
    /// Staged blocks that could not be sent. They are sent again before anything else is.
    unsent: Vec<(BlockId, Bytes)>,
    /// Committed blocks of the version that the draft stands on, once they had to be asked for.
    base_blocks: Option<Vec<Block>>,
    ids: Option<BlockIds>,
}

/// A block that did not reach the service, and why.
struct Unsent {
    block: (BlockId, Bytes),
    error: Error,
}

impl Draft {
    /// Stands on what `rope` says; not dirty before something is done to it.
    pub fn new(rope: Rope) -> Self {
        Self {
            rope,
            dirty: false,
            touched: false,
            written: SystemTime::now(),
            uploads: Vec::new(),
            unsent: Vec::new(),
            base_blocks: None,
            ids: None,
        }
    }

    /// A file that is to become empty, or come into being as such.
    pub fn empty() -> Self {
        Self { dirty: true, ..Self::new(Rope::default()) }
    }

    /// Nothing but emptiness: a whole copy may take its place (design §4).
    pub fn is_blank(&self) -> bool {
        self.rope.is_empty() && !self.touched
    }

    pub fn write(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        self.rope.write(offset, data)?;
        (self.dirty, self.touched, self.written) = (true, true, SystemTime::now());
        Ok(())
    }

    pub fn truncate(&mut self, len: u64) -> Result<()> {
        if len != self.rope.len() {
            self.rope.truncate(len)?;
            (self.dirty, self.written) = (true, SystemTime::now());
        }
        if self.rope.is_empty() {
            // Blocks on their way are of no use any more.
            self.uploads.drain(..).for_each(|upload| upload.abort());
            self.unsent.clear();
        }
        Ok(())
    }

    /// Learns how uploads ended: those that have, or after waiting all of them. An error is told once; the block is kept.
    async fn reap(&mut self, wait: bool) -> Result<()> {
        let mut failed = None;
        for upload in std::mem::take(&mut self.uploads) {
            if !wait && !upload.is_finished() {
                self.uploads.push(upload);
                continue;
            }
            match upload.await {
                Ok(Ok(())) => {}
                Ok(Err(Unsent { block, error })) => {
                    self.unsent.push(block);
                    failed.get_or_insert(error);
                }
                // Its block is missing for good, and Put Block List will be refused.
                Err(_) => {
                    failed.get_or_insert(Error::fs(libc::EIO, "an upload was cut off"));
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn block_size(&self) -> u64 {
        let doublings = self.rope.staged_blocks() / BLOCKS_PER_SIZE;
        BLOCK.checked_shl(doublings.min(16) as u32).map_or(LARGEST_BLOCK, |size| size.min(LARGEST_BLOCK))
    }
}

/// Makes ids that fit beside the blob's own: all of a blob's have one length (§1.3).
struct BlockIds {
    prefix: [u8; 16],
    len: usize,
    next: u32,
    taken: HashSet<BlockId>,
}

impl BlockIds {
    fn beside(existing: &[Block]) -> Self {
        let len =
            existing.first().and_then(|block| BASE64.decode(block.id.as_str()).ok()).map_or(ID_LEN, |id| id.len());
        Self {
            prefix: uuid::Uuid::new_v4().into_bytes(),
            len,
            next: 0,
            taken: existing.iter().map(|block| block.id.clone()).collect(),
        }
    }

    fn next(&mut self) -> BlockId {
        loop {
            // The counter comes first, so that ids shorter than a UUID still differ.
            let mut id: Vec<u8> = self.next.to_be_bytes().into_iter().rev().chain(self.prefix).collect();
            id.resize(self.len, 0);
            self.next += 1;
            let id = BlockId::new(&BASE64.encode(id));
            if self.taken.insert(id.clone()) {
                return id;
            }
        }
    }
}

impl Fs {
    /// Makes room for what comes next: the draft has at most a block in memory afterwards. Waits for a free upload slot, which a
    /// finished or failed request gives back. On failure nothing of the draft is lost, but it should not take more.
    ///
    /// A block is staged when there is more than that, so that a file of exactly one block is still one Put Blob.
    pub(super) async fn make_room(&self, file: &OpenFile, state: &mut State) -> Result<()> {
        let Content::Draft(draft) = &mut state.content else { return Ok(()) };
        draft.reap(false).await?;
        while draft.rope.buffered() > draft.block_size() || !draft.unsent.is_empty() {
            let blob = self.tree.blob(file.ino).map_err(|error| match error {
                error if error.is_not_found() => {
                    Error::fs(libc::ENOSPC, format!("{error}: without a name it has only memory, and that is full"))
                }
                error => error,
            })?;
            self.send_again(&blob, draft).await?;
            if draft.rope.buffered() > draft.block_size() {
                let size = draft.block_size();
                self.stage(&blob, draft, state.version.as_deref(), size).await?;
            }
        }
        Ok(())
    }

    async fn send_again(&self, blob: &Blob, draft: &mut Draft) -> Result<()> {
        while let Some((id, bytes)) = draft.unsent.last() {
            self.client(blob.account).put_block(&blob.path, id, bytes.clone(), None).await?;
            draft.unsent.pop();
        }
        Ok(())
    }

    /// Sends the first `len` bytes of what is buffered, in the background.
    async fn stage(&self, blob: &Blob, draft: &mut Draft, base: Option<&Version>, len: u64) -> Result<()> {
        // All that can fail comes before the bytes leave the buffer.
        let id = self.block_ids(blob, draft, base).await?.next();
        let slot =
            self.upload_slots.clone().acquire_owned().await.map_err(|_| Error::fs(libc::EIO, "shutting down"))?;
        let bytes = draft.rope.stage(id.clone(), len);
        let client = self.client(blob.account).clone();
        let path = blob.path.clone();
        draft.uploads.push(tokio::spawn(async move {
            let done = client.put_block(&path, &id, bytes.clone(), None).await;
            drop(slot);
            done.map_err(|error| Unsent { block: (id, bytes), error })
        }));
        Ok(())
    }

    /// The id maker of the draft. A blob that exists is asked for its blocks first: our ids must have their length.
    async fn block_ids<'a>(
        &self,
        blob: &Blob,
        draft: &'a mut Draft,
        base: Option<&Version>,
    ) -> Result<&'a mut BlockIds> {
        if draft.base_blocks.is_none() {
            draft.base_blocks = Some(match base {
                Some(base) => {
                    let (blocks, etag) = self.client(blob.account).block_list(&blob.path).await?;
                    if etag.is_some_and(|etag| etag != base.properties.etag) {
                        return Err(Error::fs(libc::ESTALE, format!("{} was changed by another writer", blob.path)));
                    }
                    blocks
                }
                None => Vec::new(),
            });
        }
        let existing = draft.base_blocks.as_deref().unwrap_or(&[]);
        Ok(draft.ids.get_or_insert_with(|| BlockIds::beside(existing)))
    }

    /// Makes the service have what the file holds. On failure the draft stays as it was, to be committed again.
    pub(super) async fn commit(&self, file: &OpenFile, state: &mut State) -> Result<()> {
        // Deleted while open: what was changed has nowhere to go and must not come back under the name. Whoever has it open still reads
        // what was written.
        if self.tree.place(file.ino).is_err_and(|error| error.is_not_found()) {
            return Ok(());
        }
        let result = match &state.content {
            Content::Draft(draft) if draft.dirty => self.commit_content(file, state).await,
            Content::Copying(_) => return Ok(()),
            _ if !state.change.is_empty() => self.commit_attributes(file, state).await,
            _ => return Ok(()),
        };
        file.show(state);
        result
    }

    async fn commit_content(&self, file: &OpenFile, state: &mut State) -> Result<()> {
        let blob = self.tree.blob(file.ino)?;
        let base = state.version.clone();
        let mut settings = self.settings(&blob, base.as_deref(), &state.change);
        if let Some(base) = &base {
            settings.tags = self.tags_to_keep(&blob, &base.properties).await?;
        }
        let precondition = match &base {
            Some(base) => Precondition::IfMatch(base.properties.etag.clone()),
            None => Precondition::IfAbsent,
        };
        let Content::Draft(draft) = &mut state.content else { return Ok(()) };
        let size = draft.rope.len();
        let written = if size <= BLOCK
            && let Some(bytes) = draft.rope.bytes()
        {
            self.client(blob.account).put_blob(&blob.path, bytes, &settings, &precondition).await
        } else {
            self.commit_blocks(&blob, draft, base.as_deref(), &settings, &precondition).await
        };
        let written = written.map_err(|error| match precondition {
            // Somebody else made the name between our open and now.
            Precondition::IfAbsent if error.is_precondition_failed() => {
                Error::fs(libc::EEXIST, format!("{} was created by another writer meanwhile", blob.path))
            }
            Precondition::IfMatch(_) if error.is_precondition_failed() => {
                Error::fs(libc::ESTALE, format!("{} was changed by another writer meanwhile", blob.path))
            }
            _ => error,
        })?;
        // Bytes in memory stay there: they may have to be sent again with what is written after them.
        draft.dirty = false;
        state.change = AttrChange::default();
        let mut properties = attr::just_written(size, settings, written);
        if let Some(base) = &base {
            properties.creation_time = base.properties.creation_time;
            properties.lease = base.properties.lease.clone();
        }
        // What the kernel has cached is what it has just written.
        self.tree.rewritten(file.ino, base.as_deref().map(|base| &base.properties.etag), &properties.etag);
        self.settle(file, state, Arc::new(properties));
        Ok(())
    }

    async fn commit_blocks(
        &self,
        blob: &Blob,
        draft: &mut Draft,
        base: Option<&Version>,
        settings: &BlobSettings,
        precondition: &Precondition,
    ) -> Result<Written> {
        self.send_again(blob, draft).await?;
        if draft.rope.buffered() > 0 {
            let all = draft.rope.buffered();
            self.stage(blob, draft, base, all).await?;
        }
        let mut blocks = Vec::new();
        // A Base segment is always whole so far, and first.
        let base_range = match draft.rope.parts().next() {
            Some(Part::Base(range)) => Some(range),
            _ => None,
        };
        if let Some(range) = base_range {
            self.block_ids(blob, draft, base).await?;
            let existing = draft.base_blocks.clone().unwrap_or_default();
            if existing.is_empty() {
                let made = self.blocks_of_itself(blob, draft, base, range).await?;
                blocks.extend(made.into_iter().map(|block| (BlockRef::Uncommitted(block.id.clone()), block)));
            } else {
                blocks.extend(existing.into_iter().map(|block| (BlockRef::Committed(block.id.clone()), block)));
            }
        }
        draft.reap(true).await?;
        for part in draft.rope.parts() {
            if let Part::Staged(id, size) = part {
                blocks.push((BlockRef::Uncommitted(id.clone()), Block { id: id.clone(), size }));
            }
        }
        let (list, blocks): (Vec<_>, Vec<_>) = blocks.into_iter().unzip();
        let written = self.client(blob.account).put_block_list(&blob.path, &list, settings, precondition).await?;
        // What is committed now is the base of what comes next.
        draft.rope = Rope::of_base(draft.rope.len());
        draft.base_blocks = Some(blocks);
        Ok(written)
    }

    /// Blocks that hold `range` of the committed blob itself, made by the service.
    async fn blocks_of_itself(
        &self,
        blob: &Blob,
        draft: &mut Draft,
        base: Option<&Version>,
        range: std::ops::Range<u64>,
    ) -> Result<Vec<Block>> {
        let Some(base) = base else { return Ok(Vec::new()) };
        let client = self.client(blob.account);
        let etag = &base.properties.etag;
        let mut made = Vec::new();
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + LARGEST_REMOTE_BLOCK);
            let id = self.block_ids(blob, draft, Some(base)).await?.next();
            let source = client.block_source(&blob.path, None, SELF_READ)?;
            let done = client.put_block_from_url(&blob.path, &id, &source, start..end, Some(etag), None).await;
            match done {
                Ok(()) => {
                    made.push(Block { id, size: end - start });
                    start = end;
                }
                Err(error) if error.errno() == libc::EOPNOTSUPP && error.status() >= 500 => {
                    self.say_once_moving_data(&error);
                    let end = end.min(start + BLOCK);
                    let bytes = client.get_blob(&blob.path, None, Some(start..end), Some(etag)).await?.bytes;
                    client.put_block(&blob.path, &id, bytes, None).await?;
                    made.push(Block { id, size: end - start });
                    start = end;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(made)
    }

    fn say_once_moving_data(&self, error: &Error) {
        if !self.said_moving_data.swap(true, std::sync::atomic::Ordering::Relaxed) {
            warn!(%error, "this server cannot do Put Block From URL: reading and writing such ranges instead");
        }
    }

    async fn commit_attributes(&self, file: &OpenFile, state: &mut State) -> Result<()> {
        let Some(base) = state.version.clone() else { return Ok(()) };
        let change = std::mem::take(&mut state.change);
        match self.store_attributes(file.ino, &base.properties, &change).await {
            Ok(properties) => {
                self.settle(file, state, properties);
                Ok(())
            }
            Err(error) => {
                state.change = change;
                Err(error)
            }
        }
    }

    /// Set Blob Metadata with `change` applied; what the blob's properties are then. A blob whose metadata say already what the
    /// change would make them say costs no request, unless its time is to be now.
    pub(super) async fn store_attributes(
        &self,
        ino: crate::fs::attr::Ino,
        properties: &Arc<BlobProperties>,
        change: &AttrChange,
    ) -> Result<Arc<BlobProperties>> {
        let kind = self.tree.view(ino)?.kind;
        let blob = match self.tree.place(ino)? {
            crate::fs::tree::Place::Blob(blob) => blob,
            crate::fs::tree::Place::Directory(dir) => match dir.marker() {
                Some(marker) => marker?,
                None => return Err(Error::fs(libc::EPERM, "containers have no mode, owner or time to set")),
            },
            _ => return Err(Error::fs(libc::EPERM, "accounts have no mode, owner or time to set")),
        };
        let mut metadata = properties.metadata.clone();
        change.apply(kind, &mut metadata, &self.config.defaults);
        if metadata == properties.metadata && change.mtime != Some(SetTime::Now) {
            return Ok(properties.clone());
        }
        let precondition = Precondition::IfMatch(properties.etag.clone());
        let written = self.client(blob.account).set_metadata(&blob.path, &metadata, &precondition, None).await?;
        let properties = BlobProperties {
            etag: written.etag,
            last_modified: written.last_modified,
            metadata,
            ..(**properties).clone()
        };
        Ok(Arc::new(properties))
    }

    /// The service has the file as `properties` say: everyone here learns it.
    pub(super) fn settle(&self, file: &OpenFile, state: &mut State, properties: Arc<BlobProperties>) {
        state.version = Some(match &state.version {
            Some(old) => old.with(properties.clone()),
            None => Version::new(properties.clone()),
        });
        self.tree.learn(file.ino, Heard::Blob(properties));
        file.show(state);
    }

    /// What a write of new content sends along: everything that the blob had, but for what described the old content.
    fn settings(&self, blob: &Blob, base: Option<&Version>, change: &AttrChange) -> BlobSettings {
        let mut settings = match base {
            Some(base) => BlobSettings {
                headers: ContentHeaders { content_md5: None, ..base.properties.headers.clone() },
                metadata: base.properties.metadata.clone(),
                tier: base.properties.chosen_tier(),
                ..Default::default()
            },
            None => BlobSettings {
                headers: ContentHeaders { content_type: Some(content_type(&blob.path)), ..Default::default() },
                metadata: Metadata::default(),
                ..Default::default()
            },
        };
        attr::forget_time(&mut settings.metadata);
        change.apply(FileKind::File, &mut settings.metadata, &self.config.defaults);
        settings
    }
}

/// What web servers and browsers will take the blob for, by its name.
fn content_type(path: &crate::path::BlobPath) -> String {
    mime_guess::from_path(path.name.as_str()).first_or_octet_stream().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_ids_have_the_length_of_those_that_are_there() {
        let existing = [Block { id: BlockId::new(&BASE64.encode("0001")), size: 5 }];
        let mut ids = BlockIds::beside(&existing);
        let made: HashSet<_> = (0..1000).map(|_| ids.next()).collect();
        assert_eq!(made.len(), 1000);
        assert!(made.iter().all(|id| id.as_str().len() == existing[0].id.as_str().len() && *id != existing[0].id));
        let mut fresh = BlockIds::beside(&[]);
        assert_eq!(BASE64.decode(fresh.next().as_str()).unwrap().len(), ID_LEN);
    }

    #[test]
    fn blocks_grow_with_the_file() {
        let mut draft = Draft::new(Rope::default());
        assert_eq!(draft.block_size(), BLOCK);
        for i in 0..BLOCKS_PER_SIZE {
            draft.rope.write(i as u64, b"x").unwrap();
            draft.rope.stage(BlockId::new(&i.to_string()), BLOCK);
        }
        assert_eq!(draft.block_size(), 2 * BLOCK);
    }

    #[test]
    fn only_an_untouched_empty_draft_is_blank() {
        let mut draft = Draft::empty();
        assert!(draft.is_blank() && draft.dirty);
        draft.write(0, b"x").unwrap();
        draft.truncate(0).unwrap();
        assert!(!draft.is_blank());
    }
}
