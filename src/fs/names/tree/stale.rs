//! ESTALE: the name stands for another file than the one that was meant.

use crate::error::Error;

/// The error of a failed condition on the blob itself, for whoever has it open.
pub(in crate::fs) fn stale(error: Error, path: &crate::path::BlobPath) -> Error {
    let moved = error.is_precondition_failed() || error.code() == "AppendPositionConditionNotMet";
    if moved || error.is_not_found() {
        Error::stale(format!("{path} was changed by another writer meanwhile: {error}"))
    } else {
        error
    }
}

/// ESTALE: the kernel asks anew what the name stands for, and repeats a call that came by it.
pub(crate) fn replaced(name: &str) -> Error {
    Error::stale(format!("{name:?} was deleted or replaced by another client"))
}
