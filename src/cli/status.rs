//! `blobcp status`.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar};

use super::on_mount::{self, State, Status};
use super::{Failure, about, complain, show};

/// A request per file and round.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

const MORE: &str = "\
The service is asked each time; a path without copy state shows a dash.

Examples:
  blobcp status backup/disk.img
  blobcp status -r --watch backup
  blobcp status -r --json backup | jq 'select(.status == \"failed\")'";

/// Show the state of the last copies onto files
#[derive(clap::Args)]
#[command(after_help = MORE)]
pub struct Arguments {
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// All files below directories.
    #[arg(short, long)]
    recursive: bool,
    /// Until nothing is pending.
    #[arg(short, long)]
    watch: bool,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
}

/// A file and its state; `None` in place of what could not be asked.
type Row = (PathBuf, Option<State>);

impl Arguments {
    pub fn run(self) -> Result<(), Failure> {
        super::end_quietly_without_readers();
        let (files, mut complete) = on_mount::files("status", &self.paths, self.recursive);
        let alone = self.paths.len() == 1 && !self.recursive;
        let mut round = |files: &[PathBuf], complain_too: bool| -> Vec<Row> {
            let mut rows = Vec::new();
            for path in files {
                match ask(path) {
                    Ok(state) => rows.push((path.clone(), state)),
                    Err(failure) if complain_too => {
                        complete = false;
                        complain("status", failure.message.unwrap_or_default());
                    }
                    // A watched file that is gone meanwhile is not watched any more.
                    Err(_) => {}
                }
            }
            rows
        };
        let mut rows = round(&files, true);
        if self.watch && io::stderr().is_terminal() && !self.json {
            watch_bars(&mut rows, |files| round(files, false));
        } else if self.watch {
            self.watch_lines(rows, |files| round(files, false));
            return if complete { Ok(()) } else { Err(Failure::said()) };
        }
        print!("{}", self.shown(&rows, alone));
        if complete { Ok(()) } else { Err(Failure::said()) }
    }

    fn shown(&self, rows: &[Row], alone: bool) -> String {
        if self.json {
            return rows.iter().map(|(path, state)| show::json(path, state.as_ref())).collect();
        }
        match rows {
            [] => String::new(),
            [(path, state)] if alone => show::block(path, state.as_ref()),
            _ => show::table(
                &rows.iter().map(|(path, state)| (path.display().to_string(), state.clone())).collect::<Vec<_>>(),
            ),
        }
    }

    /// A line whenever something changes.
    fn watch_lines(&self, mut rows: Vec<Row>, mut round: impl FnMut(&[PathBuf]) -> Vec<Row>) {
        let mut shown: Vec<Option<Row>> = vec![None; rows.len()];
        if !self.json {
            print!("{}", self.shown(&rows, false).split_inclusive('\n').next().unwrap_or_default());
        }
        loop {
            let text = self.shown(&rows, false);
            let lines = text.split_inclusive('\n').skip(usize::from(!self.json));
            for ((row, shown), line) in rows.iter().zip(&mut shown).zip(lines) {
                if shown.as_ref() != Some(row) {
                    print!("{line}");
                    *shown = Some(row.clone());
                }
            }
            let _ = io::stdout().flush();
            let pending = pending(&rows);
            if pending.is_empty() {
                return;
            }
            sleep(WATCH_INTERVAL);
            renew(&mut rows, &pending, &mut round);
        }
    }
}

/// A bar per pending copy until there is none. `rows` is left as it is in the end.
fn watch_bars(rows: &mut [Row], mut round: impl FnMut(&[PathBuf]) -> Vec<Row>) {
    let all = MultiProgress::new();
    let mut bars: HashMap<PathBuf, ProgressBar> = HashMap::new();
    loop {
        let pending = pending(rows);
        for (path, state) in rows.iter() {
            let Some(state) = state else { continue };
            if state.status == Status::Pending {
                let bar = bars.entry(path.clone()).or_insert_with(|| all.add(show::bar(&name(path), state)));
                bar.set_position(state.copied);
            } else if let Some(bar) = bars.remove(path) {
                bar.finish_and_clear();
            }
        }
        if pending.is_empty() {
            return;
        }
        sleep(WATCH_INTERVAL);
        renew(rows, &pending, &mut round);
    }
}

/// Asks about the pending ones again.
fn renew(rows: &mut [Row], pending: &[PathBuf], round: &mut impl FnMut(&[PathBuf]) -> Vec<Row>) {
    let news: HashMap<PathBuf, Option<State>> = round(pending).into_iter().collect();
    for (path, state) in rows.iter_mut().filter(|(path, _)| pending.contains(path)) {
        *state = news.get(path).cloned().flatten();
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn pending(rows: &[Row]) -> Vec<PathBuf> {
    let is_pending = |state: &Option<State>| state.as_ref().is_some_and(|state| state.status == Status::Pending);
    rows.iter().filter(|(_, state)| is_pending(state)).map(|(path, _)| path.clone()).collect()
}

fn ask(path: &Path) -> Result<Option<State>, Failure> {
    on_mount::state(&on_mount::open(path)?).map_err(|error| about(path, &error))
}
