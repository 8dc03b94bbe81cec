//! The way by which `blobcp umount` learns that the serving process has stored everything and is gone.
//!
//! The process listens on a socket in Linux's abstract namespace, named after the number of its superblock. `umount`
//! connects before it unmounts and reads to the end: what comes is how the mount ended, and the end itself is the end
//! of the process or of its duties. No file is left over, however the process ends. Where the socket cannot be reached
//! (another network namespace), `umount` works as well and only does not wait.

use std::io::{self, Read, Write};
use std::os::fd::IntoRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::Duration;

/// How long a process that served the same number before may take to end. It has nothing to do any more, in most cases.
const PREDECESSOR: Duration = Duration::from_secs(2);

fn address((major, minor): (u32, u32)) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("blobcp/{major}:{minor}"))
}

/// The serving side. Who connects waits in the listener's queue until the end: a connection that was accepted earlier,
/// by another thread, could be lost in a race with the end, and that `umount` came back before the process was gone.
pub(crate) struct ExitReporter(Option<UnixListener>);

impl ExitReporter {
    /// Listens until `send`. If that is not possible, nobody will wait.
    ///
    /// The kernel gives the number of a superblock away again as soon as it is unmounted, and the process that served
    /// that may listen still: its end is waited for, or `umount` would take it for the end of this mount.
    pub(crate) fn listen(device: (u32, u32)) -> Self {
        let bound = || {
            let listener = UnixListener::bind_addr(&address(device)?)?;
            listener.set_nonblocking(true)?;
            io::Result::Ok(listener)
        };
        let listener = bound().or_else(|error| match Waiter::of(device) {
            Some(before) if error.kind() == io::ErrorKind::AddrInUse => before.wait(PREDECESSOR).and_then(|_| bound()),
            // It has stopped listening a moment ago, or nobody can listen.
            _ => bound(),
        });
        Self(listener.ok())
    }

    /// Tells everybody who waits: nothing if all went well, or what did not.
    pub(crate) fn send(self, text: &str) {
        let Some(listener) = self.0 else { return };
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.write_all(text.as_bytes());
            // Left open: it is the end of the process that ends the waiting.
            let _ = stream.into_raw_fd();
        }
    }
}

/// The asking side, before it unmounts.
pub(crate) struct Waiter(UnixStream);

impl Waiter {
    /// `None` if no process can be reached that serves this superblock.
    pub(crate) fn of(device: (u32, u32)) -> Option<Self> {
        UnixStream::connect_addr(&address(device).ok()?).ok().map(Self)
    }

    /// Waits for the end of the process. Returns what it said, or an error after that long.
    pub(crate) fn wait(mut self, bound: Duration) -> io::Result<String> {
        self.0.set_read_timeout(Some(bound))?;
        let mut text = String::new();
        match self.0.read_to_string(&mut text) {
            Ok(_) => Ok(text),
            // It ended without having said anything.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(text),
            Err(error) => Err(error),
        }
    }
}
