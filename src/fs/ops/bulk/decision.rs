//! Decisions about single blobs of a tree.

use std::sync::Arc;

use crate::error::Error;
use crate::fs::Fs;
use crate::fs::copies::bulk::progress::{Outcome, Skip};
use crate::fs::copies::bulk::{BulkOptions, Decision};
use crate::fs::names::tree::Blob;
use crate::fs::names::walk::Found;
use crate::store::{BlobProperties, CopyStatus};

/// Copies of trees into open directories.
#[derive(Clone)]
pub struct TreeCopies {
    pub(in crate::fs) fs: Arc<Fs>,
}

/// An error as news.
pub(crate) fn failed(fs: &Fs, error: &Error) -> Outcome {
    Outcome::Failed(fs.errno(error), error.to_string())
}

impl TreeCopies {
    /// Whether a blob is to be copied, and on which condition.
    pub(in crate::fs) fn decide(
        &self,
        from: &Blob,
        version: &BlobProperties,
        to: &Blob,
        existing: Option<&Found>,
        options: BulkOptions,
    ) -> Decision {
        if from == to {
            return Decision::refused(libc::EINVAL, "source and destination are the same file");
        }
        if version.is_pending() {
            return Decision::refused(libc::EBUSY, "its content is still being copied");
        }
        let replaced = match existing {
            None => None,
            Some(found) => {
                let existing = &found.properties;
                let ended = existing.copy.as_ref().map(|copy| copy.status);
                if ended == Some(CopyStatus::Pending) {
                    return Decision::refused(libc::EBUSY, "a copy onto it is pending");
                }
                // The empty blob that a copy without success left behind is nothing to be kept.
                let is_rest = existing.size == 0 && matches!(ended, Some(CopyStatus::Aborted | CopyStatus::Failed));
                if options.no_replace && !is_rest {
                    return Decision::Settled(Outcome::Skipped(Skip::Exists));
                }
                let url = self.fs.service.blob(from).url();
                if crate::fs::copies::bulk::proof::is_copy(existing, version, &url, from.account == to.account) {
                    return Decision::Settled(Outcome::Skipped(Skip::Same));
                }
                Some(existing.clone())
            }
        };
        if options.dry_run { Decision::Settled(Outcome::Due) } else { Decision::Copy(replaced) }
    }
}
