//! Attributes of a file that are read one after the other are answered from one look at the blob.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use crate::fs::caller::Caller;
use crate::fs::names::attr::Ino;
use crate::store::{BlobProperties, Tags};
use crate::sync::lock;

/// One question is asked in calls that follow each other at once.
pub(in crate::fs) const ONE_QUESTION: Duration = Duration::from_millis(100);

/// Questions remembered at a time.
pub(in crate::fs) const MOST_READS: usize = 256;

/// Answers in progress: what a HEAD said, and which names it has answered.
#[derive(Default)]
pub(crate) struct Reads(Mutex<HashMap<(Ino, u32), ReadSequence>>);

pub(in crate::fs) struct ReadSequence {
    blob: Arc<Seen>,
    at: Instant,
    answered: HashSet<String>,
}

/// A blob at one moment. Its tags are asked for when the first of them is.
pub(in crate::fs) struct Seen {
    pub(crate) properties: BlobProperties,
    pub(crate) tags: OnceCell<Tags>,
}

impl Reads {
    /// The blob as it was seen a moment ago, unless it has answered `name` before. `probe`: only the size is asked, the
    /// value follows.
    pub(in crate::fs) fn recall(&self, ino: Ino, caller: Caller, name: &str, probe: bool) -> Option<Arc<Seen>> {
        let mut reads = lock(&self.0);
        let read = reads.get_mut(&(ino, caller.pid))?;
        if read.at.elapsed() > ONE_QUESTION || read.answered.contains(name) {
            return None;
        }
        if !probe {
            read.answered.insert(name.to_owned());
        }
        Some(read.blob.clone())
    }

    pub(in crate::fs) fn remember(&self, ino: Ino, caller: Caller, blob: Arc<Seen>) {
        let mut reads = lock(&self.0);
        if reads.len() >= MOST_READS {
            reads.retain(|_, read| read.at.elapsed() <= ONE_QUESTION);
        }
        reads.insert((ino, caller.pid), ReadSequence { blob, at: Instant::now(), answered: HashSet::new() });
    }

    pub(in crate::fs) fn forget(&self, ino: Ino) {
        lock(&self.0).retain(|(of, _), _| *of != ino);
    }
}
