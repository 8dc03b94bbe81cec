//! What the filesystem says in its log.

use std::io::Write;
use std::sync::{Mutex, Once};

use super::*;

/// What the filesystem has logged in this process, in all tests of a binary.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        if std::env::var_os("BLOBCP_TEST_LOG").is_some() {
            std::io::stderr().write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A world whose log is read.
pub fn logged() -> World {
    logged_with(Setup::default())
}

pub fn logged_with(setup: Setup) -> World {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt().with_ansi(false).with_writer(|| Log).with_max_level(tracing::Level::INFO).init();
    });
    World::with(setup)
}

/// In how many lines of the log the words are.
pub fn times_logged(words: &str) -> usize {
    String::from_utf8(LOG.lock().unwrap().clone()).unwrap().lines().filter(|line| line.contains(words)).count()
}

/// The log has a line with all of `words`.
#[track_caller]
pub fn assert_logged(words: &[&str]) {
    let log = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
    assert!(log.lines().any(|line| words.iter().all(|word| line.contains(word))), "no line with {words:?} in\n{log}");
}
