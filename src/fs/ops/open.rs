//! Files opened and created. A file that is written to is a [`Draft`] on top of the version that was opened.

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::caller::Caller;
use crate::fs::content::draft::{Basis, Draft};
use crate::fs::content::handle::{Access, Content, Deferral, Fh, Handle};
use crate::fs::content::once::refuse_kept;
use crate::fs::names::attr::{Attr, Creation, FileKind, Ino};
use crate::fs::names::tree::{NodeProperties, NodeView, Observation, Place, RevisionPlace, deleted};
use crate::store::Keeping;

/// An opened file.
pub struct Opened {
    pub fh: Fh,
    /// Whether the kernel's cache of it is still true.
    pub keep_cache: bool,
    /// Reads and writes come here past the kernel's cache.
    pub direct: bool,
}

impl Fs {
    /// open(2) of a file that exists. `flags` are those of the call.
    pub async fn open(&self, ino: Ino, flags: i32, caller: Caller) -> Result<Opened> {
        let access = Access::of_flags(flags);
        let view = self.names.view_for_open(ino).await?;
        if let Place::Revision(RevisionPlace::Deleted(blob)) = self.tree.place(ino)? {
            return Err(deleted(&blob));
        }
        if access.write {
            self.tree.refuse_revision(ino)?;
            view.refuse_writing()?;
            if let Ok(blob) = self.tree.blob(ino) {
                self.copies.jobs.refuse_copied_to(&blob)?;
            }
            refuse_leased(self, ino, &view).await?;
        }
        let once = access.write && self.names.keeping(ino).await? == Keeping::Blobs;
        if once {
            refuse_kept(&view)?;
        }
        let file = self.files.acquire(&view).await;
        if once {
            file.lock().await.once = true;
        }
        if access.write && flags & libc::O_TRUNC != 0 {
            let mut state = file.lock().await;
            if let Err(error) = self.files.edit(&mut state, 0, |draft| draft.truncate(0)).await {
                self.files.release(state).await;
                return Err(error);
            }
        }
        let state = file.lock().await;
        // What is being copied is of another size than the kernel believes.
        let is_copied_to =
            view.is_pending() || self.tree.blob(ino).is_ok_and(|blob| self.copies.jobs.is_emptied(&blob));
        let direct = is_copied_to || self.handles.goes_past_the_cache(&file, access);
        let handle = Handle::new(file.clone(), access, direct, caller).counted(self.files.uploads.writer(access.write));
        let version = handle.version(&state)?;
        let keep_cache = version.is_some_and(|version| self.tree.kernel().caches(ino, &version.properties.etag));
        let fh = self.handles.insert(handle);
        drop(state);
        Ok(Opened { fh, keep_cache, direct })
    }

    /// Creates and opens a file. It comes into being with its first commit.
    pub async fn create(
        &self,
        parent: Ino,
        name: &str,
        creation: Creation,
        flags: i32,
        caller: Caller,
    ) -> Result<(Attr, Opened)> {
        let dir = self.tree.directory(parent)?;
        dir.blob(name)?;
        if let Some(view) = self.tree.child(parent, name) {
            if flags & libc::O_EXCL != 0 {
                return Err(Error::fs(libc::EEXIST, format!("{name} exists")));
            }
            if view.kind == FileKind::Directory {
                return Err(Error::fs(libc::EISDIR, format!("{name} is a directory")));
            }
            let opened = self.open(view.ino, flags, caller).await?;
            // It is open, and so cannot be gone.
            let _ = self.tree.kernel().looked_up(view.ino);
            return Ok((self.names.attr_of(&self.tree.view(view.ino)?), opened));
        }
        let asked = self.names.attributes_of_new(parent, FileKind::File, creation)?;
        let once = self.names.keeping(parent).await? == Keeping::Blobs;
        let known = Observation { properties: NodeProperties::Nothing, at: std::time::Instant::now() };
        let view = self.tree.enter(parent, name, FileKind::File, known, None)?;
        self.tree.touch(parent);
        let file = self.files.acquire(&view).await;
        let mut state = file.lock().await;
        // Two who make one file at the same moment are told of each other only where they ask for that.
        let basis = match flags {
            flags if flags & libc::O_EXCL != 0 => Basis::Version,
            flags if flags & libc::O_TRUNC != 0 => Basis::Nothing,
            flags if flags & libc::O_APPEND != 0 => Basis::End(0),
            _ => Basis::Version,
        };
        let mut draft = Draft::empty(basis);
        draft.once = once;
        state.content = Content::Draft(Box::new(draft));
        state.once = once;
        // A mode that cannot be kept is no reason to refuse a file.
        state.change = asked.admit(&self.names.attr_of(&view), self.config.permissions).unwrap_or_default();
        let access = Access { create: true, ..Access::of_flags(flags) };
        let direct = self.handles.goes_past_the_cache(&file, access);
        let handle = Handle::new(file.clone(), access, direct, caller).counted(self.files.uploads.writer(access.write));
        let fh = self.handles.insert(handle);
        drop(state);
        let _ = self.tree.kernel().looked_up(view.ino);
        let attr = self.names.attr_of(&view);
        Ok((attr, Opened { fh, keep_cache: false, direct }))
    }

    /// mknod(2) of a regular file: created, and stored with what comes next (`content/deferred`).
    pub async fn make_file(&self, parent: Ino, name: &str, creation: Creation, caller: Caller) -> Result<Attr> {
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;
        let (attr, opened) = self.create(parent, name, creation, flags, caller).await?;
        self.handles.get(opened.fh)?.file.lock().await.deferral = Deferral::Made;
        self.release(opened.fh).await;
        Ok(attr)
    }
}

/// Refuses to open for writing what others hold a lease of: the service would refuse what is written, and who ignores
/// errors of close would lose it. A lease ends without a trace in what is remembered, so it is looked at once more.
async fn refuse_leased(fs: &Fs, ino: Ino, view: &NodeView) -> Result<()> {
    let is_leased = |view: &NodeView| view.properties().is_some_and(|found| found.lease.is_held());
    // Of what is being written here already more is known than the service would say.
    if !is_leased(view) || fs.names.is_ahead(ino) {
        return Ok(());
    }
    let blob = fs.tree.blob(ino)?;
    let is_own = || fs.service.client(blob.account).holds_lease(&blob.path);
    if is_own() {
        return Ok(());
    }
    fs.tree.invalidate(ino);
    let view = fs.names.fresh(ino).await?;
    if is_leased(&view) && !is_own() {
        return Err(Error::fs(libc::EBUSY, format!("{}: another client holds a lease of it", view.name)));
    }
    Ok(())
}
