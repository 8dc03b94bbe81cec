//! Copy states for people and for programs.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use console::{Alignment, measure_text_width, pad_str, truncate_str};
use indicatif::{BinaryBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::on_mount::{Archive, CopyState, Row, Status};
use super::screen::{self, NARROW};

/// The text of a cell without copy state.
const NOTHING: &str = "-";

impl CopyState {
    pub(super) fn percent(&self) -> u64 {
        // A copy of nothing is always complete.
        (u128::from(self.copied) * 100).checked_div(u128::from(self.total)).map_or(100, |percent| percent as u64)
    }

    /// As `--copy-method` names it.
    fn method(&self) -> &'static str {
        if self.in_blocks { "blocks" } else { "blob" }
    }

    fn progress(&self) -> String {
        match self.status {
            Status::Success => BinaryBytes(self.total).to_string(),
            _ => format!("{} of {} ({} %)", BinaryBytes(self.copied), BinaryBytes(self.total), self.percent()),
        }
    }
}

/// A source URL with what names the blob, such as its snapshot, and without the rest of a SAS, which only looks like
/// noise.
pub(super) fn without_credential(url: &str) -> String {
    let Some((base, query)) = url.split_once('?') else { return url.to_owned() };
    let names = |pair: &&str| pair.starts_with("snapshot=") || pair.starts_with("versionid=");
    let kept: Vec<&str> = query.split('&').filter(names).collect();
    if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) }
}

impl fmt::Display for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.status, &self.priority) {
            (None, _) => f.write_str("archived"),
            (Some(status), None) => f.write_str(status),
            (Some(status), Some(priority)) => write!(f, "{status}, priority {priority}"),
        }
    }
}

/// Everything about one file, over several lines.
pub(super) fn block(row: &Row) -> String {
    let path = row.path.display();
    let archive = row.archive.as_ref().map_or_else(String::new, |archive| format!("  archive  {archive}\n"));
    let Some(state) = &row.state else { return format!("{path}: no copy was made onto this file\n{archive}") };
    let mut text = format!("{path}\n");
    let completed = state.completed.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let rows = [
        ("status", state.status.name().to_owned()),
        ("copied", state.progress()),
        ("method", state.method().to_owned()),
        ("from", without_credential(&state.source)),
        ("copy id", state.id.clone()),
        ("ended", completed.map_or_else(String::new, |time| time.to_string())),
        ("reason", state.description.clone()),
    ];
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        text += &format!("  {name:<8} {value}\n");
    }
    text + &archive
}

/// Copies as a table, one line each. The last column is the reason if there is one, otherwise the id. `width`: columns
/// of the terminal, beyond which no line goes.
pub(super) fn table(rows: &[Row], width: Option<usize>) -> String {
    let path = |row: &Row| row.path.display().to_string();
    let short = width.is_some_and(|width| width < NARROW);
    let progress = |row: &Row| match &row.state {
        None => NOTHING.to_owned(),
        Some(state) if short => format!("{} %", state.percent()),
        Some(state) => state.progress(),
    };
    let widest = |text: &dyn Fn(&Row) -> String, heading: usize| {
        rows.iter().map(|row| measure_text_width(&text(row))).chain([heading]).max().unwrap_or_default()
    };
    let heading = if short { "DONE" } else { "PROGRESS" };
    let progress_width = widest(&progress, heading.len());
    let mut path_width = widest(&path, 4);
    if let Some(width) = width {
        // Most of what the other columns leave is for the path, whose end tells more than an id.
        let room = width.saturating_sub("  success  ".len() + progress_width + 2);
        path_width = path_width.min(room.saturating_sub(room / 4)).max(4);
    }
    let fitted = |line: String| match width {
        Some(width) => truncate_str(&line, width, "…").into_owned() + "\n",
        None => line + "\n",
    };
    let mut text = fitted(format!("{:<path_width$}  STATUS   {heading:<progress_width$}  ID/DESCRIPTION", "PATH"));
    for row in rows {
        let (status, last) = match &row.state {
            None => (NOTHING, NOTHING),
            Some(state) if state.description.is_empty() => (state.status.name(), state.id.as_str()),
            Some(state) => (state.status.name(), state.description.as_str()),
        };
        let path = shortened(&path(row), path_width);
        let path = padded(&path, path_width);
        text += &fitted(format!("{path}  {status:<7}  {:<progress_width$}  {last}", progress(row)));
    }
    text
}

/// One object on one line; a file without copy state has `"status":null` and nothing of a copy.
pub(super) fn json(row: &Row) -> String {
    let path = row.path.to_string_lossy();
    let mut object = match &row.state {
        None => serde_json::json!({ "path": path, "status": null }),
        Some(state) => serde_json::json!({
            "path": path,
            "status": state.status,
            "method": state.method(),
            "id": state.id,
            "source": state.source,
            "bytes_copied": state.copied,
            "total_bytes": state.total,
            "completion_time": state.completed.and_then(|s| jiff::Timestamp::from_second(s).ok()).map(|t| t.to_string()),
            "description": state.description,
        }),
    };
    if let Some(archive) = &row.archive {
        object["archive_status"] = archive.status.clone().into();
        object["rehydrate_priority"] = archive.priority.clone().into();
    }
    format!("{object}\n")
}

/// The end of a path, which tells more than its beginning, in at most that many columns of a terminal.
pub(super) fn shortened(path: &str, most: usize) -> String {
    if measure_text_width(path) <= most {
        return path.to_owned();
    }
    let starts: Vec<usize> = path.char_indices().map(|(at, _)| at).collect();
    let cut = starts.partition_point(|at| measure_text_width(&path[*at..]) >= most);
    format!("…{}", &path[starts.get(cut).copied().unwrap_or(path.len())..])
}

/// A cell of so many columns. What `format!` pads it counts in characters, of which some take two columns and some
/// none.
pub(super) fn padded(text: &str, width: usize) -> Cow<'_, str> {
    pad_str(text, width, Alignment::Left, None)
}

/// The time since then, in one unit: `3 minutes`. Seconds since the epoch.
pub(super) fn age(since: i64) -> String {
    let seconds = u64::try_from(now().saturating_sub(since)).unwrap_or_default();
    HumanDuration(Duration::from_secs(seconds)).to_string()
}

/// Seconds since the epoch.
pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A bar for so many bytes, of which some are copied. On a narrow terminal it is a number.
pub(super) struct ByteBar {
    pub bar: ProgressBar,
    name: String,
    /// What was copied when it was first seen.
    first: u64,
    /// Columns that it was made for.
    width: usize,
}

impl ByteBar {
    pub(super) fn new(name: &str, copied: u64, total: u64) -> Self {
        let width = screen::width();
        // Hidden until it is known where it is drawn.
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden()).with_position(copied);
        let made = Self { bar, name: name.to_owned(), first: copied, width };
        made.fit();
        made
    }

    pub(super) fn set(&mut self, copied: u64) {
        let width = screen::width();
        if width != self.width {
            self.width = width;
            self.fit();
        }
        self.bar.set_position(copied);
    }

    /// Sets what is drawn: never more than there is room for in a line.
    fn fit(&self) {
        let (name, template) = byte_line(&self.name, self.width);
        // The template is a constant; if it were wrong, the default one would show the same less prettily.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let first = self.first;
        let style = style.with_key("rate", move |bar: &ProgressState, out: &mut dyn fmt::Write| {
            let seconds = bar.elapsed().as_secs_f64();
            let watched = bar.pos().saturating_sub(first);
            let rest = bar.len().unwrap_or_default().saturating_sub(bar.pos());
            // Nobody can do anything about a writer of the terminal that fails.
            let _ = out.write_str(&rate_and_eta(watched, rest, seconds));
        });
        self.bar.set_style(style.progress_chars("=> "));
        self.bar.set_prefix(name);
    }
}

/// Columns of `1023.99 MiB of 1023.99 MiB  1023.99 MiB/s  100 hours`, and of the blanks around a bar of ten.
const NUMBERS: usize = 66;

/// Columns from which there is room for all numbers.
const WIDE: usize = 80;

/// The name as there is room for it, and the template of the line.
fn byte_line(name: &str, width: usize) -> (String, &'static str) {
    match width {
        // ` 100 %`, and a column that terminals keep for the cursor.
        0..NARROW => (shortened(name, width.saturating_sub(7).max(1)), "{prefix} {percent:>3} %"),
        NARROW..WIDE => (shortened(name, width / 3), "{prefix} {wide_bar} {percent:>3} % of {binary_total_bytes}"),
        _ => (shortened(name, width - NUMBERS), "{prefix} {wide_bar} {binary_bytes} of {binary_total_bytes}  {rate}"),
    }
}

/// Rate and time left, from the bytes of the time that was watched: what was copied before says nothing about the rate.
/// Nothing for as long as nothing was seen.
pub(super) fn rate_and_eta(watched: u64, rest: u64, seconds: f64) -> String {
    if watched == 0 || seconds <= 0.0 {
        return String::new();
    }
    let rate = watched as f64 / seconds;
    let left = Duration::from_secs((rest as f64 / rate) as u64);
    format!("{}/s  {:#}", BinaryBytes(rate as u64), HumanDuration(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(status: Status) -> CopyState {
        CopyState {
            status,
            copied: 1 << 30,
            total: 4 << 30,
            completed: (status != Status::Pending).then_some(1_767_225_600),
            id: "4b3c".into(),
            source: "http://127.0.0.1:1/a/c/b?sv=1&snapshot=T&sp=r".into(),
            description: if status == Status::Failed { "404 BlobNotFound".into() } else { String::new() },
            in_blocks: false,
        }
    }

    fn row(path: &str, state: Option<CopyState>) -> Row {
        Row { path: path.into(), state, started: None, archive: None }
    }

    #[test]
    fn a_table_has_aligned_columns_and_says_why() {
        let rows =
            [row("a", Some(state(Status::Pending))), row("longer", Some(state(Status::Failed))), row("none", None)];
        let expected = "\
PATH    STATUS   PROGRESS                     ID/DESCRIPTION
a       pending  1.00 GiB of 4.00 GiB (25 %)  4b3c
longer  failed   1.00 GiB of 4.00 GiB (25 %)  404 BlobNotFound
none    -        -                            -
";
        assert_eq!(table(&rows, None), expected);
        assert_eq!(table(&rows, Some(80)), expected);
    }

    #[test]
    fn wide_characters_take_two_columns_of_a_table() {
        let expected = "\
PATH    STATUS   PROGRESS  ID/DESCRIPTION
日本語  -        -         -
longer  -        -         -
";
        assert_eq!(table(&[row("日本語", None), row("longer", None)], None), expected);
    }

    #[test]
    fn a_table_goes_not_beyond_the_screen() {
        let long = format!("/mnt/{}end.img", "directory/".repeat(12));
        let rows = [row(&long, Some(state(Status::Failed))), row("/mnt/日本語/日本語/日本語/日本語/日本語", None)];
        for width in [200, 80, 60, 50, 30] {
            let text = table(&rows, Some(width));
            assert!(text.lines().all(|line| measure_text_width(line) <= width), "{width}:\n{text}");
            assert!(text.contains("end.img") || width < 50, "{width}:\n{text}");
        }
        let expected = "\
PATH                      STATUS   DONE  ID/DES…
…ctory/directory/end.img  failed   25 %  404 Bl…
";
        assert_eq!(table(&rows[..1], Some(48)), expected);
    }

    #[test]
    fn the_line_of_a_file_is_no_longer_than_the_screen() {
        let name = "directory/".repeat(20);
        for (width, numbers) in [(20, 6), (59, 6), (60, 30), (79, 30), (80, NUMBERS), (120, NUMBERS)] {
            let (name, template) = byte_line(&name, width);
            assert!(measure_text_width(&name) + numbers <= width, "{width}: {name} {template}");
        }
    }

    #[test]
    fn a_block_leaves_out_what_there_is_not() {
        let text = block(&row("/m/a", Some(state(Status::Aborted))));
        let expected = "\
/m/a
  status   aborted
  copied   1.00 GiB of 4.00 GiB (25 %)
  method   blob
  from     http://127.0.0.1:1/a/c/b?snapshot=T
  copy id  4b3c
  ended    2026-01-01T00:00:00Z
";
        assert_eq!(text, expected);
        assert_eq!(block(&row("/m/a", None)), "/m/a: no copy was made onto this file\n");
    }

    #[test]
    fn an_archived_file_says_so() {
        let (status, priority) = (Some("rehydrate-pending-to-hot".to_owned()), Some("High".to_owned()));
        let coming = Row { archive: Some(Archive { status, priority }), ..row("a", None) };
        let expected = "a: no copy was made onto this file\n  archive  rehydrate-pending-to-hot, priority High\n";
        assert_eq!(block(&coming), expected);
        let value: serde_json::Value = serde_json::from_str(&json(&coming)).unwrap();
        assert_eq!(
            (&value["archive_status"], &value["rehydrate_priority"]),
            (&"rehydrate-pending-to-hot".into(), &"High".into())
        );
    }

    #[test]
    fn json_is_one_line() {
        let text = json(&row("/m/a", Some(state(Status::Pending))));
        assert_eq!(text.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["status"], &value["bytes_copied"]), (&"pending".into(), &(1_u64 << 30).into()));
        assert!(value["completion_time"].is_null());
        assert_eq!(value["method"], "blob");
        let in_blocks = CopyState { in_blocks: true, ..state(Status::Pending) };
        assert!(json(&row("/m/a", Some(in_blocks))).contains(r#""method":"blocks""#));
        let none: serde_json::Value = serde_json::from_str(&json(&row("x", None))).unwrap();
        assert!(none["status"].is_null());
    }

    #[test]
    fn the_rate_is_that_of_the_time_watched() {
        assert_eq!(rate_and_eta(20 << 20, 100 << 20, 2.0), "10.00 MiB/s  10s");
        assert_eq!(rate_and_eta(0, 1, 2.0), "");
    }

    #[test]
    fn long_paths_keep_their_end() {
        assert_eq!(shortened("a/b", 5), "a/b");
        assert_eq!(shortened("dir/über/file", 9), "…ber/file");
        assert_eq!(shortened("dir/日本/file", 9), "…本/file");
    }

    #[test]
    fn a_copy_of_nothing_is_complete() {
        assert_eq!(CopyState { copied: 0, total: 0, ..state(Status::Pending) }.percent(), 100);
    }
}
