//! The time that the end of a mount may take.
//!
//! Whoever asks a process to end waits a few seconds before ending it by force, and a service that is silent or away
//! does not answer in any time. On the other hand what is not stored by then is lost, and over a slow line it takes
//! longer. So the end comes after [`USUAL`], but not while bytes go out to the service: [`STANDSTILL`] after the last
//! of them, and after [`LONGEST`] in any case.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::store::bytes_sent;

/// For everything, unless bytes go out. With what follows it, less than 5 s.
const USUAL: Duration = Duration::from_millis(2500);

/// The time that is left after bytes went out.
const STANDSTILL: Duration = Duration::from_secs(2);

/// Bytes that count as some: the heads of requests that are tried again and again do not.
const SOME: u64 = 64 << 10;

/// The longest end.
const LONGEST: Duration = Duration::from_secs(60);

/// What is left when the time is over, for what is only done if the service answers.
const LEAST: Duration = Duration::from_millis(500);

/// The time between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Longest list of names in a report: it is a line.
const MOST_NAMED: usize = 5;

/// An end that has begun.
pub(super) struct Ending {
    began: Instant,
    until: Instant,
    sent: u64,
}

impl Ending {
    pub(super) fn begin() -> Self {
        let began = Instant::now();
        Self { began, until: began + USUAL, sent: bytes_sent() }
    }

    /// Returns when the time is over.
    pub(super) async fn over(&mut self) {
        loop {
            self.look(bytes_sent());
            if self.is_over() {
                return;
            }
            sleep(LOOK).await;
        }
    }

    fn look(&mut self, sent: u64) {
        if sent - self.sent >= SOME {
            self.sent = sent;
            self.until = self.until.max(Instant::now() + STANDSTILL).min(self.began + LONGEST);
        }
    }

    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// What is left, and a little in any case.
    pub(super) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now()).max(LEAST)
    }
}

/// What could not be stored, in one line; `None` if all is.
pub(super) fn report(lost: &[String]) -> Option<String> {
    let named = lost.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match lost.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match lost.len() {
        0 => None,
        1 => Some(format!("one file could not be stored: {named}")),
        many => Some(format!("{many} files could not be stored: {named}{more}; the log names all")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_short_unless_bytes_go_out_and_never_endless() {
        let mut ending = Ending { sent: 0, ..Ending::begin() };
        sleep(Duration::from_millis(2400)).await;
        ending.look(SOME - 1);
        assert!(!ending.is_over());
        sleep(Duration::from_millis(100)).await;
        assert!(ending.is_over() && ending.left() == LEAST);

        let mut ending = Ending { sent: 0, ..Ending::begin() };
        let mut seconds = 0;
        while !ending.is_over() {
            seconds += 1;
            sleep(Duration::from_secs(1)).await;
            ending.look(seconds * SOME);
        }
        assert_eq!(seconds, LONGEST.as_secs());

        // Bytes went out in the first second and no more.
        let mut ending = Ending { sent: 0, ..Ending::begin() };
        sleep(Duration::from_secs(1)).await;
        ending.look(SOME);
        assert_eq!(ending.left(), STANDSTILL);
    }

    #[test]
    fn what_is_lost_is_named_in_a_line() {
        let names = |count: usize| (1..=count).map(|i| format!("box/{i}")).collect::<Vec<_>>();
        assert_eq!(report(&[]), None);
        assert_eq!(report(&names(1)).unwrap(), "one file could not be stored: box/1");
        assert_eq!(report(&names(2)).unwrap(), "2 files could not be stored: box/1, box/2; the log names all");
        let many = report(&names(7)).unwrap();
        assert_eq!(
            many,
            "7 files could not be stored: box/1, box/2, box/3, box/4, box/5 and 2 more; the log names all"
        );
    }
}
