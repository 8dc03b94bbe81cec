//! MD5 and CRC64 as headers carry them, and the check of what a request says of its source.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

use super::content::Content;
use super::error::{Code, ServiceError};
use super::reply::Reply;
use super::request::{Call, Upload};

/// `Content-MD5` and its relatives: Base64.
pub(super) fn parse_md5(text: &str) -> Result<[u8; 16], ServiceError> {
    STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| Code::InvalidMd5.into())
}

/// `x-ms-content-crc64`: little endian, Base64 (§9).
pub(super) fn crc64_header(crc: u64) -> String {
    STANDARD.encode(crc.to_le_bytes())
}

/// A CRC64 that was sent in the header of that name: any other length is none.
pub(super) fn sent_crc64<'c>(call: &'c Call, name: &str) -> Result<Option<&'c str>, ServiceError> {
    let is_one = |text: &str| STANDARD.decode(text).is_ok_and(|bytes| bytes.len() == 8);
    match call.header(name) {
        Some(text) if !is_one(text) => Err(ServiceError::invalid_header(name, text)),
        sent => Ok(sent),
    }
}

fn crc64_of(content: &Content) -> String {
    let mut digest = crc64fast_nvme::Digest::new();
    content.chunks().for_each(|chunk| digest.write(&chunk));
    crc64_header(digest.sum64())
}

/// The checksums that an answer repeats of a body: the MD5 if that was sent, else the CRC64, unasked.
pub(super) fn tell_checksums(reply: &mut Reply, call: &Call, upload: &Upload) {
    match (call.headers.contains_key("content-md5"), upload.md5) {
        (true, Some(digest)) => reply.set("content-md5", &STANDARD.encode(digest)),
        _ => reply.set_optional("x-ms-content-crc64", upload.crc64.map(crc64_header).as_deref()),
    }
}

/// Checksums of a source that were verified and are repeated in the answer.
#[derive(Debug, Default)]
pub(super) struct SourceHash {
    md5: Option<String>,
    crc64: Option<String>,
}

impl SourceHash {
    /// With the CRC64 of the whole content, unless it is known.
    pub(super) fn with_crc64(mut self, content: &Content) -> SourceHash {
        self.crc64.get_or_insert_with(|| crc64_of(content));
        self
    }

    pub(super) fn write(&self, reply: &mut Reply) {
        reply.set_optional("content-md5", self.md5.as_deref());
        reply.set_optional("x-ms-content-crc64", self.crc64.as_deref());
    }
}

/// Verifies `x-ms-source-content-md5` or `-crc64` against what was read.
pub(super) fn check_source_hash(call: &Call, content: &Content) -> Result<SourceHash, ServiceError> {
    let (md5, crc64) = (call.header("x-ms-source-content-md5"), sent_crc64(call, "x-ms-source-content-crc64")?);
    if md5.is_some() && crc64.is_some() {
        return Err(Code::BothCrc64AndMd5HeaderPresent.into());
    }
    let mut verified = SourceHash::default();
    if let Some(sent) = md5 {
        let digest = content.chunks().fold(Md5::new(), |hash, chunk| hash.chain_update(chunk)).finalize();
        if digest[..] != parse_md5(sent)? {
            return Err(Code::Md5Mismatch.into());
        }
        verified.md5 = Some(STANDARD.encode(digest));
    }
    if let Some(sent) = crc64 {
        let computed = crc64_of(content);
        if computed != sent {
            return Err(Code::Crc64Mismatch.into());
        }
        verified.crc64 = Some(computed);
    }
    Ok(verified)
}
