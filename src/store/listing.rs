//! Pages of List Containers and List Blobs, read from their XML.
//!
//! Servers differ in what they send and in which order (§7): rows are taken as they come, prefixes may stand between
//! blobs, and rows that say little (blobs never committed) have defaults. A row whose name this program cannot hold is
//! left out with a line in the log, because one odd name must not make a directory unreadable.

use std::time::SystemTime;

use tracing::warn;

use crate::path::{BlobName, ContainerName};
use crate::store::headers::{copy_progress, http_date};
use crate::store::types::*;
use crate::store::xml::Element;

pub(super) fn containers(root: &Element<'_>) -> Result<Page<ContainerItem>, String> {
    let mut items = Vec::new();
    for row in expect(root)?.children_of("Containers") {
        let name = row.value("Name").unwrap_or_default();
        let Ok(name) = ContainerName::parse(&name) else {
            warn!(name = name.as_ref(), "container left out of a listing: its name is not one this program can use");
            continue;
        };
        let empty = Element::default();
        let properties = row.child("Properties").unwrap_or(&empty);
        items.push(ContainerItem {
            name,
            last_modified: date(properties, "Last-Modified").unwrap_or(SystemTime::UNIX_EPOCH),
            etag: ETag::new(&properties.value("Etag").unwrap_or_default()),
            metadata: metadata(row),
            keeping: keeping(properties),
        });
    }
    Ok(Page { items, prefixes: Vec::new(), left_out: 0, next: owned(root, "NextMarker") })
}

/// `versions`: earlier versions were asked for.
pub(super) fn blobs(root: &Element<'_>, versions: bool) -> Result<Page<BlobItem>, String> {
    let mut page = Page { items: Vec::new(), prefixes: Vec::new(), left_out: 0, next: owned(root, "NextMarker") };
    for row in expect(root)?.children_of("Blobs") {
        let name = row.value("Name").unwrap_or_default();
        let parsed = BlobName::parse(&name);
        match (row.name.as_ref(), parsed) {
            ("Blob" | "BlobPrefix", Err(error)) => {
                warn!(name = name.as_ref(), "left out of a listing: {error}");
                page.left_out += 1;
            }
            ("BlobPrefix", Ok(_)) => page.prefixes.push(name.into_owned()),
            // Rows that are only listed on request; a server that sends them unasked must not confuse anyone.
            ("Blob", Ok(_)) if is_true(row, "Deleted") => {}
            ("Blob", Ok(_)) if !versions && row.value("IsCurrentVersion").is_some_and(|v| v == "false") => {}
            ("Blob", Ok(name)) => match revision(row, versions) {
                Ok(revision) => page.items.push(BlobItem { name, revision, properties: properties(row) }),
                Err(moment) => warn!(%name, moment, "left out of a listing: no moment of a snapshot or version"),
            },
            _ => {}
        }
    }
    Ok(page)
}

/// Whether a listing is of a namespace with directories, as far as it tells: an entry with a type is in one, a prefix that
/// is a name and nothing else is not (S171, S172).
pub(super) fn shows_directories(root: &Element<'_>) -> Option<bool> {
    let mut seen = None;
    for row in root.children_of("Blobs") {
        let properties = row.child("Properties");
        if properties.is_some_and(|properties| properties.value("ResourceType").is_some()) {
            return Some(true);
        }
        if row.name == "BlobPrefix" && properties.is_none() {
            seen = Some(false);
        }
    }
    seen
}

/// Blobs and paths that were deleted softly (S81), and nothing else of the page. Their snapshots come back with them.
pub(super) fn deleted_blobs(root: &Element<'_>) -> Result<Page<DeletedBlob>, String> {
    let mut page = Page { items: Vec::new(), prefixes: Vec::new(), left_out: 0, next: owned(root, "NextMarker") };
    for row in expect(root)?.children_of("Blobs").iter().filter(|row| is_true(row, "Deleted")) {
        if row.value("Snapshot").is_some() || row.value("VersionId").is_some() {
            continue;
        }
        match BlobName::parse(&row.value("Name").unwrap_or_default()) {
            Ok(name) => {
                let deletion = owned(row, "DeletionId").map(DeletionId);
                page.items.push(DeletedBlob { name, deletion, properties: properties(row) });
            }
            Err(_) => page.left_out += 1,
        }
    }
    Ok(page)
}

fn expect<'e, 'a>(root: &'e Element<'a>) -> Result<&'e Element<'a>, String> {
    (root.name == "EnumerationResults").then_some(root).ok_or_else(|| format!("a listing begins with {:?}", root.name))
}

/// Which past of a blob a row is about, if not about the blob itself. Only the current version is marked among
/// versions.
fn revision(row: &Element<'_>, versions: bool) -> Result<Option<Revision>, String> {
    let parse = |text: String, of: fn(Moment) -> Revision| Moment::parse(&text).map(of).ok_or(text).map(Some);
    match (owned(row, "Snapshot"), owned(row, "VersionId")) {
        (Some(snapshot), _) => parse(snapshot, Revision::Snapshot),
        (None, Some(version)) if versions && !is_true(row, "IsCurrentVersion") => parse(version, Revision::Version),
        _ => Ok(None),
    }
}

fn properties(row: &Element<'_>) -> BlobProperties {
    let empty = Element::default();
    let from = row.child("Properties").unwrap_or(&empty);
    BlobProperties {
        size: from.parsed("Content-Length").unwrap_or(0),
        etag: ETag::new(&from.value("Etag").unwrap_or_default()),
        last_modified: date(from, "Last-Modified").unwrap_or(SystemTime::UNIX_EPOCH),
        creation_time: date(from, "Creation-Time"),
        blob_type: from.value("BlobType").and_then(|name| BlobType::parse(&name)).unwrap_or(BlobType::Block),
        headers: ContentHeaders::read("Content-MD5", |name| owned(from, name)),
        metadata: metadata(row),
        tier: owned(from, "AccessTier"),
        tier_inferred: from.value("AccessTierInferred").as_deref() == Some("true"),
        archive_status: owned(from, "ArchiveStatus"),
        rehydrate_priority: owned(from, "RehydratePriority"),
        lease: LeaseProperties {
            state: owned(from, "LeaseState"),
            status: owned(from, "LeaseStatus"),
            duration: owned(from, "LeaseDuration"),
        },
        copy: copy_state(from),
        tag_count: from.parsed("TagCount").unwrap_or(0),
        sequence_number: from.parsed("x-ms-blob-sequence-number"),
        committed_block_count: None,
        sealed: is_true(from, "Sealed"),
        version_id: owned(row, "VersionId"),
        is_current_version: is_true(row, "IsCurrentVersion"),
        path: from.value("ResourceType").map(|kind| PathProperties {
            owner: owned(from, "Owner"),
            group: owned(from, "Group"),
            permissions: owned(from, "Permissions"),
            ..PathProperties::of_type(&kind)
        }),
        protection: Protection {
            until: date(from, "ImmutabilityPolicyUntilDate"),
            mode: owned(from, "ImmutabilityPolicyMode"),
            legal_hold: from.value("LegalHold").map(|hold| hold == "true"),
        },
    }
}

/// S191: what is asked about versions has had two names.
fn keeping(from: &Element<'_>) -> Keeping {
    let versions = ["ImmutableStorageWithVersioningEnabled", "VersionLevelWormEnabled"];
    Keeping::of(
        is_true(from, "HasImmutabilityPolicy"),
        is_true(from, "HasLegalHold"),
        versions.iter().any(|name| is_true(from, name)),
    )
}

fn copy_state(from: &Element<'_>) -> Option<CopyState> {
    let (bytes_copied, total_bytes) = copy_progress(from.value("CopyProgress").as_deref());
    Some(CopyState {
        id: CopyId::new(&from.value("CopyId")?),
        status: CopyStatus::parse(&from.value("CopyStatus")?)?,
        source: from.value("CopySource").map(|url| redact(&url)),
        bytes_copied,
        total_bytes,
        completion_time: date(from, "CopyCompletionTime"),
        description: owned(from, "CopyStatusDescription"),
    })
}

/// Names are element names, except those that XML cannot hold, which come as
/// `<x-ms-invalid-name>name</x-ms-invalid-name>` and without a value.
fn metadata(row: &Element<'_>) -> Metadata {
    let entries = row.children_of("Metadata").iter().map(|entry| match entry.name.as_ref() {
        "x-ms-invalid-name" => (entry.text.as_ref(), String::new()),
        name => (name, entry.text.as_ref().to_owned()),
    });
    entries.collect()
}

fn owned(from: &Element<'_>, name: &str) -> Option<String> {
    from.value(name).map(|value| value.into_owned())
}

fn date(from: &Element<'_>, name: &str) -> Option<SystemTime> {
    http_date(&from.value(name)?)
}

fn is_true(from: &Element<'_>, name: &str) -> bool {
    from.value(name).is_some_and(|value| value == "true")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blobs_of(document: &str) -> Page<BlobItem> {
        blobs(&Element::parse(document.as_bytes()).unwrap(), false).unwrap()
    }

    #[test]
    fn a_container_listing() {
        let document = r#"<?xml version="1.0" encoding="utf-8"?>
            <EnumerationResults ServiceEndpoint="http://127.0.0.1:10000/devstoreaccount1">
              <Prefix>p</Prefix><MaxResults>5000</MaxResults>
              <Containers>
                <Container><Name>spec</Name><Properties><Last-Modified>Mon, 01 Jan 2024 00:00:00 GMT</Last-Modified><Etag>"0x8D"</Etag>
                  <LeaseStatus>unlocked</LeaseStatus></Properties><Metadata><K>v</K></Metadata></Container>
                <Container><Name>$blobchangefeed</Name></Container>
              </Containers>
              <NextMarker>/acct/more</NextMarker>
            </EnumerationResults>"#;
        let page = containers(&Element::parse(document.as_bytes()).unwrap()).unwrap();
        assert_eq!(page.items.len(), 1);
        assert_eq!(page.items[0].name.as_str(), "spec");
        assert_eq!(page.items[0].etag.as_str(), "0x8D");
        assert_eq!(page.items[0].metadata.get("k"), Some("v"));
        assert_eq!(page.next.as_deref(), Some("/acct/more"));
    }

    #[test]
    fn blobs_and_prefixes_interleave_in_any_order() {
        let page = blobs_of(
            r#"<EnumerationResults ContainerName="c"><NextMarker/>
              <Blobs>
                <BlobPrefix><Name>dir/a/</Name></BlobPrefix>
                <Blob><Properties><BlobType>PageBlob</BlobType><Content-Length>512</Content-Length><Etag>0x8D</Etag>
                    <x-ms-blob-sequence-number>7</x-ms-blob-sequence-number><New><Deep/></New></Properties><Name>dir/b &amp; c</Name></Blob>
                <BlobPrefix><Properties><Etag>1</Etag></Properties><Name>dir/d/</Name></BlobPrefix>
                <Unknown/>
                <Blob><Name>dir/e</Name><Properties><BlobType>AppendBlob</BlobType><Sealed>true</Sealed></Properties></Blob>
              </Blobs></EnumerationResults>"#,
        );
        assert_eq!(page.prefixes, ["dir/a/", "dir/d/"]);
        assert_eq!(page.items.iter().map(|item| item.name.as_str()).collect::<Vec<_>>(), ["dir/b & c", "dir/e"]);
        let properties = &page.items[0].properties;
        assert_eq!((properties.blob_type, properties.size, properties.sequence_number), (BlobType::Page, 512, Some(7)));
        assert!(page.items[1].properties.sealed);
        assert_eq!(page.next, None);
    }

    #[test]
    fn every_property_of_a_row() {
        let page = blobs_of(
            r#"<EnumerationResults><Blobs><Blob>
                <Name>a</Name><Snapshot>2026-11-22T10:26:38.5720000Z</Snapshot><VersionId>v1</VersionId>
                <Properties>
                  <Creation-Time>Mon, 01 Jan 2024 00:00:00 GMT</Creation-Time><Last-Modified>Mon, 01 Jan 2024 00:00:01 GMT</Last-Modified>
                  <Etag>0x8D</Etag><Content-Length>11</Content-Length><Content-Type>text/plain</Content-Type><Content-Encoding>gzip</Content-Encoding>
                  <Content-Language>en</Content-Language><Content-CRC64/><Content-MD5>bWQ1</Content-MD5><Cache-Control>no-cache</Cache-Control>
                  <Content-Disposition>inline</Content-Disposition><BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier>
                  <ArchiveStatus>rehydrate-pending-to-hot</ArchiveStatus><LeaseStatus>locked</LeaseStatus><LeaseState>leased</LeaseState>
                  <LeaseDuration>infinite</LeaseDuration><CopyId>id</CopyId><CopyStatus>failed</CopyStatus>
                  <CopySource>http://h/a/c/s?sv=1&amp;sig=SeCrEt</CopySource><CopyProgress>3/11</CopyProgress>
                  <CopyCompletionTime>Mon, 01 Jan 2024 00:00:02 GMT</CopyCompletionTime>
                  <CopyStatusDescription>404 ResourceNotFound "gone"</CopyStatusDescription><TagCount>2</TagCount>
                </Properties>
                <Metadata><Color>blue</Color><x-ms-invalid-name>a-b</x-ms-invalid-name></Metadata><OrMetadata/>
              </Blob></Blobs><NextMarker></NextMarker></EnumerationResults>"#,
        );
        let item = &page.items[0];
        let taken = Moment::parse("2026-11-22T10:26:38.5720000Z").unwrap();
        assert_eq!(item.revision, Some(Revision::Snapshot(taken)));
        let found = &item.properties;
        assert_eq!(found.last_modified.duration_since(found.creation_time.unwrap()).unwrap().as_secs(), 1);
        let headers = &found.headers;
        assert_eq!(headers.content_type.as_deref(), Some("text/plain"));
        assert_eq!(headers.content_encoding.as_deref(), Some("gzip"));
        assert_eq!(headers.content_language.as_deref(), Some("en"));
        assert_eq!(headers.content_md5.as_deref(), Some("bWQ1"));
        assert_eq!(headers.cache_control.as_deref(), Some("no-cache"));
        assert_eq!(headers.content_disposition.as_deref(), Some("inline"));
        assert_eq!(found.metadata.iter().collect::<Vec<_>>(), [("a-b", ""), ("Color", "blue")]);
        assert_eq!((found.tier.as_deref(), found.tag_count), (Some("Hot"), 2));
        assert_eq!(found.archive_status.as_deref(), Some("rehydrate-pending-to-hot"));
        assert_eq!(found.lease.duration.as_deref(), Some("infinite"));
        assert_eq!(found.version_id.as_deref(), Some("v1"));
        let copy = found.copy.as_ref().unwrap();
        assert_eq!((copy.status, copy.bytes_copied, copy.total_bytes), (CopyStatus::Failed, 3, 11));
        assert_eq!(copy.source.as_deref(), Some("http://h/a/c/s"));
        assert_eq!(copy.description.as_deref(), Some("404 ResourceNotFound \"gone\""));
    }

    #[test]
    fn an_empty_page_can_have_a_successor() {
        let page = blobs_of("<EnumerationResults><Blobs/><NextMarker>2!68!MDAw</NextMarker></EnumerationResults>");
        assert!(page.items.is_empty());
        assert_eq!(page.next.as_deref(), Some("2!68!MDAw"));
    }

    #[test]
    fn encoded_names_are_decoded_and_impossible_ones_left_out() {
        let page = blobs_of(
            r#"<EnumerationResults><Blobs>
                <Blob><Name Encoded="true">a%20b%25</Name></Blob>
                <Blob><Name Encoded="true">d%2Fa%EF%BF%BEb</Name></Blob>
                <Blob><Name>a/../b</Name></Blob>
                <Blob><Name>a\b</Name></Blob>
                <BlobPrefix><Name Encoded="true">d%20%2F</Name></BlobPrefix>
                <BlobPrefix><Name>dot./</Name></BlobPrefix>
            </Blobs></EnumerationResults>"#,
        );
        // S77, S205; and S203, S204 for what is left out
        assert_eq!(page.items.iter().map(|item| item.name.as_str()).collect::<Vec<_>>(), ["a b%", "d/a\u{fffe}b"]);
        assert_eq!(page.prefixes, ["d /"]);
        assert_eq!(page.left_out, 3);
    }

    #[test]
    fn a_blob_that_was_never_committed_says_little() {
        let page = blobs_of(
            "<EnumerationResults><Blobs><Blob><Name>a</Name><Properties><Content-Length>0</Content-Length></Properties></Blob></Blobs></EnumerationResults>",
        );
        let properties = &page.items[0].properties;
        assert_eq!((properties.size, properties.etag.as_str()), (0, ""));
        assert_eq!(properties.last_modified, SystemTime::UNIX_EPOCH);
    }

    #[test]
    fn versions_are_told_from_the_blob_itself_when_they_were_asked_for() {
        let row =
            |version: &str, mark: &str| format!("<Blob><Name>a</Name><VersionId>{version}</VersionId>{mark}</Blob>");
        let rows = [
            row("2026-01-01T00:00:00.0000001Z", ""),
            row("2026-01-01T00:00:00.0000002Z", "<IsCurrentVersion>false</IsCurrentVersion>"),
            row("2026-01-01T00:00:00.0000003Z", "<IsCurrentVersion>true</IsCurrentVersion>"),
            row("no moment", ""),
        ];
        let document = format!("<EnumerationResults><Blobs>{}</Blobs></EnumerationResults>", rows.concat());
        let root = Element::parse(document.as_bytes()).unwrap();
        let asked = blobs(&root, true).unwrap().items;
        assert_eq!(asked.iter().map(|item| item.revision.is_some()).collect::<Vec<_>>(), [true, true, false]);
        assert!(asked[2].properties.is_current_version);
        let unasked = blobs(&root, false).unwrap().items;
        assert!(unasked.iter().all(|item| item.revision.is_none()));
        assert_eq!(unasked.len(), 3);
    }

    #[test]
    fn another_document_is_no_listing() {
        assert!(blobs(&Element::parse(b"<html/>").unwrap(), false).is_err());
    }
}
