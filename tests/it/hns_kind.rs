//! Accounts that do not say, or not to everybody, that their namespace is hierarchical: how it is found out, and what is not done before.

use std::time::Duration;

use blobcp::devstore::answers::{AccountInformation, FilesystemProperties};
use blobcp::devstore::{Answers, Config};

use crate::common::entra::Entra;
use crate::common::*;

/// rename(2), once: mv makes a second try of its own when the first has failed.
fn rename(from: &str, to: &str) -> String {
    format!("python3 -I -c \"import os; os.rename('{from}', '{to}')\"")
}

#[track_caller]
fn assert_cost(world: &World, expected: &[(&'static str, u64)]) {
    assert_eq!(world.stats().requests, expected.iter().copied().collect(), "{:#?}", world.store.requests());
    assert_no_payload(&world.stats());
}

/// A directory of `count` files, one of them deeper.
fn tree(world: &World, count: usize) {
    for i in 1..count {
        world.put(&format!("d/{i}"), format!("content {i}"));
    }
    world.put("d/sub/x", "deep");
}

/// A mount of two accounts that do not say of what kind they are.
fn untold(hns: bool, setup: Setup) -> World {
    let answers = Answers {
        account_information: AccountInformation::NotFound,
        filesystem_properties: FilesystemProperties::Forbidden,
        ..Answers::default()
    };
    let devstore = Config { hns, answers, ..setup.devstore.clone() };
    logged_with(Setup { devstore, attr_ttl: Duration::from_secs(600), ..setup })
}

/// The same, in a version of the service in which nothing that is listed tells it either (S172).
fn silent(hns: bool) -> World {
    untold(hns, Setup { api_version: Some("2020-08-04"), ..Setup::default() })
}

/// Both accounts are asked with an identity.
fn with_tokens(entra: &Entra, hns: bool, answers: Answers) -> World {
    let setup = Setup::default();
    let devstore = Config { hns, answers, ..setup.devstore.clone() };
    let world = World::with(Setup { devstore, identity: Some((entra.application(), &[ONE, TWO])), ..setup });
    entra.is_known_to(&world.store);
    world
}

#[test]
fn a_token_is_told_by_the_container_or_else_by_the_filesystem() {
    // S148, S149
    for (account_information, asked) in [
        (AccountInformation::TokensAtContainers, vec![("GetAccountInformation", 1)]),
        (AccountInformation::KeysOnly, vec![("GetAccountInformation", 1), ("GetFilesystemProperties", 1)]),
    ] {
        for hns in [true, false] {
            let entra = Entra::start();
            let world = with_tokens(&entra, hns, Answers { account_information, ..Answers::default() });
            world.put("a", "text");
            world.put("d/x", "deep");
            // Nothing has been listed yet that would show it.
            world.ok("cat a");
            let asked_before = world.stats();
            world.ok(&rename("a", "b"));
            let cost = |name: &str| world.stats().requests(name) - asked_before.requests(name);
            let expected = if hns { 0 } else { 1 };
            assert_eq!(
                (cost("CopyBlob"), cost("RenamePath")),
                (expected, 1 - expected),
                "{account_information:?} {hns}"
            );
            if !hns {
                for (name, count) in &asked {
                    assert_eq!(cost(name), *count, "{account_information:?} {name}");
                }
            }
            world.ok("mv d e");
            assert_eq!((world.stored("b"), world.ok("ls; cat e/x")), ("text".into(), "b\ne\ndeep".to_owned()));
            assert!(!world.is_stored("d") && !world.is_stored("d/x"));
        }
    }
}

#[test]
fn what_is_listed_tells_the_kind() {
    // S171: with word of its directories, or with names and nothing else.
    for hns in [true, false] {
        let world = untold(hns, Setup::default());
        tree(&world, 3);
        world.ok("mkdir d/empty; ls");
        world.reset_stats();
        world.ok("mv d e");
        let renamed = if hns { 1 } else { 0 };
        assert_eq!(world.stats().requests("RenamePath"), renamed, "{:#?}", world.store.requests());
        assert_eq!(world.stats().requests("GetAccountInformation"), 0);
        assert_eq!(world.ok("ls e; cat e/1 e/sub/x"), "1\n2\nempty\nsub\ncontent 1deep");
        assert!(!world.is_stored("d") && !world.is_stored("d/sub/x"));
    }
}

#[test]
fn a_directory_is_not_renamed_while_the_kind_is_not_known() {
    // S148, S149: as a tree of blobs it would leave its directories behind.
    for hns in [true, false] {
        let world = silent(hns);
        tree(&world, 3);
        world.put("a", "text");
        world.ok("ls -l . d");
        world.reset_stats();
        let mv = world.sh("mv d e");
        assert!(mv.code == Some(1) && mv.stderr.contains("Operation not supported"), "{mv:?}");
        assert_eq!(world.stats().requests("CopyBlob") + world.stats().requests("DeleteBlob"), 0);
        assert_eq!(world.ok("ls; ls d; cat d/1 d/sub/x"), "a\nd\n1\n2\nsub\ncontent 1deep");
        // Once said, it is not asked again, and a file is moved as ever.
        world.reset_stats();
        world.sh("mv d e");
        assert_eq!(
            world.stats().requests("GetAccountInformation") + world.stats().requests("GetFilesystemProperties"),
            0
        );
        world.ok("mv a b");
        assert_eq!(world.stored("b"), "text");
        assert_eq!(times_logged("directories are not renamed until it shows"), 1);
    }
}

#[test]
fn an_account_that_passes_for_flat_is_found_out_by_the_first_file_that_is_replaced() {
    // S148, S192
    let world = silent(true);
    for name in ["f", "g", "h", "i"] {
        world.put(name, name);
    }
    tree(&world, 3);
    world.ok("ls -l . d");
    world.reset_stats();
    world.ok(&rename("f", "g"));
    let asked = [("GetAccountInformation", 1), ("GetFilesystemProperties", 1)];
    assert_cost(&world, &[&asked[..], &[("SnapshotBlob", 1), ("RenamePath", 1)]].concat());
    assert_eq!((world.stored("g"), world.ok("cat g; ls -d ?")), ("f".into(), "fd\ng\nh\ni\n".to_owned()));
    // From then on it is what it is, for files and for directories.
    world.reset_stats();
    world.ok(&format!("{}; {}", rename("g", "h"), rename("i", "j")));
    assert_cost(&world, &[("RenamePath", 2)]);
    world.reset_stats();
    world.ok("mv d e");
    assert_cost(&world, &[("GetBlobProperties", 1), ("RenamePath", 1)]);
    assert_eq!(
        (world.stored("h"), world.stored("j"), world.stored("e/1")),
        ("f".into(), "i".into(), "content 1".into())
    );
    // What editors do, and what is open goes along.
    world.ok("exec 3>>h; echo two >&3; echo new > h.tmp && mv -f h.tmp h; echo three >&3; exec 3>&-; cat h");
    assert_eq!(world.stored("h"), "new\n");
}

#[test]
fn what_is_written_goes_along_when_the_kind_is_found_out() {
    // S192: what was begun for a flat account has stored it, and nothing else.
    let world = silent(true);
    world.put("g", "old");
    world.put("f", "one\n");
    world.ok("exec 3>>f; echo two >&3; mv -f f g; echo three >&3; exec 3>&-");
    assert_eq!(
        (world.stored("g"), world.ok("cat g; ls")),
        ("one\ntwo\nthree\n".into(), "one\ntwo\nthree\ng\n".to_owned())
    );
    assert_eq!(world.stats().requests("CopyBlob") + world.stats().requests("DeleteBlob"), 0);
}
