//! Knowledge about nodes: attributes as `stat` shows them, how long that is believed, and when the service is asked
//! anew.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::OnceCell;
use tracing::debug;

use crate::error::Result;
use crate::fs::config::Config;
use crate::fs::names::access::{Credentials, SEARCH, WRITE};
use crate::fs::names::attr::{self, Attr, AttrChange, Creation, FileKind, Ino, Permissions};
use crate::fs::names::containers::Containers;
use crate::fs::names::open::OpenNodes;
use crate::fs::names::tree::{Link, NodeProperties, NodeView, Observation, Origin, Place, Tree};
use crate::fs::service::Service;

/// The knowledge about inodes: from the tree, from what is open here, and from the service when it is asked.
pub struct Names {
    pub(in crate::fs) service: Arc<Service>,
    pub(in crate::fs) config: Arc<Config>,
    pub(in crate::fs) tree: Arc<Tree>,
    /// Files that programs here have open, which may be ahead of the service.
    pub(in crate::fs) open: Arc<dyn OpenNodes>,
    root_asked: OnceCell<()>,
    pub(in crate::fs) containers: Containers,
    /// The time of everything that has none of its own.
    pub(in crate::fs) started: SystemTime,
}

impl Names {
    pub(in crate::fs) fn new(service: Arc<Service>, tree: Arc<Tree>, open: Arc<dyn OpenNodes>) -> Self {
        let config = service.config.clone();
        let (root_asked, containers) = (OnceCell::new(), Containers::default());
        Self { service, config, tree, open, root_asked, containers, started: SystemTime::now() }
    }

    /// Asks for the attributes of the mounted directory, the first time that anybody looks at it.
    pub(in crate::fs) async fn ask_root_once(&self) {
        self.root_asked.get_or_init(|| self.ask_root()).await;
    }
}

pub(crate) fn observed_now(heard: NodeProperties) -> Observation {
    Observation { properties: heard, at: Instant::now() }
}

impl Names {
    /// Asks for the attributes of the mounted directory. Nobody looks it up, so it is asked for once; who may not ask
    /// is content with the mount's own modes.
    pub(in crate::fs) async fn ask_root(&self) {
        let Ok(Place::Directory(dir)) = self.tree.place(Ino::ROOT) else { return };
        let (client, asked) = (self.service.client(dir.account), Instant::now());
        let heard = match dir.marker() {
            None => {
                let found = client.container(&dir.container).properties().await;
                found.map(|item| NodeProperties::Container(Arc::new(item)))
            }
            Some(Ok(marker)) => match client.blob(&marker.path).properties().await {
                Ok(properties) if attr::kind_of(&properties) == FileKind::Directory => {
                    Ok(NodeProperties::Blob(Arc::new(properties)))
                }
                Ok(_) => return,
                Err(error) => Err(error),
            },
            Some(Err(_)) => return,
        };
        match heard {
            Ok(heard) => self.tree.update_if_newer(Ino::ROOT, heard, asked),
            Err(error) => debug!(%error, "mode, owner and time of the mounted directory are not known"),
        }
    }

    /// EACCES unless the mode of a node allows what is wanted.
    pub(in crate::fs) fn check_access(&self, node: &NodeView, want: u32, who: &Credentials) -> Result<()> {
        who.check(&self.attr_of(node), want, &node.name)
    }

    /// To write a file of that name: the file, if there is one, otherwise the directory.
    pub(in crate::fs) fn check_target(&self, parent: Ino, target: Option<&NodeView>, who: &Credentials) -> Result<()> {
        let parent = self.tree.view(parent)?;
        match target {
            Some(target) => {
                self.check_access(&parent, SEARCH, who)?;
                self.check_access(target, WRITE, who)
            }
            None => self.check_access(&parent, WRITE | SEARCH, who),
        }
    }

    /// The attributes of a node for `stat`, from what is known of it: no request is sent.
    pub(in crate::fs) fn attr_of(&self, view: &NodeView) -> Attr {
        let defaults = &self.config.defaults;
        let mut attr = match &view.observed.properties {
            NodeProperties::Blob(properties) => attr::of_blob(view.ino, view.kind, properties, defaults),
            NodeProperties::Container(item) => attr::of_container(view.ino, item, defaults),
            NodeProperties::Nothing => attr::of_nothing(view.ino, view.kind, 0, self.started, defaults),
        };
        if let Some(touched) = view.touched {
            attr.touch(touched);
        }
        if view.link != Link::Named {
            attr.links = 0;
        }
        if let Some(file) = self.open.of_ino(view.ino) {
            file.overlay(&mut attr);
        }
        attr
    }

    /// The attributes of a new file of that kind, if this mount keeps such things.
    pub(in crate::fs) fn attributes_of_new(&self, dir: Ino, kind: FileKind, creation: Creation) -> Result<AttrChange> {
        match self.config.permissions {
            Permissions::Keep => Ok(creation.within(&self.attr_of(&self.tree.view(dir)?), kind)),
            Permissions::Fixed | Permissions::Ignore => Ok(AttrChange::default()),
        }
    }

    /// The time for which the kernel may believe what it is told now of a node: as long as we would. What is not stored
    /// yet gets other times when it is.
    pub fn ttl(&self, ino: Ino) -> Duration {
        let Ok(view) = self.tree.view(ino) else { return Duration::ZERO };
        if view.is_between_contents() || self.open.of_ino(ino).is_some_and(|file| file.is_unsaved()) {
            return Duration::ZERO;
        }
        self.trust(view.kind).saturating_sub(view.observed.age()).min(self.config.attr_ttl)
    }

    /// The time for which the kernel may believe what a listing says of a node, from the moment when the reader gets to
    /// it. Counted from the moment when the page was asked for, the last entries of a large page would be too old for a
    /// reader who is slow, and asking for each of them would make that slower still. Whoever opens the file asks anew
    /// all the same.
    pub fn ttl_of_listed(&self, ino: Ino) -> Duration {
        let between = self.tree.view(ino).is_ok_and(|view| view.is_between_contents());
        if between || self.open.of_ino(ino).is_some() { self.ttl(ino) } else { self.config.attr_ttl }
    }

    /// The time for which an observation is believed. The existence of a directory is believed longer: nothing is read
    /// from the memory of it but that names can be looked up in it, and every path walks through several.
    pub(in crate::fs) fn trust(&self, kind: FileKind) -> Duration {
        match kind {
            FileKind::Directory => self.config.attr_ttl * 30,
            _ => self.config.attr_ttl,
        }
    }

    /// The view of a node, asked for anew if it is too old. A node without a name keeps what was last known; the answer
    /// may be that it has lost its name ([`Names::check_named`]).
    pub(in crate::fs) async fn fresh(&self, ino: Ino) -> Result<NodeView> {
        let view = self.tree.view(ino)?;
        if view.kind == FileKind::Directory
            || view.link != Link::Named
            || view.observed.age() < self.trust(view.kind)
            || self.is_ahead(ino)
        {
            return Ok(view);
        }
        let Ok(Origin { blob, revision }) = self.tree.origin(ino) else { return Ok(view) };
        let asked = Instant::now();
        match self.service.blob(&blob).at(revision.as_ref()).properties().await {
            Ok(properties) => self.update_if_newer(ino, properties, asked),
            Err(error) if error.is_not_found() && (self.is_ahead(ino) || self.is_copied_to(ino)) => self.tree.view(ino),
            Err(error) if error.is_not_found() => {
                self.tree.remove_absent(view.parent, &view.name, asked);
                self.tree.view(ino).map_err(|_| error)
            }
            Err(error) => Err(error),
        }
    }

    /// The file exists here only so far.
    pub(in crate::fs) fn is_new(&self, ino: Ino) -> bool {
        self.open.of_ino(ino).is_some()
            && self.tree.view(ino).is_ok_and(|view| matches!(view.observed.properties, NodeProperties::Nothing))
    }

    /// A copy onto the file is under way here.
    pub(in crate::fs) fn is_copied_to(&self, ino: Ino) -> bool {
        self.open.of_ino(ino).is_some_and(|file| file.copying().is_some())
    }
}
