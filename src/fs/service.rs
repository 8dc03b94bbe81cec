//! The accounts of a mount: which client reaches a blob, and what a blob brings along when it is copied.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::error::{Error, Result};
use crate::fs::config::{Account, Config};
use crate::fs::journal::{Journal, Named};
use crate::fs::names::attr::{self, FileKind};
use crate::fs::names::tree::{AccountId, Blob, BlobDir, Origin};
use crate::fs::names::xattr_reads::Seen;
use crate::path::{BlobName, BlobPath, ContainerName};
use crate::store::{BlobClient, BlobProperties, Client, CopySource, Revision, Tags};

/// The time for which the service may read another account's source: a pending copy reads it to its end.
pub(in crate::fs) const SOURCE_SAS: Duration = Duration::from_secs(7 * 24 * 3600);

pub(crate) fn no_such(name: &str) -> Error {
    Error::not_found(format!("{name} does not exist"))
}

/// The accounts of a mount. Cheap to share; what is asked of them goes through their clients.
pub(in crate::fs) struct Service {
    pub(crate) config: Arc<Config>,
    pub(crate) journal: Arc<Journal>,
}

impl Service {
    pub(crate) fn new(config: Arc<Config>) -> Self {
        Self { config, journal: Arc::default() }
    }

    pub(crate) fn client(&self, account: AccountId) -> &Client {
        // An AccountId is only ever made from an index into this vector.
        &self.config.accounts[account.0].client
    }

    /// The error of a path that was to be made, where the service says that a type is wrong: which one, it does not say.
    pub(crate) async fn of_another_type(&self, path: &Blob, made: FileKind, error: Error) -> Error {
        match self.blob(path).properties().await.map(|found| attr::kind_of(&found)) {
            Ok(_) if made == FileKind::Directory => Error::fs(libc::EEXIST, error.to_string()),
            Ok(FileKind::Directory) => Error::fs(libc::EISDIR, error.to_string()),
            // One above it is a file.
            _ => error,
        }
    }

    /// What whoever looks after the mount should know, in lines; `None` if there is nothing.
    pub(crate) fn warnings(&self) -> Option<String> {
        let mut lines: Vec<String> =
            self.config.accounts.iter().filter_map(|account| account.client.notice()).collect();
        // Of accounts at one place all say the same.
        lines.dedup();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// A blob as a journal names it, which other mounts read.
    pub(crate) fn named(&self, blob: &Blob) -> Named {
        Named::of(self.client(blob.account), &blob.path)
    }

    /// A directory as a journal names it, by the beginning of the names in it.
    pub(crate) fn named_dir(&self, dir: &BlobDir) -> Named {
        let account = self.client(dir.account).endpoint().to_string();
        Named { account, container: dir.container.to_string(), name: dir.prefix.clone() }
    }

    /// The directory that a journal names so; `None` if it is in none of the mount's accounts.
    pub(crate) fn dir_of(&self, named: &Named) -> Option<BlobDir> {
        let is_it = |account: &Account| account.client.endpoint().to_string() == named.account;
        let account = AccountId(self.config.accounts.iter().position(is_it)?);
        let container = self.container_named(account, &named.container).ok()?;
        Some(BlobDir { account, container, prefix: named.name.clone() })
    }

    /// The blob that a journal names so, if it is in one of the mount's accounts.
    pub(crate) fn blob_of(&self, named: &Named) -> Option<Blob> {
        let dir = self.dir_of(named)?;
        let path = BlobPath::new(dir.container, BlobName::parse(&named.name).ok()?);
        Some(Blob { account: dir.account, path })
    }

    /// A blob of the mount, to be worked on.
    pub(crate) fn blob<'a>(&'a self, blob: &'a Blob) -> BlobClient<'a> {
        self.client(blob.account).blob(&blob.path)
    }

    /// The blob of one of the mount's accounts that a URL names, as it is or was, if it does and brings no credential
    /// of its own.
    pub(crate) fn located(&self, url: &str) -> Option<Origin> {
        self.config.accounts.iter().enumerate().find_map(|(index, account)| {
            let (path, revision) = account.client.blob_at(url)?;
            Some(Origin { blob: Blob { account: AccountId(index), path }, revision })
        })
    }

    /// The error to report of a copy that was refused, perhaps for its source: that one is archived is looked at before
    /// anybody takes it for changed (S51, S52).
    pub(crate) async fn explain_source(&self, source: &Blob, revision: Option<&Revision>, error: Error) -> Error {
        if error.may_be_of_an_archived_blob()
            && self.blob(source).at(revision).properties().await.is_ok_and(|found| found.is_archived())
        {
            let what =
                format!("{}: it is archived, and cannot be read before it is brought back: {error}", source.path);
            return Error::fs(libc::ENODATA, what);
        }
        error
    }

    /// A URL by which `to`'s account can read `source`, as it is or was.
    pub(crate) async fn source_url(&self, source: &Blob, revision: Option<&Revision>, to: &Blob) -> Result<CopySource> {
        let reader = self.client(to.account);
        self.blob(source).at(revision).copy_source(reader, SOURCE_SAS).await
    }

    pub(crate) fn account_named(&self, name: &str) -> Option<AccountId> {
        let accounts = &self.config.accounts;
        accounts.iter().position(|a| a.client.account().as_str() == name).map(AccountId)
    }

    pub(crate) fn container_named(&self, id: AccountId, name: &str) -> Result<ContainerName> {
        // A name that no container can have is simply not there.
        let container = ContainerName::parse(name).map_err(|_| no_such(name))?;
        match &self.config.accounts[id.0].only {
            Some(only) if !only.contains(&container) => Err(no_such(name)),
            _ => Ok(container),
        }
    }

    pub(crate) async fn tags_of<'a>(&self, origin: &Origin, seen: &'a Seen) -> Result<&'a Tags> {
        let Origin { blob, revision } = origin;
        seen.tags.get_or_try_init(|| self.blob(blob).at(revision.as_ref()).tags()).await
    }

    /// The tags of a blob, to be given to its next version or its copy, which would have none (X4). Asked for only if
    /// it has any. Without permission to read them they are lost, which the log says.
    pub(crate) async fn tags_to_keep(&self, blob: &Blob, properties: &BlobProperties) -> Result<Tags> {
        self.tags_of_origin(&blob.clone().into(), properties).await
    }

    /// [`Service::tags_to_keep`] of a blob as it is or was.
    pub(crate) async fn tags_of_origin(&self, origin: &Origin, properties: &BlobProperties) -> Result<Tags> {
        if properties.tag_count == 0 {
            return Ok(Tags::new());
        }
        let Origin { blob, revision } = origin;
        match self.blob(blob).at(revision.as_ref()).tags().await {
            Err(error) if error.is_denied() => {
                warn!(blob = %blob.path, %error, "its index tags may not be read and are not kept");
                Ok(Tags::new())
            }
            other => other,
        }
    }
}
