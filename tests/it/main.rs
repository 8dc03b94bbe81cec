//! Tests of the whole, in one program, because linking the crate once for each file of them takes longer than running some of them.
//!
//! A module for each theme; `cargo test --test it rename::` runs one. What a test does to the whole process, the others see: nobody here
//! sets variables of the environment, the current directory or limits. Tests that want a process of their own are programs of their own
//! beside this one, and say why. `tests/house/joined.rs` sees that no file is forgotten here.

// Tests end where something is not as they expect, and their modules are nobody else's.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;

mod access;
mod across;
mod answers;
mod archive;
mod attributes;
mod azurite;
mod blob_types;
mod budgets;
mod bulk;
mod cli;
mod coherence;
mod copy;
mod crash;
mod data;
mod deleted;
mod devstore;
mod entra;
mod errors;
mod faults;
mod granted;
mod hns;
mod hns_dfs;
mod hns_kind;
mod hns_owners;
mod hns_paths;
mod huge;
mod immutable;
mod integrity;
mod ioctl;
mod judges;
mod leases;
mod leftovers;
mod lies;
mod listing;
mod lost_answers;
mod modes;
mod names;
mod one_commit;
mod package;
mod pieces;
mod posix;
mod programs;
mod python_sdk;
mod races;
mod readme;
mod recognised;
mod rename;
mod rope;
mod rules;
mod shutdown;
mod signals;
mod silence;
mod snapshots;
mod sources;
mod spelling;
mod stat;
mod stress;
mod tools;
mod verify;
mod waiting;
mod watch;
mod wire;
