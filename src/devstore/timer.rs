//! Waiting for well less than a millisecond too long, so that a latency that was ordered is the one that is measured.
//!
//! tokio's timer counts whole milliseconds and rounds up: of 1 ms it makes 2.1, of 10 ms 11.1. A timer of the kernel
//! that is waited for like a socket makes 1.04 and 10.09 of them, for one descriptor as long as it runs.

use std::io;
use std::time::Duration;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use rustix::time::{timerfd_create, timerfd_settime};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Waits for `duration`. Without a descriptor to be had, by tokio's timer.
pub(super) async fn sleep(duration: Duration) {
    // A timer that is set to zero never expires.
    if !duration.is_zero() && sleep_in_kernel(duration).await.is_err() {
        tokio::time::sleep(duration).await;
    }
}

async fn sleep_in_kernel(duration: Duration) -> io::Result<()> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    let once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let after = Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: duration.subsec_nanos().into() };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: once, it_value: after })?;
    // SAFETY: an owned descriptor stays the same one, and open, until it is dropped together with what owns it.
    let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }?;
    timer.readable().await?.retain_ready();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_millisecond_is_not_two() {
        let wanted = Duration::from_millis(1);
        let mut slept = Vec::new();
        for _ in 0..20 {
            let begun = Instant::now();
            sleep(wanted).await;
            slept.push(begun.elapsed());
        }
        slept.sort();
        assert!(slept[0] >= wanted, "{slept:?}");
        // On a busy machine others may be late. tokio's timer has nine of ten above 2 ms.
        assert!(slept[5] < 2 * wanted, "{slept:?}");
    }

    #[tokio::test]
    async fn no_time_is_no_wait() {
        sleep(Duration::ZERO).await;
    }
}
