//! Places in a listing: where a page of it begins, and the offset that an entry of it has for the kernel.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::Instant;

use crate::store::BlobItem;

/// The beginning of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PageStart {
    First,
    Marker(String),
    /// Behind all pages: what exists only on this mount so far.
    OnlyHere,
    End,
}

/// Names that earlier pages leave open.
#[derive(Clone, Default)]
pub(crate) struct Carry {
    /// Blobs that are no entries before the listing has come past where a directory of their name would be.
    pub undecided: Vec<(BlobItem, Instant)>,
    /// Directories that are entries already, and may be listed once more.
    pub entered: Vec<Arc<str>>,
}

/// A page's beginning.
#[derive(Clone)]
pub(crate) struct Cursor {
    pub start: PageStart,
    pub carry: Carry,
    /// The last name of the page before, with the path to it; none if that was empty.
    pub after: Option<String>,
}

impl Carry {
    /// Bytes that it takes, more or less.
    fn size(&self) -> usize {
        let of = |item: &BlobItem| {
            let metadata: usize = item.properties.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
            size_of::<(BlobItem, Instant)>() + item.name.as_str().len() + metadata
        };
        let undecided: usize = self.undecided.iter().map(|(item, _)| of(item)).sum();
        undecided + self.entered.iter().map(|name| size_of::<Arc<str>>() + name.len()).sum::<usize>()
    }
}

impl Cursor {
    /// Bytes that it takes, more or less.
    pub(crate) fn size(&self) -> usize {
        let marker = match &self.start {
            PageStart::Marker(marker) => marker.len(),
            PageStart::First | PageStart::OnlyHere | PageStart::End => 0,
        };
        size_of::<Self>() + marker + self.after.as_ref().map_or(0, String::len) + self.carry.size()
    }

    pub(crate) fn end() -> Self {
        Self { start: PageStart::End, carry: Carry::default(), after: None }
    }
}

/// Offset of an entry of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cookie {
    pub page: usize,
    pub index: usize,
    pub print: u64,
}

impl Cookie {
    const INDEX: u32 = 20;
    const PRINT: u32 = 20;

    pub(crate) fn of(page: usize, index: usize, name: &str) -> Self {
        let print = BuildHasherDefault::<DefaultHasher>::default().hash_one(name) & ((1 << Self::PRINT) - 1);
        Self { page, index, print }
    }

    /// `None` for the beginning and the dots.
    pub(crate) fn parse(offset: u64) -> Option<Self> {
        let page = (offset >> (Self::INDEX + Self::PRINT)).checked_sub(1)?;
        let index = (offset >> Self::PRINT) & ((1 << Self::INDEX) - 1);
        Some(Self { page: page as usize, index: index as usize, print: offset & ((1 << Self::PRINT) - 1) })
    }

    /// The largest is that of page 2^23: beyond what anybody lists.
    pub(crate) fn offset(self) -> u64 {
        (self.page as u64 + 1) << (Self::INDEX + Self::PRINT) | (self.index as u64) << Self::PRINT | self.print
    }
}
