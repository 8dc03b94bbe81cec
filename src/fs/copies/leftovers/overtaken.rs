//! Copies that were given up for blocks by a mount which was killed before these were committed.
//!
//! The Copy Blob took what was there, and its abort left an empty file; blocks were to fill that. Whoever looks sees what
//! the abort of any copy leaves (C50, C53). What its process would have done next cannot be gone on with, for the blocks
//! that are there may not be all. But the service can copy it once more, if the source is still that version.

use std::sync::Arc;

use crate::error::{OptionalExtension, Result};
use crate::fs::copies::leftovers::{Fate, GivenUp, Leftovers, Task, Verdict, keep};
use crate::fs::copies::method::CopyMethod;
use crate::fs::copies::spec::{CopyOptions, CopySpec};
use crate::fs::journal::Named;
use crate::fs::names::tree::{Blob, Origin};
use crate::store::{CopyStatus, Precondition};

impl Leftovers {
    /// A Copy Blob of that id, of that version of `from`, was given up. `None` if something else has become of its
    /// destination.
    pub(super) async fn judge_overtaken(
        &self,
        blob: &Blob,
        from: Option<&Named>,
        etag: &str,
        id: &str,
    ) -> Result<Option<(u64, Verdict)>> {
        let Some(over) = self.service.blob(blob).properties().await.optional()? else { return Ok(None) };
        let is_left =
            over.copy.as_ref().is_some_and(|copy| copy.id.as_str() == id && copy.status == CopyStatus::Aborted);
        if !is_left {
            return Ok(None);
        }
        let what = "a copy onto it was given up on the way, and it is empty";
        let Some(from) = from.and_then(|from| self.service.blob_of(from)) else {
            return Ok(Some((0, keep(format!("{what}: copy it again, or remove it")))));
        };
        let source = &from.path;
        let version = self.service.blob(&from).properties().await.optional()?;
        let Some(version) = version.filter(|version| version.etag.as_str() == etag) else {
            let why = format!("{what}; its source {source} is not what it was: copy that, or remove the file");
            return Ok(Some((0, keep(why))));
        };
        let why = format!("a copy of {source} onto it was given up on the way: the service begins it anew");
        let size = version.size;
        let given_up = GivenUp { from, version: Arc::new(version), over: Arc::new(over) };
        Ok(Some((size, (Fate::Clean, why, Task::CopyAnew(Box::new(given_up))))))
    }

    /// Begins it anew, with the metadata, tags and tier that the destination has got already. It goes on by itself.
    pub(super) async fn begin_given_up(&self, blob: &Blob, given_up: &GivenUp) -> Result<()> {
        let GivenUp { from, version, over } = given_up;
        let told = Some(over.metadata.clone()).filter(|told| *told != version.metadata);
        let spec = CopySpec {
            source: self.service.source_url(from, None, blob).await?,
            version: Some(version.clone()),
            destination: blob.clone(),
            precondition: Precondition::IfMatch(over.etag.clone()),
            metadata: told,
            tier: over.chosen_tier(),
            tags: self.service.tags_of_origin(&Origin::from(blob.clone()), over).await?,
            seal: None,
            options: CopyOptions {
                source: Some(from.clone()),
                from: Some(from.account),
                method: Some(CopyMethod::Blob),
                ..CopyOptions::default()
            },
        };
        self.start_copy(spec).await.map(drop)
    }
}
