//! Snapshots that are asked for.

use tracing::info;

use crate::error::{Error, Result};
use crate::fs::content::handle::Content;
use crate::fs::names::access::{Credentials, WRITE};
use crate::fs::names::attr::{FileKind, Ino};
use crate::fs::names::tree::RevisionDir;
use crate::fs::ops::control::Control;
use crate::store::Moment;

impl Control<'_> {
    /// Snapshot Blob. What was written here and is not stored yet is stored first, so that it is in the snapshot.
    pub async fn take_snapshot(&self, ino: Ino, who: &Credentials) -> Result<Moment> {
        let view = self.fs.tree.view(ino)?;
        self.fs.names.check_access(&view, WRITE, who)?;
        if view.kind == FileKind::Directory {
            return Err(Error::fs(libc::EISDIR, format!("{}: snapshots are of single blobs", view.name)));
        }
        let blob = self.fs.tree.blob(ino)?;
        let file = self.fs.handles.of_ino(ino);
        let _state = match &file {
            Some(file) => {
                let mut state = file.lock().await;
                if matches!(state.content, Content::Copying(_)) {
                    return Err(Error::copy_pending(&blob.path));
                }
                self.fs.files.commit(&mut state).await?;
                Some(state)
            }
            None => None,
        };
        self.fs.copies.jobs.refuse_emptied(&blob)?;
        let taken = self.fs.service.blob(&blob).create_snapshot().await?;
        info!(blob = %blob.path, moment = %taken.moment(), "snapshot taken");
        // It is there for whoever looks next, also if they have just looked; and where there are versions, the file has
        // become another one of them (S85).
        for revisions in [RevisionDir::Snapshots, RevisionDir::Versions] {
            let Some(names) = self.fs.tree.child(view.parent, revisions.directory()) else { continue };
            self.fs.tree.listings().invalidate_listing(names.ino);
            if let Some(moments) = self.fs.tree.child(names.ino, &view.name) {
                self.fs.tree.listings().invalidate_listing(moments.ino);
            }
        }
        if view.properties().is_some_and(|properties| properties.version_id.is_some()) {
            self.fs.tree.invalidate(ino);
        }
        Ok(taken.moment().clone())
    }
}
