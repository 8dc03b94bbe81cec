//! The time that the end of a mount may take.
//!
//! Whoever asks a process to end waits a few seconds before ending it by force, and a service that is silent or away
//! does not answer in any time. On the other hand what is not stored by then is lost, and over a slow line it takes
//! longer. So the end comes after [`USUAL`], but not while content is stored: [`STANDSTILL`] after the service has said
//! of some that it has it, or has taken some and answered a question, and after [`LONGEST`] in any case. That bytes go
//! out is no sign of life: whoever reads them may never answer.

use std::cell::Cell;
use std::time::Duration;

use bytesize::ByteSize;
use tokio::time::{Instant, sleep};

use crate::store::{bytes_sent, requests_stored};

/// For everything, unless content is stored. With what follows it, less than 5 s.
const USUAL: Duration = Duration::from_millis(2500);

/// The time that is left after some was.
const STANDSTILL: Duration = Duration::from_secs(2);

/// Bytes that count as some: the heads of requests that are tried again and again do not.
const SOME: u64 = 64 << 10;

/// The longest end.
const LONGEST: Duration = Duration::from_secs(60);

/// What is left when the time is over, for what is only done if the service answers.
const LEAST: Duration = Duration::from_millis(500);

/// The time between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// The time before the service is asked a question, and between two of them. Most ends are over by then.
const ASK: Duration = Duration::from_millis(500);

/// Longest time for the answer: less would not come in time.
const ANSWER: Duration = Duration::from_millis(1500);

/// Longest list of names in a report: it is a line.
const MOST_NAMED: usize = 5;

/// An end that has begun.
pub(super) struct Ending {
    began: Instant,
    until: Instant,
    sent: u64,
    stored: u64,
}

impl Ending {
    pub(super) fn begin() -> Self {
        let began = Instant::now();
        Self { began, until: began + USUAL, sent: bytes_sent(), stored: requests_stored() }
    }

    /// Returns when the time is over. `is_there` asks the service something, and tells whether it answers within a time.
    pub(super) async fn over(&mut self, is_there: impl AsyncFn(Duration) -> bool) {
        let answers = Cell::new(false);
        let asking = async {
            loop {
                sleep(ASK).await;
                if is_there(ANSWER).await {
                    answers.set(true);
                }
            }
        };
        let looking = async {
            loop {
                if self.look(bytes_sent(), requests_stored(), answers.get()) {
                    answers.set(false);
                }
                if self.is_over() {
                    return;
                }
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = looking => {}
            () = asking => {}
        }
    }

    /// True if content was stored, or goes out and the service `answers`: then the end is put off.
    fn look(&mut self, sent: u64, stored: u64, answers: bool) -> bool {
        let moves = stored > self.stored || answers && sent - self.sent >= SOME;
        if moves {
            (self.sent, self.stored) = (sent, stored);
            self.until = self.until.max(Instant::now() + STANDSTILL).min(self.began + LONGEST);
        }
        moves
    }

    /// All of what was being stored is: whatever was written meanwhile gets its time.
    pub(super) fn note_stored(&mut self) {
        self.look(bytes_sent(), requests_stored(), true);
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
    let named = first_of(lost);
    match lost.len() {
        0 => None,
        1 => Some(format!("one file could not be stored: {named}")),
        many => Some(format!("{many} files could not be stored: {named}; the log names all")),
    }
}

/// What did not have to be sent, bytes, in one line; `None` if that is nothing.
pub(super) fn recognised(bytes: u64) -> Option<String> {
    let amount = ByteSize(bytes).display().iec();
    (bytes > 0).then(|| format!("{amount} that programs had read and wrote were copied by the service and not sent"))
}

/// What is not stored yet, for whoever does not wait so long; nothing if all is.
pub(super) fn interim_report(unsaved: &[String]) -> String {
    match unsaved.len() {
        0 => String::new(),
        _ => format!("not stored yet: {}", first_of(unsaved)),
    }
}

fn first_of(names: &[String]) -> String {
    let named = names.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST_NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun() -> Ending {
        Ending { sent: 0, stored: 0, ..Ending::begin() }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_short_unless_content_is_stored_and_never_endless() {
        let mut ending = begun();
        sleep(Duration::from_millis(2400)).await;
        assert!(!ending.look(SOME - 1, 0, true));
        assert!(!ending.is_over());
        sleep(Duration::from_millis(100)).await;
        assert!(ending.is_over() && ending.left() == LEAST);

        // Bytes go out to somebody who answers; requests are carried out.
        for (sent, stored) in [(SOME, 0), (0, 1)] {
            let mut ending = begun();
            let mut seconds = 0;
            while !ending.is_over() {
                seconds += 1;
                sleep(Duration::from_secs(1)).await;
                ending.look(seconds * sent, seconds * stored, sent > 0);
            }
            assert_eq!(seconds, LONGEST.as_secs());
        }

        // The same in the first second and no more.
        let mut ending = begun();
        sleep(Duration::from_secs(1)).await;
        assert!(ending.look(SOME, 0, true));
        assert_eq!(ending.left(), STANDSTILL);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_for_somebody_who_never_answers_put_nothing_off() {
        let mut ending = begun();
        let mut tenths = 0;
        while !ending.is_over() {
            tenths += 1;
            sleep(LOOK).await;
            assert!(!ending.look(tenths * SOME, 0, false));
        }
        assert_eq!(tenths, 25);
        // Who is asked and says nothing is no reason either.
        let (mut ending, began) = (Ending::begin(), Instant::now());
        ending
            .over(async |bound| {
                sleep(bound).await;
                false
            })
            .await;
        assert!(began.elapsed() <= USUAL + LOOK, "{:?}", began.elapsed());
    }

    #[test]
    fn what_is_not_stored_yet_is_named() {
        let names = |count: usize| (1..=count).map(|i| format!("box/{i}")).collect::<Vec<_>>();
        assert_eq!(interim_report(&[]), "");
        assert_eq!(interim_report(&names(2)), "not stored yet: box/1, box/2");
        assert_eq!(interim_report(&names(7)), "not stored yet: box/1, box/2, box/3, box/4, box/5 and 2 more");
    }

    #[test]
    fn what_was_recognised_is_told_in_a_line() {
        assert_eq!(recognised(0), None);
        let told = recognised(3 << 29).unwrap();
        assert_eq!(told, "1.5 GiB that programs had read and wrote were copied by the service and not sent");
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
