//! Retries: what a failed try means and when the next one is due (§4.4). Nothing here sends anything.
//!
//! The question that decides most is whether the request may have taken effect. A connection that was never made did
//! nothing, and neither did a throttled request; a connection that broke, a time-out or a 500 leave it open. Reads and
//! whole overwrites are simply sent again. The operations for which a second time is not the same as the first ask
//! [`Failure::may_have_happened`] and look at the service before they decide ([`crate::store::resolve`]).
//!
//! All tries of a request and the pauses between them have one [`Deadline`]: a pause that would pass it is not begun,
//! and the last failure is told at once. A service that cannot be reached at all is tried for [`PATIENCE`] only. What
//! brings content to be stored waits longer, up to the deadline, so that a short outage costs no write.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use tokio::time::Instant;

use crate::error::{Error, ServiceError};
use crate::store::breaker::Away;
use crate::store::connections::Broken;
use crate::store::deadline::Deadline;
use crate::store::http::Options;

/// Failure of one try.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// No connection: the request was never sent.
    Unsent { detail: String, timed_out: bool },
    /// Not sent, because the service answers nobody ([`crate::store::breaker`]).
    Kept(Away),
    /// Sent, and no whole answer came.
    Lost { detail: String, timed_out: bool },
    /// An answer came, and it is none to what was asked: it was damaged on its way, or the server is not what it is
    /// taken for.
    Untrue { detail: String },
    /// No try can succeed: the request cannot be put into HTTP, or the server's certificate is not trusted.
    Invalid(Error),
    /// The service refused.
    Refused { error: Box<ServiceError>, retry_after: Option<Duration> },
}

impl From<Broken> for Failure {
    fn from(Broken { detail, timed_out, unsent }: Broken) -> Self {
        match unsent {
            true => Self::Unsent { detail, timed_out },
            false => Self::Lost { detail, timed_out },
        }
    }
}

impl From<Away> for Failure {
    fn from(away: Away) -> Self {
        Self::Kept(away)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The same request would fail again.
    Final,
    /// Later, it may succeed.
    Transient,
    /// A body arrived damaged, here or there. Twice is bad luck, more is a broken sender.
    Damaged,
}

/// The tries of one request.
#[derive(Debug)]
pub(super) struct Tries {
    options: Options,
    made: u32,
    damaged: u32,
    pub(super) deadline: Deadline,
    /// Content is to be stored.
    storing: bool,
    /// Who asks can do without: a connection that was broken at once is all that is worth another try.
    hasty: bool,
    /// Until then a service that cannot be reached is tried again.
    patience: Instant,
}

/// Most repetitions after a damaged body.
const MAX_DAMAGED: u32 = 2;

/// Time for which a service that cannot be reached is tried again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Longest pause before what is to be stored is tried again at a service that cannot be reached.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Failure {
    /// True if the request may have taken effect although no good answer came.
    pub(super) fn may_have_happened(&self) -> bool {
        match self {
            Self::Unsent { .. } | Self::Kept(_) | Self::Invalid(_) => false,
            Self::Lost { .. } | Self::Untrue { .. } => true,
            // Throttling happens before execution.
            Self::Refused { error, .. } => {
                matches!(error.status, 408 | 500..=599) && !matches!(error.status, 501 | 503 | 505)
            }
        }
    }

    pub(super) fn class(&self) -> Class {
        let error = match self {
            Self::Unsent { .. } | Self::Lost { .. } => return Class::Transient,
            Self::Untrue { .. } => return Class::Damaged,
            // The breaker tries again, and whoever can wait has waited.
            Self::Kept(_) | Self::Invalid(_) => return Class::Final,
            Self::Refused { error, .. } => error,
        };
        let source_trouble = error
            .copy_source
            .as_ref()
            .is_some_and(|(_, code)| ["OperationTimedOut", "InternalError", "ServerBusy"].contains(&code.as_str()));
        match (error.status, error.code.as_str()) {
            (_, "FeatureNotSupported") | (501 | 505, _) => Class::Final,
            (408 | 429 | 500..=599, _) => Class::Transient,
            (400, "Md5Mismatch" | "Crc64Mismatch") => Class::Damaged,
            (400..=499, _) if source_trouble => Class::Transient,
            _ => Class::Final,
        }
    }

    /// One line for the log: the reason of a repetition.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Unsent { detail, .. } | Self::Lost { detail, .. } | Self::Kept(Away { detail, .. }) => detail.clone(),
            Self::Untrue { detail } => format!("the answer cannot be true: {detail}"),
            Self::Invalid(error) => error.to_string(),
            Self::Refused { error, .. } => error.to_string(),
        }
    }

    pub(super) fn into_error(self, operation: &'static str, target: &str) -> Error {
        match self {
            Self::Unsent { detail, timed_out }
            | Self::Lost { detail, timed_out }
            | Self::Kept(Away { detail, timed_out }) => {
                Error::Transport { operation, target: target.to_owned(), detail, timed_out }
            }
            Self::Untrue { .. } => {
                let detail = self.reason();
                Error::Transport { operation, target: target.to_owned(), detail, timed_out: false }
            }
            Self::Invalid(error) => error,
            Self::Refused { error, .. } => Error::Service(error),
        }
    }
}

impl Tries {
    /// The number of tries and the delays between them are those of `options`. `storing`: content is to be stored.
    pub(super) fn new(options: &Options, deadline: Deadline, storing: bool) -> Self {
        let patience = Instant::now() + PATIENCE;
        Self { options: options.clone(), made: 0, damaged: 0, deadline, storing, hasty: false, patience }
    }

    /// The same, for who can do without an answer, if so: one try, and a second if the connection was broken.
    pub(super) fn hasty(self, hasty: bool) -> Self {
        Self { hasty, ..self }
    }

    /// Until when a request waits for a service that answers nobody; `None` if it does not.
    pub(super) fn waits_until(&self) -> Option<Instant> {
        self.storing.then(|| self.deadline.ends())
    }

    /// Time, beyond that of the tries, for a look at what became of them.
    pub(super) fn time_to_look(&self) -> Duration {
        self.options.timeout / 4
    }

    /// Number of tries that have failed.
    pub(super) fn made(&self) -> u32 {
        self.made
    }

    /// Counts a failed try. The delay before the next one, or `None` when there is none.
    pub(super) fn after(&mut self, failure: &Failure) -> Option<Duration> {
        self.made += 1;
        let class = failure.class();
        self.damaged += u32::from(class == Class::Damaged);
        let unreachable = matches!(failure, Failure::Unsent { timed_out: false, .. });
        let enough = self.made >= self.options.tries && !(unreachable && self.storing);
        if class == Class::Final || enough || self.damaged > MAX_DAMAGED {
            return None;
        }
        let broken =
            matches!(failure, Failure::Unsent { timed_out: false, .. } | Failure::Lost { timed_out: false, .. });
        if self.hasty && (self.made > 1 || !broken) {
            return None;
        }
        let backoff = || backoff(&self.options, self.made, rand::random_range(0.8..=1.2));
        let delay = match failure {
            Failure::Refused { retry_after: Some(asked), .. } => (*asked).min(self.options.max_delay),
            // Most often a kept connection that the other side had just closed: a fresh one will do.
            Failure::Lost { timed_out: false, .. } | Failure::Untrue { .. } if self.made == 1 => Duration::ZERO,
            // It costs nobody anything, and there is not much time.
            Failure::Unsent { timed_out: false, .. } => (backoff() / 4).min(LONGEST_PAUSE),
            _ => backoff(),
        };
        let ends = self.deadline.ends();
        let ends = if unreachable && !self.storing { ends.min(self.patience) } else { ends };
        (Instant::now() + delay < ends).then_some(delay)
    }
}

/// The delay after `made` tries; `jitter` is a factor around 1 that keeps clients from coming back in step.
fn backoff(options: &Options, made: u32, jitter: f64) -> Duration {
    let doubled = options.first_delay.saturating_mul(2_u32.saturating_pow(made.saturating_sub(1)));
    doubled.min(options.max_delay).mul_f64(jitter).min(options.max_delay)
}

/// Delay that the service asks for: `Retry-After` in seconds or as a date, or the finer headers in milliseconds.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    for name in ["x-ms-retry-after-ms", "retry-after-ms"] {
        if let Some(ms) = text(name).and_then(|value| value.parse().ok()) {
            return Some(Duration::from_millis(ms));
        }
    }
    let value = text(RETRY_AFTER.as_str())?;
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(value).ok().map(|at| at.duration_since(now).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::deadline::Bound;
    use rstest::rstest;

    fn refused(status: u16, code: &str, source: Option<&str>) -> Failure {
        let error = ServiceError {
            operation: "CopyBlob",
            target: "acct/c/b".into(),
            status,
            code: code.into(),
            message: String::new(),
            detail: String::new(),
            request_id: String::new(),
            copy_source: source.map(|code| (status, code.to_owned())),
        };
        Failure::Refused { error: Box::new(error), retry_after: None }
    }

    fn of(bound: Bound) -> Tries {
        let options = Options { timeout: Duration::from_secs(600), ..Options::default() };
        Tries::new(&options, Deadline::new(options.timeout, bound, 0), bound == Bound::Stored)
    }

    fn fresh() -> Tries {
        of(Bound::Metadata)
    }

    #[test]
    fn who_can_do_without_tries_again_only_where_the_connection_was_broken() {
        let again = |failure| fresh().hasty(true).after(&failure);
        assert_eq!(again(lost(false)), Some(Duration::ZERO));
        assert!(again(unreachable()).is_some());
        for failure in [lost(true), refused(503, "ServerBusy", None), refused(500, "InternalError", None)] {
            assert!(fresh().after(&failure).is_some());
            assert_eq!(again(failure), None);
        }
        let mut tries = fresh().hasty(true);
        assert!(tries.after(&lost(false)).is_some());
        assert_eq!(tries.after(&lost(false)), None);
    }

    fn unreachable() -> Failure {
        Failure::Unsent { detail: "refused".into(), timed_out: false }
    }

    fn lost(timed_out: bool) -> Failure {
        Failure::Lost { detail: "reset".into(), timed_out }
    }

    /// §4.4: status, code, code of the copy source; class; may the request have taken effect.
    #[rstest]
    #[case(408, "", None, Class::Transient, true)]
    #[case(429, "", None, Class::Transient, false)]
    #[case(500, "InternalError", None, Class::Transient, true)]
    #[case(500, "OperationTimedOut", None, Class::Transient, true)]
    #[case(500, "FeatureNotSupported", None, Class::Final, true)]
    #[case(501, "APINotImplemented", None, Class::Final, false)]
    #[case(502, "", None, Class::Transient, true)]
    #[case(503, "ServerBusy", None, Class::Transient, false)]
    #[case(504, "", None, Class::Transient, true)]
    #[case(505, "", None, Class::Final, false)]
    #[case(507, "", None, Class::Transient, true)]
    #[case(400, "Md5Mismatch", None, Class::Damaged, false)]
    #[case(400, "Crc64Mismatch", None, Class::Damaged, false)]
    #[case(400, "InvalidHeaderValue", None, Class::Final, false)]
    #[case(403, "CannotVerifyCopySource", Some("ServerBusy"), Class::Transient, false)]
    #[case(400, "CannotVerifyCopySource", Some("InternalError"), Class::Transient, false)]
    #[case(409, "CannotVerifyCopySource", Some("OperationTimedOut"), Class::Transient, false)]
    #[case(404, "CannotVerifyCopySource", Some("BlobNotFound"), Class::Final, false)]
    #[case(404, "BlobNotFound", None, Class::Final, false)]
    #[case(409, "PendingCopyOperation", None, Class::Final, false)]
    #[case(412, "ConditionNotMet", None, Class::Final, false)]
    #[case(304, "ConditionNotMet", None, Class::Final, false)]
    fn classes(
        #[case] status: u16,
        #[case] code: &str,
        #[case] source: Option<&str>,
        #[case] class: Class,
        #[case] may_have_happened: bool,
    ) {
        let failure = refused(status, code, source);
        assert_eq!((failure.class(), failure.may_have_happened()), (class, may_have_happened));
    }

    #[test]
    fn broken_connections_are_transient() {
        assert_eq!(lost(false).class(), Class::Transient);
        assert!(lost(true).may_have_happened());
        assert_eq!(unreachable().class(), Class::Transient);
        assert!(!unreachable().may_have_happened());
    }

    #[test]
    fn what_the_breaker_kept_was_not_sent_and_is_told_at_once() {
        for (timed_out, errno) in [(true, libc::ETIMEDOUT), (false, libc::EIO)] {
            let kept = Failure::from(Away { detail: "away".into(), timed_out });
            assert!(!kept.may_have_happened());
            assert_eq!(of(Bound::Stored).after(&kept), None);
            assert_eq!(kept.into_error("PutBlob", "acct/c/b").errno(), errno);
        }
    }

    /// Fails as `failure` says until there is no other try: number of tries, and time.
    async fn all_tries(mut tries: Tries, failure: &Failure) -> (u32, Duration) {
        let began = Instant::now();
        while let Some(delay) = tries.after(failure) {
            tokio::time::sleep(delay).await;
        }
        (tries.made(), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_be_reached_is_tried_for_a_second_or_for_as_long_as_content_may_wait() {
        let (made, took) = all_tries(of(Bound::Metadata), &unreachable()).await;
        assert!((3..=4).contains(&made) && took < PATIENCE, "{made} in {took:?}");
        let (made, took) = all_tries(of(Bound::Stored), &unreachable()).await;
        let seconds = took.as_secs_f32();
        assert!(made > 250 && (298.5..300.0).contains(&seconds), "{made} in {took:?}");
        // As long as it goes on being throttled.
        let (made, took) = all_tries(of(Bound::Stored), &refused(503, "ServerBusy", None)).await;
        assert!(made == 5 && took > Duration::from_secs(9), "{made} in {took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_would_pass_the_deadline_is_not_begun() {
        let Failure::Refused { error, .. } = refused(503, "ServerBusy", None) else { unreachable!() };
        let options =
            Options { timeout: Duration::from_secs(60), max_delay: Duration::from_secs(600), ..Options::default() };
        for (asked, paused) in [(59, true), (60, false), (600, false)] {
            let mut tries = Tries::new(&options, Deadline::new(options.timeout, Bound::Metadata, 0), false);
            let asked = Duration::from_secs(asked);
            let failure = Failure::Refused { error: error.clone(), retry_after: Some(asked) };
            assert_eq!(tries.after(&failure), paused.then_some(asked));
        }
    }

    #[test]
    fn delays_double_within_the_jitter_and_stay_below_the_bound() {
        for (made, expected) in [(1, 800), (2, 1_600), (3, 3_200), (4, 6_400), (7, 51_200), (8, 60_000), (40, 60_000)] {
            assert_eq!(backoff(&Options::default(), made, 1.0), Duration::from_millis(expected), "{made}");
        }
        assert_eq!(backoff(&Options::default(), 1, 0.8), Duration::from_millis(640));
        assert_eq!(backoff(&Options::default(), 1, 1.2), Duration::from_millis(960));
        assert_eq!(backoff(&Options::default(), 40, 1.2), Duration::from_secs(60));
    }

    #[test]
    fn tries_are_counted() {
        let mut tries = fresh();
        for _ in 0..4 {
            assert!(tries.after(&refused(503, "ServerBusy", None)).is_some());
        }
        assert_eq!(tries.after(&refused(503, "ServerBusy", None)), None);
        assert_eq!(tries.made(), 5);
        assert_eq!(fresh().after(&refused(404, "BlobNotFound", None)), None);
    }

    #[test]
    fn a_damaged_body_is_sent_again_twice() {
        let mut tries = fresh();
        let damaged = refused(400, "Md5Mismatch", None);
        assert!(tries.after(&damaged).is_some());
        assert!(tries.after(&damaged).is_some());
        assert_eq!(tries.after(&damaged), None);
    }

    #[test]
    fn what_cannot_be_true_is_asked_for_again_twice() {
        let mut tries = fresh();
        let untrue = || Failure::Untrue { detail: "another range".into() };
        assert_eq!(tries.after(&untrue()), Some(Duration::ZERO));
        assert!(tries.after(&untrue()) > Some(Duration::from_secs(1)));
        assert_eq!(tries.after(&untrue()), None);
        assert!(untrue().may_have_happened());
        assert_eq!(untrue().into_error("GetBlob", "acct/c/b").errno(), libc::EIO);
    }

    #[test]
    fn only_the_first_reset_is_retried_at_once() {
        let mut tries = fresh();
        assert_eq!(tries.after(&lost(false)), Some(Duration::ZERO));
        assert!(tries.after(&lost(false)) > Some(Duration::from_secs(1)));
        assert!(fresh().after(&lost(true)) > Some(Duration::from_millis(600)));
    }

    #[rstest]
    #[case("retry-after", "7", Some(7_000))]
    #[case("retry-after", "Mon, 01 Jan 2024 00:00:30 GMT", Some(30_000))]
    #[case("retry-after", "Sun, 31 Dec 2023 00:00:00 GMT", Some(0))]
    #[case("retry-after-ms", "250", Some(250))]
    #[case("x-ms-retry-after-ms", "250", Some(250))]
    #[case("retry-after", "soon", None)]
    #[case("date", "7", None)]
    fn the_service_says_when(#[case] name: &'static str, #[case] value: &str, #[case] ms: Option<u64>) {
        let headers = HeaderMap::from_iter([(reqwest::header::HeaderName::from_static(name), value.parse().unwrap())]);
        let now = httpdate::parse_http_date("Mon, 01 Jan 2024 00:00:00 GMT").unwrap();
        assert_eq!(retry_after(&headers, now), ms.map(Duration::from_millis));
    }

    #[test]
    fn what_the_service_asks_for_is_honoured_up_to_the_bound() {
        let asked = |seconds| {
            let Failure::Refused { error, .. } = refused(503, "ServerBusy", None) else { unreachable!() };
            let failure = Failure::Refused { error, retry_after: Some(Duration::from_secs(seconds)) };
            fresh().after(&failure)
        };
        assert_eq!(asked(0), Some(Duration::ZERO));
        assert_eq!(asked(7), Some(Duration::from_secs(7)));
        assert_eq!(asked(3_600), Some(Duration::from_secs(60)));
    }
}
