//! Content of open files: what was read, what was written and is not stored yet, and in which form it gets into a blob.

pub(in crate::fs) mod append;
pub(in crate::fs) mod commit;
pub(in crate::fs) mod destination;
pub(in crate::fs) mod detour;
pub(in crate::fs) mod draft;
pub(in crate::fs) mod extent_map;
pub(in crate::fs) mod fetch;
pub(in crate::fs) mod files;
pub(in crate::fs) mod get;
pub(in crate::fs) mod granted;
pub(crate) mod handle;
pub(in crate::fs) mod leave;
pub(in crate::fs) mod memory;
pub(in crate::fs) mod once;
pub(in crate::fs) mod page;
pub(in crate::fs) mod plan;
pub(in crate::fs) mod range;
pub(in crate::fs) mod read;
pub(in crate::fs) mod recovery;
pub(in crate::fs) mod source;
pub(in crate::fs) mod strategy;
pub(in crate::fs) mod tail;
pub(in crate::fs) mod upload;
pub(in crate::fs) mod within;
pub(in crate::fs) mod write;
