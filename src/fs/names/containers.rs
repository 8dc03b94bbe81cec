//! What containers have said, when they were asked, of what they keep from being changed.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::error::Error;
use crate::fs::names::tree::AccountId;
use crate::path::ContainerName;
use crate::store::Keeping;
use crate::sync::lock;

/// Answers of containers that were asked, and what refusals have told.
#[derive(Default)]
pub(in crate::fs) struct Containers(Mutex<HashMap<(AccountId, ContainerName), Arc<Asked>>>);

#[derive(Default)]
pub(in crate::fs) struct Asked {
    /// The answer, and when it was asked for. Held while it is asked for, so that one asks for all.
    pub(crate) answer: tokio::sync::Mutex<Option<(Keeping, Instant)>>,
    /// The service has refused a change since, because a blob is kept.
    pub(crate) refused: AtomicBool,
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
