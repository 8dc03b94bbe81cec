//! Bytes that went out to all services: whether what is stored at the end of a mount still moves.

use std::sync::atomic::{AtomicU64, Ordering};

static SENT: AtomicU64 = AtomicU64::new(0);

/// Counts what a socket took.
pub(super) fn sent(bytes: usize) {
    SENT.fetch_add(bytes as u64, Ordering::Relaxed);
}

/// Bytes that sockets took since the process began, heads and bodies.
pub fn bytes_sent() -> u64 {
    SENT.load(Ordering::Relaxed)
}
