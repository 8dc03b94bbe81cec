//! Large directories: pages come as they are read, one ahead, and no name is lost or doubled, whatever happens meanwhile.

use std::time::Duration;

use blobcp::devstore::PolicyChange;
use blobcp::store::DeleteOptions;

use crate::common::*;

/// A world that believes for long what it has heard, and names of a directory in pages of that many.
fn world(page: usize) -> World {
    let world = World::with(Setup { attr_ttl: Duration::from_secs(600), ..Default::default() });
    world.store.change_policy(PolicyChange { list_page: Some(page), ..Default::default() });
    world
}

fn fill(world: &World, dir: &str, count: usize) {
    for i in 0..count {
        world.put_sparse(&format!("{dir}/f{i:06}"), 7);
    }
    world.ok(&format!("stat {dir} >/dev/null"));
    world.reset_stats();
}

/// opendir and its relatives, as `names(d, most)`, `tell(d)`, `seek(d, at)`.
const DIRENT: &str = "
import ctypes
libc = ctypes.CDLL(None)
libc.opendir.restype = libc.readdir.restype = ctypes.c_void_p
libc.telldir.restype = ctypes.c_long
libc.readdir.argtypes = libc.rewinddir.argtypes = libc.telldir.argtypes = [ctypes.c_void_p]
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
tell, seek = libc.telldir, libc.seekdir
def names(d, most):
    found = []
    while len(found) < most and (entry := libc.readdir(d)): found.append(ctypes.string_at(entry + 19).decode())
    return [name for name in found if name not in ('.', '..')]
";

#[test]
fn a_hundred_thousand_entries_are_twenty_requests_and_the_first_are_there_after_one() {
    // Design §9
    let world = world(5000);
    fill(&world, "d", 100_000);
    let program = "entries = os.scandir('d')
seen = {next(entries).name}
gate()
for entry in entries: seen.add(entry.name)
assert seen == {f'f{i:06}' for i in range(100_000)}, len(seen)";
    let ran = Gated::run(&world, program, || {
        let stats = world.stats();
        assert_eq!((stats.total, stats.requests("ListBlobs")), (1, 1), "{:#?}", world.store.requests());
    });
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let stats = world.stats();
    assert_eq!((stats.total, stats.requests("ListBlobs")), (20, 20), "{stats:?}");
    // What was listed answers also for what was not.
    world.reset_stats();
    world.ok("! stat d/f100000 2>/dev/null; stat d/f000000 d/f099999 >/dev/null");
    assert_eq!(world.stats().total, 0, "{:#?}", world.store.requests());
}

#[test]
fn ls_l_of_a_large_directory_asks_for_no_file() {
    let world = world(1000);
    fill(&world, "d", 20_000);
    assert_eq!(world.ok("ls -l d | grep -c ' 7 .* f0'").trim(), "20000");
    let stats = world.stats();
    assert_eq!((stats.total, stats.requests("ListBlobs")), (20, 20), "{stats:?}");
}

#[test]
fn programs_that_list_thousands_before_they_look_at_them_ask_for_no_file() {
    // fts(3), as find has it, reads up to 10 000 names at a time.
    let world = world(1000);
    fill(&world, "d", 15_000);
    assert_eq!(world.ok("find d -type f -size 7c -newermt 2001-01-01 | wc -l").trim(), "15000");
    let stats = world.stats();
    assert_eq!((stats.total, stats.requests("ListBlobs")), (15, 15), "{stats:?}");
}

#[test]
fn one_page_is_fetched_ahead_and_not_more() {
    let world = world(1000);
    fill(&world, "d", 10_000);
    let program = "entries = os.scandir('d')
for i in range(900): next(entries)
gate()
assert len(list(entries)) == 9100";
    let mut reader = Gated::start(&world, program);
    reader.reached();
    eventually("the second page", || world.stats().requests("ListBlobs") >= 2);
    assert_eq!(world.stats().total, 2, "{:#?}", world.store.requests());
    assert_eq!(reader.open().code, Some(0));
    assert_eq!(world.stats().total, 10, "{:#?}", world.store.requests());
}

#[test]
fn a_page_that_failed_ahead_is_asked_for_again() {
    let world = world(1000);
    fill(&world, "d", 3000);
    let fail = r#"{"operation":"ListBlobs","skip":1,"status":403,"code":"AuthorizationFailure","count":1}"#;
    world.store.add_fault(fault(fail));
    let program = "entries = os.scandir('d')
found = []
while len(found) < 3000:
    try: found.append(next(entries).name)
    except PermissionError: print('refused')
    except StopIteration: entries = iter([e for e in os.scandir('d') if e.name not in found])";
    assert_eq!(python(&world, program), "refused\n");
}

#[test]
fn seekdir_goes_back_to_where_telldir_was_however_far() {
    // 20 pages, of which the stream keeps about half in memory.
    let world = world(1000);
    fill(&world, "d", 20_000);
    let program = format!(
        "{DIRENT}
d = libc.opendir(b'd')
all = names(d, 2)
places = []
for i in range(40):
    places.append((tell(d), len(all)))
    all += names(d, 500)
assert len(all) == 20_000 == len(set(all)) and not names(d, 1)
for at, count in places[::-7] + places[:2]:
    seek(d, at)
    assert names(d, 700) == all[count:count + 700], count
seek(d, places[3][0])
assert names(d, 30_000) == all[places[3][1]:]
libc.rewinddir(d)
assert names(d, 30_000) == all"
    );
    python(&world, &program);
}

#[test]
fn a_page_that_is_listed_anew_holds_what_it_held_but_for_what_came_and_went() {
    let world = world(1000);
    fill(&world, "d", 20_000);
    let program = format!(
        "{DIRENT}
d = libc.opendir(b'd')
first = names(d, 502)
at = tell(d)
rest = names(d, 30_000)
gate()
seek(d, at)
again = names(d, 30_000)
old = [name for name in again if len(name) == 7]
assert len(set(again)) == len(again)
left = [name for name in rest if name not in ('f000700', 'f001000', 'f005000')]
# The last name of a page belongs to the next, and is known since that was listed first.
assert old == left, set(old) ^ set(left)"
    );
    // Names before, in and behind the place, and at the ends of pages.
    let ran = Gated::run(&world, &program, || {
        for name in ["f000100", "f000700", "f000999", "f001000", "f005000"] {
            let gone = world.client(ONE);
            let blob = path(&format!("d/{name}"));
            world.block_on(gone.blob(&blob).delete(&DeleteOptions::default())).unwrap();
        }
        for name in ["f000000-", "f000600-", "f000999-", "f001999-", "f002000-", "f009999-"] {
            world.put(&format!("d/{name}"), "new");
        }
    });
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn a_file_that_is_not_stored_yet_is_listed_once_whenever_it_is_stored() {
    let world = world(1000);
    fill(&world, "d", 12_000);
    let program = "early = open('d/a-early', 'wb'); early.write(b'x')
late = open('d/z-late', 'wb'); late.write(b'x')
never = open('d/never', 'wb'); never.write(b'x')
entries = os.scandir('d')
seen = [next(entries).name for i in range(6000)]
early.close(); late.close()
seen += [entry.name for entry in entries]
assert [seen.count(name) for name in ('a-early', 'z-late', 'never')] == [1, 1, 1], seen[-3:]
assert len(seen) == 12_003 == len(set(seen))
never.close()
assert len(os.listdir('d')) == 12_003";
    python(&world, program);
}

#[test]
fn a_directory_beside_blobs_of_like_names_is_one_entry_however_far_apart() {
    let world = world(100);
    // Between `x` and `x/` there are three pages, in which `x-` begins the same game.
    for name in ["x", "x/y", "x-", "x-/y", "z"] {
        world.put(name, "");
    }
    for i in 0..300 {
        world.put(&format!("x-!{i:03}"), "");
        world.put(&format!("x!{i:03}/y"), "");
    }
    let listed = world.ok("ls -U -p");
    let mut names: Vec<_> = listed.lines().collect();
    names.sort_unstable();
    assert_eq!(names.len(), 603);
    names.dedup();
    assert_eq!(names.len(), 603);
    assert!(names.contains(&"x/") && names.contains(&"x-/") && names.contains(&"z") && !names.contains(&"x"));
}

#[test]
fn a_removed_tree_of_a_large_directory_leaves_nothing() {
    // rm reads on while it removes.
    let world = world(500);
    fill(&world, "d", 3000);
    world.ok("rm -r d");
    assert_eq!(world.ok("ls"), "");
    assert!(!world.is_stored("d/f002999"));
    assert_eq!(world.stats().requests("DeleteBlob"), 3000 + u64::from(world.stats().requests("PutBlob") > 0));
}
