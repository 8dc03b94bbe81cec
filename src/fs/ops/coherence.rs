//! What the service says, set against what is remembered here. The rules stand here and nowhere else; whoever hears something or is refused
//! something brings it here.
//!
//! - What was *heard* of a file ([`Fs::heard`]) is taken in if it is the same file still. Otherwise the name stands for another file, and the
//!   node that had it keeps what is known of the old one for those who have it open: their cached pages, its size and times, no links.
//! - An answer that *disproves* what is remembered ([`Fs::disproved`]), a 404 or a 412, ends the memory before the caller hears of it, here
//!   and in the kernel. The caller hears ESTALE, and a call that came by a path is repeated by the kernel after a lookup of its own, so that
//!   the program notices nothing.
//! - What needs nothing of the version that is no more is stored all the same, once, on what is there now ([`Fs::start_over`]): a file that
//!   was truncated, what is added to the end of whatever is there, mode, owner and times.
//! - While something is being stored from here, nothing is heard of the file: it might be what is being stored, of which we have not had
//!   the answer yet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::debug;

use crate::error::{Error, OptionalExtension, Result};
use crate::fs::Fs;
use crate::fs::content::draft::Basis;
use crate::fs::content::handle::{Content, OpenFile, State};
use crate::fs::content::read::Version;
use crate::fs::content::strategy::WriteStrategy;
use crate::fs::names::attr::{self, FileKind, Ino};
use crate::fs::names::tree::{Blob, Expired, Heard, Link, NodeView, continues, replaced};
use crate::store::{BlobProperties, BlobType, ETag};

/// A lookup that the kernel has made for a call, to find out of which file it is and who may do that, is no older than this.
pub(in crate::fs) const LOOKED_UP: Duration = Duration::from_secs(1);

impl Fs {
    /// Takes in what the service, asked at `asked`, says of a node's blob. The node as it is known then, which may have lost its name.
    pub(in crate::fs) fn heard(&self, ino: Ino, properties: BlobProperties, asked: Instant) -> Result<NodeView> {
        let properties = Arc::new(properties);
        if !self.is_taken_in_otherwise(ino, &properties, asked) {
            self.tree.hear(ino, Heard::Blob(properties), asked);
        }
        self.tree.view(ino)
    }

    /// What is heard of a file that is open may count for nothing, or for the file whatever it is. True if that is so, and done.
    pub(in crate::fs) fn is_taken_in_otherwise(
        &self,
        ino: Ino,
        properties: &Arc<BlobProperties>,
        asked: Instant,
    ) -> bool {
        let Some(file) = self.handles.of_ino(ino) else { return false };
        if file.is_ahead() {
            return true;
        }
        let is_ours = match file.copying() {
            // The copy that somebody makes onto it here is his; what else is seen meanwhile comes to light when it ends.
            Some(ours) if properties.copy.as_ref().is_none_or(|copy| copy.id != ours) => return true,
            Some(_) => true,
            // Whoever means the end of whatever has the name means that.
            None => file.is_only_appended_to(),
        };
        if is_ours {
            self.tree.adopt(ino, Heard::Blob(properties.clone()), asked);
        }
        is_ours
    }

    /// This mount has, or is just storing, what the service may not have yet: nobody has to be asked about the file.
    pub(in crate::fs) fn is_ahead(&self, ino: Ino) -> bool {
        self.handles.of_ino(ino).is_some_and(|file| file.is_ahead())
    }

    /// ESTALE for a node whose name stands for another file, or for none, by somebody else's doing.
    pub(in crate::fs) fn named(view: &NodeView) -> Result<()> {
        match view.link {
            Link::Vanished => Err(replaced(&view.name)),
            Link::Named | Link::Removed => Ok(()),
        }
    }

    /// What an open goes by: what was just looked up for it, or asked for now. ESTALE if that is another file than the one to be opened.
    pub(in crate::fs) async fn to_be_opened(&self, ino: Ino) -> Result<NodeView> {
        let looked_up = self.tree.take_lookup(ino, LOOKED_UP);
        let mut view = if looked_up { self.tree.view(ino)? } else { self.fresh(ino).await? };
        if view.is_pending() {
            // It may have ended since.
            self.tree.doubt(ino);
            view = self.fresh(ino).await?;
        }
        Self::named(&view)?;
        Ok(view)
    }

    /// A request about version `etag` of a node's blob (`None`: that there is none) has failed. If that disproves what is remembered, it is
    /// forgotten, and the error is what the caller should hear.
    pub(in crate::fs) fn disproved(&self, ino: Ino, etag: Option<&ETag>, error: Error) -> Error {
        if !disproves(&error) {
            return error;
        }
        self.tree.disprove(ino, etag, error.is_not_found());
        let name = self.tree.view(ino).map(|view| view.name).unwrap_or_default();
        match etag {
            None => Error::fs(libc::EEXIST, format!("{name:?} was made by another client meanwhile: {error}")),
            Some(_) => Error::fs(libc::ESTALE, format!("{name:?} was changed by another client meanwhile: {error}")),
        }
    }

    /// Storing a file has failed. If it is to be tried again, once, nothing is returned; otherwise what the caller should hear.
    pub(in crate::fs) async fn mend(&self, file: &OpenFile, state: &mut State, error: Error) -> Result<()> {
        match disproves(&error) && self.start_over(file, state, &error).await? {
            true => Ok(()),
            false => Err(self.not_stored(file, state, error)),
        }
    }

    /// [`Fs::disproved`] for the version that a file stands on, whatever else is remembered of it: what was refused once is not stored later.
    pub(in crate::fs) fn not_stored(&self, file: &OpenFile, state: &State, error: Error) -> Error {
        let etag = state.version.as_ref().map(|version| &version.properties.etag);
        if disproves(&error) {
            self.tree.cut_off(file.ino);
        }
        self.disproved(file.ino, etag, error)
    }

    /// What was heard of a file belongs to what those who have it open stand on: it is the same file.
    pub(in crate::fs) fn stand_on_what_was_heard(&self, file: &OpenFile, state: &mut State) {
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

    /// What is to be stored may need nothing of the version that `error` says is no more: then it stands on what is there now, and true is
    /// returned.
    async fn start_over(&self, file: &OpenFile, state: &mut State, error: &Error) -> Result<bool> {
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
        let found = self.blob(&blob).properties().await.optional()?.map(Arc::new);
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
                self.tree.expire_file(file.ino);
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
        file.show(state);
        Ok(true)
    }

    /// Stores mode, owner and times in what is there now under the name of a file whose own version, as `error` says, is no more. They are
    /// all that there is to store, so whoever set them is served; the file itself loses the name.
    pub(in crate::fs) async fn attribute_successor(
        &self,
        file: &OpenFile,
        state: &mut State,
        error: Error,
    ) -> Result<()> {
        let stood_on = state.version.as_ref().map(|version| version.properties.etag.clone());
        if !disproves(&error) || stood_on.is_none() {
            return Err(error);
        }
        let blob = self.tree.blob(file.ino)?;
        let found = Arc::new(self.blob(&blob).properties().await?);
        if !is_a_file(&found) {
            return Err(replaced(blob.path.name.as_str()));
        }
        self.store_attributes(file.ino, &found, &state.change).await?;
        state.change = Default::default();
        self.tree.disprove(file.ino, stood_on.as_ref(), false);
        Ok(())
    }

    /// The service has no blob of that name: the node loses it. ENOENT.
    pub(in crate::fs) fn gone(&self, view: &NodeView, blob: &Blob, asked: Instant) -> Error {
        self.tree.vanish(view.parent, &view.name, asked);
        Error::fs(libc::ENOENT, format!("{} is not in the service any more", blob.path))
    }

    /// From now on the kernel is told there what it should not believe any longer. To be called once, before anything is asked.
    pub fn tell_expired(&self, kernel: std::sync::mpsc::Sender<Expired>) {
        self.tree.tell_expired(kernel);
    }

    /// The kernel has to be told, unless it has asked what the name stands for in the meantime.
    pub fn is_old_to_the_kernel(&self, expired: &Expired) -> bool {
        self.tree.is_old_to_the_kernel(expired)
    }

    /// Nothing that was heard so far is believed any longer: what the kernel asks next, the service is asked.
    pub fn doubt_all(&self) {
        self.tree.doubt_all();
    }
}

fn is_a_file(found: &BlobProperties) -> bool {
    attr::kind_of(found) == FileKind::File && !found.is_pending() && !found.sealed
}

/// The answer says that the blob is not what it was taken for: the blob asked for, or the one that was to be copied from. Whoever copies
/// from another file than he writes to has to tell the two apart before.
pub(in crate::fs) fn disproves(error: &Error) -> bool {
    let is_missing = match error {
        Error::Service(refusal) => {
            let code = refusal.copy_source.as_ref().map_or(&refusal.code, |(_, code)| code);
            (error.is_not_found() || error.is_of_no_source())
                && !["ContainerNotFound", "FilesystemNotFound"].contains(&code.as_str())
        }
        // What was removed here was known to be.
        _ => false,
    };
    is_missing
        || error.is_precondition_failed()
        || error.is_of_another_source()
        || error.errno() == libc::ESTALE
        || error.is_of_another_type_than_known()
}
