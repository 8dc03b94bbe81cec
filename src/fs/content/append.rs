//! Append blobs: logs, to which several writers may add.
//!
//! What is written waits in memory until it fills a block or somebody flushes; then it is appended, one block after the
//! other, each on condition that the blob ends where the block is to begin. So a block of which nothing was heard can
//! be looked for at its place, now or at the next flush, and is not appended twice. Who opened the file with O_APPEND
//! means the end, wherever it is: if another client was there first, the block goes behind what that wrote. Everybody
//! else means a position, and hears ESTALE.
//!
//! The content that is there never changes, so a blob that has grown is no other version to those who read it
//! ([`is_grown`]): `tail -f` goes on, and GETs need no ETag. A truncation to nothing is a new empty blob in its place,
//! with everything that the old one had.
//!
//! A blob takes 50 000 blocks. Each flush of something is one, however short; the block size grows with their number.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::error::{Error, Result};
use crate::fs::content::draft::{Basis, Draft, block_size_after};
use crate::fs::content::extent_map::{Piece, Segment};
use crate::fs::content::files::Files;
use crate::fs::content::handle::{Content, FileState, Locked};
use crate::fs::content::read::Version;
use crate::fs::content::source::RangeSource;
use crate::fs::content::strategy::{Change, WriteStrategy};
use crate::fs::content::tail::Aim;
use crate::fs::names::attr::{self, AttrChange};
use crate::fs::names::tree::{Blob, NodeProperties, is_grown, replaced, stale};
use crate::store::{Appended, BlobProperties, BlobType, ContentHeaders, Precondition, SourceRange};

/// Times that another client may come first before a flush gives up. The next flush has all that is to be appended.
const MOST_CONFLICTS: u32 = 64;

/// Bytes of the next block of an append blob.
pub(crate) fn tail_block(state: &FileState) -> u64 {
    let blocks = state.version.as_ref().and_then(|version| version.properties.committed_block_count);
    block_size_after(blocks.unwrap_or(0) as usize)
}

fn set_unsure(state: &mut FileState, block: Option<Bytes>) {
    if let Content::Draft(draft) = &mut state.content
        && let WriteStrategy::Tail(tail) = &mut draft.strategy
    {
        tail.unsure = block;
    }
}

/// At most `most` of the bytes that wait behind `end`.
fn waiting_bytes(draft: &Draft, end: u64, most: u64) -> Bytes {
    let mut joined = BytesMut::new();
    for piece in draft.extents.read(end..end.saturating_add(most)) {
        // Nothing else comes behind the end: that is all that an append blob admits.
        if let Piece::Bytes(bytes) = piece {
            joined.extend_from_slice(&bytes);
        }
    }
    joined.freeze()
}

impl Files {
    /// Makes the append blob what the draft says.
    pub(crate) async fn commit_tail(&self, locked: &mut Locked) -> Result<()> {
        self.send_tail(locked, 1).await?;
        self.describe_tail(locked).await?;
        locked.content = Content::Clean;
        Ok(())
    }

    /// Appends blocks as long as `least` bytes wait. What could not be appended stays in the draft.
    pub(crate) async fn send_tail(&self, locked: &mut Locked, least: u64) -> Result<()> {
        let blob = self.tree.blob(locked.ino())?;
        self.empty_tail(locked, &blob).await?;
        let client = self.service.blob(&blob);
        let mut conflicts = 0;
        loop {
            let Some(version) = locked.version.clone() else {
                return Err(Error::fs(libc::EIO, "nothing to append to"));
            };
            let block = tail_block(locked).min(client.append_blob().largest_block());
            let Content::Draft(draft) = &locked.content else { return Ok(()) };
            let WriteStrategy::Tail(tail) = &draft.strategy else { return Ok(()) };
            let (aim, unsure) = (tail.aim, tail.unsure.clone());
            let end = version.properties.size;
            let waiting = draft.extents.len().saturating_sub(end);
            if waiting == 0 || waiting < least.min(block) {
                return Ok(());
            }
            if let Some(bytes) = unsure {
                let range = end..end + bytes.len() as u64;
                let found = client.download(range).await;
                let found = found.map_err(|error| stale(error, &blob.path))?;
                if found.bytes == bytes && found.properties.blob_type == BlobType::Append {
                    self.appended(locked, bytes.len() as u64, Appended::as_found(&found.properties))?;
                }
                set_unsure(locked, None);
                continue;
            }
            let bytes = waiting_bytes(draft, end, block);
            let precondition = match aim {
                Aim::End => Precondition::None,
                Aim::Position => Precondition::IfMatch(version.properties.etag.clone()),
            };
            match client.append_blob().append_block(end, bytes.clone(), &precondition.into()).await {
                Ok(appended) => self.appended(locked, bytes.len() as u64, appended)?,
                Err(error)
                    if aim == Aim::End
                        && error.code() == "AppendPositionConditionNotMet"
                        && conflicts < MOST_CONFLICTS =>
                {
                    conflicts += 1;
                    self.catch_up(locked, &blob).await?;
                }
                Err(error) => {
                    // A refusal is an answer.
                    if !(400..500).contains(&error.status()) {
                        set_unsure(locked, Some(bytes));
                    }
                    return Err(stale(error, &blob.path));
                }
            }
        }
    }

    /// A draft that begins with nothing of what is there wants an empty blob first.
    async fn empty_tail(&self, locked: &mut Locked, blob: &Blob) -> Result<()> {
        let (file, state) = locked.parts();
        let (Content::Draft(draft), Some(version)) = (&state.content, state.version.clone()) else { return Ok(()) };
        let keeps = matches!(draft.extents.segments().next(), Some((_, Segment::Base(_))));
        if keeps || version.properties.size == 0 {
            return Ok(());
        }
        let mut settings = self.settings(blob, Some(&version), &state.change, None);
        settings.tags = self.service.tags_to_keep(blob, &version.properties).await?;
        let precondition = Precondition::IfMatch(version.properties.etag.clone());
        let written = self.service.blob(blob).append_blob().create(&settings, &precondition.into()).await;
        let written = written.map_err(|error| stale(error, &blob.path))?;
        state.change = AttrChange::default();
        let properties = BlobProperties {
            blob_type: BlobType::Append,
            committed_block_count: Some(0),
            // Put Blob gives it a new one (S61), which the answer does not tell.
            creation_time: None,
            lease: version.properties.lease.clone(),
            ..attr::just_written(0, settings, written)
        };
        self.tree.kernel().rewritten(file.ino, Some(&version.properties.etag), &properties.etag);
        self.record_version(locked, Arc::new(properties));
        Ok(())
    }

    /// `len` bytes of what waited are in the blob.
    fn appended(&self, locked: &mut Locked, len: u64, appended: Appended) -> Result<()> {
        let Some(version) = locked.version.clone() else { return Ok(()) };
        let end = version.properties.size + len;
        if let Content::Draft(draft) = &mut locked.content {
            draft.move_end(end, appended.size);
            draft.release_room();
            // A part of it is in the blob, and what follows belongs behind that.
            draft.basis = Basis::Version;
        }
        let properties = BlobProperties {
            size: appended.size,
            etag: appended.written.etag,
            last_modified: appended.written.last_modified,
            committed_block_count: appended.blocks,
            ..(*version.properties).clone()
        };
        if appended.size == end {
            self.tree.kernel().rewritten(locked.ino(), Some(&version.properties.etag), &properties.etag);
        }
        self.record_version(locked, Arc::new(properties));
        Ok(())
    }

    /// Another client has appended: what waits goes behind that.
    async fn catch_up(&self, locked: &mut Locked, blob: &Blob) -> Result<()> {
        let (file, state) = locked.parts();
        let Some(version) = state.version.clone() else { return Ok(()) };
        let found = self.service.blob(blob).properties().await;
        let found = Arc::new(found.map_err(|error| stale(error, &blob.path))?);
        if found.blob_type != BlobType::Append {
            return Err(Error::stale(format!("{} is a blob of another type now", blob.path)));
        }
        let same = is_grown(&version.properties, &found);
        if !same && file.is_read() {
            // Whoever reads the file has seen another one.
            return Err(replaced(blob.path.name.as_str()));
        }
        if !same {
            self.tree.kernel().expire_file(file.ino);
        }
        if let Content::Draft(draft) = &mut state.content {
            draft.move_end(version.properties.size, found.size);
        }
        state.version = Some(if same { version.with(found.clone()) } else { Version::new(found.clone()) });
        self.tree.update(file.ino, NodeProperties::Blob(found));
        file.publish(state);
        Ok(())
    }

    /// Metadata and properties as they are to be after the content has changed: usually as they are.
    async fn describe_tail(&self, locked: &mut Locked) -> Result<()> {
        let blob = self.tree.blob(locked.ino())?;
        let client = self.service.blob(&blob);
        let mut conflicts = 0;
        loop {
            let Some(version) = locked.version.clone() else { return Ok(()) };
            let base = &version.properties;
            let precondition = Precondition::IfMatch(base.etag.clone());
            let mut properties = (**base).clone();
            let done = if base.headers.content_md5.is_some() {
                properties.headers = ContentHeaders { content_md5: None, ..base.headers.clone() };
                client.set_properties(&properties.headers, &precondition.into()).await
            } else if let Some(metadata) = self.metadata_after(base, &locked.change) {
                properties.metadata = metadata;
                client.set_metadata(&properties.metadata, &precondition.into()).await
            } else {
                locked.change = AttrChange::default();
                return Ok(());
            };
            match done {
                Ok(written) => {
                    (properties.etag, properties.last_modified) = (written.etag, written.last_modified);
                    self.tree.kernel().rewritten(locked.ino(), Some(&base.etag), &properties.etag);
                    self.record_version(locked, Arc::new(properties));
                }
                Err(error) if error.is_precondition_failed() && conflicts < MOST_CONFLICTS => {
                    conflicts += 1;
                    self.catch_up(locked, &blob).await?;
                }
                Err(error) => return Err(stale(error, &blob.path)),
            }
        }
    }

    /// `copy_file_range` to the end of an append blob: Append Block From URL of as much as one block takes. Bytes
    /// copied.
    pub(crate) async fn copy_to_tail(&self, source: &RangeSource<'_>, locked: &mut Locked, offset: u64) -> Result<u64> {
        let length = source.range.end - source.range.start;
        self.admit(locked, Change::Write { range: offset..offset.saturating_add(length), aim: Aim::Position })?;
        self.commit(locked).await?;
        let blob = self.tree.blob(locked.ino())?;
        let Some(version) = locked.version.clone() else { return Err(Error::fs(libc::EIO, "nothing to append to")) };
        let client = self.service.blob(&blob).append_blob();
        let url = self.uploads.range_url(source, &blob).await?;
        let start = source.range.start;
        let range = start..source.range.end.min(start + client.largest_block());
        let len = range.end - start;
        let precondition = Precondition::IfMatch(version.properties.etag.clone());
        let end = version.properties.size;
        let part = SourceRange { source: &url, range, if_match: Some(source.etag) };
        match client.append_block_from_url(end, &part, &precondition.into()).await {
            Ok(appended) => {
                self.appended(locked, len, appended)?;
                locked.content = Content::Clean;
                self.describe_tail(locked).await?;
                Ok(len)
            }
            Err(error) if self.uploads.must_move(&error) => {
                let bytes = self.uploads.read_source(source).await?;
                let len = bytes.len() as u64;
                self.admit(locked, Change::Write { range: end..end + len, aim: Aim::Position })?;
                locked.draft()?.write(end, &bytes).map_err(|_| Error::fs(libc::EIO, "nothing is staged there"))?;
                Ok(len)
            }
            Err(error) if error.code() == "SourceConditionNotMet" => Err(error),
            Err(error) => Err(stale(error, &blob.path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::content::extent_map::ExtentMap;
    #[test]
    fn what_waits_moves_behind_what_others_have_appended() {
        let mut draft = Draft::new(ExtentMap::of_base(10));
        draft.write(10, &Bytes::from_static(b"abcdef")).unwrap();
        assert_eq!(waiting_bytes(&draft, 10, 4), "abcd");
        // Two of ours arrived, then three of another client.
        assert!(draft.move_end(12, 15));
        assert_eq!((draft.extents.len(), waiting_bytes(&draft, 15, 100)), (19, Bytes::from_static(b"cdef")));
    }
}
