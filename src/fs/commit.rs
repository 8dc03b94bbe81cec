//! A draft, and the cheapest requests that make the service have it. This is how it is done for block blobs; `form.rs` tells of the others.
//!
//! | the rope is | requests |
//! |---|---|
//! | in memory and no larger than a block | one Put Blob |
//! | anything else | the blocks that are not there yet (`plan.rs` says which, `stage.rs` sends them), then one Put Block List |
//!
//! A change that would cut a block that is staged and not committed commits first ([`Fs::edit`]); so does a draft that holds too much
//! in too many places. What is committed is the base of what comes next.
//!
//! Every commit is conditional on the version that the draft stands on, and sends all metadata and properties again, because the
//! service clears what is not sent. A file whose content is unchanged but whose mode or time is not costs one Set Metadata.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::attr::{self, AttrChange, FileKind, SetTime};
use crate::fs::form::Form;
use crate::fs::handle::{Content, OpenFile, State};
use crate::fs::memory::Held;
use crate::fs::plan;
use crate::fs::read::Version;
use crate::fs::rope::{Cut, Piece, Rope, Segment};
use crate::fs::stage::{BlockIds, Unsent};
use crate::fs::tree::{Blob, Heard, replaced};
use crate::store::{
    BlobProperties, BlobSettings, BlobType, Block, ContentHeaders, ETag, Metadata, Precondition, Written,
};

/// Bytes of the first blocks of a file, and the largest blob that one Put Blob writes.
pub const BLOCK: u64 = 8 * 1024 * 1024;
/// The block size doubles after this many blocks, so that the service's 50 000 suffice for terabytes.
const BLOCKS_PER_SIZE: usize = 5_000;
/// The largest block: [`crate::fs::stage::UPLOADS`] of them are in memory at once.
const LARGEST_BLOCK: u64 = 64 * 1024 * 1024;
/// A file of at most so many bytes stays in memory after a commit, and is one Put Blob again after the next change. A longer one
/// takes three requests then, but sends only what is new.
const SENT_AGAIN: u64 = 256 * 1024;
/// Bytes that a draft holds in memory, in Buffers that are too short to be sent one by one, before it is committed.
const MOST_BUFFERED: u64 = 64 * 1024 * 1024;
/// Segments of a draft before it is committed: each is a request or an entry of the block list.
const MOST_SEGMENTS: usize = 20_000;
/// What a blob can hold (§15), bytes.
const LARGEST_FILE: u64 = 190 << 40;

/// What the changes since the last commit need of the version that they were made to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// That version, and no other.
    Version,
    /// Nothing: the file was truncated to nothing, or made by a call that would have truncated it.
    Nothing,
    /// That they come at the end, wherever it is by now. It was there, bytes.
    End(u64),
}

/// New content on its way to the service.
pub struct Draft {
    pub rope: Rope,
    /// How it gets into the blob.
    pub form: Form,
    /// It differs from what the service has.
    pub dirty: bool,
    /// Something was written into it. A file that was only created or truncated is committed late: a copy may follow.
    pub touched: bool,
    /// What of the version that it stands on it needs.
    pub basis: Basis,
    /// Time of the last change.
    pub written: SystemTime,
    /// Room in the budget for what is in Buffers.
    pub(super) room: Option<Held>,
    pub(super) uploads: Vec<JoinHandle<std::result::Result<(), (Unsent, Error)>>>,
    /// Staged blocks that could not be sent. They are sent again before anything else is.
    pub(super) unsent: Vec<Unsent>,
    /// Committed blocks of the version that the draft stands on, once they had to be asked for.
    pub(super) base_blocks: Option<Vec<Block>>,
    pub(super) ids: Option<BlockIds>,
}

impl Draft {
    /// Stands on what `rope` says; not dirty before something is done to it.
    pub fn new(rope: Rope) -> Self {
        Self {
            rope,
            form: Form::Blocks,
            dirty: false,
            touched: false,
            basis: Basis::Version,
            written: SystemTime::now(),
            room: None,
            uploads: Vec::new(),
            unsent: Vec::new(),
            base_blocks: None,
            ids: None,
        }
    }

    /// A file that comes into being, empty.
    pub fn empty(basis: Basis) -> Self {
        Self { dirty: true, basis, ..Self::new(Rope::default()) }
    }

    /// Nothing but emptiness: a whole copy may take its place (design §4).
    pub fn is_blank(&self) -> bool {
        self.rope.is_empty() && !self.touched
    }

    pub fn write(&mut self, offset: u64, data: &Bytes) -> std::result::Result<(), Cut> {
        self.rope.write(offset, data)?;
        self.changed();
        self.needs_its_version();
        Ok(())
    }

    /// Adds to the end, as O_APPEND means it.
    pub fn append(&mut self, data: &Bytes) -> std::result::Result<(), Cut> {
        let end = self.rope.len();
        self.rope.write(end, data)?;
        if self.basis == Basis::Version && !self.dirty {
            self.basis = Basis::End(end);
        }
        self.changed();
        Ok(())
    }

    fn needs_its_version(&mut self) {
        if let Basis::End(_) = self.basis {
            self.basis = Basis::Version;
        }
    }

    /// The version that it stands on ends at `to` and not at `from` as it did: what was added goes there. False if that cannot be done,
    /// because something of it is staged.
    pub(super) fn move_end(&mut self, from: u64, to: u64) -> bool {
        let mut added = Vec::new();
        for piece in self.rope.read(from..u64::MAX) {
            match piece {
                Piece::Bytes(bytes) => added.push(bytes),
                Piece::Base(_) | Piece::Zero(_) | Piece::Staged => return false,
            }
        }
        self.rope = Rope::of_base(to);
        let mut end = to;
        for bytes in added {
            // Nothing is staged, so nothing is cut.
            let _ = self.rope.write(end, &bytes);
            end += bytes.len() as u64;
        }
        true
    }

    /// What was known of the blocks of the version that it stood on is of no use any more. Ids of blocks that are staged stay.
    pub(super) fn forget_blocks(&mut self) {
        self.base_blocks = None;
        if self.rope.staged_blocks() == 0 {
            self.ids = None;
        } else {
            self.base_blocks = Some(Vec::new());
        }
    }

    pub fn splice(&mut self, offset: u64, segment: Segment) -> std::result::Result<(), Cut> {
        self.rope.splice(offset, segment)?;
        self.changed();
        self.needs_its_version();
        Ok(())
    }

    /// Takes the room for what is to be written.
    pub(super) fn take_room(&mut self, room: Held) {
        match &mut self.room {
            Some(held) => held.merge(room),
            held => *held = Some(room),
        }
    }

    /// Gives back the room for what is not in Buffers any more.
    pub(super) fn give_back_room(&mut self) {
        if let Some(room) = &mut self.room {
            room.shrink(self.rope.buffered());
        }
    }

    fn changed(&mut self) {
        (self.dirty, self.touched, self.written) = (true, true, SystemTime::now());
    }

    pub fn truncate(&mut self, len: u64) -> std::result::Result<(), Cut> {
        // Another client may have filled what was empty: whoever says that it is to be empty means what is there now.
        if len != self.rope.len() || len == 0 {
            self.rope.truncate(len)?;
            (self.dirty, self.written) = (true, SystemTime::now());
            self.needs_its_version();
        }
        if len == 0 {
            self.basis = Basis::Nothing;
        }
        if self.rope.is_empty() {
            // Blocks on their way are of no use any more.
            self.uploads.drain(..).for_each(|upload| upload.abort());
            self.unsent.clear();
        }
        Ok(())
    }

    /// A Buffer that holds more than a block.
    pub(super) fn full(&self) -> Option<u64> {
        self.rope.full(self.block_size())
    }

    /// It holds too much in too many places to go on without a commit.
    pub(super) fn is_scattered(&self) -> bool {
        self.dirty
            && (self.rope.buffered() > MOST_BUFFERED.max(2 * self.block_size()) || self.rope.count() > MOST_SEGMENTS)
    }

    /// Learns how uploads ended: those that have, or after waiting all of them. An error is told once; the block is kept.
    pub(super) async fn reap(&mut self, wait: bool) -> Result<()> {
        let mut failed = None;
        for upload in std::mem::take(&mut self.uploads) {
            if !wait && !upload.is_finished() {
                self.uploads.push(upload);
                continue;
            }
            match upload.await {
                Ok(Ok(())) => {}
                Ok(Err((unsent, error))) => {
                    self.unsent.push(unsent);
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

    pub(super) fn block_size(&self) -> u64 {
        block_size_after(self.rope.staged_blocks() + self.base_blocks.as_ref().map_or(0, Vec::len))
    }
}

/// Bytes of the next block of a blob that has so many.
pub(super) fn block_size_after(blocks: usize) -> u64 {
    let doublings = blocks / BLOCKS_PER_SIZE;
    BLOCK.checked_shl(doublings.min(16) as u32).map_or(LARGEST_BLOCK, |size| size.min(LARGEST_BLOCK))
}

impl Fs {
    /// Changes the content, up to `end`; where that would cut a staged block, what there is is committed first. So it is not for a change
    /// that brings a block of its own, which that commit would drop ([`Fs::copy_range`]).
    pub(super) async fn edit<T>(
        &self,
        file: &OpenFile,
        state: &mut State,
        end: u64,
        change: impl Fn(&mut Draft) -> std::result::Result<T, Cut>,
    ) -> Result<T> {
        let draft = draft_of(state)?;
        refuse_too_large(draft, end)?;
        if let Ok(done) = change(draft) {
            draft.give_back_room();
            file.show(state);
            return Ok(done);
        }
        self.commit(file, state).await?;
        let draft = draft_of(state)?;
        let done = change(draft);
        draft.give_back_room();
        file.show(state);
        // What is committed can be cut; only a file that is deleted was not.
        done.map_err(|Cut| Error::fs(libc::EIO, "a deleted file's content cannot be read back from the service"))
    }

    /// Makes the service have what the file holds. On failure the draft stays as it was, to be committed again.
    pub(super) async fn commit(&self, file: &OpenFile, state: &mut State) -> Result<()> {
        // Deleted while open: what was changed has nowhere to go and must not come back under the name. Whoever has it open still reads
        // what was written.
        if self.tree.place(file.ino).is_err_and(|error| error.is_not_found()) {
            return Ok(());
        }
        let is_dirty = match &state.content {
            Content::Draft(draft) => draft.dirty,
            Content::Copying(_) => return Ok(()),
            Content::Clean => false,
        };
        if !is_dirty && state.change.is_empty() {
            return Ok(());
        }
        let storing = file.storing();
        self.stand_on_what_was_heard(file, state);
        let result = match self.store(file, state, is_dirty).await {
            Ok(()) => Ok(()),
            Err(error) if !is_dirty => {
                let stored = self.attribute_successor(file, state, error).await;
                stored.map_err(|error| self.not_stored(file, state, error))
            }
            Err(error) => match self.mend(file, state, error).await {
                Ok(()) => {
                    let stored = self.store(file, state, is_dirty).await.map_err(|error| match error.code() {
                        // The other client's write has discarded the blocks that were staged (S169).
                        "InvalidBlockList" => replaced(&error.to_string()),
                        _ => error,
                    });
                    stored.map_err(|error| self.not_stored(file, state, error))
                }
                Err(error) => Err(error),
            },
        };
        drop(storing);
        file.show(state);
        result
    }

    /// The requests of a commit, of the content or else of the attributes.
    async fn store(&self, file: &OpenFile, state: &mut State, content: bool) -> Result<()> {
        match &state.content {
            Content::Draft(draft) if content => match draft.form {
                Form::Blocks => self.commit_content(file, state).await,
                Form::Tail(_) => self.commit_tail(file, state).await,
                Form::Pages(_) => self.commit_pages(file, state).await,
            },
            _ => self.commit_attributes(file, state).await,
        }
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
        let mut sent = None;
        let written = if size <= BLOCK
            && let Some(bytes) = draft.rope.bytes()
        {
            sent = Some(bytes.clone());
            let written = self.client(blob.account).put_blob(&blob.path, bytes, &settings, &precondition).await;
            if written.is_ok() {
                // It has no block list now.
                draft.base_blocks = Some(Vec::new());
                if size > SENT_AGAIN {
                    draft.rope = Rope::of_base(size);
                }
            }
            written
        } else {
            self.commit_blocks(&blob, draft, base.as_deref(), &settings, &precondition).await
        };
        let written = written?;
        (draft.dirty, draft.touched, draft.basis) = (false, false, Basis::Version);
        draft.give_back_room();
        state.change = AttrChange::default();
        let mut properties = attr::just_written(size, settings, written);
        if let Some(base) = &base {
            properties.creation_time = base.properties.creation_time;
            properties.lease = base.properties.lease.clone();
            // Chosen, it was sent again; otherwise it is the account's, as before.
            (properties.tier, properties.tier_inferred) = (base.properties.tier.clone(), base.properties.tier_inferred);
        }
        // What the kernel has cached is what it has just written.
        self.tree.rewritten(file.ino, base.as_deref().map(|base| &base.properties.etag), &properties.etag);
        self.settle(file, state, Arc::new(properties));
        // Whoever reads the file next would find it in the kernel's cache if it had gone through that.
        if let (Some(bytes), Some(version)) = (sent, &state.version)
            && !file.is_cached()
        {
            version.keep(file.ino, bytes.pieces(), base.as_deref(), &self.memory);
        }
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
        self.block_ids(blob, draft, base).await?;
        draft.reap(true).await?;
        let limits = plan::Limits::of_service(draft.block_size());
        let plan = plan::blocks(&draft.rope, draft.base_blocks.as_deref().unwrap_or(&[]), &limits);
        let plan =
            plan.ok_or_else(|| Error::fs(libc::EFBIG, format!("{}: it takes more than 50 000 blocks", blob.path)))?;
        let Some(ids) = &draft.ids else { return Err(Error::fs(libc::EIO, "no block ids")) };
        let made = self.make_blocks(blob, &draft.rope, ids, base, plan).await?;
        let (list, blocks): (Vec<_>, Vec<_>) = made.into_iter().unzip();
        let written = self.client(blob.account).put_block_list(&blob.path, &list, settings, precondition).await?;
        // What is committed now is the base of what comes next.
        draft.rope = Rope::of_base(draft.rope.len());
        draft.base_blocks = Some(blocks);
        Ok(written)
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
        let view = self.tree.view(ino)?;
        let blob = match self.tree.place(ino)? {
            crate::fs::tree::Place::Blob(blob) => blob,
            crate::fs::tree::Place::Directory(dir) => match dir.marker() {
                Some(marker) => marker?,
                None => return Err(Error::fs(libc::EPERM, "containers have no mode, owner or time to set")),
            },
            crate::fs::tree::Place::Past(_) => return Err(crate::fs::tree::read_only()),
            _ => return Err(Error::fs(libc::EPERM, "accounts have no mode, owner or time to set")),
        };
        let defaults = &self.config.defaults;
        let mut metadata = properties.metadata.clone();
        change.apply(view.kind, &mut metadata, defaults);
        if metadata == properties.metadata && change.mtime != Some(SetTime::Now) {
            return Ok(properties.clone());
        }
        let mut now = attr::of_blob(ino, view.kind, properties, defaults);
        if let Some(touched) = view.touched {
            now.touch(touched);
        }
        let mut metadata = properties.metadata.clone();
        change.apply_to(&now, &mut metadata, defaults);
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
        state.version = Some(match (&state.version, state.lineage.take()) {
            (Some(old), _) => old.with(properties.clone()),
            (None, Some(lineage)) => Version::anew(properties.clone(), lineage),
            (None, None) => Version::new(properties.clone()),
        });
        self.tree.learn(file.ino, Heard::Blob(properties));
        file.show(state);
    }

    /// [`Fs::settle`] for a change of the version `stood_on`. If the file had another one, that change was made to another client's:
    /// handles that have not seen it end with ESTALE.
    pub(super) fn settle_on(
        &self,
        file: &OpenFile,
        state: &mut State,
        stood_on: &ETag,
        properties: Arc<BlobProperties>,
    ) {
        if state.version.as_ref().is_some_and(|version| version.properties.etag != *stood_on) {
            state.version = None;
            // Bytes of a draft that is stored already stood on the version that is no more.
            if matches!(&state.content, Content::Draft(draft) if !draft.dirty) {
                state.content = Content::Clean;
            }
        }
        self.settle(file, state, properties);
    }

    /// What a write of new content sends along: everything that the blob had, but for what described the old content.
    pub(super) fn settings(&self, blob: &Blob, base: Option<&Version>, change: &AttrChange) -> BlobSettings {
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

/// EFBIG for more than a blob holds, or for a gap so long that its zeros would take all of its blocks.
pub(super) fn refuse_too_large(draft: &Draft, end: u64) -> Result<()> {
    let gap = end.saturating_sub(draft.rope.len());
    if end > LARGEST_FILE || gap > plan::LARGEST_ZEROS && matches!(draft.form, Form::Blocks) {
        return Err(Error::fs(libc::EFBIG, "larger than a blob, or a gap of more than 2 TiB"));
    }
    Ok(())
}

/// The draft of a file, begun if there is none yet.
pub(super) fn draft_of(state: &mut State) -> Result<&mut Draft> {
    if let Content::Clean = state.content {
        let base = state.version.as_ref().map(|version| &version.properties);
        let mut draft = Draft::new(Rope::of_base(base.map_or(0, |base| base.size)));
        draft.form = Form::of(base.map_or(BlobType::Block, |base| base.blob_type));
        state.content = Content::Draft(Box::new(draft));
    }
    match &mut state.content {
        Content::Draft(draft) => Ok(draft),
        _ => Err(Error::fs(libc::EBUSY, "a copy onto it is pending")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::BlockId;

    #[test]
    fn blocks_grow_with_the_file() {
        let mut draft = Draft::new(Rope::default());
        assert_eq!(draft.block_size(), BLOCK);
        for i in 0..BLOCKS_PER_SIZE {
            draft.rope.write(i as u64, &Bytes::from_static(b"x")).unwrap();
            draft.rope.stage(i as u64, BlockId::new(&i.to_string()), BLOCK);
        }
        assert_eq!(draft.block_size(), 2 * BLOCK);
    }

    #[test]
    fn only_an_untouched_empty_draft_is_blank() {
        let mut draft = Draft::empty(Basis::Version);
        assert!(draft.is_blank() && draft.dirty);
        draft.write(0, &Bytes::from_static(b"x")).unwrap();
        draft.truncate(0).unwrap();
        assert!(!draft.is_blank());
    }

    #[test]
    fn a_draft_in_many_places_is_scattered() {
        let mut draft = Draft::new(Rope::of_base(1 << 40));
        for i in 0..MOST_SEGMENTS as u64 / 2 + 1 {
            draft.write(i << 20, &Bytes::from_static(b"x")).unwrap();
        }
        assert!(draft.is_scattered());
    }
}
