//! Blocks that a program has written and that the service has already, because the program has read them.
//!
//! `rsync`, `tar`, `dd` and many more copy by reading and writing. The bytes have come down by then; they need not go up
//! again. When a block is about to be sent and all of its bytes are found as one range of one version that the same user
//! has read ([`RecentReads`]), the service is asked to make the block of that range instead, by Put Block From URL. The
//! version is a condition of the request, and so is the checksum of what the program wrote: if the service's bytes are
//! others, it refuses. Whatever goes wrong, the block is sent as it would have been, and nobody hears of it. Only bytes
//! are taken, no metadata: a program that wrote has said nothing about these.
//!
//! Nobody has asked for that request. So it may cost nobody else anything: it is one of [`AT_ONCE`] that are no uploads,
//! it has a few seconds, and where it does not work it is not tried for a while ([`Asked`]). And no account's credentials
//! are told to a server that is not of the same kind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, info};

use crate::error::{Error, Result};
use crate::fs::caller::User;
use crate::fs::content::asked::{Asked, Between};
use crate::fs::content::memory::Memory;
use crate::fs::content::recent::{ReadRange, RecentReads};
use crate::fs::content::source::RANGE_READ;
use crate::fs::names::tree::{AccountId, Blob, Origin, Tree};
use crate::fs::service::Service;
use crate::store::{BlockId, Payload, SourceRange};

/// Bytes that are worth the longer way of a request by which the service reads another blob.
const LEAST: u64 = 64 * 1024;

/// Requests for blocks that are under way over all files: enough to keep up with a reader.
const AT_ONCE: usize = 8;

/// The time that such a request has, and one second more for each so many bytes: an account whose blobs are copied more
/// slowly is better sent the bytes that are at hand.
const PATIENCE: Duration = Duration::from_secs(4);
const LEAST_RATE: u64 = 1 << 20;

/// Content on its way to a blob, and who has written it.
#[derive(Clone, Copy)]
pub(in crate::fs) struct Authored<'a> {
    pub content: &'a Payload,
    /// Its place in the file, bytes.
    pub at: u64,
    /// Its only author.
    pub by: Option<User>,
}

impl Authored<'_> {
    fn len(&self) -> u64 {
        self.content.len() as u64
    }
}

/// The time that the service has to make a block of so many bytes.
fn patience(bytes: u64) -> Duration {
    PATIENCE + Duration::from_secs(bytes / LEAST_RATE)
}

/// Finds what is written among what was read.
pub(in crate::fs) struct Recogniser {
    pub reads: Arc<RecentReads>,
    service: Arc<Service>,
    tree: Arc<Tree>,
    asked: Asked,
    turns: Arc<Semaphore>,
    /// Bytes that were not sent.
    spared: AtomicU64,
}

impl Recogniser {
    /// For the files of a mount.
    pub(crate) fn new(service: Arc<Service>, tree: Arc<Tree>, memory: Arc<Memory>) -> Arc<Self> {
        let (reads, turns) = (RecentReads::new(memory), Arc::new(Semaphore::new(AT_ONCE)));
        Arc::new(Self { reads, service, tree, asked: Asked::default(), turns, spared: AtomicU64::new(0) })
    }

    /// Bytes that programs wrote and that were not sent, of what is stored.
    pub(crate) fn spared(&self) -> u64 {
        self.spared.load(Ordering::Relaxed)
    }

    /// So many more.
    pub(crate) fn count(&self, spared: u64) {
        self.spared.fetch_add(spared, Ordering::Relaxed);
    }

    /// Whether that is what its author has read, and `to` may be asked to make a block of it.
    pub(crate) fn knows(&self, to: &Blob, written: Authored<'_>) -> bool {
        self.find(written).is_some_and(|found| self.source_of(to, &found).is_some())
    }

    fn find(&self, written: Authored<'_>) -> Option<ReadRange> {
        if written.len() < LEAST { None } else { self.reads.find(written.content, written.at, written.by?) }
    }

    /// Where what was found is, if the service may be asked for a block of it.
    fn source_of(&self, to: &Blob, found: &ReadRange) -> Option<Origin> {
        // It may have another name by now.
        let source = self.tree.origin(found.ino).ok()?;
        let between = (source.blob.account, to.account);
        (self.may_be_told(between) && self.asked.may_ask(between, Instant::now())).then_some(source)
    }

    /// The service that makes the block is told how to read the source, in whatever way that account is asked here. Nobody
    /// has wanted that, so it is done only where the two would trust each other with a token.
    fn may_be_told(&self, (source, to): Between) -> bool {
        source == to || self.service.client(source).may_share_secrets_with(self.service.client(to))
    }

    /// The turn to have a block made, waited for; `None` at once if one of so many bytes that begins so cannot be what its
    /// author has read.
    pub(crate) async fn turn(&self, to: &Blob, begin: Authored<'_>, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let (content, by) = (begin.content, begin.by.filter(|_| bytes >= LEAST)?);
        let candidates = self.reads.candidates(content, begin.at, bytes, by);
        if !candidates.iter().any(|found| self.source_of(to, found).is_some()) {
            return None;
        }
        self.turns.clone().acquire_owned().await.ok()
    }

    /// Has the service make a block with that content, if it has it elsewhere. False if the content is to be sent. An
    /// error if the blob takes no blocks at all.
    pub(crate) async fn stage(&self, to: &Blob, id: &BlockId, written: Authored<'_>) -> Result<bool> {
        let Some(found) = self.find(written) else { return Ok(false) };
        let Some(source) = self.source_of(to, &found) else { return Ok(false) };
        let between = (source.blob.account, to.account);
        let began = Instant::now();
        let made = tokio::time::timeout(patience(written.len()), self.make(to, id, (&source, &found), written.content));
        let late = || Error::Transport {
            operation: "PutBlockFromURL",
            target: to.path.to_string(),
            detail: "there are the bytes to send, and they are not waited for any longer".to_owned(),
            timed_out: true,
        };
        let error = match made.await.unwrap_or_else(|_| Err(late())) {
            Ok(()) => {
                if !self.asked.was_made(between, written.len(), began.elapsed(), Instant::now()) {
                    info!(source = %source.blob.path, destination = %to.path, "what is read there and written here is sent: that is faster");
                }
                return Ok(true);
            }
            Err(error) => error,
        };
        if error.is_written_over_dfs() {
            return Err(error);
        }
        if is_of_the_accounts(&error) {
            info!(%error, source = %source.blob.path, destination = %to.path, "what is read there and written here is sent");
            self.asked.was_refused(between, Instant::now());
        } else {
            debug!(%error, blob = %to.path, "what was read and written is sent, because the service does not copy it");
            if !error.is_of_another_source() {
                self.asked.was_without_source(between, Instant::now());
            }
            self.reads.forget(found.ino, &found.version);
        }
        Ok(false)
    }

    /// Put Block From URL of what was found.
    async fn make(
        &self,
        to: &Blob,
        id: &BlockId,
        (source, found): (&Origin, &ReadRange),
        content: &Payload,
    ) -> Result<()> {
        let reader = self.service.client(to.account);
        let url = self.service.blob(&source.blob).at(source.revision.as_ref()).block_source(reader, RANGE_READ).await?;
        let range = SourceRange { source: &url, range: found.range.clone(), if_match: Some(&found.version) };
        self.service.blob(to).block_blob().stage_known_block(id, &range, content).await
    }

    /// A block was sent, which took so long.
    pub(crate) fn was_sent(&self, to: AccountId, bytes: u64, took: Duration) {
        self.asked.was_sent(to, bytes, took, Instant::now());
    }
}

/// The error is about what one account may read of another, or what the server can do or has time for, or there was
/// none: it would be the same with the next blob.
fn is_of_the_accounts(error: &Error) -> bool {
    matches!(error, Error::Transport { .. })
        || matches!(error.status(), 408 | 429 | 500..)
        || error.is_about_the_source() && error.is_denied()
}
