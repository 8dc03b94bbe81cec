//! Renames that were not finished: which names go.
//!
//! What the process would have done next is done: a copy that is proven is followed by the delete of its source. Of a
//! directory that comes only after all copies; before, the copies are taken away again, as after any failure on the way.
//! Either way no blob is deleted whose content is not provably under the other name.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use crate::error::{OptionalExtension, Result};
use crate::fs::copies::bulk::proof::{is_copied_from, shows_source};
use crate::fs::copies::leftovers::{Fate, Leftovers, Task, Verdict, keep};
use crate::fs::journal::{COPIED, Named, Unfinished};
use crate::fs::names::tree::{Blob, BlobDir};
use crate::store::{BlobProperties, CopyStatus, ListBlobs};

/// Most by which the clocks of this machine and of the service may differ.
const CLOCKS: Duration = Duration::from_secs(300);

/// What is below a directory, by the rest of the names; its marker by an empty one.
type Contents = HashMap<String, (Blob, BlobProperties)>;

impl Leftovers {
    /// A file of that version was to be renamed. `copied` is the version that the proven copy had.
    pub(super) async fn judge_move(
        &self,
        from: &Blob,
        to: &Blob,
        etag: &str,
        copied: Option<&str>,
    ) -> Result<Option<(u64, Verdict)>> {
        let old = self.service.blob(from).properties().await.optional()?;
        let Some(old) = old.filter(|old| old.etag.as_str() == etag) else { return Ok(None) };
        let Some(new) = self.service.blob(to).properties().await.optional()? else { return Ok(None) };
        let url = self.service.blob(from).url();
        let size = old.size;
        let (source, to) = (from.clone(), &to.path.name);
        let verdict = if copied == Some(new.etag.as_str()) || is_copied_from(&new, &old, &url) {
            let why = format!("the copy under the new name {to} is proven: this name is removed");
            (Fate::Clean, why, Task::Delete(vec![(source, old.etag)]))
        } else if is_pending_from(&new, &url) {
            keep(format!("the copy to {to} is pending"))
        } else if shows_source(&new, &url) {
            keep(format!(
                "{to} was copied from it, but nothing proves that it still was the same: remove one of the two"
            ))
        } else {
            return Ok(None);
        };
        Ok(Some((size, verdict)))
    }

    /// All files of a directory were to be renamed. `replaces`: the new name was an empty directory with a marker.
    pub(super) async fn judge_tree(
        &self,
        (from, to): (&Named, &Named),
        replaces: bool,
        unfinished: &Unfinished,
    ) -> Result<Option<(u64, Verdict)>> {
        let (Some(from), Some(to)) = (self.service.dir_of(from), self.service.dir_of(to)) else { return Ok(None) };
        let (old, new) = (self.contents(&from).await?, self.contents(&to).await?);
        let all_copied = unfinished.note.as_deref() == Some(COPIED);
        let (mut doomed, mut bytes, mut pending, mut doubtful) = (Vec::new(), 0, 0, 0);
        for (rest, (blob, source)) in &old {
            let url = self.service.blob(blob).url();
            let Some((copy, found)) = new.get(rest) else {
                doubtful += usize::from(all_copied);
                continue;
            };
            let proven = is_copied_from(found, source, &url);
            if proven && all_copied {
                doomed.push((blob.clone(), source.etag.clone()));
            } else if proven && is_since(found, unfinished.at) && !(replaces && rest.is_empty()) {
                doomed.push((copy.clone(), found.etag.clone()));
            } else if is_pending_from(found, &url) {
                pending += 1;
            } else {
                doubtful += usize::from(all_copied || (shows_source(found, &url) && is_since(found, unfinished.at)));
            }
            bytes += source.size;
        }
        let (count, all) = (doomed.len(), old.len());
        let (from, to) = (from.prefix.trim_end_matches('/'), to.prefix.trim_end_matches('/'));
        let verdict = match (count, pending, doubtful) {
            (0, 0, 0) => return Ok(None),
            (_, 1.., _) => keep(format!("{pending} copies to {to} are pending")),
            (0, ..) => keep(format!("{doubtful} files of {from} and {to} differ, or nothing proves that they do not")),
            _ if all_copied => {
                let why =
                    format!("{count} of the files that {from} has are proven to be under {to}: they are removed here");
                (Fate::Clean, why, Task::Delete(doomed))
            }
            _ => {
                let why = format!("{count} of {all} files are under {to}, too: these copies are removed, {from} stays");
                (Fate::Clean, why, Task::Delete(doomed))
            }
        };
        Ok(Some((bytes, verdict)))
    }

    async fn contents(&self, dir: &BlobDir) -> Result<Contents> {
        let client = self.service.client(dir.account);
        let mut contents = Contents::new();
        let mut pages = client.container(&dir.container).pages(ListBlobs { prefix: &dir.prefix, ..Default::default() });
        while let Some(page) = pages.next().await? {
            for item in page.items {
                let rest = item.name.as_str().strip_prefix(&dir.prefix).filter(|rest| !rest.is_empty());
                let Some(rest) = rest.map(str::to_owned) else { continue };
                contents.insert(rest.clone(), (dir.blob(&rest)?, item.properties));
            }
        }
        if let Some(marker) = dir.marker().transpose()?
            && let Some(found) = self.service.blob(&marker).properties().await.optional()?
        {
            contents.insert(String::new(), (marker, found));
        }
        Ok(contents)
    }
}

fn is_pending_from(found: &BlobProperties, url: &str) -> bool {
    found.copy.as_ref().is_some_and(|copy| {
        copy.status == CopyStatus::Pending
            && copy.source.as_deref().is_some_and(|shown| crate::store::same_source(shown, url))
    })
}

/// Whether the last copy onto a blob is not older than that.
fn is_since(found: &BlobProperties, at: SystemTime) -> bool {
    let ended = found.copy.as_ref().and_then(|copy| copy.completion_time);
    ended.is_some_and(|ended| ended + CLOCKS >= at)
}
