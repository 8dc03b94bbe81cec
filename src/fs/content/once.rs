//! Files that are stored once: in a container that keeps its blobs (S109), what is committed cannot be changed any more.
//!
//! Everywhere else a commit comes whenever it is of use, and the next one changes what the last one made. Here a new
//! file has exactly one, with content, metadata and time together, and it comes as late as its writers can be told of a
//! failure: with fsync, with a flush whose caller and opener have no other descriptor of the file, while nobody else
//! has it open for writing, or at last when the last writer is gone. Until then blocks are only staged, whatever they
//! come from, and no whole copy is made onto the file, for nobody knows what follows it. A commit for any other reason
//! is refused with EBUSY ([`Files::commit`]): so what was staged already can be neither read nor changed before the file
//! is closed. Once it is stored, every change is EPERM, and so is to open it for writing.
//!
//! A file that was made and never written to would stay empty for as long as the policy says (S111), while whoever made
//! it is about to open it again: it waits for [`UNFILLED`] before it is stored.

use std::sync::Arc;
use std::time::Duration;

use tracing::error;

use crate::error::{Error, Result};
use crate::fs::content::commit::commit_finally;
use crate::fs::content::files::Files;
use crate::fs::content::handle::{Content, FileState, Locked};
use crate::fs::names::attr;
use crate::fs::names::containers::kept;
use crate::fs::names::tree::NodeView;
use crate::store::{BlobProperties, BlobSettings, BlobType, ContentHeaders, Metadata, Tags};

/// The time in which a new file that is closed without a byte may be opened again to be written. Scripts do that at
/// once (`touch f; echo x > f`); others should not wait much longer for the name of a file that is to be empty.
pub(in crate::fs) const UNFILLED: Duration = Duration::from_secs(10);

/// Whether a blob of those properties, in a container that keeps its blobs, is as it will be. An append blob may grow
/// where the policy allows it, which only the service knows (S188).
fn is_final(properties: &BlobProperties) -> bool {
    properties.blob_type != BlobType::Append
}

impl FileState {
    /// It is stored once, and is not yet.
    pub(crate) fn is_unborn(&self) -> bool {
        self.once && self.version.is_none()
    }

    /// [`FileState::is_unborn`], and nothing was written to it.
    pub(crate) fn is_unfilled(&self) -> bool {
        self.is_unborn() && matches!(&self.content, Content::Draft(draft) if draft.is_blank())
    }

    /// It is stored once, and has been.
    pub(crate) fn is_kept(&self) -> bool {
        self.once && self.version.as_ref().is_some_and(|version| is_final(&version.properties))
    }

    /// EBUSY if there is something to store and its writers may not be done.
    pub(in crate::fs) fn refuse_before_its_time(&self) -> Result<()> {
        match self.is_unborn() && self.content.is_uncommitted() {
            true => Err(Error::fs(
                libc::EBUSY,
                "its container keeps it as it is stored first, so it is stored when it is closed and not before",
            )),
            false => Ok(()),
        }
    }

    /// A whole blob was copied into the empty file: what it has beside its content comes along, as it does with a copy
    /// by the service.
    pub(in crate::fs) fn take_after(&mut self, source: &BlobProperties, tags: Tags) {
        self.chosen = Some(Arc::new(Self::settings_after(source, tags)));
    }

    /// What of `source` comes along with a copy of it.
    pub(in crate::fs) fn settings_after(source: &BlobProperties, tags: Tags) -> BlobSettings {
        let mut metadata = attr::for_copy(&source.metadata, &Metadata::default());
        attr::forget_time(&mut metadata);
        let headers = ContentHeaders { content_md5: None, ..source.headers.clone() };
        BlobSettings { headers, metadata, tags, tier: None }
    }
}

/// EPERM to open or truncate a file whose blob is there already, in a container that keeps its blobs.
pub(in crate::fs) fn refuse_kept(view: &NodeView) -> Result<()> {
    match view.properties() {
        Some(properties) if is_final(properties) => Err(kept(&view.name)),
        _ => Ok(()),
    }
}

/// The last writer of a file that is stored once is gone, and its flush did not know. Nobody hears of an error any more:
/// it goes to the log.
pub(in crate::fs) async fn store_deserted(files: &Files, locked: &mut Locked) {
    if locked.is_unborn()
        && !locked.is_unfilled()
        && let Err(error) = commit_finally(files, locked).await
    {
        let name = files.tree.view(locked.ino()).map(|view| view.name).unwrap_or_default();
        error!(%name, %error, "what was written is lost: it could not be stored");
    }
}
