//! Open files.
//!
//! All handles of one inode share an [`OpenFile`]: what one writes the other reads, whatever names the file had in
//! between. Its [`FileState`] is behind an async lock that serializes writes, commits and copies onto the file; what
//! `stat` needs is kept beside it as [`Published`], so that looking at a file never waits for a request in flight.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Instant, SystemTime};

use tokio::sync::OwnedMutexGuard;

use crate::error::{Error, Result};
use crate::fs::caller::{Caller, Process};
use crate::fs::content::copied_from::CopiedFrom;
use crate::fs::content::draft::Draft;
use crate::fs::content::extent_map::ExtentMap;
use crate::fs::content::read::{Lineage, Stream, Version};
use crate::fs::content::recent::WriterToken;
use crate::fs::content::strategy::WriteStrategy;
use crate::fs::copies::bulk::Bulk;
use crate::fs::copies::job::CopyJob;
use crate::fs::copies::leftovers::Search;
use crate::fs::copies::spec::CopySpec;
use crate::fs::names::attr::{Attr, AttrChange, Ino};
use crate::fs::names::containers::kept;
use crate::fs::names::dir::stream::DirStream;
use crate::fs::names::open::{OpenNode, OpenNodes};
use crate::fs::names::tree::{NodeProperties, Tree};
use crate::fs::names::walk::Walk;
use crate::store::{BlobProperties, BlobSettings, BlobType, CopyId, ETag, Tags};
use crate::sync::{MutexGuard, lock};

/// Names an open file or directory for the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fh(pub u64);

/// The content of an open file that the service does not have yet.
pub(crate) enum Content {
    /// Nothing: the service has it all.
    Clean,
    /// Written to, truncated or created here.
    Draft(Box<Draft>),
    /// The destination of a whole copy that is not yet settled.
    Copying(Copying),
}

impl Content {
    /// There is something to store, now or when a copy has ended.
    pub(crate) fn is_uncommitted(&self) -> bool {
        match self {
            Self::Clean => false,
            Self::Draft(draft) => draft.dirty,
            Self::Copying(_) => true,
        }
    }
}

/// A Copy Blob onto the file, as its caller sees it.
pub(crate) struct Copying {
    pub job: Arc<CopyJob>,
    /// Bytes that `copy_file_range` has reported as copied. Never more than the service reported, except for the last
    /// one. So many the file has, whatever the service has: only when all are granted is it known that all were wanted.
    pub granted: u64,
    pub granted_at: SystemTime,
    /// The process that was granted them.
    pub copier: Process,
    pub source: CopiedFrom,
    /// The order that started it, where its end is not waited for: with other attributes it is started anew.
    pub again: Option<Box<CopySpec>>,
}

impl Copying {
    pub(crate) fn complete(&self) -> bool {
        self.granted >= self.job.total
    }
}

/// What becomes of closes that were answered before what was written is stored (`deferred`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Deferral {
    /// There is none.
    #[default]
    Nothing,
    /// It was made by mknod(2): it is stored with what comes next, if that comes within a second.
    Made,
    /// It is stored within a second.
    Due,
    /// It could not be stored then: the next close tries, and waits for it.
    Failed,
}

pub(crate) struct FileState {
    pub content: Content,
    /// Mode, owner and time to store with the next commit.
    pub change: AttrChange,
    /// The newest version in the service that this mount knows of; `None` before a new file's first commit.
    pub version: Option<Arc<Version>>,
    /// The lineage of the version that was here before the service had none any more, while the file is made anew by
    /// those who have it open.
    pub lineage: Option<Lineage>,
    /// Its container keeps what is committed (`once`).
    pub once: bool,
    /// The error of a write that its writer was told is done, or why what was chosen is not there although the content is.
    /// The next fsync or close tells it.
    pub lost: Option<Error>,
    /// What a new file gets beside its content with its first commit, where that was chosen already.
    pub chosen: Option<Arc<BlobSettings>>,
    /// The tags that were given to the blob here, and when.
    pub tags: Option<(Instant, Tags)>,
    /// What becomes of closes that were answered before it was stored.
    pub deferral: Deferral,
}

impl FileState {
    fn new() -> Self {
        let (content, change) = (Content::Clean, AttrChange::default());
        let (version, lineage, lost, chosen, tags) = (None, None, None, None, None);
        let deferral = Deferral::default();
        Self { content, change, version, lineage, once: false, lost, chosen, tags, deferral }
    }

    /// The draft of the file, begun if there is none yet. EPERM if nothing can be changed any more.
    pub(in crate::fs) fn draft(&mut self) -> Result<&mut Draft> {
        if self.is_kept() {
            return Err(kept("the file"));
        }
        if let Content::Clean = self.content {
            let base = self.version.as_ref().map(|version| &version.properties);
            let mut draft = Draft::new(ExtentMap::of_base(base.map_or(0, |base| base.size)));
            draft.strategy = WriteStrategy::of(base.map_or(BlobType::Block, |base| base.blob_type));
            self.content = Content::Draft(Box::new(draft));
        }
        match &mut self.content {
            Content::Draft(draft) => Ok(draft),
            _ => Err(Error::copy_pending("the file")),
        }
    }

    /// It is to be stored as a new block blob, together with what is chosen for it until then.
    pub(in crate::fs) fn is_new(&self) -> bool {
        let is_blocks = |draft: &Draft| draft.dirty && matches!(draft.strategy, WriteStrategy::Blocks);
        self.version.is_none() && matches!(&self.content, Content::Draft(draft) if is_blocks(draft))
    }

    /// Tells an error of which nobody has heard, once.
    pub(in crate::fs) fn tell_what_is_lost(&mut self) -> Result<()> {
        self.lost.take().map_or(Ok(()), Err)
    }

    /// There is nothing that a whole copy of so many bytes could not take the place of.
    pub(in crate::fs) fn is_void(&self, size: u64) -> bool {
        match &self.content {
            Content::Draft(draft) => draft.is_void(size),
            Content::Clean => self.version.as_ref().is_none_or(|version| version.properties.size == 0),
            Content::Copying(_) => false,
        }
    }

    /// Takes `stood_on` for the version that what comes was made of. If the file had another one, that was made of
    /// another client's: handles that have not seen it end with ESTALE.
    pub(in crate::fs) fn rebase_on(&mut self, stood_on: &ETag) {
        if self.version.as_ref().is_some_and(|version| version.properties.etag != *stood_on) {
            self.version = None;
            // Bytes of a draft that is stored already stood on the version that is no more.
            if matches!(&self.content, Content::Draft(draft) if !draft.dirty) {
                self.content = Content::Clean;
            }
        }
    }

    /// The service has the file as `properties` say.
    pub(in crate::fs) fn record_version(&mut self, properties: Arc<BlobProperties>) {
        self.version = Some(match (&self.version, self.lineage.take()) {
            (Some(old), _) => old.with(properties),
            (None, Some(lineage)) => Version::anew(properties, lineage),
            (None, None) => Version::new(properties),
        });
    }
}

/// An open file that somebody works on, alone. What `stat` shows of it is what was left here when this is dropped, or
/// published before.
pub(in crate::fs) struct Locked {
    file: Arc<OpenFile>,
    state: OwnedMutexGuard<FileState>,
}

impl Locked {
    /// The file and its state, to be borrowed apart.
    pub(crate) fn parts(&mut self) -> (&OpenFile, &mut FileState) {
        (&self.file, &mut self.state)
    }

    pub(crate) fn view(&self) -> (&OpenFile, &FileState) {
        (&self.file, &self.state)
    }

    pub(crate) fn file(&self) -> &OpenFile {
        &self.file
    }

    pub(crate) fn ino(&self) -> Ino {
        self.file.ino
    }

    /// Shows what there is so far: for those who wait before they let go of the file.
    pub(crate) fn publish(&self) {
        self.file.publish(&self.state);
    }
}

impl Deref for Locked {
    type Target = FileState;

    fn deref(&self) -> &FileState {
        &self.state
    }
}

impl DerefMut for Locked {
    fn deref_mut(&mut self) -> &mut FileState {
        &mut self.state
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.publish();
    }
}

/// Attributes of a file, for `stat`, that differ from what the service has.
#[derive(Debug, Clone, Default)]
struct Published {
    /// Size in bytes and time of the last write, while there is a draft.
    content: Option<(u64, SystemTime)>,
    /// The same of a copy onto the file.
    granted: Option<(u64, SystemTime)>,
    change: AttrChange,
    /// The copy onto it that is not settled yet.
    copying: Option<CopyId>,
    /// What it has beside its content, as long as the service has none of it.
    chosen: Option<Arc<BlobSettings>>,
    /// Something of it is lost, and nobody has heard of it.
    lost: bool,
}

pub(crate) struct OpenFile {
    pub ino: Ino,
    state: Arc<tokio::sync::Mutex<FileState>>,
    published: Mutex<Published>,
    /// One entry for each handle.
    openings: Mutex<Vec<Opening>>,
    /// Requests under way that change the blob.
    storing: Arc<AtomicU32>,
}

/// A change of the blob is under way as long as this lives.
pub(crate) struct Storing(Arc<AtomicU32>);

impl Drop for Storing {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// A handle that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Opening {
    opener: Caller,
    access: Access,
    direct: bool,
}

impl OpenFile {
    fn new(ino: Ino) -> Self {
        let state = Arc::new(tokio::sync::Mutex::new(FileState::new()));
        Self { ino, state, published: Mutex::default(), openings: Mutex::default(), storing: Arc::default() }
    }

    /// The file for one to work on, when nobody else does any more.
    pub(in crate::fs) async fn lock(self: &Arc<Self>) -> Locked {
        Locked { file: self.clone(), state: self.state.clone().lock_owned().await }
    }

    /// [`OpenFile::lock`] unless somebody works on it.
    pub(in crate::fs) fn try_lock(self: &Arc<Self>) -> Option<Locked> {
        Some(Locked { file: self.clone(), state: self.state.clone().try_lock_owned().ok()? })
    }

    fn published(&self) -> MutexGuard<'_, Published> {
        lock(&self.published)
    }

    /// Makes `stat` show what `state` holds.
    pub(in crate::fs) fn publish(&self, state: &FileState) {
        let content = match &state.content {
            Content::Draft(draft) if draft.dirty => Some((draft.extents.len(), draft.written)),
            _ => None,
        };
        let copy = match &state.content {
            Content::Copying(copying) => Some(copying),
            Content::Clean | Content::Draft(_) => None,
        };
        let granted = copy.map(|copying| (copying.granted, copying.granted_at));
        let copying = copy.map(|copying| copying.job.service_id());
        let chosen = state.chosen.clone().filter(|_| state.version.is_none());
        let lost = state.lost.is_some();
        *self.published() = Published { content, granted, change: state.change.clone(), copying, chosen, lost };
    }

    /// What it has beside its content, if the service does not have the file yet and that was chosen.
    pub(crate) fn chosen(&self) -> Option<Arc<BlobSettings>> {
        self.published().chosen.clone()
    }

    /// Mode, owner and time that are to be stored.
    pub(in crate::fs) fn pending_change(&self) -> AttrChange {
        self.published().change.clone()
    }

    /// Something of it is lost, and nobody has heard of it.
    pub(in crate::fs) fn has_lost(&self) -> bool {
        self.published().lost
    }

    /// To be held from before a request that changes the blob until its answer is learnt.
    pub(crate) fn storing(&self) -> Storing {
        self.storing.fetch_add(1, Ordering::Acquire);
        Storing(self.storing.clone())
    }

    /// The process has it open for writing: what it changes may wait for its flush.
    pub(crate) fn is_written_by(&self, caller: Caller) -> bool {
        lock(&self.openings).iter().any(|used| used.access.write && used.opener.same_process(caller))
    }

    /// Somebody has it open so that the kernel caches what is read and written.
    pub(crate) fn is_cached(&self) -> bool {
        lock(&self.openings).iter().any(|used| !used.direct)
    }

    /// Somebody writes past the kernel's cache.
    pub(crate) fn is_written_directly(&self) -> bool {
        lock(&self.openings).iter().any(|used| used.direct && used.access.write)
    }

    /// Somebody has it open for writing.
    pub(crate) fn is_written(&self) -> bool {
        lock(&self.openings).iter().any(|used| used.access.write)
    }

    /// Those who have opened it for writing.
    pub(in crate::fs) fn writers(&self) -> Vec<Caller> {
        lock(&self.openings).iter().filter(|used| used.access.write).map(|used| used.opener).collect()
    }

    /// Several have it open for writing.
    pub(crate) fn has_several_writers(&self) -> bool {
        lock(&self.openings).iter().filter(|used| used.access.write).count() > 1
    }

    /// Somebody has it open for reading.
    pub(crate) fn is_read(&self) -> bool {
        lock(&self.openings).iter().any(|used| used.access.read)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    pub read: bool,
    pub write: bool,
    pub append: bool,
    /// The call that opened it made the file.
    pub create: bool,
}

impl Access {
    /// From the flags of open(2).
    pub(crate) fn of_flags(flags: i32) -> Self {
        let mode = flags & libc::O_ACCMODE;
        Self {
            read: mode != libc::O_WRONLY,
            write: mode != libc::O_RDONLY,
            append: flags & libc::O_APPEND != 0,
            create: false,
        }
    }
}

pub(crate) struct Handle {
    pub file: Arc<OpenFile>,
    pub access: Access,
    /// Reads and writes come here past the kernel's cache.
    pub direct: bool,
    /// The opener.
    pub opener: Caller,
    /// The lineage that it has seen: that at open, or of a file that had none, of its first commit.
    seen: OnceLock<Lineage>,
    /// The error for whatever goes through this handle from now on.
    refused: OnceLock<Error>,
    /// The close of one of its descriptors has stored what was written through it.
    pub stored_by_close: AtomicBool,
    pub stream: Stream,
    /// There while it may write and somebody wants to know.
    _writer: Option<WriterToken>,
}

impl Handle {
    pub(crate) fn new(file: Arc<OpenFile>, access: Access, direct: bool, opener: Caller) -> Self {
        let (seen, refused, stream) = (OnceLock::new(), OnceLock::new(), Stream::default());
        let stored_by_close = AtomicBool::new(false);
        Self { file, access, direct, opener, seen, refused, stored_by_close, stream, _writer: None }
    }

    /// The same, counted among those who may write.
    pub(in crate::fs) fn counted(self, writer: Option<WriterToken>) -> Self {
        Self { _writer: writer, ..self }
    }

    fn opening(&self) -> Opening {
        Opening { opener: self.opener, access: self.access, direct: self.direct }
    }

    /// Reads and writes through this handle end with that error from now on. A copy that is refused for good would be
    /// made after all, by the kernel or by its caller, who read and write what is not copied.
    pub(crate) fn refuse(&self, error: &Error) {
        self.refused.get_or_init(|| error.clone());
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.refused.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// The version that the handle reads: the file's, unless that did not come from what the handle has seen. Then
    /// another client wrote it, and it is ESTALE.
    pub(crate) fn version(&self, state: &FileState) -> Result<Option<Arc<Version>>> {
        let Some(version) = &state.version else { return Ok(None) };
        // What is appended goes to the end of whatever is there.
        if self.access.append || *self.seen.get_or_init(|| version.lineage.clone()) == version.lineage {
            Ok(Some(version.clone()))
        } else {
            Err(Error::stale("another client changed it while it was open"))
        }
    }
}

pub(crate) struct DirHandle {
    pub ino: Ino,
    pub stream: tokio::sync::Mutex<DirStream>,
    /// Copies of trees into the directory.
    pub bulk: Mutex<Option<Arc<Bulk>>>,
    /// A listing of all copies below it.
    pub walk: tokio::sync::Mutex<Option<Walk>>,
    /// A search for what was left below it.
    pub search: tokio::sync::Mutex<Option<Search>>,
}

impl DirHandle {
    pub(crate) fn new(ino: Ino) -> Self {
        Self {
            ino,
            stream: Default::default(),
            bulk: Mutex::default(),
            walk: Default::default(),
            search: Default::default(),
        }
    }

    /// Ends what the process has begun here that had it open and is gone.
    pub(crate) fn detach(&self) {
        if let Some(bulk) = lock(&self.bulk).take() {
            bulk.detach();
        }
    }
}

impl OpenNode for OpenFile {
    fn overlay(&self, attr: &mut Attr) {
        let published = self.published();
        if let Some((size, written)) = published.content.or(published.granted) {
            attr.size = size;
            attr.blocks = Attr::blocks(size);
            if attr.atime == attr.mtime {
                attr.atime = written;
            }
            attr.mtime = written;
            attr.ctime = written;
        }
        published.change.preview(attr);
    }

    fn is_unsaved(&self) -> bool {
        let published = self.published();
        published.content.is_some() || !published.change.is_empty()
    }

    fn is_ahead(&self) -> bool {
        self.is_unsaved() || self.storing.load(Ordering::Acquire) > 0
    }

    fn copying(&self) -> Option<CopyId> {
        self.published().copying.clone()
    }

    fn is_only_appended_to(&self) -> bool {
        let uses = lock(&self.openings);
        !uses.is_empty() && uses.iter().all(|used| used.access.append && used.access.write && !used.access.read)
    }

    fn record_restored(&self, before: &ETag, properties: &Arc<BlobProperties>, tree: &Tree) -> bool {
        let Ok(mut state) = self.state.try_lock() else { return false };
        state.rebase_on(before);
        state.record_version(properties.clone());
        tree.update(self.ino, NodeProperties::Blob(properties.clone()));
        self.publish(&state);
        true
    }
}

/// The registry of what is open.
#[derive(Default)]
pub(crate) struct Handles {
    next: AtomicU64,
    files: Mutex<HashMap<Fh, Arc<Handle>>>,
    dirs: Mutex<HashMap<Fh, Arc<DirHandle>>>,
    /// Handles that only write do so past the kernel's cache.
    direct_writes: AtomicBool,
    /// One per inode, with the number of its handles.
    open: Mutex<HashMap<Ino, (Arc<OpenFile>, usize)>>,
}

impl OpenNodes for Handles {
    fn of_ino(&self, ino: Ino) -> Option<Arc<dyn OpenNode>> {
        Some(self.of_ino(ino)?)
    }

    fn open_inos(&self) -> Vec<Ino> {
        self.open_files().iter().map(|file| file.ino).collect()
    }
}

impl Handles {
    /// From now on, handles that only write do so past the kernel's cache.
    pub(crate) fn write_directly(&self) {
        self.direct_writes.store(true, Ordering::Relaxed);
    }

    /// Who only writes has nothing of the kernel's cache, which costs a page and a copy for each page that is written.
    /// But as long as one goes past it, all do: a reader who had the last page before something was appended would see
    /// zeros in its place. To be asked under the state lock, together with the registration of the handle.
    pub(in crate::fs) fn goes_past_the_cache(&self, file: &OpenFile, access: Access) -> bool {
        match access.read {
            true => file.is_written_directly(),
            false => self.direct_writes.load(Ordering::Relaxed) && !file.is_cached(),
        }
    }

    fn fh(&self) -> Fh {
        Fh(self.next.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The shared state of an inode, with one more user. Every call is answered by one of [`Handles::done`].
    pub(crate) fn acquire(&self, ino: Ino) -> Arc<OpenFile> {
        let mut open = lock(&self.open);
        let (file, users) = open.entry(ino).or_insert_with(|| (Arc::new(OpenFile::new(ino)), 0));
        *users += 1;
        file.clone()
    }

    /// One user less; true if that was the last.
    pub(crate) fn done(&self, ino: Ino) -> bool {
        let mut open = lock(&self.open);
        let Some((_, users)) = open.get_mut(&ino) else { return true };
        *users -= 1;
        let last = *users == 0;
        if last {
            open.remove(&ino);
        }
        last
    }

    /// The shared state of an inode, if it is open.
    pub(crate) fn of_ino(&self, ino: Ino) -> Option<Arc<OpenFile>> {
        lock(&self.open).get(&ino).map(|(file, _)| file.clone())
    }

    /// The only user of that inode is the one asking. To be relied on only under the file's state lock, which whoever
    /// leaves holds.
    pub(crate) fn is_last(&self, ino: Ino) -> bool {
        lock(&self.open).get(&ino).is_none_or(|(_, users)| *users <= 1)
    }

    pub(crate) fn open_files(&self) -> Vec<Arc<OpenFile>> {
        lock(&self.open).values().map(|(file, _)| file.clone()).collect()
    }

    /// Files and directories that are open, each as often as it is.
    pub(crate) fn count(&self) -> usize {
        lock(&self.files).len() + lock(&self.dirs).len()
    }

    pub(crate) fn insert(&self, handle: Handle) -> Fh {
        lock(&handle.file.openings).push(handle.opening());
        let fh = self.fh();
        lock(&self.files).insert(fh, Arc::new(handle));
        fh
    }

    pub(crate) fn get(&self, fh: Fh) -> Result<Arc<Handle>> {
        lock(&self.files).get(&fh).cloned().ok_or_else(|| Error::fs(libc::EBADF, "no such open file"))
    }

    pub(crate) fn remove(&self, fh: Fh) -> Option<Arc<Handle>> {
        let handle = lock(&self.files).remove(&fh)?;
        let mut uses = lock(&handle.file.openings);
        if let Some(index) = uses.iter().position(|used| *used == handle.opening()) {
            uses.swap_remove(index);
        }
        drop(uses);
        Some(handle)
    }

    pub(crate) fn insert_dir(&self, handle: DirHandle) -> Fh {
        let fh = self.fh();
        lock(&self.dirs).insert(fh, Arc::new(handle));
        fh
    }

    pub(crate) fn dir(&self, fh: Fh) -> Result<Arc<DirHandle>> {
        lock(&self.dirs).get(&fh).cloned().ok_or_else(|| Error::fs(libc::EBADF, "no such open directory"))
    }

    pub(crate) fn remove_dir(&self, fh: Fh) -> Option<Arc<DirHandle>> {
        lock(&self.dirs).remove(&fh)
    }
}
