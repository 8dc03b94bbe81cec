//! Keys, and what is signed with them: HMAC-SHA256, whoever signs and whatever the string.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A decoded account key, which no debug output shows.
pub(super) struct AccountKey(pub Vec<u8>);

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Whether `signature` is the Base64 HMAC-SHA256 of `text`.
pub(super) fn signature_matches(key: &[u8], text: &str, signature: &str) -> bool {
    // HMAC takes keys of any length, so this fails for none.
    let (Ok(mut mac), Ok(signature)) = (Hmac::<Sha256>::new_from_slice(key), STANDARD.decode(signature)) else {
        return false;
    };
    mac.update(text.as_bytes());
    mac.verify_slice(&signature).is_ok()
}
