//! Whoever waits for the service can be ended by a signal, and a mount can be ended whatever the service does.

use std::time::{Duration, Instant};

use blobcp::devstore::Fault;

use crate::common::outage::{Line, Outage};
use crate::common::*;

mod calls;
mod ending;
mod exec;
mod mapped;

/// Longest time from a signal to the end of who got it. It is promised within a second; the rest is for machines with
/// much else to do.
const SOON: Duration = Duration::from_secs(3);

/// Sees a program end by that signal, which it was just sent.
#[track_caller]
fn assert_ends_by(signal: i32, program: Gated, what: &str) {
    let sent = Instant::now();
    let ran = program.wait();
    let took = sent.elapsed();
    assert_eq!(ran.signal, Some(signal), "{what}: {ran:?}");
    assert!(took < SOON, "{what}: {took:?}");
}
