//! A draft, and the cheapest requests that make the service have it. This is how it is done for block blobs; `form.rs` tells of the others.
//!
//! | the extent map is | requests |
//! |---|---|
//! | in memory and no larger than a block | one Put Blob |
//! | anything else | the blocks that are not there yet (`content/plan.rs` says which, `stage.rs` sends them), then one Put Block List |
//!
//! A change that would cut a block that is staged and not committed commits first ([`Fs::edit`]); so does a draft that holds too much
//! in too many places. What is committed is the base of what comes next.
//!
//! Every commit is conditional on the version that the draft stands on, and sends all metadata and properties again, because the
//! service clears what is not sent. A file whose content is unchanged but whose mode or time is not costs one Set Metadata.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::content::draft::{BLOCK, Basis, Draft, refuse_too_large};
use crate::fs::content::extent_map::{Cut, ExtentMap};
use crate::fs::content::handle::{Content, OpenFile, State};
use crate::fs::content::plan;
use crate::fs::content::read::Version;
use crate::fs::content::strategy::WriteStrategy;
use crate::fs::names::attr::{self, AttrChange, FileKind, SetTime};
use crate::fs::names::tree::{Blob, Heard, replaced};
use crate::store::{BlobProperties, BlobSettings, BlobType, ContentHeaders, ETag, Metadata, Precondition, Written};

/// A file of at most so many bytes stays in memory after a commit, and is one Put Blob again after the next change. A longer one
/// takes three requests then, but sends only what is new.
const SENT_AGAIN: u64 = 256 * 1024;

impl Fs {
    /// Changes the content, up to `end`; where that would cut a staged block, what there is is committed first. So it is not for a change
    /// that brings a block of its own, which that commit would drop ([`Fs::copy_range`]).
    pub(in crate::fs) async fn edit<T>(
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
    pub(in crate::fs) async fn commit(&self, file: &OpenFile, state: &mut State) -> Result<()> {
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
            Content::Draft(draft) if content => match draft.strategy {
                WriteStrategy::Blocks => self.commit_content(file, state).await,
                WriteStrategy::Tail(_) => self.commit_tail(file, state).await,
                WriteStrategy::Pages(_) => self.commit_pages(file, state).await,
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
        let size = draft.extents.len();
        let mut sent = None;
        let written = if size <= BLOCK
            && let Some(bytes) = draft.extents.bytes()
        {
            sent = Some(bytes.clone());
            let written = self.blob(&blob).block_blob().upload(bytes, &settings, &precondition.into()).await;
            if written.is_ok() {
                // It has no block list now.
                draft.base_blocks = Some(Vec::new());
                if size > SENT_AGAIN {
                    draft.extents = ExtentMap::of_base(size);
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
        let plan = plan::blocks(&draft.extents, draft.base_blocks.as_deref().unwrap_or(&[]), &limits);
        let plan =
            plan.ok_or_else(|| Error::fs(libc::EFBIG, format!("{}: it takes more than 50 000 blocks", blob.path)))?;
        let Some(ids) = &draft.ids else { return Err(Error::fs(libc::EIO, "no block ids")) };
        let made = self.make_blocks(blob, &draft.extents, ids, base, plan).await?;
        let (list, blocks): (Vec<_>, Vec<_>) = made.into_iter().unzip();
        let written =
            self.blob(blob).block_blob().commit_block_list(&list, settings, &precondition.clone().into()).await?;
        // What is committed now is the base of what comes next.
        draft.extents = ExtentMap::of_base(draft.extents.len());
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
    pub(in crate::fs) async fn store_attributes(
        &self,
        ino: crate::fs::names::attr::Ino,
        properties: &Arc<BlobProperties>,
        change: &AttrChange,
    ) -> Result<Arc<BlobProperties>> {
        let view = self.tree.view(ino)?;
        let blob = match self.tree.place(ino)? {
            crate::fs::names::tree::Place::Blob(blob) => blob,
            crate::fs::names::tree::Place::Directory(dir) => match dir.marker() {
                Some(marker) => marker?,
                None => return Err(Error::fs(libc::EPERM, "containers have no mode, owner or time to set")),
            },
            crate::fs::names::tree::Place::Past(_) => return Err(crate::fs::names::tree::read_only()),
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
        let written = self.blob(&blob).set_metadata(&metadata, &precondition.into()).await?;
        let properties = BlobProperties {
            etag: written.etag,
            last_modified: written.last_modified,
            metadata,
            ..(**properties).clone()
        };
        Ok(Arc::new(properties))
    }

    /// The service has the file as `properties` say: everyone here learns it.
    pub(in crate::fs) fn settle(&self, file: &OpenFile, state: &mut State, properties: Arc<BlobProperties>) {
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
    pub(in crate::fs) fn settle_on(
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
    pub(in crate::fs) fn settings(&self, blob: &Blob, base: Option<&Version>, change: &AttrChange) -> BlobSettings {
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

/// The draft of a file, begun if there is none yet.
pub(in crate::fs) fn draft_of(state: &mut State) -> Result<&mut Draft> {
    if let Content::Clean = state.content {
        let base = state.version.as_ref().map(|version| &version.properties);
        let mut draft = Draft::new(ExtentMap::of_base(base.map_or(0, |base| base.size)));
        draft.strategy = WriteStrategy::of(base.map_or(BlobType::Block, |base| base.blob_type));
        state.content = Content::Draft(Box::new(draft));
    }
    match &mut state.content {
        Content::Draft(draft) => Ok(draft),
        _ => Err(Error::fs(libc::EBUSY, "a copy onto it is pending")),
    }
}
