//! Leases that this mount takes, and gives back on every way out (C47).
//!
//! A copy that is pending fails when its source changes (X8), so the source is leased meanwhile: whoever has not the
//! lease's id cannot write to it (C40, C43). The vendor's samples take an infinite lease, which stays when the program
//! dies. Here it is a finite one of 60 s that is renewed as long as the copy is pending: others are kept out just the
//! same, and after a crash it ends by itself.
//!
//! - [`Lease`] is the guard: given back by [`Lease::release`], which can be waited for, or else when it is dropped.
//!   Commits of page blobs use it, too.
//! - [`SourceLeases`] has one for each source that copies are pending from; several copies of one source share it
//!   (C11). Each copy has a [`SourceLease`], and with the last of them the lease ends, before the copy's end is told to
//!   anybody: `mv` between accounts deletes the source right after.
//!
//! A copy that is answered `success` at once, as most are, costs no request more: the lease is taken after the answer
//! `pending`, on condition that the source is still the version that is copied. What cannot be leased, because another
//! client has a lease or we have not the right, is copied without.
//!
//! Our own writes are not kept out: the client knows the id and sends it along
//! ([`crate::store::BlobClient::use_lease`]). A copy *onto* such a source needs an infinite lease or none (X5), so for
//! that the lease is released ([`SourceLeases::release`]).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::error::{Error, Result};
use crate::fs::background::BackgroundTasks;
use crate::fs::caller::Caller;
use crate::fs::journal::{Entry, Intent, Journal, Named};
use crate::fs::names::tree::Blob;
use crate::store::{Client, CopyId, ETag, LeaseId, LeaseOptions, Precondition};
use crate::sync::lock;

/// The longest finite lease.
pub(in crate::fs) const TERM: Duration = Duration::from_secs(60);

/// Often enough that two renewals may fail.
pub(in crate::fs) const RENEWED_AFTER: Duration = Duration::from_secs(20);

/// When the source of a copy is leased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LeaseSource {
    /// Not at all.
    Never,
    /// While the copy is pending.
    #[default]
    Pending,
    /// From before its start: two requests more for every copy.
    Always,
}

/// A finite lease of a blob, ours until this is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    client: Client,
    blob: Blob,
    id: LeaseId,
    renewed: Mutex<Instant>,
    background: BackgroundTasks,
    entry: Option<Entry>,
    released: bool,
}

impl Lease {
    pub(crate) async fn acquire(
        client: &Client,
        background: &BackgroundTasks,
        journal: Option<&Arc<Journal>>,
        blob: &Blob,
        condition: &Precondition,
    ) -> Result<Self> {
        let id = LeaseId::new(&uuid::Uuid::new_v4().to_string());
        let entry = journal
            .map(|journal| journal.begin(Intent::Lease { of: Named::of(client, &blob.path), id: id.to_string() }));
        let began = Instant::now();
        let options = LeaseOptions { duration: Some(TERM), id: Some(id), precondition: condition.clone() };
        let id = match client.blob(&blob.path).acquire_lease(&options).await {
            Ok(id) => id,
            Err(error) => {
                // Without an answer it may be there.
                if let Some(entry) = entry.filter(|_| error.status() != 0) {
                    entry.end();
                }
                return Err(error);
            }
        };
        let (client, blob, background) = (client.clone(), blob.clone(), background.clone());
        Ok(Self { client, blob, id, renewed: Mutex::new(began), background, entry, released: false })
    }

    pub(crate) fn id(&self) -> &LeaseId {
        &self.id
    }

    /// Starts its time anew. An error if it is not ours any more.
    pub(crate) async fn renew(&self) -> Result<()> {
        let began = Instant::now();
        self.client.blob(&self.blob.path).renew_lease(&self.id).await?;
        *lock(&self.renewed) = began;
        Ok(())
    }

    /// [`Lease::renew`], if it is time for that.
    pub(crate) async fn renew_in_time(&self) -> Result<()> {
        let is_due = lock(&self.renewed).elapsed() > RENEWED_AFTER;
        if is_due { self.renew().await } else { Ok(()) }
    }

    pub(crate) async fn release(mut self) {
        self.released = true;
        release_lease(&self.client, &self.blob, &self.id, self.entry.take()).await;
    }
}

/// Gives a lease back. What is not given back stays in the journal.
pub(in crate::fs) async fn release_lease(client: &Client, blob: &Blob, id: &LeaseId, entry: Option<Entry>) {
    let released = client.blob(&blob.path).release_lease(id).await;
    if let Some(entry) = entry.filter(|_| released.as_ref().err().is_none_or(|error| error.status() != 0)) {
        entry.end();
    }
    match released {
        // Deleted, or somebody broke the lease and has another.
        Err(error) if error.is_not_found() || error.code() == "LeaseIdMismatchWithLeaseOperation" => {
            debug!(blob = %blob.path, %error, "a lease had ended already");
        }
        Err(error) => warn!(blob = %blob.path, %error, "a lease was not given back; it ends by itself within a minute"),
        Ok(()) => {}
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.released {
            return;
        }
        // Without a runtime the process is at its end, and the lease ends by itself.
        if tokio::runtime::Handle::try_current().is_ok() {
            let (client, blob, id) = (self.client.clone(), self.blob.clone(), self.id.clone());
            let entry = self.entry.take();
            self.background.spawn(async move { release_lease(&client, &blob, &id, entry).await });
        }
    }
}

/// A copy that a source is leased for.
#[derive(Debug, Clone)]
pub(crate) struct LeasedCopy {
    pub destination: Blob,
    /// Not known before its start.
    pub id: Option<CopyId>,
    pub caller: Option<Caller>,
}

/// The leased sources.
pub(crate) struct SourceLeases {
    all: Mutex<HashMap<Blob, Weak<SharedLease>>>,
    background: BackgroundTasks,
    journal: Option<Arc<Journal>>,
}

/// A source, for as long as copies of it are pending.
pub(in crate::fs) struct SharedLease {
    client: Client,
    blob: Blob,
    /// Whoever asks, acquires or gives back has the lock meanwhile, so that no two get in each other's way.
    lease: tokio::sync::Mutex<Option<Lease>>,
    copies: Mutex<Vec<LeasedCopy>>,
}

/// Entries at which those that are over are looked for.
pub(in crate::fs) const MANY: usize = 1024;

impl SourceLeases {
    pub(crate) fn new(background: &BackgroundTasks, journal: Option<Arc<Journal>>) -> Self {
        Self { all: Mutex::default(), background: background.clone(), journal }
    }

    /// Leases a source for a copy of `version`, or shares the lease that is there. `None` if it cannot be had, which
    /// the log tells.
    pub(crate) async fn acquire(
        &self,
        client: &Client,
        source: &Blob,
        version: Option<&ETag>,
        copy: LeasedCopy,
    ) -> Option<SourceLease> {
        let shared = self.shared(client, source);
        let mut lease = shared.lease.lock().await;
        if lease.is_none() {
            let condition = version.map_or(Precondition::None, |etag| Precondition::IfMatch(etag.clone()));
            match Lease::acquire(client, &self.background, self.journal.as_ref(), source, &condition).await {
                Ok(taken) => {
                    client.blob(&source.path).use_lease(taken.id().clone());
                    tokio::spawn(keep_alive(Arc::downgrade(&shared), taken.id().clone()));
                    info!(source = %source.path, destination = %copy.destination.path, "source leased while it is copied");
                    *lease = Some(taken);
                }
                Err(error) => {
                    not_leased(source, &error);
                    return None;
                }
            }
        }
        // Before another copy can leave, and end the lease because it was the last.
        lock(&shared.copies).push(copy.clone());
        drop(lease);
        Some(SourceLease { shared, of: copy, background: self.background.clone(), released: false })
    }

    pub(in crate::fs) fn shared(&self, client: &Client, source: &Blob) -> Arc<SharedLease> {
        let mut all = lock(&self.all);
        if all.len() >= MANY {
            all.retain(|_, shared| shared.strong_count() > 0);
        }
        if let Some(shared) = all.get(source).and_then(Weak::upgrade) {
            return shared;
        }
        let shared = Arc::new(SharedLease {
            client: client.clone(),
            blob: source.clone(),
            lease: tokio::sync::Mutex::default(),
            copies: Mutex::default(),
        });
        all.insert(source.clone(), Arc::downgrade(&shared));
        shared
    }

    pub(in crate::fs) fn of(&self, blob: &Blob) -> Option<Arc<SharedLease>> {
        lock(&self.all).get(blob).and_then(Weak::upgrade)
    }

    /// Ends our lease of a blob that is to be written to in a way that a finite lease forbids. The copies from it go on
    /// without. False if there is none.
    pub(crate) async fn release(&self, blob: &Blob) -> bool {
        let Some(shared) = self.of(blob) else { return false };
        let lease = &mut *shared.lease.lock().await;
        if lease.is_none() {
            return false;
        }
        info!(source = %blob.path, "the lease that this mount has of it is given up; it may change while it is copied");
        shared.release(lease).await;
        true
    }

    /// The copies that the lease of a blob is for, if it is one of ours.
    pub(crate) fn holder(&self, blob: &Blob) -> Option<String> {
        let shared = self.of(blob)?;
        // Who has the lock is about to acquire or to release it.
        let held = shared.lease.try_lock().map_or(true, |lease| lease.is_some());
        let uses = lock(&shared.copies);
        let first = uses.first().filter(|_| held)?;
        let by = first.caller.map_or_else(String::new, |caller| format!(", started by process {}", caller.pid));
        let id = first.id.as_ref().map_or_else(String::new, |id| format!(" (copy {id})"));
        let more = if uses.len() > 1 { format!(" and {} more", uses.len() - 1) } else { String::new() };
        let account = |blob: &Blob| blob.path.to_string();
        Some(format!("this mount, for the copy of {} to {}{id}{by}{more}", account(blob), account(&first.destination)))
    }

    /// Gives all of them back, for unmounting: the copies go on and are not protected any more. How many copies that
    /// are.
    pub(crate) async fn release_all(&self) -> usize {
        let all: Vec<Arc<SharedLease>> = lock(&self.all).values().filter_map(Weak::upgrade).collect();
        let ends = all.iter().map(|shared| async move {
            let mut lease = shared.lease.lock().await;
            if lease.is_none() {
                return 0;
            }
            shared.release(&mut lease).await;
            let uses = lock(&shared.copies).clone();
            for copy in &uses {
                warn!(source = %shared.blob.path, destination = %copy.destination.path,
                      "a copy is pending at the end of the mount: it goes on, but its source is not leased any more");
            }
            uses.len()
        });
        futures_util::future::join_all(ends).await.into_iter().sum()
    }
}

impl SharedLease {
    pub(crate) async fn release(&self, lease: &mut Option<Lease>) {
        if let Some(lease) = lease.take() {
            lease.release().await;
            self.client.blob(&self.blob.path).forget_lease();
        }
    }

    pub(crate) async fn leave(&self, of: &LeasedCopy) {
        let mut lease = self.lease.lock().await;
        let last = {
            let mut uses = lock(&self.copies);
            if let Some(index) = uses.iter().position(|other| other.destination == of.destination && other.id == of.id)
            {
                uses.swap_remove(index);
            }
            uses.is_empty()
        };
        if last {
            self.release(&mut lease).await;
        }
    }
}

/// Renews a lease until it is given back, or somebody broke it.
pub(in crate::fs) async fn keep_alive(shared: Weak<SharedLease>, id: LeaseId) {
    loop {
        tokio::time::sleep(RENEWED_AFTER).await;
        let Some(shared) = shared.upgrade() else { return };
        let mut held = shared.lease.lock().await;
        let Some(lease) = held.as_ref().filter(|lease| *lease.id() == id) else { return };
        match lease.renew().await {
            Ok(()) => debug!(source = %shared.blob.path, "lease renewed"),
            Err(error) if matches!(error.status(), 400..=499) && error.status() != 429 => {
                warn!(source = %shared.blob.path, %error, "the lease of a copy's source is lost: others may change it");
                // There is nothing to give back.
                if let Some(mut lease) = held.take() {
                    lease.released = true;
                    if let Some(entry) = &lease.entry {
                        entry.end();
                    }
                }
                shared.client.blob(&shared.blob.path).forget_lease();
                return;
            }
            Err(error) => warn!(source = %shared.blob.path, %error, "cannot renew the lease of a copy's source"),
        }
    }
}

pub(in crate::fs) fn not_leased(source: &Blob, error: &Error) {
    match (error.code(), error.errno()) {
        // C43: a source needs no lease, and whoever has one keeps others from changing it.
        ("LeaseAlreadyPresent" | "LeaseIsBreakingAndCannotBeAcquired", _) => {
            info!(source = %source.path, "leased by another client: copied without a lease of our own");
        }
        (_, libc::EACCES) => {
            info!(source = %source.path, %error, "it may not be leased: copied without, and others may change it meanwhile");
        }
        _ if error.is_not_found() || error.is_precondition_failed() => {
            debug!(source = %source.path, %error, "changed already: its copy will fail");
        }
        _ => warn!(source = %source.path, %error, "cannot lease the source of a copy: others may change it meanwhile"),
    }
}

/// The lease of a blob, for whoever is in its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseReport {
    /// In the service's words; `available` where it says nothing.
    pub state: String,
    /// `infinite`, `fixed`, or nothing while it is not leased.
    pub duration: String,
    /// Its holder, as far as that is known.
    pub holder: String,
}

impl fmt::Display for LeaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.state)?;
        for (before, text) in [(", ", &self.duration), (", by ", &self.holder)] {
            if !text.is_empty() {
                write!(f, "{before}{text}")?;
            }
        }
        Ok(())
    }
}

/// One copy's part in the lease of its source.
pub(crate) struct SourceLease {
    shared: Arc<SharedLease>,
    of: LeasedCopy,
    background: BackgroundTasks,
    released: bool,
}

impl SourceLease {
    /// The copy has ended. With the last copy of the source, its lease has ended when this returns.
    pub(crate) async fn release(mut self) {
        self.released = true;
        self.shared.leave(&self.of).await;
    }
}

impl Drop for SourceLease {
    fn drop(&mut self) {
        if self.released {
            return;
        }
        if tokio::runtime::Handle::try_current().is_ok() {
            let (shared, of) = (self.shared.clone(), self.of.clone());
            self.background.spawn(async move { shared.leave(&of).await });
        }
    }
}

#[cfg(test)]
#[path = "../../../tests/machines/leases.rs"]
mod interleaved;
