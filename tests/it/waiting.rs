//! Tests do not wait for time to pass: they wait for what they want to see, by
//! [`eventually`](crate::common::eventually) and [`answer`](crate::common::answer), or stop a program or a request at a
//! gate. What is left is here, with its reason.

use std::collections::BTreeMap;
use std::path::Path;

/// The lines that speak of sleeping or of elapsed time, by file. This list may only become shorter, or say a reason that is as good.
const LEFT: [(&str, usize, &str); 29] = [
    ("common/azurite.rs", 2, "bounds of waiting for another program"),
    ("common/entra.rs", 1, "the time of day, for the end of a token's life"),
    ("common/gate.rs", 1, "programs at a gate look for its opening"),
    ("common/mod.rs", 6, "the pause between two looks, the bounds of waiting, and how long a program ran"),
    ("common/outage.rs", 2, "lines that are slow: some bytes, and then a pause"),
    ("it/across/looked_at.rs", 1, "a program on another mount looks whether it may go on"),
    ("it/cli/mounting.rs", 3, "seconds that users are promised"),
    ("it/data/sharing.rs", 1, "the kernel tells of a close when it likes, and nothing shows that it has"),
    ("it/devstore/faults.rs", 3, "the subject: faults that delay, and latency"),
    ("it/faults/mod.rs", 3, "the bound of each cell, and how long all of them took"),
    ("it/granted.rs", 3, "threads that are there and do nothing"),
    ("it/lost_answers.rs", 1, "the subject: Retry-After is waited for"),
    ("it/names.rs", 2, "the subject: the time for which a mount believes what it was told"),
    ("it/signals/calls.rs", 4, "the second in which a signal is to end a call"),
    ("it/signals/ending.rs", 5, "the seconds in which a mount is to end"),
    ("it/signals/exec.rs", 1, "the bound of what once stopped for ever"),
    ("it/signals/mapped.rs", 3, "programs look whether they may go on, and whether what they wrote is stored"),
    ("it/signals/mod.rs", 1, "how long a program took to end"),
    ("it/silence/away.rs", 5, "how long calls take while the service is away, and how soon it is noticed again"),
    ("it/silence/calls.rs", 5, "the bound of each call to a service that is silent"),
    ("it/silence/storing.rs", 4, "the bound of what is stored once the service is back"),
    ("it/stress.rs", 3, "the subject: minutes of it"),
    ("machines/jobs.rs", 8, "on a clock that only the test moves"),
    ("machines/lookups.rs", 5, "on a clock that only the test moves"),
    ("machines/memory.rs", 5, "on a clock that only the test moves"),
    ("machines/service.rs", 1, "the bound of waiting for what comes without that clock"),
    ("memory.rs", 2, "the pause between two looks and its bound: this program has nothing in common with the others"),
    ("python/stress.py", 1, "the subject: minutes of it"),
    ("python/sdk_drives_devstore.py", 1, "the pause between two looks"),
];

fn count(dir: &Path, root: &Path, found: &mut BTreeMap<String, usize>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            count(&path, root, found);
        } else if [".rs", ".py"].iter().any(|end| name.ends_with(end)) && name != "it/waiting.rs" {
            let text = std::fs::read_to_string(&path).unwrap();
            let waits = text.lines().filter(|line| line.contains("sleep") || line.contains("elapsed()")).count();
            if waits > 0 {
                found.insert(name, waits);
            }
        }
    }
}

#[test]
fn tests_wait_for_what_they_want_to_see() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut found = BTreeMap::new();
    count(&root, &root, &mut found);
    let left: BTreeMap<String, usize> = LEFT.iter().map(|(file, lines, _)| ((*file).to_owned(), *lines)).collect();
    assert_eq!(found, left, "found, and with a reason in LEFT");
}
