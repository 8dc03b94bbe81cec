//! Lookups, by which the kernel gets references to nodes.

use futures_util::future::join_all;
use tracing::debug;

use crate::error::Result;
use crate::fs::Fs;
use crate::fs::names::attr::{Attr, Ino};
use crate::fs::names::tree::Place;

impl Fs {
    /// Looks up a name and gives the kernel a reference to it.
    pub async fn lookup(&self, parent: Ino, name: &str) -> Result<Attr> {
        loop {
            let view = self.directories.resolve(parent, name).await?;
            // The kernel may have given back its last reference to the node in this moment: then it is entered anew.
            if self.tree.kernel().looked_up(view.ino) {
                return Ok(self.names.attr_of(&view));
            }
        }
    }

    /// Asks the accounts whether their namespaces are hierarchical, so that the first rename need not. It is of no
    /// consequence if they do not answer now.
    pub async fn ask_namespaces(&self) {
        let asked = self.config.accounts.iter().map(|account| async {
            let container = match (&account.only, &self.config.root) {
                (Some(only), _) => only.first(),
                (None, Place::Directory(dir)) => Some(&dir.container),
                (None, _) => None,
            };
            let asked = match container {
                Some(container) => account.client.container(container).namespace().await,
                None => account.client.namespace().await,
            };
            if let Err(error) = asked {
                debug!(account = %account.client.account(), %error, "whether its namespace is hierarchical is not known yet");
            }
        });
        join_all(asked).await;
    }
}
