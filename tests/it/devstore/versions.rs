//! Versions of blobs, in accounts that keep them (X22, §11).

use std::time::Duration;

use blobcp::devstore::{AccountConfig, Config, CopyAction, Devstore, PolicyChange};

use super::client::{Client, ONE, server};

const HOUR: Duration = Duration::from_secs(3600);

async fn versioned() -> (Devstore, Client) {
    let accounts = vec![AccountConfig::versioned(ONE)];
    let server = Devstore::start(Config { accounts, ..Config::default() }).await.unwrap();
    server.create_container(ONE, "box").unwrap();
    let one = Client::new(&server, ONE);
    (server, one)
}

fn at(version: &str) -> String {
    format!("box/b?versionid={}", version.replace(':', "%3A"))
}

/// X22: what writes the whole blob or its metadata makes a version; what changes it in place does not.
#[tokio::test]
async fn x22_writes_leave_versions() {
    let (_server, one) = versioned().await;
    let mut made = vec![one.upload("box/b", "first").await.header("x-ms-version-id").to_owned()];
    for (path, headers) in [
        ("box/b?comp=properties", ("x-ms-blob-content-type", "text/html")),
        ("box/b?comp=tier", ("x-ms-access-tier", "Cool")),
    ] {
        one.put(path, &[headers]).await;
        assert_eq!(one.head("box/b").await.header("x-ms-version-id"), made[0], "{path}");
    }
    one.send("PUT", "box/b?comp=block&blockid=QQ==", &[], "second").await;
    assert_eq!(one.head("box/b").await.header("x-ms-version-id"), made[0]);
    let list = "<BlockList><Latest>QQ==</Latest></BlockList>";
    made.push(one.send("PUT", "box/b?comp=blocklist", &[], list).await.header("x-ms-version-id").to_owned());
    made.push(one.put("box/b?comp=metadata", &[("x-ms-meta-k", "v")]).await.header("x-ms-version-id").to_owned());
    made.push(one.copy("box/b", &one.url(&at(&made[0]))).await.header("x-ms-version-id").to_owned());
    assert!(made.is_sorted_by(|a, b| a < b && !a.is_empty()), "{made:?}");

    for (version, (text, current)) in
        made.iter().zip([("first", ""), ("second", ""), ("second", ""), ("first", "true")])
    {
        let found = one.get(&at(version)).await;
        assert_eq!((found.text().as_str(), found.header("x-ms-is-current-version")), (text, current), "{version}");
        assert_eq!(found.header("x-ms-version-id"), version);
    }
    assert_eq!(one.head(&at(&made[1])).await.header("x-ms-meta-k"), "");
    assert_eq!(one.head(&at(&made[2])).await.header("x-ms-meta-k"), "v");
    let blocks = one.get(&format!("{}&comp=blocklist", at(&made[1]))).await;
    assert_eq!(blocks.elements("Name"), ["QQ=="]);
    let listed = one.get("box?restype=container&comp=list&include=versions").await;
    assert_eq!(listed.elements("VersionId"), made);
    assert_eq!(listed.elements("IsCurrentVersion").len(), 1);
}

/// X19: nothing can be written through a version.
#[tokio::test]
async fn x19_a_version_is_no_destination() {
    let (_server, one) = versioned().await;
    let first = one.upload("box/b", "first").await.header("x-ms-version-id").to_owned();
    let current = one.upload("box/b", "second").await.header("x-ms-version-id").to_owned();
    let source = one.url("box/b");
    for version in [&first, &current] {
        for (query, headers) in [
            ("", ("x-ms-copy-source", source.as_str())),
            ("&comp=metadata", ("x-ms-meta-k", "v")),
            ("&comp=snapshot", ("x-ms-meta-k", "v")),
        ] {
            let answer = one.put(&format!("{}{query}", at(version)), &[headers]).await;
            assert_eq!(answer.status / 100, 4, "{query}: {}", answer.outcome());
        }
        assert_eq!(one.upload(&at(version), "third").await.status / 100, 4);
    }
    assert_eq!(one.get("box/b").await.text(), "second");
    assert_eq!(one.head("box/b").await.header("x-ms-version-id"), current);
}

/// A deleted blob is an earlier version of nothing; only deleting a version itself destroys.
#[tokio::test]
async fn a_deleted_blob_keeps_its_versions() {
    let (_server, one) = versioned().await;
    let first = one.upload("box/b", "first").await.header("x-ms-version-id").to_owned();
    let second = one.upload("box/b", "second").await.header("x-ms-version-id").to_owned();
    assert_eq!(one.delete("box/b").await.status, 202);
    assert_eq!(one.get("box/b").await.outcome(), "404 BlobNotFound");
    assert_eq!(one.get("box?restype=container&comp=list").await.elements("Name"), [""; 0]);
    assert_eq!(one.get(&at(&second)).await.text(), "second");
    let third = one.upload("box/b", "third").await.header("x-ms-version-id").to_owned();
    assert_eq!(one.delete(&at(&second)).await.status, 202);
    assert_eq!(one.delete(&at(&second)).await.outcome(), "404 BlobNotFound");
    // Not the current one.
    assert_eq!(one.delete(&at(&third)).await.outcome(), "403 OperationNotAllowedOnRootBlob");
    let listed = one.get("box?restype=container&comp=list&include=versions").await;
    assert_eq!(listed.elements("VersionId"), [first, third]);
}

/// A pending copy is one version, from its start on, and what it replaced is another.
#[tokio::test]
async fn a_pending_copy_is_a_version() {
    let (server, one) = versioned().await;
    let old = one.upload("box/b", "old").await.header("x-ms-version-id").to_owned();
    one.upload("box/source", "new").await;
    server.change_policy(PolicyChange { hold_new_copies: Some(true), ..PolicyChange::default() });
    let started = one.copy("box/b", &one.url("box/source")).await;
    let new = started.header("x-ms-version-id").to_owned();
    assert_eq!(one.get(&at(&old)).await.text(), "old");
    server.steer_copy(started.header("x-ms-copy-id"), CopyAction::Release).unwrap();
    let done = one.get("box/b").await;
    assert_eq!((done.text().as_str(), done.header("x-ms-version-id")), ("new", new.as_str()));
}

/// Deleting a version needs a permission of its own.
#[tokio::test]
async fn a_signature_that_deletes_blobs_deletes_no_version() {
    let (server, one) = versioned().await;
    let first = one.upload("box/b", "first").await.header("x-ms-version-id").to_owned();
    one.upload("box/b", "second").await;
    let delete = async |letters: &str| {
        let url = format!("{}&{}", one.url(&at(&first)), one.signature("b", letters, HOUR));
        reqwest::Client::new().delete(url).send().await.unwrap().status().as_u16()
    };
    assert_eq!(delete("rd").await, 403);
    assert_eq!(server.content(ONE, "box", "b").unwrap(), "second");
    assert_eq!(delete("x").await, 202);
    assert_eq!(one.get(&at(&first)).await.outcome(), "404 BlobNotFound");
}

#[tokio::test]
async fn other_accounts_keep_none() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    assert_eq!(one.upload("box/b", "first").await.header("x-ms-version-id"), "");
    one.upload("box/b", "second").await;
    let listed = one.get("box?restype=container&comp=list&include=versions").await;
    assert_eq!((listed.elements("Name").len(), listed.elements("VersionId").len()), (1, 0));
    assert_eq!(one.get(&at("2026-01-01T00:00:00.0000000Z")).await.outcome(), "404 BlobNotFound");
}
