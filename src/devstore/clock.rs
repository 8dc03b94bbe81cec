//! Time as the wire shows it.
//!
//! The service speaks three forms: RFC 1123 in headers and listings (left to `httpdate`), ISO 8601 with seven
//! fractional digits for snapshot ids and error bodies, and a looser ISO 8601 in shared access signatures. The last two
//! are needed in UTC only, which is a page of calendar arithmetic and no reason for a date library.
//!
//! [`Ticks`] hands out strictly increasing 100 ns stamps: ETags and snapshot ids come from it, so two writes within one
//! tick of the clock still differ.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const TICKS_PER_SECOND: u64 = 10_000_000;

/// A source of strictly increasing 100 ns time stamps.
#[derive(Debug, Default)]
pub(super) struct Ticks(u64);

impl Ticks {
    /// The current time in 100 ns units since 1970, or one more than the last answer if the clock has not moved.
    pub(super) fn next(&mut self) -> u64 {
        let now = since_epoch(SystemTime::now());
        let now = now.as_secs() * TICKS_PER_SECOND + u64::from(now.subsec_nanos()) / 100;
        self.0 = now.max(self.0 + 1);
        self.0
    }
}

/// `2026-11-22T10:26:38.5720000Z`: the form of snapshot ids (§2).
pub(super) fn iso_from_ticks(ticks: u64) -> String {
    let seconds = ticks / TICKS_PER_SECOND;
    let (year, month, day) = civil_from_days((seconds / 86_400) as i64);
    let of_day = seconds % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:07}Z",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60,
        ticks % TICKS_PER_SECOND
    )
}

/// The same form for a point in time.
pub(super) fn iso(time: SystemTime) -> String {
    let since = since_epoch(time);
    iso_from_ticks(since.as_secs() * TICKS_PER_SECOND + u64::from(since.subsec_nanos()) / 100)
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
    let date: Vec<u64> = numbers(date, '-')?;
    let time = time.strip_suffix('Z')?;
    let time = time.split_once('.').map_or(time, |(whole, _)| whole);
    let time: Vec<u64> = numbers(time, ':')?;
    let (&[year, month, day], &[hour, minute, ref second @ ..]) = (&date[..], &time[..]) else {
        return None;
    };
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_from_civil(year as i64, month as i64, day as i64) as u64;
    let second = second.first().copied().unwrap_or(0);
    Some(UNIX_EPOCH + Duration::from_secs(days * 86_400 + hour * 3600 + minute * 60 + second))
}

fn numbers(text: &str, separator: char) -> Option<Vec<u64>> {
    text.split(separator).map(|part| part.parse().ok()).collect()
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Days since 1970-01-01 to a date of the proleptic Gregorian calendar. Years are counted from March, so that the leap
/// day is the last of its year and month lengths follow the straight line `(153 m + 2) / 5`.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
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
    fn ticks_never_repeat() {
        let mut ticks = Ticks::default();
        let stamps: Vec<u64> = (0..1000).map(|_| ticks.next()).collect();
        assert!(stamps.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
