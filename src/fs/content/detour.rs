//! Files that were written last at the endpoint of their hierarchical namespace: Spark, Hadoop and AzCopy do so. The
//! service puts no blocks into them (S131), so whatever takes more than one Put Blob is written as a whole beside them,
//! under a hidden name, and takes the file's name when it is complete.
//!
//! | new content | requests, besides the one that is refused |
//! |---|---|
//! | in memory and no larger than a block | one Put Blob, and nothing is refused |
//! | no larger than a block, at most 1 MiB of it in the blob | that is read, then one Put Blob |
//! | anything else | owner and access list of the file are seen; the blocks, Put Block List, both set; one rename |
//!
//! The rename is conditional on the version that was changed, as Put Block List would have been, so another client's
//! write is refused or kept as ever; and the file has either content at every moment. It is a block blob afterwards,
//! which takes blocks like any other.
//!
//! What Put Block List makes has the list that its directory gives new files, until the next request sets the file's:
//! so long, somebody may read it by its hidden name who must not read the file. Nothing closes that. A path that is
//! there before its blocks may lose its list to Put Block List, one that is made over DFS may take no blocks (S131), and
//! a directory that nobody enters takes two requests more, and stays where a program ends. So what there is to be set is
//! asked for before anything is there, and nothing comes in between.
//!
//! Nobody else has the hidden name. So what is there, is of this draft: a commit whose answer is lost is sent again
//! without a condition, and what is left when there is no more use for it is deleted without one.
//!
//! Which files are so is not told. Where it could be one, in a hierarchical namespace, the first block is waited for
//! before others are sent.

use tracing::{debug, warn};

use crate::error::{Error, Result};
use crate::fs::content::draft::{BLOCK, Detour, Draft};
use crate::fs::content::extent_map::Segment;
use crate::fs::content::upload::{Target, Uploads};
use crate::fs::journal::Intent;
use crate::fs::names::attr;
use crate::fs::names::hidden;
use crate::fs::names::tree::Blob;
use crate::fs::service::Service;
use crate::store::{
    AccessControl, BlobSettings, BlockRef, DeleteOptions, Precondition, RenameOptions, WriteOptions, Written,
};

/// Most bytes that are read to be sent again: what takes no longer than the four requests that it saves.
const READ_BACK: u64 = 1 << 20;

impl Draft {
    /// The blob that the blocks go to, where that of the file is `blob`.
    pub(in crate::fs) fn filled(&self, blob: &Blob) -> Blob {
        self.detour.as_ref().map_or(blob, |detour| &detour.blob).clone()
    }

    /// From now on, blocks go to another blob, because this one takes none. False if it is not so, or if they did
    /// already.
    pub(in crate::fs) fn make_detour(&mut self, service: &Service, blob: &Blob, error: &Error) -> bool {
        error.is_written_over_dfs() && self.begin_detour(service, blob)
    }

    /// The same, where it is known already that the blob takes no blocks.
    pub(in crate::fs) fn begin_detour(&mut self, service: &Service, blob: &Blob) -> bool {
        if self.detour.is_some() {
            return false;
        }
        let Some(path) = hidden::beside(&blob.path) else { return false };
        debug!(blob = %blob.path, %path, "it takes no blocks: it is written as a whole");
        let beside = Blob { path, account: blob.account };
        let intent = Intent::Detour { by: service.named(&beside), of: service.named(blob) };
        self.detour = Some(Detour { blob: beside, begun: false, entry: service.journal.begin(intent) });
        self.refuses_blocks = true;
        // Nothing of it can be listed there.
        self.base_blocks = Some(Vec::new());
        true
    }
}

impl Draft {
    /// One Put Blob writes it, once what of it is in the blob is read, and that is little.
    pub(in crate::fs) fn fits_a_blob(&self) -> bool {
        let old = |(_, segment): (u64, &Segment)| {
            if let Segment::Base(range) = segment { range.end - range.start } else { 0 }
        };
        self.detour.is_none()
            && self.extents.staged_blocks() == 0
            && !self.has_borrowed()
            && self.extents.len() <= BLOCK
            && self.extents.segments().map(old).sum::<u64>() <= READ_BACK
    }
}

impl Uploads {
    /// The blob may be one that takes no blocks, and nothing that was sent says otherwise.
    pub(crate) fn may_refuse_blocks(&self, to: Target<'_>, draft: &Draft) -> bool {
        let unlisted = draft.base_blocks.as_ref().is_none_or(Vec::is_empty);
        draft.detour.is_none()
            && unlisted
            && draft.extents.staged_blocks() <= 1
            && to.base.is_some_and(|base| base.properties.size > 0)
            && self.service.client(to.blob.account).has_directories()
    }

    /// Put Block List of the other blob, and its rename over the file.
    pub(crate) async fn end_detour(
        &self,
        to: Target<'_>,
        draft: &mut Draft,
        list: &[BlockRef],
        settings: &BlobSettings,
        precondition: &Precondition,
    ) -> Result<Written> {
        let size = draft.extents.len();
        let Some(detour) = &mut draft.detour else { return Err(Error::fs(libc::EIO, "no blob beside the file")) };
        let access = self.service.blob(to.blob).access_control().await?;
        let client = self.service.blob(&detour.blob);
        // Whatever the answer is, or if there is none.
        detour.begun = true;
        // A process that is killed from here on may leave all of the new content, for that version.
        detour.entry.note(to.base.map_or("", |base| base.properties.etag.as_str()));
        let mut written = client.block_blob().commit_block_list(list, settings, &WriteOptions::default()).await?;
        if let Some(changed) = self.hand_down_access(access, to.blob, &detour.blob).await? {
            written = changed;
        }
        let known = attr::just_written(size, settings.clone(), written.clone());
        let options = RenameOptions {
            known: Some(&known),
            replaces: to.base.map(|base| &base.properties.etag),
            source_if_match: Some(&written.etag),
            precondition: precondition.clone(),
        };
        let renamed = client.rename(&to.blob.path, &options).await?;
        if let Some(detour) = draft.detour.take() {
            detour.entry.end();
        }
        Ok(renamed.unwrap_or(written))
    }

    /// The file keeps its access list, and its owner as far as whoever writes it may give that away: what a new one has
    /// is the writer's and the directory's. The version of the new one, if the service says it. Where the list cannot be
    /// kept the file is not replaced, for others might read then what they may not.
    async fn hand_down_access(&self, access: AccessControl, from: &Blob, to: &Blob) -> Result<Option<Written>> {
        let access = AccessControl { permissions: None, ..access };
        let client = self.service.blob(to);
        match client.set_access_control(&access, &Precondition::None).await {
            Ok(written) => return Ok(written),
            Err(error) => warn!(blob = %from.path, %error, "it does not keep its owner"),
        }
        let list = AccessControl { owner: None, group: None, ..access.clone() };
        match client.set_access_control(&list, &Precondition::None).await {
            Err(error) if client.access_control().await.is_ok_and(|now| now.acl == access.acl) => {
                warn!(blob = %from.path, %error, "it has the same access list by itself");
                Ok(None)
            }
            set => set,
        }
    }

    /// Takes away what is left of a detour that did not lead to the file: also blocks that were never committed, which
    /// the service would keep for a week, and their directory as long.
    pub(in crate::fs) async fn abandon_detour(&self, draft: &mut Draft) {
        let Some(Detour { blob, begun, entry }) = draft.detour.take() else { return };
        let client = self.service.blob(&blob);
        let left = match begun {
            true => client.delete(&DeleteOptions::default()).await,
            false => client.block_blob().drop_blocks(|_| true).await.map(drop),
        };
        match left {
            Err(error) if !error.is_not_found() => {
                warn!(blob = %blob.path, %error, "left of a file that could not be stored");
            }
            _ => entry.end(),
        }
    }
}
