//! Page blobs: disks. They are written in place, page by page, and their holes cost nothing.
//!
//! A commit turns the extent map into writes of whole pages (`page/plan.rs`), after one Set Blob Properties if the size
//! changes. What shares a page with what is new is read first. A block blob changes all at once; here each request
//! takes effect by itself, and others may see some of them without the rest.
//!
//! Nobody else may write meanwhile. A commit of one or two requests has the ETag of the version that it stands on as
//! condition, and then that of its own first request. Longer ones take a short lease of that version: then the writes
//! go out side by side, and one that has to be repeated needs no proof that it was ours. A commit that fails keeps its
//! lease for the next try ([`WriteGuard`]): if that can be renewed, nobody has written since. With the draft that
//! nobody can store the lease is given back, too.
//!
//! The size is a multiple of 512. Content that ends elsewhere gets zeros to the end of its page when it is stored; a
//! truncation to such a size is refused (`strategy.rs`).
//!
//! Get Page Ranges, asked once for a version, tells what has been written. The rest is not fetched when it is read, and
//! not read when it shares a page with something new; SEEK_DATA and SEEK_HOLE answer from it, too.

use std::ops::Range;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt};

use crate::error::{Error, Result};
use crate::fs::block_ids::UPLOADS;
use crate::fs::content::extent_map::{ExtentMap, Segment};
use crate::fs::content::files::Files;
use crate::fs::content::handle::{Content, FileState, Locked};
use crate::fs::content::page::plan::{self, PlannedWrite};
use crate::fs::content::page::ranges::PageRanges;
use crate::fs::content::page::{PageWrite, WriteGuard, stored_ranges};
use crate::fs::content::read::Version;
use crate::fs::content::source::RangeSource;
use crate::fs::content::strategy::{Change, WriteStrategy};
use crate::fs::copies::lease::Lease;
use crate::fs::names::attr::AttrChange;
use crate::fs::names::tree::{Blob, Origin, stale};
use crate::store::{BlobProperties, ContentHeaders, LARGEST_PAGE_WRITE, PAGE, Precondition, WriteOptions, Written};

/// Page blobs on their way to the service.
pub(in crate::fs) struct PageBlobs<'a> {
    pub(crate) files: &'a Files,
}

/// Steps that go out one after the other, each conditional on the one before: a lease would be two requests more.
const MOST_IN_A_ROW: usize = 2;

/// Bytes of one `copy_file_range`.
const MOST_COPIED: u64 = UPLOADS as u64 * LARGEST_PAGE_WRITE;

fn remember(state: &mut FileState, hold: WriteGuard) {
    if let Content::Draft(draft) = &mut state.content {
        draft.strategy = WriteStrategy::Pages(hold);
    }
}

/// The write that gives the blob its size, if it needs one. An MD5 of the old content goes, too.
fn resize_to(properties: &BlobProperties, size: u64) -> Vec<PageWrite> {
    if size == properties.size && properties.headers.content_md5.is_none() {
        return Vec::new();
    }
    vec![PageWrite::Resize(size, ContentHeaders { content_md5: None, ..properties.headers.clone() })]
}

fn write_guard(state: &FileState) -> Option<&WriteGuard> {
    match &state.content {
        Content::Draft(draft) => match &draft.strategy {
            WriteStrategy::Pages(hold) => Some(hold),
            _ => None,
        },
        _ => None,
    }
}

/// The ranges of the extent map that are not zeros.
fn with_draft(extents: &ExtentMap, stored: &PageRanges) -> PageRanges {
    let mut ranges = PageRanges::default();
    for (start, segment) in extents.segments() {
        match segment {
            Segment::Base(range) => stored.within(range).into_iter().for_each(|data| ranges.write(data)),
            Segment::Zero(_) => {}
            Segment::Buffer(_) | Segment::Staged { .. } | Segment::Remote { .. } => {
                ranges.write(start..start + segment.len())
            }
        }
    }
    ranges
}

impl PageBlobs<'_> {
    /// Makes the page blob what the draft says.
    pub(crate) async fn commit_pages(&self, locked: &mut Locked) -> Result<()> {
        let blob = self.files.tree.blob(locked.ino())?;
        self.look_again(locked, &blob).await?;
        let (_, state) = locked.parts();
        let Some(base) = state.version.clone() else { return Err(Error::fs(libc::EIO, "no pages to write to")) };
        let Content::Draft(draft) = &mut state.content else { return Ok(()) };
        let size = draft.extents.len().next_multiple_of(PAGE);
        // Nothing is staged, so nothing is cut.
        let _ = draft.extents.truncate(size);
        let mut writes = resize_to(&base.properties, size);
        let known = base.pages.get();
        let holes = |range: &Range<u64>| known.is_some_and(|ranges| ranges.within(range).is_empty());
        let extents = &draft.extents;
        let mut filled: Vec<BoxFuture<'_, Result<PageWrite>>> = Vec::new();
        for write in plan::writes(extents, base.properties.size) {
            match write {
                PlannedWrite::Clear(range) if holes(&range) => {}
                PlannedWrite::Clear(range) => filled.push(async move { Ok(PageWrite::Clear(range)) }.boxed()),
                PlannedWrite::Put(range) => {
                    let start = range.start;
                    let bytes = self.files.uploads.pages_of(&blob, extents, &base, range);
                    filled.push(async move { Ok(PageWrite::Put(start, bytes.await?)) }.boxed());
                }
            }
        }
        let filled: Vec<_> = futures_util::stream::iter(filled).buffered(UPLOADS).try_collect().await?;
        writes.extend(filled);
        writes.extend(self.files.metadata_after(&base.properties, &state.change).map(PageWrite::Describe));
        self.send_writes(locked, &blob, writes).await?;
        locked.change = AttrChange::default();
        locked.content = Content::Clean;
        Ok(())
    }

    /// After a commit that failed: what is there now is ours, if the lease still is, or if it shows the request of
    /// which nothing was heard.
    async fn look_again(&self, locked: &mut Locked, blob: &Blob) -> Result<()> {
        let Some(hold) = write_guard(locked).cloned() else { return Ok(()) };
        let client = self.files.service.client(blob.account);
        let others = |why: &str| Error::stale(format!("{}: others may have written: {why}", blob.path));
        match &hold {
            WriteGuard::Version => return Ok(()),
            WriteGuard::Lease(lease) => {
                lease.renew().await.map_err(|error| match error.status() {
                    404 | 409 | 412 => others(&error.to_string()),
                    _ => error,
                })?;
                let now = client.blob(&blob.path).properties().await?;
                self.files.record_version(locked, Arc::new(now));
            }
            WriteGuard::Unsure(write) => {
                let Some(version) = locked.version.clone() else { return Ok(()) };
                let now = client.blob(&blob.path).properties().await.map_err(|error| stale(error, &blob.path))?;
                if now.etag != version.properties.etag {
                    if !write.is_applied(client, blob, &now).await? {
                        return Err(others("it is another version"));
                    }
                    self.files.record_version(locked, Arc::new(now));
                }
                remember(locked, WriteGuard::Version);
            }
        }
        Ok(())
    }

    /// Sends the writes so that nobody else can have written in between. However far it comes, the file's version is
    /// what is there then.
    async fn send_writes(&self, locked: &mut Locked, blob: &Blob, writes: Vec<PageWrite>) -> Result<()> {
        if writes.len() > MOST_IN_A_ROW || matches!(write_guard(locked), Some(WriteGuard::Lease(_))) {
            return self.send_writes_under_lease(locked, blob, &writes).await;
        }
        for write in writes {
            let Some(version) = locked.version.clone() else { return Ok(()) };
            let guard = Precondition::IfMatch(version.properties.etag.clone()).into();
            match write.send(self.files.service.client(blob.account), blob, &guard).await {
                Ok(written) => self.record_writes(locked, &[&write], written),
                Err(error) if error.is_about_the_source() => return Err(error),
                Err(error) => {
                    // A refusal is an answer.
                    if !(400..500).contains(&error.status()) {
                        remember(locked, WriteGuard::Unsure(Arc::new(write)));
                    }
                    return Err(stale(error, &blob.path));
                }
            }
        }
        Ok(())
    }

    async fn send_writes_under_lease(&self, locked: &mut Locked, blob: &Blob, writes: &[PageWrite]) -> Result<()> {
        let client = self.files.service.client(blob.account);
        let Some(version) = locked.version.clone() else { return Ok(()) };
        let lease = match write_guard(locked) {
            Some(WriteGuard::Lease(lease)) => lease.clone(),
            _ => {
                let unchanged = Precondition::IfMatch(version.properties.etag.clone());
                // One that protects copies from it: this is a write, and they fail.
                self.files.leases.release(blob).await;
                let (background, journal) = (&self.files.background, Some(&self.files.service.journal));
                let lease = Lease::acquire(client, background, journal, blob, &unchanged).await;
                Arc::new(lease.map_err(|error| stale(error, &blob.path))?)
            }
        };
        let guard = WriteOptions { lease: Some(lease.id().clone()), ..WriteOptions::default() };
        let mut done: Vec<&PageWrite> = Vec::new();
        let mut last = None;
        // The ETag is that of the last one to be executed, so that goes alone.
        let result = async {
            let mut rest = writes;
            while !rest.is_empty() {
                let together = rest[..rest.len() - 1].iter().take_while(|write| write.is_write()).take(4 * UPLOADS);
                let count = together.count().max(1);
                let (batch, behind) = rest.split_at(count);
                lease.renew_in_time().await?;
                let mut sending: Vec<BoxFuture<'_, Result<Written>>> = Vec::new();
                for write in batch {
                    let guard = &guard;
                    sending.push(
                        async move {
                            let _slot = self.files.uploads.upload_slot().await?;
                            write.send(client, blob, guard).await
                        }
                        .boxed(),
                    );
                }
                // All of them end, also when one fails: none may change the blob after we have looked at it.
                let answers: Vec<_> = futures_util::stream::iter(sending).buffered(UPLOADS).collect().await;
                for (write, answer) in batch.iter().zip(answers) {
                    last = Some(answer?);
                    done.push(write);
                }
                rest = behind;
            }
            Ok(())
        }
        .await;
        match (result, last) {
            (Ok(()), Some(written)) => self.record_writes(locked, &done, written),
            (Ok(()), None) => {}
            (Err(error), _) => {
                if let Ok(now) = client.blob(&blob.path).properties().await {
                    self.files.record_version(locked, Arc::new(now));
                }
                // If there is no draft, nobody comes back for it.
                remember(locked, WriteGuard::Lease(lease));
                return Err(error);
            }
        }
        remember(locked, WriteGuard::Version);
        if let Some(lease) = Arc::into_inner(lease) {
            lease.release().await;
        }
        Ok(())
    }

    /// Those writes have been taken, and the last of them made this version.
    fn record_writes(&self, locked: &mut Locked, writes: &[&PageWrite], written: Written) {
        let Some(version) = locked.version.clone() else { return };
        let mut properties = (*version.properties).clone();
        let mut ranges = version.pages.get().cloned();
        writes.iter().for_each(|write| write.apply(&mut properties, &mut ranges));
        (properties.etag, properties.last_modified) = (written.etag, written.last_modified);
        self.files.tree.kernel().rewritten(locked.ino(), Some(&version.properties.etag), &properties.etag);
        self.files.record_version(locked, Arc::new(properties));
        if let (Some(version), Some(ranges)) = (&locked.version, ranges) {
            // Nobody has asked for those of the new version yet.
            let _ = version.pages.set(ranges);
        }
    }

    /// `copy_file_range` into a page blob: Put Page From URL where source and target are whole pages, else the bytes.
    /// Bytes copied.
    pub(crate) async fn copy_to_pages(
        &self,
        source: &RangeSource<'_>,
        locked: &mut Locked,
        offset: u64,
        within: bool,
    ) -> Result<u64> {
        let length = source.range.end - source.range.start;
        let end = offset.saturating_add(length);
        self.files.admit(locked, Change::Write { range: offset..end, aim: crate::fs::content::tail::Aim::Position })?;
        let whole = length.min(MOST_COPIED) / PAGE * PAGE;
        let aligned = offset.is_multiple_of(PAGE) && source.range.start.is_multiple_of(PAGE);
        if aligned && whole > 0 {
            self.files.commit(locked).await?;
            match self.copy_pages(source, locked, offset..offset + whole, within).await {
                Ok(()) => return Ok(whole),
                Err(error) if self.files.uploads.must_move(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let bytes = self.files.uploads.read_source(source).await?;
        self.files.edit(locked, offset + bytes.len() as u64, |draft| draft.write(offset, &bytes)).await?;
        Ok(bytes.len() as u64)
    }

    async fn copy_pages(
        &self,
        source: &RangeSource<'_>,
        locked: &mut Locked,
        target: Range<u64>,
        within: bool,
    ) -> Result<()> {
        let blob = self.files.tree.blob(locked.ino())?;
        let Some(base) = locked.version.clone() else { return Err(Error::fs(libc::EIO, "no pages to write to")) };
        let url = self.files.uploads.range_url(source, &blob).await?;
        let mut writes = resize_to(&base.properties, base.properties.size.max(target.end));
        for at in target.clone().step_by(LARGEST_PAGE_WRITE as usize) {
            let from = source.range.start + (at - target.start);
            let len = LARGEST_PAGE_WRITE.min(target.end - at);
            // A blob that is its own source has another ETag after the first of these; it is ours alone while they run.
            let etag = (!within).then(|| source.etag.clone());
            writes.push(PageWrite::Copy { at, source: url.clone(), range: from..from + len, etag });
        }
        writes.extend(self.files.metadata_after(&base.properties, &AttrChange::default()).map(PageWrite::Describe));
        self.send_writes(locked, &blob, writes).await?;
        locked.content = Content::Clean;
        Ok(())
    }

    /// SEEK_DATA or SEEK_HOLE in an open page blob; `None` where there is no more data.
    pub(crate) async fn seek_pages(
        &self,
        locked: &Locked,
        version: &Version,
        offset: u64,
        data: bool,
    ) -> Result<Option<u64>> {
        let (file, state) = locked.view();
        let Origin { blob, revision } = self.files.tree.origin(file.ino)?;
        if revision.is_some() {
            // Which pages a blob once had is not asked: all of them may be data.
            return Ok(Some(if data { offset } else { version.properties.size }));
        }
        let stored = stored_ranges(self.files.service.client(blob.account), &blob, version).await?;
        let open;
        let (ranges, size) = match &state.content {
            Content::Draft(draft) => {
                open = with_draft(&draft.extents, stored);
                (&open, draft.extents.len())
            }
            _ => (stored, version.properties.size),
        };
        Ok(if data { ranges.data(offset) } else { Some(ranges.hole(offset).min(size)) })
    }
}
