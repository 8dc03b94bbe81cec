//! Blobs: content, properties, states of copies, snapshots and versions.
//!
//! A [`Blob`] is one immutable-looking version: content, properties, metadata, tags and the copy state it carries. An
//! [`Entry`] is everything under one name: the current blob, blocks that wait to be committed, snapshots and the lease,
//! which outlive an overwrite of the blob (X18), and in an account with versioning what the blob was before (X22).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use uuid::Uuid;

use super::access::Access;
use super::address::{Namespace, Revision};
use super::bin::Bin;
use super::clock::iso_from_ticks;
use super::content::Content;
use super::error::{Code, ServiceError};
use super::lease::Lease;
use super::protection::Protection;
use super::tags::Tags;

/// Ticks between year 1, where the service counts from, and 1970: gives ETags the familiar `0x8D…` look.
const TICKS_BEFORE_1970: u64 = 621_355_968_000_000_000;

/// Content type of a blob that was given none.
const DEFAULT_CONTENT_TYPE: &str = "application/octet-stream";

/// The metadata by which the Blob endpoint shows that a blob is a directory (§14, S135).
const FOLDER: &str = "hdi_isfolder";

/// An entity tag. `Display` is the bare form of listings; headers add the quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ETag(u64);

impl ETag {
    pub(super) fn from_ticks(ticks: u64) -> ETag {
        ETag(ticks + TICKS_BEFORE_1970)
    }

    /// The moment it was made, in the form of snapshot and version ids.
    pub(super) fn moment(self) -> String {
        iso_from_ticks(self.0 - TICKS_BEFORE_1970)
    }

    /// The form of headers.
    pub(super) fn quoted(self) -> String {
        format!("\"{self}\"")
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#X}", self.0)
    }
}

/// Metadata: names count without regard to case, and keep theirs.
#[derive(Debug, Clone, Default)]
pub(super) struct Metadata(BTreeMap<String, (String, String)>);

impl Metadata {
    pub(super) fn new() -> Metadata {
        Metadata::default()
    }

    /// The value that the name had.
    pub(super) fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) -> Option<String> {
        let name = name.into();
        self.0.insert(name.to_ascii_lowercase(), (name, value.into())).map(|(_, value)| value)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&name.to_ascii_lowercase()).map(|(_, value)| value.as_str())
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.remove(&name.to_ascii_lowercase());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names as they were sent, sorted without regard to case, and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.values().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Whether they say that a blob is a directory.
pub(super) fn is_marked(metadata: &Metadata) -> bool {
    metadata.get(FOLDER).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// One committed or staged block.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// The id as sent, Base64.
    pub id: String,
    pub content: Content,
}

/// The blob types and what only they have.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// `blocks` is empty after Put Blob, which leaves no block list (§9).
    Block {
        blocks: Arc<[Block]>,
    },
    Append {
        blocks: u64,
        sealed: bool,
    },
    Page {
        sequence: u64,
    },
}

impl Kind {
    /// `x-ms-blob-type`.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Kind::Block { .. } => "BlockBlob",
            Kind::Append { .. } => "AppendBlob",
            Kind::Page { .. } => "PageBlob",
        }
    }

    /// A block blob without block list.
    pub(super) fn unlisted() -> Kind {
        Kind::Block { blocks: Arc::default() }
    }

    /// Whether both are of one type: a copy cannot change it (C7).
    pub(super) fn is_same(&self, other: &Kind) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// The standard HTTP properties a blob stores (C14).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Properties {
    /// Shown as a stream of bytes when none was given.
    pub content_type: Option<String>,
    pub encoding: Option<String>,
    pub language: Option<String>,
    pub md5: Option<String>,
    pub disposition: Option<String>,
    pub cache_control: Option<String>,
}

impl Properties {
    /// Response header, listing element and value of each property, without the MD5, whose place depends on the range.
    pub(super) fn each(&self) -> [(&'static str, &'static str, Option<&str>); 5] {
        [
            ("content-type", "Content-Type", Some(self.content_type.as_deref().unwrap_or(DEFAULT_CONTENT_TYPE))),
            ("content-encoding", "Content-Encoding", self.encoding.as_deref()),
            ("content-language", "Content-Language", self.language.as_deref()),
            ("cache-control", "Cache-Control", self.cache_control.as_deref()),
            ("content-disposition", "Content-Disposition", self.disposition.as_deref()),
        ]
    }

    /// These, and where they say nothing, `below`.
    pub(super) fn or(self, below: Properties) -> Properties {
        Properties {
            content_type: self.content_type.or(below.content_type),
            encoding: self.encoding.or(below.encoding),
            language: self.language.or(below.language),
            md5: self.md5.or(below.md5),
            disposition: self.disposition.or(below.disposition),
            cache_control: self.cache_control.or(below.cache_control),
        }
    }
}

/// Access tiers of block blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tier {
    Hot,
    Cool,
    Cold,
    Archive,
}

impl Tier {
    pub(super) fn parse(text: &str) -> Result<Tier, ServiceError> {
        let all = [Tier::Hot, Tier::Cool, Tier::Cold, Tier::Archive];
        let found = all.into_iter().find(|tier| tier.name() == text);
        found.ok_or_else(|| ServiceError::invalid_header("x-ms-access-tier", text))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Tier::Hot => "Hot",
            Tier::Cool => "Cool",
            Tier::Cold => "Cold",
            Tier::Archive => "Archive",
        }
    }
}

/// Sizes of the tiers of page blobs in GiB, and their names (S184).
const PAGE_TIERS: [(u64, &str); 11] = [
    (32, "P4"),
    (64, "P6"),
    (128, "P10"),
    (256, "P15"),
    (512, "P20"),
    (1 << 10, "P30"),
    (2 << 10, "P40"),
    (4 << 10, "P50"),
    (8 << 10, "P60"),
    (16 << 10, "P70"),
    (32 << 10, "P80"),
];

/// A tier of a page blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PageTier(usize);

impl PageTier {
    /// `None` if there is none of that name.
    pub(super) fn parse(text: &str) -> Option<PageTier> {
        PAGE_TIERS.iter().position(|(_, name)| *name == text).map(PageTier)
    }

    pub(super) fn name(self) -> &'static str {
        PAGE_TIERS[self.0].1
    }

    /// Bytes that a blob of that tier may have.
    pub(super) fn size(self) -> u64 {
        PAGE_TIERS[self.0].0 << 30
    }
}

/// An archived blob on its way back, which takes until the control interface ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rehydration {
    pub to: Tier,
    pub high: bool,
}

impl Rehydration {
    /// `x-ms-archive-status` (S99, S183).
    pub(super) fn status(self) -> String {
        format!("rehydrate-pending-to-{}", self.to.name().to_lowercase())
    }

    /// `x-ms-rehydrate-priority`.
    pub(super) fn priority(self) -> &'static str {
        if self.high { "High" } else { "Standard" }
    }
}

/// `x-ms-copy-status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CopyStatus {
    Pending,
    Success,
    Aborted,
    Failed,
}

impl CopyStatus {
    pub(super) fn name(self) -> &'static str {
        match self {
            CopyStatus::Pending => "pending",
            CopyStatus::Success => "success",
            CopyStatus::Aborted => "aborted",
            CopyStatus::Failed => "failed",
        }
    }
}

/// The copy state a destination carries (§13.4).
#[derive(Debug, Clone)]
pub(super) struct CopyState {
    pub id: Uuid,
    /// The source URL, with as much of its signature as the service shows (X24).
    pub source: String,
    pub status: CopyStatus,
    pub bytes: u64,
    pub total: u64,
    /// Absent while pending (C36).
    pub completed: Option<SystemTime>,
    pub description: Option<String>,
}

/// The encryption that a customer chose for a blob.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Encryption {
    /// SHA-256 of the customer's key, in Base64.
    pub key: Option<String>,
    pub scope: Option<String>,
}

/// One version of a blob.
#[derive(Debug, Clone)]
pub(super) struct Blob {
    pub kind: Kind,
    pub content: Content,
    pub etag: ETag,
    pub last_modified: SystemTime,
    pub created: SystemTime,
    pub properties: Properties,
    pub metadata: Metadata,
    pub tags: Tags,
    /// `None` when never set: block blobs then report the account's default as inferred.
    pub tier: Option<Tier>,
    pub tier_changed: Option<SystemTime>,
    pub rehydrating: Option<Rehydration>,
    /// Of a page blob whose tier was set.
    pub page_tier: Option<PageTier>,
    pub copy: Option<CopyState>,
    pub encryption: Encryption,
    /// `x-ms-version-id`, in an account with versioning.
    pub version: Option<String>,
    /// A directory of a hierarchical namespace. Those of flat accounts are blobs like any other.
    pub directory: bool,
    /// Shown where the namespace is hierarchical (S134).
    pub access: Access,
    /// Written last by append and flush over DFS: it has no blocks that the Blob endpoint knows (S131).
    pub over_dfs: bool,
    /// What keeps this version and no other (S187).
    pub protection: Protection,
}

impl Blob {
    /// A blob with default properties, stamped with `ticks` at `now`.
    pub(super) fn new(kind: Kind, content: Content, ticks: u64, now: SystemTime) -> Blob {
        Blob {
            kind,
            content,
            etag: ETag::from_ticks(ticks),
            last_modified: now,
            created: now,
            properties: Properties::default(),
            metadata: Metadata::new(),
            tags: Tags::new(),
            tier: None,
            tier_changed: None,
            rehydrating: None,
            page_tier: None,
            copy: None,
            encryption: Encryption::default(),
            version: None,
            directory: false,
            access: Access::default(),
            over_dfs: false,
            protection: Protection::default(),
        }
    }

    #[cfg(test)]
    pub(in crate::devstore) fn sample(etag: u64, last_modified: SystemTime) -> Blob {
        Blob::new(Kind::unlisted(), Content::default(), etag, last_modified)
    }

    /// Marks a write of content, metadata or properties: the only ones that change ETag and Last-Modified (§2).
    pub(super) fn touch(&mut self, ticks: u64, now: SystemTime) {
        self.etag = ETag::from_ticks(ticks);
        self.last_modified = now;
    }

    /// Whether a copy into this blob is under way.
    pub(super) fn is_pending(&self) -> bool {
        self.copy.as_ref().is_some_and(|copy| copy.status == CopyStatus::Pending)
    }

    /// A directory of a hierarchical namespace with nothing in it yet.
    pub(super) fn directory(ticks: u64, now: SystemTime) -> Blob {
        let blob = Blob::new(Kind::unlisted(), Content::default(), ticks, now);
        Blob { directory: true, access: Access::of_a_directory(), ..blob }
    }

    /// The same in a namespace of that kind: in a hierarchical one, who puts a blob that says so makes a directory.
    pub(super) fn within(self, namespace: Namespace) -> Blob {
        match namespace {
            Namespace::Hierarchical if is_marked(&self.metadata) => {
                let mut metadata = self.metadata;
                metadata.remove(FOLDER);
                Blob { metadata, directory: true, access: Access::of_a_directory(), ..self }
            }
            _ => self,
        }
    }

    /// The metadata as they are shown: every directory says that it is one, whatever a client stored (S135).
    pub(super) fn shown_metadata(&self) -> Metadata {
        let mut shown = self.metadata.clone();
        if self.directory {
            shown.insert(FOLDER, "true");
        }
        shown
    }

    /// `x-ms-resource-type`.
    pub(super) fn resource_type(&self) -> &'static str {
        if self.directory { "directory" } else { "file" }
    }

    /// 409 for blocks of a file that has none which the Blob endpoint knows (S131).
    pub(super) fn check_blocks(&self) -> Result<(), ServiceError> {
        if self.over_dfs { Err(Code::BlobOperationNotSupported.into()) } else { Ok(()) }
    }

    /// 409 where what is put there would make a file of a directory, or a directory of a file (S141).
    pub(super) fn check_replaced_by(&self, directory: bool) -> Result<(), ServiceError> {
        if self.directory == directory { Ok(()) } else { Err(Code::PathConflict.into()) }
    }

    /// 409 for content in the archive tier, which can be neither read nor overwritten in place.
    pub(super) fn check_online(&self) -> Result<(), ServiceError> {
        if self.tier == Some(Tier::Archive) { Err(Code::BlobArchived.into()) } else { Ok(()) }
    }
}

/// Everything that lives under one blob name.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Absent while only uncommitted blocks exist.
    pub base: Option<Blob>,
    pub staged: BTreeMap<String, Content>,
    /// Appended over DFS and not flushed, by position.
    pub appended: BTreeMap<u64, Content>,
    /// By snapshot id, oldest first.
    pub snapshots: BTreeMap<String, Blob>,
    pub lease: Lease,
    /// The account keeps versions.
    pub versioned: bool,
    /// By version id, oldest first, without the current one.
    pub versions: BTreeMap<String, Blob>,
    /// What was deleted softly.
    pub bin: Bin<Blob>,
}

impl Entry {
    /// The blob as it is or was.
    pub(super) fn at(&self, revision: &Revision) -> Option<&Blob> {
        match revision {
            Revision::Current => self.base.as_ref(),
            Revision::Snapshot(id) => self.snapshots.get(id),
            Revision::Version(id) => {
                let current = self.base.as_ref().filter(|base| base.version.as_deref() == Some(id));
                current.or_else(|| self.versions.get(id))
            }
        }
    }

    pub(super) fn is_current(&self, blob: &Blob) -> bool {
        blob.version.is_some() && self.base.as_ref().is_some_and(|base| base.version == blob.version)
    }

    /// Installs new content under the name: staged blocks go, lease, snapshots and versions stay.
    pub(super) fn replace(&mut self, blob: Blob) -> &Blob {
        self.staged.clear();
        self.appended.clear();
        self.supersede(blob)
    }

    /// Makes `blob`, which has its stamp, the current version.
    pub(super) fn supersede(&mut self, blob: Blob) -> &Blob {
        let version = blob.etag.moment();
        self.supersede_as(version, blob)
    }

    /// The same with a version's id that is not the moment of its ETag.
    pub(super) fn supersede_as(&mut self, version: String, mut blob: Blob) -> &Blob {
        self.retire();
        // What was deleted under the name is no more than a snapshot now.
        if let Some(deleted) = self.bin.blob.take() {
            self.bin.snapshots.insert(deleted.what.etag.moment(), deleted);
        }
        blob.version = self.versioned.then_some(version);
        self.base.insert(blob)
    }

    /// The current version becomes an earlier one, or is gone.
    fn retire(&mut self) {
        if let Some(base) = self.base.take()
            && let Some(id) = base.version.clone()
        {
            self.versions.insert(id, base);
        }
    }

    /// Deletes the blob with its snapshots and all that waits to be committed.
    pub(super) fn delete(&mut self) {
        self.retire();
        self.staged.clear();
        self.snapshots.clear();
        self.lease = Lease::default();
    }

    /// Deletes one version, which must not be the current one (S88).
    pub(super) fn delete_version(&mut self, id: &str) -> Result<(), Code> {
        if self.base.as_ref().is_some_and(|base| base.version.as_deref() == Some(id)) {
            return Err(Code::OperationNotAllowedOnRootBlob);
        }
        self.versions.remove(id).map(drop).ok_or(Code::BlobNotFound)
    }

    /// The same as [`Entry::at`], for changing it.
    pub(super) fn at_mut(&mut self, revision: &Revision) -> Option<&mut Blob> {
        match revision {
            Revision::Current => self.base.as_mut(),
            Revision::Snapshot(id) => self.snapshots.get_mut(id),
            Revision::Version(id) => {
                let current = self.base.as_mut().filter(|base| base.version.as_deref() == Some(id));
                current.or_else(|| self.versions.get_mut(id))
            }
        }
    }

    /// Takes a snapshot named after `ticks`.
    pub(super) fn add_snapshot(&mut self, blob: Blob, ticks: u64) -> String {
        let id = iso_from_ticks(ticks);
        self.snapshots.insert(id.clone(), blob);
        id
    }

    /// A directory of a hierarchical namespace, as the Blob endpoint shows it.
    pub(super) fn is_directory(&self) -> bool {
        self.base.as_ref().is_some_and(|base| base.directory)
    }

    /// Whether nothing is left and the name is free again.
    pub(super) fn is_vacant(&self) -> bool {
        let has_past = !self.snapshots.is_empty() || !self.versions.is_empty() || !self.bin.is_empty();
        self.base.is_none() && self.staged.is_empty() && !has_past
    }
}
