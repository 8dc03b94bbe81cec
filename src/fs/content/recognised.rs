//! Blocks that a program has written and that the service has already, because the program has read them.
//!
//! `rsync`, `tar`, `dd` and many more copy by reading and writing. The bytes have come down by then; they need not go up
//! again. When a block is about to be sent and all of its bytes are found as one range of one version that the same user
//! has read ([`RecentReads`]), the service is asked to make the block of that range instead, by Put Block From URL. The
//! version is a condition of the request, and so is the checksum of what the program wrote: if the service's bytes are
//! others, it refuses. Whatever goes wrong, the block is sent as it would have been, and nobody hears of it. Only bytes
//! are taken, no metadata: a program that wrote has said nothing about these.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tracing::{debug, info};

use crate::error::{Error, Result};
use crate::fs::caller::User;
use crate::fs::content::memory::Memory;
use crate::fs::content::recent::{ReadRange, RecentReads};
use crate::fs::content::source::RANGE_READ;
use crate::fs::names::tree::{AccountId, Blob, Tree};
use crate::fs::service::Service;
use crate::store::{BlockId, Payload, SourceRange};
use crate::sync::lock;

/// Bytes that are worth the longer way of a request by which the service reads another blob.
const LEAST: usize = 64 * 1024;

/// The time for which an account that may not read another one is not asked to.
const REFUSED: Duration = Duration::from_secs(60);

/// Content on its way to a blob, and who has written it.
#[derive(Clone, Copy)]
pub(in crate::fs) struct Authored<'a> {
    pub content: &'a Payload,
    /// Its place in the file, bytes.
    pub at: u64,
    /// Its only author.
    pub by: Option<User>,
}

/// Finds what is written among what was read.
pub(in crate::fs) struct Recogniser {
    pub reads: Arc<RecentReads>,
    service: Arc<Service>,
    tree: Arc<Tree>,
    /// Accounts, of a source and of a blob, between which it was refused last at that time.
    refused: Mutex<HashMap<(AccountId, AccountId), Instant>>,
    /// Bytes that were not sent.
    spared: AtomicU64,
}

impl Recogniser {
    /// For the files of a mount.
    pub(crate) fn new(service: Arc<Service>, tree: Arc<Tree>, memory: Arc<Memory>) -> Arc<Self> {
        let reads = RecentReads::new(memory);
        Arc::new(Self { reads, service, tree, refused: Mutex::default(), spared: AtomicU64::new(0) })
    }

    /// Bytes that programs wrote and that were not sent.
    pub(crate) fn spared(&self) -> u64 {
        self.spared.load(Ordering::Relaxed)
    }

    /// Whether that is what its author has read.
    pub(crate) fn knows(&self, written: Authored<'_>) -> bool {
        self.find(written).is_some()
    }

    fn find(&self, Authored { content, at, by }: Authored<'_>) -> Option<ReadRange> {
        if content.len() < LEAST { None } else { self.reads.find(content, at, by?) }
    }

    /// The bytes are those of that range, which their author has read: they need not be sent.
    pub(crate) fn is_read(&self, range: &ReadRange, content: &Payload, by: User) -> bool {
        let is_it = self.reads.holds(range, content, by);
        if is_it {
            self.spared.fetch_add(content.len() as u64, Ordering::Relaxed);
        }
        is_it
    }

    /// Has the service make a block with that content, if it has it elsewhere. False if the content is to be sent. An
    /// error if the blob takes no blocks at all.
    pub(crate) async fn stage(&self, to: &Blob, id: &BlockId, written: Authored<'_>) -> Result<bool> {
        let Some(found) = self.find(written) else { return Ok(false) };
        match self.ask(to, id, &found, written.content).await {
            Ok(done) => {
                if done {
                    self.spared.fetch_add(written.content.len() as u64, Ordering::Relaxed);
                }
                Ok(done)
            }
            Err(error) if error.is_written_over_dfs() => Err(error),
            Err(error) => {
                debug!(%error, blob = %to.path, "what was read and written is sent, because the service does not copy it");
                self.reads.forget(found.ino, &found.version);
                Ok(false)
            }
        }
    }

    /// Put Block From URL of what was found; false if there is no use in asking for it.
    async fn ask(&self, to: &Blob, id: &BlockId, found: &ReadRange, content: &Payload) -> Result<bool> {
        // It may have another name by now.
        let source = self.tree.origin(found.ino)?;
        let between = (source.blob.account, to.account);
        if lock(&self.refused).get(&between).is_some_and(|when| when.elapsed() < REFUSED) {
            return Ok(false);
        }
        let reader = self.service.client(to.account);
        let url = self.service.blob(&source.blob).at(source.revision.as_ref()).block_source(reader, RANGE_READ).await?;
        let range = SourceRange { source: &url, range: found.range.clone(), if_match: Some(&found.version) };
        let staged = self.service.blob(to).block_blob().stage_known_block(id, &range, content).await;
        if let Err(error) = &staged
            && is_of_the_accounts(error)
        {
            info!(%error, source = %source.blob.path, destination = %to.path, "what is read there and written here is sent");
            lock(&self.refused).insert(between, Instant::now());
        }
        staged.map(|()| true)
    }
}

/// The error is about what one account may read of another, or what the server can do, or there was none: it would be
/// the same with the next blob.
fn is_of_the_accounts(error: &Error) -> bool {
    error.is_of_an_unknown_operation()
        || error.is_about_the_source() && error.is_denied()
        || matches!(error, Error::Transport { .. })
}
