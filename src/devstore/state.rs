//! The store itself: accounts, containers and the names in them.
//!
//! Everything lives in one [`State`] behind one mutex. Handlers hold it for map operations only; payload is hashed
//! before and streamed after. One lock rather than one per account makes a copy between accounts an ordinary function.
//! Whoever takes the lock lets time pass first ([`State::advance`](super::engine)), so the copy engine needs no task of
//! its own and no reader can see a copy that should have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::address::{BlobAddress, Namespace, Revision};
use super::answers::{Answers, ChosenTier, CodeOfBrokenLease, LeaseGuard};
use super::bin::{Deleted, DeletedPaths};
use super::clock::{Clock, Ticks};
use super::condition::Conditions;
use super::config::CopyRate;
use super::copies::Copies;
use super::encryption;
use super::error::{Code, ServiceError};
use super::headers::lease_id;
use super::immutable;
use super::lease::{Holder, Lease};
use super::model::{Blob, ETag, Entry, Metadata};
use super::protection::Immutability;
use super::request::Call;

/// The container that an account has without anybody making it (S150). It is listed once somebody has used it.
pub(super) const WEB: &str = "$web";

/// Comes after `/` in the order of names.
const AFTER_SLASH: char = '0';

/// Public access to a container (§3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Access {
    #[default]
    Private,
    /// Blobs may be read.
    Blob,
    /// Blobs may be read and listed.
    Container,
}

impl Access {
    /// The value of `x-ms-blob-public-access`, absent for private.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Access::Private => None,
            Access::Blob => Some("blob"),
            Access::Container => Some("container"),
        }
    }

    pub(super) fn parse(text: Option<&str>) -> Result<Access, ServiceError> {
        match text {
            None => Ok(Access::Private),
            Some("blob" | "true") => Ok(Access::Blob),
            Some("container") => Ok(Access::Container),
            Some(other) => Err(ServiceError::invalid_header("x-ms-blob-public-access", other)),
        }
    }
}

/// A container and its blobs in listing order.
#[derive(Debug)]
pub(super) struct Container {
    pub blobs: BTreeMap<String, Entry>,
    pub etag: ETag,
    pub last_modified: SystemTime,
    pub metadata: Metadata,
    pub access: Access,
    pub lease: Lease,
    /// What keeps its blobs.
    pub rules: Immutability,
    /// What was deleted softly, where the namespace is hierarchical.
    pub deleted_paths: DeletedPaths<Entry>,
}

impl Container {
    /// A private one with nothing in it.
    pub(super) fn new(etag: ETag, last_modified: SystemTime) -> Container {
        let (blobs, metadata, lease) = (BTreeMap::new(), Metadata::new(), Lease::default());
        let rules = Immutability::default();
        let deleted_paths = DeletedPaths::default();
        Container { blobs, etag, last_modified, metadata, access: Access::Private, lease, rules, deleted_paths }
    }
}

/// A container that was deleted and can be restored.
#[derive(Debug)]
pub(super) struct DeletedContainer {
    pub account: String,
    pub name: String,
    /// By which it is told from others of its name, hexadecimal (S178).
    pub version: String,
    pub deleted: Deleted<Container>,
}

/// Rules for how copies run and lists page from now on; every field can be changed while the server runs.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    pub copy_same_account: CopyRate,
    pub copy_cross_account: CopyRate,
    pub from_url_cross_account: CopyRate,
    pub hold_new_copies: bool,
    pub list_page: usize,
    pub empty_list_pages: bool,
    /// Most paths that one rename moves before it answers with a continuation.
    pub rename_part: Option<usize>,
    /// Most paths that one delete over DFS takes away before it answers with a continuation.
    pub delete_part: Option<usize>,
    /// A firewall keeps everybody out (S200).
    pub firewall: bool,
}

/// The body of `POST /-/policy`: what is absent stays as it is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyChange {
    /// Rate of copies within an account.
    pub copy_same_account: Option<CopyRate>,
    /// Rate of copies between accounts.
    pub copy_cross_account: Option<CopyRate>,
    /// Rate of each From-URL request that reads another account.
    pub from_url_cross_account: Option<CopyRate>,
    /// New copies of either kind start held: pending, without progress.
    pub hold_new_copies: Option<bool>,
    /// Longest list page, whatever the client asks for.
    pub list_page: Option<usize>,
    /// Put an empty page before every page of blobs, which the service is free to do (§7).
    pub empty_list_pages: Option<bool>,
    /// Most paths that one rename moves before it answers with a continuation (§14).
    pub rename_part: Option<usize>,
    /// Most paths that one delete over DFS takes away before it answers with a continuation.
    pub delete_part: Option<usize>,
    /// A firewall keeps everybody out.
    pub firewall: Option<bool>,
}

impl Policy {
    pub(super) fn change(&mut self, change: PolicyChange) {
        self.copy_same_account = change.copy_same_account.unwrap_or(self.copy_same_account);
        self.copy_cross_account = change.copy_cross_account.unwrap_or(self.copy_cross_account);
        self.from_url_cross_account = change.from_url_cross_account.unwrap_or(self.from_url_cross_account);
        self.hold_new_copies = change.hold_new_copies.unwrap_or(self.hold_new_copies);
        self.list_page = change.list_page.unwrap_or(self.list_page).max(1);
        self.empty_list_pages = change.empty_list_pages.unwrap_or(self.empty_list_pages);
        self.rename_part = change.rename_part.or(self.rename_part);
        self.delete_part = change.delete_part.or(self.delete_part);
        self.firewall = change.firewall.unwrap_or(self.firewall);
    }
}

/// Everything the server remembers.
#[derive(Debug)]
pub(super) struct State {
    pub clock: Clock,
    pub ticks: Ticks,
    pub accounts: BTreeMap<String, BTreeMap<String, Container>>,
    /// Accounts that keep versions of their blobs.
    pub versioned: BTreeSet<String>,
    /// Containers that are not quite gone: account and name (S154).
    pub deleting: BTreeSet<(String, String)>,
    /// Directories that a delete over DFS has begun to take away and has not ended (S199).
    pub deleting_paths: BTreeSet<BlobAddress>,
    /// Accounts that keep what is deleted, and for how many days.
    pub soft_delete: BTreeMap<String, u32>,
    pub deleted_containers: Vec<DeletedContainer>,
    /// Files of Azure Files by account, share and path: copy sources and nothing else.
    pub files: BTreeMap<BlobAddress, Blob>,
    pub copies: Copies,
    /// The kind of namespace of all accounts, as the server has it.
    pub namespace: Namespace,
    pub answers: Answers,
    pub policy: Policy,
    /// How far the clock of retention is ahead.
    pub retention_ahead: Duration,
}

impl State {
    pub(super) fn is_hierarchical(&self) -> bool {
        self.namespace == Namespace::Hierarchical
    }

    pub(super) fn containers(&mut self, account: &str) -> Result<&mut BTreeMap<String, Container>, ServiceError> {
        self.accounts.get_mut(account).ok_or_else(|| Code::ResourceNotFound.into())
    }

    pub(super) fn container(&mut self, account: &str, container: &str) -> Result<&mut Container, ServiceError> {
        let made = (container == WEB).then(|| (self.ticks.next(), self.clock.now()));
        let containers = self.containers(account)?;
        if let Some((ticks, now)) = made {
            let made = || Container::new(ETag::from_ticks(ticks), now);
            return Ok(containers.entry(container.to_owned()).or_insert_with(made));
        }
        containers.get_mut(container).ok_or_else(|| Code::ContainerNotFound.into())
    }

    /// The name's entry, or `None` if nothing was ever written there. The container must exist.
    pub(super) fn find(&mut self, address: &BlobAddress) -> Result<Option<&mut Entry>, ServiceError> {
        Ok(self.container(&address.account, &address.container)?.blobs.get_mut(&address.blob))
    }

    /// The entry of a committed blob.
    pub(super) fn entry(&mut self, address: &BlobAddress) -> Result<&mut Entry, ServiceError> {
        match self.find(address)? {
            Some(entry) if entry.base.is_some() || !entry.snapshots.is_empty() || !entry.versions.is_empty() => {
                Ok(entry)
            }
            _ => Err(Code::BlobNotFound.into()),
        }
    }

    /// The name's entry, made if it is not there.
    pub(super) fn entry_or_new(&mut self, address: &BlobAddress) -> Result<&mut Entry, ServiceError> {
        if self.is_hierarchical() {
            self.make_parents(address)?;
        }
        let versioned = self.versioned.contains(&address.account);
        let container = self.container(&address.account, &address.container)?;
        let entry = container.blobs.entry(address.blob.clone()).or_default();
        entry.versioned = versioned;
        Ok(entry)
    }

    /// A blob, snapshot or version for reading: lease id and conditions of `call` hold for it.
    pub(super) fn readable(&mut self, call: &Call) -> Result<(&Entry, &Blob), ServiceError> {
        let now = call.now;
        let entry = &*self.entry(call.blob()?)?;
        let blob = entry.at(&call.revision()).ok_or(Code::BlobNotFound)?;
        entry.lease.at(now).check_read(lease_id(call)?, Holder::Blob)?;
        Conditions::of_target(call)?.check_read(blob)?;
        Ok((entry, blob))
    }

    /// The current blob of a name for changing it in place, admitted by [`State::admit`].
    pub(super) fn writable(&mut self, call: &Call) -> Result<&mut Blob, ServiceError> {
        let address = call.blob()?;
        if self.find(address)?.is_none_or(|entry| entry.base.is_none()) {
            return Err(Code::BlobNotFound.into());
        }
        self.admit(call)?;
        if let Some(base) = &self.entry(address)?.base {
            encryption::check(base, call)?;
        }
        self.entry(address)?.base.as_mut().ok_or_else(|| Code::BlobNotFound.into())
    }

    /// Checks what every write needs before it changes the name in `call`: no copy is under way there (C9), no snapshot
    /// is meant, the lease id fits (§12) and the conditions hold (§5).
    pub(super) fn admit(&mut self, call: &Call) -> Result<(), ServiceError> {
        self.check_free(call)?;
        self.check_conditions(call, self.answers.lease_guard == LeaseGuard::EveryWrite)
    }

    /// The same for a blob that replaces what is there.
    pub(super) fn admit_whole(&mut self, call: &Call) -> Result<(), ServiceError> {
        self.check_free(call)?;
        let put_blob = !call.headers.contains_key("x-ms-copy-source");
        let lease = self.find(call.blob()?)?.map_or(Lease::default(), |entry| entry.lease.at(call.now));
        let overrules = match self.answers.lease_guard {
            LeaseGuard::FinitePutBlob => put_blob && lease.ends(),
            LeaseGuard::PutBlob => put_blob,
            LeaseGuard::EveryWrite => true,
        };
        self.check_conditions(call, overrules)?;
        self.check_overwrite(call)
    }

    /// The same for what replaces a blob by another operation than Put Blob.
    pub(super) fn admit_replacing(&mut self, call: &Call) -> Result<(), ServiceError> {
        self.admit(call)?;
        self.check_overwrite(call)
    }

    /// `overrules`: the id of the lease, if it was sent, counts for more than that there must be no blob (S58).
    fn check_conditions(&mut self, call: &Call, overrules: bool) -> Result<(), ServiceError> {
        let mut conditions = Conditions::of_target(call)?;
        if overrules && lease_id(call)?.is_some() {
            conditions.allow_existing();
        }
        let base = self.find(call.blob()?)?.and_then(|entry| entry.base.as_ref());
        conditions.check_write(base)?;
        self.settle_lease(call)
    }

    /// Refuses to replace what is there by a SAS that may only create. Deleting and appending have letters of their own.
    fn check_overwrite(&mut self, call: &Call) -> Result<(), ServiceError> {
        match self.find(call.blob()?)?.is_some_and(|entry| entry.base.is_some()) && call.may_only_create() {
            true => Err(Code::UnauthorizedBlobOverwrite.into()),
            false => Ok(()),
        }
    }

    /// The same for Delete Blob.
    pub(super) fn admit_delete(&mut self, call: &Call) -> Result<(), ServiceError> {
        call.refuse_revision()?;
        if let Some(base) = self.find(call.blob()?)?.and_then(|entry| entry.base.as_ref()) {
            call.check_settled(base)?;
        }
        check_lease(self.find(call.blob()?)?, call)?;
        self.check_conditions(call, false)
    }

    /// The same for the operations that take no conditional headers.
    pub(super) fn admit_unconditionally(&mut self, call: &Call) -> Result<(), ServiceError> {
        self.check_free(call)?;
        self.settle_lease(call)
    }

    fn check_free(&mut self, call: &Call) -> Result<(), ServiceError> {
        call.refuse_revision()?;
        check_kept(self, call)?;
        if self.find(call.blob()?)?.and_then(|entry| entry.base.as_ref()).is_some_and(Blob::is_pending) {
            return Err(Code::PendingCopyOperation.into());
        }
        check_lease(self.find(call.blob()?)?, call)
    }

    /// An admitted write ends an expired or broken lease for good.
    fn settle_lease(&mut self, call: &Call) -> Result<(), ServiceError> {
        if let Some(entry) = self.find(call.blob()?)? {
            entry.lease = entry.lease.at(call.now).after_write();
        }
        Ok(())
    }

    /// Makes the directories above a path. 409 where one of them is a file.
    fn make_parents(&mut self, address: &BlobAddress) -> Result<(), ServiceError> {
        for (at, _) in address.blob.match_indices('/') {
            let parent = BlobAddress { blob: address.blob[..at].to_owned(), ..address.clone() };
            match self.find(&parent)? {
                Some(entry) if entry.is_directory() => {}
                Some(Entry { base: Some(_), .. }) => return Err(Code::PathConflict.into()),
                _ => {
                    let directory = Blob::directory(self.ticks.next(), self.clock.now());
                    let blobs = &mut self.container(&parent.account, &parent.container)?.blobs;
                    blobs.entry(parent.blob).or_default().supersede(directory);
                }
            }
        }
        Ok(())
    }

    /// Whether there are paths below this one.
    pub(super) fn has_below(&mut self, address: &BlobAddress) -> Result<bool, ServiceError> {
        Ok(!self.below(address, 1)?.is_empty())
    }

    /// The first names below a path.
    pub(super) fn below(&mut self, address: &BlobAddress, most: usize) -> Result<Vec<String>, ServiceError> {
        let (first, end) = (format!("{}/", address.blob), format!("{}{AFTER_SLASH}", address.blob));
        let range = (Bound::Included(first.as_str()), Bound::Excluded(end.as_str()));
        let blobs = &self.container(&address.account, &address.container)?.blobs;
        Ok(blobs.range::<str, _>(range).take(most).map(|(name, _)| name.clone()).collect())
    }
}

/// The lease id of a write (§12).
pub(super) fn check_lease(entry: Option<&mut Entry>, call: &Call) -> Result<(), ServiceError> {
    let given = lease_id(call)?;
    let Some(entry) = entry else {
        return if given.is_some() { Err(Code::LeaseNotPresentWithBlobOperation.into()) } else { Ok(()) };
    };
    let lease = entry.lease.at(call.now);
    lease.check_write(given, Holder::Blob).map_err(|code| match (code, lease, call.answers.broken_lease) {
        (Code::LeaseLost, Lease::Broken { .. }, CodeOfBrokenLease::NotPresent) => {
            Code::LeaseNotPresentWithBlobOperation.into()
        }
        _ => code.into(),
    })
}

/// Whether an account's blobs keep a tier that was chosen when they are replaced without one (S102, S103).
pub(super) fn keeps_chosen_tier(state: &State, account: &str) -> bool {
    state.answers.chosen_tier == ChosenTier::Always || state.versioned.contains(account)
}

/// The moment by which it is judged whether something is still kept.
pub(super) fn retention_clock(state: &State, now: SystemTime) -> SystemTime {
    now + state.retention_ahead
}

/// 409 if the blob that the request is about is kept from what it wants.
pub(super) fn check_kept(state: &mut State, call: &Call) -> Result<(), ServiceError> {
    check_kept_at(state, call, call.blob()?, &call.revision())
}

/// The same of another blob that the request changes.
pub(super) fn check_kept_at(
    state: &mut State,
    call: &Call,
    address: &BlobAddress,
    revision: &Revision,
) -> Result<(), ServiceError> {
    let (now, answers) = (retention_clock(state, call.now), state.answers);
    let container = state.container(&address.account, &address.container)?;
    let blob = container.blobs.get(&address.blob).and_then(|entry| entry.at(revision));
    immutable::check(&container.rules, call, blob, now, &answers)
}
