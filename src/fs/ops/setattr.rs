//! Attributes changed: chmod, chown, utimens, and truncate.

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::caller::Caller;
use crate::fs::content::handle::{Content, Fh};
use crate::fs::content::once::refuse_kept;
use crate::fs::content::strategy::Change;
use crate::fs::names::attr::{Attr, AttrChange, FileKind, Ino};
use crate::fs::names::cache::Names;
use crate::fs::names::tree::{NodeProperties, NodeView};
use crate::store::Keeping;

impl Fs {
    /// truncate(2) and ftruncate(2).
    pub(in crate::fs) async fn truncate(&self, ino: Ino, size: u64, writer: Option<Fh>, caller: Caller) -> Result<()> {
        if let Some(handle) = writer.and_then(|fh| self.handles.get(fh).ok()) {
            let mut state = self.destinations.settled(&handle.file, caller).await?;
            self.tree.refuse_replaced(ino)?;
            handle.version(&state)?;
            self.files.admit(&mut state, Change::Resize(size))?;
            return self.files.edit(&mut state, size, |draft| draft.truncate(size)).await;
        }
        if let Some(file) = self.handles.of_ino(ino) {
            self.destinations.settle_own(&file, caller).await?;
        }
        let view = self.names.fresh(ino).await?;
        if view.kind == FileKind::Directory {
            return Err(Error::fs(libc::EISDIR, "is a directory"));
        }
        Names::check_named(&view)?;
        self.tree.refuse_revision(ino)?;
        view.refuse_writing()?;
        if let Ok(blob) = self.tree.blob(ino) {
            self.copies.jobs.refuse_copied_to(&blob)?;
        }
        if self.names.keeping(ino).await? == Keeping::Blobs {
            refuse_kept(&view)?;
        }
        let file = self.files.acquire(&view).await;
        let done = async {
            let mut state = self.destinations.settled(&file, caller).await?;
            self.files.admit(&mut state, Change::Resize(size))?;
            let was_stored = !matches!(&state.content, Content::Draft(draft) if draft.dirty);
            self.files.edit(&mut state, size, |draft| draft.truncate(size)).await?;
            if state.is_unborn() {
                return Ok(());
            }
            let stored = self.files.commit(&mut state).await;
            if was_stored && stored.is_err() {
                // Nothing has happened, to nobody who has it open either.
                state.content = Content::Clean;
            }
            stored
        }
        .await;
        let state = file.lock().await;
        self.files.release(state).await;
        done
    }

    /// chmod, chown and utimens that change something. A process that has the file open for writing gets it stored with
    /// its next flush, together with everything else; otherwise it is stored at once. (FUSE does not say which of the
    /// two calls it was.) What has no name any more keeps it only as long as it is open.
    async fn change_attributes(&self, view: &NodeView, change: AttrChange, caller: Caller) -> Result<()> {
        if view.kind == FileKind::Directory {
            let dated = change.mtime.is_some();
            match self.directories.properties_of_directory(view).await? {
                Some(properties) => {
                    let properties = self.files.store_attributes(view.ino, &properties, &change).await?;
                    self.tree.update(view.ino, NodeProperties::Blob(properties));
                }
                None => self.directories.attribute_directory(view, change).await?,
            }
            if dated {
                self.tree.forget_touch(view.ino);
            }
            return Ok(());
        }
        let file = self.files.acquire(view).await;
        let mut state = file.lock().await;
        // Where the file is open for the copy, they are stored with its end.
        let refused = match (&state.content, self.tree.blob(view.ino)) {
            (Content::Copying(_), _) | (_, Err(_)) => Ok(()),
            (_, Ok(blob)) => self.copies.jobs.refuse_copied_to(&blob),
        };
        let done = match refused {
            Ok(()) => self.files.store_or_keep(&mut state, change, caller).await,
            Err(error) => Err(error),
        };
        self.files.release(state).await;
        done
    }

    /// chmod, chown, utimens and truncate; `size` in bytes. `writer` is the open file that a truncation came through,
    /// if any: then it is stored with the next commit, otherwise at once.
    pub async fn setattr(
        &self,
        ino: Ino,
        size: Option<u64>,
        change: AttrChange,
        writer: Option<Fh>,
        caller: Caller,
    ) -> Result<Attr> {
        if let Some(size) = size {
            self.truncate(ino, size, writer, caller).await?;
        }
        if !change.is_empty() {
            let view = self.names.fresh(ino).await?;
            Names::check_named(&view)?;
            let change = change.admit(&self.names.attr_of(&view), self.config.permissions)?;
            if !change.is_empty() {
                self.change_attributes(&view, change, caller).await?;
            }
        }
        Ok(self.names.attr_of(&self.tree.view(ino)?))
    }
}
