//! One way to lock. A panic ends the request in which it happens and no other: a mutex that it leaves poisoned is taken
//! all the same, and what is done under one is written so that a panic leaves nothing half changed.
//!
//! Because the state machines lock here and nowhere else, their tests can let threads change places at exactly these
//! points (`tests/machines`).

#[cfg(test)]
#[path = "../tests/machines/interleaved.rs"]
pub(crate) mod interleaved;

#[cfg(not(test))]
pub(crate) use std::sync::MutexGuard;

#[cfg(test)]
pub(crate) use interleaved::{MutexGuard, lock};

/// Locks a mutex, whether or not somebody panicked with it.
#[cfg(not(test))]
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
