//! The command line: what each word means, and how a failure looks.
//!
//! One file per command below this one; here is what they share. A command is a `clap` structure with a `run` method
//! that ends in [`Failure`]s, and a failure is one line on stderr, `blobcp: COMMAND: WHAT`, with exit status 1.
//! Mistakes in the command line itself are one line as well, with status 2 and a hint where the help is.
//!
//! The commands for files (`cp`, `status`, `wait`, `abort`, `snapshot`, `lease`, `undelete`, `verify`, `clean`) know neither accounts nor credentials:
//! they find the mount that a path is in and ask it by ioctl ([`on_mount`]), so whoever may use a file may use them on
//! it.
//!
//! mount(8) and fstab call differently; [`mount_helper`] turns their words into those of `blobcp mount`. Shells call to
//! hear what can follow ([`completion`]).

mod abort;
mod bulk;
mod bulk_output;
mod completion;
mod config;
mod cp;
mod devstore;
mod failure;
mod first_copy;
mod format;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod handover;
mod lease;
mod leftovers;
mod log;
mod manual;
mod mkdir;
mod mount;
mod mount_helper;
mod mount_list;
mod mount_options;
mod naming;
mod on_mount;
mod refused;
mod resume;
mod screen;
mod signals;
mod snapshot;
mod source_word;
mod status;
mod transfer;
mod umount;
mod umount_hints;
mod undelete;
mod verify;
mod verify_account;
mod wait;
mod watch_table;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::cli::failure::{Failure, USAGE, complain, one_line};
use crate::secrets::scrubbed;

const EXAMPLES: &str = "\
Examples:
  blobcp mount --dev ~/mnt               to try it: needs no account
  blobcp mount myaccount ~/mnt           all containers of an account
  blobcp mount myaccount/photos ~/mnt    one container
  blobcp mount first second ~/mnt        two accounts, and copies between them
  cp ~/mnt/big.img ~/mnt/copy.img        runs in the service, nothing is moved
  blobcp cp -r ~/mnt/2025 ~/mnt/old      many files at once
  blobcp status --watch ~/mnt/copy.img   how far the copy is
  blobcp umount ~/mnt
  blobcp config init                     writes accounts into a file
  blobcp config check                    what is wrong with it, if anything

Credentials: AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with
AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or AZURE_TENANT_ID,
AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or 'mount --auth', or [account.NAME]
tables in ~/.config/blobcp/config.toml. 'blobcp COMMAND --help' says more.";

/// Mounts Azure Blob Storage and runs file copies inside the service
#[derive(Parser)]
#[command(name = "blobcp", version, after_help = EXAMPLES, args_override_self = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// The commands: how each is called, and its arguments, which run it.
macro_rules! commands {
    ($($name:literal $command:ident($arguments:ty),)*) => {
        #[derive(Subcommand)]
        enum Command { $($command($arguments),)* }

        impl Command {
            fn name(&self) -> &'static str {
                match self { $(Self::$command(_) => $name,)* }
            }

            fn run(self) -> Result<(), Failure> {
                match self { $(Self::$command(arguments) => arguments.run(),)* }
            }
        }
    };
}

commands! {
    "mount" Mount(Box<mount::Arguments>),
    "umount" Umount(umount::Arguments),
    "config" Config(config::Arguments),
    "cp" Cp(cp::Arguments),
    "status" Status(status::Arguments),
    "wait" Wait(wait::Arguments),
    "abort" Abort(abort::Arguments),
    "mkdir" Mkdir(mkdir::Arguments),
    "snapshot" Snapshot(snapshot::Arguments),
    "lease" Lease(lease::Arguments),
    "clean" Clean(leftovers::Arguments),
    "undelete" Undelete(undelete::Arguments),
    "verify" Verify(verify::Arguments),
    "devstore" Devstore(devstore::Arguments),
    "first-copy" FirstCopy(first_copy::Arguments),
    "verify-account" VerifyAccount(verify_account::Arguments),
    "manual" Manual(manual::Arguments),
}

/// Commands of other programs, and what they are called here.
const CALLED_OTHERWISE: [(&str, &str); 6] = [
    ("unmount", "umount"),
    ("copy", "cp"),
    ("ls", "mount --list"),
    ("list", "mount --list"),
    ("cancel", "abort"),
    ("break-lease", "lease break"),
];

/// A mistake in the command line, in one line.
fn said(args: &[OsString], error: &clap::Error) -> String {
    let typed = args.get(1).and_then(|word| word.to_str()).unwrap_or_default();
    let known = CALLED_OTHERWISE.iter().find(|(name, _)| *name == typed);
    match known.filter(|_| error.kind() == clap::error::ErrorKind::InvalidSubcommand) {
        Some((_, meant)) => format!("unrecognized subcommand '{typed}'; did you mean {meant}?"),
        None => one_line(error),
    }
}

/// Runs the command in `args`, the program's name first.
pub fn run(args: Vec<OsString>) -> ExitCode {
    if let Some(status) = completion::answer(&args, Arguments::command) {
        return status;
    }
    let names: Vec<String> =
        Arguments::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let args = match mount_helper::translate(args, &names) {
        Ok(Some(args)) => args,
        Ok(None) => return ExitCode::SUCCESS,
        Err(what) => {
            complain("mount", what);
            return ExitCode::from(USAGE);
        }
    };
    let args = match handover::out_of_sight(args) {
        Ok(args) => args,
        Err(error) => {
            complain("mount", format_args!("cannot take secrets off the command line: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let arguments = match Arguments::try_parse_from(&args) {
        Ok(arguments) => arguments,
        Err(error) if !error.use_stderr() => {
            // Help or version, asked for; if nobody reads it, nobody misses it.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) if args.len() < 2 => {
            let _ = error.print();
            return ExitCode::from(USAGE);
        }
        Err(error) => {
            let command = args.get(1).and_then(|word| word.to_str()).filter(|word| names.iter().any(|n| n == word));
            let command = command.map_or_else(String::new, |command| format!("{command}: "));
            let help = format!("blobcp {}", command.replace(": ", " "));
            eprintln!("blobcp: {command}{} (see {help}--help)", scrubbed(&said(&args, &error)));
            return ExitCode::from(USAGE);
        }
    };
    let name = arguments.command.name();
    match arguments.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(message) = failure.message {
                complain(name, message);
            }
            ExitCode::from(failure.status)
        }
    }
}
