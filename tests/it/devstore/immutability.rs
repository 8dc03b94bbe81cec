//! Immutable storage: policies and holds of containers, and of single versions.

use std::time::Duration;

use blobcp::devstore::{AccountConfig, Choice, Config, Devstore, Immutability};

use super::client::{Answer, Client, ONE, SECOND, server};

const DAY: Duration = Duration::from_secs(24 * 3600);

const BLOCK: &str = "comp=block&blockid=QQ==";
const LIST: &str = "<BlockList><Latest>QQ==</Latest></BlockList>";

fn policy() -> Immutability {
    Immutability { days: Some(10), ..Default::default() }
}

fn hold() -> Immutability {
    Immutability { legal_hold: true, ..Default::default() }
}

fn versions() -> Immutability {
    Immutability { versions: true, ..Default::default() }
}

/// A server with a block blob `x`, an append blob `log` and a page blob `pages`, and a client of it.
async fn world(choices: &[Choice]) -> (Devstore, Client) {
    let server = server(Config { answers: choices.iter().copied().collect(), ..Config::default() }).await;
    let one = Client::new(&server, ONE);
    assert_eq!(one.upload("box/x", "content").await.outcome(), "201");
    assert_eq!(one.put("box/log", &[("x-ms-blob-type", "AppendBlob")]).await.outcome(), "201");
    let page = &[("x-ms-blob-type", "PageBlob"), ("x-ms-blob-content-length", "512")];
    assert_eq!(one.put("box/pages", page).await.outcome(), "201");
    (server, one)
}

/// Every change of S188 and what it is answered, on the blobs of [`world`].
async fn listed_changes(one: &Client) -> Vec<(&'static str, Answer)> {
    let page = &[("x-ms-page-write", "update"), ("x-ms-range", "bytes=0-511")];
    vec![
        ("Put Blob", one.upload("box/x", "other").await),
        ("Put Block", one.send("PUT", &format!("box/x?{BLOCK}"), &[], "block").await),
        ("Put Block List", one.send("PUT", "box/x?comp=blocklist", &[], "<BlockList/>").await),
        ("Set Blob Metadata", one.put("box/x?comp=metadata", &[("x-ms-meta-a", "b")]).await),
        ("Set Blob Properties", one.put("box/x?comp=properties", &[("x-ms-blob-content-type", "a/b")]).await),
        ("Put Page", one.send("PUT", "box/pages?comp=page", page, vec![1; 512]).await),
        ("Snapshot Blob", one.put("box/x?comp=snapshot", &[]).await),
        ("Append Block", one.send("PUT", "box/log?comp=appendblock", &[], "more").await),
        ("Copy Blob", one.copy("box/x", &one.url("box/log")).await),
        ("Put Blob From URL", put_from_url(one, "box/x").await),
    ]
}

async fn put_from_url(one: &Client, path: &str) -> Answer {
    let source = one.shared_url("x", Duration::from_secs(60));
    one.put(path, &[("x-ms-blob-type", "BlockBlob"), ("x-ms-copy-source", &source)]).await
}

#[tokio::test]
async fn a_policy_and_a_hold_refuse_what_would_change_a_blob() {
    // S109, S112, S188
    for (rules, code) in [(policy(), "BlobImmutableDueToPolicy"), (hold(), "BlobImmutableDueToLegalHold")] {
        let (server, one) = world(&[]).await;
        server.keep(ONE, "box", rules).unwrap();
        let before = one.head("box/x").await;
        let mut answers = listed_changes(&one).await;
        answers.push(("Delete Blob", one.delete("box/x").await));
        for (operation, answer) in answers {
            assert_eq!(answer.outcome(), format!("409 {code}"), "{operation}");
        }
        assert_eq!(one.head("box/x").await.header("etag"), before.header("etag"));
        assert_eq!(one.get("box/x").await.text(), "content");
        assert_eq!(one.put("box/x?comp=tier", &[("x-ms-access-tier", "Cool")]).await.outcome(), "200");
    }
}

#[tokio::test]
async fn new_names_can_be_made_once() {
    // S109, S111, S188
    let (server, one) = world(&[]).await;
    server.keep(ONE, "box", policy()).unwrap();
    assert_eq!(one.upload("box/new", "").await.outcome(), "201");
    assert_eq!(one.upload("box/new", "filled").await.outcome(), "409 BlobImmutableDueToPolicy");
    assert_eq!(one.send("PUT", &format!("box/blocks?{BLOCK}"), &[], "block").await.outcome(), "201");
    assert_eq!(one.send("PUT", "box/blocks?comp=blocklist", &[], LIST).await.outcome(), "201");
    assert_eq!(one.send("PUT", "box/blocks?comp=blocklist", &[], LIST).await.outcome(), "409 BlobImmutableDueToPolicy");
    assert_eq!(put_from_url(&one, "box/fetched").await.outcome(), "201");
    assert_eq!(one.get("box/blocks").await.text(), "block");
}

#[tokio::test]
async fn what_nobody_knows_is_answered_by_choice() {
    // S110
    let refused = "409 BlobImmutableDueToPolicy";
    for (copy, attributes) in [("allowed", "allowed"), ("refused", "refused")] {
        let choices =
            [format!("copy-into-immutable={copy}"), format!("attributes-of-immutable={attributes}")].map(|c| c.parse());
        let (server, one) = world(&choices.map(Result::unwrap)).await;
        server.keep(ONE, "box", policy()).unwrap();
        let expected = |usual: &'static str| if copy == "allowed" { usual } else { refused };
        assert_eq!(one.copy("box/new", &one.url("box/x")).await.outcome(), expected("202"));
        assert_eq!(one.put("box/x?comp=tier", &[("x-ms-access-tier", "Cool")]).await.outcome(), expected("200"));
        let tags = one.send("PUT", "box/x?comp=tags", &[], "<Tags><TagSet/></Tags>").await;
        assert_eq!(tags.outcome(), expected("204"));
        let lease = &[("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "-1")];
        assert_eq!(one.put("box/x?comp=lease", lease).await.outcome(), expected("201"));
    }
}

#[tokio::test]
async fn a_policy_that_has_run_out_allows_deletes_and_nothing_else() {
    // S189
    let (server, one) = world(&[]).await;
    server.keep(ONE, "box", policy()).unwrap();
    server.age_retention(9 * DAY);
    assert_eq!(one.delete("box/x").await.outcome(), "409 BlobImmutableDueToPolicy");
    server.age_retention(DAY);
    for (operation, answer) in listed_changes(&one).await {
        assert_eq!(answer.outcome(), "409 BlobImmutableDueToPolicy", "{operation}");
    }
    assert_eq!(one.delete("box/x").await.outcome(), "202");
    assert_eq!(one.upload("box/x", "anew").await.outcome(), "201");
    // A hold is for as long as it is there.
    server.keep(ONE, "box", Immutability { legal_hold: true, ..policy() }).unwrap();
    assert_eq!(one.delete("box/log").await.outcome(), "409 BlobImmutableDueToLegalHold");
}

#[tokio::test]
async fn protected_appends_are_allowed_where_the_policy_says_so() {
    // S188
    let (server, one) = world(&[]).await;
    server.keep(ONE, "box", Immutability { appends: true, ..policy() }).unwrap();
    assert_eq!(one.send("PUT", "box/log?comp=appendblock", &[], "more").await.outcome(), "201");
    assert_eq!(one.put("box/log", &[("x-ms-blob-type", "AppendBlob")]).await.outcome(), "409 BlobImmutableDueToPolicy");
}

#[tokio::test]
async fn containers_say_how_they_keep_their_blobs() {
    // S115, S191
    let (server, one) = world(&[]).await;
    for (rules, expected) in [
        (Immutability::default(), ["false", "false", "false"]),
        (policy(), ["true", "false", "false"]),
        (hold(), ["false", "true", "false"]),
        (versions(), ["false", "false", "true"]),
    ] {
        server.keep(ONE, "box", rules).unwrap();
        let head = one.head("box?restype=container").await;
        let names = ["has-immutability-policy", "has-legal-hold", "immutable-storage-with-versioning-enabled"];
        assert_eq!(names.map(|name| head.header(&format!("x-ms-{name}")).to_owned()), expected);
        let listed = one.get("?comp=list").await;
        let names = ["HasImmutabilityPolicy", "HasLegalHold", "ImmutableStorageWithVersioningEnabled"];
        assert_eq!(names.map(|name| listed.elements(name).concat()), expected);
        let listed = one.send("GET", "?comp=list", &[("x-ms-version", "2020-06-12")], "").await;
        assert_eq!(listed.elements("VersionLevelWormEnabled"), [expected[2]]);
        assert!(listed.elements("ImmutableStorageWithVersioningEnabled").is_empty());
    }
}

#[tokio::test]
async fn containers_that_keep_something_are_not_deleted() {
    // S113
    for (rules, code) in [
        (Immutability { locked: true, ..policy() }, "ContainerImmutabilityPolicyLocked"),
        (hold(), "ContainerHasLegalHold"),
        (versions(), "ContainerImmutableStorageWithVersioningEnabled"),
    ] {
        let (server, one) = world(&[]).await;
        server.keep(ONE, "box", rules).unwrap();
        assert_eq!(one.delete("box?restype=container").await.outcome(), format!("409 {code}"));
        server.keep(ONE, "box", Immutability::default()).unwrap();
        assert_eq!(one.delete("box?restype=container").await.outcome(), "202");
    }
}

#[tokio::test]
async fn nothing_is_renamed_in_a_container_that_keeps_it() {
    // S188
    let server = server(Config { hns: true, ..Config::default() }).await;
    let one = Client::new(&server, ONE);
    assert_eq!(one.upload("box/d/x", "content").await.outcome(), "201");
    server.keep(ONE, "box", policy()).unwrap();
    for (from, to) in [("d/x", "y"), ("d", "e")] {
        let source = format!("/box/{from}");
        let renamed = one.put(&format!("box/{to}"), &[("x-ms-rename-source", &source)]).await;
        assert_eq!(renamed.outcome(), "409 BlobImmutableDueToPolicy", "{from}");
    }
    assert_eq!(one.head("box/d/x").await.status, 200);
}

/// A container that keeps versions, each for itself, with the blob `x`.
async fn with_versions(choices: &[Choice]) -> (Devstore, Client) {
    let accounts = vec![AccountConfig::versioned(ONE)];
    let answers = choices.iter().copied().collect();
    let server = Devstore::start(Config { accounts, answers, ..Config::default() }).await.unwrap();
    server.create_container(ONE, "box").unwrap();
    server.keep(ONE, "box", versions()).unwrap();
    let one = Client::new(&server, ONE);
    assert_eq!(one.upload("box/x", "content").await.outcome(), "201");
    (server, one)
}

fn in_days(days: u32) -> String {
    httpdate::fmt_http_date(std::time::SystemTime::now() + DAY * days)
}

async fn keep_until(one: &Client, days: u32, mode: &str) -> Answer {
    let until = in_days(days);
    let headers = &[("x-ms-immutability-policy-until-date", until.as_str()), ("x-ms-immutability-policy-mode", mode)];
    one.put("box/x?comp=immutabilityPolicies", headers).await
}

#[tokio::test]
async fn a_version_has_a_policy_of_its_own() {
    // S114, S185
    let (server, one) = with_versions(&[]).await;
    let before = one.head("box/x").await;
    server.advance_clock(SECOND);
    let set = keep_until(&one, 5, "unlocked").await;
    assert_eq!(set.outcome(), "200");
    assert_eq!(set.header("x-ms-immutability-policy-mode"), "unlocked");
    assert!(httpdate::parse_http_date(set.header("x-ms-immutability-policy-until-date")).is_ok());
    assert_eq!(set.header("etag"), "");
    for shown in [one.head("box/x").await, one.get("box/x").await] {
        assert_eq!(shown.header("x-ms-immutability-policy-mode"), "unlocked");
        let until = "x-ms-immutability-policy-until-date";
        assert_eq!(shown.header(until), set.header(until));
        for name in ["etag", "last-modified", "x-ms-version-id"] {
            assert_eq!(shown.header(name), before.header(name), "{name}");
        }
    }
    let listed = one.get("box?restype=container&comp=list&include=immutabilitypolicy").await;
    assert_eq!(listed.elements("ImmutabilityPolicyMode"), ["unlocked"]);
    assert_eq!(one.delete("box/x").await.outcome(), "409 BlobImmutableDueToPolicy");
    let deleted = one.delete("box/x?comp=immutabilityPolicies").await;
    assert_eq!((deleted.outcome().as_str(), deleted.header("x-ms-immutability-policy-mode")), ("200", ""));
    assert_eq!(one.head("box/x").await.header("x-ms-immutability-policy-mode"), "");
    for operation in ["immutabilityPolicies", "legalhold"] {
        let until = in_days(5);
        let headers = &[("x-ms-immutability-policy-until-date", until.as_str()), ("x-ms-legal-hold", "true")];
        let missing = one.put(&format!("box/missing?comp={operation}"), headers).await;
        assert_eq!(missing.outcome(), "404 BlobNotFound");
    }
    // A locked one that has run out keeps nothing (S187).
    assert_eq!(keep_until(&one, 5, "locked").await.outcome(), "200");
    assert_eq!(one.delete("box/x?comp=immutabilityPolicies").await.status, 409);
    server.age_retention(6 * DAY);
    assert_eq!(one.delete("box/x").await.outcome(), "202");
}

#[tokio::test]
async fn a_version_has_a_hold_of_its_own() {
    // S186, S187, S190
    let (server, one) = with_versions(&[]).await;
    let before = one.head("box/x").await;
    server.advance_clock(SECOND);
    let set = one.put("box/x?comp=legalhold", &[("x-ms-legal-hold", "true")]).await;
    assert_eq!((set.outcome().as_str(), set.header("x-ms-legal-hold"), set.header("etag")), ("200", "true", ""));
    let head = one.head("box/x").await;
    assert_eq!(head.header("x-ms-legal-hold"), "true");
    for name in ["etag", "last-modified"] {
        assert_eq!(head.header(name), before.header(name), "{name}");
    }
    let listed = one.get("box?restype=container&comp=list&include=legalhold").await;
    assert_eq!(listed.elements("LegalHold"), ["true"]);
    assert_eq!(one.delete("box/x").await.outcome(), "409 BlobImmutableDueToLegalHold");
    // Its content stays, and what is written is another version, which nothing holds.
    let held = before.header("x-ms-version-id");
    assert_eq!(one.upload("box/x", "other").await.outcome(), "201");
    let version = format!("box/x?versionid={held}");
    assert_eq!(one.get(&version).await.text(), "content");
    assert_eq!(one.delete(&version).await.outcome(), "409 BlobImmutableDueToLegalHold");
    assert_eq!(one.head("box/x").await.header("x-ms-legal-hold"), "");
    assert_eq!(one.delete("box/x").await.outcome(), "202");
    let lifted = one.put(&format!("{version}&comp=legalhold"), &[("x-ms-legal-hold", "false")]).await;
    assert_eq!(lifted.header("x-ms-legal-hold"), "false");
    assert_eq!(one.delete(&version).await.outcome(), "202");
}

#[tokio::test]
async fn metadata_of_a_held_version_are_a_question() {
    // S190
    for (answer, outcome) in [("allowed", "200"), ("refused", "409 BlobImmutableDueToLegalHold")] {
        let choice = format!("metadata-of-protected-version={answer}").parse().unwrap();
        let (_server, one) = with_versions(&[choice]).await;
        one.put("box/x?comp=legalhold", &[("x-ms-legal-hold", "true")]).await;
        assert_eq!(one.put("box/x?comp=metadata", &[("x-ms-meta-a", "b")]).await.outcome(), outcome);
    }
}

#[tokio::test]
async fn a_copy_may_bring_policy_and_hold() {
    // S114
    let (_server, one) = with_versions(&[]).await;
    let until = in_days(3);
    let source = one.url("box/x");
    let headers = &[
        ("x-ms-copy-source", source.as_str()),
        ("x-ms-immutability-policy-until-date", until.as_str()),
        ("x-ms-immutability-policy-mode", "Unlocked"),
        ("x-ms-legal-hold", "true"),
    ];
    assert_eq!(one.put("box/y", headers).await.outcome(), "202");
    let head = one.head("box/y").await;
    assert_eq!(head.header("x-ms-immutability-policy-until-date"), until);
    assert_eq!(head.header("x-ms-immutability-policy-mode"), "unlocked");
    assert_eq!(head.header("x-ms-legal-hold"), "true");
}

#[tokio::test]
async fn the_control_interface_keeps_and_lets_time_pass() {
    let (_server, one) = world(&[]).await;
    let set = one.control("POST", "/-/immutability?account=one&container=box", r#"{"days":1}"#).await;
    assert_eq!(set.status, 204);
    assert_eq!(one.delete("box/x").await.outcome(), "409 BlobImmutableDueToPolicy");
    assert_eq!(one.control("POST", "/-/retention?seconds=86400", "").await.status, 204);
    assert_eq!(one.delete("box/x").await.outcome(), "202");
}
