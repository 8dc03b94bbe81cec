//! `blobcp cp` where one side is not on a mount, and what people type without thinking.

use super::*;

/// Seconds since the epoch, long ago.
const THEN: i64 = 1_000_000_000;

fn set_time(path: &Path, seconds: i64) {
    let times = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH + Duration::from_secs(seconds as u64));
    fs::File::options().write(true).open(path).unwrap().set_times(times).unwrap();
}

/// A directory `photos` with a file, a directory in it, an empty directory and a symlink.
fn photos(desk: &Desk) {
    fs::create_dir_all(desk.path("photos/2026")).unwrap();
    fs::create_dir(desk.path("photos/empty")).unwrap();
    fs::write(desk.path("photos/a.jpg"), "first").unwrap();
    fs::write(desk.path("photos/2026/b.jpg"), vec![7; 3 << 20]).unwrap();
    symlink("a.jpg", desk.path("photos/link")).unwrap();
    fs::set_permissions(desk.path("photos/a.jpg"), fs::Permissions::from_mode(0o640)).unwrap();
    set_time(&desk.path("photos/a.jpg"), THEN);
}

#[test]
fn a_tree_goes_up_and_comes_down_as_it_was() {
    let desk = Desk::new();
    desk.mount_both();
    photos(&desk);
    let up = desk.run(&["cp", "-r", "photos", &format!("m/{ONE}/other/up")]);
    assert_eq!((up.status, up.err.as_str()), (0, ""), "{up:?}");
    assert!(up.out.starts_with("3 files copied (3.00 MiB) in "), "{up:?}");
    assert_eq!(&desk.store.content(ONE, "other", "up/a.jpg").unwrap()[..], b"first");
    let there = desk.m().join(ONE).join("other/up");
    assert!(there.join("empty").is_dir());
    assert_eq!(fs::read_link(there.join("link")).unwrap(), Path::new("a.jpg"));

    let down = desk.run(&["cp", "-a", &format!("m/{ONE}/other/up"), "down"]);
    assert_eq!((down.status, down.err.as_str()), (0, ""), "{down:?}");
    assert_eq!(fs::read(desk.path("down/2026/b.jpg")).unwrap(), vec![7; 3 << 20]);
    assert!(desk.path("down/empty").is_dir());
    assert_eq!(fs::read_link(desk.path("down/link")).unwrap(), Path::new("a.jpg"));
    for path in [there.join("a.jpg"), desk.path("down/a.jpg")] {
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.mtime(), found.mode() & 0o7777), (THEN, 0o640), "{path:?}");
    }
}

#[test]
fn what_is_there_already_is_neither_sent_nor_fetched_again() {
    let desk = Desk::new();
    desk.mount_both();
    photos(&desk);
    let up = ["cp", "-r", "photos/.", &format!("m/{ONE}/other")];
    assert_eq!(desk.run(&up).status, 0);
    desk.store.reset_stats();
    let again = desk.run(&up);
    assert!(again.out.starts_with("0 files copied (0 B), 3 skipped in "), "{again:?}");
    assert_eq!(desk.store.stats().body_bytes_in, 0);
    // Another file of that size is told by its time.
    fs::write(desk.path("photos/a.jpg"), "other").unwrap();
    let again = desk.run(&up);
    assert!(again.out.starts_with("1 file copied (5 B), 2 skipped in "), "{again:?}");
    assert_eq!(&desk.store.content(ONE, "other", "a.jpg").unwrap()[..], b"other");

    let down = ["cp", "-r", &format!("m/{ONE}/other/."), "photos"];
    desk.store.reset_stats();
    assert!(desk.run(&down).out.starts_with("0 files copied (0 B), 3 skipped in "));
    let fetched = desk.store.stats().body_bytes_out;
    assert_eq!(fetched, "a.jpg".len() as u64, "only where the symlink leads");
}

#[test]
fn one_file_is_copied_without_a_word() {
    let desk = Desk::new();
    desk.mount_both();
    fs::write(desk.path("note.txt"), "a note").unwrap();
    let target = format!("m/{ONE}/other/");
    let up = desk.run(&["cp", "note.txt", &target]);
    assert_eq!((up.status, up.out.as_str(), up.err.as_str()), (0, "", ""));
    assert_eq!(&desk.store.content(ONE, "other", "note.txt").unwrap()[..], b"a note");
    let down = desk.run(&["cp", "-v", &format!("m/{ONE}/box/hello.txt"), "here.txt"]);
    let line = format!("'m/{ONE}/box/hello.txt' -> 'here.txt'\n");
    assert_eq!((down.status, down.out, down.err.as_str()), (0, line, ""));
    assert_eq!(fs::read_to_string(desk.path("here.txt")).unwrap(), "hello");
    let piped = desk.run(&["cp", &format!("m/{ONE}/box/hello.txt"), "/dev/null"]);
    assert_eq!((piped.status, piped.err.as_str()), (0, ""));
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn sources_of_both_kinds_are_copied_together() {
    let desk = Desk::new();
    desk.mount_both();
    fs::write(desk.path("note.txt"), "a note").unwrap();
    let (inside, target) = (format!("m/{ONE}/box/hello.txt"), format!("m/{ONE}/other"));
    let ended = desk.run(&["cp", "note.txt", &inside, &target]);
    assert_eq!((ended.status, ended.err.as_str(), ended.out.lines().count()), (0, "", 2), "{ended:?}");
    assert_eq!(&desk.store.content(ONE, "other", "note.txt").unwrap()[..], b"a note");
    assert_eq!(&desk.store.content(ONE, "other", "hello.txt").unwrap()[..], b"hello");
}

#[test]
fn json_and_dry_run_are_as_inside_the_service() {
    let desk = Desk::new();
    desk.mount_both();
    photos(&desk);
    let target = format!("m/{ONE}/other/up");
    let dry = desk.run(&["cp", "-r", "--dry-run", "photos", &target]);
    let mut due: Vec<&str> = dry.out.lines().collect();
    assert!(due.pop().unwrap().starts_with("3 files to be copied (3.00 MiB) in "), "{dry:?}");
    due.sort_unstable();
    assert_eq!(due, ["2026/b.jpg", "a.jpg", "link"].map(|name| format!("{target}/{name}")));
    assert!(!desk.path(&target).exists());
    let json = desk.run(&["cp", "-r", "--json", "photos", &target]);
    let events: Vec<serde_json::Value> = json.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = events.last().unwrap();
    assert_eq!((&summary["event"], &summary["copied"], &summary["failed"]), (&"summary".into(), &3.into(), &0.into()));
    assert_eq!(events.iter().filter(|event| event["event"] == "copied").count(), 3);
}

#[test]
fn ctrl_c_leaves_nothing_of_a_half_copied_file_and_the_next_one_goes_on() {
    let desk = Desk::new();
    desk.mount_both();
    desk.store.put_sparse(ONE, "box", "many/z.img", 64 << 30).unwrap();
    desk.store.put_blob(ONE, "box", "many/a.txt", "first".into(), "text/plain").unwrap();
    let source = format!("m/{ONE}/box/many");
    let child = desk.command(&["cp", "-r", &source, "down"]).spawn().unwrap();
    eventually("the small one", || fs::read(desk.path("down/a.txt")).is_ok_and(|content| content == b"first"));
    eventually("some of the other", || fs::metadata(desk.path("down/z.img")).is_ok_and(|found| found.len() > 0));
    send(child.id() as i32, libc::SIGINT);
    let ended = finish(child);
    assert_eq!(ended.status, 130, "{ended:?}");
    assert!(ended.out.starts_with("1 file copied (5 B), 1 aborted, 0 not begun in "), "{ended:?}");
    assert!(!desk.path("down/z.img").exists());
    assert_eq!(fs::read_to_string(desk.path("down/a.txt")).unwrap(), "first");
    fs::remove_file(desk.m().join(ONE).join("box/many/z.img")).unwrap();
    desk.store.put_blob(ONE, "box", "many/z.img", "small".into(), "text/plain").unwrap();
    let again = desk.run(&["cp", "-r", &source, "down"]);
    assert_eq!(again.err, "blobcp: cp: down: going on with the copy that did not come to its end\n");
    assert!(again.out.starts_with("1 file copied (5 B), 1 skipped in "), "{again:?}");
    assert_eq!(fs::read_to_string(desk.path("down/z.img")).unwrap(), "small");
}

#[test]
fn what_cannot_be_sent_is_named_and_the_rest_goes_on() {
    let desk = Desk::new();
    desk.mount_both();
    photos(&desk);
    assert!(Command::new("mkfifo").arg(desk.path("photos/pipe")).status().unwrap().success());
    let target = format!("m/{ONE}/other/up");
    fs::create_dir_all(desk.path(&target).join("a.jpg")).unwrap();
    let ended = desk.run(&["cp", "-rT", "photos", &target]);
    let mut lines: Vec<&str> = ended.err.lines().collect();
    lines.sort_unstable();
    let of_directory = format!("blobcp: cp: {target}/a.jpg: is a directory, and would be replaced by a file");
    let of_pipe = "blobcp: cp: photos/pipe: is neither a file, a directory nor a symlink".to_owned();
    assert_eq!(lines, [of_directory, of_pipe]);
    assert!(ended.status == 1 && ended.out.starts_with("2 files copied (3.00 MiB), 2 failed in "), "{ended:?}");
    let flags = desk.run(&["cp", "--tier", "Cool", "photos/a.jpg", &target]);
    assert!(
        flags.status == 2 && flags.err.contains("are for copies by the service: photos/a.jpg is not one"),
        "{flags:?}"
    );
}

// The rest is copied by the service.

#[test]
fn habits_of_cp_mean_what_they_mean_there() {
    let desk = Desk::new();
    desk.mount_both();
    let here = desk.m().join(ONE).join("box");
    let run = |args: &[&str]| finish(desk.command(&[&["cp"], args].concat()).current_dir(&here).spawn().unwrap());
    let done = |args: &[&str]| {
        let ended = run(args);
        assert_eq!((ended.status, ended.err.as_str()), (0, ""), "{args:?}: {ended:?}");
        ended.out
    };
    let content = |name: &str| desk.store.content(ONE, "box", name).ok().map(|content| content.to_vec());
    assert_eq!(done(&["-pfv", "hello.txt", "copy.txt"]), "'hello.txt' -> 'copy.txt'\n");
    assert_eq!(done(&["-t", "../other", "hello.txt"]), "");
    assert_eq!(desk.store.content(ONE, "other", "hello.txt").unwrap().as_ref(), b"hello");
    assert!(done(&["-av", "dir", "new"]).starts_with("'dir/deep.txt' -> 'new/deep.txt'\n1 file copied"));
    assert!(done(&["-R", "dir", "new"]).starts_with("1 file copied"));
    assert_eq!(content("new/dir/deep.txt").as_deref(), Some(&b"deep"[..]), "as cp does where there is one");
    assert!(done(&["-rT", "dir", "new"]).contains("1 skipped"));
    assert!(done(&["-r", "dir/.", "another"]).starts_with("1 file copied"));
    assert!(done(&["-r", "dir/.", "another"]).contains("1 skipped"));
    assert_eq!(content("another/deep.txt").as_deref(), Some(&b"deep"[..]));
    assert_eq!(desk.store.stats().requests("GetBlob"), 0, "nothing was downloaded");

    // -n and -u leave what is there.
    desk.store.put_blob(ONE, "box", "x", "old".into(), "text/plain").unwrap();
    assert_eq!(done(&["-nv", "hello.txt", "x"]), "skipped 'x'\n");
    assert_eq!(content("x").as_deref(), Some(&b"old"[..]));
    set_time(&here.join("hello.txt"), THEN);
    assert_eq!(done(&["-uv", "hello.txt", "x"]), "skipped 'x'\n");
    desk.store.put_blob(ONE, "box", "new/deep.txt", "mine".into(), "text/plain").unwrap();
    set_time(&here.join("dir/deep.txt"), THEN);
    assert!(done(&["-ruT", "dir", "new"]).contains("1 skipped"));
    assert_eq!(content("new/deep.txt").as_deref(), Some(&b"mine"[..]));
    set_time(&here.join("new/deep.txt"), THEN - 1);
    assert!(done(&["-ruT", "dir", "new"]).starts_with("1 file copied"));
    assert_eq!(content("new/deep.txt").as_deref(), Some(&b"deep"[..]));
}

#[test]
fn a_tier_may_be_typed_in_small_letters() {
    let desk = Desk::new();
    desk.mount_both();
    let file = format!("m/{ONE}/box/hello.txt");
    let target = format!("m/{ONE}/box/cool.txt");
    assert_eq!(desk.run(&["cp", "--tier", "cool", &file, &target]).status, 0);
    assert_eq!(crate::common::attribute(&desk.path(&target), "tier").as_deref(), Some("Cool"));
}

#[test]
fn a_source_that_is_missing_keeps_no_other_from_being_copied() {
    let desk = Desk::new();
    desk.mount_both();
    fs::write(desk.path("note.txt"), "a note").unwrap();
    let ended = desk.run(&["cp", "none.txt", "note.txt", &format!("m/{ONE}/other")]);
    assert_eq!((ended.status, ended.err.as_str()), (1, "blobcp: cp: none.txt: No such file or directory\n"));
    assert_eq!(&desk.store.content(ONE, "other", "note.txt").unwrap()[..], b"a note");
    fs::create_dir(desk.path("d")).unwrap();
    fs::write(desk.path("d/note.txt"), "another").unwrap();
    let ended = desk.run(&["cp", "note.txt", "d/note.txt", &format!("m/{ONE}/other")]);
    let expected = format!("blobcp: cp: d/note.txt: would replace m/{ONE}/other/note.txt, just copied\n");
    assert_eq!((ended.status, ended.err), (1, expected));
    assert_eq!(&desk.store.content(ONE, "other", "note.txt").unwrap()[..], b"a note");
    let down = desk.run(&["cp", &format!("m/{ONE}/box/none.txt"), &format!("m/{ONE}/box/hello.txt"), "."]);
    assert!(down.status == 1 && down.err.contains("box/none.txt: No such file or directory"), "{down:?}");
    assert_eq!(fs::read_to_string(desk.path("hello.txt")).unwrap(), "hello");
}
