//! Leases of blobs and containers: the state machine of §12.
//!
//! Time passes without anybody looking, so a [`Lease`] stores until when its state holds and [`Lease::at`] gives the
//! state at a given moment: a finite lease becomes `Expired`, a breaking one `Broken`. The outcome table of §12 is
//! spread over the methods below and reproduced row by row in the tests.

use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::error::{Code, ServiceError};

/// The lease of one blob or container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Lease {
    #[default]
    Available,
    Leased {
        id: Uuid,
        term: Term,
    },
    Expired {
        id: Uuid,
        term: Term,
    },
    Breaking {
        id: Uuid,
        until: SystemTime,
    },
    Broken {
        id: Uuid,
    },
}

/// The time that a lease is held without renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Term {
    Infinite,
    Finite { length: Duration, until: SystemTime },
}

impl Term {
    fn starting(seconds: Option<u64>, now: SystemTime) -> Term {
        match seconds {
            None => Term::Infinite,
            Some(seconds) => {
                let length = Duration::from_secs(seconds);
                Term::Finite { length, until: now + length }
            }
        }
    }

    fn renewed(self, now: SystemTime) -> Term {
        match self {
            Term::Infinite => Term::Infinite,
            Term::Finite { length, .. } => Term::Finite { length, until: now + length },
        }
    }
}

/// Whose lease it is: the codes for a wrong or superfluous id differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    Blob,
    Container,
}

impl Holder {
    /// Codes for an id that is not the lease's, and for one where there is no lease.
    fn refusals(self) -> (Code, Code) {
        use Code::*;
        match self {
            Holder::Blob => (LeaseIdMismatchWithBlobOperation, LeaseNotPresentWithBlobOperation),
            Holder::Container => (LeaseIdMismatchWithContainerOperation, LeaseNotPresentWithContainerOperation),
        }
    }
}

/// An order of a client about a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// `seconds` is `None` for an infinite lease.
    Acquire {
        seconds: Option<u64>,
        proposed: Option<Uuid>,
    },
    Renew {
        id: Uuid,
    },
    Change {
        id: Uuid,
        proposed: Uuid,
    },
    Release {
        id: Uuid,
    },
    Break {
        period: Option<u64>,
    },
}

impl Lease {
    /// The state at `now`.
    pub(super) fn at(self, now: SystemTime) -> Lease {
        match self {
            Lease::Leased { id, term: term @ Term::Finite { until, .. } } if until <= now => {
                Lease::Expired { id, term }
            }
            Lease::Breaking { id, until } if until <= now => Lease::Broken { id },
            other => other,
        }
    }

    /// The same, if it had begun that much earlier.
    pub(super) fn aged(self, by: Duration) -> Lease {
        match self {
            Lease::Leased { id, term: Term::Finite { length, until } } => {
                Lease::Leased { id, term: Term::Finite { length, until: until - by } }
            }
            Lease::Breaking { id, until } => Lease::Breaking { id, until: until - by },
            other => other,
        }
    }

    /// `x-ms-lease-state`.
    pub(super) fn state(self) -> &'static str {
        match self {
            Lease::Available => "available",
            Lease::Leased { .. } => "leased",
            Lease::Expired { .. } => "expired",
            Lease::Breaking { .. } => "breaking",
            Lease::Broken { .. } => "broken",
        }
    }

    /// `x-ms-lease-status`.
    pub(super) fn status(self) -> &'static str {
        match self {
            Lease::Leased { .. } | Lease::Breaking { .. } => "locked",
            _ => "unlocked",
        }
    }

    /// `x-ms-lease-duration`, only while leased.
    pub(super) fn duration(self) -> Option<&'static str> {
        match self {
            Lease::Leased { term: Term::Infinite, .. } => Some("infinite"),
            Lease::Leased { term: Term::Finite { .. }, .. } => Some("fixed"),
            _ => None,
        }
    }

    /// Whether a finite lease is held: not enough for a copy destination (X5).
    pub(super) fn is_finite(self) -> bool {
        matches!(self, Lease::Leased { term: Term::Finite { .. }, .. })
    }

    /// Whether it is held, and not for ever.
    pub(super) fn ends(self) -> bool {
        self.is_finite() || matches!(self, Lease::Breaking { .. })
    }

    /// Rows "write with A / B / none".
    pub(super) fn check_write(self, given: Option<Uuid>, holder: Holder) -> Result<(), Code> {
        match (self, given) {
            (Lease::Leased { .. } | Lease::Breaking { .. }, None) => Err(Code::LeaseIdMissing),
            (_, None) => Ok(()),
            (_, Some(_)) => self.check_read(given, holder),
        }
    }

    /// Row "read with A / B / none".
    pub(super) fn check_read(self, given: Option<Uuid>, holder: Holder) -> Result<(), Code> {
        let Some(given) = given else { return Ok(()) };
        let (mismatch, not_present) = holder.refusals();
        match self {
            Lease::Available => Err(not_present),
            Lease::Leased { id, .. } | Lease::Breaking { id, .. } if id == given => Ok(()),
            Lease::Leased { .. } | Lease::Breaking { .. } => Err(mismatch),
            Lease::Expired { id, .. } | Lease::Broken { id } if id == given => Err(Code::LeaseLost),
            Lease::Expired { .. } | Lease::Broken { .. } => Err(not_present),
        }
    }

    /// The lease after a permitted write: an expired or broken one is gone for good.
    pub(super) fn after_write(self) -> Lease {
        match self {
            Lease::Expired { .. } | Lease::Broken { .. } => Lease::Available,
            held => held,
        }
    }

    /// Applies `action` to the state at `now`. Returns the new lease, or the refusal of the table.
    pub(super) fn apply(self, action: Action, now: SystemTime) -> Result<Lease, ServiceError> {
        let state = self.at(now);
        let new = match action {
            Action::Acquire { seconds, proposed } => state.acquire(seconds, proposed, now)?,
            Action::Renew { id } => state.renew(id, now)?,
            Action::Change { id, proposed } => state.change(id, proposed)?,
            Action::Release { id } => state.release(id)?,
            Action::Break { period } => state.break_after(period, now)?,
        };
        Ok(new.at(now))
    }

    fn acquire(self, seconds: Option<u64>, proposed: Option<Uuid>, now: SystemTime) -> Result<Lease, Code> {
        match self {
            Lease::Leased { id, .. } if Some(id) != proposed => Err(Code::LeaseAlreadyPresent),
            Lease::Breaking { id, .. } if Some(id) == proposed => Err(Code::LeaseIsBreakingAndCannotBeAcquired),
            Lease::Breaking { .. } => Err(Code::LeaseAlreadyPresent),
            _ => {
                let id = proposed.unwrap_or_else(Uuid::new_v4);
                Ok(Lease::Leased { id, term: Term::starting(seconds, now) })
            }
        }
    }

    fn renew(self, given: Uuid, now: SystemTime) -> Result<Lease, Code> {
        match self {
            Lease::Leased { id, term } | Lease::Expired { id, term } if id == given => {
                Ok(Lease::Leased { id, term: term.renewed(now) })
            }
            Lease::Broken { id } | Lease::Breaking { id, .. } if id == given => {
                Err(Code::LeaseIsBrokenAndCannotBeRenewed)
            }
            _ => Err(Code::LeaseIdMismatchWithLeaseOperation),
        }
    }

    /// Repeating a change that has happened is no error: the id is the proposed one already.
    fn change(self, given: Uuid, proposed: Uuid) -> Result<Lease, Code> {
        match self {
            Lease::Leased { id, term } if id == given || id == proposed => Ok(Lease::Leased { id: proposed, term }),
            Lease::Leased { .. } => Err(Code::LeaseIdMismatchWithLeaseOperation),
            Lease::Breaking { id, .. } if id == given => Err(Code::LeaseIsBreakingAndCannotBeChanged),
            Lease::Breaking { .. } => Err(Code::LeaseIdMismatchWithLeaseOperation),
            Lease::Available | Lease::Expired { .. } | Lease::Broken { .. } => {
                Err(Code::LeaseNotPresentWithLeaseOperation)
            }
        }
    }

    fn release(self, given: Uuid) -> Result<Lease, Code> {
        match self {
            Lease::Leased { id, .. }
            | Lease::Breaking { id, .. }
            | Lease::Broken { id }
            | Lease::Expired { id, .. }
                if id == given =>
            {
                Ok(Lease::Available)
            }
            _ => Err(Code::LeaseIdMismatchWithLeaseOperation),
        }
    }

    /// A period never prolongs what is left; without one an infinite lease ends at once and a finite one in its time.
    fn break_after(self, period: Option<u64>, now: SystemTime) -> Result<Lease, Code> {
        let asked = period.map(|seconds| now + Duration::from_secs(seconds));
        match self {
            Lease::Available => Err(Code::LeaseNotPresentWithLeaseOperation),
            Lease::Leased { id, term: Term::Infinite } => Ok(Lease::Breaking { id, until: asked.unwrap_or(now) }),
            Lease::Leased { id, term: Term::Finite { until, .. } } | Lease::Breaking { id, until } => {
                Ok(Lease::Breaking { id, until: asked.map_or(until, |asked| asked.min(until)) })
            }
            Lease::Broken { id } | Lease::Expired { id, .. } => Ok(Lease::Broken { id }),
        }
    }

    /// Seconds until a breaking lease is broken, rounded up: `x-ms-lease-time`.
    pub(super) fn seconds_left(self, now: SystemTime) -> u64 {
        match self {
            Lease::Breaking { until, .. } => {
                let left = until.duration_since(now).unwrap_or_default();
                left.as_secs() + u64::from(left.subsec_nanos() > 0)
            }
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(0xA);
    const B: Uuid = Uuid::from_u128(0xB);

    /// The five columns of the table of §12, in its order.
    fn columns(now: SystemTime) -> [Lease; 5] {
        let infinite = Term::Infinite;
        [
            Lease::Available,
            Lease::Leased { id: A, term: infinite },
            Lease::Breaking { id: A, until: now + Duration::from_secs(9) },
            Lease::Broken { id: A },
            Lease::Expired { id: A, term: Term::starting(Some(15), now - Duration::from_secs(60)) },
        ]
    }

    fn outcomes(test: impl Fn(Lease) -> Option<&'static str>) -> [&'static str; 5] {
        columns(SystemTime::now()).map(|lease| test(lease).unwrap_or("refused"))
    }

    #[test]
    fn writes() {
        let write = |given| outcomes(|lease| lease.check_write(given, Holder::Blob).ok().map(|()| "ok"));
        assert_eq!(write(Some(A)), ["refused", "ok", "ok", "refused", "refused"]);
        assert_eq!(write(Some(B)), ["refused"; 5]);
        assert_eq!(write(None), ["ok", "refused", "refused", "ok", "ok"]);
        assert_eq!(
            columns(SystemTime::now()).map(|lease| lease.after_write().state()),
            ["available", "leased", "breaking", "available", "available"]
        );
    }

    #[test]
    fn reads() {
        let read = |given| outcomes(|lease| lease.check_read(given, Holder::Blob).ok().map(|()| "ok"));
        assert_eq!(read(Some(A)), ["refused", "ok", "ok", "refused", "refused"]);
        assert_eq!(read(Some(B)), ["refused"; 5]);
        assert_eq!(read(None), ["ok"; 5]);
    }

    #[test]
    fn actions() {
        let apply = |action| outcomes(|lease| lease.apply(action, SystemTime::now()).ok().map(Lease::state));
        let acquire = |proposed| apply(Action::Acquire { seconds: Some(15), proposed });
        assert_eq!(acquire(None), ["leased", "refused", "refused", "leased", "leased"]);
        assert_eq!(acquire(Some(B)), ["leased", "refused", "refused", "leased", "leased"]);
        assert_eq!(acquire(Some(A)), ["leased", "leased", "refused", "leased", "leased"]);
        assert_eq!(apply(Action::Break { period: None }), ["refused", "broken", "breaking", "broken", "broken"]);
        assert_eq!(apply(Action::Break { period: Some(5) }), ["refused", "breaking", "breaking", "broken", "broken"]);
        let change = Action::Change { id: A, proposed: B };
        assert_eq!(apply(change), ["refused", "leased", "refused", "refused", "refused"]);
        assert_eq!(apply(Action::Renew { id: A }), ["refused", "leased", "refused", "refused", "leased"]);
        assert_eq!(apply(Action::Release { id: A }), ["refused", "available", "available", "available", "available"]);
        assert_eq!(apply(Action::Release { id: B }), ["refused"; 5]);
    }

    #[test]
    fn time_passes() {
        let now = SystemTime::now();
        let lease = Lease::Available.apply(Action::Acquire { seconds: Some(15), proposed: Some(A) }, now).unwrap();
        assert_eq!((lease.state(), lease.duration()), ("leased", Some("fixed")));
        assert_eq!(lease.at(now + Duration::from_secs(16)).state(), "expired");
        let breaking = lease.apply(Action::Break { period: Some(60) }, now + Duration::from_secs(5)).unwrap();
        assert_eq!(breaking.seconds_left(now + Duration::from_secs(5)), 10);
        assert_eq!(breaking.at(now + Duration::from_secs(16)).state(), "broken");
    }
}
