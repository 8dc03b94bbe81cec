//! The client against a server that lies: answers to other questions, bodies without end, listings that go round.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use rstest::rstest;

use super::headers::AnswerHeaders;
use super::scripted::{Reply, Scripted, modified, path, refuse};
use super::*;
use crate::error::{Error, Result};

const MIB: usize = 1 << 20;

/// What lies in the buffers of a connection when its reader goes away, and more.
const UNREAD: usize = 24 * MIB;

/// Headers of an answer about version 1 of a blob.
fn headers(given: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let Reply::Answer(_, mut headers, _) = modified(200, Duration::ZERO, given) else { unreachable!() };
    headers.retain(|(name, value)| *name != "etag" || value != "\"0x8D\"");
    if !headers.iter().any(|(name, _)| *name == "etag") {
        headers.push(("etag", "\"1\"".to_owned()));
    }
    headers.push(("x-ms-blob-type", "BlockBlob".to_owned()));
    headers
}

fn part(range: &str, body: &'static str) -> Reply {
    Reply::Answer(206, headers(&[("content-range", range)]), body)
}

/// A blob of eleven bytes, version 1.
fn hello_world() -> BlobProperties {
    let told = headers(&[("content-length", "11")]);
    let told = told.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
    let told = AnswerHeaders::new(told.collect(), spelling::Names::default());
    super::headers::blob_properties(&told).unwrap()
}

/// Reads the first five bytes; what was handed on.
async fn read(server: &Scripted) -> (Result<()>, Vec<u8>) {
    let handed_on = Arc::new(Mutex::new(Vec::new()));
    let log = handed_on.clone();
    let receive = move |_, bytes: &[u8]| log.lock().unwrap().extend_from_slice(bytes);
    let result = server.blob().download_into(0..5, &hello_world(), receive).await;
    let handed_on = handed_on.lock().unwrap().clone();
    (result, handed_on)
}

fn lie(which: &str) -> Reply {
    match which {
        "another range" => part("bytes 6-10/11", "world"),
        "another total" => part("bytes 0-4/5", "hello"),
        "a shorter range" => part("bytes 0-3/11", "hell"),
        "a longer range" => part("bytes 0-5/11", "hello "),
        "a body that is longer than its range" => part("bytes 0-4/11", "hello world"),
        "a body that is shorter than its range" => part("bytes 0-4/11", "hell"),
        "no range" => Reply::Answer(206, headers(&[]), "hello"),
        "many ranges" => {
            let kind = ("content-type", "multipart/byteranges; boundary=x");
            Reply::Answer(206, headers(&[kind]), "--x\r\ncontent-range: bytes 0-4/11\r\n\r\nhello\r\n--x--")
        }
        "all of it" => Reply::Answer(200, headers(&[]), "hello world"),
        "as much as is asked for, as all" => Reply::Answer(200, headers(&[]), "hello"),
        "another version" => {
            Reply::Answer(206, headers(&[("content-range", "bytes 0-4/11"), ("etag", "\"2\"")]), "hello")
        }
        "what a proxy made of it" => Reply::Answer(203, headers(&[("content-range", "bytes 0-4/11")]), "hello"),
        "another checksum" => {
            let told = [("content-range", "bytes 0-4/11"), ("x-ms-content-crc64", "AAAAAAAAAAA=")];
            Reply::Answer(206, headers(&told), "hello")
        }
        "more than was promised" => Reply::Endless(206, headers(&[("content-range", "bytes 0-4/11")])),
        other => unreachable!("{other}"),
    }
}

#[rstest]
#[case("another range")]
#[case("another total")]
#[case("a shorter range")]
#[case("a longer range")]
#[case("a body that is longer than its range")]
#[case("a body that is shorter than its range")]
#[case("no range")]
#[case("many ranges")]
#[case("all of it")]
#[case("as much as is asked for, as all")]
#[case("another version")]
#[case("what a proxy made of it")]
#[case("another checksum")]
#[case("more than was promised")]
#[tokio::test]
async fn what_was_not_asked_for_is_asked_for_again_and_never_handed_on(#[case] which: &str) {
    let server = Scripted::play(vec![lie(which), part("bytes 0-4/11", "hello")]).await;
    let (result, handed_on) = read(&server).await;
    result.unwrap();
    assert_eq!((handed_on.as_slice(), server.lines().len()), (&b"hello"[..], 2), "{which}");

    let server = Scripted::play(vec![lie(which), lie(which), lie(which)]).await;
    let (result, handed_on) = read(&server).await;
    let error = result.unwrap_err();
    assert_eq!((error.errno(), handed_on.len(), server.lines().len()), (libc::EIO, 0, 3), "{error}");
    assert!(error.to_string().contains("cannot be true"), "{error}");
}

#[tokio::test]
async fn properties_are_those_of_the_version_that_was_asked_for() {
    let etag = ETag::new("1");
    let of = |etag: &str| Reply::Answer(200, headers(&[("etag", etag), ("content-length", "0")]), "");
    let server = Scripted::play(vec![of("\"2\""), of("\"1\"")]).await;
    let nothing = ReadOptions { range: Some(3..3), if_match: Some(&etag) };
    assert_eq!(server.blob().download(nothing).await.unwrap().properties.etag, etag);
    let of_a_part = || Reply::Answer(206, headers(&[("content-range", "bytes 0-0/9")]), "");
    let server = Scripted::play(vec![of_a_part(), of_a_part(), of_a_part()]).await;
    assert_eq!(server.blob().properties().await.unwrap_err().errno(), libc::EIO);
    // An old version is asked for by its name.
    let revision = Revision::Version(Moment::parse("2026-01-01").unwrap());
    let other = || Reply::Answer(200, headers(&[("x-ms-version-id", "2026-02-02")]), "");
    let server = Scripted::play(vec![other(), other(), other()]).await;
    assert_eq!(server.blob().at(&revision).properties().await.unwrap_err().errno(), libc::EIO);
}

#[tokio::test]
async fn a_size_that_no_file_can_have_is_no_size() {
    for size in ["-1", "9223372036854775808", "many"] {
        let range = format!("bytes 0-4/{size}");
        let lie = || Reply::Answer(206, headers(&[("content-range", &range)]), "hello");
        let server = Scripted::play(vec![lie(), lie(), lie()]).await;
        assert_eq!(server.blob().download(0..5).await.unwrap_err().errno(), libc::EIO, "{size}");
    }
}

#[tokio::test]
async fn no_body_is_read_without_end() {
    let endless = |status| Reply::Endless(status, headers(&[("x-ms-error-code", "BlobNotFound")]));
    let thrice = || vec![endless(200), endless(200), endless(200)];
    let container = path().container;
    let bounded = |server: &Scripted, error: Error, most: usize| {
        assert_eq!(error.errno(), libc::EIO, "{error}");
        assert_eq!(server.lines().len(), 3, "{error}");
        assert!(server.sent() < 3 * (most + UNREAD), "{} bytes for {error}", server.sent());
    };
    let server = Scripted::play(thrice()).await;
    bounded(&server, server.blob().block_blob().block_list().await.unwrap_err(), body::MOST_OF_A_BLOCK_LIST);
    let server = Scripted::play(thrice()).await;
    bounded(&server, server.blob().tags().await.unwrap_err(), body::MOST);
    let server = Scripted::play(thrice()).await;
    bounded(&server, server.blob().block_blob().stage_block(&BlockId::new("MQ=="), "x").await.unwrap_err(), body::MOST);
    let server = Scripted::play(thrice()).await;
    let listed = server.client.container(&container).list_blobs(&ListBlobs::default()).await;
    bounded(&server, listed.unwrap_err(), body::MOST_OF_A_LISTING);
    // A refusal is one, however much is said about it.
    let server = Scripted::play(vec![endless(404)]).await;
    assert!(server.blob().tags().await.unwrap_err().is_not_found());
    assert!(server.sent() < UNREAD, "{}", server.sent());
}

#[tokio::test]
async fn a_head_of_an_answer_is_not_read_without_end() {
    let huge = || Reply::Answer(200, headers(&[("x-ms-meta-huge", &"x".repeat(8 * MIB))]), "");
    let server = Scripted::play(vec![huge(), huge(), huge()]).await;
    assert_eq!(server.blob().properties().await.unwrap_err().errno(), libc::EIO);
}

fn listing(body: &'static str) -> Reply {
    Reply::Answer(200, vec![], body)
}

#[tokio::test]
async fn a_page_of_what_was_deleted_may_be_as_long_as_any_other() {
    let row = |number: usize| {
        format!(
            "<Blob><Name>{number}</Name><Deleted>true</Deleted><Properties><Last-Modified>Mon, 30 Nov 2026 20:00:00 \
             GMT</Last-Modified><Etag>0x1</Etag><Content-Length>1</Content-Length><BlobType>BlockBlob</BlobType>\
             </Properties></Blob>"
        )
    };
    let rows: String = (0..5000).map(row).collect();
    assert!(rows.len() > body::MOST);
    let page = format!("<EnumerationResults><Blobs>{rows}</Blobs><NextMarker/></EnumerationResults>");
    let flat = Reply::Answer(200, vec![("x-ms-is-hns-enabled", "false".to_owned())], "");
    let server = Scripted::play(vec![flat, listing(page.leak())]).await;
    let page = server.client.container(&path().container).list_deleted("", None).await.unwrap();
    assert_eq!(page.items.len(), 5000);
}

#[tokio::test]
async fn a_read_behind_the_end_of_a_blob_that_has_it_is_a_lie() {
    for size in ["11", "4", "0"] {
        let end = Reply::Answer(416, headers(&[("x-ms-error-code", "InvalidRange")]), "");
        let head = Reply::Answer(200, headers(&[("content-length", size)]), "");
        let server = Scripted::play(vec![end, head]).await;
        let read = server.blob().download(5..9).await;
        assert_eq!(read.map_or(0, |read| read.bytes.len() + 1), if size == "11" { 0 } else { 1 }, "{size}");
    }
}

#[tokio::test]
async fn a_listing_that_goes_round_comes_to_an_end() {
    const ONE: &str = "<EnumerationResults><Blobs><Blob><Name>a</Name></Blob></Blobs><NextMarker>one</NextMarker></EnumerationResults>";
    const TWO: &str = "<EnumerationResults><Blobs><Blob><Name>b</Name></Blob></Blobs><NextMarker>two</NextMarker></EnumerationResults>";
    let container = path().container;
    for (script, good) in [([ONE, ONE, TWO], 1), ([TWO, ONE, TWO], 1), ([ONE, TWO, ONE], 2)] {
        let server = Scripted::play(script.map(listing).into()).await;
        let mut pages = server.client.container(&container).pages(ListBlobs::default());
        for _ in 0..good {
            assert_eq!(pages.next().await.unwrap().unwrap().items.len(), 1);
        }
        assert_eq!(pages.next().await.unwrap_err().errno(), libc::EIO, "{script:?}");
    }
}

#[tokio::test]
async fn blocks_are_as_long_as_the_blob() {
    const BLOCKS: &str = "<BlockList><CommittedBlocks><Block><Name>MQ==</Name><Size>3</Size></Block>\
        <Block><Name>Mg==</Name><Size>4</Size></Block></CommittedBlocks></BlockList>";
    for (length, sound) in [("7", true), ("8", false), ("-7", false)] {
        let server =
            Scripted::play(vec![Reply::Answer(200, headers(&[("x-ms-blob-content-length", length)]), BLOCKS)]).await;
        let blocks = server.blob().block_blob().block_list().await;
        assert_eq!(
            blocks.map(|(blocks, _)| blocks.len()).map_err(|error| error.errno()),
            match sound {
                true => Ok(2),
                false => Err(libc::EIO),
            }
        );
    }
}

#[tokio::test]
async fn page_ranges_come_in_their_order_and_to_an_end() {
    const SOUND: &str = "<PageList><PageRange><Start>0</Start><End>511</End></PageRange>\
        <PageRange><Start>1024</Start><End>1535</End></PageRange></PageList>";
    const ROUND: &str =
        "<PageList><PageRange><Start>0</Start><End>511</End></PageRange><NextMarker>a</NextMarker></PageList>";
    const EMPTY: &str = "<PageList><NextMarker>a</NextMarker></PageList>";
    const BEYOND: &str = "<PageList><PageRange><Start>0</Start><End>9223372036854775806</End></PageRange></PageList>";
    let of = BlobProperties { size: 2048, ..hello_world() };
    for (script, sound) in [(&[SOUND][..], true), (&[ROUND, ROUND], false), (&[EMPTY], false), (&[BEYOND], false)] {
        let answers = script.iter().map(|body| Reply::Answer(200, headers(&[]), body));
        let server = Scripted::play(answers.collect()).await;
        let ranges = server.blob().page_blob().page_ranges(&of).await;
        assert_eq!(ranges.is_ok(), sound, "{script:?}");
    }
    let other = Reply::Answer(200, headers(&[("etag", "\"2\"")]), SOUND);
    let server = Scripted::play(vec![other]).await;
    assert_eq!(server.blob().page_blob().page_ranges(&of).await.unwrap_err().errno(), libc::EIO);
    let server = Scripted::play(vec![refuse(412, "ConditionNotMet")]).await;
    assert!(server.blob().page_blob().page_ranges(&of).await.unwrap_err().is_precondition_failed());
}
