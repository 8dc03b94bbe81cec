//! `blobcp cp` over what is there: until the new one is whole the old one stays, and nothing is written elsewhere.

use std::os::unix::process::CommandExt;
use std::sync::Arc;

use tokio::sync::Barrier;

use super::*;
use crate::common::{attribute, fault};

/// What is left of copies that were not brought to their end.
fn halves(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_str().unwrap().contains(".blobcp-")).collect()
}

fn set_times(path: &Path, seconds: u64, nanoseconds: u32) {
    let times = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH + Duration::new(seconds, nanoseconds));
    fs::File::options().write(true).open(path).unwrap().set_times(times).unwrap();
}

fn stored(desk: &Desk, name: &str) -> String {
    String::from_utf8(desk.store.content(ONE, "other", name).unwrap().to_vec()).unwrap()
}

#[rstest]
#[case::interrupt(libc::SIGINT)]
#[case::hangup(libc::SIGHUP)]
fn a_download_that_is_stopped_leaves_what_was_there(#[case] signal: i32) {
    let desk = Desk::new();
    desk.mount_both();
    desk.store.put_sparse(ONE, "box", "huge.img", 64 << 30).unwrap();
    for there in [true, false] {
        if there {
            fs::write(desk.path("huge.img"), "good").unwrap();
        } else {
            fs::remove_file(desk.path("huge.img")).unwrap();
        }
        let child = desk.command(&["cp", &format!("m/{ONE}/box/huge.img"), "huge.img"]).spawn().unwrap();
        eventually("some of it", || {
            let mut written = halves(desk.home.path());
            written.push(desk.path("huge.img"));
            written.iter().any(|path| fs::metadata(path).is_ok_and(|found| found.len() > 4))
        });
        send(child.id() as i32, signal);
        let ended = finish(child);
        assert_eq!(ended.status, 130, "{ended:?}");
        assert_eq!(fs::read_to_string(desk.path("huge.img")).ok(), there.then(|| "good".to_owned()));
        assert_eq!(halves(desk.home.path()), [] as [PathBuf; 0]);
    }
}

#[test]
fn an_upload_that_is_stopped_leaves_what_was_there() {
    for name in ["there.img", "new.img"] {
        // Blocks of the one before could still be on their way.
        let desk = Desk::new();
        desk.mount_both();
        fs::File::create(desk.path("huge.img")).unwrap().set_len(64 << 30).unwrap();
        desk.store.put_blob(ONE, "other", "there.img", "good".into(), "text/plain").unwrap();
        let child = desk.command(&["cp", "huge.img", &format!("m/{ONE}/other/{name}")]).spawn().unwrap();
        eventually("some of it", || desk.store.stats().requests("PutBlock") > 0);
        send(child.id() as i32, libc::SIGINT);
        let ended = finish(child);
        assert_eq!(ended.status, 130, "{ended:?}");
        assert_eq!(desk.store.stats().requests("PutBlockList"), 0, "nothing of a half is stored");
        let left = fs::read_dir(desk.m().join(ONE).join("other")).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["there.img"]);
        assert_eq!(stored(&desk, "there.img"), "good");
    }
}

#[test]
fn what_cannot_be_read_to_its_end_replaces_nothing_and_is_not_there() {
    let desk = Desk::new();
    desk.mount_both();
    desk.store.put_blob(ONE, "other", "there", "good".into(), "text/plain").unwrap();
    // Its memory cannot be read where it begins.
    for name in ["there", "new"] {
        let ended = desk.run(&["cp", "/proc/self/mem", &format!("m/{ONE}/other/{name}")]);
        assert_eq!((ended.status, ended.err.as_str()), (1, "blobcp: cp: /proc/self/mem: Input/output error\n"));
    }
    let there = desk.m().join(ONE).join("other");
    let left = fs::read_dir(there).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!((left.collect::<Vec<_>>(), stored(&desk, "there")), (vec!["there".into()], "good".to_owned()));

    let refusal = r#"{"operation":"GetBlob","skip":3,"count":100000,"status":403,"code":"AuthorizationFailure"}"#;
    fs::write(desk.path("there"), "good").unwrap();
    for name in ["there", "new"] {
        desk.store.add_fault(fault(refusal));
        let ended = desk.run(&["cp", &format!("m/{ONE}/box/big.img"), name]);
        desk.store.clear_faults();
        assert!(ended.status == 1 && ended.err.contains("big.img: "), "{ended:?}");
    }
    assert_eq!(fs::read_to_string(desk.path("there")).unwrap(), "good");
    assert!(!desk.path("new").exists());
    assert_eq!(halves(desk.home.path()), [] as [PathBuf; 0]);
    let again = desk.run(&["cp", "-n", &format!("m/{ONE}/box/hello.txt"), "new"]);
    assert_eq!((again.status, fs::read_to_string(desk.path("new")).unwrap().as_str()), (0, "hello"));
}

#[test]
fn what_replaces_a_file_has_its_mode_and_attributes_and_with_p_those_of_the_source() {
    let desk = Desk::new();
    desk.mount_both();
    let there = desk.m().join(ONE).join("other/note.txt");
    desk.store.put_blob(ONE, "other", "note.txt", "old".into(), "text/plain").unwrap();
    fs::set_permissions(&there, fs::Permissions::from_mode(0o600)).unwrap();
    let set = |name: &str, value: &str| {
        rustix::fs::setxattr(&there, format!("user.blob.{name}"), value.as_bytes(), rustix::fs::XattrFlags::empty())
    };
    set("meta.project", "x").unwrap();
    set("tag.year", "2026").unwrap();
    fs::write(desk.path("note.txt"), "new").unwrap();
    fs::set_permissions(desk.path("note.txt"), fs::Permissions::from_mode(0o644)).unwrap();
    let up = desk.run(&["cp", "note.txt", &format!("m/{ONE}/other/note.txt")]);
    assert_eq!((up.status, up.err.as_str(), stored(&desk, "note.txt").as_str()), (0, "", "new"));
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&there), 0o600);
    let kept = ["meta.project", "tag.year", "content_type"].map(|name| attribute(&there, name).unwrap_or_default());
    assert_eq!(kept, ["x", "2026", "text/plain"]);
    assert_eq!(desk.run(&["cp", "-p", "note.txt", &format!("m/{ONE}/other/note.txt")]).status, 0);
    assert_eq!(mode(&there), 0o644);
    let down = desk.run(&["cp", &format!("m/{ONE}/box/hello.txt"), "note.txt"]);
    assert_eq!((down.status, fs::read_to_string(desk.path("note.txt")).unwrap().as_str()), (0, "hello"));
    assert_eq!(mode(&desk.path("note.txt")), 0o644);
}

#[rstest]
#[case::interrupt(libc::SIGINT)]
#[case::hangup(libc::SIGHUP)]
fn a_signal_that_is_ignored_stops_nothing(#[case] signal: i32) {
    let desk = Desk::new();
    desk.mount_both();
    let gate = Arc::new(Barrier::new(2));
    desk.store.add_fault(Fault { gate: Some(gate.clone()), ..Fault::on("GetBlob") });
    let mut command = desk.command(&["cp", &format!("m/{ONE}/box/hello.txt"), "here.txt"]);
    // SAFETY: a system call that may be made between fork and exec.
    unsafe {
        command.pre_exec(move || {
            libc::signal(signal, libc::SIG_IGN);
            Ok(())
        })
    };
    let child = command.spawn().unwrap();
    desk._runtime.block_on(gate.wait());
    send(child.id() as i32, signal);
    desk._runtime.block_on(gate.wait());
    let ended = finish(child);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""), "{ended:?}");
    assert_eq!(fs::read_to_string(desk.path("here.txt")).unwrap(), "hello");
}

#[test]
fn a_target_directory_is_one() {
    let desk = Desk::new();
    desk.mount_both();
    fs::write(desk.path("note.txt"), "mine").unwrap();
    let inside = format!("m/{ONE}/box/hello.txt");
    for (directory, source, why) in [
        ("note.txt", inside.as_str(), "note.txt: Not a directory".to_owned()),
        (inside.as_str(), "note.txt", format!("{inside}: Not a directory")),
        ("none", inside.as_str(), "none: No such file or directory; blobcp mkdir -p makes one".to_owned()),
    ] {
        let ended = desk.run(&["cp", "-t", directory, source]);
        assert_eq!((ended.status, ended.err), (1, format!("blobcp: cp: {why}\n")));
    }
    assert_eq!(fs::read_to_string(desk.path("note.txt")).unwrap(), "mine");
    assert_eq!(&desk.store.content(ONE, "box", "hello.txt").unwrap()[..], b"hello");
    assert!(!desk.path("none").exists());
}

#[test]
fn a_tree_is_not_copied_out_of_its_destination() {
    let desk = Desk::new();
    desk.mount_both();
    for (name, content) in [("tree/sub/x", "new"), ("tree/file", "new"), ("tree/lost", "new"), ("more/leads", "new")] {
        desk.store.put_blob(ONE, "other", name, content.into(), "text/plain").unwrap();
    }
    fs::create_dir_all(desk.path("outside/sub")).unwrap();
    fs::write(desk.path("outside/file"), "mine").unwrap();
    fs::create_dir(desk.path("down")).unwrap();
    symlink("../outside/sub", desk.path("down/sub")).unwrap();
    symlink("../outside/file", desk.path("down/file")).unwrap();
    symlink("../outside/lost", desk.path("down/lost")).unwrap();
    // One that comes along with the copy leads out as well.
    symlink("../outside/file", desk.m().join(ONE).join("other/tree/leads")).unwrap();
    symlink("down", desk.path("typed")).unwrap();
    let (first, second) = (format!("m/{ONE}/other/tree/."), format!("m/{ONE}/other/more/."));
    let ended = desk.run(&["cp", "-r", "-j", "1", &first, &second, "typed"]);
    let mut lines: Vec<&str> = ended.err.lines().collect();
    lines.sort_unstable();
    let through = "is a symlink, and what is in a tree is not written through one";
    assert_eq!(
        lines,
        [
            format!("blobcp: cp: typed/file: {through}"),
            format!("blobcp: cp: typed/leads: {through}"),
            "blobcp: cp: typed/lost: is a symlink to nothing, and not written through".to_owned(),
            "blobcp: cp: typed/sub: File exists".to_owned(),
        ]
    );
    assert!(ended.status == 1 && ended.out.starts_with("1 file copied"), "the symlink only: {ended:?}");
    assert_eq!(fs::read_to_string(desk.path("outside/file")).unwrap(), "mine");
    assert!(!desk.path("outside/lost").exists() && !desk.path("outside/sub/x").exists());
    // One file goes through a symlink that was typed, as with cp, but not if it leads to nothing.
    let hello = format!("m/{ONE}/box/hello.txt");
    assert_eq!(desk.run(&["cp", &hello, "down/file"]).status, 0);
    assert_eq!(fs::read_to_string(desk.path("outside/file")).unwrap(), "hello");
    assert!(desk.path("down/file").is_symlink());
    let ended = desk.run(&["cp", "-n", &hello, "down/lost"]);
    assert_eq!(ended.err, "blobcp: cp: down/lost: is a symlink to nothing, and not written through\n");
    assert!(ended.status == 1 && !desk.path("outside/lost").exists());
}

#[test]
fn a_container_does_not_say_what_may_be_done_as_who_downloads() {
    let desk = Desk::new();
    desk.mount_both();
    let there = desk.m().join(ONE).join("other/tree");
    fs::create_dir(&there).unwrap();
    fs::write(there.join("tool"), "#!/bin/sh").unwrap();
    fs::set_permissions(there.join("tool"), fs::Permissions::from_mode(0o6777)).unwrap();
    fs::set_permissions(&there, fs::Permissions::from_mode(0o2777)).unwrap();
    assert_eq!(fs::metadata(there.join("tool")).unwrap().mode() & 0o7777, 0o6777);
    let down = |flags: &str, name: &str| {
        let mut command = desk.command(&["cp", flags, &format!("m/{ONE}/other/tree"), name]);
        // SAFETY: a system call that may be made between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::umask(0o027);
                Ok(())
            })
        };
        let ended = finish(command.spawn().unwrap());
        assert_eq!((ended.status, ended.err.as_str()), (0, ""));
        let mode = |path: PathBuf| fs::metadata(path).unwrap().mode() & 0o7777;
        (mode(desk.path(name)), mode(desk.path(name).join("tool")))
    };
    assert_eq!(down("-r", "plain"), (0o750, 0o750));
    assert_eq!(down("-a", "archive"), (0o2777, 0o777));
}

#[test]
fn what_is_newer_stays_and_parts_of_seconds_count() {
    let desk = Desk::new();
    desk.mount_both();
    fs::create_dir(desk.path("tree")).unwrap();
    let there = desk.m().join(ONE).join("other");
    symlink("old", desk.path("tree/link")).unwrap();
    symlink("newer", there.join("link")).unwrap();
    let then = "-h -d 2001-01-01 tree/link";
    assert!(
        Command::new("sh").args(["-c", &format!("touch {then}")]).current_dir(&desk.home).status().unwrap().success()
    );
    let target = format!("m/{ONE}/other");
    let kept = desk.run(&["cp", "-ru", "tree/.", &target]);
    assert!(kept.status == 0 && kept.out.starts_with("0 files copied (0 B), 1 skipped in "), "{kept:?}");
    assert_eq!(fs::read_link(there.join("link")).unwrap(), Path::new("newer"));
    let replaced = desk.run(&["cp", "-r", "tree/.", &target]);
    assert_eq!((replaced.status, fs::read_link(there.join("link")).unwrap()), (0, "old".into()), "{replaced:?}");

    for (nanoseconds, content, copied) in [(100, "one", 1), (200, "two", 1), (0, "xxx", 0)] {
        fs::write(desk.path("tree/file"), content).unwrap();
        set_times(&desk.path("tree/file"), 1_000_000_000, nanoseconds);
        let up = desk.run(&["cp", "-r", "tree/.", &target]);
        assert!(up.out.starts_with(&format!("{copied} file")), "{nanoseconds}: {up:?}");
    }
    assert_eq!(stored(&desk, "file"), "two", "where parts of seconds are not kept they do not count");
}

#[test]
fn what_cannot_be_looked_at_is_not_taken_for_absent() {
    let desk = Desk::new();
    desk.mount_both();
    fs::write(desk.path("note.txt"), "new").unwrap();
    desk.store.put_blob(ONE, "other", "note.txt", "old".into(), "text/plain").unwrap();
    let refusal = r#"{"operation":"*","count":100000,"status":403,"code":"AuthorizationFailure"}"#;
    desk.store.add_fault(fault(refusal));
    let ended = desk.run(&["cp", "-n", "note.txt", &format!("m/{ONE}/other/note.txt")]);
    desk.store.clear_faults();
    assert_eq!((ended.status, stored(&desk, "note.txt").as_str()), (1, "old"), "{ended:?}");
}

#[test]
fn a_pipe_is_no_destination() {
    let desk = Desk::new();
    desk.mount_both();
    assert!(Command::new("mkfifo").arg(desk.path("pipe")).status().unwrap().success());
    let ended = desk.run(&["cp", &format!("m/{ONE}/box/hello.txt"), "pipe"]);
    let expected = "blobcp: cp: pipe: is a pipe or a socket, and no place for a copy\n";
    assert_eq!((ended.status, ended.err.as_str()), (1, expected));
}
