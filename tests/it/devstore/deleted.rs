//! Soft delete: what was deleted is listed, and comes back as it was.

use std::time::Duration;

use blobcp::devstore::{AccountConfig, Config, Devstore};

use super::client::{Client, ONE, server};

const DAY: Duration = Duration::from_secs(24 * 3600);
const LIST: &str = "box?restype=container&comp=list";

async fn world(account: AccountConfig) -> (Devstore, Client) {
    let server = Devstore::start(Config { accounts: vec![account], ..Config::default() }).await.unwrap();
    server.create_container(ONE, "box").unwrap();
    let one = Client::new(&server, ONE);
    assert_eq!(one.upload("box/x", "content").await.outcome(), "201");
    (server, one)
}

fn keeping() -> AccountConfig {
    AccountConfig::keeping_deleted(ONE, 7)
}

#[tokio::test]
async fn a_delete_says_whether_it_is_for_good() {
    // S86, S87
    let plain = server(Config::default()).await;
    let one = Client::new(&plain, ONE);
    one.upload("box/x", "content").await;
    assert_eq!(one.delete("box/x").await.header("x-ms-delete-type-permanent"), "true");
    for account in [keeping(), AccountConfig::versioned(ONE)] {
        let (_server, one) = world(account).await;
        let version = one.head("box/x").await.header("x-ms-version-id").to_owned();
        let deleted = one.delete("box/x").await;
        assert_eq!((deleted.status, deleted.header("x-ms-delete-type-permanent")), (202, "false"));
        assert_eq!(one.head("box/x").await.outcome(), "404 BlobNotFound");
        if !version.is_empty() {
            assert_eq!(one.head(&format!("box/x?versionid={version}")).await.status, 200);
        }
    }
}

#[tokio::test]
async fn what_is_undeleted_is_what_it_was() {
    // S89
    let (server, one) = world(keeping()).await;
    let snapshot = one.put("box/x?comp=snapshot", &[]).await.header("x-ms-snapshot").to_owned();
    let before = one.head("box/x").await;
    let deleted = one.send("DELETE", "box/x", &[("x-ms-delete-snapshots", "include")], "").await;
    assert_eq!(deleted.status, 202);
    for path in ["box/x".to_owned(), format!("box/x?snapshot={snapshot}")] {
        let missing = one.head(&path).await;
        assert_eq!(missing.outcome(), "404 BlobNotFound", "{path}");
        assert_eq!(missing.header("x-ms-is-soft-deleted") == "true", path.contains("snapshot"), "{path}");
    }
    assert_eq!(one.put("box/x?comp=undelete", &[]).await.outcome(), "200");
    let after = one.head("box/x").await;
    for name in ["etag", "last-modified", "x-ms-creation-time"] {
        assert_eq!(after.header(name), before.header(name), "{name}");
    }
    assert_eq!(one.get(&format!("box/x?snapshot={snapshot}")).await.text(), "content");
    assert_eq!(one.put("box/never?comp=undelete", &[]).await.outcome(), "404 BlobNotFound");
    // Its days are counted.
    one.send("DELETE", "box/x", &[("x-ms-delete-snapshots", "include")], "").await;
    server.age_retention(8 * DAY);
    assert_eq!(one.put("box/x?comp=undelete", &[]).await.outcome(), "404 BlobNotFound");
}

#[tokio::test]
async fn listings_show_what_was_deleted_if_they_are_asked() {
    // S81
    let (server, one) = world(keeping()).await;
    one.upload("box/d/y", "below").await;
    one.delete("box/x").await;
    one.delete("box/d/y").await;
    server.age_retention(DAY);
    assert_eq!(one.get(LIST).await.elements("Name"), Vec::<String>::new());
    let listed = one.get(&format!("{LIST}&include=deleted")).await;
    assert_eq!(listed.elements("Name"), ["d/y", "x"]);
    assert_eq!(listed.elements("Deleted"), ["true", "true"]);
    assert_eq!(listed.elements("RemainingRetentionDays"), ["6", "6"]);
    assert!(listed.text().contains("<LeaseStatus/><DeletedTime>"), "{}", listed.text());
    assert!(!listed.text().contains("<LeaseState>"));
    let top = one.get(&format!("{LIST}&include=deleted&delimiter=/")).await;
    assert_eq!(top.elements("Name"), ["d/", "x"]);
    server.age_retention(7 * DAY);
    assert_eq!(one.get(&format!("{LIST}&include=deleted")).await.elements("Name"), Vec::<String>::new());
}

#[tokio::test]
async fn names_of_which_only_versions_are_left_are_marked() {
    // S174
    let (_server, one) = world(AccountConfig::versioned(ONE)).await;
    let etag = one.head("box/x").await.header("etag").trim_matches('"').to_owned();
    one.delete("box/x").await;
    one.upload("box/y", "living").await;
    let listed = one.get(&format!("{LIST}&include=deletedwithversions")).await;
    assert_eq!(listed.elements("Name"), ["x", "y"]);
    assert_eq!(listed.elements("HasVersionsOnly"), ["true", "false"]);
    assert_eq!(listed.elements("Etag")[0], etag);
    for element in ["VersionId", "IsCurrentVersion", "Deleted"] {
        assert_eq!(listed.elements(element), Vec::<String>::new(), "{element}");
    }
}

#[tokio::test]
async fn a_container_is_restored_under_its_own_name() {
    // S178, S179
    let (_server, one) = world(keeping()).await;
    let (before, blob) = (one.head("box?restype=container").await, one.head("box/x").await);
    assert_eq!(one.delete("box?restype=container").await.outcome(), "202");
    assert_eq!(one.get("?comp=list").await.elements("Name"), Vec::<String>::new());
    let listed = one.get("?comp=list&include=deleted").await;
    assert_eq!(listed.elements("Name"), ["box"]);
    for (element, value) in [
        ("Deleted", "true"),
        ("LeaseStatus", "locked"),
        ("LeaseState", "leased"),
        ("LeaseDuration", "fixed"),
        ("RemainingRetentionDays", "7"),
    ] {
        assert_eq!(listed.elements(element), [value], "{element}");
    }
    assert_eq!(listed.elements("DeletedTime").len(), 1);
    let version = listed.elements("Version").concat();
    assert!(u64::from_str_radix(&version, 16).is_ok(), "{version}");
    let restore = async |to: &str| {
        let headers = &[("x-ms-deleted-container-name", "box"), ("x-ms-deleted-container-version", version.as_str())];
        one.put(&format!("{to}?restype=container&comp=undelete"), headers).await.outcome()
    };
    assert_eq!(restore("other").await, "400 InvalidHeaderValue");
    assert_eq!(restore("box").await, "201");
    assert_ne!(one.head("box?restype=container").await.header("etag"), before.header("etag"));
    assert_eq!(one.head("box/x").await.header("etag"), blob.header("etag"));
    assert_eq!(one.get("?comp=list&include=deleted").await.elements("Deleted"), Vec::<String>::new());
}
