//! Accounts between which the service is asked for blocks of what was read, or not for a while.
//!
//! Nobody has wanted such a block: whoever wrote has the bytes here, and they can be sent. So the service is asked where
//! that works and is not slow, and where it is not, that is found out once in a while and not with each block.
//!
//! | what has come of it | it is asked again |
//! |---|---|
//! | the block is made | at once; between two accounts, after a pause if sending has been twice as fast |
//! | one account may not read the other, the server cannot, is busy, or does not answer in time | after a pause |
//! | that source cannot be read | at once, but after a pause if it was so a few times in a row |
//!
//! A pause is a minute, and twice the last one if what comes after it is no better.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::fs::names::tree::AccountId;
use crate::sync::lock;

/// The accounts of a source and of a blob.
pub(in crate::fs) type Between = (AccountId, AccountId);

const SHORTEST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Sources in a row that cannot be read, after which it is taken for a matter of the accounts.
const IN_A_ROW: u32 = 4;

/// A block that is made in less time is fast enough.
const FAST: Duration = Duration::from_secs(1);

/// The time for which the rate of what was sent is believed.
const BELIEVED: Duration = Duration::from_secs(600);

/// Fewer bytes say nothing of a rate.
const ENOUGH: u64 = 1 << 20;

#[derive(Debug, Default)]
struct Known {
    /// Nothing is asked for before.
    until: Option<Instant>,
    /// The last pause.
    pause: Duration,
    /// Sources that could not be read since a block was made.
    in_a_row: u32,
}

impl Known {
    fn may_ask(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    /// Those that were asked for at the same time are one failure.
    fn pause(&mut self, now: Instant) {
        if self.may_ask(now) {
            self.pause = (self.pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
            (self.until, self.in_a_row) = (Some(now + self.pause), 0);
        }
    }
}

/// What has come of asking.
#[derive(Debug, Default)]
pub(in crate::fs) struct Asked {
    known: Mutex<HashMap<Between, Known>>,
    /// Bytes per second of the last block that was sent to an account, and when.
    sent: Mutex<HashMap<AccountId, (f64, Instant)>>,
}

fn rate(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / took.as_secs_f64().max(f64::EPSILON)
}

impl Asked {
    pub(in crate::fs) fn may_ask(&self, between: Between, now: Instant) -> bool {
        lock(&self.known).get(&between).is_none_or(|known| known.may_ask(now))
    }

    /// A block of so many bytes was sent.
    pub(in crate::fs) fn was_sent(&self, to: AccountId, bytes: u64, took: Duration, now: Instant) {
        if bytes >= ENOUGH {
            lock(&self.sent).insert(to, (rate(bytes, took), now));
        }
    }

    /// A block of so many bytes was made. False if it was slow.
    pub(in crate::fs) fn was_made(&self, between: Between, bytes: u64, took: Duration, now: Instant) -> bool {
        let (source, to) = between;
        let sent =
            lock(&self.sent).get(&to).filter(|(_, at)| now.duration_since(*at) < BELIEVED).map(|(rate, _)| *rate);
        let is_slow = source != to && took >= FAST && sent.is_some_and(|sent| rate(bytes, took) * 2.0 < sent);
        let mut known = lock(&self.known);
        if is_slow {
            known.entry(between).or_default().pause(now);
        } else if known.get(&between).is_some_and(|known| known.may_ask(now)) {
            known.remove(&between);
        }
        !is_slow
    }

    /// It would be the same with any source.
    pub(in crate::fs) fn was_refused(&self, between: Between, now: Instant) {
        lock(&self.known).entry(between).or_default().pause(now);
    }

    /// That source cannot be read.
    pub(in crate::fs) fn was_without_source(&self, between: Between, now: Instant) {
        let mut known = lock(&self.known);
        let known = known.entry(between).or_default();
        known.in_a_row += 1;
        if known.in_a_row >= IN_A_ROW {
            known.pause(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACROSS: Between = (AccountId(0), AccountId(1));
    const WITHIN: Between = (AccountId(1), AccountId(1));
    const MIB: u64 = 1 << 20;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn pauses_double_to_an_hour_and_begin_anew_when_a_block_is_made() {
        let (asked, mut now) = (Asked::default(), Instant::now());
        let pause = |now: &mut Instant, expected: u64| {
            assert!(asked.may_ask(ACROSS, *now));
            // Many that were on their way together.
            (0..8).for_each(|_| asked.was_refused(ACROSS, *now));
            assert!(asked.was_made(ACROSS, MIB, seconds(1), *now));
            assert!(!asked.may_ask(ACROSS, *now + seconds(expected - 1)), "{expected}");
            assert!(asked.may_ask(WITHIN, *now));
            *now += seconds(expected);
        };
        for expected in [60, 120, 240, 480, 960, 1920, 3600, 3600] {
            pause(&mut now, expected);
        }
        assert!(asked.was_made(ACROSS, MIB, seconds(1), now));
        pause(&mut now, 60);
    }

    #[test]
    fn sources_that_are_not_there_count_if_there_are_several_in_a_row() {
        let (asked, now) = (Asked::default(), Instant::now());
        for _ in 0..3 {
            (0..IN_A_ROW - 1).for_each(|_| asked.was_without_source(WITHIN, now));
            assert!(asked.may_ask(WITHIN, now));
            asked.was_made(WITHIN, MIB, seconds(1), now);
        }
        (0..IN_A_ROW).for_each(|_| asked.was_without_source(WITHIN, now));
        assert!(!asked.may_ask(WITHIN, now));
    }

    #[test]
    fn between_accounts_what_is_sent_faster_is_sent() {
        let now = Instant::now();
        let made = |sent: Option<(u64, Duration)>, between, took| {
            let asked = Asked::default();
            if let Some((bytes, took)) = sent {
                asked.was_sent(AccountId(1), bytes, took, now);
            }
            let fast = asked.was_made(between, 8 * MIB, took, now);
            assert_eq!(asked.may_ask(between, now), fast);
            fast
        };
        let fast = Some((8 * MIB, seconds(1)));
        assert!(!made(fast, ACROSS, seconds(3)));
        assert!(made(fast, ACROSS, seconds(2)));
        assert!(made(fast, WITHIN, seconds(3)));
        assert!(made(None, ACROSS, seconds(100)));
        // Too little to say, or too fast to matter.
        assert!(made(Some((1000, Duration::from_micros(1))), ACROSS, seconds(3)));
        assert!(made(Some((8 * MIB, Duration::from_millis(1))), ACROSS, Duration::from_millis(900)));
    }
}
