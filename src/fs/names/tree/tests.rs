//! Identities: what keeps its node and what gets another.

use crate::fs::names::tree::*;
use crate::path::ContainerName;

fn tree() -> Tree {
    let root =
        BlobDir { account: AccountId(0), container: ContainerName::parse("box").unwrap(), prefix: String::new() };
    Tree::new(Place::Directory(root), Duration::from_secs(60))
}

fn enter(tree: &Tree, parent: Ino, name: &str, kind: FileKind) -> Ino {
    let known = Observation { properties: NodeProperties::Nothing, at: Instant::now() };
    let ino = tree.enter(parent, name, kind, known, None).unwrap().ino;
    assert!(tree.kernel().looked_up(ino));
    ino
}

fn name_of(tree: &Tree, ino: Ino) -> String {
    match tree.place(ino).unwrap() {
        Place::Blob(blob) => blob.path.name.to_string(),
        Place::Directory(dir) => dir.prefix,
        other => panic!("{other:?}"),
    }
}

#[test]
fn places_follow_the_chain_of_parents() {
    let tree = tree();
    let a = enter(&tree, Ino::ROOT, "a", FileKind::Directory);
    let b = enter(&tree, a, "b", FileKind::Directory);
    let file = enter(&tree, b, "f", FileKind::File);
    assert_eq!(name_of(&tree, file), "a/b/f");
    assert_eq!(name_of(&tree, b), "a/b/");
    tree.rename(a, "b", Ino::ROOT, "moved");
    assert_eq!(name_of(&tree, file), "moved/f");
}

#[test]
fn an_inode_is_an_identity_that_survives_a_rename_but_not_an_unlink() {
    let tree = tree();
    let a = enter(&tree, Ino::ROOT, "a", FileKind::File);
    let b = enter(&tree, Ino::ROOT, "b", FileKind::File);
    tree.rename(Ino::ROOT, "a", Ino::ROOT, "b");
    assert_eq!(name_of(&tree, a), "b");
    assert_eq!(tree.place(b).unwrap_err().errno(), libc::ENOENT);
    assert!(tree.child(Ino::ROOT, "a").is_none());
    tree.unlink(Ino::ROOT, "b");
    assert_eq!(tree.place(a).unwrap_err().errno(), libc::ENOENT);
    // A new file of the same name is another file.
    assert_ne!(enter(&tree, Ino::ROOT, "b", FileKind::File), a);
}

#[test]
fn nodes_go_when_nobody_refers_to_them() {
    let tree = tree();
    let dir = enter(&tree, Ino::ROOT, "d", FileKind::Directory);
    let file = enter(&tree, dir, "f", FileKind::File);
    tree.kernel().opened(file);
    tree.kernel().forget(dir, 1);
    tree.kernel().forget(file, 1);
    assert_eq!(name_of(&tree, file), "d/f");
    tree.kernel().closed(file);
    assert!(tree.view(file).is_err());
    assert!(tree.view(dir).is_err());
}

#[test]
fn a_listing_answers_for_names_that_do_not_exist_and_learns_what_happens_here() {
    let tree = tree();
    let asked = Instant::now();
    let known = Observation { properties: NodeProperties::Nothing, at: asked };
    assert!(matches!(tree.listings().listed(Ino::ROOT, "a"), Listed::Unknown));
    tree.listings().add_page(Ino::ROOT, asked, vec![Row { name: "a".into(), kind: FileKind::File, observed: known }]);
    tree.listings().end_listing(Ino::ROOT, asked);
    assert!(matches!(tree.listings().listed(Ino::ROOT, "a"), Listed::Present(..)));
    assert!(matches!(tree.listings().listed(Ino::ROOT, "b"), Listed::Absent(_)));
    let b = enter(&tree, Ino::ROOT, "b", FileKind::File);
    assert!(matches!(tree.listings().listed(Ino::ROOT, "b"), Listed::Present(entry) if entry.ino == b));
    tree.rename(Ino::ROOT, "b", Ino::ROOT, "c");
    assert!(matches!(tree.listings().listed(Ino::ROOT, "b"), Listed::Absent(_)));
    assert!(matches!(tree.listings().listed(Ino::ROOT, "c"), Listed::Present(..)));
    tree.unlink(Ino::ROOT, "c");
    assert!(matches!(tree.listings().listed(Ino::ROOT, "c"), Listed::Absent(_)));
    assert!(tree.listings().has_sibling(Ino::ROOT, "c"));
    assert!(!tree.listings().has_sibling(Ino::ROOT, "a"));
}

#[test]
fn what_appeared_below_is_not_denied_by_what_is_remembered() {
    let tree = tree();
    let dir = enter(&tree, Ino::ROOT, "d", FileKind::Directory);
    let file = enter(&tree, dir, "f", FileKind::File);
    for listed in [Ino::ROOT, dir] {
        let asked = Instant::now();
        tree.listings().add_page(listed, asked, Vec::new());
        tree.listings().end_listing(listed, asked);
    }
    tree.listings().remember_absence(dir, "new", Instant::now());
    tree.invalidate_path(Ino::ROOT, "d/new");
    assert!(matches!(tree.listings().listed(dir, "new"), Listed::Unknown));
    assert!(matches!(tree.listings().listed(Ino::ROOT, "x"), Listed::Absent(_)), "nothing came into being there");
    tree.invalidate_path(Ino::ROOT, "d/f");
    assert!(tree.view(file).unwrap().observed.age() > Duration::from_secs(60));
    assert_eq!(tree.below(Ino::ROOT, "d/f"), Some(file));
    assert_eq!(tree.below(Ino::ROOT, "d/f/x"), None);
    tree.invalidate_path(Ino::ROOT, "other/deep");
    assert!(matches!(tree.listings().listed(Ino::ROOT, "x"), Listed::Unknown));
}

#[test]
fn two_answers_about_one_replacement_leave_the_old_file_what_it_was() {
    use crate::fs::names::attr;
    use crate::store::{BlobSettings, Written};
    let tree = tree();
    let blob = |etag: &str, size| {
        let written = Written { etag: ETag::new(etag), last_modified: SystemTime::UNIX_EPOCH };
        NodeProperties::Blob(Arc::new(attr::just_written(size, BlobSettings::default(), written)))
    };
    let known = Observation { properties: blob("0x1", 5), at: Instant::now() };
    let ino = tree.enter(Ino::ROOT, "f", FileKind::File, known, None).unwrap().ino;
    assert!(tree.kernel().looked_up(ino));
    tree.kernel().opened(ino);
    for asked in [Instant::now(), Instant::now()] {
        tree.update_if_newer(ino, blob("0x2", 9), asked);
        let view = tree.view(ino).unwrap();
        assert_eq!((view.link, view.properties().unwrap().size), (Link::Vanished, 5));
    }
}

#[test]
fn a_name_whose_kind_changed_is_another_file() {
    let tree = tree();
    let file = enter(&tree, Ino::ROOT, "x", FileKind::File);
    let dir = enter(&tree, Ino::ROOT, "x", FileKind::Directory);
    assert_ne!(file, dir);
    assert!(tree.place(file).is_err());
    assert_eq!(name_of(&tree, dir), "x/");
}

#[test]
fn a_file_that_nobody_refers_to_keeps_its_number_as_long_as_it_is_the_same() {
    use crate::fs::names::attr;
    use crate::store::{BlobSettings, Written};
    let tree = tree();
    let look_up = |etag: &str| {
        let written = Written { etag: ETag::new(etag), last_modified: SystemTime::UNIX_EPOCH };
        let heard = NodeProperties::Blob(Arc::new(attr::just_written(5, BlobSettings::default(), written)));
        let ino = tree
            .enter(Ino::ROOT, "f", FileKind::File, Observation { properties: heard, at: Instant::now() }, None)
            .unwrap()
            .ino;
        assert!(tree.kernel().looked_up(ino));
        tree.kernel().forget(ino, 1);
        assert!(tree.view(ino).is_err());
        ino
    };
    let first = look_up("0x1");
    assert_eq!(look_up("0x1"), first);
    assert_ne!(look_up("0x2"), first);
}
