//! Index tags: of which state of a blob they are, and what finds them.

use blobcp::devstore::{AccountConfig, Config, Devstore};

use super::client::{Answer, Client, ONE, server};

/// The document of Set Blob Tags with one tag.
fn tag(key: &str, value: &str) -> String {
    format!("<Tags><TagSet><Tag><Key>{key}</Key><Value>{value}</Value></Tag></TagSet></Tags>")
}

/// The values of all tags.
async fn values(client: &Client, path: &str) -> Vec<String> {
    client.get(&format!("{path}comp=tags")).await.elements("Value")
}

#[tokio::test]
async fn snapshots_and_versions_have_tags_of_their_own() {
    let accounts = vec![AccountConfig::versioned(ONE)];
    let server = Devstore::start(Config { accounts, ..Config::default() }).await.unwrap();
    server.create_container(ONE, "box").unwrap();
    let one = Client::new(&server, ONE);
    let version = one.upload("box/a", "old").await.header("x-ms-version-id").to_owned();
    one.upload("box/a", "new").await;
    let taken = one.put("box/a?comp=snapshot", &[]).await.header("x-ms-snapshot").to_owned();
    let states = ["box/a?".to_owned(), format!("box/a?versionid={version}&"), format!("box/a?snapshot={taken}&")];
    let etag = one.head("box/a").await.header("etag").to_owned();
    for (state, value) in states.iter().zip(["current", "earlier", "taken"]) {
        let set = one.send("PUT", &format!("{state}comp=tags"), &[], tag("state", value)).await;
        assert_eq!(set.outcome(), "204", "{state}");
    }
    for (state, value) in states.iter().zip(["current", "earlier", "taken"]) {
        assert_eq!(values(&one, state).await, [value]);
    }
    assert_eq!(one.head("box/a").await.header("etag"), etag);
    // A lease is the blob's alone.
    let acquire = [("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "-1")];
    assert_eq!(one.put("box/a?comp=lease", &acquire).await.status, 201);
    for (state, outcome) in states.iter().zip(["412 LeaseIdMissing", "204", "204"]) {
        let set = one.send("PUT", &format!("{state}comp=tags"), &[], tag("state", "leased")).await;
        assert_eq!(set.outcome(), outcome, "{state}");
    }
    let missing = "box/a?snapshot=2020-01-01T00:00:00.0000000Z&comp=tags";
    assert_eq!(one.send("PUT", missing, &[], tag("state", "lost")).await.outcome(), "404 BlobNotFound");
}

/// Puts a blob with tags, given as the header has them.
async fn tagged(client: &Client, path: &str, tags: &str) {
    let headers = [("x-ms-blob-type", "BlockBlob"), ("x-ms-tags", tags)];
    assert_eq!(client.put(path, &headers).await.status, 201);
}

/// Find Blobs by Tags below `path`, with more of a query.
async fn find(client: &Client, path: &str, search: &str, more: &str) -> Answer {
    let search = percent_encoding::utf8_percent_encode(search, percent_encoding::NON_ALPHANUMERIC);
    client.get(&format!("{path}comp=blobs&where={search}{more}")).await
}

#[tokio::test]
async fn a_search_shows_what_it_asked_for_in_pages() {
    let server = server(Config::default()).await;
    server.create_container(ONE, "crate").unwrap();
    let one = Client::new(&server, ONE);
    for path in ["box/1", "box/2", "crate/1", "crate/2", "crate/3"] {
        tagged(&one, path, "kind=log&year=2026").await;
    }
    tagged(&one, "box/other", "kind=text").await;
    one.upload("box/untagged", "").await;
    let names = |page: &Answer| -> Vec<String> {
        page.elements("ContainerName").into_iter().zip(page.elements("Name")).map(|(c, n)| format!("{c}/{n}")).collect()
    };
    let whole = find(&one, "?", "kind='log'", "").await;
    assert_eq!(names(&whole), ["box/1", "box/2", "crate/1", "crate/2", "crate/3"]);
    assert!(whole.elements("Key").iter().all(|key| key == "kind"), "{}", whole.text());
    let both = find(&one, "?", "@container='box' AND kind='log' AND year>'2025'", "").await;
    assert_eq!((names(&both).len(), both.elements("Key").len()), (2, 4));
    let inside = find(&one, "crate?restype=container&", "kind='log'", "").await;
    assert_eq!(names(&inside), ["crate/1", "crate/2", "crate/3"]);

    let (mut seen, mut sizes, mut marker) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = find(&one, "?", "kind='log'", &format!("&maxresults=2&marker={marker}")).await;
        sizes.push(names(&page).len());
        seen.extend(names(&page));
        match page.elements("NextMarker").pop() {
            Some(next) => marker = next,
            None => break,
        }
    }
    assert_eq!((seen, sizes), (names(&whole), vec![2, 2, 1]));
    let none = find(&one, "?", "kind='log'", "&maxresults=0").await;
    assert_eq!(none.outcome(), "400 OutOfRangeQueryParameterValue");
    assert_eq!(find(&one, "missing?restype=container&", "kind='log'", "").await.outcome(), "404 ContainerNotFound");
}

#[tokio::test]
async fn a_search_that_cannot_be_read_is_refused_where_nothing_is_tagged() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    for path in ["?", "box?restype=container&"] {
        for broken in ["kind", "kind<>'log'", "kind='a' OR kind='b'", "kind='%'"] {
            let refused = find(&one, path, broken, "").await;
            assert_eq!(refused.outcome(), "400 InvalidQueryParameterValue", "{broken}");
            assert!(refused.elements("Message").concat().starts_with("Error parsing query at "), "{}", refused.text());
        }
    }
    // A condition that cannot be read as well, whatever else is unmet.
    one.upload("box/a", "text").await;
    let headers = [("x-ms-if-tags", "kind=log"), ("if-match", "\"0x1\"")];
    assert_eq!(one.send("GET", "box/a", &headers, "").await.outcome(), "400 InvalidHeaderValue");
}

#[tokio::test]
async fn a_signature_of_a_container_searches_it() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    tagged(&one, "box/a", "kind=log").await;
    for (query, outcome) in [
        (one.container_signature("f"), "200"),
        (one.container_signature("rl"), "403 AuthorizationPermissionMismatch"),
        (one.account_signature("b", "c", "f"), "200"),
        (one.account_signature("b", "o", "f"), "403 AuthorizationResourceTypeMismatch"),
    ] {
        let path = format!("box?restype=container&comp=blobs&where=kind%3D%27log%27&{query}");
        let answer = one.unsigned("GET", &path, &[("x-ms-version", "2025-11-05")]).await;
        assert_eq!(answer.outcome(), outcome);
        assert_eq!(answer.elements("Value").len(), usize::from(outcome == "200"));
    }
    let elsewhere = format!("?comp=blobs&where=kind%3D%27log%27&{}", one.container_signature("f"));
    assert_eq!(one.unsigned("GET", &elsewhere, &[("x-ms-version", "2025-11-05")]).await.status, 403);
}
