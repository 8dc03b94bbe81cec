//! Promises about metadata: what of it is signed and how, and how its names are spelled.

use blobcp::store::*;

use super::{Backend, metadata, settings};
use crate::common::raw;

pub async fn metadata_are_signed_in_the_services_order(b: &Backend) {
    let blob = b.put("a", "x").await;
    let entries = metadata(&[("a1", "1"), ("a_1", "2"), ("a", "  x y "), ("_b", "\"q\""), ("ab", ""), ("a_b", "3")]);
    b.client.blob(&blob).set_metadata(&entries, &WriteOptions::default()).await.unwrap();
    let found = b.client.blob(&blob).properties().await.unwrap().metadata;
    assert_eq!((found.get("a"), found.get("_b")), (Some("x y"), Some("\"q\"")));
    assert_eq!((found.get("a1"), found.get("a_1"), found.get("a_b")), (Some("1"), Some("2"), Some("3")));
}

pub async fn runs_of_white_space_are_signed(b: &Backend) {
    let blob = b.put("a", "x").await;
    let entries = metadata(&[("a", "x  y"), ("b", "x \"q  q\"")]);
    b.client.blob(&blob).set_metadata(&entries, &WriteOptions::default()).await.unwrap();
    assert_eq!(b.client.blob(&blob).properties().await.unwrap().metadata, entries);
}

/// Names and values in their order, and as they are spelled, which they are not compared by otherwise.
fn spelled(metadata: &Metadata) -> Vec<(String, String)> {
    metadata.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

pub async fn names_of_metadata_keep_their_case(b: &Backend) {
    let entries = metadata(&[("sourceFile", "orig.csv"), ("ABC_d", "x-ms-meta-lower"), ("lower", "l")]);
    let expected = spelled(&entries);
    let blob = b.put("a", "x").await;
    let client = b.client.blob(&blob);
    client.set_metadata(&entries, &WriteOptions::default()).await.unwrap();
    assert_eq!(spelled(&client.properties().await.unwrap().metadata), expected);
    let answer = client.download(..).await.unwrap();
    assert_eq!((spelled(&answer.properties.metadata), &*answer.bytes), (expected.clone(), &b"x"[..]));
    let list = ListBlobs::default();
    let page = b.client.container(&b.container).list_blobs(&list).await.unwrap();
    assert_eq!(spelled(&page.items[0].properties.metadata), expected);
    // With a body, and taken along by a copy.
    let with = BlobSettings { metadata: entries.clone(), ..settings() };
    let whole = b.blob("b");
    let body = bytes::Bytes::from(vec![7; 300_000]);
    b.client.blob(&whole).block_blob().upload(body.clone(), &with, &WriteOptions::default()).await.unwrap();
    b.copy(&whole, &b.blob("c")).await.unwrap();
    for name in ["b", "c"] {
        let found = b.client.blob(&b.blob(name)).download(..).await.unwrap();
        assert_eq!((spelled(&found.properties.metadata), found.bytes == body), (expected.clone(), true), "{name}");
    }
    // By another hand, in both directions.
    let query = raw::query_of(&b.key, b.client.account());
    let url = |name: &str| format!("{}?{query}", b.client.blob(&b.blob(name)).url());
    let (put, get) = (url("d"), url("b"));
    if !put.starts_with("http://") {
        return;
    }
    let (sent, got) = tokio::task::spawn_blocking(move || {
        let headers = ["x-ms-blob-type: BlockBlob", "X-MS-Meta-sourceFile: s", "x-ms-meta-KEY: k"];
        (raw::exchange("PUT", &put, &headers, b"x"), raw::exchange("GET", &get, &[], b""))
    })
    .await
    .unwrap();
    assert_eq!(sent.status, 201, "{}", sent.head);
    let own: Vec<_> = got.metadata().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert_eq!(own, expected);
    let found = b.client.blob(&b.blob("d")).properties().await.unwrap().metadata;
    assert_eq!(spelled(&found), [("KEY".to_owned(), "k".to_owned()), ("sourceFile".to_owned(), "s".to_owned())]);
}
