//! The client when answers get lost, against the devstore: what the service did is looked up at the service.
//!
//! The scripted tests of `store` fix the exact order of requests; here each promise is about the effect: one copy, not two; the
//! bytes that were sent; an error only where the operation did not take place.

use std::time::{Duration, Instant};

use blobcp::devstore::{AccountConfig as DevAccount, Config, CopyRate, Devstore, Fault, PolicyChange, Reset};
use blobcp::path::{BlobName, BlobPath, ContainerName};
use blobcp::store::*;
use bytes::Bytes;
use rstest::rstest;

use crate::common::answer;

struct Service {
    server: Devstore,
    client: Client,
    http: Http,
}

impl Service {
    /// Accounts `alpha`, which `client` speaks for, and `beta`; blob `source` in both. Copies stay pending.
    async fn start() -> Self {
        let accounts = ["alpha", "beta"].map(DevAccount::named).to_vec();
        let server =
            Devstore::start(Config { accounts, copy_same_account: CopyRate::BytesPerSecond(1), ..Default::default() })
                .await
                .unwrap();
        for account in ["alpha", "beta"] {
            server.put_blob(account, "con", "source", Bytes::from_static(b"hello world"), "text/plain").unwrap();
        }
        let http = Http::new(Options {
            tries: 3,
            first_delay: Duration::from_millis(20),
            timeout: Duration::from_secs(8),
            ..Default::default()
        });
        let client = client_of(&server, &http, "alpha");
        Self { server, client, http }
    }

    fn lose(&self, operation: &str, reset: Reset) {
        self.server.add_fault(Fault { reset: Some(reset), ..Fault::on(operation) });
    }

    fn lose_twice(&self, operation: &str) {
        self.server.add_fault(Fault { reset: Some(Reset::After), count: 2, ..Fault::on(operation) });
    }

    async fn copy(&self, precondition: Precondition) -> blobcp::error::Result<CopyStarted> {
        let source = self.client.blob(&blob("source")).copy_source(&self.client, Duration::from_secs(60)).await?;
        let request = CopyRequest {
            source,
            source_if_match: None,
            precondition,
            metadata: None,
            tier: None,
            tags: Tags::new(),
            seal: None,
            lease: None,
        };
        self.client.blob(&blob("copy")).start_copy(&request).await
    }

    async fn put(
        &self,
        name: &str,
        content: &'static str,
        precondition: &Precondition,
    ) -> blobcp::error::Result<Written> {
        let body = Bytes::from_static(content.as_bytes());
        self.client
            .blob(&blob(name))
            .block_blob()
            .upload(body, &BlobSettings::default(), &precondition.clone().into())
            .await
    }
}

fn client_of(server: &Devstore, http: &Http, account: &str) -> Client {
    let text = server.connection_string(account).unwrap();
    let config = AccountConfig { connection_string: Some(Secret::new(text)), ..Default::default() };
    Client::new(config.resolve().unwrap(), http.clone())
}

fn container() -> ContainerName {
    ContainerName::parse("con").unwrap()
}

fn blob(name: &str) -> BlobPath {
    BlobPath::new(container(), BlobName::parse(name).unwrap())
}

#[rstest]
#[case(Reset::Before, Precondition::IfAbsent)]
#[case(Reset::After, Precondition::IfAbsent)]
#[case(Reset::Before, Precondition::None)]
#[case(Reset::After, Precondition::None)]
#[tokio::test]
async fn one_copy_is_started_however_the_answer_gets_lost(#[case] reset: Reset, #[case] precondition: Precondition) {
    let service = Service::start().await;
    service.lose("CopyBlob", reset);
    let started = service.copy(precondition).await.unwrap();
    assert_eq!(started.status, CopyStatus::Pending);
    let copies = service.server.copies();
    assert_eq!(copies.iter().map(|copy| copy.id.as_str()).collect::<Vec<_>>(), [started.id.as_str()]);
    let found = service.client.blob(&blob("copy")).properties().await.unwrap();
    // What was seen of a copy that was adopted is told: nothing of it has to be taken for granted.
    let seen = started.found.map(|seen| (seen.size, seen.etag));
    assert_eq!(seen, matches!(reset, Reset::After).then(|| (found.size, found.etag.clone())));
    assert_eq!(found.copy.unwrap().id, started.id);
}

#[rstest]
#[case(1)]
#[case(2)]
#[case(3)]
#[tokio::test]
async fn a_snapshot_with_a_mark_is_one_however_many_answers_get_lost(#[case] lost: u64) {
    let service = Service::start().await;
    let path = blob("source");
    let client = service.client.blob(&path);
    let mark = |text: &str| -> Metadata { [("mark", text)].into_iter().collect() };
    let other = client.snapshots().create_unique(&mark("another")).await.unwrap();
    service.put("source-b", "other", &Precondition::None).await.unwrap();
    service.server.add_fault(Fault { reset: Some(Reset::After), count: lost, ..Fault::on("SnapshotBlob") });
    let taken = client.snapshots().create_unique(&mark("own")).await.unwrap();
    let name = container();
    let list = ListBlobs { snapshots: true, ..ListBlobs::default() };
    let listed = service.client.container(&name).list_blobs(&list).await.unwrap();
    let snapshots: Vec<_> = listed.items.into_iter().filter_map(|item| item.revision).collect();
    assert_eq!(snapshots, [other, taken.clone()]);
    let found = client.at(&taken).properties().await.unwrap();
    assert_eq!(found.metadata.get("mark"), Some("own"));
}

#[tokio::test]
async fn a_copy_refused_after_its_effect_is_adopted() {
    let service = Service::start().await;
    service.server.add_fault(Fault { status: Some(500), after: true, ..Fault::on("CopyBlob") });
    let started = service.copy(Precondition::IfAbsent).await.unwrap();
    assert_eq!(service.server.copies().len(), 1);
    assert_eq!(service.server.copies()[0].id, started.id.as_str());
    assert_eq!(service.server.stats().requests("CopyBlob"), 1);
}

#[tokio::test]
async fn a_second_copy_onto_a_pending_one_is_busy_and_leaves_it_alone() {
    // C9, C10, X13
    let service = Service::start().await;
    let first = service.copy(Precondition::None).await.unwrap();
    assert_eq!(service.copy(Precondition::None).await.unwrap_err().errno(), libc::EBUSY);
    assert_eq!(service.put("copy", "x", &Precondition::None).await.unwrap_err().errno(), libc::EBUSY);
    let deleted = service.client.blob(&blob("copy")).delete(&DeleteOptions::default()).await;
    assert_eq!(deleted.unwrap_err().errno(), libc::EBUSY);
    // 409 is the last word: nothing was tried twice.
    assert_eq!(service.server.stats().requests("CopyBlob"), 2);
    let state = service.client.blob(&blob("copy")).properties().await.unwrap().copy.unwrap();
    assert_eq!((state.id, state.status, state.total_bytes), (first.id, CopyStatus::Pending, 11));
    assert_eq!(state.completion_time, None);
}

#[tokio::test]
async fn an_abort_is_done_even_if_its_answer_is_lost() {
    // C49, C50, C53
    let service = Service::start().await;
    let started = service.copy(Precondition::None).await.unwrap();
    let other = CopyId::new("11111111-2222-4333-8444-555555555555");
    assert_eq!(
        service.client.blob(&blob("copy")).abort_copy(&other, &AbortOptions::default()).await.unwrap_err().code(),
        "CopyIdMismatch"
    );
    service.lose("AbortCopyBlob", Reset::After);
    service.client.blob(&blob("copy")).abort_copy(&started.id, &AbortOptions::default()).await.unwrap();
    let found = service.client.blob(&blob("copy")).properties().await.unwrap();
    assert_eq!((found.size, found.copy.unwrap().status), (0, CopyStatus::Aborted));
    assert_eq!(
        service.client.blob(&blob("copy")).abort_copy(&started.id, &AbortOptions::default()).await.unwrap_err().errno(),
        libc::ENODATA
    );
}

#[tokio::test]
async fn an_abort_that_came_too_late_is_an_error() {
    // X12
    let service = Service::start().await;
    service.server.change_policy(PolicyChange { copy_same_account: Some(CopyRate::Immediate), ..Default::default() });
    let started = service.copy(Precondition::None).await.unwrap();
    service.lose("AbortCopyBlob", Reset::After);
    let error = service.client.blob(&blob("copy")).abort_copy(&started.id, &AbortOptions::default()).await.unwrap_err();
    assert_eq!(error.code(), "NoPendingCopyOperation");
    assert_eq!(service.client.blob(&blob("copy")).download(..).await.unwrap().bytes, "hello world");
}

#[rstest]
#[case(Reset::Before)]
#[case(Reset::After)]
#[tokio::test]
async fn a_guarded_put_succeeds_once(#[case] reset: Reset) {
    let service = Service::start().await;
    service.lose("PutBlob", reset);
    let written = service.put("new", "content", &Precondition::IfAbsent).await.unwrap();
    let found = service.client.blob(&blob("new")).download(..).await.unwrap();
    assert_eq!((found.bytes, &found.properties.etag), (Bytes::from_static(b"content"), &written.etag));

    service.lose("PutBlob", reset);
    let guard = Precondition::IfMatch(written.etag);
    service.put("new", "changed", &guard).await.unwrap();
    let error = service.put("new", "changed", &guard).await.unwrap_err();
    assert_eq!(error.errno(), libc::ESTALE);
}

#[tokio::test]
async fn a_guarded_put_whose_every_answer_is_lost_is_recognised_too() {
    let service = Service::start().await;
    service.lose_twice("PutBlob");
    service.put("new", "content", &Precondition::IfAbsent).await.unwrap();
}

#[tokio::test]
async fn a_guarded_put_never_claims_another_writers_blob() {
    let service = Service::start().await;
    service.put("new", "theirs!", &Precondition::None).await.unwrap();
    service.lose("PutBlob", Reset::After);
    let error = service.put("new", "content", &Precondition::IfAbsent).await.unwrap_err();
    assert_eq!(error.errno(), libc::EEXIST);
    assert_eq!(service.client.blob(&blob("new")).download(..).await.unwrap().bytes, "theirs!");
}

#[rstest]
#[case(Precondition::None)]
#[case(Precondition::IfAbsent)]
#[tokio::test]
async fn a_block_list_is_committed_once(#[case] precondition: Precondition) {
    let service = Service::start().await;
    let id = BlockId::new("MDE=");
    service.client.blob(&blob("new")).block_blob().stage_block(&id, Bytes::from_static(b"content")).await.unwrap();
    service.lose("PutBlockList", Reset::After);
    let list = [BlockRef::Uncommitted(id)];
    let settings = BlobSettings::default();
    let new = blob("new");
    let client = service.client.blob(&new);
    let written = client.block_blob().commit_block_list(&list, &settings, &precondition.into()).await.unwrap();
    let found = client.download(ReadOptions { range: None, if_match: Some(&written.etag) }).await.unwrap();
    assert_eq!(found.bytes, "content");
}

#[tokio::test]
async fn guarded_metadata_and_properties_are_set_once() {
    let service = Service::start().await;
    let etag = service.client.blob(&blob("source")).properties().await.unwrap().etag;
    let metadata: Metadata = [("color", "blue")].into_iter().collect();
    service.lose("SetBlobMetadata", Reset::After);
    let guard = Precondition::IfMatch(etag);
    let written = service.client.blob(&blob("source")).set_metadata(&metadata, &guard.into()).await.unwrap();
    service.lose("SetBlobProperties", Reset::After);
    let headers = ContentHeaders { cache_control: Some("no-cache".into()), ..Default::default() };
    let guard = Precondition::IfMatch(written.etag);
    service.client.blob(&blob("source")).set_properties(&headers, &guard.into()).await.unwrap();
    let found = service.client.blob(&blob("source")).properties().await.unwrap();
    assert_eq!((found.metadata, found.headers.cache_control.as_deref()), (metadata, Some("no-cache")));
}

#[tokio::test]
async fn a_delete_is_done_once() {
    let service = Service::start().await;
    service.lose("DeleteBlob", Reset::After);
    let delete = async || service.client.blob(&blob("source")).delete(&DeleteOptions::default()).await;
    delete().await.unwrap();
    assert!(delete().await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn containers_come_and_go_once() {
    let service = Service::start().await;
    let new = ContainerName::parse("new").unwrap();
    service.lose("CreateContainer", Reset::After);
    service.client.container(&new).create(&Metadata::default()).await.unwrap();
    assert_eq!(service.client.container(&new).create(&Metadata::default()).await.unwrap_err().errno(), libc::EEXIST);
    service.lose("DeleteContainer", Reset::After);
    service.client.container(&new).delete().await.unwrap();
}

#[tokio::test]
async fn a_lease_is_acquired_and_released_once() {
    let service = Service::start().await;
    service.lose("LeaseBlob", Reset::After);
    let id = service.client.blob(&blob("source")).acquire_lease(&LeaseOptions::default()).await.unwrap();
    service.lose("LeaseBlob", Reset::After);
    service.client.blob(&blob("source")).release_lease(&id).await.unwrap();
    let lease = service.client.blob(&blob("source")).properties().await.unwrap().lease;
    assert_eq!(lease.state.as_deref(), Some("available"));
}

#[tokio::test]
async fn a_lease_that_may_be_held_is_given_back() {
    let service = Service::start().await;
    service.server.add_fault(Fault { reset: Some(Reset::After), count: 100, ..Fault::on("LeaseBlob") });
    let lost = service.client.blob(&blob("source")).acquire_lease(&LeaseOptions::default()).await;
    assert_eq!(lost.unwrap_err().errno(), libc::EIO);
    let lease = service.client.blob(&blob("source")).properties().await.unwrap().lease;
    assert_eq!(lease.state.as_deref(), Some("available"));
}

#[tokio::test]
async fn throttling_is_waited_out() {
    let service = Service::start().await;
    service.server.add_fault(Fault { status: Some(503), retry_after: Some(1), ..Fault::on("GetBlobProperties") });
    let began = Instant::now();
    service.client.blob(&blob("source")).properties().await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(service.server.stats().requests("GetBlobProperties"), 2);
}

#[tokio::test]
async fn a_truncated_body_is_read_again() {
    let service = Service::start().await;
    service.server.add_fault(Fault { truncate_body: Some(3), count: 2, ..Fault::on("GetBlob") });
    let download = service.client.blob(&blob("source")).download(0..5).await.unwrap();
    assert_eq!(download.bytes, "hello");
    service.server.add_fault(Fault { truncate_body: Some(3), count: 3, ..Fault::on("GetBlob") });
    let error = service.client.blob(&blob("source")).download(..).await.unwrap_err();
    assert_eq!(error.errno(), libc::EIO);
}

#[tokio::test]
async fn a_stalled_body_is_read_again() {
    let service = Service::start().await;
    service.server.add_fault(Fault { stall_body_ms: Some(60_000), ..Fault::on("GetBlob") });
    let download = service.client.blob(&blob("source")).download(..).await.unwrap();
    assert_eq!(download.bytes, "hello world");
}

#[tokio::test]
async fn pending_copies_between_accounts_tell_their_progress_until_they_are_done() {
    // C2, C33 to C36, C39, X16
    let service = Service::start().await;
    let beta = client_of(&service.server, &service.http, "beta");
    service
        .server
        .change_policy(PolicyChange { copy_cross_account: Some(CopyRate::BytesPerSecond(11)), ..Default::default() });
    let source = service.client.blob(&blob("source")).copy_source(&beta, Duration::from_secs(600)).await.unwrap();
    let request = CopyRequest {
        source,
        source_if_match: None,
        precondition: Precondition::None,
        metadata: None,
        tier: None,
        tags: Tags::new(),
        seal: None,
        lease: None,
    };
    let started = beta.blob(&blob("copy")).start_copy(&request).await.unwrap();
    assert_eq!(started.status, CopyStatus::Pending);
    assert!(beta.blob(&blob("copy")).download(..).await.unwrap().bytes.is_empty());
    let look = async || {
        let state = beta.blob(&blob("copy")).properties().await.unwrap().copy.unwrap();
        assert_eq!((&state.id, state.total_bytes), (&started.id, 11));
        if state.status != CopyStatus::Pending {
            return Some(state);
        }
        assert!(state.bytes_copied < 11 && state.completion_time.is_none());
        None
    };
    let done = answer("the end of the copy", look).await;
    assert_eq!((done.status, done.bytes_copied), (CopyStatus::Success, 11));
    assert!(done.completion_time.is_some() && !done.source.unwrap().contains("sig="));
    assert_eq!(beta.blob(&blob("copy")).download(..).await.unwrap().bytes, "hello world");
}
