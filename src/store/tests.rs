//! The client against scripted answers: lost ones, damaged ones, slow ones.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::scripted::{Asked, Reply, Scripted, done, modified, path, refuse};
use super::*;
use crate::error::Error;

const LONG_AGO: Duration = Duration::from_secs(3_600);
const SOURCE: &str = "http://127.0.0.1/acct/c/source?sv=1&sig=SeCrEt";

fn if_absent() -> CopyRequest {
    CopyRequest {
        source: CopySource::new(SOURCE),
        source_if_match: Some(ETag::new("0x8C")),
        precondition: Precondition::IfAbsent,
        metadata: None,
        tier: None,
        tags: Tags::new(),
        seal: None,
        lease: None,
    }
}

fn started(id: &str) -> Reply {
    done(202, &[("x-ms-copy-id", id), ("x-ms-copy-status", "success")])
}

/// HEAD of a copy's destination.
fn destination(ago: Duration, id: &str, status: &str, source: &str) -> Reply {
    let copy = [("x-ms-copy-id", id), ("x-ms-copy-status", status), ("x-ms-copy-source", source)];
    modified(200, ago, &[&copy[..], &[("x-ms-blob-type", "BlockBlob"), ("content-length", "0")]].concat())
}

fn found(ago: Duration, headers: &[(&'static str, &str)]) -> Reply {
    modified(200, ago, &[headers, &[("x-ms-blob-type", "BlockBlob"), ("content-length", "5")]].concat())
}

#[tokio::test]
async fn each_try_is_dated_and_signed_anew_and_a_retry_after_is_honoured() {
    let busy = Reply::Answer(503, vec![("retry-after", "1".into()), ("x-ms-error-code", "ServerBusy".into())], "");
    let server = Scripted::play(vec![busy, done(200, &[("x-ms-blob-type", "BlockBlob")])]).await;
    let began = std::time::Instant::now();
    server.blob().properties().await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
    let asked = server.asked();
    assert_eq!(server.lines(), ["HEAD /acct/con/b", "HEAD /acct/con/b"]);
    for name in ["x-ms-date", "authorization", "x-ms-client-request-id"] {
        assert_ne!(asked[0].header(name).unwrap(), asked[1].header(name).unwrap(), "{name}");
    }
    assert_eq!(asked[0].header("user-agent"), Some(concat!("blobcp/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(asked[0].header("x-ms-version"), Some("2025-11-05"));
    assert_eq!(asked[0].header("accept-encoding"), None);
}

#[tokio::test]
async fn every_body_has_a_checksum_and_blocks_of_azurite_have_its_own() {
    for (server, sums) in [
        ("Azurite-Blob/3.37.0", [None, Some("mgNkuembtIDdJeHwKEyFVQ==")]),
        ("Windows-Azure-Blob/1.0", [Some("YUxQJV9dFZY="), None]),
    ] {
        let server = Scripted::play(vec![done(201, &[("server", server)]), done(201, &[])]).await;
        for _ in 0..2 {
            let pieces: Payload = ["con", "tent"].map(Bytes::from).into_iter().collect();
            server.blob().block_blob().stage_block(&BlockId::new("MQ=="), pieces).await.unwrap();
        }
        // It is known by its first answer.
        let asked = server.asked();
        assert_eq!([asked[1].header("x-ms-content-crc64"), asked[1].header("content-md5")], sums);
        assert!(asked[0].header("x-ms-content-crc64").is_some() && asked[0].header("content-md5").is_none());
    }
}

#[tokio::test]
async fn a_body_that_did_not_arrive_as_it_was_sent_is_sent_again() {
    let stored = |crc64: &str| done(201, &[("x-ms-content-crc64", crc64)]);
    let damaged = || refuse(400, "Crc64Mismatch");
    let server = Scripted::play(vec![damaged(), stored("AAAAAAAAAAA="), stored("YUxQJV9dFZY=")]).await;
    server.blob().block_blob().stage_block(&BlockId::new("MQ=="), "content").await.unwrap();
    assert_eq!(server.lines().len(), 3);
    let server = Scripted::play(vec![damaged(), damaged(), damaged()]).await;
    let error = server.blob().block_blob().stage_block(&BlockId::new("MQ=="), "content").await.unwrap_err();
    assert_eq!(error.errno(), libc::EIO);
}

#[tokio::test]
async fn a_block_of_known_bytes_is_asked_for_by_their_checksum_and_an_answer_about_others_is_none() {
    let told = |crc64: &str| done(201, &[("x-ms-content-crc64", crc64)]);
    let source = CopySource::new(SOURCE);
    let (etag, id, content) = (ETag::new("0x8C"), BlockId::new("QQ=="), Payload::from("content"));
    let range = SourceRange { source: &source, range: 5..12, if_match: Some(&etag) };
    let answers = [
        (told("YUxQJV9dFZY="), true),
        (done(201, &[]), true),
        (told("AAAAAAAAAAA="), false),
        (refuse(412, "SourceConditionNotMet"), false),
    ];
    for (answer, is_made) in answers {
        let server = Scripted::play(vec![answer]).await;
        let made = server.blob().block_blob().stage_known_block(&id, &range, &content).await;
        assert_eq!(made.is_ok(), is_made, "{made:?}");
        let asked = server.asked();
        let names =
            ["x-ms-source-content-crc64", "x-ms-source-content-md5", "x-ms-source-if-match", "x-ms-source-range"];
        let expected = [Some("YUxQJV9dFZY="), None, Some("\"0x8C\""), Some("bytes=5-11")];
        assert_eq!(names.map(|name| asked[0].header(name)), expected);
    }
    // Where a server knows no CRC64 it is the MD5.
    let server = Scripted::play(vec![done(201, &[("server", "Azurite-Blob/3.37.0")]), done(201, &[])]).await;
    for _ in 0..2 {
        server.blob().block_blob().stage_known_block(&id, &range, &content).await.unwrap();
    }
    assert_eq!(server.asked()[1].header("x-ms-source-content-md5"), Some("mgNkuembtIDdJeHwKEyFVQ=="));
}

#[tokio::test]
async fn checksums_of_ranges_are_asked_for_where_they_are_given() {
    let part = || {
        let Reply::Answer(_, headers, _) =
            done(206, &[("content-range", "bytes 0-4/9"), ("x-ms-blob-type", "BlockBlob")])
        else {
            unreachable!()
        };
        Reply::Answer(206, headers, "hello")
    };
    let large = || done(206, &[("content-range", "bytes 0-4194304/4194305"), ("x-ms-blob-type", "BlockBlob")]);
    let server = Scripted::play(vec![part(), large(), large(), large()]).await;
    server.blob().download(0..5).await.unwrap();
    server.blob().download(0..(4 << 20) + 1).await.unwrap_err();
    let wanted = |asked: &[Asked]| {
        let values = asked.iter().map(|asked| asked.header("x-ms-range-get-content-crc64").map(str::to_owned));
        values.collect::<Vec<_>>()
    };
    assert_eq!(wanted(&server.asked())[..2], [Some("true".to_owned()), None]);
    // Azurite refuses such a request, and whoever else does not know it.
    let server = Scripted::play(vec![refuse(500, "FeatureNotSupported"), part(), part()]).await;
    server.blob().download(0..5).await.unwrap();
    server.blob().download(0..5).await.unwrap();
    assert_eq!(wanted(&server.asked()), [Some("true".to_owned()), None, None]);
}

#[tokio::test]
async fn a_truncated_body_is_fetched_again_and_then_given_up() {
    let ranged = [("content-range", "bytes 0-4/5"), ("x-ms-blob-type", "BlockBlob")];
    let Reply::Answer(_, headers, _) = done(206, &ranged) else { unreachable!() };
    let server = Scripted::play(vec![Reply::Truncated, Reply::Answer(206, headers, "hello")]).await;
    let download = server.blob().download(0..5).await.unwrap();
    assert_eq!(download.bytes, "hello");

    let server = Scripted::play(vec![Reply::Truncated, Reply::Truncated, Reply::Truncated]).await;
    let error = server.blob().download(..).await.unwrap_err();
    assert!(matches!(error, Error::Transport { operation: "GetBlob", timed_out: false, .. }), "{error}");
    assert_eq!(server.lines().len(), 3);
}

#[tokio::test]
async fn silence_is_a_time_out() {
    let server = Scripted::play(vec![Reply::Silence, Reply::Silence, Reply::Silence]).await;
    let error = server.blob().properties().await.unwrap_err();
    assert_eq!(error.errno(), libc::ETIMEDOUT);
}

#[tokio::test]
async fn a_body_that_trickles_is_too_slow_and_a_refusal_that_does_is_one() {
    let trickle = |status| {
        let told = [("x-ms-error-code", "BlobNotFound"), ("x-ms-blob-type", "BlockBlob"), ("etag", "\"0x8D\"")];
        let told = told.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Reply::Trickle(status, told)
    };
    let server = Scripted::play(vec![trickle(200), trickle(200), trickle(200)]).await;
    let error = server.blob().download(..).await.unwrap_err();
    assert_eq!(error.errno(), libc::ETIMEDOUT, "{error}");
    assert!(error.to_string().contains("too slow"), "{error}");
    let server = Scripted::play(vec![trickle(200), trickle(200), trickle(200)]).await;
    let error = server.blob().block_blob().block_list().await.unwrap_err();
    assert!(error.to_string().contains("too slow"), "{error}");
    let server = Scripted::play(vec![trickle(404)]).await;
    assert!(server.blob().tags().await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn what_nobody_takes_is_given_up() {
    // The kernel takes the connection, and of the body what fits into its memory.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/acct", listener.local_addr().unwrap());
    let account = AccountConfig { endpoint: Some(endpoint), key: Some("a2V5".into()), ..Default::default() };
    let http = Http::new(Options { timeout: Duration::from_secs(2), ..Default::default() });
    let client = Client::new(account.resolve().unwrap(), http);
    let path = path();
    let blob = client.blob(&path).block_blob();
    let began = std::time::Instant::now();
    let error = blob.stage_block(&BlockId::new("MQ=="), vec![0; 64 << 20]).await.unwrap_err();
    assert!(matches!(error, Error::Transport { operation: "PutBlock", .. }), "{error}");
    // A second, as far as the machine lets it.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
async fn nobody_listening_is_said_without_a_url() {
    let server = Scripted::play(vec![]).await;
    let error = server.blob().properties().await.unwrap_err();
    assert_eq!(error.errno(), libc::EIO);
    assert!(error.to_string().starts_with("GetBlobProperties acct/con/b: "), "{error}");
    assert!(!error.to_string().contains("http://"), "{error}");
}

#[tokio::test]
async fn past_the_end_there_is_nothing_and_no_error() {
    let server = Scripted::play(vec![refuse(416, "InvalidRange"), found(LONG_AGO, &[])]).await;
    let download =
        server.blob().download(ReadOptions { range: Some(5..9), if_match: Some(&ETag::new("0x8D")) }).await.unwrap();
    assert!(download.bytes.is_empty());
    assert_eq!(download.properties.size, 5);
    assert_eq!(server.asked()[1].header("if-match"), Some("\"0x8D\""));
}

#[tokio::test]
async fn an_empty_range_is_not_sent() {
    let server = Scripted::play(vec![found(LONG_AGO, &[])]).await;
    let download = server.blob().download(3..3).await.unwrap();
    assert!(download.bytes.is_empty());
    assert_eq!(server.lines(), ["HEAD /acct/con/b"]);
}

#[tokio::test]
async fn what_no_header_can_carry_is_refused_before_it_is_sent() {
    let server = Scripted::play(vec![]).await;
    let metadata: Metadata = [("color", "bl\u{e4}u")].into_iter().collect();
    let error = server.blob().set_metadata(&metadata, &WriteOptions::default()).await.unwrap_err();
    assert_eq!(error.errno(), libc::EINVAL);
    assert!(server.lines().is_empty());
}

#[tokio::test]
async fn a_copy_whose_answer_was_lost_is_adopted() {
    for status in ["pending", "success"] {
        let shown = "http://127.0.0.1/acct/c/source?sv=1";
        let server = Scripted::play(vec![Reply::HangUp, destination(Duration::ZERO, "new", status, shown)]).await;
        let copy = server.blob().start_copy(&if_absent()).await.unwrap();
        assert_eq!((copy.id.as_str(), copy.status.as_str()), ("new", status));
        assert_eq!(server.lines(), ["PUT /acct/con/b", "HEAD /acct/con/b"]);
    }
}

#[tokio::test]
async fn a_copy_that_never_started_is_asked_for_again() {
    let server = Scripted::play(vec![Reply::HangUp, refuse(404, "BlobNotFound"), started("new")]).await;
    assert_eq!(server.blob().start_copy(&if_absent()).await.unwrap().id.as_str(), "new");
    assert_eq!(server.lines(), ["PUT /acct/con/b", "HEAD /acct/con/b", "PUT /acct/con/b"]);
}

#[tokio::test]
async fn another_copy_is_not_taken_for_ours() {
    for other in [
        destination(LONG_AGO, "old", "success", SOURCE),
        destination(Duration::ZERO, "other", "success", "http://127.0.0.1/acct/c/else"),
        found(Duration::ZERO, &[]),
    ] {
        let server = Scripted::play(vec![Reply::HangUp, other, started("new")]).await;
        assert_eq!(server.blob().start_copy(&if_absent()).await.unwrap().id.as_str(), "new");
    }
}

#[tokio::test]
async fn a_copy_that_this_client_knows_already_is_not_taken_for_a_new_one() {
    let known = destination(Duration::ZERO, "first", "success", SOURCE);
    let server = Scripted::play(vec![started("first"), Reply::HangUp, known, started("second")]).await;
    assert_eq!(server.blob().start_copy(&if_absent()).await.unwrap().id.as_str(), "first");
    assert_eq!(server.blob().start_copy(&if_absent()).await.unwrap().id.as_str(), "second");
}

#[tokio::test]
async fn a_repeated_copy_that_meets_itself_is_adopted() {
    for (status, code) in [(409, "PendingCopyOperation"), (409, "BlobAlreadyExists"), (412, "ConditionNotMet")] {
        let ours = destination(Duration::ZERO, "new", "pending", SOURCE);
        let server = Scripted::play(vec![Reply::HangUp, refuse(404, "BlobNotFound"), refuse(status, code), ours]).await;
        assert_eq!(server.blob().start_copy(&if_absent()).await.unwrap().id.as_str(), "new", "{code}");
    }
}

#[tokio::test]
async fn a_pending_copy_of_someone_else_stays_an_error() {
    let server = Scripted::play(vec![refuse(409, "PendingCopyOperation")]).await;
    let error = server.blob().start_copy(&if_absent()).await.unwrap_err();
    assert_eq!(error.errno(), libc::EBUSY);
    assert_eq!(server.lines().len(), 1);

    let other = || destination(Duration::ZERO, "x", "pending", "http://127.0.0.1/acct/c/else");
    let server = Scripted::play(vec![Reply::HangUp, other(), refuse(409, "PendingCopyOperation"), other()]).await;
    assert_eq!(server.blob().start_copy(&if_absent()).await.unwrap_err().errno(), libc::EBUSY);
}

#[tokio::test]
async fn a_throttled_copy_is_repeated_without_a_look() {
    let server = Scripted::play(vec![refuse(503, "ServerBusy"), started("new")]).await;
    server.blob().start_copy(&if_absent()).await.unwrap();
    assert_eq!(server.lines(), ["PUT /acct/con/b", "PUT /acct/con/b"]);
}

#[tokio::test]
async fn a_copy_of_which_nothing_is_known_is_an_error() {
    let lost = || vec![Reply::HangUp, refuse(404, "BlobNotFound")];
    let server = Scripted::play([lost(), lost(), lost()].into_iter().flatten().collect()).await;
    let error = server.blob().start_copy(&if_absent()).await.unwrap_err();
    assert!(matches!(error, Error::Transport { operation: "CopyBlob", .. }), "{error}");
}

#[tokio::test]
async fn no_error_shows_a_signature() {
    let shows = Reply::Answer(403, vec![], "<Error><Code>CannotVerifyCopySource</Code><Message>no</Message></Error>");
    let server = Scripted::play(vec![shows]).await;
    let error = server.blob().start_copy(&if_absent()).await.unwrap_err();
    assert_eq!(error.to_string(), "CopyBlob acct/con/b: 403 CannotVerifyCopySource no");
    assert!(!format!("{error:?} {:?}", if_absent()).contains("SeCrEt"));
}

async fn put_guarded(server: &Scripted) -> crate::error::Result<Written> {
    let body = Bytes::from_static(b"hello");
    server.blob().block_blob().upload(body, &BlobSettings::default(), &Precondition::IfAbsent.into()).await
}

const MD5_OF_HELLO: &str = "XUFAKrxLKna5cZ2REBfFkg==";

#[tokio::test]
async fn a_guarded_put_recognises_its_own_blob() {
    for (status, code) in [(409, "BlobAlreadyExists"), (412, "ConditionNotMet")] {
        let ours = found(Duration::ZERO, &[("content-md5", MD5_OF_HELLO)]);
        let server = Scripted::play(vec![Reply::HangUp, refuse(status, code), ours]).await;
        assert_eq!(put_guarded(&server).await.unwrap().etag.as_str(), "0x8D");
        assert_eq!(server.asked()[0].header("content-md5"), Some(MD5_OF_HELLO));
        assert_eq!(server.lines(), ["PUT /acct/con/b", "PUT /acct/con/b", "HEAD /acct/con/b"]);
    }
}

#[tokio::test]
async fn a_guarded_put_does_not_claim_another_writers_blob() {
    for theirs in [
        found(Duration::ZERO, &[("content-md5", "b3RoZXI=")]),
        found(LONG_AGO, &[("content-md5", MD5_OF_HELLO)]),
        found(Duration::ZERO, &[]),
        refuse(404, "BlobNotFound"),
    ] {
        let server = Scripted::play(vec![Reply::HangUp, refuse(409, "BlobAlreadyExists"), theirs]).await;
        assert_eq!(put_guarded(&server).await.unwrap_err().errno(), libc::EEXIST);
    }
    // The first try was refused, so nothing was lost and nothing is looked at.
    let server = Scripted::play(vec![refuse(409, "BlobAlreadyExists")]).await;
    assert_eq!(put_guarded(&server).await.unwrap_err().errno(), libc::EEXIST);
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn guarded_metadata_recognise_themselves() {
    let metadata: Metadata = [("color", "blue")].into_iter().collect();
    let guard = Precondition::IfMatch(ETag::new("0x8C")).into();
    for (shown, ours) in [("blue", true), ("red", false)] {
        let now = found(Duration::ZERO, &[("x-ms-meta-color", shown)]);
        let server = Scripted::play(vec![Reply::HangUp, refuse(412, "ConditionNotMet"), now]).await;
        let result = server.blob().set_metadata(&metadata, &guard).await;
        assert_eq!(
            result.map_err(|e| e.errno()).map(|w| w.etag),
            if ours { Ok(ETag::new("0x8D")) } else { Err(libc::ESTALE) }
        );
    }
}

fn committed(ago: Duration, document: &'static str) -> Reply {
    let Reply::Answer(status, headers, _) = modified(200, ago, &[]) else { unreachable!() };
    Reply::Answer(status, headers, document)
}

#[tokio::test]
async fn a_block_list_recognises_its_own_blocks() {
    const OURS: &str =
        "<BlockList><CommittedBlocks><Block><Name>MQ==</Name><Size>5</Size></Block></CommittedBlocks></BlockList>";
    const THEIRS: &str =
        "<BlockList><CommittedBlocks><Block><Name>Mg==</Name><Size>5</Size></Block></CommittedBlocks></BlockList>";
    let blocks = [BlockRef::Uncommitted(BlockId::new("MQ=="))];
    for (again, ago, document, errno) in [
        (refuse(412, "ConditionNotMet"), Duration::ZERO, OURS, 0),
        (refuse(400, "InvalidBlockList"), Duration::ZERO, OURS, 0),
        (refuse(412, "ConditionNotMet"), Duration::ZERO, THEIRS, libc::ESTALE),
        (refuse(412, "ConditionNotMet"), LONG_AGO, OURS, libc::ESTALE),
    ] {
        let server = Scripted::play(vec![Reply::HangUp, again, committed(ago, document)]).await;
        let guard = Precondition::IfMatch(ETag::new("0x8C"));
        let result =
            server.blob().block_blob().commit_block_list(&blocks, &BlobSettings::default(), &guard.into()).await;
        assert_eq!(result.map_or_else(|e| e.errno(), |_| 0), errno);
    }
}

#[tokio::test]
async fn a_repeated_delete_that_finds_nothing_is_done() {
    let delete = async |server: &Scripted| server.blob().delete(&DeleteOptions::default()).await;
    let server = Scripted::play(vec![Reply::HangUp, refuse(404, "BlobNotFound")]).await;
    delete(&server).await.unwrap();
    let server = Scripted::play(vec![refuse(404, "BlobNotFound")]).await;
    assert_eq!(delete(&server).await.unwrap_err().errno(), libc::ENOENT);
    let server = Scripted::play(vec![refuse(503, "ServerBusy"), refuse(404, "BlobNotFound")]).await;
    assert_eq!(delete(&server).await.unwrap_err().errno(), libc::ENOENT);
}

#[tokio::test]
async fn a_repeated_abort_is_done_if_the_copy_is_aborted() {
    let id = CopyId::new("mine");
    for (shown, status, errno) in
        [("mine", "aborted", 0), ("mine", "success", libc::ENODATA), ("other", "aborted", libc::ENODATA)]
    {
        let after = destination(Duration::ZERO, shown, status, SOURCE);
        let server = Scripted::play(vec![Reply::HangUp, refuse(409, "NoPendingCopyOperation"), after]).await;
        let result = server.blob().abort_copy(&id, &AbortOptions::default()).await;
        assert_eq!(result.map_or_else(|e| e.errno(), |()| 0), errno, "{shown} {status}");
    }
    let server = Scripted::play(vec![refuse(409, "NoPendingCopyOperation")]).await;
    assert_eq!(server.blob().abort_copy(&id, &AbortOptions::default()).await.unwrap_err().errno(), libc::ENODATA);
}

#[tokio::test]
async fn a_repeated_create_container_is_done_if_the_container_is_new() {
    for (ago, errno) in [(Duration::ZERO, 0), (LONG_AGO, libc::EEXIST)] {
        let server =
            Scripted::play(vec![Reply::HangUp, refuse(409, "ContainerAlreadyExists"), modified(200, ago, &[])]).await;
        let result = server.client.container(&path().container).create(&Metadata::default()).await;
        assert_eq!(result.map_or_else(|e| e.errno(), |_| 0), errno);
    }
}

#[tokio::test]
async fn a_repeated_release_that_finds_no_lease_is_done() {
    let id = LeaseId::new("6c2d4c7e-0000-4000-8000-000000000000");
    let server = Scripted::play(vec![Reply::HangUp, refuse(409, "LeaseIdMismatchWithLeaseOperation")]).await;
    server.blob().release_lease(&id).await.unwrap();
    let server = Scripted::play(vec![refuse(409, "LeaseIdMismatchWithLeaseOperation")]).await;
    assert_eq!(server.blob().release_lease(&id).await.unwrap_err().errno(), libc::EBUSY);
}

#[tokio::test]
async fn a_lease_is_acquired_twice_under_one_id() {
    let server = Scripted::play(vec![Reply::HangUp, done(201, &[("x-ms-lease-id", "id")])]).await;
    server.blob().acquire_lease(&LeaseOptions::default()).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked[0].header("x-ms-proposed-lease-id"), asked[1].header("x-ms-proposed-lease-id"));
    assert_eq!(asked[0].header("x-ms-lease-duration"), Some("-1"));
}

#[tokio::test]
async fn a_sas_is_part_of_the_url_and_replaces_the_signature() {
    let server = Scripted::play(vec![found(LONG_AGO, &[])]).await;
    let endpoint = Some(server.client.pipeline().endpoint().to_string());
    let account =
        AccountConfig { endpoint, sas: Some("sv=1&sig=a%3D".into()), ..Default::default() }.resolve().unwrap();
    let client = Client::new(account, server.client.pipeline().http.clone());
    let taken = Revision::Snapshot(Moment::parse("2026-11-22T10:26").unwrap());
    client.blob(&path()).at(&taken).properties().await.unwrap();
    assert_eq!(server.lines(), ["HEAD /acct/con/b?snapshot=2026-11-22T10%3A26&sv=1&sig=a%3D"]);
    assert_eq!(server.asked()[0].header("authorization"), None);
}

#[tokio::test]
async fn a_redirect_takes_no_credential_anywhere() {
    let elsewhere = Scripted::play(vec![done(200, &[("x-ms-blob-type", "BlockBlob")])]).await;
    let to = elsewhere.blob().url();
    for status in [301, 302, 307, 308] {
        let server = Scripted::play(vec![Reply::Answer(status, vec![("location", to.clone())], "")]).await;
        let error = server.blob().properties().await.unwrap_err();
        assert_eq!((error.status(), error.errno()), (status, libc::EIO));
    }
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn of_the_seal_a_copy_is_told_what_is_to_be_said() {
    // S8 to S11
    for (seal, told) in [(None, None), (Some(true), Some("true")), (Some(false), Some("false"))] {
        let server = Scripted::play(vec![started("id")]).await;
        server.blob().start_copy(&CopyRequest { seal, ..if_absent() }).await.unwrap();
        assert_eq!(server.asked()[0].header("x-ms-seal-blob"), told);
    }
}

#[tokio::test]
async fn a_rename_whose_answer_is_lost_is_recognised_by_what_it_leaves_alone() {
    // S116, S124
    let (from, to) = (path(), path().sibling("new").unwrap());
    const BORN: &str = "Mon, 01 Jan 2024 00:00:00 GMT";
    let directory = [("x-ms-creation-time", BORN), ("x-ms-meta-hdi_isfolder", "true"), ("content-length", "0")];
    let there = || modified(200, LONG_AGO, &[&directory[..], &[("x-ms-blob-type", "BlockBlob")]].concat());
    let known = {
        let server = Scripted::play(vec![there()]).await;
        server.client.blob(&from).properties().await.unwrap()
    };
    let with = |change: fn(&mut BlobProperties)| {
        let mut known = known.clone();
        change(&mut known);
        Some(known)
    };
    let cases = [
        // The same ETag, which is "0x8D" in all answers of the script.
        (with(|_| {}), None, true),
        (with(|known| known.creation_time = None), None, true),
        // Another one, however alike: two directories that are made in one second are.
        (with(|known| known.etag = ETag::new("0x8C")), None, false),
        // That was there before.
        (with(|_| {}), Some(ETag::new("0x8D")), false),
        // Nothing to know it by: another client may have made it.
        (None, None, false),
    ];
    for (number, (known, replaces, is_ours)) in cases.into_iter().enumerate() {
        for lost in [Reply::HangUp, refuse(500, "OperationTimedOut")] {
            let gone = refuse(404, "SourcePathNotFound");
            let server = Scripted::play(vec![lost, gone, refuse(404, "BlobNotFound"), there()]).await;
            let options = RenameOptions {
                known: known.as_ref(),
                replaces: replaces.as_ref(),
                source_if_match: None,
                precondition: Precondition::None,
            };
            let renamed = server.client.blob(&from).rename(&to, &options).await;
            assert_eq!(renamed.is_ok(), is_ours, "{number}: {renamed:?}");
            if let Err(error) = renamed {
                assert_eq!((error.code(), error.errno()), ("SourcePathNotFound", libc::ENOENT));
            }
            // As rename(2) replaces what is there (S118, S119).
            assert_eq!(server.lines()[..2], ["PUT /acct/con/new?mode=legacy"; 2]);
        }
    }
}

#[tokio::test]
async fn a_snapshot_that_is_refused_proves_the_namespace_to_be_hierarchical() {
    // S148, S192
    let refused = || refuse(409, "FeatureNotYetSupportedForHierarchicalNamespaceAccounts");
    let server = Scripted::play(vec![refuse(404, "ResourceNotFound"), refused()]).await;
    assert!(!server.client.is_hierarchical().await.unwrap());
    assert_eq!(server.blob().create_snapshot().await.unwrap_err().errno(), libc::EOPNOTSUPP);
    assert!(server.client.is_hierarchical().await.unwrap());
    assert!(server.client.clone().is_hierarchical().await.unwrap());
    // Where it cannot be asked to rename, that is of no use.
    let server = Scripted::play(vec![refused()]).await;
    let account = Account {
        name: crate::path::AccountName::parse("another").unwrap(),
        endpoint: server.client.pipeline().endpoint().clone(),
        credential: server.client.pipeline().credential.current().as_ref().clone(),
        source: None,
        api_version: DEFAULT_API_VERSION.to_owned(),
        hierarchical: Some(false),
    };
    let client = Client::new(account, server.client.pipeline().http.clone());
    client.blob(&path()).create_snapshot().await.unwrap_err();
    assert!(!client.is_hierarchical().await.unwrap());
    let path = path();
    let renamed = client.blob(&path).rename(&path, &RenameOptions::default()).await;
    assert_eq!(renamed.unwrap_err().errno(), libc::EOPNOTSUPP);
    assert_eq!(server.lines(), ["PUT /acct/con/b?comp=snapshot"]);
}

#[tokio::test]
async fn a_write_that_must_find_nothing_names_no_lease() {
    // S58: with the id of its lease, the service overwrites what is there.
    let settings = BlobSettings::default();
    let held = || LeaseId::new("held");
    for (precondition, named) in [(Precondition::IfAbsent, false), (Precondition::IfMatch(ETag::new("0x8D")), true)] {
        let written = || done(201, &[]);
        let server = Scripted::play(vec![written(), written(), written(), written(), started("id")]).await;
        server.blob().use_lease(held());
        let options = WriteOptions { precondition: precondition.clone(), lease: None };
        server.blob().block_blob().upload("x", &settings, &options).await.unwrap();
        server.blob().block_blob().commit_block_list(&[], &settings, &options).await.unwrap();
        server.blob().append_blob().create(&settings, &options).await.unwrap();
        let options = WriteOptions { lease: Some(held()), ..options };
        server.blob().block_blob().upload("x", &settings, &options).await.unwrap();
        let copy = CopyRequest { precondition, lease: Some(held()), ..if_absent() };
        server.blob().start_copy(&copy).await.unwrap();
        for asked in server.asked() {
            assert_eq!(asked.header("x-ms-lease-id").is_some(), named, "{}", asked.line);
        }
    }
}

#[tokio::test]
async fn refusals_by_the_source_are_told_apart_as_recorded() {
    // S36 to S41, S47, S48, S158 to S161: operations, status, code, the source's own answer; errno, and whether it changed.
    let unverified = "CannotVerifyCopySource";
    let cases = [
        (412, unverified, None, libc::ESTALE, true),
        (304, unverified, None, libc::ESTALE, true),
        (412, "SourceConditionNotMet", None, libc::ESTALE, true),
        (409, unverified, Some(("409", "PublicAccessNotPermitted")), libc::EACCES, false),
        (401, unverified, Some(("401", "NoAuthenticationInformation")), libc::EACCES, false),
        (409, unverified, Some(("409", "BlobArchived")), libc::ENODATA, false),
    ];
    for (status, code, source, errno, changed) in cases {
        let mut headers = vec![("x-ms-error-code", code.to_owned())];
        if let Some((status, code)) = source {
            headers.push(("x-ms-copy-source-status-code", status.to_owned()));
            headers.push(("x-ms-copy-source-error-code", code.to_owned()));
        }
        let refusal = || Reply::Answer(status, headers.clone(), "");
        let server = Scripted::play(vec![refusal(), refusal(), refusal(), refusal()]).await;
        let source = CopySource::new(SOURCE);
        let (etag, settings, options) = (ETag::new("0x8C"), BlobSettings::default(), WriteOptions::default());
        let range = SourceRange { source: &source, range: 0..512, if_match: Some(&etag) };
        let whole = WholeSource { source: &source, if_match: Some(&etag), size: Some(512) };
        let id = BlockId::new("QQ==");
        let errors = [
            server.blob().block_blob().stage_block_from_url(&id, &range, None).await.unwrap_err(),
            server.blob().append_blob().append_block_from_url(0, &range, &options).await.unwrap_err(),
            server.blob().page_blob().upload_pages_from_url(0, &range, &options).await.unwrap_err(),
            server.blob().block_blob().upload_from_url(&whole, &settings, &options).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!((error.errno(), error.is_of_another_source()), (errno, changed), "{error}");
            assert!(error.is_about_the_source() && !error.is_not_found(), "{error}");
        }
    }
}

/// A place that has a SAS with that signature.
struct Place(Arc<Mutex<&'static str>>);

impl ReadCredential for Place {
    fn read(&self) -> BoxFuture<'_, Found> {
        let signature = *self.0.lock().unwrap();
        async move { Found { credential: Ok(signed(signature)), made: false } }.boxed()
    }
}

fn signed(signature: &str) -> Credential {
    Credential::sas(&format!("sv=1&sig={signature}").as_str().into()).unwrap()
}

/// A client of another account whose credential is the SAS with signature `old`, and its place, which has `new`.
fn renewable() -> (Client, CredentialSource) {
    let endpoint = Some("http://127.0.0.1:1/other".to_owned());
    let sas = Some("sv=1&sig=old".into());
    let account = AccountConfig { endpoint, sas, ..Default::default() }.resolve().unwrap();
    let place = Place(Arc::new(Mutex::new("new")));
    let source = CredentialSource::new(account.name.clone(), Some(signed("old")), place);
    (Client::new(Account { source: Some(source.clone()), ..account }, Http::new(Options::default())), source)
}

/// Signatures of the sources that were named.
fn sources(server: &Scripted) -> Vec<String> {
    let of = |asked: &Asked| asked.header("x-ms-copy-source").unwrap().rsplit_once("sig=").unwrap().1.to_owned();
    server.asked().iter().map(of).collect()
}

fn unverified(headers: &[(&'static str, &str)]) -> Reply {
    let mut all = vec![("x-ms-error-code", "CannotVerifyCopySource".to_owned())];
    all.extend(headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Reply::Answer(403, all, "")
}

const OF_THE_SOURCE: [(&str, &str); 2] =
    [("x-ms-copy-source-status-code", "403"), ("x-ms-copy-source-error-code", "AuthenticationFailed")];

#[tokio::test]
async fn a_source_that_is_refused_is_named_with_the_credential_that_its_account_has_by_then() {
    for refusal in [&OF_THE_SOURCE[..], &[]] {
        let server = Scripted::play(vec![unverified(refusal), started("1")]).await;
        let (other, _) = renewable();
        let source = other.blob(&path()).copy_source(&server.client, LONG_AGO).await.unwrap();
        server.blob().start_copy(&CopyRequest { source, ..if_absent() }).await.unwrap();
        assert_eq!(sources(&server), ["old", "new"]);
    }
    // Blocks from a URL, too; and where there is no other credential, the refusal stays.
    let server = Scripted::play(vec![unverified(&OF_THE_SOURCE), done(201, &[]), unverified(&OF_THE_SOURCE)]).await;
    let (other, _) = renewable();
    let id = BlockId::new("AAAA");
    for expected in [true, false] {
        let source = other.blob(&path()).block_source(&server.client, LONG_AGO).await.unwrap();
        let range = SourceRange { source: &source, range: 0..5, if_match: None };
        let done = server.blob().block_blob().stage_block_from_url(&id, &range, None).await;
        assert_eq!(done.is_ok(), expected);
    }
    assert_eq!(sources(&server), ["old", "new", "new"]);
}

#[tokio::test]
async fn a_source_is_named_with_the_credential_of_the_moment_in_which_it_is_asked_for() {
    let server = Scripted::play(vec![refuse(503, "ServerBusy"), started("1")]).await;
    let (other, place) = renewable();
    let source = other.blob(&path()).copy_source(&server.client, LONG_AGO).await.unwrap();
    // Somebody says so between the URL and the request, as by SIGHUP.
    assert_eq!(place.read_again().await, Reread::Changed);
    server.blob().start_copy(&CopyRequest { source, ..if_absent() }).await.unwrap();
    assert_eq!(sources(&server), ["new", "new"]);
}

#[tokio::test]
async fn what_another_credential_does_not_mend_asks_for_none() {
    for (status, code) in [("404", "BlobNotFound"), ("409", "PublicAccessNotPermitted"), ("412", "ConditionNotMet")] {
        let refusal = [("x-ms-copy-source-status-code", status), ("x-ms-copy-source-error-code", code)];
        let server = Scripted::play(vec![unverified(&refusal)]).await;
        let (other, place) = renewable();
        let source = other.blob(&path()).copy_source(&server.client, LONG_AGO).await.unwrap();
        server.blob().start_copy(&CopyRequest { source, ..if_absent() }).await.unwrap_err();
        assert_eq!(sources(&server), ["old"], "{code}");
        assert!(
            place.current().is_some_and(|now| matches!(&*now, Credential::Sas(sas) if sas.expose().ends_with("old")))
        );
    }
}
