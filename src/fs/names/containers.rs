//! What containers were heard to keep from being changed, where they are no nodes of the tree.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::OnceCell;

use crate::error::Error;
use crate::fs::names::tree::AccountId;
use crate::path::ContainerName;
use crate::store::Keeping;
use crate::sync::lock;

/// Answers of containers that are no node of the tree, and what refusals have told.
#[derive(Default)]
pub(in crate::fs) struct Containers(Mutex<HashMap<(AccountId, ContainerName), Arc<Asked>>>);

#[derive(Default)]
pub(in crate::fs) struct Asked {
    pub(crate) answer: OnceCell<Keeping>,
    /// The service has refused a change because a blob is kept.
    pub(crate) refused: OnceCell<()>,
}

impl Containers {
    pub(crate) fn of(&self, account: AccountId, container: &ContainerName) -> Arc<Asked> {
        lock(&self.0).entry((account, container.clone())).or_default().clone()
    }
}

/// EPERM for what would change a blob that its container keeps.
pub(in crate::fs) fn kept(name: &str) -> Error {
    Error::fs(
        libc::EPERM,
        format!("{name}: its container keeps every blob as it was made (immutability policy or legal hold)"),
    )
}
