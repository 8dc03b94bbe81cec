//! Decisions about single blobs of a tree.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::config::Config;
use crate::fs::copies::bulk::progress::{Outcome, Skip};
use crate::fs::copies::bulk::proof::{Record, is_copy};
use crate::fs::copies::bulk::{BulkOptions, Decision};
use crate::fs::names::access::Credentials;
use crate::fs::names::attr::{self, FileKind, Ino};
use crate::fs::names::ownership::CopyBy;
use crate::fs::names::tree::Blob;
use crate::fs::names::walk::Found;
use crate::store::{BlobProperties, CopyStatus, Metadata};

/// Copies of trees into open directories.
#[derive(Clone)]
pub struct TreeCopies {
    pub(in crate::fs) fs: Arc<Fs>,
}

/// An error as news.
pub(crate) fn failed(fs: &Fs, error: &Error) -> Outcome {
    Outcome::Failed(fs.errno(error), error.to_string())
}

/// A blob that may have to be copied.
pub(in crate::fs) struct Candidate<'a> {
    pub from: &'a Blob,
    pub to: &'a Blob,
    pub version: &'a BlobProperties,
    pub kind: FileKind,
    /// What is there.
    pub existing: Option<&'a Found>,
}

impl TreeCopies {
    /// Whether a blob is to be copied, on which condition, and with which metadata.
    pub(in crate::fs) fn decide(
        &self,
        candidate: &Candidate<'_>,
        options: BulkOptions,
        who: &Credentials,
    ) -> Result<Decision> {
        let Candidate { from, to, version, existing, .. } = candidate;
        if from == to {
            return Ok(Decision::refused(libc::EINVAL, "source and destination are the same file"));
        }
        if version.is_pending() || self.fs.copies.jobs.is_emptied(from) {
            return Ok(Decision::refused(libc::EBUSY, "its content is still being copied"));
        }
        let metadata = self.metadata_of(candidate, who)?;
        let replaced = match existing {
            None => None,
            Some(found) => {
                let existing = self.known_of(to, &found.properties);
                let ended = existing.copy.as_ref().map(|copy| copy.status);
                if ended == Some(CopyStatus::Pending) {
                    return Ok(Decision::refused(libc::EBUSY, "a copy onto it is pending"));
                }
                // The empty blob that a copy without success left behind is nothing to be kept.
                let is_rest = existing.size == 0 && matches!(ended, Some(CopyStatus::Aborted | CopyStatus::Failed));
                if options.no_replace && !is_rest {
                    return Ok(Decision::Settled(Outcome::Skipped(Skip::Exists)));
                }
                if options.update && !is_rest && !self.is_older(found, candidate) {
                    return Ok(Decision::Settled(Outcome::Skipped(Skip::Exists)));
                }
                let url = self.fs.service.blob(from).url();
                let told = metadata.clone().map(|metadata| BlobProperties { metadata, ..(*version).clone() });
                let version = told.as_ref().unwrap_or(version);
                let copied = self.fs.copies.jobs.copied(to, &existing.etag);
                let record = Record { url: &url, one_account: from.account == to.account, copied: copied.as_ref() };
                if is_copy(&existing, version, &record) {
                    return Ok(Decision::Settled(Outcome::Skipped(Skip::Same)));
                }
                Some(existing)
            }
        };
        let decision = Decision::Copy(replaced, metadata);
        Ok(if options.dry_run { Decision::Settled(Outcome::Due) } else { decision })
    }

    /// What is there, with what this mount alone knows of the last copy onto it.
    fn known_of(&self, to: &Blob, found: &Arc<BlobProperties>) -> Arc<BlobProperties> {
        match self.fs.copies.jobs.own_state(to, Some(&found.etag)) {
            Some(copy) => Arc::new(BlobProperties { copy: Some(copy), ..(**found).clone() }),
            None => found.clone(),
        }
    }

    /// Whether what is there was modified before the source was.
    fn is_older(&self, there: &Found, candidate: &Candidate<'_>) -> bool {
        let Candidate { version, kind, .. } = candidate;
        let defaults = &self.fs.config.defaults;
        there.attr(defaults).mtime < attr::of_blob(Ino::ROOT, *kind, version, defaults).mtime
    }

    /// What a copy is told, so that it belongs to whoever makes it; `None` if that are the source's own.
    fn metadata_of(&self, candidate: &Candidate<'_>, who: &Credentials) -> Result<Option<Metadata>> {
        let Config { permissions, defaults, .. } = &*self.fs.config;
        let target = candidate.existing.map(|found| found.attr(defaults));
        let by = CopyBy { who, target: target.as_ref(), dir: None, permissions: *permissions, defaults };
        let source = &candidate.version.metadata;
        Ok(attr::told_to_a_copy(by.of_source(source, candidate.kind)?, Some(source)))
    }
}
