//! Hierarchical namespaces: directories that exist by themselves, and rename (§14).
//!
//! A directory is an entry of its own, which the Blob endpoint shows as a blob of no bytes that says `hdi_isfolder`. Whoever puts a blob
//! makes the directories above it. [`rename`] moves entries as they are, with snapshots and lease; the path that is renamed gets another
//! ETag and time, and what is below it does not. Access lists are not kept, so one request moves everything, unless the tests want
//! it in parts.

use std::ops::Bound;
use std::time::SystemTime;

use hyper::StatusCode;

use super::condition::Conditions;
use super::error::{Code, ServiceError};
use super::lease::Holder;
use super::model::{Blob, Entry, Revision};
use super::operation::Operation;
use super::reply::{Outcome, Reply};
use super::request::{BlobAddress, Call, Query, Target, target};
use super::sas::{Sas, Service};
use super::server::Server;
use super::state::{State, lease_id, uuid_header};

/// Letters of a SAS that let a path be moved away.
const MOVE: &str = "md";

/// What a rename that is not done says, and gets back.
const UNFINISHED: &str = "the-rest";

/// Comes after `/` in the order of names.
const AFTER_SLASH: char = '0';

impl State {
    /// Makes the directories above a path. 409 where one of them is a file.
    pub fn make_parents(&mut self, address: &BlobAddress) -> Result<(), ServiceError> {
        for (at, _) in address.blob.match_indices('/') {
            let parent = BlobAddress { blob: address.blob[..at].to_owned(), ..address.clone() };
            match self.find(&parent)? {
                Some(entry) if entry.is_directory() => {}
                Some(Entry { base: Some(_), .. }) => return Err(Code::PathConflict.into()),
                _ => {
                    let directory = Blob::directory(self.ticks.next(), SystemTime::now());
                    let blobs = &mut self.container(&parent.account, &parent.container)?.blobs;
                    blobs.entry(parent.blob).or_default().supersede(directory);
                }
            }
        }
        Ok(())
    }

    /// Whether there are paths below this one.
    pub fn has_below(&mut self, address: &BlobAddress) -> Result<bool, ServiceError> {
        Ok(!self.below(address, 1)?.is_empty())
    }

    /// The first names below a path.
    fn below(&mut self, address: &BlobAddress, most: usize) -> Result<Vec<String>, ServiceError> {
        let (first, end) = (format!("{}/", address.blob), format!("{}{AFTER_SLASH}", address.blob));
        let range = (Bound::Included(first.as_str()), Bound::Excluded(end.as_str()));
        let blobs = &self.container(&address.account, &address.container)?.blobs;
        Ok(blobs.range::<str, _>(range).take(most).map(|(name, _)| name.clone()).collect())
    }

    fn take(&mut self, address: &BlobAddress) -> Result<Entry, ServiceError> {
        let blobs = &mut self.container(&address.account, &address.container)?.blobs;
        blobs.remove(&address.blob).ok_or_else(|| Code::SourcePathNotFound.into())
    }

    fn place(&mut self, address: &BlobAddress, entry: Entry) -> Result<(), ServiceError> {
        let blobs = &mut self.container(&address.account, &address.container)?.blobs;
        blobs.insert(address.blob.clone(), entry);
        Ok(())
    }

    /// 404 unless the directory that the path is to be in exists.
    fn check_parent(&mut self, address: &BlobAddress) -> Result<(), ServiceError> {
        let Some((parent, _)) = address.blob.rsplit_once('/') else { return Ok(()) };
        let parent = BlobAddress { blob: parent.to_owned(), ..address.clone() };
        match self.find(&parent)? {
            Some(entry) if entry.is_directory() => Ok(()),
            Some(Entry { base: Some(_), .. }) => Err(Code::PathConflict.into()),
            _ => Err(Code::RenameDestinationParentPathNotFound.into()),
        }
    }
}

/// Path Create with `x-ms-rename-source`.
pub(super) fn rename(server: &Server, call: &Call) -> Outcome {
    if !matches!(call.query.get("mode"), None | Some("posix")) {
        return Err(Code::NotImplemented.into());
    }
    let (to, from) = (call.blob()?, source(server, call)?);
    let goes_on = match call.query.nonempty("continuation") {
        None => false,
        Some(UNFINISHED) => true,
        Some(other) => return Err(ServiceError::invalid_query("continuation", other)),
    };
    let mut state = server.state(call.now);
    if !state.hierarchical {
        return Err(Code::NotImplemented.into());
    }
    for address in [to, &from] {
        state.container(&address.account, &address.container).map_err(|_| Code::FilesystemNotFound)?;
    }
    if *to == from || (to.container == from.container && to.blob.starts_with(&format!("{}/", from.blob))) {
        return Err(Code::InvalidRenameSourcePath.into());
    }
    let directory = check_source(&mut state, call, &from)?;
    if !goes_on {
        state.check_parent(to)?;
        check_destination(&mut state, call, to, directory)?;
    }
    let most = state.policy.rename_part.unwrap_or(usize::MAX);
    let part = if directory { state.below(&from, most)? } else { Vec::new() };
    for name in &part {
        let entry = state.take(&BlobAddress { blob: name.clone(), ..from.clone() })?;
        let renamed = format!("{}{}", to.blob, &name[from.blob.len()..]);
        state.place(&BlobAddress { blob: renamed, ..to.clone() }, entry)?;
    }
    if directory && state.has_below(&from)? {
        return Ok(Reply::new(StatusCode::CREATED).header("x-ms-continuation", UNFINISHED));
    }
    let mut entry = state.take(&from)?;
    let ticks = state.ticks.next();
    let mut reply = Reply::new(StatusCode::CREATED);
    if let Some(base) = &mut entry.base {
        base.touch(ticks, call.now);
        reply = reply.stamp(base);
    }
    state.place(to, entry)?;
    Ok(reply)
}

/// What `x-ms-rename-source` names, if whoever asks may move it.
fn source(server: &Server, call: &Call) -> Result<BlobAddress, ServiceError> {
    let text = call.header("x-ms-rename-source").ok_or_else(|| ServiceError::missing_header("x-ms-rename-source"))?;
    let invalid = || ServiceError::invalid_header("x-ms-rename-source", &super::request::redact(text));
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let rest = path.strip_prefix('/').ok_or_else(invalid)?;
    let named = target(&call.account, rest, None, None)?;
    if call.sas.is_some() || !query.is_empty() {
        let key = server.key(&call.account).ok_or(Code::ResourceNotFound)?;
        let query = Query::parse(query);
        let sas = Sas::parse(&query, Service::Blob)?;
        sas.verify(&call.account, &named, &Revision::Current, key, call.now)?;
        sas.allows(Operation::RenamePath, MOVE)?;
    }
    match named {
        Target::Blob(address) => Ok(address),
        _ => Err(invalid()),
    }
}

/// Whether the source is a directory. Nothing that is being copied to is moved.
fn check_source(state: &mut State, call: &Call, from: &BlobAddress) -> Result<bool, ServiceError> {
    let entry = state.find(from)?.ok_or(Code::SourcePathNotFound)?;
    let base = entry.base.as_ref().ok_or(Code::SourcePathNotFound)?;
    Conditions::of_source(call)?.check_source(base)?;
    let directory = base.is_directory();
    let mut pending = base.is_pending();
    entry.lease.at(call.now).check_write(uuid_header(call, "x-ms-source-lease-id")?, Holder::Blob)?;
    if directory {
        for name in state.below(from, usize::MAX)? {
            let below = state.find(&BlobAddress { blob: name, ..from.clone() })?;
            pending |= below.and_then(|entry| entry.base.as_ref()).is_some_and(Blob::is_pending);
        }
    }
    if pending { Err(Code::PendingCopyOperation.into()) } else { Ok(directory) }
}

/// Whether the destination may be replaced. A lease on it is broken.
fn check_destination(state: &mut State, call: &Call, to: &BlobAddress, directory: bool) -> Result<(), ServiceError> {
    let entry = state.find(to)?;
    let base = entry.as_ref().and_then(|entry| entry.base.as_ref());
    Conditions::of_target(call)?.check_write(base).map_err(|error| match error.code.as_ref() {
        "BlobAlreadyExists" => ServiceError::from(Code::PathAlreadyExists),
        _ => error,
    })?;
    let (Some(entry), Some(base)) = (&entry, base) else { return Ok(()) };
    if call.may_only_create() && !call.sas.as_deref().is_some_and(|letters| letters.contains('m')) {
        return Err(Code::UnauthorizedBlobOverwrite.into());
    }
    if base.is_directory() != directory {
        return Err(Code::InvalidSourceOrDestinationResourceType.into());
    }
    if base.is_pending() {
        return Err(Code::PendingCopyOperation.into());
    }
    // They would be lost without anybody having said so.
    if !entry.snapshots.is_empty() {
        return Err(Code::SnapshotsPresent.into());
    }
    if let Some(given) = lease_id(call)? {
        entry.lease.at(call.now).check_write(Some(given), Holder::Blob)?;
    }
    if directory && state.has_below(to)? {
        return Err(Code::DirectoryNotEmpty.into());
    }
    Ok(())
}
