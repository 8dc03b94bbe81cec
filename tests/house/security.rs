//! `docs/security.md` names the test that shows each promise, and that test is there.

use std::collections::BTreeSet;
use std::fs;

use crate::{root, rust_files};

/// `access::urls::NAME` of each function that is a test: of `tests/it`, and of the modules in `src`.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for place in ["tests/it", "src"] {
        for file in rust_files(place.as_ref()) {
            let module = file.strip_prefix(root().join(place)).unwrap().with_extension("");
            let module = module.to_str().unwrap().replace('/', "::");
            let module = module.strip_suffix("::mod").or(module.strip_suffix("::tests")).unwrap_or(&module);
            let text = fs::read_to_string(&file).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                is_test |=
                    line.starts_with("#[test]") || line.starts_with("#[tokio::test") || line.starts_with("#[rstest]");
                // What is not run shows nothing.
                is_test &= !line.starts_with("#[ignore");
                if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test && !line.starts_with("//")) {
                    let name = rest.split('(').next().unwrap_or_default();
                    found.insert(format!("{module}::{name}"));
                    is_test = false;
                }
            }
        }
    }
    assert!(found.len() > 800, "{} tests were found", found.len());
    found
}

/// Rows of the tables of promises: the promise, and the tests that are named for it.
fn promises(page: &str) -> Vec<(&str, Vec<&str>)> {
    let tables = page.split("| promise | shown by |").skip(1);
    let rows = tables.flat_map(|table| table.lines().skip(2).take_while(|line| line.starts_with('|')));
    rows.map(|row| {
        let mut cells = row.trim_matches('|').split(" | ");
        let (promise, shown) = (cells.next().unwrap_or_default().trim(), cells.next().unwrap_or_default());
        (promise, shown.split('`').skip(1).step_by(2).filter(|word| word.contains("::")).collect())
    })
    .collect()
}

#[test]
fn each_promise_names_tests_that_are_there() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let (tests, promises) = (tests(), promises(&page));
    assert!(promises.len() > 20, "{} promises were found", promises.len());
    for (promise, shown) in promises {
        assert!(!shown.is_empty(), "nothing shows: {promise}");
        for name in shown {
            assert!(tests.contains(name), "{name} is no test, and is to show: {promise}");
        }
    }
}
