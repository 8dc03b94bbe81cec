//! The facts that can be looked at in an account, in the words and under the ids of `docs/service-facts.md`.
//!
//! A fact is asked for by a few requests, and what is seen becomes one short text, which is compared with the texts that
//! the page allows. Where the page leaves something open, all answers that it names are allowed: the text tells which.

mod authorization;
mod copy;
mod from_url;
mod hierarchical;
mod lease;
mod list;
mod name;
mod read;
mod revision;
mod tier;
mod write;

use super::fact::Fact;

/// All facts.
pub(super) fn all() -> impl Iterator<Item = &'static Fact> {
    let groups = [
        copy::FACTS,
        from_url::FACTS,
        write::FACTS,
        read::FACTS,
        list::FACTS,
        revision::FACTS,
        lease::FACTS,
        tier::FACTS,
        hierarchical::FACTS,
        authorization::FACTS,
        name::FACTS,
    ];
    groups.into_iter().flatten()
}
