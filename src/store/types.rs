//! Owned types for all that the Blob service says of blobs and can be told.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::error::{Result, ServiceError};
use crate::path::{BlobName, ContainerName, debug_as_display, shown_as_text};
use crate::store::secret::Secret;

/// A text that names something and is sent back as it came.
macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text over.
            pub fn new(text: &str) -> Self {
                Self(text.into())
            }
        }

        shown_as_text!($name);
    };
}

/// Enumerations that the service spells in words of its own.
macro_rules! spelled {
    ($name:ident { $($variant:ident: $word:literal),* }) => {
        impl $name {
            /// The service's spelling.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The one that is spelled like this, if there is one.
            pub(super) fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

/// An entity tag without its quotes; headers quote it and listings do not (§2).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ETag(Arc<str>);

impl ETag {
    /// Takes over the text of a header or a listing without its quotes.
    pub fn new(raw: &str) -> Self {
        Self(raw.trim_matches('"').into())
    }

    /// Text in quotes, for `If-Match` and its relatives.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

identifier!(
    /// `x-ms-copy-id`: names one attempt to copy onto a destination.
    CopyId
);

identifier!(
    /// `x-ms-lease-id`. Whoever knows it can write to the leased blob.
    LeaseId
);

/// The service's name for a moment in the life of a blob: what `snapshot=` and `versionid=` take. To be sent back as it
/// came.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Moment(Arc<str>);

impl Moment {
    /// `None` for what no service gives out: it looks like `2026-11-22T10:26:38.5720000Z`.
    pub fn parse(text: &str) -> Option<Self> {
        let legal = |b: u8| b.is_ascii_digit() || b"-:.TZ".contains(&b);
        ((1..=64).contains(&text.len()) && text.bytes().all(legal)).then(|| Self(text.into()))
    }
}

/// A blob as it was. Whatever takes an `Option<&Revision>` means the blob as it is by `None`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Revision {
    /// Somebody took a snapshot (§11).
    Snapshot(Moment),
    /// The account keeps versions, and this was one (X22).
    Version(Moment),
}

impl Revision {
    /// The query parameter that addresses it.
    pub fn parameter(&self) -> (&'static str, &str) {
        match self {
            Self::Snapshot(moment) => ("snapshot", moment.as_str()),
            Self::Version(moment) => ("versionid", moment.as_str()),
        }
    }

    /// Moment of the snapshot or version.
    pub fn moment(&self) -> &Moment {
        match self {
            Self::Snapshot(moment) | Self::Version(moment) => moment,
        }
    }
}

shown_as_text!(ETag, Moment);
debug_as_display!(CopySource);

/// Type of a blob, which it keeps for life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlobType {
    /// Blocks that a list puts in order.
    Block,
    /// Pages that are written in place.
    Page,
    /// Blocks that are only added at the end.
    Append,
}

spelled!(BlobType { Block: "BlockBlob", Page: "PageBlob", Append: "AppendBlob" });

/// Metadata of a blob. A name is the same in whatever case, as in a header, and keeps the spelling that it was first given:
/// other programs look names up exactly.
#[derive(Debug, Clone, Default)]
pub struct Metadata(BTreeMap<String, Entry>);

#[derive(Debug, Clone)]
struct Entry {
    /// The name with its capitals; `None` if it has none.
    spelled: Option<Box<str>>,
    value: String,
}

impl Metadata {
    /// Value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&name.to_ascii_lowercase()).map(|entry| entry.value.as_str())
    }

    /// Sets the value of a name, which keeps its spelling if it is there.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        let (lower, value) = (name.to_ascii_lowercase(), value.into());
        if let Some(entry) = self.0.get_mut(&lower) {
            entry.value = value;
            return;
        }
        let spelled = (lower != name).then(|| name.into());
        self.0.insert(lower, Entry { spelled, value });
    }

    /// The removed value, if there was one.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.0.remove(&name.to_ascii_lowercase()).map(|entry| entry.value)
    }

    /// Names as they are spelled and values, sorted by name in lower case.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, entry)| (entry.spelled.as_deref().unwrap_or(name), entry.value.as_str()))
    }

    /// True if there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `name=true`, however it is spelled: the convention of directory markers and symlinks (§19).
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

impl<N: AsRef<str>, V: Into<String>> FromIterator<(N, V)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(entries: I) -> Self {
        let mut metadata = Self::default();
        entries.into_iter().for_each(|(name, value)| metadata.set(name.as_ref(), value));
        metadata
    }
}

/// The same names, however they are spelled, with the same values: a server may return names in lower case.
impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        let entries = |(name, entry): (&'_ String, &'_ Entry)| (name.clone(), entry.value.clone());
        self.0.iter().map(entries).eq(other.0.iter().map(entries))
    }
}

impl Eq for Metadata {}

/// Index tags: case-sensitive names and values, at most ten.
pub type Tags = Vec<(String, String)>;

/// The properties that a client sets and a copy carries along (C14). A write that sends none of them clears them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContentHeaders {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// Base64 of the whole blob's MD5, as its writer stated it.
    pub content_md5: Option<String>,
}

impl ContentHeaders {
    /// Content headers from an answer or a row of a listing, where `value` finds them by their names. `md5` is the name
    /// of the whole blob's hash there.
    pub(super) fn read(md5: &str, value: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            content_type: value("Content-Type"),
            content_encoding: value("Content-Encoding"),
            content_language: value("Content-Language"),
            content_disposition: value("Content-Disposition"),
            cache_control: value("Cache-Control"),
            content_md5: value(md5),
        }
    }
}

/// State of a copy (§13.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CopyStatus {
    /// The service is at work.
    Pending,
    /// All bytes are copied.
    Success,
    /// Somebody aborted it.
    Aborted,
    /// The service gave up.
    Failed,
}

spelled!(CopyStatus { Pending: "pending", Success: "success", Aborted: "aborted", Failed: "failed" });

/// State of the last copy onto a blob (§13.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyState {
    /// Id of the copy.
    pub id: CopyId,
    /// State of the copy.
    pub status: CopyStatus,
    /// Source URL without `sig` (X24).
    pub source: Option<String>,
    /// Bytes; both 0 when the service omits the progress of an empty blob.
    pub bytes_copied: u64,
    /// Bytes of the source.
    pub total_bytes: u64,
    /// `None` while pending (C36).
    pub completion_time: Option<SystemTime>,
    /// Reason of a failure.
    pub description: Option<String>,
    /// Made of blocks by a mount, which alone knows of it. The service says so of none.
    pub in_blocks: bool,
}

/// Lease of a blob as its properties tell it (§12), in the service's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaseProperties {
    /// `available`, `leased`, `expired`, `breaking`, `broken`.
    pub state: Option<String>,
    /// `locked`, `unlocked`.
    pub status: Option<String>,
    /// `infinite`, `fixed`; only while leased.
    pub duration: Option<String>,
}

impl LeaseProperties {
    /// Somebody holds it, or lets go of it and has not yet: writes need its id.
    pub fn is_held(&self) -> bool {
        self.state.as_deref().is_some_and(|state| ["leased", "breaking"].contains(&state))
    }
}

/// Everything that Get Blob Properties or a listing says of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobProperties {
    /// Bytes.
    pub size: u64,
    /// Version of the blob.
    pub etag: ETag,
    /// Time of the last write.
    pub last_modified: SystemTime,
    /// Time of the creation, where the service tells it.
    pub creation_time: Option<SystemTime>,
    /// Type of the blob.
    pub blob_type: BlobType,
    /// Content headers.
    pub headers: ContentHeaders,
    /// Metadata.
    pub metadata: Metadata,
    /// Access tier.
    pub tier: Option<String>,
    /// True if nobody chose the tier for this blob: it is the account's default.
    pub tier_inferred: bool,
    /// `rehydrate-pending-to-hot` and the like.
    pub archive_status: Option<String>,
    /// How urgently it is brought back from the archive: `Standard`, `High`.
    pub rehydrate_priority: Option<String>,
    /// Lease.
    pub lease: LeaseProperties,
    /// Last copy onto the blob.
    pub copy: Option<CopyState>,
    /// Number of index tags.
    pub tag_count: u32,
    /// Page blobs.
    pub sequence_number: Option<u64>,
    /// Append blobs.
    pub committed_block_count: Option<u32>,
    /// Sealed append blob: nothing can be added.
    pub sealed: bool,
    /// Id of this version, where the account keeps versions.
    pub version_id: Option<String>,
    /// True if this version is the blob as it is.
    pub is_current_version: bool,
    /// What keeps this version from being changed, beside what its container does.
    pub protection: Protection,
    /// Where the namespace is hierarchical.
    pub path: Option<PathProperties>,
}

/// What a hierarchical namespace says of a path besides (S134). Identities are GUIDs, or names such as `$superuser`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathProperties {
    /// A directory, which is one whatever its metadata say.
    pub is_directory: bool,
    /// Owner; not told by listings, nor what follows.
    pub owner: Option<String>,
    /// Owning group.
    pub group: Option<String>,
    /// `rwxr-x---`, with a `+` if there is more in the access list.
    pub permissions: Option<String>,
}

impl PathProperties {
    pub(super) fn of_type(kind: &str) -> Self {
        Self { is_directory: kind.eq_ignore_ascii_case("directory"), ..Self::default() }
    }
}

/// Owner, group and access list of a path: as it has them, or as far as they are to be set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessControl {
    /// Owner.
    pub owner: Option<String>,
    /// Owning group.
    pub group: Option<String>,
    /// `rwxr-x---` or, to set, `0750`.
    pub permissions: Option<String>,
    /// `user::rwx,group::r-x,other::---` and what else there is.
    pub acl: Option<String>,
}

impl BlobProperties {
    /// The tier that somebody chose for this blob, which a rewrite or a rename has to choose again.
    pub fn chosen_tier(&self) -> Option<String> {
        self.tier.clone().filter(|_| !self.tier_inferred)
    }

    /// Value of `x-ms-seal-blob` that makes a copy of this blob sealed, or not (S8 to S10): only an append blob can be
    /// either.
    pub fn seal_of_copy(&self, sealed: bool) -> Option<bool> {
        (self.blob_type == BlobType::Append).then_some(sealed)
    }

    /// The content is in the archive, also while it is on its way back.
    pub fn is_archived(&self) -> bool {
        self.tier.as_deref() == Some("Archive")
    }

    /// What the answer to the last write said.
    pub(super) fn written(&self) -> Written {
        Written { etag: self.etag.clone(), last_modified: self.last_modified }
    }

    /// A copy onto the blob has not ended (§13.4).
    pub fn is_pending(&self) -> bool {
        self.copy.as_ref().is_some_and(|copy| copy.status == CopyStatus::Pending)
    }
}

/// The policy and the hold of one version of a blob (S114), in the service's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Protection {
    /// The policy's end.
    pub until: Option<SystemTime>,
    /// The policy's mode: `unlocked`, `locked`.
    pub mode: Option<String>,
    /// Whether there is a legal hold; `None` if there never was one.
    pub legal_hold: Option<bool>,
}

impl Protection {
    /// It may be refused to delete the version. (A policy may have run out; the clock that counts is the service's.)
    pub fn is_any(&self) -> bool {
        self.until.is_some() || self.legal_hold == Some(true)
    }
}

/// What a container keeps from being changed (S109, S188, S190).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keeping {
    /// Nothing.
    #[default]
    Nothing,
    /// Every blob, as it is first made.
    Blobs,
    /// Versions that have a policy or a hold of their own.
    Versions {
        /// Every new version has a policy: the container's.
        every: bool,
    },
}

impl Keeping {
    /// By what a container says of itself (S115, S191).
    pub(super) fn of(policy: bool, hold: bool, versions: bool) -> Self {
        match (versions, policy || hold) {
            (true, _) => Self::Versions { every: policy },
            (false, true) => Self::Blobs,
            (false, false) => Self::Nothing,
        }
    }
}

/// A row of List Containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerItem {
    /// Name.
    pub name: ContainerName,
    /// Time of the last change of its metadata.
    pub last_modified: SystemTime,
    /// Version of its metadata.
    pub etag: ETag,
    /// Metadata.
    pub metadata: Metadata,
    /// What it keeps from being changed.
    pub keeping: Keeping,
}

/// A row of List Blobs. Names that [`BlobName`] cannot hold are left out by the parser, which says so in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobItem {
    /// Name.
    pub name: BlobName,
    /// Snapshot or version, which are listed on request besides the blobs themselves.
    pub revision: Option<Revision>,
    /// Properties.
    pub properties: BlobProperties,
}

/// The id of a deletion in a hierarchical namespace, by which one of several of the same name is brought back (S206).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletionId(pub(super) String);

/// What was deleted softly and can be brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedBlob {
    /// Name.
    pub name: BlobName,
    /// Where the namespace is hierarchical: a name may have been deleted more than once there.
    pub deletion: Option<DeletionId>,
    /// Properties, as they were.
    pub properties: BlobProperties,
}

/// One page of a listing. `next` is empty only at the very end: a page may hold nothing and yet have a successor (§7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Rows.
    pub items: Vec<T>,
    /// `BlobPrefix` names, each ending in the delimiter. Always empty for containers and flat listings.
    pub prefixes: Vec<String>,
    /// Rows whose names no path can carry. They are there, and must not be taken for nothing.
    pub left_out: usize,
    /// Marker of the next page.
    pub next: Option<String>,
}

/// A condition on the blob that a request writes to (§5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Precondition {
    /// No condition.
    #[default]
    None,
    /// `If-Match`: only this version.
    IfMatch(ETag),
    /// `If-None-Match: *`: only if nothing is there.
    IfAbsent,
}

/// Settings that a write of the whole blob sends along with the content. Whatever is not here is cleared (§9).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlobSettings {
    /// Content headers.
    pub headers: ContentHeaders,
    /// Metadata.
    pub metadata: Metadata,
    /// Access tier to write to; the account's default when `None`.
    pub tier: Option<String>,
    /// Index tags.
    pub tags: Tags,
}

/// The answer to a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// New version.
    pub etag: ETag,
    /// Time of the write.
    pub last_modified: SystemTime,
}

/// An entry of a block list: Base64 id as sent, size in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Id, Base64.
    pub id: BlockId,
    /// Bytes.
    pub size: u64,
}

identifier!(
    /// A block id in its Base64 form. All ids of a blob have the same length (§1.3).
    BlockId
);

/// A block by the list in which Put Block List finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockRef {
    /// In the committed list.
    Committed(BlockId),
    /// Staged since.
    Uncommitted(BlockId),
    /// Staged since, or else in the committed list.
    Latest(BlockId),
}

/// A URL that the service reads from. It may carry a SAS, so it shows itself without its query (X24).
#[derive(Clone)]
pub struct CopySource {
    url: Secret,
    /// Token by which the service reads the source, where no SAS can be made. Not for Copy Blob.
    token: Option<Secret>,
    /// The credentials of the request must not count for the source.
    alone: bool,
    /// What signed it, and can do so again.
    signer: Option<Arc<dyn SignSource>>,
}

/// Longest URL in `x-ms-copy-source` (§15).
pub(super) const MAX_SOURCE_URL: usize = 2048;

/// What signs a copy source, and can do so again when another credential is in use.
pub(super) trait SignSource: Send + Sync {
    /// The source by the credential that its account is asked with at this moment, if that is another one.
    fn renewed(&self) -> BoxFuture<'_, Result<Option<CopySource>>>;

    /// The source by another credential, if it was refused for the one that it has and there is one that may mend that.
    fn after<'a>(&'a self, error: &'a ServiceError) -> BoxFuture<'a, Result<Option<CopySource>>>;
}

impl CopySource {
    /// A complete, percent-encoded `http(s)` URL, with SAS where the source needs one.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: Secret::new(url), token: None, alone: false, signer: None }
    }

    /// The same, to be read by what the URL itself proves and by nothing else. Copy Blob lends the credentials of its
    /// own request to whatever it takes for the same account; the From-URL operations lend them to nobody (S49).
    pub fn on_its_own(self) -> Self {
        Self { alone: true, ..self }
    }

    /// True if the URL brings a SAS of its own, good or not.
    pub fn is_signed(&self) -> bool {
        let Ok(url) = reqwest::Url::parse(self.url.expose()) else { return false };
        url.query_pairs().any(|(name, value)| name.eq_ignore_ascii_case("sig") && !value.is_empty())
    }

    /// The same, to be read by a token.
    pub(super) fn authorized(self, token: Secret) -> Self {
        Self { token: Some(token), ..self }
    }

    pub(super) fn signed_by(self, signer: Arc<dyn SignSource>) -> Self {
        Self { signer: Some(signer), ..self }
    }

    pub(super) fn signer(&self) -> Option<&Arc<dyn SignSource>> {
        self.signer.as_ref()
    }

    pub(super) fn token(&self) -> Option<&Secret> {
        self.token.as_ref()
    }

    /// True if it can only be read by operations that are done when they are answered.
    pub fn is_read_by_token(&self) -> bool {
        self.token.is_some() || self.alone
    }

    /// The URL as the request header wants it, signature and all. Not for logs.
    pub fn expose(&self) -> &str {
        self.url.expose()
    }
}

impl fmt::Display for CopySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(self.url.expose()))
    }
}

/// `url` without what its query may say besides snapshot and version (X24): what logs, attributes and errors show. A part
/// of a token is a help for whoever wants to guess the rest, and tokens that are not Azure's have names of their own.
pub fn redact(url: &str) -> String {
    let url = url.split('#').next().unwrap_or_default();
    let Some((path, query)) = url.split_once('?') else {
        return url.to_owned();
    };
    let is_shown = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        ["snapshot", "versionid"].iter().any(|known| name.eq_ignore_ascii_case(known))
    };
    let kept: Vec<&str> = query.split('&').filter(is_shown).collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

/// A Copy Blob request (§13.2) apart from its destination.
#[derive(Debug, Clone)]
pub struct CopyRequest {
    /// URL of the source.
    pub source: CopySource,
    /// `x-ms-source-if-match`: the version that the caller saw. Guards against a source that changed meanwhile.
    pub source_if_match: Option<ETag>,
    /// Condition on the destination.
    pub precondition: Precondition,
    /// `None`: the source's metadata come along. `Some`: exactly these, none of the source's (X3). No metadata at all
    /// is not among the service's choices, so an empty set is refused.
    pub metadata: Option<Metadata>,
    /// Tier of the destination; the account's default, or what an overwritten destination had, when `None`.
    pub tier: Option<String>,
    /// Tags of the destination: the source's are never copied (X4).
    pub tags: Tags,
    /// Seal of an append blob when the copy is done: see [`BlobProperties::seal_of_copy`]. `None`: as its source is
    /// (X23), which is all that can be said of a source that may be of another type.
    pub seal: Option<bool>,
    /// Lease of the destination.
    pub lease: Option<LeaseId>,
}

/// The answer to Copy Blob (C24).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyStarted {
    /// Id of the copy.
    pub id: CopyId,
    /// State at the start.
    pub status: CopyStatus,
    /// Version of the destination.
    pub etag: ETag,
    /// Time of the start.
    pub last_modified: SystemTime,
    /// Properties that the destination showed, when that had to be asked because the answer was lost.
    pub found: Option<Box<BlobProperties>>,
}

/// A whole copy source for the operations that read it before they answer.
#[derive(Debug, Clone, Copy)]
pub struct WholeSource<'a> {
    /// URL.
    pub source: &'a CopySource,
    /// `x-ms-source-if-match`: the version that the caller saw.
    pub if_match: Option<&'a ETag>,
    /// Bytes, if that is known.
    pub size: Option<u64>,
}

/// A range of a copy source.
#[derive(Debug, Clone)]
pub struct SourceRange<'a> {
    /// URL.
    pub source: &'a CopySource,
    /// Bytes.
    pub range: Range<u64>,
    /// `x-ms-source-if-match`: the version that the caller saw.
    pub if_match: Option<&'a ETag>,
}

/// Content of a blob with the properties that came in the same answer.
#[derive(Debug, Clone)]
pub struct Download {
    /// Content.
    pub bytes: Bytes,
    /// Properties of the blob.
    pub properties: BlobProperties,
}

/// Which of a blob's snapshots a delete takes along (§11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeleteSnapshots {
    /// Refuse if there are any: 409 SnapshotsPresent.
    #[default]
    Refuse,
    /// Delete them, too.
    Include,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_is_the_same_with_and_without_quotes() {
        assert_eq!(ETag::new("\"0x8D\""), ETag::new("0x8D"));
        assert_eq!(ETag::new("0x8D").quoted(), "\"0x8D\"");
    }

    #[test]
    fn no_part_of_a_token_is_shown() {
        let source = CopySource::new("https://a.blob.core.windows.net/c/b?sv=1&SIG=abc%3D&sp=r");
        assert_eq!(format!("{source}"), "https://a.blob.core.windows.net/c/b");
        assert_eq!(format!("{source:?}"), "https://a.blob.core.windows.net/c/b");
        assert_eq!(redact("http://h/c/b?sv=1&snapshot=2026&skoid=x&sig=x"), "http://h/c/b?snapshot=2026");
        assert_eq!(redact("http://h/f?X-Amz-Credential=AKIA&token=x#part"), "http://h/f");
        assert_eq!(redact("http://h/c/b"), "http://h/c/b");
    }

    #[test]
    fn metadata_names_ignore_case_and_keep_it() {
        let mut metadata: Metadata = [("Color", "blue"), ("b", "x"), ("A", "y")].into_iter().collect();
        metadata.set("COLOR", "red");
        assert_eq!(metadata.iter().collect::<Vec<_>>(), [("A", "y"), ("b", "x"), ("Color", "red")]);
        assert_eq!((metadata.get("cOLOR"), metadata.flag("color")), (Some("red"), false));
        assert_eq!(metadata, [("a", "y"), ("B", "x"), ("color", "red")].into_iter().collect());
        assert_ne!(metadata, [("a", "y"), ("B", "x"), ("color", "Red")].into_iter().collect());
        assert_eq!(metadata.remove("COLOR").as_deref(), Some("red"));
        metadata.set("COLOR", "green");
        assert_eq!(metadata.iter().last(), Some(("COLOR", "green")));
    }
}
