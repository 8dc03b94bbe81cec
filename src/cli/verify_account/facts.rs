//! The facts that can be looked at in an account, in the words and under the ids of `docs/service-facts.md`.
//!
//! A fact is asked for by a few requests, and what is seen becomes one short text, which is compared with the texts that
//! the page allows. Where the page leaves something open, all answers that it names are allowed: the text tells which.
//! Every fact of the page is asked for here, or is among those of which is said why not.

mod across;
mod authorization;
mod batch;
mod container;
mod copy;
mod from_url;
mod hierarchical;
mod lease;
mod list;
mod name;
mod not_asked;
mod read;
mod revision;
mod tier;
mod write;

use super::fact::Fact;

/// All facts.
pub(super) fn all() -> impl Iterator<Item = &'static Fact> {
    let groups = [
        copy::FACTS,
        across::FACTS,
        from_url::FACTS,
        write::FACTS,
        read::FACTS,
        list::FACTS,
        revision::FACTS,
        lease::FACTS,
        tier::FACTS,
        hierarchical::FACTS,
        authorization::FACTS,
        container::FACTS,
        batch::FACTS,
        name::FACTS,
    ];
    groups.into_iter().flatten()
}

/// The facts that no run looks at, and why: ids and a reason.
pub(super) fn not_asked() -> impl Iterator<Item = (&'static [&'static str], &'static str)> {
    not_asked::NOT_ASKED.iter().copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The ids on the page of facts.
    fn on_the_page() -> BTreeSet<&'static str> {
        let page = include_str!("../../../docs/service-facts.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| **")?.split_once("** | "));
        rows.map(|(id, _)| id).collect()
    }

    #[test]
    fn each_fact_of_the_page_is_asked_for_or_has_a_reason() {
        let asked: BTreeSet<&str> = all().flat_map(|fact| fact.ids).copied().collect();
        let reasons: Vec<&str> = not_asked().flat_map(|(ids, _)| ids).copied().collect();
        let excused: BTreeSet<&str> = reasons.iter().copied().collect();
        assert_eq!(reasons.len(), excused.len(), "{reasons:?}");
        assert!(not_asked().all(|(_, reason)| reason.len() > 10));
        assert_eq!(asked.intersection(&excused).collect::<Vec<_>>(), [&""; 0], "asked for, and excused");
        let known: BTreeSet<&str> = asked.union(&excused).copied().collect();
        let page = on_the_page();
        assert!(page.len() > 200, "{page:?}");
        assert_eq!(page.difference(&known).collect::<Vec<_>>(), [&""; 0], "on the page alone");
        assert_eq!(known.difference(&page).collect::<Vec<_>>(), [&""; 0], "not on the page");
    }

    /// A name is made of the first id, and nobody else's.
    #[test]
    fn rows_can_be_told_apart() {
        let names: BTreeSet<_> = all().map(|fact| (fact.ids, fact.what)).collect();
        assert_eq!(names.len(), all().count());
        assert!(all().all(|fact| !fact.ids.is_empty() && !fact.expected.is_empty()));
    }
}
