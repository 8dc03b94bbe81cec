//! Open files: acquired and let go, and what everybody here learns when the service has them as they are.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::background::BackgroundTasks;
use crate::fs::config::Config;
use crate::fs::content::chosen::lay_over;
use crate::fs::content::handle::{Content, Handles, Locked, OpenFile};
use crate::fs::content::loans::Loans;
use crate::fs::content::memory::Memory;
use crate::fs::content::read::Version;
use crate::fs::content::recognised::Recogniser;
use crate::fs::content::source::nameless;
use crate::fs::content::upload::Uploads;
use crate::fs::copies::lease::SourceLeases;
use crate::fs::copies::run::Copies;
use crate::fs::names::attr::{self, AttrChange, FileKind, Ino, SetTime};
use crate::fs::names::cache::Names;
use crate::fs::names::tree::{Blob, NodeProperties, NodeView, Tree, continues, is_grown};
use crate::fs::service::Service;
use crate::store::{BlobProperties, BlobSettings, ContentHeaders, ETag, Metadata, Precondition};

/// Open files and what stores them.
pub(in crate::fs) struct Files {
    pub(crate) service: Arc<Service>,
    pub(crate) config: Arc<Config>,
    pub(crate) tree: Arc<Tree>,
    pub(crate) names: Arc<Names>,
    pub(crate) handles: Arc<Handles>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) uploads: Uploads,
    pub(crate) loans: Arc<Loans>,
    pub(crate) leases: Arc<SourceLeases>,
    pub(crate) background: BackgroundTasks,
}

impl Files {
    pub(crate) fn new(names: Arc<Names>, handles: Arc<Handles>, copies: &Copies) -> Self {
        let (service, config, tree) = (names.service.clone(), names.config.clone(), names.tree.clone());
        let memory = Memory::new(config.memory_limit);
        let cache = memory.clone();
        tree.kernel().send_gone_to(move |ino| cache.remove_file(ino));
        let recognises = || Recogniser::new(service.clone(), tree.clone(), memory.clone());
        let recogniser = config.recognise_copies.then(recognises);
        let uploads = Uploads::new(service.clone(), memory.clone(), recogniser);
        let (leases, background) = (copies.leases.clone(), copies.background.clone());
        let loans = Arc::default();
        Self { service, config, tree, names, handles, memory, uploads, loans, leases, background }
    }
}

/// The content type of a blob, by its name, for web servers and browsers.
fn content_type(path: &crate::path::BlobPath) -> String {
    mime_guess::from_path(path.name.as_str()).first_or_octet_stream().to_string()
}

impl Files {
    /// Set Blob Metadata with `change` applied; what the blob's properties are then. A blob whose metadata say already
    /// what the change would make them say costs no request, unless its time is to be now.
    pub(crate) async fn store_attributes(
        &self,
        ino: Ino,
        properties: &Arc<BlobProperties>,
        change: &AttrChange,
    ) -> Result<Arc<BlobProperties>> {
        let view = self.tree.view(ino)?;
        self.tree.refuse_revision(ino)?;
        let nothing_to_set = || Error::fs(libc::EPERM, "accounts and containers have no mode, owner or time to set");
        let blob = self.tree.place(ino)?.blob_or_marker().ok_or_else(nothing_to_set)??;
        let defaults = &self.config.defaults;
        let mut metadata = properties.metadata.clone();
        change.apply(view.kind, &mut metadata, defaults);
        if metadata == properties.metadata && change.mtime != Some(SetTime::Now) {
            return Ok(properties.clone());
        }
        let mut now = attr::of_blob(ino, view.kind, properties, defaults);
        if let Some(touched) = view.touched {
            now.touch(touched);
        }
        let mut metadata = properties.metadata.clone();
        change.apply_to(&now, &mut metadata, defaults);
        let precondition = Precondition::IfMatch(properties.etag.clone());
        let written = self.service.blob(&blob).set_metadata(&metadata, &precondition.into()).await?;
        let properties = BlobProperties {
            etag: written.etag,
            last_modified: written.last_modified,
            metadata,
            ..(**properties).clone()
        };
        Ok(Arc::new(properties))
    }

    /// The service has the file as `properties` say: everyone here learns it.
    pub(crate) fn record_version(&self, locked: &mut Locked, properties: Arc<BlobProperties>) {
        let (file, state) = locked.parts();
        state.record_version(properties.clone());
        self.tree.update(file.ino, NodeProperties::Blob(properties));
        file.publish(state);
    }

    /// [`Files::record_version`] for a change of the version `stood_on`. If the file had another one, that change was
    /// made to another client's: handles that have not seen it end with ESTALE.
    pub(crate) fn record_version_on(&self, locked: &mut Locked, stood_on: &ETag, properties: Arc<BlobProperties>) {
        locked.rebase_on(stood_on);
        self.record_version(locked, properties);
    }

    /// The settings that a write of new content sends along: everything that the blob had, but for what described the
    /// old content. `chosen`: what a new file is to have.
    pub(crate) fn settings(
        &self,
        blob: &Blob,
        base: Option<&Version>,
        change: &AttrChange,
        chosen: Option<&BlobSettings>,
    ) -> BlobSettings {
        let anew = || BlobSettings {
            headers: ContentHeaders { content_type: Some(content_type(&blob.path)), ..Default::default() },
            ..Default::default()
        };
        let mut settings = match (base, chosen) {
            (Some(base), chosen) => {
                let mut settings = BlobSettings {
                    headers: ContentHeaders { content_md5: None, ..base.properties.headers.clone() },
                    metadata: base.properties.metadata.clone(),
                    tier: base.properties.chosen_tier(),
                    ..Default::default()
                };
                // Another client was faster to make it.
                if let Some(chosen) = chosen {
                    lay_over(&mut settings, chosen, &anew());
                }
                settings
            }
            (None, Some(chosen)) => chosen.clone(),
            (None, None) => anew(),
        };
        if base.is_some() {
            attr::forget_time(&mut settings.metadata);
        }
        change.apply(FileKind::File, &mut settings.metadata, &self.config.defaults);
        settings
    }

    /// The shared state of a file, which learns the version that is current now.
    pub(crate) async fn acquire(&self, view: &NodeView) -> Arc<OpenFile> {
        let file = self.handles.acquire(view.ino);
        self.tree.kernel().opened(view.ino);
        let mut state = file.lock().await;
        // It may have been committed here since `view` was taken.
        let now = self.tree.view(view.ino);
        if let (false, Some(properties)) = (state.content.is_uncommitted(), now.as_ref().unwrap_or(view).properties()) {
            state.version = match state.version.clone() {
                Some(version) if version.properties == *properties => Some(version),
                // Tier and tags change without a new ETag.
                Some(version) if version.properties.etag == properties.etag => {
                    Some(version.with_the_same_content(properties.clone()))
                }
                Some(version) if is_grown(&version.properties, properties) => {
                    state.content = Content::Clean;
                    Some(version.with(properties.clone()))
                }
                Some(version) if continues(&version.properties, properties) => {
                    state.content = Content::Clean;
                    Some(version.with_the_same_content(properties.clone()))
                }
                // Handles that are open on the old version end with ESTALE.
                _ => {
                    state.content = Content::Clean;
                    Some(Version::new(properties.clone()))
                }
            };
        }
        drop(state);
        file
    }

    /// False if there was nothing to drop.
    pub(crate) fn drop_setid(&self, locked: &mut Locked) -> bool {
        let (file, state) = locked.parts();
        let Ok(view) = self.tree.view(file.ino) else { return false };
        let attr = self.names.attr_of(&view);
        // Without the right to execute, the bit of the group meant locks once.
        let group = if attr.mode & libc::S_IXGRP != 0 { libc::S_ISGID } else { 0 };
        let change = AttrChange { mode: Some(attr.mode & !(libc::S_ISUID | group)), ..AttrChange::default() };
        // A mode that is not kept was not set.
        let Ok(change) = change.admit(&attr, self.config.permissions) else { return false };
        let changes = !change.is_empty();
        state.change.merge(change);
        locked.publish();
        changes
    }

    /// The metadata of a blob whose content was changed in place, if they have to be others: a time that is stored
    /// there would be a lie, and mode, owner and time may have been asked for.
    pub(crate) fn metadata_after(&self, properties: &BlobProperties, change: &AttrChange) -> Option<Metadata> {
        let mut metadata = properties.metadata.clone();
        attr::forget_time(&mut metadata);
        change.apply(FileKind::File, &mut metadata, &self.config.defaults);
        (metadata != properties.metadata).then_some(metadata)
    }

    /// The service copies from a blob and into a blob.
    pub(crate) fn refuse_nameless(&self, file: &OpenFile) -> Result<()> {
        if self.tree.place(file.ino).is_err_and(|error| error.is_not_found()) { Err(nameless()) } else { Ok(()) }
    }
}
