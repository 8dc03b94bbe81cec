//! Requests of the kernel that are under way, and the watch over who waits for them.
//!
//! A program inside a request cannot be ended before we answer: fuser answers FUSE_INTERRUPT with ENOSYS and tells
//! nobody (design, kernel fact 5). But each request names the thread that waits. So a request that takes longer than
//! [`SLICE`] is looked at every [`LOOK`], and when a signal is pending by which somebody wants its caller to end
//! ([`Caller::wanted_gone`]), its work hears of it ([`Waiter`]), and soon after it is answered with EINTR. The work is
//! not dropped half-way, for nobody could tell then what has been done at the service: it goes on behind the answer,
//! and what the kernel was to get with the answer is given back (`held`).
//!
//! The looks are at files of `/proc`, and some of these block until we answer a request (kernel fact 21). Those that
//! are looked at here do not, but nothing may depend on it: one thread of its own plans the looks, another one looks,
//! with no lock held, and if that takes too long it is left where it is and a new one goes on with the others.
//!
//! A request that ends at once never comes here, and for the others the cost is an entry in a table.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak, mpsc};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use fuser::Errno;
use tracing::warn;

use crate::fs::Fs;
use crate::fs::caller::{Caller, Waiter, Wanted};
use crate::fuse::call::Refuse;
use crate::sync::lock;

/// The time for which a request is left alone. With what follows it, who gets a signal is gone within a second.
const SLICE: Duration = Duration::from_millis(200);

/// The time in which work that waits for a copy can end by itself, when it has heard that its caller is to end: what it
/// undoes is undone then before the caller is gone. Longer than the time between two looks of such work.
const GRACE: Duration = Duration::from_millis(400);

/// The time between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Looks at an empty table before the watch sleeps until somebody comes. To wake it for each request would cost more
/// than most requests do.
const IDLE_LOOKS: u32 = 20;

/// Longest time for one look at a process.
const LONGEST_LOOK: Duration = Duration::from_millis(200);

/// Looks that may be stuck at the same time.
const MOST_STUCK: usize = 8;

/// The time for which the other requests of a caller that was let go are not left alone any more: who is killed with
/// many files open closes one after the other.
const GOING: Duration = Duration::from_secs(10);

/// A request that can be answered before its work is done.
trait LetGo: Send + Sync {
    /// Tells its work that the caller is to end, so that it does not take the caller for gone when it looks itself.
    fn tell(&self);

    /// Answers EINTR, unless it is answered.
    fn let_go(&self);

    /// Answers ENOTCONN, unless it is answered. Its work is not told: no copy is to be aborted because the mount ends.
    fn end(&self);
}

/// The answer to a request, for whoever is first: its work or the watch.
struct Slot<R> {
    reply: Mutex<Option<R>>,
    told: AtomicBool,
}

impl<R> Slot<R> {
    fn take(&self) -> Option<R> {
        lock(&self.reply).take()
    }
}

impl<R: Refuse> Slot<R> {
    fn answer(&self, errno: Errno) {
        let reply = self.take();
        if let Some(reply) = reply {
            reply.refuse(errno);
        }
    }
}

impl<R: Refuse + Send> LetGo for Slot<R> {
    fn tell(&self) {
        self.told.store(true, Ordering::Release);
    }

    fn let_go(&self) {
        self.answer(Errno::EINTR);
    }

    fn end(&self) {
        self.answer(Errno::ENOTCONN);
    }
}

impl<R: Send> Waiter for Slot<R> {
    fn is_let_go(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }
}

struct Entry {
    caller: Caller,
    since: Instant,
    /// When its work was told that the caller is to end.
    told: Option<Instant>,
    request: Arc<dyn LetGo>,
}

#[derive(Default)]
struct Table {
    next: u64,
    entries: HashMap<u64, Entry>,
    /// The watch sleeps until it is woken.
    asleep: bool,
    ended: bool,
}

#[derive(Default)]
struct Shared {
    table: Mutex<Table>,
    watch: OnceLock<Thread>,
}

impl Shared {
    fn wake(&self) {
        if let Some(watch) = self.watch.get() {
            watch.unpark();
        }
    }
}

/// The requests under way of one mount. The watch ends when this is dropped.
pub(super) struct Underway(Arc<Shared>);

impl Underway {
    /// Begins the watch.
    pub(super) fn watched(fs: Weak<Fs>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let watch = Watch::new(shared.clone(), fs);
        let watch = thread::Builder::new().name("underway".into()).spawn(move || watch.run())?;
        let _ = shared.watch.set(watch.thread().clone());
        Ok(Self(shared))
    }

    /// A request has to wait, and `reply` is how it is answered.
    pub(super) fn enter<R: Refuse + Send + 'static>(&self, pid: u32, reply: R) -> Waiting<R> {
        let slot = Arc::new(Slot { reply: Mutex::new(Some(reply)), told: AtomicBool::new(false) });
        let entry = Entry { caller: Caller { pid }, since: Instant::now(), told: None, request: slot.clone() };
        let mut table = lock(&self.0.table);
        let id = table.next;
        table.next += 1;
        table.entries.insert(id, entry);
        let was_asleep = std::mem::take(&mut table.asleep);
        drop(table);
        if was_asleep {
            self.0.wake();
        }
        Waiting { slot, id, shared: self.0.clone() }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        lock(&self.0.table).ended = true;
        self.0.wake();
    }
}

/// A request under way.
pub(super) struct Waiting<R> {
    slot: Arc<Slot<R>>,
    id: u64,
    shared: Arc<Shared>,
}

impl<R: Send + 'static> Waiting<R> {
    /// How the work learns that nobody waits for it any more.
    pub(super) fn waiter(&self) -> Arc<dyn Waiter> {
        self.slot.clone()
    }

    /// The work is done: the way to answer, unless that has been done for it.
    pub(super) fn done(self) -> Option<R> {
        self.slot.take()
    }
}

impl<R> Drop for Waiting<R> {
    fn drop(&mut self) {
        let entry = lock(&self.shared.table).entries.remove(&self.id);
        drop(entry);
    }
}

/// The thread that plans the looks.
struct Watch {
    shared: Arc<Shared>,
    fs: Weak<Fs>,
    looks: Looks,
    /// Callers that had a signal pending at the last look, of which another thread of theirs may be about to take it.
    marked: HashSet<Caller>,
    /// Callers that were let go.
    going: HashMap<Caller, Instant>,
}

impl Watch {
    fn new(shared: Arc<Shared>, fs: Weak<Fs>) -> Self {
        Self { shared, fs, looks: Looks::new(look), marked: HashSet::new(), going: HashMap::new() }
    }

    fn run(mut self) {
        let mut idle = 0;
        loop {
            thread::park_timeout(LOOK);
            self.going.retain(|_, since| since.elapsed() < GOING);
            let due = {
                let mut table = lock(&self.shared.table);
                if table.ended {
                    return;
                }
                idle = if table.entries.is_empty() { idle + 1 } else { 0 };
                table.asleep = idle > IDLE_LOOKS;
                self.due(&table)
            };
            if self.fs.upgrade().is_some_and(|fs| fs.ending().is_ended()) {
                self.let_all_go();
            }
            self.look_at(&due);
            while idle > IDLE_LOOKS && lock(&self.shared.table).asleep {
                thread::park();
                if lock(&self.shared.table).ended {
                    return;
                }
            }
            if idle > IDLE_LOOKS {
                idle = 0;
            }
        }
    }

    /// The requests to be looked at. Who is in another PID namespace has no number here, and cannot be.
    fn due(&self, table: &Table) -> Vec<(u64, Caller)> {
        let is_due = |entry: &Entry| {
            entry.caller.pid != 0 && (entry.since.elapsed() >= SLICE || self.going.contains_key(&entry.caller))
        };
        table.entries.iter().filter(|(_, entry)| is_due(entry)).map(|(id, entry)| (*id, entry.caller)).collect()
    }

    /// The process ends. Threads of its own may wait in the kernel for locks that callers hold, and cannot end before
    /// these are answered (kernel fact 24).
    fn let_all_go(&self) {
        let requests: Vec<_> = lock(&self.shared.table).entries.values().map(|entry| entry.request.clone()).collect();
        for request in requests {
            request.end();
        }
    }

    /// Lets those go whose callers are wanted gone.
    fn look_at(&mut self, due: &[(u64, Caller)]) {
        let callers: HashSet<Caller> = due.iter().map(|(_, caller)| *caller).collect();
        let wanted = self.looks.at(callers.into_iter().collect());
        let is_wanted = |(caller, wanted): (Caller, Wanted)| match wanted {
            Wanted::Gone => Some(caller),
            Wanted::Perhaps => self.marked.contains(&caller).then_some(caller),
            Wanted::Here => None,
        };
        let gone: HashSet<Caller> = wanted.iter().copied().filter_map(is_wanted).collect();
        self.marked =
            wanted.iter().filter(|(_, wanted)| *wanted == Wanted::Perhaps).map(|(caller, _)| *caller).collect();
        for (id, caller) in due.iter().filter(|(_, caller)| gone.contains(caller)) {
            // Of who is killed with many files open each is closed after the other, and only the first is worth it.
            let is_going = self.going.contains_key(caller);
            if let Some(request) = self.told(*id, if is_going { Duration::ZERO } else { GRACE }) {
                self.going.insert(*caller, Instant::now());
                request.let_go();
            }
        }
    }

    /// Tells the work of a request that its caller is to end. The request, if it was told that long ago.
    fn told(&self, id: u64, grace: Duration) -> Option<Arc<dyn LetGo>> {
        let mut table = lock(&self.shared.table);
        let entry = table.entries.get_mut(&id)?;
        let told = *entry.told.get_or_insert_with(Instant::now);
        entry.request.tell();
        (told.elapsed() >= grace).then(|| entry.request.clone())
    }
}

/// What a look at a caller says; another function in tests.
type Look = fn(Caller) -> Wanted;

fn look(caller: Caller) -> Wanted {
    caller.wanted_gone()
}

/// The thread that looks, and those that are stuck in a look.
struct Looks {
    look: Look,
    looker: Option<Looker>,
    stuck: Vec<(Caller, JoinHandle<()>)>,
}

struct Looker {
    asks: mpsc::Sender<Vec<Caller>>,
    answers: mpsc::Receiver<(Caller, Wanted)>,
    thread: JoinHandle<()>,
}

impl Looker {
    fn start(look: Look) -> std::io::Result<Self> {
        let (asks, asked) = mpsc::channel::<Vec<Caller>>();
        let (answer, answers) = mpsc::channel();
        let work = move || {
            for caller in asked.into_iter().flatten() {
                // Whoever was stuck here has been left.
                if answer.send((caller, look(caller))).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("signals".into()).spawn(work)?;
        Ok(Self { asks, answers, thread })
    }
}

impl Looks {
    fn new(look: Look) -> Self {
        Self { look, looker: None, stuck: Vec::new() }
    }

    /// Looks at callers, but for those at whom a look is stuck.
    fn at(&mut self, mut callers: Vec<Caller>) -> Vec<(Caller, Wanted)> {
        self.stuck.retain(|(_, thread)| !thread.is_finished());
        callers.retain(|caller| self.stuck.iter().all(|(stuck, _)| stuck != caller));
        let mut found = Vec::new();
        while !callers.is_empty() && self.stuck.len() < MOST_STUCK {
            let looker = match self.looker.take().map_or_else(|| Looker::start(self.look), Ok) {
                Ok(looker) => looker,
                Err(error) => {
                    warn!(%error, "nobody can look for signals");
                    break;
                }
            };
            if looker.asks.send(callers.clone()).is_err() {
                continue;
            }
            while let Some(caller) = callers.first().copied() {
                let Ok(answer) = looker.answers.recv_timeout(LONGEST_LOOK) else { break };
                debug_assert_eq!(answer.0, caller);
                found.push(answer);
                callers.remove(0);
            }
            match callers.is_empty() {
                true => self.looker = Some(looker),
                false => self.stuck.push((callers.remove(0), looker.thread)),
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Clone, Default)]
    struct Reply(Arc<AtomicUsize>);

    impl Refuse for Reply {
        fn refuse(self, errno: Errno) {
            assert_eq!(i32::from(errno), libc::EINTR);
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Stuck at odd callers until the test ends.
    fn stuck_at_odd_ones(caller: Caller) -> Wanted {
        if caller.pid % 2 == 1 {
            thread::park_timeout(Duration::from_secs(60));
        }
        Wanted::Gone
    }

    #[test]
    fn a_look_that_is_stuck_keeps_nobody_else_waiting() {
        let mut looks = Looks::new(stuck_at_odd_ones);
        let callers = |pids: &[u32]| pids.iter().map(|pid| Caller { pid: *pid }).collect::<Vec<_>>();
        let found = |looks: &mut Looks, pids: &[u32]| -> Vec<u32> {
            looks.at(callers(pids)).iter().map(|(caller, _)| caller.pid).collect()
        };
        assert_eq!(found(&mut looks, &[2, 3, 4, 5, 6]), [2, 4, 6]);
        assert_eq!(looks.stuck.len(), 2);
        // They are not asked for again, and the others go on.
        assert_eq!(found(&mut looks, &[3, 5, 8]), [8]);
        assert_eq!(looks.stuck.len(), 2);
        let many: Vec<u32> = (0..40).map(|pid| 2 * pid + 101).collect();
        assert_eq!(found(&mut looks, &many), [0; 0]);
        assert_eq!(looks.stuck.len(), MOST_STUCK);
        for (_, stuck) in &looks.stuck {
            stuck.thread().unpark();
        }
    }

    #[test]
    fn who_is_let_go_is_answered_once_and_the_work_hears_of_it() {
        let underway = Underway(Arc::default());
        let reply = Reply::default();
        let waiting = underway.enter(7, reply.clone());
        let waiter = waiting.waiter();
        assert!(!waiter.is_let_go());
        let request = lock(&underway.0.table).entries.values().next().unwrap().request.clone();
        request.tell();
        assert!(waiter.is_let_go() && reply.0.load(Ordering::SeqCst) == 0);
        request.let_go();
        request.let_go();
        assert!(waiter.is_let_go() && waiting.done().is_none());
        assert_eq!(reply.0.load(Ordering::SeqCst), 1);
        // The other way round: what is answered is not answered again.
        let waiting = underway.enter(7, reply.clone());
        let request = lock(&underway.0.table).entries.values().next().unwrap().request.clone();
        assert!(waiting.done().is_some());
        request.let_go();
        assert_eq!(reply.0.load(Ordering::SeqCst), 1);
        assert!(lock(&underway.0.table).entries.is_empty());
    }

    #[test]
    fn who_cannot_be_seen_is_not_looked_at() {
        let underway = Underway(Arc::default());
        let mut watch = Watch::new(underway.0.clone(), Weak::new());
        let waiting = [0, 7].map(|pid| underway.enter(pid, Reply::default()));
        assert_eq!(watch.due(&lock(&underway.0.table)), []);
        // Who is ending is not left alone any more.
        watch.going = [0, 7].map(|pid| (Caller { pid }, Instant::now())).into();
        assert_eq!(watch.due(&lock(&underway.0.table)), [(1, Caller { pid: 7 })]);
        drop(waiting);
    }
}
