//! Copy sources: who may read them, what they are, and what their fate does to a copy.

use std::time::Duration;

use blobcp::devstore::{Config, CopyAction, CopyRate, PolicyChange};

use super::client::{Client, ONE, TWO, server};
use super::copies::{HOUR, TIB, held};
use crate::common::answer;

/// X8: the source changed, was deleted, or its signature ended.
#[tokio::test]
async fn x8_a_copy_fails_with_its_source() {
    let (server, one, two) = held().await;
    let rate = CopyRate::BytesPerSecond(1);
    let slow = PolicyChange { hold_new_copies: Some(false), copy_cross_account: Some(rate), ..PolicyChange::default() };
    for name in ["changed", "deleted"] {
        one.upload(&format!("box/{name}"), "content").await;
        two.copy(&format!("box/{name}"), &one.shared_url(name, HOUR)).await;
    }
    one.put("box/changed?comp=metadata", &[("x-ms-meta-x", "1")]).await;
    one.delete("box/deleted").await;
    server.change_policy(slow);
    two.copy("box/expired", &one.shared_url("source", Duration::from_secs(4))).await;
    assert_eq!(two.head("box/expired").await.header("x-ms-copy-status"), "pending");
    for (name, status) in [("changed", "412 "), ("deleted", "404 "), ("expired", "403 ")] {
        let head = two.copied(&format!("box/{name}")).await;
        assert_eq!(head.header("x-ms-copy-status"), "failed", "{name}");
        let description = head.header("x-ms-copy-status-description");
        assert!(description.starts_with(status), "{name}: {description}");
        assert_eq!(head.header("content-length"), "0");
    }
}

/// C43: a lease on the source keeps writers out and the copy unharmed.
#[tokio::test]
async fn c43_a_leased_source_is_copied() {
    let (server, one, _) = held().await;
    one.put("box/source?comp=lease", &[("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "-1")]).await;
    let started = one.copy("box/d", &one.url("box/source")).await;
    assert_eq!(one.upload("box/source", "other").await.outcome(), "412 LeaseIdMissing");
    server.steer_copy(started.header("x-ms-copy-id"), CopyAction::Release).unwrap();
    assert_eq!(one.get("box/d").await.text(), "content");
}

/// X2: another account's source needs a signature that covers it, and the answer tells what the source said.
#[tokio::test]
async fn x2_a_foreign_source_needs_a_signature() {
    let server = server(Config::default()).await;
    let (one, two) = (Client::new(&server, ONE), Client::new(&server, TWO));
    one.upload("box/source", "content").await;
    let signed = one.shared_url("source", HOUR);
    let elsewhere = signed.replace(&server.address().port().to_string(), "1");
    let rows = [
        (one.url("box/source"), "401", "NoAuthenticationInformation"),
        (signed.replace("sig=", "sig=A"), "403", "AuthenticationFailed"),
        (signed.replace("box/source", "box/other"), "403", "AuthenticationFailed"),
        (one.shared_url("missing", HOUR), "404", "BlobNotFound"),
        (elsewhere, "404", "ResourceNotFound"),
    ];
    for (url, status, code) in rows {
        let answer = two.copy("box/d", &url).await;
        assert_eq!(answer.outcome(), format!("{status} CannotVerifyCopySource"));
        assert_eq!(answer.header("x-ms-copy-source-status-code"), status);
        assert_eq!(answer.header("x-ms-copy-source-error-code"), code);
        assert_eq!(answer.elements("CopySourceErrorCode"), [code]);
    }
    assert_eq!(two.copy("box/d", &signed).await.status, 202);
    one.put("box?restype=container&comp=acl", &[("x-ms-blob-public-access", "blob")]).await;
    assert_eq!(two.copy("box/public", &one.url("box/source")).await.status, 202);
    // The control interface shows the source without its signature.
    assert!(server.copies().iter().all(|copy| !copy.source.contains("sig=") || copy.source.ends_with("sig=***")));
}

/// X25: ranges from another account become blocks without a byte on the wire.
#[tokio::test]
async fn x25_blocks_from_urls_share_content() {
    let server = server(Config::default()).await;
    let (one, two) = (Client::new(&server, ONE), Client::new(&server, TWO));
    server.put_sparse(ONE, "box", "huge", TIB).unwrap();
    one.upload("box/small", "0123456789").await;
    server.reset_stats();
    let (huge, small) = (one.shared_url("huge", HOUR), one.shared_url("small", HOUR));
    let block = async |id: &str, url: &str, range: &str| {
        let headers = [("x-ms-copy-source", url), ("x-ms-source-range", range)];
        two.put(&format!("box/d?comp=block&blockid={id}"), &headers).await.outcome()
    };
    assert_eq!(block("QQ==", &small, "bytes=2-4").await, "201");
    assert_eq!(block("Qg==", &huge, "bytes=1048576-4194304000").await, "201");
    assert_eq!(block("Qw==", &small, "bytes=9-10").await, "416 CannotVerifyCopySource");
    assert_eq!(block("Qw==", &huge, "bytes=0-4194304000").await, "413 RequestBodyTooLarge");
    assert_eq!(block("Qw==", &two.url("box/d"), "bytes=0-1").await, "401 CannotVerifyCopySource");
    let list = "<BlockList><Latest>Qg==</Latest><Latest>QQ==</Latest></BlockList>";
    assert_eq!(two.send("PUT", "box/d?comp=blocklist", &[], list).await.status, 201);
    let tail = two.send("GET", "box/d", &[("x-ms-range", "bytes=4193255425-")], "").await;
    assert_eq!(&tail.body[..], b"234");
    let stats = server.stats();
    assert_eq!((stats.body_bytes_in, stats.body_bytes_out), (0, 3));
    assert_eq!(stats.requests("PutBlockFromURL"), 5);
}

/// X21: an archived source needs a tier and stays pending; an archived destination refuses.
#[tokio::test]
async fn x21_archived_blobs_are_slow_or_closed() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    let archive: &[_] = &[("x-ms-access-tier", "Archive")];
    one.upload("box/s", "content").await;
    assert_eq!(one.put("box/s?comp=tier", archive).await.status, 200);
    assert_eq!(one.get("box/s").await.outcome(), "409 BlobArchived");
    let source = one.url("box/s");
    assert_eq!(one.copy("box/d", &source).await.outcome(), "409 BlobArchived");
    let started = one.put("box/d", &[("x-ms-copy-source", &source), ("x-ms-access-tier", "Cool")]).await;
    assert_eq!(started.header("x-ms-copy-status"), "pending");
    server.steer_copy(started.header("x-ms-copy-id"), CopyAction::Release).unwrap();
    assert_eq!(one.get("box/d").await.text(), "content");
    assert_eq!(one.head("box/d").await.header("x-ms-access-tier"), "Cool");
    assert_eq!(one.copy("box/s", &one.url("box/d")).await.outcome(), "409 BlobArchived");
}

/// C19–C21: a file becomes a block blob, new or over an old one, and nothing else.
#[tokio::test]
async fn c19_files_become_block_blobs() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    server.put_file(TWO, "share", "dir/f", "from a file".into()).unwrap();
    let url = server.file_url(TWO, "share", "dir/f");
    let signature = Client::new(&server, TWO).file_signature("share", "dir/f", HOUR);
    assert_eq!(one.copy("box/d", &url).await.outcome(), "401 CannotVerifyCopySource");
    let signed = format!("{url}?{signature}");
    one.upload("box/old", "block blob").await;
    for name in ["box/d", "box/old"] {
        assert_eq!(one.copy(name, &signed).await.status, 202);
        one.copied(name).await;
        let copied = one.get(name).await;
        assert_eq!((copied.text().as_str(), copied.header("x-ms-blob-type")), ("from a file", "BlockBlob"));
    }
    for (kind, length) in [("AppendBlob", None), ("PageBlob", Some("512"))] {
        let path = format!("box/{kind}");
        let mut headers = vec![("x-ms-blob-type", kind)];
        headers.extend(length.map(|length| ("x-ms-blob-content-length", length)));
        one.put(&path, &headers).await;
        assert_eq!(one.copy(&path, &signed).await.outcome(), "409 InvalidBlobType");
    }
    let missing = signed.replace("dir/f", "dir/g");
    assert_eq!(one.copy("box/d", &missing).await.outcome(), "403 CannotVerifyCopySource");
}

/// What another account has is read at a pace of its own by each request; what the account has itself is there at once.
#[tokio::test]
async fn a_from_url_request_takes_the_time_of_what_it_reads() {
    let slow = CopyRate::BytesPerSecond(1);
    let server = server(Config { from_url_cross_account: slow, ..Config::default() }).await;
    let (one, two) = (Client::new(&server, ONE), Client::new(&server, TWO));
    for account in [ONE, TWO] {
        server.put_sparse(account, "box", "large", 1 << 30).unwrap();
    }
    let put = |id: &'static str, url: String| {
        let two = two.clone();
        async move { two.put(&format!("box/d?comp=block&blockid={id}"), &[("x-ms-copy-source", &url)]).await.outcome() }
    };
    let reads = tokio::spawn(put("MQ==", one.shared_url("large", HOUR)));
    answer("the request", async || (server.stats().most_at_once.get("PutBlockFromURL") == Some(&1)).then_some(()))
        .await;
    assert_eq!(put("Mg==", two.shared_url("large", HOUR)).await, "201");
    assert!(!reads.is_finished(), "a GiB takes years");
    let at_once = PolicyChange { from_url_cross_account: Some(CopyRate::Immediate), ..PolicyChange::default() };
    server.change_policy(at_once);
    assert_eq!(put("Mw==", one.shared_url("large", HOUR)).await, "201");
    reads.abort();
}
