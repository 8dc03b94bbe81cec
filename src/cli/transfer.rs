//! Uploads and downloads: `blobcp cp` where one side is not on a mount.
//!
//! The service cannot read this machine's files, so they go through the mount by read(2) and write(2), like those of any
//! program; what is gained over cp(1) are several files at a time, bars, and that an interrupted one goes on:
//!
//! ```text
//!   walk       one thread lists the sources and makes the directories
//!      │       files and symlinks, a few thousand ahead
//!   content    so many threads as are wanted decide what is skipped, and copy the rest
//!      │       what became of each
//!   transfer   tells, as it does of copies inside the service, and hears Ctrl-C
//! ```
//!
//! A file keeps its time, and by its size and time it is known again. It keeps its mode where it replaces none. After
//! Ctrl-C and after a failure nothing of a half-copied file is left, and what it was to replace is there as it was.

mod content;
mod target;
mod walk;
mod work;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Instant;

use rustix::fs::Mode;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{MissedTickBehavior, interval};

use super::bulk_output::{Output, Summary};
use super::failure::{Failure, INTERRUPTED};
use super::naming::{Habits, Naming};
use super::signals::{self, Signals};
use crate::ioctl::{self, OrderFlags};
use crate::sync::lock;
use work::{Event, LOOK, Progress, Work};

/// Files that are listed ahead.
const AHEAD: usize = 4096;

/// Files to copy to or from a mount, as it was typed.
pub(super) struct Transfer<'a> {
    pub sources: &'a [PathBuf],
    pub destination: &'a Path,
    pub habits: &'a Habits,
    pub jobs: u32,
    pub json: bool,
    pub dry_run: bool,
    /// The destination is not on a mount.
    pub download: bool,
    /// One file, which is copied whatever is there, and of which nothing is said in the end.
    pub plain: bool,
}

impl Transfer<'_> {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let naming = Naming::of(self.sources, self.destination, self.habits)?;
        let pairs: Vec<(PathBuf, PathBuf)> =
            self.sources.iter().map(|source| (source.clone(), naming.path_of(source))).collect();
        let resumable = (!self.dry_run).then(|| naming.resumable(self.sources, self.habits));
        // Heard before anything is made that a signal is not to leave.
        let runtime = signals::runtime()?;
        let mut signals = runtime.block_on(async { Signals::listen() })?;
        let (events, heard) = unbounded_channel();
        let progress = Arc::new(Progress::default());
        let work = Arc::new(Work {
            habits: self.habits.clone(),
            anew: self.plain,
            dry_run: self.dry_run,
            download: self.download,
            umask: umask(),
            typed: self.destination.to_path_buf(),
            progress: progress.clone(),
            events,
        });
        let threads = self.start(work, pairs);
        let done = runtime.block_on(self.follow(&progress, heard, &mut signals));
        // One that was told to leave at once does not wait.
        if done.as_ref().err().is_none_or(|failure| failure.message.is_none()) {
            threads.into_iter().for_each(|thread| drop(thread.join()));
        }
        if let Some(resumable) = resumable {
            resumable.ended(&done);
        }
        done
    }

    /// Starts who lists and who copies.
    fn start(&self, work: Arc<Work>, pairs: Vec<(PathBuf, PathBuf)>) -> Vec<thread::JoinHandle<()>> {
        let (send, receive) = mpsc::sync_channel(AHEAD);
        let receive = Arc::new(Mutex::new(receive));
        let mut threads: Vec<_> = (0..self.jobs)
            .map(|_| {
                let (receive, work) = (receive.clone(), work.clone());
                thread::spawn(move || {
                    loop {
                        let next = lock(&receive).recv();
                        match next {
                            Ok(item) if !work.is_stopped() => content::carry_out(&work, &item),
                            // What is left of the list is not begun.
                            Ok(_) => {}
                            Err(_) => return,
                        }
                    }
                })
            })
            .collect();
        threads.push(thread::spawn(move || walk::list(&work, pairs, send)));
        threads
    }

    /// Tells what happens until there is no more.
    async fn follow(
        &self,
        progress: &Progress,
        mut heard: UnboundedReceiver<Event>,
        signals: &mut Signals,
    ) -> Result<(), Failure> {
        let mut flags = OrderFlags::empty();
        flags.set(OrderFlags::DRY_RUN, self.dry_run);
        let mut output = Output::new(self.json, flags);
        output.quiet = self.plain;
        let began = Instant::now();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                event = heard.recv() => match event {
                    Some(event) => self.tell(&mut output, &event),
                    None => break,
                },
                _ = looks.tick() => {
                    progress.slowest().iter().for_each(|file| output.pending(file));
                    output.progress(&progress.news(), began.elapsed());
                }
                () = signals.next() => {
                    if output.stopping {
                        let message = Some("left at once; what is half copied stays".to_owned());
                        return Err(Failure { message, status: INTERRUPTED });
                    }
                    output.stopping = true;
                    output.say("stopping: what is half copied is removed; Ctrl-C again leaves at once");
                    progress.stop.store(true, Ordering::Relaxed);
                }
            }
        }
        let summary = Summary::new(Some(&progress.news()), 0, began.elapsed(), signals.came);
        output.end(&summary);
        match (signals.came, summary.failed) {
            (true, _) => Err(Failure { message: None, status: INTERRUPTED }),
            (false, 0) => Ok(()),
            (false, _) => Err(Failure::said()),
        }
    }

    fn tell(&self, output: &mut Output, Event { from, file }: &Event) {
        if self.habits.verbose && file.status == ioctl::SUCCESS {
            output.line(&format!("'{}' -> '{}'", from.display(), file.path));
        }
        output.entry(&file.path, file);
    }
}

/// The bits that this user's files do not get. No thread makes any yet that would miss them meanwhile.
fn umask() -> u32 {
    let umask = rustix::process::umask(Mode::RWXO | Mode::RWXG);
    rustix::process::umask(umask);
    umask.bits()
}
