//! Keys and scopes that customers name for their blobs. Nothing is encrypted here, but who does not name the right key
//! gets neither content nor properties, and a scope is told by whoever asks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::error::{Code, ServiceError};
use super::model::{Blob, Encryption};
use super::request::Call;

const KEY: &str = "x-ms-encryption-key";
const HASH: &str = "x-ms-encryption-key-sha256";
const SCOPE: &str = "x-ms-encryption-scope";

/// The encryption that a request names for what it writes.
pub(super) fn sent(call: &Call) -> Result<Encryption, ServiceError> {
    let scope = call.header(SCOPE).map(str::to_owned);
    let Some(key) = call.header(KEY) else { return Ok(Encryption { key: None, scope }) };
    let hash = call.required(HASH)?;
    match (STANDARD.decode(key), call.header("x-ms-encryption-algorithm")) {
        (Ok(key), Some("AES256")) if key.len() == 32 && STANDARD.encode(Sha256::digest(&key)) == hash => {
            Ok(Encryption { key: Some(hash.to_owned()), scope })
        }
        _ => Err(ServiceError::invalid_header(KEY, "***")),
    }
}

/// 409 unless the request names the key of the blob (S76).
pub(super) fn check(blob: &Blob, call: &Call) -> Result<(), ServiceError> {
    match (&blob.encryption.key, sent(call)?.key) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(Code::BlobUsesCustomerSpecifiedEncryption.into()),
        (Some(needed), Some(key)) if *needed == key => Ok(()),
        _ => Err(Code::BlobCustomerSpecifiedEncryptionMismatch.into()),
    }
}
