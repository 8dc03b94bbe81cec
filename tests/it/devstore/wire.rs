//! The plain operations on the wire: common headers, refusals, limits, addressing, listing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use blobcp::devstore::{AccountConfig, Config, Devstore, Limits, PolicyChange};

use super::client::{Client, ONE, server};

/// Sends bytes as they are and returns what the server says until it closes.
fn raw(server: &Devstore, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test]
async fn every_answer_has_the_common_headers() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    for (path, status) in [("box?restype=container", 200), ("box/missing", 404)] {
        let answer = one.send("GET", path, &[("x-ms-client-request-id", "mine")], "").await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("x-ms-version"), "2025-11-05");
        assert_eq!(answer.header("x-ms-client-request-id"), "mine");
        for name in ["x-ms-request-id", "date", "server"] {
            assert_ne!(answer.header(name), "", "{name}");
        }
    }
    let missing = one.get("box/missing").await;
    assert!(missing.text().starts_with("<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>BlobNotFound</Code>"));
    assert!(missing.text().contains(&format!("RequestId:{}", missing.header("x-ms-request-id"))));
    let head = one.head("box/missing").await;
    assert_eq!((head.outcome().as_str(), head.body.len()), ("404 BlobNotFound", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_checked() {
    let server = server(Config::default()).await;
    let address = server.address();
    let request =
        |extra: &str| format!("GET /one/box/x HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{extra}\r\n");
    let date = httpdate::fmt_http_date(std::time::SystemTime::now());
    assert!(raw(&server, &request("")).starts_with("HTTP/1.1 401 "));
    let wrong = raw(&server, &request(&format!("x-ms-date: {date}\r\nauthorization: SharedKey one:AAAA\r\n")));
    assert!(wrong.starts_with("HTTP/1.1 403 "), "{wrong}");
    let detail = format!(
        "<AuthenticationErrorDetail>The MAC signature found in the HTTP request 'AAAA' is not the same as any \
         computed signature. Server used following string to sign: 'GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\n/one/one/box/x'."
    );
    assert!(wrong.contains(&detail), "{wrong}");
    let stale = "x-ms-date: Mon, 01 Jan 2024 00:00:00 GMT\r\nauthorization: SharedKey one:AAAA\r\n";
    assert!(raw(&server, &request(stale)).contains("Request date header too old"));
    let unreadable = raw(&server, &request("authorization: Bearer x\r\n"));
    assert!(unreadable.contains("x-ms-error-code: InvalidAuthenticationInfo"), "{unreadable}");
    let stranger = raw(&server, &request("").replace("/one/", "/stranger/"));
    assert!(stranger.contains("x-ms-error-code: ResourceNotFound"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_needs_its_length() {
    let server = server(Config::default()).await;
    let sas = Client::new(&server, ONE).signature("x", "w", Duration::from_secs(60));
    let request = format!(
        "PUT /one/box/x?{sas} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\nx-ms-blob-type: BlockBlob\r\n",
        server.address()
    );
    let chunked = raw(&server, &format!("{request}transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"));
    assert!(chunked.starts_with("HTTP/1.1 411 "), "{chunked}");
    let bare = raw(&server, &format!("{request}\r\n"));
    assert!(bare.contains("x-ms-error-code: MissingContentLengthHeader"), "{bare}");
    let right = raw(&server, &format!("{request}content-length: 1\r\n\r\nx"));
    assert!(right.starts_with("HTTP/1.1 201 "), "{right}");
}

#[tokio::test]
async fn limits_are_enforced() {
    let limits =
        Limits { put_blob_bytes: 10, block_bytes: 5, committed_blocks: 2, metadata_bytes: 20, ..Limits::default() };
    let server = server(Config { limits, ..Config::default() }).await;
    let one = Client::new(&server, ONE);
    assert_eq!(one.upload("box/x", "0123456789").await.outcome(), "201");
    assert_eq!(one.upload("box/x", "0123456789a").await.outcome(), "413 RequestBodyTooLarge");
    assert_eq!(
        one.send("PUT", "box/b?comp=block&blockid=QQ==", &[], "012345").await.outcome(),
        "413 RequestBodyTooLarge"
    );
    assert_eq!(one.send("PUT", "box/b?comp=block&blockid=QQ==", &[], "01234").await.outcome(), "201");
    let list = format!("<BlockList>{}</BlockList>", "<Latest>QQ==</Latest>".repeat(3));
    assert_eq!(one.send("PUT", "box/b?comp=blocklist", &[], list).await.outcome(), "400 BlockListTooLong");
    let long = "v".repeat(20);
    assert_eq!(one.put("box/x?comp=metadata", &[("x-ms-meta-name", &long)]).await.outcome(), "400 MetadataTooLarge");
    assert_eq!(one.put("box/x?comp=metadata", &[("x-ms-meta-na-me", "v")]).await.outcome(), "400 InvalidMetadata");
}

#[tokio::test]
async fn checksums_are_verified() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    let put = async |headers: &[(&str, &str)]| {
        let headers = [&[("x-ms-blob-type", "BlockBlob")], headers].concat();
        one.send("PUT", "box/x", &headers, "hello world").await
    };
    let right = put(&[("content-md5", "XrY7u+Ae7tCTyyK7j1rNww==")]).await;
    assert_eq!(right.header("content-md5"), "XrY7u+Ae7tCTyyK7j1rNww==");
    assert_eq!(right.header("x-ms-content-crc64"), "vo7q9sPVKY0=");
    assert_eq!(put(&[("x-ms-content-crc64", "vo7q9sPVKY0=")]).await.status, 201);
    assert_eq!(put(&[("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")]).await.outcome(), "400 Md5Mismatch");
    assert_eq!(put(&[("content-md5", "short")]).await.outcome(), "400 InvalidMd5");
    assert_eq!(put(&[("x-ms-content-crc64", "AAAAAAAAAAA=")]).await.outcome(), "400 Crc64Mismatch");
    assert_eq!(put(&[("x-ms-content-crc64", "AAAAAA==")]).await.outcome(), "400 InvalidHeaderValue");
    // Of a whole block blob the hash to be stored must be right, and is what counts.
    let (right, wrong) = ("XrY7u+Ae7tCTyyK7j1rNww==", "AAAAAAAAAAAAAAAAAAAAAA==");
    let stored = "x-ms-blob-content-md5";
    assert_eq!(put(&[(stored, wrong)]).await.outcome(), "400 Md5Mismatch");
    assert_eq!(put(&[(stored, "short")]).await.outcome(), "400 InvalidMd5");
    assert_eq!(put(&[(stored, wrong), ("content-md5", right)]).await.outcome(), "400 Md5Mismatch");
    assert_eq!(put(&[(stored, right), ("content-md5", wrong)]).await.outcome(), "201");
    assert_eq!(one.head("box/x").await.header("content-md5"), right);
    // Nobody can know the hash of what is to come.
    let append = [("x-ms-blob-type", "AppendBlob"), (stored, wrong)];
    assert_eq!(one.put("box/log", &append).await.outcome(), "201");
    assert_eq!(one.head("box/log").await.header("content-md5"), wrong);
    let part =
        one.send("GET", "box/x", &[("x-ms-range", "bytes=0-4"), ("x-ms-range-get-content-md5", "true")], "").await;
    assert_eq!(part.header("content-md5"), "XUFAKrxLKna5cZ2REBfFkg==");
    assert_eq!(part.header("x-ms-blob-content-md5"), "XrY7u+Ae7tCTyyK7j1rNww==");
}

#[tokio::test]
async fn what_is_written_has_its_checksum_in_the_answer() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    let (md5, crc) = ("XrY7u+Ae7tCTyyK7j1rNww==", "vo7q9sPVKY0=");
    one.put("box/log", &[("x-ms-blob-type", "AppendBlob")]).await;
    let append =
        async |headers: &[(&str, &str)]| one.send("PUT", "box/log?comp=appendblock", headers, "hello world").await;
    for (headers, told) in [(&[][..], ("", crc)), (&[("content-md5", md5)], (md5, ""))] {
        let answer = append(headers).await;
        assert_eq!((answer.header("content-md5"), answer.header("x-ms-content-crc64")), told, "{headers:?}");
    }
    let empty = one.put("box/log?comp=appendblock", &[]).await;
    assert_eq!(empty.outcome(), "400 InvalidHeaderValue");
    one.put("box/pages", &[("x-ms-blob-type", "PageBlob"), ("x-ms-blob-content-length", "512")]).await;
    let update = [("x-ms-page-write", "update"), ("x-ms-range", "bytes=0-511")];
    let written = one.send("PUT", "box/pages?comp=page", &update, vec![0; 512]).await;
    let same = [&update[..], &[("x-ms-content-crc64", written.header("x-ms-content-crc64"))]].concat();
    assert_eq!(one.send("PUT", "box/pages?comp=page", &same, vec![0; 512]).await.outcome(), "201");
    assert_eq!(one.send("PUT", "box/pages?comp=page", &same, vec![1; 512]).await.outcome(), "400 Crc64Mismatch");
    let clear = [("x-ms-page-write", "clear"), ("x-ms-range", "bytes=0-511")];
    let cleared = one.put("box/pages?comp=page", &clear).await;
    assert_eq!((cleared.outcome().as_str(), cleared.header("x-ms-content-crc64")), ("201", ""));
    for answer in [written, cleared, one.put("box/log?comp=metadata", &[("x-ms-meta-a", "b")]).await] {
        assert_eq!(answer.header("x-ms-request-server-encrypted"), "true", "{answer:?}");
    }
}

#[tokio::test]
async fn properties_that_are_not_sent_are_cleared() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    one.put(
        "box/pages",
        &[("x-ms-blob-type", "PageBlob"), ("x-ms-blob-content-length", "512"), ("x-ms-blob-content-type", "a/b")],
    )
    .await;
    let kind = async || one.head("box/pages").await.header("content-type").to_owned();
    let set = "box/pages?comp=properties";
    for kept in [("x-ms-blob-content-length", "1024"), ("x-ms-sequence-number-action", "increment")] {
        assert_eq!(one.put(set, &[kept]).await.status, 200);
        assert_eq!(kind().await, "a/b", "{kept:?}");
    }
    assert_eq!(one.put(set, &[("x-ms-blob-cache-control", "no-store")]).await.status, 200);
    assert_eq!(kind().await, "application/octet-stream");
    assert_eq!(one.put(set, &[]).await.status, 200);
    assert_eq!(one.head("box/pages").await.header("cache-control"), "");
}

#[tokio::test]
async fn a_signature_sets_headers_of_what_is_read_by_it() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    let put = [("x-ms-blob-type", "BlockBlob"), ("x-ms-blob-content-type", "a/b"), ("x-ms-blob-cache-control", "own")];
    one.send("PUT", "box/a", &put, "text").await;
    let headers = ["cache-control", "content-disposition", "content-encoding", "content-language", "content-type"];
    let values = ["no-store", "attachment; filename=\"a b\"", "identity", "de", "c/d"];
    let path = format!("box/a?{}", one.signature_with_headers("a", values));
    for (method, range) in [("GET", ""), ("GET", "bytes=0-1"), ("HEAD", "")] {
        let sent = [("x-ms-version", "2025-11-05"), ("x-ms-range", range)];
        let answer = one.unsigned(method, &path, &sent[..if range.is_empty() { 1 } else { 2 }]).await;
        assert_eq!(headers.map(|name| answer.header(name).to_owned()), values.map(str::to_owned), "{method} {range}");
    }
    let some = one.signature_with_headers("a", ["", "", "", "", "c/d"]);
    let answer = one.unsigned("GET", &format!("box/a?{some}"), &[("x-ms-version", "2025-11-05")]).await;
    assert_eq!((answer.header("cache-control"), answer.header("content-type")), ("own", "c/d"));
    let forged = path.replace("rscc=no%2Dstore", "rscc=public");
    assert_eq!(
        one.unsigned("GET", &forged, &[("x-ms-version", "2025-11-05")]).await.outcome(),
        "403 AuthenticationFailed"
    );
    // With the key they mean nothing.
    assert_eq!(one.get("box/a?rsct=c%2Fd").await.header("content-type"), "a/b");
}

#[tokio::test]
async fn a_signature_that_may_not_overwrite_may_still_delete_and_append() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    one.put("box/log", &[("x-ms-blob-type", "AppendBlob")]).await;
    one.upload("box/a", "text").await;
    let block = [("x-ms-blob-type", "BlockBlob")];
    for (method, blob, query, letters, headers, outcome) in [
        ("PUT", "a", "", "c", &block[..], "403 UnauthorizedBlobOverwrite"),
        ("PUT", "a", "comp=blocklist&", "cd", &[], "403 UnauthorizedBlobOverwrite"),
        ("PUT", "new", "", "c", &block, "201"),
        ("PUT", "log", "comp=appendblock&", "a", &[], "201"),
        ("PUT", "log", "comp=appendblock&", "c", &[], "403 AuthorizationPermissionMismatch"),
        ("DELETE", "a", "", "cd", &[], "202"),
        ("DELETE", "log", "", "d", &[], "202"),
    ] {
        let signature = one.signature(blob, letters, Duration::from_secs(60));
        let headers = [headers, &[("x-ms-version", "2025-11-05")]].concat();
        let body = if query.contains("blocklist") { "<BlockList/>" } else { "more" };
        let body = if method == "PUT" { body } else { "" };
        let answer = one.unsigned_with(method, &format!("box/{blob}?{query}{signature}"), &headers, body).await;
        assert_eq!(answer.outcome(), outcome, "{method} {blob} {query} {letters}");
    }
    for gone in ["box/a", "box/log"] {
        assert_eq!(one.head(gone).await.status, 404);
    }
}

#[tokio::test]
async fn what_is_not_there_is_refused() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    for (method, path, outcome) in [
        ("PUT", "box/x?comp=query", "501 NotImplemented"),
        ("GET", "box/x?versionid=2026", "404 BlobNotFound"),
        ("PUT", "box/x?comp=nonsense", "400 InvalidQueryParameterValue"),
        ("POST", "box/x", "405 UnsupportedHttpVerb"),
        ("PUT", "box/x", "400 MissingRequiredHeader"),
        ("PUT", "Upper/x", "400 InvalidResourceName"),
        ("PUT", "box/x?comp=blocklist", "400 InvalidXmlDocument"),
        ("GET", "missing/x", "404 ContainerNotFound"),
    ] {
        assert_eq!(one.send(method, path, &[], "").await.outcome(), outcome, "{method} {path}");
    }
}

#[tokio::test]
async fn promises_that_cannot_be_kept_are_refused() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    let hold: &[_] = &[("x-ms-blob-type", "BlockBlob"), ("x-ms-legal-hold", "true")];
    assert_eq!(one.put("box/x", hold).await.outcome(), "501 NotImplemented");
    let policy = "<SignedIdentifiers><SignedIdentifier><Id>p</Id></SignedIdentifier></SignedIdentifiers>";
    let acl = "box?restype=container&comp=acl";
    assert_eq!(one.send("PUT", acl, &[], policy).await.outcome(), "501 NotImplemented");
    assert_eq!(one.send("PUT", acl, &[], "<SignedIdentifiers/>").await.outcome(), "200");
}

#[tokio::test(flavor = "multi_thread")]
async fn host_style_reaches_the_same_blob() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    one.upload("box/a%20b", "content").await;
    one.put("box?restype=container&comp=acl", &[("x-ms-blob-public-access", "blob")]).await;
    let request = format!(
        "GET /box/a%20b HTTP/1.1\r\nhost: one.blob.localhost:{}\r\nconnection: close\r\n\r\n",
        server.address().port()
    );
    let answer = tokio::task::block_in_place(|| raw(&server, &request));
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("content"), "{answer}");
}

#[tokio::test]
async fn paging_follows_the_policy() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    for number in 0..7 {
        one.upload(&format!("box/d/{number}"), "").await;
    }
    let change = r#"{"list_page":3,"empty_list_pages":true}"#;
    assert_eq!(one.control("POST", "/-/policy", change).await.status, 204);
    let (mut names, mut pages, mut marker) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = one.get(&format!("box?restype=container&comp=list&prefix=d%2F&marker={marker}")).await;
        pages.push(page.elements("Name").len());
        names.extend(page.elements("Name"));
        match page.elements("NextMarker").pop() {
            Some(next) => marker = next,
            None => break,
        }
    }
    assert_eq!(pages, [0, 3, 0, 3, 0, 1]);
    assert_eq!(names, (0..7).map(|number| format!("d/{number}")).collect::<Vec<_>>());
    let zero = one.get("box?restype=container&comp=list&maxresults=0").await;
    assert_eq!(zero.outcome(), "400 OutOfRangeQueryParameterValue");
}

#[tokio::test]
async fn what_a_listing_includes_is_named_in_any_case() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    one.upload("box/a", "").await;
    one.put("box/a?comp=snapshot", &[]).await;
    for (include, entries) in [("", 1), ("snapshots", 2), ("Snapshots", 2), ("Metadata,SNAPSHOTS", 2)] {
        let page = one.get(&format!("box?restype=container&comp=list&include={include}")).await;
        assert_eq!(page.elements("Name").len(), entries, "{include}");
    }
}

#[tokio::test]
async fn odd_names_survive() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    let names = [
        "a%26b%3Cc%3E",
        "q%3Fx%23y",
        "%2F%2Fdbl",
        "dir/",
        "%F0%9F%8E%88",
        "100%25",
        "a%255Cb",
        "%20blanks%20/%20",
        "..lead/a.b",
        "d/%EF%BF%BE",
    ];
    for name in names {
        assert_eq!(one.upload(&format!("box/{name}"), name).await.status, 201, "{name}");
        assert_eq!(one.get(&format!("box/{name}")).await.text(), name);
        let copied = one.copy(&format!("box/copy%20of%20{name}"), &one.url(&format!("box/{name}"))).await;
        assert_eq!(copied.status, 202, "{name}");
    }
    let listed = one.get("box?restype=container&comp=list").await;
    assert!(listed.text().contains("<Name>a&amp;b&lt;c&gt;</Name>"));
    // S77
    assert!(listed.text().contains("<Name Encoded=\"true\">d%2F%EF%BF%BE</Name>"));
}

#[tokio::test]
async fn names_that_are_not_told_apart_are_one_blob() {
    // S203, S204
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    for (other, name) in [("a%5Cb", "a/b"), ("a%5cb", "a/b"), ("doc.", "doc"), ("doc%2E.", "doc"), ("seg./x", "seg/x")]
    {
        one.upload(&format!("box/{name}"), "old").await;
        assert_eq!(one.get(&format!("box/{other}")).await.text(), "old", "{other}");
        assert_eq!(one.upload(&format!("box/{other}"), "new").await.status, 201);
        assert_eq!(one.get(&format!("box/{name}")).await.text(), "new", "{other}");
        // As source and destination of a copy as well.
        let copied = one.copy(&format!("box/copy%5C{other}"), &one.url(&format!("box/{other}"))).await;
        assert_eq!(copied.status, 202, "{other}");
        assert_eq!(one.get(&format!("box/copy/{name}")).await.text(), "new", "{other}");
        assert_eq!(one.send("DELETE", &format!("box/{other}"), &[], "").await.status, 202);
        assert_eq!(one.get(&format!("box/{name}")).await.outcome(), "404 BlobNotFound", "{other}");
    }
    let listed = |query: &'static str| {
        let one = one.clone();
        async move { one.get(&format!("box?restype=container&comp=list&{query}")).await.elements("Name") }
    };
    assert_eq!(listed("").await, ["copy/a/b", "copy/doc", "copy/seg/x"]);
    // What a listing begins with is taken as it is.
    assert_eq!(listed("prefix=copy%5C").await, [""; 0]);
    assert_eq!(listed("prefix=copy./").await, [""; 0]);
}

#[tokio::test]
async fn a_signature_is_for_the_name_with_slashes() {
    // S203
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    one.upload("box/a/b", "text").await;
    for (signed, outcome) in [("a/b", "200"), ("a\\b", "403 AuthenticationFailed")] {
        let signature = one.signature(signed, "r", Duration::from_secs(600));
        let answer = reqwest::get(format!("{}?{signature}", one.url("box/a%5Cb"))).await.unwrap();
        let code = answer.headers().get("x-ms-error-code").map(|code| format!(" {}", code.to_str().unwrap()));
        assert_eq!(format!("{}{}", answer.status().as_u16(), code.unwrap_or_default()), outcome, "{signed}");
    }
}

#[tokio::test]
async fn names_that_the_service_does_not_take_are_refused() {
    // S205
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    let long = |unit: &str, count: usize| unit.repeat(count);
    for refused in ["a%7F".into(), "a%1F".into(), long("a", 1025), long("%F0%9F%98%80", 513), long("a/", 255) + "a"] {
        assert_eq!(one.upload(&format!("box/{refused}"), "x").await.status, 400, "{refused}");
    }
    for taken in [long("a", 1024), long("%F0%9F%98%80", 512), long("a/", 254) + "a", "a%C2%85".into()] {
        assert_eq!(one.upload(&format!("box/{taken}"), "x").await.status, 201, "{taken}");
    }
}

#[tokio::test]
async fn reads_end_where_the_blob_ends() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    one.upload("box/x", "0123456789").await;
    let read = async |range: &str| one.send("GET", "box/x", &[("x-ms-range", range)], "").await;
    let part = read("bytes=7-100").await;
    assert_eq!((part.status, part.header("content-range"), part.text().as_str()), (206, "bytes 7-9/10", "789"));
    let past = read("bytes=10-").await;
    assert_eq!((past.outcome().as_str(), past.header("content-range")), ("416 InvalidRange", "bytes */10"));
    let same = one.head("box/x").await.header("etag").to_owned();
    let unchanged = one.send("GET", "box/x", &[("if-none-match", &same)], "").await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    let changed = one.send("GET", "box/x", &[("if-match", "\"0x1\"")], "").await;
    assert_eq!(changed.outcome(), "412 ConditionNotMet");
}

#[tokio::test]
async fn it_stops_and_refuses_nonsense() {
    let server = server(Config::default()).await;
    let address = server.address();
    assert_eq!(server.endpoint(ONE), format!("http://{address}/one"));
    assert!(server.connection_string("stranger").is_none());
    assert!(server.put_sparse("stranger", "box", "b", 1).is_err());
    assert!(server.put_sparse(ONE, "Not A Container", "b", 1).is_err());
    server.change_policy(PolicyChange::default());
    server.stop().await;
    assert!(TcpStream::connect(address).is_err());
    let wrong = vec![AccountConfig { key: Some("not base64!".into()), ..AccountConfig::named("one") }];
    assert!(Devstore::start(Config { accounts: wrong, ..Config::default() }).await.is_err());
}
