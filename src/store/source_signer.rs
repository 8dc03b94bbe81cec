//! Signers of copy sources: what makes the URL that a source is read by, and makes it anew with another credential.
//!
//! A source URL holds a SAS, and a request that names it may be sent minutes after it was made, or again and again. The
//! credential that signed it may be replaced meanwhile ([`crate::store::credential`]). So a [`CopySource`] of an
//! account of ours remembers its signer, and each attempt asks that for the URL as it is to be by now; a refusal of the source
//! asks the place of the *source's* credential, whichever account the request goes to.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::error::{Error, Result, ServiceError};
use crate::path::{AccountName, BlobPath};
use crate::store::account::CredentialInUse;
use crate::store::blob::BlobClient;
use crate::store::credential::{Credential, Want};
use crate::store::sas::{self, Validity};
use crate::store::secret::Secret;
use crate::store::types::{CopySource, MAX_SOURCE_URL, Revision, SignSource};

/// What a source within an account, or for another one, is signed with.
#[derive(Clone)]
pub(super) struct SourceSigner {
    credential: CredentialInUse,
    account: AccountName,
    path: BlobPath,
    revision: Option<Revision>,
    api_version: String,
    /// URL without a token, or what stands for it.
    plain: String,
    /// Life of a SAS that is made for it.
    lifetime: Duration,
    /// The credential of the request counts for the source: without a SAS, none is needed.
    owned: bool,
    /// The credential that the source was signed with last.
    with: Arc<Credential>,
}

impl SourceSigner {
    /// Signer of the blob, for SAS that live for `lifetime`. `with` is what its account is asked with.
    pub(super) fn of(blob: BlobClient<'_>, plain: String, lifetime: Duration, with: Arc<Credential>) -> Self {
        Self {
            credential: blob.pipeline.credential.clone(),
            account: blob.pipeline.account().clone(),
            path: blob.path.clone(),
            revision: blob.revision.cloned(),
            api_version: blob.pipeline.api_version().to_owned(),
            plain,
            lifetime,
            owned: false,
            with,
        }
    }

    /// The same for a request to the account itself, which lends its own proof to the source.
    pub(super) fn owned(self) -> Self {
        Self { owned: true, ..self }
    }

    /// The source as the credential signs it. ENAMETOOLONG beyond what the header takes (§13.2).
    pub(super) fn sign(self) -> Result<CopySource> {
        let mut url = self.plain.clone();
        if let Some(token) = self.token() {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(token.expose());
        }
        // What renames names by its path, and its header takes more.
        if !url.starts_with('/') && url.len() > MAX_SOURCE_URL {
            let what = format!("{}/{}: its URL is too long for a copy source", self.account, self.path);
            return Err(Error::fs(libc::ENAMETOOLONG, what));
        }
        Ok(CopySource::new(url).signed_by(Arc::new(self)))
    }

    fn token(&self) -> Option<Secret> {
        match &*self.with {
            Credential::SharedKey(key) if !self.owned => {
                let validity = Validity::for_the_next(self.lifetime);
                let (revision, version) = (self.revision.as_ref(), self.api_version.as_str());
                Some(sas::read_blob(key, &self.account, &self.path, revision, &validity, version))
            }
            Credential::Sas(token) => Some(token.clone()),
            // An identity's URLs are signed elsewhere, and public ones not at all.
            Credential::SharedKey(_) | Credential::Entra(_) | Credential::Anonymous => None,
        }
    }

    fn by(&self, credential: Arc<Credential>) -> Result<Option<CopySource>> {
        match *credential {
            Credential::Entra(_) => Ok(None),
            _ => Self { with: credential, ..self.clone() }.sign().map(Some),
        }
    }
}

impl SignSource for SourceSigner {
    fn renewed(&self) -> BoxFuture<'_, Result<Option<CopySource>>> {
        async move {
            let now = self.credential.for_a_request().await?;
            if Arc::ptr_eq(&now, &self.with) { Ok(None) } else { self.by(now) }
        }
        .boxed()
    }

    fn after<'a>(&'a self, error: &'a ServiceError) -> BoxFuture<'a, Result<Option<CopySource>>> {
        async move {
            let Some(want) = Want::after_source(error) else { return Ok(None) };
            match self.credential.another_than(&self.with, want).await {
                Some(another) => self.by(another),
                None => Ok(None),
            }
        }
        .boxed()
    }
}
