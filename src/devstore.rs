//! The embedded Blob service: a server in this process that answers like Azure Blob Storage where blobcp can tell.
//!
//! Existing emulators finish every copy before they answer, so they cannot show what blobcp is about: copies that are
//! pending, progress, abort, and all that goes wrong meanwhile. This one can, and it lets tests count requests, order
//! faults and copy a blob of 1 TiB, because content is shared and zeros are free. It shares no code with blobcp's own
//! client, so that a mistake about the protocol cannot hide by being made twice.
//!
//! From the wire inwards: `http` runs connections and hands each request, as a `request::Call`, through
//! `operation` (what is it), `faults` (what shall go wrong), `auth`, `bearer` and `sas` (who asks) to `server`, which
//! calls a handler. Handlers are plain functions from a call to a `reply` or an `error`: `blob`, `blocks`,
//! `page`, `container`, `list`, `copy` with `source`, `web` and `from_url`, `path` for hierarchical namespaces. They work on `state`, one locked map
//! of `model` values whose bytes are `content`; `condition`, `lease` and `tags` are the rules they consult. The
//! copy `engine` turns elapsed time into progress whenever the state is looked at. `control` and `stats` are for
//! the tests' eyes.
//!
//! Not offered: stored access policies, soft delete, encryption keys,
//! immutability, incremental copies. Such requests are refused, not ignored. Of hierarchical namespaces there is what a client of the Blob
//! endpoint sees of them, and rename, but neither owners nor access lists, and no snapshots. Of Azure Files there is
//! only what a copy source needs: a file that was put in place, and a URL to it. Other servers on this machine can be copy sources, too.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use blobcp::devstore::{AccountConfig, Config, CopyPace, Devstore};
//!
//! let server = Devstore::start(Config {
//!     accounts: vec![AccountConfig::named("alpha"), AccountConfig::named("beta")],
//!     copy_cross_account: CopyPace::BytesPerSecond(4 << 20),
//!     ..Config::default()
//! })
//! .await?;
//! println!("{}", server.connection_string("alpha").unwrap_or_default());
//! server.stop().await;
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha512};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

mod auth;
mod bearer;
mod blob;
mod blocks;
mod clock;
mod condition;
mod container;
mod content;
mod control;
mod copy;
mod engine;
mod error;
mod faults;
mod from_url;
mod http;
mod lease;
mod list;
mod model;
mod operation;
mod page;
mod path;
mod reply;
mod request;
mod sas;
mod server;
mod source;
mod state;
mod stats;
mod tags;
mod web;
mod xml;

pub use bearer::Grant;
pub use control::{ControlError, CopyAction};
pub use engine::CopySummary;
pub use faults::{Fault, Reset};
pub use state::PolicyChange;
pub use stats::{RequestRecord, Stats};

use auth::AccountKey;
use content::Content;
use server::Server;

/// The emulator account every Azure tool knows, and its public key (§1.2).
pub const WELL_KNOWN_ACCOUNT: &str = "devstoreaccount1";
const WELL_KNOWN_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

const MIB: u64 = 1 << 20;

/// How a server is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The accounts; there is no way to add one later.
    pub accounts: Vec<AccountConfig>,
    /// Pace of copies within one account (C1: usually immediate).
    pub copy_same_account: CopyPace,
    /// Pace of copies from another account (C2: usually not).
    pub copy_cross_account: CopyPace,
    /// Added before every answer.
    pub latency: Duration,
    /// Refuse requests dated more than 15 minutes off, as the service does.
    pub check_clock_skew: bool,
    /// Sizes and numbers the service limits.
    pub limits: Limits,
    /// All accounts have hierarchical namespaces: directories exist by themselves, paths can be renamed, and there are no snapshots (§14,
    /// S192).
    pub hns: bool,
    /// Whoever asks is told of what kind the accounts are. Otherwise it is 404, as it is for tokens (S148).
    pub tells_kind: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            accounts: Vec::new(),
            copy_same_account: CopyPace::Immediate,
            copy_cross_account: CopyPace::Immediate,
            latency: Duration::ZERO,
            check_clock_skew: true,
            limits: Limits::default(),
            hns: false,
            tells_kind: true,
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
}

impl fmt::Debug for AccountConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.as_ref().map(|_| "***");
        f.debug_struct("AccountConfig")
            .field("name", &self.name)
            .field("key", &key)
            .field("versioning", &self.versioning)
            .finish()
    }
}

impl AccountConfig {
    /// An account with its default key.
    pub fn named(name: &str) -> AccountConfig {
        AccountConfig { name: name.to_owned(), key: None, versioning: false }
    }

    /// The same, with versions of its blobs.
    pub fn versioned(name: &str) -> AccountConfig {
        AccountConfig { versioning: true, ..AccountConfig::named(name) }
    }

    fn check_name(&self) -> io::Result<()> {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if (3..=24).contains(&self.name.len()) && self.name.chars().all(legal) {
            return Ok(());
        }
        let text = format!("account name {:?} is not 3-24 lower-case letters and digits", self.name);
        Err(io::Error::new(io::ErrorKind::InvalidInput, text))
    }

    fn key_text(&self) -> String {
        match &self.key {
            Some(key) => key.clone(),
            None if self.name == WELL_KNOWN_ACCOUNT => WELL_KNOWN_KEY.to_owned(),
            None => STANDARD.encode(Sha512::digest(format!("blobcp devstore {}", self.name))),
        }
    }
}

/// How fast asynchronous copies go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyPace {
    /// Done when the request is answered.
    Immediate,
    /// Pending until so many bytes per second have added up to the source's length.
    BytesPerSecond(u64),
}

/// A pace that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither \"immediate\" nor a number of bytes per second such as 4MiB, 500KiB or 1048576")]
pub struct InvalidPace(String);

impl FromStr for CopyPace {
    type Err = InvalidPace;

    fn from_str(text: &str) -> Result<CopyPace, InvalidPace> {
        if text.eq_ignore_ascii_case("immediate") {
            return Ok(CopyPace::Immediate);
        }
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let shift = match &text[digits.len()..] {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            "TiB" => 40,
            _ => return Err(InvalidPace(text.to_owned())),
        };
        let number: Option<u64> = digits.parse().ok();
        match number.and_then(|number| number.checked_mul(1 << shift)) {
            Some(rate @ 1..) => Ok(CopyPace::BytesPerSecond(rate)),
            _ => Err(InvalidPace(text.to_owned())),
        }
    }
}

impl<'de> Deserialize<'de> for CopyPace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CopyPace, D::Error> {
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
    /// Names and values of a blob's metadata together.
    pub metadata_bytes: usize,
    /// How long a copy may be pending (X9).
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
            metadata_bytes: 8 << 10,
            copy_age: Duration::from_secs(14 * 24 * 3600),
        }
    }
}

/// A running server. It stops when this is dropped.
#[derive(Debug)]
pub struct Devstore {
    server: Arc<Server>,
    accept: JoinHandle<std::convert::Infallible>,
}

impl Devstore {
    /// Binds and begins to serve on the current tokio runtime.
    ///
    /// # Errors
    /// The address is taken, or an account's name or key is malformed.
    pub async fn start(config: Config) -> io::Result<Devstore> {
        let mut keys = BTreeMap::new();
        for account in &config.accounts {
            account.check_name()?;
            let key = STANDARD.decode(account.key_text()).map_err(|_| {
                let text = format!("the key of account {} is not Base64", account.name);
                io::Error::new(io::ErrorKind::InvalidInput, text)
            })?;
            keys.insert(account.name.clone(), AccountKey(key));
        }
        let listener = TcpListener::bind(config.listen).await?;
        let server = Arc::new(Server::new(&config, listener.local_addr()?, keys));
        let accept = tokio::spawn(http::serve(listener, Arc::clone(&server)));
        Ok(Devstore { server, accept })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// `http://127.0.0.1:PORT/ACCOUNT`.
    pub fn endpoint(&self, account: &str) -> String {
        self.server.endpoint(account)
    }

    /// The account's key in Base64.
    pub fn account_key(&self, account: &str) -> Option<String> {
        self.server.key(account).map(|key| STANDARD.encode(key))
    }

    /// A connection string for any Azure client (§1.2).
    pub fn connection_string(&self, account: &str) -> Option<String> {
        let key = self.account_key(account)?;
        let endpoint = self.endpoint(account);
        Some(format!("DefaultEndpointsProtocol=http;AccountName={account};AccountKey={key};BlobEndpoint={endpoint};"))
    }

    /// Closes the listener and every connection.
    pub async fn stop(mut self) {
        self.accept.abort();
        // Ends with the cancellation just asked for.
        let _ = (&mut self.accept).await;
    }

    /// Makes a container unless it is there.
    pub fn create_container(&self, account: &str, container: &str) -> Result<(), ControlError> {
        self.server.make_container(account, container)
    }

    /// Puts a block blob in place, and its container if need be. A name that a request would mean another blob by (S203, S204) is taken as
    /// it is.
    pub fn put_blob(
        &self,
        account: &str,
        container: &str,
        blob: &str,
        content: Bytes,
        content_type: &str,
    ) -> Result<(), ControlError> {
        self.server.plant(account, container, blob, content, content_type)
    }

    /// Puts a block blob of `size` zero bytes in place that takes no memory.
    pub fn put_sparse(&self, account: &str, container: &str, blob: &str, size: u64) -> Result<(), ControlError> {
        self.server.plant_sparse(account, container, blob, size, None)
    }

    /// The same with a block list of blocks of `block` bytes.
    pub fn put_sparse_blocks(
        &self,
        account: &str,
        container: &str,
        blob: &str,
        size: u64,
        block: u64,
    ) -> Result<(), ControlError> {
        self.server.plant_sparse(account, container, blob, size, Some(block))
    }

    /// Puts a file of Azure Files in place: a copy source at [`Devstore::file_url`] (C19).
    pub fn put_file(&self, account: &str, share: &str, path: &str, content: Bytes) -> Result<(), ControlError> {
        self.server.plant_file(account, share, path, Content::from(content))
    }

    /// The URL of a file, to which a SAS must be added: `http://ACCOUNT.file.localhost:PORT/SHARE/PATH`.
    pub fn file_url(&self, account: &str, share: &str, path: &str) -> String {
        format!("http://{account}.file.localhost:{}/{share}/{path}", self.address().port())
    }

    /// The committed content of a blob in one piece.
    pub fn content(&self, account: &str, container: &str, blob: &str) -> Result<Bytes, ControlError> {
        self.server.content(account, container, blob)
    }

    /// Counters since the start or the last reset.
    pub fn stats(&self) -> Stats {
        self.server.statistics.snapshot()
    }

    /// Zeroes the counters and empties the request log.
    pub fn reset_stats(&self) {
        self.server.statistics.reset();
    }

    /// The latest requests, oldest first.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.server.statistics.log()
    }

    /// All copies, concluded ones first.
    pub fn copies(&self) -> Vec<CopySummary> {
        self.server.copies()
    }

    /// Steers a pending copy. [`CopyAction::Replace`] answers with the new copy id.
    pub fn steer_copy(&self, id: &str, action: CopyAction) -> Result<Option<String>, ControlError> {
        self.server.steer_copy(id, action)
    }

    /// Changes how copies run and lists page from now on.
    pub fn change_policy(&self, change: PolicyChange) {
        self.server.change_policy(change);
    }

    /// Lets a bearer token in (§3.4).
    pub fn admit_token(&self, token: &str, grant: Grant) {
        self.server.tokens.admit(token, grant);
    }

    /// No bearer token is good any more.
    pub fn withdraw_tokens(&self) {
        self.server.tokens.withdraw_all();
    }

    /// Lets time pass for finite leases of blobs and for nothing else: tests need not wait a minute.
    pub fn age_leases(&self, by: std::time::Duration) {
        self.server.age_leases(by);
    }

    /// Orders a fault.
    pub fn add_fault(&self, fault: Fault) {
        self.server.faults.add(fault);
    }

    /// Forgets all faults.
    pub fn clear_faults(&self) {
        self.server.faults.clear();
    }
}

impl Drop for Devstore {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paces() {
        assert_eq!("immediate".parse(), Ok(CopyPace::Immediate));
        assert_eq!("4MiB".parse(), Ok(CopyPace::BytesPerSecond(4 << 20)));
        assert_eq!("500KiB".parse(), Ok(CopyPace::BytesPerSecond(500 << 10)));
        assert_eq!("1048576".parse(), Ok(CopyPace::BytesPerSecond(1 << 20)));
        for wrong in ["", "fast", "0", "4MB", "-1", "99999999999TiB"] {
            assert!(wrong.parse::<CopyPace>().is_err(), "{wrong}");
        }
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
