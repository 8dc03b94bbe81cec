//! The REST operation that a request is.
//!
//! The Blob service spreads its operations over methods, `restype`, `comp` and a few headers. [`Operation::of`] is the
//! one place that untangles this, so that everything behind it (permissions, faults, statistics, dispatch) works with a
//! name. The names are those of the REST reference without spaces; tests and the control interface use them.

use hyper::Method;

use super::address::{Endpoint, Revision, Target};
use super::error::{Code, ServiceError};
use super::request::Call;

macro_rules! operations {
    ($($operation:ident)*) => {
        /// A REST operation, named as in the reference.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Operation { $($operation,)* }

        impl Operation {
            /// The name in statistics, the request log and fault rules.
            pub(super) fn name(self) -> &'static str {
                match self { $(Operation::$operation => stringify!($operation),)* }
            }
        }
    };
}

operations! {
    ListContainers GetAccountInformation GetUserDelegationKey FindBlobsByTags
    FindBlobsByTagsInContainer
    CreateContainer DeleteContainer GetContainerProperties GetContainerMetadata SetContainerMetadata
    GetContainerACL SetContainerACL LeaseContainer ListBlobs
    GetBlob GetBlobProperties GetBlobMetadata GetBlobTags GetBlockList GetPageRanges
    PutBlob PutBlobFromURL PutBlock PutBlockFromURL PutBlockList
    AppendBlock AppendBlockFromURL AppendBlobSeal PutPage PutPageFromURL
    SetBlobMetadata SetBlobProperties SetBlobTier SetBlobTags
    SnapshotBlob LeaseBlob DeleteBlob BlobBatch
    CopyBlob CopyBlobFromURL AbortCopyBlob IncrementalCopyBlob
    RenamePath CreatePath AppendPath FlushPath DeletePath GetPathProperties SetAccessControl GetFilesystemProperties
    ListPaths
    UndeleteBlob RestoreContainer
    SetImmutabilityPolicy DeleteImmutabilityPolicy SetLegalHold
}

impl Operation {
    /// The dispatch rule of §13.1 and of each section's request lines. Unknown combinations are answered like the
    /// service does: a known `comp` with the wrong verb is 405, an unknown one 400.
    pub(super) fn of(call: &Call) -> Result<Operation, ServiceError> {
        let comp = call.query.get("comp").unwrap_or("");
        let restype = call.query.get("restype").unwrap_or("");
        refuse_what_is_not_offered(call)?;
        if call.endpoint != Endpoint::Blob && call.headers.contains_key("x-ms-rename-source") {
            return match (&call.method, &call.target) {
                (&Method::PUT, Target::Blob(_)) => Ok(Operation::RenamePath),
                _ => Err(Code::UnsupportedHttpVerb.into()),
            };
        }
        if let Some(operation) = Operation::of_path(call)? {
            return Ok(operation);
        }
        if restype == "account" && comp == "properties" {
            return Ok(Operation::GetAccountInformation);
        }
        match call.target {
            Target::Account => Operation::of_account(call, comp),
            Target::Container { .. } => Operation::of_container(call, comp),
            Target::Blob(_) => Operation::of_blob(call, comp),
        }
    }

    /// An operation of the endpoint of hierarchical namespaces. In path style only what the query says tells it from one
    /// of the Blob service.
    fn of_path(call: &Call) -> Result<Option<Operation>, ServiceError> {
        let of = |name: &str| call.query.get(name);
        let dfs = call.endpoint == Endpoint::Dfs;
        let found = match (call.endpoint, &call.target, call.method.as_str()) {
            (Endpoint::Blob, ..) => None,
            (_, Target::Container { .. }, method) if of("resource") == Some("filesystem") => match method {
                "HEAD" => Some(Operation::GetFilesystemProperties),
                "GET" => Some(Operation::ListPaths),
                "PUT" => Some(Operation::CreateContainer),
                "DELETE" => Some(Operation::DeleteContainer),
                _ => return Err(Code::NotImplemented.into()),
            },
            (_, Target::Container { .. }, "HEAD") if of("action").is_some() => Some(Operation::GetPathProperties),
            (_, Target::Blob(_), "PUT") if of("resource").is_some() => Some(Operation::CreatePath),
            (_, Target::Blob(_), "PATCH") => match of("action") {
                Some("append") => Some(Operation::AppendPath),
                Some("flush") => Some(Operation::FlushPath),
                Some("setAccessControl") => Some(Operation::SetAccessControl),
                Some("setProperties" | "setAccessControlRecursive") => return Err(Code::NotImplemented.into()),
                other => return Err(ServiceError::invalid_query("action", other.unwrap_or(""))),
            },
            (_, Target::Blob(_), "DELETE") if dfs || of("recursive").is_some() => Some(Operation::DeletePath),
            (_, Target::Blob(_), "HEAD") if dfs || of("action").is_some() => Some(Operation::GetPathProperties),
            (_, Target::Blob(_), "GET") if dfs => Some(Operation::GetBlob),
            _ => None,
        };
        if found.is_none() && dfs { Err(Code::NotImplemented.into()) } else { Ok(found) }
    }

    /// Answered by the endpoint of hierarchical namespaces, with errors of its own.
    pub(super) fn is_of_dfs(self) -> bool {
        use Operation::*;
        matches!(
            self,
            RenamePath
                | CreatePath
                | AppendPath
                | FlushPath
                | DeletePath
                | GetPathProperties
                | SetAccessControl
                | GetFilesystemProperties
                | ListPaths
        )
    }

    /// The SAS letters that admit `call`: deleting a version needs one of its own.
    pub(super) fn sas_permissions_for(self, call: &Call) -> &'static str {
        match (self, call.revision()) {
            (Operation::DeleteBlob, Revision::Version(_)) => "x",
            _ => self.sas_permissions(),
        }
    }

    fn of_account(call: &Call, comp: &str) -> Result<Operation, ServiceError> {
        match (&call.method, comp) {
            (&Method::GET, "list") => Ok(Operation::ListContainers),
            (&Method::GET, "blobs") => Ok(Operation::FindBlobsByTags),
            (&Method::POST, "userdelegationkey") => Ok(Operation::GetUserDelegationKey),
            (&Method::POST, "batch") => Ok(Operation::BlobBatch),
            (_, "properties" | "stats" | "userdelegationkey" | "batch") => Err(Code::NotImplemented.into()),
            _ => Err(unknown(call, comp)),
        }
    }

    fn of_container(call: &Call, comp: &str) -> Result<Operation, ServiceError> {
        let read = matches!(call.method, Method::GET | Method::HEAD);
        let put = call.method == Method::PUT;
        match comp {
            "" if put => Ok(Operation::CreateContainer),
            "" if read => Ok(Operation::GetContainerProperties),
            "" if call.method == Method::DELETE => Ok(Operation::DeleteContainer),
            "list" if call.method == Method::GET => Ok(Operation::ListBlobs),
            "metadata" if read => Ok(Operation::GetContainerMetadata),
            "metadata" if put => Ok(Operation::SetContainerMetadata),
            "acl" if read => Ok(Operation::GetContainerACL),
            "acl" if put => Ok(Operation::SetContainerACL),
            "lease" if put => Ok(Operation::LeaseContainer),
            "batch" if call.method == Method::POST => Ok(Operation::BlobBatch),
            "blobs" if call.method == Method::GET => Ok(Operation::FindBlobsByTagsInContainer),
            "undelete" if put => Ok(Operation::RestoreContainer),
            "blobs" | "undelete" | "rename" | "batch" => Err(Code::NotImplemented.into()),
            "list" | "metadata" | "acl" | "lease" => Err(Code::UnsupportedHttpVerb.into()),
            _ => Err(unknown(call, comp)),
        }
    }

    fn of_blob(call: &Call, comp: &str) -> Result<Operation, ServiceError> {
        match call.method {
            Method::GET => match comp {
                "" => Ok(Operation::GetBlob),
                "metadata" => Ok(Operation::GetBlobMetadata),
                "tags" => Ok(Operation::GetBlobTags),
                "blocklist" => Ok(Operation::GetBlockList),
                "pagelist" => Ok(Operation::GetPageRanges),
                _ => Err(unknown(call, comp)),
            },
            Method::HEAD => match comp {
                "" => Ok(Operation::GetBlobProperties),
                "metadata" => Ok(Operation::GetBlobMetadata),
                _ => Err(unknown(call, comp)),
            },
            Method::DELETE if comp.is_empty() => Ok(Operation::DeleteBlob),
            Method::DELETE if comp.eq_ignore_ascii_case(POLICIES) => Ok(Operation::DeleteImmutabilityPolicy),
            Method::PUT => Operation::of_blob_put(call, comp),
            _ => Err(Code::UnsupportedHttpVerb.into()),
        }
    }

    fn of_blob_put(call: &Call, comp: &str) -> Result<Operation, ServiceError> {
        let from_url = call.headers.contains_key("x-ms-copy-source");
        Ok(match (comp, from_url) {
            ("", false) => Operation::PutBlob,
            ("", true) if call.headers.contains_key("x-ms-blob-type") => Operation::PutBlobFromURL,
            ("", true) if call.flag("x-ms-requires-sync") => Operation::CopyBlobFromURL,
            ("", true) => Operation::CopyBlob,
            ("block", false) => Operation::PutBlock,
            ("block", true) => Operation::PutBlockFromURL,
            ("blocklist", _) => Operation::PutBlockList,
            ("appendblock", false) => Operation::AppendBlock,
            ("appendblock", true) => Operation::AppendBlockFromURL,
            ("page", false) => Operation::PutPage,
            ("page", true) => Operation::PutPageFromURL,
            ("seal", _) => Operation::AppendBlobSeal,
            ("metadata", _) => Operation::SetBlobMetadata,
            ("properties", _) => Operation::SetBlobProperties,
            ("tier", _) => Operation::SetBlobTier,
            ("tags", _) => Operation::SetBlobTags,
            ("snapshot", _) => Operation::SnapshotBlob,
            ("lease", _) => Operation::LeaseBlob,
            ("copy", _) => Operation::AbortCopyBlob,
            ("incrementalcopy", _) => Operation::IncrementalCopyBlob,
            (policies, _) if policies.eq_ignore_ascii_case(POLICIES) => Operation::SetImmutabilityPolicy,
            ("legalhold", _) => Operation::SetLegalHold,
            ("undelete", _) => Operation::UndeleteBlob,
            ("expiry" | "query", _) => {
                return Err(Code::NotImplemented.into());
            }
            _ => return Err(unknown(call, comp)),
        })
    }

    /// Letters of a SAS that admit the operation (any one of them is enough), §3.3.
    pub(super) fn sas_permissions(self) -> &'static str {
        use Operation::*;
        match self {
            // Each request of a batch is admitted by itself.
            GetAccountInformation | BlobBatch => "racwdxlt",
            ListContainers | ListBlobs | ListPaths => "l",
            CreateContainer | CreatePath | PutBlob | PutBlobFromURL | PutBlock | PutBlockFromURL | PutBlockList
            | CopyBlob | CopyBlobFromURL | SnapshotBlob => "cw",
            AppendBlock | AppendBlockFromURL | AppendBlobSeal | AppendPath | FlushPath => "aw",
            SetAccessControl => "p",
            GetFilesystemProperties
            | GetPathProperties
            | GetContainerProperties
            | GetContainerMetadata
            | GetBlob
            | GetBlobProperties
            | GetBlobMetadata
            | GetBlockList
            | GetPageRanges => "r",
            SetContainerMetadata | PutPage | PutPageFromURL | SetBlobMetadata | SetBlobProperties | SetBlobTier
            | AbortCopyBlob | IncrementalCopyBlob | UndeleteBlob | RestoreContainer => "w",
            SetImmutabilityPolicy | DeleteImmutabilityPolicy | SetLegalHold => "i",
            RenamePath => "cwm",
            LeaseContainer | LeaseBlob => "wd",
            DeleteContainer | DeleteBlob | DeletePath => "d",
            GetBlobTags | SetBlobTags => "t",
            FindBlobsByTags | FindBlobsByTagsInContainer => "f",
            // Only the account's owner reads or sets who may see a container.
            // And what an identity may delegate, only itself.
            GetContainerACL | SetContainerACL | GetUserDelegationKey => "",
        }
    }

    /// The resource type (`srt`) of an account SAS that the operation belongs to.
    pub(super) fn sas_resource_type(self) -> char {
        use Operation::*;
        match self {
            ListContainers | GetUserDelegationKey | FindBlobsByTags => 's',
            CreateContainer
            | FindBlobsByTagsInContainer
            | DeleteContainer
            | GetContainerProperties
            | GetContainerMetadata
            | SetContainerMetadata
            | GetContainerACL
            | SetContainerACL
            | LeaseContainer
            | GetFilesystemProperties
            | ListPaths
            | RestoreContainer
            | ListBlobs => 'c',
            _ => 'o',
        }
    }

    /// Whether the body of a request is blob payload, which the statistics count.
    pub(super) fn carries_payload(self) -> bool {
        use Operation::*;
        matches!(self, PutBlob | PutBlock | AppendBlock | PutPage | AppendPath)
    }
}

/// `comp` of the operations on the policy of a version; clients write it in two ways.
const POLICIES: &str = "immutabilityPolicies";

/// Encryption scopes are for whole blobs. To ignore one would pretend a protection that is not there.
fn refuse_what_is_not_offered(call: &Call) -> Result<(), ServiceError> {
    let name = "x-ms-encryption-scope";
    match call.query.nonempty("comp").is_some() && call.headers.contains_key(name) {
        true => Err(ServiceError::from(Code::NotImplemented).with_detail("Reason", name)),
        false => Ok(()),
    }
}

fn unknown(call: &Call, comp: &str) -> ServiceError {
    match call.method {
        Method::GET | Method::HEAD | Method::PUT | Method::DELETE => ServiceError::invalid_query("comp", comp),
        _ => Code::UnsupportedHttpVerb.into(),
    }
}
