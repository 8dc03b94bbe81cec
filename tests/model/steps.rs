//! The steps of a sequence, and how they are drawn.

use proptest::prelude::*;

use crate::FILES;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum How {
    Read,
    ReadWrite,
    ReadWriteCreate,
    Truncate,
    Append,
    Exclusive,
}

#[derive(Debug, Clone)]
pub enum Step {
    Open {
        mount: usize,
        file: usize,
        how: How,
    },
    Close {
        fd: usize,
    },
    Read {
        fd: usize,
        at: usize,
        len: usize,
    },
    /// Through a mapping of the first `len` bytes, which stays as long as the file is open.
    Mapped {
        fd: usize,
        at: usize,
        len: usize,
    },
    Write {
        fd: usize,
        at: usize,
        len: usize,
    },
    Resize {
        fd: usize,
        to: usize,
    },
    Sync {
        fd: usize,
    },
    Copy {
        from: usize,
        to: usize,
        at: usize,
        to_at: usize,
        len: usize,
    },
    Truncate {
        mount: usize,
        file: usize,
        to: usize,
    },
    Rename {
        mount: usize,
        from: usize,
        to: usize,
    },
    Unlink {
        mount: usize,
        file: usize,
    },
    Expire {
        mount: usize,
    },
    Put {
        file: usize,
        len: usize,
    },
    PutAppendBlob {
        file: usize,
        len: usize,
    },
    AppendBlock {
        file: usize,
        len: usize,
    },
    Describe {
        file: usize,
    },
    Delete {
        file: usize,
    },
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        10 => 0usize..40,
        10 => 0usize..6000,
        5 => 0usize..300_000,
        1 => Just(4096usize),
        1 => 5_000_000usize..9_500_000,
    ]
}

pub fn step() -> impl Strategy<Value = Step> {
    let (mount, file, fd) = (|| 0usize..2, || 0usize..FILES, || 0usize..8);
    let how = prop_oneof![
        4 => Just(How::Read),
        3 => Just(How::ReadWrite),
        2 => Just(How::ReadWriteCreate),
        3 => Just(How::Truncate),
        2 => Just(How::Append),
        1 => Just(How::Exclusive),
    ];
    prop_oneof![
        8 => (mount(), file(), how).prop_map(|(mount, file, how)| Step::Open { mount, file, how }),
        5 => fd().prop_map(|fd| Step::Close { fd }),
        8 => (fd(), size(), size()).prop_map(|(fd, at, len)| Step::Read { fd, at, len }),
        3 => (fd(), 0usize..20_000, 1usize..9000).prop_map(|(fd, at, len)| Step::Mapped { fd, at, len }),
        8 => (fd(), size(), size()).prop_map(|(fd, at, len)| Step::Write { fd, at, len }),
        2 => (fd(), size()).prop_map(|(fd, to)| Step::Resize { fd, to }),
        3 => fd().prop_map(|fd| Step::Sync { fd }),
        5 => (fd(), fd(), size(), size(), size())
            .prop_map(|(from, to, at, to_at, len)| Step::Copy { from, to, at, to_at, len }),
        1 => (mount(), file(), size()).prop_map(|(mount, file, to)| Step::Truncate { mount, file, to }),
        2 => (mount(), file(), file()).prop_map(|(mount, from, to)| Step::Rename { mount, from, to }),
        1 => (mount(), file()).prop_map(|(mount, file)| Step::Unlink { mount, file }),
        4 => mount().prop_map(|mount| Step::Expire { mount }),
        4 => (file(), size()).prop_map(|(file, len)| Step::Put { file, len }),
        1 => (file(), size()).prop_map(|(file, len)| Step::PutAppendBlob { file, len: len.min(400_000) }),
        2 => (file(), size()).prop_map(|(file, len)| Step::AppendBlock { file, len: len.min(400_000) }),
        1 => file().prop_map(|file| Step::Describe { file }),
        1 => file().prop_map(|file| Step::Delete { file }),
    ]
}
