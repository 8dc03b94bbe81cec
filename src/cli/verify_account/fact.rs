//! A fact that can be looked at, and what that needs.

use futures_util::future::BoxFuture;

use super::kind::{Kind, Proof, Second};
use super::lab::Lab;
use crate::error::Result;

/// What an account, or the way in which it is asked, must be like for a fact to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// No hierarchical namespace.
    Flat,
    Hierarchical,
    Versions,
    /// What is deleted is gone.
    Forgets,
    /// What is deleted is kept, but not as versions.
    SoftDelete,
    /// An account key, which can sign any SAS.
    Key,
    /// A token of an identity.
    Token,
    /// A SAS can be had for a blob.
    Sharing,
    /// A credential for the account, and not just for what is in it.
    Account,
    /// Leave to make containers.
    Containers,
    /// A second account.
    Second,
    /// That one has no hierarchical namespace.
    FlatSecond,
}

impl Need {
    pub(super) fn is_met(self, kind: Kind) -> bool {
        match self {
            Self::Flat => !kind.hierarchical,
            Self::Hierarchical => kind.hierarchical,
            Self::Versions => kind.versions,
            Self::Forgets => !kind.versions && !kind.soft_delete,
            Self::SoftDelete => kind.soft_delete && !kind.versions,
            Self::Key => kind.proof == Proof::Key,
            Self::Token => kind.proof == Proof::Token,
            Self::Sharing => kind.shares,
            Self::Account => matches!(kind.proof, Proof::Key | Proof::Token),
            Self::Containers => kind.makes_containers,
            Self::Second => kind.second.is_some(),
            Self::FlatSecond => kind.second == Some(Second::Flat),
        }
    }

    /// Says what is missing.
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Flat => "needs a flat account",
            Self::Hierarchical => "needs a hierarchical namespace",
            Self::Versions => "needs an account that keeps versions",
            Self::Forgets => "needs an account that keeps nothing that is deleted",
            Self::SoftDelete => "needs an account that keeps deleted blobs, but no versions",
            Self::Key => "needs the account's key",
            Self::Token => "needs a token",
            Self::Sharing => "needs a SAS, and the identity may not sign one",
            Self::Account => "needs a credential for the account itself",
            Self::Containers => "needs leave to make containers: name none",
            Self::Second => "needs a second account (--from)",
            Self::FlatSecond => "needs a second account that is flat (--from)",
        }
    }
}

pub(super) type Run = for<'a> fn(&'a Lab) -> BoxFuture<'a, Result<String>>;

/// Facts that are looked at together, and how.
pub(super) struct Fact {
    /// The first is the one that it is about.
    pub ids: &'static [&'static str],
    pub what: &'static str,
    pub needs: &'static [Need],
    /// Number of transactions.
    pub requests: u32,
    /// What may be seen.
    pub expected: &'static [&'static str],
    pub run: Run,
}

impl Fact {
    /// What is missing to look at it.
    pub(super) fn lacks(&self, kind: Kind) -> Option<&'static str> {
        self.needs.iter().find(|need| !need.is_met(kind)).map(|need| need.in_words())
    }
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
