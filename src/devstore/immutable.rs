//! Immutable storage: what containers keep from being changed, and what single versions of blobs do (S109 to S115,
//! S185 to S191).
//!
//! A container may have a time-based policy, which keeps each blob for so many days from its creation, and a legal hold,
//! which keeps all of them until it is lifted; both are set by the control interface alone, as they are by the
//! management interface of the real service. Either refuses what would change a blob that exists and lets new names be
//! made ([`Change`]). In a container with version-level immutability nothing is refused for the container's sake;
//! there each version has a policy and a hold of its own.
//!
//! Days pass by the clock of retention, which is the real one plus what
//! [`Devstore::age_retention`](super::Devstore::age_retention) has added.

use std::time::{Duration, SystemTime};

use super::answers::{Answers, ImmutableAttributes, ImmutableCopy, ProtectedMetadata};
use super::clock::whole_seconds;
use super::error::{Code, ServiceError};
use super::model::Blob;
use super::operation::Operation;
use super::protection::{HOLD, Immutability, MODE, Protection, UNTIL, Until};
use super::request::Call;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What is to be done to a blob that exists, as far as it matters to what keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Delete,
    /// New content, or a snapshot: everything that S188 lists and that is not told apart here.
    Write,
    Metadata,
    /// A block at the end of an append blob.
    Append,
    /// Content that is changed in place.
    InPlace,
    /// Tier, tags, lease: what the documentation does not list (S110).
    Attach,
    /// Another name (S188).
    Rename,
}

impl Change {
    /// `None` of what changes nothing.
    fn of(operation: Operation) -> Option<Change> {
        use Operation::*;
        Some(match operation {
            DeleteBlob => Change::Delete,
            PutBlob | PutBlobFromURL | PutBlock | PutBlockFromURL | PutBlockList | CopyBlob | CopyBlobFromURL
            | SetBlobProperties | SnapshotBlob | IncrementalCopyBlob => Change::Write,
            SetBlobMetadata => Change::Metadata,
            AppendBlock | AppendBlockFromURL => Change::Append,
            PutPage | PutPageFromURL | AppendBlobSeal => Change::InPlace,
            SetBlobTier | SetBlobTags | LeaseBlob => Change::Attach,
            RenamePath => Change::Rename,
            _ => return None,
        })
    }
}

/// 409 unless the container may be deleted (S113).
pub(super) fn check_deletion(rules: &Immutability, has_blobs: bool) -> Result<(), ServiceError> {
    let refused = [
        (rules.versions, Code::ContainerImmutableStorageWithVersioningEnabled),
        (rules.legal_hold && has_blobs, Code::ContainerHasLegalHold),
        (rules.has_policy() && rules.locked && has_blobs, Code::ContainerImmutabilityPolicyLocked),
    ];
    refused.into_iter().find(|(refused, _)| *refused).map_or(Ok(()), |(_, code)| Err(code.into()))
}

/// 409 if a blob of a container with these rules is kept from what the request wants of it at `now`. A name without
/// blob is free, but for Copy Blob, of which nobody knows whether it may make one (S110).
pub(super) fn check(
    rules: &Immutability,
    call: &Call,
    blob: Option<&Blob>,
    now: SystemTime,
    answers: &Answers,
) -> Result<(), ServiceError> {
    let operation = Operation::of(call)?;
    let Some(change) = Change::of(operation) else { return Ok(()) };
    if rules.versions {
        return blob.map_or(Ok(()), |blob| check_version(&blob.protection, change, now, answers));
    }
    if blob.is_none() && !(operation == Operation::CopyBlob && answers.immutable_copy == ImmutableCopy::Refused) {
        return Ok(());
    }
    if change == Change::Attach && answers.immutable_attributes == ImmutableAttributes::Allowed {
        return Ok(());
    }
    if rules.legal_hold {
        return Err(Code::BlobImmutableDueToLegalHold.into());
    }
    let Some(days) = rules.days else { return Ok(()) };
    let expired = blob.is_some_and(|blob| now >= blob.created + DAY * days);
    match change {
        Change::Append if rules.appends => Ok(()),
        // S189: everything else stays refused.
        Change::Delete if expired => Ok(()),
        _ => Err(Code::BlobImmutableDueToPolicy.into()),
    }
}

/// The content of a version is never changed (S190); what makes another version of it is none of its affair.
fn check_version(
    protection: &Protection,
    change: Change,
    now: SystemTime,
    answers: &Answers,
) -> Result<(), ServiceError> {
    let refused = match change {
        Change::Delete | Change::Append | Change::InPlace | Change::Rename => true,
        Change::Metadata => answers.protected_metadata == ProtectedMetadata::Refused,
        Change::Write | Change::Attach => false,
    };
    if refused && protection.hold == Some(true) {
        return Err(Code::BlobImmutableDueToLegalHold.into());
    }
    if refused && protection.until.is_some_and(|until| until.time > now) {
        return Err(Code::BlobImmutableDueToPolicy.into());
    }
    Ok(())
}

/// What a request says of the blob that it makes, or of the version that it is about.
pub(super) fn sent(call: &Call) -> Result<Protection, ServiceError> {
    let until = match (call.header(UNTIL), call.header(MODE)) {
        (None, None) => None,
        (None, Some(_)) => return Err(ServiceError::missing_header(UNTIL)),
        (Some(date), mode) => {
            let time = httpdate::parse_http_date(date).map_err(|_| ServiceError::invalid_header(UNTIL, date))?;
            let locked = match mode.map(str::to_lowercase).as_deref() {
                None | Some("unlocked") => false,
                Some("locked") => true,
                Some(other) => return Err(ServiceError::invalid_header(MODE, other)),
            };
            Some(Until { time: whole_seconds(time), locked })
        }
    };
    let hold = match call.header(HOLD) {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(other) => return Err(ServiceError::invalid_header(HOLD, other)),
    };
    Ok(Protection { until, hold })
}
