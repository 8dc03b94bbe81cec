//! Names and directories: what is there is seen, at the price of the listing, and what cannot be is refused with its reason.

use std::time::Duration;

use blobcp::devstore::PolicyChange;
use blobcp::store::{BlobSettings, DeleteOptions, WriteOptions};

use crate::common::*;

/// A directory marker as blobfuse2, Hadoop and this filesystem write it (§19).
fn put_marker(world: &World, name: &str) {
    let settings = BlobSettings { metadata: [("hdi_isfolder", "true")].into_iter().collect(), ..Default::default() };
    let client = world.client(ONE);
    world.block_on(client.blob(&path(name)).block_blob().upload("", &settings, &WriteOptions::default())).unwrap();
}

fn is_marker(world: &World, name: &str) -> bool {
    world.properties(ONE, name).is_some_and(|blob| blob.size == 0 && blob.metadata.flag("hdi_isfolder"))
}

/// `errno.errorcode` of a Python expression that must fail.
#[track_caller]
fn assert_refused(world: &World, expression: &str, code: &str) {
    assert_all_refused(world, &[(expression.to_owned(), code)]);
}

/// The same of several, by one program.
#[track_caller]
fn assert_all_refused(world: &World, expressions: &[(String, &str)]) {
    let mut program = "import os, errno".to_owned();
    for (expression, _) in expressions {
        program += &format!("\ntry:\n    {expression}\n    print('done')");
        program += "\nexcept OSError as e:\n    print(errno.errorcode[e.errno])";
    }
    let printed = world.ok(&format!("python3 - <<'END'\n{program}\nEND"));
    let found: Vec<_> = expressions.iter().map(|(expression, _)| expression.as_str()).zip(printed.lines()).collect();
    let expected: Vec<_> = expressions.iter().map(|(expression, code)| (expression.as_str(), *code)).collect();
    assert_eq!(found, expected);
}

fn kind(world: &World, name: &str) -> String {
    world.ok(&format!("stat -c %F '{name}'")).trim().to_owned()
}

// Directories

#[test]
fn names_with_a_common_prefix_are_directories() {
    let world = World::new();
    world.put("a/b/c", "x");
    assert_eq!(world.ok("find . | sort"), ".\n./a\n./a/b\n./a/b/c\n");
    assert_eq!(kind(&world, "a/b"), "directory");
}

#[test]
fn markers_of_both_kinds_are_directories_and_one_entry_each() {
    let world = World::new();
    put_marker(&world, "plain");
    put_marker(&world, "slash/");
    put_marker(&world, "both");
    put_marker(&world, "both/");
    world.put("both/x", "x");
    world.put("bare/", "");
    assert_eq!(world.ok("ls -F"), "bare/\nboth/\nplain/\nslash/\n");
    assert_eq!(world.ok("ls -A plain slash/ bare both"), "bare:\n\nboth:\nx\n\nplain:\n\nslash/:\n");
}

#[test]
fn mkdir_writes_a_marker_and_rmdir_removes_markers_of_both_kinds() {
    let world = World::new();
    world.ok("mkdir -m 700 d");
    assert!(is_marker(&world, "d"));
    assert_eq!(world.ok("stat -c '%F %a' d"), "directory 700\n");
    put_marker(&world, "d/");
    world.ok("rmdir d");
    assert!(!world.is_stored("d") && !world.is_stored("d/"));
    assert_eq!(world.ok("ls"), "");
    assert_refused(&world, "os.rmdir('d')", "ENOENT");
}

#[test]
fn mkdir_and_rmdir_cost_one_write_each() {
    let world = World::new();
    world.ok("ls");
    world.reset_stats();
    world.ok("mkdir d");
    assert_eq!((world.stats().total, world.stats().requests("PutBlob")), (1, 1), "{:#?}", world.store.requests());
    world.reset_stats();
    world.ok("rmdir d");
    let stats = world.stats();
    assert_eq!((stats.total, stats.requests("ListBlobs"), stats.requests("DeleteBlob")), (2, 1, 1), "{stats:?}");
}

#[test]
fn mkdir_of_what_exists_is_eexist() {
    let world = World::new();
    world.put("file", "x");
    world.put("dir/x", "x");
    assert_refused(&world, "os.mkdir('file')", "EEXIST");
    assert_refused(&world, "os.mkdir('dir')", "EEXIST");
}

#[test]
fn rmdir_of_what_is_not_empty_is_enotempty() {
    let world = World::new();
    world.put("d/x", "x");
    put_marker(&world, "d");
    world.put("e/", "content that no path reaches");
    assert_refused(&world, "os.rmdir('d')", "ENOTEMPTY");
    assert_refused(&world, "os.rmdir('e')", "ENOTEMPTY");
    assert!(world.is_stored("d") && world.is_stored("e/"));
    assert_refused(&world, "os.mkdir('n'); f = open('n/f', 'w'); os.rmdir('n')", "ENOTEMPTY");
    assert_refused(&world, "os.rmdir('d/x')", "ENOTDIR");
    assert_refused(&world, "os.unlink('d')", "EISDIR");
}

#[test]
fn rmdir_never_deletes_a_blob_that_is_no_marker() {
    let world = World::new();
    world.put("d", "hidden");
    world.put("d/x", "x");
    assert_eq!(kind(&world, "d"), "directory");
    world.ok("rm d/x; test ! -e d/x");
    let _ = world.sh("rmdir d");
    assert_eq!(world.stored("d"), "hidden");
}

#[test]
fn deleting_the_last_file_keeps_its_directory() {
    let world = World::new();
    world.put("d/e/x", "x");
    world.put("d/e/y", "y");
    world.ok("rm d/e/x");
    assert!(!is_marker(&world, "d/e"));
    world.ok("rm d/e/y; ls d/e; rmdir d/e; ls d; rmdir d");
    assert_eq!(world.ok("ls -A"), "");
    assert!(!world.is_stored("d") && !world.is_stored("d/e"));
}

#[test]
fn rm_r_leaves_nothing() {
    let world = World::new();
    for name in ["t/a", "t/b/c", "t/b/d/e", "t/f"] {
        world.put(name, "x");
    }
    put_marker(&world, "t");
    put_marker(&world, "t/b/");
    world.ok("rm -r t");
    assert_eq!(world.ok("ls -A"), "");
    let client = world.client(ONE);
    let all = world.block_on(client.container(&path("x").container).list_blobs(&Default::default())).unwrap();
    assert!(all.items.is_empty(), "{:?}", all.items);
}

#[test]
fn containers_are_made_and_removed_at_the_root_of_an_account() {
    let world = World::new();
    world.ok("cd ..; mkdir new-one; echo x > new-one/f; ls new-one");
    assert_eq!(world.store.content(ONE, "new-one", "f").unwrap(), "x\n");
    assert_refused(&world, "os.rmdir('../new-one')", "ENOTEMPTY");
    world.ok("cd ..; rm new-one/f; rmdir new-one");
    assert!(world.store.content(ONE, "new-one", "f").is_err());
    assert_eq!(world.ok("cd ..; ls"), "box\n");
    assert_refused(&world, "os.mkdir('../No_Container')", "EINVAL");
    assert_refused(&world, "os.mkdir('../../newaccount')", "EPERM");
    assert_refused(&world, "os.rmdir('../../two')", "EPERM");
    assert_refused(&world, "open('../file', 'w')", "EPERM");
}

#[test]
fn a_blob_with_the_name_of_a_directory_is_hidden_by_it_wherever_the_page_ends() {
    let world = World::new();
    // `d-` sorts between `d` and `d/`.
    for name in ["d", "d-1", "d-2", "d-3", "d/x"] {
        world.put(name, "x");
    }
    for page in [1, 2, 3, 5000] {
        world.store.change_policy(PolicyChange { list_page: Some(page), ..Default::default() });
        assert_eq!(world.ok("ls -F"), "d/\nd-1\nd-2\nd-3\n", "{page} to a page");
        assert_eq!(kind(&world, "d"), "directory", "{page} to a page");
    }
    assert_eq!(world.stored("d"), "x");
}

// Looking and listing

#[test]
fn ls_l_costs_the_pages_of_the_listing_and_nothing_for_each_file() {
    let world = World::with(Setup { attr_ttl: Duration::from_secs(60), ..Default::default() });
    for i in 0..1000 {
        world.put(&format!("d/file{i:04}"), "content");
    }
    world.store.change_policy(PolicyChange { list_page: Some(100), ..Default::default() });
    world.ok("stat d >/dev/null");
    world.reset_stats();
    let listing = world.ok("ls -l d");
    assert_eq!(listing.lines().count(), 1001);
    let stats = world.stats();
    assert_eq!((stats.total, stats.requests("ListBlobs")), (10, 10), "{stats:?}");
    // Whoever comes next finds it in memory.
    assert_eq!(world.ok("find d -type f -size 7c | wc -l").trim(), "1000");
    assert!(world.stats().total <= 20, "{:?}", world.stats());
}

#[test]
fn empty_pages_do_not_end_a_listing() {
    let world = World::new();
    for i in 0..10 {
        world.put(&format!("f{i}"), "");
    }
    let policy = PolicyChange { list_page: Some(3), empty_list_pages: Some(true), ..Default::default() };
    world.store.change_policy(policy);
    assert_eq!(world.ok("ls | wc -l").trim(), "10");
    world.ok("rm f*");
    assert_eq!(world.ok("ls | wc -l").trim(), "0");
}

#[test]
fn an_unknown_name_is_a_head_and_a_list() {
    let world = World::new();
    world.put("a", "x");
    world.ok("stat . >/dev/null");
    world.reset_stats();
    world.ok("stat a > /dev/null");
    let stats = world.stats();
    assert_eq!((stats.requests("GetBlobProperties"), stats.requests("ListBlobs"), stats.total), (1, 1, 2), "{stats:?}");
}

#[test]
fn a_missing_name_in_a_fresh_listing_costs_nothing() {
    let world = World::with(Setup { attr_ttl: Duration::from_secs(60), ..Default::default() });
    world.put("a", "x");
    world.ok("ls -l");
    world.reset_stats();
    world.ok("! stat missing 2>/dev/null; ! stat missing/deeper 2>/dev/null; stat a >/dev/null");
    assert_eq!(world.stats().total, 0, "{:#?}", world.store.requests());
}

#[test]
fn what_is_known_to_be_missing_is_known_until_it_is_made_here() {
    let world = World::with(Setup { attr_ttl: Duration::from_secs(60), ..Default::default() });
    world.ok("! stat a 2>/dev/null; ! stat d 2>/dev/null; ! stat l 2>/dev/null");
    world.reset_stats();
    world.ok("! stat a 2>/dev/null");
    assert_eq!(world.stats().total, 0, "{:#?}", world.store.requests());
    world.ok("echo x > a; mkdir d; ln -s a l; stat a d l >/dev/null; echo y > d/f; mv a b; stat b d/f >/dev/null; ! stat a 2>/dev/null");
    assert_eq!(world.ok("ls -A"), "b\nd\nl\n");
}

#[test]
fn what_other_clients_do_is_seen_when_the_time_is_up() {
    let ttl = Duration::from_millis(100);
    let world = World::with(Setup { attr_ttl: ttl, ..Default::default() });
    world.put("changed", "old");
    world.put("deleted", "x");
    world.ok("ls -l; cat changed; ! stat made 2>/dev/null");
    world.put("changed", "newer");
    world.put("made", "x");
    let client = world.client(ONE);
    let gone = world.block_on(client.blob(&path("deleted")).delete(&DeleteOptions::default()));
    gone.unwrap();
    std::thread::sleep(2 * ttl);
    assert_eq!(world.ok("cat changed; stat -c %s made"), "newer1\n");
    assert_refused(&world, "os.stat('deleted')", "ENOENT");
    std::thread::sleep(2 * ttl);
    assert_eq!(world.ok("ls"), "changed\nmade\n");
}

#[test]
fn a_directory_can_be_listed_while_files_come_and_go() {
    let world = World::new();
    for i in 0..300 {
        world.put(&format!("old{i:03}"), "");
    }
    world.store.change_policy(PolicyChange { list_page: Some(50), ..Default::default() });
    world.ok("python3 - <<'END'
import os
seen = []
with os.scandir('.') as entries:
    for i, entry in enumerate(entries):
        seen.append(entry.name)
        if i % 50 == 0: open(f'new{i:03}', 'w').close()
        if i % 50 == 25: os.unlink(f'old{i:03}')
old = [name for name in seen if name.startswith('old')]
assert len(old) == len(set(old)) and len(set(seen)) == len(seen), seen
assert len(old) >= 294, len(old)
now = sorted(os.listdir('.'))
assert len([n for n in now if n.startswith('old')]) == 294, len(now)
assert len([n for n in now if n.startswith('new')]) >= 6, now
END");
}

#[test]
fn rewinddir_lists_anew() {
    let world = World::with(Setup { attr_ttl: Duration::from_millis(10), ..Default::default() });
    world.put("a", "");
    let program = "import ctypes
libc = ctypes.CDLL(None)
libc.opendir.restype = libc.readdir.restype = ctypes.c_void_p
libc.readdir.argtypes = libc.rewinddir.argtypes = [ctypes.c_void_p]
d = libc.opendir(b'.')
def names():
    found = []
    while entry := libc.readdir(d): found.append(ctypes.string_at(entry + 19).decode())
    return sorted(found)
print(names())
gate()
libc.rewinddir(d)
print(names())";
    let ran = Gated::run(&world, program, || world.put("b", ""));
    assert_eq!(ran.stdout, "['.', '..', 'a']\n['.', '..', 'a', 'b']\n", "{}", ran.stderr);
}

// Names

#[test]
fn names_that_a_url_would_misread_are_names_like_others() {
    let names = [
        "with space",
        "hash#tag",
        "100%",
        "%41",
        "what?",
        "a+b",
        "...leading",
        "dots.inside",
        "x\u{fffe}\u{ffff}",
        "next\u{85}line",
        "quote'\"",
        "a&b=c",
        "semi;colon",
        "tilde~",
        "ümläut",
        "日本語",
        "👩‍👩‍👧‍👦",
        "e\u{301}",
        " leading",
        "trailing ",
        "-dash",
        "[x]*",
        "a:b|c<d>",
        "$dollar",
        "@at,comma!",
        "\u{a0}nbsp",
    ];
    let world = World::new();
    world.put("source", "content");
    let list: String = names.iter().map(|name| format!("{name}\n")).collect();
    let local = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(local.path(), &list).unwrap();
    let local = local.path().display();
    // Written, copied by the service, renamed, listed, read, also below a directory of that name.
    world.ok(&format!(
        "mkdir w c r d
while IFS= read -r n; do
    printf content > \"w/$n\" && cp -- \"w/$n\" \"c/$n\" && cp source \"r/tmp\" && mv -- r/tmp \"r/$n\" || exit 1
    mkdir -- \"d/$n\" && printf content > \"d/$n/$n\" || exit 1
done < {local}"
    ));
    for name in names {
        for dir in ["w", "c", "r"] {
            assert_eq!(world.stored(&format!("{dir}/{name}")), "content", "{dir}/{name}");
        }
        assert_eq!(world.stored(&format!("d/{name}/{name}")), "content", "{name}");
    }
    let mut sorted: Vec<_> = names.to_vec();
    sorted.sort();
    for dir in ["w", "c", "r", "d"] {
        let listed = world.ok(&format!("python3 -c \"import os; print('\\n'.join(sorted(os.listdir('{dir}'))))\""));
        assert_eq!(listed.trim_end_matches('\n').split('\n').collect::<Vec<_>>(), sorted, "{dir}");
    }
    world.ok("rm -r w c r d source");
    assert_eq!(world.ok("ls -A"), "");
}

#[test]
fn names_are_as_long_as_the_service_allows_and_the_kernel_carries() {
    let world = World::new();
    for expression in [
        "'x' * 255",
        "'x' * 256",
        "'x' * 1000",
        "'x' * 1024",
        "'ü' * 300",
        "'d/' * 254 + 'x'",
        "'😀' * 150",
        "'d/' + 'x' * 1022",
        "'/'.join(['y' * 100] * 10)",
    ] {
        let program = format!(
            "import os
name = {expression}
os.makedirs(os.path.dirname(name) or '.', exist_ok=True)
open(name, 'w').write('x')
assert open(name).read() == 'x'
os.rename(name, name[:-1] + 'z')
os.unlink(name[:-1] + 'z')"
        );
        world.ok(&format!("python3 - <<'END'\n{program}\nEND"));
    }
    // Longer still, but then its URL is too long to be the source of a copy.
    world.ok("python3 -c \"name = 'ü' * 500; open(name, 'w').write('x'); assert open(name).read() == 'x'\"");
    assert_refused(&world, "os.rename('ü' * 500, 'u')", "ENAMETOOLONG");
    assert_eq!(world.stored(&"ü".repeat(500)), "x");
}

#[test]
fn names_that_are_too_long_are_enametoolong() {
    let world = World::new();
    assert_refused(&world, "open('x' * 1025, 'w')", "ENAMETOOLONG");
    assert_refused(&world, "os.stat('x' * 1025)", "ENAMETOOLONG");
    // In UTF-16, of which these take two units each (S205). The kernel would carry no more of them in one name.
    assert_refused(
        &world,
        "os.makedirs('😀' * 250 + '/' + '😀' * 250); open('😀' * 250 + '/' + '😀' * 250 + '/' + 'x' * 23, 'w')",
        "ENAMETOOLONG",
    );
    world.ok("python3 -c \"open('😀' * 250 + '/' + '😀' * 250 + '/' + 'x' * 22, 'w').write('x')\"");
    assert_refused(&world, "os.mkdir('d'); open('d/' + 'x' * 1023, 'w')", "ENAMETOOLONG");
    assert_refused(&world, "os.mkdir('x' * 1025)", "ENAMETOOLONG");
    assert_refused(&world, "os.symlink('t', 'x' * 1025)", "ENAMETOOLONG");
    assert_refused(&world, "open('f', 'w').close(); os.rename('f', 'x' * 1025)", "ENAMETOOLONG");
}

#[test]
fn characters_that_no_blob_name_has_are_einval() {
    let world = World::new();
    // S205
    for name in ["'tab\\there'", "'line\\nbreak'", "'\\x01'", "'del\\x7f'", "'\\x81'", "'\\ue000'"] {
        assert_refused(&world, &format!("open({name}, 'w')"), "EINVAL");
        assert_refused(&world, &format!("os.mkdir({name})"), "EINVAL");
        assert_refused(&world, &format!("os.symlink('t', {name})"), "EINVAL");
        // What cannot be is not there.
        assert_refused(&world, &format!("os.stat({name})"), "ENOENT");
    }
}

#[test]
fn a_name_that_the_service_takes_for_another_is_no_name() {
    // S156, S203, S204
    let names = [r"a\\b", r"a\\", "doc.", "doc..", r"doc\\.", "a/b."];
    // Whether the directory was listed or not: what is not in a listing is not asked for.
    for listed in ["true", "ls -l . a"] {
        let world = World::new();
        let stored = ["a/b", "doc", "src"];
        stored.into_iter().for_each(|name| world.put(name, name));
        world.ok(listed);
        world.reset_stats();
        for name in names {
            let looks = ["os.stat", "os.unlink", "os.rmdir", "os.listdir", "open"];
            let mut refused = looks.map(|look| (format!("{look}('{name}')"), "ENOENT")).to_vec();
            refused.push((format!("os.rename('{name}', 'x')"), "ENOENT"));
            let changes = [
                format!("open('{name}', 'w')"),
                format!("open('{name}', 'a')"),
                format!("os.mkdir('{name}')"),
                format!("os.mkfifo('{name}')"),
                format!("os.symlink('target', '{name}')"),
                format!("os.rename('src', '{name}')"),
                format!("os.rename('a', '{}')", name.replace('/', "")),
            ];
            refused.extend(changes.into_iter().map(|change| (change, "EINVAL")));
            // Which is so for every name.
            refused.push((format!("os.link('src', '{name}')"), "EPERM"));
            assert_all_refused(&world, &refused);
        }
        // A directory of such a name is not made either, and so nothing below it.
        assert_refused(&world, "os.makedirs('dir./sub')", "EINVAL");
        for name in stored {
            assert_eq!(world.stored(name), name, "{listed}");
        }
        for change in ["PutBlob", "DeleteBlob", "CopyBlob", "SnapshotBlob"] {
            assert_eq!(world.stats().requests(change), 0, "{change}");
        }
        assert_eq!(world.ok("find . -type f | sort"), "./a/b\n./doc\n./src\n");
    }
}

#[test]
fn a_copy_by_ioctl_or_command_minds_names_as_well() {
    // S203, S204
    let world = World::new();
    world.put("a/b", "a/b");
    world.put("src", "src");
    let url = |name: &str| format!("{}/{BOX}/{name}", world.store.endpoint(ONE));
    let cp = |from: &str, to: &str| world.sh(&format!("{} cp '{from}' '{to}'", env!("CARGO_BIN_EXE_blobcp")));
    for (from, to, says) in [
        ("src", r"a\b", "means another blob"),
        ("src", "dot.", "means another blob"),
        (r"a\b", "x", "No such file"),
        ("src.", "x", "No such file"),
        (&url("a%5Cb"), "x", "means another blob"),
        (&url(r"a\b"), "x", "means another blob"),
        (&url("src."), "x", "means another blob"),
        (&url("src%2E"), "x", "means another blob"),
    ] {
        let ran = cp(from, to);
        assert!(ran.code != Some(0) && ran.stderr.contains(says), "{from} {to}: {ran:?}");
    }
    assert_eq!(world.stats().requests("CopyBlob"), 0);
    assert_eq!((world.stored("a/b"), world.is_stored("x")), ("a/b".into(), false));
    assert_eq!(cp(&url("src"), "x").code, Some(0));
}

#[test]
fn a_name_that_the_service_cannot_hold_is_refused_with_its_reason_in_the_log() {
    let world = logged();
    assert_refused(&world, "open('bell\\x07', 'w')", "EINVAL");
    assert_logged(&["create", "bell", "has a character that the service does not take"]);
    assert_refused(&world, "os.mkdir(b'latin-\\xe9')", "EILSEQ");
    assert_logged(&["latin-", "is not UTF-8, as blob names are"]);
    assert_refused(&world, "open('long' + 'x' * 1021, 'w')", "ENAMETOOLONG");
    assert_refused(&world, "open('trail.', 'w')", "EINVAL");
    assert_logged(&[
        "trail.",
        "the service takes a backslash for a slash, and drops dots at the end of a path segment",
    ]);
    // A path of 256 segments, of one character each (S205).
    assert_refused(&world, "os.makedirs('/'.join('d' * 256))", "ENAMETOOLONG");
    assert_logged(&["name=\"d\"", "a blob name holds 1 to 1024 UTF-16 units and at most 255 segments"]);
    assert!(world.is_stored(&"d/".repeat(255)[..509]));
    assert_refused(&world, "os.mkdir('../Capital')", "EINVAL");
    assert_logged(&["mkdir", "Capital", "must be 3 to 63 characters"]);
    // Nothing of it reached the service.
    assert_eq!(world.ok("ls -A"), "d\n");
}

#[test]
fn names_that_are_not_utf_8_are_eilseq() {
    let world = World::new();
    assert_refused(&world, "open(b'caf\\xe9', 'w')", "EILSEQ");
    assert_refused(&world, "os.mkdir(b'caf\\xe9')", "EILSEQ");
}

#[test]
fn blobs_with_names_that_no_path_can_have_do_not_disturb_the_others() {
    let world = World::new();
    // Some servers hold what the service would take for another name (S203, S204).
    for name in ["a//b", "/lead", "ok", "dots/trail.", "dots/ok", "seg./x", r"slash\x", "only/dir./x"] {
        world.put(name, "x");
    }
    assert_eq!(world.ok("ls -A"), "a\ndots\nok\nonly\n");
    assert_eq!(world.ok("ls -A a dots only"), "a:\n\ndots:\nok\n\nonly:\n");
    for full in ["a", "only"] {
        assert_refused(&world, &format!("os.rmdir('{full}')"), "ENOTEMPTY");
    }
    // Nothing is left behind under the old name of a directory.
    assert_refused(&world, "os.rename('only', 'new')", "EINVAL");
    assert_refused(&world, "os.rename('dots', 'new')", "EINVAL");
    world.ok("rm dots/ok");
    assert_refused(&world, "os.rmdir('dots')", "ENOTEMPTY");
    for name in ["dots/trail.", "seg./x", r"slash\x", "only/dir./x"] {
        assert_eq!(world.stored(name), "x");
    }
}

// What a container has, and what it has not

#[test]
fn symlinks_are_blobs_with_their_target() {
    let world = World::new();
    world.put("target", "content");
    world.ok("ln -s target link; ln -s /nowhere dangling; ln -s . self");
    assert_eq!(world.stored("link"), "target");
    assert!(world.properties(ONE, "link").unwrap().metadata.flag("is_symlink"));
    assert_eq!(world.ok("readlink link dangling; cat link; cat self/self/target"), "target\n/nowhere\ncontentcontent");
    assert_eq!(world.ok("find . -type l | sort"), "./dangling\n./link\n./self\n");
    assert_eq!(world.ok("stat -c '%s %F' link"), "6 symbolic link\n");
    assert_refused(&world, "os.symlink('x', 'link')", "EEXIST");
    world.ok("rm link");
    assert!(!world.is_stored("link") && world.is_stored("target"));
}

#[test]
fn symlinks_of_other_tools_are_followed() {
    let world = World::new();
    world.put("target", "content");
    let settings = BlobSettings { metadata: [("Is_Symlink", "true")].into_iter().collect(), ..Default::default() };
    let client = world.client(ONE);
    world
        .block_on(client.blob(&path("link")).block_blob().upload("target", &settings, &WriteOptions::default()))
        .unwrap();
    assert_eq!(world.ok("cat link; readlink link"), "contenttarget\n");
}

#[test]
fn what_a_blob_cannot_be_is_eperm() {
    let world = World::new();
    world.put("a", "x");
    assert_refused(&world, "os.link('a', 'b')", "EPERM");
    world.ok("python3 -c \"import os, stat; os.mknod('file', stat.S_IFREG | 0o600)\"");
    assert_eq!(world.ok("ls -A"), "a\nfile\n");
    eventually("the file is stored", || world.is_stored("file"));
    assert!(world.stored("file").is_empty());
}

#[test]
fn df_shows_room() {
    let world = World::new();
    let line = world.ok("df --output=size,used,avail,pcent -B1 . | tail -1");
    let fields: Vec<_> = line.split_whitespace().collect();
    assert_eq!(fields, ["1125899906842624", "0", "1125899906842624", "0%"]);
    world.ok("df -i . >/dev/null");
}

#[test]
fn statfs_says_how_long_a_name_may_be_where_it_is_asked() {
    let world = World::new();
    // The path to a directory is part of the names of the blobs in it.
    world.ok("mkdir -p d/sub 😀");
    let longest = |dir: &str| -> usize { world.ok(&format!("stat -f -c %l {dir}")).trim().parse().unwrap() };
    assert_eq!([".", "d", "d/sub", "😀", "../.."].map(longest), [1024, 1022, 1018, 1021, 255]);
    let python = "import os; n = os.pathconf('d/sub', 'PC_NAME_MAX'); open('d/sub/' + 'x' * n, 'w').write('x')";
    world.ok(&format!("python3 -c \"{python}\""));
    assert_eq!(world.stored(&format!("d/sub/{}", "x".repeat(1018))), "x");
    assert_refused(&world, "open('d/sub/' + 'x' * 1019, 'w')", "ENAMETOOLONG");
}
