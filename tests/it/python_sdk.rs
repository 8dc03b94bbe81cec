//! The official Python client as a second opinion: on the protocol as the devstore speaks it, and on what a mount shows of copies.
//!
//! What is asserted of the devstore is in `tests/python/sdk_drives_devstore.py`. Not skipped when the interpreter is missing, for a
//! skipped opinion looks like agreement.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use blobcp::devstore::{AccountConfig, Config, CopyAction, CopyRate, Devstore, PolicyChange};

use crate::common::*;

/// Slow enough that the script sees its copies of 300 KiB pending.
const RATE: u64 = 128 << 10;

fn interpreter() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python =
        std::env::var_os("BLOBCP_TEST_PYTHON").map_or_else(|| root.join("target/python/bin/python3"), PathBuf::from);
    assert!(
        python.exists(),
        "{} is missing: scripts/test installs it together with azure-storage-blob",
        python.display()
    );
    python
}

fn script(name: &str) -> Command {
    let mut command = Command::new(interpreter());
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(name));
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn python_sdk_agrees_with_the_devstore() {
    let server = Devstore::start(Config {
        accounts: vec![AccountConfig::named("devstoreaccount1"), AccountConfig::named("other")],
        copy_cross_account: CopyRate::BytesPerSecond(RATE),
        ..Config::default()
    })
    .await
    .unwrap();
    let one = server.connection_string("devstoreaccount1").unwrap();
    let two = server.connection_string("other").unwrap();
    let run = move || {
        script("sdk_drives_devstore.py")
            .env("DEVSTORE_CONNECTION_STRING", one)
            .env("DEVSTORE_CONNECTION_STRING_2", two)
            .output()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    // The script saw pending copies; the server must agree that some ended in each way.
    for status in ["success", "aborted", "failed"] {
        assert!(server.copies().iter().any(|copy| copy.status == status), "no copy ended {status}");
    }
}

/// `sdk_copies_blobs.py`, which stops at moments.
struct Copier {
    process: Child,
    orders: ChildStdin,
    said: std::io::Lines<BufReader<ChildStdout>>,
}

/// What is seen of a blob, by the names of the mount's attributes after `user.blob.`; and its `size`.
type Seen = BTreeMap<String, String>;

impl Copier {
    fn start(world: &World) -> Self {
        let mut process = script("sdk_copies_blobs.py")
            .env("SOURCE_ACCOUNT", world.store.connection_string(ONE).unwrap())
            .env("DESTINATION_ACCOUNT", world.store.connection_string(TWO).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (orders, said) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { process, orders, said: BufReader::new(said).lines() }
    }

    /// The moment that has come, if there is another.
    fn moment(&mut self) -> Option<String> {
        let line = self.said.next()?.unwrap();
        Some(line.strip_prefix("at ").unwrap_or_else(|| panic!("{line}")).to_owned())
    }

    /// What the SDK sees of the moment's blobs.
    fn look(&mut self) -> BTreeMap<String, Seen> {
        self.orders.write_all(b"look\n").unwrap();
        let line = self.said.next().expect("what it sees").unwrap();
        let seen: BTreeMap<String, BTreeMap<String, serde_json::Value>> = serde_json::from_str(&line).unwrap();
        let text = |value: serde_json::Value| match value {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text),
            other => Some(other.to_string()),
        };
        let flat = |seen: BTreeMap<String, serde_json::Value>| {
            seen.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect()
        };
        seen.into_iter().map(|(path, seen)| (path, flat(seen))).collect()
    }

    fn go_on(&mut self) {
        self.orders.write_all(b"go on\n").unwrap();
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What getfattr and stat show of a file on the mount, in the same form; of the attributes only those that the SDK shows, too.
fn shown(file: &Path) -> Seen {
    let output =
        Command::new("getfattr").args(["--absolute-names", "-d", "-m", "^user.blob."]).arg(file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let attribute = |line: &str| -> Option<(String, String)> {
        let (name, value) = line.strip_prefix("user.blob.")?.split_once("=\"")?;
        // It escapes quotes as C does.
        let value = value.strip_suffix('"').unwrap().replace("\\\"", "\"");
        let compared = name.starts_with("copy.") || name.starts_with("lease_");
        (compared || ["type", "etag", "last_modified"].contains(&name)).then(|| (name.to_owned(), value))
    };
    let mut shown: Seen = text.lines().filter_map(attribute).collect();
    shown.insert("size".to_owned(), std::fs::metadata(file).unwrap().len().to_string());
    shown
}

/// The moments of the script, and what there must be to see: the status of the last copy, and state, status and duration of the lease.
const MOMENTS: [(&str, &str, [&str; 4]); 22] = [
    ("the start", "one/source", ["", "leased", "locked", "infinite"]),
    ("the start", "two/copy", ["pending", "available", "unlocked", ""]),
    ("half-way", "one/source", ["", "leased", "locked", "infinite"]),
    ("half-way", "two/copy", ["pending", "available", "unlocked", ""]),
    ("trouble", "two/copy", ["pending", "available", "unlocked", ""]),
    ("the end", "one/source", ["", "leased", "locked", "infinite"]),
    ("the end", "two/copy", ["success", "available", "unlocked", ""]),
    ("the broken lease", "one/source", ["", "broken", "unlocked", ""]),
    ("before the abort", "two/aborted", ["pending", "available", "unlocked", ""]),
    ("after the abort", "two/aborted", ["aborted", "available", "unlocked", ""]),
    ("before the failure", "two/failed", ["pending", "available", "unlocked", ""]),
    ("after the failure", "two/failed", ["failed", "available", "unlocked", ""]),
    ("before somebody's abort", "two/given-up", ["pending", "available", "unlocked", ""]),
    ("after somebody's abort", "two/given-up", ["aborted", "available", "unlocked", ""]),
    ("somebody's copy", "two/theirs", ["pending", "available", "unlocked", ""]),
    ("somebody's aborted copy", "two/theirs", ["aborted", "available", "unlocked", ""]),
    ("a copy within the account", "one/near", ["success", "available", "unlocked", ""]),
    // Somebody's copy on the mount has leased it meanwhile, and given the lease back.
    ("a copy within the account", "one/source", ["", "available", "unlocked", ""]),
    ("a lease of a minute", "one/source", ["", "leased", "locked", "fixed"]),
    ("a lease that is ending", "one/source", ["", "breaking", "locked", ""]),
    ("a released lease", "one/source", ["", "available", "unlocked", ""]),
    ("a released lease", "two/copy", ["success", "available", "unlocked", ""]),
];

#[test]
fn the_mount_shows_of_copies_and_leases_what_the_sdk_sees() {
    // C24, C25, C32–C38, C40–C42, C44–C46, C49, C54
    const SIZE: u64 = 300 << 10;
    let world = World::with(Setup { attr_ttl: Duration::ZERO, ..cross_account(RATE) });
    world.put("source", pattern(SIZE as usize));
    world.hold_copies();
    let box_of = |account: &str| world.root().join(account).join(BOX);
    let mut script = Copier::start(&world);
    let mut cp = None;
    let mut moments = Vec::new();
    while let Some(moment) = script.moment() {
        match moment.as_str() {
            "half-way" => {
                steer(&world, CopyAction::Release);
                eventually("some bytes", || world.store.copies().iter().any(|copy| copy.bytes_copied > 0));
                steer(&world, CopyAction::Hold);
            }
            "trouble" => steer(&world, CopyAction::Trouble { status: 503, code: "ServerBusy".to_owned() }),
            "the end" => {
                steer(&world, CopyAction::Release);
                eventually("the end", || world.store.copies().iter().all(|copy| copy.status == "success"));
            }
            "after the failure" => steer(&world, fail(404, "ResourceNotFound")),
            "after somebody's abort" => {
                world.ok(&format!("setfattr -n user.blob.copy.status -v abort {}/given-up", world.there().display()));
            }
            "somebody's copy" => {
                cp = Some(world.start(&format!("cp source {}/theirs", world.there().display())));
                eventually("the copy", || world.store.copies().iter().any(|copy| copy.status == "pending"));
            }
            "somebody's aborted copy" => {
                let ran = cp.take().unwrap().wait();
                assert!(ran.code == Some(1) && ran.stderr.contains("Operation canceled"), "{ran:?}");
                world.store.change_policy(PolicyChange { hold_new_copies: Some(false), ..Default::default() });
            }
            _ => {}
        }
        for (path, seen) in script.look() {
            let (account, name) = path.split_once('/').unwrap();
            let mut shown = shown(&box_of(account).join(name));
            // The service has no such word: what it knows of are Copy Blobs.
            assert!(shown.remove("copy.method").is_none_or(|method| method == "blob"), "{moment}, {path}");
            if moment == "somebody's copy" {
                // Of what is being copied on the mount that shows what was granted to the copier.
                let granted = shown.insert("size".to_owned(), seen["size"].clone()).unwrap();
                assert!(granted.parse::<u64>().unwrap() < SIZE, "{granted}");
            }
            // X24: the script leaves the signature of the source out, the mount all of the token.
            let mut expected = seen.clone();
            if let Some(source) = expected.get_mut("copy.source") {
                source.truncate(source.find('?').unwrap_or(source.len()));
            }
            assert_eq!(shown, expected, "{moment}, {path}");
            let text = |field: &str| seen.get(field).map_or("", String::as_str);
            let states = ["copy.status", "lease_state", "lease_status", "lease_duration"].map(text).map(str::to_owned);
            let (progress, description) = (text("copy.bytes_copied"), text("copy.status_description"));
            match moment.as_str() {
                "half-way" if account == "two" => {
                    assert!((1..SIZE).contains(&progress.parse().unwrap()), "{seen:?}");
                }
                "trouble" => assert!(description.starts_with("503 ServerBusy"), "{seen:?}"),
                "after the failure" => assert!(description.starts_with("404 ResourceNotFound"), "{seen:?}"),
                "the end" if account == "two" => assert_eq!(progress, SIZE.to_string()),
                _ => {}
            }
            moments.push((moment.clone(), path, states));
        }
        script.go_on();
    }
    assert!(script.process.wait().unwrap().success());
    let expected = MOMENTS.map(|(moment, path, states)| (moment.into(), path.into(), states.map(str::to_owned)));
    assert_eq!(moments, expected);
}
