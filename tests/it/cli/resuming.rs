//! What is typed again after it was interrupted, and the commands for trees and directories.

use super::*;

#[test]
fn a_tree_copy_that_was_interrupted_goes_on_and_does_not_nest() {
    let desk = Desk::new();
    desk.mount_both();
    let (source, target) = (format!("m/{ONE}/box"), format!("m/{TWO}/backup/new"));
    let mut child = desk.command(&["cp", "-r", "--json", &source, &target]).spawn().unwrap();
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines().map_while(Result::ok);
    assert_eq!(lines.filter(|line| line.contains("\"copied\"")).take(2).count(), 2, "the small ones");
    eventually("the large one", || desk.store.copies().iter().any(|copy| copy.status == "pending"));
    send(child.id() as i32, libc::SIGINT);
    assert_eq!(finish(child).status, 130);

    fs::remove_file(desk.path(&source).join("big.img")).unwrap();
    eventually("that the destination is seen", || desk.path(&target).is_dir());
    let again = desk.run(&["cp", "-r", &source, &target]);
    let going_on = format!("blobcp: cp: {target}: going on with the copy that did not come to its end\n");
    assert_eq!((again.status, again.err), (0, going_on), "{}", again.out);
    assert!(!again.out.contains("failed"), "{}", again.out);
    assert_eq!(&desk.store.content(TWO, "backup", "new/hello.txt").unwrap()[..], b"hello");
    assert!(!desk.path(&target).join("box").exists());

    // It has come to its end, and now the words mean what they mean to cp.
    let nested = desk.run(&["cp", "-r", &source, &target]);
    assert_eq!((nested.status, nested.err.as_str()), (0, ""));
    assert!(desk.path(&target).join("box/hello.txt").exists());
}

#[test]
fn a_copy_that_was_killed_goes_on_too_but_not_into_what_others_filled() {
    let desk = Desk::new();
    desk.mount_both();
    let (source, target) = (format!("m/{ONE}/box"), format!("m/{TWO}/backup/new"));
    let child = desk.command(&["cp", "-r", &source, &target]).spawn().unwrap();
    eventually("the large one", || desk.store.copies().iter().any(|copy| copy.status == "pending"));
    send(child.id() as i32, libc::SIGKILL);
    finish(child);
    fs::remove_file(desk.path(&source).join("big.img")).unwrap();
    // Somebody has copied the directory into it meanwhile.
    desk.store.put_blob(TWO, "backup", "new/box/other.txt", "x".into(), "text/plain").unwrap();
    eventually("a look at it", || desk.path(&target).join("box/other.txt").exists());
    let nested = desk.run(&["cp", "-r", &source, &target]);
    assert_eq!((nested.status, nested.err.as_str()), (0, ""));
    assert!(desk.path(&target).join("box/hello.txt").exists());
}

/// A tree `photos` here of which a copy as `m/accountone/other/up` was stopped by Ctrl-C; `a.txt` and `sub/b.txt` are
/// there, and nothing of `z.img`, which is small by now.
fn interrupted(desk: &Desk) -> String {
    desk.mount_both();
    fs::create_dir_all(desk.path("photos/sub")).unwrap();
    fs::write(desk.path("photos/a.txt"), "first").unwrap();
    fs::write(desk.path("photos/sub/b.txt"), "second").unwrap();
    let large = fs::File::create(desk.path("photos/z.img")).unwrap();
    large.set_len(64 << 30).unwrap();
    let up = format!("m/{ONE}/other/up");
    let child = desk.command(&["cp", "-r", "photos", &up]).spawn().unwrap();
    let there = |name: &str, content: &str| {
        let stored = || desk.store.content(ONE, "other", &format!("up/{name}")).is_ok_and(|found| found == content);
        eventually(name, stored);
    };
    there("a.txt", "first");
    there("sub/b.txt", "second");
    send(child.id() as i32, libc::SIGINT);
    assert_eq!(finish(child).status, 130);
    assert_eq!(records(desk).len(), 1);
    fs::write(desk.path("photos/z.img"), "small").unwrap();
    up
}

/// What is written down as not done.
fn records(desk: &Desk) -> Vec<PathBuf> {
    let entries = fs::read_dir(desk.path(".local/state/blobcp/unfinished"));
    entries.map_or_else(|_| Vec::new(), |entries| entries.map(|entry| entry.unwrap().path()).collect())
}

#[test]
fn an_upload_that_was_interrupted_goes_on_also_on_another_mount() {
    let desk = Desk::new();
    let up = interrupted(&desk);
    assert_eq!(desk.umount().status, 0);
    desk.mount_both();
    let again = desk.run(&["cp", "-r", "photos", &up]);
    let going_on = format!("blobcp: cp: {up}: going on with the copy that did not come to its end\n");
    assert_eq!((again.status, again.err), (0, going_on), "{}", again.out);
    assert!(again.out.starts_with("1 file copied (5 B), 2 skipped in "), "{}", again.out);
    assert_eq!(desk.store.content(ONE, "other", "up/z.img").unwrap(), "small");
    assert_eq!(records(&desk), Vec::<PathBuf>::new());
}

#[test]
fn a_copy_with_failures_has_come_to_its_end() {
    let desk = Desk::new();
    desk.mount_both();
    fs::create_dir(desk.path("photos")).unwrap();
    fs::write(desk.path("photos/a"), "first").unwrap();
    assert!(Command::new("mkfifo").arg(desk.path("photos/pipe")).status().unwrap().success());
    let up = format!("m/{ONE}/other/up");
    assert_eq!(desk.run(&["cp", "-r", "photos", &up]).status, 1);
    assert_eq!(records(&desk), Vec::<PathBuf>::new());
    fs::remove_file(desk.path("photos/pipe")).unwrap();
    fs::remove_dir_all(desk.path(&up)).unwrap();
    fs::create_dir(desk.path(&up)).unwrap();
    fs::write(desk.path(&up).join("a"), "PRECIOUS").unwrap();
    let nested = desk.run(&["cp", "-r", "photos", &up]);
    assert_eq!((nested.status, nested.err.as_str()), (0, ""));
    assert_eq!(fs::read_to_string(desk.path(&up).join("a")).unwrap(), "PRECIOUS");
    assert_eq!(desk.store.content(ONE, "other", "up/photos/a").unwrap(), "first");
}

/// By the name of a file in what is made in the place of a tree that was begun.
#[rstest]
#[case::file("a.txt")]
#[case::below("sub/b.txt")]
#[case::unknown_to_the_source("mine.txt")]
fn nothing_of_others_is_replaced_where_a_copy_was_begun(#[case] name: &str) {
    let desk = Desk::new();
    let up = interrupted(&desk);
    fs::remove_dir_all(desk.path(&up)).unwrap();
    let own = desk.path(&up).join(name);
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    fs::write(&own, "PRECIOUS").unwrap();
    let nested = desk.run(&["cp", "-r", "photos", &up]);
    let said = format!("blobcp: cp: {up}: copied into it: {up}/{name} is not of the copy that was begun there\n");
    assert_eq!((nested.status, nested.err), (0, said));
    assert_eq!(fs::read_to_string(&own).unwrap(), "PRECIOUS");
    assert_eq!(desk.store.content(ONE, "other", "up/photos/a.txt").unwrap(), "first");
    assert!(!desk.path(&up).join("z.img").exists());
}

#[test]
fn a_record_is_too_old_after_a_day_and_bends_no_t() {
    let desk = Desk::new();
    let up = interrupted(&desk);
    let [record] = &records(&desk)[..] else { panic!("one tree was begun") };
    let at = |time| fs::File::options().append(true).open(record).unwrap().set_modified(time).unwrap();
    let now = std::time::SystemTime::now();
    let nests = |words: &[&str]| {
        let dry = desk.run(&[&["cp", "-r", "--dry-run"], words].concat());
        assert_eq!((dry.status, dry.err.as_str()), (0, ""), "{words:?}");
        assert!(dry.out.contains(&format!("{up}/photos/a.txt\n")), "{words:?}: {}", dry.out);
    };
    nests(&["-t", &up, "photos"]);
    let goes_on = desk.run(&["cp", "-r", "--dry-run", "photos", &up]);
    assert!(goes_on.err.contains("going on") && goes_on.out.starts_with(&format!("{up}/z.img\n")), "{goes_on:?}");
    for time in [now - Duration::from_secs(25 * 3600), now + Duration::from_secs(3600)] {
        at(time);
        nests(&["photos", &up]);
    }
    // It is not the same tree after it was completed by another name.
    at(now);
    assert!(desk.run(&["cp", "-rT", "photos", &up]).out.starts_with("1 file copied (5 B), 2 skipped in "));
    nests(&["photos", &up]);
}

#[test]
fn an_empty_directory_in_the_place_of_one_that_was_begun_is_copied_into() {
    let desk = Desk::new();
    desk.mount_both();
    desk.store.put_sparse(ONE, "box", "many/z.img", 64 << 30).unwrap();
    let source = format!("m/{ONE}/box/many");
    let child = desk.command(&["cp", "-r", &source, "down"]).spawn().unwrap();
    eventually("some of it", || fs::metadata(desk.path("down/z.img")).is_ok_and(|found| found.len() > 0));
    send(child.id() as i32, libc::SIGINT);
    assert_eq!(finish(child).status, 130);
    let dry = desk.run(&["cp", "-r", "--dry-run", &source, "down"]);
    assert!(dry.err.contains("going on") && dry.out.starts_with("down/z.img\n"), "{dry:?}");
    fs::remove_dir(desk.path("down")).unwrap();
    fs::create_dir(desk.path("down")).unwrap();
    let dry = desk.run(&["cp", "-r", "--dry-run", &source, "down"]);
    let said = "blobcp: cp: down: copied into it: down is not of the copy that was begun there\n";
    assert_eq!((dry.status, dry.err.as_str()), (0, said));
    assert!(dry.out.starts_with("down/many/z.img\n"), "{dry:?}");
}

#[test]
fn snapshots_of_a_tree_are_one_of_each_file() {
    let desk = Desk::new();
    desk.mount_both();
    let top = format!("m/{ONE}/box");
    symlink("hello.txt", desk.path(&top).join("link")).unwrap();
    let ended = desk.run(&["snapshot", "-r", &top]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    let mut taken: Vec<&str> = ended.out.lines().collect();
    taken.sort_unstable();
    assert_eq!(taken.len(), 3, "{taken:?}");
    for (path, name) in taken.iter().zip([".snapshots/big.img/", ".snapshots/hello.txt/", "dir/.snapshots/deep.txt/"]) {
        assert!(path.starts_with(&format!("{top}/{name}")), "{path}");
        assert!(desk.path(path).exists(), "{path}");
    }
    let ended = desk.run(&["snapshot", &top]);
    let expected = format!("blobcp: snapshot: {top}: is a directory; -r takes one of each file in it\n");
    assert_eq!((ended.status, ended.err), (1, expected));
}

#[test]
fn mkdir_makes_containers_and_directories_and_knows_the_rules_of_names() {
    let desk = Desk::new();
    desk.mount_both();
    assert_eq!(desk.run(&["mkdir", &format!("m/{ONE}/photos")]).status, 0);
    let deep = format!("m/{ONE}/photos/2026/summer");
    let ended = desk.run(&["mkdir", "-pv", &deep]);
    assert_eq!((ended.status, ended.out), (0, format!("m/{ONE}/photos/2026\n{deep}\n")));
    assert_eq!(desk.run(&["mkdir", "-p", &deep]).status, 0, "what is there is no mistake");
    assert_eq!(desk.run(&["mkdir", "-m", "750", &format!("m/{ONE}/photos/own")]).status, 0);
    assert_eq!(fs::metadata(desk.m().join(ONE).join("photos/own")).unwrap().mode() & 0o7777, 0o750);
    let rules =
        "must be 3 to 63 characters from a-z, 0-9 and single dashes, starting and ending with a letter or digit";
    for (path, expected) in [
        (
            format!("m/{ONE}/My_Photos"),
            format!("Invalid argument: container name \"My_Photos\" {rules}; my-photos would be one"),
        ),
        ("m/new".into(), "Operation not permitted: accounts cannot be made here".into()),
        ("m/Photos".into(), "Operation not permitted: accounts cannot be made here".into()),
        (format!("m/{ONE}/photos"), "File exists".into()),
        (format!("m/{ONE}/box/hello.txt/x"), "Not a directory".into()),
    ] {
        let ended = desk.run(&["mkdir", &path]);
        assert_eq!((ended.status, ended.err), (1, format!("blobcp: mkdir: {path}: {expected}\n")));
    }
    let ended = desk.run(&["mkdir", "local"]);
    assert_eq!((ended.status, ended.err.as_str()), (1, "blobcp: mkdir: .: not on a mount of blobcp\n"));
    // mkdir(1) has a number only, and the log the rules.
    assert!(fs::create_dir(desk.m().join(ONE).join("Photos")).is_err());
    let listed = desk.run(&["mount", "--list", "--json"]).out;
    let own = listed.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let own = own.into_iter().find(|mount| mount["mountpoint"] == desk.m().to_str().unwrap()).unwrap();
    let log = fs::read_to_string(own["log"].as_str().unwrap()).unwrap();
    assert!(log.contains(&format!("container name \"Photos\" {rules}")), "{log}");
}
