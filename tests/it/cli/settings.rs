//! Flags, mount options, the configuration file, and what is said when they are wrong.

use super::*;

#[rstest]
#[case::container(&["accountone/nosuch", "m"], "accountone/nosuch: there is no such container (404 ContainerNotFound, request id ")]
#[case::credential(&["stranger", "m"], "account stranger: no credential (AZURE_STORAGE_CONNECTION_STRING is for accountone): set AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY, or write [account.stranger] in ")]
#[case::no_directory(&[ONE, "nowhere"], "nowhere: No such file or directory: the mount point has to be there (mkdir -p nowhere)")]
#[case::file(&[ONE, "file"], "HOME/file: Not a directory")]
#[case::name(&["No", "m"], "No: account name \"No\" must be 3 to 24 characters from a-z and 0-9 (an emulator's may be longer)")]
#[case::no_config(&["--config", "none.toml", ONE, "m"], "none.toml: No such file or directory")]
#[case::log(&["--log-file", "file/log", ONE, "m"], "HOME/file: Not a directory: the log cannot be written there; --log-file names another place")]
fn what_is_wrong_is_one_line(#[case] args: &[&str], #[case] expected: &str) {
    let desk = Desk::new();
    fs::write(desk.path("file"), "").unwrap();
    let ended = desk.run(&[&["mount"], args].concat());
    let expected = format!("blobcp: mount: {}", expected.replace("HOME", desk.home.path().to_str().unwrap()));
    assert!(ended.err.starts_with(&expected), "{ended:?}");
    assert_eq!((ended.status, ended.out.as_str(), ended.err.lines().count()), (1, "", 1), "{ended:?}");
    assert!(!desk.is_mounted());
    desk.wait_for_no_process();
}

#[rstest]
#[case::flag(&["mount", "--wrong", ONE, "m"], "mount: unexpected argument '--wrong' found (see blobcp mount --help)")]
#[case::value(&["mount", "--uid", "me", ONE, "m"], "mount: invalid value 'me' for '--uid <USER>': this machine knows no user of that name, and it is no number (see blobcp mount --help)")]
#[case::option(&["mount", "-o", "rw,attrttl=1", ONE, "m"], "mount: -o attrttl: there is no such option; did you mean attr_ttl?")]
#[case::level(&["mount", "--log", "loud", ONE, "m"], "mount: --log \"loud\": must be error, warn, info, debug or trace")]
#[case::source(&["mount", "m"], "mount: SOURCE or MOUNTPOINT is missing (see blobcp mount --help)")]
#[case::command(&["mont", ONE, "m"], "unrecognized subcommand 'mont'; did you mean mount? (see blobcp --help)")]
#[case::cp(&["cp", "-r", "a"], "cp: SRC or DST is missing (see blobcp cp --help)")]
#[case::jobs(&["cp", "-j", "0", "a", "b"], "cp: invalid value '0' for '--jobs <N>': 0 is not in 1..=256 (see blobcp cp --help)")]
#[case::paths(&["status"], "status: the following required arguments were not provided: <PATH>... (see blobcp status --help)")]
fn mistakes_in_the_command_line_are_one_line(#[case] args: &[&str], #[case] expected: &str) {
    let ended = Desk::new().run(args);
    assert_eq!((ended.status, ended.out.as_str(), ended.err), (2, "", format!("blobcp: {expected}\n")));
}

#[test]
fn a_wrong_key_and_an_unknown_account_are_told_apart() {
    let desk = Desk::new();
    for (account, expected) in [
        (ONE, "the service does not accept the key (403 AuthenticationFailed, request id "),
        ("nobody", "there is no such account at "),
    ] {
        let url = desk.store.endpoint(account);
        let mut command = desk.command(&["mount", &url, "m"]);
        command.env_remove("AZURE_STORAGE_CONNECTION_STRING").env("AZURE_STORAGE_KEY", "a2V5");
        let ended = finish(command.spawn().unwrap());
        assert_eq!((ended.status, ended.err.lines().count()), (1, 1), "{ended:?}");
        assert!(ended.err.starts_with(&format!("blobcp: mount: {url}: {expected}")), "{ended:?}");
        assert!(!desk.is_mounted());
    }
}

#[test]
fn mount_8_and_fstab_can_call_it() {
    let desk = Desk::new();
    let helper = desk.path("mount.fuse.blobcp");
    symlink(BLOBCP, &helper).unwrap();
    let source = format!("{ONE}/box");
    let usual = "rw,noauto,user,noexec,nosuid,nodev,_netdev,x-systemd.automount,attr_ttl=5s,file_mode=600,uid=12";
    let as_helper: &[&str] = &[&source, "m", "-o", usual, "-t", "fuse.blobcp"];
    let through_libfuse: &[&str] = &[&source, "m", "-o", usual];
    for (program, args) in [(helper.to_str().unwrap(), as_helper), (BLOBCP, through_libfuse)] {
        let mut command = Command::new(program);
        command.args(args).current_dir(desk.home.path()).env_clear().env("HOME", desk.home.path());
        command.env("STATE_DIRECTORY", state_directory(desk.home.path()));
        command.env("AZURE_STORAGE_CONNECTION_STRING", desk.store.connection_string(ONE).unwrap());
        let ended = finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        assert_eq!(ended.status, 0, "{ended:?}");
        let metadata = fs::metadata(desk.m().join("hello.txt")).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (0o600, 12));
        let info = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let line = info.lines().find(|line| line.contains(desk.m().to_str().unwrap())).unwrap();
        assert!(line.contains("noexec") && line.contains("nosuid") && line.contains("nodev"), "{line}");
        assert_eq!(desk.umount().status, 0);
    }
}

#[test]
fn flags_come_before_options_and_these_before_the_file() {
    let desk = Desk::new();
    let config = desk.configure("[mount]\nuid = 1\ngid = 2\nfile-mode = '640'\nread-only = true\n");
    let args =
        ["mount", "--config", &config, "--uid", "3", "-o", "uid=4,gid=5", "--read-only=no", &format!("{ONE}/box"), "m"];
    let ended = desk.run(&args);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    let metadata = fs::metadata(desk.m().join("hello.txt")).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (3, 5, 0o640));
    fs::write(desk.m().join("written"), "x").unwrap();
    assert_eq!(desk.umount().status, 0);

    assert_eq!(desk.run(&["mount", "--config", &config, ONE, "m"]).status, 0);
    let refused = fs::write(desk.m().join("box/written"), "x").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EROFS));
    assert_eq!(desk.umount().status, 0);
}

#[test]
fn a_file_of_secrets_that_others_can_read_is_warned_about() {
    let desk = Desk::new();
    let config = desk.configure("");
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();
    let ended = desk.run(&["mount", "--config", &config, ONE, "m"]);
    assert_eq!(
        (ended.status, ended.err),
        (0, format!("blobcp: mount: warning: {config} holds secrets and others can read it\n"))
    );
}

#[test]
fn a_secret_in_an_endpoint_or_a_source_is_warned_about() {
    let desk = Desk::new();
    let (endpoint, config) = (desk.store.endpoint(ONE), desk.path("config.toml").to_str().unwrap().to_owned());
    let warning = format!("blobcp: mount: warning: {config} holds secrets and others can read it\n");
    for (text, expected) in [
        (format!("[account.other]\nendpoint = '{endpoint}?sv=1&sig=x'\n"), warning.as_str()),
        (format!("[mount.photos]\nsources = ['{endpoint}/box?sv=1&SIG=x']\n"), &warning),
        (format!("[account.other]\nendpoint = '{endpoint}'\n[mount.photos]\nsources = ['{endpoint}/box']\n"), ""),
    ] {
        fs::write(&config, &text).unwrap();
        fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();
        let ended = desk.run(&["mount", "--config", &config, ONE, "m"]);
        assert_eq!((ended.status, ended.err.as_str()), (0, expected), "{text}");
        assert_eq!(desk.umount().status, 0);
    }
}

#[test]
fn a_misspelt_key_is_named_with_its_line() {
    let desk = Desk::new();
    let path = desk.path(".config/blobcp/config.toml");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "[mount]\nuid = 1\nattr_ttl = '1s'\n").unwrap();
    let ended = desk.run(&["mount", ONE, "m"]);
    assert!(
        ended
            .err
            .starts_with(&format!("blobcp: mount: {}:3: unknown field `attr_ttl`, expected one of ", path.display()))
    );
    assert_eq!((ended.status, ended.err.lines().count()), (1, 1));
}

#[rstest]
#[case(&["--help"])]
#[case(&["mount", "--help"])]
#[case(&["umount", "--help"])]
#[case(&["cp", "--help"])]
#[case(&["status", "--help"])]
#[case(&["wait", "--help"])]
#[case(&["abort", "--help"])]
#[case(&["snapshot", "--help"])]
#[case(&["mkdir", "--help"])]
#[case(&["lease", "--help"])]
#[case(&["lease", "break", "--help"])]
#[case(&["config", "--help"])]
#[case(&["config", "init", "--help"])]
#[case(&["config", "check", "--help"])]
#[case(&["config", "from-blobfuse2", "--help"])]
#[case(&["config", "from-rclone", "--help"])]
#[case(&["first-copy", "--help"])]
#[case(&["devstore", "--help"])]
fn help_fits_a_terminal(#[case] args: &[&str]) {
    let ended = finish(Desk::new().command(args).env("COLUMNS", "80").spawn().unwrap());
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    for line in ended.out.lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
}
