//! What is read and not run: the source, the pages about it, and whether they hold what they promise. Links nothing of the crate, and is
//! therefore built in a moment.

// Tests end where something is not as they expect, and their modules are nobody else's.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod book;
mod checklist;
mod joined;
mod layers;
