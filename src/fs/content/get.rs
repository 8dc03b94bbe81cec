//! Ranged GETs of a version of a blob, whatever its type: a block blob by its ETag, an append blob that may have grown
//! since, a page blob without its holes.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::content::page::stored_ranges;
use crate::fs::content::read::{PART, Receive, Version};
use crate::fs::names::tree::{Blob, Origin, is_grown};
use crate::store::{BlobProperties, BlobType, Client};

/// A ranged GET of that version of a blob.
pub(crate) async fn fetch(
    client: Client,
    origin: Origin,
    version: Arc<Version>,
    range: Range<u64>,
    receive: Receive,
) -> Result<()> {
    let Origin { blob, revision } = origin;
    let properties = &version.properties;
    match properties.blob_type {
        // What a blob was does not grow, whatever its type.
        _ if revision.is_some() => {
            client.blob(&blob.path).at(revision.as_ref()).download_into(range, properties, receive).await
        }
        BlobType::Block => client.blob(&blob.path).download_into(range, properties, receive).await,
        BlobType::Append => append_range(&client, &blob, properties, range, receive).await,
        BlobType::Page => page_range(&client, &blob, &version, range, receive).await,
    }
}

/// A ranged GET of what `then` has. The ETag may be another one by now, the content is not.
async fn append_range(
    client: &Client,
    blob: &Blob,
    then: &BlobProperties,
    range: Range<u64>,
    mut receive: Receive,
) -> Result<()> {
    let found = client.blob(&blob.path).download(range.clone()).await?;
    if !is_grown(then, &found.properties) {
        return Err(Error::stale(format!("{} was made anew while it was open", blob.path)));
    }
    receive(range.start, &found.bytes);
    Ok(())
}

/// A ranged GET that leaves out what was never written: the service would send zeros.
async fn page_range(
    client: &Client,
    blob: &Blob,
    version: &Version,
    range: Range<u64>,
    mut receive: Receive,
) -> Result<()> {
    let properties = &version.properties;
    if properties.size <= PART {
        // One request more than it could save.
        return client.blob(&blob.path).download_into(range, properties, receive).await;
    }
    let data = stored_ranges(client, blob, version).await?.within(&range);
    let data = match (data.first(), data.last()) {
        (Some(first), Some(last)) => first.start..last.end,
        _ => range.end..range.end,
    };
    zeros(range.start..data.start, &mut receive);
    if !data.is_empty() {
        client.blob(&blob.path).download_into(data.clone(), properties, &mut receive).await?;
    }
    zeros(data.end..range.end, &mut receive);
    Ok(())
}

fn zeros(range: Range<u64>, receive: &mut Receive) {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    for at in range.clone().step_by(ZEROS.len()) {
        receive(at, &ZEROS[..ZEROS.len().min((range.end - at) as usize)]);
    }
}
