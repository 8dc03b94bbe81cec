//! Hierarchical namespaces: directories that exist by themselves and keep what is set, and paths of another type than was thought.

use std::time::Duration;

use blobcp::devstore::answers::TiersOfPaths;
use blobcp::devstore::{Answers, Config, Fault};
use blobcp::store::DeleteOptions;

use crate::common::raw;
use crate::common::*;

/// A mount of two accounts with hierarchical namespaces that believes for long what it has heard.
fn world() -> World {
    answering(Answers::default())
}

fn answering(answers: Answers) -> World {
    let setup = Setup::default();
    let devstore = Config { hns: true, answers, ..setup.devstore.clone() };
    World::with(Setup { devstore, attr_ttl: Duration::from_secs(600), ..setup })
}

fn delete(world: &World, name: &str) {
    world.block_on(world.client(ONE).blob(&path(name)).delete(&DeleteOptions::default())).unwrap();
}

#[test]
fn a_directory_keeps_mode_and_time_and_stays_one() {
    // S136, S137: what makes it a directory is not among what is stored.
    let world = world();
    world.put("made/by/blobs", "x");
    world.ok("mkdir own; ls -l . made");
    for dir in ["own", "made", "made/by"] {
        world.ok(&format!("chmod 2750 {dir}; touch -d '2001-02-03 04:05:06 UTC' {dir}"));
        let seen = world.ok(&format!("stat -c '%a %Y %F' {dir}"));
        assert_eq!(seen, "2750 981173106 directory\n", "{dir}");
        let stored = world.properties(ONE, dir).unwrap();
        assert_eq!(
            (stored.metadata.get("permissions"), stored.metadata.get("hdi_isfolder")),
            (Some("02750"), Some("true")),
            "{dir}"
        );
        assert!(stored.path.unwrap().is_directory, "{dir}");
    }
    // As another mount sees it.
    let other = world.mounted_elsewhere(&Setup::default());
    assert_eq!(
        std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(other.here().join("made/by")).unwrap()),
        0o42750
    );
    // A lost answer is recognised without that word, too.
    world.store.add_fault(fault(r#"{"operation":"SetBlobMetadata","reset":"after"}"#));
    world.ok("chmod 700 own; test $(stat -c %a own) = 700; rmdir own; rm -r made; ls");
}

#[test]
fn a_directory_that_fills_up_meanwhile_is_not_empty() {
    // S132
    let world = world();
    world.ok("mkdir d; ls -l");
    let held = world.stop(Fault::on("DeleteBlob"));
    let rmdir = world.start("rmdir d");
    held.reached();
    world.put("d/theirs", "x");
    held.let_go();
    let rmdir = rmdir.wait();
    assert!(rmdir.stderr.contains("Directory not empty"), "{rmdir:?}");
    assert_eq!(world.stored("d/theirs"), "x");
}

#[test]
fn a_file_that_is_a_directory_by_now_is_not_removed() {
    // S133: refused, or by an old version with an error that says nothing.
    for (api_version, says) in [(None, "Is a directory"), (Some("2018-11-09"), "Input/output error")] {
        let setup = Setup::default();
        let devstore = Config { hns: true, ..setup.devstore.clone() };
        let attr_ttl = Duration::from_secs(600);
        let world = World::with(Setup { devstore, attr_ttl, delete_snapshots: true, api_version, ..setup });
        for theirs in ["", "f/below"] {
            world.put("f", "file");
            world.ok("ls -l");
            delete(&world, "f");
            match theirs {
                "" => world.put("f/gone", ""),
                name => world.put(name, "x"),
            }
            if theirs.is_empty() {
                delete(&world, "f/gone");
            }
            let ran = world.sh("python3 -I -c \"import os; os.unlink('f')\"");
            assert!(ran.code == Some(1) && ran.stderr.contains(says), "{api_version:?} {theirs}: {ran:?}");
            assert!(world.is_stored("f"), "{api_version:?} {theirs}");
            assert!(theirs.is_empty() || world.stored(theirs) == "x");
            assert_eq!(raw::delete_path(&world, "f").status, 200);
            world.expire(&["f"]);
        }
    }
}

#[test]
fn nothing_is_put_below_a_file_or_over_a_directory() {
    // S141
    let world = world();
    world.put("d/x", "x");
    world.put("f", "file");
    world.ok("ls -l . d; cat f");
    delete(&world, "d/x");
    delete(&world, "d");
    world.put("d", "a file by now");
    for command in ["printf x | dd of=d/new conv=fsync status=none", "mkdir d/sub", "cp f d/copy"] {
        let ran = world.sh(command);
        assert!(ran.stderr.contains("Not a directory"), "{command}: {ran:?}");
    }
    assert_eq!(world.stored("d"), "a file by now");
    delete(&world, "f");
    world.put("f/below", "x");
    let ran = world.sh("printf more | dd of=f conv=fsync status=none");
    assert!(ran.code != Some(0), "{ran:?}");
    assert_eq!(world.stored("f/below"), "x");
    assert!(world.properties(ONE, "f").unwrap().path.unwrap().is_directory);
    // The service may look at the type before it looks at the condition.
    world.put("g", "file");
    world.ok("ls -l; cat g");
    delete(&world, "g");
    world.put("g/below", "x");
    world.store.add_fault(fault(r#"{"operation":"PutBlob","status":409,"code":"PathConflict"}"#));
    let ran = world.sh("printf more | dd of=g conv=fsync status=none");
    assert!(ran.stderr.contains("Is a directory"), "{ran:?}");
    world.put("h", "file");
    world.store.add_fault(fault(r#"{"operation":"PutBlob","status":409,"code":"PathConflict"}"#));
    let ran = world.sh("mkdir h");
    assert!(ran.stderr.contains("File exists"), "{ran:?}");
    assert_eq!((world.stored("g/below"), world.stored("h")), ("x".into(), "file".into()));
}

#[test]
fn a_parent_that_is_said_to_be_missing_is_looked_for_once_more() {
    // S123
    let world = world();
    world.put("d/f", "text");
    world.put("d/g", "text");
    world.ok("mkdir e; ls -l . d e");
    world.reset_stats();
    let missing = r#"{"operation":"RenamePath","status":404,"code":"RenameDestinationParentPathNotFound"}"#;
    world.store.add_fault(fault(missing));
    world.ok("python3 -I -c \"import os; os.rename('d/f', 'e/f')\"");
    assert_eq!((world.stored("e/f"), world.stats().requests("RenamePath")), ("text".into(), 2));
    // One that is gone, is gone: by its name nothing is made there.
    delete(&world, "e/f");
    delete(&world, "e");
    world.reset_stats();
    let ran = world.sh("python3 -I -c \"import os; os.rename('d/g', 'e/g')\"");
    assert!(ran.stderr.contains("FileNotFoundError"), "{ran:?}");
    assert_eq!((world.stored("d/g"), world.stats().requests("RenamePath")), ("text".into(), 2));
}

#[test]
fn what_the_namespace_does_not_offer_is_said_to_be_so() {
    // S193, S194
    let world = answering(Answers { tiers_of_paths: TiersOfPaths::Unknown, ..Answers::default() });
    world.put("f", "text");
    world.ok("ls -l");
    for attribute in ["tier -v Cool", "tag.k -v v"] {
        let ran = world.sh(&format!("setfattr -n user.blob.{attribute} f"));
        assert!(ran.code == Some(1) && ran.stderr.contains("Operation not supported"), "{attribute}: {ran:?}");
    }
    // S142: reported, and the source is there.
    world.store.add_fault(fault(r#"{"operation":"CopyBlob","status":409,"code":"OperationNotAllowedInCurrentState"}"#));
    let cp = world.sh("cp f g");
    assert!(cp.code == Some(1) && cp.stderr.to_lowercase().contains("busy"), "{cp:?}");
    assert_eq!(world.stored("f"), "text");
}
