//! `blobcp config`: the configuration file, made, looked at, and taken over from other programs.
//!
//! Whatever writes the file goes through [`draft`]: it is readable by its owner only, nothing that is in it already is
//! changed unasked, and no secret is printed. [`check`] reads it as a mount would, and asks the service what can be done
//! with it.

mod blobfuse2;
mod check;
mod draft;
mod fate;
mod init;
mod rclone;

use clap::Subcommand;

use super::failure::{Failure, end_quietly_without_readers};

/// Write, check and convert configuration files
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(Box<init::Arguments>),
    Check(check::Arguments),
    #[command(name = "from-blobfuse2")]
    FromBlobfuse2(blobfuse2::Arguments),
    FromRclone(rclone::Arguments),
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        end_quietly_without_readers();
        match self.command {
            Command::Init(arguments) => arguments.run(),
            Command::Check(arguments) => arguments.run(),
            Command::FromBlobfuse2(arguments) => arguments.run(),
            Command::FromRclone(arguments) => arguments.run(),
        }
    }
}
