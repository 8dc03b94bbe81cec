//! What is new in each attempt of a request: the credential, what is signed with it, and the checksums.

use std::sync::Arc;

use reqwest::header::HeaderValue;
use tokio::time::timeout_at;

use crate::error::{Result, ServiceError};
use crate::store::credential::Credential;
use crate::store::pipeline::{Checksums, Pipeline};
use crate::store::retry::{Failure, Tries};
use crate::store::secret::Secret;
use crate::store::sign::WhiteSpace;
use crate::store::types::{CopySource, LeaseId, SignSource};

/// The header of a request that names a source which can be signed anew.
pub(super) struct SourceHeader {
    pub name: &'static str,
    pub signer: Arc<dyn SignSource>,
}

/// The parts of a request that are new in each attempt.
pub(super) struct PerAttempt {
    /// Lease of the blob, if this process holds it and the request names none.
    pub lease: Option<LeaseId>,
    pub credential: Arc<Credential>,
    pub bearer: Option<Secret>,
    pub white_space: WhiteSpace,
    /// What the body is sent with, and an answer's asked for.
    pub checksums: Checksums,
    /// The source of a copy, if that is signed by another credential than it was when the request was made.
    source: Option<CopySource>,
}

impl PerAttempt {
    pub(super) async fn new(
        pipeline: &Pipeline,
        source: Option<&SourceHeader>,
        lease: Option<LeaseId>,
        tries: &Tries,
    ) -> std::result::Result<Self, Failure> {
        let credential = proof(tries, pipeline.credential.for_a_request()).await?;
        let bearer = proof(tries, bearer_of(&credential)).await?;
        let (white_space, checksums) = (WhiteSpace::Folded, pipeline.checksums());
        let mut new = Self { lease, credential, bearer, white_space, checksums, source: None };
        new.renew_source(source, tries).await?;
        Ok(new)
    }

    /// Takes another credential for what was refused, the request or the source that it names. False if there is none.
    pub(super) async fn renew(
        &mut self,
        pipeline: &Pipeline,
        source: Option<&SourceHeader>,
        error: &ServiceError,
        tries: &Tries,
    ) -> std::result::Result<bool, Failure> {
        if let Some(another) = in_time(tries, pipeline.credential.after(&self.credential, error)).await {
            self.bearer = proof(tries, bearer_of(&another)).await?;
            self.credential = another;
            self.renew_source(source, tries).await?;
            return Ok(true);
        }
        let newer = self.source.as_ref().and_then(CopySource::signer);
        let Some(signer) = newer.or(source.map(|source| &source.signer)).cloned() else { return Ok(false) };
        let Some(another) = proof(tries, signer.after(error)).await? else { return Ok(false) };
        self.source = Some(another);
        // Within one account, the request is asked with the same credential, which is another one now.
        self.credential = proof(tries, pipeline.credential.for_a_request()).await?;
        self.bearer = proof(tries, bearer_of(&self.credential)).await?;
        Ok(true)
    }

    async fn renew_source(&mut self, source: Option<&SourceHeader>, tries: &Tries) -> std::result::Result<(), Failure> {
        if let Some(source) = source {
            self.source = proof(tries, source.signer.renewed()).await?;
        }
        Ok(())
    }

    /// The header of the source, if it is another one than the request has.
    pub(super) fn signed_anew(&self, source: Option<&SourceHeader>) -> Option<(&'static str, HeaderValue)> {
        let name = source?.name;
        let mut value = HeaderValue::from_str(self.source.as_ref()?.expose()).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    }
}

/// A token for the next try, if that is what it is asked with.
async fn bearer_of(credential: &Credential) -> Result<Option<Secret>> {
    match credential {
        Credential::Entra(tokens) => tokens.token().await.map(Some),
        _ => Ok(None),
    }
}

/// What a request is to prove itself with, if it comes in time.
pub(super) async fn proof<T>(tries: &Tries, asked: impl Future<Output = Result<T>>) -> std::result::Result<T, Failure> {
    match timeout_at(tries.deadline.ends(), asked).await {
        Ok(proof) => proof.map_err(Failure::Invalid),
        Err(_) => Err(Failure::Unsent { detail: "no credential in time".into(), timed_out: true }),
    }
}

async fn in_time<T>(tries: &Tries, asked: impl Future<Output = Option<T>>) -> Option<T> {
    timeout_at(tries.deadline.ends(), asked).await.ok().flatten()
}
