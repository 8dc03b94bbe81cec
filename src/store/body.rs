//! Bodies of answers: how much of them is taken, and whether they are what was asked for.
//!
//! A server may be broken, or not the one it is taken for, and then an answer says anything: bytes of another range, more
//! than were asked for, or no end. So whoever asks says beforehand what fits, by the [`Sink`] that takes the answer:
//!
//! - [`Gathered`] keeps a body in one piece, up to a bound that each operation has ([`MOST`] if it names none);
//! - [`Part`] takes bytes of a blob, if the answer is about the version and the range that were asked for
//!   ([`Expected`]), and hands on nothing that a checksum beside them belies;
//! - [`Described`] takes an answer that has no body.
//!
//! What does not fit is an error of the exchange ([`Failure::Untrue`](crate::store::retry::Failure)): it is asked for
//! again, over another connection, and given up when that does not help.

use std::ops::Range;

use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::{Bytes, BytesMut};
use reqwest::header::HeaderMap;

use crate::store::headers;
use crate::store::types::{ETag, Revision};

/// Bytes of a body that nobody says more of: answers to writes are empty, and what tells of one thing is short.
pub(super) const MOST: usize = 1 << 20;

/// Bytes of a page of a listing: 5000 rows with names of 1024 characters and as much metadata as the service takes
/// (8 KiB) would be less.
pub(super) const MOST_OF_A_LISTING: usize = 64 << 20;

/// Bytes of a block list: 50 000 blocks, with ids of 64 bytes in Base64, in half of that.
pub(super) const MOST_OF_A_BLOCK_LIST: usize = 16 << 20;

/// Bytes of a refusal that are read: the service's have hundreds. What is behind them tells nothing that is used.
pub(super) const MOST_OF_A_REFUSAL: usize = 64 << 10;

/// Memory that is taken at once for a body whose length is told; more is taken as it comes.
pub(super) const AT_ONCE: u64 = 8 << 20;

/// What an answer is not, in words for an error.
pub(super) type Fit = std::result::Result<(), String>;

/// Takes the body of a good answer, as it comes.
pub(super) trait Sink: Send {
    /// An answer of this status begins, or begins anew after one that broke off.
    fn begin(&mut self, status: u16, headers: &HeaderMap) -> Fit;

    /// The next bytes of the body.
    fn part(&mut self, bytes: Bytes) -> Fit;

    /// The body has come, in the length that was promised.
    fn end(&mut self) -> Fit {
        Ok(())
    }
}

/// Sink that keeps a body in one piece.
pub(super) struct Gathered {
    bytes: BytesMut,
    most: usize,
}

impl Gathered {
    /// A body of at most so many bytes.
    pub(super) fn of_at_most(most: usize) -> Self {
        Self { bytes: BytesMut::new(), most }
    }

    /// The body.
    pub(super) fn freeze(self) -> Bytes {
        self.bytes.freeze()
    }

    /// Takes what there is room for; false if that is not all.
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        let room = self.most - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        bytes.len() <= room
    }
}

impl Sink for Gathered {
    fn begin(&mut self, _: u16, headers: &HeaderMap) -> Fit {
        // Of a HEAD it is another's length.
        let claimed = headers::content_length(headers)?.unwrap_or(0);
        self.bytes = BytesMut::with_capacity(claimed.min(AT_ONCE).min(self.most as u64) as usize);
        Ok(())
    }

    fn part(&mut self, bytes: Bytes) -> Fit {
        match self.take(&bytes) {
            true => Ok(()),
            false => Err(format!("its body has more than {} bytes, which cannot be meant", self.most)),
        }
    }
}

/// What an answer about a blob is to be about.
#[derive(Debug, Clone, Default)]
pub(super) struct Expected {
    /// The version, where that was a condition.
    pub etag: Option<ETag>,
    /// The past that was asked for.
    pub revision: Option<Revision>,
    /// Bytes of the blob, where that is known.
    pub total: Option<u64>,
}

impl Expected {
    /// The answer is about that version of the blob.
    fn check_version(&self, headers: &HeaderMap) -> Fit {
        let told = headers::text(headers, "etag").map(|etag| ETag::new(etag.trim_start_matches("W/")));
        if let Some(etag) = &self.etag
            && told.as_ref() != Some(etag)
        {
            return Err(format!("it is about the version {told:?}, and {etag:?} was asked for"));
        }
        let told = headers::text(headers, "x-ms-version-id");
        if let Some(Revision::Version(moment)) = &self.revision
            && told.is_some_and(|told| told != moment.as_str())
        {
            return Err(format!("it is about the version {told:?}, and {moment:?} was asked for"));
        }
        Ok(())
    }

    fn check_total(&self, total: u64) -> Fit {
        match self.total {
            Some(known) if known != total => Err(format!("it is about {total} bytes, and the blob has {known}")),
            _ => Ok(()),
        }
    }

    /// The bytes of the blob that the body has: those of `range` that there are, or all of it.
    fn sent(&self, range: Option<&Range<u64>>, status: u16, headers: &HeaderMap) -> Result<Range<u64>, String> {
        self.check_version(headers)?;
        let length = headers::content_length(headers)?;
        let sent = match (range, status) {
            (None, 200) => {
                let total = length.ok_or("it does not say how long it is")?;
                self.check_total(total)?;
                0..total
            }
            (Some(range), 206) => {
                let told = headers::text(headers, "content-range").unwrap_or_default();
                // Azurite's answer to what begins at the end.
                if length == Some(0) && headers::total_of_range(headers) == Some(range.start) {
                    self.check_total(range.start)?;
                    return Ok(range.start..range.start);
                }
                let Some((sent, total)) = headers::content_range(told) else {
                    return Err(format!("it is a part of something, and does not say which: {told:?}"));
                };
                self.check_total(total)?;
                if sent.start != range.start || sent.end != range.end.min(total) {
                    return Err(format!("it has the bytes {told:?}, and {range:?} were asked for"));
                }
                sent
            }
            (Some(range), _) => return Err(format!("status {status} is no answer to who asks for {range:?}")),
            (None, _) => return Err(format!("status {status} is no answer to who asks for all")),
        };
        match length {
            Some(length) if length != sent.end - sent.start => {
                Err(format!("it has {length} bytes, and is to have {sent:?}"))
            }
            _ => Ok(sent),
        }
    }
}

/// Sink for bytes of a blob: hands on those that were asked for, with their offsets in it, and if a checksum came with
/// them, not before all have come and are what it says.
pub(super) struct Part<F> {
    expected: Expected,
    range: Option<Range<u64>>,
    /// Offset of the next byte of the body, and its end.
    left: Range<u64>,
    /// CRC64 of the body, as the server told it, and the bytes that wait for it.
    crc64: Option<u64>,
    held: Vec<Bytes>,
    receive: F,
}

impl<F: FnMut(u64, &[u8]) + Send> Part<F> {
    /// For `range`, or all of it.
    pub(super) fn new(expected: Expected, range: Option<Range<u64>>, receive: F) -> Self {
        Self { expected, range, left: 0..0, crc64: None, held: Vec::new(), receive }
    }
}

impl<F: FnMut(u64, &[u8]) + Send> Sink for Part<F> {
    fn begin(&mut self, status: u16, headers: &HeaderMap) -> Fit {
        self.left = self.expected.sent(self.range.as_ref(), status, headers)?;
        self.held.clear();
        self.crc64 = headers::text(headers, "x-ms-content-crc64").map(parse_crc64).transpose()?;
        Ok(())
    }

    fn part(&mut self, bytes: Bytes) -> Fit {
        let at = self.left.start;
        if bytes.len() as u64 > self.left.end - at {
            return Err(format!("more came than was promised, which ends at {}", self.left.end));
        }
        self.left.start += bytes.len() as u64;
        match self.crc64 {
            Some(_) => self.held.push(bytes),
            None => (self.receive)(at, &bytes),
        }
        Ok(())
    }

    fn end(&mut self) -> Fit {
        if !self.left.is_empty() {
            return Err(format!("it ends before {:?} have come", self.left));
        }
        let Some(told) = self.crc64 else { return Ok(()) };
        let held = std::mem::take(&mut self.held);
        if crc64_of(&held) != told {
            return Err("the bytes are not those whose checksum came with them".into());
        }
        let mut at = self.left.end - held.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
        for bytes in held {
            (self.receive)(at, &bytes);
            at += bytes.len() as u64;
        }
        Ok(())
    }
}

/// Sink for the answer to a HEAD.
pub(super) struct Described(pub Expected);

impl Sink for Described {
    fn begin(&mut self, status: u16, headers: &HeaderMap) -> Fit {
        if status != 200 || headers.contains_key("content-range") {
            return Err(format!("status {status} is no answer to who asks for properties"));
        }
        self.0.check_version(headers)
    }

    fn part(&mut self, _: Bytes) -> Fit {
        Ok(())
    }
}

/// CRC64 of pieces, one after the other, as the service computes it.
pub(crate) fn crc64_of(pieces: &[Bytes]) -> u64 {
    let mut digest = crc64fast_nvme::Digest::new();
    pieces.iter().for_each(|piece| digest.write(piece));
    digest.sum64()
}

/// Base64 of the eight bytes, the lowest first, as `x-ms-content-crc64` has them.
pub(super) fn crc64_text(crc64: u64) -> String {
    BASE64_STANDARD.encode(crc64.to_le_bytes())
}

fn parse_crc64(text: &str) -> Result<u64, String> {
    let bytes = BASE64_STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(u64::from_le_bytes).ok_or_else(|| format!("{text:?} is no checksum"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};
    use rstest::rstest;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let value = |value: &str| HeaderValue::from_str(value).unwrap();
        pairs.iter().map(|(name, text)| (HeaderName::from_static(name), value(text))).collect()
    }

    #[rstest]
    #[case(206, &[("content-range", "bytes 4-7/20"), ("content-length", "4")], Some(4..8))]
    #[case(206, &[("content-range", "bytes 4-7/20")], Some(4..8))]
    // Clipped at the end of the blob.
    #[case(206, &[("content-range", "bytes 4-6/7"), ("content-length", "3")], Some(4..7))]
    #[case(206, &[("content-range", "bytes 4-3/4"), ("content-length", "0")], Some(4..4))]
    #[case(206, &[("content-range", "bytes 4-3/5"), ("content-length", "0")], None)]
    #[case(206, &[("content-range", "bytes 5-8/20"), ("content-length", "4")], None)]
    #[case(206, &[("content-range", "bytes 4-8/20"), ("content-length", "5")], None)]
    #[case(206, &[("content-range", "bytes 4-6/20"), ("content-length", "3")], None)]
    #[case(206, &[("content-range", "bytes 4-7/20"), ("content-length", "5")], None)]
    #[case(206, &[("content-range", "bytes 4-7/*"), ("content-length", "4")], None)]
    #[case(206, &[("content-range", "bytes 4-7/7"), ("content-length", "4")], None)]
    #[case(206, &[("content-range", "bytes 4-7/9223372036854775808"), ("content-length", "4")], None)]
    #[case(206, &[("content-range", "bytes 4-7/20"), ("content-length", "4"), ("etag", "\"2\"")], None)]
    #[case(206, &[("content-type", "multipart/byteranges; boundary=x"), ("content-length", "4")], None)]
    #[case(200, &[("content-length", "20")], None)]
    #[case(203, &[("content-range", "bytes 4-7/20"), ("content-length", "4")], None)]
    #[case(204, &[], None)]
    fn an_answer_fits_the_range_or_it_is_none(
        #[case] status: u16,
        #[case] told: &[(&'static str, &str)],
        #[case] sent: Option<Range<u64>>,
    ) {
        let mut headers = headers(told);
        headers.entry("etag").or_insert(HeaderValue::from_static("\"1\""));
        let expected = Expected { etag: Some(ETag::new("1")), ..Expected::default() };
        assert_eq!(expected.sent(Some(&(4..8)), status, &headers).ok(), sent);
    }

    #[test]
    fn the_whole_is_as_long_as_the_blob_is_known_to_be() {
        let expected = Expected { total: Some(20), ..Expected::default() };
        let sent = |status, pairs: &[(&'static str, &str)]| expected.sent(None, status, &headers(pairs)).ok();
        assert_eq!(sent(200, &[("content-length", "20")]), Some(0..20));
        assert_eq!(sent(200, &[("content-length", "21")]), None);
        assert_eq!(sent(200, &[("content-length", "-20")]), None);
        assert_eq!(sent(200, &[]), None);
        assert_eq!(sent(206, &[("content-range", "bytes 0-19/20"), ("content-length", "20")]), None);
    }

    /// Pieces with a checksum; what is handed on, or why not.
    fn received(crc64: Option<&str>, pieces: &[&'static str]) -> Result<Vec<(u64, String)>, String> {
        let mut told = vec![("content-range", "bytes 4-9/20"), ("content-length", "6")];
        told.extend(crc64.map(|text| ("x-ms-content-crc64", text)));
        let mut handed_on = Vec::new();
        let receive = |at, bytes: &[u8]| handed_on.push((at, String::from_utf8(bytes.to_vec()).unwrap()));
        let mut part = Part::new(Expected::default(), Some(4..10), receive);
        part.begin(206, &headers(&told))?;
        pieces.iter().try_for_each(|piece| part.part(Bytes::from_static(piece.as_bytes())))?;
        part.end()?;
        Ok(handed_on)
    }

    #[test]
    fn what_a_checksum_belies_is_not_handed_on() {
        let right = crc64_text(crc64_of(&[Bytes::from_static(b"foobar")]));
        let pieces = [(4, "foo".to_owned()), (7, "bar".to_owned())];
        assert_eq!(received(None, &["foo", "bar"]).unwrap(), pieces);
        assert_eq!(received(Some(&right), &["foo", "bar"]).unwrap(), pieces);
        for (crc64, pieces) in [
            (Some(right.as_str()), &["foo", "bas"][..]),
            (Some("no checksum"), &["foo", "bar"]),
            (None, &["foo", "ba"]),
            (None, &["foo", "bars"]),
        ] {
            assert!(received(crc64, pieces).is_err(), "{crc64:?} {pieces:?}");
        }
    }

    #[test]
    fn a_body_is_kept_up_to_its_bound() {
        let mut gathered = Gathered::of_at_most(5);
        gathered.begin(200, &headers(&[])).unwrap();
        gathered.part(Bytes::from_static(b"abc")).unwrap();
        gathered.part(Bytes::from_static(b"de")).unwrap();
        assert!(gathered.part(Bytes::from_static(b"f")).is_err());
        assert_eq!(gathered.freeze(), "abcde");
    }
}
