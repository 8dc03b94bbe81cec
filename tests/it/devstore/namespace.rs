//! A hierarchical namespace as the Blob endpoint shows it: what directories are, and what cannot be done there.

use blobcp::devstore::answers::{Answers, TiersOfPaths};
use blobcp::devstore::{Config, Devstore};

use super::client::{Client, Headers, ONE, SECOND};

async fn server() -> (Devstore, Client) {
    let server = super::client::server(Config { hns: true, ..Config::default() }).await;
    let one = Client::new(&server, ONE);
    (server, one)
}

const BLOCK_BLOB: (&str, &str) = ("x-ms-blob-type", "BlockBlob");
const FOLDER: (&str, &str) = ("x-ms-meta-hdi_isfolder", "true");

async fn mkdir(one: &Client, name: &str, headers: Headers<'_>) -> String {
    let headers = [&[BLOCK_BLOB, FOLDER], headers].concat();
    one.put(&format!("box/{name}"), &headers).await.outcome()
}

#[tokio::test]
async fn a_directory_says_that_it_is_one_whatever_is_stored_in_it() {
    // S134 to S137
    let (server, one) = server().await;
    one.upload("box/made/f", "text").await;
    assert_eq!(mkdir(&one, "put", &[]).await, "201");
    for name in ["made", "put"] {
        let path = format!("box/{name}?comp=metadata");
        let before = one.head(&format!("box/{name}")).await;
        assert_eq!(
            (before.header("x-ms-resource-type"), before.header("x-ms-meta-hdi_isfolder")),
            ("directory", "true")
        );
        let refused = one.put(&path, &[FOLDER, ("x-ms-meta-k", "v")]).await;
        assert_eq!(refused.status, 400, "{name}");
        server.advance_clock(SECOND);
        assert_eq!(one.put(&path, &[("x-ms-meta-k", "v")]).await.status, 200);
        let after = one.head(&format!("box/{name}")).await;
        assert_eq!((after.header("x-ms-meta-hdi_isfolder"), after.header("x-ms-meta-k")), ("true", "v"));
        assert_eq!(after.header("x-ms-creation-time"), before.header("x-ms-creation-time"));
        for header in ["etag", "last-modified"] {
            assert_ne!(after.header(header), before.header(header), "{header}");
        }
        // None at all: the same.
        server.advance_clock(SECOND);
        assert_eq!(one.put(&path, &[]).await.status, 200);
        let (before, after) = (after, one.head(&format!("box/{name}")).await);
        for header in ["etag", "last-modified"] {
            assert_ne!(after.header(header), before.header(header), "{header}");
        }
        assert_eq!(after.header("x-ms-creation-time"), before.header("x-ms-creation-time"));
        assert_eq!((after.header("x-ms-meta-hdi_isfolder"), after.header("x-ms-meta-k")), ("true", ""));
        let listed = one.get("box?restype=container&comp=list&include=metadata").await.text();
        assert_eq!(listed.matches("<hdi_isfolder>true</hdi_isfolder>").count(), 2);
    }
    // What is a file stays one.
    assert_eq!(one.head("box/made/f").await.header("x-ms-resource-type"), "file");
}

#[tokio::test]
async fn what_happens_in_a_directory_does_not_change_it() {
    // S138
    let (server, one) = server().await;
    one.upload("box/d/f", "text").await;
    let seen = async || {
        let found = one.head("box/d").await;
        ["etag", "last-modified", "x-ms-creation-time"].map(|name| found.header(name).to_owned())
    };
    let before = seen().await;
    server.advance_clock(SECOND);
    one.upload("box/d/g", "text").await;
    one.upload("box/d/sub/h", "text").await;
    one.put("box/out?mode=legacy", &[("x-ms-rename-source", "/box/d/g")]).await;
    one.put("box/d/in?mode=legacy", &[("x-ms-rename-source", "/box/out")]).await;
    one.delete("box/d/f").await;
    assert_eq!(seen().await, before);
    assert_eq!(one.head("box/d/in").await.status, 200);
}

#[tokio::test]
async fn directories_are_listed_with_their_properties_or_as_entries() {
    // S171, S172
    let (_server, one) = server().await;
    for name in ["a", "d/x", "d0"] {
        one.upload(&format!("box/{name}"), "text").await;
    }
    let listed = one.get("box?restype=container&comp=list&delimiter=/").await;
    assert_eq!(listed.elements("Name"), ["a", "d/", "d0"]);
    let prefix = &listed.elements("BlobPrefix")[0];
    assert!(prefix.starts_with("<Name>d/</Name><Properties>"), "{prefix}");
    for element in ["Creation-Time", "Last-Modified", "Etag", "AccessTier", "LeaseState"] {
        assert!(prefix.contains(&format!("<{element}>")), "{element}: {prefix}");
    }
    assert!(prefix.contains("<ResourceType>directory</ResourceType><Content-Length>0</Content-Length>"), "{prefix}");
    assert!(prefix.contains("<Content-Type/>"), "{prefix}");
    assert_eq!(
        format!("\"{}\"", prefix.split("Etag>").nth(1).unwrap().trim_end_matches("</")),
        one.head("box/d").await.header("etag")
    );
    assert_eq!(listed.elements("ResourceType"), ["file", "directory", "file"]);
    let flat = one.get("box?restype=container&comp=list").await;
    assert_eq!(flat.elements("Name"), ["a", "d", "d/x", "d0"]);
    assert_eq!(flat.elements("ResourceType"), ["file", "directory", "file", "file"]);
    // In a flat account a prefix is a name.
    let server = super::client::server(Config::default()).await;
    let one = Client::new(&server, ONE);
    one.upload("box/d/x", "text").await;
    let listed = one.get("box?restype=container&comp=list&delimiter=/").await;
    assert_eq!(listed.elements("BlobPrefix"), ["<Name>d/</Name>"]);
    assert!(!one.get("box?restype=container&comp=list").await.text().contains("ResourceType"));
}

#[tokio::test]
async fn what_is_of_the_wrong_type_is_not_replaced() {
    // S141
    let (_server, one) = server().await;
    one.upload("box/d/x", "text").await;
    one.upload("box/f", "file").await;
    let conflict = "409 PathConflict";
    let url = one.url("box/f");
    assert_eq!(one.upload("box/d", "").await.outcome(), conflict);
    assert_eq!(one.upload("box/f/x", "").await.outcome(), conflict);
    assert_eq!(one.copy("box/d", &url).await.outcome(), conflict);
    assert_eq!(one.copy("box/f/x", &url).await.outcome(), conflict);
    assert_eq!(mkdir(&one, "f", &[]).await, conflict);
    for name in ["d", "f/x"] {
        let block = one.send("PUT", &format!("box/{name}?comp=block&blockid=QUFB"), &[], "block").await;
        assert_eq!(block.outcome(), conflict, "{name}");
    }
    assert_eq!((one.get("box/f").await.text(), one.get("box/d/x").await.text()), ("file".into(), "text".into()));
    assert_eq!(one.head("box/d").await.header("x-ms-resource-type"), "directory");
}

#[tokio::test]
async fn directories_have_no_tier_and_no_snapshots_to_delete() {
    // S132, S133, S140
    let (_server, one) = server().await;
    one.upload("box/d/x", "text").await;
    assert!(mkdir(&one, "tiered", &[("x-ms-access-tier", "Cool")]).await.starts_with('4'));
    assert_eq!(one.head("box/tiered").await.status, 404);
    let with_snapshots = [("x-ms-delete-snapshots", "include")];
    let delete = async |name: &str, headers: Headers<'_>| {
        one.send("DELETE", &format!("box/{name}"), headers, "").await.outcome()
    };
    assert_eq!(delete("d", &with_snapshots).await, "400 OperationNotSupportedOnDirectory");
    assert_eq!(delete("d", &[]).await, "409 DirectoryIsNotEmpty");
    let old = [with_snapshots[0], ("x-ms-version", "2018-11-09")];
    assert_eq!(delete("d", &old).await, "500 InternalError");
    // A file is another matter (S192).
    assert_eq!(delete("d/x", &with_snapshots).await, "202");
    assert_eq!(delete("d", &with_snapshots).await, "400 OperationNotSupportedOnDirectory");
    assert_eq!(delete("d", &old).await, "500 InternalError");
    assert_eq!(delete("d", &[]).await, "202");
}

#[tokio::test]
async fn there_are_no_tags() {
    // S193
    let (_server, one) = server().await;
    one.upload("box/f", "text").await;
    let tags = "<Tags><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tags>";
    for answer in [one.get("box/f?comp=tags").await, one.send("PUT", "box/f?comp=tags", &[], tags).await] {
        assert_eq!(answer.outcome(), "400 InvalidQueryParameterValue");
        assert_eq!(
            (answer.elements("QueryParameterName"), answer.elements("QueryParameterValue")),
            (vec!["comp".to_owned()], vec!["tags".to_owned()])
        );
    }
    let put = one.send("PUT", "box/g", &[BLOCK_BLOB, ("x-ms-tags", "k=v")], "text").await;
    assert_eq!(put.outcome(), "409 FeatureNotYetSupportedForHierarchicalNamespaceAccounts");
}

#[tokio::test]
async fn an_account_may_know_no_tiers() {
    // S194
    for (tiers_of_paths, outcome) in
        [(TiersOfPaths::Known, "200"), (TiersOfPaths::Unknown, "400 InvalidQueryParameterValue")]
    {
        let answers = Answers { tiers_of_paths, ..Answers::default() };
        let server = super::client::server(Config { hns: true, answers, ..Config::default() }).await;
        let one = Client::new(&server, ONE);
        one.upload("box/f", "text").await;
        let answer = one.put("box/f?comp=tier", &[("x-ms-access-tier", "Cool")]).await;
        assert_eq!(answer.outcome(), outcome);
        assert!(answer.status == 200 || answer.elements("QueryParameterName") == ["comp"]);
    }
}

#[tokio::test]
async fn codes_that_nobody_has_seen_are_a_question() {
    for (choice, marked, wrong_type) in [
        // S136
        ("code-of-marked-metadata=InvalidMetadata", "400 InvalidMetadata", "409 PathConflict"),
        ("code-of-marked-metadata=unknown-code", "400 CodeThatNobodyKnows", "409 PathConflict"),
        // S141
        ("code-of-wrong-type=ResourceTypeMismatch", "400 InvalidMetadata", "409 ResourceTypeMismatch"),
        ("code-of-wrong-type=unknown-code", "400 InvalidMetadata", "409 CodeThatNobodyKnows"),
    ] {
        let answers = [choice.parse().unwrap()].into_iter().collect();
        let server = super::client::server(Config { hns: true, answers, ..Config::default() }).await;
        let one = Client::new(&server, ONE);
        one.upload("box/d/x", "text").await;
        assert_eq!(one.put("box/d?comp=metadata", &[FOLDER]).await.outcome(), marked, "{choice}");
        let refused = one.upload("box/d", "").await;
        assert_eq!(refused.outcome(), wrong_type, "{choice}");
        let text = "<Message>The specified path, or an element of the path, exists and its resource type is invalid";
        assert!(refused.text().contains(text), "{choice}: {}", refused.text());
        // The other endpoint has one code.
        assert_eq!(one.put("box/d?resource=file", &[]).await.outcome(), "409 PathConflict", "{choice}");
    }
}
