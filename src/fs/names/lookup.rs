//! Names looked up: what a name in a directory stands for, from what is remembered, listed or asked.
//!
//! A directory exists because a blob's name goes through it (implicit), because a marker blob says so
//! (`hdi_isfolder=true`, written by mkdir here, by blobfuse2 and by Hadoop), or both; a blob `dir/` with a slash at its
//! end is a marker of other tools. Where a plain blob has the name of a directory, the directory wins and the blob
//! cannot be reached through the mount.
//!
//! An unknown name costs a HEAD and a one-entry LIST, side by side. A listing in hand answers for all its names, also
//! for those that are not in it, as long as it is fresh; where many names are looked up, one is made for them
//! (`dir/lookups`).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use tracing::warn;

use crate::error::{Error, OptionalExtension, Result};
use crate::fs::config::Config;
use crate::fs::names::access::{Credentials, SEARCH};
use crate::fs::names::attr::{self, FileKind, Ino};
use crate::fs::names::cache::Names;
use crate::fs::names::dir::lookups::Lookups;
use crate::fs::names::dir::sweeper::Sweeper;
use crate::fs::names::tree::{
    Blob, BlobDir, Listed, NodeProperties, NodeView, Observation, Origin, Place, RevisionDir, Tree,
};
use crate::fs::service::{Service, no_such};
use crate::store::{BlobItem, ListBlobs};

/// Directories: names looked up and listed, and the markers that keep a directory there.
pub(in crate::fs) struct Directories {
    pub(crate) service: Arc<Service>,
    pub(crate) config: Arc<Config>,
    pub(crate) tree: Arc<Tree>,
    pub(crate) names: Arc<Names>,
    pub(crate) lookups: Lookups,
    pub(crate) sweeper: Sweeper,
    pub(crate) warned_hidden_dir: AtomicBool,
}

impl Directories {
    pub(crate) fn new(names: Arc<Names>) -> Self {
        let (service, config, tree) = (names.service.clone(), names.config.clone(), names.tree.clone());
        let lookups = Lookups::new(config.attr_ttl);
        let (sweeper, warned_hidden_dir) = (Sweeper::default(), AtomicBool::new(false));
        Self { service, config, tree, names, lookups, sweeper, warned_hidden_dir }
    }
}

/// The treatment of blobs below a directory that a listing of it does not show.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::fs) enum Unseen {
    Ignored,
    /// Snapshots without a base, and blobs that were never committed.
    Included,
}

/// The first blobs below a directory.
#[derive(Default)]
pub(in crate::fs) struct Below {
    pub(crate) items: Vec<BlobItem>,
    /// Blobs whose names no path can carry.
    left_out: usize,
}

/// The answer of the service about a name: what it stands for.
pub(in crate::fs) type Heard = (FileKind, NodeProperties);

/// The error of a lookup of a name that no blob can have: only its length is not a way of not being there.
fn only_too_long(error: Error, name: &str) -> Error {
    match error {
        Error::Name(crate::path::NameError::TooLong) => error,
        _ => no_such(name),
    }
}

impl Below {
    pub(crate) fn count(&self) -> usize {
        self.items.len() + self.left_out
    }
}

impl Directories {
    /// The node of a name, as fresh as a lookup has to be. ENOENT if there is none.
    pub(crate) async fn resolve(&self, parent: Ino, name: &str) -> Result<NodeView> {
        let known = self.tree.child(parent, name);
        if let Some(view) = &known
            && (view.observed.age() < self.names.trust(view.kind) || self.names.is_ahead(view.ino))
        {
            return Ok(view.clone());
        }
        match self.listed(parent, name).await? {
            Listed::Present(entry) => {
                self.note_real(parent, name)?;
                let anchor = self.anchor_of(parent, name)?;
                return self.tree.enter_listed(parent, &entry, anchor);
            }
            Listed::Absent(asked) => {
                if let Some(revisions) = self.revision_dir_in(parent, name)? {
                    return self.tree.enter_revision_dir(parent, revisions);
                }
                // Not what came into being here since.
                self.tree.remove_absent(parent, name, asked);
                return Err(self.not_there(parent, name));
            }
            Listed::Unknown => {}
        }
        let asked = Instant::now();
        let answer = match self.tree.place(parent)? {
            Place::Accounts => self.service.account_named(name).map(|_| (FileKind::Directory, NodeProperties::Nothing)),
            Place::Account(id) => {
                let container = self.service.container_named(id, name)?;
                let item = self.service.client(id).container(&container).properties().await.optional()?;
                item.map(|item| (FileKind::Directory, NodeProperties::Container(Arc::new(item))))
            }
            Place::Directory(dir) => self.ask(&dir, name, known.as_ref()).await?,
            Place::Revision(place) => self.ask_revision(&place, name).await?,
            Place::Blob(blob) => return Err(Error::fs(libc::ENOTDIR, format!("{} is not a directory", blob.path))),
        };
        if let Some(view) = self.tree.child(parent, name) {
            let taken_in = match &answer {
                Some((kind, NodeProperties::Blob(properties))) if *kind == view.kind => {
                    self.names.update_open_file(view.ino, properties, asked)
                }
                // What was written here in the meantime is newer than the answer.
                _ => self.names.is_ahead(view.ino) || self.names.is_copied_to(view.ino),
            };
            if taken_in {
                return self.tree.view(view.ino);
            }
        }
        match answer {
            Some((kind, heard)) => {
                self.note_real(parent, name)?;
                let anchor = self.anchor_of(parent, name)?;
                self.tree.enter(parent, name, kind, Observation { properties: heard, at: asked }, anchor)
            }
            None => match self.revision_dir_in(parent, name)? {
                Some(revisions) => self.tree.enter_revision_dir(parent, revisions),
                None => {
                    self.tree.listings().remember_absence(parent, name, asked);
                    Err(no_such(name))
                }
            },
        }
    }

    /// The listed entry of a name. If too many names of the directory would have to be asked for, it is listed now.
    async fn listed(&self, parent: Ino, name: &str) -> Result<Listed> {
        let listed = self.tree.listings().listed(parent, name);
        if !matches!(listed, Listed::Unknown) {
            self.lookups.answered(parent);
        } else if matches!(self.tree.place(parent)?, Place::Directory(_))
            && let Some(turn) = self.lookups.ask(parent)
        {
            self.list_for_lookups(parent, turn).await;
            return Ok(self.tree.listings().listed(parent, name));
        }
        Ok(listed)
    }

    /// The error for a name that is not there, or that the service cannot hold.
    fn not_there(&self, parent: Ino, name: &str) -> Error {
        match self.tree.place(parent) {
            Ok(Place::Directory(dir)) => {
                dir.blob(name).map_or_else(|error| only_too_long(error, name), |_| no_such(name))
            }
            _ => no_such(name),
        }
    }

    /// The place of an account or container; everything else follows from its parent's.
    pub(crate) fn anchor_of(&self, parent: Ino, name: &str) -> Result<Option<Place>> {
        Ok(match self.tree.place(parent)? {
            Place::Accounts => self.service.account_named(name).map(Place::Account),
            Place::Account(account) => {
                let container = self.service.container_named(account, name)?;
                Some(Place::Directory(BlobDir { account, container, prefix: String::new() }))
            }
            _ => None,
        })
    }

    /// Asks the service what a name in a directory is.
    async fn ask(&self, dir: &BlobDir, name: &str, known: Option<&NodeView>) -> Result<Option<Heard>> {
        let blob = dir.blob(name).map_err(|error| only_too_long(error, name))?;
        let head = async {
            match self.service.blob(&blob).properties().await {
                Err(error) if error.code() == "ContainerNotFound" => Err(error),
                found => found.optional(),
            }
        };
        let below =
            async { Ok::<_, Error>(self.first_below(&dir.subdirectory(name), 1, Unseen::Ignored).await?.count() > 0) };
        if known.is_some_and(|view| view.kind != FileKind::Directory) {
            // It was a file a moment ago, and almost always is one still.
            if let Some(properties) = head.await? {
                return Ok(Some((attr::kind_of(&properties), NodeProperties::Blob(Arc::new(properties)))));
            }
            return Ok(below.await?.then_some((FileKind::Directory, NodeProperties::Nothing)));
        }
        let (head, below) = tokio::try_join!(head, below)?;
        Ok(match (head, below) {
            (Some(properties), below) => {
                let kind = attr::kind_of(&properties);
                if below && kind != FileKind::Directory {
                    warn!(blob = %blob.path, "a blob has the name of a directory: it is hidden by the directory");
                    Some((FileKind::Directory, NodeProperties::Nothing))
                } else {
                    Some((kind, NodeProperties::Blob(Arc::new(properties))))
                }
            }
            (None, true) => Some((FileKind::Directory, NodeProperties::Nothing)),
            (None, false) => None,
        })
    }

    /// The first `count` blobs below a directory.
    pub(crate) async fn first_below(&self, dir: &BlobDir, count: u32, unseen: Unseen) -> Result<Below> {
        let client = self.service.client(dir.account);
        let mut below = Below::default();
        let mut pages = client.container(&dir.container).pages(ListBlobs {
            prefix: &dir.prefix,
            max_results: Some(count),
            snapshots: unseen == Unseen::Included,
            uncommitted: unseen == Unseen::Included,
            ..Default::default()
        });
        while below.count() < count as usize
            && let Some(page) = pages.next().await?
        {
            below.items.extend(page.items);
            below.left_out += page.left_out;
        }
        Ok(below)
    }

    /// The path from the root of the mount to a blob, as it is or was; `None` if it is outside of what is mounted, or
    /// has a name that no path has.
    pub(crate) fn path_to(&self, origin: &Origin) -> Option<String> {
        let Origin { blob: Blob { account, path }, revision } = origin;
        let (name, container) = (path.name.as_str(), &path.container);
        let (above, name) = match &self.config.root {
            Place::Accounts => (format!("/{}/{container}/", self.service.client(*account).account()), name),
            Place::Account(own) if own == account => (format!("/{container}/"), name),
            Place::Directory(dir) if dir.account == *account && dir.container == *container => {
                ("/".to_owned(), name.strip_prefix(&dir.prefix)?)
            }
            _ => return None,
        };
        if name.split('/').any(str::is_empty) {
            return None;
        }
        let Some(revision) = revision else { return Some(format!("{above}{name}")) };
        let shown = [RevisionDir::Snapshots, RevisionDir::Versions].into_iter().find(|dir| dir.shows(revision))?;
        let (dir, name) = name.rfind('/').map_or(("", name), |slash| name.split_at(slash + 1));
        Some(format!("{above}{dir}{}/{name}/{}", shown.directory(), revision.parameter().1))
    }

    /// The node at a path from the root of the mount, if the caller may go there.
    pub(crate) async fn walk_as(&self, path: &str, who: &Credentials) -> Result<NodeView> {
        let mut node = self.tree.view(Ino::ROOT)?;
        for name in path.split('/').filter(|name| !name.is_empty() && *name != ".") {
            if node.kind == FileKind::Directory {
                self.names.check_access(&node, SEARCH, who)?;
            }
            node = self.resolve(node.ino, name).await?;
        }
        Ok(node)
    }
}
