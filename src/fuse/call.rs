//! A request of the kernel: its line in the log, how its work is begun, and the answer when it failed.

use std::ffi::OsStr;
use std::io;

use fuser::{
    Errno, INodeNo, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry,
    ReplyIoctl, ReplyLseek, ReplyOpen, ReplyPoll, ReplyWrite, ReplyXattr, Request,
};
use tracing::{debug, warn};

use crate::error::Error;
use crate::fs::Fs;

/// The number that an error is to the program that asked.
pub(super) type ErrnoOf = fn(&Fs, &Error) -> i32;

/// A request, for its line in the log, and how it is worked on.
pub(super) struct Call {
    operation: &'static str,
    ino: u64,
    name: String,
    pid: u32,
    errno_of: ErrnoOf,
    polled_inline: bool,
}

impl Call {
    pub(super) fn new(operation: &'static str, request: &Request, ino: INodeNo) -> Self {
        Self {
            operation,
            ino: ino.0,
            name: String::new(),
            pid: request.pid(),
            errno_of: Fs::errno,
            polled_inline: false,
        }
    }

    pub(super) fn on(mut self, name: impl AsRef<OsStr>) -> Self {
        self.name = name.as_ref().to_string_lossy().into_owned();
        self
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
        Errno::from_i32(errno)
    }
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
