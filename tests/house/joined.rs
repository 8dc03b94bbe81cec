//! No file of tests is forgotten: one that no module declares is not compiled, cannot fail, and nobody would notice.
//!
//! And what has been joined stays so: a new file beside the programs would be one more.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{root, rust_files};

fn tests() -> PathBuf {
    root().join("tests")
}

/// `file` and the files of the modules that it declares.
fn declared_in(file: &Path, found: &mut BTreeSet<PathBuf>) {
    found.insert(file.to_owned());
    let parsed = syn::parse_file(&fs::read_to_string(file).unwrap()).unwrap();
    let name = file.file_stem().unwrap();
    let dir = file.parent().unwrap();
    let dir = if name == "main" || name == "mod" { dir.to_owned() } else { dir.join(name) };
    for item in parsed.items {
        let syn::Item::Mod(module) = item else { continue };
        // Those in braces are in the same file, and those with a path are elsewhere.
        if module.content.is_some() || module.attrs.iter().any(|attribute| attribute.path().is_ident("path")) {
            continue;
        }
        let name = module.ident.to_string();
        let places = [dir.join(format!("{name}.rs")), dir.join(&name).join("mod.rs")];
        declared_in(places.iter().find(|place| place.exists()).expect("it compiles"), found);
    }
}

/// Files of tests that are modules of the crate: it declares them with a path.
fn declared_by_the_crate() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for file in rust_files(Path::new("src")) {
        for line in fs::read_to_string(&file).unwrap().lines() {
            let path = line.trim().strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]"));
            // From the file's own directory, except in a `mod` in braces, of which there are none with one.
            let path = path.map(|path| file.parent().unwrap().join(path).canonicalize().unwrap());
            path.iter().for_each(|path| declared_in(path, &mut found));
        }
    }
    found
}

fn assert_none_forgotten(dir: &Path, declared: &BTreeSet<PathBuf>) {
    let there: BTreeSet<PathBuf> = rust_files(dir).into_iter().collect();
    let forgotten: Vec<_> = there.difference(declared).collect();
    assert!(forgotten.is_empty(), "no modules: {forgotten:?}");
}

#[test]
fn every_file_of_tests_is_a_module_of_its_program() {
    for top in ["it/main.rs", "house/main.rs", "model/main.rs", "common/mod.rs"].map(|top| tests().join(top)) {
        let mut declared = BTreeSet::new();
        declared_in(&top, &mut declared);
        assert_none_forgotten(top.parent().unwrap(), &declared);
    }
    assert_none_forgotten(&tests().join("machines"), &declared_by_the_crate());
}

/// Every file and every `main.rs` here is a program, with the crate to link: what needs one of its own says why.
#[test]
fn programs_of_tests_are_few() {
    let is_program = |path: &PathBuf| path.extension().is_some_and(|end| end == "rs") || path.join("main.rs").exists();
    let programs = fs::read_dir(tests()).unwrap().map(|entry| entry.unwrap().path()).filter(is_program);
    let programs: BTreeSet<String> = programs.map(|path| path.file_stem().unwrap().display().to_string()).collect();
    assert_eq!(programs, ["house", "it", "memory", "model"].map(str::to_owned).into());
}

#[test]
fn every_file_of_tests_can_be_read() {
    for path in rust_files(&tests()) {
        let count = fs::read_to_string(&path).unwrap().lines().count();
        assert!(count <= 800, "{} has {count} lines", path.display());
    }
}
