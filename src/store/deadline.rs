//! How long a request may take.
//!
//! Whoever waits for a request is a process inside a system call, so a request ends whatever the service does. All of
//! its tries, and the pauses between them, have one [`Deadline`], which comes from the time-out that the user set:
//!
//! | request | ends |
//! |---|---|
//! | about names and properties | when the time-out is over, whatever has come by then |
//! | for a list, which may be long | the same; but its body may take longer while it moves |
//! | that brings or takes content | when nothing has moved for half of the time-out |
//!
//! Something moves if it has at least [`LEAST_RATE`] bytes per second over a *window*: a byte now and then is silence.
//! Bytes that go out have only gone as far as the next socket, which takes some of them with each try, whether anybody
//! reads them or not. So what an earlier try of the same request has sent or got already, and a little more
//! ([`Moved::beyond`]), keeps a try going and not the request. One try ends when nothing has moved for a window, which is half of what the request has, so that there is time for
//! another one over another connection; content that is to be stored has all of it, because it may have to be sent
//! again as a whole.
//!
//! Bytes that the service moves itself before it answers (Put Block From URL) stretch both.

use std::time::Duration;

use tokio::time::Instant;

/// The slowest that is waited for, in bytes per second. Less is a line that does not work.
const LEAST_RATE: u64 = 1 << 10;

/// The slowest server-side copy of a range within one call, in bytes per second.
const SLOWEST_SERVER_COPY: u64 = 10 << 20;

/// What a request is about, as far as its time depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// Names and properties.
    Metadata,
    /// A page of a listing, a list of blocks.
    List,
    /// Content that is read.
    Fetched,
    /// Content, or what makes it be there, in the body of the request.
    Stored,
}

/// The end of a request, and of the try that is under way.
#[derive(Debug)]
pub(super) struct Deadline {
    ends: Instant,
    try_ends: Instant,
    /// Time that the request has; and has again when something has moved, if `goes_on`.
    budget: Duration,
    goes_on: bool,
    window: Duration,
    /// Time that the service needs before it answers.
    work: Duration,
    /// Bytes that have moved in this window.
    moved: u64,
    /// Bytes that have moved for the first time, since the end was put off.
    anew: u64,
    out: Moved,
    back: Moved,
}

/// Bytes that have gone one way.
#[derive(Debug, Default)]
struct Moved {
    /// In this try.
    here: u64,
    /// In the one that came farthest, of those before.
    before: u64,
}

impl Moved {
    /// The try before this one has not ended by silence: what it moved, somebody has read.
    fn was_heard(&mut self) {
        (self.here, self.before) = (0, 0);
    }

    fn begin_try(&mut self) {
        self.before = self.before.max(self.here);
        self.here = 0;
    }

    /// So many more; how many of them are farther than any try before has come.
    fn more(&mut self, bytes: u64) -> u64 {
        let beyond = |here: u64| here.saturating_sub(self.beyond());
        let anew = beyond(self.here + bytes) - beyond(self.here);
        self.here += bytes;
        anew
    }

    /// Two sockets do not take quite the same before anybody reads.
    fn beyond(&self) -> u64 {
        self.before + self.before / 4
    }
}

impl Deadline {
    /// Begins now. `work`: bytes that the service moves before it answers.
    pub(super) fn new(timeout: Duration, bound: Bound, work: u64) -> Self {
        let budget = match bound {
            Bound::Metadata | Bound::List => timeout,
            Bound::Fetched | Bound::Stored => timeout / 2,
        };
        let window = if bound == Bound::Stored { budget } else { budget / 2 };
        let work = Duration::from_secs(work / SLOWEST_SERVER_COPY);
        let ends = Instant::now() + budget + work;
        let goes_on = bound != Bound::Metadata;
        let (out, back) = Default::default();
        Self { ends, try_ends: ends, budget, goes_on, window, work, moved: 0, anew: 0, out, back }
    }

    /// End of the request, as it is now.
    pub(super) fn ends(&self) -> Instant {
        self.ends
    }

    /// End of the try, as it is now.
    pub(super) fn try_ends(&self) -> Instant {
        self.try_ends.min(self.ends)
    }

    /// A try begins.
    pub(super) fn begin_try(&mut self) {
        self.try_ends = Instant::now() + self.window + self.work;
        (self.moved, self.anew) = (0, 0);
        self.out.begin_try();
        self.back.begin_try();
    }

    /// The connection of the try was broken by somebody, or the service has answered something else: no socket has only
    /// taken what nobody reads. The next try counts from its beginning.
    pub(super) fn broken(&mut self) {
        self.out.was_heard();
        self.back.was_heard();
    }

    /// The answer begins.
    pub(super) fn answered(&mut self) {
        self.try_ends = Instant::now() + self.window;
        self.moved = 0;
    }

    /// So many more bytes of the request have gone out.
    pub(super) fn sent(&mut self, bytes: u64) {
        let anew = self.out.more(bytes);
        self.moved(bytes, anew);
    }

    /// So many more bytes of the answer have come.
    pub(super) fn received(&mut self, bytes: u64) {
        let anew = self.back.more(bytes);
        self.moved(bytes, anew);
    }

    fn moved(&mut self, bytes: u64, anew: u64) {
        let (now, least) = (Instant::now(), self.least());
        self.moved += bytes;
        self.anew += anew;
        if self.moved >= least {
            self.moved = 0;
            self.try_ends = now + self.window + self.work;
        }
        if self.anew >= least {
            self.anew = 0;
            if self.goes_on {
                self.ends = self.ends.max(now + self.budget + self.work);
            }
        }
    }

    /// When to look again at what has gone out: soon enough that the end is not late by much.
    pub(super) fn next_look(&self) -> Instant {
        self.try_ends().min(Instant::now() + (self.window / 8).max(Duration::from_millis(10)))
    }

    /// Why a try ended whose answer had begun.
    pub(super) fn stalled(&self) -> String {
        match self.moved {
            0 => "the answer stalled".to_owned(),
            moved => format!("the answer is too slow: {moved} bytes in {:?}", self.window),
        }
    }

    /// Bytes that have to move in a window.
    fn least(&self) -> u64 {
        (LEAST_RATE * self.window.as_millis() as u64 / 1000).max(1)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tokio::time::advance;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[rstest]
    #[case(Bound::Metadata, 0, 60, 30)]
    #[case(Bound::List, 0, 60, 30)]
    #[case(Bound::Fetched, 0, 30, 15)]
    #[case(Bound::Stored, 0, 30, 30)]
    // 4000 MiB from a URL.
    #[case(Bound::Metadata, 4000 << 20, 460, 430)]
    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_try_and_then_the_request(
        #[case] bound: Bound,
        #[case] work: u64,
        #[case] whole: u64,
        #[case] a_try: u64,
    ) {
        let began = Instant::now();
        let mut deadline = Deadline::new(TIMEOUT, bound, work);
        deadline.begin_try();
        assert_eq!((deadline.ends() - began, deadline.try_ends() - began), (seconds(whole), seconds(a_try)));
        advance(seconds(a_try)).await;
        deadline.begin_try();
        assert_eq!(deadline.try_ends() - began, seconds(whole), "the last try has what is left");
    }

    #[tokio::test(start_paused = true)]
    async fn content_goes_on_while_it_moves_and_names_do_not() {
        for (bound, goes_on) in
            [(Bound::Metadata, false), (Bound::List, true), (Bound::Fetched, true), (Bound::Stored, true)]
        {
            let began = Instant::now();
            let mut deadline = Deadline::new(TIMEOUT, bound, 0);
            deadline.begin_try();
            // 4 KiB a second for an hour.
            while deadline.try_ends() > Instant::now() && began.elapsed() < seconds(3600) {
                advance(seconds(1)).await;
                deadline.sent(4 << 10);
            }
            assert_eq!(began.elapsed(), if goes_on { seconds(3600) } else { TIMEOUT }, "{bound:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_trickles_is_silence() {
        for (bound, bytes, window) in [(Bound::Metadata, 1, 30), (Bound::Fetched, 1000, 15), (Bound::Stored, 1000, 30)]
        {
            let began = Instant::now();
            let mut deadline = Deadline::new(TIMEOUT, bound, 0);
            deadline.begin_try();
            while deadline.try_ends() > Instant::now() {
                advance(seconds(1)).await;
                deadline.received(bytes);
            }
            assert_eq!(began.elapsed(), seconds(window), "{bound:?}");
            assert!(
                deadline.stalled().contains(&format!("too slow: {} bytes", bytes * window)),
                "{}",
                deadline.stalled()
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_beginning_of_an_answer_gives_its_body_a_window_and_the_request_no_more_time() {
        let began = Instant::now();
        let mut deadline = Deadline::new(TIMEOUT, Bound::Fetched, 0);
        deadline.begin_try();
        advance(seconds(14)).await;
        deadline.answered();
        assert_eq!((deadline.try_ends() - began, deadline.ends() - began), (seconds(29), seconds(30)));
        assert_eq!(deadline.stalled(), "the answer stalled");
        advance(seconds(10)).await;
        deadline.received(8 << 20);
        assert_eq!((deadline.try_ends() - began, deadline.ends() - began), (seconds(39), seconds(54)));
    }
    /// A socket takes so much with each try, and nobody reads it; or the beginning of an answer comes, again and again.
    #[tokio::test(start_paused = true)]
    async fn what_moves_once_more_puts_nothing_off() {
        let sent: fn(&mut Deadline, u64) = Deadline::sent;
        for (bound, moved) in [(Bound::Stored, sent), (Bound::Fetched, Deadline::received)] {
            let began = Instant::now();
            let mut deadline = Deadline::new(TIMEOUT, bound, 0);
            // A try ends after 15 s, and each takes a little more than the one before.
            for bytes in [2_500_000, 2_400_000, 2_600_000, 2_700_000] {
                if Instant::now() >= deadline.ends() {
                    break;
                }
                deadline.begin_try();
                advance(seconds(1)).await;
                moved(&mut deadline, bytes);
                advance(seconds(14).min(deadline.ends() - Instant::now())).await;
            }
            assert_eq!(began.elapsed(), seconds(31), "{bound:?}");
            // What comes after it does count.
            moved(&mut deadline, 3 << 20);
            assert_eq!(deadline.ends(), Instant::now() + seconds(30), "{bound:?}");
        }
    }
}
