//! From an operation to its handler: the one place above all handlers that knows every one of them.

use super::address::Target;
use super::error::Code;
use super::operation::Operation;
use super::reply::Outcome;
use super::request::{Call, Upload};
use super::server::Server;
use super::{
    account, batch, blob, blocks, container, copy, dfs, find, from_url, holds, list, list_deleted, list_paths, page,
    path, soft_delete,
};

/// Carries an admitted request out.
pub(super) fn perform(server: &Server, call: &Call, operation: Operation, upload: Upload) -> Outcome {
    match operation.is_of_dfs() {
        true => on_path(server, call, operation, upload).map_err(dfs::in_its_words),
        false => on_blob(server, call, operation, upload).map_err(|error| path::at_the_blob_endpoint(server, error)),
    }
}

/// Operations of the endpoint of hierarchical namespaces.
fn on_path(server: &Server, call: &Call, operation: Operation, upload: Upload) -> Outcome {
    use Operation::*;
    match operation {
        GetFilesystemProperties => dfs::filesystem(server, call),
        CreatePath => dfs::create(server, call),
        AppendPath => dfs::append(server, call, upload),
        FlushPath => dfs::flush(server, call),
        DeletePath => dfs::delete(server, call),
        GetPathProperties if matches!(call.target, Target::Container { .. }) => list_paths::root(server, call),
        GetPathProperties => dfs::properties(server, call),
        ListPaths => list_paths::paths(server, call),
        SetAccessControl => dfs::set_access(server, call),
        RenamePath => path::rename(server, call),
        _ => Err(Code::NotImplemented.into()),
    }
}

fn on_blob(server: &Server, call: &Call, operation: Operation, upload: Upload) -> Outcome {
    use Operation::*;
    match operation {
        ListContainers => list::containers(server, call),
        GetAccountInformation => account::information(server, call),
        GetUserDelegationKey => account::delegation_key(server, call, &upload),
        FindBlobsByTags | FindBlobsByTagsInContainer => find::by_tags(server, call),
        CreateContainer => container::create(server, call),
        DeleteContainer => container::delete(server, call),
        GetContainerProperties | GetContainerMetadata => container::properties(server, call),
        SetContainerMetadata => container::set_metadata(server, call),
        GetContainerACL => container::acl(server, call),
        SetContainerACL => container::set_acl(server, call, upload),
        LeaseContainer => container::lease(server, call),
        ListBlobs if list_deleted::is_meant(call) => list_deleted::blobs(server, call),
        ListBlobs => list::blobs(server, call),
        GetBlob => blob::get(server, call),
        GetBlobProperties => blob::properties(server, call),
        GetBlobMetadata => blob::metadata(server, call),
        GetBlobTags => blob::tags(server, call),
        GetBlockList => blocks::list(server, call),
        GetPageRanges => page::ranges(server, call),
        PutBlob => blob::put(server, call, upload),
        PutBlobFromURL => from_url::put_blob(server, call),
        PutBlock => blocks::put(server, call, upload),
        PutBlockFromURL => from_url::put_block(server, call),
        PutBlockList => blocks::commit(server, call, upload),
        AppendBlock => blocks::append(server, call, upload),
        AppendBlockFromURL => from_url::append_block(server, call),
        AppendBlobSeal => blocks::seal(server, call),
        PutPage => page::put(server, call, upload),
        PutPageFromURL => from_url::put_page(server, call),
        SetBlobMetadata => blob::set_metadata(server, call),
        SetBlobProperties => blob::set_properties(server, call),
        SetBlobTier => blob::set_tier(server, call),
        SetBlobTags => blob::set_tags(server, call, upload),
        SnapshotBlob => blob::snapshot(server, call),
        LeaseBlob => blob::lease(server, call),
        DeleteBlob => blob::delete(server, call),
        BlobBatch => batch::submit(server, call, &upload, perform),
        CopyBlob => copy::start(server, call),
        CopyBlobFromURL => copy::synchronous(server, call),
        AbortCopyBlob => copy::abort(server, call),
        UndeleteBlob => soft_delete::undelete(server, call),
        RestoreContainer => soft_delete::restore_container(server, call),
        SetImmutabilityPolicy => holds::set_policy(server, call),
        DeleteImmutabilityPolicy => holds::delete_policy(server, call),
        SetLegalHold => holds::set_hold(server, call),
        _ => Err(Code::NotImplemented.into()),
    }
}
