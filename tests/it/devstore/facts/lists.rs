//! List Blobs.

use blobcp::devstore::{Config, PolicyChange};

use super::*;

/// The entries of a page, in order.
async fn entries(client: &Client, query: &str) -> Vec<String> {
    client.get(&format!("box?restype=container&comp=list&{query}")).await.elements("Blob")
}

/// Whether an entry has an element of that name.
fn has(entry: &str, element: &str) -> bool {
    entry.contains(&format!("<{element}>")) || entry.contains(&format!("<{element}/>"))
}

#[tokio::test]
async fn names_that_xml_cannot_hold_are_encoded_with_their_slashes() {
    let (_server, one, _) = accounts(Config::default()).await;
    one.upload("box/d/%EF%BF%BE%20x", "").await;
    // S77
    let listed = one.get("box?restype=container&comp=list").await.text();
    assert!(listed.contains("<Name Encoded=\"true\">d%2F%EF%BF%BE%20x</Name>"), "{listed}");
}

#[tokio::test]
async fn an_entry_says_how_its_copy_went() {
    let (server, one, two) = accounts(Config::default()).await;
    two.upload("box/a", "four").await;
    hold(&server);
    one.copy("box/b", &two.shared_url("a", HOUR)).await;
    let copy = ["CopyId", "CopyStatus", "CopySource", "CopyProgress"];
    // S78
    let entry = entries(&one, "include=copy").await.remove(0);
    assert!(copy.iter().all(|element| has(&entry, element)), "{entry}");
    assert!(!has(&entry, "CopyCompletionTime") && !has(&entry, "CopyStatusDescription"), "{entry}");
    two.upload("box/a", "changed").await;
    let entry = entries(&one, "include=copy").await.remove(0);
    let ended = ["CopyCompletionTime", "CopyStatusDescription"];
    assert!(copy.iter().chain(&ended).all(|element| has(&entry, element)), "{entry}");
    assert!(!entries(&one, "").await.remove(0).contains("<Copy"));
}

#[tokio::test]
async fn what_a_blob_was_comes_before_what_it_is() {
    let (_server, one) = versioned().await;
    one.upload("box/a", "old").await;
    one.upload("box/a", "new").await;
    let found = entries(&one, "include=versions").await;
    // S79
    assert_eq!(found.len(), 2);
    assert!(!has(&found[0], "IsCurrentVersion") && found[1].contains("<IsCurrentVersion>true<"), "{found:?}");
    let id = |entry: &str| entry.split("VersionId>").nth(1).unwrap().to_owned();
    assert!(id(&found[0]) < id(&found[1]));
    // S80
    assert!(has(&found[0], "AccessTier") && !found[0].contains("<Lease"), "{}", found[0]);
    assert!(has(&found[1], "AccessTier") && has(&found[1], "LeaseStatus"), "{}", found[1]);
    let (_server, one, _) = accounts(Config::default()).await;
    one.upload("box/a", "text").await;
    assert_eq!(one.put("box/a?comp=snapshot", &[]).await.status, 201);
    let found = entries(&one, "include=snapshots").await;
    // S79
    assert!(has(&found[0], "Snapshot") && !has(&found[1], "Snapshot"), "{found:?}");
    // S80
    assert!(!found[0].contains("<AccessTier") && !found[0].contains("<Lease"), "{}", found[0]);
}

/// Prefixes and names of all pages of two items.
async fn pages(client: &Client) -> Vec<Vec<String>> {
    let (mut pages, mut marker) = (Vec::new(), String::new());
    loop {
        let query = format!("box?restype=container&comp=list&delimiter=%2F&maxresults=2&marker={marker}");
        let page = client.get(&query).await;
        pages.push(page.elements("Name"));
        match page.elements("NextMarker").pop() {
            Some(next) => marker = next,
            None => return pages,
        }
    }
}

#[tokio::test]
async fn a_prefix_may_come_twice() {
    for (choice, expected) in [
        // S83
        ("repeated-prefix=never", &[&["a/", "b/"][..], &["c", "d/"], &["e"]][..]),
        ("repeated-prefix=next-page", &[&["a/", "b/"], &["b/", "c"], &["b/", "d/"], &["d/", "e"]]),
        ("repeated-prefix=last-page", &[&["a/", "b/"], &["c", "d/"], &["b/", "e"]]),
    ] {
        let (_server, one, _) = answering(&[choice]).await;
        for name in ["a/1", "a/2", "b/1", "c", "d/1", "e"] {
            one.upload(&format!("box/{name}"), "").await;
        }
        assert_eq!(pages(&one).await, expected, "{choice}");
    }
}

#[tokio::test]
async fn a_blob_without_any_commit_is_little_more_than_a_name() {
    let (_server, one, _) = accounts(Config::default()).await;
    stage(&one, "box/a", &[("QQ==", "text")]).await;
    // S173
    let entry = entries(&one, "include=uncommittedblobs").await.remove(0);
    let properties = "<Properties><Content-Length>0</Content-Length><BlobType>BlockBlob</BlobType>\
        <AccessTier>Hot</AccessTier><AccessTierInferred>true</AccessTierInferred><LeaseStatus>unlocked</LeaseStatus>\
        <LeaseState>available</LeaseState><ServerEncrypted>false</ServerEncrypted></Properties>";
    assert_eq!(entry, format!("<Name>a</Name>{properties}"));
}

#[tokio::test]
async fn names_that_live_on_in_versions_alone() {
    let (_server, one) = versioned().await;
    for name in ["box/alive", "box/gone"] {
        one.upload(name, "old").await;
        one.upload(name, "newer").await;
    }
    one.delete("box/gone").await;
    // S174
    let found = entries(&one, "include=deletedwithversions").await;
    assert_eq!(found.len(), 2);
    assert!(found[0].contains("<Name>alive</Name><HasVersionsOnly>false<"), "{}", found[0]);
    assert!(found[1].contains("<Name>gone</Name><HasVersionsOnly>true<"), "{}", found[1]);
    assert!(found[1].contains("<Content-Length>5<") && has(&found[1], "Etag"), "{}", found[1]);
    assert!(!["VersionId", "IsCurrentVersion", "Deleted"].iter().any(|element| has(&found[1], element)));
    assert_eq!(entries(&one, "").await.len(), 1);
}

#[tokio::test]
async fn markers_and_limits() {
    let (server, one, _) = accounts(Config::default()).await;
    for name in ["a", "b", "c"] {
        one.upload(&format!("box/{name}"), "").await;
    }
    let list = async |query: &str| one.get(&format!("box?restype=container&comp=list&{query}")).await;
    // S175
    assert_eq!(list("maxresults=6000").await.elements("MaxResults"), ["5000"]);
    let marker = list("maxresults=1").await.elements("NextMarker").remove(0);
    for _ in 0..2 {
        assert_eq!(list(&format!("marker={marker}")).await.elements("Name"), ["b", "c"]);
    }
    for (marker, outcome) in
        [("invented", "400 InvalidQueryParameterValue"), (&marker[..marker.len() - 2], "400 InvalidInput")]
    {
        assert_eq!(list(&format!("marker={marker}")).await.outcome(), outcome, "{marker}");
    }
    assert_eq!(list("prefix=a%01").await.outcome(), "400 InvalidQueryParameterValue");
    // Also where empty pages are slipped in.
    server.change_policy(PolicyChange { empty_list_pages: Some(true), list_page: Some(2), ..Default::default() });
    let marker = list("").await.elements("NextMarker").remove(0);
    assert_eq!(list(&format!("marker={marker}")).await.elements("Name"), ["a", "b"]);
}
