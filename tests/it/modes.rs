//! What `stat` says, and what `touch`, `chmod` and `chown` make of it: kept in metadata that other tools read, or refused.

use std::time::Duration;

use blobcp::fs::Permissions;
use blobcp::store::WriteOptions;

use crate::common::*;

fn world(permissions: Permissions) -> World {
    World::with(Setup { attr_ttl: Duration::from_secs(600), permissions, ..Default::default() })
}

#[test]
fn a_time_that_is_set_before_close_goes_along_with_the_content() {
    let world = world(Permissions::Keep);
    world.ok("echo old > grown; ls -l");
    for (name, mode) in [("new", "wb"), ("grown", "ab"), ("old", "wb")] {
        world.reset_stats();
        let program = format!(
            "f = open('{name}', '{mode}')
f.write(b'text')
f.flush()
os.utime(f.fileno(), ns=(0, 981173106_789012345))
os.fchmod(f.fileno(), 0o640)
f.close()
s = os.stat('{name}')
assert (s.st_mtime_ns, s.st_mode & 0o777) == (981173106_789012345, 0o640), s"
        );
        python(&world, &program);
        let stats = world.stats();
        // What the content costs without a time, and nothing more.
        let content = if name == "grown" { 4 } else { 1 };
        assert!(stats.total <= content && stats.requests("SetBlobMetadata") == 0, "{name}: {stats:?}");
        let metadata = world.properties(ONE, name).unwrap().metadata;
        assert_eq!(metadata.get("mtime"), Some("2001-02-03T04:05:06.789012345Z"), "{name}");
        assert_eq!(metadata.get("permissions"), Some("0640"), "{name}");
    }
}

#[test]
fn a_listing_tells_the_times_of_other_tools_to_the_nanosecond() {
    let world = world(Permissions::Keep);
    // As rclone writes it, in its own time zone; as others do, in seconds; what cannot be read is as if it were not there.
    for (name, mtime) in
        [("rclone", "2001-02-03T06:05:06.789012345+02:00"), ("seconds", "981173106"), ("odd", "yesterday")]
    {
        world.put(&format!("d/{name}"), "x");
        let metadata = [("mtime", mtime)].into_iter().collect();
        let blob = path(&format!("d/{name}"));
        world.block_on(world.client(ONE).blob(&blob).set_metadata(&metadata, &WriteOptions::default())).unwrap();
    }
    world.ok("stat d >/dev/null");
    world.reset_stats();
    let listed = world.ok("ls -l --time-style=+%s.%N d | sort -k7");
    let modified = world.properties(ONE, "d/odd").unwrap().last_modified;
    let modified = modified.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let times: Vec<_> = listed.lines().filter_map(|line| line.split_whitespace().nth(5)).collect();
    assert_eq!(times, [&format!("{modified}.000000000"), "981173106.789012345", "981173106.000000000"], "{listed}");
    assert_eq!(world.stats().requests("ListBlobs"), 1, "{:?}", world.stats());
}

#[test]
fn mode_and_owner_are_kept_where_they_differ_from_the_mounts() {
    let world = world(Permissions::Keep);
    world.ok("echo x > f; mkdir d; chmod 600 f; chmod 700 d");
    let kept = |name: &str, key: &str| world.properties(ONE, name).unwrap().metadata.get(key).map(str::to_owned);
    assert_eq!(kept("f", "permissions").as_deref(), Some("0600"));
    assert_eq!(kept("d", "permissions").as_deref(), Some("0700"));
    assert_eq!(world.ok("stat -c %a f d"), "600\n700\n");
    world.ok("chmod 644 f");
    assert_eq!(kept("f", "permissions"), None, "the mount's own mode");
    // SAFETY: reads the process's user.
    if unsafe { libc::getuid() } == 0 {
        world.ok("chown 12:34 f");
        assert_eq!((kept("f", "owner").as_deref(), kept("f", "group").as_deref()), (Some("12"), Some("34")));
        assert_eq!(world.ok("stat -c %u:%g f"), "12:34\n");
    }
}

#[test]
fn fixed_permissions_refuse_changes_and_nothing_else() {
    let world = world(Permissions::Fixed);
    world.ok("echo x > f; ls -l");
    world.reset_stats();
    // Not the time, which takes a request unless both files are of the same second.
    world.ok("chmod 644 f; chown $(id -u):$(id -g) f; cp --preserve=mode,ownership f g");
    for command in ["chmod 600 f", "python3 -I -c \"import os; os.chown('f', 12, -1)\""] {
        assert!(world.sh(command).stderr.contains("Operation not permitted"), "{command}");
    }
    assert_eq!(world.ok("stat -c %a f"), "644\n");
    assert_eq!(world.stats().requests("SetBlobMetadata"), 0, "{:?}", world.stats());
    world.ok("cp -p f g; [ ! f -nt g ] && [ ! f -ot g ]");
}

#[test]
fn ignored_permissions_change_nothing() {
    let world = world(Permissions::Ignore);
    world.ok("echo x > f; ls -l");
    world.reset_stats();
    world.ok("chmod 600 f");
    assert_eq!((world.ok("stat -c %a f").as_str(), world.stats().total), ("644\n", 0), "{:?}", world.stats());
}
