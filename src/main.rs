//! Parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    blobcp::cli::run(std::env::args_os().collect())
}
