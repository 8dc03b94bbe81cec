//! Content of open files: what was read, what was written and is not stored yet, and in which form it gets into a blob.

pub(in crate::fs) mod block_ids;
pub(in crate::fs) mod draft;
pub(in crate::fs) mod extent_map;
pub mod handle;
pub(in crate::fs) mod memory;
pub(in crate::fs) mod page;
pub(in crate::fs) mod plan;
pub(in crate::fs) mod read;
pub(in crate::fs) mod source;
pub(in crate::fs) mod strategy;
pub(in crate::fs) mod tail;
