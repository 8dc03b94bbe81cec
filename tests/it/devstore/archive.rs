//! Access tiers: the archive, the way back from it, and what a write does to a tier that was chosen.

use blobcp::devstore::{Choice, Config, CopyAction, Devstore, PolicyChange};

use super::client::{Answer, Client, ONE, SECOND, server};

async fn world(choices: &[&str]) -> (Devstore, Client) {
    let answers = choices.iter().map(|choice| choice.parse::<Choice>().unwrap()).collect();
    let server = server(Config { answers, ..Config::default() }).await;
    let one = Client::new(&server, ONE);
    assert_eq!(one.upload("box/x", "content").await.outcome(), "201");
    (server, one)
}

async fn tier(one: &Client, path: &str, tier: &str) -> String {
    one.put(&format!("{path}?comp=tier"), &[("x-ms-access-tier", tier)]).await.outcome()
}

async fn raised(one: &Client, to: &str) -> String {
    one.put("box/x?comp=tier", &[("x-ms-access-tier", to), ("x-ms-rehydrate-priority", "High")]).await.outcome()
}

/// Tier, archive status and priority that a HEAD shows.
fn shown(head: &Answer) -> [&str; 3] {
    ["x-ms-access-tier", "x-ms-archive-status", "x-ms-rehydrate-priority"].map(|name| head.header(name))
}

const COPY: [&str; 5] =
    ["x-ms-copy-id", "x-ms-copy-status", "x-ms-copy-source", "x-ms-copy-progress", "x-ms-copy-completion-time"];

/// When the tier was changed, without what a second has less than whole.
fn changed(head: &Answer) -> std::time::SystemTime {
    httpdate::parse_http_date(head.header("x-ms-access-tier-change-time")).unwrap()
}

#[tokio::test]
async fn the_way_back_from_the_archive_takes_until_somebody_ends_it() {
    // S82, S99, S183
    for (to, status) in [("Hot", "to-hot"), ("Cool", "to-cool"), ("Cold", "to-cold")] {
        let (server, one) = world(&[]).await;
        // What was copied keeps the state of the copy.
        one.copy("box/x", &one.url("box/x")).await;
        assert_eq!(tier(&one, "box/x", "Archive").await, "200");
        let before = one.head("box/x").await;
        server.advance_clock(SECOND);
        assert_eq!(tier(&one, "box/x", to).await, "202");
        let head = one.head("box/x").await;
        let status = format!("rehydrate-pending-{status}");
        assert_eq!(shown(&head), ["Archive", &status, "Standard"]);
        for name in ["etag", "last-modified"].into_iter().chain(COPY) {
            assert_ne!(before.header(name), "", "{name}");
            assert_eq!(head.header(name), before.header(name), "{name}");
        }
        assert_eq!(changed(&head), changed(&before) + SECOND);
        let listed = one.get("box?restype=container&comp=list").await;
        assert_eq!(listed.elements("ArchiveStatus"), [status]);
        assert_eq!(listed.elements("RehydratePriority"), ["Standard"]);
        assert_eq!(one.get("box/x").await.outcome(), "409 BlobArchived");
        server.end_rehydration(ONE, "box", "x").unwrap();
        assert_eq!(shown(&one.head("box/x").await), [to, "", ""]);
        assert_eq!(one.get("box/x").await.text(), "content");
    }
}

#[tokio::test]
async fn an_old_version_does_not_tell_the_priority() {
    // S99
    let (_server, one) = world(&[]).await;
    tier(&one, "box/x", "Archive").await;
    tier(&one, "box/x", "Hot").await;
    let head = one.send("HEAD", "box/x", &[("x-ms-version", "2018-11-09")], "").await;
    assert_eq!(shown(&head), ["Archive", "rehydrate-pending-to-hot", ""]);
}

#[tokio::test]
async fn a_second_tier_while_it_comes_back_is_a_question() {
    // S100, S182
    let refused = "409 BlobBeingRehydrated";
    for (answer, other, raise) in [("priority", refused, "202"), ("refused", refused, refused), ("taken", "202", "202")]
    {
        let (_server, one) = world(&[&format!("tier-again-while-rehydrating={answer}")]).await;
        tier(&one, "box/x", "Archive").await;
        assert_eq!(tier(&one, "box/x", "Hot").await, "202");
        assert_eq!(raised(&one, "Hot").await, raise, "{answer}");
        assert_eq!(tier(&one, "box/x", "Cool").await, other, "{answer}");
    }
}

#[tokio::test]
async fn the_control_interface_ends_the_way_back() {
    let (_server, one) = world(&[]).await;
    tier(&one, "box/x", "Archive").await;
    let end = "/-/rehydrated?account=one&container=box&blob=x";
    assert_eq!(one.control("POST", end, "").await.status, 404);
    tier(&one, "box/x", "Hot").await;
    assert_eq!(one.control("POST", end, "").await.status, 204);
    assert_eq!(one.get("box/x").await.text(), "content");
}

#[tokio::test]
async fn a_copy_may_go_to_the_archive_at_once() {
    // S101
    let (_server, one) = world(&[]).await;
    let source = one.url("box/x");
    let copied = one.put("box/y", &[("x-ms-copy-source", &source), ("x-ms-access-tier", "Archive")]).await;
    assert_eq!(copied.header("x-ms-copy-status"), "success");
    let head = one.head("box/y").await;
    assert_eq!(shown(&head), ["Archive", "", ""]);
    assert!(!head.header("x-ms-access-tier-change-time").is_empty());
}

#[tokio::test]
async fn a_chosen_tier_outlives_what_is_written_over_it() {
    // S102, S103
    let (server, one) = world(&[]).await;
    assert_eq!(tier(&one, "box/x", "Cool").await, "200");
    let chosen = |head: &Answer| {
        let inferred = head.header("x-ms-access-tier-inferred").to_owned();
        (head.header("x-ms-access-tier").to_owned(), inferred, head.header("x-ms-access-tier-change-time").is_empty())
    };
    let expected = ("Cool".to_owned(), String::new(), false);
    one.upload("box/x", "other").await;
    assert_eq!(chosen(&one.head("box/x").await), expected);
    one.upload("box/source", "source").await;
    one.copy("box/x", &one.url("box/source")).await;
    assert_eq!(chosen(&one.head("box/x").await), expected);
    server.change_policy(PolicyChange { hold_new_copies: Some(true), ..Default::default() });
    let pending = one.copy("box/x", &one.url("box/source")).await;
    let id = pending.header("x-ms-copy-id").to_owned();
    let abort = one.put(&format!("box/x?comp=copy&copyid={id}"), &[("x-ms-copy-action", "abort")]).await;
    assert_eq!(abort.status, 204);
    let head = one.head("box/x").await;
    assert_eq!(chosen(&head), expected);
    assert_eq!(head.header("x-ms-access-tier-change-time"), head.header("last-modified"));
}

#[tokio::test]
async fn a_tier_that_is_none_is_refused() {
    // S104
    let (_server, one) = world(&[]).await;
    assert_eq!(tier(&one, "box/x", "Lukewarm").await, "400 InvalidHeaderValue");
}

#[tokio::test]
async fn an_archived_blob_is_not_written() {
    // S105, S106
    for (answer, code) in [("blob-archived", "BlobArchived"), ("unknown-code", "CodeThatNobodyKnows")] {
        let (_server, one) = world(&[&format!("changes-of-archived={answer}")]).await;
        tier(&one, "box/x", "Archive").await;
        let archived = "409 BlobArchived";
        assert_eq!(one.upload("box/x", "other").await.outcome(), archived);
        assert_eq!(one.send("PUT", "box/x?comp=block&blockid=QQ==", &[], "block").await.outcome(), archived);
        assert_eq!(one.copy("box/x", &one.url("box/x")).await.outcome(), archived);
        let onto_itself = [("x-ms-copy-source", &*one.url("box/x")), ("x-ms-access-tier", "Hot")];
        assert_eq!(one.put("box/x", &onto_itself).await.outcome(), archived);
        let metadata = one.put("box/x?comp=metadata", &[("x-ms-meta-a", "b")]).await;
        assert_eq!(metadata.outcome(), format!("409 {code}"));
        assert_eq!(one.put("box/x?comp=snapshot", &[]).await.outcome(), format!("409 {code}"));
        assert_eq!(one.delete("box/x").await.outcome(), "202");
    }
}

#[tokio::test]
async fn an_archived_source_is_copied_when_it_is_back() {
    // S107
    for (answer, outcome) in [("refused", "400 InvalidInput"), ("taken", "202")] {
        let (server, one) = world(&[&format!("archived-to-cold={answer}")]).await;
        tier(&one, "box/x", "Archive").await;
        let source = one.url("box/x");
        let copy = async |to: &str, tier: &str| {
            one.put(&format!("box/{to}"), &[("x-ms-copy-source", &source), ("x-ms-access-tier", tier)]).await
        };
        assert_eq!(copy("cold", "Cold").await.outcome(), outcome);
        let hot = copy("hot", "Hot").await;
        assert_eq!(hot.header("x-ms-copy-status"), "pending");
        server.steer_copy(hot.header("x-ms-copy-id"), CopyAction::Release).unwrap();
        assert_eq!(one.get("box/hot").await.text(), "content");
    }
}

#[tokio::test]
async fn what_is_said_of_an_archived_source_is_a_question() {
    // S52
    for (answer, code) in [("CannotVerifyCopySource", "BlobArchived"), ("modified", "")] {
        let (_server, one) = world(&[&format!("code-of-archived-source={answer}")]).await;
        tier(&one, "box/x", "Archive").await;
        let source = one.shared_url("x", std::time::Duration::from_secs(60));
        let put = one.put("box/y", &[("x-ms-blob-type", "BlockBlob"), ("x-ms-copy-source", &source)]).await;
        assert_eq!(
            (put.outcome().as_str(), put.header("x-ms-copy-source-error-code")),
            ("409 CannotVerifyCopySource", code)
        );
        assert_eq!(put.text().contains("Copy source blob has been modified."), code.is_empty());
    }
}

#[tokio::test]
async fn tiers_of_page_blobs_are_sizes() {
    // S184
    let (_server, one) = world(&[]).await;
    let large = (33_u64 << 30).to_string();
    let page = &[("x-ms-blob-type", "PageBlob"), ("x-ms-blob-content-length", large.as_str())];
    assert_eq!(one.put("box/p", page).await.outcome(), "201");
    assert_eq!(tier(&one, "box/p", "Hot").await, "400 InvalidBlobTier");
    assert_eq!(tier(&one, "box/p", "P4").await, "409 BlobTierInadequateForContentLength");
    assert_eq!(tier(&one, "box/p", "P20").await, "200");
    assert_eq!(tier(&one, "box/p", "P10").await, "409 CannotChangeToLowerTier");
    assert_eq!(one.head("box/p").await.header("x-ms-access-tier"), "P20");
}
