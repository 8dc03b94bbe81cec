//! The official Python client against the devstore: a second opinion on the protocol.
//!
//! What is asserted is in `tests/python/sdk_drives_devstore.py`. Not skipped when the interpreter is missing, for a
//! skipped opinion looks like agreement.

use std::path::{Path, PathBuf};
use std::process::Command;

use blobcp::devstore::{AccountConfig, Config, CopyPace, Devstore};

/// Slow enough that the script sees its copies of 300 KiB pending.
const PACE: CopyPace = CopyPace::BytesPerSecond(128 << 10);

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

#[tokio::test(flavor = "multi_thread")]
async fn python_sdk_agrees_with_the_devstore() {
    let python = interpreter();
    let server = Devstore::start(Config {
        accounts: vec![AccountConfig::named("devstoreaccount1"), AccountConfig::named("other")],
        copy_cross_account: PACE,
        ..Config::default()
    })
    .await
    .unwrap();
    let one = server.connection_string("devstoreaccount1").unwrap();
    let two = server.connection_string("other").unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/sdk_drives_devstore.py");
    let run = move || {
        Command::new(python)
            .arg(script)
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
