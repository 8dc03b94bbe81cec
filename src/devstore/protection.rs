//! How blobs are kept from being changed: by the container that they are in, or each version by itself.

use std::time::SystemTime;

use serde::Deserialize;

/// Headers about the policy and the hold of one version.
pub(super) const UNTIL: &str = "x-ms-immutability-policy-until-date";
pub(super) const MODE: &str = "x-ms-immutability-policy-mode";
pub(super) const HOLD: &str = "x-ms-legal-hold";

/// How a container keeps its blobs. The body of `POST /-/immutability`; what is absent does not keep anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Immutability {
    /// Days for which a blob is kept from its creation on.
    pub days: Option<u32>,
    /// The policy is locked: the container cannot be deleted while there is something in it.
    pub locked: bool,
    /// A legal hold.
    pub legal_hold: bool,
    /// Append blobs may grow in spite of the policy.
    pub appends: bool,
    /// Version-level immutability: versions are kept, each for itself.
    pub versions: bool,
}

/// How one version of a blob is kept (S114).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Protection {
    pub until: Option<Until>,
    pub hold: Option<bool>,
}

/// The end of a policy of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Until {
    pub time: SystemTime,
    pub locked: bool,
}

impl Until {
    /// The policy's mode in the answers of the service, which are in lower case (S114).
    pub(super) fn mode(self) -> &'static str {
        if self.locked { "locked" } else { "unlocked" }
    }
}

impl Immutability {
    /// What `HasImmutabilityPolicy` says.
    pub(super) fn has_policy(&self) -> bool {
        self.days.is_some()
    }
}
