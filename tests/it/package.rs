//! What a package has besides the program: pages of the manual, completion, the unit; and, with `--long`, the package itself, installed, used
//! and removed again in a Debian in which nothing else is.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use blobcp::devstore::{AccountConfig, Config, Devstore};
use blobcp::mount::{table, unmount};
use bytes::Bytes;

use crate::common::{eventually, runtime, state_directory};

const BLOBCP: &str = env!("CARGO_BIN_EXE_blobcp");
const UNIT: &str = include_str!("../../scripts/deploy/blobcp@.service");

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What `blobcp manual` writes, as below `/usr/share`.
fn manual() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(BLOBCP).arg("manual").arg(dir.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    dir
}

fn page(share: &Path, name: &str) -> String {
    let section = name.rsplit('.').next().unwrap();
    let path = share.join(format!("man/man{section}/{name}"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names in the list of commands of a help.
fn commands(help: &str) -> Vec<String> {
    let list = help.split("Commands:\n").nth(1).unwrap_or_default().split("\n\n").next().unwrap_or_default();
    let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

fn help(words: &[&str]) -> String {
    let output = Command::new(BLOBCP).args(words).arg("--help").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

#[test]
fn every_command_has_a_page_with_its_flags() {
    let dir = manual();
    let names = commands(&help(&[]));
    assert!(names.len() >= 12 && !names.contains(&"manual".to_owned()), "{names:?}");
    let top = page(dir.path(), "blobcp.1");
    for name in &names {
        assert!(top.contains(&format!("blobcp\\-{}(1)", name.replace('-', "\\-"))), "blobcp.1 does not name {name}");
        let (own, help) = (page(dir.path(), &format!("blobcp-{name}.1")), help(&[name]));
        for flag in help.split_whitespace().filter_map(|word| word.strip_prefix("--")) {
            let flag: String = flag.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
            assert!(own.contains(&flag.replace('-', "\\-")), "blobcp-{name}.1 does not name --{flag}");
        }
        for below in commands(&help) {
            page(dir.path(), &format!("blobcp-{name}-{below}.1"));
        }
    }
}

/// Keys that an account's table may have, as the reader of the file lists them when it finds another.
fn keys_of_an_account() -> Vec<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "[account.acct]\nnonsense = 1\n").unwrap();
    let place = tempfile::tempdir().unwrap();
    let mut mount = Command::new(BLOBCP);
    mount.args(["mount", "--config"]).args([file.path(), Path::new("acct"), place.path()]);
    let output = mount.output().unwrap();
    let complaint = text(&output.stderr);
    let (_, list) = complaint.split_once("expected one of ").unwrap_or_else(|| panic!("{complaint}"));
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_page_of_the_configuration_file_names_every_key() {
    let dir = manual();
    let page = page(dir.path(), "blobcp.toml.5");
    let keys = keys_of_an_account();
    assert!(keys.len() > 8, "{keys:?}");
    for key in keys {
        assert!(page.contains(&key), "blobcp.toml(5) does not name {key}");
    }
    for flag in help(&["mount"]).lines().filter_map(|line| line.trim().strip_prefix("--")) {
        let flag = flag.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap();
        // Of one mount, not of all.
        let is_setting = !["dev", "foreground", "config", "help", "list", "json"].contains(&flag);
        assert!(!is_setting || page.contains(&flag.replace('-', "\\-")), "blobcp.toml(5) does not name {flag}");
    }
}

/// What man finds wrong with a page.
fn complaints(page: &Path) -> String {
    let mut man = Command::new("man");
    man.args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"]).arg(page);
    let output = man.env("LC_ALL", "C.UTF-8").env("MANWIDTH", "80").env_remove("MANROFFSEQ").output().unwrap();
    assert!(output.status.success() && output.stdout.len() > 500, "{}: {output:?}", page.display());
    text(&output.stderr)
}

#[test]
fn man_finds_nothing_wrong_with_the_pages() {
    let dir = manual();
    let mut pages = 0;
    for section in ["man1", "man5", "man8"] {
        for entry in fs::read_dir(dir.path().join("man").join(section)).unwrap() {
            let path = entry.unwrap().path();
            // A page that names another is that one.
            if fs::read_to_string(&path).unwrap().starts_with(".so ") {
                continue;
            }
            assert_eq!(complaints(&path), "", "{}", path.display());
            pages += 1;
        }
    }
    assert!(pages >= 15, "{pages}");
    println!("{pages} pages, nothing to complain of");
    let broken = dir.path().join("broken.1");
    fs::write(&broken, page(dir.path(), "blobcp.1") + ".NONSENSE\n").unwrap();
    assert!(complaints(&broken).contains("NONSENSE"), "man says what is wrong");
}

/// Runs a program that finds blobcp in its PATH, and accounts in its configuration.
fn with_accounts(program: &str, args: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("blobcp")).unwrap();
    let config = home.path().join("blobcp/config.toml");
    let mounts = "[mount.both]\nsources = ['photos2026', 'backup']\n";
    fs::write(&config, format!("[account.photos2026]\nkey = 'a2V5'\n[account.backup]\nkey = 'a2V5'\n{mounts}"))
        .unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(home.path().join("phonebook")).unwrap();
    let mut path = Path::new(BLOBCP).parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    let mut command = Command::new(program);
    command.args(args).env("PATH", path).env("XDG_CONFIG_HOME", home.path()).env("HOME", home.path());
    let output = command.env_remove("BASH_ENV").current_dir(home.path()).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

/// What bash offers after `blobcp`, a command and the beginning of a word.
fn offered(script: &Path, words: &[&str]) -> Vec<String> {
    let (last, before) = (words[words.len() - 1], words[words.len() - 2]);
    let shell = format!(
        "source {}; COMP_WORDS=({}); COMP_CWORD={}; COMP_TYPE=9; _clap_complete_blobcp blobcp '{last}' '{before}'; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
        words.len() - 1,
    );
    with_accounts("bash", &["--norc", "-c", &shell]).lines().map(str::to_owned).collect()
}

#[test]
fn shells_complete_commands_flags_and_the_names_of_the_configuration() {
    let dir = manual();
    let bash = dir.path().join("bash-completion/completions/blobcp");
    assert_eq!(offered(&bash, &["blobcp", "undel"]), ["undelete"]);
    assert_eq!(offered(&bash, &["blobcp", "mount", "--attr"]), ["--attr-ttl"]);
    assert_eq!(offered(&bash, &["blobcp", "mount", "ph"]), ["photos2026", "phonebook/"]);
    assert_eq!(offered(&bash, &["blobcp", "mount", "--attr-ttl", "5s", "photos2026", "back"]), ["backup"]);
    assert_eq!(offered(&bash, &["blobcp", "mount", "b"]), ["backup", "both", "blobcp/"]);
    assert_eq!(offered(&bash, &["blobcp", "mount", "photos2026,b"]), ["photos2026,backup"]);
    assert_eq!(offered(&bash, &["blobcp", "mount", "backup,"]), ["backup,photos2026"]);
    assert_eq!(offered(&bash, &["blobcp", "config", "check", "bo"]), ["both"]);
    assert_eq!(offered(&bash, &["blobcp", "verify-account", "--from", "b"]), ["backup"]);
    assert_eq!(offered(&bash, &["blobcp", "status", "ph"]), ["phonebook/"]);
    // Of another file.
    let other = dir.path().join("other.toml");
    fs::write(&other, "[account.phoenix]\nkey = 'a2V5'\n").unwrap();
    let config = format!("--config={}", other.display());
    assert_eq!(offered(&bash, &["blobcp", "mount", &config, "pho"]), ["phoenix", "phonebook/"]);
    // What is in the file is not said when it is wrong, and nothing is offered.
    fs::write(&other, "key = 'secret'\n").unwrap();
    assert_eq!(offered(&bash, &["blobcp", "mount", &config, "pho"]), ["phonebook/"]);

    let script = dir.path().join("fish/vendor_completions.d/blobcp.fish");
    let shell = format!("source {}; complete -C 'blobcp mount ph'", script.display());
    assert_eq!(with_accounts("fish", &["--no-config", "-c", &shell]), "photos2026\nphonebook/\n");

    let script = dir.path().join("zsh/vendor-completions/_blobcp");
    let shell = format!(
        "compdef() {{ :; }}; _describe() {{ shift; [[ $1 == -V ]] && shift; print -l \"$1:${{(P)1}}\" ${{(P)2}}; }}; \
         words=(blobcp mount ph); CURRENT=3; source {}; _clap_dynamic_completer_blobcp",
        script.display()
    );
    let said = with_accounts("zsh", &["-f", "-c", &shell]);
    assert!(said.contains("photos2026") && said.contains("phonebook"), "{said}");
    assert!(text(&fs::read(&script).unwrap()).starts_with("#compdef blobcp\n"));
}

#[test]
fn a_shell_that_nobody_knows_is_a_mistake() {
    let output = Command::new(BLOBCP).env("BLOBCP_COMPLETE", "tcsh").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).starts_with("blobcp: BLOBCP_COMPLETE: unknown shell `tcsh`"), "{output:?}");
}

/// Options of a unit that give its processes a view of the file system of their own, see systemd.exec(5).
const UNSHARING: [&str; 31] = [
    "BindPaths",
    "BindReadOnlyPaths",
    "CacheDirectory",
    "DynamicUser",
    "ExecPaths",
    "ExtensionImages",
    "ImportCredential",
    "InaccessiblePaths",
    "LoadCredential",
    "LogsDirectory",
    "MountAPIVFS",
    "MountFlags",
    "MountImages",
    "NetworkNamespacePath",
    "NoExecPaths",
    "PrivateDevices",
    "PrivateIPC",
    "PrivateMounts",
    "PrivateNetwork",
    "PrivateTmp",
    "PrivateUsers",
    "ProtectClock",
    "ProtectControlGroups",
    "ProtectHome",
    "ProtectKernel",
    "ProtectProc",
    "ProtectSystem",
    "ReadOnlyPaths",
    "ReadWritePaths",
    "RootDirectory",
    "TemporaryFileSystem",
];

#[test]
fn the_unit_is_in_order_and_hides_no_mount() {
    let options: Vec<&str> = UNIT.lines().filter(|line| !line.starts_with('#')).collect();
    for option in &options {
        let name = option.split('=').next().unwrap();
        assert!(
            !UNSHARING.iter().any(|unsharing| name.starts_with(unsharing)),
            "{option}: the mount would be invisible"
        );
    }
    assert!(
        options.contains(&"Type=notify") && options.contains(&"ExecReload=/bin/sh -c \"kill -HUP $MAINPID\""),
        "{UNIT}"
    );
    // What a mistake in the command line or in a name ends with, and what is tried again a bounded number of times.
    let mistake =
        Command::new(BLOBCP).args(["mount", "--foreground", "--config", "/dev/null", "photos"]).output().unwrap();
    assert_eq!(mistake.status.code(), Some(2), "{mistake:?}");
    for option in
        ["Restart=on-failure", "RestartPreventExitStatus=2", "StartLimitIntervalSec=1h", "StartLimitBurst=100"]
    {
        assert!(options.contains(&option), "{option} is missing");
    }
    let dir = tempfile::tempdir().unwrap();
    let verified = |unit: &str| {
        // The program is where the package would have it.
        fs::write(dir.path().join("blobcp@.service"), unit.replace("/usr/bin/blobcp", BLOBCP)).unwrap();
        let instance = dir.path().join("blobcp@photos.service");
        fs::write(&instance, fs::read(dir.path().join("blobcp@.service")).unwrap()).unwrap();
        let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&instance).output().unwrap();
        // Of units of the machine it may have something to say as well.
        let about = text(&output.stderr);
        about.lines().filter(|line| line.contains("blobcp")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(verified(UNIT), [""; 0]);
    assert_ne!(verified(&UNIT.replace("Type=notify", "Typ=notify")), [""; 0], "systemd-analyze says what is wrong");
}

/// Not everybody's PATH has it; scripts/test installs it.
const LOGROTATE: &str = "/usr/sbin/logrotate";

#[test]
fn logrotate_understands_its_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let complaints = |text: &str| {
        let (file, state) = (dir.path().join("blobcp"), dir.path().join("state"));
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        // It says what it would do, and does nothing.
        let output = Command::new(LOGROTATE).args(["--debug", "--state"]).args([state, file]).output().unwrap();
        let said = text_of(&output);
        assert!(said.contains("/var/log/blobcp/*.log") || !output.status.success(), "{said}");
        said.lines().filter(|line| line.contains("error: ") && !line.contains("state file")).count()
    };
    let own = fs::read_to_string(repository().join("scripts/deploy/logrotate")).unwrap();
    assert_eq!(complaints(&own), 0);
    assert_ne!(complaints(&own.replace("weekly", "wekly")), 0, "logrotate says what is wrong");
}

fn text_of(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

/// The next message to a service manager.
fn heard(manager: &UnixDatagram) -> String {
    let mut message = [0; 1024];
    let length = manager.recv(&mut message).unwrap();
    text(&message[..length])
}

#[test]
fn a_service_manager_hears_when_the_mount_works_and_when_it_ends() {
    let runtime = runtime();
    let store =
        runtime.block_on(Devstore::start(Config { accounts: vec![AccountConfig::named("one")], ..Config::default() }));
    let store = store.unwrap();
    store.put_blob("one", "box", "a", Bytes::from_static(b"text"), "text/plain").unwrap();
    let home = tempfile::tempdir().unwrap();
    let (socket, place) = (home.path().join("notify"), home.path().join("m"));
    fs::create_dir(&place).unwrap();
    let manager = UnixDatagram::bind(&socket).unwrap();
    let mut command = Command::new(BLOBCP);
    command.args(["mount", "--foreground", "one"]).arg(&place).env_clear().env("HOME", home.path());
    command
        .env("NOTIFY_SOCKET", &socket)
        .env("STATE_DIRECTORY", state_directory(home.path()))
        .env("AZURE_STORAGE_CONNECTION_STRING", store.connection_string("one").unwrap());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
    let ready = heard(&manager);
    let works = fs::read_to_string(place.join("box/a"));
    // SAFETY: kill(2) takes numbers only.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    let stopping = heard(&manager);
    eventually("the end of the mount", || child.try_wait().unwrap().is_some());
    if table::read().unwrap().at(&place).is_some() {
        let _ = unmount::lazily(&place);
    }
    assert_eq!(ready, format!("READY=1\nSTATUS=one is mounted on {}\n", place.display()));
    assert_eq!(works.unwrap(), "text", "it worked as soon as that was said");
    assert!(stopping.starts_with("STOPPING=1\n"), "{stopping}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A Debian in a directory, like this one: the smallest there is. Made once, kept in `target/chroot`.
fn clean_debian() -> tempfile::TempDir {
    let release = fs::read_to_string("/etc/os-release").unwrap();
    let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).expect("a Debian with a name");
    let cache = repository().join("target/chroot").join(format!("{suite}.tar"));
    if !cache.exists() {
        fs::create_dir_all(cache.parent().unwrap()).unwrap();
        let new = cache.with_extension("new.tar");
        done(Command::new("mmdebstrap").args(["--variant=minbase", suite]).arg(&new));
        fs::rename(&new, &cache).unwrap();
    }
    let dir = tempfile::Builder::new().prefix("blobcp-debian-").tempdir().unwrap();
    done(Command::new("tar").arg("-xf").arg(&cache).arg("-C").arg(dir.path()));
    for file in ["etc/resolv.conf", "etc/hosts"] {
        let _ = fs::copy(Path::new("/").join(file), dir.path().join(file));
    }
    dir
}

/// Runs a command that must succeed.
fn done(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", text(&output.stdout), text(&output.stderr));
    output
}

/// The package of the program that is tested, and its directory.
fn package() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let mut script = Command::new(repository().join("scripts/package"));
    let output = done(script.args(["--bin", BLOBCP]).env("CARGO_TARGET_DIR", dir.path()));
    println!("{}", text(&output.stdout));
    done(Command::new("sha256sum").args(["--check", "SHA256SUMS"]).current_dir(dir.path().join("package")));
    let deb = made(dir.path(), "deb");
    (dir, deb)
}

/// The package of that kind in the directory that was packed into.
fn made(dir: &Path, kind: &str) -> PathBuf {
    let mut files = fs::read_dir(dir.join("package")).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|end| end == kind)).unwrap()
}

/// Files and links in a list as `ls -l` shows them: modes by paths, and where links lead. All are root's.
fn listed(list: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in list.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| word.starts_with("./") || word.starts_with('/')).unwrap();
        let path = words[at].trim_start_matches('.').to_owned();
        assert!(line.contains("root/root") || words[2..4] == ["root", "root"], "{line}");
        let mode = words[0].to_owned();
        assert!(
            mode.starts_with('l') || [5, 8].iter().all(|at| &mode[*at..=*at] == "-"),
            "{line}: others may write it"
        );
        assert!(!mode.contains(['s', 'S']), "{line}");
        if !mode.starts_with('d') {
            found.insert(path, mode + &words[at + 1..].concat());
        }
    }
    found
}

#[test]
#[ignore = "makes packages, which takes half a minute"]
fn packages_hold_the_same_files_and_none_but_the_rpm_a_configuration() {
    let (dir, deb) = package();
    let (rpm, tar) = (made(dir.path(), "rpm"), made(dir.path(), "gz"));
    let said = |command: &str, file: &Path| {
        text(&done(Command::new("sh").args(["-c", &format!("{command} \"$1\""), "sh"]).arg(file)).stdout)
    };
    let of_deb = listed(&said("dpkg-deb --contents", &deb));
    let of_tar = listed(&said("tar --list --verbose --gzip --file", &tar));
    let of_rpm = listed(&said("rpm -qplv", &rpm));
    for (path, mode) in [
        ("/usr/bin/blobcp", "-rwxr-xr-x"),
        ("/usr/sbin/mount.blobcp", "lrwxrwxrwx->../bin/blobcp"),
        ("/usr/sbin/umount.fuse.blobcp", "lrwxrwxrwx->../bin/blobcp"),
        ("/usr/lib/systemd/system/blobcp@.service", "-rw-r--r--"),
        ("/etc/logrotate.d/blobcp", "-rw-r--r--"),
        ("/usr/share/blobcp/config.toml", "-rw-r--r--"),
        ("/usr/share/man/man1/blobcp.1.gz", "-rw-r--r--"),
        ("/usr/share/bash-completion/completions/blobcp", "-rw-r--r--"),
    ] {
        for list in [&of_deb, &of_tar, &of_rpm] {
            assert_eq!(list.get(path).map(String::as_str), Some(mode), "{path}");
        }
    }
    assert_eq!(of_deb, of_tar);
    // What an upgrade must not replace is no file of the others: postinst puts it there, or `config init`.
    let mut expected = of_deb;
    expected.insert("/etc/blobcp/config.toml".into(), "-rw-------".into());
    let zsh = expected.remove("/usr/share/zsh/vendor-completions/_blobcp").unwrap();
    expected.insert("/usr/share/zsh/site-functions/_blobcp".into(), zsh);
    assert_eq!(of_rpm, expected);
    assert_eq!(said("rpm -qp --configfiles", &rpm), "/etc/blobcp/config.toml\n/etc/logrotate.d/blobcp\n");
    let conffiles = Command::new("dpkg-deb").arg("--info").arg(&deb).arg("conffiles").output().unwrap();
    assert_eq!(text(&conffiles.stdout), "/etc/logrotate.d/blobcp\n");
    assert!(said("rpm -qp --scripts", &rpm).contains("/usr/bin/blobcp umount --all"));
    // The image is made of what is packed.
    let image = fs::read_to_string(repository().join("scripts/deploy/Containerfile")).unwrap();
    let name = deb.file_name().unwrap().to_str().unwrap();
    assert!(image.contains("COPY blobcp_*.deb /tmp/") && name.starts_with("blobcp_"), "{name}");
}

/// What is typed in the clean Debian. `$ONE` and `$TWO` are endpoints, in `/root/one.key` and `/root/two.key` are keys.
const SESSION: &str = r#"
set -eu
mount -t proc proc /proc
mknod -m 666 /dev/fuse c 10 229 2>/dev/null || chmod 666 /dev/fuse
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
ours() { find / -xdev \( -path /proc -o -path /sys -o -path /root -o -path /mnt -o -path /tmp \) -prune -o -name '*blobcp*' -print; }
[ -z "$(ours)" ]

echo '== install'
apt-get -qq update
apt-get -qq install -y --no-install-recommends /tmp/blobcp.deb attr >/tmp/apt.log 2>&1 || { cat /tmp/apt.log; exit 1; }
dpkg-query --show --showformat '${Package} ${db:Status-Status}\n' blobcp fuse3 ca-certificates
stat --format '%a %U %n' /etc/blobcp/config.toml
blobcp --version
test -L /usr/sbin/mount.blobcp -a -L /usr/sbin/umount.fuse.blobcp

echo '== configure'
mkdir /mnt/both
blobcp config init one --endpoint "$ONE" --key @/root/one.key
blobcp config init one --endpoint "$ONE" --key @/root/one.key --force
blobcp config init two --endpoint "$TWO" --key @/root/two.key --mount both --source one --source two --mountpoint /mnt/both
echo 'one,two /mnt/both blobcp _netdev 0 0' >>/etc/fstab
mount -a
stat --format '%a %U %n' /etc/blobcp/config.toml
ls /etc/blobcp

echo '== copy'
grep -c fuse.blobcp /proc/self/mounts
cp /mnt/both/one/box/hello.txt /mnt/both/two/backup/copied.txt
getfattr --absolute-names --only-values -n user.blob.copy.status /mnt/both/two/backup/copied.txt; echo
umount /mnt/both

echo '== unit'
unit=/usr/lib/systemd/system/blobcp@.service
start=$(sed -n 's/^ExecStart=//p' $unit | sed "s,%i,both,")
# As a unit has it: without a home.
coproc env -u HOME NOTIFY_SOCKET=/run/notify $start
MAINPID=$COPROC_PID
read -r line <&"${COPROC[0]}"
echo "$line"
cp /mnt/both/one/box/hello.txt /mnt/both/two/backup/again.txt
eval "$(sed -n 's/^ExecReload=//p' $unit)"
getfattr --absolute-names --only-values -n user.blob.copy.status /mnt/both/two/backup/again.txt; echo
kill $MAINPID
wait $MAINPID && echo 'ended with 0'
! grep fuse.blobcp /proc/self/mounts

echo '== upgrade'
mount -a >>/tmp/apt.log
sum=$(sha256sum /etc/blobcp/config.toml)
# Nobody is there to be asked.
dpkg --install /tmp/blobcp.deb >>/tmp/apt.log 2>&1 </dev/null
[ "$sum" = "$(sha256sum /etc/blobcp/config.toml)" ] && echo 'the configuration is as it was'
stat --format %s /mnt/both/one/box/hello.txt

echo '== busy'
exec 8</mnt/both/one/box/hello.txt
apt-get -qq remove -y blobcp >/tmp/refused.log 2>&1 || echo 'not removed'
grep -o '/mnt/both: in use by bash' /tmp/refused.log
dpkg-query --show --showformat '${db:Status-Status}\n' blobcp
exec 8<&-

echo '== remove'
apt-get -qq remove -y blobcp >>/tmp/apt.log 2>&1
! grep fuse.blobcp /proc/self/mounts
# The configuration is kept, what was logged, and what was under way.
ours | grep -v '^/var/lib/dpkg/' | sort
ls -A /var/lib/blobcp
echo mine >/etc/blobcp/notes
apt-get -qq purge -y blobcp >/tmp/purge.log 2>&1
grep -o 'Removing /etc/blobcp.*' /tmp/purge.log
grep -o 'Not removed, as it is not of blobcp: .*' /tmp/purge.log
echo '== purge'
rm -r /etc/blobcp
ours
grep -rlF -f /root/one.key /etc /var /run /usr 2>/dev/null || true
"#;

#[test]
#[ignore = "installs a Debian, which takes a minute or two the first time, and asks Debian's servers"]
fn installed_used_and_removed_in_a_clean_debian() {
    let runtime = runtime();
    let accounts = ["one", "two"].map(AccountConfig::named).to_vec();
    let store = runtime.block_on(Devstore::start(Config { accounts, ..Config::default() })).unwrap();
    store.put_blob("one", "box", "hello.txt", Bytes::from_static(b"hello"), "text/plain").unwrap();
    store.create_container("two", "backup").unwrap();
    store.reset_stats();
    let debian = clean_debian();
    let (_made, deb) = package();
    fs::copy(&deb, debian.path().join("tmp/blobcp.deb")).unwrap();
    fs::set_permissions(debian.path().join("tmp/blobcp.deb"), fs::Permissions::from_mode(0o644)).unwrap();
    for account in ["one", "two"] {
        let key = debian.path().join(format!("root/{account}.key"));
        fs::write(&key, store.account_key(account).unwrap()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let manager = UnixDatagram::bind(debian.path().join("run/notify")).unwrap();
    manager.set_nonblocking(true).unwrap();

    // Its own mounts and processes, all of which end with the first of them, however that ends.
    let mut session = Command::new("unshare");
    session.args(["--mount", "--pid", "--fork", "--kill-child", "chroot"]).arg(debian.path());
    session.args(["/bin/bash", "-c", SESSION]).env_clear().current_dir("/");
    session.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root");
    session.env("ONE", store.endpoint("one")).env("TWO", store.endpoint("two"));
    let mut child = session.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let lines: Vec<String> = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    let shown = lines.join("\n");
    println!("{shown}");
    assert!(child.wait().unwrap().success(), "{shown}");

    let step = |name: &str| -> Vec<&str> {
        let all = lines.iter().map(String::as_str);
        all.skip_while(|line| *line != format!("== {name}"))
            .skip(1)
            .take_while(|line| !line.starts_with("== "))
            .collect()
    };
    let installed = step("install");
    let states: Vec<&str> = installed.iter().copied().filter(|line| line.ends_with(" installed")).collect();
    assert_eq!(states, ["blobcp installed", "ca-certificates installed", "fuse3 installed"]);
    for when in ["install", "configure"] {
        assert!(step(when).contains(&"600 root /etc/blobcp/config.toml"), "{shown}");
    }
    assert_eq!(step("copy"), ["1", "success"]);
    assert_eq!(&store.content("two", "backup", "copied.txt").unwrap()[..], b"hello");
    let unit = step("unit");
    assert!(unit[0].ends_with("is mounted on /mnt/both"), "{shown}");
    assert_eq!(unit[1..], ["success", "ended with 0"]);
    assert_eq!(&store.content("two", "backup", "again.txt").unwrap()[..], b"hello");
    assert!(heard(&manager).starts_with("READY=1\nSTATUS="), "the unit is ready when it says so");
    assert!(heard(&manager).starts_with("STOPPING=1\n"));
    assert!(step("configure").contains(&"config.toml.old"), "{shown}");
    assert_eq!(step("upgrade"), ["the configuration is as it was", "5"]);
    assert_eq!(step("busy"), ["not removed", "/mnt/both: in use by bash", "installed"]);
    let kept = step("remove");
    let of_package = kept.iter().filter(|path| path.starts_with("/usr/") || path.starts_with("/run/"));
    assert_eq!(of_package.count(), 0, "{kept:?}");
    assert!(["/etc/blobcp", "/var/lib/blobcp", "journal"].iter().all(|path| kept.contains(path)), "{kept:?}");
    for named in ["config.toml with the accounts in it", "config.toml.old with the accounts in it"] {
        assert!(kept.contains(&format!("Removing /etc/blobcp/{named}").as_str()), "{kept:?}");
    }
    assert!(kept.contains(&"Not removed, as it is not of blobcp: /etc/blobcp/notes "), "{kept:?}");
    assert_eq!(step("purge"), [""; 0], "nothing is left");
    let stats = store.stats();
    let moved = (stats.body_bytes_in, stats.body_bytes_out);
    println!(
        "the service counted {:?} Copy Blob, and as content in and out {moved:?} bytes",
        stats.requests.get("CopyBlob")
    );
    assert_eq!(moved, (0, 0));
    assert_eq!(stats.requests.get("CopyBlob"), Some(&2));
}
