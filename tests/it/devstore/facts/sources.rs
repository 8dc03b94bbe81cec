//! The From-URL operations: their sources, conditions and answers.

use blobcp::devstore::Grant;

use super::*;

/// A From-URL operation: its name, path and headers without source.
type Operation = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const PUT_BLOB: Operation = ("Put Blob", "box/new", &[("x-ms-blob-type", "BlockBlob")]);
const COPY_BLOB: Operation = ("Copy Blob", "box/new", &[("x-ms-requires-sync", "true")]);
const PUT_BLOCK: Operation = ("Put Block", "box/new?comp=block&blockid=QQ%3D%3D", &[]);
const APPEND_BLOCK: Operation = ("Append Block", "box/log?comp=appendblock", &[]);
const PUT_PAGE: Operation =
    ("Put Page", "box/pages?comp=page", &[("x-ms-page-write", "update"), ("x-ms-range", "bytes=0-511")]);

async fn read_by(client: &Client, (_, path, headers): Operation, source: &str, more: Headers<'_>) -> Answer {
    client.put(path, &[headers, &[("x-ms-copy-source", source)], more].concat()).await
}

/// A server with what the operations write to, and a source of one page in the other account.
async fn prepared(choices: &[&str]) -> (Devstore, Client, Client) {
    let (server, one, two) = answering(choices).await;
    append_blob(&one, "box/log", "text").await;
    page_blob(&one, "box/pages", 512).await;
    two.upload("box/a", "p".repeat(512)).await;
    (server, one, two)
}

#[tokio::test]
async fn conditions_on_a_source_are_answered_by_operation_and_condition() {
    let (_server, one, two) = prepared(&[]).await;
    let (past, future) = (date(-1), date(1));
    let etag = two.head("box/a").await.header("etag").to_owned();
    let conditions = [
        ("x-ms-source-if-match", "\"0x1\""),
        ("x-ms-source-if-none-match", &*etag),
        ("x-ms-source-if-modified-since", &*future),
        ("x-ms-source-if-unmodified-since", &*past),
    ];
    let (condition, unverified) = ("412 SourceConditionNotMet", "412 CannotVerifyCopySource");
    let unchanged = "304 CannotVerifyCopySource";
    for (operation, outcomes) in [
        // S36, S37
        (APPEND_BLOCK, [unverified, unchanged, unchanged, unverified]),
        (PUT_PAGE, [unverified, unchanged, unchanged, unverified]),
        // S158, S159, S38; S39
        (PUT_BLOCK, [condition, unchanged, unchanged, unverified]),
        // S41, S160
        (PUT_BLOB, [condition, unchanged, unchanged, unverified]),
        // S161, S40
        (COPY_BLOB, [condition, unchanged, unchanged, unverified]),
    ] {
        for (header, outcome) in conditions.into_iter().zip(outcomes) {
            let refused = read_by(&one, operation, &two.shared_url("a", HOUR), &[header]).await;
            assert_eq!(refused.outcome(), outcome, "{} {header:?}", operation.0);
            if refused.status == 304 {
                assert_eq!((refused.header("content-length"), refused.body.len()), ("0", 0));
            }
        }
        let met = [("x-ms-source-if-match", etag.as_str())];
        let met = read_by(&one, operation, &two.shared_url("a", HOUR), &met).await;
        assert!([201, 202].contains(&met.status), "{met:?}");
    }
    let (_server, one, two) = prepared(&["code-of-modified-source=SourceConditionNotMet"]).await;
    let refused = read_by(&one, PUT_BLOCK, &two.shared_url("a", HOUR), &[conditions[3]]).await;
    assert_eq!(refused.outcome(), condition);
}

#[tokio::test]
async fn conditions_on_the_destination() {
    let (_server, one, two) = prepared(&[]).await;
    one.upload("box/new", "old").await;
    let (source, past, future) = (two.shared_url("a", HOUR), date(-1), date(1));
    let put = async |header| read_by(&one, PUT_BLOB, &source, &[header]).await.outcome();
    let etag = one.head("box/new").await.header("etag").to_owned();
    // S42
    assert_eq!(put(("if-match", "\"0x1\"")).await, "412 TargetConditionNotMet");
    // S43
    assert_eq!(put(("if-none-match", "*")).await, "409 BlobAlreadyExists");
    let free: Operation = ("Put Blob", "box/free", PUT_BLOB.2);
    assert_eq!(read_by(&one, free, &source, &[("if-none-match", "*")]).await.status, 201);
    // S162
    assert_eq!(put(("if-modified-since", &future)).await, "412 ConditionNotMet");
    assert_eq!(put(("if-unmodified-since", &past)).await, "412 ConditionNotMet");
    let lease = lease(&one, "box/new", -1).await;
    let other = "11111111-1111-1111-1111-111111111111";
    assert_eq!(put(("x-ms-lease-id", other)).await, "412 LeaseIdMismatchWithBlobOperation");
    let copy =
        async |header| read_by(&one, COPY_BLOB, &source, &[header, ("x-ms-lease-id", lease.as_str())]).await.outcome();
    assert_eq!(copy(("if-modified-since", &future)).await, "412 ConditionNotMet");
    assert_eq!(copy(("if-match", "\"0x1\"")).await, "412 TargetConditionNotMet");
    assert_eq!(copy(("if-match", &etag)).await, "202");
}

#[tokio::test]
async fn the_source_is_judged_before_the_destination() {
    let (_server, one, two) = prepared(&[]).await;
    one.upload("box/new", "old").await;
    let guard = ("if-none-match", "*");
    // S44
    let refused = read_by(&one, PUT_BLOB, &two.url("box/a"), &[guard]).await;
    assert_eq!(refused.outcome(), "401 CannotVerifyCopySource");
    let wrong = ("x-ms-source-content-md5", "AAAAAAAAAAAAAAAAAAAAAA==");
    let refused = read_by(&one, PUT_BLOB, &two.shared_url("a", HOUR), &[guard, wrong]).await;
    assert_eq!(refused.outcome(), "400 Md5Mismatch");
    assert_eq!(one.get("box/new").await.text(), "old");
}

#[tokio::test]
async fn what_comes_along_from_the_source() {
    let (_server, one, two) = prepared(&[]).await;
    let headers = [
        ("x-ms-blob-type", "BlockBlob"),
        ("x-ms-meta-key", "value"),
        ("x-ms-blob-content-type", "text/markdown"),
        ("x-ms-blob-content-encoding", "identity"),
        ("x-ms-blob-content-language", "en"),
        ("x-ms-blob-content-disposition", "inline"),
        ("x-ms-blob-cache-control", "no-store"),
        ("x-ms-tags", "k=v"),
    ];
    two.send("PUT", "box/a", &headers, "text").await;
    let (source, original) = (two.shared_url("a", HOUR), two.head("box/a").await);
    // S45
    let put = read_by(&one, PUT_BLOB, &source, &[]).await;
    assert_eq!((put.status, put.header("content-md5")), (201, ""));
    assert_ne!(put.header("x-ms-content-crc64"), "");
    let head = one.head("box/new").await;
    for name in ["content-type", "content-encoding", "content-language", "content-disposition", "cache-control"] {
        assert_eq!(head.header(name), original.header(name), "{name}");
    }
    assert_eq!((head.header("x-ms-meta-key"), head.header("x-ms-tag-count")), ("value", ""));
    assert_eq!(head.header("content-md5"), original.header("content-md5"));
    // S46
    let own = [
        ("x-ms-copy-source-blob-properties", "false"),
        ("x-ms-blob-content-type", "text/csv"),
        ("x-ms-meta-other", "x"),
        ("x-ms-tags", "a=1&b=2"),
    ];
    read_by(&one, PUT_BLOB, &source, &own).await;
    let head = one.head("box/new").await;
    assert_eq!((head.header("content-type"), head.header("content-language")), ("text/csv", ""));
    assert_eq!((head.header("x-ms-meta-key"), head.header("x-ms-meta-other")), ("", "x"));
    assert_eq!(head.header("x-ms-tag-count"), "2");
    for (choice, sent, metadata) in [
        ("metadata-without-source-properties=none", &own[..2], ""),
        ("metadata-without-source-properties=source", &own[..2], "value"),
        ("metadata-beside-sent-properties=source", &own[1..2], "value"),
        ("metadata-beside-sent-properties=none", &own[1..2], ""),
    ] {
        let (_server, one, two) = answering(&[choice]).await;
        two.send("PUT", "box/a", &headers, "text").await;
        read_by(&one, PUT_BLOB, &two.shared_url("a", HOUR), sent).await;
        assert_eq!(one.head("box/new").await.header("x-ms-meta-key"), metadata, "{choice}");
    }
}

#[tokio::test]
async fn a_source_without_credential_is_refused() {
    let general = "<Message>Could not verify the copy source within the specified time.";
    let (unauthorized, conflict) = ("401 CannotVerifyCopySource", "409 CannotVerifyCopySource");
    let (missing, closed) = ("NoAuthenticationInformation", "PublicAccessNotPermitted");
    for (choice, outcome, code, copy) in [
        // S48
        ("public-access=allowed", unauthorized, missing, unauthorized),
        // S47
        ("public-access=forbidden", conflict, closed, unauthorized),
        ("public-access=forbidden-to-copies", conflict, closed, conflict),
    ] {
        let (_server, one, two) = prepared(&[choice]).await;
        one.upload("box/own", "p".repeat(512)).await;
        // S49, S163: the own account's as well.
        for source in [two.url("box/a"), one.url("box/own")] {
            for operation in [PUT_BLOB, COPY_BLOB, PUT_BLOCK, APPEND_BLOCK, PUT_PAGE] {
                let refused = read_by(&one, operation, &source, &[]).await;
                assert_eq!(refused.outcome(), outcome, "{choice} {}", operation.0);
                assert_eq!(refused.header("x-ms-copy-source-status-code"), &outcome[..3]);
                assert_eq!(refused.header("x-ms-copy-source-error-code"), code);
                assert_eq!(refused.elements("CopySourceStatusCode"), [&outcome[..3]]);
                assert_eq!(refused.elements("CopySourceErrorCode"), [code]);
                // S50
                assert_eq!(refused.text().contains(general), code == missing, "{}", refused.text());
                assert_ne!(refused.elements("CopySourceErrorMessage"), [general]);
            }
        }
        assert_eq!(one.copy("box/b", &two.url("box/a")).await.outcome(), copy, "{choice}");
    }
    // S49: who asks with a token is refused as well, until the token stands for the source, too.
    let (server, one, _) = prepared(&[]).await;
    one.upload("box/own", "p".repeat(512)).await;
    server.admit_token("mine", Grant::default());
    let (token, version) = (("authorization", "Bearer mine"), ("x-ms-version", "2025-11-05"));
    let source = one.url("box/own");
    for operation in [PUT_BLOB, PUT_BLOCK, APPEND_BLOCK, PUT_PAGE] {
        let headers = [operation.2, &[token, version, ("x-ms-copy-source", &*source)]].concat();
        let refused = one.unsigned("PUT", operation.1, &headers).await;
        assert_eq!(refused.outcome(), unauthorized, "{}", operation.0);
        assert_eq!(refused.header("x-ms-copy-source-error-code"), missing, "{}", operation.0);
        let headers = [&headers[..], &[("x-ms-copy-source-authorization", "Bearer mine")]].concat();
        assert_eq!(one.unsigned("PUT", operation.1, &headers).await.status, 201, "{}", operation.0);
    }
    let (_server, one, _) = prepared(&["own-source-of-copy-from-url=allowed"]).await;
    one.upload("box/own", "text").await;
    assert_eq!(read_by(&one, COPY_BLOB, &one.url("box/own"), &[]).await.status, 202);
}

#[tokio::test]
async fn archived_sources_and_those_of_other_types() {
    for (choice, outcome) in [
        // S52
        ("code-of-archived-source=CannotVerifyCopySource", "409 CannotVerifyCopySource"),
        ("code-of-archived-source=BlobArchived", "409 BlobArchived"),
    ] {
        let (_server, one, two) = prepared(&[choice]).await;
        two.put("box/a?comp=tier", &[("x-ms-access-tier", "Archive")]).await;
        assert_eq!(read_by(&one, PUT_BLOB, &two.shared_url("a", HOUR), &[]).await.outcome(), outcome);
    }
    // S53
    let (_server, one, _) = prepared(&[]).await;
    let refused = read_by(&one, COPY_BLOB, &one.shared_url("pages", HOUR), &[]).await;
    assert_eq!(refused.outcome(), "409 CannotVerifyCopySource");
    assert!(refused.text().contains("<Message>The copy source must be a block blob"), "{}", refused.text());
    for (choice, status) in [("source-range-beyond-end=refused", 416), ("source-range-beyond-end=cut", 201)] {
        let (_server, one, two) = prepared(&[choice]).await;
        let range = [("x-ms-source-range", "bytes=500-600")];
        assert_eq!(read_by(&one, PUT_BLOCK, &two.shared_url("a", HOUR), &range).await.status, status);
    }
}

#[tokio::test]
async fn what_a_copy_from_a_url_answers() {
    let (_server, one, two) = prepared(&[]).await;
    let source = two.shared_url("a", HOUR);
    let copied = read_by(&one, COPY_BLOB, &source, &[("x-ms-encryption-scope", "mine")]).await;
    // S54
    assert_eq!((copied.status, copied.header("x-ms-request-server-encrypted")), (202, "true"));
    assert_ne!(copied.header("x-ms-content-crc64"), "");
    // S56
    assert_eq!(copied.header("x-ms-encryption-scope"), "mine");
    assert_eq!(one.head("box/new").await.header("x-ms-encryption-scope"), "mine");
    // S55
    two.send("PUT", "box/a", &[("x-ms-blob-type", "BlockBlob"), ("x-ms-tags", "k=v")], "text").await;
    let along = [("x-ms-copy-source-tag-option", "COPY")];
    assert_eq!(read_by(&one, COPY_BLOB, &source, &along).await.status, 202);
    assert_eq!(one.head("box/new").await.header("x-ms-tag-count"), "1");
    // S165
    two.upload("box/a", "text").await;
    assert_eq!(read_by(&one, COPY_BLOB, &source, &along).await.status, 202);
    assert_eq!(one.head("box/new").await.header("x-ms-tag-count"), "");
}

#[tokio::test]
async fn blocks_are_answered_with_what_was_sent_to_check_them() {
    let (_server, one, two) = prepared(&[]).await;
    two.upload("box/a", "hello world").await;
    let (right, wrong) = ("XrY7u+Ae7tCTyyK7j1rNww==", "AAAAAAAAAAAAAAAAAAAAAA==");
    let stage = async |md5| one.send("PUT", PUT_BLOCK.1, &[("content-md5", md5)], "hello world").await;
    let source = two.shared_url("a", HOUR);
    let from_url = async |md5| read_by(&one, PUT_BLOCK, &source, &[("x-ms-source-content-md5", md5)]).await;
    // S57
    for staged in [stage(right).await, from_url(right).await] {
        assert_eq!((staged.status, staged.header("etag"), staged.header("content-md5")), (201, "", right));
    }
    assert_eq!([stage(wrong).await.outcome(), from_url(wrong).await.outcome()], ["400 Md5Mismatch"; 2]);
    // S166
    let long = format!("box/x?comp=block&blockid={}", "QUFB".repeat(22));
    assert_eq!(one.put(&long, &[("x-ms-copy-source", &source)]).await.outcome(), "400 OutOfRangeInput");
}

#[tokio::test]
async fn a_version_as_source_is_shown_with_plain_colons() {
    let (server, one) = versioned().await;
    one.upload("box/a", "old").await;
    let version = one.head("box/a").await.header("x-ms-version-id").to_owned();
    one.upload("box/a", "new").await;
    for id in [version.clone(), version.replace(':', "%3A")] {
        // S92
        let before = one.head("box/a").await;
        let promoted = one.copy("box/a", &one.url(&format!("box/a?versionid={id}"))).await;
        assert_eq!((promoted.status, promoted.header("x-ms-copy-status")), (202, "success"));
        assert!(promoted.header("x-ms-version-id") > before.header("x-ms-version-id"));
        assert_eq!(one.get("box/a").await.text(), "old");
        // S7
        let source = one.url(&format!("box/a?versionid={version}"));
        assert_eq!(one.head("box/a").await.header("x-ms-copy-source"), source);
    }
    // S30
    hold(&server);
    let begun = one.copy("box/b", &one.url("box/a")).await;
    let version = begun.header("x-ms-version-id");
    assert_eq!((begun.header("x-ms-copy-status"), version.is_empty()), ("pending", false));
    let abort = format!("box/b?comp=copy&copyid={}", begun.header("x-ms-copy-id"));
    assert_eq!(one.put(&abort, &[("x-ms-copy-action", "abort")]).await.status, 204);
    assert_eq!(one.head("box/b").await.header("x-ms-version-id"), version);
}
