//! What containers keep from being changed (S109, S188): a policy or a hold refuses everything that would change a blob
//! that exists.
//!
//! Whoever looks a container up or lists containers hears it of each, and it is believed as long as the container's
//! other properties. Where nobody does, because the mount shows a directory of one container, the container is asked
//! once in the life of the mount, before the first thing is made, renamed or removed in it. A hold may be set later: so
//! when something is refused because it is kept, the container is asked again before the next change. Some credentials
//! may not ask; to them the refusal is the answer.

use std::sync::atomic::Ordering;
use std::time::Instant;

use tracing::{debug, warn};

use crate::error::{Error, Result};
use crate::fs::names::attr::Ino;
use crate::fs::names::cache::Names;
use crate::fs::names::tree::{AccountId, NodeProperties, Place};
use crate::path::ContainerName;
use crate::store::Keeping;

impl Names {
    /// What the container keeps that a directory or file is in. Nothing, as far as one may know, if it may not be asked.
    pub(in crate::fs) async fn keeping(&self, ino: Ino) -> Result<Keeping> {
        let (account, container) = match self.tree.place(ino) {
            Ok(Place::Directory(dir)) => (dir.account, dir.container),
            Ok(Place::Blob(blob)) => (blob.account, blob.path.container),
            _ => return Ok(Keeping::Nothing),
        };
        let asked = self.containers.of(account, &container);
        let mut answer = asked.answer.lock().await;
        let refused = asked.refused.swap(false, Ordering::Relaxed);
        // The latest word counts.
        let known = answer.into_iter().chain(self.heard_of_container(ino)).max_by_key(|(_, at)| *at);
        if let (Some((known, _)), false) = (known, refused) {
            return Ok(known);
        }
        let now = Instant::now();
        match self.ask_container(account, &container, refused).await {
            Ok(keeping) => Ok(answer.insert((keeping, now)).0),
            Err(error) => {
                warn!(%container, %error, "whether it keeps its blobs from being changed is not known");
                asked.refused.store(refused, Ordering::Relaxed);
                // To take it for one that keeps nothing could leave something there that nobody can remove.
                if refused { Ok(Keeping::Blobs) } else { Err(error) }
            }
        }
    }

    async fn ask_container(&self, account: AccountId, container: &ContainerName, refused: bool) -> Result<Keeping> {
        match self.service.client(account).container(container).properties().await {
            Ok(item) => Ok(item.keeping),
            Err(error) if error.is_denied() => {
                debug!(%container, %error, "whether it keeps its blobs from being changed may not be asked");
                Ok(if refused { Keeping::Blobs } else { Keeping::Nothing })
            }
            Err(error) => Err(error),
        }
    }

    /// What the container above a node was heard to keep, and when, if the container is a node itself.
    fn heard_of_container(&self, ino: Ino) -> Option<(Keeping, Instant)> {
        let mut at = ino;
        loop {
            let view = self.tree.view(at).ok()?;
            match view.observed.properties {
                NodeProperties::Container(item) => return Some((item.keeping, view.observed.at)),
                _ if view.parent == at => return None,
                _ => at = view.parent,
            }
        }
    }

    /// Something in a directory was refused. If that was because its blob is kept, others there are kept as well.
    pub(in crate::fs) fn note_refusal(&self, ino: Ino, error: &Error) {
        let container = match self.tree.place(ino) {
            Ok(Place::Directory(dir)) => (dir.account, dir.container),
            Ok(Place::Blob(blob)) => (blob.account, blob.path.container),
            _ => return,
        };
        if error.is_of_a_kept_blob() {
            self.containers.of(container.0, &container.1).refused.store(true, Ordering::Relaxed);
        }
    }
}
