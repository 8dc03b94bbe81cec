//! Umounts that cannot be as they were typed, and mounts that are made all the same.

use super::*;

#[test]
fn who_stands_in_the_mount_unmounts_it() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["mount", ONE, "m"]).status, 0);
    let mut ended = None;
    // Another test's program has the files of this process open until it runs.
    eventually("a mount that nobody else uses", || {
        let child = desk.command(&["umount", "../.."]).current_dir(desk.m().join("box/dir")).spawn();
        let run = finish(child.unwrap());
        let in_use = run.err.contains(": in use;");
        ended = Some(run);
        !in_use
    });
    let ended = ended.unwrap();
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    assert!(!desk.is_mounted());
}

#[test]
fn who_asks_is_not_among_those_who_use_it() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["mount", ONE, "m"]).status, 0);
    let script = "cd m/box && \"$0\" umount ../../m; true";
    let mut shell = Command::new("/bin/bash");
    shell.args(["-c", script, BLOBCP]).current_dir(desk.home.path()).stdin(Stdio::null());
    let ended = finish(shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert!(ended.err.contains(": in use by bash (") || ended.err.contains(", bash ("), "{ended:?}");
    assert!(!ended.err.contains("blobcp ("), "{ended:?}");
    assert_eq!(desk.umount().status, 0);
}

#[test]
fn a_mount_of_another_user_says_whose_it_is() {
    let desk = Desk::new();
    fs::set_permissions(desk.home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(desk.run(&["mount", "--allow-other", ONE, "m"]).status, 0);
    let program = desk.path("blobcp");
    fs::copy(BLOBCP, &program).unwrap();
    let mut stranger = Command::new("setpriv");
    stranger.args(["--reuid", "10003", "--regid", "10003", "--clear-groups"]).arg(&program).args(["umount", "m"]);
    stranger.current_dir(desk.home.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = finish(stranger.spawn().unwrap());
    let m = desk.m();
    let expected =
        format!("blobcp: umount: {}: root has mounted it; only that user and root may unmount it\n", m.display());
    assert_eq!((ended.status, ended.err), (1, expected));
    assert_eq!(desk.umount().status, 0);
}

/// A mount of another kind, taken away when the test ends.
struct Bound(PathBuf);

impl Bound {
    fn new(from: &Path, to: PathBuf) -> Self {
        fs::create_dir_all(&to).unwrap();
        let bind = |args: &[&str]| Command::new("mount").args(args).arg(&to).status().unwrap().success();
        assert!(bind(&["--bind", from.to_str().unwrap()]) && bind(&["--make-private"]));
        Self(to)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = unmount::lazily(&self.0);
    }
}

#[test]
fn a_mount_point_under_a_bind_mount_is_found_by_its_other_path() {
    let desk = Desk::new();
    fs::create_dir_all(desk.path("real/m")).unwrap();
    let bound = Bound::new(&desk.path("real"), desk.path("bound"));
    assert_eq!(desk.run(&["mount", ONE, "real/m"]).status, 0);
    let ended = desk.run(&["umount", "bound/m"]);
    let point = desk.path("real/m");
    let point = point.display();
    let what = format!("nothing is mounted by this path, but at {point}: blobcp umount {point}");
    assert_eq!((ended.status, ended.err), (1, format!("blobcp: umount: bound/m: {what}\n")));
    drop(bound);
    eventually("the unmount", || desk.run(&["umount", "real/m"]).status == 0);
}

#[test]
fn a_mount_in_which_others_are_names_them() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["mount", ONE, "m"]).status, 0);
    let bound = Bound::new(&desk.path("."), desk.m().join("box/dir"));
    let ended = desk.run(&["umount", "m"]);
    let m = desk.m();
    let what = format!("in use: {}/box/dir is mounted in it, to be unmounted before", m.display());
    assert_eq!((ended.status, ended.err), (1, format!("blobcp: umount: {}: {what}\n", m.display())));
    drop(bound);
    assert_eq!(desk.umount().status, 0);
}

#[test]
fn no_log_is_no_reason_not_to_mount() {
    let desk = Desk::new();
    fs::write(desk.path("file"), "").unwrap();
    let mut command = desk.command(&["mount", ONE, "m"]);
    let ended = finish(command.env("XDG_STATE_HOME", desk.path("file")).env_remove("XDG_RUNTIME_DIR").spawn().unwrap());
    let place = desk.path("file/blobcp");
    let warning = format!(
        "blobcp: mount: warning: {}: Not a directory: the log cannot be written there; --log-file names another place; mounted without a log\n",
        place.display()
    );
    assert_eq!((ended.status, ended.err), (0, warning));
    assert!(!ended.out.contains("The log is"), "{}", ended.out);
    assert_eq!(fs::read_to_string(desk.m().join("box/hello.txt")).unwrap(), "hello");
    assert_eq!(desk.umount().status, 0);
}

#[test]
fn a_directory_that_is_not_there_yet_is_mounted_and_said() {
    let desk = Desk::new();
    for (prefix, expected) in [
        ("none", Some("does not exist yet: the first file that is written makes it")),
        ("hello.txt", Some("is a file, and no directory: what is written here stands beside it")),
        ("dir", None),
    ] {
        let source = format!("{ONE}/box/{prefix}");
        let ended = desk.run(&["mount", &source, "m"]);
        assert_eq!((ended.status, ended.err.as_str()), (0, ""));
        let line = expected.map(|expected| format!("{source} {expected}\n"));
        assert!(line.is_none_or(|line| ended.out.contains(&line)), "{ended:?}");
        assert_eq!(ended.out.lines().count(), 2 + usize::from(expected.is_some()), "{ended:?}");
        assert_eq!(desk.umount().status, 0);
    }
}

#[rstest]
#[case::az("az://box/dir")]
#[case::az_with_account("az://accountone/box/dir")]
#[case::names("--uid=nobody --gid=root accountone/box/dir")]
fn what_others_write_is_understood(#[case] words: &str) {
    let desk = Desk::new();
    let words: Vec<&str> = words.split(' ').collect();
    let ended = desk.run(&[&["mount"], &words[..], &["m"]].concat());
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    let found = fs::metadata(desk.m().join("deep.txt")).unwrap();
    if words.len() > 1 {
        assert_eq!((found.uid() != 0, found.gid()), (true, 0));
    }
    assert_eq!(desk.umount().status, 0);
}
