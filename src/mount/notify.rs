//! What a mount says to the service manager that started it: sd_notify(3), in a few lines.
//!
//! A unit of `Type=notify` is started when its main process says so, which for a mount is when programs can use it: a
//! unit that is ordered after it never sees the empty directory below. systemd names the socket in a variable; without
//! it, nobody is told. One datagram holds lines of `NAME=VALUE`; nothing is answered.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Names the socket: an absolute path, or, after an `@`, a name in the abstract namespace.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// The mount works; the first line of `status` is what `systemctl status` shows.
pub(super) fn ready(status: &str) {
    ServiceManager::of_process().tell("READY=1", status);
}

/// The mount is being unmounted: what is not stored yet is stored now, which takes time.
pub(super) fn stopping() {
    ServiceManager::of_process().tell("STOPPING=1", "Storing what is not stored yet");
}

/// The socket of the service manager that started this process; `None` if there is none that wants to hear something.
struct ServiceManager(Option<OsString>);

impl ServiceManager {
    fn of_process() -> Self {
        Self(std::env::var_os(VARIABLE).filter(|socket| !socket.is_empty()))
    }

    fn tell(&self, state: &str, status: &str) {
        let Some(socket) = &self.0 else { return };
        // A line break would begin another line of the message.
        let status = status.lines().next().unwrap_or_default();
        if let Err(error) = send(socket, &format!("{state}\nSTATUS={status}\n")) {
            tracing::warn!(%error, "the service manager could not be told: {state}");
        }
    }
}

fn send(socket: &OsStr, message: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    // A manager that does not read must not keep a mount from working, nor from ending.
    sender.set_nonblocking(true)?;
    sender.send_to_addr(message.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(listener: &UnixDatagram) -> String {
        let mut text = [0; 512];
        let length = listener.recv(&mut text).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_manager_hears_when_it_is_ready_and_when_it_stops() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        let manager = ServiceManager(Some(path.into_os_string()));
        manager.tell("READY=1", "acct is mounted on /mnt\nSTOPPING=1");
        assert_eq!(heard(&listener), "READY=1\nSTATUS=acct is mounted on /mnt\n");
        manager.tell("STOPPING=1", "");
        assert_eq!(heard(&listener), "STOPPING=1\nSTATUS=\n");
    }

    #[test]
    fn a_name_without_a_file_is_reached() {
        let name = format!("blobcp-test-{}", std::process::id());
        let listener = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        ServiceManager(Some(format!("@{name}").into())).tell("READY=1", "it works");
        assert_eq!(heard(&listener), "READY=1\nSTATUS=it works\n");
    }

    #[test]
    fn a_manager_that_is_gone_is_no_reason_to_fail() {
        ServiceManager(Some("/nowhere/notify".into())).tell("READY=1", "it works");
        ServiceManager(None).tell("STOPPING=1", "");
    }
}
