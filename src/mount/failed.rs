//! Why a mount came to nothing.

/// Why a mount did not come about, or how it ended badly, in one line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failed(pub(crate) String);
