//! The error of a mount.

/// The reason why a mount did not come about or ended badly, in one line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct MountError(pub(crate) String);
