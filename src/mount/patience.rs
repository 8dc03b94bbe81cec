//! How long a service that cannot be reached is asked again before a mount is given up.
//!
//! At boot a mount may be asked for before the network is up, whatever the order of units says: a name server that does
//! not answer yet, a route that comes a second later. A line of fstab with `_netdev` says that this is to be expected.
//! So whoever asks before mounting asks again for a bounded time, as long as nobody answers. An answer that is a refusal
//! ends it at once: a wrong key does not become right by waiting. All questions of a mount share one bound.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::info;

use crate::mount::error::MountError;

/// Pauses between tries. The last one stays.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// The reason why nothing can be mounted now, in one line.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Nobody has answered: it may help to ask again.
    Unreachable(String),
    /// It may help to ask again, as with a program that needs the network; but whoever was asked has answered, so that
    /// the end of it is not that nobody could be reached.
    NotYet(String),
    Final(String),
}

/// Asks again, up to a bound.
pub(crate) struct Patience {
    bound: Duration,
    /// Since the first question.
    deadline: OnceLock<Instant>,
    /// Is told once what is waited for.
    tell: Box<dyn Fn(&str) + Send + Sync>,
    told: AtomicBool,
    ran_out: AtomicBool,
}

impl Patience {
    /// Asks once only if `bound` is nothing.
    pub(crate) fn new(bound: Duration, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let (told, ran_out) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { bound, deadline: OnceLock::new(), tell: Box::new(tell), told, ran_out }
    }

    /// The last question ended because nobody could be reached.
    pub(crate) fn ran_out(&self) -> bool {
        self.ran_out.load(Ordering::Relaxed)
    }

    /// Asks until there is an answer.
    pub(crate) async fn ask<T>(&self, question: impl AsyncFn() -> Result<T, Refusal>) -> Result<T, MountError> {
        let deadline = *self.deadline.get_or_init(|| Instant::now() + self.bound);
        let mut pauses = PAUSES.into_iter().chain(std::iter::repeat(PAUSES[PAUSES.len() - 1]));
        loop {
            let (text, nobody) = match question().await {
                Ok(answer) => return Ok(answer),
                Err(Refusal::Final(text)) => return Err(MountError(text)),
                Err(Refusal::NotYet(text)) => (text, false),
                Err(Refusal::Unreachable(text)) => (text, true),
            };
            let pause = pauses.next().unwrap_or_default();
            if Instant::now() + pause > deadline {
                self.ran_out.store(nobody, Ordering::Relaxed);
                return Err(MountError(text));
            }
            if !self.told.swap(true, Ordering::Relaxed) {
                (self.tell)(&format!("{text}; trying again for {} s", self.bound.as_secs()));
            }
            info!("{text}; trying again");
            sleep(pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;
    use std::sync::{Arc, Mutex};

    /// What comes of a question that is unreachable so many times and then has this answer, the number of times it was
    /// asked, and what was told.
    async fn ask(seconds: u64, times: u32, last: Result<(), Refusal>) -> (Result<(), String>, u32, Vec<String>, bool) {
        let said = Arc::new(Mutex::new(Vec::new()));
        let told = said.clone();
        let patience =
            Patience::new(Duration::from_secs(seconds), move |text| told.lock().unwrap().push(text.to_owned()));
        let (asked, last) = (AtomicU32::new(0), Mutex::new(Some(last)));
        let question = async || {
            if asked.fetch_add(1, Ordering::Relaxed) < times {
                return Err(Refusal::Unreachable("away".into()));
            }
            last.lock().unwrap().take().unwrap()
        };
        let answer = patience.ask(question).await.map_err(|error| error.0);
        let said = said.lock().unwrap().clone();
        (answer, asked.into_inner(), said, patience.ran_out())
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_asked_again_and_that_is_said_once() {
        let (answer, asked, said, ran_out) = ask(60, 10, Ok(())).await;
        assert_eq!((answer, asked, ran_out), (Ok(()), 11, false));
        assert_eq!(said, ["away; trying again for 60 s"]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_after_the_bound() {
        let began = Instant::now();
        let (answer, asked, _, ran_out) = ask(60, u32::MAX, Ok(())).await;
        assert_eq!((answer, ran_out), (Err("away".into()), true));
        assert!(asked > 20 && began.elapsed() <= Duration::from_secs(60), "{asked} times");
    }

    #[tokio::test(start_paused = true)]
    async fn all_questions_share_one_bound() {
        let patience = Patience::new(Duration::from_secs(60), |_| ());
        let began = Instant::now();
        for _ in 0..3 {
            let late = patience.ask(async || {
                // The first one is answered when the time is almost over.
                if began.elapsed() > Duration::from_secs(50) {
                    Ok(())
                } else {
                    Err(Refusal::Unreachable("away".into()))
                }
            });
            late.await.unwrap();
        }
        let asked = patience.ask(async || Err::<(), _>(Refusal::Unreachable("away".into()))).await;
        assert!(asked.is_err() && patience.ran_out());
        assert!(began.elapsed() <= Duration::from_secs(60), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_answers_that_it_cannot_is_asked_again_and_was_reached() {
        let patience = Patience::new(Duration::from_secs(5), |_| ());
        let asked = AtomicU32::new(0);
        let answer = patience.ask(async || {
            asked.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(Refusal::NotYet("exit status: 3".into()))
        });
        assert!(answer.await.is_err() && !patience.ran_out());
        assert!(asked.into_inner() > 2);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_bound_it_is_asked_once_and_nothing_is_said() {
        let (answer, asked, said, ran_out) = ask(0, 1, Ok(())).await;
        assert_eq!((answer, asked, said.len(), ran_out), (Err("away".into()), 1, 0, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_ends_it_at_once() {
        let (answer, asked, _, ran_out) = ask(60, 1, Err(Refusal::Final("wrong key".into()))).await;
        assert_eq!((answer, asked, ran_out), (Err("wrong key".into()), 2, false));
    }
}
