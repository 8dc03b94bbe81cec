//! Put Blob, blocks, append and page blobs, and the conditions of small writes.

use blobcp::devstore::Config;

use super::*;

const PUT: (&str, &str) = ("x-ms-blob-type", "BlockBlob");

#[tokio::test]
async fn a_guard_is_overruled_by_a_lease() {
    let (none, right) = ("409 BlobAlreadyExists", "201");
    for (choice, finite, infinite, list) in [
        // S58
        ("lease-overrules-if-none-match=finite-put-blob", right, none, none),
        ("lease-overrules-if-none-match=put-blob", right, right, none),
        ("lease-overrules-if-none-match=every-write", right, right, right),
    ] {
        let (_server, one, _) = answering(&[choice]).await;
        for (name, seconds, outcome) in [("box/a", 60, finite), ("box/b", -1, infinite)] {
            one.upload(name, "old").await;
            let id = lease(&one, name, seconds).await;
            let guarded = [PUT, ("if-none-match", "*"), ("x-ms-lease-id", id.as_str())];
            let put = one.send("PUT", name, &guarded, "new").await;
            assert_eq!(put.outcome(), outcome, "{choice} {seconds}");
            assert_eq!(one.get(name).await.text(), if outcome == right { "new" } else { "old" }, "{choice}");
            assert_eq!(commit(&one, name, &guarded[1..], &[]).await.outcome(), list, "{choice}");
        }
    }
    let (_server, one, _) = accounts(Config::default()).await;
    one.upload("box/a", "old").await;
    // S59
    let guarded = [PUT, ("if-none-match", "*")];
    assert_eq!(one.send("PUT", "box/a", &guarded, "new").await.outcome(), none);
    // S60
    let wrong = [&guarded[..], &[("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")]].concat();
    assert_eq!(one.send("PUT", "box/a", &wrong, "new").await.outcome(), "400 Md5Mismatch");
    // S167
    assert_eq!(commit(&one, "box/a", &guarded[1..], &[]).await.outcome(), none);
}

#[tokio::test]
async fn a_blob_that_is_put_anew_is_a_new_one() {
    let (_server, one, _) = accounts(Config::default()).await;
    one.upload("box/a", "old").await;
    let created = one.head("box/a").await.header("x-ms-creation-time").to_owned();
    let later = async || {
        one.upload("box/a", "new").await;
        // S61
        Some(one.head("box/a").await.header("x-ms-creation-time").to_owned()).filter(|now| *now != created)
    };
    assert_ne!(crate::common::answer("a new creation time", later).await, created);
}

#[tokio::test]
async fn blocks_are_checked() {
    let (_server, one, _) = accounts(Config::default()).await;
    // S62
    let empty = one.put("box/a?comp=block&blockid=QQ%3D%3D", &[]).await;
    assert_eq!(
        (empty.outcome().as_str(), empty.elements("HeaderName")),
        ("400 InvalidHeaderValue", vec!["Content-Length".into()])
    );
    stage(&one, "box/a", &[("QUE=", "one"), ("QUI=", "two"), ("QUE=", "three")]).await;
    // S168
    let other = one.send("PUT", "box/a?comp=block&blockid=QUFB", &[], "x").await;
    assert_eq!(other.outcome(), "400 InvalidBlobOrBlock");
    // S64
    assert_eq!(commit(&one, "box/a", &[], &["QUE=", "QUM="]).await.outcome(), "400 InvalidBlockList");
    assert_eq!(commit(&one, "box/a", &[], &["QUE=", "QUI="]).await.status, 201);
    assert_eq!(one.get("box/a").await.text(), "threetwo");
    // Those that are committed may be of another length.
    stage(&one, "box/a", &[("QUFB", "x")]).await;
    assert_eq!(commit(&one, "box/a", &[], &["QUE=", "QUFB"]).await.status, 201);
    assert_eq!(one.get("box/a").await.text(), "threex");
    let unmet = [("x-ms-if-tags", "kind='none'")];
    assert_eq!(one.send("GET", "box/a?comp=blocklist", &unmet, "").await.outcome(), "412 ConditionNotMet");
    // S63
    let (etag, past, future) = (one.head("box/a").await.header("etag").to_owned(), date(-1), date(1));
    for header in [
        ("if-match", "\"0x1\""),
        ("if-none-match", &*etag),
        ("if-modified-since", &*future),
        ("if-unmodified-since", &*past),
    ] {
        assert_eq!(commit(&one, "box/a", &[header], &["QUE="]).await.outcome(), "412 ConditionNotMet", "{header:?}");
    }
}

#[tokio::test]
async fn lists_of_blocks() {
    let (_server, one, _) = accounts(Config::default()).await;
    // S169
    assert_eq!(one.get("box/a?comp=blocklist&blocklisttype=all").await.outcome(), "404 BlobNotFound");
    stage(&one, "box/a", &[("QUI=", "two"), ("QUE=", "one")]).await;
    for (kind, names) in [("committed", &[][..]), ("all", &["QUE=", "QUI="])] {
        let list = one.get(&format!("box/a?comp=blocklist&blocklisttype={kind}")).await;
        assert_eq!(
            (list.status, list.header("etag"), list.elements("Name")),
            (200, "", names.iter().map(|name| (*name).to_owned()).collect())
        );
        // S65
        assert_eq!(list.header("x-ms-blob-content-length"), "");
    }
    // S169
    one.upload("box/a", "whole").await;
    let list = one.get("box/a?comp=blocklist&blocklisttype=all").await;
    assert_eq!((list.header("x-ms-blob-content-length"), list.elements("Name").len()), ("5", 0));
    assert_eq!(commit(&one, "box/a", &[], &[]).await.status, 201);
    assert_eq!(one.head("box/a").await.header("content-length"), "0");
}

#[tokio::test]
async fn append_and_page_blobs_have_conditions_of_their_own() {
    let (_server, one, _) = accounts(Config::default()).await;
    append_blob(&one, "box/log", "text").await;
    let append = async |header| one.send("PUT", "box/log?comp=appendblock", &[header], "more").await.outcome();
    // S67
    let position = "x-ms-blob-condition-appendpos";
    assert_eq!(append((position, "3")).await, "412 AppendPositionConditionNotMet");
    assert_eq!(append(("x-ms-blob-condition-maxsize", "7")).await, "412 MaxBlobSizeConditionNotMet");
    assert_eq!(append((position, "4")).await, "201");
    // S66
    let etag = one.head("box/log").await.header("etag").to_owned();
    for _ in ["for the first time", "again"] {
        let sealed = one.put("box/log?comp=seal", &[]).await;
        assert_eq!((sealed.outcome().as_str(), sealed.header("etag")), ("200", etag.as_str()));
    }
    assert_eq!(append((position, "8")).await, "409 BlobIsSealed");
    // S68
    assert_eq!(page_blob(&one, "box/pages", (8 << 40) + 512).await.outcome(), "400 InvalidHeaderValue");
    assert_eq!(page_blob(&one, "box/pages", 8 << 40).await.outcome(), "201");
}

#[tokio::test]
async fn an_unmet_condition_of_a_small_write_is_412() {
    let (_server, one, _) = accounts(Config::default()).await;
    one.upload("box/a", "text").await;
    page_blob(&one, "box/pages", 512).await;
    let (past, future) = (date(-1), date(1));
    let clear = [("x-ms-page-write", "clear"), ("x-ms-range", "bytes=0-511")];
    let acquire = [("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "-1")];
    for (method, path, headers) in [
        ("PUT", "box/a?comp=metadata", &[][..]),
        ("PUT", "box/a?comp=properties", &[]),
        ("PUT", "box/a?comp=snapshot", &[]),
        ("PUT", "box/a?comp=lease", &acquire),
        ("PUT", "box/pages?comp=page", &clear),
        ("DELETE", "box/a", &[]),
    ] {
        let etag = one.head(path.split('?').next().unwrap()).await.header("etag").to_owned();
        for header in [
            ("if-match", "\"0x1\""),
            ("if-none-match", &*etag),
            ("if-modified-since", &*future),
            ("if-unmodified-since", &*past),
        ] {
            let refused = one.send(method, path, &[headers, &[header]].concat(), "").await;
            // S108
            assert_eq!(refused.outcome(), "412 ConditionNotMet", "{path} {header:?}");
        }
    }
}

#[tokio::test]
async fn tiers_are_checked_and_kept() {
    let (_server, one, _) = accounts(Config::default()).await;
    one.upload("box/a", "text").await;
    // S104
    assert_eq!(
        one.put("box/a?comp=tier", &[("x-ms-access-tier", "Lukewarm")]).await.outcome(),
        "400 InvalidHeaderValue"
    );
    for (choice, flat, versions) in
        [("chosen-tier-stays=always", "Cool", "Cool"), ("chosen-tier-stays=as-seen", "Hot", "Cool")]
    {
        for (versioning, tier) in [(false, flat), (true, versions)] {
            let accounts =
                vec![blobcp::devstore::AccountConfig { versioning, ..blobcp::devstore::AccountConfig::named(ONE) }];
            let answers = [choice.parse().unwrap()].into_iter().collect();
            let server = Devstore::start(Config { accounts, answers, ..Config::default() }).await.unwrap();
            server.create_container(ONE, "box").unwrap();
            let one = Client::new(&server, ONE);
            one.upload("box/new", "text").await;
            one.send("PUT", "box/a", &[PUT, ("x-ms-access-tier", "Cool")], "text").await;
            // S102
            one.upload("box/a", "other").await;
            let head = one.head("box/a").await;
            assert_eq!(head.header("x-ms-access-tier"), tier, "{choice} {versioning}");
            assert_eq!(head.header("x-ms-access-tier-change-time").is_empty(), tier == "Hot");
            assert_eq!(head.header("x-ms-access-tier-inferred").is_empty(), tier == "Cool");
            one.put("box/a?comp=tier", &[("x-ms-access-tier", "Cool")]).await;
            // S103
            one.copy("box/a", &one.url("box/new")).await;
            assert_eq!(one.head("box/a").await.header("x-ms-access-tier"), tier, "{choice} {versioning}");
            one.put("box/a?comp=tier", &[("x-ms-access-tier", "Cool")]).await;
            commit(&one, "box/a", &[], &[]).await;
            let kept = if choice.ends_with("always") { "Cool" } else { "Hot" };
            assert_eq!(one.head("box/a").await.header("x-ms-access-tier"), kept, "{choice} {versioning}");
        }
    }
}
