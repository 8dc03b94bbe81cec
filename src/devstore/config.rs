//! The configuration of a server: its accounts, the rate of copies, and the limits of §15, which tests make small.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha512};

use super::answers::Answers;

/// The emulator account every Azure tool knows, and its public key (§1.2).
pub const WELL_KNOWN_ACCOUNT: &str = "devstoreaccount1";
const WELL_KNOWN_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

const MIB: u64 = 1 << 20;

/// The configuration of a server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address to listen on; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The accounts; there is no way to add one later.
    pub accounts: Vec<AccountConfig>,
    /// Rate of copies within one account (C1: usually immediate).
    pub copy_same_account: CopyRate,
    /// Rate of copies from another account or server (C2), which are not done when they are answered (S3).
    pub copy_cross_account: CopyRate,
    /// Rate of each From-URL request that reads another account, which its answer waits for.
    pub from_url_cross_account: CopyRate,
    /// Added before every answer.
    pub latency: Duration,
    /// Refuse requests dated more than 15 minutes off, as the service does.
    pub check_clock_skew: bool,
    /// Sizes and numbers the service limits.
    pub limits: Limits,
    /// All accounts have hierarchical namespaces: directories exist by themselves, paths can be renamed, and there are
    /// no snapshots (§14, S192).
    pub hns: bool,
    /// The answers to what nobody knows about the service.
    pub answers: Answers,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            accounts: Vec::new(),
            copy_same_account: CopyRate::Immediate,
            copy_cross_account: CopyRate::Looks(1),
            from_url_cross_account: CopyRate::Immediate,
            latency: Duration::ZERO,
            check_clock_skew: true,
            limits: Limits::default(),
            hns: false,
            answers: Answers::default(),
        }
    }
}

/// One account. Debug output does not show the key.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountConfig {
    /// 3–24 of `[a-z0-9]`.
    pub name: String,
    /// Base64. `None`: the public key for [`WELL_KNOWN_ACCOUNT`], else one derived from the name, the same every time.
    pub key: Option<String>,
    /// Every write and delete keeps what was there before (X22).
    pub versioning: bool,
    /// Days for which deleted blobs and containers can be brought back.
    pub soft_delete: Option<u32>,
}

impl fmt::Debug for AccountConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.as_ref().map(|_| "***");
        f.debug_struct("AccountConfig")
            .field("name", &self.name)
            .field("key", &key)
            .field("versioning", &self.versioning)
            .field("soft_delete", &self.soft_delete)
            .finish()
    }
}

impl AccountConfig {
    /// An account with its default key.
    pub fn named(name: &str) -> AccountConfig {
        AccountConfig { name: name.to_owned(), key: None, versioning: false, soft_delete: None }
    }

    /// The same, with versions of its blobs.
    pub fn versioned(name: &str) -> AccountConfig {
        AccountConfig { versioning: true, ..AccountConfig::named(name) }
    }

    /// The same, keeping for so many days what is deleted.
    pub fn keeping_deleted(name: &str, days: u32) -> AccountConfig {
        AccountConfig { soft_delete: Some(days), ..AccountConfig::named(name) }
    }

    pub(super) fn check_name(&self) -> io::Result<()> {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if (3..=24).contains(&self.name.len()) && self.name.chars().all(legal) {
            return Ok(());
        }
        let text = format!("account name {:?} is not 3-24 lower-case letters and digits", self.name);
        Err(io::Error::new(io::ErrorKind::InvalidInput, text))
    }

    pub(super) fn key_text(&self) -> String {
        match &self.key {
            Some(key) => key.clone(),
            None if self.name == WELL_KNOWN_ACCOUNT => WELL_KNOWN_KEY.to_owned(),
            None => STANDARD.encode(Sha512::digest(format!("blobcp devstore {}", self.name))),
        }
    }
}

/// How fast the service copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyRate {
    /// Done when the request is answered.
    Immediate,
    /// Pending in the answer, and for whoever then looks at the destination, so many times. Takes no time.
    Looks(u32),
    /// Pending until so many bytes per second have added up to the source's length.
    BytesPerSecond(u64),
}

impl CopyRate {
    /// How long an answer waits for so many bytes. What is done when it is answered has no other looks to wait for.
    pub(super) fn time_of(self, bytes: u64) -> Duration {
        match self {
            CopyRate::Immediate | CopyRate::Looks(_) => Duration::ZERO,
            CopyRate::BytesPerSecond(rate) => Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64),
        }
    }
}

/// A rate that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not \"immediate\", \"looked-at\" or a number of bytes per second such as 4MiB, 500KiB or 1048576")]
pub struct InvalidRate(String);

impl FromStr for CopyRate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<CopyRate, InvalidRate> {
        if text.eq_ignore_ascii_case("immediate") {
            return Ok(CopyRate::Immediate);
        }
        if text.eq_ignore_ascii_case("looked-at") {
            return Ok(CopyRate::Looks(1));
        }
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let shift = match &text[digits.len()..] {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            "TiB" => 40,
            _ => return Err(InvalidRate(text.to_owned())),
        };
        let number: Option<u64> = digits.parse().ok();
        match number.and_then(|number| number.checked_mul(1 << shift)) {
            Some(rate @ 1..) => Ok(CopyRate::BytesPerSecond(rate)),
            _ => Err(InvalidRate(text.to_owned())),
        }
    }
}

impl<'de> Deserialize<'de> for CopyRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CopyRate, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The limits of §15, adjustable so that tests reach them with small blobs. Sizes are in bytes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Body of Put Blob.
    pub put_blob_bytes: u64,
    /// One block, uploaded or from a URL.
    pub block_bytes: u64,
    /// Body of Append Block.
    pub append_block_bytes: u64,
    /// Body of Put Page.
    pub page_write_bytes: u64,
    /// Committed blocks of a blob.
    pub committed_blocks: usize,
    /// Uncommitted blocks of a blob.
    pub uncommitted_blocks: usize,
    /// Items on a list page.
    pub list_page: usize,
    /// Source of Copy Blob From URL.
    pub sync_copy_bytes: u64,
    /// Source of Put Blob From URL.
    pub put_blob_from_url_bytes: u64,
    /// A page blob.
    pub page_blob_bytes: u64,
    /// Names and values of a blob's metadata together.
    pub metadata_bytes: usize,
    /// Longest time that a copy may be pending (X9).
    pub copy_age: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            put_blob_bytes: 5000 * MIB,
            block_bytes: 4000 * MIB,
            append_block_bytes: 100 * MIB,
            page_write_bytes: 4 * MIB,
            committed_blocks: 50_000,
            uncommitted_blocks: 100_000,
            list_page: 5000,
            sync_copy_bytes: 256 * MIB,
            put_blob_from_url_bytes: 5000 * MIB,
            page_blob_bytes: 8 << 40,
            metadata_bytes: 8 << 10,
            copy_age: Duration::from_secs(14 * 24 * 3600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        assert_eq!("immediate".parse(), Ok(CopyRate::Immediate));
        assert_eq!("looked-at".parse(), Ok(CopyRate::Looks(1)));
        assert_eq!("4MiB".parse(), Ok(CopyRate::BytesPerSecond(4 << 20)));
        assert_eq!("500KiB".parse(), Ok(CopyRate::BytesPerSecond(500 << 10)));
        assert_eq!("1048576".parse(), Ok(CopyRate::BytesPerSecond(1 << 20)));
        for wrong in ["", "fast", "0", "4MB", "-1", "99999999999TiB"] {
            assert!(wrong.parse::<CopyRate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_answer_waits_for_its_bytes() {
        assert_eq!(CopyRate::BytesPerSecond(60 << 20).time_of(90 << 20), Duration::from_millis(1500));
        assert_eq!(CopyRate::Immediate.time_of(u64::MAX), Duration::ZERO);
        assert_eq!(CopyRate::Looks(3).time_of(1), Duration::ZERO);
    }

    #[test]
    fn default_keys_are_repeatable() {
        let key = AccountConfig::named("alpha").key_text();
        assert_eq!(key, AccountConfig::named("alpha").key_text());
        assert_ne!(key, AccountConfig::named("beta").key_text());
        assert_eq!(AccountConfig::named(WELL_KNOWN_ACCOUNT).key_text(), WELL_KNOWN_KEY);
        assert_eq!(STANDARD.decode(key).map(|key| key.len()), Ok(64));
    }
}
