//! Parse, run, exit code.

use std::process::ExitCode;

/// Content comes and goes in pieces of a mebibyte. This allocator keeps what is freed for a moment instead of giving it
/// back to the kernel, which would have to clear it for the next piece.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    blobcp::cli::run(std::env::args_os().collect())
}
