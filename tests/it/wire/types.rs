//! Promises about append and page blobs.

use std::time::Duration;

use blobcp::store::*;
use bytes::Bytes;

use super::{Backend, settings};

async fn append(b: &Backend, name: &str, position: u64, content: &'static str) -> blobcp::error::Result<Appended> {
    let body = Bytes::from_static(content.as_bytes());
    b.client.blob(&b.blob(name)).append_blob().append_block(position, body, &WriteOptions::default()).await
}

pub async fn blocks_are_appended_where_the_blob_ends(b: &Backend) {
    let log = b.blob("log");
    b.client.blob(&log).append_blob().create(&settings(), &Precondition::IfAbsent.into()).await.unwrap();
    let again =
        b.client.blob(&log).append_blob().create(&settings(), &Precondition::IfAbsent.into()).await.unwrap_err();
    assert!(again.is_precondition_failed(), "{again}");
    append(b, "log", 0, "one").await.unwrap();
    let appended = append(b, "log", 3, "two").await.unwrap();
    assert_eq!((appended.size, appended.blocks), (6, Some(2)));
    for elsewhere in [0, 3, 7] {
        let error = append(b, "log", elsewhere, "no").await.unwrap_err();
        assert_eq!((error.status(), error.code()), (412, "AppendPositionConditionNotMet"));
    }
    let found = b.client.blob(&log).properties().await.unwrap();
    assert_eq!((found.size, found.blob_type, found.committed_block_count), (6, BlobType::Append, Some(2)));
    assert_eq!((found.etag.clone(), found.last_modified), (appended.written.etag, appended.written.last_modified));
    assert_eq!(found.headers.content_type, settings().headers.content_type);
    assert_eq!(found.metadata, settings().metadata);
    assert_eq!(b.read(&log).await, "onetwo");
    let unmet = Precondition::IfMatch(ETag::new("0x1"));
    let error = b.client.blob(&log).append_blob().append_block(6, "no".into(), &unmet.into()).await.unwrap_err();
    assert!(error.is_precondition_failed(), "{error}");
    // In its place, an empty one.
    b.client.blob(&log).append_blob().create(&settings(), &Precondition::IfMatch(found.etag).into()).await.unwrap();
    let found = b.client.blob(&log).properties().await.unwrap();
    assert_eq!((found.size, found.committed_block_count.unwrap_or(0)), (0, 0));
}

pub async fn a_range_is_appended_from_a_url(b: &Backend) {
    let source = b.put("source", "0123456789").await;
    let log = b.blob("log");
    b.client.blob(&log).append_blob().create(&settings(), &WriteOptions::default()).await.unwrap();
    let url = b.client.blob(&source).block_source(&b.client, Duration::from_secs(600)).await.unwrap();
    let etag = b.client.blob(&source).properties().await.unwrap().etag;
    let copy = async |position, etag: &ETag| {
        b.client
            .blob(&log)
            .append_blob()
            .append_block_from_url(
                position,
                &SourceRange { source: &url, range: 2..6, if_match: Some(etag) },
                &WriteOptions::default(),
            )
            .await
    };
    assert_eq!(copy(0, &etag).await.unwrap().size, 4);
    assert_eq!(copy(0, &etag).await.unwrap_err().code(), "AppendPositionConditionNotMet");
    assert_eq!(copy(4, &ETag::new("0x1")).await.unwrap_err().status(), 412);
    assert_eq!(b.read(&log).await, "2345");
}

/// Only block blobs have tiers that anybody may choose.
fn untiered() -> BlobSettings {
    BlobSettings { tier: None, ..settings() }
}

async fn disk(b: &Backend, size: u64) -> (blobcp::path::BlobPath, WriteOptions) {
    let disk = b.blob("disk");
    let written =
        b.client.blob(&disk).page_blob().create(size, &untiered(), &Precondition::IfAbsent.into()).await.unwrap();
    (disk, Precondition::IfMatch(written.etag).into())
}

/// Starts and ends of what has been written.
async fn ranges(b: &Backend, disk: &blobcp::path::BlobPath, etag: &ETag) -> Vec<(u64, u64)> {
    let of = BlobProperties { etag: etag.clone(), ..b.client.blob(disk).properties().await.unwrap() };
    let ranges = b.client.blob(disk).page_blob().page_ranges(&of).await.unwrap();
    ranges.into_iter().map(|range| (range.start, range.end)).collect()
}

pub async fn pages_are_written_cleared_and_listed(b: &Backend) {
    let (disk, new) = disk(b, 1 << 20).await;
    let written =
        b.client.blob(&disk).page_blob().upload_pages(1024, Bytes::from_static(&[7; 1024]), &new).await.unwrap();
    let error =
        b.client.blob(&disk).page_blob().upload_pages(0, Bytes::from_static(&[8; 512]), &new).await.unwrap_err();
    assert!(error.is_precondition_failed(), "{error}");
    let now = Precondition::IfMatch(written.etag.clone()).into();
    let written =
        b.client.blob(&disk).page_blob().upload_pages(8192, Bytes::from_static(&[7; 512]), &now).await.unwrap();
    assert_eq!(ranges(b, &disk, &written.etag).await, [(1024, 2048), (8192, 8704)]);
    let of = BlobProperties { etag: ETag::new("0x1"), ..b.client.blob(&disk).properties().await.unwrap() };
    let stale = b.client.blob(&disk).page_blob().page_ranges(&of).await.unwrap_err();
    assert!(stale.is_precondition_failed(), "{stale}");
    let now = Precondition::IfMatch(written.etag).into();
    let written = b.client.blob(&disk).page_blob().clear_pages(1536..1 << 20, &now).await.unwrap();
    assert_eq!(ranges(b, &disk, &written.etag).await, [(1024, 1536)]);
    let found = b.client.blob(&disk).properties().await.unwrap();
    assert_eq!((found.size, found.blob_type, found.etag), (1 << 20, BlobType::Page, written.etag));
    assert_eq!(found.metadata, settings().metadata);
    let bytes = b.client.blob(&disk).download(1000..1600).await.unwrap().bytes;
    assert_eq!(bytes, [&[0; 24][..], &[7; 512], &[0; 64]].concat());
}

pub async fn a_page_blob_is_resized_and_keeps_its_headers(b: &Backend) {
    let (disk, new) = disk(b, 1024).await;
    let written = b.client.blob(&disk).page_blob().upload_pages(0, Bytes::from_static(&[7; 1024]), &new).await.unwrap();
    let headers = b.client.blob(&disk).properties().await.unwrap().headers;
    let mut now = Precondition::IfMatch(written.etag).into();
    for size in [512, 1 << 40, 0, 2048] {
        let written = b.client.blob(&disk).page_blob().resize(size, &headers, &now).await.unwrap();
        let found = b.client.blob(&disk).properties().await.unwrap();
        assert_eq!((found.size, &found.etag, &found.headers), (size, &written.etag, &headers));
        assert_eq!(found.metadata, settings().metadata);
        now = Precondition::IfMatch(written.etag).into();
    }
    // What was cut off does not come back.
    assert_eq!(b.read(&disk).await, vec![0; 2048]);
}

pub async fn a_lease_of_a_version_admits_the_writes_of_its_holder(b: &Backend) {
    let (disk, new) = disk(b, 4096).await;
    let Precondition::IfMatch(etag) = new.precondition.clone() else { unreachable!() };
    let lease = |etag: &ETag| {
        let (disk, unchanged) = (disk.clone(), Precondition::IfMatch(etag.clone()));
        async move {
            b.client
                .blob(&disk)
                .acquire_lease(&LeaseOptions {
                    id: None,
                    duration: Some(Duration::from_secs(60)),
                    precondition: unchanged,
                })
                .await
        }
    };
    let error = lease(&ETag::new("0x1")).await.unwrap_err();
    assert!(error.is_precondition_failed(), "{error}");
    let id = lease(&etag).await.unwrap();
    let guard = WriteOptions { lease: Some(id.clone()), ..WriteOptions::default() };
    let page = |byte| Bytes::from(vec![byte; 512]);
    b.client.blob(&disk).page_blob().upload_pages(0, page(1), &guard).await.unwrap();
    b.client.blob(&disk).page_blob().upload_pages(512, page(2), &guard).await.unwrap();
    b.client.blob(&disk).page_blob().clear_pages(0..512, &guard).await.unwrap();
    let headers = settings().headers;
    let written = b.client.blob(&disk).page_blob().resize(8192, &headers, &guard).await.unwrap();
    let error = b
        .client
        .blob(&disk)
        .page_blob()
        .upload_pages(0, page(3), &Precondition::IfMatch(written.etag).into())
        .await
        .unwrap_err();
    assert_eq!((error.code(), error.errno()), ("LeaseIdMissing", libc::EBUSY));
    b.client.blob(&disk).release_lease(&id).await.unwrap();
    let bytes = b.client.blob(&disk).download(0..1024).await.unwrap().bytes;
    assert_eq!(bytes, [vec![0; 512], vec![2; 512]].concat());
}

pub async fn pages_are_copied_from_a_url(b: &Backend) {
    let source = b.blob("source");
    let content: Vec<u8> = (0..2048).map(|at| (at / 512) as u8 + 1).collect();
    b.client.blob(&source).block_blob().upload(content.clone(), &settings(), &WriteOptions::default()).await.unwrap();
    let (disk, new) = disk(b, 4096).await;
    let url = b.client.blob(&source).block_source(&b.client, Duration::from_secs(600)).await.unwrap();
    let etag = b.client.blob(&source).properties().await.unwrap().etag;
    let written = b
        .client
        .blob(&disk)
        .page_blob()
        .upload_pages_from_url(1024, &SourceRange { source: &url, range: 512..1536, if_match: Some(&etag) }, &new)
        .await
        .unwrap();
    assert_eq!(ranges(b, &disk, &written.etag).await, [(1024, 2048)]);
    let now = Precondition::IfMatch(written.etag).into();
    let other = ETag::new("0x1");
    let error = b
        .client
        .blob(&disk)
        .page_blob()
        .upload_pages_from_url(0, &SourceRange { source: &url, range: 0..512, if_match: Some(&other) }, &now)
        .await
        .unwrap_err();
    assert_eq!(error.status(), 412);
    let bytes = b.client.blob(&disk).download(1024..2048).await.unwrap().bytes;
    assert_eq!(bytes, content[512..1536]);
}

pub async fn a_blob_of_another_type_takes_neither_pages_nor_blocks(b: &Backend) {
    let block = b.put("block", "hello").await;
    let etag = b.client.blob(&block).properties().await.unwrap().etag;
    let error = append(b, "block", 5, "x").await.unwrap_err();
    assert_eq!((error.code(), error.errno()), ("InvalidBlobType", libc::EOPNOTSUPP));
    let guard = Precondition::IfMatch(etag).into();
    let error =
        b.client.blob(&block).page_blob().upload_pages(0, Bytes::from_static(&[0; 512]), &guard).await.unwrap_err();
    assert_eq!((error.code(), error.errno()), ("InvalidBlobType", libc::EOPNOTSUPP));
    assert_eq!(b.read(&block).await, "hello");
}
