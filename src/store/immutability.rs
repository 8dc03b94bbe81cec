//! What keeps blobs: policies and legal holds of single versions (S185, S186), which only some containers offer, and the
//! way back of what was deleted.

use std::time::SystemTime;

use reqwest::Method;

use crate::error::Result;
use crate::store::blob::BlobClient;
use crate::store::types::DeletionId;

/// Client of what keeps a blob, or one version of it.
#[derive(Clone, Copy)]
pub struct ProtectionClient<'a>(BlobClient<'a>);

impl<'a> From<BlobClient<'a>> for ProtectionClient<'a> {
    fn from(blob: BlobClient<'a>) -> Self {
        Self(blob)
    }
}

impl ProtectionClient<'_> {
    /// Undelete Blob: what was deleted softly is there again, with its snapshots, as it was (S89). `deletion` says which of
    /// the name, where the namespace is hierarchical (S206). If an answer is lost there, the second try finds nothing to
    /// bring back; whoever asks knows by the ETag what it is that is there then.
    pub async fn undelete(self, deletion: Option<&DeletionId>) -> Result<()> {
        let source = deletion.map(|DeletionId(id)| format!("{}?deletionid={id}", self.0.path.name.encoded()));
        let request = self.0.component("UndeleteBlob", Method::PUT, "undelete");
        let request = request.optional("x-ms-undelete-source", source.as_deref());
        self.0.pipeline.send(&request).await.map(drop)
    }

    /// Set Blob Immutability Policy: the version is kept until then. A locked policy can only be made longer.
    pub async fn set_policy(self, until: SystemTime, locked: bool) -> Result<()> {
        let request = self
            .0
            .component("SetImmutabilityPolicy", Method::PUT, "immutabilityPolicies")
            .header("x-ms-immutability-policy-until-date", &httpdate::fmt_http_date(until))
            .header("x-ms-immutability-policy-mode", if locked { "Locked" } else { "Unlocked" });
        self.0.pipeline.send(&request).await.map(drop)
    }

    /// Delete Blob Immutability Policy, if it is not locked.
    pub async fn delete_policy(self) -> Result<()> {
        let request = self.0.component("DeleteImmutabilityPolicy", Method::DELETE, "immutabilityPolicies");
        self.0.pipeline.send(&request).await.map(drop)
    }

    /// Set Blob Legal Hold.
    pub async fn set_hold(self, hold: bool) -> Result<()> {
        let request = self
            .0
            .component("SetLegalHold", Method::PUT, "legalhold")
            .header("x-ms-legal-hold", if hold { "true" } else { "false" });
        self.0.pipeline.send(&request).await.map(drop)
    }
}
