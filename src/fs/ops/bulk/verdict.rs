//! What is to be done with one blob of a tree.

use std::sync::Arc;

use crate::error::Error;
use crate::fs::Fs;
use crate::fs::copies::bulk::news::{Outcome, Skip};
use crate::fs::copies::bulk::{Mode, Verdict};
use crate::fs::names::tree::Blob;
use crate::fs::names::walk::Found;
use crate::store::{BlobProperties, CopyStatus};

/// Copies of trees into open directories.
#[derive(Clone)]
pub struct TreeCopies {
    pub(in crate::fs) fs: Arc<Fs>,
}

/// An error as news.
pub(in crate::fs) fn failed(fs: &Fs, error: &Error) -> Outcome {
    Outcome::Failed(fs.errno(error), error.to_string())
}

impl TreeCopies {
    /// Whether a blob is to be copied, and on which condition.
    pub(in crate::fs) fn verdict(
        &self,
        from: &Blob,
        version: &BlobProperties,
        to: &Blob,
        there: Option<&Found>,
        mode: Mode,
    ) -> Verdict {
        if from == to {
            return Verdict::not(libc::EINVAL, "source and destination are the same file");
        }
        if version.is_pending() {
            return Verdict::not(libc::EBUSY, "its content is still being copied");
        }
        let replaced = match there {
            None => None,
            Some(found) => {
                let there = &found.properties;
                let ended = there.copy.as_ref().map(|copy| copy.status);
                if ended == Some(CopyStatus::Pending) {
                    return Verdict::not(libc::EBUSY, "a copy onto it is pending");
                }
                // The empty blob that a copy without success left behind is nothing to be kept.
                let is_rest = there.size == 0 && matches!(ended, Some(CopyStatus::Aborted | CopyStatus::Failed));
                if mode.no_replace && !is_rest {
                    return Verdict::Not(Outcome::Skipped(Skip::Exists));
                }
                let url = self.fs.service.blob(from).url();
                if crate::fs::copies::bulk::proof::is_copy(there, version, &url, from.account == to.account) {
                    return Verdict::Not(Outcome::Skipped(Skip::Same));
                }
                Some(there.clone())
            }
        };
        if mode.dry_run { Verdict::Not(Outcome::Due) } else { Verdict::Copy(replaced) }
    }
}
