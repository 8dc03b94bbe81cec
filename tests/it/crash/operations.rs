//! The operations that a mount is killed in: what is there before, and after.

use super::{Files, Kind};
use crate::common::pattern;

/// Something that a program does in a directory of its own.
pub(super) struct Operation {
    pub name: &'static str,
    /// A shell command.
    pub command: &'static str,
    before: fn() -> Files,
    /// What that becomes.
    change: fn(&mut Files),
    /// Kinds of containers it is tried on, and those of them that are tried in a hurry as well.
    kinds: &'static [Kind],
    quick: &'static [Kind],
    /// Where the program truncates a file first, and that is a request of its own: an append blob is filled by others than
    /// make it.
    truncates: &'static [Kind],
    /// Names are changed and nothing else: in the end they are all changed, or none.
    pub moves: bool,
    /// The files were written over DFS.
    pub over_dfs: bool,
}

const FLAT: &[Kind] = &[Kind::Block, Kind::Append, Kind::Page, Kind::Versioned];
const BLOCKS: &[Kind] = &[Kind::Block, Kind::Versioned, Kind::Hierarchical];
const ALL: &[Kind] = &[Kind::Block, Kind::Append, Kind::Page, Kind::Versioned, Kind::Hierarchical];

/// Content that is a whole number of pages, and no other's.
fn content(of: u8) -> Vec<u8> {
    let mut bytes = pattern(3 * 512);
    bytes.iter_mut().for_each(|byte| *byte ^= of);
    bytes
}

fn files(names: &[(&str, u8)]) -> Files {
    names.iter().map(|(name, of)| ((*name).to_owned(), content(*of))).collect()
}

fn one() -> Files {
    files(&[("a", 1)])
}

fn two() -> Files {
    files(&[("a", 1), ("b", 2)])
}

fn tree() -> Files {
    files(&[("t/a", 1), ("t/b", 2), ("t/s/c", 3)])
}

fn renamed(files: &mut Files, from: &str, to: &str) {
    let content = files.remove(from).unwrap();
    files.insert(to.to_owned(), content);
}

const PLAIN: Operation = Operation {
    name: "",
    command: "",
    before: one,
    change: |_| {},
    kinds: &[],
    quick: &[],
    truncates: &[],
    moves: false,
    over_dfs: false,
};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "write",
        command: "exec dd if=/dev/zero of=new bs=100000 count=1 status=none",
        change: |files| drop(files.insert("new".into(), vec![0; 100_000])),
        kinds: BLOCKS,
        quick: &[Kind::Block],
        ..PLAIN
    },
    Operation {
        name: "write much",
        command: "exec dd if=/dev/zero of=new bs=1M count=20 status=none",
        change: |files| drop(files.insert("new".into(), vec![0; 20 << 20])),
        kinds: BLOCKS,
        quick: &[Kind::Hierarchical],
        ..PLAIN
    },
    Operation {
        name: "write over",
        command: "exec dd if=/dev/zero of=a bs=10 count=1 status=none",
        change: |files| drop(files.insert("a".into(), vec![0; 10])),
        kinds: &[Kind::Block, Kind::Append, Kind::Versioned, Kind::Hierarchical],
        truncates: &[Kind::Append],
        ..PLAIN
    },
    Operation {
        name: "write much over",
        command: "exec dd if=/dev/zero of=a bs=1M count=20 status=none",
        change: |files| drop(files.insert("a".into(), vec![0; 20 << 20])),
        kinds: BLOCKS,
        quick: &[Kind::Block],
        ..PLAIN
    },
    Operation {
        name: "append",
        // Not by the shell, which does not tell of a close that fails.
        command: "exec dd if=/dev/zero of=a bs=4 count=1 oflag=append conv=notrunc status=none",
        change: |files| files.get_mut("a").unwrap().extend([0; 4]),
        kinds: &[Kind::Block, Kind::Append, Kind::Versioned, Kind::Hierarchical],
        quick: &[Kind::Append],
        ..PLAIN
    },
    Operation {
        name: "random write",
        command: "printf change | dd of=a bs=1 seek=100 conv=notrunc status=none",
        change: |files| files.get_mut("a").unwrap()[100..106].copy_from_slice(b"change"),
        kinds: &[Kind::Block, Kind::Page, Kind::Versioned, Kind::Hierarchical],
        quick: &[Kind::Block, Kind::Page],
        ..PLAIN
    },
    Operation {
        name: "append to what was written over DFS",
        command: "exec dd if=/dev/zero of=a bs=1M count=9 oflag=append conv=notrunc status=none",
        change: |files| files.get_mut("a").unwrap().extend(vec![0; 9 << 20]),
        kinds: &[Kind::Hierarchical],
        quick: &[Kind::Hierarchical],
        over_dfs: true,
        ..PLAIN
    },
    Operation {
        name: "cp",
        command: "exec cp a b",
        change: |files| drop(files.insert("b".into(), content(1))),
        kinds: ALL,
        quick: &[Kind::Block],
        ..PLAIN
    },
    Operation {
        name: "cp over",
        command: "exec cp a b",
        before: two,
        change: |files| drop(files.insert("b".into(), content(1))),
        kinds: ALL,
        quick: &[Kind::Page],
        ..PLAIN
    },
    Operation {
        name: "mv",
        command: "exec mv a b",
        change: |files| renamed(files, "a", "b"),
        kinds: ALL,
        quick: &[Kind::Block, Kind::Append, Kind::Hierarchical],
        moves: true,
        ..PLAIN
    },
    Operation {
        name: "mv over",
        command: "exec mv a b",
        before: two,
        change: |files| renamed(files, "a", "b"),
        kinds: ALL,
        quick: FLAT,
        moves: true,
        ..PLAIN
    },
    Operation {
        name: "mv of a directory",
        command: "exec mv t u",
        before: tree,
        change: |files| {
            ["a", "b", "s/c"].iter().for_each(|name| renamed(files, &format!("t/{name}"), &format!("u/{name}")))
        },
        kinds: ALL,
        quick: &[Kind::Block],
        moves: true,
        ..PLAIN
    },
    Operation {
        name: "cp -r",
        command: "exec cp -r t u",
        before: tree,
        change: |files| files.extend(files.clone().into_iter().map(|(name, of)| (name.replace("t/", "u/"), of))),
        kinds: ALL,
        quick: &[Kind::Block],
        ..PLAIN
    },
];

impl Operation {
    pub(super) fn is_for(&self, kind: Kind, quick: bool) -> bool {
        if quick { self.quick.contains(&kind) } else { self.kinds.contains(&kind) }
    }

    pub(super) fn before(&self) -> Files {
        (self.before)()
    }

    pub(super) fn after(&self) -> Files {
        let mut files = self.before();
        (self.change)(&mut files);
        files
    }

    /// Each name has its old content or its new one, and what was to stay is under one of its names.
    pub(super) fn check(&self, kind: Kind, found: &Files, what: &str) {
        let (before, after) = (self.before(), self.after());
        for (name, content) in found {
            let known = [before.get(name), after.get(name)].into_iter().flatten().any(|known| known == content);
            // What is made or truncated, and not filled yet, is empty.
            let is_begun = content.is_empty() && (!before.contains_key(name) || self.truncates.contains(&kind));
            assert!(known || is_begun, "{what}: {name} has {} bytes that are neither old nor new", content.len());
        }
        for (name, content) in &before {
            if found.contains_key(name) {
                continue;
            }
            let moved = after.iter().any(|(new, now)| now == content && found.get(new) == Some(content));
            assert!(
                moved && !after.contains_key(name),
                "{what}: the content of {name} is lost; there is {:?}",
                found.keys()
            );
        }
    }
}
