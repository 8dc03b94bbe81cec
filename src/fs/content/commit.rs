//! A draft, and the cheapest requests that make the service have it. This is how it is done for block blobs; `append`
//! and `page` tell of the others.
//!
//! | the extent map is | requests |
//! |---|---|
//! | in memory and no larger than a block | one Put Blob |
//! | anything else | the blocks that are not there yet (`plan` says which, `upload` sends them), then one Put Block List |
//!
//! A change that would cut a block that is staged and not committed commits first ([`Files::edit`]); so does a draft
//! that holds too much in too many places. What is committed is the base of what comes next.
//!
//! Every commit is conditional on the version that the draft stands on, and sends all metadata and properties again,
//! because the service clears what is not sent. A file whose content is unchanged but whose mode or time is not costs
//! one Set Metadata.

use std::sync::Arc;
use std::time::Instant;

use tracing::warn;

use crate::error::{Error, Result};
use crate::fs::caller::Caller;
use crate::fs::content::chosen::{may_be_of_what_was_chosen, tags_over};
use crate::fs::content::draft::Basis;
use crate::fs::content::files::Files;
use crate::fs::content::handle::{Content, Deferral, Locked};
use crate::fs::content::loans::Changed;
use crate::fs::content::page::write::PageBlobs;
use crate::fs::content::recall::{locate_sources, recall_if_possible, sources_refused};
use crate::fs::content::strategy::WriteStrategy;
use crate::fs::content::upload::Target;
use crate::fs::names::attr::{self, AttrChange, FileKind};
use crate::fs::names::tree::{Link, replaced};
use crate::store::{BlobSettings, Precondition, Tags};

fn has_borrowed(locked: &Locked) -> bool {
    matches!(&locked.content, Content::Draft(draft) if draft.has_borrowed())
}

/// [`Files::commit`] because the writers are done, or want it now.
pub(in crate::fs) async fn commit_finally(files: &Files, locked: &mut Locked) -> Result<()> {
    let (file, state) = locked.parts();
    // Deleted while open: what was changed has nowhere to go and must not come back under the name. Whoever has it
    // open still reads what was written.
    if files.tree.place(file.ino).is_err_and(|error| error.is_not_found()) {
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
    // Boxed: those who have borrowed may be committed for it.
    let _changing = Box::pin(recall_if_possible(files, Changed::One(file.ino))).await;
    let storing = file.storing();
    files.rebase_on_observed(locked);
    locate_sources(files, locked);
    let result = match files.store(locked, is_dirty).await {
        Ok(()) => Ok(()),
        // Another client has changed what was to be copied; of what it does to the file itself, `recover` knows.
        Err(error) if error.is_about_the_source() && has_borrowed(locked) => Err(sources_refused(files, locked, error)),
        Err(error) if !is_dirty => {
            let stored = files.store_in_successor(locked, error).await;
            stored.map_err(|error| files.not_stored(locked, error))
        }
        Err(error) => match files.recover(locked, error).await {
            Ok(()) => {
                let stored = files.store(locked, is_dirty).await.map_err(|error| match error.code() {
                    // The other client's write has discarded the blocks that were staged (S169).
                    "InvalidBlockList" => replaced(&error.to_string()),
                    _ => error,
                });
                stored.map_err(|error| files.not_stored(locked, error))
            }
            Err(error) => Err(error),
        },
    };
    drop(storing);
    match &result {
        Err(error) => files.names.note_refusal(locked.ino(), error),
        Ok(()) if locked.deferral == Deferral::Failed => locked.deferral = Deferral::Nothing,
        Ok(()) => {}
    }
    locked.publish();
    result
}

impl Files {
    /// Makes the service have what the file holds. On failure the draft stays as it was, to be committed again. EBUSY for
    /// a file that is stored once (`once`): it has a time of its own.
    pub(crate) async fn commit(&self, locked: &mut Locked) -> Result<()> {
        locked.refuse_before_its_time()?;
        // Boxed: it is part of nearly everything, and would be on each stack as a whole.
        Box::pin(commit_finally(self, locked)).await
    }

    /// The requests of a commit, of the content or else of the attributes.
    async fn store(&self, locked: &mut Locked, content: bool) -> Result<()> {
        match &locked.content {
            Content::Draft(draft) if content => match draft.strategy {
                WriteStrategy::Blocks => self.commit_content(locked).await,
                WriteStrategy::Tail(_) => self.commit_tail(locked).await,
                WriteStrategy::Pages(_) => PageBlobs { files: self }.commit_pages(locked).await,
            },
            _ => self.commit_attributes(locked).await,
        }
    }

    async fn commit_content(&self, locked: &mut Locked) -> Result<()> {
        let (file, state) = locked.parts();
        let blob = self.tree.blob(file.ino)?;
        let base = state.version.clone();
        let tags = match &base {
            Some(base) => self.service.tags_to_keep(&blob, &base.properties).await?,
            None => Tags::new(),
        };
        let precondition = match &base {
            Some(base) => Precondition::IfMatch(base.properties.etag.clone()),
            None => Precondition::IfAbsent,
        };
        let Content::Draft(draft) = &mut state.content else { return Ok(()) };
        let size = draft.extents.len();
        let md5 = draft.whole_md5();
        let settings_with = |chosen: Option<&BlobSettings>| {
            let mut settings = self.settings(&blob, base.as_deref(), &state.change, chosen);
            settings.tags = tags_over(&tags, &settings.tags);
            settings.headers.content_md5.clone_from(&md5);
            settings
        };
        let to = Target { blob: &blob, base: base.as_deref() };
        let mut settings = settings_with(state.chosen.as_deref());
        let mut sent = self.uploads.send_content(to, draft, &settings, &precondition).await;
        if let (Err(error), true) = (&sent, state.chosen.is_some())
            && may_be_of_what_was_chosen(error)
        {
            let refused = error.clone();
            settings = settings_with(None);
            sent = self.uploads.send_content(to, draft, &settings, &precondition).await;
            if sent.is_ok() {
                warn!(blob = %blob.path, error = %refused, "it is stored without the attributes that it was to have");
                state.lost.get_or_insert(refused);
            }
        }
        let (written, bytes) = match sent {
            Err(error) if error.is_of_another_type() => {
                return Err(self.service.of_another_type(&blob, FileKind::File, error).await);
            }
            sent => sent?,
        };
        (state.chosen, state.tags) = (None, Some((Instant::now(), settings.tags.clone())));
        self.loans.repay(file.ino);
        let anew = std::mem::take(&mut draft.refuses_blocks);
        self.uploads.committed(draft);
        self.uploads.abandon(draft).await;
        (draft.dirty, draft.touched, draft.basis) = (false, false, Basis::Version);
        draft.release_room();
        state.change = AttrChange::default();
        let mut properties = attr::just_written(size, settings, written);
        if let Some(base) = &base {
            // Under the name there is another blob then.
            properties.creation_time = base.properties.creation_time.filter(|_| !anew);
            properties.lease = base.properties.lease.clone();
            // Chosen, it was sent again; otherwise it is the account's, as before.
            (properties.tier, properties.tier_inferred) = (base.properties.tier.clone(), base.properties.tier_inferred);
        }
        // What the kernel has cached is what it has just written.
        self.tree.kernel().rewritten(file.ino, base.as_deref().map(|base| &base.properties.etag), &properties.etag);
        self.record_version(locked, Arc::new(properties));
        let (file, state) = locked.parts();
        // Whoever reads the file next would find it in the kernel's cache if it had gone through that.
        if let (Some(bytes), Some(version)) = (bytes, &state.version)
            && !file.is_cached()
        {
            version.cache(file.ino, bytes.pieces(), base.as_deref(), &self.memory);
        }
        Ok(())
    }

    /// From the look at what is there to the word of what has become of it, nobody else stores the file.
    pub(crate) async fn store_or_keep(&self, locked: &mut Locked, change: AttrChange, caller: Caller) -> Result<()> {
        let (file, state) = locked.parts();
        let view = self.tree.view(file.ino)?;
        let nameless = view.link != Link::Named && !self.handles.is_last(file.ino);
        // What its container keeps is refused now and not with the flush.
        let waits = file.is_written_by(caller) && !state.is_kept();
        if state.content.is_uncommitted() || waits || nameless {
            state.change.merge(change);
            locked.publish();
            return Ok(());
        }
        let blob = self.tree.blob(file.ino)?;
        let missing = || Error::not_in_the_service(&blob.path);
        let properties = view.properties().ok_or_else(missing)?;
        let _changing = Box::pin(recall_if_possible(self, Changed::One(file.ino))).await;
        let _storing = file.storing();
        let changed = self.store_attributes(file.ino, properties, &change).await;
        let changed =
            changed.map_err(|error| self.names.invalidate_refused(file.ino, Some(&properties.etag), error))?;
        self.record_version_on(locked, &properties.etag, changed);
        Ok(())
    }

    async fn commit_attributes(&self, locked: &mut Locked) -> Result<()> {
        let (file, state) = locked.parts();
        let Some(base) = state.version.clone() else { return Ok(()) };
        let change = std::mem::take(&mut state.change);
        match self.store_attributes(file.ino, &base.properties, &change).await {
            Ok(properties) => {
                self.record_version(locked, properties);
                Ok(())
            }
            Err(error) => {
                state.change = change;
                Err(error)
            }
        }
    }
}
