//! What a shell offers after Tab.
//!
//! The script that a shell reads ([`SHELLS`]) knows nothing of this program: it calls it with the words so far and the
//! variable [`VARIABLE`], and shows what it prints. So accounts are those that the configuration file has at this
//! moment, mount points those that are mounted, and a script never says what the program does not know.
//!
//! Nothing is asked of the service, and no program of the file is run: Tab must answer at once, and cost nothing.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, Command, ValueHint};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter};
use clap_complete::env::{Bash, Fish, Shells, Zsh};

use super::failure::{USAGE, complain, one_line};
use crate::config::File;
use crate::mount::table;

/// Names the shell that asks. Not the usual `COMPLETE`, which others may set for something else.
pub(super) const VARIABLE: &str = "BLOBCP_COMPLETE";

/// Those that a script can be had for.
const SHELLS: Shells<'static> = Shells(&[&Bash, &Fish, &Zsh]);

/// The answer to a shell that asks about the command line that `command` describes; `None` if this is a call like any
/// other.
pub(super) fn answer(args: &[OsString], command: fn() -> Command) -> Option<ExitCode> {
    let asked = CompleteEnv::with_factory(|| with_offers(command())).var(VARIABLE).shells(SHELLS);
    let asked = asked.bin("blobcp").completer("blobcp");
    match asked.try_complete(args.iter().cloned(), std::env::current_dir().ok().as_deref()) {
        Ok(false) => None,
        Ok(true) => Some(ExitCode::SUCCESS),
        Err(error) => {
            complain(VARIABLE, one_line(&error));
            Some(ExitCode::from(USAGE))
        }
    }
}

/// `command` and those below it, with what can be offered where clap cannot know.
fn with_offers(command: Command) -> Command {
    let name = command.get_name().to_owned();
    let below: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let command = command.mut_args(move |arg| with_offer(&name, arg));
    below.iter().fold(command, |command, name| command.mut_subcommand(name, with_offers))
}

/// `arg` of the command `of`.
fn with_offer(of: &str, arg: Arg) -> Arg {
    match (of, arg.get_id().as_str()) {
        // Hidden in the help only, which shows them in its first line.
        ("mount", "words") => arg.hide(false).add(ArgValueCompleter::new(sources_and_directories)),
        ("umount", "mountpoint") => arg.add(ArgValueCompleter::new(mount_points)),
        ("verify-account", "source" | "from") => arg.add(ArgValueCompleter::new(accounts)),
        ("check", "source") => arg.add(ArgValueCompleter::new(accounts_and_mounts)),
        (_, "paths") => arg.hide(false).value_hint(ValueHint::AnyPath),
        _ => arg,
    }
}

/// The words that begin with what was typed.
fn beginning(typed: &OsStr, words: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else { return Vec::new() };
    words.into_iter().filter(|word| word.starts_with(typed)).map(CompletionCandidate::new).collect()
}

/// Names that the configuration file has tables for. A file that cannot be read has none: that it is wrong is said when
/// it is used.
fn accounts(typed: &OsStr) -> Vec<CompletionCandidate> {
    let file = File::load(named_file().as_deref()).unwrap_or_default();
    beginning(typed, file.accounts.into_keys())
}

/// The file after `--config` in the words so far.
fn named_file() -> Option<PathBuf> {
    let mut words = std::env::args_os();
    while let Some(word) = words.next() {
        if word == "--config" {
            return words.next().map(PathBuf::from);
        }
        if let Some(path) = word.to_str().and_then(|word| word.strip_prefix("--config=")) {
            return Some(path.into());
        }
    }
    None
}

/// Any word of `blobcp mount` is an account, several of them with commas between, the name of a mount or, the last of
/// them, a directory.
fn sources_and_directories(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut offers = accounts_and_mounts(typed);
    offers.extend(PathCompleter::dir().complete(typed));
    offers
}

fn accounts_and_mounts(typed: &OsStr) -> Vec<CompletionCandidate> {
    let file = File::load(named_file().as_deref()).unwrap_or_default();
    let Some((before, _)) = typed.to_str().and_then(|typed| typed.rsplit_once(',')) else {
        return beginning(typed, file.accounts.into_keys().chain(file.mounts.into_keys()));
    };
    let others = file.accounts.into_keys().filter(|name| before.split(',').all(|known| known != name));
    beginning(typed, others.map(|name| format!("{before},{name}")))
}

/// What is mounted by this program, and directories, for a path that is not written as the kernel has it.
fn mount_points(typed: &OsStr) -> Vec<CompletionCandidate> {
    let ours =
        |table: table::Table| -> Vec<String> { table.ours().map(|mount| mount.point.display().to_string()).collect() };
    let mut offers = beginning(typed, table::read().map(ours).unwrap_or_default());
    if offers.is_empty() {
        offers = PathCompleter::dir().complete(typed);
    }
    offers
}
