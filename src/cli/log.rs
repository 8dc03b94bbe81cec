//! The log: its place and its level.

use std::fs::{DirBuilder, File};
use std::io::{self, IsTerminal};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

use super::failure::{Failure, about, complain};
use crate::config::places::set;
use crate::mount::runtime_dir::state_home;
use crate::secrets::scrubbed;

/// The default level: only what somebody should know.
const DEFAULT_LEVEL: &str = "warn";

/// `warn` for all, or a list of `MODULE=LEVEL` as tracing has it. A bare level is ours: at `debug` the HTTP library
/// alone would write a dozen lines per request. What the FUSE library says of an answer that the kernel does not want
/// any more is left out: that is how each unmount ends for whoever was just being answered.
fn filter(level: Option<&str>) -> Result<EnvFilter, Failure> {
    let level = level.unwrap_or(DEFAULT_LEVEL);
    let wrong = || Failure::usage(format!("--log {level:?}: must be error, warn, info, debug or trace"));
    let directives = match level {
        "error" => "error,fuser::reply=off".to_owned(),
        "warn" | "info" | "debug" | "trace" => format!("warn,fuser::reply=off,blobcp={level}"),
        list if list.contains('=') => list.to_owned(),
        _ => return Err(wrong()),
    };
    EnvFilter::try_new(directives).map_err(|_| wrong())
}

/// A log without the secrets that are in what is written to it. Nothing here logs one on purpose; what others say, a
/// library or the service, may repeat a URL.
struct Scrubbed<W>(W);

impl<W: io::Write> io::Write for Scrubbed<W> {
    /// A line comes at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(line) {
            Ok(text) if may_hold_a_secret(line) => self.0.write_all(scrubbed(text).as_bytes())?,
            _ => self.0.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Few lines do, and all others cost nothing.
fn may_hold_a_secret(line: &[u8]) -> bool {
    line.windows(4).any(|four| four.eq_ignore_ascii_case(b"sig=") || four.eq_ignore_ascii_case(b"key="))
}

/// A mistake in the level, before anything depends on it.
pub(super) fn check(level: Option<&str>) -> Result<(), Failure> {
    filter(level).map(drop)
}

pub(super) fn to_stderr(level: Option<&str>) -> Result<(), Failure> {
    let colours = io::stderr().is_terminal();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter(level)?).with_writer(|| Scrubbed(io::stderr()));
    subscriber.with_ansi(colours).init();
    Ok(())
}

/// Appends to the file; makes it, and its directory, if need be.
pub(super) fn to_file(path: &Path, level: Option<&str>) -> Result<(), Failure> {
    let filter = filter(level)?;
    let file = open(path)?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(Mutex::new(Scrubbed(file))).with_ansi(false).init();
    Ok(())
}

fn open(path: &Path) -> Result<File, Failure> {
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(|error| about(parent, &error))?;
    }
    // Paths of files are private, even without their content.
    File::options().create(true).append(true).mode(0o600).open(path).map_err(|error| about(path, &error))
}

/// The log of a mount that names none: `~/.local/state/blobcp/MOUNT.log`, with dashes for the slashes of the mount
/// point; without a home, as at boot, in `/var/log/blobcp`, and so for root whenever mount(8) asks: the same line of
/// fstab has the same log. Where nothing can be written there, in `$XDG_RUNTIME_DIR`, which is the user's until the
/// machine ends. `None`, with a line that says so, if there is no place at all: a mount works without a log.
pub(super) fn usual_path(mountpoint: &Path, by_mount8: bool) -> Option<PathBuf> {
    let name = mountpoint.to_string_lossy().trim_start_matches('/').replace('/', "-");
    let is_root = rustix::process::geteuid().is_root();
    let own = state_home().filter(|_| !(by_mount8 && is_root));
    let machines = (is_root || own.is_none()).then(|| PathBuf::from("/var/log"));
    let mut trouble = None;
    for dir in own.into_iter().chain(machines).chain(set("XDG_RUNTIME_DIR")) {
        let path = dir.join("blobcp").join(format!("{name}.log"));
        match open(&path) {
            Ok(_) => return Some(path),
            Err(failure) => trouble = trouble.or(failure.message),
        }
    }
    let why = trouble.unwrap_or_else(|| "there is no place for it".into());
    complain("mount", format_args!("warning: no log is written: {why}; --log-file names a file for it"));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_repeats_a_secret_is_written_without_it() {
        use std::io::Write;
        let mut log = Scrubbed(Vec::new());
        let lines = [
            "WARN GET https://a.blob.core.windows.net/c?sv=1&SIG=SeCrEt: 403\n",
            "WARN what=\"DefaultEndpointsProtocol=https;AccountKey=SeCrEt\"\n",
            "INFO design=1 of https://a/b?snapshot=T\n",
        ];
        for line in lines {
            assert_eq!(log.write(line.as_bytes()).unwrap(), line.len());
        }
        let expected = "WARN GET https://a.blob.core.windows.net/c: 403\nWARN what=\"***\"\n".to_owned() + lines[2];
        assert_eq!(String::from_utf8(log.0).unwrap(), expected);
    }

    #[test]
    fn levels() {
        for level in ["error", "warn", "info", "debug", "trace", "blobcp::store=trace"] {
            assert!(filter(Some(level)).is_ok(), "{level}");
        }
        let wrong = filter(Some("loud")).err().and_then(|failure| failure.message);
        assert_eq!(wrong.as_deref(), Some("--log \"loud\": must be error, warn, info, debug or trace"));
    }
}
