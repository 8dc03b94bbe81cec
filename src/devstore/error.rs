//! Errors of the service: codes, statuses and their documents.
//!
//! [`Code`] is the table of error codes with the status and message that belong to each; a [`ServiceError`] is one of
//! them plus what the particular case adds (extra body elements, extra headers, another status). Only
//! [`http`](super::http) turns it into bytes.

use std::borrow::Cow;

use hyper::StatusCode;

/// A refusal: status, code, message and the extra elements of §4.1.
#[derive(Debug, Clone)]
pub(super) struct ServiceError {
    pub status: StatusCode,
    pub code: Cow<'static, str>,
    pub message: Cow<'static, str>,
    /// Extra elements of the body, for example `AuthenticationErrorDetail`.
    pub details: Vec<(&'static str, String)>,
    /// Extra response headers, lower-case names.
    pub headers: Vec<(&'static str, String)>,
    /// Answered by what stands before the service proper: only the body tells the code (S72, S143, S151).
    pub early: bool,
}

impl ServiceError {
    /// An error that is not in the table, as injected faults are.
    pub(super) fn custom(status: StatusCode, code: String) -> ServiceError {
        let message = Cow::Owned(format!("Injected fault {code}."));
        ServiceError { status, code: Cow::Owned(code), message, details: Vec::new(), headers: Vec::new(), early: false }
    }

    pub(super) fn early(mut self) -> ServiceError {
        self.early = true;
        self
    }

    /// As a version of the protocol tells it: what a source said is told by headers of its own only in newer ones.
    pub(super) fn in_version(mut self, version: &str) -> ServiceError {
        if version < super::versions::SOURCE_ERRORS {
            self.headers.retain(|(name, _)| !name.starts_with("x-ms-copy-source-"));
            self.details.retain(|(name, _)| !name.starts_with("CopySource"));
        }
        self
    }

    /// The same refusal under a code that no client knows.
    pub(super) fn with_unknown_code(mut self) -> ServiceError {
        self.code = Cow::Borrowed("CodeThatNobodyKnows");
        self
    }

    pub(super) fn with_message(mut self, message: impl Into<Cow<'static, str>>) -> ServiceError {
        self.message = message.into();
        self
    }

    pub(super) fn with_status(mut self, status: StatusCode) -> ServiceError {
        self.status = status;
        self
    }

    pub(super) fn with_detail(mut self, element: &'static str, text: impl Into<String>) -> ServiceError {
        self.details.push((element, text.into()));
        self
    }

    pub(super) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> ServiceError {
        self.headers.push((name, value.into()));
        self
    }

    /// 403 for credentials that prove nothing, and why.
    pub(super) fn unauthentic(detail: impl Into<String>) -> ServiceError {
        ServiceError::from(Code::AuthenticationFailed).with_detail("AuthenticationErrorDetail", detail)
    }

    /// The challenge to whoever has no token, or none that is good.
    pub(super) fn with_challenge(self) -> ServiceError {
        let challenge = "Bearer authorization_uri=https://login.microsoftonline.com/common/oauth2/authorize \
                         resource_id=https://storage.azure.com";
        self.with_header("www-authenticate", challenge)
    }

    /// 400 for a header whose value cannot be used, naming it as the service does.
    pub(super) fn invalid_header(name: &str, value: &str) -> ServiceError {
        ServiceError::from(Code::InvalidHeaderValue).with_detail("HeaderName", name).with_detail("HeaderValue", value)
    }

    /// 400 for a required header that was not sent.
    pub(super) fn missing_header(name: &str) -> ServiceError {
        ServiceError::from(Code::MissingRequiredHeader).with_detail("HeaderName", name)
    }

    /// 400 for a query parameter whose value cannot be used.
    pub(super) fn invalid_query(name: &str, value: &str) -> ServiceError {
        ServiceError::from(Code::InvalidQueryParameterValue)
            .with_detail("QueryParameterName", name)
            .with_detail("QueryParameterValue", value)
    }
}

macro_rules! codes {
    ($($code:ident $status:literal $message:literal,)*) => {
        /// The error codes this service can answer, named as on the wire.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Code { $($code,)* }

        impl From<Code> for ServiceError {
            fn from(code: Code) -> ServiceError {
                let (status, name, message): (u16, &'static str, &'static str) = match code {
                    $(Code::$code => ($status, stringify!($code), $message),)*
                };
                ServiceError {
                    // The table holds valid statuses only; 500 is what a typo in it deserves.
                    status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                    code: Cow::Borrowed(name),
                    message: Cow::Borrowed(message),
                    details: Vec::new(),
                    headers: Vec::new(),
                    early: false,
                }
            }
        }
    };
}

codes! {
    AccessTierNotSupportedForBlobType 400 "The access tier is not supported for this blob type.",
    AppendPositionConditionNotMet 412 "The append position condition specified was not met.",
    AuthenticationFailed 403 "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature.",
    AuthorizationPermissionMismatch 403 "This request is not authorized to perform this operation using this permission.",
    AuthorizationProtocolMismatch 403 "This request is not authorized to perform this operation using this protocol.",
    AuthorizationResourceTypeMismatch 403 "This request is not authorized to perform this operation using this resource type.",
    AuthorizationServiceMismatch 403 "This request is not authorized to perform this operation using this service.",
    BlobAlreadyExists 409 "The specified blob already exists.",
    AuthorizationFailure 403 "This request is not authorized to perform this operation.",
    BlobArchived 409 "This operation is not permitted on an archived blob.",
    BlobBeingRehydrated 409 "This operation is not permitted because the blob is being rehydrated.",
    BlobCustomerSpecifiedEncryptionMismatch 409 "The given customer specified encryption does not match the encryption used to encrypt the blob.",
    BlobImmutableDueToLegalHold 409 "This operation is not permitted as the blob is immutable due to one or more legal holds.",
    BlobImmutableDueToPolicy 409 "This operation is not permitted as the blob is immutable due to a policy.",
    BlobIsSealed 409 "The specified blob is sealed and its contents can't be modified unless the blob is re-created after a delete.",
    BlobNotFound 404 "The specified blob does not exist.",
    BlobOperationNotSupported 409 "The operation is not supported on this blob.",
    BlobTierInadequateForContentLength 409 "Specified blob tier size limit cannot be less than content length.",
    BlobUsesCustomerSpecifiedEncryption 409 "The blob is encrypted with customer specified encryption, but it was not provided in the request.",
    BlockCountExceedsLimit 409 "The committed block count cannot exceed the maximum limit of 50,000 blocks.",
    BlockListTooLong 400 "The block list may not contain more than 50,000 blocks.",
    BothCrc64AndMd5HeaderPresent 400 "Both x-ms-content-crc64 header and Content-MD5 header are present.",
    BothUserTagsAndSourceTagsCopyPresentException 409 "x-ms-tags header and x-ms-copy-source-tag-option COPY are both present.",
    CannotVerifyCopySource 404 "Could not verify the copy source.",
    CannotChangeToLowerTier 409 "A higher blob tier has already been explicitly set.",
    ConditionNotMet 412 "The condition specified using HTTP conditional header(s) is not met.",
    ContainerAlreadyExists 409 "The specified container already exists.",
    ContainerBeingDeleted 409 "The specified container is being deleted. Try operation later.",
    ContainerHasLegalHold 409 "The container has one or more legal holds.",
    ContainerImmutabilityPolicyLocked 409 "The container's immutability policy is locked.",
    ContainerImmutableStorageWithVersioningEnabled 409 "The container is enabled for immutable storage with versioning.",
    ContainerNotFound 404 "The specified container does not exist.",
    CopyIdMismatch 409 "The specified copy ID did not match the copy ID for the pending copy operation.",
    Crc64Mismatch 400 "The CRC64 value specified in the request did not match with the CRC64 value calculated by the server.",
    DestinationPathIsBeingDeleted 409 "The specified destination path is marked to be deleted.",
    DirectoryIsNotEmpty 409 "This operation is not permitted on a non-empty directory.",
    DirectoryNotEmpty 409 "The recursive query parameter value must be true to delete a non-empty directory.",
    EmptyMetadataKey 400 "The key for one of the metadata key-value pairs is empty.",
    ExceedsMaxBatchRequestCount 400 "The batch operation exceeds the maximum number of allowed subrequests.",
    FeatureNotYetSupportedForHierarchicalNamespaceAccounts 409 "Blob API is not yet supported for hierarchical namespace accounts.",
    FilesystemNotFound 404 "The specified filesystem does not exist.",
    HierarchicalNamespaceNotEnabled 400 "This operation is only supported on a hierarchical namespace account.",
    InfiniteLeaseDurationRequired 412 "The lease ID matched, but the specified lease must be an infinite-duration lease.",
    InternalError 500 "Server encountered an internal error. Please try again after some time.",
    InvalidAuthenticationInfo 400 "Authentication information is not given in the correct format. Check the value of Authorization header.",
    InvalidBlobOrBlock 400 "The specified blob or block content is invalid.",
    InvalidBlobType 409 "The blob type is invalid for this operation.",
    InvalidBlobTier 400 "The specified blob tier is invalid.",
    InvalidBlockList 400 "The specified block list is invalid.",
    InvalidFlushPosition 400 "The uploaded data is not contiguous or the position query parameter value is not equal to the length of the file after appending the uploaded data.",
    InvalidHeaderValue 400 "The value for one of the HTTP headers is not in the correct format.",
    InvalidInput 400 "One of the request inputs is not valid.",
    InvalidMd5 400 "The MD5 value specified in the request is invalid. The MD5 value must be 128 bits and Base64-encoded.",
    InvalidMetadata 400 "The metadata specified is invalid. It has characters that are not permitted.",
    InvalidOperation 400 "The operation is not permitted on a snapshot.",
    InvalidPageRange 416 "The page range specified is invalid.",
    InvalidQueryParameterValue 400 "Value for one of the query parameters specified in the request URI is invalid.",
    InvalidRange 416 "The range specified is invalid for the current size of the resource.",
    InvalidRenameSourcePath 409 "The source directory cannot be the same as the destination directory, nor can the destination be a subdirectory of the source directory.",
    InvalidResourceName 400 "The specified resource name contains invalid characters.",
    InvalidSourceBlobType 409 "The copy source blob type is invalid for this operation.",
    InvalidSourceOrDestinationResourceType 409 "The source and destination resource type must be identical.",
    InvalidUri 400 "The requested URI does not represent any resource on the server.",
    InvalidXmlDocument 400 "XML specified is not syntactically valid.",
    LeaseAlreadyPresent 409 "There is already a lease present.",
    LeaseIdMismatch 412 "The lease ID specified did not match the lease ID for the resource.",
    LeaseIdMismatchWithBlobOperation 412 "The lease ID specified did not match the lease ID for the blob.",
    LeaseIdMismatchWithContainerOperation 412 "The lease ID specified did not match the lease ID for the container.",
    LeaseIdMismatchWithLeaseOperation 409 "The lease ID specified did not match the lease ID for the resource.",
    LeaseIdMissing 412 "There is currently a lease on the resource and no lease ID was specified in the request.",
    LeaseIsBreakingAndCannotBeAcquired 409 "The lease ID matched, but the lease is currently in breaking state and cannot be acquired until it is broken.",
    LeaseIsBreakingAndCannotBeChanged 409 "The lease ID matched, but the lease is currently in breaking state and cannot be changed.",
    LeaseIsBrokenAndCannotBeRenewed 409 "The lease ID matched, but the lease has been broken explicitly and cannot be renewed.",
    LeaseLost 412 "A lease ID was specified, but the lease for the resource has expired.",
    LeaseNotPresent 412 "There is currently no lease on the resource.",
    LeaseNotPresentWithBlobOperation 412 "There is currently no lease on the blob.",
    LeaseNotPresentWithContainerOperation 412 "There is currently no lease on the container.",
    LeaseNotPresentWithLeaseOperation 409 "There is currently no lease on the resource.",
    MaxBlobSizeConditionNotMet 412 "The max blob size condition specified was not met.",
    Md5Mismatch 400 "The MD5 value specified in the request did not match with the MD5 value calculated by the server.",
    MetadataTooLarge 400 "The size of the specified metadata exceeds the maximum size permitted.",
    MissingContentLengthHeader 411 "The Content-Length header was not specified.",
    MissingRequiredHeader 400 "A required HTTP header was not specified.",
    MissingRequiredQueryParameter 400 "A required query parameter was not specified for this request.",
    MultipleConditionHeadersNotSupported 400 "Multiple condition headers are not supported.",
    NoAuthenticationInformation 401 "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.",
    NoPendingCopyOperation 409 "There is currently no pending copy operation.",
    NotImplemented 501 "The requested operation is not implemented on the specified resource.",
    OperationNotAllowedOnRootBlob 403 "This operation is not allowed on a root blob.",
    OperationNotSupportedOnDirectory 400 "This operation is not supported on a directory.",
    OutOfRangeInput 400 "One of the request inputs is out of range.",
    OutOfRangeQueryParameterValue 400 "One of the query parameters specified in the request URI is outside the permissible range.",
    PathAlreadyExists 409 "The specified path already exists.",
    PathConflict 409 "The specified path, or an element of the path, exists and its resource type is invalid for this operation.",
    PathNotFound 404 "The specified path does not exist.",
    PendingCopyOperation 409 "There is currently a pending copy operation.",
    RenameDestinationParentPathNotFound 404 "The parent directory of the destination path does not exist.",
    RequestBodyTooLarge 413 "The request body is too large and exceeds the maximum permissible limit.",
    ResourceNotFound 404 "The specified resource does not exist.",
    SequenceNumberConditionNotMet 412 "The sequence number condition specified was not met.",
    SnapshotsPresent 409 "This operation is not permitted because the blob has snapshots.",
    SourceConditionNotMet 412 "The source condition specified using HTTP conditional header(s) is not met.",
    SourcePathIsBeingDeleted 409 "The specified source path is marked to be deleted.",
    SourcePathNotFound 404 "The source path for a rename operation does not exist.",
    PublicAccessNotPermitted 409 "Public access is not permitted on this storage account.",
    TagsTooLarge 400 "The tags specified exceed the maximum permissible limit.",
    TargetConditionNotMet 412 "The target condition specified using HTTP conditional header(s) is not met.",
    UnauthorizedBlobOverwrite 403 "This request is not authorized to perform blob overwrites.",
    UnsatisfiableCondition 400 "The request includes an unsatisfiable condition for this operation.",
    UnsupportedHeader 400 "One of the HTTP headers specified in the request is not supported.",
    UnsupportedHttpVerb 405 "The resource doesn't support specified Http Verb.",
}

/// Wraps what the source answered (§4.1): its status outside, its code in headers and elements.
pub(super) fn cannot_verify(source: ServiceError) -> ServiceError {
    let status = source.status.as_u16().to_string();
    ServiceError::from(Code::CannotVerifyCopySource)
        .with_status(if source.status.is_success() { StatusCode::NOT_FOUND } else { source.status })
        .with_message(source.message.clone())
        .with_header("x-ms-copy-source-status-code", status.clone())
        .with_header("x-ms-copy-source-error-code", source.code.clone())
        .with_detail("CopySourceStatusCode", status)
        .with_detail("CopySourceErrorCode", source.code)
        .with_detail("CopySourceErrorMessage", source.message)
}
