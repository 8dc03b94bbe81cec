//! What this process has under way that would be left at the service if it were killed.
//!
//! Most of what a mount does is one request, done or not done. A few things are several: a file is renamed by a copy and a
//! delete, what a copy replaces is kept by a snapshot meanwhile, a source is leased. Each of these is written down here
//! before its first request, as one line in a file of this process, and crossed out by another line after the last. Whoever
//! is killed in between leaves the file with lines that nobody crossed out, and the next mount reads them
//! (`copies/leftovers.rs`).
//!
//! The journal is a hint: what is at the service is the truth, and is looked at before anything is done about it. So nothing
//! is lost with the file, lines are not forced to the disk, and where there is no place for it the mount works without.
//!
//! Whether its process lives is told by a lock of the file, which the kernel gives back however the process ends. The name
//! of the file is the journal's id, which marks snapshots, too (`copies/mark.rs`): so these are known to be of a process
//! that lives, of one that was killed, or of one that nobody here knows.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tracing::{debug, warn};

use crate::path::BlobPath;
use crate::store::Client;
use crate::sync::lock;

/// How long the file of a process that was killed is kept: its name says that the process is dead.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Longest file that is read, bytes. A line has a few hundred.
const LONGEST: u64 = 16 << 20;

/// Note of a directory that is renamed: all copies are proven.
pub(crate) const COPIED: &str = "copied";

const EXTENSION: &str = "jsonl";

/// A blob, or a directory if the name ends with a slash or is empty, as a journal names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    /// URL of the account.
    pub account: String,
    pub container: String,
    pub name: String,
}

impl Named {
    pub(crate) fn of(client: &Client, path: &BlobPath) -> Self {
        let (container, name) = (path.container.to_string(), path.name.as_str().to_owned());
        Self { account: client.endpoint().to_string(), container, name }
    }
}

/// Something of several requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Intent {
    /// A file of a flat account is renamed: copied, then removed under its old name.
    Move { from: Named, to: Named, etag: String },
    /// The same for all that is in a directory.
    MoveTree {
        from: Named,
        to: Named,
        /// An empty directory that had a marker of its own is replaced.
        replaces: bool,
    },
    /// A snapshot keeps what a copy replaces.
    Backup { of: Named },
    /// A finite lease.
    Lease { of: Named, id: String },
    /// Blocks of a file that has no blob yet, with ids of that origin.
    Blocks { of: Named, ids: String },
    /// A Copy Blob of that id, of that version of a source, was given up for blocks, which are not committed yet. No source
    /// if it cannot be named.
    Overtaken { of: Named, from: Option<Named>, etag: String, id: String },
    /// A file is written as a whole under a hidden name, and then renamed over it. The note comes when all of it is there:
    /// the version that it is to replace.
    Detour { by: Named, of: Named },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Begin { number: u64, at: u64, intent: Intent },
    Note { number: u64, what: String },
    End { number: u64 },
}

/// The journal of this process.
pub(crate) struct Journal {
    /// Names this process for as long as it lives, and afterwards.
    id: String,
    /// Entries so far, also those that are not written down.
    serial: AtomicU64,
    /// Those of which something is left that is of no use to anybody.
    over: Mutex<HashSet<u64>>,
    /// Numbers of those that this process does nothing about any more.
    left: Mutex<HashSet<u64>>,
    log: Mutex<Option<Log>>,
}

struct Log {
    file: File,
    path: PathBuf,
    /// Where others of this user have theirs.
    dirs: Vec<PathBuf>,
    /// Intents that are not crossed out.
    open: u64,
    last: u64,
}

/// An intent of this process, until [`Entry::end`].
#[derive(Debug)]
pub(crate) struct Entry {
    journal: Arc<Journal>,
    serial: u64,
    /// 0 if it is not written down.
    number: u64,
    noted: AtomicBool,
    ended: AtomicBool,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "journal {}", self.id)
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            id: uuid::Uuid::new_v4().simple().to_string(),
            serial: AtomicU64::new(1),
            over: Mutex::default(),
            left: Mutex::default(),
            log: Mutex::default(),
        }
    }
}

impl Journal {
    /// From now on it is written to a file of its own in the first of those directories that can be used, which is made
    /// if need be. What is in all of them is read. The error is that of the last.
    pub(crate) fn keep_in(&self, dirs: &[PathBuf]) -> io::Result<()> {
        let mut why = io::ErrorKind::NotFound.into();
        for dir in dirs {
            match self.begun_in(dir) {
                Ok((file, path)) => {
                    dirs.iter().for_each(|dir| remove_old(dir));
                    *lock(&self.log) = Some(Log { file, path, dirs: dirs.to_vec(), open: 0, last: 0 });
                    return Ok(());
                }
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    fn begun_in(&self, dir: &Path) -> io::Result<(File, PathBuf)> {
        DirBuilder::new().mode(0o700).recursive(true).create(dir)?;
        let path = dir.join(&self.id).with_extension(EXTENSION);
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        // Somebody may be looking at it already, which does not take long.
        file.lock()?;
        Ok((file, path))
    }

    /// Writes down what is about to be begun.
    pub(crate) fn begin(self: &Arc<Self>, intent: Intent) -> Entry {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let number = lock(&self.log).as_mut().map_or(0, |log| {
            log.last += 1;
            log.open += 1;
            log.add(&Line::Begin { number: log.last, at, intent });
            log.last
        });
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        Entry { journal: self.clone(), serial, number, noted: AtomicBool::new(false), ended: AtomicBool::new(false) }
    }

    /// The process is about to end in order: without intents that are open, nothing need be kept of it.
    pub(crate) fn close(&self) {
        if let Some(log) = lock(&self.log).take()
            && log.open == 0
        {
            let _ = fs::remove_file(&log.path);
        }
    }

    /// What this process has left, as far as nobody has crossed it out.
    fn left_here(&self) -> Option<Abandoned> {
        let left = lock(&self.left).clone();
        if left.is_empty() {
            return None;
        }
        let path = lock(&self.log).as_ref()?.path.clone();
        let mut intents = unfinished(&fs::read(&path).ok()?);
        intents.retain(|one| left.contains(&one.number));
        Some(Abandoned { path, intents })
    }

    /// The journals beside this one, with what this process itself has left, and in the other places. It reads files, so not for threads that requests are waiting for.
    pub(crate) fn others(&self) -> Others {
        let dirs = lock(&self.log).as_ref().map(|log| log.dirs.clone()).unwrap_or_default();
        let mut others = Others { over: (self.id.clone(), lock(&self.over).clone()), ..Others::default() };
        others.living.insert(self.id.clone());
        others.abandoned.extend(self.left_here().map(Arc::new));
        let entries = dirs.iter().filter_map(|dir| dir.read_dir().ok()).flatten();
        for path in entries.flatten().map(|entry| entry.path()) {
            let id = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
            let Some(id) = id.filter(|id| *id != self.id && path.extension().is_some_and(|end| end == EXTENSION))
            else {
                continue;
            };
            match Abandoned::read(&path) {
                Ok(Some(abandoned)) => {
                    others.dead.insert(id);
                    others.abandoned.push(Arc::new(abandoned));
                }
                Ok(None) => drop(others.living.insert(id)),
                Err(error) => debug!(path = %path.display(), %error, "a journal cannot be read"),
            }
        }
        others
    }
}

impl Log {
    fn add(&mut self, line: &Line) {
        let Ok(mut text) = serde_json::to_string(line) else { return };
        text.push('\n');
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            warn!(path = %self.path.display(), %error, "what is under way is not written down");
        }
    }
}

impl Entry {
    /// Id of its journal.
    pub(crate) fn journal(&self) -> &str {
        &self.journal.id
    }

    /// Names it among all of this process.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// Something of it may be left that nobody needs, and could not be ended.
    pub(crate) fn give_up(&self) {
        lock(&self.journal.over).insert(self.serial);
    }

    /// Adds a word about how far it is.
    pub(crate) fn note(&self, what: &str) {
        self.noted.store(true, Ordering::Relaxed);
        if self.number > 0
            && let Some(log) = lock(&self.journal.log).as_mut()
        {
            log.add(&Line::Note { number: self.number, what: what.to_owned() });
        }
    }

    pub(crate) fn is_noted(&self) -> bool {
        self.noted.load(Ordering::Relaxed)
    }

    /// Something of it is left, which this process does nothing about any more.
    pub(crate) fn leave(&self) {
        self.ended.store(true, Ordering::Relaxed);
        lock(&self.journal.left).insert(self.number);
    }

    /// Nothing of it is left.
    pub(crate) fn end(&self) {
        if self.number == 0 || self.ended.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut log = lock(&self.journal.log);
        let Some(log) = log.as_mut() else { return };
        log.open = log.open.saturating_sub(1);
        match log.open {
            // All is crossed out: the next line is the first.
            0 if log.file.set_len(0).is_ok() => {}
            _ => log.add(&Line::End { number: self.number }),
        }
    }
}

/// What is known of other processes that mounted as this user on this machine.
#[derive(Debug, Default)]
pub(crate) struct Others {
    pub abandoned: Vec<Arc<Abandoned>>,
    /// This process, and what it has given up.
    over: (String, HashSet<u64>),
    living: HashSet<String>,
    dead: HashSet<String>,
}

/// Whether the process behind a journal is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Living,
    Dead,
    /// Of another machine or user; or one that ended in order.
    Unknown,
    /// It is there, and will not see to that any more.
    Nobody,
}

impl Others {
    /// Of what was begun there by that number.
    pub(crate) fn owner(&self, id: &str, serial: u64) -> Owner {
        let (own, over) = &self.over;
        match () {
            () if id == own && over.contains(&serial) => Owner::Nobody,
            () if self.living.contains(id) => Owner::Living,
            () if self.dead.contains(id) => Owner::Dead,
            () => Owner::Unknown,
        }
    }
}

/// The journal of a process that is no more.
#[derive(Debug)]
pub(crate) struct Abandoned {
    path: PathBuf,
    pub intents: Vec<Unfinished>,
}

/// An intent that nobody crossed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfinished {
    pub number: u64,
    pub at: SystemTime,
    pub intent: Intent,
    pub note: Option<String>,
}

impl Abandoned {
    /// `None` if its process lives.
    fn read(path: &Path) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        match file.try_lock_shared() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes)?;
        Ok(Some(Self { path: path.to_owned(), intents: unfinished(&bytes) }))
    }

    /// Nothing of that intent is left.
    pub(crate) fn settle(&self, number: u64) {
        let settled = OpenOptions::new().append(true).open(&self.path).and_then(|mut file| {
            let line = serde_json::to_string(&Line::End { number })?;
            file.write_all(format!("{line}\n").as_bytes())
        });
        if let Err(error) = settled {
            debug!(path = %self.path.display(), %error, "it cannot be crossed out");
        }
    }
}

/// What is begun and not ended. A line that was cut off is none.
fn unfinished(bytes: &[u8]) -> Vec<Unfinished> {
    let mut open: Vec<Unfinished> = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        match serde_json::from_slice(line) {
            Ok(Line::Begin { number, at, intent }) => {
                let at = SystemTime::UNIX_EPOCH + Duration::from_secs(at);
                open.push(Unfinished { number, at, intent, note: None });
            }
            Ok(Line::Note { number, what }) => {
                open.iter_mut().filter(|one| one.number == number).for_each(|one| one.note = Some(what.clone()));
            }
            Ok(Line::End { number }) => open.retain(|one| one.number != number),
            Err(_) => {}
        }
    }
    open
}

/// Removes what was left so long ago that nothing at the service can be of it.
fn remove_old(dir: &Path) {
    for entry in dir.read_dir().into_iter().flatten().flatten() {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let is_old = modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > KEPT));
        if is_old && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(name: &str) -> Intent {
        let of = Named { account: "http://a".into(), container: "c".into(), name: name.into() };
        Intent::Backup { of }
    }

    fn begun_in(dir: &Path, names: &[&str]) -> (Arc<Journal>, Vec<Entry>) {
        let journal = Arc::new(Journal::default());
        journal.keep_in(&[dir.to_owned()]).unwrap();
        let entries = names.iter().map(|name| journal.begin(backup(name))).collect();
        (journal, entries)
    }

    #[test]
    fn what_was_not_crossed_out_is_told_once_its_process_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let reader = Journal::default();
        reader.keep_in(&[dir.path().to_owned()]).unwrap();
        let (journal, entries) = begun_in(dir.path(), &["a", "b", "c"]);
        let id = journal.id.clone();
        entries[0].end();
        entries[0].end();
        entries[1].note("so far");
        assert_eq!(reader.others().owner(&id, 1), Owner::Living);
        assert!(reader.others().abandoned.is_empty());
        // As the kernel does for a process that is killed.
        let log = lock(&journal.log).take();
        drop(log);
        let others = reader.others();
        assert_eq!(others.owner(&id, 1), Owner::Dead);
        assert_eq!(others.owner("another", 1), Owner::Unknown);
        let left = &others.abandoned[0];
        let shown: Vec<_> = left.intents.iter().map(|left| (left.intent.clone(), left.note.as_deref())).collect();
        assert_eq!(shown, [(backup("b"), Some("so far")), (backup("c"), None)]);
        left.intents.iter().for_each(|one| left.settle(one.number));
        let others = reader.others();
        assert!(others.abandoned[0].intents.is_empty() && others.owner(&id, 1) == Owner::Dead);
    }

    #[test]
    fn what_this_process_has_given_up_is_nobodys() {
        let journal = Arc::new(Journal::default());
        let entries = [journal.begin(backup("a")), journal.begin(backup("b"))];
        entries[1].give_up();
        let others = journal.others();
        let owners = entries.map(|entry| others.owner(&journal.id, entry.serial()));
        assert_eq!(owners, [Owner::Living, Owner::Nobody]);
    }

    #[test]
    fn the_first_place_that_can_be_used_is_written_and_all_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let (first, former) = (dir.path().join("first"), dir.path().join("former"));
        let (killed, _open) = begun_in(&former, &["a"]);
        drop(lock(&killed.log).take());
        let reader = Journal::default();
        reader.keep_in(&[first.clone(), former.clone()]).unwrap();
        assert_eq!(first.read_dir().unwrap().count(), 1);
        assert_eq!(reader.others().abandoned[0].intents.len(), 1);
        // A place that is none.
        fs::write(dir.path().join("file"), "").unwrap();
        let reader = Journal::default();
        reader.keep_in(&[dir.path().join("file/journal"), former.clone()]).unwrap();
        assert_eq!(former.read_dir().unwrap().count(), 2);
        assert!(Journal::default().keep_in(&[]).is_err());
    }

    #[test]
    fn whoever_ends_in_order_leaves_a_file_only_with_something_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, entries) = begun_in(dir.path(), &["a"]);
        entries[0].end();
        journal.close();
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
        let (journal, _open) = begun_in(dir.path(), &["a"]);
        journal.close();
        assert_eq!(dir.path().read_dir().unwrap().count(), 1);
        assert_eq!(Arc::new(Journal::default()).begin(backup("nowhere")).number, 0);
    }

    #[test]
    fn what_this_process_has_left_is_told_until_it_is_settled() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, entries) = begun_in(dir.path(), &["a", "b", "c"]);
        assert!(journal.others().abandoned.is_empty());
        entries[0].end();
        entries[1].leave();
        let left = journal.others().abandoned;
        assert_eq!(left[0].intents.iter().map(|one| one.intent.clone()).collect::<Vec<_>>(), [backup("b")]);
        left[0].settle(left[0].intents[0].number);
        assert!(journal.others().abandoned[0].intents.is_empty());
        entries[2].end();
    }

    #[test]
    fn a_file_has_no_line_while_nothing_is_under_way() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, entries) = begun_in(dir.path(), &["a", "b"]);
        let path = lock(&journal.log).as_ref().unwrap().path.clone();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
        entries.iter().for_each(Entry::end);
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
        let again = journal.begin(backup("c"));
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(unfinished(text.as_bytes()).len(), 1);
        // Killed in the middle of a line.
        assert!(unfinished(&text.as_bytes()[..text.len() / 2]).is_empty());
        again.end();
    }
}
