//! What a program says of a new file before it is stored travels with its content, and costs no request.

use blobcp::devstore::Fault;

use crate::common::*;

const SIZE: usize = 9 << 20;

/// A mount that believes what it was told for long, so that only what is stored costs requests, and that leaves what may
/// wait to those who close it.
fn world() -> World {
    let long = std::time::Duration::from_secs(600);
    let world = World::with(Setup { attr_ttl: long, store_within: long, ..Default::default() });
    world.ok("ls -l");
    world.reset_stats();
    world
}

/// The same with a file `a` of 9 MiB that has metadata, a type and a tag.
fn world_with_source() -> World {
    let world = world();
    world.put("a", pattern(SIZE));
    world.ok("ls -l; setfattr -n user.blob.meta.color -v blue a; setfattr -n user.blob.content_type -v text/x-log a");
    // Not of the second in which it is copied.
    world.ok("setfattr -n user.blob.tag.team -v ours a; touch -d @1000 a; ls -l");
    world.reset_stats();
    world
}

/// Requests that change something.
#[track_caller]
fn assert_writes(world: &World, expected: &[(&'static str, u64)]) {
    let stats = world.stats();
    let asks = |name: &str| name.starts_with("Get") || name.starts_with("List");
    let writes: Vec<_> = stats.requests.iter().filter(|(name, _)| !asks(name)).map(|(n, c)| (*n, *c)).collect();
    assert_eq!(writes, expected, "{:#?}", world.store.requests());
}

/// Attributes of every kind, set in every way, between two writes.
const SAID: &str = "
f = open('b', 'wb', buffering=0)
f.write(b'x' * SIZE)
os.setxattr('b', 'user.blob.meta.Color', b'red')
os.setxattr(f.fileno(), 'user.blob.content_type', b'text/x-log')
os.setxattr(f.fileno(), 'user.blob.tag.team', b'ours')
os.setxattr(f.fileno(), 'user.blob.tier', b'Cool')
os.fchmod(f.fileno(), 0o640)
os.utime(f.fileno(), (5, 5))
f.write(b'y')
f.close()";

#[track_caller]
fn assert_as_said(world: &World) {
    let now = world.properties(ONE, "b").unwrap();
    assert_eq!(now.metadata.get("Color"), Some("red"));
    assert_eq!(now.headers.content_type.as_deref(), Some("text/x-log"));
    assert_eq!(now.tier.as_deref(), Some("Cool"));
    assert_eq!(world.ok("getfattr --only-values -n user.blob.tag.team b"), "ours");
    assert_eq!(world.ok("stat -c %a b"), "640\n");
}

#[test]
fn attributes_of_a_small_new_file_travel_with_its_content() {
    let world = world();
    python(&world, &format!("SIZE = 10\n{SAID}"));
    assert_writes(&world, &[("PutBlob", 1)]);
    assert_eq!(world.stats().total, 1, "{:#?}", world.store.requests());
    assert_as_said(&world);
    assert_eq!(world.stored("b"), "xxxxxxxxxxy");
}

#[test]
fn attributes_of_a_large_new_file_travel_with_its_list_of_blocks() {
    let world = world();
    python(&world, &format!("SIZE = {SIZE}\n{SAID}"));
    assert_writes(&world, &[("PutBlock", 2), ("PutBlockList", 1)]);
    assert_as_said(&world);
}

#[test]
fn what_was_chosen_is_shown_before_it_is_stored() {
    let world = world();
    let printed = python(
        &world,
        "
def of(call, *args):
    try: return call(*args)
    except OSError as e: return errno.errorcode[e.errno]
f = open('b', 'wb', buffering=0)
print(os.listxattr('b'))
print(of(os.setxattr, 'b', 'user.blob.meta.k', b'v', os.XATTR_REPLACE))
os.setxattr('b', 'user.blob.meta.k', b'v', os.XATTR_CREATE)
print(of(os.setxattr, 'b', 'user.blob.meta.k', b'w', os.XATTR_CREATE))
os.setxattr('b', 'user.blob.tag.t', b'1')
os.setxattr('b', 'user.blob.tag.u', b'2')
os.removexattr('b', 'user.blob.tag.u')
print(of(os.removexattr, 'b', 'user.blob.tag.u'), of(os.getxattr, 'b', 'user.blob.etag'))
print(os.getxattr('b', 'user.blob.meta.k'), sorted(os.listxattr('b')))",
    );
    let names = "['user.blob.content_type', 'user.blob.meta.k', 'user.blob.tag.t']";
    assert_eq!(printed, format!("[]\nENODATA\nEEXIST\nENODATA ENODATA\nb'v' {names}\n"));
    assert_writes(&world, &[("PutBlob", 1)]);
    assert_eq!(world.ok("getfattr --only-values -n user.blob.tag.t b"), "1");
    let gone = world.sh("getfattr -n user.blob.tag.u b");
    assert!(gone.stderr.contains("No such attribute"), "{gone:?}");
}

#[test]
fn what_no_service_takes_is_refused_at_once_and_what_means_something_is_seen_at_once() {
    let world = world();
    let printed = python(
        &world,
        "
f = open('b', 'wb', buffering=0)
for name, value in (('tag.t', b'a!'), ('tier', b'Lukewarm')):
    try: os.setxattr('b', 'user.blob.' + name, value)
    except OSError as e: print(errno.errorcode[e.errno])
f.write(b'x')
f.close()",
    );
    assert_eq!(printed, "EINVAL\nEINVAL\n");
    assert_eq!(world.stored("b"), "x");
}

#[test]
fn content_is_stored_where_the_service_refuses_what_it_was_to_have() {
    let world = world();
    world.store.add_fault(fault(r#"{"operation":"PutBlob","status":403,"code":"AuthorizationPermissionMismatch"}"#));
    let printed = python(
        &world,
        "
f = open('b', 'wb', buffering=0)
f.write(b'content')
os.setxattr('b', 'user.blob.tag.t', b'1')
try: f.close()
except OSError as e: print(errno.errorcode[e.errno])",
    );
    assert_eq!(printed, "EACCES\n");
    assert_eq!(world.stored("b"), "content");
    assert_eq!(world.properties(ONE, "b").unwrap().tag_count, 0);
    // The next change is as ever.
    world.ok("echo more >> b");
    assert_eq!(world.stored("b"), "contentmore\n");
}

#[test]
fn a_file_that_somebody_else_made_meanwhile_gets_what_was_chosen() {
    let world = world();
    let ran = Gated::run(
        &world,
        "
f = open('b', 'wb', buffering=0)
f.write(b'mine')
os.setxattr('b', 'user.blob.meta.k', b'v')
os.setxattr('b', 'user.blob.tag.t', b'1')
gate()
f.close()",
        || world.put("b", "theirs"),
    );
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(world.stored("b"), "mine");
    assert_eq!(world.properties(ONE, "b").unwrap().metadata.get("k"), Some("v"));
    assert_eq!(world.ok("getfattr --only-values -n user.blob.tag.t b"), "1");
}

/// As Java's COPY_ATTRIBUTES, systemd-tmpfiles and others do, before the content or after.
fn copying(before: &str) -> String {
    format!(
        "
i = os.open('a', os.O_RDONLY)
o = os.open('b', os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
def attributes():
    for name in os.listxattr(i):
        os.setxattr(o, name, os.getxattr(i, name))
{before}
while os.copy_file_range(i, o, 1 << 30): pass
os.utime(o, (1000, 1000))
os.fchmod(o, 0o640)
attributes()
os.close(o)"
    )
}

#[test]
fn attributes_that_come_along_with_a_copy_cost_nothing() {
    for before in ["", "attributes()"] {
        let world = world_with_source();
        python(&world, &copying(before));
        assert_writes(&world, &[("CopyBlob", 1), ("SetBlobMetadata", 1)]);
        let now = world.properties(ONE, "b").unwrap();
        assert_eq!((now.size, now.metadata.get("color")), (SIZE as u64, Some("blue")));
        assert_eq!(now.headers.content_type.as_deref(), Some("text/x-log"));
        assert_eq!(world.ok("stat -c '%a %Y' b"), "640 1000\n");
        assert_eq!(world.ok("getfattr --only-values -n user.blob.tag.team b"), "ours");
    }
}

#[test]
fn attributes_that_a_copy_would_not_bring_along_are_there_after_it() {
    let world = world_with_source();
    let before = "
os.setxattr(o, 'user.blob.meta.color', b'red')
os.setxattr(o, 'user.blob.cache_control', b'no-store')
os.setxattr(o, 'user.blob.tag.mine', b'yes')";
    let program = copying(before).replace("\nattributes()\n", "\n");
    python(&world, &program);
    assert_eq!(world.stats().body_bytes_in, 0, "{:#?}", world.store.requests());
    let now = world.properties(ONE, "b").unwrap();
    assert!(world.store.content(ONE, BOX, "b").unwrap() == pattern(SIZE));
    assert_eq!(now.metadata.get("color"), Some("red"));
    assert_eq!(now.headers.content_type.as_deref(), Some("text/x-log"));
    assert_eq!(now.headers.cache_control.as_deref(), Some("no-store"));
    assert_eq!(world.ok("getfattr --only-values -n user.blob.tag.mine b"), "yes");
    assert_eq!(world.ok("getfattr --only-values -n user.blob.tag.team b"), "ours");
}

#[test]
fn cp_a_and_install_store_two_things() {
    for command in ["cp -a a b", "cp -p a b", "install -m 640 a b"] {
        let world = world_with_source();
        // Its mode and owner are metadata, as its time is.
        world.ok("chmod 640 a; chown 7 a; ls -l");
        world.reset_stats();
        world.ok(command);
        let stats = world.stats();
        let writes = stats.requests("CopyBlob") + stats.requests("SetBlobMetadata");
        assert!(writes <= 2, "{command}: {:#?}", world.store.requests());
        let others: u64 = stats
            .requests
            .iter()
            .filter(|(name, _)| name.starts_with("Put") || name.starts_with("Set"))
            .map(|(_, count)| count)
            .sum();
        assert!(others <= 1, "{command}: {:#?}", world.store.requests());
        // What the copy was given is not asked for.
        let of_copy =
            |one: &&blobcp::devstore::RequestRecord| one.operation == "GetBlobTags" && one.path.ends_with("/b");
        assert_eq!(
            world.store.requests().iter().filter(of_copy).count(),
            0,
            "{command}: {:#?}",
            world.store.requests()
        );
    }
}

#[test]
fn a_tier_that_has_to_be_asked_for_keeps_nothing_from_waiting() {
    let world = world();
    // No listing has told the tier of what was written here.
    world.ok("head -c 9M /dev/zero > a; chmod 640 a; touch -d @1000 a; setfattr -n user.blob.meta.color -v blue a");
    world.reset_stats();
    world.ok("cp -a a b");
    assert_writes(&world, &[("CopyBlob", 1), ("SetBlobMetadata", 1)]);
    assert_eq!(world.ok("stat -c '%a %Y' b; getfattr --only-values -n user.blob.tier b"), "640 1000\nHot");
    // Nor has another tier that is set.
    world.reset_stats();
    python(
        &world,
        "
o = os.open('b', os.O_WRONLY)
os.fchmod(o, 0o600)
os.setxattr(o, 'user.blob.tier', b'Cool')
os.utime(o, (2000, 2000))
os.close(o)",
    );
    assert_writes(&world, &[("SetBlobMetadata", 1), ("SetBlobTier", 1)]);
    assert_eq!(world.ok("stat -c '%a %Y' b; getfattr --only-values -n user.blob.tier b"), "600 2000\nCool");
    // What is written next has it, too.
    python(
        &world,
        "
o = os.open('b', os.O_WRONLY | os.O_APPEND)
os.setxattr(o, 'user.blob.tier', b'Cold')
os.write(o, b'more')
os.close(o)",
    );
    let now = world.properties(ONE, "b").unwrap();
    assert_eq!((now.size, now.tier.as_deref()), ((9 << 20) + 4, Some("Cold")));
}

#[test]
fn a_mode_an_owner_and_a_time_that_are_set_as_metadata_wait_for_the_commit_of_who_writes() {
    let world = world();
    world.put("b", "old ");
    world.ok("ls -l");
    world.reset_stats();
    let set = "
o = os.open('b', os.O_WRONLY | os.O_APPEND)
for name, value in (('permissions', b'0600'), ('owner', b'7'), ('mtime', b'2001-02-03T04:05:06.000000000Z')):
    os.setxattr(o, 'user.blob.meta.' + name, value)
    assert os.getxattr('b', 'user.blob.meta.' + name) == value
assert os.fstat(o).st_mode == 0o100600 and os.stat('b').st_mtime == 981173106";
    // With content before or none at all.
    python(&world, &format!("{set}\nos.close(o)"));
    assert_writes(&world, &[("SetBlobMetadata", 1)]);
    assert_eq!(world.ok("stat -c '%a %u %y' b"), "600 7 2001-02-03 04:05:06.000000000 +0000\n");
    world.ok("chmod 644 b; chown 0 b");
    world.reset_stats();
    let written = set.replace("\nfor name", "\nos.write(o, b'and new')\nfor name");
    python(&world, &format!("{written}\nos.close(o)"));
    let stats = world.stats();
    assert_eq!((stats.requests("SetBlobMetadata"), stats.requests("PutBlockList")), (0, 1), "{stats:?}");
    assert_eq!(world.ok("stat -c '%a %u %y' b; cat b"), "600 7 2001-02-03 04:05:06.000000000 +0000\nold and new");
}

#[test]
fn a_tier_that_was_chosen_is_not_left_to_the_copy() {
    let world = world_with_source();
    world.ok("setfattr -n user.blob.tier -v Cool a; ls -l");
    python(&world, &copying("os.setxattr(o, 'user.blob.tier', b'Cool')").replace("\nattributes()\n", "\n"));
    let now = world.properties(ONE, "b").unwrap();
    assert_eq!((now.size, now.tier.as_deref()), (SIZE as u64, Some("Cool")));
}

#[test]
fn a_tag_is_refused_at_once_where_there_are_none_and_the_content_is_stored() {
    let setup = Setup::default();
    let devstore = blobcp::devstore::Config { hns: true, ..setup.devstore.clone() };
    let world = World::with(Setup { devstore, ..setup });
    let printed = python(
        &world,
        "
f = open('b', 'wb', buffering=0)
f.write(b'content')
try: os.setxattr('b', 'user.blob.tag.t', b'1')
except OSError as e: print(errno.errorcode[e.errno])
os.setxattr('b', 'user.blob.meta.k', b'v')
f.write(b' and more')
f.close()",
    );
    assert!(["EOPNOTSUPP\n", "ENOTSUP\n"].contains(&printed.as_str()), "two names of one number: {printed}");
    assert_eq!(world.stored("b"), "content and more");
    assert_eq!(world.properties(ONE, "b").unwrap().metadata.get("k"), Some("v"));
}

#[test]
fn a_tag_that_is_set_while_a_file_is_open_stays_with_what_is_written_next() {
    let world = world();
    python(
        &world,
        "
f = open('b', 'wb', buffering=0)
f.write(b'one')
os.fsync(f.fileno())
os.setxattr('b', 'user.blob.tag.t', b'1')
f.write(b' two')
f.close()",
    );
    assert_eq!(world.stored("b"), "one two");
    assert_eq!(world.ok("getfattr --only-values -n user.blob.tag.t b"), "1");
}

/// As `tar --xattrs` makes a file that has attributes.
const MADE: &str = "
os.mknod('b', 0o640)
os.setxattr('b', 'user.blob.meta.color', b'red')
os.setxattr('b', 'user.blob.content_type', b'text/x-log')
os.setxattr('b', 'user.blob.meta.mtime', b'2001-02-03T04:05:06Z')
os.setxattr('b', 'user.blob.meta.permissions', b'0600')
os.setxattr('b', 'user.blob.meta.owner', b'7')
assert os.getxattr('b', 'user.blob.meta.permissions') == b'0600' and os.stat('b').st_mode == 0o100600
os.setxattr('b', 'user.blob.tag.team', b'ours')";

#[test]
fn a_file_that_is_made_given_attributes_and_then_opened_to_write_is_stored_once() {
    let world = world();
    let program = format!(
        "{MADE}
o = os.open('b', os.O_WRONLY | os.O_CREAT)
os.write(o, b'content')
os.utime(o, (1000, 1000))
os.fchmod(o, 0o600)
os.close(o)"
    );
    python(&world, &program);
    assert_writes(&world, &[("PutBlob", 1)]);
    let now = world.properties(ONE, "b").unwrap();
    assert_eq!((world.stored("b"), now.metadata.get("color")), ("content".into(), Some("red")));
    assert_eq!(now.headers.content_type.as_deref(), Some("text/x-log"));
    assert_eq!(world.ok("stat -c '%a %Y' b; getfattr --only-values -n user.blob.tag.team b"), "600 1000\nours");
}

#[test]
fn a_file_that_is_made_and_not_opened_is_stored_with_its_attributes() {
    let world = world();
    let synchronise = "d = os.open('.', os.O_RDONLY)\nos.fsync(d)";
    let made = format!("{MADE}\nprint(os.listdir(), os.stat('b').st_size)\n{synchronise}");
    assert_eq!(python(&world, &made), "['b'] 0\n");
    assert_writes(&world, &[("PutBlob", 1)]);
    assert_eq!(world.properties(ONE, "b").unwrap().metadata.get("color"), Some("red"));
    assert_eq!(world.ok("stat -c '%a %u %y' b"), "600 7 2001-02-03 04:05:06.000000000 +0000\n");
}

#[test]
fn a_file_that_is_made_and_not_opened_is_stored_soon() {
    let world = World::new();
    // One that is gone by then does not come back.
    python(&world, &MADE.replace("'b'", "'c'").replace("tag.team", "meta.team"));
    world.ok("rm c; ! test -e c");
    // What is made later is stored later.
    python(&world, "os.mknod('later')");
    eventually("the later one is stored", || world.is_stored("later"));
    assert!(!world.is_stored("c"));
}

#[test]
fn a_file_that_is_made_is_stored_although_somebody_reads_it() {
    let world = World::new();
    let reader = Gated::between(&world, "os.mknod('b'); r = os.open('b', os.O_RDONLY)", "assert os.read(r, 1) == b''");
    eventually("it is stored", || world.is_stored("b"));
    reader.finish();
}

#[test]
fn who_synchronises_a_directory_has_stored_what_was_made_in_it() {
    let world = world();
    let program = "os.mknod('b'); d = os.open('.', os.O_RDONLY); os.fsync(d)";
    let at_gate = Gated::between(&world, program, "os.close(d)");
    assert!(world.is_stored("b"));
    at_gate.finish();
}

#[test]
fn a_listing_has_what_is_stored_while_the_service_makes_it() {
    let world = World::new();
    world.put("d/a", "a");
    python(&world, "os.mknod('d/b')");
    let listed = world.stop_answer(Fault::on("ListBlobs"));
    let ls = world.start("ls d");
    listed.reached();
    eventually("it is stored", || world.is_stored("d/b"));
    listed.let_go();
    assert_eq!(ls.wait().stdout, "a\nb\n");
}

#[test]
fn what_waits_for_a_commit_is_listed_as_well() {
    let world = world();
    world.put("a", "a");
    python(
        &world,
        "
f = open('a', 'ab', buffering=0)
f.write(b'more')
os.setxattr('a', 'user.blob.meta.owner', b'77')
assert 'user.blob.meta.owner' in os.listxattr('a'), os.listxattr('a')",
    );
}

#[test]
fn a_file_that_is_made_is_not_stored_over_what_another_client_has_made_meanwhile() {
    let world = world();
    let ran = Gated::run(
        &world,
        &format!(
            "{MADE}\no = os.open('b', os.O_WRONLY)\nos.write(o, b'content')\ngate()\ntry: os.close(o)\nexcept OSError as e: print(errno.errorcode[e.errno])"
        ),
        || world.put("b", "theirs"),
    );
    assert_eq!((ran.stdout.as_str(), ran.code), ("EEXIST\n", Some(0)), "{}", ran.stderr);
    assert_eq!(world.stored("b"), "theirs");
}

#[test]
fn tar_stores_a_file_with_its_attributes_at_once() {
    let world = world_with_source();
    let local = tempfile::tempdir().unwrap();
    let archive = local.path().join("a.tar").display().to_string();
    world.ok(&format!("chmod 640 a; tar --xattrs --xattrs-include='user.blob.meta.*' -cf {archive} a"));
    world.reset_stats();
    world.ok(&format!("mkdir d; tar --xattrs --xattrs-include='*' -xf {archive} -C d"));
    let blobs = |operation: &str| world.stats().requests(operation);
    // The first is the directory. What tar has read of the source a moment ago need not be sent.
    let blocks = blobs("PutBlock") + blobs("PutBlockFromURL");
    assert_eq!((blobs("PutBlob"), blocks, blobs("PutBlockList"), blobs("SetBlobMetadata")), (1, 2, 1, 0));
    let now = world.properties(ONE, "d/a").unwrap();
    assert_eq!((now.size, now.metadata.get("color")), (SIZE as u64, Some("blue")));
    assert_eq!(world.ok("stat -c '%a %Y' d/a"), "640 1000\n");
}
