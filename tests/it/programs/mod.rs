//! What it costs when programs copy a file: `docs/programs.md` and README's table, measured.
//!
//! Each program copies a file of 20 MiB in a world of its own, within an account and between accounts, while the service counts requests
//! and bytes of content. The page must not promise less than that; `list` says which programs there are, and which of them are installed
//! by `scripts/test` and which by `scripts/test --long` only. What is not there is not asked.
//!
//! `BLOBCP_TEST_UPDATE=1 cargo test --test it programs:: -- --include-ignored` writes both tables as they are now, where the programs are
//! there; other rows stay. With `--nocapture` the rows are shown as they are measured, and with `BLOBCP_TEST_SHOW=1` the requests of each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use blobcp::devstore::Stats;
use bytes::Bytes;

use crate::common::*;

mod list;

use list::{PROGRAMS, Program, Way};

/// More than two of the largest blocks, so that whoever moves content does so in several requests.
const SIZE: usize = 20 << 20;
const BEGIN: &str = "<!-- measured by tests/it/programs -->\n";
const END: &str = "<!-- until here -->\n";

/// Where a command finds what: the source's directory, the one to copy into, and one outside of the mount for what was prepared.
const SHELL: &str = "set -e -o pipefail
in_python() { (cd /; python3 -I -c \"import os, shutil, sys; a, b = sys.argv[1:]; $1\" $S/a $T/b); }";

/// One at a time writes.
static WRITING: Mutex<()> = Mutex::new(());

/// What the service saw of one copy, and what the new file has of the old one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    down: u64,
    up: u64,
    requests: u64,
    kept: String,
}

/// A row of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    version: String,
    /// By the way that the file took, where that was tried.
    requests: BTreeMap<Way, u64>,
    /// Bytes of content, in MiB with one digit behind the point.
    down: String,
    up: String,
    kept: String,
}

fn mib(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        bytes => format!("{:.1}", (bytes as f64 / f64::from(1 << 20)).max(0.1)),
    }
}

impl Row {
    fn text(&self, program: &Program) -> String {
        let Self { version, down, up, kept, .. } = self;
        let Program { label, calls, .. } = program;
        let [within, between] = self.requests_shown();
        format!("| {label} | {version} | {calls} | {within} | {between} | {down} | {up} | {kept} |\n")
    }

    /// Within an account, and between two.
    fn requests_shown(&self) -> [String; 2] {
        [Way::Within, Way::Between].map(|way| self.requests.get(&way).map_or("–".to_owned(), u64::to_string))
    }

    fn parse(line: &str) -> Option<(String, Self)> {
        // A bar in a command is written `\|`.
        let cells: Vec<String> = line
            .replace("\\|", "\0")
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().replace('\0', "\\|"))
            .collect();
        let [label, version, _, within, between, down, up, kept] = cells.try_into().ok()?;
        let requests = [(Way::Within, within.parse()), (Way::Between, between.parse())];
        let requests: BTreeMap<Way, u64> =
            requests.into_iter().filter_map(|(way, count)| Some((way, count.ok()?))).collect();
        if requests.is_empty() {
            return None;
        }
        Some((label, Self { version, requests, down, up, kept }))
    }

    fn moves(&self) -> bool {
        (self.down.as_str(), self.up.as_str()) != ("0", "0")
    }

    /// Why what is `measured` is not what this row promises: more requests or bytes, or less that is kept. Nor may it say that content
    /// is moved where none is.
    fn disproved_by(&self, measured: &Self) -> Option<String> {
        let bytes = |text: &String| text.parse::<f64>().unwrap();
        let is_more = |(way, measured): (&Way, &u64)| self.requests.get(way).is_none_or(|shown| measured > shown);
        let more = measured.requests.iter().any(is_more)
            || bytes(&measured.down) > bytes(&self.down)
            || bytes(&measured.up) > bytes(&self.up);
        let is_another_way = self.moves() != measured.moves() || self.kept != measured.kept;
        (more || is_another_way).then(|| format!("shown {self:?}, measured {measured:?}"))
    }
}

fn kept(world: &World, account: &str, dir: &Path) -> String {
    let now = world.properties(account, "b").unwrap();
    let stat = world.ok(&format!("stat -c '%a %Y' {}/b", dir.display()));
    let (mode, time) = stat.trim().split_once(' ').unwrap();
    let has_attributes =
        now.metadata.get("color") == Some("blue") && now.headers.content_type.as_deref() == Some("text/x-log");
    let all = [("mode", mode == "640"), ("time", time == "1000"), ("attributes", has_attributes)];
    let kept: Vec<_> = all.into_iter().filter(|(_, is_kept)| *is_kept).map(|(name, _)| name).collect();
    if kept.is_empty() { "–".to_owned() } else { kept.join(", ") }
}

/// The content of the source.
fn content() -> Bytes {
    static CONTENT: OnceLock<Bytes> = OnceLock::new();
    CONTENT.get_or_init(|| pattern(SIZE).into()).clone()
}

fn measure(before: &str, command: &str, prepared: &Path, way: Way) -> Seen {
    let world = World::new();
    world.put("a", content());
    world.put("a1", content().slice(..SIZE / 2));
    world.put("a2", content().slice(SIZE / 2..));
    let (there, account) = match way {
        Way::Within => (world.here(), ONE),
        Way::Between => (world.there(), TWO),
    };
    // Names and attributes are known by then, as in every mount that is in use.
    world.ok(&format!(
        "ls -l . {}; chmod 640 a; touch -d @1000 a; setfattr -n user.blob.meta.color -v blue a
         setfattr -n user.blob.content_type -v text/x-log a; {before}; ls -l",
        there.display()
    ));
    world.reset_stats();
    if command == list::RUST {
        assert_eq!(std::fs::copy(world.here().join("a"), there.join("b")).unwrap(), SIZE as u64);
    } else {
        let (blobcp, npm, prepared) = (env!("CARGO_BIN_EXE_blobcp"), list::NPM_PROGRAMS, prepared.display());
        world.ok(&format!("S=$PWD T={} W={prepared} P={npm} BLOBCP={blobcp}; {SHELL}\n{command}", there.display()));
    }
    if std::env::var_os("BLOBCP_TEST_SHOW").is_some() {
        println!("{command}: {:?}", world.stats().requests);
    }
    let Stats { total: requests, body_bytes_out: down, body_bytes_in: up, .. } = world.stats();
    assert!(world.store.content(account, BOX, "b").unwrap() == content(), "{command}: another content");
    Seen { down, up, requests, kept: kept(&world, account, &there) }
}

/// A program and where it finds what was prepared for it, which is once and not on the mount.
struct Prepared {
    program: &'static Program,
    dir: tempfile::TempDir,
    version: String,
}

impl Prepared {
    /// `None` where the program is not installed.
    fn new(program: &'static Program) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let run = |command: &str| {
            start_in(dir.path(), &format!("W={} P={}; {command}", dir.path().display(), list::NPM_PROGRAMS)).wait()
        };
        let found = run(&format!("command -v {0} || test -e {0}", program.needs));
        if found.code != Some(0) {
            return None;
        }
        let prepared = run(&format!("set -e; {}", program.prepare));
        assert_eq!(prepared.code, Some(0), "{}: {prepared:?}", program.label);
        let version = run(program.version).stdout;
        let version = version.split_whitespace().next().unwrap_or("–").trim_end_matches(',').to_owned();
        Some(Self { program, dir, version })
    }

    /// What all commands of the row have in common. A busy machine takes longer and so may ask again what it was told a moment ago: the
    /// fewest requests of several tries are those of a quiet one.
    fn row(&self, tries: usize) -> Result<Row, String> {
        let fewest = |command: &str, way: Way| {
            (0..tries).map(|_| measure(self.program.before, command, self.dir.path(), way)).min().unwrap()
        };
        let by_all_ways = |command: &&str| self.program.ways.iter().map(|way| (*way, fewest(command, *way))).collect();
        let measured: Vec<BTreeMap<Way, Seen>> = self.program.commands.iter().map(by_all_ways).collect();
        let bytes = |seen: &Seen| (mib(seen.down), mib(seen.up), seen.kept.clone());
        let (down, up, kept) = bytes(&measured[0][&self.program.ways[0]]);
        let all_the_same = |seen: &Seen| bytes(seen) == (down.clone(), up.clone(), kept.clone());
        if !measured[0].values().all(all_the_same) || measured.iter().any(|m| *m != measured[0]) {
            return Err(format!("{} does not always do the same: {measured:?}", self.program.label));
        }
        let requests = measured[0].iter().map(|(way, seen)| (*way, seen.requests)).collect();
        Ok(Row { version: self.version.clone(), requests, down, up, kept })
    }
}

fn root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The parts of a page before its table, the table, and the rest.
fn parts(page: &str) -> [&str; 3] {
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    [before, shown, after]
}

/// The rows of the page, by what they are called.
fn shown() -> BTreeMap<String, Row> {
    let page = std::fs::read_to_string(root("docs/programs.md")).unwrap();
    parts(&page)[1].lines().filter_map(Row::parse).collect()
}

fn with_table(name: &str, table: &str) -> (String, String) {
    let page = std::fs::read_to_string(root(name)).unwrap();
    let [before, _, after] = parts(&page);
    let updated = format!("{before}{BEGIN}{table}{END}{after}");
    (page, updated)
}

/// The page's tables: who has the service copy, and who moves content.
fn page_of(rows: &BTreeMap<String, Row>) -> String {
    let of = |moving: bool| {
        let mut table = String::from(
            "| program | version | asks by | requests | between accounts | MiB down | MiB up | keeps |\n|---|---|---|---|---|---|---|---|\n",
        );
        for program in PROGRAMS {
            let row = rows.get(program.label).filter(|row| row.moves() == moving);
            table.extend(row.map(|row| row.text(program)));
        }
        table
    };
    format!("## Copied by the service\n\n{}\n## Moved through your machine\n\n{}", of(false), of(true))
}

/// README's table: the programs that people use most.
fn readme_of(rows: &BTreeMap<String, Row>) -> String {
    let mut table = String::from(
        "| program | content through your machine | requests within an account | and between accounts |\n|---|---|---|---|\n",
    );
    for program in PROGRAMS.iter().filter(|program| program.usual) {
        let Some(row @ Row { down, up, .. }) = rows.get(program.label) else { continue };
        let [within, between] = row.requests_shown();
        let moved = match (down.as_str(), up.as_str()) {
            ("0", "0") => "none",
            ("0", _) => "sent",
            (_, "0") => "fetched, not sent",
            _ => "fetched and sent",
        };
        table += &format!("| {} | {moved} | {within} | {between} |\n", program.label);
    }
    table
}

fn is_updating() -> bool {
    std::env::var_os("BLOBCP_TEST_UPDATE").is_some()
}

/// Measures all programs for which that holds and that are there. Rows that are as they are shown are believed at once, in a few tries: a
/// program that takes longer, because others are at work, asks again for what it was told a moment ago.
fn check(which: impl Fn(&Program) -> bool) {
    let (mut measured, mut wrong, known) = (BTreeMap::new(), Vec::new(), shown());
    for program in PROGRAMS.iter().filter(|program| which(program)) {
        let Some(prepared) = Prepared::new(program) else { continue };
        if !is_updating() {
            let Some(shown) = known.get(program.label) else {
                wrong.push(format!("{} is not on the page", program.label));
                continue;
            };
            let look = |_| prepared.row(1).map_or_else(Some, |row| shown.disproved_by(&row));
            let why: Vec<_> = (0..10).map(look).take_while(Option::is_some).flatten().collect();
            if why.len() == 10 {
                wrong.push(format!("{}: {}", program.label, why[9]));
            }
        } else {
            match prepared.row(3) {
                Ok(row) => {
                    print!("{}", row.text(program));
                    measured.insert(program.label.to_owned(), row);
                }
                Err(why) => wrong.push(why),
            }
        }
    }
    if is_updating() {
        let _writing = WRITING.lock().unwrap();
        let mut rows = shown();
        rows.append(&mut measured);
        std::fs::write(root("docs/programs.md"), with_table("docs/programs.md", &page_of(&rows)).1).unwrap();
        std::fs::write(root("README.md"), with_table("README.md", &readme_of(&rows)).1).unwrap();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn programs_cost_no_more_than_the_page_says() {
    check(|program| !program.long);
}

/// Those that only `scripts/test --long` installs.
#[test]
#[ignore = "takes a minute, and programs that few have"]
fn other_programs_cost_no_more_than_the_page_says() {
    check(|program| program.long);
}

#[test]
fn readme_has_what_the_page_says_of_the_programs_that_people_use_most() {
    if !is_updating() {
        let rows = shown();
        for (name, table) in [("docs/programs.md", page_of(&rows)), ("README.md", readme_of(&rows))] {
            let (page, updated) = with_table(name, &table);
            assert!(page == updated, "{name} has\n{page}\nand is to have\n{updated}");
        }
    }
}
