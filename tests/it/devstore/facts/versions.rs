//! Snapshots and versions.

use blobcp::devstore::Config;

use super::*;

#[tokio::test]
async fn a_blob_with_snapshots_is_not_deleted_unasked() {
    let (_server, one, _) = accounts(Config::default()).await;
    one.upload("box/a", "text").await;
    let snapshot = one.put("box/a?comp=snapshot", &[]).await.header("x-ms-snapshot").to_owned();
    // S84
    assert_eq!(one.delete("box/a").await.outcome(), "409 SnapshotsPresent");
    // S177
    let past = format!("snapshot={snapshot}");
    for (path, headers) in [
        (format!("box/a?comp=properties&{past}"), &[("x-ms-blob-content-type", "text/plain")][..]),
        (format!("box/a?comp=metadata&{past}"), &[("x-ms-meta-k", "v")]),
        (format!("box/a?{past}"), &[("x-ms-blob-type", "BlockBlob")]),
    ] {
        assert_eq!(one.send("PUT", &path, headers, "").await.status, 400, "{path}");
    }
    assert_eq!(one.get(&format!("box/a?{past}")).await.text(), "text");
    // S86
    let deleted = one.send("DELETE", "box/a", &[("x-ms-delete-snapshots", "include")], "").await;
    assert_eq!((deleted.status, deleted.header("x-ms-delete-type-permanent")), (202, "true"));
}

#[tokio::test]
async fn a_snapshot_makes_a_version_of_the_blob() {
    let (server, one) = versioned().await;
    one.upload("box/a", "text").await;
    let before = one.head("box/a").await;
    server.advance_clock(SECOND);
    // S85
    let taken = one.put("box/a?comp=snapshot", &[]).await;
    let after = one.head("box/a").await;
    assert!(taken.header("x-ms-version-id") > before.header("x-ms-version-id"));
    assert_eq!(taken.header("x-ms-version-id"), after.header("x-ms-version-id"));
    assert_eq!((taken.header("etag"), after.header("etag")), (before.header("etag"), before.header("etag")));
    let old = format!("box/a?versionid={}", before.header("x-ms-version-id"));
    assert_eq!(one.get(&old).await.text(), "text");
}

#[tokio::test]
async fn what_is_deleted_lives_on_in_its_versions() {
    let (_server, one) = versioned().await;
    one.upload("box/a", "old").await;
    one.upload("box/a", "new").await;
    let current = format!("box/a?versionid={}", one.head("box/a").await.header("x-ms-version-id"));
    // S88
    assert_eq!(one.delete(&current).await.outcome(), "403 OperationNotAllowedOnRootBlob");
    assert_eq!(one.get("box/a").await.text(), "new");
    // S87
    let deleted = one.delete("box/a").await;
    assert_eq!((deleted.status, deleted.header("x-ms-delete-type-permanent")), (202, "false"));
    assert_eq!(one.head("box/a").await.outcome(), "404 BlobNotFound");
    assert_eq!(one.head(&current).await.status, 200);
    assert_eq!(one.delete(&current).await.status, 202);
    assert_eq!(one.head(&current).await.outcome(), "404 BlobNotFound");
}

#[tokio::test]
async fn old_versions_have_a_tier_and_no_lease() {
    let (server, one) = versioned().await;
    let first = one.upload("box/a", "old").await.header("x-ms-version-id").to_owned();
    one.upload("box/a", "new").await;
    let old = format!("box/a?versionid={first}");
    // S90
    for answer in [one.head(&old).await, one.get(&old).await] {
        for name in ["x-ms-lease-state", "x-ms-lease-status", "x-ms-lease-duration", "x-ms-is-current-version"] {
            assert_eq!(answer.header(name), "", "{name}");
        }
    }
    assert_eq!(one.head(&old).await.header("x-ms-access-tier"), "Hot");
    // S176
    let (version, current) = (one.head(&old).await, one.head("box/a").await);
    server.advance_clock(SECOND);
    let cooled = one.put(&format!("{old}&comp=tier"), &[("x-ms-access-tier", "Cool")]).await;
    assert_eq!(cooled.status, 200);
    let after = one.head(&old).await;
    assert_eq!(after.header("x-ms-access-tier"), "Cool");
    assert_same(&version, &after, &STAMP);
    assert_same(&current, &one.head("box/a").await, &["x-ms-access-tier", "etag", "last-modified"]);
}

#[tokio::test]
async fn metadata_makes_a_version_and_a_tier_does_not() {
    let (server, one) = versioned().await;
    let first = one.upload("box/a", "text").await.header("x-ms-version-id").to_owned();
    // S91
    let set = one.put("box/a?comp=metadata", &[("x-ms-meta-k", "v")]).await;
    assert!(set.header("x-ms-version-id") > &*first, "{set:?}");
    let before = one.head("box/a").await;
    server.advance_clock(SECOND);
    let tier = one.put("box/a?comp=tier", &[("x-ms-access-tier", "Cool")]).await;
    assert_eq!(tier.header("x-ms-version-id"), "");
    let after = one.head("box/a").await;
    assert_eq!(after.header("x-ms-version-id"), set.header("x-ms-version-id"));
    assert_same(&before, &after, &STAMP);
    let listed = one.get("box?restype=container&comp=list&include=versions").await;
    assert_eq!(listed.elements("VersionId").len(), 2);
}
