//! Append and page blobs are written as what they are, and stay what they are.

use std::time::Duration;

use blobcp::store::sas::{self, Validity};
use blobcp::store::*;
use bytes::Bytes;

use crate::common::*;

mod append;
mod page;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// Properties and metadata that must outlive every change.
fn settings() -> BlobSettings {
    BlobSettings {
        headers: ContentHeaders {
            content_type: Some("text/x-log".into()),
            cache_control: Some("no-store".into()),
            ..Default::default()
        },
        metadata: [("color", "blue")].into_iter().collect(),
        tags: vec![("team".into(), "ours".into())],
        ..Default::default()
    }
}

#[track_caller]
fn assert_kept(world: &World, name: &str, blob_type: BlobType) -> BlobProperties {
    let now = world.properties(ONE, name).unwrap();
    assert_eq!(now.blob_type, blob_type);
    assert_eq!(now.headers.content_type.as_deref(), Some("text/x-log"));
    assert_eq!(now.headers.cache_control.as_deref(), Some("no-store"));
    assert_eq!(now.metadata.get("color"), Some("blue"));
    assert_eq!(world.block_on(world.client(ONE).blob(&path(name)).tags()).unwrap(), settings().tags);
    now
}

fn put_append(world: &World, name: &str, content: &'static str) {
    let client = world.client(ONE);
    world.block_on(client.blob(&path(name)).append_blob().create(&settings(), &WriteOptions::default())).unwrap();
    if !content.is_empty() {
        append(world, name, content);
    }
}

/// Another client appends.
fn append(world: &World, name: &str, content: &'static str) {
    let size = world.properties(ONE, name).unwrap().size;
    let body = Bytes::from_static(content.as_bytes());
    world
        .block_on(world.client(ONE).blob(&path(name)).append_blob().append_block(size, body, &WriteOptions::default()))
        .unwrap();
}

fn put_page(world: &World, name: &str, size: u64) {
    world
        .block_on(world.client(ONE).blob(&path(name)).page_blob().create(size, &settings(), &WriteOptions::default()))
        .unwrap();
}

/// Another client writes whole pages.
fn write_pages(world: &World, name: &str, offset: u64, content: impl Into<Bytes>) {
    let etag = world.properties(ONE, name).unwrap().etag;
    let guard = Precondition::IfMatch(etag).into();
    world
        .block_on(world.client(ONE).blob(&path(name)).page_blob().upload_pages(offset, content.into(), &guard))
        .unwrap();
}

fn range(world: &World, name: &str, range: std::ops::Range<u64>) -> Bytes {
    world.block_on(world.client(ONE).blob(&path(name)).download(range)).unwrap().bytes
}

/// What no method of the client does, by another hand.
fn raw_put(world: &World, name: &str, query: &str) {
    let key = AccountKey::parse(&world.store.account_key(ONE).unwrap()).unwrap();
    let client = world.client(ONE);
    let validity = Validity::for_the_next(Duration::from_secs(600));
    let token = sas::account(&key, client.account(), "racwl", "co", &validity, DEFAULT_API_VERSION);
    let url = format!("{}?{query}&{}", client.blob(&path(name)).url(), token.expose());
    let request = reqwest::Client::new().put(url).header("content-length", 0);
    let answer = world.block_on(request.send()).unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
}

#[test]
fn a_copy_onto_another_type_is_refused_and_moves_nothing() {
    // C7
    let world = World::new();
    let put = |name: &str, kind: BlobType| match kind {
        BlobType::Block => world.put(name, "block"),
        BlobType::Append => put_append(&world, name, "append"),
        BlobType::Page => put_page(&world, name, 512),
    };
    let kinds = [BlobType::Block, BlobType::Append, BlobType::Page];
    let pairs: Vec<_> = kinds.into_iter().flat_map(|from| kinds.map(|to| (from, to))).filter(|(a, b)| a != b).collect();
    // All of them before the mount has looked.
    for (number, (from, to)) in pairs.iter().enumerate() {
        put(&format!("from{number}"), *from);
        put(&format!("to{number}"), *to);
    }
    for (number, pair) in pairs.iter().enumerate() {
        let (from, to) = (&format!("from{number}"), &format!("to{number}"));
        let before = world.properties(ONE, to).unwrap();
        let content = world.stored(to);
        world.reset_stats();
        for command in [format!("cp {from} {to}"), format!("cat {from} > {to}")] {
            let ran = world.sh(&command);
            assert_eq!(ran.code, Some(1), "{command}: {ran:?}");
            assert!(ran.stderr.contains("Operation not supported"), "{pair:?} {command}: {ran:?}");
        }
        assert_no_payload(&world.stats());
        assert_eq!(world.properties(ONE, to).unwrap(), before);
        assert_eq!(world.stored(to), content);
        // Neither is broken by it.
        assert_eq!(world.ok(&format!("cat {from} | wc -c")), format!("{}\n", world.stored(from).len()));
        world.ok(&format!("echo more >> {to}; rm {from} {to}"));
    }
}
