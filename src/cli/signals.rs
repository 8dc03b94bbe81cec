//! The signals that end a command in the foreground, and the runtime on which it waits for them.

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;

/// The runtime of a command that mostly waits: one thread.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread().enable_all().build().map_err(|error| Failure::new(error.to_string()))
}

/// SIGINT, SIGTERM and SIGHUP, but for those that are ignored: scripts start jobs in the background without SIGINT, and
/// nohup(1) without SIGHUP, so that they go on.
pub(super) struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hangup: Option<Signal>,
    /// One came.
    pub came: bool,
}

impl Signals {
    /// Listens from now on. To be called inside a runtime.
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen = |kind: SignalKind| {
            let heard = if is_ignored(kind) { None } else { Some(signal(kind)) };
            heard.transpose().map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
            came: false,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            () = heard(&mut self.interrupt) => {}
            () = heard(&mut self.terminate) => {}
            () = heard(&mut self.hangup) => {}
        }
        self.came = true;
    }
}

/// Waits for a signal; for ever, if it is ignored.
async fn heard(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether who started this process wanted a signal to have no effect.
fn is_ignored(kind: SignalKind) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: nothing is changed, and the action is written to memory of its type, which may be zero as well.
    let action = unsafe {
        libc::sigaction(kind.as_raw_value(), std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}
