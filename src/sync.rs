//! One way to lock. A panic ends the request in which it happens and no other: a mutex that it leaves poisoned is taken all the same, and
//! what is done under one is written so that a panic leaves nothing half changed.

pub(crate) use std::sync::MutexGuard;
use std::sync::{Mutex, PoisonError};

/// Locks a mutex, whether or not somebody panicked with it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
