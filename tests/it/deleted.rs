//! Blobs that were deleted softly: shown in `.deleted`, and brought back.

use std::time::Duration;

use blobcp::devstore::{AccountConfig, PolicyChange};

use crate::common::raw::delete_path;
use crate::common::*;

const BLOBCP: &str = env!("CARGO_BIN_EXE_blobcp");

fn world() -> World {
    World::with(setup())
}

fn setup() -> Setup {
    let mut setup = Setup::default();
    setup.devstore.accounts = vec![AccountConfig::keeping_deleted(ONE, 7), AccountConfig::named(TWO)];
    setup
}

/// The same with hierarchical namespaces.
fn hierarchical(choices: &[&str]) -> World {
    let mut setup = setup();
    setup.devstore.hns = true;
    setup.devstore.answers = choices.iter().map(|choice| choice.parse().unwrap()).collect();
    World::with(setup)
}

// S81
#[test]
fn what_was_deleted_is_shown_with_its_size_and_time() {
    let world = world();
    world.ok("echo content > x; touch -d 2001-02-03 x; mkdir d; echo below > d/y; echo kept > k");
    world.ok("rm x d/y");
    assert_eq!(world.ok("ls; ls -A"), "d\nk\nd\nk\n");
    assert_eq!(world.ok("ls .deleted; stat -c '%n %s %y' .deleted/x | cut -c1-22"), "x\n.deleted/x 8 2001-02-0\n");
    assert_eq!(world.ok("ls d/.deleted"), "y\n");
    for (command, error) in [
        ("cat .deleted/x", "No data available"),
        ("cp .deleted/x z", "No data available"),
        ("echo more >> .deleted/x", "No data available"),
        ("rm -f .deleted/x", "Read-only file system"),
        ("touch .deleted/new", "Read-only file system"),
        ("cat .deleted/k", "No such file"),
    ] {
        let ran = world.sh(command);
        assert!(ran.stderr.contains(error), "{command}: {ran:?}");
    }
    // Nobody walks in by himself.
    assert_eq!(world.ok("find . -name x"), "");
    assert_eq!(world.sh("ls ../../two/box/.deleted").stdout, "");
}

// S89
#[test]
fn mv_and_undelete_bring_back_what_it_was() {
    let world = world();
    world.ok("echo content > x; setfattr -n user.blob.meta.color -v blue x; mkdir d; echo below > d/y");
    let before = world.properties(ONE, "x").unwrap();
    let undelete = [format!("{BLOBCP} undelete x"), format!("cd d; {BLOBCP} undelete ../.deleted/x")];
    for command in ["mv .deleted/x .", "mv -n .deleted/x x", &undelete[0], &undelete[1]] {
        world.ok("rm x; ls .deleted");
        world.ok(command);
        assert_eq!(world.ok("cat x; ls -A; ls .deleted"), "content\nd\nx\n", "{command}");
        assert_eq!(world.properties(ONE, "x").unwrap(), before);
    }
    world.ok(&format!("rm d/y; cd ..; {BLOBCP} undelete box/d/y; cat box/d/y; echo more >> box/d/y"));
    assert_eq!(world.stored("d/y"), "below\nmore\n");
}

#[test]
fn what_another_client_has_made_meanwhile_is_not_taken_for_what_comes_back() {
    let world = world();
    world.ok("echo content > x; rm x; ls .deleted; ls -l");
    world.put("x", "theirs");
    let ran = world.sh("mv .deleted/x .");
    assert!(ran.code == Some(1) && ran.stderr.contains("File exists"), "{ran:?}");
    assert_eq!((world.ok("cat x"), world.stored("x")), ("theirs".to_owned(), "theirs".into()));
}

#[test]
fn nothing_is_brought_back_over_what_is_there_or_elsewhere() {
    let world = world();
    world.ok("echo old > x; rm x; ls .deleted; echo new > other");
    let ran = world.sh("mv .deleted/x y");
    assert!(ran.stderr.contains("Operation not permitted"), "{ran:?}");
    let ran = world.sh(&format!("{BLOBCP} undelete never"));
    assert!(ran.stderr.contains("No such file"), "{ran:?}");
    world.ok("echo new > x");
    let ran = world.sh(&format!("{BLOBCP} undelete x"));
    assert!(ran.code == Some(1) && ran.stderr.contains("File exists"), "{ran:?}");
    assert_eq!(world.stored("x"), "new\n");
}

// S81, S89
#[test]
fn its_days_are_counted() {
    let world = world();
    world.ok("echo content > x; rm x");
    world.store.age_retention(Duration::from_secs(8 * 24 * 3600));
    assert_eq!(world.ok("ls .deleted"), "");
    assert!(world.sh(&format!("{BLOBCP} undelete x")).stderr.contains("No such file"));
}

// S81, S130, S206
#[test]
fn paths_of_a_hierarchical_namespace_come_back_as_they_were() {
    let world = hierarchical(&[]);
    world.ok("echo content > x; setfattr -n user.blob.meta.color -v blue x; touch -d 2001-02-03 x; mkdir kept");
    world.ok("mkdir -p d/deep; echo below > d/deep/y; echo lone > kept/z");
    let names = ["x", "d", "d/deep", "d/deep/y", "kept/z"];
    let before = names.map(|name| world.properties(ONE, name).unwrap());
    // Of a directory that another client deletes with all that is in it, the service shows the directory.
    world.ok("rm x kept/z");
    assert_eq!(delete_path(&world, "d").status, 200);
    world.expire(&["d"]);
    assert_eq!(world.ok("ls; ls -F .deleted; ls kept/.deleted"), "kept\nd/\nx\nz\n");
    assert_eq!(world.ok("stat -c '%n %s %y' .deleted/x | cut -c1-22"), ".deleted/x 8 2001-02-0\n");
    for (command, error) in [
        ("cat .deleted/x", "No data available"),
        ("ls .deleted/d", "No data available"),
        ("cat .deleted/d/deep/y", "No data available"),
        ("mv .deleted/d e", "Operation not permitted"),
        ("rm .deleted/x", "Read-only file system"),
        ("rmdir .deleted/d", "Read-only file system"),
        ("cat .deleted/kept", "No such file"),
    ] {
        let ran = world.sh(command);
        assert!(ran.code != Some(0) && ran.stderr.contains(error), "{command}: {ran:?}");
    }
    world.ok(&format!("mv .deleted/x . && {BLOBCP} undelete d kept/z"));
    assert_eq!(names.map(|name| world.properties(ONE, name).unwrap()), before);
    assert_eq!(world.ok("ls .deleted; cat x d/deep/y kept/z"), "content\nbelow\nlone\n");
    // They are what they were to this mount as well.
    world.ok("echo more >> x; echo new > d/deep/new; mv d e; rm -r e/deep");
    assert_eq!((world.stored("x"), world.is_stored("e/deep")), ("content\nmore\n".into(), false));
    assert_eq!(world.ok("ls e/.deleted"), "deep\n");
}

// S206
#[test]
fn what_was_deleted_last_comes_back_first() {
    let world = hierarchical(&[]);
    world.ok("for text in one three seventeen; do echo $text > x; rm x; done; echo other > y; rm y");
    world.store.change_policy(PolicyChange { list_page: Some(2), ..Default::default() });
    assert_eq!(world.ok("ls .deleted; stat -c %s .deleted/x"), "x\ny\n10\n");
    for (text, name) in [("seventeen", "newest"), ("three", "older"), ("one", "oldest")] {
        assert_eq!(world.ok(&format!("mv .deleted/x . && cat x && mv x {name}")), format!("{text}\n"));
    }
    assert_eq!(world.ok("ls .deleted; ls"), "y\nnewest\nolder\noldest\n");
    assert!(world.sh("mv .deleted/x .").stderr.contains("No such file"));
    world.store.age_retention(Duration::from_secs(8 * 24 * 3600));
    assert!(world.sh(&format!("{BLOBCP} undelete y")).stderr.contains("No such file"));
    // The names of others that begin so are not in the way.
    world.ok("echo mine > y; echo theirs > y2; rm y y2; mv .deleted/y .");
    assert_eq!(world.stored("y"), "mine\n");
}

// S206
#[test]
fn what_has_the_name_by_now_is_not_replaced_whatever_the_service_would_do() {
    for choice in ["undelete-onto-existing=refused", "undelete-onto-existing=replaces"] {
        let world = hierarchical(&[choice]);
        world.ok("echo content > x; rm x; ls .deleted; ls -l");
        world.put("x", "theirs");
        let ran = world.sh("mv .deleted/x .");
        assert!(ran.code == Some(1) && ran.stderr.contains("File exists"), "{choice}: {ran:?}");
        assert_eq!((world.ok("cat x"), world.stored("x")), ("theirs".to_owned(), "theirs".into()), "{choice}");
        assert_eq!(world.stats().requests("UndeleteBlob"), 0, "{choice}");
    }
}

#[test]
fn an_undelete_whose_answer_is_lost_is_recognised() {
    for hns in [false, true] {
        let world = if hns { hierarchical(&[]) } else { world() };
        world.ok("echo content > x; rm x; ls .deleted");
        world.store.add_fault(fault(r#"{"operation":"UndeleteBlob","reset":"after"}"#));
        world.ok("mv .deleted/x .");
        assert_eq!((world.ok("cat x"), world.stored("x")), ("content\n".to_owned(), "content\n".into()));
        // One that is refused is not taken for done.
        world.ok("rm x; ls .deleted");
        let refused = r#"{"operation":"UndeleteBlob","status":403,"code":"AuthorizationPermissionMismatch","count":9}"#;
        world.store.add_fault(fault(refused));
        let ran = world.sh("mv .deleted/x .");
        assert!(ran.stderr.contains("Permission denied"), "{hns}: {ran:?}");
        assert!(!world.is_stored("x"), "{hns}");
    }
}
