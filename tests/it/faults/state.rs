//! What the service has of a call's blobs, and whether that may be.

use std::collections::{BTreeMap, BTreeSet};

use blobcp::path::ContainerName;
use blobcp::store::{AppendBlobClient, BlobItem, BlobSettings, ListBlobs, Page, Precondition, WriteOptions};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::calls::{Call, Names};
use crate::common::*;

/// The file that keeps the directory of a call there.
const KEEP: &str = "keep";

/// Values by names, as `calls.rs` says.
pub type State = BTreeMap<String, Vec<u8>>;

/// What the service has.
#[derive(Debug, Default)]
pub struct Seen {
    pub state: State,
    /// What a mount shows of the directory, as `view` of `calls.py` tells it.
    pub view: BTreeMap<String, String>,
    /// Blobs with a lease.
    pub leased: Vec<String>,
    /// Copies that are pending.
    pub pending: Vec<String>,
}

/// The content that a text means.
pub fn content(text: &str) -> Vec<u8> {
    let part = |part: &str| match (part.strip_prefix('@'), part.split_once('*')) {
        (Some(range), _) => {
            let (start, end) = range.split_once('-').unwrap_or(("0", range));
            let (start, end): (usize, usize) = (start.parse().unwrap(), end.parse().unwrap());
            pattern(end)[start..].to_vec()
        }
        (None, Some((letter, times))) => letter.as_bytes().repeat(times.parse().unwrap()),
        (None, None) => part.as_bytes().to_vec(),
    };
    text.split('+').filter(|part| !part.is_empty()).flat_map(part).collect()
}

/// A text of `calls.rs`: kind of the blob, and its content.
fn kind_of(text: &str) -> (&str, &str) {
    ["append", "page", "dfs"]
        .iter()
        .find_map(|kind| Some((*kind, text.strip_prefix(kind)?.strip_prefix(':')?)))
        .unwrap_or(("block", text))
}

pub fn state_of(names: Names) -> State {
    let value = |name: &str, text: &str| match name.contains(['#', '@']) || name == "box" {
        true => text.as_bytes().to_vec(),
        false => content(kind_of(text).1),
    };
    names.iter().map(|(name, text)| ((*name).to_owned(), value(name, text))).collect()
}

/// Puts there what a call finds.
pub fn put(world: &World, directory: &str, names: Names) {
    world.put(&format!("{directory}/{KEEP}"), "");
    world.store.put_blob(TWO, BOX, &format!("{directory}/{KEEP}"), Bytes::new(), "text/plain").unwrap();
    for (name, text) in names {
        let (account, name) = name.strip_prefix("two:").map_or((ONE, *name), |name| (TWO, name));
        let (kind, text) = kind_of(text);
        let (name, bytes) = (format!("{directory}/{name}"), Bytes::from(content(text)));
        let (client, path) = (world.client(account), path(&name));
        let (settings, options) = (BlobSettings::default(), WriteOptions::default());
        match kind {
            "append" => {
                let blob = || client.blob(&path).append_blob();
                world.block_on(blob().create(&settings, &options)).unwrap();
                world.block_on(append(blob(), bytes));
            }
            "page" => {
                let blob = || client.blob(&path).page_blob();
                let made = world.block_on(blob().create(bytes.len() as u64, &settings, &options)).unwrap();
                let guard = Precondition::IfMatch(made.etag).into();
                world.block_on(blob().upload_pages(0, bytes, &guard)).unwrap();
            }
            "dfs" => world.store.put_over_dfs(account, BOX, &name, bytes).unwrap(),
            _ => world.store.put_blob(account, BOX, &name, bytes, "text/plain").unwrap(),
        }
    }
}

async fn append(blob: AppendBlobClient<'_>, bytes: Bytes) {
    blob.append_block(0, bytes, &WriteOptions::default()).await.unwrap();
}

fn list(world: &World, account: &str, prefix: &str, snapshots: bool) -> Vec<BlobItem> {
    let container = ContainerName::parse(BOX).unwrap();
    let list = ListBlobs { prefix, snapshots, ..Default::default() };
    let page: Page<BlobItem> = world.block_on(world.client(account).container(&container).list_blobs(&list)).unwrap();
    assert!(page.next.is_none(), "more than a page of {prefix}");
    page.items
}

/// Asks the service, past the mount.
pub fn look(world: &World, call: &Call, directory: &str, hierarchical: bool) -> Seen {
    let mut seen = Seen::default();
    let watched: BTreeSet<&str> = [call.before, call.after, call.between]
        .concat()
        .iter()
        .filter_map(|(name, _)| Some(name.split_once('#')?.1))
        .collect();
    for (account, mark) in [(ONE, ""), (TWO, "two:")] {
        let prefix = format!("{directory}/");
        for item in list(world, account, &prefix, !hierarchical) {
            let full = item.name.as_str();
            let short = full.strip_prefix(&prefix).unwrap();
            if short == KEEP {
                continue;
            }
            let name = format!("{mark}{short}");
            if item.revision.is_some() {
                let count = seen.state.entry(format!("{name}@")).or_insert_with(|| b"0".to_vec());
                *count = vec![count[0] + 1];
                continue;
            }
            let told = world.properties(account, full).unwrap();
            let bytes = world.store.content(account, BOX, full).unwrap();
            let folder = told.metadata.flag("hdi_isfolder") || told.path.as_ref().is_some_and(|path| path.is_directory);
            let link = told.metadata.flag("is_symlink");
            if told.lease.state.as_deref().is_some_and(|state| state == "leased") {
                seen.leased.push(name.clone());
            }
            if told.copy.as_ref().is_some_and(|copy| copy.status == blobcp::store::CopyStatus::Pending) {
                seen.pending.push(name.clone());
            }
            for attribute in &watched {
                let value = match *attribute {
                    "language" => told.headers.content_language.clone(),
                    "tier" => told.tier.clone().filter(|_| !told.tier_inferred),
                    "permissions" => told.path.as_ref().and_then(|path| path.permissions.clone()),
                    "tag" => {
                        let tags = world.block_on(world.client(account).blob(&path(full)).tags()).unwrap();
                        let values: Vec<_> = tags.into_iter().map(|(_, value)| value).collect();
                        Some(values.join("+")).filter(|values| !values.is_empty())
                    }
                    name => told.metadata.get(name).map(str::to_owned),
                };
                value.map(|value| seen.state.insert(format!("{name}#{attribute}"), value.into_bytes()));
            }
            if account == ONE {
                let shown = match (folder, link) {
                    (true, _) => "dir".to_owned(),
                    (_, true) => format!("link {}", String::from_utf8_lossy(&bytes)),
                    _ => Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect(),
                };
                for (at, _) in short.match_indices('/') {
                    seen.view.insert(short[..at].to_owned(), "dir".to_owned());
                }
                seen.view.insert(short.trim_end_matches('/').to_owned(), shown);
            }
            let name = if folder { format!("{}/", name.trim_end_matches('/')) } else { name };
            seen.state.insert(name, bytes.to_vec());
        }
    }
    seen
}

/// The call's container, if it is there: its metadata `color`.
pub fn container(world: &World, name: &str) -> Option<Vec<u8>> {
    let name = ContainerName::parse(name).unwrap();
    match world.block_on(world.client(ONE).container(&name).properties()) {
        Ok(found) => Some(found.metadata.get("color").unwrap_or_default().as_bytes().to_vec()),
        Err(error) if error.is_not_found() => None,
        Err(error) => panic!("{error}"),
    }
}

fn show(value: Option<&Vec<u8>>) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(bytes) if bytes.len() > 40 => format!("{} bytes", bytes.len()),
        Some(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
    }
}

/// What is not as it has to be after a call that succeeded. `lasting`: the fault was no single one. Then a snapshot may be left that
/// could not be removed, and a directory be gone whose last file was taken away.
pub fn is_done(seen: &State, call: &Call, lasting: bool) -> Result<(), String> {
    let after = state_of(call.after);
    for name in seen.keys().chain(after.keys()) {
        let may = lasting
            && (name.ends_with('@') && seen.get(name).is_some() || name.ends_with('/') && seen.get(name).is_none());
        if seen.get(name) != after.get(name) && !may {
            return Err(format!("{name} has {} and not {}", show(seen.get(name)), show(after.get(name))));
        }
    }
    Ok(())
}

/// What is not as it may be after a call that failed: each name has the old or the new, and no content is gone that the call
/// was not to remove.
pub fn is_whole(seen: &State, before: &State, call: &Call) -> Result<(), String> {
    let after = state_of(call.after);
    let between = call.between.iter().map(|pair| state_of(std::slice::from_ref(pair)));
    let between: Vec<State> = between.collect();
    for name in seen.keys().chain(before.keys()).chain(after.keys()) {
        let now = seen.get(name);
        // However many there are: a snapshot whose answer is lost is taken once more.
        let kept = name.ends_with('@') && between.iter().any(|state| state.contains_key(name));
        let may = kept
            || now == before.get(name)
            || now == after.get(name)
            || now.is_some() && between.iter().any(|state| state.get(name) == now);
        if !may {
            return Err(format!("{name} has {}", show(now)));
        }
    }
    for (name, value) in before.iter().filter(|(_, value)| after.values().any(|after| after == *value)) {
        if !seen.values().any(|now| now == value) {
            return Err(format!("{} of {name} is gone", show(Some(value))));
        }
    }
    Ok(())
}
