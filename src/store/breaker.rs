//! Breaker: while a service does not answer anybody, nobody waits for it.
//!
//! Without it each call would find out for itself, and wait as long as a request may take. So what does not connect and
//! what is not answered in time is counted, over all requests to one host and port; any answer, also a refusal, begins
//! the count anew. After [`SUSPICIOUS`] in a row the service is asked a question of our own (a *probe*). Only if that is
//! not answered either, the breaker opens: one slow request does not close the others out.
//!
//! While it is open, requests fail at once and are not sent. Those that store content wait for it to close, as long as
//! they may. Short probes go on, one after the other and one a second at most, and beside them a long one now and then,
//! for lines on which a handshake takes long. The first that is answered closes the breaker; so does an answer to a
//! request that is still under way.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Fuse, FusedFuture};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::warn;

use crate::sync::lock;

/// Failures in succession after which the service is suspected to be away.
const SUSPICIOUS: u32 = 2;
/// Shortest time between the beginnings of two probes.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest time for a probe: recovery is seen so late at most.
const SHORT_PROBE: Duration = Duration::from_secs(2);
/// The same for a long one, for lines on which a handshake takes longer.
const LONG_PROBE: Duration = Duration::from_secs(10);
/// A long probe begins with every short one of so many, unless there is one.
const ONE_OF: u32 = 5;

/// The reason why nothing is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Away {
    pub detail: String,
    /// It does not answer, in contrast to: it cannot be reached.
    pub timed_out: bool,
}

/// Asks the service something within a time. `None` when nobody needs to know any more.
pub(super) type Ask = Box<dyn Fn(Duration) -> BoxFuture<'static, Option<Result<(), Away>>> + Send + Sync>;

/// Breaker of one host and port. Cheap to clone; all clones are the same one.
#[derive(Clone)]
pub(super) struct Breaker(Arc<Inner>);

struct Inner {
    /// Scheme, host and port, for the log.
    origin: String,
    ask: Ask,
    /// Time within which failures are in succession.
    within: Duration,
    count: Mutex<Count>,
    /// `None`: closed.
    open: watch::Sender<Option<Open>>,
}

#[derive(Default)]
struct Count {
    failures: u32,
    last: Option<Instant>,
    /// The one task that asks is under way.
    probing: bool,
}

#[derive(Debug, Clone)]
struct Open {
    since: Instant,
    why: Away,
}

impl Breaker {
    pub(super) fn new(origin: String, within: Duration, ask: Ask) -> Self {
        Self(Arc::new(Inner { origin, ask, within, count: Mutex::default(), open: watch::Sender::new(None) }))
    }

    /// Whether a request may be sent. If `until` is given, one that may not waits so long.
    pub(super) async fn pass(&self, until: Option<Instant>) -> Result<(), Away> {
        let Some(away) = self.away() else { return Ok(()) };
        let Some(until) = until else { return Err(away) };
        let mut open = self.0.open.subscribe();
        match timeout_at(until, open.wait_for(Option::is_none)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(self.away().unwrap_or(away)),
        }
    }

    /// Why nothing is sent at the moment.
    pub(super) fn away(&self) -> Option<Away> {
        let open = self.0.open.borrow();
        let Open { since, why } = open.as_ref()?;
        let seconds = since.elapsed().as_secs();
        let detail =
            format!("the service is away since {seconds} s, and is not asked before it answers: {}", why.detail);
        Some(Away { detail, timed_out: why.timed_out })
    }

    /// Whether the service answers a question of our own within `bound`.
    pub(super) async fn is_answered(&self, bound: Duration) -> bool {
        matches!((self.0.ask)(bound).await, Some(Ok(())))
    }

    /// A line for whoever looks after the mount, while nothing is sent.
    pub(super) fn notice(&self) -> Option<String> {
        let open = self.0.open.borrow();
        let Open { since, why } = open.as_ref()?;
        Some(format!("{} is away since {} s: {}", self.0.origin, since.elapsed().as_secs(), why.detail))
    }

    /// An answer came, whatever it says.
    pub(super) fn answered(&self) {
        let mut count = lock(&self.0.count);
        (count.failures, count.last) = (0, None);
        self.0.close();
    }

    /// A request was not answered, or did not get there.
    pub(super) fn failed(&self) {
        let mut count = lock(&self.0.count);
        let now = Instant::now();
        let in_succession = count.last.is_some_and(|last| now - last <= self.0.within);
        count.failures = if in_succession { count.failures + 1 } else { 1 };
        count.last = Some(now);
        if count.failures >= SUSPICIOUS && !count.probing {
            count.probing = true;
            tokio::spawn(self.0.clone().probe());
        }
    }
}

impl Inner {
    /// Asks until there is an answer.
    async fn probe(self: Arc<Self>) {
        let mut long = Fuse::terminated();
        let mut is_silent = false;
        for round in 1_u32.. {
            let began = Instant::now();
            // Who refuses does so at once.
            if round.is_multiple_of(ONE_OF) && is_silent && long.is_terminated() {
                long = (self.ask)(LONG_PROBE).fuse();
            }
            let mut short = (self.ask)(SHORT_PROBE).fuse();
            let asked = loop {
                tokio::select! {
                    biased;
                    // If it was not answered, the short one may be.
                    asked = &mut long => if !matches!(asked, Some(Err(_))) { break asked },
                    asked = &mut short => break asked,
                }
            };
            is_silent = matches!(&asked, Some(Err(Away { timed_out: true, .. })));
            if self.is_over(asked) {
                return;
            }
            tokio::select! {
                () = sleep_until(began + PAUSE) => {}
                asked = &mut long => if self.is_over(asked) { return },
            }
            sleep_until(began + PAUSE).await;
        }
    }

    /// Learns how a probe ended. True if no other is needed.
    fn is_over(&self, asked: Option<Result<(), Away>>) -> bool {
        let mut count = lock(&self.count);
        match asked {
            Some(Err(why)) if count.failures > 0 => {
                self.open(why);
                false
            }
            // It answers; or has answered somebody else meanwhile; or nobody asks any more.
            _ => {
                *count = Count::default();
                self.close();
                true
            }
        }
    }

    /// Under the lock of the count, as all changes.
    fn open(&self, why: Away) {
        self.open.send_modify(|open| match open {
            Some(open) => open.why = why,
            None => {
                warn!("{} is away: calls fail until it answers; {}", self.origin, why.detail);
                *open = Some(Open { since: Instant::now(), why });
            }
        });
    }

    fn close(&self) {
        // Nearly always, and for every answer.
        if self.open.borrow().is_none() {
            return;
        }
        self.open.send_if_modified(|open| match open.take() {
            Some(Open { since, .. }) => {
                warn!("{} answers again, after {:.1} s", self.origin, since.elapsed().as_secs_f32());
                true
            }
            None => false,
        });
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Breaker({}, {:?})", self.0.origin, self.away())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use tokio::time::{advance, sleep};

    use super::*;

    const WITHIN: Duration = Duration::from_secs(60);

    /// A service that is there or refuses, or is silent, and the probes that it has seen: now, at once, in all.
    #[derive(Default)]
    struct Service {
        there: AtomicBool,
        silent: AtomicBool,
        asking: AtomicU32,
        at_once: AtomicU32,
        asked: AtomicU32,
    }

    impl Service {
        async fn ask(&self, bound: Duration) -> Option<Result<(), Away>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let now = self.asking.fetch_add(1, Ordering::Relaxed) + 1;
            self.at_once.fetch_max(now, Ordering::Relaxed);
            let was_silent = self.silent.load(Ordering::Relaxed);
            if was_silent {
                sleep(bound).await;
            }
            self.asking.fetch_sub(1, Ordering::Relaxed);
            let away = Away { detail: "refused".into(), timed_out: was_silent };
            Some(if !was_silent && self.there.load(Ordering::Relaxed) { Ok(()) } else { Err(away) })
        }

        /// Whoever asks from now on is answered.
        fn comes_back(&self) {
            self.silent.store(false, Ordering::Relaxed);
            self.there.store(true, Ordering::Relaxed);
        }

        fn asked(&self) -> u32 {
            self.asked.load(Ordering::Relaxed)
        }
    }

    fn breaker() -> (Breaker, Arc<Service>) {
        let service = Arc::<Service>::default();
        let asked = service.clone();
        let ask: Ask = Box::new(move |bound| {
            let service = asked.clone();
            async move { service.ask(bound).await }.boxed()
        });
        (Breaker::new("http://host:1".into(), WITHIN, ask), service)
    }

    /// Lets the task that asks do what it can at this moment.
    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    async fn open() -> (Breaker, Arc<Service>) {
        let (breaker, service) = breaker();
        breaker.failed();
        settle().await;
        assert_eq!((breaker.away(), service.asked()), (None, 0), "one failure is none");
        breaker.failed();
        settle().await;
        assert!(breaker.away().unwrap().detail.contains("refused"));
        (breaker, service)
    }

    #[tokio::test(start_paused = true)]
    async fn calls_fail_at_once_while_it_is_away_and_pass_when_it_is_back() {
        let (breaker, service) = open().await;
        let began = Instant::now();
        for _ in 0..100 {
            breaker.pass(None).await.unwrap_err();
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
        for _ in 0..30 {
            advance(Duration::from_secs(1)).await;
            settle().await;
        }
        assert_eq!((service.asked(), service.at_once.load(Ordering::Relaxed)), (31, 1), "one a second");
        assert!(breaker.notice().unwrap().starts_with("http://host:1 is away since 30 s"), "{:?}", breaker.notice());
        service.there.store(true, Ordering::Relaxed);
        advance(Duration::from_secs(1)).await;
        settle().await;
        assert_eq!((breaker.pass(None).await, breaker.notice()), (Ok(()), None));
        advance(Duration::from_secs(60)).await;
        settle().await;
        assert_eq!(service.asked(), 32, "nobody asks any more");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_to_be_stored_waits_as_long_as_it_may() {
        let (breaker, service) = open().await;
        let began = Instant::now();
        breaker.pass(Some(began + Duration::from_secs(5))).await.unwrap_err();
        assert_eq!(began.elapsed(), Duration::from_secs(5));
        let (back, waiting) = (service.clone(), breaker.clone());
        let came_back = tokio::spawn(async move {
            sleep(Duration::from_millis(7300)).await;
            back.there.store(true, Ordering::Relaxed);
            Instant::now()
        });
        waiting.pass(Some(began + Duration::from_secs(60))).await.unwrap();
        let late = came_back.await.unwrap().elapsed();
        assert!(late <= PAUSE, "{late:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_asked_by_one_short_probe_at_a_time_and_a_long_one_beside_it() {
        let (breaker, service) = breaker();
        service.silent.store(true, Ordering::Relaxed);
        breaker.failed();
        breaker.failed();
        sleep(SHORT_PROBE + Duration::from_millis(1)).await;
        assert!(breaker.away().unwrap().timed_out);
        sleep(Duration::from_secs(58)).await;
        assert_eq!(service.at_once.load(Ordering::Relaxed), 2);
        // 30 short ones, and a long one every ten seconds.
        assert!((36..=37).contains(&service.asked()), "{}", service.asked());
    }

    /// Whenever it comes back: what was asked before is not answered any more.
    #[tokio::test(start_paused = true)]
    async fn recovery_is_seen_within_a_short_probe_and_a_pause() {
        for back_after in 0..40 {
            let (breaker, service) = breaker();
            service.silent.store(true, Ordering::Relaxed);
            breaker.failed();
            breaker.failed();
            sleep(Duration::from_secs(9) + Duration::from_millis(501) * back_after).await;
            service.comes_back();
            let back = Instant::now();
            breaker.pass(Some(back + Duration::from_secs(60))).await.unwrap();
            assert!(back.elapsed() <= SHORT_PROBE + PAUSE, "{:?} after {back_after}", back.elapsed());
        }
    }

    /// A line on which every answer takes five seconds.
    #[tokio::test(start_paused = true)]
    async fn a_slow_line_is_seen_by_a_long_probe() {
        let ask: Ask = Box::new(move |bound| {
            let asked = async move {
                sleep(bound.min(Duration::from_secs(5))).await;
                let late = Away { detail: "no answer in time".into(), timed_out: true };
                Some(if bound > Duration::from_secs(5) { Ok(()) } else { Err(late) })
            };
            asked.boxed()
        });
        let breaker = Breaker::new("http://host:1".into(), WITHIN, ask);
        breaker.failed();
        breaker.failed();
        sleep(SHORT_PROBE + Duration::from_millis(1)).await;
        assert!(breaker.away().is_some());
        let began = Instant::now();
        breaker.pass(Some(began + Duration::from_secs(60))).await.unwrap();
        assert!(began.elapsed() < SHORT_PROBE * ONE_OF + Duration::from_secs(5), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_open_while_anybody_is_answered() {
        let (breaker, service) = breaker();
        for _ in 0..100 {
            breaker.failed();
            breaker.answered();
        }
        // Two in a row, and it is there.
        service.there.store(true, Ordering::Relaxed);
        for _ in 0..3 {
            breaker.failed();
            breaker.failed();
            settle().await;
            assert_eq!(breaker.away(), None);
        }
        assert_eq!(service.asked(), 3);
        // Two that have nothing to do with each other.
        breaker.failed();
        advance(WITHIN + Duration::from_secs(1)).await;
        breaker.failed();
        settle().await;
        assert_eq!(service.asked(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_to_a_request_under_way_closes_it() {
        let (breaker, service) = open().await;
        breaker.answered();
        assert_eq!(breaker.away(), None);
        advance(PAUSE).await;
        settle().await;
        // The probe that was due then was not answered, and that changes nothing.
        assert_eq!((breaker.away(), service.asked()), (None, 2));
        breaker.failed();
        breaker.failed();
        settle().await;
        assert!(breaker.away().is_some(), "it opens again");
    }
}
