//! The kernel's cache, and when it is told not to believe that any longer.
//!
//! A name that stands for another file, or for none, by another client's doing is dropped as soon as that is known
//! ([`KernelCache::expire`]).
//!
//! Of the content of files, where a write goes past it:
//!
//! A program that opens a file only to write it gets FOPEN_DIRECT_IO: its bytes come here straight from its memory. The
//! kernel drops from its cache what such a write is about to replace. As long as there is such a writer, whoever else
//! opens the file goes past the cache, too, so nothing gets into it but by a mapping. A page that is mapped may be
//! brought back while the write is on its way, as it was before; so where the file is open for reading, the range is
//! dropped once more when it is written, before the writer is answered. What remains is what O_DIRECT has everywhere:
//! of two who change different bytes of one page at the same moment, one by a mapping and one by such a write, one may
//! undo the other's.

use std::ffi::OsStr;
use std::ops::Range;
use std::sync::{OnceLock, Weak, mpsc};
use std::{io, thread};

use fuser::{INodeNo, Notifier, Version};
use tracing::debug;

use crate::fs::Fs;
use crate::fs::tree::Expired;

/// The first protocol (Linux 6.6) whose kernels drop what a direct write replaces.
pub(super) const DROPS_WHAT_IS_WRITTEN: Version = Version(7, 39);

#[derive(Default)]
pub(super) struct KernelCache(OnceLock<Notifier>);

impl KernelCache {
    /// Sets the way to the kernel. To be called before it asks anything.
    pub(super) fn reach_by(&self, notifier: Notifier) {
        let _ = self.0.set(notifier);
    }

    /// Tells the kernel what comes from there, one after the other, until the other end is gone. The kernel waits for
    /// whoever works in the directory, who may be waiting for an answer of ours: so nobody here waits for it.
    pub(super) fn expire(notifier: Notifier, fs: Weak<Fs>, expired: mpsc::Receiver<Expired>) -> io::Result<()> {
        let tell = move || {
            for expired in expired {
                if fs.upgrade().is_some_and(|fs| !fs.tree().kernel().is_old_to_the_kernel(&expired)) {
                    continue;
                }
                let told = match &expired {
                    Expired::Name { parent, name, .. } => notifier.inval_entry(INodeNo(parent.0), OsStr::new(&**name)),
                    Expired::File(ino) => notifier.inval_inode(INodeNo(ino.0), 0, 0),
                };
                if let Err(error) = told {
                    debug!(?expired, %error, "nothing is cached");
                }
            }
        };
        thread::Builder::new().name("expire".into()).spawn(tell).map(drop)
    }

    /// Drops what is cached of a range of bytes, and of the attributes. It waits for reads of the range to be answered
    /// and for what was written by a mapping to be stored, so it must be called with nothing held that these need, and
    /// not for such a write itself.
    pub(super) async fn drop_range(&self, ino: INodeNo, range: Range<u64>) {
        let Some(notifier) = self.0.get().cloned() else { return };
        let (start, len) = (range.start as i64, (range.end - range.start) as i64);
        let told = tokio::task::spawn_blocking(move || notifier.inval_inode(ino, start, len)).await;
        if let Ok(Err(error)) = told {
            debug!(%ino, %error, "nothing is cached");
        }
    }
}
