//! What README says and a program can check: names, commands, flags, files and variables exist.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::common::*;

const README: &str = include_str!("../../README.md");

/// Maximal runs of such characters that begin with `prefix`.
fn words<'a>(text: &'a str, prefix: &str, part: fn(char) -> bool) -> BTreeSet<&'a str> {
    text.split(|c| !part(c)).map(|word| word.trim_end_matches('.')).filter(|word| word.starts_with(prefix)).collect()
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || "._".contains(c)
}

fn is_flag(c: char) -> bool {
    c.is_alphanumeric() || c == '-'
}

fn attributes() -> BTreeSet<&'static str> {
    words(README, "user.blob.", is_name)
}

fn help(command: &str) -> String {
    let words = command.split(' ').chain(["--help"]);
    let output = Command::new(env!("CARGO_BIN_EXE_blobcp")).args(words).output().unwrap();
    assert!(output.status.success(), "blobcp {command} --help: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// `CODE` of each `` `blobcp CODE` `` and of each line of a block that runs blobcp.
fn commands() -> BTreeSet<&'static str> {
    README
        .split("blobcp ")
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| !is_flag(c)).next())
        .filter(|word| {
            let all = "cp status abort mount umount devstore snapshot wait undelete lease verify verify-account clean config \
                        first-copy mkdir";
            all.split(' ').any(|known| known == *word)
        })
        .collect()
}

#[test]
fn every_attribute_it_names_is_known() {
    let world = World::new();
    world.put("a", "text");
    assert!(attributes().len() > 25, "{:?}", attributes());
    for name in attributes() {
        let ran = world.sh(&format!("getfattr -n {name} a"));
        // Unknown names are not supported; known ones may have no value.
        assert!(ran.code == Some(0) || ran.stderr.contains("No such attribute"), "{name}: {ran:?}");
    }
    assert!(world.sh("getfattr -n user.blob.nonsense a").stderr.contains("not supported"));
}

#[test]
fn every_attribute_that_a_file_has_is_named() {
    let world = World::new();
    world.put("a", "text");
    world.ok("setfattr -n user.blob.cache_control -v no-store a; cp a b");
    let listed = world.ok("getfattr -d b");
    for name in words(&listed, "user.blob.", is_name) {
        assert!(attributes().contains(name), "README does not name {name}");
    }
}

#[test]
fn every_command_it_names_has_help() {
    assert!(commands().len() >= 6, "{:?}", commands());
    for command in commands() {
        help(command);
    }
}

#[test]
fn every_flag_it_names_exists() {
    let mut known: String = commands().into_iter().map(help).collect();
    known.extend(["init", "check", "from-blobfuse2", "from-rclone"].map(|inner| help(&format!("config {inner}"))));
    known += include_str!("../../scripts/demo");
    known += include_str!("../../scripts/test");
    known += include_str!("../../scripts/package");
    let known = words(&known, "--", is_flag);
    let of_others = [
        "--release", // cargo
        "--test",
        "--xattrs",      // tar
        "--only-values", // getfattr
        "--reflink",     // cp
        "--sparse",
        "--inplace", // rsync
        "--whole-file",
        "--chmod",
        "--size-only",
        "--device", // docker
        "--cap-add",
    ];
    for flag in words(README, "--", is_flag).into_iter().filter(|flag| flag.len() > 3) {
        assert!(known.contains(flag) || of_others.contains(&flag), "no command knows {flag}");
    }
}

#[test]
fn files_and_variables_it_names_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_path = |c: char| c.is_alphanumeric() || "._-/".contains(c);
    for folder in ["scripts/", "docs/", "src/"] {
        for path in words(README, folder, is_path) {
            assert!(root.join(path).exists(), "{path} does not exist");
        }
    }
    let mut code = String::new();
    for folder in ["src", "tests"] {
        read_all(&root.join(folder), &mut code);
    }
    for prefix in ["AZURE_", "BLOBCP_"] {
        for name in words(README, prefix, |c| c.is_alphanumeric() || c == '_') {
            assert!(code.contains(&format!("\"{name}\"")), "nothing reads {name}");
        }
    }
}

#[test]
fn the_configuration_file_it_shows_is_accepted() {
    let (_, rest) = README.split_once("```toml\n").unwrap();
    let (toml, _) = rest.split_once("```").unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), toml.replace("\"…\"", "\"a2V5\"")).unwrap();
    let place = tempfile::tempdir().unwrap();
    // Port 1 refuses; all that is asked is how far it comes.
    std::fs::write(file.path(), std::fs::read_to_string(file.path()).unwrap().replace(":10000/", ":1/")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_blobcp"))
        .args(["mount", "--config"])
        .arg(file.path())
        .args(["--log-file", "/dev/null", "local"])
        .arg(place.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("cannot reach http://127.0.0.1:1/local"), "{stderr}");
}

#[test]
fn the_demo_shows_what_the_transcript_shows_and_leaves_nothing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bin = Path::new(env!("CARGO_BIN_EXE_blobcp")).parent().unwrap();
    let output = Command::new(root.join("scripts/demo")).env("BLOBCP_DEMO_BIN", bin).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{shown}");
    let (_, rest) = README.split_once("```console\n").unwrap();
    let (transcript, _) = rest.split_once("```").unwrap();
    // Sizes and progress are others each time, and the mount point is.
    let is_the_same = |line: &&str| !line.contains("mnt") && (line.starts_with(['$', '#']) || line.starts_with("cp:"));
    let lines: Vec<&str> = transcript.lines().filter(is_the_same).collect();
    assert!(lines.len() > 10, "{lines:?}");
    for line in lines {
        assert!(shown.lines().any(|shown| shown == line), "the demo does not show {line:?}:\n{shown}");
    }
    let place = shown.lines().find_map(|line| line.strip_prefix("$ blobcp mount --dev ")).unwrap();
    assert!(!Path::new(place).parent().unwrap().exists(), "{place} is left");
    assert!(!std::fs::read_to_string("/proc/mounts").unwrap().contains(place), "{place} is still mounted");
}

fn read_all(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            read_all(&entry.path(), text);
        } else {
            *text += &std::fs::read_to_string(entry.path()).unwrap();
        }
    }
}
