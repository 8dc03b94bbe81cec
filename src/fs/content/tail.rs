//! Bytes that wait to be added to the end of an append blob.

use bytes::Bytes;

/// The place that bytes are meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// To the end, wherever that is by then.
    End,
    /// To where they were written.
    Position,
}

/// Bytes that wait to be appended.
#[derive(Debug)]
pub(crate) struct Tail {
    pub aim: Aim,
    /// The block that was sent last, when nothing was heard of it: it may be there.
    pub(in crate::fs) unsure: Option<Bytes>,
}

impl Tail {
    pub(crate) fn new() -> Self {
        Self { aim: Aim::End, unsure: None }
    }
}
