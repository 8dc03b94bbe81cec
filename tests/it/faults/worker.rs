//! The process that makes the calls (`tests/python/calls.py`).

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

/// What came of a call.
#[derive(Debug, Clone, Deserialize)]
pub struct Answer {
    /// Of the call that failed; 0 if none did.
    pub errno: i32,
    /// What a call gave that it must not give.
    pub wrong: String,
    /// What the program has to tell.
    pub out: String,
}

pub struct Worker {
    process: Child,
    orders: ChildStdin,
    answers: Receiver<String>,
}

impl Worker {
    pub fn start() -> Self {
        let (program, interface) = (
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/calls.py"),
            concat!(env!("CARGO_MANIFEST_DIR"), "/docs"),
        );
        let mut process = Command::new("/usr/bin/env")
            .args(["python3", "-I", "-B", program, interface])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (orders, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let (answered, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody listens any more once the worker was dropped.
                let _ = answered.send(line);
            }
        });
        Self { process, orders, answers }
    }

    /// Orders a call; its answer is to be asked for.
    pub fn order(&mut self, order: &Value) {
        writeln!(self.orders, "{order}").unwrap();
        self.orders.flush().unwrap();
    }

    /// `None`: it did not come in time, or the program has a fault.
    pub fn answer(&self, within: Duration) -> Option<Answer> {
        let line = self.answers.recv_timeout(within).ok()?;
        Some(serde_json::from_str(&line).unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
