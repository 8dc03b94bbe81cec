//! `docs/copy-rules.md` says which tests show each rule of copying. This keeps it true: every rule is on the page once and has a test
//! that cites it, or a reason why only the real service can show it; no test cites a rule that there is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use crate::{root, rust_files};

/// The rules that there are: letter and how many.
const RULES: [(char, u32); 3] = [('C', 59), ('X', 26), ('M', 9)];
const ONLY_REAL: &str = "only the real service: ";

type Rule = (char, u32);

fn all_rules() -> BTreeSet<Rule> {
    RULES.into_iter().flat_map(|(letter, count)| (1..=count).map(move |number| (letter, number))).collect()
}

/// `C22` at the start of a text, and what follows.
fn leading_rule(text: &str) -> Option<(Rule, &str)> {
    let letter = text.chars().next().filter(|letter| RULES.iter().any(|(known, _)| known == letter))?;
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
        // This file's own examples are no citations.
        (name != "house/checklist.rs").then(|| (name, fs::read_to_string(path).unwrap()))
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

fn page() -> String {
    fs::read_to_string(root().join("docs/copy-rules.md")).unwrap()
}

/// The rows of the page: rule, what it says, where it is shown.
fn rows(page: &str) -> Vec<(Rule, String, String)> {
    let cells =
        |line: &str| Some(line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").map(str::to_owned).collect());
    let rows = page.lines().filter_map(cells).filter_map(|cells: Vec<String>| {
        let (rule, "") = leading_rule(cells.first()?)? else { return None };
        let [_, what, shown] = cells.try_into().unwrap_or_else(|cells| panic!("three columns: {cells:?}"));
        Some((rule, what, shown))
    });
    rows.collect()
}

fn names(rules: impl IntoIterator<Item = Rule>) -> Vec<String> {
    rules.into_iter().map(|(letter, number)| format!("{letter}{number}")).collect()
}

#[test]
fn every_rule_is_on_the_page_once() {
    let page = page();
    let rows = rows(&page);
    let listed: BTreeSet<Rule> = rows.iter().map(|(rule, ..)| *rule).collect();
    assert_eq!(rows.len(), listed.len(), "a rule has two rows");
    assert_eq!(names(listed.symmetric_difference(&all_rules()).copied()), [""; 0], "missing, or no such rule");
    assert!(rows.iter().all(|(_, what, _)| what.len() > 10));
}

#[test]
fn every_rule_has_a_test_or_a_reason() {
    let cited = citations();
    let mut wrong = Vec::new();
    for (rule, _, shown) in rows(&page()) {
        if let Some(reason) = shown.strip_prefix(ONLY_REAL) {
            if reason.len() < 10 {
                wrong.push((names([rule]), "has no reason".to_owned()));
            }
            continue;
        }
        for file in shown.split(", ") {
            if !cited.get(&rule).is_some_and(|files| files.contains(file)) {
                wrong.push((names([rule]), format!("is not cited in tests/it/{file}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_test_cites_a_rule_that_there_is_not() {
    let known = all_rules();
    let unknown: Vec<_> = citations().into_iter().filter(|(rule, _)| !known.contains(rule)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn comments_are_read_as_they_are_written() {
    assert_eq!(names(rules_in(" C2, C32-C34, X24: text")), ["C2", "C32", "C33", "C34", "X24"]);
    assert_eq!(names(rules_in("/ C19–C21 and M1")), ["C19", "C20", "C21", "M1"]);
    assert_eq!(names(rules_in(" C40 to C43")), ["C40", "C41", "C42", "C43"]);
    assert_eq!(names(rules_in(" XC1 C1x C_2 MC2 C60 §4")), ["C60"]);
}
