//! When to list a directory because its names are looked up one by one.
//!
//! Who makes a thousand files, or opens a thousand whose names stand elsewhere, looks up a thousand names, and an
//! unknown name is two requests. A listing of one page answers them all for as long as it is believed. So once enough
//! names of a directory had to be asked for in a short time, it is listed, and the larger it was the last time, the
//! more names that takes. A directory of more than one page, or one whose listing takes too long, is not worth it and
//! is left alone for a while.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::fs::names::attr::Ino;
use crate::sync::{MutexGuard, lock};

/// Lookups of unknown names after which an empty directory is listed.
const ENOUGH: usize = 8;

/// Names in a listing that cost as much as one lookup more: some 500 bytes each.
const NAMES_PER_LOOKUP: usize = 50;

/// A directory whose listing did not help is not listed again for this long.
const RESPITE: Duration = Duration::from_secs(60);

/// Directories that are counted at a time.
const MOST: usize = 1000;

/// Counts the lookups in each directory.
pub(crate) struct Lookups {
    of: Mutex<HashMap<Ino, LookupCount>>,
    /// The time for which a listing is believed: lookups of this time and of the one before it count.
    ttl: Duration,
}

struct LookupCount {
    since: Instant,
    now: usize,
    before: usize,
    /// Names that the directory had when it was listed last.
    names: usize,
    listing: bool,
    respite: Option<Instant>,
}

/// The listing of a directory, which one caller at a time is to do.
pub(crate) struct Turn<'a> {
    lookups: &'a Lookups,
    dir: Ino,
    names: Option<usize>,
}

impl Lookups {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { of: Mutex::default(), ttl }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Ino, LookupCount>> {
        lock(&self.of)
    }

    /// A name of the directory has to be asked for, unless the caller lists the directory: then it has the turn to do
    /// so.
    pub(crate) fn ask(&self, dir: Ino) -> Option<Turn<'_>> {
        let now = Instant::now();
        let mut of = self.lock();
        let count = self.count(&mut of, dir, now)?;
        count.note(now, self.ttl);
        let enough = ENOUGH + count.names / NAMES_PER_LOOKUP;
        if count.listing || count.respite.is_some_and(|until| now < until) || count.now + count.before <= enough {
            return None;
        }
        count.listing = true;
        Some(Turn { lookups: self, dir, names: None })
    }

    /// Names of the directory will be looked up: it was just made.
    pub(crate) fn expect(&self, dir: Ino) {
        self.count(&mut self.lock(), dir, Instant::now());
    }

    fn count<'a>(&self, of: &'a mut HashMap<Ino, LookupCount>, dir: Ino, now: Instant) -> Option<&'a mut LookupCount> {
        if of.len() >= MOST && !of.contains_key(&dir) {
            of.retain(|_, count| count.listing || count.is_of_use(now, self.ttl));
            if of.len() >= MOST {
                return None;
            }
        }
        Some(of.entry(dir).or_insert_with(|| LookupCount::new(now)))
    }

    /// A listing had the answer. That counts as well where names were asked for before: the next listing is due when
    /// this one is old.
    pub(crate) fn answered(&self, dir: Ino) {
        if let Some(count) = self.lock().get_mut(&dir) {
            count.note(Instant::now(), self.ttl);
        }
    }
}

impl LookupCount {
    fn new(now: Instant) -> Self {
        Self { since: now, now: 0, before: 0, names: 0, listing: false, respite: None }
    }

    fn note(&mut self, now: Instant, ttl: Duration) {
        let age = now.saturating_duration_since(self.since);
        if age >= ttl {
            self.before = if age < ttl * 2 { self.now } else { 0 };
            (self.since, self.now) = (now, 0);
        }
        self.now += 1;
    }

    fn is_of_use(&self, now: Instant, ttl: Duration) -> bool {
        now.saturating_duration_since(self.since) < ttl * 2 || self.respite.is_some_and(|until| now < until)
    }
}

impl Turn<'_> {
    /// The listing is there, whole, with that many names.
    pub(crate) fn done(mut self, names: usize) {
        self.names = Some(names);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut of = self.lookups.lock();
        let Some(count) = of.get_mut(&self.dir) else { return };
        count.listing = false;
        (count.now, count.before) = (0, 0);
        match self.names {
            Some(names) => count.names = names,
            // Too long, too slow, or not allowed.
            None => count.respite = Some(Instant::now() + RESPITE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIR: Ino = Ino(7);
    const LONG: Duration = Duration::from_secs(600);

    /// Lookups until one has the turn, at most 1000.
    fn asks(lookups: &Lookups) -> usize {
        (0..1000).take_while(|_| lookups.ask(DIR).is_none()).count()
    }

    #[test]
    fn it_takes_more_lookups_the_larger_the_directory_was() {
        let lookups = Lookups::new(LONG);
        for _ in 0..ENOUGH {
            assert!(lookups.ask(DIR).is_none());
        }
        assert!(lookups.ask(Ino(8)).is_none(), "each directory for itself");
        lookups.ask(DIR).unwrap().done(100 * NAMES_PER_LOOKUP);
        assert_eq!(asks(&lookups), ENOUGH + 100);
    }

    #[test]
    fn lookups_that_a_listing_answered_count_for_the_next_one() {
        let lookups = Lookups::new(LONG);
        // Nobody asked: a listing that a program wanted is no reason for another.
        (0..100).for_each(|_| lookups.answered(DIR));
        assert_eq!(asks(&lookups), ENOUGH);
        let lookups = Lookups::new(LONG);
        assert!(lookups.ask(DIR).is_none());
        (0..ENOUGH).for_each(|_| lookups.answered(DIR));
        assert_eq!(asks(&lookups), 0);
        let lookups = Lookups::new(LONG);
        lookups.expect(DIR);
        (0..=ENOUGH).for_each(|_| lookups.answered(DIR));
        assert_eq!(asks(&lookups), 0);
    }

    #[test]
    fn one_lists_at_a_time_and_nobody_for_a_while_after_a_failure() {
        let lookups = Lookups::new(LONG);
        (0..ENOUGH).for_each(|_| drop(lookups.ask(DIR)));
        let turn = lookups.ask(DIR).unwrap();
        assert_eq!(asks(&lookups), 1000);
        drop(turn);
        assert_eq!(asks(&lookups), 1000);
    }

    #[test]
    fn lookups_far_apart_do_not_add_up() {
        let lookups = Lookups::new(Duration::from_nanos(1));
        assert_eq!(asks(&lookups), 1000);
        let lookups = Lookups::new(Duration::ZERO);
        assert_eq!(asks(&lookups), 1000);
    }

    #[test]
    fn the_number_of_directories_is_bounded() {
        let lookups = Lookups::new(LONG);
        (0..2 * MOST as u64).for_each(|dir| drop(lookups.ask(Ino(dir))));
        assert_eq!(lookups.lock().len(), MOST);
        let lookups = Lookups::new(Duration::ZERO);
        (0..2 * MOST as u64).for_each(|dir| drop(lookups.ask(Ino(dir))));
        assert_eq!(asks(&lookups), 1000);
        assert!(lookups.lock().contains_key(&DIR));
    }
}
