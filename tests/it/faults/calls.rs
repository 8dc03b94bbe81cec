//! The calls: what is there before, what is called, what is there afterwards.
//!
//! Programs are those of `tests/python/calls.py`; `d` is the directory of the call. Contents are as its `of` reads them: `old`,
//! `@100` for bytes of the pattern, `x*3`, and sums of these. Names are those of blobs below the directory; `two:f` is in the
//! other account, `f#NAME` metadata, `f#tag` and the like what else a blob has, `f@` the number of its snapshots, and
//! `n/` a directory that has a blob of its own. `box` is a container of the call's own.

/// The service and the mount in which a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Flat accounts.
    Flat,
    /// Copies between the accounts go on until somebody ends them.
    Held,
    /// Hierarchical namespaces.
    Hns,
    /// The first account keeps what was deleted.
    Kept,
    /// The first account keeps versions.
    Versioned,
    /// Versions can have policies and holds of their own.
    Immutable,
}

pub type Names = &'static [(&'static str, &'static str)];

pub struct Call {
    pub name: &'static str,
    pub lane: Lane,
    /// Blobs that are put there by somebody else. `append:`, `page:` and `dfs:` before a content tell of what kind.
    pub before: Names,
    /// What is done on the mount before anything goes wrong.
    pub prepare: &'static str,
    pub call: &'static str,
    /// What there is if it succeeded.
    pub after: Names,
    /// What names may be besides if it failed: a file that was made and not written to.
    pub between: Names,
}

macro_rules! calls {
    ($($lane:ident $name:literal: $before:expr, $prepare:literal, $call:literal => $after:expr $(, or $between:expr)?;)*) => {
        pub const CALLS: &[Call] = &[$(Call {
            name: $name, lane: Lane::$lane, before: &$before, prepare: $prepare, call: $call, after: &$after,
            between: { let _none: Names = &[]; $(let _none: Names = &$between;)? _none },
        },)*];
    };
}

const BIG: &str = "@1048576";

calls! {
    // Looking.
    Flat "stat": [("f", "old")], "", "expect(os.stat(d+'/f').st_size, 3)" => [("f", "old")];
    Flat "stat of nothing": [("f", "old")], "", "absent(d+'/n')" => [("f", "old")];
    Flat "statfs": [("f", "old")], "", "os.statvfs(d)" => [("f", "old")];
    Flat "ls": [("f", "old"), ("g/h", "x")], "", "expect(sorted(os.listdir(d)), ['f', 'g', 'keep'])" => [("f", "old"), ("g/h", "x")];
    Flat "ls of an account": [], "", "expect('box' in os.listdir(root+'/one'), True)" => [];
    Flat "open and read": [("f", "old")], "", "read(d+'/f', b'old')" => [("f", "old")];
    Flat "read a large file": [("f", "@9437184")], "of('@9437184')", "read(d+'/f', of('@9437184'))" => [("f", "@9437184")];
    Flat "read at random": [("f", "@9437184")], "of('@9437184')",
        "with opened(d+'/f', os.O_RDONLY) as fd:\n for at in 9000000, 10, 5000000: expect(os.pread(fd, 5, at), of('@9437184')[at:at+5])"
        => [("f", "@9437184")];
    Flat "readlink": [], "os.symlink('t', d+'/l')", "expect(os.readlink(d+'/l'), 't')" => [("l", "t")];
    // Writing whole files.
    Flat "create": [], "", "write(d+'/n', b'')" => [("n", "")];
    Flat "write and close": [], "", "write(d+'/n', b'new')" => [("n", "new")], or [("n", "")];
    Flat "write and close over": [("f", "old")], "", "write(d+'/f', b'new')" => [("f", "new")], or [("f", "")];
    Flat "write blocks and close": [], "of('@17825792')", "write(d+'/n', of('@17825792'))" => [("n", "@17825792")], or [("n", "")];
    Flat "write, fsync, write": [], "",
        "with opened(d+'/n', NEW) as fd: os.write(fd, b'one '); os.fsync(fd); os.write(fd, b'two')"
        => [("n", "one two")], or [("n", ""), ("n", "one ")];
    // Changing parts.
    Flat "append": [("f", "old")], "", "write(d+'/f', b'more', ONTO)" => [("f", "oldmore")];
    Flat "append to blocks": [("f", BIG)], "", "write(d+'/f', b'new', ONTO)" => [("f", "@1048576+new")];
    Flat "write in the middle": [("f", BIG)], "", "write(d+'/f', b'new', os.O_WRONLY, 0)" => [("f", "new+@3-1048576")];
    Flat "read and write in the middle": [("f", BIG)], "",
        "with opened(d+'/f', os.O_RDWR) as fd: expect(os.pread(fd, 3, 0), of('@3')); os.pwrite(fd, b'new', 0); expect(os.pread(fd, 3, 0), b'new')"
        => [("f", "new+@3-1048576")];
    Flat "truncate": [("f", "old")], "", "os.truncate(d+'/f', 1)" => [("f", "o")];
    Flat "truncate to nothing": [("f", "old")], "", "os.truncate(d+'/f', 0)" => [("f", "")];
    Flat "truncate blocks": [("f", BIG)], "", "os.truncate(d+'/f', 600000)" => [("f", "@600000")];
    Flat "extend": [("f", BIG)], "", "os.truncate(d+'/f', 3000000)" => [("f", "@1048576+\0*1951424")];
    // Copying.
    Flat "cp": [("f", "old")], "", "copy(d+'/f', d+'/n')" => [("f", "old"), ("n", "old")], or [("n", "")];
    Flat "cp over": [("f", "new"), ("g", "old")], "", "copy(d+'/f', d+'/g')" => [("f", "new"), ("g", "new")], or [("g", "")];
    Flat "cat of two": [("f", BIG), ("g", BIG)], "", "concat([d+'/f', d+'/g'], d+'/n')"
        => [("f", BIG), ("g", BIG), ("n", "@1048576+@1048576")], or [("n", ""), ("n", BIG)];
    Flat "cp from the other account": [("two:f", "old")], "os.stat(e)", "copy(e+'/f', d+'/n')"
        => [("two:f", "old"), ("n", "old")], or [("n", "")];
    Flat "mv from the other account": [("two:f", "old")], "os.stat(e)",
        "try: os.rename(e+'/f', d+'/n')\nexcept OSError as err:\n if err.errno != errno.EXDEV: raise" => [("two:f", "old")];
    Flat "COPY": [("f", "old")], "", "blobcp.copy(f'/one/box/{c}/f', d, 'n', 0)" => [("f", "old"), ("n", "old")];
    Flat "COPY that keeps": [("f", "new"), ("g", "old")], "", "blobcp.copy(f'/one/box/{c}/f', d, 'g', 4)"
        => [("f", "new"), ("g", "new")], or [("g@", "1")];
    Flat "COPY from the other account": [("two:f", "old")], "", "blobcp.copy(f'/two/box/{c}/f', d, 'n', 0)"
        => [("two:f", "old"), ("n", "old")], or [("n", "")];
    Flat "TREE": [("s/f", "old"), ("s/t/g", "x")], "", "tree(f'/one/box/{c}/s', d, 'n')"
        => [("s/f", "old"), ("s/t/g", "x"), ("n/f", "old"), ("n/t/g", "x")];
    Flat "COPY in blocks over": [("two:f", "@9437184"), ("g", "old")], "os.stat(d+'/g')",
        "blobcp.copy(f'/two/box/{c}/f', d, 'g', blobcp.BY_BLOCKS)"
        => [("two:f", "@9437184"), ("g", "@9437184")], or [("g", "")];
    Flat "TREE from the other account": [("two:s/f", "old"), ("two:s/g", "x")], "", "tree(f'/two/box/{c}/s', d, 'n')"
        => [("two:s/f", "old"), ("two:s/g", "x"), ("n/f", "old"), ("n/g", "x")], or [("n/f", ""), ("n/g", "")];
    Held "abort by attribute": [("two:f", "x*4000")], "blobcp.copy(f'/two/box/{c}/f', d, 'n')",
        "os.setxattr(d+'/n', 'user.blob.copy.status', b'abort')" => [("two:f", "x*4000"), ("n", "")];
    Held "ABORT": [("two:f", "x*4000")], "blobcp.copy(f'/two/box/{c}/f', d, 'n')", "blobcp.abort(d+'/n')"
        => [("two:f", "x*4000"), ("n", "")];
    Held "STATUS": [("two:f", "x*4000")], "blobcp.copy(f'/two/box/{c}/f', d, 'n')", "expect(blobcp.status(d+'/n')[0], 'pending')"
        => [("two:f", "x*4000"), ("n", "")];
    // Moving.
    Flat "mv": [("f", "old")], "", "os.rename(d+'/f', d+'/n')" => [("n", "old")];
    Flat "mv -n": [("f", "old")], "", "renameat2(d+'/f', d+'/n', NO_REPLACE)" => [("n", "old")];
    Flat "mv over": [("f", "new"), ("g", "old")], "", "os.rename(d+'/f', d+'/g')" => [("g", "new")], or [("g@", "1")];
    Flat "mv to another directory": [("s/f", "old"), ("t/g", "x")], "", "os.rename(d+'/s/f', d+'/t/n')"
        => [("t/n", "old"), ("t/g", "x"), ("s/", "")];
    Flat "mv of a directory": [("s/f", "one"), ("s/g", "two"), ("s/t/h", "three")], "", "os.rename(d+'/s', d+'/n')"
        => [("n/f", "one"), ("n/g", "two"), ("n/t/h", "three")];
    Flat "mv of an empty directory": [], "os.mkdir(d+'/s')", "os.rename(d+'/s', d+'/n')" => [("n/", "")];
    Flat "mv of an open file": [("f", "old")], "kept['fd'] = os.open(d+'/f', ONTO); os.write(kept['fd'], b' new')",
        "try: os.rename(d+'/f', d+'/n')\nfinally: os.close(kept['fd'])" => [("n", "old new")], or [("f", "old new")];
    // Making and removing.
    Flat "rm": [("f", "old")], "", "os.unlink(d+'/f')" => [];
    Flat "mkdir": [], "", "os.mkdir(d+'/n')" => [("n/", "")];
    Flat "rmdir": [], "os.mkdir(d+'/n')", "os.rmdir(d+'/n')" => [];
    Flat "rm of the last in a directory": [("s/f", "old")], "", "os.unlink(d+'/s/f')" => [("s/", "")];
    Flat "symlink": [], "", "os.symlink('target', d+'/n')" => [("n", "target")];
    Flat "mkdir of a container": [], "", "os.mkdir(f'{root}/one/{box}')" => [("box", "")];
    Flat "rmdir of a container": [], "os.mkdir(f'{root}/one/{box}')", "os.rmdir(f'{root}/one/{box}')" => [];
    Flat "touch -d of a container": [], "os.mkdir(f'{root}/one/{box}')", "os.utime(f'{root}/one/{box}', (5, 5))" => [("box", "")];
    // Attributes.
    Flat "setfattr": [("f", "old")], "", "os.setxattr(d+'/f', 'user.blob.meta.color', b'blue')" => [("f", "old"), ("f#color", "blue")];
    Flat "setfattr -x": [("f", "old")], "os.setxattr(d+'/f', 'user.blob.meta.color', b'blue')",
        "os.removexattr(d+'/f', 'user.blob.meta.color')" => [("f", "old")], or [("f#color", "blue")];
    Flat "setfattr of a header": [("f", "old")], "", "os.setxattr(d+'/f', 'user.blob.content_language', b'de')"
        => [("f", "old"), ("f#language", "de")];
    Flat "setfattr of a tier": [("f", "old")], "", "os.setxattr(d+'/f', 'user.blob.tier', b'Cool')" => [("f", "old"), ("f#tier", "Cool")];
    Flat "setfattr of a tag": [("f", "old")], "", "os.setxattr(d+'/f', 'user.blob.tag.team', b'ours')" => [("f", "old"), ("f#tag", "ours")];
    Flat "setfattr of another tag": [("f", "old")], "os.setxattr(d+'/f', 'user.blob.tag.color', b'blue')",
        "os.setxattr(d+'/f', 'user.blob.tag.team', b'ours')" => [("f", "old"), ("f#tag", "blue+ours")], or [("f#tag", "blue")];
    Flat "getfattr": [("f", "old")], "", "expect(os.getxattr(d+'/f', 'user.blob.type'), b'BlockBlob')" => [("f", "old")];
    Flat "getfattr of a tag": [("f", "old")], "os.setxattr(d+'/f', 'user.blob.tag.team', b'ours')",
        "expect(os.getxattr(d+'/f', 'user.blob.tag.team'), b'ours')" => [("f", "old"), ("f#tag", "ours")];
    Flat "getfattr of a copy": [("f", "old")], "copy(d+'/f', d+'/n')",
        "expect(os.getxattr(d+'/n', 'user.blob.copy.status'), b'success')" => [("f", "old"), ("n", "old")];
    Flat "getfattr -d": [("f", "old")], "", "for n in os.listxattr(d+'/f'): os.getxattr(d+'/f', n)" => [("f", "old")];
    Flat "touch -d": [("f", "old")], "", "os.utime(d+'/f', (5, 5))" => [("f", "old")];
    Flat "COPIES": [("f", "old")], "copy(d+'/f', d+'/n')", "expect([r[0] for r in blobcp.copies(d) if r[4].endswith('n')], ['success'])"
        => [("f", "old"), ("n", "old")];
    Flat "SNAPSHOT": [("f", "old")], "", "blobcp.snapshot(d+'/f')" => [("f", "old"), ("f@", "1")], or [("f@", "2"), ("f@", "3")];
    Flat "LEASE": [("f", "old")], "", "expect(blobcp.lease(d+'/f')[0], 'available')" => [("f", "old")];
    Flat "ls .snapshots": [("f", "old")], "blobcp.snapshot(d+'/f')", "expect(len(os.listdir(d+'/.snapshots/f')), 1)"
        => [("f", "old"), ("f@", "1")];
    Flat "cat of a snapshot": [("f", "old")], "kept['s'] = blobcp.snapshot(d+'/f'); write(d+'/f', b'new')", "read(kept['s'], b'old')"
        => [("f", "new"), ("f@", "1")];
    Flat "cp of a snapshot": [("f", "old")], "kept['s'] = blobcp.snapshot(d+'/f'); write(d+'/f', b'new')", "copy(kept['s'], d+'/f')"
        => [("f", "old"), ("f@", "1")], or [("f", "new"), ("f", "")];
    Flat "rm of a snapshot": [("f", "old")], "kept['s'] = blobcp.snapshot(d+'/f')", "os.unlink(kept['s'])" => [("f", "old")], or [("f@", "1")];
    // Append and page blobs.
    Flat "append to an append blob": [("f", "append:old")], "", "write(d+'/f', b' new', ONTO)" => [("f", "old new")];
    Flat "append twice to an append blob": [("f", "append:old")], "",
        "with opened(d+'/f', ONTO) as fd: os.write(fd, b' new'); os.fsync(fd); os.write(fd, b' end')"
        => [("f", "old new end")], or [("f", "old new")];
    Flat "copy to the end of an append blob": [("f", "append:old"), ("g", BIG)], "", "copy(d+'/g', d+'/f', os.O_WRONLY, 3)"
        => [("f", "old+@1048576"), ("g", BIG)];
    Flat "truncate an append blob": [("f", "append:old")], "", "os.truncate(d+'/f', 0)" => [("f", "")];
    Flat "write a page": [("f", "page:x*1024")], "", "write(d+'/f', b'new', os.O_WRONLY, 512)" => [("f", "x*512+new+x*509")];
    Flat "write pages": [("f", "page:x*1024")], "", "write(d+'/f', b'n'*512, os.O_WRONLY, 0)" => [("f", "n*512+x*512")];
    Flat "punch a hole": [("f", "page:x*1024")], "", "with opened(d+'/f', os.O_RDWR) as fd: fallocate(fd, 3, 0, 512)" => [("f", "\0*512+x*512")];
    Flat "look for a hole": [("f", "page:\0*512+x*512")], "",
        "with opened(d+'/f', os.O_RDONLY) as fd: expect(os.lseek(fd, 0, os.SEEK_DATA) in (0, 512), True)" => [("f", "\0*512+x*512")];
    Flat "resize a page blob": [("f", "page:x*1024")], "", "os.truncate(d+'/f', 512)" => [("f", "x*512")];
    Flat "copy into a page blob": [("f", "page:x*2097152"), ("g", BIG)], "", "copy(d+'/g', d+'/f', os.O_WRONLY, 0)"
        => [("f", "@1048576+x*1048576"), ("g", BIG)];
    // Hierarchical namespaces.
    Hns "mv of a path": [("f", "old")], "", "os.rename(d+'/f', d+'/n')" => [("n", "old")];
    Hns "mv of a path over": [("f", "new"), ("g", "old")], "", "os.rename(d+'/f', d+'/g')" => [("g", "new")];
    Hns "mv of a real directory": [("s/f", "one"), ("s/g", "two")], "", "os.rename(d+'/s', d+'/n')"
        => [("n/f", "one"), ("n/g", "two"), ("n/", "")];
    Hns "mkdir of a real directory": [], "", "os.mkdir(d+'/n')" => [("n/", "")];
    Hns "rmdir of a real directory": [], "os.mkdir(d+'/n')", "os.rmdir(d+'/n')" => [];
    Hns "rm of a path": [("f", "old")], "", "os.unlink(d+'/f')" => [];
    Hns "write a path": [("f", "old")], "", "write(d+'/f', b'new')" => [("f", "new")], or [("f", "")];
    Hns "ls of a real directory": [("f", "old"), ("g/h", "x")], "", "expect(sorted(os.listdir(d)), ['f', 'g', 'keep'])"
        => [("f", "old"), ("g/h", "x"), ("g/", "")];
    Hns "setfattr of permissions": [("f", "old")], "", "os.setxattr(d+'/f', 'user.blob.permissions', b'rw-rw-rw-')"
        => [("f", "old"), ("f#permissions", "rw-rw-rw-")];
    Hns "getfattr of a list": [("f", "old")], "", "os.getxattr(d+'/f', 'user.blob.acl')" => [("f", "old")];
    Hns "append to a file written over DFS": [("f", "dfs:@9437184")], "of('@9437184')", "write(d+'/f', b'new', ONTO)" => [("f", "@9437184+new")];
    // What is kept.
    Kept "undelete": [("f", "old")], "os.unlink(d+'/f')", "os.rename(d+'/.deleted/f', d+'/f')" => [("f", "old")];
    Kept "ls .deleted": [("f", "old")], "os.unlink(d+'/f')", "expect(os.listdir(d+'/.deleted'), ['f'])" => [];
    Versioned "ls .versions": [("f", "old")], "write(d+'/f', b'new')", "expect(len(os.listdir(d+'/.versions/f')) >= 1, True)" => [("f", "new")];
    Versioned "rm of a version": [("f", "old")], "write(d+'/f', b'new')",
        "s = sorted(os.listdir(d+'/.versions/f'))[0]; os.unlink(d+'/.versions/f/'+s)" => [("f", "new")];
    Versioned "mv of a versioned file over": [("f", "new"), ("g", "old")], "", "os.rename(d+'/f', d+'/g')" => [("g", "new")], or [("g@", "1")];
    Immutable "setfattr of a policy": [("f", "old")], "", "os.setxattr(d+'/f', 'user.blob.immutability_until', b'2090-01-01T00:00:00Z')"
        => [("f", "old")];
    Immutable "setfattr -x of a policy": [("f", "old")], "os.setxattr(d+'/f', 'user.blob.immutability_until', b'2090-01-01T00:00:00Z')",
        "os.removexattr(d+'/f', 'user.blob.immutability_until')" => [("f", "old")];
    Immutable "setfattr of a hold": [("f", "old")], "", "os.setxattr(d+'/f', 'user.blob.legal_hold', b'true')" => [("f", "old")];
}
