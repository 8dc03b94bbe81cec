//! Every row of the errno table, and what is concluded from an error.

use super::*;
use rstest::rstest;

fn service(status: u16, code: &str) -> Error {
    ServiceError {
        operation: "GetBlob",
        target: "acct/c/b".into(),
        status,
        code: code.into(),
        message: String::new(),
        detail: String::new(),
        request_id: String::new(),
        copy_source: None,
    }
    .into()
}

/// The same of an operation that reads a source, which itself answered so.
fn of_source(operation: &'static str, status: u16, source: Option<(u16, &str)>) -> Error {
    let Error::Service(error) = service(status, UNVERIFIED) else { unreachable!() };
    let copy_source = source.map(|(status, code)| (status, code.to_owned()));
    ServiceError { operation, copy_source, ..*error }.into()
}

/// Every row of §4.2. A code that stands in the table but not here fails `every_code_has_a_row`.
const ROWS: &[(u16, &str, i32)] = &[
    (400, "InvalidResourceName", libc::EINVAL),
    (400, "InvalidUri", libc::EINVAL),
    (400, "OutOfRangeInput", libc::EINVAL),
    (400, "InvalidMetadata", libc::EINVAL),
    (400, "EmptyMetadataKey", libc::EINVAL),
    (400, "MetadataTooLarge", libc::ENOSPC),
    (400, "Md5Mismatch", libc::EIO),
    (400, "Crc64Mismatch", libc::EIO),
    (400, "InvalidMd5", libc::EIO),
    (400, "BothCrc64AndMd5HeaderPresent", libc::EIO),
    (400, "InvalidHeaderValue", libc::EIO),
    (400, "InvalidQueryParameterValue", libc::EIO),
    (400, "MissingRequiredHeader", libc::EIO),
    (400, "UnsupportedHeader", libc::EIO),
    (400, "InvalidInput", libc::EIO),
    (400, "InvalidXmlDocument", libc::EIO),
    (400, "OutOfRangeQueryParameterValue", libc::EIO),
    (400, "MultipleConditionHeadersNotSupported", libc::EIO),
    (400, "UnsatisfiableCondition", libc::EIO),
    (400, "ConditionHeadersNotSupported", libc::EIO),
    (400, "InvalidBlockId", libc::EIO),
    (400, "InvalidBlobOrBlock", libc::EIO),
    (400, "InvalidBlockList", libc::EIO),
    (400, "BlockListTooLong", libc::EFBIG),
    (400, "InvalidOperation", libc::EROFS),
    (400, "CopyAcrossAccountsNotSupported", libc::EXDEV),
    (400, "BothUserTagsAndSourceTagsCopyPresentException", libc::EINVAL),
    (400, "TagsTooLarge", libc::EINVAL),
    (400, "InvalidTag", libc::EINVAL),
    (401, "NoAuthenticationInformation", libc::EACCES),
    (401, "InvalidAuthenticationInfo", libc::EACCES),
    (403, "AuthenticationFailed", libc::EACCES),
    (403, "AuthorizationFailure", libc::EACCES),
    (403, "AuthorizationPermissionMismatch", libc::EACCES),
    (403, "AuthorizationSourceIPMismatch", libc::EACCES),
    (403, "AuthorizationProtocolMismatch", libc::EACCES),
    (403, "AuthorizationServiceMismatch", libc::EACCES),
    (403, "AuthorizationResourceTypeMismatch", libc::EACCES),
    (403, "InsufficientAccountPermissions", libc::EACCES),
    (403, "AccountIsDisabled", libc::EACCES),
    (403, "KeyBasedAuthenticationNotPermitted", libc::EACCES),
    (403, "UnauthorizedBlobOverwrite", libc::EACCES),
    (404, "BlobNotFound", libc::ENOENT),
    (404, "ContainerNotFound", libc::ENOENT),
    (404, "FilesystemNotFound", libc::ENOENT),
    (404, "ResourceNotFound", libc::ENOENT),
    (404, "PathNotFound", libc::ENOENT),
    (404, "SourcePathNotFound", libc::ENOENT),
    (404, "RenameDestinationParentPathNotFound", libc::ENOENT),
    (405, "UnsupportedHttpVerb", libc::EOPNOTSUPP),
    (408, "", libc::ETIMEDOUT),
    (409, "BlobAlreadyExists", libc::EEXIST),
    (409, "PathAlreadyExists", libc::EEXIST),
    (409, "ContainerAlreadyExists", libc::EEXIST),
    (409, "ResourceAlreadyExists", libc::EEXIST),
    (409, "PendingCopyOperation", libc::EBUSY),
    (409, "NoPendingCopyOperation", libc::ENODATA),
    (409, "CopyIdMismatch", libc::ESTALE),
    (409, "InvalidBlobType", libc::EOPNOTSUPP),
    (409, "InvalidSourceBlobType", libc::EOPNOTSUPP),
    (409, "SnapshotsPresent", libc::EBUSY),
    (409, "SnapshotCountExceeded", libc::EAGAIN),
    (409, "SnapshotOperationRateExceeded", libc::EAGAIN),
    (409, "LeaseAlreadyPresent", libc::EBUSY),
    (409, "LeaseIsBreakingAndCannotBeAcquired", libc::EBUSY),
    (409, "LeaseIsBreakingAndCannotBeChanged", libc::EBUSY),
    (409, "LeaseIdMismatchWithLeaseOperation", libc::EBUSY),
    (409, "LeaseNotPresentWithLeaseOperation", libc::ENOLCK),
    (409, "LeaseIsBrokenAndCannotBeRenewed", libc::ENOLCK),
    (409, "LeaseAlreadyBroken", libc::ENOLCK),
    (409, "BlobArchived", libc::ENODATA),
    (409, "BlobBeingRehydrated", libc::EBUSY),
    (409, "BlobNotArchived", libc::EINVAL),
    (409, "CannotChangeToLowerTier", libc::EINVAL),
    (409, "BlobTierInadequateForContentLength", libc::EINVAL),
    (409, "ContentLengthLargerThanTierLimit", libc::EINVAL),
    (409, "BlobAccessTierNotSupportedForAccountType", libc::EINVAL),
    (400, "InvalidBlobTier", libc::EINVAL),
    (400, "AccessTierNotSupportedForBlobType", libc::EINVAL),
    (409, "BlockCountExceedsLimit", libc::EFBIG),
    (409, "BlobImmutableDueToPolicy", libc::EPERM),
    // S112, S113
    (409, "BlobImmutableDueToLegalHold", libc::EPERM),
    (409, "ContainerImmutabilityPolicyLocked", libc::EPERM),
    (409, "ContainerHasLegalHold", libc::EPERM),
    (409, "ContainerImmutableStorageWithVersioningEnabled", libc::EPERM),
    (409, "BlobIsSealed", libc::EPERM),
    (409, "BlobOverwritten", libc::EPERM),
    (409, "OperationNotAllowedOnIncrementalCopyBlob", libc::EPERM),
    // S88
    (403, "OperationNotAllowedOnRootBlob", libc::EPERM),
    (409, "ContainerBeingDeleted", libc::EBUSY),
    (409, "ContainerDisabled", libc::EBUSY),
    (409, "FilesystemBeingDeleted", libc::EBUSY),
    (409, "AccountBeingCreated", libc::EBUSY),
    (409, "SystemInUse", libc::EBUSY),
    (409, "SourcePathIsBeingDeleted", libc::EBUSY),
    (409, "DestinationPathIsBeingDeleted", libc::EBUSY),
    // S120, S132
    (409, "DirectoryNotEmpty", libc::ENOTEMPTY),
    (409, "DirectoryIsNotEmpty", libc::ENOTEMPTY),
    (409, "PathConflict", libc::ENOTDIR),
    (409, "InvalidDestinationPath", libc::ENOTDIR),
    (409, "ResourceTypeMismatch", libc::ENOTDIR),
    (409, "InvalidSourceOrDestinationResourceType", libc::ENOTDIR),
    (409, "InvalidRenameSourcePath", libc::EINVAL),
    (409, "FeatureVersionMismatch", libc::EACCES),
    (409, "BlobUsesCustomerSpecifiedEncryption", libc::EOPNOTSUPP),
    // S127, S128, S131, S133, S142
    (412, "LeaseNotPresent", libc::ENOLCK),
    (412, "LeaseIdMismatch", libc::EBUSY),
    (409, "BlobOperationNotSupported", libc::EOPNOTSUPP),
    (400, "OperationNotSupportedOnDirectory", libc::EISDIR),
    (409, "OperationNotAllowedInCurrentState", libc::EBUSY),
    // S192
    (409, "FeatureNotYetSupportedForHierarchicalNamespaceAccounts", libc::EOPNOTSUPP),
    (409, "PublicAccessNotPermitted", libc::EACCES),
    (411, "MissingContentLengthHeader", libc::EIO),
    (412, "ConditionNotMet", libc::ESTALE),
    (412, "TargetConditionNotMet", libc::ESTALE),
    (412, "SourceConditionNotMet", libc::ESTALE),
    (412, "LeaseIdMissing", libc::EBUSY),
    (412, "LeaseIdMismatchWithBlobOperation", libc::EBUSY),
    (412, "LeaseIdMismatchWithContainerOperation", libc::EBUSY),
    (412, "LeaseLost", libc::ENOLCK),
    (412, "LeaseNotPresentWithBlobOperation", libc::ENOLCK),
    (412, "InfiniteLeaseDurationRequired", libc::EBUSY),
    (412, "AppendPositionConditionNotMet", libc::ESTALE),
    (412, "MaxBlobSizeConditionNotMet", libc::EFBIG),
    (412, "SequenceNumberConditionNotMet", libc::ESTALE),
    (413, "RequestBodyTooLarge", libc::EFBIG),
    (413, "RequestEntityTooLarge", libc::EFBIG),
    (416, "InvalidPageRange", libc::EINVAL),
    (500, "InternalError", libc::EIO),
    (500, "OperationTimedOut", libc::ETIMEDOUT),
    (501, "APINotImplemented", libc::EOPNOTSUPP),
    (501, "NotImplemented", libc::EOPNOTSUPP),
    (503, "ServerBusy", libc::EIO),
    (500, "FeatureNotSupported", libc::EOPNOTSUPP),
    (403, "", libc::EACCES),
    (404, "", libc::ENOENT),
    (412, "", libc::ESTALE),
    (400, "SomethingNew", libc::EIO),
];

#[test]
fn every_row_of_the_table() {
    for (status, code, errno) in ROWS {
        assert_eq!(service(*status, code).errno(), *errno, "{status} {code}");
    }
}

#[test]
fn an_operation_that_is_not_offered_is_not_supported() {
    // S193, S194
    let refused = |parameter: &str| match service(400, "InvalidQueryParameterValue") {
        Error::Service(error) => Error::from(ServiceError { detail: parameter.into(), ..*error }),
        other => other,
    };
    assert_eq!((refused("comp").errno(), refused("maxresults").errno()), (libc::EOPNOTSUPP, libc::EIO));
}

#[test]
fn what_may_be_archived_is_looked_at() {
    for (status, code, may) in [
        (409, "SomethingNew", true),
        (409, "", true),
        (400, "InvalidInput", true),
        (409, "CannotVerifyCopySource", true),
        (409, "BlobImmutableDueToPolicy", false),
        (412, "SomethingNew", false),
        (404, "", false),
    ] {
        assert_eq!(service(status, code).may_be_of_an_archived_blob(), may, "{status} {code}");
    }
    let archived = service(409, "SomethingNew").of_an_archived_blob();
    assert_eq!(archived.errno(), libc::ENODATA);
    assert!(archived.to_string().contains("it is archived (the service says: SomethingNew"), "{archived}");
}

#[test]
fn no_row_switches_an_operation_off_for_the_life_of_the_mount() {
    assert!(ROWS.iter().all(|(_, _, errno)| *errno != libc::ENOSYS));
    assert_ne!(service(405, "").errno(), libc::ENOSYS);
}

#[test]
fn every_code_has_a_row() {
    for code in BY_CODE.iter().flat_map(|(_, codes)| codes.iter()) {
        assert!(ROWS.iter().any(|(_, c, _)| c == code), "{code} is mapped but no row checks it");
    }
}

#[rstest]
#[case(403, None, libc::EACCES)]
#[case(401, None, libc::EACCES)]
#[case(404, None, libc::ENOENT)]
#[case(409, None, libc::EOPNOTSUPP)]
#[case(500, None, libc::EIO)]
// S36, S37, S158 to S161
#[case(412, None, libc::ESTALE)]
#[case(304, None, libc::ESTALE)]
// S47, S48: the source's code, then its status, and the outer one last.
#[case(409, Some((409, "PublicAccessNotPermitted")), libc::EACCES)]
#[case(401, Some((401, "NoAuthenticationInformation")), libc::EACCES)]
#[case(409, Some((409, "BlobArchived")), libc::ENODATA)]
#[case(404, Some((404, "ContainerNotFound")), libc::ENOENT)]
#[case(409, Some((403, "SomethingNew")), libc::EACCES)]
#[case(409, Some((500, "")), libc::EIO)]
fn a_copy_source_that_cannot_be_verified_answers_by_its_code_and_status(
    #[case] status: u16,
    #[case] source: Option<(u16, &str)>,
    #[case] errno: i32,
) {
    let error = of_source("CopyBlob", status, source);
    assert_eq!(error.errno(), errno);
    assert_eq!(error.is_of_another_source(), errno == libc::ESTALE);
    assert_eq!(error.is_precondition_failed(), errno == libc::ESTALE);
    assert_eq!(error.is_of_no_source(), errno == libc::ENOENT);
    assert!(error.is_about_the_source() && !error.is_not_found());
}

#[test]
fn a_source_that_changed_while_it_was_read_is_another_one() {
    // S51: the code is not known.
    for code in ["CannotVerifyCopySource", "SomethingNew", ""] {
        let Error::Service(error) = service(409, code) else { unreachable!() };
        let message = "Copy source blob has been modified.".to_owned();
        let error = Error::from(ServiceError { operation: "PutBlobFromURL", message, ..*error });
        assert_eq!(error.errno(), libc::ESTALE, "{code}");
        assert!(error.is_of_another_source() && error.is_about_the_source() && !error.is_refused_for_good());
    }
}

#[test]
fn a_missing_blob_is_the_source_where_no_other_has_to_be_there() {
    for (operation, is_source) in [
        ("CopyBlob", true),
        ("PutBlobFromURL", true),
        ("PutBlockFromURL", true),
        ("AppendBlockFromURL", false),
        ("PutPageFromURL", false),
        ("PutPage", false),
    ] {
        let Error::Service(error) = service(404, "BlobNotFound") else { unreachable!() };
        let error = Error::from(ServiceError { operation, ..*error });
        assert_eq!(error.is_about_the_source(), is_source, "{operation}");
        // S17
        assert!(of_source(operation, 404, Some((404, "BlobNotFound"))).is_about_the_source());
    }
}

#[test]
fn a_code_that_is_not_known_is_an_error_like_its_status() {
    let known = [401, 403, 404, 405, 408, 412, 413, 304, 501];
    for status in 100..600 {
        let (bare, new) = (service(status, "").errno(), service(status, "SomethingNew").errno());
        assert_eq!(bare, new, "{status}");
        assert_eq!(new == libc::EIO, !known.contains(&status), "{status}");
        let copied = [service(status, "SomethingNew"), of_source("CopyBlob", status, Some((status, "SomethingNew")))];
        for error in copied {
            assert!(error.errno() > 0 && error.errno() != libc::ENOSYS && error.errno_of_copy() > 0, "{error}");
        }
    }
}

#[rstest]
#[case(CopyFailure::Failed { id: "i".into(), description: "500 OperationCancelled \"…\"".into() }, libc::EIO)]
#[case(CopyFailure::Failed { id: "i".into(), description: "403 AuthenticationFailed \"…\"".into() }, libc::EACCES)]
#[case(CopyFailure::Failed { id: "i".into(), description: "404 ResourceNotFound \"…\"".into() }, libc::ENOENT)]
#[case(CopyFailure::Failed { id: "i".into(), description: "412 ConditionNotMet \"…\"".into() }, libc::ESTALE)]
#[case(CopyFailure::Failed { id: "i".into(), description: String::new() }, libc::EIO)]
#[case(CopyFailure::Aborted { id: "i".into() }, libc::ECANCELED)]
#[case(CopyFailure::Replaced { id: "i".into() }, libc::ESTALE)]
fn ends_of_a_copy(#[case] failure: CopyFailure, #[case] errno: i32) {
    let error = Error::Copy { target: "b".into(), failure };
    assert_eq!((error.errno(), error.is_stale()), (errno, errno == libc::ESTALE));
}

#[test]
fn a_refused_copy_never_invites_the_caller_to_move_the_data() {
    let refusals = [
        (501, "NotImplemented"),
        (400, "CopyAcrossAccountsNotSupported"),
        (400, "InvalidUri"),
        (409, "BlobIsSealed"),
        (405, "UnsupportedHttpVerb"),
    ];
    for (status, code) in refusals {
        assert_eq!(service(status, code).errno_of_copy(), libc::EIO, "{code}");
    }
    for errno in [libc::EXDEV, libc::EINVAL, libc::EPERM, libc::ETXTBSY, libc::ENOSYS] {
        assert_eq!(Error::fs(errno, "x").errno_of_copy(), libc::EIO);
    }
    assert_eq!(Error::fs(libc::EBUSY, "x").errno_of_copy(), libc::EBUSY);
}

#[test]
fn two_refusals_keep_their_number() {
    assert_eq!(Error::unsupported("x").errno_of_copy(), libc::EOPNOTSUPP);
    assert_eq!(service(409, "InvalidBlobType").errno_of_copy(), libc::EOPNOTSUPP);
}

#[test]
fn a_path_of_another_type_is_known_by_its_text() {
    // S141: the code at the Blob endpoint is not known.
    let Error::Service(error) = service(409, "SomethingNew") else { unreachable!() };
    assert!(!Error::Service(error.clone()).is_of_another_type());
    let message =
        "The specified path, or an element of the path, exists and its resource type is invalid for this operation.";
    let refused = Error::from(ServiceError { message: message.to_owned(), ..*error });
    assert_eq!((refused.is_of_another_type(), refused.errno()), (true, libc::ENOTDIR));
}
