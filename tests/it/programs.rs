//! Which programs have the service copy, and which move content through this machine: README's table, measured.
//!
//! Each program copies a file in a world of its own, within an account and between accounts, while the service counts requests and bytes
//! of content. `BLOBCP_TEST_UPDATE=1 cargo test --test it programs::` writes the table as it is now; without it, README must have it.

use std::path::Path;
use std::time::Duration;

use blobcp::devstore::Stats;

use crate::common::*;

/// More than the largest block, so that whoever moves content does so in several requests.
const SIZE: usize = 9 << 20;
const BEGIN: &str = "<!-- measured by tests/it/programs.rs -->\n";
const END: &str = "<!-- until here -->\n";

/// What they are called in the table, and the commands: in the source's directory, `$T/b` being the new file. All programs of a row do the
/// same, or it must be divided.
const PROGRAMS: [(&str, &[&str]); 17] = [
    ("`cp`, `cp -r`", &["cp a $T/b", "cp -r a $T/b"]),
    ("`blobcp cp`", &["$BLOBCP cp a $T/b"]),
    ("`mv`", &["mv a $T/b"]),
    ("`install`", &["install a $T/b"]),
    ("`cat a > b`", &["cat a > $T/b"]),
    ("`cat a1 a2 > b`", &["cat a1 a2 > $T/b"]),
    (
        "Python `os.copy_file_range`",
        &["in_python 'i, o = os.open(a, os.O_RDONLY), os.open(b, os.O_WRONLY | os.O_CREAT); \
            n = os.fstat(i).st_size\nwhile n: n -= os.copy_file_range(i, o, n)'"],
    ),
    ("Rust `std::fs::copy`", &[RUST]),
    (
        "Node.js `fs.copyFile`",
        &["(cd /; node -e 'require(\"fs\").copyFileSync(process.argv[1], process.argv[2])' $S/a $T/b)"],
    ),
    ("Python `shutil.copy`", &["in_python 'shutil.copy(a, b)'"]),
    ("Perl `File::Copy`", &["perl -MFile::Copy -e 'copy($ARGV[0], $ARGV[1]) or die' a $T/b"]),
    ("`busybox cp`", &["busybox cp a $T/b"]),
    ("`cp --reflink=never`, `cp --sparse=always`", &["cp --reflink=never a $T/b", "cp --sparse=always a $T/b"]),
    ("`dd`", &["dd if=a of=$T/b bs=1M status=none"]),
    ("`tar c a \\| tar x`", &["tar cf - a | tar xf - -C $T --transform s/a/b/"]),
    ("`rsync`, `rsync --whole-file`", &["rsync a $T/b", "rsync --whole-file a $T/b"]),
    ("`rsync --inplace`", &["rsync --inplace a $T/b"]),
];

/// Not a command: this process itself.
const RUST: &str = "std::fs::copy";

const SHELL: &str =
    "in_python() { (cd /; python3 -I -c \"import os, shutil, sys; a, b = sys.argv[1:]; $1\" $S/a $T/b); }";

/// What the service saw of one copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    fetched: u64,
    sent: u64,
    /// Those that carry content are as many as it takes, and not counted.
    requests: u64,
}

impl Seen {
    fn of(stats: &Stats) -> Self {
        let with_content = ["GetBlob", "PutBlob", "PutBlock", "AppendBlock", "PutPage"];
        let carrying: u64 = with_content.iter().map(|operation| stats.requests(operation)).sum();
        Self { fetched: stats.body_bytes_out, sent: stats.body_bytes_in, requests: stats.total - carrying }
    }
}

fn measure(command: &str, to_other_account: bool) -> Seen {
    // Names are believed for long, so that the number of requests is not one of how busy this machine is.
    let world = World::with(Setup { attr_ttl: Duration::from_secs(600), ..Default::default() });
    world.put("a", pattern(SIZE));
    let halves = [&pattern(SIZE)[..SIZE / 2], &pattern(SIZE)[SIZE / 2..]];
    world.put("a1", halves[0].to_vec());
    world.put("a2", halves[1].to_vec());
    let there = if to_other_account { world.there() } else { world.here() };
    // That the containers are there is known by then, as in every mount that is in use.
    world.ok(&format!("stat . {} > /dev/null", there.display()));
    world.reset_stats();
    if command == RUST {
        assert_eq!(std::fs::copy(world.here().join("a"), there.join("b")).unwrap(), SIZE as u64);
    } else {
        let blobcp = env!("CARGO_BIN_EXE_blobcp");
        world.ok(&format!("set -e -o pipefail; S=$PWD T={} BLOBCP={blobcp}; {SHELL}\n{command}", there.display()));
    }
    let stats = world.stats();
    let account = if to_other_account { TWO } else { ONE };
    assert!(world.store.content(account, BOX, "b").unwrap() == pattern(SIZE), "{command}: another content");
    Seen::of(&stats)
}

/// What all commands of a row have in common, or why there is no such thing. A busy machine takes longer and so may ask again what it
/// was told a moment ago: the fewest requests of several tries are those of a quiet one.
fn row(label: &str, commands: &[&str], tries: usize) -> Result<String, String> {
    let fewest = |command: &str, to: bool| {
        let tries = (0..tries).map(|_| measure(command, to));
        tries.min_by_key(|seen| (seen.fetched, seen.sent, seen.requests)).unwrap()
    };
    let measured: Vec<[Seen; 2]> = commands.iter().map(|command| [false, true].map(|to| fewest(command, to))).collect();
    let [within, between] = measured[0];
    let size = SIZE as u64;
    let moved = match (within.fetched, within.sent) {
        (0, 0) => "none",
        (fetched, 0) if fetched == size => "fetched, not sent",
        (fetched, sent) if fetched == size && sent == size => "fetched and sent",
        _ => return Err(format!("{label}: {measured:?} is a new way to copy {size} bytes")),
    };
    if (within.fetched, within.sent) != (between.fetched, between.sent) || measured.iter().any(|m| *m != measured[0]) {
        return Err(format!("{label} does not always do the same: {measured:?}"));
    }
    Ok(format!("| {label} | {moved} | {} | {} |\n", within.requests, between.requests))
}

/// Rows that are as they are `shown` are believed at once, in a few tries: a program that takes longer, because others
/// are at work, asks again for what it was told a moment ago.
fn table(shown: &str) -> String {
    let mut table = String::from(
        "| program | content through your machine | other requests within an account | and between accounts |\n|---|---|---|---|\n",
    );
    for (label, commands) in PROGRAMS {
        let as_shown = (0..10).find_map(|_| row(label, commands, 1).ok().filter(|row| shown.contains(row)));
        table += &as_shown.unwrap_or_else(|| row(label, commands, 5).unwrap_or_else(|why| panic!("{why}")));
    }
    table
}

#[test]
fn readme_says_which_programs_have_the_service_copy() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    let measured = table(shown);
    if std::env::var_os("BLOBCP_TEST_UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{measured}{END}{after}")).unwrap();
    } else {
        assert!(shown == measured, "README has\n{shown}and measured was\n{measured}");
    }
}
