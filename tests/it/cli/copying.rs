//! Copies by command, by the header for C and by the example in Python.

use super::*;

#[test]
fn cp_shows_status_and_can_be_aborted_without_credentials() {
    let desk = Desk::new();
    desk.mount_both();
    let (source, target) = (format!("m/{ONE}/box/big.img"), format!("m/{TWO}/backup/big.img"));
    let none = desk.run(&["status", &source]);
    assert_eq!((none.status, none.out), (0, format!("{source}: no copy was made onto this file\n")));

    let ended = desk.run(&["cp", "--no-wait", &source, &format!("m/{TWO}/backup")]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    assert!(ended.out.starts_with(&format!("{target}: pending, copy id ")), "{ended:?}");
    let id = ended.out.trim().rsplit(' ').next().unwrap().to_owned();

    let json = desk.run(&["status", "--json", "-r", &format!("m/{TWO}")]).out;
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&value["status"], &value["id"]), (&"pending".into(), &id.clone().into()));
    assert_eq!(value["total_bytes"], 1 << 30);
    let table = desk.run(&["status", &source, &target]).out;
    assert!(table.starts_with("PATH ") && table.lines().nth(2).unwrap().contains("pending"), "{table}");

    let ended = desk.run(&["abort", "-r", &format!("m/{TWO}")]);
    assert_eq!((ended.status, ended.out), (0, format!("{target}: aborted\n")));
    assert!(desk.run(&["status", &target]).out.contains("aborted"));
    assert_eq!(desk.store.copies()[0].status, "aborted");
    let ended = desk.run(&["abort", &target]);
    assert_eq!((ended.status, ended.err), (1, format!("blobcp: abort: {target}: no copy onto it is pending\n")));
}

#[test]
fn cp_waits_for_the_end_and_watch_sees_it() {
    let desk = Desk::new();
    desk.store.put_sparse(ONE, "box", "some.img", 4 << 20).unwrap();
    desk.mount_both();
    let target = format!("m/{TWO}/backup/named.img");
    let child = desk.command(&["cp", &format!("m/{ONE}/box/some.img"), &target]).spawn().unwrap();
    eventually("the copy", || Path::new(&desk.path(&target)).exists());
    let watched = desk.run(&["status", "--watch", &target]);
    assert_eq!(watched.status, 0, "{watched:?}");
    let last = watched.out.lines().last().unwrap();
    assert!(watched.out.starts_with("PATH") && last.contains("success  4.00 MiB"), "{watched:?}");
    let ended = finish(child);
    assert_eq!((ended.status, ended.out.as_str(), ended.err.as_str()), (0, "", ""));
    assert_eq!(desk.store.content(TWO, "backup", "named.img").unwrap().len(), 4 << 20);
    assert_eq!(desk.store.stats().requests("GetBlob"), 0, "nothing was downloaded");
}

#[test]
fn interrupting_cp_aborts_the_copy() {
    let desk = Desk::new();
    desk.mount_both();
    let target = format!("m/{TWO}/backup/big.img");
    // The other way it could be done before anybody looks.
    let source = format!("m/{ONE}/box/big.img");
    let child = desk.command(&["cp", "--copy-method", "blob", &source, &target]).spawn().unwrap();
    eventually("the copy", || !desk.store.copies().is_empty() && desk.path(&target).exists());
    // cp listens for signals before it orders the copy.
    send(child.id() as i32, libc::SIGINT);
    let ended = finish(child);
    assert_eq!(
        (ended.status, ended.err),
        (130, format!("blobcp: cp: {target}: aborted; an empty file is left there\n"))
    );
    assert_eq!(desk.store.copies()[0].status, "aborted");
}

#[test]
fn cp_takes_urls_and_refuses_what_it_cannot_do() {
    let desk = Desk::new();
    desk.mount_both();
    let inside = format!("m/{TWO}/backup/");
    let url = format!("{}/box/hello.txt", desk.store.endpoint(ONE));
    let ended = desk.run(&["cp", &url, &inside]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    assert_eq!(fs::read_to_string(desk.path(&inside).join("hello.txt")).unwrap(), "hello");
    let hello = format!("m/{ONE}/box/hello.txt");
    let target = format!("{inside}hello.txt");
    for (args, expected) in [
        (
            vec!["/etc/hostname", "."],
            "/etc/hostname: neither it nor the destination is on a mount of blobcp; cp copies what is not".into(),
        ),
        (vec![&url, "."], format!(".: not on a mount of blobcp, and the service copies a URL to nowhere else: {url}")),
        (vec!["nosuch", &inside], "nosuch: No such file or directory".into()),
        (
            vec!["--meta", "a-b=c", &target, &inside],
            format!("{target}: Invalid argument: \"a-b=c\" is not NAME=VALUE with an identifier and printable ASCII"),
        ),
        (vec![&hello, "m/new/"], "m/new/: No such file or directory; blobcp mkdir -p makes one".into()),
        (vec![&inside, "m"], format!("{inside}: is a directory; -r copies it with all that is in it")),
    ] {
        let ended = desk.run(&[vec!["cp"], args].concat());
        assert_eq!((ended.status, ended.err), (1, format!("blobcp: cp: {expected}\n")));
    }
}

#[test]
fn the_c_header_says_what_the_code_says() {
    let dir = tempfile::tempdir().unwrap();
    let source = r#"
        #include <stdio.h>
        #include <stddef.h>
        #include "blobcp.h"
        int main(void) {
            printf("%zu %zu %zu\n", sizeof(struct blobcp_copy), sizeof(struct blobcp_status), sizeof(struct blobcp_abort));
            printf("%zu %zu %zu %zu\n", sizeof(struct blobcp_tree), sizeof(struct blobcp_news), sizeof(struct blobcp_copies), sizeof(struct blobcp_entry));
            printf("%lu %lu %lu\n", (unsigned long)BLOBCP_IOC_COPY, (unsigned long)BLOBCP_IOC_STATUS, (unsigned long)BLOBCP_IOC_ABORT);
            printf("%lu %lu %lu\n", (unsigned long)BLOBCP_IOC_TREE, (unsigned long)BLOBCP_IOC_NEWS, (unsigned long)BLOBCP_IOC_COPIES);
            printf("%zu %zu %zu\n", offsetof(struct blobcp_news, records), offsetof(struct blobcp_copies, since), offsetof(struct blobcp_entry, modified));
            printf("%u %u %u %u %u %u\n", BLOBCP_RECURSIVE, BLOBCP_DRY_RUN, BLOBCP_AGAIN, BLOBCP_UNFINISHED, BLOBCP_DONE, BLOBCP_LISTED);
            printf("%u %u %u %u\n", BLOBCP_EXISTS, BLOBCP_SAME, BLOBCP_DUE, BLOBCP_ACCEPTED);
            printf("%lu %zu\n", (unsigned long)BLOBCP_IOC_SNAPSHOT, sizeof(struct blobcp_snapshot));
            printf("%zu %zu\n", offsetof(struct blobcp_copy, id), offsetof(struct blobcp_status, description));
            printf("%u %u %u %u\n", BLOBCP_NO_REPLACE, BLOBCP_NO_WAIT, BLOBCP_SNAPSHOT_FIRST, BLOBCP_LEASE_SOURCE);
            printf("%u %u %u %u %u %u\n", BLOBCP_LEASE_EARLY, BLOBCP_UPDATE, BLOBCP_NO_LEASE, BLOBCP_LEASE_ID, BLOBCP_SHOW, BLOBCP_BREAK);
            printf("%lu %zu\n", (unsigned long)BLOBCP_IOC_LEASE, offsetof(struct blobcp_lease, holder));
            printf("%lu %zu %zu %u\n", (unsigned long)BLOBCP_IOC_REASON, offsetof(struct blobcp_reason, operation), offsetof(struct blobcp_reason, text), BLOBCP_OF_THE_SOURCE);
            printf("%u %u %u %u\n", BLOBCP_PENDING, BLOBCP_SUCCESS, BLOBCP_ABORTED, BLOBCP_FAILED);
            printf("%u %u\n", BLOBCP_FOLLOWED, BLOBCP_GIVEN_UP);
        }"#;
    let (file, program) = (dir.path().join("a.c"), dir.path().join("a.out"));
    fs::write(&file, source).unwrap();
    let docs = concat!("-I", env!("CARGO_MANIFEST_DIR"), "/docs");
    let compiled = Command::new("cc").args(["-Wall", "-Werror", docs, "-o"]).arg(&program).arg(&file).status().unwrap();
    assert!(compiled.success());
    let output = Command::new(&program).output().unwrap();
    let expected = [
        format!("{} {} {}", size_of::<ioctl::Copy>(), size_of::<ioctl::Status>(), size_of::<ioctl::Abort>()),
        format!(
            "{} {} {} {}",
            size_of::<ioctl::Tree>(),
            size_of::<ioctl::News>(),
            size_of::<ioctl::Copies>(),
            size_of::<ioctl::Entry>()
        ),
        format!("{} {} {}", ioctl::COPY, ioctl::STATUS, ioctl::ABORT),
        format!("{} {} {}", ioctl::TREE, ioctl::NEWS, ioctl::COPIES),
        format!(
            "{} {} {}",
            std::mem::offset_of!(ioctl::News, records),
            std::mem::offset_of!(ioctl::Copies, since),
            std::mem::offset_of!(ioctl::Entry, modified)
        ),
        format!(
            "{} {} {} {} {} {}",
            OrderFlags::RECURSIVE.bits(),
            OrderFlags::DRY_RUN.bits(),
            ReportFlags::AGAIN.bits(),
            ReportFlags::UNFINISHED.bits(),
            ReportFlags::DONE.bits(),
            ReportFlags::LISTED.bits()
        ),
        format!("{} {} {} {}", ioctl::EXISTS, ioctl::SAME, ioctl::DUE, ioctl::ACCEPTED),
        format!("{} {}", ioctl::SNAPSHOT, size_of::<ioctl::Snapshot>()),
        format!("{} {}", std::mem::offset_of!(ioctl::Copy, id), std::mem::offset_of!(ioctl::Status, description)),
        format!(
            "{} {} {} {}",
            OrderFlags::NO_REPLACE.bits(),
            OrderFlags::NO_WAIT.bits(),
            OrderFlags::SNAPSHOT_FIRST.bits(),
            OrderFlags::LEASE_SOURCE.bits()
        ),
        format!(
            "{} {} {} {} {} {}",
            OrderFlags::LEASE_EARLY.bits(),
            OrderFlags::UPDATE.bits(),
            OrderFlags::NO_LEASE.bits(),
            OrderFlags::LEASE_ID.bits(),
            ioctl::SHOW,
            ioctl::BREAK
        ),
        format!("{} {}", ioctl::LEASE, std::mem::offset_of!(ioctl::Lease, holder)),
        format!(
            "{} {} {} {}",
            ioctl::REASON,
            std::mem::offset_of!(ioctl::Reason, operation),
            std::mem::offset_of!(ioctl::Reason, text),
            ioctl::OF_THE_SOURCE
        ),
        format!("{} {} {} {}", ioctl::PENDING, ioctl::SUCCESS, ioctl::ABORTED, ioctl::FAILED),
        format!("{} {}", OrderFlags::FOLLOWED.bits(), ioctl::GIVEN_UP),
    ];
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), expected.join("\n"));
}

#[test]
fn the_python_example_copies_asks_aborts_and_takes_snapshots() {
    let desk = Desk::new();
    desk.store.put_sparse(ONE, "box", "some.img", 2 << 20).unwrap();
    desk.mount_both();
    let python = |args: &[&str]| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ioctl.py");
        let mut command = Command::new("python3");
        command.arg(script).args(args).current_dir(desk.home.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().unwrap())
    };
    let ended = python(&["copy", &format!("/{ONE}/box/some.img"), &format!("m/{TWO}/backup"), "copy.img"]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    assert!(ended.out.contains(" of 2097152 bytes\n") && ended.out.ends_with(" success\n"), "{ended:?}");
    let ended = python(&["status", &format!("m/{TWO}/backup/copy.img")]);
    assert!(ended.out.starts_with("success 2097152 2097152 "), "{ended:?}");
    let ended = python(&["wait", &format!("m/{TWO}/backup/copy.img")]);
    assert!(ended.out.starts_with("success 2097152 2097152 "), "{ended:?}");
    let ended = python(&["tree", &format!("/{ONE}/box/dir"), &format!("m/{ONE}/other"), "tree"]);
    assert_eq!((ended.status, ended.out.as_str()), (0, "success tree/deep.txt 4 \n"), "{ended:?}");
    let ended = python(&["copies", &format!("m/{ONE}/other")]);
    assert_eq!((ended.status, ended.out.as_str()), (0, "success tree/deep.txt 4/4\n"), "{ended:?}");
    let ended = python(&["abort", &format!("m/{TWO}/backup/copy.img")]);
    assert!(ended.status != 0 && ended.err.contains("No data available"), "{ended:?}");
    assert!(!ended.err.contains("Traceback"), "{ended:?}");
    let ended = python(&["status", &format!("m/{ONE}/box/some.img")]);
    assert_eq!((ended.status, ended.out.as_str()), (0, "no copy was made onto this file\n"), "{ended:?}");
    let ended = python(&["copy", &format!("/{ONE}/box/none.img"), &format!("m/{TWO}/backup"), "copy.img"]);
    let expected = format!(
        "ioctl.py: copy /{ONE}/box/none.img m/{TWO}/backup copy.img: No such file or directory: none.img does not exist\n"
    );
    assert_eq!((ended.status, ended.err), (1, expected));
    let ended = python(&["lease", "show", &format!("m/{ONE}/box/some.img")]);
    assert_eq!((ended.status, ended.out.trim()), (0, "available"), "{ended:?}");
    let ended = python(&["snapshot", &format!("m/{ONE}/box/some.img")]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    let taken = desk.path(ended.out.trim());
    assert!(taken.starts_with(desk.m().join(ONE).join("box/.snapshots/some.img")), "{ended:?}");
    assert_eq!(fs::metadata(taken).unwrap().len(), 2 << 20);
}

#[test]
fn snapshot_prints_where_the_snapshots_are() {
    let desk = Desk::new();
    desk.store.put_blob(ONE, "box", "a b", "first".into(), "text/plain").unwrap();
    desk.store.put_blob(ONE, "box", "c", "other".into(), "text/plain").unwrap();
    desk.mount_both();
    let here = desk.m().join(ONE).join("box");
    fs::create_dir(here.join("d")).unwrap();
    std::os::unix::fs::symlink("../c", here.join("d/link")).unwrap();
    let run = |args: &[&str]| finish(desk.command(args).current_dir(&here).spawn().unwrap());
    let ended = run(&["snapshot", "a b", "d/link"]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    let [first, second] = ended.out.lines().collect::<Vec<_>>()[..] else { panic!("{ended:?}") };
    assert!(first.starts_with(".snapshots/a b/20"), "{first}");
    // A symlink is followed, so the snapshot stands beside what it leads to.
    let of_c = here.canonicalize().unwrap().join(".snapshots/c/");
    assert!(second.starts_with(of_c.to_str().unwrap()), "{second}");
    desk.store.put_blob(ONE, "box", "a b", "second".into(), "text/plain").unwrap();
    assert_eq!(fs::read_to_string(here.join(first)).unwrap(), "first");
    assert_eq!(fs::read_to_string(second).unwrap(), "other");
    for (path, why) in [
        ("d", "is a directory; -r takes one of each file in it"),
        (first, "Read-only file system"),
        ("x", "No such file"),
    ] {
        let ended = run(&["snapshot", path]);
        assert!(ended.status == 1 && ended.err.contains(why), "{path}: {ended:?}");
    }
}
