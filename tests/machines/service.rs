//! A filesystem over the embedded service, on a clock that goes on only when a test says so.
//!
//! tokio's paused clock goes on by itself when there is nothing to do but to wait. Whoever waits for an answer from a socket seems to have
//! nothing to do: requests would run into their time limits before they are answered. It stands while blocking work is under way, though,
//! and [`StandingClock`] is such work. The service runs on the same runtime and so by the same clock; what it has done is waited for by
//! looking at it ([`until`]). How far its copies are is told it by the test ([`Service::steer`]), so that its own sense of time, which is
//! the machine's, does not matter; leases are made older by [`Devstore::age_leases`].

use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;

use crate::devstore::{self, CopyAction, CopyRate, Devstore, PolicyChange};
use crate::fs::attr::{Defaults, Permissions};
use crate::fs::copies::job::CopyJob;
use crate::fs::copies::run::Copies;
use crate::fs::copies::spec::{CopyOptions, CopySpec, Kept};
use crate::fs::lease::LeaseSource;
use crate::fs::method::CopyMethod;
use crate::fs::tree::{Blob, Place};
use crate::fs::{Account, Config, Fs};
use crate::store::{AccountConfig, BlobProperties, Client, Http, Options, Precondition, Secret, Tags};

const ACCOUNT: &str = "one";

/// Longest that a test waits for something that has to come without the clock going on; on the machine's clock.
const PATIENCE: Duration = Duration::from_secs(20);

/// The time within which a timer is due earlier or later than it was set: tokio counts in milliseconds.
const GRAIN: Duration = Duration::from_millis(2);

/// tokio's clock stands as long as this lives, but for [`tokio::time::advance`].
pub(super) struct StandingClock(#[expect(dead_code, reason = "dropped to let the work end")] mpsc::Sender<()>);

impl StandingClock {
    /// For a runtime of one thread.
    pub(super) fn new() -> Self {
        tokio::time::pause();
        let (sender, ended) = mpsc::channel();
        tokio::task::spawn_blocking(move || ended.recv());
        Self(sender)
    }
}

/// Waits for something that comes without the clock going on.
pub(super) async fn until(what: &str, is: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !is() {
        assert!(began.elapsed() < PATIENCE, "it does not come: {what}");
        tokio::task::yield_now().await;
    }
}

/// The same for a future: one that never comes to its end fails the test.
pub(super) async fn now<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        result = future => result,
        () = until(what, || false) => unreachable!("that ends with a panic"),
    }
}

pub(super) struct Service {
    pub(super) store: Devstore,
    pub(super) copies: Arc<Copies>,
    pub(super) client: Client,
    _clock: StandingClock,
}

impl Service {
    /// With the blobs `s`, the source of copies, and `b`, which they replace. Copies that are begun are pending.
    pub(super) async fn start() -> Self {
        let clock = StandingClock::new();
        let accounts = vec![devstore::AccountConfig::named(ACCOUNT)];
        let store = Devstore::start(devstore::Config { accounts, ..Default::default() }).await.unwrap();
        for (name, content) in [("s", "source"), ("b", "before")] {
            store.put_blob(ACCOUNT, "box", name, Bytes::from(content), "text/plain").unwrap();
        }
        let connection_string = store.connection_string(ACCOUNT).map(Secret::new);
        let account = AccountConfig { connection_string, ..Default::default() }.resolve().unwrap();
        // What fails is to be seen by who asked, and not after delays.
        let client = Client::new(account, Http::new(Options { tries: 1, ..Default::default() }));
        let fs = Fs::new(Config {
            accounts: vec![Account { client: client.clone(), only: None }],
            root: Place::Account(crate::fs::tree::AccountId(0)),
            attr_ttl: Duration::from_secs(1),
            permissions: Permissions::Keep,
            defaults: Defaults { file_mode: 0o644, dir_mode: 0o755, uid: 0, gid: 0, shown: None },
            copy_wait: true,
            copy_method: CopyMethod::default(),
            lease_source: LeaseSource::Pending,
            keep_on_abort: true,
            delete_snapshots: false,
            content_md5: false,
            store_within: crate::fs::STORE_WITHIN,
            recognise_copies: true,
            memory_limit: 1 << 30,
        });
        let copies = fs.copies.clone();
        let service = Self { store, copies, client, _clock: clock };
        service.hold_copies(true);
        service
    }

    /// Copies that are begun from now on are pending until they are steered, or done at once.
    pub(super) fn hold_copies(&self, hold: bool) {
        let copy_same_account = Some(CopyRate::Immediate);
        self.store.change_policy(PolicyChange { hold_new_copies: Some(hold), copy_same_account, ..Default::default() });
    }

    pub(super) async fn properties(&self, name: &str) -> BlobProperties {
        self.client.blob(&super::blob(name).path).properties().await.unwrap()
    }

    pub(super) fn content(&self, name: &str) -> Bytes {
        self.store.content(ACCOUNT, "box", name).unwrap()
    }

    /// Starts a copy of `s` onto `destination`, which is kept if it is there.
    pub(super) async fn copy_onto(&self, destination: &Blob) -> Arc<CopyJob> {
        let from = super::blob("s");
        let there = self.client.blob(&destination.path).properties().await.ok().map(Arc::new);
        let kept = there.clone().map(|before| Kept { ino: None, before });
        let version = Some(Arc::new(self.properties("s").await));
        let lifetime = Duration::from_secs(60);
        let start = CopySpec {
            source: self.client.blob(&from.path).copy_source(&self.client, lifetime).await.unwrap(),
            version,
            destination: destination.clone(),
            precondition: Precondition::None,
            metadata: None,
            tier: None,
            tags: Tags::new(),
            seal: None,
            options: CopyOptions { source: Some(from.clone()), replaced: there, kept, ..CopyOptions::default() },
        };
        let job = self.copies.start_copy(start).await.unwrap();
        until("the lease of its source", || self.copies.leases.holder(&from).is_some()).await;
        job
    }

    pub(super) fn steer(&self, job: &CopyJob, action: CopyAction) {
        self.store.steer_copy(job.id.as_str(), action).unwrap();
    }

    pub(super) fn requests(&self, operation: &str) -> u64 {
        self.store.stats().requests(operation)
    }

    /// What was asked of the service since that was asked last.
    pub(super) fn asked(&self) -> Vec<&'static str> {
        let asked = self.store.requests().iter().map(|request| request.operation).collect();
        self.store.reset_stats();
        asked
    }

    /// A request of that operation is sent when so much time has passed, and not before.
    pub(super) async fn sends_after(&self, wait: Duration, operation: &str) {
        // Whoever is to wait has begun to.
        self.assert_nothing_comes(operation).await;
        let before = self.requests(operation);
        tokio::time::advance(wait - GRAIN).await;
        self.assert_nothing_comes(operation).await;
        tokio::time::advance(2 * GRAIN).await;
        until("a request that is due", || self.requests(operation) > before).await;
    }

    /// What is due is begun.
    pub(super) async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    /// Nothing is due: whatever is to be sent without the clock going on is sent in fewer turns.
    pub(super) async fn assert_nothing_comes(&self, operation: &str) {
        let before = self.requests(operation);
        self.settle().await;
        assert_eq!(self.requests(operation), before, "{operation} was sent too early");
    }
}
