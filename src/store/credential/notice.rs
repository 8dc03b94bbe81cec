//! Warnings of a credential that ends.

use std::time::{Duration, SystemTime};

/// How near the end of a credential is; later ones are nearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nearing {
    /// It ends within an hour: somebody can still fetch another without haste.
    Hour,
    /// It ends within five minutes. One that is renewed by itself has not been.
    Minutes,
    /// It is over.
    Over,
}

const AN_HOUR: Duration = Duration::from_secs(3600);
const FIVE_MINUTES: Duration = Duration::from_secs(300);

impl Nearing {
    /// Of a credential that ends then; `None` if that is far off. Of one that `renews` itself nothing is said before it
    /// should have done so.
    pub(super) fn at(until: SystemTime, now: SystemTime, renews: bool) -> Option<Self> {
        match until.duration_since(now) {
            Err(_) => Some(Self::Over),
            Ok(left) if left.is_zero() => Some(Self::Over),
            Ok(left) if left < FIVE_MINUTES || left == FIVE_MINUTES && !renews => Some(Self::Minutes),
            Ok(left) if left <= AN_HOUR && !renews => Some(Self::Hour),
            Ok(_) => None,
        }
    }
}

/// `59 min`, `40 s`.
pub(super) fn left(until: SystemTime, now: SystemTime) -> String {
    match until.duration_since(now).unwrap_or_default().as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(3601, false, None)]
    #[case(3600, false, Some(Nearing::Hour))]
    #[case(301, false, Some(Nearing::Hour))]
    #[case(300, false, Some(Nearing::Minutes))]
    #[case(1, false, Some(Nearing::Minutes))]
    #[case(0, false, Some(Nearing::Over))]
    #[case(3600, true, None)]
    #[case(300, true, None)]
    #[case(299, true, Some(Nearing::Minutes))]
    #[case(0, true, Some(Nearing::Over))]
    fn it_is_said_an_hour_and_five_minutes_before(
        #[case] seconds: u64,
        #[case] renews: bool,
        #[case] expected: Option<Nearing>,
    ) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30);
        assert_eq!(Nearing::at(now + Duration::from_secs(seconds), now, renews), expected);
        assert_eq!(Nearing::at(now - Duration::from_secs(1), now, renews), Some(Nearing::Over));
    }

    #[test]
    fn what_is_left_is_said_in_minutes_or_seconds() {
        let now = SystemTime::UNIX_EPOCH;
        let shown = |seconds| left(now + Duration::from_secs(seconds), now);
        assert_eq!([shown(3599), shown(120), shown(119), shown(0)], ["59 min", "2 min", "119 s", "0 s"]);
    }
}
