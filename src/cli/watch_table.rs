//! The table that `blobcp status --watch` draws on a terminal: a bar for each pending copy, a line for each that has
//! failed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

use console::Term;
use indicatif::{BinaryBytes, HumanDuration, ProgressBar, ProgressStyle};

use super::format::{self, padded, shortened};
use super::on_mount::{CopyState, Row, Status};
use super::screen::{self, Bars, NARROW};

/// Lines left for the prompt and what stood there before.
const MARGIN: usize = 3;

pub(super) struct WatchTable {
    bars: Bars,
    lines: Vec<ProgressBar>,
    /// When each copy was first seen, and how far it was.
    first: HashMap<PathBuf, (Instant, u64)>,
}

impl WatchTable {
    pub(super) fn new() -> Self {
        Self { bars: Bars::new(), lines: Vec::new(), first: HashMap::new() }
    }

    pub(super) fn draw(&mut self, rows: &[Row]) {
        self.bars.look();
        let (height, width) = Term::stderr().size();
        let (height, width) = (usize::from(height), usize::from(width));
        let room = height.saturating_sub(MARGIN).max(2);
        let status = |row: &Row| row.state.as_ref().map(|state| state.status);
        let pending: Vec<&Row> = rows.iter().filter(|row| status(row) == Some(Status::Pending)).collect();
        let failed: Vec<&Row> =
            rows.iter().filter(|row| matches!(status(row), Some(Status::Failed | Status::Aborted))).collect();
        // Most of the room is for what moves; failures get what is left, and a third if there is not enough for both.
        let for_failed = failed.len().min(room.saturating_sub(pending.len()).max(room / 3));
        let for_pending = pending.len().min(room - for_failed);
        let name_width = (width / 3).clamp(12, 60);
        let mut lines = Vec::new();
        for row in &pending[..for_pending] {
            let Some(state) = &row.state else { continue };
            let (since, before) = *self.first.entry(row.path.clone()).or_insert_with(|| (Instant::now(), state.copied));
            let details = details(row, state, since.elapsed().as_secs_f64(), before);
            lines.push(Line::Bar(
                shortened(&row.path.display().to_string(), name_width),
                state.copied,
                state.total,
                details,
            ));
        }
        for row in &failed[..for_failed] {
            let Some(state) = &row.state else { continue };
            let name = shortened(&row.path.display().to_string(), name_width);
            let why = if state.description.is_empty() { String::new() } else { format!(": {}", state.description) };
            lines.push(Line::Text(format!("{} {}{why}", padded(&name, name_width), state.status.name())));
        }
        let hidden = rows.iter().filter(|row| row.state.is_some()).count() - done(rows) - for_pending - for_failed;
        let more = if hidden > 0 { format!(", {hidden} of them not shown") } else { String::new() };
        lines.push(Line::Text(format!(
            "{} pending, {} done, {} failed or aborted{more}",
            pending.len(),
            done(rows),
            failed.len()
        )));
        self.put(lines, name_width);
    }

    fn put(&mut self, lines: Vec<Line>, name_width: usize) {
        while self.lines.len() > lines.len() {
            if let Some(line) = self.lines.pop() {
                line.finish_and_clear();
                self.bars.all.remove(&line);
            }
        }
        while self.lines.len() < lines.len() {
            self.lines.push(self.bars.all.add(ProgressBar::new(1)));
        }
        for (line, bar) in lines.into_iter().zip(&self.lines) {
            let template = match line {
                Line::Bar(..) if screen::width() < NARROW => format!("{{prefix:{name_width}}} {{wide_msg}}"),
                Line::Bar(..) => format!("{{prefix:{name_width}}} [{{bar:14}}] {{wide_msg}}"),
                Line::Text(_) => "{wide_msg}".to_owned(),
            };
            let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(style.progress_chars("=> "));
            match line {
                Line::Bar(name, copied, total, details) => {
                    bar.set_prefix(name);
                    bar.set_length(total.max(1));
                    bar.set_position(copied);
                    bar.set_message(details);
                }
                Line::Text(text) => bar.set_message(text),
            }
            bar.tick();
        }
    }

    pub(super) fn clear(&mut self) {
        for line in self.lines.drain(..) {
            line.finish_and_clear();
        }
        let _ = self.bars.all.clear();
    }
}

enum Line {
    /// Name, bytes copied, bytes in all, details.
    Bar(String, u64, u64, String),
    Text(String),
}

fn done(rows: &[Row]) -> usize {
    rows.iter().filter(|row| row.state.as_ref().is_some_and(|state| state.status == Status::Success)).count()
}

/// Details of a copy, the most important first: what a narrow terminal cuts off is the source.
fn details(row: &Row, state: &CopyState, watched: f64, before: u64) -> String {
    let mut text = format!("{:>3} % of {}", state.percent(), BinaryBytes(state.total));
    let rate =
        format::rate_and_eta(state.copied.saturating_sub(before), state.total.saturating_sub(state.copied), watched);
    if !rate.is_empty() {
        text += &format!("  {rate} left");
    }
    if let Some(age) = row.started.and_then(|started| u64::try_from(format::now() - started).ok()) {
        text += &format!("  {:#} old", HumanDuration(std::time::Duration::from_secs(age)));
    }
    if !state.description.is_empty() {
        text += &format!("  {}", state.description);
    }
    text + "  " + &format::without_credential(&state.source)
}
