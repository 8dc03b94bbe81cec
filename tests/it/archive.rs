//! Archived blobs: what is shown of them, how they come back, and what cannot be done meanwhile.

use blobcp::devstore::Choice;

use crate::common::*;

/// The command line, as the tests of the commands have it.
const BLOBCP: &str = env!("CARGO_BIN_EXE_blobcp");

/// A world with an archived `x`.
fn archived(choices: &[&str]) -> World {
    let mut setup = Setup::default();
    setup.devstore.answers = choices.iter().map(|choice| choice.parse::<Choice>().unwrap()).collect();
    let world = logged_with(setup);
    world.put("x", "content");
    world.ok("setfattr -n user.blob.tier -v Archive x");
    world.reset_stats();
    world
}

fn tier(world: &World, name: &str) -> Option<String> {
    world.properties(ONE, name).unwrap().tier
}

// S99, S183
#[test]
fn a_file_on_its_way_back_says_so() {
    let world = archived(&[]);
    let file = world.here().join("x");
    assert_eq!(attribute(&file, "archive_status"), None);
    assert!(world.ok(&format!("{BLOBCP} status x")).contains("archive  archived\n"));
    world.ok("setfattr -n user.blob.tier -v Cool x");
    assert_eq!(attribute(&file, "tier").as_deref(), Some("Archive"));
    assert_eq!(attribute(&file, "archive_status").as_deref(), Some("rehydrate-pending-to-cool"));
    assert_eq!(attribute(&file, "rehydrate_priority").as_deref(), Some("Standard"));
    assert!(
        world.ok(&format!("{BLOBCP} status x")).contains("archive  rehydrate-pending-to-cool, priority Standard\n")
    );
    let json = world.ok(&format!("{BLOBCP} status --json x"));
    assert!(json.contains(r#""archive_status":"rehydrate-pending-to-cool""#), "{json}");
    // To ask for the same once more sends nothing; more urgently, it does.
    world.reset_stats();
    world.ok("setfattr -n user.blob.tier -v Cool x");
    assert_eq!(world.stats().requests.get("SetBlobTier"), None);
    world.ok("setfattr -n user.blob.rehydrate_priority -v High x");
    assert_eq!(attribute(&file, "rehydrate_priority").as_deref(), Some("High"));
    world.store.end_rehydration(ONE, BOX, "x").unwrap();
    assert_eq!(attribute(&file, "archive_status"), None);
    assert_eq!(attribute(&file, "tier").as_deref(), Some("Cool"));
    assert_eq!(world.ok("cat x"), "content");
}

// S100, S182
#[test]
fn another_tier_meanwhile_is_busy_or_taken() {
    for (answer, busy) in [("refused", true), ("taken", false)] {
        let world = archived(&[&format!("tier-again-while-rehydrating={answer}")]);
        world.ok("setfattr -n user.blob.tier -v Hot x");
        let ran = world.sh("setfattr -n user.blob.tier -v Cool x");
        assert_eq!(ran.stderr.contains("Device or resource busy"), busy, "{ran:?}");
        assert_eq!(ran.code == Some(0), !busy);
    }
}

// S99
#[test]
fn wait_returns_when_all_are_back() {
    let world = archived(&[]);
    world.put("d/y", "online");
    world.ok("setfattr -n user.blob.tier -v Hot x");
    world.reset_stats();
    let mut waiting = world.start(&format!("{BLOBCP} wait -r --rehydrated x d && cat x"));
    eventually("a look at the file", || {
        world.stats().requests.get("GetBlobProperties").is_some_and(|count| *count > 1) || waiting.has_ended()
    });
    assert!(!waiting.has_ended());
    world.store.end_rehydration(ONE, BOX, "x").unwrap();
    let ran = waiting.wait();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "content"), "{ran:?}");
}

#[test]
fn wait_says_what_nobody_brings_back() {
    let world = archived(&[]);
    let ran = world.sh(&format!("{BLOBCP} wait --rehydrated x"));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("nobody brings it back"), "{ran:?}");
}

/// ENODATA, of which setfattr has a reading of its own.
fn says_so(ran: &Ran) -> bool {
    ran.stderr.contains("No data available") || ran.stderr.contains("No such attribute")
}

// S105, S106
#[test]
fn every_change_of_an_archived_file_says_that_it_has_no_data() {
    for answer in ["blob-archived", "unknown-code"] {
        let world = archived(&[&format!("changes-of-archived={answer}")]);
        world.put("other", "other");
        for command in [
            "chmod 600 x",
            "touch -d 2001-02-03 x",
            "setfattr -n user.blob.meta.a -v b x",
            "echo more >> x",
            "cp other x",
            "cat x",
            "cp x y",
            "mv x y",
            &format!("{BLOBCP} snapshot x"),
        ] {
            let ran = world.sh(command);
            assert!(ran.code != Some(0) && says_so(&ran), "{answer}: {command}: {ran:?}");
        }
        assert_eq!(tier(&world, "x").as_deref(), Some("Archive"));
        assert!(!world.is_stored("y") || world.stored("y").is_empty());
        assert_logged(&["archived"]);
    }
}

// S51, S52
#[test]
fn an_archived_source_is_not_taken_for_a_changed_one() {
    for answer in ["CannotVerifyCopySource", "BlobArchived", "modified"] {
        let world = archived(&[&format!("code-of-archived-source={answer}")]);
        world.put("a", "first");
        let ran = world.sh("cat a x > joined");
        assert!(ran.stderr.contains("No data available"), "{answer}: {ran:?}");
    }
}
