//! Texts and keys that grant access, and that never show themselves.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;
use zeroize::Zeroize;

use crate::path::debug_as_display;

/// Text that grants access: a key, a SAS, a connection string. It shows itself as `***` everywhere, and its memory is
/// overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Not for logs.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A parameter of a SAS, encoded as it stands there.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.0.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// True for the SAS of an account that is good for reading files of Azure Files, among other things.
    pub(super) fn is_for_files(&self) -> bool {
        self.field("ss").is_some_and(|services| services.contains('f'))
            && self.field("srt").is_some_and(|types| types.contains('o'))
            && self.field("sp").is_some_and(|letters| letters.contains('r'))
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

debug_as_display!(Secret);

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A shared key of an account, decoded once. Its memory is overwritten when it is dropped.
#[derive(Clone)]
pub struct AccountKey(Vec<u8>);

impl AccountKey {
    /// A key from its Base64 form; `None` when it is not Base64 or empty.
    pub fn parse(base64: &str) -> Option<Self> {
        BASE64_STANDARD.decode(base64.trim()).ok().filter(|key| !key.is_empty()).map(Self)
    }

    /// Base64 of HMAC-SHA256 over `text`: the signature of §3.1 and §3.3.
    pub fn sign(&self, text: &str) -> String {
        #[expect(clippy::expect_used, reason = "HMAC pads or hashes its key, so every length is one")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(text.as_bytes());
        BASE64_STANDARD.encode(mac.finalize().into_bytes())
    }
}

impl Drop for AccountKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
