//! Answers of the service, set against what is remembered here. The rules stand here and nowhere else; whoever hears
//! something or is refused something brings it here.
//!
//! - What the service says of a file is taken in ([`Names::update_if_newer`]) if it is the same file still. Otherwise
//!   the name stands for another file, and the node that had it keeps what is known of the old one for those who have
//!   it open: their cached pages, its size and times, no links.
//! - An answer that *disproves* what is remembered ([`Names::invalidate_refused`]), a 404 or a 412, ends the memory
//!   before the caller hears of it, here and in the kernel. The caller hears ESTALE, and a call that came by a path is
//!   repeated by the kernel after a lookup of its own, so that the program notices nothing.
//! - What needs nothing of the version that is no more is stored all the same (`content/recovery`).
//! - While something is being stored from here, nothing is heard of the file: it might be what is being stored, of
//!   which we have not had the answer yet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::fs::names::attr::Ino;
use crate::fs::names::cache::Names;
use crate::fs::names::tree::{Blob, Link, NodeProperties, NodeView, Origin, replaced};
use crate::store::{BlobProperties, ETag};

/// A lookup that the kernel has made for a call, to find out of which file it is and who may do that, is no older than
/// this.
pub(in crate::fs) const LOOKED_UP: Duration = Duration::from_secs(1);

/// The answer says that the blob is not what it was taken for: the blob asked for, or the one that was to be copied
/// from. Whoever copies from another file than it writes to has to tell the two apart before.
pub(crate) fn refutes_cache(error: &Error) -> bool {
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
        || error.is_stale()
        || error.is_of_another_type_than_known()
}

impl Names {
    /// Takes in what the service, asked at `asked`, says of a node's blob. The node as it is known then, which may have
    /// lost its name.
    pub(in crate::fs) fn update_if_newer(&self, ino: Ino, found: BlobProperties, asked: Instant) -> Result<NodeView> {
        let properties = Arc::new(found);
        if !self.update_open_file(ino, &properties, asked) {
            self.tree.update_if_newer(ino, NodeProperties::Blob(properties), asked);
        }
        self.tree.view(ino)
    }

    /// Takes in what is heard of a file that is open, if it counts for nothing or for the file whatever it is; true
    /// then.
    pub(in crate::fs) fn update_open_file(&self, ino: Ino, properties: &Arc<BlobProperties>, asked: Instant) -> bool {
        let Some(file) = self.open.of_ino(ino) else { return false };
        if file.is_ahead() {
            return true;
        }
        let is_ours = match file.copying() {
            // The copy that somebody makes onto it here is its own; what else is seen meanwhile comes to light when it
            // ends.
            Some(ours) if properties.copy.as_ref().is_none_or(|copy| copy.id != ours) => return true,
            Some(_) => true,
            // Whoever means the end of whatever has the name means that.
            None => file.is_only_appended_to(),
        };
        if is_ours {
            self.tree.update_same_file(ino, NodeProperties::Blob(properties.clone()), asked);
        }
        is_ours
    }

    /// This mount has, or is just storing, what the service may not have yet: nobody has to be asked about the file.
    pub(in crate::fs) fn is_ahead(&self, ino: Ino) -> bool {
        self.open.of_ino(ino).is_some_and(|file| file.is_ahead())
    }

    /// ESTALE for a node whose name stands for another file, or for none, by somebody else's doing.
    pub(in crate::fs) fn check_named(view: &NodeView) -> Result<()> {
        match view.link {
            Link::Vanished => Err(replaced(&view.name)),
            Link::Named | Link::Removed => Ok(()),
        }
    }

    /// The view that an open goes by: what was just looked up for it, or asked for now. ESTALE if that is another file
    /// than the one to be opened.
    pub(in crate::fs) async fn view_for_open(&self, ino: Ino) -> Result<NodeView> {
        let looked_up = self.tree.kernel().take_lookup(ino, LOOKED_UP);
        let mut view = if looked_up { self.tree.view(ino)? } else { self.fresh(ino).await? };
        if view.is_pending() {
            // It may have ended since.
            self.tree.invalidate(ino);
            view = self.fresh(ino).await?;
        }
        Self::check_named(&view)?;
        Ok(view)
    }

    /// A request about version `etag` of a node's blob (`None`: that there is none) has failed. If that disproves what
    /// is remembered, it is forgotten, and the error is what the caller should hear.
    pub(in crate::fs) fn invalidate_refused(&self, ino: Ino, etag: Option<&ETag>, error: Error) -> Error {
        if !refutes_cache(&error) {
            return error;
        }
        self.tree.invalidate_version(ino, etag, error.is_not_found());
        let name = self.tree.view(ino).map(|view| view.name).unwrap_or_default();
        match etag {
            // There is none, and where it was to be made is none either.
            None if error.is_not_found() => error,
            None => Error::fs(libc::EEXIST, format!("{name:?} was made by another client meanwhile: {error}")),
            Some(_) => Error::stale(format!("{name:?} was changed by another client meanwhile: {error}")),
        }
    }

    /// The service has no blob of that name: the node loses it. ENOENT.
    pub(in crate::fs) fn remove_missing(&self, view: &NodeView, blob: &Blob, asked: Instant) -> Error {
        self.tree.remove_absent(view.parent, &view.name, asked);
        Error::not_found(format!("{} is not in the service any more", blob.path))
    }

    /// The service has refused to copy that version of the source: what is remembered of it, unless it is as it was, is
    /// forgotten.
    pub(in crate::fs) fn invalidate_refused_source(&self, ino: Ino, from: &Origin, etag: &ETag, error: Error) -> Error {
        match from.revision {
            None => self.invalidate_refused(ino, Some(etag), error),
            Some(_) => error,
        }
    }
}
