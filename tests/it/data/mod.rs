//! Content: what a program writes is in the service when close returns, what it reads is one version, and neither costs more
//! requests or bytes than it must.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blobcp::devstore::{Fault, Reset};
use blobcp::store::{BlobSettings, ContentHeaders, WriteOptions};
use md5::{Digest, Md5};

use crate::common::*;

mod closing;
mod crosswise;
mod failing;
mod random;
mod reading;
mod sharing;
mod writing;

const MIB: usize = 1 << 20;
const GIB: u64 = 1 << 30;
/// Bytes of a block and of the largest blob that one Put Blob writes.
const BLOCK: u64 = 8 << 20;
/// Bytes that a sequential reader fetches at a time.
const PART: u64 = 4 << 20;

/// The mount knows the file from here on, and nothing is counted yet.
fn known(world: &World, name: &str) {
    world.ok(&format!("stat {name} > /dev/null"));
    world.reset_stats();
}

/// A blob with metadata and properties of its own, written by somebody else.
fn put_adorned(world: &World, name: &str, content: &[u8]) {
    let headers = ContentHeaders {
        content_type: Some("text/x-log".into()),
        cache_control: Some("no-store".into()),
        content_language: Some("de".into()),
        content_disposition: Some("inline".into()),
        content_encoding: Some("identity".into()),
        content_md5: Some(STANDARD.encode(Md5::digest(content))),
    };
    let metadata = [("color", "blue"), ("owner_team", "x y")].into_iter().collect();
    let settings = BlobSettings { headers, metadata, ..Default::default() };
    let body = content.to_vec();
    let client = world.client(ONE);
    world.block_on(client.blob(&path(name)).block_blob().upload(body, &settings, &WriteOptions::default())).unwrap();
}

/// Metadata and properties are those of [`put_adorned`], and no hash is told that is not the content's.
#[track_caller]
fn assert_adorned(world: &World, name: &str) {
    let now = world.properties(ONE, name).unwrap();
    assert_eq!(now.headers.content_type.as_deref(), Some("text/x-log"));
    assert_eq!(now.headers.cache_control.as_deref(), Some("no-store"));
    assert_eq!(now.headers.content_language.as_deref(), Some("de"));
    assert_eq!(now.headers.content_disposition.as_deref(), Some("inline"));
    assert_eq!(now.headers.content_encoding.as_deref(), Some("identity"));
    let hash = STANDARD.encode(Md5::digest(world.stored(name)));
    assert!(now.headers.content_md5.is_none_or(|told| told == hash));
    assert_eq!((now.metadata.get("color"), now.metadata.get("owner_team")), (Some("blue"), Some("x y")));
}

fn fault(operation: &str) -> Fault {
    Fault::on(operation)
}

/// As many as there are tries, and more.
fn persistent(operation: &str) -> Fault {
    Fault { count: 1000, status: Some(500), ..Fault::on(operation) }
}
