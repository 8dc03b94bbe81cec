//! The invariants of the house, held against the source itself: arrows between rooms point down as `lib.rs` draws them, no files import
//! each other in a circle, no type has more methods than one can know, no file and no function is longer than one can read.
//!
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::{root, rust_files};

/// The rooms from top to bottom. Each may use those below it.
const ROOMS: [&str; 6] = ["cli", "mount", "config", "fuse", "fs", "store"];
/// Everybody may use these, and they use nothing but each other.
const COMMON: [&str; 5] = ["error", "ioctl", "path", "secrets", "sync"];
/// Nobody but these uses the embedded service, and it uses nobody.
const USE_DEVSTORE: [&str; 1] = ["cli"];

const LONGEST_FILE: usize = 800;
const LONGEST_FUNCTION: usize = 80;
const MOST_METHODS: usize = 40;

/// A file of `src` without its tests.
struct Source {
    /// `fs::tree::table`; "" is the crate's root.
    module: String,
    text: String,
    parsed: syn::File,
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        // Doors for fuzzing are not in the program either.
        syn::Meta::List(list) => {
            list.path.is_ident("cfg") && ["test", "any (test , fuzzing)"].contains(&list.tokens.to_string().as_str())
        }
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::NameValue(_) => false,
    })
}

/// Modules that are only compiled for tests, declared as `#[cfg(test)] mod NAME;`.
fn test_modules(module: &str, parsed: &syn::File) -> Vec<String> {
    let only_for_tests = |item: &syn::Item| match item {
        syn::Item::Mod(inner) if is_test(&inner.attrs) => Some(join(module, &inner.ident.to_string())),
        _ => None,
    };
    parsed.items.iter().filter_map(only_for_tests).collect()
}

fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let paths = rust_files(&src);
    let mut sources: Vec<Source> = paths
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).unwrap();
            let name = path.strip_prefix(&src).unwrap().with_extension("").to_string_lossy().replace('/', "::");
            let module = if name == "lib" { String::new() } else { name };
            let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{module}: {error}"));
            Source { module, text, parsed }
        })
        .collect();
    let of_tests: BTreeSet<String> =
        sources.iter().flat_map(|source| test_modules(&source.module, &source.parsed)).collect();
    sources.retain(|source| !of_tests.contains(&source.module));
    assert!(sources.len() > 100, "the sources were found");
    sources
}

/// The paths that a file names from the crate's root on, by `use` or in the middle of an expression. A child is named from its parent on.
struct Paths<'a> {
    module: &'a str,
    modules: &'a BTreeSet<&'a str>,
    found: BTreeSet<Vec<String>>,
}

impl Paths<'_> {
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let here = || self.module.split("::").map(str::to_owned).filter(|name| !name.is_empty());
        let ups = path.iter().take_while(|name| *name == "super").count();
        match path.first()?.as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some(here().chain(path[1..].iter().cloned()).collect()),
            "super" => {
                let known: Vec<String> = here().collect();
                Some(known[..known.len().checked_sub(ups)?].iter().chain(&path[ups..]).cloned().collect())
            }
            // A single word is a variable.
            child if path.len() > 1 && self.modules.contains(join(self.module, child).as_str()) => {
                Some(here().chain(path.iter().cloned()).collect())
            }
            _ => None,
        }
    }

    fn add_tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| before.iter().cloned().chain([name.to_string()]).collect::<Vec<_>>();
        match tree {
            syn::UseTree::Path(path) => self.add_tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.found.extend(self.absolute(&with(&name.ident))),
            syn::UseTree::Rename(rename) => self.found.extend(self.absolute(&with(&rename.ident))),
            syn::UseTree::Glob(_) => self.found.extend(self.absolute(before)),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_tree(before, tree)),
        }
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        // A module says again what its children have: that is no import.
        if !is_test(&item.attrs) && matches!(item.vis, syn::Visibility::Inherited) {
            self.add_tree(&[], &item.tree);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.found.extend(self.absolute(&names));
        visit::visit_path(self, path);
    }

    // `pub(in crate::fs)` and `pub(super)` import nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

/// From each file to those it imports from.
fn imports(sources: &[Source]) -> BTreeMap<&str, BTreeSet<&str>> {
    let modules: BTreeSet<&str> = sources.iter().map(|source| source.module.as_str()).collect();
    let of = |source: &Source| {
        let mut paths = Paths { module: &source.module, modules: &modules, found: BTreeSet::new() };
        paths.visit_file(&source.parsed);
        let longest = |path: &Vec<String>| {
            (1..=path.len()).rev().find_map(|len| modules.get(path[..len].join("::").as_str()).copied())
        };
        paths.found.iter().filter_map(longest).filter(|to| *to != source.module).collect()
    };
    sources.iter().map(|source| (source.module.as_str(), of(source))).collect()
}

fn room(module: &str) -> &str {
    module.split("::").next().unwrap_or(module)
}

#[test]
fn arrows_between_rooms_point_down() {
    let sources = sources();
    let imports = imports(&sources);
    let is_allowed = |from: &str, to: &str| {
        let place = |room: &str| ROOMS.iter().position(|known| *known == room);
        match (from, to) {
            _ if from == to || from == "main" || from.is_empty() => true,
            (_, "devstore") => USE_DEVSTORE.contains(&from),
            ("devstore", _) => false,
            (_, to) if COMMON.contains(&to) => true,
            (from, to) => place(from).zip(place(to)).is_some_and(|(from, to)| from < to),
        }
    };
    let arrows = imports.iter().flat_map(|(from, to)| to.iter().map(|to| (*from, *to)));
    let up: BTreeSet<(&str, &str)> = arrows.filter(|(from, to)| !is_allowed(room(from), room(to))).collect();
    assert_eq!(up, BTreeSet::new());
}

/// The rooms inside `fs`, from top to bottom; `caller` and `background` serve all of them.
const FS_ROOMS: [&str; 4] = ["ops", "content", "copies", "names"];

#[test]
fn the_rooms_of_the_filesystem_stand_on_each_other_and_only_operations_take_all_of_it() {
    let sources = sources();
    let within =
        |module: &str| module.strip_prefix("fs::").map(|rest| rest.split("::").next().unwrap_or(rest).to_owned());
    let place = |room: &str| FS_ROOMS.iter().position(|known| *known == room);
    let mut wrong = Vec::new();
    for (from, to) in imports(&sources) {
        let Some(room) = within(from) else { continue };
        for to in to {
            let up = match within(to) {
                Some(other) => place(&room).zip(place(&other)).is_some_and(|(room, other)| other < room),
                None => to == "fs" && room != "ops",
            };
            if up {
                wrong.push((from, to));
            }
        }
    }
    assert_eq!(wrong, []);
}

/// What can be reached from a file by one import or more.
fn reached<'a>(imports: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = imports[from].iter().copied().collect();
    while let Some(module) = next.pop() {
        if reached.insert(module) {
            next.extend(imports[module].iter().copied());
        }
    }
    reached
}

#[test]
fn no_file_imports_itself_by_way_of_others() {
    let sources = sources();
    let imports = imports(&sources);
    let circles: BTreeSet<&str> =
        imports.keys().copied().filter(|module| reached(&imports, module).contains(module)).collect();
    assert_eq!(circles, BTreeSet::new());
}

/// Lines of each function, and methods of each type, outside tests.
struct Shapes<'a> {
    module: &'a str,
    functions: Vec<(String, usize)>,
    methods: BTreeMap<String, usize>,
}

fn lines(of: &impl Spanned) -> usize {
    let span = of.span();
    span.end().line - span.start().line + 1
}

impl<'ast> Visit<'ast> for Shapes<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.functions.push((join(self.module, &item.sig.ident.to_string()), lines(&item.block)));
        visit::visit_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let functions = item.items.iter().filter_map(|item| match item {
            syn::ImplItem::Fn(function) => Some(function),
            _ => None,
        });
        let of = match &*item.self_ty {
            syn::Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
            _ => None,
        };
        for function in functions {
            self.functions.push((join(self.module, &function.sig.ident.to_string()), lines(&function.block)));
            if let (Some(of), None) = (&of, &item.trait_) {
                *self.methods.entry(of.clone()).or_default() += 1;
            }
        }
        visit::visit_item_impl(self, item);
    }
}

fn shapes<'a>(source: &'a Source) -> Shapes<'a> {
    let mut shapes = Shapes { module: &source.module, functions: Vec::new(), methods: BTreeMap::new() };
    shapes.visit_file(&source.parsed);
    shapes
}

#[test]
fn no_type_has_more_methods_than_one_can_know() {
    let sources = sources();
    let mut methods: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for source in &sources {
        for (of, count) in shapes(source).methods {
            *methods.entry((room(&source.module), of)).or_default() += count;
        }
    }
    let large: Vec<_> = methods.into_iter().filter(|(_, count)| *count > MOST_METHODS).collect();
    assert_eq!(large, []);
}

#[test]
fn no_function_is_longer_than_one_can_read() {
    let sources = sources();
    let long =
        sources.iter().flat_map(|source| shapes(source).functions).filter(|(_, lines)| *lines > LONGEST_FUNCTION);
    let long: BTreeMap<String, usize> = long.collect();
    assert_eq!(long, BTreeMap::new());
}

#[test]
fn every_file_can_be_read_and_says_what_it_is_for() {
    for source in sources() {
        let count = source.text.lines().count();
        assert!(count <= LONGEST_FILE, "{} has {count} lines", source.module);
        assert!(source.text.starts_with("//! "), "{} says nothing of itself", source.module);
        assert!(!source.text.contains("too_many_arguments"), "{} passes too many arguments", source.module);
    }
}
