//! The parsers of what a service answers, and of what a user says of an account, for fuzzing ([`crate::fuzz`]).

use std::collections::HashSet;
use std::pin::Pin;
use std::task::{Context, Waker};

use futures_util::FutureExt;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, ReadBuf};

use crate::error::Error;
use crate::store::body::{Described, Expected, Gathered, Part, Sink};
use crate::store::credential::Want;
use crate::store::endpoint::Endpoint;
use crate::store::headers::{self, AnswerHeaders};
use crate::store::listing;
use crate::store::request::refusal::service_error;
use crate::store::retry::retry_after;
use crate::store::spelling::{Names, Spelled, Spelling};
use crate::store::types::{CopyState, Revision, redact};
use crate::store::xml::Element;
use crate::store::{AccountConfig, Block, CopySource, Credential, ListBlobs, Moment, Secret, same_source};

/// Where listings begin in this target.
const PREFIX: &str = "dir/";

/// A copy's state shows nothing of a token.
fn check_copy(copy: Option<&CopyState>) {
    if let Some(source) = copy.and_then(|copy| copy.source.as_ref()) {
        check_redacted(source);
    }
}

fn check_redacted(url: &str) {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let is_shown = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default();
        pair.is_empty() || ["snapshot", "versionid"].iter().any(|known| name.eq_ignore_ascii_case(known))
    };
    assert!(query.split('&').all(is_shown), "{url}");
}

/// Listings of blobs, of what was deleted, and of containers. The first byte says what was asked for.
pub(crate) fn listings(data: &[u8]) {
    let Some((&asked, document)) = data.split_first() else { return };
    let Ok(root) = Element::parse(document) else { return };
    let has = |bit: u8| asked & bit != 0;
    let (prefix, hierarchical) = (if has(1) { PREFIX } else { "" }, has(2));
    let (snapshots, versions) = (has(4), has(8));
    let list = ListBlobs { prefix, hierarchical, snapshots, versions, ..ListBlobs::default() };
    let _ = listing::shows_directories(&root);
    if let Ok(page) = listing::blobs(&root, &list) {
        let mut met = HashSet::new();
        for item in &page.items {
            let name = item.name.as_str();
            assert!(name.starts_with(prefix), "{name:?} is not below what was asked for");
            assert!(!hierarchical || !name[prefix.len()..].contains('/'), "{name:?} is on another level");
            assert!(i64::try_from(item.properties.size).is_ok(), "no file has that size");
            assert!(met.insert((name, item.revision.clone())), "{name:?} twice");
            check_copy(item.properties.copy.as_ref());
        }
        assert!(page.prefixes.iter().all(|name| name.starts_with(prefix) && name.ends_with('/')));
    }
    if let Ok(page) = listing::deleted_blobs(&root, None) {
        assert!(page.items.iter().all(|item| i64::try_from(item.properties.size).is_ok()));
    }
    if let Ok(page) = listing::containers(&root) {
        let names: HashSet<_> = page.items.iter().map(|item| &item.name).collect();
        assert_eq!(names.len(), page.items.len());
    }
}

/// Block lists, page ranges and tags. The blocks, if it lists any.
pub(crate) fn documents(data: &[u8]) -> Option<Vec<Block>> {
    let root = Element::parse(data).ok()?;
    if let Some(ranges) = crate::store::page::parse_ranges(&root) {
        assert!(ranges.iter().all(|range| range.start < range.end), "{ranges:?}");
    }
    let _ = crate::store::tags::parse_tags(&root);
    let blocks = crate::store::block::parse_blocks(&root)?;
    assert!(blocks.iter().all(|block| i64::try_from(block.size).is_ok()));
    Some(blocks)
}

/// Lines of `NAME: VALUE`, and what is behind an empty line.
fn message(data: &[u8]) -> (HeaderMap, &[u8]) {
    let end = data.windows(2).position(|two| two == b"\n\n");
    let (head, body) = end.map_or((data, &[][..]), |end| (&data[..end], &data[end + 2..]));
    let line = |line: &[u8]| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        Some((HeaderName::from_bytes(&line[..colon]).ok()?, value))
    };
    (head.split(|byte| *byte == b'\n').filter_map(line).collect(), body)
}

/// Refusals: XML, JSON, and what headers say.
pub(crate) fn refusals(data: &[u8]) {
    let Some((&status, data)) = data.split_first() else { return };
    let (headers, body) = message(data);
    let status = 400 + u16::from(status);
    let error = service_error("CopyBlob", "acct/c/b", status, &headers, body);
    assert!(!error.message.contains('\n'), "{error:?}");
    let _ = (Want::after(&error), Want::after_source(&error));
    let _ = retry_after(&headers, std::time::UNIX_EPOCH);
    let error = Error::Service(Box::new(error));
    assert!(error.errno() > 0 && error.errno() != libc::ENOSYS, "{error}");
}

/// Headers of an answer, and its body as the range that was asked for.
pub(crate) fn headers(data: &[u8]) {
    let Some((&asked, data)) = data.split_first() else { return };
    let (headers, body) = message(data);
    let text = |name: &str| headers::text(&headers, name).unwrap_or_default();
    if let Some((range, total)) = headers::content_range(text("content-range")) {
        assert!(range.start < range.end && range.end <= total);
    }
    let _ = headers::total_of_range(&headers);
    let _ = (headers::content_length(&headers), headers::copy_progress(Some(text("x-ms-copy-progress"))));
    let _ = (headers::keeping(&headers), headers::date(&headers, "date"));
    let known = AnswerHeaders::new(headers.clone(), Names::default());
    let expected = || Expected { etag: None, revision: None, total: None };
    if let Some(properties) = headers::blob_properties(&known) {
        assert!(i64::try_from(properties.size).is_ok());
        check_copy(properties.copy.as_ref());
        let _ = Described(expected()).begin(200, &headers);
    }
    // Whatever comes, the bytes that are handed on are those of the range, in order and without a gap.
    let (start, len) = (u64::from(asked >> 4), u64::from(asked & 15) + 1);
    let range = (asked != 0).then_some(start..start + len);
    let (mut at, mut handed_on) = (range.as_ref().map_or(0, |range| range.start), 0);
    let mut part = Part::new(expected(), range.clone(), |offset, bytes: &[u8]| {
        assert_eq!(offset, at, "a gap");
        at += bytes.len() as u64;
        handed_on += bytes.len();
    });
    let status = if range.is_some() { 206 } else { 200 };
    if part.begin(status, &headers).is_ok() {
        let taken = body.chunks(3).all(|piece| part.part(bytes::Bytes::copy_from_slice(piece)).is_ok());
        let whole = taken && part.end().is_ok();
        drop(part);
        assert!(handed_on <= body.len() && range.is_none_or(|range| at <= range.end));
        assert!(!whole || handed_on == body.len());
    }
    let mut gathered = Gathered::of_at_most(8);
    let taken = gathered.take(body);
    assert!(gathered.freeze().len() <= 8 || !taken);
}

/// Heads of HTTP messages as they come over a connection, in pieces of a length that the first byte says.
pub(crate) fn spelling(data: &[u8]) {
    let Some((&piece, data)) = data.split_first() else { return };
    let spelling = Spelling::default();
    let names: Names = ["Color", "isFolder"].into_iter().collect();
    spelling.begin(&names, &Default::default());
    let mut connection = Spelled::new(std::io::Cursor::new(data.to_vec()), spelling.clone());
    let mut context = Context::from_waker(Waker::noop());
    let mut room = vec![0; usize::from(piece) + 1];
    let mut read = Vec::new();
    loop {
        let mut buffer = ReadBuf::new(&mut room);
        let polled = Pin::new(&mut connection).poll_read(&mut context, &mut buffer);
        assert!(polled.is_ready());
        if buffer.filled().is_empty() {
            break;
        }
        read.extend_from_slice(buffer.filled());
    }
    assert_eq!(read, data, "bodies and heads pass untouched");
    let _ = spelling.answered();
    // A request: of its head, nothing changes but the case of letters.
    let spelling = Spelling::default();
    spelling.begin(&names, &Default::default());
    let mut connection = Spelled::new(std::io::Cursor::new(Vec::new()), spelling);
    for piece in data.chunks(room.len()) {
        let mut rest = piece;
        while !rest.is_empty() {
            let write = tokio::io::AsyncWriteExt::write(&mut connection, rest).now_or_never();
            let Some(Ok(written @ 1..)) = write else { return };
            rest = &rest[written..];
        }
    }
    let _ = tokio::io::AsyncWriteExt::flush(&mut connection).now_or_never();
    let sent = connection.into_inner().into_inner();
    assert!(sent.len() <= data.len() && sent.eq_ignore_ascii_case(&data[..sent.len()]));
}

/// Connection strings, SAS, keys, and what a vault's tool prints.
pub(crate) fn credentials(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let secret = Secret::new(text);
    for credential in [Credential::sas(&secret), Credential::printed(text)].into_iter().flatten() {
        let shown = format!("{credential} {credential:?}");
        assert!(!shown.contains("sig="), "{shown}");
        let _ = (credential.ends(), credential.permissions());
    }
    let config = AccountConfig { connection_string: Some(Secret::new(text)), ..Default::default() };
    match config.resolve() {
        Ok(account) => assert!(!format!("{account:?}").contains("sig="), "{account:?}"),
        Err(error) => assert_eq!(error.errno(), libc::EINVAL),
    }
}

/// URLs: of accounts, of blobs, and of sources of copies.
pub(crate) fn urls(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    check_redacted(&redact(text));
    let _ = same_source(text, "https://acct.blob.core.windows.net/c/b?sig=x");
    if let Ok(source) = CopySource::external(text) {
        check_redacted(&source.to_string());
        assert!(HeaderValue::from_str(source.expose()).is_ok());
        let _ = (source.is_signed(), source.is_azure_storage(), source.is_shared_file());
    }
    let Ok(parsed) = Endpoint::parse(text, None) else { return };
    let shown = parsed.endpoint.to_string();
    assert!(!shown.contains(['?', '#', '@']), "{shown}");
    // What it shows is the same endpoint.
    let again = Endpoint::parse(&shown, Some(&parsed.account));
    assert_eq!(again.map(|again| again.endpoint.to_string()), Ok(shown.clone()));
    if let Ok(url) = reqwest::Url::parse(&format!("{shown}/c/b")) {
        assert!(parsed.endpoint.path_in(&parsed.account, &url).is_some(), "{url} is in its own account");
    }
    let _ = Moment::parse(text).map(Revision::Snapshot);
}
