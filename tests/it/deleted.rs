//! Blobs that were deleted softly: shown in `.deleted`, and brought back.

use std::time::Duration;

use blobcp::devstore::AccountConfig;

use crate::common::*;

const BLOBCP: &str = env!("CARGO_BIN_EXE_blobcp");

fn world() -> World {
    let mut setup = Setup::default();
    setup.devstore.accounts = vec![AccountConfig::keeping_deleted(ONE, 7), AccountConfig::named(TWO)];
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
