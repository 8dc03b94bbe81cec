//! Mounts by their names, what is listed of them, all of them at once, and those that somebody else has mounted.

use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;

use super::*;

#[test]
fn a_mount_has_a_name_a_place_and_settings_of_its_own() {
    let desk = Desk::new();
    let place = desk.m();
    let more = format!(
        "[mount]\nuid = 3\ngid = 4\n[mount.photos]\nsources = ['{ONE}/box', '{TWO}']\nmountpoint = '{}'\nuid = 5\n\
         [mount.bare]\nsources = ['{ONE}']\n",
        place.display()
    );
    let config = desk.configure(&more);
    let ended = desk.run(&["mount", "--config", &config, "photos"]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    assert!(ended.out.starts_with(&format!("{ONE}/box and {TWO} is mounted on {}\n", place.display())), "{ended:?}");
    let metadata = fs::metadata(place.join(format!("{ONE}/box/hello.txt"))).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (5, 4));
    assert_eq!(table::read().unwrap().at(&place).unwrap().source, "photos");
    assert_eq!(desk.umount().status, 0);
    // Elsewhere, and with another setting on the command line.
    fs::create_dir(desk.path("n")).unwrap();
    assert_eq!(desk.run(&["mount", "--config", &config, "--uid", "6", "photos", "n"]).status, 0);
    assert_eq!(fs::metadata(desk.path("n").join(format!("{ONE}/box/hello.txt"))).unwrap().uid(), 6);
    assert_eq!(desk.run(&["umount", "n"]).status, 0);
    let ended = desk.run(&["mount", "--config", &config, "bare"]);
    let expected = format!("blobcp: mount: bare: [mount.bare] in {config} says no mountpoint, and neither do you\n");
    assert_eq!((ended.status, ended.err), (2, expected));
}

#[test]
fn mounts_are_listed_with_who_serves_them() {
    let desk = Desk::new();
    fs::create_dir(desk.path("n")).unwrap();
    let config = desk.configure("");
    let url = format!("{}/box", desk.store.endpoint(ONE));
    assert_eq!(desk.run(&["mount", "--config", &config, "--read-only", ONE, TWO, "m"]).status, 0);
    assert_eq!(desk.run(&["mount", "--config", &config, "--log-file", "the.log", &url, "n"]).status, 0);
    let ended = desk.run(&["mount", "--list", "--json"]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    let of = |point: &Path| {
        let lines = ended.out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.into_iter().find(|line| line["mountpoint"] == point.to_str().unwrap()).unwrap()
    };
    let (m, n) = (of(&desk.m()), of(&desk.path("n")));
    assert_eq!((&m["sources"], &m["name"]), (&serde_json::json!([ONE, TWO]), &format!("{ONE},{TWO}").into()));
    assert_eq!((&m["read_only"], &n["read_only"], &m["user"]), (&true.into(), &false.into(), &0.into()));
    assert_eq!(m["killed"], false);
    assert_eq!((&n["sources"], &n["log"]), (&serde_json::json!([url]), &desk.path("the.log").to_str().unwrap().into()));
    let processes = desk.processes();
    for mount in [&m, &n] {
        assert!(processes.contains(&(mount["pid"].as_i64().unwrap() as i32)), "{mount} {processes:?}");
    }
    let shown = desk.run(&["mount", "--list"]).out;
    let line = shown.lines().find(|line| line.contains(desk.m().to_str().unwrap())).unwrap();
    assert!(
        shown.starts_with("SOURCE ") && line.starts_with(&format!("{ONE},{TWO} ")) && line.contains(" ro "),
        "{shown}"
    );

    assert_eq!((desk.umount().status, desk.run(&["umount", "n"]).status), (0, 0));
    let none = desk.run(&["mount", "--list", "--json"]).out;
    assert!(!none.contains(desk.home.path().to_str().unwrap()), "{none}");
    for wrong in [&["umount"][..], &["umount", "--all", "m"], &["mount", "--json", ONE, "m"]] {
        assert_eq!(desk.run(wrong).status, 2, "{wrong:?}");
    }
}

/// Who serves what somebody else has mounted.
const USER: &str = "10003";

/// What a program that may mount does for one that may not: a descriptor of `/dev/fuse`, mounted.
fn mounted_device(point: &Path, user: u32, flags: libc::c_ulong, more: &str) -> fs::File {
    let device = fs::File::options().read(true).write(true).open("/dev/fuse").unwrap();
    let options =
        format!("fd={},rootmode=40000,user_id={user},group_id={user},default_permissions{more}", device.as_raw_fd());
    let text = |text: &str| std::ffi::CString::new(text).unwrap();
    let (source, target, kind) = (text("acct"), text(point.to_str().unwrap()), text("fuse.blobcp"));
    let options = text(&options);
    let flags = libc::MS_NOSUID | libc::MS_NODEV | flags;
    // SAFETY: all pointers are to texts that live as long as the call.
    let done = unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast()) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    device
}

/// `command`, started by a user without rights, with `device` as that descriptor.
fn given(command: &mut Command, device: &fs::File, number: RawFd) {
    let from = device.as_raw_fd();
    // SAFETY: a system call that may be made between fork and exec; the new descriptor is inherited.
    unsafe {
        command
            .pre_exec(move || if libc::dup2(from, number) < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) });
    }
}

/// Serves the account on a descriptor, as that user, and waits until it does.
fn served(desk: &Desk, device: fs::File, user: u32, options: &[&str]) -> Child {
    let user = user.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--no-new-privs", BLOBCP]);
    command.args(["mount", "-f", "--uid", "0"]).args(options).args([ONE, "/dev/fd/9"]).current_dir("/").env_clear();
    command
        .env("HOME", desk.home.path())
        .env("AZURE_STORAGE_CONNECTION_STRING", desk.store.connection_string(ONE).unwrap());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    given(&mut command, &device, 9);
    let mut child = command.spawn().unwrap();
    drop(device);
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, format!("{ONE} is mounted on /dev/fd/9\n"));
    child
}

#[test]
fn a_first_copy_that_was_not_made_is_a_failure() {
    let desk = Desk::new();
    fs::set_permissions(desk.home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let child = served(&desk, mounted_device(&desk.m(), 10003, 0, ""), 10003, &[]);
    let ended = desk.run(&["first-copy", "m"]);
    let expected = "blobcp: first-copy: m: Permission denied; run it as user 10003, or mount with allow_other\n";
    assert_eq!((ended.status, ended.err.as_str()), (1, expected));
    let as_user = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", USER, "--regid", USER, "--clear-groups", BLOBCP, "first-copy"]).arg(desk.m());
        finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    };
    // Once more is as good, also when the kernel does not believe in the name any more.
    for _ in 0..2 {
        let ended = as_user();
        assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    }
    eventually("a mount that nobody else uses", || unmount::politely(&desk.m()).is_ok());
    assert_eq!(finish(child).status, 0);
}

#[test]
fn a_first_copy_is_not_needed_where_nothing_can_be_written() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["mount", "--read-only", ONE, "m"]).status, 0);
    let ended = desk.run(&["first-copy", "m"]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    assert_eq!(desk.umount().status, 0);
}

#[test]
fn a_mount_whose_process_was_killed_says_so() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["mount", "--log-file", "the.log", ONE, "m"]).status, 0);
    desk.processes().into_iter().for_each(|pid| send(pid, libc::SIGKILL));
    desk.wait_for_no_process();
    let point = desk.m();
    let line = |out: &str| out.lines().find(|line| line.contains(point.to_str().unwrap())).unwrap().to_owned();
    let shown = line(&desk.run(&["mount", "--list"]).out);
    assert!(shown.contains(" killed ") && shown.ends_with("/the.log"), "{shown}");
    let said: serde_json::Value = serde_json::from_str(&line(&desk.run(&["mount", "--list", "--json"]).out)).unwrap();
    assert_eq!(
        (&said["killed"], &said["pid"], &said["sources"]),
        (&true.into(), &().into(), &serde_json::json!([ONE]))
    );
    assert_eq!(desk.umount().status, 0);
}

/// Whoever mounted it unmounts it, and the process ends with that.
fn ends_unmounted(desk: &Desk, child: Child) -> Ended {
    eventually("a mount that nobody else uses", || unmount::politely(&desk.m()).is_ok());
    finish(child)
}

#[test]
fn nobody_changes_anything_by_a_descriptor_that_is_served_read_only() {
    use rustix::fs::{XattrFlags, removexattr, setxattr};
    let desk = Desk::new();
    // The kernel knows nothing of it.
    let child = served(&desk, mounted_device(&desk.m(), 0, 0, ",allow_other"), 0, &["--read-only"]);
    let at = |name: &str| desk.m().join("box").join(name);
    let (file, new) = (at("hello.txt"), at("new"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "hello");
    let attribute = "user.blob.meta.color";
    let fifo = std::ffi::CString::new(at("fifo").to_str().unwrap()).unwrap();
    // SAFETY: a text that lives as long as the call.
    let made =
        if unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) } == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) };
    let open = fs::File::open(&file).unwrap();
    desk.store.reset_stats();
    for (what, done) in [
        ("mkdir", fs::create_dir(&new)),
        ("create", fs::write(&new, "x")),
        ("open", fs::File::options().write(true).open(&file).map(drop)),
        ("truncate", fs::File::options().read(true).write(true).truncate(true).open(&file).map(drop)),
        ("unlink", fs::remove_file(&file)),
        ("rmdir", fs::remove_dir(at("dir"))),
        ("rename", fs::rename(&file, &new)),
        ("link", fs::hard_link(&file, &new)),
        ("symlink", symlink("x", &new)),
        ("mkfifo", made),
        ("chmod", fs::set_permissions(&file, fs::Permissions::from_mode(0o600))),
        ("utimens", open.set_modified(std::time::SystemTime::UNIX_EPOCH)),
        ("setxattr", setxattr(&file, attribute, b"blue", XattrFlags::empty()).map_err(Into::into)),
        ("removexattr", removexattr(&file, attribute).map_err(Into::into)),
    ] {
        assert_eq!(done.map_err(|error| error.raw_os_error()), Err(Some(libc::EROFS)), "{what}");
    }
    for command in [&["snapshot", "m/box/hello.txt"][..], &["cp", "m/box/hello.txt", "m/box/copy"]] {
        let ended = desk.run(command);
        assert!(ended.status == 1 && ended.err.contains("Read-only file system"), "{ended:?}");
    }
    let changes: Vec<_> = desk.store.requests().into_iter().filter(|request| request.status < 300).collect();
    let is_look = |operation: &str| operation.starts_with("Get") || operation.starts_with("List");
    assert!(changes.iter().all(|request| is_look(request.operation)), "{changes:?}");
    drop(open);
    let ended = ends_unmounted(&desk, child);
    assert_eq!(ended.status, 0, "{ended:?}");
}

#[test]
fn a_descriptor_that_was_mounted_read_only_is_not_written_to_by_ioctls_either() {
    // Root sees by what mount somebody comes. Another user does not see it of root, and has to be told.
    for user in [0, 10003] {
        let desk = Desk::new();
        let child = served(&desk, mounted_device(&desk.m(), user, libc::MS_RDONLY, ",allow_other"), user, &[]);
        if user != 0 {
            assert_eq!(desk.run(&["first-copy", "m"]).status, 0);
        }
        assert_eq!(fs::read_to_string(desk.m().join("box/hello.txt")).unwrap(), "hello");
        for command in [&["snapshot", "m/box/hello.txt"][..], &["cp", "m/box/hello.txt", "m/box/copy"]] {
            let ended = desk.run(command);
            assert!(ended.status == 1 && ended.err.contains("Read-only file system"), "{user}: {ended:?}");
        }
        let stats = desk.store.stats();
        assert_eq!((stats.requests("SnapshotBlob"), stats.requests("CopyBlob")), (0, 0), "{user}");
        let ended = ends_unmounted(&desk, child);
        assert_eq!(ended.status, 0, "{user}: {ended:?}");
    }
}

#[test]
fn a_descriptor_that_somebody_else_has_mounted_is_served_and_gets_its_first_copy() {
    let desk = Desk::new();
    let child = served(&desk, mounted_device(&desk.m(), 10003, 0, ",allow_other"), 10003, &[]);
    // It waits for who has mounted it.
    let hidden = desk.m().join(".blobcp-first-copy\u{1}");
    assert!(fs::symlink_metadata(&hidden).is_ok());
    let ended = desk.run(&["first-copy", "m"]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    // The kernel believes it for a second; only a copy that was asked for ends it.
    eventually("a name like any other", || fs::symlink_metadata(&hidden).is_err());
    assert_eq!(fs::read_to_string(desk.m().join("box/hello.txt")).unwrap(), "hello");
    desk.store.reset_stats();
    // Two at once, which are the first that others make.
    let copies = ["a.img", "b.img"].map(|name| {
        Command::new("cp").arg(desk.m().join("box/big.img")).arg(desk.m().join("box").join(name)).spawn().unwrap()
    });
    for mut copy in copies {
        assert!(copy.wait().unwrap().success());
    }
    let stats = desk.store.stats();
    assert_eq!((stats.requests("CopyBlob"), stats.body_bytes_in, stats.body_bytes_out), (2, 0, 0));
    let ended = ends_unmounted(&desk, child);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
}

#[test]
fn a_descriptor_that_is_none_of_fuse_is_refused() {
    let desk = Desk::new();
    for point in ["/dev/fd/77", "/dev/fd/9"] {
        let mut command = desk.command(&["mount", ONE, point]);
        let null = fs::File::open("/dev/null").unwrap();
        given(&mut command, &null, 9);
        let ended = finish(command.spawn().unwrap());
        let expected = format!("blobcp: mount: {point}: not a descriptor of /dev/fuse that this process was given\n");
        assert_eq!((ended.status, ended.err), (1, expected));
    }
    let ended = desk.run(&["first-copy", "m"]);
    assert_eq!((ended.status, ended.err.as_str()), (1, "blobcp: first-copy: m: nothing is mounted there by FUSE\n"));
}
