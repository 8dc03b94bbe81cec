//! The embedded Blob service: a server in this process that answers like Azure Blob Storage where blobcp can tell.
//!
//! Existing emulators finish every copy before they answer, so they cannot show what blobcp is about: copies that are
//! pending, progress, abort, and all that goes wrong meanwhile. This one can, and it lets tests count requests, order
//! faults and copy a blob of 1 TiB, because content is shared and zeros are free. It shares no code with blobcp's own
//! client, so that a mistake about the protocol cannot hide by being made twice.
//!
//! From the wire inwards: `http` runs connections and hands each request, as a `request::Call`, through `operation`
//! (what is it), `faults` (what shall go wrong), `auth`, `bearer` and `sas` (who asks) to `dispatch`, which calls a
//! handler. Handlers are plain functions from the `server` and a call to a `reply` or an `error`: `account`,
//! `container`, `list`, `find`, `blob`, `blocks`, `page`, `copy` and `from_url` with `source` and `web`; `path` and `dfs` for
//! hierarchical namespaces. They read `headers` and `checksum`s and work on `state`, one locked map of `model` values
//! whose bytes are `content`; `condition`, `lease`, `tags` and `encryption` are the rules they consult. The copy
//! `engine` turns elapsed time into progress of the `copies` whenever the state is looked at. `control` and `stats` are
//! for the tests' eyes.
//!
//! Each file imports only from files below it. At the ground, whom everybody may ask, are `config` (how all of this is
//! set up), [`answers`] (what is said where nobody knows what the service says), `address` (what a URL says),
//! `signature`, `versions`, `clock`, `timer`, `error` and `xml`.
//!
//! Not offered: stored access policies, incremental copies. Such requests are refused, not ignored. In hierarchical
//! namespaces there are no snapshots, and owners and access lists bind nobody. Of Azure Files there is only what a copy source needs: a file that was put in place, and a
//! URL to it. Other servers on this machine can be copy sources, too.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use blobcp::devstore::{AccountConfig, Config, CopyRate, Devstore};
//!
//! let server = Devstore::start(Config {
//!     accounts: vec![AccountConfig::named("alpha"), AccountConfig::named("beta")],
//!     copy_cross_account: CopyRate::BytesPerSecond(4 << 20),
//!     ..Config::default()
//! })
//! .await?;
//! println!("{}", server.connection_string("alpha").unwrap_or_default());
//! server.stop().await;
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest, Md5};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

mod access;
mod account;
mod address;
pub mod answers;
mod auth;
mod batch;
mod bearer;
mod bin;
mod blob;
mod blocks;
mod checksum;
mod clock;
mod condition;
mod config;
mod container;
mod content;
mod control;
mod copies;
mod copy;
mod dfs;
mod dispatch;
mod encryption;
mod engine;
mod error;
mod faults;
mod find;
mod from_url;
mod headers;
mod holds;
mod http;
mod immutable;
mod lease;
mod list;
mod list_deleted;
mod list_paths;
mod marker;
mod model;
mod operation;
mod page;
mod path;
mod predicate;
mod protection;
mod reply;
mod request;
mod sas;
mod server;
mod signature;
mod soft_delete;
mod source;
mod spelling;
mod state;
mod stats;
mod tags;
mod timer;
mod versions;
mod web;
mod xml;

pub use answers::{Answers, Choice};
pub use bearer::Grant;
pub use config::{AccountConfig, Config, CopyRate, InvalidRate, Limits, WELL_KNOWN_ACCOUNT};
pub use control::{ControlError, CopyAction};
pub use copies::CopySummary;
pub use faults::{Fault, Reset};
pub use protection::Immutability;
pub use state::PolicyChange;
pub use stats::{RequestRecord, Stats};

use content::Content;
use model::{Blob, Kind};
use server::Server;
use signature::AccountKey;

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
        let server = Arc::new(Server::new(&config, listener.local_addr()?, keys, control::new_token()));
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

    /// The token that the control interface asks for: `Authorization: Bearer TOKEN`.
    pub fn control_token(&self) -> &str {
        &self.server.control_token
    }

    /// The account's key in Base64.
    pub fn account_key(&self, account: &str) -> Option<String> {
        self.server.key(account).map(|key| STANDARD.encode(&key.0))
    }

    /// Replaces an account's key, as whoever revokes it does: what was signed with the old one is refused.
    pub fn replace_key(&self, account: &str) {
        self.server.replace_key(account, AccountKey(uuid::Uuid::new_v4().into_bytes().to_vec()));
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
        let now = self.server.now();
        control::make_container(&mut self.server.state(now), account, container, now).map(drop)
    }

    /// Puts a block blob in place, and its container if need be. A name that a request would mean another blob by
    /// (S203, S204) is taken as it is.
    pub fn put_blob(
        &self,
        account: &str,
        container: &str,
        blob: &str,
        content: Bytes,
        content_type: &str,
    ) -> Result<(), ControlError> {
        let md5 = STANDARD.encode(Md5::digest(&content));
        let mut stored = Blob::new(Kind::unlisted(), Content::from(content), 0, self.server.now());
        stored.properties.content_type = Some(content_type.to_owned());
        stored.properties.md5 = Some(md5);
        self.server.put(account, container, blob, stored)
    }

    /// Puts a file in place as one that was written over DFS, by append and flush (S131).
    pub fn put_over_dfs(&self, account: &str, container: &str, path: &str, content: Bytes) -> Result<(), ControlError> {
        let stored = Blob::new(Kind::unlisted(), Content::from(content), 0, self.server.now());
        self.server.put(account, container, path, Blob { over_dfs: true, ..stored })
    }

    /// Puts a block blob of `size` zero bytes in place that takes no memory.
    pub fn put_sparse(&self, account: &str, container: &str, blob: &str, size: u64) -> Result<(), ControlError> {
        self.server.put_sparse(account, container, blob, size, None)
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
        self.server.put_sparse(account, container, blob, size, Some(block))
    }

    /// Puts a file of Azure Files in place: a copy source at [`Devstore::file_url`] (C19).
    pub fn put_file(&self, account: &str, share: &str, path: &str, content: Bytes) -> Result<(), ControlError> {
        self.server.put_file(account, share, path, Content::from(content))
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
        let now = self.server.now();
        self.server.state(now).copy_summaries(now)
    }

    /// Steers a pending copy. [`CopyAction::Replace`] answers with the new copy id.
    pub fn steer_copy(&self, id: &str, action: CopyAction) -> Result<Option<String>, ControlError> {
        self.server.steer_copy(id, action)
    }

    /// Changes how copies run and lists page from now on.
    pub fn change_policy(&self, change: PolicyChange) {
        self.server.state(self.server.now()).policy.change(change);
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
    pub fn age_leases(&self, by: Duration) {
        let mut state = self.server.state(self.server.now());
        for container in state.accounts.values_mut().flat_map(|containers| containers.values_mut()) {
            container.blobs.values_mut().for_each(|entry| entry.lease = entry.lease.aged(by));
        }
    }

    /// Keeps the blobs of a container so from now on, as the management interface of the real service would.
    pub fn keep(&self, account: &str, container: &str, rules: Immutability) -> Result<(), ControlError> {
        self.server.keep(account, container, rules)
    }

    /// Ends the way of an archived blob back, which takes hours in the real service.
    pub fn end_rehydration(&self, account: &str, container: &str, blob: &str) -> Result<(), ControlError> {
        self.server.end_rehydration(account, container, blob)
    }

    /// Lets time pass for whatever is kept for a while, and for nothing else: policies, and what was deleted softly.
    pub fn age_retention(&self, by: Duration) {
        self.server.age_retention(by);
    }

    /// Puts the server's clock ahead: what is done from now on is done later by so much. Tests need not wait for another
    /// second to see whether a time stays.
    pub fn advance_clock(&self, by: Duration) {
        self.server.clock.advance(by);
    }

    /// Orders a fault.
    pub fn add_fault(&self, fault: Fault) {
        self.server.faults.add(fault);
    }

    /// Forgets all faults, and how many fired.
    pub fn clear_faults(&self) {
        self.server.faults.clear();
    }

    /// How many requests were hit by a fault since they were cleared. One that damages the body of an answer counts if
    /// there was a body.
    pub fn faults_fired(&self) -> u64 {
        self.server.faults.fired()
    }
}

impl Drop for Devstore {
    fn drop(&mut self) {
        self.accept.abort();
    }
}
