//! `blobcp mount --list`.

use std::io::{self, Write};

use serde_json::json;

use super::failure::{Failure, about, end_quietly_without_readers};
use crate::mount::exit_report::Server;
use crate::mount::record::Record;
use crate::mount::table::{self, Mount};

/// What stands in a column where nothing is known.
const UNKNOWN: &str = "-";

/// What stands in place of the process of a mount whose process was killed; `blobcp umount` takes the mount away.
const KILLED: &str = "killed";

/// A mount, and what its process has said of it.
struct Row<'a> {
    mount: &'a Mount,
    record: Option<Record>,
    /// Nobody serves it any more.
    killed: bool,
}

impl<'a> Row<'a> {
    fn of(mount: &'a Mount) -> Self {
        Self { mount, record: Record::of(mount), killed: matches!(Server::of(mount), Server::Ended) }
    }

    /// The process that serves it, if it is known.
    fn pid(&self) -> Option<u32> {
        self.record.as_ref().filter(|_| !self.killed).map(|record| record.pid)
    }
}

/// Prints the mounts of blobcp that this process sees, in the order in which they were made.
pub(super) fn run(json: bool) -> Result<(), Failure> {
    end_quietly_without_readers();
    let table = table::read().map_err(|error| about("/proc/self/mountinfo", &error))?;
    let mounts: Vec<Row<'_>> = table.ours().map(Row::of).collect();
    let mut out = io::stdout();
    let text = if json { in_json(&mounts) } else { in_columns(&mounts) };
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    Ok(())
}

fn in_json(rows: &[Row<'_>]) -> String {
    let line = |row: &Row<'_>| {
        let Row { mount, record, killed } = row;
        let line = json!({
            "mountpoint": mount.point.to_string_lossy(), "name": mount.source.to_string_lossy(),
            "sources": record.as_ref().map(|record| &record.sources), "read_only": mount.read_only,
            "allow_other": mount.allow_other, "user": mount.user, "pid": row.pid(), "killed": killed,
            "log": record.as_ref().and_then(|record| record.log.as_ref()),
        });
        format!("{line}\n")
    };
    rows.iter().map(line).collect()
}

fn in_columns(mounts: &[Row<'_>]) -> String {
    if mounts.is_empty() {
        return String::new();
    }
    let known = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.into());
    let mut rows = vec![["SOURCE", "MOUNTPOINT", "OPTIONS", "USER", "PID", "LOG"].map(str::to_owned)];
    for row in mounts {
        let (mount, record) = (row.mount, row.record.as_ref());
        let others = if mount.allow_other { ",allow_other" } else { "" };
        let pid = if row.killed { Some(KILLED.to_owned()) } else { row.pid().map(|pid| pid.to_string()) };
        let cells = [
            record.map_or_else(|| mount.source.to_string_lossy().into_owned(), |record| record.sources.join(",")),
            mount.point.to_string_lossy().into_owned(),
            format!("{}{others}", if mount.read_only { "ro" } else { "rw" }),
            known(mount.user.map(|user| user.to_string())),
            known(pid),
            known(record.and_then(|record| Some(record.log.as_ref()?.to_string_lossy().into_owned()))),
        ];
        rows.push(cells.map(|cell| printable(&cell)));
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// What others have said, without what a terminal would obey: a mount point may have any name, and a user's record any
/// text.
fn printable(text: &str) -> String {
    let one = |character: char| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    text.chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(printable("/mnt/Zürich/a b"), "/mnt/Zürich/a b");
        assert_eq!(printable("a\n\u{1b}[2Jb\u{9b}"), "a\\n\\u{1b}[2Jb\\u{9b}");
    }
}
