//! The answers of `stat` and `statfs`.

use crate::error::Result;
use crate::fs::Fs;
use crate::fs::names::attr::{Attr, Ino};
use crate::fs::names::cache::Names;
use crate::fs::names::coherence::LOOKED_UP;
use crate::fs::names::tree::Place;
use crate::path::{self, MAX_BLOB_NAME, MAX_CONTAINER_NAME};

/// The longest name of a directory entry where the service does not say, as everywhere on Linux.
const MAX_NAME: usize = 255;

/// The answer of `statfs`, in units of `block_size` bytes. The service has no limit that a file could meet.
pub struct Statistics {
    pub block_size: u32,
    pub blocks: u64,
    pub files: u64,
    /// UTF-16 units that a name in the directory asked about may have.
    pub longest_name: u32,
}

impl Fs {
    /// stat(2).
    pub async fn getattr(&self, ino: Ino) -> Result<Attr> {
        if ino == Ino::ROOT {
            self.names.ask_root_once().await;
        }
        // The kernel asks for the mode before an open: an answer about another file than it has just looked up would
        // never let it open one that is written all the time.
        let looked_up = self.tree.kernel().is_just_looked_up(ino, LOOKED_UP);
        let view = if looked_up { self.tree.view(ino)? } else { self.names.fresh(ino).await? };
        // Who has the old file open sees what that was: an error would make pages that the kernel has of it
        // unreachable. All others came by the name.
        if self.handles.of_ino(ino).is_none() {
            Names::check_named(&view)?;
        }
        Ok(self.names.attr_of(&view))
    }

    /// statfs(2).
    pub fn statfs(&self, ino: Ino) -> Statistics {
        const TIB: u64 = 1 << 40;
        let longest_name = match self.tree.place(ino) {
            // The path to it is part of a blob's name.
            Ok(Place::Directory(dir)) => MAX_BLOB_NAME.saturating_sub(path::length(&dir.prefix)),
            Ok(Place::Account(_)) => MAX_CONTAINER_NAME,
            _ => MAX_NAME,
        };
        // A pebibyte free: df shows something sensible and no program believes that it does not fit.
        Statistics { block_size: 4096, blocks: 1024 * TIB / 4096, files: 1 << 40, longest_name: longest_name as u32 }
    }
}
