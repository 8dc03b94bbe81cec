//! What the filesystem says in its log.

use std::io::Write;
use std::sync::{Mutex, Once};
use std::thread;

use tokio::runtime;

use super::*;

/// What was logged in this process, line by line, each after the test that it is of.
static LOG: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());
/// The runtimes of all tests.
static RUNTIMES: Mutex<Vec<(runtime::Id, String)>> = Mutex::new(Vec::new());

struct Log;

impl Write for Log {
    /// One line, as the subscriber writes them.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().push((who(), String::from_utf8_lossy(bytes).into_owned()));
        if is_shown() {
            std::io::stderr().write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The test that this thread works for: the one whose runtime it is in, also when it is a thread of the FUSE library, or else that of its
/// name, for a test's own thread is called as the test is.
fn who() -> String {
    let of_runtime = runtime::Handle::try_current().ok().and_then(|handle| {
        let runtimes = RUNTIMES.lock().unwrap();
        runtimes.iter().find(|(id, _)| *id == handle.id()).map(|(_, test)| test.clone())
    });
    of_runtime.unwrap_or_else(|| thread::current().name().unwrap_or_default().to_owned())
}

/// What is logged in the runtime is of the test that calls this.
pub(super) fn is_of_this_test(runtime: &Runtime) {
    RUNTIMES.lock().unwrap().push((runtime.handle().id(), who()));
}

fn is_shown() -> bool {
    std::env::var_os("BLOBCP_TEST_LOG").is_some()
}

fn listen() {
    static ONCE: Once = Once::new();
    let level = if is_shown() { tracing::Level::DEBUG } else { tracing::Level::INFO };
    ONCE.call_once(|| tracing_subscriber::fmt().with_ansi(false).with_writer(|| Log).with_max_level(level).init());
}

/// `BLOBCP_TEST_LOG` shows the log of all tests.
pub(super) fn show_if_asked() {
    if is_shown() {
        listen();
    }
}

/// A world whose log is read.
pub fn logged() -> World {
    logged_with(Setup::default())
}

pub fn logged_with(setup: Setup) -> World {
    listen();
    // With one thread for all tests they have one name.
    LOG.lock().unwrap().retain(|(name, _)| *name != who());
    World::with(setup)
}

fn lines() -> Vec<String> {
    let log = LOG.lock().unwrap();
    log.iter().filter(|(name, _)| *name == who()).map(|(_, line)| line.clone()).collect()
}

/// In how many lines of this test's log the words are.
pub fn times_logged(words: &str) -> usize {
    lines().iter().filter(|line| line.contains(words)).count()
}

/// The log of this test has a line with all of `words`.
#[track_caller]
pub fn assert_logged(words: &[&str]) {
    let lines = lines();
    let found = lines.iter().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(found, "no line with {words:?} in\n{}", lines.concat());
}
