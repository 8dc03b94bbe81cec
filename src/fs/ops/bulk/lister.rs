//! The first station of a blob on its way: listed, judged, and handed on if it is to be copied.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::error::Result;
use crate::fs::copies::bulk::progress::{Outcome, Skip};
use crate::fs::copies::bulk::{Bulk, BulkItem, BulkOptions, Decision, lock};
use crate::fs::names::access::{Credentials, READ};
use crate::fs::names::attr::{AttrChange, FileKind, Permissions};
use crate::fs::names::tree::{BlobDir, NodeView};
use crate::fs::names::walk::{Found, Walk};
use crate::fs::ops::bulk::decision::{Candidate, TreeCopies, failed};
use crate::fs::ops::bulk::destination_index::DestinationIndex;
use crate::store::Precondition;

/// Lists a source and says what is to be done with each blob.
pub(in crate::fs) struct Lister {
    pub bulk: Arc<Bulk>,
    pub items: mpsc::Sender<BulkItem>,
    pub old: BlobDir,
    pub new: BlobDir,
    /// The prefix of paths in events.
    pub prefix: String,
    pub destination: DestinationIndex,
    pub options: BulkOptions,
    /// The destination is not there yet.
    pub is_new: bool,
    pub who: Arc<Credentials>,
}

impl Lister {
    pub(super) async fn run(self, copies: TreeCopies, source: NodeView) -> Result<()> {
        let mut anything = false;
        if self.is_new
            && let (Some(version), Some(from), Some(to)) =
                (source.properties().cloned(), self.old.marker(), self.new.marker())
        {
            anything = true;
            let (from, to, kind) = (from?, to?, FileKind::Directory);
            let path: Arc<str> = self.prefix.trim_end_matches('/').into();
            let candidate = Candidate { from: &from, to: &to, version: &version, kind, existing: None };
            if let Decision::Copy(replaced, metadata) = copies.decide(&candidate, self.options, &self.who)? {
                let who = self.who.clone();
                self.submit(BulkItem { from, to, version, replaced, metadata, path, kind, who }).await;
            }
        }
        let mut walk = Walk::new(self.old.clone(), (*self.who).clone());
        while let Some(found) = walk.next(&copies.fs.names).await? {
            if self.bulk.is_cancelled() {
                return Ok(());
            }
            anything = true;
            self.process(&copies, found).await;
        }
        // An empty container, or a directory that was all refused, is there all the same.
        if !anything
            && self.is_new
            && !self.options.dry_run
            && let Some(marker) = self.new.marker()
        {
            let Credentials { uid, gid, .. } = *self.who;
            let owned = match copies.fs.config.permissions {
                Permissions::Keep if !self.who.may_chown() => {
                    AttrChange { uid: Some(uid), gid: Some(gid), ..AttrChange::default() }
                }
                _ => AttrChange::default(),
            };
            copies.fs.directories.put_marker(&marker?, &owned, &Precondition::IfAbsent).await?;
            copies.fs.tree.invalidate_path(self.bulk.into, self.prefix.trim_end_matches('/'));
        }
        Ok(())
    }

    async fn process(&self, copies: &TreeCopies, found: Found) {
        let marker = found.kind == FileKind::Directory;
        let bytes = found.properties.size;
        if !marker {
            lock(&self.bulk.totals).found.add(bytes);
        }
        let path: Arc<str> = format!("{}{}", self.prefix, found.path.trim_end_matches('/')).into();
        let decision = match self.decide(copies, &found) {
            Ok(decision) => decision,
            Err(error) => Decision::Settled(failed(&copies.fs, &error)),
        };
        match decision {
            Decision::Settled(outcome) => self.bulk.report(path, bytes, marker, outcome).await,
            Decision::Copy(replaced, metadata) => match (self.old.blob(&found.path), self.new.blob(&found.path)) {
                (Ok(from), Ok(to)) => {
                    let (version, kind, who) = (found.properties, found.kind, self.who.clone());
                    self.submit(BulkItem { from, to, version, replaced, metadata, path, kind, who }).await;
                }
                (Err(error), _) | (_, Err(error)) => {
                    self.bulk.report(path, bytes, marker, failed(&copies.fs, &error)).await
                }
            },
        }
    }

    fn decide(&self, copies: &TreeCopies, found: &Found) -> Result<Decision> {
        let defaults = &copies.fs.config.defaults;
        let attr = found.attr(defaults);
        if found.closed {
            return Ok(Decision::refused(
                libc::EACCES,
                "the directory may not be read, and is left out with all that is in it",
            ));
        }
        if found.kind == FileKind::File {
            self.who.check(&attr, READ, &found.path)?;
        }
        if found.kind == FileKind::Directory && self.destination.directories.contains(found.path.trim_end_matches('/'))
        {
            return Ok(Decision::Settled(Outcome::Skipped(Skip::Exists)));
        }
        let (from, to) = (self.old.blob(&found.path)?, self.new.blob(&found.path)?);
        let (version, kind, existing) = (&found.properties, found.kind, self.destination.blobs.get(&found.path));
        let candidate = Candidate { from: &from, to: &to, version, kind, existing };
        let decision = copies.decide(&candidate, self.options, &self.who)?;
        // What is skipped need not be allowed.
        match (&decision, self.destination.obstacle(&copies.fs.names, &found.path, found.kind)) {
            (Decision::Copy(..) | Decision::Settled(Outcome::Due), Some(outcome)) => Ok(Decision::Settled(outcome)),
            _ => Ok(decision),
        }
    }

    async fn submit(&self, item: BulkItem) {
        // A starter that is gone begins nothing any more.
        let _ = self.items.send(item).await;
    }
}
