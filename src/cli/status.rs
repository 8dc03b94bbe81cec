//! `blobcp status`: the last copies onto files and trees, once or for as long as something is pending; and what a mount
//! has to say of itself, such as that its SAS is about to end.
//!
//! A tree is asked for in one request per 5000 files, also each time that it is looked at again, so that watching costs
//! no more than a listing now and then; a file that is named costs a request each time.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::failure::{Failure, complain};
use super::format;
use super::on_mount::{self, MountPath, Paths, Row, Selection};
use super::screen;
use super::watch_table::WatchTable;

/// The time between two looks, if they do not take long themselves.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Looking takes at most this share of the time.
const SHARE: u32 = 5;

const MORE: &str = "\
The service is asked each time; a path without copy state shows a dash. Of a
mount point, without -r, warnings of the mount are shown: a SAS that ends soon.

Examples:
  blobcp status ~/mnt
  blobcp status backup/disk.img
  blobcp status -r --watch backup
  blobcp status --leftovers ~/mnt
  blobcp status -r --json backup | jq 'select(.status == \"failed\")'";

/// Show the state of the last copies onto files
#[derive(clap::Args)]
#[command(after_help = MORE)]
pub(super) struct Arguments {
    #[command(flatten)]
    of: Paths,
    /// Until nothing is pending; of trees only what is pending or failed.
    #[arg(short, long)]
    watch: bool,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
    /// What mounts that were killed have left below directories.
    #[arg(long, conflicts_with_all = ["watch", "recursive"])]
    leftovers: bool,
}

impl Arguments {
    pub(super) fn run(mut self) -> Result<(), Failure> {
        super::failure::end_quietly_without_readers();
        if self.leftovers {
            return super::leftovers::show(&self.of.paths, self.json);
        }
        let asked = self.of.paths.len();
        self.show_mounts();
        if asked > 0 && self.of.paths.is_empty() {
            return Ok(());
        }
        let selection = if self.watch { Selection::Unfinished } else { Selection::All };
        let began = format::now();
        let (rows, complete) = on_mount::rows("status", &self.of.paths, self.of.recursive, selection, false);
        if !self.watch {
            print!("{}", self.shown(&rows));
        } else if io::stderr().is_terminal() && !self.json {
            let rows = self.watch_table(rows, began);
            print!("{}", self.shown(&rows));
        } else {
            self.watch_lines(rows, began);
        }
        Failure::unless(complete)
    }

    /// What mounts say of themselves: before anything else, and alone of a mount point without the files in it.
    fn show_mounts(&mut self) {
        let (mut mounts, mut said) = (Vec::new(), Vec::new());
        self.of.paths.retain(|path| {
            let Ok(found) = MountPath::of(path) else { return true };
            let lines = on_mount::warnings(path).unwrap_or_default();
            if found.inside == Path::new("/") && !self.of.recursive && path.is_dir() {
                mounts.push((path.clone(), lines));
                return false;
            }
            said.extend(lines.into_iter().map(|line| (found.mount.device, line)));
            true
        });
        said.sort();
        said.dedup();
        for (_, line) in said {
            complain("status", format_args!("warning: {line}"));
        }
        for (path, lines) in mounts {
            let path = path.display();
            match (self.json, lines.as_slice()) {
                (true, lines) => println!("{}", serde_json::json!({ "path": path.to_string(), "warnings": lines })),
                (false, []) => println!("{path}: mounted, nothing to warn of"),
                (false, lines) => lines.iter().for_each(|line| println!("{path}: {line}")),
            }
        }
    }

    fn shown(&self, rows: &[Row]) -> String {
        if self.json {
            return rows.iter().map(format::json).collect();
        }
        match rows {
            [] if self.watch => "no copy is pending or has failed\n".to_owned(),
            [] => String::new(),
            [row] if self.of.paths.len() == 1 && !self.of.recursive => format::block(row),
            _ => format::table(rows, screen::width_of_output()),
        }
    }

    /// A line whenever something changes.
    fn watch_lines(&self, rows: Vec<Row>, began: i64) {
        let mut watched = Watched::new(rows);
        let mut shown: Vec<Row> = Vec::new();
        if !self.json {
            print!(
                "{}",
                format::table(&watched.rows, screen::width_of_output())
                    .split_inclusive('\n')
                    .next()
                    .unwrap_or_default()
            );
        }
        loop {
            let text = if self.json {
                self.shown(&watched.rows)
            } else {
                format::table(&watched.rows, screen::width_of_output())
            };
            let lines = text.split_inclusive('\n').skip(usize::from(!self.json));
            for (index, line) in lines.enumerate() {
                if shown.get(index) != watched.rows.get(index) {
                    print!("{line}");
                }
            }
            shown.clone_from(&watched.rows);
            let _ = io::stdout().flush();
            if !watched.is_pending() {
                return;
            }
            self.look(&mut watched, began);
        }
    }

    /// Draws a table anew in place. Returns the rows that it showed last.
    fn watch_table(&self, rows: Vec<Row>, began: i64) -> Vec<Row> {
        let mut watched = Watched::new(rows);
        let mut table = WatchTable::new();
        while watched.is_pending() {
            table.draw(&watched.rows);
            self.look(&mut watched, began);
        }
        table.clear();
        watched.rows
    }

    /// Waits a while, and asks again about what may have changed.
    fn look(&self, watched: &mut Watched, began: i64) {
        sleep(WATCH_INTERVAL.max(watched.took * SHARE));
        let again: Vec<PathBuf> = self.of.paths.iter().filter(|path| watched.may_change(path)).cloned().collect();
        let asked = Instant::now();
        let (rows, _) = on_mount::rows("status", &again, self.of.recursive, Selection::UnfinishedOrSince(began), true);
        watched.took = asked.elapsed();
        watched.update(rows);
    }
}

/// Copies in the order in which they were first seen.
struct Watched {
    rows: Vec<Row>,
    index: HashMap<PathBuf, usize>,
    /// Duration of the last look.
    took: Duration,
}

impl Watched {
    fn new(rows: Vec<Row>) -> Self {
        let mut watched = Self { rows: Vec::new(), index: HashMap::new(), took: Duration::ZERO };
        watched.update(rows);
        watched
    }

    fn is_pending(&self) -> bool {
        self.rows.iter().any(|row| row.pending().is_some())
    }

    /// Files whose copy has ended are not asked about again; trees are.
    fn may_change(&self, path: &Path) -> bool {
        self.index.get(path).is_none_or(|index| self.rows[*index].pending().is_some())
    }

    fn update(&mut self, rows: Vec<Row>) {
        let mut unseen: Vec<bool> = self.rows.iter().map(|row| row.pending().is_some()).collect();
        for row in rows {
            match self.index.get(&row.path) {
                Some(index) => {
                    if let Some(unseen) = unseen.get_mut(*index) {
                        *unseen = false;
                    }
                    self.rows[*index] = row;
                }
                None => {
                    self.index.insert(row.path.clone(), self.rows.len());
                    self.rows.push(row);
                }
            }
        }
        // What was pending and is not there any more was removed, or written over.
        for (row, _) in self.rows.iter_mut().zip(&unseen).filter(|(_, unseen)| **unseen) {
            row.state = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::on_mount::{CopyState, Status};

    fn row(path: &str, status: Option<Status>) -> Row {
        let state = status.map(|status| CopyState {
            status,
            copied: 0,
            total: 1,
            completed: None,
            id: String::new(),
            source: String::new(),
            description: String::new(),
            in_blocks: false,
        });
        Row { path: path.into(), state, started: None, archive: None }
    }

    #[test]
    fn what_is_watched_keeps_its_place_until_it_is_over() {
        let mut watched = Watched::new(vec![row("a", Some(Status::Pending)), row("b", Some(Status::Failed))]);
        assert!(watched.may_change(Path::new("a")) && !watched.may_change(Path::new("b")));
        assert!(watched.may_change(Path::new("tree")));
        watched.update(vec![row("c", Some(Status::Pending)), row("a", Some(Status::Success))]);
        let states = |watched: &Watched| -> Vec<Option<Status>> {
            watched.rows.iter().map(|row| row.state.as_ref().map(|state| state.status)).collect()
        };
        assert_eq!(states(&watched), [Some(Status::Success), Some(Status::Failed), Some(Status::Pending)]);
        watched.update(vec![]);
        assert_eq!(states(&watched), [Some(Status::Success), Some(Status::Failed), None]);
        assert!(!watched.is_pending());
    }
}
