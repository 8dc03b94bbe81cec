//! Names of metadata in the case that they were sent in, which the service keeps.
//!
//! hyper hands out header names in lower case and writes them so. [`Wire`], under hyper, copies the head of each request
//! to read the names in it, and holds back the head of an answer until the names in it are written as they are stored.
//! It also says of a refused HEAD that its answer is chunked, as the service does (S73) and hyper does not: there is no
//! body to be sent in chunks.
//! One exchange follows the other on a connection; a client that sends the next request before it has read the answer
//! would lose the case of its names, and there is no such client.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How the names of metadata are introduced in a header.
pub(super) const PREFIX: &str = "x-ms-meta-";

/// No request has a longer head.
const LONGEST_HEAD: usize = 256 << 10;

/// The names of the exchange that a connection is at.
#[derive(Debug, Default)]
pub(super) struct Spelling(Mutex<Exchange>);

#[derive(Debug, Default)]
struct Exchange {
    /// The head of the request as it came, and whether that is all of it.
    request: Vec<u8>,
    complete: bool,
    /// Names to write in the head of the answer.
    answer: Vec<String>,
    /// The answer says that it is chunked.
    chunked: bool,
}

impl Spelling {
    fn exchange(&self) -> MutexGuard<'_, Exchange> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names in the head of the request, as they were sent.
    pub(super) fn of_request(&self) -> Vec<String> {
        let exchange = self.exchange();
        let head = String::from_utf8_lossy(&exchange.request);
        head.split("\r\n").filter_map(name_in).map(str::to_owned).collect()
    }

    /// The request has been read; its answer has metadata of these names, and says that it is `chunked` or not.
    pub(super) fn answer(&self, names: Vec<String>, chunked: bool) {
        *self.exchange() = Exchange { answer: names, chunked, ..Exchange::default() };
    }
}

/// The name of the metadata in a line of a head.
fn name_in(line: &str) -> Option<&str> {
    let (name, _) = line.split_once(':')?;
    let (prefix, name) = name.split_at_checked(PREFIX.len())?;
    prefix.eq_ignore_ascii_case(PREFIX).then_some(name)
}

/// Length of a head with the empty line that ends it, if that has come.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// A connection between hyper and the socket.
#[derive(Debug)]
pub(super) struct Wire {
    socket: TcpStream,
    spelling: Arc<Spelling>,
    /// Head of an answer that is held back, and how much of it is sent once it is complete.
    held: Vec<u8>,
    sent: Option<usize>,
}

impl Wire {
    pub(super) fn new(socket: TcpStream, spelling: Arc<Spelling>) -> Wire {
        Wire { socket, spelling, held: Vec::new(), sent: None }
    }

    /// Holds back what of `bytes` belongs to the head of an answer that is to be changed.
    fn hold(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut exchange = self.spelling.exchange();
        if exchange.answer.is_empty() && !exchange.chunked {
            return None;
        }
        let before = self.held.len();
        self.held.extend_from_slice(bytes);
        let Some(end) = end_of_head(&self.held) else {
            return Some(bytes.len());
        };
        self.held.truncate(end);
        self.sent = Some(0);
        // "100 Continue" stands before the answer itself.
        if !self.held.starts_with(b"HTTP/1.1 1") {
            let names = std::mem::take(&mut exchange.answer);
            self.held = spelled(&self.held, &names);
            if std::mem::take(&mut exchange.chunked) {
                let empty_line = self.held.len() - b"\r\n".len();
                self.held.splice(empty_line..empty_line, *b"transfer-encoding: chunked\r\n");
            }
        }
        Some(end - before)
    }

    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(sent) = self.sent {
            if sent == self.held.len() {
                self.held.clear();
                self.sent = None;
                break;
            }
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.held[sent..]))?;
            self.sent = Some(sent + written);
        }
        Poll::Ready(Ok(()))
    }
}

/// A head with these names in it.
fn spelled(head: &[u8], names: &[String]) -> Vec<u8> {
    let mut all = Vec::with_capacity(head.len());
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        let found = std::str::from_utf8(line).ok().and_then(name_in);
        match found.and_then(|name| names.iter().find(|known| known.eq_ignore_ascii_case(name))) {
            Some(name) => {
                all.extend_from_slice(PREFIX.as_bytes());
                all.extend_from_slice(name.as_bytes());
                all.extend_from_slice(&line[PREFIX.len() + name.len()..]);
            }
            None => all.extend_from_slice(line),
        }
    }
    all
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut wire.socket).poll_read(cx, buffer))?;
        let mut exchange = wire.spelling.exchange();
        if !exchange.complete {
            let from = exchange.request.len().saturating_sub(3);
            exchange.request.extend_from_slice(&buffer.filled()[before..]);
            if let Some(end) = end_of_head(&exchange.request[from..]) {
                exchange.request.truncate(from + end);
                exchange.complete = true;
            }
            exchange.complete |= exchange.request.len() > LONGEST_HEAD;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        ready!(wire.poll_held(cx))?;
        match wire.hold(bytes) {
            Some(taken) => Poll::Ready(Ok(taken)),
            None => Pin::new(&mut wire.socket).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        ready!(wire.poll_held(cx))?;
        let first = pieces.iter().find(|piece| !piece.is_empty()).map_or(&[][..], |piece| piece);
        match wire.hold(first) {
            Some(taken) => Poll::Ready(Ok(taken)),
            None => Pin::new(&mut wire.socket).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        ready!(wire.poll_held(cx))?;
        Pin::new(&mut wire.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        ready!(wire.poll_held(cx))?;
        Pin::new(&mut wire.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_they_are_stored() {
        let head =
            b"HTTP/1.1 200 OK\r\nx-ms-meta-sourcefile: x-ms-meta-other\r\nx-ms-meta-other: \xff\r\netag: x\r\n\r\n";
        let written = spelled(head, &["sourceFile".into(), "absent".into()]);
        let mut expected = head.to_vec();
        expected[17..][..b"x-ms-meta-sourceFile".len()].copy_from_slice(b"x-ms-meta-sourceFile");
        assert_eq!(written, expected);
    }
}
