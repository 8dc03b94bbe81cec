//! The first station of a blob on its way: listed, judged, and handed on if it is to be copied.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::error::Result;
use crate::fs::copies::bulk::news::{Outcome, Skip};
use crate::fs::copies::bulk::{Bulk, BulkItem, Mode, Verdict, lock};
use crate::fs::names::access::{Credentials, READ};
use crate::fs::names::attr::{self, AttrChange, FileKind, Ino};
use crate::fs::names::tree::{BlobDir, NodeView};
use crate::fs::names::walk::{Found, Walk};
use crate::fs::ops::bulk::there::There;
use crate::fs::ops::bulk::verdict::{TreeCopies, failed};
use crate::store::Precondition;

/// Lists a source and says what is to be done with each blob.
pub(in crate::fs) struct Lister {
    pub bulk: Arc<Bulk>,
    pub items: mpsc::Sender<BulkItem>,
    pub old: BlobDir,
    pub new: BlobDir,
    /// Of the paths in news.
    pub prefix: String,
    pub there: There,
    pub mode: Mode,
    /// The destination is not there yet.
    pub is_new: bool,
}

impl Lister {
    pub(super) async fn run(self, copies: TreeCopies, source: NodeView, who: Credentials) -> Result<()> {
        let mut anything = false;
        if self.is_new
            && let (Some(version), Some(from), Some(to)) =
                (source.properties().cloned(), self.old.marker(), self.new.marker())
        {
            anything = true;
            let path = self.prefix.trim_end_matches('/').into();
            if !self.mode.dry_run {
                self.submit(BulkItem { from: from?, to: to?, version, there: None, path, marker: true }).await;
            }
        }
        let mut walk = Walk::new(self.old.clone(), who.clone());
        while let Some(found) = walk.next(&copies.fs.names).await? {
            if self.bulk.is_stopped() {
                return Ok(());
            }
            anything = true;
            self.treat(&copies, found, &who).await;
        }
        // An empty container, or a directory that was all refused, is there all the same.
        if !anything
            && self.is_new
            && !self.mode.dry_run
            && let Some(marker) = self.new.marker()
        {
            copies.fs.directories.put_marker(&marker?, &AttrChange::default(), &Precondition::IfAbsent).await?;
            copies.fs.tree.invalidate_path(self.bulk.into, self.prefix.trim_end_matches('/'));
        }
        Ok(())
    }

    async fn treat(&self, copies: &TreeCopies, found: Found, who: &Credentials) {
        let marker = found.kind == FileKind::Directory;
        let bytes = found.properties.size;
        if !marker {
            lock(&self.bulk.totals).found.add(bytes);
        }
        let path: Arc<str> = format!("{}{}", self.prefix, found.path.trim_end_matches('/')).into();
        let verdict = match self.verdict(copies, &found, who) {
            Ok(verdict) => verdict,
            Err(error) => Verdict::Not(failed(&copies.fs, &error)),
        };
        match verdict {
            Verdict::Not(outcome) => self.bulk.tell(path, bytes, marker, outcome).await,
            Verdict::Copy(there) => match (self.old.blob(&found.path), self.new.blob(&found.path)) {
                (Ok(from), Ok(to)) => {
                    self.submit(BulkItem { from, to, version: found.properties, there, path, marker }).await;
                }
                (Err(error), _) | (_, Err(error)) => {
                    self.bulk.tell(path, bytes, marker, failed(&copies.fs, &error)).await
                }
            },
        }
    }

    fn verdict(&self, copies: &TreeCopies, found: &Found, who: &Credentials) -> Result<Verdict> {
        let defaults = &copies.fs.config.defaults;
        let attr = attr::of_blob(Ino::ROOT, found.kind, &found.properties, defaults);
        if found.closed {
            return Ok(Verdict::not(
                libc::EACCES,
                "the directory may not be read, and is left out with all that is in it",
            ));
        }
        if found.kind == FileKind::File {
            who.check(&attr, READ, &found.path)?;
        }
        if found.kind == FileKind::Directory && self.there.directories.contains(found.path.trim_end_matches('/')) {
            return Ok(Verdict::Not(Outcome::Skipped(Skip::Exists)));
        }
        let (from, to) = (self.old.blob(&found.path)?, self.new.blob(&found.path)?);
        let verdict = copies.verdict(&from, &found.properties, &to, self.there.blobs.get(&found.path), self.mode);
        // What is skipped need not be allowed.
        match (&verdict, self.there.obstacle(&copies.fs.names, &found.path, found.kind)) {
            (Verdict::Copy(_) | Verdict::Not(Outcome::Due), Some(outcome)) => Ok(Verdict::Not(outcome)),
            _ => Ok(verdict),
        }
    }

    async fn submit(&self, item: BulkItem) {
        // A starter that is gone begins nothing any more.
        let _ = self.items.send(item).await;
    }
}
