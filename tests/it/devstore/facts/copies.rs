//! Copy Blob, its state, and Abort Copy Blob.

use blobcp::devstore::{Config, CopyAction};

use super::*;
use crate::common::web::{Manner, Web};

/// What a HEAD says about the last copy.
fn state(head: &Answer) -> [&str; 2] {
    [head.header("x-ms-copy-status"), head.header("x-ms-copy-progress")]
}

/// `x-ms-copy-*` of a HEAD.
fn copy_headers(head: &Answer) -> usize {
    head.headers.keys().filter(|name| name.as_str().starts_with("x-ms-copy-")).count()
}

/// A copy from the other account that does not go on, and its answer.
async fn pending(server: &Devstore, one: &Client, two: &Client, path: &str, headers: Headers<'_>) -> Answer {
    hold(server);
    two.upload("box/far", "8 bytes.").await;
    let source = two.shared_url("far", HOUR);
    let answer = one.put(path, &[&[("x-ms-copy-source", source.as_str())], headers].concat()).await;
    assert_eq!((answer.status, answer.header("x-ms-copy-status")), (202, "pending"));
    answer
}

#[tokio::test]
async fn within_an_account_a_copy_is_done_when_it_is_answered() {
    let (_server, one, _) = accounts(Config::default()).await;
    for (content, progress) in [("four", "4/4"), ("", "0/0")] {
        one.upload("box/a", content).await;
        // S1
        let copied = one.copy("box/b", &one.url("box/a")).await;
        assert_eq!((copied.status, copied.header("x-ms-copy-status")), (202, "success"));
        let head = one.head("box/b").await;
        for name in ["etag", "last-modified", "x-ms-copy-id"] {
            assert_ne!(copied.header(name), "");
            assert_eq!(copied.header(name), head.header(name));
        }
        // S2
        assert_eq!(state(&head), ["success", progress]);
        assert!(httpdate::parse_http_date(head.header("x-ms-copy-completion-time")).is_ok());
    }
}

#[tokio::test]
async fn from_another_account_a_copy_is_pending_first() {
    let (server, one, two) = accounts(Config::default()).await;
    two.upload("box/a", "four").await;
    // S3
    let copied = one.copy("box/b", &two.shared_url("a", HOUR)).await;
    assert_eq!((copied.status, copied.header("x-ms-copy-status")), (202, "pending"));
    // S4
    let head = one.head("box/b").await;
    assert_eq!((head.status, head.header("content-length"), state(&head)), (200, "0", ["pending", "0/4"]));
    assert_eq!((head.header("etag"), head.header("x-ms-copy-completion-time")), (copied.header("etag"), ""));
    let done = one.head("box/b").await;
    assert_eq!((done.header("content-length"), state(&done)), ("4", ["success", "4/4"]));
    assert_ne!(done.header("etag"), copied.header("etag"));
    // It goes on for whoever looks otherwise, too.
    for (name, look) in [("c", "box/c"), ("d", "box?restype=container&comp=list&include=copy&prefix=d")] {
        one.copy(&format!("box/{name}"), &two.shared_url("a", HOUR)).await;
        let seen = one.get(look).await;
        let pending = seen.header("x-ms-copy-status") == "pending" || seen.elements("CopyStatus") == ["pending"];
        assert!(pending, "{seen:?}");
        assert_eq!(one.get(&format!("box/{name}")).await.text(), "four");
    }
    // From another server as well.
    let web = Web::start(Manner::Plain("text from elsewhere"));
    let copied = one.copy("box/web", &web.url("x")).await;
    assert_eq!((copied.status, copied.header("x-ms-copy-status")), (202, "pending"));
    // S5: of the type that the server says, already.
    let head = one.head("box/web").await;
    assert_eq!((head.header("content-length"), state(&head)), ("0", ["pending", "0/19"]));
    assert_eq!(head.header("content-type"), "text/x-web");
    drop(server);
}

#[tokio::test]
async fn a_pending_destination_shows_what_it_will_be() {
    let (server, one, two) = accounts(Config::default()).await;
    hold(&server);
    let kind = ("x-ms-blob-type", "BlockBlob");
    two.send("PUT", "box/a", &[kind, ("x-ms-blob-content-type", "text/markdown")], "four").await;
    one.upload("box/b", "old").await;
    let lease = lease(&one, "box/b", -1).await;
    let headers = [("x-ms-copy-source", &*two.shared_url("a", HOUR)), ("x-ms-access-tier", "Cool")];
    // S19
    assert_eq!(one.put("box/b", &headers).await.outcome(), "412 LeaseIdMissing");
    let copied = one.put("box/b", &[&headers[..], &[("x-ms-lease-id", &lease)]].concat()).await;
    assert_eq!((copied.status, copied.header("x-ms-copy-status")), (202, "pending"));
    // S5
    let (head, source) = (one.head("box/b").await, two.head("box/a").await);
    assert_eq!((head.header("content-length"), head.header("x-ms-copy-status")), ("0", "pending"));
    for name in ["content-md5", "content-type"] {
        assert_ne!(head.header(name), "");
        assert_eq!(head.header(name), source.header(name));
    }
    assert_eq!(head.header("x-ms-access-tier"), "Cool");
    assert_ne!(head.header("x-ms-creation-time"), "");
    assert_eq!((head.header("x-ms-lease-state"), head.header("x-ms-lease-status")), ("leased", "locked"));
}

#[tokio::test]
async fn the_signature_of_a_source_is_shown_or_not() {
    for (choice, after_copy, after_from_url) in [
        // S6
        ("copy-source-signature=by-operation", false, true),
        ("copy-source-signature=stripped", false, false),
        ("copy-source-signature=kept", true, true),
    ] {
        let (_server, one, two) = answering(&[choice]).await;
        two.upload("box/a", "four").await;
        let source = two.shared_url("a", HOUR);
        one.copy("box/b", &source).await;
        one.put("box/c", &[("x-ms-copy-source", &source), ("x-ms-requires-sync", "true")]).await;
        for (path, shown) in [("box/b", after_copy), ("box/c", after_from_url)] {
            let head = one.head(path).await;
            let found = head.header("x-ms-copy-source");
            assert_eq!(found.contains("&sig="), shown, "{choice} {path} {found}");
            assert!(found.starts_with(&two.url("box/a?sv=2025-11-05&sr=b&se=")), "{choice} {path} {found}");
        }
    }
}

#[tokio::test]
async fn append_blobs_stay_sealed_unless_told_otherwise() {
    let (_server, one, _) = accounts(Config::default()).await;
    append_blob(&one, "box/open", "text").await;
    append_blob(&one, "box/sealed", "text").await;
    assert_eq!(one.put("box/sealed?comp=seal", &[]).await.status, 200);
    for (source, seal, sealed) in [
        // S8
        ("box/sealed", None, true),
        // S9
        ("box/sealed", Some("false"), false),
        // S10
        ("box/open", Some("true"), true),
        // S11
        ("box/open", None, false),
    ] {
        let source = one.url(source);
        let seal = seal.map(|value| ("x-ms-seal-blob", value));
        let headers = [&[("x-ms-copy-source", source.as_str())], seal.as_slice()].concat();
        assert_eq!(one.put("box/copy", &headers).await.status, 202);
        assert_eq!(one.head("box/copy").await.header("x-ms-blob-sealed"), if sealed { "true" } else { "" });
        let outcome = one.send("PUT", "box/copy?comp=appendblock", &[], "more").await.outcome();
        assert_eq!(outcome, if sealed { "409 BlobIsSealed" } else { "201" }, "{source} {seal:?}");
        one.delete("box/copy").await;
    }
}

#[tokio::test]
async fn conditions_of_a_copy_have_names_of_their_own() {
    let (_server, one, _) = accounts(Config::default()).await;
    one.upload("box/a", "four").await;
    one.upload("box/b", "old").await;
    let (source, past, future) = (one.url("box/a"), date(-1), date(1));
    let (etag, other) = (one.head("box/a").await.header("etag").to_owned(), one.head("box/b").await);
    let copy =
        async |header: (&str, &str)| one.put("box/b", &[("x-ms-copy-source", source.as_str()), header]).await.outcome();
    // S12
    for header in [
        ("if-match", "\"0x1\""),
        ("if-none-match", other.header("etag")),
        ("if-modified-since", &*future),
        ("if-unmodified-since", &*past),
    ] {
        assert_eq!(copy(header).await, "412 TargetConditionNotMet", "{header:?}");
    }
    // S14
    assert_eq!(copy(("if-none-match", "*")).await, "409 BlobAlreadyExists");
    // S15
    for header in [
        ("x-ms-source-if-match", "\"0x1\""),
        ("x-ms-source-if-none-match", &*etag),
        ("x-ms-source-if-modified-since", &*future),
        ("x-ms-source-if-unmodified-since", &*past),
    ] {
        assert_eq!(copy(header).await, "412 SourceConditionNotMet", "{header:?}");
    }
    assert_eq!(one.get("box/b").await.text(), "old");
    assert_eq!(copy(("x-ms-source-if-match", &etag)).await, "202");
    // S20
    let id = "11111111-1111-1111-1111-111111111111";
    assert_eq!(copy(("x-ms-lease-id", id)).await, "412 LeaseNotPresentWithBlobOperation");
}

#[tokio::test]
async fn a_source_that_cannot_be_read_is_told_in_two_ways() {
    let (_server, one, two) = accounts(Config::default()).await;
    // S16
    assert_eq!(one.copy("box/b", &one.url("box/none")).await.outcome(), "404 BlobNotFound");
    // S17
    let source = one.shared_url("none", HOUR);
    for (version, status, code) in [("2024-08-04", "404", "BlobNotFound"), ("2021-08-06", "", "")] {
        let named = [("x-ms-version", version), ("x-ms-copy-source", &*source)];
        for more in [&[][..], &[("x-ms-requires-sync", "true")], &[("x-ms-blob-type", "BlockBlob")]] {
            let refused = one.put("box/b", &[&named, more].concat()).await;
            assert_eq!(refused.outcome(), "404 CannotVerifyCopySource");
            assert_eq!(refused.header("x-ms-copy-source-status-code"), status);
            assert_eq!(refused.header("x-ms-copy-source-error-code"), code);
            assert_eq!(refused.elements("CopySourceErrorCode").concat(), code);
            // S50
            assert!(refused.text().contains("<Message>The specified blob does not exist."), "{}", refused.text());
        }
    }
    // S18
    two.upload("box/a", "four").await;
    let refused = one.put("box/b", &[("x-ms-version", "2021-08-06"), ("x-ms-copy-source", &two.url("box/a"))]).await;
    assert_eq!(refused.outcome(), "401 CannotVerifyCopySource");
    assert_eq!(refused.header("x-ms-copy-source-status-code"), "");
    assert!(refused.text().contains("<Message>Server failed to authenticate the request."), "{}", refused.text());
}

#[tokio::test]
async fn a_pending_destination_refuses_writes() {
    let (server, one, two) = accounts(Config::default()).await;
    pending(&server, &one, &two, "box/b", &[]).await;
    // S21
    for refused in [one.upload("box/b", "x").await, one.copy("box/b", &two.shared_url("far", HOUR)).await] {
        assert_eq!((refused.outcome().as_str(), refused.header("x-ms-copy-id")), ("409 PendingCopyOperation", ""));
    }
    // S22
    page_blob(&two, "box/pages", 512).await;
    one.copy("box/p", &two.shared_url("pages", HOUR)).await;
    assert_eq!(one.get("box/p?comp=pagelist").await.outcome(), "409 PendingCopyOperation");
    // S23
    assert_eq!(one.delete("box?restype=container").await.status, 202);
}

#[tokio::test]
async fn what_a_pending_destination_does_with_the_rest_is_not_known() {
    for (choice, outcomes) in [
        ("pending-destination=refuses", ["409 PendingCopyOperation"; 5]),
        ("pending-destination=takes", ["200", "204", "200", "201", "202"]),
    ] {
        let (server, one, two) = answering(&[choice]).await;
        pending(&server, &one, &two, "box/b", &[]).await;
        let tags = "<Tags><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tags>";
        let acquire = [("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "-1")];
        let id = "11111111-1111-1111-1111-111111111111";
        let found = [
            one.put("box/b?comp=tier", &[("x-ms-access-tier", "Cool")]).await.outcome(),
            one.send("PUT", "box/b?comp=tags", &[], tags).await.outcome(),
            one.get("box/b?comp=blocklist").await.outcome(),
            one.put("box/b?comp=lease", &[&acquire[..], &[("x-ms-proposed-lease-id", id)]].concat()).await.outcome(),
            match choice.ends_with("takes") {
                true => one.send("DELETE", "box/b", &[("x-ms-lease-id", id)], "").await.outcome(),
                false => one.delete("box/b").await.outcome(),
            },
        ];
        assert_eq!(found, outcomes, "{choice}");
    }
    for (choice, outcome) in [
        ("unmet-condition-on-pending=PendingCopyOperation", "409 PendingCopyOperation"),
        ("unmet-condition-on-pending=TargetConditionNotMet", "412 TargetConditionNotMet"),
    ] {
        let (server, one, two) = answering(&[choice]).await;
        pending(&server, &one, &two, "box/b", &[]).await;
        let headers = [("x-ms-copy-source", &*two.shared_url("far", HOUR)), ("if-match", "\"0x1\"")];
        assert_eq!(one.put("box/b", &headers).await.outcome(), outcome);
    }
}

#[tokio::test]
async fn a_copy_whose_source_changes_fails() {
    let (server, one, two) = accounts(Config::default()).await;
    pending(&server, &one, &two, "box/b", &[]).await;
    two.upload("box/far", "changed").await;
    let head = one.head("box/b").await;
    // S24, S25
    let description = "412 ConditionNotMet \"Copy failed when reading the source.\"";
    assert_eq!(head.header("x-ms-copy-status-description"), description);
    // S26
    assert_eq!((state(&head), head.header("content-length")), (["failed", "0/8"], "0"));
    // S25
    let id = pending(&server, &one, &two, "box/c", &[]).await.header("x-ms-copy-id").to_owned();
    server.steer_copy(&id, CopyAction::Fail { status: 429, code: "TooManyRequests".into() }).unwrap();
    let description = "429 TooManyRequests \"Copy failed when reading the source.\"";
    assert_eq!(one.head("box/c").await.header("x-ms-copy-status-description"), description);
}

#[tokio::test]
async fn the_type_of_a_blob_stays() {
    let (_server, one, _) = accounts(Config::default()).await;
    one.upload("box/a", "four").await;
    append_blob(&one, "box/log", "text").await;
    // S27
    assert_eq!(one.copy("box/log", &one.url("box/a")).await.outcome(), "409 InvalidBlobType");
    let source = [("x-ms-copy-source", &*one.shared_url("a", HOUR))];
    assert_eq!(one.put("box/log?comp=block&blockid=QQ%3D%3D", &source).await.outcome(), "409 InvalidBlobType");
    // What Put Blob says is not known.
    for (choice, status) in [("put-blob-of-another-type=refused", 409), ("put-blob-of-another-type=taken", 201)] {
        let (_server, one, _) = answering(&[choice]).await;
        append_blob(&one, "box/log", "text").await;
        assert_eq!(one.upload("box/log", "x").await.status, status);
    }
}

#[tokio::test]
async fn later_writes_end_the_state_of_a_copy_or_keep_it() {
    let (server, one, _) = accounts(Config::default()).await;
    one.upload("box/a", "four").await;
    let copied = async || {
        one.copy("box/b", &one.url("box/a")).await;
        one.head("box/b").await
    };
    let before = copied().await;
    assert_eq!(copy_headers(&before), 5);
    // S28
    server.advance_clock(SECOND);
    assert_eq!(one.put("box/b?comp=tier", &[("x-ms-access-tier", "Cool")]).await.status, 200);
    let after = one.head("box/b").await;
    assert_same(&before, &after, &STAMP);
    let copy = ["x-ms-copy-id", "x-ms-copy-status", "x-ms-copy-source", "x-ms-copy-progress"];
    assert_same(&before, &after, &copy);
    assert_same(&before, &after, &["x-ms-copy-completion-time"]);
    // S157
    one.put("box/b?comp=properties", &[("x-ms-blob-content-type", "text/plain")]).await;
    assert_eq!(copy_headers(&one.head("box/b").await), 0);
    copied().await;
    one.upload("box/b", "x").await;
    assert_eq!(copy_headers(&one.head("box/b").await), 0);
    copied().await;
    commit(&one, "box/b", &[], &[]).await;
    assert_eq!(copy_headers(&one.head("box/b").await), 0);
    for (choice, kept) in [("copy-state-after-set-metadata=removed", 0), ("copy-state-after-set-metadata=kept", 5)] {
        let (_server, one, _) = answering(&[choice]).await;
        one.upload("box/a", "four").await;
        one.copy("box/b", &one.url("box/a")).await;
        one.put("box/b?comp=metadata", &[("x-ms-meta-k", "v")]).await;
        assert_eq!(copy_headers(&one.head("box/b").await), kept, "{choice}");
    }
}

#[tokio::test]
async fn creation_times_of_what_is_copied_over() {
    let (server, one, _) = accounts(Config::default()).await;
    one.upload("box/old", "old").await;
    append_blob(&one, "box/log", "old").await;
    let before = one.head("box/old").await;
    // S29
    server.advance_clock(SECOND);
    one.upload("box/a", "new").await;
    append_blob(&one, "box/more", "new").await;
    one.copy("box/old", &one.url("box/a")).await;
    assert_ne!(one.head("box/old").await.header("x-ms-creation-time"), before.header("x-ms-creation-time"));
    let before = one.head("box/log").await;
    one.copy("box/log", &one.url("box/more")).await;
    assert_eq!(one.head("box/log").await.header("x-ms-creation-time"), before.header("x-ms-creation-time"));
}

#[tokio::test]
async fn an_abort_leaves_an_empty_blob() {
    let (server, one, two) = accounts(Config::default()).await;
    let started = pending(&server, &one, &two, "box/b", &[]).await;
    let before = one.head("box/b").await;
    server.advance_clock(SECOND);
    let path = format!("box/b?comp=copy&copyid={}", started.header("x-ms-copy-id"));
    let aborted = one.put(&path, &[("x-ms-copy-action", "abort")]).await;
    // S31
    assert_eq!((aborted.status, aborted.header("etag")), (204, ""));
    let head = one.head("box/b").await;
    assert_eq!((state(&head), head.header("content-length")), (["aborted", "0/8"], "0"));
    assert_ne!(head.header("etag"), started.header("etag"));
    assert_eq!(head.header("x-ms-creation-time"), before.header("x-ms-creation-time"));
    // S32
    assert_eq!(head.header("last-modified"), head.header("x-ms-copy-completion-time"));
    assert_ne!(head.header("last-modified"), started.header("last-modified"));
    assert_ne!(head.header("last-modified"), head.header("x-ms-creation-time"));
}

#[tokio::test]
async fn when_a_copied_blob_was_modified_is_not_known() {
    for (choice, by_start) in [("last-modified-after-copy=end", false), ("last-modified-after-copy=start", true)] {
        let (server, one, two) = answering(&[choice]).await;
        let started = pending(&server, &one, &two, "box/b", &[]).await;
        server.advance_clock(SECOND);
        server.steer_copy(started.header("x-ms-copy-id"), CopyAction::Release).unwrap();
        let head = one.head("box/b").await;
        assert_eq!(state(&head), ["success", "8/8"]);
        assert_eq!(head.header("last-modified") == started.header("last-modified"), by_start, "{choice}");
        assert_ne!(head.header("etag"), started.header("etag"));
    }
}

#[tokio::test]
async fn what_cannot_be_aborted() {
    let (server, one, two) = accounts(Config::default()).await;
    let abort = async |blob: &str, id: &str, headers: Headers<'_>| {
        let headers = [&[("x-ms-copy-action", "abort")], headers].concat();
        one.put(&format!("box/{blob}?comp=copy&copyid={id}"), &headers).await.outcome()
    };
    one.upload("box/a", "four").await;
    let done = one.copy("box/b", &one.url("box/a")).await.header("x-ms-copy-id").to_owned();
    // S33
    assert_eq!(abort("b", &done, &[]).await, "409 NoPendingCopyOperation");
    assert_eq!(abort("a", &done, &[]).await, "409 NoPendingCopyOperation");
    // S34
    assert_eq!(abort("none", &done, &[]).await, "404 BlobNotFound");
    // S35
    let lease = lease(&one, "box/b", -1).await;
    let started = pending(&server, &one, &two, "box/b", &[("x-ms-lease-id", &lease)]).await;
    let id = started.header("x-ms-copy-id");
    let other = "11111111-1111-1111-1111-111111111111";
    assert_eq!(abort("b", id, &[("x-ms-lease-id", other)]).await, "412 LeaseIdMismatchWithBlobOperation");
    assert_eq!(abort("b", id, &[("x-ms-lease-id", &lease)]).await, "204");
}
