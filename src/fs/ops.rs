//! The operations, on top of names, content and copies: whatever takes a whole [`Fs`](super::Fs) is here.

pub(in crate::fs) mod bulk;
mod close;
pub(crate) mod control;
mod copied_to;
mod copy_file_range;
mod ending;
pub(in crate::fs) mod getattr;
mod leftovers;
pub(in crate::fs) mod lookup;
mod mkdir;
mod mknod;
pub(in crate::fs) mod open;
mod poll;
mod read;
pub(in crate::fs) mod readdir;
pub(in crate::fs) mod rename;
mod setattr;
mod snapshot;
mod unlink;
pub(in crate::fs) mod write;
pub(in crate::fs) mod xattr;
