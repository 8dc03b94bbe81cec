//! Who closes a file and goes on writing to it by another descriptor waits for no commit (D36); whoever closes it last does.

use super::*;

/// As Deno does for each write: by a duplicate of the descriptor, which is closed when that is done.
const WRITE: &str = "
def write(fd, data):
    duplicate = os.dup(fd)
    assert os.write(duplicate, data) == len(data)
    os.close(duplicate)
f = os.open('f', os.O_CREAT | os.O_WRONLY, 0o644)";

/// A program that writes so, and has done its first part.
#[track_caller]
fn writing(world: &World, first: &str, second: &str) -> Gated {
    Gated::between(world, &format!("{WRITE}\n{first}"), second)
}

#[test]
fn writes_by_duplicates_of_a_descriptor_cost_no_commit_each() {
    let world = World::new();
    world.ok("ls -l");
    world.reset_stats();
    let program = format!(
        "{WRITE}
for i in range(320): write(f, bytes([i % 251]) * 65536)
os.close(f)"
    );
    python(&world, &program);
    let stats = world.stats();
    // One for each write would be 320, and two for each as many more. A slow machine takes a commit a second.
    assert!(stats.total <= 330, "{stats:?}");
    let expected: Vec<u8> = (0..320).flat_map(|i| [(i % 251) as u8; 65536]).collect();
    assert!(world.stored("f") == expected);
}

#[test]
fn what_waits_for_the_last_close_is_seen_here_at_once_and_elsewhere_soon() {
    let world = World::new();
    let gated = writing(
        &world,
        "for line in (b'one ', b'two ', b'three '): write(f, line)
assert open('f').read() == 'one two three ' and os.stat('f').st_size == 14",
        "os.close(f)",
    );
    // The file is open still.
    eventually("all of it is stored", || world.stored("f") == "one two three ");
    gated.finish();
    let stats = world.stats();
    assert!(stats.requests("PutBlob") <= 3, "{stats:?}");
}

#[test]
fn the_first_close_stores_and_so_does_the_last() {
    let world = World::new();
    let gated = writing(
        &world,
        "write(f, b'one ')",
        "write(f, b'two ')
os.close(f)",
    );
    assert_eq!(world.stored("f"), "one ");
    gated.finish();
    assert_eq!(world.stored("f"), "one two ");
}

#[test]
fn what_could_not_be_stored_in_time_is_told_by_the_next_close() {
    let world = World::new();
    let gated = writing(
        &world,
        "write(f, b'one ')",
        "try:
    while True:
        write(f, b'.')
except OSError as e: print(errno.errorcode[e.errno])
os.close(f)",
    );
    // The one that nobody waits for, and that of the next close.
    world.store.add_fault(Fault { count: 2, status: Some(403), ..fault("PutBlob") });
    let ran = gated.open();
    assert_eq!((ran.stdout.as_str(), ran.code), ("EACCES\n", Some(0)), "{}", ran.stderr);
    assert_eq!(world.stats().requests("PutBlob"), 4, "{:#?}", world.store.requests());
    let stored = world.stored("f");
    assert!(stored.len() > 5 && stored.starts_with(b"one ..") && stored[4..].iter().all(|byte| *byte == b'.'));
}

#[test]
fn a_close_stores_where_others_write_or_the_descriptor_that_stays_open_only_reads() {
    for other in ["os.open('f', os.O_WRONLY | os.O_APPEND)", "os.open('f', os.O_RDONLY)", "os.open('f', os.O_PATH)"] {
        let world = World::new();
        let gated = writing(
            &world,
            &format!(
                "write(f, b'one ')
other = {other}
os.write(f, b'two ')
os.close(f)"
            ),
            "pass",
        );
        assert_eq!(world.stored("f"), "one two ", "{other}");
        gated.finish();
    }
}

#[test]
fn what_a_child_has_written_is_stored_when_it_ends() {
    let world = World::new();
    let mut gated = Gated::start(
        &world,
        "import subprocess
f = os.open('f', os.O_CREAT | os.O_WRONLY, 0o644)
for word in ('one', 'two', 'three'): subprocess.run(['/bin/echo', word], stdout=f, check=True)
gate()",
    );
    gated.reached();
    assert_eq!(world.stored("f"), "one\ntwo\nthree\n");
    gated.finish();
}

#[test]
fn fsync_stores_what_waits_for_the_last_close() {
    let world = World::new();
    let gated = writing(
        &world,
        "for line in (b'one ', b'two ', b'three '): write(f, line)
os.fsync(f)",
        "pass",
    );
    assert_eq!(world.stored("f"), "one two three ");
    gated.finish();
}

#[test]
fn a_name_that_is_renamed_or_removed_meanwhile_is_what_it_is() {
    let world = World::new();
    let program = |then: &str| {
        format!(
            "{WRITE}
for line in (b'one ', b'two '): write(f, line)
{then}
for line in (b'three ', b'four '): write(f, line)
os.close(f)"
        )
    };
    python(&world, &program("os.rename('f', 'g')"));
    assert_eq!((world.stored("g"), world.is_stored("f")), ("one two three four ".into(), false));
    python(&world, &program("os.unlink('f')"));
    assert!(!world.is_stored("f"));
    // Also when the time is up within which it would be stored.
    let mut gated = Gated::start(&world, &program("os.unlink('f')\ngate()"));
    gated.reached();
    python(&world, "os.mknod('later')");
    eventually("the later one is stored", || world.is_stored("later"));
    gated.finish();
    assert!(!world.is_stored("f"));
    assert_eq!(world.ok("ls"), "g\nlater\n");
}
