//! Time as the wire shows it.
//!
//! The service speaks three forms: RFC 1123 in headers and listings (left to `httpdate`), ISO 8601 with seven
//! fractional digits for snapshot ids and error bodies, and a looser ISO 8601 in shared access signatures. The last two
//! are needed in UTC only; the calendar behind them is `jiff`'s.
//!
//! [`Ticks`] hands out strictly increasing 100 ns stamps: ETags and snapshot ids come from it, so two writes within one
//! tick of the clock still differ. The times of blobs are those of a [`Clock`], which tests move.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

/// The server's clock: the real one, and what tests have put it ahead, in nanoseconds. Headers tell times in seconds, so
/// that only who lets seconds pass sees whether a time stays.
#[derive(Debug, Clone, Default)]
pub(super) struct Clock(Arc<AtomicU64>);

impl Clock {
    pub(super) fn now(&self) -> SystemTime {
        SystemTime::now() + Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    /// Puts it ahead. More than some centuries are no more than those.
    pub(super) fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX / 2), Ordering::Relaxed);
    }
}

/// A source of strictly increasing 100 ns time stamps.
#[derive(Debug, Default)]
pub(super) struct Ticks(u64);

impl Ticks {
    /// The current time in 100 ns units since 1970, or one more than the last answer if the clock has not moved.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = ticks_of(SystemTime::now()).max(self.0 + 1);
        self.0
    }
}

/// `2026-11-22T10:26:38.5720000Z`: the form of snapshot ids (§2).
pub(super) fn iso_from_ticks(ticks: u64) -> String {
    // No clock of today is beyond what jiff can count, the year 9999.
    let stamp = Timestamp::from_nanosecond(i128::from(ticks) * 100).unwrap_or(Timestamp::MAX);
    format!("{stamp:.7}")
}

/// The same form for a point in time.
pub(super) fn iso(time: SystemTime) -> String {
    iso_from_ticks(ticks_of(time))
}

fn ticks_of(time: SystemTime) -> u64 {
    (since_epoch(time).as_nanos() / 100) as u64
}

/// `Mon, 01 Jan 2024 00:00:00 GMT`.
pub(super) fn rfc1123(time: SystemTime) -> String {
    httpdate::fmt_http_date(time)
}

/// Drops the part of a second that RFC 1123 cannot show, so that a client that sends a date back compares equal.
pub(super) fn whole_seconds(time: SystemTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(since_epoch(time).as_secs())
}

/// Reads a SAS time: `YYYY-MM-DD`, `YYYY-MM-DDThh:mmZ` or `YYYY-MM-DDThh:mm:ss[.fffffff]Z` (§2).
pub(super) fn parse_iso(text: &str) -> Option<SystemTime> {
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00Z"));
    let date: Date = date.parse().ok()?;
    let time: Time = time.strip_suffix('Z')?.parse().ok()?;
    let stamp = TimeZone::UTC.to_timestamp(date.to_datetime(time)).ok()?;
    Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(stamp.as_second()).ok()?))
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_and_rfc1123_agree() {
        for (text, http) in [
            ("2024-02-29T23:59:59.0000000Z", "Thu, 29 Feb 2024 23:59:59 GMT"),
            ("1970-01-01T00:00:00.0000000Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("2100-03-01T12:00:00.0000000Z", "Mon, 01 Mar 2100 12:00:00 GMT"),
        ] {
            let time = httpdate::parse_http_date(http).unwrap();
            assert_eq!(iso(time), text);
            assert_eq!(parse_iso(text), Some(time));
        }
    }

    #[test]
    fn sas_times_may_be_short() {
        let midnight = parse_iso("2030-01-01").unwrap();
        assert_eq!(parse_iso("2030-01-01T00:00Z"), Some(midnight));
        assert_eq!(parse_iso("2030-01-01T00:01:00Z"), Some(midnight + Duration::from_secs(60)));
        assert_eq!(parse_iso("tomorrow"), None);
        assert_eq!(parse_iso("2030-13-01"), None);
    }

    #[test]
    fn a_clock_goes_on_from_where_it_was_put() {
        let clock = Clock::default();
        let other = clock.clone();
        other.advance(Duration::from_secs(3600));
        assert!(clock.now() >= SystemTime::now() + Duration::from_secs(3599));
    }

    #[test]
    fn ticks_never_repeat() {
        let mut ticks = Ticks::default();
        let stamps: Vec<u64> = (0..1000).map(|_| ticks.next()).collect();
        assert!(stamps.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
