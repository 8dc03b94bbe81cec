//! Lines of fstab, as mount(8) makes mounts of them: in a mount namespace of its own, in which `/etc`, `/usr/sbin`, `/var/log`, `/var/lib`
//! and `/run` are what a machine with blobcp installed has, and nothing of the machine that the test runs on is changed.

use std::io::Read;

use super::*;

/// Prepares the namespace. `$T` is a directory for it, `$B` the program.
const INSTALLED: &str = r#"
set -eu
mount --make-rprivate /
# Mounts of other tests are none here, also those that end by themselves at this moment.
for point in $(awk '$3 == "fuse.blobcp" { print $2 }' /proc/self/mounts); do umount -i -l "$point" 2>/dev/null || true; done
shadow() { # a directory, with all that is in it, to which things can be added
  mkdir -p "$T/was$1" "$T/is$1"
  mount --bind "$1" "$T/was$1"
  find "$T/was$1" -mindepth 1 -maxdepth 1 -exec ln -sf {} "$T/is$1/" \;
  mount --bind "$T/is$1" "$1"
}
shadow /etc
shadow /usr/sbin
for dir in /var/log /var/lib /run; do mkdir -p "$T/is$dir" && mount --bind "$T/is$dir" $dir; done
for helper in mount.blobcp mount.fuse.blobcp umount.blobcp umount.fuse.blobcp; do ln -sf "$B" /usr/sbin/$helper; done
rm -f /etc/fstab /etc/passwd
cp "$T/was/etc/passwd" /etc/passwd
ln -sf /proc/self/mounts /etc/mtab
echo "tester:x:10003:10003::$T/tester:/bin/sh" >> /etc/passwd
mkdir -p /etc/blobcp && install -m 600 "$T/config.toml" /etc/blobcp/config.toml
cp "$T/fstab" /etc/fstab
mknod -m 666 "$T/fuse" c 10 229 && mount --bind "$T/fuse" /dev/fuse
"#;

/// Runs `script` there. Mounts that it leaves end with its processes.
fn run_installed(desk: &Desk, config: &str, fstab: &str, script: &str) -> Ended {
    fs::write(desk.path("config.toml"), config).unwrap();
    fs::write(desk.path("fstab"), fstab).unwrap();
    fs::set_permissions(desk.home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &format!("{INSTALLED}{script}")]).env_clear().current_dir("/");
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C").env("T", desk.home.path()).env("B", BLOBCP);
    finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

fn account_tables(desk: &Desk) -> String {
    fs::read_to_string(desk.configure("")).unwrap()
}

#[test]
fn mount_a_mounts_several_accounts_and_named_mounts_and_knows_them_again() {
    let desk = Desk::new();
    let home = desk.home.path().to_str().unwrap();
    fs::create_dir(desk.path("n")).unwrap();
    let config =
        format!("{}[mount.photos]\nsources = ['{ONE}/box', '{TWO}']\nfile-mode = '600'\n", account_tables(&desk));
    let fstab = format!(
        "{ONE},{TWO} {home}/m blobcp _netdev,attr_ttl=5s 0 0\nphotos {home}/n blobcp _netdev,nofail,x-systemd.automount,ro 0 0\n"
    );
    let script = r#"
mkdir -p "$T/root/.config/blobcp" && echo "[account.nobody]" > "$T/root/.config/blobcp/config.toml"
export HOME="$T/root"  # as with sudo: what is meant is the machine's all the same
mount -a >&2
mount -a >&2
grep -c fuse.blobcp /proc/self/mounts
findmnt -n -o SOURCE,FSTYPE "$T/m" | tr -s ' '
df --output=source,fstype "$T/n" | tail -1 | tr -s ' '
mount | grep -c 'on .*/n type fuse.blobcp (ro'
cp "$T/m/accountone/box/hello.txt" "$T/m/accounttwo/backup/copied.txt"
ls "$T/n"; stat -c %a "$T/n/accountone/box/hello.txt"
ls /var/log/blobcp | wc -l
mount -o remount,ro "$T/m"
if touch "$T/m/accounttwo/backup/refused" 2>/dev/null; then exit 8; fi
umount "$T/m"
umount "$T/n"
! grep fuse.blobcp /proc/self/mounts
"#;
    let ended = run_installed(&desk, &config, &fstab, script);
    assert_eq!(ended.status, 0, "{ended:?}");
    let expected = ["2", &format!("{ONE},{TWO} fuse.blobcp"), "photos fuse.blobcp", "1", ONE, TWO, "600", "2"];
    let lines: Vec<&str> =
        ended.out.lines().filter(|line| !line.contains("is mounted on") && !line.starts_with("The log is")).collect();
    assert_eq!(lines, expected, "{ended:?}");
    assert_eq!(&desk.store.content(TWO, "backup", "copied.txt").unwrap()[..], b"hello");
    assert_eq!((desk.store.stats().body_bytes_in, desk.store.stats().body_bytes_out), (0, 0), "the service has copied");
    // umount(8) has waited for the process, by the helper.
    assert_eq!(desk.processes(), [0; 0]);
}

#[test]
fn mount_a_knows_a_line_again_however_its_sources_are_written() {
    let desk = Desk::new();
    let home = desk.home.path().to_str().unwrap();
    fs::create_dir(desk.path("n")).unwrap();
    fs::write(desk.path("one.url"), format!("{ONE}/box\n")).unwrap();
    let fstab = format!("@{home}/one.url {home}/m blobcp _netdev 0 0\n{ONE},{TWO}, {home}/n blobcp _netdev 0 0\n");
    let script = r#"
mount -a >&2
mount -a >&2
grep -c fuse.blobcp /proc/self/mounts
findmnt -n -o SOURCE "$T/m"
findmnt -n -o SOURCE "$T/n"
cat "$T/m/hello.txt"; echo
ls "$T/n"
umount "$T/m"
umount "$T/n"
"#;
    let ended = run_installed(&desk, &account_tables(&desk), &fstab, script);
    assert_eq!(ended.status, 0, "{ended:?}");
    let lines: Vec<&str> = ended.out.lines().collect();
    assert_eq!(lines, ["2", &format!("@{home}/one.url"), &format!("{ONE},{TWO},"), "hello", ONE, TWO], "{ended:?}");
}

#[test]
fn what_a_mount_of_boot_has_left_is_told_when_root_makes_that_mount_by_hand() {
    let desk = Desk::new();
    let home = desk.home.path().to_str().unwrap();
    desk.store.change_policy(PolicyChange { hold_new_copies: Some(true), ..PolicyChange::default() });
    let fstab = format!("{ONE}/box {home}/m blobcp defaults 0 0\n");
    // The rename is written down before its copy is asked for, and the copy does not end.
    let script = r#"
mount -a >&2
pid=$("$B" mount --list --json | sed 's/.*"pid":\([0-9]*\).*/\1/')
mv "$T/m/hello.txt" "$T/m/moved.txt" 2>/dev/null & mv=$!
until grep -qs '"move"' /var/lib/blobcp/journal/*.jsonl; do :; done
kill -9 "$pid"
wait $mv || true
"$B" mount --list | grep -c killed
umount -i -l "$T/m"
mkdir -p "$T/root"
HOME="$T/root" "$B" mount "ONE/box" "$T/m" --config /etc/blobcp/config.toml
find "$T/root" -name journal
"$B" umount --lazy "$T/m"
"#;
    let ended = run_installed(&desk, &account_tables(&desk), &fstab, &script.replace("ONE", ONE));
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.out.starts_with("1\n"), "{ended:?}");
    // The rename, and the lease of its source if there is one already.
    let told = format!(" left unfinished when a mount ended: see blobcp status --leftovers {home}/m\n");
    assert!(ended.out.contains(&told), "{ended:?}");
    assert!(!ended.out.contains("/journal"), "root has one journal: {ended:?}");
}

#[test]
fn a_mount_in_the_background_works_without_a_home_that_can_be_written() {
    let desk = Desk::new();
    let script = r#"
chmod 777 "$T/m"
install -d -m 700 -o 10003 -g 10003 "$T/runtime"
install -o 10003 -g 10003 -m 600 "$T/config.toml" "$T/own.toml"
as_user() { (cd / && setpriv --reuid 10003 --regid 10003 --clear-groups env -i PATH="$PATH" HOME=/nowhere LC_ALL=C "$@"); }
as_user XDG_RUNTIME_DIR="$T/runtime" "$B" mount --config "$T/own.toml" ONE/box "$T/m"
as_user cat "$T/m/hello.txt"; echo
as_user XDG_RUNTIME_DIR="$T/runtime" "$B" umount "$T/m"
as_user "$B" mount --config "$T/own.toml" ONE/box "$T/m"
as_user cat "$T/m/hello.txt"; echo
as_user "$B" umount "$T/m"
"#;
    let ended = run_installed(&desk, &account_tables(&desk), "", &script.replace("ONE", ONE));
    assert_eq!(ended.status, 0, "{ended:?}");
    let home = desk.home.path().to_str().unwrap();
    let log = format!("{}-m.log", home.trim_start_matches('/').replace('-', "%2D").replace('/', "-"));
    let mounted = format!("{ONE}/box is mounted on {home}/m\n");
    let expected = format!("{mounted}The log is {home}/runtime/blobcp/{log}\nhello\n{mounted}hello\n");
    assert_eq!(ended.out, expected, "{ended:?}");
    let warning =
        "blobcp: mount: warning: /nowhere/.local/state/blobcp: Permission denied: the log cannot be written there; ";
    assert_eq!(ended.err.matches(warning).count(), 1, "{ended:?}");
}

#[test]
fn root_writes_accounts_into_the_file_that_fstab_reads() {
    let desk = Desk::new();
    let script = r#"
rm /etc/blobcp/config.toml
export HOME="$T/root"
mkdir -p "$HOME"
"$B" config init first --auth cli
stat -c '%a %U' /etc/blobcp/config.toml
mkdir -p "$HOME/.config/blobcp" && echo '[account.mine]' > "$HOME/.config/blobcp/config.toml"
"$B" config init second --auth cli
grep -c '^.account' /etc/blobcp/config.toml
"$B" config check nosuch || true
"#;
    let ended = run_installed(&desk, "", "", script);
    assert_eq!(ended.status, 0, "{ended:?}");
    let own = desk.path("root/.config/blobcp/config.toml");
    let machines = "/etc/blobcp/config.toml";
    let both = format!(
        "fstab and units read {machines}; commands of root's read {}, unless --config says otherwise\n",
        own.display()
    );
    assert!(ended.out.starts_with(&format!("{machines} has [account.first] now;")), "{ended:?}");
    let second = format!("{machines} has [account.second] now; nobody but its owner may read it\n{both}");
    assert!(ended.out.contains("\n600 root\n") && ended.out.contains(&second), "{ended:?}");
    assert!(ended.out.contains(&format!("{}: 1 account, 0 mounts\n{both}", own.display())), "{ended:?}");
    assert!(ended.out.contains("\n2\n"), "{ended:?}");
}

#[test]
fn a_line_for_users_takes_their_own_file_and_names_the_one_that_is_closed_to_them() {
    let desk = Desk::new();
    let home = desk.home.path().to_str().unwrap();
    let config = account_tables(&desk);
    let fstab = format!("{ONE}/box {home}/m blobcp noauto,user 0 0\n");
    // Without HOME, as from a login that does not set it: the home is the one of the machine's list.
    let script = r#"
mkdir -p "$T/tester/.config/blobcp" && chown -R 10003:10003 "$T/tester" "$T/m"
as_user() { (cd / && setpriv --reuid 10003 --regid 10003 --clear-groups env -i PATH="$PATH" LC_ALL=C "$@"); }
as_user mount "$T/m" || echo "refused: $?"
install -o 10003 -g 10003 -m 600 "$T/config.toml" "$T/tester/.config/blobcp/config.toml"
as_user mount "$T/m" >&2
as_user cat "$T/m/hello.txt"; echo
stat -c %u "$T/tester/.local/state/blobcp/"*.log
as_user umount "$T/m"
! grep fuse.blobcp /proc/self/mounts
"#;
    let ended = run_installed(&desk, &config, &fstab, script);
    assert_eq!(ended.status, 0, "{ended:?}");
    let closed = "/etc/blobcp/config.toml cannot be read by you: it is root's, mode 600";
    assert!(
        ended.err.contains(closed) && ended.err.contains(&format!("{home}/tester/.config/blobcp/config.toml")),
        "{ended:?}"
    );
    assert!(ended.out.starts_with("refused: ") && ended.out.ends_with("\nhello\n10003\n"), "{ended:?}");
}

#[test]
fn umount_all_ends_all_mounts_of_blobcp_and_goes_on_where_one_is_in_use() {
    let desk = Desk::new();
    let home = desk.home.path().to_str().unwrap();
    fs::create_dir(desk.path("n")).unwrap();
    let fstab = format!("{ONE}/box {home}/m blobcp defaults 0 0\n{TWO} {home}/n blobcp defaults 0 0\n");
    let script = r#"
mount -a >&2
echo kept > "$T/m/written.txt"
exec 8< "$T/n/backup/."
"$B" umount --all 8<&- && exit 9
awk '$3 == "fuse.blobcp" { print $1 }' /proc/self/mounts
exec 8<&-
"$B" umount --all
! grep fuse.blobcp /proc/self/mounts
"#;
    let ended = run_installed(&desk, &account_tables(&desk), &fstab, script);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.err.contains(&format!("blobcp: umount: {home}/n: in use by sh (")), "{ended:?}");
    assert!(ended.out == format!("{TWO}\n"), "{ended:?}");
    assert_eq!(&desk.store.content(ONE, "box", "written.txt").unwrap()[..], b"kept\n");
    assert_eq!(desk.processes(), [0; 0], "it has waited");
}

#[test]
fn nofail_is_not_for_a_credential_command_that_fails() {
    let desk = Desk::new();
    let endpoint = desk.store.endpoint(ONE);
    configure_command(&desk, &endpoint, "sh -c 'echo sealed >&2; exit 3'");
    let options = "nofail,network_wait=0s,config=c.toml,log_file=log";
    let ended = finish(helper(&desk, &[ONE, "m", "-o", options]).spawn().unwrap());
    assert_eq!((ended.status, desk.is_mounted()), (1, false), "{ended:?}");
    assert!(ended.err.contains("exit status: 3: sealed") && !ended.err.contains("no failure"), "{ended:?}");
}

fn configure_command(desk: &Desk, endpoint: &str, command: &str) {
    let text = format!("[account.{ONE}]\nendpoint = '{endpoint}'\ncredential_command = \"{command}\"\n");
    fs::write(desk.path("c.toml"), text).unwrap();
    fs::set_permissions(desk.path("c.toml"), fs::Permissions::from_mode(0o600)).unwrap();
}

/// What is called like mount(8)'s helper.
fn helper(desk: &Desk, args: &[&str]) -> Command {
    let helper = desk.path("mount.blobcp");
    let _ = symlink(BLOBCP, &helper);
    let mut command = Command::new(helper);
    command.args(args).current_dir(desk.home.path()).env_clear().env("HOME", desk.home.path());
    command.env("STATE_DIRECTORY", state_directory(desk.home.path()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_mount_before_the_network_is_up_waits_and_tries_again() {
    let desk = Desk::new();
    // Somebody is there and nobody answers: a network that is not up yet.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = format!("[account.late]\nendpoint = 'http://{address}/late'\nkey = 'a2V5'\n");
    fs::write(desk.path("late.toml"), config).unwrap();
    fs::set_permissions(desk.path("late.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    let mut child = helper(&desk, &["late", "m", "-o", "_netdev,config=late.toml,log_file=log"]).spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    // Each try is a connection that ends with the question unanswered, until it says that it goes on.
    let refusing = std::thread::spawn(move || {
        let mut tries = 0;
        while let Ok((stream, _)) = listener.accept() {
            let mut first = [0];
            match (&stream).read(&mut first) {
                Ok(1) if first == *b"!" => return tries,
                _ => tries += 1,
            }
        }
        tries
    });
    let mut line = String::new();
    errors.read_line(&mut line).unwrap();
    assert!(line.contains("blobcp: mount: late: ") && line.ends_with("; trying again for 60 s\n"), "{line}");
    assert!(!desk.is_mounted());
    let account = AccountConfig { key: Some("a2V5".into()), ..AccountConfig::named("late") };
    let config = Config { listen: address, accounts: vec![account], ..Config::default() };
    // The port is given up.
    (&std::net::TcpStream::connect(address).unwrap()).write_all(b"!").unwrap();
    assert!(refusing.join().unwrap() >= 1);
    let mut store = None;
    eventually("a service at that port", || {
        store = desk._runtime.block_on(Devstore::start(config.clone())).ok();
        store.is_some()
    });
    let store = store.unwrap();
    store.create_container("late", "box").unwrap();
    let ended = finish(child);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(desk.m().join("box").is_dir());
    assert_eq!(desk.umount().status, 0);
}

#[rstest]
#[case::plain("network_wait=0s", 1, false)]
#[case::no_fail("nofail,network_wait=0s", 0, false)]
#[case::a_refusal_is_no_absence("nofail", 1, true)]
fn nofail_is_for_what_cannot_be_reached(#[case] options: &str, #[case] status: i32, #[case] there: bool) {
    let desk = Desk::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = if there { desk.store.endpoint(ONE) } else { format!("http://{closed}/{ONE}") };
    fs::write(desk.path("c.toml"), format!("[account.{ONE}]\nendpoint = '{endpoint}'\nkey = 'a2V5'\n")).unwrap();
    let options = format!("{options},config=c.toml,log_file=log");
    let ended = finish(helper(&desk, &[ONE, "m", "-o", &options]).spawn().unwrap());
    assert_eq!((ended.status, desk.is_mounted()), (status, false), "{ended:?}");
    let expected = if there { "does not accept the key" } else { "Connection refused" };
    assert!(ended.err.contains(expected), "{ended:?}");
    assert_eq!(ended.err.contains("not mounted; nofail says that this is no failure"), status == 0, "{ended:?}");
    desk.wait_for_no_process();
}
