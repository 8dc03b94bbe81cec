//! Everybody and everything: four users, each call, each ioctl, attributes, hidden directories, links, a sticky directory; one table says how
//! each ends. Then a mount that is not root's.

use std::process::Command;

use blobcp::store::Revision;

use super::*;

/// Calls, and how they end for root, the owner, somebody in a group of the owner's, and somebody else. `open` is the owner's directory, which
/// everybody may enter, with `f` (0640) and root's `h` in it; `shut` is his own, with `in` (0666); `sticky` is root's, with `own` (0666) of the owner's. `me`
/// is another name for each user, `at` and `within` are the moments of snapshots of `open/f` and `shut/in`.
const TABLE: &[(&str, [&str; 4])] = &[
    // Looking
    ("os.stat('open/f')", ["-", "-", "-", "-"]),
    ("os.stat('shut/in')", ["-", "-", "EACCES", "EACCES"]),
    ("os.listdir('open')", ["-", "-", "-", "-"]),
    ("os.listdir('shut')", ["-", "-", "EACCES", "EACCES"]),
    ("os.statvfs('open')", ["-", "-", "-", "-"]),
    ("os.readlink('link')", ["-", "-", "-", "-"]),
    ("opened('open/f', os.O_RDONLY)", ["-", "-", "-", "EACCES"]),
    ("opened('link', os.O_RDONLY)", ["-", "-", "-", "EACCES"]),
    ("opened('shut/in', os.O_RDONLY)", ["-", "-", "EACCES", "EACCES"]),
    // Changing
    ("opened('open/f', os.O_WRONLY)", ["-", "-", "EACCES", "EACCES"]),
    ("opened('link', os.O_WRONLY)", ["-", "-", "EACCES", "EACCES"]),
    ("opened('sticky/own', os.O_RDWR)", ["-", "-", "-", "-"]),
    ("os.truncate('open/f', 4)", ["-", "-", "EACCES", "EACCES"]),
    ("allocated('open/f', os.O_RDWR)", ["-", "-", "EACCES", "EACCES"]),
    ("allocated('sticky/own', os.O_RDWR)", ["-", "-", "-", "-"]),
    ("allocated('sticky/guarded', os.O_RDONLY)", ["EBADF", "EBADF", "EBADF", "EBADF"]),
    ("os.chmod('open/f', 0o640)", ["-", "-", "EPERM", "EPERM"]),
    ("os.chown('open/f', 10001, 10050)", ["-", "-", "EPERM", "EPERM"]),
    ("os.chown('sticky/own', os.getuid(), -1)", ["-", "-", "EPERM", "EPERM"]),
    ("os.utime('open/f', (5, 5))", ["-", "-", "EPERM", "EPERM"]),
    ("os.utime('sticky/own', (5, 5))", ["-", "-", "EPERM", "EPERM"]),
    // Names
    ("made_and_removed('open/new')", ["-", "-", "EACCES", "EACCES"]),
    ("made_and_removed('sticky/' + me)", ["-", "-", "-", "-"]),
    ("os.mkdir('open/' + me)", ["-", "-", "EACCES", "EACCES"]),
    ("os.rmdir('open/' + me)", ["-", "-", "ENOENT", "ENOENT"]),
    ("os.symlink('f', 'open/' + me)", ["-", "-", "EACCES", "EACCES"]),
    ("os.mkfifo('sticky/fifo' + me)", ["-", "-", "-", "-"]),
    ("os.mknod('sticky/dev' + me, 0o600 | stat.S_IFCHR, 259)", ["-", "EPERM", "EPERM", "EPERM"]),
    ("os.link('sticky/own', 'sticky/hard' + me)", ["EPERM", "EPERM", "EPERM", "EPERM"]),
    ("os.rename('open/f', 'open/f')", ["-", "-", "-", "-"]),
    ("there_and_back('open/h', 'open/g')", ["-", "-", "EACCES", "EACCES"]),
    ("there_and_back('sticky/kept', 'sticky/moved')", ["-", "-", "EPERM", "EPERM"]),
    ("os.unlink('open/none')", ["ENOENT", "ENOENT", "ENOENT", "ENOENT"]),
    ("os.rmdir('shut')", ["ENOTEMPTY", "EACCES", "EACCES", "EACCES"]),
    // Attributes
    ("os.getxattr('open/f', 'user.blob.etag')", ["-", "-", "-", "EACCES"]),
    ("os.listxattr('shut/in')", ["-", "-", "EACCES", "EACCES"]),
    ("os.setxattr('open/f', 'user.blob.meta.color', b'x')", ["-", "-", "EACCES", "EACCES"]),
    ("os.removexattr('open/f', 'user.blob.meta.color')", ["-", "-", "EACCES", "EACCES"]),
    ("os.setxattr('sticky/kept', 'user.blob.meta.color', me.encode())", ["-", "-", "-", "-"]),
    ("os.setxattr('sticky/kept', 'user.blob.meta.permissions', b'0' + me.encode())", ["-", "-", "EPERM", "EPERM"]),
    ("os.setxattr('sticky/kept', 'user.blob.meta.owner', b'7')", ["-", "EPERM", "EPERM", "EPERM"]),
    ("os.setxattr('open/f', 'user.blob.copy.status', b'abort')", ["ENODATA", "ENODATA", "EACCES", "EACCES"]),
    ("os.setxattr('open/f', 'user.blob.etag', b'x')", ["-", "-", "EACCES", "EACCES"]),
    ("os.setxattr('sticky/kept', 'user.blob.tag.color', me.encode())", ["-", "-", "-", "-"]),
    ("os.removexattr('sticky/kept', 'user.blob.tag.color')", ["-", "-", "-", "-"]),
    ("os.setxattr('sticky/kept', 'user.blob.tier', b'Cool')", ["-", "-", "EPERM", "EPERM"]),
    ("os.setxattr('sticky/kept', 'user.blob.rehydrate_priority', b'High')", ["EINVAL", "EINVAL", "EPERM", "EPERM"]),
    (
        "os.setxattr('sticky/kept', 'user.blob.immutability_until', b'2040-01-01T00:00:00Z')",
        ["ENOTSUP", "EPERM", "EPERM", "EPERM"],
    ),
    ("os.setxattr('sticky/kept', 'user.blob.immutability_mode', b'locked')", ["EINVAL", "EPERM", "EPERM", "EPERM"]),
    ("os.setxattr('sticky/kept', 'user.blob.legal_hold', b'true')", ["ENOTSUP", "EPERM", "EPERM", "EPERM"]),
    ("os.removexattr('sticky/kept', 'user.blob.legal_hold')", ["ENOTSUP", "EPERM", "EPERM", "EPERM"]),
    // Ioctls
    ("ioctl.status('open/f')", ["ENODATA", "ENODATA", "ENODATA", "EACCES"]),
    ("ioctl.lease('open/f')", ["-", "-", "-", "EACCES"]),
    ("ioctl.lease('open/f', 'break')", ["ENODATA", "ENODATA", "EACCES", "EACCES"]),
    ("ioctl.abort('open/f')", ["ENODATA", "ENODATA", "EACCES", "EACCES"]),
    ("ioctl.snapshot('open/f')", ["-", "-", "EACCES", "EACCES"]),
    ("list(ioctl.copies('open'))", ["-", "-", "-", "-"]),
    ("list(ioctl.copies('shut'))", ["-", "-", "EACCES", "EACCES"]),
    ("list(ioctl.leftovers('open'))", ["-", "-", "-", "-"]),
    ("list(ioctl.leftovers('shut'))", ["-", "-", "EACCES", "EACCES"]),
    ("list(ioctl.leftovers('shut', ioctl.CLEAN))", ["-", "-", "EACCES", "EACCES"]),
    ("ioctl.copy(HERE + 'open/f', 'open', 'copy', 0)", ["-", "-", "EACCES", "EACCES"]),
    ("ioctl.copy(HERE + 'open/f', 'sticky', 'c' + me, 0)", ["-", "-", "-", "EACCES"]),
    ("ioctl.copy(HERE + 'shut/in', 'sticky', 'i' + me, 0)", ["-", "-", "EACCES", "EACCES"]),
    ("ioctl.copy(HERE + 'readable', 'sticky', 'own', 0)", ["-", "-", "-", "-"]),
    ("ioctl.copy(HERE + 'readable', 'sticky', 'guarded', 0)", ["-", "-", "EACCES", "EACCES"]),
    ("ioctl.copy(HERE + 'readable', 'sticky', 'own', 0, 'Cool')", ["-", "-", "EPERM", "EPERM"]),
    ("ioctl.copy(HERE + 'readable', 'sticky', 'z' + me, 0, 'Cool')", ["-", "-", "-", "-"]),
    ("ioctl.copy(URL + 'open/f', 'sticky', 'u' + me, 0)", ["-", "-", "-", "EACCES"]),
    ("ioctl.copy(URL + 'shut/in', 'sticky', 'v' + me, 0)", ["-", "-", "EACCES", "EACCES"]),
    ("tree(HERE + 'open', 't' + me)", ["-", "-", "-", "EACCES"]),
    ("tree(HERE + 'shut', 's' + me)", ["-", "-", "EACCES", "EACCES"]),
    // What was
    ("opened('open/.snapshots/f/' + at, os.O_RDONLY)", ["-", "-", "-", "EACCES"]),
    ("opened('open/.snapshots/f/' + at, os.O_WRONLY)", ["EROFS", "EROFS", "EACCES", "EACCES"]),
    ("os.listdir('shut/.snapshots')", ["-", "-", "EACCES", "EACCES"]),
    ("ioctl.copy(HERE + 'open/.snapshots/f/' + at, 'sticky', 'p' + me, 0)", ["-", "-", "-", "EACCES"]),
    ("ioctl.copy(HERE + 'shut/.snapshots/in/' + within, 'sticky', 'q' + me, 0)", ["-", "-", "EACCES", "EACCES"]),
    ("ioctl.copy(URL + 'open/f?snapshot=' + at, 'sticky', 'r' + me, 0)", ["-", "-", "-", "EACCES"]),
    ("ioctl.copy(URL + 'shut/in?snapshot=' + within, 'sticky', 'w' + me, 0)", ["-", "-", "EACCES", "EACCES"]),
    ("os.unlink('open/.snapshots/f/' + at)", ["-", "EACCES", "EACCES", "EACCES"]),
];

/// What the table's calls are made of.
const HELPERS: &str = "import stat
def opened(path, flags):
    os.close(os.open(path, flags))
def allocated(path, flags):
    file = os.open(path, flags)
    try:
        os.posix_fallocate(file, 0, 4)
    finally:
        os.close(file)
def made_and_removed(path):
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    os.unlink(path)
def there_and_back(here, there):
    os.rename(here, there)
    os.rename(there, here)
def tree(source, name):
    for record in ioctl.tree(source, 'sticky', name):
        if record[3]:
            raise OSError(record[3], record[7])
";

#[test]
fn each_call_ends_for_each_user_as_the_table_says() {
    let world = open_to_all();
    world.ok("mkdir -m 755 open; mkdir -m 700 shut; mkdir -m 1777 sticky; echo text > readable; echo text > open/h; ln -s open/f link
        for f in open/f shut/in sticky/own sticky/kept sticky/guarded; do echo text > $f; chown 10001:10050 $f; done
        chmod 640 open/f; chmod 666 shut/in sticky/own sticky/kept; chmod 644 sticky/guarded
        chown 10001:10050 open shut");
    let snapshot = |name: &str| {
        let taken = world.block_on(world.client(ONE).blob(&path(name)).create_snapshot()).unwrap();
        taken.moment().to_string()
    };
    let (at, within) = (snapshot("open/f"), snapshot("shut/in"));
    let url = format!("{}/{BOX}/", world.store.endpoint(ONE));
    let calls: String = TABLE.iter().map(|(call, _)| format!("print(errno_of(lambda: {call}))\n")).collect();
    // What root and the owner change, the others find changed: those who may least come first.
    for (number, user) in [ROOT, OWNER, FRIEND, STRANGER].into_iter().enumerate().rev() {
        let me = 640 + number;
        let known = format!("HERE, URL, me, at, within = '/one/box/', '{url}', '{me}', '{at}', '{within}'");
        // Root is last, and may find that the owner was faster.
        let said = as_user(&world, user, &format!("{HELPERS}\n{known}\n{calls}"));
        let wrong: Vec<_> = TABLE
            .iter()
            .zip(said.lines())
            .filter(|((_, expected), found)| expected[number] != *found)
            .map(|((call, expected), found)| format!("{call}: {found}, expected {}", expected[number]))
            .collect();
        assert_eq!((said.lines().count(), wrong), (TABLE.len(), Vec::new()), "{user:?}");
    }
    let left = world.client(ONE);
    let (name, moment) = (path("open/f"), at.as_str());
    let revision = Revision::Snapshot(blobcp::store::Moment::parse(moment).unwrap());
    let left = world.block_on(left.blob(&name).at(Some(&revision)).properties());
    assert!(left.is_err(), "the last row did what it says");
}

#[test]
fn a_mount_that_is_made_read_only_later_lets_no_ioctl_write() {
    let world = open_to_all();
    world.ok("echo text > a; mkdir d; echo more > d/b");
    let remount = |flags| {
        let point = std::ffi::CString::new(world.root().to_str().unwrap()).unwrap();
        // SAFETY: strings that live as long as the call, and no data.
        let done = unsafe {
            libc::mount(c"none".as_ptr(), point.as_ptr(), c"".as_ptr(), libc::MS_REMOUNT | flags, std::ptr::null())
        };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    };
    let calls = [
        "ioctl.copy('/one/box/a', '.', 'c', 0)",
        "list(ioctl.tree('/one/box/d', '.', 'e'))",
        "ioctl.snapshot('a')",
        "ioctl.abort('a')",
        "ioctl.lease('a', 'break')",
    ];
    let calls: String = calls.iter().map(|call| format!("print(errno_of(lambda: {call}))\n")).collect();
    remount(libc::MS_RDONLY);
    world.reset_stats();
    assert_eq!(as_user(&world, ROOT, &calls), "EROFS\n".repeat(5));
    assert_eq!(as_user(&world, ROOT, "print(errno_of(ioctl.status, 'a'), ioctl.lease('a')[0])"), "ENODATA available\n");
    let stats = world.stats();
    assert_eq!((stats.requests("CopyBlob"), stats.requests("SnapshotBlob"), stats.requests("LeaseBlob")), (0, 0, 0));
    remount(0);
    assert_eq!(as_user(&world, ROOT, &calls), "-\n-\n-\nENODATA\nENODATA\n");
    assert_eq!((world.stored("c"), world.stored("e/b")), ("text\n".into(), "more\n".into()));
}

/// Changes that ioctls make in the current directory, which has `a` and `d/b`, and what must not come of them.
const CHANGES: [&str; 6] = [
    "ioctl.copy('/one/box/a', '.', 'c', 0)",
    "list(ioctl.tree('/one/box/d', '.', 'e'))",
    "ioctl.snapshot('a')",
    "ioctl.abort('a')",
    "ioctl.lease('a', 'break')",
    "list(ioctl.leftovers('.', ioctl.CLEAN))",
];

#[test]
fn a_read_only_bind_mount_lets_no_ioctl_write_and_binds_no_other() {
    let world = open_to_all();
    world.ok("echo text > a; mkdir d; echo more > d/b; chmod 777 .");
    let calls: String = CHANGES.iter().map(|call| format!("print(errno_of(lambda: {call}))\n")).collect();
    // As a container is given a directory: in a namespace of its own. `mount` without helpers, which would call a blobcp
    // that is installed on the machine.
    let bound = |place: &str, user: User| {
        let program = command(user, &calls);
        let root = world.root().display();
        world.ok(&format!(
            "unshare --mount --propagation private bash -e <<'BOUND'
            mount -i --bind {root} /mnt; mount -i -o remount,bind,ro /mnt
            cd {place}/one/box
            {program}
BOUND"
        ))
    };
    world.reset_stats();
    for user in [ROOT, STRANGER] {
        assert_eq!(bound("/mnt", user), "EROFS\n".repeat(6), "{user:?}");
    }
    let stats = world.stats();
    assert_eq!((stats.requests("CopyBlob"), stats.requests("SnapshotBlob"), stats.requests("LeaseBlob")), (0, 0, 0));
    // Beside it the mount is what it was.
    assert_eq!(bound(&world.root().display().to_string(), ROOT), "-\n-\n-\nENODATA\nENODATA\n-\n");
    assert_eq!((world.stored("c"), world.stored("e/b")), ("text\n".into(), "more\n".into()));
}

/// Runs a script in a place where an ordinary user may mount: `$D` is a directory for everybody, `m` in it the mount point, and `fuse.conf`
/// says what `conf` says.
fn where_users_mount(store: &blobcp::devstore::Devstore, conf: &str, script: &str) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let shared = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), shared).unwrap();
    let place = dir.path().display();
    let connection = store.connection_string(ONE).unwrap();
    // The device and the configuration are this namespace's own; the machine's stay as they are.
    let set_up = format!(
        "set -e; D={place}; BLOBCP={}; export AZURE_STORAGE_CONNECTION_STRING='{connection}'
        mknod $D/fuse c 10 229; chmod 666 $D/fuse; mount --bind $D/fuse /dev/fuse
        (cat /etc/passwd; for id in 10001 10002; do echo user$id:x:$id:$id::/:/bin/sh; done) > $D/passwd
        mount --bind $D/passwd /etc/passwd
        touch /etc/fuse.conf; echo '{conf}' > $D/fuse.conf; mount --bind $D/fuse.conf /etc/fuse.conf
        mkdir -m 700 $D/m $D/home $D/run; chown 10001:10001 $D/m $D/home $D/run
        as() {{ id=$1; shift; HOME=$D/home XDG_RUNTIME_DIR=$D/run setpriv --reuid $id --regid $id --clear-groups -- \"$@\"; }}
        errno() {{ \"$@\" 2>&1 >/dev/null | sed 's/.*: //'; }}
        set +e
        {script}",
        env!("CARGO_BIN_EXE_blobcp")
    );
    let ran = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "bash", "-c", &set_up])
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran {
        code: ran.status.code(),
        signal: None,
        stdout: text(ran.stdout),
        stderr: text(ran.stderr),
        took: std::time::Duration::ZERO,
    }
}

#[test]
fn the_mount_of_an_ordinary_user_is_for_that_user() {
    let world = World::new();
    world.put("f", "text");
    let script = "as 10001 $BLOBCP mount one/box $D/m > /dev/null || exit 1
        cd $D
        as 10001 cat m/f; echo
        errno as 10002 cat m/f; errno cat m/f; errno as 10002 ls m
        for p in /proc/[0-9]*; do
            if [ \"$(readlink $p/exe)\" = $BLOBCP ] && grep -zqs $D/home $p/environ; then errno as 10001 cat $p/environ; fi
        done
        as 10001 $BLOBCP cp m/f m/g && as 10001 stat -c '%u:%g %a' m/f m/g
        as 10001 $BLOBCP umount m && ! as 10001 ls $D/run/blobcp/* 2>/dev/null && echo unmounted";
    let ran = where_users_mount(&world.store, "", script);
    let denied = "Permission denied\n".repeat(4);
    let expected = format!("text\n{denied}10001:10001 644\n10001:10001 644\nunmounted\n");
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), (expected.as_str(), ""), "{ran:?}");
    let ran = where_users_mount(&world.store, "", "as 10001 $BLOBCP mount --allow-other one/box $D/m");
    assert!(ran.stderr.contains("--allow-other needs the line user_allow_other in /etc/fuse.conf"), "{ran:?}");
}

#[test]
fn who_hides_from_its_own_user_by_what_mount_it_comes_writes_by_no_ioctl() {
    let world = World::new();
    world.put("a", "text");
    let program = format!(
        "import ctypes, errno, os, sys
sys.dont_write_bytecode = True
sys.path.insert(0, '{IOCTL}')
import ioctl
for hides in [0, 1]:
    ctypes.CDLL(None).prctl(4, 1 - hides)
    try:
        print(len(ioctl.snapshot('a')) > 20)
    except OSError as error:
        print(errno.errorcode[error.errno])"
    );
    let script = format!(
        "as 10001 $BLOBCP mount one/box $D/m > /dev/null || exit 1
        cd $D; as 10001 sh -c 'cd m && exec /usr/bin/python3 -I -' <<'END'
{program}
END
        as 10001 $BLOBCP umount m"
    );
    let ran = where_users_mount(&world.store, "", &script);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("True\nEROFS\n", ""), "{ran:?}");
}

#[test]
fn an_ordinary_user_lets_others_in_as_modes_allow() {
    let world = World::new();
    for name in ["f", "secret"] {
        world.put(name, name.to_owned());
    }
    let url = format!("{}/{BOX}", world.store.endpoint(ONE)).replace("127.0.0.1", "localhost");
    let script = format!(
        "as 10001 $BLOBCP mount --allow-other one/box $D/m > /dev/null || exit 1
        cd $D
        as 10001 chmod 600 m/secret; as 10001 mkdir -m 1777 m/d
        as 10002 cat m/f; echo
        errno as 10002 cat m/secret; errno as 10002 touch m/new; errno as 10001 chown 10002 m/f
        errno as 10002 $BLOBCP cp '{url}/secret' m/d/stolen; errno as 10002 $BLOBCP cp m/secret m/d/stolen
        as 10002 $BLOBCP cp '{url}/f' m/d/mine && as 10002 stat -c '%u:%g %a' m/d/mine
        as 10001 $BLOBCP cp '{url}/secret' m/d/own && as 10001 stat -c '%u:%g %a' m/d/own
        as 10002 $BLOBCP umount m 2>/dev/null || echo kept
        as 10001 $BLOBCP umount m && echo unmounted"
    );
    let ran = where_users_mount(&world.store, "user_allow_other", &script);
    let denied = "Permission denied\nPermission denied\nOperation not permitted\n";
    // What ls would show him, too.
    let why = "user 10002 may not read \"secret\", which has mode 0600, owner 10001 and group 10001\n".repeat(2);
    let expected = format!("f\n{denied}{why}10002:10002 644\n10001:10001 600\nkept\nunmounted\n");
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), (expected.as_str(), ""), "{ran:?}");
    assert!(!world.is_stored("d/stolen"));
}
