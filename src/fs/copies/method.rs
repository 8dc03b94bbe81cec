//! The way that a copy between two accounts goes: by Copy Blob, or in blocks.
//!
//! Copy Blob costs one request and promises no speed (§13.3). Put Block From URL reads as fast as a request can, many at
//! a time, and keeps the old content until all is there. Which of them is faster nobody can know before, so it is
//! measured, and remembered for each pair of accounts ([`Rates`]). A setting ([`CopyMethod`]) decides for who does not
//! want that.
//!
//! Nothing here asks or waits: who copies says what it has seen and when, and is told how to go on.
//!
//! | known of the pair | a copy begins | and goes on in blocks |
//! |---|---|---|
//! | nothing, or one of the two | by Copy Blob | if that is slow, and so long that trying costs at most a tenth of it |
//! | both | in blocks, if they are done earlier | if they would be done earlier, with all of it to copy again |
//!
//! What was measured an hour ago says nothing: the pair is tried anew.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::fs::names::tree::AccountId;
use crate::sync::lock;

/// The way that copies between accounts go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum CopyMethod {
    /// Whichever is faster, as measured.
    #[default]
    Auto,
    /// Copy Blob.
    Blob,
    /// Put Block From URL, where the blobs allow it.
    Blocks,
}

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fs) enum Method {
    Blob,
    Blocks,
}

/// Source and destination.
pub(in crate::fs) type Pair = (AccountId, AccountId);

/// Before, a Copy Blob has hardly begun: the service answers first and then looks for somebody to do it.
const MEASURED: Duration = Duration::from_secs(1);

/// A copy of which the service has not copied a byte for so long is slow. Before, it may only be waiting for its turn.
const STALLED: Duration = Duration::from_secs(10);

/// What is smaller is copied too soon for a rate to be made of it, bytes.
const ENOUGH: u64 = 64 << 20;

/// The time that it costs to change over: an abort, a look, the blocks that are there.
const CHANGE: Duration = Duration::from_secs(1);

/// The time after which blocks have shown how fast they are.
const TRIAL: Duration = Duration::from_secs(2);

/// What trying blocks may cost at the most, if they turn out to be slow: a part in so many of the copy's time.
const PART: u32 = 10;

/// Bytes a second that are not slow, where nothing is known of blocks.
const FAST: f64 = (256_u64 << 20) as f64;

/// Bytes a second of what does not move: a rate of nothing could not be compared with.
const SLOWEST: f64 = 1.0;

/// The time for which a rate is believed.
const BELIEVED: Duration = Duration::from_secs(3600);

/// Bytes a second, as of a moment.
#[derive(Debug, Clone, Copy)]
struct Rate {
    bytes: f64,
    at: Instant,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    blob: Option<Rate>,
    blocks: Option<Rate>,
}

/// A copy as it was seen.
#[derive(Debug, Clone, Copy)]
pub(in crate::fs) struct Measure {
    /// Bytes of the source.
    pub total: u64,
    /// Bytes of these that are copied.
    pub copied: u64,
    /// Since its start.
    pub elapsed: Duration,
}

impl Measure {
    fn rate(&self) -> f64 {
        self.copied as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// Seconds that the rest takes at a rate.
    fn left(&self, rate: f64) -> f64 {
        self.total.saturating_sub(self.copied) as f64 / rate
    }

    /// Seconds that all of it takes at a rate.
    fn all(&self, rate: f64) -> f64 {
        self.total as f64 / rate
    }
}

/// What was measured between accounts.
#[derive(Debug, Default)]
pub(in crate::fs) struct Rates(Mutex<HashMap<Pair, Known>>);

impl Rates {
    fn known(&self, pair: Pair, method: Method, now: Instant) -> Option<f64> {
        let rates = lock(&self.0);
        let known = rates.get(&pair)?;
        let rate = match method {
            Method::Blob => known.blob,
            Method::Blocks => known.blocks,
        };
        Some(rate.filter(|rate| now.duration_since(rate.at) < BELIEVED)?.bytes)
    }

    /// How a copy of so many bytes begins.
    pub(in crate::fs) fn first(&self, pair: Pair, total: u64, now: Instant) -> Method {
        let rate = |method| self.known(pair, method, now);
        match (rate(Method::Blob), rate(Method::Blocks)) {
            (Some(blob), Some(blocks)) if total as f64 / blocks + CHANGE.as_secs_f64() < total as f64 / blob => {
                Method::Blocks
            }
            _ => Method::Blob,
        }
    }

    /// Whether a Copy Blob is to be given up for blocks.
    pub(in crate::fs) fn is_overtaken(&self, pair: Pair, seen: Measure, now: Instant) -> bool {
        if seen.total < ENOUGH || seen.elapsed < MEASURED || (seen.copied == 0 && seen.elapsed < STALLED) {
            return false;
        }
        let rate = seen.rate().max(SLOWEST);
        match self.known(pair, Method::Blocks, now) {
            // A quarter more, so that two that are equal do not change places.
            Some(blocks) => seen.left(rate) > 1.25 * (seen.all(blocks) + CHANGE.as_secs_f64()),
            None => rate < FAST && seen.all(rate) >= f64::from(PART) * (seen.elapsed + TRIAL).as_secs_f64(),
        }
    }

    /// Whether blocks, with so many bytes of them under way, are slower than the Copy Blob that was given up for them.
    pub(in crate::fs) fn is_behind(&self, pair: Pair, seen: Measure, underway: u64, now: Instant) -> bool {
        let Some(blob) = self.known(pair, Method::Blob, now) else { return false };
        if seen.elapsed < TRIAL {
            return false;
        }
        // Before the first is there, all of them may be in a moment.
        let copied = if seen.copied == 0 { underway } else { seen.copied };
        seen.left(Measure { copied, ..seen }.rate()) > seen.all(blob) + CHANGE.as_secs_f64()
    }

    /// Remembers that blocks were refused, so that they are not tried with each copy.
    pub(in crate::fs) fn note_refusal(&self, pair: Pair, now: Instant) {
        lock(&self.0).entry(pair).or_default().blocks = Some(Rate { bytes: SLOWEST, at: now });
    }

    /// Remembers how fast that was. What is too short or too small to tell is not remembered.
    pub(in crate::fs) fn note(&self, pair: Pair, method: Method, seen: Measure, now: Instant) {
        let stalled = seen.elapsed >= STALLED;
        if seen.total < ENOUGH || (seen.copied == 0 && !stalled) {
            return;
        }
        let rate = Some(Rate { bytes: seen.rate().max(SLOWEST), at: now });
        let mut rates = lock(&self.0);
        let known = rates.entry(pair).or_default();
        match method {
            Method::Blob => known.blob = rate,
            Method::Blocks => known.blocks = rate,
        }
    }
}
