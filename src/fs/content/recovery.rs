//! Files that cannot be stored, because another client has changed the version that it stands on.
//!
//! What needs nothing of the version that is no more is stored all the same, once, on what is there now
//! ([`Files::recover`]): a file that was truncated, what is added to the end of whatever is there, mode, owner and
//! times. For all else the caller hears ESTALE.

use std::sync::Arc;

use tracing::debug;

use crate::error::{Error, OptionalExtension, Result};
use crate::fs::content::draft::Basis;
use crate::fs::content::files::Files;
use crate::fs::content::handle::{Content, Locked};
use crate::fs::content::read::Version;
use crate::fs::content::strategy::WriteStrategy;
use crate::fs::names::attr::{self, FileKind};
use crate::fs::names::coherence::refutes_cache;
use crate::fs::names::tree::{continues, replaced};
use crate::store::{BlobProperties, BlobType};

fn is_a_file(found: &BlobProperties) -> bool {
    attr::kind_of(found) == FileKind::File && !found.is_pending() && !found.sealed
}

impl Files {
    /// Storing a file has failed. If it is to be tried again, once, nothing is returned; otherwise what the caller
    /// should hear.
    pub(crate) async fn recover(&self, locked: &mut Locked, error: Error) -> Result<()> {
        match refutes_cache(&error) && !locked.once && self.rebase_on_successor(locked, &error).await? {
            true => Ok(()),
            false => Err(self.not_stored(locked, error)),
        }
    }

    /// `Names::invalidate_refused` for the version that a file stands on, whatever else is remembered of it: what was
    /// refused once is not stored later.
    pub(crate) fn not_stored(&self, locked: &Locked, error: Error) -> Error {
        let (file, state) = locked.view();
        let etag = state.version.as_ref().map(|version| &version.properties.etag);
        if refutes_cache(&error) {
            self.tree.detach(file.ino);
        }
        self.names.invalidate_refused(file.ino, etag, error)
    }

    /// Rebases a file on what was observed of it, if it is the same file.
    pub(crate) fn rebase_on_observed(&self, locked: &mut Locked) {
        let (file, state) = locked.parts();
        if let (Some(version), Ok(view)) = (&state.version, self.tree.view(file.ino))
            && let Some(now) = view.properties()
            && now.etag != version.properties.etag
            && version.properties.blob_type != BlobType::Append
            && continues(&version.properties, now)
        {
            state.version = Some(version.with_the_same_content(now.clone()));
            if let Content::Draft(draft) = &mut state.content {
                // Equal content may be in other blocks.
                draft.forget_blocks();
            }
        }
    }

    /// What is to be stored may need nothing of the version that `error` says is no more: then it stands on what is
    /// there now, and true is returned.
    async fn rebase_on_successor(&self, locked: &mut Locked, error: &Error) -> Result<bool> {
        let (file, state) = locked.parts();
        let Content::Draft(draft) = &mut state.content else { return Ok(false) };
        let may = match draft.basis {
            Basis::Nothing => !matches!(draft.strategy, WriteStrategy::Pages(_)) && !draft.extents.has_base(),
            // Whoever reads the file has seen another beginning.
            Basis::End(_) => matches!(draft.strategy, WriteStrategy::Blocks) && !file.is_read(),
            Basis::Version => false,
        };
        if !may {
            return Ok(false);
        }
        let blob = self.tree.blob(file.ino)?;
        let found = self.service.blob(&blob).properties().await.optional()?.map(Arc::new);
        if found.as_ref().is_some_and(|found| !is_a_file(found)) {
            return Ok(false);
        }
        match (draft.basis, &found) {
            (Basis::Nothing, Some(found)) if WriteStrategy::of(found.blob_type).is_like(&draft.strategy) => {}
            // What is made anew is a block blob.
            (Basis::Nothing, None) => draft.strategy = WriteStrategy::Blocks,
            (Basis::End(from), Some(found)) if found.blob_type == BlobType::Block => {
                if !draft.move_end(from, found.size) {
                    return Ok(false);
                }
                draft.basis = Basis::End(found.size);
                self.tree.kernel().expire_file(file.ino);
            }
            _ => return Ok(false),
        }
        debug!(blob = %blob.path, %error, "what is stored needs nothing of what was there: it goes over what is there now");
        draft.forget_blocks();
        let goes_on = draft.basis == Basis::Nothing;
        state.lineage = state.version.as_ref().filter(|_| goes_on).map(|version| version.lineage.clone());
        state.version = found.map(|found| match state.lineage.take() {
            Some(lineage) => Version::anew(found, lineage),
            None => Version::new(found),
        });
        file.publish(state);
        Ok(true)
    }

    /// Stores mode, owner and times in what is there now under the name of a file whose own version, as `error` says,
    /// is no more. They are all that there is to store, so whoever set them is served; the file itself loses the name.
    pub(crate) async fn store_in_successor(&self, locked: &mut Locked, error: Error) -> Result<()> {
        let (file, state) = locked.parts();
        let stood_on = state.version.as_ref().map(|version| version.properties.etag.clone());
        if !refutes_cache(&error) || stood_on.is_none() {
            return Err(error);
        }
        let blob = self.tree.blob(file.ino)?;
        let found = Arc::new(self.service.blob(&blob).properties().await?);
        if !is_a_file(&found) {
            return Err(replaced(blob.path.name.as_str()));
        }
        self.store_attributes(file.ino, &found, &state.change).await?;
        state.change = Default::default();
        self.tree.invalidate_version(file.ino, stood_on.as_ref(), false);
        Ok(())
    }
}
