//! What an answer gives the kernel to hold, and who gives it back where the kernel never heard of it.

use crate::fs::Fs;
use crate::fs::attr::Ino;
use crate::fs::handle::Fh;

/// What the kernel has from an answer on. Where the answer came too late, it never heard of it.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// References to nodes, one each.
    pub(super) lookups: Vec<Ino>,
    pub(super) file: Option<Fh>,
    pub(super) directory: Option<Fh>,
}

impl Held {
    pub(super) fn lookup(ino: Ino) -> Self {
        Self { lookups: vec![ino], ..Self::default() }
    }

    /// Gives it back as the kernel would.
    pub(super) async fn give_back(self, fs: &Fs) {
        if let Some(fh) = self.file {
            fs.release(fh).await;
        }
        if let Some(fh) = self.directory {
            fs.readdir().release(fh);
        }
        for ino in self.lookups {
            fs.tree().kernel().forget(ino, 1);
        }
    }
}
