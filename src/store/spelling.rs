//! The spelling of metadata names on a connection.
//!
//! The service keeps the case of these names and programs look them up exactly, but the HTTP library has the names of all
//! headers in lower case: what it read it keeps in a private type, and it sends nothing else. So [`Spelled`] lies between
//! the library and the socket. It notes how names are spelled in the head of an answer, and spells those of a request as
//! they are to be. It changes the case of letters and nothing else, so that it cannot break a message.
//!
//! Who speaks over the connection says by its [`Spelling`] when an exchange begins: until then nothing is on its way in
//! either direction, because requests are not pipelined.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::store::traffic;
use crate::sync::lock;

/// Before a name in a header.
pub(super) const METADATA: &str = "x-ms-meta-";

const END: &[u8] = b"\r\n\r\n";

/// Bytes of a head after which its end is not looked for any more: the library refuses longer ones.
const LONGEST_HEAD: usize = 512 << 10;

/// Names with capitals in them, without [`METADATA`]. All others are in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names(Vec<String>);

impl Names {
    /// Takes a name up, if it has capitals.
    pub(super) fn add(&mut self, name: &str) {
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            self.0.push(name.to_owned());
        }
    }

    /// The spelling of a name.
    pub(super) fn spell<'a>(&'a self, name: &'a str) -> &'a str {
        self.0.iter().find(|known| known.eq_ignore_ascii_case(name)).map_or(name, String::as_str)
    }

    fn of_head(head: &[u8]) -> Self {
        let mut names = Self::default();
        for line in head.split(|byte| *byte == b'\n') {
            if let Some(name) = metadata_name(line).and_then(|name| std::str::from_utf8(name).ok()) {
                names.add(name);
            }
        }
        names
    }

    /// Spells the names in a head.
    fn apply_to(&self, head: &mut [u8]) {
        for line in head.split_mut(|byte| *byte == b'\n') {
            let Some(name) = metadata_name(line).and_then(|name| std::str::from_utf8(name).ok()) else {
                continue;
            };
            let spelled = self.spell(name).as_bytes().to_vec();
            line[METADATA.len()..][..spelled.len()].copy_from_slice(&spelled);
        }
    }
}

impl<N: AsRef<str>> FromIterator<N> for Names {
    fn from_iter<I: IntoIterator<Item = N>>(names: I) -> Self {
        let mut all = Self::default();
        names.into_iter().for_each(|name| all.add(name.as_ref()));
        all
    }
}

/// The name in the line of a header, if that is metadata.
fn metadata_name(line: &[u8]) -> Option<&[u8]> {
    let (prefix, name) = line.split_at_checked(METADATA.len())?;
    let end = name.iter().position(|byte| *byte == b':')?;
    prefix.eq_ignore_ascii_case(METADATA.as_bytes()).then_some(&name[..end])
}

/// What both sides of a [`Spelled`] connection know of an exchange.
#[derive(Debug, Clone, Default)]
pub(super) struct Spelling(Arc<Mutex<Exchange>>);

#[derive(Debug, Default)]
struct Exchange {
    /// Of the request, until its head is on its way.
    asked: Names,
    /// The head of the answer has not come.
    listening: bool,
    answered: Names,
    /// Bytes of the request that are on their way.
    written: Arc<AtomicU64>,
}

impl Spelling {
    /// The next bytes out are the head of a request with these names, the next bytes in that of its answer.
    /// How many bytes have gone out is written to `written`.
    pub(super) fn begin(&self, names: &Names, written: &Arc<AtomicU64>) {
        let (asked, written) = (names.clone(), written.clone());
        *lock(&self.0) = Exchange { asked, listening: true, answered: Names::default(), written };
    }

    fn wrote(&self, bytes: usize) {
        traffic::sent(bytes);
        lock(&self.0).written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Names in the head of the answer.
    pub(super) fn answered(&self) -> Names {
        std::mem::take(&mut lock(&self.0).answered)
    }
}

/// A connection that keeps spellings.
pub(super) struct Spelled<T> {
    io: T,
    spelling: Spelling,
    incoming: Head,
    /// Head of a request that is being spelled, and what of it is sent.
    outgoing: Head,
    sent: usize,
    spelled: bool,
}

impl<T> Spelled<T> {
    pub(super) fn new(io: T, spelling: Spelling) -> Self {
        Self { io, spelling, incoming: Head::default(), outgoing: Head::default(), sent: 0, spelled: false }
    }

    /// The connection itself.
    #[cfg(any(test, fuzzing))]
    pub(super) fn into_inner(self) -> T {
        self.io
    }

    fn listen(&mut self, mut bytes: &[u8]) {
        let mut exchange = lock(&self.spelling.0);
        while exchange.listening && !bytes.is_empty() {
            match self.incoming.take(bytes) {
                Some(rest) => bytes = rest,
                None if self.incoming.0.len() < LONGEST_HEAD => return,
                None => {}
            }
            let head = std::mem::take(&mut self.incoming).0;
            // Behind an interim answer comes another one.
            exchange.listening = head.starts_with(b"HTTP/1.1 1");
            exchange.answered = Names::of_head(&head);
        }
    }

    /// Takes what belongs to the head of a request that is to be spelled: number of bytes, `None` if there is no such.
    fn spell<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>) -> Option<usize> {
        let mut exchange = lock(&self.spelling.0);
        if exchange.asked == Names::default() {
            return None;
        }
        let mut taken = 0;
        for piece in pieces {
            let rest = self.outgoing.take(piece);
            taken += piece.len() - rest.map_or(0, <[u8]>::len);
            if rest.is_some() || self.outgoing.0.len() > LONGEST_HEAD {
                std::mem::take(&mut exchange.asked).apply_to(&mut self.outgoing.0);
                self.spelled = true;
                break;
            }
        }
        Some(taken)
    }
}

impl<T: AsyncWrite + Unpin> Spelled<T> {
    /// Sends what has been spelled.
    fn poll_spelled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.spelled {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.outgoing.0[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => {
                    self.sent += written;
                    self.spelling.wrote(written);
                }
            }
            if self.sent == self.outgoing.0.len() {
                (self.outgoing, self.sent, self.spelled) = (Head::default(), 0, false);
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The head of a message as far as it has come.
#[derive(Debug, Default)]
struct Head(Vec<u8>);

impl Head {
    /// Takes bytes up to the end of the head; when that has come, what is behind it.
    fn take<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let had = self.0.len();
        // The end may lie in two pieces.
        let from = had.saturating_sub(END.len() - 1);
        self.0.extend_from_slice(bytes);
        let end = from + self.0[from..].windows(END.len()).position(|window| window == END)? + END.len();
        self.0.truncate(end);
        Some(&bytes[end - had..])
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Spelled<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buffer))?;
        this.listen(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Spelled<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_spelled(cx))?;
        match this.spell(std::iter::once(bytes)) {
            Some(taken) => Poll::Ready(Ok(taken)),
            None => {
                let written = ready!(Pin::new(&mut this.io).poll_write(cx, bytes))?;
                this.spelling.wrote(written);
                Poll::Ready(Ok(written))
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_spelled(cx))?;
        match this.spell(pieces.iter().map(|piece| &**piece)) {
            Some(taken) => Poll::Ready(Ok(taken)),
            None => {
                let written = ready!(Pin::new(&mut this.io).poll_write_vectored(cx, pieces))?;
                this.spelling.wrote(written);
                Poll::Ready(Ok(written))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_spelled(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_spelled(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn names(of: &[&str]) -> Names {
        of.iter().collect()
    }

    fn connection(buffer: usize) -> (Spelled<DuplexStream>, DuplexStream, Spelling) {
        let spelling = Spelling::default();
        let (io, peer) = duplex(buffer);
        (Spelled::new(io, spelling.clone()), peer, spelling)
    }

    async fn read(peer: &mut DuplexStream, len: usize) -> String {
        let mut bytes = vec![0; len];
        peer.read_exact(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn a_request_is_sent_as_its_names_are_spelled_however_it_is_cut() {
        const HEAD: &str = "PUT /x-ms-meta-sourcefile HTTP/1.1\r\nx-ms-meta-sourcefile: x-ms-meta-color\r\n\
            x-ms-meta-color: c\r\nx-ms-meta-other: o\r\n\r\n";
        const BODY: &str = "x-ms-meta-color: not me\r\n\r\n";
        let spelled = HEAD.replace("\r\nx-ms-meta-sourcefile", "\r\nx-ms-meta-sourceFile");
        let spelled = spelled.replace("x-ms-meta-color: c", "x-ms-meta-COLOR: c") + BODY;
        for size in [1, 3, 50, 1000] {
            let (mut connection, mut peer, spelling) = connection(4096);
            spelling.begin(&names(&["sourceFile", "COLOR", "absent"]), &Arc::default());
            for piece in (HEAD.to_owned() + BODY).as_bytes().chunks(size) {
                connection.write_all(piece).await.unwrap();
            }
            connection.flush().await.unwrap();
            assert_eq!(read(&mut peer, spelled.len()).await, spelled);
            // The next one asks for nothing.
            spelling.begin(&Names::default(), &Arc::default());
            connection.write_all(HEAD.as_bytes()).await.unwrap();
            assert_eq!(read(&mut peer, HEAD.len()).await, HEAD);
        }
    }

    #[tokio::test]
    async fn the_peer_may_be_slow_and_pieces_many() {
        let (mut connection, mut peer, spelling) = connection(5);
        spelling.begin(&names(&["Ab"]), &Arc::default());
        let pieces = ["PUT / HTTP/1.1\r\nx-ms-meta-ab: 1\r\n", "\r\nbo", "dy"];
        let write = async {
            let mut left = pieces.concat().into_bytes();
            while !left.is_empty() {
                let (one, two) = left.split_at(left.len() / 2);
                let taken = connection.write_vectored(&[IoSlice::new(one), IoSlice::new(two)]).await.unwrap();
                left.drain(..taken);
            }
            connection.shutdown().await.unwrap();
        };
        let mut text = String::new();
        let (_, read) = tokio::join!(write, peer.read_to_string(&mut text));
        read.unwrap();
        assert_eq!(text, "PUT / HTTP/1.1\r\nx-ms-meta-Ab: 1\r\n\r\nbody");
    }

    #[tokio::test]
    async fn names_of_an_answer_are_heard_and_those_of_its_body_are_not() {
        const ANSWER: &str = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-Ms-Meta-sourceFile: v\r\n\
            x-ms-meta-lower: x\r\nx-ms-metaX: y\r\ncontent-length: 24\r\n\r\nx-ms-meta-Body: b\r\n\r\n...";
        for size in [1, 7, 4096] {
            let (mut connection, mut peer, spelling) = connection(4096);
            spelling.begin(&Names::default(), &Arc::default());
            let mut read = vec![0; ANSWER.len()];
            for (piece, room) in ANSWER.as_bytes().chunks(size).zip(read.chunks_mut(size)) {
                peer.write_all(piece).await.unwrap();
                connection.read_exact(room).await.unwrap();
            }
            assert_eq!(read, ANSWER.as_bytes());
            let heard = spelling.answered();
            assert_eq!(heard, names(&["sourceFile"]));
            assert_eq!((heard.spell("sourcefile"), heard.spell("lower")), ("sourceFile", "lower"));
        }
    }
}
