//! The output of `blobcp cp` of many files: bars on a terminal, a line now and then elsewhere, JSON for programs.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use console::truncate_str;
use indicatif::{BinaryBytes, HumanDuration, MultiProgress, ProgressBar, ProgressStyle};

use super::failure::say;
use super::format::{ByteBar, padded, shortened};
use super::on_mount::FileProgress;
use super::screen::{self, Bars};
use crate::ioctl::{self, OrderFlags, ReportFlags};

/// Failures that are named; all are in the mount's log and in `--json`.
const NAMED: u64 = 10;
/// Pending copies that are shown: those that have been pending longest.
const BARS: usize = 6;
/// Characters of their names.
const NAME: usize = 24;
/// The time between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Columns that the state of the whole takes at most.
const STATE: usize = 66;
/// Columns of the shortest bar that shows anything.
const LEAST_BAR: usize = 10;

pub(super) struct Output {
    mode: OutputMode,
    /// The word for files that count as copied.
    done: &'static str,
    failures: u64,
    throttled: bool,
    /// Ctrl-C was pressed.
    pub stopping: bool,
    /// Nothing is said in the end.
    pub quiet: bool,
}

enum OutputMode {
    Json,
    Lines(Instant),
    Bars { bars: Bars, total: ProgressBar, pending: Vec<(String, ByteBar)>, seen: Vec<(String, u64, u64)> },
}

impl Output {
    /// `flags` are those of [`ioctl::Tree`].
    pub(super) fn new(json: bool, flags: OrderFlags) -> Self {
        let dry_run = flags.contains(OrderFlags::DRY_RUN);
        let done = if dry_run {
            "to be copied"
        } else if flags.contains(OrderFlags::NO_WAIT) {
            "accepted"
        } else {
            "copied"
        };
        let mode = if json {
            OutputMode::Json
        } else if io::stderr().is_terminal() && !dry_run {
            let bars = Bars::new();
            let total = bars.all.add(ProgressBar::new(0));
            OutputMode::Bars { bars, total, pending: Vec::new(), seen: Vec::new() }
        } else {
            OutputMode::Lines(Instant::now())
        };
        Self { mode, done, failures: 0, throttled: false, stopping: false, quiet: false }
    }

    fn bars(&self) -> Option<&MultiProgress> {
        match &self.mode {
            OutputMode::Bars { bars, .. } => Some(&bars.all),
            _ => None,
        }
    }

    /// A line for people; programs have their own.
    pub(super) fn say(&self, what: &str) {
        say("cp", self.bars(), what);
    }

    /// A line on stdout for people.
    pub(super) fn line(&self, text: &str) {
        match &self.mode {
            OutputMode::Json => {}
            OutputMode::Lines(_) => print_line(text),
            OutputMode::Bars { bars, .. } => bars.all.suspend(|| print_line(text)),
        }
    }

    /// A source that was not even ordered.
    pub(super) fn refused(&mut self, source: &str, why: &str) {
        match self.mode {
            OutputMode::Json => print_json(&serde_json::json!({
                "event": "failed", "path": source, "bytes": 0, "errno": null, "reason": why,
            })),
            _ => self.say(why),
        }
    }

    /// A copy that has been pending longer than others.
    pub(super) fn pending(&mut self, file: &FileProgress) {
        if let OutputMode::Bars { seen, .. } = &mut self.mode {
            seen.push((file.path.clone(), file.copied, file.total));
        }
    }

    /// Prints the outcome of a file, under the name that is shown.
    pub(super) fn entry(&mut self, path: &str, file: &FileProgress) {
        if let OutputMode::Json = self.mode {
            return print_json(&event(path, file));
        }
        match file.status {
            ioctl::FAILED => {
                self.failures += 1;
                if self.failures <= NAMED {
                    let why = super::failure::reason(&io::Error::from_raw_os_error(file.errno));
                    // Our own words come without a number that would say more.
                    let said = if file.reason.contains(' ') { &file.reason } else { &why };
                    let line = if said.contains("request id") {
                        format!("{path}: {why}: {said}")
                    } else {
                        format!("{path}: {said}")
                    };
                    self.say(&line);
                } else if self.failures == NAMED + 1 {
                    self.say("more have failed: the log of the mount names all, and so does --json");
                }
            }
            ioctl::ABORTED if !file.reason.is_empty() => self.say(&format!("{path}: aborted; {}", file.reason)),
            ioctl::ABORTED => self.say(&format!("{path}: aborted")),
            ioctl::DUE => print_line(path),
            _ => {}
        }
    }

    pub(super) fn progress(&mut self, news: &ioctl::News, took: Duration) {
        if news.bears > 0 && !self.throttled {
            self.throttled = true;
            if !matches!(self.mode, OutputMode::Json) {
                self.say(&format!(
                    "the service is busy: going on with {} at a time, and more when it allows",
                    news.bears
                ));
            }
        }
        let text = state(news, took);
        match &mut self.mode {
            OutputMode::Json => {}
            OutputMode::Lines(last) => {
                if last.elapsed() >= LINE_INTERVAL && !news.flags.contains(ReportFlags::DONE) {
                    *last = Instant::now();
                    self.say(&text);
                }
            }
            OutputMode::Bars { bars, total, pending, seen } => {
                bars.look();
                let (done, of) = reached(news);
                total.set_style(total_style(screen::width()));
                total.set_length(of);
                total.set_position(done);
                // A column is left to the cursor: a line that is full is followed by another one.
                total.set_message(truncate_str(&text, screen::width().saturating_sub(7), "…").into_owned());
                // Bars that are still wanted keep their rate; the others make room.
                let wanted: Vec<_> = seen.drain(..).take(BARS).collect();
                pending.retain(|(path, bar)| {
                    let stays = wanted.iter().any(|(wanted, ..)| wanted == path);
                    if !stays {
                        bar.bar.finish_and_clear();
                        bars.all.remove(&bar.bar);
                    }
                    stays
                });
                for (path, copied, size) in wanted {
                    match pending.iter_mut().find(|(known, _)| *known == path) {
                        Some((_, bar)) => bar.set(copied),
                        None => {
                            let bar = ByteBar::new(&padded(&shortened(&path, NAME), NAME), copied, size);
                            bars.all.add(bar.bar.clone());
                            pending.push((path, bar));
                        }
                    }
                }
            }
        }
    }

    pub(super) fn end(&mut self, summary: &Summary) {
        if let OutputMode::Bars { bars, total, pending, .. } = &self.mode {
            for (_, bar) in pending {
                bar.bar.finish_and_clear();
            }
            total.finish_and_clear();
            let _ = bars.all.clear();
        }
        match self.mode {
            OutputMode::Json => print_json(&summary.json()),
            _ if self.quiet => {}
            _ => print_line(&summary.text(self.done)),
        }
        let _ = io::stdout().flush();
    }
}

/// The line of the whole: a bar where there is room for one.
fn total_style(width: usize) -> ProgressStyle {
    let template = if width < STATE + LEAST_BAR { "{percent:>3} % {msg}" } else { "{wide_bar} {msg}" };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

/// A line on stdout. Where the terminal is gone, which SIGHUP tells, there is no one to read it, and more to do.
fn print_line(text: &str) {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.raw_os_error() != Some(libc::EIO) => panic!("cannot print: {error}"),
        _ => {}
    }
}

fn print_json(value: &serde_json::Value) {
    print_line(&value.to_string());
}

fn event(path: &str, file: &FileProgress) -> serde_json::Value {
    let event = match file.status {
        ioctl::SUCCESS => "copied",
        ioctl::ACCEPTED => "accepted",
        ioctl::DUE => "due",
        ioctl::EXISTS => "exists",
        ioctl::SAME => "same",
        ioctl::ABORTED => "aborted",
        _ => "failed",
    };
    let mut value = serde_json::json!({ "event": event, "path": path, "bytes": file.total });
    let mut add = |name: &str, field: serde_json::Value| value[name] = field;
    if !file.id.is_empty() {
        add("id", file.id.as_str().into());
    }
    if !file.reason.is_empty() {
        add("reason", file.reason.as_str().into());
    }
    if file.errno != 0 {
        add("errno", file.errno.into());
    }
    value
}

/// Files that need nothing more.
fn ended(news: &ioctl::News) -> u64 {
    news.copied_files + news.skipped_files + news.failed_files + news.aborted_files
}

fn bytes(news: &ioctl::News) -> u64 {
    news.copied_bytes + news.skipped_bytes + news.failed_bytes + news.aborted_bytes + news.pending_bytes
}

/// How far it is, and of how much: in bytes, or in files if all are empty.
fn reached(news: &ioctl::News) -> (u64, u64) {
    match news.found_bytes {
        0 => (ended(news), news.found_files),
        found => (bytes(news), found),
    }
}

/// Progress in a line that leaves room for a bar on 80 columns.
fn state(news: &ioctl::News, took: Duration) -> String {
    let more = if news.flags.contains(ReportFlags::LISTED) { "" } else { "+" };
    let seconds = took.as_secs_f64().max(0.001);
    // Of small files the number tells more, of large ones the bytes.
    let rate = if ended(news) as f64 >= 10.0 * seconds {
        format!("{:.0} files/s", ended(news) as f64 / seconds)
    } else {
        format!("{}/s", BinaryBytes((bytes(news) as f64 / seconds) as u64))
    };
    let mut text = format!(
        "{} of {}{more}, {} of {}{more}, {rate}",
        ended(news),
        news.found_files,
        BinaryBytes(bytes(news)),
        BinaryBytes(news.found_bytes),
    );
    let (done, of) = reached(news);
    if done > 0 && more.is_empty() && done < of {
        let left = (of - done) as f64 * seconds / done as f64;
        text += &format!(", {:#} left", HumanDuration(Duration::from_secs_f64(left)));
    }
    text
}

/// Numbers of files by outcome.
pub(super) struct Summary {
    pub copied: u64,
    pub copied_bytes: u64,
    pub skipped: u64,
    /// Files, and sources that could not be read at all.
    pub failed: u64,
    pub aborted: u64,
    /// Found, and not begun.
    pub left: u64,
    took: Duration,
    stopped: bool,
}

impl Summary {
    pub(super) fn new(news: Option<&ioctl::News>, refused: u64, took: Duration, stopped: bool) -> Self {
        let count = |field: fn(&ioctl::News) -> u64| news.map_or(0, field);
        Self {
            copied: count(|news| news.copied_files),
            copied_bytes: count(|news| news.copied_bytes),
            skipped: count(|news| news.skipped_files),
            failed: count(|news| news.failed_files) + refused,
            aborted: count(|news| news.aborted_files),
            left: count(|news| news.found_files.saturating_sub(ended(news))),
            took,
            stopped,
        }
    }

    fn text(&self, done: &str) -> String {
        let files = |count: u64| if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
        let mut parts = vec![format!("{} {done} ({})", files(self.copied), BinaryBytes(self.copied_bytes))];
        for (count, what) in [(self.skipped, "skipped"), (self.failed, "failed"), (self.aborted, "aborted")] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        if self.stopped {
            parts.push(format!("{} not begun", self.left));
        }
        let seconds = self.took.as_secs_f64();
        format!("{} in {seconds:.1} s", parts.join(", "))
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "event": "summary", "copied": self.copied, "copied_bytes": self.copied_bytes, "skipped": self.skipped,
            "failed": self.failed, "aborted": self.aborted, "not_begun": self.left, "interrupted": self.stopped,
            "seconds": self.took.as_secs_f64(),
        })
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    fn news() -> ioctl::News {
        let mut news = ioctl::News::new_zeroed();
        (news.found_files, news.found_bytes) = (10_000, 40_960_000);
        (news.copied_files, news.copied_bytes) = (4_200, 17_203_200);
        (news.skipped_files, news.failed_files, news.aborted_files) = (3, 1, 0);
        news
    }

    #[test]
    fn the_state_leaves_room_for_a_bar_on_80_columns() {
        let mut news = news();
        let text = state(&news, Duration::from_secs(2));
        assert_eq!(text, "4204 of 10000+, 16.41 MiB of 39.06 MiB+, 2102 files/s");
        news.flags = ReportFlags::LISTED;
        let text = state(&news, Duration::from_secs(2));
        assert_eq!(text, "4204 of 10000, 16.41 MiB of 39.06 MiB, 2102 files/s, 3s left");
        assert!(text.len() < STATE);
        (news.copied_files, news.copied_bytes) = (4, 17_203_200);
        assert!(state(&news, Duration::from_secs(2)).contains(", 8.20 MiB/s, "));
    }

    #[test]
    fn a_summary_counts_everything() {
        let summary = Summary::new(Some(&news()), 1, Duration::from_millis(3_400), false);
        assert_eq!(summary.text("copied"), "4200 files copied (16.41 MiB), 3 skipped, 2 failed in 3.4 s");
        let stopped = Summary::new(Some(&news()), 0, Duration::from_millis(3_400), true);
        assert!(stopped.text("copied").contains(", 5796 not begun"), "{}", stopped.text("copied"));
        assert_eq!(stopped.json()["not_begun"], 5796);
        assert_eq!(
            Summary::new(None, 1, Duration::ZERO, false).text("to be copied"),
            "0 files to be copied (0 B), 1 failed in 0.0 s"
        );
    }
}
