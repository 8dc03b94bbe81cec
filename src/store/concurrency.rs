//! Concurrency limit: how many requests at once an account bears.
//!
//! Work on many blobs asks for a [`Permit`] before each of them. At first permits are given to everybody who asks: how
//! many copies are wanted at once is the asker's to say. When the service answers that it is busy (503, 429), as many
//! as half of those that were under way are let through from then on, and with every one that succeeds a little more:
//! the well-known way in which many clients come to share what there is, without being told how much that is.
//!
//! This is beside the repetitions of the single request, which wait and come again (`retry`): they hold their permit
//! meanwhile.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::sync::{MutexGuard, lock};

/// Limit while nothing was ever refused, which needs no bound, but a number: beyond this, an account's own limits are
/// near.
const CEILING: f64 = 1024.0;
/// Time without a refusal after which nothing is known any more: the service may bear later what it once could not.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// Requests that were under way together are refused together: they are one sign, not many.
const ONE_SIGN: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct ConcurrencyLimit {
    state: Mutex<State>,
    given_back: Notify,
}

#[derive(Debug)]
struct State {
    /// Permits that may be out at once.
    limit: f64,
    out: usize,
    last_cut: Option<Instant>,
}

impl Default for ConcurrencyLimit {
    fn default() -> Self {
        Self { state: Mutex::new(State { limit: CEILING, out: 0, last_cut: None }), given_back: Notify::new() }
    }
}

/// A permit to work on one blob, given back when it is dropped.
#[derive(Debug)]
pub struct Permit<'a>(&'a ConcurrencyLimit);

impl ConcurrencyLimit {
    pub(super) async fn permit(&self) -> Permit<'_> {
        loop {
            if let Some(permit) = self.try_permit() {
                return permit;
            }
            // What is given back before this waits is kept for it.
            self.given_back.notified().await;
        }
    }

    fn try_permit(&self) -> Option<Permit<'_>> {
        let mut state = self.state();
        let free = (state.out as f64) < state.limit.floor();
        state.out += usize::from(free);
        free.then(|| Permit(self))
    }

    /// The service was too busy for a request.
    pub(super) fn refused(&self) {
        let mut state = self.state();
        if state.last_cut.is_some_and(|cut| cut.elapsed() < ONE_SIGN) {
            return;
        }
        state.last_cut = Some(Instant::now());
        state.limit = (state.limit.min(state.out as f64) / 2.0).max(1.0);
    }

    /// Number of permits that may be out; `None` while nothing was refused.
    pub(super) fn limit(&self) -> Option<usize> {
        let limit = self.state().limit;
        (limit < CEILING).then_some(limit as usize)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        if state.last_cut.is_some_and(|cut| cut.elapsed() >= FORGOTTEN) {
            (state.limit, state.last_cut) = (CEILING, None);
        }
        state
    }
}

impl Permit<'_> {
    /// The work was done: one more at once, by the time that as many as are let through have succeeded.
    pub fn succeeded(self) {
        let mut state = self.0.state();
        state.limit = (state.limit + 1.0 / state.limit.max(1.0)).min(CEILING);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.state().out -= 1;
        // A grown limit may let two in where one left.
        self.0.given_back.notify_one();
        self.0.given_back.notify_one();
    }
}

#[cfg(test)]
#[path = "../../tests/machines/concurrency.rs"]
mod interleaved;

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_refusal_halves_what_was_under_way_and_success_brings_it_back() {
        let limit = ConcurrencyLimit::default();
        let mut permits: Vec<Permit<'_>> = (0..32).map(|_| limit.permit().now_or_never().unwrap()).collect();
        assert_eq!(limit.limit(), None);
        for _ in 0..32 {
            limit.refused();
        }
        assert_eq!(limit.limit(), Some(16), "refusals at one time are one sign");
        assert!(limit.permit().now_or_never().is_none());
        permits.truncate(15);
        let next = limit.permit().now_or_never().unwrap();
        assert!(limit.permit().now_or_never().is_none());
        next.succeeded();
        for permit in permits.drain(..) {
            permit.succeeded();
        }
        assert_eq!(limit.limit(), Some(16));
        for _ in 0..18 {
            limit.permit().now_or_never().unwrap().succeeded();
        }
        assert!(limit.limit().unwrap() >= 17);
    }

    #[tokio::test]
    async fn whoever_waits_for_a_pass_gets_the_one_that_is_given_back() {
        let limit = ConcurrencyLimit::default();
        let first = limit.permit().await;
        limit.refused();
        assert_eq!(limit.limit(), Some(1));
        let (second, ()) = tokio::join!(limit.permit(), async { drop(first) });
        drop(second);
    }
}
