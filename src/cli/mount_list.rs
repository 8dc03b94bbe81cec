//! `blobcp mount --list`.

use std::io::{self, Write};

use serde_json::json;

use super::failure::{Failure, about, end_quietly_without_readers};
use crate::mount::record::Record;
use crate::mount::table::{self, Mount};

/// What stands in a column where nothing is known.
const UNKNOWN: &str = "-";

/// Prints the mounts of blobcp that this process sees, in the order in which they were made.
pub(super) fn run(json: bool) -> Result<(), Failure> {
    end_quietly_without_readers();
    let table = table::read().map_err(|error| about("/proc/self/mountinfo", &error))?;
    let mounts: Vec<(&Mount, Option<Record>)> =
        table.iter().filter(|mount| mount.is_ours()).map(|mount| (mount, Record::of(mount))).collect();
    let mut out = io::stdout();
    let text = if json { in_json(&mounts) } else { in_columns(&mounts) };
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    Ok(())
}

fn in_json(mounts: &[(&Mount, Option<Record>)]) -> String {
    let line = |(mount, record): &(&Mount, Option<Record>)| {
        let line = json!({
            "mountpoint": mount.point.to_string_lossy(), "name": mount.source.to_string_lossy(),
            "sources": record.as_ref().map(|record| &record.sources), "read_only": mount.read_only,
            "allow_other": mount.allow_other, "user": mount.user, "pid": record.as_ref().map(|record| record.pid),
            "log": record.as_ref().and_then(|record| record.log.as_ref()),
        });
        format!("{line}\n")
    };
    mounts.iter().map(line).collect()
}

fn in_columns(mounts: &[(&Mount, Option<Record>)]) -> String {
    if mounts.is_empty() {
        return String::new();
    }
    let known = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.into());
    let mut rows = vec![["SOURCE", "MOUNTPOINT", "OPTIONS", "USER", "PID", "LOG"].map(str::to_owned)];
    for (mount, record) in mounts {
        let others = if mount.allow_other { ",allow_other" } else { "" };
        let record = record.as_ref();
        rows.push([
            record.map_or_else(|| mount.source.to_string_lossy().into_owned(), |record| record.sources.join(",")),
            mount.point.display().to_string(),
            format!("{}{others}", if mount.read_only { "ro" } else { "rw" }),
            known(mount.user.map(|user| user.to_string())),
            known(record.map(|record| record.pid.to_string())),
            known(record.and_then(|record| Some(record.log.as_ref()?.display().to_string()))),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
