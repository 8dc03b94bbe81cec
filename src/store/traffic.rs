//! Traffic with all services: whether what is stored at the end of a mount still moves.

use std::sync::atomic::{AtomicU64, Ordering};

static SENT: AtomicU64 = AtomicU64::new(0);
static STORED: AtomicU64 = AtomicU64::new(0);

/// Counts what a socket took.
pub(super) fn sent(bytes: usize) {
    SENT.fetch_add(bytes as u64, Ordering::Relaxed);
}

/// Counts a request with content that a service has carried out.
pub(super) fn stored() {
    STORED.fetch_add(1, Ordering::Relaxed);
}

/// Bytes that sockets took since the process began, heads and bodies. Nobody need have read them.
pub fn bytes_sent() -> u64 {
    SENT.load(Ordering::Relaxed)
}

/// Requests with content that services have carried out, and said so.
pub fn requests_stored() -> u64 {
    STORED.load(Ordering::Relaxed)
}
