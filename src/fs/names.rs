//! Names: the tree of inodes, what is known of what each name stands for, and places in listings.
//!
//! Nothing here sends a request but [`walk`] and [`dir`]'s pages, which list; nothing here knows of content.

pub(crate) mod access;
pub(crate) mod attr;
pub(in crate::fs) mod cache;
pub(in crate::fs) mod coherence;
pub(in crate::fs) mod containers;
pub(in crate::fs) mod dir;
pub(in crate::fs) mod hidden;
pub(crate) mod identities;
pub(in crate::fs) mod keeping;
pub(in crate::fs) mod lookup;
pub(in crate::fs) mod open;
pub(in crate::fs) mod ownership;
pub(in crate::fs) mod revision_dirs;
pub(in crate::fs) mod revisions;
pub(in crate::fs) mod room;
pub(crate) mod tree;
pub(crate) mod walk;
pub(in crate::fs) mod xattr_reads;
