//! What processes have left at the service that ended in the middle of something, and what is to become of it.
//!
//! | left | known by | its end |
//! |---|---|---|
//! | a snapshot that kept what a copy was to replace | its mark (`mark`) | deleted when the blob has content again that is whole; brought back where the copy came to nothing |
//! | a file, or files of a directory, under both names of a rename | the journal | removed under the old name where the copy is proven; of a directory not all of which was copied, the copies |
//! | a lease | the journal, which has its id | given back; it ends by itself within a minute |
//! | a blob under a hidden name | the journal | takes the name of the file that it is the new content of, if that is still the version it was written for |
//! | blocks under such a name, or of a new file, where directories are | the journal | dropped |
//! | an empty file, where a copy was given up for blocks | the journal | copied anew by the service, if its source is as it was |
//! | a copy that is pending, blocks without a blob | the listing | by themselves |
//!
//! The journal says where to look; what is done follows from what is found at the service then, and each request is on
//! condition of the version that was found. What cannot be proven stays, with the reason. The same holds for what may be
//! of a process that lives: a snapshot of one that nobody here knows is left alone for an hour.
//!
//! [`Search`] is where a search of a directory is, one [`Leftover`] after the other: first what the journals say of it, then
//! the listing. Nothing is changed by looking.

mod end;
mod overtaken;
mod renames;

use std::collections::{HashSet, VecDeque};
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::{Error, OptionalExtension, Result};
use crate::fs::block_ids::BlockIds;
use crate::fs::copies::mark::Mark;
use crate::fs::copies::run::Copies;
use crate::fs::journal::{Abandoned, Intent, Journal, Named, Others, Owner, Unfinished};
use crate::fs::names::hidden;
use crate::fs::names::tree::{Blob, BlobDir};
use crate::path::BlobPath;
use crate::store::{BlobItem, BlobProperties, CopyStatus, ETag, LeaseId, ListBlobs, Progress, Revision};

/// Longer than any process that lives leaves a snapshot after the copy has ended that it was taken for.
const SETTLED: Duration = Duration::from_secs(3600);

/// The kind of what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remnant {
    /// A snapshot.
    Backup,
    /// A blob under a hidden name.
    Hidden,
    Lease,
    /// A file with two names.
    Move,
    /// Files of a directory with two names each.
    MoveTree,
    /// A copy that is pending.
    Copy,
    /// A copy that was given up for blocks.
    GivenUp,
    /// Blocks that were never committed.
    Blocks,
}

/// What is to become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It can be ended.
    Clean,
    /// It was.
    Done,
    /// It stays, because something is in doubt.
    Keep,
    /// It ends by itself.
    Passing,
    /// It could not be ended: errno.
    Failed(i32),
}

/// Something that was left.
pub struct Leftover {
    /// What it is.
    pub kind: Remnant,
    /// Its blob, or a blob's worth of name of a directory.
    pub(in crate::fs) blob: Blob,
    /// The other name of what has two.
    pub(in crate::fs) other: Option<Blob>,
    /// Path from the directory that is searched.
    pub path: String,
    /// Bytes of it.
    pub bytes: u64,
    /// When it was made.
    pub since: SystemTime,
    /// What is to become of it.
    pub fate: Fate,
    /// What that means, or why it stays.
    pub why: String,
    task: Task,
    origin: Option<(Arc<Abandoned>, u64)>,
}

/// What ends it.
enum Task {
    Nothing,
    DeleteSnapshot(Revision),
    /// The snapshot's content comes back over what has that ETag.
    Restore {
        snapshot: Revision,
        taken: Arc<BlobProperties>,
        over: ETag,
    },
    Release(LeaseId),
    /// Blocks of a blob that never was, if all of them are of that origin.
    DropBlocks {
        of: Option<String>,
    },
    /// Each on condition of its version.
    Delete(Vec<(Blob, ETag)>),
    /// The copy is begun anew.
    CopyAnew(Box<GivenUp>),
    /// The blob is renamed over that version of another one.
    Rename {
        over: Blob,
        replaces: ETag,
    },
}

/// A copy to be begun anew.
struct GivenUp {
    from: Blob,
    version: Arc<BlobProperties>,
    /// The empty blob that it left.
    over: Arc<BlobProperties>,
}

/// What looking has come to: what is to become of it, what that means, what ends it.
type Verdict = (Fate, String, Task);

fn keep(why: impl Into<String>) -> Verdict {
    (Fate::Keep, why.into(), Task::Nothing)
}

/// A search of a directory.
pub(crate) struct Search {
    dir: BlobDir,
    /// Whether what is over is crossed out.
    settles: bool,
    others: Others,
    intents: VecDeque<(Arc<Abandoned>, Unfinished)>,
    /// Backups that the journals tell of, for which the listing shows what is left.
    backups: Vec<(Arc<Abandoned>, u64, Blob)>,
    /// Blobs that are told of already.
    told: HashSet<Blob>,
    /// Marker of the next page; `None` behind the last.
    page: Option<Option<String>>,
    progress: Progress,
    rows: VecDeque<BlobItem>,
    /// Snapshots of one name, which come before their blob (S79).
    snapshots: Vec<BlobItem>,
    found: VecDeque<Leftover>,
}

impl Search {
    /// Puts back what was taken last.
    pub(in crate::fs) fn put_back(&mut self, leftover: Leftover) {
        self.found.push_front(leftover);
    }

    /// The path of a blob from the directory, if it is below it.
    fn below(&self, blob: &Blob) -> Option<String> {
        let is_here = blob.account == self.dir.account && blob.path.container == self.dir.container;
        let rest = blob.path.name.as_str().strip_prefix(&self.dir.prefix).filter(|_| is_here)?;
        Some(rest.to_owned())
    }

    fn leftover(&self, kind: Remnant, blob: &Blob, found: &BlobProperties, verdict: Verdict) -> Option<Leftover> {
        let (fate, why, task) = verdict;
        let (path, bytes, since) = (self.below(blob)?, found.size, found.last_modified);
        let (blob, other, origin) = (blob.clone(), None, None);
        Some(Leftover { kind, blob, other, path, bytes, since, fate, why, task, origin })
    }

    fn blob(&self, item: &BlobItem) -> Blob {
        let path = BlobPath::new(self.dir.container.clone(), item.name.clone());
        Blob { account: self.dir.account, path }
    }
}

/// What was left, and its end: on top of [`Copies`].
#[derive(Clone)]
pub(in crate::fs) struct Leftovers(pub(in crate::fs) Arc<Copies>);

impl Deref for Leftovers {
    type Target = Arc<Copies>;

    fn deref(&self) -> &Arc<Copies> {
        &self.0
    }
}

impl Leftovers {
    /// Begins a search of a directory. `settles`: intents of which nothing is left are crossed out.
    pub(in crate::fs) async fn search(&self, dir: BlobDir, settles: bool) -> Search {
        let others = others(&self.service.journal).await;
        let mut intents = VecDeque::new();
        let mut backups = Vec::new();
        for log in &others.abandoned {
            for intent in &log.intents {
                match &intent.intent {
                    Intent::Backup { of } => {
                        let of = self.service.blob_of(of);
                        backups.extend(of.map(|blob| (log.clone(), intent.number, blob)));
                    }
                    _ => intents.push_back((log.clone(), intent.clone())),
                }
            }
        }
        Search {
            dir,
            settles,
            others,
            intents,
            backups,
            told: HashSet::new(),
            page: Some(None),
            progress: Progress::default(),
            rows: VecDeque::new(),
            snapshots: Vec::new(),
            found: VecDeque::new(),
        }
    }

    /// The next that is left; `None` at the end. One request per 5000 blobs, and a few for each that a journal tells of.
    pub(in crate::fs) async fn next_leftover(&self, search: &mut Search) -> Result<Option<Leftover>> {
        loop {
            if let Some(found) = search.found.pop_front() {
                return Ok(Some(found));
            }
            if let Some((log, intent)) = search.intents.pop_front() {
                self.look_at_intent(search, log, intent).await;
            } else if let Some(item) = search.rows.pop_front() {
                self.look_at_row(search, item);
            } else if let Some(marker) = search.page.take() {
                let client = self.service.client(search.dir.account);
                let container = client.container(&search.dir.container);
                let list = ListBlobs {
                    prefix: &search.dir.prefix,
                    marker: marker.as_deref(),
                    snapshots: !container.has_directories().await?,
                    uncommitted: true,
                    ..Default::default()
                };
                let page = container.list_blobs(&list).await?;
                let names = page.items.iter().map(|item| item.name.as_str());
                search.progress.note(names, std::iter::empty(), page.next.as_deref())?;
                search.rows = page.items.into();
                search.page = page.next.map(Some);
            } else if !search.snapshots.is_empty() {
                self.look_at_snapshots(search, None);
            } else {
                self.settle_backups(search).await;
                return Ok(None);
            }
        }
    }

    /// A row of the listing.
    fn look_at_row(&self, search: &mut Search, item: BlobItem) {
        if search.snapshots.first().is_some_and(|before| before.name != item.name) {
            self.look_at_snapshots(search, None);
        }
        if item.revision.is_some() {
            search.snapshots.push(item);
            return;
        }
        self.look_at_snapshots(search, Some(&item.properties));
        let (blob, found) = (search.blob(&item), &item.properties);
        if search.told.contains(&blob) {
            return;
        }
        let verdict = if found.etag.as_str().is_empty() && found.last_modified == SystemTime::UNIX_EPOCH {
            let why = "blocks of a file that was never stored: the service drops them within a week";
            Some((Remnant::Blocks, (Fate::Passing, why.to_owned(), Task::Nothing)))
        } else if hidden::is_left(&item) {
            let why = "it may be all that is left of what somebody wrote: rename it over its file, or remove it";
            Some((Remnant::Hidden, keep(why)))
        } else if found.is_pending() && self.jobs.of(&blob).is_none() {
            let why = "a copy onto it is pending and goes on; `blobcp wait` and `blobcp abort` see to it";
            Some((Remnant::Copy, (Fate::Passing, why.to_owned(), Task::Nothing)))
        } else {
            None
        };
        let found = verdict.and_then(|(kind, verdict)| search.leftover(kind, &blob, found, verdict));
        search.found.extend(found);
    }

    /// The snapshots that were met before their blob, which is `base`.
    fn look_at_snapshots(&self, search: &mut Search, base: Option<&BlobProperties>) {
        for item in std::mem::take(&mut search.snapshots) {
            let blob = search.blob(&item);
            let verdict = self.judge_snapshot(&search.others, &blob, &item, base);
            let found = verdict.and_then(|verdict| search.leftover(Remnant::Backup, &blob, &item.properties, verdict));
            if found.is_some() {
                search.told.insert(blob);
            }
            search.found.extend(found);
        }
    }

    /// What is to become of a snapshot; `None` if it is somebody's own, or in use.
    fn judge_snapshot(
        &self,
        others: &Others,
        blob: &Blob,
        item: &BlobItem,
        base: Option<&BlobProperties>,
    ) -> Option<Verdict> {
        let revision = item.revision.clone()?;
        let mark = Mark::of(blob, &item.properties.metadata)?;
        let clean = |why: &str, task| Some((Fate::Clean, why.to_owned(), task));
        let Some(base) = base else { return Some(keep("its blob is not there")) };
        match others.owner(&mark.journal, mark.serial) {
            Owner::Living => return None,
            Owner::Nobody => {
                return clean("it is of no use, and could not be deleted before", Task::DeleteSnapshot(revision));
            }
            Owner::Dead => {}
            Owner::Unknown => {
                let last = base.last_modified.max(item.properties.last_modified);
                if last.elapsed().unwrap_or_default() < SETTLED {
                    return Some(keep(
                        "of a mount that is not known here and may live; after an hour it is taken for dead",
                    ));
                }
            }
        }
        let status = base.copy.as_ref().map(|copy| copy.status);
        match status {
            Some(CopyStatus::Pending) => Some(keep("a copy onto the file is pending, and may fail")),
            _ if base.etag == mark.etag => {
                clean("the file is as it was: the snapshot is deleted", Task::DeleteSnapshot(revision))
            }
            Some(CopyStatus::Failed | CopyStatus::Aborted) => {
                let taken = Arc::new(item.properties.clone());
                let task = Task::Restore { snapshot: revision, taken, over: base.etag.clone() };
                clean("the copy over the file came to nothing: what was there comes back", task)
            }
            Some(CopyStatus::Success) if is_later(base, item) => {
                clean("the copy over the file is complete: the snapshot is deleted", Task::DeleteSnapshot(revision))
            }
            _ => {
                let name = blob.path.name.as_str().rsplit('/').next().unwrap_or_default();
                let moment = revision.moment();
                Some(keep(format!(
                    "the file was written since: if the snapshot is not wanted, remove .snapshots/{name}/{moment}"
                )))
            }
        }
    }

    /// Backups of which the listing showed nothing are over.
    async fn settle_backups(&self, search: &mut Search) {
        let (told, dir) = (&search.told, &search.dir);
        let over = |blob: &Blob| {
            let name = blob.path.name.as_str();
            blob.account == dir.account
                && blob.path.container == dir.container
                && name.starts_with(&dir.prefix)
                && !told.contains(blob)
        };
        let over: Vec<_> = search.backups.iter().filter(|(.., blob)| over(blob)).cloned().collect();
        if search.settles {
            for (log, number, _) in over {
                settle(log, number).await;
            }
        }
    }

    /// What a journal tells of.
    async fn look_at_intent(&self, search: &mut Search, log: Arc<Abandoned>, unfinished: Unfinished) {
        let Some((kind, blob, other)) = self.subject(&unfinished.intent) else { return };
        if search.below(&blob).is_none() && other.as_ref().is_none_or(|other| search.below(other).is_none()) {
            return;
        }
        let judged = match &unfinished.intent {
            Intent::Move { etag, .. } => match &other {
                Some(to) => self.judge_move(&blob, to, etag, unfinished.note.as_deref()).await,
                None => return,
            },
            Intent::MoveTree { from, to, replaces } => self.judge_tree((from, to), *replaces, &unfinished).await,
            Intent::Blocks { ids, .. } => self.judge_blocks(&blob, ids).await,
            Intent::Lease { id, .. } => self.judge_lease(&blob, id).await,
            Intent::Overtaken { from, etag, id, .. } => self.judge_overtaken(&blob, from.as_ref(), etag, id).await,
            Intent::Detour { .. } => match &other {
                Some(file) => self.judge_detour(&blob, file, unfinished.note.as_deref()).await,
                None => return,
            },
            Intent::Backup { .. } => return,
        };
        let (bytes, verdict) = match judged {
            Ok(Some(judged)) => judged,
            Ok(None) => {
                if search.settles {
                    settle(log, unfinished.number).await;
                }
                return;
            }
            Err(error) => (0, keep(format!("it cannot be looked at: {error}"))),
        };
        search.told.insert(blob.clone());
        let (fate, why, task) = verdict;
        let kind = if matches!(task, Task::DropBlocks { .. }) { Remnant::Blocks } else { kind };
        let below = search.below(&blob).or_else(|| search.below(other.as_ref()?));
        let Some(path) = below else { return };
        let origin = Some((log, unfinished.number));
        search.found.push_back(Leftover {
            kind,
            blob,
            other,
            path,
            bytes,
            since: unfinished.at,
            fate,
            why,
            task,
            origin,
        });
    }

    /// What an intent is about, and its other name if it has two. `None` if it is not on this mount.
    fn subject(&self, intent: &Intent) -> Option<(Remnant, Blob, Option<Blob>)> {
        let blob = |named: &Named| self.service.blob_of(named);
        // A directory as its marker would be named.
        let dir = |named: &Named| self.service.dir_of(named)?.marker()?.ok();
        Some(match intent {
            Intent::Move { from, to, .. } => (Remnant::Move, blob(from)?, Some(blob(to)?)),
            Intent::MoveTree { from, to, .. } => (Remnant::MoveTree, dir(from)?, Some(dir(to)?)),
            Intent::Backup { of } => (Remnant::Backup, blob(of)?, None),
            Intent::Blocks { of, .. } => (Remnant::Blocks, blob(of)?, None),
            Intent::Lease { of, .. } => (Remnant::Lease, blob(of)?, None),
            Intent::Overtaken { of, .. } => (Remnant::GivenUp, blob(of)?, None),
            Intent::Detour { by, of, .. } => (Remnant::Hidden, blob(by)?, Some(blob(of)?)),
        })
    }

    async fn judge_lease(&self, blob: &Blob, id: &str) -> Result<Option<(u64, Verdict)>> {
        let Some(found) = self.service.blob(blob).properties().await.optional()? else { return Ok(None) };
        if found.lease.state.as_deref() != Some("leased") {
            return Ok(None);
        }
        let why = "a lease of a mount that was killed is given back; it ends by itself within a minute";
        Ok(Some((found.size, (Fate::Clean, why.to_owned(), Task::Release(LeaseId::new(id))))))
    }

    /// Blocks of a file that was never stored.
    async fn judge_blocks(&self, blob: &Blob, origin: &str) -> Result<Option<(u64, Verdict)>> {
        let staged = self.service.blob(blob).block_blob().staged_alone().await?;
        if !staged.iter().any(|id| BlockIds::is_of(origin, id)) {
            return Ok(None);
        }
        let others = staged.iter().any(|id| !BlockIds::is_of(origin, id));
        Ok(Some(match others {
            false => {
                let why = "blocks of a file that was never stored: they are dropped".to_owned();
                (0, (Fate::Clean, why, Task::DropBlocks { of: Some(origin.to_owned()) }))
            }
            true => (0, keep("blocks of a file that was never stored, and others that somebody sends")),
        }))
    }

    /// New content of a file beside it, which was complete if there is a note: the version that it was to replace.
    async fn judge_detour(&self, hidden: &Blob, file: &Blob, etag: Option<&str>) -> Result<Option<(u64, Verdict)>> {
        let Some(new) = self.service.blob(hidden).properties().await.optional()? else {
            if self.service.blob(hidden).block_blob().staged_alone().await?.is_empty() {
                return Ok(None);
            }
            let why =
                format!("a part of new content of {}, which stays as it is: the blocks are dropped", file.path.name);
            return Ok(Some((0, (Fate::Clean, why, Task::DropBlocks { of: None }))));
        };
        let old = self.service.blob(file).properties().await.optional()?;
        let verdict = match old {
            Some(old) if etag.is_some_and(|etag| etag == old.etag.as_str()) => {
                let why = format!("new content of {}, which is as it was: it takes its place", file.path.name);
                let task = Task::Rename { over: file.clone(), replaces: old.etag };
                (Fate::Clean, why, task)
            }
            _ => keep(format!("{} has changed since it was written: rename it over the file, or remove it", file.path)),
        };
        Ok(Some((new.size, verdict)))
    }

    /// Snapshots of a blob that processes which were killed took, or this one that could not delete them, of what a copy was to replace, and that nobody needs
    /// any more, are deleted. True if there was one and none is left of any kind.
    pub(crate) async fn delete_dead_backups(&self, blob: &Blob) -> Result<bool> {
        let name = blob.path.name.as_str();
        let list = ListBlobs { prefix: name, snapshots: true, ..Default::default() };
        let page = self.service.client(blob.account).container(&blob.path.container).list_blobs(&list).await?;
        let rows: Vec<&BlobItem> = page.items.iter().filter(|item| item.name == blob.path.name).collect();
        let base = rows.iter().find(|item| item.revision.is_none()).map(|item| &item.properties);
        let others = others(&self.service.journal).await;
        let mut deleted = false;
        for item in rows.iter().filter(|item| item.revision.is_some()) {
            match self.judge_snapshot(&others, blob, item, base) {
                Some((Fate::Clean, _, Task::DeleteSnapshot(revision))) => {
                    self.delete_snapshot(blob, &revision).await?;
                    deleted = true;
                }
                _ => return Ok(false),
            }
        }
        Ok(deleted)
    }

    /// How many intents of processes that were killed are of accounts of this mount. It reads files, and asks nobody.
    pub(crate) fn left_behind(&self) -> usize {
        let others = self.service.journal.others();
        let all = others.abandoned.iter().flat_map(|log| &log.intents);
        all.filter(|unfinished| self.subject(&unfinished.intent).is_some()).count()
    }
}

/// Whether the copy onto the blob ended when the snapshot had been taken. Times have a resolution of a second.
fn is_later(base: &BlobProperties, snapshot: &BlobItem) -> bool {
    let ended = base.copy.as_ref().and_then(|copy| copy.completion_time);
    ended.is_some_and(|ended| ended >= snapshot.properties.last_modified)
}

/// Off the threads that requests wait for: the files may be on whatever.
async fn others(journal: &Arc<Journal>) -> Others {
    let journal = journal.clone();
    tokio::task::spawn_blocking(move || journal.others()).await.unwrap_or_default()
}

async fn settle(log: Arc<Abandoned>, number: u64) {
    let _ = tokio::task::spawn_blocking(move || log.settle(number)).await;
}

/// The error of what may not be ended.
pub(in crate::fs) fn in_doubt(blob: &Blob) -> Error {
    Error::fs(libc::EBUSY, format!("{}: it is in doubt", blob.path))
}
