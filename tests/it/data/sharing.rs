//! Writers and readers of one file: they see each other on this mount, and overwrite nobody elsewhere.

use super::*;

#[test]
fn a_second_descriptor_reads_what_was_written_before_close() {
    let world = World::new();
    world.put("old", pattern(MIB));
    python(
        &world,
        "w = open('f', 'wb', buffering=0)
w.write(b'hello')
assert open('f', 'rb').read() == b'hello'
assert os.stat('f').st_size == 5
w.write(b' world')
assert open('f', 'rb').read() == b'hello world'
a = open('old', 'ab', buffering=0)
a.write(b'tail')
data = open('old', 'rb').read()
assert len(data) == (1 << 20) + 4 and data.endswith(b'tail')",
    );
    assert_eq!(world.stored("f"), "hello world");
}

#[test]
fn what_is_already_on_its_way_can_be_read_before_close() {
    let world = World::new();
    python(
        &world,
        "w = open('f', 'wb', buffering=0)
for i in range(20): w.write(bytes([i]) * (1 << 20))
r = os.open('f', os.O_RDONLY)
for i in [0, 7, 8, 15, 19]: assert os.pread(r, 3, i << 20) == bytes([i]) * 3, i
w.write(b'end')
assert os.pread(r, 10, 20 << 20) == b'end'",
    );
    assert_eq!(world.stored("f").len(), 20 * MIB + 3);
}

#[test]
fn a_writer_that_meets_another_writer_goes_over_him_or_behind_him_or_gets_estale_and_destroys_nothing() {
    let world = World::new();
    let cases = [
        // Truncated, or added to, a file needs nothing of what was there.
        ("small", "wb", 10, "closed\n", "mmmmmmmmmm"),
        ("grown", "ab", 10, "closed\n", "theirsmmmmmmmmmm"),
        // What was staged of it the other one's write has discarded (S169).
        ("large", "wb", 20 << 20, "ESTALE\n", "theirs"),
        ("inside", "r+b", 4, "ESTALE\n", "theirs"),
    ];
    for (name, mode, size, printed, stored) in cases {
        world.put(name, "before");
        let program = format!(
            "f = open('{name}', '{mode}', buffering=0)
for i in range(0, {size}, 10 << 20): f.write(b'm' * min({size}, 10 << 20))
gate()
try:
    f.close()
    print('closed')
except OSError as e:
    print(errno.errorcode[e.errno])"
        );
        let ran = Gated::run(&world, &program, || {
            if name == "large" {
                // Staged, not only begun: those that come later, nobody discards.
                let is_staged =
                    || world.store.requests().iter().any(|one| one.operation == "PutBlock" && one.status == 201);
                eventually("staged blocks", is_staged);
            }
            world.put(name, "theirs");
        });
        assert_eq!(ran.stdout, printed, "{name}: {}", ran.stderr);
        assert_eq!(world.stored(name), stored, "{name}");
    }
}

#[test]
fn a_name_that_somebody_else_made_meanwhile_is_not_overwritten_by_who_wants_to_be_the_first() {
    let world = World::new();
    let program = "f = open('f', 'xb', buffering=0)
f.write(b'mine')
gate()
try:
    f.close()
    print('closed')
except OSError as e:
    print(errno.errorcode[e.errno])";
    let ran = Gated::run(&world, program, || world.put("f", "theirs"));
    assert_eq!(ran.stdout, "EEXIST\n", "{}", ran.stderr);
    assert_eq!(world.stored("f"), "theirs");
}

#[test]
fn a_file_opened_again_after_a_change_elsewhere_shows_it_also_while_a_writer_has_it_open() {
    let world = World::new();
    let mut writer = Gated::start(
        &world,
        "f = open('f', 'wb', buffering=0)
f.write(b'mine')
os.fsync(f.fileno())
gate()
print(open('f').read())
try:
    os.write(f.fileno(), b' and more')
    os.fsync(f.fileno())
    print('written')
except OSError as e:
    print(errno.errorcode[e.errno])",
    );
    writer.reached();
    world.put("f", "theirs");
    world.expire(&["f"]);
    let ran = writer.open();
    assert_eq!(ran.stdout, "theirs\nESTALE\n", "{}", ran.stderr);
    assert_eq!(world.stored("f"), "theirs");
}

#[test]
fn what_was_stored_cannot_be_read_any_more_once_it_is_removed_or_replaced() {
    // A delete that waited for the last close would be undone by a crash, and seen by others until then.
    let world = World::new();
    for (name, gone) in [("removed", "os.unlink('removed')"), ("replaced", "os.rename('other', 'replaced')")] {
        world.put(name, "content");
        world.put("other", "new");
        let program = format!(
            "f = os.open('{name}', os.O_RDONLY)
{gone}
assert (os.fstat(f).st_size, os.fstat(f).st_nlink) == (7, 0)
try: os.pread(f, 7, 0)
except OSError as e: print(errno.errorcode[e.errno])"
        );
        assert_eq!(python(&world, &program), "ENOENT\n", "{gone}");
    }
    assert!(!world.is_stored("removed"));
    assert_eq!(world.stored("replaced"), "new");
}

#[test]
fn a_file_unlinked_while_open_does_not_come_back() {
    let world = World::new();
    world.put("old", "old");
    python(
        &world,
        "f = open('new', 'w+b', buffering=0)
f.write(b'hello')
g = open('old', 'ab', buffering=0)
g.write(b'more')
os.unlink('new'); os.unlink('old')
f.write(b' world')
os.close(os.dup(f.fileno()))
f.seek(0)
assert f.read() == b'hello world'
os.fsync(f.fileno())
f.close(); g.close()
assert not os.path.exists('new') and not os.path.exists('old')",
    );
    assert!(!world.is_stored("new") && !world.is_stored("old"));
    assert_eq!(world.ok("ls -A"), "");
}

#[test]
fn a_file_unlinked_while_its_close_is_under_way_does_not_come_back() {
    let world = World::new();
    let put = world.stop(fault("PutBlob"));
    let writer = world.start("echo hello > f");
    put.reached();
    let mut rm = world.start("exec rm f");
    eventually("the removal", || rm.has_ended_or_is_in(&[libc::SYS_unlinkat]));
    put.let_go();
    assert_eq!(rm.wait().code, Some(0));
    writer.wait();
    assert!(!world.is_stored("f"));
    assert_eq!(world.ok("ls"), "");
}

#[test]
fn a_file_renamed_while_open_for_writing_is_written_under_its_new_name() {
    let world = World::new();
    python(
        &world,
        "f = open('a', 'wb', buffering=0)
f.write(b'hello')
os.rename('a', 'b')
f.write(b' world')
f.close()
assert not os.path.exists('a')
assert open('b').read() == 'hello world'",
    );
    assert_eq!(world.stored("b"), "hello world");
    assert!(!world.is_stored("a"));
}

#[test]
fn a_log_that_is_renamed_while_it_is_appended_to_goes_on() {
    let world = World::new();
    world.store.put_sparse_blocks(ONE, BOX, "log", 40 << 20, 4 << 20).unwrap();
    python(
        &world,
        "f = open('log', 'ab', buffering=0)
f.write(b'one '); os.fsync(f.fileno())
os.rename('log', 'log.1')
f.write(b'two '); os.fsync(f.fileno())
f.write(b'three'); f.close()",
    );
    assert_eq!(world.stored("log.1").slice(40 << 20..), "one two three");
    assert!(!world.is_stored("log"));
}

#[test]
fn two_writers_of_one_file_on_this_mount_see_each_other() {
    let world = World::new();
    python(
        &world,
        "a = open('f', 'ab', buffering=0); b = open('f', 'ab', buffering=0)
for i in range(10):
    a.write(b'a'); b.write(b'b')
a.close(); b.close()",
    );
    assert_eq!(world.stored("f"), "ab".repeat(10));
}

/// Who only writes does so past the kernel's cache, from which others read, map and follow.
#[test]
fn whoever_reads_through_the_cache_sees_what_a_writer_writes_past_it() {
    let world = World::new();
    world.put("f", vec![b'.'; MIB]);
    python(
        &world,
        "import mmap
def check(f, m, w, rounds):
    for i in rounds:
        at, data = i * 1999 % (len(m) - 9000), bytes([i % 250 + 1]) * (i * 17 % 9000 + 1)
        os.pwrite(w, data, at)
        assert m[at:at + len(data)] == data, i
        assert os.pread(f.fileno(), len(data), at) == data, i
def mapped():
    f = open('f', 'rb', buffering=0)
    m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
    assert m[:] == os.pread(f.fileno(), len(m), 0)
    return f, m
early = mapped()
w = os.open('f', os.O_WRONLY)
check(*early, w, range(300))
for used in early[1], early[0]: used.close()
os.close(w)
time.sleep(.1)
w = os.open('f', os.O_WRONLY)
check(*mapped(), w, range(300, 600))",
    );
    // A page is brought back by its readers while it is written, again and again, and the last one without what is being appended.
    python(
        &world,
        "import threading
letters = b'abcdefghijklmnopqrstuvwxyz' * 20000
log = os.open('log', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
done = False
wrong = []
def follow():
    with open('log', 'rb', buffering=0) as f:
        while not done and not wrong:
            seen = os.pread(f.fileno(), 1 << 20, 0)
            if seen != letters[:len(seen)]: wrong.append((len(seen), seen.find(0)))
followers = [threading.Thread(target=follow) for _ in range(3)]
for follower in followers: follower.start()
at = 0
with open('log', 'rb', buffering=0) as f:
    for i in range(1500):
        line = letters[at:at + i % 97 + 1]
        assert os.write(log, line) == len(line)
        at += len(line)
        assert os.pread(f.fileno(), 200, max(at - 150, 0)) == letters[max(at - 150, 0):at], i
done = True
for follower in followers: follower.join()
assert not wrong, wrong",
    );
}

/// Who maps a file that somebody writes past the cache goes past it, too, but for his mapping. Each has his own pages.
#[test]
fn a_mapping_and_a_writer_past_the_cache_change_one_file() {
    let world = World::new();
    world.put("f", vec![b'.'; MIB]);
    let seen = python(
        &world,
        "import mmap, threading
w = os.open('f', os.O_WRONLY)
f = open('f', 'r+b', buffering=0)
m = mmap.mmap(f.fileno(), 0)
def map():
    for i in range(0, 128, 2):
        m[i * 8192:i * 8192 + 8192] = b'm' * 8192
        if i % 20 == 0: m.flush()
mapper = threading.Thread(target=map)
mapper.start()
for i in range(1, 128, 2):
    os.pwrite(w, b'w' * 8192, i * 8192)
mapper.join()
m.flush()
print(m[:] == os.pread(f.fileno(), 1 << 20, 0))
m.close()
f.close()
os.close(w)",
    );
    assert_eq!(seen, "True\n");
    assert_eq!(world.stored("f"), [[b'm'; 8192], [b'w'; 8192]].concat().repeat(64));
}
