//! Inodes: they live as long as the kernel or a handle refers to them and no longer, and a name stands for one of them at a time.

use std::collections::BTreeSet;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::{Thread, known};
use crate::fs::attr::{FileKind, Ino};
use crate::fs::tree::{Expired, Link, NodeProperties, Observation, Row, Tree};
use crate::sync::interleaved::{at_once, interleave};

fn tree() -> Arc<Tree> {
    Arc::new(Tree::new(super::root(), Duration::from_secs(60)))
}

fn dir(at: Instant) -> Observation {
    Observation { properties: NodeProperties::Nothing, at }
}

/// The kernel gets an entry: what was heard is entered, and again if the node was dropped before it was referred to.
fn look_up(tree: &Tree, parent: Ino, name: &str, kind: FileKind, known: &Observation) -> Option<Ino> {
    loop {
        let ino = tree.enter(parent, name, kind, known.clone(), None).ok()?.ino;
        if tree.kernel().looked_up(ino) {
            return Some(ino);
        }
    }
}

/// Every node that has a name is found under it, and under no other.
fn check(tree: &Tree) {
    let nodes = tree.descendants(Ino::ROOT);
    let numbers: BTreeSet<u64> = nodes.iter().map(|node| node.ino.0).collect();
    assert_eq!(numbers.len(), nodes.len(), "one node has two names");
    for node in nodes {
        assert_eq!(node.link, Link::Named);
        assert_eq!(tree.child(node.parent, &node.name).map(|found| found.ino), Some(node.ino));
    }
}

fn assert_forgotten(tree: &Tree, inos: impl IntoIterator<Item = Ino>) {
    assert_eq!(tree.descendants(Ino::ROOT).len(), 0, "nobody refers to anything");
    for ino in inos {
        assert!(tree.view(ino).is_err(), "nobody refers to {ino:?}");
    }
}

#[test]
fn a_file_lives_as_long_as_the_kernel_or_a_handle_refers_to_it() {
    interleave(|| {
        let tree = tree();
        let heard = known("0x1", Instant::now());
        let user = || {
            let (tree, heard) = (tree.clone(), heard.clone());
            Box::new(move || {
                let ino = look_up(&tree, Ino::ROOT, "f", FileKind::File, &heard)?;
                assert!(tree.view(ino).is_ok(), "the kernel refers to it");
                tree.kernel().opened(ino);
                tree.kernel().forget(ino, 1);
                assert!(tree.view(ino).is_ok(), "it is open");
                tree.kernel().closed(ino);
                Some(ino)
            }) as Thread<Option<Ino>>
        };
        let remover = {
            let tree = tree.clone();
            Box::new(move || {
                tree.unlink(Ino::ROOT, "f");
                None
            })
        };
        let inos = at_once(vec![user(), user(), remover]);
        assert_forgotten(&tree, inos.into_iter().flatten());
    });
}

#[test]
fn directories_above_a_file_in_use_stay_whatever_they_are_called() {
    interleave(|| {
        let tree = tree();
        let at = Instant::now();
        let user = || {
            let tree = tree.clone();
            Box::new(move || {
                let Some(above) = look_up(&tree, Ino::ROOT, "d", FileKind::Directory, &dir(at)) else { return vec![] };
                let Some(file) = look_up(&tree, above, "f", FileKind::File, &known("0x1", at)) else { return vec![] };
                tree.kernel().forget(above, 1);
                assert!(tree.place(file).is_ok(), "all above it is there");
                tree.kernel().forget(file, 1);
                vec![above, file]
            }) as Thread<Vec<Ino>>
        };
        let mover = {
            let tree = tree.clone();
            Box::new(move || {
                tree.rename(Ino::ROOT, "d", Ino::ROOT, "e");
                vec![]
            })
        };
        let inos = at_once(vec![user(), user(), mover]);
        assert_forgotten(&tree, inos.into_iter().flatten());
    });
}

#[test]
fn a_name_is_one_file_for_all_who_look_at_it_at_once() {
    interleave(|| {
        let tree = tree();
        let at = Instant::now();
        let by_name = || {
            let tree = tree.clone();
            Box::new(move || look_up(&tree, Ino::ROOT, "f", FileKind::File, &known("0x1", at))) as Thread<Option<Ino>>
        };
        let by_listing = {
            let tree = tree.clone();
            Box::new(move || {
                let row = Row { name: "f".into(), kind: FileKind::File, observed: known("0x1", at) };
                let entries = tree.listings().add_page(Ino::ROOT, at, vec![row]);
                Some(tree.enter_sent(Ino::ROOT, &entries[0], None).unwrap().ino)
            })
        };
        let inos = at_once(vec![by_name(), by_name(), by_listing]);
        assert!(inos.iter().all(|ino| ino.is_some() && *ino == inos[0]), "{inos:?}");
        check(&tree);
        let ino = inos[0].unwrap();
        tree.kernel().forget(ino, 2);
        assert!(tree.view(ino).is_ok(), "one of three references is left");
        tree.kernel().forget(ino, 1);
        assert_forgotten(&tree, [ino]);
    });
}

#[test]
fn the_kernel_is_told_of_a_replaced_file_if_and_only_if_it_knows_it() {
    interleave(|| {
        let tree = tree();
        let (kernel, told) = mpsc::channel();
        tree.kernel().send_expired_to(kernel);
        let then = Instant::now();
        let now = then + Duration::from_millis(1);
        let looks = {
            let tree = tree.clone();
            Box::new(move || look_up(&tree, Ino::ROOT, "f", FileKind::File, &known("0x1", then))) as Thread<Option<Ino>>
        };
        let hears = {
            let tree = tree.clone();
            Box::new(move || {
                let view = tree.enter(Ino::ROOT, "f", FileKind::File, known("0x2", now), None).unwrap();
                Some(view.ino)
            })
        };
        let inos = at_once(vec![looks, hears]);
        let (old, new) = (inos[0].unwrap(), inos[1].unwrap());
        check(&tree);
        let told: Vec<Expired> = told.try_iter().collect();
        match tree.view(old).unwrap().link {
            // It was looked up after it was replaced.
            Link::Named => assert_eq!((old, told), (new, vec![])),
            Link::Vanished => {
                assert_eq!(told, [Expired::Name { parent: Ino::ROOT, name: "f".into(), old }]);
                assert_eq!(tree.child(Ino::ROOT, "f").unwrap().ino, new);
            }
            Link::Removed => panic!("nobody removed it"),
        }
    });
}

#[test]
fn a_rename_moves_the_file_or_nothing_while_both_names_are_looked_up() {
    interleave(|| {
        let tree = tree();
        let at = Instant::now();
        let moved = look_up(&tree, Ino::ROOT, "a", FileKind::File, &known("0xA", at)).unwrap();
        let over = look_up(&tree, Ino::ROOT, "b", FileKind::File, &known("0xB", at)).unwrap();
        let mover = {
            let tree = tree.clone();
            Box::new(move || {
                tree.rename(Ino::ROOT, "a", Ino::ROOT, "b");
                None
            }) as Thread<Option<Ino>>
        };
        let looks = |name: &'static str, heard: Observation| {
            let tree = tree.clone();
            Box::new(move || look_up(&tree, Ino::ROOT, name, FileKind::File, &heard)) as Thread<Option<Ino>>
        };
        let seen = at_once(vec![mover, looks("a", known("0xA", at)), looks("b", known("0xB", at))]);
        check(&tree);
        assert_eq!(tree.child(Ino::ROOT, "b").unwrap().ino, moved);
        assert_eq!(tree.view(over).unwrap().link, Link::Removed);
        assert!(tree.child(Ino::ROOT, "a").is_none(), "what was heard of it before does not bring it back");
        assert!([None, Some(moved)].contains(&seen[1]), "{seen:?}");
        assert!([Some(over), Some(moved)].contains(&seen[2]), "{seen:?}");
    });
}
