//! Listings: List Containers, List Blobs with real paging (§6, §7).
//!
//! A page is cut at the client's `maxresults` or the server's own limit, whichever is smaller; the marker names the
//! first item of the next page, in an encoding that clients have no business reading. A hierarchical listing jumps over
//! everything below a prefix, so `ls` of a directory does not pay for the tree beneath it.

use std::ops::Bound;
use std::time::SystemTime;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::address::Namespace;
use super::answers::{AccessTracking, RepeatedPrefix};
use super::bin::Deleted;
use super::clock::rfc1123;
use super::container::flag;
use super::error::{Code, ServiceError};
use super::lease::Lease;
use super::marker::Marker;
use super::model::{Blob, Entry, Kind, Metadata, Tier};
use super::reply::{Outcome, Reply};
use super::request::Call;
use super::server::Server;
use super::soft_delete::write_deleted_container;
use super::state::{Container, DeletedContainer, State, retention_clock};
use super::xml::{self, Writer, write_tag_set};

/// Characters that stay readable in an encoded name: not even the slash (S77).
const ENCODED_NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Sorts after every character a name can hold: where a listing resumes behind a prefix.
const AFTER_EVERYTHING: char = char::MAX;

/// Begins the marker of an empty page that was slipped in; the page proper follows.
const AFTER_EMPTY_PAGE: char = '!';

/// The optional parts a listing was asked for.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Include {
    copy: bool,
    pub(super) metadata: bool,
    snapshots: bool,
    versions: bool,
    uncommitted: bool,
    deleted_with_versions: bool,
    tags: bool,
    permissions: bool,
    policy: bool,
    hold: bool,
    pub(super) deleted: bool,
}

impl Include {
    pub(super) fn parse(call: &Call) -> Include {
        let mut include = Include::default();
        for part in call.query.get("include").unwrap_or("").split(',') {
            // The vendor's client for .NET writes `Snapshots`.
            match part.to_ascii_lowercase().as_str() {
                "copy" => include.copy = true,
                "metadata" => include.metadata = true,
                "snapshots" => include.snapshots = true,
                "versions" => include.versions = true,
                "uncommittedblobs" => include.uncommitted = true,
                "deletedwithversions" => include.deleted_with_versions = true,
                "tags" => include.tags = true,
                "permissions" => include.permissions = true,
                "immutabilitypolicy" => include.policy = true,
                "legalhold" => include.hold = true,
                "deleted" => include.deleted = true,
                // Parts of features this server does not have have nothing to add.
                _ => {}
            }
        }
        include
    }
}

/// The state of a blob that an item is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Past<'a> {
    Snapshot(&'a str),
    Version(&'a str),
}

impl<'a> Past<'a> {
    fn moment(self) -> &'a str {
        match self {
            Past::Snapshot(id) | Past::Version(id) => id,
        }
    }
}

/// One element of a listing.
#[derive(Debug)]
enum Item<'a> {
    Prefix(String, Option<&'a Entry>),
    Blob {
        name: &'a str,
        past: Option<Past<'a>>,
        entry: &'a Entry,
        blob: &'a Blob,
    },
    Uncommitted {
        name: &'a str,
    },
    /// What was deleted softly, of a blob or of one of its snapshots.
    Deleted {
        name: &'a str,
        snapshot: Option<&'a str>,
        deleted: &'a Deleted<Blob>,
    },
    /// A name that goes on in earlier versions alone.
    VersionsOnly {
        name: &'a str,
        blob: &'a Blob,
    },
}

impl Item<'_> {
    fn marker(&self) -> Marker {
        let (name, past) = match self {
            // Which stands for itself, and not for what is below it.
            Item::Prefix(name, Some(_)) => (name.strip_suffix('/').unwrap_or(name), None),
            Item::Prefix(name, None) => (name.as_str(), None),
            Item::Blob { name, past, .. } => (*name, *past),
            Item::Deleted { name, snapshot, .. } => (*name, snapshot.map(Past::Snapshot)),
            Item::Uncommitted { name } | Item::VersionsOnly { name, .. } => (*name, None),
        };
        Marker { name: name.to_owned(), moment: past.map(|past| past.moment().to_owned()), again: None }
    }
}

/// The listing that a page is taken from.
#[derive(Debug)]
struct Selection<'a> {
    prefix: &'a str,
    delimiter: Option<&'a str>,
    /// First name, inclusive.
    start: Option<&'a str>,
    marker: Option<Marker>,
    include: Include,
    /// Directories are shown as prefixes, empty ones too, and not as blobs beside them.
    hierarchical: bool,
    /// By the clock of retention.
    now: SystemTime,
}

impl Default for Selection<'_> {
    fn default() -> Self {
        let (include, now) = (Include::default(), SystemTime::UNIX_EPOCH);
        Selection { prefix: "", delimiter: None, start: None, marker: None, include, hierarchical: false, now }
    }
}

impl Selection<'_> {
    /// At most `limit` items in order, and where the next page begins.
    fn page<'c>(&self, container: &'c Container, limit: usize) -> (Vec<Item<'c>>, Option<Marker>) {
        let mut items = Vec::new();
        let marker = self.marker.as_ref().map_or("", |marker| &marker.name);
        let mut from = marker.max(self.prefix).max(self.start.unwrap_or("")).to_owned();
        let mut last_prefix: Option<String> = None;
        'resume: loop {
            let names = container.blobs.range::<str, _>((Bound::Included(from.as_str()), Bound::Unbounded));
            for (name, entry) in names.take_while(|(name, _)| name.starts_with(self.prefix)) {
                if self.hierarchical && self.delimiter == Some("/") {
                    // Each directory has an entry, which stands for all that is below it.
                    if let Some(group) = self.group(name) {
                        from = format!("{group}{AFTER_EVERYTHING}");
                        continue 'resume;
                    }
                    if entry.is_directory() {
                        if items.len() == limit {
                            return (items, Some(Marker::at(name)));
                        }
                        items.push(Item::Prefix(format!("{name}/"), Some(entry)));
                        continue;
                    }
                }
                if let Some(group) = self.group(name) {
                    let shown = last_prefix.as_deref() == Some(group);
                    if !shown && self.is_listed(entry) {
                        if items.len() == limit {
                            return (items, Some(Marker::at(group)));
                        }
                        items.push(Item::Prefix(group.to_owned(), None));
                        last_prefix = Some(group.to_owned());
                        from = format!("{group}{AFTER_EVERYTHING}");
                        continue 'resume;
                    }
                    continue;
                }
                for item in self.items_of(name, entry) {
                    if items.len() == limit {
                        let marker = item.marker();
                        return (items, Some(marker));
                    }
                    items.push(item);
                }
            }
            return (items, None);
        }
    }

    /// The same, with a prefix that comes twice (S83).
    fn repeating<'c>(
        &self,
        container: &'c Container,
        limit: usize,
        repeated: RepeatedPrefix,
    ) -> (Vec<Item<'c>>, Option<Marker>) {
        let again = self.marker.as_ref().and_then(|marker| marker.again.clone());
        let (mut items, mut next) = self.page(container, limit);
        let shown = match repeated {
            RepeatedPrefix::Never => None,
            RepeatedPrefix::NextPage => again.clone(),
            RepeatedPrefix::LastPage => again.clone().filter(|_| next.is_none()),
        };
        // A page has room for it if something else goes on with the next one.
        if let Some(name) = shown.filter(|_| limit > 1) {
            let entry = container.blobs.get(name.trim_end_matches('/')).filter(|_| self.hierarchical);
            items.insert(0, Item::Prefix(name, entry));
            if items.len() > limit {
                next = items.pop().map(|item| item.marker());
            }
        }
        let last = items.iter().rev().find_map(|item| match item {
            Item::Prefix(name, _) => Some(name.clone()),
            _ => None,
        });
        let again = if repeated == RepeatedPrefix::LastPage { again.or(last) } else { last };
        (items, next.map(|marker| Marker { again: again.filter(|_| repeated != RepeatedPrefix::Never), ..marker }))
    }

    /// The `BlobPrefix` a name falls under.
    fn group<'n>(&self, name: &'n str) -> Option<&'n str> {
        let delimiter = self.delimiter?;
        let at = name[self.prefix.len()..].find(delimiter)?;
        Some(&name[..self.prefix.len() + at + delimiter.len()])
    }

    fn is_listed(&self, entry: &Entry) -> bool {
        let uncommitted = self.include.uncommitted && !entry.staged.is_empty();
        let snapshots = self.include.snapshots && !entry.snapshots.is_empty();
        let versions = (self.include.versions || self.include.deleted_with_versions) && !entry.versions.is_empty();
        let deleted = self.include.deleted && entry.bin.blob.as_ref().is_some_and(|deleted| deleted.is_kept(self.now));
        entry.base.is_some() || uncommitted || snapshots || versions || deleted
    }

    /// All that is listed of one name: snapshots and earlier versions, oldest first, then the blob.
    fn items_of<'c>(&self, name: &'c str, entry: &'c Entry) -> Vec<Item<'c>> {
        let resumed = self.marker.as_ref().filter(|marker| marker.name == name);
        let mut items = Vec::new();
        if resumed.is_none_or(|marker| marker.moment.is_some()) {
            let first = resumed.and_then(|marker| marker.moment.as_deref()).unwrap_or("");
            let snapshots = entry.snapshots.iter().filter(|_| self.include.snapshots);
            let versions = entry.versions.iter().filter(|_| self.include.versions);
            let snapshots = snapshots.map(|(id, blob)| (Past::Snapshot(id), blob));
            let mut past: Vec<_> = snapshots.chain(versions.map(|(id, blob)| (Past::Version(id), blob))).collect();
            past.retain(|(past, _)| past.moment() >= first);
            past.sort_by_key(|(past, _)| past.moment());
            items.extend(past.into_iter().map(|(past, blob)| Item::Blob { name, past: Some(past), entry, blob }));
            if self.include.deleted && self.include.snapshots {
                let kept = entry
                    .bin
                    .snapshots
                    .iter()
                    .filter(|(id, deleted)| id.as_str() >= first && deleted.is_kept(self.now));
                items.extend(kept.map(|(id, deleted)| Item::Deleted { name, snapshot: Some(id.as_str()), deleted }));
            }
        }
        if let Some(deleted) = &entry.bin.blob
            && self.include.deleted
            && deleted.is_kept(self.now)
        {
            items.push(Item::Deleted { name, snapshot: None, deleted });
        }
        match &entry.base {
            Some(blob) => items.push(Item::Blob { name, past: None, entry, blob }),
            None if self.include.uncommitted && !entry.staged.is_empty() => items.push(Item::Uncommitted { name }),
            None if self.include.deleted_with_versions => {
                // The last of its versions stands for it (S174).
                let last = entry.versions.values().next_back();
                items.extend(last.map(|blob| Item::VersionsOnly { name, blob }));
            }
            None => {}
        }
        items
    }
}

/// `maxresults` as far as the server goes along (§7).
pub(super) fn page_size(call: &Call, limit: usize) -> Result<usize, ServiceError> {
    match call.query.nonempty("maxresults") {
        None => Ok(limit),
        Some(text) => match text.parse::<i64>() {
            Ok(1..) => Ok(text.parse().unwrap_or(usize::MAX).min(limit)),
            Ok(_) => Err(Code::OutOfRangeQueryParameterValue.into()),
            Err(_) => Err(ServiceError::invalid_query("maxresults", text)),
        },
    }
}

/// List Blobs (§7).
pub(super) fn blobs(server: &Server, call: &Call) -> Outcome {
    let sent_marker = call.query.get("marker").unwrap_or("");
    let marker = sent_marker.trim_start_matches(AFTER_EMPTY_PAGE);
    let selection = Selection {
        prefix: call.query.get("prefix").unwrap_or(""),
        delimiter: call.query.nonempty("delimiter"),
        start: call.query.nonempty("startfrom"),
        marker: match marker {
            "" => None,
            marker => Some(Marker::decode(marker)?),
        },
        include: Include::parse(call),
        hierarchical: server.namespace == Namespace::Hierarchical,
        now: retention_clock(&server.state(call.now), call.now),
    };
    if selection.prefix.chars().any(|c| matches!(c, ..' ' | '\u{7F}')) {
        // S175
        return Err(ServiceError::invalid_query("prefix", selection.prefix));
    }
    if selection.include.snapshots && selection.delimiter.is_some() {
        return Err(ServiceError::invalid_query("include", "snapshots"));
    }
    let endpoint = server.endpoint(&call.account);
    let name = call.container()?;
    let mut state = server.state(call.now);
    let limit = page_size(call, state.policy.list_page)?;
    let slip_in = state.policy.empty_list_pages && !sent_marker.starts_with(AFTER_EMPTY_PAGE);
    let container = state.container(&call.account, name)?;
    let (items, next) = if slip_in {
        (Vec::new(), Some(format!("{AFTER_EMPTY_PAGE}{marker}")))
    } else {
        let (items, next) = selection.repeating(container, limit, call.answers.repeated_prefix);
        (items, next.map(|marker| marker.encode()))
    };

    let mut document = Writer::new();
    document.open("EnumerationResults", &[("ServiceEndpoint", &format!("{endpoint}/")), ("ContainerName", name)]);
    document.element("Prefix", selection.prefix);
    document.element("Marker", sent_marker);
    document.element("MaxResults", limit.to_string());
    document.optional("Delimiter", selection.delimiter);
    document.nest("Blobs", |document| {
        for item in &items {
            write_item(document, item, &selection, call);
        }
    });
    document.element("NextMarker", next.unwrap_or_default());
    document.close("EnumerationResults");
    if selection.include.copy {
        state.copies.seen_below(&call.account, name, selection.prefix);
    }
    Ok(Reply::xml(document.finish()))
}

fn write_item(document: &mut Writer, item: &Item, selection: &Selection<'_>, call: &Call) {
    let include = selection.include;
    match item {
        // S81
        Item::Deleted { name, snapshot, deleted } => document.nest("Blob", |document| {
            write_name(document, name);
            document.optional("Snapshot", *snapshot);
            document.element("Deleted", "true");
            document.nest("Properties", |document| {
                write_properties(document, &deleted.what, Show::past(None), include);
                document.element("LeaseStatus", "");
                document.element("DeletedTime", rfc1123(deleted.at));
                document.element("RemainingRetentionDays", deleted.days_left(selection.now).to_string());
            });
            if include.metadata {
                write_metadata(document, &deleted.what.metadata);
            }
        }),
        Item::Prefix(name, entry) => document.nest("BlobPrefix", |document| {
            write_name(document, name);
            // A directory of a flat account is a name and nothing else (S171).
            if let Some((entry, blob)) =
                entry.filter(|_| call.shows_paths()).and_then(|entry| Some((entry, entry.base.as_ref()?)))
            {
                document.nest("Properties", |document| write_directory(document, blob, entry.lease.at(call.now)));
            }
        }),
        Item::Uncommitted { name } => document.nest("Blob", |document| {
            write_name(document, name);
            // Nothing else is told of it (S173).
            document.nest("Properties", |document| {
                document.element("Content-Length", "0");
                document.element("BlobType", "BlockBlob");
                document.element("AccessTier", Tier::Hot.name());
                document.element("AccessTierInferred", "true");
                document.element("LeaseStatus", Lease::Available.status());
                document.element("LeaseState", Lease::Available.state());
                document.element("ServerEncrypted", "false");
            });
        }),
        Item::VersionsOnly { name, blob } => document.nest("Blob", |document| {
            write_name(document, name);
            document.element("HasVersionsOnly", "true");
            document.nest("Properties", |document| write_properties(document, blob, Show::past(None), include));
        }),
        Item::Blob { name, past, entry, blob } => document.nest("Blob", |document| {
            write_name(document, name);
            if let Some(Past::Snapshot(id)) = past {
                document.element("Snapshot", *id);
            }
            if include.versions {
                document.optional("VersionId", blob.version.as_deref());
                if past.is_none() && blob.version.is_some() {
                    document.element("IsCurrentVersion", "true");
                }
            }
            if include.deleted_with_versions {
                document.element("HasVersionsOnly", "false");
            }
            document.nest("Properties", |document| {
                let show = if past.is_none() { Show::current(entry.lease.at(call.now)) } else { Show::past(*past) };
                write_properties(document, blob, Show { accesses: call.answers.access_tracking, ..show }, include);
                if call.shows_paths() {
                    write_path(document, blob, include);
                }
            });
            if include.metadata {
                write_metadata(document, &blob.shown_metadata());
            }
            if include.tags && !blob.tags.is_empty() {
                document.nest("Tags", |document| write_tag_set(document, &blob.tags));
            }
        }),
    }
}

pub(super) fn write_name(document: &mut Writer, name: &str) {
    if xml::representable(name) {
        document.element("Name", name);
    } else {
        document.open("Name", &[("Encoded", "true")]);
        document.escape(&utf8_percent_encode(name, ENCODED_NAME).to_string());
        document.close("Name");
    }
}

/// What a path is, and if that was asked, whose (S172).
fn write_path(document: &mut Writer, blob: &Blob, include: Include) {
    document.element("ResourceType", blob.resource_type());
    if include.permissions {
        document.element("Owner", &blob.access.owner);
        document.element("Group", &blob.access.group);
        document.element("Permissions", blob.access.permissions());
        document.element("Acl", blob.access.list());
    }
}

/// A directory among the prefixes of a hierarchical namespace (S171).
fn write_directory(document: &mut Writer, blob: &Blob, lease: Lease) {
    document.element("Creation-Time", rfc1123(blob.created));
    document.element("Last-Modified", rfc1123(blob.last_modified));
    document.element("Etag", blob.etag.to_string());
    document.element("ResourceType", blob.resource_type());
    document.element("Content-Length", "0");
    document.element("Content-Type", "");
    document.element("AccessTier", blob.tier.unwrap_or(Tier::Hot).name());
    document.element("AccessTierInferred", "true");
    document.element("LeaseStatus", lease.status());
    document.element("LeaseState", lease.state());
}

/// The properties that not all entries of a blob have (S80).
#[derive(Debug, Clone, Copy)]
pub(super) struct Show {
    lease: Option<Lease>,
    tier: bool,
    accesses: AccessTracking,
}

impl Show {
    fn current(lease: Lease) -> Show {
        Show { lease: Some(lease), ..Show::past(None) }
    }

    pub(super) fn past(past: Option<Past>) -> Show {
        let tier = !matches!(past, Some(Past::Snapshot(_)));
        Show { lease: None, tier, accesses: AccessTracking::Off }
    }
}

pub(super) fn write_properties(document: &mut Writer, blob: &Blob, show: Show, include: Include) {
    document.element("Creation-Time", rfc1123(blob.created));
    document.element("Last-Modified", rfc1123(blob.last_modified));
    document.element("Etag", blob.etag.to_string());
    document.element("Content-Length", blob.content.len().to_string());
    for (_, element, value) in blob.properties.each() {
        document.element(element, value.unwrap_or(""));
    }
    document.element("Content-MD5", blob.properties.md5.as_deref().unwrap_or(""));
    if let Kind::Page { sequence } = blob.kind {
        document.element("x-ms-blob-sequence-number", sequence.to_string());
    }
    document.element("BlobType", blob.kind.name());
    if show.tier && matches!(blob.kind, Kind::Block { .. }) {
        document.element("AccessTier", blob.tier.unwrap_or(Tier::Hot).name());
        match blob.tier_changed {
            Some(changed) => document.element("AccessTierChangeTime", rfc1123(changed)),
            None => document.element("AccessTierInferred", "true"),
        }
        if let Some(rehydration) = blob.rehydrating {
            document.element("ArchiveStatus", rehydration.status());
            document.element("RehydratePriority", rehydration.priority());
        }
    }
    if let Kind::Append { sealed: true, .. } = blob.kind {
        document.element("Sealed", "true");
    }
    if show.accesses == AccessTracking::On {
        document.element("LastAccessTime", rfc1123(blob.last_modified));
    }
    if let Some(lease) = show.lease {
        document.element("LeaseStatus", lease.status());
        document.element("LeaseState", lease.state());
        document.optional("LeaseDuration", lease.duration());
    }
    if let Some(copy) = blob.copy.as_ref().filter(|_| include.copy) {
        document.element("CopyId", copy.id.to_string());
        document.element("CopyStatus", copy.status.name());
        document.element("CopySource", &copy.source);
        document.element("CopyProgress", format!("{}/{}", copy.bytes, copy.total));
        document.optional("CopyCompletionTime", copy.completed.map(rfc1123));
        document.optional("CopyStatusDescription", copy.description.as_ref());
    }
    document.element("ServerEncrypted", "true");
    if let Some(until) = blob.protection.until.filter(|_| include.policy) {
        document.element("ImmutabilityPolicyUntilDate", rfc1123(until.time));
        document.element("ImmutabilityPolicyMode", until.mode());
    }
    if let Some(hold) = blob.protection.hold.filter(|_| include.hold) {
        document.element("LegalHold", flag(hold));
    }
    if !blob.tags.is_empty() {
        document.element("TagCount", blob.tags.len().to_string());
    }
}

pub(super) fn write_metadata(document: &mut Writer, metadata: &Metadata) {
    document.nest("Metadata", |document| {
        for (name, value) in metadata.iter() {
            document.element(name, value);
        }
    });
}

/// List Containers (§6).
pub(super) fn containers(server: &Server, call: &Call) -> Outcome {
    let prefix = call.query.get("prefix").unwrap_or("");
    let marker = call.query.nonempty("marker").map(Marker::decode).transpose()?;
    let include = Include::parse(call);
    let endpoint = server.endpoint(&call.account);
    let state = server.state(call.now);
    let limit = page_size(call, state.policy.list_page)?;
    let from = marker.as_ref().map_or("", |marker| &marker.name).max(prefix);
    let clock = retention_clock(&state, call.now);
    let State { accounts, deleted_containers, .. } = &*state;
    let containers = accounts.get(&call.account).ok_or(Code::ResourceNotFound)?;
    let of_the_account = |container: &&DeletedContainer| {
        container.account == call.account && container.name.starts_with(prefix) && container.deleted.is_kept(clock)
    };
    let deleted: Vec<_> = deleted_containers.iter().filter(of_the_account).filter(|_| include.deleted).collect();
    let mut names = containers
        .range::<str, _>((Bound::Included(from), Bound::Unbounded))
        .take_while(|(name, _)| name.starts_with(prefix));

    let mut document = Writer::new();
    document.open("EnumerationResults", &[("ServiceEndpoint", &format!("{endpoint}/"))]);
    document.element("Prefix", prefix);
    document.element("MaxResults", limit.to_string());
    document.nest("Containers", |document| {
        for (name, container) in names.by_ref().take(limit) {
            document.nest("Container", |document| write_container(document, name, container, include, call));
        }
        // All on the last page: there are few.
        let is_last = names.clone().next().is_none();
        for container in deleted.into_iter().filter(|_| is_last) {
            document.nest("Container", |document| write_deleted_container(document, container, clock));
        }
    });
    let next = names.next().map(|(name, _)| Marker::at(name).encode());
    document.element("NextMarker", next.unwrap_or_default());
    document.close("EnumerationResults");
    Ok(Reply::xml(document.finish()))
}

fn write_container(document: &mut Writer, name: &str, container: &Container, include: Include, call: &Call) {
    let now = call.now;
    let lease = container.lease.at(now);
    document.element("Name", name);
    document.nest("Properties", |document| {
        document.element("Last-Modified", rfc1123(container.last_modified));
        document.element("Etag", container.etag.quoted());
        document.element("LeaseStatus", lease.status());
        document.element("LeaseState", lease.state());
        document.optional("LeaseDuration", lease.duration());
        document.optional("PublicAccess", container.access.name());
        document.element("HasImmutabilityPolicy", flag(container.rules.has_policy()));
        document.element("HasLegalHold", flag(container.rules.legal_hold));
        // S191; versions are dates, and so in the order of texts.
        let name = match call.header("x-ms-version") {
            Some(version) if version < "2020-10-02" => "VersionLevelWormEnabled",
            _ => "ImmutableStorageWithVersioningEnabled",
        };
        document.element(name, flag(container.rules.versions));
    });
    if include.metadata {
        write_metadata(document, &container.metadata);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devstore::content::Content;
    use crate::devstore::model::ETag;

    fn container(names: &[&str]) -> Container {
        let now = SystemTime::now();
        let mut container = Container::new(ETag::from_ticks(1), now);
        for name in names {
            let mut entry = Entry::default();
            match name.strip_prefix('?') {
                Some(_) => drop(entry.staged.insert("QQ==".into(), Content::zeros(1))),
                None => entry.base = Some(Blob::sample(1, now)),
            }
            container.blobs.insert(name.trim_start_matches('?').to_owned(), entry);
        }
        container
    }

    /// All pages of `limit`, as strings, prefixes ending in `*`, snapshots with `@`.
    fn walk(container: &Container, mut selection: Selection, limit: usize) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let (items, next) = selection.page(container, limit);
            assert!(items.len() <= limit);
            seen.extend(items.iter().map(|item| match item {
                Item::Prefix(name, _) => format!("{name}*"),
                Item::Blob { name, past: Some(past), .. } => format!("{name}@{}", past.moment()),
                Item::Blob { name, .. } => (*name).to_owned(),
                Item::Uncommitted { name } => format!("?{name}"),
                Item::VersionsOnly { name, .. } => format!("{name}~"),
                Item::Deleted { name, .. } => format!("-{name}"),
            }));
            match next {
                Some(marker) => selection.marker = Some(Marker::decode(&marker.encode()).unwrap()),
                None => return seen,
            }
        }
    }

    #[test]
    fn every_page_size_shows_the_same() {
        let container = container(&["B", "a", "d", "d/", "d/1", "d/2/x", "d0", "e/1", "?u", "\u{FFFE}z"]);
        for limit in 1..12 {
            let flat = walk(&container, Selection::default(), limit);
            assert_eq!(flat, ["B", "a", "d", "d/", "d/1", "d/2/x", "d0", "e/1", "\u{FFFE}z"], "limit {limit}");
            let top = Selection { delimiter: Some("/"), ..Selection::default() };
            assert_eq!(walk(&container, top, limit), ["B", "a", "d", "d/*", "d0", "e/*", "\u{FFFE}z"]);
            let below = Selection { prefix: "d/", delimiter: Some("/"), ..Selection::default() };
            assert_eq!(walk(&container, below, limit), ["d/", "d/1", "d/2/*"]);
            let include = Include { uncommitted: true, ..Include::default() };
            let uncommitted = Selection { start: Some("e"), include, ..Selection::default() };
            assert_eq!(walk(&container, uncommitted, limit), ["e/1", "?u", "\u{FFFE}z"]);
        }
    }

    #[test]
    fn snapshots_come_before_their_blob() {
        let mut container = container(&["a", "b"]);
        let now = SystemTime::now();
        let entry = container.blobs.get_mut("a").unwrap();
        for id in ["2026-01", "2026-02"] {
            entry.snapshots.insert(id.to_owned(), Blob::sample(1, now));
        }
        let include = Include { snapshots: true, ..Include::default() };
        for limit in 1..5 {
            let all = walk(&container, Selection { include, ..Selection::default() }, limit);
            assert_eq!(all, ["a@2026-01", "a@2026-02", "a", "b"], "limit {limit}");
        }
    }

    #[test]
    fn earlier_versions_come_in_their_order_also_without_a_blob() {
        let mut container = container(&["a", "b"]);
        let now = SystemTime::now();
        let entry = container.blobs.get_mut("a").unwrap();
        entry.base = None;
        for id in ["2026-01", "2026-03"] {
            entry.versions.insert(id.to_owned(), Blob::sample(1, now));
        }
        entry.snapshots.insert("2026-02".to_owned(), Blob::sample(1, now));
        let both = Include { snapshots: true, versions: true, ..Include::default() };
        let versions = Include { versions: true, ..Include::default() };
        for limit in 1..5 {
            let all = walk(&container, Selection { include: both, ..Selection::default() }, limit);
            assert_eq!(all, ["a@2026-01", "a@2026-02", "a@2026-03", "b"], "limit {limit}");
            let all = walk(&container, Selection { include: versions, ..Selection::default() }, limit);
            assert_eq!(all, ["a@2026-01", "a@2026-03", "b"], "limit {limit}");
            assert_eq!(walk(&container, Selection::default(), limit), ["b"], "limit {limit}");
        }
    }

    #[test]
    fn names_xml_cannot_hold_are_encoded() {
        let mut document = Writer::new();
        write_name(&mut document, "d/\u{FFFE} x");
        assert!(document.finish().ends_with("<Name Encoded=\"true\">d%2F%EF%BF%BE%20x</Name>"));
    }
}
