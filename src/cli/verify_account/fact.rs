//! A fact that can be looked at, and the accounts in which it can.

use futures_util::future::BoxFuture;

use super::lab::{Kind, Lab};
use crate::error::Result;

/// The accounts that a fact can be looked at in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Any,
    /// Without a hierarchical namespace.
    Flat,
    Hierarchical,
    Versions,
    /// Flat, and what is deleted is gone.
    Plain,
    SoftDelete,
    /// With an account key.
    Key,
    /// Flat, and with an account key.
    FlatKey,
}

impl Of {
    pub(super) fn admits(self, kind: Kind) -> bool {
        match self {
            Self::Any => true,
            Self::Flat => !kind.hierarchical,
            Self::Hierarchical => kind.hierarchical,
            Self::Versions => kind.versions,
            Self::Plain => !kind.hierarchical && !kind.versions && !kind.soft_delete,
            Self::SoftDelete => kind.soft_delete && !kind.hierarchical && !kind.versions,
            Self::Key => kind.key,
            Self::FlatKey => kind.key && !kind.hierarchical,
        }
    }
}

pub(super) type Run = for<'a> fn(&'a Lab) -> BoxFuture<'a, Result<String>>;

/// A fact, and how to look at it.
pub(super) struct Fact {
    pub id: &'static str,
    pub what: &'static str,
    pub of: Of,
    /// Number of transactions.
    pub requests: u32,
    /// What may be seen.
    pub expected: &'static [&'static str],
    pub run: Run,
}

/// A lease id that nobody has.
pub(super) const NO_LEASE: &str = "8a7f1d7c-3f0c-4a43-9b1c-5d2f9d8f7a11";
/// An ETag that nothing has.
pub(super) const NO_ETAG: &str = "\"0x1\"";
/// Before all blobs.
pub(super) const LONG_AGO: &str = "Sat, 01 Jan 2000 00:00:00 GMT";

/// Answers that are to be the same: the one, or all of them.
pub(super) fn together(seen: &[String]) -> String {
    match seen {
        [first, rest @ ..] if rest.iter().all(|other| other == first) => first.clone(),
        _ => seen.join(" / "),
    }
}
