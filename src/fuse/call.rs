//! What a request was, for the log, and how it is told that it failed.

use std::ffi::OsStr;
use std::io;

use fuser::{
    Errno, INodeNo, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry,
    ReplyIoctl, ReplyLseek, ReplyOpen, ReplyPoll, ReplyWrite, ReplyXattr, Request,
};
use tracing::{debug, warn};

use crate::error::Error;

/// What a request was, for its line in the log.
pub struct Call {
    operation: &'static str,
    ino: u64,
    name: String,
    pid: u32,
}

impl Call {
    pub fn new(operation: &'static str, request: &Request, ino: INodeNo) -> Self {
        Self { operation, ino: ino.0, name: String::new(), pid: request.pid() }
    }

    pub fn on(mut self, name: impl AsRef<OsStr>) -> Self {
        self.name = name.as_ref().to_string_lossy().into_owned();
        self
    }

    pub fn failed(&self, errno: i32, error: &Error) {
        let Self { operation, ino, name, pid } = self;
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
    }
}

/// Replies that can say that it did not work.
pub trait Refuse {
    fn refuse(self, errno: Errno);
}

macro_rules! refuse {
    ($($reply:ty),*) => {$(
        impl Refuse for $reply {
            fn refuse(self, errno: Errno) {
                self.error(errno);
            }
        }
    )*};
}
refuse!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyDirectoryPlus,
    ReplyEmpty,
    ReplyEntry,
    ReplyIoctl,
    ReplyLseek,
    ReplyOpen,
    ReplyPoll,
    ReplyWrite,
    ReplyXattr
);
