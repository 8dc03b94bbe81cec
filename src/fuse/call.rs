//! A request of the kernel: its line in the log, how its work is begun, and the answer when it failed.

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;

use fuser::{
    Errno, INodeNo, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry,
    ReplyIoctl, ReplyLseek, ReplyOpen, ReplyPoll, ReplyWrite, ReplyXattr, Request,
};
use tracing::{debug, warn};

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::attr::Ino;
use crate::fuse::held::Held;
use crate::fuse::refusals::{Refusal, Refusals};

/// The number that an error is to the program that asked.
pub(super) type ErrnoOf = fn(&Fs, &Error) -> i32;

/// A request, for its line in the log, and how it is worked on.
pub(super) struct Call {
    operation: &'static str,
    ino: u64,
    name: String,
    pid: u32,
    uid: u32,
    /// Where a refusal is kept for whoever asks for its words.
    refusals: Option<Arc<Refusals>>,
    errno_of: ErrnoOf,
    polled_inline: bool,
    writes: bool,
    /// Names that stand for something else when it is done.
    renames: Vec<(Ino, String)>,
    /// The file that is another when it is done.
    changes: Option<Ino>,
}

impl Call {
    pub(super) fn new(operation: &'static str, request: &Request, ino: INodeNo) -> Self {
        Self {
            operation,
            ino: ino.0,
            name: String::new(),
            pid: request.pid(),
            uid: request.uid(),
            refusals: None,
            errno_of: Fs::errno,
            polled_inline: false,
            writes: false,
            renames: Vec::new(),
            changes: None,
        }
    }

    pub(super) fn on(mut self, name: impl AsRef<OsStr>) -> Self {
        self.name = name.as_ref().to_string_lossy().into_owned();
        self
    }

    /// Has its refusal kept.
    pub(super) fn kept_in(self, refusals: &Arc<Refusals>) -> Self {
        Self { refusals: Some(refusals.clone()), ..self }
    }

    /// For requests whose errors mean something else to programs than those of others.
    pub(super) fn errno_of(self, errno_of: ErrnoOf) -> Self {
        Self { errno_of, ..self }
    }

    /// For what is mostly done without waiting: it is begun on the dispatch thread, and goes to the runtime only if it
    /// has to wait, which saves the way there and back.
    pub(super) fn polled_inline(self) -> Self {
        Self { polled_inline: true, ..self }
    }

    pub(super) fn is_polled_inline(&self) -> bool {
        self.polled_inline
    }

    /// For requests that change something, which a mount that is read-only refuses.
    pub(super) fn writes(self) -> Self {
        self.writes_if(true)
    }

    /// The same where the request says whether it is one.
    pub(super) fn writes_if(self, writes: bool) -> Self {
        Self { writes, ..self }
    }

    pub(super) fn is_write(&self) -> bool {
        self.writes
    }

    /// The thread that waits; 0 if that cannot be seen.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// For requests after which a name stands for something else. The kernel knows that from the answer, unless that
    /// came before.
    pub(super) fn renames(mut self, parent: INodeNo, name: &OsStr) -> Self {
        self.renames.push((Ino(parent.0), name.to_string_lossy().into_owned()));
        self
    }

    /// The same for requests that change a file.
    pub(super) fn changes(self, ino: INodeNo) -> Self {
        Self { changes: Some(Ino(ino.0)), ..self }
    }

    /// The work is done, and its caller was let go before. Nobody hears of an error but the log.
    pub(super) async fn is_late(&self, fs: &Fs, outcome: Result<Held>) {
        match outcome {
            Ok(held) => {
                let Self { operation, ino, name, pid, .. } = self;
                debug!(operation, ino, name, pid, "done after its caller was let go");
                held.give_back(fs).await;
            }
            Err(error) => {
                let _ = self.failed(fs, &error);
            }
        }
        // What has been asked for since the answer went out is as it was before.
        for (parent, name) in &self.renames {
            fs.tree().kernel().expire_name(*parent, name);
        }
        if let Some(ino) = self.changes {
            fs.tree().kernel().expire_file(ino);
        }
    }

    /// Leaves a line in the log. Returns the number that the program is told.
    pub(super) fn failed(&self, fs: &Fs, error: &Error) -> Errno {
        let Self { operation, ino, name, pid, .. } = self;
        let errno = (self.errno_of)(fs, error);
        let ordinary = matches!(
            (errno, *operation),
            (libc::ENOENT, "lookup" | "getattr")
                | (libc::ENODATA | libc::EOPNOTSUPP, "getxattr" | "listxattr")
                | (libc::ENXIO, "lseek")
                // Programs ask whether a file is a terminal.
                | (libc::ENODATA | libc::ENOTTY, "ioctl")
        );
        let because = io::Error::from_raw_os_error(errno);
        if ordinary {
            debug!(operation, ino, name, pid, %error, "{because}");
        } else {
            warn!(operation, ino, name, pid, %error, "{because}");
        }
        // A command that is refused is never so ordinary that nobody asks.
        if let Some(refusals) = self.refusals.as_ref().filter(|_| !ordinary || *operation == "ioctl") {
            refusals.keep(*pid, Refusal::new(self.uid, operation, errno, error));
        }
        Errno::from_i32(errno)
    }
}

/// What is said of a change where nobody may make one.
pub(super) fn read_only() -> Error {
    Error::fs(libc::EROFS, "the mount is read-only")
}

/// Replies that can say that it did not work.
pub(super) trait Refuse {
    fn refuse(self, errno: Errno);
}

macro_rules! refuse {
    ($($reply:ident)*) => {$(
        impl Refuse for $reply {
            fn refuse(self, errno: Errno) {
                self.error(errno);
            }
        }
    )*};
}
refuse! {
    ReplyAttr ReplyCreate ReplyData ReplyDirectory ReplyDirectoryPlus ReplyEmpty ReplyEntry
    ReplyIoctl ReplyLseek ReplyOpen ReplyPoll ReplyWrite ReplyXattr
}
