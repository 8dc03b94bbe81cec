//! Failures of commands, and their lines on stderr.

use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::path::meant;
use crate::secrets::scrubbed;

/// The exit status of a command that fails, and one line unless all has been said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub message: Option<String>,
    pub status: u8,
}

/// Exit status of mistakes in the command line, as clap and most shells have it.
pub(super) const USAGE: u8 = 2;

/// 128 + SIGINT, as shells have it.
pub(super) const INTERRUPTED: u8 = 130;

impl Failure {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), status: 1 }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), status: USAGE }
    }

    /// A failure whose lines were printed already.
    pub(super) fn said() -> Self {
        Self { message: None, status: 1 }
    }

    /// Its line, for a command that goes on; nothing if all has been said.
    pub(super) fn complain(self, command: &str) {
        if let Some(message) = self.message {
            complain(command, message);
        }
    }

    /// The end of a command that complains of each thing that goes wrong, and goes on.
    pub(super) fn unless(good: bool) -> Result<(), Self> {
        if good { Ok(()) } else { Err(Self::said()) }
    }
}

impl From<crate::mount::MountError> for Failure {
    fn from(error: crate::mount::MountError) -> Self {
        Self::new(error.0)
    }
}

impl From<crate::config::Error> for Failure {
    fn from(error: crate::config::Error) -> Self {
        Self::new(error.to_string())
    }
}

/// Does something about each path, and goes on where that fails: each failure is a line.
pub(super) fn each(
    command: &str,
    paths: &[PathBuf],
    act: impl Fn(&Path) -> Result<(), Failure>,
) -> Result<(), Failure> {
    end_quietly_without_readers();
    let mut good = true;
    for path in paths {
        if let Err(failure) = act(path) {
            failure.complain(command);
            good = false;
        }
    }
    Failure::unless(good)
}

/// An error of the system about a path, without Rust's "(os error 2)".
pub(super) fn about(path: impl AsRef<Path>, error: &std::io::Error) -> Failure {
    Failure::new(format!("{}: {}", path.as_ref().display(), reason(error)))
}

/// The system's words for an error.
pub(super) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// An error of the system about a path, with what the mount knows of it. Where both say the same, it is said once.
pub(super) fn explained(path: impl Display, error: &std::io::Error, known: &str) -> String {
    match error.raw_os_error() {
        Some(libc::EEXIST) => format!("{path}: {}", reason(error)),
        _ if known.is_empty() => format!("{path}: {}", reason(error)),
        _ => format!("{path}: {}: {known}", reason(error)),
    }
}

/// A line on stderr that is not the end. What was typed is repeated without secrets.
pub(super) fn complain(command: &str, what: impl Display) {
    let what = what.to_string();
    // Whoever goes on after SIGHUP has no terminal any more.
    let _ = writeln!(std::io::stderr(), "blobcp: {command}: {}", scrubbed(&what));
}

/// For commands whose output is often piped into `head`: ends with the pipe, as other programs do, instead of a panic.
pub(super) fn end_quietly_without_readers() {
    // SAFETY: the process has one thread, and the default action needs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// The message of clap about a mistake, without its usage and hints, in one line.
pub(super) fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = first.split_whitespace().collect();
    let said = words.join(" ").trim_start_matches("error: ").to_owned();
    match suggested(error) {
        Some(meant) => format!("{said}; did you mean {meant}?"),
        None => said,
    }
}

/// What clap takes a word that it does not know for.
pub(super) fn suggested(error: &clap::Error) -> Option<String> {
    use clap::error::{ContextKind, ContextValue};
    let text = |kind| match error.get(kind)? {
        ContextValue::String(one) => Some(one.clone()),
        // The nearest one comes last.
        ContextValue::Strings(all) => all.last().cloned(),
        _ => None,
    };
    let pairs = [
        (ContextKind::InvalidSubcommand, ContextKind::SuggestedSubcommand),
        (ContextKind::InvalidArg, ContextKind::SuggestedArg),
        (ContextKind::InvalidValue, ContextKind::SuggestedValue),
    ];
    // What it finds alike is often another word altogether.
    pairs.into_iter().find_map(|(typed, suggested)| {
        let (typed, suggested) = (text(typed)?, text(suggested)?);
        meant(&typed, [suggested.as_str()]).map(str::to_owned)
    })
}

/// A line on stderr that does not tear bars.
pub(super) fn say(command: &str, bars: Option<&indicatif::MultiProgress>, what: &str) {
    match bars {
        Some(bars) => bars.suspend(|| complain(command, what)),
        None => complain(command, what),
    }
}
