//! What is left is ended.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tracing::{info, warn};

use crate::error::{Error, Result};
use crate::fs::block_ids::BlockIds;
use crate::fs::copies::leftovers::{Fate, Leftover, Leftovers, Task, settle};
use crate::fs::copies::spec::{CopyOptions, CopySpec};
use crate::fs::names::attr::{self, BACKUP};
use crate::fs::names::tree::{Blob, Origin};
use crate::store::{
    AccessControl, BlobProperties, BlockId, DeleteOptions, ETag, LeaseId, Precondition, RenameOptions, Revision,
};

/// Deletes at once.
const AT_ONCE: usize = 32;

/// Deletes in a row, between two answers.
const IN_A_ROW: usize = 256;

/// Longest that a caller waits for content that comes back.
const PATIENCE: Duration = Duration::from_secs(20);

impl Leftovers {
    /// Ends something that can be ended, or a part of it. True when there is no more to do; its fate tells how it went.
    pub(in crate::fs) async fn end_leftover(&self, left: &mut Leftover) -> bool {
        let ended = match &mut left.task {
            Task::Nothing => Err(super::in_doubt(&left.blob)),
            Task::Delete(doomed) => {
                let now = doomed.split_off(doomed.len().saturating_sub(IN_A_ROW));
                match self.delete_each(now).await {
                    Ok(()) if !doomed.is_empty() => return false,
                    done => done,
                }
            }
            Task::DeleteSnapshot(revision) => self.delete_snapshot(&left.blob, revision).await,
            Task::Restore { snapshot, taken, over } => self.bring_back(&left.blob, snapshot, taken, over).await,
            Task::DropBlocks { of } => self.drop_blocks(&left.blob, of.as_deref()).await,
            Task::CopyAnew(given_up) => self.begin_given_up(&left.blob, given_up).await,
            Task::Release(id) => self.give_back(&left.blob, id).await,
            Task::Rename { over, replaces } => self.take_place(&left.blob, over, replaces).await,
        };
        let (kind, blob) = (left.kind, &left.blob.path);
        match ended {
            Ok(()) => {
                info!(?kind, %blob, what = left.why, "ended what another process had left");
                left.fate = Fate::Done;
                if let Some((log, number)) = left.origin.take() {
                    settle(log, number).await;
                }
            }
            Err(error) => {
                warn!(?kind, %blob, %error, "what another process has left cannot be ended");
                left.fate = Fate::Failed(error.errno());
                left.why = error.to_string();
            }
        }
        true
    }

    pub(super) async fn delete_snapshot(&self, blob: &Blob, revision: &Revision) -> Result<()> {
        match self.service.blob(blob).at(revision).delete(&DeleteOptions::default()).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// All of them, also when one fails; the first failure.
    async fn delete_each(&self, doomed: Vec<(Blob, ETag)>) -> Result<()> {
        let snapshots = self.config.snapshots_on_delete();
        let failures: Vec<Error> = stream::iter(doomed)
            .map(|(blob, etag)| async move {
                let options = DeleteOptions { snapshots, precondition: Precondition::IfMatch(etag) };
                let deleted = self.service.blob(&blob).delete(&options).await;
                deleted.err().filter(|error| !error.is_not_found())
            })
            .buffer_unordered(AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await;
        failures.into_iter().next().map_or(Ok(()), Err)
    }

    /// The snapshot is copied over its blob, if that is still as it was found, and deleted.
    async fn bring_back(
        &self,
        blob: &Blob,
        revision: &Revision,
        taken: &Arc<BlobProperties>,
        over: &ETag,
    ) -> Result<()> {
        let origin = Origin { blob: blob.clone(), revision: Some(revision.clone()) };
        let mut before = (**taken).clone();
        before.metadata.remove(BACKUP);
        let spec = CopySpec {
            source: self.service.source_url(blob, Some(revision), blob).await?,
            version: None,
            destination: blob.clone(),
            precondition: Precondition::IfMatch(over.clone()),
            metadata: Some(attr::for_rename(&before).unwrap_or_else(|| before.metadata.clone())),
            tier: None,
            tags: self.service.tags_of_origin(&origin, taken).await?,
            seal: before.seal_of_copy(before.sealed),
            options: CopyOptions::default(),
        };
        self.leases.release(blob).await;
        let (copies, of, revision) = (self.clone(), blob.clone(), revision.clone());
        let work = self.background.spawn(async move {
            copies.run_copy(spec).await?;
            copies.delete_snapshot(&of, &revision).await
        });
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(Ok(done)) => done,
            Ok(Err(panicked)) => Err(Error::fs(libc::EIO, panicked.to_string())),
            Err(_) => Err(Error::fs(libc::EBUSY, format!("{}: it is being brought back", blob.path))),
        }
    }

    async fn drop_blocks(&self, blob: &Blob, origin: Option<&str>) -> Result<()> {
        let ours = |id: &BlockId| origin.is_none_or(|origin| BlockIds::is_of(origin, id));
        match self.service.blob(blob).block_blob().drop_blocks(ours).await? {
            true => Ok(()),
            false => Err(super::in_doubt(blob)),
        }
    }

    async fn give_back(&self, blob: &Blob, id: &LeaseId) -> Result<()> {
        match self.service.blob(blob).release_lease(id).await {
            // It has ended, and who has one now is somebody else.
            Err(error) if error.is_not_found() || error.code().starts_with("Lease") => Ok(()),
            released => released,
        }
    }

    /// A blob under a hidden name takes the place of its file, and gets its owner and access list.
    async fn take_place(&self, hidden: &Blob, file: &Blob, replaces: &ETag) -> Result<()> {
        let client = self.service.blob(hidden);
        let access = self.service.blob(file).access_control().await?;
        client.set_access_control(&AccessControl { permissions: None, ..access }, &Precondition::None).await?;
        // It may be another version by now, and nobody else has the name.
        let now = client.properties().await?.etag;
        let options = RenameOptions {
            known: None,
            replaces: Some(replaces),
            source_if_match: Some(&now),
            precondition: Precondition::IfMatch(replaces.clone()),
        };
        client.rename(&file.path, &options).await.map(drop)
    }
}
