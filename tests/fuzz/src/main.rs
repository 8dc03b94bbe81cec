//! One program for all targets: which one it is, `BLOBCP_FUZZ` says. To link blobcp takes longer than a target runs.
//!
//! The targets, what they assert and where their corpora are: `src/fuzz.rs` of blobcp.

#![no_main]

use std::sync::OnceLock;

use blobcp::fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

static CHOSEN: OnceLock<Target> = OnceLock::new();

fn chosen() -> Target {
    let name = std::env::var("BLOBCP_FUZZ").unwrap_or_default();
    let names = || TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    match TARGETS.iter().find(|(known, _)| *known == name) {
        Some((_, target)) => *target,
        None => panic!("BLOBCP_FUZZ is one of {}", names()),
    }
}

fuzz_target!(|data: &[u8]| CHOSEN.get_or_init(chosen)(data));
