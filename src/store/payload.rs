//! Bodies of uploads: pieces of memory, one after the other.
//!
//! Content is written in pieces and stays where it is until the socket takes it: joining a block's pieces first would
//! copy every byte once more. A payload can be sent any number of times, as retries need.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use md5::{Digest, Md5};

use crate::store::body::crc64_of;

/// Body of a request, in pieces.
#[derive(Debug, Clone, Default)]
pub struct Payload {
    pieces: Arc<[Bytes]>,
    len: usize,
    /// Once it was asked for, and so is the other.
    md5: Arc<OnceLock<String>>,
    crc64: Arc<OnceLock<u64>>,
}

impl Payload {
    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Pieces in their order.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// The first `len` bytes, or all if there are fewer.
    pub fn first(&self, len: usize) -> Vec<Bytes> {
        let mut left = len;
        let cut = self.pieces.iter().map(|piece| {
            let now = piece.slice(..piece.len().min(left));
            left -= now.len();
            now
        });
        cut.take_while(|piece| !piece.is_empty()).collect()
    }

    /// True if it has these bytes from `offset` on.
    pub fn has_at(&self, offset: usize, bytes: &[u8]) -> bool {
        let (mut before, mut left) = (offset, bytes);
        for piece in &*self.pieces {
            let skipped = before.min(piece.len());
            before -= skipped;
            let (now, later) = left.split_at(left.len().min(piece.len() - skipped));
            if piece[skipped..skipped + now.len()] != *now {
                return false;
            }
            left = later;
            if left.is_empty() {
                break;
            }
        }
        left.is_empty()
    }

    /// Base64, as `Content-MD5` has it. It is computed once, however often the payload is sent: a second for 600 MiB.
    pub fn md5(&self) -> String {
        let compute = || {
            let hash = self.pieces.iter().fold(Md5::new(), |hash, piece| hash.chain_update(piece));
            BASE64_STANDARD.encode(hash.finalize())
        };
        self.md5.get_or_init(compute).clone()
    }

    /// CRC64 as the service computes it. It is computed once, however often the payload is sent: a second for 10 GiB.
    pub(super) fn crc64(&self) -> u64 {
        *self.crc64.get_or_init(|| crc64_of(&self.pieces))
    }

    /// The body of one attempt.
    pub(super) fn as_body(&self) -> Pieces {
        Pieces { left: self.pieces.iter().cloned().collect(), len: self.len as u64 }
    }
}

impl FromIterator<Bytes> for Payload {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        let pieces: Arc<[Bytes]> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        Self { len: pieces.iter().map(Bytes::len).sum(), pieces, md5: Arc::default(), crc64: Arc::default() }
    }
}

macro_rules! from_one_piece {
    ($($piece:ty),*) => {$(
        impl From<$piece> for Payload {
            fn from(piece: $piece) -> Self {
                Self::from_iter([Bytes::from(piece)])
            }
        }
    )*};
}
from_one_piece!(Bytes, BytesMut, Vec<u8>, String, &'static str);

/// The pieces that are not sent yet.
pub(super) struct Pieces {
    left: VecDeque<Bytes>,
    /// Bytes in them.
    len: u64,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.left.pop_front();
        self.len -= next.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    /// Exact, so that the request has a Content-Length.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_its_pieces_in_order_and_knows_its_length() {
        let payload: Payload = ["ab", "", "cde"].map(Bytes::from).into_iter().collect();
        assert_eq!((payload.len(), payload.pieces()), (5, ["ab", "cde"].map(Bytes::from).as_slice()));
        assert_eq!(payload.md5(), Payload::from("abcde").md5());
        assert_eq!(payload.crc64(), Payload::from("abcde").crc64());
        // The vendor's example.
        assert_eq!(Payload::from("123456789").crc64(), 0xae8b_1486_0a79_9888);
        assert_eq!(Payload::default().md5(), "1B2M2Y8AsgTpgAmY7PhCfg==");
        let first = |len| payload.first(len).concat();
        assert_eq!([first(0), first(1), first(3), first(9)], [&b""[..], b"a", b"abc", b"abcde"]);
        for at in 0..=5 {
            for end in at..=5 {
                assert!(payload.has_at(at, &b"abcde"[at..end]), "{at}..{end}");
                assert!(!payload.has_at(at, &[&b"abcde"[at..end], b"x"].concat()), "{at}..{end}");
            }
        }
        assert!(Payload::from("").is_empty() && Payload::from("").pieces().is_empty());
    }

    #[tokio::test]
    async fn the_length_that_is_left_is_exact_all_the_way() {
        let mut body = Pieces { left: ["ab", "cde"].map(Bytes::from).into(), len: 5 };
        let mut left = vec![body.size_hint().exact()];
        while let Some(frame) = http_body_util::BodyExt::frame(&mut body).await {
            assert!(frame.unwrap().is_data());
            left.push(body.size_hint().exact());
        }
        assert_eq!(left, [Some(5), Some(3), Some(0)]);
    }
}
