//! Copies that the service runs: what was ordered, how far they are, what they replace, and the leases of their
//! sources.

pub(in crate::fs) mod backup;
pub(in crate::fs) mod blocks;
pub(crate) mod bulk;
pub(in crate::fs) mod delete;
pub(in crate::fs) mod job;
pub(in crate::fs) mod jobs;
pub(crate) mod lease;
pub(crate) mod leftovers;
pub(in crate::fs) mod mark;
pub(crate) mod method;
pub(in crate::fs) mod overtake;
pub(in crate::fs) mod restore;
pub(in crate::fs) mod run;
pub(in crate::fs) mod spec;
pub(in crate::fs) mod start;
pub(in crate::fs) mod synchronous;
