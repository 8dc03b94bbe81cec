//! The log: its place and its level.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sha2::{Digest, Sha256};
use tracing_subscriber::EnvFilter;

use super::failure::{Failure, reason};
use super::screen::wants_colours;
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
    let colours = wants_colours();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter(level)?).with_writer(|| Scrubbed(io::stderr()));
    subscriber.with_ansi(colours).init();
    Ok(())
}

/// Opens a log to append to it; makes it, and its directory, if need be.
pub(super) fn open(path: &Path) -> Result<File, Failure> {
    let hint = |path: &Path, error: io::Error| {
        // What should be a directory is a file.
        let why = if error.kind() == io::ErrorKind::AlreadyExists { "Not a directory".into() } else { reason(&error) };
        Failure::new(format!(
            "{}: {why}: the log cannot be written there; --log-file names another place",
            path.display()
        ))
    };
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(|error| hint(parent, error))?;
    }
    // Paths of files are private, even without their content.
    File::options().create(true).append(true).mode(0o600).open(path).map_err(|error| hint(path, error))
}

pub(super) fn to_file(file: File, level: Option<&str>) -> Result<(), Failure> {
    let filter = filter(level)?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(Mutex::new(Scrubbed(file))).with_ansi(false).init();
    Ok(())
}

/// The places for the log of a mount that names none, the best first: `~/.local/state/blobcp/MOUNT.log`, with dashes for
/// the slashes of the mount point ([`name_of`]); without a home, as at boot, in `/var/log/blobcp`, and so for root
/// whenever mount(8) asks: the same line of fstab has the same log. Where nothing can be written there, in
/// `$XDG_RUNTIME_DIR`, which is the user's until the machine ends.
pub(super) fn usual_paths(mountpoint: &Path, by_mount8: bool) -> impl Iterator<Item = PathBuf> {
    let name = format!("{}.log", name_of(mountpoint));
    let own = state_home().filter(|_| !(by_mount8 && rustix::process::geteuid().is_root()));
    let dirs = [Some(own.unwrap_or_else(|| "/var/log".into())), set("XDG_RUNTIME_DIR")];
    dirs.into_iter().flatten().map(move |dir| dir.join("blobcp").join(&name))
}

/// Longest name of a log without `.log`. Those of filesystems have 255 bytes.
const LONGEST_NAME: usize = 200;

/// A name for a mount point that no other one has: dashes for slashes, `%2D` for a dash, and of a long one the end behind
/// a hash.
fn name_of(mountpoint: &Path) -> String {
    let bytes = mountpoint.as_os_str().as_bytes();
    let bytes = bytes.strip_prefix(b"/").unwrap_or(bytes);
    let mut name = String::new();
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '/' => name.push('-'),
                '-' | '%' => name += &format!("%{:02X}", letter as u32),
                _ => name.push(letter),
            }
        }
        chunk.invalid().iter().for_each(|byte| name += &format!("%{byte:02X}"));
    }
    if name.len() <= LONGEST_NAME {
        return name;
    }
    let hash = Sha256::digest(mountpoint.as_os_str().as_bytes());
    let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let from = (name.len() - LONGEST_NAME..name.len()).find(|at| name.is_char_boundary(*at)).unwrap_or(name.len());
    format!("{hash}%{}", &name[from..])
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
    fn no_two_mount_points_have_the_same_log() {
        use std::ffi::OsStr;
        let long = |end: &str| format!("/{}/{end}", "directory/".repeat(40));
        let points =
            ["/a/b", "/a-b", "/a%2Db", "/a%b", "/a-/b", "/a/-b", "/", "/é", &long("x"), &long("y"), &long("x/x")];
        let mut names: Vec<String> = points.iter().map(|point| name_of(Path::new(point))).collect();
        names.push(name_of(Path::new(OsStr::from_bytes(b"/\xff"))));
        names.push(name_of(Path::new("/\u{fffd}")));
        assert_eq!(names[..2], ["a-b", "a%2Db"]);
        assert!(names.iter().all(|name| name.len() < 250 && !name.contains('/')), "{names:?}");
        let different: std::collections::BTreeSet<&String> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "{names:?}");
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
