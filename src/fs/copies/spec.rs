//! A copy that is to be started, and what is to be done about its source and destination besides.

use std::sync::Arc;

use crate::fs::caller::Caller;
use crate::fs::copies::lease::LeaseSource;
use crate::fs::copies::method::CopyMethod;
use crate::fs::names::attr::Ino;
use crate::fs::names::tree::{AccountId, Blob};
use crate::store::{BlobProperties, BlobType, CopyRequest, CopySource, LeaseId, Metadata, Precondition, Tags};

/// A blob that is to come back if a copy onto it is no success.
#[derive(Clone)]
pub(crate) struct Kept {
    /// Its node, if there is one.
    pub ino: Option<Ino>,
    /// The version that is replaced.
    pub before: Arc<BlobProperties>,
}

/// The treatment of source and destination besides copying.
#[derive(Default, Clone)]
pub(crate) struct CopyOptions {
    /// The source, if it is a blob as it is now in one of the mount's accounts: it can be leased.
    pub source: Option<Blob>,
    /// The account of the mount that the source is in, as it is or was: it can be read in ranges.
    pub from: Option<AccountId>,
    /// The way that the copy goes if the source is in another account; as the mount does otherwise.
    pub method: Option<CopyMethod>,
    /// When that is done; as the mount does otherwise.
    pub lease_source: Option<LeaseSource>,
    /// The blob that is replaced, if the caller knows.
    pub replaced: Option<Arc<BlobProperties>>,
    /// The caller's lease of the destination (X5).
    pub lease: Option<LeaseId>,
    /// What is restored if the copy is no success. A Copy Blob takes it at its start, so it is kept before; blocks leave
    /// it where it is.
    pub kept: Option<Kept>,
    /// Somebody waits for the end and hears of it. A copy that nobody waits for is left to the service alone, unless
    /// blocks are asked for.
    pub awaited: bool,
    pub caller: Option<Caller>,
}

/// A copy to start.
#[derive(Clone)]
pub(crate) struct CopySpec {
    pub source: CopySource,
    /// The version of the source that the caller saw; unknown for a URL outside the mount.
    pub version: Option<Arc<BlobProperties>>,
    pub destination: Blob,
    pub precondition: Precondition,
    /// `None`: the source's.
    pub metadata: Option<Metadata>,
    pub tier: Option<String>,
    pub tags: Tags,
    /// Whether an append blob is sealed; `None` for all others, and for what is not known.
    pub seal: Option<bool>,
    pub options: CopyOptions,
}

impl CopySpec {
    /// The request to the service, and what is done besides.
    pub(in crate::fs) fn into_request(self) -> (CopyRequest, CopyOptions) {
        let Self { source, version, precondition, metadata, tier, tags, seal, options, .. } = self;
        let source_if_match = version.map(|version| version.etag.clone());
        let lease = options.lease.clone();
        // What was chosen for the destination stays in an account with versions (S103); that it stays everywhere, nobody
        // has seen.
        let chosen = options.replaced.as_ref().filter(|replaced| replaced.blob_type == BlobType::Block);
        let tier = tier.or_else(|| chosen?.chosen_tier());
        (CopyRequest { source, source_if_match, precondition, metadata, tier, tags, seal, lease }, options)
    }
}
