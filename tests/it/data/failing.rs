//! What goes wrong is said, tried again, and loses nothing.

use super::*;

#[test]
fn a_busy_service_is_asked_again() {
    let world = World::new();
    for operation in ["PutBlob", "PutBlock", "PutBlockList", "GetBlob"] {
        world.store.add_fault(Fault { status: Some(503), count: 2, ..fault(operation) });
    }
    world.ok("echo small > small");
    world.ok(&format!("head -c {} /dev/zero > large; cmp large <(head -c {} /dev/zero)", 3 * BLOCK, 3 * BLOCK));
    assert_eq!(world.stored("small"), "small\n");
    assert_eq!(world.stored("large").len() as u64, 3 * BLOCK);
}

#[test]
fn close_says_what_could_not_be_stored() {
    let world = logged();
    for (name, operation, size) in [("put-blob", "PutBlob", 10), ("block-list", "PutBlockList", 20 << 20)] {
        world.store.clear_faults();
        world.store.add_fault(persistent(operation));
        let program = format!(
            "f = open('{name}', 'wb', buffering=0)
for i in range(0, {size}, 1 << 20): f.write(b'x' * min({size}, 1 << 20))
try:
    f.close()
    print('closed')
except OSError as e:
    print(errno.errorcode[e.errno])"
        );
        assert_eq!(python(&world, &program), "EIO\n", "{name}");
        assert!(!world.is_stored(name), "{name}");
        assert_logged(&["flush", "InternalError", name]);
    }
}

#[test]
fn what_could_not_be_stored_is_not_shown_any_more() {
    let world = World::new();
    world.put("f", pattern(1 << 20));
    for operation in ["PutBlob", "PutBlockList"] {
        world.store.add_fault(persistent(operation));
    }
    // The kernel has what is written in its cache, for the file is open for reading, too.
    let written = "
f = os.open('f', os.O_RDWR)
os.pread(f, 1 << 20, 0)
os.pwrite(f, b'new', 1000)
try: os.close(f)
except OSError as e: print(errno.errorcode[e.errno])
try: open('n', 'w').close()
except OSError as e: print(errno.errorcode[e.errno])";
    assert_eq!(python(&world, written), "EIO\nEIO\n");
    // It was tried once more when nobody had it open any more.
    eventually("the end of that", || world.ok("getfattr --only-values -n user.blob.usage .").contains("open 0\n"));
    world.store.clear_faults();
    world.ok("cat f > /dev/null; ! stat n 2> /dev/null");
    assert_eq!(
        python(&world, "import hashlib; print(hashlib.md5(open('f', 'rb').read()).hexdigest())").trim(),
        md5_of(&pattern(1 << 20))
    );
    assert_eq!(world.ok("ls"), "f\n");
    world.ok("echo again > n; printf new | dd of=f bs=1 seek=1000 conv=notrunc status=none");
    assert_eq!((world.stored("n"), &world.stored("f")[1000..1003]), ("again\n".into(), &b"new"[..]));
}

fn md5_of(bytes: &[u8]) -> String {
    use md5::Digest;
    md5::Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_block_that_cannot_be_stored_is_an_error_of_write_or_close() {
    let world = logged();
    world.store.add_fault(persistent("PutBlock"));
    let program = format!(
        "f = open('blocks', 'wb', buffering=0)
errors = []
for i in range(0, {}, 1 << 20):
    try: f.write(b'x' * (1 << 20))
    except OSError as e: errors.append(errno.errorcode[e.errno])
try: f.close()
except OSError as e: errors.append(errno.errorcode[e.errno])
print(sorted(set(errors)))",
        20 << 20
    );
    assert_eq!(python(&world, &program), "['EIO']\n");
    assert!(!world.is_stored("blocks"));
    assert_logged(&["InternalError", "blocks"]);
}

#[test]
fn fsync_tries_again_what_it_could_not_store_before() {
    let world = World::new();
    world.store.add_fault(persistent("PutBlock"));
    let mut writer = Gated::start(
        &world,
        "f = open('f', 'wb', buffering=0)
n = 0
for i in range(12):
    try: n += f.write(bytes([i]) * (1 << 20))
    except OSError: pass
try:
    os.fsync(f.fileno())
    print('no error')
except OSError: pass
gate()
os.fsync(f.fileno())
f.close()
print(n)",
    );
    writer.reached();
    world.store.clear_faults();
    let ran = writer.open();
    let written: usize = ran.stdout.trim().parse().unwrap_or_else(|_| panic!("{ran:?}"));
    assert!(written >= 8 * MIB);
    let expected: Vec<u8> = (0..12).flat_map(|i| vec![i; MIB]).take(written).collect();
    assert!(world.stored("f") == expected);
}

#[test]
fn a_failed_append_can_be_closed_again_without_losing_or_doubling_anything() {
    let world = World::new();
    world.store.put_sparse_blocks(ONE, BOX, "f", 40 << 20, 4 << 20).unwrap();
    world.store.add_fault(persistent("GetBlockList"));
    let mut writer = Gated::start(
        &world,
        "f = open('f', 'ab', buffering=0)
f.write(b'tail')
try:
    os.fsync(f.fileno())
    print('no error')
except OSError: pass
gate()
f.write(b' end')
f.close()",
    );
    writer.reached();
    world.store.clear_faults();
    let ran = writer.open();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{}", ran.stderr);
    assert_eq!(world.stored("f").slice(40 << 20..), "tail end");
}

#[test]
fn lost_answers_neither_double_nor_fail() {
    let world = World::new();
    for operation in ["PutBlob", "PutBlock", "PutBlockList", "PutBlockFromURL"] {
        world.store.add_fault(Fault { reset: Some(Reset::After), ..fault(operation) });
    }
    world.ok("echo small > small");
    world.ok("echo more >> small");
    world.ok(&format!("head -c {} /dev/zero > large", 2 * BLOCK + 5));
    assert_eq!(world.stored("small"), "small\nmore\n");
    assert_eq!(world.stored("large").len() as u64, 2 * BLOCK + 5);
}

#[test]
fn a_body_that_breaks_off_is_fetched_again() {
    let world = World::new();
    world.put("f", pattern(9 * MIB));
    world.store.add_fault(Fault { truncate_body: Some(1000), count: 2, ..fault("GetBlob") });
    let local = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(local.path(), pattern(9 * MIB)).unwrap();
    world.ok(&format!("cmp f {}", local.path().display()));
}

#[test]
fn a_read_that_failed_can_be_tried_again() {
    let world = World::new();
    world.put("f", pattern(MIB));
    world.store.add_fault(Fault { count: 3, status: Some(500), ..fault("GetBlob") });
    python(
        &world,
        "fd = os.open('f', os.O_RDONLY)
for attempt in range(5):
    try:
        assert len(os.pread(fd, 1 << 20, 0)) == 1 << 20
        break
    except OSError as e:
        assert e.errno == errno.EIO
else:
    raise Exception('never')",
    );
}

#[test]
fn a_file_without_a_name_holds_what_memory_holds_and_no_more() {
    let world = logged();
    let program = "f = open('nameless', 'w+b', buffering=0); os.unlink('nameless')
n = 0
try:
    for i in range(128): n += f.write(b'x' * (1 << 20))
except OSError as e: print(errno.errorcode[e.errno])
f.seek(0); assert len(f.read(1 << 20)) == 1 << 20
f.close()";
    assert_eq!(python(&world, program), "ENOSPC\n");
    assert!(!world.is_stored("nameless"));
    assert_logged(&["nameless", "without a name"]);
}
