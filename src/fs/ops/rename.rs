//! Rename: copy, proof, delete (M3, §13.14).
//!
//! A flat account has no rename. A file is copied by the service, the copy is proven (our id, status `success`, the
//! source's ETag as the condition on both requests), and only then is the source deleted. Whatever ends otherwise
//! leaves both names as they were, and is reported: a copy under a new name is taken away again, and what a copy
//! replaced is brought back. For that it is kept before (`copies/restore.rs`): a pending copy takes the old content at
//! its start, and a delete of the source may be refused for reasons that only the service knows. That is two requests,
//! one to take a snapshot and one to delete it, where a look for what would be in the way of the delete took one and
//! proved less.
//!
//! A directory is every blob below it (`rename/tree.rs`).
//!
//! All that is for flat accounts. A hierarchical namespace renames by itself (`rename/hierarchical.rs`). Some accounts
//! do not say that they have one; but they take no snapshot, and whatever would have needed one is begun anew. While it
//! is not known, files are copied, which is right in either, and directories are not renamed.

use std::time::Duration;

use crate::error::{Error, OptionalExtension, Result};
use crate::fs::Fs;
use crate::fs::caller::Caller;
use crate::fs::content::loans::Changed;
use crate::fs::content::recall::recall;
use crate::fs::names::attr::{FileKind, Ino};
use crate::fs::names::tree::Place;
use crate::store::Namespace;

/// A rename on its way.
struct Renaming<'a> {
    fs: &'a Fs,
    from: EntryName<'a>,
    to: EntryName<'a>,
    mode: RenameMode,
    caller: Caller,
}

mod file;
mod hierarchical;
mod hold;
mod kept;
mod prove;
mod tree;
mod undelete;

/// Longest wait for a file that turned up in a directory while that was renamed.
const LATE: Duration = Duration::from_secs(1);

/// The flags of renameat2(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenameMode {
    Replace,
    /// EEXIST if the new name exists.
    NoReplace,
}

/// A name in a directory.
pub(crate) type EntryName<'a> = (Ino, &'a str);

/// To the kernel, ESTALE means that its names are old: it would look them up and rename once more. Once something was
/// sent, that is a copy once more.
fn never_stale(error: Error) -> Error {
    if error.is_stale() { Error::fs(libc::EBUSY, error.to_string()) } else { error }
}

fn exists(name: &str) -> Error {
    Error::fs(libc::EEXIST, format!("{name} exists"))
}

impl Fs {
    /// rename(2). EXDEV between accounts, so that mv copies and removes.
    pub async fn rename(&self, from: EntryName<'_>, to: EntryName<'_>, mode: RenameMode, caller: Caller) -> Result<()> {
        Renaming { fs: self, from, to, mode, caller }.run().await
    }
}

impl Renaming<'_> {
    /// See [`Fs::rename`].
    async fn run(&self) -> Result<()> {
        let Self { fs, from, to, mode, caller } = *self;
        let source = fs.directories.resolve(from.0, from.1).await?;
        let target = fs.directories.resolve(to.0, to.1).await.optional()?;
        if mode == RenameMode::NoReplace && target.as_ref().is_some_and(|target| target.ino != source.ino) {
            return Err(exists(to.1));
        }
        if target.as_ref().is_some_and(|target| target.ino == source.ino) {
            return Ok(());
        }
        if self.undelete(&source, target.as_ref()).await? {
            return Ok(());
        }
        for ino in [from.0, to.0, source.ino].into_iter().chain(target.iter().map(|target| target.ino)) {
            fs.tree.refuse_revision(ino)?;
        }
        let across = |what: &str| Error::fs(libc::EXDEV, format!("{what} cannot be renamed, only copied"));
        let (Place::Directory(old_dir), Ok(Place::Directory(new_dir))) = (fs.tree.place(from.0)?, fs.tree.place(to.0))
        else {
            return Err(across("containers and accounts"));
        };
        if old_dir.account != new_dir.account {
            return Err(across("files between accounts"));
        }
        self.refuse_kept(&source).await?;
        if let Some(file) = fs.handles.of_ino(source.ino) {
            fs.destinations.settle_own(&file, caller).await?;
        }
        match (source.kind, target.as_ref().map(|target| target.kind)) {
            (FileKind::Directory, None | Some(FileKind::Directory)) => {}
            (FileKind::Directory, Some(_)) => return Err(Error::fs(libc::ENOTDIR, format!("{} is a file", to.1))),
            (_, Some(FileKind::Directory)) => return Err(Error::fs(libc::EISDIR, format!("{} is a directory", to.1))),
            _ => {}
        }
        // Refused before anything is stored or moved for it.
        new_dir.blob(to.1)?;
        let namespace = fs.service.client(new_dir.account).container(&new_dir.container).namespace().await?;
        if let (Namespace::Untold, FileKind::Directory) = (namespace, source.kind) {
            // As a tree of blobs it would be copied and deleted, and the directories be left.
            let what =
                "whether the namespace of the account is hierarchical is not known, so directories are not renamed";
            return Err(Error::unsupported(format!("{}: {what}: say `hns` in the configuration", from.1)));
        }
        let changed: Vec<_> = match source.kind {
            FileKind::Directory => vec![Changed::Many],
            _ => std::iter::once(source.ino).chain(target.iter().map(|target| target.ino)).map(Changed::One).collect(),
        };
        let mut changing = Vec::new();
        for changed in changed {
            changing.push(recall(&fs.files, changed).await?);
        }
        let by_copy = match (namespace, source.kind) {
            (Namespace::Hierarchical, _) => None,
            (_, FileKind::Directory) => Some(self.rename_dir(&source, &new_dir, target.as_ref()).await),
            _ => Some(self.rename_file(&source, target.clone()).await),
        };
        match by_copy {
            // What was to be replaced cannot be kept, which was tried first: nothing has happened yet.
            Some(Err(error)) if !error.is_of_a_hierarchical_namespace() => return Err(never_stale(error)),
            None | Some(Err(_)) => {
                self.rename_path(&source, &new_dir, target.as_ref()).await.map_err(never_stale)?;
            }
            Some(Ok(())) => fs.directories.keep_alive(from.0, from.1).await,
        }
        drop(changing);
        fs.tree.touch(from.0);
        fs.tree.touch(to.0);
        Ok(())
    }
}
