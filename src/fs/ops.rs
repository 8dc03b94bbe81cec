//! The operations, on top of names, content and copies: whatever takes a whole [`Fs`](super::Fs) is here.

pub(in crate::fs) mod access;
pub(in crate::fs) mod append;
pub(in crate::fs) mod attributes;
pub(in crate::fs) mod backup;
pub(in crate::fs) mod bulk;
pub(in crate::fs) mod coherence;
pub(in crate::fs) mod commit;
pub mod control;
pub(in crate::fs) mod copy;
pub(in crate::fs) mod dir;
pub(in crate::fs) mod file;
pub(in crate::fs) mod form;
pub(in crate::fs) mod lease;
pub(in crate::fs) mod page;
pub(in crate::fs) mod range;
pub(in crate::fs) mod rename;
pub(in crate::fs) mod snapshot;
pub(in crate::fs) mod stage;
pub(in crate::fs) mod walk;
pub(in crate::fs) mod watch;
pub(in crate::fs) mod xattr;
