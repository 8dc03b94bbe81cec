//! Everything together, compared with a disk.

use super::*;

/// Does as the seed says, in the current directory, and prints what came of each step.
const RANDOM_STEPS: &str = r#"
import os, sys, random, errno, hashlib, shutil, stat, mmap, ctypes
r = random.Random(int(sys.argv[1]))
kept = []
def name():
    return r.choice(['', '', 'a/', 'b/', 'a/c/']) + r.choice(['f', 'g', 'h', 'a', 'b'])
def data():
    n = r.choice([0, 1, 10, 1000, 70000, 1 << 20, 9 << 20] if r.random() < .2 else [0, 1, 10, 1000])
    return r.randbytes(min(n, 1 << 16)) * max(1, n >> 16)
def at(): return r.choice([0, 0, r.randrange(20), r.randrange(2000), r.randrange(1 << 20), r.randrange(12 << 20)])
def digest(path):
    with open(path, 'rb') as f: return hashlib.md5(f.read()).hexdigest()
def write(p, d):
    with open(p, 'wb') as f: f.write(d)
def append(p, d):
    with open(p, 'ab') as f: f.write(d)
def keep(p, d):
    f = open(p, 'ab', buffering=0)
    kept.append(f)
    f.write(d)
def kept_write(d):
    if kept: r.choice(kept).write(d[:1000])
def kept_sync():
    if kept: os.fsync(r.choice(kept).fileno())
def kept_close():
    if kept: kept.pop(r.randrange(len(kept))).close()
def copy(p, q):
    with open(p, 'rb') as i, open(q, 'wb') as o:
        n = os.fstat(i.fileno()).st_size
        while n > 0: n -= os.copy_file_range(i.fileno(), o.fileno(), n)
def inside(p, at, d, close):
    f = open(p, 'r+b', buffering=0)
    os.pwrite(f.fileno(), d, at)
    if close: f.close()
    else: kept.append(f)
    return digest(p)
def allocate(p, at, n, mode):
    with open(p, 'r+b', buffering=0) as f:
        if mode is None: os.posix_fallocate(f.fileno(), at, n)
        elif ctypes.CDLL(None, use_errno=True).fallocate(f.fileno(), mode, ctypes.c_long(at), ctypes.c_long(n)): return 'errno'
    return digest(p)
def copy_range(p, q, a, b, n):
    with open(p, 'rb') as i, open(q, 'r+b') as o:
        n = min(n, max(os.fstat(i.fileno()).st_size - a, 0))
        while n > 0:
            m = os.copy_file_range(i.fileno(), o.fileno(), n, a, b)
            n -= m; a += m; b += m
    return digest(q)
def mapped(p, at, d):
    with open(p, 'r+b') as f:
        if not os.fstat(f.fileno()).st_size: return
        m = mmap.mmap(f.fileno(), 0)
        at = min(at, len(m) - 1); d = d[:len(m) - at]
        m[at:at + len(d)] = d
        m.close()
    return digest(p)
def look(p):
    s = os.lstat(p)
    return stat.S_IFMT(s.st_mode), (stat.S_IMODE(s.st_mode), s.st_size) if not stat.S_ISDIR(s.st_mode) else 0
def listing(p): return sorted((e.name, e.is_dir(follow_symlinks=False), e.is_symlink()) for e in os.scandir(p))
def touch(p):
    os.utime(p, (5, r.randrange(10**9))); return os.stat(p).st_mtime_ns if os.path.isfile(p) else 0
def read_while_open(p, d):
    with open(p, 'ab', buffering=0) as f:
        f.write(d); return digest(p), os.stat(p).st_size
def replace(p, d):
    write('tmp', d); os.replace('tmp', p); return digest(p)
def tree():
    for top, dirs, files in os.walk('.'):
        for n in sorted(dirs + files):
            p = os.path.join(top, n)
            print(p, look(p), os.readlink(p) if os.path.islink(p) else digest(p) if os.path.isfile(p) else '')
        dirs.sort()
steps = [(write, name, data), (append, name, data), (keep, name, data), (kept_write, data), (kept_write, data), (kept_sync,),
    (kept_close,), (copy, name, name), (os.rename, name, name), (os.rename, name, name), (os.unlink, name), (os.mkdir, name),
    (os.mkdir, lambda: r.choice(['a', 'b', 'a/c'])), (os.rmdir, name), (look, name), (look, name), (digest, name), (touch, name),
    (listing, lambda: r.choice(['.', 'a', 'b', 'a/c'])), (os.chmod, name, lambda: r.choice([0o600, 0o644, 0o755])),
    (os.truncate, name, at), (os.truncate, name, at), (inside, name, at, data, lambda: r.random() < .5), (inside, name, at, data, lambda: True),
    (allocate, name, at, lambda: r.randrange(1, 100000), lambda: r.choice([None, 1, 3, 16, 17])), (mapped, name, at, data),
    (copy_range, name, name, at, at, at), (copy_range, name, name, at, at, at), (read_while_open, name, data), (os.symlink, lambda: r.choice(['f', 'nowhere']), name),
    (replace, name, data)]
for i in range(int(sys.argv[2])):
    step, *arguments = r.choice(steps)
    arguments = [a() for a in arguments]
    try: came = step(*arguments)
    except OSError as e: came = errno.errorcode[e.errno]
    shown = [a if len(a) < 20 else len(a) for a in arguments if isinstance(a, (str, bytes))]
    print(i, step.__name__, shown, came if came != 'EEXIST' else 'ENOTEMPTY')
for f in kept: f.close()
tree()
"#;

#[test]
fn random_steps_come_out_as_on_a_disk() {
    let program = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(program.path(), RANDOM_STEPS).unwrap();
    let program = program.path().display();
    let seeds = std::env::var("BLOBCP_TEST_SEEDS").unwrap_or_else(|_| "1 2 3 4".into());
    for (i, seed) in seeds.split_whitespace().enumerate() {
        let ttl = Duration::from_millis(if i % 2 == 0 { 1000 } else { 1 });
        let world = World::with(Setup { attr_ttl: ttl, ..Default::default() });
        let disk = tempfile::tempdir().unwrap();
        let command = format!("python3 {program} {seed} 300");
        let expected = world.ok(&format!("cd {} && {command}", disk.path().display()));
        let ran = world.sh(&command);
        for (expected, line) in expected.lines().zip(ran.stdout.lines()) {
            assert_eq!(line, expected, "seed {seed}: here and on a disk\n{}", ran.stderr);
        }
        assert_eq!((ran.code, ran.stdout.lines().count()), (Some(0), expected.lines().count()), "{}", ran.stderr);
    }
}
