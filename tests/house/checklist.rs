//! `docs/copy-rules.md` says which tests show each rule of copying, and `docs/service-facts.md` which show each fact about the service.
//! This keeps it true: everything is on its page once and has a test that cites it, or a reason why only the real service can show it; no
//! test cites what there is not. Of the facts, only those need a test that are sure or documented.
//!
//! `BLOBCP_TEST_UPDATE=1 cargo test --test house checklist::` writes into the page of facts which tests cite them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use crate::{root, rust_files};

/// The rules that there are: letter and how many.
const RULES: [(char, u32); 3] = [('C', 59), ('X', 26), ('M', 9)];
/// The facts that there are.
const FACTS: [(char, u32); 1] = [('S', 206)];
const FACT_PAGE: &str = "docs/service-facts.md";
/// Stands where a fact is not sure and no test cites it.
const NO_TEST: &str = "–";
const ONLY_REAL: &str = "only the real service: ";

type Rule = (char, u32);

fn all(letters: &[(char, u32)]) -> BTreeSet<Rule> {
    letters.iter().flat_map(|(letter, count)| (1..=*count).map(move |number| (*letter, number))).collect()
}

/// `C22` at the start of a text, and what follows.
fn leading_rule(text: &str) -> Option<(Rule, &str)> {
    let letter = text.chars().next().filter(|letter| RULES.iter().chain(&FACTS).any(|(known, _)| known == letter))?;
    let digits = text[1..].len() - text[1..].trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let rest = &text[1 + digits..];
    // `C99x` is some other word.
    let ends = rest.chars().next().is_none_or(|c| !c.is_alphanumeric() && c != '_');
    let number = text[1..1 + digits].parse().ok()?;
    ends.then_some(((letter, number), rest))
}

/// All rules in a comment, ranges (`C40–C48`, `C40-C48`, `C40 to C48`) written out.
fn rules_in(comment: &str) -> Vec<Rule> {
    let mut found = Vec::new();
    let mut rest = comment;
    let mut before = ' ';
    while let Some(next) = rest.chars().next() {
        let word = !before.is_alphanumeric() && before != '_';
        let Some((rule, behind)) = leading_rule(rest).filter(|_| word) else {
            before = next;
            rest = &rest[next.len_utf8()..];
            continue;
        };
        found.push(rule);
        let to = ["–", "-", " to "].iter().find_map(|sign| leading_rule(behind.strip_prefix(sign)?));
        rest = match to {
            Some(((letter, last), behind)) if letter == rule.0 => {
                found.extend((rule.1 + 1..=last).map(|number| (letter, number)));
                behind
            }
            _ => behind,
        };
        before = '0';
    }
    found
}

/// The sources of tests, by their path below `tests/it/`, or below `tests/` if they are elsewhere.
fn sources() -> Vec<(String, String)> {
    let tests = root().join("tests");
    let named = |path: PathBuf| {
        let name = path.strip_prefix(&tests).unwrap().to_str().unwrap();
        let name = name.strip_prefix("it/").unwrap_or(name).to_owned();
        // The examples of who looks for citations are none.
        (!name.starts_with("house/")).then(|| (name, fs::read_to_string(path).unwrap()))
    };
    rust_files(&tests).into_iter().filter_map(named).collect()
}

/// Which files cite a rule in a comment.
fn citations() -> BTreeMap<Rule, BTreeSet<String>> {
    let mut cited: BTreeMap<Rule, BTreeSet<String>> = BTreeMap::new();
    for (name, source) in sources() {
        let comments = source.lines().filter_map(|line| Some(line.split_once("//")?.1));
        for rule in comments.flat_map(rules_in) {
            cited.entry(rule).or_default().insert(name.clone());
        }
    }
    cited
}

fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// A line of a table that begins with a rule or a fact: that, and the cells behind it.
fn row(line: &str) -> Option<(Rule, Vec<&str>)> {
    let mut cells = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ");
    let (rule, "") = leading_rule(cells.next()?.trim_matches('*'))? else { return None };
    Some((rule, cells.collect()))
}

/// The rows of the page of rules: rule, what it says, where it is shown.
fn rows(page: &str) -> Vec<(Rule, &str, &str)> {
    let rows = page.lines().filter_map(row).map(|(rule, cells)| {
        let [what, shown] = cells.try_into().unwrap_or_else(|cells| panic!("three columns: {cells:?}"));
        (rule, what, shown)
    });
    rows.collect()
}

/// The rows of the page of facts: fact, whether it needs a test, where it is shown.
fn facts(page: &str) -> Vec<(Rule, bool, &str)> {
    let rows = page.lines().filter_map(row).map(|(fact, cells)| {
        let [_, _, sure, shown] = cells.try_into().unwrap_or_else(|cells| panic!("five columns: {cells:?}"));
        (fact, needs_test(sure), shown)
    });
    rows.collect()
}

fn needs_test(how_sure: &str) -> bool {
    ["sure", "documented"].iter().any(|word| how_sure.starts_with(word))
}

/// What is wrong with where a rule or a fact is said to be shown.
fn faults(rule: Rule, shown: &str, cited: Option<&BTreeSet<String>>) -> Vec<String> {
    if let Some(reason) = shown.strip_prefix(ONLY_REAL) {
        return if reason.len() < 10 { vec![format!("{} has no reason", name(rule))] } else { Vec::new() };
    }
    let cites = |file: &&str| !cited.is_some_and(|files| files.contains(*file));
    shown.split(", ").filter(cites).map(|file| format!("{} is not cited in tests/it/{file}", name(rule))).collect()
}

/// The line of a fact with the tests that cite it. One that none cites keeps its reason.
fn with_tests(line: &str, cited: &BTreeMap<Rule, BTreeSet<String>>) -> String {
    let Some((fact, cells)) = row(line) else { return line.to_owned() };
    let [what, evidence, sure, shown] = cells.try_into().unwrap_or_else(|cells| panic!("five columns: {cells:?}"));
    let tests = cited.get(&fact).map(|files| files.iter().cloned().collect::<Vec<_>>().join(", "));
    let tests = tests.unwrap_or_else(|| if shown.starts_with(ONLY_REAL) { shown } else { NO_TEST }.to_owned());
    format!("| **{}** | {what} | {evidence} | {sure} | {tests} |", name(fact))
}

fn name((letter, number): Rule) -> String {
    format!("{letter}{number}")
}

fn names(rules: impl IntoIterator<Item = Rule>) -> Vec<String> {
    rules.into_iter().map(name).collect()
}

#[test]
fn every_rule_is_on_the_page_once() {
    let page = page("docs/copy-rules.md");
    let rows = rows(&page);
    let listed: BTreeSet<Rule> = rows.iter().map(|(rule, ..)| *rule).collect();
    assert_eq!(rows.len(), listed.len(), "a rule has two rows");
    assert_eq!(names(listed.symmetric_difference(&all(&RULES)).copied()), [""; 0], "missing, or no such rule");
    assert!(rows.iter().all(|(_, what, _)| what.len() > 10));
}

#[test]
fn every_rule_has_a_test_or_a_reason() {
    let cited = citations();
    let page = page("docs/copy-rules.md");
    let faults = rows(&page).into_iter().flat_map(|(rule, _, shown)| faults(rule, shown, cited.get(&rule)));
    assert_eq!(faults.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn every_fact_is_on_the_page_once_and_shown_if_it_is_sure() {
    let cited = citations();
    if std::env::var_os("BLOBCP_TEST_UPDATE").is_some() {
        let lines = page(FACT_PAGE).lines().map(|line| with_tests(line, &cited) + "\n").collect::<String>();
        fs::write(root().join(FACT_PAGE), lines).unwrap();
    }
    let page = page(FACT_PAGE);
    let rows = facts(&page);
    let listed: BTreeSet<Rule> = rows.iter().map(|(fact, ..)| *fact).collect();
    assert_eq!(rows.len(), listed.len(), "a fact has two rows");
    assert_eq!(names(listed.symmetric_difference(&all(&FACTS)).copied()), [""; 0], "missing, or no such fact");
    let shown = rows.iter().filter(|(_, needs_test, shown)| *needs_test || *shown != NO_TEST);
    let faults = shown.flat_map(|(fact, _, shown)| faults(*fact, shown, cited.get(fact)));
    assert_eq!(faults.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn no_test_cites_a_rule_that_there_is_not() {
    let known: BTreeSet<Rule> = all(&RULES).into_iter().chain(all(&FACTS)).collect();
    let unknown: Vec<_> = citations().into_iter().filter(|(rule, _)| !known.contains(rule)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn comments_are_read_as_they_are_written() {
    assert_eq!(names(rules_in(" C2, C32-C34, X24: text")), ["C2", "C32", "C33", "C34", "X24"]);
    assert_eq!(names(rules_in("/ C19–C21 and M1")), ["C19", "C20", "C21", "M1"]);
    assert_eq!(names(rules_in(" C40 to C43")), ["C40", "C41", "C42", "C43"]);
    assert_eq!(names(rules_in(" XC1 C1x C_2 MC2 C60 §4")), ["C60"]);
    assert_eq!(names(rules_in(" S8–S10, US5 S1a")), ["S8", "S9", "S10"]);
}

#[test]
fn a_fact_is_followed_by_the_tests_that_cite_it() {
    let cited = BTreeMap::from([(('S', 7), BTreeSet::from(["a.rs".to_owned(), "b/c.rs".to_owned()]))]);
    for (line, expected) in [
        ("| **S7** | what | who | sure | – |", "| **S7** | what | who | sure | a.rs, b/c.rs |"),
        ("| **S8** | what | who | likely | gone.rs |", "| **S8** | what | who | likely | – |"),
        (
            "| **S9** | what | who | sure | only the real service: why |",
            "| **S9** | what | who | sure | only the real service: why |",
        ),
        ("| id | fact | evidence | how sure | test |", "| id | fact | evidence | how sure | test |"),
    ] {
        assert_eq!(with_tests(line, &cited), expected);
    }
    assert!(needs_test("sure for small blobs") && needs_test("documented") && !needs_test("status likely"));
}
