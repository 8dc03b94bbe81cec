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
//! What the kernel writes back of a mapping (kernel fact 25) names no thread, and whoever waits for it cannot end, also
//! not in the kernel. So it does not wait for long: after [`SLICE`] it is answered as done, as long as there is room for
//! it beyond the memory that content may have (`Memory::overdraw`), and it goes on behind that; what comes of it is the
//! error of the next fsync or close. When that room is full, it waits as long as anything moves, and nobody who has
//! opened the file for writing is to end. Where nothing moves any more it is refused with EIO, which the kernel tells
//! whoever calls fsync or close next.
//!
//! A request that ends at once never comes here, and for the others the cost is an entry in a table.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak, mpsc};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use fuser::Errno;
use tracing::warn;

use crate::fs::caller::{Caller, Waiter, Wanted};
use crate::fs::{Fs, WrittenBack};
use crate::fuse::call::Refuse;
use crate::store::{bytes_sent, requests_stored};
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

/// Time without any movement after which nothing is expected to move any more: longer than the service usually takes for
/// a block that it has got.
const STANDSTILL: Duration = Duration::from_secs(5);

/// Bytes that count as movement: heads and probes do not.
const SOME: u64 = 64 << 10;

/// A request that can be answered before its work is done.
trait LetGo: Send + Sync {
    /// Tells its work that the caller is to end, so that it does not take the caller for gone when it looks itself.
    fn tell(&self);

    /// Answers that it was interrupted, unless it is answered; what is written back is answered as done.
    fn let_go(&self);

    /// Answers EIO, unless it is answered, and tells its work that nothing needs to come of it.
    fn refuse(&self);

    /// Answers ENOTCONN, unless it is answered. Its work is not told: no copy is to be aborted because the mount ends.
    fn end(&self);
}

/// The answer to a request, for whoever is first: its work or the watch.
struct Slot<R> {
    reply: Mutex<Option<R>>,
    told: AtomicBool,
    refused: AtomicBool,
}

impl<R> Slot<R> {
    fn new(reply: R) -> Arc<Self> {
        let (told, refused) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { reply: Mutex::new(Some(reply)), told, refused })
    }

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

    fn refuse(&self) {
        self.refused.store(true, Ordering::Release);
        self.tell();
        self.answer(Errno::EIO);
    }

    fn end(&self) {
        self.answer(Errno::ENOTCONN);
    }
}

/// What the kernel writes back.
struct WriteBack<R> {
    slot: Arc<Slot<R>>,
    /// Bytes.
    len: u32,
    done: fn(R, u32),
}

impl<R: Refuse + Send> LetGo for WriteBack<R> {
    fn tell(&self) {
        self.slot.tell();
    }

    fn let_go(&self) {
        if let Some(reply) = self.slot.take() {
            (self.done)(reply, self.len);
        }
    }

    fn refuse(&self) {
        self.slot.refuse();
    }

    fn end(&self) {
        self.slot.end();
    }
}

impl<R: Send> Waiter for Slot<R> {
    fn is_let_go(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }

    fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Acquire)
    }
}

struct Entry {
    /// Whoever has to be gone for the request to be let go: one of these.
    callers: Vec<Caller>,
    /// Bytes that the kernel writes back; 0 of all other requests.
    written_back: u64,
    since: Instant,
    /// When its work was told that the caller is to end.
    told: Option<Instant>,
    request: Arc<dyn LetGo>,
}

#[derive(Default)]
struct Table {
    next: u64,
    entries: HashMap<u64, Entry>,
    /// Bytes that the kernel has written back and whose work is not done, although it was answered.
    taken: u64,
    /// The watch sleeps until it is woken.
    asleep: bool,
    ended: bool,
}

#[derive(Default)]
struct Shared {
    table: Mutex<Table>,
    /// What is written back from here on is refused.
    refusing: AtomicBool,
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
        let slot = Slot::new(reply);
        self.watch_over(vec![Caller { pid }], 0, slot.clone(), slot)
    }

    /// So many bytes that the kernel writes back have to wait, of a file that `writers` have open; `done` answers that
    /// they are taken.
    pub(super) fn enter_write_back<R: Refuse + Send + 'static>(
        &self,
        writers: Vec<Caller>,
        len: u32,
        reply: R,
        done: fn(R, u32),
    ) -> Waiting<R> {
        let slot = Slot::new(reply);
        let request = Arc::new(WriteBack { slot: slot.clone(), len, done });
        // What could be taken at once would not come here.
        if self.refuses_write_back() {
            request.refuse();
        }
        self.watch_over(writers, u64::from(len), slot, request)
    }

    fn watch_over<R>(
        &self,
        mut callers: Vec<Caller>,
        written_back: u64,
        slot: Arc<Slot<R>>,
        request: Arc<dyn LetGo>,
    ) -> Waiting<R> {
        // Who is in another PID namespace has no number here, and cannot be looked at.
        callers.retain(|caller| caller.pid != 0);
        let entry = Entry { callers, written_back, since: Instant::now(), told: None, request };
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

    /// There is no room for what the kernel writes back, and none is expected.
    pub(super) fn refuses_write_back(&self) -> bool {
        self.0.refusing.load(Ordering::Relaxed)
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
        let mut table = lock(&self.shared.table);
        let entry = table.entries.remove(&self.id);
        table.taken -= entry.as_ref().filter(|entry| entry.told.is_some()).map_or(0, |entry| entry.written_back);
        drop(table);
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
    movement: Movement,
}

/// Whether anything goes out to a service.
struct Movement {
    sent: u64,
    stored: u64,
    since: Instant,
}

impl Movement {
    /// Looks at what was sent and stored so far, and whether somebody waits for it. True if nothing moves.
    fn stands_still(&mut self, sent: u64, stored: u64, is_waited_for: bool) -> bool {
        if !is_waited_for || stored != self.stored || sent - self.sent >= SOME {
            *self = Self { sent, stored, since: Instant::now() };
        }
        self.since.elapsed() >= STANDSTILL
    }
}

impl Watch {
    fn new(shared: Arc<Shared>, fs: Weak<Fs>) -> Self {
        let movement = Movement { sent: 0, stored: 0, since: Instant::now() };
        Self { shared, fs, looks: Looks::new(look), marked: HashSet::new(), going: HashMap::new(), movement }
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
            if let Some(fs) = self.fs.upgrade() {
                if fs.ending().is_ended() {
                    self.let_all_go();
                }
                self.take_what_is_written_back(WrittenBack::of(&fs).overdraft());
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

    /// The requests to be looked at, with those who wait for them.
    fn due(&self, table: &Table) -> Vec<(u64, Caller)> {
        let is_due = |entry: &Entry| {
            entry.since.elapsed() >= SLICE || entry.callers.iter().any(|caller| self.going.contains_key(caller))
        };
        let is_answered = |entry: &Entry| entry.written_back > 0 && entry.told.is_some();
        let due = table.entries.iter().filter(|(_, entry)| is_due(entry) && !is_answered(entry));
        due.flat_map(|(id, entry)| entry.callers.iter().map(|caller| (*id, *caller))).collect()
    }

    /// Answers what the kernel writes back and what has waited long enough: as done if there is room for so many bytes,
    /// or refused where nothing moves.
    fn take_what_is_written_back(&mut self, room: u64) {
        let mut table = lock(&self.shared.table);
        let Table { entries, taken, .. } = &mut *table;
        let waiting = entries.iter_mut().filter(|(_, entry)| entry.written_back > 0 && entry.told.is_none());
        let mut due: Vec<_> = waiting.filter(|(_, entry)| entry.since.elapsed() >= SLICE).collect();
        due.sort_by_key(|(id, _)| **id);
        let is_full = due.iter().map(|(_, entry)| entry.written_back).sum::<u64>() + *taken > room;
        let is_stuck = is_full || self.shared.refusing.load(Ordering::Relaxed) && *taken > 0;
        let stands_still = self.movement.stands_still(bytes_sent(), requests_stored(), is_stuck);
        let mut taking = Vec::new();
        let mut refused = Vec::new();
        for (_, entry) in due {
            let fits = *taken + entry.written_back <= room;
            if !fits && !stands_still {
                break;
            }
            *taken += entry.written_back;
            entry.told = Some(Instant::now());
            if fits { &mut taking } else { &mut refused }.push(entry.request.clone());
        }
        drop(table);
        for request in &taking {
            request.tell();
            request.let_go();
        }
        refused.iter().for_each(|request| request.refuse());
        if self.shared.refusing.swap(stands_still, Ordering::Relaxed) != stands_still && stands_still {
            warn!("what programs write through mappings is refused: the memory is full, and no service takes anything");
        }
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
            if let Some(request) = self.told(*id, is_going) {
                self.going.insert(*caller, Instant::now());
                request.let_go();
            }
        }
    }

    /// Tells the work of a request that its caller is to end. The request, if nothing is gained by waiting for that.
    fn told(&self, id: u64, is_going: bool) -> Option<Arc<dyn LetGo>> {
        let mut table = lock(&self.shared.table);
        let Table { entries, taken, .. } = &mut *table;
        let entry = entries.get_mut(&id)?;
        if entry.told.is_none() {
            *taken += entry.written_back;
        }
        let told = *entry.told.get_or_insert_with(Instant::now);
        entry.request.tell();
        let at_once = is_going || entry.written_back > 0;
        (at_once || told.elapsed() >= GRACE).then(|| entry.request.clone())
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
            self.0.fetch_add(if i32::from(errno) == libc::EINTR { 1 } else { REFUSED }, Ordering::SeqCst);
        }
    }

    /// Counted for an answer with another error.
    const REFUSED: usize = 1000;

    /// Has written back so many bytes, long ago.
    fn write_back(underway: &Underway, len: u32) -> (Waiting<Reply>, Reply) {
        let reply = Reply::default();
        let waiting = underway.enter_write_back(vec![Caller { pid: 7 }], len, reply.clone(), |reply, len| {
            reply.0.fetch_add(len as usize, Ordering::SeqCst);
        });
        let mut table = lock(&underway.0.table);
        table.entries.get_mut(&waiting.id).unwrap().since -= SLICE;
        (waiting, reply)
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
    #[test]
    fn what_is_written_back_is_taken_as_far_as_there_is_room_and_goes_on() {
        let underway = Underway(Arc::default());
        let mut watch = Watch::new(underway.0.clone(), Weak::new());
        let writes = [10, 20, 30].map(|len| write_back(&underway, len));
        let answers = |writes: &[(Waiting<Reply>, Reply)]| -> Vec<usize> {
            writes.iter().map(|(_, reply)| reply.0.load(Ordering::SeqCst)).collect()
        };
        watch.take_what_is_written_back(40);
        assert_eq!(answers(&writes), [10, 20, 0]);
        assert!(writes.iter().map(|(waiting, _)| waiting.waiter().is_let_go()).eq([true, true, false]));
        watch.take_what_is_written_back(40);
        assert_eq!((answers(&writes), lock(&underway.0.table).taken), (vec![10, 20, 0], 30));
        // Only who waits still is looked at.
        assert_eq!(watch.due(&lock(&underway.0.table)), [(2, Caller { pid: 7 })]);
        let [first, second, third] = writes;
        drop(first);
        watch.take_what_is_written_back(40);
        assert_eq!((third.1.0.load(Ordering::SeqCst), lock(&underway.0.table).taken), (0, 20));
        drop(second);
        watch.take_what_is_written_back(40);
        assert_eq!((third.1.0.load(Ordering::SeqCst), lock(&underway.0.table).taken), (30, 30));
        assert!(third.0.waiter().is_let_go() && !third.0.waiter().is_refused() && third.0.done().is_none());
        assert_eq!(lock(&underway.0.table).taken, 0);
        assert!(!underway.refuses_write_back());
    }

    #[test]
    fn what_is_written_back_is_refused_where_nothing_moves_and_there_is_no_room() {
        let underway = Underway(Arc::default());
        let mut watch = Watch::new(underway.0.clone(), Weak::new());
        let (waiting, reply) = write_back(&underway, 10);
        watch.take_what_is_written_back(5);
        assert_eq!(reply.0.load(Ordering::SeqCst), 0, "it waits as long as something may move");
        watch.movement = Movement { sent: bytes_sent(), stored: requests_stored(), since: Instant::now() - STANDSTILL };
        watch.take_what_is_written_back(5);
        assert_eq!(reply.0.load(Ordering::SeqCst), REFUSED);
        assert!(waiting.waiter().is_refused() && underway.refuses_write_back());
        drop(waiting);
        watch.take_what_is_written_back(5);
        assert!(!underway.refuses_write_back(), "nobody waits any more");
    }

    #[test]
    fn whose_writer_is_to_end_is_taken_without_any_room() {
        let underway = Underway(Arc::default());
        let mut watch = Watch::new(underway.0.clone(), Weak::new());
        watch.looks = Looks::new(|_| Wanted::Gone);
        let (waiting, reply) = write_back(&underway, 10);
        let due = watch.due(&lock(&underway.0.table));
        watch.look_at(&due);
        assert_eq!(reply.0.load(Ordering::SeqCst), 10);
        assert_eq!(lock(&underway.0.table).taken, 10);
        drop(waiting);
        assert_eq!(lock(&underway.0.table).taken, 0);
    }

    #[test]
    fn heads_and_probes_are_no_movement() {
        let long_ago = || Instant::now() - STANDSTILL;
        let mut movement = Movement { sent: 100, stored: 1, since: long_ago() };
        assert!(movement.stands_still(100 + SOME - 1, 1, true));
        assert!(!movement.stands_still(100 + SOME, 1, true));
        movement.since = long_ago();
        assert!(!movement.stands_still(100 + SOME, 2, true));
        movement.since = long_ago();
        assert!(!movement.stands_still(100 + SOME, 2, false), "nobody waits");
    }
}
