//! Kinds of namespaces, and what is known of that of an account. How it is learnt is in [`ask`](crate::store::ask).

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sync::lock;

/// Kind of an account's namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// A directory is what its name says of blobs.
    Flat,
    /// Directories exist by themselves, and every path can be renamed.
    Hierarchical,
    /// The same, and where it could be asked to rename is not known: behind a domain of one's own.
    Unreachable,
    /// Nobody has said so yet, although it was asked.
    Untold,
}

/// Who was asked and did not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Asked {
    #[default]
    Nobody,
    Account,
    Container,
}

/// What is known of the kind of an account's namespace, and what was done to learn it.
#[derive(Debug, Default)]
pub(super) struct Knowledge {
    /// True if it is hierarchical. What was shown outranks what was said.
    pub(super) hierarchical: Mutex<Option<bool>>,
    pub(super) asked: tokio::sync::Mutex<Asked>,
    warned: AtomicBool,
}

impl Knowledge {
    pub(super) fn of_settings(hierarchical: Option<bool>) -> Self {
        Self { hierarchical: Mutex::new(hierarchical), ..Self::default() }
    }

    pub(super) fn get(&self) -> Option<bool> {
        *lock(&self.hierarchical)
    }

    /// True the first time, for what is said once.
    pub(super) fn once(&self) -> bool {
        !self.warned.swap(true, Ordering::Relaxed)
    }
}
