//! What nobody knows about the service makes no difference to who uses a mount: the same programs do the same under
//! each answer that the embedded service can give.

use blobcp::devstore::{Answers, Choice, Config, CopyAction, PolicyChange};
use blobcp::store::{BlobSettings, CopyStatus, WriteOptions};

use crate::common::raw;
use crate::common::*;

/// A mount for each answer that is not the usual one.
fn worlds() -> impl Iterator<Item = (Choice, World)> {
    let unusual = |choice: &Choice| [*choice].into_iter().collect::<Answers>() != Answers::default();
    Choice::all().into_iter().filter(unusual).map(|choice| (choice, World::answering([choice])))
}

/// The same with hierarchical namespaces.
fn worlds_of_paths() -> impl Iterator<Item = (Choice, World)> {
    let unusual = |choice: &Choice| [*choice].into_iter().collect::<Answers>() != Answers::default();
    Choice::all().into_iter().filter(unusual).map(|choice| {
        let mut setup = Setup::default();
        setup.devstore = Config { hns: true, answers: [choice].into_iter().collect(), ..setup.devstore };
        (choice, World::with(setup))
    })
}

#[test]
fn paths_are_renamed_written_and_removed() {
    for (choice, world) in worlds_of_paths() {
        println!("{choice}");
        world.ok("mkdir -p d/sub && printf one > d/f && printf two > d/sub/g && mv d e && printf more >> e/f");
        // What the mount knows of a renamed file is right: what follows is conditional on it.
        world.ok("chmod 750 e e/f && mv e/f e/sub/f && printf end >> e/sub/f && mv e/sub/f e/sub/g && cp -p e/sub/g h");
        for name in ["e/sub/g", "h"] {
            assert_eq!(world.stored(name), "onemoreend", "{choice}: {name}");
        }
        assert_eq!(world.ok("stat -c '%a %F' e h"), "750 directory\n750 regular file\n", "{choice}");
        assert_eq!(world.ok("find . | sort"), ".\n./e\n./e/sub\n./e/sub/g\n./h\n", "{choice}");
        // Where somebody has a lease, it is done or not.
        world.ok("printf old > held");
        let headers = ["x-ms-lease-action: acquire", "x-ms-lease-duration: -1"];
        let url = format!("{}&comp=lease", raw::url(&world, "held"));
        assert_eq!(raw::exchange("PUT", &url, &headers, b"").status, 201);
        let ran = world.sh("python3 -I -c \"import os; os.rename('h', 'held')\"");
        let (held, source) = if ran.code == Some(0) { ("onemoreend", false) } else { ("old", true) };
        assert_eq!((world.stored("held"), world.is_stored("h")), (held.into(), source), "{choice}: {ran:?}");
        world.ok("test \"$(cat held)\" = old || test ! -e h");
        // Behind the mount's back a directory has become a file, and a file a directory.
        world.ok("mkdir was-dir && printf x > was-file && ls -l was-dir . > /dev/null");
        for name in ["was-dir", "was-file"] {
            assert_eq!(raw::delete_path(&world, name).status, 200);
        }
        world.put("was-dir", "a file by now");
        world.put("was-file/below", "x");
        let ran = world.sh("printf y | dd of=was-dir/new conv=fsync status=none");
        assert!(ran.stderr.contains("Not a directory"), "{choice}: {ran:?}");
        assert_ne!(world.sh("printf y | dd of=was-file conv=fsync status=none").code, Some(0), "{choice}");
        assert_eq!((world.stored("was-dir"), world.stored("was-file/below")), ("a file by now".into(), "x".into()));
        world.ok("rm -r e");
        assert!(!world.is_stored("e"), "{choice}");
    }
}

#[test]
fn copies_are_whole_and_say_how_they_went() {
    for (choice, world) in worlds() {
        println!("{choice}");
        let content = pattern(100_000);
        world.put("a", content.clone());
        world.store.put_blob(TWO, BOX, "far", content.clone().into(), "text/plain").unwrap();
        // Within the account, onto what is there, from the other account, onto itself.
        world.ok("cp a b && cp a b && cp ../../two/box/far c && cp ../../two/box/far b");
        for name in ["b", "c"] {
            assert_eq!(world.stored(name), content, "{choice}: {name}");
            assert_eq!(attribute(&world.here().join(name), "copy.status").as_deref(), Some("success"), "{choice}");
        }
        // No signature is shown, whatever the service says.
        assert!(!world.ok("getfattr -d b c").contains("sig="), "{choice}");
        // A changed mode does not disturb the content, nor what follows.
        world.ok("chmod 600 b && setfattr -n user.blob.meta.k -v v b && cp -p b d && cmp a d");
        assert_eq!(world.ok("stat -c %a b d"), "600\n600\n", "{choice}");
    }
}

#[test]
fn what_is_written_is_there_and_nothing_else_is_lost() {
    for (choice, world) in worlds() {
        println!("{choice}");
        world.ok("printf one > f && printf two >> f && printf three >> f && cat f f > g && cp f h");
        assert_eq!((world.stored("f"), world.stored("g")), ("onetwothree".into(), "onetwothree".repeat(2).into()));
        world.ok("mv h i && mv i g && ! ls h 2>&- && ! ls i 2>&-");
        assert_eq!(world.stored("g"), "onetwothree", "{choice}");
        world.ok("printf new > tmp && mv tmp f && truncate -s 2 f && mkdir d && mv f d/f && rm g");
        assert_eq!(world.stored("d/f"), "ne", "{choice}");
        // Who creates exclusively does not take what is there.
        world.ok("set -C; printf kept > x; ! printf lost > x");
        assert_eq!(world.stored("x"), "kept", "{choice}");
        world.ok("rm -r d x");
        assert_eq!(world.ok("ls -A"), "", "{choice}");
    }
}

#[test]
fn a_copy_that_is_not_done_yet_is_either_done_or_said_not_to_be() {
    for (choice, world) in worlds() {
        println!("{choice}");
        world.store.put_blob(TWO, BOX, "far", pattern(1000).into(), "text/plain").unwrap();
        world.hold_copies();
        // Aborted by who waits for it.
        let copying = world.start("exec cp ../../two/box/far a");
        pending(&world, "a");
        copying.signal(libc::SIGINT);
        assert_ne!(copying.wait().code, Some(0), "{choice}");
        assert_ne!(status(&world, "a"), Some(CopyStatus::Pending), "{choice}");
        // Changed or removed meanwhile, as far as the service lets anybody.
        let copying = world.start("cp ../../two/box/far b");
        pending(&world, "b");
        let cooled = world.sh("setfattr -n user.blob.tier -v Cool b");
        let removed = world.sh("rm -f b");
        if status(&world, "b").is_some() {
            steer(&world, CopyAction::Release);
        }
        let copied = copying.wait();
        match world.properties(ONE, "b") {
            Some(_) => assert_eq!((copied.code, world.stored("b")), (Some(0), pattern(1000).into()), "{choice}"),
            None => assert_eq!(removed.code, Some(0), "{choice}: {cooled:?} {removed:?} {copied:?}"),
        }
    }
}

#[test]
fn a_directory_shows_each_name_once() {
    for (choice, world) in worlds() {
        println!("{choice}");
        let names: Vec<String> = (0..7).flat_map(|number| [format!("d{number}/f"), format!("f{number}")]).collect();
        for name in &names {
            world.put(name, "");
        }
        world.store.change_policy(PolicyChange { list_page: Some(3), ..Default::default() });
        let shown: Vec<String> = (0..7).map(|number| format!("d{number}\n")).collect();
        let files: Vec<String> = (0..7).map(|number| format!("f{number}\n")).collect();
        assert_eq!(world.ok("ls"), shown.concat() + &files.concat(), "{choice}");
        assert_eq!(world.ok("find . -type f | wc -l"), "14\n", "{choice}");
        world.ok("rm -r d* && ls f3");
        assert_eq!(world.ok("ls"), files.concat(), "{choice}");
    }
}

#[test]
fn blobs_of_other_types_are_copied_and_go_on_growing() {
    for (choice, world) in worlds() {
        println!("{choice}");
        let append = |name: &str, text: &'static str| {
            let (client, path) = (world.client(ONE), path(name));
            let blob = client.blob(&path).append_blob();
            world.block_on(blob.create(&BlobSettings::default(), &WriteOptions::default())).unwrap();
            world.block_on(blob.append_block(0, text.into(), &WriteOptions::default())).unwrap();
        };
        append("log", "one\n");
        append("old", "two\n");
        world.ok("cp log copy && cp log old && echo more >> copy && echo more >> old");
        for name in ["copy", "old"] {
            assert_eq!(world.stored(name), "one\nmore\n", "{choice}: {name}");
        }
        let created = world.properties(ONE, "old").unwrap().creation_time.unwrap();
        let created = Some(httpdate::fmt_http_date(created));
        // Unknown rather than wrong, until the service is asked again.
        let shown = || attribute(&world.here().join("old"), "creation_time");
        assert!(shown().is_none() || shown() == created, "{choice}");
        world.expire(&["old"]);
        assert_eq!(shown(), created, "{choice}");
    }
}

#[test]
fn every_answer_is_one_of_a_run() {
    let runs: Vec<Answers> = (0..=answers::runs()).map(answers::of_run).collect();
    assert_eq!(runs[0], Answers::default());
    for choice in Choice::all() {
        let given = |run: &Answers| {
            let mut same = *run;
            same.choose(choice);
            same == *run
        };
        assert!(runs.iter().any(given), "{choice}");
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = std::fs::read_to_string(root.join("scripts/test")).unwrap();
    let numbers: Vec<String> = (1..=answers::runs()).map(|number| number.to_string()).collect();
    assert!(script.contains(&format!("for run in {}; do\n", numbers.join(" "))), "scripts/test does other runs");
    // What is excepted is there, and has its reason.
    for (of, key, reason) in answers::USUAL {
        let (module, name) = of.rsplit_once("::").unwrap();
        let place = root.join("tests/it").join(module.replace("::", "/"));
        let file = [place.with_extension("rs"), place.join("mod.rs")].into_iter().find(|file| file.exists());
        let source = std::fs::read_to_string(file.expect(of)).unwrap();
        assert!(source.contains(&format!("fn {name}{}", if name.is_empty() { "" } else { "(" })), "{of}");
        assert!(answers::usual(key).key() == *key && reason.len() > 10, "{of}");
    }
}
