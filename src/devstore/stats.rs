//! Counters and the log of requests, for tests that assert request budgets and payload bytes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// The number of requests that the log keeps: enough for any one test, little enough to leave on in a long session.
const LOGGED: usize = 10_000;

/// Counters since the start or the last reset, as `GET /-/stats` shows them.
#[derive(Debug, Clone, Default, Serialize, PartialEq, Eq)]
pub struct Stats {
    /// Requests by operation; refused and faulted ones count too.
    pub requests: BTreeMap<&'static str, u64>,
    /// Sum of `requests`.
    pub total: u64,
    /// Most requests of an operation that were in flight at the same time.
    pub most_at_once: BTreeMap<&'static str, u64>,
    /// Blob payload received: Put Blob, Put Block, Append Block, Put Page.
    pub body_bytes_in: u64,
    /// Blob payload sent by Get Blob.
    pub body_bytes_out: u64,
}

impl Stats {
    /// The number of requests of one operation that were seen.
    pub fn requests(&self, operation: &str) -> u64 {
        self.requests.get(operation).copied().unwrap_or(0)
    }

    /// The number of requests of one operation that were in flight at the same time.
    pub fn at_once(&self, operation: &str) -> u64 {
        self.most_at_once.get(operation).copied().unwrap_or(0)
    }
}

/// One request in the log.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct RequestRecord {
    /// Operation name, `Unknown` for what could not be recognised.
    pub operation: &'static str,
    /// HTTP method.
    pub method: String,
    /// Path as sent.
    pub path: String,
    /// Query as sent, signature redacted.
    pub query: String,
    /// Answered status; 0 when the connection was closed without an answer.
    pub status: u16,
    /// Bytes of the request's body, 0 for a part of a batch.
    pub sent: u64,
    /// Bytes of the answer's body that were announced, 0 for a part of a batch.
    pub answered: u64,
}

#[derive(Debug, Default)]
pub(super) struct Statistics {
    inner: Mutex<Inner>,
    bytes_in: AtomicU64,
    /// Shared with response bodies, which count as they are sent.
    pub bytes_out: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Inner {
    /// All but the bytes.
    stats: Stats,
    log: VecDeque<RequestRecord>,
    in_flight: BTreeMap<&'static str, u64>,
}

/// A request of that operation that is not answered yet.
pub(super) struct InFlight<'a> {
    statistics: &'a Statistics,
    operation: &'static str,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.statistics.inner().in_flight.get_mut(self.operation) {
            *count -= 1;
        }
    }
}

impl Statistics {
    pub(super) fn begin(&self, operation: &'static str) -> InFlight<'_> {
        let mut inner = self.inner();
        let now = inner.in_flight.entry(operation).or_default();
        *now += 1;
        let now = *now;
        let most = inner.stats.most_at_once.entry(operation).or_default();
        *most = now.max(*most);
        InFlight { statistics: self, operation }
    }

    pub(super) fn record(&self, record: RequestRecord) {
        let mut inner = self.inner();
        *inner.stats.requests.entry(record.operation).or_default() += 1;
        inner.stats.total += 1;
        if inner.log.len() == LOGGED {
            inner.log.pop_front();
        }
        inner.log.push_back(record);
    }

    pub(super) fn count_in(&self, bytes: u64) {
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> Stats {
        Stats {
            body_bytes_in: self.bytes_in.load(Ordering::Relaxed),
            body_bytes_out: self.bytes_out.load(Ordering::Relaxed),
            ..self.inner().stats.clone()
        }
    }

    /// Zeroes the counters and empties the log.
    pub(super) fn reset(&self) {
        let mut inner = self.inner();
        let in_flight = std::mem::take(&mut inner.in_flight);
        *inner = Inner { in_flight, ..Inner::default() };
        self.bytes_in.store(0, Ordering::Relaxed);
        self.bytes_out.store(0, Ordering::Relaxed);
    }

    pub(super) fn log(&self) -> Vec<RequestRecord> {
        self.inner().log.iter().cloned().collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
