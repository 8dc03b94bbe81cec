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

/// How copies were seen to go.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Pace {
    /// Bytes a second.
    Rate(f64),
    /// Not a byte was copied for so long: how fast it is then nobody knows, but it takes at least that.
    Stalled(Duration),
}

impl Pace {
    /// Seconds that so many bytes take, at least.
    fn time(self, bytes: u64) -> f64 {
        match self {
            Self::Rate(rate) => bytes as f64 / rate,
            Self::Stalled(time) => time.as_secs_f64(),
        }
    }
}

/// A pace as of a moment.
#[derive(Debug, Clone, Copy)]
struct Rate {
    pace: Pace,
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
    fn known(&self, pair: Pair, method: Method, now: Instant) -> Option<Pace> {
        let rates = lock(&self.0);
        let known = rates.get(&pair)?;
        let rate = match method {
            Method::Blob => known.blob,
            Method::Blocks => known.blocks,
        };
        Some(rate.filter(|rate| now.duration_since(rate.at) < BELIEVED)?.pace)
    }

    /// How a copy of so many bytes begins. What is small is one request, whatever was seen of large ones.
    pub(in crate::fs) fn first(&self, pair: Pair, total: u64, now: Instant) -> Method {
        let pace = |method| self.known(pair, method, now);
        match (pace(Method::Blob), pace(Method::Blocks)) {
            (Some(blob), Some(blocks @ Pace::Rate(_)))
                if total >= ENOUGH && blocks.time(total) + CHANGE.as_secs_f64() < blob.time(total) =>
            {
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
            Some(Pace::Rate(blocks)) => seen.left(rate) > 1.25 * (seen.all(blocks) + CHANGE.as_secs_f64()),
            Some(Pace::Stalled(_)) => false,
            None => rate < FAST && seen.all(rate) >= f64::from(PART) * (seen.elapsed + TRIAL).as_secs_f64(),
        }
    }

    /// Whether blocks, with so many bytes of them under way, are slower than the Copy Blob that was given up for them.
    pub(in crate::fs) fn is_behind(&self, pair: Pair, seen: Measure, underway: u64, now: Instant) -> bool {
        // Of one that had stalled nobody knows when it would have been done.
        let Some(Pace::Rate(blob)) = self.known(pair, Method::Blob, now) else { return false };
        if seen.elapsed < TRIAL {
            return false;
        }
        // Before the first is there, all of them may be in a moment.
        let copied = if seen.copied == 0 { underway } else { seen.copied };
        seen.left(Measure { copied, ..seen }.rate()) > seen.all(blob) + CHANGE.as_secs_f64()
    }

    /// Remembers that blocks were refused, so that they are not tried with each copy.
    pub(in crate::fs) fn note_refusal(&self, pair: Pair, now: Instant) {
        lock(&self.0).entry(pair).or_default().blocks = Some(Rate { pace: Pace::Rate(SLOWEST), at: now });
    }

    /// Remembers how fast that was. What is too short or too small to tell is not remembered.
    pub(in crate::fs) fn note(&self, pair: Pair, method: Method, seen: Measure, now: Instant) {
        let pace = match seen.copied {
            _ if seen.total < ENOUGH => return,
            0 if seen.elapsed < STALLED => return,
            0 => Pace::Stalled(seen.elapsed),
            _ => Pace::Rate(seen.rate().max(SLOWEST)),
        };
        let rate = Some(Rate { pace, at: now });
        let mut rates = lock(&self.0);
        let known = rates.entry(pair).or_default();
        match method {
            Method::Blob => known.blob = rate,
            Method::Blocks => known.blocks = rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIR: Pair = (AccountId(0), AccountId(1));
    const MIB: u64 = 1 << 20;

    fn seen(total: u64, copied: u64, seconds: u64) -> Measure {
        Measure { total, copied, elapsed: Duration::from_secs(seconds) }
    }

    #[tokio::test]
    async fn a_stall_says_how_long_a_copy_takes_at_least_and_nothing_of_small_ones() {
        let (rates, now) = (Rates::default(), Instant::now());
        assert!(rates.is_overtaken(PAIR, seen(1024 * MIB, 0, 10), now));
        rates.note(PAIR, Method::Blob, seen(1024 * MIB, 0, 10), now);
        rates.note(PAIR, Method::Blocks, seen(1024 * MIB, 1024 * MIB, 10), now);
        let first = |size| rates.first(PAIR, size, now);
        assert_eq!([first(4 * MIB), first(63 * MIB)], [Method::Blob; 2]);
        assert_eq!(first(512 * MIB), Method::Blocks, "6 s instead of at least 10");
        assert_eq!(first(4096 * MIB), Method::Blob, "at least 10 s may be less than 41");
        assert!(!rates.is_behind(PAIR, seen(1024 * MIB, MIB, 5), 0, now), "nobody knows of what");
    }

    #[tokio::test]
    async fn both_rates_decide_for_an_hour() {
        let (rates, now) = (Rates::default(), Instant::now());
        rates.note(PAIR, Method::Blob, seen(1024 * MIB, 10 * MIB, 10), now);
        assert_eq!(rates.first(PAIR, 1024 * MIB, now), Method::Blob);
        rates.note(PAIR, Method::Blocks, seen(1024 * MIB, 1024 * MIB, 1), now);
        assert_eq!(rates.first(PAIR, 1024 * MIB, now), Method::Blocks);
        assert_eq!(rates.first((PAIR.1, PAIR.0), 1024 * MIB, now), Method::Blob);
        assert_eq!(rates.first(PAIR, 1024 * MIB, now + BELIEVED), Method::Blob);
        rates.note_refusal(PAIR, now);
        assert_eq!(rates.first(PAIR, 1024 * MIB, now), Method::Blob);
    }
}
