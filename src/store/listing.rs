//! Pages of List Containers and List Blobs, read from their XML.
//!
//! Servers differ in what they send and in which order (§7): rows are taken as they come, prefixes may stand between
//! blobs, and rows that say little (blobs never committed) have defaults. A row whose name this program cannot hold, or
//! that cannot be true, is left out, because one odd row must not make a directory unreadable; the log gets one line of
//! all that a page has.

use std::collections::HashSet;
use std::fmt::Display;
use std::time::SystemTime;

use tracing::warn;

use crate::path::{BlobName, ContainerName};
use crate::store::headers::{self, copy_progress, http_date};
use crate::store::options::ListBlobs;
use crate::store::types::*;
use crate::store::xml::Element;

/// Most rows of a page that are taken: twice the service's own maximum.
const MOST_ROWS: usize = 10_000;

/// Longest marker of a next page, bytes. The service's hold the name that comes next, of up to 1 KiB, in Base64 or encoded for
/// a URL.
const LONGEST_MARKER: usize = 8 << 10;

/// Characters of what a line of the log shows of a row.
const SHOWN: usize = 120;

/// Rows of a page that cannot be what they say. One line of the log is for all of them.
#[derive(Default)]
struct LeftOut {
    rows: usize,
    first: Option<String>,
}

impl LeftOut {
    fn add(&mut self, name: &str, why: impl Display) {
        self.rows += 1;
        let cut = |text: String| text.chars().take(SHOWN).collect::<String>();
        self.first.get_or_insert_with(|| {
            let start: String = name.chars().take(SHOWN).collect();
            format!("{start:?}: {}", cut(why.to_string()))
        });
    }
}

impl Drop for LeftOut {
    fn drop(&mut self) {
        if let Some(first) = &self.first {
            warn!(rows = self.rows, "left out of a listing: {first}");
        }
    }
}

/// The rows of a page, if it has no more than one can have.
fn rows<'e, 'a>(root: &'e Element<'a>, list: &str) -> Result<&'e [Element<'a>], String> {
    let rows = expect(root)?.children_of(list);
    match rows.len() {
        ..=MOST_ROWS => Ok(rows),
        many => Err(format!("a page of {many} rows")),
    }
}

/// The marker of the next page, which is kept for as long as somebody may come back to that. Its reader asks with it: a URL
/// that is too long would be refused each time.
pub(super) fn next_marker(root: &Element<'_>) -> Result<Option<String>, String> {
    match owned(root, "NextMarker") {
        Some(marker) if marker.len() > LONGEST_MARKER => Err(format!("a marker of {} bytes", marker.len())),
        marker => Ok(marker),
    }
}

pub(super) fn containers(root: &Element<'_>) -> Result<Page<ContainerItem>, String> {
    let mut items: Vec<ContainerItem> = Vec::new();
    let mut left_out = LeftOut::default();
    let mut met = HashSet::new();
    for row in rows(root, "Containers")? {
        let shown = row.value("Name").unwrap_or_default();
        let empty = Element::default();
        let properties = row.child("Properties").unwrap_or(&empty);
        match (ContainerName::parse(&shown), last_modified(properties)) {
            (Err(_), _) => left_out.add(&shown, "no name of a container that this program can use"),
            (_, Err(why)) => left_out.add(&shown, why),
            (Ok(name), Ok(last_modified)) if met.insert(name.clone()) => items.push(ContainerItem {
                name,
                last_modified,
                etag: ETag::new(&properties.value("Etag").unwrap_or_default()),
                metadata: metadata(row),
                keeping: keeping(properties),
            }),
            (Ok(_), Ok(_)) => left_out.add(&shown, "it is there already"),
        }
    }
    Ok(Page { items, prefixes: Vec::new(), left_out: 0, next: next_marker(root)? })
}

/// The answer to `list`.
pub(super) fn blobs(root: &Element<'_>, list: &ListBlobs<'_>) -> Result<Page<BlobItem>, String> {
    let mut page = Page { items: Vec::new(), prefixes: Vec::new(), left_out: 0, next: next_marker(root)? };
    let mut left_out = LeftOut::default();
    let mut met = HashSet::new();
    for row in rows(root, "Blobs")? {
        let shown = row.value("Name").unwrap_or_default();
        let is_prefix = match row.name.as_ref() {
            "BlobPrefix" => true,
            // Rows that are only listed on request; a server that sends them unasked must not confuse anyone.
            "Blob" if is_true(row, "Deleted") || is_unasked(row, list) => continue,
            "Blob" => false,
            _ => continue,
        };
        let Some(rest) = shown.strip_prefix(list.prefix) else {
            left_out.add(&shown, "it is not below what was listed");
            continue;
        };
        let parsed = match BlobName::parse(&shown) {
            Ok(name) if is_in_place(rest, is_prefix, list.hierarchical) => Ok(name),
            Ok(_) => Err("no name of an entry: a segment is empty, or there are more than one".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let parsed = parsed.and_then(|name| match is_prefix {
            true => Ok((name, None)),
            false => Ok((name, Some((revision(row, list.versions)?, properties(row)?)))),
        });
        match parsed {
            Err(why) => {
                left_out.add(&shown, why);
                page.left_out += 1;
            }
            Ok((name, None)) if met.insert((name.clone(), None)) => page.prefixes.push(shown.into_owned()),
            Ok((_, None)) => {}
            Ok((name, Some((revision, properties)))) if met.insert((name.clone(), Some(revision.clone()))) => {
                page.items.push(BlobItem { name, revision, properties });
            }
            Ok(_) => left_out.add(&shown, "it is there already"),
        }
    }
    Ok(page)
}

/// An earlier version, which is only listed on request, and was not asked for.
fn is_unasked(row: &Element<'_>, list: &ListBlobs<'_>) -> bool {
    !list.versions && row.value("IsCurrentVersion").is_some_and(|v| v == "false")
}

/// Whether the rest of a name behind what was listed can be an entry there. A blob with the very name of a directory is
/// in the listing of it.
fn is_in_place(rest: &str, is_prefix: bool, hierarchical: bool) -> bool {
    match (is_prefix, rest.split_once('/')) {
        (true, Some((name, ""))) => !name.is_empty(),
        (true, _) => false,
        (false, Some(_)) => !hierarchical,
        (false, None) => true,
    }
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
/// `only`: what was listed begins with that name, and other names are not looked for.
pub(super) fn deleted_blobs(root: &Element<'_>, only: Option<&BlobName>) -> Result<Page<DeletedBlob>, String> {
    let rows = rows(root, "Blobs")?;
    // A name comes before all that begin with it. Most rows are of what was not deleted.
    let is_past_it =
        |name: &BlobName| rows.last().is_some_and(|row| row.value("Name").as_deref() != Some(name.as_str()));
    let next = next_marker(root)?.filter(|_| !only.is_some_and(is_past_it));
    let mut page = Page { items: Vec::new(), prefixes: Vec::new(), left_out: 0, next };
    let mut left_out = LeftOut::default();
    for row in rows.iter().filter(|row| is_true(row, "Deleted")) {
        if row.value("Snapshot").is_some() || row.value("VersionId").is_some() {
            continue;
        }
        let shown = row.value("Name").unwrap_or_default();
        let parsed = BlobName::parse(&shown).map_err(|error| error.to_string());
        match parsed.and_then(|name| Ok((name, properties(row)?))) {
            Ok((name, properties)) => {
                let deletion = owned(row, "DeletionId").map(DeletionId);
                page.items.push(DeletedBlob { name, deletion, properties });
            }
            Err(why) => {
                left_out.add(&shown, why);
                page.left_out += 1;
            }
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
    let parse = |text: String, of: fn(Moment) -> Revision| match Moment::parse(&text) {
        Some(moment) => Ok(Some(of(moment))),
        None => {
            Err(format!("{:?} is no moment of a snapshot or version", text.chars().take(SHOWN).collect::<String>()))
        }
    };
    match (owned(row, "Snapshot"), owned(row, "VersionId")) {
        (Some(snapshot), _) => parse(snapshot, Revision::Snapshot),
        (None, Some(version)) if versions && !is_true(row, "IsCurrentVersion") => parse(version, Revision::Version),
        _ => Ok(None),
    }
}

/// An error for a size or a time that is none.
fn properties(row: &Element<'_>) -> Result<BlobProperties, String> {
    let empty = Element::default();
    let from = row.child("Properties").unwrap_or(&empty);
    let size = match from.value("Content-Length") {
        None => 0,
        Some(told) => headers::size(&told).ok_or_else(|| format!("its size is {:?}", &told))?,
    };
    Ok(BlobProperties {
        size,
        etag: ETag::new(&from.value("Etag").unwrap_or_default()),
        last_modified: last_modified(from)?,
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
    })
}

/// What was never committed has none.
fn last_modified(from: &Element<'_>) -> Result<SystemTime, String> {
    match from.value("Last-Modified") {
        None => Ok(SystemTime::UNIX_EPOCH),
        Some(told) => http_date(&told).ok_or_else(|| format!("it was modified at {told:?}")),
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
        in_blocks: false,
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
        listed(document, &ListBlobs::default())
    }

    fn listed(document: &str, list: &ListBlobs<'_>) -> Page<BlobItem> {
        blobs(&Element::parse(document.as_bytes()).unwrap(), list).unwrap()
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
        let page = listed(
            r#"<EnumerationResults ContainerName="c"><NextMarker/>
              <Blobs>
                <BlobPrefix><Name>dir/a/</Name></BlobPrefix>
                <Blob><Properties><BlobType>PageBlob</BlobType><Content-Length>512</Content-Length><Etag>0x8D</Etag>
                    <x-ms-blob-sequence-number>7</x-ms-blob-sequence-number><New><Deep/></New></Properties><Name>dir/b &amp; c</Name></Blob>
                <BlobPrefix><Properties><Etag>1</Etag></Properties><Name>dir/d/</Name></BlobPrefix>
                <Unknown/>
                <Blob><Name>dir/e</Name><Properties><BlobType>AppendBlob</BlobType><Sealed>true</Sealed></Properties></Blob>
              </Blobs></EnumerationResults>"#,
            &ListBlobs { prefix: "dir/", hierarchical: true, ..ListBlobs::default() },
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
        let asked = listed(&document, &ListBlobs { versions: true, ..ListBlobs::default() }).items;
        assert_eq!(asked.iter().map(|item| item.revision.is_some()).collect::<Vec<_>>(), [true, true, false]);
        assert!(asked[2].properties.is_current_version);
        let unasked = blobs_of(&document).items;
        assert!(unasked.iter().all(|item| item.revision.is_none()));
        // The same blob, as far as anybody was asked.
        assert_eq!(unasked.len(), 1);
    }

    #[test]
    fn another_document_is_no_listing() {
        assert!(blobs(&Element::parse(b"<html/>").unwrap(), &ListBlobs::default()).is_err());
    }

    /// A row of a blob with these properties.
    fn row(name: &str, properties: &str) -> String {
        format!("<Blob><Name>{name}</Name><Properties>{properties}</Properties></Blob>")
    }

    fn document(rows: &[String]) -> String {
        format!("<EnumerationResults><Blobs>{}</Blobs></EnumerationResults>", rows.concat())
    }

    #[test]
    fn rows_that_cannot_be_true_are_left_out_and_the_others_are_there() {
        let size = |size: &str| format!("<Content-Length>{size}</Content-Length>");
        let time = |time: &str| format!("<Last-Modified>{time}</Last-Modified>");
        let prefix = |name: &str| format!("<BlobPrefix><Name>{name}</Name></BlobPrefix>");
        let rows = [
            row("dir/good", &(size("9223372036854775807") + &time("Mon, 01 Jan 2024 00:00:00 GMT"))),
            row("dir/negative", &size("-1")),
            row("dir/text", &size("many")),
            row("dir/hexadecimal", &size("0x10")),
            row("dir/large", &size("9223372036854775808")),
            row("dir/larger", &size("99999999999999999999")),
            row("dir/yesterday", &time("yesterday")),
            row("dir/nought", &time("0")),
            row("dir/a&#0;b", ""),
            row("dir/../../up", ""),
            row("dir/below/it", ""),
            row(&format!("dir/{}", "x".repeat(2 << 20)), ""),
            prefix("dir/sub/"),
            prefix("dir/two/levels/"),
            prefix("dir//"),
            prefix("dir/no-slash"),
        ];
        let list = ListBlobs { prefix: "dir/", hierarchical: true, ..ListBlobs::default() };
        let page = listed(&document(&rows), &list);
        assert_eq!(page.items.iter().map(|item| item.name.as_str()).collect::<Vec<_>>(), ["dir/good"]);
        assert_eq!((page.items[0].properties.size, page.prefixes), (i64::MAX as u64, vec!["dir/sub/".to_owned()]));
        assert_eq!(page.left_out, 14);
    }

    #[test]
    fn rows_of_elsewhere_and_rows_that_come_twice_are_nothing() {
        let size = |size: &str| format!("<Content-Length>{size}</Content-Length>");
        let rows = [row("dir/a", &size("1")), row("dir/a", &size("2")), row("other", ""), row("dir", "")];
        let page = listed(&document(&rows), &ListBlobs { prefix: "dir/", ..ListBlobs::default() });
        let sizes = page.items.iter().map(|item| (item.name.as_str(), item.properties.size)).collect::<Vec<_>>();
        assert_eq!((sizes, page.left_out), (vec![("dir/a", 1)], 0));
        let containers_twice = "<EnumerationResults><Containers><Container><Name>abc</Name></Container><Container>\
            <Name>abc</Name></Container></Containers></EnumerationResults>";
        let page = containers(&Element::parse(containers_twice.as_bytes()).unwrap()).unwrap();
        assert_eq!(page.items.len(), 1);
    }

    #[test]
    fn a_page_has_no_more_rows_than_a_page_can_have() {
        let rows = |count: usize| {
            document(&(0..count).map(|row| format!("<Blob><Name>{row}</Name></Blob>")).collect::<Vec<_>>())
        };
        assert_eq!(blobs_of(&rows(5000)).items.len(), 5000);
        let many = rows(MOST_ROWS + 1);
        let error = blobs(&Element::parse(many.as_bytes()).unwrap(), &ListBlobs::default()).unwrap_err();
        assert_eq!(error, "a page of 10001 rows");
    }

    #[test]
    fn a_marker_has_a_longest_size() {
        let marked = |size: usize| {
            let document = format!(
                "<EnumerationResults><Blobs/><NextMarker>{}</NextMarker></EnumerationResults>",
                "x".repeat(size)
            );
            let root = Element::parse(document.as_bytes()).unwrap();
            let whole = blobs(&root, &ListBlobs::default()).map(|page| page.next);
            assert_eq!(containers(&root).map(|page| page.next), whole);
            assert_eq!(deleted_blobs(&root, None).map(|page| page.next), whole);
            whole.map(|next| next.map(|marker| marker.len()))
        };
        assert_eq!(marked(LONGEST_MARKER), Ok(Some(8192)));
        assert_eq!(marked(LONGEST_MARKER + 1), Err("a marker of 8193 bytes".into()));
    }

    #[test]
    fn what_the_log_shows_of_a_row_is_short() {
        let mut left_out = LeftOut::default();
        left_out.add(&"\n".repeat(1 << 20), "x".repeat(1 << 20));
        left_out.add("another", "why");
        assert!(left_out.first.as_ref().is_some_and(|shown| shown.len() < 400), "{:?}", left_out.first);
        assert_eq!(left_out.rows, 2);
    }
}
