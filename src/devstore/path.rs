//! Hierarchical namespaces: directories that exist by themselves, and rename (§14).
//!
//! A directory is an entry of its own, which the Blob endpoint shows as a blob of no bytes that says `hdi_isfolder`.
//! Whoever puts a blob makes the directories above it. [`rename`] moves entries as they are, with lease, ETag and times
//! (S116). Access lists are not kept, so one request moves everything, unless the tests want it in parts. Snapshots
//! there are none (S192).

use hyper::StatusCode;

use super::address::{BlobAddress, Query, Revision, Service, Target, target};
use super::answers::{CodeOfWrongType, RenameStamp, ReplacedLease};
use super::condition::Conditions;
use super::error::{Code, ServiceError};
use super::headers::{lease_id, uuid_header};
use super::lease::Holder;
use super::model::{Blob, Entry};
use super::operation::Operation;
use super::reply::{Outcome, Reply};
use super::request::Call;
use super::sas::Sas;
use super::server::Server;
use super::state::{State, check_kept_at};
use super::versions::RENAME_STAMPS;

/// Letters of a SAS that let a path be moved away.
const MOVE: &str = "md";

/// The continuation of a rename that is not done, as it is sent and comes back.
pub(super) const UNFINISHED: &str = "the-rest";

impl State {
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

/// The fate of a directory whose new name is that of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// It goes inside (S118), also if there is something in that already (S196).
    Posix,
    /// It takes its place if that is empty (S119, S120).
    Legacy,
}

impl Mode {
    fn of(call: &Call) -> Result<Mode, ServiceError> {
        match call.query.get("mode") {
            None | Some("posix") => Ok(Mode::Posix),
            Some("legacy") => Ok(Mode::Legacy),
            Some(other) => Err(ServiceError::invalid_query("mode", other)),
        }
    }
}

/// Path Create with `x-ms-rename-source`.
pub(super) fn rename(server: &Server, call: &Call) -> Outcome {
    let mode = Mode::of(call)?;
    let (asked, from) = (call.blob()?, source(server, call)?);
    let goes_on = match call.query.nonempty("continuation") {
        None => false,
        Some(UNFINISHED) => true,
        Some(other) => return Err(ServiceError::invalid_query("continuation", other)),
    };
    let mut state = server.state(call.now);
    if !state.is_hierarchical() {
        return Err(Code::NotImplemented.into());
    }
    for address in [asked, &from] {
        state.container(&address.account, &address.container).map_err(|_| Code::FilesystemNotFound)?;
    }
    if asked.is_in(&from) {
        return Err(Code::InvalidRenameSourcePath.into());
    }
    if !goes_on {
        refuse_half_deleted(&state, &from, asked)?;
    }
    let directory = check_source(&mut state, call, &from)?;
    check_kept_at(&mut state, call, &from, &Revision::Current)?;
    if !goes_on {
        state.check_parent(asked)?;
        check_conditions(&mut state, call, asked)?;
    }
    let to = &match directory && mode == Mode::Posix && state.find(asked)?.is_some_and(|entry| entry.is_directory()) {
        true => inside(&mut state, asked, &from, goes_on)?,
        false => asked.clone(),
    };
    if !goes_on {
        check_kept_at(&mut state, call, to, &Revision::Current)?;
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
    let entry = state.take(&from)?;
    let mut reply = Reply::new(StatusCode::CREATED);
    // S117
    let tells = call.version() >= RENAME_STAMPS && call.answers.rename_stamp == RenameStamp::ByVersion;
    if let Some(base) = entry.base.as_ref().filter(|_| tells) {
        reply = reply.stamp(base);
    }
    state.place(to, entry)?;
    Ok(reply)
}

/// 409 for what a delete that is not done yet takes away, and for names in it (S199).
fn refuse_half_deleted(state: &State, from: &BlobAddress, to: &BlobAddress) -> Result<(), ServiceError> {
    for (address, code) in [(from, Code::SourcePathIsBeingDeleted), (to, Code::DestinationPathIsBeingDeleted)] {
        if state.deleting_paths.iter().any(|deleting| address.is_in(deleting)) {
            return Err(code.into());
        }
    }
    Ok(())
}

/// The code that the Blob endpoint gives where the other one says `PathConflict` (S141).
pub(super) fn at_the_blob_endpoint(server: &Server, error: ServiceError) -> ServiceError {
    match (error.code.as_ref(), server.answers.wrong_type) {
        ("PathConflict", CodeOfWrongType::Mismatch) => ServiceError { code: "ResourceTypeMismatch".into(), ..error },
        ("PathConflict", CodeOfWrongType::Unknown) => error.with_unknown_code(),
        _ => error,
    }
}

/// The name of a directory that is renamed into another. What the service says to a name that is taken there is not
/// known.
fn inside(
    state: &mut State,
    directory: &BlobAddress,
    from: &BlobAddress,
    goes_on: bool,
) -> Result<BlobAddress, ServiceError> {
    let name = from.blob.rsplit_once('/').map_or(from.blob.as_str(), |(_, name)| name);
    let to = BlobAddress { blob: format!("{}/{name}", directory.blob), ..directory.clone() };
    match state.find(&to)? {
        Some(_) if !goes_on => Err(Code::PathAlreadyExists.into()),
        _ => Ok(to),
    }
}

/// The blob that `x-ms-rename-source` names, if whoever asks may move it.
fn source(server: &Server, call: &Call) -> Result<BlobAddress, ServiceError> {
    let text = call.required("x-ms-rename-source")?;
    let invalid = || ServiceError::invalid_header("x-ms-rename-source", &super::address::redact(text));
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let rest = path.strip_prefix('/').ok_or_else(invalid)?;
    let named = target(server.namespace, &call.account, rest, None, None)?;
    if call.sas.is_some() || !query.is_empty() {
        let key = server.key(&call.account).ok_or(Code::ResourceNotFound)?;
        let query = Query::parse(query);
        let sas = Sas::parse(&query, Service::Blob)?;
        sas.verify(&call.account, &named, &Revision::Current, &key.0, call.now)?;
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
    let directory = base.directory;
    let mut pending = base.is_pending();
    entry.lease.at(call.now).check_write(uuid_header(call, "x-ms-source-lease-id")?, Holder::Blob)?;
    if directory {
        for name in state.below(from, usize::MAX)? {
            let address = BlobAddress { blob: name, ..from.clone() };
            check_kept_at(state, call, &address, &Revision::Current)?;
            let below = state.find(&address)?;
            pending |= below.and_then(|entry| entry.base.as_ref()).is_some_and(Blob::is_pending);
        }
    }
    if pending { Err(Code::PendingCopyOperation.into()) } else { Ok(directory) }
}

/// The conditions on what is under the new name.
fn check_conditions(state: &mut State, call: &Call, to: &BlobAddress) -> Result<(), ServiceError> {
    let base = state.find(to)?.and_then(|entry| entry.base.as_ref());
    Conditions::of_target(call)?.check_write(base).map_err(|error| match error.code.as_ref() {
        // S121
        "BlobAlreadyExists" => ServiceError::from(Code::PathAlreadyExists),
        _ => error,
    })
}

/// Whether the destination may be replaced.
fn check_destination(state: &mut State, call: &Call, to: &BlobAddress, directory: bool) -> Result<(), ServiceError> {
    let Some((entry, base)) = state.find(to)?.and_then(|entry| Some((&*entry, entry.base.as_ref()?))) else {
        return Ok(());
    };
    if call.may_only_create() && !call.sas.as_deref().is_some_and(|letters| letters.contains('m')) {
        return Err(Code::UnauthorizedBlobOverwrite.into());
    }
    if base.directory != directory {
        return Err(Code::InvalidSourceOrDestinationResourceType.into());
    }
    if base.is_pending() {
        return Err(Code::PendingCopyOperation.into());
    }
    let given = lease_id(call)?;
    if given.is_some() || call.answers.replaced_lease == ReplacedLease::Refuses {
        entry.lease.at(call.now).check_write(given, Holder::Blob)?;
    }
    if directory && state.has_below(to)? {
        return Err(Code::DirectoryNotEmpty.into());
    }
    Ok(())
}
