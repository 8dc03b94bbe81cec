//! The client against servers: one body per promise, run on every backend.
//!
//! Backends are Azurite, the devstore and, when `BLOBCP_TEST_CONNECTION_STRING` is set, a real account (a second one for
//! copies between accounts in `BLOBCP_TEST_CONNECTION_STRING_2`). Where a backend cannot keep a promise, [`DIFFERENCES`] says so
//! and why. Rules in comments (C1, X2, …) are those of the checklist of copy semantics.

use std::collections::BTreeSet;
use std::time::Duration;

use blobcp::devstore::{self, CopyRate, Devstore};
use blobcp::error::Error;
use blobcp::path::{BlobName, BlobPath, ContainerName, NameError};
use blobcp::store::sas::{self, Validity};
use blobcp::store::*;
use bytes::Bytes;

mod copying;
mod metadata;
mod types;

use crate::common::azurite::{self, Azurite};
use copying::*;
use metadata::*;
use types::*;

const AZURITE: &str = "azurite";
const DEVSTORE: &str = "devstore";
const ACCOUNT: &str = "account";

/// Promises that a backend does not keep: backend, test, why.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (AZURITE, "a_copy_onto_another_type_is_refused", "it replaces the blob and its type with 202"),
    (AZURITE, "a_copy_onto_itself_drops_uncommitted_blocks", "it keeps the blocks"),
    (AZURITE, "a_snapshot_is_no_destination", "it overwrites the blob itself with 202"),
    (AZURITE, "a_version_is_promoted_and_copied_elsewhere", "it has no versions and takes the blob for each"),
    (AZURITE, "an_archived_destination_refuses", "it overwrites it with 202"),
    (AZURITE, "an_append_copy_takes_over_the_seal_unless_it_is_told", "it cannot seal: 500"),
    (AZURITE, "a_dot_at_the_end_of_a_segment_is_dropped", "it keeps it"),
    (AZURITE, "a_name_has_its_limits", "it has none"),
    (DEVSTORE, "runs_of_white_space_are_signed", "it folds them inside quotes too"),
    (AZURITE, "a_tag_may_be_empty", "it reads an empty value as a missing one: 400"),
    (AZURITE, "a_source_that_changed_is_told_from_a_destination_that_did", "it says ConditionNotMet for both"),
    (AZURITE, "a_range_is_appended_from_a_url", "it does not know Append Block From URL: 501"),
    (AZURITE, "pages_are_copied_from_a_url", "it does not know Put Page From URL: 501"),
];

/// An account to test against, with a container of the test's own.
struct Backend {
    client: Client,
    /// For copies between accounts.
    other: Option<Client>,
    key: AccountKey,
    account: Account,
    container: ContainerName,
    _server: Option<Devstore>,
}

impl Backend {
    async fn azurite() -> Self {
        let server = Azurite::shared();
        let config = |name: &str| AccountConfig {
            endpoint: Some(server.endpoint(name)),
            key: Some(azurite::KEY.into()),
            ..Default::default()
        };
        let (first, second) = (config(azurite::ACCOUNT), config(azurite::OTHER_ACCOUNT));
        Self::open(first, Some(second), None).await
    }

    async fn devstore() -> Self {
        let server = devstore(CopyRate::Immediate).await;
        let (first, second) = (connected(&server, "alpha"), connected(&server, "beta"));
        Self::open(first, Some(second), Some(server)).await
    }

    async fn account() -> Option<Self> {
        let config = |variable| {
            let text = std::env::var(variable).ok()?;
            Some(AccountConfig { connection_string: Some(Secret::new(text)), ..Default::default() })
        };
        let Some(first) = config("BLOBCP_TEST_CONNECTION_STRING") else {
            println!("not run: BLOBCP_TEST_CONNECTION_STRING is not set");
            return None;
        };
        Some(Self::open(first, config("BLOBCP_TEST_CONNECTION_STRING_2"), None).await)
    }

    async fn open(first: AccountConfig, second: Option<AccountConfig>, server: Option<Devstore>) -> Self {
        let account = first.resolve().unwrap();
        let Credential::SharedKey(key) = account.credential.clone() else { panic!("the tests need an account key") };
        let http = Http::new(Options { first_delay: Duration::from_millis(50), ..Default::default() });
        let client = Client::new(account.clone(), http.clone());
        let other = second.map(|config| Client::new(config.resolve().unwrap(), http));
        let container = unique_container();
        for client in [Some(&client), other.as_ref()].into_iter().flatten() {
            client.container(&container).create(&Metadata::default()).await.unwrap();
        }
        Self { client, other, key, account, container, _server: server }
    }

    async fn close(self) {
        for client in [Some(&self.client), self.other.as_ref()].into_iter().flatten() {
            client.container(&self.container).delete().await.unwrap();
        }
    }

    fn blob(&self, name: &str) -> BlobPath {
        BlobPath::new(self.container.clone(), BlobName::parse(name).unwrap())
    }

    async fn put(&self, name: &str, content: &'static str) -> BlobPath {
        let blob = self.blob(name);
        let body = Bytes::from_static(content.as_bytes());
        let blocks = self.client.blob(&blob).block_blob();
        blocks.upload(body, &BlobSettings::default(), &WriteOptions::default()).await.unwrap();
        blob
    }

    async fn read(&self, blob: &BlobPath) -> Bytes {
        self.client.blob(blob).download(..).await.unwrap().bytes
    }

    async fn names(&self, list: &ListBlobs<'_>) -> Vec<String> {
        let page = self.client.container(&self.container).list_blobs(list).await.unwrap();
        page.items.iter().map(|item| item.name.to_string()).collect()
    }

    /// A Copy Blob of `source`, of this account.
    async fn copy(&self, source: &BlobPath, destination: &BlobPath) -> blobcp::error::Result<CopyStarted> {
        self.client.blob(destination).start_copy(&self.copy_of(source, None).await).await
    }

    async fn copy_of(&self, source: &BlobPath, revision: Option<&Revision>) -> CopyRequest {
        request(
            self.client.blob(source).at(revision).copy_source(&self.client, Duration::from_secs(600)).await.unwrap(),
        )
    }

    /// Requests that the client does not make, by another hand: PUT with an account SAS.
    async fn raw_put(&self, blob: &BlobPath, query: &str, headers: &[(&str, &str)], body: &'static str) {
        let answer = self.raw(blob, query, headers, body).await;
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
    }

    async fn raw(
        &self,
        blob: &BlobPath,
        query: &str,
        headers: &[(&str, &str)],
        body: &'static str,
    ) -> reqwest::Response {
        self.raw_at(&self.client.blob(blob).url(), query, headers, body).await
    }

    async fn raw_at(&self, url: &str, query: &str, headers: &[(&str, &str)], body: &'static str) -> reqwest::Response {
        let validity = Validity::for_the_next(Duration::from_secs(600));
        let token = sas::account(&self.key, self.client.account(), "racwl", "co", &validity, DEFAULT_API_VERSION);
        let url = format!("{url}?{query}{}", token.expose());
        let mut request = reqwest::Client::new().put(url).body(body).header("content-length", body.len());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn put_append_blob(&self, name: &str, content: &'static str) -> BlobPath {
        let blob = self.blob(name);
        self.raw_put(&blob, "", &[("x-ms-blob-type", "AppendBlob")], "").await;
        self.raw_put(&blob, "comp=appendblock&", &[], content).await;
        blob
    }
}

/// A devstore with accounts `alpha` and `beta`, and this rate for copies between them.
async fn devstore(copy_cross_account: CopyRate) -> Devstore {
    let accounts = ["alpha", "beta"].map(devstore::AccountConfig::versioned).to_vec();
    Devstore::start(devstore::Config { accounts, copy_cross_account, ..Default::default() }).await.unwrap()
}

fn connected(server: &Devstore, account: &str) -> AccountConfig {
    let text = server.connection_string(account).unwrap();
    AccountConfig { connection_string: Some(Secret::new(text)), ..Default::default() }
}

fn unique_container() -> ContainerName {
    ContainerName::parse(&format!("wire-{}", uuid::Uuid::new_v4())).unwrap()
}

fn request(source: CopySource) -> CopyRequest {
    CopyRequest {
        source,
        source_if_match: None,
        precondition: Precondition::None,
        metadata: None,
        tier: None,
        tags: Tags::new(),
        seal: None,
        lease: None,
    }
}

fn metadata(entries: &[(&str, &str)]) -> Metadata {
    entries.iter().copied().collect()
}

fn service(error: &Error) -> &blobcp::error::ServiceError {
    match error {
        Error::Service(error) => error,
        other => panic!("no answer of the service: {other}"),
    }
}

/// Whether a promise is to be tested on a backend; says why not.
fn holds(backend: &str, test: &str) -> bool {
    let difference = DIFFERENCES.iter().find(|(b, t, _)| (*b, *t) == (backend, test));
    if let Some((_, _, why)) = difference {
        println!("{test} does not hold on {backend}: {why}");
    }
    difference.is_none()
}

macro_rules! on_every_backend {
    ($($name:ident),* $(,)?) => {
        const TESTS: &[&str] = &[$(stringify!($name)),*];
        $(mod $name {
            use super::*;

            #[tokio::test]
            async fn azurite() {
                if holds(AZURITE, stringify!($name)) {
                    let backend = Backend::azurite().await;
                    super::$name(&backend).await;
                    backend.close().await;
                }
            }

            #[tokio::test]
            async fn devstore() {
                if holds(DEVSTORE, stringify!($name)) {
                    let backend = Backend::devstore().await;
                    super::$name(&backend).await;
                    backend.close().await;
                }
            }

            #[tokio::test]
            async fn account() {
                if holds(ACCOUNT, stringify!($name)) && let Some(backend) = Backend::account().await {
                    super::$name(&backend).await;
                    backend.close().await;
                }
            }
        })*
    };
}

on_every_backend! {
    containers_are_created_listed_described_and_deleted,
    a_put_blob_is_read_back_with_all_its_settings,
    a_write_clears_what_it_does_not_send,
    ranges_are_clipped_at_the_end,
    a_read_of_another_version_is_refused,
    odd_names_survive_every_way,
    a_backslash_is_a_slash,
    a_dot_at_the_end_of_a_segment_is_dropped,
    a_name_has_its_limits,
    metadata_are_signed_in_the_services_order,
    runs_of_white_space_are_signed,
    names_of_metadata_keep_their_case,
    a_guarded_put_is_refused,
    listings_come_in_pages_and_levels,
    a_listing_tells_what_a_head_tells,
    snapshots_and_uncommitted_blobs_are_listed_when_asked_for,
    blocks_make_a_blob_in_the_order_of_the_list,
    an_unknown_block_is_refused,
    properties_and_metadata_are_replaced_as_a_whole,
    a_delete_minds_conditions_and_snapshots,
    a_copy_within_an_account_is_complete_on_return,
    a_copy_carries_properties_and_metadata,
    a_copy_may_set_its_own_metadata,
    a_copy_can_refuse_to_overwrite,
    a_source_that_changed_is_told_from_a_destination_that_did,
    a_missing_source_starts_no_copy,
    an_append_blob_is_copied_as_one,
    a_page_blob_is_copied_as_one,
    a_copy_onto_another_type_is_refused,
    a_snapshot_is_promoted_and_copied_elsewhere,
    a_snapshot_is_no_destination,
    a_version_is_promoted_and_copied_elsewhere,
    a_copy_onto_itself_replaces_metadata,
    a_copy_onto_itself_drops_uncommitted_blocks,
    a_copy_may_be_of_the_first_block_blob_of_a_listing,
    a_copy_may_set_tier_and_tags,
    an_archived_source_needs_a_tier,
    an_archived_destination_refuses,
    an_append_copy_takes_over_the_seal_unless_it_is_told,
    a_copy_from_another_account_needs_a_sas,
    a_concluded_copy_cannot_be_aborted,
    a_range_is_copied_as_a_block,
    a_lease_keeps_writers_out_until_it_ends,
    a_lease_can_be_broken_without_its_id,
    tags_are_replaced_as_a_whole,
    a_tag_may_be_empty,
    a_tier_is_set,
    blocks_are_appended_where_the_blob_ends,
    a_range_is_appended_from_a_url,
    pages_are_written_cleared_and_listed,
    a_page_blob_is_resized_and_keeps_its_headers,
    a_lease_of_a_version_admits_the_writes_of_its_holder,
    pages_are_copied_from_a_url,
    a_blob_of_another_type_takes_neither_pages_nor_blocks,
    a_sas_is_enough,
    a_wrong_key_is_refused,
    errors_name_what_was_asked_and_answered,
}

#[test]
fn every_difference_is_about_a_test() {
    let tests: BTreeSet<&str> = TESTS.iter().copied().collect();
    for (backend, test, _) in DIFFERENCES {
        assert!(tests.contains(test), "{test}");
        assert!([AZURITE, DEVSTORE, ACCOUNT].contains(backend), "{backend}");
    }
}

async fn containers_are_created_listed_described_and_deleted(b: &Backend) {
    let mut marker = None;
    let mut found = None;
    while found.is_none() {
        let page = b.client.list_containers(&ListContainers { marker: marker.as_deref() }).await.unwrap();
        found = page.items.into_iter().find(|item| item.name == b.container);
        marker = page.next;
        assert!(found.is_some() || marker.is_some(), "the container is not listed");
    }
    b.client.container(&b.container).set_metadata(&metadata(&[("owner", "us")])).await.unwrap();
    let described = b.client.container(&b.container).properties().await.unwrap();
    assert_eq!(described.metadata.get("owner"), Some("us"));
    assert_eq!(described.name, b.container);

    let error = b.client.container(&b.container).create(&Metadata::default()).await.unwrap_err();
    assert_eq!((error.code(), error.errno()), ("ContainerAlreadyExists", libc::EEXIST));

    let second = unique_container();
    b.client.container(&second).create(&Metadata::default()).await.unwrap();
    b.client.container(&second).delete().await.unwrap();
    assert!(b.client.container(&second).properties().await.unwrap_err().is_not_found());
    let error = b.client.container(&second).list_blobs(&ListBlobs::default()).await.unwrap_err();
    assert!(error.is_not_found() || error.code() == "ContainerBeingDeleted", "{error}");
}

fn settings() -> BlobSettings {
    BlobSettings {
        headers: ContentHeaders {
            content_type: Some("text/plain".into()),
            content_encoding: Some("gzip".into()),
            content_language: Some("en".into()),
            content_disposition: Some("attachment; filename=\"a b\"".into()),
            cache_control: Some("no-cache".into()),
            content_md5: None,
        },
        metadata: metadata(&[("color", "blue"), ("size", "big")]),
        tier: Some("Cool".into()),
        tags: Tags::new(),
    }
}

async fn a_put_blob_is_read_back_with_all_its_settings(b: &Backend) {
    let blob = b.blob("dir/a.txt");
    // Not gzip, and nobody must try: the encoding is only a property.
    let body = Bytes::from_static(b"hello world");
    let written =
        b.client.blob(&blob).block_blob().upload(body.clone(), &settings(), &WriteOptions::default()).await.unwrap();
    let download =
        b.client.blob(&blob).download(ReadOptions { range: None, if_match: Some(&written.etag) }).await.unwrap();
    assert_eq!(download.bytes, body);
    let found = b.client.blob(&blob).properties().await.unwrap();
    assert_eq!((found.size, found.blob_type), (11, BlobType::Block));
    assert_eq!((&found.etag, found.last_modified), (&written.etag, written.last_modified));
    assert_eq!(
        found.headers,
        ContentHeaders { content_md5: Some("XrY7u+Ae7tCTyyK7j1rNww==".into()), ..settings().headers }
    );
    assert_eq!(found.metadata, settings().metadata);
    assert_eq!(found.tier.as_deref(), Some("Cool"));
    assert_eq!(found.lease.state.as_deref(), Some("available"));
    assert_eq!(found.copy, None);
    assert!(found.creation_time.is_some());
    assert_eq!((download.properties.size, &download.properties.metadata), (11, &found.metadata));

    let empty = b.put("empty", "").await;
    let download = b.client.blob(&empty).download(..).await.unwrap();
    assert!(download.bytes.is_empty());
    assert!(b.client.blob(&empty).download(0..10).await.unwrap().bytes.is_empty());
}

async fn a_write_clears_what_it_does_not_send(b: &Backend) {
    let blob = b.blob("a");
    let body = Bytes::from_static(b"x");
    let blocks = b.client.blob(&blob).block_blob();
    blocks.upload(body.clone(), &settings(), &WriteOptions::default()).await.unwrap();
    blocks.upload(body, &BlobSettings::default(), &WriteOptions::default()).await.unwrap();
    let found = b.client.blob(&blob).properties().await.unwrap();
    assert!(found.metadata.is_empty());
    assert_eq!((found.headers.content_encoding, found.headers.cache_control), (None, None));
}

async fn ranges_are_clipped_at_the_end(b: &Backend) {
    let blob = b.put("a", "hello world").await;
    for (range, expected) in
        [(0..5, "hello"), (6..11, "world"), (6..100, "world"), (10..11, "d"), (11..12, ""), (50..60, "")]
    {
        let download = b.client.blob(&blob).download(range.clone()).await.unwrap();
        assert_eq!(download.bytes, expected, "{range:?}");
        assert_eq!(download.properties.size, 11, "{range:?}");
        assert_eq!(download.properties.headers.content_md5.as_deref(), Some("XrY7u+Ae7tCTyyK7j1rNww=="), "{range:?}");
    }
}

async fn a_read_of_another_version_is_refused(b: &Backend) {
    let blob = b.put("a", "one").await;
    let old = b.client.blob(&blob).properties().await.unwrap().etag;
    b.put("a", "two").await;
    for range in [None, Some(0..2), Some(7..9)] {
        let error = b.client.blob(&blob).download(ReadOptions { range, if_match: Some(&old) }).await.unwrap_err();
        assert!(error.is_precondition_failed(), "{error}");
        assert_eq!(error.errno(), libc::ESTALE);
    }
}

async fn odd_names_survive_every_way(b: &Backend) {
    // C31
    let names = [
        "copy of a/copy of b.txt",
        "a&b<c>\"d'",
        "q?x#y=z;",
        "100%",
        "a%2Fb",
        "a+b",
        "dir//dbl",
        "dir/",
        "..lead/a.b",
        " blanks /x ",
        "[x]{y}|^`~!$()*,:@",
        "ünï/…/😀",
    ];
    for name in names {
        let blob = b.put(name, "x").await;
        assert_eq!(b.read(&blob).await, "x", "{name}");
        let copy = b.blob(&format!("copy of {name}"));
        b.copy(&blob, &copy).await.unwrap();
        assert_eq!(b.read(&copy).await, "x", "{name}");
        let with_sas = b.client.blob(&blob).block_source(&b.client, Duration::from_secs(600)).await.unwrap();
        b.client.blob(&copy).start_copy(&request(with_sas)).await.unwrap();
        let listed = b.names(&ListBlobs { prefix: name, ..Default::default() }).await;
        assert!(listed.iter().any(|listed| listed == name), "{name}");
    }
    let listed: BTreeSet<String> = b.names(&ListBlobs::default()).await.into_iter().collect();
    for name in names {
        assert!(listed.contains(name) && listed.contains(&format!("copy of {name}")), "{name}");
    }
}

/// Another blob is met by that name, which is why [`BlobName`] has none like it.
async fn is_met_as(b: &Backend, blob: &str, encoded: &str) {
    let blob = b.put(blob, "old").await;
    let url =
        format!("{}/{encoded}", b.client.blob(&blob).url().strip_suffix(&format!("/{}", blob.name.encoded())).unwrap());
    assert_eq!(b.raw_at(&url, "", &[("x-ms-blob-type", "BlockBlob")], "new").await.status(), 201, "{encoded}");
    assert_eq!(b.read(&blob).await, "new", "{encoded}");
    assert_eq!(b.names(&ListBlobs::default()).await, [blob.name.as_str()]);
    b.client.blob(&blob).delete(&DeleteOptions::default()).await.unwrap();
}

async fn a_backslash_is_a_slash(b: &Backend) {
    // S203
    is_met_as(b, "back/slash", "back%5Cslash").await;
    let backslash = BlobName::parse("back\\slash");
    assert!(matches!(backslash, Err(NameError::Folded(_))), "{backslash:?}");
}

async fn a_dot_at_the_end_of_a_segment_is_dropped(b: &Backend) {
    // S204
    is_met_as(b, "trail", "trail.").await;
    is_met_as(b, "seg/x", "seg./x").await;
}

async fn a_name_has_its_limits(b: &Backend) {
    // S205: what is refused here is refused there, and what is not is taken.
    let container = b.client.blob(&b.blob("x")).url();
    let container = container.strip_suffix("/x").unwrap();
    for name in ["x".repeat(1024), "😀".repeat(512), vec!["a"; 255].join("/"), "x\u{fffe}\u{ffff}\u{85}".into()] {
        let blob = b.blob(&name);
        let blocks = b.client.blob(&blob).block_blob();
        blocks.upload("x", &BlobSettings::default(), &Precondition::IfAbsent.into()).await.unwrap();
        assert_eq!(b.names(&ListBlobs { prefix: &name, ..Default::default() }).await, [name]);
    }
    for name in ["x".repeat(1025), format!("{}x", "😀".repeat(512)), vec!["a"; 256].join("/"), "\u{7f}".into()] {
        assert!(BlobName::parse(&name).is_err());
        let encoded = percent_encoding::utf8_percent_encode(&name, percent_encoding::NON_ALPHANUMERIC);
        let url = format!("{container}/{}", encoded.to_string().replace("%2F", "/"));
        assert_eq!(b.raw_at(&url, "", &[("x-ms-blob-type", "BlockBlob")], "x").await.status(), 400, "{name}");
    }
}

async fn a_guarded_put_is_refused(b: &Backend) {
    let blob = b.put("a", "one").await;
    let body = Bytes::from_static(b"two");
    let put = async |precondition: Precondition| {
        b.client.blob(&blob).block_blob().upload(body.clone(), &BlobSettings::default(), &precondition.into()).await
    };
    let error = put(Precondition::IfAbsent).await.unwrap_err();
    assert!(error.is_precondition_failed(), "{error}");
    let error = put(Precondition::IfMatch(ETag::new("0x1"))).await.unwrap_err();
    assert_eq!((error.status(), error.errno()), (412, libc::ESTALE));
    assert_eq!(b.read(&blob).await, "one");
    let etag = b.client.blob(&blob).properties().await.unwrap().etag;
    put(Precondition::IfMatch(etag)).await.unwrap();
    assert_eq!(b.read(&blob).await, "two");
}

async fn listings_come_in_pages_and_levels(b: &Backend) {
    for name in ["a", "dir/x", "dir/y", "dir/z/1", "e", "é"] {
        b.put(name, "x").await;
    }
    let top = ListBlobs { hierarchical: true, ..Default::default() };
    let page = b.client.container(&b.container).list_blobs(&top).await.unwrap();
    assert_eq!(page.items.iter().map(|item| item.name.as_str()).collect::<Vec<_>>(), ["a", "e", "é"]);
    assert_eq!((page.prefixes, page.next), (vec!["dir/".to_owned()], None));

    let below = ListBlobs { hierarchical: true, prefix: "dir/", ..Default::default() };
    let page = b.client.container(&b.container).list_blobs(&below).await.unwrap();
    assert_eq!(page.items.iter().map(|item| item.name.as_str()).collect::<Vec<_>>(), ["dir/x", "dir/y"]);
    assert_eq!(page.prefixes, ["dir/z/"]);

    for hierarchical in [false, true] {
        let (mut names, mut marker, mut pages) = (Vec::new(), None::<String>, 0);
        loop {
            let list =
                ListBlobs { hierarchical, marker: marker.as_deref(), max_results: Some(2), ..Default::default() };
            let page = b.client.container(&b.container).list_blobs(&list).await.unwrap();
            assert!(page.items.len() + page.prefixes.len() <= 2);
            names.extend(page.items.iter().map(|item| item.name.to_string()).chain(page.prefixes));
            pages += 1;
            let Some(next) = page.next else { break };
            marker = Some(next);
        }
        names.sort();
        assert!(pages >= 2, "{pages}");
        let expected: &[&str] =
            if hierarchical { &["a", "dir/", "e", "é"] } else { &["a", "dir/x", "dir/y", "dir/z/1", "e", "é"] };
        assert_eq!(names, expected);
    }
    assert!(b.names(&ListBlobs { prefix: "nothing", ..Default::default() }).await.is_empty());
}

async fn a_listing_tells_what_a_head_tells(b: &Backend) {
    let blob = b.blob("a");
    let blocks = b.client.blob(&blob).block_blob();
    blocks.upload(Bytes::from_static(b"hello"), &settings(), &WriteOptions::default()).await.unwrap();
    b.copy(&blob, &b.blob("b")).await.unwrap();
    for name in ["a", "b"] {
        let head = b.client.blob(&b.blob(name)).properties().await.unwrap();
        let page = b
            .client
            .container(&b.container)
            .list_blobs(&ListBlobs { prefix: name, ..Default::default() })
            .await
            .unwrap();
        // A listing does not tell these, unless asked.
        let told = |all: &BlobProperties| BlobProperties {
            committed_block_count: None,
            version_id: None,
            is_current_version: false,
            ..all.clone()
        };
        assert_eq!(told(&page.items[0].properties), told(&head));
    }
}

async fn snapshots_and_uncommitted_blobs_are_listed_when_asked_for(b: &Backend) {
    let blob = b.put("a", "x").await;
    let snapshot = b.client.blob(&blob).create_snapshot().await.unwrap();
    b.client
        .blob(&b.blob("u"))
        .block_blob()
        .stage_block(&BlockId::new("MDE="), Bytes::from_static(b"x"))
        .await
        .unwrap();
    assert_eq!(b.names(&ListBlobs::default()).await, ["a"]);
    let list = ListBlobs { snapshots: true, uncommitted: true, ..Default::default() };
    let page = b.client.container(&b.container).list_blobs(&list).await.unwrap();
    let moment = |item: &BlobItem| item.revision.as_ref().map(|revision| revision.moment().to_string());
    let rows: BTreeSet<_> = page.items.iter().map(|item| (item.name.as_str(), moment(item))).collect();
    assert_eq!(rows, BTreeSet::from([("a", None), ("a", Some(snapshot.moment().to_string())), ("u", None)]));
    b.client.blob(&blob).at(&snapshot).delete(&DeleteOptions::default()).await.unwrap();
    assert_eq!(b.names(&ListBlobs { snapshots: true, ..Default::default() }).await, ["a"]);
}

async fn blocks_make_a_blob_in_the_order_of_the_list(b: &Backend) {
    let blob = b.blob("a");
    let (one, two, three) = (BlockId::new("MDE="), BlockId::new("MDI="), BlockId::new("MDM="));
    let client = b.client.blob(&blob).block_blob();
    for (id, body) in [(&one, "one"), (&two, "two")] {
        client.stage_block(id, Bytes::from_static(body.as_bytes())).await.unwrap();
    }
    let list = [BlockRef::Uncommitted(two.clone()), BlockRef::Uncommitted(one.clone())];
    let written = client.commit_block_list(&list, &settings(), &Precondition::IfAbsent.into()).await.unwrap();
    assert_eq!(b.read(&blob).await, "twoone");
    let (blocks, etag) = client.block_list().await.unwrap();
    assert_eq!(blocks, [Block { id: two.clone(), size: 3 }, Block { id: one.clone(), size: 3 }]);
    assert_eq!(etag.as_ref(), Some(&written.etag));
    assert_eq!(b.client.blob(&blob).properties().await.unwrap().metadata, settings().metadata);

    client.stage_block(&three, Bytes::from_static(b"3")).await.unwrap();
    let list = [BlockRef::Committed(two), BlockRef::Uncommitted(three), BlockRef::Committed(one)];
    let guard = Precondition::IfMatch(written.etag).into();
    client.commit_block_list(&list, &BlobSettings::default(), &guard).await.unwrap();
    assert_eq!(b.read(&blob).await, "two3one");
    assert!(b.client.blob(&blob).properties().await.unwrap().metadata.is_empty());
    let error = client.commit_block_list(&list[..1], &BlobSettings::default(), &guard).await.unwrap_err();
    assert!(error.is_precondition_failed(), "{error}");

    client.commit_block_list(&[], &BlobSettings::default(), &WriteOptions::default()).await.unwrap();
    assert!(b.read(&blob).await.is_empty());
    let whole = b.put("whole", "x").await;
    assert!(b.client.blob(&whole).block_blob().block_list().await.unwrap().0.is_empty());
}

async fn an_unknown_block_is_refused(b: &Backend) {
    let blob = b.put("a", "x").await;
    let list = [BlockRef::Uncommitted(BlockId::new("MDE="))];
    let blocks = b.client.blob(&blob).block_blob();
    let error = blocks.commit_block_list(&list, &BlobSettings::default(), &WriteOptions::default()).await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("InvalidBlockList", 400));
    assert_eq!(b.read(&blob).await, "x");
}

async fn properties_and_metadata_are_replaced_as_a_whole(b: &Backend) {
    let blob = b.blob("a");
    let blocks = b.client.blob(&blob).block_blob();
    let put = blocks.upload(Bytes::from_static(b"x"), &settings(), &WriteOptions::default()).await.unwrap();
    let only = metadata(&[("other", "1")]);
    let guard = Precondition::IfMatch(put.etag).into();
    let set = b.client.blob(&blob).set_metadata(&only, &guard).await.unwrap();
    assert!(b.client.blob(&blob).set_metadata(&only, &guard).await.unwrap_err().is_precondition_failed());
    let headers = ContentHeaders { content_language: Some("de".into()), ..Default::default() };
    let guard = Precondition::IfMatch(set.etag);
    b.client.blob(&blob).set_properties(&headers, &guard.into()).await.unwrap();
    let found = b.client.blob(&blob).properties().await.unwrap();
    assert_eq!(found.metadata, only);
    assert_eq!(found.headers.content_language.as_deref(), Some("de"));
    assert_eq!((&found.headers.content_encoding, &found.headers.cache_control), (&None, &None));
    assert_eq!(found.headers.content_type.as_deref(), Some("application/octet-stream"));
    b.client.blob(&blob).set_properties(&ContentHeaders::default(), &WriteOptions::default()).await.unwrap();
    assert_eq!(b.client.blob(&blob).properties().await.unwrap().headers.content_language, None);
    b.client.blob(&blob).set_metadata(&Metadata::default(), &WriteOptions::default()).await.unwrap();
    assert!(b.client.blob(&blob).properties().await.unwrap().metadata.is_empty());
}

async fn a_delete_minds_conditions_and_snapshots(b: &Backend) {
    let blob = b.put("a", "x").await;
    b.client.blob(&blob).create_snapshot().await.unwrap();
    let delete =
        async |snapshots, precondition| b.client.blob(&blob).delete(&DeleteOptions { snapshots, precondition }).await;
    let error = delete(DeleteSnapshots::Refuse, Precondition::None).await.unwrap_err();
    assert_eq!((error.code(), error.errno()), ("SnapshotsPresent", libc::EBUSY));
    let other = Precondition::IfMatch(ETag::new("0x1"));
    assert!(delete(DeleteSnapshots::Include, other).await.unwrap_err().is_precondition_failed());
    delete(DeleteSnapshots::Include, Precondition::None).await.unwrap();
    let error = delete(DeleteSnapshots::Refuse, Precondition::None).await.unwrap_err();
    assert!(error.is_not_found());
    assert!(b.names(&ListBlobs { snapshots: true, ..Default::default() }).await.is_empty());
}

async fn a_lease_keeps_writers_out_until_it_ends(b: &Backend) {
    // C40 to C43
    let blob = b.put("a", "x").await;
    let client = b.client.blob(&blob);
    let of = |seconds| LeaseOptions { duration: Some(Duration::from_secs(seconds)), ..Default::default() };
    let id = client.acquire_lease(&of(15)).await.unwrap();
    let found = client.properties().await.unwrap().lease;
    assert_eq!(found.state.as_deref(), Some("leased"));
    assert_eq!((found.status.as_deref(), found.duration.as_deref()), (Some("locked"), Some("fixed")));

    let write = async |lease: Option<&LeaseId>| {
        let options = WriteOptions { lease: lease.cloned(), ..WriteOptions::default() };
        client.set_metadata(&Metadata::default(), &options).await
    };
    let error = write(None).await.unwrap_err();
    assert_eq!((error.code(), error.errno()), ("LeaseIdMissing", libc::EBUSY));
    write(Some(&id)).await.unwrap();
    b.copy(&blob, &b.blob("copy")).await.unwrap();
    let error = client.acquire_lease(&LeaseOptions::default()).await.unwrap_err();
    assert_eq!(error.code(), "LeaseAlreadyPresent");
    client.renew_lease(&id).await.unwrap();
    client.release_lease(&id).await.unwrap();
    write(None).await.unwrap();
    assert_eq!(write(Some(&id)).await.unwrap_err().errno(), libc::ENOLCK);
    assert_eq!(client.acquire_lease(&of(5)).await.unwrap_err().errno(), libc::EINVAL);
}

async fn a_lease_can_be_broken_without_its_id(b: &Backend) {
    // C41, C44 to C48
    let blob = b.put("a", "x").await;
    b.client.blob(&blob).acquire_lease(&LeaseOptions::default()).await.unwrap();
    let found = b.client.blob(&blob).properties().await.unwrap().lease;
    assert_eq!(found.duration.as_deref(), Some("infinite"));
    assert_eq!(b.client.blob(&blob).break_lease().await.unwrap(), 0);
    let found = b.client.blob(&blob).properties().await.unwrap().lease;
    assert_eq!((found.state.as_deref(), found.status.as_deref()), (Some("broken"), Some("unlocked")));
    b.put("a", "y").await;
}

async fn tags_are_replaced_as_a_whole(b: &Backend) {
    let blob = b.put("a", "x").await;
    assert!(b.client.blob(&blob).tags().await.unwrap().is_empty());
    let tags = vec![("Key 1".to_owned(), "a=b:c/d".to_owned()), ("key2".to_owned(), "v".to_owned())];
    b.client.blob(&blob).set_tags(&tags).await.unwrap();
    let mut found = b.client.blob(&blob).tags().await.unwrap();
    found.sort();
    assert_eq!(found, tags);
    b.client.blob(&blob).set_tags(&tags[..1]).await.unwrap();
    assert_eq!(b.client.blob(&blob).tags().await.unwrap(), tags[..1]);
    let many: Vec<_> = (0..11).map(|n| (format!("k{n}"), "v".to_owned())).collect();
    assert_eq!(b.client.blob(&blob).set_tags(&many).await.unwrap_err().errno(), libc::EINVAL);
}

async fn a_tag_may_be_empty(b: &Backend) {
    let blob = b.put("a", "x").await;
    let tags = [("key".to_owned(), String::new())];
    b.client.blob(&blob).set_tags(&tags).await.unwrap();
    assert_eq!(b.client.blob(&blob).tags().await.unwrap(), tags);
}

async fn a_tier_is_set(b: &Backend) {
    let blob = b.put("a", "x").await;
    let etag = b.client.blob(&blob).properties().await.unwrap().etag;
    b.client.blob(&blob).set_tier("Cool", None).await.unwrap();
    let found = b.client.blob(&blob).properties().await.unwrap();
    assert_eq!((found.tier.as_deref(), found.etag), (Some("Cool"), etag));
}

async fn a_sas_is_enough(b: &Backend) {
    let blob = b.put("a", "hello").await;
    let validity = Validity::for_the_next(Duration::from_secs(600));
    let token = sas::account(&b.key, b.client.account(), "racwdl", "sco", &validity, DEFAULT_API_VERSION);
    let http = Http::new(Options::default());
    let account = Account { credential: Credential::Sas(token), ..b.account.clone() };
    let client = Client::new(account, http.clone());
    assert_eq!(client.blob(&blob).download(0..4).await.unwrap().bytes, "hell");
    assert_eq!(client.container(&b.container).list_blobs(&ListBlobs::default()).await.unwrap().items.len(), 1);
    let source = client.blob(&blob).copy_source(&client, Duration::ZERO).await.unwrap();
    client.blob(&b.blob("b")).start_copy(&request(source)).await.unwrap();
    assert_eq!(b.read(&b.blob("b")).await, "hello");

    // One blob, reading only.
    let token = sas::read_blob(&b.key, b.client.account(), &blob, None, &validity, DEFAULT_API_VERSION);
    let account = Account { credential: Credential::Sas(token), ..b.account.clone() };
    let client = Client::new(account, http);
    assert_eq!(client.blob(&blob).download(..).await.unwrap().bytes, "hello");
    let error = client.blob(&blob).set_metadata(&Metadata::default(), &WriteOptions::default()).await.unwrap_err();
    assert_eq!(error.errno(), libc::EACCES);
    assert!(!format!("{error} {error:?}").contains("sig="));
}

async fn a_wrong_key_is_refused(b: &Backend) {
    let key = AccountKey::parse("d3Jvbmc=").unwrap();
    let account = Account { credential: Credential::SharedKey(key), ..b.account.clone() };
    let error = Client::new(account, Http::new(Options::default()))
        .list_containers(&ListContainers::default())
        .await
        .unwrap_err();
    assert_eq!((error.status(), error.errno()), (403, libc::EACCES));
}

async fn errors_name_what_was_asked_and_answered(b: &Backend) {
    let blob = b.blob("missing");
    let error = b.client.blob(&blob).properties().await.unwrap_err();
    let head = service(&error);
    assert_eq!((head.operation, head.status, head.code.as_str()), ("GetBlobProperties", 404, "BlobNotFound"));
    assert_eq!(head.target, format!("{}/{}/missing", b.client.account(), b.container));
    assert!(!head.request_id.is_empty());
    let error = b.client.blob(&blob).download(..).await.unwrap_err();
    let get = service(&error);
    assert_eq!((get.operation, get.code.as_str()), ("GetBlob", "BlobNotFound"));
    assert!(!get.message.is_empty() && !get.message.contains('\n'), "{:?}", get.message);
}
