//! The life of a credential that ends: when it is time for another.

use std::time::{Duration, SystemTime};

/// It is renewed that long before it is over.
const RENEWED_BEFORE: Duration = Duration::from_secs(300);
/// What ends within this time is not begun with: it has to last until the service has looked at it.
const LAST_USE: Duration = Duration::from_secs(5);

/// From when to when a credential is good, as far as it is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    pub since: SystemTime,
    pub until: SystemTime,
}

/// State of a credential at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LifeState {
    Valid,
    /// Valid, and it is time for another.
    RenewalDue,
    Expired,
}

impl Life {
    pub(super) fn state(&self, now: SystemTime) -> LifeState {
        let left = self.until.duration_since(now).unwrap_or_default();
        let life = self.until.duration_since(self.since).unwrap_or_default();
        match left {
            left if left <= LAST_USE => LifeState::Expired,
            // One that never lasts long is not renewed all the time.
            left if left <= RENEWED_BEFORE.min(life / 4) => LifeState::RenewalDue,
            _ => LifeState::Valid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    // An hour, as most are.
    #[case(3600, 0, LifeState::Valid)]
    #[case(3600, 3299, LifeState::Valid)]
    #[case(3600, 3300, LifeState::RenewalDue)]
    #[case(3600, 3594, LifeState::RenewalDue)]
    #[case(3600, 3595, LifeState::Expired)]
    #[case(3600, 9999, LifeState::Expired)]
    // One that never lasts as long as others are renewed early.
    #[case(60, 44, LifeState::Valid)]
    #[case(60, 45, LifeState::RenewalDue)]
    #[case(0, 0, LifeState::Expired)]
    fn a_credential_is_renewed_in_time(#[case] life: u64, #[case] age: u64, #[case] expected: LifeState) {
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30);
        let life = Life { since, until: since + Duration::from_secs(life) };
        assert_eq!(life.state(since + Duration::from_secs(age)), expected);
    }
}
