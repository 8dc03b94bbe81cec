//! Get Blob and Get Blob Properties.

use blobcp::devstore::Config;

use super::*;

#[tokio::test]
async fn the_tier_is_told_by_head() {
    for (choice, told) in [("tier-on-get=absent", false), ("tier-on-get=present", true)] {
        let (_server, one, _) = answering(&[choice]).await;
        one.upload("box/a", "text").await;
        for name in ["x-ms-access-tier-inferred", "x-ms-access-tier-change-time"] {
            // S69
            for (answer, told) in [(one.head("box/a").await, true), (one.get("box/a").await, told)] {
                assert_eq!(answer.header("x-ms-access-tier").is_empty(), !told, "{choice}");
                assert_eq!(answer.header(name).is_empty(), !told, "{choice} {name}");
            }
            one.put("box/a?comp=tier", &[("x-ms-access-tier", "Cool")]).await;
        }
    }
}

#[tokio::test]
async fn ranges_and_conditions_of_reads() {
    let (_server, one, _) = accounts(Config::default()).await;
    one.upload("box/empty", "").await;
    // S70
    let past = one.send("GET", "box/empty", &[("x-ms-range", "bytes=0-")], "").await;
    assert_eq!((past.outcome().as_str(), past.header("content-range")), ("416 InvalidRange", "bytes */0"));
    one.upload("box/a", "text").await;
    let etag = one.head("box/a").await.header("etag").to_owned();
    for (header, outcome) in [
        // S71
        (("if-none-match", etag.as_str()), "304 ConditionNotMet"),
        (("if-modified-since", &*date(1)), "304 ConditionNotMet"),
        (("if-match", "\"0x1\""), "412 ConditionNotMet"),
        (("if-unmodified-since", &*date(-1)), "412 ConditionNotMet"),
        // S170
        (("if-match", etag.trim_matches('"')), "200"),
        (("if-match", "0x1"), "412 ConditionNotMet"),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = one.send(method, "box/a", &[header], "").await;
            assert_eq!(answer.outcome(), outcome, "{method} {header:?}");
            if answer.status == 304 {
                assert_eq!((answer.header("content-length"), answer.body.len()), ("0", 0), "{method} {header:?}");
            }
        }
    }
    // S170
    let listed = one.get("box?restype=container&comp=list&prefix=a").await.elements("Etag");
    assert_eq!(listed, [etag.trim_matches('"')]);
}

#[tokio::test]
async fn what_is_no_snapshot_is_refused_early() {
    let (_server, one, _) = accounts(Config::default()).await;
    one.upload("box/a", "text").await;
    // S72
    let get = one.get("box/a?snapshot=yesterday").await;
    assert_eq!((get.outcome().as_str(), get.elements("Code")), ("400", vec!["InvalidQueryParameterValue".into()]));
    for path in ["box/a?snapshot=yesterday", "box/a?comp=metadata&snapshot=yesterday"] {
        let head = one.head(path).await;
        assert_eq!((head.status, head.body.len()), (400, 0));
        assert!(!head.headers.keys().any(|name| name.as_str().starts_with("x-ms-")), "{head:?}");
    }
    // S73
    let missing = one.head("box/none").await;
    assert_eq!((missing.outcome().as_str(), missing.body.len()), ("404 BlobNotFound", 0));
    assert_eq!((missing.header("content-length"), missing.header("transfer-encoding")), ("", "chunked"));
    // Nothing follows on the connection: the next answer does.
    let url = one.url("box/a");
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let (host, signature) = (host.to_owned(), one.signature("a", "r", HOUR));
    let requests = [
        format!("HEAD /{path}-none?{signature} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        format!("GET /{path}?{signature} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
    ];
    let exchange = move || crate::common::raw::on_one_connection(&host, &requests);
    let heads = tokio::task::spawn_blocking(exchange).await.unwrap();
    assert!(
        heads[0].starts_with("HTTP/1.1 403 ") && heads[0].contains("\r\ntransfer-encoding: chunked\r\n"),
        "{heads:?}"
    );
    assert!(heads[1].starts_with("HTTP/1.1 200 OK\r\n") && heads[1].ends_with("\r\n\r\ntext"), "{heads:?}");
}

#[tokio::test]
async fn accesses_are_told_where_they_are_tracked() {
    for (choice, told) in [("access-tracking=off", false), ("access-tracking=on", true)] {
        let (_server, one, _) = answering(&[choice]).await;
        one.upload("box/a", "text").await;
        // S74
        for answer in [one.head("box/a").await, one.get("box/a").await] {
            let time = answer.header("x-ms-last-access-time");
            assert_eq!(httpdate::parse_http_date(time).is_ok(), told, "{choice} {time}");
        }
        let listed = one.get("box?restype=container&comp=list").await.elements("LastAccessTime");
        assert_eq!(listed.len(), usize::from(told), "{choice}");
    }
}

#[tokio::test]
async fn the_current_version_says_that_it_is() {
    let (_server, one) = versioned().await;
    one.upload("box/a", "text").await;
    // S75
    for answer in [one.head("box/a").await, one.get("box/a").await] {
        assert_ne!(answer.header("x-ms-version-id"), "");
        assert_eq!(answer.header("x-ms-is-current-version"), "true");
    }
    let (_server, one, _) = accounts(Config::default()).await;
    one.upload("box/a", "text").await;
    let head = one.head("box/a").await;
    assert_eq!((head.header("x-ms-version-id"), head.header("x-ms-is-current-version")), ("", ""));
}

#[tokio::test]
async fn a_blob_with_a_customers_key_needs_it() {
    let (_server, one, _) = accounts(Config::default()).await;
    let key = |byte: u8| {
        use base64::Engine;
        use sha2::Digest;
        let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        (encode(&[byte; 32]), encode(&sha2::Sha256::digest([byte; 32])))
    };
    let ((right, hash), (wrong, other)) = (key(1), key(2));
    let named = |key, hash| {
        [("x-ms-encryption-key", key), ("x-ms-encryption-key-sha256", hash), ("x-ms-encryption-algorithm", "AES256")]
    };
    let (right, wrong) = (named(&*right, &*hash), named(&*wrong, &*other));
    stage(&one, "box/a", &[("QQ==", "text")]).await;
    let list = "<BlockList><Latest>QQ==</Latest></BlockList>";
    assert_eq!(one.send("PUT", "box/a?comp=blocklist", &right, list).await.status, 201);
    // S76
    for (method, path, body) in [
        ("GET", "box/a", ""),
        ("HEAD", "box/a", ""),
        ("PUT", "box/a?comp=metadata", ""),
        ("PUT", "box/a?comp=snapshot", ""),
        ("PUT", "box/a?comp=blocklist", list),
    ] {
        let without = one.send(method, path, &[], body).await;
        assert_eq!(without.outcome(), "409 BlobUsesCustomerSpecifiedEncryption", "{method} {path}");
        assert_eq!(one.send(method, path, &wrong, body).await.status, 409, "{method} {path}");
        let with = one.send(method, path, &right, body).await;
        assert!([200, 201].contains(&with.status), "{method} {path} {with:?}");
    }
    assert_eq!(one.send("HEAD", "box/a", &right, "").await.header("x-ms-encryption-key-sha256"), hash);
    assert_eq!(one.copy("box/b", &one.url("box/a")).await.outcome(), "409 BlobUsesCustomerSpecifiedEncryption");
}
