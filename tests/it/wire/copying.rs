//! Promises about copies inside the service.

use std::time::Duration;

use blobcp::store::*;
use bytes::Bytes;

use super::{Backend, metadata, request, settings};
use crate::common::answer;

pub async fn a_copy_within_an_account_is_complete_on_return(b: &Backend) {
    // C1, C15, C24, C27, C32 to C38
    let source = b.put("a", "hello world").await;
    let destination = b.blob("copy of a");
    let started = b.copy(&source, &destination).await.unwrap();
    assert_eq!(started.status, CopyStatus::Success);
    let found = b.client.blob(&destination).properties().await.unwrap();
    assert_eq!((&found.etag, found.last_modified), (&started.etag, started.last_modified));
    assert_eq!(found.size, 11);
    let copy = found.copy.unwrap();
    assert_eq!((copy.id, copy.status), (started.id, CopyStatus::Success));
    assert_eq!((copy.bytes_copied, copy.total_bytes), (11, 11));
    assert_eq!(copy.source, Some(b.client.blob(&source).url()));
    assert!(copy.completion_time.is_some());
    assert_eq!(b.read(&destination).await, "hello world");
}

pub async fn a_copy_carries_properties_and_metadata(b: &Backend) {
    // C14, X3, X4
    let source = b.blob("a");
    let blocks = b.client.blob(&source).block_blob();
    blocks.upload(Bytes::from_static(b"hello"), &settings(), &WriteOptions::default()).await.unwrap();
    b.client.blob(&source).set_tags(&[("k".into(), "v".into())]).await.unwrap();
    let destination = b.blob("b");
    b.copy(&source, &destination).await.unwrap();
    let (from, to) =
        (b.client.blob(&source).properties().await.unwrap(), b.client.blob(&destination).properties().await.unwrap());
    assert_eq!((to.size, to.headers, to.metadata), (from.size, from.headers, from.metadata));
    assert!(b.client.blob(&destination).tags().await.unwrap().is_empty());
}

pub async fn a_copy_may_set_its_own_metadata(b: &Backend) {
    // X3, C18
    let source = b.blob("a");
    let blocks = b.client.blob(&source).block_blob();
    blocks.upload(Bytes::from_static(b"hello"), &settings(), &WriteOptions::default()).await.unwrap();
    let own = metadata(&[("new", "1")]);
    for destination in [b.blob("b"), source.clone()] {
        let request = CopyRequest { metadata: Some(own.clone()), ..b.copy_of(&source, None).await };
        b.client.blob(&destination).start_copy(&request).await.unwrap();
        assert_eq!(b.client.blob(&destination).properties().await.unwrap().metadata, own);
    }
}

pub async fn a_copy_can_refuse_to_overwrite(b: &Backend) {
    // C8, C16, X7
    let (source, destination) = (b.put("a", "new").await, b.put("b", "old").await);
    let copy = async |precondition| {
        b.client.blob(&destination).start_copy(&CopyRequest { precondition, ..b.copy_of(&source, None).await }).await
    };
    for unmet in [Precondition::IfAbsent, Precondition::IfMatch(ETag::new("0x1"))] {
        let error = copy(unmet).await.unwrap_err();
        assert!(error.is_precondition_failed(), "{error}");
    }
    assert_eq!(b.read(&destination).await, "old");
    let etag = b.client.blob(&destination).properties().await.unwrap().etag;
    copy(Precondition::IfMatch(etag)).await.unwrap();
    assert_eq!(b.read(&destination).await, "new");
}

pub async fn a_source_that_changed_is_told_from_a_destination_that_did(b: &Backend) {
    // X7
    let source = b.put("a", "new").await;
    let request = CopyRequest { source_if_match: Some(ETag::new("0x1")), ..b.copy_of(&source, None).await };
    let error = b.client.blob(&b.blob("b")).start_copy(&request).await.unwrap_err();
    assert_eq!((error.status(), error.code()), (412, "SourceConditionNotMet"));
    assert!(b.client.blob(&b.blob("b")).properties().await.unwrap_err().is_not_found());
}

pub async fn a_missing_source_starts_no_copy(b: &Backend) {
    // C30, X20
    b.client
        .blob(&b.blob("uncommitted"))
        .block_blob()
        .stage_block(&BlockId::new("MDE="), Bytes::from_static(b"x"))
        .await
        .unwrap();
    for name in ["missing", "uncommitted"] {
        let error = b.copy(&b.blob(name), &b.blob("b")).await.unwrap_err();
        assert_eq!(error.errno(), libc::ENOENT, "{error}");
        assert!(b.client.blob(&b.blob("b")).properties().await.unwrap_err().is_not_found());
    }
}

pub async fn an_append_blob_is_copied_as_one(b: &Backend) {
    // C4
    let source = b.put_append_blob("log", "line").await;
    // As cp asks for it and as others do, which comes to the same where nothing is sealed (S9, S11).
    for (name, seal) in [("copy", None), ("open copy", Some(false))] {
        let destination = b.blob(name);
        b.client.blob(&destination).start_copy(&CopyRequest { seal, ..b.copy_of(&source, None).await }).await.unwrap();
        let found = b.client.blob(&destination).properties().await.unwrap();
        assert_eq!((found.blob_type, found.committed_block_count, found.size), (BlobType::Append, Some(1), 4));
        assert!(!found.sealed);
        assert_eq!(b.read(&destination).await, "line");
    }
}

pub async fn a_page_blob_is_copied_as_one(b: &Backend) {
    // C5
    let source = b.blob("disk");
    let headers =
        [("x-ms-blob-type", "PageBlob"), ("x-ms-blob-content-length", "1024"), ("x-ms-blob-sequence-number", "7")];
    b.raw_put(&source, "", &headers, "").await;
    let destination = b.blob("copy");
    b.copy(&source, &destination).await.unwrap();
    let found = b.client.blob(&destination).properties().await.unwrap();
    assert_eq!((found.blob_type, found.size, found.sequence_number), (BlobType::Page, 1024, Some(7)));
}

pub async fn a_copy_onto_another_type_is_refused(b: &Backend) {
    // C7
    let (source, destination) = (b.put("a", "x").await, b.put_append_blob("log", "line").await);
    let error = b.copy(&source, &destination).await.unwrap_err();
    assert_eq!((error.status(), error.code()), (409, "InvalidBlobType"));
    assert_eq!(b.read(&destination).await, "line");
}

pub async fn a_snapshot_is_promoted_and_copied_elsewhere(b: &Backend) {
    // C6, C22, C23, X18
    let blob = b.put("a", "old").await;
    let snapshot = b.client.blob(&blob).create_snapshot().await.unwrap();
    b.put("a", "new").await;
    assert_eq!(b.client.blob(&blob).at(&snapshot).download(..).await.unwrap().bytes, "old");
    assert_eq!(b.client.blob(&blob).at(&snapshot).properties().await.unwrap().size, 3);

    let elsewhere = b.blob("elsewhere");
    b.client.blob(&elsewhere).start_copy(&b.copy_of(&blob, Some(&snapshot)).await).await.unwrap();
    assert_eq!(b.read(&elsewhere).await, "old");
    b.client.blob(&elsewhere).set_metadata(&metadata(&[("k", "v")]), &WriteOptions::default()).await.unwrap();

    b.client.blob(&blob).start_copy(&b.copy_of(&blob, Some(&snapshot)).await).await.unwrap();
    assert_eq!(b.read(&blob).await, "old");
    assert!(b.client.blob(&blob).at(&snapshot).properties().await.is_ok());
}

pub async fn a_snapshot_is_no_destination(b: &Backend) {
    // X19
    let blob = b.put("a", "old").await;
    let snapshot = b.client.blob(&blob).create_snapshot().await.unwrap();
    let source = b.put("b", "other").await;
    let query = format!("snapshot={}&", snapshot.moment().as_str().replace(':', "%3A"));
    let url = b.client.blob(&source).url();
    let answer = b.raw(&blob, &query, &[("x-ms-copy-source", url.as_str())], "").await;
    assert!((400..500).contains(&answer.status().as_u16()), "{answer:?}");
    assert_eq!(b.read(&blob).await, "old");
    assert_eq!(b.client.blob(&blob).at(&snapshot).download(..).await.unwrap().bytes, "old");
}

pub async fn a_version_is_promoted_and_copied_elsewhere(b: &Backend) {
    // X22
    let blob = b.put("a", "old").await;
    let Some(first) = b.client.blob(&blob).properties().await.unwrap().version_id else {
        return println!("not run: the account keeps no versions");
    };
    let first = Revision::Version(Moment::parse(&first).unwrap());
    b.put("a", "new").await;
    let found = b.client.blob(&blob).at(&first).properties().await.unwrap();
    assert_eq!((found.size, found.is_current_version), (3, false));
    assert_eq!(b.client.blob(&blob).at(&first).download(..).await.unwrap().bytes, "old");
    b.client.blob(&blob).set_metadata(&metadata(&[("k", "v")]), &WriteOptions::default()).await.unwrap();

    // Every write and copy has left one; the current one is told from them.
    b.client.blob(&blob).start_copy(&b.copy_of(&blob, Some(&first)).await).await.unwrap();
    assert_eq!(b.read(&blob).await, "old");
    assert!(b.client.blob(&blob).properties().await.unwrap().is_current_version);
    let list = ListBlobs { versions: true, ..Default::default() };
    let rows = b.client.container(&b.container).list_blobs(&list).await.unwrap().items;
    let earlier: Vec<_> = rows.iter().filter_map(|row| row.revision.clone()).collect();
    assert_eq!((rows.len(), earlier.len()), (4, 3));
    assert_eq!(earlier[0], first);

    b.client.blob(&b.blob("elsewhere")).start_copy(&b.copy_of(&blob, Some(&first)).await).await.unwrap();
    assert_eq!(b.read(&b.blob("elsewhere")).await, "old");
    if let Some(other) = &b.other {
        let with_sas = b.client.blob(&blob).at(&first).copy_source(other, Duration::from_secs(600)).await.unwrap();
        other.blob(&blob).start_copy(&request(with_sas)).await.unwrap();
    }

    // A deleted blob has its versions; one is deleted for itself.
    b.client.blob(&blob).delete(&DeleteOptions::default()).await.unwrap();
    assert!(b.client.blob(&blob).properties().await.unwrap_err().is_not_found());
    assert_eq!(b.client.blob(&blob).at(&first).download(..).await.unwrap().bytes, "old");
    b.client.blob(&blob).at(&first).delete(&DeleteOptions::default()).await.unwrap();
    assert!(b.client.blob(&blob).at(&first).properties().await.unwrap_err().is_not_found());
    assert_eq!(b.names(&ListBlobs { prefix: "a", versions: true, ..Default::default() }).await.len(), 3);
}

pub async fn a_copy_onto_itself_replaces_metadata(b: &Backend) {
    // C17, C18, X3
    let blob = b.blob("a");
    let blocks = b.client.blob(&blob).block_blob();
    blocks.upload(Bytes::from_static(b"text"), &settings(), &WriteOptions::default()).await.unwrap();
    let before = b.client.blob(&blob).properties().await.unwrap();
    b.copy(&blob, &blob).await.unwrap();
    let kept = b.client.blob(&blob).properties().await.unwrap();
    assert_eq!((&kept.metadata, &kept.headers), (&before.metadata, &before.headers));
    assert_ne!(kept.etag, before.etag);
    let own = metadata(&[("new", "1")]);
    let request = CopyRequest { metadata: Some(own.clone()), ..b.copy_of(&blob, None).await };
    b.client.blob(&blob).start_copy(&request).await.unwrap();
    assert_eq!(b.client.blob(&blob).properties().await.unwrap().metadata, own);
    assert_eq!(b.read(&blob).await, "text");
}

pub async fn a_copy_onto_itself_drops_uncommitted_blocks(b: &Backend) {
    // C17
    let blob = b.put("a", "text").await;
    let id = BlockId::new("MDE=");
    let wanted = [BlockRef::Uncommitted(id.clone())];
    b.client.blob(&blob).block_blob().stage_block(&id, Bytes::from_static(b"never")).await.unwrap();
    b.copy(&blob, &blob).await.unwrap();
    let settings = BlobSettings::default();
    let blocks = b.client.blob(&blob).block_blob();
    let error = blocks.commit_block_list(&wanted, &settings, &WriteOptions::default()).await.unwrap_err();
    assert_eq!(error.code(), "InvalidBlockList");
    assert_eq!(b.read(&blob).await, "text");
}

pub async fn a_copy_may_be_of_the_first_block_blob_of_a_listing(b: &Backend) {
    // C3, C26, C28, C29
    b.put_append_blob("a log", "line").await;
    b.put("b", "block blob").await;
    b.put("c", "another").await;
    let rows = b.client.container(&b.container).list_blobs(&ListBlobs::default()).await.unwrap().items;
    let first = rows.iter().find(|row| row.properties.blob_type == BlobType::Block).unwrap();
    let source = b.blob(first.name.as_str());
    let destination = b.blob(&format!("{}-{}", uuid::Uuid::new_v4(), first.name));
    let started = b.copy(&source, &destination).await.unwrap();
    // What the samples take from the answer is what the destination says.
    let found = b.client.blob(&destination).properties().await.unwrap();
    let copy = found.copy.unwrap();
    assert_eq!((started.id, started.status), (copy.id, copy.status));
    assert_eq!((started.etag, started.last_modified), (found.etag, found.last_modified));
    assert_eq!((found.blob_type, found.size), (BlobType::Block, 10));
    assert_eq!(b.read(&destination).await, "block blob");
}

pub async fn a_copy_may_set_tier_and_tags(b: &Backend) {
    // X4
    let (source, destination) = (b.put("a", "text").await, b.blob("b"));
    let tags: Tags = vec![("k".into(), "v w".into())];
    b.client.blob(&source).set_tags(&[("other".into(), "1".into())]).await.unwrap();
    let request = CopyRequest { tier: Some("Cool".into()), tags: tags.clone(), ..b.copy_of(&source, None).await };
    b.client.blob(&destination).start_copy(&request).await.unwrap();
    assert_eq!(b.client.blob(&destination).tags().await.unwrap(), tags);
    assert_eq!(b.client.blob(&destination).properties().await.unwrap().tier.as_deref(), Some("Cool"));
}

pub async fn an_archived_source_needs_a_tier(b: &Backend) {
    // X21
    let (source, destination) = (b.put("a", "text").await, b.blob("b"));
    b.client.blob(&source).set_tier("Archive", None).await.unwrap();
    let error = b.copy(&source, &destination).await.unwrap_err();
    assert_eq!((error.code(), error.errno()), ("BlobArchived", libc::ENODATA));
    assert!(b.client.blob(&destination).properties().await.unwrap_err().is_not_found());
    let request = CopyRequest { tier: Some("Hot".into()), ..b.copy_of(&source, None).await };
    let started = b.client.blob(&destination).start_copy(&request).await.unwrap();
    // Azurite is done at once; elsewhere it takes hours.
    assert!([CopyStatus::Pending, CopyStatus::Success].contains(&started.status));
    if started.status == CopyStatus::Pending {
        b.client.blob(&destination).abort_copy(&started.id, &AbortOptions::default()).await.unwrap();
    }
}

pub async fn an_archived_destination_refuses(b: &Backend) {
    // X21
    let (source, destination) = (b.put("a", "new").await, b.put("b", "archived").await);
    b.client.blob(&destination).set_tier("Archive", None).await.unwrap();
    let error = b.copy(&source, &destination).await.unwrap_err();
    assert_eq!((error.status(), error.code(), error.errno()), (409, "BlobArchived", libc::ENODATA));
    assert_eq!(b.client.blob(&destination).properties().await.unwrap().size, 8);
}

pub async fn an_append_copy_takes_over_the_seal_unless_it_is_told(b: &Backend) {
    // X23, S8 to S11
    let (open, sealed) = (b.put_append_blob("open", "line").await, b.put_append_blob("sealed", "line").await);
    assert_eq!(b.raw(&sealed, "comp=seal&", &[], "").await.status(), 200);
    assert!(b.client.blob(&sealed).properties().await.unwrap().sealed);
    for (source, seal, is_sealed) in [
        (&sealed, None, true),
        (&sealed, Some(false), false),
        (&sealed, Some(true), true),
        (&open, None, false),
        (&open, Some(false), false),
        (&open, Some(true), true),
    ] {
        let destination = b.blob(&format!("{} {seal:?}", source.name));
        b.client.blob(&destination).start_copy(&CopyRequest { seal, ..b.copy_of(source, None).await }).await.unwrap();
        assert_eq!(b.client.blob(&destination).properties().await.unwrap().sealed, is_sealed, "{destination}");
        let status = b.raw(&destination, "comp=appendblock&", &[], "more").await.status();
        assert_eq!(status.as_u16(), if is_sealed { 409 } else { 201 }, "{destination}");
    }
}

pub async fn a_copy_from_another_account_needs_a_sas(b: &Backend) {
    // C2, X2, X24
    let Some(other) = &b.other else { return println!("not run: there is no second account") };
    let source = b.put("a", "hello world").await;
    let snapshot = b.client.blob(&source).create_snapshot().await.unwrap();
    let destination = b.blob("from elsewhere");
    let plain = request(CopySource::new(b.client.blob(&source).url()));
    let error = other.blob(&destination).start_copy(&plain).await.unwrap_err();
    assert!([libc::EACCES, libc::ENOENT].contains(&error.errno()), "{error}");

    for revision in [None, Some(&snapshot)] {
        let with_sas = b.client.blob(&source).at(revision).copy_source(other, Duration::from_secs(600)).await.unwrap();
        let started = other.blob(&destination).start_copy(&request(with_sas)).await.unwrap();
        let look = async || {
            let found = other.blob(&destination).properties().await.unwrap();
            Some(found).filter(|found| found.copy.as_ref().is_some_and(|copy| copy.status != CopyStatus::Pending))
        };
        let found = answer("the end of the copy", look).await;
        let copy = found.copy.unwrap();
        assert_eq!((copy.id, copy.status, found.size), (started.id, CopyStatus::Success, 11));
        let shown = copy.source.unwrap();
        assert!(shown.starts_with(&b.client.blob(&source).url()) && !shown.contains("sig="), "{shown}");
    }
}

pub async fn a_concluded_copy_cannot_be_aborted(b: &Backend) {
    // C57, X11
    let (source, destination) = (b.put("a", "x").await, b.blob("b"));
    let started = b.copy(&source, &destination).await.unwrap();
    let error = b.client.blob(&destination).abort_copy(&started.id, &AbortOptions::default()).await.unwrap_err();
    assert_eq!((error.code(), error.errno()), ("NoPendingCopyOperation", libc::ENODATA));
    assert_eq!(b.read(&destination).await, "x");
    let error = b.client.blob(&b.blob("missing")).abort_copy(&started.id, &AbortOptions::default()).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
}

pub async fn a_range_is_copied_as_a_block(b: &Backend) {
    // X25
    let (source, destination) = (b.put("a", "hello world").await, b.blob("b"));
    let etag = b.client.blob(&source).properties().await.unwrap().etag;
    let url = b.client.blob(&source).block_source(&b.client, Duration::from_secs(600)).await.unwrap();
    let id = BlockId::new("MDE=");
    let blocks = b.client.blob(&destination).block_blob();
    blocks
        .stage_block_from_url(&id, &SourceRange { source: &url, range: 6..11, if_match: Some(&etag) }, None)
        .await
        .unwrap();
    let list = [BlockRef::Uncommitted(id.clone())];
    let blocks = b.client.blob(&destination).block_blob();
    blocks.commit_block_list(&list, &BlobSettings::default(), &WriteOptions::default()).await.unwrap();
    assert_eq!(b.read(&destination).await, "world");

    let other = ETag::new("0x1");
    let blocks = b.client.blob(&destination).block_blob();
    let error = blocks
        .stage_block_from_url(&id, &SourceRange { source: &url, range: 0..5, if_match: Some(&other) }, None)
        .await
        .unwrap_err();
    assert_eq!(error.errno(), libc::ESTALE, "{error}");
}
