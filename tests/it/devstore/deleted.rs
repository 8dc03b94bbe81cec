//! Soft delete: what was deleted is listed, and comes back as it was.

use std::time::Duration;

use blobcp::devstore::{AccountConfig, Config, Devstore};

use super::client::{Answer, Client, ONE, SECOND, server};

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
    server.advance_clock(SECOND);
    let deleted = one.send("DELETE", "box/x", &[("x-ms-delete-snapshots", "include")], "").await;
    assert_eq!(deleted.status, 202);
    for path in ["box/x".to_owned(), format!("box/x?snapshot={snapshot}")] {
        let missing = one.head(&path).await;
        assert_eq!(missing.outcome(), "404 BlobNotFound", "{path}");
        assert_eq!(missing.header("x-ms-is-soft-deleted") == "true", path.contains("snapshot"), "{path}");
    }
    server.advance_clock(SECOND);
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
    let (server, one) = world(keeping()).await;
    let (before, blob) = (one.head("box?restype=container").await, one.head("box/x").await);
    server.advance_clock(SECOND);
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
    for name in ["etag", "last-modified"] {
        assert_ne!(one.head("box?restype=container").await.header(name), before.header(name), "{name}");
        assert_eq!(one.head("box/x").await.header(name), blob.header(name), "{name}");
    }
    assert_eq!(one.get("?comp=list&include=deleted").await.elements("Deleted"), Vec::<String>::new());
}

/// The same where the namespace is hierarchical.
async fn hierarchical(choices: &[&str]) -> (Devstore, Client) {
    let answers = choices.iter().map(|choice| choice.parse().unwrap()).collect();
    let config = Config { accounts: vec![keeping()], hns: true, answers, ..Config::default() };
    let server = Devstore::start(config).await.unwrap();
    server.create_container(ONE, "box").unwrap();
    let one = Client::new(&server, ONE);
    (server, one)
}

const DELETED: &str = "box?restype=container&comp=list&showonly=deleted";

/// DELETE over DFS; the id of the deletion.
async fn delete_path(one: &Client, path: &str) -> String {
    let deleted = one.delete(&format!("box/{path}?recursive=true")).await;
    // S130
    assert_eq!((deleted.status, deleted.header("x-ms-delete-type-permanent")), (200, "false"));
    let id = deleted.header("x-ms-deletion-id").to_owned();
    assert!(id.parse::<u64>().is_ok(), "{id}");
    id
}

async fn undelete(one: &Client, path: &str, source: &str) -> Answer {
    one.put(&format!("box/{path}?comp=undelete"), &[("x-ms-undelete-source", source)]).await
}

#[tokio::test]
async fn each_deletion_of_a_path_is_listed_with_its_id() {
    let (server, one) = hierarchical(&[]).await;
    one.upload("box/f", "first").await;
    let mut ids = vec![delete_path(&one, "f").await];
    one.upload("box/f", "second").await;
    ids.push(delete_path(&one, "f").await);
    one.upload("box/d/deep/x", "below").await;
    ids.insert(0, delete_path(&one, "d").await);
    // Over the Blob endpoint, too (S86).
    one.upload("box/g", "living").await;
    one.upload("box/h", "gone").await;
    assert_eq!(one.delete("box/h").await.header("x-ms-delete-type-permanent"), "false");
    // S81, S206
    let listed = one.get(DELETED).await;
    assert_eq!(listed.elements("Name"), ["d", "f", "f", "h"]);
    assert_eq!(listed.elements("DeletionId")[..3], ids);
    assert_eq!(listed.elements("Deleted"), ["true"; 4]);
    assert_eq!(listed.elements("ResourceType"), ["directory", "file", "file", "file"]);
    assert_eq!(listed.elements("Content-Length"), ["0", "5", "6", "4"]);
    // A begun day does not count.
    assert_eq!(listed.elements("RemainingRetentionDays"), ["6"; 4]);
    assert!(!listed.text().contains("Lease"), "{}", listed.text());
    let time = |element: &str| httpdate::parse_http_date(&listed.elements(element)[0]).unwrap();
    assert_eq!(time("Expiry-Time"), time("DeletedTime") + 7 * DAY);
    // S172
    let older = one.send("GET", DELETED, &[("x-ms-version", "2020-08-04")], "").await;
    assert!(older.elements("ResourceType").is_empty() && older.elements("DeletionId").len() == 4);
    assert_eq!(one.get(&format!("{DELETED}&prefix=f")).await.elements("DeletionId"), ids[1..]);
    assert_eq!(one.get(LIST).await.elements("Name"), ["g"]);
    let mut pages = Vec::new();
    let mut marker = String::new();
    for _ in 0..4 {
        let page = one.get(&format!("{DELETED}&maxresults=1&marker={marker}")).await;
        pages.extend(page.elements("DeletionId"));
        marker = page.elements("NextMarker").concat();
    }
    assert_eq!((pages[..3].to_vec(), marker), (ids, String::new()));
    assert_eq!(one.get(&format!("{DELETED}&include=deleted")).await.status, 400);
    server.age_retention(7 * DAY);
    assert!(one.get(DELETED).await.elements("Name").is_empty());
}

#[tokio::test]
async fn a_path_is_undeleted_by_its_id() {
    // S206
    let (server, one) = hierarchical(&[]).await;
    for content in ["first", "second"] {
        one.upload("box/d/x%20y", content).await;
    }
    let before = [one.head("box/d").await, one.head("box/d/x%20y").await];
    server.advance_clock(SECOND);
    let id = delete_path(&one, "d").await;
    assert_eq!(one.head("box/d").await.outcome(), "404 BlobNotFound");
    server.advance_clock(SECOND);
    assert_eq!(undelete(&one, "d", "d?deletionid=1").await.outcome(), "404 BlobNotFound");
    let undeleted = undelete(&one, "d", &format!("d?deletionid={id}")).await;
    assert_eq!((undeleted.status, undeleted.header("x-ms-resource-type")), (200, "directory"));
    assert_eq!(undeleted.header("x-ms-creation-time"), before[0].header("x-ms-creation-time"));
    for (before, path) in before.iter().zip(["box/d", "box/d/x%20y"]) {
        let after = one.head(path).await;
        for name in ["etag", "last-modified", "x-ms-creation-time"] {
            assert_eq!(after.header(name), before.header(name), "{path} {name}");
        }
    }
    assert_eq!(one.get("box/d/x%20y").await.text(), "second");
    assert!(one.get(DELETED).await.elements("Name").is_empty());
    // Names are encoded, and where the directory is gone nothing comes back.
    let id = delete_path(&one, "d/x%20y").await;
    let source = format!("d/x%20y?deletionid={id}");
    let directory = delete_path(&one, "d").await;
    assert_eq!(undelete(&one, "d/x%20y", &source).await.status, 404);
    assert_eq!(undelete(&one, "d", &format!("d?deletionid={directory}")).await.status, 200);
    assert_eq!(undelete(&one, "d/x%20y", &source).await.header("x-ms-resource-type"), "file");
    assert_eq!(undelete(&one, "d/x%20y", &source).await.outcome(), "404 BlobNotFound");
}

#[tokio::test]
async fn what_has_the_name_by_then_is_a_question() {
    for (answer, outcome, content) in [("refused", "409 BlobAlreadyExists", "new"), ("replaces", "200", "old")] {
        let (_server, one) = hierarchical(&[&format!("undelete-onto-existing={answer}")]).await;
        one.upload("box/f", "old").await;
        let id = delete_path(&one, "f").await;
        one.upload("box/f", "new").await;
        assert_eq!(undelete(&one, "f", &format!("f?deletionid={id}")).await.outcome(), outcome);
        assert_eq!(one.get("box/f").await.text(), content);
    }
}
