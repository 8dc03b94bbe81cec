//! Threads that change places wherever they lock a mutex or give it back.
//!
//! shuttle runs all threads of a test as coroutines of one and decides at each of these places, by a seed, who goes on. Mutexes stay the
//! standard library's: nobody is interrupted between two of them, so one that is taken is free again as soon as its holder goes on. What
//! waits for futures (semaphores, signals, watched values) is tokio's own, polled by shuttle. When nobody can go on, shuttle says so:
//! a wakeup that is lost is a failure and no hanging test.
//!
//! Outside of [`interleave`] this is an ordinary lock, for all other tests of the crate.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError, TryLockError};

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, MaxSteps, Runner};

/// The same in each run: a failure is one for everybody. `SHUTTLE_RANDOM_SEED` chooses another.
const SEED: u64 = 11;

/// Orders of events that a test is run in, by each of two ways to choose them.
const RUNS: usize = 500;

/// Changes of place that a failure may need, of those that are not by chance: few do with more.
const DEPTH: usize = 3;

/// More than a debug build needs for a request that is refused before it is sent.
const STACK: usize = 1 << 20;

/// Steps of one run, of which those here take some hundred: more is somebody who waits for ever.
const STEPS: usize = 100_000;

/// Runs a test in many orders of what its threads do. They are started by [`shuttle::thread::spawn`].
pub(crate) fn interleave(test: fn()) {
    let mut config = Config::new();
    config.stack_size = STACK;
    config.max_steps = MaxSteps::FailAfter(STEPS);
    Runner::new(RandomScheduler::new_from_seed(SEED, RUNS), config.clone()).run(test);
    Runner::new(PctScheduler::new_from_seed(SEED, DEPTH, RUNS), config).run(test);
}

/// Runs each of them as a thread, and returns what they return when all have ended.
pub(crate) fn at_once<T: Send + 'static>(threads: Vec<Box<dyn FnOnce() -> T + Send>>) -> Vec<T> {
    let threads: Vec<_> = threads.into_iter().map(shuttle::thread::spawn).collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// Another thread may go on from here.
pub(crate) fn step() {
    if is_interleaved() {
        // Each operation on an atomic of shuttle's is such a place.
        shuttle::sync::atomic::AtomicBool::new(false).load(Ordering::SeqCst);
    }
}

fn is_interleaved() -> bool {
    shuttle::current::try_get_current_task().is_some() && !std::thread::panicking()
}

/// What `std` has under this name, and a step when it is dropped.
pub(crate) struct MutexGuard<'a, T>(Option<std::sync::MutexGuard<'a, T>>);

/// What the crate has under this name, and a step before.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    step();
    let guard = loop {
        match mutex.try_lock() {
            Ok(guard) => break guard,
            Err(TryLockError::Poisoned(poisoned)) => break poisoned.into_inner(),
            Err(TryLockError::WouldBlock) if is_interleaved() => shuttle::thread::yield_now(),
            Err(TryLockError::WouldBlock) => break mutex.lock().unwrap_or_else(PoisonError::into_inner),
        }
    };
    MutexGuard(Some(guard))
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().unwrap()
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().unwrap()
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.0 = None;
        step();
    }
}

/// Two threads that count without holding the lock in between lose a count in some order: the orders are different ones.
#[test]
#[should_panic(expected = "both were counted")]
fn what_is_read_and_written_under_two_locks_is_found_out() {
    interleave(|| {
        let count = std::sync::Arc::new(Mutex::new(0));
        let add = |count: &std::sync::Arc<Mutex<u32>>| {
            let count = count.clone();
            Box::new(move || {
                let before = *lock(&count);
                *lock(&count) = before + 1;
            }) as Box<dyn FnOnce() + Send>
        };
        at_once(vec![add(&count), add(&count)]);
        assert_eq!(*lock(&count), 2, "both were counted");
    });
}

/// Whoever waits for what nobody does any more is found out, too.
#[test]
#[should_panic(expected = "deadlock")]
fn a_wakeup_that_is_lost_is_found_out() {
    interleave(|| {
        let (done, is_done) = (tokio::sync::Notify::new(), Mutex::new(false));
        let shared = std::sync::Arc::new((done, is_done));
        let other = shared.clone();
        let waiter = shuttle::thread::spawn(move || {
            if !*lock(&other.1) {
                shuttle::future::block_on(other.0.notified());
            }
        });
        *lock(&shared.1) = true;
        // Reaches only who waits already.
        shared.0.notify_waiters();
        waiter.join().unwrap();
    });
}
