//! Rename in a hierarchical namespace: one request (M4).
//!
//! The service gives a file, or a directory with all that is below it, its new name at once and for everybody, or not
//! at all; so nothing has to be copied, proven or kept. What remains to be done here is that this mount agrees with
//! itself: what was written goes to the old name before, nobody writes meanwhile, and what this mount makes below a
//! directory in that moment comes along.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, warn};

use crate::error::{Error, Result};
use crate::fs::names::attr::{self, FileKind, Ino};
use crate::fs::names::tree::{Blob, BlobDir, NodeProperties, NodeView, Observation, Place};
use crate::fs::ops::rename::hold::LockedFile;
use crate::fs::ops::rename::{RenameMode, Renaming, exists};
use crate::path::{BlobName, BlobPath};
use crate::store::{BlobProperties, DeleteOptions, ListBlobs, Precondition, RenameOptions, Written};

impl Renaming<'_> {
    pub(super) async fn rename_path(&self, source: &NodeView, into: &BlobDir, target: Option<&NodeView>) -> Result<()> {
        let Self { from, to, mode, .. } = *self;
        let old = self.renamable(source)?;
        let new = into.blob(to.1)?;
        let mut held = Vec::new();
        match self.fs.tree.place(source.ino)? {
            Place::Directory(old) => {
                self.lock_dir(source.ino, &old, &into.subdirectory(to.1), target, &mut held).await?;
            }
            _ => self.lock_files(&mut held, vec![source.ino]).await?,
        }
        self.refuse_pending(source.ino, target).await?;
        let known: HashSet<u64> = self.fs.tree.descendants(source.ino).iter().map(|node| node.ino.0).collect();
        // Once more if somebody was faster: names have no handle that could be stale.
        for last_try in [false, true] {
            let source = self.fs.directories.resolve(from.0, from.1).await?;
            let source = self.look_at(source, &old).await?;
            let asked = Instant::now();
            let options = RenameOptions {
                known: source.properties().map(|properties| &**properties),
                replaces: target.and_then(NodeView::properties).map(|properties| &properties.etag),
                // What was held of the file is held of it under its new name, so it must be that version. Of a
                // directory nothing is.
                source_if_match: match source.kind {
                    FileKind::Directory => None,
                    _ => source.properties().map(|properties| &properties.etag),
                },
                precondition: match mode {
                    RenameMode::NoReplace => Precondition::IfAbsent,
                    RenameMode::Replace => Precondition::None,
                },
            };
            let storing: Vec<_> = held.iter().map(|held| held.locked.file().storing()).collect();
            let error = match self.fs.service.blob(&old).rename(&new.path, &options).await {
                Ok(written) => {
                    // From here on nothing is waited for until the name is the new one.
                    self.fs.tree.rename(from.0, from.1, to.0, to.1);
                    drop(storing);
                    self.update_renamed(&source, &new, written, &mut held).await;
                    drop(held);
                    if source.kind == FileKind::Directory {
                        self.fetch_late(source.ino, &old, &new, &known).await;
                    }
                    return Ok(());
                }
                Err(error) => error,
            };
            match error.code() {
                "PathAlreadyExists" | "BlobAlreadyExists" => {
                    self.fs.tree.listings().invalidate_listing(to.0);
                    return Err(if mode == RenameMode::NoReplace { exists(to.1) } else { error });
                }
                "SourcePathNotFound" => {
                    self.fs.tree.remove_absent(from.0, from.1, asked);
                    return Err(error);
                }
                // Another client has put something else there.
                "InvalidSourceOrDestinationResourceType" if source.kind != FileKind::Directory => {
                    self.fs.tree.listings().invalidate_listing(to.0);
                    return Err(Error::fs(libc::EISDIR, error.to_string()));
                }
                _ if error.is_precondition_failed() && !last_try => self.fs.tree.invalidate(source.ino),
                _ if error.is_precondition_failed() => {
                    return Err(Error::fs(libc::EBUSY, format!("{}: changed while it was renamed: {error}", from.1)));
                }
                _ => {
                    // Whatever has become of it: neither name is what was known of it.
                    self.fs.tree.invalidate(source.ino);
                    self.fs.tree.listings().invalidate_listing(to.0);
                    return Err(error);
                }
            }
        }
        Err(Error::fs(libc::EBUSY, format!("{}: changed while it was renamed", from.1)))
    }

    /// The path of a file or directory. Containers and what is only there to be read have none that could be changed.
    fn renamable(&self, source: &NodeView) -> Result<Blob> {
        match self.fs.tree.place(source.ino)? {
            Place::Directory(dir) => {
                dir.marker().unwrap_or_else(|| Err(Error::fs(libc::EXDEV, "containers cannot be renamed")))
            }
            _ => self.fs.tree.blob(source.ino),
        }
    }

    /// The source as the service has it, if that is not known: by nothing else is it recognised when the answer to its
    /// rename is lost (S124). Of a directory that was only listed, nothing is.
    async fn look_at(&self, source: NodeView, path: &Blob) -> Result<NodeView> {
        if source.properties().is_some() {
            return Ok(source);
        }
        let asked = Instant::now();
        match self.fs.service.blob(path).properties().await {
            Ok(found) if attr::kind_of(&found) == source.kind => {
                let heard = NodeProperties::Blob(Arc::new(found));
                self.fs.tree.update_if_newer(source.ino, heard.clone(), asked);
                Ok(NodeView { observed: Observation { properties: heard, at: asked }, ..source })
            }
            Ok(_) => {
                self.fs.tree.invalidate(source.ino);
                Err(Error::fs(libc::EBUSY, format!("{}: changed while it was renamed", source.name)))
            }
            Err(error) if error.is_not_found() => {
                self.fs.tree.remove_absent(source.parent, &source.name, asked);
                Err(error)
            }
            Err(error) => {
                debug!(path = %path.path, %error, "nothing is known of what is to be renamed");
                Ok(source)
            }
        }
    }

    /// EBUSY while a copy onto one of the files is pending. What was pending when it was last heard of is asked for
    /// anew.
    async fn refuse_pending(&self, source: Ino, target: Option<&NodeView>) -> Result<()> {
        let mut suspects = self.fs.tree.descendants(source);
        suspects.push(self.fs.tree.view(source)?);
        suspects.extend(target.cloned());
        for node in suspects.iter().filter(|node| node.kind != FileKind::Directory) {
            let started_here =
                self.fs.tree.blob(node.ino).is_ok_and(|blob| self.fs.copies.jobs.pending(&blob).is_some());
            if started_here || (node.is_pending() && self.fs.names.fresh(node.ino).await?.is_pending()) {
                return Err(Error::copy_pending(&node.name));
            }
        }
        Ok(())
    }

    /// The blob is what it was. Its ETag and time are so, too (S116), as far as the service has said.
    async fn update_renamed(&self, node: &NodeView, new: &Blob, written: Option<Written>, held: &mut [LockedFile<'_>]) {
        let Some(before) = node.properties() else { return };
        let now = match written {
            Some(Written { etag, last_modified }) => BlobProperties { etag, last_modified, ..(**before).clone() },
            None => match self.fs.service.blob(new).properties().await {
                Ok(found) => found,
                Err(error) => {
                    debug!(path = %new.path, %error, "what was renamed is not known anew");
                    return self.fs.tree.invalidate(node.ino);
                }
            },
        };
        match node.kind {
            FileKind::Directory => self.fs.tree.update(node.ino, NodeProperties::Blob(Arc::new(now))),
            _ => self.record_properties(held, node.ino, &before.etag, Arc::new(now)),
        }
    }

    /// What this mount stored below the directory after the service had renamed it and before the mount knew: it is
    /// below the old name, which it brought back. It follows, and the old name goes. `known` was there before.
    async fn fetch_late(&self, dir: Ino, old: &Blob, new: &Blob, known: &HashSet<u64>) {
        let client = self.fs.service.client(old.account);
        let (old_prefix, new_prefix) = (format!("{}/", old.path.name), format!("{}/", new.path.name));
        let late: Vec<_> =
            self.fs.tree.descendants(dir).into_iter().filter(|node| !known.contains(&node.ino.0)).collect();
        if late.is_empty() {
            return;
        }
        let list = ListBlobs { prefix: &old_prefix, max_results: Some(1), ..ListBlobs::default() };
        match client.container(&old.path.container).list_blobs(&list).await {
            Ok(page) if page.items.is_empty() && page.next.is_none() => return,
            Ok(_) => {}
            Err(error) => warn!(%error, "what came into being during a rename cannot be looked for"),
        }
        let path = |prefix: &str, rest: &str| {
            let name = BlobName::parse(&format!("{prefix}{rest}")).ok()?;
            Some(BlobPath::new(old.path.container.clone(), name))
        };
        let mut emptied = vec![old.path.clone()];
        for node in late {
            let Ok(to) = self.renamable(&node) else { continue };
            let Some(rest) = to.path.name.as_str().strip_prefix(&new_prefix) else { continue };
            let Some(from) = path(&old_prefix, rest) else { continue };
            let directories = rest.match_indices('/').filter_map(|(at, _)| path(&old_prefix, &rest[..at]));
            emptied.extend(directories);
            let options = RenameOptions {
                known: node.properties().map(|properties| &**properties),
                precondition: Precondition::IfAbsent,
                ..RenameOptions::default()
            };
            match client.blob(&from).rename(&to.path, &options).await {
                Ok(_) => self.fs.tree.invalidate(node.ino),
                // It has come along.
                Err(error) if error.is_not_found() => {}
                Err(error) => {
                    warn!(from = %from, to = %to.path, %error, "it stays below the old name of its directory")
                }
            }
        }
        // Deepest first. A directory with something in it is refused, and nothing but a directory is meant.
        emptied.sort_by_key(|path| std::cmp::Reverse(path.name.as_str().len()));
        emptied.dedup();
        for directory in emptied {
            let deleted = async {
                let found = client.blob(&directory).properties().await?;
                if attr::kind_of(&found) != FileKind::Directory {
                    return Ok(());
                }
                let as_found = Precondition::IfMatch(found.etag);
                client.blob(&directory).delete(&DeleteOptions { precondition: as_found, ..Default::default() }).await
            };
            if let Err(error) = deleted.await {
                debug!(%directory, %error, "left of a renamed directory");
            }
        }
    }
}
