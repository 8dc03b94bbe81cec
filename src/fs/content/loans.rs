//! Who has ranges of whose content that the service has not copied yet.
//!
//! A range that `copy_file_range` puts into a file is copied when that is stored (`remote`). Until then it is only lent:
//! a change of the source by this mount takes it away, so whoever is about to change a file has the service copy what
//! was lent of it first ([`recall`](crate::fs::content::recall::recall)).
//!
//! A file that has borrowed lends nothing, and one that has lent does not borrow. So whoever holds the lock of a source
//! may wait for the locks of those that borrowed from it: none of them waits for another.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::fs::names::attr::Ino;
use crate::sync::lock;

/// Loans of all open files.
#[derive(Default)]
pub(in crate::fs) struct Loans {
    table: Mutex<Table>,
    /// One was repaid.
    pub(in crate::fs) repaid: Notify,
}

#[derive(Default)]
struct Table {
    /// Sources, and who has borrowed from each.
    lent: HashMap<Ino, HashSet<Ino>>,
    /// Sources that are being changed, and by how many.
    changing: HashMap<Ino, usize>,
    /// Changes of more than one file under way: a directory is renamed.
    changing_many: usize,
}

impl Table {
    fn owes(&self, to: Ino) -> bool {
        self.lent.values().any(|borrowers| borrowers.contains(&to))
    }
}

/// The files that a change is made to.
#[derive(Clone, Copy)]
pub(in crate::fs) enum Changed {
    One(Ino),
    Many,
}

/// As long as this lives, what is changed lends nothing.
pub(in crate::fs) struct Changing {
    loans: Arc<Loans>,
    what: Changed,
}

impl Loans {
    /// Notes that `to` borrows from `source`. False if it must not.
    pub(crate) fn lend(&self, source: Ino, to: Ino) -> bool {
        let mut table = lock(&self.table);
        let changes = table.changing_many > 0 || table.changing.contains_key(&source);
        if changes || table.lent.contains_key(&to) || table.owes(source) {
            return false;
        }
        table.lent.entry(source).or_default().insert(to);
        true
    }

    /// `to` has borrowed nothing any more.
    pub(crate) fn repay(&self, to: Ino) {
        let mut table = lock(&self.table);
        if table.lent.is_empty() {
            return;
        }
        table.lent.retain(|_, borrowers| {
            borrowers.remove(&to);
            !borrowers.is_empty()
        });
        drop(table);
        self.repaid.notify_waiters();
    }

    /// Whether `to` has borrowed anything.
    pub(crate) fn owes(&self, to: Ino) -> bool {
        lock(&self.table).owes(to)
    }

    /// From now on, what is changed lends nothing; and who has borrowed of it before.
    pub(crate) fn change(self: &Arc<Self>, what: Changed) -> (Changing, Vec<Ino>) {
        let mut table = lock(&self.table);
        let borrowers = match what {
            Changed::One(source) => {
                *table.changing.entry(source).or_default() += 1;
                table.lent.get(&source).into_iter().flatten().copied().collect()
            }
            Changed::Many => {
                table.changing_many += 1;
                table.lent.values().flatten().copied().collect()
            }
        };
        (Changing { loans: self.clone(), what }, borrowers)
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        let mut table = lock(&self.loans.table);
        match self.what {
            Changed::One(source) => {
                if let Some(count) = table.changing.get_mut(&source) {
                    *count -= 1;
                    if *count == 0 {
                        table.changing.remove(&source);
                    }
                }
            }
            Changed::Many => table.changing_many -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ino = Ino(11);
    const B: Ino = Ino(12);
    const C: Ino = Ino(13);

    #[test]
    fn who_has_borrowed_lends_nothing_and_who_has_lent_does_not_borrow() {
        let loans = Loans::default();
        assert!(loans.lend(A, B) && loans.lend(A, C) && loans.lend(A, B));
        assert!(!loans.lend(B, A) && !loans.lend(C, Ino(14)) && !loans.lend(Ino(14), A));
        assert!(loans.owes(B) && !loans.owes(A));
        loans.repay(B);
        assert!(!loans.owes(B) && loans.owes(C));
        // C has not paid.
        assert!(!loans.lend(B, A));
        loans.repay(C);
        assert!(loans.lend(B, A));
    }

    #[test]
    fn what_is_being_changed_lends_nothing() {
        let loans = Arc::new(Loans::default());
        loans.lend(A, B);
        let (first, mut borrowers) = loans.change(Changed::One(A));
        let (second, _) = loans.change(Changed::One(A));
        assert_eq!(std::mem::take(&mut borrowers), [B]);
        drop(first);
        assert!(!loans.lend(A, C));
        drop(second);
        assert!(loans.lend(A, C));
        let (many, mut borrowers) = loans.change(Changed::Many);
        borrowers.sort_unstable_by_key(|ino| ino.0);
        assert_eq!(borrowers, [B, C]);
        assert!(!loans.lend(Ino(20), Ino(21)));
        drop(many);
        assert!(loans.lend(Ino(20), Ino(21)));
    }
}
