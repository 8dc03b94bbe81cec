//! The copy engine over HTTP: rules C… and X… of the copy checklist.

use std::time::Duration;

use blobcp::devstore::{Config, CopyAction, CopyRate, Devstore, Limits, PolicyChange};

use super::client::{Client, Headers, ONE, TWO, server};
use crate::common::answer;

pub const HOUR: Duration = Duration::from_secs(3600);
pub const TIB: u64 = 1 << 40;

/// A server whose copies start held, and a client for each account. `box/source` of account one holds `content`.
pub async fn held() -> (Devstore, Client, Client) {
    let server = server(Config::default()).await;
    server.change_policy(PolicyChange { hold_new_copies: Some(true), ..PolicyChange::default() });
    let (one, two) = (Client::new(&server, ONE), Client::new(&server, TWO));
    assert_eq!(one.upload("box/source", "content").await.status, 201);
    (server, one, two)
}

#[tokio::test]
async fn c1_same_account_is_done_when_answered() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    one.send(
        "PUT",
        "box/s",
        &[("x-ms-blob-type", "BlockBlob"), ("x-ms-meta-color", "blue"), ("content-type", "a/b")],
        "12345",
    )
    .await;
    let copied = one.copy("box/copy%20of%20s", &one.url("box/s")).await;
    assert_eq!((copied.status, copied.header("x-ms-copy-status")), (202, "success"));
    let head = one.head("box/copy%20of%20s").await;
    assert_eq!(head.header("content-length"), "5");
    assert_eq!(head.header("content-type"), "a/b");
    assert_eq!(head.header("x-ms-meta-color"), "blue");
    assert_eq!(head.header("x-ms-copy-progress"), "5/5");
    assert_eq!(head.header("x-ms-copy-id"), copied.header("x-ms-copy-id"));
    assert_eq!(head.header("etag"), copied.header("etag"));
    assert_ne!(head.header("x-ms-copy-completion-time"), "");
    // C30: a missing source leaves no destination behind.
    assert_eq!(one.copy("box/none", &one.url("box/missing")).await.outcome(), "404 BlobNotFound");
    assert_eq!(one.head("box/none").await.outcome(), "404 BlobNotFound");
}

/// C2, C39, X17: a 1 TiB copy between accounts is pending, shows progress and never a torn prefix.
#[tokio::test]
async fn c2_a_tebibyte_between_accounts_is_pending_first() {
    let rate = CopyRate::BytesPerSecond(2 * TIB);
    let server = server(Config { copy_cross_account: rate, ..Config::default() }).await;
    let (one, two) = (Client::new(&server, ONE), Client::new(&server, TWO));
    server.put_sparse(ONE, "box", "huge", TIB).unwrap();
    server.reset_stats();
    let started = two.copy("box/huge", &one.shared_url("huge", HOUR)).await;
    assert_eq!(started.header("x-ms-copy-status"), "pending");
    let mut last = 0;
    let look = async || {
        let head = two.head("box/huge").await;
        if head.header("x-ms-copy-status") != "pending" {
            return Some(head);
        }
        assert_eq!(head.header("content-length"), "0");
        assert_eq!(head.header("x-ms-copy-completion-time"), "");
        let (bytes, total) = head.header("x-ms-copy-progress").split_once('/').unwrap();
        let bytes: u64 = bytes.parse().unwrap();
        assert!(bytes >= last && bytes < TIB && total == TIB.to_string());
        last = bytes;
        None
    };
    let done = answer("the end of the copy", look).await;
    assert!(last > 0);
    assert_eq!(done.header("x-ms-copy-status"), "success");
    assert_eq!(done.header("content-length"), TIB.to_string());
    assert_ne!(done.header("etag"), started.header("etag"));
    let end = format!("bytes={}-", TIB - 3);
    let tail = two.send("GET", "box/huge", &[("x-ms-range", &end)], "").await;
    assert_eq!((tail.status, &tail.body[..]), (206, &b"\0\0\0"[..]));
    assert_eq!(server.stats().body_bytes_out, 3);
}

/// C9, C10, C39, X13, X14: what a pending destination refuses, and what it shows.
#[tokio::test]
async fn c9_a_pending_destination_is_closed() {
    let (_server, one, _) = held().await;
    one.send("PUT", "box/d", &[("x-ms-blob-type", "BlockBlob"), ("x-ms-meta-old", "1")], "previous").await;
    let before = one.head("box/d").await;
    let source = one.url("box/source");
    let started = one.put("box/d", &[("x-ms-copy-source", &source), ("x-ms-meta-new", "1")]).await;
    assert_eq!(started.header("x-ms-copy-status"), "pending", "X1: also within an account");
    let pending = "409 PendingCopyOperation";
    let lease: &[_] = &[("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "-1")];
    let put: &[_] = &[("x-ms-blob-type", "BlockBlob")];
    let rows: [(&str, &str, Headers); 9] = [
        ("PUT", "box/d", put),
        ("PUT", "box/d?comp=metadata", &[]),
        ("PUT", "box/d?comp=properties", &[("x-ms-blob-content-type", "a/b")]),
        ("PUT", "box/d?comp=snapshot", &[]),
        ("PUT", "box/d?comp=lease", lease),
        ("PUT", "box/d?comp=tier", &[("x-ms-access-tier", "Cool")]),
        ("PUT", "box/d?comp=lease", &[("x-ms-lease-action", "break")]),
        ("PUT", "box/d", &[("x-ms-copy-source", &source)]),
        ("DELETE", "box/d", &[]),
    ];
    for (method, path, headers) in rows {
        assert_eq!(one.send(method, path, headers, "").await.outcome(), pending, "{method} {path}");
    }
    assert_eq!(one.send("PUT", "box/d?comp=block&blockid=QQ==", &[], "x").await.outcome(), pending);
    assert_eq!(one.send("PUT", "box/d?comp=blocklist", &[], "<BlockList/>").await.outcome(), pending);
    let head = one.head("box/d").await;
    assert_eq!(head.header("x-ms-copy-id"), started.header("x-ms-copy-id"), "the first copy goes on");
    assert_eq!(head.header("content-length"), "0");
    assert_eq!((head.header("x-ms-meta-old"), head.header("x-ms-meta-new")), ("", "1"));
    assert_ne!(head.header("etag"), before.header("etag"));
    let get = one.get("box/d").await;
    assert_eq!((get.status, get.body.len()), (200, 0));
    let listed = one.get("box?restype=container&comp=list&include=copy&prefix=d").await;
    assert_eq!(listed.elements("CopyStatus"), ["pending"]);
    assert_eq!(listed.elements("CopyProgress"), ["0/7"]);
    let plain = one.get("box?restype=container&comp=list&prefix=d").await;
    assert!(plain.elements("CopyStatus").is_empty(), "only with include=copy");
}

/// C49–C53, X11, X12.
#[tokio::test]
async fn c50_abort_leaves_nothing_but_the_new_metadata() {
    let (server, one, _) = held().await;
    let source = one.url("box/source");
    for (kind, size) in [("BlockBlob", None), ("AppendBlob", None), ("PageBlob", Some("1024"))] {
        let mut headers = vec![("x-ms-blob-type", kind), ("x-ms-meta-of", "source")];
        headers.extend(size.map(|size| ("x-ms-blob-content-length", size)));
        assert_eq!(one.put("box/of-kind", &headers).await.status, 201);
        let path = format!("box/{kind}");
        let started = one.copy(&path, &one.url("box/of-kind")).await;
        let id = started.header("x-ms-copy-id");
        let abort: &[_] = &[("x-ms-copy-action", "abort")];
        let wrong = format!("{path}?comp=copy&copyid=00000000-0000-0000-0000-000000000000");
        assert_eq!(one.put(&wrong, abort).await.outcome(), "409 CopyIdMismatch");
        let right = format!("{path}?comp=copy&copyid={id}");
        assert_eq!(one.put(&right, &[]).await.outcome(), "400 MissingRequiredHeader");
        assert_eq!(one.put(&right, abort).await.outcome(), "204");
        assert_eq!(one.put(&right, abort).await.outcome(), "409 NoPendingCopyOperation");
        let head = one.head(&path).await;
        assert_eq!(head.header("content-length"), "0", "{kind}");
        assert_eq!(head.header("x-ms-blob-type"), kind);
        assert_eq!(head.header("x-ms-copy-status"), "aborted");
        assert_eq!(head.header("x-ms-copy-id"), id);
        assert_eq!(head.header("x-ms-meta-of"), "source");
        assert_ne!(head.header("x-ms-copy-completion-time"), "");
        assert_eq!(head.header("x-ms-copy-status-description"), "");
        assert_eq!(one.delete("box/of-kind").await.status, 202);
    }
    assert_eq!(
        one.put("box/missing?comp=copy&copyid=x", &[("x-ms-copy-action", "abort")]).await.outcome(),
        "404 BlobNotFound"
    );
    // C52: a snapshot taken before brings metadata and content back.
    one.send("PUT", "box/kept", &[("x-ms-blob-type", "BlockBlob"), ("x-ms-meta-old", "1")], "old").await;
    let taken = one.put("box/kept?comp=snapshot", &[]).await;
    let started = one.copy("box/kept", &source).await;
    let abort = format!("box/kept?comp=copy&copyid={}", started.header("x-ms-copy-id"));
    assert_eq!(one.put(&abort, &[("x-ms-copy-action", "abort")]).await.status, 204);
    server.change_policy(PolicyChange { hold_new_copies: Some(false), ..PolicyChange::default() });
    let snapshot = one.url(&format!("box/kept?snapshot={}", taken.header("x-ms-snapshot")));
    assert_eq!(one.copy("box/kept", &snapshot).await.header("x-ms-copy-status"), "success");
    let restored = one.get("box/kept").await;
    assert_eq!((restored.text().as_str(), restored.header("x-ms-meta-old")), ("old", "1"));
}

/// C7, X5, X6, X7, X19, X20: what is refused before a copy begins, each leaving the destination alone.
#[tokio::test]
async fn a_refused_copy_changes_nothing() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    let source = one.url("box/source");
    one.upload("box/source", "content").await;
    one.upload("box/block", "untouched").await;
    one.put("box/append", &[("x-ms-blob-type", "AppendBlob")]).await;
    one.send("PUT", "box/uncommitted?comp=block&blockid=QQ==", &[], "x").await;
    one.upload("box/leased", "untouched").await;
    let lease =
        one.put("box/leased?comp=lease", &[("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "15")]).await;
    let id = lease.header("x-ms-lease-id");
    let other = "11111111-1111-1111-1111-111111111111";
    let snapshot = one.put("box/block?comp=snapshot", &[]).await;
    let snapshot = format!("box/block?snapshot={}", snapshot.header("x-ms-snapshot"));
    let uncommitted = one.url("box/uncommitted");
    let rows: [(&str, Headers, &str); 14] = [
        ("box/append", &[], "409 InvalidBlobType"),
        ("box/leased", &[], "412 LeaseIdMissing"),
        ("box/leased", &[("x-ms-lease-id", other)], "412 LeaseIdMismatchWithBlobOperation"),
        ("box/leased", &[("x-ms-lease-id", id)], "412 InfiniteLeaseDurationRequired"),
        ("box/block", &[("x-ms-lease-id", id)], "412 LeaseNotPresentWithBlobOperation"),
        ("box/none", &[("x-ms-lease-id", id)], "412 LeaseNotPresentWithBlobOperation"),
        ("box/none", &[("if-match", "*")], "412 TargetConditionNotMet"),
        ("box/block", &[("if-none-match", "*")], "409 BlobAlreadyExists"),
        ("box/block", &[("if-match", "\"0x1\"")], "412 TargetConditionNotMet"),
        ("box/block", &[("x-ms-source-if-match", "\"0x1\"")], "412 SourceConditionNotMet"),
        ("box/block", &[("x-ms-source-if-none-match", "*")], "412 SourceConditionNotMet"),
        (&snapshot, &[], "400 InvalidQueryParameterValue"),
        ("box/block", &[("x-ms-copy-source", &uncommitted)], "404 BlobNotFound"),
        ("box/block", &[("x-ms-copy-source", "/one/box/source")], "400 InvalidHeaderValue"),
    ];
    for (path, headers, outcome) in rows {
        let mut headers = headers.to_vec();
        if !headers.iter().any(|(name, _)| *name == "x-ms-copy-source") {
            headers.push(("x-ms-copy-source", &source));
        }
        assert_eq!(one.put(path, &headers).await.outcome(), outcome, "{path} {headers:?}");
    }
    for name in ["box/block", "box/leased"] {
        assert_eq!(one.get(name).await.text(), "untouched");
    }
    assert_eq!(one.copy("missing/d", &source).await.outcome(), "404 ContainerNotFound");
    assert_eq!(one.head("box/none").await.status, 404);
}

/// C13, C17, C18: block ids come along; a copy onto itself drops uncommitted blocks and replaces metadata.
#[tokio::test]
async fn c17_a_copy_onto_itself_drops_uncommitted_blocks() {
    let (server, one, _) = held().await;
    one.send("PUT", "box/s?comp=block&blockid=QQ==", &[], "first").await;
    one.send("PUT", "box/s?comp=blocklist", &[("x-ms-meta-old", "1")], "<BlockList><Latest>QQ==</Latest></BlockList>")
        .await;
    one.send("PUT", "box/s?comp=block&blockid=Qg==", &[], "uncommitted").await;
    let copied = one.put("box/s", &[("x-ms-copy-source", &one.url("box/s")), ("x-ms-meta-new", "1")]).await;
    assert_eq!(copied.header("x-ms-copy-status"), "success", "held or not, it cannot wait for itself");
    let list = one.get("box/s?comp=blocklist&blocklisttype=all").await;
    assert_eq!(list.elements("Name"), ["QQ=="]);
    let head = one.head("box/s").await;
    assert_eq!((head.header("x-ms-meta-old"), head.header("x-ms-meta-new")), ("", "1"));
    server.change_policy(PolicyChange { hold_new_copies: Some(false), ..PolicyChange::default() });
    one.copy("box/d", &one.url("box/s")).await;
    assert_eq!(one.get("box/d?comp=blocklist").await.elements("Name"), ["QQ=="]);
}

/// X15: any later write of content, metadata or properties removes the copy state; tags and leases do not.
#[tokio::test]
async fn x15_copy_state_is_not_history() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    one.upload("box/s", "content").await;
    let write: [(&str, Headers, bool); 6] = [
        ("", &[("x-ms-blob-type", "BlockBlob")], false),
        ("?comp=metadata", &[], false),
        ("?comp=properties", &[("x-ms-blob-content-type", "a/b")], false),
        ("?comp=lease", &[("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "15")], true),
        ("?comp=tier", &[("x-ms-access-tier", "Cool")], true),
        ("?comp=snapshot", &[], true),
    ];
    for (number, (query, headers, kept)) in write.into_iter().enumerate() {
        let path = format!("box/d{number}");
        let etag = one.copy(&path, &one.url("box/s")).await.header("etag").to_owned();
        assert!(one.put(&format!("{path}{query}"), headers).await.status < 300);
        let head = one.head(&path).await;
        assert_eq!(head.header("x-ms-copy-status") == "success", kept, "{query}");
        assert_eq!(head.header("etag") == etag, kept, "{query}");
    }
}

/// Hold, release, trouble (X10), fail and replace (X16), through both doors.
#[tokio::test]
async fn pending_copies_can_be_steered() {
    let (server, one, _) = held().await;
    let source = one.url("box/source");
    let started = one.copy("box/a", &source).await;
    let id = started.header("x-ms-copy-id");
    let steer =
        |action: &'static str| one.control("POST", Box::leak(format!("/-/copies/{id}/{action}").into_boxed_str()), "");
    assert_eq!(steer("trouble").await.status, 204);
    let head = one.head("box/a").await;
    assert_eq!(head.header("x-ms-copy-status"), "pending");
    assert!(head.header("x-ms-copy-status-description").starts_with("502 BadGateway \"Encountered a retryable"));
    let replaced = steer("replace").await.json();
    let new = replaced["id"].as_str().unwrap();
    assert_eq!(one.head("box/a").await.header("x-ms-copy-id"), new);
    assert_eq!(steer("release").await.status, 404, "the old id is history");
    let abort = format!("box/a?comp=copy&copyid={id}");
    assert_eq!(one.put(&abort, &[("x-ms-copy-action", "abort")]).await.outcome(), "409 CopyIdMismatch");
    assert_eq!(one.control("POST", &format!("/-/copies/{new}/release"), "").await.status, 204);
    let head = one.head("box/a").await;
    assert_eq!((head.header("x-ms-copy-status"), head.header("x-ms-copy-status-description")), ("success", ""));

    let second = one.copy("box/b", &source).await;
    let fail = CopyAction::Fail { status: 404, code: "ResourceNotFound".into() };
    server.steer_copy(second.header("x-ms-copy-id"), fail).unwrap();
    let head = one.head("box/b").await;
    assert_eq!(head.header("x-ms-copy-status"), "failed");
    assert_eq!(
        head.header("x-ms-copy-status-description"),
        "404 ResourceNotFound \"Copy failed when reading the source.\""
    );
    let listed = one.control("GET", "/-/copies", "").await.json();
    let states: Vec<&str> = listed.as_array().unwrap().iter().map(|copy| copy["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["aborted", "success", "failed"]);
    assert_eq!(listed[1]["bytes_copied"], 7);
    assert_eq!(listed[1]["destination"], "one/box/a");
}

/// A page blob fills from the front while it is copied and changes its ETag meanwhile (§13.3).
#[tokio::test]
async fn a_pending_page_blob_fills_visibly() {
    let rate = CopyRate::BytesPerSecond(64 << 10);
    let server = server(Config { copy_same_account: rate, ..Config::default() }).await;
    let one = Client::new(&server, ONE);
    one.put(
        "box/p",
        &[("x-ms-blob-type", "PageBlob"), ("x-ms-blob-content-length", "65536"), ("x-ms-blob-sequence-number", "7")],
    )
    .await;
    let write = [("x-ms-page-write", "update"), ("x-ms-range", "bytes=0-65535")];
    assert_eq!(one.send("PUT", "box/p?comp=page", &write, vec![b'p'; 65536]).await.status, 201);
    let started = one.copy("box/q", &one.url("box/p")).await;
    let filled = loop {
        let part = one.get("box/q").await;
        assert_eq!(part.body.len(), 65536);
        let filled = part.body.iter().filter(|byte| **byte == b'p').count();
        if filled > 0 {
            assert_ne!(part.header("etag"), started.header("etag"));
            break filled;
        }
    };
    assert!(filled < 65536 && filled % 512 == 0, "{filled}");
    assert_eq!(one.get("box/q?comp=pagelist").await.outcome(), "409 PendingCopyOperation");
    assert_eq!(one.copied("box/q").await.header("x-ms-copy-status"), "success");
    let whole = one.get("box/q").await;
    assert_eq!(whole.header("x-ms-blob-sequence-number"), "7");
    assert!(whole.body.iter().all(|byte| *byte == b'p'));
}

/// X9, with a shorter fortnight.
#[tokio::test]
async fn x9_a_copy_does_not_stay_pending_for_ever() {
    let limits = Limits { copy_age: Duration::from_millis(100), ..Limits::default() };
    let server = server(Config { limits, copy_same_account: CopyRate::BytesPerSecond(1), ..Config::default() }).await;
    let one = Client::new(&server, ONE);
    one.upload("box/s", "content").await;
    one.copy("box/d", &one.url("box/s")).await;
    let head = one.copied("box/d").await;
    assert_eq!(
        head.header("x-ms-copy-status-description"),
        "500 OperationCancelled \"The copy exceeded the maximum allowed time.\""
    );
}

#[tokio::test]
async fn x23_a_copy_takes_over_the_seal_unless_it_is_told() {
    // X23, S8 to S11
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    for name in ["box/open", "box/sealed"] {
        one.put(name, &[("x-ms-blob-type", "AppendBlob")]).await;
        assert_eq!(one.send("PUT", &format!("{name}?comp=appendblock"), &[], "line").await.status, 201);
    }
    assert_eq!(one.put("box/sealed?comp=seal", &[]).await.status, 200);
    for (source, told, is_sealed) in [
        ("box/sealed", None, true),
        ("box/sealed", Some("false"), false),
        ("box/sealed", Some("true"), true),
        ("box/open", None, false),
        ("box/open", Some("false"), false),
        ("box/open", Some("true"), true),
    ] {
        let url = one.url(source);
        let mut headers = vec![("x-ms-copy-source", url.as_str())];
        headers.extend(told.map(|told| ("x-ms-seal-blob", told)));
        let copy =
            format!("box/copy-of-{source}-{told:?}").replace(['(', ')', '"', '/'], "").replacen("box", "box/", 1);
        assert_eq!(one.put(&copy, &headers).await.status, 202);
        let appended = one.send("PUT", &format!("{copy}?comp=appendblock"), &[], "more").await;
        let found = one.head(&copy).await;
        let shown = (found.header("x-ms-blob-sealed"), appended.outcome());
        let expected = if is_sealed { ("true", "409 BlobIsSealed".to_owned()) } else { ("", "201".to_owned()) };
        assert_eq!(shown, expected, "{source} {told:?}");
    }
    let wrong = [("x-ms-copy-source", one.url("box/open")), ("x-ms-seal-blob", "yes".to_owned())];
    let wrong: Vec<_> = wrong.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(one.put("box/x", &wrong).await.outcome(), "400 InvalidHeaderValue");
}
