//! Listings of a directory: their pages, a reader's place in them, and when lookups are worth one.

pub(in crate::fs) mod cursor;
pub(in crate::fs) mod entry;
pub(in crate::fs) mod list;
pub(in crate::fs) mod lookups;
pub(in crate::fs) mod markers;
pub(in crate::fs) mod pages;
pub(in crate::fs) mod stream;
pub(in crate::fs) mod sweeper;
