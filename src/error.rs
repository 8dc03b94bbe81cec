//! One error type, one errno table.
//!
//! Everything below the command line fails with [`Error`], which says what was asked of whom and why it did not happen;
//! [`Error::errno`] is the only place where that becomes a number for a caller of a system call. The table follows
//! specification §4.2 and §4.3 row by row, and `tests` below has a case for every row.
//!
//! Three errnos must never leave through `copy_file_range` for a real failure, because cp takes them as an invitation
//! to move the data itself (EOPNOTSUPP, EXDEV, EINVAL, EPERM, ETXTBSY) or spins on them (EINTR);
//! [`Error::errno_of_copy`] maps them away.

use std::fmt;

use crate::path::NameError;

/// The result of whatever can fail here.
pub type Result<T> = std::result::Result<T, Error>;

/// The answer of the service to a request that it refused.
#[derive(Debug, Clone)]
pub struct ServiceError {
    /// REST operation, as in the reference: `CopyBlob`.
    pub operation: &'static str,
    /// `account/container/blob`, never a URL with a query.
    pub target: String,
    /// HTTP status.
    pub status: u16,
    /// `x-ms-error-code` or the body's `<Code>`; empty when the service gave none.
    pub code: String,
    /// First line of the body's `<Message>`.
    pub message: String,
    /// The cause that the service names besides: the times of a SAS and its own (S145), or the API version that it does
    /// not know (S151). Empty if it names none that may be shown.
    pub detail: String,
    /// `x-ms-request-id`.
    pub request_id: String,
    /// Status and code of the copy source's own answer, on operations that read one.
    pub copy_source: Option<(u16, String)>,
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.operation, self.target, self.status)?;
        for part in [&self.code, &self.message] {
            if !part.is_empty() {
                write!(f, " {part}")?;
            }
        }
        if !self.detail.is_empty() {
            write!(f, " ({})", self.detail)?;
        }
        if let Some((status, code)) = &self.copy_source {
            write!(f, " (copy source: {status} {code})")?;
        }
        if !self.request_id.is_empty() {
            write!(f, " [request id {}]", self.request_id)?;
        }
        Ok(())
    }
}

/// The end of a server-side copy that did not end well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "an id is the copy's, a description the service's")]
pub enum CopyFailure {
    /// Status `failed`; the service's description, as in §13.5.
    #[error("copy {id} failed: {description}")]
    Failed { id: String, description: String },
    /// Status `aborted`.
    #[error("copy {id} was aborted")]
    Aborted { id: String },
    /// The destination shows another copy id, or none (X16): what became of ours is unknown.
    #[error("copy {id} was replaced by another writer")]
    Replaced { id: String },
}

/// Any failure of blobcp, from a bad name to a refused request.
#[derive(Debug, Clone, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields of a variant are")]
pub enum Error {
    /// The service answered and refused.
    #[error("{0}")]
    Service(Box<ServiceError>),
    /// No usable answer came, after all retries: connect, reset, time-out, damaged body.
    #[error("{operation} {target}: {detail}")]
    Transport { operation: &'static str, target: String, detail: String, timed_out: bool },
    /// A copy that ended otherwise than well.
    #[error("{target}: {failure}")]
    Copy { target: String, failure: CopyFailure },
    /// A name that no blob can have.
    #[error("{0}")]
    Name(#[from] NameError),
    /// Nothing has that name, as far as is known here.
    #[error("{what}")]
    NotFound { what: String },
    /// What was meant is not there any more: another client was faster.
    #[error("{what}")]
    Stale { what: String },
    /// A copy onto the target is pending (X9 to X13).
    #[error("{target}: a copy onto it is pending")]
    CopyPending { target: String },
    /// No copy onto the target is pending that could be aborted (X12).
    #[error("{target}: no copy is pending")]
    NoPendingCopy { target: String },
    /// The caller has a signal to look at. What it waited for goes on.
    #[error("interrupted while {during}")]
    Interrupted { during: &'static str },
    /// A copy cannot change the type of a blob (C7, C21).
    #[error("{what}")]
    OtherType { what: String },
    /// The filesystem does not do that, for any blob and at any time.
    #[error("{what}")]
    Unsupported { what: String },
    /// The same, known to be about the source of a copy and not about its destination.
    #[error("{0}")]
    OfTheSource(Box<Error>),
    /// Another condition of the filesystem, on which nothing here depends: the errno and what it is about.
    #[error("{what}")]
    Fs { errno: i32, what: String },
}

/// What is not there is no error for whoever asks whether it is.
pub trait OptionalExtension<T> {
    /// `None` for an error that [says so](Error::is_not_found).
    fn optional(self) -> Result<Option<T>>;
}

impl<T> OptionalExtension<T> for Result<T> {
    fn optional(self) -> Result<Option<T>> {
        match self {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Error {
    /// A filesystem condition with its errno (a `libc::E*` constant).
    pub fn fs(errno: i32, what: impl Into<String>) -> Self {
        Self::Fs { errno, what: what.into() }
    }

    /// [`Error::NotFound`].
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    /// Nothing of that name is in the service, as far as is known here.
    pub fn not_in_the_service(name: impl fmt::Display) -> Self {
        Self::not_found(format!("{name} is not in the service"))
    }

    /// [`Error::Stale`].
    pub fn stale(what: impl Into<String>) -> Self {
        Self::Stale { what: what.into() }
    }

    /// [`Error::Unsupported`].
    pub fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }

    /// [`Error::CopyPending`].
    pub fn copy_pending(target: impl fmt::Display) -> Self {
        Self::CopyPending { target: target.to_string() }
    }

    /// The service's error code, or "" when this is not a service error.
    pub fn code(&self) -> &str {
        match self {
            Self::Service(e) => &e.code,
            Self::OfTheSource(error) => error.code(),
            _ => "",
        }
    }

    /// The HTTP status of a refusal, or 0.
    pub fn status(&self) -> u16 {
        match self {
            Self::Service(e) => e.status,
            Self::OfTheSource(error) => error.status(),
            _ => 0,
        }
    }

    /// The blob or container is not there (not: the copy source is not there).
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Service(e) => e.status == 404 && e.code != UNVERIFIED,
            Self::NotFound { .. } => true,
            _ => false,
        }
    }

    /// The service does not do that where the namespace is hierarchical (S192), which also tells that it is.
    pub fn is_of_a_hierarchical_namespace(&self) -> bool {
        self.code() == "FeatureNotYetSupportedForHierarchicalNamespaceAccounts"
    }

    /// The service does not know the API version that is asked for (S151).
    pub fn is_of_an_unknown_version(&self) -> bool {
        matches!(self, Self::Service(e) if e.code == "InvalidHeaderValue" && e.detail.starts_with("x-ms-version"))
    }

    /// The blob was written last at the endpoint of its hierarchical namespace: no blocks are put into it (S131).
    pub fn is_written_over_dfs(&self) -> bool {
        self.code() == "BlobOperationNotSupported"
    }

    /// The path, or one above it, is a file where a directory was meant, or a directory where a file was (S141).
    pub fn is_of_another_type(&self) -> bool {
        match self {
            Self::Service(e) => {
                ["PathConflict", "ResourceTypeMismatch"].contains(&e.code.as_str()) || e.says_another_type()
            }
            _ => false,
        }
    }

    /// The blob exists, and its container or a policy or hold of its own keeps it as it is (S109, S112).
    pub fn is_of_a_kept_blob(&self) -> bool {
        ["BlobImmutableDueToPolicy", "BlobImmutableDueToLegalHold"].contains(&self.code())
    }

    /// A change was refused by a code that is not known here, or for a source of which nothing more is said: it may be
    /// archived (S52, S106).
    pub fn may_be_of_an_archived_blob(&self) -> bool {
        match self {
            Self::Service(e) if ![400, 409].contains(&e.status) => false,
            Self::Service(e) if e.code == "CannotVerifyCopySource" => {
                e.copy_source.as_ref().is_none_or(|(_, code)| code == "BlobArchived")
            }
            Self::Service(e) => !BY_CODE.iter().any(|(_, codes)| codes.contains(&e.code.as_str())),
            _ => false,
        }
    }

    /// The same refusal, of a blob that was found to be archived.
    pub fn of_an_archived_blob(self) -> Self {
        let Self::Service(refusal) = self else { return self };
        let message = format!("it is archived (the service says: {} {})", refusal.code, refusal.message);
        ServiceError { code: "BlobArchived".to_owned(), message, copy_source: None, ..*refusal }.into()
    }

    /// The source of a copy is not there: named by a path of the account (S16), or by a URL (S17).
    pub fn is_of_no_source(&self) -> bool {
        match self {
            Self::Service(e) if e.code == UNVERIFIED => e.source_status() == 404,
            Self::Service(e) => {
                e.status == 404 && e.code == "BlobNotFound" && NEEDS_NO_DESTINATION.contains(&e.operation)
            }
            _ => false,
        }
    }

    /// The source of a copy is not as the condition on it wants it (S15, S36–S41, S158–S161), or was changed while it was
    /// read (S51).
    pub fn is_of_another_source(&self) -> bool {
        match self {
            Self::Service(e) if e.code == UNVERIFIED => {
                [304, 412].contains(&e.source_status()) || e.says_source_modified()
            }
            Self::Service(e) => e.code == "SourceConditionNotMet" || e.says_source_modified(),
            _ => false,
        }
    }

    /// The source of a copy is not what it was taken for, or cannot be read: not a word about the destination (S15–S17,
    /// S36–S40).
    pub fn is_about_the_source(&self) -> bool {
        matches!(self, Self::OfTheSource(_))
            || self.code() == UNVERIFIED
            || self.is_of_another_source()
            || self.is_of_no_source()
    }

    /// Marks what went wrong with a source before the service was asked for the copy.
    pub fn of_the_source(self) -> Self {
        Self::OfTheSource(Box::new(self))
    }

    /// A blob takes no part of a blob of another type: it is another one than it was. (A whole copy may be refused for
    /// the source's type.)
    pub fn is_of_another_type_than_known(&self) -> bool {
        match self {
            Self::Service(e) => e.code == "InvalidBlobType" && !["CopyBlob", "PutBlobFromURL"].contains(&e.operation),
            _ => false,
        }
    }

    /// The copy is refused for what its blobs are (C7), here or by the service: nobody is to make it in another way.
    pub fn is_refused_for_good(&self) -> bool {
        match self {
            Self::OtherType { .. } | Self::Unsupported { .. } => true,
            // What the type of a blob does not admit (`WriteStrategy::admit`).
            Self::Fs { errno, .. } => *errno == libc::EOPNOTSUPP,
            _ => self.code() == "InvalidBlobType",
        }
    }

    /// What was meant is not there any more, or is another version.
    pub fn is_stale(&self) -> bool {
        match self {
            Self::Stale { .. } => true,
            // Replaced, or failed because its source was changed (X8).
            Self::Copy { .. } => self.errno() == libc::ESTALE,
            Self::Service(e) => errno_of_service(e) == libc::ESTALE,
            _ => false,
        }
    }

    /// The caller may not do that.
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Service(e) => errno_of_service(e) == libc::EACCES,
            Self::Fs { errno, .. } => *errno == libc::EACCES,
            _ => false,
        }
    }

    /// The server does not know the operation.
    pub fn is_of_an_unknown_operation(&self) -> bool {
        matches!(self, Self::Service(e) if e.status >= 500 && errno_of_service(e) == libc::EOPNOTSUPP)
    }

    /// Of a request that reads a source instead of the service: what it says of the blob it says of the source.
    pub fn of_a_source(self) -> Self {
        let code = match &self {
            Self::Service(_) if self.is_precondition_failed() => "SourceConditionNotMet",
            Self::Service(_) if self.is_not_found() => UNVERIFIED,
            _ => return self,
        };
        match self {
            Self::Service(refusal) => ServiceError { code: code.to_owned(), ..*refusal }.into(),
            other => other,
        }
    }

    /// A precondition sent with the request did not hold, on the destination or on the source: 412 without a lease in its
    /// code, 304, or "already exists".
    pub fn is_precondition_failed(&self) -> bool {
        matches!(self.code(), "ConditionNotMet" | "TargetConditionNotMet" | "BlobAlreadyExists")
            || self.status() == 412 && self.code().is_empty()
            || self.status() == 304
            || self.is_of_another_source()
    }

    /// The errno for a caller of a system call (§4.2).
    pub fn errno(&self) -> i32 {
        match self {
            Self::Service(e) => errno_of_service(e),
            Self::Transport { timed_out: true, .. } => libc::ETIMEDOUT,
            Self::Transport { .. } => libc::EIO,
            Self::Copy { failure, .. } => match failure {
                CopyFailure::Aborted { .. } => libc::ECANCELED,
                CopyFailure::Failed { description, .. } => errno_of_description(description),
                CopyFailure::Replaced { .. } => libc::ESTALE,
            },
            Self::Name(NameError::TooLong) => libc::ENAMETOOLONG,
            Self::Name(_) => libc::EINVAL,
            Self::NotFound { .. } => libc::ENOENT,
            Self::Stale { .. } => libc::ESTALE,
            Self::CopyPending { .. } => libc::EBUSY,
            Self::NoPendingCopy { .. } => libc::ENODATA,
            Self::Interrupted { .. } => libc::EINTR,
            Self::OtherType { .. } | Self::Unsupported { .. } => libc::EOPNOTSUPP,
            Self::OfTheSource(error) => error.errno(),
            Self::Fs { errno, .. } => *errno,
        }
    }

    /// The errno for `copy_file_range`, where some numbers would make the kernel or cp move the data through this
    /// machine although the copy was refused (or may even have happened). Two refusals keep that number: what this
    /// filesystem does not do by itself, and a destination of another blob type (C7), where the filesystem sees to it
    /// that nothing is moved.
    pub fn errno_of_copy(&self) -> i32 {
        match (self.errno(), self) {
            (libc::EOPNOTSUPP, _) if self.is_refused_for_good() => libc::EOPNOTSUPP,
            (libc::EOPNOTSUPP | libc::EXDEV | libc::EINVAL | libc::EPERM | libc::ETXTBSY | libc::ENOSYS, _) => {
                libc::EIO
            }
            (errno, _) => errno,
        }
    }
}

/// A source that the service did not read, whatever the reason is.
const UNVERIFIED: &str = "CannotVerifyCopySource";

/// Operations that read a source and need nothing to be there before: of them a blob that is not found is the source.
const NEEDS_NO_DESTINATION: &[&str] = &["CopyBlob", "PutBlobFromURL", "PutBlockFromURL"];

impl ServiceError {
    /// The status of the source's own answer. Where it is not told, the outer status repeats it (§4.1).
    fn source_status(&self) -> u16 {
        self.copy_source.as_ref().map_or(self.status, |(status, _)| *status)
    }

    /// The code of this is not known at the Blob endpoint, the text is (S141).
    fn says_another_type(&self) -> bool {
        self.status == 409 && self.message.starts_with("The specified path, or an element of the path, exists")
    }

    /// The code of this is not known, the text is (S51).
    fn says_source_modified(&self) -> bool {
        self.status == 409 && self.message.starts_with("Copy source blob has been modified")
    }
}

/// The rows of §4.2: codes that share an errno, whatever the status. An errno has as many rows as its codes take.
const BY_CODE: &[(i32, &[&str])] = &[
    (libc::EINVAL, &["InvalidResourceName", "InvalidUri", "OutOfRangeInput", "InvalidMetadata", "EmptyMetadataKey"]),
    (libc::ENOSPC, &["MetadataTooLarge"]),
    (libc::EROFS, &["InvalidOperation"]),
    (libc::EXDEV, &["CopyAcrossAccountsNotSupported"]),
    (libc::EINVAL, &["BothUserTagsAndSourceTagsCopyPresentException", "TagsTooLarge", "InvalidTag"]),
    (libc::EFBIG, &["BlockListTooLong", "BlockCountExceedsLimit", "RequestBodyTooLarge", "RequestEntityTooLarge"]),
    (libc::EFBIG, &["MaxBlobSizeConditionNotMet"]),
    (libc::EACCES, &["NoAuthenticationInformation", "InvalidAuthenticationInfo", "AuthenticationFailed"]),
    (libc::EACCES, &["AuthorizationFailure", "AuthorizationPermissionMismatch", "AuthorizationSourceIPMismatch"]),
    (libc::EACCES, &["AuthorizationProtocolMismatch", "AuthorizationServiceMismatch"]),
    (libc::EACCES, &["AuthorizationResourceTypeMismatch", "InsufficientAccountPermissions", "AccountIsDisabled"]),
    (libc::EACCES, &["KeyBasedAuthenticationNotPermitted", "UnauthorizedBlobOverwrite", "FeatureVersionMismatch"]),
    (libc::EACCES, &["PublicAccessNotPermitted"]),
    (libc::EOPNOTSUPP, &["BlobUsesCustomerSpecifiedEncryption", "FeatureNotSupported"]),
    (libc::EOPNOTSUPP, &["FeatureNotYetSupportedForHierarchicalNamespaceAccounts", "BlobOperationNotSupported"]),
    (libc::ENOENT, &["BlobNotFound", "ContainerNotFound", "FilesystemNotFound", "ResourceNotFound", "PathNotFound"]),
    (libc::ENOENT, &["SourcePathNotFound", "RenameDestinationParentPathNotFound"]),
    // Not ENOSYS: the kernel would take that operation, flush included, for missing as long as the mount lives.
    (libc::EOPNOTSUPP, &["UnsupportedHttpVerb"]),
    (libc::EEXIST, &["BlobAlreadyExists", "PathAlreadyExists", "ContainerAlreadyExists", "ResourceAlreadyExists"]),
    (libc::EBUSY, &["PendingCopyOperation", "SnapshotsPresent", "LeaseAlreadyPresent"]),
    (libc::EBUSY, &["LeaseIsBreakingAndCannotBeAcquired", "LeaseIsBreakingAndCannotBeChanged"]),
    (libc::EBUSY, &["LeaseIdMismatchWithLeaseOperation", "BlobBeingRehydrated", "ContainerBeingDeleted"]),
    (libc::EBUSY, &["ContainerDisabled", "FilesystemBeingDeleted", "AccountBeingCreated", "SystemInUse"]),
    (libc::EBUSY, &["SourcePathIsBeingDeleted", "DestinationPathIsBeingDeleted", "LeaseIdMissing"]),
    (libc::EBUSY, &["LeaseIdMismatchWithBlobOperation", "LeaseIdMismatchWithContainerOperation"]),
    (libc::EBUSY, &["InfiniteLeaseDurationRequired", "LeaseIdMismatch", "OperationNotAllowedInCurrentState"]),
    (libc::ENODATA, &["NoPendingCopyOperation", "BlobArchived"]),
    (libc::ESTALE, &["CopyIdMismatch", "SourceConditionNotMet", "ConditionNotMet", "TargetConditionNotMet"]),
    (libc::ESTALE, &["AppendPositionConditionNotMet", "SequenceNumberConditionNotMet"]),
    (libc::EOPNOTSUPP, &["InvalidBlobType", "InvalidSourceBlobType", "APINotImplemented", "NotImplemented"]),
    (libc::EAGAIN, &["SnapshotCountExceeded", "SnapshotOperationRateExceeded"]),
    (libc::ENOLCK, &["LeaseNotPresentWithLeaseOperation", "LeaseIsBrokenAndCannotBeRenewed", "LeaseAlreadyBroken"]),
    (libc::ENOLCK, &["LeaseLost", "LeaseNotPresentWithBlobOperation", "LeaseNotPresent"]),
    (libc::EINVAL, &["BlobNotArchived", "CannotChangeToLowerTier", "BlobTierInadequateForContentLength"]),
    (libc::EINVAL, &["ContentLengthLargerThanTierLimit", "BlobAccessTierNotSupportedForAccountType"]),
    (libc::EINVAL, &["InvalidBlobTier", "AccessTierNotSupportedForBlobType", "InvalidRenameSourcePath"]),
    (libc::EINVAL, &["InvalidPageRange"]),
    (libc::EPERM, &["BlobImmutableDueToPolicy", "BlobIsSealed", "BlobOverwritten"]),
    (libc::EPERM, &["OperationNotAllowedOnIncrementalCopyBlob", "OperationNotAllowedOnRootBlob"]),
    (libc::EPERM, &["BlobImmutableDueToLegalHold"]),
    (libc::EPERM, &["ContainerImmutabilityPolicyLocked", "ContainerHasLegalHold"]),
    (libc::EPERM, &["ContainerImmutableStorageWithVersioningEnabled"]),
    (libc::ENOTEMPTY, &["DirectoryNotEmpty", "DirectoryIsNotEmpty"]),
    (libc::EISDIR, &["OperationNotSupportedOnDirectory"]),
    (libc::ENOTDIR, &["PathConflict", "InvalidDestinationPath", "ResourceTypeMismatch"]),
    (libc::ENOTDIR, &["InvalidSourceOrDestinationResourceType"]),
    (libc::ETIMEDOUT, &["OperationTimedOut"]),
];

fn errno_of_code(code: &str) -> Option<i32> {
    BY_CODE.iter().find(|(_, codes)| codes.contains(&code)).map(|(errno, _)| *errno)
}

/// The errno of a status whose code says nothing, or is not known here. It is never success.
fn errno_of_status(status: u16) -> i32 {
    match status {
        401 | 403 => libc::EACCES,
        404 => libc::ENOENT,
        405 | 501 => libc::EOPNOTSUPP,
        408 => libc::ETIMEDOUT,
        304 | 412 => libc::ESTALE,
        413 => libc::EFBIG,
        _ => libc::EIO,
    }
}

fn errno_of_service(e: &ServiceError) -> i32 {
    if e.says_source_modified() {
        return libc::ESTALE;
    }
    if e.says_another_type() {
        return libc::ENOTDIR;
    }
    if e.code == UNVERIFIED {
        // The source's answer is the cause: its code, then its status (S47–S49).
        let of_source = e.copy_source.as_ref().and_then(|(_, code)| errno_of_code(code));
        return of_source.unwrap_or_else(|| match e.source_status() {
            // Copy Blob From URL says so of a source that is too large for it (§13.7).
            409 => libc::EOPNOTSUPP,
            status => errno_of_status(status),
        });
    }
    // Which operation it is, `comp` says: one that is not offered there (S193, S194).
    if e.code == "InvalidQueryParameterValue" && e.detail == "comp" {
        return libc::EOPNOTSUPP;
    }
    errno_of_code(&e.code).unwrap_or_else(|| errno_of_status(e.status))
}

/// A failed copy's description begins with the HTTP status of what went wrong (§13.5); the text after it may change.
fn errno_of_description(description: &str) -> i32 {
    match description.split_whitespace().next() {
        Some("401" | "403") => libc::EACCES,
        Some("404") => libc::ENOENT,
        Some("412") => libc::ESTALE,
        _ => libc::EIO,
    }
}

impl From<ServiceError> for Error {
    fn from(e: ServiceError) -> Self {
        Self::Service(Box::new(e))
    }
}

#[cfg(test)]
mod tests;
