//! Faults on order: what goes wrong with the next requests of a kind.
//!
//! A rule matches an operation (and optionally a blob name prefix), lets some requests pass, then hits some. It can
//! refuse with a status, before the effect or after it; close the connection, before the effect or after it, which is
//! how a response gets lost, or while the request is still being sent; delay, for a time or until a test opens a gate;
//! cut a response body short, damage it or let it stall. It hits each request, or one of so many, as if by chance. The
//! first rule that hits wins, and what was hit is counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;
use tokio::sync::Barrier;

use super::address::Target;
use super::error::{ServiceError, cannot_verify};
use super::reply::Damage;
use super::request::Call;

/// When a fault closes the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reset {
    /// Nothing was done.
    Before,
    /// Nothing was done: a part of the request's body was read. Of a request without a body, the same as `Before`.
    Within,
    /// The request was carried out; only its response is lost.
    After,
}

/// One rule, as the body of `POST /-/faults`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Operation name, or `*` for all.
    pub operation: String,
    /// The number of requests that are hit.
    #[serde(default = "one")]
    pub count: u64,
    /// The number of matching requests that pass first.
    #[serde(default)]
    pub skip: u64,
    /// Refuse with this status.
    pub status: Option<u16>,
    /// Error code of the refusal; `InternalError` or `ServerBusy` by status when absent.
    pub code: Option<String>,
    /// The refusal is that of the source of a copy: the request is refused for it (§4.1).
    #[serde(default)]
    pub of_source: bool,
    /// `Retry-After` of the refusal, seconds.
    pub retry_after: Option<u64>,
    /// Carry the request out before refusing.
    #[serde(default)]
    pub after: bool,
    /// Close the connection without a response byte.
    pub reset: Option<Reset>,
    /// Wait this long before anything else, milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
    /// Wait this long after all was done and before the answer, milliseconds.
    #[serde(default)]
    pub answer_delay_ms: u64,
    /// Wait here before anything else, first for whoever wants to know that the request has come, then to be let go on.
    #[serde(skip)]
    pub gate: Option<Arc<Barrier>>,
    /// The same after all was done and before the answer.
    #[serde(skip)]
    pub answer_gate: Option<Arc<Barrier>>,
    /// Announce the whole response body but close after this many bytes of it.
    pub truncate_body: Option<u64>,
    /// Pause before the last byte of the response body, milliseconds.
    pub stall_body_ms: Option<u64>,
    /// Turn a bit of the byte at this offset of the response body, if it has so many.
    pub corrupt_body: Option<u64>,
    /// Of so many matching requests one is hit, by a row of numbers that looks like chance; each by 0.
    #[serde(default)]
    pub one_of: u64,
    /// Where that row of numbers begins.
    #[serde(default)]
    pub seed: u64,
    /// Only blobs whose name starts with this.
    pub blob_prefix: Option<String>,
}

fn one() -> u64 {
    1
}

impl Fault {
    /// A rule that hits the next request of `operation` and, as it stands, does nothing to it.
    pub fn on(operation: &str) -> Fault {
        Fault { operation: operation.to_owned(), count: 1, ..Fault::default() }
    }

    /// The refusal this rule orders.
    pub(super) fn error(&self) -> Option<ServiceError> {
        let status = StatusCode::from_u16(self.status?).ok()?;
        let default = if status == StatusCode::SERVICE_UNAVAILABLE { "ServerBusy" } else { "InternalError" };
        let error = ServiceError::custom(status, self.code.clone().unwrap_or_else(|| default.to_owned()));
        let error = if self.of_source { cannot_verify(error) } else { error };
        Some(match self.retry_after {
            Some(seconds) => error.with_header("retry-after", seconds.to_string()),
            None => error,
        })
    }

    pub(super) fn damage(&self) -> Damage {
        let stall = self.stall_body_ms.map(Duration::from_millis);
        Damage { truncate: self.truncate_body, stall, corrupt: self.corrupt_body }
    }

    /// Whether it is this request's turn; asked of each that matches.
    fn draws(&mut self) -> bool {
        if self.one_of < 2 {
            return true;
        }
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).is_multiple_of(self.one_of)
    }

    fn matches(&self, operation: &str, call: &Call) -> bool {
        let blob = match &call.target {
            Target::Blob(address) => address.blob.as_str(),
            _ => "",
        };
        (self.operation == "*" || self.operation == operation)
            && self.blob_prefix.as_deref().is_none_or(|prefix| blob.starts_with(prefix))
    }
}

/// Waits at a gate if there is one, twice.
pub(super) async fn pass(gate: Option<&Arc<Barrier>>) {
    if let Some(gate) = gate {
        gate.wait().await;
        gate.wait().await;
    }
}

/// The rules in force.
#[derive(Debug, Default)]
pub(super) struct Faults {
    rules: Mutex<Vec<Fault>>,
    fired: AtomicU64,
}

impl Faults {
    pub(super) fn add(&self, fault: Fault) {
        self.rules().push(fault);
    }

    /// Forgets the rules, and what they did.
    pub(super) fn clear(&self) {
        self.rules().clear();
        self.fired.store(0, Ordering::Relaxed);
    }

    /// The rule that hits this request, and counts that; one that does nothing if none does.
    pub(super) fn hit(&self, operation: &str, call: &Call) -> Fault {
        let mut rules = self.rules();
        let mut hit = Fault::default();
        for rule in rules.iter_mut().filter(|rule| rule.matches(operation, call)) {
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.draws() {
                rule.count = rule.count.saturating_sub(1);
                hit = rule.clone();
                break;
            }
        }
        rules.retain(|rule| rule.count > 0);
        // What damages a body counts when there is one.
        if !hit.operation.is_empty() && hit.damage() == Damage::default() {
            self.count();
        }
        hit
    }

    /// Something went wrong by order.
    pub(super) fn count(&self) {
        self.fired.fetch_add(1, Ordering::Relaxed);
    }

    /// How often something did since the rules were cleared.
    pub(super) fn fired(&self) -> u64 {
        self.fired.load(Ordering::Relaxed)
    }

    fn rules(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
