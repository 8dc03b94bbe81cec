//! What the code cites can be opened: each section (§13.7), each fact about the service (S17) is on a page of `docs`. Rules of copying are
//! followed in `checklist.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::{root, rust_files};

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// Name and text of all files of code below `dir`.
fn code(dir: &str) -> Vec<(String, String)> {
    let files = rust_files(Path::new(dir)).into_iter().filter(|path| !path.ends_with("tests/house/book.rs"));
    let name = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    files.map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect()
}

/// `13.7` of `13.7 says`.
fn leading_number(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text[..end].trim_end_matches('.')
}

/// Sections that a text cites: of the design if it says so, of the protocol otherwise.
fn sections(text: &str) -> Vec<(bool, &str)> {
    let cited = text.match_indices('§').filter_map(|(at, sign)| {
        let number = leading_number(text[at + sign.len()..].trim_start());
        let of_design = text[..at].trim_end().to_lowercase().ends_with("design");
        (!number.is_empty()).then_some((of_design, number))
    });
    cited.collect()
}

/// Sections that a page has: headings, and items of a list that begin with their number.
fn headings(page: &str) -> BTreeSet<&str> {
    let numbers = page.lines().map(|line| leading_number(line.trim_start_matches(['#', '-', '*', ' '])));
    numbers.filter(|number| !number.is_empty()).collect()
}

/// Facts that a text cites: `S17`, not `S17x` and not `US17`.
fn facts(text: &str) -> Vec<u32> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let cited = text.match_indices('S').filter_map(|(at, _)| {
        let number = leading_number(&text[at + 1..]);
        let behind = text[at + 1 + number.len()..].chars().next();
        let stands_alone = !text[..at].ends_with(is_word) && !behind.is_some_and(is_word);
        number.parse().ok().filter(|_| stands_alone)
    });
    cited.collect()
}

fn comments(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| Some(line.split_once("//")?.1))
}

#[test]
fn each_section_that_the_code_cites_is_on_its_page() {
    let (protocol, design) = (page("protocol.md"), page("design.md"));
    let (protocol, design) = (headings(&protocol), headings(&design));
    let mut cited = 0;
    for (name, text) in ["src", "tests"].into_iter().flat_map(code) {
        for (of_design, number) in comments(&text).flat_map(sections) {
            let page = if of_design { &design } else { &protocol };
            let which = if of_design { "design.md" } else { "protocol.md" };
            assert!(page.contains(number), "{name} cites §{number}, which is not in {which}");
            cited += 1;
        }
    }
    assert!(cited > 150, "{cited} citations were found");
}

#[test]
fn each_fact_that_is_cited_is_on_the_page_once() {
    let page_of_facts = page("service-facts.md");
    let rows = page_of_facts.lines().filter_map(|line| line.strip_prefix("| **S")).map(leading_number);
    let rows: Vec<u32> = rows.map(|number| number.parse().unwrap()).collect();
    let known: BTreeSet<u32> = rows.iter().copied().collect();
    assert_eq!(rows.len(), known.len(), "a fact has two rows");
    assert_eq!(known.last().copied(), u32::try_from(rows.len()).ok(), "a number is left out");
    let mut cited = BTreeSet::new();
    for (name, text) in ["src", "tests"].into_iter().flat_map(code) {
        for fact in comments(&text).flat_map(facts) {
            assert!(known.contains(&fact), "{name} cites S{fact}, which is no fact");
            cited.insert(fact);
        }
    }
    for name in ["protocol.md", "design.md", "copy-rules.md"] {
        let page = page(name);
        let unknown: Vec<u32> = facts(&page).into_iter().filter(|fact| !known.contains(fact)).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
    }
    assert!(cited.len() > 25, "{} facts are cited", cited.len());
}

/// Where the words live: files that are named on a page are there.
#[test]
fn each_file_that_a_page_names_is_there() {
    let mut named = 0;
    for name in ["glossary.md", "design.md", "protocol.md", "../CONTRIBUTING.md", "../README.md"] {
        for word in page(name).split('`').skip(1).step_by(2) {
            let is_source =
                ["fs/", "store/", "devstore/", "cli/", "mount/", "fuse/"].iter().any(|room| word.starts_with(room));
            if is_source && word.ends_with(".rs") {
                assert!(root().join("src").join(word).exists(), "{name} names {word}");
                named += 1;
            }
            if ["src/", "tests/", "docs/", "scripts/"].iter().any(|room| word.starts_with(room))
                && !word.contains([' ', '<', '*'])
            {
                assert!(root().join(word).exists(), "{name} names {word}");
                named += 1;
            }
        }
    }
    assert!(named > 30, "{named} files are named");
}

#[test]
fn citations_are_read_as_they_are_written() {
    assert_eq!(sections("by §13.7. Design §9, (§4.2) and §"), [(false, "13.7"), (true, "9"), (false, "4.2")]);
    assert_eq!(facts("S8–S10, (S157), US5, S_1, S12a, S"), [8, 10, 157]);
    assert_eq!(
        headings("## 13. Copying\n### 13.7 From URL\n- 13.2.4 what\ntext 5"),
        BTreeSet::from(["13", "13.7", "13.2.4"])
    );
}
