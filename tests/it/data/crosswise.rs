//! Three files of any types with copies between them, compared with what three arrays of bytes would hold.
//!
//! What a file holds is in many places at once: in blocks that are committed, in such that are only staged, in memory. A copy into such a
//! file, out of it, or over a boundary of any of these must be the bytes of that moment. Sequences are drawn by a seed, printed with a
//! failure and set by `BLOBCP_TEST_SEEDS`, and what fails is shrunk.

use blobcp::store::{BlobSettings, BlobType};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use super::*;

/// What a program does to the files 0, 1 and 2. Bytes.
#[derive(Debug, Clone)]
enum Step {
    Write {
        file: usize,
        at: u64,
        len: u64,
    },
    Append {
        file: usize,
        len: u64,
    },
    /// From file and offset to file and offset.
    Copy {
        from: (usize, u64),
        to: (usize, u64),
        len: u64,
    },
    CopyToEnd {
        from: (usize, u64),
        to: usize,
        len: u64,
    },
    Truncate {
        file: usize,
        len: u64,
    },
    Zero {
        file: usize,
        at: u64,
        len: u64,
    },
    Read {
        file: usize,
        at: u64,
    },
    Sync {
        file: usize,
    },
    Reopen {
        file: usize,
    },
}

impl Step {
    /// As the program below understands it.
    fn call(&self) -> String {
        match self {
            Self::Write { file, at, len } => format!("write({file}, {at}, {len})"),
            Self::Append { file, len } => format!("write({file}, len(model[{file}]), {len})"),
            Self::Copy { from: (f, a), to: (t, b), len } => format!("copy({f}, {a}, {t}, {b}, {len})"),
            Self::CopyToEnd { from: (f, a), to, len } => format!("copy({f}, {a}, {to}, len(model[{to}]), {len})"),
            Self::Truncate { file, len } => format!("truncate({file}, {len})"),
            Self::Zero { file, at, len } => format!("zero({file}, {at}, {len})"),
            Self::Read { file, at } => format!("read({file}, {at})"),
            Self::Sync { file } => format!("os.fsync(fd[{file}])"),
            Self::Reopen { file } => format!("reopen({file})"),
        }
    }
}

/// Does steps to the files of these types, as far as the types allow, and looks after each read and in the end. What the files should
/// hold is left in the directory `there`.
const PROGRAM: &str = r#"
import random
names, kinds, there = NAMES, KINDS, THERE
PAGE = 512
fd = [os.open(n, os.O_RDWR | os.O_CREAT) for n in names]
model = [bytearray(os.pread(f, 1 << 20, 0)) for f in fd]
count = 0
def fresh(n):
    global count
    count += 1
    return random.Random(count).randbytes(n)
def put(f, at, d):
    if not d: return
    model[f].extend(bytes(max(0, at + len(d) - len(model[f]))))
    model[f][at:at + len(d)] = d
def allowed(f, at, n):
    """As much as the type takes there."""
    end = at + n
    if kinds[f] == 'AppendBlob' and at != len(model[f]): return 0
    if kinds[f] == 'PageBlob' and end > len(model[f]): end -= end % PAGE
    return max(0, end - at)
def write(f, at, n):
    d = fresh(allowed(f, at, n))
    put(f, at, d)
    while d:
        m = os.pwrite(fd[f], d, at)
        d = d[m:]; at += m
def copy(f, a, t, b, n):
    n = allowed(t, b, min(n, max(0, len(model[f]) - a)))
    # Ranges of one file that overlap are refused by the kernel.
    if f == t: n = min(n, abs(a - b))
    n = allowed(t, b, n)
    put(t, b, bytes(model[f][a:a + n]))
    while n > 0:
        m = os.copy_file_range(fd[f], fd[t], n, a, b)
        assert 0 < m <= n, m
        n -= m; a += m; b += m
def truncate(f, n):
    if kinds[f] == 'AppendBlob' and n: return
    if kinds[f] == 'PageBlob': n -= n % PAGE
    del model[f][n:]
    model[f].extend(bytes(n - len(model[f])))
    os.ftruncate(fd[f], n)
def zero(f, at, n):
    if kinds[f] == 'AppendBlob': return
    n = min(n, len(model[f]) - at)
    if n > 0:
        model[f][at:at + n] = bytes(n)
        import ctypes
        assert not ctypes.CDLL(None).fallocate(fd[f], 3, ctypes.c_long(at), ctypes.c_long(n))
def same(f, d, at, step):
    m = model[f][at:at + len(d)] if d else model[f][at:at + 1]
    if d == m: return
    first = next((i for i, (x, y) in enumerate(zip(d, m)) if x != y), min(len(d), len(m)))
    sys.exit(f'{step}: file {f} differs from byte {at + first} on')
def read(f, at):
    same(f, os.pread(fd[f], 100000, at), at, 'read')
def reopen(f):
    os.close(fd[f])
    fd[f] = os.open(names[f], os.O_RDWR)
STEPS
for f in range(3):
    assert os.fstat(fd[f]).st_size == len(model[f]), (f, os.fstat(fd[f]).st_size, len(model[f]))
    os.close(fd[f])
    open(f'{there}/{f}', 'wb').write(model[f])
"#;

/// Steps on files of about `scale` bytes. Copies come in bursts onto one file: between them nothing of it has to be stored.
fn steps(scale: u64) -> impl Strategy<Value = Vec<Step>> {
    let file = || 0usize..3;
    let at = move || 0..scale;
    let len = move || prop_oneof![3 => 1..scale / 4, 1 => 1..scale];
    let place = move || (file(), at());
    let burst = (file(), prop::collection::vec((place(), at(), len()), 1..5)).prop_map(|(to, copies)| {
        copies.into_iter().map(|(from, at, len)| Step::Copy { from, to: (to, at), len }).collect()
    });
    let one = prop_oneof![
        3 => (place(), len()).prop_map(|((file, at), len)| Step::Write { file, at, len }),
        3 => (file(), len()).prop_map(|(file, len)| Step::Append { file, len }),
        3 => (place(), file(), len()).prop_map(|(from, to, len)| Step::CopyToEnd { from, to, len }),
        1 => (file(), at()).prop_map(|(file, len)| Step::Truncate { file, len }),
        1 => (place(), len()).prop_map(|((file, at), len)| Step::Zero { file, at, len }),
        2 => place().prop_map(|(file, at)| Step::Read { file, at }),
        1 => file().prop_map(|file| Step::Sync { file }),
        1 => file().prop_map(|file| Step::Reopen { file }),
    ];
    let first = (0..3).map(move |file| Step::Append { file, len: scale / 2 });
    let some = prop_oneof![1 => burst, 2 => one.prop_map(|step| vec![step])];
    let more = prop::collection::vec(some, 1..15);
    more.prop_map(move |more| first.clone().chain(more.into_iter().flatten()).collect())
}

/// Files of a few bytes, of some pages, and of several blocks of 8 MiB.
fn sequences() -> impl Strategy<Value = Vec<Step>> {
    prop_oneof![3 => steps(100), 3 => steps(5000), 1 => steps(20 << 20)]
}

/// Puts the files there, of which block blobs are new ones, and does the steps.
fn run(world: &World, types: [BlobType; 3], steps: &[Step], case: u32) -> Result<(), TestCaseError> {
    let names = [0, 1, 2].map(|file| format!("case{case}-{file}"));
    let client = world.client(ONE);
    for (name, blob_type) in names.iter().zip(types) {
        let (settings, always) = (BlobSettings::default(), WriteOptions::default());
        match blob_type {
            BlobType::Block => {}
            BlobType::Append => {
                drop(world.block_on(client.blob(&path(name)).append_blob().create(&settings, &always)).unwrap())
            }
            BlobType::Page => {
                drop(world.block_on(client.blob(&path(name)).page_blob().create(512, &settings, &always)).unwrap())
            }
        }
    }
    let there = tempfile::tempdir().unwrap();
    let calls: Vec<String> = steps.iter().map(Step::call).collect();
    let program = PROGRAM
        .replace("NAMES", &format!("{names:?}"))
        .replace("KINDS", &format!("{:?}", types.map(BlobType::as_str)))
        .replace("THERE", &format!("{:?}", there.path().display().to_string()))
        .replace("STEPS", &calls.join("\n"));
    let ran = Gated::start(world, &program).open();
    prop_assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for (file, name) in names.iter().enumerate() {
        let (stored, expected) = (world.stored(name), std::fs::read(there.path().join(file.to_string())).unwrap());
        let first = stored.iter().zip(&expected).position(|(a, b)| a != b);
        let (found, wanted) = ((stored.len(), first), (expected.len(), None));
        prop_assert_eq!(found, wanted, "file {}: its length in the service, and the first byte that differs", file);
    }
    Ok(())
}

#[test]
fn three_files_with_copies_between_them_hold_what_three_arrays_would() {
    use BlobType::{Append, Block, Page};
    let seeds = std::env::var("BLOBCP_TEST_SEEDS").unwrap_or_else(|_| "1 2 3 4".into());
    let all = [[Block, Block, Block], [Block, Append, Page], [Page, Page, Block], [Append, Append, Block]];
    for (seed, types) in seeds.split_whitespace().zip(all.into_iter().cycle()) {
        // The mount has to see what is put there for each case.
        let world = World::with(Setup { attr_ttl: Duration::from_millis(1), ..Default::default() });
        let number: u64 = seed.parse().unwrap();
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        let config = Config { cases: 12, max_shrink_iters: 300, failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
        let case = std::cell::Cell::new(0);
        let ended = runner.run(&sequences(), |steps| {
            case.set(case.get() + 1);
            run(&world, types, &steps, case.get())
        });
        if let Err(TestError::Fail(why, steps)) = ended {
            let calls: Vec<String> = steps.iter().map(Step::call).collect();
            panic!("seed {seed}, {types:?}: {why}\n{}", calls.join("\n"));
        }
        ended.unwrap();
    }
}
